// SPDX-License-Identifier: GPL-2.0-only
//
// Linux v6.12 kernel/sched/wait.c, without exclusive waiters, bookmarks and poll.
#include "dcsim/kernel/wait.h"

#include "dcsim/kernel/types.h"

namespace dcsim::inline DCSIM_BACKEND
{

void init_waitqueue_head(wait_queue_head *wq, const char *lock_class)
{
    spin_lock_init(&wq->lock, lock_class);
    INIT_LIST_HEAD(&wq->head);
}

void init_waitqueue_entry(wait_queue_entry *entry, task_struct *task)
{
    entry->task = task;
    entry->func = default_wake_function;
    stack_object(&entry->entry);
    INIT_LIST_HEAD(&entry->entry);
}

void init_wait(wait_queue_entry *entry)
{
    init_waitqueue_entry(entry, get_current());
    entry->func = autoremove_wake_function;
}

bool default_wake_function(wait_queue_entry *entry, void *)
{
    return wake_up_process(entry->task);
}

bool autoremove_wake_function(wait_queue_entry *entry, void *key)
{
    bool woken = default_wake_function(entry, key);

    // Last: finish_wait() takes an unlinked entry as the sign that the waker is done with the task.
    if (woken)
        list_del_init(&entry->entry);
    return woken;
}

void add_wait_queue(wait_queue_head *wq, wait_queue_entry *entry)
{
    spin_lock(&wq->lock);
    list_add(&entry->entry, &wq->head);
    spin_unlock(&wq->lock);
}

void remove_wait_queue(wait_queue_head *wq, wait_queue_entry *entry)
{
    spin_lock(&wq->lock);
    list_del_init(&entry->entry);
    spin_unlock(&wq->lock);
}

void prepare_to_wait(wait_queue_head *wq, wait_queue_entry *entry)
{
    spin_lock(&wq->lock);
    if (list_empty(&entry->entry))
        list_add(&entry->entry, &wq->head);
    set_current_state(TASK_UNINTERRUPTIBLE);
    spin_unlock(&wq->lock);
}

void finish_wait(wait_queue_head *wq, wait_queue_entry *entry)
{
    set_running();
    // Unconditional, where the kernel first looks without the lock: a task here is a thread that
    // may exit at once, and passing through the lock proves that no waker still works on it.
    remove_wait_queue(wq, entry);
}

void __wake_up(wait_queue_head *wq, void *key)
{
    spin_lock(&wq->lock);
    for (list_head *at = list_first(&wq->head); at != &wq->head;) {
        auto *entry = container_of(at, wait_queue_entry, entry);
        at = list_next(at);
        entry->func(entry, key);
    }
    spin_unlock(&wq->lock);
}

} // namespace dcsim::inline DCSIM_BACKEND
