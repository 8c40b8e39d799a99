// SPDX-License-Identifier: GPL-2.0-only
//
// Directories that are their cached names: what the simple_*() operations do to them, and that who
// reads them in pieces misses nothing and meets nothing twice.
#include <algorithm>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/mockfs/ramfs.h"
#include "dcsim/vfs/libfs.h"
#include "directory_reader.h"
#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class libfs_fixture : public ::testing::Test
{
  protected:
    void SetUp() override
    {
        vfs_config config;

        config.dhash_entries = 4;
        config.in_lookup_shift = 1;
        ASSERT_EQ(vfs_init(config), 0);
        mount();
    }
    void TearDown() override
    {
        kmem_fail_nth(0);
        EXPECT_EQ(ramfs_unmount(sb), 0);
        expect_nothing_left(vfs_exit());
    }

    void mount()
    {
        sb = ramfs_mount({}, "libfs");
        ASSERT_FALSE(IS_ERR(sb));
        root = sb->s_root;
    }
    /// The file system as it was.
    void start_again()
    {
        ASSERT_EQ(ramfs_unmount(sb), 0);
        mount();
    }

    int create(std::string_view name)
    {
        return create_at(root, name.data(), name.size(), 0644);
    }
    int mkdir(std::string_view name)
    {
        return mkdir_at(root, name.data(), name.size(), 0755);
    }
    int unlink(std::string_view name)
    {
        return unlink_at(root, name.data(), name.size());
    }
    int rmdir(std::string_view name)
    {
        return rmdir_at(root, name.data(), name.size());
    }
    int rename(std::string_view from, std::string_view to, unsigned flags = 0)
    {
        return rename_at(root, from.data(), from.size(), root, to.data(), to.size(), flags);
    }
    dentry_ref find(std::string_view name)
    {
        return adopt_dentry(lookup_path(root, name.data(), name.size()));
    }
    unsigned links_of(dentry *dentry) const
    {
        return READ_ONCE(d_inode(dentry)->i_nlink);
    }
    void create_all(const std::vector<std::string> &names)
    {
        for (const std::string &name : names)
            ASSERT_EQ(create(name), 0) << name;
    }

    super_block *sb = nullptr;
    dentry *root = nullptr;
    warning_capture warnings;
};

using SimpleLookup = libfs_fixture;
using SimpleDirectories = libfs_fixture;
using DcacheReaddir = libfs_fixture;
using DcacheDirLseek = libfs_fixture;

// --- Looking up, removing, moving ---

TEST_F(SimpleLookup, WhatIsNotCachedDoesNotExistAndIsNotRemembered)
{
    const counter_change dentries(NR_DENTRY);

    EXPECT_EQ(find("absent").get(), ERR_PTR(-ENOENT));
    EXPECT_EQ(dentries.value(), 0);
    EXPECT_EQ(find(std::string(NAME_MAX_LENGTH, 'm')).get(), ERR_PTR(-ENOENT));
    EXPECT_EQ(find(std::string(NAME_MAX_LENGTH + 1, 'n')).get(), ERR_PTR(-ENAMETOOLONG));
}

TEST_F(SimpleLookup, MarksItsMissesWhereTheFileSystemDidNot)
{
    const counter_change dentries(NR_DENTRY);

    sb->s_d_flags &= ~DCACHE_DONTCACHE;
    EXPECT_EQ(find("absent").get(), ERR_PTR(-ENOENT));
    EXPECT_EQ(dentries.value(), 0);
}

TEST_F(SimpleDirectories, AreEmptyWithoutNames)
{
    ASSERT_EQ(mkdir("d"), 0);
    dentry_ref d = find("d");
    // Neither of them is a name.
    qstr name = make_hashed_qstr(d.get(), "absent", 6);
    dentry_ref absent = adopt_dentry(d_alloc(d.get(), &name));
    d_add(absent.get(), nullptr);
    dentry_ref cursor = adopt_dentry(d_alloc_cursor(d.get()));
    spin_lock(&d->d_lock);
    hlist_add_head(&cursor->d_sib, &d->d_children);
    spin_unlock(&d->d_lock);

    EXPECT_TRUE(simple_empty(d.get()));
    ASSERT_EQ(create_at(d.get(), "f", 1, 0644), 0);
    EXPECT_FALSE(simple_empty(d.get()));
    EXPECT_EQ(rmdir("d"), -ENOTEMPTY);
    ASSERT_EQ(unlink_at(d.get(), "f", 1), 0);
    EXPECT_TRUE(simple_empty(d.get()));
}

