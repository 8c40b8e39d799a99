// SPDX-License-Identifier: GPL-2.0-only
//
// Lookups of several threads that meet: who asks the file system, who waits, what each one gets.
//
// Threads are held inside ->lookup(), or inside ->d_compare() while they search a chain, and are
// known to sleep before the next step is made.
#include <atomic>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gate.h"
#include "lookup_eras.h"
#include "lookup_protocol.h"
#include "threads.h"
#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::ElementsAre;

/// A thread that looks a name up as a path walk does after a miss in the cache.
class looker
{
  public:
    looker(dentry *dir, std::string_view text) : dir_(dir), text_(text), thread_([this] { look(); })
    {
    }

    /// Waits until the thread waits. False when it finished instead.
    bool waits()
    {
        return thread_.comes_to_wait();
    }
    bool finished() const
    {
        return thread_.finished();
    }
    /// Waits for the end. The reference stays with this object.
    dentry *result()
    {
        thread_.join();
        return result_.get();
    }
    int error()
    {
        return IS_ERR(result()) ? PTR_ERR(result()) : 0;
    }

  private:
    void look()
    {
        qstr name = name_below(dir_, text_);
        result_ = adopt_dentry(lookup_slow(&name, dir_, 0));
    }

    dentry *dir_;
    std::string text_;
    dentry_ref result_;
    blocking_thread thread_;
};

/// A directory whose ->lookup() calls are held at a gate and then answered as the test says.
class held_lookup_fixture : public vfs_fixture
{
  protected:
    void SetUp() override
    {
        vfs_fixture::SetUp();
        dir = make_directory(root, "dir");
        answer = [](dentry *dentry) { return d_splice_alias(nullptr, dentry); };
        on_lookup = [this](inode *, dentry *dentry, unsigned) {
            {
                std::lock_guard guard(lock);
                asked.push_back(name_of(dentry));
                in_lookup = dentry;
            }
            gate_of(name_of(dentry)).pass();
            return answer(dentry);
        };
    }
    void TearDown() override
    {
        lookers.clear();
        dir.reset();
        vfs_fixture::TearDown();
    }

    /// Starts a lookup and waits until it is inside ->lookup().
    looker &start_owner(std::string_view text)
    {
        looker &owner = lookers.emplace_back(dir.get(), text);
        at_lookup.wait_for_arrival();
        return owner;
    }
    /// Starts a lookup and waits until it waits for somebody else's.
    looker &start_waiter(std::string_view text)
    {
        looker &waiter = lookers.emplace_back(dir.get(), text);
        EXPECT_TRUE(waiter.waits());
        return waiter;
    }
    void start_waiters(int how_many, std::string_view text)
    {
        for (int i = 0; i < how_many; i++)
            start_waiter(text);
    }
    gate &gate_of(const std::string &text)
    {
        auto own = own_gates.find(text);
        return own == own_gates.end() ? at_lookup : own->second;
    }
    int finished_lookers() const
    {
        int finished = 0;
        for (const looker &looker : lookers)
            finished += looker.finished();
        return finished;
    }
    int lookups() const
    {
        std::lock_guard guard(lock);
        return static_cast<int>(asked.size());
    }
    void expect_all_get(dentry *expected)
    {
        for (looker &looker : lookers)
            EXPECT_EQ(looker.result(), expected);
    }

    dentry_ref dir;
    gate at_lookup;
    std::map<std::string, gate> own_gates; ///< of names that are to be held apart from the others
    std::function<dentry *(dentry *)> answer; ///< set before a thread can come to it
    mutable std::mutex lock;                  ///< guards the next two
    std::vector<std::string> asked;
    dentry *in_lookup = nullptr; ///< what ->lookup() was last called with
    std::list<looker> lookers;
};

class in_every_era : public held_lookup_fixture, public ::testing::WithParamInterface<lookup_era>
{
  protected:
    vfs_config config() const override
    {
        vfs_config config = held_lookup_fixture::config();
        config.era = GetParam();
        return config;
    }
};

using DAllocParallel = in_every_era;
using FailedLookup = in_every_era;
using MovedLookup = in_every_era;
using FoldedLookup = in_every_era;
// These look at the steps of v7.2.
using ChangedBeforeTheWaiterRuns = held_lookup_fixture;
using WaitersBit = held_lookup_fixture;

#define IN_EVERY_ERA(suite)                                                                        \
    INSTANTIATE_TEST_SUITE_P(All, suite, ::testing::ValuesIn(all_lookup_eras()), name_of_era_test)
IN_EVERY_ERA(DAllocParallel);
IN_EVERY_ERA(FailedLookup);
IN_EVERY_ERA(MovedLookup);
IN_EVERY_ERA(FoldedLookup);

// --- One lookup for one name ---

