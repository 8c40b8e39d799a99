// SPDX-License-Identifier: GPL-2.0-only
//
// fusefs: that every lookup is given back to the daemon, how long entries are believed, what the
// daemon says by itself, and what reading a directory puts into the cache.
#include <cstring>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../../src/mockfs/fusefs_internal.h"
#include "directory_reader.h"
#include "mock_fixture.h"
#include "threads.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

class Fusefs : public mock_mounted_fixture
{
  protected:
    Fusefs() : mock_mounted_fixture(&fusefs_filesystem) {}

    u64 lookups() const
    {
        return fusefs_lookups(mock);
    }
    ino_t ino_of(const std::string &name)
    {
        return stat_at("/m/" + name).ino;
    }
    void forget_everything()
    {
        shrink_dcache_sb(mock);
        run_everything_pending();
    }
    /// Does a walk to /m/f get there without references?
    bool stays_in_rcu_mode()
    {
        const counter_change walks(RCU_WALKS);

        EXPECT_EQ(error_of("/m/f"), 0);
        return walks.value() == 1;
    }
    /// A rename in the root directory; `meanwhile` comes after both names have been found.
    template <typename Meanwhile>
    int rename_over(const char *from, const char *to, Meanwhile meanwhile)
    {
        qstr old_last = make_qstr(from, static_cast<u32>(strlen(from)));
        qstr new_last = make_qstr(to, static_cast<u32>(strlen(to)));
        renamedata rd = {top, nullptr, top, nullptr, 0};
        int error = start_renaming(&rd, 0, &old_last, &new_last);

        if (error)
            return error;
        meanwhile();
        error = vfs_rename(d_inode(top), rd.old_dentry, d_inode(top), rd.new_dentry, 0);
        end_renaming(&rd);
        return error;
    }
    /// fuse_reverse_inval_entry() of a name in the root directory.
    int invalidate(std::string_view text, u64 child = 0, unsigned flags = 0)
    {
        qstr name = make_qstr(text.data(), static_cast<u32>(text.size()));

        return fuse_reverse_inval_entry(mock, d_inode(top)->i_ino, child, &name, flags);
    }
};

// --- Lookups and FORGETs ---

TEST_F(Fusefs, EveryLookupIsGivenBack)
{
    add("/f");
    EXPECT_EQ(lookups(), 1u) << "the root's";
    EXPECT_EQ(error_of("/m/f"), 0);
    EXPECT_EQ(lookups(), 2u);
    EXPECT_EQ(error_of("/m/f"), 0) << "from the cache";
    EXPECT_EQ(lookups(), 2u);

    EXPECT_FALSE(fs->has_pending(mock));
    shrink_dcache_sb(mock);
    EXPECT_EQ(fusefs_forgets_pending(mock), 1);
    EXPECT_TRUE(fs->has_pending(mock));
    EXPECT_EQ(lookups(), 2u) << "the FORGET is on its way";
    EXPECT_TRUE(fs->run_pending(mock));
    EXPECT_EQ(lookups(), 1u);
    EXPECT_FALSE(fs->run_pending(mock));
}

TEST_F(Fusefs, ALookupOfWhatIsNotThereIsNone)
{
    EXPECT_EQ(error_of("/m/none"), -ENOENT);
    EXPECT_EQ(lookups(), 1u);
    EXPECT_FALSE(fs->has_pending(mock));
}

TEST_F(Fusefs, NoNameStandsForTheRoot)
{
    ASSERT_EQ(fs->add_directory_name(mock, add_directory("/d"), "top", 3, fs->root_node(mock)), 0);
    EXPECT_EQ(error_of("/m/d/top"), -EIO);
    EXPECT_EQ(error_of("/m/d"), 0);
    EXPECT_THAT(names_in("/m/d"), ElementsAre(".", "..", "top"));
    EXPECT_EQ(error_of("/m/d/top"), -EIO);
}

