// SPDX-License-Identifier: GPL-2.0-only
//
// Sleeping and waking of native threads.
#include "dcsim/prim/native/task.h"

#include <cerrno>
#include <cstdio>
#include <ctime>
#include <unistd.h>

#include "dcsim/prim/native/rcu.h"
#include "dcsim/prim/native/report.h"
#include "futex.h"

namespace dcsim::inline DCSIM_BACKEND
{

constinit thread_local task_struct current_task = {once<uint32_t>(TASK_RUNNING), {}};

void might_sleep()
{
    if (rcu_read_lock_held())
        report_warning(__FILE__, __LINE__, __func__,
                       "sleeping function called inside RCU or under a spinlock (depth %d)",
                       rcu_reader.nesting);
}

void schedule()
{
    might_sleep();
    // Pairs with the exchange in wake_up_process(): the sleeper sees what the waker did first.
    while (smp_load_acquire(&current_task.state) != TASK_RUNNING)
        futex::wait(current_task.state.word(), TASK_UNINTERRUPTIBLE);
}

bool wake_up_process(task_struct *task)
{
    // The sleeper may leave the moment the exchange is done, and its stack with it; the wake-up
    // only uses the address.
    if (xchg(&task->state, TASK_RUNNING) == TASK_RUNNING)
        return false;
    futex::wake(task->state.word(), 1);
    return true;
}

void cond_resched()
{
    might_sleep();
}

void sleep_for_microseconds(uint64_t microseconds)
{
    timespec left = {static_cast<time_t>(microseconds / 1000000),
                     static_cast<long>(microseconds % 1000000 * 1000)};

    might_sleep();
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
        ;
}

uint64_t monotonic_nanoseconds()
{
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1000000000 + static_cast<uint64_t>(now.tv_nsec);
}

void name_current_task(char *text, size_t bytes)
{
    snprintf(text, bytes, "thread %d", static_cast<int>(gettid()));
}

} // namespace dcsim::inline DCSIM_BACKEND
