// SPDX-License-Identifier: GPL-2.0-only
//
// The life of a mount, its references, and finding it. What RCU walks see of that is explored in
// explore/mount_walk_test.cc.
#include <latch>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mount_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using VfsCreateMount = mount_fixture;
using CloneMnt = mount_fixture;
using Mntput = mount_fixture;
using LookupMnt = mount_fixture;
using LegitimizeMnt = mount_fixture;
using IsLocalMountpoint = mount_fixture;
using PathIsUnder = mount_fixture;

// --- Making ---

TEST_F(VfsCreateMount, IsTheTopOfATreeOfItsOwn)
{
    EXPECT_EQ(READ_ONCE(other->mnt_parent), other);
    EXPECT_EQ(READ_ONCE(other->mnt_mountpoint), other_sb->s_root);
    EXPECT_EQ(other->mnt.mnt_root, other_sb->s_root);
    EXPECT_EQ(other->mnt.mnt_sb, other_sb);
    EXPECT_EQ(real_mount(&other->mnt), other);
    EXPECT_FALSE(in_namespace(other));
    EXPECT_EQ(references(other), 1);
}

TEST_F(VfsCreateMount, HoldsTheRoot)
{
    int before = d_count(root);
    mount *another = vfs_create_mount(sb);

    EXPECT_EQ(d_count(root), before + 1);
    mntput(&another->mnt);
    EXPECT_EQ(d_count(root), before);
}

TEST_F(VfsCreateMount, ReturnsNullWithoutMemory)
{
    int before = d_count(root);

    kmem_fail_nth(1);
    EXPECT_EQ(vfs_create_mount(sb), nullptr);
    EXPECT_EQ(d_count(root), before);
    EXPECT_EQ(mounts(), 2);
}

TEST_F(CloneMnt, ShowsThePartThatItIsGiven)
{
    WRITE_ONCE(other->mnt.mnt_flags, MNT_READONLY | MNT_UMOUNT);
    dentry_ref inside = inside_other("in");
    mount *clone = clone_mnt(other, inside.get());

    EXPECT_EQ(clone->mnt.mnt_root, inside.get());
    EXPECT_EQ(clone->mnt.mnt_sb, other_sb);
    EXPECT_EQ(mount_flags_of(clone), MNT_READONLY);
    EXPECT_FALSE(is_attached(clone));
    mntput(&clone->mnt);
    WRITE_ONCE(other->mnt.mnt_flags, 0);
}

TEST_F(VfsCreateMount, MayBeReadOnly)
{
    EXPECT_EQ(mnt_want_write(&other->mnt), 0);
    WRITE_ONCE(other->mnt.mnt_flags, MNT_READONLY);
    EXPECT_EQ(mnt_want_write(&other->mnt), -EROFS);
}

// --- References ---

TEST_F(Mntput, OfTheLastUserFreesTheMount)
{
    mount *third = vfs_create_mount(other_sb);
    int before = d_count(other_sb->s_root);

    mntget(&third->mnt);
    mntput(&third->mnt);
    EXPECT_EQ(mounts(), 3);
    EXPECT_EQ(d_count(other_sb->s_root), before);
    mntput(&third->mnt);
    EXPECT_EQ(mounts(), 2);
    EXPECT_EQ(d_count(other_sb->s_root), before - 1);
}

TEST_F(Mntput, OfNullDoesNothing)
{
    path nowhere = {nullptr, nullptr};

    EXPECT_EQ(mntget(nullptr), nullptr);
    mntput(nullptr);
    path_get(&nowhere);
    path_put(&nowhere);
}

TEST_F(Mntput, OfAPathGivesBothHalvesBack)
{
    path path = at(other, other_sb->s_root);
    int mount_before = references(other), dentry_before = d_count(other_sb->s_root);

    path_get(&path);
    EXPECT_EQ(references(other), mount_before + 1);
    EXPECT_EQ(d_count(other_sb->s_root), dentry_before + 1);
    path_put(&path);
    EXPECT_EQ(references(other), mount_before);
    EXPECT_EQ(d_count(other_sb->s_root), dentry_before);
}

// A walk upwards may be in the middle of it.
TEST_F(Mntput, KeepsTheMemoryForAGracePeriod)
{
    mount *third = vfs_create_mount(other_sb);
    std::latch reading(1), may_leave(1);
    std::jthread reader([&] {
        rcu_read_lock();
        reading.count_down();
        may_leave.wait();
        rcu_read_unlock();
    });

    reading.wait();
    mntput(&third->mnt);
    EXPECT_EQ(mount_count(), 3);
    EXPECT_TRUE(mount_flags_of(third) & MNT_DOOMED);
    may_leave.count_down();
    reader.join();
    EXPECT_EQ(mounts(), 2);
}

TEST_F(Mntput, TooManyIsNoticed)
{
    mount *third = vfs_create_mount(other_sb);

    rcu_read_lock(); // keeps the memory
    WRITE_ONCE(third->mnt_count, 0);
    rcu_read_unlock();
    mntput(&third->mnt);
    EXPECT_THAT(warnings.take(), ::testing::ElementsAre(::testing::HasSubstr("count < 0")));
    WRITE_ONCE(third->mnt_count, 1);
    mntput(&third->mnt);
}

// --- Finding ---

TEST_F(LookupMnt, ReturnsAReference)
{
    EXPECT_EQ(found(top, directory.get()), nullptr);
    ASSERT_EQ(attach(other, top, directory.get()), 0);
    int before = references(other);
    EXPECT_EQ(found(top, directory.get()), other);
    EXPECT_EQ(references(other), before + 1);
    mntput(&other->mnt);
    // The same dentry seen from elsewhere is another place.
    EXPECT_EQ(found(other, directory.get()), nullptr);
    EXPECT_EQ(found(top, root), nullptr);
}

