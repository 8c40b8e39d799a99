// SPDX-License-Identifier: GPL-2.0-only
//
// Does memfs under the port's path walk answer as this machine's kernel does on tmpfs? And does the
// comparison notice when it does not?
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "directory_streams.h"
#include "fuzz.h"
#include "lying_backend.h"
#include "sanitizers.h"
#include "shrink.h"

namespace dcsim::against_kernel
{

namespace
{

/// Sequences of each slice; a sanitizer makes them ten times as long.
constexpr unsigned slice_sequences = sanitized_malloc ? 6 : 60;
constexpr unsigned slices = 4;

class kernel_fixture : public ::testing::Test
{
  protected:
    void SetUp() override
    {
        if (const std::string why = kernel_unusable(); !why.empty())
            GTEST_SKIP() << "nothing to compare with: " << why;
        std::vector<std::string> reasons;
        limits_ = kernel_limits(reasons);
        for (const std::string &reason : reasons)
            printf("%s\n", reason.c_str());
        kernel_ = make_kernel_backend();
    }

    static fuzz_options seeds(uint64_t first, uint64_t count)
    {
        fuzz_options options;

        options.first_seed = first;
        options.last_seed = first + count - 1;
        return options;
    }

    limits limits_;
    std::unique_ptr<backend> kernel_;
};

// --- The comparison itself ---

class Comparison : public kernel_fixture
{
  protected:
    void SetUp() override
    {
        kernel_fixture::SetUp();
        if (!IsSkipped())
            other_ = make_kernel_backend();
    }

    /// What the comparison makes of a liar, who is the kernel otherwise.
    fuzz_result find(lying_backend::lie_about_call about_call,
                     lying_backend::lie_about_tree about_tree = {})
    {
        lying_backend liar(*other_, std::move(about_call), std::move(about_tree));

        return fuzz(seeds(1, 200), *kernel_, liar);
    }

    static std::vector<call> calls(const fuzz_result &result)
    {
        std::vector<call> names;

        for (const operation &op : result.found.operations)
            names.push_back(op.what);
        return names;
    }

