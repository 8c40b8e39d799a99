// SPDX-License-Identifier: GPL-2.0-only
//
// Carrying a recorded trace out on the port: one task for each process, one simulated call for each
// recorded one, in the order of the trace.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "dcsim/vfs/statistics.h"
#include "strace_trace.h"
#include "strace_tree.h"

namespace dcsim::cli
{

/// A call that was answered differently from how the real kernel answered.
struct replay_difference {
    uint64_t line;
    std::string call; ///< with its paths
    std::string expected;
    std::string got;
};

struct call_counts {
    uint64_t equal = 0;
    uint64_t different = 0;
    uint64_t skipped = 0;
};

/// One time through the trace.
struct replay_pass {
    uint64_t calls = 0;    ///< carried out
    uint64_t cached = 0;   ///< of these, without any ->lookup()
    uint64_t negative = 0; ///< of these, found not to exist without any ->lookup()
    double seconds = 0;
    std::array<long, VFS_COUNTERS> counters = {}; ///< what was added to each
};

struct replay_result {
    std::vector<call_counts> calls; ///< by strace_trace::names
    /// How many calls were not carried out, by reason and name.
    std::map<std::string, std::map<std::string, uint64_t>> skipped;
    std::vector<replay_difference> differences;
    /// Descriptors and working directories that only -y told of.
    uint64_t descriptors_from_places = 0;
    uint64_t directories_from_places = 0;
    std::vector<replay_pass> passes;
    uint64_t dentries = 0;             ///< cached at the end
    std::vector<std::string> problems; ///< of the final check
};

/// Carries the trace out once on `tree` and compares; then `repeat` - 1 times more, only the calls
/// that change nothing, on what is left, without comparing. Throws std::bad_alloc.
replay_result replay_trace(const strace_trace &trace, const first_tree &tree, unsigned repeat);

} // namespace dcsim::cli
