// SPDX-License-Identifier: GPL-2.0-only
//
// What a path leads to: the rules of the path walk, each in RCU mode (everything cached), in ref
// mode (everything cached, and nothing cached), and by the ladder of both.
#include <gtest/gtest.h>

#include "path_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

struct how_to_walk {
    walk_mode mode;
    bool cold;
    const char *name;
};

std::string name_of_mode(const ::testing::TestParamInfo<how_to_walk> &info)
{
    return info.param.name;
}

/// Every rule in every mode. A walk in RCU mode needs a warm cache: the path was walked before.
class PathWalk : public path_fixture, public ::testing::WithParamInterface<how_to_walk>
{
  protected:
    std::string ends(const std::string &name, unsigned flags = LOOKUP_FOLLOW)
    {
        if (GetParam().cold)
            drop_caches();
        else
            walk(name, flags, walk_mode::ref);
        return end_of(name, flags, GetParam().mode);
    }
    /// In RCU mode some refusals are left to the pass with references.
    std::string refusal(const std::string &error) const
    {
        return GetParam().mode == walk_mode::rcu ? "ECHILD" : error;
    }
};

INSTANTIATE_TEST_SUITE_P(Modes, PathWalk,
                         ::testing::Values(how_to_walk{walk_mode::rcu, false, "Rcu"},
                                           how_to_walk{walk_mode::ref, false, "RefWarm"},
                                           how_to_walk{walk_mode::ref, true, "RefCold"},
                                           how_to_walk{walk_mode::ladder, false, "LadderWarm"},
                                           how_to_walk{walk_mode::ladder, true, "LadderCold"}),
                         name_of_mode);

TEST_P(PathWalk, GoesFromComponentToComponent)
{
    make_directories({"/a", "/a/b"});
    make_files({"/a/b/f"});

    EXPECT_EQ(ends("/a"), "/a");
    EXPECT_EQ(ends("/a/b/f"), "/a/b/f");
}

TEST_P(PathWalk, ARelativePathStartsAtTheWorkingDirectory)
{
    make_directories({"/a", "/a/b"});
    ASSERT_EQ(sys_chdir(&init_task, "/a"), 0);

    EXPECT_EQ(ends("b"), "/a/b");
    EXPECT_EQ(ends("."), "/a");
    EXPECT_EQ(ends("/"), "/");
}

using KernelPath = path_fixture;

TEST_F(KernelPath, TheEmptyOneIsWhereTheWalkStarts)
{
    make_directories({"/a", "/b"});
    ASSERT_EQ(sys_chdir(&init_task, "/a"), 0);
    const place a = walk("/a"), b = walk("/b");
    path end;
    file *file;

    ASSERT_EQ(kern_path("", 0, &end), 0);
    EXPECT_EQ(end.dentry, a.at());
    path_put(&end);
    ASSERT_EQ(vfs_path_lookup(b.at(), root_mnt, "", 0, &end), 0);
    EXPECT_EQ(end.dentry, b.at());
    path_put(&end);
    file = filp_open("", OPEN_RDONLY, 0);
    ASSERT_FALSE(IS_ERR(file));
    EXPECT_EQ(file->f_path.dentry, a.at());
    fput(file);

    // A system call wants a flag for it.
    EXPECT_EQ(error_of(""), -ENOENT);
}

TEST_P(PathWalk, ADescriptorIsAStart)
{
    make_directories({"/a", "/a/b"});
    make_files({"/a/f"});
    const int directory =
        sys_openat(&init_task, AT_FDCWD_VALUE, "/a", OPEN_RDONLY | OPEN_DIRECTORY, 0);
    const int file = sys_openat(&init_task, AT_FDCWD_VALUE, "/a/f", OPEN_RDONLY, 0);

    walk("b", 0, walk_mode::ref, directory);
    EXPECT_EQ(walk("b", 0, GetParam().mode, directory).at(), walk("/a/b").at());
    EXPECT_EQ(walk("b", 0, GetParam().mode, file).error(), -ENOTDIR);
    EXPECT_EQ(walk("b", 0, GetParam().mode, 77).error(), -EBADF);
    EXPECT_EQ(walk("/a/b", 0, GetParam().mode, 77).error(), 0);
    sys_close(&init_task, directory);
    sys_close(&init_task, file);
}

TEST_P(PathWalk, DotStaysAndDotDotGoesUpButNotOutOfTheRoot)
{
    make_directories({"/a", "/a/b"});

    EXPECT_EQ(ends("/a/./b/."), "/a/b");
    EXPECT_EQ(ends("/a/b/.."), "/a");
    EXPECT_EQ(ends("/a/b/../.."), "/");
    EXPECT_EQ(ends("/.."), "/");
    EXPECT_EQ(ends("/../../a"), "/a");
}

