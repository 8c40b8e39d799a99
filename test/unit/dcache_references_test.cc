// SPDX-License-Identifier: GPL-2.0-only
//
// References to dentries: taking and dropping them, what is kept, and the order in which one dies.
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Dget = vfs_fixture;
using DgetParent = vfs_fixture;
using Dput = vfs_fixture;
using DRetain = vfs_fixture;
using DKill = vfs_fixture;

// --- Taking ---

TEST_F(Dget, CountsAndReturnsItsArgument)
{
    dentry_ref file = make_file(root, "file");

    EXPECT_EQ(dget(file.get()), file.get());
    EXPECT_EQ(d_count(file.get()), 2);
    dput(file.get());
}

TEST_F(Dget, NullIsPassedThrough)
{
    EXPECT_EQ(dget(nullptr), nullptr);
}

TEST_F(Dget, UnderTheLockItCountsTheSame)
{
    dentry_ref file = make_file(root, "file");
    dentry *raw = file.get();

    spin_lock(&raw->d_lock);
    EXPECT_EQ(dget_dlock(raw), raw);
    EXPECT_EQ(d_count(raw), 2);
    spin_unlock(&raw->d_lock);
    dput(raw);
}

TEST_F(DgetParent, IsReferenced)
{
    dentry_ref directory = make_directory(root, "d");
    dentry_ref file = make_file(directory.get(), "file");
    int before = d_count(directory.get());

    dentry_ref parent = adopt_dentry(dget_parent(file.get()));
    EXPECT_EQ(parent, directory);
    EXPECT_EQ(d_count(directory.get()), before + 1);
}

TEST_F(DgetParent, ARootIsItsOwnParent)
{
    int before = d_count(root);

    dentry_ref parent = adopt_dentry(dget_parent(root));
    EXPECT_EQ(parent.get(), root);
    EXPECT_EQ(d_count(root), before + 1);
}

TEST_F(DgetParent, FollowsAMove)
{
    dentry_ref directory = make_directory(root, "d");
    dentry_ref file = make_file(root, "file");
    dentry_ref target = make_unhashed(directory.get(), "file");

    d_move(file.get(), target.get());
    EXPECT_EQ(adopt_dentry(dget_parent(file.get())), directory);
}

// --- Dropping ---

TEST_F(Dput, NullIsFine)
{
    dput(nullptr);
}

TEST_F(Dput, NotTheLastOneOnlyCounts)
{
    dentry_ref file = make_file(root, "file");
    counter_change unused(NR_DENTRY_UNUSED);

    dget(file.get());
    dput(file.get());
    EXPECT_EQ(d_count(file.get()), 1);
    EXPECT_EQ(unused.value(), 0);
    EXPECT_FALSE(has_flag(file.get(), DCACHE_LRU_LIST));
}

TEST_F(Dput, ADropTooManyIsComplainedAboutAndForgotten)
{
    dentry *file = leave_file(root, "file");

    dput(file);
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("<= 0")));
    EXPECT_EQ(d_count(file), 0);
    EXPECT_FALSE(spin_is_locked(&file->d_lock));
    EXPECT_TRUE(is_cached(root, "file"));
}

TEST_F(Dput, MaySleepSoNotUnderASpinlock)
{
    dentry_ref file = make_file(root, "file");
    dentry_ref other = make_file(root, "other");
    dget(file.get());

    spin_lock(&other->d_lock);
    dput(file.get());
    spin_unlock(&other->d_lock);
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("sleeping function")));
}

// --- What is kept after the last reference ---