TEST_P(DAllocParallel, LosersWaitForTheWinnersLookup)
{
    counter_change existing(NR_DENTRY), lookups_made(FS_LOOKUPS), waits(LOOKUP_WAITS);
    answer = [this](dentry *dentry) { return d_splice_alias(file_inode(), dentry); };

    start_owner("name");
    start_waiters(2, "name");
    EXPECT_EQ(finished_lookers(), 0);
    at_lookup.open(1);

    expect_all_get(lookers.front().result());
    EXPECT_EQ(cached(dir.get(), "name").get(), lookers.front().result());
    EXPECT_EQ(lookups_made.value(), 1);
    EXPECT_EQ(waits.value(), 2);
    EXPECT_EQ(existing.value(), 1);
    EXPECT_EQ(d_count(lookers.front().result()), 3);
}

TEST_P(DAllocParallel, AMissThatIsCachedIsSharedByAll)
{
    start_owner("name");
    start_waiters(2, "name");
    at_lookup.open(1);

    dentry *absent = lookers.front().result();
    EXPECT_TRUE(d_is_negative(absent));
    EXPECT_FALSE(d_unhashed(absent));
    expect_all_get(absent);
    EXPECT_EQ(lookups(), 1);
}

TEST_F(WaitersBit, IsThereWhileSomebodyWaits)
{
    start_owner("name");
    EXPECT_EQ(flags_of(in_lookup), unsigned{DCACHE_PAR_LOOKUP});
    start_waiter("name");
    EXPECT_EQ(flags_of(in_lookup), unsigned{DCACHE_PAR_LOOKUP | DCACHE_LOOKUP_WAITERS});
    at_lookup.open(1);
    expect_all_get(in_lookup);
    EXPECT_EQ(flags_of(in_lookup), 0u);
}

TEST_P(DAllocParallel, AWaiterHoldsWhatItWaitsFor)
{
    start_owner("name");
    EXPECT_EQ(d_count(in_lookup), 1);
    start_waiter("name");
    EXPECT_EQ(d_count(in_lookup), 2);
    start_waiter("name");
    EXPECT_EQ(d_count(in_lookup), 3);
    at_lookup.open(1);
    expect_all_get(in_lookup);
}

TEST_P(DAllocParallel, NobodyIsFoundUnfinished)
{
    start_owner("name");
    EXPECT_FALSE(is_cached(dir.get(), "name"));
    start_waiter("name");
    EXPECT_FALSE(is_cached(dir.get(), "name"));
    at_lookup.open(1);
    expect_all_get(in_lookup);
}

TEST_P(DAllocParallel, AWaiterNeedsNoRetry)
{
    counter_change mismatch(RETRY_MISMATCH);

    start_owner("name");
    start_waiters(2, "name");
    at_lookup.open(1);
    expect_all_get(lookers.front().result());
    EXPECT_EQ(mismatch.value(), 0);
}

TEST_P(DAllocParallel, ADirectorysOwnRulesDecideWhatOneNameIs)
{
    callbacks.hash = hash_by_length;
    callbacks.compare = compare_ignoring_case;
    set_default_d_op(sb, callbacks.table());
    dir = make_directory(root, "folding");

    start_owner("Name");
    start_waiter("nAME");
    at_lookup.open(1);
    expect_all_get(lookers.front().result());
    EXPECT_EQ(lookups(), 1);
}

// --- Different names ---

class OneBucket : public held_lookup_fixture
{
  protected:
    vfs_config config() const override
    {
        vfs_config config = vfs_fixture::config();
        config.in_lookup_shift = 0;
        return config;
    }
};

TEST_F(OneBucket, LookupsOfDifferentNamesRunAtOnce)
{
    start_owner("one");
    start_owner("two");
    start_owner("three");
    EXPECT_EQ(lookups(), 3);
    at_lookup.open(3);
    for (looker &looker : lookers)
        EXPECT_EQ(looker.error(), 0);
}

TEST_F(OneBucket, TheEndOfOneLookupWakesNobodyWhoWaitsForAnother)
{
    counter_change waits(LOOKUP_WAITS), mismatch(RETRY_MISMATCH);
    gate &at_two = own_gates["two"];
    looker &one = start_owner("one");
    dentry *of_one = in_lookup;
    looker &waiter = start_waiter("one");

    looker two(dir.get(), "two");
    at_two.wait_for_arrival();
    at_two.open(1);
    EXPECT_EQ(two.error(), 0);
    EXPECT_FALSE(waiter.finished());
    EXPECT_TRUE(waiter.waits());
    EXPECT_TRUE(has_flag(of_one, DCACHE_LOOKUP_WAITERS));

    at_lookup.open(1);
    EXPECT_EQ(one.result(), of_one);
    EXPECT_EQ(waiter.result(), of_one);
    EXPECT_EQ(waits.value(), 1);
    EXPECT_EQ(mismatch.value(), 0);
}

