// SPDX-License-Identifier: GPL-2.0-only
//
// Where a task's paths begin: its root and its working directory. Source:
// include/linux/fs_struct.h and fs/fs_struct.c.
#pragma once

#include "dcsim/annotations.h"
#include "dcsim/kernel/once.h"
#include "dcsim/kernel/seqlock.h"
#include "dcsim/kernel/spinlock.h"
#include "dcsim/vfs/mount.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct inode;

/// A path that is read without a lock: its halves belong together only if `seq` did not move.
struct fs_path {
    once<vfsmount *> mnt;         ///< holds a reference
    once<struct dentry *> dentry; ///< holds a reference; nullptr with mnt while the path is not set
};

struct fs_struct {
    int users __guarded_by(lock); ///< tasks that share it
    spinlock_t lock;              ///< serialises writers of `seq`; innermost but for a d_lock
    seqcount_t seq;               ///< written under `lock`
    once<umode_t> umask;
    fs_path root;
    fs_path pwd;
};

/// The one of init_task. Both paths are unset until somebody sets them.
extern fs_struct init_fs;

/// A copy with one user, referencing the same two paths; nullptr when memory is short. Sleeps.
fs_struct *copy_fs_struct(fs_struct *old);
/// One user less; the last one gives the paths back and frees it (init_fs is emptied). Sleeps.
void put_fs_struct(fs_struct *fs);

/// Makes `path` the root, or unsets it when both halves are null. Takes references of its own and
/// drops the old root's. Sleeps.
void set_fs_root(fs_struct *fs, const path *path);
/// The same for the working directory.
void set_fs_pwd(fs_struct *fs, const path *path);
/// The root, referenced (path_put()).
void get_fs_root(fs_struct *fs, path *root);
/// The working directory, referenced (path_put()).
void get_fs_pwd(fs_struct *fs, path *pwd);
/// The root as a lockless reader sees it: a consistent pair without a reference, good until the end
/// of the read-side section.
void get_fs_root_rcu(fs_struct *fs, path *root) __must_hold_shared(rcu);
/// The root with the d_seq of its dentry, for an RCU walk: they belong together. A root that is not
/// set comes back as nullptr with a count of 0. Waits for a write section of d_seq to end. Linux
/// v6.12 fs/namei.c set_root().
void get_fs_root_rcu_seq(fs_struct *fs, path *root, unsigned *seq) __must_hold_shared(rcu);
/// The working directory with its inode and d_seq, likewise: they are of a moment when it was the
/// working directory, and so in use. Linux v6.12 fs/namei.c path_init().
void get_fs_pwd_rcu_seq(fs_struct *fs, path *pwd, struct inode **inode, unsigned *seq)
    __must_hold_shared(rcu);

} // namespace dcsim::inline DCSIM_BACKEND
