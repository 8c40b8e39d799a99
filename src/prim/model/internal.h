// SPDX-License-Identifier: GPL-2.0-only
//
// What the files of the model backend share with each other only.
#pragma once

#include "dcsim/prim/model/engine.h"

namespace dcsim::inline DCSIM_BACKEND
{

// --- execution.cc ---

/// The program that is loaded.
const model_program &loaded_program();
/// The task stops here for good; somebody else runs.
[[noreturn]] void task_ends();
/// RCU's task, the caller, has nothing to do until execution_state::rcu_ready says so. Returns when
/// a grace period is to end.
void rcu_task_idles(const void *rcu_address);
/// What a new task does first and last. Called by the carrier on the task's own stack.
void task_main(task_control &task);

// --- arena.cc ---

/// Frames of this task's stack were left by longjmp(): AddressSanitizer forgets what it knew of
/// them.
void arena_forget_frames(unsigned task);

// --- carrier.cc ---

void carrier_start(carrier_kind kind);
void carrier_stop();
/// Before an execution: whatever tasks were left in the middle of something is forgotten.
void carrier_reset();
/// The task will begin at task_main() when it is first switched to.
void carrier_prepare(task_control &task);
/// From one task to another; nullptr is the search, outside of all tasks.
void carrier_switch(task_control *from, task_control *to);
/// carrier_switch() by a task that never goes on.
[[noreturn]] void carrier_leave(task_control *from, task_control *to);

// --- deadlock.cc ---

/// Nobody is enabled and somebody has not finished: says who waits for whom.
void describe_deadlock(char *text, size_t bytes);
/// A task, not one of `tested`, that may only have missed its wake-up. nullptr when there is none.
task_control *deadlock_sleeper(task_mask tested);

} // namespace dcsim::inline DCSIM_BACKEND
