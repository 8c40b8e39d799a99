// SPDX-License-Identifier: GPL-2.0-only
//
// Opening what a path walk has found, and the system calls of fs/open.c: open, close, access,
// chdir, chroot, chmod, chown.
//
// Reduced: no contents, so O_TRUNC takes set-id bits away and nothing else; nobody executes, so
// there is no count of writers (-ETXTBSY); flags of reading and writing mean nothing.
#include "dcsim/vfs/file.h"

#include "dcsim/kernel/bug.h"
#include "dcsim/vfs/attributes.h"
#include "dcsim/vfs/syscalls.h"
#include "namei_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

// Linux v6.12 include/linux/fs.h special_file().
bool special_file(umode_t mode)
{
    switch (mode & S_IFMT_MASK) {
    case S_IFCHR_TYPE:
    case S_IFBLK_TYPE:
    case S_IFIFO_TYPE:
    case S_IFSOCK_TYPE:
        return true;
    default:
        return false;
    }
}

// --- From a path to an open file ---

// Linux v6.12 fs/open.c do_dentry_open().
//
// f_path comes without references and gets them here; on failure it is empty.
int do_dentry_open(file *f, int (*open)(inode *inode, struct file *file))
{
    static constexpr file_operations empty_fops = {};
    inode *inode = d_inode(f->f_path.dentry);
    umode_t mode = READ_ONCE(inode->i_mode);
    int error;

    path_get(&f->f_path);
    f->f_inode = inode;

    if (unlikely(f->f_flags & OPEN_PATH)) {
        f->f_mode = FMODE_PATH | FMODE_OPENED;
        f->f_op = &empty_fops;
        return 0;
    }

    if ((f->f_mode & FMODE_WRITE) && !special_file(mode)) {
        error = mnt_want_write(f->f_path.mnt);
        if (unlikely(error))
            goto cleanup_file;
    }
    if (S_ISREG_mode(mode) || S_ISDIR_mode(mode))
        f->f_mode |= FMODE_ATOMIC_POS;

    f->f_op = inode->i_fop;
    error = -ENODEV;
    if (WARN_ON(!f->f_op))
        goto cleanup_file;

    f->f_mode |= FMODE_LSEEK;
    if (!open)
        open = f->f_op->open;
    if (open) {
        error = open(inode, f);
        if (error)
            goto cleanup_all;
    }
    f->f_mode |= FMODE_OPENED;
    if ((f->f_mode & FMODE_LSEEK) && !f->f_op->llseek)
        f->f_mode &= ~FMODE_LSEEK;
    f->f_flags &= ~(OPEN_CREAT | OPEN_EXCL | OPEN_NOCTTY | OPEN_TRUNC);
    return 0;

cleanup_all:
    if (WARN_ON(error > 0))
        error = -EINVAL;
cleanup_file:
    path_put(&f->f_path);
    f->f_path = {nullptr, nullptr};
    f->f_inode = nullptr;
    return error;
}

} // namespace

// Linux v6.12 fs/open.c vfs_open().
int vfs_open(const path *path, file *file)
{
    file->f_path = *path;
    return do_dentry_open(file, nullptr);
}

// Linux v6.12 fs/open.c finish_open().
int finish_open(file *file, dentry *dentry, int (*open)(inode *inode, struct file *file))
{
    BUG_ON(file->f_mode & FMODE_OPENED);
    file->f_path.dentry = dentry;
    return do_dentry_open(file, open);
}

// Linux v6.12 include/linux/fs.h finish_open_simple().
int finish_open_simple(file *file, int error)
{
    if (error)
        return error;
    return finish_open(file, file->f_path.dentry, nullptr);
}

// Linux v6.12 fs/open.c finish_no_open().
int finish_no_open(file *file, dentry *dentry)
{
    if (IS_ERR(dentry))
        return PTR_ERR(dentry);
    file->f_path.dentry = dentry;
    return 0;
}

// --- Flags ---

