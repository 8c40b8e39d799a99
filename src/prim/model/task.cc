// SPDX-License-Identifier: GPL-2.0-only
//
// Sleeping and waking of modelled tasks, and time, which is the number of steps.
#include "dcsim/prim/model/task.h"

#include "internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

bool woken(const task_control &task)
{
    return task.state == TASK_RUNNING;
}

} // namespace

void might_sleep()
{
    const task_control &me = current_task();

    if (__builtin_expect(me.atomic_depth == 0 && me.id != execution().tasks, true))
        return;
    if (!me.atomic_depth)
        violate(violation_kind::sleeping_in_atomic, "a callback of RCU may sleep here");
    for (uint32_t i = 0; i < me.held_locks; i++)
        if (me.held[i].spinning)
            violate(violation_kind::sleeping_in_atomic,
                    "%s may sleep here, while it holds the spinlock %s", me.name,
                    address_text(me.held[i].lock));
    violate(violation_kind::sleeping_in_atomic,
            "%s may sleep here, inside an RCU read-side section", me.name);
}

void schedule()
{
    might_sleep();
    schedule_point_guarded(operation::sleep, &get_current()->state, false, woken);
}

bool wake_up_process(task_struct *task)
{
    schedule_point(operation::wake, &task->state, true);
    const bool slept = *task->state.word() != TASK_RUNNING;
    *task->state.word() = TASK_RUNNING;
    return slept;
}

void cond_resched()
{
    might_sleep();
    schedule_point(operation::reschedule, nullptr, false);
}

bool need_resched()
{
    execution_state &x = execution();

    if (x.solo || !x.reschedules_left || !choose_value(2))
        return false;
    x.reschedules_left--;
    return true;
}

void sleep_for_microseconds(uint64_t microseconds)
{
    might_sleep();
    if (microseconds)
        cpu_relax();
}

uint64_t monotonic_nanoseconds()
{
    return execution().step;
}

void name_current_task(char *text, size_t bytes)
{
    snprintf(text, bytes, "%s", current_task().name);
}

} // namespace dcsim::inline DCSIM_BACKEND
