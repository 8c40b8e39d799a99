// SPDX-License-Identifier: GPL-2.0-only
//
// What the strategies promise, held against a search that leaves nothing out.
#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/kernel/rcupdate.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/kernel/spinlock.h"
#include "model_program.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Every interleaving, one after the other: the yardstick. Counts executions by preemptions.
class exhaustive final : public scheduler
{
  public:
    bool begin_execution() override
    {
        if (started_) {
            executions[preemptions_]++;
            while (!path_.empty() && path_.back().left.empty())
                path_.pop_back();
            if (path_.empty())
                return false;
            path_.back().chosen = path_.back().left.back();
            path_.back().left.pop_back();
        }
        started_ = true;
        at_ = 0;
        preemptions_ = 0;
        return true;
    }

    task_id choose_task(const choice &choice) override
    {
        std::vector<unsigned> answers;
        for (unsigned task = 0; task < max_tasks; task++)
            if (choice.enabled >> task & 1)
                answers.push_back(task);
        const auto next = static_cast<task_id>(answer(std::move(answers)));
        preemptions_ += choice.current_may_stay && next != choice.current;
        return next;
    }

    unsigned choose_value(unsigned count) override
    {
        std::vector<unsigned> answers;
        for (unsigned value = 0; value < count; value++)
            answers.push_back(value);
        return answer(std::move(answers));
    }

    /// Executions with so many preemptions.
    std::map<unsigned, uint64_t> executions;

    uint64_t all() const
    {
        uint64_t sum = 0;
        for (auto [preemptions, count] : executions)
            sum += count;
        return sum;
    }
    uint64_t with_up_to(unsigned preemptions) const
    {
        uint64_t sum = 0;
        for (auto [exactly, count] : executions)
            sum += exactly <= preemptions ? count : 0;
        return sum;
    }

  private:
    struct decision {
        unsigned chosen;
        std::vector<unsigned> left;
    };

    unsigned answer(std::vector<unsigned> answers)
    {
        if (at_ == path_.size()) {
            const unsigned first = answers.back();
            answers.pop_back();
            path_.push_back({first, std::move(answers)});
        }
        return path_[at_++].chosen;
    }

    bool started_ = false;
    std::vector<decision> path_;
    size_t at_ = 0;
    unsigned preemptions_ = 0;
};

/// Runs a program under a scheduler until it has enough, and returns how it ended each time.
std::map<execution_end, uint64_t> run_all(const model_program &program, scheduler &scheduler)
{
    const loaded running(program);
    std::map<execution_end, uint64_t> ends;

    while (scheduler.begin_execution())
        ends[engine_run(scheduler, {}, nullptr)]++;
    return ends;
}

/// The same for so many executions, with what was chosen in each.
std::vector<schedule_record> some_schedules(const model_program &program,
                                            search_scheduler &scheduler, int executions)
{
    const loaded running(program);
    std::vector<schedule_record> schedules;

    for (int i = 0; i < executions && scheduler.begin_execution(); i++) {
        engine_run(scheduler, {}, nullptr);
        scheduler.execution_ended(execution().step);
        schedules.push_back(last_schedule());
    }
    return schedules;
}

struct fields {
    spinlock_t lock;
    once<int> field[3];
};

/// Two tasks of so many steps, the first of which is their start.
toy<fields> two_of(int steps)
{
    toy<fields> program;

    for (const char *name : {"A", "B"})
        program.task(name, [steps](fields &s) {
            for (int i = 1; i < steps; i++)
                WRITE_ONCE(s.field[0], i);
        });
    return program;
}

uint64_t over(uint64_t n, uint64_t k)
{
    uint64_t result = 1;

    for (uint64_t i = 1; i <= k; i++)
        result = result * (n + 1 - i) / i;
    return k > n ? 0 : result;
}

/// Interleavings of two tasks of n steps with exactly so many preemptions: two blocks more than
/// that, taken in turn, and either task may begin.
uint64_t interleavings(uint64_t n, uint64_t preemptions)
{
    const uint64_t blocks = preemptions + 2;

    return 2 * over(n - 1, (blocks + 1) / 2 - 1) * over(n - 1, blocks / 2 - 1);
}

