// SPDX-License-Identifier: GPL-2.0-only
//
// Several tasks that want the same dentries gone: who kills, who frees, who waits for whom.
//
// A killer is held in ->d_release(): its victim is dead, negative and unhashed by then, but still a
// child of its parent.
#include <atomic>
#include <list>
#include <string_view>

#include <gtest/gtest.h>

#include "gate.h"
#include "threads.h"
#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

class held_kill_fixture : public vfs_fixture
{
  protected:
    void SetUp() override
    {
        vfs_fixture::SetUp();
        callbacks.release = [this](dentry *dentry) {
            if (dentry == victim)
                at_release.pass();
        };
        set_default_d_op(sb, callbacks.table());
        dir = make_directory(root, "dir");
    }
    void TearDown() override
    {
        dir.reset();
        vfs_fixture::TearDown();
    }

    /// An unused child whose killer will be held.
    dentry *unused_victim(std::string_view text)
    {
        dentry *child = leave_file(dir.get(), text);
        victim = child;
        return child;
    }

    static bool move_to_list(dentry *dentry, list_head *list)
    {
        spin_guard guard(&dentry->d_lock);
        return __move_to_shrink_list(dentry, list);
    }

    gate at_release;
    std::atomic<dentry *> victim{nullptr};
    dentry_ref dir;
};

using ShrinkDcacheParent = held_kill_fixture;
using ShrinkListOwnership = held_kill_fixture;
using DInvalidate = held_kill_fixture;

// --- Waiting for a dying dentry ---

TEST_F(ShrinkDcacheParent, WaitsForAChildThatSomebodyElseIsKilling)
{
    unused_victim("child");
    blocking_thread killer([&] { prune_everything(); });
    at_release.wait_for_arrival();

    blocking_thread shrinker([&] { shrink_dcache_parent(dir.get()); });
    EXPECT_TRUE(shrinker.comes_to_wait());
    EXPECT_FALSE(hlist_empty(&dir->d_children));
    at_release.open(1);
    shrinker.join();
    EXPECT_TRUE(hlist_empty(&dir->d_children));
}

TEST_F(ShrinkDcacheParent, ManyMayWaitForOne)
{
    unused_victim("child");
    blocking_thread killer([&] { prune_everything(); });
    at_release.wait_for_arrival();
    std::list<blocking_thread> shrinkers;

    for (int i = 0; i < 3; i++) {
        shrinkers.emplace_back([&] { shrink_dcache_parent(dir.get()); });
        EXPECT_TRUE(shrinkers.back().comes_to_wait());
    }
    at_release.open(1);
    for (blocking_thread &shrinker : shrinkers)
        shrinker.join();
    EXPECT_TRUE(hlist_empty(&dir->d_children));
}

TEST_F(ShrinkDcacheParent, WaitsForOneDeeperDownAsWell)
{
    dentry_ref inner = make_directory(dir.get(), "inner");
    victim = leave_file(inner.get(), "child");
    blocking_thread killer([&] { prune_everything(); });
    at_release.wait_for_arrival();

    blocking_thread shrinker([&] { shrink_dcache_parent(dir.get()); });
    EXPECT_TRUE(shrinker.comes_to_wait());
    at_release.open(1);
    shrinker.join();
    EXPECT_TRUE(hlist_empty(&inner->d_children));
}

TEST_F(ShrinkDcacheParent, KillsTheOthersBeforeItWaits)
{
    leave_file(dir.get(), "one");
    unused_victim("child");
    leave_file(dir.get(), "two");
    counter_change existing(NR_DENTRY);
    blocking_thread killer([&] { d_prune_aliases(d_inode(victim)); });
    at_release.wait_for_arrival();
    EXPECT_EQ(existing.value(), -1);

    blocking_thread shrinker([&] { shrink_dcache_parent(dir.get()); });
    EXPECT_TRUE(shrinker.comes_to_wait());
    EXPECT_EQ(existing.value(), -3);
    at_release.open(1);
}

