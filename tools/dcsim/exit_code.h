// SPDX-License-Identifier: GPL-2.0-only
//
// What the command tells the shell.
#pragma once

namespace dcsim::cli
{

enum exit_code : int {
    exit_passed = 0,
    exit_check_failed = 1,
    exit_usage = 2,
    exit_inconclusive = 3,
    exit_diverged = 4,
    exit_internal = 70,
    exit_interrupted = 130,
};

} // namespace dcsim::cli
