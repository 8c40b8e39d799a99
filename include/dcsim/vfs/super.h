// SPDX-License-Identifier: GPL-2.0-only
//
// Super blocks. Source: include/linux/fs.h and fs/super.c. Reduced to what the dcache needs.
#pragma once

#include "dcsim/kernel/list_lru.h"
#include "dcsim/kernel/rwsem.h"
#include "dcsim/vfs/dcache.h"
#include "dcsim/vfs/operations.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// fs_flags
enum file_system_flags : unsigned {
    FS_RENAME_DOES_D_MOVE = 1u << 15, ///< ->rename() moves the dentry itself
};

struct file_system_type {
    const char *name;
    unsigned fs_flags = 0;
    /// Classes of i_rwsem and s_vfs_rename_mutex for the lock-order checker. A file system that
    /// calls another with its own locks held has classes of its own. Linux v6.12 has one of each
    /// for every type: i_mutex_key, s_vfs_rename_key.
    const char *i_rwsem_class = "i_rwsem";
    const char *s_vfs_rename_class = "s_vfs_rename_mutex";
};

struct super_block {
    const file_system_type *s_type;
    const super_operations *s_op;
    char s_id[32];
    void *s_fs_info; ///< for the file system

    dentry *s_root;                    ///< holds one reference
    const dentry_operations *__s_d_op; ///< what new dentries get; set_default_d_op()
    unsigned s_d_flags;                ///< and the flags that go with it

    /// Held for writing by umount; outermost lock of the VFS.
    rw_semaphore s_umount;
    /// One directory-changing rename at a time. Under s_umount, outside every i_rwsem.
    mutex s_vfs_rename_mutex;

    list_lru s_dentry_lru; ///< unused dentries, oldest first

    /// Guards s_roots and the d_sib of the roots on it. Leaf; taken under a root's d_lock.
    spinlock_t s_roots_lock;
    hlist_head s_roots; ///< secondary roots, from d_obtain_root()

    /// Guards s_inodes and the i_sb_list of the inodes on it. Taken under the inode hash lock,
    /// outside every i_lock.
    spinlock_t s_inode_list_lock;
    list_head s_inodes;

    rcu_head rcu; ///< shut down: waiting for its grace period
};

/// A super block without a root; nullptr when memory is short.
super_block *alloc_super(const file_system_type *type, const char *id);
/// Unmounts: kills all dentries, checks that no inode is left, calls ->put_super(), frees the super
/// block. Returns how many dentries and inodes could not go, because somebody uses them or what is
/// below them; a WARN has named each dentry that is used itself. With 0 nothing is left. Otherwise
/// the super block is leaked on purpose, because its users still point into it. Sleeps.
long generic_shutdown_super(super_block *sb);

} // namespace dcsim::inline DCSIM_BACKEND
