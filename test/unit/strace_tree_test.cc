// SPDX-License-Identifier: GPL-2.0-only
//
// What answers tell about the tree that was there at first.
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "strace_tree.h"

namespace dcsim::cli
{

namespace
{

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;
using ::testing::StartsWith;

/// By path: "d 755", "f 644", "l body", and "!" behind it for what is root's though the program is
/// not.
std::map<std::string, std::string> written(const first_tree &tree)
{
    std::map<std::string, std::string> names;
    std::vector<std::string> paths;

    for (const first_node &node : tree.nodes) {
        const std::string path = paths.empty() ? "" : paths[node.parent] + "/" + node.name;
        char mode[16];
        snprintf(mode, sizeof(mode), "%o", node.mode & 07777);
        paths.push_back(path);
        std::string text = S_ISDIR(node.mode)   ? std::string("d ") + mode
                           : S_ISLNK(node.mode) ? "l " + node.body
                           : S_ISREG(node.mode) ? std::string("f ") + mode
                                                : std::string("o ") + mode;
        if (node.uid != tree.uid)
            text += "!";
        names[path.empty() ? "/" : path] = text;
    }
    return names;
}

first_tree rebuild(const std::string &text)
{
    return rebuild_tree(read_strace(text, 100), tree_request());
}

std::map<std::string, std::string> tree_of(const std::string &text)
{
    return written(rebuild(text));
}

TEST(StraceTree, WhatWasFoundWasThere)
{
    const auto tree = tree_of("openat(AT_FDCWD, \"/etc/passwd\", O_RDONLY) = 3\n"
                              "access(\"/bin/sh\", X_OK) = 0\n"
                              "stat(\"/srv\", {st_mode=S_IFDIR|0711, ...}) = 0\n"
                              "chdir(\"/home\") = 0\n");

    EXPECT_THAT(tree, Contains(Pair("/etc", "d 755")));
    EXPECT_THAT(tree, Contains(Pair("/etc/passwd", "f 644")));
    EXPECT_THAT(tree, Contains(Pair("/bin/sh", "f 755")));
    EXPECT_THAT(tree, Contains(Pair("/srv", "d 711")));
    EXPECT_THAT(tree, Contains(Pair("/home", "d 755")));
}

TEST(StraceTree, WhatWasNotFoundWasNotThere)
{
    EXPECT_THAT(tree_of("access(\"/a/b\", R_OK) = -1 ENOENT (x)\n"), Not(Contains(Key("/a"))));
}

TEST(StraceTree, WhatTheTraceMadeWasNotThere)
{
    const auto tree = tree_of("mkdir(\"/d\", 0777) = 0\n"
                              "open(\"/d/f\", O_RDWR|O_CREAT|O_EXCL, 0666) = 3\n"
                              "open(\"/g\", O_WRONLY|O_CREAT, 0666) = 4\n"
                              "symlink(\"d\", \"/l\") = 0\n"
                              "rename(\"/l\", \"/m\") = 0\n"
                              "stat(\"/m/f\", {st_mode=S_IFREG|0644, ...}) = 0\n"
                              "link(\"/g\", \"/h\") = 0\n"
                              "stat(\"/h\", {st_mode=S_IFREG|0644, ...}) = 0\n");

    for (const char *path : {"/d", "/d/f", "/g", "/h", "/l", "/m"})
        EXPECT_THAT(tree, Not(Contains(Key(path)))) << path;
}

TEST(StraceTree, WhatWasRemovedWasThere)
{
    const auto tree = tree_of("unlink(\"/a\") = 0\n"
                              "rmdir(\"/b\") = 0\n"
                              "rename(\"/c\", \"/d\") = 0\n"
                              "open(\"/d/e\", O_RDONLY) = 3\n"
                              "access(\"/a\", F_OK) = -1 ENOENT (x)\n");

    EXPECT_THAT(tree, Contains(Pair("/a", "f 644")));
    EXPECT_THAT(tree, Contains(Pair("/b", "d 755")));
    EXPECT_THAT(tree, Contains(Pair("/c/e", "f 644")));
    EXPECT_THAT(tree, Not(Contains(Key("/d"))));
}

/// An open with O_CREAT makes regular files only.
TEST(StraceTree, OpenedThoughItMightHaveBeenCreated)
{
    const first_tree tree = rebuild("open(\"/dev/null\", O_WRONLY|O_CREAT, 0666) = 3\n"
                                    "fstat(3, {st_mode=S_IFCHR|0666, ...}) = 0\n"
                                    "newfstatat(3, \"\", {st_mode=S_IFCHR|0666, ...}, "
                                    "AT_EMPTY_PATH) = 0\n");

    EXPECT_EQ(tree.rounds, 1u);
    EXPECT_THAT(written(tree), Contains(Pair("/dev/null", "o 666")));
}

TEST(StraceTree, FailuresThatTell)
{
    const auto tree = tree_of("mkdir(\"/a\", 0777) = -1 EEXIST (x)\n"
                              "open(\"/b/\", O_RDONLY) = -1 ENOTDIR (x)\n"
                              "open(\"/c/d/e\", O_RDONLY) = -1 ENOTDIR (x)\n"
                              "open(\"/f\", O_WRONLY) = -1 EISDIR (x)\n"
                              "rmdir(\"/g\") = -1 ENOTEMPTY (x)\n"
                              "readlink(\"/h\", 0x7f, 100) = -1 EINVAL (x)\n"
                              "open(\"/i\", O_RDONLY) = -1 ELOOP (x)\n"
                              "chdir(\"/j\") = -1 ENOTDIR (x)\n");

    EXPECT_THAT(tree, Contains(Key("/a")));
    EXPECT_THAT(tree, Contains(Pair("/b", StartsWith("f"))));
    EXPECT_THAT(tree, Contains(Pair("/c/d", StartsWith("f"))));
    EXPECT_THAT(tree, Contains(Pair("/f", "d 755")));
    EXPECT_THAT(tree, Contains(Pair("/g/.unseen", StartsWith("f"))));
    EXPECT_THAT(tree, Contains(Pair("/h", StartsWith("f"))));
    EXPECT_THAT(tree, Contains(Pair("/i", "l /i")));
    EXPECT_THAT(tree, Contains(Pair("/j", StartsWith("f"))));
}

/// What a walk came through before it found nothing was a directory.
TEST(StraceTree, DirectoriesOnTheWayToNothing)
{
    EXPECT_THAT(tree_of("access(\"/a\", F_OK) = 0\naccess(\"/a/b\", F_OK) = -1 ENOENT (x)\n"),
                Contains(Pair("/a", "d 755")));
    EXPECT_THAT(tree_of("access(\"/a\", F_OK) = 0\n"), Contains(Pair("/a", "f 644")));
}

/// A link that is read late was there from the start.
TEST(StraceTree, LinksThatWereRead)
{
    const first_tree tree = rebuild("open(\"/lib/x/y\", O_RDONLY) = 3\n"
                                    "readlink(\"/lib\", \"usr/lib\", 100) = 7\n"
                                    "readlink(\"/lib/x\", 0x7f, 100) = -1 EINVAL (x)\n");

    EXPECT_THAT(written(tree), Contains(Pair("/lib", "l usr/lib")));
    EXPECT_THAT(written(tree), Contains(Pair("/usr/lib/x/y", "f 644")));
    EXPECT_EQ(tree.links_made_up, 0u);
    EXPECT_EQ(tree.rounds, 1u);
}

TEST(StraceTree, LinksThatWereCut)
{
    const auto tree = tree_of("readlink(\"/l\", \"abc\"..., 100) = 5\n"
                              "access(\"/l\", F_OK) = 0\n");

    EXPECT_THAT(tree, Contains(Pair("/l", "l abc??")));
    EXPECT_THAT(tree, Contains(Key("/abc??")));
}

TEST(StraceTree, LinksThatOnlyStatSaw)
{
    const auto tree = tree_of("lstat(\"/l\", {st_mode=S_IFLNK|0777, ...}) = 0\n"
                              "stat(\"/l\", {st_mode=S_IFDIR|0755, ...}) = 0\n"
                              "lstat(\"/m\", {st_mode=S_IFLNK|0777, ...}) = 0\n"
                              "stat(\"/m\", 0x7f) = -1 ENOENT (x)\n");

    EXPECT_THAT(tree, Contains(Pair("/l", "l /.unseen/l")));
    EXPECT_THAT(tree, Contains(Pair("/.unseen/l", "d 755")));
    EXPECT_THAT(tree, Contains(Pair("/m", "l /.unseen/m")));
    EXPECT_THAT(tree, Not(Contains(Key("/.unseen/m"))));
}

/// -y tells where an open arrived.
TEST(StraceTree, LinksConcluded)
{
    const first_tree tree =
        rebuild("openat(AT_FDCWD</w>, \"/lib/a/libc.so\", O_RDONLY) = 3</usr/lib/a/libc.so>\n"
                "openat(AT_FDCWD</w>, \"/lib/a/libz.so\", O_RDONLY) = 4</usr/lib/a/libz.so.1>\n"
                "openat(AT_FDCWD</w>, \"/etc/x\", O_RDONLY) = 5</etc/x>\n"
                "openat(AT_FDCWD</w>, \"/etc/y\", O_RDONLY) = 5</var/y>\n");
    const auto names = written(tree);

    EXPECT_THAT(names, Contains(Pair("/lib", "l /usr/lib")));
    EXPECT_THAT(names, Contains(Pair("/usr/lib/a/libz.so", "l /usr/lib/a/libz.so.1")));
    EXPECT_THAT(names, Contains(Pair("/etc/y", "l /var/y")));
    EXPECT_THAT(names, Contains(Pair("/etc", "d 755")));
    EXPECT_EQ(tree.links_made_up, 3u);
    EXPECT_EQ(tree.working_directory, "/w");
    EXPECT_TRUE(tree.working_directory_known);
}

/// A conclusion gives way to knowledge.
TEST(StraceTree, ConclusionsAreTakenBack)
{
    const auto tree = tree_of("openat(AT_FDCWD</w>, \"/a/b/c\", O_RDONLY) = 3</d/b/c>\n"
                              "readlink(\"/a\", 0x7f, 100) = -1 EINVAL (x)\n");

    EXPECT_THAT(tree, Contains(Pair("/a", StartsWith("d"))));
    EXPECT_THAT(tree, Contains(Pair("/a/b", "l /d/b")));
}

TEST(StraceTree, ProcessesHaveTheirOwnDirectories)
{
    const auto tree = tree_of("1 chdir(\"/a\") = 0\n"
                              "1 fork() = 2\n"
                              "1 chdir(\"/b\") = 0\n"
                              "2 open(\"f\", O_RDONLY) = 3\n"
                              "1 open(\"g\", O_RDONLY) = 3\n"
                              "1 fchdir(3) = -1 ENOTDIR (x)\n"
                              "2 open(\"/c\", O_RDONLY|O_DIRECTORY) = 5\n"
                              "2 dup2(5, 7) = 7\n"
                              "2 openat(7, \"h\", O_RDONLY) = 6\n");

    EXPECT_THAT(tree, Contains(Key("/a/f")));
    EXPECT_THAT(tree, Contains(Key("/b/g")));
    EXPECT_THAT(tree, Contains(Key("/c/h")));
}

/// Lines of the calls in the order of the rebuilt tree.
std::vector<uint64_t> order(const std::string &text)
{
    const strace_trace trace = read_strace(text, 100);
    const first_tree tree = rebuild_tree(trace, tree_request());
    std::vector<uint64_t> lines;

    for (const trace_event &event : tree.events)
        if (event.kind == trace_event_kind::call)
            lines.push_back(trace.operations[event.operation].line);
    return lines;
}

TEST(StraceTree, OverlappingCallsThatTheWinnerEndsLater)
{
    EXPECT_THAT(order("1 access(\"/f\", F_OK) = 0\n"
                      "2 unlink(\"/f\" <unfinished ...>\n"
                      "1 access(\"/f\", F_OK) = 0\n"
                      "1 access(\"/f\", F_OK) = -1 ENOENT (x)\n"
                      "2 <... unlink resumed>) = 0\n"),
                ElementsAre(1, 3, 5, 4));
    EXPECT_THAT(order("1 mkdir(\"/w\", 0777) = 0\n"
                      "1 mkdir(\"/w/d\", 0777) = 0\n"
                      "2 rename(\"/w/d\", \"/w/e\" <unfinished ...>\n"
                      "1 rmdir(\"/w/e\") = 0\n"
                      "2 <... rename resumed>) = 0\n"),
                ElementsAre(1, 2, 5, 4));
}

TEST(StraceTree, CallsThatDidNotOverlapKeepTheirOrder)
{
    EXPECT_THAT(order("1 access(\"/f\", F_OK) = 0\n"
                      "1 access(\"/f\", F_OK) = -1 ENOENT (x)\n"
                      "2 unlink(\"/f\") = 0\n"),
                ElementsAre(1, 2, 3));
    EXPECT_THAT(order("1 access(\"/f\", F_OK) = 0\n"
                      "2 unlink(\"/g\" <unfinished ...>\n"
                      "1 access(\"/f\", F_OK) = -1 ENOENT (x)\n"
                      "2 <... unlink resumed>) = 0\n"),
                ElementsAre(1, 3, 4));
}

TEST(StraceTree, ProgramsThatWereRefused)
{
    const first_tree tree = rebuild("mkdir(\"/usr/x\", 0777) = -1 EACCES (x)\n"
                                    "open(\"/etc/a\", O_RDONLY) = 3\n"
                                    "open(\"/etc/shadow\", O_RDONLY) = -1 EACCES (x)\n"
                                    "stat(\"/root/x\", 0x7f) = -1 EACCES (x)\n"
                                    "access(\"/etc/a\", X_OK) = -1 EACCES (x)\n");
    const auto names = written(tree);

    EXPECT_EQ(tree.uid, 1000u);
    EXPECT_THAT(names, Contains(Pair("/usr", "d 755!")));
    EXPECT_THAT(names, Contains(Pair("/etc/shadow", "f 600!")));
    EXPECT_THAT(names, Contains(Pair("/root", "d 700!")));
    EXPECT_THAT(names, Contains(Pair("/etc/a", "f 644")));
    EXPECT_EQ(rebuild("access(\"/etc/a\", X_OK) = -1 EACCES (x)\n").uid, 0u);
    EXPECT_EQ(rebuild("chdir(\"/\") = 0\n--- SIGCHLD {si_uid=7} ---\n").uid, 7u);
}

TEST(StraceTree, WhatCannotBeReplayed)
{
    const auto reason = [](const std::string &text) {
        const first_tree tree = rebuild(text);
        return std::string(tree.skipped.back() ? tree.skipped.back() : "");
    };

    EXPECT_THAT(reason("open(\"/proc/self/maps\", O_RDONLY) = 3\n"), HasSubstr("/proc"));
    EXPECT_THAT(reason("chdir(\"/proc\") = 0\nopen(\"1/maps\", O_RDONLY) = 3\n"),
                HasSubstr("/proc"));
    EXPECT_EQ(reason("stat(\"/proc\", {st_mode=S_IFDIR|0555, ...}) = 0\n"), "");
    EXPECT_THAT(reason("symlink(\"/proc/self\", \"/s\") = 0\nopen(\"/s/maps\", O_RDONLY) = 3\n"),
                HasSubstr("/proc"));
    EXPECT_THAT(reason("openat(9, \"x\", O_RDONLY) = 3\n"), HasSubstr("record with -y"));
    EXPECT_EQ(reason("openat(9, \"x\", O_RDONLY) = -1 EBADF (x)\n"), "");
    EXPECT_EQ(reason("openat(9, \"/x\", O_RDONLY) = 3\n"), "");
    EXPECT_EQ(reason("openat(9</d>, \"x\", O_RDONLY) = 3\n"), "");
    EXPECT_THAT(
        reason("newfstatat(9<pipe:[1]>, \"\", {st_mode=S_IFIFO|0600}, AT_EMPTY_PATH) = 0\n"),
        HasSubstr("pipe"));
}

class a_directory : public ::testing::Test
{
  protected:
    void SetUp() override
    {
        char name[] = "/tmp/strace_tree_XXXXXX";
        ASSERT_NE(mkdtemp(name), nullptr);
        directory_ = name;
        ASSERT_EQ(mkdir((directory_ + "/d").c_str(), 0711), 0);
        ASSERT_EQ(symlink("d", (directory_ + "/l").c_str()), 0);
        ASSERT_EQ(mkdir((directory_ + "/d/e").c_str(), 0755), 0);
    }
    void TearDown() override
    {
        rmdir((directory_ + "/d/e").c_str());
        rmdir((directory_ + "/d").c_str());
        unlink((directory_ + "/l").c_str());
        rmdir(directory_.c_str());
    }
    first_tree tree_from(tree_source source, const std::string &text)
    {
        tree_request request;
        request.source = source;
        if (source == tree_source::imported)
            request.directories.push_back(directory_);
        return rebuild_tree(read_strace(text, 100), request);
    }

