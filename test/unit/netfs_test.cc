// SPDX-License-Identifier: GPL-2.0-only
//
// netfs alone: what it trusts and for how long, what it asks the server, what it leaves behind.
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "directory_reader.h"
#include "netfs_fixture.h"
#include "netfs_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

/// With an OPEN in the protocol and without.
class NetfsVersions : public netfs_fixture, public ::testing::WithParamInterface<int64_t>
{
};
INSTANTIATE_TEST_SUITE_P(All, NetfsVersions, ::testing::Values(3, 4),
                         [](const auto &info) { return "v" + std::to_string(info.param); });

class Netfs : public netfs_fixture
{
};

// --- What is trusted ---

TEST_F(Netfs, CachedAttributesHideOtherPeoplesChanges)
{
    mount({{"actimeo", 1}});
    remotely(remote_change::create, "/f");
    ASSERT_EQ(walk("/f"), 0);
    remotely(remote_change::remove, "/f");
    remotely(remote_change::create, "/g");
    EXPECT_EQ(walk("/f"), 0);
    EXPECT_EQ(rcu_check("f"), 1);
    // Only this walk may not trust what is cached.
    EXPECT_EQ(walk("/f", LOOKUP_REVAL), -ENOENT);
}

TEST_F(Netfs, WithoutCachedAttributesEveryWalkAsks)
{
    mount({{"actimeo", 0}});
    remotely(remote_change::create, "/f");
    ASSERT_EQ(walk("/f"), 0);
    EXPECT_EQ(rcu_check("f"), -ECHILD);
    remotely(remote_change::remove, "/f");
    EXPECT_EQ(walk("/f"), -ENOENT);
    remotely(remote_change::create, "/f");
    EXPECT_EQ(walk("/f"), 0);
}

TEST_F(Netfs, AChangedDirectoryHasItsNamesAskedForAgain)
{
    mount({{"actimeo", 0}});
    remotely(remote_change::create, "/f");
    remotely(remote_change::create, "/g");
    dentry_ref f = find("/f");
    dentry_ref g = find("/g");

    // Another name: f is asked for, found the same, and stays.
    remotely(remote_change::remove, "/g");
    EXPECT_EQ(find("/f"), f);
    // Another file of that name: the dentry goes.
    remotely(remote_change::replace, "/f");
    dentry_ref fresh = find("/f");
    EXPECT_NE(fresh, f);
    EXPECT_EQ(static_cast<int64_t>(d_inode(fresh.get())->i_ino), on_server("/f"));
    EXPECT_TRUE(d_unhashed(f.get()));
}

TEST_F(Netfs, OwnChangesInvalidateNothing)
{
    mount();
    ASSERT_EQ(mkdir("/d"), 0);
    ASSERT_EQ(try_open("/f", OPEN_CREAT | OPEN_RDWR), 0);
    ASSERT_EQ(walk("/none"), -ENOENT);
    ASSERT_EQ(try_open("/g", OPEN_CREAT | OPEN_EXCL | OPEN_RDWR), 0);
    ASSERT_EQ(rename("/g", "/d/g"), 0);
    ASSERT_EQ(unlink("/d/g"), 0);
    ASSERT_EQ(rmdir("/d"), 0);
    EXPECT_EQ(rcu_check("f"), 1);
    EXPECT_EQ(rcu_check("none"), 1);
}

TEST_F(Netfs, AnOwnChangeFindsOutAboutOthers)
{
    mount();
    remotely(remote_change::create, "/f");
    ASSERT_EQ(walk("/f"), 0);
    remotely(remote_change::remove, "/f");
    ASSERT_EQ(walk("/f"), 0);
    // The server's answer tells which state the directory had before.
    ASSERT_EQ(mkdir("/d"), 0);
    EXPECT_EQ(rcu_check("f"), -ECHILD);
    EXPECT_EQ(walk("/f"), -ENOENT);
}

