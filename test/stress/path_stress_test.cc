// SPDX-License-Identifier: GPL-2.0-only
//
// Every system call at once, on real threads that act as tasks of their own, over one memfs and
// over file systems that come and go on top of it.
//
// Each task owns some names in directories that all share, and knows at any moment what each of
// them is. It looks at its own names by plain paths, through symbolic links, "..", its working
// directory and open descriptors, while the others do the same to theirs, move directories with
// everything below them from place to place, mount, bind and unmount, and take memory away. A name
// is what its owner made it, with its inode number, until its owner removes it; a directory lists
// it exactly once; and where the way leads through a moving directory, it is that or not there.
// In v3 that is so only for names that are not being looked up by two tasks.
//
// At the end everything is unmounted, every object must be gone, and no WARN may have come.
// DCSIM_STRESS_SECONDS sets how long the test runs, in all eras together (2); sanitizer runs do
// less in that time.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "dcsim/mockfs/memfs.h"
#include "dcsim/vfs/super.h"
#include "dcsim/vfs/syscalls.h"
#include "dcsim/vfs/vfs.h"
#include "lookup_eras.h"
#include "lookup_order.h"
#include "stress_random.h"
#include "threads.h"
#include "warnings.h"

using namespace dcsim;

namespace
{

constexpr unsigned shared_directories = 4;
constexpr unsigned moving_directories = 4;
constexpr unsigned names_per_task = 8;
constexpr int cwd = AT_FDCWD_VALUE;

enum class kind { nothing, file, directory, link };

/// One name that a task owns.
struct owned_name {
    std::string text;
    unsigned directory; ///< number of the shared directory it is in
    kind what = kind::nothing;
    ino_t ino = 0;
};

std::string shared_directory(unsigned number)
{
    return "/s" + std::to_string(number);
}

class PathStress : public testing::TestWithParam<lookup_era>
{
  protected:
    void SetUp() override
    {
        vfs_config config;

        config.dhash_entries = 64; // long chains: walkers and renames meet
        config.ihash_entries = 64;
        config.in_lookup_shift = 2;
        config.era = GetParam();
        config.lookup_outside_rwsem = lookup_outside_rwsem_under_test;
        ASSERT_EQ(vfs_init(config), 0);
        sb_ = memfs_mount({}, "stress");
        ASSERT_FALSE(IS_ERR(sb_));
        ASSERT_EQ(init_mount_tree(sb_), 0);
        for (unsigned i = 0; i < shared_directories; i++) {
            ASSERT_EQ(sys_mkdirat(&init_task, cwd, shared_directory(i).c_str(), 0777), 0);
            ASSERT_EQ(sys_symlinkat(&init_task, shared_directory(i).c_str() + 1, cwd,
                                    ("/l" + std::to_string(i)).c_str()),
                      0);
        }
        for (unsigned i = 0; i < moving_directories; i++) {
            const std::string moving =
                shared_directory(i % shared_directories) + "/mv" + std::to_string(i);
            ASSERT_EQ(sys_mkdirat(&init_task, cwd, moving.c_str(), 0777), 0);
            ASSERT_EQ(sys_mkdirat(&init_task, cwd, (moving + "/deep").c_str(), 0777), 0);
            ASSERT_EQ(
                sys_mknodat(&init_task, cwd, (moving + "/deep/f").c_str(), S_IFREG_TYPE | 0666, 0),
                0);
        }
        if (config.era == ERA_V3)
            hold_what_tasks_share();
    }

    void TearDown() override
    {
        for (const int fd : held_)
            EXPECT_EQ(sys_close(&init_task, fd), 0);
        exit_mount_tree();
        EXPECT_EQ(memfs_unmount(sb_), 0);
        EXPECT_TRUE(vfs_exit().none());
    }

