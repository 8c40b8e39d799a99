// SPDX-License-Identifier: GPL-2.0-only
//
// Names to dentries, and the operations that change directories. Source: fs/namei.c of Linux v6.12,
// reference walk only; the RCU walk, mounts, symlinks and permissions are not here yet.
#pragma once

#include <cstddef>

#include "dcsim/vfs/dcache.h"
#include "dcsim/vfs/inode.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// Flags of a lookup. Values are v6.12's.
enum lookup_flags : unsigned {
    LOOKUP_FOLLOW = 0x0001,
    LOOKUP_DIRECTORY = 0x0002,
    LOOKUP_CREATE = 0x0200,
    LOOKUP_EXCL = 0x0400,
    LOOKUP_RENAME_TARGET = 0x0800,
};

/// Longest path name, with its NUL.
inline constexpr size_t PATH_MAX_LENGTH = 4096;

/// Checks and hashes one component for `base`, asking ->d_hash. 0; -EACCES for "", ".", ".." and
/// for a name with '/' or NUL in it; or the error of ->d_hash. Too long a name is for ->lookup() to
/// refuse.
int lookup_noperm_common(qstr *name, dentry *base);

/// Asks the file system for a name that the cache does not have: d_alloc_parallel(), ->lookup()
/// when this task became its owner, d_lookup_done(). Referenced dentry, maybe negative, or ERR_PTR:
/// -ENOENT in a removed directory, -ENOMEM, what ->lookup() or ->d_revalidate() said. The caller
/// holds the directory's i_rwsem at least shared and pins `dir`.
dentry *__lookup_slow(const qstr *name, dentry *dir, unsigned flags);
/// __lookup_slow() that takes the directory's i_rwsem shared. Sleeps.
dentry *lookup_slow(const qstr *name, dentry *dir, unsigned flags);
/// The child of `base` called `name`: cached or asked for. Takes i_rwsem itself. Referenced, maybe
/// negative, or ERR_PTR. Sleeps.
dentry *lookup_noperm_unlocked(qstr *name, dentry *base);
/// The child for an operation that will change the directory. Its i_rwsem is held for writing, so
/// nothing can be in-lookup and a plain d_alloc() is enough. Referenced, maybe negative, or
/// ERR_PTR.
dentry *lookup_one_qstr_excl(const qstr *name, dentry *base, unsigned flags);

/// Walks `path` from `start`, component by component, without following symbolic links or crossing
/// mounts. A leading '/' means the root of `start`'s file system. Returns the last component
/// referenced and positive, or ERR_PTR: -ENOENT, -ENOTDIR, -ENAMETOOLONG, -ENOMEM or the file
/// system's error. `length` bytes; a NUL among them gives -EINVAL. Sleeps.
dentry *lookup_path(dentry *start, const char *path, size_t length);

// Operations. Locking is the caller's where it says "locked", as in the kernel. All return 0 or a
// negative errno and leave every reference with its owner.

/// Creates a regular file at a negative dentry. `dir` locked for writing.
int vfs_create(inode *dir, dentry *dentry, umode_t mode);
/// Creates a directory at a negative dentry. `dir` locked for writing.
int vfs_mkdir(inode *dir, dentry *dentry, umode_t mode);
/// Creates a symbolic link with this body. `dir` locked for writing.
int vfs_symlink(inode *dir, dentry *dentry, const char *body);
/// Another name for a file. `dir` locked for writing. -EPERM for directories.
int vfs_link(dentry *old_dentry, inode *dir, dentry *new_dentry);
/// Removes a file's name; the dentry turns negative or is unhashed. `dir` locked for writing.
int vfs_unlink(inode *dir, dentry *dentry);
/// Removes an empty directory. `dir` locked for writing.
int vfs_rmdir(inode *dir, dentry *dentry);

/// Locks two directories for a rename, in the order that cannot deadlock. Returns nullptr, or the
/// child of one on the way to the other: a source or target equal to it must be refused. ERR_PTR
/// (-EXDEV), with nothing locked, when the two have no common ancestor.
dentry *lock_rename(dentry *p1, dentry *p2);
void unlock_rename(dentry *p1, dentry *p2);

/// Moves old_dentry to the place of new_dentry, or exchanges them. Both parents locked by
/// lock_rename().
int vfs_rename(inode *old_dir, dentry *old_dentry, inode *new_dir, dentry *new_dentry,
               unsigned flags);

// The same by parent and name: they lock, look the names up, check and act. `parent` is pinned by
// the caller. -ENAMETOOLONG for a name over 255 bytes.

int create_at(dentry *parent, const char *name, size_t length, umode_t mode);
int mkdir_at(dentry *parent, const char *name, size_t length, umode_t mode);
int unlink_at(dentry *parent, const char *name, size_t length);
int rmdir_at(dentry *parent, const char *name, size_t length);
/// Another name for the file of `old_dentry`.
int link_at(dentry *old_dentry, dentry *parent, const char *name, size_t length);
int rename_at(dentry *old_parent, const char *old_name, size_t old_length, dentry *new_parent,
              const char *new_name, size_t new_length, unsigned flags);

} // namespace dcsim::inline DCSIM_BACKEND
