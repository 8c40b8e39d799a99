// SPDX-License-Identifier: GPL-2.0-only
//
// Linux v6.12 kernel/sched/completion.c.
#include "dcsim/kernel/completion.h"

namespace dcsim::inline DCSIM_BACKEND
{

void init_completion(completion *x)
{
    x->done = 0;
    init_waitqueue_head(&x->wait, "completion.wait");
}

void complete(completion *x)
{
    spin_lock(&x->wait.lock);
    x->done++;
    list_head *first = list_first(&x->wait.head);
    if (first != &x->wait.head) {
        auto *entry = container_of(first, wait_queue_entry, entry);
        list_del_init(first);
        wake_up_process(entry->task);
    }
    spin_unlock(&x->wait.lock);
}

void wait_for_completion(completion *x)
{
    wait_queue_entry entry;

    might_sleep();
    init_waitqueue_entry(&entry, get_current());
    spin_lock(&x->wait.lock);
    while (!x->done) {
        if (list_empty(&entry.entry))
            list_add_tail(&entry.entry, &x->wait.head);
        set_current_state(TASK_UNINTERRUPTIBLE);
        spin_unlock(&x->wait.lock);
        schedule();
        spin_lock(&x->wait.lock);
    }
    set_running();
    if (!list_empty(&entry.entry))
        list_del_init(&entry.entry);
    x->done--;
    spin_unlock(&x->wait.lock);
}

} // namespace dcsim::inline DCSIM_BACKEND
