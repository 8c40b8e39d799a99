// SPDX-License-Identifier: GPL-2.0-only
//
// Setting up the dcache and proving at the end that nothing is left of it.
#include "dcache_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

seqlock_t rename_lock;
bool dentry_negative_policy;
bool splice_hashed;
bool lookup_outside_rwsem;

// Linux v7.2 fs/dcache.c dcache_init().
int dcache_init(const vfs_config &config)
{
    seqlock_init(&rename_lock, "rename_lock");
    dentry_negative_policy = config.dentry_negative_policy;
    splice_hashed = config.splice_hashed;
    lookup_outside_rwsem = config.lookup_outside_rwsem;
    set_lookup_era(config.era);
    obligations_init();
    if (dentry_cache_init())
        return -ENOMEM;
    if (dentry_hash_init(config.dhash_entries))
        goto no_hash;
    if (in_lookup_init(config.in_lookup_shift))
        goto no_in_lookup;
    return 0;

no_in_lookup:
    dentry_hash_exit();
no_hash:
    dentry_cache_exit();
    return -ENOMEM;
}

void dcache_exit(vfs_leaks *leaks)
{
    leaks->hash_entries += in_lookup_exit();
    leaks->hash_entries += dentry_hash_exit();
    leaks->dentries += dentry_cache_exit();
}

} // namespace dcsim::inline DCSIM_BACKEND