TEST_F(OneBucket, TheSameNameInAnotherDirectoryIsAnotherLookup)
{
    dentry_ref other = make_directory(root, "other");

    start_owner("name");
    lookers.emplace_back(other.get(), "name");
    at_lookup.wait_for_arrival();
    EXPECT_EQ(lookups(), 2);
    at_lookup.open(2);
    EXPECT_NE(lookers.front().result(), lookers.back().result());
}

// Names are hashed with their parent as a salt, unless the file system hashes them itself.
TEST_F(OneBucket, EvenWhereTheTwoHaveOneHash)
{
    callbacks.hash = hash_by_length;
    set_default_d_op(sb, callbacks.table());
    dentry_ref here = make_directory(root, "here");
    dentry_ref there = make_directory(root, "there");

    lookers.emplace_back(here.get(), "name");
    at_lookup.wait_for_arrival();
    lookers.emplace_back(there.get(), "name");
    at_lookup.wait_for_arrival();
    EXPECT_EQ(lookups(), 2);
    at_lookup.open(2);
    EXPECT_NE(lookers.front().result(), lookers.back().result());
    EXPECT_EQ(parent_of(lookers.back().result()), there.get());
}

// --- Lookups that publish nothing ---

TEST_P(FailedLookup, TheNextWaiterBecomesOwner)
{
    answer = [](dentry *) -> dentry * { return ERR_PTR(-EIO); };
    looker &owner = start_owner("name");
    dentry *failed = in_lookup;
    looker &waiter = start_waiter("name");

    at_lookup.let_one_pass();
    EXPECT_EQ(owner.error(), -EIO);
    at_lookup.wait_for_arrival();
    EXPECT_EQ(lookups(), 2);
    EXPECT_NE(in_lookup, failed);
    EXPECT_FALSE(waiter.finished());
    at_lookup.open(1);
    EXPECT_EQ(waiter.error(), -EIO);
}

TEST_P(FailedLookup, AWaiterMaySucceedWhereTheOwnerFailed)
{
    std::atomic<int> calls{0};
    answer = [&](dentry * dentry) -> struct dentry *
    {
        if (calls++ == 0)
            return ERR_PTR(-EIO);
        return d_splice_alias(file_inode(), dentry);
    };
    looker &owner = start_owner("name");
    looker &waiter = start_waiter("name");

    at_lookup.open(1);
    EXPECT_EQ(owner.error(), -EIO);
    EXPECT_EQ(waiter.error(), 0);
    EXPECT_TRUE(d_is_reg(waiter.result()));
    EXPECT_EQ(waiter.result(), cached(dir.get(), "name").get());
}

TEST_P(FailedLookup, LeavesNothingWhenAllHaveFailed)
{
    counter_change existing(NR_DENTRY);
    unsigned before = directory_sequence(dir.get());
    answer = [](dentry *) -> dentry * { return ERR_PTR(-EIO); };

    start_owner("name");
    start_waiters(2, "name");
    at_lookup.open(1);
    for (looker &looker : lookers)
        EXPECT_EQ(looker.error(), -EIO);
    EXPECT_EQ(existing.value(), 0);
    EXPECT_EQ(directory_sequence(dir.get()), before);
    EXPECT_EQ(lookups(), 3);
}

// --- The name is answered by another dentry, or by none any more ---

// d_splice_alias() of a directory that has an alias moves that onto the in-lookup dentry. The
// waiters sleep on what ends unhashed; they must be woken, and find the other.
TEST_P(MovedLookup, WaitersFindTheDentryThatWasMovedThere)
{
    counter_change mismatch(RETRY_MISMATCH);
    inode *inode = directory_inode();
    dentry_ref alias = adopt_dentry(d_obtain_alias(inode));
    answer = [&](dentry *dentry) {
        ihold(inode);
        return d_splice_alias(inode, dentry);
    };

    start_owner("name");
    dentry_ref passed_over = in_lookup;
    start_waiters(2, "name");
    at_lookup.open(1);
    expect_all_get(alias.get());
    EXPECT_EQ(lookups(), 1);
    EXPECT_EQ(mismatch.value(), 2);
    EXPECT_TRUE(d_unhashed(passed_over.get()));
    EXPECT_EQ(flags_of(passed_over.get()), 0u);
}

TEST_P(MovedLookup, SoDoesAMoveFromAnotherDirectory)
{
    dentry_ref old_place = make_directory(root, "old place");
    dentry_ref moved = make_directory(old_place.get(), "old name");
    answer = [&](dentry *dentry) {
        ihold(d_inode(moved.get()));
        return d_splice_alias(d_inode(moved.get()), dentry);
    };

    start_owner("name");
    start_waiters(2, "name");
    at_lookup.open(1);
    expect_all_get(moved.get());
    EXPECT_EQ(lookups(), 1);
    EXPECT_EQ(parent_of(moved.get()), dir.get());
}

