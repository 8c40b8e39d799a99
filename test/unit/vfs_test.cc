// SPDX-License-Identifier: GPL-2.0-only
//
// Start and end of the VFS, and its counters. That an end without leaks is possible is what every
// test with a vfs_fixture shows; here is what a leak looks like.
#include <cstring>
#include <set>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Statistics = vfs_fixture;

/// Where leaked objects stay reachable, so that a leak detector of the process does not complain
/// too.
void *kept_for_ever[16];
int kept;

template <typename T>
T *leak(T *object)
{
    kept_for_ever[kept++] = object;
    return object;
}

// --- vfs_init() ---

TEST(VfsInit, StartsAndEndsAnyNumberOfTimes)
{
    warning_capture warnings;

    for (int i = 0; i < 3; i++) {
        ASSERT_EQ(vfs_init(), 0);
        EXPECT_TRUE(vfs_exit().none());
    }
}

TEST(VfsInit, IsBusyWhileItRuns)
{
    ASSERT_EQ(vfs_init(), 0);
    EXPECT_EQ(vfs_init(), -EBUSY);
    EXPECT_TRUE(vfs_exit().none());
}

TEST(VfsInit, ChecksTheConfiguration)
{
    const vfs_config bad[] = {
        {.dhash_entries = 1},
        {.dhash_entries = (1ul << 31) + 1},
        {.ihash_entries = (1ul << 31) + 1},
        {.in_lookup_shift = 21},
    };

    for (const vfs_config &config : bad)
        EXPECT_EQ(vfs_init(config), -EINVAL);
    // And nothing is running after a refusal.
    ASSERT_EQ(vfs_init(), 0);
    EXPECT_TRUE(vfs_exit().none());
}

TEST(VfsInit, TakesTheSmallestAndOddSizes)
{
    const vfs_config good[] = {
        {.dhash_entries = 2, .ihash_entries = 1, .in_lookup_shift = 0},
        {.dhash_entries = 3, .ihash_entries = 3, .in_lookup_shift = 1},
        {.dhash_entries = 1000, .ihash_entries = 1000, .in_lookup_shift = 20},
    };

    for (const vfs_config &config : good) {
        ASSERT_EQ(vfs_init(config), 0);
        EXPECT_TRUE(vfs_exit().none());
    }
}

TEST(VfsInit, CountersStartAtZero)
{
    ASSERT_EQ(vfs_init(), 0);
    vfs_count(FS_LOOKUPS, 7);
    EXPECT_TRUE(vfs_exit().none());
    ASSERT_EQ(vfs_init(), 0);
    for (unsigned counter = 0; counter < VFS_COUNTERS; counter++)
        EXPECT_EQ(vfs_counter_value(static_cast<vfs_counter>(counter)), 0);
    EXPECT_TRUE(vfs_exit().none());
}

// --- vfs_exit() ---

TEST(VfsExit, WithoutAStartIsComplainedAbout)
{
    warning_capture warnings;

    EXPECT_TRUE(vfs_exit().none());
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("running")));
}

TEST(VfsExit, CounterOfAnythingLeftMeansNotNone)
{
    EXPECT_TRUE((vfs_leaks{}).none());
    EXPECT_FALSE((vfs_leaks{.dentries = 1}).none());
    EXPECT_FALSE((vfs_leaks{.inodes = 1}).none());
    EXPECT_FALSE((vfs_leaks{.kmalloc_objects = 1}).none());
    EXPECT_FALSE((vfs_leaks{.counters = 1}).none());
    EXPECT_FALSE((vfs_leaks{.hash_entries = 1}).none());
}

/// A VFS with one file system; whatever the test leaks stays for the end.
class VfsLeaks : public ::testing::Test
{
  protected:
    void SetUp() override
    {
        static const file_system_type type = {"leaky"};

        vfs_config config;
        config.dhash_entries = 2;
        ASSERT_EQ(vfs_init(config), 0);
        sb = alloc_super(&type, "leaky");
        sb->s_root = d_make_root(make_directory());
    }

