// SPDX-License-Identifier: GPL-2.0-only
//
// Model backend: spinlock and bit spinlock. A contended task is not enabled until the lock is free,
// and then has no better claim than anybody else: it can lose again and again.
#pragma once

#include <cstdint>

#include "dcsim/annotations.h"
#include "dcsim/prim/model/lock_order.h"
#include "dcsim/prim/model/once.h"
#include "dcsim/prim/model/rcu.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct __context_lock("spinlock") spinlock
{
    uint8_t holder; ///< task number plus one; 0 when free
    uint8_t lock_class;
    uint16_t unused;
};
using spinlock_t = spinlock;

/// `lock_class` names the lock in reports and in the order of locks; instances share it. A lock on
/// a task's stack lives until its frame returns.
void spin_lock_init(spinlock_t *lock, const char *lock_class);
bool spin_is_locked(const spinlock_t *lock);
bool spin_trylock(spinlock_t *lock) __cond_acquires(true, lock)
    __context_unsafe("implements the lock");
void spin_lock(spinlock_t *lock) __acquires(lock) __context_unsafe("implements the lock");
void spin_lock_nested(spinlock_t *lock, int subclass) __acquires(lock)
    __context_unsafe("implements the lock");
void spin_unlock(spinlock_t *lock) __releases(lock) __context_unsafe("implements the lock");
void spin_lock_becomes_outer(spinlock_t *lock);

/// Bit 0 of a pointer word as a lock.
void bit_spin_lock_word(uintptr_t *word);
void bit_spin_unlock_word(uintptr_t *word);

template <typename T>
inline void bit_spin_lock(once<T *> *word)
{
    bit_spin_lock_word(reinterpret_cast<uintptr_t *>(word->word()));
}

template <typename T>
inline void bit_spin_unlock(once<T *> *word)
{
    bit_spin_unlock_word(reinterpret_cast<uintptr_t *>(word->word()));
}

template <typename T>
inline bool bit_spin_is_locked(const once<T *> *word)
{
    schedule_point(operation::load, word->word(), false);
    return reinterpret_cast<uintptr_t>(*word->word()) & 1;
}

} // namespace dcsim::inline DCSIM_BACKEND