    /// In v3 a walk in RCU mode can answer -ENOENT for a name that exists, while another task looks
    /// it up (docs/questions/hash-before-inode.md). What stays in the cache is not looked up; and a
    /// task's own names no other task asks for.
    void hold_what_tasks_share()
    {
        const auto hold = [this](const std::string &path) {
            const int fd = sys_openat(&init_task, cwd, path.c_str(), OPEN_PATH | OPEN_NOFOLLOW, 0);

            ASSERT_GE(fd, 0) << path;
            held_.push_back(fd);
        };

        for (unsigned i = 0; i < shared_directories; i++) {
            hold(shared_directory(i));
            hold("/l" + std::to_string(i));
        }
        for (unsigned i = 0; i < moving_directories; i++)
            hold(shared_directory(i % shared_directories) + "/mv" + std::to_string(i) + "/deep/f");
    }

    super_block *sb_ = nullptr;
    std::vector<int> held_;
    warning_capture warnings_;
};

/// One task of the test and what it knows.
class stress_task
{
  public:
    stress_task(super_block *sb, unsigned number)
        : sb_(sb), number_(number), random_(number + 1), task_(vfs_task_create(&init_task, 0))
    {
        for (unsigned i = 0; i < names_per_task; i++) {
            std::string text = "t" + std::to_string(number) + "-" + std::to_string(i);

            // Every other name does not fit into the dentry.
            if (i % 2)
                text += "-with-a-name-that-is-too-long-for-the-dentry-itself";
            names_.push_back({text, i % shared_directories});
        }
    }
    ~stress_task()
    {
        for (owned_name &name : names_)
            remove(name);
        vfs_task_exit(task_);
    }
    stress_task(const stress_task &) = delete;
    stress_task &operator=(const stress_task &) = delete;

    void step()
    {
        owned_name &name = names_[random_.below(names_per_task)];

        switch (random_.below(18)) {
        case 0:
        case 1:
            return make(name);
        case 2:
            return remove(name);
        case 3:
            return rename(name, names_[random_.below(names_per_task)]);
        case 4:
            return exchange(name, names_[random_.below(names_per_task)]);
        case 5:
            return make_hard_link(name, names_[random_.below(names_per_task)]);
        case 6:
            return list(name.directory);
        case 7:
            return visit_moving_directory();
        case 8:
            return move_a_directory();
        case 9:
            return mount_something();
        case 10:
            return take_memory();
        case 11:
            return open_and_look(name);
        case 12:
            return ask_about(name);
        case 13:
            return make_from_nowhere(name);
        default:
            return look(name);
        }
    }

  private:
    std::string path_of(const owned_name &name)
    {
        return shared_directory(name.directory) + "/" + name.text;
    }
    /// Another way to the same name.
    std::string way_to(const owned_name &name)
    {
        const std::string number = std::to_string(name.directory);

        switch (random_.below(4)) {
        case 0:
            return "/l" + number + "/" + name.text;
        case 1:
            return "/s0/../l" + number + "/../s" + number + "/./" + name.text;
        case 2: {
            EXPECT_EQ(sys_chdir(task_, shared_directory(name.directory).c_str()), 0);
            return name.text;
        }
        default:
            return path_of(name);
        }
    }

    void look(const owned_name &name)
    {
        kstat stat = {};
        const std::string way = way_to(name);
        const int error = sys_newfstatat(task_, cwd, way.c_str(), &stat, AT_SYMLINK_NOFOLLOW_FLAG);

        if (name.what == kind::nothing) {
            EXPECT_EQ(error, -ENOENT) << way;
            return;
        }
        ASSERT_EQ(error, 0) << way;
        EXPECT_EQ(stat.ino, name.ino) << way;
    }

    void learn_inode(owned_name &name)
    {
        kstat stat = {};

        ASSERT_EQ(
            sys_newfstatat(task_, cwd, path_of(name).c_str(), &stat, AT_SYMLINK_NOFOLLOW_FLAG), 0);
        name.ino = stat.ino;
    }