    inode *make_directory() const
    {
        static const inode_operations operations = {
            .lookup = [](inode *, dentry *dentry, unsigned) {
                return d_splice_alias(nullptr, dentry);
            }};
        inode *inode = new_inode(sb);

        WRITE_ONCE(inode->i_mode, S_IFDIR_TYPE);
        inode->i_op = &operations;
        return inode;
    }

    super_block *sb = nullptr;
    warning_capture warnings;
};

// A dentry that is nobody's child and has no inode is out of sight of the unmount.
TEST_F(VfsLeaks, ADentryWithoutAPlaceIsFoundAtTheEnd)
{
    leak(d_alloc_anon(sb));

    EXPECT_EQ(generic_shutdown_super(sb), 0);
    vfs_leaks leaks = vfs_exit();
    EXPECT_EQ(leaks.dentries, 1);
    EXPECT_EQ(leaks.counters, 1);
    EXPECT_EQ(leaks.inodes, 0);
    EXPECT_EQ(leaks.kmalloc_objects, 0);
    EXPECT_EQ(leaks.hash_entries, 0);
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("1 objects of cache dentry")));
}

TEST_F(VfsLeaks, ALongNameIsCountedWithItsDentry)
{
    std::string name(60, 'n');
    qstr q = make_qstr(name.data(), 60);
    leak(d_alloc_pseudo(sb, &q));

    EXPECT_EQ(generic_shutdown_super(sb), 0);
    vfs_leaks leaks = vfs_exit();
    EXPECT_EQ(leaks.dentries, 1);
    EXPECT_EQ(leaks.kmalloc_objects, 1);
    warnings.take();
}

TEST_F(VfsLeaks, AChildInUseKeepsEverythingAboveIt)
{
    dentry *child = leak(d_alloc_name(sb->s_root, "child"));
    d_add(child, nullptr);
    leak(sb);

    EXPECT_GT(generic_shutdown_super(sb), 0);
    EXPECT_THAT(warnings.take(), Contains(HasSubstr("\"child\"} still in use (count 1)")));
    vfs_leaks leaks = vfs_exit();
    EXPECT_EQ(leaks.dentries, 2);
    EXPECT_EQ(leaks.inodes, 1);
    EXPECT_EQ(leaks.kmalloc_objects, 1);
    EXPECT_EQ(leaks.counters, 2);
    EXPECT_EQ(leaks.hash_entries, 1);
    warnings.take();
}

TEST_F(VfsLeaks, ALookupThatWasNeverFinishedIsInItsTable)
{
    qstr name = make_hashed_qstr(sb->s_root, "name", 4);
    leak(d_alloc_parallel(sb->s_root, &name));
    leak(sb);

    EXPECT_GT(generic_shutdown_super(sb), 0);
    vfs_leaks leaks = vfs_exit();
    EXPECT_EQ(leaks.dentries, 2);
    EXPECT_EQ(leaks.hash_entries, 1);
    warnings.take();
}

TEST_F(VfsLeaks, AnInodeIsFound)
{
    leak(make_directory());
    leak(sb);

    EXPECT_EQ(generic_shutdown_super(sb), 1);
    vfs_leaks leaks = vfs_exit();
    EXPECT_EQ(leaks.dentries, 0);
    EXPECT_EQ(leaks.inodes, 1);
    EXPECT_EQ(leaks.counters, 1);
    EXPECT_EQ(leaks.kmalloc_objects, 1);
    warnings.take();
}

TEST_F(VfsLeaks, AFileSystemsOwnMemoryIsFound)
{
    void *memory = kmalloc(1);

    EXPECT_EQ(generic_shutdown_super(sb), 0);
    vfs_leaks leaks = vfs_exit();
    EXPECT_EQ(leaks.kmalloc_objects, 1);
    EXPECT_EQ(leaks.dentries + leaks.inodes + leaks.counters + leaks.hash_entries, 0);
    kfree(memory);
}

TEST_F(VfsLeaks, ASuperBlockThatWasNotShutDownIsFound)
{
    leak(sb);
    vfs_leaks leaks = vfs_exit();
    EXPECT_EQ(leaks.dentries, 1);
    EXPECT_EQ(leaks.inodes, 1);
    EXPECT_EQ(leaks.kmalloc_objects, 1);
    warnings.take();
}

