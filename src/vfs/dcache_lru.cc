// SPDX-License-Identifier: GPL-2.0-only
//
// Unused dentries: the LRU of each super block, private shrink lists, and the shrinkers.
//
// DCACHE_LRU_LIST is set whenever d_lru is linked; DCACHE_SHRINK_LIST in addition when the list is
// private to one task. nr_dentry_unused follows the first. nr_dentry_negative counts negatives on
// the LRU only, so that moving a dentry to a private list costs one update, not two. Every
// transition happens under d_lock, in one of the six functions below.
//
// Locking: the LRU lock nests inside d_lock. The shrinkers walk the LRU, hold its lock first, and
// so must get a d_lock by trylock; what they fail to lock stays for the next round. A private list
// needs no lock: only its owner links and unlinks.
#include "dcache_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

// Linux v7.2 fs/dcache.c D_FLAG_VERIFY().
void d_flag_verify(const dentry *dentry, unsigned flags)
{
    WARN((READ_ONCE(dentry->d_flags) & (DCACHE_LRU_LIST | DCACHE_SHRINK_LIST)) != flags,
         "dentry %p has d_flags 0x%x where LRU flags 0x%x were expected",
         static_cast<const void *>(dentry), READ_ONCE(dentry->d_flags), flags);
}

// Linux v7.2 fs/dcache.c d_lru_add().
void d_lru_add(dentry *dentry)
{
    d_flag_verify(dentry, 0);
    dentry->d_flags |= DCACHE_LRU_LIST;
    vfs_count(NR_DENTRY_UNUSED);
    if (d_is_negative(dentry))
        vfs_count(NR_DENTRY_NEGATIVE);
    WARN_ON(!list_lru_add_obj(&dentry->d_sb->s_dentry_lru, &dentry->d_lru));
}

// Linux v7.2 fs/dcache.c d_lru_del().
void d_lru_del(dentry *dentry)
{
    d_flag_verify(dentry, DCACHE_LRU_LIST);
    dentry->d_flags &= ~DCACHE_LRU_LIST;
    vfs_count(NR_DENTRY_UNUSED, -1);
    if (d_is_negative(dentry))
        vfs_count(NR_DENTRY_NEGATIVE, -1);
    WARN_ON(!list_lru_del_obj(&dentry->d_sb->s_dentry_lru, &dentry->d_lru));
}

// Linux v7.2 fs/dcache.c d_shrink_del().
void d_shrink_del(dentry *dentry)
{
    d_flag_verify(dentry, DCACHE_SHRINK_LIST | DCACHE_LRU_LIST);
    list_del_init(&dentry->d_lru);
    dentry->d_flags &= ~(DCACHE_SHRINK_LIST | DCACHE_LRU_LIST);
    vfs_count(NR_DENTRY_UNUSED, -1);
}

// Linux v7.2 fs/dcache.c d_shrink_add().
void d_shrink_add(dentry *dentry, list_head *list)
{
    d_flag_verify(dentry, 0);
    list_add(&dentry->d_lru, list);
    dentry->d_flags |= DCACHE_SHRINK_LIST | DCACHE_LRU_LIST;
    vfs_count(NR_DENTRY_UNUSED);
}

// Linux v7.2 fs/dcache.c d_lru_isolate(). For walkers: the LRU lock is held too.
static void d_lru_isolate(list_lru_one *lru, dentry *dentry) __must_hold(&lru->lock)
{
    d_flag_verify(dentry, DCACHE_LRU_LIST);
    dentry->d_flags &= ~DCACHE_LRU_LIST;
    vfs_count(NR_DENTRY_UNUSED, -1);
    if (d_is_negative(dentry))
        vfs_count(NR_DENTRY_NEGATIVE, -1);
    list_lru_isolate(lru, &dentry->d_lru);
}

// Linux v7.2 fs/dcache.c d_lru_shrink_move(). For walkers: the LRU lock is held too.
static void d_lru_shrink_move(list_lru_one *lru, dentry *dentry, list_head *list)
    __must_hold(&lru->lock)
{
    d_flag_verify(dentry, DCACHE_LRU_LIST);
    dentry->d_flags |= DCACHE_SHRINK_LIST;
    if (d_is_negative(dentry))
        vfs_count(NR_DENTRY_NEGATIVE, -1);
    list_lru_isolate_move(lru, &dentry->d_lru, list);
}