// --- The yardstick itself ---

TEST(Exhaustive, CountsWhatTheFormulaSays)
{
    for (int steps : {2, 3, 5}) {
        exhaustive all;
        run_all(two_of(steps).program, all);
        const auto n = static_cast<uint64_t>(steps);
        EXPECT_EQ(all.all(), over(2 * n, n));
        for (unsigned preemptions = 0; preemptions < 4; preemptions++)
            EXPECT_EQ(all.executions[preemptions], interleavings(n, preemptions));
    }
}

// --- Preemption bounding ---

TEST(Bounded, TriesEveryExecutionOfEachBoundOnce)
{
    for (int steps : {2, 4, 7}) {
        toy<fields> program = two_of(steps);
        const auto n = static_cast<uint64_t>(steps);
        uint64_t so_far = 0;
        uint64_t expected = 0;
        for (unsigned bound = 0; bound < 4; bound++) {
            so_far += interleavings(n, bound);
            expected += so_far;
            EXPECT_EQ(program.search(bound).executions, expected) << steps << " at " << bound;
        }
    }
}

TEST(Bounded, TriesThemWithLocksAndThreeTasks)
{
    toy<fields> program;
    exhaustive all;

    program.setup([](fields &s) { spin_lock_init(&s.lock, "lock"); });
    for (const char *name : {"A", "B", "C"})
        program.task(name, [](fields &s) {
            spin_lock(&s.lock);
            WRITE_ONCE(s.field[0], 1);
            spin_unlock(&s.lock);
        });
    run_all(program.program, all);

    EXPECT_EQ(program.search(0).executions, all.with_up_to(0));
    EXPECT_EQ(program.search(1).executions, all.with_up_to(0) + all.with_up_to(1));
    EXPECT_EQ(program.search(2).executions,
              all.with_up_to(0) + all.with_up_to(1) + all.with_up_to(2));
}

TEST(Bounded, WithoutPreemptionEachRunsUntilItHasToWait)
{
    toy<fields> program;
    std::set<std::vector<task_id>> orders;

    program.task("A", [](fields &s) {
        WRITE_ONCE(s.field[0], 1);
        smp_cond_load_acquire(&s.field[1], [](int value) { return value == 1; });
        WRITE_ONCE(s.field[0], 2);
    });
    program.task("B", [](fields &s) {
        smp_cond_load_acquire(&s.field[0], [](int value) { return value >= 1; });
        WRITE_ONCE(s.field[1], 1);
    });

    const auto search = make_preemption_bounding(0);
    for (const schedule_record &one : some_schedules(program.program, *search, 100)) {
        std::vector<task_id> order;
        for (const schedule_segment &segment : one.segments)
            order.push_back(segment.task);
        orders.insert(order);
    }
    EXPECT_THAT(orders, ElementsAre(ElementsAre(0, 1, 0), ElementsAre(1, 0, 1, 0)));
}

TEST(Bounded, SaysWhatItCovered)
{
    toy<fields> program = two_of(3);

    EXPECT_EQ(program.search(0).covered, "every interleaving with up to 0 preemptions");
    EXPECT_EQ(program.search(1).covered, "every interleaving with up to 1 preemption");
    EXPECT_EQ(program.search(2).covered, "every interleaving with up to 2 preemptions");
    const search_result all = program.search(100);
    EXPECT_EQ(all.covered, "every interleaving");
    EXPECT_THAT(all, Holds());
    EXPECT_THAT(program.search(strategy::depth_first).covered, HasSubstr("every interleaving"));
}

/// B reads this sequence from what A writes, which takes so many preemptions.
void expect_found_at(unsigned preemptions, const std::vector<int> &sequence)
{
    toy<fields> program;

    program.setup([](fields &s) { WRITE_ONCE(s.field[0], 9); });
    program.task("A", [](fields &s) {
        for (int value : {0, 1, 0, 2, 0})
            WRITE_ONCE(s.field[0], value);
    });
    program.task("B", [&sequence](fields &s) {
        bool all = true;
        for (int value : sequence)
            all &= READ_ONCE(s.field[0]) == value;
        require(!all, "the sequence was seen");
    });

    const search_result below = program.search(preemptions - 1);
    EXPECT_THAT(below, Holds());
    const search_result found = program.search(preemptions);
    EXPECT_THAT(found, Breaks(violation_kind::expectation));
    EXPECT_EQ(found.preemptions, preemptions);
    EXPECT_EQ(found.found_preemptions, preemptions);
    EXPECT_GT(found.executions, below.executions);
    // No bound, but the same bug.
    EXPECT_THAT(program.search(strategy::depth_first), Breaks(violation_kind::expectation));
}

