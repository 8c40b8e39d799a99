// SPDX-License-Identifier: GPL-2.0-only
//
// What the steps of a scenario change, in memory of the backend's. Other tasks look at it, on
// native threads at the same time. What only counts and what guards look at is changed atomically,
// but is no schedule point.
#pragma once

#include <span>

#include "dcsim/kernel/once.h"
#include "dcsim/scenario/world.h"
#include "dcsim/vfs/lookup_era.h"
#include "dcsim/vfs/task.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// RCU_WALKS, RCU_UNLAZY, RCU_RESTARTS.
inline constexpr int world_walk_counters = 3;

/// What a step left in a variable. Others read it while await() looks at it.
struct world_variable {
    once<bool> assigned; ///< the plain fields below are written before and never again
    once<bool> held;     ///< there is a reference to be put
    once<bool> gone;     ///< the dentry was freed since
    bool negative;
    bool hashed;
    once<dentry *> found; ///< or nullptr
    struct inode *locked; ///< whose lock lookup_done() gives back; nullptr: none
    int64_t identity;     ///< a number of that dentry's: its address may be another one's later
    int64_t number;       ///< of what is no dentry; or the negative errno
    int64_t inode;
};

/// What came of a step, and when it began and ended on the world's clock.
struct world_operation {
    uint64_t begin;
    uint64_t end;
    int64_t number; ///< as oracle::answer
    int64_t inode;
};

struct world_task {
    vfs_task *acting; ///< who makes its system calls; nullptr when nobody makes any
    once<int> step;   ///< index of the step it is at; -1 before the first
    once<long> waits;
    once<long> retries[scenario::retry_causes];
    once<long> blocked;
    once<long> walks[world_walk_counters];
};

struct world_state {
    once<super_block *> sb; ///< nullptr once unmounted
    once<bool> unmounted;
    vfs_task *setup_task;        ///< who makes the system calls of [setup]; nullptr afterwards
    uint64_t clock;              ///< beginnings and ends of steps so far
    bool identifying;            ///< a lock: one task at a time gives a dentry its number
    int64_t dentries_identified; ///< numbers so far
    int mounts_made;             ///< calls of mount(), as places in `mounted`
    int all_lookups;
    std::span<int> lookups;       ///< of each path
    std::span<int> failures_left; ///< of each path: calls of ->lookup() that will fail
    std::span<world_task> tasks;
    std::span<world_variable> variables; ///< of [setup], then of each task
    /// For each variable the queue that d_alloc_parallel() is lent in eras that want one.
    std::span<caller_wait_queue> wait_queues;
    std::span<world_operation> operations;  ///< for each step of each task
    std::span<once<super_block *>> mounted; ///< what mount() made, or nullptr
};

} // namespace dcsim::inline DCSIM_BACKEND
