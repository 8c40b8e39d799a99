// SPDX-License-Identifier: GPL-2.0-only
//
// Searching a program for an execution that breaks a rule, and carrying out one again.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "dcsim/explore/strategies.h"
#include "dcsim/prim/model/engine.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// The memory model of every search so far; printed with what it proves.
inline constexpr const char *memory_model_name = "sequentially consistent";

struct search_options {
    strategy how = strategy::preemption_bounding;
    unsigned preemptions = 2; ///< largest bound of preemption bounding
    uint64_t executions = 0;  ///< stop after so many; 0: no limit
    double seconds = 0;       ///< stop after so long; 0: no limit
    uint64_t seed = 1;
    unsigned pct_depth = 0; ///< 0: drawn anew for each execution
    bool shrink = true;
    carrier_kind carrier = default_carrier;
    run_limits limits = {};
    /// Called some times a second while the search goes on; false ends it.
    std::function<bool(uint64_t executions, double seconds, int bound)> progress;
};

enum class verdict : uint8_t {
    holds,        ///< everything the strategy promises was covered, and no rule was broken
    violated,     ///< see `broken` and `schedule`
    inconclusive, ///< a limit ended the search first
};

struct search_result {
    verdict outcome = verdict::inconclusive;
    violation broken = {};
    bool in_setup = false;          ///< the rule was broken before anything was explored
    schedule_record schedule;       ///< of the failing execution, shrunk
    unsigned preemptions = 0;       ///< of that schedule
    unsigned found_preemptions = 0; ///< before shrinking
    uint64_t shrink_executions = 0;
    bool fewest_preemptions = false; ///< it is certain that there is no way with fewer
    std::string covered;             ///< what holds, in words
    uint64_t executions = 0;
    uint64_t steps = 0;
    uint32_t longest = 0;  ///< steps of the longest execution
    uint64_t given_up = 0; ///< executions that turned out to be covered by others
    double seconds = 0;
    uint64_t peak_memory_bytes = 0;
    uint64_t violating_executions = 0; ///< found, before shrinking

    double executions_per_second() const
    {
        return seconds > 0 ? static_cast<double>(executions) / seconds : 0;
    }
    double steps_per_second() const
    {
        return seconds > 0 ? static_cast<double>(steps) / seconds : 0;
    }
};

/// Searches until a rule is broken, everything is covered, or a limit is reached.
search_result search_program(const model_program &program, const search_options &options);

/// How a schedule was followed.
struct replay_result {
    bool diverged = false;
    uint32_t diverged_at = 0; ///< step at which the program did something else
    execution_end end = execution_end::finished;
    violation broken = {};
    unsigned preemptions = 0;
    uint32_t steps = 0;
    schedule_record schedule; ///< what was really done
};

/// Carries out one schedule of a loaded program, step for step. Where it cannot be followed, a
/// strict replay stops and says so; one that is not strict goes on with what is possible.
replay_result replay_schedule(const schedule_record &schedule, bool strict,
                              const run_limits &limits, step_observer *observer);

/// Makes a failing schedule of the loaded program simpler for as long as the same kind of violation
/// stays: fewer preemptions first, then fewer changes of task. Returns how many executions it took;
/// *fewest tells whether it is certain that no schedule does with fewer preemptions.
uint64_t shrink_schedule(schedule_record *schedule, violation_kind kind, const run_limits &limits,
                         bool *fewest = nullptr);

/// Preemptions of a schedule of the loaded program, found by carrying it out.
unsigned count_preemptions(const schedule_record &schedule, const run_limits &limits);

} // namespace dcsim::inline DCSIM_BACKEND
