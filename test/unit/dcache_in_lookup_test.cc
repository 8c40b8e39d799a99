// SPDX-License-Identifier: GPL-2.0-only
//
// In-lookup dentries, one task at a time: how they come to be, what marks them, how the state ends.
// What several tasks do to each other is in protocol/d_alloc_parallel_test.cc.
#include <vector>

#include <gtest/gtest.h>

#include "lookup_protocol.h"
#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using DAllocParallel = vfs_fixture;
using DLookupDone = vfs_fixture;
using InLookupEnds = vfs_fixture;
using DirSeq = vfs_fixture;

bool bucket_is_empty(const dentry *parent, u32 hash)
{
    return hlist_bl_empty(in_lookup_hash(parent, hash));
}

bool is_in_the_table(const dentry *dentry)
{
    hlist_bl_head *bucket = in_lookup_hash(parent_of(dentry), dentry->d_name.hash());
    bool found = false;

    hlist_bl_lock(bucket);
    for (hlist_bl_node *node = hlist_bl_first(bucket); node; node = hlist_bl_next(node))
        found |= node == &dentry->d_in_lookup_hash;
    hlist_bl_unlock(bucket);
    return found;
}

// --- d_alloc_parallel() ---

TEST_F(DAllocParallel, AnUnknownNameMakesTheCallerItsOwner)
{
    int before = d_count(root);
    dentry_ref fresh = allocate_parallel(root, "name");

    EXPECT_TRUE(d_in_lookup(fresh.get()));
    EXPECT_EQ(flags_of(fresh.get()), unsigned{DCACHE_PAR_LOOKUP});
    EXPECT_TRUE(d_unhashed(fresh.get()));
    EXPECT_TRUE(d_is_negative(fresh.get()));
    EXPECT_EQ(d_count(fresh.get()), 1);
    EXPECT_EQ(name_of(fresh.get()), "name");
    EXPECT_TRUE(is_in_the_table(fresh.get()));
    EXPECT_EQ(parent_of(fresh.get()), root);
    EXPECT_EQ(d_count(root), before + 1);
    EXPECT_EQ(d_first_child(root), fresh.get());
    d_lookup_done(fresh.get());
}

TEST_F(DAllocParallel, AnInLookupDentryIsNotFoundInTheHash)
{
    dentry_ref fresh = allocate_parallel(root, "name");

    EXPECT_FALSE(is_cached(root, "name"));
    d_lookup_done(fresh.get());
}

TEST_F(DAllocParallel, BecomingOwnerLeavesTheDirectorySequence)
{
    unsigned before = directory_sequence(root);
    dentry_ref fresh = allocate_parallel(root, "name");

    EXPECT_EQ(directory_sequence(root), before);
    d_lookup_done(fresh.get());
}

TEST_F(DAllocParallel, ACachedNameIsReturnedWithAReference)
{
    dentry_ref file = make_file(root, "name");
    counter_change existing(NR_DENTRY), allocated(DENTRIES_ALLOCATED);
    int before = d_count(root);

    dentry_ref found = allocate_parallel(root, "name");
    EXPECT_EQ(found, file);
    EXPECT_FALSE(d_in_lookup(found.get()));
    EXPECT_EQ(d_count(file.get()), 2);
    // The one it allocated in advance is gone again.
    EXPECT_EQ(allocated.value(), 1);
    EXPECT_EQ(existing.value(), 0);
    EXPECT_EQ(d_count(root), before);
}

TEST_F(DAllocParallel, ACachedMissIsReturnedAsWell)
{
    dentry_ref absent = make_negative(root, "name");

    EXPECT_EQ(allocate_parallel(root, "name"), absent);
}

TEST_F(DAllocParallel, AnUnusedEntryIsRevived)
{
    dentry *file = leave_file(root, "name");

    dentry_ref found = allocate_parallel(root, "name");
    EXPECT_EQ(found.get(), file);
    EXPECT_EQ(d_count(file), 1);
}