namespace
{

constexpr unsigned VALID_OPEN_FLAGS =
    OPEN_ACCMODE | OPEN_CREAT | OPEN_EXCL | OPEN_NOCTTY | OPEN_TRUNC | OPEN_APPEND | OPEN_NONBLOCK |
    OPEN_SYNC_BIT | OPEN_DSYNC | OPEN_ASYNC | OPEN_DIRECT | OPEN_LARGEFILE | OPEN_DIRECTORY |
    OPEN_NOFOLLOW | OPEN_NOATIME | OPEN_CLOEXEC | OPEN_PATH | OPEN_TMPFILE_BIT;
constexpr unsigned VALID_RESOLVE_FLAGS = RESOLVE_NO_XDEV_FLAG | RESOLVE_NO_MAGICLINKS_FLAG |
                                         RESOLVE_NO_SYMLINKS_FLAG | RESOLVE_BENEATH_FLAG |
                                         RESOLVE_IN_ROOT_FLAG | RESOLVE_CACHED_FLAG;
constexpr unsigned O_PATH_FLAGS = OPEN_DIRECTORY | OPEN_NOFOLLOW | OPEN_PATH | OPEN_CLOEXEC;

// Linux v6.12 fs/open.c WILL_CREATE().
bool will_create(unsigned flags)
{
    return flags & (OPEN_CREAT | OPEN_TMPFILE_BIT);
}

// Linux v6.12 include/linux/fs.h ACC_MODE(). 3 asks for both rights.
unsigned access_mode_of(unsigned flags)
{
    constexpr unsigned rights[] = {MAY_READ, MAY_WRITE, MAY_READ | MAY_WRITE, MAY_READ | MAY_WRITE};

    return rights[flags & OPEN_ACCMODE];
}

/// How to open, of openat2().
struct open_how {
    unsigned flags;
    umode_t mode;
    unsigned resolve;
};

// Linux v6.12 fs/open.c build_open_how().
//
// The calls that are older than openat2() ignore what they do not know.
open_how build_open_how(unsigned flags, umode_t mode)
{
    open_how how = {flags & VALID_OPEN_FLAGS, static_cast<umode_t>(mode & S_IALLUGO_BITS), 0};

    // O_PATH beats everything else.
    if (how.flags & OPEN_PATH)
        how.flags &= O_PATH_FLAGS;
    if (!will_create(how.flags))
        how.mode = 0;
    return how;
}

/// build_open_flags(), what may not go together: 0 or -EINVAL.
int check_open_flags(unsigned flags, umode_t mode, unsigned resolve)
{
    if (flags & ~VALID_OPEN_FLAGS)
        return -EINVAL;
    if (resolve & ~VALID_RESOLVE_FLAGS)
        return -EINVAL;
    if ((resolve & RESOLVE_BENEATH_FLAG) && (resolve & RESOLVE_IN_ROOT_FLAG))
        return -EINVAL;
    if (mode & ~(will_create(flags) ? S_IALLUGO_BITS : 0))
        return -EINVAL;
    // Once made regular files. Refusing it also protects O_TMPFILE below.
    if ((flags & (OPEN_DIRECTORY | OPEN_CREAT)) == (OPEN_DIRECTORY | OPEN_CREAT))
        return -EINVAL;
    if (flags & OPEN_TMPFILE_BIT) {
        // Kernels that do not know __O_TMPFILE see O_DIRECTORY and refuse to write.
        if (!(flags & OPEN_DIRECTORY) || !(access_mode_of(flags) & MAY_WRITE))
            return -EINVAL;
    }
    if ((flags & OPEN_PATH) && (flags & ~O_PATH_FLAGS))
        return -EINVAL;
    return 0;
}

/// build_open_flags(), the flags of the walk.
unsigned lookup_flags_of(unsigned flags, unsigned resolve)
{
    static constexpr struct {
        unsigned resolve, lookup;
    } same[] = {
        {RESOLVE_NO_XDEV_FLAG, LOOKUP_NO_XDEV},
        {RESOLVE_NO_MAGICLINKS_FLAG, LOOKUP_NO_MAGICLINKS},
        {RESOLVE_NO_SYMLINKS_FLAG, LOOKUP_NO_SYMLINKS},
        {RESOLVE_BENEATH_FLAG, LOOKUP_BENEATH},
        {RESOLVE_IN_ROOT_FLAG, LOOKUP_IN_ROOT},
        {RESOLVE_CACHED_FLAG, LOOKUP_CACHED},
    };
    unsigned lookup_flags = 0;

    if (flags & OPEN_DIRECTORY)
        lookup_flags |= LOOKUP_DIRECTORY;
    if (!(flags & OPEN_NOFOLLOW))
        lookup_flags |= LOOKUP_FOLLOW;
    for (auto [from, to] : same)
        if (resolve & from)
            lookup_flags |= to;
    return lookup_flags;
}

} // namespace