    std::string directory_;
};

TEST_F(a_directory, OfTheMachineAsFarAsTheTraceLooks)
{
    const auto names =
        written(tree_from(tree_source::machine, "access(\"" + directory_ + "/l/x\", F_OK) = 0\n"));

    EXPECT_THAT(names, Contains(Pair(directory_ + "/l", StartsWith("l d"))));
    EXPECT_THAT(names, Contains(Pair(directory_ + "/d", StartsWith("d 711"))));
    EXPECT_THAT(names, Not(Contains(Key(directory_ + "/d/e"))));
    EXPECT_THAT(names, Not(Contains(Key(directory_ + "/d/x"))));
}

TEST_F(a_directory, Imported)
{
    const first_tree tree =
        tree_from(tree_source::imported, "access(\"" + directory_ +
                                             "/x\", F_OK) = 0\n"
                                             "access(\"/etc/passwd\", F_OK) = 0\n");

    EXPECT_THAT(written(tree), Contains(Key(directory_ + "/d/e")));
    EXPECT_THAT(written(tree), Not(Contains(Key("/etc"))));
    EXPECT_EQ(tree.skipped.at(0), nullptr);
    EXPECT_THAT(tree.skipped.at(1), HasSubstr("outside of the imported"));
}

} // namespace

} // namespace dcsim::cli
