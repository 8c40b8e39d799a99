// SPDX-License-Identifier: GPL-2.0-only
//
// The system calls that do not open, by the errors and effects that getdents(2), getcwd(2) and
// their relatives have on a real kernel.
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "syscall_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using namespace ::testing;

using Getdents = syscall_fixture;
using Lseek = syscall_fixture;
using Getcwd = syscall_fixture;
using Chroot = syscall_fixture;
using Chdir = syscall_fixture;
using Stat = syscall_fixture;
using Access = syscall_fixture;
using Attributes = syscall_fixture;
using Mounting = syscall_fixture;

// --- getdents64, lseek ---

TEST_F(Getdents, ReportsNameNumberAndType)
{
    std::map<std::string, entry> found;
    int result;

    make_directories({"/d", "/d/directory"});
    make_files({"/d/file"});
    make_link("/d/link", "body");
    const int fd = open("/d", OPEN_RDONLY);
    for (const entry &each : read_entries(fd, 4096, &result))
        found[each.name] = each;

    EXPECT_THAT(found, SizeIs(5));
    EXPECT_EQ(found["."].ino, stat_at("/d").ino);
    EXPECT_EQ(found[".."].ino, stat_at("/").ino);
    EXPECT_EQ(found["file"].ino, stat_at("/d/file").ino);
    EXPECT_EQ(found["file"].type, S_IFREG_TYPE >> 12);
    EXPECT_EQ(found["directory"].type, S_IFDIR_TYPE >> 12);
    EXPECT_EQ(found["link"].type, S_IFLNK_TYPE >> 12);
    // ".", "..", "link", "file": 19 bytes before the name, a NUL after it, rounded up to 8.
    EXPECT_EQ(result, 24 + 24 + 24 + 24 + 32);
    EXPECT_THAT(read_entries(fd, 4096, &result), IsEmpty());
    EXPECT_EQ(result, 0);
}

TEST_F(Getdents, ABufferTooSmallForTheNextEntryIsInvalid)
{
    int result;

    make_directories({"/d"});
    make_files({"/d/a_name_of_some_length"});
    const int fd = open("/d", OPEN_RDONLY);

    for (size_t room : {0u, 1u, 23u}) {
        read_entries(fd, room, &result);
        EXPECT_EQ(result, -EINVAL) << room;
    }
    EXPECT_THAT(read_entries(fd, 24, &result), SizeIs(1));
    // What fits is reported, and the rest the next time.
    EXPECT_THAT(read_entries(fd, 47, &result), SizeIs(1));
    EXPECT_EQ(result, 24);
    read_entries(fd, 47, &result);
    EXPECT_EQ(result, -EINVAL);
    EXPECT_THAT(read_entries(fd, 48, &result), SizeIs(1));
}

TEST_F(Getdents, InSmallPiecesReportsEveryNameOnce)
{
    std::vector<std::string> pieces;
    int result;

    make_directories({"/d"});
    for (int i = 0; i < 50; i++)
        make_files({("/d/" + std::to_string(i)).c_str()});
    const int fd = open("/d", OPEN_RDONLY);
    do {
        for (const entry &each : read_entries(fd, 100, &result))
            pieces.push_back(each.name);
    } while (result > 0);

    EXPECT_EQ(pieces, names_in("/d"));
    EXPECT_THAT(pieces, SizeIs(52));
}

TEST_F(Getdents, OnlyOpenDirectoriesCanBeRead)
{
    int result;

    make_directories({"/d"});
    make_files({"/f"});
    read_entries(open("/f", OPEN_RDONLY), 4096, &result);
    EXPECT_EQ(result, -ENOTDIR);
    read_entries(99, 4096, &result);
    EXPECT_EQ(result, -EBADF);

    const int fd = open("/d", OPEN_RDONLY);
    ASSERT_EQ(sys_unlinkat(actor, CWD, "/d", AT_REMOVEDIR_FLAG), 0);
    read_entries(fd, 4096, &result);
    EXPECT_EQ(result, -ENOENT);
}