TEST_P(PathWalk, NamesThatOnlyBeginWithDotsAreOrdinary)
{
    make_directories({"/...", "/.a", "/..a", "/.../.b"});

    EXPECT_EQ(ends("/..."), "/...");
    EXPECT_EQ(ends("/.a/../..a"), "/..a");
    EXPECT_EQ(ends("/.../.b/.."), "/...");
}

TEST_P(PathWalk, SlashesMayBeRepeated)
{
    make_directories({"/a", "/a/b"});

    EXPECT_EQ(ends("//a///b"), "/a/b");
    EXPECT_EQ(ends("//"), "/");
}

TEST_P(PathWalk, ATrailingSlashAsksForADirectory)
{
    make_directories({"/d"});
    make_files({"/f"});

    EXPECT_EQ(ends("/d/"), "/d");
    EXPECT_EQ(ends("/d//"), "/d");
    EXPECT_EQ(ends("/f/"), "ENOTDIR");
}

TEST_P(PathWalk, ATrailingSlashFollowsALinkEvenIfTheFlagsDoNot)
{
    make_directories({"/d"});
    make_link("/l", "d");

    EXPECT_EQ(ends("/l", 0), "/l");
    EXPECT_EQ(ends("/l/", 0), "/d");
}

TEST_P(PathWalk, WhatIsNoDirectoryHasNothingBelow)
{
    make_files({"/f"});

    EXPECT_EQ(ends("/f/x"), "ENOTDIR");
    EXPECT_EQ(ends("/f/."), "ENOTDIR");
    EXPECT_EQ(ends("/f/.."), "ENOTDIR");
}

TEST_P(PathWalk, DirectoryInTheFlagsRefusesEverythingElse)
{
    make_directories({"/d"});
    make_files({"/f"});

    EXPECT_EQ(ends("/d", LOOKUP_DIRECTORY), "/d");
    EXPECT_EQ(ends("/f", LOOKUP_DIRECTORY), "ENOTDIR");
}

TEST_P(PathWalk, AMissAnywhereIsNoEntry)
{
    make_directories({"/a"});

    EXPECT_EQ(ends("/x"), "ENOENT");
    EXPECT_EQ(ends("/a/x"), "ENOENT");
    EXPECT_EQ(ends("/x/y/z"), "ENOENT");
    EXPECT_EQ(ends("/x/../a"), "ENOENT");
}

TEST_P(PathWalk, ANameMayHave255Bytes)
{
    const std::string longest(NAME_MAX_LENGTH, 'n');

    make_files({("/" + longest).c_str()});
    EXPECT_EQ(ends("/" + longest), "/" + longest);
    // Nothing that long is ever cached, so RCU mode does not get that far.
    EXPECT_EQ(ends("/" + longest + "n"), "ENAMETOOLONG");
    EXPECT_EQ(ends("/" + longest + "n/x"), "ENAMETOOLONG");
}

TEST_P(PathWalk, APathMayHave4095Bytes)
{
    std::string path;

    make_directories({"/d"});
    while (path.size() < PATH_MAX_LENGTH - 3)
        path += "/.";
    path += std::string(PATH_MAX_LENGTH - 1 - path.size(), '/');
    ASSERT_EQ(path.size(), PATH_MAX_LENGTH - 1);
    EXPECT_EQ(ends(path), "/");
    EXPECT_EQ(ends(path + "/"), "ENAMETOOLONG");
}

TEST_P(PathWalk, AnEmptyPathIsNoEntryUnlessAskedFor)
{
    make_directories({"/a"});
    ASSERT_EQ(sys_chdir(&init_task, "/a"), 0);

    EXPECT_EQ(ends(""), "ENOENT");
    EXPECT_EQ(ends("", LOOKUP_EMPTY), "/a");
}

// --- Symbolic links ---

TEST_P(PathWalk, ALinkInTheMiddleIsFollowedAndAtTheEndIfAskedFor)
{
    make_directories({"/d"});
    make_files({"/d/f"});
    make_link("/l", "d");
    make_link("/d/k", "f");

    EXPECT_EQ(ends("/l/f"), "/d/f");
    EXPECT_EQ(ends("/l/f", 0), "/d/f");
    EXPECT_EQ(ends("/l"), "/d");
    EXPECT_EQ(ends("/l", 0), "/l");
    EXPECT_EQ(ends("/l/k", 0), "/d/k");
}