TEST_F(SimpleDirectories, CountTheirSubdirectories)
{
    EXPECT_EQ(links_of(root), 2u);
    ASSERT_EQ(mkdir("d"), 0);
    ASSERT_EQ(mkdir("e"), 0);
    dentry_ref d = find("d"), e = find("e");
    EXPECT_EQ(links_of(root), 4u);
    EXPECT_EQ(links_of(d.get()), 2u);

    ASSERT_EQ(mkdir_at(d.get(), "sub", 3, 0755), 0);
    ASSERT_EQ(rename_at(d.get(), "sub", 3, e.get(), "sub", 3, 0), 0);
    EXPECT_EQ(links_of(d.get()), 2u);
    EXPECT_EQ(links_of(e.get()), 3u);

    ASSERT_EQ(create_at(d.get(), "f", 1, 0644), 0);
    ASSERT_EQ(rename_at(d.get(), "f", 1, e.get(), "sub", 3, RENAME_EXCHANGE_FLAG), 0);
    EXPECT_EQ(links_of(d.get()), 3u);
    EXPECT_EQ(links_of(e.get()), 2u);
    ASSERT_EQ(rename_at(e.get(), "sub", 3, d.get(), "f", 1, RENAME_EXCHANGE_FLAG), 0);
    EXPECT_EQ(links_of(e.get()), 3u);

    ASSERT_EQ(unlink_at(d.get(), "f", 1), 0);
    ASSERT_EQ(rename_at(e.get(), "sub", 3, root, "d", 1, 0), 0) << "over an empty directory";
    EXPECT_EQ(links_of(e.get()), 2u);
    EXPECT_EQ(links_of(d.get()), 0u);
    EXPECT_EQ(links_of(root), 4u);
    ASSERT_EQ(rmdir("d"), 0);
    EXPECT_EQ(links_of(root), 3u);
}

TEST_F(SimpleDirectories, MoveNothingOverAFullDirectory)
{
    ASSERT_EQ(mkdir("d"), 0);
    ASSERT_EQ(mkdir("e"), 0);
    ASSERT_EQ(create_at(find("e").get(), "f", 1, 0644), 0);
    EXPECT_EQ(rename("d", "e"), -ENOTEMPTY);
    inode_lock(d_inode(root));
    EXPECT_EQ(simple_rename(d_inode(root), find("d").get(), d_inode(root), find("e").get(), 0x80),
              -EINVAL);
    inode_unlock(d_inode(root));
}

// --- Reading ---

TEST_F(DcacheReaddir, ReportsTheDotsAndThenTheNewestFirst)
{
    create_all({"a", "b"});
    ASSERT_EQ(mkdir("c"), 0);
    directory_reader reader(root);
    const auto entries = reader.read();

    ASSERT_EQ(entries.size(), 5u);
    const ino_t root_ino = d_inode(root)->i_ino;
    EXPECT_EQ(entries[0].name, ".");
    EXPECT_EQ(entries[0].ino, root_ino);
    EXPECT_EQ(entries[1].name, "..");
    EXPECT_EQ(entries[1].ino, root_ino);
    EXPECT_EQ(entries[2].name, "c");
    EXPECT_EQ(entries[2].ino, d_inode(find("c").get())->i_ino);
    EXPECT_EQ(entries[2].type, unsigned{S_IFDIR_TYPE >> 12});
    EXPECT_EQ(entries[3].name, "b");
    EXPECT_EQ(entries[3].type, unsigned{S_IFREG_TYPE >> 12});
    EXPECT_EQ(entries[4].name, "a");
    for (int64_t i = 0; i < 5; i++)
        EXPECT_EQ(entries[static_cast<size_t>(i)].offset, i);
    EXPECT_EQ(reader.position(), 5);
    EXPECT_THAT(reader.read(), IsEmpty());
}

TEST_F(DcacheReaddir, DotDotIsTheParent)
{
    ASSERT_EQ(mkdir("d"), 0);
    ASSERT_EQ(mkdir_at(find("d").get(), "e", 1, 0755), 0);
    directory_reader reader(find("d/e").get());
    const auto entries = reader.read();

    ASSERT_EQ(entries.size(), 2u);
    EXPECT_EQ(entries[0].ino, d_inode(find("d/e").get())->i_ino);
    EXPECT_EQ(entries[1].ino, d_inode(find("d").get())->i_ino);
}

