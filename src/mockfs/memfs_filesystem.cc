// SPDX-License-Identifier: GPL-2.0-only
//
// memfs as one of the mock file systems: what they are asked, said in memfs's words.
#include <new>

#include "dcsim/kernel/err.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/mockfs/memfs.h"
#include "dcsim/vfs/dcache.h"
#include "mock_options.h"
#include "mock_watcher.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// memfs_options::before_lookup_argument.
mock_watcher *watcher_of(const super_block *sb)
{
    return static_cast<mock_watcher *>(memfs_mounted_with(sb).before_lookup_argument);
}

int memfs_before_lookup(void *argument, inode *dir, dentry *dentry)
{
    return static_cast<mock_watcher *>(argument)->before_lookup(dir, dentry);
}

void memfs_d_release(dentry *dentry)
{
    watcher_of(dentry->d_sb)->released(dentry);
}

constexpr dentry_operations memfs_watched_dentry_operations = {.d_release = memfs_d_release};

super_block *memfs_mock_mount(const mock_mount_options &options, const char *id)
{
    int64_t links_in_inode = 1;
    const mock_knob knobs[] = {{"links_in_inode", 0, 1, &links_in_inode}};
    int error = read_mock_options(options.options, knobs);
    memfs_options memfs = {};
    mock_watcher *watcher;
    super_block *sb;
    void *memory;

    if (error)
        return ERR_PTR(error);
    memory = kmalloc(sizeof(mock_watcher));
    if (!memory)
        return ERR_PTR(-ENOMEM);
    watcher = new (memory) mock_watcher(options);
    memfs.before_lookup = memfs_before_lookup;
    memfs.before_lookup_argument = watcher;
    if (watcher->wants_released())
        memfs.default_dentry_operations = &memfs_watched_dentry_operations;
    memfs.last_used_ino = options.last_used_ino;
    memfs.links_in_inode = links_in_inode;
    sb = memfs_mount(memfs, id);
    if (IS_ERR(sb))
        kfree(memory);
    return sb;
}

/// What cannot be unmounted is leaked, and with it what its dentries still point to.
long memfs_mock_unmount(super_block *sb)
{
    mock_watcher *watcher = watcher_of(sb);
    long left = memfs_unmount(sb);

    if (!left)
        kfree(watcher);
    return left;
}

mock_node *memfs_mock_root_node(super_block *sb)
{
    return reinterpret_cast<mock_node *>(memfs_root_node(sb));
}

mock_node *memfs_mock_add_node(super_block *sb, mock_node *directory, const char *name,
                               size_t length, umode_t mode, const char *body)
{
    memfs_node *node =
        memfs_add_node(sb, reinterpret_cast<memfs_node *>(directory), name, length, mode, body);

    return reinterpret_cast<mock_node *>(node);
}

int memfs_mock_add_directory_name(super_block *sb, mock_node *directory, const char *name,
                                  size_t length, mock_node *node)
{
    return memfs_add_directory_name(sb, reinterpret_cast<memfs_node *>(directory), name, length,
                                    reinterpret_cast<memfs_node *>(node));
}

} // namespace

constexpr mock_filesystem memfs_filesystem = {
    .name = "memfs",
    .mount = memfs_mock_mount,
    .unmount = memfs_mock_unmount,
    .root_node = memfs_mock_root_node,
    .add_node = memfs_mock_add_node,
    .add_directory_name = memfs_mock_add_directory_name,
};

} // namespace dcsim::inline DCSIM_BACKEND