TEST_F(DRetain, AHashedDentryIsKeptOnTheLru)
{
    dentry_ref file = make_file(root, "file");
    dentry *raw = file.get();
    counter_change existing(NR_DENTRY), unused(NR_DENTRY_UNUSED), negative(NR_DENTRY_NEGATIVE);

    file.reset();
    EXPECT_EQ(d_count(raw), 0);
    EXPECT_TRUE(has_flag(raw, DCACHE_LRU_LIST));
    EXPECT_FALSE(has_flag(raw, DCACHE_SHRINK_LIST));
    EXPECT_EQ(lru_length(), 1);
    EXPECT_EQ(existing.value(), 0);
    EXPECT_EQ(unused.value(), 1);
    EXPECT_EQ(negative.value(), 0);
    EXPECT_TRUE(is_cached(root, "file"));
}

TEST_F(DRetain, AHashedNegativeIsKeptAndCountedTwice)
{
    counter_change unused(NR_DENTRY_UNUSED), negative(NR_DENTRY_NEGATIVE);

    leave_negative(root, "absent");
    EXPECT_EQ(unused.value(), 1);
    EXPECT_EQ(negative.value(), 1);
}

TEST_F(DRetain, TheFirstTimeIsNotYetReferencedTheSecondIs)
{
    dentry *file = leave_file(root, "file");
    EXPECT_FALSE(has_flag(file, DCACHE_REFERENCED));

    cached(root, "file").reset();
    EXPECT_TRUE(has_flag(file, DCACHE_REFERENCED));
    EXPECT_EQ(lru_length(), 1);

    unsigned flags = flags_of(file);
    cached(root, "file").reset();
    EXPECT_EQ(flags_of(file), flags);
    EXPECT_EQ(lru_length(), 1);
}

TEST_F(DRetain, AnEntryInUseStaysOnTheLruUntilAShrinkerLooks)
{
    leave_file(root, "file");
    counter_change unused(NR_DENTRY_UNUSED);

    dentry_ref file = cached(root, "file");
    EXPECT_TRUE(has_flag(file.get(), DCACHE_LRU_LIST));
    EXPECT_EQ(unused.value(), 0);
}

TEST_F(DRetain, AnUnhashedDentryIsKilledByTheLastDput)
{
    dentry_ref file = make_file(root, "file");
    counter_change existing(NR_DENTRY), inodes(NR_INODES);

    d_drop(file.get());
    file.reset();
    EXPECT_EQ(existing.value(), -1);
    EXPECT_EQ(inodes.value(), -1);
    EXPECT_EQ(lru_length(), 0);
}

TEST_F(DRetain, ADroppedDentryOnTheLruIsKilledByTheLastDput)
{
    leave_file(root, "file");
    dentry_ref file = cached(root, "file");
    counter_change existing(NR_DENTRY), unused(NR_DENTRY_UNUSED);

    d_drop(file.get());
    file.reset();
    EXPECT_EQ(existing.value(), -1);
    EXPECT_EQ(unused.value(), -1);
    EXPECT_EQ(lru_length(), 0);
}

TEST_F(DRetain, ADroppedNegativeOnTheLruIsUncountedWhenKilled)
{
    leave_negative(root, "absent");
    dentry_ref absent = cached(root, "absent");
    counter_change negative(NR_DENTRY_NEGATIVE);

    d_drop(absent.get());
    absent.reset();
    EXPECT_EQ(negative.value(), -1);
}

TEST_F(DRetain, ADisconnectedDentryIsKilledByTheLastDput)
{
    dentry_ref directory = adopt_dentry(d_obtain_alias(directory_inode()));
    dentry_ref child = allocate_parallel(directory.get(), "child");
    d_add(child.get(), file_inode());
    counter_change existing(NR_DENTRY);

    ASSERT_FALSE(d_unhashed(child.get()));
    child.reset();
    EXPECT_EQ(existing.value(), -1);
}

TEST_F(DRetain, DontcacheIsKilledByTheLastDput)
{
    dentry_ref file = make_file(root, "file");
    counter_change existing(NR_DENTRY);

    d_mark_dontcache(d_inode(file.get()));
    file.reset();
    EXPECT_EQ(existing.value(), -1);
}

