// SPDX-License-Identifier: GPL-2.0-only
//
// The dentry hash: one table for the whole system, keyed by parent and name, walked by RCU readers
// and changed under one bit lock a bucket.
//
// What a walker may see. Insertion publishes a complete node. A removed node keeps its next
// pointer, so whoever stands on it walks on. A renamed dentry leaves one chain and enters another:
// a walker may follow it there and miss what it came for. Hence __d_lookup() and __d_lookup_rcu()
// may miss, and d_lookup() repeats a miss when rename_lock has moved.
#include "dcache_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

hlist_bl_head *dentry_hashtable;
unsigned d_hash_bits;
unsigned d_hash_shift; ///< 32 minus log2 of the table's size: the high bits choose the bucket

} // namespace

// Linux v7.2 fs/dcache.c d_hash().
hlist_bl_head *d_hash(u32 hash)
{
    return dentry_hashtable + (static_cast<u64>(hash) >> d_hash_shift);
}

int dentry_hash_init(unsigned long entries)
{
    dentry_hashtable = static_cast<hlist_bl_head *>(
        alloc_large_system_hash(sizeof(hlist_bl_head), entries, 13, &d_hash_bits));
    d_hash_shift = 32 - d_hash_bits;
    return dentry_hashtable ? 0 : -ENOMEM;
}

long dentry_hash_exit()
{
    long left = 0;

    for (unsigned long i = 0; i < 1ul << d_hash_bits; i++)
        left += !hlist_bl_empty(&dentry_hashtable[i]);
    memory_free(dentry_hashtable);
    dentry_hashtable = nullptr;
    return left;
}

// Linux v7.2 fs/dcache.c ___d_drop().
void ___d_drop(dentry *dentry)
{
    hlist_bl_head *b = d_hash(dentry->d_name.hash());

    hlist_bl_lock(b);
    __hlist_bl_del(&dentry->d_hash);
    hlist_bl_unlock(b);
}

// Linux v7.2 fs/dcache.c __d_drop().
void __d_drop(dentry *dentry)
{
    if (d_unhashed(dentry))
        return;
    ___d_drop(dentry);
    WRITE_ONCE(dentry->d_hash.pprev, nullptr);
    // Lockless walkers that hold this dentry learn at their next check that it is gone.
    write_seqcount_invalidate(&dentry->d_seq);
}

// Linux v7.2 fs/dcache.c d_drop().
void d_drop(dentry *dentry)
{
    spin_lock(&dentry->d_lock);
    __d_drop(dentry);
    spin_unlock(&dentry->d_lock);
}

// Linux v7.2 fs/dcache.c __d_rehash().
void __d_rehash(dentry *dentry)
{
    hlist_bl_head *b = d_hash(dentry->d_name.hash());

    hlist_bl_lock(b);
    hlist_bl_add_head_rcu(&dentry->d_hash, b);
    hlist_bl_unlock(b);
}

// Linux v7.2 fs/dcache.c d_rehash().
void d_rehash(dentry *dentry)
{
    spin_lock(&dentry->d_lock);
    __d_rehash(dentry);
    spin_unlock(&dentry->d_lock);
}

// Linux v7.2 fs/dcache.c d_same_name().
bool d_same_name(const dentry *dentry, const struct dentry *parent, const qstr *name)
{
    if (likely(!(READ_ONCE(parent->d_flags) & DCACHE_OP_COMPARE))) {
        if (dentry->d_name.len() != name->len)
            return false;
        return dentry_cmp(dentry, name->name, name->len) == 0;
    }
    return parent->d_op->d_compare(dentry, dentry->d_name.len(),
                                   reinterpret_cast<const char *>(READ_ONCE(dentry->d_name.name)),
                                   name) == 0;
}

// Linux v7.2 fs/dcache.c __d_lookup_rcu_op_compare().
//
// The file system compares names itself and must get a length and a text that belong together, so
// here the sequence check comes before the comparison.
static dentry *__d_lookup_rcu_op_compare(const dentry *parent, const qstr *name, unsigned *seqp)
    __must_hold_shared(rcu)
{
    hlist_bl_head *b = d_hash(name->hash);

    for (hlist_bl_node *node = hlist_bl_first_rcu(b); node; node = hlist_bl_next_rcu(node)) {
        dentry *dentry = container_of(node, struct dentry, d_hash);
        const unsigned char *tname;
        unsigned tlen;
        unsigned seq;
        int attempts = 0;

seqretry:
        seq = raw_seqcount_begin(&dentry->d_seq);
        if (READ_ONCE(dentry->d_parent) != parent)
            continue;
        if (d_unhashed(dentry))
            continue;
        if (dentry->d_name.hash() != name->hash)
            continue;
        tlen = dentry->d_name.len();
        tname = READ_ONCE(dentry->d_name.name);
        if (read_seqcount_retry(&dentry->d_seq, seq)) {
            // The writer may be a preempted thread.
            retry_relax(attempts++);
            goto seqretry;
        }
        if (parent->d_op->d_compare(dentry, tlen, reinterpret_cast<const char *>(tname), name) != 0)
            continue;
        *seqp = seq;
        return dentry;
    }
    return nullptr;
}