/// d_add() and d_drop() in one hold of d_lock: no waiter gets to run between them.
void add_and_drop(dentry *dentry, struct dentry *dir)
{
    spin_guard guard(&dentry->d_lock);
    unsigned n = era_7_2::start_dir_add(d_inode(dir));

    era_7_2::__d_lookup_unhash(dentry);
    __d_rehash(dentry);
    era_7_2::end_dir_add(d_inode(dir), n);
    era_7_2::__d_wake_in_lookup_waiters(dentry);
    __d_drop(dentry);
}

TEST_F(ChangedBeforeTheWaiterRuns, WhatWasDroppedBeforeTheWaiterRanIsAskedForAgain)
{
    counter_change mismatch(RETRY_MISMATCH);
    std::atomic<int> calls{0};
    answer = [&](dentry * dentry) -> struct dentry *
    {
        if (calls++)
            return d_splice_alias(nullptr, dentry);
        add_and_drop(dentry, dir.get());
        return nullptr;
    };
    looker &owner = start_owner("name");
    looker &waiter = start_waiter("name");

    at_lookup.open(1);
    EXPECT_TRUE(d_unhashed(owner.result()));
    EXPECT_NE(waiter.result(), owner.result());
    EXPECT_FALSE(d_unhashed(waiter.result()));
    EXPECT_EQ(lookups(), 2);
    EXPECT_EQ(mismatch.value(), 1);
}

// --- The name is another one by the time the waiter looks ---

/// Ends a lookup, with the entry hashed under another name or hash, in one hold of d_lock: what a
/// waiter sees when a rename came first.
void add_renamed(dentry *dentry, struct dentry *dir, u32 hash, const char *text)
{
    spin_guard guard(&dentry->d_lock);
    unsigned n = era_7_2::start_dir_add(d_inode(dir));
    qstr name = make_qstr(text, static_cast<u32>(strlen(text)));

    era_7_2::__d_lookup_unhash(dentry);
    set_inline_name(dentry, &name);
    WRITE_ONCE(dentry->d_name.hash_len, hashlen_create(hash, name.len));
    __d_rehash(dentry);
    era_7_2::end_dir_add(d_inode(dir), n);
    era_7_2::__d_wake_in_lookup_waiters(dentry);
}

/// The same with another parent and nothing else: what a file system whose ->d_hash() does not ask
/// for the parent sees when a move came first.
void add_moved(dentry *dentry, struct dentry *dir, struct dentry *elsewhere)
{
    spin_guard guard(&dentry->d_lock);
    unsigned n = era_7_2::start_dir_add(d_inode(dir));

    era_7_2::__d_lookup_unhash(dentry);
    {
        spin_guard guard_dir(&dir->d_lock);
        spin_guard guard_elsewhere(&elsewhere->d_lock);
        __hlist_del(&dentry->d_sib);
        --dir->d_lockref.count;
        WRITE_ONCE(dentry->d_parent, dget_dlock(elsewhere));
        hlist_add_head(&dentry->d_sib, &elsewhere->d_children);
    }
    __d_rehash(dentry);
    era_7_2::end_dir_add(d_inode(dir), n);
    era_7_2::__d_wake_in_lookup_waiters(dentry);
}

class RenamedLookup : public held_lookup_fixture
{
  protected:
    /// `add` publishes what the first ->lookup() is asked about, as something else than "name".
    void expect_asked_again(const std::function<void(dentry *)> &add)
    {
        std::atomic<int> calls{0};
        counter_change mismatch(RETRY_MISMATCH);
        answer = [&](dentry * dentry) -> struct dentry *
        {
            if (calls++)
                return d_splice_alias(nullptr, dentry);
            add(dentry);
            return nullptr;
        };
        looker &owner = start_owner("name");
        looker &waiter = start_waiter("name");

        at_lookup.open(1);
        EXPECT_EQ(owner.error(), 0);
        EXPECT_NE(waiter.result(), owner.result());
        EXPECT_EQ(name_of(waiter.result()), "name");
        EXPECT_EQ(mismatch.value(), 1);
        EXPECT_EQ(lookups(), 2);
    }
};

TEST_F(RenamedLookup, AnotherHashIsAnotherName)
{
    expect_asked_again([this](dentry *dentry) {
        add_renamed(dentry, dir.get(), name_below(dir.get(), "other").hash, "name");
    });
}

TEST_F(RenamedLookup, AnotherTextWithTheSameHashIsAnotherName)
{
    expect_asked_again([this](dentry *dentry) {
        add_renamed(dentry, dir.get(), name_below(dir.get(), "name").hash, "eman");
    });
}

TEST_F(RenamedLookup, TheSameNameInAnotherDirectoryIsAnotherName)
{
    dentry_ref elsewhere = make_directory(root, "elsewhere");

    expect_asked_again([&](dentry *dentry) { add_moved(dentry, dir.get(), elsewhere.get()); });
}

// --- The gap between the two tables ---

