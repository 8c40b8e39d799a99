// SPDX-License-Identifier: GPL-2.0-only
//
// `dcsim explain`: what a scenario is about, in words; and the verbs that scenarios are made of.
#pragma once

#include <string>

#include <CLI/CLI.hpp>

namespace dcsim::cli
{

struct explain_options {
    std::string scenario; ///< name or file; may be empty when `verbs` is set
    std::string variant;  ///< empty: the file as it is
    bool verbs = false;
    bool file_systems = false; ///< instead: what they can be on
    bool json = false;
};

/// Declares the subcommand; parsing fills `options`, which must live as long as the parser.
CLI::App *add_explain_command(CLI::App &parser, explain_options &options);
/// Prints the explanation. An exit_code.
int explain_command(const explain_options &options);

} // namespace dcsim::cli