// Linux v6.12 fs/open.c build_open_flags().
int build_open_flags(unsigned flags, umode_t mode, unsigned resolve, open_flags *op)
{
    int error;

    flags &= ~OPEN_CLOEXEC;
    error = check_open_flags(flags, mode, resolve);
    if (error)
        return error;

    op->mode = will_create(flags) ? static_cast<umode_t>(mode | S_IFREG_TYPE) : umode_t{0};
    op->acc_mode = flags & OPEN_PATH ? 0 : access_mode_of(flags);
    if (flags & OPEN_SYNC_BIT)
        flags |= OPEN_DSYNC;
    op->open_flag = flags;

    if (flags & OPEN_TRUNC)
        op->acc_mode |= MAY_WRITE;
    if (flags & OPEN_APPEND)
        op->acc_mode |= MAY_APPEND;

    op->intent = flags & OPEN_PATH ? 0u : unsigned{LOOKUP_OPEN};
    if (flags & OPEN_CREAT) {
        op->intent |= LOOKUP_CREATE;
        if (flags & OPEN_EXCL) {
            op->intent |= LOOKUP_EXCL;
            flags |= OPEN_NOFOLLOW;
        }
    }
    // Do not even try what is going to block.
    if ((resolve & RESOLVE_CACHED_FLAG) && (flags & (OPEN_TRUNC | OPEN_CREAT | OPEN_TMPFILE_BIT)))
        return -EAGAIN;
    op->lookup_flags = lookup_flags_of(flags, resolve);
    return 0;
}

// --- open, close ---

// Linux v6.12 fs/open.c filp_open(), with file_open_name().
file *filp_open(const char *name, unsigned flags, umode_t mode)
{
    open_how how = build_open_how(flags, mode);
    open_flags op;
    filename pathname;
    int error = getname_kernel(name, &pathname);

    if (!error)
        error = build_open_flags(how.flags, how.mode, how.resolve, &op);
    if (error)
        return ERR_PTR(error);
    return do_filp_open(AT_FDCWD_VALUE, &pathname, &op);
}

namespace
{

// Linux v6.12 fs/open.c do_sys_openat2().
int do_sys_openat2(int dfd, const char *name, const open_how &how)
{
    open_flags op;
    filename pathname;
    file *f;
    int fd = build_open_flags(how.flags, how.mode, how.resolve, &op);

    if (fd)
        return fd;
    fd = getname_flags(name, 0, &pathname);
    if (fd)
        return fd;

    // First of all: an open that has created a file must not fail for want of a descriptor.
    fd = get_unused_fd();
    if (fd < 0)
        return fd;
    f = do_filp_open(dfd, &pathname, &op);
    if (IS_ERR(f)) {
        put_unused_fd(static_cast<unsigned>(fd));
        return PTR_ERR(f);
    }
    fd_install(static_cast<unsigned>(fd), f);
    return fd;
}

} // namespace

// Linux v6.12 fs/open.c openat(2).
int sys_openat(vfs_task *task, int dfd, const char *name, unsigned flags, umode_t mode)
{
    task_scope scope(task);

    return do_sys_openat2(dfd, name, build_open_how(flags, mode));
}

// Linux v6.12 fs/open.c openat2(2).
int sys_openat2(vfs_task *task, int dfd, const char *name, unsigned flags, umode_t mode,
                unsigned resolve)
{
    task_scope scope(task);

    return do_sys_openat2(dfd, name, {flags, mode, resolve});
}

