// SPDX-License-Identifier: GPL-2.0-only
//
// What the model backend notices, each by a program that does it; beside it, where the line is
// fine, one that does not.
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/completion.h"
#include "dcsim/kernel/lockref.h"
#include "dcsim/kernel/rcupdate.h"
#include "dcsim/kernel/rwsem.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/kernel/spinlock.h"
#include "dcsim/kernel/wait.h"
#include "model_program.h"
#include "sanitizers.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::AllOf;
using ::testing::HasSubstr;

/// One of each, and some fields.
struct shared {
    spinlock_t lock;
    spinlock_t same_class;
    spinlock_t other_class;
    mutex sleeping;
    rw_semaphore sem;
    once<int *> word;
    once<int> flag;
    once<int> other;
    once<task_struct *> sleeper;
    wait_queue_head queue;
};

class Detector : public ::testing::Test
{
  protected:
    Detector()
    {
        program.setup([](shared &s) {
            spin_lock_init(&s.lock, "class a");
            spin_lock_init(&s.same_class, "class a");
            spin_lock_init(&s.other_class, "class b");
            mutex_init(&s.sleeping, "mutex");
            init_rwsem(&s.sem, "semaphore");
        });
    }

    toy<shared> program;
};

/// Sleeps until the field has a value, as every sleeper should: tests after it has said so.
void sleep_until_set(once<int> &field)
{
    for (;;) {
        set_current_state(TASK_UNINTERRUPTIBLE);
        if (READ_ONCE(field))
            break;
        schedule();
    }
    set_running();
}

/// Steps that concern nobody.
void dawdle(once<int> &field, int steps)
{
    for (int i = 0; i < steps; i++)
        (void)READ_ONCE(field);
}

// --- Deadlock ---

class Deadlock : public Detector
{
};

void take_nested(spinlock_t &outer, spinlock_t &inner)
{
    spin_lock(&outer);
    // Says that the order is known, which is a lie: the order of classes finds nothing wrong.
    spin_lock_nested(&inner, 1);
    spin_unlock(&inner);
    spin_unlock(&outer);
}

TEST_F(Deadlock, CycleNamesTheTasksAndTheLocks)
{
    program.task("ann", [](shared &s) { take_nested(s.lock, s.same_class); });
    program.task("bob", [](shared &s) { take_nested(s.same_class, s.lock); });

    EXPECT_THAT(program.search(0), Holds());
    const search_result found = program.search(1);
    ASSERT_THAT(found, Breaks(violation_kind::deadlock));
    EXPECT_THAT(found.broken.text,
                AllOf(HasSubstr("ann waits for bob, bob waits for ann"),
                      HasSubstr("ann waits for the lock table of main+4, held by bob"),
                      HasSubstr("bob waits for the lock table of main+0, held by ann")));
}

TEST_F(Deadlock, SpinlockTakenTwiceByOneTask)
{
    program.task("ann", [](shared &s) __context_unsafe("the mistake") {
        spin_lock(&s.lock);
        spin_lock(&s.lock);
    });

    EXPECT_THAT(program.search(0), BreaksSaying(violation_kind::deadlock, "holds already"));
}

TEST_F(Deadlock, BitLockTakenTwiceByOneTask)
{
    program.task("ann", [](shared &s) {
        bit_spin_lock(&s.word);
        bit_spin_lock(&s.word);
    });

    EXPECT_THAT(program.search(0), BreaksSaying(violation_kind::deadlock, "holds already"));
}

TEST_F(Deadlock, MutexTakenTwiceByOneTask)
{
    program.task("ann", [](shared &s) __context_unsafe("the mistake") {
        mutex_lock(&s.sleeping);
        mutex_lock(&s.sleeping);
    });

    EXPECT_THAT(program.search(0), BreaksSaying(violation_kind::deadlock, "holds already"));
}

TEST_F(Deadlock, ReaderThatWantsToWriteWaitsForItself)
{
    program.task("ann", [](shared &s) __context_unsafe("the mistake") {
        down_read(&s.sem);
        down_write(&s.sem);
    });

    EXPECT_THAT(program.search(0), BreaksSaying(violation_kind::deadlock, "holds already"));
}

TEST_F(Deadlock, FieldThatNobodyChanges)
{
    program.task("ann", [](shared &s) {
        smp_cond_load_acquire(&s.flag, [](int value) { return value != 0; });
    });

    EXPECT_THAT(program.search(0), BreaksSaying(violation_kind::deadlock, "ann waits for table"));
}

struct callback_state {
    rcu_head head;
    spinlock_t lock;
    once<int> ran;
};

