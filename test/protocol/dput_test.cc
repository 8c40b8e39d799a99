// SPDX-License-Identifier: GPL-2.0-only
//
// The last reference of a dentry, while somebody else wants it: lookups, holders of its lock,
// holders of its inode's lock.
#include <atomic>
#include <optional>

#include <gtest/gtest.h>

#include "gate.h"
#include "threads.h"
#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// Locks and unlocks in different functions, as the tests' steps need it.
void take(spinlock_t *lock) __context_unsafe("released by a later step of the test")
{
    spin_lock(lock);
}
void give_back(spinlock_t *lock) __context_unsafe("taken by an earlier step of the test")
{
    spin_unlock(lock);
}

// --- The last dput() against a lookup: ->d_delete() holds d_lock with the count at zero ---

class Revival : public vfs_fixture
{
  protected:
    void SetUp() override
    {
        vfs_fixture::SetUp();
        callbacks.on_delete = [this](const dentry *) {
            if (!deleting.exchange(true))
                at_delete.pass();
            return verdict.load();
        };
        set_default_d_op(sb, callbacks.table());
    }

    /// A thread drops the last reference and is held while it decides; another looks the name up
    /// and is stopped by the lock.
    void race()
    {
        dentry_ref file = make_file(root, "file");
        raw = file.get();
        blocking_thread dropper([&] { dput(file.detach()); });
        at_delete.wait_for_arrival();
        EXPECT_EQ(d_count(raw), 0);
        blocking_thread searcher([&] { found = cached(root, "file"); });
        EXPECT_TRUE(searcher.comes_to_sleep());
        at_delete.open(1);
        dropper.join();
        searcher.join();
    }

    gate at_delete;
    std::atomic<bool> deleting{false};
    std::atomic<int> verdict{0};
    dentry *raw = nullptr;
    dentry_ref found;
};

TEST_F(Revival, ALookupThatWaitedForTheLockRevivesWhatWasKept)
{
    counter_change existing(NR_DENTRY);

    race();
    EXPECT_EQ(found.get(), raw);
    EXPECT_EQ(d_count(raw), 1);
    EXPECT_TRUE(has_flag(raw, DCACHE_LRU_LIST));
    EXPECT_EQ(existing.value(), 1);
    found.reset();
}

TEST_F(Revival, ALookupThatWaitedForTheLockMissesWhatWasKilled)
{
    counter_change existing(NR_DENTRY);

    verdict = 1;
    race();
    EXPECT_EQ(found, nullptr);
    EXPECT_EQ(existing.value(), 0);
}

// --- dput() while somebody holds d_lock ---

class LockedDput : public vfs_fixture
{
  protected:
    /// Starts a dput() of a dentry whose lock is held, and waits until it sleeps.
    void start_dput(dentry *dentry)
    {
        take(&dentry->d_lock);
        dropper.emplace([dentry] { dput(dentry); });
        EXPECT_TRUE(dropper->comes_to_sleep());
    }
    void finish_dput(dentry *dentry)
    {
        give_back(&dentry->d_lock);
        dropper->join();
    }
    static void d_drop_locked(dentry *dentry) __context_unsafe("start_dput() took the lock")
    {
        __d_drop(dentry);
    }
    static void dget_locked(dentry *dentry) __context_unsafe("start_dput() took the lock")
    {
        dget_dlock(dentry);
    }

    std::optional<blocking_thread> dropper;
};

TEST_F(LockedDput, ItWaitsForTheLockAndCountsThen)
{
    dentry_ref file = make_file(root, "file");

    start_dput(dget(file.get()));
    EXPECT_EQ(d_count(file.get()), 2);
    finish_dput(file.get());
    EXPECT_EQ(d_count(file.get()), 1);
}

TEST_F(LockedDput, TheLastReferenceIsKeptAsUsual)
{
    dentry *file = make_file(root, "file").detach();

    start_dput(file);
    finish_dput(file);
    EXPECT_EQ(d_count(file), 0);
    EXPECT_TRUE(has_flag(file, DCACHE_LRU_LIST));
}

