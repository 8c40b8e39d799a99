// SPDX-License-Identifier: GPL-2.0-only
//
// Native backend: the 4-byte spinlock and the bit spinlock.
//
// The spinlock spins briefly and then sleeps on a futex, so more threads than processors still make
// progress. The word holds 0 (free), 1 (held) or 2 (held, somebody may sleep). Holding either kind
// of lock is an RCU read-side section, as it is in the kernel, where it disables preemption: v7.2's
// dcache relies on that whenever it drops RCU after it has taken a d_lock.
#pragma once

#include <cstdint>

#include "dcsim/annotations.h"
#include "dcsim/prim/native/once.h"
#include "dcsim/prim/native/rcu.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct __context_lock("spinlock") spinlock
{
    uint32_t word;
};
using spinlock_t = spinlock;

/// `lock_class` names the lock in reports of the model backend; instances of one class share it.
inline void spin_lock_init(spinlock_t *lock, const char *lock_class)
{
    (void)lock_class;
    __atomic_store_n(&lock->word, 0, __ATOMIC_RELAXED);
}

void spin_lock_contended(spinlock_t *lock);
void spin_unlock_wake(spinlock_t *lock);

inline bool spin_is_locked(const spinlock_t *lock)
{
    return __atomic_load_n(&lock->word, __ATOMIC_RELAXED) != 0;
}

inline bool spin_trylock(spinlock_t *lock) __cond_acquires(true, lock)
    __context_unsafe("implements the lock")
{
    uint32_t expected = 0;

    rcu_read_lock();
    if (__atomic_compare_exchange_n(&lock->word, &expected, 1, false, __ATOMIC_ACQUIRE,
                                    __ATOMIC_RELAXED))
        return true;
    rcu_read_unlock();
    return false;
}

inline void spin_lock(spinlock_t *lock) __acquires(lock) __context_unsafe("implements the lock")
{
    uint32_t expected = 0;

    rcu_read_lock();
    if (!__atomic_compare_exchange_n(&lock->word, &expected, 1, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED))
        spin_lock_contended(lock);
}

/// The subclass tells the model's lock-order checker that nesting in one class is intended.
inline void spin_lock_nested(spinlock_t *lock, int subclass) __acquires(lock)
    __context_unsafe("implements the lock")
{
    (void)subclass;
    spin_lock(lock);
}

inline void spin_unlock(spinlock_t *lock) __releases(lock) __context_unsafe("implements the lock")
{
    // The store comes before the end of the read-side section: the lock may live in an object that
    // is freed one grace period after this.
    if (__atomic_exchange_n(&lock->word, 0, __ATOMIC_RELEASE) == 2)
        spin_unlock_wake(lock);
    rcu_read_unlock();
}

/// Hand-over-hand locking: the instance locked last becomes the outer one of its class.
inline void spin_lock_becomes_outer(spinlock_t *lock)
{
    (void)lock;
}

/// The pointer word as an integer that may share memory with a pointer.
using lock_bits = uintptr_t __attribute__((__may_alias__));

/// Bit 0 of a pointer word as a lock.
template <typename T>
inline void bit_spin_lock(once<T *> *word) __context_unsafe("implements the lock")
{
    auto *bits = reinterpret_cast<lock_bits *>(word->word());

    rcu_read_lock();
    for (int turns = 0; __atomic_fetch_or(bits, 1, __ATOMIC_ACQUIRE) & 1;) {
        while (__atomic_load_n(bits, __ATOMIC_RELAXED) & 1)
            retry_relax(turns++);
    }
}

template <typename T>
inline void bit_spin_unlock(once<T *> *word) __context_unsafe("implements the lock")
{
    auto *bits = reinterpret_cast<lock_bits *>(word->word());

    // Only the holder changes the word while the bit is set, so a load and a store suffice.
    __atomic_store_n(bits, __atomic_load_n(bits, __ATOMIC_RELAXED) & ~uintptr_t{1},
                     __ATOMIC_RELEASE);
    rcu_read_unlock();
}

template <typename T>
inline bool bit_spin_is_locked(const once<T *> *word)
{
    return reinterpret_cast<uintptr_t>(__atomic_load_n(word->word(), __ATOMIC_RELAXED)) & 1;
}

} // namespace dcsim::inline DCSIM_BACKEND
