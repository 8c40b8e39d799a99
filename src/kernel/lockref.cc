// SPDX-License-Identifier: GPL-2.0-only
//
// Linux v6.12 lib/lockref.c, unchanged in v7.2 as far as the dcache uses it.
#include "dcsim/kernel/lockref.h"

#include "dcsim/kernel/bug.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// Failed exchanges before the word counts as contended and the lock is taken.
constexpr int cmpxchg_attempts = 100;

/// Tries to replace the count without the lock: `change(count)` returns whether there is a new one.
/// Returns whether the word was replaced; *seen is the value that was replaced or was found last.
template <typename Change>
bool cmpxchg_loop(lockref *ref, lockref_value *seen, Change change)
{
    *seen = lockref_read(ref);
    for (int attempt = 0; attempt < cmpxchg_attempts && !seen->locked(); attempt++) {
        int count = seen->count;
        if (!change(count))
            return false;
        if (lockref_try_cmpxchg(ref, seen, count))
            return true;
    }
    return false;
}

} // namespace

void lockref_init(lockref *ref, const char *lock_class)
{
    spin_lock_init(&ref->lock, lock_class);
    WRITE_ONCE(ref->count, 1);
}

void lockref_get(lockref *ref)
{
    lockref_value seen;

    if (cmpxchg_loop(ref, &seen, [](int &count) {
            count++;
            return true;
        }))
        return;
    spin_lock(&ref->lock);
    ++ref->count;
    spin_unlock(&ref->lock);
}

bool lockref_get_not_zero(lockref *ref)
{
    lockref_value seen;
    bool taken = false;

    if (cmpxchg_loop(ref, &seen, [](int &count) { return count++ > 0; }))
        return true;
    if (!seen.locked() && seen.count <= 0)
        return false;
    spin_lock(&ref->lock);
    if (READ_LOCKED(ref->count) > 0) {
        ++ref->count;
        taken = true;
    }
    spin_unlock(&ref->lock);
    return taken;
}

bool lockref_get_not_dead(lockref *ref)
{
    lockref_value seen;
    bool taken = false;

    if (cmpxchg_loop(ref, &seen, [](int &count) { return count++ >= 0; }))
        return true;
    if (!seen.locked() && seen.count < 0)
        return false;
    spin_lock(&ref->lock);
    if (READ_LOCKED(ref->count) >= 0) {
        ++ref->count;
        taken = true;
    }
    spin_unlock(&ref->lock);
    return taken;
}

bool lockref_put_not_zero(lockref *ref)
{
    lockref_value seen;
    bool dropped = false;

    if (cmpxchg_loop(ref, &seen, [](int &count) { return count-- > 1; }))
        return true;
    if (!seen.locked() && seen.count <= 1)
        return false;
    spin_lock(&ref->lock);
    if (READ_LOCKED(ref->count) > 1) {
        --ref->count;
        dropped = true;
    }
    spin_unlock(&ref->lock);
    return dropped;
}

int lockref_put_return(lockref *ref)
{
    lockref_value seen;

    // No fallback to the lock: the caller's slow path takes it anyway and decides under it.
    if (cmpxchg_loop(ref, &seen, [](int &count) { return count-- > 0; }))
        return seen.count - 1;
    return -1;
}

bool lockref_put_or_lock(lockref *ref) __context_unsafe("returns with the lock held when false")
{
    lockref_value seen;

    if (cmpxchg_loop(ref, &seen, [](int &count) { return count-- > 1; }))
        return true;
    spin_lock(&ref->lock);
    if (READ_LOCKED(ref->count) <= 1)
        return false;
    --ref->count;
    spin_unlock(&ref->lock);
    return true;
}

void lockref_mark_dead(lockref *ref)
{
    BUG_ON(!spin_is_locked(&ref->lock));
    WRITE_ONCE(ref->count, LOCKREF_DEAD);
}

} // namespace dcsim::inline DCSIM_BACKEND
