// SPDX-License-Identifier: GPL-2.0-only
//
// Shared fields and atomic counters in the kernel's words. The accessors themselves come from the
// backend (prim/contract.h).
#pragma once

#include "dcsim/kernel/types.h"
#include "dcsim/prim/prim.h"

namespace dcsim::inline DCSIM_BACKEND
{

using atomic_t = once<int>;

inline int atomic_read(const atomic_t *counter)
{
    return READ_ONCE(*counter);
}

inline void atomic_set(atomic_t *counter, int value)
{
    WRITE_ONCE(*counter, value);
}

inline void atomic_inc(atomic_t *counter)
{
    add_return(counter, 1);
}

/// True when the counter reached zero. Full barrier: the last one sees what the others did.
inline bool atomic_dec_and_test(atomic_t *counter)
{
    return add_return(counter, -1) == 0;
}

/// Adds `step` unless the counter holds `unless`. True when it was added.
inline bool atomic_add_unless(atomic_t *counter, int step, int unless)
{
    int value = READ_ONCE(*counter);

    do {
        if (value == unless)
            return false;
    } while (!try_cmpxchg(counter, &value, value + step));
    return true;
}

/// Takes a reference unless the last one is gone.
inline bool atomic_inc_not_zero(atomic_t *counter)
{
    return atomic_add_unless(counter, 1, 0);
}

} // namespace dcsim::inline DCSIM_BACKEND
