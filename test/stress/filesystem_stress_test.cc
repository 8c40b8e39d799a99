// SPDX-License-Identifier: GPL-2.0-only
//
// Everything at once, on real threads, over each mock file system in each of its forms.
//
// Tasks look names up, open, make, remove and rename them by system calls, keep files open while
// others remove them, read directories, drop, invalidate and prune what is cached, and come by file
// handles; where there is a server, somebody else changes it meanwhile; one thread does what the
// file system has put off. All of them use the same few names, so nobody can know what he finds.
// What must hold: no answer that is none, no WARN, nothing that a sanitizer sees, and after
// unmounting nothing is left. And where nobody else changes anything, the cache must say in the end
// what the disk says.
//
// DCSIM_STRESS_SECONDS sets how long all of this runs, roughly (2).
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "dcsim/mockfs/fusefs.h"
#include "dcsim/mockfs/mock_filesystem.h"
#include "dcsim/vfs/super.h"
#include "dcsim/vfs/syscalls.h"
#include "dcsim/vfs/vfs.h"
#include "lookup_eras.h"
#include "stress_random.h"
#include "threads.h"
#include "warnings.h"

using namespace dcsim;

namespace
{

constexpr int tasks = 5;
constexpr int cwd = AT_FDCWD_VALUE;
/// Each form gets this part of the time.
constexpr double part_of_the_time = 0.1;

/// A file system with its options, and the kernel whose lookups wait by its protocol.
struct form {
    const char *filesystem;
    std::vector<mock_option> options;
    lookup_era era;
};

/// In v7.2 and in an era with a caller's queue, but for what that era does not have.
std::vector<form> all_forms()
{
    static const std::vector<std::pair<const char *, std::vector<mock_option>>> kinds = {
        {"memfs", {}},
        {"memfs", {{"links_in_inode", 0}}},
        {"slowfs", {{"slow_us", 20}}},
        {"netfs", {}},
        {"netfs", {{"actimeo", 0}}},
        {"netfs", {{"version", 3}, {"async_unlink", 0}, {"lookupcache", 0}}},
        {"casefs", {}},
        {"casefs", {{"compare", 0}}},
        {"casefs", {{"casefold", 1}, {"negatives", 1}}},
        {"casefs", {{"casefold", 1}, {"revalidate", 1}, {"prime", 1}}},
        {"ovlfs", {}},
        {"ovlfs", {{"shared", 1}}},
        {"ovlfs", {{"readdir", 1}}},
        {"ovlfs", {{"readdir", 2}}},
        {"dynfs", {}},
        {"dynfs", {{"sysctl", 1}}},
        {"dynfs", {{"flush", 1}}},
        {"fusefs", {}},
        {"fusefs", {{"entry_timeout", 0}, {"delete_stale", 1}}},
        {"fusefs", {{"inval_wq", 1}, {"notify", 2}, {"atomic_create", 0}}},
    };
    std::vector<form> forms;

    for (const auto &[filesystem, options] : kinds)
        for (const lookup_era era : {ERA_6_0, ERA_7_2}) {
            const bool noblock = !options.empty() && strcmp(options[0].name, "readdir") == 0;

            if (era == ERA_7_2 || !noblock)
                forms.push_back({filesystem, options, era});
        }
    return forms;
}

std::string name_of_form(const testing::TestParamInfo<form> &info)
{
    std::string name = info.param.filesystem;

    for (const mock_option &option : info.param.options)
        name += std::string("_") + option.name + "_" + std::to_string(option.value);
    return name + "_" + era_test_name(info.param.era);
}

/// A thousand names would never meet.
class few_paths
{
  public:
    static constexpr unsigned directories = 3;
    static constexpr unsigned names = 6;

    static std::string directory(unsigned number)
    {
        return "/d" + std::to_string(number);
    }
    static std::string name(unsigned number)
    {
        // One of them does not fit into its dentry, and one is another when case counts.
        return number == 0   ? "n" + std::string(60, 'x')
               : number == 1 ? "N" + std::string(60, 'X')
                             : "n" + std::to_string(number);
    }
    static std::string some_directory(stress_random &random)
    {
        std::string path = directory(random.below(directories));

        if (random.below(3) == 0)
            path += "/sub" + std::to_string(random.below(2));
        return path;
    }
    static std::string some_path(stress_random &random)
    {
        return some_directory(random) + "/" + name(random.below(names));
    }
};

class FilesystemStress : public testing::TestWithParam<form>
{
  protected:
    FilesystemStress() : fs_(find_mock_filesystem(GetParam().filesystem)) {}

    void SetUp() override
    {
        vfs_config config;
        mock_mount_options options;

        config.dhash_entries = 64; // long chains: walkers and renames meet
        config.ihash_entries = 64;
        config.in_lookup_shift = 2;
        config.era = GetParam().era;
        ASSERT_EQ(vfs_init(config), 0);
        options.options = GetParam().options;
        sb_ = fs_->mount(options, "stress");
        ASSERT_FALSE(IS_ERR(sb_));
        fill();
        ASSERT_EQ(init_mount_tree(sb_), 0);
    }