TEST_F(DAllocParallel, AnUnhashedEntryDoesNotCount)
{
    dentry_ref file = make_file(root, "name");

    d_drop(file.get());
    dentry_ref fresh = allocate_parallel(root, "name");
    EXPECT_NE(fresh, file);
    EXPECT_TRUE(d_in_lookup(fresh.get()));
    d_lookup_done(fresh.get());
}

TEST_F(DAllocParallel, TwoNamesOfOneBucketAreTwoLookups)
{
    dentry_ref directory = make_directory(root, "d");
    dentry_ref one = allocate_parallel(directory.get(), "one");
    std::vector<dentry_ref> others;

    // With two buckets, several of these share the first one's.
    for (int i = 0; i < 8; i++)
        others.push_back(allocate_parallel(directory.get(), "other" + std::to_string(i)));
    for (const dentry_ref &other : others) {
        EXPECT_TRUE(d_in_lookup(other.get()));
        d_lookup_done(other.get());
        EXPECT_TRUE(is_in_the_table(one.get()));
    }
    EXPECT_TRUE(d_in_lookup(one.get()));
    d_lookup_done(one.get());
}

TEST_F(DAllocParallel, OneNameInTwoDirectoriesIsTwoLookups)
{
    dentry_ref a = make_directory(root, "a");
    dentry_ref b = make_directory(root, "b");
    dentry_ref in_a = allocate_parallel(a.get(), "name");
    dentry_ref in_b = allocate_parallel(b.get(), "name");

    EXPECT_NE(in_a, in_b);
    EXPECT_TRUE(d_in_lookup(in_b.get()));
    d_lookup_done(in_a.get());
    EXPECT_TRUE(is_in_the_table(in_b.get()));
    d_lookup_done(in_b.get());
}

TEST_F(DAllocParallel, BelowADisconnectedDirectoryItIsDisconnected)
{
    dentry_ref directory = adopt_dentry(d_obtain_alias(directory_inode()));
    dentry_ref fresh = allocate_parallel(directory.get(), "name");

    EXPECT_EQ(flags_of(fresh.get()), unsigned{DCACHE_PAR_LOOKUP | DCACHE_DISCONNECTED});
    d_lookup_done(fresh.get());
}

TEST_F(DAllocParallel, WithoutMemoryItIsAnError)
{
    int before = d_count(root);
    counter_change existing(NR_DENTRY);
    qstr short_one = name_below(root, "name");
    qstr long_one = name_below(root, long_name);

    kmem_fail_nth(1);
    EXPECT_EQ(PTR_ERR(d_alloc_parallel(root, &short_one)), -ENOMEM);
    kmem_fail_nth(2);
    EXPECT_EQ(PTR_ERR(d_alloc_parallel(root, &long_one)), -ENOMEM);
    EXPECT_TRUE(kmem_failure_delivered());
    EXPECT_EQ(d_count(root), before);
    EXPECT_EQ(existing.value(), 0);
}

// It allocates before it looks: a cached name can fail as well.
TEST_F(DAllocParallel, EvenACachedNameNeedsMemory)
{
    dentry_ref file = make_file(root, "name");
    qstr name = name_below(root, "name");

    kmem_fail_nth(1);
    EXPECT_EQ(PTR_ERR(d_alloc_parallel(root, &name)), -ENOMEM);
    EXPECT_EQ(d_count(file.get()), 1);
}

TEST_F(DAllocParallel, AloneItNeverRetriesOrWaits)
{
    counter_change waits(LOOKUP_WAITS), seq(RETRY_SEQ), rename(RETRY_RENAME_LOCK),
        dir(RETRY_DIR_SEQ), dying(RETRY_DYING), mismatch(RETRY_MISMATCH);

    dentry_ref fresh = allocate_parallel(root, "name");
    d_add(fresh.get(), file_inode());
    allocate_parallel(root, "name");
    for (const counter_change *counter : {&waits, &seq, &rename, &dir, &dying, &mismatch})
        EXPECT_EQ(counter->value(), 0);
}

