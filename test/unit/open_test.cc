// SPDX-License-Identifier: GPL-2.0-only
//
// open(2): which file it opens or makes, and which it refuses.
#include <string>
#include <tuple>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "syscall_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using namespace ::testing;

using Open = syscall_fixture;
using OpenCreate = syscall_fixture;
using OpenPermission = syscall_fixture;
using OpenPath = syscall_fixture;
using OpenTmpfile = syscall_fixture;
using Openat2 = syscall_fixture;
using OpenMemory = syscall_fixture;

// --- open ---

TEST_F(Open, FollowsLinksToTheEnd)
{
    make_directories({"/d"});
    make_files({"/d/f"});
    make_link("/one", "two");
    make_link("/two", "d/f");

    const int fd = open("/one", OPEN_RDONLY);
    EXPECT_EQ(stat_of(fd).ino, stat_at("/d/f").ino);
}

TEST_F(Open, NoFollowRefusesALinkInTheLastPlaceOnly)
{
    make_directories({"/d"});
    make_files({"/d/f"});
    make_link("/l", "d");

    EXPECT_EQ(open("/l", OPEN_RDONLY | OPEN_NOFOLLOW), -ELOOP);
    EXPECT_GE(open("/l/f", OPEN_RDONLY | OPEN_NOFOLLOW), 0);
    // A slash asks for the directory behind it.
    EXPECT_GE(open("/l/", OPEN_RDONLY | OPEN_NOFOLLOW), 0);
}

TEST_F(Open, DirectoryOnlyRefusesAFile)
{
    make_directories({"/d"});
    make_files({"/f"});
    make_link("/l", "f");

    EXPECT_EQ(open("/f", OPEN_RDONLY | OPEN_DIRECTORY), -ENOTDIR);
    EXPECT_EQ(open("/l", OPEN_RDONLY | OPEN_DIRECTORY), -ENOTDIR);
    EXPECT_EQ(open("/f", OPEN_PATH | OPEN_DIRECTORY), -ENOTDIR);
    EXPECT_GE(open("/d", OPEN_RDONLY | OPEN_DIRECTORY), 0);
}

TEST_F(Open, ATrailingSlashAsksForADirectory)
{
    make_directories({"/d"});
    make_files({"/f"});

    EXPECT_EQ(open("/f/", OPEN_RDONLY), -ENOTDIR);
    EXPECT_GE(open("/d//", OPEN_RDONLY), 0);
    EXPECT_EQ(open("/missing/", OPEN_RDONLY), -ENOENT);
}

TEST_F(Open, ADirectoryIsNotWritten)
{
    make_directories({"/d"});

    EXPECT_EQ(open("/d", OPEN_WRONLY), -EISDIR);
    EXPECT_EQ(open("/d", OPEN_RDWR), -EISDIR);
    EXPECT_EQ(open("/d", OPEN_RDONLY | OPEN_TRUNC), -EISDIR);
    EXPECT_EQ(open("/", OPEN_WRONLY), -EISDIR);
    EXPECT_EQ(open(".", OPEN_WRONLY), -EISDIR);
}

TEST_F(Open, NamesThatCannotBe)
{
    EXPECT_EQ(open("", OPEN_RDONLY), -ENOENT);
    EXPECT_EQ(open("", CREATE), -ENOENT);
    EXPECT_EQ(open(std::string(4096, '/'), OPEN_RDONLY), -ENAMETOOLONG);
    EXPECT_EQ(open(std::string(256, 'n'), OPEN_RDONLY), -ENAMETOOLONG);
    EXPECT_EQ(open(std::string(256, 'n'), CREATE), -ENAMETOOLONG);
    EXPECT_GE(open(std::string(255, 'n'), CREATE), 0);
}

