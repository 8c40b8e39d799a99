// SPDX-License-Identifier: GPL-2.0-only
//
// The life of inodes: found by number, filled in, waited for, freed.
#include <latch>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "threads.h"
#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// A file system whose evict_inode belongs to the test.
class inode_fixture : public vfs_fixture
{
  protected:
    void SetUp() override
    {
        vfs_fixture::SetUp();
        on_evict_ = nullptr;
        sb->s_op = &operations;
    }
    void TearDown() override
    {
        on_evict_ = nullptr;
        vfs_fixture::TearDown();
    }

    void on_evict(std::function<void(inode *)> action)
    {
        on_evict_ = std::move(action);
    }

    /// iget_locked() of a number nobody has, filled in.
    inode *make_whole(ino_t ino)
    {
        inode *inode = iget_locked(sb, ino);
        EXPECT_TRUE(is_new(inode));
        unlock_new_inode(inode);
        return inode;
    }

    static bool is_new(const inode *inode)
    {
        return READ_ONCE(inode->i_state) & I_NEW;
    }

    static constexpr ino_t number = 1000;

  private:
    static void call_evict(inode *inode)
    {
        if (on_evict_)
            on_evict_(inode);
    }

    static inline std::function<void(inode *)> on_evict_;
    static constexpr super_operations operations = {.evict_inode = call_evict};
};

using IgetLocked = inode_fixture;
using IgetFailed = inode_fixture;
using Ilookup = inode_fixture;
using NewInode = inode_fixture;
using UnlockNewInode = inode_fixture;
using Ihold = inode_fixture;
using Igrab = inode_fixture;
using Iput = inode_fixture;
using LinkCount = inode_fixture;
using InodeType = inode_fixture;
using InodeLock = inode_fixture;

// --- Finding and making ---

TEST_F(IgetLocked, MakesANewInodeForItsCallerToFillIn)
{
    counter_change inodes(NR_INODES);
    inode *inode = iget_locked(sb, number);

    EXPECT_TRUE(is_new(inode));
    EXPECT_EQ(inode->i_ino, number);
    EXPECT_EQ(inode->i_sb, sb);
    EXPECT_EQ(references_of(inode), 1);
    EXPECT_EQ(READ_ONCE(inode->i_nlink), 1u);
    EXPECT_EQ(inode->i_private, nullptr);
    EXPECT_EQ(inodes.value(), 1);
    unlock_new_inode(inode);
    iput(inode);
    EXPECT_EQ(inodes.value(), 0);
}

TEST_F(IgetLocked, FindsWhatIsInMemory)
{
    inode *first = make_whole(number);
    inode *second = iget_locked(sb, number);

    EXPECT_EQ(second, first);
    EXPECT_FALSE(is_new(second));
    EXPECT_EQ(references_of(first), 2);
    iput(second);
    iput(first);
}

TEST_F(IgetLocked, TellsNumbersInOneBucketApart)
{
    std::vector<inode *> inodes;

    for (ino_t i = 0; i < 64; i++)
        inodes.push_back(make_whole(number + i));
    for (ino_t i = 0; i < 64; i++) {
        inode *found = iget_locked(sb, number + i);
        EXPECT_EQ(found, inodes[i]);
        iput(found);
    }
    for (inode *inode : inodes)
        iput(inode);
}

TEST_F(IgetLocked, TellsSuperBlocksApart)
{
    super_block *other = make_super_block();
    inode *ours = make_whole(number);
    inode *theirs = iget_locked(other, number);

    EXPECT_NE(theirs, ours);
    EXPECT_TRUE(is_new(theirs));
    unlock_new_inode(theirs);
    iput(theirs);
    iput(ours);
    EXPECT_EQ(generic_shutdown_super(other), 0);
}

// Two tasks miss in the lockless search and both allocate. The one that is second to get the hash
// lock must find what the first one added. A third task holds that lock until both are there: it is
// taking another inode out of the hash and cannot have that inode's i_lock.
TEST_F(IgetLocked, SearchesAgainBeforeItAdds)
{
    inode *failing = iget_locked(sb, number);
    inode *found[2] = {};
    bool was_new[2] = {};

    spin_lock(&failing->i_lock);
    {
        blocking_thread holder([&] { iget_failed(failing); });
        EXPECT_TRUE(holder.comes_to_sleep());
        auto get = [&](int which) {
            found[which] = iget_locked(sb, number + 1);
            was_new[which] = is_new(found[which]);
            if (was_new[which])
                unlock_new_inode(found[which]);
        };
        blocking_thread one([&] { get(0); }), two([&] { get(1); });
        EXPECT_TRUE(one.comes_to_sleep());
        EXPECT_TRUE(two.comes_to_sleep());
        spin_unlock(&failing->i_lock);
    }
    EXPECT_EQ(found[0], found[1]);
    EXPECT_NE(was_new[0], was_new[1]);
    EXPECT_EQ(references_of(found[0]), 2);
    iput(found[0]);
    iput(found[1]);
}