TEST_F(VfsLeaks, WhatOneRunLeftIsNotHeldAgainstTheNext)
{
    leak(d_alloc_anon(sb));
    EXPECT_EQ(generic_shutdown_super(sb), 0);
    EXPECT_FALSE(vfs_exit().none());
    warnings.take();

    ASSERT_EQ(vfs_init(), 0);
    EXPECT_TRUE(vfs_exit().none());
}

// --- statistics.h ---

TEST_F(Statistics, EveryCounterHasItsName)
{
    std::set<std::string> names;

    for (unsigned counter = 0; counter < VFS_COUNTERS; counter++) {
        std::string name = vfs_counter_name(static_cast<vfs_counter>(counter));
        EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_"), std::string::npos) << name;
        EXPECT_TRUE(names.insert(name).second) << name;
    }
    EXPECT_STREQ(vfs_counter_name(NR_DENTRY), "nr_dentry");
    EXPECT_STREQ(vfs_counter_name(RETRY_DIR_SEQ), "retry_dir_seq");
    EXPECT_STREQ(vfs_counter_name(WALK_RESTARTS), "walk_restarts");
    EXPECT_STREQ(vfs_counter_name(VFS_COUNTERS), "unknown");
}

TEST_F(Statistics, TheKernelsThreeFollowTheCache)
{
    long dentries = get_nr_dentry();

    EXPECT_EQ(dentries, 1);
    leave_file(root, "file");
    leave_negative(root, "absent");
    dentry_ref used = make_file(root, "used");
    EXPECT_EQ(get_nr_dentry(), dentries + 3);
    EXPECT_EQ(get_nr_dentry_unused(), 2);
    EXPECT_EQ(get_nr_dentry_negative(), 1);
    EXPECT_EQ(vfs_counter_value(NR_INODES), 3);
}

// Each is a sum over slots that others change meanwhile.
TEST_F(Statistics, TheKernelsThreeAreNeverBelowZero)
{
    const std::pair<vfs_counter, long (*)()> three[] = {
        {NR_DENTRY, get_nr_dentry},
        {NR_DENTRY_UNUSED, get_nr_dentry_unused},
        {NR_DENTRY_NEGATIVE, get_nr_dentry_negative},
    };

    for (const auto &[counter, value] : three) {
        vfs_count(counter, -5);
        EXPECT_LT(vfs_counter_value(counter), 0);
        EXPECT_EQ(value(), 0);
        vfs_count(counter, 5);
    }
}

TEST_F(Statistics, AllocatedMinusFreedIsWhatExists)
{
    for (int i = 0; i < 10; i++)
        leave_negative(root, std::to_string(i));
    prune_everything();
    leave_file(root, "file");
    EXPECT_EQ(vfs_counter_value(DENTRIES_ALLOCATED) - vfs_counter_value(DENTRIES_FREED),
              vfs_counter_value(NR_DENTRY));
}

TEST_F(Statistics, ATasksShareIsWhatItAdded)
{
    long mine = vfs_counter_of_this_task(DENTRIES_ALLOCATED);
    long all = vfs_counter_value(DENTRIES_ALLOCATED);

    leave_negative(root, "mine");
    std::jthread([this] {
        EXPECT_EQ(vfs_counter_of_this_task(DENTRIES_ALLOCATED), 0);
        leave_negative(root, "the other's");
        leave_negative(root, "another of it");
        EXPECT_EQ(vfs_counter_of_this_task(DENTRIES_ALLOCATED), 2);
    }).join();
    EXPECT_EQ(vfs_counter_of_this_task(DENTRIES_ALLOCATED), mine + 1);
    EXPECT_EQ(vfs_counter_value(DENTRIES_ALLOCATED), all + 3);
}

TEST_F(Statistics, ADentryTakesAtLeastItsSize)
{
    EXPECT_GE(dentry_bytes(), sizeof(dentry));
    EXPECT_LT(dentry_bytes(), 2 * sizeof(dentry));
}

TEST(StatisticsWithoutVfs, ADentryTakesNothing)
{
    EXPECT_EQ(dentry_bytes(), 0u);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
