// SPDX-License-Identifier: GPL-2.0-only
//
// From path names to dentries, and the operations that change directories. Source: fs/namei.c of
// Linux v6.12 over v7.2's dcache, and its start_creating() family from v6.19. syscalls.h has the
// same by path name for whole tasks.
//
// A walk first goes in *RCU mode*: no locks, no references, every step checked against d_seq, and
// given up with -ECHILD as soon as it must wait or something moved. Then it goes again in *ref
// mode*, holding what it stands on; and when a file system found a handle stale (-ESTALE), a third
// time with LOOKUP_REVAL.
#pragma once

#include <cstddef>

#include "dcsim/vfs/dcache.h"
#include "dcsim/vfs/file.h"
#include "dcsim/vfs/inode.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// Flags of a lookup. Values are v6.12's.
enum lookup_flags : unsigned {
    LOOKUP_FOLLOW = 0x0001,    ///< follow a link in the last place
    LOOKUP_DIRECTORY = 0x0002, ///< the result must be one
    LOOKUP_AUTOMOUNT = 0x0004,
    LOOKUP_EMPTY = 0x4000, ///< "" is where the walk starts
    LOOKUP_DOWN = 0x8000,  ///< cross mounts at the start
    LOOKUP_MOUNTPOINT = 0x0080,
    LOOKUP_REVAL = 0x0020, ///< file systems must not trust what is cached
    LOOKUP_RCU = 0x0040,
    LOOKUP_OPEN = 0x0100,
    LOOKUP_CREATE = 0x0200,
    LOOKUP_EXCL = 0x0400,
    LOOKUP_RENAME_TARGET = 0x0800,
    LOOKUP_SHARED = 0x1000, ///< proposed: ->lookup() is called with the parent locked only shared
    LOOKUP_PARENT = 0x0010, ///< internal: not the last component
    LOOKUP_NO_SYMLINKS = 0x010000,
    LOOKUP_NO_MAGICLINKS = 0x020000,
    LOOKUP_NO_XDEV = 0x040000,
    LOOKUP_BENEATH = 0x080000, ///< -EXDEV for what leads out of the start
    LOOKUP_IN_ROOT = 0x100000, ///< the start is the root
    LOOKUP_CACHED = 0x200000,  ///< -EAGAIN instead of anything that may block
    LOOKUP_LINKAT_EMPTY = 0x400000,
    LOOKUP_IS_SCOPED = LOOKUP_BENEATH | LOOKUP_IN_ROOT,
    /// What the name is looked up for. With any of them ->lookup() may leave the dentry in lookup,
    /// where the caller can cope with that: see lookup_one_qstr().
    LOOKUP_INTENT_FLAGS = LOOKUP_OPEN | LOOKUP_CREATE | LOOKUP_EXCL | LOOKUP_RENAME_TARGET,
};

/// What the last component of a path is.
enum last_component : int { LAST_NORM, LAST_ROOT, LAST_DOT, LAST_DOTDOT };

/// Longest path name, with its NUL.
inline constexpr size_t PATH_MAX_LENGTH = 4096;
/// Symbolic links followed in one walk.
inline constexpr int MAXSYMLINKS = 40;
/// The descriptor that stands for the working directory.
inline constexpr int AT_FDCWD_VALUE = -100;

/// Whether links in sticky directories that everybody may write to are followed for their owner
/// alone, as /proc/sys/fs/protected_symlinks. 1 at first.
extern once<int> sysctl_protected_symlinks;
/// Whether a file gets further names only from its owner and from who may read and write it anyway,
/// as /proc/sys/fs/protected_hardlinks. 1 at first.
extern once<int> sysctl_protected_hardlinks;

// --- One name in one directory ---

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
/// The cached child of `base` called `name`, which is hashed here. Referenced, maybe negative,
/// maybe stale: ->d_revalidate() is not asked. nullptr, or ERR_PTR as lookup_noperm_common(). Linux
/// v6.17.
dentry *try_lookup_noperm(qstr *name, dentry *base);
/// The child of `base` called `name`: cached or asked for. Takes i_rwsem itself. Referenced, maybe
/// negative, or ERR_PTR. Sleeps.
dentry *lookup_noperm_unlocked(qstr *name, dentry *base);
/// The cached and valid child, referenced; nullptr when the file system must be asked; ERR_PTR.
dentry *lookup_dcache(const qstr *name, dentry *dir, unsigned flags);
/// The child for an operation that will change the directory. Its i_rwsem is held for writing, so
/// nothing can be in-lookup and a plain d_alloc() is enough. Referenced, or ERR_PTR: -ENOENT for a
/// negative one without LOOKUP_CREATE, -EEXIST for a positive one with LOOKUP_EXCL, and the errors
/// of lookup_slow(). Not with vfs_config::lookup_outside_rwsem, where names are looked up by who
/// holds nothing: a warning.
dentry *lookup_one_qstr_excl(const qstr *name, dentry *base, unsigned flags);

