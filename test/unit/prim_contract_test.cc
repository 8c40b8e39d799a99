// SPDX-License-Identifier: GPL-2.0-only
//
// What prim/contract.h says in words about tasks, reports and memory. The locks, once<> and RCU
// have test files of their own.
#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstring>
#include <memory>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/kernel/bug.h"
#include "dcsim/prim/prim.h"
#include "sanitizers.h"
#include "threads.h"
#include "warnings.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Task, EachThreadIsATask)
{
    task_struct *other = nullptr;

    EXPECT_EQ(get_current(), get_current());
    std::jthread([&] { other = get_current(); }).join();
    EXPECT_NE(get_current(), other);
    EXPECT_EQ(READ_ONCE(get_current()->state), TASK_RUNNING);
}

TEST(Task, WakeUpTellsWhetherTheTaskWasAboutToSleep)
{
    EXPECT_FALSE(wake_up_process(get_current()));
    set_current_state(TASK_UNINTERRUPTIBLE);
    EXPECT_TRUE(wake_up_process(get_current()));
    EXPECT_FALSE(wake_up_process(get_current()));
}

TEST(Task, WakeUpBeforeScheduleIsNotLost)
{
    set_current_state(TASK_UNINTERRUPTIBLE);
    wake_up_process(get_current());
    schedule();
    EXPECT_EQ(READ_ONCE(get_current()->state), TASK_RUNNING);
}

TEST(Task, RunningTaskDoesNotSleep)
{
    schedule();
    set_current_state(TASK_UNINTERRUPTIBLE);
    set_running();
    schedule();
}

TEST(Task, ScheduleSleepsUntilWokenAndSeesWhatTheWakerDid)
{
    long message = 0;

    blocking_thread thread([&] {
        set_current_state(TASK_UNINTERRUPTIBLE);
        schedule();
        EXPECT_EQ(message, 42);
    });
    ASSERT_TRUE(thread.comes_to_sleep());
    message = 42;
    EXPECT_TRUE(wake_up_process(thread.task()));
}

// set_current_state() then test, against change then wake_up_process(): each a full barrier, so one
// of the two sees the other. The change comes a little earlier when it found the task asleep and a
// little later when it did not, to meet the moment of going to sleep. A lost wake-up hangs.
TEST(Task, NoWakeUpIsLostBetweenTestAndSleep)
{
    once<int> changes(0);
    once<task_struct *> sleeper(nullptr);
    int delay = 0;

    run_side_by_side(20000, [&](int me, int turn) {
        if (me == 0) {
            WRITE_ONCE(sleeper, get_current());
            for (;;) {
                set_current_state(TASK_UNINTERRUPTIBLE);
                if (READ_ONCE(changes) > turn)
                    break;
                schedule();
            }
            set_running();
            return;
        }
        task_struct *task = smp_cond_load_acquire(&sleeper, [](task_struct *t) { return t; });
        // Looking keeps the state in this processor's cache: the sleeper's store takes long then.
        for (int i = 0; i < delay; i++)
            READ_ONCE(task->state);
        WRITE_ONCE(changes, turn + 1);
        delay = wake_up_process(task) ? std::max(delay - 1, 0) : delay + 1;
    });
}

std::atomic<int> signals_handled = 0;

TEST(Task, SignalDoesNotEndASleep)
{
    struct sigaction action = {};
    struct sigaction before;

    action.sa_handler = [](int) { signals_handled.fetch_add(1); };
    sigaction(SIGUSR1, &action, &before);
    blocking_thread thread([] {
        set_current_state(TASK_UNINTERRUPTIBLE);
        schedule();
    });
    ASSERT_TRUE(thread.comes_to_sleep());
    thread.send(SIGUSR1);
    while (signals_handled == 0)
        sched_yield();
    EXPECT_TRUE(thread.comes_to_sleep());
    EXPECT_TRUE(wake_up_process(thread.task()));
    thread.join();
    sigaction(SIGUSR1, &before, nullptr);
}

