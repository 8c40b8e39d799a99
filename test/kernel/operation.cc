// SPDX-License-Identifier: GPL-2.0-only
#include "operation.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace dcsim::against_kernel
{

namespace
{

constexpr const char *call_names[call_count] = {
    "openat",     "openat2",    "close",    "fstatat",   "fstat",      "faccessat2", "readlinkat",
    "mkdirat",    "mknodat",    "unlinkat", "symlinkat", "linkat",     "renameat2",  "getdents64",
    "getdents64", "getdents64", "lseek",    "chdir",     "fchdir",     "chroot",     "getcwd",
    "fchmodat",   "fchownat",   "umask",    "mount",     "bind mount", "umount2",
};

struct flag_name {
    unsigned value;
    const char *name;
};

constexpr flag_name open_flag_names[] = {
    {O_CREAT, "O_CREAT"},         {O_EXCL, "O_EXCL"},         {O_TRUNC, "O_TRUNC"},
    {O_APPEND, "O_APPEND"},       {O_NONBLOCK, "O_NONBLOCK"}, {O_TMPFILE, "O_TMPFILE"},
    {O_DIRECTORY, "O_DIRECTORY"}, {O_NOFOLLOW, "O_NOFOLLOW"}, {O_PATH, "O_PATH"},
    {O_CLOEXEC, "O_CLOEXEC"},     {O_NOATIME, "O_NOATIME"},
};
constexpr flag_name at_flag_names[] = {
    {AT_SYMLINK_NOFOLLOW, "AT_SYMLINK_NOFOLLOW"},
    {AT_SYMLINK_FOLLOW, "AT_SYMLINK_FOLLOW"},
    {AT_EMPTY_PATH, "AT_EMPTY_PATH"},
    {AT_NO_AUTOMOUNT, "AT_NO_AUTOMOUNT"},
};
constexpr flag_name resolve_names[] = {
    {RESOLVE_NO_XDEV, "RESOLVE_NO_XDEV"},         {RESOLVE_NO_MAGICLINKS, "RESOLVE_NO_MAGICLINKS"},
    {RESOLVE_NO_SYMLINKS, "RESOLVE_NO_SYMLINKS"}, {RESOLVE_BENEATH, "RESOLVE_BENEATH"},
    {RESOLVE_IN_ROOT, "RESOLVE_IN_ROOT"},         {RESOLVE_CACHED, "RESOLVE_CACHED"},
};
constexpr flag_name rename_names[] = {
    {1, "RENAME_NOREPLACE"},
    {2, "RENAME_EXCHANGE"},
};
constexpr flag_name mount_names[] = {
    {MS_RDONLY, "MS_RDONLY"},
    {256, "MS_NOSYMFOLLOW"},
};
constexpr flag_name umount_names[] = {
    {MNT_FORCE, "MNT_FORCE"},
    {MNT_DETACH, "MNT_DETACH"},
    {UMOUNT_NOFOLLOW, "UMOUNT_NOFOLLOW"},
};

std::string number(const char *format, unsigned long value)
{
    char buffer[32];

    snprintf(buffer, sizeof(buffer), format, value);
    return buffer;
}

template <size_t N>
std::string flags_text(unsigned flags, const flag_name (&names)[N])
{
    std::string text;

    for (const flag_name &flag : names)
        if (flag.value && (flags & flag.value) == flag.value) {
            text += (text.empty() ? "" : "|") + std::string(flag.name);
            flags &= ~flag.value;
        }
    if (flags || text.empty())
        text += (text.empty() ? "" : "|") + (flags ? number("0x%lx", flags) : "0");
    return text;
}

std::string open_flags_text(unsigned flags)
{
    constexpr const char *modes[] = {"O_RDONLY", "O_WRONLY", "O_RDWR", "3"};
    const unsigned rest = flags & ~3u;

    return modes[flags & 3] + (rest ? "|" + flags_text(rest, open_flag_names) : "");
}

std::string octal(unsigned mode)
{
    return number("0%lo", mode);
}

std::string text_of_slot(int slot)
{
    switch (slot) {
    case at_cwd:
        return "AT_FDCWD";
    case bad_descriptor:
        return "-1";
    case high_descriptor:
        return "9999";
    }
    return "fd" + std::to_string(slot);
}

std::string text_of(const place &place)
{
    return text_of_slot(place.descriptor) + ", " + quoted(place.path);
}

std::string id_text(uint32_t id)
{
    return id == ~0u ? "-1" : std::to_string(id);
}

std::string open_text(const operation &op)
{
    std::string text = text_of(op.first) + ", ";

    if (op.what == call::openat)
        text += open_flags_text(op.flags) + ", " + octal(op.mode);
    else
        text += "{" + open_flags_text(op.flags) + ", " + octal(op.mode) + ", " +
                flags_text(op.resolve, resolve_names) + "}";
    return text + ") -> fd" + std::to_string(op.slot);
}

std::string lseek_text(const operation &op)
{
    constexpr const char *names[] = {"SEEK_SET", "SEEK_CUR", "SEEK_END"};
    const std::string slot = text_of_slot(op.slot) + ", ";

    if (op.whence == seek_entry)
        return slot + "behind entry " + std::to_string(op.offset) + " of this pass, SEEK_SET";
    return slot + std::to_string(op.offset) + ", " +
           (op.whence >= 0 && op.whence < 3 ? names[op.whence] : std::to_string(op.whence).c_str());
}

std::string unlink_flags_text(unsigned flags)
{
    if (flags == AT_REMOVEDIR)
        return "AT_REMOVEDIR";
    return flags ? number("0x%lx", flags) : "0";
}

std::string access_flags_text(unsigned flags)
{
    std::string text = flags_text(flags & ~unsigned{AT_EACCESS}, at_flag_names);

    return flags & AT_EACCESS ? (text == "0" ? "AT_EACCESS" : "AT_EACCESS|" + text) : text;
}

/// The arguments, without the bracket before them.
std::string arguments(const operation &op)
{
    switch (op.what) {
    case call::openat:
    case call::openat2:
        return open_text(op);
    case call::close:
    case call::fstat:
    case call::fchdir:
        return text_of_slot(op.slot) + ")";
    case call::getdents:
        return text_of_slot(op.slot) + ", room for " + std::to_string(op.size) + ")";
    case call::getdents_tiny:
        return text_of_slot(op.slot) + ", from the beginning, no room)";
    case call::list:
        return text_of_slot(op.slot) + ", from the beginning to the end)";
    case call::fstatat:
        return text_of(op.first) + ", " + flags_text(op.flags, at_flag_names) + ")";
    case call::faccessat2:
        return text_of(op.first) + ", " + std::to_string(op.mode) + ", " +
               access_flags_text(op.flags) + ")";
    case call::readlinkat:
        return text_of(op.first) + ", size " + std::to_string(op.size) + ")";
    case call::mkdirat:
        return text_of(op.first) + ", " + octal(op.mode) + ")";
    case call::mknodat:
        return text_of(op.first) + ", " + octal(op.mode) + ", " + number("0x%lx", op.device) + ")";
    case call::unlinkat:
        return text_of(op.first) + ", " + unlink_flags_text(op.flags) + ")";
    case call::symlinkat:
        return quoted(op.body) + ", " + text_of(op.first) + ")";
    case call::linkat:
        return text_of(op.first) + ", " + text_of(op.second) + ", " +
               flags_text(op.flags, at_flag_names) + ")";
    case call::renameat2:
        return text_of(op.first) + ", " + text_of(op.second) + ", " +
               flags_text(op.flags, rename_names) + ")";
    case call::lseek:
        return lseek_text(op) + ")";
    case call::chdir:
    case call::chroot:
        return quoted(op.first.path) + ")";
    case call::getcwd:
        return "size " + std::to_string(op.size) + ")";
    case call::fchmodat:
        return text_of(op.first) + ", " + octal(op.mode) + ", " +
               flags_text(op.flags, at_flag_names) + ")";
    case call::fchownat:
        return text_of(op.first) + ", " + id_text(op.uid) + ", " + id_text(op.gid) + ", " +
               flags_text(op.flags, at_flag_names) + ")";
    case call::umask:
        return octal(op.mode) + ")";
    case call::mount:
        return "tmpfs, " + quoted(op.first.path) + ", " + flags_text(op.flags, mount_names) + ")";
    case call::bind:
        return quoted(op.first.path) + ", " + quoted(op.second.path) + ")";
    case call::umount:
        return quoted(op.first.path) + ", " + flags_text(op.flags, umount_names) + ")";
    }
    return ")";
}

} // namespace

bool changes_tree(const operation &op)
{
    switch (op.what) {
    case call::openat:
    case call::openat2:
        return op.flags & (O_CREAT | O_TMPFILE | O_TRUNC);
    case call::mkdirat:
    case call::mknodat:
    case call::unlinkat:
    case call::symlinkat:
    case call::linkat:
    case call::renameat2:
    case call::fchmodat:
    case call::fchownat:
    case call::mount:
    case call::bind:
    case call::umount:
        return true;
    default:
        return false;
    }
}

bool may_lead_outside(const operation &op)
{
    for (const std::string *path : {&op.first.path, &op.second.path, &op.body})
        if (path->starts_with('/') || path->find("..") != std::string::npos)
            return true;
    return false;
}

bool asks_again(const operation &op)
{
    return op.what == call::openat2 && (op.resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT)) &&
           !(op.resolve & RESOLVE_CACHED);
}