TEST_F(Fusefs, ALookupThatIsNotGivenBackIsNoticed)
{
    add("/f");
    server_attributes attributes;
    fuse_daemon *daemon = get_fuse_conn_super(mock)->daemon;
    ASSERT_EQ(
        fuse_daemon_lookup(daemon, server_root(fuse_daemon_files(daemon)), "f", 1, &attributes), 0);

    ASSERT_EQ(sys_umount2(&init_task, "/m", 0), 0);
    rcu_barrier();
    EXPECT_EQ(fs->unmount(mock), 1);
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("1 lookups were not given back")));
    mock = nullptr;
}

TEST_F(Fusefs, ALookupThatIsGivenBackTwiceIsNoticed)
{
    add("/f");
    EXPECT_EQ(error_of("/m/f"), 0);
    fuse_daemon_forget(get_fuse_conn_super(mock)->daemon, ino_of("f"), 1);
    forget_everything();
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("FORGET of more lookups")));
}

// --- Time ---

TEST_F(Fusefs, AnEntryIsBelievedUntilItsTimeIsOver)
{
    add("/f");
    const ino_t before = ino_of("f");
    ASSERT_EQ(remote(remote_change::replace, "/f"), 0);
    EXPECT_EQ(d_inode(walk("/m/f").at())->i_ino, before) << "believed";
    EXPECT_TRUE(stays_in_rcu_mode());

    fusefs_advance_clock(mock, 2);
    EXPECT_FALSE(stays_in_rcu_mode()) << "the daemon cannot be asked there";
    EXPECT_NE(d_inode(walk("/m/f").at())->i_ino, before);
}

TEST_F(Fusefs, WhatIsStillThereIsRefreshed)
{
    add("/f");
    const place user = walk("/m/f");
    fusefs_advance_clock(mock, 2);
    EXPECT_EQ(walk("/m/f").at(), user.at());
    EXPECT_EQ(lookups(), 3u) << "it was a lookup";
    EXPECT_TRUE(stays_in_rcu_mode()) << "believed again";
}

TEST_F(Fusefs, WithoutATimeTheDaemonIsAskedEachTime)
{
    mount({{"entry_timeout", 0}});
    add("/f");
    const place user = walk("/m/f");
    for (u64 walks = 3; walks < 6; walks++) {
        EXPECT_EQ(walk("/m/f").at(), user.at());
        EXPECT_EQ(lookups(), walks);
    }
    EXPECT_FALSE(stays_in_rcu_mode());
}

TEST_F(Fusefs, WithRevalAnEntryIsNotBelieved)
{
    add("/f");
    EXPECT_EQ(error_of("/m/f"), 0);
    ASSERT_EQ(remote(remote_change::remove, "/f"), 0);
    EXPECT_EQ(error_of("/m/f"), 0);
    EXPECT_EQ(error_of("/m/f", LOOKUP_REVAL), -ENOENT);
}

TEST_F(Fusefs, NegativeEntriesAreNotBelieved)
{
    EXPECT_EQ(error_of("/m/f"), -ENOENT);
    EXPECT_TRUE(cached("f"));
    ASSERT_EQ(remote(remote_change::create, "/f"), 0);
    EXPECT_EQ(error_of("/m/f"), 0);
}

TEST_F(Fusefs, StaleEntriesGoWithTheirLastUserWhenThatIsWanted)
{
    mount({{"entry_timeout", 0}, {"delete_stale", 1}});
    add("/f");
    EXPECT_EQ(error_of("/m/f"), 0);
    EXPECT_FALSE(cached("f"));

    mount({{"entry_timeout", 1}, {"delete_stale", 1}});
    add("/f");
    EXPECT_EQ(error_of("/m/f"), 0);
    fusefs_advance_clock(mock, 2);
    EXPECT_TRUE(cached("f")) << "its time was not 0";
}

// --- The worker ---