TEST_F(DcacheReaddir, PiecesMakeAWhole)
{
    create_all({"a", "b", "c", "d"});
    for (size_t piece = 1; piece <= 7; piece++) {
        directory_reader reader(root);
        std::vector<std::string> all;
        for (auto names = reader.read(piece); !names.empty(); names = reader.read(piece)) {
            EXPECT_LE(names.size(), piece);
            for (const auto &entry : names)
                all.push_back(entry.name);
        }
        EXPECT_THAT(all, ElementsAre(".", "..", "d", "c", "b", "a")) << piece;
    }
}

TEST_F(DcacheReaddir, WithoutRoomNothingIsLost)
{
    create_all({"a"});
    directory_reader reader(root);

    for (int64_t position : {0, 1, 2, 3}) {
        EXPECT_THAT(reader.read(0), IsEmpty());
        EXPECT_EQ(reader.position(), position);
        reader.read(1);
    }
}

TEST_F(DcacheReaddir, WhatIsNoNameIsNotReported)
{
    create_all({"a", "b"});
    qstr name = make_hashed_qstr(root, "absent", 6);
    dentry_ref absent = adopt_dentry(d_alloc(root, &name));
    d_add(absent.get(), nullptr);
    dentry_ref unlinked = find("a");
    ASSERT_EQ(unlink("a"), 0);
    directory_reader other(root), reader(root);

    other.read(3);
    EXPECT_THAT(reader.names(), ElementsAre("b"));
}

const std::vector<std::string> FIVE = {"a", "b", "c", "d", "e"};

/// Reads the directory with `change` in between, after each number of entries; then each of
/// `staying` must have been met once, everything else at most once.
void expect_no_skip_no_repeat(dentry *directory, size_t before,
                              const std::vector<std::string> &staying,
                              const std::function<void()> &change)
{
    directory_reader reader(directory);
    std::vector<std::string> all = reader.names(before);

    change();
    for (auto names = reader.read(1); !names.empty(); names = reader.read(1)) {
        if (names[0].name != "." && names[0].name != "..")
            all.push_back(names[0].name);
    }
    for (const std::string &name : staying)
        EXPECT_EQ(std::count(all.begin(), all.end(), name), 1) << name << " after " << before;
    for (const std::string &name : all)
        EXPECT_EQ(std::count(all.begin(), all.end(), name), 1) << name << " after " << before;
}

std::vector<std::string> without(const std::vector<std::string> &names,
                                 std::initializer_list<std::string> these)
{
    std::vector<std::string> rest;

    for (const std::string &name : names) {
        if (std::find(these.begin(), these.end(), name) == these.end())
            rest.push_back(name);
    }
    return rest;
}

TEST_F(DcacheReaddir, NamesRemovedMeanwhileHideNoOthers)
{
    for (size_t before = 0; before <= 7; before++) {
        for (const std::string &victim : FIVE) {
            create_all(FIVE);
            expect_no_skip_no_repeat(root, before, without(FIVE, {victim}),
                                     [&] { ASSERT_EQ(unlink(victim), 0); });
            start_again();
        }
    }
}

TEST_F(DcacheReaddir, NeighboursRemovedMeanwhileHideNoOthers)
{
    for (size_t before = 0; before <= 7; before++) {
        for (size_t first = 0; first + 1 < FIVE.size(); first++) {
            create_all(FIVE);
            expect_no_skip_no_repeat(root, before, without(FIVE, {FIVE[first], FIVE[first + 1]}),
                                     [&] {
                                         ASSERT_EQ(unlink(FIVE[first]), 0);
                                         ASSERT_EQ(unlink(FIVE[first + 1]), 0);
                                     });
            start_again();
        }
    }
}

TEST_F(DcacheReaddir, NamesAddedMeanwhileRepeatNoOthers)
{
    for (size_t before = 0; before <= 7; before++) {
        create_all(FIVE);
        expect_no_skip_no_repeat(root, before, FIVE, [&] { create_all({"x", "y"}); });
        start_again();
    }
}

TEST_F(DcacheReaddir, NamesMovedMeanwhileNeitherHideNorRepeatOthers)
{
    for (size_t before = 0; before <= 7; before++) {
        for (const std::string &moved : FIVE) {
            create_all(FIVE);
            expect_no_skip_no_repeat(root, before, without(FIVE, {moved}),
                                     [&] { ASSERT_EQ(rename(moved, "x"), 0); });
            start_again();
            create_all(FIVE);
            expect_no_skip_no_repeat(root, before, without(FIVE, {moved, "c"}),
                                     [&] { ASSERT_EQ(rename(moved, "c"), 0); });
            start_again();
        }
    }
}

