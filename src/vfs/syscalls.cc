// SPDX-License-Identifier: GPL-2.0-only
//
// System calls that are thin: each makes the calling thread act for the task and hands over. Those
// with more to them are with what they work on, as in the kernel: open.cc, readdir.cc, d_path.cc.
#include "dcsim/vfs/syscalls.h"

#include <cstring>

#include "dcsim/kernel/bug.h"
#include "namei_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

// --- stat ---

namespace
{

// Linux v6.12 fs/stat.c vfs_fstat().
int vfs_fstat(int fd, kstat *stat)
{
    file *file = fget_raw(static_cast<unsigned>(fd));
    int error;

    if (!file)
        return -EBADF;
    error = vfs_getattr(&file->f_path, stat);
    fput(file);
    return error;
}

// Linux v6.12 fs/stat.c getname_statx_lookup_flags().
unsigned getname_statx_lookup_flags(unsigned flags)
{
    unsigned lookup_flags = 0;

    if (!(flags & AT_SYMLINK_NOFOLLOW_FLAG))
        lookup_flags |= LOOKUP_FOLLOW;
    if (!(flags & AT_NO_AUTOMOUNT_FLAG))
        lookup_flags |= LOOKUP_AUTOMOUNT;
    if (flags & AT_EMPTY_PATH_FLAG)
        lookup_flags |= LOOKUP_EMPTY;
    return lookup_flags;
}

// Linux v6.12 fs/stat.c vfs_statx().
int vfs_statx(int dfd, const char *name, unsigned flags, kstat *stat)
{
    unsigned lookup_flags = getname_statx_lookup_flags(flags);
    path path;
    int error;

    if (flags & ~(AT_SYMLINK_NOFOLLOW_FLAG | AT_NO_AUTOMOUNT_FLAG | AT_EMPTY_PATH_FLAG |
                  AT_STATX_SYNC_TYPE_MASK))
        return -EINVAL;
retry:
    error = user_path_at(dfd, name, lookup_flags, &path);
    if (error)
        return error;
    error = vfs_getattr(&path, stat);
    path_put(&path);
    if (retry_estale(error, lookup_flags)) {
        lookup_flags |= LOOKUP_REVAL;
        goto retry;
    }
    return error;
}

// Linux v6.12 fs/stat.c do_readlinkat().
int do_readlinkat(int dfd, const char *name, char *buffer, int size)
{
    unsigned lookup_flags = LOOKUP_EMPTY;
    path path;
    int error;

    if (size <= 0)
        return -EINVAL;
retry:
    error = user_path_at(dfd, name, lookup_flags, &path);
    if (unlikely(error))
        return error;
    if (d_is_symlink(path.dentry))
        error = vfs_readlink(path.dentry, buffer, size);
    else
        error = *name ? -EINVAL : -ENOENT;
    path_put(&path);
    if (retry_estale(error, lookup_flags)) {
        lookup_flags |= LOOKUP_REVAL;
        goto retry;
    }
    return error;
}

} // namespace

// Linux v6.12 fs/stat.c newfstatat(2), with vfs_fstatat().
int sys_newfstatat(vfs_task *task, int dfd, const char *name, kstat *stat, unsigned flags)
{
    task_scope scope(task);

    // The C library's fstat().
    if (flags == AT_EMPTY_PATH_FLAG && dfd >= 0 && !*name)
        return vfs_fstat(dfd, stat);
    return vfs_statx(dfd, name, flags | AT_NO_AUTOMOUNT_FLAG, stat);
}

// Linux v6.12 fs/stat.c newfstat(2).
int sys_fstat(vfs_task *task, int fd, kstat *stat)
{
    task_scope scope(task);

    return vfs_fstat(fd, stat);
}

// Linux v6.12 fs/stat.c readlinkat(2).
int sys_readlinkat(vfs_task *task, int dfd, const char *name, char *buffer, int size)
{
    task_scope scope(task);

    return do_readlinkat(dfd, name, buffer, size);
}

// --- Directories ---

// Linux v6.12 fs/namei.c mkdirat(2).
int sys_mkdirat(vfs_task *task, int dfd, const char *name, umode_t mode)
{
    task_scope scope(task);

    return do_mkdirat(dfd, name, mode);
}

// Linux v6.12 fs/namei.c mknodat(2).
int sys_mknodat(vfs_task *task, int dfd, const char *name, umode_t mode, unsigned device)
{
    task_scope scope(task);

    return do_mknodat(dfd, name, mode, device);
}