/// A directory where ->d_compare() can hold a thread that searches a hash chain.
class held_search_fixture : public held_lookup_fixture
{
  protected:
    void SetUp() override
    {
        held_lookup_fixture::SetUp();
        at_lookup.open();
        callbacks.hash = hash_by_length;
        callbacks.compare = [this](const dentry *dentry, unsigned length, const char *text,
                                   const qstr *name) {
            bool same = std::string_view(text, length) == text_of(*name);
            if (dentry == hold_at && std::this_thread::get_id() != test_thread &&
                !held_once.exchange(true))
                at_compare.pass();
            return same ? 0 : 1;
        };
        set_default_d_op(sb, callbacks.table());
        dir = make_directory(root, "searched");
        // One hash, so it is compared with every name of four letters.
        other = make_file(dir.get(), "aaaa");
        hold_at = other.get();
    }
    void TearDown() override
    {
        other.reset();
        held_lookup_fixture::TearDown();
    }

    /// A lookup that has sampled the sequences and stands in the middle of the chain.
    looker &start_held_search(std::string_view text)
    {
        looker &looker = lookers.emplace_back(dir.get(), text);
        at_compare.wait_for_arrival();
        return looker;
    }

    std::thread::id test_thread = std::this_thread::get_id();
    dentry_ref other;
    std::atomic<const dentry *> hold_at{nullptr};
    std::atomic<bool> held_once{false};
    gate at_compare;
};

using DirSeqRetry = held_search_fixture;
using SeqRetry = held_search_fixture;
using RenameRetry = held_search_fixture;
using DyingRetry = held_search_fixture;

TEST_F(DirSeqRetry, WhoMissedWhileTheEntryWasPublishedLooksAgain)
{
    counter_change retries(RETRY_DIR_SEQ);
    dentry_ref fresh = allocate_parallel(dir.get(), "name");

    looker &looker = start_held_search("name");
    d_add(fresh.get(), file_inode());
    at_compare.open(1);
    EXPECT_EQ(looker.result(), fresh.get());
    EXPECT_EQ(retries.value(), 1);
    EXPECT_EQ(lookups(), 0);
}

TEST_F(DirSeqRetry, AMissThatIsPublishedCountsAsWell)
{
    dentry_ref fresh = allocate_parallel(dir.get(), "name");

    looker &looker = start_held_search("name");
    d_add(fresh.get(), nullptr);
    at_compare.open(1);
    EXPECT_EQ(looker.result(), fresh.get());
    EXPECT_EQ(lookups(), 0);
}

TEST_F(DirSeqRetry, WhatHappensInOtherDirectoriesDoesNotMatter)
{
    counter_change retries(RETRY_DIR_SEQ);
    dentry_ref elsewhere = make_directory(root, "elsewhere");
    dentry_ref fresh = allocate_parallel(elsewhere.get(), "name");

    looker &looker = start_held_search("name");
    d_add(fresh.get(), file_inode());
    at_compare.open(1);
    EXPECT_EQ(looker.error(), 0);
    EXPECT_EQ(retries.value(), 0);
    EXPECT_EQ(lookups(), 1);
}

// A lookup that ends without publishing is no reason to look again: the name is free.
TEST_F(DirSeqRetry, ALookupThatFailedMeanwhileDoesNotMatter)
{
    counter_change retries(RETRY_DIR_SEQ);
    dentry_ref fresh = allocate_parallel(dir.get(), "name");

    looker &looker = start_held_search("name");
    d_lookup_done(fresh.get());
    at_compare.open(1);
    EXPECT_NE(looker.result(), fresh.get());
    EXPECT_EQ(retries.value(), 0);
    EXPECT_EQ(lookups(), 1);
}

TEST_F(RenameRetry, WhoMissedWhileSomethingWasMovedThereLooksAgain)
{
    counter_change retries(RETRY_RENAME_LOCK);
    dentry_ref moved = make_file(root, "moved");
    dentry_ref target = make_unhashed(dir.get(), "name");

    looker &looker = start_held_search("name");
    d_move(moved.get(), target.get());
    at_compare.open(1);
    EXPECT_EQ(looker.result(), moved.get());
    EXPECT_EQ(retries.value(), 1);
    EXPECT_EQ(lookups(), 0);
}

TEST_F(RenameRetry, PlainSearchesLookAgainAsWell)
{
    counter_change retries(RETRY_RENAME_LOCK);
    dentry_ref moved = make_file(root, "moved");
    dentry_ref target = make_unhashed(dir.get(), "name");
    dentry_ref found;
    blocking_thread searcher([&] { found = cached(dir.get(), "name"); });

    // Held in ->d_compare(), under the d_lock of the entry it compares with.
    at_compare.wait_for_arrival();
    d_move(moved.get(), target.get());
    at_compare.open(1);
    searcher.join();
    EXPECT_EQ(found, moved);
    EXPECT_EQ(retries.value(), 1);
}