// Before the inode is gone the room for the list of waiters is still in use as the alias link.
TEST_F(ShrinkDcacheParent, WaitsFromTheMomentTheInodeIsTakenAway)
{
    gate at_iput;
    callbacks.iput = [&](dentry *dentry, inode *inode) {
        if (dentry == victim)
            at_iput.pass();
        iput(inode);
    };
    set_default_d_op(sb, callbacks.table());
    unused_victim("child");
    at_release.open();
    blocking_thread killer([&] { prune_everything(); });
    at_iput.wait_for_arrival();

    blocking_thread shrinker([&] { shrink_dcache_parent(dir.get()); });
    EXPECT_TRUE(shrinker.comes_to_wait());
    at_iput.open(1);
    shrinker.join();
    EXPECT_TRUE(hlist_empty(&dir->d_children));
    killer.join();
}

TEST_F(ShrinkDcacheParent, WhatIsOffTheTreeAlreadyIsNotWaitedFor)
{
    list_head list;
    INIT_LIST_HEAD(&list);
    dentry *child = unused_victim("child");
    at_release.open();
    ASSERT_TRUE(move_to_list(child, &list));
    shrink_dcache_parent(dir.get());
    ASSERT_TRUE(has_flag(child, DCACHE_DENTRY_KILLED));

    completion_list waiter;
    {
        spin_guard guard(&child->d_lock);
        EXPECT_FALSE(d_add_waiter(child, &waiter));
    }
    EXPECT_EQ(child->waiters, nullptr);
    shrink_dentry_list(&list);
}

// --- Whose memory it is ---

TEST_F(ShrinkListOwnership, WhatOthersKilledTheOwnerOfTheListFrees)
{
    list_head list;
    INIT_LIST_HEAD(&list);
    counter_change existing(NR_DENTRY), freed(DENTRIES_FREED);
    dentry *first = unused_victim("first");
    dentry *second = leave_file(dir.get(), "second");
    ASSERT_TRUE(move_to_list(first, &list));
    ASSERT_TRUE(move_to_list(second, &list));

    // The owner is stuck in the death of the first; somebody else kills the second on its list.
    blocking_thread owner([&] { shrink_dentry_list(&list); });
    at_release.wait_for_arrival();
    blocking_thread shrinker([&] { shrink_dcache_parent(dir.get()); });
    EXPECT_TRUE(shrinker.comes_to_wait());
    EXPECT_TRUE(has_flag(second, DCACHE_DENTRY_KILLED));
    EXPECT_TRUE(has_flag(second, DCACHE_SHRINK_LIST));
    EXPECT_EQ(existing.value(), 0);
    EXPECT_EQ(freed.value(), 0);

    at_release.open(1);
    owner.join();
    shrinker.join();
    EXPECT_EQ(freed.value(), 2);
}

TEST_F(ShrinkListOwnership, WhatWasRevivedOnTheListLives)
{
    list_head list;
    INIT_LIST_HEAD(&list);
    dentry *first = unused_victim("first");
    dentry *second = leave_file(dir.get(), "second");
    ASSERT_TRUE(move_to_list(first, &list));
    ASSERT_TRUE(move_to_list(second, &list));

    blocking_thread owner([&] { shrink_dentry_list(&list); });
    at_release.wait_for_arrival();
    dentry_ref revived = cached(dir.get(), "second");
    EXPECT_EQ(revived.get(), second);
    at_release.open(1);
    owner.join();
    EXPECT_FALSE(has_flag(second, DCACHE_SHRINK_LIST | DCACHE_LRU_LIST));
    EXPECT_EQ(d_count(second), 1);
    EXPECT_EQ(cached(dir.get(), "second"), revived);
}

TEST_F(ShrinkListOwnership, ALastPutLeavesADentryOnTheList)
{
    list_head list;
    INIT_LIST_HEAD(&list);
    counter_change freed(DENTRIES_FREED);
    dentry *child = leave_file(dir.get(), "child");
    ASSERT_TRUE(move_to_list(child, &list));
    dentry_ref revived = cached(dir.get(), "child");

    d_drop(child);
    revived.reset();
    EXPECT_TRUE(has_flag(child, DCACHE_DENTRY_KILLED));
    EXPECT_EQ(freed.value(), 0);
    shrink_dentry_list(&list);
    EXPECT_EQ(freed.value(), 1);
}

