// SPDX-License-Identifier: GPL-2.0-only
//
// The life of a mount, attaching and detaching, and mountpoints that are removed or invalidated
// meanwhile. What RCU walks see of it is explored in explore/mount_walk_test.cc.
#include <latch>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/vfs/fs_struct.h"
#include "dcsim/vfs/mount.h"
#include "threads.h"
#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// The fixture's file system at the top of the namespace, with a directory to mount on, and a
/// second file system mounted nowhere yet. The test has a reference on each of the two mounts.
class mount_fixture : public vfs_fixture
{
  protected:
    void SetUp() override
    {
        vfs_fixture::SetUp();
        top = vfs_create_mount(sb);
        set_namespace_root(top);
        other_sb = make_super_block();
        other = vfs_create_mount(other_sb);
        directory = make_directory(root, "directory");
        file = make_file(root, "file");
    }

    void TearDown() override
    {
        directory.reset();
        file.reset();
        set_namespace_root(nullptr);
        mntput(&other->mnt);
        mntput(&top->mnt);
        rcu_barrier();
        EXPECT_EQ(mount_count(), 0);
        EXPECT_EQ(generic_shutdown_super(other_sb), 0);
        vfs_fixture::TearDown();
    }

    static path at(mount *mnt, dentry *dentry)
    {
        return {&mnt->mnt, dentry};
    }

    /// do_add_mount() after which the caller still has its reference.
    static int attach(mount *mnt, mount *where, dentry *dentry)
    {
        path path = at(where, dentry);
        int error;

        mntget(&mnt->mnt);
        error = do_add_mount(mnt, &path);
        if (error)
            mntput(&mnt->mnt);
        return error;
    }

    /// What is mounted there; the caller has a reference.
    static mount *found(mount *mnt, dentry *dentry)
    {
        path path = at(mnt, dentry);
        vfsmount *mounted = lookup_mnt(&path);
        return mounted ? real_mount(mounted) : nullptr;
    }

    /// do_loopback() of the whole file system of `old`; the new mount, with a reference.
    static mount *bind(mount *old, dentry *from, mount *where, dentry *dentry)
    {
        path source = at(old, from), target = at(where, dentry);
        EXPECT_EQ(do_loopback(&source, &target), 0);
        return found(where, dentry);
    }

    static bool is_mountpoint(mount *mnt, dentry *dentry)
    {
        path path = at(mnt, dentry);

        read_seqlock_excl(&mount_lock);
        bool mounted = __path_is_mountpoint(&path);
        read_sequnlock_excl(&mount_lock);
        return mounted;
    }

    static bool is_attached(const mount *mnt)
    {
        return mnt_has_parent(mnt);
    }

    static bool in_namespace(const mount *mnt)
    {
        return READ_ONCE(mnt->mnt_ns) == &init_mnt_ns;
    }

    static int references(const mount *mnt)
    {
        return READ_ONCE(mnt->mnt_count);
    }

    static unsigned mount_flags_of(const mount *mnt)
    {
        return READ_ONCE(mnt->mnt.mnt_flags);
    }

    /// Mounts that exist, once those that wait for RCU are gone.
    static long mounts()
    {
        rcu_barrier();
        return mount_count();
    }

    dentry_ref inside_other(const char *name)
    {
        return make_child(other_sb->s_root, name, make_inode(other_sb, S_IFDIR_TYPE));
    }

    mount *top;
    super_block *other_sb;
    mount *other;
    dentry_ref directory;
    dentry_ref file;
};

using VfsCreateMount = mount_fixture;
using CloneMnt = mount_fixture;
using Mntput = mount_fixture;
using SetNamespaceRoot = mount_fixture;
using DoAddMount = mount_fixture;
using DoLoopback = mount_fixture;
using DoMoveMount = mount_fixture;
using DoUmount = mount_fixture;
using LazyUmount = mount_fixture;
using DetachMounts = mount_fixture;
using LookupMnt = mount_fixture;
using LegitimizeMnt = mount_fixture;
using IsLocalMountpoint = mount_fixture;
using PathIsUnder = mount_fixture;
using MountAgainstRemoval = mount_fixture;

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

// --- The top of the namespace ---

TEST_F(SetNamespaceRoot, TakesAReference)
{
    EXPECT_TRUE(in_namespace(top));
    EXPECT_EQ(READ_ONCE(init_mnt_ns.root), top);
    EXPECT_EQ(references(top), 2);
    set_namespace_root(nullptr);
    EXPECT_FALSE(in_namespace(top));
    EXPECT_EQ(READ_ONCE(init_mnt_ns.root), nullptr);
    EXPECT_EQ(references(top), 1);
}