// Linux v6.12 fs/open.c close(2).
int sys_close(vfs_task *task, int fd)
{
    task_scope scope(task);

    return close_fd(static_cast<unsigned>(fd));
}

// --- access ---

namespace
{

// Linux v6.12 fs/open.c do_faccessat().
int do_faccessat(int dfd, const char *name, unsigned mode, unsigned flags)
{
    unsigned lookup_flags = LOOKUP_FOLLOW;
    inode *inode;
    path path;
    int res;

    if (mode & ~(MAY_READ | MAY_WRITE | MAY_EXEC))
        return -EINVAL;
    if (flags & ~(AT_EACCESS_FLAG | AT_SYMLINK_NOFOLLOW_FLAG | AT_EMPTY_PATH_FLAG))
        return -EINVAL;
    if (flags & AT_SYMLINK_NOFOLLOW_FLAG)
        lookup_flags &= ~LOOKUP_FOLLOW;
    if (flags & AT_EMPTY_PATH_FLAG)
        lookup_flags |= LOOKUP_EMPTY;
retry:
    res = user_path_at(dfd, name, lookup_flags, &path);
    if (res)
        return res;
    inode = d_inode(path.dentry);
    res = inode_permission(inode, mode | MAY_ACCESS);
    // Whoever has the right still cannot write where nobody can.
    if (!res && (mode & MAY_WRITE) && !special_file(READ_ONCE(inode->i_mode)))
        res = mnt_want_write(path.mnt);
    path_put(&path);
    if (retry_estale(res, lookup_flags)) {
        lookup_flags |= LOOKUP_REVAL;
        goto retry;
    }
    return res;
}

/// The rights that access(2) asks about: those of the user without the capabilities that somebody
/// lent to the process. Linux v6.12 fs/open.c access_override_creds(), with real ids equal to the
/// file system's.
cred access_creds(const cred *cred)
{
    struct cred override = *cred;

    if (override.fsuid != 0)
        override.cap_effective = 0;
    return override;
}

} // namespace

// Linux v6.12 fs/open.c faccessat2(2).
int sys_faccessat2(vfs_task *task, int dfd, const char *name, unsigned mode, unsigned flags)
{
    const cred override = access_creds(task->cred);
    vfs_task asking = *task;

    if (!(flags & AT_EACCESS_FLAG))
        asking.cred = &override;
    task_scope scope(&asking);

    return do_faccessat(dfd, name, mode, flags);
}

// --- chdir, chroot ---

// Linux v6.12 fs/open.c chdir(2).
int sys_chdir(vfs_task *task, const char *name)
{
    task_scope scope(task);
    unsigned lookup_flags = LOOKUP_FOLLOW | LOOKUP_DIRECTORY;
    path path;
    int error;

retry:
    error = user_path_at(AT_FDCWD_VALUE, name, lookup_flags, &path);
    if (error)
        return error;
    error = inode_permission(d_inode(path.dentry), MAY_EXEC | MAY_CHDIR);
    if (!error)
        set_fs_pwd(task->fs, &path);
    path_put(&path);
    if (retry_estale(error, lookup_flags)) {
        lookup_flags |= LOOKUP_REVAL;
        goto retry;
    }
    return error;
}

// Linux v6.12 fs/open.c fchdir(2).
int sys_fchdir(vfs_task *task, int fd)
{
    task_scope scope(task);
    file *file = fget_raw(static_cast<unsigned>(fd));
    int error = -ENOTDIR;

    if (!file)
        return -EBADF;
    if (d_can_lookup(file->f_path.dentry)) {
        error = inode_permission(file->f_inode, MAY_EXEC | MAY_CHDIR);
        if (!error)
            set_fs_pwd(task->fs, &file->f_path);
    }
    fput(file);
    return error;
}

// Linux v6.12 fs/open.c chroot(2).
int sys_chroot(vfs_task *task, const char *name)
{
    task_scope scope(task);
    unsigned lookup_flags = LOOKUP_FOLLOW | LOOKUP_DIRECTORY;
    path path;
    int error;

retry:
    error = user_path_at(AT_FDCWD_VALUE, name, lookup_flags, &path);
    if (error)
        return error;
    error = inode_permission(d_inode(path.dentry), MAY_EXEC | MAY_CHDIR);
    if (!error && !capable(CAP_SYS_CHROOT))
        error = -EPERM;
    if (!error)
        set_fs_root(task->fs, &path);
    path_put(&path);
    if (retry_estale(error, lookup_flags)) {
        lookup_flags |= LOOKUP_REVAL;
        goto retry;
    }
    return error;
}