TEST_F(RenameRetry, TheRacyFormDoesNot)
{
    dentry_ref moved = make_file(root, "moved");
    dentry_ref target = make_unhashed(dir.get(), "name");
    qstr name = name_below(dir.get(), "name");
    dentry_ref found;
    blocking_thread searcher([&] { found = adopt_dentry(__d_lookup(dir.get(), &name)); });

    at_compare.wait_for_arrival();
    d_move(moved.get(), target.get());
    at_compare.open(1);
    searcher.join();
    EXPECT_EQ(found, nullptr);
}

TEST_F(SeqRetry, AHitThatIsDroppedBeforeItIsReferencedIsNoHit)
{
    counter_change retries(RETRY_SEQ);
    dentry_ref file = make_file(dir.get(), "name");
    hold_at = file.get();

    looker &looker = start_held_search("name");
    d_drop(file.get());
    at_compare.open(1);
    EXPECT_NE(looker.result(), file.get());
    EXPECT_EQ(retries.value(), 1);
    EXPECT_EQ(lookups(), 1);
    EXPECT_EQ(d_count(file.get()), 1);
}

TEST_F(SeqRetry, NorIsOneThatIsRenamed)
{
    counter_change retries(RETRY_SEQ);
    dentry_ref file = make_file(dir.get(), "name");
    dentry_ref target = make_unhashed(root, "away");
    hold_at = file.get();

    looker &looker = start_held_search("name");
    d_move(file.get(), target.get());
    at_compare.open(1);
    EXPECT_NE(looker.result(), file.get());
    EXPECT_EQ(retries.value(), 1);
    EXPECT_EQ(lookups(), 1);
}

TEST_F(SeqRetry, AHitThatTurnedNegativeIsFoundAgainAsSuch)
{
    counter_change retries(RETRY_SEQ);
    dentry_ref file = make_file(dir.get(), "name");
    hold_at = file.get();

    looker &looker = start_held_search("name");
    d_delete(file.get());
    at_compare.open(1);
    EXPECT_EQ(looker.result(), file.get());
    EXPECT_TRUE(d_is_negative(looker.result()));
    EXPECT_EQ(retries.value(), 1);
    EXPECT_EQ(lookups(), 0);
}

// A file system that compares names itself must get a length and a text of one moment.
TEST_F(SeqRetry, ComparingWaitsForTheEndOfARename)
{
    dentry_ref file = make_file(dir.get(), "name");
    dentry_ref newer = make_file(dir.get(), "zzzz");
    dentry *raw = file.get();
    std::atomic<bool> searching{false}, compared_inside{false};
    callbacks.compare = [&](const dentry *dentry, unsigned length, const char *text,
                            const qstr *name) {
        if (dentry == newer.get() && std::this_thread::get_id() != test_thread) {
            at_compare.pass();
            searching = true;
        }
        compared_inside = compared_inside || sequence_of(dentry) & 1;
        return std::string_view(text, length) == text_of(*name) ? 0 : 1;
    };

    looker &looker = start_held_search("name");
    spin_lock(&raw->d_lock);
    write_seqcount_begin(&raw->d_seq);
    at_compare.open(1);
    wait_until([&] { return searching.load(); });
    // Nothing tells that it turns round there; a comparison would come at once.
    for (int turns = 0; turns < 1000; turns++)
        sched_yield();
    EXPECT_FALSE(compared_inside);
    EXPECT_FALSE(looker.finished());
    write_seqcount_end(&raw->d_seq);
    spin_unlock(&raw->d_lock);
    EXPECT_EQ(looker.result(), raw);
    EXPECT_FALSE(compared_inside);
}

TEST_F(DyingRetry, AHitThatDiesBeforeItIsReferencedIsNoHit)
{
    counter_change retries(RETRY_DYING);
    hold_at = leave_file(dir.get(), "name");

    looker &looker = start_held_search("name");
    // The search is an RCU read-side section: dead, but still in memory.
    prune_everything();
    at_compare.open(1);
    EXPECT_EQ(looker.error(), 0);
    EXPECT_EQ(retries.value(), 1);
    EXPECT_EQ(lookups(), 1);
}

/// d_lookup_done() and the last dput() in the hold of d_lock that the caller has.
void finish_and_kill(dentry *dentry) __context_unsafe("dentry_kill() drops the lock")
{
    era_7_2::__d_lookup_unhash(dentry);
    era_7_2::__d_wake_in_lookup_waiters(dentry);
    WRITE_ONCE(dentry->d_lockref.count, 0);
    EXPECT_EQ(dentry_kill(dentry), nullptr);
}

void lock_without_analysis(dentry *dentry) __context_unsafe("finish_and_kill() unlocks")
{
    spin_lock(&dentry->d_lock);
}

