// SPDX-License-Identifier: GPL-2.0-only
//
// Open files and tables of descriptors. Source: include/linux/fs.h, fdtable.h, fs/file_table.c,
// fs/file.c, fs/open.c of Linux v6.12. Reduced: no contents, no locks, no delegations, no leases,
// no asynchronous work, nothing that happens at exec.
//
// Locking
//   files_struct::lock     guards which descriptors are taken, and the making of larger tables.
//                          Descriptors are looked up under RCU without it: table, then entry, then
//                          a reference unless there is none left, then both once more.
//   file::f_pos_lock       guards f_pos of a directory; outside its i_rwsem.
//
// Lifetime of a file: made with one reference; the last fput() calls ->release(), gives the path
// back at once, and frees the memory after a grace period.
#pragma once

#include "dcsim/kernel/once.h"
#include "dcsim/kernel/rcupdate.h"
#include "dcsim/kernel/rwsem.h"
#include "dcsim/kernel/spinlock.h"
#include "dcsim/vfs/mount.h"
#include "dcsim/vfs/operations.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct cred;

using loff_t = int64_t;
using fmode_t = unsigned;

/// What ->open() answers when the dentry it was called for is out of date: the open is done again.
/// Never leaves the VFS.
inline constexpr int EOPENSTALE = 518;

/// file::f_mode
enum file_mode : fmode_t {
    FMODE_READ = 1u << 0,
    FMODE_WRITE = 1u << 1,
    FMODE_LSEEK = 1u << 2,       ///< has a position that lseek(2) moves
    FMODE_PATH = 1u << 14,       ///< O_PATH: names a place, opens nothing
    FMODE_ATOMIC_POS = 1u << 15, ///< f_pos is used under f_pos_lock
    FMODE_OPENED = 1u << 19,     ///< do_dentry_open() succeeded: ->release() is owed
    FMODE_CREATED = 1u << 20,    ///< this open made the file
};

/// Flags of an open, with the values of x86-64's <fcntl.h> and names that its macros leave alone.
/// Those in the second group are accepted and mean nothing here, but for OPEN_NOATIME's check and
/// for OPEN_NONBLOCK on FIFOs.
enum open_flag : unsigned {
    OPEN_RDONLY = 0,
    OPEN_WRONLY = 1,
    OPEN_RDWR = 2,
    OPEN_ACCMODE = 3,
    OPEN_CREAT = 0100,
    OPEN_EXCL = 0200,
    OPEN_TRUNC = 01000,
    OPEN_APPEND = 02000,
    OPEN_DIRECTORY = 0200000,
    OPEN_NOFOLLOW = 0400000,
    OPEN_CLOEXEC = 02000000,
    OPEN_PATH = 010000000,
    OPEN_TMPFILE_BIT = 020000000, ///< __O_TMPFILE
    OPEN_TMPFILE = OPEN_TMPFILE_BIT | OPEN_DIRECTORY,

    OPEN_NOCTTY = 0400,
    OPEN_NONBLOCK = 04000,
    OPEN_DSYNC = 010000,
    OPEN_ASYNC = 020000,
    OPEN_DIRECT = 040000,
    OPEN_LARGEFILE = 0100000,
    OPEN_NOATIME = 01000000, ///< only for the owner
    OPEN_SYNC_BIT = 04000000,

    /// Proposed, and only in what ->atomic_open() gets: LOOKUP_SHARED of that call. O_CREAT does
    /// not say it, because it may have been taken away after the directory was locked for it.
    OPEN_DIR_SHARED = 1u << 30,
};

struct file {
    once<long> f_count; ///< references
    fmode_t f_mode;     ///< constant once opened
    unsigned f_flags;   ///< constant once opened
    path f_path;        ///< holds references
    inode *f_inode;     ///< of f_path.dentry; constant once opened
    const file_operations *f_op;
    const struct cred *f_cred; ///< who opened it; not owned
    mutex f_pos_lock;
    loff_t f_pos;       ///< of a directory: where the next entry is
    void *private_data; ///< for the file system
    rcu_head f_rcu;
};