TEST_F(Fusefs, TheWorkerKillsUnusedEntriesWhoseTimeIsOver)
{
    mount({{"inval_wq", 1}});
    add("/f");
    add("/g");
    EXPECT_EQ(error_of("/m/f"), 0);
    fusefs_advance_clock(mock, 1);
    EXPECT_EQ(error_of("/m/g"), 0);
    fuse_dentry_tree_work(mock);
    EXPECT_TRUE(cached("f"));
    EXPECT_FALSE(fs->has_pending(mock));

    fusefs_advance_clock(mock, 1);
    EXPECT_TRUE(fs->has_pending(mock));
    EXPECT_TRUE(fs->run_pending(mock));
    EXPECT_FALSE(cached("f"));
    EXPECT_TRUE(cached("g")) << "its time is not over";
    run_everything_pending();
    EXPECT_EQ(lookups(), 2u);
}

TEST_F(Fusefs, UsedEntriesWhoseTimeIsOverGoWithTheirLastUser)
{
    mount({{"inval_wq", 1}});
    add("/f");
    {
        const place user = walk("/m/f");
        fusefs_advance_clock(mock, 2);
        fuse_dentry_tree_work(mock);
        EXPECT_FALSE(d_unhashed(user.at()));
        EXPECT_TRUE(has_flag(user.at(), DCACHE_OP_DELETE));
    }
    EXPECT_FALSE(cached("f"));
}

TEST_F(Fusefs, RefreshedEntriesStayAfterTheWorkerHasSeenThem)
{
    mount({{"inval_wq", 1}});
    add("/f");
    {
        const place user = walk("/m/f");
        fusefs_advance_clock(mock, 2);
        fuse_dentry_tree_work(mock);
        EXPECT_EQ(walk("/m/f").at(), user.at());
        EXPECT_FALSE(has_flag(user.at(), DCACHE_OP_DELETE));
    }
    EXPECT_TRUE(cached("f"));
    fusefs_advance_clock(mock, 2);
    fuse_dentry_tree_work(mock);
    EXPECT_FALSE(cached("f")) << "it is in the tree again";
}

TEST_F(Fusefs, WithoutTheWorkerNothingIsInTheTree)
{
    add("/f");
    EXPECT_EQ(error_of("/m/f"), 0);
    fusefs_advance_clock(mock, 5);
    EXPECT_FALSE(fs->has_pending(mock));
    fuse_dentry_tree_work(mock);
    EXPECT_TRUE(cached("f"));
}

// --- Reading directories ---

TEST_F(Fusefs, ReadingPutsEveryEntryIntoTheCache)
{
    for (const char *name : {"/1", "/2", "/3", "/4", "/5", "/6"})
        add(name);
    EXPECT_THAT(names_in("/m"), UnorderedElementsAre(".", "..", "1", "2", "3", "4", "5", "6"));
    EXPECT_EQ(lookups(), 7u);
    const counter_change asked(FS_LOOKUPS);
    EXPECT_EQ(entry_of("6").ino, ino_of("6"));
    EXPECT_EQ(asked.value(), 0);
    EXPECT_EQ(lookups(), 13u) << "each reading is a lookup of each";
    forget_everything();
    EXPECT_EQ(lookups(), 1u);
}

TEST_F(Fusefs, ReadingWithoutAttributesCachesNothing)
{
    mount({{"readdirplus", 0}});
    add("/1");
    EXPECT_THAT(names_in("/m"), UnorderedElementsAre(".", "..", "1"));
    EXPECT_EQ(lookups(), 1u);
    EXPECT_FALSE(cached("1"));
}

TEST_F(Fusefs, WhatThereIsNoRoomForIsLinkedAsWell)
{
    for (const char *name : {"/1", "/2", "/3", "/4"})
        add(name);
    const int fd = open("/m", OPEN_RDONLY | OPEN_DIRECTORY);
    int result;
    ASSERT_EQ(read_entries(fd, 72, &result).size(), 3u);
    EXPECT_TRUE(cached("4"));
    const std::vector<entry> rest = read_entries(fd, 4096, &result);
    ASSERT_EQ(rest.size(), 3u);
    EXPECT_EQ(rest[0].name, "2");
    close(fd);
}

