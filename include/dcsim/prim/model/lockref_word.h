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

/// No execution is long enough to take so many references. That a count would overflow is said
/// before it does.
inline constexpr int too_many_references = 1 << 30;

/// Reports a reference to something dead, one given up that nobody had, or one too many.
[[noreturn]] void report_bad_count(const lockref *ref, int before, int after);

inline lockref_value lockref_read(const lockref *ref)
{
    schedule_point(operation::load, ref, false);
    return {ref->lock.holder, *ref->count.word()};
}

inline bool lockref_try_cmpxchg(lockref *ref, lockref_value *seen, int count)
{
    schedule_point(operation::exchange, ref, true);
    if (ref->lock.holder == seen->holder && *ref->count.word() == seen->count) {
        if (__builtin_expect((seen->count | count) < 0 || count >= too_many_references, false))
            report_bad_count(ref, seen->count, count);
        *ref->count.word() = count;
        return true;
    }
    *seen = {ref->lock.holder, *ref->count.word()};
    return false;
}

} // namespace dcsim::inline DCSIM_BACKEND
