// SPDX-License-Identifier: GPL-2.0-only
//
// The wait protocol of the patches posted in April 2026 (v3, patches 2, 4 and 10 of 19): waiters
// sleep on the address of d_flags, and DCACHE_LOCK_WAITER tells the owner whether there are any.
//
// A waiter queues and takes itself off again, so nothing on a stack is reachable after its frame.
// It sets the flag each time it finds that it must wait, and the owner clears it together with
// DCACHE_PAR_LOOKUP.
//
// Its bugs:
//   - __d_add() hashes the dentry before it attaches the inode. No lock is in the way of an RCU
//     walk, which finds a negative dentry for a name that exists.
//
// v7.2 merged another form: the flag is set once, the wake-up is the callers', and the order in
// __d_add() is that of v6.0.
#include "lookup_protocol.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace era_v3
{

/// The draft's name for the bit: "deliberately generic", for uses that were to come.
inline constexpr unsigned DCACHE_LOCK_WAITER = DCACHE_LOOKUP_WAITERS;

// Linux v4.7 fs/dcache.c start_dir_add().
static unsigned start_dir_add(inode *dir)
{
    for (;;) {
        unsigned n = smp_cond_load_acquire(&dir->i_dir_seq, [](unsigned v) { return !(v & 1); });
        if (try_cmpxchg(&dir->i_dir_seq, &n, n + 1))
            return n;
    }
}

// v3 04/19 fs/dcache.c end_dir_add().
static void end_dir_add(inode *dir, unsigned n, bool do_wake, dentry *de)
    __context_unsafe("the d_lock of `de` is held, by contract")
{
    // Pairs with the acquire in d_alloc_parallel(): seeing this count means seeing the hash chain.
    smp_store_release(&dir->i_dir_seq, n + 2);
    if (do_wake)
        wake_up_var_locked(&de->d_flags, &de->d_lock);
}

// v3 04/19 fs/dcache.c d_must_wait().
//
// Says so to the owner as well, each time it is asked.
static bool d_must_wait(dentry *dentry)
    __context_unsafe("wait_var_event_spinlock() holds d_lock where it asks")
{
    if (!(d_flags_locked(dentry) & DCACHE_PAR_LOOKUP))
        return false;
    dentry->d_flags |= DCACHE_LOCK_WAITER;
    return true;
}

// v3 10/19 fs/dcache.c __d_alloc_parallel().
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
        if (d_flags_locked(dentry) & DCACHE_PAR_LOOKUP) {
            if (unlikely(how == ALLOC_PARA_FAIL)) {
                spin_unlock(&dentry->d_lock);
                dput(fresh);
                if (blocker)
                    *blocker = dentry;
                else
                    dput(dentry);
                return ERR_PTR(-EWOULDBLOCK);
            }
            vfs_count(LOOKUP_WAITS);
            wait_var_event_spinlock(
                &dentry->d_flags, [dentry] { return !d_must_wait(dentry); }, &dentry->d_lock);
        }
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
    hlist_bl_add_head(&fresh->d_in_lookup_hash, b);
    hlist_bl_unlock(b);
    return fresh;

mismatch:
    spin_unlock(&dentry->d_lock);
    dput(dentry);
    vfs_count(RETRY_MISMATCH);
    goto retry;
}

// v3 04/19 fs/dcache.c __d_lookup_unhash().
//
// True when somebody waits. The wake-up belongs into the same d_lock section, so no waiter sees the
// state between, but not where i_dir_seq is odd.
static bool __d_lookup_unhash(dentry *dentry) __must_hold(&dentry->d_lock)
{
    hlist_bl_head *b;
    bool do_wake;

    lockdep_assert_held(&dentry->d_lock);
    b = in_lookup_hash(READ_LOCKED(dentry->d_parent), dentry->d_name.hash());
    hlist_bl_lock(b);
    __hlist_bl_del(&dentry->d_in_lookup_hash);
    do_wake = d_flags_locked(dentry) & DCACHE_LOCK_WAITER;
    dentry->d_flags &= ~(DCACHE_PAR_LOOKUP | DCACHE_LOCK_WAITER);
    hlist_bl_unlock(b);
    // The union's room belongs to `waiters` from here on.
    dentry->waiters = nullptr;
    return do_wake;
}

// v3 04/19 fs/dcache.c __d_lookup_unhash_wake().
static void __d_lookup_unhash_wake(dentry *dentry)
{
    spin_lock(&dentry->d_lock);
    if (__d_lookup_unhash(dentry))
        wake_up_var_locked(&dentry->d_flags, &dentry->d_lock);
    spin_unlock(&dentry->d_lock);
}

// v3 02/19 and 04/19 fs/dcache.c __d_add().
//
// What others see, in this order: gone from the in-lookup table, hashed, inode attached, i_dir_seq
// even, waiters awake. A dentry that is hashed already stays where it is.
static void __d_add(dentry *dentry, inode *inode, const dentry_operations *ops)
    __context_unsafe("i_lock is held only when there is an inode")
{
    bool do_wake = false;
    struct inode *dir = nullptr;
    unsigned n = 0;

    spin_lock(&dentry->d_lock);
    if (unlikely(d_flags_locked(dentry) & DCACHE_PAR_LOOKUP)) {
        dir = d_inode(READ_LOCKED(dentry->d_parent));
        n = start_dir_add(dir);
        do_wake = __d_lookup_unhash(dentry);
        __d_rehash(dentry);
    } else if (d_unhashed(dentry)) {
        __d_rehash(dentry);
    }
    if (unlikely(ops))
        d_set_d_op(dentry, ops);
    if (inode)
        __d_instantiate(dentry, inode);
    if (dir)
        end_dir_add(dir, n, do_wake, dentry);
    spin_unlock(&dentry->d_lock);
    if (inode)
        spin_unlock(&inode->i_lock);
}

// v3 04/19 fs/dcache.c d_add_ci().
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
    add->do_wake = __d_lookup_unhash(target);
}

static void move_ends(dentry *target, dir_add *add)
{
    end_dir_add(add->dir, add->n, add->do_wake, target);
}

static constexpr lookup_protocol protocol = {
    .name = "v3",
    .caller_queue = false,
    .alloc_parallel = __d_alloc_parallel,
    .lookup_done = __d_lookup_unhash_wake,
    .add = __d_add,
    .move_begins = move_begins,
    .move_ends = move_ends,
    .add_ci = d_add_ci,
};

} // namespace era_v3

constinit const lookup_protocol lookup_protocol_v3 = era_v3::protocol;

} // namespace dcsim::inline DCSIM_BACKEND
