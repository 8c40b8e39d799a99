// SPDX-License-Identifier: GPL-2.0-only
//
// What the steps of a scenario change. One object, from the backend's memory.
#pragma once

#include "dcsim/kernel/once.h"
#include "dcsim/scenario/world.h"

namespace dcsim::inline DCSIM_BACKEND
{

inline constexpr unsigned world_variables = 96;
inline constexpr unsigned world_tasks = 8;
inline constexpr unsigned world_paths = 64;

/// What a step left in a variable. Others read it while await() looks at it.
struct world_variable {
    once<bool> assigned;
    once<bool> held; ///< there is a reference to be put
    once<bool> gone; ///< the dentry was freed since
    bool negative;
    bool hashed;
    once<dentry *> found; ///< or nullptr
    int64_t number;        ///< of what is no dentry; or the negative errno
    int64_t inode;
};

struct world_task {
    once<int> step; ///< index of the step it is at; -1 before the first
    once<long> waits;
    once<long> retries[scenario::retry_causes];
    once<long> blocked;
};

struct world_state {
    super_block *sb; ///< nullptr once unmounted
    once<bool> unmounted;
    int lookups[world_paths];
    int all_lookups;
    int failures_left[world_paths];
    world_task tasks[world_tasks];
    world_variable variables[world_variables]; ///< of [setup], then of each task
};

} // namespace dcsim::inline DCSIM_BACKEND
