// SPDX-License-Identifier: GPL-2.0-only
//
// The modelled primitives keep what prim/contract.h promises in every interleaving of a small
// program, and promise no more than that: what may go wrong without them does in some.
#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/completion.h"
#include "dcsim/kernel/lockref.h"
#include "dcsim/kernel/rcupdate.h"
#include "dcsim/kernel/rwsem.h"
#include "dcsim/kernel/seqlock.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/kernel/wait.h"
#include "dcsim/kernel/wait_bit.h"
#include "model_program.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::ElementsAre;

/// Everything that came out of some execution, noted by the clean-up. Outside the arena: no task
/// sees it.
using outcomes = std::set<std::string>;

// --- Shared fields ---

struct flag_word {
    spinlock_t lock;
    once<unsigned> flags;
    once<int *> word;
};

class SharedField : public ::testing::Test
{
  protected:
    SharedField()
    {
        program.setup([](flag_word &s) { spin_lock_init(&s.lock, "flags"); });
        program.finally([](flag_word &s) { require(READ_ONCE(s.flags) == 3, "a bit was lost"); });
    }

    toy<flag_word> program;
};

TEST_F(SharedField, CompoundOperatorLosesAnUpdate)
{
    program.task("A", [](flag_word &s) { s.flags |= 1; });
    program.task("B", [](flag_word &s) { s.flags |= 2; });

    EXPECT_THAT(program.search(0), Holds());
    const search_result found = program.search(1);
    EXPECT_THAT(found, BreaksSaying(violation_kind::expectation, "a bit was lost"));
    EXPECT_EQ(found.preemptions, 1u);
    EXPECT_THAT(program.search(strategy::uniform, 1000), Breaks(violation_kind::expectation));
    EXPECT_THAT(program.search(strategy::pct, 1000), Breaks(violation_kind::expectation));
    EXPECT_THAT(program.search(strategy::depth_first), Breaks(violation_kind::expectation));
}

TEST_F(SharedField, EveryCompoundOperatorIsALoadAndAStore)
{
    const auto steps_of = [](toy<flag_word>::work work) {
        toy<flag_word> one;
        one.task("A", std::move(work));
        // The first step is the start of the task.
        return one.search(0).longest - 1;
    };

    EXPECT_EQ(steps_of([](flag_word &s) { s.flags |= 1; }), 2u);
    EXPECT_EQ(steps_of([](flag_word &s) { s.flags &= 1; }), 2u);
    EXPECT_EQ(steps_of([](flag_word &s) { s.flags += 1; }), 2u);
    EXPECT_EQ(steps_of([](flag_word &s) { ++s.flags; }), 2u);
    EXPECT_EQ(steps_of([](flag_word &s) { --s.flags; }), 2u);
    EXPECT_EQ(steps_of([](flag_word &s) { READ_ONCE(s.flags); }), 1u);
    EXPECT_EQ(steps_of([](flag_word &s) { WRITE_ONCE(s.flags, 1); }), 1u);
    EXPECT_EQ(steps_of([](flag_word &s) { add_return(&s.flags, 1); }), 1u);
    EXPECT_EQ(steps_of([](flag_word &s) { xchg(&s.flags, 1); }), 1u);
    EXPECT_EQ(steps_of([](flag_word &s) { cmpxchg(&s.flags, 0, 1); }), 1u);
    EXPECT_EQ(steps_of([](flag_word &s) { smp_store_mb(s.flags, 1); }), 1u);
    EXPECT_EQ(steps_of([](flag_word &s) { READ_LOCKED(s.flags); }), 0u);
    EXPECT_EQ(steps_of([](flag_word &s) { WRITE_LOCKED(s.flags, 1); }), 0u);
}

TEST_F(SharedField, CompoundOperatorUnderALockLosesNothing)
{
    const auto add = [](unsigned bits) {
        return [bits](flag_word &s) {
            spin_lock(&s.lock);
            s.flags |= bits;
            spin_unlock(&s.lock);
        };
    };
    program.task("A", add(1));
    program.task("B", add(2));

    EXPECT_THAT(program.search(3), Holds());
    EXPECT_THAT(program.search(strategy::depth_first), Holds());
    EXPECT_EQ(program.search(strategy::uniform, 1000).outcome, verdict::inconclusive);
}

TEST_F(SharedField, AtomicOperationsLoseNothing)
{
    program.task("A", [](flag_word &s) { add_return(&s.flags, 1); });
    program.task("B", [](flag_word &s) {
        unsigned seen = READ_ONCE(s.flags);
        while (!try_cmpxchg(&s.flags, &seen, seen + 2))
            ;
    });

    EXPECT_THAT(program.search(strategy::depth_first), Holds());
}

TEST_F(SharedField, WordsOfANameComeMixed)
{
    struct name {
        unsigned long words[2];
        once<int> seen;
    };
    toy<name> program;

    program.task("reader", [](name &s) {
        const unsigned long first = read_word_at_a_time(&s.words[0]);
        const unsigned long second = read_word_at_a_time(&s.words[1]);
        require(first == second, "half of a new name");
    });
    program.task("writer", [](name &s) {
        cond_resched();
        s.words[0] = s.words[1] = 1;
    });

    EXPECT_THAT(program.search(1), Breaks(violation_kind::expectation));
}

