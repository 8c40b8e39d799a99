// SPDX-License-Identifier: GPL-2.0-only
//
// Attaching and detaching mounts, and mountpoints that are removed or invalidated meanwhile.
#include <latch>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/vfs/mount.h"
#include "threads.h"
#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// The fixture's file system mounted as `top`, with a directory to mount on, and a second file
/// system mounted nowhere yet.
class mount_fixture : public vfs_fixture
{
  protected:
    void SetUp() override
    {
        vfs_fixture::SetUp();
        top = vfs_create_mount(sb);
        other_sb = make_super_block();
        other = vfs_create_mount(other_sb);
        directory = make_directory(root, "directory");
        file = make_file(root, "file");
    }

    void TearDown() override
    {
        directory.reset();
        file.reset();
        detach_mount(other);
        detach_mount(top);
        free_mount(other);
        free_mount(top);
        EXPECT_EQ(generic_shutdown_super(other_sb), 0);
        vfs_fixture::TearDown();
    }

    static path at(mount *mnt, dentry *dentry)
    {
        return {&mnt->mnt, dentry};
    }

    static int attach(mount *mnt, mount *where, dentry *dentry)
    {
        path path = at(where, dentry);
        return attach_mount(mnt, &path);
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
        return READ_ONCE(mnt->mnt_parent) != mnt;
    }

    mount *top;
    super_block *other_sb;
    mount *other;
    dentry_ref directory;
    dentry_ref file;
};

using VfsCreateMount = mount_fixture;
using AttachMount = mount_fixture;
using DetachMount = mount_fixture;
using DetachMounts = mount_fixture;
using FreeMount = mount_fixture;
using MountAgainstRemoval = mount_fixture;

TEST_F(VfsCreateMount, IsTheTopOfATreeOfItsOwn)
{
    EXPECT_EQ(READ_ONCE(top->mnt_parent), top);
    EXPECT_EQ(READ_ONCE(top->mnt_mountpoint), root);
    EXPECT_EQ(top->mnt.mnt_root, root);
    EXPECT_EQ(top->mnt.mnt_sb, sb);
    EXPECT_EQ(real_mount(&top->mnt), top);
}

TEST_F(VfsCreateMount, HoldsTheRoot)
{
    int before = d_count(root);
    mount *another = vfs_create_mount(sb);

    EXPECT_EQ(d_count(root), before + 1);
    free_mount(another);
    EXPECT_EQ(d_count(root), before);
}

TEST_F(VfsCreateMount, ReturnsNullWithoutMemory)
{
    int before = d_count(root);

    kmem_fail_nth(1);
    EXPECT_EQ(vfs_create_mount(sb), nullptr);
    EXPECT_EQ(d_count(root), before);
}

// --- Attaching ---

TEST_F(AttachMount, MakesTheDentryAMountpoint)
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

TEST_F(AttachMount, IsSeenByPathHasSubmounts)
{
    path from_root = at(top, root), from_file = at(top, file.get());

    EXPECT_FALSE(path_has_submounts(&from_root));
    ASSERT_EQ(attach(other, top, directory.get()), 0);
    EXPECT_TRUE(path_has_submounts(&from_root));
    EXPECT_FALSE(path_has_submounts(&from_file));
}

TEST_F(AttachMount, RefusesAPlaceWhereSomethingIsMounted)
{
    mount *third = vfs_create_mount(other_sb);

    ASSERT_EQ(attach(other, top, directory.get()), 0);
    EXPECT_EQ(attach(third, top, directory.get()), -EBUSY);
    EXPECT_FALSE(is_attached(third));
    // On top of what is mounted there is another place.
    EXPECT_EQ(attach(third, other, other_sb->s_root), 0);
    EXPECT_TRUE(is_mountpoint(other, other_sb->s_root));
    detach_mount(third);
    free_mount(third);
}

TEST_F(AttachMount, LetsOneDentryBeAMountpointInTwoMounts)
{
    mount *second_view = vfs_create_mount(sb);
    mount *third = vfs_create_mount(other_sb);

    ASSERT_EQ(attach(other, top, directory.get()), 0);
    EXPECT_EQ(attach(third, second_view, directory.get()), 0);
    EXPECT_TRUE(is_mountpoint(second_view, directory.get()));

    detach_mount(other);
    EXPECT_FALSE(is_mountpoint(top, directory.get()));
    EXPECT_TRUE(is_mountpoint(second_view, directory.get()));
    EXPECT_TRUE(d_mountpoint(directory.get()));
    detach_mount(third);
    EXPECT_FALSE(d_mountpoint(directory.get()));
    free_mount(third);
    free_mount(second_view);
}

TEST_F(AttachMount, RefusesARemovedDirectory)
{
    dont_mount(directory.get());
    EXPECT_EQ(attach(other, top, directory.get()), -ENOENT);
    EXPECT_FALSE(d_mountpoint(directory.get()));
}

