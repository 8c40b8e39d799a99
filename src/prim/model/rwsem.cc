// SPDX-License-Identifier: GPL-2.0-only
//
// mutex and rw_semaphore of the model.
#include "dcsim/prim/model/rwsem.h"

#include "dcsim/prim/model/task.h"
#include "internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

uint8_t my_mark()
{
    return static_cast<uint8_t>(current_task().id + 1);
}

bool mutex_free(const task_control &task)
{
    return !static_cast<const mutex *>(task.pending_address)->holder;
}

/// A task queued for writing before `ticket`.
bool writer_ahead(const rw_semaphore *sem, uint32_t ticket)
{
    const execution_state &x = execution();

    for (unsigned i = 0; i < x.tasks; i++) {
        const task_control &other = x.task[i];
        if ((x.guarded >> i & 1) && other.pending == operation::lock &&
            other.pending_address == sem && other.ticket && other.ticket < ticket)
            return true;
    }
    return false;
}

bool may_read(const task_control &task)
{
    auto *sem = static_cast<const rw_semaphore *>(task.pending_address);
    return !sem->writer && !writer_ahead(sem, task.ticket);
}

bool may_write(const task_control &task)
{
    auto *sem = static_cast<const rw_semaphore *>(task.pending_address);
    return !sem->writer && !sem->readers;
}

/// Arriving is a step of its own: only who has arrived holds others back. Then waiting.
void queue_for(rw_semaphore *sem, operation kind, guard_function guard)
{
    task_control &me = current_task();

    schedule_point(kind, sem, true);
    me.ticket = ++execution().next_ticket;
    if (execution().solo || !guard(me))
        schedule_point_guarded(kind, sem, true, guard);
    me.ticket = 0;
}

void take_for_reading(rw_semaphore *sem, int subclass)
{
    sem->readers++;
    lock_taken(sem, sem->lock_class, subclass, true, false);
}

void take_for_writing(rw_semaphore *sem, int subclass)
{
    sem->writer = my_mark();
    lock_taken(sem, sem->lock_class, subclass, false, false);
}

} // namespace

void mutex_init(mutex *lock, const char *lock_class)
{
    *lock = {0, lock_class_number(lock_class), 0};
}

void mutex_lock(mutex *lock)
{
    might_sleep();
    lock_check_order(lock, lock->lock_class, 0, false);
    schedule_point_guarded(operation::lock, lock, true, mutex_free);
    lock->holder = my_mark();
    lock_taken(lock, lock->lock_class, 0, false, false);
}

bool mutex_trylock(mutex *lock)
{
    schedule_point(operation::trylock, lock, true);
    if (lock->holder)
        return false;
    lock->holder = my_mark();
    lock_taken(lock, lock->lock_class, 0, false, false);
    return true;
}

void mutex_unlock(mutex *lock)
{
    schedule_point(operation::unlock, lock, true);
    lock_released(lock, "mutex");
    lock->holder = 0;
}

bool mutex_is_locked(const mutex *lock)
{
    schedule_point(operation::load, lock, false);
    return lock->holder;
}

void init_rwsem(rw_semaphore *sem, const char *lock_class)
{
    *sem = {0, lock_class_number(lock_class), 0};
}

void down_read_nested(rw_semaphore *sem, int subclass)
{
    might_sleep();
    lock_check_order(sem, sem->lock_class, subclass, true);
    queue_for(sem, operation::lock_shared, may_read);
    take_for_reading(sem, subclass);
}

void down_read(rw_semaphore *sem)
{
    down_read_nested(sem, 0);
}

bool down_read_trylock(rw_semaphore *sem)
{
    schedule_point(operation::trylock_shared, sem, true);
    if (sem->writer || writer_ahead(sem, UINT32_MAX))
        return false;
    take_for_reading(sem, 0);
    return true;
}

void up_read(rw_semaphore *sem)
{
    schedule_point(operation::unlock_shared, sem, true);
    lock_released(sem, "read side of", true);
    sem->readers--;
}

void down_write_nested(rw_semaphore *sem, int subclass)
{
    might_sleep();
    lock_check_order(sem, sem->lock_class, subclass, false);
    queue_for(sem, operation::lock, may_write);
    take_for_writing(sem, subclass);
}

void down_write(rw_semaphore *sem)
{
    down_write_nested(sem, 0);
}

bool down_write_trylock(rw_semaphore *sem)
{
    schedule_point(operation::trylock, sem, true);
    if (sem->writer || sem->readers)
        return false;
    take_for_writing(sem, 0);
    return true;
}

void up_write(rw_semaphore *sem)
{
    schedule_point(operation::unlock, sem, true);
    lock_released(sem, "write side of");
    sem->writer = 0;
}

void downgrade_write(rw_semaphore *sem)
{
    schedule_point(operation::unlock, sem, true);
    lock_released(sem, "write side of");
    sem->writer = 0;
    take_for_reading(sem, 0);
}

void down_read_non_owner(rw_semaphore *sem)
{
    might_sleep();
    queue_for(sem, operation::lock_shared, may_read);
    sem->readers++;
}

void up_read_non_owner(rw_semaphore *sem)
{
    schedule_point(operation::unlock_shared, sem, true);
    if (!sem->readers)
        violate(violation_kind::unbalanced_lock,
                "%s unlocks the read side of %s, which nobody holds", current_task().name,
                address_text(sem));
    sem->readers--;
}

bool rwsem_is_locked(const rw_semaphore *sem)
{
    schedule_point(operation::load, sem, false);
    return sem->writer || sem->readers;
}

bool rwsem_is_write_locked(const rw_semaphore *sem)
{
    schedule_point(operation::load, sem, false);
    return sem->writer;
}

bool rwsem_held_by_caller(const rw_semaphore *sem)
{
    const task_control &task = current_task();

    for (unsigned i = 0; i < task.held_locks; i++)
        if (task.held[i].lock == sem)
            return true;
    return false;
}

} // namespace dcsim::inline DCSIM_BACKEND
