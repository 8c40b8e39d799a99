// SPDX-License-Identifier: GPL-2.0-only
//
// Model backend: a spinlock and a count in one 8-byte word.
#pragma once

#include <cstdint>
#include <cstring>

#include "dcsim/prim/model/once.h"
#include "dcsim/prim/model/spinlock.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct alignas(8) lockref {
    spinlock_t lock;
    once<int> count;
};
static_assert(sizeof(lockref) == 8);

/// What one 8-byte load of a lockref found.
struct lockref_value {
    uint8_t holder;
    int count;

    bool locked() const
    {
        return holder != 0;
    }
};

inline constexpr bool lockref_has_cmpxchg = true;

inline lockref_value lockref_read(const lockref *ref)
{
    schedule_point(operation::load, ref, false);
    return {ref->lock.holder, *ref->count.word()};
}

inline bool lockref_try_cmpxchg(lockref *ref, lockref_value *seen, int count)
{
    schedule_point(operation::exchange, ref, true);
    if (ref->lock.holder == seen->holder && *ref->count.word() == seen->count) {
        *ref->count.word() = count;
        return true;
    }
    *seen = {ref->lock.holder, *ref->count.word()};
    return false;
}

} // namespace dcsim::inline DCSIM_BACKEND