TEST_F(SetNamespaceRoot, DetachesEverythingThatWasThere)
{
    dentry_ref inside = inside_other("in");
    mount *third = vfs_create_mount(sb);

    ASSERT_EQ(attach(other, top, directory.get()), 0);
    ASSERT_EQ(attach(third, other, inside.get()), 0);
    EXPECT_EQ(init_mnt_ns.nr_mounts, 3u);
    mount *successor = vfs_create_mount(sb);
    set_namespace_root(successor);
    EXPECT_EQ(init_mnt_ns.nr_mounts, 1u);
    EXPECT_EQ(READ_ONCE(init_mnt_ns.root), successor);
    for (mount *mnt : {top, other, third}) {
        EXPECT_FALSE(in_namespace(mnt));
        EXPECT_FALSE(is_attached(mnt));
        EXPECT_EQ(references(mnt), 1);
    }
    EXPECT_FALSE(d_mountpoint(directory.get()));
    EXPECT_FALSE(d_mountpoint(inside.get()));
    mntput(&third->mnt);
    mntput(&successor->mnt);
}

TEST_F(SetNamespaceRoot, IsNotForAMountThatWasThereBefore)
{
    set_namespace_root(nullptr);
    set_namespace_root(top);
    EXPECT_THAT(warnings.take(), ::testing::ElementsAre(::testing::HasSubstr("MNT_UMOUNT")));
    EXPECT_FALSE(in_namespace(top));
}

// --- Attaching ---

TEST_F(DoAddMount, MakesTheDentryAMountpoint)
{
    int before = d_count(directory.get());

    ASSERT_EQ(attach(other, top, directory.get()), 0);
    EXPECT_TRUE(d_mountpoint(directory.get()));
    EXPECT_EQ(READ_ONCE(other->mnt_parent), top);
    EXPECT_EQ(READ_ONCE(other->mnt_mountpoint), directory.get());
    EXPECT_EQ(d_count(directory.get()), before + 1);
    EXPECT_TRUE(is_mountpoint(top, directory.get()));
    EXPECT_FALSE(is_mountpoint(other, directory.get()));
    EXPECT_FALSE(is_mountpoint(top, root));
}

TEST_F(DoAddMount, GivesTheCallersReferenceToTheNamespace)
{
    path where = at(top, directory.get());
    mount *third = vfs_create_mount(other_sb);
    int of_parent = references(top);

    ASSERT_EQ(do_add_mount(third, &where), 0);
    EXPECT_EQ(references(third), 1);
    // Whoever is attached holds its parent.
    EXPECT_EQ(references(top), of_parent + 1);
    EXPECT_TRUE(in_namespace(third));
}

TEST_F(DoAddMount, IsSeenByPathHasSubmounts)
{
    path from_root = at(top, root), from_file = at(top, file.get());

    EXPECT_FALSE(path_has_submounts(&from_root));
    ASSERT_EQ(attach(other, top, directory.get()), 0);
    EXPECT_TRUE(path_has_submounts(&from_root));
    EXPECT_FALSE(path_has_submounts(&from_file));
}

TEST_F(DoAddMount, StacksOnTopOfWhatIsMountedThere)
{
    super_block *third_sb = make_super_block();
    mount *third = vfs_create_mount(third_sb);
    mount *fourth = vfs_create_mount(sb);

    ASSERT_EQ(attach(other, top, directory.get()), 0);
    ASSERT_EQ(attach(third, top, directory.get()), 0);
    EXPECT_EQ(READ_ONCE(third->mnt_parent), other);
    EXPECT_EQ(READ_ONCE(third->mnt_mountpoint), other_sb->s_root);
    ASSERT_EQ(attach(fourth, top, directory.get()), 0);
    EXPECT_EQ(READ_ONCE(fourth->mnt_parent), third);

    // Coming off in the opposite order; the one below is busy until then.
    EXPECT_EQ(do_umount(third, 0), -EBUSY);
    EXPECT_EQ(do_umount(fourth, 0), 0);
    EXPECT_EQ(do_umount(third, 0), 0);
    EXPECT_TRUE(is_mountpoint(top, directory.get()));
    mntput(&third->mnt);
    mntput(&fourth->mnt);
    EXPECT_EQ(generic_shutdown_super(third_sb), 0);
}

TEST_F(DoAddMount, RefusesTheFileSystemThatIsOnTopThereAlready)
{
    mount *second = vfs_create_mount(other_sb);
    int before = references(second);

    ASSERT_EQ(attach(other, top, directory.get()), 0);
    EXPECT_EQ(attach(second, top, directory.get()), -EBUSY);
    EXPECT_FALSE(is_attached(second));
    EXPECT_EQ(references(second), before);
    mntput(&second->mnt);
}

