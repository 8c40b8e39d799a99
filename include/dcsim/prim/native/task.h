// SPDX-License-Identifier: GPL-2.0-only
//
// Native backend: a task is an OS thread. It sleeps on a futex in its own task_struct.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dcsim/prim/native/once.h"

namespace dcsim::inline DCSIM_BACKEND
{

enum task_state : uint32_t { TASK_RUNNING = 0, TASK_UNINTERRUPTIBLE = 2 };

inline constexpr unsigned task_private_slots = 3;

struct task_struct {
    once<uint32_t> state;
    void *private_data[task_private_slots]; ///< task_private()
};

extern constinit thread_local task_struct current_task;

inline task_struct *get_current()
{
    return &current_task;
}

/// A pointer that belongs to the calling task, for the code above; nullptr at first.
inline void *&task_private(unsigned slot)
{
    return current_task.private_data[slot];
}

/// Declares the intention to sleep, with a full barrier: a condition read after it and a wake-up
/// sent after the condition changed cannot both be missed.
inline void set_current_state(task_state state)
{
    smp_store_mb(current_task.state, state);
}

inline void set_running()
{
    WRITE_ONCE(current_task.state, TASK_RUNNING);
}

/// Sleeps until somebody sets this task running. Must not be called inside RCU or under a spinlock.
void schedule();
/// Sets `task` running. Returns whether it was about to sleep. `task` must be alive on entry.
bool wake_up_process(task_struct *task);
/// The calling task, for reports: "thread" and its number.
void name_current_task(char *text, size_t bytes);
/// A place where a long operation may give way to others, and holds nothing that forbids it. Native
/// threads are preempted by the host, so it only checks that.
void cond_resched();
/// True when a long walk should drop its locks and come back. Native threads are preempted by the
/// host, so this is never needed.
inline bool need_resched()
{
    return false;
}

/// Complains when called inside an RCU read-side section or under a spinlock.
void might_sleep();

/// Waits at least `microseconds` without using the processor. Sleeps.
void sleep_for_microseconds(uint64_t microseconds);
/// Monotonic time. Only for statistics and delays, never for decisions of the port.
uint64_t monotonic_nanoseconds();

} // namespace dcsim::inline DCSIM_BACKEND
