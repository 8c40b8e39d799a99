// SPDX-License-Identifier: GPL-2.0-only
//
// The search loop.
#include "dcsim/explore/search.h"

#include <algorithm>
#include <chrono>

#include <sys/resource.h>

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using clock = std::chrono::steady_clock;

/// Executions between two looks at the clock.
constexpr uint64_t executions_between_checks = 256;
constexpr uint64_t round_robin_executions = 1000;

double seconds_since(clock::time_point start)
{
    return std::chrono::duration<double>(clock::now() - start).count();
}

uint64_t peak_memory_bytes()
{
    rusage usage = {};

    getrusage(RUSAGE_SELF, &usage);
    return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

std::unique_ptr<search_scheduler> make_scheduler(const search_options &options)
{
    switch (options.how) {
    case strategy::round_robin:
        return make_round_robin(options.executions ? options.executions : round_robin_executions);
    case strategy::uniform:
        return make_uniform(options.seed);
    case strategy::pct:
        return make_pct(options.seed, options.pct_depth);
    case strategy::preemption_bounding:
        return make_preemption_bounding(options.preemptions);
    case strategy::depth_first:
        return make_depth_first();
    }
    return nullptr;
}

/// True when a limit of the options says stop.
bool out_of_budget(const search_options &options, const search_result &result,
                   clock::time_point start, int bound)
{
    if (options.executions && result.executions >= options.executions)
        return true;
    if (result.executions % executions_between_checks)
        return false;
    const double seconds = seconds_since(start);
    if (options.seconds > 0 && seconds >= options.seconds)
        return true;
    return options.progress && !options.progress(result.executions, seconds, bound);
}

void note_violation(const search_options &options, search_result &result)
{
    result.outcome = verdict::violated;
    result.violating_executions = 1;
    result.broken = last_violation();
    result.schedule = last_schedule();
    result.found_preemptions = count_preemptions(result.schedule, options.limits);
    // The first failure under a bound has the fewest by construction.
    result.fewest_preemptions = options.how == strategy::preemption_bounding;
    if (options.shrink && !result.fewest_preemptions)
        result.shrink_executions = shrink_schedule(&result.schedule, result.broken.kind,
                                                   options.limits, &result.fewest_preemptions);
    const replay_result shown = replay_schedule(result.schedule, true, options.limits, nullptr);
    result.preemptions = shown.preemptions;
    if (shown.end == execution_end::violated)
        result.broken = shown.broken;
}

} // namespace

search_result search_program(const model_program &program, const search_options &options)
{
    search_result result;

    if (!engine_load(program, options.carrier)) {
        result.outcome = verdict::violated;
        result.in_setup = true;
        result.broken = last_violation();
        engine_unload();
        return result;
    }

    const auto scheduler = make_scheduler(options);
    const clock::time_point start = clock::now();
    bool violated = false;
    bool stopped = false;

    while (!violated && !stopped && scheduler->begin_execution()) {
        const execution_end end = engine_run(*scheduler, options.limits, nullptr);
        const uint32_t steps = execution().step;

        scheduler->execution_ended(steps);
        result.executions++;
        result.steps += steps;
        result.longest = std::max(result.longest, steps);
        result.given_up += end == execution_end::given_up;
        violated = end == execution_end::violated;
        stopped = out_of_budget(options, result, start, scheduler->bound());
    }
    result.seconds = seconds_since(start);
    result.peak_memory_bytes = peak_memory_bytes();
    result.covered = scheduler->covered();
    if (violated)
        note_violation(options, result);
    else if (scheduler->exhausted() && !result.covered.empty())
        result.outcome = verdict::holds;
    engine_unload();
    return result;
}

} // namespace dcsim::inline DCSIM_BACKEND