TEST_F(Open, StartsAtADescriptor)
{
    make_directories({"/d"});
    make_files({"/d/f"});

    const int directory = open("/d", OPEN_PATH), file = open("/d/f", OPEN_RDONLY);
    EXPECT_GE(sys_openat(actor, directory, "f", OPEN_RDONLY, 0), 0);
    EXPECT_GE(sys_openat(actor, directory, "new", CREATE, 0644), 0);
    EXPECT_TRUE(exists("/d/new"));
    EXPECT_EQ(sys_openat(actor, file, "f", OPEN_RDONLY, 0), -ENOTDIR);
    EXPECT_EQ(sys_openat(actor, 99, "f", OPEN_RDONLY, 0), -EBADF);
    EXPECT_GE(sys_openat(actor, 99, "/d/f", OPEN_RDONLY, 0), 0);
}

TEST_F(Open, StaysInRcuModeUntilTheWalkIsDone)
{
    make_directories({"/d"});
    make_files({"/d/f"});
    ASSERT_EQ(try_open("/d/f", OPEN_RDONLY), 0);

    const counter_change rcu(RCU_WALKS), restarts(RCU_RESTARTS);
    ASSERT_EQ(try_open("/d/f", OPEN_RDONLY), 0);
    ASSERT_EQ(try_open("/d/f", CREATE), 0);
    EXPECT_EQ(rcu.value(), 2);
    // Locking the directory needs references, but no second start.
    ASSERT_EQ(try_open("/d/new", CREATE), 0);
    ASSERT_EQ(try_open("/d/other", CREATE_NEW), 0);
    EXPECT_EQ(restarts.value(), 0);
}

// --- O_CREAT ---

TEST_F(OpenCreate, MakesWhatIsMissingAndOpensWhatIsThere)
{
    const int first = open("/f", CREATE, 0640), second = open("/f", CREATE, 0600);

    EXPECT_EQ(stat_of(first).ino, stat_of(second).ino);
    EXPECT_EQ(stat_at("/f").mode, S_IFREG_TYPE | 0640);
    EXPECT_EQ(stat_at("/f").nlink, 1u);
}

TEST_F(OpenCreate, MakesTheFileBehindANegativeDentry)
{
    EXPECT_EQ(open("/f", OPEN_RDONLY), -ENOENT);
    EXPECT_GE(open("/f", CREATE), 0);
    EXPECT_TRUE(exists("/f"));
}

TEST_F(OpenCreate, ExclusivelyRefusesWhateverHasTheName)
{
    make_directories({"/d"});
    make_files({"/f"});
    make_link("/l", "f");
    make_link("/dangling", "target");

    for (const char *name : {"/d", "/f", "/l", "/dangling", "/", ".", "/d/.."})
        EXPECT_EQ(open(name, CREATE_NEW), -EEXIST) << name;
    EXPECT_FALSE(exists("/target"));
    EXPECT_GE(open("/new", CREATE_NEW), 0);
}

TEST_F(OpenCreate, ThroughADanglingLinkMakesTheTarget)
{
    make_directories({"/d"});
    make_link("/l", "d/target");
    make_link("/outer", "l");

    EXPECT_GE(open("/outer", CREATE), 0);
    EXPECT_EQ(stat_at("/d/target").mode & S_IFMT_MASK, unsigned{S_IFREG_TYPE});
    EXPECT_EQ(stat_at("/l").mode & S_IFMT_MASK, unsigned{S_IFLNK_TYPE});
}

TEST_F(OpenCreate, DoesNotMakeDirectories)
{
    make_directories({"/d"});
    make_files({"/f"});

    for (const char *name : {"/missing/", "/f/", "/d/"})
        EXPECT_EQ(open(name, CREATE), -EISDIR) << name;
    for (const char *name : {"/d", "/", ".", ".."})
        EXPECT_EQ(open(name, OPEN_CREAT | OPEN_RDONLY), -EISDIR) << name;
    EXPECT_EQ(open("/missing/f", CREATE), -ENOENT);
    EXPECT_EQ(open("/f/f", CREATE), -ENOTDIR);
    EXPECT_EQ(open("/d2", OPEN_CREAT | OPEN_DIRECTORY), -EINVAL);
    EXPECT_FALSE(exists("/d2"));
    EXPECT_FALSE(exists("/missing"));
}

