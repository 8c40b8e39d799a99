// SPDX-License-Identifier: GPL-2.0-only
//
// A scenario on native threads, round after round: everything anew, the tasks all at once, the
// checks. Which interleavings occur is up to the machine; random delays help it to variety.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "dcsim/scenario/scenario.h"

namespace dcsim::cli
{

struct rounds_options {
    uint64_t rounds = 0; ///< stop after so many; 0: no limit
    double seconds = 0;  ///< stop after so long; 0: no limit
    uint64_t seed = 1;   ///< of the delays
};

/// What is said of a check that needs to know what native threads cannot tell.
struct unknown_check {
    const char *rule; ///< "always", "never" or "sometimes"
    std::string text;
};

struct rounds_result {
    uint64_t rounds = 0; ///< completed
    double seconds = 0;
    bool interrupted = false;
    std::map<std::string, uint64_t> broken; ///< what did not hold, and how often
    std::map<std::string, uint64_t> final_states;
    std::vector<std::pair<std::string, uint64_t>> sometimes; ///< and in how many rounds it held
    std::vector<unknown_check> unknown;                      ///< checks that were left out
    /// What the tasks were at when they did not end. They still are: the process has to end without
    /// any clean-up.
    std::string stuck;
};

/// Runs rounds until a limit is reached or `go_on`, called some times a second with the rounds
/// completed, says no. Throws usage_error for a scenario that cannot run natively.
rounds_result run_rounds(const scenario::scenario &scenario, const rounds_options &options,
                         const std::function<bool(uint64_t rounds)> &go_on);

} // namespace dcsim::cli