TEST_F(SharedField, WaitForAValueGoesOnWhenItIsThere)
{
    program.task("A", [](flag_word &s) {
        const unsigned seen =
            smp_cond_load_acquire(&s.flags, [](unsigned flags) { return (flags & 2) != 0; });
        require(seen & 2, "went on too early");
        require(seen == 3, "the second store came later");
    });
    program.task("B", [](flag_word &s) {
        WRITE_ONCE(s.flags, 1);
        WRITE_ONCE(s.flags, 3);
    });

    const search_result all = program.search(strategy::depth_first);
    EXPECT_THAT(all, Holds());
    // It does not spin: start, wait; start, store, store.
    EXPECT_EQ(all.longest, 5u);
}

// --- Spinlock and bit lock ---

struct guarded {
    spinlock_t lock;
    mutex sleeping;
    once<int *> word;
    once<int> inside;
    once<int> tries;
    once<int> failures;
};

/// What one holder sees of another.
void be_alone(guarded &s)
{
    require(READ_ONCE(s.inside) == 0, "two are inside");
    WRITE_ONCE(s.inside, 1);
    WRITE_ONCE(s.inside, 0);
}

class Exclusion : public ::testing::Test
{
  protected:
    Exclusion()
    {
        program.setup([](guarded &s) {
            spin_lock_init(&s.lock, "lock");
            mutex_init(&s.sleeping, "mutex");
        });
    }

    /// Three tasks do it, in every interleaving that matters.
    void expect_exclusion(toy<guarded>::work work)
    {
        for (const char *name : {"A", "B", "C"})
            program.task(name, work);
        EXPECT_THAT(program.search(2), Holds());
        EXPECT_THAT(program.search(strategy::depth_first), Holds());
    }

    toy<guarded> program;
};

TEST_F(Exclusion, NobodyElseIsInsideASpinlock)
{
    expect_exclusion([](guarded &s) {
        spin_lock(&s.lock);
        be_alone(s);
        spin_unlock(&s.lock);
    });
}

TEST_F(Exclusion, NobodyElseIsInsideABitLock)
{
    expect_exclusion([](guarded &s) {
        bit_spin_lock(&s.word);
        be_alone(s);
        bit_spin_unlock(&s.word);
    });
}

TEST_F(Exclusion, NobodyElseIsInsideAMutex)
{
    expect_exclusion([](guarded &s) {
        mutex_lock(&s.sleeping);
        be_alone(s);
        mutex_unlock(&s.sleeping);
    });
}

TEST_F(Exclusion, NobodyElseIsInsideWithATrylock)
{
    expect_exclusion([](guarded &s) {
        if (!spin_trylock(&s.lock))
            return;
        be_alone(s);
        spin_unlock(&s.lock);
    });
}

TEST_F(Exclusion, WithoutALockSomebodyIs)
{
    program.task("A", be_alone);
    program.task("B", be_alone);

    EXPECT_THAT(program.search(1), BreaksSaying(violation_kind::expectation, "two are inside"));
}

// The pointer beside bit 0 is not the lock's.
TEST_F(Exclusion, BitLockKeepsThePointer)
{
    static int object;

    program.setup([](guarded &s) { WRITE_ONCE(s.word, &object); });
    program.task("A", [](guarded &s) {
        bit_spin_lock(&s.word);
        require(bit_spin_is_locked(&s.word), "it is locked");
        bit_spin_unlock(&s.word);
        require(!bit_spin_is_locked(&s.word), "it is free");
    });
    program.finally([](guarded &s) { require(READ_ONCE(s.word) == &object, "pointer lost"); });

    EXPECT_THAT(program.search(0), Holds());
}

TEST_F(Exclusion, TrylockLosesInSomeExecutionAndWinsInSome)
{
    outcomes seen;

    for (const char *name : {"A", "B"})
        program.task(name, [](guarded &s) {
            if (spin_trylock(&s.lock))
                spin_unlock(&s.lock);
            else
                add_return(&s.failures, 1);
        });
    program.finally(
        [&seen](guarded &s) { seen.insert(std::to_string(READ_ONCE(s.failures)) + " lost"); });

    EXPECT_THAT(program.search(1), Holds());
    EXPECT_THAT(seen, ElementsAre("0 lost", "1 lost"));
}

TEST_F(Exclusion, WaiterCanBeOvertakenAgainAndAgain)
{
    outcomes seen;

    program.task("patient", [](guarded &s) {
        spin_lock(&s.lock);
        WRITE_ONCE(s.inside, READ_ONCE(s.tries));
        spin_unlock(&s.lock);
    });
    program.task("pushy", [](guarded &s) {
        for (int i = 0; i < 3; i++) {
            spin_lock(&s.lock);
            ++s.tries;
            spin_unlock(&s.lock);
        }
    });
    program.finally([&seen](guarded &s) { seen.insert(std::to_string(READ_ONCE(s.inside))); });

    EXPECT_THAT(program.search(1), Holds());
    EXPECT_THAT(seen, ElementsAre("0", "1", "2", "3"));
}