TEST_F(LockedDput, AReferenceTakenUnderTheLockKeepsItAlive)
{
    dentry *file = make_file(root, "file").detach();

    start_dput(file);
    d_drop_locked(file);
    dget_locked(file);
    finish_dput(file);
    EXPECT_EQ(d_count(file), 1);
    dput(file);
}

TEST_F(LockedDput, WhatWasUnhashedUnderTheLockIsKilled)
{
    dentry *file = make_file(root, "file").detach();
    counter_change existing(NR_DENTRY);

    start_dput(file);
    d_drop_locked(file);
    finish_dput(file);
    EXPECT_EQ(existing.value(), -1);
}

// --- The last dput() while somebody holds i_lock: the slow path of lock_for_kill() ---

class HeldInode : public vfs_fixture
{
  protected:
    /// Starts the last dput() of an unhashed dentry whose i_lock is held. It must let d_lock go to
    /// wait for that.
    void start_last_dput(dentry *dentry)
    {
        inode_ = d_inode(dentry);
        take(&inode_->i_lock);
        dropper.emplace([dentry] { dput(dentry); });
        EXPECT_TRUE(dropper->comes_to_sleep());
        EXPECT_EQ(d_count(dentry), 0);
        EXPECT_FALSE(spin_is_locked(&dentry->d_lock));
    }
    void finish()
    {
        give_back(&inode_->i_lock);
        dropper->join();
    }

    /// Takes the inode away, and with it both locks.
    static void turn_negative(dentry *dentry) __context_unsafe("start_last_dput() took the i_lock")
    {
        spin_lock(&dentry->d_lock);
        dentry_unlink_inode(dentry);
    }
    /// Gives the dentry another inode, in one hold of its lock; the held i_lock stays held.
    static void change_inode(dentry *dentry, inode *second)
    {
        spin_guard inode_guard(&second->i_lock);
        spin_guard guard(&dentry->d_lock);

        write_seqcount_begin(&dentry->d_seq);
        __hlist_del(&dentry->d_alias);
        hlist_add_head(&dentry->d_alias, &second->i_dentry);
        __d_set_inode_and_type(dentry, second, DCACHE_REGULAR_TYPE);
        write_seqcount_end(&dentry->d_seq);
    }
    dentry *unhashed_file()
    {
        dentry_ref file = make_unhashed(root, "file");
        d_instantiate(file.get(), file_inode());
        return file.detach();
    }

    inode *inode_ = nullptr;
    std::optional<blocking_thread> dropper;
};

TEST_F(HeldInode, TheKillGoesOnWhenTheLockIsFree)
{
    dentry *file = unhashed_file();
    counter_change existing(NR_DENTRY), inodes(NR_INODES);

    start_last_dput(file);
    EXPECT_EQ(existing.value(), 0);
    finish();
    EXPECT_EQ(existing.value(), -1);
    EXPECT_EQ(inodes.value(), -1);
}

TEST_F(HeldInode, AnAliasTakenMeanwhileLives)
{
    dentry *file = unhashed_file();
    counter_change existing(NR_DENTRY);

    start_last_dput(file);
    EXPECT_TRUE(dget_alias_ilocked(file));
    finish();
    EXPECT_EQ(existing.value(), 0);
    EXPECT_EQ(d_count(file), 1);
    EXPECT_FALSE(spin_is_locked(&file->d_lock));
    EXPECT_FALSE(spin_is_locked(&inode_->i_lock));
    dput(file);
}

TEST_F(HeldInode, AnAliasTakenAndDroppedMeanwhileDiesOnce)
{
    dentry *file = unhashed_file();
    counter_change existing(NR_DENTRY), freed(DENTRIES_FREED);

    // Both droppers want i_lock then, and both find the count at zero; one of them kills.
    start_last_dput(file);
    EXPECT_TRUE(dget_alias_ilocked(file));
    blocking_thread second([&] { dput(file); });
    EXPECT_TRUE(second.comes_to_sleep());
    finish();
    second.join();
    EXPECT_EQ(existing.value(), -1);
    EXPECT_EQ(freed.value(), 1);
}

