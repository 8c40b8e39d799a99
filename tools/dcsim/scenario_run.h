// SPDX-License-Identifier: GPL-2.0-only
//
// `dcsim run NAME|FILE`: a scenario on native threads.
#pragma once

#include <cstdint>
#include <string>

namespace dcsim::cli
{

struct scenario_run_options {
    std::string scenario; ///< name or file
    std::string variant;  ///< empty: the file as it is
    std::string era;      ///< in place of the scenario's, or ""
    uint64_t rounds = 0;  ///< 0: as long as `seconds` says
    double seconds = 0;   ///< 0: as many as `rounds` says
    uint64_t seed = 1;
    bool json = false;
};

/// Runs and reports. Returns an exit code; throws scenario::scenario_error, usage_error. Does not
/// return when the scenario's tasks do not end.
int scenario_run_command(const scenario_run_options &options);

} // namespace dcsim::cli
