// SPDX-License-Identifier: GPL-2.0-only
//
// rw_semaphore: who may hold it together, and who comes next.
#include <functional>
#include <memory>
#include <mutex>

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

class Rwsem : public ::testing::Test
{
  protected:
    Rwsem()
    {
        init_rwsem(&sem, "test");
    }

    /// Whether another task could take the lock at once for reading.
    bool readable()
    {
        bool taken = down_read_trylock(&sem);
        if (taken)
            up_read(&sem);
        return taken;
    }

    bool writable()
    {
        bool taken = down_write_trylock(&sem);
        if (taken)
            up_write(&sem);
        return taken;
    }

    rw_semaphore sem;
    warning_capture warnings;
};

TEST_F(Rwsem, FreeLockCanBeTakenEitherWay)
{
    EXPECT_FALSE(rwsem_is_locked(&sem));
    EXPECT_TRUE(readable());
    EXPECT_TRUE(writable());
    EXPECT_FALSE(rwsem_is_locked(&sem));
}

TEST_F(Rwsem, ReadersShareAndKeepWritersOut)
{
    down_read(&sem);
    EXPECT_TRUE(readable());
    EXPECT_FALSE(writable());
    EXPECT_TRUE(rwsem_is_locked(&sem));
    EXPECT_FALSE(rwsem_is_write_locked(&sem));
    up_read(&sem);
    EXPECT_TRUE(writable());
}

TEST_F(Rwsem, WriterKeepsEverybodyOut)
{
    down_write(&sem);
    EXPECT_FALSE(readable());
    EXPECT_FALSE(writable());
    EXPECT_TRUE(rwsem_is_locked(&sem));
    EXPECT_TRUE(rwsem_is_write_locked(&sem));
    up_write(&sem);
    EXPECT_TRUE(readable());
}

TEST_F(Rwsem, KnowsItsWriter)
{
    EXPECT_FALSE(rwsem_held_by_caller(&sem));
    down_write(&sem);
    EXPECT_TRUE(rwsem_held_by_caller(&sem));
    run_together(1, [&](int) { EXPECT_FALSE(rwsem_held_by_caller(&sem)); });
    downgrade_write(&sem);
    EXPECT_FALSE(rwsem_held_by_caller(&sem));
    up_read(&sem);
    if (!down_write_trylock(&sem)) {
        ADD_FAILURE() << "nobody holds it";
    } else {
        EXPECT_TRUE(rwsem_held_by_caller(&sem));
        up_write(&sem);
    }
    EXPECT_FALSE(rwsem_held_by_caller(&sem));
}

TEST_F(Rwsem, ReadersAreInsideAtTheSameTime)
{
    std::barrier everybody_is_inside(4);

    run_together(4, [&](int) {
        down_read_nested(&sem, 1);
        everybody_is_inside.arrive_and_wait();
        up_read(&sem);
    });
    EXPECT_FALSE(rwsem_is_locked(&sem));
}

TEST_F(Rwsem, WritersExcludeMoreThreadsThanProcessors)
{
    long counter = 0;
    constexpr int rounds = 200;
    const int threads = more_threads_than_processors();

    run_together(threads, [&](int) {
        for (int i = 0; i < rounds; i++) {
            down_write_nested(&sem, 1);
            increment_slowly(&counter);
            up_write(&sem);
        }
    });
    EXPECT_EQ(counter, long{threads} * rounds);
    EXPECT_FALSE(rwsem_is_locked(&sem));
}

TEST_F(Rwsem, ReadersNeverSeeAWriterAtWork)
{
    long left = 0;
    long right = 0;
    const int threads = more_threads_than_processors();

    run_together(threads, [&](int me) {
        for (int i = 0; i < 300; i++) {
            if ((me + i) % 4 == 0) {
                down_write(&sem);
                increment_slowly(&left);
                increment_slowly(&right);
                up_write(&sem);
            } else {
                down_read(&sem);
                EXPECT_EQ(left, right);
                up_read(&sem);
            }
        }
    });
    EXPECT_EQ(left, right);
}

TEST_F(Rwsem, WaitingWriterHoldsBackLaterReaders)
{
    down_read(&sem);
    blocking_thread writer([&] {
        down_write(&sem);
        up_write(&sem);
    });
    EXPECT_TRUE(writer.comes_to_wait());
    EXPECT_FALSE(readable());
    up_read(&sem);
    writer.join();
    EXPECT_TRUE(readable());
}

