// SPDX-License-Identifier: GPL-2.0-only
//
// One execution, written down step by step. Made by replaying a schedule; searching records nothing
// but the choices.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dcsim/explore/search.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// A function on the call chain of a step.
struct code_place {
    std::string function;
    std::string file; ///< without folders
    int line = 0;
    bool port = false; ///< in src/vfs or src/mockfs: what a reader of the port knows
};

struct trace_step {
    uint32_t number = 0; ///< from 1
    task_id task = no_task;
    operation kind = operation::start;
    const void *address = nullptr;
    bool writes = false;
    bool waited = false;           ///< it was not enabled when the task came to it
    bool preempted = false;        ///< the task that ran before could have gone on
    std::string object;            ///< the address in words
    std::string before;            ///< value before the step, or "" when there is nothing to show
    std::string after;             ///< and after it
    std::vector<code_place> calls; ///< innermost first
    std::string scenario_step;     ///< what the task is at, in the words of its author

    /// The innermost function that belongs to the port, or else the innermost of all.
    const code_place &place() const;
};

struct trace {
    std::vector<std::string> task_names; ///< RCU's last
    std::vector<trace_step> steps;
    violation broken = {};
    bool violated = false;
};

/// Replays a schedule of a program and writes it down. `scenario_step` may tell what a task is at;
/// it may be nullptr. `replay` receives how the schedule was followed.
trace record_trace(const model_program &program, const schedule_record &schedule,
                   carrier_kind carrier, const run_limits &limits,
                   std::string (*scenario_step)(void *argument, task_id task),
                   replay_result *replay);

struct lanes_options {
    bool all_steps = false;  ///< also those that touch what no other task touches
    unsigned width = 100;    ///< columns of the terminal
    unsigned most_rows = 60; ///< keeps the first few and the last; 0: all
    bool colour = false;
};

/// A table with a column for each task, for a terminal. docs/testing.md has the legend.
std::string format_lanes(const trace &trace, const lanes_options &options);

} // namespace dcsim::inline DCSIM_BACKEND
