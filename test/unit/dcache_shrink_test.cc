// SPDX-License-Identifier: GPL-2.0-only
//
// Unused dentries: the LRU, private shrink lists, and the shrinkers.
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
using ::testing::IsEmpty;

/// Lists by d_lru, their counters, and a record of who was killed in which order.
class shrink_fixture : public vfs_fixture
{
  protected:
    shrink_fixture()
    {
        INIT_LIST_HEAD(&list);
    }

    void SetUp() override
    {
        vfs_fixture::SetUp();
        callbacks.release = [this](dentry *dentry) { killed.push_back(name_of(dentry)); };
        set_default_d_op(sb, callbacks.table());
    }

    void TearDown() override
    {
        EXPECT_TRUE(list_empty(&list));
        vfs_fixture::TearDown();
    }

    bool move_to_list(dentry *dentry)
    {
        spin_guard guard(&dentry->d_lock);
        return __move_to_shrink_list(dentry, &list);
    }

    long prune(unsigned long how_many)
    {
        shrink_control control = {how_many};
        return prune_dcache_sb(sb, &control);
    }

    /// A used dentry, taken in and out by a second user so that it is marked as used.
    dentry *leave_referenced(std::string_view text)
    {
        dentry *file = leave_file(root, text);
        cached(root, text).reset();
        EXPECT_TRUE(has_flag(file, DCACHE_REFERENCED));
        return file;
    }

    list_head list;
    std::vector<std::string> killed;
};

using LruTransitions = shrink_fixture;
using MoveToShrinkList = shrink_fixture;
using ShrinkDentryList = shrink_fixture;
using PruneDcacheSb = shrink_fixture;
using ShrinkDcacheSb = shrink_fixture;

// --- The six transitions ---

TEST_F(LruTransitions, OntoTheLruAndOff)
{
    dentry_ref file = make_file(root, "file");
    dentry *raw = file.get();
    counter_change unused(NR_DENTRY_UNUSED), negative(NR_DENTRY_NEGATIVE);

    spin_lock(&raw->d_lock);
    d_lru_add(raw);
    EXPECT_EQ(flags_of(raw) & (DCACHE_LRU_LIST | DCACHE_SHRINK_LIST), unsigned{DCACHE_LRU_LIST});
    EXPECT_EQ(lru_length(), 1);
    EXPECT_EQ(unused.value(), 1);
    d_lru_del(raw);
    EXPECT_FALSE(has_flag(raw, DCACHE_LRU_LIST | DCACHE_SHRINK_LIST));
    EXPECT_EQ(lru_length(), 0);
    EXPECT_EQ(unused.value(), 0);
    EXPECT_EQ(negative.value(), 0);
    spin_unlock(&raw->d_lock);
}

TEST_F(LruTransitions, NegativesAreCountedOnTheLruOnly)
{
    dentry_ref absent = make_negative(root, "absent");
    dentry *raw = absent.get();
    counter_change unused(NR_DENTRY_UNUSED), negative(NR_DENTRY_NEGATIVE);

    spin_lock(&raw->d_lock);
    d_lru_add(raw);
    EXPECT_EQ(negative.value(), 1);
    d_lru_del(raw);
    EXPECT_EQ(negative.value(), 0);
    d_shrink_add(raw, &list);
    EXPECT_EQ(negative.value(), 0);
    EXPECT_EQ(unused.value(), 1);
    d_shrink_del(raw);
    EXPECT_EQ(negative.value(), 0);
    EXPECT_EQ(unused.value(), 0);
    spin_unlock(&raw->d_lock);
}

TEST_F(LruTransitions, OntoAPrivateListAndOff)
{
    dentry_ref file = make_file(root, "file");
    dentry *raw = file.get();

    spin_lock(&raw->d_lock);
    d_shrink_add(raw, &list);
    EXPECT_TRUE(has_flag(raw, DCACHE_LRU_LIST));
    EXPECT_TRUE(has_flag(raw, DCACHE_SHRINK_LIST));
    EXPECT_EQ(list_first(&list), &raw->d_lru);
    EXPECT_EQ(lru_length(), 0);
    d_shrink_del(raw);
    EXPECT_FALSE(has_flag(raw, DCACHE_LRU_LIST | DCACHE_SHRINK_LIST));
    EXPECT_TRUE(list_empty(&list));
    EXPECT_TRUE(list_empty(&raw->d_lru));
    spin_unlock(&raw->d_lock);
}