TEST(Bounded, FindsABugAtTheBoundItNeedsAndNotBefore)
{
    expect_found_at(1, {1});
    expect_found_at(2, {9, 1});
    expect_found_at(3, {1, 2});
    expect_found_at(4, {9, 1, 2});
}

// --- Depth first, held against the yardstick ---

/// What came out of every execution under a scheduler: the texts its clean-up noted, and the rules
/// that were broken.
template <typename State>
std::set<std::string> outcomes_of(toy<State> &program, scheduler &scheduler,
                                  std::string (*text_of)(const State &), uint64_t *executions)
{
    std::set<std::string> outcomes;

    program.finally([&outcomes, text_of](State &s) { outcomes.insert(text_of(s)); });
    const loaded running(program.program);
    for (*executions = 0; scheduler.begin_execution(); ++*executions)
        if (engine_run(scheduler, {}, nullptr) == execution_end::violated)
            outcomes.insert(violation_name(last_violation().kind));
    return outcomes;
}

struct comparison {
    uint64_t all = 0;
    uint64_t reduced = 0;
    size_t outcomes = 0;
    size_t programs = 1;
};

/// Depth first must come to everything that can come out, and with fewer executions.
template <typename State>
comparison compare_with_all(toy<State> &program, std::string (*text_of)(const State &))
{
    comparison compared;
    exhaustive all;
    const auto depth_first = make_depth_first();
    const auto expected = outcomes_of(program, all, text_of, &compared.all);
    const auto found = outcomes_of(program, *depth_first, text_of, &compared.reduced);

    EXPECT_EQ(found, expected);
    EXPECT_LE(compared.reduced, compared.all);
    compared.outcomes = expected.size();
    return compared;
}

constexpr int most_instructions = 4;
constexpr int most_tasks = 3;

struct random_state {
    struct callback {
        rcu_head head;
        random_state *owner;
    };

    spinlock_t lock;
    once<int> field[2];
    once<int> reclaimed;
    once<int *> published;
    callback callbacks[most_tasks];
    int seen[most_tasks][most_instructions]; ///< each by its task alone
};

std::string text_of(const random_state &s)
{
    std::string text = std::to_string(READ_ONCE(s.field[0])) + " " +
                       std::to_string(READ_ONCE(s.field[1])) + ", seen";

    for (const auto &task : s.seen)
        for (int seen : task)
            text += " " + std::to_string(seen);
    return text;
}

/// What a task of a random program does.
using instruction = int (*)(random_state &s, int task);

constexpr instruction plain_instructions[] = {
    [](random_state &s, int) { return READ_ONCE(s.field[0]); },
    [](random_state &s, int) { return READ_ONCE(s.field[1]); },
    [](random_state &s, int task) { return s.field[0] += task + 1; },
    [](random_state &s, int task) { return xchg(&s.field[1], task + 1); },
    [](random_state &s, int task) {
        WRITE_ONCE(s.field[0], task + 1);
        return 0;
    },
    [](random_state &s, int task) {
        WRITE_ONCE(s.field[1], task + 1);
        return 0;
    },
};

constexpr instruction locking_instructions[] = {
    [](random_state &s, int task) {
        spin_lock(&s.lock);
        const int seen = s.field[0] += task + 1;
        spin_unlock(&s.lock);
        return seen;
    },
    [](random_state &s, int) {
        if (!spin_trylock(&s.lock))
            return -1;
        const int seen = READ_ONCE(s.field[1]);
        spin_unlock(&s.lock);
        return seen;
    },
    [](random_state &s, int) { return READ_ONCE(s.field[0]); },
    [](random_state &s, int task) { return xchg(&s.field[1], task + 1); },
};

