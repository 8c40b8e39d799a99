// SPDX-License-Identifier: GPL-2.0-only
//
// The real system calls, on a tmpfs in a world of our own.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backend.h"
#include "kernel_world.h"
#include "known_differences.h"

namespace dcsim::against_kernel
{

namespace
{

long result_of(long result)
{
    return result < 0 ? -errno : result;
}

file_status status_of(const struct stat &from)
{
    file_status status;

    status.mode = from.st_mode;
    status.links = static_cast<uint32_t>(from.st_nlink);
    status.uid = from.st_uid;
    status.gid = from.st_gid;
    if (S_ISCHR(from.st_mode) || S_ISBLK(from.st_mode))
        status.device = static_cast<uint32_t>(from.st_rdev);
    if (S_ISREG(from.st_mode) || S_ISLNK(from.st_mode))
        status.size = from.st_size;
    status.key = {from.st_dev, from.st_ino};
    return status;
}

std::vector<directory_entry> entries_of(const char *buffer, long length)
{
    std::vector<directory_entry> entries;

    for (long at = 0; at < length;) {
        const auto *entry = reinterpret_cast<const dirent64 *>(buffer + at);
        entries.push_back({entry->d_name, entry->d_type, entry->d_ino, entry->d_off});
        at += entry->d_reclen;
    }
    return entries;
}

/// All entries but the dots, from the beginning.
long read_all(int descriptor, std::vector<directory_entry> &entries)
{
    alignas(8) char buffer[4096];
    long length;

    lseek(descriptor, 0, SEEK_SET);
    while ((length = result_of(syscall(SYS_getdents64, descriptor, buffer, sizeof(buffer)))) > 0)
        for (directory_entry &entry : entries_of(buffer, length))
            entries.push_back(std::move(entry));
    return length;
}

constexpr int directory_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
constexpr unsigned most_loop_tries = 20;
constexpr const char *mount_options = "mode=0755,uid=0,gid=0";

class kernel_backend : public backend
{
  public:
    kernel_backend()
    {
        std::vector<std::string> reasons;
        limits_ = kernel_limits(reasons);
    }
    ~kernel_backend() override
    {
        end();
    }
    const char *name() const override
    {
        return "kernel";
    }
    bool keeps_positions() const override
    {
        return false;
    }
    void begin(const plan &plan) override;
    answer execute(const operation &op, int64_t offset) override;
    tree snapshot() override;
    std::vector<std::optional<file_status>> open_slots() override;
    std::vector<std::string> end() override;

  private:
    int descriptor(int slot) const;
    answer call(const operation &op, int64_t offset);
    long open(const operation &op);
    long change(const operation &op);
    long status(const operation &op, answer &result);
    long list(const operation &op, answer &result);
    long working_directory(const operation &op, answer &result);
    long mounts(const operation &op, answer &result);
    long mount_new(const char *path, unsigned flags);

    bool can_mount(unsigned task) const
    {
        return identities_[task].capabilities >> CAP_SYS_ADMIN & 1;
    }