// RCU's own task is part of this one.
TEST(RcuDeadlock, CallbackThatWaitsForALockNamesIt)
{
    toy<callback_state> program;

    program.setup([](callback_state &s) { spin_lock_init(&s.lock, "lock"); });
    program.task("ann", [](callback_state &s) {
        call_rcu(&s.head, [](rcu_head *head) {
            auto *s = container_of(head, callback_state, head);
            spin_lock(&s->lock);
            WRITE_ONCE(s->ran, 1);
            spin_unlock(&s->lock);
        });
        spin_lock(&s.lock);
        smp_cond_load_acquire(&s.ran, [](int ran) { return ran != 0; });
        spin_unlock(&s.lock);
    });

    // The callback may already be inside when ann takes the lock: then each waits for the other.
    const search_result found = program.search(1);
    ASSERT_THAT(found, Breaks(violation_kind::deadlock));
    EXPECT_THAT(found.broken.text, HasSubstr("ann waits for"));
    toy<callback_state> inside;
    inside.setup([](callback_state &s) { spin_lock_init(&s.lock, "lock"); });
    inside.task("ann", [](callback_state &s) {
        call_rcu(&s.head, [](rcu_head *head) {
            auto *s = container_of(head, callback_state, head);
            WRITE_ONCE(s->ran, 1);
            spin_lock(&s->lock);
            spin_unlock(&s->lock);
            WRITE_ONCE(s->ran, 2);
        });
        smp_cond_load_acquire(&s.ran, [](int ran) { return ran >= 1; });
        spin_lock(&s.lock);
        smp_cond_load_acquire(&s.ran, [](int ran) { return ran == 2; });
        spin_unlock(&s.lock);
    });
    EXPECT_THAT(inside.search(1), BreaksSaying(violation_kind::deadlock, "rcu waits for the lock"));
}

// --- Lost wake-up ---

class LostWakeUp : public Detector
{
};

TEST_F(LostWakeUp, ConditionIsTrueAndNobodyWakes)
{
    program.task("ann", [](shared &s) { sleep_until_set(s.flag); });
    program.task("bob", [](shared &s) { WRITE_ONCE(s.flag, 1); });

    const search_result found = program.search(1);
    ASSERT_THAT(found, Breaks(violation_kind::lost_wake_up));
    EXPECT_THAT(found.broken.text, HasSubstr("ann sleeps although"));
    // The experiment that told so is no part of the execution.
    EXPECT_EQ(found.broken.step, 5u);
}

TEST_F(LostWakeUp, SeenAsWellWhenMuchIsLeftToDo)
{
    program.task("ann", [](shared &s) {
        sleep_until_set(s.flag);
        dawdle(s.other, 100);
    });
    program.task("bob", [](shared &s) { WRITE_ONCE(s.flag, 1); });

    EXPECT_THAT(program.search(1), Breaks(violation_kind::lost_wake_up));
}

TEST_F(LostWakeUp, SleeperWhoseConditionIsFalseIsADeadlock)
{
    program.task("ann", [](shared &s) { sleep_until_set(s.flag); });
    program.task("bob", [](shared &s) { WRITE_ONCE(s.other, 1); });

    EXPECT_THAT(program.search(1),
                BreaksSaying(violation_kind::deadlock, "ann sleeps until somebody wakes it"));
}

TEST_F(LostWakeUp, FoundBehindASleeperWhoWaitsForTheOther)
{
    program.task("ann", [](shared &s) {
        WRITE_ONCE(s.sleeper, get_current());
        sleep_until_set(s.other);
    });
    program.task("bob", [](shared &s) {
        sleep_until_set(s.flag);
        WRITE_ONCE(s.other, 1);
        wake_up_process(READ_ONCE(s.sleeper));
    });
    program.task("cat", [](shared &s) { WRITE_ONCE(s.flag, 1); });

    EXPECT_THAT(program.search(1),
                BreaksSaying(violation_kind::lost_wake_up, "bob sleeps although"));
}

TEST_F(LostWakeUp, NotClaimedOfWhoWouldOnlyWaitForALock)
{
    program.task("ann", [](shared &s) __context_unsafe("the lock is held again after sleeping") {
        mutex_lock(&s.sleeping);
        while (!READ_ONCE(s.flag)) {
            set_current_state(TASK_UNINTERRUPTIBLE);
            mutex_unlock(&s.sleeping);
            schedule();
            mutex_lock(&s.sleeping);
        }
        mutex_unlock(&s.sleeping);
    });
    program.task("bob", [](shared &s) {
        mutex_lock(&s.sleeping);
        sleep_until_set(s.other);
        mutex_unlock(&s.sleeping);
    });

    EXPECT_THAT(program.search(1), Breaks(violation_kind::deadlock));
}

// Waking it for the experiment is not what the program did: what comes of it is no finding.
TEST_F(LostWakeUp, SleeperThatDoesNotTestAgainIsADeadlock)
{
    program.task("ann", [](shared &s) {
        set_current_state(TASK_UNINTERRUPTIBLE);
        schedule();
        require(READ_ONCE(s.flag) != 0, "woken for nothing");
    });

    EXPECT_THAT(program.search(0), Breaks(violation_kind::deadlock));
}

// --- Wait queues and stacks ---

/// Queues an entry of its own and forgets it. Not part of its caller's frame.
__attribute__((noinline)) void leave_an_entry_behind(wait_queue_head *queue)
{
    wait_queue_entry entry;

    init_waitqueue_entry(&entry, get_current());
    add_wait_queue(queue, &entry);
}

class WaitQueue : public Detector
{
};

TEST_F(WaitQueue, EntryWhoseFunctionHasReturnedIsNotWoken)
{
    program.setup([](shared &s) { init_waitqueue_head(&s.queue, "queue"); });
    program.task("ann", [](shared &s) {
        leave_an_entry_behind(&s.queue);
        WRITE_ONCE(s.flag, 1);
    });
    program.task("bob", [](shared &s) {
        if (READ_ONCE(s.flag))
            wake_up_all(&s.queue);
    });

    EXPECT_THAT(program.search(1),
                BreaksSaying(violation_kind::use_after_free,
                             "bob uses an object on the stack of ann whose function has returned"));
}