// Linux v7.2 fs/dcache.c __d_lookup_rcu().
//
// Twin of __d_lookup(): kept apart, as in the kernel, because one must not store and the other must
// not miss what it could lock.
dentry *__d_lookup_rcu(const dentry *parent, const qstr *name, unsigned *seqp)
{
    u64 hashlen = name->hash_len;
    hlist_bl_head *b = d_hash(hashlen_hash(hashlen));

    if (unlikely(READ_ONCE(parent->d_flags) & DCACHE_OP_COMPARE))
        return __d_lookup_rcu_op_compare(parent, name, seqp);

    for (hlist_bl_node *node = hlist_bl_first_rcu(b); node; node = hlist_bl_next_rcu(node)) {
        dentry *dentry = container_of(node, struct dentry, d_hash);
        // Does not wait for a rename in progress: a candidate caught in one fails the caller's
        // check. The acquire in it also makes the NUL of a name visible before its pointer is used.
        unsigned seq = raw_seqcount_begin(&dentry->d_seq);

        if (READ_ONCE(dentry->d_parent) != parent)
            continue;
        if (READ_ONCE(dentry->d_name.hash_len) != hashlen)
            continue;
        if (unlikely(dentry_cmp(dentry, name->name, hashlen_len(hashlen)) != 0))
            continue;
        // Not redundant with d_seq: the drop may have come before the sequence was sampled, while
        // this walker was already standing on the node.
        if (unlikely(d_unhashed(dentry)))
            continue;
        *seqp = seq;
        return dentry;
    }
    return nullptr;
}

// Linux v7.2 fs/dcache.c d_lookup().
dentry *d_lookup(const dentry *parent, const qstr *name)
{
    dentry *dentry;
    unsigned seq;

    for (;;) {
        seq = read_seqbegin(&rename_lock);
        dentry = __d_lookup(parent, name);
        if (dentry)
            break; // verified under its d_lock; no rename can spoil a hit
        // Pairs with write_seqlock() in d_move(): the walk may have followed a moving dentry onto
        // another chain.
        if (likely(!read_seqretry(&rename_lock, seq)))
            break;
        vfs_count(RETRY_RENAME_LOCK);
    }
    return dentry;
}

// Linux v7.2 fs/dcache.c __d_lookup().
//
// Cannot pick up a dead dentry: killing unhashes in the same d_lock section that marks dead, and
// the hash is checked here under d_lock before the count is raised.
dentry *__d_lookup(const dentry *parent, const qstr *name)
{
    hlist_bl_head *b = d_hash(name->hash);
    dentry *found = nullptr;

    rcu_read_lock();
    for (hlist_bl_node *node = hlist_bl_first_rcu(b); node; node = hlist_bl_next_rcu(node)) {
        dentry *dentry = container_of(node, struct dentry, d_hash);

        if (dentry->d_name.hash() != name->hash)
            continue;

        spin_lock(&dentry->d_lock);
        if (READ_LOCKED(dentry->d_parent) != parent)
            goto next;
        if (d_unhashed(dentry))
            goto next;
        if (!d_same_name(dentry, parent, name))
            goto next;

        ++dentry->d_lockref.count;
        found = dentry;
        spin_unlock(&dentry->d_lock);
        break;
next:
        spin_unlock(&dentry->d_lock);
    }
    rcu_read_unlock();
    return found;
}

// Linux v7.2 fs/dcache.c d_hash_and_lookup().
dentry *d_hash_and_lookup(dentry *dir, qstr *name)
{
    // The standard hash first: ->d_hash may leave it as it is.
    name->hash = full_name_hash(dir, reinterpret_cast<const char *>(name->name), name->len);
    if (READ_ONCE(dir->d_flags) & DCACHE_OP_HASH) {
        int err = dir->d_op->d_hash(dir, name);
        if (unlikely(err < 0))
            return ERR_PTR(err);
    }
    return d_lookup(dir, name);
}

} // namespace dcsim::inline DCSIM_BACKEND