    limits limits_;
    std::vector<identity> identities_;
    std::unique_ptr<kernel_world> world_;
    std::array<int, slot_count> slots_;
    std::vector<int> keepers_; ///< descriptors that keep file systems in being
};

void kernel_backend::begin(const plan &plan)
{
    slots_.fill(-1);
    identities_ = identities(plan, limits_);
    world_ = std::make_unique<kernel_world>(plan, limits_);
}

std::vector<std::string> kernel_backend::end()
{
    if (world_)
        for (int descriptor : slots_)
            if (descriptor >= 0)
                ::close(descriptor);
    for (int descriptor : keepers_)
        ::close(descriptor);
    keepers_.clear();
    world_.reset();
    return {};
}

int kernel_backend::descriptor(int slot) const
{
    switch (slot) {
    case at_cwd:
        return AT_FDCWD;
    case bad_descriptor:
        return -1;
    case high_descriptor:
        return 9999;
    }
    return slots_[static_cast<size_t>(slot)];
}

long kernel_backend::open(const operation &op)
{
    const int dfd = descriptor(op.first.descriptor);
    int &slot = slots_[static_cast<size_t>(op.slot)];
    open_how how = {op.flags, op.mode, op.resolve};
    long opened;

    unsigned tries = 0;
    do {
        // RESOLVE_BENEATH and RESOLVE_IN_ROOT ask for another try whenever anybody on the machine
        // renamed or mounted something meanwhile.
        opened = op.what == call::openat
                     ? syscall(SYS_openat, dfd, op.first.path.c_str(), op.flags, op.mode)
                     : syscall(SYS_openat2, dfd, op.first.path.c_str(), &how, sizeof(how));
    } while (opened < 0 && errno == EAGAIN && asks_again(op) && ++tries < most_tries);
    opened = result_of(opened);
    if (opened < 0)
        return opened;
    if (slot >= 0)
        ::close(slot);
    slot = static_cast<int>(opened);
    return 0;
}

long kernel_backend::change(const operation &op)
{
    const int first = descriptor(op.first.descriptor);
    const int second = descriptor(op.second.descriptor);
    const char *path = op.first.path.c_str();
    const char *other = op.second.path.c_str();

    switch (op.what) {
    case call::mkdirat:
        return result_of(syscall(SYS_mkdirat, first, path, op.mode));
    case call::mknodat:
        return result_of(syscall(SYS_mknodat, first, path, op.mode, op.device));
    case call::unlinkat:
        return result_of(syscall(SYS_unlinkat, first, path, op.flags));
    case call::symlinkat:
        return result_of(syscall(SYS_symlinkat, op.body.c_str(), first, path));
    case call::linkat:
        return result_of(syscall(SYS_linkat, first, path, second, other, op.flags));
    case call::renameat2:
        return result_of(syscall(SYS_renameat2, first, path, second, other, op.flags));
    case call::fchmodat:
        if (op.flags)
            return result_of(syscall(fchmodat2_number, first, path, op.mode, op.flags));
        return result_of(syscall(SYS_fchmodat, first, path, op.mode));
    default:
        return result_of(syscall(SYS_fchownat, first, path, op.uid, op.gid, op.flags));
    }
}

long kernel_backend::status(const operation &op, answer &result)
{
    struct stat status;
    long value;

    if (op.what != call::fstatat)
        value = result_of(::fstat(descriptor(op.slot), &status));
    else
        value = result_of(::fstatat(descriptor(op.first.descriptor), op.first.path.c_str(), &status,
                                    static_cast<int>(op.flags)));
    if (value == 0)
        result.status = status_of(status);
    return value;
}

long kernel_backend::list(const operation &op, answer &result)
{
    alignas(8) char buffer[4096];
    const int from = descriptor(op.slot);
    const size_t size = op.what == call::getdents_tiny ? 16 : static_cast<size_t>(op.size);

    if (op.what == call::list)
        return read_all(from, result.entries);
    if (op.what == call::getdents_tiny)
        lseek(from, 0, SEEK_SET);
    const long value =
        result_of(syscall(SYS_getdents64, from, buffer, std::min(size, sizeof(buffer))));
    if (value > 0)
        result.entries = entries_of(buffer, value);
    return std::min(value, 0L);
}

long kernel_backend::working_directory(const operation &op, answer &result)
{
    std::array<char, 8192> buffer;
    const std::string &prefix = world_->prefix();
    const size_t wanted = static_cast<size_t>(op.size);
    const size_t size = prefix.empty() ? std::min(wanted, buffer.size()) : buffer.size();
    const long value = result_of(syscall(SYS_getcwd, buffer.data(), size));

    if (value <= 0)
        return value;
    std::string path(buffer.data(), static_cast<size_t>(value - 1));
    if (!prefix.empty() && path.starts_with(prefix)) {
        path.erase(0, prefix.size());
        if (path.empty())
            path = "/";
        if (path.size() + 1 > wanted)
            return -ERANGE;
    }
    result.text = path;
    return static_cast<long>(path.size() + 1);
}

long kernel_backend::mounts(const operation &op, answer &result)
{
    const char *path = op.first.path.c_str();

    if (op.what == call::bind)
        return result_of(::mount(path, op.second.path.c_str(), nullptr, MS_BIND, nullptr));
    if (op.what == call::umount) {
        if (umounts_own_root(op)) {
            result.left_out = true;
            return 0;
        }
        return result_of(umount2(path, static_cast<int>(op.flags)));
    }
    struct stat target;
    if (can_mount(op.task) && ::stat(path, &target) == 0 && S_ISDIR(target.st_mode))
        return mount_new(path, op.flags);
    return result_of(::mount("dcsim", path, "tmpfs", op.flags, mount_options));
}

/// mount(2), when only the place itself can stand against it. Differs in two ways: what is to be
/// read-only is the mount, as in the port, not the file system; and the file system lives on after
/// its last mount, until the sequence ends, so that its device number is not given away again.
long kernel_backend::mount_new(const char *path, unsigned flags)
{
    const unsigned attributes = (flags & MS_RDONLY ? MOUNT_ATTR_RDONLY : 0u) |
                                (flags & MS_NOSYMFOLLOW ? MOUNT_ATTR_NOSYMFOLLOW : 0u);
    const int context = fsopen("tmpfs", FSOPEN_CLOEXEC);

    for (const auto &[key, value] : {std::pair("mode", "0755"), {"uid", "0"}, {"gid", "0"}})
        fsconfig(context, FSCONFIG_SET_STRING, key, value, 0);
    fsconfig(context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0);
    const int mount = fsmount(context, FSMOUNT_CLOEXEC, attributes);
    ::close(context);
    if (mount < 0)
        return -errno;
    keepers_.push_back(fspick(mount, "", FSPICK_EMPTY_PATH | FSPICK_CLOEXEC));
    const long value = result_of(
        move_mount(mount, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS));
    ::close(mount);
    return value;
}

answer kernel_backend::call(const operation &op, int64_t offset)
{
    answer result;
    char body[4097];

    switch (op.what) {
    case call::openat:
    case call::openat2:
        result.value = open(op);
        if (result.value == 0)
            status(op, result);
        break;
    case call::close:
        result.value = result_of(::close(descriptor(op.slot)));
        if (op.slot >= 0)
            slots_[static_cast<size_t>(op.slot)] = -1;
        break;
    case call::fstatat:
    case call::fstat:
        result.value = status(op, result);
        break;
    case call::faccessat2:
        result.value = result_of(syscall(SYS_faccessat2, descriptor(op.first.descriptor),
                                         op.first.path.c_str(), op.mode, op.flags));
        break;
    case call::readlinkat:
        result.value = result_of(syscall(SYS_readlinkat, descriptor(op.first.descriptor),
                                         op.first.path.c_str(), body, op.size));
        if (result.value > 0)
            result.text.assign(body, static_cast<size_t>(result.value));
        break;
    case call::getdents:
    case call::getdents_tiny:
    case call::list:
        result.value = list(op, result);
        break;
    case call::lseek:
        result.value = op.whence == seek_entry
                           ? result_of(lseek(descriptor(op.slot), offset, SEEK_SET))
                           : result_of(lseek(descriptor(op.slot), op.offset, op.whence));
        status(op, result);
        break;
    case call::chdir:
        result.value = result_of(::chdir(op.first.path.c_str()));
        break;
    case call::fchdir:
        result.value = result_of(::fchdir(descriptor(op.slot)));
        break;
    case call::chroot:
        result.value = result_of(::chroot(op.first.path.c_str()));
        break;
    case call::getcwd:
        result.value = working_directory(op, result);
        break;
    case call::umask:
        result.value = ::umask(op.mode);
        break;
    case call::mount:
    case call::bind:
    case call::umount:
        result.value = mounts(op, result);
        break;
    default:
        result.value = change(op);
    }
    return result;
}

answer kernel_backend::execute(const operation &op, int64_t offset)
{
    answer result;

    // Our directory is in the middle of somebody's tree.
    if (!limits_.whole_paths && may_lead_outside(op)) {
        result.left_out = true;
        return result;
    }
    // A walk that somebody else's mount or rename sends back to its beginning goes on counting
    // links where it was, so that -ELOOP may come of half as many as are allowed. Nothing was
    // changed then, and another try tells.
    world_->run(op.task, [&] {
        unsigned tries = 0;
        do
            result = call(op, offset);
        while (result.value == -ELOOP && ++tries < most_loop_tries);
    });
    return result;
}

tree_node look_at(int directory, const directory_entry &entry)
{
    struct stat status;
    char body[4097];
    tree_node node;

    node.name = entry.name;
    node.entry_type = entry.type;
    node.listing =
        result_of(::fstatat(directory, entry.name.c_str(), &status, AT_SYMLINK_NOFOLLOW));
    if (node.listing < 0)
        return node;
    node.status = status_of(status);
    if (S_ISLNK(status.st_mode)) {
        const ssize_t length = readlinkat(directory, entry.name.c_str(), body, sizeof(body));
        node.body.assign(body, static_cast<size_t>(std::max<ssize_t>(length, 0)));
    }
    return node;
}

/// What is in a directory of the tree, by its descriptor, which it consumes, or an error.
void visit(long directory, int index, tree &result)
{
    const int descriptor = static_cast<int>(directory);
    std::vector<directory_entry> entries;

    if (directory < 0) {
        result.nodes[static_cast<size_t>(index)].listing = directory;
        return;
    }
    result.nodes[static_cast<size_t>(index)].listing = read_all(descriptor, entries);
    std::sort(entries.begin(), entries.end(),
              [](const auto &a, const auto &b) { return a.name < b.name; });
    for (const directory_entry &entry : entries) {
        if (entry.name == "." || entry.name == "..")
            continue;
        tree_node node = look_at(descriptor, entry);
        const std::string &above = result.nodes[static_cast<size_t>(index)].path;
        node.path = (above == "/" ? "" : above) + "/" + entry.name;
        node.parent = index;
        result.nodes.push_back(std::move(node));
        if (S_ISDIR(result.nodes.back().status.mode))
            visit(result_of(::openat(descriptor, entry.name.c_str(), directory_flags)),
                  static_cast<int>(result.nodes.size() - 1), result);
    }
    ::close(descriptor);
}

tree kernel_backend::snapshot()
{
    tree result;
    struct stat status;
    tree_node top;

    ::fstat(world_->top(), &status);
    top.path = "/";
    top.status = status_of(status);
    result.nodes.push_back(top);
    // By the right to read it alone: in a directory of ours the top may not be searched.
    visit(result_of(world_->prefix().empty() ? ::openat(world_->top(), ".", directory_flags)
                                             : ::open(world_->prefix().c_str(), directory_flags)),
          0, result);
    result.slots = open_slots();
    return result;
}

std::vector<std::optional<file_status>> kernel_backend::open_slots()
{
    std::vector<std::optional<file_status>> result(slot_count);
    struct stat status;

    for (size_t slot = 0; slot < slot_count; slot++)
        if (slots_[slot] >= 0 && ::fstat(slots_[slot], &status) == 0)
            result[slot] = status_of(status);
    return result;
}

} // namespace

std::unique_ptr<backend> make_kernel_backend()
{
    return std::make_unique<kernel_backend>();
}

limits kernel_limits(std::vector<std::string> &reasons)
{
    static std::vector<std::string> found;
    static const limits limits = probe_limits(found);

    reasons = found;
    return limits;
}

std::string kernel_unusable()
{
    std::vector<std::string> reasons;

    if (!kernel_limits(reasons).mounts && writable_tmpfs().empty())
        return "neither a private mount namespace nor a writable directory on a tmpfs (TMPDIR, "
               "/dev/shm, /tmp, /run/user)";
    return "";
}

} // namespace dcsim::against_kernel