constexpr instruction rcu_instructions[] = {
    [](random_state &s, int) {
        rcu_read_lock();
        const int seen = READ_ONCE(s.reclaimed) * 10 + READ_ONCE(s.reclaimed);
        rcu_read_unlock();
        return seen;
    },
    [](random_state &s, int task) {
        WRITE_ONCE(s.field[0], task + 1);
        synchronize_rcu();
        return add_return(&s.reclaimed, 1);
    },
    [](random_state &s, int task) {
        if (s.callbacks[task].owner)
            return -1;
        s.callbacks[task].owner = &s;
        call_rcu(&s.callbacks[task].head, [](rcu_head *head) {
            add_return(&container_of(head, random_state::callback, head)->owner->reclaimed, 1);
        });
        return 0;
    },
    [](random_state &s, int) { return READ_ONCE(s.field[0]); },
};

constexpr instruction memory_instructions[] = {
    [](random_state &s, int) {
        rcu_read_lock();
        int *seen = READ_ONCE(s.published);
        const int value = seen ? READ_ONCE(reinterpret_cast<once<int> *>(seen)[5]) : -1;
        rcu_read_unlock();
        return value;
    },
    [](random_state &s, int) {
        int *mine = xchg(&s.published, nullptr);
        kfree(mine);
        return mine ? 1 : 0;
    },
    [](random_state &s, int) {
        int *mine = xchg(&s.published, nullptr);
        synchronize_rcu();
        kfree(mine);
        return mine ? 1 : 0;
    },
    [](random_state &s, int task) {
        int *made = static_cast<int *>(kmalloc(32));
        if (!made)
            return -1;
        made[5] = task + 1;
        kfree(xchg(&s.published, made));
        return 1;
    },
};

/// Where a change of task is one of OS threads, a tenth of the programs has to do.
constexpr int slowness = default_carrier == carrier_kind::fibers ? 1 : 10;

/// Compares a number of programs put together at random.
template <size_t Count>
comparison compare_random(const instruction (&instructions)[Count], int programs, int tasks,
                          int length, unsigned faults = 0)
{
    xorshift random(static_cast<uint64_t>(tasks));
    comparison sum = {.programs = 0};

    for (int n = 0; n * slowness < programs; n++) {
        toy<random_state> program;

        program.program.faults = faults;
        program.setup([](random_state &s) { spin_lock_init(&s.lock, "lock"); });
        for (int task = 0; task < tasks; task++) {
            std::vector<instruction> code;
            for (int i = 0; i < length; i++)
                code.push_back(instructions[random.below(Count)]);
            program.task(std::string(1, static_cast<char>('A' + task)),
                         [code, task](random_state &s) {
                             for (size_t i = 0; i < code.size(); i++)
                                 s.seen[task][i] = code[i](s, task);
                         });
        }
        const comparison one = compare_with_all<random_state>(program, text_of);
        sum.all += one.all;
        sum.reduced += one.reduced;
        sum.outcomes += one.outcomes;
        sum.programs++;
        if (::testing::Test::HasFailure())
            break;
    }
    return sum;
}

TEST(DepthFirst, FindsAllThatCanComeOutOfSharedFields)
{
    const comparison two = compare_random(plain_instructions, 100, 2, 3);
    const comparison three = compare_random(plain_instructions, 5, 3, 2);

    EXPECT_GT(two.outcomes, 2 * two.programs);
    EXPECT_LT(two.reduced * 2, two.all);
    EXPECT_LT(three.reduced * 4, three.all);
}

TEST(DepthFirst, FindsAllThatCanComeOutOfLocks)
{
    const comparison two = compare_random(locking_instructions, 100, 2, 2);
    const comparison three = compare_random(locking_instructions, 10, 3, 1);

    EXPECT_GT(two.outcomes, 3 * two.programs / 2);
    EXPECT_LT(two.reduced, two.all);
    EXPECT_LT(three.reduced * 2, three.all);
}

TEST(DepthFirst, FindsAllThatCanComeOutOfRcu)
{
    const comparison two = compare_random(rcu_instructions, 60, 2, 2);
    const comparison three = compare_random(rcu_instructions, 6, 3, 1);

    EXPECT_GT(two.outcomes, 2 * two.programs);
    EXPECT_LT(two.reduced * 2, two.all);
    EXPECT_LT(three.reduced * 2, three.all);
}

