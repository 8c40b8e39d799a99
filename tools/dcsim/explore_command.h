// SPDX-License-Identifier: GPL-2.0-only
//
// `dcsim explore` and `dcsim replay`: options and execution.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace dcsim::cli
{

struct explore_options {
    std::string scenario; ///< name or file
    std::string variant;
    std::string era;  ///< in place of the scenario's, or ""
    std::string port; ///< module with a patched port, or ""
    std::string strategy = "bounded";
    int preemptions = -1; ///< -1: what the scenario says
    uint64_t executions = 0;
    double seconds = 0;
    uint64_t seed = 1;
    unsigned pct_depth = 0;
    uint32_t step_limit = 100000;
    bool shrink = true;
    bool expected = false; ///< success is the verdict that the scenario expects
    std::string carrier;   ///< "": what suits the build
    bool full = false;
    bool json = false;
    std::string token; ///< replay
};

/// What --carrier takes in this build: AddressSanitizer does not follow fibers.
std::vector<std::string> usable_carriers();

CLI::App *add_explore_command(CLI::App &parser, explore_options &options);
/// Searches and reports. Returns an exit code; throws scenario::scenario_error, usage_error.
int explore_command(const explore_options &options);

CLI::App *add_replay_command(CLI::App &parser, explore_options &options);
/// Carries out one schedule and shows it. Returns an exit code; throws likewise.
int replay_command(const explore_options &options);

} // namespace dcsim::cli
