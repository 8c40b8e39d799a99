// SPDX-License-Identifier: GPL-2.0-only
//
// Sequence counters and sequence locks, with the three ways to read under them.
#include <gtest/gtest.h>

#include "dcsim/kernel/seqlock.h"
#include "threads.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

TEST(Seqcount, ReadWithoutAWriterIsAccepted)
{
    seqcount_t s = {};

    unsigned start = read_seqcount_begin(&s);
    EXPECT_FALSE(read_seqcount_retry(&s, start));
}

TEST(Seqcount, ReadAcrossAWriteIsRejected)
{
    seqcount_t s = {};

    unsigned start = read_seqcount_begin(&s);
    write_seqcount_begin(&s);
    EXPECT_TRUE(read_seqcount_retry(&s, start));
    write_seqcount_end(&s);
    EXPECT_TRUE(read_seqcount_retry(&s, start));
    EXPECT_FALSE(read_seqcount_retry(&s, read_seqcount_begin(&s)));
}

TEST(Seqcount, IsOddInsideAWriteAndOnlyThere)
{
    seqcount_t s = {};

    write_seqcount_begin(&s);
    EXPECT_EQ(READ_ONCE(s.sequence), 1u);
    write_seqcount_end(&s);
    EXPECT_EQ(READ_ONCE(s.sequence), 2u);
}

// RCU-walk must not wait for a rename, so it begins anyway and finds out at the end.
TEST(Seqcount, RawBeginInsideAWriteDoesNotWaitAndAlwaysFails)
{
    seqcount_t s = {};

    write_seqcount_begin(&s);
    unsigned start = raw_seqcount_begin(&s);
    EXPECT_EQ(start & 1, 0u);
    EXPECT_TRUE(read_seqcount_retry(&s, start));
    write_seqcount_end(&s);
    EXPECT_TRUE(read_seqcount_retry(&s, start));
}

TEST(Seqcount, RawBeginOutsideAWriteIsAccepted)
{
    seqcount_t s = {};

    write_seqcount_begin(&s);
    write_seqcount_end(&s);
    EXPECT_FALSE(read_seqcount_retry(&s, raw_seqcount_begin(&s)));
}

TEST(Seqcount, InvalidateRejectsCurrentReadersAndDelaysNoNewOne)
{
    seqcount_t s = {};

    unsigned start = read_seqcount_begin(&s);
    write_seqcount_invalidate(&s);
    EXPECT_TRUE(read_seqcount_retry(&s, start));
    EXPECT_EQ(READ_ONCE(s.sequence) & 1, 0u);
    EXPECT_FALSE(read_seqcount_retry(&s, read_seqcount_begin(&s)));
}

TEST(Seqcount, CountWrapsAround)
{
    seqcount_t s = {once<unsigned>(-2u)};

    unsigned start = read_seqcount_begin(&s);
    write_seqcount_begin(&s);
    write_seqcount_end(&s);
    EXPECT_EQ(READ_ONCE(s.sequence), 0u);
    EXPECT_TRUE(read_seqcount_retry(&s, start));
}

TEST(Seqcount, BeginWaitsForTheWriterToFinish)
{
    seqcount_t s = {};
    once<bool> stop(false);

    run_together(2, [&](int who) {
        if (who == 0) {
            for (int i = 0; i < 20000; i++)
                ASSERT_EQ(read_seqcount_begin(&s) & 1, 0u);
            WRITE_ONCE(stop, true);
        } else {
            while (!READ_ONCE(stop)) {
                write_seqcount_begin(&s);
                cpu_relax();
                write_seqcount_end(&s);
            }
        }
    });
}

/// Two values that are equal whenever no write is in progress.
struct mirrored {
    once<long> left;
    once<long> right;

    void write(long value)
    {
        WRITE_ONCE(left, value);
        cpu_relax();
        WRITE_ONCE(right, value);
    }

    /// Difference of the two; anything but 0 is a mixture.
    long read() const
    {
        long first = READ_ONCE(left);
        cpu_relax();
        return READ_ONCE(right) - first;
    }
};

/// Runs `read` 20000 times beside a thread that writes all the time, and counts the mixtures.
template <typename Read>
long mixtures_seen(seqlock_t *sl, mirrored *data, Read read)
{
    once<bool> stop(false);
    long mixtures = 0;

    run_together(2, [&](int who) {
        if (who == 0) {
            for (int i = 0; i < 20000; i++)
                mixtures += read() != 0;
            WRITE_ONCE(stop, true);
        } else {
            for (long value = 1; !READ_ONCE(stop); value++) {
                write_seqlock(sl);
                data->write(value);
                write_sequnlock(sl);
            }
        }
    });
    return mixtures;
}

