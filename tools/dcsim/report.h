// SPDX-License-Identifier: GPL-2.0-only
//
// The results of a run as a table for people and as JSON for programs. docs/run.md explains every
// column and key.
#pragma once

#include <string>

#include "run_options.h"
#include "run_result.h"

namespace dcsim::cli
{

std::string report_table(const run_options &options, const run_result &result, bool colour);
std::string report_json(const run_options &options, const run_result &result);

/// "1,234,567"
std::string grouped(uint64_t number);
/// A file name or path as it may be shown on a terminal: control characters replaced.
std::string printable(std::string_view text);

} // namespace dcsim::cli