TEST_F(LookupMnt, FindsEachOfMany)
{
    constexpr int many = 300;
    std::vector<dentry_ref> places;
    std::vector<mount *> views;

    for (int i = 0; i < many; i++) {
        places.push_back(make_directory(root, "place" + std::to_string(i)));
        views.push_back(bind(top, directory.get(), top, places[i].get()));
    }
    for (int i = 0; i < many; i++) {
        mount *view = found(top, places[i].get());
        EXPECT_EQ(view, views[i]);
        mntput(&view->mnt);
        mntput(&view->mnt);
    }
}

TEST_F(LegitimizeMnt, TakesAReferenceWhenNothingMoved)
{
    unsigned seq = read_seqbegin(&mount_lock);
    int before = references(other);

    rcu_read_lock();
    EXPECT_EQ(__legitimize_mnt(&other->mnt, seq), 0);
    EXPECT_EQ(__legitimize_mnt(nullptr, seq), 0);
    rcu_read_unlock();
    EXPECT_EQ(references(other), before + 1);
    mntput(&other->mnt);
}

TEST_F(LegitimizeMnt, TakesNoneWhenMountsMovedBefore)
{
    unsigned seq = read_seqbegin(&mount_lock);

    ASSERT_EQ(attach(other, top, directory.get()), 0);
    int before = references(other);
    rcu_read_lock();
    EXPECT_EQ(__legitimize_mnt(&other->mnt, seq), 1);
    EXPECT_EQ(__legitimize_mnt(nullptr, seq), 1);
    rcu_read_unlock();
    EXPECT_EQ(references(other), before);
}

TEST_F(IsLocalMountpoint, AsksThroughWhateverMountItIsSeen)
{
    dentry_ref view_place = make_directory(root, "view");
    mount *view = bind(top, root, top, view_place.get());

    EXPECT_FALSE(is_local_mountpoint(directory.get()));
    ASSERT_EQ(attach(other, view, directory.get()), 0);
    EXPECT_TRUE(is_local_mountpoint(directory.get()));
    EXPECT_FALSE(is_local_mountpoint(file.get()));
    ASSERT_EQ(do_umount(other, 0), 0);
    EXPECT_FALSE(is_local_mountpoint(directory.get()));
    mntput(&view->mnt);
}

TEST_F(IsLocalMountpoint, DoesNotCountWhatLeftTheNamespace)
{
    dentry_ref inside = inside_other("in");
    mount *third = vfs_create_mount(sb);

    ASSERT_EQ(attach(other, top, directory.get()), 0);
    ASSERT_EQ(attach(third, other, inside.get()), 0);
    EXPECT_TRUE(is_local_mountpoint(inside.get()));
    detach_mounts(directory.get());
    EXPECT_TRUE(d_mountpoint(inside.get()));
    EXPECT_FALSE(is_local_mountpoint(inside.get()));
    mntput(&third->mnt);
}

TEST_F(PathIsUnder, GoesUpAcrossMounts)
{
    dentry_ref inside = inside_other("in");
    path deep = at(other, inside.get()), whole = at(top, root),
         mountpoint = at(top, directory.get());
    path elsewhere = at(top, file.get()), covering = at(other, other_sb->s_root);

    EXPECT_FALSE(path_is_under(&deep, &whole));
    ASSERT_EQ(attach(other, top, directory.get()), 0);
    EXPECT_TRUE(path_is_under(&deep, &whole));
    EXPECT_TRUE(path_is_under(&deep, &mountpoint));
    EXPECT_TRUE(path_is_under(&deep, &covering));
    EXPECT_TRUE(path_is_under(&deep, &deep));
    EXPECT_FALSE(path_is_under(&deep, &elsewhere));
    EXPECT_FALSE(path_is_under(&mountpoint, &covering));
    EXPECT_FALSE(path_is_under(&covering, &deep));
}

// What a bind mount does not show is not under its root, whatever the file system says.
TEST_F(PathIsUnder, DoesNotLeaveAMountByItsFileSystem)
{
    dentry_ref inside = make_directory(directory.get(), "inside");
    dentry_ref view_place = make_directory(root, "view");
    mount *view = bind(top, inside.get(), top, view_place.get());
    path seen_inside = at(view, inside.get()), above = at(top, directory.get());

    EXPECT_FALSE(path_is_under(&seen_inside, &above));
    mntput(&view->mnt);
}

// --- What is left at the end ---

TEST(MountLeak, IsReportedByVfsExit)
{
    warning_capture warnings;
    ASSERT_EQ(vfs_init({.dhash_entries = 2, .ihash_entries = 2}), 0);
    static constexpr file_system_type type = {"leakfs"};
    super_block *leaking = alloc_super(&type, "leak");
    inode *inode = new_inode(leaking);

    WRITE_ONCE(inode->i_mode, S_IFDIR_TYPE);
    leaking->s_root = d_make_root(inode);
    static mount *forgotten; // where LeakSanitizer does not mind it
    forgotten = vfs_create_mount(leaking);
    dput(forgotten->mnt.mnt_root); // only the mount itself is to be left
    EXPECT_EQ(generic_shutdown_super(leaking), 0);
    vfs_leaks leaks = vfs_exit();
    EXPECT_EQ(leaks.mounts, 1);
    EXPECT_FALSE(leaks.none());
    leaks.mounts = 0;
    EXPECT_TRUE(leaks.none());
    EXPECT_THAT(warnings.take(), ::testing::ElementsAre(::testing::HasSubstr("mnt_cache")));
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