    void TearDown() override
    {
        exit_mount_tree();
        EXPECT_EQ(fs_->unmount(sb_), 0);
        EXPECT_TRUE(vfs_exit().none());
    }

    /// Some names to begin with, which on ovlfs are the lower layer's.
    void fill()
    {
        for (unsigned i = 0; i < few_paths::directories; i++) {
            mock_node *directory =
                add(fs_->root_node(sb_), few_paths::directory(i).substr(1), S_IFDIR_TYPE | 0755);

            // Of an empty directory only; file systems without such a flag refuse.
            if (i == 0 && fs_->set_node_flag)
                (void)fs_->set_node_flag(sb_, directory, "casefold");
            add(directory, "sub0", S_IFDIR_TYPE | 0755);
            for (unsigned name = 2; name < few_paths::names; name += 2)
                add(directory, few_paths::name(name), S_IFREG_TYPE | 0644);
        }
    }
    mock_node *add(mock_node *directory, const std::string &name, umode_t mode)
    {
        mock_node *node = fs_->add_node(sb_, directory, name.data(), name.size(), mode, nullptr);

        EXPECT_FALSE(IS_ERR(node)) << name;
        return node;
    }

    /// The part of a kernel thread, until nobody can need it any more.
    void do_what_was_put_off(const std::atomic<int> &others)
    {
        while (others > 0)
            if (!fs_->run_pending || !fs_->run_pending(sb_))
                sleep_for_microseconds(100);
    }

    const mock_filesystem *fs_;
    super_block *sb_ = nullptr;
    warning_capture warnings_;
};

/// One task of the test.
class stress_task
{
  public:
    stress_task(const mock_filesystem *fs, super_block *sb, unsigned number)
        : fs_(fs), sb_(sb), random_(number + 1), task_(vfs_task_create(&init_task, 0)), acts_(task_)
    {
    }
    ~stress_task()
    {
        for (int &fd : open_)
            close(fd);
    }
    stress_task(const stress_task &) = delete;
    stress_task &operator=(const stress_task &) = delete;

    void step()
    {
        const std::string path = few_paths::some_path(random_);

        switch (random_.below(20)) {
        case 0:
        case 1:
        case 2:
            return keep_open(path);
        case 3:
        case 4:
            return allowed("unlink", path, sys_unlinkat(task_, cwd, path.c_str(), 0));
        case 5:
            return rename(path);
        case 6:
            return make_or_remove_directory();
        case 7:
        case 8:
            return list();
        case 9:
            return drop(path);
        case 10:
            return take_memory();
        case 11:
        case 12:
            return change_the_server(path);
        case 13:
            return come_by_handle(path);
        case 14:
            return let_time_pass();
        default:
            return look(path);
        }
    }

  private:
    /// What a system call may say of a name that others change.
    static void allowed(const char *what, const std::string &path, int64_t result)
    {
        static constexpr int errors[] = {-ENOENT, -EEXIST,     -ENOTDIR, -EISDIR, -ENOTEMPTY,
                                         -EBUSY,  -EXDEV,      -EINVAL,  -ESTALE, -EPERM,
                                         -EACCES, -EOPNOTSUPP, -ETXTBSY};

        EXPECT_TRUE(result >= 0 || std::ranges::find(errors, result) != std::end(errors))
            << what << " " << path << ": " << result;
    }

    void look(const std::string &path)
    {
        kstat stat = {};
        const int error = sys_newfstatat(task_, cwd, path.c_str(), &stat, 0);

        allowed("stat", path, error);
        EXPECT_TRUE(error || stat.ino != 0) << path;
    }

    void close(int &fd)
    {
        if (fd < 0)
            return;
        EXPECT_EQ(sys_close(task_, fd), 0);
        fd = -1;
    }

    /// Some files are open at any time, so that what is removed may be in use.
    void keep_open(const std::string &path)
    {
        int &fd = open_[random_.below(static_cast<unsigned>(open_.size()))];
        const unsigned flags = random_.below(2) ? unsigned{OPEN_CREAT} : 0;
        const unsigned exclusive = random_.below(4) == 0 ? unsigned{OPEN_EXCL} : 0;

        close(fd);
        fd = sys_openat(task_, cwd, path.c_str(), OPEN_RDONLY | flags | (flags ? exclusive : 0),
                        0644);
        allowed("open", path, fd);
    }

    void rename(const std::string &path)
    {
        static constexpr unsigned kinds[] = {0, 0, RENAME_NOREPLACE_FLAG, RENAME_EXCHANGE_FLAG};
        const std::string other =
            random_.below(4) ? few_paths::some_path(random_) : few_paths::some_directory(random_);

        allowed(
            "rename", path + " " + other,
            sys_renameat2(task_, cwd, path.c_str(), cwd, other.c_str(), kinds[random_.below(4)]));
    }