TEST_F(IgetLocked, ReturnsNullWithoutMemory)
{
    kmem_fail_nth(1);
    EXPECT_EQ(iget_locked(sb, number), nullptr);
    EXPECT_TRUE(kmem_failure_delivered());
}

TEST_F(IgetLocked, DoesNotGetAnInodeThatIsBeingCreated)
{
    inode *inode = iget_locked(sb, number);

    spin_lock(&inode->i_lock);
    inode->i_state |= I_CREATING;
    spin_unlock(&inode->i_lock);
    EXPECT_EQ(iget_locked(sb, number), nullptr);
    EXPECT_EQ(ilookup(sb, number), nullptr);
    EXPECT_EQ(references_of(inode), 1);
    // Ends both states.
    unlock_new_inode(inode);
    struct inode *found = iget_locked(sb, number);
    EXPECT_EQ(found, inode);
    iput(found);
    iput(inode);
}

// --- Waiting for I_NEW ---

TEST_F(IgetLocked, WaitsUntilTheInodeIsFilledIn)
{
    inode *made = iget_locked(sb, number);
    inode *found = nullptr;
    unsigned links = 0;
    {
        blocking_thread waiter([&] {
            found = iget_locked(sb, number);
            links = READ_ONCE(found->i_nlink);
        });
        EXPECT_TRUE(waiter.comes_to_sleep());
        set_nlink(made, 7);
        unlock_new_inode(made);
    }
    EXPECT_EQ(found, made);
    EXPECT_EQ(links, 7u);
    iput(found);
    iput(made);
}

TEST_F(Ilookup, WaitsUntilTheInodeIsFilledIn)
{
    inode *made = iget_locked(sb, number);
    inode *found = nullptr;
    {
        blocking_thread waiter([&] { found = ilookup(sb, number); });
        EXPECT_TRUE(waiter.comes_to_sleep());
        unlock_new_inode(made);
    }
    EXPECT_EQ(found, made);
    iput(found);
    iput(made);
}

TEST_F(Ilookup, DoesNotMakeAnInode)
{
    counter_change inodes(NR_INODES);

    EXPECT_EQ(ilookup(sb, number), nullptr);
    EXPECT_EQ(inodes.value(), 0);
}

// The one that waits for a failed inode must become the next to try, not get the failed one.
TEST_F(IgetFailed, GivesTheWaiterAFreshTry)
{
    inode *failed = iget_locked(sb, number);
    inode *fresh = nullptr;
    bool was_new = false;

    failed->i_private = this;
    {
        blocking_thread waiter([&] {
            fresh = iget_locked(sb, number);
            was_new = is_new(fresh);
            unlock_new_inode(fresh);
        });
        EXPECT_TRUE(waiter.comes_to_sleep());
        iget_failed(failed);
    }
    EXPECT_TRUE(was_new);
    EXPECT_EQ(fresh->i_private, nullptr);
    EXPECT_EQ(references_of(fresh), 1);
    iput(fresh);
}

TEST_F(IgetFailed, LeavesNothingToBeFound)
{
    counter_change inodes(NR_INODES);

    iget_failed(iget_locked(sb, number));
    EXPECT_EQ(ilookup(sb, number), nullptr);
    EXPECT_EQ(inodes.value(), 0);
}

TEST_F(UnlockNewInode, ComplainsAboutAnInodeThatIsNotNew)
{
    inode *inode = make_whole(number);

    unlock_new_inode(inode);
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("I_NEW")));
    iput(inode);
}

TEST_F(NewInode, IsNotInTheHash)
{
    inode *inode = new_inode(sb);

    inode->i_ino = number;
    EXPECT_FALSE(is_new(inode));
    EXPECT_EQ(references_of(inode), 1);
    EXPECT_EQ(ilookup(sb, number), nullptr);
    iput(inode);
}

TEST_F(NewInode, ReturnsNullWithoutMemory)
{
    kmem_fail_nth(1);
    EXPECT_EQ(new_inode(sb), nullptr);
}

// --- References ---

TEST_F(Ihold, AddsAReference)
{
    inode *inode = make_whole(number);

    ihold(inode);
    EXPECT_EQ(references_of(inode), 2);
    iput(inode);
    iput(inode);
}

TEST_F(Ihold, ComplainsWhenNobodyHadAReference)
{
    inode *inode = make_whole(number);

    atomic_set(&inode->i_count, 0);
    ihold(inode);
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("i_count")));
    iput(inode);
}

