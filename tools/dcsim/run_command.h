// SPDX-License-Identifier: GPL-2.0-only
//
// The command line of `dcsim run`.
#pragma once

#include <CLI/CLI.hpp>

#include "run_options.h"
#include "scenario_run.h"

namespace dcsim::cli
{

/// Declares the subcommand; parsing fills `options`, which must live as long as the parser.
CLI::App *add_run_command(CLI::App &parser, run_options &options);
/// Checks what concerns several options at once and fills in what was left open; throws
/// usage_error.
void complete_run_options(run_options &options);
/// The same for a run of a scenario, which knows a few of the options only.
scenario_run_options complete_scenario_run_options(const CLI::App &command,
                                                   const run_options &options);

} // namespace dcsim::cli