// The rule of the waiters before v7.2: the condition comes true where the last walk over the queue
// happens, so the entries can be left behind.
TEST_F(WaitQueue, EntryMayBeForgottenAfterTheLastWakeUp)
{
    program.setup([](shared &s) {
        init_waitqueue_head(&s.queue, "queue");
        spin_lock_init(&s.lock, "class a");
    });
    program.task("ann", [](shared &s) {
        wait_queue_entry entry;

        spin_lock(&s.lock);
        if (!READ_ONCE(s.flag)) {
            init_waitqueue_entry(&entry, get_current());
            add_wait_queue(&s.queue, &entry);
            do {
                set_current_state(TASK_UNINTERRUPTIBLE);
                spin_unlock(&s.lock);
                schedule();
                spin_lock(&s.lock);
            } while (!READ_ONCE(s.flag));
        }
        spin_unlock(&s.lock);
    });
    program.task("bob", [](shared &s) {
        spin_lock(&s.lock);
        WRITE_ONCE(s.flag, 1);
        wake_up_all(&s.queue);
        spin_unlock(&s.lock);
    });

    EXPECT_THAT(program.search(3), Holds());
}

// --- Livelock ---

class Livelock : public Detector
{
};

void retry_until_set(once<int> &field)
{
    while (!READ_ONCE(field))
        cpu_relax();
}

TEST_F(Livelock, RetryLoopThatNobodyEnds)
{
    program.task("ann", [](shared &s) { retry_until_set(s.flag); });

    EXPECT_THAT(program.search(0),
                BreaksSaying(violation_kind::livelock, "ann goes round and round"));
}

TEST_F(Livelock, TwoThatRetryForEachOther)
{
    program.task("ann", [](shared &s) {
        retry_until_set(s.flag);
        WRITE_ONCE(s.other, 1);
    });
    program.task("bob", [](shared &s) {
        retry_until_set(s.other);
        WRITE_ONCE(s.flag, 1);
    });

    EXPECT_THAT(program.search(0), Breaks(violation_kind::livelock));
}

// The second takes the lock in every round; the first needs it to end the second's loop.
TEST_F(Livelock, BitLockIsLostAgainAndAgain)
{
    program.task("ann", [](shared &s) {
        bit_spin_lock(&s.word);
        WRITE_ONCE(s.flag, 1);
        bit_spin_unlock(&s.word);
    });
    program.task("bob", [](shared &s) {
        for (bool over = false; !over; cpu_relax()) {
            bit_spin_lock(&s.word);
            over = READ_ONCE(s.flag);
            bit_spin_unlock(&s.word);
        }
    });

    EXPECT_THAT(program.search(1), Holds());
    program.program.starvation = true;
    EXPECT_THAT(program.search(1),
                BreaksSaying(violation_kind::livelock, "bob goes round and round"));
}

// The lock is free while the second retries: sooner or later the first will try then.
TEST_F(Livelock, LockThatIsFreeWhileAnotherRetriesIsTaken)
{
    program.task("ann", [](shared &s) {
        bit_spin_lock(&s.word);
        WRITE_ONCE(s.flag, 1);
        bit_spin_unlock(&s.word);
    });
    program.task("bob", [](shared &s) {
        bit_spin_lock(&s.word);
        bit_spin_unlock(&s.word);
        retry_until_set(s.flag);
    });
    program.program.starvation = true;

    EXPECT_THAT(program.search(2), Holds());
}

TEST_F(Livelock, LoopThatAnotherTaskEndsIsNone)
{
    program.task("ann", [](shared &s) { retry_until_set(s.flag); });
    program.task("bob", [](shared &s) { WRITE_ONCE(s.flag, 1); });

    EXPECT_THAT(program.search(2), Holds());
}

// The other task gets on by what is on its stack only: nothing that is shared changes for long.
TEST_F(Livelock, LoopThatASlowTaskEndsIsNone)
{
    program.task("ann", [](shared &s) { retry_until_set(s.flag); });
    program.task("bob", [](shared &s) {
        dawdle(s.other, 300);
        WRITE_ONCE(s.flag, 1);
    });

    EXPECT_NE(program.search(strategy::round_robin, 10).outcome, verdict::violated);
    EXPECT_NE(program.search(strategy::uniform, 10).outcome, verdict::violated);
    EXPECT_NE(program.search(strategy::pct, 100).outcome, verdict::violated);
}

TEST_F(Livelock, LoopThatAGracePeriodEndsIsNone)
{
    program.task("ann", [](shared &s) { retry_until_set(s.flag); });
    program.task("bob", [](shared &s) {
        synchronize_rcu();
        WRITE_ONCE(s.flag, 1);
    });
    program.task("cat", [](shared &s) {
        rcu_read_lock();
        dawdle(s.other, 100);
        rcu_read_unlock();
    });

    EXPECT_NE(program.search(strategy::round_robin, 10).outcome, verdict::violated);
}

TEST_F(Livelock, EndlessWorkThatNeverRepeatsIsNoProgress)
{
    program.task("ann", [](shared &s) {
        for (;;)
            ++s.other;
    });
    program.options.limits.steps = 1000;

    EXPECT_THAT(program.search(0), Breaks(violation_kind::no_progress));
}

TEST_F(Livelock, RetriesThatChangeSomethingAreNoProgress)
{
    program.task("ann", [](shared &s) {
        while (!READ_ONCE(s.flag)) {
            ++s.other;
            cpu_relax();
        }
    });
    program.options.limits.steps = 1000;

    EXPECT_THAT(program.search(0), Breaks(violation_kind::no_progress));
}

// --- Use after free ---