// --- Paths ---

/// Walks `name` for the calling task, from its root or its working directory. 0 and references on
/// both halves of `result`, or a negative errno. "" is the working directory, with LOOKUP_EMPTY or
/// without. A task without root or working directory gets -ENOENT and a warning. Sleeps. Linux
/// v6.12.
int kern_path(const char *name, unsigned flags, path *result);
/// Walks `name` from (mnt, dentry), which is its root as well: nothing leads out of it. "" is that
/// place itself. The caller pins it. Results as kern_path(). Linux v6.12.
int vfs_path_lookup(dentry *dentry, vfsmount *mnt, const char *name, unsigned flags, path *result);
/// For ->get_link() of a link that leads to a place, not to a name: continues the walk of the
/// calling task there. Only where ->get_link() was given a dentry: not in RCU mode. Consumes the
/// references of `path`. 0, -ELOOP, -EXDEV. Linux v6.12.
int nd_jump_link(const path *path);
/// Walks `path` from `start`, component by component, in ref mode only: without tasks, mounts,
/// permissions, or following symbolic links. A leading '/' means the root of `start`'s file system.
/// Returns the last component referenced and positive, or ERR_PTR: -ENOENT, -ENOTDIR,
/// -ENAMETOOLONG, -ENOMEM or the file system's error. `length` bytes; a NUL among them gives
/// -EINVAL. Sleeps. For who wants the dcache and nothing else.
dentry *lookup_path(dentry *start, const char *path, size_t length);

// --- Starting and ending a change of one name ---
//
// What start_*() returns has the parent locked for writing; end_*() unlocks it and drops the
// dentry. Together they hide which lock makes a name safe to change: with
// vfs_config::lookup_outside_rwsem the dentry may be in lookup as well, and end_*() ends that.
// Linux v6.19.

/// Locks the parent and finds `name` in it: lookup_one_qstr_excl()'s result. On error nothing is
/// locked.
dentry *start_dirop(dentry *parent, const qstr *name, unsigned flags);
/// Unlocks and drops what start_dirop() and its relatives returned; ERR_PTR and nullptr are fine.
void end_dirop(dentry *dentry);
/// start_dirop() for making `name`: the result may be positive. -EACCES for names that cannot be
/// made, and what the permission to search says.
dentry *start_creating(dentry *parent, qstr *name);
dentry *start_creating_noperm(dentry *parent, qstr *name);
/// start_dirop() for removing `name`: -ENOENT when there is none.
dentry *start_removing(dentry *parent, qstr *name);
dentry *start_removing_noperm(dentry *parent, qstr *name);
/// Locks the parent of a child that the caller has found before and checks that it is still there
/// and (creating) negative or (removing) positive: returns it with one more reference, or ERR_PTR:
/// -EINVAL when it moved, -ENOENT, -EEXIST.
dentry *start_creating_dentry(dentry *parent, dentry *child);
dentry *start_removing_dentry(dentry *parent, dentry *child);
void end_creating(dentry *child);
/// end_creating() that keeps the reference: returns the dentry.
dentry *end_creating_keep(dentry *child);
void end_removing(dentry *child);

/// A rename between its start and its end.
struct renamedata {
    dentry *old_parent; ///< where it is; a reference is held while started
    dentry *old_dentry; ///< what moves, found and referenced by the start
    dentry *new_parent; ///< where it goes
    dentry *new_dentry; ///< what it replaces or is exchanged with, maybe negative; likewise
    unsigned flags;     ///< RENAME_*
};
/// Locks both parents and finds both names, for vfs_rename(). Given are the parents, the names, the
/// RENAME_* flags. 0, or with nothing held: -EACCES for a bad name or a parent that the calling
/// task may not search, -EXDEV without a common ancestor, -EINVAL or -ENOTEMPTY when a directory
/// would become its own ancestor, and the errors of lookup_one_qstr_excl().
int start_renaming(renamedata *rd, unsigned lookup_flags, qstr *old_last, qstr *new_last);
/// The same for a dentry that the caller has found before. -EINVAL when it was unhashed, or is not
/// in old_parent; with old_parent nullptr any parent is right and is filled in.
int start_renaming_dentry(renamedata *rd, unsigned lookup_flags, dentry *old_dentry,
                          qstr *new_last);
/// The same for two dentries. -EINVAL when one of them is not where it should be.
int start_renaming_two_dentries(renamedata *rd, dentry *old_dentry, dentry *new_dentry);
/// Unlocks both parents and drops what a start took. Not after one that failed.
void end_renaming(renamedata *rd);

