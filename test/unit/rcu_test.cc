// SPDX-License-Identifier: GPL-2.0-only
//
// RCU: what a grace period waits for and what it does not.
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/kernel/rcupdate.h"
#include "dcsim/kernel/spinlock.h"
#include "threads.h"
#include "warnings.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

/// Knows whether its callback has run.
struct probe {
    rcu_head head;
    once<bool> ran;
};

void mark_as_run(rcu_head *head)
{
    WRITE_ONCE(container_of(head, probe, head)->ran, true);
}

TEST(Rcu, FlavourIsOneOfTheTwo)
{
    EXPECT_THAT(std::string(rcu_flavour()), AnyOf("memb", "qsbr"));
}

TEST(Rcu, SectionsNest) __context_unsafe("the analysis knows no nesting")
{
    EXPECT_FALSE(rcu_read_lock_held());
    rcu_read_lock();
    rcu_read_lock();
    rcu_read_unlock();
    EXPECT_TRUE(rcu_read_lock_held());
    rcu_read_unlock();
    EXPECT_FALSE(rcu_read_lock_held());
}

/// Queues a callback inside the protection that `enter` and `leave` make, gives it every chance to
/// run too early, and expects that it runs only after leaving.
template <typename Enter, typename Leave>
void expect_protection(Enter enter, Leave leave)
{
    probe object = {};

    enter();
    call_rcu(&object.head, mark_as_run);
    // Another updater waits as well: the grace period has begun and cannot end.
    blocking_thread updater([] { synchronize_rcu(); });
    EXPECT_TRUE(updater.comes_to_sleep());
    EXPECT_FALSE(READ_ONCE(object.ran));
    leave();
    rcu_barrier();
    EXPECT_TRUE(READ_ONCE(object.ran));
}

TEST(Rcu, CallbackWaitsForTheReader)
{
    expect_protection([]() __context_unsafe("left by the other half") { rcu_read_lock(); },
                      []() __context_unsafe("entered by the other half") { rcu_read_unlock(); });
}

TEST(Rcu, CallbackWaitsForTheOutermostSection)
{
    expect_protection(
        []() __context_unsafe("left by the other half") {
            rcu_read_lock();
            rcu_read_lock();
            rcu_read_unlock();
        },
        []() __context_unsafe("entered by the other half") { rcu_read_unlock(); });
}

// In the kernel a spinlock disables preemption, and dcache counts on that.
TEST(Rcu, HolderOfASpinlockCountsAsAReader)
{
    spinlock_t lock = {};

    expect_protection([&]() __context_unsafe("unlocked by the other half") { spin_lock(&lock); },
                      [&]() __context_unsafe("locked by the other half") { spin_unlock(&lock); });
}

TEST(Rcu, HolderOfABitLockCountsAsAReader)
{
    once<int *> word(nullptr);

    expect_protection([&] { bit_spin_lock(&word); }, [&] { bit_spin_unlock(&word); });
}

TEST(Rcu, LockTakenInsideASectionCarriesItOn)
{
    spinlock_t lock = {};

    expect_protection(
        [&]() __context_unsafe("unlocked by the other half") {
            rcu_read_lock();
            spin_lock(&lock);
            rcu_read_unlock();
        },
        [&]() __context_unsafe("locked by the other half") { spin_unlock(&lock); });
}

TEST(Rcu, SynchronizeWaitsForReadersThatWereThere)
{
    bool reader_has_left = false;

    rcu_read_lock();
    blocking_thread updater([&] {
        synchronize_rcu();
        EXPECT_TRUE(reader_has_left);
    });
    EXPECT_TRUE(updater.comes_to_sleep());
    reader_has_left = true;
    rcu_read_unlock();
    updater.join();
}

TEST(Rcu, SynchronizeWithoutReadersReturns)
{
    synchronize_rcu();
}

TEST(Rcu, BarrierWaitsForEveryCallbackQueuedBefore)
{
    std::vector<probe> objects(1000);

    run_together(4, [&](int me) {
        for (size_t i = me; i < objects.size(); i += 4)
            call_rcu(&objects[i].head, mark_as_run);
    });
    rcu_barrier();
    for (const probe &object : objects)
        EXPECT_TRUE(READ_ONCE(object.ran));
}

