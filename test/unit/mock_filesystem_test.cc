// SPDX-License-Identifier: GPL-2.0-only
//
// What every mock file system does for those who set one up without knowing which.
#include <set>
#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/kernel/slab.h"
#include "dcsim/mockfs/mock_filesystem.h"
#include "directory_reader.h"
#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::UnorderedElementsAre;

class MockFilesystem : public ::testing::TestWithParam<const mock_filesystem *>
{
  protected:
    void SetUp() override
    {
        vfs_config config;

        config.dhash_entries = 16;
        config.ihash_entries = 16;
        ASSERT_EQ(vfs_init(config), 0);
    }
    void TearDown() override
    {
        kmem_fail_nth(0);
        expect_nothing_left(vfs_exit());
    }

    const mock_filesystem *fs = GetParam();
    super_block *sb = nullptr;
    warning_capture warnings;

    mock_node *add(mock_node *directory, std::string_view name, umode_t mode,
                   const char *body = nullptr)
    {
        mock_node *node = fs->add_node(sb, directory, name.data(), name.size(), mode, body);

        EXPECT_FALSE(IS_ERR(node)) << name;
        return node;
    }
    /// A directory with a file in it, a file and a link.
    void fill()
    {
        mock_node *directory = add(fs->root_node(sb), "d", S_IFDIR_TYPE | 0755);

        add(directory, "f", S_IFREG_TYPE | 0644);
        add(fs->root_node(sb), "g", S_IFREG_TYPE | 0644);
        add(fs->root_node(sb), "l", S_IFLNK_TYPE | 0777, "d/f");
    }
    /// The dentry of a path that must be there.
    dentry_ref find(std::string_view path)
    {
        dentry *found = lookup_path(sb->s_root, path.data(), path.size());

        if (IS_ERR(found)) {
            ADD_FAILURE() << path << ": " << PTR_ERR(found);
            return adopt_dentry(dget(sb->s_root));
        }
        return adopt_dentry(found);
    }
    void mount(const mock_mount_options &options)
    {
        sb = fs->mount(options, "mock");
        ASSERT_FALSE(IS_ERR(sb)) << PTR_ERR(sb);
    }
};

TEST_P(MockFilesystem, MountsFillsWalksAndLeavesNothing)
{
    mount({});
    fill();
    EXPECT_TRUE(d_is_dir(find("d").get()));
    EXPECT_TRUE(d_is_reg(find("d/f").get()));
    EXPECT_TRUE(d_is_symlink(find("l").get()));
    EXPECT_EQ(lookup_path(sb->s_root, "d/none", 6), ERR_PTR(-ENOENT));
    EXPECT_EQ(lookup_path(sb->s_root, "g/f", 3), ERR_PTR(-ENOTDIR));
    shrink_dcache_sb(sb);
    EXPECT_TRUE(d_is_reg(find("d/f").get()));
    EXPECT_EQ(fs->unmount(sb), 0);
}

TEST_P(MockFilesystem, ListsWhatItHas)
{
    mount({});
    fill();
    EXPECT_THAT(directory_reader(sb->s_root).names(), UnorderedElementsAre("d", "g", "l"));
    EXPECT_THAT(directory_reader(find("d").get()).names(), UnorderedElementsAre("f"));
    EXPECT_EQ(fs->unmount(sb), 0);
}

TEST_P(MockFilesystem, NumbersBeginAfterTheGivenOne)
{
    mount({.last_used_ino = 1000});
    fill();
    EXPECT_GT(d_inode(sb->s_root)->i_ino, 1000u);
    EXPECT_GT(d_inode(find("d/f").get())->i_ino, 1000u);
    EXPECT_EQ(fs->unmount(sb), 0);
}

struct watcher {
    std::multiset<std::string> asked;
    int answer = 0;
    std::set<const dentry *> released;

    mock_mount_options options()
    {
        mock_mount_options options;

        options.argument = this;
        options.before_lookup = [](void *argument, inode *, dentry *dentry) {
            auto *self = static_cast<watcher *>(argument);
            self->asked.insert(name_of(dentry));
            return self->answer;
        };
        options.released = [](void *argument, dentry *dentry) {
            static_cast<watcher *>(argument)->released.insert(dentry);
        };
        return options;
    }
};