    void make(owned_name &name)
    {
        const std::string way = way_to(name);
        const bool there = name.what != kind::nothing;
        const auto what = static_cast<kind>(1 + random_.below(3));
        int result;

        switch (what) {
        case kind::directory:
            result = sys_mkdirat(task_, cwd, way.c_str(), 0755);
            break;
        case kind::link:
            result = sys_symlinkat(task_, "anywhere", cwd, way.c_str());
            break;
        default:
            result = sys_openat(task_, cwd, way.c_str(), OPEN_CREAT | OPEN_EXCL | OPEN_RDWR, 0644);
            if (result >= 0)
                result = sys_close(task_, result);
        }
        ASSERT_EQ(result, there ? -EEXIST : 0) << way;
        if (!there) {
            name.what = what;
            learn_inode(name);
        }
    }

    void remove(owned_name &name)
    {
        const std::string way = way_to(name);
        const unsigned flags = name.what == kind::directory ? unsigned{AT_REMOVEDIR_FLAG} : 0;

        ASSERT_EQ(sys_unlinkat(task_, cwd, way.c_str(), flags),
                  name.what == kind::nothing ? -ENOENT : 0)
            << way;
        name.what = kind::nothing;
    }

    void rename(owned_name &from, owned_name &to)
    {
        if (from.what == kind::nothing || to.what != kind::nothing)
            return look(from);
        ASSERT_EQ(sys_renameat2(task_, cwd, path_of(from).c_str(), cwd, path_of(to).c_str(),
                                RENAME_NOREPLACE_FLAG),
                  0);
        to.what = from.what;
        to.ino = from.ino;
        from.what = kind::nothing;
        look(to);
        look(from);
    }

    void exchange(owned_name &one, owned_name &other)
    {
        if (one.what == kind::nothing || other.what == kind::nothing)
            return look(other);
        ASSERT_EQ(sys_renameat2(task_, cwd, path_of(one).c_str(), cwd, path_of(other).c_str(),
                                RENAME_EXCHANGE_FLAG),
                  0);
        std::swap(one.what, other.what);
        std::swap(one.ino, other.ino);
        look(one);
        look(other);
    }

    void make_hard_link(const owned_name &from, owned_name &to)
    {
        if (from.what != kind::file || to.what != kind::nothing)
            return look(from);
        ASSERT_EQ(sys_linkat(task_, cwd, path_of(from).c_str(), cwd, path_of(to).c_str(), 0), 0);
        to.what = from.what;
        to.ino = from.ino;
        look(to);
    }

    /// What is mine in a directory is listed once, and what is not mine any more is not.
    void list(unsigned directory)
    {
        const int fd = sys_openat(task_, cwd, shared_directory(directory).c_str(),
                                  OPEN_RDONLY | OPEN_DIRECTORY, 0);
        std::vector<std::string> seen;
        alignas(linux_dirent64) char buffer[512];
        int bytes;

        ASSERT_GE(fd, 0);
        while ((bytes = sys_getdents64(task_, fd, buffer, sizeof(buffer))) > 0)
            for (int at = 0; at < bytes;) {
                const auto *entry = reinterpret_cast<const linux_dirent64 *>(buffer + at);

                seen.emplace_back(entry->d_name);
                at += entry->d_reclen;
            }
        EXPECT_EQ(bytes, 0);
        EXPECT_EQ(sys_close(task_, fd), 0);
        for (const owned_name &name : names_) {
            if (name.directory == directory) {
                EXPECT_EQ(std::ranges::count(seen, name.text), name.what != kind::nothing)
                    << name.text;
            }
        }
    }

    std::string moving_directory()
    {
        return shared_directory(random_.below(shared_directories)) + "/mv" +
               std::to_string(random_.below(moving_directories));
    }

    void move_a_directory()
    {
        const std::string from = moving_directory();
        const std::string to =
            shared_directory(random_.below(shared_directories)) + from.substr(from.rfind('/'));
        const int error =
            sys_renameat2(task_, cwd, from.c_str(), cwd, to.c_str(), RENAME_NOREPLACE_FLAG);

        EXPECT_TRUE(error == 0 || error == -ENOENT || error == -EEXIST) << error;
    }