TEST_P(PathWalk, ABodyIsRelativeToTheDirectoryOfItsLinkOrToTheRoot)
{
    make_directories({"/a", "/a/b", "/c"});
    make_link("/a/up", "../c");
    make_link("/a/b/top", "/c");
    make_link("/a/b/slashes", "///c");
    make_link("/a/b/root", "/");

    EXPECT_EQ(ends("/a/up"), "/c");
    EXPECT_EQ(ends("/a/b/top"), "/c");
    EXPECT_EQ(ends("/a/b/slashes"), "/c");
    EXPECT_EQ(ends("/a/b/root"), "/");
    EXPECT_EQ(ends("/a/b/root/a"), "/a");
}

TEST_P(PathWalk, AfterALinkDotDotIsTheParentOfWhereItLed)
{
    make_directories({"/a", "/a/b", "/c"});
    make_link("/c/l", "/a/b");

    EXPECT_EQ(ends("/c/l/.."), "/a");
}

TEST_P(PathWalk, LinksMayBeNestedDeeperThanTheEmbeddedStack)
{
    make_directories({"/d", "/d/e"});
    make_files({"/d/e/f"});
    make_link("/l0", "d");
    for (int i = 1; i <= 6; i++)
        make_link("/l" + std::to_string(i), "l" + std::to_string(i - 1) + "/.");

    EXPECT_EQ(ends("/l6/e/f"), "/d/e/f");
}

TEST_P(PathWalk, TheRestOfEveryLevelIsWalkedAfterTheBody)
{
    make_directories({"/d", "/d/e", "/d/e/g"});
    make_link("/d/inner", "e/.");
    make_link("/outer", "d/inner/g");

    EXPECT_EQ(ends("/outer/../../inner"), "/d/e");
}

TEST_P(PathWalk, FortyLinksAreFollowedAndTheNextIsALoop)
{
    make_directories({"/d"});
    make_link("/l1", "d");
    for (int i = 2; i <= MAXSYMLINKS + 1; i++)
        make_link("/l" + std::to_string(i), "l" + std::to_string(i - 1));

    EXPECT_EQ(ends("/l40"), "/d");
    EXPECT_EQ(ends("/l41"), "ELOOP");
    EXPECT_EQ(ends("/l41", 0), "/l41");
}

TEST_P(PathWalk, TheLinksOfAWholePathAreCountedTogether)
{
    std::string path;

    make_directories({"/d"});
    make_link("/d/l", ".");
    path = "/d";
    for (int i = 0; i < MAXSYMLINKS; i++)
        path += "/l";
    EXPECT_EQ(ends(path), "/d");
    EXPECT_EQ(ends(path + "/l"), "ELOOP");
}

TEST_P(PathWalk, ALoopEnds)
{
    make_link("/self", "self");
    make_link("/a", "b");
    make_link("/b", "a");

    EXPECT_EQ(ends("/self"), "ELOOP");
    EXPECT_EQ(ends("/self/x"), "ELOOP");
    EXPECT_EQ(ends("/a"), "ELOOP");
    EXPECT_EQ(ends("/self", 0), "/self");
}

TEST_P(PathWalk, ADanglingLinkIsThereButLeadsNowhere)
{
    make_link("/l", "nowhere");

    EXPECT_EQ(ends("/l"), "ENOENT");
    EXPECT_EQ(ends("/l", 0), "/l");
    EXPECT_EQ(ends("/l/", 0), "ENOENT");
}

// --- Restrictions ---

TEST_P(PathWalk, NoSymlinksRefusesThemAll)
{
    make_directories({"/d"});
    make_link("/l", "d");

    EXPECT_EQ(ends("/d", LOOKUP_NO_SYMLINKS | LOOKUP_FOLLOW), "/d");
    EXPECT_EQ(ends("/l", LOOKUP_NO_SYMLINKS | LOOKUP_FOLLOW), "ELOOP");
    EXPECT_EQ(ends("/l/.", LOOKUP_NO_SYMLINKS), "ELOOP");
    EXPECT_EQ(ends("/l", LOOKUP_NO_SYMLINKS), "/l");
}

