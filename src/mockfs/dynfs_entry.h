// SPDX-License-Identifier: GPL-2.0-only
//
// The things that dynfs shows: a tree that changes whenever it likes. Dentries and inodes are of no
// concern here; an object only knows which inodes stand for it, so that they can be found when it
// is gone.
#pragma once

#include <cstddef>

#include "dcsim/annotations.h"
#include "dcsim/kernel/list.h"
#include "dcsim/kernel/once.h"
#include "dcsim/kernel/rcupdate.h"
#include "dcsim/kernel/spinlock.h"
#include "dcsim/mockfs/mock_filesystem.h"
#include "dcsim/vfs/cred.h"
#include "mock_watcher.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// A process, a table, or what it contains. Freed a grace period after its last reference: walks in
/// RCU mode ask whether it is alive.
struct dynfs_entry {
    atomic_t count; ///< references: the tree's, each inode's
    once<int> dead; ///< written under disk->lock; never becomes alive again
    once<kuid_t> uid;
    once<kgid_t> gid;
    umode_t mode;       ///< constant
    const char *body;   ///< constant: of a symbolic link, or nullptr
    const char *name;   ///< constant, NUL-terminated
    size_t name_length; ///< constant

    // Under disk->lock.
    dynfs_entry *parent; ///< nullptr for the root and for what is dead
    list_head siblings;
    list_head children; ///< of a directory, the oldest first
    u64 position;       ///< among its siblings
    u64 next_position;  ///< of a new child
    unsigned subdirectories;
    list_head inodes;   ///< that stand for it: dynfs_inode::siblings
    list_head to_flush; ///< in disk->flushes

    rcu_head rcu;
};

/// sb->s_fs_info. Freed a grace period after the unmount: ->d_compare takes its lock in RCU.
struct dynfs_disk {
    mock_watcher watcher;
    int64_t sysctl; ///< the mount options
    int64_t flush;

    /// Guards the tree. A leaf, taken under d_lock and in RCU; nothing is allocated under it.
    spinlock_t lock;
    dynfs_entry *root;
    list_head flushes;          ///< dead, their dentries not yet cleared away; hold references
    once<long> flushes_pending; ///< written under the lock, read as a hint without
    long live;                  ///< objects
    once<u64> last_ino;

    rcu_head rcu;
};

/// A disk with a root; nullptr without memory.
dynfs_disk *dynfs_new_disk();
/// Frees what is in its tree, and itself when those in RCU have left it. Nobody else uses it any
/// more.
void dynfs_free_disk(dynfs_disk *disk);

dynfs_entry *dynfs_get(dynfs_entry *entry);
/// Drops a reference. Does not sleep.
void dynfs_put(dynfs_entry *entry);

/// The live child of that name, referenced, or nullptr.
dynfs_entry *dynfs_find_child(dynfs_disk *disk, dynfs_entry *directory, const char *name,
                              size_t length);
/// The first live child at `position` or later, referenced, or nullptr.
dynfs_entry *dynfs_next_child(dynfs_disk *disk, dynfs_entry *directory, u64 position);
/// What is at `path`, referenced, or nullptr.
dynfs_entry *dynfs_find_path(dynfs_disk *disk, const char *path);
/// A new child, which the tree holds; ERR_PTR: -EEXIST, -ENOENT when the directory is dead,
/// -ENOTDIR, -EINVAL, -ENAMETOOLONG, -ENOMEM.
dynfs_entry *dynfs_add(dynfs_disk *disk, dynfs_entry *directory, const char *name, size_t length,
                       umode_t mode, const char *body);
/// As mock_filesystem::remote. What is removed takes all below it along, as a process does.
int dynfs_change(dynfs_disk *disk, remote_change what, const char *path, const char *second_path);

} // namespace dcsim::inline DCSIM_BACKEND
