// SPDX-License-Identifier: GPL-2.0-only
//
// Wait queues.
#include <algorithm>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "dcsim/kernel/wait.h"
#include "threads.h"
#include "warnings.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// Sleeps on `wq` until condition() holds, as every user of a wait queue does.
template <typename Condition>
void wait_for(wait_queue_head *wq, wait_queue_entry *entry, Condition condition)
{
    init_wait(entry);
    for (;;) {
        prepare_to_wait(wq, entry);
        if (condition())
            break;
        schedule();
    }
    finish_wait(wq, entry);
}

template <typename Condition>
void wait_for(wait_queue_head *wq, Condition condition)
{
    wait_queue_entry entry;

    wait_for(wq, &entry, condition);
}

class Wait : public ::testing::Test
{
  protected:
    Wait()
    {
        init_waitqueue_head(&wq, "test");
    }

    wait_queue_head wq;
    once<int> ready{0};
    warning_capture warnings;
};

TEST_F(Wait, FinishTakesTheEntryOffAndLeavesTheTaskRunning)
{
    wait_queue_entry entry;

    init_wait(&entry);
    EXPECT_FALSE(waitqueue_active(&wq));
    prepare_to_wait(&wq, &entry);
    EXPECT_TRUE(waitqueue_active(&wq));
    EXPECT_TRUE(wq_has_sleeper(&wq));
    EXPECT_EQ(READ_ONCE(get_current()->state), TASK_UNINTERRUPTIBLE);
    finish_wait(&wq, &entry);
    EXPECT_FALSE(waitqueue_active(&wq));
    EXPECT_FALSE(wq_has_sleeper(&wq));
    EXPECT_EQ(READ_ONCE(get_current()->state), TASK_RUNNING);
}

TEST_F(Wait, PreparingTwiceQueuesOnce)
{
    wait_queue_entry entry;

    init_wait(&entry);
    prepare_to_wait(&wq, &entry);
    prepare_to_wait(&wq, &entry);
    EXPECT_EQ(list_next(list_first(&wq.head)), &wq.head);
    finish_wait(&wq, &entry);
}

TEST_F(Wait, WakeUpBetweenPreparingAndSleepingIsNotLost)
{
    wait_queue_entry entry;

    init_wait(&entry);
    prepare_to_wait(&wq, &entry);
    wake_up_all(&wq);
    schedule();
    EXPECT_FALSE(waitqueue_active(&wq)) << "a wake-up takes an init_wait() entry off";
    finish_wait(&wq, &entry);
}

TEST_F(Wait, EntryOfItsOwnFunctionStaysQueuedUntilRemoved)
{
    wait_queue_entry entry;

    init_waitqueue_entry(&entry, get_current());
    add_wait_queue(&wq, &entry);
    set_current_state(TASK_UNINTERRUPTIBLE);
    wake_up_all(&wq);
    EXPECT_EQ(READ_ONCE(get_current()->state), TASK_RUNNING);
    EXPECT_TRUE(waitqueue_active(&wq));
    remove_wait_queue(&wq, &entry);
    EXPECT_FALSE(waitqueue_active(&wq));
}

TEST_F(Wait, AutoremoveKeepsAnEntryWhoseTaskWasNotWoken)
{
    wait_queue_entry entry;

    init_wait(&entry);
    add_wait_queue(&wq, &entry);
    wake_up_all(&wq);
    EXPECT_TRUE(waitqueue_active(&wq)) << "this task is running: nobody was woken";
    remove_wait_queue(&wq, &entry);
}

TEST_F(Wait, EveryEntrySeesTheKey)
{
    struct keyed_entry {
        wait_queue_entry wait;
        void *key = nullptr;
        int calls = 0;
    };
    keyed_entry entries[3];
    auto note_key = [](wait_queue_entry *wait, void *key) {
        auto *entry = container_of(wait, keyed_entry, wait);
        entry->key = key;
        entry->calls++;
        return false;
    };

    for (keyed_entry &entry : entries) {
        init_waitqueue_entry(&entry.wait, get_current());
        entry.wait.func = note_key;
        add_wait_queue(&wq, &entry.wait);
    }
    __wake_up(&wq, this);
    for (keyed_entry &entry : entries) {
        EXPECT_EQ(entry.key, this);
        EXPECT_EQ(entry.calls, 1);
        remove_wait_queue(&wq, &entry.wait);
    }
}

