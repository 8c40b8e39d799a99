// SPDX-License-Identifier: GPL-2.0-only
//
// Lines of strace: every column that its options add, every way it writes strings, calls in two
// halves, and lines that are not its own.
#include <cerrno>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "strace_parser.h"

namespace dcsim::cli
{

namespace
{

using kind = strace_line_kind;

strace_line parse(const std::string &text)
{
    strace_parser parser;

    return parser.parse(text);
}

/// The only call of a line.
strace_call call(const std::string &text)
{
    strace_line line = parse(text);

    EXPECT_EQ(line.kind, kind::call) << text;
    line.call.arguments.resize(8);
    return line.call;
}

TEST(StraceParser, Call)
{
    const strace_call open = call("openat(AT_FDCWD, \"/etc/passwd\", O_RDONLY|O_CLOEXEC) = 3");

    EXPECT_EQ(open.name, "openat");
    EXPECT_EQ(open.arguments[0].text, "AT_FDCWD");
    EXPECT_FALSE(open.arguments[0].is_string);
    EXPECT_EQ(open.arguments[1].string, "/etc/passwd");
    EXPECT_TRUE(open.arguments[1].is_string);
    EXPECT_FALSE(open.arguments[1].cut);
    EXPECT_EQ(open.arguments[2].text, "O_RDONLY|O_CLOEXEC");
    EXPECT_TRUE(open.answered);
    EXPECT_EQ(open.value, 3);
    EXPECT_EQ(open.error, 0);
}

TEST(StraceParser, NoArguments)
{
    EXPECT_EQ(call("vfork() = 123").value, 123);
    EXPECT_EQ(call("fork()                                  = 123").value, 123);
}

TEST(StraceParser, Errors)
{
    const strace_call missing =
        call("access(\"/x\", R_OK)      = -1 ENOENT (No such file or directory)");

    EXPECT_EQ(missing.value, -1);
    EXPECT_EQ(missing.error, ENOENT);
    EXPECT_EQ(call("rmdir(\"/x\") = -1 ENOTEMPTY (Directory not empty)").error, ENOTEMPTY);
    EXPECT_EQ(parse("rmdir(\"/x\") = -1 ENOSUCHERROR (?)").kind, kind::unknown);
}

TEST(StraceParser, Unanswered)
{
    EXPECT_FALSE(call("exit_group(0) = ?").answered);
    EXPECT_FALSE(call("openat(AT_FDCWD, \"x\", O_RDONLY) = ? ERESTARTSYS (To be restarted if "
                      "SA_RESTART is set)")
                     .answered);
}

TEST(StraceParser, Injected)
{
    EXPECT_TRUE(call("unlink(\"/x\") = -1 EIO (Input/output error) (INJECTED)").injected);
    EXPECT_FALSE(call("unlink(\"/x\") = -1 EIO (Input/output error)").injected);
    EXPECT_FALSE(call("unlink(\"/x\") = 0 (DELAYED)").injected);
}

TEST(StraceParser, ResultsOfOtherForms)
{
    EXPECT_EQ(call("mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 3, 0) = 0x7f0000001000").value,
              0x7f0000001000);
    EXPECT_EQ(call("fcntl(3, F_GETFL) = 0x8000 (flags O_RDONLY|O_LARGEFILE)").value, 0x8000);
    EXPECT_EQ(call("umask(022) = 002").value, 2);
    EXPECT_EQ(call("poll([{fd=3, events=POLLIN}], 1, 0) = 1 ([{fd=3, revents=POLLIN}])").value, 1);
}

TEST(StraceParser, EscapesInStrings)
{
    EXPECT_EQ(call(R"(chdir("a\tb\nc\"d\\e\rf\vg\fh") = 0)").arguments[0].string,
              "a\tb\nc\"d\\e\rf\vg\fh");
    EXPECT_EQ(call(R"(chdir("we\303\251") = 0)").arguments[0].string, "we\303\251");
    EXPECT_EQ(call(R"(chdir("\1\0012\12x") = 0)").arguments[0].string, "\1\0012\nx");
    EXPECT_EQ(call(R"(chdir("\x2f\x65tc") = 0)").arguments[0].string, "/etc");
    EXPECT_EQ(call(R"(chdir("a, b) = 3") = 0)").arguments[0].string, "a, b) = 3");
    EXPECT_EQ(call(R"(chdir("") = 0)").arguments[0].string, "");
}

