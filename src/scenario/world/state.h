// SPDX-License-Identifier: GPL-2.0-only
//
// What the steps of a scenario change, in memory of the backend's. Other tasks look at it, on
// native threads at the same time. What only counts and what guards look at is changed atomically,
// but is no schedule point.
#pragma once

#include <span>

#include "dcsim/kernel/once.h"
#include "dcsim/scenario/world.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// What a step left in a variable. Others read it while await() looks at it.
struct world_variable {
    once<bool> assigned; ///< the plain fields below are written before and never again
    once<bool> held;     ///< there is a reference to be put
    once<bool> gone;     ///< the dentry was freed since
    bool negative;
    bool hashed;
    once<dentry *> found; ///< or nullptr
    int64_t identity;     ///< of that dentry: its address may be another one's later
    int64_t number;       ///< of what is no dentry; or the negative errno
    int64_t inode;
};

struct world_task {
    once<int> step; ///< index of the step it is at; -1 before the first
    once<long> waits;
    once<long> retries[scenario::retry_causes];
    once<long> blocked;
};

struct world_state {
    once<super_block *> sb; ///< nullptr once unmounted
    once<bool> unmounted;
    int64_t dentries_created;
    int all_lookups;
    std::span<int> lookups;       ///< of each path
    std::span<int> failures_left; ///< of each path: calls of ->lookup() that will fail
    std::span<world_task> tasks;
    std::span<world_variable> variables; ///< of [setup], then of each task
};

} // namespace dcsim::inline DCSIM_BACKEND
