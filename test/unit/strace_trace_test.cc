// SPDX-License-Identifier: GPL-2.0-only
//
// What calls mean, and whose they are.
#include <cerrno>
#include <string>
#include <vector>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "strace_trace.h"

namespace dcsim::cli
{

namespace
{

using ::testing::ElementsAre;
using ::testing::HasSubstr;

strace_trace read(const std::string &text)
{
    return read_strace(text, 100);
}

traced_operation only(const std::string &text)
{
    const strace_trace trace = read(text);

    EXPECT_EQ(trace.operations.size(), 1u) << text;
    return trace.operations.at(0);
}

/// "0<0" a process that comes from nowhere, "1<0" a copy, "1<0+" sharing both, "0:3" a call at line
/// 3, "1!" an end.
std::vector<std::string> events(const std::string &text)
{
    const strace_trace trace = read(text);
    std::vector<std::string> list;

    for (const trace_event &event : trace.events) {
        std::string one = std::to_string(event.process);
        if (event.kind == trace_event_kind::start)
            one += "<" + std::to_string(event.parent) + (event.share_files ? "+" : "");
        else if (event.kind == trace_event_kind::call)
            one += ":" + std::to_string(trace.operations[event.operation].line);
        else
            one += "!";
        list.push_back(one);
    }
    return list;
}

TEST(StraceOperation, Open)
{
    const traced_operation open =
        only("openat(5</d>, \"f\", O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC, 0640) = 6</d/f>");

    EXPECT_EQ(open.kind, path_operation::open);
    EXPECT_EQ(open.at.descriptor, 5);
    EXPECT_EQ(open.at.place, "/d");
    EXPECT_EQ(open.at.name, "f");
    EXPECT_EQ(open.flags, unsigned{O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC});
    EXPECT_EQ(open.mode, 0640u);
    EXPECT_EQ(open.value, 6);
    EXPECT_EQ(open.place, "/d/f");
    EXPECT_TRUE(open.succeeded());
    EXPECT_EQ(open.skipped, nullptr);
}

TEST(StraceOperation, OtherOpens)
{
    EXPECT_EQ(only("open(\"f\", O_RDONLY) = 3").at.descriptor, at_working_directory);
    EXPECT_EQ(only("creat(\"f\", 0644) = 3").flags, unsigned{O_CREAT | O_WRONLY | O_TRUNC});
    EXPECT_EQ(only("creat(\"f\", 0644) = 3").mode, 0644u);
    const traced_operation how =
        only("openat2(AT_FDCWD, \"f\", {flags=O_RDONLY|O_DIRECTORY, resolve=RESOLVE_BENEATH|"
             "RESOLVE_CACHED}, 24) = -1 EAGAIN (x)");
    EXPECT_EQ(how.flags, unsigned{O_DIRECTORY});
    EXPECT_EQ(how.resolve, 0x28u);
    EXPECT_FALSE(only("open(\"f\", O_RDONLY|O_NOFOLLOW) = 3").follow);
    EXPECT_EQ(only("openat(-100, \"f\", 0x80000) = 3").flags, unsigned{O_CLOEXEC});
}

TEST(StraceOperation, Attributes)
{
    const traced_operation one =
        only("newfstatat(AT_FDCWD, \"d\", {st_mode=S_IFDIR|S_ISVTX|0777, st_size=3, ...}, "
             "AT_SYMLINK_NOFOLLOW) = 0");
    EXPECT_EQ(one.type, unsigned{S_IFDIR});
    EXPECT_EQ(one.permissions, 01777u);
    EXPECT_FALSE(one.follow);

    const traced_operation raw = only("newfstatat(-100, \"d\", {st_mode=0100644}, 0) = 0");
    EXPECT_EQ(raw.type, unsigned{S_IFREG});
    EXPECT_TRUE(raw.follow);
    EXPECT_FALSE(only("lstat(\"d\", 0x7f) = -1 ENOENT (x)").follow);
    EXPECT_FALSE(only("lstat64(\"d\", 0x7f) = -1 ENOENT (x)").follow);
    EXPECT_EQ(only("statx(AT_FDCWD, \"d\", AT_STATX_SYNC_AS_STAT, STATX_MODE, "
                   "{stx_mask=STATX_MODE, stx_mode=S_IFLNK|0777, stx_size=1}) = 0")
                  .type,
              unsigned{S_IFLNK});
}

TEST(StraceOperation, Links)
{
    const traced_operation read = only("readlink(\"l\", \"body\", 4096) = 4");
    EXPECT_EQ(read.text, "body");
    EXPECT_EQ(read.size, 4096);
    EXPECT_FALSE(read.text_cut);
    EXPECT_TRUE(only("readlinkat(3</d>, \"l\", \"bo\"..., 4096) = 4").text_cut);
    EXPECT_EQ(only("readlinkat(3</d>, \"l\", \"bo\"..., 4096) = 4").text, "bo");

    const traced_operation made = only("symlinkat(\"body\", 3</d>, \"l\") = 0");
    EXPECT_EQ(made.at.name, "l");
    EXPECT_EQ(made.at.descriptor, 3);
    EXPECT_EQ(made.to.name, "body");
}

TEST(StraceOperation, TwoPaths)
{
    const traced_operation moved =
        only("renameat2(3</a>, \"x\", 4</b>, \"y\", RENAME_EXCHANGE) = 0");
    EXPECT_EQ(moved.kind, path_operation::rename);
    EXPECT_EQ(moved.at.place + "/" + moved.at.name, "/a/x");
    EXPECT_EQ(moved.to.place + "/" + moved.to.name, "/b/y");
    EXPECT_EQ(moved.flags, 2u);

    EXPECT_FALSE(only("linkat(AT_FDCWD, \"x\", AT_FDCWD, \"y\", 0) = 0").follow);
    EXPECT_TRUE(only("linkat(AT_FDCWD, \"x\", AT_FDCWD, \"y\", AT_SYMLINK_FOLLOW) = 0").follow);
}

TEST(StraceOperation, Removals)
{
    EXPECT_EQ(only("unlinkat(AT_FDCWD, \"d\", AT_REMOVEDIR) = 0").kind, path_operation::rmdir);
    EXPECT_EQ(only("unlinkat(AT_FDCWD, \"f\", 0) = 0").kind, path_operation::unlink);
    EXPECT_EQ(only("rmdir(\"d\") = 0").kind, path_operation::rmdir);
}

TEST(StraceOperation, Owners)
{
    const traced_operation owner =
        only("fchownat(AT_FDCWD, \"f\", 1000, -1, AT_SYMLINK_NOFOLLOW) = 0");
    EXPECT_EQ(owner.mode, 1000u);
    EXPECT_EQ(owner.size, -1);
    EXPECT_FALSE(owner.follow);
    EXPECT_EQ(only("lchown(\"f\", -1, 7) = 0").mode, ~0u);
}

TEST(StraceOperation, WhatOnlyLooksUp)
{
    for (const char *text :
         {"statfs(\"/\", 0x7f) = 0", "utimensat(AT_FDCWD, \"f\", NULL, 0) = 0",
          "getxattr(\"f\", \"user.x\", NULL, 0) = -1 ENODATA (No data available)",
          "inotify_add_watch(3<anon_inode:inotify>, \"/etc\", IN_CREATE) = 1"}) {
        const traced_operation one = only(text);
        EXPECT_EQ(one.kind, path_operation::stat) << text;
        EXPECT_EQ(one.skipped, nullptr) << text;
        EXPECT_TRUE(one.succeeded()) << text;
    }
    EXPECT_FALSE(only("getxattr(\"f\", \"user.x\", NULL, 0) = -1 ENOENT (x)").succeeded());
    EXPECT_FALSE(only("lgetxattr(\"f\", \"user.x\", NULL, 0) = 0").follow);
    const traced_operation program = only("execve(\"/x\", [\"x\"], 0x7f) = -1 ENOEXEC (x)");
    EXPECT_EQ(program.kind, path_operation::execute);
    EXPECT_TRUE(program.succeeded());
}

TEST(StraceOperation, WhyNot)
{
    const auto reason = [](const char *text) {
        const char *skipped = only(text).skipped;
        return std::string(skipped ? skipped : "");
    };

    EXPECT_THAT(reason("read(3, \"x\", 1) = 1"), HasSubstr("no path"));
    EXPECT_THAT(reason("fcntl(3, F_GETFL) = 0"), HasSubstr("no path"));
    EXPECT_EQ(reason("fcntl(3, F_DUPFD_CLOEXEC, 10) = 10"), "");
    EXPECT_EQ(reason("fcntl(3, 0x406, 10) = 10"), "");
    EXPECT_THAT(reason("mount(\"none\", \"/m\", \"tmpfs\", 0, NULL) = 0"), HasSubstr("mounts"));
    EXPECT_THAT(reason("openat(AT_FDCWD, 0x7f00, O_RDONLY) = -1 EFAULT (x)"), HasSubstr("refused"));
    EXPECT_THAT(reason("openat(AT_FDCWD, 0x7f00, O_RDONLY) = 3"), HasSubstr("could not read"));
    EXPECT_THAT(reason("openat(AT_FDCWD, \"/us\"..., O_RDONLY) = 3"), HasSubstr("cut its path"));
    EXPECT_THAT(reason("rename(\"/a\", \"/b\"...) = 0"), HasSubstr("second path"));
    EXPECT_THAT(reason("openat(AT_FDCWD, \"/x\", O_RDONLY) = ? ERESTARTSYS (x)"),
                HasSubstr("no result"));
    EXPECT_THAT(reason("openat(AT_FDCWD, \"/x\", O_RDONLY) = -1 ENOENT (x) (INJECTED)"),
                HasSubstr("made up"));
    EXPECT_THAT(reason("openat(AT_FDCWD, \"/x\", O_WRONLY) = -1 ENOSPC (x)"), HasSubstr("full"));
    EXPECT_THAT(reason("rename(\"/a\", \"/b\") = -1 EXDEV (x)"), HasSubstr("mounts"));
}

TEST(StraceTrace, CountsEveryLine)
{
    const strace_trace trace = read("1 chdir(\"/\" <unfinished ...>\n"
                                    "2 chdir(\"/\") = 0\n"
                                    "hello\n"
                                    "\n"
                                    "1 <... chdir resumed>) = 0\n"
                                    "3 <... close resumed>) = 0\n"
                                    "1 --- SIGCHLD {si_uid=42} ---\n"
                                    "2 +++ exited with 0 +++\n"
                                    "strace: Process 9 attached\n"
                                    " > libc.so(f+0x1) [0x1]\n"
                                    "1 chdir(\"/a\" <unfinished ...>\n"
                                    "no newline at the end");

    EXPECT_EQ(trace.counts.lines, 12u);
    EXPECT_EQ(trace.counts.calls, 2u);
    EXPECT_EQ(trace.counts.halves, 2u);
    EXPECT_EQ(trace.counts.unfinished, 1u);
    EXPECT_EQ(trace.counts.fragments, 1u);
    EXPECT_EQ(trace.counts.signals, 1u);
    EXPECT_EQ(trace.counts.exits, 1u);
    EXPECT_EQ(trace.counts.messages, 1u);
    EXPECT_EQ(trace.counts.stack, 1u);
    EXPECT_EQ(trace.counts.blank, 1u);
    EXPECT_EQ(trace.counts.unknown, 2u);
    EXPECT_EQ(trace.uid, 42);
    ASSERT_EQ(trace.unknown.size(), 2u);
    EXPECT_EQ(trace.unknown[0].number, 3u);
    EXPECT_EQ(trace.unknown[0].text, "hello");
    EXPECT_EQ(trace.unknown[1].text, "no newline at the end");
    EXPECT_EQ(read_strace("a\nb\nc\n", 2).unknown.size(), 2u);
}

TEST(StraceTrace, OneProcess)
{
    EXPECT_THAT(events("chdir(\"/\") = 0\nchdir(\"/\") = 0\n+++ exited with 0 +++\n"),
                ElementsAre("0<0", "0:1", "0:2", "0!"));
    EXPECT_THAT(events("7 chdir(\"/\") = 0\n7 chdir(\"/\") = 0\n"),
                ElementsAre("0<0", "0:1", "0:2"));
}

/// The child of vfork() acts while its parent is still waiting.
TEST(StraceTrace, ChildrenBeforeTheirBirth)
{
    EXPECT_THAT(events("1 vfork( <unfinished ...>\n"
                       "2 chdir(\"/\") = 0\n"
                       "1 <... vfork resumed>) = 2\n"
                       "2 +++ exited with 0 +++\n"),
                ElementsAre("0<0", "1<0", "1:2", "0:3", "1!"));
}

TEST(StraceTrace, ChildrenThatShowThemselvesLate)
{
    EXPECT_THAT(events("1 fork() = 2\n"
                       "1 chdir(\"/\") = 0\n"
                       "2 chdir(\"/\") = 0\n"),
                ElementsAre("0<0", "0:1", "1<0", "0:2", "1:3"));
}

TEST(StraceTrace, Threads)
{
    EXPECT_THAT(events("1 clone3({flags=CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_THREAD, stack=0x7}, "
                       "88) = 2\n"
                       "1 clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLD) = 3\n"),
                ElementsAre("0<0", "0:1", "1<0+", "0:2", "2<0"));
}

TEST(StraceTrace, NumbersOfProcessesComeAgain)
{
    EXPECT_THAT(events("1 fork() = 2\n"
                       "2 +++ exited with 0 +++\n"
                       "1 fork() = 2\n"
                       "2 chdir(\"/\") = 0\n"),
                ElementsAre("0<0", "0:1", "1<0", "1!", "0:3", "2<0", "2:4"));
}

TEST(StraceTrace, NumbersOfProcessesComeAgainElsewhere)
{
    EXPECT_THAT(events("1 fork() = 2\n"
                       "2 +++ exited with 0 +++\n"
                       "1 fork() = 3\n"
                       "3 fork() = 2\n"
                       "2 chdir(\"/\") = 0\n"),
                ElementsAre("0<0", "0:1", "1<0", "1!", "0:3", "2<0", "2:4", "3<2", "3:5"));
}

TEST(StraceTrace, TheFirstProcessIsNamelessWhileAlone)
{
    EXPECT_THAT(events("chdir(\"/\") = 0\n"
                       "vfork(strace: Process 9 attached\n"
                       " <unfinished ...>\n"
                       "[pid 9] chdir(\"/\") = 0\n"
                       "[pid 8] <... vfork resumed>) = 9\n"
                       "[pid 9] +++ exited with 0 +++\n"
                       "chdir(\"/\") = 0\n"),
                ElementsAre("0<0", "0:1", "1<0", "1:4", "0:5", "1!", "0:7"));
}

TEST(StraceTrace, Orphans)
{
    const std::string text = "1 chdir(\"/\") = 0\n"
                             "2 chdir(\"/\") = 0\n"
                             "2 +++ exited with 0 +++\n"
                             "3 chdir(\"/\") = 0\n";

    EXPECT_THAT(events(text), ElementsAre("0<0", "0:1", "1<0", "1:2", "1!", "2<0", "2:4"));
    EXPECT_EQ(read(text).orphans, 2u);
    EXPECT_THAT(events("1 +++ exited with 0 +++\n2 chdir(\"/\") = 0\n"),
                ElementsAre("0<0", "0!", "1<1", "1:2"));
}

} // namespace

} // namespace dcsim::cli
