// SPDX-License-Identifier: GPL-2.0-only
//
// A schedule says all: carried out again it does the same, step for step, on either carrier; and it
// can be made simpler for as long as it fails in the same way.
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/explore/token.h"
#include "dcsim/explore/trace.h"
#include "dcsim/kernel/completion.h"
#include "dcsim/kernel/rcupdate.h"
#include "dcsim/kernel/rwsem.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/kernel/spinlock.h"
#include "model_program.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::ElementsAre;
using ::testing::Not;
using ::testing::SizeIs;

struct busy {
    spinlock_t lock;
    rw_semaphore sem;
    completion done;
    once<int> counter;
    once<int> private_counter[3];
    once<int *> published;
    rcu_head head;
};

/// A bit of everything: locks, sleeping, RCU, memory. Nothing of it on a stack.
toy<busy> busy_program()
{
    toy<busy> program;

    program.setup([](busy &s) {
        spin_lock_init(&s.lock, "lock");
        init_rwsem(&s.sem, "sem");
        init_completion(&s.done);
    });
    program.task("A", [](busy &s) {
        spin_lock(&s.lock);
        ++s.counter;
        spin_unlock(&s.lock);
        complete(&s.done);
        down_read(&s.sem);
        kfree(xchg(&s.published, nullptr));
        up_read(&s.sem);
    });
    program.task("B", [](busy &s) {
        wait_for_completion(&s.done);
        call_rcu(&s.head,
                 [](rcu_head *head) { add_return(&container_of(head, busy, head)->counter, 1); });
        down_write(&s.sem);
        up_write(&s.sem);
    });
    program.task("C", [](busy &s) {
        rcu_read_lock();
        (void)READ_ONCE(s.counter);
        rcu_read_unlock();
        kfree(xchg(&s.published, static_cast<int *>(kmalloc(16))));
        cpu_relax();
    });
    return program;
}

/// A task of waiting entries and states lives on its stack or in its control block.
bool on_a_stack(const void *address)
{
    return in_arena(address) && arena_owner(address) < max_tasks &&
           in_stack_of(arena_owner(address), address);
}

std::vector<step_seen> steps_of(const schedule_record &schedule, execution_end expected)
{
    step_log log;
    const replay_result followed = replay_schedule(schedule, true, {}, &log);

    EXPECT_FALSE(followed.diverged) << "at step " << followed.diverged_at;
    EXPECT_EQ(followed.end, expected);
    EXPECT_EQ(followed.schedule, schedule);
    // OS threads have their own things at the top of a stack: what is on it lies elsewhere.
    for (step_seen &step : log.steps)
        if (on_a_stack(step.address))
            step.address = nullptr;
    return log.steps;
}

/// Schedules of some executions, and how these ended.
std::vector<std::pair<schedule_record, execution_end>> sample(const model_program &program,
                                                              int executions)
{
    const loaded running(program);
    const auto scheduler = make_uniform(5);
    std::vector<std::pair<schedule_record, execution_end>> samples;

    for (int i = 0; i < executions && scheduler->begin_execution(); i++) {
        const execution_end end = engine_run(*scheduler, {}, nullptr);
        samples.emplace_back(last_schedule(), end);
    }
    return samples;
}

// --- Determinism ---

TEST(Determinism, SearchesFindTheSameTwice)
{
    for (strategy how : {strategy::preemption_bounding, strategy::depth_first, strategy::pct}) {
        toy<busy> program = busy_program();
        program.finally([](busy &s) { require(READ_ONCE(s.counter) == 3, "never so"); });
        const search_result once_found = program.search(how, 1000);
        const search_result found_again = program.search(how, 1000);

        EXPECT_EQ(once_found.schedule, found_again.schedule);
        EXPECT_EQ(once_found.executions, found_again.executions);
        EXPECT_EQ(once_found.steps, found_again.steps);
        EXPECT_STREQ(once_found.broken.text, found_again.broken.text);
    }
}