// --- Changes. All return 0 or a negative errno and leave every reference with its owner. ---
//
// Each needs permission to write and search the directory (-EACCES), which must not have been
// removed (-ENOENT), and the file system's operation (-EPERM; of vfs_create() -EACCES). What is
// made must not be there (-EEXIST). What is removed, moved or replaced must be there (-ENOENT) and
// be a directory or none as the operation wants it (-ENOTDIR, -EISDIR); nothing may be mounted on
// it (-EBUSY), and in a sticky directory it or the directory must be the task's (-EPERM). Then the
// file system has its say. All sleep.

/// Creates a regular file at a negative dentry. `dir` locked for writing.
int vfs_create(inode *dir, dentry *dentry, umode_t mode);
/// Creates a file of any type but directory and link. `dir` locked for writing.
int vfs_mknod(inode *dir, dentry *dentry, umode_t mode, unsigned device);
/// Creates a directory at a negative dentry. `dir` locked for writing.
int vfs_mkdir(inode *dir, dentry *dentry, umode_t mode);
/// Creates a symbolic link with this body. `dir` locked for writing.
int vfs_symlink(inode *dir, dentry *dentry, const char *body);
/// Another name for a file. `dir` locked for writing. -EPERM for directories, -EXDEV on another
/// file system, -ENOENT for a file whose last name is gone.
int vfs_link(dentry *old_dentry, inode *dir, dentry *new_dentry);
/// Removes a file's name; the dentry turns negative or is unhashed. `dir` locked for writing.
int vfs_unlink(inode *dir, dentry *dentry);
/// Removes an empty directory. `dir` locked for writing.
int vfs_rmdir(inode *dir, dentry *dentry);
/// Body of a symbolic link, copied without a NUL: the number of bytes, cut to `size`. -EINVAL for
/// what is none.
int vfs_readlink(dentry *dentry, char *buffer, int size);

/// Locks two directories for a rename, in the order that cannot deadlock. Returns nullptr, or the
/// child of one on the way to the other: a source or target equal to it must be refused. ERR_PTR
/// (-EXDEV), with nothing locked, when the two have no common ancestor.
dentry *lock_rename(dentry *p1, dentry *p2);
/// The same for the parent of `child`, whatever it is by then, and a directory. Without a common
/// parent it takes s_vfs_rename_mutex.
dentry *lock_rename_child(dentry *child, dentry *p2);
void unlock_rename(dentry *p1, dentry *p2);

/// Moves old_dentry to the place of new_dentry, or exchanges them. Both parents locked by
/// lock_rename(), whose result the caller has looked at. Nothing happens (0) when both are names of
/// one file. A directory that gets another parent must be the task's to write (-EACCES).
int vfs_rename(inode *old_dir, dentry *old_dentry, inode *new_dir, dentry *new_dentry,
               unsigned flags);

// --- Opening ---

/// How a file is to be opened. Linux v6.12 fs/internal.h struct open_flags.
struct open_flags {
    unsigned open_flag;    ///< OPEN_*
    umode_t mode;          ///< of a new file, the umask not yet taken off
    unsigned acc_mode;     ///< MAY_* to be checked
    unsigned intent;       ///< LOOKUP_OPEN and relatives for the last component
    unsigned lookup_flags; ///< for the walk
};
/// The flags of openat2(2), checked: 0; -EINVAL; -EAGAIN for RESOLVE_CACHED with a flag that makes
/// or changes something. `resolve`: RESOLVE_* of that call.
int build_open_flags(unsigned flags, umode_t mode, unsigned resolve, open_flags *result);
/// Opens a file for the calling task, without a descriptor. `flags` and `mode` as for open(2); ""
/// is the working directory. One reference, or ERR_PTR. Sleeps. Linux v6.12.
file *filp_open(const char *name, unsigned flags, umode_t mode);

/// The sysctls fs.protected_regular and fs.protected_fifos: an O_CREAT open of somebody else's file
/// in a sticky directory that everybody (2: or the group) may write is refused. 0: allowed. Set
/// before anybody opens anything.
extern int sysctl_protected_regular;
extern int sysctl_protected_fifos;

// --- By parent and name, without a path: they lock, look the names up, and change them by the
// functions above, with the permissions and errors of those. `parent` is pinned by the caller.
// -ENAMETOOLONG for a name over 255 bytes, -EACCES for one that is none. ---

int create_at(dentry *parent, const char *name, size_t length, umode_t mode);
int mkdir_at(dentry *parent, const char *name, size_t length, umode_t mode);
int unlink_at(dentry *parent, const char *name, size_t length);
int rmdir_at(dentry *parent, const char *name, size_t length);
/// Another name for the file of `old_dentry`.
int link_at(dentry *old_dentry, dentry *parent, const char *name, size_t length);
int rename_at(dentry *old_parent, const char *old_name, size_t old_length, dentry *new_parent,
              const char *new_name, size_t new_length, unsigned flags);

} // namespace dcsim::inline DCSIM_BACKEND