TEST_F(Netfs, HowFarTheLookupCacheGoes)
{
    struct {
        int64_t lookupcache;
        int positive, negative;
    } const rows[] = {{0, -ECHILD, -ECHILD}, {1, 1, -ECHILD}, {2, 1, 1}};

    for (const auto &row : rows) {
        mount({{"lookupcache", row.lookupcache}});
        remotely(remote_change::create, "/f");
        ASSERT_EQ(walk("/f"), 0);
        ASSERT_EQ(walk("/none"), -ENOENT);
        EXPECT_EQ(rcu_check("f"), row.positive) << row.lookupcache;
        EXPECT_EQ(rcu_check("none"), row.negative) << row.lookupcache;
        // Who makes a name hears from the server.
        EXPECT_EQ(rcu_check("none", LOOKUP_CREATE), 1) << row.lookupcache;
        unmount();
    }
}

TEST_F(Netfs, AnOpenOfADirectoryAsksForItsAttributes)
{
    for (int64_t nocto : {0, 1}) {
        mount({{"nocto", nocto}});
        ASSERT_EQ(mkdir("/d"), 0);
        EXPECT_EQ(rcu_check("d"), 1);
        EXPECT_EQ(rcu_check("d", LOOKUP_OPEN), nocto ? 1 : -ECHILD);
        unmount();
    }
}

TEST_F(Netfs, AFileThatIsGoneIsStale)
{
    mount({{"actimeo", 0}});
    remotely(remote_change::create, "/f");
    int fd = open("/f");
    ASSERT_GE(fd, 0);
    dentry_ref f = find("/f");

    remotely(remote_change::remove, "/f");
    kstat stat;
    EXPECT_EQ(sys_fstat(&init_task, fd, &stat), -ESTALE);
    EXPECT_EQ(walk("/f"), -ENOENT);
    EXPECT_EQ(close(fd), 0);
    // Not kept on the LRU for anybody to revive.
    f.reset();
    EXPECT_EQ(list_lru_count(&sb->s_dentry_lru), 1) << "the new negative one alone";
}

TEST_F(Netfs, ADirectoryThatIsGoneIsStale)
{
    mount({{"actimeo", 0}});
    remotely(remote_change::mkdir, "/d");
    ASSERT_EQ(sys_chdir(&init_task, "/d"), 0);
    remotely(remote_change::remove, "/d");
    EXPECT_EQ(walk("x"), -ESTALE);
    EXPECT_EQ(mkdir("x"), -ESTALE);
    ASSERT_EQ(sys_chdir(&init_task, "/"), 0);
}

TEST_F(Netfs, StatTellsWhatTheServerCounts)
{
    mount();
    ASSERT_EQ(mkdir("/d"), 0);
    EXPECT_EQ(stat_of("/").nlink, 3u);
    ASSERT_EQ(try_open("/f", OPEN_CREAT | OPEN_RDWR), 0);
    ASSERT_EQ(sys_linkat(&init_task, CWD, "/f", CWD, "/d/g", 0), 0);
    EXPECT_EQ(stat_of("/f").nlink, 2u);
    ASSERT_EQ(unlink("/f"), 0);
    EXPECT_EQ(stat_of("/d/g").nlink, 1u);
    ASSERT_EQ(sys_fchmodat(&init_task, CWD, "/d/g", 0600, 0), 0);
    server_attributes attributes;
    ASSERT_EQ(server_find(netfs_server(sb), "/d/g", &attributes), 0);
    EXPECT_EQ(attributes.mode, S_IFREG_TYPE | 0600);
}

// --- Making ---