TEST_F(Igrab, AddsAReference)
{
    inode *inode = make_whole(number);

    EXPECT_EQ(igrab(inode), inode);
    EXPECT_EQ(references_of(inode), 2);
    iput(inode);
    iput(inode);
}

TEST_F(Igrab, RefusesAnInodeThatIsBeingFreed)
{
    inode *inode = make_whole(number);
    bool refused = false;

    on_evict([&](struct inode *dying) { refused = igrab(dying) == nullptr; });
    iput(inode);
    EXPECT_TRUE(refused);
}

TEST_F(Iput, TakesANull)
{
    iput(nullptr);
}

TEST_F(Iput, KeepsAnInodeThatOthersHave)
{
    inode *inode = make_whole(number);
    bool evicted = false;

    on_evict([&](struct inode *) { evicted = true; });
    ihold(inode);
    iput(inode);
    EXPECT_FALSE(evicted);
    iput(inode);
    EXPECT_TRUE(evicted);
}

// The file system may sleep in evict_inode, and finds the inode off its super block's list but
// still in the hash, where others can wait for it.
TEST_F(Iput, LetsTheFileSystemEvictWithoutLocks)
{
    inode *inode = make_whole(number);
    unsigned state = 0;
    bool locked = true, in_section = true, hashed = false, listed = true;

    on_evict([&](struct inode *dying) {
        state = READ_ONCE(dying->i_state);
        locked = spin_is_locked(&dying->i_lock);
        in_section = rcu_read_lock_held();
        hashed = !hlist_unhashed(&dying->i_hash);
        listed = !list_empty(&dying->i_sb_list);
        might_sleep();
    });
    iput(inode);
    EXPECT_EQ(state & (I_NEW | I_FREEING | I_CLEAR), I_FREEING);
    EXPECT_FALSE(locked);
    EXPECT_FALSE(in_section);
    EXPECT_TRUE(hashed);
    EXPECT_FALSE(listed);
    EXPECT_EQ(ilookup(sb, number), nullptr);
}

// Whoever wants the number of an inode that is being freed must not read the disk before the file
// system is done with it.
TEST_F(IgetLocked, WaitsWhileTheInodeIsBeingFreed)
{
    inode *dying = make_whole(number);
    std::latch in_evict(1), may_go_on(1);
    std::atomic<bool> evicted(false);
    inode *fresh = nullptr;
    bool came_after = false, was_new = false;

    on_evict([&](inode *) {
        in_evict.count_down();
        may_go_on.wait();
        evicted = true;
    });
    {
        std::jthread freeing([&] { iput(dying); });
        in_evict.wait();
        blocking_thread waiter([&] {
            fresh = iget_locked(sb, number);
            came_after = evicted;
            was_new = is_new(fresh);
        });
        EXPECT_TRUE(waiter.comes_to_sleep());
        may_go_on.count_down();
    }
    on_evict(nullptr);
    EXPECT_TRUE(came_after);
    EXPECT_TRUE(was_new);
    unlock_new_inode(fresh);
    iput(fresh);
}

TEST_F(Ilookup, WaitsWhileTheInodeIsBeingFreed)
{
    inode *dying = make_whole(number);
    std::latch in_evict(1), may_go_on(1);
    inode *found = dying;

    on_evict([&](inode *) {
        in_evict.count_down();
        may_go_on.wait();
    });
    {
        std::jthread freeing([&] { iput(dying); });
        in_evict.wait();
        blocking_thread waiter([&] { found = ilookup(sb, number); });
        EXPECT_TRUE(waiter.comes_to_sleep());
        may_go_on.count_down();
    }
    EXPECT_EQ(found, nullptr);
}

TEST_F(Iput, ComplainsAboutAnInodeThatStillHasANewMaker)
{
    inode *inode = iget_locked(sb, number);

    iput(inode);
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("I_NEW")));
}

TEST_F(Iput, OfAFreedInodeIsABug)
{
    inode *inode = make_whole(number);

    rcu_read_lock();
    iput(inode);
    // RCU still has the memory, so the mistake can be seen.
    EXPECT_DEATH(iput(inode), "I_CLEAR");
    rcu_read_unlock();
}

