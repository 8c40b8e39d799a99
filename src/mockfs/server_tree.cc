// SPDX-License-Identifier: GPL-2.0-only
//
// What can be asked of a server.
#include <cstring>

#include <strings.h>

#include "server_tree_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

void fill_entry(server_name *name, server_entry *out)
{
    server_fill_attributes(name->object, &out->attributes);
    out->cookie = name->cookie;
    out->length = static_cast<u32>(name->length);
    memcpy(out->name, name->text(), name->length);
    out->name[name->length] = 0;
}

} // namespace

void server_set_delay(server_tree *server, u64 microseconds)
{
    WRITE_ONCE(server->delay, microseconds);
}

u64 server_root(const server_tree *server)
{
    return server->root;
}

long server_object_count(server_tree *server)
{
    long count;

    spin_lock(&server->lock);
    count = server->object_count;
    spin_unlock(&server->lock);
    return count;
}

int server_lookup(server_tree *server, u64 directory, const char *name, size_t length,
                  server_attributes *out)
{
    server_object *dir;
    server_name *found;
    int error;

    if (length > NAME_MAX_LENGTH)
        return -ENAMETOOLONG;

    server_request request(server);
    error = server_find_directory(server, directory, &dir);
    if (error)
        return error;
    found = server_find_name(dir, {name, length});
    if (!found)
        return -ENOENT;
    server_fill_attributes(found->object, out);
    return 0;
}

int server_lookup_nocase(server_tree *server, u64 directory, const char *name, size_t length,
                         server_entry *out)
{
    server_object *dir;
    int error;

    if (length > NAME_MAX_LENGTH)
        return -ENAMETOOLONG;

    server_request request(server);
    error = server_find_directory(server, directory, &dir);
    if (error)
        return error;
    for (server_name &candidate : dir->cookies)
        if (candidate.length == length && strncasecmp(candidate.text(), name, length) == 0) {
            fill_entry(&candidate, out);
            return 0;
        }
    return -ENOENT;
}

int server_getattr(server_tree *server, u64 fileid, server_attributes *out)
{
    server_object *object;

    server_request request(server);
    object = server_find_object(server, fileid);
    if (!object)
        return -ESTALE;
    server_fill_attributes(object, out);
    return 0;
}

int server_readlink(server_tree *server, u64 fileid, char *buffer, size_t size)
{
    server_object *object;

    server_request request(server);
    object = server_find_object(server, fileid);
    if (!object)
        return -ESTALE;
    if (!S_ISLNK_mode(object->mode))
        return -EINVAL;
    if (static_cast<size_t>(object->size) >= size)
        return -ENAMETOOLONG;
    memcpy(buffer, object->body(), static_cast<size_t>(object->size) + 1);
    return static_cast<int>(object->size);
}

int server_readdir(server_tree *server, u64 directory, u64 cookie, server_entry *out)
{
    server_object *dir;
    int error;

    server_request request(server);
    error = server_find_directory(server, directory, &dir);
    if (error)
        return error;
    auto next = dir->cookies.upper_bound(cookie);
    if (next == dir->cookies.end())
        return 0;
    fill_entry(&*next, out);
    return 1;
}

int server_parent(server_tree *server, u64 directory, u64 *parent)
{
    server_object *dir;
    int error;

    server_request request(server);
    error = server_find_directory(server, directory, &dir);
    if (!error)
        *parent = server_parent_of(dir)->fileid;
    return error;
}

int server_find_place(server_tree *server, const char *path, server_place *result)
    __must_hold(&server->lock)
{
    server_object *object = server_find_object(server, server->root);
    name_key name = {path, 0};

    for (;;) {
        const char *end;

        while (*path == '/')
            path++;
        if (!*path)
            break;
        if (name.length) {
            server_name *found = server_find_name(object, name);
            if (!found)
                return -ENOENT;
            object = found->object;
        }
        if (!object->is_directory())
            return -ENOTDIR;
        end = strchrnul(path, '/');
        name = {path, static_cast<size_t>(end - path)};
        if (name.length > NAME_MAX_LENGTH)
            return -ENAMETOOLONG;
        path = end;
    }
    *result = {object->fileid, name};
    return 0;
}

int server_find(server_tree *server, const char *path, server_attributes *out)
{
    server_object *object;
    server_place place;
    int error;

    server_request request(server);
    error = server_find_place(server, path, &place);
    if (error)
        return error;
    object = server_find_object(server, place.directory);
    if (place.name.length) {
        server_name *found = server_find_name(object, place.name);
        if (!found)
            return -ENOENT;
        object = found->object;
    }
    server_fill_attributes(object, out);
    return 0;
}

} // namespace dcsim::inline DCSIM_BACKEND