struct object {
    rcu_head head;
    spinlock_t lock;
    once<int> value;
    int plain;
};

struct publication {
    once<object *> pointer;
    once<object *> taken;
    once<int> flag;
};

class UseAfterFree : public ::testing::Test
{
  protected:
    UseAfterFree()
    {
        program.setup([](publication &s) {
            auto *made = static_cast<object *>(kmalloc(sizeof(object)));
            spin_lock_init(&made->lock, "object");
            WRITE_ONCE(made->value, 1);
            made->plain = 1;
            WRITE_ONCE(s.pointer, made);
        });
    }

    toy<publication> program;
};

void unpublish_and_free(publication &s)
{
    kfree(xchg(&s.pointer, nullptr));
}

// The access had been announced before the object was freed: it is carried out after.
TEST_F(UseAfterFree, SingleReadOfAFreedObject)
{
    program.task("ann", [](publication &s) {
        if (object *found = READ_ONCE(s.pointer))
            (void)READ_ONCE(found->value);
    });
    program.task("bob", unpublish_and_free);

    EXPECT_THAT(program.search(0), Holds());
    const search_result found = program.search(1);
    ASSERT_THAT(found, Breaks(violation_kind::use_after_free));
    EXPECT_THAT(found.broken.text, HasSubstr("ann uses kmalloc of main+20, allocated by main"));
    EXPECT_THAT(found.broken.text, HasSubstr("freed by bob"));
    EXPECT_EQ(found.broken.task, 0);
}

TEST_F(UseAfterFree, EverySearchSeesIt)
{
    program.task("ann", [](publication &s) {
        if (object *found = READ_ONCE(s.pointer))
            (void)READ_ONCE(found->value);
    });
    program.task("bob", unpublish_and_free);

    EXPECT_THAT(program.search(strategy::depth_first), Breaks(violation_kind::use_after_free));
    EXPECT_THAT(program.search(strategy::uniform, 1000), Breaks(violation_kind::use_after_free));
    EXPECT_THAT(program.search(strategy::pct, 1000), Breaks(violation_kind::use_after_free));
}

TEST_F(UseAfterFree, WaitingForALockThatIsFreedMeanwhile)
{
    program.task("ann", [](publication &s) {
        if (object *found = READ_ONCE(s.pointer)) {
            spin_lock(&found->lock);
            spin_unlock(&found->lock);
        }
    });
    program.task("bob", [](publication &s) {
        object *mine = xchg(&s.pointer, nullptr);
        spin_lock(&mine->lock);
        spin_unlock(&mine->lock);
        kfree(mine);
    });

    EXPECT_THAT(program.search(2), BreaksSaying(violation_kind::use_after_free, "ann uses"));
}

TEST_F(UseAfterFree, UnlockOfALockThatIsFreed)
{
    program.task("ann", [](publication &s) {
        object *found = READ_ONCE(s.pointer);
        spin_lock(&found->lock);
        kfree(found);
        spin_unlock(&found->lock);
    });

    EXPECT_THAT(program.search(0), BreaksSaying(violation_kind::use_after_free, "freed by ann"));
}

TEST_F(UseAfterFree, AccessUnderALockHasNoScheduleAndIsSeen)
{
    program.task("ann", [](publication &s) {
        object *found = READ_ONCE(s.pointer);
        kfree(found);
        (void)READ_LOCKED(found->value);
    });

    EXPECT_THAT(program.search(0), Breaks(violation_kind::use_after_free));
}

TEST_F(UseAfterFree, MemoryBehindTheLastObject)
{
    program.task("ann", [](publication &s) {
        object *found = READ_ONCE(s.pointer);
        auto *next = static_cast<object *>(kmalloc(sizeof(object)));
        // Between two objects lies the header of the second.
        (void)READ_ONCE(*reinterpret_cast<once<int> *>(reinterpret_cast<char *>(next) - 8));
        kfree(next);
        (void)found;
    });

    EXPECT_THAT(program.search(0),
                BreaksSaying(violation_kind::use_after_free, "outside of any object"));
}

// Plain fields are not looked at when they are used. What is written to them is found at the end.
TEST_F(UseAfterFree, PlainWriteIsSeenInTheQuarantine)
{
    if (DCSIM_ASAN)
        GTEST_SKIP() << "AddressSanitizer ends the program at the write";
    program.task("ann", [](publication &s) {
        object *found = READ_ONCE(s.pointer);
        kfree(found);
        found->plain = 2;
    });

    EXPECT_THAT(program.search(0),
                BreaksSaying(violation_kind::use_after_free, "was written to after that"));
}

struct door {
    once<completion *> waiting;
    once<once<int> *> field;
    once<int> flag;
};

/// Its completion lives in its frame.
__attribute__((noinline)) void wait_in_a_frame(door &s)
{
    completion done;

    init_completion(&done);
    WRITE_ONCE(s.waiting, &done);
    wait_for_completion(&done);
}

/// Completes, and looks at the completion once more when its owner may be gone.
void complete_and_look(door &s)
{
    completion *done =
        smp_cond_load_acquire(&s.waiting, [](completion *waiting) { return waiting != nullptr; });

    complete(done);
    spin_lock(&done->wait.lock);
    spin_unlock(&done->wait.lock);
}

TEST(StackObject, UsedAfterItsFunctionReturned)
{
    toy<door> program;

    program.task("ann", [](door &s) {
        wait_in_a_frame(s);
        WRITE_ONCE(s.flag, 1);
    });
    program.task("bob", complete_and_look);

    EXPECT_THAT(program.search(1), BreaksSaying(violation_kind::use_after_free,
                                                "on the stack of ann whose function has returned"));
}

