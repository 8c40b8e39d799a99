// SPDX-License-Identifier: GPL-2.0-only
//
// `dcsim list`: the scenarios that come with dcsim.
#pragma once

#include <CLI/CLI.hpp>

namespace dcsim::cli
{

struct list_options {
    bool json = false;
};

/// Declares the subcommand; parsing fills `options`, which must live as long as the parser.
CLI::App *add_list_command(CLI::App &parser, list_options &options);
/// Prints the list. An exit_code.
int list_command(const list_options &options);

} // namespace dcsim::cli
