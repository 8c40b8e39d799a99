// SPDX-License-Identifier: GPL-2.0-only
//
// Shared fields: what each access does to the value, and what it orders.
#include <cstring>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "dcsim/kernel/once.h"
#include "threads.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

// A forgotten READ_ONCE or WRITE_ONCE must not compile.
static_assert(!std::is_convertible_v<once<int>, int>);
static_assert(!std::is_convertible_v<once<int *>, bool>);
static_assert(!std::is_convertible_v<int, once<int>>);
static_assert(!std::is_assignable_v<once<int> &, int>);
static_assert(!std::is_assignable_v<once<int> &, once<int>>);
static_assert(!std::is_copy_constructible_v<once<int>>);
static_assert(!std::equality_comparable<once<int *>>);
// It lives in unions and in zeroed memory.
static_assert(std::is_trivial_v<once<u64>> && std::is_standard_layout_v<once<u64>>);
static_assert(sizeof(once<bool>) == 1 && sizeof(once<u64>) == 8 && alignof(once<u64>) == 8);

template <typename T>
void expect_round_trip(T first, T second)
{
    once<T> field(first);

    EXPECT_EQ(READ_ONCE(field), first);
    WRITE_ONCE(field, second);
    EXPECT_EQ(READ_ONCE(field), second);
    WRITE_LOCKED(field, first);
    EXPECT_EQ(READ_LOCKED(field), first);
    smp_store_release(&field, second);
    EXPECT_EQ(smp_load_acquire(&field), second);
    smp_store_mb(field, first);
    EXPECT_EQ(*field.word(), first);
}

TEST(Once, EveryAccessCarriesTheWholeValue)
{
    int object;

    expect_round_trip<bool>(false, true);
    expect_round_trip<u8>(0x12, 0xfe);
    expect_round_trip<unsigned short>(0x1234, 0xfedc);
    expect_round_trip<int>(-1, 0x12345678);
    expect_round_trip<u64>(0x0123456789abcdef, 0xfedcba9876543210);
    expect_round_trip<int *>(nullptr, &object);
}

TEST(Once, CompoundOperatorsReturnTheNewValue)
{
    once<unsigned> field(0b0110);

    EXPECT_EQ(field |= 0b1000u, 0b1110u);
    EXPECT_EQ(field &= ~0b0010u, 0b1100u);
    EXPECT_EQ(field += 2u, 14u);
    EXPECT_EQ(++field, 15u);
    EXPECT_EQ(--field, 14u);
    EXPECT_EQ(READ_ONCE(field), 14u);
}

TEST(Once, XchgReturnsTheOldValue)
{
    once<int> field(1);

    EXPECT_EQ(xchg(&field, 2), 1);
    EXPECT_EQ(READ_ONCE(field), 2);
}

TEST(Once, CmpxchgReplacesOnlyWhatItExpects)
{
    once<int> field(1);

    EXPECT_EQ(cmpxchg(&field, 7, 2), 1);
    EXPECT_EQ(READ_ONCE(field), 1);
    EXPECT_EQ(cmpxchg(&field, 1, 2), 1);
    EXPECT_EQ(READ_ONCE(field), 2);
}

TEST(Once, TryCmpxchgTellsWhatItFoundInstead)
{
    once<int> field(1);
    int expected = 7;

    EXPECT_FALSE(try_cmpxchg(&field, &expected, 2));
    EXPECT_EQ(expected, 1);
    EXPECT_EQ(READ_ONCE(field), 1);
    EXPECT_TRUE(try_cmpxchg(&field, &expected, 2));
    EXPECT_EQ(expected, 1);
    EXPECT_EQ(READ_ONCE(field), 2);
}

TEST(Once, FetchAddReturnReturnsTheNewValue)
{
    once<int> field(40);

    EXPECT_EQ(add_return(&field, 2), 42);
    EXPECT_EQ(add_return(&field, -43), -1);
}

TEST(Once, ReadWordAtATimeReadsEightBytesInMemoryOrder)
{
    alignas(8) char name[8] = {'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'};
    unsigned long word = read_word_at_a_time(name);

    EXPECT_EQ(memcmp(&word, name, sizeof(name)), 0);
}

constexpr int turns = 3000;
constexpr int steps = 20;

TEST(Once, AtomicAdditionsLoseNothing)
{
    once<long> field(0);

    run_side_by_side(turns, [&](int, int) {
        for (int i = 0; i < steps; i++)
            add_return(&field, 1);
    });
    EXPECT_EQ(READ_ONCE(field), 2L * turns * steps);
}

TEST(Once, ExchangesLoseNothing)
{
    once<long> field(0);

    run_side_by_side(turns, [&](int, int) {
        for (int i = 0; i < steps; i++) {
            long seen = READ_ONCE(field);
            while (!try_cmpxchg(&field, &seen, seen + 1))
                ;
        }
    });
    EXPECT_EQ(READ_ONCE(field), 2L * turns * steps);
}

