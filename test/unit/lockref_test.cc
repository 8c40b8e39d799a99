// SPDX-License-Identifier: GPL-2.0-only
//
// The reference count with a lock beside it: the exact rule of each operation.
#include <vector>

#include <gtest/gtest.h>

#include "dcsim/kernel/lockref.h"
#include "threads.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

struct lockref_with_count : lockref {
    explicit lockref_with_count(int initial)
    {
        lockref_init(this, "test");
        WRITE_ONCE(count, initial);
    }
};

int count_of(const lockref &ref)
{
    return READ_ONCE(ref.count);
}

TEST(Lockref, IsOneEightByteWord)
{
    static_assert(sizeof(lockref) == 8 && alignof(lockref) == 8);
    EXPECT_TRUE(lockref_has_cmpxchg);
}

TEST(Lockref, StartsUnlockedWithOneReference)
{
    lockref ref;

    lockref_init(&ref, "test");
    EXPECT_EQ(count_of(ref), 1);
    EXPECT_FALSE(spin_is_locked(&ref.lock));
}

// The caller pins the object by other means, an alias by i_lock for instance.
TEST(Lockref, GetCountsUpFromAnything)
{
    for (int count : {-1, 0, 1, 41}) {
        lockref_with_count ref(count);
        lockref_get(&ref);
        EXPECT_EQ(count_of(ref), count + 1);
        EXPECT_FALSE(spin_is_locked(&ref.lock));
    }
}

struct rule {
    int before;
    bool answer;
    int after;
};

void expect_rules(bool (*operation)(lockref *), std::initializer_list<rule> rules)
{
    for (const rule &expected : rules) {
        lockref_with_count ref(expected.before);
        EXPECT_EQ(operation(&ref), expected.answer) << "from " << expected.before;
        EXPECT_EQ(count_of(ref), expected.after) << "from " << expected.before;
        EXPECT_FALSE(spin_is_locked(&ref.lock)) << "from " << expected.before;
    }
}

TEST(Lockref, GetNotZeroNeedsAReference)
{
    expect_rules(lockref_get_not_zero,
                 {{1, true, 2}, {7, true, 8}, {0, false, 0}, {-1, false, -1}, {-128, false, -128}});
}

TEST(Lockref, GetNotDeadRevivesZero)
{
    expect_rules(lockref_get_not_dead,
                 {{0, true, 1}, {1, true, 2}, {-1, false, -1}, {-128, false, -128}});
}

TEST(Lockref, PutNotZeroKeepsTheLastReference)
{
    expect_rules(lockref_put_not_zero,
                 {{2, true, 1}, {7, true, 6}, {1, false, 1}, {0, false, 0}, {-128, false, -128}});
}

TEST(Lockref, PutReturnTellsWhatIsLeft)
{
    lockref_with_count ref(2);

    EXPECT_EQ(lockref_put_return(&ref), 1);
    EXPECT_EQ(lockref_put_return(&ref), 0);
    EXPECT_EQ(count_of(ref), 0);
}

TEST(Lockref, PutReturnRefusesWithoutAReference)
{
    for (int count : {0, -1, -128}) {
        lockref_with_count ref(count);
        EXPECT_EQ(lockref_put_return(&ref), -1);
        EXPECT_EQ(count_of(ref), count);
    }
}

// It has no slow path: fast_dput() locks and decides by itself.
TEST(Lockref, PutReturnRefusesWhileTheLockIsHeld)
{
    lockref_with_count ref(5);

    spin_lock(&ref.lock);
    EXPECT_EQ(lockref_put_return(&ref), -1);
    EXPECT_EQ(count_of(ref), 5);
    spin_unlock(&ref.lock);
    EXPECT_EQ(lockref_put_return(&ref), 4);
}

TEST(Lockref, PutOrLockDropsAllButTheLastReference)
{
    lockref_with_count ref(2);

    bool dropped = lockref_put_or_lock(&ref);
    EXPECT_TRUE(dropped);
    if (!dropped)
        spin_unlock(&ref.lock);
    EXPECT_EQ(count_of(ref), 1);
    EXPECT_FALSE(spin_is_locked(&ref.lock));
}

TEST(Lockref, PutOrLockReturnsLockedAndUncountedOtherwise)
{
    for (int count : {1, 0, -128}) {
        lockref_with_count ref(count);
        bool dropped = lockref_put_or_lock(&ref);
        EXPECT_FALSE(dropped);
        EXPECT_TRUE(spin_is_locked(&ref.lock));
        EXPECT_TRUE(rcu_read_lock_held());
        EXPECT_EQ(count_of(ref), count);
        if (!dropped)
            spin_unlock(&ref.lock);
    }
}

TEST(LockrefDeathTest, MarkDeadNeedsTheLock) __context_unsafe("breaks the rule on purpose")
{
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    lockref_with_count ref(1);

    EXPECT_DEATH(lockref_mark_dead(&ref), "BUG: .*spin_is_locked");
}

TEST(Lockref, NobodyGetsAReferenceOnTheDead)
{
    lockref_with_count ref(0);

    EXPECT_FALSE(__lockref_is_dead(&ref));
    spin_lock(&ref.lock);
    lockref_mark_dead(&ref);
    spin_unlock(&ref.lock);
    EXPECT_TRUE(__lockref_is_dead(&ref));
    EXPECT_EQ(count_of(ref), LOCKREF_DEAD);
    EXPECT_FALSE(lockref_get_not_dead(&ref));
    EXPECT_FALSE(lockref_get_not_zero(&ref));
    EXPECT_FALSE(lockref_put_not_zero(&ref));
    EXPECT_EQ(lockref_put_return(&ref), -1);
    EXPECT_EQ(count_of(ref), LOCKREF_DEAD);
}

