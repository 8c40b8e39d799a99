// SPDX-License-Identifier: GPL-2.0-only
//
// The contended half of the native spinlock.
#include "dcsim/prim/native/spinlock.h"

#include "futex.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

enum lock_word : uint32_t { FREE = 0, HELD = 1, HELD_WITH_SLEEPERS = 2 };

constexpr int spin_turns = 100;

} // namespace

void spin_lock_contended(spinlock_t *lock)
{
    for (int turn = 0; turn < spin_turns; turn++) {
        uint32_t expected = FREE;
        if (__atomic_load_n(&lock->word, __ATOMIC_RELAXED) == FREE &&
            __atomic_compare_exchange_n(&lock->word, &expected, HELD, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
            return;
        cpu_relax();
    }
    // From here on the lock is taken in the "somebody may sleep" state, because this thread cannot
    // know whether it was the only sleeper. The price is at most one wake-up nobody waits for.
    while (__atomic_exchange_n(&lock->word, HELD_WITH_SLEEPERS, __ATOMIC_ACQUIRE) != FREE)
        futex::wait(&lock->word, HELD_WITH_SLEEPERS);
}

void spin_unlock_wake(spinlock_t *lock)
{
    futex::wake(&lock->word, 1);
}

} // namespace dcsim::inline DCSIM_BACKEND