TEST(StraceParser, CutStrings)
{
    const strace_call read = call("readlink(\"/proc/self/exe\", \"/usr/lib\"..., 4096) = 30");

    EXPECT_TRUE(read.arguments[1].cut);
    EXPECT_EQ(read.arguments[1].string, "/usr/lib");
    EXPECT_FALSE(read.arguments[0].cut);
    EXPECT_EQ(read.arguments[2].number(-1), 4096);
}

TEST(StraceParser, PlacesOfDescriptors)
{
    const strace_call open =
        call("openat(AT_FDCWD</home/user>, \"a\", O_RDONLY) = 3</home/user/a>");
    EXPECT_EQ(open.arguments[0].text, "AT_FDCWD");
    EXPECT_EQ(open.arguments[0].place, "/home/user");
    EXPECT_EQ(open.place, "/home/user/a");

    const strace_call odd = call(R"(fchdir(4</d\0741\76 \"x\">) = 0)");
    EXPECT_EQ(odd.arguments[0].number(-1), 4);
    EXPECT_EQ(odd.arguments[0].place, "/d<1> \"x\"");
}

TEST(StraceParser, PlacesWithoutPath)
{
    EXPECT_EQ(call("close(3<pipe:[4711]>) = 0").arguments[0].place, "pipe:[4711]");
    EXPECT_EQ(call("close(3<TCP:[10.0.0.1:1->10.0.0.2:22]>) = 0").arguments[0].text, "3");
    EXPECT_EQ(call("close(0</dev/null<char 1:3>>) = 0").arguments[0].place, "/dev/null");
}

TEST(StraceParser, PlacesOfDeletedFiles)
{
    for (const char *text : {"fchdir(4</d>(deleted)) = 0", "fchdir(4</d (deleted)>) = 0"}) {
        const strace_call gone = call(text);
        EXPECT_TRUE(gone.arguments[0].deleted) << text;
        EXPECT_EQ(gone.arguments[0].place, "/d") << text;
        EXPECT_EQ(gone.arguments[0].number(-1), 4) << text;
    }
    EXPECT_FALSE(call("fchdir(4</d>) = 0").arguments[0].deleted);
}

TEST(StraceParser, StructuresStayWhole)
{
    const strace_call stat = call("newfstatat(AT_FDCWD, \"x\", {st_mode=S_IFREG|0644, "
                                  "st_rdev=makedev(0x1, 0x3), st_mtime=1 /* a, b */, ...}, 0) = 0");

    EXPECT_EQ(stat.arguments[2].text, "{st_mode=S_IFREG|0644, st_rdev=makedev(0x1, 0x3), "
                                      "st_mtime=1 /* a, b */, ...}");
    EXPECT_EQ(stat.arguments[3].text, "0");
}

TEST(StraceParser, ListsOfStrings)
{
    const strace_call run =
        call(R"(execve("/bin/sh", ["sh", "-c", "echo ]) = 1"], 0x7ffc5e /* 3 vars */) = 0)");

    EXPECT_EQ(run.arguments[0].string, "/bin/sh");
    EXPECT_EQ(run.arguments[2].text, "0x7ffc5e");
}

TEST(StraceParser, VerboseConstants)
{
    EXPECT_EQ(call("openat(-100 /* AT_FDCWD */, \"x\", 0x80000 /* O_RDONLY|O_CLOEXEC */) = 3")
                  .arguments[2]
                  .number(-1),
              0x80000);
}

TEST(StraceParser, Numbers)
{
    const strace_call one = call("chown(\"x\", -1, 0644, 0x1f, AT_FDCWD) = 0");

    EXPECT_EQ(one.arguments[1].number(7), -1);
    EXPECT_EQ(one.arguments[2].number(7), 0644);
    EXPECT_EQ(one.arguments[3].number(7), 31);
    EXPECT_EQ(one.arguments[4].number(7), 7);
}

TEST(StraceParser, ProcessColumns)
{
    EXPECT_EQ(parse("[pid  1234] chdir(\"/\") = 0").pid, 1234);
    EXPECT_EQ(parse("1234  chdir(\"/\") = 0").pid, 1234);
    EXPECT_EQ(parse("[pid 1234<make>] chdir(\"/\") = 0").pid, 1234);
    EXPECT_EQ(parse("1234<make> chdir(\"/\") = 0").pid, 1234);
    EXPECT_EQ(parse("chdir(\"/\") = 0").pid, 0);
}

