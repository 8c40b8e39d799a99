// SPDX-License-Identifier: GPL-2.0-only
//
// The 4-byte spinlock.
#include <cstring>
#include <memory>

#include <gtest/gtest.h>

#include "dcsim/kernel/spinlock.h"
#include "threads.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

TEST(Spinlock, IsFourBytesAndFreeWhenZero)
{
    spinlock_t lock;

    static_assert(sizeof(spinlock_t) == 4);
    memset(&lock, 0, sizeof(lock));
    EXPECT_FALSE(spin_is_locked(&lock));
    spin_lock(&lock);
    EXPECT_TRUE(spin_is_locked(&lock));
    spin_unlock(&lock);
    spinlock_t zero = {};
    EXPECT_EQ(memcmp(&lock, &zero, sizeof(lock)), 0);
}

TEST(Spinlock, InitFreesTheLock)
{
    spinlock_t lock;

    memset(&lock, 0xff, sizeof(lock));
    spin_lock_init(&lock, "test");
    EXPECT_FALSE(spin_is_locked(&lock));
}

TEST(Spinlock, TrylockTakesAFreeLockAndRefusesAHeldOne)
{
    spinlock_t lock = {};

    bool first = spin_trylock(&lock);
    ASSERT_TRUE(first);
    std::jthread([&] {
        bool second = spin_trylock(&lock);
        EXPECT_FALSE(second);
        EXPECT_FALSE(rcu_read_lock_held());
        if (second)
            spin_unlock(&lock);
    }).join();
    if (first)
        spin_unlock(&lock);
    EXPECT_FALSE(spin_is_locked(&lock));
}

// v7.2's dcache leaves RCU after it took a d_lock and relies on the lock to keep the object.
TEST(Spinlock, HolderIsAnRcuReader)
{
    spinlock_t lock = {};

    EXPECT_FALSE(rcu_read_lock_held());
    spin_lock(&lock);
    EXPECT_TRUE(rcu_read_lock_held());
    spin_unlock(&lock);
    EXPECT_FALSE(rcu_read_lock_held());

    bool taken = spin_trylock(&lock);
    EXPECT_TRUE(rcu_read_lock_held());
    if (taken)
        spin_unlock(&lock);
    EXPECT_FALSE(rcu_read_lock_held());
}

TEST(Spinlock, RcuSectionMayEndUnderTheLock)
{
    spinlock_t lock = {};

    rcu_read_lock();
    spin_lock_nested(&lock, 1);
    rcu_read_unlock();
    EXPECT_TRUE(rcu_read_lock_held());
    spin_unlock(&lock);
    EXPECT_FALSE(rcu_read_lock_held());
}

TEST(Spinlock, ExcludesMoreThreadsThanProcessorsAndLetsThemAllProgress)
{
    spinlock_t lock = {};
    long counter = 0;
    constexpr int rounds = 500;
    const int threads = more_threads_than_processors();

    run_together(threads, [&](int) {
        for (int i = 0; i < rounds; i++) {
            spin_lock(&lock);
            increment_slowly(&counter);
            spin_unlock(&lock);
        }
    });
    EXPECT_EQ(counter, long{threads} * rounds);
}

TEST(Spinlock, TrylockExcludes)
{
    spinlock_t lock = {};
    long counter = 0;
    once<long> successes(0);

    run_together(more_threads_than_processors(), [&](int) {
        for (int i = 0; i < 500; i++) {
            if (!spin_trylock(&lock))
                continue;
            increment_slowly(&counter);
            spin_unlock(&lock);
            add_return(&successes, 1);
        }
    });
    EXPECT_EQ(counter, READ_ONCE(successes));
    EXPECT_GT(counter, 0);
}

// A waiter that only spun would keep the holder from its processor.
TEST(Spinlock, WaiterSleepsAndUnlockWakesIt)
{
    spinlock_t lock = {};
    bool released = false;

    spin_lock(&lock);
    blocking_thread waiter([&] {
        spin_lock(&lock);
        EXPECT_TRUE(released);
        spin_unlock(&lock);
    });
    EXPECT_TRUE(waiter.comes_to_sleep());
    released = true;
    spin_unlock(&lock);
    waiter.join();
}

TEST(Spinlock, EveryOneOfManySleepersIsWoken)
{
    spinlock_t lock = {};
    std::vector<std::unique_ptr<blocking_thread>> waiters;

    spin_lock(&lock);
    for (int i = 0; i < 8; i++) {
        waiters.push_back(std::make_unique<blocking_thread>([&] {
            spin_lock(&lock);
            spin_unlock(&lock);
        }));
        EXPECT_TRUE(waiters.back()->comes_to_sleep());
    }
    spin_unlock(&lock);
    waiters.clear();
    EXPECT_FALSE(spin_is_locked(&lock));
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
