// SPDX-License-Identifier: GPL-2.0-only
//
// The sleeping locks of the native backend.
//
// rw_semaphore: an uncontended acquisition is one compare-and-exchange on `count`. Once the queue
// bit is set everybody queues behind the first waiter, and whoever frees the lock hands it over:
// the count already shows the new holder when a waiter wakes. So a stream of readers cannot starve
// a writer, and no waiter has to retry.
#include "dcsim/prim/native/rwsem.h"

#include "dcsim/kernel/bug.h"
#include "dcsim/prim/native/task.h"
#include "futex.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

enum mutex_word : uint32_t { FREE = 0, HELD = 1, HELD_WITH_SLEEPERS = 2 };

constexpr uint32_t WRITER = 1;
constexpr uint32_t QUEUED = 2;
constexpr uint32_t READER = 4;

} // namespace

void mutex_lock(mutex *lock) __context_unsafe("implements the lock")
{
    uint32_t expected = FREE;

    might_sleep();
    if (__atomic_compare_exchange_n(&lock->word, &expected, HELD, false, __ATOMIC_ACQUIRE,
                                    __ATOMIC_RELAXED))
        return;
    while (__atomic_exchange_n(&lock->word, HELD_WITH_SLEEPERS, __ATOMIC_ACQUIRE) != FREE)
        futex::wait(&lock->word, HELD_WITH_SLEEPERS);
}

bool mutex_trylock(mutex *lock) __context_unsafe("implements the lock")
{
    uint32_t expected = FREE;
    return __atomic_compare_exchange_n(&lock->word, &expected, HELD, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

void mutex_unlock(mutex *lock) __context_unsafe("implements the lock")
{
    uint32_t before = __atomic_exchange_n(&lock->word, FREE, __ATOMIC_RELEASE);

    WARN_ON(before == FREE);
    if (before == HELD_WITH_SLEEPERS)
        futex::wake(&lock->word, 1);
}

bool mutex_is_locked(const mutex *lock)
{
    return __atomic_load_n(&lock->word, __ATOMIC_RELAXED) != FREE;
}

struct rwsem_waiter {
    task_struct *task;
    bool wants_write;
    once<bool> granted; ///< set by the thread that hands the lock over; the waiter's last word
    rwsem_waiter *next;
};

void init_rwsem(rw_semaphore *sem, const char *lock_class)
{
    WRITE_ONCE(sem->count, 0);
    spin_lock_init(&sem->wait_lock, lock_class);
    sem->first_waiter = nullptr;
    sem->last_waiter = nullptr;
    WRITE_ONCE(sem->owner, nullptr);
}

namespace
{

bool may_take(uint32_t count, bool write)
{
    return write ? (count & ~QUEUED) == 0 : !(count & WRITER);
}

/// Takes the lock without queueing, unless somebody already queues.
bool try_take(rw_semaphore *sem, bool write)
{
    uint32_t count = READ_ONCE(sem->count);

    while (!(count & QUEUED) && may_take(count, write)) {
        if (try_cmpxchg(&sem->count, &count, write ? count | WRITER : count + READER))
            return true;
    }
    return false;
}

/// Hands the lock to the first waiter and, when that is a reader, to the readers right behind it.
/// Called with wait_lock held.
void hand_over(rw_semaphore *sem) __must_hold(&sem->wait_lock)
{
    while (rwsem_waiter *waiter = sem->first_waiter) {
        uint32_t count = READ_ONCE(sem->count);
        do {
            if (!may_take(count, waiter->wants_write))
                return;
        } while (!try_cmpxchg(&sem->count, &count,
                              waiter->wants_write ? count | WRITER : count + READER));

        sem->first_waiter = waiter->next;
        if (!sem->first_waiter) {
            sem->last_waiter = nullptr;
            add_return(&sem->count, uint32_t{0} - QUEUED);
        }
        // After the store the waiter may return and its stack frame end.
        task_struct *task = waiter->task;
        smp_store_release(&waiter->granted, true);
        wake_up_process(task);
    }
}

void take_or_queue(rw_semaphore *sem, bool write)
{
    rwsem_waiter waiter = {get_current(), write, once<bool>(false), nullptr};

    spin_lock(&sem->wait_lock);
    if (!sem->first_waiter) {
        sem->first_waiter = &waiter;
        // A full barrier: either the holder's release sees the bit, or hand_over() below sees the
        // lock free.
        add_return(&sem->count, QUEUED);
    } else {
        sem->last_waiter->next = &waiter;
    }
    sem->last_waiter = &waiter;
    hand_over(sem);
    spin_unlock(&sem->wait_lock);

    for (;;) {
        set_current_state(TASK_UNINTERRUPTIBLE);
        if (smp_load_acquire(&waiter.granted))
            break;
        schedule();
    }
    set_running();
    // The waker works under wait_lock. Passing through it once means that the waker is done with
    // this thread's task, which may exit as soon as this function has returned.
    spin_lock(&sem->wait_lock);
    spin_unlock(&sem->wait_lock);
}

void release(rw_semaphore *sem, uint32_t held)
{
    uint32_t count = add_return(&sem->count, uint32_t{0} - held);

    if (!(count & QUEUED) || (count & ~QUEUED))
        return;
    spin_lock(&sem->wait_lock);
    hand_over(sem);
    spin_unlock(&sem->wait_lock);
}

} // namespace

void down_read(rw_semaphore *sem) __context_unsafe("implements the lock")
{
    might_sleep();
    if (!try_take(sem, false))
        take_or_queue(sem, false);
}

bool down_read_trylock(rw_semaphore *sem) __context_unsafe("implements the lock")
{
    return try_take(sem, false);
}

void up_read(rw_semaphore *sem) __context_unsafe("implements the lock")
{
    WARN_ON(READ_ONCE(sem->count) < READER);
    release(sem, READER);
}

void down_write(rw_semaphore *sem) __context_unsafe("implements the lock")
{
    might_sleep();
    if (!try_take(sem, true))
        take_or_queue(sem, true);
    WRITE_ONCE(sem->owner, get_current());
}

bool down_write_trylock(rw_semaphore *sem) __context_unsafe("implements the lock")
{
    if (!try_take(sem, true))
        return false;
    WRITE_ONCE(sem->owner, get_current());
    return true;
}

void up_write(rw_semaphore *sem) __context_unsafe("implements the lock")
{
    WARN_ON(!rwsem_is_write_locked(sem));
    WRITE_ONCE(sem->owner, nullptr);
    release(sem, WRITER);
}

void downgrade_write(rw_semaphore *sem) __context_unsafe("implements the lock")
{
    uint32_t count;

    WRITE_ONCE(sem->owner, nullptr);
    count = add_return(&sem->count, READER - WRITER);

    if (!(count & QUEUED))
        return;
    spin_lock(&sem->wait_lock);
    hand_over(sem);
    spin_unlock(&sem->wait_lock);
}

void down_read_non_owner(rw_semaphore *sem) __context_unsafe("released by another task")
{
    down_read(sem);
}

void up_read_non_owner(rw_semaphore *sem) __context_unsafe("taken by another task")
{
    up_read(sem);
}

bool rwsem_is_locked(const rw_semaphore *sem)
{
    return (READ_ONCE(sem->count) & ~QUEUED) != 0;
}

bool rwsem_is_write_locked(const rw_semaphore *sem)
{
    return READ_ONCE(sem->count) & WRITER;
}

bool rwsem_held_by_caller(const rw_semaphore *sem)
{
    return READ_ONCE(sem->owner) == get_current();
}

} // namespace dcsim::inline DCSIM_BACKEND