TEST(Determinism, ScheduleGivesTheSameStepsOnBothCarriers)
{
    toy<busy> program = busy_program();
    program.program.faults = 1;
    const auto samples = sample(program.program, 25);
    std::vector<std::vector<step_seen>> steps[2];

    for (carrier_kind carrier : {carrier_kind::fibers, carrier_kind::threads}) {
        // AddressSanitizer does not follow fibers: there the same carrier twice has to do.
        const loaded running(program.program,
                             carrier == carrier_kind::fibers ? default_carrier : carrier);
        for (const auto &[schedule, end] : samples)
            steps[carrier == carrier_kind::threads].push_back(steps_of(schedule, end));
    }
    ASSERT_THAT(steps[0], SizeIs(25));
    EXPECT_THAT(steps[0], Not(::testing::Contains(SizeIs(0))));
    EXPECT_EQ(steps[0], steps[1]);
}

TEST(Determinism, SearchOnThreadsFindsWhatSearchOnFibersFinds)
{
    toy<busy> program = busy_program();
    program.finally([](busy &s) { require(READ_ONCE(s.counter) == 3, "never so"); });
    program.options.carrier = default_carrier;
    const search_result on_fibers = program.search(1);
    program.options.carrier = carrier_kind::threads;
    const search_result on_threads = program.search(1);

    EXPECT_EQ(on_fibers.schedule, on_threads.schedule);
    EXPECT_EQ(on_fibers.executions, on_threads.executions);
    EXPECT_STREQ(on_fibers.broken.text, on_threads.broken.text);
}

struct letters {
    once<int> word;
    once<int> sum;
};

/// B loses what A adds, when it comes in between.
toy<letters> losing_program()
{
    toy<letters> program;

    for (const char *name : {"A", "B"})
        program.task(name, [](letters &s) {
            for (int i = 0; i < 4; i++)
                ++s.word;
        });
    program.finally([](letters &s) { require(READ_ONCE(s.word) == 8, "lost update"); });
    return program;
}

TEST(Determinism, WhatAnExecutionLeftBehindIsGoneInTheNext)
{
    toy<letters> program;
    int executions = 0;

    program.task("A", [](letters &s) {
        require(READ_ONCE(s.word) == 0, "left from the execution before");
        WRITE_ONCE(s.word, 1);
        WRITE_ONCE(*static_cast<once<int> *>(kmalloc(16)), 7);
    });
    program.task("B", [](letters &s) { add_return(&s.sum, 1); });
    program.finally([&executions](letters &s) {
        require(READ_ONCE(s.sum) == 1, "left from the execution before");
        executions++;
    });

    EXPECT_THAT(program.search(2), Holds());
    EXPECT_GT(executions, 5);
}

// --- Replay ---

TEST(Replay, TokenOfAFailureFailsAgain)
{
    toy<letters> program = losing_program();
    const search_result found = program.search(1);
    ASSERT_THAT(found, Breaks(violation_kind::expectation));
    const std::string text = format_token({1, found.schedule}, 2);
    schedule_token token;
    ASSERT_EQ(parse_token(text, 2, &token), "");

    const loaded running(program.program);
    const replay_result again = replay_schedule(token.schedule, true, {}, nullptr);
    EXPECT_FALSE(again.diverged);
    EXPECT_EQ(again.end, execution_end::violated);
    EXPECT_EQ(again.broken.kind, violation_kind::expectation);
    EXPECT_EQ(again.preemptions, 1u);
    EXPECT_EQ(again.schedule, found.schedule);
}

class InfeasibleSchedule : public ::testing::Test
{
  protected:
    InfeasibleSchedule() : program_(losing_program()), running_(program_.program) {}

    replay_result follow(std::vector<schedule_segment> segments, bool strict = true,
                         std::vector<uint8_t> values = {})
    {
        return replay_schedule({std::move(segments), std::move(values)}, strict, {}, nullptr);
    }

    toy<letters> program_;
    loaded running_;
};

// Each task has 9 steps: its start, and 4 times a load and a store.
TEST_F(InfeasibleSchedule, ThatFitsDoesNotDiverge)
{
    const replay_result followed = follow({{0, 9}, {1, 9}});

    EXPECT_FALSE(followed.diverged);
    EXPECT_EQ(followed.steps, 18u);
    EXPECT_EQ(followed.end, execution_end::finished);
}

TEST_F(InfeasibleSchedule, NamesATaskThatIsNotThere)
{
    const replay_result followed = follow({{0, 3}, {2, 1}});

    EXPECT_TRUE(followed.diverged);
    EXPECT_EQ(followed.diverged_at, 3u);
    EXPECT_EQ(followed.end, execution_end::given_up);
}