TEST_F(DRetain, TheFileSystemMayRefuseToKeepIt)
{
    callbacks.on_delete = [](const dentry *) { return 1; };
    set_default_d_op(sb, callbacks.table());
    dentry_ref file = make_file(root, "file");
    counter_change existing(NR_DENTRY);

    file.reset();
    EXPECT_EQ(existing.value(), -1);
    EXPECT_EQ(lru_length(), 0);
}

TEST_F(DRetain, TheFileSystemIsAskedUnderTheLockEveryTime)
{
    int asked = 0;
    callbacks.on_delete = [&](const dentry *dentry) {
        asked++;
        EXPECT_TRUE(spin_is_locked(&dentry->d_lock));
        EXPECT_EQ(d_count(dentry), 0);
        return 0;
    };
    set_default_d_op(sb, callbacks.table());
    leave_file(root, "file");
    EXPECT_EQ(asked, 1);
    cached(root, "file").reset();
    cached(root, "file").reset();
    EXPECT_EQ(asked, 3);
}

TEST_F(DRetain, TheFileSystemIsNotAskedAboutWhatGoesAnyway)
{
    int asked = 0;
    callbacks.on_delete = [&](const dentry *) { return asked++; };
    set_default_d_op(sb, callbacks.table());
    dentry_ref file = make_file(root, "file");
    d_drop(file.get());
    file.reset();
    adopt_dentry(d_obtain_alias(file_inode())).reset();
    EXPECT_EQ(asked, 0);
}

// --- Dying ---

/// One line about the state of a dentry, as its callbacks meet it.
std::string state_of(const char *event, const dentry *dentry)
{
    std::string state = event;

    state += d_count(dentry) < 0 ? " dead" : " alive";
    state += d_unhashed(dentry) ? " unhashed" : " hashed";
    state += d_really_is_negative(dentry) ? " negative" : " positive";
    state += has_flag(dentry, DCACHE_LRU_LIST) ? " lru" : "";
    state += has_flag(dentry, DCACHE_DENTRY_KILLED) ? " killed" : "";
    state += hlist_unhashed(&dentry->d_sib) ? "" : " child";
    state += spin_is_locked(&dentry->d_lock) ? " locked" : "";
    state += rcu_read_lock_held() ? "" : " sleepable";
    return state;
}

TEST_F(DKill, CallbacksComeInOrderEachInItsState)
{
    std::vector<std::string> events;
    callbacks.prune = [&](dentry *dentry) { events.push_back(state_of("prune", dentry)); };
    callbacks.iput = [&](dentry *dentry, inode *inode) {
        events.push_back(state_of("iput", dentry));
        iput(inode);
    };
    callbacks.release = [&](dentry *dentry) { events.push_back(state_of("release", dentry)); };
    set_default_d_op(sb, callbacks.table());
    leave_file(root, "file");

    prune_everything();
    EXPECT_THAT(events, ElementsAre("prune dead hashed positive child locked",
                                    "iput dead unhashed negative child sleepable",
                                    "release dead unhashed negative child sleepable"));
}

TEST_F(DKill, ADyingDentryStillHoldsItsParent)
{
    dentry_ref directory = make_directory(root, "d");
    int while_dying = 0;
    callbacks.release = [&](dentry *dentry) {
        EXPECT_EQ(parent_of(dentry), directory.get());
        while_dying = d_count(directory.get());
    };
    set_default_d_op(sb, callbacks.table());
    dentry_ref file = make_unhashed(directory.get(), "file");
    file.reset();
    EXPECT_EQ(while_dying, 2);
    EXPECT_EQ(d_count(directory.get()), 1);
}

TEST_F(DKill, ANegativeHasNoInodeToGiveBack)
{
    std::vector<std::string> events;
    callbacks.iput = [&](dentry *, inode *inode) {
        events.emplace_back("iput");
        iput(inode);
    };
    callbacks.release = [&](dentry *) { events.emplace_back("release"); };
    set_default_d_op(sb, callbacks.table());
    dentry_ref absent = make_negative(root, "absent");
    d_drop(absent.get());
    absent.reset();
    EXPECT_THAT(events, ElementsAre("release"));
}

