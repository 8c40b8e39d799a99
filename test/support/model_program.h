// SPDX-License-Identifier: GPL-2.0-only
//
// Small programs for the model backend: tasks that share one State.
//
//     struct counter { once<int> value; };
//     toy<counter> program;
//     program.task("A", [](counter &s) { ++s.value; });
//     program.task("B", [](counter &s) { ++s.value; });
//     program.finally([](counter &s) { require(READ_ONCE(s.value) == 2, "lost update"); });
//     EXPECT_THAT(program.search(1), Breaks(violation_kind::expectation));
//
// The State lies in the arena, zeroed, so every execution starts from what the set-up made of it.
// Tasks run on fibers that may be dropped in the middle: they hold nothing that has a destructor
// and expect nothing by GoogleTest; what must hold is for require().
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/explore/search.h"
#include "dcsim/prim/model/port.h"
#include "dcsim/prim/prim.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// Breaks the execution off, as a violation of what its author expects, unless `holds`.
inline void require(bool holds, const char *what)
{
    if (!holds)
        violate(violation_kind::expectation, "%s", what);
}

template <typename State>
class toy
{
    static_assert(std::is_trivially_destructible_v<State>);

  public:
    using work = std::function<void(State &)>;

    toy() : parts_(std::make_unique<parts>())
    {
        program.argument = parts_.get();
        program.state = port_state().begin;
        program.state_bytes = port_state().bytes;
        program.setup = [](void *argument) { of(argument).begin(); };
        program.task = [](void *argument, unsigned task) {
            of(argument).tasks[task](*of(argument).state);
        };
        program.finally = [](void *argument) { of(argument).end(); };
    }

    void setup(work what)
    {
        parts_->setup = std::move(what);
    }
    void task(const std::string &name, work what)
    {
        program.task_names.push_back(name);
        parts_->tasks.push_back(std::move(what));
    }
    /// Runs alone after the tasks; callbacks of RCU have run, freed memory has been looked at.
    void finally(work what)
    {
        parts_->finally = std::move(what);
    }

    /// Every execution with up to so many preemptions.
    search_result search(unsigned preemptions)
    {
        options.how = strategy::preemption_bounding;
        options.preemptions = preemptions;
        return search_program(program, options);
    }
    search_result search(strategy how, uint64_t executions = 0)
    {
        options.how = how;
        options.executions = executions;
        return search_program(program, options);
    }

    State &state()
    {
        return *parts_->state;
    }

    model_program program;
    search_options options;

  private:
    struct parts {
        State *state = nullptr;
        work setup;
        std::vector<work> tasks;
        work finally;

        void begin()
        {
            state = static_cast<State *>(memory_alloc_zeroed(1, sizeof(State), alignof(State)));
            if (setup)
                setup(*state);
        }
        void end()
        {
            rcu_barrier();
            if (finally)
                finally(*state);
            arena_check_quarantine();
        }
    };

    static parts &of(void *argument)
    {
        return *static_cast<parts *>(argument);
    }

    std::unique_ptr<parts> parts_; ///< does not move when the toy does
};

/// One step, as far as it must be the same whenever a schedule is followed.
struct step_seen {
    task_id task;
    operation kind;
    const void *address;

    bool operator==(const step_seen &) const = default;
};

inline void PrintTo(const step_seen &step, std::ostream *out)
{
    *out << task_name(step.task) << " " << operation_name(step.kind) << " " << step.address;
}

/// Writes the steps of an execution down.
class step_log final : public step_observer
{
  public:
    void step(const task_control &task, uint32_t) override
    {
        steps.push_back({task.id, task.pending, task.pending_address});
    }
    void blocked(const task_control &) override {}
    void breaking(const task_control &) override {}
    void settled(const task_control &) override {}

    std::vector<step_seen> steps;
};

/// Loads a program for as long as the scope lasts.
class loaded
{
  public:
    explicit loaded(const model_program &program, carrier_kind carrier = default_carrier)
    {
        EXPECT_TRUE(engine_load(program, carrier)) << last_violation().text;
    }
    ~loaded()
    {
        engine_unload();
    }
    loaded(const loaded &) = delete;
    loaded &operator=(const loaded &) = delete;
};

/// How GoogleTest shows what came out of a search.
inline void PrintTo(const search_result &result, std::ostream *out)
{
    constexpr const char *outcomes[] = {"holds", "violated", "inconclusive"};

    *out << outcomes[static_cast<unsigned>(result.outcome)] << " after " << result.executions
         << " executions, with " << result.preemptions << " preemptions";
}

/// The search covered what it promises and found nothing.
MATCHER(Holds, "breaks no rule")
{
    *result_listener << violation_name(arg.broken.kind) << ": " << arg.broken.text;
    return arg.outcome == verdict::holds;
}

/// The search found this kind of violation.
MATCHER_P(Breaks, kind, std::string("breaks a rule: ") + violation_name(kind))
{
    *result_listener << violation_name(arg.broken.kind) << ": " << arg.broken.text;
    return arg.outcome == verdict::violated && arg.broken.kind == kind;
}

/// And says this about it.
MATCHER_P2(BreaksSaying, kind, text,
           std::string("breaks a rule: ") + violation_name(kind) + ", with the words " +
               std::string(text))
{
    *result_listener << violation_name(arg.broken.kind) << ": " << arg.broken.text;
    return arg.outcome == verdict::violated && arg.broken.kind == kind &&
           std::string(arg.broken.text).find(text) != std::string::npos;
}

} // namespace dcsim::inline DCSIM_BACKEND