// Linux v6.12 fs/namei.c unlinkat(2).
int sys_unlinkat(vfs_task *task, int dfd, const char *name, unsigned flags)
{
    task_scope scope(task);

    if (flags & ~AT_REMOVEDIR_FLAG)
        return -EINVAL;
    return flags & AT_REMOVEDIR_FLAG ? do_rmdir(dfd, name) : do_unlinkat(dfd, name);
}

// Linux v6.12 fs/namei.c symlinkat(2).
int sys_symlinkat(vfs_task *task, const char *body, int dfd, const char *name)
{
    task_scope scope(task);

    return do_symlinkat(body, dfd, name);
}

// Linux v6.12 fs/namei.c linkat(2).
int sys_linkat(vfs_task *task, int old_dfd, const char *old_name, int new_dfd, const char *new_name,
               unsigned flags)
{
    task_scope scope(task);

    return do_linkat(old_dfd, old_name, new_dfd, new_name, flags);
}

// Linux v6.12 fs/namei.c renameat2(2).
int sys_renameat2(vfs_task *task, int old_dfd, const char *old_name, int new_dfd,
                  const char *new_name, unsigned flags)
{
    task_scope scope(task);

    return do_renameat2(old_dfd, old_name, new_dfd, new_name, flags);
}

// Linux v6.12 kernel/sys.c umask(2).
umode_t sys_umask(vfs_task *task, umode_t mask)
{
    return xchg(&task->fs->umask, static_cast<umode_t>(mask & 0777));
}

// --- Mounts ---

namespace
{

// Linux v6.12 fs/namespace.c may_mount().
bool may_mount()
{
    return capable(CAP_SYS_ADMIN);
}

// Linux v6.12 fs/namespace.c do_new_mount(), with do_new_mount_fc().
int do_new_mount(const path *where, super_block *sb, unsigned flags)
{
    mount *mnt = vfs_create_mount(sb);
    int error;

    if (!mnt)
        return -ENOMEM;
    WRITE_ONCE(mnt->mnt.mnt_flags, flags);
    error = do_add_mount(mnt, where);
    if (error)
        mntput(&mnt->mnt);
    return error;
}

// Linux v6.12 fs/namespace.c path_umount(), with can_umount().
int path_umount(const path *path, unsigned flags)
{
    if (!may_mount())
        return -EPERM;
    if (path->mnt->mnt_root != path->dentry)
        return -EINVAL;
    return do_umount(real_mount(path->mnt), flags);
}

} // namespace

// Linux v6.12 fs/namespace.c mount(2), with path_mount().
int sys_mount(vfs_task *task, super_block *sb, const char *target, unsigned flags)
{
    task_scope scope(task);
    path where;
    int error;

    if (flags & ~(MNT_READONLY | MNT_NOSYMFOLLOW))
        return -EINVAL;
    error = user_path_at(AT_FDCWD_VALUE, target, LOOKUP_FOLLOW, &where);
    if (error)
        return error;
    error = may_mount() ? do_new_mount(&where, sb, flags) : -EPERM;
    path_put(&where);
    return error;
}

// Linux v6.12 fs/namespace.c mount(2) with MS_BIND, the first half of do_loopback().
int sys_mount_bind(vfs_task *task, const char *source, const char *target)
{
    task_scope scope(task);
    path old, where;
    int error;

    // The source is a string like a device's name at first, and is measured as one.
    if (strlen(source) >= PATH_MAX_LENGTH)
        return -EINVAL;
    error = user_path_at(AT_FDCWD_VALUE, target, LOOKUP_FOLLOW, &where);
    if (error)
        return error;
    error = -EPERM;
    if (!may_mount())
        goto out;
    error = -EINVAL;
    if (!*source)
        goto out;
    error = user_path_at(AT_FDCWD_VALUE, source, LOOKUP_FOLLOW | LOOKUP_AUTOMOUNT, &old);
    if (error)
        goto out;
    error = do_loopback(&old, &where);
    path_put(&old);
out:
    path_put(&where);
    return error;
}

// Linux v6.12 fs/namespace.c umount(2), with ksys_umount().
int sys_umount2(vfs_task *task, const char *target, unsigned flags)
{
    task_scope scope(task);
    unsigned lookup_flags = LOOKUP_MOUNTPOINT;
    path path;
    int error;

    if (flags & ~(MNT_FORCE_FLAG | MNT_DETACH_FLAG | UMOUNT_NOFOLLOW_FLAG))
        return -EINVAL;
    if (!(flags & UMOUNT_NOFOLLOW_FLAG))
        lookup_flags |= LOOKUP_FOLLOW;
    error = user_path_at(AT_FDCWD_VALUE, target, lookup_flags, &path);
    if (error)
        return error;
    error = path_umount(&path, flags);
    path_put(&path);
    return error;
}

} // namespace dcsim::inline DCSIM_BACKEND