TEST_F(Fusefs, ReadingReplacesWhatIsNotTheSameNode)
{
    add("/f");
    const place user = walk("/m/f");
    ASSERT_EQ(remote(remote_change::replace, "/f"), 0);
    const entry read = entry_of("f");
    EXPECT_NE(read.ino, d_inode(user.at())->i_ino);
    EXPECT_TRUE(d_unhashed(user.at()));
    EXPECT_EQ(ino_of("f"), read.ino);
}

TEST_F(Fusefs, ReadingReplacesNegativeEntries)
{
    EXPECT_EQ(error_of("/m/f"), -ENOENT);
    ASSERT_EQ(remote(remote_change::create, "/f"), 0);
    entry_of("f");
    EXPECT_TRUE(d_is_positive(cached("f").get()));
}

/// A directory is known under one name, and another directory's reading shows it under a second:
/// the alias moves, which needs the lock of the directory where it is. With that taken there is an
/// error, and the lookup has to be given back.
TEST_F(Fusefs, AnEntryThatCannotBeLinkedIsForgotten)
{
    mock_node *node = add_directory("/d");
    add_directory("/p");
    EXPECT_EQ(error_of("/m/d"), 0);
    ASSERT_EQ(fs->add_directory_name(mock, add_directory("/q"), "e", 1, node), 0);
    EXPECT_EQ(error_of("/m/q"), 0);
    const u64 before = lookups();

    inode_lock(d_inode(top));
    directory_reader reader(cached("q").get());
    EXPECT_THAT(reader.names(), UnorderedElementsAre("e"));
    inode_unlock(d_inode(top));
    EXPECT_EQ(lookups(), before);

    reader.seek(0);
    EXPECT_THAT(reader.names(), UnorderedElementsAre("e"));
    EXPECT_EQ(lookups(), before + 1);
    EXPECT_EQ(error_of("/m/q/e"), 0);
}

// --- What the daemon says ---

TEST_F(Fusefs, TheDaemonTakesANameBack)
{
    add("/f");
    const place user = walk("/m/f");
    EXPECT_EQ(invalidate("f"), 0);
    EXPECT_TRUE(d_unhashed(user.at()));
    EXPECT_TRUE(d_is_positive(user.at()));
    EXPECT_NE(walk("/m/f").at(), user.at());
    EXPECT_EQ(invalidate("none"), -ENOENT);
}

TEST_F(Fusefs, TheDaemonMayOnlyDoubtIt)
{
    add("/f");
    const place user = walk("/m/f");
    EXPECT_EQ(invalidate("f", 0, FUSE_EXPIRE_ONLY), 0);
    EXPECT_FALSE(d_unhashed(user.at()));
    EXPECT_FALSE(stays_in_rcu_mode());
    EXPECT_EQ(walk("/m/f").at(), user.at());
}

TEST_F(Fusefs, TheDaemonRemovesAChild)
{
    add("/f");
    add_directory("/d");
    add("/d/f");
    const ino_t file = ino_of("f");
    const ino_t directory = ino_of("d");
    {
        const place inside = walk("/m/d/f");
        EXPECT_EQ(invalidate("d", directory), -ENOTEMPTY);
    }
    EXPECT_EQ(error_of("/m/d"), 0);
    EXPECT_EQ(invalidate("f", directory), -ENOENT) << "another node";
    EXPECT_EQ(error_of("/m/f"), 0);
    const place user = walk("/m/d");
    EXPECT_EQ(invalidate("d", directory), 0);
    EXPECT_TRUE(IS_DEADDIR(d_inode(user.at())));
    EXPECT_EQ(invalidate("f", file), 0);
}

TEST_F(Fusefs, WhatIsMountedOnIsNotRemoved)
{
    add_directory("/d");
    const ino_t directory = ino_of("d");
    const place user = walk("/m/d");
    ASSERT_EQ(d_set_mounted(user.at()), 0);
    EXPECT_EQ(invalidate("d", directory, FUSE_EXPIRE_ONLY), -EBUSY);
    WRITE_ONCE(user.at()->d_flags, flags_of(user.at()) & ~DCACHE_MOUNTED);
}