// --- Retry loops ---

TEST(Retry, WhoGaveWayMayGoOnAfterAStepOfTheOther)
{
    outcomes seen;
    toy<guarded> program;

    program.task("A", [](guarded &s) {
        for (int value; (value = READ_ONCE(s.inside)) < 2; cpu_relax())
            WRITE_ONCE(s.tries, READ_ONCE(s.tries) * 10 + value + 1);
    });
    program.task("B", [](guarded &s) {
        WRITE_ONCE(s.inside, 1);
        WRITE_ONCE(s.inside, 2);
    });
    program.finally([&seen](guarded &s) { seen.insert(std::to_string(READ_ONCE(s.tries))); });

    EXPECT_THAT(program.search(3), Holds());
    // It has looked once before anything happened, and again at the value in between.
    EXPECT_THAT(seen, ::testing::Contains("12"));
}

TEST(Retry, OtherRunsBeforeTheNextTurn)
{
    toy<guarded> program;

    program.task("A", [](guarded &s) {
        cpu_relax();
        require(READ_ONCE(s.inside) == 1, "nobody ran in between");
    });
    program.task("B", [](guarded &s) {
        smp_cond_load_acquire(&s.tries, [](int) { return true; });
        WRITE_ONCE(s.inside, 1);
    });

    // Its start, its look at tries, or the store: any step will do.
    EXPECT_THAT(program.search(0), Holds());
    EXPECT_THAT(program.search(2), Breaks(violation_kind::expectation));
}

// --- rw_semaphore ---

struct crowd {
    rw_semaphore sem;
    once<int> readers;
    once<int> writers;
    once<int> most_readers;
    once<int> writer_waits;
    once<int> late_reader_first;
};

class RwSemaphore : public ::testing::Test
{
  protected:
    RwSemaphore()
    {
        program.setup([](crowd &s) { init_rwsem(&s.sem, "crowd"); });
    }

    toy<crowd> program;
};

void read_among_readers(crowd &s)
{
    down_read(&s.sem);
    const int inside = add_return(&s.readers, 1);
    require(READ_ONCE(s.writers) == 0, "a writer among readers");
    if (inside > READ_ONCE(s.most_readers))
        WRITE_ONCE(s.most_readers, inside);
    add_return(&s.readers, -1);
    up_read(&s.sem);
}

void write_alone(crowd &s)
{
    down_write(&s.sem);
    require(add_return(&s.writers, 1) == 1, "two writers");
    require(READ_ONCE(s.readers) == 0, "a reader beside a writer");
    add_return(&s.writers, -1);
    up_write(&s.sem);
}

TEST_F(RwSemaphore, ReadersShareAndWritersDoNot)
{
    outcomes together;

    program.task("R1", read_among_readers);
    program.task("R2", read_among_readers);
    program.task("W", write_alone);
    program.finally([&together](crowd &s) {
        together.insert(std::to_string(READ_ONCE(s.most_readers)) + " together");
    });

    EXPECT_THAT(program.search(2), Holds());
    EXPECT_THAT(together, ElementsAre("1 together", "2 together"));
}

TEST_F(RwSemaphore, WritersExcludeEachOther)
{
    program.task("W1", write_alone);
    program.task("W2", write_alone);
    program.task("W3", [](crowd &s) {
        if (!down_write_trylock(&s.sem))
            return;
        require(add_return(&s.writers, 1) == 1, "two writers");
        downgrade_write(&s.sem);
        add_return(&s.writers, -1);
        up_read(&s.sem);
    });

    // It counts itself as a writer until after the downgrade, when other readers may be inside.
    EXPECT_THAT(program.search(2), Holds());
}

TEST_F(RwSemaphore, DowngradedWriterLetsReadersInAndNoWriter)
{
    program.task("D", [](crowd &s) {
        down_write(&s.sem);
        downgrade_write(&s.sem);
        WRITE_ONCE(s.readers, 1);
        smp_cond_load_acquire(&s.most_readers, [](int inside) { return inside == 1; });
        WRITE_ONCE(s.readers, 0);
        up_read(&s.sem);
    });
    program.task("R", [](crowd &s) {
        smp_cond_load_acquire(&s.readers, [](int inside) { return inside == 1; });
        require(!down_write_trylock(&s.sem), "written among readers");
        down_read(&s.sem);
        WRITE_ONCE(s.most_readers, 1);
        up_read(&s.sem);
    });

    EXPECT_THAT(program.search(2), Holds());
}