TEST(Task, NativeThreadsArePreemptedByTheHost)
{
    EXPECT_FALSE(need_resched());
    cond_resched();
}

TEST(Task, DelayLastsAtLeastAsLongAsAsked)
{
    uint64_t start = monotonic_nanoseconds();

    sleep_for_microseconds(2000);
    EXPECT_GE(monotonic_nanoseconds() - start, 2000000u);
}

/// Runs everything that is marked "sleeps" and does not wait for anybody.
void sleep_in_every_way()
{
    might_sleep();
    schedule();
    cond_resched();
    sleep_for_microseconds(1);
}

TEST(MightSleep, IsQuietWhereSleepingIsAllowed)
{
    warning_capture warnings;

    sleep_in_every_way();
    rcu_read_lock();
    rcu_read_unlock();
    sleep_in_every_way();
}

TEST(MightSleep, ComplainsInsideRcu)
{
    warning_capture warnings;

    rcu_read_lock();
    sleep_in_every_way();
    rcu_read_unlock();
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("inside RCU"), HasSubstr("inside RCU"),
                                             HasSubstr("inside RCU"), HasSubstr("inside RCU")));
}

TEST(MightSleep, ComplainsUnderASpinlock)
{
    spinlock_t lock = {};
    warning_capture warnings;

    spin_lock(&lock);
    might_sleep();
    spin_unlock(&lock);
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("under a spinlock")));
}

TEST(MightSleep, ComplainsUnderABitLock)
{
    once<int *> word(nullptr);
    warning_capture warnings;

    bit_spin_lock(&word);
    might_sleep();
    bit_spin_unlock(&word);
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("under a spinlock")));
}

TEST(MightSleep, IsAboutTheCallingTaskOnly)
{
    warning_capture warnings;

    rcu_read_lock();
    std::jthread([] { might_sleep(); }).join();
    rcu_read_unlock();
}

TEST(Warn, CountsReportsAndGoesOn)
{
    warning_capture warnings;
    const long before = warning_count();

    EXPECT_TRUE(WARN(2 > 1, "%d of %s", 7, "them"));
    EXPECT_FALSE(WARN(1 > 2, "never"));
    EXPECT_TRUE(WARN_ON(before >= 0));
    EXPECT_EQ(warning_count(), before + 2);
    EXPECT_THAT(warnings.take(), ElementsAre("7 of them", "before >= 0"));
}

TEST(Warn, EvaluatesItsConditionOnce)
{
    warning_capture warnings;
    int evaluations = 0;

    WARN_ON(++evaluations == 0);
    EXPECT_EQ(evaluations, 1);
    WARN_ON(++evaluations != 0);
    EXPECT_EQ(evaluations, 2);
    BUG_ON(++evaluations == 0);
    EXPECT_EQ(evaluations, 3);
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("++evaluations")));
}

TEST(Warn, LockdepAssertionNeedsTheLock)
{
    spinlock_t lock = {};
    warning_capture warnings;

    spin_lock(&lock);
    lockdep_assert_held(&lock);
    spin_unlock(&lock);
    EXPECT_THAT(warnings.take(), IsEmpty());
    lockdep_assert_held(&lock);
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("spin_is_locked")));
}

TEST(Warn, HandlersAreReplacedAndGivenBack)
{
    auto mine = [](const char *, const char *, int, const char *) {};
    warning_handler before = set_warning_handler(mine);

    EXPECT_EQ(set_warning_handler(before), static_cast<warning_handler>(mine));
}

TEST(BugDeathTest, EndsTheProgramAndSaysWhere)
{
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_DEATH(BUG_ON(warning_count() >= 0), "BUG: warning_count\\(\\) >= 0 at .*contract_test");
}

TEST(LockrefWord, ReadSeesBothHalvesAtOnce)
{
    lockref ref = {};

    WRITE_ONCE(ref.count, -128);
    lockref_value seen = lockref_read(&ref);
    EXPECT_EQ(seen.count, -128);
    EXPECT_FALSE(seen.locked());
    spin_lock(&ref.lock);
    EXPECT_TRUE(lockref_read(&ref).locked());
    EXPECT_EQ(lockref_read(&ref).count, -128);
    spin_unlock(&ref.lock);
}