TEST_P(NetfsVersions, MakesOpensAndRemoves)
{
    mount({{"version", GetParam()}});
    ASSERT_EQ(mkdir("/d"), 0);
    EXPECT_EQ(mkdir("/d"), -EEXIST);
    ASSERT_EQ(sys_symlinkat(&init_task, "f", CWD, "/d/l"), 0);
    ASSERT_EQ(sys_mknodat(&init_task, CWD, "/d/p", S_IFIFO_TYPE | 0644, 0), 0);
    EXPECT_EQ(try_open("/d/f"), -ENOENT);
    EXPECT_EQ(try_open("/d/l"), -ENOENT);
    ASSERT_EQ(try_open("/d/f", OPEN_CREAT | OPEN_EXCL | OPEN_RDWR), 0);
    EXPECT_EQ(try_open("/d/f", OPEN_CREAT | OPEN_EXCL | OPEN_RDWR), -EEXIST);
    EXPECT_EQ(try_open("/d/f", OPEN_CREAT | OPEN_RDWR), 0);
    EXPECT_EQ(try_open("/d/l"), 0);
    EXPECT_EQ(try_open("/d/l", OPEN_NOFOLLOW), -ELOOP);
    EXPECT_EQ(try_open("/d"), 0);
    EXPECT_EQ(try_open("/d", OPEN_CREAT | OPEN_RDWR), -EISDIR);
    EXPECT_EQ(try_open("/d/f", OPEN_DIRECTORY), -ENOTDIR);
    EXPECT_EQ(try_open("/d/none", OPEN_DIRECTORY), -ENOENT);
    EXPECT_THAT(names_on_server("/d"), ElementsAre("l", "p", "f"));
    EXPECT_EQ(rmdir("/d"), -ENOTEMPTY);
    for (const char *name : {"/d/l", "/d/p", "/d/f"})
        EXPECT_EQ(unlink(name), 0);
    EXPECT_EQ(rmdir("/d"), 0);
    EXPECT_EQ(walk("/d"), -ENOENT);
    EXPECT_EQ(server_object_count(netfs_server(sb)), 1);
}

/// The same, of names that the client has never heard of.
TEST_P(NetfsVersions, OpensWhatOthersMade)
{
    mount({{"version", GetParam()}});
    remotely(remote_change::create, "/f");
    remotely(remote_change::mkdir, "/d");
    ASSERT_EQ(server_create(netfs_server(sb), server_root(netfs_server(sb)), "l", 1,
                            S_IFLNK_TYPE | 0777, "f", true, nullptr),
              0);
    EXPECT_EQ(try_open("/f"), 0);
    EXPECT_EQ(try_open("/d"), 0);
    EXPECT_EQ(try_open("/l"), 0);
    shrink_dcache_sb(sb);
    EXPECT_EQ(try_open("/l", OPEN_NOFOLLOW), -ELOOP);
    EXPECT_EQ(try_open("/d", OPEN_CREAT | OPEN_RDWR), -EISDIR);
    shrink_dcache_sb(sb);
    EXPECT_EQ(try_open("/l", OPEN_CREAT | OPEN_RDWR), 0);
    EXPECT_EQ(try_open("/f", OPEN_CREAT | OPEN_EXCL | OPEN_RDWR), -EEXIST);
    shrink_dcache_sb(sb);
    EXPECT_EQ(try_open("/f", OPEN_DIRECTORY), -ENOTDIR);
    EXPECT_EQ(try_open("/d", OPEN_DIRECTORY), 0);
}

TEST_P(NetfsVersions, AFileReplacedOnTheServerIsOpenedAnew)
{
    mount({{"version", GetParam()}});
    remotely(remote_change::create, "/f");
    ASSERT_EQ(walk("/f"), 0);
    remotely(remote_change::replace, "/f");
    // The dentry passes for good; it is the open that finds out.
    int fd = open("/f");
    ASSERT_GE(fd, 0);
    EXPECT_EQ(static_cast<int64_t>(inode_of(fd)), on_server("/f"));
    EXPECT_EQ(close(fd), 0);
}