// The reader inside leaves only when the second reader has been turned away.
TEST_F(RwSemaphore, WaitingWriterHoldsBackNewReaders)
{
    program.task("R1", [](crowd &s) {
        down_read(&s.sem);
        WRITE_ONCE(s.readers, 1);
        smp_cond_load_acquire(&s.late_reader_first, [](int turned_away) { return turned_away; });
        up_read(&s.sem);
    });
    program.task("W", [](crowd &s) {
        smp_cond_load_acquire(&s.readers, [](int inside) { return inside == 1; });
        WRITE_ONCE(s.writer_waits, 1);
        down_write(&s.sem);
        up_write(&s.sem);
    });
    program.task("R2", [](crowd &s) {
        smp_cond_load_acquire(&s.writer_waits, [](int waits) { return waits; });
        while (down_read_trylock(&s.sem)) {
            up_read(&s.sem);
            cpu_relax();
        }
        WRITE_ONCE(s.late_reader_first, 1);
    });

    EXPECT_THAT(program.search(1), Holds());
}

// Two readers of one task: the second would wait for the writer who waits for the first.
TEST_F(RwSemaphore, ReaderBehindAWaitingWriterDeadlocksItself)
{
    program.task("R", [](crowd &s) __context_unsafe("reads twice") {
        down_read(&s.sem);
        down_read_nested(&s.sem, 1);
        up_read(&s.sem);
        up_read(&s.sem);
    });
    program.task("W", write_alone);

    EXPECT_THAT(program.search(0), Holds());
    EXPECT_THAT(program.search(1), Breaks(violation_kind::deadlock));
}

TEST_F(RwSemaphore, MayBeReleasedByAnotherTask)
{
    program.task("A", [](crowd &s) {
        down_read_non_owner(&s.sem);
        WRITE_ONCE(s.readers, 1);
    });
    program.task("B", [](crowd &s) {
        smp_cond_load_acquire(&s.readers, [](int inside) { return inside == 1; });
        require(!down_write_trylock(&s.sem), "A still reads");
        WRITE_ONCE(s.readers, 0);
        up_read_non_owner(&s.sem);
    });
    program.task("W", write_alone);

    EXPECT_THAT(program.search(2), Holds());
}

TEST_F(RwSemaphore, NobodysReadHoldCannotBeReleased)
{
    program.task("A", [](crowd &s) { up_read_non_owner(&s.sem); });

    EXPECT_THAT(program.search(0), Breaks(violation_kind::unbalanced_lock));
}

// --- Sleeping and waking ---

struct event {
    spinlock_t lock;
    wait_queue_head queue;
    completion done;
    bool plain; ///< under the lock
    once<int> flag;
    once<int> woken;
};

class Waiting : public ::testing::Test
{
  protected:
    Waiting()
    {
        program.setup([](event &s) {
            wait_bit_init();
            spin_lock_init(&s.lock, "event");
            init_waitqueue_head(&s.queue, "queue");
            init_completion(&s.done);
        });
    }

    toy<event> program;
};

void wait_on_queue(event &s)
{
    wait_queue_entry entry;

    init_wait(&entry);
    for (;;) {
        prepare_to_wait(&s.queue, &entry);
        if (READ_ONCE(s.flag))
            break;
        schedule();
    }
    finish_wait(&s.queue, &entry);
}

void set_and_wake_queue(event &s)
{
    WRITE_ONCE(s.flag, 1);
    if (wq_has_sleeper(&s.queue))
        wake_up_all(&s.queue);
}

TEST_F(Waiting, QueueLosesNoWakeUp)
{
    program.task("A", wait_on_queue);
    program.task("B", wait_on_queue);
    program.task("W", set_and_wake_queue);

    EXPECT_THAT(program.search(2), Holds());
}

// Every interleaving of one waiter and one waker.
TEST_F(Waiting, QueueLosesNoWakeUpAtAll)
{
    program.task("A", wait_on_queue);
    program.task("W", set_and_wake_queue);

    EXPECT_THAT(program.search(strategy::depth_first), Holds());
}

TEST_F(Waiting, TestBeforeTheStateIsSetLosesOne)
{
    program.task("A", [](event &s) {
        wait_queue_entry entry;

        init_wait(&entry);
        while (!READ_ONCE(s.flag)) {
            prepare_to_wait(&s.queue, &entry);
            schedule();
        }
        finish_wait(&s.queue, &entry);
    });
    program.task("W", set_and_wake_queue);

    EXPECT_THAT(program.search(0), Holds());
    EXPECT_THAT(program.search(1), Breaks(violation_kind::lost_wake_up));
    EXPECT_THAT(program.search(strategy::depth_first), Breaks(violation_kind::lost_wake_up));
}

void wait_for_variable(event &s) __context_unsafe("held through the wait")
{
    spin_lock(&s.lock);
    wait_var_event_spinlock(
        &s.plain, [&s] { return s.plain; }, &s.lock);
    require(s.plain, "went on too early");
    spin_unlock(&s.lock);
}

TEST_F(Waiting, VariableLosesNoWakeUp)
{
    program.task("A", wait_for_variable);
    program.task("B", wait_for_variable);
    program.task("W", [](event &s) {
        spin_lock(&s.lock);
        s.plain = true;
        wake_up_var_locked(&s.plain, &s.lock);
        spin_unlock(&s.lock);
    });

    EXPECT_THAT(program.search(2), Holds());
}