TEST_F(Getdents, ReadersOfOneOpenDirectoryShareItsEntriesOut)
{
    constexpr size_t files = 500;
    std::vector<std::string> seen[2];

    make_directories({"/d"});
    for (size_t i = 0; i < files; i++)
        make_files({("/d/" + std::to_string(i)).c_str()});
    const int fd = open("/d", OPEN_RDONLY);
    const auto read = [&](std::vector<std::string> *names) {
        int result;

        do {
            for (const entry &each : read_entries(fd, 24, &result))
                names->push_back(each.name);
        } while (result > 0);
    };
    // Several rounds: the two must meet.
    for (int round = 0; round < 20; round++) {
        ASSERT_EQ(sys_lseek(actor, fd, 0, 0), 0);
        seen[0].clear();
        seen[1].clear();
        std::thread other(read, &seen[1]);
        read(&seen[0]);
        other.join();
        seen[0].insert(seen[0].end(), seen[1].begin(), seen[1].end());
        ASSERT_THAT(seen[0], SizeIs(files + 2));
        ASSERT_THAT(std::set<std::string>(seen[0].begin(), seen[0].end()), SizeIs(files + 2));
    }
}

TEST_F(Lseek, ToAnEntrysOffsetReadsTheOneAfterIt)
{
    int result;

    make_directories({"/d"});
    make_files({"/d/a", "/d/b", "/d/c", "/d/e"});
    const int fd = open("/d", OPEN_RDONLY);
    const std::vector<entry> all = read_entries(fd, 4096, &result);

    ASSERT_THAT(all, SizeIs(6));
    for (size_t i = 0; i + 1 < all.size(); i++) {
        ASSERT_EQ(sys_lseek(actor, fd, all[i].next, 0), all[i].next);
        EXPECT_EQ(sys_lseek(actor, fd, 0, 1), all[i].next);
        const std::vector<entry> rest = read_entries(fd, 4096, &result);
        ASSERT_THAT(rest, SizeIs(all.size() - i - 1)) << i;
        EXPECT_EQ(rest[0].name, all[i + 1].name);
    }
    ASSERT_EQ(sys_lseek(actor, fd, all.back().next, 0), all.back().next);
    EXPECT_THAT(read_entries(fd, 4096, &result), IsEmpty());
    ASSERT_EQ(sys_lseek(actor, fd, 0, 0), 0);
    EXPECT_THAT(read_entries(fd, 4096, &result), SizeIs(6));
}

TEST_F(Lseek, RefusesPositionsThatCannotBe)
{
    make_files({"/f"});
    const int directory = open("/", OPEN_RDONLY), file = open("/f", OPEN_RDONLY);

    EXPECT_EQ(sys_lseek(actor, directory, -1, 0), -EINVAL);
    EXPECT_EQ(sys_lseek(actor, directory, 0, 2), -EINVAL);
    EXPECT_EQ(sys_lseek(actor, directory, 0, 5), -EINVAL);
    EXPECT_EQ(sys_lseek(actor, directory, 0, -1), -EINVAL);
    EXPECT_EQ(sys_lseek(actor, 99, 0, 0), -EBADF);
    // memfs keeps no contents.
    EXPECT_EQ(sys_lseek(actor, file, 0, 0), -ESPIPE);
}

// --- getcwd, chdir, chroot ---

TEST_F(Getcwd, TellsThePathFromTheRoot)
{
    char buffer[8];

    make_directories({"/d", "/d/e"});
    EXPECT_EQ(working_directory(user), "/");
    ASSERT_EQ(sys_chdir(user, "/d/e"), 0);
    EXPECT_EQ(working_directory(user), "/d/e");
    EXPECT_EQ(sys_getcwd(user, buffer, 5), 5);
    EXPECT_EQ(sys_getcwd(user, buffer, 4), -ERANGE);
    EXPECT_EQ(sys_getcwd(user, buffer, 0), -ERANGE);
}

TEST_F(Getcwd, ARemovedDirectoryHasNone)
{
    make_directories({"/d"});
    ASSERT_EQ(sys_chdir(user, "/d"), 0);
    ASSERT_EQ(sys_unlinkat(&init_task, CWD, "/d", AT_REMOVEDIR_FLAG), 0);

    EXPECT_EQ(working_directory(user), "ENOENT");
    ASSERT_EQ(sys_chdir(user, ".."), 0);
    EXPECT_EQ(working_directory(user), "/");
}