TEST(Seqlock, OptimisticReaderAcceptsNoMixture)
{
    seqlock_t sl = {};
    mirrored data = {};

    EXPECT_EQ(mixtures_seen(&sl, &data,
                            [&] {
                                long difference;
                                unsigned seq;
                                do {
                                    seq = read_seqbegin(&sl);
                                    difference = data.read();
                                } while (read_seqretry(&sl, seq));
                                return difference;
                            }),
              0);
}

// d_same_name's pattern: begin without waiting, throw the result away when it may be mixed.
TEST(Seqlock, RawReaderAcceptsNoMixture)
{
    seqlock_t sl = {};
    mirrored data = {};

    EXPECT_EQ(mixtures_seen(&sl, &data,
                            [&] {
                                unsigned seq = raw_seqcount_begin(&sl.seqcount);
                                long difference = data.read();
                                return read_seqcount_retry(&sl.seqcount, seq) ? 0 : difference;
                            }),
              0);
}

TEST(Seqlock, ExclusiveReaderSeesNoMixture)
{
    seqlock_t sl = {};
    mirrored data = {};

    EXPECT_EQ(mixtures_seen(&sl, &data,
                            [&] {
                                read_seqlock_excl(&sl);
                                long difference = data.read();
                                read_sequnlock_excl(&sl);
                                return difference;
                            }),
              0);
}

// Whatever the writer does, the second pass runs with writers locked out.
TEST(Seqlock, BeginOrLockNeedsTwoPassesAtTheMost)
{
    seqlock_t sl = {};
    mirrored data = {};
    int most_passes = 0;

    EXPECT_EQ(mixtures_seen(&sl, &data,
                            [&] {
                                unsigned seq = 0;
                                long difference;
                                int passes = 0;
                                for (;;) {
                                    read_seqbegin_or_lock(&sl, &seq);
                                    difference = data.read();
                                    passes++;
                                    if (!need_seqretry(&sl, seq))
                                        break;
                                    seq = 1;
                                }
                                done_seqretry(&sl, seq);
                                most_passes = std::max(most_passes, passes);
                                return difference;
                            }),
              0);
    EXPECT_LE(most_passes, 2);
}

TEST(Seqlock, WriterHoldsTheLockAndMovesTheCount)
{
    seqlock_t sl;

    seqlock_init(&sl, "test");
    unsigned start = read_seqbegin(&sl);
    write_seqlock(&sl);
    EXPECT_TRUE(spin_is_locked(&sl.lock));
    EXPECT_TRUE(read_seqretry(&sl, start));
    write_sequnlock(&sl);
    EXPECT_FALSE(spin_is_locked(&sl.lock));
    EXPECT_TRUE(read_seqretry(&sl, start));
}

TEST(Seqlock, ExclusiveReaderDoesNotDisturbOptimisticOnes)
{
    seqlock_t sl = {};

    unsigned start = read_seqbegin(&sl);
    read_seqlock_excl(&sl);
    EXPECT_TRUE(spin_is_locked(&sl.lock));
    EXPECT_FALSE(read_seqretry(&sl, start));
    EXPECT_EQ(read_seqbegin(&sl), start);
    read_sequnlock_excl(&sl);
    EXPECT_FALSE(read_seqretry(&sl, start));
}

TEST(Seqlock, ExclusiveReaderKeepsWritersOut)
{
    seqlock_t sl = {};
    bool reading = true;

    read_seqlock_excl(&sl);
    blocking_thread writer([&] {
        write_seqlock(&sl);
        EXPECT_FALSE(reading);
        write_sequnlock(&sl);
    });
    EXPECT_TRUE(writer.comes_to_sleep());
    EXPECT_EQ(READ_ONCE(sl.seqcount.sequence), 0u);
    reading = false;
    read_sequnlock_excl(&sl);
}

TEST(Seqlock, EvenSeqOfBeginOrLockIsOptimistic)
{
    seqlock_t sl = {};
    unsigned seq = 0;

    write_seqlock(&sl);
    write_sequnlock(&sl);
    read_seqbegin_or_lock(&sl, &seq);
    EXPECT_EQ(seq, 2u);
    EXPECT_FALSE(spin_is_locked(&sl.lock));
    EXPECT_FALSE(need_seqretry(&sl, seq));
    write_seqlock(&sl);
    write_sequnlock(&sl);
    EXPECT_TRUE(need_seqretry(&sl, seq));
    done_seqretry(&sl, seq);
    EXPECT_FALSE(spin_is_locked(&sl.lock));
}

TEST(Seqlock, OddSeqOfBeginOrLockTakesTheLock)
{
    seqlock_t sl = {};
    unsigned seq = 1;

    read_seqbegin_or_lock(&sl, &seq);
    EXPECT_EQ(seq, 1u);
    EXPECT_TRUE(spin_is_locked(&sl.lock));
    EXPECT_FALSE(need_seqretry(&sl, seq));
    done_seqretry(&sl, seq);
    EXPECT_FALSE(spin_is_locked(&sl.lock));
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
