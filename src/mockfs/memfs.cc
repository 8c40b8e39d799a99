// SPDX-License-Identifier: GPL-2.0-only
//
// memfs as a whole: mounting it, filling its disk, looking at it from outside.
#include "dcsim/kernel/err.h"
#include "dcsim/vfs/dcache.h"
#include "memfs_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

constexpr file_system_type memfs_type = {"memfs"};

/// Fills in a new super block. False without memory, and then with nothing left on it.
bool memfs_fill_super(super_block *sb, const memfs_options &options)
{
    memfs_disk *disk = memfs_new_disk(options);
    inode *root;

    if (!disk)
        return false;
    sb->s_op = &memfs_super_operations;
    sb->s_fs_info = disk;
    set_default_d_op(sb, options.default_dentry_operations);
    root = memfs_new_inode(sb, nullptr, S_IFDIR_TYPE, 0, nullptr);
    if (root) {
        disk->root = memfs_node_of(root);
        disk->root->permissions = options.root_mode & S_IALLUGO_BITS;
        disk->root->uid = options.root_uid;
        disk->root->gid = options.root_gid;
        memfs_load_attributes(root, disk->root);
        unlock_new_inode(root);
        sb->s_root = d_make_root(root);
    }
    if (!sb->s_root)
        memfs_free_disk(disk);
    return sb->s_root != nullptr;
}

/// What memfs_add_node() can say about its arguments alone. 0 or a negative errno.
int check_new_name(const memfs_node *directory, const name_key &key, umode_t mode, const char *body)
{
    const int error = check_name(key);

    if (!S_ISDIR_mode(directory->type))
        return -ENOTDIR;
    if (error)
        return error;
    switch (mode & S_IFMT_MASK) {
    case S_IFLNK_TYPE:
        return body ? 0 : -EINVAL;
    case S_IFSOCK_TYPE:
    case S_IFREG_TYPE:
    case S_IFBLK_TYPE:
    case S_IFDIR_TYPE:
    case S_IFCHR_TYPE:
    case S_IFIFO_TYPE:
        return body ? -EINVAL : 0;
    default:
        return -EINVAL;
    }
}

/// A node that is changed while its inode is in memory, as the root's always is.
void update_cached_inode(super_block *sb, const memfs_node *node)
{
    inode *inode = ilookup(sb, node->ino);

    if (inode) {
        memfs_load_attributes(inode, node);
        set_nlink(inode, node->nlink);
        memfs_update_size(inode);
        iput(inode);
    }
}

} // namespace

super_block *memfs_mount(const memfs_options &options, const char *id)
{
    super_block *sb = alloc_super(&memfs_type, id);

    if (!sb)
        return ERR_PTR(-ENOMEM);
    if (!memfs_fill_super(sb, options)) {
        generic_shutdown_super(sb);
        return ERR_PTR(-ENOMEM);
    }
    return sb;
}

long memfs_unmount(super_block *sb)
{
    return generic_shutdown_super(sb);
}

const memfs_options &memfs_mounted_with(const super_block *sb)
{
    return memfs_disk_of(sb)->options;
}

memfs_node *memfs_root_node(super_block *sb)
{
    return memfs_disk_of(sb)->root;
}

memfs_node *memfs_add_node(super_block *sb, memfs_node *directory, const char *name, size_t length,
                           umode_t mode, const char *body)
{
    const name_key key = {name, length};
    int error = check_new_name(directory, key, mode, body);
    memfs_name *entry;
    memfs_node *node;

    if (error)
        return ERR_PTR(error);
    if (memfs_find_name(directory, key))
        return ERR_PTR(-EEXIST);
    entry = memfs_new_name(key);
    if (!entry)
        return ERR_PTR(-ENOMEM);
    node = memfs_new_node(memfs_disk_of(sb), mode, 0, body);
    if (!node) {
        memfs_free_name(entry);
        return ERR_PTR(-ENOMEM);
    }
    node->permissions = mode & S_IALLUGO_BITS;
    memfs_add_name(directory, entry, node);
    if (S_ISDIR_mode(mode))
        directory->nlink++;
    update_cached_inode(sb, directory);
    return node;
}

int memfs_remove_node(super_block *sb, memfs_node *directory, const char *name, size_t length)
{
    memfs_name *entry = memfs_find_name(directory, {name, length});
    memfs_node *node;

    if (!entry)
        return -ENOENT;
    node = entry->node;
    if (!node->names.empty())
        return -ENOTEMPTY;
    memfs_remove_name(directory, entry);
    if (S_ISDIR_mode(node->type))
        directory->nlink--;
    memfs_free_node(memfs_disk_of(sb), node);
    update_cached_inode(sb, directory);
    return 0;
}

void memfs_set_attributes(super_block *sb, memfs_node *node, umode_t permissions, kuid_t uid,
                          kgid_t gid)
{
    node->permissions = permissions & S_IALLUGO_BITS;
    node->uid = uid;
    node->gid = gid;
    update_cached_inode(sb, node);
}

void memfs_set_device(memfs_node *node, unsigned device)
{
    if (node->type == S_IFCHR_TYPE || node->type == S_IFBLK_TYPE)
        node->device = device;
}

int memfs_add_directory_name(super_block *sb, memfs_node *directory, const char *name,
                             size_t length, memfs_node *node)
{
    const name_key key = {name, length};
    int error = check_new_name(directory, key, node->type, nullptr);
    memfs_name *entry;

    if (error)
        return error;
    if (!S_ISDIR_mode(node->type))
        return -ENOTDIR;
    if (memfs_find_name(directory, key))
        return -EEXIST;
    entry = memfs_new_name(key);
    if (!entry)
        return -ENOMEM;
    memfs_add_name(directory, entry, node);
    update_cached_inode(sb, directory);
    return 0;
}

void memfs_for_each_entry(super_block *sb, void (*visit)(void *argument, const memfs_entry &),
                          void *argument)
{
    list_head *nodes = &memfs_disk_of(sb)->nodes;

    for (list_head *at = list_first(nodes); at != nodes; at = list_next(at)) {
        const memfs_node *directory = container_of(at, memfs_node, disk_list);

        for (const memfs_name &name : directory->names) {
            const name_key key = name.key();
            const memfs_node *node = name.node;

            visit(argument, {.directory = directory->ino,
                             .name = key.text,
                             .length = key.length,
                             .ino = node->ino,
                             .type = node->type,
                             .nlink = node->nlink,
                             .body = node->body ? node->body->text() : nullptr});
        }
    }
}

ino_t memfs_node_ino(const memfs_node *node)
{
    return node->ino;
}

ino_t memfs_ino_of_name(inode *dir, const dentry *dentry)
{
    const memfs_name *name = memfs_find_name(memfs_node_of(dir), key_of(dentry));

    return name ? name->node->ino : 0;
}

ino_t memfs_root_ino(super_block *sb)
{
    return memfs_disk_of(sb)->root->ino;
}

long memfs_node_count(super_block *sb)
{
    memfs_disk *disk = memfs_disk_of(sb);
    long count;

    spin_lock(&disk->nodes_lock);
    count = disk->node_count;
    spin_unlock(&disk->nodes_lock);
    return count;
}

} // namespace dcsim::inline DCSIM_BACKEND
