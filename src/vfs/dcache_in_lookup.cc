// SPDX-License-Identifier: GPL-2.0-only
//
// Parallel lookups: at most one ->lookup() for one name of one directory at a time, with the
// directory locked only shared. The wait protocol is v7.2's.
//
// An in-lookup dentry is negative, unhashed, referenced by its owner, linked into a second hash
// table, and has DCACHE_PAR_LOOKUP set. Anybody else who wants the same name finds it there, takes
// a reference and sleeps until the owner is done. The owner ends the state exactly once:
//
//     d_add(), d_splice_alias()      hashed, positive or negative
//     __d_move() onto it             the name now belongs to the dentry that was moved here
//     d_lookup_done()                nothing published: waiters find it unhashed and start over,
//                                    and the next of them becomes owner
//
// The gap between the two tables. Publishing means leaving one table and entering another, and a
// third task must not look into each at the wrong moment and conclude that the name is nowhere. So
// the directory's i_dir_seq is odd in between:
//
//     publisher                            d_alloc_parallel()
//       i_dir_seq := odd                     n := i_dir_seq, acquire
//       off the in-lookup table              look into the hash: miss
//       into the hash                        n odd: start over
//       i_dir_seq := even, release           lock the in-lookup bucket
//                                            i_dir_seq != n: start over
//                                            look into the bucket: miss, so it is nowhere
//
// Locking: the in-lookup bucket lock is a leaf, taken under d_lock (unhash) or alone. It must not
// be held while taking a d_lock, which is why d_alloc_parallel() steps from one to the other by
// RCU.
#include "dcache_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

hlist_bl_head *in_lookup_hashtable;
unsigned in_lookup_bits;

} // namespace

int in_lookup_init(unsigned shift)
{
    in_lookup_hashtable = static_cast<hlist_bl_head *>(
        alloc_large_system_hash(sizeof(hlist_bl_head), 1ul << shift, 0, &in_lookup_bits));
    return in_lookup_hashtable ? 0 : -ENOMEM;
}

long in_lookup_exit()
{
    long left = 0;

    for (unsigned long i = 0; i < 1ul << in_lookup_bits; i++)
        left += !hlist_bl_empty(&in_lookup_hashtable[i]);
    memory_free(in_lookup_hashtable);
    in_lookup_hashtable = nullptr;
    return left;
}

// Linux v7.2 fs/dcache.c in_lookup_hash().
hlist_bl_head *in_lookup_hash(const dentry *parent, u32 hash)
{
    hash += static_cast<u32>(reinterpret_cast<unsigned long>(parent) / L1_CACHE_BYTES);
    return in_lookup_hashtable + (in_lookup_bits ? hash_32(hash, in_lookup_bits) : 0);
}

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

namespace
{

void retry_because(vfs_counter cause, int *attempts)
{
    vfs_count(cause);
    retry_relax((*attempts)++);
}

} // namespace

// Linux v7.2 fs/dcache.c d_alloc_parallel().
dentry *d_alloc_parallel(dentry *parent, const qstr *name)
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
void __d_lookup_unhash_wake(dentry *dentry)
{
    spin_lock(&dentry->d_lock);
    __d_lookup_unhash(dentry);
    __d_wake_in_lookup_waiters(dentry);
    spin_unlock(&dentry->d_lock);
}

} // namespace dcsim::inline DCSIM_BACKEND
