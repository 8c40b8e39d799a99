// SPDX-License-Identifier: GPL-2.0-only
//
// `dcsim replay-strace`: the path operations of a real program, on the port.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace dcsim::cli
{

struct replay_strace_options {
    std::string file;                 ///< "-": stdin
    std::string tree;                 ///< "trace", "machine" or empty
    std::vector<std::string> imports; ///< directories
    std::string working_directory;    ///< empty: the trace tells, or anywhere
    std::string limit = "10";
    std::string repeat = "1";
    bool json = false;
};

/// Declares the subcommand; parsing fills `options`, which must live as long as the parser.
CLI::App *add_replay_strace_command(CLI::App &parser, replay_strace_options &options);
/// Replays and reports. An exit_code. Throws usage_error, std::bad_alloc.
int replay_strace_command(const replay_strace_options &options);

} // namespace dcsim::cli