TEST_F(InfeasibleSchedule, NamesATaskThatHasEnded)
{
    const replay_result followed = follow({{0, 10}, {1, 9}});

    EXPECT_TRUE(followed.diverged);
    EXPECT_EQ(followed.diverged_at, 9u);
}

TEST_F(InfeasibleSchedule, EndsTooSoon)
{
    const replay_result followed = follow({{0, 9}, {1, 4}});

    EXPECT_TRUE(followed.diverged);
}

TEST_F(InfeasibleSchedule, GoesOnAfterTheEnd)
{
    const replay_result followed = follow({{0, 9}, {1, 9}, {0, 1}});

    EXPECT_TRUE(followed.diverged);
}

TEST_F(InfeasibleSchedule, HasAnswersThatNobodyAskedFor)
{
    EXPECT_TRUE(follow({{0, 9}, {1, 9}}, true, {0, 1}).diverged);
}

TEST_F(InfeasibleSchedule, IsFollowedAsFarAsItGoesWhenThatWillDo)
{
    const replay_result followed = follow({{0, 2}, {2, 5}, {1, 100}, {0, 1}}, false);

    EXPECT_FALSE(followed.diverged);
    EXPECT_NE(followed.end, execution_end::given_up);
    EXPECT_THAT(
        followed.schedule.segments,
        ElementsAre(schedule_segment{0, 2}, schedule_segment{1, 9}, schedule_segment{0, 7}));
}

TEST_F(InfeasibleSchedule, PreemptionsAreCounted)
{
    // A is left with work to do, and so is B; then A has ended.
    EXPECT_EQ(follow({{0, 3}, {1, 3}, {0, 6}, {1, 6}}).preemptions, 2u);
    EXPECT_EQ(follow({{0, 9}, {1, 9}}).preemptions, 0u);
    EXPECT_EQ(count_preemptions({{{0, 3}, {1, 9}, {0, 6}}, {}}, {}), 1u);
}

// --- Traces ---

TEST(Trace, MarksAsManyPreemptionsAsThereAre)
{
    const toy<busy> program = busy_program();

    for (const auto &[schedule, end] : sample(program.program, 40)) {
        replay_result followed;
        const trace trace =
            record_trace(program.program, schedule, default_carrier, {}, nullptr, &followed);
        unsigned marked = 0;
        for (const trace_step &step : trace.steps)
            marked += step.preempted;
        EXPECT_EQ(marked, followed.preemptions) << format_token({0, schedule}, 3);
        EXPECT_EQ(trace.steps.size(), followed.steps);
    }
}

TEST(Trace, HasTheStepsInOrderWithTheirTasks)
{
    toy<letters> program = losing_program();
    replay_result followed;
    const trace trace = record_trace(program.program, {{{0, 2}, {1, 9}, {0, 7}}, {}},
                                     default_carrier, {}, nullptr, &followed);

    ASSERT_THAT(trace.steps, SizeIs(18));
    EXPECT_THAT(trace.task_names, ElementsAre("A", "B", "rcu"));
    EXPECT_TRUE(trace.violated);
    EXPECT_EQ(trace.broken.kind, violation_kind::expectation);
    for (size_t i = 0; i < trace.steps.size(); i++) {
        EXPECT_EQ(trace.steps[i].number, i + 1);
        EXPECT_EQ(trace.steps[i].task, i >= 2 && i < 11 ? 1 : 0);
        EXPECT_EQ(trace.steps[i].preempted, i == 2);
    }
    EXPECT_EQ(trace.steps[1].kind, operation::load);
    EXPECT_FALSE(trace.steps[1].writes);
    EXPECT_EQ(trace.steps[12].kind, operation::load);
    EXPECT_EQ(trace.steps[11].kind, operation::store);
    EXPECT_TRUE(trace.steps[11].writes);
}

TEST(Trace, ShowsValuesBeforeAndAfterAStep)
{
    toy<letters> program = losing_program();
    program.program.describe_value = [](void *, const void *address, char *text, size_t bytes) {
        snprintf(text, bytes, "%d", *static_cast<const int *>(address));
        return true;
    };
    replay_result followed;
    const trace trace = record_trace(program.program, {{{0, 9}, {1, 9}}, {}}, default_carrier, {},
                                     nullptr, &followed);

    ASSERT_THAT(trace.steps, SizeIs(18));
    EXPECT_EQ(trace.steps[2].before, "0");
    EXPECT_EQ(trace.steps[2].after, "1");
    EXPECT_EQ(trace.steps[17].before, "7");
    EXPECT_EQ(trace.steps[17].after, "8");
}

