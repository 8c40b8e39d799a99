// SPDX-License-Identifier: GPL-2.0-only
//
// Model backend: which locks a task holds, and the order in which classes of locks were ever taken
// in this execution. Taking A under B after B was taken under A somewhere is reported even when the
// two tasks did not meet: the kernel's lockdep.
#pragma once

#include <cstdint>

#include "dcsim/prim/model/execution.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// Number of a class of locks, the same for equal names.
uint8_t lock_class_number(const char *name);
const char *lock_class_name(uint8_t lock_class);

/// Before waiting for a lock: checks the order against what the task holds. A trylock, which cannot
/// deadlock, does without.
void lock_check_order(const void *lock, uint8_t lock_class, int subclass, bool shared);
/// The task has it now.
void lock_taken(const void *lock, uint8_t lock_class, int subclass, bool shared, bool spinning);
/// The task gives it up. Complains when it does not have it, or not in this way. Returns the class,
/// with its subclass, for lock_class_name().
uint8_t lock_released(const void *lock, const char *what, bool shared = false);
/// The instance is from now on the outer one of its class.
void lock_becomes_outer(const void *lock);
/// Whether the current task has it.
bool lock_held_by_me(const void *lock);

/// The order seen during set-up is where every execution starts from.
void lock_order_snapshot();
void lock_order_restore();
void lock_order_reset();

} // namespace dcsim::inline DCSIM_BACKEND