// --- chmod, chown ---

namespace
{

/// The flags of a lookup for fchmodat() and fchownat(), or -EINVAL.
int attribute_lookup_flags(unsigned flags)
{
    unsigned lookup_flags = 0;

    if (flags & ~(AT_SYMLINK_NOFOLLOW_FLAG | AT_EMPTY_PATH_FLAG))
        return -EINVAL;
    if (!(flags & AT_SYMLINK_NOFOLLOW_FLAG))
        lookup_flags |= LOOKUP_FOLLOW;
    if (flags & AT_EMPTY_PATH_FLAG)
        lookup_flags |= LOOKUP_EMPTY;
    return static_cast<int>(lookup_flags);
}

// Linux v6.12 fs/open.c chmod_common().
int chmod_common(const path *path, umode_t mode)
{
    inode *inode = d_inode(path->dentry);
    iattr attributes = {};
    int error = mnt_want_write(path->mnt);

    if (error)
        return error;
    inode_lock(inode);
    attributes.ia_mode = static_cast<umode_t>((mode & S_IALLUGO_BITS) |
                                              (READ_ONCE(inode->i_mode) & ~S_IALLUGO_BITS));
    attributes.ia_valid = ATTR_MODE;
    error = notify_change(path->dentry, &attributes);
    inode_unlock(inode);
    return error;
}

// Linux v6.12 fs/open.c chown_common().
int chown_common(const path *path, kuid_t uid, kgid_t gid)
{
    inode *inode = d_inode(path->dentry);
    iattr attributes = {};
    int error;

    if (uid != static_cast<kuid_t>(-1)) {
        attributes.ia_valid |= ATTR_UID;
        attributes.ia_uid = uid;
    }
    if (gid != static_cast<kgid_t>(-1)) {
        attributes.ia_valid |= ATTR_GID;
        attributes.ia_gid = gid;
    }
    inode_lock(inode);
    if (!inode_is_directory(inode))
        attributes.ia_valid |= ATTR_KILL_SUID | setattr_should_drop_sgid(inode);
    error = notify_change(path->dentry, &attributes);
    inode_unlock(inode);
    return error;
}

} // namespace

// Linux v6.12 fs/open.c fchmodat2(2), with do_fchmodat().
int sys_fchmodat(vfs_task *task, int dfd, const char *name, umode_t mode, unsigned flags)
{
    task_scope scope(task);
    int valid = attribute_lookup_flags(flags);
    unsigned lookup_flags = static_cast<unsigned>(valid);
    path path;
    int error;

    if (valid < 0)
        return valid;
retry:
    error = user_path_at(dfd, name, lookup_flags, &path);
    if (error)
        return error;
    error = chmod_common(&path, mode);
    path_put(&path);
    if (retry_estale(error, lookup_flags)) {
        lookup_flags |= LOOKUP_REVAL;
        goto retry;
    }
    return error;
}

// Linux v6.12 fs/open.c fchownat(2), with do_fchownat().
int sys_fchownat(vfs_task *task, int dfd, const char *name, kuid_t uid, kgid_t gid, unsigned flags)
{
    task_scope scope(task);
    int valid = attribute_lookup_flags(flags);
    unsigned lookup_flags = static_cast<unsigned>(valid);
    path path;
    int error;

    if (valid < 0)
        return valid;
retry:
    error = user_path_at(dfd, name, lookup_flags, &path);
    if (error)
        return error;
    error = mnt_want_write(path.mnt);
    if (!error)
        error = chown_common(&path, uid, gid);
    path_put(&path);
    if (retry_estale(error, lookup_flags)) {
        lookup_flags |= LOOKUP_REVAL;
        goto retry;
    }
    return error;
}

} // namespace dcsim::inline DCSIM_BACKEND
