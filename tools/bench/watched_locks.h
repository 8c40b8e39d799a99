// SPDX-License-Identifier: GPL-2.0-only
//
// What the library does not tell: who ran into which lock. The linker leads the calls of some of
// its functions here first (--wrap, see CMakeLists.txt), so that the library stays as it is.
#pragma once

#include <cstdint>

#include "dcsim/kernel/spinlock.h"

namespace dcsim::bench
{

/// What a thread has met since it last set this to {}.
struct lock_encounters {
    uint64_t watched = 0;             ///< times it found the watched lock taken
    uint64_t watched_nanoseconds = 0; ///< time until it had it
    uint64_t others = 0;              ///< times it found any other lock taken
};
extern thread_local lock_encounters encounters;

/// The lock that is watched, for all threads; nullptr: none, and nothing is counted.
void watch_lock(const spinlock_t *lock);

/// Whether finish_wait() first looks without the queue's lock, as the kernel's does. The port's
/// always takes it.
void finish_wait_as_the_kernel(bool wanted);

} // namespace dcsim::bench
