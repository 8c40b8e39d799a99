// SPDX-License-Identifier: GPL-2.0-only
//
// Sequence counters and sequence locks. Source: include/linux/seqlock.h.
//
// A writer makes the counter odd, changes the data, makes it even. A reader samples the counter,
// reads, and samples again: a difference means that what it read may be a mixture.
#pragma once

#include "dcsim/annotations.h"
#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/once.h"
#include "dcsim/kernel/spinlock.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// A bare counter; the lock that serialises its writers is named where it is defined. In struct
/// dentry that is d_lock (the kernel's seqcount_spinlock_t without lockdep).
struct seqcount {
    once<unsigned> sequence;
};
using seqcount_t = seqcount;

inline void seqcount_init(seqcount_t *s)
{
    WRITE_ONCE(s->sequence, 0);
}

/// Waits until no write is in progress and returns the even count.
inline unsigned read_seqcount_begin(const seqcount_t *s)
{
    return smp_cond_load_acquire(&s->sequence, [](unsigned count) { return !(count & 1); });
}

/// Does not wait: started inside a write it returns the count before it, so that the check at the
/// end is certain to fail.
inline unsigned raw_seqcount_begin(const seqcount_t *s)
{
    return smp_load_acquire(&s->sequence) & ~1u;
}

/// True when the data read since `start` must not be used. Pairs with the write barriers below.
inline bool read_seqcount_retry(const seqcount_t *s, unsigned start)
{
    smp_rmb();
    return unlikely(READ_ONCE(s->sequence) != start);
}

inline void write_seqcount_begin(seqcount_t *s)
{
    ++s->sequence;
    smp_wmb();
}

inline void write_seqcount_end(seqcount_t *s)
{
    smp_wmb();
    ++s->sequence;
}

/// Makes every reader that is now under way fail, without an odd phase that new readers would see.
inline void write_seqcount_invalidate(seqcount_t *s)
{
    smp_wmb();
    s->sequence += 2;
}

/// A counter with the spinlock that serialises its writers. Holder of the lock without a write
/// section (the exclusive reader) keeps writers out and does not disturb optimistic readers.
struct __context_lock("seqlock") seqlock
{
    seqcount_t seqcount;
    spinlock_t lock;
};
using seqlock_t = seqlock;

inline void seqlock_init(seqlock_t *sl, const char *lock_class)
{
    seqcount_init(&sl->seqcount);
    spin_lock_init(&sl->lock, lock_class);
}

inline unsigned read_seqbegin(const seqlock_t *sl)
{
    return read_seqcount_begin(&sl->seqcount);
}

inline bool read_seqretry(const seqlock_t *sl, unsigned start)
{
    return read_seqcount_retry(&sl->seqcount, start);
}

inline void write_seqlock(seqlock_t *sl) __acquires(sl) __context_unsafe("implements the lock")
{
    spin_lock(&sl->lock);
    write_seqcount_begin(&sl->seqcount);
}

inline void write_sequnlock(seqlock_t *sl) __releases(sl) __context_unsafe("implements the lock")
{
    write_seqcount_end(&sl->seqcount);
    spin_unlock(&sl->lock);
}

inline void read_seqlock_excl(seqlock_t *sl) __acquires(sl) __context_unsafe("implements the lock")
{
    spin_lock(&sl->lock);
}

inline void read_sequnlock_excl(seqlock_t *sl) __releases(sl)
    __context_unsafe("implements the lock")
{
    spin_unlock(&sl->lock);
}

// The third form: a first pass with an even *seq is optimistic; when need_seqretry() rejects it the
// caller sets *seq to 1 and the second pass runs with writers locked out. Two passes at the most.

inline void read_seqbegin_or_lock(seqlock_t *sl, unsigned *seq)
    __context_unsafe("takes the lock only when *seq is odd")
{
    if (!(*seq & 1))
        *seq = read_seqbegin(sl);
    else
        read_seqlock_excl(sl);
}

inline bool need_seqretry(const seqlock_t *sl, unsigned seq)
{
    return !(seq & 1) && read_seqretry(sl, seq);
}

inline void done_seqretry(seqlock_t *sl, unsigned seq)
    __context_unsafe("drops the lock only when seq is odd")
{
    if (seq & 1)
        read_sequnlock_excl(sl);
}

} // namespace dcsim::inline DCSIM_BACKEND