TEST_F(LruTransitions, FromTheWrongStateAreComplainedAbout)
{
    dentry_ref file = make_file(root, "file");

    d_flag_verify(file.get(), 0);
    EXPECT_THAT(warnings.take(), IsEmpty());
    d_flag_verify(file.get(), DCACHE_LRU_LIST);
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("LRU flags")));
    file->d_flags |= DCACHE_LRU_LIST | DCACHE_SHRINK_LIST;
    d_flag_verify(file.get(), DCACHE_LRU_LIST);
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("LRU flags")));
    file->d_flags &= ~(DCACHE_LRU_LIST | DCACHE_SHRINK_LIST);
}

// A negative that is on a private list while its state changes keeps the counters right.
TEST_F(LruTransitions, TurningPositiveOnAPrivateListLeavesTheNegativeCount)
{
    dentry *absent = leave_negative(root, "absent");
    ASSERT_TRUE(move_to_list(absent));
    dentry_ref revived = cached(root, "absent");
    counter_change negative(NR_DENTRY_NEGATIVE);

    d_instantiate(absent, file_inode());
    EXPECT_EQ(negative.value(), 0);
    d_delete(absent);
    EXPECT_EQ(negative.value(), 0);
    shrink_dentry_list(&list);
}

// --- __move_to_shrink_list() ---

TEST_F(MoveToShrinkList, TakesAnUnusedDentryFromTheLru)
{
    dentry *file = leave_file(root, "file");
    counter_change unused(NR_DENTRY_UNUSED);

    EXPECT_TRUE(move_to_list(file));
    EXPECT_TRUE(has_flag(file, DCACHE_SHRINK_LIST));
    EXPECT_TRUE(has_flag(file, DCACHE_LRU_LIST));
    EXPECT_EQ(lru_length(), 0);
    EXPECT_EQ(unused.value(), 0);
    shrink_dentry_list(&list);
}

TEST_F(MoveToShrinkList, ANegativeStopsBeingCounted)
{
    dentry *absent = leave_negative(root, "absent");
    counter_change negative(NR_DENTRY_NEGATIVE);

    EXPECT_TRUE(move_to_list(absent));
    EXPECT_EQ(negative.value(), -1);
    shrink_dentry_list(&list);
    EXPECT_EQ(negative.value(), -1);
}

TEST_F(MoveToShrinkList, LeavesADentryInUse)
{
    dentry_ref file = make_file(root, "file");

    EXPECT_FALSE(move_to_list(file.get()));
    EXPECT_FALSE(has_flag(file.get(), DCACHE_SHRINK_LIST));
}

TEST_F(MoveToShrinkList, LeavesWhatIsOnAPrivateListAlready)
{
    list_head other;
    INIT_LIST_HEAD(&other);
    dentry *file = leave_file(root, "file");
    ASSERT_TRUE(move_to_list(file));

    spin_lock(&file->d_lock);
    EXPECT_FALSE(__move_to_shrink_list(file, &other));
    spin_unlock(&file->d_lock);
    EXPECT_TRUE(list_empty(&other));
    shrink_dentry_list(&list);
}

// --- shrink_dentry_list() ---

TEST_F(ShrinkDentryList, KillsInTheOrderOfAdding)
{
    for (const char *name : {"first", "second", "third"})
        ASSERT_TRUE(move_to_list(leave_file(root, name)));
    shrink_dentry_list(&list);
    EXPECT_THAT(killed, ElementsAre("first", "second", "third"));
}

TEST_F(ShrinkDentryList, AnEmptyListIsFine)
{
    shrink_dentry_list(&list);
}