TEST_F(Wait, WakeUpAllWakesEverybody)
{
    std::vector<std::unique_ptr<blocking_thread>> sleepers;

    for (int i = 0; i < 6; i++) {
        sleepers.push_back(std::make_unique<blocking_thread>(
            [&] { wait_for(&wq, [&] { return READ_ONCE(ready) != 0; }); }));
        ASSERT_TRUE(sleepers.back()->comes_to_wait());
    }
    WRITE_ONCE(ready, 1);
    wake_up_all(&wq);
    sleepers.clear();
    EXPECT_FALSE(waitqueue_active(&wq));
}

TEST_F(Wait, WokenTaskGoesBackToSleepWhileItsConditionDoesNotHold)
{
    blocking_thread sleeper([&] { wait_for(&wq, [&] { return READ_ONCE(ready) != 0; }); });

    for (int i = 0; i < 50; i++) {
        ASSERT_TRUE(sleeper.comes_to_wait());
        wake_up_all(&wq);
    }
    EXPECT_FALSE(sleeper.finished());
    WRITE_ONCE(ready, 1);
    wake_up_all(&wq);
}

TEST_F(Wait, SleeperSeesWhatTheWakerDidBefore)
{
    long message = 0;

    blocking_thread sleeper([&] {
        wait_for(&wq, [&] { return READ_ONCE(ready) != 0; });
        EXPECT_EQ(message, 42);
    });
    ASSERT_TRUE(sleeper.comes_to_wait());
    message = 42;
    WRITE_ONCE(ready, 1);
    wake_up_all(&wq);
}

// Each turn ends in a wake-up that the other side may be about to miss: a lost one hangs.
TEST_F(Wait, NoWakeUpIsLostInATightPingPong)
{
    constexpr int rounds = 20000;

    run_together(2, [&](int me) {
        for (int i = 0; i < rounds; i++) {
            wait_for(&wq, [&] { return READ_ONCE(ready) % 2 == me; });
            add_return(&ready, 1);
            wake_up_all(&wq);
        }
    });
    EXPECT_EQ(READ_ONCE(ready), 2 * rounds);
}

// In each turn one thread goes to sleep while the other makes the condition true and wakes it. The
// next turn's change comes a little earlier when it found the sleeper queued and a little later
// when it did not, so that most changes meet the moment of going to sleep. A lost wake-up hangs.
TEST_F(Wait, NoWakeUpIsLostWhileGoingToSleep)
{
    once<int> changes(0);
    int delay = 0;

    run_side_by_side(8000, [&](int me, int turn) {
        if (me == 0) {
            wait_queue_entry entry;
            wait_for(&wq, &entry, [&] { return READ_ONCE(changes) > turn; });
            // The waker must be done with the entry by now (ThreadSanitizer watches).
            init_wait(&entry);
            return;
        }
        for (int i = 0; i < delay; i++)
            waitqueue_active(&wq);
        WRITE_ONCE(changes, turn + 1);
        delay = waitqueue_active(&wq) ? std::max(delay - 1, 0) : delay + 1;
        wake_up_all(&wq);
    });
}

// The waker that finds no sleeper and the sleeper that finds its condition unfulfilled: at most one
// of them may be. Nobody sleeps here, so that the two meet more closely.
TEST_F(Wait, HasSleeperAndTheSleepersTestDoNotBothMiss)
{
    constexpr int turns = 30000;
    struct alignas(64) meeting_place {
        wait_queue_head wq;
        wait_queue_entry entry;
        alignas(64) once<bool> ready{false};
        bool was_ready = false;
        bool had_sleeper = false;
    };
    std::vector<meeting_place> places(turns);
    int both_missed = 0;

    for (meeting_place &place : places)
        init_waitqueue_head(&place.wq, "test");
    run_side_by_side(turns, [&](int me, int turn) {
        meeting_place *place = &places[turn];
        if (me == 0) {
            init_wait(&place->entry);
            prepare_to_wait(&place->wq, &place->entry);
            place->was_ready = READ_ONCE(place->ready);
            set_running();
            return;
        }
        // Comes later in each turn, with the queue's head in this processor's cache.
        for (int i = 0; i < turn % 128; i++)
            waitqueue_active(&place->wq);
        WRITE_ONCE(place->ready, true);
        place->had_sleeper = wq_has_sleeper(&place->wq);
    });
    for (const meeting_place &place : places)
        both_missed += !place.was_ready && !place.had_sleeper;
    EXPECT_EQ(both_missed, 0);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