// A dentry in use on somebody's list is no work for anybody else (before 7.2 it was, for ever).
TEST_F(ShrinkListOwnership, AUsedDentryOnAListDoesNotKeepAShrinkerBusy)
{
    list_head list;
    INIT_LIST_HEAD(&list);
    dentry *child = leave_file(dir.get(), "child");
    ASSERT_TRUE(move_to_list(child, &list));
    dentry_ref used = cached(dir.get(), "child");

    shrink_dcache_parent(dir.get());
    EXPECT_FALSE(has_flag(child, DCACHE_DENTRY_KILLED));
    EXPECT_EQ(d_count(child), 1);
    shrink_dentry_list(&list);
}

// --- Invalidation against mounting: only one of the two succeeds ---

TEST_F(DInvalidate, NobodyMountsBelowWhileItPrunes)
{
    dentry_ref below = make_directory(dir.get(), "below");
    unused_victim("child");
    blocking_thread invalidator([&] { d_invalidate(dir.get()); });
    at_release.wait_for_arrival();

    // Unhashed, but nobody has looked for mountpoints yet.
    EXPECT_EQ(d_set_mounted(below.get()), -ENOENT);
    EXPECT_EQ(d_set_mounted(dir.get()), -ENOENT);
    at_release.open(1);
    invalidator.join();
    EXPECT_FALSE(d_mountpoint(below.get()));
}

TEST_F(DInvalidate, WaitsForWhatSomebodyElseIsKillingBelow)
{
    unused_victim("child");
    blocking_thread killer([&] { prune_everything(); });
    at_release.wait_for_arrival();

    blocking_thread invalidator([&] { d_invalidate(dir.get()); });
    EXPECT_TRUE(invalidator.comes_to_wait());
    at_release.open(1);
    invalidator.join();
    EXPECT_TRUE(hlist_empty(&dir->d_children));
}

// --- Unmounting ---

class Umount : public held_kill_fixture
{
  protected:
    void SetUp() override
    {
        held_kill_fixture::SetUp();
        other = make_super_block();
        set_default_d_op(other, callbacks.table());
    }

    long shrink_for_umount()
    {
        down_write(&other->s_umount);
        long busy = shrink_dcache_for_umount(other);
        up_write(&other->s_umount);
        return busy;
    }

    super_block *other = nullptr;
};

TEST_F(Umount, WaitsForADyingSecondaryRoot)
{
    dentry *second = d_obtain_root(make_inode(other, S_IFDIR_TYPE));
    victim = second;
    blocking_thread killer([&] { dput(second); });
    at_release.wait_for_arrival();
    long busy = -1;

    blocking_thread unmounter([&] { busy = shrink_for_umount(); });
    EXPECT_TRUE(unmounter.comes_to_wait());
    EXPECT_FALSE(hlist_empty(&other->s_roots));
    at_release.open(1);
    unmounter.join();
    EXPECT_EQ(busy, 0);
    EXPECT_TRUE(hlist_empty(&other->s_roots));
    killer.join();
    EXPECT_EQ(generic_shutdown_super(other), 0);
}

TEST_F(Umount, WaitsForADyingChild)
{
    victim = make_child(other->s_root, "child", make_inode(other, S_IFREG_TYPE)).get();
    blocking_thread killer([&] { shrink_dcache_sb(other); });
    at_release.wait_for_arrival();
    long busy = -1;

    blocking_thread unmounter([&] { busy = shrink_for_umount(); });
    EXPECT_TRUE(unmounter.comes_to_wait());
    at_release.open(1);
    unmounter.join();
    EXPECT_EQ(busy, 0);
    killer.join();
    EXPECT_EQ(generic_shutdown_super(other), 0);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