TEST_P(PathWalk, BeneathRefusesWhatLeadsOut)
{
    make_directories({"/a", "/a/b", "/c"});
    make_link("/a/abs", "/a/b");
    make_link("/a/up", "../c");
    make_link("/a/in", "b/..");
    ASSERT_EQ(sys_chdir(&init_task, "/a"), 0);

    EXPECT_EQ(ends("b/..", LOOKUP_BENEATH | LOOKUP_FOLLOW), "/a");
    EXPECT_EQ(ends("in", LOOKUP_BENEATH | LOOKUP_FOLLOW), "/a");
    EXPECT_EQ(ends("b/../../c", LOOKUP_BENEATH | LOOKUP_FOLLOW), refusal("EXDEV"));
    EXPECT_EQ(ends("up", LOOKUP_BENEATH | LOOKUP_FOLLOW), refusal("EXDEV"));
    EXPECT_EQ(ends("abs", LOOKUP_BENEATH | LOOKUP_FOLLOW), "EXDEV");
    EXPECT_EQ(ends("/a", LOOKUP_BENEATH | LOOKUP_FOLLOW), "EXDEV");
}

TEST_P(PathWalk, InRootMakesTheStartTheRoot)
{
    make_directories({"/a", "/a/b", "/a/c", "/c"});
    make_link("/a/abs", "/b");
    make_link("/a/up", "../../c");
    ASSERT_EQ(sys_chdir(&init_task, "/a"), 0);

    EXPECT_EQ(ends("/b", LOOKUP_IN_ROOT | LOOKUP_FOLLOW), "/a/b");
    EXPECT_EQ(ends("..", LOOKUP_IN_ROOT | LOOKUP_FOLLOW), "/a");
    EXPECT_EQ(ends("abs", LOOKUP_IN_ROOT | LOOKUP_FOLLOW), "/a/b");
    EXPECT_EQ(ends("up", LOOKUP_IN_ROOT | LOOKUP_FOLLOW), "/a/c");
}

TEST_P(PathWalk, SearchingADirectoryNeedsItsExecuteBit)
{
    const cred nobody = {1000, 1000, nullptr, 0, 0};
    const cred *const before = init_task.cred;

    make_directories({"/open", "/open/f"});
    make_directories({"/closed"}, 0700);
    make_directories({"/closed/f"});
    walk("/closed/f");
    init_task.cred = &nobody;
    EXPECT_EQ(ends("/open/f"), "/open/f");
    EXPECT_EQ(ends("/closed"), "/closed");
    EXPECT_EQ(ends("/closed/f"), "EACCES");
    EXPECT_EQ(ends("/closed/."), "EACCES");
    init_task.cred = before;
}

TEST_P(PathWalk, InAStickyDirectoryALinkIsFollowedForItsOwnerAlone)
{
    const cred owner = {1000, 1000, nullptr, 0, 0};
    const cred other = {1001, 1001, nullptr, 0, 0};
    const cred *const before = init_task.cred;

    make_directories({"/tmp", "/d"});
    ASSERT_EQ(sys_fchmodat(&init_task, AT_FDCWD_VALUE, "/tmp", 01777, 0), 0);
    init_task.cred = &owner;
    make_link("/tmp/l", "/d");
    EXPECT_EQ(ends("/tmp/l"), "/d");
    init_task.cred = &other;
    EXPECT_EQ(ends("/tmp/l"), refusal("EACCES"));
    EXPECT_EQ(ends("/tmp/l", 0), "/tmp/l");
    // A link in the middle is another matter.
    EXPECT_EQ(ends("/tmp/l/."), "/d");
    WRITE_ONCE(sysctl_protected_symlinks, 0);
    EXPECT_EQ(ends("/tmp/l"), "/d");
    init_task.cred = before;
}

// --- Mounts ---

class PathWalkMounts : public PathWalk
{
  protected:
    void SetUp() override
    {
        PathWalk::SetUp();
        other = memfs_mount({}, "other");
        ASSERT_FALSE(IS_ERR(other));
        make_directories({"/m", "/m/covered", "/m/covered/below"});
        ASSERT_EQ(sys_mount(&init_task, other, "/m/covered", 0), 0);
        make_directories({"/m/covered/inside"});
    }
    void TearDown() override
    {
        sys_chdir(&init_task, "/");
        while (sys_umount2(&init_task, "/m/covered", MNT_DETACH_FLAG) == 0)
            ;
        EXPECT_EQ(memfs_unmount(other), 0);
        PathWalk::TearDown();
    }

    super_block *other = nullptr;
};

INSTANTIATE_TEST_SUITE_P(Modes, PathWalkMounts,
                         ::testing::Values(how_to_walk{walk_mode::rcu, false, "Rcu"},
                                           how_to_walk{walk_mode::ref, false, "RefWarm"},
                                           how_to_walk{walk_mode::ref, true, "RefCold"},
                                           how_to_walk{walk_mode::ladder, false, "LadderWarm"}),
                         name_of_mode);