TEST_P(MockFilesystem, AsksBeforeEachLookup)
{
    watcher who;

    mount(who.options());
    fill();
    find("d/f");
    find("g");
    EXPECT_THAT(who.asked, UnorderedElementsAre("d", "f", "g"));
    who.answer = -EIO;
    EXPECT_EQ(lookup_path(sb->s_root, "l", 1), ERR_PTR(-EIO));
    who.answer = 0;
    EXPECT_TRUE(d_is_symlink(find("l").get())) << "the error left nothing in the cache";
    EXPECT_EQ(fs->unmount(sb), 0);
}

TEST_P(MockFilesystem, TellsOfEveryDentryThatIsFreed)
{
    watcher who;

    mount(who.options());
    fill();
    const dentry *root = sb->s_root;
    const dentry *file = find("d/f").get();
    EXPECT_FALSE(who.released.count(file));
    shrink_dcache_sb(sb);
    shrink_dcache_parent(sb->s_root);
    EXPECT_TRUE(who.released.count(file));
    EXPECT_FALSE(who.released.count(root));
    EXPECT_EQ(fs->unmount(sb), 0);
    EXPECT_TRUE(who.released.count(root));
}

TEST_P(MockFilesystem, RefusesOptionsThatItDoesNotHave)
{
    const mock_option unknown[] = {{"no_such_option", 1}};
    mock_mount_options options;

    options.options = unknown;
    EXPECT_EQ(fs->mount(options, "mock"), ERR_PTR(-EINVAL));
}

TEST_P(MockFilesystem, RefusesNodesThatCannotBe)
{
    mount({});
    fill();
    mock_node *root = fs->root_node(sb);
    EXPECT_EQ(fs->add_node(sb, root, "g", 1, S_IFREG_TYPE | 0644, nullptr), ERR_PTR(-EEXIST));
    EXPECT_EQ(fs->add_node(sb, root, "a/b", 3, S_IFREG_TYPE | 0644, nullptr), ERR_PTR(-EINVAL));
    EXPECT_EQ(fs->add_node(sb, root, "x", 1, S_IFLNK_TYPE | 0777, nullptr), ERR_PTR(-EINVAL));
    EXPECT_EQ(fs->unmount(sb), 0);
}

TEST_P(MockFilesystem, MemoryThatRunsOutLeavesNothingBehind)
{
    long failures = 0;

    for (long nth = 1;; nth++) {
        kmem_fail_nth(nth);
        sb = fs->mount({}, "mock");
        if (!IS_ERR(sb)) {
            mock_node *root = fs->root_node(sb);
            mock_node *d = fs->add_node(sb, root, "d", 1, S_IFDIR_TYPE | 0755, nullptr);
            if (!IS_ERR(d))
                fs->add_node(sb, d, "l", 1, S_IFLNK_TYPE | 0777, "body");
            dentry *found = lookup_path(sb->s_root, "d/l", 3);
            if (!IS_ERR(found))
                dput(found);
            EXPECT_EQ(fs->unmount(sb), 0);
        } else {
            EXPECT_EQ(sb, ERR_PTR(-ENOMEM));
        }
        if (!kmem_failure_delivered())
            break;
        failures++;
    }
    EXPECT_GT(failures, 5);
}

INSTANTIATE_TEST_SUITE_P(All, MockFilesystem,
                         ::testing::ValuesIn(mock_filesystems().begin(), mock_filesystems().end()),
                         [](const auto &info) { return std::string(info.param->name); });

TEST(MockFilesystems, AreFoundByTheirNames)
{
    for (const mock_filesystem *fs : mock_filesystems())
        EXPECT_EQ(find_mock_filesystem(fs->name), fs);
    EXPECT_EQ(find_mock_filesystem("memfs"), &memfs_filesystem);
    EXPECT_EQ(find_mock_filesystem("ext2"), nullptr);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