TEST_F(DKill, PruneIsForTheDyingNotForTheDropped)
{
    int prunes = 0;
    callbacks.prune = [&](dentry *) { prunes++; };
    set_default_d_op(sb, callbacks.table());
    dentry_ref file = make_file(root, "file");

    d_drop(file.get());
    EXPECT_EQ(prunes, 0);
    file.reset();
    EXPECT_EQ(prunes, 1);
}

TEST_F(DKill, WhoeverFollowedItLocklesslyNoticesTheDeath)
{
    unsigned while_hashed = 0, at_release = 0;
    callbacks.prune = [&](dentry *dentry) { while_hashed = sequence_of(dentry); };
    callbacks.release = [&](dentry *dentry) { at_release = sequence_of(dentry); };
    set_default_d_op(sb, callbacks.table());
    leave_negative(root, "absent");

    prune_everything();
    EXPECT_NE(at_release, while_hashed);
    EXPECT_EQ(at_release & 1, 0u);
}

TEST_F(DKill, TheCountsGoDownWithTheDentry)
{
    long at_release = 0;
    dentry_ref file = make_unhashed(root, "throwaway");
    callbacks.release = [&](dentry *) { at_release = vfs_counter_value(NR_DENTRY); };
    set_default_d_op(sb, callbacks.table());
    file = make_unhashed(root, "file");
    counter_change freed(DENTRIES_FREED);
    long before = vfs_counter_value(NR_DENTRY);

    file.reset();
    EXPECT_EQ(at_release, before - 1);
    EXPECT_EQ(freed.value(), 1);
}

TEST_F(DKill, AncestorsThatNobodyKeepsFollow)
{
    dentry_ref a = make_directory(root, "a");
    dentry_ref b = make_directory(a.get(), "b");
    dentry_ref c = make_file(b.get(), "c");
    counter_change existing(NR_DENTRY);

    for (dentry *dentry : {a.get(), b.get(), c.get()})
        d_drop(dentry);
    a.reset();
    b.reset();
    EXPECT_EQ(existing.value(), 0);
    c.reset();
    EXPECT_EQ(existing.value(), -3);
}

TEST_F(DKill, TheFirstAncestorWorthKeepingEndsIt)
{
    dentry_ref kept = make_directory(root, "kept");
    dentry_ref dropped = make_directory(kept.get(), "dropped");
    dentry_ref file = make_file(dropped.get(), "file");
    dentry *raw = kept.get();
    counter_change existing(NR_DENTRY), unused(NR_DENTRY_UNUSED);

    d_drop(dropped.get());
    d_drop(file.get());
    kept.reset();
    dropped.reset();
    file.reset();
    EXPECT_EQ(existing.value(), -2);
    EXPECT_EQ(d_count(raw), 0);
    EXPECT_TRUE(has_flag(raw, DCACHE_LRU_LIST));
    EXPECT_EQ(unused.value(), 1);
    EXPECT_FALSE(spin_is_locked(&raw->d_lock));
}

TEST_F(DKill, AnAncestorInUseEndsIt)
{
    dentry_ref directory = make_directory(root, "d");
    d_drop(directory.get());
    dentry_ref file = make_unhashed(directory.get(), "file");

    file.reset();
    EXPECT_EQ(d_count(directory.get()), 1);
    EXPECT_FALSE(spin_is_locked(&directory->d_lock));
}

