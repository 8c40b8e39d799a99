// SPDX-License-Identifier: GPL-2.0-only
//
// Waiting for a variable: hashed wait queues keyed by an address. Source: include/linux/wait_bit.h,
// kernel/sched/wait_bit.c.
//
// Nobody owns a queue, so nothing has to outlive a wait: this is what freed d_alloc_parallel() from
// its caller's wait queue in v7.2.
#pragma once

#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/wait.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// A waiter for one address. Wake-ups for other addresses that share its queue pass it by.
struct wait_var_entry {
    const void *var;
    wait_queue_entry wait;
};

void init_wait_var_entry(wait_var_entry *entry, const void *var);
/// The queue that waiters for `var` share with those for some other addresses.
wait_queue_head *__var_waitqueue(const void *var);
/// Wakes all waiters for `var`. The caller has changed the condition and orders that against the
/// wake-up: under the lock the waiters test it with, or by a full barrier.
void wake_up_var(const void *var);

/// wake_up_var() for a condition that waiters test under `lock`, which the caller holds.
inline void wake_up_var_locked(const void *var, spinlock_t *lock) __must_hold(lock)
{
    // Without it the look at the queue that comes before the wake-up would need a barrier.
    lockdep_assert_held(lock);
    wake_up_var(var);
}

/// Sets up all queues; once, before anybody waits.
void wait_bit_init();

/// Sleeps until condition() holds. `lock` is held on entry, at every test and on exit, and released
/// while asleep; wakers use wake_up_var_locked() under the same lock.
template <typename Condition>
inline void wait_var_event_spinlock(const void *var, Condition condition, spinlock_t *lock)
    __must_hold(lock) __context_unsafe("drops and retakes the lock around schedule()")
{
    wait_queue_head *wq;
    wait_var_entry entry;

    if (condition())
        return;
    wq = __var_waitqueue(var);
    init_wait_var_entry(&entry, var);
    for (;;) {
        prepare_to_wait(wq, &entry.wait);
        if (condition())
            break;
        spin_unlock(lock);
        schedule();
        spin_lock(lock);
    }
    finish_wait(wq, &entry.wait);
}

/// Sleeps until condition() holds, which is tested without a lock: wakers make it true before a
/// full barrier and wake_up_var(), as store_release_wake_up() does.
template <typename Condition>
inline void wait_var_event(const void *var, Condition condition)
{
    wait_queue_head *wq;
    wait_var_entry entry;

    might_sleep();
    if (condition())
        return;
    wq = __var_waitqueue(var);
    init_wait_var_entry(&entry, var);
    for (;;) {
        prepare_to_wait(wq, &entry.wait);
        if (condition())
            break;
        schedule();
    }
    finish_wait(wq, &entry.wait);
}

/// Stores and wakes those who wait for the field to change; whoever sees the value sees what was
/// done before.
template <typename T>
inline void store_release_wake_up(once<T> *field, T value)
{
    smp_store_release(field, value);
    // Between the store and the look at the queue; pairs with the one in prepare_to_wait().
    smp_mb();
    wake_up_var(field);
}

} // namespace dcsim::inline DCSIM_BACKEND
