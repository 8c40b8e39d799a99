// SPDX-License-Identifier: GPL-2.0-only
//
// The port: memfs under its path walk, called as the system calls are. All tasks act in one thread.
#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <map>

#include "backend.h"
#include "dcsim/mockfs/memfs.h"
#include "dcsim/prim/prim.h"
#include "dcsim/refs.h"
#include "dcsim/vfs/super.h"
#include "dcsim/vfs/syscalls.h"
#include "dcsim/vfs/vfs.h"

namespace dcsim::against_kernel
{

namespace
{

constexpr int cwd = AT_FDCWD_VALUE;

/// What the port warned of since somebody last asked.
std::vector<std::string> warnings;

void note_warning(const char *what, const char *file, int line, const char *)
{
    warnings.push_back(std::string(file) + ":" + std::to_string(line) + ": " + what);
}

/// A setting that this machine's kernel has and the port should have as well.
int setting(const char *name, int otherwise)
{
    std::ifstream file(std::string("/proc/sys/fs/") + name);
    int value;

    return file >> value ? value : otherwise;
}

void throw_if(long error, const char *what)
{
    if (error < 0)
        throw std::runtime_error(std::string("memfs: ") + what + ": " +
                                 name_of_errno(static_cast<int>(-error)));
}

class memfs_backend : public backend
{
  public:
    explicit memfs_backend(const limits &limits) : limits_(limits)
    {
        previous_ = set_warning_handler(note_warning);
        WRITE_ONCE(sysctl_protected_symlinks, setting("protected_symlinks", 0));
        WRITE_ONCE(sysctl_protected_hardlinks, setting("protected_hardlinks", 0));
        sysctl_protected_regular = setting("protected_regular", 0);
        sysctl_protected_fifos = setting("protected_fifos", 0);
    }
    ~memfs_backend() override
    {
        end();
        set_warning_handler(previous_);
    }
    const char *name() const override
    {
        return "memfs";
    }
    bool keeps_positions() const override
    {
        return true;
    }
    void begin(const plan &plan) override;
    answer execute(const operation &op, int64_t offset) override;
    tree snapshot() override;
    std::vector<std::optional<file_status>> open_slots() override;
    std::vector<std::string> end() override;

  private:
    super_block *make_super_block();
    void make_root();
    void make_tasks();
    int descriptor(int slot) const;
    file_status status_of(const kstat &from, uint64_t device) const;
    file_status status_of(const path &where) const;
    vfs_task *task(const operation &op) const
    {
        return tasks_[op.task];
    }
    answer call(const operation &op, int64_t offset);
    long open(const operation &op);
    long change(const operation &op);
    long status(const operation &op, answer &result);
    long list(const operation &op, answer &result);
    long mounts(const operation &op);
    long read_all(vfs_task *task, int descriptor, std::vector<directory_entry> &entries);
    tree_node look_at(const path &directory, const directory_entry &entry) const;
    void visit(int directory, int index, tree &result);

