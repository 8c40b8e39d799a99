// SPDX-License-Identifier: GPL-2.0-only
//
// The threads of a run: they perform operations until time is up, the operations are done, or
// somebody stops them.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "mix.h"
#include "operations.h"

namespace dcsim::cli
{

struct workload_options {
    unsigned threads = 1;
    double seconds = 0;      ///< 0: no limit
    uint64_t operations = 0; ///< over all threads; 0: no limit
    uint64_t seed = 1;
    operation_mix mix = operation_mix::parse("balanced");
    long max_dentries = 0;       ///< reclaim above this number; 0: never
    bool memory_may_end = false; ///< an allocation failure is injected: -ENOMEM is expected
};

/// What became of the operations of one kind.
struct kind_result {
    uint64_t operations = 0;
    uint64_t misses = 0;
    uint64_t out_of_memory = 0;
    uint64_t unexpected = 0;
    uint64_t nanoseconds = 0; ///< spent in them, over all threads
};

/// An error that no operation may end with, and how often it did.
struct unexpected_error {
    operation_kind kind;
    int error; ///< negative errno
    uint64_t count;
};

struct workload_result {
    std::array<kind_result, operation_kinds> kinds = {};
    std::vector<unexpected_error> unexpected;
    double seconds = 0;
    /// Names that a thread had moved away and could not move back.
    uint64_t names_not_restored = 0;
};

struct walk_result {
    uint64_t found = 0;
    uint64_t failed = 0;
    int first_error = 0; ///< of one of the failed lookups
    std::string first_path;
    double seconds = 0;
};

/// Called a few times a second from the calling thread with the number of operations done so far.
/// Returns false to stop the run.
using tick_function = std::function<bool(uint64_t operations)>;

/// Looks every name up once, the threads sharing the names among them.
walk_result walk_all_names(shared_tree &tree, const workload_options &options,
                           const tick_function &tick);
/// The run itself.
workload_result run_workload(shared_tree &tree, const workload_options &options,
                             const tick_function &tick);

} // namespace dcsim::cli