// The owner finishes its dentry and drops it in the instant in which the other thread steps from
// the bucket lock to the d_lock.
TEST_F(DyingRetry, SoIsAnInLookupDentryThatDies)
{
    counter_change retries(RETRY_DYING), waits(LOOKUP_WAITS);
    dentry *fresh = allocate_parallel(dir.get(), "name").detach();
    hlist_bl_head *bucket = in_lookup_hash(dir.get(), fresh->d_name.hash());
    hold_at = fresh;
    lock_without_analysis(fresh);

    // Held inside the comparison with `fresh`, with the bucket locked; then it comes to the d_lock.
    looker &looker = start_held_search("name");
    EXPECT_TRUE(hlist_bl_is_locked(bucket));
    at_compare.open(1);
    wait_until([&] { return !hlist_bl_is_locked(bucket); });
    finish_and_kill(fresh);

    EXPECT_EQ(looker.error(), 0);
    EXPECT_EQ(lookups(), 1);
    EXPECT_EQ(retries.value(), 1);
    EXPECT_EQ(waits.value(), 0);
}

/// The publisher between start_dir_add() and end_dir_add(), played by the test.
class OddDirSeq : public held_lookup_fixture
{
  protected:
    void SetUp() override
    {
        held_lookup_fixture::SetUp();
        at_lookup.open();
    }
};

TEST_F(OddDirSeq, CallersSpinAndFindWhatIsPublished)
{
    counter_change retries(RETRY_DIR_SEQ);
    dentry_ref fresh = allocate_parallel(dir.get(), "name");
    dentry *raw = fresh.get();
    inode *inode = d_inode(dir.get());

    spin_lock(&raw->d_lock);
    unsigned n = era_7_2::start_dir_add(inode);
    era_7_2::__d_lookup_unhash(raw);
    // Now it is in neither table.
    lookers.emplace_back(dir.get(), "name");
    wait_until([&] { return retries.value() > 1000; });
    EXPECT_EQ(finished_lookers(), 0);
    __d_rehash(raw);
    era_7_2::end_dir_add(inode, n);
    era_7_2::__d_wake_in_lookup_waiters(raw);
    spin_unlock(&raw->d_lock);

    EXPECT_EQ(lookers.front().result(), raw);
    EXPECT_EQ(lookups(), 0);
}

// Otherwise a stream of callers could keep the publisher from the bucket lock for ever (4.7 to
// 4.16).
TEST_F(OddDirSeq, CallersDoNotTouchTheBucketLock)
{
    counter_change retries(RETRY_DIR_SEQ);
    qstr name = name_below(dir.get(), "name");
    hlist_bl_head *bucket = in_lookup_hash(dir.get(), name.hash);
    inode *inode = d_inode(dir.get());
    unsigned n = era_7_2::start_dir_add(inode);

    hlist_bl_lock(bucket);
    lookers.emplace_back(dir.get(), "name");
    // With the bucket locked a caller who wanted it would come to a stop.
    wait_until([&] { return retries.value() > 1000; });
    hlist_bl_unlock(bucket);
    era_7_2::end_dir_add(inode, n);
    EXPECT_EQ(lookers.front().error(), 0);
    EXPECT_EQ(lookups(), 1);
}

TEST_F(OddDirSeq, ACachedNameIsFoundAllTheSame)
{
    dentry_ref file = make_file(dir.get(), "file");
    inode *inode = d_inode(dir.get());
    unsigned n = era_7_2::start_dir_add(inode);

    EXPECT_EQ(allocate_parallel(dir.get(), "file"), file);
    era_7_2::end_dir_add(inode, n);
}

TEST_F(OddDirSeq, APublisherWaitsForThePublisherBefore)
{
    dentry_ref fresh = allocate_parallel(dir.get(), "name");
    inode *inode = d_inode(dir.get());
    unsigned n = era_7_2::start_dir_add(inode);
    std::atomic<bool> added{false};
    std::jthread second([&] {
        d_add(fresh.get(), nullptr);
        added = true;
    });

    wait_until([&] { return spin_is_locked(&fresh->d_lock); });
    EXPECT_FALSE(added);
    EXPECT_TRUE(d_in_lookup(fresh.get()));
    era_7_2::end_dir_add(inode, n);
    second.join();
    EXPECT_EQ(directory_sequence(dir.get()), n + 4);
}

TEST_F(OddDirSeq, SoDoesAMoveOntoAnInLookupDentry)
{
    inode *moved = directory_inode();
    dentry_ref alias = adopt_dentry(d_obtain_alias(moved));
    dentry_ref fresh = allocate_parallel(dir.get(), "name");
    inode *inode = d_inode(dir.get());
    unsigned n = era_7_2::start_dir_add(inode);
    dentry_ref answer_given;
    std::jthread mover([&] {
        ihold(moved);
        answer_given = adopt_dentry(d_splice_alias(moved, fresh.get()));
    });

    wait_until([&] { return spin_is_locked(&fresh->d_lock) || !d_in_lookup(fresh.get()); });
    EXPECT_TRUE(d_in_lookup(fresh.get()));
    era_7_2::end_dir_add(inode, n);
    mover.join();
    EXPECT_EQ(answer_given, alias);
    EXPECT_EQ(directory_sequence(dir.get()), n + 4);
}

// --- Two spellings of one name: d_add_ci() ---

