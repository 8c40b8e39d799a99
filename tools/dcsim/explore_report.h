// SPDX-License-Identifier: GPL-2.0-only
//
// What `dcsim explore` and `dcsim replay` print. docs/testing.md explains every column and key.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dcsim/explore/search.h"
#include "dcsim/explore/trace.h"
#include "dcsim/scenario/scenario.h"
#include "explore_command.h"

namespace dcsim::cli
{

struct sometimes_result {
    std::string text;
    uint64_t reached;
};

struct explore_outcome {
    search_result search;
    std::vector<sometimes_result> sometimes;
    dcsim::trace trace; ///< of a failing execution
    std::string token;
    std::string replay; ///< the command
    std::string lanes;
};

std::string explore_text(const explore_options &options, const scenario::scenario &scenario,
                         const search_options &search, const explore_outcome &outcome);
std::string explore_json(const explore_options &options, const scenario::scenario &scenario,
                         const search_options &search, const explore_outcome &outcome);
std::string replay_text(const replay_result &followed, const trace &trace,
                        const std::string &lanes);
std::string replay_json(const scenario::scenario &scenario, const replay_result &followed,
                        const trace &trace);
int exit_code_of(const explore_outcome &outcome);
/// Did it come out as the scenario expects: did all hold, or did the rule break that should?
bool is_as_expected(const scenario::scenario &scenario, const explore_outcome &outcome);

} // namespace dcsim::cli