TEST(StackObject, UsedAfterItsTaskEnded)
{
    toy<door> program;

    program.task("ann", wait_in_a_frame);
    program.task("bob", complete_and_look);

    EXPECT_THAT(program.search(1), BreaksSaying(violation_kind::use_after_free,
                                                "on the stack of ann whose function has returned"));
}

TEST(StackObject, DepthFirstSearchSeesTheEndOfAFrame)
{
    toy<door> program;

    program.task("ann", [](door &s) {
        wait_in_a_frame(s);
        WRITE_ONCE(s.flag, 1);
    });
    program.task("bob", complete_and_look);

    EXPECT_THAT(program.search(strategy::depth_first), Breaks(violation_kind::use_after_free));
}

TEST(StackObject, CompletedAndNotTouchedAgainIsFine)
{
    toy<door> program;

    program.task("ann", [](door &s) {
        wait_in_a_frame(s);
        WRITE_ONCE(s.flag, 1);
    });
    program.task("bob", [](door &s) {
        complete(smp_cond_load_acquire(&s.waiting,
                                       [](completion *waiting) { return waiting != nullptr; }));
    });

    EXPECT_THAT(program.search(2), Holds());
}

/// A field of a frame that lies where the completion was.
__attribute__((noinline)) void offer_fields(door &s)
{
    once<int> fields[64];

    for (once<int> &field : fields)
        WRITE_LOCKED(field, 0);
    WRITE_ONCE(s.field, &fields[0]);
    smp_cond_load_acquire(&s.flag, [](int flag) { return flag != 0; });
}

// The same bytes of a stack are one object in this frame and another in the next.
TEST(StackObject, AnotherInItsPlaceIsAlive)
{
    toy<door> program;

    program.task("ann", [](door &s) {
        wait_in_a_frame(s);
        offer_fields(s);
    });
    program.task("bob", [](door &s) {
        complete(smp_cond_load_acquire(&s.waiting,
                                       [](completion *waiting) { return waiting != nullptr; }));
        once<int> *fields =
            smp_cond_load_acquire(&s.field, [](once<int> *offered) { return offered != nullptr; });
        for (int i = 0; i < 64; i++)
            (void)READ_ONCE(fields[i]);
        WRITE_ONCE(s.flag, 1);
    });

    EXPECT_THAT(program.search(0), Holds());
}

/// The same, and nobody looks at them before the other task does.
__attribute__((noinline)) void offer_fresh_fields(door &s)
{
    once<int> fields[64] = {};

    WRITE_ONCE(s.field, &fields[0]);
    smp_cond_load_acquire(&s.flag, [](int flag) { return flag == 2; });
}

TEST(StackObject, DeadOfOneExecutionIsNotDeadInTheNext)
{
    toy<door> program;

    program.task("ann", [](door &s) {
        if (READ_ONCE(s.flag))
            offer_fresh_fields(s);
        else
            wait_in_a_frame(s);
    });
    program.task("bob", [](door &s) {
        if (completion *waiting = READ_ONCE(s.waiting)) {
            complete(waiting);
            return;
        }
        WRITE_ONCE(s.flag, 1);
        while (!READ_ONCE(s.field) && !READ_ONCE(s.waiting))
            cpu_relax();
        if (completion *waiting = READ_ONCE(s.waiting))
            complete(waiting);
        if (once<int> *fields = READ_ONCE(s.field))
            for (int i = 0; i < 64; i++)
                (void)READ_ONCE(fields[i]);
        WRITE_ONCE(s.flag, 2);
    });

    EXPECT_THAT(program.search(1), Holds());
}

struct note {
    spinlock_t lock;
    once<int> text;
};

struct notice_board {
    once<note *> pinned;
    once<int> read;
    once<int> other;
};

__attribute__((noinline)) void pin_a_note(notice_board &s)
{
    note mine = {};

    spin_lock_init(&mine.lock, "note");
    WRITE_ONCE(s.pinned, &mine);
    smp_cond_load_acquire(&s.read, [](int read) { return read != 0; });
}

// No step of the two has anything to do with one of the other's but for the end of the frame.
TEST(StackObject, EndOfAFrameDoesNotCommuteWithItsUse)
{
    toy<notice_board> program;

    program.task("ann", [](notice_board &s) {
        pin_a_note(s);
        WRITE_ONCE(s.other, 1);
    });
    program.task("bob", [](notice_board &s) {
        note *pinned =
            smp_cond_load_acquire(&s.pinned, [](note *pinned) { return pinned != nullptr; });
        WRITE_ONCE(s.read, 1);
        (void)READ_ONCE(pinned->text);
    });

    EXPECT_THAT(program.search(strategy::depth_first), Breaks(violation_kind::use_after_free));
}

// --- Freeing what cannot be freed ---

struct counted_reference {
    lockref ref;
};

class ReferenceCount : public ::testing::Test
{
  protected:
    ReferenceCount()
    {
        program.setup([](counted_reference &s) { lockref_init(&s.ref, "reference"); });
        program.task("ann", [](counted_reference &s) { lockref_get(&s.ref); });
    }

    toy<counted_reference> program;
};

TEST_F(ReferenceCount, OfTheDeadIsTaken)
{
    program.task("bob", [](counted_reference &s) {
        spin_lock(&s.ref.lock);
        lockref_mark_dead(&s.ref);
        spin_unlock(&s.ref.lock);
    });

    EXPECT_THAT(program.search(0), BreaksSaying(violation_kind::reference_count, "is dead"));
}

