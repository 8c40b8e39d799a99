// SPDX-License-Identifier: GPL-2.0-only
//
// What the model backend notices, each by a program that does it, next to one that does not.
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/completion.h"
#include "dcsim/kernel/rcupdate.h"
#include "dcsim/kernel/rwsem.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/kernel/wait.h"
#include "dcsim/kernel/wait_bit.h"
#include "model_program.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::HasSubstr;
using ::testing::Not;

/// Locks of two classes, and one more of the first.
struct locks {
    spinlock_t first;
    spinlock_t second;
    spinlock_t first_again;
    mutex sleeping;
    rw_semaphore sem;
    once<int *> bit_word;
    once<int> field;
    once<int> other_field;
};

toy<locks> program_with_locks()
{
    toy<locks> program;

    program.setup([](locks &s) {
        spin_lock_init(&s.first, "first");
        spin_lock_init(&s.second, "second");
        spin_lock_init(&s.first_again, "first");
        mutex_init(&s.sleeping, "sleeping");
        init_rwsem(&s.sem, "sem");
    });
    return program;
}

void take_both(spinlock_t &outer, spinlock_t &inner) __context_unsafe("order is what is tested")
{
    spin_lock(&outer);
    spin_lock(&inner);
    spin_unlock(&inner);
    spin_unlock(&outer);
}

// --- Deadlock ---

/// The order is checked by class as well; two instances whose classes say nothing about it show the
/// deadlock itself.
toy<locks> crossing_mutexes()
{
    struct crossing {
        static void take(mutex &outer, mutex &inner) __context_unsafe("order is what is tested")
        {
            mutex_lock(&outer);
            while (!mutex_trylock(&inner))
                cpu_relax();
            mutex_unlock(&inner);
            mutex_unlock(&outer);
        }
    };
    (void)&crossing::take;
    return program_with_locks();
}

TEST(Deadlock, CycleOfTwoNamesBothTasksAndTheirLocks)
{
    toy<locks> program = program_with_locks();

    // One lock is taken by a trylock, which has no order to respect: so it is the deadlock itself
    // that is found, and not the order.
    program.task("ann", [](locks &s) __context_unsafe("order is what is tested") {
        if (!spin_trylock(&s.first))
            return;
        spin_lock(&s.second);
        spin_unlock(&s.second);
        spin_unlock(&s.first);
    });
    program.task("bob", [](locks &s) __context_unsafe("order is what is tested") {
        if (!mutex_trylock(&s.sleeping))
            return;
        mutex_unlock(&s.sleeping);
        if (!spin_trylock(&s.second))
            return;
        spin_lock(&s.first);
        spin_unlock(&s.first);
        spin_unlock(&s.second);
    });

    EXPECT_THAT(program.search(0), Holds());
    const search_result found = program.search(1);
    ASSERT_THAT(found, Breaks(violation_kind::deadlock));
    EXPECT_THAT(found.broken.text, HasSubstr("ann waits for bob"));
}
} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
