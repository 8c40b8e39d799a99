// SPDX-License-Identifier: GPL-2.0-only
//
// dynfs: what becomes of the dentries of things that go, and that reading a directory and stat(2)
// say the same.
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/mockfs/dynfs.h"
#include "directory_reader.h"
#include "mock_fixture.h"
#include "threads.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::UnorderedElementsAre;

class Dynfs : public mock_mounted_fixture
{
  protected:
    Dynfs() : mock_mounted_fixture(&dynfs_filesystem) {}
};

class DynfsSysctl : public Dynfs
{
  protected:
    void SetUp() override
    {
        Dynfs::SetUp();
        mount({{"sysctl", 1}});
    }
};

TEST_F(Dynfs, WhatHasGoneIsFoundOutWhenItIsWalked)
{
    add("/1");
    EXPECT_EQ(error_of("/m/1"), 0);
    ASSERT_EQ(remote(remote_change::remove, "/1"), 0);
    EXPECT_TRUE(cached("1")) << "nobody told the cache";
    EXPECT_EQ(error_of("/m/1"), -ENOENT);
    EXPECT_FALSE(cached("1"));
}

TEST_F(Dynfs, AWalkInRcuModeFindsOutByItself)
{
    add("/1");
    EXPECT_EQ(error_of("/m/1"), 0);
    EXPECT_EQ(error_of("/m/1", 0, walk_mode::rcu), 0);
    ASSERT_EQ(remote(remote_change::remove, "/1"), 0);
    EXPECT_EQ(error_of("/m/1", 0, walk_mode::rcu), -ENOENT)
        << "leaves RCU mode to invalidate, and looks up";
}

TEST_F(DynfsSysctl, AWalkInRcuModeHasToAskWithReferences)
{
    add("/1");
    EXPECT_EQ(error_of("/m/1"), 0);
    const counter_change unlazied(RCU_UNLAZY);
    EXPECT_EQ(error_of("/m/1"), 0);
    EXPECT_EQ(unlazied.value(), 1);
}

TEST_F(Dynfs, TheLastUserOfADeadOneTakesItAlong)
{
    add("/1");
    {
        const place user = walk("/m/1");
        const counter_change dentries(NR_DENTRY);
        ASSERT_EQ(remote(remote_change::remove, "/1"), 0);
        EXPECT_EQ(dentries.value(), 0);
    }
    EXPECT_FALSE(cached("1"));
    add("/2");
    EXPECT_EQ(error_of("/m/2"), 0);
    EXPECT_TRUE(cached("2")) << "of what is alive the dentry is kept";
}

TEST_F(Dynfs, ANewOneOfThatNameIsAnother)
{
    add("/1");
    const ino_t before = stat_at("/m/1").ino;
    ASSERT_EQ(remote(remote_change::replace, "/1"), 0);
    EXPECT_NE(stat_at("/m/1").ino, before);
}

TEST_F(Dynfs, WhatIsReadIsWhatStatSays)
{
    add("/1");
    add_directory("/2");
    EXPECT_EQ(entry_of("1").ino, stat_at("/m/1").ino);
    EXPECT_EQ(entry_of("1").type, 8u);
    EXPECT_EQ(entry_of("2").ino, stat_at("/m/2").ino);
    EXPECT_EQ(entry_of("2").type, 4u);
    const ino_t before = stat_at("/m/1").ino;
    shrink_dcache_sb(mock);
    EXPECT_NE(stat_at("/m/1").ino, before) << "the number is made up with the inode";
}

TEST_F(Dynfs, ReadingFillsTheCache)
{
    add("/1");
    const counter_change lookups(FS_LOOKUPS);
    EXPECT_THAT(names_in("/m"), UnorderedElementsAre(".", "..", "1"));
    EXPECT_TRUE(cached("1"));
    EXPECT_EQ(error_of("/m/1"), 0);
    EXPECT_EQ(lookups.value(), 0);
}

TEST_F(Dynfs, ReadingNeedsNoMemoryForNames)
{
    add("/1");
    const int fd = open("/m", OPEN_RDONLY | OPEN_DIRECTORY);
    int result;
    kmem_fail_nth(1);
    const std::vector<entry> entries = read_entries(fd, 4096, &result);
    EXPECT_TRUE(kmem_failure_delivered());
    kmem_fail_nth(0);
    ASSERT_EQ(entries.size(), 3u);
    EXPECT_EQ(entries[2].name, "1");
    EXPECT_EQ(entries[2].ino, 1u);
    EXPECT_EQ(entries[2].type, 0u);
    close(fd);
}

TEST_F(DynfsSysctl, ReadingWithoutMemoryEnds)
{
    add("/1");
    add("/2");
    const int fd = open("/m", OPEN_RDONLY | OPEN_DIRECTORY);
    int result;
    kmem_fail_nth(1);
    EXPECT_EQ(read_entries(fd, 4096, &result).size(), 2u);
    kmem_fail_nth(0);
    EXPECT_EQ(read_entries(fd, 4096, &result).size(), 2u) << "and goes on where it was";
    close(fd);
}