TEST_F(OpenCreate, ALinkWithASlashLeadsToADirectoryOrNowhere)
{
    make_directories({"/d"});
    make_link("/l", "d/");
    make_link("/dangling", "target/");

    EXPECT_EQ(open("/l", CREATE), -EISDIR);
    EXPECT_EQ(open("/dangling", CREATE), -EISDIR);
    EXPECT_FALSE(exists("/target"));
}

TEST_F(OpenCreate, TheUmaskTakesPermissionsAway)
{
    EXPECT_EQ(sys_umask(&init_task, 027), 022);
    ASSERT_EQ(try_open("/f", CREATE, 0666), 0);
    EXPECT_EQ(permissions_at("/f"), 0640u);
    EXPECT_EQ(sys_umask(&init_task, 01777), 027);
    EXPECT_EQ(sys_umask(&init_task, 0), 0777);
}

TEST_F(OpenCreate, WhoMakesAFileMayUseItWhateverItsMode)
{
    make_directories({"/d"});
    change_mode("/d", 0777);
    actor = user;

    const int fd = open("/d/f", CREATE, 0);
    EXPECT_GE(fd, 0);
    EXPECT_EQ(stat_of(fd).uid, USER);
    EXPECT_EQ(open("/d/f", OPEN_RDONLY), -EACCES);
    EXPECT_EQ(open("/d/f", CREATE), -EACCES);
}

TEST_F(OpenCreate, NothingIsMadeInARemovedDirectory)
{
    make_directories({"/d"});
    const int directory = open("/d", OPEN_RDONLY);

    ASSERT_EQ(sys_chdir(&init_task, "/d"), 0);
    ASSERT_EQ(sys_unlinkat(&init_task, CWD, "/d", AT_REMOVEDIR_FLAG), 0);
    EXPECT_EQ(open("f", CREATE), -ENOENT);
    EXPECT_EQ(open("f", CREATE_NEW), -ENOENT);
    EXPECT_EQ(sys_openat(actor, directory, "f", CREATE, 0644), -ENOENT);
    EXPECT_GE(open(".", OPEN_RDONLY), 0);
}

// --- Rights ---

TEST_F(OpenPermission, ReadingAndWritingAreAskedForSeparately)
{
    make_files({"/f"});
    give_to("/f", USER);
    actor = user;

    change_mode("/f", 0400);
    EXPECT_GE(open("/f", OPEN_RDONLY), 0);
    EXPECT_EQ(open("/f", OPEN_WRONLY), -EACCES);
    EXPECT_EQ(open("/f", OPEN_RDWR), -EACCES);
    EXPECT_EQ(open("/f", OPEN_RDONLY | OPEN_TRUNC), -EACCES);
    EXPECT_EQ(open("/f", OPEN_ACCMODE), -EACCES);
    change_mode("/f", 0200);
    EXPECT_GE(open("/f", OPEN_WRONLY), 0);
    EXPECT_EQ(open("/f", OPEN_RDONLY), -EACCES);
    EXPECT_GE(open("/f", OPEN_PATH), 0);
}

/// Objections to O_CREAT count only when there is something to create.
TEST_F(OpenPermission, WhoMayNotCreateMayOpenWhatIsThere)
{
    make_files({"/f"});
    change_mode("/f", 0666);
    make_link("/l", "f");
    make_link("/dangling", "target");
    actor = user;

    drop_caches();
    EXPECT_GE(open("/f", CREATE), 0);
    EXPECT_GE(open("/f", CREATE), 0);
    EXPECT_GE(open("/l", CREATE), 0);
    EXPECT_EQ(open("/f", CREATE_NEW), -EEXIST);
    EXPECT_EQ(open("/dangling", CREATE_NEW), -EEXIST);
    EXPECT_EQ(open("/missing", CREATE), -EACCES);
    EXPECT_EQ(open("/missing", CREATE_NEW), -EACCES);
    EXPECT_EQ(open("/missing", OPEN_RDONLY), -ENOENT);
    EXPECT_EQ(open("/dangling", CREATE), -EACCES);
}

