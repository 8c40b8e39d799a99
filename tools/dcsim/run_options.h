// SPDX-License-Identifier: GPL-2.0-only
//
// What `dcsim run` was asked to do.
#pragma once

#include <cstdint>
#include <string>

#include "workload.h"

namespace dcsim::cli
{

struct run_options {
    std::string scenario;         ///< name or file; empty: a tree and a mix of operations
    std::string variant;          ///< of the scenario
    std::string import_directory; ///< empty: a generated tree
    uint64_t files = 0;           ///< names of a generated tree
    bool tree_by_default = false; ///< neither was given
    std::string era;              ///< name; empty: the default, or the scenario's own
    std::string filesystem = "memfs";
    uint64_t lookup_delay_us = 0;
    uint64_t dhash_entries = 0;
    unsigned in_lookup_shift = 10;
    long fail_alloc = 0; ///< which allocation of the run fails; 0: none
    bool json = false;
    workload_options workload;
};

} // namespace dcsim::cli