// --- d_lookup_done() ---

TEST_F(DLookupDone, LeavesANegativeUnhashedDentry)
{
    dentry_ref fresh = allocate_parallel(root, "name");

    d_lookup_done(fresh.get());
    EXPECT_FALSE(d_in_lookup(fresh.get()));
    EXPECT_EQ(flags_of(fresh.get()), 0u);
    EXPECT_TRUE(d_unhashed(fresh.get()));
    EXPECT_TRUE(d_is_negative(fresh.get()));
    EXPECT_EQ(fresh->waiters, nullptr);
    EXPECT_EQ(d_count(fresh.get()), 1);
    EXPECT_TRUE(bucket_is_empty(root, fresh->d_name.hash()));
}

TEST_F(DLookupDone, ItsSlowHalfDoesTheSameAtOnce)
{
    dentry_ref fresh = allocate_parallel(root, "name");

    __d_lookup_unhash_wake(fresh.get());
    EXPECT_EQ(flags_of(fresh.get()), 0u);
    EXPECT_TRUE(bucket_is_empty(root, fresh->d_name.hash()));
    EXPECT_FALSE(spin_is_locked(&fresh->d_lock));
}

// Only publishing is announced by i_dir_seq: whoever waits finds the dentry unhashed and starts
// over.
TEST_F(DLookupDone, LeavesTheDirectorySequence)
{
    unsigned before = directory_sequence(root);
    dentry_ref fresh = allocate_parallel(root, "name");

    d_lookup_done(fresh.get());
    EXPECT_EQ(directory_sequence(root), before);
}

TEST_F(DLookupDone, IsHarmlessWhenTheStateIsOver)
{
    dentry_ref fresh = allocate_parallel(root, "name");
    dentry_ref file = make_file(root, "file");

    d_lookup_done(fresh.get());
    d_lookup_done(fresh.get());
    d_lookup_done(file.get());
    EXPECT_EQ(flags_of(fresh.get()), 0u);
    EXPECT_TRUE(is_cached(root, "file"));
}

TEST_F(DLookupDone, TheNextCallerBecomesOwner)
{
    dentry_ref first = allocate_parallel(root, "name");

    d_lookup_done(first.get());
    dentry_ref second = allocate_parallel(root, "name");
    EXPECT_NE(second, first);
    EXPECT_TRUE(d_in_lookup(second.get()));
    d_lookup_done(second.get());
}

TEST_F(DLookupDone, TheDentryGoesWithItsLastReference)
{
    counter_change existing(NR_DENTRY);
    dentry_ref fresh = allocate_parallel(root, "name");

    d_lookup_done(fresh.get());
    fresh.reset();
    EXPECT_EQ(existing.value(), 0);
}

// --- The other ways out ---

TEST_F(InLookupEnds, AddingPublishesAPositiveEntry)
{
    dentry_ref fresh = allocate_parallel(root, "name");
    u32 hash = fresh->d_name.hash();

    d_add(fresh.get(), file_inode());
    EXPECT_FALSE(d_in_lookup(fresh.get()));
    EXPECT_TRUE(d_is_reg(fresh.get()));
    EXPECT_EQ(cached(root, "name"), fresh);
    EXPECT_TRUE(bucket_is_empty(root, hash));
}

TEST_F(InLookupEnds, AddingPublishesAMiss)
{
    dentry_ref fresh = allocate_parallel(root, "name");

    d_add(fresh.get(), nullptr);
    EXPECT_FALSE(d_in_lookup(fresh.get()));
    EXPECT_EQ(cached(root, "name"), fresh);
    EXPECT_EQ(fresh->waiters, nullptr);
}

