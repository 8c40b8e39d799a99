// SPDX-License-Identifier: GPL-2.0-only
//
// The oracle: what operations on paths do to a plain tree, and which histories it accepts.
#include <cerrno>
#include <deque>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/scenario/oracle/linearize.h"

namespace dcsim::scenario::oracle
{

namespace
{

constexpr unsigned o_creat = 0100;
constexpr unsigned o_excl = 0200;
constexpr unsigned o_wronly = 1;
constexpr unsigned o_directory = 0200000;
constexpr unsigned o_nofollow = 0400000;

/// Runs calls one after the other.
class alone
{
  public:
    int64_t operator()(verb what, const std::string &path, const std::string &second = "",
                       unsigned flags = 0)
    {
        const call made = {what, process, path, second, flags, 0};
        operation running(made, {}, false);

        while (!running.finished())
            if (!running.step(tree, {}))
                ADD_FAILURE() << "blocked, and nobody else is there";
        found = running.found();
        return running.result().number;
    }

    file_tree tree;
    int process = 0;
    int found = -1; ///< by the last call
};

// --- One call after the other -----------------------------------------------------------------

TEST(ScenarioOracle, MakesAndRemovesNames)
{
    alone run;

    EXPECT_EQ(run(verb::mkdir, "/d"), 0);
    EXPECT_EQ(run(verb::create, "/d/f"), 0);
    EXPECT_EQ(run(verb::create, "/d/f"), -EEXIST);
    EXPECT_EQ(run(verb::stat, "/d/f"), 0);
    EXPECT_EQ(run(verb::readdir, "/d"), 1);
    EXPECT_EQ(run(verb::rmdir, "/d"), -ENOTEMPTY);
    EXPECT_EQ(run(verb::unlink, "/d/f"), 0);
    EXPECT_EQ(run(verb::unlink, "/d/f"), -ENOENT);
    EXPECT_EQ(run(verb::rmdir, "/d"), 0);
    EXPECT_EQ(run(verb::stat, "/d"), -ENOENT);
}

TEST(ScenarioOracle, RefusesWhatLinuxRefuses)
{
    alone run;

    run(verb::mkdir, "/d");
    run(verb::create, "/f");
    EXPECT_EQ(run(verb::stat, ""), -ENOENT);
    EXPECT_EQ(run(verb::stat, "/f/x"), -ENOTDIR);
    EXPECT_EQ(run(verb::stat, "/f/"), -ENOTDIR);
    EXPECT_EQ(run(verb::unlink, "/d"), -EISDIR);
    EXPECT_EQ(run(verb::rmdir, "/f"), -ENOTDIR);
    EXPECT_EQ(run(verb::unlink, "/f/"), -ENOTDIR);
    EXPECT_EQ(run(verb::rmdir, "/d/."), -EINVAL);
    EXPECT_EQ(run(verb::rmdir, "/d/.."), -ENOTEMPTY);
    EXPECT_EQ(run(verb::rmdir, "/"), -EBUSY);
    EXPECT_EQ(run(verb::mkdir, "/d/.."), -EEXIST);
    EXPECT_EQ(run(verb::create, "/x/"), -ENOENT);
    EXPECT_EQ(run(verb::mkdir, "/x/"), 0);
    EXPECT_EQ(run(verb::create, "/" + std::string(256, 'n')), -ENAMETOOLONG);
    EXPECT_EQ(run(verb::create, "/" + std::string(255, 'n')), 0);
    EXPECT_EQ(run(verb::readlink, "/f"), -EINVAL);
    EXPECT_EQ(run(verb::readdir, "/f"), -ENOTDIR);
    EXPECT_EQ(run(verb::chdir, "/f"), -ENOTDIR);
    EXPECT_EQ(run(verb::symlink, "/s"), -ENOENT);
}

TEST(ScenarioOracle, RefusesArgumentsBeforeItLooksAtThePath)
{
    const std::string too_long(4096, 'n');
    alone run;

    run(verb::create, "/f");
    EXPECT_EQ(run(verb::symlink, "/f/x", ""), -ENOENT);
    EXPECT_EQ(run(verb::symlink, "/f/x", too_long), -ENAMETOOLONG);
    EXPECT_EQ(run(verb::symlink, "/s", too_long.substr(1)), 0);
    EXPECT_EQ(run(verb::open, "/none/x", "", o_creat | o_directory), -EINVAL);
    EXPECT_EQ(run(verb::open, "", "", o_creat | o_directory), -EINVAL);
    // The second path only when the first one has been walked.
    EXPECT_EQ(run(verb::rename, "/f/x", too_long), -ENOTDIR);
    EXPECT_EQ(run(verb::rename, "/f", too_long), -ENAMETOOLONG);
    std::string path;
    while (path.size() < 4095)
        path += "./";
    EXPECT_EQ(run(verb::stat, path), -ENAMETOOLONG);
    EXPECT_EQ(run(verb::stat, path.substr(1)), 0);
}

TEST(ScenarioOracle, FileSystemsRefuseLongNamesWhereverTheyAreAsked)
{
    const std::string too_long = "/" + std::string(256, 'n');
    alone run;

    run(verb::create, "/f");
    EXPECT_EQ(run(verb::rename, too_long, "/x"), -ENAMETOOLONG);
    EXPECT_EQ(run(verb::rename, "/f", too_long), -ENAMETOOLONG);
    EXPECT_EQ(run(verb::exchange, "/f", too_long), -ENAMETOOLONG);
    EXPECT_EQ(run(verb::unlink, too_long), -ENAMETOOLONG);
    EXPECT_EQ(run(verb::link, "/f", too_long), -ENAMETOOLONG);
    EXPECT_EQ(run(verb::open, too_long, "", o_creat), -ENAMETOOLONG);
}

TEST(ScenarioOracle, RenamesByTheRules)
{
    alone run;

    for (const char *path : {"/a", "/a/b", "/c", "/full", "/full/x"})
        run(verb::mkdir, path);
    run(verb::create, "/f");
    run(verb::create, "/g");
    run(verb::link, "/f", "/h");
    EXPECT_EQ(run(verb::rename, "/a", "/a/b/x"), -EINVAL);
    EXPECT_EQ(run(verb::rename, "/a/b", "/a"), -ENOTEMPTY);
    EXPECT_EQ(run(verb::exchange, "/a/b", "/a"), -EINVAL);
    EXPECT_EQ(run(verb::rename, "/c", "/f"), -ENOTDIR);
    EXPECT_EQ(run(verb::rename, "/f", "/c"), -EISDIR);
    EXPECT_EQ(run(verb::rename, "/c", "/full"), -ENOTEMPTY);
    EXPECT_EQ(run(verb::rename, "/none", "/x"), -ENOENT);
    EXPECT_EQ(run(verb::exchange, "/f", "/none"), -ENOENT);
    EXPECT_EQ(run(verb::rename, "/f", "/x/"), -ENOTDIR);
    EXPECT_EQ(run(verb::rename, "/a/.", "/x"), -EBUSY);
    // Two names of one file: nothing happens.
    EXPECT_EQ(run(verb::rename, "/f", "/h"), 0);
    EXPECT_EQ(run(verb::stat, "/f"), 0);
    EXPECT_EQ(run(verb::rename, "/f", "/g"), 0);
    EXPECT_EQ(run(verb::stat, "/f"), -ENOENT);
    EXPECT_EQ(run(verb::rename, "/a", "/c"), 0);
    EXPECT_EQ(run(verb::stat, "/c/b/.."), 0);
    const int moved = run.found;
    EXPECT_EQ(run(verb::stat, "/c"), 0);
    EXPECT_EQ(run.found, moved);
    EXPECT_EQ(run(verb::exchange, "/c/b", "/g"), 0);
    EXPECT_EQ(run(verb::stat, "/g/.."), 0);
    EXPECT_EQ(run(verb::stat, "/c/b/"), -ENOTDIR);
}

TEST(ScenarioOracle, FollowsLinks)
{
    alone run;

    run(verb::mkdir, "/d");
    run(verb::create, "/d/f");
    run(verb::symlink, "/s", "d");
    run(verb::symlink, "/d/up", "../d/f");
    run(verb::symlink, "/loop", "loop");
    run(verb::symlink, "/new", "/d/made");
    EXPECT_EQ(run(verb::readlink, "/d/up"), 6);
    EXPECT_EQ(run(verb::stat, "/s/up"), 0);
    const int file = run.found;
    EXPECT_EQ(run(verb::stat, "/d/f"), 0);
    EXPECT_EQ(run.found, file);
    EXPECT_EQ(run(verb::lstat, "/s"), 0);
    EXPECT_FALSE(run.tree.is_directory(run.found));
    EXPECT_EQ(run(verb::lstat, "/s/"), 0);
    EXPECT_TRUE(run.tree.is_directory(run.found));
    EXPECT_EQ(run(verb::stat, "/loop"), -ELOOP);
    EXPECT_EQ(run(verb::open, "/s", "", o_nofollow), -ELOOP);
    EXPECT_EQ(run(verb::open, "/new"), -ENOENT);
    EXPECT_EQ(run(verb::open, "/new", "", o_creat | o_excl), -EEXIST);
    EXPECT_EQ(run(verb::open, "/new", "", o_creat), 0);
    EXPECT_EQ(run(verb::stat, "/d/made"), 0);
}

TEST(ScenarioOracle, FollowsFortyLinksAndNoMore)
{
    alone run;
    std::string before = "target";

    run(verb::create, "/target");
    for (int i = 1; i <= 41; i++) {
        const std::string name = "s" + std::to_string(i);
        run(verb::symlink, "/" + name, before);
        before = name;
    }
    EXPECT_EQ(run(verb::stat, "/s40"), 0);
    EXPECT_EQ(run(verb::stat, "/s41"), -ELOOP);
}

TEST(ScenarioOracle, OpensAndCreates)
{
    alone run;

    run(verb::mkdir, "/d");
    EXPECT_EQ(run(verb::open, "/f"), -ENOENT);
    EXPECT_EQ(run(verb::open, "/f", "", o_creat | o_excl), 0);
    EXPECT_EQ(run(verb::open, "/f", "", o_creat | o_excl), -EEXIST);
    EXPECT_EQ(run(verb::open, "/f", "", o_creat), 0);
    EXPECT_EQ(run(verb::open, "/f", "", o_directory), -ENOTDIR);
    EXPECT_EQ(run(verb::open, "/d", "", o_wronly), -EISDIR);
    EXPECT_EQ(run(verb::open, "/d", "", o_creat), -EISDIR);
    EXPECT_EQ(run(verb::open, "/x/", "", o_creat), -EISDIR);
    EXPECT_EQ(run(verb::open, "/d", "", o_directory), 0);
    EXPECT_EQ(run(verb::open, "/y", "", o_creat | o_directory), -EINVAL);
}

TEST(ScenarioOracle, NothingIsMadeInARemovedDirectory)
{
    alone run;

    run(verb::mkdir, "/a");
    run(verb::mkdir, "/a/d");
    EXPECT_EQ(run(verb::chdir, "/a/d"), 0);
    EXPECT_EQ(run(verb::rmdir, "/a/d"), 0);
    EXPECT_EQ(run(verb::create, "f"), -ENOENT);
    EXPECT_EQ(run(verb::stat, "."), 0);
    EXPECT_EQ(run(verb::readdir, "."), -ENOENT);
    EXPECT_EQ(run(verb::open, "f", "", o_creat), -ENOENT);
    // ".." is where it was.
    EXPECT_EQ(run(verb::create, "../f"), 0);
    EXPECT_EQ(run(verb::stat, "/a/f"), 0);
}

TEST(ScenarioOracle, TheRootOfAProcessHasNothingAbove)
{
    alone run;

    run(verb::mkdir, "/jail");
    run(verb::create, "/f");
    EXPECT_EQ(run(verb::chroot, "/jail"), 0);
    EXPECT_EQ(run(verb::stat, "/../f"), -ENOENT);
    // Who stands outside of it walks where he likes.
    EXPECT_EQ(run(verb::stat, "f"), 0);
}

TEST(ScenarioOracle, MountsCoverAndUncover)
{
    alone run;

    run(verb::mkdir, "/m");
    run(verb::create, "/m/covered");
    EXPECT_EQ(run(verb::mount, "/m"), 0);
    EXPECT_EQ(run(verb::stat, "/m/covered"), -ENOENT);
    EXPECT_EQ(run(verb::create, "/m/f"), 0);
    EXPECT_EQ(run(verb::stat, "/m/../m/f"), 0);
    EXPECT_EQ(run(verb::rmdir, "/m"), -EBUSY);
    EXPECT_EQ(run(verb::rename, "/m", "/n"), -EBUSY);
    EXPECT_EQ(run(verb::link, "/m/f", "/f"), -EXDEV);
    EXPECT_EQ(run(verb::umount_path, "/m/f"), -EINVAL);
    EXPECT_EQ(run(verb::umount_path, "/"), -EINVAL);
    EXPECT_EQ(run(verb::chdir, "/m"), 0);
    EXPECT_EQ(run(verb::umount_path, "/m"), -EBUSY);
    EXPECT_EQ(run(verb::umount_path, "/m", "", detach_flag), 0);
    EXPECT_EQ(run(verb::stat, "f"), 0);
    EXPECT_EQ(run(verb::stat, "../f"), 0);
    // Nothing is mounted any more in what is detached.
    EXPECT_EQ(run(verb::mkdir, "d"), 0);
    EXPECT_EQ(run(verb::mount, "d"), -ENOENT);
    EXPECT_EQ(run(verb::stat, "/m/covered"), 0);
}

// A path begins below what is mounted on the root; ".." is a step, and leads onto it.
TEST(ScenarioOracle, DotDotInTheRootCrossesWhatIsMountedOnIt)
{
    alone run;

    run(verb::create, "/below");
    EXPECT_EQ(run(verb::mount, "/"), 0);
    EXPECT_EQ(run(verb::stat, "/below"), 0);
    EXPECT_EQ(run(verb::stat, "/./below"), 0);
    EXPECT_EQ(run(verb::stat, "/../below"), -ENOENT);
    EXPECT_EQ(run(verb::create, "/../above"), 0);
    EXPECT_EQ(run(verb::stat, "/../above"), 0);
    // umount() looks for what is mounted at the end of its path.
    EXPECT_EQ(run(verb::umount_path, "/."), 0);
    EXPECT_EQ(run(verb::stat, "/../below"), 0);
    EXPECT_EQ(run(verb::umount_path, "/"), -EINVAL);
}

TEST(ScenarioOracle, AnOpenFileKeepsAMountBusy)
{
    alone run;

    run(verb::mkdir, "/m");
    run(verb::mount, "/m");
    EXPECT_EQ(run(verb::open, "/m/f", "", o_creat), 0);
    EXPECT_EQ(run(verb::umount_path, "/m"), -EBUSY);
    EXPECT_EQ(run(verb::close, ""), 0);
    EXPECT_EQ(run(verb::umount_path, "/m"), 0);
}

TEST(ScenarioOracle, CarriesOutWhatCanHaveCome)
{
    file_tree tree;
    const call made = {verb::mkdir, 0, "/d", "", 0, -1};

    EXPECT_TRUE(carry_out(tree, made, {0, 0}));
    EXPECT_FALSE(carry_out(tree, made, {0, 0}));
    EXPECT_TRUE(carry_out(tree, made, {-EEXIST, 0}));
}

// --- Histories --------------------------------------------------------------------------------

/// Calls that all overlap unless they are told otherwise, on a disk with /a/f and /b.
class ScenarioHistory : public ::testing::Test
{
  protected:
    ScenarioHistory()
        : tree(disk_listing{1,
                            {{1, "a", 2, file_kind::directory, 2, ""},
                             {1, "b", 3, file_kind::directory, 2, ""},
                             {2, "f", 4, file_kind::file, 1, ""}}})
    {
        for (int i = 0; i < 3; i++)
            tree.add_process();
    }

