// SPDX-License-Identifier: GPL-2.0-only
//
// One scenario on both backends. Each side is compiled for its own backend; what they tell is the
// same plain data.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "dcsim/scenario/scenario.h"

namespace dcsim::differential
{

/// What came of a scenario on native threads.
struct native_outcomes {
    std::map<std::string, uint64_t> states; ///< and how often each was seen
    std::vector<std::string> broken;        ///< checks that did not hold, tasks that did not end
    uint64_t rounds = 0;
};

/// What the model says can come of it.
struct model_outcomes {
    std::set<std::string> states;
    /// Those that come out when no task is ever interrupted where it could go on.
    std::set<std::string> without_preemption;
    std::string broken;    ///< the rule that broke, or ""
    bool complete = false; ///< the bounded search came to its end
    uint64_t executions = 0;
};

native_outcomes run_natively(const scenario::scenario &scenario, uint64_t rounds);
/// `brief`: fewer executions; the search may then be cut short.
model_outcomes explore_model(const scenario::scenario &scenario, bool brief);

} // namespace dcsim::differential