TEST_F(InLookupEnds, PublishingMovesTheDirectorySequenceByTwo)
{
    for (bool positive : {true, false}) {
        unsigned before = directory_sequence(root);
        dentry_ref fresh = allocate_parallel(root, positive ? "positive" : "negative");
        d_add(fresh.get(), positive ? file_inode() : nullptr);
        EXPECT_EQ(directory_sequence(root), before + 2);
    }
}

TEST_F(InLookupEnds, SplicingPublishesAsAddingDoes)
{
    unsigned before = directory_sequence(root);
    dentry_ref file = allocate_parallel(root, "file");
    dentry_ref absent = allocate_parallel(root, "absent");

    EXPECT_EQ(d_splice_alias(file_inode(), file.get()), nullptr);
    EXPECT_EQ(d_splice_alias(nullptr, absent.get()), nullptr);
    EXPECT_EQ(directory_sequence(root), before + 4);
    EXPECT_EQ(cached(root, "file"), file);
    EXPECT_EQ(cached(root, "absent"), absent);
    EXPECT_FALSE(d_in_lookup(file.get()));
    EXPECT_FALSE(d_in_lookup(absent.get()));
}

TEST_F(InLookupEnds, AMoveOntoItPublishesTheMovedDentry)
{
    dentry_ref a = make_directory(root, "a");
    dentry_ref b = make_directory(root, "b");
    dentry_ref file = make_file(a.get(), "file");
    dentry_ref fresh = allocate_parallel(b.get(), "name");
    u32 hash = fresh->d_name.hash();
    unsigned in_a = directory_sequence(a.get());
    unsigned in_b = directory_sequence(b.get());

    d_move(file.get(), fresh.get());
    EXPECT_EQ(cached(b.get(), "name"), file);
    EXPECT_FALSE(d_in_lookup(fresh.get()));
    EXPECT_TRUE(d_unhashed(fresh.get()));
    EXPECT_TRUE(d_is_negative(fresh.get()));
    EXPECT_EQ(fresh->waiters, nullptr);
    EXPECT_TRUE(bucket_is_empty(b.get(), hash));
    EXPECT_EQ(directory_sequence(a.get()), in_a);
    EXPECT_EQ(directory_sequence(b.get()), in_b + 2);
}

TEST_F(InLookupEnds, AnOrdinaryMoveLeavesTheDirectorySequence)
{
    dentry_ref file = make_file(root, "file");
    dentry_ref target = make_negative(root, "target");
    unsigned before = directory_sequence(root);

    d_move(file.get(), target.get());
    EXPECT_EQ(directory_sequence(root), before);
}

// An unhash in two steps: whoever clears PAR_LOOKUP wakes afterwards, in the same hold of d_lock.
TEST_F(InLookupEnds, UnhashingAloneLeavesTheWaitersBitToTheWakeUp)
{
    dentry_ref fresh = allocate_parallel(root, "name");
    dentry *raw = fresh.get();

    spin_lock(&raw->d_lock);
    raw->d_flags |= DCACHE_LOOKUP_WAITERS;
    era_7_2::__d_lookup_unhash(raw);
    EXPECT_EQ(flags_of(raw), unsigned{DCACHE_LOOKUP_WAITERS});
    era_7_2::__d_wake_in_lookup_waiters(raw);
    EXPECT_EQ(flags_of(raw), 0u);
    spin_unlock(&raw->d_lock);
}

// --- i_dir_seq ---

TEST_F(DirSeq, IsOddWhileAnEntryIsBetweenTheTables)
{
    inode *dir = d_inode(root);
    unsigned before = directory_sequence(root);

    unsigned n = era_7_2::start_dir_add(dir);
    EXPECT_EQ(n, before);
    EXPECT_EQ(directory_sequence(root), before + 1);
    era_7_2::end_dir_add(dir, n);
    EXPECT_EQ(directory_sequence(root), before + 2);
}

TEST_F(DirSeq, StartsEven)
{
    dentry_ref directory = make_directory(root, "d");

    EXPECT_EQ(directory_sequence(directory.get()) & 1, 0u);
}

