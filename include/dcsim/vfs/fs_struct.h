// SPDX-License-Identifier: GPL-2.0-only
//
// Where a process's paths begin: its root and its working directory. Source:
// include/linux/fs_struct.h and fs/fs_struct.c. Reduced: one for the whole process, and it does not
// pin mounts.
#pragma once

#include "dcsim/kernel/once.h"
#include "dcsim/kernel/seqlock.h"
#include "dcsim/kernel/spinlock.h"
#include "dcsim/vfs/mount.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// A path that is read without a lock: its halves belong together only if `seq` did not move.
struct fs_path {
    once<vfsmount *> mnt;
    once<struct dentry *> dentry; ///< holds a reference; nullptr with mnt while the path is not set
};

struct fs_struct {
    spinlock_t lock; ///< serialises writers of `seq`; innermost but for a d_lock
    seqcount_t seq;  ///< written under `lock`
    fs_path root;
    fs_path pwd;
};

/// The one of this process. Both paths are unset until somebody sets them.
extern fs_struct init_fs;

/// Makes `path` the root, or unsets it when both halves are null. Takes a reference on the dentry
/// and drops the old root's. The mount must stay until another root is set and a grace period is
/// over. Sleeps.
void set_fs_root(fs_struct *fs, const path *path);
/// The same for the working directory.
void set_fs_pwd(fs_struct *fs, const path *path);
/// The root, with a reference on the dentry.
void get_fs_root(fs_struct *fs, path *root);
/// The working directory, with a reference on the dentry.
void get_fs_pwd(fs_struct *fs, path *pwd);
/// The root as a lockless reader sees it: a consistent pair without a reference, good until the end
/// of the read-side section.
void get_fs_root_rcu(fs_struct *fs, path *root) __must_hold_shared(rcu);

} // namespace dcsim::inline DCSIM_BACKEND