// Plain data on purpose: rcu_barrier() orders a callback before its caller.
TEST(Rcu, CallerOfBarrierSeesWhatCallbacksDid)
{
    struct counted {
        rcu_head head;
        long *total;
    };
    long total = 0;
    std::vector<counted> objects(100);

    for (counted &object : objects) {
        object.total = &total;
        call_rcu(&object.head, [](rcu_head *head) { ++*container_of(head, counted, head)->total; });
    }
    rcu_barrier();
    EXPECT_EQ(total, 100);
}

TEST(Rcu, CallbackMayTakeSpinlocksAndQueueAnother)
{
    static spinlock_t lock;
    static probe second;

    rcu_head first;
    call_rcu(&first, [](rcu_head *) {
        spin_lock(&lock);
        call_rcu(&second.head, mark_as_run);
        spin_unlock(&lock);
    });
    rcu_barrier();
    rcu_barrier();
    EXPECT_TRUE(READ_ONCE(second.ran));
}

// rcutorture's question: does a reader ever see an object whose callback has run?
TEST(Rcu, ReadersNeverSeeAReclaimedObject)
{
    struct object {
        rcu_head head;
        once<bool> reclaimed;
    };
    constexpr int updates = 3000;
    std::vector<object> objects(updates + 1);
    once<object *> current(&objects[0]);
    once<bool> stop(false);

    run_together(4, [&](int me) {
        for (int i = 1; me == 0 && i <= updates; i++) {
            object *old = rcu_dereference(current);
            rcu_assign_pointer(current, &objects[i]);
            call_rcu(&old->head, [](rcu_head *head) {
                WRITE_ONCE(container_of(head, object, head)->reclaimed, true);
            });
        }
        if (me == 0)
            WRITE_ONCE(stop, true);
        while (!READ_ONCE(stop)) {
            rcu_read_lock();
            object *seen = rcu_dereference(current);
            sched_yield();
            EXPECT_FALSE(READ_ONCE(seen->reclaimed));
            rcu_read_unlock();
        }
    });
    rcu_barrier();
    EXPECT_FALSE(READ_ONCE(objects[updates].reclaimed));
    EXPECT_TRUE(READ_ONCE(objects[updates - 1].reclaimed));
}

TEST(Rcu, KfreeRcuFreesAfterTheReader)
{
    struct object {
        long payload;
        rcu_head head;
    };
    const long before = kmalloc_objects();
    auto *shared = static_cast<object *>(kmalloc(sizeof(object)));

    ASSERT_NE(shared, nullptr);
    shared->payload = 42;
    rcu_read_lock();
    kfree_rcu(shared);
    blocking_thread updater([] { synchronize_rcu(); });
    EXPECT_TRUE(updater.comes_to_sleep());
    EXPECT_EQ(kmalloc_objects(), before + 1);
    EXPECT_EQ(shared->payload, 42);
    rcu_read_unlock();
    rcu_barrier();
    EXPECT_EQ(kmalloc_objects(), before);
}

TEST(Rcu, ReaderSeesWhatWasWrittenBeforeTheObjectWasPublished)
{
    constexpr int messages = 2000;
    std::unique_ptr<long[]> storage(new long[messages]());
    once<long *> latest(nullptr);

    run_together(2, [&](int me) {
        for (int i = 0; me == 0 && i < messages; i++) {
            storage[i] = 42;
            rcu_assign_pointer(latest, &storage[i]);
        }
        for (long *seen = nullptr; me == 1 && seen != &storage[messages - 1];) {
            rcu_read_lock();
            seen = rcu_dereference(latest);
            if (seen) {
                EXPECT_EQ(*seen, 42);
            }
            rcu_read_unlock();
        }
    });
}

// A thread that has gone must not hold up later grace periods, nor be looked at any more.
TEST(Rcu, ThreadsRegisterThemselvesAndLeave)
{
    for (int round = 0; round < 50; round++) {
        run_together(8, [](int) {
            rcu_read_lock();
            rcu_read_unlock();
        });
        synchronize_rcu();
    }
}

TEST(Rcu, ThreadThatNeverReadMayQueueCallbacks)
{
    probe object = {};

    std::jthread([&] { call_rcu(&object.head, mark_as_run); }).join();
    rcu_barrier();
    EXPECT_TRUE(READ_ONCE(object.ran));
}

TEST(Rcu, SleepingInASectionIsReported)
{
    warning_capture warnings;

    rcu_read_lock();
    might_sleep();
    rcu_read_unlock();
    EXPECT_THAT(warnings.take(), SizeIs(1));
    might_sleep();
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
