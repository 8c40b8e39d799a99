// SPDX-License-Identifier: GPL-2.0-only
#include "generator.h"

#include <algorithm>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>

namespace dcsim::against_kernel
{

namespace
{

/// Names beyond which more are removed than made.
constexpr size_t big_tree = 28;

constexpr int all_capabilities[] = {
    CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER,
    CAP_FSETID, CAP_SYS_CHROOT,   CAP_SYS_ADMIN,       CAP_MKNOD,
};

/// Is where the call puts a name, rather than what it is about, `first`?
bool makes_name(call what)
{
    return what == call::mkdirat || what == call::mknodat || what == call::symlinkat;
}

} // namespace

const generator::weight generator::weights[] = {
    {call::openat, 90, 60},     {call::openat2, 40, 35},   {call::close, 14, 14},
    {call::fstatat, 50, 50},    {call::fstat, 12, 12},     {call::faccessat2, 30, 30},
    {call::readlinkat, 25, 25}, {call::mkdirat, 80, 15},   {call::mknodat, 25, 8},
    {call::unlinkat, 45, 160},  {call::symlinkat, 50, 12}, {call::linkat, 45, 15},
    {call::renameat2, 90, 100}, {call::getdents, 25, 25},  {call::getdents_tiny, 3, 3},
    {call::list, 10, 10},       {call::lseek, 14, 14},     {call::chdir, 25, 25},
    {call::fchdir, 12, 12},     {call::chroot, 4, 4},      {call::getcwd, 12, 12},
    {call::fchmodat, 28, 28},   {call::fchownat, 22, 22},  {call::umask, 4, 4},
    {call::mount, 5, 5},        {call::bind, 7, 7},        {call::umount, 9, 9},
};

generator::generator(uint64_t seed, const limits &limits)
    : random_(seed), limits_(limits), paths_(random_, limits_)
{
    constexpr unsigned prunes[] = {0, 0, 1, 3, 10};
    constexpr unsigned hash_shifts[] = {1, 2, 4, 8};

    plan_.seed = seed;
    plan_.start = limits_.mounts && one_in(4) ? "/w" : "/";
    plan_.compare_every = one_in(5) ? 8 : 1;
    plan_.prune_every = pick(prunes);
    plan_.hash_shift = pick(hash_shifts);
    for (int capability : all_capabilities)
        if (one_in(3))
            plan_.capabilities |= uint64_t{1} << capability;
    mount_weight_ = one_in(4) ? 5 : 1;
    task_count_ = static_cast<unsigned>(identities(plan_, limits_).size());
    directories_.assign(task_count_, "/");
    slots_.resize(slot_count);
    open_.resize(slot_count);
    if (limits_.identities && !one_in(4)) {
        // So that others than root can do something at the top.
        operation op;
        op.what = call::fchmodat;
        op.first.path = "/";
        op.mode = one_in(2) ? 0777 : 01777;
        queue_.push_back(op);
    }
    if (one_in(25))
        link_chain();
}

call generator::choose(const tree &now)
{
    const bool big = now.nodes.size() > big_tree;
    const auto of = [&](const weight &entry) -> uint64_t {
        const bool mounts =
            entry.what == call::mount || entry.what == call::bind || entry.what == call::umount;
        if (mounts && !limits_.mounts)
            return 0;
        if (!limits_.identities && (entry.what == call::chroot || entry.what == call::fchownat))
            return 0;
        if (mounts && entry.what != call::umount && mount_points_.size() >= most_mounts)
            return 0;
        return (big ? entry.when_big : entry.when_small) * (mounts ? mount_weight_ : 1);
    };
    uint64_t total = 0;

    for (const weight &entry : weights)
        total += of(entry);
    uint64_t left = random_.below(total);
    for (const weight &entry : weights) {
        if (left < of(entry))
            return entry.what;
        left -= of(entry);
    }
    return call::getcwd;
}

operation generator::next(const tree &now)
{
    if (task_count_ > 1 && one_in(4))
        task_ = one_in(3) ? 0 : static_cast<unsigned>(random_.below(task_count_));
    if (queue_.empty() && one_in(150))
        story(now);
    if (!queue_.empty()) {
        operation op = queue_.front();
        queue_.pop_front();
        return op;
    }
    operation op;
    op.what = choose(now);
    op.task = task_;
    fill(op, now);
    return op;
}

int generator::any_slot()
{
    return static_cast<int>(random_.below(slot_count));
}

/// One that is open, mostly.
int generator::any_open_slot()
{
    int slot = any_slot();

    if (one_in(30))
        return bad_descriptor;
    for (unsigned tries = 0; tries < slot_count && !open_[static_cast<size_t>(slot)]; tries++)
        slot = (slot + 1) % static_cast<int>(slot_count);
    return slot;
}

int generator::any_descriptor()
{
    if (!one_in(3))
        return at_cwd;
    if (one_in(12))
        return one_in(2) ? bad_descriptor : high_descriptor;
    const int slot = any_slot();
    return open_[static_cast<size_t>(slot)] || one_in(4) ? slot : at_cwd;
}

std::string generator::path_for(const tree &now, const std::string &base, bool fresh)
{
    if (one_in(25))
        return paths_.special();
    const std::string path =
        fresh && !one_in(4) ? paths_.fresh(now, plan_.start) : paths_.any(now, plan_.start);
    return paths_.decorate(paths_.relative(path, base, one_in(3)));
}

place generator::any_place(const tree &now, bool fresh)
{
    place result;

    result.descriptor = any_descriptor();
    const std::string &base = result.descriptor >= 0
                                  ? slots_[static_cast<size_t>(result.descriptor)]
                                  : directories_[task_];
    result.path = path_for(now, base, fresh);
    if (result.descriptor >= 0 && one_in(8))
        result.path.clear();
    return result;
}

/// At something of the right kind, if there is any.
void generator::aim_at(place &where, const tree &now, bool (*is_right)(uint32_t mode))
{
    std::vector<const tree_node *> right;

    for (const tree_node &node : now.nodes)
        if (is_right(node.status.mode))
            right.push_back(&node);
    if (right.empty() || !limits_.whole_paths)
        return;
    where.path = paths_.decorate(
        paths_.relative(right[random_.below(right.size())]->path, directories_[task_], one_in(2)));
    where.descriptor = at_cwd;
}

unsigned generator::any_mode()
{
    constexpr unsigned modes[] = {0755, 0755, 0755,  0777,  0777,  0777,  0700, 0644,
                                  0644, 0666, 01777, 01777, 02775, 02777, 0,    0111,
                                  0444, 0500, 0333,  06755, 04711, 02644};

    const unsigned mode = one_in(12) ? static_cast<unsigned>(random_.below(010000)) : pick(modes);

    // Without other tasks nobody could come to what the only one has shut itself out of.
    return limits_.identities || one_in(20) ? mode : mode | 0700;
}

unsigned generator::any_at_flags(unsigned useful)
{
    unsigned flags = 0;

    for (unsigned flag : {unsigned{AT_SYMLINK_NOFOLLOW}, unsigned{AT_SYMLINK_FOLLOW},
                          unsigned{AT_EMPTY_PATH}, unsigned{AT_EACCESS}, unsigned{AT_NO_AUTOMOUNT}})
        if (useful & flag ? one_in(3) : one_in(150))
            flags |= flag;
    return flags;
}

unsigned generator::any_open_flags()
{
    constexpr unsigned modes[] = {O_RDONLY, O_RDONLY, O_RDONLY, O_WRONLY, O_RDWR, 3};
    unsigned flags = pick(modes);

    // A FIFO would wait for somebody at the other end.
    flags |= O_NONBLOCK;
    if (one_in(3))
        flags |= O_CREAT;
    if (one_in(6))
        flags |= O_EXCL;
    if (one_in(4))
        flags |= O_DIRECTORY;
    if (one_in(5))
        flags |= O_NOFOLLOW;
    if (one_in(5))
        flags |= O_PATH;
    if (one_in(10))
        flags |= O_TRUNC;
    if (one_in(14))
        flags |= O_TMPFILE;
    if (one_in(20))
        flags |= O_APPEND;
    if (one_in(20))
        flags |= O_CLOEXEC;
    if (one_in(30))
        flags |= O_NOATIME;
    if (one_in(60))
        flags ^= __O_TMPFILE;
    return flags;
}

void generator::fill_open(operation &op, const tree &now)
{
    const bool plain_directory = one_in(4);

    op.flags =
        plain_directory ? O_RDONLY | O_NONBLOCK | (one_in(2) ? O_DIRECTORY : 0) : any_open_flags();
    op.mode = op.flags & (O_CREAT | O_TMPFILE) || one_in(20) ? any_mode() : 0;
    op.slot = any_slot();
    op.first = any_place(now, op.flags & O_CREAT && !one_in(3));
    if (op.what == call::openat2) {
        // The other call drops what O_PATH does not go with; this one refuses it.
        if (op.flags & O_PATH && !one_in(10))
            op.flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
        if (op.flags & (O_CREAT | __O_TMPFILE) && !one_in(10))
            op.mode &= 07777;
        for (unsigned flag : {RESOLVE_NO_XDEV, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS,
                              RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_CACHED})
            if (one_in(flag == RESOLVE_CACHED ? 12 : 4))
                op.resolve |= flag;
    }
}

void generator::fill_change(operation &op, const tree &now)
{
    constexpr unsigned types[] = {S_IFREG, S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR,
                                  S_IFBLK, 0,       S_IFDIR, S_IFLNK,  0110000};
    constexpr unsigned rename_flags[] = {0, 0, 0, 0, 1, 1, 2, 2, 3, 8};

    op.first = any_place(now, makes_name(op.what));
    if (op.what == call::linkat && !one_in(3))
        aim_at(op.first, now, [](uint32_t mode) { return !S_ISDIR(mode); });
    switch (op.what) {
    case call::mkdirat:
        op.mode = any_mode();
        break;
    case call::mknodat:
        op.mode = any_mode() | pick(types);
        // Numbers no driver has; and the one anybody may make.
        op.device = one_in(3) ? 0 : 240 * 256 + static_cast<unsigned>(random_.below(3));
        break;
    case call::unlinkat:
        op.flags = one_in(2) ? unsigned{AT_REMOVEDIR} : 0;
        if (one_in(60))
            op.flags |= AT_SYMLINK_NOFOLLOW;
        break;
    case call::symlinkat:
        op.body = path_for(now, one_in(2) ? directories_[task_] : "", one_in(4));
        break;
    case call::linkat:
        op.second = any_place(now, true);
        op.flags = any_at_flags(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH);
        break;
    default:
        op.second = any_place(now, one_in(2));
        op.flags = pick(rename_flags);
    }
}

uint32_t generator::any_id(bool group)
{
    constexpr uint32_t ids[] = {0, 1000, 1001, 1002, ~0u, ~0u};

    return group && one_in(3) ? 2000 : pick(ids);
}

void generator::fill_attributes(operation &op, const tree &now)
{
    op.first = any_place(now, false);
    switch (op.what) {
    case call::fstatat:
        op.flags = any_at_flags(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH);
        if (one_in(20))
            op.flags |= static_cast<unsigned>(random_.below(4)) * AT_STATX_FORCE_SYNC;
        break;
    case call::faccessat2:
        op.mode = one_in(40) ? 8 : static_cast<unsigned>(random_.below(8));
        op.flags = any_at_flags(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_EACCESS);
        break;
    case call::fchmodat:
        op.mode = any_mode();
        if (limits_.chmod_flags)
            op.flags = one_in(3) ? any_at_flags(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) : 0;
        break;
    case call::fchownat:
        op.uid = any_id(false);
        op.gid = any_id(true);
        op.flags = any_at_flags(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH);
        break;
    default:
        if (one_in(2))
            aim_at(op.first, now, [](uint32_t mode) { return S_ISLNK(mode); });
        constexpr int sizes[] = {4096, 4096, 4096, 1, 2, 5, 0, -1};
        op.size = pick(sizes);
    }
}

void generator::fill_directory_reading(operation &op)
{
    constexpr int whences[] = {SEEK_SET, SEEK_SET, SEEK_CUR, SEEK_END, 7};

    op.slot = any_open_slot();
    // Any name fits; and either several or one of most.
    op.size = one_in(3) ? 1024 : 288;
    if (op.what != call::lseek)
        return;
    op.whence = pick(whences);
    constexpr int64_t offsets[] = {0, 0, 0, 1, 2, 3, -1, 1000000};
    op.offset = pick(offsets);
    if (one_in(2)) {
        op.whence = seek_entry;
        op.offset = static_cast<int64_t>(random_.below(6));
    }
}

void generator::fill_mounts(operation &op, const tree &now)
{
    op.first.path = path_for(now, directories_[task_], false);
    switch (op.what) {
    case call::mount:
        if (one_in(6))
            op.flags |= MS_RDONLY;
        if (one_in(6))
            op.flags |= 256; // MS_NOSYMFOLLOW
        break;
    case call::bind:
        op.second.path = path_for(now, directories_[task_], false);
        break;
    default:
        if (one_in(2))
            op.flags |= MNT_DETACH;
        if (one_in(6))
            op.flags |= UMOUNT_NOFOLLOW;
        if (one_in(20))
            op.flags |= MNT_FORCE;
        if (one_in(40))
            op.flags |= 0x20;
        // A path to what is mounted, more often than chance would have it.
        std::vector<const tree_node *> mounted;
        for (const tree_node &node : now.nodes)
            if (node.parent >= 0 &&
                node.status.key.device !=
                    now.nodes[static_cast<size_t>(node.parent)].status.key.device)
                mounted.push_back(&node);
        if (!mounted.empty() && one_in(3))
            op.first.path = paths_.decorate(mounted[random_.below(mounted.size())]->path);
        else if (!mount_points_.empty() && !one_in(4))
            op.first.path = mount_points_[random_.below(mount_points_.size())];
    }
}

void generator::fill(operation &op, const tree &now)
{
    switch (op.what) {
    case call::openat:
    case call::openat2:
        fill_open(op, now);
        break;
    case call::close:
    case call::fstat:
    case call::fchdir:
        op.slot = any_open_slot();
        break;
    case call::getdents:
    case call::getdents_tiny:
    case call::list:
    case call::lseek:
        fill_directory_reading(op);
        break;
    case call::fstatat:
    case call::faccessat2:
    case call::readlinkat:
    case call::fchmodat:
    case call::fchownat:
        fill_attributes(op, now);
        break;
    case call::chdir:
    case call::chroot:
        op.first.path = path_for(now, directories_[task_], false);
        break;
    case call::getcwd:
        op.size = one_in(6) ? static_cast<int>(random_.below(6)) : 4096;
        break;
    case call::umask: {
        constexpr unsigned masks[] = {022, 022, 0, 077, 027, 0777, 01022};
        op.mode = pick(masks);
        break;
    }
    case call::mount:
    case call::bind:
    case call::umount:
        fill_mounts(op, now);
        break;
    default:
        fill_change(op, now);
    }
}

void generator::answered(const operation &op, const answer &result)
{
    const auto resolved = [](const std::string &base, const std::string &path) -> std::string {
        if (path.starts_with("/"))
            return path;
        return base.empty() ? "" : (base == "/" ? "" : base) + "/" + path;
    };

    if (result.value < 0 || result.left_out)
        return;
    switch (op.what) {
    case call::openat:
    case call::openat2: {
        const int from = op.first.descriptor;
        const std::string base =
            from >= 0 ? slots_[static_cast<size_t>(from)] : directories_[op.task];
        slots_[static_cast<size_t>(op.slot)] = resolved(base, op.first.path);
        open_[static_cast<size_t>(op.slot)] = true;
        break;
    }
    case call::close:
        open_[static_cast<size_t>(op.slot)] = false;
        break;
    case call::chdir:
        directories_[op.task] = resolved(directories_[op.task], op.first.path);
        break;
    case call::fchdir:
        directories_[op.task] = slots_[static_cast<size_t>(op.slot)];
        break;
    case call::getcwd:
        directories_[op.task] = result.text;
        break;
    case call::mount:
    case call::bind:
        mount_points_.push_back(
            resolved(directories_[op.task], (op.what == call::bind ? op.second : op.first).path));
        break;
    case call::umount: {
        const auto found = std::find(mount_points_.begin(), mount_points_.end(), op.first.path);
        if (!mount_points_.empty())
            mount_points_.erase(found == mount_points_.end() ? mount_points_.begin() : found);
        break;
    }
    default:
        break;
    }
    // A guess that grew by dots and detours is of no more use.
    for (std::string *guess :
         {&directories_[op.task], op.slot >= 0 ? &slots_[static_cast<size_t>(op.slot)] : nullptr})
        if (guess && (guess->size() > 64 || std::count(guess->begin(), guess->end(), '/') > 8))
            guess->clear();
}

} // namespace dcsim::against_kernel
