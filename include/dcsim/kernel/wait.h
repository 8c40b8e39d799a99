// SPDX-License-Identifier: GPL-2.0-only
//
// Wait queues. Source: include/linux/wait.h, kernel/sched/wait.c.
//
// A waiter queues an entry, declares itself asleep, tests its condition, and only then sleeps; a
// waker changes the condition and then walks the queue. Either the test sees the change or the walk
// finds the entry.
#pragma once

#include "dcsim/annotations.h"
#include "dcsim/kernel/list.h"
#include "dcsim/kernel/once.h"
#include "dcsim/kernel/spinlock.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct wait_queue_entry;

/// Called under the queue's lock for every entry of a wake-up. Returns whether a task was woken;
/// `key` is what the waker passed.
using wait_queue_func_t = bool (*)(wait_queue_entry *entry, void *key);

struct wait_queue_entry {
    task_struct *task;
    wait_queue_func_t func;
    list_head entry;
};

/// `lock` guards the list. Wakers hold it while they wake, so it nests inside whatever lock makes
/// the condition stable; nothing but a task's wake-up happens under it.
struct wait_queue_head {
    spinlock_t lock;
    list_head head;
};
using wait_queue_head_t = wait_queue_head;

void init_waitqueue_head(wait_queue_head *wq, const char *lock_class);

/// An entry that stays queued after the wake-up: the waiter takes it off.
void init_waitqueue_entry(wait_queue_entry *entry, task_struct *task);
/// An entry that a wake-up takes off the queue.
void init_wait(wait_queue_entry *entry);

bool default_wake_function(wait_queue_entry *entry, void *key);
bool autoremove_wake_function(wait_queue_entry *entry, void *key);

void add_wait_queue(wait_queue_head *wq, wait_queue_entry *entry);
void remove_wait_queue(wait_queue_head *wq, wait_queue_entry *entry);
/// Queues the entry unless it is queued, and declares the task asleep.
void prepare_to_wait(wait_queue_head *wq, wait_queue_entry *entry);
/// Declares the task running and takes the entry off if the waker did not.
void finish_wait(wait_queue_head *wq, wait_queue_entry *entry);

/// Runs every entry's function with `key`.
void __wake_up(wait_queue_head *wq, void *key);
/// Wakes everybody.
inline void wake_up_all(wait_queue_head *wq)
{
    __wake_up(wq, nullptr);
}

/// A hint unless the caller orders it against the waiter's test.
inline bool waitqueue_active(const wait_queue_head *wq)
{
    return !list_empty(&wq->head);
}

/// waitqueue_active() after a full barrier, which pairs with the one in set_current_state().
inline bool wq_has_sleeper(const wait_queue_head *wq)
{
    smp_mb();
    return waitqueue_active(wq);
}

} // namespace dcsim::inline DCSIM_BACKEND