TEST_F(DoAddMount, LetsOneDentryBeAMountpointInTwoMounts)
{
    dentry_ref view_place = make_directory(root, "view");
    mount *view = bind(top, root, top, view_place.get());
    mount *third = vfs_create_mount(other_sb);

    ASSERT_EQ(attach(other, top, directory.get()), 0);
    EXPECT_EQ(attach(third, view, directory.get()), 0);
    EXPECT_TRUE(is_mountpoint(view, directory.get()));

    EXPECT_EQ(do_umount(other, 0), 0);
    EXPECT_FALSE(is_mountpoint(top, directory.get()));
    EXPECT_TRUE(is_mountpoint(view, directory.get()));
    EXPECT_TRUE(d_mountpoint(directory.get()));
    EXPECT_EQ(do_umount(third, 0), 0);
    EXPECT_FALSE(d_mountpoint(directory.get()));
    mntput(&third->mnt);
    mntput(&view->mnt);
}

TEST_F(DoAddMount, RefusesARemovedDirectory)
{
    dont_mount(directory.get());
    EXPECT_EQ(attach(other, top, directory.get()), -ENOENT);
    EXPECT_FALSE(d_mountpoint(directory.get()));
}

TEST_F(DoAddMount, RefusesADroppedDirectory)
{
    d_drop(directory.get());
    EXPECT_EQ(attach(other, top, directory.get()), -ENOENT);
}

TEST_F(DoAddMount, RefusesADirectoryBelowADroppedOne)
{
    dentry_ref below = make_directory(directory.get(), "below");

    d_drop(directory.get());
    EXPECT_EQ(attach(other, top, below.get()), -ENOENT);
    EXPECT_FALSE(d_mountpoint(below.get()));
}

TEST_F(DoAddMount, RefusesADroppedDirectoryThatAnotherMountHasMarked)
{
    dentry_ref view_place = make_directory(root, "view");
    mount *view = bind(top, root, top, view_place.get());
    mount *third = vfs_create_mount(other_sb);

    ASSERT_EQ(attach(other, top, directory.get()), 0);
    d_drop(directory.get());
    EXPECT_EQ(attach(third, view, directory.get()), -ENOENT);
    mntput(&third->mnt);
    mntput(&view->mnt);
}

TEST_F(DoAddMount, RefusesANegativeDentry)
{
    dentry_ref absent = make_negative(root, "absent");

    EXPECT_EQ(attach(other, top, absent.get()), -ENOENT);
}

TEST_F(DoAddMount, RefusesADirectoryOnAFile)
{
    EXPECT_EQ(attach(other, top, file.get()), -ENOTDIR);
    EXPECT_FALSE(d_mountpoint(file.get()));
}

TEST_F(DoAddMount, RefusesAMountThatIsAttached)
{
    dentry_ref elsewhere = make_directory(root, "elsewhere");

    ASSERT_EQ(attach(other, top, directory.get()), 0);
    EXPECT_EQ(attach(other, top, elsewhere.get()), -EINVAL);
    EXPECT_EQ(attach(top, top, elsewhere.get()), -EINVAL);
    EXPECT_FALSE(d_mountpoint(elsewhere.get()));
}

TEST_F(DoAddMount, RefusesAMountThatWasAttachedBefore)
{
    ASSERT_EQ(attach(other, top, directory.get()), 0);
    ASSERT_EQ(do_umount(other, 0), 0);
    EXPECT_EQ(attach(other, top, directory.get()), -EINVAL);
    EXPECT_FALSE(d_mountpoint(directory.get()));
}

TEST_F(DoAddMount, RefusesAPlaceOutsideTheNamespace)
{
    dentry_ref inside = inside_other("in");
    mount *third = vfs_create_mount(sb);

    EXPECT_EQ(attach(third, other, inside.get()), -ENOENT);
    ASSERT_EQ(attach(other, top, directory.get()), 0);
    ASSERT_EQ(do_umount(other, MNT_DETACH_FLAG), 0);
    EXPECT_EQ(attach(third, other, inside.get()), -ENOENT);
    EXPECT_FALSE(d_mountpoint(inside.get()));
    mntput(&third->mnt);
}

TEST_F(DoAddMount, RefusesMoreMountsThanTheSysctlAllows)
{
    unsigned before = init_mnt_ns.nr_mounts;

    init_mnt_ns.nr_mounts = sysctl_mount_max;
    EXPECT_EQ(attach(other, top, directory.get()), -ENOSPC);
    EXPECT_FALSE(d_mountpoint(directory.get()));
    EXPECT_FALSE(d_mountpoint(other_sb->s_root));
    init_mnt_ns.nr_mounts = sysctl_mount_max - 1;
    EXPECT_EQ(attach(other, top, directory.get()), 0);
    EXPECT_EQ(do_umount(other, 0), 0);
    init_mnt_ns.nr_mounts = before;
}

TEST_F(DoAddMount, LeavesNothingBehindWithoutMemory)
{
    int of_directory = d_count(directory.get()), of_root = d_count(other_sb->s_root);
    int attempts = 0, error;

    do {
        kmem_fail_nth(++attempts);
        error = attach(other, top, directory.get());
        if (!error)
            break;
        EXPECT_EQ(error, -ENOMEM);
        EXPECT_FALSE(d_mountpoint(directory.get()));
        EXPECT_FALSE(d_mountpoint(other_sb->s_root));
        EXPECT_EQ(d_count(directory.get()), of_directory);
        EXPECT_EQ(d_count(other_sb->s_root), of_root);
        EXPECT_EQ(references(other), 1);
    } while (attempts < 10);
    kmem_fail_nth(0);
    // One mountpoint for the place, one for a moment at the root.
    EXPECT_EQ(attempts, 3);
    EXPECT_EQ(error, 0);
}