TEST_F(Dynfs, ReadersMeetWhatStaysOnceWhileOthersCome)
{
    for (const char *name : {"/1", "/2", "/3"})
        add(name);
    const int fd = open("/m", OPEN_RDONLY | OPEN_DIRECTORY);
    int result;
    // Room for ".", ".." and one name.
    const std::vector<entry> first = read_entries(fd, 72, &result);
    ASSERT_EQ(first.size(), 3u);
    ASSERT_EQ(remote(remote_change::remove, "/1"), 0);
    ASSERT_EQ(remote(remote_change::create, "/4"), 0);
    const std::vector<entry> rest = read_entries(fd, 4096, &result);
    ASSERT_EQ(rest.size(), 3u);
    EXPECT_EQ(rest[0].name, "2");
    EXPECT_EQ(rest[2].name, "4");
    close(fd);
}

TEST_F(Dynfs, OwnersFollowTheObject)
{
    add("/1");
    EXPECT_EQ(stat_at("/m/1").uid, 0u);
    ASSERT_EQ(dynfs_set_owner(mock, "/1", USER, STRANGER), 0);
    const kstat stat = stat_at("/m/1");
    EXPECT_EQ(stat.uid, USER);
    EXPECT_EQ(stat.gid, STRANGER);
    EXPECT_EQ(READ_ONCE(d_inode(cached("1").get())->i_uid), USER) << "by walking it";

    const int fd = open("/m/1", OPEN_RDONLY);
    ASSERT_GE(fd, 0);
    ASSERT_EQ(remote(remote_change::remove, "/1"), 0);
    EXPECT_EQ(stat_of(fd).uid, 0u) << "nobody's any more";
    close(fd);
    EXPECT_EQ(dynfs_set_owner(mock, "/1", USER, USER), -ENOENT);
}

TEST_F(DynfsSysctl, WhatHasGoneHasNoAttributes)
{
    add("/1");
    const int fd = open("/m/1", OPEN_RDONLY);
    ASSERT_EQ(remote(remote_change::remove, "/1"), 0);
    kstat stat;
    EXPECT_EQ(sys_fstat(actor, fd, &stat), -ENOENT);
    close(fd);
}

TEST_F(DynfsSysctl, WhatTakesItsPlaceIsFoundBesideIt)
{
    add("/1");
    const place user = walk("/m/1");
    ASSERT_EQ(remote(remote_change::replace, "/1"), 0);
    EXPECT_FALSE(cached("1")) << "it does not match any more";
    const place second = walk("/m/1");
    ASSERT_EQ(second.error(), 0);
    EXPECT_NE(second.at(), user.at());
    EXPECT_FALSE(d_unhashed(user.at())) << "both are in the hash";
    EXPECT_FALSE(d_unhashed(second.at()));
    EXPECT_EQ(cached("1").get(), second.at());
}

TEST_F(Dynfs, NamesThatAreNotThereAreNotCached)
{
    EXPECT_EQ(error_of("/m/7"), -ENOENT);
    EXPECT_FALSE(cached("7"));
    ASSERT_EQ(remote(remote_change::create, "/7"), 0);
    EXPECT_EQ(error_of("/m/7"), 0);
}

TEST_F(Dynfs, TheDeadAreClearedAwayWhenThatIsWanted)
{
    mount({{"flush", 1}});
    add_directory("/1");
    add("/1/fd");
    add("/2");
    EXPECT_EQ(error_of("/m/1/fd"), 0);
    EXPECT_EQ(error_of("/m/2"), 0);
    EXPECT_FALSE(fs->has_pending(mock));
    {
        const place user = walk("/m/1");
        ASSERT_EQ(remote(remote_change::remove, "/1"), 0);
        ASSERT_EQ(remote(remote_change::remove, "/2"), 0);
        EXPECT_TRUE(fs->has_pending(mock));
        EXPECT_TRUE(cached("2"));
        run_everything_pending();
        EXPECT_TRUE(d_unhashed(user.at()));
        EXPECT_FALSE(cached("2"));
    }
    EXPECT_FALSE(fs->run_pending(mock));
    ASSERT_EQ(remote(remote_change::create, "/3"), 0);
    ASSERT_EQ(remote(remote_change::remove, "/3"), 0);
    EXPECT_TRUE(fs->has_pending(mock)) << "unmounting reaps it";
}

TEST_F(Dynfs, WhatIsInAProcessGoesWithIt)
{
    add_directory("/1");
    add_directory("/1/fd");
    add("/1/fd/0");
    EXPECT_EQ(dynfs_live_objects(mock), 4);
    const place user = walk("/m/1/fd");
    ASSERT_EQ(remote(remote_change::remove, "/1"), 0);
    EXPECT_EQ(dynfs_live_objects(mock), 1);
    EXPECT_EQ(error_of("/m/1/fd/0"), -ENOENT);
    qstr name = make_qstr("0", 1);
    EXPECT_EQ(lookup_noperm_unlocked(&name, user.at()), ERR_PTR(-ENOENT));
}

