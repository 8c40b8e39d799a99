// SPDX-License-Identifier: GPL-2.0-only
//
// ramfs: that names stay without anybody using them and go when they are removed, what new inodes
// are like, and that everything goes with the mount.
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "acting_as.h"
#include "dcsim/mockfs/ramfs.h"
#include "dcsim/vfs/libfs.h"
#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

class Ramfs : public ::testing::Test
{
  protected:
    void SetUp() override
    {
        vfs_config config;

        config.dhash_entries = 4;
        ASSERT_EQ(vfs_init(config), 0);
        sb = ramfs_mount({}, "ramfs");
        ASSERT_FALSE(IS_ERR(sb));
        root = sb->s_root;
    }
    void TearDown() override
    {
        kmem_fail_nth(0);
        EXPECT_EQ(ramfs_unmount(sb), 0);
        expect_nothing_left(vfs_exit());
    }

    int create(std::string_view name, umode_t mode = 0644)
    {
        return create_at(root, name.data(), name.size(), mode);
    }
    int mkdir(std::string_view name)
    {
        return mkdir_at(root, name.data(), name.size(), 0755);
    }
    int unlink(std::string_view name)
    {
        return unlink_at(root, name.data(), name.size());
    }
    template <typename Make>
    int make(std::string_view text, Make make)
    {
        qstr name = make_qstr(text.data(), static_cast<u32>(text.size()));
        dentry *dentry = start_creating(root, &name);

        if (IS_ERR(dentry))
            return PTR_ERR(dentry);
        int error = make(d_inode(root), dentry);
        end_creating(dentry);
        return error;
    }
    int symlink(std::string_view name, const char *body)
    {
        return make(name, [body](inode *dir, dentry *d) { return vfs_symlink(dir, d, body); });
    }
    int mknod(std::string_view name, umode_t mode, unsigned device)
    {
        return make(name, [=](inode *dir, dentry *d) { return vfs_mknod(dir, d, mode, device); });
    }
    dentry_ref find(std::string_view name)
    {
        return adopt_dentry(lookup_path(root, name.data(), name.size()));
    }
    inode *inode_of(std::string_view name)
    {
        return d_inode(find(name).get());
    }
    void prune_everything()
    {
        shrink_dcache_sb(sb);
        shrink_dcache_parent(root);
    }

    super_block *sb = nullptr;
    dentry *root = nullptr;
    warning_capture warnings;
};

TEST_F(Ramfs, NamesStayWhoeverWantsMemory)
{
    ASSERT_EQ(mkdir("d"), 0);
    ASSERT_EQ(create_at(find("d").get(), "f", 1, 0644), 0);
    ASSERT_EQ(symlink("l", "body"), 0);
    ASSERT_EQ(link_at(find("d/f").get(), root, "second", 6), 0);
    const ino_t number = inode_of("d/f")->i_ino;

    prune_everything();
    EXPECT_EQ(inode_of("d/f")->i_ino, number);
    EXPECT_EQ(inode_of("second")->i_ino, number);
    EXPECT_TRUE(has_flag(find("l").get(), DCACHE_PERSISTENT));
    EXPECT_EQ(list_lru_count(&sb->s_dentry_lru), 0);
}

TEST_F(Ramfs, NothingIsCachedBeyondItsUse)
{
    dentry_ref fresh = adopt_dentry(d_alloc_name(root, "fresh"));

    EXPECT_TRUE(has_flag(fresh.get(), DCACHE_DONTCACHE)) << "from its beginning";
}

TEST_F(Ramfs, WhatIsRemovedGoesWithItsLastUser)
{
    const counter_change inodes(NR_INODES), dentries(NR_DENTRY);

    ASSERT_EQ(create("f"), 0);
    dentry_ref user = find("f");
    ASSERT_EQ(unlink("f"), 0);
    EXPECT_FALSE(has_flag(user.get(), DCACHE_PERSISTENT));
    EXPECT_EQ(inodes.value(), 1) << "in use";
    user.reset();
    EXPECT_EQ(inodes.value(), 0);
    EXPECT_EQ(dentries.value(), 0);
}

TEST_F(Ramfs, WhatIsMovedStaysPinnedAndWhatItReplacesGoes)
{
    const counter_change inodes(NR_INODES);

    ASSERT_EQ(create("a"), 0);
    ASSERT_EQ(create("b"), 0);
    const ino_t number = inode_of("a")->i_ino;
    ASSERT_EQ(rename_at(root, "a", 1, root, "b", 1, 0), 0);
    prune_everything();
    EXPECT_EQ(inode_of("b")->i_ino, number);
    EXPECT_TRUE(has_flag(find("b").get(), DCACHE_PERSISTENT));
    EXPECT_EQ(inodes.value(), 1);
    ASSERT_EQ(create("c"), 0);
    ASSERT_EQ(rename_at(root, "b", 1, root, "c", 1, RENAME_EXCHANGE_FLAG), 0);
    prune_everything();
    EXPECT_EQ(inode_of("c")->i_ino, number);
    EXPECT_EQ(inodes.value(), 2);
}

TEST_F(Ramfs, AFileGoesWithItsLastName)
{
    const counter_change inodes(NR_INODES);

    ASSERT_EQ(create("f"), 0);
    ASSERT_EQ(link_at(find("f").get(), root, "g", 1), 0);
    EXPECT_EQ(READ_ONCE(inode_of("g")->i_nlink), 2u);
    ASSERT_EQ(unlink("f"), 0);
    EXPECT_EQ(READ_ONCE(inode_of("g")->i_nlink), 1u);
    EXPECT_EQ(inodes.value(), 1);
    ASSERT_EQ(unlink("g"), 0);
    EXPECT_EQ(inodes.value(), 0);
}