TEST_F(Rwsem, WriterWaitsForTheLastReader)
{
    bool reading = true;

    down_read(&sem);
    down_read_non_owner(&sem);
    blocking_thread writer([&] {
        down_write(&sem);
        EXPECT_FALSE(reading);
        up_write(&sem);
    });
    EXPECT_TRUE(writer.comes_to_wait());
    up_read(&sem);
    EXPECT_FALSE(rwsem_is_write_locked(&sem));
    reading = false;
    up_read_non_owner(&sem);
    writer.join();
}

TEST_F(Rwsem, FirstComeFirstServed)
{
    std::vector<std::unique_ptr<blocking_thread>> waiters;
    std::mutex order_lock;
    std::vector<int> order;
    auto enter = [&](int who) {
        std::lock_guard guard(order_lock);
        order.push_back(who);
    };

    down_write(&sem);
    for (int i = 0; i < 6; i++) {
        waiters.push_back(std::make_unique<blocking_thread>([&, i] {
            if (i % 2) {
                down_read(&sem);
                enter(i);
                up_read(&sem);
            } else {
                down_write(&sem);
                enter(i);
                up_write(&sem);
            }
        }));
        EXPECT_TRUE(waiters.back()->comes_to_wait());
    }
    up_write(&sem);
    waiters.clear();
    EXPECT_THAT(order, ElementsAre(0, 1, 2, 3, 4, 5));
}

TEST_F(Rwsem, NeighbouringReadersInTheQueueEnterTogether)
{
    std::barrier everybody_is_inside(3);
    std::vector<std::unique_ptr<blocking_thread>> readers;

    down_write(&sem);
    for (int i = 0; i < 3; i++) {
        readers.push_back(std::make_unique<blocking_thread>([&] {
            down_read(&sem);
            everybody_is_inside.arrive_and_wait();
            up_read(&sem);
        }));
        EXPECT_TRUE(readers.back()->comes_to_wait());
    }
    up_write(&sem);
    readers.clear();
    EXPECT_FALSE(rwsem_is_locked(&sem));
}

TEST_F(Rwsem, DowngradeLetsReadersInAndNoWriter)
{
    down_write(&sem);
    downgrade_write(&sem);
    EXPECT_FALSE(rwsem_is_write_locked(&sem));
    EXPECT_TRUE(readable());
    EXPECT_FALSE(writable());
    up_read(&sem);
    EXPECT_TRUE(writable());
}

TEST_F(Rwsem, DowngradeWakesTheReadersThatWait)
{
    down_write(&sem);
    blocking_thread reader([&] {
        down_read(&sem);
        up_read(&sem);
    });
    EXPECT_TRUE(reader.comes_to_wait());
    downgrade_write(&sem);
    reader.join();
    up_read(&sem);
}

TEST_F(Rwsem, DowngradeDoesNotLetAWaitingWriterIn)
{
    bool reading = true;

    down_write(&sem);
    blocking_thread writer([&] {
        down_write(&sem);
        EXPECT_FALSE(reading);
        up_write(&sem);
    });
    EXPECT_TRUE(writer.comes_to_wait());
    downgrade_write(&sem);
    EXPECT_FALSE(rwsem_is_write_locked(&sem));
    EXPECT_FALSE(readable());
    reading = false;
    up_read(&sem);
    writer.join();
}

TEST_F(Rwsem, AnotherTaskMayGiveUpANonOwnersReadLock)
{
    std::jthread([&] { down_read_non_owner(&sem); }).join();
    EXPECT_FALSE(writable());
    std::jthread([&] { up_read_non_owner(&sem); }).join();
    EXPECT_TRUE(writable());
}

TEST_F(Rwsem, UnbalancedReleasesAreReported) __context_unsafe("breaks the rule on purpose")
{
    up_write(&sem);
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("rwsem_is_write_locked")));
    init_rwsem(&sem, "test");
    up_read(&sem);
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("READER")));
}

TEST_F(Rwsem, LockingInsideRcuIsReported)
{
    rcu_read_lock();
    down_read(&sem);
    up_read(&sem);
    down_write(&sem);
    up_write(&sem);
    rcu_read_unlock();
    EXPECT_THAT(warnings.take(),
                ElementsAre(HasSubstr("sleeping function"), HasSubstr("sleeping function")));
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