/// Starts `operation` while the lock is held, lets `under_lock` change the count once the operation
/// sleeps, and returns what the operation answers.
template <typename Answer>
Answer decided_under_the_lock(lockref *ref, Answer (*operation)(lockref *), int count_under_lock)
{
    Answer answer{};

    spin_lock(&ref->lock);
    blocking_thread other([&] { answer = operation(ref); });
    EXPECT_TRUE(other.comes_to_sleep());
    WRITE_ONCE(ref->count, count_under_lock);
    spin_unlock(&ref->lock);
    other.join();
    return answer;
}

TEST(Lockref, WhoWaitsForTheLockDecidesByWhatItFindsThen)
{
    lockref_with_count ref(1);

    EXPECT_FALSE(decided_under_the_lock(&ref, lockref_get_not_dead, LOCKREF_DEAD));
    EXPECT_EQ(count_of(ref), LOCKREF_DEAD);
    EXPECT_TRUE(decided_under_the_lock(&ref, lockref_get_not_dead, 0));
    EXPECT_EQ(count_of(ref), 1);
    EXPECT_FALSE(decided_under_the_lock(&ref, lockref_get_not_zero, 0));
    EXPECT_EQ(count_of(ref), 0);
    EXPECT_TRUE(decided_under_the_lock(&ref, lockref_get_not_zero, 1));
    EXPECT_EQ(count_of(ref), 2);
    EXPECT_FALSE(decided_under_the_lock(&ref, lockref_put_not_zero, 1));
    EXPECT_EQ(count_of(ref), 1);
    EXPECT_TRUE(decided_under_the_lock(&ref, lockref_put_not_zero, 2));
    EXPECT_EQ(count_of(ref), 1);
}

TEST(Lockref, GetWaitsForTheHolder)
{
    lockref_with_count ref(1);

    spin_lock(&ref.lock);
    blocking_thread other([&] { lockref_get(&ref); });
    EXPECT_TRUE(other.comes_to_sleep());
    EXPECT_EQ(count_of(ref), 1);
    ++ref.count;
    spin_unlock(&ref.lock);
    other.join();
    EXPECT_EQ(count_of(ref), 3);
}

TEST(Lockref, PutOrLockDecidesUnderTheLock)
{
    lockref_with_count ref(2);

    spin_lock(&ref.lock);
    blocking_thread other([&] {
        bool dropped = lockref_put_or_lock(&ref);
        EXPECT_FALSE(dropped);
        if (!dropped)
            spin_unlock(&ref.lock);
    });
    EXPECT_TRUE(other.comes_to_sleep());
    --ref.count;
    spin_unlock(&ref.lock);
    other.join();
    EXPECT_EQ(count_of(ref), 1);
}

/// One reference less by the way fast_dput() goes.
void put(lockref *ref)
{
    if (lockref_put_return(ref) >= 0)
        return;
    spin_lock(&ref->lock);
    --ref->count;
    spin_unlock(&ref->lock);
}

TEST(Lockref, ConcurrentGetsAndPutsAreExact)
{
    lockref_with_count ref(1);
    const int threads = more_threads_than_processors();

    run_together(threads, [&](int me) {
        for (int i = 0; i < 3000; i++) {
            lockref_get(&ref);
            EXPECT_TRUE(lockref_get_not_zero(&ref));
            EXPECT_TRUE(lockref_get_not_dead(&ref));
            put(&ref);
            EXPECT_TRUE(lockref_put_not_zero(&ref));
            if (i % 64 == me)
                lockref_get(&ref);
            put(&ref);
        }
    });
    int extra = 0;
    for (int me = 0; me < threads; me++)
        for (int i = 0; i < 3000; i++)
            extra += i % 64 == me;
    EXPECT_EQ(count_of(ref), 1 + extra);
}

// A holder of the lock changes the count with a plain load and store; nobody may slip in between.
TEST(Lockref, HeldLockExcludesTheFastPath)
{
    lockref_with_count ref(0);
    constexpr int turns = 5000;
    constexpr int steps = 10;

    run_side_by_side(turns, [&](int me, int) {
        for (int i = 0; i < steps; i++) {
            if (me == 0) {
                lockref_get(&ref);
                continue;
            }
            spin_lock(&ref.lock);
            int count = READ_ONCE(ref.count);
            cpu_relax();
            WRITE_ONCE(ref.count, count + 1);
            spin_unlock(&ref.lock);
        }
    });
    EXPECT_EQ(count_of(ref), 2 * turns * steps);
}

// A count that has reached "dead" never leaves it, whatever the others try meanwhile.
TEST(Lockref, DeathAndRevivalExcludeEachOther)
{
    struct object {
        lockref_with_count ref{0};
        bool revived = false;
        bool killed = false;
    };
    constexpr int turns = 5000;
    std::vector<object> objects(turns);

    run_side_by_side(turns, [&](int me, int turn) {
        object *one = &objects[turn];
        if (me == 0) {
            one->revived = lockref_get_not_dead(&one->ref);
            return;
        }
        spin_lock(&one->ref.lock);
        if (READ_ONCE(one->ref.count) == 0) {
            lockref_mark_dead(&one->ref);
            one->killed = true;
        }
        spin_unlock(&one->ref.lock);
    });
    for (const object &one : objects) {
        EXPECT_NE(one.revived, one.killed);
        EXPECT_EQ(count_of(one.ref), one.killed ? LOCKREF_DEAD : 1);
    }
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
