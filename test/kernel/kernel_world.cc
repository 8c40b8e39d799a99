// SPDX-License-Identifier: GPL-2.0-only
#include "kernel_world.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <linux/capability.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdexcept>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

namespace dcsim::against_kernel
{

worker::worker() : thread_([this] { loop(); }) {}

worker::~worker()
{
    end_.store(true, std::memory_order_relaxed);
    turn_.fetch_add(1, std::memory_order_release);
    turn_.notify_all();
    thread_.join();
}

void worker::run(const std::function<void()> &work)
{
    const uint32_t mine = turn_.load(std::memory_order_relaxed) + 1;

    work_ = &work;
    turn_.store(mine, std::memory_order_release);
    turn_.notify_all();
    turn_.wait(mine, std::memory_order_acquire);
}

void worker::loop()
{
    for (uint32_t seen = 0;; seen += 2) {
        turn_.wait(seen, std::memory_order_acquire);
        if (end_.load(std::memory_order_relaxed))
            return;
        (*work_)();
        turn_.store(seen + 2, std::memory_order_release);
        turn_.notify_all();
    }
}

namespace
{

/// Throws with the name of the call when it failed.
long checked(long result, const char *call)
{
    if (result < 0)
        throw std::runtime_error(std::string(call) + ": " + strerror(errno));
    return result;
}

/// Makes an empty tmpfs the top of this thread's mount namespace, and forgets everything else.
void pivot_into_tmpfs(const char *directory)
{
    checked(mount("dcsim", directory, "tmpfs", 0, "mode=0755,uid=0,gid=0"), "mount tmpfs");
    checked(chdir(directory), "chdir");
    checked(syscall(SYS_pivot_root, ".", "."), "pivot_root");
    checked(umount2(".", MNT_DETACH), "umount of the old root");
    checked(chdir("/"), "chdir /");
}

/// The thread whose namespace is copied for every world: one tmpfs with one directory in it, so
/// that the copy is cheap.
worker &keeper()
{
    static worker thread;
    static bool ready = false;

    if (ready)
        return thread;
    std::string failure;
    thread.run([&] {
        char directory[] = "/tmp/dcsim-kernel-XXXXXX";
        try {
            checked(unshare(CLONE_NEWNS), "unshare(CLONE_NEWNS)");
            checked(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "mount private");
            const int outside =
                static_cast<int>(checked(open("/tmp", O_PATH | O_DIRECTORY), "open /tmp"));
            if (!mkdtemp(directory))
                checked(-1, "mkdtemp");
            try {
                pivot_into_tmpfs(directory);
            } catch (const std::runtime_error &error) {
                failure = error.what();
            }
            // This thread's paths do not lead there any more.
            unlinkat(outside, strrchr(directory, '/') + 1, AT_REMOVEDIR);
            ::close(outside);
            if (failure.empty())
                checked(mkdir("/world", 0755), "mkdir");
        } catch (const std::runtime_error &error) {
            failure = error.what();
        }
    });
    if (!failure.empty())
        throw std::runtime_error(failure);
    ready = true;
    return thread;
}

void set_capabilities(uint64_t capabilities)
{
    __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2] = {};

    for (unsigned half = 0; half < 2; half++)
        data[half].effective = data[half].permitted =
            static_cast<uint32_t>(capabilities >> (32 * half));
    checked(syscall(SYS_capset, &header, data), "capset");
}

/// For this thread only; the C library's functions change all threads.
void set_identity(const identity &who)
{
    checked(syscall(SYS_setgroups, who.groups.size(), who.groups.data()), "setgroups");
    checked(syscall(SYS_setresgid, who.gid, who.gid, who.gid), "setresgid");
    checked(prctl(PR_SET_KEEPCAPS, 1), "prctl");
    checked(syscall(SYS_setresuid, who.uid, who.uid, who.uid), "setresuid");
    set_capabilities(who.capabilities);
}

} // namespace

/// In the thread of the first task, whose namespace the others inherit.
void kernel_world::make_namespace(const plan &plan)
{
    checked(unshare(CLONE_NEWNS), "unshare(CLONE_NEWNS)");
    pivot_into_tmpfs("/world");
    if (plan.start != "/") {
        checked(mkdir(plan.start.c_str(), 0755), "mkdir");
        checked(mount("dcsim", plan.start.c_str(), "tmpfs", 0, "mode=0755,uid=0,gid=0"),
                "mount tmpfs");
        start_ = static_cast<int>(
            checked(fspick(AT_FDCWD, plan.start.c_str(), FSPICK_CLOEXEC), "fspick"));
    }
    top_ = static_cast<int>(checked(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), "open /"));
}

