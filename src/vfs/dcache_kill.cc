// SPDX-License-Identifier: GPL-2.0-only
//
// References to dentries, and how a dentry dies.
//
// dput() of the last reference keeps a dentry that can still be found, on the LRU and with count 0;
// any other is killed, and that may leave its parent unused in turn. The way to the grave, each
// step visible to others:
//
//   count negative         no reference can be had any more (d_lock and i_lock held)
//   unhashed               lookups no longer find it; d_seq moved
//   negative               off the inode's alias list; the inode reference given back
//   DCACHE_DENTRY_KILLED   off the parent's child list (the parent's d_lock held as well); tasks in
//                          shrink_dcache_parent() that waited for this go on
//   freed                  by the killer, or by the owner of the shrink list it still hangs on
//
// From the first to the fourth step the dying dentry is still a child of its parent and still holds
// its reference there: whoever walks the tree meets children with a negative count.
//
// RCU. A d_lock being held is a read-side section, so `rcu_read_lock(); spin_lock(d_lock);
// rcu_read_unlock();` protects the memory without a gap. Everything below that drops one and takes
// the other relies on that.
#include "dcache_internal.h"
#include "dcsim/vfs/task.h"

namespace dcsim::inline DCSIM_BACKEND
{

// Linux v7.2 include/linux/dcache.h dget_dlock().
dentry *dget_dlock(dentry *dentry)
{
    ++dentry->d_lockref.count;
    return dentry;
}

// Linux v7.2 include/linux/dcache.h dget().
dentry *dget(dentry *dentry)
{
    if (dentry)
        lockref_get(&dentry->d_lockref);
    return dentry;
}

// Linux v7.2 include/linux/dcache.h dget_alias_ilocked().
bool dget_alias_ilocked(dentry *dentry)
{
    if (likely(!(READ_ONCE(dentry->d_flags) & DCACHE_NORCU))) {
        lockref_get(&dentry->d_lockref);
        return true;
    }
    // A NORCU dentry is freed right after its count has reached zero; raising it then would be too
    // late.
    spin_lock(&dentry->d_lock);
    if (d_count_locked(dentry) > 0) {
        dget_dlock(dentry);
        spin_unlock(&dentry->d_lock);
        return true;
    }
    spin_unlock(&dentry->d_lock);
    return false;
}

// Linux v7.2 fs/dcache.c dget_parent().
dentry *dget_parent(dentry *dentry) __context_unsafe("the parent is named by a lockless field")
{
    struct dentry *ret;
    bool gotref;
    unsigned seq;

    rcu_read_lock();
    seq = raw_seqcount_begin(&dentry->d_seq);
    ret = READ_ONCE(dentry->d_parent);
    gotref = lockref_get_not_zero(&ret->d_lockref);
    rcu_read_unlock();
    if (likely(gotref)) {
        if (!read_seqcount_retry(&dentry->d_seq, seq))
            return ret;
        dput(ret);
    }

repeat:
    rcu_read_lock();
    ret = READ_ONCE(dentry->d_parent);
    spin_lock(&ret->d_lock);
    // A parent's d_lock keeps its children from being moved away; this one may have been before.
    if (unlikely(ret != READ_ONCE(dentry->d_parent))) {
        spin_unlock(&ret->d_lock);
        rcu_read_unlock();
        goto repeat;
    }
    rcu_read_unlock();
    BUG_ON(!d_count_locked(ret));
    ++ret->d_lockref.count;
    spin_unlock(&ret->d_lock);
    return ret;
}

// --- Waiting for a dentry to leave the tree ---

// Linux v7.2 fs/dcache.c d_add_waiter().
bool d_add_waiter(dentry *dentry, completion_list *waiter)
{
    if (unlikely(d_flags_locked(dentry) & DCACHE_DENTRY_KILLED))
        return false;
    init_completion(&waiter->completion);
    waiter->next = dentry->waiters;
    dentry->waiters = waiter;
    return true;
}

// Linux v7.2 fs/dcache.c d_complete_waiters().
static void d_complete_waiters(dentry *dentry) __must_hold(&dentry->d_lock)
{
    completion_list *waiter = dentry->waiters;

    if (likely(!waiter))
        return;
    dentry->waiters = nullptr;
    while (waiter) {
        // The waiter's frame ends with the completion: read on before that.
        completion_list *next = waiter->next;
        complete(&waiter->completion);
        waiter = next;
    }
}

// Linux v7.2 fs/dcache.c unlink_secondary_root().
void unlink_secondary_root(dentry *dentry)
{
    spin_lock(&dentry->d_sb->s_roots_lock);
    hlist_del_init(&dentry->d_sib);
    spin_unlock(&dentry->d_sb->s_roots_lock);
}

// Linux v7.2 fs/dcache.c dentry_unlist(). d_lock held, and the parent's unless this is a root.
static void dentry_unlist(dentry *dentry) __must_hold(&dentry->d_lock)
{
    dentry->d_flags |= DCACHE_DENTRY_KILLED;
    d_complete_waiters(dentry);
    // Lockless: the links of a secondary root belong to s_roots_lock, and a neighbour may just be
    // rewriting them. Whether it is on the list at all changes under d_lock only.
    if (unlikely(hlist_unhashed_lockless(&dentry->d_sib)))
        return;
    if (unlikely(IS_ROOT(dentry))) {
        unlink_secondary_root(dentry);
        return;
    }
    __hlist_del(&dentry->d_sib);
    // A d_walk() that ascends from this dentry goes on from the `next` left behind here. If that
    // were a cursor, a seek could move it in the meantime and the walk would skip siblings;
    // ordinary dentries stay where they are.
    while (struct dentry *next = d_next_sibling(dentry)) {
        if (likely(!(READ_ONCE(next->d_flags) & DCACHE_DENTRY_CURSOR)))
            break;
        WRITE_LOCKED(dentry->d_sib.next, hlist_next(&next->d_sib));
    }
}

// --- Killing ---

// Linux v7.2 fs/dcache.c lock_for_kill().
//
// Entered with d_lock. True: the dentry is unused, and its inode's i_lock is held as well if it has
// one. False: it is busy, dying or dead, and nothing is held.
//
// i_lock nests outside d_lock, so when trylock fails both have to be taken again in order, with the
// dentry unlocked in between. RCU keeps its memory through that gap; its state may change.
static bool lock_for_kill(dentry *dentry)
    __context_unsafe("locks are held only when it returns true")
{
    inode *inode = READ_LOCKED(dentry->d_inode);

    if (unlikely(d_count_locked(dentry))) {
        spin_unlock(&dentry->d_lock);
        return false;
    }

    if (!inode || likely(spin_trylock(&inode->i_lock)))
        return true;

    rcu_read_lock();
    do {
        spin_unlock(&dentry->d_lock);
        spin_lock(&inode->i_lock);
        spin_lock(&dentry->d_lock);
        if (likely(inode == READ_LOCKED(dentry->d_inode)))
            break;
        spin_unlock(&inode->i_lock);
        inode = READ_LOCKED(dentry->d_inode);
    } while (inode);
    rcu_read_unlock();
    if (likely(!d_count_locked(dentry)))
        return true;
    if (inode)
        spin_unlock(&inode->i_lock);
    spin_unlock(&dentry->d_lock);
    return false;
}

// Linux v7.2 fs/dcache.c dentry_kill().
dentry *dentry_kill(dentry *dentry) __context_unsafe("d_lock comes in, the parent's may go out")
{
    struct dentry *parent = nullptr;
    bool can_free = true;

    if (unlikely(!lock_for_kill(dentry)))
        return nullptr;

    lockref_mark_dead(&dentry->d_lockref);

    if (d_flags_locked(dentry) & DCACHE_OP_PRUNE)
        dentry->d_op->d_prune(dentry);

    // On somebody's private list it stays: only the owner of that list may unlink it.
    if (d_flags_locked(dentry) & DCACHE_LRU_LIST)
        if (!(d_flags_locked(dentry) & DCACHE_SHRINK_LIST))
            d_lru_del(dentry);
    if (unlikely(d_flags_locked(dentry) & (DCACHE_PAR_LOOKUP | DCACHE_OBLIGATION)))
        settle_obligations(dentry);
    __d_drop(dentry);
    if (READ_LOCKED(dentry->d_inode))
        dentry_unlink_inode(dentry);
    else
        spin_unlock(&dentry->d_lock);
    vfs_count(NR_DENTRY, -1);
    if (dentry->d_op && dentry->d_op->d_release)
        dentry->d_op->d_release(dentry);

    cond_resched();
    // Only positive dentries are ever moved, so from here on the parent is stable.
    if (!IS_ROOT(dentry)) {
        parent = READ_ONCE(dentry->d_parent);
        spin_lock(&parent->d_lock);
    }
    spin_lock_nested(&dentry->d_lock, DENTRY_D_LOCK_NESTED);
    dentry_unlist(dentry);
    if (d_flags_locked(dentry) & DCACHE_SHRINK_LIST)
        can_free = false;
    spin_unlock(&dentry->d_lock);
    if (likely(can_free))
        dentry_free(dentry);
    if (parent && --parent->d_lockref.count) {
        spin_unlock(&parent->d_lock);
        return nullptr;
    }
    return parent;
}

// Linux v7.2 fs/dcache.c shrink_kill().
void shrink_kill(dentry *victim) __context_unsafe("dentry_kill() hands over locks")
{
    while ((victim = dentry_kill(victim)))
        ;
}

// --- Dropping references ---

// Linux v7.2 fs/dcache.c retain_dentry().
//
// Is an unused dentry worth keeping? Called without d_lock it may only say yes where nothing has to
// be changed; no means "ask again under the lock". What it reads then is not stable, but that is
// enough: there was a moment after the reference was dropped when the answer held.
static bool retain_dentry(dentry *dentry, bool locked)
    __context_unsafe("d_lock is held only when `locked`")
{
    unsigned d_flags;

    // The flags must not be older than the exchange that took the count to zero: whoever unhashed
    // this dentry before dropping a reference must be seen to have done so.
    smp_rmb();
    d_flags = READ_ONCE(dentry->d_flags);

    if (unlikely(d_unhashed(dentry)))
        return false;
    if (unlikely(d_flags & DCACHE_DISCONNECTED))
        return false;
    if (unlikely(d_flags & DCACHE_OP_DELETE)) {
        // ->d_delete() wants d_lock.
        if (!locked || dentry->d_op->d_delete(dentry))
            return false;
    }
    if (unlikely(d_flags & DCACHE_DONTCACHE))
        return false;

    // Worth keeping. The first time it goes onto the LRU, the second time it is marked as used;
    // after that there is nothing to write, and nothing to lock.
    if (unlikely(!(d_flags & DCACHE_LRU_LIST))) {
        if (!locked)
            return false;
        d_lru_add(dentry);
    } else if (unlikely(!(d_flags & DCACHE_REFERENCED))) {
        if (!locked)
            return false;
        dentry->d_flags |= DCACHE_REFERENCED;
    }
    return true;
}

// Linux v7.2 fs/dcache.c fast_dput().
//
// True: the reference is gone and nothing is left to do. False: d_lock is held, the count is zero,
// and the dentry is not worth keeping.
static bool fast_dput(dentry *dentry) __context_unsafe("d_lock is held only when it returns false")
{
    int ret;

    if (unlikely(task_private(TASK_PRIVATE_BLOCKER)))
        blocker_is_dropped(dentry);
    // From the moment the count is zero somebody else may kill the dentry. RCU bridges the time
    // until d_lock is held.
    rcu_read_lock();
    ret = lockref_put_return(&dentry->d_lockref);

    if (unlikely(ret < 0)) {
        spin_lock(&dentry->d_lock);
        rcu_read_unlock();
        if (WARN_ON(d_count_locked(dentry) <= 0)) {
            spin_unlock(&dentry->d_lock);
            return true;
        }
        --dentry->d_lockref.count;
        goto locked;
    }

    if (ret) {
        rcu_read_unlock();
        return true;
    }

    if (retain_dentry(dentry, false)) {
        rcu_read_unlock();
        return true;
    }

    spin_lock(&dentry->d_lock);
    rcu_read_unlock();

locked:
    // Meanwhile somebody may have taken a reference again, or killed it: in both cases it is
    // theirs.
    if (d_count_locked(dentry) || retain_dentry(dentry, true)) {
        spin_unlock(&dentry->d_lock);
        return true;
    }
    return false;
}

// Linux v7.2 fs/dcache.c finish_dput(). d_lock held on entry, not on return. A loop, because a
// chain of ancestors may follow and must not cost stack.
static void finish_dput(dentry *dentry) __context_unsafe("dentry_kill() hands over locks")
{
    while ((dentry = dentry_kill(dentry))) {
        if (retain_dentry(dentry, true)) {
            spin_unlock(&dentry->d_lock);
            return;
        }
    }
}

// Linux v7.2 fs/dcache.c dput().
void dput(dentry *dentry)
{
    if (!dentry)
        return;
    might_sleep();
    if (likely(fast_dput(dentry)))
        return;
    finish_dput(dentry);
}

// Linux v7.2 fs/dcache.c d_make_discardable().
void d_make_discardable(dentry *dentry) __context_unsafe("finish_dput() releases the d_lock")
{
    spin_lock(&dentry->d_lock);
    WARN_ON(!(d_flags_locked(dentry) & DCACHE_PERSISTENT));
    dentry->d_flags &= ~DCACHE_PERSISTENT;
    --dentry->d_lockref.count;
    finish_dput(dentry);
}

// Linux v7.2 fs/dcache.c dput_to_list().
void dput_to_list(dentry *dentry, list_head *list) __context_unsafe("fast_dput() takes the d_lock")
{
    if (likely(fast_dput(dentry)))
        return;
    __move_to_shrink_list(dentry, list);
    spin_unlock(&dentry->d_lock);
}

} // namespace dcsim::inline DCSIM_BACKEND
