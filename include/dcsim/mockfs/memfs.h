// SPDX-License-Identifier: GPL-2.0-only
//
// memfs: a file system whose "disk" is memory. It stands for any file system that keeps its
// directories somewhere else than in the dcache, so every miss is a ->lookup() and a pruned dentry
// comes back by asking again. What stat(2) tells of its files (modes, owners, link counts, sizes of
// links and directories) is what tmpfs tells.
//
// The disk is a set of nodes (memfs's on-disk inodes) and, in each directory node, its names.
// Names change only with the directory's i_rwsem held for writing and are read with it held shared;
// the functions below that fill the disk are for the time before anybody walks it.
//
// A directory is read from its newest name to its oldest. Each name has a number, which is its
// position as well: removing a name moves no other, and a name made meanwhile gets a number that
// readers on their way have passed.
#pragma once

#include <cstddef>

#include "dcsim/kernel/types.h"
#include "dcsim/vfs/cred.h"
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
    /// Inode numbers begin after this one.
    ino_t last_used_ino = 0;
    /// Permissions and owner of the root directory.
    umode_t root_mode = 0755;
    kuid_t root_uid = 0;
    kgid_t root_gid = 0;
    /// Bodies of symbolic links are in i_link. If not, they are read by ->get_link(), which cannot
    /// do that in an RCU walk and makes a copy for each reader.
    bool links_in_inode = true;
};

/// A new, empty memfs with an instantiated s_root; ERR_PTR(-ENOMEM).
super_block *memfs_mount(const memfs_options &options, const char *id);
/// Unmounts and frees the disk. Returns what generic_shutdown_super() returns.
long memfs_unmount(super_block *sb);

/// The options it was mounted with. Constant while it is mounted.
const memfs_options &memfs_mounted_with(const super_block *sb);

/// The node of the root directory.
memfs_node *memfs_root_node(super_block *sb);
/// Adds a name to a directory node while the disk is being filled. `mode` has a file type and
/// permissions; `body` is copied for a symbolic link and nullptr otherwise. Owner and group are 0,
/// whatever the calling task and the directory are. ERR_PTR: -EEXIST,
/// -ENAMETOOLONG (over 255 bytes), -EINVAL ("", ".", "..", '/' or NUL in the name, no file type,
/// link without body, body without link), -ENOTDIR, -ENOMEM.
memfs_node *memfs_add_node(super_block *sb, memfs_node *directory, const char *name, size_t length,
                           umode_t mode, const char *body);
/// Gives the directory `node` a second name, as a disk or server shows it while somebody else is
/// moving the directory: who looks both names up finds one inode. The disk counts no link for it.
/// Before anybody walks the disk. 0, -EEXIST, -ENAMETOOLONG, -EINVAL, -ENOTDIR, -ENOMEM.
int memfs_add_directory_name(super_block *sb, memfs_node *directory, const char *name,
                             size_t length, memfs_node *node);
/// Takes back what memfs_add_node() put there, with its only name. Before anybody walks the disk.
/// 0, -ENOENT, -ENOTEMPTY.
int memfs_remove_node(super_block *sb, memfs_node *directory, const char *name, size_t length);
/// Permissions, owner and group of a node. Before anybody walks the disk; the root has an inode in
/// memory, which is changed as well.
void memfs_set_attributes(super_block *sb, memfs_node *node, umode_t permissions, kuid_t uid,
                          kgid_t gid);
/// The device number of a device node. Before anybody walks the disk.
void memfs_set_device(memfs_node *node, unsigned device);
/// A name on the disk and the node that it stands for.
struct memfs_entry {
    ino_t directory; ///< the directory's inode number
    const char *name;
    size_t length;
    ino_t ino;
    umode_t type; ///< S_IF* bits
    unsigned nlink;
    const char *body; ///< of a symbolic link, or nullptr
};
/// Calls visit(argument, entry) for every name on the disk, the oldest directory's first, by name.
/// Nobody changes anything meanwhile. Takes no locks.
void memfs_for_each_entry(super_block *sb, void (*visit)(void *argument, const memfs_entry &),
                          void *argument);
/// Inode number of a node. Constant.
ino_t memfs_node_ino(const memfs_node *node);
/// Inode number of what the name of `dentry` stands for in `dir`, or 0 when it has no such name.
/// For ->before_lookup(): the i_rwsem of `dir` is held at least shared.
ino_t memfs_ino_of_name(inode *dir, const dentry *dentry);
/// Inode number of the root directory.
ino_t memfs_root_ino(super_block *sb);
/// Nodes on the disk, the root included.
long memfs_node_count(super_block *sb);

} // namespace dcsim::inline DCSIM_BACKEND
