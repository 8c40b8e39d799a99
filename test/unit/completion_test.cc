// SPDX-License-Identifier: GPL-2.0-only
//
// Completions.
#include <memory>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/kernel/completion.h"
#include "threads.h"
#include "warnings.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::Contains;
using ::testing::HasSubstr;

class Completion : public ::testing::Test
{
  protected:
    Completion()
    {
        init_completion(&done);
    }

    completion done;
    warning_capture warnings;
};

TEST_F(Completion, CompletedBeforehandMeansNoSleep)
{
    complete(&done);
    complete(&done);
    wait_for_completion(&done);
    wait_for_completion(&done);
    EXPECT_EQ(done.done, 0u);
    EXPECT_FALSE(waitqueue_active(&done.wait));
}

TEST_F(Completion, WaiterSleepsUntilCompletedAndSeesWhatWasDone)
{
    long result = 0;

    blocking_thread waiter([&] {
        wait_for_completion(&done);
        EXPECT_EQ(result, 42);
    });
    ASSERT_TRUE(waiter.comes_to_wait());
    result = 42;
    complete(&done);
}

// Does one complete() let exactly one waiter go on, the one that came first?
TEST_F(Completion, OneCompletionIsForOneWaiter)
{
    blocking_thread first([&] { wait_for_completion(&done); });
    ASSERT_TRUE(first.comes_to_wait());
    blocking_thread second([&] { wait_for_completion(&done); });
    ASSERT_TRUE(second.comes_to_wait());

    complete(&done);
    first.join();
    EXPECT_TRUE(second.comes_to_wait());
    EXPECT_TRUE(waitqueue_active(&done.wait));
    complete(&done);
    second.join();
    EXPECT_FALSE(waitqueue_active(&done.wait));
}

TEST_F(Completion, AsManyWaitersAsCompletionsGoOn)
{
    once<int> through(0);

    run_together(8, [&](int me) {
        for (int i = 0; i < 500; i++) {
            if (me % 2) {
                complete(&done);
            } else {
                wait_for_completion(&done);
                add_return(&through, 1);
            }
        }
    });
    EXPECT_EQ(READ_ONCE(through), 4 * 500);
    EXPECT_EQ(done.done, 0u);
}

// shrink_dcache_parent() has its completion on the stack and returns as soon as it is woken
// (AddressSanitizer watches the frame).
TEST_F(Completion, MayLiveOnTheWaitersStack)
{
    once<completion *> posted(nullptr);
    constexpr int rounds = 5000;

    run_together(2, [&](int me) {
        for (int i = 0; i < rounds; i++) {
            if (me == 0) {
                auto local = std::make_unique<completion>();
                init_completion(local.get());
                WRITE_ONCE(posted, local.get());
                wait_for_completion(local.get());
            } else {
                while (!READ_ONCE(posted))
                    sched_yield();
                complete(xchg(&posted, nullptr));
            }
        }
    });
}

TEST_F(Completion, WaitingInsideRcuIsReported)
{
    complete(&done);
    rcu_read_lock();
    wait_for_completion(&done);
    rcu_read_unlock();
    EXPECT_THAT(warnings.take(), Contains(HasSubstr("sleeping function")));
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
