// SPDX-License-Identifier: GPL-2.0-only
//
// Open files and tables of descriptors: who holds what, which number comes next, what shared and
// copied tables have in common.
#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "path_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

class file_fixture : public path_fixture
{
  protected:
    void SetUp() override
    {
        path_fixture::SetUp();
        make_files({"/a", "/b"});
    }
    void TearDown() override
    {
        sysctl_nr_open = 1024 * 1024;
        put_files_struct(&init_files);
        path_fixture::TearDown();
    }

    static int open(const char *name, unsigned flags = OPEN_RDONLY, vfs_task *task = &init_task)
    {
        return sys_openat(task, AT_FDCWD_VALUE, name, flags, 0644);
    }
    static int close(int fd, vfs_task *task = &init_task)
    {
        return sys_close(task, fd);
    }
    static ino_t number_of(int fd, vfs_task *task = &init_task)
    {
        kstat stat = {};

        EXPECT_EQ(sys_fstat(task, fd, &stat), 0);
        return stat.ino;
    }
    /// The file of a descriptor of init_task, without a reference.
    static file *filp_of(int fd)
    {
        file *file = fget_raw(static_cast<unsigned>(fd));

        fput(file);
        return file;
    }
    ino_t number_at(const char *name)
    {
        return d_inode(walk(name).at())->i_ino;
    }
    static long references_of(const file *file)
    {
        return READ_ONCE(file->f_count);
    }
    static bool is_open(int fd, vfs_task *task = &init_task)
    {
        kstat stat;

        return sys_fstat(task, fd, &stat) == 0;
    }
};

using Descriptors = file_fixture;
using SharedTable = file_fixture;
using CopiedTable = file_fixture;
using OpenFile = file_fixture;

// --- Which number ---

TEST_F(Descriptors, TheLowestFreeOneIsTaken)
{
    EXPECT_EQ(open("/a"), 0);
    EXPECT_EQ(open("/a"), 1);
    EXPECT_EQ(open("/a"), 2);
    EXPECT_EQ(open("/a"), 3);

    ASSERT_EQ(close(2), 0);
    ASSERT_EQ(close(1), 0);
    EXPECT_EQ(open("/a"), 1);
    EXPECT_EQ(open("/a"), 2);
    EXPECT_EQ(open("/a"), 4);
}

TEST_F(Descriptors, AFailedOpenTakesNone)
{
    EXPECT_EQ(open("/missing"), -ENOENT);
    EXPECT_EQ(open("/a"), 0);
}

TEST_F(Descriptors, TheTableGrowsAndKeepsWhatIsInIt)
{
    constexpr int many = 1000;
    std::vector<ino_t> numbers;

    for (int i = 0; i < many; i++) {
        ASSERT_EQ(open(i % 3 ? "/a" : "/b"), i);
        numbers.push_back(number_of(i));
    }
    for (int i = 0; i < many; i++)
        ASSERT_EQ(number_of(i), numbers[static_cast<size_t>(i)]) << i;
    EXPECT_NE(numbers[0], numbers[1]);
    EXPECT_FALSE(is_open(many));

    // The lowest one across word boundaries of the bitmap.
    ASSERT_EQ(close(700), 0);
    ASSERT_EQ(close(63), 0);
    EXPECT_EQ(open("/a"), 63);
    EXPECT_EQ(open("/a"), 700);
    EXPECT_EQ(open("/a"), many);
}

TEST_F(Descriptors, AFullTableRefusesBeforeAnythingIsMade)
{
    sysctl_nr_open = NR_OPEN_DEFAULT;
    for (unsigned i = 0; i < NR_OPEN_DEFAULT; i++)
        ASSERT_EQ(open("/a"), static_cast<int>(i));

    EXPECT_EQ(open("/new", OPEN_CREAT | OPEN_WRONLY), -EMFILE);
    EXPECT_EQ(error_of("/new"), -ENOENT);

    ASSERT_EQ(close(17), 0);
    EXPECT_EQ(open("/new", OPEN_CREAT | OPEN_WRONLY), 17);
}

