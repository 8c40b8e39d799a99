// SPDX-License-Identifier: GPL-2.0-only
//
// What file systems without a disk of their own are made of: operations for which the cached names
// are the directory. Source: fs/libfs.c and include/linux/fs.h of Linux v6.12, with the pinning of
// v7.2.
//
// Every name that exists is a PERSISTENT dentry: d_make_persistent() pins it until it is removed or
// the file system goes. So a cache miss means that there is no such name.
#pragma once

#include "dcsim/vfs/file.h"
#include "dcsim/vfs/inode.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct dentry;

/// A name that is in its directory: positive and hashed. d_lock held, or only a hint.
bool simple_positive(const dentry *dentry);

// --- Operations for the tables ---

/// A miss, without asking anybody; the dentry goes with its last reference. nullptr or
/// ERR_PTR(-ENAMETOOLONG).
dentry *simple_lookup(inode *dir, dentry *dentry, unsigned flags);
/// Has the directory (or a negative dentry) no names in it? Its i_rwsem keeps the answer true.
bool simple_empty(dentry *dentry);
int simple_link(dentry *old_dentry, inode *dir, dentry *dentry);
int simple_unlink(inode *dir, dentry *dentry);
/// 0 or -ENOTEMPTY.
int simple_rmdir(inode *dir, dentry *dentry);
/// Link counts of two directories that exchange entries.
int simple_rename_exchange(inode *old_dir, dentry *old_dentry, inode *new_dir, dentry *new_dentry);
/// 0, -ENOTEMPTY, or -EINVAL for unknown flags.
int simple_rename(inode *old_dir, dentry *old_dentry, inode *new_dir, dentry *new_dentry,
                  unsigned flags);
int simple_setattr(dentry *dentry, iattr *attributes);
/// i_link.
const char *simple_get_link(dentry *dentry, inode *inode, delayed_call *done);
/// kfree(), for set_delayed_call() of a ->get_link() that makes a copy. Linux v6.12 fs/libfs.c.
void kfree_link(void *text);
extern const inode_operations simple_symlink_inode_operations;

// --- Reading a directory that is its cached names ---
//
// An open directory has a *cursor* in file::private_data: a dentry that is no name, kept among the
// children in front of the entry to be read next. Names come and go around it, so a reader neither
// skips nor repeats any that stay. Positions count the entries before, `.` and `..` included.

int dcache_dir_open(inode *inode, file *file);
int dcache_dir_close(inode *inode, file *file);
/// Puts the cursor behind the first offset - 2 names. The new position or -EINVAL.
int64_t dcache_dir_lseek(file *file, int64_t offset, int whence);
/// Reports names, newest first. The directory's i_rwsem is held shared.
int dcache_readdir(file *file, dir_context *context);
extern const file_operations simple_dir_operations;

/// ->llseek() of a directory whose positions are numbers of its own: SEEK_SET and SEEK_CUR, with
/// nothing to be done but to note the position. The new position or -EINVAL. f_pos_lock held.
int64_t offset_dir_llseek(file *file, int64_t offset, int whence);

// --- For ->iterate_shared() ---

/// d_type of getdents64(2) for a mode.
inline unsigned fs_umode_to_dtype(umode_t mode)
{
    return (mode & S_IFMT_MASK) >> 12;
}
/// Reports the entry at context->pos. False when there is no room for it.
bool dir_emit(dir_context *context, const char *name, int length, ino_t ino, unsigned type);
/// Reports `.` and `..` as far as they are still to be read; context->pos is at least 2 afterwards.
/// False when there is no room for them.
bool dir_emit_dots(const file *file, dir_context *context);

} // namespace dcsim::inline DCSIM_BACKEND