// Threads get and put a few inodes, and now and then fail to fill one in. Each number has at most
// one whole inode at any moment, from being filled in to being evicted.
TEST_F(IgetLocked, HasAtMostOneInodeForANumber)
{
    constexpr int numbers = 3;
    constexpr int rounds = DCSIM_TSAN ? 1500 : 6000;
    std::atomic<int> alive[numbers] = {};
    std::atomic<int> filled = 0, failed = 0, doubled = 0, strangers = 0;

    on_evict([&](inode *inode) {
        if (inode->i_private)
            static_cast<std::atomic<int> *>(inode->i_private)->fetch_sub(1);
    });
    run_together(more_threads_than_processors(), [&](int thread) {
        for (int round = 0; round < rounds; round++) {
            int which = (thread + round) % numbers;
            inode *inode = iget_locked(sb, number + static_cast<ino_t>(which));

            if (is_new(inode)) {
                if (round % 7 == 0) {
                    failed++;
                    iget_failed(inode);
                    continue;
                }
                doubled += alive[which].fetch_add(1) != 0;
                inode->i_private = &alive[which];
                filled++;
                unlock_new_inode(inode);
            }
            strangers += inode->i_private != &alive[which];
            if (round % 5 == 0)
                sched_yield();
            iput(inode);
        }
    });
    EXPECT_EQ(doubled, 0);
    EXPECT_EQ(strangers, 0);
    for (const std::atomic<int> &count : alive)
        EXPECT_EQ(count, 0);
    EXPECT_GT(filled, 0);
    EXPECT_GT(failed, 0);
}

// --- Types and locks ---

TEST_F(InodeType, OnlyADirectoryIsOne)
{
    inode *directory = directory_inode();

    EXPECT_TRUE(inode_is_directory(directory));
    iput(directory);
    EXPECT_TRUE(S_ISDIR_mode(S_IFDIR_TYPE | 0755));
    // Values that share bits with it among them.
    for (umode_t type :
         {S_IFSOCK_TYPE, S_IFLNK_TYPE, S_IFREG_TYPE, S_IFBLK_TYPE, S_IFCHR_TYPE, S_IFIFO_TYPE}) {
        inode *other = make_inode(sb, static_cast<umode_t>(type | 0644));

        EXPECT_FALSE(inode_is_directory(other)) << type;
        EXPECT_FALSE(S_ISDIR_mode(READ_ONCE(other->i_mode))) << type;
        iput(other);
    }
}

/// Gives back what it got, which is a second hold when this thread is a reader already.
bool can_lock_shared(inode *inode) __context_unsafe("locks or does not")
{
    if (!inode_trylock_shared(inode))
        return false;
    EXPECT_FALSE(rwsem_is_write_locked(&inode->i_rwsem));
    inode_unlock_shared(inode);
    return true;
}

TEST_F(InodeLock, TryingSharedFailsAgainstAWriterOnly)
{
    inode *inode = directory_inode();

    inode_lock_nested(inode, I_MUTEX_PARENT);
    EXPECT_TRUE(rwsem_is_write_locked(&inode->i_rwsem));
    EXPECT_FALSE(can_lock_shared(inode));
    inode_unlock(inode);

    inode_lock_shared(inode);
    EXPECT_TRUE(can_lock_shared(inode));
    EXPECT_TRUE(rwsem_is_locked(&inode->i_rwsem));
    inode_unlock_shared(inode);
    EXPECT_FALSE(rwsem_is_locked(&inode->i_rwsem));
    EXPECT_TRUE(can_lock_shared(inode));
    iput(inode);
}

// --- Link counts ---

TEST_F(LinkCount, GoesUpAndDown)
{
    inode *inode = make_whole(number);

    inc_nlink(inode);
    EXPECT_EQ(READ_ONCE(inode->i_nlink), 2u);
    drop_nlink(inode);
    EXPECT_EQ(READ_ONCE(inode->i_nlink), 1u);
    set_nlink(inode, 5);
    EXPECT_EQ(READ_ONCE(inode->i_nlink), 5u);
    clear_nlink(inode);
    EXPECT_EQ(READ_ONCE(inode->i_nlink), 0u);
    clear_nlink(inode);
    set_nlink(inode, 0);
    EXPECT_EQ(READ_ONCE(inode->i_nlink), 0u);
    iput(inode);
}

TEST_F(LinkCount, ComplainsWhenItGoesBelowZero)
{
    inode *inode = make_whole(number);

    clear_nlink(inode);
    drop_nlink(inode);
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("i_nlink")));
    iput(inode);
}

TEST_F(LinkCount, ComplainsWhenADeletedFileGetsAName)
{
    inode *inode = make_whole(number);

    clear_nlink(inode);
    inc_nlink(inode);
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("I_LINKABLE")));
    iput(inode);
}

TEST_F(LinkCount, AFileThatNeverHadANameMayGetOne)
{
    inode *inode = make_whole(number);

    clear_nlink(inode);
    inode->i_state |= I_LINKABLE;
    inc_nlink(inode);
    EXPECT_EQ(READ_ONCE(inode->i_nlink), 1u);
    iput(inode);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