TEST_F(Fusefs, ChangesAreToldWhenTheDaemonIsMeantTo)
{
    mount({{"notify", 1}});
    add("/f");
    add_directory("/d");
    add("/d/f");
    EXPECT_EQ(error_of("/m/f"), 0);
    EXPECT_EQ(error_of("/m/d/f"), 0);
    ASSERT_EQ(remote(remote_change::replace, "/d/f"), 0);
    EXPECT_EQ(d_inode(walk("/m/d/f").at())->i_ino, 4u) << "not told yet";
    EXPECT_TRUE(fs->has_pending(mock));
    run_everything_pending();
    EXPECT_GT(d_inode(walk("/m/d/f").at())->i_ino, 4u);

    ASSERT_EQ(remote(remote_change::rename, "/f", "/g"), 0);
    run_everything_pending();
    EXPECT_EQ(error_of("/m/f"), -ENOENT);
    EXPECT_EQ(remote(remote_change::remove, "/none"), -ENOENT);
    EXPECT_FALSE(fs->has_pending(mock));
}

TEST_F(Fusefs, RemovalsAreToldWithTheChild)
{
    mount({{"notify", 2}});
    add("/f");
    const place user = walk("/m/f");
    ASSERT_EQ(remote(remote_change::remove, "/f"), 0);
    run_everything_pending();
    EXPECT_EQ(READ_ONCE(d_inode(user.at())->i_nlink), 0u);
    EXPECT_EQ(error_of("/m/f"), -ENOENT);
}

// --- Making, removing, opening ---

TEST_F(Fusefs, DirectoryOperationsReachTheDaemon)
{
    server_tree *files = fuse_daemon_files(get_fuse_conn_super(mock)->daemon);

    ASSERT_EQ(sys_mkdirat(&init_task, CWD, "/m/d", 0755), 0);
    ASSERT_EQ(try_open("/m/d/f", CREATE), 0);
    ASSERT_EQ(sys_symlinkat(&init_task, "d/f", CWD, "/m/l"), 0);
    ASSERT_EQ(sys_linkat(&init_task, CWD, "/m/d/f", CWD, "/m/g", 0), 0);
    ASSERT_EQ(sys_mknodat(&init_task, CWD, "/m/p", S_IFIFO_TYPE | 0600, 0), 0);
    EXPECT_EQ(stat_at("/m/g").ino, stat_at("/m/d/f").ino);
    EXPECT_EQ(stat_at("/m/g").nlink, 2u);
    EXPECT_EQ(stat_at("/m").nlink, 3u);
    EXPECT_EQ(end_of("/m/l"), "/m/d/f");
    change_mode("/m/g", 0600);
    forget_everything();
    EXPECT_EQ(permissions_at("/m/d/f"), 0600u);
    EXPECT_EQ(end_of("/m/l"), "/m/d/f");

    ASSERT_EQ(sys_renameat2(&init_task, CWD, "/m/g", CWD, "/m/d/h", 0), 0);
    ASSERT_EQ(sys_renameat2(&init_task, CWD, "/m/l", CWD, "/m/p", RENAME_EXCHANGE_FLAG), 0);
    EXPECT_EQ(stat_at("/m/l").mode & S_IFMT_MASK, S_IFIFO_TYPE);
    ASSERT_EQ(sys_renameat2(&init_task, CWD, "/m/l", CWD, "/m/p", 0), 0);
    EXPECT_EQ(sys_unlinkat(&init_task, CWD, "/m/d", AT_REMOVEDIR_FLAG), -ENOTEMPTY);
    ASSERT_EQ(sys_unlinkat(&init_task, CWD, "/m/d/f", 0), 0);
    ASSERT_EQ(sys_unlinkat(&init_task, CWD, "/m/d/h", 0), 0);
    ASSERT_EQ(sys_unlinkat(&init_task, CWD, "/m/d", AT_REMOVEDIR_FLAG), 0);
    ASSERT_EQ(sys_unlinkat(&init_task, CWD, "/m/p", 0), 0);
    EXPECT_EQ(server_object_count(files), 1);
    forget_everything();
    EXPECT_EQ(lookups(), 1u);
}