TEST(LockrefWord, ExchangeFailsWhenEitherHalfChanged)
{
    lockref ref = {};
    lockref_value seen = lockref_read(&ref);

    WRITE_ONCE(ref.count, 5);
    EXPECT_FALSE(lockref_try_cmpxchg(&ref, &seen, 1));
    EXPECT_EQ(seen.count, 5);
    spin_lock(&ref.lock);
    EXPECT_FALSE(lockref_try_cmpxchg(&ref, &seen, 6));
    EXPECT_TRUE(seen.locked());
    spin_unlock(&ref.lock);
    seen = lockref_read(&ref);
    EXPECT_TRUE(lockref_try_cmpxchg(&ref, &seen, 6));
    EXPECT_EQ(READ_ONCE(ref.count), 6);
    EXPECT_FALSE(spin_is_locked(&ref.lock));
}

/// Gives one slot to this thread and each other slot to a thread of its own.
void take_all_slots_once()
{
    this_counter_slot();
    for (unsigned i = 1; i < counter_slots; i++)
        std::jthread([] { this_counter_slot(); }).join();
}

// Threads that were given the same slot count at the same time.
TEST(PerCpuCounters, LoseNothingWhenThreadsShareASlot)
{
    auto counters = std::make_unique<per_cpu_counters<2>>();
    constexpr int turns = 3000;
    unsigned slots[2] = {};

    run_side_by_side(turns, [&](int me, int turn) {
        if (turn == 0) {
            // The second thread asks for its slot in the next turn, and gets the first's again.
            if (me == 0)
                take_all_slots_once();
            return;
        }
        slots[me] = this_counter_slot();
        for (int i = 0; i < 10; i++) {
            this_cpu_add(*counters, 0, 1);
            this_cpu_add(*counters, 1, -3);
        }
    });
    EXPECT_EQ(slots[0], slots[1]);
    EXPECT_EQ(per_cpu_sum(*counters, 0), 2 * 10 * (turns - 1));
    EXPECT_EQ(per_cpu_sum(*counters, 1), 2 * 10 * (turns - 1) * -3);
    per_cpu_reset(*counters);
    EXPECT_EQ(per_cpu_sum(*counters, 0), 0);
}

TEST(Memory, TablesAreZeroed)
{
    constexpr size_t words = 100000;
    auto *table = static_cast<unsigned long *>(memory_alloc_zeroed(words, sizeof(unsigned long)));

    ASSERT_NE(table, nullptr);
    for (size_t i = 0; i < words; i++)
        ASSERT_EQ(table[i], 0u);
    memset(table, 0xff, words * sizeof(unsigned long));
    memory_free(table);
}

TEST(Memory, TablesAreAlignedAsAsked)
{
    for (size_t align : {16, 64, 128, 4096})
        for (size_t count : {1, 3, 1000}) {
            auto *table = static_cast<u8 *>(memory_alloc_zeroed(count, 24, align));
            ASSERT_NE(table, nullptr);
            EXPECT_EQ(reinterpret_cast<uintptr_t>(table) % align, 0u);
            for (size_t i = 0; i < count * 24; i++)
                ASSERT_EQ(table[i], 0u);
            memory_free(table);
        }
}

TEST(Memory, ImpossibleSizesAreRefused)
{
    if (sanitized_malloc)
        GTEST_SKIP() << "the sanitizer ends the program instead";
    EXPECT_EQ(memory_alloc_zeroed(SIZE_MAX / 2, 16), nullptr);
    EXPECT_EQ(memory_alloc_zeroed(SIZE_MAX / 2, 16, 64), nullptr);
}

TEST(Memory, MachineHasSome)
{
    EXPECT_GT(total_memory_bytes(), 1u << 20);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