TEST_F(Netfs, NamesMadeExclusivelyAreNotLookedUp)
{
    mount();
    remotely(remote_change::mkdir, "/theirs");
    server_set_delay(netfs_server(sb), 0);
    dentry_ref root = find("/");

    // The answer comes from the server's refusal, and nothing is left in the cache.
    EXPECT_EQ(mkdir("/theirs"), -EEXIST);
    EXPECT_EQ(cached(root.get(), "theirs"), nullptr);
    EXPECT_EQ(walk("/theirs"), 0);

    // A rename onto a name that nobody has looked up.
    ASSERT_EQ(mkdir("/ours"), 0);
    EXPECT_EQ(rename("/ours", "/new"), 0);
    EXPECT_EQ(walk("/ours"), -ENOENT);
    EXPECT_EQ(walk("/new"), 0);
    EXPECT_EQ(rename("/new", "/newer", RENAME_NOREPLACE_FLAG), -EINVAL);
}

/// With dentries that are spliced where they are hashed: only after an error is one dropped.
class NetfsSpliceHashed : public netfs_fixture
{
    vfs_config config() const override
    {
        vfs_config config = netfs_fixture::config();

        config.splice_hashed = true;
        return config;
    }
};

TEST_F(NetfsSpliceHashed, ANameThatCouldNotBeMadeIsNotBelievedMissing)
{
    const std::pair<const char *, std::function<int()>> operations[] = {
        {"link", [&] { return sys_linkat(&init_task, CWD, "/f", CWD, "/g", 0); }},
        {"open", [&] { return try_open("/g", OPEN_CREAT | OPEN_EXCL | OPEN_RDWR); }},
        {"mkdir", [&] { return mkdir("/g"); }},
    };

    for (const auto &[name, operation] : operations) {
        SCOPED_TRACE(name);
        mount();
        remotely(remote_change::create, "/f");
        ASSERT_EQ(walk("/g"), -ENOENT);
        dentry_ref g = cached(sb->s_root, "g");
        ASSERT_NE(g, nullptr);

        remotely(remote_change::create, "/g");
        ASSERT_EQ(walk("/g"), -ENOENT) << "the cache is believed";
        EXPECT_EQ(operation(), -EEXIST);
        EXPECT_TRUE(d_unhashed(g.get()));
        EXPECT_EQ(walk("/g"), 0);
        g.reset();
        unmount();
    }
}

/// Under a name of the caller's, and under one of the client's own, because it is open.
TEST_F(Netfs, WhatIsKnownOfARenamedFileIsOld)
{
    const std::function<int()> operations[] = {
        [&] { return rename("/f", "/g"); },
        [&] { return unlink("/f"); },
    };

    for (const auto &operation : operations) {
        mount();
        int fd = open("/f", OPEN_CREAT | OPEN_RDWR);
        ASSERT_GE(fd, 0);
        const nfs_inode *nfsi = NFS_I(d_inode(find("/f").get()));
        const unsigned long gencount = READ_ONCE(nfsi->attr_gencount);
        ASSERT_FALSE(READ_ONCE(nfsi->cache_validity) & NFS_INO_INVALID_CHANGE);

        ASSERT_EQ(operation(), 0);
        EXPECT_TRUE(READ_ONCE(nfsi->cache_validity) & NFS_INO_INVALID_CHANGE);
        // A reply of before the rename does not count for its names.
        EXPECT_NE(READ_ONCE(nfsi->attr_gencount), gencount);
        ASSERT_EQ(close(fd), 0);
        unmount();
    }
}

// --- Silly rename ---