// Thread 1 asks for "Foo"; thread 2 asks for "FOO", whose ->lookup() finds "Foo" on disk and waits
// for thread 1; thread 3 waits for thread 2. The one answer wakes them one after the other.
TEST_P(FoldedLookup, SpellingsOfOneNameWaitForEachOther)
{
    own_gates["FOO"].open();
    answer = [this](dentry *dentry) {
        qstr exact = make_qstr("Foo", 3);
        return name_of(dentry) == "Foo" ? d_splice_alias(file_inode(), dentry)
                                        : d_add_ci(dentry, file_inode(), &exact);
    };
    looker &exact = start_owner("Foo");
    looker &folded = start_waiter("FOO");
    looker &third = start_waiter("FOO");

    EXPECT_EQ(lookups(), 2);
    at_lookup.open(1);
    EXPECT_EQ(exact.error(), 0);
    EXPECT_EQ(folded.result(), exact.result());
    EXPECT_EQ(third.result(), exact.result());
    EXPECT_EQ(cached(dir.get(), "Foo").get(), exact.result());
    EXPECT_FALSE(is_cached(dir.get(), "FOO"));
    EXPECT_THAT(asked, ElementsAre("Foo", "FOO", "FOO"));
}

// --- What a real kernel does with four threads that want one name ---

// Observed on 6.18 with a FUSE server that holds every LOOKUP: the number of requests, and after
// which of the answers how many of the four threads were done.
class RealKernel : public held_lookup_fixture
{
  protected:
    static constexpr int threads = 4;

    /// Starts four lookups of one name and gives one answer after the other, each when all threads
    /// that are not done wait for it. How many were done after each.
    std::vector<int> done_after_each_answer()
    {
        counter_change waits(LOOKUP_WAITS);
        std::vector<int> done;
        long expected_waits = threads - 1;

        start_owner("name");
        start_waiters(threads - 1, "name");
        for (int answers = 1;; answers++) {
            EXPECT_EQ(waits.value(), expected_waits);
            at_lookup.let_one_pass();
            wait_until([&] { return finished_lookers() == threads || lookups() > answers; });
            wait_until([&] { return finished_lookers() >= answers; });
            done.push_back(finished_lookers());
            if (done.back() == threads)
                return done;
            at_lookup.wait_for_arrival();
            expected_waits += threads - answers - 1;
            wait_until([&] { return waits.value() >= expected_waits; });
        }
    }
};

TEST_F(RealKernel, ANameThatExistsIsAskedForOnce)
{
    answer = [this](dentry *dentry) { return d_splice_alias(file_inode(), dentry); };
    EXPECT_THAT(done_after_each_answer(), ElementsAre(4));
}

TEST_F(RealKernel, AMissThatIsCachedIsAskedForOnce)
{
    EXPECT_THAT(done_after_each_answer(), ElementsAre(4));
}

TEST_F(RealKernel, AMissThatIsNotCachedIsAskedForByEachInTurn)
{
    answer = [](dentry *) -> dentry * { return nullptr; };
    EXPECT_THAT(done_after_each_answer(), ElementsAre(1, 2, 3, 4));
}

TEST_F(RealKernel, AFailureIsAskedForByEachInTurn)
{
    answer = [](dentry *) -> dentry * { return ERR_PTR(-EIO); };
    EXPECT_THAT(done_after_each_answer(), ElementsAre(1, 2, 3, 4));
}

// A timeout of 0 for the miss: cached, but every waiter finds it stale.
TEST_F(RealKernel, AMissThatIsStaleAtOnceIsAskedForByEachInTurn)
{
    callbacks.revalidate = [](inode *, const qstr *, dentry *, unsigned) { return 0; };
    set_default_d_op(sb, callbacks.table());
    EXPECT_THAT(done_after_each_answer(), ElementsAre(1, 2, 3, 4));
}

// A timeout of 0 for the entry: every waiter asks the server whether it is still good, all at once.
TEST_F(RealKernel, WaitersForAnEntryThatIsStaleAtOnceRevalidateInParallel)
{
    gate at_revalidate;
    std::atomic<int> revalidations{0};
    callbacks.revalidate = [&](inode *, const qstr *, dentry *, unsigned) {
        revalidations++;
        at_revalidate.pass();
        return 1;
    };
    set_default_d_op(sb, callbacks.table());
    answer = [this](dentry *dentry) { return d_splice_alias(file_inode(), dentry); };

    start_owner("name");
    start_waiters(threads - 1, "name");
    at_lookup.open(1);
    for (int i = 0; i < threads - 1; i++)
        at_revalidate.wait_for_arrival();
    EXPECT_EQ(lookers.front().error(), 0);
    EXPECT_EQ(finished_lookers(), 1);
    at_revalidate.open(threads - 1);
    expect_all_get(lookers.front().result());
    EXPECT_EQ(lookups(), 1);
    EXPECT_EQ(revalidations, threads - 1);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