TEST_F(OpenPermission, AReadOnlyMountIsAnObjectionOfThatKind)
{
    make_directories({"/ro"});
    make_files({"/ro/f"});
    ASSERT_EQ(sys_mount_bind(&init_task, "/ro", "/ro"), 0);
    WRITE_ONCE(walk("/ro").through()->mnt_flags, MNT_READONLY);

    for (bool cold : {true, false}) {
        if (cold)
            drop_caches();
        EXPECT_EQ(try_open("/ro/f", OPEN_CREAT | OPEN_RDONLY), 0);
        EXPECT_EQ(try_open("/ro/f", CREATE_NEW), -EEXIST);
        EXPECT_EQ(try_open("/ro/missing", CREATE), -EROFS);
        EXPECT_EQ(try_open("/ro/missing", CREATE_NEW), -EROFS);
        EXPECT_EQ(try_open("/ro/missing", OPEN_WRONLY), -ENOENT);
        EXPECT_EQ(try_open("/ro/f", OPEN_WRONLY), -EROFS);
        EXPECT_EQ(try_open("/ro/f", OPEN_RDONLY | OPEN_TRUNC), -EROFS);
        EXPECT_EQ(try_open("/ro", OPEN_WRONLY), -EISDIR);
        EXPECT_EQ(try_open("/ro", OPEN_TMPFILE | OPEN_RDWR), -EROFS);
        EXPECT_EQ(try_open("/ro/f", OPEN_PATH), 0);
    }
    actor = user;
    EXPECT_EQ(try_open("/ro", OPEN_TMPFILE | OPEN_RDWR), -EROFS) << "before the permission";
    ASSERT_EQ(sys_umount2(&init_task, "/ro", 0), 0);
}

TEST_F(OpenPermission, InAStickyDirectoryOtherPeoplesFilesAreNotCreated)
{
    make_directories({"/tmp"});
    make_files({"/tmp/theirs", "/tmp/mine", "/tmp/roots"});
    for (const char *name : {"/tmp/theirs", "/tmp/mine", "/tmp/roots"})
        change_mode(name, 0666);
    give_to("/tmp/theirs", STRANGER);
    give_to("/tmp/mine", USER);
    change_mode("/tmp", 01777);
    actor = user;

    EXPECT_EQ(try_open("/tmp/theirs", CREATE), 0);
    sysctl_protected_regular = 1;
    EXPECT_EQ(try_open("/tmp/theirs", CREATE), -EACCES);
    EXPECT_EQ(try_open("/tmp/theirs", OPEN_RDWR), 0);
    EXPECT_EQ(try_open("/tmp/mine", CREATE), 0);
    EXPECT_EQ(try_open("/tmp/roots", CREATE), 0) << "the directory's owner is trusted";

    change_mode("/tmp", 01775);
    EXPECT_EQ(try_open("/tmp/theirs", CREATE), 0);
    sysctl_protected_regular = 2;
    EXPECT_EQ(try_open("/tmp/theirs", CREATE), -EACCES);
    change_mode("/tmp", 0777);
    EXPECT_EQ(try_open("/tmp/theirs", CREATE), 0);
}

TEST_F(OpenPermission, FifosInAStickyDirectoryHaveASwitchOfTheirOwn)
{
    make_directories({"/tmp"});
    ASSERT_EQ(sys_mknodat(&init_task, CWD, "/tmp/fifo", S_IFIFO_TYPE | 0666, 0), 0);
    change_mode("/tmp/fifo", 0666);
    give_to("/tmp/fifo", STRANGER);
    change_mode("/tmp", 01777);
    actor = user;

    sysctl_protected_regular = 2;
    EXPECT_EQ(try_open("/tmp/fifo", CREATE), 0);
    sysctl_protected_fifos = 1;
    EXPECT_EQ(try_open("/tmp/fifo", CREATE), -EACCES);
    change_mode("/tmp", 01775);
    EXPECT_EQ(try_open("/tmp/fifo", CREATE), 0);
    sysctl_protected_fifos = 2;
    EXPECT_EQ(try_open("/tmp/fifo", CREATE), -EACCES);
}

