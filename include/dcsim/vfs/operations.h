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
struct iattr;
struct kstat;
struct path;
struct dir_context;

/// Flags for ->rename().
enum rename_flags : unsigned {
    RENAME_NOREPLACE_FLAG = 1u << 0,
    RENAME_EXCHANGE_FLAG = 1u << 1,
    RENAME_WHITEOUT_FLAG = 1u << 2, ///< leave a whiteout behind
};

/// What a permission check asks for. Values are the kernel's; the first three those of a mode.
enum permission_mask : unsigned {
    MAY_EXEC = 1,
    MAY_WRITE = 2,
    MAY_READ = 4,
    MAY_APPEND = 8,
    MAY_ACCESS = 16,
    MAY_OPEN = 32,
    MAY_CHDIR = 64,
    MAY_NOT_BLOCK = 128, ///< the caller is in an RCU walk: -ECHILD instead of sleeping
};

/// What is to be done with the body of a symbolic link when the walk is done with it.
struct delayed_call {
    void (*function)(void *argument); ///< nullptr: nothing
    void *argument;
};

inline void set_delayed_call(delayed_call *call, void (*function)(void *), void *argument)
{
    *call = {function, argument};
}
inline void clear_delayed_call(delayed_call *call)
{
    call->function = nullptr;
}
inline void do_delayed_call(const delayed_call *call)
{
    if (call->function)
        call->function(call->argument);
}

/// Every callback that changes a directory runs with its i_rwsem held for writing.
struct inode_operations {
    /// Answers an in-lookup (or, for exclusive callers, unhashed) negative dentry by
    /// d_splice_alias() or d_add(). Returns nullptr when `dentry` is the answer, another dentry
    /// with a reference, or ERR_PTR with nothing published. `dir` is locked at least shared. May
    /// sleep.
    dentry *(*lookup)(inode *dir, dentry *dentry, unsigned flags);
    /// The body of a symbolic link, or where it leads by nd_jump_link() (then nullptr), or ERR_PTR.
    /// Its presence makes the inode one. `dentry` is nullptr in an RCU walk, where it must not
    /// sleep: ERR_PTR(-ECHILD) asks to be called again with a reference held.
    const char *(*get_link)(dentry *dentry, inode *inode, delayed_call *done);
    /// May the calling task do what `mask` says? 0, -EACCES, or -ECHILD under MAY_NOT_BLOCK.
    /// nullptr: generic_permission().
    int (*permission)(inode *inode, unsigned mask);
    int (*create)(inode *dir, dentry *dentry, umode_t mode, bool excl);
    int (*link)(dentry *old_dentry, inode *dir, dentry *dentry);
    int (*unlink)(inode *dir, dentry *dentry);
    int (*symlink)(inode *dir, dentry *dentry, const char *body);
    int (*mkdir)(inode *dir, dentry *dentry, umode_t mode);
    int (*rmdir)(inode *dir, dentry *dentry);
    /// A file of any type but directory and link; `device` of a device file.
    int (*mknod)(inode *dir, dentry *dentry, umode_t mode, unsigned device);
    int (*rename)(inode *old_dir, dentry *old_dentry, inode *new_dir, dentry *new_dentry,
                  unsigned flags);
    /// The attributes are to change, if the calling task may do that; the inode's i_rwsem is held
    /// for writing. nullptr: simple_setattr().
    int (*setattr)(dentry *dentry, iattr *attributes);
    /// nullptr: generic_fillattr().
    int (*getattr)(const path *path, kstat *stat);
    /// Lookup, creation and open in one. `dentry` is in-lookup or a hashed negative. Ends with
    /// finish_open() or finish_no_open(), or a negative errno. `dir` is locked shared with
    /// OPEN_DIR_SHARED in `flags`, else for writing.
    int (*atomic_open)(inode *dir, dentry *dentry, file *file, unsigned flags, umode_t mode);
    int (*tmpfile)(inode *dir, file *file, umode_t mode);
};

/// What iterate_shared() reports an entry to: returns false when there is no room for it.
using filldir_t = bool (*)(dir_context *context, const char *name, int length, int64_t offset,
                           ino_t ino, unsigned type);

/// A reading of a directory in progress.
struct dir_context {
    filldir_t actor;
    int64_t pos; ///< where the next entry is; 0 is ".", 1 is ".."
};

struct file_operations {
    int (*open)(inode *inode, file *file);
    int (*release)(inode *inode, file *file);
    /// Reports entries from context->pos on until the actor refuses one. 0 or a negative errno. The
    /// directory's i_rwsem is held shared. May sleep.
    int (*iterate_shared)(file *file, dir_context *context);
    /// New position, or a negative errno. `whence`: 0 absolute, 1 relative.
    int64_t (*llseek)(file *file, int64_t offset, int whence);
};

struct super_operations {
    /// The last reference is gone. The inode is still hashed, so whoever wants the same number
    /// waits until this is over. May sleep.
    void (*evict_inode)(inode *inode);
    /// A grace period after that: frees what RCU walkers may have been looking at, such as i_link.
    /// The inode's own memory goes after it. Must not sleep; the super block may be gone.
    void (*free_inode)(inode *inode);
    /// Every dentry and inode is gone; frees s_fs_info.
    void (*put_super)(super_block *sb);
};

} // namespace dcsim::inline DCSIM_BACKEND