TEST_P(NetfsVersions, AnOpenFileIsRenamedInsteadOfRemoved)
{
    mount({{"version", GetParam()}});
    int fd = open("/f", OPEN_CREAT | OPEN_RDWR);
    ASSERT_GE(fd, 0);
    const u64 ino = inode_of(fd);
    char silly[32];
    snprintf(silly, sizeof(silly), ".nfs%016lx00000001", ino);

    ASSERT_EQ(unlink("/f"), 0);
    EXPECT_EQ(walk("/f"), -ENOENT);
    EXPECT_THAT(names_on_server("/"), ElementsAre(silly));
    EXPECT_EQ(inode_of(fd), ino);
    EXPECT_EQ(unlink("/" + std::string(silly)), -EBUSY);
    EXPECT_FALSE(fs->has_pending(sb));

    ASSERT_EQ(close(fd), 0);
    EXPECT_TRUE(fs->has_pending(sb));
    EXPECT_THAT(names_on_server("/"), ElementsAre(silly));
    {
        dentry_ref root = find("/");
        EXPECT_EQ(cached(root.get(), silly), nullptr);
    }
    EXPECT_TRUE(reply());
    EXPECT_FALSE(fs->has_pending(sb));
    EXPECT_FALSE(reply());
    EXPECT_TRUE(names_on_server("/").empty());
    EXPECT_EQ(walk("/" + std::string(silly)), -ENOENT);
}

TEST_F(Netfs, ASynchronousRemovalLeavesNothingPending)
{
    mount({{"async_unlink", 0}});
    int fd = open("/f", OPEN_CREAT | OPEN_RDWR);

    ASSERT_GE(fd, 0);
    ASSERT_EQ(unlink("/f"), 0);
    EXPECT_EQ(names_on_server("/").size(), 1u);
    ASSERT_EQ(close(fd), 0);
    EXPECT_FALSE(fs->has_pending(sb));
    EXPECT_TRUE(names_on_server("/").empty());
}

TEST_F(Netfs, UnmountBringsTheReplies)
{
    mount();
    for (const char *name : {"/f", "/g"}) {
        int fd = open(name, OPEN_CREAT | OPEN_RDWR);
        ASSERT_GE(fd, 0);
        ASSERT_EQ(unlink(name), 0);
        ASSERT_EQ(close(fd), 0);
    }
    EXPECT_EQ(names_on_server("/").size(), 2u);
    unmount();
}

TEST_F(Netfs, EachSillyNameIsUsedOnce)
{
    mount();
    int first = open("/f", OPEN_CREAT | OPEN_RDWR);
    ASSERT_GE(first, 0);
    // Somebody else has the first one.
    char taken[32];
    snprintf(taken, sizeof(taken), "/.nfs%016lx00000001", inode_of(first));
    remotely(remote_change::create, taken);
    ASSERT_EQ(unlink("/f"), 0);
    EXPECT_EQ(names_on_server("/").size(), 2u);
    ASSERT_EQ(close(first), 0);
    ASSERT_TRUE(reply());
    EXPECT_THAT(names_on_server("/"), ElementsAre(taken + 1));
}

TEST_F(Netfs, ARenameOverAnOpenFileKeepsIt)
{
    mount();
    int fd = open("/f", OPEN_CREAT | OPEN_RDWR);
    ASSERT_GE(fd, 0);
    ASSERT_EQ(try_open("/g", OPEN_CREAT | OPEN_RDWR), 0);
    const u64 ino = inode_of(fd);
    const u64 other = stat_of("/g").ino;

    ASSERT_EQ(rename("/g", "/f"), 0);
    EXPECT_EQ(stat_of("/f").ino, other);
    EXPECT_EQ(walk("/g"), -ENOENT);
    EXPECT_EQ(inode_of(fd), ino);
    EXPECT_EQ(names_on_server("/").size(), 2u);
    ASSERT_EQ(close(fd), 0);
    ASSERT_TRUE(reply());
    EXPECT_THAT(names_on_server("/"), ElementsAre("f"));
}

TEST_F(Netfs, ARenameOverAClosedFileReplacesIt)
{
    mount();
    ASSERT_EQ(try_open("/f", OPEN_CREAT | OPEN_RDWR), 0);
    ASSERT_EQ(try_open("/g", OPEN_CREAT | OPEN_RDWR), 0);
    dentry_ref g = find("/g");
    ASSERT_EQ(rename("/g", "/f"), 0);
    EXPECT_EQ(find("/f"), g);
    EXPECT_FALSE(fs->has_pending(sb));
    EXPECT_THAT(names_on_server("/"), ElementsAre("f"));
}