    /// From within a directory that moves: what is below it is there, ".." leads to some place that
    /// it has been in, and the way back down is right or gone.
    void visit_moving_directory()
    {
        const std::string directory = moving_directory();
        char text[PATH_MAX_LENGTH];
        kstat stat = {};

        if (sys_chdir(task_, (directory + "/deep").c_str()) == 0) {
            EXPECT_EQ(sys_newfstatat(task_, cwd, "f", &stat, 0), 0);
            EXPECT_EQ(sys_newfstatat(task_, cwd, "../deep/f", &stat, 0), 0);
            EXPECT_EQ(sys_newfstatat(task_, cwd, "../../../s0", &stat, 0), 0);
            EXPECT_GT(sys_getcwd(task_, text, sizeof(text)), 0);
            EXPECT_TRUE(strncmp(text, "/s", 2) == 0 && strstr(text, "/deep")) << text;
            const int error = sys_newfstatat(task_, cwd, text, &stat, 0);
            EXPECT_TRUE(error == 0 || error == -ENOENT) << error;
        }
        EXPECT_EQ(sys_chdir(task_, "/"), 0);
    }

    void open_and_look(const owned_name &name)
    {
        const int fd = sys_openat(task_, cwd, path_of(name).c_str(), OPEN_PATH | OPEN_NOFOLLOW, 0);
        kstat stat = {};

        if (name.what == kind::nothing) {
            EXPECT_EQ(fd, -ENOENT);
            return;
        }
        ASSERT_GE(fd, 0);
        EXPECT_EQ(sys_fstat(task_, fd, &stat), 0);
        EXPECT_EQ(stat.ino, name.ino);
        if (name.what == kind::directory) {
            EXPECT_EQ(sys_newfstatat(task_, fd, "missing", &stat, 0), -ENOENT);
            EXPECT_EQ(sys_newfstatat(task_, fd, "../..", &stat, 0), 0);
        }
        EXPECT_EQ(sys_close(task_, fd), 0);
    }

    /// What access(2) and readlink(2) say, and the same from a root of its own.
    void ask_about(const owned_name &name)
    {
        const std::string way = way_to(name);
        char body[16];

        EXPECT_EQ(sys_faccessat2(task_, cwd, way.c_str(), 0, AT_SYMLINK_NOFOLLOW_FLAG),
                  name.what == kind::nothing ? -ENOENT : 0)
            << way;
        EXPECT_EQ(sys_readlinkat(task_, cwd, way.c_str(), body, sizeof(body)),
                  name.what == kind::nothing ? -ENOENT
                  : name.what == kind::link  ? 8
                                             : -EINVAL)
            << way;

        vfs_task *inside = vfs_task_create(task_, 0);
        ASSERT_NE(inside, nullptr);
        EXPECT_EQ(sys_chroot(inside, shared_directory(name.directory).c_str()), 0);
        EXPECT_EQ(sys_faccessat2(inside, cwd, ("/../../" + name.text).c_str(), 0,
                                 AT_SYMLINK_NOFOLLOW_FLAG),
                  name.what == kind::nothing ? -ENOENT : 0);
        EXPECT_EQ(sys_chdir(inside, "/"), 0);
        EXPECT_EQ(
            sys_faccessat2(inside, cwd, ("../" + name.text).c_str(), 0, AT_SYMLINK_NOFOLLOW_FLAG),
            name.what == kind::nothing ? -ENOENT : 0);
        vfs_task_exit(inside);
    }

