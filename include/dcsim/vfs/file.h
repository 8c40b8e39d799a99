// SPDX-License-Identifier: GPL-2.0-only
//
// Open files and tables of descriptors. Source: include/linux/fs.h, fs/file_table.c, fs/file.c,
// fs/open.c of Linux v6.12. Reduced: no contents, no locks, no delegations, no asynchronous work.
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

/// file::f_mode
enum file_mode : fmode_t {
    FMODE_READ = 1u << 0,
    FMODE_WRITE = 1u << 1,
    FMODE_EXEC = 1u << 5,
    FMODE_PATH = 1u << 14,    ///< O_PATH: names a place, opens nothing
    FMODE_OPENED = 1u << 19,  ///< do_dentry_open() succeeded: ->release() is owed
    FMODE_CREATED = 1u << 20, ///< this open made the file
};

/// Flags of an open, with the values of x86-64's <fcntl.h> and names that its macros leave alone.
enum open_flag : unsigned {
    OPEN_RDONLY = 0,
    OPEN_WRONLY = 1,
    OPEN_RDWR = 2,
    OPEN_ACCMODE = 3,
    OPEN_CREAT = 0100,
    OPEN_EXCL = 0200,
    OPEN_NOCTTY = 0400,
    OPEN_TRUNC = 01000,
    OPEN_APPEND = 02000,
    OPEN_NONBLOCK = 04000,
    OPEN_DIRECTORY = 0200000,
    OPEN_NOFOLLOW = 0400000,
    OPEN_CLOEXEC = 02000000,
    OPEN_PATH = 010000000,
    OPEN_TMPFILE_BIT = 020000000, ///< __O_TMPFILE
    OPEN_TMPFILE = OPEN_TMPFILE_BIT | OPEN_DIRECTORY,
};

struct file {
    once<long> f_count; ///< references
    fmode_t f_mode;     ///< constant once opened
    unsigned f_flags;   ///< constant once opened
    path f_path;        ///< holds references
    inode *f_inode;     ///< of f_path.dentry; constant once opened
    const file_operations *f_op;
    const struct cred *f_cred; ///< who opened it
    mutex f_pos_lock;          ///< guards f_pos of a directory; outside the directory's i_rwsem
    loff_t f_pos;              ///< of a directory: where the next entry is
    void *private_data;        ///< for the file system
    rcu_head f_rcu;
};

/// A file with one reference and no path. ERR_PTR(-ENOMEM).
file *alloc_empty_file(unsigned flags, const struct cred *cred);
/// One more reference; the caller has one. Returns its argument.
file *get_file(file *file);
/// Drops a reference; nullptr is fine. The last one calls ->release() and gives the path back.
/// Sleeps.
void fput(file *file);

/// Opens the dentry of file->f_path, which gets references of its own: permissions have been
/// checked. 0 or a negative errno. Sleeps.
int vfs_open(const path *path, file *file);
/// For ->atomic_open() and ->tmpfile(): the file system has found or made `dentry`; opens `file` on
/// it. `open` replaces ->open when it is not null. 0 or a negative errno. Sleeps.
int finish_open(file *file, dentry *dentry, int (*open)(inode *inode, struct file *file));
/// finish_open() of the file's own dentry, unless `error`. For ->tmpfile().
int finish_open_simple(file *file, int error);
/// For ->atomic_open(): opens nothing; the VFS goes on with `dentry`, whose reference it consumes
/// (nullptr: with the one it passed). 0.
int finish_no_open(file *file, dentry *dentry);

/// Descriptors of a task, or of several.
struct files_struct {
    int users;       ///< under `lock`
    spinlock_t lock; ///< guards the table; leaf
    file **table;    ///< under `lock`; a descriptor's entry holds a reference
    unsigned size;   ///< under `lock`
};

extern files_struct init_files;

/// A copy with one user and references on the same files; nullptr when memory is short. Sleeps.
files_struct *copy_files_struct(files_struct *old);
/// One user less; the last one closes everything and frees it (init_files is emptied). Sleeps.
void put_files_struct(files_struct *files);

/// Gives `file` the lowest free descriptor of the calling task; consumes the reference on success.
/// The descriptor, -EMFILE (1,048,576 are open) or -ENOMEM. Sleeps.
int fd_install_new(file *file);
/// The open file of a descriptor of the calling task, referenced; nullptr for none. fget() refuses
/// O_PATH files.
file *fget(unsigned fd);
file *fget_raw(unsigned fd);
/// Takes the descriptor away and drops its reference. 0 or -EBADF. Sleeps.
int close_fd(unsigned fd);

} // namespace dcsim::inline DCSIM_BACKEND
