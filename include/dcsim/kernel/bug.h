// SPDX-License-Identifier: GPL-2.0-only
//
// BUG and WARN. Always compiled in, in every build type; the condition is evaluated once.
#pragma once

#include "dcsim/kernel/types.h"
#include "dcsim/prim/prim.h"

/// A state the program cannot go on from.
#define BUG_ON(condition)                                                                          \
    do {                                                                                           \
        if (__builtin_expect(static_cast<bool>(condition), false))                                 \
            report_bug(__FILE__, __LINE__, __func__, #condition);                                  \
    } while (0)

/// A broken invariant: reported and counted, execution goes on. Value: the condition.
#define WARN_ON(condition) WARN(condition, "%s", #condition)

/// WARN with a message of its own, in printf form.
#define WARN(condition, ...)                                                                       \
    warned(__builtin_expect(static_cast<bool>(condition), false)                                   \
               ? (report_warning(__FILE__, __LINE__, __func__, __VA_ARGS__), true)                 \
               : false)

#define lockdep_assert_held(lock) WARN_ON(!spin_is_locked(lock))

namespace dcsim::inline DCSIM_BACKEND
{

/// Makes the value of WARN usable and ignorable.
inline bool warned(bool broken)
{
    return broken;
}

} // namespace dcsim::inline DCSIM_BACKEND
