// SPDX-License-Identifier: GPL-2.0-only
//
// Native backend: the sleeping locks, mutex and rw_semaphore.
#pragma once

#include <cstdint>

#include "dcsim/annotations.h"
#include "dcsim/prim/native/once.h"
#include "dcsim/prim/native/spinlock.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct __context_lock("mutex") mutex
{
    uint32_t word; ///< 0 free, 1 held, 2 held and somebody may sleep
};

inline void mutex_init(mutex *lock, const char *lock_class)
{
    (void)lock_class;
    __atomic_store_n(&lock->word, 0, __ATOMIC_RELAXED);
}

void mutex_lock(mutex *lock) __acquires(lock);
bool mutex_trylock(mutex *lock) __cond_acquires(true, lock);
void mutex_unlock(mutex *lock) __releases(lock);
bool mutex_is_locked(const mutex *lock);

struct rwsem_waiter;
struct task_struct;

/// Many readers or one writer, first come first served: a waiting writer holds back later readers,
/// and a lock that becomes free is handed to the first in the queue.
struct __context_lock("rw_semaphore") rw_semaphore
{
    once<uint32_t> count;       ///< bit 0 writer, bit 1 queue not empty, readers from bit 2 up
    spinlock_t wait_lock;       ///< guards the queue; innermost, nothing is taken under it
    rwsem_waiter *first_waiter; ///< under wait_lock; the waiters live on the sleepers' stacks
    rwsem_waiter *last_waiter;  ///< under wait_lock
    once<task_struct *> owner;  ///< who has it for writing; set by that task, for checks only
};

void init_rwsem(rw_semaphore *sem, const char *lock_class);
void down_read(rw_semaphore *sem) __acquires_shared(sem);
bool down_read_trylock(rw_semaphore *sem) __cond_acquires_shared(true, sem);
void up_read(rw_semaphore *sem) __releases_shared(sem);
void down_write(rw_semaphore *sem) __acquires(sem);
bool down_write_trylock(rw_semaphore *sem) __cond_acquires(true, sem);
void up_write(rw_semaphore *sem) __releases(sem);
/// Turns the write lock into a read lock without letting a writer in between.
void downgrade_write(rw_semaphore *sem) __releases(sem) __acquires_shared(sem);
/// The read lock is given up by another task than the one that took it.
void down_read_non_owner(rw_semaphore *sem);
void up_read_non_owner(rw_semaphore *sem);
bool rwsem_is_locked(const rw_semaphore *sem);
bool rwsem_is_write_locked(const rw_semaphore *sem);
/// Does the calling task hold it? Only for writing is that known: readers leave no names.
bool rwsem_held_by_caller(const rw_semaphore *sem);

/// Nesting of one class, for the model's lock-order checker.
inline void down_read_nested(rw_semaphore *sem, int subclass) __acquires_shared(sem)
{
    (void)subclass;
    down_read(sem);
}
inline void down_write_nested(rw_semaphore *sem, int subclass) __acquires(sem)
{
    (void)subclass;
    down_write(sem);
}

} // namespace dcsim::inline DCSIM_BACKEND