TEST_F(Descriptors, ALimitThatWasLoweredHoldsForTablesThatAreLarger)
{
    sysctl_nr_open = 192;
    for (int i = 0; i < 129; i++)
        ASSERT_EQ(open("/a"), i);
    EXPECT_EQ(READ_ONCE(init_files.fdt)->max_fds, 192u);

    sysctl_nr_open = NR_OPEN_DEFAULT;
    EXPECT_EQ(open("/a"), -EMFILE);
    EXPECT_TRUE(is_open(128));
    ASSERT_EQ(close(3), 0);
    EXPECT_EQ(open("/a"), 3);
}

TEST_F(Descriptors, WithoutMemoryForALargerTableNothingIsOpened)
{
    for (unsigned i = 0; i < NR_OPEN_DEFAULT; i++)
        ASSERT_EQ(open("/a"), static_cast<int>(i));

    kmem_fail_nth(1);
    EXPECT_EQ(open("/new", OPEN_CREAT | OPEN_WRONLY), -ENOMEM);
    EXPECT_EQ(error_of("/new"), -ENOENT);
    EXPECT_EQ(open("/a"), static_cast<int>(NR_OPEN_DEFAULT));
}

TEST_F(Descriptors, WhatIsNotOpenCannotBeUsed)
{
    kstat stat;

    ASSERT_EQ(open("/a"), 0);
    for (int fd : {-1, 1, 63, 64, 1 << 20, AT_FDCWD_VALUE}) {
        EXPECT_EQ(close(fd), -EBADF) << fd;
        EXPECT_EQ(sys_fstat(&init_task, fd, &stat), -EBADF) << fd;
        EXPECT_EQ(sys_fchdir(&init_task, fd), -EBADF) << fd;
    }
    EXPECT_EQ(sys_newfstatat(&init_task, 1, "a", &stat, 0), -EBADF);
    ASSERT_EQ(close(0), 0);
    EXPECT_EQ(close(0), -EBADF);
}

TEST_F(Descriptors, AReservedOneLeadsNowhereAndIsNobodyElses)
{
    const int reserved = get_unused_fd();

    ASSERT_EQ(reserved, 0);
    EXPECT_FALSE(is_open(0));
    EXPECT_EQ(close(0), -EBADF);
    EXPECT_EQ(open("/a"), 1);

    put_unused_fd(0);
    EXPECT_EQ(open("/b"), 0);
}

TEST(DescriptorsWithoutAFileSystem, ATableThatOnceGrewIsNoLeak)
{
    ASSERT_EQ(vfs_init({.dhash_entries = 4, .ihash_entries = 4}), 0);
    for (int i = 0; i < 65; i++)
        ASSERT_EQ(get_unused_fd(), i);
    for (unsigned i = 0; i < 65; i++)
        put_unused_fd(i);
    EXPECT_NE(READ_ONCE(init_files.fdt), &init_files.fdtab);
    expect_nothing_left(vfs_exit());
}

// --- Tables ---

TEST_F(SharedTable, BothTasksSeeWhatEitherDoes)
{
    vfs_task *other = vfs_task_create(&init_task, CLONE_FILES_FLAG);

    ASSERT_EQ(open("/a"), 0);
    EXPECT_EQ(open("/b", OPEN_RDONLY, other), 1);
    EXPECT_EQ(number_of(0, other), number_of(0));
    ASSERT_EQ(close(0, other), 0);
    EXPECT_FALSE(is_open(0));

    vfs_task_exit(other);
    EXPECT_TRUE(is_open(1));
}

TEST_F(CopiedTable, HasTheSameOpenFilesAndNoneOfWhatComesLater)
{
    const int a = open("/a");
    const file *shared = filp_of(a);
    vfs_task *other = vfs_task_create(&init_task, 0);

    EXPECT_EQ(references_of(shared), 2);
    ASSERT_EQ(open("/b"), 1);
    EXPECT_FALSE(is_open(1, other));

    ASSERT_EQ(close(a), 0);
    EXPECT_FALSE(is_open(a));
    EXPECT_TRUE(is_open(a, other));
    EXPECT_EQ(references_of(shared), 1);
    vfs_task_exit(other);
}

TEST_F(CopiedTable, SharesThePositionInADirectory)
{
    const int fd = open("/", OPEN_RDONLY | OPEN_DIRECTORY);
    vfs_task *other = vfs_task_create(&init_task, 0);

    ASSERT_EQ(sys_lseek(&init_task, fd, 2, 0), 2);
    EXPECT_EQ(sys_lseek(other, fd, 0, 1), 2);
    vfs_task_exit(other);
}

