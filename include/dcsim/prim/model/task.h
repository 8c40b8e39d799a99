// SPDX-License-Identifier: GPL-2.0-only
//
// Model backend: a task is a fiber, or an OS thread that runs only while it has the baton.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dcsim/prim/model/once.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct task_struct {
    once<uint32_t> state;
};

inline task_struct *get_current()
{
    return reinterpret_cast<task_struct *>(&current_task().state);
}

/// A pointer that belongs to the calling task, for the code above; nullptr at first.
inline void *&task_private(unsigned slot)
{
    return current_task().private_data[slot];
}

inline void set_current_state(task_state state)
{
    smp_store_mb(get_current()->state, state);
}

/// Nobody acts on it before the task announces its next operation, so it is no point of its own.
inline void set_running()
{
    WRITE_LOCKED(get_current()->state, TASK_RUNNING);
}

void schedule();
bool wake_up_process(task_struct *task);
/// The calling task's name, for reports. No schedule point.
void name_current_task(char *text, size_t bytes);
void cond_resched();
/// A choice of the search, as often as the program allows (model_program::reschedules).
bool need_resched();
void might_sleep();
/// Time is the number of steps: the others may run for as long as the search likes.
void sleep_for_microseconds(uint64_t microseconds);
uint64_t monotonic_nanoseconds();

} // namespace dcsim::inline DCSIM_BACKEND