// It leaves the list and goes nowhere; the next last dput() finds it a place.
TEST_F(ShrinkDentryList, ADentryThatWasRevivedOnlyLeavesTheList)
{
    dentry *file = leave_file(root, "file");
    ASSERT_TRUE(move_to_list(file));
    dentry_ref revived = cached(root, "file");
    counter_change unused(NR_DENTRY_UNUSED);

    shrink_dentry_list(&list);
    EXPECT_THAT(killed, IsEmpty());
    EXPECT_FALSE(has_flag(file, DCACHE_LRU_LIST | DCACHE_SHRINK_LIST));
    EXPECT_EQ(lru_length(), 0);
    EXPECT_EQ(unused.value(), -1);
    revived.reset();
    EXPECT_TRUE(has_flag(file, DCACHE_LRU_LIST));
    EXPECT_EQ(lru_length(), 1);
}

TEST_F(ShrinkDentryList, ARevivedAndReleasedDentryIsKilled)
{
    ASSERT_TRUE(move_to_list(leave_file(root, "file")));
    cached(root, "file").reset();

    shrink_dentry_list(&list);
    EXPECT_THAT(killed, ElementsAre("file"));
}

// Unlike dput(), a shrinker asks nobody whether an ancestor is worth keeping.
TEST_F(ShrinkDentryList, AncestorsLeftUnusedAreKilledThoughHashed)
{
    dentry *file = leave_file(make_directory(make_directory(root, "a").get(), "b").get(), "file");

    ASSERT_TRUE(move_to_list(file));
    shrink_dentry_list(&list);
    EXPECT_THAT(killed, ElementsAre("file", "b", "a"));
}

TEST_F(ShrinkDentryList, AncestorsInUseStay)
{
    dentry_ref directory = make_directory(root, "a");

    ASSERT_TRUE(move_to_list(leave_file(directory.get(), "file")));
    shrink_dentry_list(&list);
    EXPECT_THAT(killed, ElementsAre("file"));
    EXPECT_EQ(d_count(directory.get()), 1);
}

// Somebody else killed it and left the memory: this is what the list's owner frees.
TEST_F(ShrinkDentryList, OfAKilledDentryOnlyTheMemoryIsLeft)
{
    dentry *file = leave_file(root, "file");
    ASSERT_TRUE(move_to_list(file));
    counter_change freed(DENTRIES_FREED), existing(NR_DENTRY);

    shrink_dcache_parent(root);
    EXPECT_THAT(killed, ElementsAre("file"));
    EXPECT_TRUE(has_flag(file, DCACHE_DENTRY_KILLED));
    EXPECT_TRUE(has_flag(file, DCACHE_SHRINK_LIST));
    EXPECT_EQ(list_first(&list), &file->d_lru);
    EXPECT_EQ(existing.value(), -1);
    EXPECT_EQ(freed.value(), 0);

    shrink_dentry_list(&list);
    EXPECT_THAT(killed, ElementsAre("file"));
    EXPECT_EQ(freed.value(), 1);
}

// --- prune_dcache_sb() ---

TEST_F(PruneDcacheSb, TheOldestGoFirst)
{
    for (const char *name : {"first", "second", "third"})
        leave_file(root, name);
    EXPECT_EQ(prune(2), 2);
    EXPECT_THAT(killed, ElementsAre("first", "second"));
    EXPECT_EQ(lru_length(), 1);
    EXPECT_TRUE(is_cached(root, "third"));
}

TEST_F(PruneDcacheSb, NothingToScanNothingToDo)
{
    leave_file(root, "file");
    EXPECT_EQ(prune(0), 0);
    EXPECT_EQ(lru_length(), 1);
}

TEST_F(PruneDcacheSb, WhatWasUsedAgainGetsASecondChance)
{
    dentry *referenced = leave_referenced("referenced");
    leave_file(root, "once");

    EXPECT_EQ(prune(2), 1);
    EXPECT_THAT(killed, ElementsAre("once"));
    EXPECT_FALSE(has_flag(referenced, DCACHE_REFERENCED));
    EXPECT_EQ(lru_length(), 1);
    EXPECT_EQ(prune(2), 1);
    EXPECT_THAT(killed, ElementsAre("once", "referenced"));
}

TEST_F(PruneDcacheSb, TheSecondChanceIsAtTheYoungEnd)
{
    leave_referenced("referenced");
    leave_file(root, "second");
    leave_file(root, "third");

    // The first of three scans only moves "referenced" behind the others.
    EXPECT_EQ(prune(3), 2);
    EXPECT_EQ(prune(1), 1);
    EXPECT_THAT(killed, ElementsAre("second", "third", "referenced"));
}

