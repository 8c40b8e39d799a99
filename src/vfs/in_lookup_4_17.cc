// SPDX-License-Identifier: GPL-2.0-only
//
// The wait protocol of Linux v4.17 to v5.19: that of v4.7, except that an odd i_dir_seq is waited
// for before the bucket lock is taken.
//
// d_wait points to the owner's queue, in the room of d_lru, from the moment the dentry enters the
// bucket until it leaves it. A waiter looks at it under d_lock only, and only while the dentry is
// in lookup. It queues its entry once and never takes it off, and neither does the wake-up: the
// condition becomes true at the very moment at which everybody on the queue is woken, and after
// that nobody walks the queue again. So queue and entries can be left behind on their stacks.
//
// Its bugs:
//   - d_add_ci() forgets d_lookup_done() when the splice fails. Fixed in v6.0.
//   - d_add_ci() lends one queue to two dentries, so "nobody walks the queue again" is not true.
//     There until v7.1.
//   - DCACHE_PAR_LOOKUP is set without d_lock when a walk over the parent's children can see the
//     dentry already. Fixed in v6.17.
//   - The wake-up comes while i_dir_seq is odd and the bucket is locked. PREEMPT_RT cannot have
//     that; everybody else can. Changed in v6.0.
#include "lookup_protocol.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace era_4_17
{

// Linux v4.7 fs/dcache.c start_dir_add().
static unsigned start_dir_add(inode *dir)
{
    for (;;) {
        unsigned n = smp_cond_load_acquire(&dir->i_dir_seq, [](unsigned v) { return !(v & 1); });
        if (try_cmpxchg(&dir->i_dir_seq, &n, n + 1))
            return n;
    }
}

// Linux v4.7 fs/dcache.c end_dir_add().
static void end_dir_add(inode *dir, unsigned n)
{
    // Pairs with the acquire in d_alloc_parallel(): seeing this count means seeing the hash chain.
    smp_store_release(&dir->i_dir_seq, n + 2);
}

// Linux v4.7 fs/dcache.c d_wait_lookup().
//
// d_lock held on entry and on return, dropped while asleep; the caller's reference keeps the
// dentry, and the dentry's being in lookup keeps the queue.
static void d_wait_lookup(dentry *dentry) __must_hold(&dentry->d_lock)
    __context_unsafe("drops and retakes d_lock around schedule()")
{
    if (d_flags_locked(dentry) & DCACHE_PAR_LOOKUP) {
        wait_queue_entry wait;

        vfs_count(LOOKUP_WAITS);
        init_waitqueue_entry(&wait, get_current());
        add_wait_queue(dentry->d_wait, &wait);
        do {
            set_current_state(TASK_UNINTERRUPTIBLE);
            spin_unlock(&dentry->d_lock);
            schedule();
            spin_lock(&dentry->d_lock);
        } while (d_flags_locked(dentry) & DCACHE_PAR_LOOKUP);
        // The entry stays queued: see the top of this file.
    }
}

// Linux v4.17 fs/dcache.c d_alloc_parallel().
static dentry *d_alloc_parallel(dentry *parent, const qstr *name, wait_queue_head_t *wq, alloc_para,
                                struct dentry **)
    __context_unsafe("steps from the bucket lock to a d_lock that it found under it")
{
    u32 hash = name->hash;
    hlist_bl_head *b = in_lookup_hash(parent, hash);
    inode *dir = d_inode(parent);
    dentry *fresh = d_alloc(parent, name);
    dentry *dentry;
    hlist_bl_node *node;
    unsigned seq, r_seq, d_seq;
    int attempts = 0;

    if (unlikely(!fresh))
        return ERR_PTR(-ENOMEM);

retry:
    rcu_read_lock();
    seq = smp_load_acquire(&dir->i_dir_seq);
    r_seq = read_seqbegin(&rename_lock);
    dentry = __d_lookup_rcu(parent, name, &d_seq);
    if (unlikely(dentry)) {
        if (!lockref_get_not_dead(&dentry->d_lockref)) {
            rcu_read_unlock();
            retry_because(RETRY_DYING, &attempts);
            goto retry;
        }
        // Referenced, but is it still what the walk found?
        if (read_seqcount_retry(&dentry->d_seq, d_seq)) {
            rcu_read_unlock();
            dput(dentry);
            retry_because(RETRY_SEQ, &attempts);
            goto retry;
        }
        rcu_read_unlock();
        dput(fresh);
        return dentry;
    }
    if (unlikely(read_seqretry(&rename_lock, r_seq))) {
        rcu_read_unlock();
        retry_because(RETRY_RENAME_LOCK, &attempts);
        goto retry;
    }
    // Between the tables right now. Taking the bucket lock here would keep the publisher, who needs
    // it, from ever finishing.
    if (unlikely(seq & 1)) {
        rcu_read_unlock();
        retry_because(RETRY_DIR_SEQ, &attempts);
        goto retry;
    }

    hlist_bl_lock(b);
    if (unlikely(READ_ONCE(dir->i_dir_seq) != seq)) {
        hlist_bl_unlock(b);
        rcu_read_unlock();
        retry_because(RETRY_DIR_SEQ, &attempts);
        goto retry;
    }
    // Nothing of this directory was published since the hash was searched, and nobody leaves this
    // bucket while it is locked: names and parents of what hangs here are stable.
    for (node = hlist_bl_first(b); node; node = hlist_bl_next(node)) {
        dentry = container_of(node, struct dentry, d_in_lookup_hash);
        if (dentry->d_name.hash() != hash)
            continue;
        if (READ_LOCKED(dentry->d_parent) != parent)
            continue;
        if (!d_same_name(dentry, parent, name))
            continue;
        // A reference may need d_lock, which is outside of the bucket lock. RCU bridges the gap.
        hlist_bl_unlock(b);
        if (!lockref_get_not_dead(&dentry->d_lockref)) {
            rcu_read_unlock();
            retry_because(RETRY_DYING, &attempts);
            goto retry;
        }
        rcu_read_unlock();
        spin_lock(&dentry->d_lock);
        d_wait_lookup(dentry);
        // Most likely this is what d_lookup() would find now. If it is not (the lookup failed, or
        // a rename or drop came in between), only the whole procedure gives an answer.
        if (unlikely(dentry->d_name.hash() != hash))
            goto mismatch;
        if (unlikely(READ_LOCKED(dentry->d_parent) != parent))
            goto mismatch;
        if (unlikely(d_unhashed(dentry)))
            goto mismatch;
        if (unlikely(!d_same_name(dentry, parent, name)))
            goto mismatch;
        spin_unlock(&dentry->d_lock);
        dput(fresh);
        return dentry;
    }
    rcu_read_unlock();
    // d_lock cannot be taken under the bucket lock.
    fresh->d_flags |= DCACHE_PAR_LOOKUP;
    fresh->d_wait = wq;
    hlist_bl_add_head_rcu(&fresh->d_in_lookup_hash, b);
    hlist_bl_unlock(b);
    return fresh;

mismatch:
    spin_unlock(&dentry->d_lock);
    dput(dentry);
    vfs_count(RETRY_MISMATCH);
    goto retry;
}

// Linux v4.7 fs/dcache.c __d_lookup_done().
static void __d_lookup_done(dentry *dentry) __must_hold(&dentry->d_lock)
{
    hlist_bl_head *b;

    lockdep_assert_held(&dentry->d_lock);
    b = in_lookup_hash(READ_LOCKED(dentry->d_parent), dentry->d_name.hash());
    hlist_bl_lock(b);
    dentry->d_flags &= ~DCACHE_PAR_LOOKUP;
    __hlist_bl_del(&dentry->d_in_lookup_hash);
    // Under d_lock, so nobody can be between the test of PAR_LOOKUP and the queue.
    wake_up_all(dentry->d_wait);
    dentry->d_wait = nullptr;
    hlist_bl_unlock(b);
    // From here on the rooms belong to the inode's list and to the LRU.
    INIT_HLIST_NODE(&dentry->d_alias);
    INIT_LIST_HEAD(&dentry->d_lru);
}

// Linux v4.7 include/linux/dcache.h d_lookup_done(), behind the test that is left in dcache.h.
static void d_lookup_done(dentry *dentry)
{
    spin_lock(&dentry->d_lock);
    __d_lookup_done(dentry);
    spin_unlock(&dentry->d_lock);
}

// Linux v4.7 fs/dcache.c __d_add().
//
// What others see, in this order: gone from the in-lookup table, waiters awake (but not past
// d_lock), inode attached, hashed, i_dir_seq even.
static void __d_add(dentry *dentry, inode *inode, const dentry_operations *ops)
    __context_unsafe("i_lock is held only when there is an inode")
{
    struct inode *dir = nullptr;
    unsigned n = 0;

    spin_lock(&dentry->d_lock);
    if (unlikely(d_flags_locked(dentry) & DCACHE_PAR_LOOKUP)) {
        dir = d_inode(READ_LOCKED(dentry->d_parent));
        n = start_dir_add(dir);
        __d_lookup_done(dentry);
    }
    if (unlikely(ops))
        d_set_d_op(dentry, ops);
    if (inode) {
        unsigned add_flags = d_flags_for_inode(inode);
        hlist_add_head(&dentry->d_alias, &inode->i_dentry);
        write_seqcount_begin(&dentry->d_seq);
        __d_set_inode_and_type(dentry, inode, add_flags);
        write_seqcount_end(&dentry->d_seq);
    }
    __d_rehash(dentry);
    if (dir)
        end_dir_add(dir, n);
    spin_unlock(&dentry->d_lock);
    if (inode)
        spin_unlock(&inode->i_lock);
}

// Linux v4.7 fs/dcache.c d_add_ci().
static dentry *d_add_ci(dentry *dentry, inode *inode, qstr *name)
{
    struct dentry *parent = READ_ONCE(dentry->d_parent);
    struct dentry *found, *res;

    found = d_hash_and_lookup(parent, name);
    if (found) {
        iput(inode);
        return found;
    }
    if (d_in_lookup(dentry)) {
        // Two in-lookup dentries of one task at once, for two spellings of the name, with one queue
        // for the waiters of both.
        found = d_alloc_parallel(parent, name, dentry->d_wait, ALLOC_PARA_WAIT, nullptr);
        if (IS_ERR(found) || !d_in_lookup(found)) {
            iput(inode);
            return found;
        }
    } else {
        found = d_alloc(parent, name);
        if (!found) {
            iput(inode);
            return ERR_PTR(-ENOMEM);
        }
    }
    res = d_splice_alias(inode, found);
    if (res) {
        // A failed splice left `found` in the in-lookup table. A kernel keeps its freed memory
        // linked there; obligations.cc says so and takes it off.
        dput(found);
        return res;
    }
    return found;
}

static void move_begins(dentry *target, dir_add *add)
    __context_unsafe("d_lock is held by contract; see lookup_protocol")
{
    add->dir = d_inode(READ_LOCKED(target->d_parent));
    add->n = start_dir_add(add->dir);
    __d_lookup_done(target);
}

static void move_ends(dentry *, dir_add *add)
{
    end_dir_add(add->dir, add->n);
}

static constexpr lookup_protocol protocol = {
    .name = "4.17",
    .caller_queue = true,
    .alloc_parallel = d_alloc_parallel,
    .lookup_done = d_lookup_done,
    .add = __d_add,
    .move_begins = move_begins,
    .move_ends = move_ends,
    .add_ci = d_add_ci,
};

} // namespace era_4_17

constinit const lookup_protocol lookup_protocol_4_17 = era_4_17::protocol;

} // namespace dcsim::inline DCSIM_BACKEND