TEST_F(OpenPermission, TruncationTakesTheRightsOfTheOwnerAway)
{
    make_files({"/f"});
    change_mode("/f", 06777);
    actor = user;

    ASSERT_EQ(try_open("/f", OPEN_WRONLY), 0);
    EXPECT_EQ(permissions_at("/f"), 06777u);
    ASSERT_EQ(try_open("/f", OPEN_WRONLY | OPEN_TRUNC), 0);
    EXPECT_EQ(permissions_at("/f"), 0777u);

    change_mode("/f", 06777);
    actor = &init_task;
    ASSERT_EQ(try_open("/f", OPEN_WRONLY | OPEN_TRUNC), 0);
    EXPECT_EQ(permissions_at("/f"), 06777u);
}

TEST_F(OpenPermission, NoAccessTimeIsForTheOwner)
{
    make_files({"/theirs", "/mine"});
    give_to("/mine", USER);
    actor = user;

    EXPECT_EQ(open("/theirs", OPEN_RDONLY | OPEN_NOATIME), -EPERM);
    EXPECT_GE(open("/mine", OPEN_RDONLY | OPEN_NOATIME), 0);
}

// --- O_PATH ---

TEST_F(OpenPath, WithNoFollowOpensTheLinkItself)
{
    char body[16];

    make_link("/l", "nowhere");
    const int fd = open("/l", OPEN_PATH | OPEN_NOFOLLOW);

    ASSERT_GE(fd, 0);
    EXPECT_EQ(stat_of(fd).mode & S_IFMT_MASK, unsigned{S_IFLNK_TYPE});
    EXPECT_EQ(sys_readlinkat(actor, fd, "", body, sizeof(body)), 7);
    EXPECT_EQ(open("/l", OPEN_PATH), -ENOENT);
}

TEST_F(OpenPath, OpensNothing)
{
    make_directories({"/d"});
    make_files({"/d/f"});
    change_mode("/d/f", 0);
    actor = user;

    const int directory = open("/d", OPEN_PATH), file = open("/d/f", OPEN_PATH);
    char buffer[256];
    ASSERT_GE(file, 0);
    EXPECT_EQ(sys_getdents64(actor, directory, buffer, sizeof(buffer)), -EBADF);
    EXPECT_EQ(sys_lseek(actor, file, 0, 0), -EBADF);
    EXPECT_EQ(stat_of(file).mode, S_IFREG_TYPE);
    EXPECT_EQ(sys_fchdir(actor, file), -ENOTDIR);
    EXPECT_EQ(sys_fchdir(actor, directory), 0);
    EXPECT_EQ(working_directory(actor), "/d");
    EXPECT_EQ(close(file), 0);
}

TEST_F(OpenPath, BeatsEveryOtherFlag)
{
    make_directories({"/d"});

    EXPECT_EQ(open("/missing", OPEN_PATH | OPEN_CREAT), -ENOENT);
    EXPECT_GE(open("/d", OPEN_PATH | OPEN_RDWR | OPEN_TRUNC | OPEN_TMPFILE_BIT), 0);
}

// --- O_TMPFILE ---

TEST_F(OpenTmpfile, HasNoName)
{
    make_directories({"/d"});
    const int fd = open("/d", OPEN_TMPFILE | OPEN_RDWR, 0640);

    ASSERT_GE(fd, 0);
    EXPECT_EQ(stat_of(fd).nlink, 0u);
    EXPECT_EQ(stat_of(fd).mode, S_IFREG_TYPE | 0640);
    EXPECT_THAT(names_in("/d"), UnorderedElementsAre(".", ".."));
    EXPECT_EQ(sys_unlinkat(actor, CWD, "/d", AT_REMOVEDIR_FLAG), 0);
}