// --- The table ---

class InLookupHash : public vfs_fixture
{
  protected:
    vfs_config config() const override
    {
        return {}; // the kernel's 1024 buckets
    }
};

// Buckets that two independent implementations of the kernel's formula computed; the table's
// address is unknown, so the distances are compared.
TEST_F(InLookupHash, BucketsAreTheKernels)
{
    constexpr unsigned long salt = 0xffff888100abc0c0;
    const auto *parent = reinterpret_cast<const dentry *>(salt);
    constexpr struct {
        u32 hash;
        int bucket;
    } cases[] = {
        {0xb93895d8, 286}, {0xd921b756, 68},  {0xff7295f4, 830},
        {0xc0c636b6, 309}, {0xe63949ad, 337}, {0xaaf5dbac, 284},
    };
    const hlist_bl_head *first = in_lookup_hash(parent, cases[0].hash);

    for (const auto &expected : cases)
        EXPECT_EQ(in_lookup_hash(parent, expected.hash) - first, expected.bucket - cases[0].bucket);
}

// --- Eras ---

class LookupEra : public vfs_fixture
{
};

TEST_F(LookupEra, IsFoundByTheNameItHas)
{
    for (int i = 0; i < LOOKUP_ERAS; i++) {
        auto era = static_cast<lookup_era>(i);
        EXPECT_EQ(find_lookup_era(lookup_era_name(era)), era);
        EXPECT_EQ(lookup_era_has_caller_queue(era), era <= ERA_6_0);
    }
    EXPECT_STREQ(lookup_era_name(ERA_4_17), "4.17");
    EXPECT_EQ(find_lookup_era("2.6"), LOOKUP_ERAS);
}

TEST_F(LookupEra, ChangesOnlyWhileNothingIsInLookup)
{
    dentry_ref one = allocate_parallel(root, "one");

    EXPECT_EQ(set_lookup_era(ERA_4_7), -EBUSY);
    EXPECT_EQ(current_lookup_era(), ERA_7_2);
    d_lookup_done(one.get());
    EXPECT_EQ(set_lookup_era(LOOKUP_ERAS), -EINVAL);
    EXPECT_EQ(set_lookup_era(ERA_4_7), 0);
    EXPECT_EQ(current_lookup_era(), ERA_4_7);
}

class LookupEraOutside : public vfs_fixture
{
  protected:
    vfs_config config() const override
    {
        vfs_config config = vfs_fixture::config();
        config.lookup_outside_rwsem = true;
        return config;
    }
};

TEST_F(LookupEraOutside, HasNoCallersQueue)
{
    EXPECT_EQ(set_lookup_era(ERA_6_0), -EINVAL);
    EXPECT_EQ(current_lookup_era(), ERA_7_2);
    EXPECT_EQ(set_lookup_era(ERA_V3), 0);
}

TEST_F(LookupEra, DecidesWhetherCallersHaveAQueue)
{
    EXPECT_EQ(caller_wait_queue().head(), nullptr);
    ASSERT_EQ(set_lookup_era(ERA_6_0), 0);
    EXPECT_NE(caller_wait_queue().head(), nullptr);
}

class InLookupHashOfOneBucket : public vfs_fixture
{
  protected:
    vfs_config config() const override
    {
        vfs_config config = vfs_fixture::config();
        config.in_lookup_shift = 0;
        return config;
    }
};

TEST_F(InLookupHashOfOneBucket, KeepsNamesApart)
{
    dentry_ref one = allocate_parallel(root, "one");
    dentry_ref two = allocate_parallel(root, "two");

    EXPECT_EQ(in_lookup_hash(root, 0), in_lookup_hash(one.get(), ~0u));
    d_add(one.get(), file_inode());
    EXPECT_TRUE(d_in_lookup(two.get()));
    EXPECT_TRUE(is_in_the_table(two.get()));
    d_lookup_done(two.get());
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
