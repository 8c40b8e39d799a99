// SPDX-License-Identifier: GPL-2.0-only
//
// Parallel lookups: at most one ->lookup() for one name of one directory at a time, with the
// directory locked only shared. How the others wait is the business of an era: in_lookup_4_7.cc to
// in_lookup_7_2.cc. Here is what these share.
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
//       into the hash                        n odd: start over (4.7 does not look)
//       i_dir_seq := even, release           lock the in-lookup bucket
//                                            i_dir_seq != n: start over
//                                            look into the bucket: miss, so it is nowhere
//
// Locking: the in-lookup bucket lock is a leaf, taken under d_lock (unhash) or alone. It must not
// be held while taking a d_lock, which is why d_alloc_parallel() steps from one to the other by
// RCU.
#include <cstring>

#include "dcsim/kernel/bug.h"
#include "lookup_protocol.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

hlist_bl_head *in_lookup_hashtable;
unsigned in_lookup_bits;

long in_lookup_buckets_in_use()
{
    long used = 0;

    for (unsigned long i = 0; i < 1ul << in_lookup_bits; i++)
        used += !hlist_bl_empty(&in_lookup_hashtable[i]);
    return used;
}

} // namespace

int in_lookup_init(unsigned shift)
{
    in_lookup_hashtable = static_cast<hlist_bl_head *>(
        alloc_large_system_hash(sizeof(hlist_bl_head), 1ul << shift, 0, &in_lookup_bits));
    return in_lookup_hashtable ? 0 : -ENOMEM;
}

long in_lookup_exit()
{
    long left = in_lookup_buckets_in_use();

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

namespace
{

const lookup_protocol *const protocols[LOOKUP_ERAS] = {
    &lookup_protocol_4_7, &lookup_protocol_4_17, &lookup_protocol_6_0,
    &lookup_protocol_v3,  &lookup_protocol_7_2,
};

} // namespace

const lookup_protocol *lookup_protocol_in_use = &lookup_protocol_7_2;
static lookup_era era_in_use = ERA_7_2;

const char *lookup_era_name(lookup_era era)
{
    return protocols[era]->name;
}

lookup_era find_lookup_era(const char *name)
{
    int era = 0;

    while (era < LOOKUP_ERAS && strcmp(protocols[era]->name, name) != 0)
        era++;
    return static_cast<lookup_era>(era);
}

lookup_era current_lookup_era()
{
    return era_in_use;
}

bool lookup_era_has_caller_queue(lookup_era era)
{
    return protocols[era]->caller_queue;
}

int set_lookup_era(lookup_era era)
{
    if (era < 0 || era >= LOOKUP_ERAS || (lookup_outside_rwsem && lookup_era_has_caller_queue(era)))
        return -EINVAL;
    if (in_lookup_hashtable && in_lookup_buckets_in_use())
        return -EBUSY;
    era_in_use = era;
    lookup_protocol_in_use = protocols[era];
    return 0;
}

void retry_because(vfs_counter cause, int *attempts)
{
    vfs_count(cause);
    retry_relax((*attempts)++);
}

// Linux v7.2 fs/dcache.c d_alloc_parallel().
dentry *d_alloc_parallel(dentry *parent, const qstr *name)
{
    BUG_ON(lookup_protocol_in_use->caller_queue);
    if (unlikely(lookup_outside_rwsem))
        check_nothing_locked(parent, name);
    return lookup_protocol_in_use->alloc_parallel(parent, name, nullptr, ALLOC_PARA_WAIT, nullptr);
}

// Linux v4.7 fs/dcache.c d_alloc_parallel().
dentry *d_alloc_parallel(dentry *parent, const qstr *name, wait_queue_head_t *wq)
{
    BUG_ON(lookup_protocol_in_use->caller_queue && !wq);
    if (unlikely(lookup_outside_rwsem))
        check_nothing_locked(parent, name);
    return lookup_protocol_in_use->alloc_parallel(parent, name, wq, ALLOC_PARA_WAIT, nullptr);
}

// Linux v7.2 fs/dcache.c __d_lookup_unhash_wake().
void __d_lookup_unhash_wake(dentry *dentry)
{
    lookup_protocol_in_use->lookup_done(dentry);
}

// Linux v7.2 fs/dcache.c d_add_ci().
dentry *d_add_ci(dentry *dentry, inode *inode, qstr *name)
{
    return lookup_protocol_in_use->add_ci(dentry, inode, name);
}

} // namespace dcsim::inline DCSIM_BACKEND
