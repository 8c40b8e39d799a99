// SPDX-License-Identifier: GPL-2.0-only
//
// Attaching, moving and detaching mounts, and mountpoints that are removed or invalidated
// meanwhile.
#include <latch>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/vfs/fs_struct.h"
#include "mount_fixture.h"
#include "threads.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// Tables as large as a kernel's.
class ManyMounts : public mount_fixture
{
  protected:
    vfs_config config() const override
    {
        return {};
    }
};

using SetNamespaceRoot = mount_fixture;
using DoAddMount = mount_fixture;
using DoLoopback = mount_fixture;
using DoMoveMount = mount_fixture;
using DoUmount = mount_fixture;
using LazyUmount = mount_fixture;
using DetachMounts = mount_fixture;
using MountAgainstRemoval = mount_fixture;

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
TEST_F(ManyMounts, GoWithTheLowestOfTheirChain)
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

// --- Mounting while the place goes away: nothing may stay mounted where nobody can walk to. ---

// d_invalidate() unhashes and then looks for mountpoints; do_add_mount() looks at the hash and then
// marks. One of the two must see the other. (With the directory above it that is not so in v7.2:
// DoAddMount.MayLeaveAMountBelowAnInvalidatedDirectory.)
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
                d_invalidate(place.get());
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
            // Busy is a place where the file system is mounted already; gone, a mount on top of
            // which this one was to be, and which another thread has taken away meanwhile.
            EXPECT_TRUE(error == 0 || error == -EBUSY || error == -ENOENT) << error;
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

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
