// SPDX-License-Identifier: GPL-2.0-only
//
// Who decides. An execution asks its scheduler at every schedule point where there is a choice;
// everything that can come out differently from one execution to the next is one of these answers.
#pragma once

#include <cstdint>
#include <span>

#include "dcsim/config.h"

namespace dcsim::inline DCSIM_BACKEND
{

using task_id = uint8_t;
/// One bit a task.
using task_mask = uint32_t;

inline constexpr task_id no_task = 0xff;

/// What one step touched. Two steps of different tasks whose footprints do not conflict commute.
struct footprint_entry {
    const void *address;
    bool writes;
    uint32_t bytes = 1; ///< more when memory goes away: every field in it is concerned

    bool operator==(const footprint_entry &) const = default;
};

/// The situation at a schedule point.
struct choice {
    task_mask enabled;     ///< tasks whose next operation can be carried out; never empty
    task_id current;       ///< the task that ran last, or no_task at the start
    bool current_may_stay; ///< it is enabled and does not give way: leaving it is a preemption
    uint32_t step;         ///< steps so far in this execution
    task_mask daemons;     ///< tasks that belong to the system: RCU's
    std::span<const footprint_entry> last_step; ///< only when observes_steps()
};

/// The interface between an execution and a search. The three functions are called on the stacks of
/// tasks: they must not block, and anything they allocate slows every step down.
class scheduler
{
  public:
    virtual ~scheduler() = default;

    /// A new execution is to begin. False when there is none left to try.
    virtual bool begin_execution() = 0;
    /// The task to run next, out of choice.enabled; or no_task to give this execution up, because
    /// what would follow has been covered already.
    virtual task_id choose_task(const choice &choice) = 0;
    /// A number below `count`: which of the possible answers some operation gives. 0 is the one
    /// without a fault.
    virtual unsigned choose_value(unsigned count) = 0;

    /// True when choose_task() is to be called even without a choice, with footprints.
    virtual bool observes_steps() const
    {
        return false;
    }

    /// A promise that saves time: up to this step choose_task() would answer with the task that was
    /// chosen last, for as long as that one may stay and none of `stay_unless` is enabled, so it is
    /// not asked. Both are set by choose_task().
    uint32_t stay_until = 0;
    task_mask stay_unless = 0;
};

} // namespace dcsim::inline DCSIM_BACKEND