// What is freed, and used in the middle; that an allocation may fail.
TEST(DepthFirst, FindsAllThatCanComeOutOfMemory)
{
    const comparison two = compare_random(memory_instructions, 60, 2, 2);
    const comparison failing = compare_random(memory_instructions, 60, 2, 2, 1);

    EXPECT_GT(two.outcomes, 2 * two.programs);
    EXPECT_LT(two.reduced * 2, two.all);
    EXPECT_GT(failing.outcomes, two.outcomes);
}

// What a step touches may depend on the answer to a choice in it.
TEST(DepthFirst, FindsAllThatCanComeOutOfAFailureThatTouchesMore)
{
    toy<random_state> program;

    program.program.faults = 1;
    program.task("A", [](random_state &s) {
        void *memory = kmalloc(8);
        if (!memory)
            WRITE_LOCKED(s.field[0], 1);
        s.seen[0][0] = memory != nullptr;
        kfree(memory);
    });
    program.task("B", [](random_state &s) { s.seen[1][0] = READ_ONCE(s.field[0]); });

    EXPECT_EQ(compare_with_all<random_state>(program, text_of).outcomes, 3u);
}

struct sleepers {
    once<task_struct *> task;
    once<int> flag;
    once<int> seen;
};

TEST(DepthFirst, FindsAllThatCanComeOutOfSleeping)
{
    toy<sleepers> program;

    program.task("A", [](sleepers &s) {
        WRITE_ONCE(s.task, get_current());
        if (!READ_ONCE(s.flag)) {
            // Tests before it says that it sleeps: wrong, so that a wake-up can be lost.
            set_current_state(TASK_UNINTERRUPTIBLE);
            schedule();
        }
        WRITE_ONCE(s.seen, READ_ONCE(s.flag));
    });
    program.task("B", [](sleepers &s) {
        WRITE_ONCE(s.flag, 1);
        if (task_struct *task = READ_ONCE(s.task))
            wake_up_process(task);
        WRITE_ONCE(s.flag, 2);
    });

    const comparison compared = compare_with_all<sleepers>(
        program, [](const sleepers &s) { return std::to_string(READ_ONCE(s.seen)); });
    EXPECT_EQ(compared.outcomes, 3u);
    EXPECT_LT(compared.reduced, compared.all);
}

TEST(DepthFirst, OneExecutionOfTasksThatShareNothing)
{
    toy<fields> program;

    for (int task = 0; task < 3; task++)
        program.task(std::string(1, static_cast<char>('A' + task)), [task](fields &s) {
            for (int i = 0; i < 5; i++)
                ++s.field[task];
        });

    const search_result found = program.search(strategy::depth_first);
    EXPECT_THAT(found, Holds());
    EXPECT_EQ(found.executions - found.given_up, 1u);
}

// --- Sampling ---

using make_sampler = std::unique_ptr<search_scheduler> (*)(uint64_t seed);

class Sampling : public ::testing::TestWithParam<make_sampler>
{
};

TEST_P(Sampling, SameSeedSameSchedules)
{
    const toy<fields> program = two_of(6);

    EXPECT_EQ(some_schedules(program.program, *GetParam()(7), 50),
              some_schedules(program.program, *GetParam()(7), 50));
}

TEST_P(Sampling, OtherSeedOtherSchedules)
{
    const toy<fields> program = two_of(6);

    EXPECT_NE(some_schedules(program.program, *GetParam()(7), 50),
              some_schedules(program.program, *GetParam()(8), 50));
}

TEST_P(Sampling, EveryOrderOfTwoTasksComesUp)
{
    const toy<fields> program = two_of(2);
    std::set<std::string> orders;

    for (const schedule_record &one : some_schedules(program.program, *GetParam()(1), 5000)) {
        std::string order;
        for (const schedule_segment &segment : one.segments)
            order += static_cast<char>('A' + segment.task) + std::to_string(segment.steps);
        orders.insert(order);
    }
    EXPECT_EQ(orders.size(), 6u);
}