// The queue looks empty before the waiter is on it, and the flag is set after the waiter looked.
TEST_F(Waiting, VariableWokenBeforeTheLockIsTakenLosesOne)
{
    program.task("A", wait_for_variable);
    program.task("W", [](event &s) {
        wake_up_var(&s.plain);
        spin_lock(&s.lock);
        s.plain = true;
        spin_unlock(&s.lock);
    });

    EXPECT_THAT(program.search(1), Breaks(violation_kind::lost_wake_up));
}

TEST_F(Waiting, CompletionLosesNoWakeUp)
{
    program.task("A", [](event &s) { wait_for_completion(&s.done); });
    program.task("B", [](event &s) { wait_for_completion(&s.done); });
    program.task("W", [](event &s) {
        complete(&s.done);
        complete(&s.done);
    });
    program.finally([](event &s) { require(s.done.done == 0, "each took one"); });

    EXPECT_THAT(program.search(2), Holds());
}

TEST_F(Waiting, CompletionWaitsForAsManyAsThereAreWaiters)
{
    program.task("A", [](event &s) { wait_for_completion(&s.done); });
    program.task("B", [](event &s) { wait_for_completion(&s.done); });
    program.task("W", [](event &s) { complete(&s.done); });

    EXPECT_THAT(program.search(0), Breaks(violation_kind::deadlock));
}

TEST_F(Waiting, WakeUpTellsWhetherSomebodySlept)
{
    struct pair {
        once<task_struct *> sleeper;
        once<int> flag;
        once<int> was_asleep;
    };
    outcomes seen;
    toy<pair> program;

    program.task("A", [](pair &s) {
        WRITE_ONCE(s.sleeper, get_current());
        for (;;) {
            set_current_state(TASK_UNINTERRUPTIBLE);
            if (READ_ONCE(s.flag))
                break;
            schedule();
        }
        set_running();
    });
    program.task("W", [](pair &s) {
        task_struct *sleeper =
            smp_cond_load_acquire(&s.sleeper, [](task_struct *task) { return task != nullptr; });
        WRITE_ONCE(s.flag, 1);
        WRITE_ONCE(s.was_asleep, wake_up_process(sleeper));
    });
    program.finally([&seen](pair &s) { seen.insert(std::to_string(READ_ONCE(s.was_asleep))); });

    EXPECT_THAT(program.search(strategy::depth_first), Holds());
    EXPECT_THAT(seen, ElementsAre("0", "1"));
}

// --- Sequence counts ---

struct pair_of_halves {
    seqlock_t lock;
    once<int> left;
    once<int> right;
};

class SequenceLock : public ::testing::Test
{
  protected:
    SequenceLock()
    {
        program.setup([](pair_of_halves &s) { seqlock_init(&s.lock, "pair"); });
        program.task("writer", [](pair_of_halves &s) {
            for (int i = 1; i <= 2; i++) {
                write_seqlock(&s.lock);
                WRITE_ONCE(s.left, i);
                WRITE_ONCE(s.right, i);
                write_sequnlock(&s.lock);
            }
        });
    }

    toy<pair_of_halves> program;
};

TEST_F(SequenceLock, ReaderThatTestsSeesWholePairs)
{
    program.task("reader", [](pair_of_halves &s) {
        unsigned start;
        int left;
        int right;

        do {
            start = read_seqbegin(&s.lock);
            left = READ_ONCE(s.left);
            right = READ_ONCE(s.right);
        } while (read_seqretry(&s.lock, start));
        require(left == right, "half a pair");
    });

    EXPECT_THAT(program.search(3), Holds());
    EXPECT_THAT(program.search(strategy::depth_first), Holds());
}

TEST_F(SequenceLock, ReaderThatDoesNotTestSeesHalfAPair)
{
    program.task("reader", [](pair_of_halves &s) {
        (void)read_seqbegin(&s.lock);
        require(READ_ONCE(s.left) == READ_ONCE(s.right), "half a pair");
    });

    // The pair is half written within a section, which the reader waits for; so it takes the reader
    // in the middle as well.
    EXPECT_THAT(program.search(0), Holds());
    EXPECT_THAT(program.search(1), Breaks(violation_kind::expectation));
}

TEST_F(SequenceLock, ReaderThatLocksSeesWholePairs)
{
    program.task("reader", [](pair_of_halves &s) {
        read_seqlock_excl(&s.lock);
        require(READ_ONCE(s.left) == READ_ONCE(s.right), "half a pair");
        read_sequnlock_excl(&s.lock);
    });

    EXPECT_THAT(program.search(3), Holds());
}

// --- Lockref ---

struct counted {
    lockref ref;
    once<int> freed;
};