TEST_F(Dynfs, RenamedOnesAreOthersWithTheSameInThem)
{
    add_directory("/1");
    add("/1/fd");
    add("/2");
    const ino_t before = stat_at("/m/1").ino;
    ASSERT_EQ(remote(remote_change::rename, "/1", "/2"), 0);
    EXPECT_EQ(error_of("/m/1"), -ENOENT);
    EXPECT_EQ(error_of("/m/2/fd"), 0);
    EXPECT_NE(stat_at("/m/2").ino, before);
    EXPECT_EQ(stat_at("/m").nlink, 3u);
}

TEST_F(Dynfs, ChangesThatCannotBe)
{
    add_directory("/1");
    add("/1/f");
    EXPECT_EQ(remote(remote_change::remove, "/9"), -ENOENT);
    EXPECT_EQ(remote(remote_change::remove, "/"), -EBUSY);
    EXPECT_EQ(remote(remote_change::create, "/1"), -EEXIST);
    EXPECT_EQ(remote(remote_change::create, "/9/f"), -ENOENT);
    EXPECT_EQ(remote(remote_change::mkdir, "/1/f/g"), -ENOTDIR);
    EXPECT_EQ(remote(remote_change::replace, "/9"), -ENOENT);
    EXPECT_EQ(remote(remote_change::rename, "/1", "/1/x"), -EINVAL);
    EXPECT_EQ(remote(remote_change::rename, "/1/f", "/1"), -ENOTEMPTY);
    EXPECT_EQ(remote(remote_change::rename, "/1", "/1"), 0);
    EXPECT_EQ(remote(remote_change::rename, "/1", "/9/x"), -ENOENT);
    EXPECT_EQ(dynfs_live_objects(mock), 3);
}

TEST_F(Dynfs, TheVfsChangesNothing)
{
    add("/1");
    EXPECT_EQ(sys_unlinkat(&init_task, CWD, "/m/1", 0), -EPERM);
    EXPECT_EQ(sys_mkdirat(&init_task, CWD, "/m/2", 0755), -ENOENT) << "says the lookup";
    EXPECT_EQ(sys_fchmodat(&init_task, CWD, "/m/1", 0600, 0), -EPERM);
    EXPECT_EQ(try_open("/m/2", CREATE), -ENOENT);
}

TEST_F(Dynfs, LinksAreFollowed)
{
    add("/1");
    add("/self", S_IFLNK_TYPE | 0777, "1");
    EXPECT_EQ(end_of("/m/self"), "/m/1");
    ASSERT_EQ(remote(remote_change::remove, "/1"), 0);
    EXPECT_EQ(error_of("/m/self"), -ENOENT);
}

TEST_F(Dynfs, MemoryThatRunsOutLeavesNothingBehind)
{
    add_directory("/1");
    add("/1/fd");
    EXPECT_GT(with_every_allocation_failing([&] {
                  shrink_dcache_sb(mock);
                  error_of("/m/1/fd");
                  dynfs_filesystem.remote(mock, remote_change::replace, "/1/fd", nullptr);
                  dynfs_filesystem.remote(mock, remote_change::rename, "/1/fd", "/1/g");
                  dynfs_filesystem.remote(mock, remote_change::rename, "/1/g", "/1/fd");
              }),
              6);
    EXPECT_EQ(dynfs_live_objects(mock), 3);
}

/// Every thread does something else to one name. Nothing is expected but that all goes well.
void disturb_one_name(super_block *mock, int me)
{
    for (int turn = 0; turn < 300; turn++) {
        switch (me % 4) {
        case 0:
            dynfs_filesystem.remote(mock, remote_change::replace, "/1", nullptr);
            while (dynfs_filesystem.run_pending(mock)) {
            }
            break;
        case 1: {
            directory_reader(mock->s_root).read();
            break;
        }
        case 2:
            shrink_dcache_sb(mock);
            break;
        default: {
            path found;

            if (!kern_path("/m/1", 0, &found))
                path_put(&found);
        }
        }
    }
}

TEST_F(Dynfs, ManyAtOnce)
{
    mount({{"flush", 1}});
    add("/1");
    run_together(8, [&](int me) { disturb_one_name(mock, me); });
    EXPECT_EQ(error_of("/m/1"), 0);
}

TEST_F(DynfsSysctl, ManyAtOnce)
{
    mount({{"sysctl", 1}, {"flush", 1}});
    add("/1");
    run_together(8, [&](int me) { disturb_one_name(mock, me); });
    EXPECT_EQ(error_of("/m/1"), 0);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