    std::unique_ptr<backend> other_;
};

TEST_F(Comparison, FindsNothingBetweenTwoKernels)
{
    const fuzz_result result = fuzz(seeds(1, slice_sequences / 2), *kernel_, *other_);

    EXPECT_EQ(result.report, "");
    EXPECT_EQ(result.operations, 400u * (slice_sequences / 2));
}

TEST_F(Comparison, FindsAndShrinksAWrongErrno)
{
    const fuzz_result result = find([](const operation &op, answer &answer) {
        // By a plain path: ".." is not empty either, and one call would do.
        if (op.what == call::unlinkat && answer.value == -ENOTEMPTY &&
            op.first.path.find('.') == std::string::npos)
            answer.value = -EEXIST;
    });

    // A directory, something in it, and the attempt to remove the first.
    EXPECT_EQ(result.smallest, 3u) << result.report;
    ASSERT_FALSE(result.found.operations.empty());
    EXPECT_EQ(result.found.operations.back().what, call::unlinkat);
    EXPECT_THAT(result.report, ::testing::HasSubstr("kernel -ENOTEMPTY, liar -EEXIST"));
    EXPECT_THAT(result.report, ::testing::HasSubstr("the tree of kernel:"));
}

TEST_F(Comparison, FindsAWrongLinkCountInTheTree)
{
    const fuzz_result result = find({}, [](tree &tree) {
        for (tree_node &node : tree.nodes)
            if (S_ISREG(node.status.mode) && node.status.links == 2)
                node.status.links = 3;
    });

    EXPECT_EQ(result.smallest, 2u) << result.report;
    EXPECT_EQ(calls(result).back(), call::linkat);
    EXPECT_THAT(result.report, ::testing::HasSubstr("the trees differ"));
}

TEST_F(Comparison, FindsAMissingName)
{
    const fuzz_result result = find({}, [](tree &tree) {
        std::erase_if(tree.nodes, [](const tree_node &node) {
            return node.name == "c" && S_ISLNK(node.status.mode);
        });
    });

    EXPECT_EQ(result.smallest, 1u) << result.report;
    EXPECT_THAT(result.report, ::testing::HasSubstr("only in kernel"));
}

TEST_F(Comparison, FindsALostHardLink)
{
    // Two names of one inode seem to be two inodes with two links each.
    const fuzz_result result = find({}, [](tree &tree) {
        for (tree_node &node : tree.nodes)
            if (node.name == "c" && S_ISREG(node.status.mode))
                node.status.key.number += 1000000;
    });

    EXPECT_LE(result.smallest, 3u) << result.report;
    EXPECT_THAT(result.report, ::testing::HasSubstr("which inode this is"));
}

TEST_F(Comparison, FindsAWrongLinkBody)
{
    const fuzz_result result = find([](const operation &op, answer &answer) {
        if (op.what == call::readlinkat && answer.text.size() > 2)
            answer.text.back() = '?';
    });

    // Without ".." and absolute paths there are not as many ways to say something shorter.
    EXPECT_LE(result.smallest, limits_.whole_paths ? 2u : 5u) << result.report;
}

TEST_F(Comparison, FindsANameThatReadersMiss)
{
    const fuzz_result result = find([](const operation &op, answer &answer) {
        if (op.what == call::getdents)
            std::erase_if(answer.entries, [](const auto &entry) { return entry.name == "b"; });
    });

    EXPECT_LE(result.smallest, 5u) << result.report;
    EXPECT_THAT(result.report, ::testing::HasSubstr("without \"b\""));
}

TEST_F(Comparison, FindsANameThatReadersSeeTwice)
{
    const fuzz_result result = find([](const operation &op, answer &answer) {
        if (op.what == call::getdents && answer.entries.size() > 2)
            answer.entries.push_back(answer.entries.back());
    });

    EXPECT_LE(result.smallest, 4u) << result.report;
    EXPECT_THAT(result.report, ::testing::HasSubstr("twice"));
}

// --- What reading a directory may give while it changes ---

class DirectoryStreams : public ::testing::Test
{
  protected:
    /// A tree of "/" with these names, and slot 0 open on it.
    static tree with(std::initializer_list<const char *> names)
    {
        tree result;
        tree_node top;

        top.path = "/";
        top.status.key = {1, 1};
        result.nodes.push_back(top);
        for (const char *name : names) {
            tree_node node;
            node.name = name;
            node.path = "/" + node.name;
            node.parent = 0;
            node.status.key = {1, static_cast<uint64_t>(name[0])};
            result.nodes.push_back(node);
        }
        result.slots = {top.status};
        return result;
    }
    static std::vector<directory_entry> entries(std::initializer_list<const char *> names)
    {
        std::vector<directory_entry> result;

        for (const char *name : names)
            result.push_back({name, 0, 0, static_cast<int64_t>(result.size()) + 1});
        return result;
    }

    directory_streams streams{1, true};
};

TEST_F(DirectoryStreams, WhatStaysIsReportedOnce)
{
    EXPECT_EQ(streams.read(0, entries({".", "..", "b", "a"}), with({"a", "b"})), "");
    EXPECT_EQ(streams.read(0, {}, with({"a", "b"})), "");
}

TEST_F(DirectoryStreams, WhatStaysMustNotBeMissing)
{
    EXPECT_EQ(streams.read(0, entries({".", "..", "b"}), with({"a", "b"})), "");
    EXPECT_NE(streams.read(0, {}, with({"a", "b"})), "");
}

TEST_F(DirectoryStreams, WhatComesOrGoesMayBeReportedOrNot)
{
    EXPECT_EQ(streams.read(0, entries({".", ".."}), with({"a", "b"})), "");
    streams.tree_changed(with({"b", "c", "d"}));
    EXPECT_EQ(streams.read(0, entries({"b", "c"}), with({"b", "c", "d"})), "");
    EXPECT_EQ(streams.read(0, {}, with({"b", "c", "d"})), "");
}

TEST_F(DirectoryStreams, WhatNeverWasThereIsNotReported)
{
    EXPECT_NE(streams.read(0, entries({".", "..", "x"}), with({"a", "b"})), "");
}

TEST_F(DirectoryStreams, GoesBackOnlyWhileNothingChanges)
{
    EXPECT_EQ(streams.read(0, entries({".", "..", "a", "b"}), with({"a", "b"})), "");
    EXPECT_EQ(streams.position(0, 3), 3);
    streams.went_back(0, 3);
    EXPECT_EQ(streams.read(0, entries({"b"}), with({"a", "b"})), "");
    streams.tree_changed(with({"a"}));
    EXPECT_EQ(streams.position(0, 3), -1);
}

TEST_F(DirectoryStreams, PositionsThatMoveAreLeftAlone)
{
    directory_streams moving(1, false);

    EXPECT_EQ(moving.read(0, entries({".", "..", "b"}), with({"a", "b"})), "");
    moving.tree_changed(with({"b"}));
    EXPECT_EQ(moving.read(0, entries({"b"}), with({"b"})), "");
}

// --- memfs and the kernel ---

class MemfsAndKernel : public kernel_fixture
{
  protected:
    void SetUp() override
    {
        kernel_fixture::SetUp();
        if (!IsSkipped())
            memfs_ = make_memfs_backend(limits_);
    }

