// SPDX-License-Identifier: GPL-2.0-only
//
// Native backend: a spinlock and a count that one 8-byte compare-and-exchange can change together.
#pragma once

#include <cstdint>
#include <cstring>

#include "dcsim/prim/native/once.h"
#include "dcsim/prim/native/spinlock.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct alignas(8) lockref {
    spinlock_t lock;
    once<int> count;
};
static_assert(sizeof(lockref) == 8);

/// What one 8-byte load of a lockref found.
struct lockref_value {
    uint32_t lock_word;
    int count;

    bool locked() const
    {
        return lock_word != 0;
    }
};

/// True: the compare-and-exchange below is a single atomic instruction here.
inline constexpr bool lockref_has_cmpxchg = true;

inline lockref_value lockref_read(const lockref *ref)
{
    using aliased_word = uint64_t __attribute__((__may_alias__));
    uint64_t word =
        __atomic_load_n(reinterpret_cast<const aliased_word *>(ref), once_load_order<uint64_t>);
    lockref_value value;
    memcpy(&value, &word, sizeof(value));
    return value;
}

/// Replaces the count when neither half changed since `seen`; otherwise refreshes `seen`. Stronger
/// than the kernel's relaxed exchange: what a task did before dropping its reference is visible to
/// the task that finds the count it left behind.
inline bool lockref_try_cmpxchg(lockref *ref, lockref_value *seen, int count)
{
    using aliased_word = uint64_t __attribute__((__may_alias__));
    lockref_value wanted = {seen->lock_word, count};
    uint64_t expected;
    uint64_t desired;

    memcpy(&expected, seen, sizeof(expected));
    memcpy(&desired, &wanted, sizeof(desired));
    bool swapped = __atomic_compare_exchange_n(reinterpret_cast<aliased_word *>(ref), &expected,
                                               desired, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
    memcpy(seen, &expected, sizeof(*seen));
    return swapped;
}

} // namespace dcsim::inline DCSIM_BACKEND
