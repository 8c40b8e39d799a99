// SPDX-License-Identifier: GPL-2.0-only
//
// The course of a run: boot, fill, warm up, run, verify, shut down.
#pragma once

#include "run_options.h"
#include "run_result.h"

namespace dcsim::cli
{

/// Performs a run and says what came of it. Stops early, in good order, when interrupted. Shows
/// progress on the terminal. Throws usage_error for a tree that cannot be used and std::bad_alloc,
/// with everything given back before.
run_result perform_run(const run_options &options);

} // namespace dcsim::cli