TEST_F(OpenTmpfile, MayBeGivenOneUnlessItIsExclusive)
{
    make_directories({"/d"});
    const int linkable = open("/d", OPEN_TMPFILE | OPEN_RDWR);
    const int exclusive = open("/d", OPEN_TMPFILE | OPEN_RDWR | OPEN_EXCL);

    EXPECT_EQ(sys_linkat(actor, linkable, "", CWD, "/d/f", AT_EMPTY_PATH_FLAG), 0);
    EXPECT_EQ(stat_at("/d/f").ino, stat_of(linkable).ino);
    EXPECT_EQ(stat_at("/d/f").nlink, 1u);
    EXPECT_EQ(sys_linkat(actor, exclusive, "", CWD, "/d/g", AT_EMPTY_PATH_FLAG), -ENOENT);
}

TEST_F(OpenTmpfile, NeedsADirectoryThatMayBeWritten)
{
    make_directories({"/d", "/mine"});
    make_files({"/f"});
    give_to("/mine", USER);

    EXPECT_EQ(open("/d", OPEN_TMPFILE | OPEN_RDONLY), -EINVAL);
    EXPECT_EQ(open("/d", OPEN_TMPFILE_BIT | OPEN_RDWR), -EINVAL);
    EXPECT_EQ(open("/f", OPEN_TMPFILE | OPEN_RDWR), -ENOTDIR);
    EXPECT_EQ(open("/missing", OPEN_TMPFILE | OPEN_RDWR), -ENOENT);
    actor = user;
    EXPECT_EQ(open("/d", OPEN_TMPFILE | OPEN_RDWR), -EACCES);
    EXPECT_GE(open("/mine", OPEN_TMPFILE | OPEN_RDWR, 0), 0);
}

// --- openat2 ---

TEST_F(Openat2, ChecksWhatOpenIgnores)
{
    make_files({"/f"});
    const std::tuple<unsigned, umode_t, unsigned> bad[] = {
        {1u << 30, 0, 0},
        {OPEN_RDONLY, 0, 0x40},
        {OPEN_RDONLY, 0, RESOLVE_BENEATH_FLAG | RESOLVE_IN_ROOT_FLAG},
        {OPEN_RDONLY, 0644, 0},
        {OPEN_CREAT, 010644, 0},
        {OPEN_PATH | OPEN_RDWR, 0, 0},
        {OPEN_PATH | OPEN_CREAT, 0644, 0},
    };

    for (auto [flags, mode, resolve] : bad)
        EXPECT_EQ(sys_openat2(actor, CWD, "/f", flags, mode, resolve), -EINVAL)
            << std::oct << flags << " " << mode << " " << resolve;
    EXPECT_GE(open("/f", 1u << 30, 010644), 0);
    EXPECT_GE(sys_openat2(actor, CWD, "/f", OPEN_RDONLY | OPEN_CLOEXEC, 0, 0), 0);
}