void kernel_world::make_directory()
{
    std::string directory = writable_tmpfs() + "/dcsim-kernel-XXXXXX";

    if (!mkdtemp(directory.data()))
        checked(-1, "mkdtemp");
    checked(chmod(directory.c_str(), 0755), "chmod");
    prefix_ = directory;
    directory_ = true;
    top_ =
        static_cast<int>(checked(open(prefix_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC), "open"));
}

void kernel_world::become(const identity &who, const plan &plan, const limits &limits)
{
    checked(unshare(CLONE_FS), "unshare(CLONE_FS)");
    umask(022);
    checked(fchdir(top_), "fchdir");
    if (limits.mounts) {
        checked(chroot(plan.start.c_str() + (plan.start.size() > 1)), "chroot");
        checked(chdir("/"), "chdir /");
    }
    if (limits.identities)
        set_identity(who);
}

kernel_world::kernel_world(const plan &plan, const limits &limits)
{
    std::string failure;
    const auto guarded = [&](const std::function<void()> &work) {
        return std::function<void()>([&failure, work] {
            try {
                work();
            } catch (const std::runtime_error &error) {
                failure = error.what();
            }
        });
    };

    if (limits.mounts)
        keeper().run(guarded([&] {
            worker steward;
            steward.run(guarded([&] {
                make_namespace(plan);
                // A thread begins with the namespace of the one that makes it.
                for (size_t i = 0; i < identities(plan, limits).size(); i++)
                    tasks_.push_back(std::make_unique<worker>());
            }));
        }));
    else
        guarded([&] {
            make_directory();
            tasks_.push_back(std::make_unique<worker>());
        })();
    unsigned index = 0;
    for (const identity &who : identities(plan, limits))
        if (failure.empty())
            tasks_[index++]->run(guarded([&] { become(who, plan, limits); }));
    if (!failure.empty())
        throw std::runtime_error(failure);
}

/// Removes a directory and what is in it, whatever modes there are.
static void remove_tree(const std::string &top)
{
    namespace fs = std::filesystem;
    std::error_code ignored;

    fs::permissions(top, fs::perms::owner_all, ignored);
    for (const fs::directory_entry &entry : fs::directory_iterator(top, ignored))
        if (entry.is_directory(ignored) && !entry.is_symlink(ignored))
            remove_tree(entry.path());
    fs::remove_all(top, ignored);
}

kernel_world::~kernel_world()
{
    tasks_.clear();
    for (int descriptor : {top_, start_})
        if (descriptor >= 0)
            ::close(descriptor);
    if (directory_)
        remove_tree(prefix_);
}

std::string writable_tmpfs()
{
    const char *given = getenv("TMPDIR");

    for (const std::string &directory :
         {std::string(given ? given : ""), std::string("/dev/shm"), std::string("/tmp"),
          "/run/user/" + std::to_string(getuid())}) {
        struct statfs status;
        if (!directory.empty() && statfs(directory.c_str(), &status) == 0 &&
            status.f_type == TMPFS_MAGIC && access(directory.c_str(), W_OK | X_OK) == 0)
            return directory;
    }
    return "";
}

limits probe_limits(std::vector<std::string> &reasons)
{
    limits found;
    const auto without_rights = [&](const std::string &why) {
        found.whole_paths = found.mounts = found.identities = false;
        reasons.push_back(why + ": mounts, chroot, other tasks' rights, absolute paths and \"..\" "
                                "are left out");
    };

    if (syscall(fchmodat2_number, -1, "", 0, 0) < 0 && errno == ENOSYS) {
        found.chmod_flags = false;
        reasons.push_back("this kernel has no fchmodat2: fchmodat is called without flags");
    }
    if (geteuid() != 0) {
        without_rights("not run by root");
        return found;
    }
    try {
        kernel_world trial({}, found);
    } catch (const std::runtime_error &error) {
        without_rights(std::string("no private namespace (") + error.what() + ")");
    }
    return found;
}

} // namespace dcsim::against_kernel