TEST_P(PathWalkMounts, AMountpointIsTheRootOfWhatIsMountedThere)
{
    EXPECT_EQ(ends("/m/covered/inside"), "/m/covered/inside");
    EXPECT_EQ(ends("/m/covered/below"), "ENOENT");
    EXPECT_EQ(walk("/m/covered").at(), other->s_root);
}

TEST_P(PathWalkMounts, DotDotOfItIsTheParentOfTheMountpoint)
{
    EXPECT_EQ(ends("/m/covered/.."), "/m");
    EXPECT_EQ(ends("/m/covered/inside/../.."), "/m");
    EXPECT_EQ(ends("/m/covered/inside/../../.."), "/");
}

TEST_P(PathWalkMounts, WhatIsMountedOnTopCounts)
{
    super_block *third = memfs_mount({}, "third");

    ASSERT_EQ(sys_mount(&init_task, third, "/m/covered", 0), 0);
    EXPECT_EQ(walk("/m/covered").at(), third->s_root);
    EXPECT_EQ(ends("/m/covered/.."), "/m");
    ASSERT_EQ(sys_umount2(&init_task, "/m/covered", 0), 0);
    EXPECT_EQ(walk("/m/covered").at(), other->s_root);
    EXPECT_EQ(memfs_unmount(third), 0);
}

TEST_P(PathWalkMounts, NoXdevStaysWithinOneMount)
{
    EXPECT_EQ(ends("/m", LOOKUP_NO_XDEV), "/m");
    EXPECT_EQ(ends("/m/covered", LOOKUP_NO_XDEV), "EXDEV");
    ASSERT_EQ(sys_chdir(&init_task, "/m/covered/inside"), 0);
    EXPECT_EQ(ends("..", LOOKUP_NO_XDEV), "/m/covered");
    EXPECT_EQ(ends("../..", LOOKUP_NO_XDEV), refusal("EXDEV"));
}

TEST_P(PathWalkMounts, ABindMountShowsThePartOfTheTreeThatItBeginsAt)
{
    make_directories({"/m/b", "/part", "/part/x"});
    ASSERT_EQ(sys_mount_bind(&init_task, "/part", "/m/b"), 0);

    EXPECT_EQ(ends("/m/b/x"), "/m/b/x");
    EXPECT_EQ(walk("/m/b/x").at(), walk("/part/x").at());
    EXPECT_EQ(ends("/m/b/.."), "/m");
    EXPECT_EQ(ends("/part/x/../.."), "/");
    ASSERT_EQ(sys_umount2(&init_task, "/m/b", 0), 0);
}

TEST_P(PathWalkMounts, WhoWasMovedOutOfABindMountMayNotClimb)
{
    make_directories({"/m/b", "/part", "/part/x"});
    ASSERT_EQ(sys_mount_bind(&init_task, "/part", "/m/b"), 0);
    ASSERT_EQ(sys_chdir(&init_task, "/m/b/x"), 0);
    EXPECT_EQ(ends(".."), "/m/b");
    ASSERT_EQ(sys_renameat2(&init_task, AT_FDCWD_VALUE, "/part/x", AT_FDCWD_VALUE, "/m/moved", 0),
              0);
    EXPECT_EQ(ends(".."), refusal("ENOENT"));
    ASSERT_EQ(sys_chdir(&init_task, "/"), 0);
    ASSERT_EQ(sys_umount2(&init_task, "/m/b", 0), 0);
}

TEST_P(PathWalkMounts, ChrootMakesANewTop)
{
    ASSERT_EQ(sys_chroot(&init_task, "/m/covered"), 0);
    ASSERT_EQ(sys_chdir(&init_task, "/"), 0);
    EXPECT_EQ(ends("/inside/../.."), "/");
    EXPECT_EQ(walk("/..").at(), other->s_root);
    const path top = {root_mnt, sb->s_root};
    set_fs_root(&init_fs, &top);
}

TEST_P(PathWalkMounts, AMountMayForbidFollowingLinks)
{
    super_block *third = memfs_mount({}, "third");

    make_directories({"/n"});
    ASSERT_EQ(sys_mount(&init_task, third, "/n", MNT_NOSYMFOLLOW), 0);
    make_directories({"/n/d"});
    make_link("/n/l", "d");
    EXPECT_EQ(ends("/n/l"), "ELOOP");
    EXPECT_EQ(ends("/n/l", 0), "/n/l");
    ASSERT_EQ(sys_umount2(&init_task, "/n", 0), 0);
    EXPECT_EQ(memfs_unmount(third), 0);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