    /// A file that has no name until it gets its first one.
    void make_from_nowhere(owned_name &name)
    {
        const int fd = sys_openat(task_, cwd, shared_directory(name.directory).c_str(),
                                  OPEN_TMPFILE | OPEN_RDWR, 0600);
        const bool there = name.what != kind::nothing;

        ASSERT_GE(fd, 0);
        EXPECT_EQ(sys_linkat(task_, fd, "", cwd, path_of(name).c_str(), AT_EMPTY_PATH_FLAG),
                  there ? -EEXIST : 0);
        EXPECT_EQ(sys_close(task_, fd), 0);
        if (!there) {
            name.what = kind::file;
            learn_inode(name);
        }
    }

    /// A file system of this task's own on a directory of its own; shown a second time by a bind
    /// mount; taken away at once, or while it is still the working directory.
    void mount_something()
    {
        const std::string point = "/s0/m" + std::to_string(number_);
        const std::string other = "/s1/b" + std::to_string(number_);
        super_block *mounted = memfs_mount({}, "stress-inner");
        kstat stat = {};

        ASSERT_FALSE(IS_ERR(mounted));
        ASSERT_EQ(sys_mkdirat(task_, cwd, point.c_str(), 0755), 0);
        ASSERT_EQ(sys_mkdirat(task_, cwd, other.c_str(), 0755), 0);
        ASSERT_EQ(sys_mount(task_, mounted, point.c_str(), 0), 0);
        EXPECT_EQ(sys_mkdirat(task_, cwd, (point + "/in").c_str(), 0755), 0);
        ASSERT_EQ(sys_mount_bind(task_, (point + "/in").c_str(), other.c_str()), 0);
        EXPECT_EQ(sys_mkdirat(task_, cwd, (other + "/side").c_str(), 0755), 0);
        EXPECT_EQ(sys_newfstatat(task_, cwd, (point + "/in/side/../../../../l1").c_str(), &stat, 0),
                  0);
        ASSERT_EQ(sys_chdir(task_, (other + "/side").c_str()), 0);
        EXPECT_EQ(sys_umount2(task_, other.c_str(), 0), -EBUSY);
        EXPECT_EQ(sys_umount2(task_, other.c_str(), MNT_DETACH_FLAG), 0);
        EXPECT_EQ(sys_newfstatat(task_, cwd, "..", &stat, 0), 0);
        ASSERT_EQ(sys_chdir(task_, "/"), 0);
        EXPECT_EQ(sys_unlinkat(task_, cwd, point.c_str(), AT_REMOVEDIR_FLAG), -EBUSY);
        // Another task that lists /s0 may be looking at the mount's root just now.
        EXPECT_EQ(sys_umount2(task_, point.c_str(), MNT_DETACH_FLAG), 0);
        EXPECT_EQ(sys_unlinkat(task_, cwd, point.c_str(), AT_REMOVEDIR_FLAG), 0);
        EXPECT_EQ(sys_unlinkat(task_, cwd, other.c_str(), AT_REMOVEDIR_FLAG), 0);
        EXPECT_EQ(memfs_unmount(mounted), 0);
    }

    void take_memory()
    {
        if (random_.below(4) == 0)
            return shrink_dcache_sb(sb_);
        shrink_control control = {1 + random_.below(64)};
        prune_dcache_sb(sb_, &control);
    }

    super_block *sb_;
    unsigned number_;
    stress_random random_;
    vfs_task *task_;
    std::vector<owned_name> names_;
};

TEST_P(PathStress, EveryNameIsWhatItsOwnerMadeIt)
{
    const auto end = std::chrono::steady_clock::now() +
                     std::chrono::duration<double>(stress_seconds_of_an_era());

    run_together(more_threads_than_processors(), [&](int thread) {
        stress_task task(sb_, static_cast<unsigned>(thread));

        while (std::chrono::steady_clock::now() < end && !testing::Test::HasFailure())
            task.step();
    });
    EXPECT_GT(vfs_counter_value(RCU_WALKS), 0);
    EXPECT_GT(vfs_counter_value(RCU_UNLAZY), 0);
}

INSTANTIATE_TEST_SUITE_P(Eras, PathStress, testing::ValuesIn(all_lookup_eras()), name_of_era_test);

} // namespace
