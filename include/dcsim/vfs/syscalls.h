// SPDX-License-Identifier: GPL-2.0-only
//
// The system calls that take path names, for a task with its root, working directory, descriptors
// and credentials. Arguments, results and errors are those of the system calls; results are 0 or
// more, errors negative. A path is NUL-terminated. All of them sleep.
//
// Source: fs/open.c, fs/namei.c, fs/stat.c, fs/readdir.c, fs/d_path.c, fs/namespace.c of Linux
// v6.12. Left out: contents, times, extended attributes, whatever needs a second user namespace.
#pragma once

#include <cstddef>

#include "dcsim/vfs/attributes.h"
#include "dcsim/vfs/namei.h"
#include "dcsim/vfs/task.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// Flags of the *at() calls.
enum at_flags : unsigned {
    AT_SYMLINK_NOFOLLOW_FLAG = 0x100,
    AT_REMOVEDIR_FLAG = 0x200, ///< unlinkat: rmdir
    AT_EACCESS_FLAG = 0x200,   ///< faccessat: with the capabilities of the task, root or not
    AT_SYMLINK_FOLLOW_FLAG = 0x400,
    AT_NO_AUTOMOUNT_FLAG = 0x800,
    AT_EMPTY_PATH_FLAG = 0x1000,
    AT_STATX_SYNC_TYPE_MASK = 0x6000, ///< newfstatat: nothing to synchronise with here
};

/// openat2(2)'s RESOLVE_*.
enum resolve_flags : unsigned {
    RESOLVE_NO_XDEV_FLAG = 0x01,
    RESOLVE_NO_MAGICLINKS_FLAG = 0x02,
    RESOLVE_NO_SYMLINKS_FLAG = 0x04,
    RESOLVE_BENEATH_FLAG = 0x08,
    RESOLVE_IN_ROOT_FLAG = 0x10,
    RESOLVE_CACHED_FLAG = 0x20,
};

/// One entry of a directory, as getdents64(2) packs them: d_reclen, a multiple of 8, leads to the
/// next one.
struct linux_dirent64 {
    u64 d_ino;
    int64_t d_off; ///< position of the entry after it
    unsigned short d_reclen;
    unsigned char d_type;
    char d_name[1]; ///< where the name begins; NUL-terminated
};

int sys_openat(vfs_task *task, int dfd, const char *name, unsigned flags, umode_t mode);
int sys_openat2(vfs_task *task, int dfd, const char *name, unsigned flags, umode_t mode,
                unsigned resolve);
int sys_close(vfs_task *task, int fd);
int sys_newfstatat(vfs_task *task, int dfd, const char *name, kstat *stat, unsigned flags);
int sys_fstat(vfs_task *task, int fd, kstat *stat);
int sys_faccessat2(vfs_task *task, int dfd, const char *name, unsigned mode, unsigned flags);
int sys_readlinkat(vfs_task *task, int dfd, const char *name, char *buffer, int size);
int sys_mkdirat(vfs_task *task, int dfd, const char *name, umode_t mode);
int sys_mknodat(vfs_task *task, int dfd, const char *name, umode_t mode, unsigned device);
int sys_unlinkat(vfs_task *task, int dfd, const char *name, unsigned flags);
int sys_symlinkat(vfs_task *task, const char *body, int dfd, const char *name);
int sys_linkat(vfs_task *task, int old_dfd, const char *old_name, int new_dfd, const char *new_name,
               unsigned flags);
int sys_renameat2(vfs_task *task, int old_dfd, const char *old_name, int new_dfd,
                  const char *new_name, unsigned flags);
/// Bytes written to `buffer`, 0 at the end, -EINVAL when not even one entry fits.
int sys_getdents64(vfs_task *task, int fd, void *buffer, size_t size);
/// The new position, or a negative errno. whence: 0 from the start, 1 from where it is; what others
/// mean is the file system's business.
int64_t sys_lseek(vfs_task *task, int fd, int64_t offset, int whence);
int sys_chdir(vfs_task *task, const char *name);
int sys_fchdir(vfs_task *task, int fd);
int sys_chroot(vfs_task *task, const char *name);
/// Bytes with the NUL, or -ENOENT, -ERANGE.
int sys_getcwd(vfs_task *task, char *buffer, size_t size);
int sys_fchmodat(vfs_task *task, int dfd, const char *name, umode_t mode, unsigned flags);
/// -1 leaves an id as it is.
int sys_fchownat(vfs_task *task, int dfd, const char *name, kuid_t uid, kgid_t gid, unsigned flags);
/// The previous umask.
umode_t sys_umask(vfs_task *task, umode_t mask);

/// Mounts `sb` at `target`; flags: MNT_READONLY, MNT_NOSYMFOLLOW. mount(2) of a file system that
/// the caller has made; it must outlive the mount.
int sys_mount(vfs_task *task, super_block *sb, const char *target, unsigned flags);
/// mount(2) with MS_BIND: what is at `source` is also at `target`.
int sys_mount_bind(vfs_task *task, const char *source, const char *target);
int sys_umount2(vfs_task *task, const char *target, unsigned flags);

} // namespace dcsim::inline DCSIM_BACKEND
