// SPDX-License-Identifier: GPL-2.0-only
//
// A reference count and the spinlock that guards it in one 8-byte word. Source: lib/lockref.c.
//
// While nobody holds the lock the count changes by one compare-and-exchange of the whole word; a
// held lock sends everybody but its holder to the slow path. A negative count means dead: the
// object is on its way out and no reference can be had any more.
#pragma once

#include "dcsim/annotations.h"
#include "dcsim/kernel/once.h"
#include "dcsim/kernel/spinlock.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// What mark_dead stores. Low enough that no underflow reaches it by accident.
inline constexpr int LOCKREF_DEAD = -128;

void lockref_init(lockref *ref, const char *lock_class);
/// One more reference, whatever the count was. The caller owns one or pins the object otherwise.
void lockref_get(lockref *ref);
/// One more reference unless the count is zero or dead. Returns whether it was taken.
bool lockref_get_not_zero(lockref *ref);
/// One more reference unless the object is dead; may raise zero to one. Returns whether taken.
bool lockref_get_not_dead(lockref *ref);
/// One reference less unless it is the last. Returns whether it was dropped.
bool lockref_put_not_zero(lockref *ref);
/// Drops a reference and returns what is left. -1, with nothing dropped, when the lock is held, the
/// count is not positive, or the word kept changing: the caller must then lock and drop by itself.
int lockref_put_return(lockref *ref);
/// Drops a reference and returns true, or returns false with the lock held and the last reference
/// still counted.
bool lockref_put_or_lock(lockref *ref) __cond_acquires(false, &ref->lock);
/// Marks the object dead. Lock held.
void lockref_mark_dead(lockref *ref) __must_hold(&ref->lock);

inline bool __lockref_is_dead(const lockref *ref)
{
    return READ_ONCE(ref->count) < 0;
}

} // namespace dcsim::inline DCSIM_BACKEND
