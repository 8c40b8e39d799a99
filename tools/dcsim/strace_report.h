// SPDX-License-Identifier: GPL-2.0-only
//
// What `dcsim replay-strace` found out, as a table for people and as JSON for programs.
// docs/replay-strace.md explains every line and key.
#pragma once

#include <string>

#include "strace_replay.h"

namespace dcsim::cli
{

/// Everything there is to report.
struct strace_report {
    std::string file; ///< as typed; "-" for stdin
    tree_request request;
    const strace_trace &trace;
    const first_tree &tree;
    const replay_result &result;
    double seconds_reading = 0;
    double seconds_rebuilding = 0;
};

/// At most `limit` differences, and as many unknown lines.
std::string strace_report_text(const strace_report &report, size_t limit);
/// All of them.
std::string strace_report_json(const strace_report &report);

} // namespace dcsim::cli
