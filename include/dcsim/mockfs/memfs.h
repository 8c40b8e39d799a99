// SPDX-License-Identifier: GPL-2.0-only
//
// memfs: a file system whose "disk" is memory. It stands for any file system that keeps its
// directories somewhere else than in the dcache, so every miss is a ->lookup() and a pruned dentry
// comes back by asking again.
//
// The disk is a set of nodes (memfs's on-disk inodes) and, in each directory node, its names.
// Names change only with the directory's i_rwsem held for writing and are read with it held shared;
// the functions below that fill the disk are for the time before anybody walks it.
#pragma once

#include <cstddef>

#include "dcsim/kernel/types.h"
#include "dcsim/vfs/super.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct memfs_node;

struct memfs_options {
    /// Time every ->lookup() sleeps before it answers, in microseconds.
    u64 lookup_delay_us = 0;
    /// Called at the start of each ->lookup(), with the name in `dentry`, before the delay; may
    /// sleep. A negative errno makes the lookup fail with it, 0 lets it go on.
    int (*before_lookup)(void *argument, inode *dir, dentry *dentry) = nullptr;
    void *before_lookup_argument = nullptr;
    /// Operations of every dentry, or none.
    const dentry_operations *default_dentry_operations = nullptr;
};

/// A new, empty memfs with an instantiated s_root; ERR_PTR(-ENOMEM).
super_block *memfs_mount(const memfs_options &options, const char *id);
/// Unmounts and frees the disk. Returns what generic_shutdown_super() returns.
long memfs_unmount(super_block *sb);

/// The node of the root directory.
memfs_node *memfs_root_node(super_block *sb);
/// Adds a name to a directory node while the disk is being filled. `mode` has a file type and
/// permissions; `body` is copied for a symbolic link and nullptr otherwise. ERR_PTR: -EEXIST,
/// -ENAMETOOLONG (over 255 bytes), -EINVAL ("", ".", "..", '/' or NUL in the name, no file type,
/// link without body, body without link), -ENOTDIR, -ENOMEM.
memfs_node *memfs_add_node(super_block *sb, memfs_node *directory, const char *name, size_t length,
                           umode_t mode, const char *body);
/// Gives the directory `node` a second name, as a disk or server shows it while somebody else is
/// moving the directory: who looks both names up finds one inode. The disk counts no link for it.
/// Before anybody walks the disk. 0, -EEXIST, -ENAMETOOLONG, -EINVAL, -ENOTDIR, -ENOMEM.
int memfs_add_directory_name(super_block *sb, memfs_node *directory, const char *name,
                             size_t length, memfs_node *node);
/// Nodes on the disk, the root included.
long memfs_node_count(super_block *sb);

} // namespace dcsim::inline DCSIM_BACKEND