TEST(StraceParser, TimeColumns)
{
    for (const char *time :
         {"12:34:56 ", "12:34:56.123456 ", "1795687487.843459 ", "     0.000161 ",
          "12:34:56 (+     0.000083) ", "2026-01-31T12:34:56+0000 ", "[ 257] ",
          "[00007f34c7bd7b1d] ", "[????????????????] ", "12:34:56 [  21] [00007f34c7bd7b1d] "}) {
        const std::string text = std::string(time) + "chdir(\"/\") = 0 <0.000012>";
        EXPECT_EQ(parse(text).kind, kind::call) << text;
        EXPECT_EQ(parse(text).pid, 0) << text;
        const std::string both = std::string("[pid 77] ") + text;
        EXPECT_EQ(parse(both).kind, kind::call) << both;
        EXPECT_EQ(parse(both).pid, 77) << both;
        EXPECT_EQ(parse(std::string("77 ") + text).pid, 77) << text;
    }
    EXPECT_EQ(parse("exit(0) = ? <unavailable>").kind, kind::call);
}

TEST(StraceParser, SignalsAndExits)
{
    const strace_line child = parse("7 --- SIGCHLD {si_signo=SIGCHLD, si_pid=8, si_uid=1000} ---");
    EXPECT_EQ(child.kind, kind::signal);
    EXPECT_EQ(child.uid, 1000);
    EXPECT_EQ(parse("7 --- stopped by SIGSTOP ---").kind, kind::signal);
    EXPECT_EQ(parse("7 --- stopped by SIGSTOP ---").uid, -1);

    EXPECT_EQ(parse("7 +++ exited with 0 +++").kind, kind::exit);
    EXPECT_EQ(parse("[pid 7] 12:34:56 +++ killed by SIGKILL (core dumped) +++").kind, kind::exit);
    EXPECT_EQ(parse("[pid 7] 12:34:56 +++ killed by SIGKILL +++").pid, 7);
    EXPECT_EQ(parse("7 +++ superseded by execve in pid 8 +++").kind, kind::message);
}

TEST(StraceParser, Messages)
{
    const strace_line attached = parse("strace: Process 99 attached");
    EXPECT_EQ(attached.kind, kind::message);
    EXPECT_EQ(attached.attached, 99);
    EXPECT_EQ(parse("strace: Process 99 detached").attached, 0);
    EXPECT_EQ(parse("[ Process PID=3 runs in 32 bit mode. ]").kind, kind::message);
    EXPECT_EQ(parse(" > /usr/lib/libc.so.6(open64+0x5e) [0xfa89e]").kind, kind::stack);
    EXPECT_EQ(parse("").kind, kind::blank);
}

TEST(StraceParser, TwoHalves)
{
    strace_parser parser;

    EXPECT_EQ(parser.parse("1 readlink(\"/a\", <unfinished ...>").kind, kind::unfinished);
    EXPECT_EQ(parser.parse("2 readlink(\"/b\", <unfinished ...>").kind, kind::unfinished);
    EXPECT_EQ(parser.unfinished(), 2u);
    const strace_line second = parser.parse("2 <... readlink resumed>\"body\", 4096) = 4");
    EXPECT_EQ(second.kind, kind::call);
    EXPECT_EQ(second.pid, 2);
    EXPECT_EQ(second.call.arguments.at(0).string, "/b");
    EXPECT_EQ(second.call.arguments.at(1).string, "body");
    EXPECT_EQ(second.call.value, 4);
    const strace_line first = parser.parse("1 <... readlink resumed>0x7ff, 4096) = -1 EINVAL (x)");
    EXPECT_EQ(first.call.arguments.at(0).string, "/a");
    EXPECT_EQ(first.call.error, EINVAL);
    EXPECT_EQ(parser.unfinished(), 0u);
}

TEST(StraceParser, HalvesOfOldVersions)
{
    strace_parser parser;

    parser.parse("1 close(3 <unfinished ...>");
    EXPECT_EQ(parser.parse("1 <... close resumed> )      = 0").kind, kind::call);
}

TEST(StraceParser, HalvesWithoutTheOther)
{
    strace_parser parser;

    EXPECT_EQ(parser.parse("1 <... close resumed>) = 0").kind, kind::fragment);
    parser.parse("1 close(3 <unfinished ...>");
    EXPECT_EQ(parser.parse("1 <... open resumed>) = 0").kind, kind::fragment);
    parser.parse("1 +++ exited with 0 +++");
    EXPECT_EQ(parser.unfinished(), 0u);
}