TEST_F(DoAddMount, TouchesNothingWhenItRefuses)
{
    int before = d_count(file.get());

    EXPECT_EQ(attach(other, top, file.get()), -ENOTDIR);
    EXPECT_EQ(d_count(file.get()), before);
    EXPECT_FALSE(is_attached(other));
}

// --- Bind mounts ---

TEST_F(DoLoopback, ShowsAPartOfAnotherMount)
{
    dentry_ref inside = inside_other("in");

    ASSERT_EQ(attach(other, top, directory.get()), 0);
    dentry_ref view_place = make_directory(root, "view");
    mount *view = bind(other, inside.get(), top, view_place.get());
    ASSERT_NE(view, nullptr);
    EXPECT_EQ(view->mnt.mnt_root, inside.get());
    EXPECT_EQ(view->mnt.mnt_sb, other_sb);
    EXPECT_EQ(READ_ONCE(view->mnt_parent), top);
    EXPECT_EQ(READ_ONCE(view->mnt_mountpoint), view_place.get());
    // The namespace's, and ours.
    EXPECT_EQ(references(view), 2);
    mntput(&view->mnt);
}

TEST_F(DoLoopback, DoesNotShowWhatIsMountedInIt)
{
    ASSERT_EQ(attach(other, top, directory.get()), 0);
    dentry_ref view_place = make_directory(root, "view");
    mount *view = bind(top, root, top, view_place.get());

    EXPECT_TRUE(is_mountpoint(top, directory.get()));
    EXPECT_FALSE(is_mountpoint(view, directory.get()));
    mntput(&view->mnt);
}

TEST_F(DoLoopback, OfADirectoryOntoItselfStacks)
{
    mount *once = bind(top, directory.get(), top, directory.get());
    path source = at(top, directory.get());

    EXPECT_EQ(READ_ONCE(once->mnt_parent), top);
    // The source is what its path names, the target what is on top of that.
    ASSERT_EQ(do_loopback(&source, &source), 0);
    mount *twice = found(once, directory.get());
    ASSERT_NE(twice, nullptr);
    EXPECT_EQ(READ_ONCE(twice->mnt_parent), once);
    mntput(&once->mnt);
    mntput(&twice->mnt);
}

TEST_F(DoLoopback, OfAFileGoesOntoAFile)
{
    dentry_ref another = make_file(root, "another");
    path source = at(top, file.get()), target = at(top, another.get());
    path wrong = at(top, directory.get());

    EXPECT_EQ(do_loopback(&source, &wrong), -ENOTDIR);
    EXPECT_EQ(do_loopback(&wrong, &source), -ENOTDIR);
    EXPECT_EQ(mounts(), 2);
    ASSERT_EQ(do_loopback(&source, &target), 0);
    EXPECT_TRUE(is_mountpoint(top, another.get()));
}

TEST_F(DoLoopback, KeepsTheFlagsOfTheMountButMayBeUmounted)
{
    WRITE_ONCE(top->mnt.mnt_flags, mount_flags_of(top) | MNT_READONLY);
    mount *view = bind(top, root, top, directory.get());

    EXPECT_EQ(mount_flags_of(view), MNT_READONLY);
    EXPECT_EQ(do_umount(view, 0), 0);
    mntput(&view->mnt);
}

TEST_F(DoLoopback, RefusesASourceOutsideTheNamespace)
{
    path source = at(other, other_sb->s_root), target = at(top, directory.get());

    EXPECT_EQ(do_loopback(&source, &target), -EINVAL);
    EXPECT_FALSE(d_mountpoint(directory.get()));
}

TEST_F(DoLoopback, RefusesASourceThatIsRemoved)
{
    dentry_ref place = make_directory(root, "place");
    path source = at(top, directory.get()), target = at(top, place.get());

    d_drop(directory.get());
    EXPECT_EQ(do_loopback(&source, &target), -ENOENT);
    EXPECT_EQ(mounts(), 2);
    EXPECT_FALSE(d_mountpoint(place.get()));
}

TEST_F(DoLoopback, LeavesNothingBehindWithoutMemory)
{
    path source = at(top, root), target = at(top, directory.get());
    int of_root = d_count(root), attempts = 0, error;

    do {
        kmem_fail_nth(++attempts);
        error = do_loopback(&source, &target);
        if (!error)
            break;
        EXPECT_EQ(error, -ENOMEM);
        EXPECT_EQ(mounts(), 2);
        EXPECT_EQ(d_count(root), of_root);
        EXPECT_FALSE(d_mountpoint(directory.get()));
        EXPECT_FALSE(d_mountpoint(root));
    } while (attempts < 10);
    kmem_fail_nth(0);
    EXPECT_EQ(attempts, 4);
    EXPECT_EQ(error, 0);
}