TEST_F(AttachMount, RefusesADroppedDirectory)
{
    d_drop(directory.get());
    EXPECT_EQ(attach(other, top, directory.get()), -ENOENT);
}

TEST_F(AttachMount, RefusesADirectoryBelowADroppedOne)
{
    dentry_ref below = make_directory(directory.get(), "below");

    d_drop(directory.get());
    EXPECT_EQ(attach(other, top, below.get()), -ENOENT);
    EXPECT_FALSE(d_mountpoint(below.get()));
}

TEST_F(AttachMount, RefusesADroppedDirectoryThatAnotherMountHasMarked)
{
    mount *second_view = vfs_create_mount(sb);
    mount *third = vfs_create_mount(other_sb);

    ASSERT_EQ(attach(other, top, directory.get()), 0);
    d_drop(directory.get());
    EXPECT_EQ(attach(third, second_view, directory.get()), -ENOENT);
    free_mount(third);
    free_mount(second_view);
}

TEST_F(AttachMount, RefusesANegativeDentry)
{
    dentry_ref absent = make_negative(root, "absent");

    EXPECT_EQ(attach(other, top, absent.get()), -ENOENT);
}

TEST_F(AttachMount, RefusesADirectoryOnAFile)
{
    EXPECT_EQ(attach(other, top, file.get()), -ENOTDIR);
    EXPECT_FALSE(d_mountpoint(file.get()));
}

TEST_F(AttachMount, RefusesAMountThatIsAttached)
{
    dentry_ref elsewhere = make_directory(root, "elsewhere");

    ASSERT_EQ(attach(other, top, directory.get()), 0);
    EXPECT_EQ(attach(other, top, elsewhere.get()), -EINVAL);
    EXPECT_FALSE(d_mountpoint(elsewhere.get()));
}

TEST_F(AttachMount, RefusesTheTopOfTheNamespace)
{
    set_namespace_root(top);
    EXPECT_EQ(attach(top, other, other_sb->s_root), -EINVAL);
    set_namespace_root(nullptr);
}

TEST_F(AttachMount, RefusesALoop)
{
    dentry_ref inside = make_child(other_sb->s_root, "in", make_inode(other_sb, S_IFDIR_TYPE));

    EXPECT_EQ(attach(top, top, directory.get()), -ELOOP);
    ASSERT_EQ(attach(other, top, directory.get()), 0);
    EXPECT_EQ(attach(top, other, inside.get()), -ELOOP);
    EXPECT_FALSE(d_mountpoint(inside.get()));
}

TEST_F(AttachMount, TouchesNothingWhenItRefuses)
{
    int before = d_count(file.get());

    EXPECT_EQ(attach(other, top, file.get()), -ENOTDIR);
    EXPECT_EQ(d_count(file.get()), before);
    EXPECT_FALSE(is_attached(other));
}

// --- Detaching ---

TEST_F(DetachMount, UndoesAttaching)
{
    int before = d_count(directory.get());

    ASSERT_EQ(attach(other, top, directory.get()), 0);
    detach_mount(other);
    EXPECT_FALSE(is_attached(other));
    EXPECT_FALSE(is_mountpoint(top, directory.get()));
    EXPECT_FALSE(d_mountpoint(directory.get()));
    EXPECT_EQ(d_count(directory.get()), before);
    // And the place is free again.
    EXPECT_EQ(attach(other, top, directory.get()), 0);
}

TEST_F(DetachMount, OfAnUnattachedMountDoesNothing)
{
    detach_mount(other);
    EXPECT_FALSE(is_attached(other));
}

TEST_F(DetachMount, KeepsWhatIsMountedBelow)
{
    mount *third = vfs_create_mount(sb);
    dentry_ref inside = make_child(other_sb->s_root, "in", make_inode(other_sb, S_IFDIR_TYPE));

    ASSERT_EQ(attach(other, top, directory.get()), 0);
    ASSERT_EQ(attach(third, other, inside.get()), 0);
    detach_mount(other);
    EXPECT_EQ(READ_ONCE(third->mnt_parent), other);
    EXPECT_TRUE(is_mountpoint(other, inside.get()));
    detach_mount(third);
    free_mount(third);
}

// The mount may have been the last that held its mountpoint.
TEST_F(DetachMount, KillsAMountpointThatNobodyElseUses)
{
    dentry_ref place = make_directory(root, "place");
    counter_change dentries(NR_DENTRY);

    ASSERT_EQ(attach(other, top, place.get()), 0);
    d_drop(place.get());
    place.reset();
    EXPECT_EQ(dentries.value(), 0);
    detach_mount(other);
    EXPECT_EQ(dentries.value(), -1);
}