    void make_or_remove_directory()
    {
        const std::string path = few_paths::directory(random_.below(few_paths::directories)) +
                                 "/sub" + std::to_string(random_.below(2));

        allowed("mkdir or rmdir", path,
                random_.below(2) ? sys_mkdirat(task_, cwd, path.c_str(), 0755)
                                 : sys_unlinkat(task_, cwd, path.c_str(), AT_REMOVEDIR_FLAG));
    }

    void list()
    {
        const std::string path = few_paths::some_directory(random_);
        const int fd = sys_openat(task_, cwd, path.c_str(), OPEN_RDONLY | OPEN_DIRECTORY, 0);
        alignas(linux_dirent64) char buffer[512];
        int bytes;

        allowed("open", path, fd);
        if (fd < 0)
            return;
        while ((bytes = sys_getdents64(task_, fd, buffer, sizeof(buffer))) > 0)
            continue;
        allowed("getdents", path, bytes);
        EXPECT_EQ(sys_close(task_, fd), 0);
    }

    void drop(const std::string &path)
    {
        dentry *found = lookup_path(sb_->s_root, path.data(), path.size());

        if (IS_ERR(found))
            return allowed("lookup", path, PTR_ERR(found));
        if (random_.below(2))
            d_drop(found);
        else
            d_invalidate(found);
        dput(found);
    }

    void take_memory()
    {
        switch (random_.below(4)) {
        case 0:
            return shrink_dcache_sb(sb_);
        case 1:
            return shrink_dcache_parent(sb_->s_root);
        default:
            shrink_control control = {1 + random_.below(32)};
            prune_dcache_sb(sb_, &control);
        }
    }

    void change_the_server(const std::string &path)
    {
        const auto what = static_cast<remote_change>(random_.below(5));
        const std::string other = few_paths::some_path(random_);

        if (fs_->remote)
            allowed("remote change", path,
                    fs_->remote(sb_, what, path.c_str(),
                                what == remote_change::rename ? other.c_str() : nullptr));
    }

    void come_by_handle(const std::string &path)
    {
        if (!fs_->inode_by_path)
            return look(path);
        inode *inode = fs_->inode_by_path(sb_, path.c_str());
        if (IS_ERR(inode))
            return allowed("handle", path, PTR_ERR(inode));
        dentry *dentry = d_obtain_alias(inode);
        if (IS_ERR(dentry))
            return allowed("alias", path, PTR_ERR(dentry));
        dput(dentry);
    }

    void let_time_pass()
    {
        if (fs_ != &fusefs_filesystem)
            return;
        fusefs_advance_clock(sb_, 1);
        fuse_dentry_tree_work(sb_);
    }

    const mock_filesystem *fs_;
    super_block *sb_;
    stress_random random_;
    /// Ends what it has open when it goes, and acts until then.
    struct owned_task {
        vfs_task *task;
        ~owned_task()
        {
            vfs_task_exit(task);
        }
    };
    vfs_task *task_;
    owned_task exits_{task_};
    task_scope acts_;
    std::array<int, 3> open_ = {-1, -1, -1};
};

/// What the file system answers for every path there may be.
std::string answers()
{
    std::string text;
    kstat stat = {};

    for (unsigned directory = 0; directory < few_paths::directories; directory++)
        for (const char *below : {"", "/sub0", "/sub1"})
            for (unsigned name = 0; name < few_paths::names; name++) {
                const std::string path =
                    few_paths::directory(directory) + below + "/" + few_paths::name(name);
                const int error = sys_newfstatat(&init_task, cwd, path.c_str(), &stat, 0);

                text += path +
                        (error ? " error " + std::to_string(error)
                               : " mode " + std::to_string(stat.mode)) +
                        "\n";
            }
    return text;
}

TEST_P(FilesystemStress, NothingIsLeftBehind)
{
    const auto end = std::chrono::steady_clock::now() +
                     std::chrono::duration<double>(stress_seconds() * part_of_the_time);
    std::atomic<int> others = tasks;

    run_together(tasks + 1, [&](int thread) {
        if (thread == tasks)
            return do_what_was_put_off(others);
        {
            stress_task task(fs_, sb_, static_cast<unsigned>(thread));

            do
                for (int i = 0; i < 16; i++)
                    task.step();
            while (std::chrono::steady_clock::now() < end && !HasFailure());
        }
        others--;
    });
    EXPECT_GT(vfs_counter_value(DENTRIES_FREED), 0);
    if (fs_->remote)
        return;
    const std::string cached = answers();
    shrink_dcache_sb(sb_);
    EXPECT_EQ(cached, answers());
}

INSTANTIATE_TEST_SUITE_P(Forms, FilesystemStress, testing::ValuesIn(all_forms()), name_of_form);

} // namespace