TEST_F(Getcwd, OutsideTheRootIsUnreachable)
{
    make_directories({"/jail", "/free"});
    vfs_task *prisoner = vfs_task_create(&init_task, 0);

    ASSERT_EQ(sys_chdir(prisoner, "/free"), 0);
    ASSERT_EQ(sys_chroot(prisoner, "/jail"), 0);
    EXPECT_EQ(working_directory(prisoner), "(unreachable)/free");
    ASSERT_EQ(sys_chdir(prisoner, "/"), 0);
    EXPECT_EQ(working_directory(prisoner), "/");
    EXPECT_EQ(working_directory(&init_task), "/");
    vfs_task_exit(prisoner);
}

TEST_F(Chroot, NothingLeadsAboveTheNewRoot)
{
    make_directories({"/jail", "/jail/d"});
    make_files({"/secret", "/jail/f"});
    make_link("/jail/l", "/f");
    vfs_task *prisoner = vfs_task_create(&init_task, 0);

    ASSERT_EQ(sys_chroot(prisoner, "/jail"), 0);
    ASSERT_EQ(sys_chdir(prisoner, "/d"), 0);
    actor = prisoner;
    EXPECT_EQ(open("../../secret", OPEN_RDONLY), -ENOENT);
    EXPECT_EQ(open("/../secret", OPEN_RDONLY), -ENOENT);
    const int root = open("/..", OPEN_RDONLY), link = open("/l", OPEN_RDONLY);
    EXPECT_EQ(stat_of(root).ino, stat_at("/jail").ino);
    EXPECT_EQ(stat_of(link).ino, stat_at("/jail/f").ino);
    vfs_task_exit(prisoner);
}

TEST_F(Chroot, NeedsTheCapabilityAndADirectory)
{
    make_directories({"/d"});
    make_files({"/f"});

    EXPECT_EQ(sys_chroot(user, "/d"), -EPERM);
    EXPECT_EQ(sys_chroot(user, "/f"), -ENOTDIR);
    EXPECT_EQ(sys_chroot(user, "/missing"), -ENOENT);
    change_mode("/d", 0700);
    EXPECT_EQ(sys_chroot(user, "/d"), -EACCES);
}

TEST_F(Chdir, NeedsADirectoryThatMayBeSearched)
{
    make_directories({"/d"});
    make_files({"/f"});
    const int d = sys_openat(user, CWD, "/d", OPEN_RDONLY, 0);
    const int f = sys_openat(user, CWD, "/f", OPEN_RDONLY, 0);

    change_mode("/d", 0700);
    EXPECT_EQ(sys_chdir(user, "/f"), -ENOTDIR);
    EXPECT_EQ(sys_chdir(user, "/d"), -EACCES);
    EXPECT_EQ(sys_fchdir(user, f), -ENOTDIR);
    EXPECT_EQ(sys_fchdir(user, d), -EACCES);
    EXPECT_EQ(working_directory(user), "/");
    change_mode("/d", 0711);
    EXPECT_EQ(sys_fchdir(user, d), 0);
    EXPECT_EQ(working_directory(user), "/d");
}

// --- stat, readlink, access ---

TEST_F(Stat, FollowsLinksUnlessToldNotTo)
{
    kstat stat;

    make_files({"/f"});
    make_link("/l", "f");
    ASSERT_EQ(sys_newfstatat(actor, CWD, "/l", &stat, 0), 0);
    EXPECT_EQ(stat.mode, S_IFREG_TYPE | 0644);
    ASSERT_EQ(sys_newfstatat(actor, CWD, "/l", &stat, AT_SYMLINK_NOFOLLOW_FLAG), 0);
    EXPECT_EQ(stat.mode, S_IFLNK_TYPE | 0777);
    EXPECT_EQ(stat.size, 1);
}

TEST_F(Stat, AnEmptyPathIsTheDescriptorItself)
{
    kstat stat;

    make_files({"/f"});
    const int fd = open("/f", OPEN_PATH);
    ASSERT_EQ(sys_newfstatat(actor, fd, "", &stat, AT_EMPTY_PATH_FLAG), 0);
    EXPECT_EQ(stat.ino, stat_at("/f").ino);
    ASSERT_EQ(sys_newfstatat(actor, CWD, "", &stat, AT_EMPTY_PATH_FLAG), 0);
    EXPECT_EQ(stat.ino, stat_at("/").ino);
    EXPECT_EQ(sys_newfstatat(actor, fd, "", &stat, 0), -ENOENT);
    EXPECT_EQ(sys_newfstatat(actor, 99, "", &stat, AT_EMPTY_PATH_FLAG), -EBADF);
    EXPECT_EQ(sys_newfstatat(actor, CWD, "/f", &stat, AT_REMOVEDIR_FLAG), -EINVAL);
}