// The inode may even be gone when the lock is had; RCU keeps its memory for the one who waits.
TEST_F(HeldInode, ADentryThatTurnedNegativeMeanwhileIsKilledWithoutItsInode)
{
    dentry *file = unhashed_file();
    counter_change existing(NR_DENTRY), inodes(NR_INODES);

    start_last_dput(file);
    turn_negative(file);
    dropper->join();
    EXPECT_EQ(existing.value(), -1);
    EXPECT_EQ(inodes.value(), -1);
}

TEST_F(HeldInode, ADentryThatGotAnotherInodeMeanwhileIsKilledUnderThatOnesLock)
{
    dentry *file = unhashed_file();
    inode *first = d_inode(file);
    inode *second = file_inode();
    counter_change existing(NR_DENTRY), inodes(NR_INODES);

    start_last_dput(file);
    change_inode(file, second);
    finish();
    EXPECT_EQ(existing.value(), -1);
    EXPECT_EQ(inodes.value(), -1);
    EXPECT_FALSE(spin_is_locked(&first->i_lock));
    iput(first);
}

// The count of a NORCU dentry never leaves zero again: its killer alone decides about its memory.
TEST_F(HeldInode, ANorcuAliasIsBeyondRevival)
{
    qstr name = make_qstr("pipe", 4);
    dentry *pseudo = d_alloc_pseudo(sb, &name);
    counter_change existing(NR_DENTRY);
    d_instantiate(pseudo, file_inode());

    start_last_dput(pseudo);
    EXPECT_FALSE(dget_alias_ilocked(pseudo));
    EXPECT_EQ(d_count(pseudo), 0);
    finish();
    EXPECT_EQ(existing.value(), -1);
}

TEST_F(HeldInode, SearchersOfAliasesPassADyingNorcuDentryBy)
{
    qstr name = make_qstr("pipe", 4);
    dentry *pseudo = d_alloc_pseudo(sb, &name);
    inode *inode = file_inode();
    d_instantiate(pseudo, inode);
    ihold(inode);
    dentry_ref found;

    start_last_dput(pseudo);
    blocking_thread searcher([&] { found = adopt_dentry(d_find_any_alias(inode)); });
    EXPECT_TRUE(searcher.comes_to_sleep());
    finish();
    searcher.join();
    EXPECT_EQ(found, nullptr);
    iput(inode);
}

// --- A dying dentry and the rest of the world: held in ->d_release() ---

class DyingDentry : public vfs_fixture
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

    gate at_release;
    std::atomic<dentry *> victim{nullptr};
    dentry_ref dir;
};

TEST_F(DyingDentry, ItsNameIsFreeForTheNextLookup)
{
    victim = leave_file(dir.get(), "name");
    blocking_thread killer([&] { prune_everything(); });
    at_release.wait_for_arrival();

    dentry_ref next = allocate_parallel(dir.get(), "name");
    EXPECT_NE(next.get(), victim);
    EXPECT_TRUE(d_in_lookup(next.get()));
    d_add(next.get(), nullptr);
    EXPECT_EQ(cached(dir.get(), "name"), next);
    at_release.open(1);
}

TEST_F(DyingDentry, ItKeepsItsParentUntilItIsOffTheTree)
{
    victim = leave_file(dir.get(), "name");
    d_drop(dir.get());
    dentry *parent = dir.detach();
    blocking_thread killer([&] { prune_everything(); });
    at_release.wait_for_arrival();
    counter_change existing(NR_DENTRY);

    // The parent's last other reference goes; its death is left to the child's killer.
    dput(parent);
    EXPECT_EQ(d_count(parent), 1);
    at_release.open(1);
    killer.join();
    EXPECT_EQ(existing.value(), -1);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
