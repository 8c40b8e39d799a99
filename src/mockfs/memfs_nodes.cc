// SPDX-License-Identifier: GPL-2.0-only
//
// memfs's disk: nodes and their names.
#include <cstring>
#include <new>

#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/vfs/file.h"
#include "memfs_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

constexpr int64_t DIR_OFFSET_MIN = 3; ///< tmpfs's position of a directory's oldest name

/// A copy of what a symbolic link says; nullptr without memory.
memfs_link_body *new_body(const char *text)
{
    size_t size = strlen(text) + 1;
    auto *body = static_cast<memfs_link_body *>(kmalloc(sizeof(memfs_link_body) + size));

    if (body)
        memcpy(body->text(), text, size);
    return body;
}

void free_body_rcu(rcu_head *head)
{
    kfree(container_of(head, memfs_link_body, rcu));
}

} // namespace

memfs_name *memfs_new_name(const name_key &key)
{
    return new_entry<memfs_name>(key);
}

void memfs_free_name(memfs_name *name)
{
    name->~memfs_name();
    kfree(name);
}

memfs_name *memfs_find_name(memfs_node *directory, const name_key &key)
{
    auto found = directory->names.find(key, name_order<memfs_name>());

    return found == directory->names.end() ? nullptr : &*found;
}

void memfs_add_name(memfs_node *directory, memfs_name *name, memfs_node *node)
{
    name->node = node;
    name->offset = directory->next_offset++;
    directory->size += BOGO_DIRENT_SIZE;
    WARN_ON(!directory->names.insert(*name).second);
    WARN_ON(!directory->offsets.insert(*name).second);
}

void memfs_remove_name(memfs_node *directory, memfs_name *name)
{
    directory->size -= BOGO_DIRENT_SIZE;
    directory->names.erase(directory->names.iterator_to(*name));
    directory->offsets.erase(directory->offsets.iterator_to(*name));
    memfs_free_name(name);
}

memfs_node *memfs_new_node(memfs_disk *disk, umode_t type, unsigned device, const char *text)
{
    void *memory = kmalloc(sizeof(memfs_node));
    memfs_link_body *body = nullptr;
    memfs_node *node;

    if (!memory)
        return nullptr;
    if (text) {
        body = new_body(text);
        if (!body) {
            kfree(memory);
            return nullptr;
        }
    }
    node = new (memory) memfs_node();
    node->type = type & S_IFMT_MASK;
    node->nlink = S_ISDIR_mode(type) ? 2 : 1;
    node->device = device;
    node->body = body;
    node->next_offset = DIR_OFFSET_MIN;
    if (S_ISDIR_mode(type))
        node->size = 2 * BOGO_DIRENT_SIZE;
    else if (text)
        node->size = static_cast<int64_t>(strlen(text));

    spin_lock(&disk->nodes_lock);
    node->ino = ++disk->last_ino;
    list_add_tail(&node->disk_list, &disk->nodes);
    disk->node_count++;
    spin_unlock(&disk->nodes_lock);
    return node;
}

void memfs_free_node(memfs_disk *disk, memfs_node *node)
{
    spin_lock(&disk->nodes_lock);
    list_del_init(&node->disk_list);
    disk->node_count--;
    spin_unlock(&disk->nodes_lock);

    node->offsets.clear();
    node->names.clear_and_dispose(memfs_free_name);
    if (node->body)
        call_rcu(&node->body->rcu, free_body_rcu);
    node->~memfs_node();
    kfree(node);
}

memfs_disk *memfs_new_disk(const memfs_options &options)
{
    void *memory = kmalloc(sizeof(memfs_disk));
    memfs_disk *disk;

    if (!memory)
        return nullptr;
    disk = new (memory) memfs_disk();
    disk->options = options;
    disk->last_ino = options.last_used_ino;
    spin_lock_init(&disk->nodes_lock, "memfs.nodes_lock");
    INIT_LIST_HEAD(&disk->nodes);
    return disk;
}

void memfs_free_disk(memfs_disk *disk)
{
    while (!list_empty(&disk->nodes))
        memfs_free_node(disk, container_of(list_first(&disk->nodes), memfs_node, disk_list));
    disk->~memfs_disk();
    kfree(disk);
}

} // namespace dcsim::inline DCSIM_BACKEND
