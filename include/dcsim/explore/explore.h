// SPDX-License-Identifier: GPL-2.0-only
//
// Exploring from C++: a set-up, some tasks, and what must hold.
//
//     struct state { once<int> flag; } *shared;
//     dcsim::exploration program;
//     program.name = "message passing";
//     program.setup = [&] { shared = dcsim::make_shared_state<state>(); };
//     program.tasks = {{"writer", [&] { WRITE_ONCE(shared->flag, 1); }},
//                      {"reader", [&] { explore_check(READ_ONCE(shared->flag) < 2, "..."); }}};
//     dcsim::exploration_report report = dcsim::explore(program);
//
// Every execution starts from memory as the set-up left it. That covers what the set-up and the
// tasks allocate (kmalloc(), the caches, make_shared_state()) and the port's own static data; it
// does not cover variables of the program that explores, such as what the lambdas capture. Let them
// point to what the set-up allocated, and change nothing else.
#pragma once

#include <functional>
#include <new>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "dcsim/explore/search.h"
#include "dcsim/explore/trace.h"
#include "dcsim/prim/model/memory.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct exploration_task {
    std::string name;
    std::function<void()> body;
};

/// What is explored, and what is expected of it.
struct exploration {
    std::string name; ///< for reports and tokens
    /// Runs once, alone, before anything is explored.
    std::function<void()> setup;
    std::vector<exploration_task> tasks; ///< 1 to 13
    /// Looked at before every step, with nobody in the middle of one. Must not change anything.
    std::function<void()> invariant;
    /// A spinlock was released: what it guards is at rest. Must not change anything.
    void (*after_unlock)(const void *lock, const char *lock_class) = nullptr;
    /// Runs alone after the tasks, in every execution: checks, and frees what is to be freed.
    std::function<void()> finally;
    /// Whether a WARN with this text is expected.
    std::function<bool(const std::string &)> warning_expected;
    unsigned failing_allocations = 0; ///< how many the search may let fail in one execution
    unsigned reschedules = 0;         ///< times need_resched() may be true in one execution
    bool starvation = false; ///< a task may wait for a bit lock for ever while another retries
    /// Whatever the tasks allocate has to be freed when `finally` is through.
    bool check_leaks = true;
    /// The rule that is expected to break; nothing: none.
    std::optional<violation_kind> expected;
    search_options options = {};
};

struct exploration_report {
    search_result search;
    bool as_expected = false;
    std::string token;       ///< of a failing execution
    std::string lanes;       ///< what its tasks did
    std::string expectation; ///< what had been expected, in words
};

/// Searches as program.options say. One exploration at a time in a process.
exploration_report explore(const exploration &program);

struct replay_report {
    std::string problem; ///< with the token; "" when it could be used
    replay_result replay;
    dcsim::trace trace;
};

/// Carries out the schedule of a token again.
replay_report replay(const exploration &program, const std::string &token);

/// Breaks the execution off as a violation of what its author expects, unless `holds`.
inline void explore_check(bool holds, const char *rule)
{
    if (!holds)
        violate(violation_kind::expectation, "%s", rule);
}

/// An object that every execution finds as the set-up left it. For the set-up; value-initialised.
template <typename T>
T *make_shared_state()
{
    static_assert(std::is_trivially_destructible_v<T>,
                  "an execution that is broken off destroys nothing");
    return new (memory_alloc_zeroed(1, sizeof(T), alignof(T))) T();
}

} // namespace dcsim::inline DCSIM_BACKEND
