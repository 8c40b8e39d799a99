// SPDX-License-Identifier: GPL-2.0-only
//
// Dropping a reference so that the last one goes under a lock. Source: lib/dec_and_lock.c.
#pragma once

#include "dcsim/annotations.h"
#include "dcsim/kernel/once.h"
#include "dcsim/kernel/spinlock.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// Drops one reference. True when it was the last: then `lock` is held, and whoever takes
/// references under that lock saw the count either before the drop or at zero, never in between.
inline bool atomic_dec_and_lock(atomic_t *counter, spinlock_t *lock) __cond_acquires(true, lock)
    __context_unsafe("implements the conditional lock")
{
    if (atomic_add_unless(counter, -1, 1))
        return false;

    // Looked like the last one. A new reference may still be taken before the lock is held.
    spin_lock(lock);
    if (atomic_dec_and_test(counter))
        return true;
    spin_unlock(lock);
    return false;
}

} // namespace dcsim::inline DCSIM_BACKEND
