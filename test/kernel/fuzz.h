// SPDX-License-Identifier: GPL-2.0-only
//
// Many sequences, one for each seed.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "session.h"

namespace dcsim::against_kernel
{

struct fuzz_options {
    uint64_t first_seed = 1;
    uint64_t last_seed = 1;
    unsigned operations = 400;                                ///< in each sequence
    std::chrono::seconds time = std::chrono::hours(24 * 365); ///< no sequence begins after that
    /// Called before each operation and with its answer after it. May be empty.
    std::function<void(uint64_t seed, unsigned step, const operation &op, const answer *result)>
        watch;
};

struct fuzz_result {
    unsigned long operations = 0;
    unsigned long sequences = 0;
    explanations explained; ///< answers that differ as known_differences() says
    against_kernel::coverage coverage;
    double seconds = 0;
    std::string report;  ///< of the first difference, shrunk; empty without one
    size_t smallest = 0; ///< calls in it
    program found;       ///< and they
};

/// Stops at the first difference.
fuzz_result fuzz(const fuzz_options &options, backend &first, backend &second);

/// "openat: 120 ok, 30 ENOENT, ...", a line for each call.
std::string text_of(const coverage &coverage);

} // namespace dcsim::against_kernel
