// SPDX-License-Identifier: GPL-2.0-only
//
// What a backend supplies: the written specification of every primitive the port stands on.
//
// prim.h includes a backend's headers first and this file last; the static_asserts below are the
// part of the contract that a compiler can check. The rest is for whoever writes a backend, and
// test/unit/prim_contract_test.cc holds the native backend to it, the model's are in test/explore/.
//
// A *schedule point* is a place where the model backend may let another task run. Between two
// schedule points a task runs alone. Native code has none: there the machine decides.
//
// Rules for both sides
//   - A shim may order more than the kernel primitive it stands for, never less. Fairness is
//     another matter and is said where it differs.
//   - Holding a spinlock or a bit lock is an RCU read-side section. The kernel has this because
//     such a lock disables preemption; v7.2 depends on it wherever it leaves RCU after taking a
//     d_lock (fast_dput, lock_for_kill, d_alloc_parallel, shrink_dcache_tree).
//   - Nothing here throws. Functions marked "sleeps" must not run inside RCU or under a spinlock
//     and check that with might_sleep().
//   - Every function below is a schedule point unless it says otherwise; one that acquires
//     something has its point before the attempt, and a try-function may fail by the scheduler's
//     choice of order.
//
// once<T>                    T trivially copyable, at most 8 bytes; trivial itself, not copyable.
//   READ_ONCE, WRITE_ONCE    one untorn access. Of pointers: a reader that follows the pointer sees
//                            what the writer did before storing it.
//   READ_LOCKED, WRITE_LOCKED  the same access under a lock that already orders it. No schedule
//                            point. WRITE_LOCKED only where nobody reads without that lock in a way
//                            that matters.
//   |=  &=  +=  ++  --       a load and a store, two schedule points: the caller excludes writers.
//   smp_load_acquire, smp_store_release, smp_store_mb, xchg, cmpxchg, try_cmpxchg, add_return
//                            as in the kernel. The last four and smp_store_mb: full barrier.
//   read_word_at_a_time(p)   one word of a name that a rename may be rewriting. A schedule point
//                            for each word: old and new words may come mixed.
//   smp_cond_load_acquire(f, c)  waits for c(value). Model: disabled until c holds; no spinning.
//   cpu_relax(), retry_relax(n)  one turn of a waiting loop that no single field can end. Model:
//                            yields: another task runs before this one goes on, if any can.
//   smp_mb, smp_rmb, smp_wmb barriers. Model, sequentially consistent: nothing.
//
// spinlock_t                 4 bytes, all zero when free. Acquire on lock, release on unlock. Not
//                            recursive. Unlocking is the last access to the object the lock lives
//                            in. Unfair: a waiter may be overtaken, where x86 kernels queue.
//   spin_trylock             takes it or not; the caller must cope with both whenever it is
//                            contended.
//   spin_lock_nested(l, s)   s marks intended nesting within a class.
//   spin_lock_becomes_outer  hand-over-hand: this instance is from now on the outer one. No point.
//   bit_spin_lock(w)         bit 0 of a pointer word. Unfair, as in the kernel. Model: how unfair
//                            is up to the program, see model_program::starvation.
// lockref                    8 bytes {spinlock_t lock; once<int> count}. lockref_read() loads both
//                            halves at once, lockref_try_cmpxchg() replaces the count if neither
//                            half changed.
// rcu_read_lock/unlock       nest; schedule point at the outermost. Static analysis knows it as
//                            the capability `rcu`.
//   call_rcu, rcu_barrier, synchronize_rcu   the last two sleep. A callback runs after every
//                            read-side section that began before call_rcu() has ended, in a context
//                            that may take spinlocks but must not sleep.
//   rcu_dereference, rcu_assign_pointer      acquire and release of a pointer.
// tasks                      set_current_state(); test; schedule(); set_running(): a wake-up
//                            between the first and the third is never lost. wake_up_process() is a
//                            full barrier. Tasks exist until nobody can wake them.
//   task_private(slot)       pointers of the calling task's own, for the code above; nullptr
//                            when the task begins. No schedule point.
//   need_resched()           true when a long walk should come back later. Native: never. Model: a
//                            choice of the search, as often as the program allows.
//   cond_resched()           might_sleep() and a schedule point.
// mutex, rw_semaphore        sleep; acquire and release. Readers share; a waiting writer holds back
//                            new readers; a freed rw_semaphore goes to the first in the queue,
//                            where the kernel lets others steal it. mutex is unfair, without the
//                            kernel's hand-off. The _non_owner pair may be split over two tasks.
//                            Unlocking may touch the lock after somebody else got it: the lock must
//                            outlive that.
// stack_object(p)            p lies in the caller's frame and is about to be reachable by others, a
//                            wait queue or its entry, say. Model: whoever uses it after the frame
//                            has returned is reported. No schedule point.
// object_pool, memory_*      nullptr when there is no memory; contents undefined unless said.
// per_cpu_counters           statistics only: never a schedule point, never decides anything.
// report_warning             WARN: counted, reported, continues (model: a violation). No point.
// report_bug                 BUG: does not return.
#pragma once