TEST_F(Netfs, ARefusedRemovalIsTakenBack)
{
    mount();
    int fd = open("/f", OPEN_CREAT | OPEN_RDWR);
    ASSERT_GE(fd, 0);
    remotely(remote_change::remove, "/f");
    // The silly rename fails on the server: nothing of it may stay.
    EXPECT_EQ(unlink("/f"), -ENOENT);
    EXPECT_FALSE(has_flag(find("/f").get(), DCACHE_NFSFS_RENAMED));
    ASSERT_EQ(close(fd), 0);
    EXPECT_FALSE(fs->has_pending(sb));
}

// As v6.12, which has one errno for everything that keeps the target from getting out of the way.
TEST_F(Netfs, ARenameOverAFileInUseThatCannotBeSillyRenamedIsRefused)
{
    mount();
    int fd = open("/f", OPEN_CREAT | OPEN_RDWR);
    ASSERT_GE(fd, 0);
    ASSERT_EQ(try_open("/g", OPEN_CREAT | OPEN_RDWR), 0);
    // The server does not find what is to be renamed.
    remotely(remote_change::remove, "/f");
    EXPECT_EQ(rename("/g", "/f"), -ETXTBSY);
    EXPECT_FALSE(has_flag(find("/f").get(), DCACHE_NFSFS_RENAMED));
    EXPECT_THAT(names_on_server("/"), ElementsAre("g"));
    ASSERT_EQ(close(fd), 0);
    EXPECT_FALSE(fs->has_pending(sb));
}

// --- Reading ---

TEST_F(Netfs, ReadingADirectoryFillsTheCache)
{
    for (int64_t plus : {0, 1}) {
        mount({{"readdirplus", plus}});
        remotely(remote_change::mkdir, "/d");
        remotely(remote_change::create, "/f");
        dentry_ref root = find("/");
        EXPECT_THAT(directory_reader(root.get()).names(), ElementsAre("d", "f"));
        EXPECT_EQ(cached(root.get(), "f") != nullptr, plus);
        EXPECT_EQ(cached(root.get(), "d") != nullptr, plus);
        root.reset();
        unmount();
    }
}

TEST_F(Netfs, ReadingADirectoryReplacesWhatIsStale)
{
    mount();
    remotely(remote_change::create, "/f");
    dentry_ref root = find("/");
    dentry_ref f = find("/f");
    remotely(remote_change::replace, "/f");
    EXPECT_EQ(find("/f"), f);
    directory_reader(root.get()).names();
    EXPECT_TRUE(d_unhashed(f.get()));
    EXPECT_EQ(static_cast<int64_t>(stat_of("/f").ino), on_server("/f"));
}

TEST_F(Netfs, ADirectoryIsReadInPieces)
{
    mount();
    for (const char *name : {"/a", "/b", "/c"})
        remotely(remote_change::create, name);
    directory_reader reader(sb->s_root);
    EXPECT_THAT(reader.names(3), ElementsAre("a"));
    remotely(remote_change::remove, "/a");
    EXPECT_THAT(reader.names(1), ElementsAre("b"));
    EXPECT_THAT(reader.names(), ElementsAre("c"));
    EXPECT_EQ(reader.seek(0), 0);
    EXPECT_THAT(reader.names(), ElementsAre("b", "c"));
    EXPECT_EQ(reader.seek(-1), -EINVAL);
}

// --- File handles and moves on the server ---

