// SPDX-License-Identifier: GPL-2.0-only
//
// Start and end of the VFS.
#include "dcsim/vfs/vfs.h"

#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/wait_bit.h"
#include "internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

constexpr unsigned max_in_lookup_shift = 20;
constexpr unsigned long max_hash_entries = 1ul << 31;

bool running;
long kmalloc_objects_at_start;

/// Counters that stand for something that exists, and so end at zero.
constexpr vfs_counter gauges[] = {NR_DENTRY, NR_DENTRY_UNUSED, NR_DENTRY_NEGATIVE, NR_INODES};

} // namespace

// Linux v6.12 mm/mm_init.c alloc_large_system_hash(), the sizing rule.
void *alloc_large_system_hash(size_t bucket_size, unsigned long entries, unsigned scale,
                              unsigned *shift)
{
    if (!entries)
        entries = total_memory_bytes() >> scale;
    *shift = 0;
    while ((1ul << *shift) < entries)
        ++*shift;
    return memory_alloc_zeroed(1ul << *shift, bucket_size);
}

int vfs_init(const vfs_config &config)
{
    vfs_leaks unused = {};
    int error;

    if (running)
        return -EBUSY;
    if (config.in_lookup_shift > max_in_lookup_shift || config.dhash_entries > max_hash_entries ||
        config.ihash_entries > max_hash_entries || config.mhash_entries > max_hash_entries ||
        config.mphash_entries > max_hash_entries || config.dhash_entries == 1)
        return -EINVAL;
    if (config.era < 0 || config.era >= LOOKUP_ERAS ||
        (config.lookup_outside_rwsem && lookup_era_has_caller_queue(config.era)))
        return -EINVAL;

    per_cpu_reset(vfs_counters);
    kmalloc_objects_at_start = kmalloc_objects();
    wait_bit_init();
    fs_init();
    error = mount_init(config);
    if (error)
        return error;
    error = dcache_init(config);
    if (error)
        goto no_dcache;
    error = inode_init(config);
    if (error)
        goto no_inodes;
    error = files_init();
    if (error)
        goto no_files;
    running = true;
    return 0;

no_files:
    inode_exit(&unused);
no_inodes:
    dcache_exit(&unused);
no_dcache:
    mount_exit(&unused);
    return error;
}

vfs_leaks vfs_exit()
{
    vfs_leaks leaks = {};

    if (WARN_ON(!running))
        return leaks;
    rcu_barrier();
    for (vfs_counter gauge : gauges)
        leaks.counters += vfs_counter_value(gauge) != 0;
    files_exit(&leaks);
    leaks.kmalloc_objects = kmalloc_objects() - kmalloc_objects_at_start;
    inode_exit(&leaks);
    dcache_exit(&leaks);
    mount_exit(&leaks);
    running = false;
    return leaks;
}

} // namespace dcsim::inline DCSIM_BACKEND