TEST_F(Ramfs, NewInodesAreWhatTheyShouldBe)
{
    WRITE_ONCE(d_inode(root)->i_mode, static_cast<umode_t>(S_IFDIR_TYPE | 02777));
    WRITE_ONCE(d_inode(root)->i_gid, 50);
    acting_as user(1000, 1001);

    ASSERT_EQ(create("f", 0666), 0);
    ASSERT_EQ(mkdir("d"), 0);
    ASSERT_EQ(symlink("l", "to/there"), 0);
    ASSERT_EQ(mknod("p", S_IFIFO_TYPE | 0600, 0), 0);
    EXPECT_EQ(READ_ONCE(inode_of("f")->i_mode), S_IFREG_TYPE | 0644) << "umask 022";
    EXPECT_EQ(READ_ONCE(inode_of("f")->i_uid), 1000u);
    EXPECT_EQ(READ_ONCE(inode_of("f")->i_gid), 50u);
    EXPECT_EQ(READ_ONCE(inode_of("d")->i_mode), S_IFDIR_TYPE | 02755);
    EXPECT_EQ(READ_ONCE(inode_of("d")->i_nlink), 2u);
    EXPECT_EQ(READ_ONCE(inode_of("l")->i_mode), S_IFLNK_TYPE | 0777);
    EXPECT_STREQ(READ_ONCE(inode_of("l")->i_link), "to/there");
    EXPECT_EQ(READ_ONCE(inode_of("l")->i_size), 8);
    EXPECT_EQ(READ_ONCE(inode_of("p")->i_mode), S_IFIFO_TYPE | 0600);
}

TEST_F(Ramfs, TheRootIsWhatTheMountSays)
{
    super_block *other = ramfs_mount({.mode = 01750}, "other");

    ASSERT_FALSE(IS_ERR(other));
    EXPECT_EQ(READ_ONCE(d_inode(other->s_root)->i_mode), S_IFDIR_TYPE | 01750);
    EXPECT_EQ(READ_ONCE(d_inode(root)->i_mode), S_IFDIR_TYPE | 0755);
    EXPECT_EQ(ramfs_unmount(other), 0);
}

TEST_F(Ramfs, NamelessFilesGoWithTheirFile)
{
    const counter_change inodes(NR_INODES);
    dentry_ref nameless = adopt_dentry(d_alloc_name(root, "placeholder"));
    file *file = alloc_empty_file(OPEN_RDONLY, &init_cred);

    file->f_path.dentry = nameless.get();
    ASSERT_EQ(d_inode(root)->i_op->tmpfile(d_inode(root), file, S_IFREG_TYPE | 0600), 0);
    EXPECT_EQ(READ_ONCE(d_inode(nameless.get())->i_nlink), 0u);
    nameless.reset();
    EXPECT_EQ(inodes.value(), 1);
    fput(file);
    EXPECT_EQ(inodes.value(), 0);
}

TEST_F(Ramfs, MountsOrLeavesNothing)
{
    for (long n = 1; n <= 3; n++) {
        kmem_fail_nth(n);
        super_block *other = ramfs_mount({}, "other");
        EXPECT_EQ(other, ERR_PTR(-ENOMEM)) << n;
        EXPECT_TRUE(kmem_failure_delivered());
    }
}

TEST_F(Ramfs, MakesOrLeavesNothing)
{
    const counter_change inodes(NR_INODES);
    dentry_ref absent = adopt_dentry(d_alloc_name(root, "absent"));
    inode *dir = d_inode(root);

    inode_lock(dir);
    kmem_fail_nth(1);
    EXPECT_EQ(vfs_create(dir, absent.get(), 0644), -ENOSPC);
    kmem_fail_nth(1);
    EXPECT_EQ(vfs_mkdir(dir, absent.get(), 0755), -ENOSPC);
    kmem_fail_nth(1);
    EXPECT_EQ(vfs_symlink(dir, absent.get(), "body"), -ENOSPC);
    kmem_fail_nth(2);
    EXPECT_EQ(vfs_symlink(dir, absent.get(), "body"), -ENOMEM);
    inode_unlock(dir);
    EXPECT_TRUE(kmem_failure_delivered());
    EXPECT_TRUE(d_is_negative(absent.get()));
    EXPECT_EQ(READ_ONCE(dir->i_nlink), 2u);
    EXPECT_EQ(inodes.value(), 0);
}

TEST_F(Ramfs, UnmountsAWholeTree)
{
    super_block *other = ramfs_mount({}, "other");
    dentry_ref parent = other->s_root;

    for (int depth = 0; depth < 50; depth++) {
        ASSERT_EQ(create_at(parent.get(), "f", 1, 0644), 0);
        ASSERT_EQ(mkdir_at(parent.get(), "d", 1, 0755), 0);
        parent = adopt_dentry(lookup_path(parent.get(), "d", 1));
    }
    parent.reset();
    EXPECT_EQ(ramfs_unmount(other), 0);
}

TEST_F(Ramfs, SaysThatSomebodyIsStillThere)
{
    super_block *other = ramfs_mount({}, "other");

    ASSERT_EQ(create_at(other->s_root, "f", 1, 0644), 0);
    dentry_ref user = adopt_dentry(lookup_path(other->s_root, "f", 1));
    EXPECT_GT(ramfs_unmount(other), 0);
    EXPECT_FALSE(warnings.take().empty());
    // The super block stays as long as its user does.
    user.reset();
    EXPECT_EQ(generic_shutdown_super(other), 0);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