TEST(Once, CondLoadReturnsTheValueThatSatisfied)
{
    once<unsigned> turn(1);
    long message = 0;

    std::jthread writer([&] {
        message = 42;
        smp_store_release(&turn, 6u);
    });
    unsigned value = smp_cond_load_acquire(&turn, [](unsigned v) { return !(v & 1); });
    EXPECT_EQ(value, 6u);
    EXPECT_EQ(message, 42);
}

// Does a reader that follows a pointer see what was written before the pointer was stored? (Of the
// plain accesses only those to pointers promise it; ThreadSanitizer sees a race if they do not.)
template <typename Publish, typename Read>
void expect_publication(Publish publish, Read read)
{
    constexpr int messages = 2000;
    std::unique_ptr<long[]> storage(new long[messages]());
    once<long *> latest(nullptr);

    run_together(2, [&](int who) {
        for (int i = 0; who == 0 && i < messages; i++) {
            storage[i] = 42;
            publish(latest, &storage[i]);
        }
        for (long *seen = nullptr; who == 1 && seen != &storage[messages - 1];) {
            seen = read(latest);
            if (seen) {
                ASSERT_EQ(*seen, 42);
            }
        }
    });
}

TEST(Once, PointerAccessesPublishWhatTheyPointTo)
{
    expect_publication([](once<long *> &field, long *value) { WRITE_ONCE(field, value); },
                       [](const once<long *> &field) { return READ_ONCE(field); });
    expect_publication([](once<long *> &field, long *value) { smp_store_release(&field, value); },
                       [](const once<long *> &field) { return smp_load_acquire(&field); });
}

/// Two tasks each store to their own field and then load the other's. With a full barrier between
/// store and load at least one of them sees the other's store. Returns how often neither did.
template <typename StoreThenBarrier>
int store_buffering(StoreThenBarrier store_then_barrier)
{
    constexpr int attempts = DCSIM_TSAN ? 2000 : 30000;
    struct alignas(64) cell {
        once<int> field{0};
        int seen = 0;
    };
    std::vector<cell> cells(2 * attempts);
    int both_missed = 0;

    run_side_by_side(attempts, [&](int me, int turn) {
        cell *mine = &cells[2 * turn + me];
        store_then_barrier(mine->field);
        mine->seen = READ_ONCE(cells[2 * turn + 1 - me].field);
    });
    for (int turn = 0; turn < attempts; turn++)
        both_missed += !cells[2 * turn].seen && !cells[2 * turn + 1].seen;
    return both_missed;
}

TEST(Once, FullBarriersOrderAStoreBeforeALoad)
{
    EXPECT_EQ(store_buffering([](once<int> &field) { smp_store_mb(field, 1); }), 0);
    EXPECT_EQ(store_buffering([](once<int> &field) { xchg(&field, 1); }), 0);
    EXPECT_EQ(store_buffering([](once<int> &field) { cmpxchg(&field, 0, 1); }), 0);
    EXPECT_EQ(store_buffering([](once<int> &field) { add_return(&field, 1); }), 0);
}

TEST(Once, SmpMbOrdersAStoreBeforeALoad)
{
    auto store_then_barrier = [](once<int> &field) {
        WRITE_ONCE(field, 1);
        smp_mb();
    };

    EXPECT_EQ(store_buffering(store_then_barrier), 0);
}

TEST(Atomic, DecAndTestIsTrueForTheLastOneOnly)
{
    constexpr int owners = 8;
    atomic_t references(owners);
    once<int> last(0);

    run_together(owners, [&](int) {
        if (atomic_dec_and_test(&references))
            add_return(&last, 1);
    });
    EXPECT_EQ(READ_ONCE(last), 1);
    EXPECT_EQ(atomic_read(&references), 0);
}

TEST(Atomic, IncNotZeroRevivesNothing)
{
    atomic_t references(0);

    EXPECT_FALSE(atomic_inc_not_zero(&references));
    EXPECT_EQ(atomic_read(&references), 0);
    atomic_set(&references, 1);
    EXPECT_TRUE(atomic_inc_not_zero(&references));
    atomic_inc(&references);
    EXPECT_EQ(atomic_read(&references), 3);
}

TEST(Atomic, AddUnlessRefusesOnlyTheNamedValue)
{
    atomic_t counter(5);

    EXPECT_FALSE(atomic_add_unless(&counter, 10, 5));
    EXPECT_EQ(atomic_read(&counter), 5);
    EXPECT_TRUE(atomic_add_unless(&counter, 10, 6));
    EXPECT_EQ(atomic_read(&counter), 15);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
