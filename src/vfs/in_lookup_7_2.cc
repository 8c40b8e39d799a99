// SPDX-License-Identifier: GPL-2.0-only
//
// The wait protocol of Linux v7.2: waiters sleep on the address of d_flags, and
// DCACHE_LOOKUP_WAITERS tells the owner whether there are any.
//
// Nobody lends anybody a queue. A waiter queues and takes itself off again, so nothing on a stack
// is reachable after its frame; and when nobody waits, which is nearly always, the end of a lookup
// costs a test of a bit that is in a register already.
#include "lookup_protocol.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace era_7_2
{

// Linux v7.2 fs/dcache.c start_dir_add().
unsigned start_dir_add(inode *dir)
{
    for (;;) {
        unsigned n = smp_cond_load_acquire(&dir->i_dir_seq, [](unsigned v) { return !(v & 1); });
        if (try_cmpxchg(&dir->i_dir_seq, &n, n + 1))
            return n;
    }
}

// Linux v7.2 fs/dcache.c end_dir_add().
void end_dir_add(inode *dir, unsigned n)
{
    // Pairs with the acquire in d_alloc_parallel(): seeing this count means seeing the hash chain.
    smp_store_release(&dir->i_dir_seq, n + 2);
}

// Linux v7.2 fs/dcache.c d_wait_lookup().
//
// d_lock held on entry and on return, dropped while asleep; the caller's reference keeps the
// dentry.
static void d_wait_lookup(dentry *dentry) __must_hold(&dentry->d_lock)
{
    if (likely(d_flags_locked(dentry) & DCACHE_PAR_LOOKUP)) {
        vfs_count(LOOKUP_WAITS);
        // Tells the owner that a wake-up is worth its while. Both bits change under d_lock only, so
        // the owner that clears one sees the other.
        dentry->d_flags |= DCACHE_LOOKUP_WAITERS;
        wait_var_event_spinlock(
            &dentry->d_flags, [dentry] { return !(d_flags_locked(dentry) & DCACHE_PAR_LOOKUP); },
            &dentry->d_lock);
    }
}

// Linux v7.2 fs/dcache.c d_alloc_parallel(); `how` and `blocker` are those of April 2026's
// d_alloc_noblock_return().
static dentry *__d_alloc_parallel(dentry *parent, const qstr *name, wait_queue_head_t *,
                                  alloc_para how, struct dentry **blocker)
    __context_unsafe("steps from the bucket lock to a d_lock that it found under it")
{
    u32 hash = name->hash;
    hlist_bl_head *b = in_lookup_hash(parent, hash);
    inode *dir = d_inode(parent);
    dentry *fresh = __d_alloc(parent->d_sb, name);
    dentry *dentry;
    hlist_bl_node *node;
    unsigned seq, r_seq, d_seq;
    int attempts = 0;

    if (unlikely(!fresh))
        return ERR_PTR(-ENOMEM);

    // Before the child list makes it visible: from there on d_flags belongs to d_lock holders.
    fresh->d_flags |= DCACHE_PAR_LOOKUP;
    spin_lock(&parent->d_lock);
    WRITE_ONCE(fresh->d_parent, dget_dlock(parent));
    hlist_add_head(&fresh->d_sib, &parent->d_children);
    if (d_flags_locked(parent) & DCACHE_DISCONNECTED)
        fresh->d_flags |= DCACHE_DISCONNECTED;
    spin_unlock(&parent->d_lock);

retry:
    seq = smp_load_acquire(&dir->i_dir_seq);
    r_seq = read_seqbegin(&rename_lock);
    rcu_read_lock();
    dentry = __d_lookup_rcu(parent, name, &d_seq);
    if (unlikely(dentry)) {
        if (!lockref_get_not_dead(&dentry->d_lockref)) {
            rcu_read_unlock();
            retry_because(RETRY_DYING, &attempts);
            goto retry;
        }
        rcu_read_unlock();
        // Referenced, but is it still what the walk found?
        if (read_seqcount_retry(&dentry->d_seq, d_seq)) {
            dput(dentry);
            retry_because(RETRY_SEQ, &attempts);
            goto retry;
        }
        dput(fresh);
        return dentry;
    }
    rcu_read_unlock();
    if (unlikely(read_seqretry(&rename_lock, r_seq))) {
        retry_because(RETRY_RENAME_LOCK, &attempts);
        goto retry;
    }
    // Between the tables right now. Taking the bucket lock here would keep the publisher, who needs
    // it, from ever finishing.
    if (unlikely(seq & 1)) {
        retry_because(RETRY_DIR_SEQ, &attempts);
        goto retry;
    }

    hlist_bl_lock(b);
    if (unlikely(READ_ONCE(dir->i_dir_seq) != seq)) {
        hlist_bl_unlock(b);
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
        rcu_read_lock();
        hlist_bl_unlock(b);
        spin_lock(&dentry->d_lock);
        rcu_read_unlock();
        // Its owner may have finished and dropped the last reference meanwhile.
        if (unlikely(d_count_locked(dentry) < 0)) {
            spin_unlock(&dentry->d_lock);
            retry_because(RETRY_DYING, &attempts);
            goto retry;
        }
        dget_dlock(dentry);
        if (unlikely(how == ALLOC_PARA_FAIL && d_flags_locked(dentry) & DCACHE_PAR_LOOKUP)) {
            spin_unlock(&dentry->d_lock);
            dput(fresh);
            if (blocker)
                *blocker = dentry;
            else
                dput(dentry);
            return ERR_PTR(-EWOULDBLOCK);
        }
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
    hlist_bl_add_head(&fresh->d_in_lookup_hash, b);
    hlist_bl_unlock(b);
    return fresh;

mismatch:
    spin_unlock(&dentry->d_lock);
    dput(dentry);
    vfs_count(RETRY_MISMATCH);
    goto retry;
}

// Linux v7.2 fs/dcache.c __d_lookup_unhash().
//
// Waking is left to the second function, because it must not happen while i_dir_seq is odd (on
// PREEMPT_RT a wake-up may sleep). Both run in one d_lock section, so no waiter sees the state
// between them.
void __d_lookup_unhash(dentry *dentry)
{
    hlist_bl_head *b;

    lockdep_assert_held(&dentry->d_lock);
    b = in_lookup_hash(READ_LOCKED(dentry->d_parent), dentry->d_name.hash());
    hlist_bl_lock(b);
    dentry->d_flags &= ~DCACHE_PAR_LOOKUP;
    __hlist_bl_del(&dentry->d_in_lookup_hash);
    hlist_bl_unlock(b);
    // The union's room belongs to `waiters` from here on.
    dentry->waiters = nullptr;
}

// Linux v7.2 fs/dcache.c __d_wake_in_lookup_waiters().
void __d_wake_in_lookup_waiters(dentry *dentry)
    __context_unsafe("d_lock is held by contract; see the declaration")
{
    if (d_flags_locked(dentry) & DCACHE_LOOKUP_WAITERS) {
        wake_up_var_locked(&dentry->d_flags, &dentry->d_lock);
        dentry->d_flags &= ~DCACHE_LOOKUP_WAITERS;
    }
}

// Linux v7.2 fs/dcache.c __d_lookup_unhash_wake().
static void __d_lookup_unhash_wake(dentry *dentry)
{
    spin_lock(&dentry->d_lock);
    __d_lookup_unhash(dentry);
    __d_wake_in_lookup_waiters(dentry);
    spin_unlock(&dentry->d_lock);
}

// Linux v7.2 fs/dcache.c __d_add().
//
// What others see, in this order: gone from the in-lookup table, inode attached, hashed, i_dir_seq
// even, waiters awake.
static void __d_add(dentry *dentry, inode *inode, const dentry_operations *ops)
    __context_unsafe("i_lock is held only when there is an inode")
{
    struct inode *dir = nullptr;
    unsigned n = 0;

    spin_lock(&dentry->d_lock);
    if (unlikely(d_flags_locked(dentry) & DCACHE_PAR_LOOKUP)) {
        dir = d_inode(READ_LOCKED(dentry->d_parent));
        n = start_dir_add(dir);
        __d_lookup_unhash(dentry);
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
    if (dir) {
        end_dir_add(dir, n);
        __d_wake_in_lookup_waiters(dentry);
    }
    spin_unlock(&dentry->d_lock);
    if (inode)
        spin_unlock(&inode->i_lock);
}

// Linux v7.2 fs/dcache.c d_add_ci().
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
        // Two in-lookup dentries of one task at once, for two spellings of the name.
        found = d_alloc_parallel(parent, name);
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
        // A failed splice leaves `found` in the in-lookup table, and the last reference must not go
        // while it is there.
        d_lookup_done(found);
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
    __d_lookup_unhash(target);
}

static void move_ends(dentry *target, dir_add *add)
    __context_unsafe("d_lock is held by contract; see lookup_protocol")
{
    end_dir_add(add->dir, add->n);
    __d_wake_in_lookup_waiters(target);
}

static constexpr lookup_protocol protocol = {
    .name = "7.2",
    .caller_queue = false,
    .alloc_parallel = __d_alloc_parallel,
    .lookup_done = __d_lookup_unhash_wake,
    .add = __d_add,
    .move_begins = move_begins,
    .move_ends = move_ends,
    .add_ci = d_add_ci,
};

} // namespace era_7_2

constinit const lookup_protocol lookup_protocol_7_2 = era_7_2::protocol;

} // namespace dcsim::inline DCSIM_BACKEND
