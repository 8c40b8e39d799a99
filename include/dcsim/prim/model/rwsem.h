// SPDX-License-Identifier: GPL-2.0-only
//
// Model backend: the sleeping locks.
#pragma once

#include <cstdint>

#include "dcsim/annotations.h"
#include "dcsim/prim/model/lock_order.h"
#include "dcsim/prim/model/once.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct __context_lock("mutex") mutex
{
    uint8_t holder; ///< task number plus one; 0 when free
    uint8_t lock_class;
    uint16_t unused;
};

void mutex_init(mutex *lock, const char *lock_class);
void mutex_lock(mutex *lock) __acquires(lock) __context_unsafe("implements the lock");
bool mutex_trylock(mutex *lock) __cond_acquires(true, lock) __context_unsafe("implements the lock");
void mutex_unlock(mutex *lock) __releases(lock) __context_unsafe("implements the lock");
bool mutex_is_locked(const mutex *lock);

/// Many readers or one writer. Who waits for writing holds back later readers; a lock that becomes
/// free may be had by anybody whose turn it is: a queued reader before a later writer, and a writer
/// as soon as nobody is inside, queued first or not (the kernel lets writers steal as well).
struct __context_lock("rw_semaphore") rw_semaphore
{
    uint8_t writer; ///< task number plus one; 0 when there is none
    uint8_t lock_class;
    uint16_t readers;
};

void init_rwsem(rw_semaphore *sem, const char *lock_class);
void down_read(rw_semaphore *sem) __acquires_shared(sem) __context_unsafe("implements the lock");
bool down_read_trylock(rw_semaphore *sem) __cond_acquires_shared(true, sem)
    __context_unsafe("implements the lock");
void up_read(rw_semaphore *sem) __releases_shared(sem) __context_unsafe("implements the lock");
void down_write(rw_semaphore *sem) __acquires(sem) __context_unsafe("implements the lock");
bool down_write_trylock(rw_semaphore *sem) __cond_acquires(true, sem)
    __context_unsafe("implements the lock");
void up_write(rw_semaphore *sem) __releases(sem) __context_unsafe("implements the lock");
void downgrade_write(rw_semaphore *sem) __releases(sem) __acquires_shared(sem)
    __context_unsafe("implements the lock");
void down_read_non_owner(rw_semaphore *sem);
void up_read_non_owner(rw_semaphore *sem);
bool rwsem_is_locked(const rw_semaphore *sem);
bool rwsem_is_write_locked(const rw_semaphore *sem);
/// Does the calling task hold it, in either mode? No schedule point.
bool rwsem_held_by_caller(const rw_semaphore *sem);
void down_read_nested(rw_semaphore *sem, int subclass) __acquires_shared(sem)
    __context_unsafe("implements the lock");
void down_write_nested(rw_semaphore *sem, int subclass) __acquires(sem)
    __context_unsafe("implements the lock");

} // namespace dcsim::inline DCSIM_BACKEND