constexpr make_sampler samplers[] = {
    [](uint64_t seed) { return make_uniform(seed); },
    [](uint64_t seed) { return make_pct(seed, 0); },
    [](uint64_t seed) { return make_pct(seed, 3); },
};

std::string sampler_name(const ::testing::TestParamInfo<make_sampler> &info)
{
    constexpr const char *names[] = {"Uniform", "Pct", "PctOfDepth3"};

    return names[info.index];
}

INSTANTIATE_TEST_SUITE_P(Strategies, Sampling, ::testing::ValuesIn(samplers), sampler_name);

TEST(Uniform, EveryEnabledTaskIsAsLikely)
{
    const toy<fields> program = two_of(2);
    std::map<size_t, int> turns;

    // A coin is thrown while both are there: AABB after two throws, ABBA and ABAB after three.
    for (const auto &one : some_schedules(program.program, *make_uniform(1), 4000))
        turns[one.segments.size()]++;
    EXPECT_NEAR(turns[2], 2000, 150);
    EXPECT_NEAR(turns[3], 1000, 150);
    EXPECT_NEAR(turns[4], 1000, 150);
}

TEST(Uniform, TurnsEndAtEveryStepAsLikely)
{
    const toy<fields> program = two_of(50);
    std::map<uint32_t, int> turns;

    for (const auto &one : some_schedules(program.program, *make_uniform(1), 4000))
        for (size_t i = 0; i < 4; i++)
            turns[one.segments[i].steps]++;
    EXPECT_NEAR(turns[1], 8000, 400);
    EXPECT_NEAR(turns[2], 4000, 300);
    EXPECT_NEAR(turns[3], 2000, 200);
}

TEST(Uniform, EveryOneOfThreeIsAsLikely)
{
    toy<fields> program;
    std::map<task_id, int> first;
    int preempted = 0;

    for (const char *name : {"A", "B", "C"})
        program.task(name, [](fields &s) {
            for (int i = 1; i < 20; i++)
                WRITE_ONCE(s.field[0], i);
        });
    for (const auto &one : some_schedules(program.program, *make_uniform(1), 3000)) {
        first[one.segments[0].task]++;
        preempted += one.segments[0].steps == 1;
    }
    for (task_id task = 0; task < 3; task++)
        EXPECT_NEAR(first[task], 1000, 120);
    EXPECT_NEAR(preempted, 2000, 120);
}

TEST(Pct, DepthBoundsThePreemptions)
{
    const toy<fields> program = two_of(8);

    for (unsigned depth = 1; depth <= 4; depth++) {
        const auto schedules = some_schedules(program.program, *make_pct(1, depth), 300);
        const loaded running(program.program);
        unsigned most = 0;
        for (const schedule_record &one : schedules)
            most = std::max(most, count_preemptions(one, {}));
        EXPECT_EQ(most, depth - 1);
    }
}

/// Asks the same strategy at every step: takes none of its promises to stay with a task.
class without_promises final : public search_scheduler
{
  public:
    explicit without_promises(std::unique_ptr<search_scheduler> asked) : asked_(std::move(asked)) {}

    bool begin_execution() override
    {
        return asked_->begin_execution();
    }
    task_id choose_task(const choice &choice) override
    {
        questions++;
        return asked_->choose_task(choice);
    }
    unsigned choose_value(unsigned count) override
    {
        return asked_->choose_value(count);
    }
    void execution_ended(uint32_t steps) override
    {
        asked_->execution_ended(steps);
    }

    uint64_t questions = 0;

  private:
    std::unique_ptr<search_scheduler> asked_;
};

/// Tasks that wait for each other, for a lock and for RCU, and one that retries.
toy<fields> four_that_wait()
{
    toy<fields> program;
    const auto count = [](fields &s) {
        spin_lock(&s.lock);
        ++s.field[0];
        spin_unlock(&s.lock);
        WRITE_ONCE(s.field[1], 1);
    };

    program.setup([](fields &s) { spin_lock_init(&s.lock, "lock"); });
    program.task("A", count);
    program.task("B", count);
    program.task("C", [](fields &s) {
        auto *head = static_cast<rcu_head *>(kmalloc(sizeof(rcu_head)));
        call_rcu(head, [](rcu_head *queued) { kfree(queued); });
        while (READ_ONCE(s.field[0]) < 2)
            cpu_relax();
        synchronize_rcu();
    });
    program.task("D", [](fields &s) {
        rcu_read_lock();
        (void)READ_ONCE(s.field[0]);
        rcu_read_unlock();
        smp_cond_load_acquire(&s.field[1], [](int value) { return value == 1; });
    });
    return program;
}