TEST_F(ReferenceCount, Overflows)
{
    program.setup([](counted_reference &s) {
        lockref_init(&s.ref, "reference");
        WRITE_ONCE(s.ref.count, too_many_references - 1);
    });

    EXPECT_THAT(program.search(0), BreaksSaying(violation_kind::reference_count, "will overflow"));
}

TEST_F(ReferenceCount, UnderflowsWithoutTheLock)
{
    program.task("bob", [](counted_reference &s) {
        lockref_value seen = lockref_read(&s.ref);
        // As lockref_put_return() would, if it did not look.
        while (!lockref_try_cmpxchg(&s.ref, &seen, seen.count - 3))
            continue;
    });

    EXPECT_THAT(program.search(0), BreaksSaying(violation_kind::reference_count, "given up"));
}

TEST_F(ReferenceCount, TakenAndGivenUpIsFine)
{
    program.task("bob", [](counted_reference &s) {
        if (lockref_get_not_dead(&s.ref))
            lockref_put_return(&s.ref);
        lockref_put_return(&s.ref);
        require(lockref_put_return(&s.ref) <= 0, "ann may have one");
        lockref_put_return(&s.ref);
    });

    EXPECT_THAT(program.search(2), Holds());
}

class BadFree : public UseAfterFree
{
};

TEST_F(BadFree, TwiceByOneTask)
{
    program.task("ann", [](publication &s) {
        object *found = READ_ONCE(s.pointer);
        kfree(found);
        kfree(found);
    });

    EXPECT_THAT(program.search(0),
                BreaksSaying(violation_kind::double_free, "is freed again by ann"));
}

TEST_F(BadFree, ByTwoTasks)
{
    const auto free_it = [](publication &s) {
        if (object *found = READ_ONCE(s.pointer)) {
            WRITE_ONCE(s.pointer, nullptr);
            kfree(found);
        }
    };
    program.task("ann", free_it);
    program.task("bob", free_it);

    EXPECT_THAT(program.search(0), Holds());
    EXPECT_THAT(program.search(1), Breaks(violation_kind::double_free));
    EXPECT_THAT(program.search(strategy::depth_first), Breaks(violation_kind::double_free));
}

TEST_F(BadFree, PointerIntoTheMiddle)
{
    program.task("ann", [](publication &s) { kfree(&READ_ONCE(s.pointer)->value); });

    EXPECT_THAT(program.search(0),
                BreaksSaying(violation_kind::double_free, "no allocation begins there"));
}

TEST_F(BadFree, PointerToSomethingElse)
{
    static int elsewhere;

    program.task("ann", [](publication &) { kfree(&elsewhere); });

    EXPECT_THAT(program.search(0),
                BreaksSaying(violation_kind::double_free, "no allocation begins there"));
}

// --- Order of locks ---

class LockOrder : public Detector
{
};

void take_both(spinlock_t &outer, spinlock_t &inner)
{
    spin_lock(&outer);
    spin_lock(&inner);
    spin_unlock(&inner);
    spin_unlock(&outer);
}

TEST_F(LockOrder, InversionIsSeenWithoutTheDeadlock)
{
    program.task("ann", [](shared &s) {
        take_both(s.lock, s.other_class);
        take_both(s.other_class, s.lock);
    });

    const search_result found = program.search(0);
    EXPECT_THAT(found, BreaksSaying(violation_kind::lock_order, "(class a) while it holds"));
    EXPECT_THAT(found.broken.text,
                HasSubstr("ann has taken them the other way round after step 2"));
}

TEST_F(LockOrder, InversionOverAThirdClass)
{
    program.task("ann", [](shared &s) {
        take_both(s.lock, s.other_class);
        spin_lock(&s.other_class);
        bit_spin_lock(&s.word);
        bit_spin_unlock(&s.word);
        spin_unlock(&s.other_class);
    });
    program.task("bob", [](shared &s) {
        bit_spin_lock(&s.word);
        spin_lock(&s.lock);
        spin_unlock(&s.lock);
        bit_spin_unlock(&s.word);
    });

    EXPECT_THAT(program.search(0), BreaksSaying(violation_kind::lock_order, "over other classes"));
}

TEST_F(LockOrder, OfTheSetUpCounts)
{
    program.task("ann", [](shared &s) { take_both(s.other_class, s.lock); });
    program.setup([](shared &s) {
        spin_lock_init(&s.lock, "class a");
        spin_lock_init(&s.other_class, "class b");
        take_both(s.lock, s.other_class);
    });

    EXPECT_THAT(program.search(0), BreaksSaying(violation_kind::lock_order, "main has taken them"));
}

// It belongs to one execution, so that a report can be replayed.
TEST_F(LockOrder, IsForgottenBetweenExecutions)
{
    program.task("ann", [](shared &s) {
        if (READ_ONCE(s.flag))
            take_both(s.lock, s.other_class);
        else
            take_both(s.other_class, s.lock);
    });
    program.task("bob", [](shared &s) { WRITE_ONCE(s.flag, 1); });

    EXPECT_THAT(program.search(1), Holds());
}

TEST_F(LockOrder, NestingWithinAClassNeedsASubclass)
{
    program.task("ann", [](shared &s) { take_both(s.lock, s.same_class); });
    EXPECT_THAT(program.search(0),
                BreaksSaying(violation_kind::lock_order, "of the same class class a"));
}