TEST(Lockref, LastOneOutIsTheOnlyOne)
{
    toy<counted> program;

    program.setup([](counted &s) {
        lockref_init(&s.ref, "ref");
        lockref_get(&s.ref);
    });
    for (const char *name : {"A", "B"})
        program.task(name, [](counted &s) __context_unsafe("released when it was the last") {
            if (lockref_put_or_lock(&s.ref))
                return;
            require(add_return(&s.freed, 1) == 1, "freed twice");
            lockref_mark_dead(&s.ref);
            spin_unlock(&s.ref.lock);
        });
    program.task("C", [](counted &s) __context_unsafe("locked when put_or_lock() says so") {
        if (lockref_get_not_dead(&s.ref)) {
            require(READ_ONCE(s.freed) == 0, "a reference to a dead object");
            if (lockref_put_or_lock(&s.ref))
                return;
            [](counted &s) __context_unsafe("locked above") {
                require(add_return(&s.freed, 1) == 1, "freed twice");
                lockref_mark_dead(&s.ref);
                spin_unlock(&s.ref.lock);
            }(s);
        }
    });
    program.finally([](counted &s) {
        require(READ_ONCE(s.freed) == 1, "not freed");
        require(READ_ONCE(s.ref.count) == LOCKREF_DEAD, "not dead");
    });

    EXPECT_THAT(program.search(2), Holds());
}

TEST(Lockref, HeldLockKeepsTheFastPathOut)
{
    toy<counted> program;

    program.setup([](counted &s) { lockref_init(&s.ref, "ref"); });
    program.task("A", [](counted &s) {
        spin_lock(&s.ref.lock);
        const int before = READ_ONCE(s.ref.count);
        require(READ_ONCE(s.ref.count) == before, "changed under the lock");
        spin_unlock(&s.ref.lock);
    });
    program.task("B", [](counted &s) { lockref_get(&s.ref); });

    EXPECT_THAT(program.search(strategy::depth_first), Holds());
}

TEST(Lockref, SeparateCountLosesAReference)
{
    toy<counted> program;

    program.setup([](counted &s) { lockref_init(&s.ref, "ref"); });
    for (const char *name : {"A", "B"})
        program.task(name, [](counted &s) { ++s.ref.count; });
    program.finally([](counted &s) { require(READ_ONCE(s.ref.count) == 3, "lost"); });

    EXPECT_THAT(program.search(1), Breaks(violation_kind::expectation));
}

// --- RCU ---

struct object {
    rcu_head head;
    once<int> value;
};

struct published {
    once<object *> pointer;
    once<int> readers;
    once<int> callbacks;
    once<int> done;
    rcu_head heads[2];
};

class Rcu : public ::testing::Test
{
  protected:
    Rcu()
    {
        program.setup([](published &s) {
            auto *made = static_cast<object *>(kmalloc(sizeof(object)));
            WRITE_ONCE(made->value, 1);
            WRITE_ONCE(s.pointer, made);
        });
    }

    toy<published> program;
};

void read_twice(published &s)
{
    rcu_read_lock();
    if (object *found = rcu_dereference(s.pointer)) {
        require(READ_ONCE(found->value) == 1, "stale");
        require(READ_ONCE(found->value) == 1, "stale");
    }
    rcu_read_unlock();
}

object *unpublish(published &s)
{
    object *old = READ_ONCE(s.pointer);

    rcu_assign_pointer(s.pointer, nullptr);
    return old;
}

TEST_F(Rcu, ReaderNeverSeesWhatACallbackFreed)
{
    program.task("A", read_twice);
    program.task("B", read_twice);
    program.task("U", [](published &s) { kfree_rcu(unpublish(s)); });

    EXPECT_THAT(program.search(2), Holds());
}

TEST_F(Rcu, ReaderNeverSeesWhatWasFreedAfterAGracePeriod)
{
    program.task("A", read_twice);
    program.task("U", [](published &s) {
        object *old = unpublish(s);
        synchronize_rcu();
        kfree(old);
    });

    EXPECT_THAT(program.search(3), Holds());
    EXPECT_THAT(program.search(strategy::depth_first), Holds());
}

TEST_F(Rcu, WithoutAGracePeriodItDoes)
{
    program.task("A", read_twice);
    program.task("U", [](published &s) { kfree(unpublish(s)); });

    EXPECT_THAT(program.search(0), Holds());
    EXPECT_THAT(program.search(1), BreaksSaying(violation_kind::use_after_free, "freed by U"));
    EXPECT_THAT(program.search(strategy::depth_first), Breaks(violation_kind::use_after_free));
}

TEST_F(Rcu, GracePeriodBeforeTheObjectIsUnpublishedDoesNotHelp)
{
    program.task("A", read_twice);
    program.task("U", [](published &s) {
        synchronize_rcu();
        kfree(unpublish(s));
    });

    EXPECT_THAT(program.search(2), Breaks(violation_kind::use_after_free));
    EXPECT_THAT(program.search(strategy::depth_first), Breaks(violation_kind::use_after_free));
}

TEST_F(Rcu, SpinlockIsAReadSideSection)
{
    struct locked {
        spinlock_t lock;
        once<object *> pointer;
    };
    toy<locked> program;

    program.setup([](locked &s) {
        spin_lock_init(&s.lock, "lock");
        auto *made = static_cast<object *>(kmalloc(sizeof(object)));
        WRITE_ONCE(made->value, 1);
        WRITE_ONCE(s.pointer, made);
    });
    program.task("A", [](locked &s) {
        spin_lock(&s.lock);
        if (object *found = READ_ONCE(s.pointer))
            require(READ_ONCE(found->value) == 1, "stale");
        spin_unlock(&s.lock);
    });
    program.task("U", [](locked &s) {
        object *old = xchg(&s.pointer, nullptr);
        synchronize_rcu();
        kfree(old);
    });

    EXPECT_THAT(program.search(3), Holds());
}