TEST_F(CopiedTable, GoesAsFarAsTheOldOneIsUsed)
{
    for (int i = 0; i < 200; i++)
        ASSERT_EQ(open("/a"), i);
    vfs_task *whole = vfs_task_create(&init_task, 0);
    for (int i = 0; i < 200; i++)
        EXPECT_TRUE(is_open(i, whole)) << i;

    for (int i = 10; i < 200; i++)
        ASSERT_EQ(close(i), 0);
    vfs_task *small = vfs_task_create(&init_task, 0);
    EXPECT_EQ(READ_ONCE(small->files->fdt)->max_fds, NR_OPEN_DEFAULT);
    EXPECT_TRUE(is_open(9, small));
    EXPECT_EQ(open("/a", OPEN_RDONLY, small), 10);

    vfs_task_exit(whole);
    vfs_task_exit(small);
}

TEST_F(CopiedTable, ADescriptorThatIsOnlyReservedIsFreeInTheCopy)
{
    ASSERT_EQ(get_unused_fd(), 0);
    vfs_task *other = vfs_task_create(&init_task, 0);

    EXPECT_EQ(open("/a", OPEN_RDONLY, other), 0);
    EXPECT_EQ(open("/a"), 1);
    put_unused_fd(0);
    vfs_task_exit(other);
}

TEST_F(CopiedTable, WithoutMemoryThereIsNoneAndNothingIsHeld)
{
    for (int i = 0; i < 100; i++)
        ASSERT_EQ(open("/a"), i);
    const file *first = filp_of(0);

    for (long n = 1;; n++) {
        kmem_fail_nth(n);
        files_struct *copy = copy_files_struct(&init_files);
        if (!kmem_failure_delivered()) {
            kmem_fail_nth(0);
            put_files_struct(copy);
            EXPECT_EQ(n, 5); // the table's head, a larger table in three pieces
            break;
        }
        EXPECT_EQ(copy, nullptr);
        EXPECT_EQ(references_of(first), 1);
    }
    EXPECT_EQ(references_of(first), 1);
}

TEST_F(SharedTable, ReadersOfATableThatGrowsAndChangesGetTheirFilesOrNone)
{
    const ino_t a = number_at("/a"), b = number_at("/b");
    vfs_task *reader = vfs_task_create(&init_task, CLONE_FILES_FLAG);
    vfs_task *writer = vfs_task_create(&init_task, CLONE_FILES_FLAG);
    std::atomic<bool> done = false;
    std::atomic<long> wrong = 0, seen = 0;

    // Even descriptors are /a or nothing, odd ones /b or nothing.
    std::thread reading([&] {
        kstat stat;

        for (int fd = 0; !done; fd = (fd + 1) % 200) {
            if (sys_fstat(reader, fd, &stat) != 0)
                continue;
            seen++;
            wrong += stat.ino != (fd % 2 ? b : a);
        }
    });
    for (int round = 0; round < 20 || !seen; round++) {
        const int up_to = round * 37 % 190 + 2;

        for (int fd = 0; fd < up_to; fd++)
            ASSERT_EQ(open(fd % 2 ? "/b" : "/a", OPEN_RDONLY, writer), fd);
        for (int fd = 0; fd < up_to; fd++)
            ASSERT_EQ(close(fd, writer), 0);
    }
    done = true;
    reading.join();
    EXPECT_EQ(wrong, 0);
    vfs_task_exit(reader);
    vfs_task_exit(writer);
}

// --- Files ---

int releases;

int count_release(inode *, file *)
{
    releases++;
    return 0;
}
int refuse_to_open(inode *, file *)
{
    return -ENOLINK;
}

TEST_F(OpenFile, IsReleasedWithItsLastReference)
{
    static constexpr file_operations counting = {.release = count_release};
    const place a = walk("/a");
    file *file;

    releases = 0;
    d_inode(a.at())->i_fop = &counting;
    file = filp_open("/a", OPEN_RDONLY, 0);
    ASSERT_FALSE(IS_ERR(file));
    EXPECT_EQ(get_file(file), file);
    fput(file);
    EXPECT_EQ(releases, 0);
    fput(file);
    EXPECT_EQ(releases, 1);
}

