// SPDX-License-Identifier: GPL-2.0-only
//
// The mutex.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/kernel/rwsem.h"
#include "threads.h"
#include "warnings.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Mutex, ExcludesMoreThreadsThanProcessors)
{
    mutex lock;
    long counter = 0;
    constexpr int rounds = 500;
    const int threads = more_threads_than_processors();

    mutex_init(&lock, "test");
    run_together(threads, [&](int) {
        for (int i = 0; i < rounds; i++) {
            mutex_lock(&lock);
            increment_slowly(&counter);
            mutex_unlock(&lock);
        }
    });
    EXPECT_EQ(counter, long{threads} * rounds);
    EXPECT_FALSE(mutex_is_locked(&lock));
}

TEST(Mutex, TrylockTakesAFreeLockAndRefusesAHeldOne)
{
    mutex lock = {};

    bool first = mutex_trylock(&lock);
    ASSERT_TRUE(first);
    EXPECT_TRUE(mutex_is_locked(&lock));
    std::jthread([&] {
        bool second = mutex_trylock(&lock);
        EXPECT_FALSE(second);
        if (second)
            mutex_unlock(&lock);
    }).join();
    if (first)
        mutex_unlock(&lock);
    EXPECT_FALSE(mutex_is_locked(&lock));
}

TEST(Mutex, WaiterSleepsAndUnlockWakesIt)
{
    mutex lock = {};
    bool released = false;

    mutex_lock(&lock);
    blocking_thread waiter([&] {
        mutex_lock(&lock);
        EXPECT_TRUE(released);
        mutex_unlock(&lock);
    });
    EXPECT_TRUE(waiter.comes_to_sleep());
    released = true;
    mutex_unlock(&lock);
    waiter.join();
}

TEST(Mutex, HolderMaySleepAndIsNoRcuReader)
{
    mutex lock = {};
    warning_capture warnings;

    mutex_lock(&lock);
    EXPECT_FALSE(rcu_read_lock_held());
    might_sleep();
    mutex_unlock(&lock);
}

TEST(Mutex, LockingInsideRcuIsReported)
{
    mutex lock = {};
    warning_capture warnings;

    rcu_read_lock();
    mutex_lock(&lock);
    mutex_unlock(&lock);
    rcu_read_unlock();
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("sleeping function")));
}

TEST(Mutex, UnlockOfAFreeMutexIsReported)
{
    mutex lock = {};
    warning_capture warnings;

    [&]() __context_unsafe("breaks the rule on purpose") { mutex_unlock(&lock); }();
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("FREE")));
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