TEST(Promise, ChangesNoSchedule)
{
    const toy<fields> program = four_that_wait();

    for (const auto make : {+[] { return make_uniform(1); }, +[] { return make_pct(1, 0); },
                            +[] { return make_preemption_bounding(2); }}) {
        without_promises asked(make());
        EXPECT_EQ(some_schedules(program.program, *make(), 1000),
                  some_schedules(program.program, asked, 1000));
        EXPECT_GT(asked.questions, 5000u);
    }
}

TEST(RoundRobin, TurnsGetLonger)
{
    const toy<fields> program = two_of(4);
    const auto schedules = some_schedules(program.program, *make_round_robin(100), 4);
    using segments = std::vector<schedule_segment>;

    ASSERT_EQ(schedules.size(), 4u);
    EXPECT_EQ(schedules[0].segments,
              (segments{{0, 1}, {1, 1}, {0, 1}, {1, 1}, {0, 1}, {1, 1}, {0, 1}, {1, 1}}));
    EXPECT_EQ(schedules[1].segments, (segments{{0, 2}, {1, 2}, {0, 2}, {1, 2}}));
    EXPECT_EQ(schedules[2].segments, (segments{{0, 3}, {1, 3}, {0, 1}, {1, 1}}));
    EXPECT_EQ(schedules[3].segments, (segments{{0, 4}, {1, 4}}));
}

TEST(Strategy, HasAName)
{
    for (strategy each : {strategy::round_robin, strategy::uniform, strategy::pct,
                          strategy::preemption_bounding, strategy::depth_first}) {
        strategy found = {};
        EXPECT_TRUE(strategy_by_name(strategy_name(each), &found));
        EXPECT_EQ(found, each);
    }
    strategy untouched = strategy::pct;
    EXPECT_FALSE(strategy_by_name("alphabetical", &untouched));
    EXPECT_EQ(untouched, strategy::pct);
}

// --- When to stop ---

TEST(Search, IsInconclusiveWhenALimitEndsIt)
{
    toy<fields> program = two_of(6);

    EXPECT_EQ(program.search(strategy::uniform, 10).outcome, verdict::inconclusive);
    EXPECT_EQ(program.search(strategy::uniform, 10).executions, 10u);
    const search_result cut = program.search(strategy::preemption_bounding, 10);
    EXPECT_EQ(cut.outcome, verdict::inconclusive);
    EXPECT_EQ(cut.executions, 10u);
    // The bounds that were done are known all the same.
    EXPECT_EQ(cut.covered, "every interleaving with up to 0 preemptions");
    EXPECT_EQ(program.search(strategy::depth_first, 10).outcome, verdict::inconclusive);
    // Sampling has no end of its own.
    EXPECT_EQ(program.search(strategy::round_robin).outcome, verdict::inconclusive);
}

TEST(Search, IsInconclusiveWhenTimeIsUp)
{
    toy<fields> program = two_of(6);

    program.options.seconds = 0.01;
    EXPECT_EQ(program.search(strategy::uniform).outcome, verdict::inconclusive);
}

TEST(Search, AsksWhetherToGoOn)
{
    toy<fields> program = two_of(10);
    int asked = 0;

    program.options.progress = [&asked](uint64_t executions, double, int bound) {
        EXPECT_GT(executions, 0u);
        EXPECT_GE(bound, 0);
        return ++asked < 3;
    };
    EXPECT_EQ(program.search(100).outcome, verdict::inconclusive);
    EXPECT_EQ(asked, 3);
}

TEST(Search, CountsStepsOfTheWholeAndOfTheLongest)
{
    toy<fields> program = two_of(4);
    const search_result found = program.search(1);

    EXPECT_EQ(found.longest, 8u);
    EXPECT_EQ(found.steps, 8 * found.executions);
    EXPECT_EQ(found.given_up, 0u);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