// --- Moving ---

TEST_F(DoMoveMount, TakesWhatIsMountedOnItAlong)
{
    dentry_ref inside = inside_other("in"), elsewhere = make_directory(root, "elsewhere");
    mount *third = vfs_create_mount(sb);
    path from = at(other, other_sb->s_root), to = at(top, elsewhere.get());
    int of_top = references(top);

    ASSERT_EQ(attach(other, top, directory.get()), 0);
    ASSERT_EQ(attach(third, other, inside.get()), 0);
    int of_other = references(other);
    ASSERT_EQ(do_move_mount(&from, &to), 0);
    EXPECT_FALSE(d_mountpoint(directory.get()));
    EXPECT_FALSE(is_mountpoint(top, directory.get()));
    EXPECT_TRUE(is_mountpoint(top, elsewhere.get()));
    EXPECT_TRUE(is_mountpoint(other, inside.get()));
    EXPECT_TRUE(in_namespace(other));
    EXPECT_EQ(references(other), of_other);
    EXPECT_EQ(references(top), of_top + 1);
    EXPECT_EQ(init_mnt_ns.nr_mounts, 3u);
    mntput(&third->mnt);
}

TEST_F(DoMoveMount, RefusesALoop)
{
    dentry_ref inside = inside_other("in");
    path from = at(other, other_sb->s_root), to = at(other, inside.get());

    ASSERT_EQ(attach(other, top, directory.get()), 0);
    EXPECT_EQ(do_move_mount(&from, &to), -ELOOP);
    EXPECT_TRUE(is_mountpoint(top, directory.get()));
    EXPECT_FALSE(d_mountpoint(inside.get()));
}

TEST_F(DoMoveMount, RefusesWhatIsNoMountThatMayMove)
{
    dentry_ref inside = inside_other("in");
    path target = at(top, directory.get()), onto_a_file = at(top, file.get());
    path whole = at(top, root), unattached = at(other, other_sb->s_root);
    path part = at(other, inside.get());

    EXPECT_EQ(do_move_mount(&whole, &target), -EINVAL);
    EXPECT_EQ(do_move_mount(&unattached, &target), -EINVAL);
    ASSERT_EQ(attach(other, top, directory.get()), 0);
    EXPECT_EQ(do_move_mount(&part, &target), -EINVAL);
    EXPECT_EQ(do_move_mount(&unattached, &onto_a_file), -EINVAL);
    EXPECT_TRUE(is_mountpoint(top, directory.get()));
}

// --- Detaching ---

TEST_F(DoUmount, UndoesAttaching)
{
    int before = d_count(directory.get());
    mount *third = vfs_create_mount(other_sb);

    ASSERT_EQ(attach(other, top, directory.get()), 0);
    ASSERT_EQ(do_umount(other, 0), 0);
    EXPECT_FALSE(is_attached(other));
    EXPECT_FALSE(in_namespace(other));
    EXPECT_FALSE(is_mountpoint(top, directory.get()));
    EXPECT_FALSE(d_mountpoint(directory.get()));
    EXPECT_EQ(d_count(directory.get()), before);
    EXPECT_EQ(references(other), 1);
    EXPECT_EQ(references(top), 2);
    EXPECT_EQ(init_mnt_ns.nr_mounts, 1u);
    // And the place is free again.
    EXPECT_EQ(attach(third, top, directory.get()), 0);
    mntput(&third->mnt);
}

TEST_F(DoUmount, RefusesWhatIsNotInTheNamespace)
{
    EXPECT_EQ(do_umount(other, 0), -EINVAL);
    EXPECT_EQ(do_umount(other, MNT_DETACH_FLAG), -EINVAL);
    ASSERT_EQ(attach(other, top, directory.get()), 0);
    ASSERT_EQ(do_umount(other, 0), 0);
    EXPECT_EQ(do_umount(other, MNT_DETACH_FLAG), -EINVAL);
}

TEST_F(DoUmount, RefusesTheTopOfTheNamespace)
{
    EXPECT_EQ(do_umount(top, 0), -EINVAL);
    EXPECT_EQ(do_umount(top, MNT_DETACH_FLAG), -EINVAL);
    EXPECT_TRUE(in_namespace(top));
}

TEST_F(DoUmount, IsBusyWhileAPathIsHeld)
{
    path held = at(other, other_sb->s_root);

    ASSERT_EQ(attach(other, top, directory.get()), 0);
    path_get(&held);
    EXPECT_EQ(do_umount(other, 0), -EBUSY);
    EXPECT_TRUE(is_mountpoint(top, directory.get()));
    path_put(&held);
    EXPECT_EQ(do_umount(other, 0), 0);
}

