// SPDX-License-Identifier: GPL-2.0-only
//
// The results of a run as a table for people and as JSON for programs. docs/run.md explains every
// column and key.
#pragma once

#include <string>

#include "run_options.h"
#include "run_result.h"
#include "text.h"

namespace dcsim::cli
{

std::string report_table(const run_options &options, const run_result &result, bool colour);
std::string report_json(const run_options &options, const run_result &result);

} // namespace dcsim::cli