TEST_F(LockOrder, SubclassSaysThatNestingIsIntended)
{
    program.task("ann", [](shared &s) { take_nested(s.lock, s.same_class); });

    EXPECT_THAT(program.search(0), Holds());
}

TEST_F(LockOrder, HandOverHandStartsAnewFromTheInnerOne)
{
    program.task("ann", [](shared &s) __context_unsafe("hand over hand") {
        spin_lock(&s.lock);
        spin_lock_nested(&s.same_class, 1);
        spin_unlock(&s.lock);
        spin_lock_becomes_outer(&s.same_class);
        spin_lock_nested(&s.lock, 1);
        spin_unlock(&s.lock);
        spin_unlock(&s.same_class);
    });

    EXPECT_THAT(program.search(0), Holds());
}

TEST_F(LockOrder, TrylockCannotDeadlock)
{
    program.task("ann", [](shared &s) {
        take_both(s.lock, s.other_class);
        spin_lock(&s.other_class);
        if (spin_trylock(&s.lock))
            spin_unlock(&s.lock);
        spin_unlock(&s.other_class);
    });

    EXPECT_THAT(program.search(0), Holds());
}

TEST_F(LockOrder, SleepingLocksHaveOneToo)
{
    program.task("ann", [](shared &s) {
        mutex_lock(&s.sleeping);
        down_read(&s.sem);
        up_read(&s.sem);
        mutex_unlock(&s.sleeping);
        down_write(&s.sem);
        mutex_lock(&s.sleeping);
        mutex_unlock(&s.sleeping);
        up_write(&s.sem);
    });

    EXPECT_THAT(program.search(0), Breaks(violation_kind::lock_order));
}

// --- Sleeping where it is forbidden ---

class SleepingInAtomic : public Detector
{
  protected:
    /// What may sleep, under a spinlock, a bit lock, and inside RCU.
    void expect_forbidden(void (*sleeper)(shared &s))
    {
        toy<shared> under_spinlock;
        under_spinlock.task("ann", [sleeper](shared &s) {
            spin_lock(&s.lock);
            sleeper(s);
            spin_unlock(&s.lock);
        });
        EXPECT_THAT(under_spinlock.search(0), Breaks(violation_kind::sleeping_in_atomic));

        toy<shared> under_bit_lock;
        under_bit_lock.task("ann", [sleeper](shared &s) {
            bit_spin_lock(&s.word);
            sleeper(s);
            bit_spin_unlock(&s.word);
        });
        EXPECT_THAT(under_bit_lock.search(0), Breaks(violation_kind::sleeping_in_atomic));

        toy<shared> inside_rcu;
        inside_rcu.task("ann", [sleeper](shared &s) {
            rcu_read_lock();
            sleeper(s);
            rcu_read_unlock();
        });
        EXPECT_THAT(inside_rcu.search(0), Breaks(violation_kind::sleeping_in_atomic));

        toy<shared> in_the_open;
        in_the_open.task("ann", sleeper);
        EXPECT_THAT(in_the_open.search(0), Holds());
    }
};

TEST_F(SleepingInAtomic, MutexAndSemaphore)
{
    expect_forbidden([](shared &s) {
        mutex_lock(&s.sleeping);
        mutex_unlock(&s.sleeping);
    });
    expect_forbidden([](shared &s) {
        down_read(&s.sem);
        up_read(&s.sem);
    });
    expect_forbidden([](shared &s) {
        down_write(&s.sem);
        up_write(&s.sem);
    });
}

// The state says that it would not even sleep: it is the place that counts.
TEST_F(SleepingInAtomic, Schedule)
{
    expect_forbidden([](shared &) { schedule(); });
    expect_forbidden([](shared &) { cond_resched(); });
}

TEST_F(SleepingInAtomic, Allocation)
{
    expect_forbidden([](shared &) { kfree(kmalloc(8)); });
}

TEST_F(SleepingInAtomic, WaitingForRcu)
{
    expect_forbidden([](shared &) { synchronize_rcu(); });
    expect_forbidden([](shared &) { rcu_barrier(); });
}

TEST_F(SleepingInAtomic, WordsNameTheLock)
{
    program.task("ann", [](shared &s) {
        spin_lock(&s.lock);
        might_sleep();
        spin_unlock(&s.lock);
    });

    EXPECT_THAT(program.search(0), BreaksSaying(violation_kind::sleeping_in_atomic,
                                                "holds the spinlock table of main"));
}

TEST_F(SleepingInAtomic, CallbackOfRcuMustNotSleep)
{
    toy<callback_state> program;

    program.task("ann", [](callback_state &s) {
        call_rcu(&s.head, [](rcu_head *) { might_sleep(); });
        rcu_barrier();
    });

    EXPECT_THAT(program.search(0), Breaks(violation_kind::sleeping_in_atomic));
}

// --- Unbalanced locks ---

class Unbalanced : public Detector
{
};

TEST_F(Unbalanced, SpinlockNotHeld)
{
    program.task("ann", [](shared &s) __context_unsafe("the mistake") { spin_unlock(&s.lock); });
    EXPECT_THAT(program.search(0),
                BreaksSaying(violation_kind::unbalanced_lock, "which it does not hold"));
}

TEST_F(Unbalanced, BitLockNotHeld)
{
    program.task("ann", [](shared &s) { bit_spin_unlock(&s.word); });
    EXPECT_THAT(program.search(0), Breaks(violation_kind::unbalanced_lock));
}