TEST_F(Stat, ReadlinkCutsTheBodyAndRefusesWhatIsNoLink)
{
    char body[8] = "-------";

    make_files({"/f"});
    make_link("/l", "target");
    EXPECT_EQ(sys_readlinkat(actor, CWD, "/l", body, sizeof(body)), 6);
    EXPECT_STREQ(body, "target-");
    EXPECT_EQ(sys_readlinkat(actor, CWD, "/l", body, 3), 3);
    EXPECT_EQ(sys_readlinkat(actor, CWD, "/l", body, 0), -EINVAL);
    EXPECT_EQ(sys_readlinkat(actor, CWD, "/l/", body, 3), -ENOENT);
    EXPECT_EQ(sys_readlinkat(actor, CWD, "/f", body, 3), -EINVAL);
    EXPECT_EQ(sys_readlinkat(actor, open("/f", OPEN_PATH), "", body, 3), -ENOENT);
}

TEST_F(Access, AsksWithoutDoing)
{
    make_directories({"/ro"});
    make_files({"/f", "/ro/f"});
    ASSERT_EQ(sys_mount_bind(&init_task, "/ro", "/ro"), 0);
    WRITE_ONCE(walk("/ro").through()->mnt_flags, MNT_READONLY);
    make_link("/l", "missing");

    EXPECT_EQ(sys_faccessat2(user, CWD, "/f", 0, 0), 0);
    EXPECT_EQ(sys_faccessat2(user, CWD, "/f", MAY_READ, 0), 0);
    EXPECT_EQ(sys_faccessat2(user, CWD, "/f", MAY_READ | MAY_WRITE, 0), -EACCES);
    EXPECT_EQ(sys_faccessat2(user, CWD, "/missing", 0, 0), -ENOENT);
    EXPECT_EQ(sys_faccessat2(user, CWD, "/l", 0, 0), -ENOENT);
    EXPECT_EQ(sys_faccessat2(user, CWD, "/l", 0, AT_SYMLINK_NOFOLLOW_FLAG), 0);
    EXPECT_EQ(sys_faccessat2(user, CWD, "/f", 8, 0), -EINVAL);
    EXPECT_EQ(sys_faccessat2(user, CWD, "/f", 0, AT_SYMLINK_FOLLOW_FLAG), -EINVAL);
    EXPECT_EQ(sys_faccessat2(&init_task, CWD, "/ro/f", MAY_WRITE, AT_EACCESS_FLAG), -EROFS);
    EXPECT_EQ(sys_faccessat2(&init_task, CWD, "/ro/f", MAY_READ, 0), 0);
    ASSERT_EQ(sys_umount2(&init_task, "/ro", 0), 0);
}

// --- chmod, chown ---

TEST_F(Attributes, TheModeIsTheOwnersToChange)
{
    make_files({"/f"});
    make_link("/l", "f");

    EXPECT_EQ(sys_fchmodat(user, CWD, "/f", 0600, 0), -EPERM);
    give_to("/f", USER);
    EXPECT_EQ(sys_fchmodat(user, CWD, "/l", 0600, 0), 0);
    EXPECT_EQ(stat_at("/f").mode, S_IFREG_TYPE | 0600);
    EXPECT_EQ(sys_fchmodat(&init_task, CWD, "/l", 0600, AT_SYMLINK_NOFOLLOW_FLAG), -EOPNOTSUPP);
    EXPECT_EQ(sys_fchmodat(user, CWD, "/f", 0600, AT_REMOVEDIR_FLAG), -EINVAL);
}

TEST_F(Attributes, ANewOwnerDoesNotInheritTheRightsOfTheOld)
{
    constexpr auto same = static_cast<kuid_t>(-1);

    make_files({"/f"});
    make_directories({"/d"});
    change_mode("/f", 06755);
    change_mode("/d", 02755);
    EXPECT_EQ(sys_fchownat(user, CWD, "/f", USER, same, 0), -EPERM);
    EXPECT_EQ(sys_fchownat(&init_task, CWD, "/f", USER, same, 0), 0);
    EXPECT_EQ(stat_at("/f").uid, USER);
    EXPECT_EQ(stat_at("/f").gid, 0u);
    EXPECT_EQ(permissions_at("/f"), 0755u);
    EXPECT_EQ(sys_fchownat(&init_task, CWD, "/d", same, USER, 0), 0);
    EXPECT_EQ(stat_at("/d").gid, USER);
    EXPECT_EQ(permissions_at("/d"), 02755u);
}