    void add(int process, verb what, const std::string &path, const std::string &second,
             answer result, uint64_t begin = 1, uint64_t end = 100)
    {
        calls.push_back({what, process, path, second, 0, 0});
        events.push_back({&calls.back(), result, begin, end});
    }
    bool explained(const std::vector<disk_listing> *disks = nullptr)
    {
        return is_explained(tree, events, disks);
    }

    file_tree tree;
    std::deque<call> calls;
    std::vector<event> events;
};

TEST_F(ScenarioHistory, EitherOrderOfTwoIsAccepted)
{
    add(1, verb::unlink, "/a/f", "", {0, 0});
    add(2, verb::stat, "/a/f", "", {0, 4});
    EXPECT_TRUE(explained());
    events[1].result = {-ENOENT, 0};
    EXPECT_TRUE(explained());
}

TEST_F(ScenarioHistory, WrongErrnoIsNot)
{
    add(1, verb::unlink, "/a/f", "", {0, 0});
    add(2, verb::stat, "/a/f", "", {-ENOTDIR, 0});
    EXPECT_FALSE(explained());
}

TEST_F(ScenarioHistory, WrongFileIsNot)
{
    add(1, verb::unlink, "/a/f", "", {0, 0});
    add(2, verb::stat, "/a/f", "", {0, 3});
    EXPECT_FALSE(explained());
}

TEST_F(ScenarioHistory, WhatEndedBeforeComesBefore)
{
    add(1, verb::unlink, "/a/f", "", {0, 0}, 1, 10);
    add(2, verb::stat, "/a/f", "", {0, 4}, 20, 30);
    EXPECT_FALSE(explained());
    events[1].begin = 5;
    EXPECT_TRUE(explained());
}

TEST_F(ScenarioHistory, BothCannotRemoveOneName)
{
    add(1, verb::unlink, "/a/f", "", {0, 0});
    add(2, verb::unlink, "/a/f", "", {0, 0});
    EXPECT_FALSE(explained());
    events[1].result.number = -ENOENT;
    EXPECT_TRUE(explained());
}

TEST_F(ScenarioHistory, AWalkIsOneStepAComponent)
{
    // At no single moment there is a /a/b/f: the walk has passed /a before it is moved.
    add(1, verb::rename, "/a", "/z", {0, 0}, 1, 10);
    add(1, verb::rename, "/b", "/z/b", {0, 0}, 11, 20);
    add(1, verb::create, "/z/b/f", "", {0, 0}, 21, 30);
    add(2, verb::stat, "/a/b/f", "", {0, 5});
    EXPECT_TRUE(explained());
    events[3].begin = 12;
    EXPECT_FALSE(explained());
}

TEST_F(ScenarioHistory, ADirectoryDiesBeforeItsNameGoes)
{
    // Nothing can be made in it any more, and still it is found: so it is in Linux.
    add(1, verb::rmdir, "/b", "", {0, 0});
    add(2, verb::create, "/b/x", "", {-ENOENT, 0}, 2, 10);
    add(2, verb::stat, "/b", "", {0, 3}, 11, 20);
    EXPECT_TRUE(explained());
    // But not the other way round.
    events[1].result = {0, 0};
    EXPECT_FALSE(explained());
}

TEST_F(ScenarioHistory, CreatedFileIsOneFile)
{
    add(1, verb::open, "/n", "", {0, 7});
    add(2, verb::open, "/n", "", {0, 7});
    calls[0].flags = calls[1].flags = o_creat;
    EXPECT_TRUE(explained());
    events[1].result.inode = 8;
    EXPECT_FALSE(explained());
    events[1].result.inode = 7;
    calls[0].flags = calls[1].flags = o_creat | o_excl;
    EXPECT_FALSE(explained());
}

TEST_F(ScenarioHistory, LoopOfTwoRenamesIsNot)
{
    add(1, verb::rename, "/a", "/b/a", {0, 0});
    add(2, verb::rename, "/b", "/a/b", {0, 0});
    EXPECT_FALSE(explained());
    // B's walk passed /a while it was there; what it wanted to move turned out to be above it.
    events[1].result.number = -EINVAL;
    EXPECT_TRUE(explained());
    events[1].begin = 200;
    events[1].end = 300;
    EXPECT_FALSE(explained());
    events[1].result.number = -ENOENT;
    EXPECT_TRUE(explained());
}

TEST_F(ScenarioHistory, TheEndMustBeOneThatComesOfIt)
{
    std::vector<disk_listing> disks = {{1,
                                        {{1, "b", 3, file_kind::directory, 2, ""},
                                         {1, "z", 2, file_kind::directory, 2, ""},
                                         {2, "f", 4, file_kind::file, 1, ""}}}};

    add(1, verb::rename, "/a", "/z", {0, 0});
    EXPECT_TRUE(explained(&disks));
    disks[0].names[2].links = 2;
    EXPECT_FALSE(explained(&disks));
    disks[0].names[2].links = 1;
    disks[0].names[2].directory = 3;
    EXPECT_FALSE(explained(&disks));
    disks[0].names.pop_back();
    EXPECT_FALSE(explained(&disks));
}

TEST_F(ScenarioHistory, BusyUmountNeedsSomebodyElse)
{
    add(1, verb::mkdir, "/m", "", {0, 0}, 1, 2);
    add(1, verb::mount, "/m", "", {0, 1000}, 3, 4);
    add(1, verb::umount_path, "/m", "", {-EBUSY, 0}, 5, 10);
    EXPECT_FALSE(explained());
    add(2, verb::stat, "/m", "", {0, 1000}, 6, 9);
    EXPECT_TRUE(explained());
}

TEST_F(ScenarioHistory, UmountedTwiceAtOnceIsUmounted)
{
    add(1, verb::mount, "/a", "", {0, 1000}, 1, 2);
    add(1, verb::umount_path, "/a", "", {0, 0}, 3, 10);
    add(2, verb::umount_path, "/a", "", {0, 0}, 4, 9);
    // Each is in the way of the other, unless one does not mind.
    EXPECT_FALSE(explained());
    calls[2].flags = detach_flag;
    EXPECT_TRUE(explained());
    events[2].begin = 11;
    events[2].end = 12;
    EXPECT_FALSE(explained());
}

// --- What it is for ---------------------------------------------------------------------------

TEST(ScenarioOracle, KnowsWhatIsBeyondIt)
{
    const auto beyond = [](const std::string &steps, const std::string &more = "") {
        return beyond_the_oracle(parse_scenario(
            "format = 1\ntitle = 'x'\n" + more + "[task.A]\ndo = [" + steps + "]\n", "f"));
    };

    EXPECT_EQ(beyond("\"r = stat('/a')\", \"d = walk('/a')\", 'put(d)'"), "");
    EXPECT_EQ(beyond("\"bind('/a', '/b')\""), "'bind('/a', '/b')' is beyond it");
    EXPECT_EQ(beyond("'umount()'"), "'umount()' is beyond it");
    EXPECT_EQ(beyond("\"open('/a', 'O_PATH')\""),
              "'open('/a', 'O_PATH')' is beyond it: O_PATH and O_TMPFILE are");
    EXPECT_EQ(beyond("\"stat('/a')\"", "[faults]\nallocations = 1\n"), "allocations fail");
    EXPECT_EQ(
        beyond("\"stat('/a')\"", "[tree]\n'/a' = { type = 'file', lookup = { error = 'EIO' } }\n"),
        "->lookup() of '/a' fails");
    EXPECT_EQ(beyond("\"stat('/a')\"",
                     "[tree]\n'/a' = { type = 'directory' }\n'/b' = { same_as = '/a' }\n"),
              "a directory has two names on the disk");
    EXPECT_EQ(beyond("\"chroot('/a')\"", "[task.B]\ndo = [\"stat('/a')\"]\nshares = 'A'\n"),
              "'chroot('/a')' is beyond it: others share that root");
}

} // namespace

} // namespace dcsim::scenario::oracle
