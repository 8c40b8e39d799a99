// SPDX-License-Identifier: GPL-2.0-only
//
// The server's tree itself: objects and names, each change of it one function.
#include <cstring>
#include <new>

#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/slab.h"
#include "server_tree_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

server_name *server_new_name(const name_key &key)
{
    return new_entry<server_name>(key);
}

void server_free_name(server_name *name)
{
    if (!name)
        return;
    name->~server_name();
    kfree(name);
}

server_object *server_new_object(umode_t mode, const char *body)
{
    size_t length = body ? strlen(body) : 0;
    void *memory = kmalloc(sizeof(server_object) + length + 1);
    server_object *object;

    if (!memory)
        return nullptr;
    object = new (memory) server_object();
    object->mode = mode;
    object->size = static_cast<int64_t>(length);
    object->nlink = S_ISDIR_mode(mode) ? 2 : 0;
    INIT_LIST_HEAD(&object->names);
    memcpy(object->body(), body ? body : "", length + 1);
    return object;
}

void server_free_object(server_object *object)
{
    if (!object)
        return;
    object->~server_object();
    kfree(object);
}

server_object *server_find_object(server_tree *server, u64 fileid) __must_hold(&server->lock)
{
    auto found = server->objects.find(fileid);

    return found == server->objects.end() ? nullptr : &*found;
}

int server_find_directory(server_tree *server, u64 fileid, server_object **directory)
    __must_hold(&server->lock)
{
    *directory = server_find_object(server, fileid);
    if (!*directory)
        return -ESTALE;
    return (*directory)->is_directory() ? 0 : -ENOTDIR;
}

server_name *server_find_name(server_object *directory, const name_key &key)
{
    auto found = directory->entries.find(key, name_order<server_name>());

    return found == directory->entries.end() ? nullptr : &*found;
}

void server_changed(server_tree *server, server_object *object) __must_hold(&server->lock)
{
    object->change = ++server->changes;
}

void server_add_object(server_tree *server, server_object *object) __must_hold(&server->lock)
{
    object->fileid = ++server->last_fileid;
    server_changed(server, object);
    server->object_count++;
    WARN_ON(!server->objects.insert(*object).second);
}

void server_count_link(server_object *directory, server_object *object, int change)
{
    unsigned *nlink = object->is_directory() ? &directory->nlink : &object->nlink;

    *nlink += static_cast<unsigned>(change);
}

void server_attach_name(server_tree *server, server_object *directory, server_name *name,
                        server_object *object) __must_hold(&server->lock)
{
    name->directory = directory;
    name->object = object;
    name->cookie = ++directory->last_cookie;
    WARN_ON(!directory->entries.insert(*name).second);
    WARN_ON(!directory->cookies.insert(*name).second);
    list_add_tail(&name->object_list, &object->names);
    server_count_link(directory, object, 1);
    server_changed(server, directory);
    server_changed(server, object);
}

void server_detach_name(server_tree *server, server_name *name) __must_hold(&server->lock)
{
    server_object *directory = name->directory;

    directory->entries.erase(directory->entries.iterator_to(*name));
    directory->cookies.erase(directory->cookies.iterator_to(*name));
    list_del_init(&name->object_list);
    server_count_link(directory, name->object, -1);
    server_changed(server, directory);
    server_changed(server, name->object);
    server_free_name(name);
}

server_loss server_note_loss(server_tree *server, server_object *object) __must_hold(&server->lock)
{
    const server_loss lost = {object->fileid, object->change};

    if (list_empty(&object->names)) {
        server->objects.erase(server->objects.iterator_to(*object));
        server->object_count--;
        server_free_object(object);
    }
    return lost;
}

server_object *server_parent_of(server_object *directory)
{
    if (list_empty(&directory->names))
        return directory;
    return container_of(list_first(&directory->names), server_name, object_list)->directory;
}

bool server_is_below(server_tree *server, server_object *directory, const server_object *ancestor)
    __must_hold(&server->lock)
{
    for (long steps = server->object_count; steps > 0; steps--) {
        if (directory == ancestor)
            return true;
        directory = server_parent_of(directory);
    }
    return false;
}

void server_fill_attributes(const server_object *object, server_attributes *out)
{
    if (out)
        *out = {object->fileid, object->mode, object->nlink, object->change, object->size};
}

u64 server_change_of(server_tree *server, u64 directory) __must_hold(&server->lock)
{
    server_object *object = server_find_object(server, directory);

    return object ? object->change : 0;
}

server_tree *server_tree_create(u64 first_fileid)
{
    void *memory = kmalloc(sizeof(server_tree));
    server_object *root = server_new_object(S_IFDIR_TYPE | 0755, nullptr);
    server_tree *server;

    if (!memory || !root) {
        kfree(memory);
        server_free_object(root);
        return nullptr;
    }
    server = new (memory) server_tree();
    spin_lock_init(&server->lock, "server_tree.lock");
    server->root = first_fileid;
    spin_lock(&server->lock);
    server->last_fileid = first_fileid - 1;
    server_add_object(server, root);
    spin_unlock(&server->lock);
    return server;
}

void server_tree_destroy(server_tree *server) __context_unsafe("nobody uses it any more")
{
    // Names first: they are in sets of objects.
    for (server_object &object : server->objects)
        object.cookies.clear();
    for (server_object &object : server->objects)
        object.entries.clear_and_dispose(server_free_name);
    server->objects.clear_and_dispose(server_free_object);
    server->~server_tree();
    kfree(server);
}

} // namespace dcsim::inline DCSIM_BACKEND
