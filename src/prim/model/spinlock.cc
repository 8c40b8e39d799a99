// SPDX-License-Identifier: GPL-2.0-only
//
// Spinlocks and bit locks of the model.
#include "dcsim/prim/model/spinlock.h"

#include "dcsim/prim/model/memory.h"
#include "internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

constexpr int bit_lock_subclass = 0;

bool spinlock_free(const task_control &task)
{
    return !static_cast<const spinlock_t *>(task.pending_address)->holder;
}

bool bit_free(const task_control &task)
{
    return !(*static_cast<const uintptr_t *>(task.pending_address) & 1);
}

/// Those who wait for the bit lock that this task just got.
task_mask losers(const uintptr_t *word)
{
    const execution_state &x = execution();
    task_mask found = 0;

    for (task_mask left = x.guarded; left; left &= left - 1)
        if (x.task[__builtin_ctz(left)].pending_address == word)
            found |= left & -left;
    return found;
}

uint8_t bit_lock_class()
{
    static const uint8_t number = lock_class_number("bucket lock");
    return number;
}

void take(spinlock_t *lock, int subclass)
{
    lock->holder = static_cast<uint8_t>(current_task().id + 1);
    lock_taken(lock, lock->lock_class, subclass, false, true);
    rcu_enter();
}

void tell_invariants(const void *lock, uint8_t lock_class)
{
    const model_program &program = loaded_program();

    if (program.after_unlock && !execution().solo)
        program.after_unlock(program.argument, lock, lock_class_name(lock_class));
}

} // namespace

void spin_lock_init(spinlock_t *lock, const char *lock_class)
{
    *lock = {0, lock_class_number(lock_class), 0};
    stack_object(lock);
}

bool spin_is_locked(const spinlock_t *lock)
{
    locked_access(lock, false);
    return lock->holder;
}

bool spin_trylock(spinlock_t *lock)
{
    schedule_point(operation::trylock, lock, true);
    if (lock->holder)
        return false;
    take(lock, 0);
    return true;
}

void spin_lock_nested(spinlock_t *lock, int subclass)
{
    lock_check_order(lock, lock->lock_class, subclass, false);
    schedule_point_guarded(operation::lock, lock, true, spinlock_free);
    take(lock, subclass);
}

void spin_lock(spinlock_t *lock)
{
    spin_lock_nested(lock, 0);
}

void spin_unlock(spinlock_t *lock)
{
    schedule_point(operation::unlock, lock, true);
    const uint8_t node = lock_released(lock, "spinlock");
    lock->holder = 0;
    tell_invariants(lock, node);
    rcu_leave();
}

void spin_lock_becomes_outer(spinlock_t *lock)
{
    lock_becomes_outer(lock);
}

void bit_spin_lock_word(uintptr_t *word)
{
    lock_check_order(word, bit_lock_class(), bit_lock_subclass, false);
    schedule_point_guarded(operation::lock, word, true, bit_free);
    *word |= 1;
    if (loaded_program().starvation)
        current_task().outran |= losers(word);
    lock_taken(word, bit_lock_class(), bit_lock_subclass, false, true);
    rcu_enter();
}

void bit_spin_unlock_word(uintptr_t *word)
{
    schedule_point(operation::unlock, word, true);
    lock_released(word, "bit lock");
    *word &= ~uintptr_t{1};
    rcu_leave();
}

} // namespace dcsim::inline DCSIM_BACKEND
