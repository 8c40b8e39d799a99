// SPDX-License-Identifier: GPL-2.0-only
//
// Waiting for a variable on shared, hashed queues.
#include <array>
#include <memory>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/kernel/wait_bit.h"
#include "threads.h"
#include "warnings.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class WaitVar : public ::testing::Test
{
  protected:
    WaitVar()
    {
        wait_bit_init();
        spin_lock_init(&lock, "test");
    }

    /// Sleeps until *flag is set; `lock` guards the flag.
    void wait_for_flag(const bool *flag)
    {
        spin_lock(&lock);
        wait_var_event_spinlock(
            flag, [flag] { return *flag; }, &lock);
        EXPECT_TRUE(spin_is_locked(&lock));
        spin_unlock(&lock);
    }

    void set_flag(bool *flag)
    {
        spin_lock(&lock);
        *flag = true;
        wake_up_var_locked(flag, &lock);
        spin_unlock(&lock);
    }

    /// Another address whose waiters share the queue of flags[0].
    bool *neighbour_on_the_queue()
    {
        for (bool &flag : flags)
            if (&flag != &flags[0] && __var_waitqueue(&flag) == __var_waitqueue(&flags[0]))
                return &flag;
        return nullptr;
    }

    spinlock_t lock;
    std::array<bool, 65536> flags = {};
    warning_capture warnings;
};

TEST_F(WaitVar, TableHas256QueuesAndAddressesSpreadOverThem)
{
    std::set<wait_queue_head *> queues;

    for (const bool &flag : flags)
        queues.insert(__var_waitqueue(&flag));
    EXPECT_EQ(queues.size(), 256u);
    EXPECT_EQ(*queues.rbegin() - *queues.begin(), 255);
}

TEST_F(WaitVar, ConditionThatHoldsMeansNoSleep)
{
    flags[0] = true;
    wait_for_flag(&flags[0]);
    EXPECT_FALSE(waitqueue_active(__var_waitqueue(&flags[0])));
}

// d_lock is held around the wait in d_wait_lookup(): the condition is tested under it, always.
TEST_F(WaitVar, ConditionIsTestedUnderTheLockAndTheLockIsDroppedWhileAsleep)
{
    bool go_on = false;
    int tests = 0;

    blocking_thread waiter([&] {
        spin_lock(&lock);
        wait_var_event_spinlock(
            &go_on,
            [&] {
                EXPECT_TRUE(spin_is_locked(&lock));
                EXPECT_TRUE(rcu_read_lock_held());
                tests++;
                return go_on;
            },
            &lock);
        spin_unlock(&lock);
    });
    ASSERT_TRUE(waiter.comes_to_wait());
    set_flag(&go_on);
    waiter.join();
    EXPECT_GE(tests, 2);
}

TEST_F(WaitVar, AllWaitersForOneAddressAreWoken)
{
    std::vector<std::unique_ptr<blocking_thread>> waiters;

    for (int i = 0; i < 5; i++) {
        waiters.push_back(std::make_unique<blocking_thread>([this] { wait_for_flag(&flags[0]); }));
        ASSERT_TRUE(waiters.back()->comes_to_wait());
    }
    set_flag(&flags[0]);
    waiters.clear();
    EXPECT_FALSE(waitqueue_active(__var_waitqueue(&flags[0])));
}

// Nobody may be woken for an address that is not his, even by somebody on the same queue.
TEST_F(WaitVar, KeysDoNotDisturbEachOtherOnASharedQueue)
{
    bool *mine = &flags[0];
    bool *neighbour = neighbour_on_the_queue();
    int tests = 0;

    ASSERT_NE(neighbour, nullptr);
    blocking_thread waiter([&] {
        spin_lock(&lock);
        wait_var_event_spinlock(
            mine,
            [&] {
                tests++;
                return *mine;
            },
            &lock);
        spin_unlock(&lock);
    });
    ASSERT_TRUE(waiter.comes_to_wait());
    for (int i = 0; i < 100; i++)
        set_flag(neighbour);
    EXPECT_TRUE(waitqueue_active(__var_waitqueue(mine)));
    set_flag(mine);
    waiter.join();
    // Once before queueing, once after, once after the wake-up that counted.
    EXPECT_EQ(tests, 3);
}

TEST_F(WaitVar, WakeUpForNobodyIsHarmless)
{
    wake_up_var(&flags[0]);
    wake_up_var(nullptr);
}

TEST_F(WaitVar, WakeUpWithoutTheLockIsReported) __context_unsafe("breaks the rule on purpose")
{
    wake_up_var_locked(&flags[0], &lock);
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("spin_is_locked")));
}

TEST_F(WaitVar, NoWakeUpIsLostInATightPingPong)
{
    constexpr int rounds = 20000;
    int turn = 0;

    run_together(2, [&](int me) {
        for (int i = 0; i < rounds; i++) {
            spin_lock(&lock);
            wait_var_event_spinlock(
                &turn, [&] { return turn % 2 == me; }, &lock);
            turn++;
            wake_up_var_locked(&turn, &lock);
            spin_unlock(&lock);
        }
    });
    EXPECT_EQ(turn, 2 * rounds);
}

// Two pairs that share a queue and nothing else.
TEST_F(WaitVar, NoWakeUpIsLostWhenPairsShareAQueue)
{
    constexpr int rounds = 5000;
    struct pair {
        const void *key;
        spinlock_t lock;
        int turn;
    };
    pair pairs[2] = {{&flags[0], {}, 0}, {neighbour_on_the_queue(), {}, 0}};

    run_together(4, [&](int me) {
        pair *mine = &pairs[me / 2];
        for (int i = 0; i < rounds; i++) {
            spin_lock(&mine->lock);
            wait_var_event_spinlock(
                mine->key, [&] { return mine->turn % 2 == me % 2; }, &mine->lock);
            mine->turn++;
            wake_up_var_locked(mine->key, &mine->lock);
            spin_unlock(&mine->lock);
        }
    });
    EXPECT_EQ(pairs[0].turn, 2 * rounds);
    EXPECT_EQ(pairs[1].turn, 2 * rounds);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