// Ancestors are put in a loop: a path as deep as memory allows must not cost stack.
TEST_F(DKill, AVeryDeepPathDiesWithoutRecursion)
{
    constexpr int depth = 20000;
    counter_change existing(NR_DENTRY);
    dentry_ref at = make_directory(root, "d");

    for (int i = 1; i < depth; i++) {
        dentry_ref next = make_directory(at.get(), "d");
        d_drop(at.get());
        at = next;
    }
    d_drop(at.get());
    EXPECT_EQ(existing.value(), depth);
    at.reset();
    EXPECT_EQ(existing.value(), 0);
}

// Umount finds it there until then, and waits for it.
TEST_F(DKill, ASecondaryRootLeavesItsListLast)
{
    bool listed_at_release = false;
    callbacks.release = [&](dentry *) { listed_at_release = !hlist_empty(&sb->s_roots); };
    set_default_d_op(sb, callbacks.table());
    dentry_ref second = adopt_dentry(d_obtain_root(directory_inode()));

    second.reset();
    EXPECT_TRUE(listed_at_release);
    EXPECT_TRUE(hlist_empty(&sb->s_roots));
}

// --- dput_to_list() ---

class DputToList : public vfs_fixture
{
  protected:
    DputToList()
    {
        INIT_LIST_HEAD(&list);
    }
    void TearDown() override
    {
        EXPECT_TRUE(list_empty(&list));
        vfs_fixture::TearDown();
    }
    list_head list;
};

TEST_F(DputToList, NotTheLastOneOnlyCounts)
{
    dentry_ref file = make_unhashed(root, "file");

    dput_to_list(dget(file.get()), &list);
    EXPECT_EQ(d_count(file.get()), 1);
    EXPECT_TRUE(list_empty(&list));
}

TEST_F(DputToList, WhatIsWorthKeepingGoesOnTheLru)
{
    dentry_ref file = make_file(root, "file");

    dput_to_list(file.detach(), &list);
    EXPECT_TRUE(list_empty(&list));
    EXPECT_EQ(lru_length(), 1);
}

TEST_F(DputToList, WhatIsNotWaitsOnTheList)
{
    dentry_ref file = make_unhashed(root, "file");
    dentry *raw = file.get();
    counter_change existing(NR_DENTRY), unused(NR_DENTRY_UNUSED);

    dput_to_list(file.detach(), &list);
    EXPECT_EQ(list_first(&list), &raw->d_lru);
    EXPECT_EQ(d_count(raw), 0);
    EXPECT_EQ(flags_of(raw), unsigned{DCACHE_LRU_LIST | DCACHE_SHRINK_LIST});
    EXPECT_EQ(existing.value(), 0);
    EXPECT_EQ(unused.value(), 1);
    EXPECT_FALSE(spin_is_locked(&raw->d_lock));

    shrink_dentry_list(&list);
    EXPECT_EQ(existing.value(), -1);
    EXPECT_EQ(unused.value(), 0);
}

TEST_F(DputToList, WhatIsOnALruMovesToTheList)
{
    leave_negative(root, "absent");
    dentry_ref absent = cached(root, "absent");
    counter_change unused(NR_DENTRY_UNUSED), negative(NR_DENTRY_NEGATIVE);

    d_drop(absent.get());
    dput_to_list(absent.detach(), &list);
    EXPECT_EQ(lru_length(), 0);
    EXPECT_EQ(unused.value(), 0);
    EXPECT_EQ(negative.value(), -1);
    shrink_dentry_list(&list);
    EXPECT_EQ(unused.value(), -1);
}

TEST_F(DputToList, WhatIsOnAnotherListStaysThere)
{
    list_head other;
    INIT_LIST_HEAD(&other);
    dentry *raw = make_unhashed(root, "file").detach();
    dput_to_list(raw, &other);

    spin_lock(&raw->d_lock);
    dget_dlock(raw);
    spin_unlock(&raw->d_lock);
    dput_to_list(raw, &list);
    EXPECT_TRUE(list_empty(&list));
    EXPECT_EQ(list_first(&other), &raw->d_lru);
    shrink_dentry_list(&other);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