    void expect_agreement(const std::vector<operation> &operations)
    {
        session session(*kernel_, *memfs_, plan_);
        for (const operation &op : operations) {
            const std::optional<difference> found = session.step(op);
            ASSERT_FALSE(found) << text_of(op) << ": " << found->what;
            answers_.push_back(session.last());
        }
        const std::optional<difference> found = session.finish();
        EXPECT_FALSE(found) << found->what;
    }

    plan plan_;
    std::unique_ptr<backend> memfs_;
    std::vector<answer> answers_; ///< both sides' to what expect_agreement() did
};

class MemfsAndKernelSlice : public MemfsAndKernel, public ::testing::WithParamInterface<unsigned>
{
};

TEST_P(MemfsAndKernelSlice, Agree)
{
    const uint64_t first = 1000 + uint64_t{GetParam()} * slice_sequences;
    const fuzz_result result = fuzz(seeds(first, slice_sequences), *kernel_, *memfs_);

    EXPECT_EQ(result.report, "");
    EXPECT_EQ(result.operations, 400u * slice_sequences);
}

INSTANTIATE_TEST_SUITE_P(Seeds, MemfsAndKernelSlice, ::testing::Range(0u, slices));

operation at(call what, const std::string &path, unsigned flags = 0, unsigned mode = 0)
{
    operation op;

    op.what = what;
    op.first.path = path;
    op.flags = flags;
    op.mode = mode;
    return op;
}

operation link_to(const std::string &body, const std::string &path)
{
    operation op = at(call::symlinkat, path);

    op.body = body;
    return op;
}

/// Every way to use a path, of something that may not be there.
std::vector<operation> all_uses(const std::string &path)
{
    operation link = at(call::linkat, path);
    link.second.path = "new";
    operation rename = at(call::renameat2, path);
    rename.second.path = "new";
    operation read = at(call::readlinkat, path);
    read.size = 4096;
    operation open = at(call::openat, path, O_RDONLY | O_NONBLOCK);
    operation create = at(call::openat, path, O_WRONLY | O_CREAT | O_NONBLOCK, 0644);
    operation exclusive = at(call::openat, path, O_WRONLY | O_CREAT | O_EXCL, 0644);

    return {at(call::fstatat, path),
            at(call::fstatat, path, AT_SYMLINK_NOFOLLOW),
            at(call::faccessat2, path),
            read,
            open,
            exclusive,
            at(call::mkdirat, path, 0, 0755),
            at(call::unlinkat, path),
            create,
            link,
            at(call::unlinkat, path, AT_REMOVEDIR),
            link_to("x", path),
            rename,
            at(call::chdir, path)};
}

class MemfsAndKernelPath : public MemfsAndKernel, public ::testing::WithParamInterface<const char *>
{
};

TEST_P(MemfsAndKernelPath, IsOneForBothInEveryCall)
{
    const std::string path = GetParam();
    if (!limits_.whole_paths && (path.starts_with("/") || path.find("..") != std::string::npos))
        GTEST_SKIP() << "this takes a root of our own";
    std::vector<operation> operations = {
        at(call::mkdirat, "d", 0, 0755),
        at(call::mkdirat, "d/e", 0, 0755),
        at(call::mknodat, "f", 0, S_IFREG | 0644),
        link_to("d", "to-d"),
        link_to("f", "to-f"),
        link_to("nowhere", "dangling"),
        link_to("loop", "loop"),
        link_to("pong", "ping"),
        link_to("ping", "pong"),
    };

    for (const operation &op : all_uses(path))
        operations.push_back(op);
    expect_agreement(operations);
}

INSTANTIATE_TEST_SUITE_P(Odd, MemfsAndKernelPath,
                         ::testing::Values("", ".", "./", "..", "../..", "/", "//", "/..", "/../d",
                                           "d", "d/", "d//", "d/.", "d/..", "d/../..", "d/e/../..",
                                           "f/", "f//", "f/.", "f/..", "f/x", "to-d/", "to-d/.",
                                           "to-d/..", "to-f/", "to-f/x", "dangling", "dangling/",
                                           "dangling/x", "loop", "loop/", "loop/x", "ping", "new/",
                                           "new//", "new/.", "new/x", "d/new/", "./.././d/./e//."),
                         [](const auto &info) { return "Path" + std::to_string(info.index); });

TEST_F(MemfsAndKernel, AgreeOnLengths)
{
    std::vector<operation> operations = {at(call::mkdirat, "d", 0, 0755)};
    const auto padded = [](size_t length, const std::string &end) {
        std::string path;
        while (path.size() + 2 + end.size() <= length)
            path += "./";
        return std::string(length - path.size() - end.size(), '/') + path + end;
    };

    for (const std::string &path :
         {std::string(255, 'n'), std::string(256, 'n'), "d/" + std::string(255, 'n'),
          "d/" + std::string(256, 'n') + "/x", std::string(4095, 'n'), padded(4095, "d"),
          padded(4096, "d"), padded(4095, "new"), padded(4096, "new"), padded(5000, "d")})
        if (limits_.whole_paths || path[0] != '/')
            for (const operation &op : all_uses(path))
                operations.push_back(op);
    for (size_t length : {254, 4095, 4096})
        operations.push_back(link_to(std::string(length, 'b'), "to" + std::to_string(length)));
    expect_agreement(operations);
    const auto is_too_long = [](const answer &answer) { return answer.value == -ENAMETOOLONG; };
    EXPECT_TRUE(std::any_of(answers_.begin(), answers_.end(), is_too_long));
}

TEST_F(MemfsAndKernel, AgreeOnFortyLinks)
{
    constexpr unsigned longest = 40;
    std::vector<operation> operations = {at(call::mkdirat, "l0", 0, 0755)};
    const size_t first_look = longest + 2;

    for (unsigned i = 1; i <= longest + 1; i++)
        operations.push_back(link_to("l" + std::to_string(i - 1), "l" + std::to_string(i)));
    operations.push_back(at(call::fstatat, "l40"));
    operations.push_back(at(call::fstatat, "l41"));
    operations.push_back(at(call::fstatat, "l41", AT_SYMLINK_NOFOLLOW));
    for (const char *link :
         {"l20/../l20/x", "l39/../l1", "l39/../l2", "l40/x", "l41/x", "l40/", "l41/"})
        for (const operation &op : all_uses(limits_.whole_paths ? link : "l41/x"))
            operations.push_back(op);
    expect_agreement(operations);
    ASSERT_GT(answers_.size(), first_look + 2);
    EXPECT_EQ(answers_[first_look].value, 0);
    EXPECT_EQ(answers_[first_look + 1].value, -ELOOP);
    EXPECT_EQ(answers_[first_look + 2].value, 0);
}

// What random programs found once. Carol has one capability that does not help.
constexpr unsigned carol = 4;

TEST_F(MemfsAndKernel, AgreeOnAccessWithCapabilities)
{
    if (!limits_.identities)
        GTEST_SKIP() << "this takes other tasks";
    operation hidden = at(call::faccessat2, "d/x");
    operation effective = at(call::faccessat2, "d/x", AT_EACCESS);
    hidden.task = effective.task = carol;
    plan_.capabilities = 1u << 1; // CAP_DAC_OVERRIDE
    expect_agreement({at(call::mkdirat, "d", 0, 0700), at(call::mknodat, "d/x", 0, S_IFREG | 0600),
                      hidden, effective});
    ASSERT_EQ(answers_.size(), 4u);
    EXPECT_EQ(answers_[2].value, -EACCES);
    EXPECT_EQ(answers_[3].value, 0);
}

TEST_F(MemfsAndKernel, AgreeOnWhoMayLinkADescriptor)
{
    if (!limits_.identities)
        GTEST_SKIP() << "this takes other tasks";
    operation link = at(call::linkat, "x", AT_EMPTY_PATH);
    link.task = carol;
    link.first.descriptor = 0;
    link.second.path = "y";
    expect_agreement({at(call::openat, "f", O_RDONLY | O_CREAT | O_NONBLOCK, 0644), link});
    ASSERT_EQ(answers_.size(), 2u);
    EXPECT_EQ(answers_[1].value, -ENOENT);
}

TEST_F(MemfsAndKernel, AgreeOnTheLengthOfABindSource)
{
    if (!limits_.mounts)
        GTEST_SKIP() << "this takes mounts";
    operation bind = at(call::bind, std::string(4096, 'b'));
    bind.second.path = "nowhere";
    expect_agreement({bind});
    ASSERT_EQ(answers_.size(), 1u);
    EXPECT_EQ(answers_[0].value, -EINVAL);
}

TEST_F(MemfsAndKernel, AgreeOnAFifoOpenedForNothing)
{
    expect_agreement(
        {at(call::mknodat, "p", 0, S_IFIFO | 0644), at(call::openat, "p", O_ACCMODE | O_NONBLOCK)});
    ASSERT_EQ(answers_.size(), 2u);
    EXPECT_EQ(answers_[1].value, -EINVAL);
}

/// What random programs must have come across, or they prove little.
TEST_F(MemfsAndKernel, MeetAllKindsOfAnswers)
{
    if (!limits_.identities)
        GTEST_SKIP() << "this takes other tasks and mounts";
    const fuzz_result result = fuzz(seeds(1, slice_sequences), *kernel_, *memfs_);
    const std::pair<call, std::vector<int>> wanted[] = {
        {call::openat, {0, ENOENT, EACCES, EEXIST, ENOTDIR, EISDIR, EINVAL, ELOOP, EBADF}},
        {call::openat2, {0, ENOENT, EACCES, EXDEV, ELOOP, EINVAL, EISDIR}},
        {call::unlinkat, {0, ENOENT, EPERM, EACCES, EBUSY, ENOTDIR, EISDIR, ENOTEMPTY, EROFS}},
        {call::renameat2, {0, ENOENT, EACCES, EBUSY, EEXIST, EXDEV, ENOTDIR, EINVAL, ENOTEMPTY}},
        {call::linkat, {0, ENOENT, EPERM, EEXIST, EXDEV}},
        {call::mkdirat, {0, ENOENT, EACCES, EEXIST, ENOTDIR, ENAMETOOLONG, EROFS}},
        {call::getdents, {0, ENOENT, ENOTDIR}},
        {call::chroot, {0, EPERM}},
        {call::getcwd, {0, ENOENT, ERANGE}},
        {call::mount, {0, EPERM, ENOTDIR}},
        {call::bind, {0, EPERM}},
        {call::umount, {0, EPERM, EBUSY, EINVAL}},
        {call::fchmodat, {0, EPERM}},
        {call::fchownat, {0, EPERM}},
    };

    EXPECT_EQ(result.report, "");
    // A tenth of the sequences cannot show everything.
    if (sanitized_malloc)
        return;
    for (const auto &[what, errors] : wanted)
        for (int error : errors)
            EXPECT_TRUE(result.coverage.contains({what, error}))
                << name_of(what) << ": " << (error ? name_of_errno(error) : "success");
}

} // namespace

} // namespace dcsim::against_kernel