#include <concepts>
#include <type_traits>

#include "dcsim/config.h"

namespace dcsim::inline DCSIM_BACKEND
{

template <typename T>
concept shared_field = std::is_trivial_v<once<T>> && sizeof(once<T>) == sizeof(T) &&
                       !std::is_convertible_v<once<T>, T> && !std::equality_comparable<once<T>>;
static_assert(shared_field<int> && shared_field<unsigned> && shared_field<void *>);

static_assert(sizeof(spinlock_t) == 4, "struct lockref and struct dentry depend on it");
static_assert(sizeof(lockref) == 8 && alignof(lockref) == 8);
static_assert(offsetof(lockref, lock) == 0 && offsetof(lockref, count) == 4);
static_assert(sizeof(rcu_head) == 2 * sizeof(void *));

static_assert(requires(once<int> field, const once<int> *in, int value, int *expected) {
    {
        READ_ONCE(field)
        } -> std::same_as<int>;
    {
        READ_LOCKED(field)
        } -> std::same_as<int>;
    {
        smp_load_acquire(in)
        } -> std::same_as<int>;
    {
        xchg(&field, value)
        } -> std::same_as<int>;
    {
        cmpxchg(&field, value, value)
        } -> std::same_as<int>;
    {
        try_cmpxchg(&field, expected, value)
        } -> std::same_as<bool>;
    {
        add_return(&field, value)
        } -> std::same_as<int>;
    {
        smp_cond_load_acquire(in, [](int v) { return v == 0; })
        } -> std::same_as<int>;
    WRITE_ONCE(field, value);
    WRITE_LOCKED(field, value);
    smp_store_release(&field, value);
    smp_store_mb(field, value);
    field |= value;
    field &= value;
    ++field;
    --field;
});

static_assert(requires(spinlock_t * lock, once<int *> *word, lockref *ref, lockref_value *seen) {
    spin_lock_init(lock, "class");
    {
        spin_is_locked(lock)
        } -> std::same_as<bool>;
    {
        bit_spin_is_locked(word)
        } -> std::same_as<bool>;
    {
        lockref_read(ref)
        } -> std::same_as<lockref_value>;
    {
        seen->locked()
        } -> std::same_as<bool>;
    {
        lockref_try_cmpxchg(ref, seen, 1)
        } -> std::same_as<bool>;
    spin_lock_becomes_outer(lock);
    stack_object(lock);
});

static_assert(requires(task_struct * task, rcu_head *head, rcu_callback_t callback) {
    {
        get_current()
        } -> std::same_as<task_struct *>;
    {
        wake_up_process(task)
        } -> std::same_as<bool>;
    {
        rcu_read_lock_held()
        } -> std::same_as<bool>;
    {
        need_resched()
        } -> std::same_as<bool>;
    {
        task_private(0)
        } -> std::same_as<void *&>;
    set_current_state(TASK_UNINTERRUPTIBLE);
    set_running();
    schedule();
    cond_resched();
    might_sleep();
    call_rcu(head, callback);
    synchronize_rcu();
    rcu_barrier();
});

} // namespace dcsim::inline DCSIM_BACKEND
