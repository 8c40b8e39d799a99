// SPDX-License-Identifier: GPL-2.0-only
#include "known_differences.h"

#include <cerrno>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>

namespace dcsim::against_kernel
{

namespace
{

bool is_cached_open(const operation &op, const answer &first, const answer &second)
{
    return op.what == call::openat2 && (op.resolve & RESOLVE_CACHED) &&
           (first.value == -EAGAIN || second.value == -EAGAIN);
}

bool is_position_in_file(const operation &op, const answer &first, const answer &second)
{
    return op.what == call::lseek && first.status && S_ISREG(first.status->mode) &&
           second.value == -ESPIPE;
}

bool is_device_open(const operation &op, const answer &first, const answer &second)
{
    return (op.what == call::openat || op.what == call::openat2) && first.value == -ENXIO &&
           second.status && (S_ISCHR(second.status->mode) || S_ISBLK(second.status->mode));
}

bool is_pipe_open(const operation &op, const answer &first, const answer &second)
{
    return (op.what == call::openat || op.what == call::openat2) && first.value == 0 &&
           first.status && S_ISFIFO(first.status->mode) && second.value == -ENXIO;
}

bool is_unread_stat_flag(const operation &op, const answer &, const answer &second)
{
    constexpr unsigned known = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH;

    return op.what == call::fstatat && op.first.path.empty() && op.first.descriptor >= 0 &&
           (op.flags & AT_EMPTY_PATH) && (op.flags & ~known) && second.value == -EINVAL;
}

} // namespace

const std::vector<known_difference> &known_differences()
{
    static const std::vector<known_difference> table = {
        {"RESOLVE_CACHED",
         "tmpfs keeps every name in the dcache and no negative one; memfs has a "
         "disk behind it and keeps both as long as nobody prunes them",
         is_cached_open},
        {"lseek of a regular file", "files have no contents here, and so no positions",
         is_position_in_file},
        {"open of a device", "every device exists here; of the numbers used here no driver knows",
         is_device_open},
        {"open of a FIFO for writing", "there are no pipes here, and so never a reader already",
         is_pipe_open},
        {"newfstatat of an empty path with wrong flags",
         "v6.12 refuses them, as the port does; later kernels do not look at them",
         is_unread_stat_flag},
    };

    return table;
}

bool umounts_own_root(const operation &op)
{
    struct statx target;
    struct statx root;
    const int follow = op.flags & UMOUNT_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0;

    if (op.flags & MNT_DETACH)
        return false;
    return statx(AT_FDCWD, op.first.path.c_str(), follow, STATX_MNT_ID, &target) == 0 &&
           statx(AT_FDCWD, "/", 0, STATX_MNT_ID, &root) == 0 &&
           (target.stx_attributes & STATX_ATTR_MOUNT_ROOT) && target.stx_mnt_id == root.stx_mnt_id;
}

} // namespace dcsim::against_kernel