const char *name_of(call what)
{
    return call_names[static_cast<unsigned>(what)];
}

std::string name_of_errno(int error)
{
    const char *name = strerrorname_np(error);

    return name ? name : std::to_string(error);
}

std::string quoted(const std::string &path)
{
    constexpr size_t longest = 60;
    constexpr size_t end = 24;

    if (path.size() <= longest)
        return '"' + path + '"';
    return '"' + path.substr(0, end) + "\"..." + std::to_string(path.size() - 2 * end) + "...\"" +
           path.substr(path.size() - end) + '"';
}

std::string text_of(const operation &op)
{
    return std::string(name_of(op.what)) + "(" + arguments(op);
}

std::string text_of(const plan &plan)
{
    return "seed " + std::to_string(plan.seed) + ", root at " + plan.start +
           ", trees compared after every " + std::to_string(plan.compare_every) +
           " changes, dentries pruned before every " +
           (plan.prune_every ? std::to_string(plan.prune_every) + ". call" : "no call") +
           ", hash tables of " + std::to_string(1u << plan.hash_shift) + ", carol's capabilities " +
           number("0x%lx", plan.capabilities);
}

uint64_t own_capabilities()
{
    __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2] = {};

    syscall(SYS_capget, &header, data);
    return data[0].effective | uint64_t{data[1].effective} << 32;
}

std::vector<identity> identities(const plan &plan, const limits &limits)
{
    static const uint64_t own = own_capabilities();

    if (limits.identities)
        return {{"root", 0, 0, {}, own},
                {"root2", 0, 0, {}, own},
                {"alice", 1000, 1000, {2000}, 0},
                {"bob", 1001, 1001, {1000, 2000}, 0},
                {"carol", 1002, 1002, {}, plan.capabilities & own}};
    std::vector<uint32_t> groups(static_cast<size_t>(std::max(getgroups(0, nullptr), 0)));
    groups.resize(static_cast<size_t>(
        std::max(getgroups(static_cast<int>(groups.size()), groups.data()), 0)));
    return {{"we", geteuid(), getegid(), groups, own}};
}

} // namespace dcsim::against_kernel
