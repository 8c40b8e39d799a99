// SPDX-License-Identifier: GPL-2.0-only
//
// The tables a file system fills in. Pointers to functions, not virtual functions: the VFS decides
// by which of them are null. Source: include/linux/fs.h.
#pragma once

#include "dcsim/kernel/types.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct dentry;
struct inode;
struct super_block;
struct file;
struct delayed_call;

/// Flags for ->rename().
enum rename_flags : unsigned {
    RENAME_NOREPLACE_FLAG = 1u << 0,
    RENAME_EXCHANGE_FLAG = 1u << 1,
};

/// Every callback that changes a directory runs with its i_rwsem held for writing.
struct inode_operations {
    /// Answers an in-lookup (or, for exclusive callers, unhashed) negative dentry by
    /// d_splice_alias() or d_add(). Returns nullptr when `dentry` is the answer, another dentry
    /// with a reference, or ERR_PTR with nothing published. `dir` is locked at least shared. May
    /// sleep.
    dentry *(*lookup)(inode *dir, dentry *dentry, unsigned flags);
    int (*create)(inode *dir, dentry *dentry, umode_t mode, bool excl);
    int (*link)(dentry *old_dentry, inode *dir, dentry *dentry);
    int (*unlink)(inode *dir, dentry *dentry);
    int (*symlink)(inode *dir, dentry *dentry, const char *body);
    int (*mkdir)(inode *dir, dentry *dentry, umode_t mode);
    int (*rmdir)(inode *dir, dentry *dentry);
    int (*rename)(inode *old_dir, dentry *old_dentry, inode *new_dir, dentry *new_dentry,
                  unsigned flags);
    int (*tmpfile)(inode *dir, file *file, umode_t mode);
    /// The body of a symbolic link. Its presence makes the inode one.
    const char *(*get_link)(dentry *dentry, inode *inode, delayed_call *done);
};

struct super_operations {
    /// The last reference is gone. The inode is still hashed, so whoever wants the same number
    /// waits until this is over. May sleep.
    void (*evict_inode)(inode *inode);
    /// Every dentry and inode is gone; frees s_fs_info.
    void (*put_super)(super_block *sb);
};

} // namespace dcsim::inline DCSIM_BACKEND