TEST_F(DoUmount, IsBusyWhileItIsSomebodysWorkingDirectory)
{
    path held = at(other, other_sb->s_root), nowhere = {nullptr, nullptr};

    ASSERT_EQ(attach(other, top, directory.get()), 0);
    set_fs_pwd(&init_fs, &held);
    EXPECT_EQ(do_umount(other, 0), -EBUSY);
    set_fs_pwd(&init_fs, &nowhere);
    EXPECT_EQ(do_umount(other, 0), 0);
}

TEST_F(DoUmount, IsBusyWhileSomethingIsMountedOnIt)
{
    dentry_ref inside = inside_other("in");
    mount *third = vfs_create_mount(sb);

    ASSERT_EQ(attach(other, top, directory.get()), 0);
    ASSERT_EQ(attach(third, other, inside.get()), 0);
    EXPECT_EQ(do_umount(other, 0), -EBUSY);
    EXPECT_EQ(READ_ONCE(third->mnt_parent), other);
    EXPECT_EQ(do_umount(third, 0), 0);
    EXPECT_EQ(do_umount(other, 0), 0);
    mntput(&third->mnt);
}

TEST_F(DoUmount, TellsWalkersNotToTakeItUpAgainUnlessItIsLazy)
{
    mount *third = vfs_create_mount(sb);
    dentry_ref elsewhere = make_directory(root, "elsewhere");

    ASSERT_EQ(attach(other, top, directory.get()), 0);
    ASSERT_EQ(do_umount(other, 0), 0);
    EXPECT_EQ(mount_flags_of(other), MNT_UMOUNT | MNT_SYNC_UMOUNT);
    ASSERT_EQ(attach(third, top, elsewhere.get()), 0);
    ASSERT_EQ(do_umount(third, MNT_DETACH_FLAG), 0);
    EXPECT_EQ(mount_flags_of(third), MNT_UMOUNT);
    mntput(&third->mnt);
}

// The mount may have been the last that held its mountpoint.
TEST_F(DoUmount, KillsAMountpointThatNobodyElseUses)
{
    dentry_ref place = make_directory(root, "place");
    counter_change dentries(NR_DENTRY);

    ASSERT_EQ(attach(other, top, place.get()), 0);
    d_drop(place.get());
    place.reset();
    EXPECT_EQ(dentries.value(), 0);
    EXPECT_EQ(do_umount(other, 0), 0);
    EXPECT_EQ(dentries.value(), -1);
}

// namespace_unlock() waits for those who may drop a reference by mntput()'s fast path.
TEST_F(DoUmount, WaitsAGracePeriod)
{
    std::latch reading(1), may_leave(1);
    std::atomic<bool> left(false), umounted_too_early(false);
    std::jthread reader([&] {
        rcu_read_lock();
        reading.count_down();
        may_leave.wait();
        left = true;
        rcu_read_unlock();
    });

    ASSERT_EQ(attach(other, top, directory.get()), 0);
    reading.wait();
    std::jthread umounting([&] {
        EXPECT_EQ(do_umount(other, 0), 0);
        umounted_too_early = !left;
    });
    // Out of sight at once, for whoever comes now.
    while (in_namespace(other))
        std::this_thread::yield();
    may_leave.count_down();
    umounting.join();
    EXPECT_FALSE(umounted_too_early);
}

TEST_F(LazyUmount, KeepsUsersWorking)
{
    dentry_ref inside = inside_other("in");
    path held = at(other, inside.get());

    ASSERT_EQ(attach(other, top, directory.get()), 0);
    path_get(&held);
    ASSERT_EQ(do_umount(other, MNT_DETACH_FLAG), 0);
    mntput(&other->mnt);
    EXPECT_EQ(found(top, directory.get()), nullptr);

    EXPECT_EQ(mounts(), 2);
    EXPECT_TRUE(is_cached(other_sb->s_root, "in"));
    EXPECT_EQ(held.mnt->mnt_root, other_sb->s_root);
    mntget(&other->mnt); // for TearDown()
    path_put(&held);
    EXPECT_EQ(references(other), 1);
}

TEST_F(LazyUmount, IsOverWithTheLastUser)
{
    mount *third = vfs_create_mount(other_sb);
    path where = at(top, directory.get()), held = at(third, other_sb->s_root);

    ASSERT_EQ(do_add_mount(third, &where), 0);
    path_get(&held);
    ASSERT_EQ(do_umount(third, MNT_DETACH_FLAG), 0);
    EXPECT_EQ(mounts(), 3);
    path_put(&held);
    EXPECT_EQ(mounts(), 2);
}

