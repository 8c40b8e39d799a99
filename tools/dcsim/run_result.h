// SPDX-License-Identifier: GPL-2.0-only
//
// What a run found out; what the table and the JSON are made of.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dcsim/vfs/statistics.h"
#include "tree.h"
#include "workload.h"

namespace dcsim::cli
{

/// All counters of the VFS at one moment.
struct counter_values {
    std::array<long, VFS_COUNTERS> values = {};

    long operator[](vfs_counter counter) const
    {
        return values[counter];
    }
};
counter_values read_counters();

struct run_result {
    /// What there was to run on, as the library says: the era and the mounted file system.
    std::string era;
    std::string filesystem;
    tree_description tree;
    size_t names = 0;
    size_t names_left_out = 0; ///< imported, but at paths that are too long to be walked
    walk_result warm_up;
    workload_result workload;
    counter_values at_start; ///< after the warm-up
    counter_values at_end;   ///< before the tree is verified
    uint64_t reclaimed = 0;
    size_t bytes_per_dentry = 0;
    bool interrupted = false;
    /// With an injected allocation failure: did the run get as far?
    std::optional<bool> failure_delivered;

    /// What the final check found wrong, a line each; empty when it passed.
    std::vector<std::string> problems;

    /// How much a counter rose during the run.
    long during_run(vfs_counter counter) const
    {
        return at_end[counter] - at_start[counter];
    }
};

} // namespace dcsim::cli