TEST_F(Openat2, ResolvesAsFarAsItMay)
{
    make_directories({"/d", "/d/e"});
    make_files({"/f", "/d/f"});
    make_link("/d/l", "f");
    make_link("/d/out", "../f");
    make_link("/d/root", "/f");
    const int d = open("/d", OPEN_PATH);
    const std::tuple<const char *, unsigned, int> cases[] = {
        {"l", 0, 0},
        {"l", RESOLVE_NO_SYMLINKS_FLAG, -ELOOP},
        {"l", RESOLVE_BENEATH_FLAG, 0},
        {"out", RESOLVE_BENEATH_FLAG, -EXDEV},
        {"root", RESOLVE_BENEATH_FLAG, -EXDEV},
        {"/f", RESOLVE_BENEATH_FLAG, -EXDEV},
        {"e/../f", RESOLVE_BENEATH_FLAG, 0},
        {"out", RESOLVE_IN_ROOT_FLAG, 0},
        {"root", RESOLVE_IN_ROOT_FLAG, 0},
        {"/../../f", RESOLVE_IN_ROOT_FLAG, 0},
    };

    for (auto [name, resolve, error] : cases) {
        const int fd = sys_openat2(actor, d, name, OPEN_RDONLY, 0, resolve);
        EXPECT_EQ(fd < 0 ? fd : 0, error) << name << " " << resolve;
        if (fd >= 0 && (resolve & RESOLVE_IN_ROOT_FLAG)) {
            EXPECT_EQ(stat_of(fd).ino, stat_at("/d/f").ino) << name;
        }
    }
}

TEST_F(Openat2, CachedOpensWhatNeedsNoWaiting)
{
    make_files({"/f"});
    drop_caches();

    EXPECT_EQ(sys_openat2(actor, CWD, "/f", OPEN_RDONLY, 0, RESOLVE_CACHED_FLAG), -EAGAIN);
    ASSERT_EQ(try_open("/f", OPEN_RDONLY), 0);
    EXPECT_GE(sys_openat2(actor, CWD, "/f", OPEN_RDONLY, 0, RESOLVE_CACHED_FLAG), 0);
    for (unsigned flags : {unsigned{CREATE}, unsigned{OPEN_RDWR | OPEN_TRUNC}})
        EXPECT_EQ(sys_openat2(actor, CWD, "/f", flags, flags & OPEN_CREAT ? 0644 : 0,
                              RESOLVE_CACHED_FLAG),
                  -EAGAIN);
}

// --- Memory ---

/// `operation`, with the n-th allocation failing, for all n: it fails as a whole, or succeeds as a
/// whole. Returns how many allocations it makes.
template <typename Reset, typename Operation>
long with_every_allocation_failing(Reset reset, Operation operation)
{
    for (long n = 1;; n++) {
        reset();
        kmem_fail_nth(n);
        const int result = operation();
        const bool failed = kmem_failure_delivered();
        kmem_fail_nth(0);
        if (!failed) {
            EXPECT_GE(result, 0);
            return n - 1;
        }
        EXPECT_EQ(result, -ENOMEM) << "allocation " << n;
        if (n > 1000 || ::testing::Test::HasFailure())
            return n;
    }
}

/// The fixture finds out whether anything is left.
TEST_F(OpenMemory, AnOpenThatCreatesLeavesNothingBehindWhenItRunsOut)
{
    const std::string name = "/d/" + long_name;

    make_directories({"/d"});
    const long allocations = with_every_allocation_failing(
        [&] {
            sys_unlinkat(&init_task, CWD, name.c_str(), 0);
            drop_caches();
        },
        [&] {
            const long nodes = memfs_node_count(sb);
            const int fd = open(name, CREATE);
            EXPECT_EQ(memfs_node_count(sb) - nodes, fd >= 0);
            return fd < 0 ? fd : close(fd);
        });
    EXPECT_GE(allocations, 5); // the file, two dentries and a long name, a node and its name
}

TEST_F(OpenMemory, AnOpenThatFollowsLinksLeavesNothingBehind)
{
    make_directories({"/d"});
    make_files({"/d/f"});
    make_link("/1", "d/f");
    make_link("/2", "1");
    make_link("/3", "2");
    const long allocations = with_every_allocation_failing(
        [&] { drop_caches(); }, [&] { return try_open("/3", OPEN_RDWR); });
    EXPECT_GE(allocations, 6);
}

TEST_F(OpenMemory, AnOpenWithoutANameLeavesNothingBehind)
{
    const long allocations = with_every_allocation_failing(
        [] {}, [&] { return try_open("/", OPEN_TMPFILE | OPEN_RDWR); });
    EXPECT_GE(allocations, 3);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