TEST_F(LazyUmount, TakesTheWholeTreeApart)
{
    dentry_ref inside = inside_other("in");
    mount *third = vfs_create_mount(sb);
    mount *fourth = vfs_create_mount(other_sb);

    ASSERT_EQ(attach(other, top, directory.get()), 0);
    ASSERT_EQ(attach(third, other, inside.get()), 0);
    ASSERT_EQ(attach(fourth, third, directory.get()), 0);
    ASSERT_EQ(do_umount(other, MNT_DETACH_FLAG), 0);
    for (mount *mnt : {other, third, fourth}) {
        EXPECT_FALSE(is_attached(mnt));
        EXPECT_FALSE(in_namespace(mnt));
        EXPECT_EQ(references(mnt), 1);
    }
    EXPECT_FALSE(d_mountpoint(inside.get()));
    EXPECT_FALSE(d_mountpoint(directory.get()));
    EXPECT_EQ(init_mnt_ns.nr_mounts, 1u);
    mntput(&third->mnt);
    mntput(&fourth->mnt);
}

// --- Mountpoints that go away ---

TEST_F(DetachMounts, DetachesEverythingOnADentryAndUnhashesIt)
{
    dentry_ref view_place = make_directory(root, "view");
    mount *view = bind(top, root, top, view_place.get());
    mount *third = vfs_create_mount(other_sb);

    ASSERT_EQ(attach(other, top, directory.get()), 0);
    ASSERT_EQ(attach(third, view, directory.get()), 0);
    detach_mounts(directory.get());
    EXPECT_FALSE(is_attached(other));
    EXPECT_FALSE(is_attached(third));
    EXPECT_FALSE(d_mountpoint(directory.get()));
    EXPECT_TRUE(d_unhashed(directory.get()));
    mntput(&third->mnt);
    mntput(&view->mnt);
}

TEST_F(DetachMounts, LeavesADentryAloneThatIsNoMountpoint)
{
    detach_mounts(directory.get());
    EXPECT_FALSE(d_unhashed(directory.get()));
}

TEST_F(DetachMounts, LeavesOtherMountpointsAlone)
{
    dentry_ref elsewhere = make_directory(root, "elsewhere");
    mount *third = vfs_create_mount(other_sb);

    ASSERT_EQ(attach(other, top, directory.get()), 0);
    ASSERT_EQ(attach(third, top, elsewhere.get()), 0);
    detach_mounts(directory.get());
    EXPECT_TRUE(is_mountpoint(top, elsewhere.get()));
    mntput(&third->mnt);
}

// Whoever still uses the detached tree sees the mounts in it, until the last of them is gone.
TEST_F(DetachMounts, LeavesWhatIsMountedBelowConnected)
{
    dentry_ref inside = inside_other("in");
    path where = at(other, inside.get());
    mount *third = vfs_create_mount(sb);

    ASSERT_EQ(attach(other, top, directory.get()), 0);
    ASSERT_EQ(do_add_mount(third, &where), 0);
    detach_mounts(directory.get());
    EXPECT_FALSE(in_namespace(third));
    EXPECT_EQ(READ_ONCE(third->mnt_parent), other);
    EXPECT_TRUE(is_mountpoint(other, inside.get()));
    EXPECT_TRUE(d_mountpoint(inside.get()));
    // It does not hold its parent any more: the parent will let go of it.
    EXPECT_EQ(references(other), 1);
    EXPECT_EQ(mounts(), 3);

    mntput(&other->mnt);
    EXPECT_EQ(mounts(), 1);
    EXPECT_FALSE(d_mountpoint(inside.get()));
    other = vfs_create_mount(other_sb); // for TearDown()
}

TEST_F(DetachMounts, TakesOffWhatStayedConnected)
{
    dentry_ref inside = inside_other("in");
    mount *third = vfs_create_mount(sb);

    ASSERT_EQ(attach(other, top, directory.get()), 0);
    ASSERT_EQ(attach(third, other, inside.get()), 0);
    detach_mounts(directory.get());
    detach_mounts(inside.get());
    EXPECT_FALSE(is_attached(third));
    EXPECT_FALSE(d_mountpoint(inside.get()));
    EXPECT_EQ(references(third), 1);
    EXPECT_EQ(references(other), 1);
    mntput(&third->mnt);
}

// Each in the root of the one before. When the lowest goes, so do all, without a stack as deep.
TEST_F(DetachMounts, LetsAVeryLongChainGo)
{
    constexpr int length = 20000;
    mount *lowest = vfs_create_mount(other_sb), *highest = lowest;
    path where = at(top, directory.get());

    ASSERT_EQ(do_add_mount(lowest, &where), 0);
    mntget(&lowest->mnt);
    for (int i = 1; i < length; i++) {
        mount *next = vfs_create_mount(i % 2 ? sb : other_sb);
        path on_top = at(highest, highest->mnt.mnt_root);

        ASSERT_EQ(do_add_mount(next, &on_top), 0);
        highest = next;
    }
    EXPECT_EQ(mounts(), length + 2);
    detach_mounts(directory.get());
    EXPECT_EQ(mounts(), length + 2);
    mntput(&lowest->mnt);
    EXPECT_EQ(mounts(), 2);
}