TEST_F(PruneDcacheSb, WhatIsInUseLeavesTheLru)
{
    leave_file(root, "file");
    dentry_ref file = cached(root, "file");
    counter_change unused(NR_DENTRY_UNUSED);

    EXPECT_EQ(prune(10), 1);
    EXPECT_THAT(killed, IsEmpty());
    EXPECT_FALSE(has_flag(file.get(), DCACHE_LRU_LIST));
    EXPECT_EQ(unused.value(), -1);
    EXPECT_TRUE(is_cached(root, "file"));
}

TEST_F(PruneDcacheSb, ANegativeInUseIsUncounted)
{
    leave_negative(root, "absent");
    dentry_ref absent = cached(root, "absent");
    counter_change negative(NR_DENTRY_NEGATIVE);

    EXPECT_EQ(prune(10), 1);
    EXPECT_EQ(negative.value(), -1);
}

// The LRU lock is held, so a d_lock can only be tried.
TEST_F(PruneDcacheSb, ALockedDentryIsSkipped)
{
    dentry *file = leave_file(root, "file");

    spin_lock(&file->d_lock);
    EXPECT_EQ(prune(1), 0);
    spin_unlock(&file->d_lock);
    EXPECT_EQ(lru_length(), 1);
    EXPECT_EQ(prune(1), 1);
}

TEST_F(PruneDcacheSb, CountersFollow)
{
    leave_file(root, "file");
    leave_negative(root, "absent");
    counter_change existing(NR_DENTRY), unused(NR_DENTRY_UNUSED), negative(NR_DENTRY_NEGATIVE);

    EXPECT_EQ(prune(10), 2);
    EXPECT_EQ(existing.value(), -2);
    EXPECT_EQ(unused.value(), -2);
    EXPECT_EQ(negative.value(), -1);
}

TEST_F(PruneDcacheSb, AChildGoesThenItsDirectory)
{
    leave_file(make_directory(root, "d").get(), "file");

    EXPECT_EQ(lru_length(), 1);
    EXPECT_EQ(prune(1), 1);
    EXPECT_THAT(killed, ElementsAre("file", "d"));
}

// --- shrink_dcache_sb() ---

TEST_F(ShrinkDcacheSb, EmptiesTheLruWithoutSecondChances)
{
    leave_referenced("referenced");
    leave_file(root, "once");
    leave_negative(root, "absent");

    shrink_dcache_sb(sb);
    EXPECT_THAT(killed, ElementsAre("referenced", "once", "absent"));
    EXPECT_EQ(lru_length(), 0);
}

TEST_F(ShrinkDcacheSb, WhatIsInUseOnlyLeavesTheLru)
{
    leave_file(root, "file");
    dentry_ref file = cached(root, "file");
    counter_change unused(NR_DENTRY_UNUSED);

    shrink_dcache_sb(sb);
    EXPECT_THAT(killed, IsEmpty());
    EXPECT_FALSE(has_flag(file.get(), DCACHE_LRU_LIST | DCACHE_SHRINK_LIST));
    EXPECT_EQ(unused.value(), -1);
}

// It works in batches of 1024.
TEST_F(ShrinkDcacheSb, MoreThanOneBatchGoes)
{
    for (int i = 0; i < 2500; i++)
        leave_negative(root, std::to_string(i));
    ASSERT_EQ(lru_length(), 2500);
    counter_change existing(NR_DENTRY);

    shrink_dcache_sb(sb);
    EXPECT_EQ(existing.value(), -2500);
    EXPECT_EQ(lru_length(), 0);
}

TEST_F(ShrinkDcacheSb, OtherFileSystemsKeepTheirs)
{
    super_block *other = make_super_block();
    dentry *file = make_child(other->s_root, "file", make_inode(other, S_IFREG_TYPE)).get();

    shrink_dcache_sb(sb);
    EXPECT_EQ(list_lru_count(&other->s_dentry_lru), 1);
    EXPECT_FALSE(d_unhashed(file));
    EXPECT_EQ(generic_shutdown_super(other), 0);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