/// A file with one reference and no path. ERR_PTR(-ENOMEM).
file *alloc_empty_file(unsigned flags, const struct cred *cred);
/// One more reference; the caller has one. Returns its argument.
file *get_file(file *file);
/// Drops a reference; nullptr is fine. The last one calls ->release() and gives the path back.
/// Sleeps.
void fput(file *file);

/// Opens the dentry of `path`, on which the file gets references of its own: permissions have been
/// checked. 0 or a negative errno. Sleeps.
int vfs_open(const path *path, file *file);
/// For ->atomic_open() and ->tmpfile(): the file system has found or made `dentry`; opens `file` on
/// it, with references of its own. `open` replaces ->open when it is not null. 0 or a negative
/// errno. Sleeps.
int finish_open(file *file, dentry *dentry, int (*open)(inode *inode, struct file *file));
/// finish_open() of the file's own dentry, unless `error`. For ->tmpfile().
int finish_open_simple(file *file, int error);
/// For ->atomic_open(): opens nothing; the VFS goes on with `dentry`, whose reference it consumes
/// (nullptr: with the one it passed). 0, or the error that `dentry` is.
int finish_no_open(file *file, dentry *dentry);

/// Reports the entries of an open directory from file->f_pos on, with its i_rwsem held shared, and
/// moves f_pos. f_pos_lock is held, or nobody else uses the file. 0, -ENOTDIR, -ENOENT for a
/// removed directory, or what ->iterate_shared() says. Sleeps.
int iterate_dir(file *file, dir_context *context);

/// Descriptors a table has without allocating.
inline constexpr unsigned NR_OPEN_DEFAULT = 64;
/// The sysctl fs.nr_open: no table has more descriptors. 1,048,576; a multiple of 64. Set before
/// anybody opens anything.
extern unsigned sysctl_nr_open;

/// A table of descriptors. Replaced by a larger one when full; readers under RCU may still be in
/// the old one.
struct fdtable {
    unsigned max_fds;        ///< constant, a multiple of 64
    once<file *> *fd;        ///< each entry holds a reference. Written under the lock
    unsigned long *open_fds; ///< bit n: descriptor n is taken. Under the lock
    rcu_head rcu;
};

/// Descriptors of a task, or of several.
struct files_struct {
    int users __guarded_by(lock);        ///< tasks that share it
    spinlock_t lock;                     ///< leaf
    unsigned next_fd __guarded_by(lock); ///< no lower descriptor is free
    once<fdtable *> fdt;                 ///< written under `lock`
    fdtable fdtab;                       ///< the first table, with the two below
    unsigned long open_fds_init[NR_OPEN_DEFAULT / 64];
    once<file *> fd_array[NR_OPEN_DEFAULT];
};

/// The table of init_task. Empty after vfs_init().
extern files_struct init_files;

/// A copy with one user and references on the same files; nullptr when memory is short. Linux v6.12
/// dup_fd(). Sleeps.
files_struct *copy_files_struct(files_struct *old);
/// One user less; the last one closes everything and frees it. init_files is emptied instead and
/// keeps the user it was born with. Sleeps.
void put_files_struct(files_struct *files);

/// Reserves the lowest free descriptor of the calling task, until fd_install() or put_unused_fd().
/// The descriptor, -EMFILE (sysctl_nr_open are taken) or -ENOMEM. Sleeps.
int get_unused_fd();
void put_unused_fd(unsigned fd);
/// Gives a reserved descriptor its file; consumes the reference.
void fd_install(unsigned fd, file *file);
/// The open file of a descriptor of the calling task, referenced; nullptr for none. fget() refuses
/// O_PATH files. Neither takes a lock.
file *fget(unsigned fd);
file *fget_raw(unsigned fd);
/// fget_raw() without the reference, for whoever is in RCU and looks at nothing but f_path,
/// f_inode, f_mode, f_cred (not what it points to) and f_count: they stay readable until the end of
/// the read-side section even when the descriptor is closed meanwhile. Once f_count is 0, what was
/// read of the dentry may be what became of it.
file *fget_raw_rcu(unsigned fd) __must_hold_shared(rcu);
/// Takes the descriptor away and drops its reference. 0 or -EBADF. Sleeps.
int close_fd(unsigned fd);

} // namespace dcsim::inline DCSIM_BACKEND