TEST_F(Netfs, AHandleBecomesADentryThatALookupConnects)
{
    mount();
    remotely(remote_change::mkdir, "/d");
    dentry_ref d = adopt_dentry(nfs_fh_to_dentry(sb, static_cast<u64>(on_server("/d"))));
    ASSERT_FALSE(IS_ERR(d.get()));
    EXPECT_TRUE(IS_ROOT(d.get()));
    EXPECT_TRUE(has_flag(d.get(), DCACHE_DISCONNECTED));
    dentry_ref parent = adopt_dentry(nfs_get_parent(d.get()));
    EXPECT_EQ(parent.get(), sb->s_root);

    EXPECT_EQ(find("/d"), d);
    EXPECT_FALSE(IS_ROOT(d.get()));
    EXPECT_EQ(nfs_fh_to_dentry(sb, 999999), ERR_PTR(-ESTALE));
    // Known to the client already: nobody is asked.
    dentry_ref again = adopt_dentry(nfs_fh_to_dentry(sb, d_inode(d.get())->i_ino));
    EXPECT_EQ(again, d);
}

TEST_F(Netfs, ADirectoryMovedOnTheServerTakesItsDentryAlong)
{
    mount({{"actimeo", 0}});
    remotely(remote_change::mkdir, "/d");
    remotely(remote_change::mkdir, "/e");
    remotely(remote_change::create, "/d/f");
    dentry_ref d = find("/d");
    dentry_ref f = find("/d/f");

    remotely(remote_change::rename, "/d", "/e/d2");
    EXPECT_EQ(find("/e/d2"), d);
    EXPECT_EQ(find("/e/d2/f"), f);
    EXPECT_EQ(walk("/d"), -ENOENT);
}

TEST_F(Netfs, AnAncestorBelowItselfIsRefused)
{
    mount();
    remotely(remote_change::mkdir, "/d");
    remotely(remote_change::mkdir, "/d/e");
    ASSERT_EQ(server_add_directory_name(netfs_server(sb), static_cast<u64>(on_server("/d")),
                                        static_cast<u64>(on_server("/d/e")), "up", 2),
              0);
    EXPECT_EQ(walk("/d/e/up"), -ELOOP);
}

// --- Options, memory ---

TEST_F(Netfs, RefusesOptionsItDoesNotHave)
{
    for (mock_option option : {mock_option{"version", 2}, {"actimeo", 5}, {"colour", 1}}) {
        mock_mount_options with = {.options = {&option, 1}};
        EXPECT_EQ(fs->mount(with, "netfs"), ERR_PTR(-EINVAL)) << option.name;
    }
}

/// Every operation with each of its allocations failing in turn: an error or success, and nothing
/// left when all is unmounted.
TEST_P(NetfsVersions, MemoryThatRunsOutLeavesNothingBehind)
{
    const std::vector<std::function<int()>> operations = {
        [&] { return walk("/d/f"); },
        [&] { return walk("/h"); },
        [&] { return try_open("/d/new", OPEN_CREAT | OPEN_RDWR); },
        [&] { return try_open("/d/f"); },
        [&] { return mkdir("/e"); },
        [&] { return sys_linkat(&init_task, CWD, "/d/f", CWD, "/d/g", 0); },
        [&] { return rename("/d/f", "/d/f2"); },
        [&] { return rename("/d/f", "/open"); },
        [&] { return unlink("/open"); },
        [&] { return unlink("/d/f"); },
        [&] { return rmdir("/e"); },
        [&] {
            char entries[1024];
            int dir = open("/", OPEN_DIRECTORY);
            if (dir >= 0) {
                sys_getdents64(&init_task, dir, entries, sizeof(entries));
                close(dir);
            }
            return dir;
        },
    };

    for (const auto &operation : operations) {
        bool failed = true;
        for (long n = 1; failed; n++) {
            ASSERT_LT(n, 100);
            mount({{"version", GetParam()}});
            remotely(remote_change::mkdir, "/d");
            remotely(remote_change::create, "/d/f");
            remotely(remote_change::create, "/open");
            int fd = open("/open");
            ASSERT_GE(fd, 0);
            kmem_fail_nth(n);
            operation();
            failed = kmem_failure_delivered();
            kmem_fail_nth(0);
            EXPECT_EQ(close(fd), 0);
            unmount();
        }
    }
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