/// Without -o, a process has no name while it is alone.
TEST(StraceParser, HalvesOfWhichOneIsNameless)
{
    strace_parser parser;

    parser.parse("chdir(\"/\" <unfinished ...>");
    EXPECT_EQ(parser.parse("[pid 5] <... chdir resumed>) = 0").kind, kind::call);
    parser.parse("[pid 5] chdir(\"/\" <unfinished ...>");
    EXPECT_EQ(parser.parse("<... chdir resumed>) = 0").kind, kind::call);
}

TEST(StraceParser, MessageInTheMiddleOfACall)
{
    strace_parser parser;

    EXPECT_EQ(parser.parse("vfork(strace: Process 13 attached").attached, 13);
    EXPECT_EQ(parser.parse(" <unfinished ...>").kind, kind::unfinished);
    EXPECT_EQ(parser.parse("[pid 12] <... vfork resumed>) = 13").call.value, 13);

    EXPECT_EQ(parser.parse("[pid 12] clone(flags=SIGCHLDstrace: Process 14 attached").attached, 14);
    const strace_line line = parser.parse(", child_tidptr=0x7f) = 14");
    EXPECT_EQ(line.kind, kind::call);
    EXPECT_EQ(line.pid, 12);
    EXPECT_EQ(line.call.arguments.at(0).text, "flags=SIGCHLD");
}

TEST(StraceParser, TwoMessagesInTheMiddleOfACall)
{
    strace_parser parser;

    EXPECT_EQ(parser.parse("[pid 12] close(3strace: Process 13 attached").attached, 13);
    EXPECT_EQ(parser.parse("strace: Process 14 attached").attached, 14);
    EXPECT_EQ(parser.parse(") = 0").kind, kind::call);
    const strace_line line = parser.parse("[pid 12] close(3strace: Process 15 attached) = 0");
    EXPECT_EQ(line.kind, kind::call);
    EXPECT_EQ(line.attached, 15);
    EXPECT_EQ(line.pid, 12);
}

TEST(StraceParser, WhatOnlyLooksLikeAMessage)
{
    const strace_line line = parse("chdir(\"\\\"strace: Process 13 attached\") = 0");

    EXPECT_EQ(line.kind, kind::call);
    EXPECT_EQ(line.attached, 0);
    EXPECT_EQ(line.call.arguments.at(0).string, "\"strace: Process 13 attached");
}

TEST(StraceParser, LinesOfOthers)
{
    for (const char *text : {"hello",
                             "ls: cannot access '/x': No such file or directory",
                             "int main(void) {",
                             "openat(AT_FDCWD, \"/etc",
                             "openat(AT_FDCWD, \"/etc\", O_RDONLY",
                             "openat(",
                             "= 3",
                             "openat(AT_FDCWD, \"/etc\", O_RDONLY) = ",
                             "f(1, 2) = x",
                             "f(1) = 1 and more",
                             "123",
                             "[pid 3]",
                             "[pid",
                             "12:34:56",
                             "<... resumed>) = 0",
                             "1 <... > = 0",
                             "chdir(\"a\" = 0",
                             "chdir({) = 0",
                             "chdir(3</a) = 0",
                             "f(/* ) = 0"})
        EXPECT_EQ(parse(text).kind, kind::unknown) << text;
}

TEST(StraceParser, EveryPieceOfALine)
{
    const std::string whole =
        "[pid 7] 12:34:56 [ 257] openat(4</a\\76b>, \"x\\303\", O_RDONLY, {a=[1, \"]\"]}) = "
        "-1 ENOENT (No such file) <0.1>";

    ASSERT_EQ(parse(whole).kind, kind::call);
    for (size_t length = 0; length < whole.size(); ++length)
        EXPECT_NE(parse(whole.substr(0, length)).pid, 8) << length;
    for (size_t start = 1; start < whole.size(); ++start)
        EXPECT_NE(parse(whole.substr(start)).pid, 8) << start;
}

TEST(StraceParser, NamesOfErrors)
{
    EXPECT_EQ(errno_by_name("ENOENT"), ENOENT);
    EXPECT_EQ(errno_by_name("EOPNOTSUPP"), EOPNOTSUPP);
    EXPECT_EQ(errno_by_name("ENOTSUP"), EOPNOTSUPP);
    EXPECT_EQ(errno_by_name("ENONSENSE"), 0);
}

} // namespace

} // namespace dcsim::cli
