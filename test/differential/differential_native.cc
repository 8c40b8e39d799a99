// SPDX-License-Identifier: GPL-2.0-only
//
// The native side: rounds as `dcsim run NAME` performs them.
#include "differential.h"

#include <cstdio>
#include <cstdlib>

#include "scenario_rounds.h"

namespace dcsim::differential
{

native_outcomes run_natively(const scenario::scenario &scenario, uint64_t rounds)
{
    const cli::rounds_result result =
        cli::run_rounds(scenario, {.rounds = rounds}, [](uint64_t) { return true; });
    native_outcomes outcomes;

    if (!result.stuck.empty()) {
        // Threads are running that use what a test's end takes away.
        fprintf(stderr, "the tasks did not end: %s\n", result.stuck.c_str());
        abort();
    }
    outcomes.states = result.final_states;
    outcomes.rounds = result.rounds;
    for (const auto &[text, times] : result.broken)
        outcomes.broken.push_back(text + " (" + std::to_string(times) + " times)");
    return outcomes;
}

} // namespace dcsim::differential