TEST_F(OpenFile, ThatWasNeverOpenedIsNotReleased)
{
    static constexpr file_operations refusing = {.open = refuse_to_open, .release = count_release};
    const place a = walk("/a");

    releases = 0;
    d_inode(a.at())->i_fop = &refusing;
    EXPECT_EQ(PTR_ERR(filp_open("/a", OPEN_RDONLY, 0)), -ENOLINK);
    EXPECT_EQ(releases, 0);
}

TEST_F(OpenFile, KeepsItsPlaceInUse)
{
    file *file = filp_open("/a", OPEN_RDONLY, 0);

    ASSERT_FALSE(IS_ERR(file));
    drop_caches();
    EXPECT_EQ(d_count(file->f_path.dentry), 1);
    EXPECT_EQ(file->f_inode, d_inode(file->f_path.dentry));
    EXPECT_EQ(sys_unlinkat(&init_task, AT_FDCWD_VALUE, "/a", 0), 0);
    EXPECT_EQ(READ_ONCE(file->f_inode->i_nlink), 0u);
    fput(file);
}

TEST_F(OpenFile, CanBeLookedAtInRcuAfterItsDescriptorIsClosed)
{
    const int fd = open("/a");
    const rcu_read_guard in_rcu;
    const file *borrowed = fget_raw_rcu(static_cast<unsigned>(fd));

    ASSERT_NE(borrowed, nullptr);
    EXPECT_EQ(references_of(borrowed), 1);
    const dentry *dentry = borrowed->f_path.dentry;
    std::thread([fd] {
        sys_close(&init_task, fd);
        // Takes the memory, were it free.
        for (int i = 0; i < 50; i++)
            sys_openat(&init_task, AT_FDCWD_VALUE, "/b", OPEN_RDONLY, 0);
    }).join();
    EXPECT_EQ(references_of(borrowed), 0);
    EXPECT_EQ(borrowed->f_path.dentry, dentry);
}

TEST_F(OpenFile, OfAPathOnlyIsNotForFget)
{
    const int fd = open("/a", OPEN_PATH);
    file *file = fget_raw(static_cast<unsigned>(fd));

    EXPECT_EQ(fget(static_cast<unsigned>(fd)), nullptr);
    ASSERT_NE(file, nullptr);
    EXPECT_EQ(file->f_mode, FMODE_PATH | FMODE_OPENED);
    EXPECT_EQ(references_of(file), 2);
    fput(file);
}

TEST_F(OpenFile, HasTheRightsOfItsAccessMode)
{
    const std::pair<unsigned, fmode_t> modes[] = {{OPEN_RDONLY, FMODE_READ},
                                                  {OPEN_WRONLY, FMODE_WRITE},
                                                  {OPEN_RDWR, FMODE_READ | FMODE_WRITE},
                                                  {OPEN_ACCMODE, 0}};

    for (auto [flags, mode] : modes) {
        file *file = filp_open("/a", flags, 0);
        ASSERT_FALSE(IS_ERR(file));
        EXPECT_EQ(file->f_mode & (FMODE_READ | FMODE_WRITE), mode) << flags;
        fput(file);
    }
}

TEST_F(OpenFile, ForgetsTheFlagsOfOpening)
{
    file *file =
        filp_open("/a", OPEN_RDWR | OPEN_CREAT | OPEN_TRUNC | OPEN_APPEND | OPEN_CLOEXEC, 0);

    ASSERT_FALSE(IS_ERR(file));
    EXPECT_EQ(file->f_flags, unsigned{OPEN_RDWR | OPEN_APPEND});
    fput(file);
}

TEST_F(OpenFile, EmptiedTablesCloseEverything)
{
    static constexpr file_operations counting = {.release = count_release};
    const place a = walk("/a");

    releases = 0;
    d_inode(a.at())->i_fop = &counting;
    for (int i = 0; i < 70; i++)
        ASSERT_EQ(open("/a"), i);
    put_files_struct(&init_files);
    EXPECT_EQ(releases, 70);
    EXPECT_EQ(open("/a"), 0);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