TEST(Trace, OfASetUpThatFailsHasNoSteps)
{
    toy<letters> program = losing_program();
    program.setup([](letters &) { require(false, "no"); });
    replay_result followed;
    const trace trace = record_trace(program.program, {}, default_carrier, {}, nullptr, &followed);

    EXPECT_TRUE(trace.violated);
    EXPECT_THAT(trace.steps, SizeIs(0));
}

// --- Shrinking ---

TEST(Shrink, LostUpdateOfASampledExecutionNeedsOnePreemption)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        toy<letters> program = losing_program();
        program.options.seed = seed;
        const search_result found = program.search(strategy::uniform, 1000);

        ASSERT_THAT(found, Breaks(violation_kind::expectation));
        EXPECT_EQ(found.preemptions, 1u) << "of " << found.found_preemptions;
        EXPECT_THAT(found.schedule.segments, SizeIs(3));
        EXPECT_GE(found.found_preemptions, found.preemptions);
        EXPECT_GT(found.shrink_executions, 0u);
    }
}

TEST(Shrink, ResultIsAScheduleThatCanBeFollowed)
{
    toy<letters> program = losing_program();
    const search_result found = program.search(strategy::uniform, 1000);
    const loaded running(program.program);
    const replay_result again = replay_schedule(found.schedule, true, {}, nullptr);

    EXPECT_FALSE(again.diverged);
    EXPECT_EQ(again.broken.kind, violation_kind::expectation);
    EXPECT_EQ(again.preemptions, found.preemptions);
}

TEST(Shrink, CanBeLeftOut)
{
    toy<letters> program = losing_program();
    program.options.shrink = false;
    const search_result found = program.search(strategy::uniform, 1000);

    EXPECT_EQ(found.preemptions, found.found_preemptions);
    EXPECT_EQ(found.shrink_executions, 0u);
}

struct two_ways {
    spinlock_t one;
    spinlock_t other;
    once<int> word;
};

// A program with two mistakes: the simpler one must not take the place of the one that was found.
TEST(Shrink, KindOfViolationStaysTheSame)
{
    int deadlocks = 0;

    for (uint64_t seed = 1; seed <= 40; seed++) {
        toy<two_ways> program;
        program.setup([](two_ways &s) {
            spin_lock_init(&s.one, "lock");
            spin_lock_init(&s.other, "lock");
        });
        for (int task = 0; task < 2; task++)
            program.task(task ? "B" : "A", [task](two_ways &s) {
                ++s.word;
                spinlock_t *outer = task ? &s.one : &s.other;
                spinlock_t *inner = task ? &s.other : &s.one;
                spin_lock(outer);
                spin_lock_nested(inner, 1);
                spin_unlock(inner);
                spin_unlock(outer);
            });
        program.finally([](two_ways &s) { require(READ_ONCE(s.word) == 2, "lost update"); });
        program.options.seed = seed;
        program.options.shrink = false;
        const violation_kind unshrunk = program.search(strategy::uniform, 1000).broken.kind;
        program.options.shrink = true;
        const search_result found = program.search(strategy::uniform, 1000);
        EXPECT_THAT(found, Breaks(unshrunk));
        EXPECT_EQ(found.preemptions, 1u);
        deadlocks += unshrunk == violation_kind::deadlock;
    }
    EXPECT_GT(deadlocks, 0);
    EXPECT_LT(deadlocks, 40);
}

TEST(Shrink, FaultsThatAreNotNeededGo)
{
    toy<letters> program;

    program.program.faults = 3;
    program.task("A", [](letters &s) {
        for (int i = 0; i < 6; i++) {
            void *memory = kmalloc(8);
            if (!memory && i == 4)
                WRITE_ONCE(s.word, 1);
            kfree(memory);
        }
    });
    program.finally([](letters &s) { require(READ_ONCE(s.word) == 0, "the fifth failed"); });
    program.options.seed = 3;
    const search_result found = program.search(strategy::uniform, 10000);

    ASSERT_THAT(found, Breaks(violation_kind::expectation));
    unsigned faults = 0;
    for (uint8_t value : found.schedule.values)
        faults += value;
    EXPECT_EQ(faults, 1u);
    EXPECT_EQ(found.schedule.values.at(4), 1);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