TEST_F(Fusefs, WhatIsOpenAndHasNoNameIsStillAnswered)
{
    const int fd = open("/m/f", CREATE);
    ASSERT_EQ(sys_unlinkat(&init_task, CWD, "/m/f", 0), 0);
    EXPECT_EQ(stat_of(fd).nlink, 0u);
    close(fd);
}

TEST_F(Fusefs, OpeningMakesAndOpensInOneStep)
{
    const counter_change asked(FS_LOOKUPS);
    const int fd = open("/m/f", CREATE_NEW);
    EXPECT_GE(fd, 0);
    close(fd);
    EXPECT_EQ(lookups(), 2u);
    EXPECT_EQ(try_open("/m/f", CREATE_NEW), -EEXIST);

    mount({{"atomic_create", 0}});
    EXPECT_EQ(try_open("/m/f", CREATE_NEW), 0);
    EXPECT_EQ(lookups(), 2u);
}

TEST_F(Fusefs, SomebodyElseMakesItMeanwhile)
{
    qstr name = make_qstr("f", 1);
    dentry *made = start_creating(top, &name);
    ASSERT_FALSE(IS_ERR(made));
    ASSERT_EQ(remote(remote_change::create, "/f"), 0);
    EXPECT_EQ(vfs_create(d_inode(top), made, 0644), -EEXIST);
    EXPECT_TRUE(d_unhashed(made)) << "what was believed is wrong";
    end_creating(made);
    EXPECT_EQ(error_of("/m/f"), 0);
}

TEST_F(Fusefs, SomebodyElseRemovesItMeanwhile)
{
    add("/f");
    EXPECT_EQ(error_of("/m/f"), 0);
    ASSERT_EQ(remote(remote_change::remove, "/f"), 0);
    EXPECT_EQ(sys_unlinkat(&init_task, CWD, "/m/f", 0), -ENOENT);
    EXPECT_FALSE(cached("f"));
}

// In the next four somebody else comes first, and the object that the client has found is not what
// loses the name. The number of another object's loss, taken for this one's, would keep every later
// answer about it out.

TEST_F(Fusefs, ARenameThatTookNoNameLeavesTheLinksToTheNextAnswer)
{
    add("/t");
    add("/x");
    add("/a");
    const int moved = open("/m/t", OPEN_RDONLY);
    ASSERT_EQ(rename_over("a", "t",
                          [&] {
                              ASSERT_EQ(remote(remote_change::rename, "/t", "/v"), 0);
                              ASSERT_EQ(remote(remote_change::remove, "/x"), 0);
                          }),
              0);
    EXPECT_EQ(stat_at("/m/v").nlink, 1u);
    EXPECT_EQ(stat_of(moved).nlink, 1u);
    EXPECT_EQ(stat_of(moved).ino, stat_at("/m/v").ino);
    close(moved);
}

TEST_F(Fusefs, ARenameThatTookNoDirectoryLeavesTheLinksToTheNextAnswer)
{
    add_directory("/t");
    add("/x");
    add_directory("/a");
    const int moved = open("/m/t", OPEN_RDONLY | OPEN_DIRECTORY);
    ASSERT_EQ(rename_over("a", "t",
                          [&] {
                              ASSERT_EQ(remote(remote_change::rename, "/t", "/v"), 0);
                              ASSERT_EQ(remote(remote_change::remove, "/x"), 0);
                          }),
              0);
    EXPECT_EQ(stat_at("/m/v").nlink, 2u);
    EXPECT_EQ(stat_of(moved).nlink, 2u);
    close(moved);
}

