// SPDX-License-Identifier: GPL-2.0-only
//
// `dcsim check`: is a scenario file as it should be? Runs nothing.
#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace dcsim::cli
{

struct check_options {
    std::vector<std::string> scenarios; ///< names and files
    bool json = false;
};

/// Declares the subcommand; parsing fills `options`, which must live as long as the parser.
CLI::App *add_check_command(CLI::App &parser, check_options &options);
/// Prints everything that is wrong. An exit_code.
int check_command(const check_options &options);

} // namespace dcsim::cli