// The lock is what keeps the section open when the inner one is left.
TEST_F(Rcu, LockTakenInsideCarriesTheSectionOn)
{
    struct locked {
        spinlock_t lock;
        once<object *> pointer;
    };
    toy<locked> program;

    program.setup([](locked &s) {
        spin_lock_init(&s.lock, "lock");
        WRITE_ONCE(s.pointer, static_cast<object *>(kmalloc(sizeof(object))));
    });
    program.task("A", [](locked &s) __context_unsafe("hand-over-hand") {
        rcu_read_lock();
        object *found = READ_ONCE(s.pointer);
        spin_lock(&s.lock);
        rcu_read_unlock();
        if (found)
            WRITE_ONCE(found->value, 2);
        spin_unlock(&s.lock);
    });
    program.task("U", [](locked &s) { kfree_rcu(xchg(&s.pointer, nullptr)); });

    EXPECT_THAT(program.search(3), Holds());
}

TEST_F(Rcu, CallbackRunsEarlyInSomeExecutionsAndLateInOthers)
{
    outcomes seen;

    program.task("U", [](published &s) {
        call_rcu(&s.heads[0], [](rcu_head *head) {
            add_return(&container_of(head, published, heads)->callbacks, 1);
        });
        WRITE_ONCE(s.done, 1);
        WRITE_ONCE(s.readers, READ_ONCE(s.callbacks));
    });
    program.finally([&seen](published &s) {
        seen.insert(std::to_string(READ_ONCE(s.readers)) + " then " +
                    std::to_string(READ_ONCE(s.callbacks)));
    });

    EXPECT_THAT(program.search(1), Holds());
    EXPECT_THAT(seen, ElementsAre("0 then 1", "1 then 1"));
}

// Between two callbacks RCU is not in the middle of anything: others need no preemption.
TEST_F(Rcu, OtherTasksRunBetweenTwoCallbacks)
{
    outcomes seen;

    program.task("U", [](published &s) {
        rcu_read_lock();
        call_rcu(&s.heads[0], [](rcu_head *head) {
            add_return(&container_of(head, published, heads)->callbacks, 1);
        });
        call_rcu(&s.heads[1], [](rcu_head *head) {
            add_return(&container_of(head - 1, published, heads)->callbacks, 1);
        });
        rcu_read_unlock();
        WRITE_ONCE(s.readers, READ_ONCE(s.callbacks));
    });
    program.finally([&seen](published &s) { seen.insert(std::to_string(READ_ONCE(s.readers))); });

    EXPECT_THAT(program.search(1), Holds());
    EXPECT_THAT(seen, ElementsAre("0", "1", "2"));
}

TEST_F(Rcu, SynchronizeDoesNotWaitForReadersThatComeLater)
{
    program.task("R", [](published &s) {
        smp_cond_load_acquire(&s.done, [](int done) { return done >= 1; });
        rcu_read_lock();
        WRITE_ONCE(s.readers, 1);
        // Would deadlock if the grace period included this section.
        smp_cond_load_acquire(&s.done, [](int done) { return done == 2; });
        rcu_read_unlock();
    });
    program.task("U", [](published &s) {
        WRITE_ONCE(s.done, 1);
        synchronize_rcu();
        WRITE_ONCE(s.done, 2);
    });

    EXPECT_THAT(program.search(0), Holds());
    // When the reader is inside first, the two wait for each other.
    EXPECT_THAT(program.search(1), Breaks(violation_kind::deadlock));
}

struct barrier_state {
    rcu_head first;
    rcu_head second;
    once<int> ran;
};

TEST_F(Rcu, CallbacksHaveRunWhenTheBarrierIsPassed)
{
    toy<barrier_state> program;

    program.task("U", [](barrier_state &s) {
        call_rcu(&s.first, [](rcu_head *head) {
            add_return(&container_of(head, barrier_state, first)->ran, 1);
        });
        call_rcu(&s.second, [](rcu_head *head) {
            add_return(&container_of(head, barrier_state, second)->ran, 1);
        });
        rcu_barrier();
        require(READ_ONCE(s.ran) == 2, "a callback is still to run");
    });
    program.task("R", [](barrier_state &s) {
        rcu_read_lock();
        (void)READ_ONCE(s.ran);
        rcu_read_unlock();
    });

    EXPECT_THAT(program.search(2), Holds());
    EXPECT_THAT(program.search(strategy::depth_first), Holds());
}

// synchronize_rcu() is no barrier: callbacks may be late.
TEST_F(Rcu, CallbacksNeedNotHaveRunAfterAGracePeriod)
{
    toy<barrier_state> program;

    program.task("U", [](barrier_state &s) {
        call_rcu(&s.first, [](rcu_head *head) {
            add_return(&container_of(head, barrier_state, first)->ran, 1);
        });
        synchronize_rcu();
        require(READ_ONCE(s.ran) == 1, "a callback is still to run");
    });

    EXPECT_THAT(program.search(1), Breaks(violation_kind::expectation));
}