TEST_F(Fusefs, WhatHasMovedAwayDoesNotLoseTheNameOfWhatCameThere)
{
    for (const bool by_rename : {true, false}) {
        const auto change_places = [&] {
            ASSERT_EQ(remote(remote_change::rename, "/t", "/v"), 0);
            ASSERT_EQ(remote(remote_change::create, "/t"), 0);
        };
        mount({});
        add("/t");
        add("/a");
        const int moved = open("/m/t", OPEN_RDONLY);
        if (by_rename) {
            ASSERT_EQ(rename_over("a", "t", change_places), 0);
        } else {
            change_places();
            ASSERT_EQ(sys_unlinkat(&init_task, CWD, "/m/t", 0), 0);
        }
        EXPECT_EQ(stat_at("/m/v").nlink, 1u) << by_rename;
        EXPECT_EQ(stat_of(moved).nlink, 1u) << by_rename;
        close(moved);
    }
}

TEST_F(Fusefs, WhatIsGoneHasNoLinksAfterARenameThatTookNoName)
{
    add("/t");
    add("/a");
    const int removed = open("/m/t", OPEN_RDONLY);
    ASSERT_EQ(rename_over("a", "t", [&] { ASSERT_EQ(remote(remote_change::remove, "/t"), 0); }), 0);
    EXPECT_EQ(stat_of(removed).nlink, 0u);
    close(removed);
}

TEST_F(Fusefs, MemoryThatRunsOutLeavesNothingBehind)
{
    for (const int64_t worker : {0, 1}) {
        mount({{"inval_wq", worker}, {"notify", 2}, {"entry_timeout", 0}});
        add_directory("/d");
        EXPECT_GT(with_every_allocation_failing([&] {
                      shrink_dcache_sb(mock);
                      error_of("/m/d");
                      const int fd = open("/m/d/f", CREATE);
                      if (fd >= 0)
                          close(fd);
                      sys_mkdirat(&init_task, CWD, "/m/d/e", 0755);
                      sys_symlinkat(&init_task, "d", CWD, "/m/d/l");
                      sys_linkat(&init_task, CWD, "/m/d/f", CWD, "/m/d/g", 0);
                      error_of("/m/d/l/f");
                      const int directory = open("/m", OPEN_RDONLY | OPEN_DIRECTORY);
                      int result;
                      if (directory >= 0) {
                          read_entries(directory, 4096, &result);
                          close(directory);
                      }
                      sys_renameat2(&init_task, CWD, "/m/d/g", CWD, "/m/d/h", 0);
                      fusefs_filesystem.remote(mock, remote_change::replace, "/d/h", nullptr);
                      for (const char *name : {"/m/d/f", "/m/d/g", "/m/d/h", "/m/d/l"})
                          sys_unlinkat(&init_task, CWD, name, 0);
                      sys_unlinkat(&init_task, CWD, "/m/d/e", AT_REMOVEDIR_FLAG);
                      run_everything_pending();
                  }),
                  40);
    }
}

TEST_F(Fusefs, ManyAtOnce)
{
    for (const int64_t timeout : {0, 1}) {
        mount({{"inval_wq", 1}, {"notify", 2}, {"entry_timeout", timeout}});
        add_directory("/d");
        run_together(8, [&](int me) {
            for (int turn = 0; turn < 300; turn++) {
                path found;

                switch (me % 8) {
                case 0:
                    fusefs_filesystem.remote(mock, remote_change::create, "/d/f", nullptr);
                    fusefs_filesystem.remote(mock, remote_change::replace, "/d/f", nullptr);
                    break;
                case 1:
                    fusefs_filesystem.remote(mock, remote_change::remove, "/d/f", nullptr);
                    break;
                case 2:
                    while (fusefs_filesystem.run_pending(mock)) {
                    }
                    break;
                case 3:
                    fusefs_advance_clock(mock, 1);
                    shrink_dcache_sb(mock);
                    break;
                case 4:
                    if (!kern_path("/m/d", 0, &found)) {
                        directory_reader(found.dentry).read();
                        path_put(&found);
                    }
                    break;
                case 5:
                    fuse_dentry_tree_work(mock);
                    break;
                default:
                    if (!kern_path("/m/d/f", 0, &found))
                        path_put(&found);
                }
            }
        });
    }
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