// --- mount, umount ---

TEST_F(Mounting, NeedsTheCapability)
{
    make_directories({"/d"});

    EXPECT_EQ(sys_mount(user, sb, "/d", 0), -EPERM);
    EXPECT_EQ(sys_mount_bind(user, "/d", "/d"), -EPERM);
    EXPECT_EQ(sys_umount2(user, "/", 0), -EPERM);
}

TEST_F(Mounting, ChecksItsArguments)
{
    make_directories({"/d"});
    make_files({"/f"});

    EXPECT_EQ(sys_mount(&init_task, sb, "/d", MNT_DOOMED), -EINVAL);
    EXPECT_EQ(sys_mount(&init_task, sb, "/missing", 0), -ENOENT);
    EXPECT_EQ(sys_mount(&init_task, sb, "/f", 0), -ENOTDIR);
    EXPECT_EQ(sys_mount_bind(&init_task, "", "/d"), -EINVAL);
    EXPECT_EQ(sys_mount_bind(&init_task, "/missing", "/d"), -ENOENT);
    EXPECT_EQ(sys_umount2(&init_task, "/d", 0x80), -EINVAL);
    EXPECT_EQ(sys_umount2(&init_task, "/d", 0), -EINVAL) << "nothing is mounted there";
    EXPECT_EQ(sys_umount2(&init_task, "/missing", 0), -ENOENT);
}

TEST_F(Mounting, WhatIsMountedIsSeenAndWhatItHidesComesBack)
{
    memfs_options other_options;
    super_block *other = memfs_mount(other_options, "other");

    make_directories({"/d"});
    make_files({"/d/below"});
    make_link("/l", "d");
    ASSERT_EQ(sys_mount(&init_task, other, "/d", 0), 0);
    EXPECT_FALSE(exists("/d/below"));
    ASSERT_EQ(try_open("/d/above", CREATE), 0);

    const int busy = open("/d/above", OPEN_RDONLY);
    EXPECT_EQ(sys_umount2(&init_task, "/d", 0), -EBUSY);
    ASSERT_EQ(close(busy), 0);
    ASSERT_EQ(sys_mkdirat(&init_task, CWD, "/d/inner", 0755), 0);
    EXPECT_EQ(sys_umount2(&init_task, "/d/inner", 0), -EINVAL) << "not the root of the mount";
    EXPECT_EQ(sys_umount2(&init_task, "/d", 0x80), -EINVAL);
    EXPECT_EQ(sys_umount2(&init_task, "/l", UMOUNT_NOFOLLOW_FLAG), -EINVAL);
    EXPECT_EQ(sys_umount2(&init_task, "/l", 0), 0);
    EXPECT_TRUE(exists("/d/below"));
    EXPECT_FALSE(exists("/d/above"));
    rcu_barrier();
    EXPECT_EQ(memfs_unmount(other), 0);
}

TEST_F(Mounting, AMountMayBeReadOnly)
{
    memfs_options other_options;
    super_block *other = memfs_mount(other_options, "other");

    make_directories({"/d"});
    ASSERT_EQ(sys_mount(&init_task, other, "/d", MNT_READONLY), 0);
    EXPECT_EQ(open("/d/f", CREATE), -EROFS);
    EXPECT_EQ(sys_mkdirat(&init_task, CWD, "/d/d", 0755), -EROFS);
    ASSERT_EQ(sys_umount2(&init_task, "/d", 0), 0);
    rcu_barrier();
    EXPECT_EQ(memfs_unmount(other), 0);
}

TEST_F(Mounting, ABindMountShowsTheSameTreeTwice)
{
    make_directories({"/d", "/e"});
    make_files({"/d/f"});
    ASSERT_EQ(sys_mount_bind(&init_task, "/d", "/e"), 0);
    EXPECT_EQ(stat_at("/e/f").ino, stat_at("/d/f").ino);
    ASSERT_EQ(try_open("/e/g", CREATE), 0);
    EXPECT_TRUE(exists("/d/g"));
    ASSERT_EQ(sys_umount2(&init_task, "/e", 0), 0);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