TEST_F(DetachMounts, DetachesEverythingOnADentryAndUnhashesIt)
{
    mount *second_view = vfs_create_mount(sb);
    mount *third = vfs_create_mount(other_sb);

    ASSERT_EQ(attach(other, top, directory.get()), 0);
    ASSERT_EQ(attach(third, second_view, directory.get()), 0);
    detach_mounts(directory.get());
    EXPECT_FALSE(is_attached(other));
    EXPECT_FALSE(is_attached(third));
    EXPECT_FALSE(d_mountpoint(directory.get()));
    EXPECT_TRUE(d_unhashed(directory.get()));
    free_mount(third);
    free_mount(second_view);
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
    detach_mount(third);
    free_mount(third);
}

TEST_F(DetachMounts, HappensToWhateverIsBelowAnInvalidatedDirectory)
{
    dentry_ref below = make_directory(directory.get(), "below");

    ASSERT_EQ(attach(other, top, below.get()), 0);
    d_invalidate(directory.get());
    EXPECT_FALSE(is_attached(other));
    EXPECT_FALSE(d_mountpoint(below.get()));
}

TEST_F(FreeMount, ComplainsWhenItIsStillAttached)
{
    mount *third = vfs_create_mount(other_sb);

    ASSERT_EQ(attach(third, top, directory.get()), 0);
    free_mount(third);
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("mnt_parent")));
    EXPECT_FALSE(d_mountpoint(directory.get()));
}

TEST_F(FreeMount, ComplainsWhenSomethingIsMountedBelow)
{
    mount *middle = vfs_create_mount(sb);

    ASSERT_EQ(attach(other, middle, directory.get()), 0);
    free_mount(middle);
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("has_child_mounts")));
    detach_mount(other);
}

// A walk upwards may be in the middle of it.
TEST_F(FreeMount, KeepsTheMemoryForAGracePeriod)
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
    long before = kmalloc_objects();
    free_mount(third);
    EXPECT_EQ(kmalloc_objects(), before);
    may_leave.count_down();
    reader.join();
    rcu_barrier();
    EXPECT_EQ(kmalloc_objects(), before - 1);
}

TEST_F(FreeMount, LeavesTheNamespaceWithoutATop)
{
    mount *third = vfs_create_mount(sb);

    set_namespace_root(third);
    free_mount(third);
    EXPECT_EQ(READ_ONCE(init_mnt_ns.root), nullptr);
}

// --- Mounting while the place goes away: nothing may stay mounted where nobody can walk to. ---

// d_invalidate() unhashes and then looks for mountpoints; attach_mount() looks at the hash and then
// marks. One of the two must see the other.
TEST_F(MountAgainstRemoval, AnInvalidatedDirectoryKeepsNoMount)
{
    constexpr int rounds = DCSIM_TSAN ? 300 : 1000;
    int refused = 0, attached = 0;

    for (int round = 0; round < rounds; round++) {
        dentry_ref parent = make_directory(root, "parent");
        dentry_ref place = make_directory(parent.get(), "place");
        int error = 0;

        run_together(2, [&](int thread) {
            if (thread == 0)
                error = attach(other, top, place.get());
            else
                d_invalidate(parent.get());
        });
        // Attaching may have come first, but d_invalidate() has detached it then.
        ASSERT_TRUE(error == 0 || error == -ENOENT) << error;
        ++(error ? refused : attached);
        ASSERT_FALSE(d_mountpoint(place.get()));
        ASSERT_FALSE(is_attached(other));
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
        int error = 0;

        run_together(2, [&](int thread) {
            if (thread == 0) {
                error = attach(other, top, place.get());
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
        ASSERT_FALSE(is_attached(other));
    }
}

// Many threads attach and detach at the same few places. In the end the marks and the table agree.
TEST_F(MountAgainstRemoval, MarksAndMountsAgree)
{
    constexpr int places = 3;
    constexpr int rounds = DCSIM_TSAN ? 200 : 1000;
    const int threads = more_threads_than_processors();
    std::vector<dentry_ref> directories;
    std::vector<mount *> mounts;

    for (int i = 0; i < places; i++)
        directories.push_back(make_directory(root, "place" + std::to_string(i)));
    for (int i = 0; i < threads; i++)
        mounts.push_back(vfs_create_mount(other_sb));

    run_together(threads, [&](int thread) {
        for (int round = 0; round < rounds; round++) {
            int error = attach(mounts[thread], top, directories[(thread + round) % places].get());
            if (!error)
                detach_mount(mounts[thread]);
            else
                EXPECT_EQ(error, -EBUSY);
        }
    });
    for (const dentry_ref &place : directories)
        EXPECT_FALSE(d_mountpoint(place.get()));
    for (mount *mnt : mounts)
        free_mount(mnt);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
