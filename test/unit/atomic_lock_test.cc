// SPDX-License-Identifier: GPL-2.0-only
//
// Dropping a reference whose last one goes under a lock.
#include <gtest/gtest.h>

#include "dcsim/kernel/atomic_lock.h"
#include "threads.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

TEST(AtomicDecAndLock, TakesTheLockForTheLastReferenceOnly)
{
    atomic_t references(2);
    spinlock_t lock = {};

    bool last = atomic_dec_and_lock(&references, &lock);
    EXPECT_FALSE(last);
    EXPECT_FALSE(rcu_read_lock_held());
    if (last)
        spin_unlock(&lock);
    last = atomic_dec_and_lock(&references, &lock);
    EXPECT_TRUE(last);
    EXPECT_TRUE(spin_is_locked(&lock));
    if (last)
        spin_unlock(&lock);
    EXPECT_EQ(atomic_read(&references), 0);
}

// Somebody revives the object while the one who drops the last reference waits for the lock.
TEST(AtomicDecAndLock, ReferenceTakenMeanwhileMakesItNotTheLast)
{
    atomic_t references(1);
    spinlock_t lock = {};

    spin_lock(&lock);
    blocking_thread dropper([&] {
        bool last = atomic_dec_and_lock(&references, &lock);
        EXPECT_FALSE(last);
        if (last)
            spin_unlock(&lock);
    });
    EXPECT_TRUE(dropper.comes_to_sleep());
    atomic_inc(&references);
    spin_unlock(&lock);
    dropper.join();
    EXPECT_EQ(atomic_read(&references), 1);
    EXPECT_FALSE(spin_is_locked(&lock));
}

TEST(AtomicDecAndLock, ExactlyOneOfManyIsTheLast)
{
    for (int round = 0; round < 200; round++) {
        atomic_t references(4);
        spinlock_t lock = {};
        int lasts = 0;

        run_together(4, [&](int) {
            if (!atomic_dec_and_lock(&references, &lock))
                return;
            lasts++;
            spin_unlock(&lock);
        });
        EXPECT_EQ(lasts, 1);
    }
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