// Linux v7.2 fs/dcache.c __move_to_shrink_list().
bool __move_to_shrink_list(dentry *dentry, list_head *list)
{
    if (likely(!d_count_locked(dentry) && !(d_flags_locked(dentry) & DCACHE_SHRINK_LIST))) {
        if (d_flags_locked(dentry) & DCACHE_LRU_LIST)
            d_lru_del(dentry);
        d_shrink_add(dentry, list);
        return true;
    }
    return false;
}

// Linux v7.2 fs/dcache.c shrink_dentry_list().
void shrink_dentry_list(list_head *list) __context_unsafe("shrink_kill() releases the d_lock")
{
    while (!list_empty(list)) {
        dentry *dentry = container_of(list_last(list), struct dentry, d_lru);

        spin_lock(&dentry->d_lock);
        d_shrink_del(dentry);
        if (unlikely(d_flags_locked(dentry) & DCACHE_DENTRY_KILLED)) {
            // Somebody else killed it while it hung here and left the memory to this list's owner.
            spin_unlock(&dentry->d_lock);
            dentry_free(dentry);
            continue;
        }
        shrink_kill(dentry);
    }
}

// Linux v7.2 fs/dcache.c dentry_lru_isolate().
static lru_status dentry_lru_isolate(list_head *item, list_lru_one *lru, void *arg)
    __context_unsafe("runs as a callback of the walk that holds lru->lock")
{
    auto *freeable = static_cast<list_head *>(arg);
    dentry *dentry = container_of(item, struct dentry, d_lru);

    if (!spin_trylock(&dentry->d_lock))
        return LRU_SKIP;

    // In use again: its last dput() will put it back.
    if (d_count_locked(dentry)) {
        d_lru_isolate(lru, dentry);
        spin_unlock(&dentry->d_lock);
        return LRU_REMOVED;
    }

    if (d_flags_locked(dentry) & DCACHE_REFERENCED) {
        dentry->d_flags &= ~DCACHE_REFERENCED;
        spin_unlock(&dentry->d_lock);
        // The walk moves it to the young end. That is safe without d_lock, because every movement
        // on this list needs the LRU lock, which the walk still holds.
        return LRU_ROTATE;
    }

    d_lru_shrink_move(lru, dentry, freeable);
    spin_unlock(&dentry->d_lock);
    return LRU_REMOVED;
}

// Linux v7.2 fs/dcache.c prune_dcache_sb().
long prune_dcache_sb(super_block *sb, shrink_control *sc)
{
    list_head dispose;
    long freed;

    INIT_LIST_HEAD(&dispose);
    freed = static_cast<long>(
        list_lru_shrink_walk(&sb->s_dentry_lru, sc, dentry_lru_isolate, &dispose));
    shrink_dentry_list(&dispose);
    return freed;
}

// Linux v7.2 fs/dcache.c dentry_lru_isolate_shrink(). No second chances.
static lru_status dentry_lru_isolate_shrink(list_head *item, list_lru_one *lru, void *arg)
    __context_unsafe("runs as a callback of the walk that holds lru->lock")
{
    auto *freeable = static_cast<list_head *>(arg);
    dentry *dentry = container_of(item, struct dentry, d_lru);

    if (!spin_trylock(&dentry->d_lock))
        return LRU_SKIP;
    d_lru_shrink_move(lru, dentry, freeable);
    spin_unlock(&dentry->d_lock);
    return LRU_REMOVED;
}

// Linux v7.2 fs/dcache.c shrink_dcache_sb().
void shrink_dcache_sb(super_block *sb)
{
    int fruitless = 0;

    do {
        list_head dispose;

        INIT_LIST_HEAD(&dispose);
        // Every d_lock was taken: their holders need the processor, or the LRU lock that was just
        // released, more than this loop does.
        if (!list_lru_walk(&sb->s_dentry_lru, dentry_lru_isolate_shrink, &dispose, 1024))
            retry_relax(fruitless++);
        shrink_dentry_list(&dispose);
    } while (list_lru_count(&sb->s_dentry_lru) > 0);
}

} // namespace dcsim::inline DCSIM_BACKEND