    limits limits_;
    plan plan_;
    warning_handler previous_ = nullptr;
    bool running_ = false;
    unsigned steps_ = 0;
    std::vector<identity> identities_;
    std::vector<cred> creds_;
    std::vector<vfs_task *> tasks_;
    std::array<int, slot_count> slots_;
    std::vector<super_block *> super_blocks_;
    std::map<const super_block *, uint64_t> devices_;
    uint64_t last_device_ = 0;
};

super_block *memfs_backend::make_super_block()
{
    memfs_options options;

    if (!limits_.identities) {
        // The other side begins with a directory of this process.
        options.root_uid = identities_.front().uid;
        options.root_gid = identities_.front().gid;
    }
    super_block *sb = memfs_mount(options, "memfs");
    if (IS_ERR(sb))
        throw_if(PTR_ERR(sb), "memfs_mount");
    devices_[sb] = ++last_device_;
    return sb;
}

void memfs_backend::make_tasks()
{
    for (const identity &who : identities_)
        creds_.push_back({who.uid, who.gid, who.groups.data(),
                          static_cast<unsigned>(who.groups.size()), who.capabilities});
    for (size_t i = 0; i < identities_.size(); i++) {
        tasks_.push_back(vfs_task_create(&init_task, CLONE_FILES_FLAG));
        throw_if(tasks_[i] ? 0 : -ENOMEM, "vfs_task_create");
        throw_if(sys_chroot(tasks_[i], plan_.start.c_str()), "chroot");
        throw_if(sys_chdir(tasks_[i], "/"), "chdir");
        tasks_[i]->cred = &creds_[i];
    }
    // The one who looks at the tree has the rights of this process, too.
    init_task.cred = &creds_.front();
}

/// As on a booted machine: the namespace begins with a file system that nobody sees, because the
/// one with the root directory is mounted on top of it.
void memfs_backend::make_root()
{
    for (unsigned layer = 0; layer < 2; layer++) {
        super_block *sb = make_super_block();
        mount *mnt = vfs_create_mount(sb);
        path below;
        super_blocks_.push_back(sb);
        throw_if(mnt ? 0 : -ENOMEM, "vfs_create_mount");
        const path root = {&mnt->mnt, sb->s_root};
        get_fs_root(&init_fs, &below);
        mntget(&mnt->mnt);
        if (layer == 0) {
            set_namespace_root(mnt);
            mntput(&mnt->mnt);
        } else {
            throw_if(do_add_mount(mnt, &below), "do_add_mount");
        }
        path_put(&below);
        set_fs_root(&init_fs, &root);
        set_fs_pwd(&init_fs, &root);
        mntput(&mnt->mnt);
    }
}

void memfs_backend::begin(const plan &plan)
{
    vfs_config config;

    plan_ = plan;
    identities_ = identities(plan, limits_);
    creds_.clear();
    config.dhash_entries = config.ihash_entries = 1ul << plan.hash_shift;
    config.mhash_entries = config.mphash_entries = 1ul << plan.hash_shift;
    config.in_lookup_shift = plan.hash_shift;
    throw_if(vfs_init(config), "vfs_init");
    running_ = true;
    steps_ = 0;
    slots_.fill(-1);
    make_root();
    if (plan.start != "/") {
        throw_if(sys_mkdirat(&init_task, cwd, plan.start.c_str(), 0755), "mkdir");
        super_blocks_.push_back(make_super_block());
        throw_if(sys_mount(&init_task, super_blocks_.back(), plan.start.c_str(), 0), "mount");
    }
    make_tasks();
}

std::vector<std::string> memfs_backend::end()
{
    const path nowhere = {nullptr, nullptr};
    std::vector<std::string> complaints;

    if (!running_)
        return {};
    running_ = false;
    for (vfs_task *task : tasks_)
        vfs_task_exit(task);
    tasks_.clear();
    init_task.cred = &init_cred;
    put_files_struct(&init_files);
    set_fs_root(&init_fs, &nowhere);
    set_fs_pwd(&init_fs, &nowhere);
    set_namespace_root(nullptr);
    rcu_barrier();
    if (mount_count())
        complaints.push_back(std::to_string(mount_count()) + " mounts are left");
    for (super_block *sb : super_blocks_)
        if (const long left = memfs_unmount(sb))
            complaints.push_back("memfs_unmount(): " + std::to_string(left) + " are left");
    super_blocks_.clear();
    devices_.clear();
    const vfs_leaks leaks = vfs_exit();
    if (!leaks.none())
        complaints.push_back(
            "vfs_exit(): left are dentries " + std::to_string(leaks.dentries) + ", inodes " +
            std::to_string(leaks.inodes) + ", files " + std::to_string(leaks.files) +
            ", other objects " + std::to_string(leaks.kmalloc_objects) + ", counters " +
            std::to_string(leaks.counters) + ", hash entries " +
            std::to_string(leaks.hash_entries) + ", mounts " + std::to_string(leaks.mounts));
    complaints.insert(complaints.end(), warnings.begin(), warnings.end());
    warnings.clear();
    return complaints;
}

int memfs_backend::descriptor(int slot) const
{
    switch (slot) {
    case at_cwd:
        return cwd;
    case bad_descriptor:
        return -1;
    case high_descriptor:
        return 9999;
    }
    return slots_[static_cast<size_t>(slot)];
}

file_status memfs_backend::status_of(const kstat &from, uint64_t device) const
{
    const unsigned type = from.mode & S_IFMT_MASK;
    file_status status;

    status.mode = from.mode;
    status.links = from.nlink;
    status.uid = from.uid;
    status.gid = from.gid;
    if (type == S_IFCHR_TYPE || type == S_IFBLK_TYPE)
        status.device = from.rdev;
    if (type == S_IFREG_TYPE || type == S_IFLNK_TYPE)
        status.size = from.size;
    status.key = {device, from.ino};
    return status;
}

file_status memfs_backend::status_of(const path &where) const
{
    kstat stat;

    throw_if(vfs_getattr(&where, &stat), "vfs_getattr");
    const auto found = devices_.find(where.mnt->mnt_sb);
    return status_of(stat, found == devices_.end() ? 0 : found->second);
}

long memfs_backend::open(const operation &op)
{
    const int dfd = descriptor(op.first.descriptor);
    const char *path = op.first.path.c_str();
    const umode_t mode = static_cast<umode_t>(op.mode);
    int &slot = slots_[static_cast<size_t>(op.slot)];
    unsigned tries = 0;
    int opened;

    do
        opened = op.what == call::openat
                     ? sys_openat(task(op), dfd, path, op.flags, mode)
                     : sys_openat2(task(op), dfd, path, op.flags, mode, op.resolve);
    while (opened == -EAGAIN && asks_again(op) && ++tries < most_tries);
    if (opened < 0)
        return opened;
    if (slot >= 0)
        sys_close(task(op), slot);
    slot = opened;
    return 0;
}

long memfs_backend::change(const operation &op)
{
    const int first = descriptor(op.first.descriptor);
    const int second = descriptor(op.second.descriptor);
    const char *path = op.first.path.c_str();
    const char *other = op.second.path.c_str();
    const umode_t mode = static_cast<umode_t>(op.mode);

    switch (op.what) {
    case call::mkdirat:
        return sys_mkdirat(task(op), first, path, mode);
    case call::mknodat:
        return sys_mknodat(task(op), first, path, mode, op.device);
    case call::unlinkat:
        return sys_unlinkat(task(op), first, path, op.flags);
    case call::symlinkat:
        return sys_symlinkat(task(op), op.body.c_str(), first, path);
    case call::linkat:
        return sys_linkat(task(op), first, path, second, other, op.flags);
    case call::renameat2:
        return sys_renameat2(task(op), first, path, second, other, op.flags);
    case call::fchmodat:
        return sys_fchmodat(task(op), first, path, mode, op.flags);
    default:
        return sys_fchownat(task(op), first, path, op.uid, op.gid, op.flags);
    }
}

long memfs_backend::status(const operation &op, answer &result)
{
    kstat stat;
    const int value = op.what != call::fstatat
                          ? sys_fstat(task(op), descriptor(op.slot), &stat)
                          : sys_newfstatat(task(op), descriptor(op.first.descriptor),
                                           op.first.path.c_str(), &stat, op.flags);

    if (value == 0)
        result.status = status_of(stat, 0);
    return value;
}

void append_entries(const char *buffer, long length, std::vector<directory_entry> &entries)
{
    for (long at = 0; at < length;) {
        const auto *entry = reinterpret_cast<const linux_dirent64 *>(buffer + at);
        entries.push_back({entry->d_name, entry->d_type, entry->d_ino, entry->d_off});
        at += entry->d_reclen;
    }
}

long memfs_backend::read_all(vfs_task *task, int descriptor, std::vector<directory_entry> &entries)
{
    alignas(8) char buffer[4096];
    long length;

    sys_lseek(task, descriptor, 0, 0);
    while ((length = sys_getdents64(task, descriptor, buffer, sizeof(buffer))) > 0)
        append_entries(buffer, length, entries);
    return length;
}

long memfs_backend::list(const operation &op, answer &result)
{
    alignas(8) char buffer[4096];
    const int from = descriptor(op.slot);
    const size_t size = op.what == call::getdents_tiny ? 16 : static_cast<size_t>(op.size);

    if (op.what == call::list)
        return read_all(task(op), from, result.entries);
    if (op.what == call::getdents_tiny)
        sys_lseek(task(op), from, 0, 0);
    const long value = sys_getdents64(task(op), from, buffer, std::min(size, sizeof(buffer)));
    append_entries(buffer, value, result.entries);
    return std::min(value, 0L);
}

long memfs_backend::mounts(const operation &op)
{
    constexpr unsigned ms_rdonly = 1;
    constexpr unsigned ms_nosymfollow = 256;

    if (op.what == call::bind)
        return sys_mount_bind(task(op), op.first.path.c_str(), op.second.path.c_str());
    if (op.what == call::umount)
        return sys_umount2(task(op), op.first.path.c_str(), op.flags);
    super_block *sb = make_super_block();
    const long value = sys_mount(task(op), sb, op.first.path.c_str(),
                                 (op.flags & ms_rdonly ? MNT_READONLY : 0u) |
                                     (op.flags & ms_nosymfollow ? MNT_NOSYMFOLLOW : 0u));
    if (value == 0)
        super_blocks_.push_back(sb);
    else if (memfs_unmount(sb))
        warnings.push_back("a file system whose mount failed cannot be unmounted");
    return value;
}

answer memfs_backend::call(const operation &op, int64_t offset)
{
    answer result;
    std::array<char, 8192> text;

    switch (op.what) {
    case call::openat:
    case call::openat2:
        result.value = open(op);
        if (result.value == 0)
            status(op, result);
        break;
    case call::close:
        result.value = sys_close(task(op), descriptor(op.slot));
        if (op.slot >= 0)
            slots_[static_cast<size_t>(op.slot)] = -1;
        break;
    case call::fstatat:
    case call::fstat:
        result.value = status(op, result);
        break;
    case call::faccessat2:
        result.value = sys_faccessat2(task(op), descriptor(op.first.descriptor),
                                      op.first.path.c_str(), op.mode, op.flags);
        break;
    case call::readlinkat:
        result.value = sys_readlinkat(task(op), descriptor(op.first.descriptor),
                                      op.first.path.c_str(), text.data(), op.size);
        if (result.value > 0)
            result.text.assign(text.data(), static_cast<size_t>(result.value));
        break;
    case call::getdents:
    case call::getdents_tiny:
    case call::list:
        result.value = list(op, result);
        break;
    case call::lseek:
        result.value = op.whence == seek_entry
                           ? sys_lseek(task(op), descriptor(op.slot), offset, 0)
                           : sys_lseek(task(op), descriptor(op.slot), op.offset, op.whence);
        status(op, result);
        break;
    case call::chdir:
        result.value = sys_chdir(task(op), op.first.path.c_str());
        break;
    case call::fchdir:
        result.value = sys_fchdir(task(op), descriptor(op.slot));
        break;
    case call::chroot:
        result.value = sys_chroot(task(op), op.first.path.c_str());
        break;
    case call::getcwd:
        result.value = sys_getcwd(task(op), text.data(), static_cast<size_t>(op.size));
        if (result.value > 0)
            result.text.assign(text.data(), static_cast<size_t>(result.value - 1));
        break;
    case call::umask:
        result.value = sys_umask(task(op), static_cast<umode_t>(op.mode));
        break;
    case call::mount:
    case call::bind:
    case call::umount:
        result.value = mounts(op);
        break;
    default:
        result.value = change(op);
    }
    return result;
}

answer memfs_backend::execute(const operation &op, int64_t offset)
{
    if (plan_.prune_every && ++steps_ % plan_.prune_every == 0)
        for (super_block *sb : super_blocks_)
            shrink_dcache_sb(sb);
    answer result = call(op, offset);
    if (!warnings.empty()) {
        result.text = "WARN: " + warnings.front();
        warnings.clear();
    }
    return result;
}

tree_node memfs_backend::look_at(const path &directory, const directory_entry &entry) const
{
    task_scope scope(&init_task);
    tree_node node;
    path where;

    node.name = entry.name;
    node.entry_type = entry.type;
    node.listing = vfs_path_lookup(directory.dentry, directory.mnt, entry.name.c_str(), 0, &where);
    if (node.listing < 0)
        return node;
    node.status = status_of(where);
    if (S_ISLNK_mode(static_cast<umode_t>(node.status.mode))) {
        std::array<char, PATH_MAX_LENGTH> body;
        const int length = vfs_readlink(where.dentry, body.data(), body.size());
        node.body.assign(body.data(), static_cast<size_t>(std::max(length, 0)));
    }
    path_put(&where);
    return node;
}

/// What is in a directory of the tree, by its descriptor, which it consumes, or an error.
void memfs_backend::visit(int directory, int index, tree &result)
{
    std::vector<directory_entry> entries;

    if (directory < 0) {
        result.nodes[static_cast<size_t>(index)].listing = directory;
        return;
    }
    file *file = fget(static_cast<unsigned>(directory));
    result.nodes[static_cast<size_t>(index)].listing = read_all(&init_task, directory, entries);
    std::sort(entries.begin(), entries.end(),
              [](const auto &a, const auto &b) { return a.name < b.name; });
    for (const directory_entry &entry : entries) {
        if (entry.name == "." || entry.name == "..")
            continue;
        tree_node node = look_at(file->f_path, entry);
        const std::string &above = result.nodes[static_cast<size_t>(index)].path;
        node.path = (above == "/" ? "" : above) + "/" + entry.name;
        node.parent = index;
        result.nodes.push_back(std::move(node));
        if (S_ISDIR_mode(static_cast<umode_t>(result.nodes.back().status.mode)))
            visit(sys_openat(&init_task, directory, entry.name.c_str(),
                             OPEN_DIRECTORY | OPEN_NOFOLLOW, 0),
                  static_cast<int>(result.nodes.size() - 1), result);
    }
    fput(file);
    sys_close(&init_task, directory);
}

tree memfs_backend::snapshot()
{
    tree result;
    tree_node top;
    path root;

    get_fs_root(&init_fs, &root);
    top.path = "/";
    top.status = status_of(root);
    path_put(&root);
    result.nodes.push_back(top);
    visit(sys_openat(&init_task, cwd, "/", OPEN_DIRECTORY, 0), 0, result);
    result.slots = open_slots();
    return result;
}

std::vector<std::optional<file_status>> memfs_backend::open_slots()
{
    std::vector<std::optional<file_status>> result(slot_count);

    for (size_t slot = 0; slot < slot_count; slot++) {
        file *file = slots_[slot] < 0 ? nullptr : fget_raw(static_cast<unsigned>(slots_[slot]));
        if (!file)
            continue;
        result[slot] = status_of(file->f_path);
        fput(file);
    }
    return result;
}

} // namespace

std::unique_ptr<backend> make_memfs_backend(const limits &limits)
{
    return std::make_unique<memfs_backend>(limits);
}

} // namespace dcsim::against_kernel