TEST_F(DcacheReaddir, AllNamesRemovedWhileReadingLeavesNone)
{
    create_all(FIVE);
    directory_reader reader(root);
    size_t removed = 0;

    reader.read(2);
    for (auto names = reader.names(1); !names.empty(); names = reader.names(1), removed++)
        ASSERT_EQ(unlink(names[0]), 0);
    EXPECT_EQ(removed, FIVE.size());
    EXPECT_TRUE(simple_empty(root));
}

TEST_F(DcacheReaddir, ReadersDoNotDisturbEachOther)
{
    create_all(FIVE);
    directory_reader first(root), second(root), third(root);

    first.read(3);
    second.read(3);
    third.read(5);
    EXPECT_THAT(first.names(1), ElementsAre("d"));
    EXPECT_THAT(third.names(1), ElementsAre("b"));
    EXPECT_THAT(second.names(), ElementsAre("d", "c", "b", "a"));
    EXPECT_THAT(first.names(), ElementsAre("c", "b", "a"));
    EXPECT_THAT(third.names(), ElementsAre("a"));
}

TEST_F(DcacheReaddir, AReaderKeepsNoDirectoryFromGoing)
{
    ASSERT_EQ(mkdir("d"), 0);
    ASSERT_EQ(create_at(find("d").get(), "f", 1, 0644), 0);
    dentry_ref d = find("d");
    directory_reader reader(d.get());

    reader.read(2);
    ASSERT_EQ(unlink_at(d.get(), "f", 1), 0);
    EXPECT_EQ(rmdir("d"), 0);
    EXPECT_TRUE(IS_DEADDIR(d_inode(d.get())));
}

TEST_F(DcacheReaddir, TheCursorGoesWithItsFile)
{
    create_all(FIVE);
    {
        directory_reader reader(root);
        const int references = d_count(root);
        reader.read(4);
        EXPECT_EQ(d_count(root), references) << "among the children, but no child";
    }
    for (dentry *child = d_first_child(root); child; child = d_next_sibling(child))
        EXPECT_FALSE(has_flag(child, DCACHE_DENTRY_CURSOR));
}

TEST_F(DcacheReaddir, WithoutMemoryForACursorThereIsNoReading)
{
    file *file = alloc_empty_file(OPEN_RDONLY, &init_cred);
    const path path = {nullptr, root};

    kmem_fail_nth(1);
    EXPECT_EQ(vfs_open(&path, file), -ENOMEM);
    fput(file);
}

// --- Seeking ---

TEST_F(DcacheDirLseek, EveryPositionBeginsWhereItShould)
{
    create_all(FIVE);
    directory_reader reader(root);
    std::vector<std::string> all;
    for (const auto &entry : reader.read())
        all.push_back(entry.name);

    // From every position to every position.
    for (int64_t from = 0; from <= 8; from++) {
        for (int64_t to = 0; to <= 8; to++) {
            EXPECT_EQ(reader.seek(from), from);
            EXPECT_EQ(reader.seek(to), to);
            const auto next = reader.read(1);
            if (to < static_cast<int64_t>(all.size())) {
                ASSERT_EQ(next.size(), 1u) << from << " " << to;
                EXPECT_EQ(next[0].name, all[static_cast<size_t>(to)]) << from;
                EXPECT_EQ(next[0].offset, to);
            } else {
                EXPECT_THAT(next, IsEmpty()) << from << " " << to;
            }
        }
    }
}

TEST_F(DcacheDirLseek, KnowsAbsoluteAndRelativePositions)
{
    create_all(FIVE);
    directory_reader reader(root);

    EXPECT_EQ(reader.seek(3), 3);
    EXPECT_EQ(reader.seek(1, 1), 4);
    EXPECT_EQ(reader.seek(-2, 1), 2);
    EXPECT_EQ(reader.seek(0, 1), 2);
    EXPECT_EQ(reader.seek(-3, 1), -EINVAL);
    EXPECT_EQ(reader.seek(-1), -EINVAL);
    EXPECT_EQ(reader.seek(0, 2), -EINVAL);
    EXPECT_EQ(reader.position(), 2);
    EXPECT_THAT(reader.names(1), ElementsAre("e"));
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