TEST_F(Rcu, CallbackMayTakeASpinlockAndQueueAnother)
{
    struct chain {
        rcu_head first;
        rcu_head second;
        spinlock_t lock;
        once<int> ran;
    };
    toy<chain> program;

    program.setup([](chain &s) { spin_lock_init(&s.lock, "chain"); });
    program.task("U", [](chain &s) {
        call_rcu(&s.first, [](rcu_head *head) {
            auto *s = container_of(head, chain, first);
            spin_lock(&s->lock);
            ++s->ran;
            call_rcu(&s->second, [](rcu_head *head) {
                auto *s = container_of(head, chain, second);
                spin_lock(&s->lock);
                ++s->ran;
                spin_unlock(&s->lock);
            });
            spin_unlock(&s->lock);
        });
        spin_lock(&s.lock);
        ++s.ran;
        spin_unlock(&s.lock);
    });
    program.finally([](chain &s) { require(READ_ONCE(s.ran) == 3, "not all ran"); });

    EXPECT_THAT(program.search(2), Holds());
}

TEST_F(Rcu, ObjectIsFreedOnceByKfreeRcu)
{
    program.task("U", [](published &s) {
        kfree_rcu(unpublish(s));
        rcu_barrier();
        require(kmalloc_objects() == 0, "still there");
    });

    EXPECT_THAT(program.search(2), Holds());
}

// --- Memory ---

struct allocations {
    once<int> failed[3];
};

TEST(Allocation, EachFailsInSomeExecution)
{
    outcomes seen;
    toy<allocations> program;

    program.program.faults = 1;
    program.task("A", [](allocations &s) {
        for (once<int> &failed : s.failed) {
            void *memory = kmalloc(16);
            WRITE_ONCE(failed, !memory);
            kfree(memory);
        }
    });
    program.finally([&seen](allocations &s) {
        std::string text;
        for (once<int> &failed : s.failed)
            text += READ_ONCE(failed) ? 'x' : '.';
        seen.insert(text);
    });

    EXPECT_THAT(program.search(0), Holds());
    EXPECT_THAT(seen, ElementsAre("...", "..x", ".x.", "x.."));
    seen.clear();
    EXPECT_THAT(program.search(strategy::depth_first), Holds());
    EXPECT_THAT(seen, ElementsAre("...", "..x", ".x.", "x.."));
}

TEST(Allocation, FailsOnlyWhenTheSearchMayLetIt)
{
    toy<allocations> program;

    program.task("A", [](allocations &) {
        void *memory = kmalloc(16);
        require(memory != nullptr, "failed");
        kfree(memory);
    });

    EXPECT_THAT(program.search(0), Holds());
    program.program.faults = 1;
    const search_result found = program.search(0);
    EXPECT_THAT(found, Breaks(violation_kind::expectation));
    EXPECT_THAT(found.schedule.values, ElementsAre(1));
}

TEST(Allocation, SetUpAndCleanUpNeverFail)
{
    toy<allocations> program;

    program.program.faults = 5;
    program.setup([](allocations &) { require(kmalloc(16) != nullptr, "set-up"); });
    program.task("A", [](allocations &) {});
    program.finally([](allocations &) { require(kmalloc(16) != nullptr, "clean-up"); });

    EXPECT_THAT(program.search(2), Holds());
}

struct addresses {
    once<void *> of[2];
};

// What one task allocates does not depend on what the others have allocated before.
TEST(Allocation, AddressesDoNotDependOnTheSchedule)
{
    std::set<std::pair<void *, void *>> seen;
    toy<addresses> program;

    for (int task = 0; task < 2; task++)
        program.task(task ? "B" : "A", [task](addresses &s) {
            for (int i = 0; i < 2; i++)
                WRITE_ONCE(s.of[task], kmalloc(16));
        });
    program.finally(
        [&seen](addresses &s) { seen.emplace(READ_ONCE(s.of[0]), READ_ONCE(s.of[1])); });

    EXPECT_THAT(program.search(2), Holds());
    EXPECT_EQ(seen.size(), 1u);
}

TEST(Allocation, NothingIsReusedWithinAnExecution)
{
    toy<addresses> program;

    program.task("A", [](addresses &) {
        void *first = kmalloc(16);
        kfree(first);
        void *second = kmalloc(16);
        require(first != second, "reused");
        kfree(second);
    });

    EXPECT_THAT(program.search(0), Holds());
}

TEST(Allocation, LockInMemoryThatNobodyInitialisedIsABug)
{
    struct with_lock {
        spinlock_t lock;
    };
    toy<addresses> program;

    program.task("A", [](addresses &) __context_unsafe("the mistake") {
        auto *made = static_cast<with_lock *>(kmalloc(sizeof(with_lock)));
        spin_lock(&made->lock);
    });

    EXPECT_THAT(program.search(0), BreaksSaying(violation_kind::bug, "never initialised"));
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