TEST_F(Unbalanced, MutexNotHeld)
{
    program.task("ann",
                 [](shared &s) __context_unsafe("the mistake") { mutex_unlock(&s.sleeping); });
    EXPECT_THAT(program.search(0), Breaks(violation_kind::unbalanced_lock));
}

TEST_F(Unbalanced, SemaphoreNotHeld)
{
    program.task("ann", [](shared &s) __context_unsafe("the mistake") { up_write(&s.sem); });
    EXPECT_THAT(program.search(0), Breaks(violation_kind::unbalanced_lock));
}

TEST_F(Unbalanced, LockOfSomebodyElse)
{
    program.task("ann", [](shared &s) {
        spin_lock(&s.lock);
        WRITE_ONCE(s.flag, 1);
        smp_cond_load_acquire(&s.flag, [](int flag) { return flag == 2; });
        spin_unlock(&s.lock);
    });
    program.task("bob", [](shared &s) __context_unsafe("the mistake") {
        smp_cond_load_acquire(&s.flag, [](int flag) { return flag == 1; });
        spin_unlock(&s.lock);
    });

    EXPECT_THAT(program.search(0), BreaksSaying(violation_kind::unbalanced_lock, "bob unlocks"));
}

TEST_F(Unbalanced, SemaphoreHeldForReadingIsNotHeldForWriting)
{
    program.task("ann", [](shared &s) __context_unsafe("the mistake") {
        down_read(&s.sem);
        up_write(&s.sem);
    });

    EXPECT_THAT(program.search(0), Breaks(violation_kind::unbalanced_lock));
}

TEST_F(Unbalanced, RcuSectionNotEntered)
{
    program.task("ann", [](shared &) __context_unsafe("the mistake") { rcu_read_unlock(); });

    EXPECT_THAT(program.search(0), Breaks(violation_kind::unbalanced_lock));
}

TEST_F(Unbalanced, RcuSectionLeftOpen)
{
    program.task("ann", [](shared &) __context_unsafe("the mistake") { rcu_read_lock(); });

    EXPECT_THAT(program.search(0), BreaksSaying(violation_kind::unbalanced_lock,
                                                "ann ends inside an RCU read-side section"));
}

TEST_F(Unbalanced, LockHeldAtExit)
{
    program.task("ann", [](shared &s) __context_unsafe("the mistake") {
        mutex_lock(&s.sleeping);
        spin_lock(&s.lock);
    });

    EXPECT_THAT(program.search(0),
                BreaksSaying(violation_kind::lock_held_at_exit, "table of main+0 (class a)"));
}

TEST_F(Unbalanced, SetUpThatLeavesALockHeld)
{
    program.setup([](shared &s) __context_unsafe("the mistake") { spin_lock(&s.lock); });
    program.task("ann", [](shared &) {});

    const search_result found = program.search(0);
    EXPECT_THAT(found, Breaks(violation_kind::lock_held_at_exit));
    EXPECT_TRUE(found.in_setup);
}

// --- WARN and BUG ---

class Report : public Detector
{
};

TEST_F(Report, WarningIsAViolation)
{
    program.task("ann", [](shared &s) { WARN(READ_ONCE(s.flag) == 0, "flag is %d", 0); });

    EXPECT_THAT(program.search(0),
                BreaksSaying(violation_kind::warning, "flag is 0 at detectors_test.cc:"));
}

TEST_F(Report, ExpectedWarningIsNone)
{
    program.task("ann", [](shared &s) {
        WARN_ON(READ_ONCE(s.flag) == 0);
        WRITE_ONCE(s.other, 1);
    });
    program.finally([](shared &s) { require(READ_ONCE(s.other) == 1, "it went on"); });
    program.program.warning_expected = [](void *, const char *text) {
        return std::string(text).find("s.flag") != std::string::npos;
    };

    EXPECT_THAT(program.search(0), Holds());
}

TEST_F(Report, AnotherWarningThanTheExpectedIsAViolation)
{
    program.task("ann", [](shared &s) { WARN_ON(READ_ONCE(s.other) == 0); });
    program.program.warning_expected = [](void *, const char *text) {
        return std::string(text).find("s.flag") != std::string::npos;
    };

    EXPECT_THAT(program.search(0), Breaks(violation_kind::warning));
}

TEST_F(Report, BugIsAViolation)
{
    program.task("ann", [](shared &s) { BUG_ON(READ_ONCE(s.flag) == 0); });

    EXPECT_THAT(program.search(0), BreaksSaying(violation_kind::bug, "READ_ONCE(s.flag) == 0 at"));
}

TEST_F(Report, SetUpThatBreaksARuleIsToldApart)
{
    program.setup([](shared &) { require(false, "set-up failed"); });
    program.task("ann", [](shared &) {});

    const search_result found = program.search(0);
    EXPECT_THAT(found, BreaksSaying(violation_kind::expectation, "set-up failed"));
    EXPECT_TRUE(found.in_setup);
    EXPECT_EQ(found.executions, 0u);
}

TEST_F(Report, CleanUpThatBreaksARuleIsFoundLikeAnyOther)
{
    program.task("ann", [](shared &s) { WRITE_ONCE(s.flag, 1); });
    program.finally([](shared &s) { require(READ_ONCE(s.flag) == 2, "not two"); });

    const search_result found = program.search(0);
    EXPECT_THAT(found, BreaksSaying(violation_kind::expectation, "not two"));
    EXPECT_FALSE(found.in_setup);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