TEST_F(DetachMounts, HappensToWhateverIsBelowAnInvalidatedDirectory)
{
    dentry_ref below = make_directory(directory.get(), "below");

    ASSERT_EQ(attach(other, top, below.get()), 0);
    d_invalidate(directory.get());
    EXPECT_FALSE(is_attached(other));
    EXPECT_FALSE(d_mountpoint(below.get()));
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

// --- Mounting while the place goes away: nothing may stay mounted where nobody can walk to. ---

// d_invalidate() unhashes and then looks for mountpoints; do_add_mount() looks at the hash and then
// marks. One of the two must see the other.
TEST_F(MountAgainstRemoval, AnInvalidatedDirectoryKeepsNoMount)
{
    constexpr int rounds = DCSIM_TSAN ? 300 : 1000;
    int refused = 0, attached = 0;

    for (int round = 0; round < rounds; round++) {
        dentry_ref parent = make_directory(root, "parent");
        dentry_ref place = make_directory(parent.get(), "place");
        mount *mnt = vfs_create_mount(other_sb);
        int error = 0;

        run_together(2, [&](int thread) {
            if (thread == 0)
                error = attach(mnt, top, place.get());
            else
                d_invalidate(parent.get());
        });
        // Attaching may have come first, but d_invalidate() has detached it then.
        ASSERT_TRUE(error == 0 || error == -ENOENT) << error;
        ++(error ? refused : attached);
        ASSERT_FALSE(d_mountpoint(place.get()));
        ASSERT_FALSE(is_attached(mnt));
        ASSERT_EQ(references(mnt), 1);
        mntput(&mnt->mnt);
    }
    RecordProperty("refused", refused);
    RecordProperty("attached", attached);
}

// Removal marks the directory under its i_rwsem and then detaches. Who wants to mount waits for
// that.
TEST_F(MountAgainstRemoval, MountingWaitsForARemovalAndIsRefused)
{
    int error = 0;

    inode_lock(d_inode(directory.get()));
    {
        blocking_thread mounting([&] { error = attach(other, top, directory.get()); });
        EXPECT_TRUE(mounting.comes_to_sleep());
        dont_mount(directory.get());
        detach_mounts(directory.get());
        inode_unlock(d_inode(directory.get()));
    }
    EXPECT_EQ(error, -ENOENT);
    EXPECT_FALSE(d_mountpoint(directory.get()));
}

TEST_F(MountAgainstRemoval, ARemovedDirectoryKeepsNoMount)
{
    constexpr int rounds = DCSIM_TSAN ? 300 : 1000;

    for (int round = 0; round < rounds; round++) {
        dentry_ref place = make_directory(root, "place");
        mount *mnt = vfs_create_mount(other_sb);
        int error = 0;

        run_together(2, [&](int thread) {
            if (thread == 0) {
                error = attach(mnt, top, place.get());
                return;
            }
            // The second half of vfs_rmdir().
            inode_lock(d_inode(place.get()));
            dont_mount(place.get());
            detach_mounts(place.get());
            inode_unlock(d_inode(place.get()));
            d_drop(place.get());
        });
        ASSERT_TRUE(error == 0 || error == -ENOENT) << error;
        ASSERT_FALSE(d_mountpoint(place.get()));
        ASSERT_FALSE(is_attached(mnt));
        mntput(&mnt->mnt);
    }
}

// Many threads mount and umount at the same few places, lazily or not, while others look them up
// and hold them for a moment. In the end the marks, the counts and the table agree.
TEST_F(MountAgainstRemoval, MarksCountsAndMountsAgree)
{
    constexpr int places = 3;
    constexpr int rounds = DCSIM_TSAN ? 100 : 500;
    std::vector<dentry_ref> directories;
    std::atomic<int> busy(0), crossed(0);

    for (int i = 0; i < places; i++)
        directories.push_back(make_directory(root, "place" + std::to_string(i)));

    run_together(more_threads_than_processors(), [&](int thread) {
        for (int round = 0; round < rounds; round++) {
            dentry *place = directories[(thread + round) % places].get();

            if (thread % 2) {
                if (mount *seen = found(top, place)) {
                    crossed++;
                    mntput(&seen->mnt);
                }
                continue;
            }
            mount *mnt = vfs_create_mount(other_sb);
            int error = attach(mnt, top, place);
            if (!error && do_umount(mnt, 0) == -EBUSY) {
                busy++;
                error = do_umount(mnt, MNT_DETACH_FLAG);
            }
            // Busy is a place where the file system is mounted already.
            EXPECT_TRUE(error == 0 || error == -EBUSY) << error;
            mntput(&mnt->mnt);
        }
    });
    for (const dentry_ref &place : directories)
        EXPECT_FALSE(d_mountpoint(place.get()));
    EXPECT_EQ(init_mnt_ns.nr_mounts, 1u);
    EXPECT_EQ(mounts(), 2);
    RecordProperty("busy", busy);
    RecordProperty("crossed", crossed);
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
    mount *forgotten = vfs_create_mount(leaking);
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
