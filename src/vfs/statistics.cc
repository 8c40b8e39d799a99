// SPDX-License-Identifier: GPL-2.0-only
//
// Counters of the dcache.
#include "internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

constinit per_cpu_counters<VFS_COUNTERS> vfs_counters = {};

long vfs_counter_value(vfs_counter counter)
{
    return per_cpu_sum(vfs_counters, counter);
}

long vfs_counter_of_this_task(vfs_counter counter)
{
    return READ_LOCKED(vfs_counters.slots[this_counter_slot()].values[counter]);
}

const char *vfs_counter_name(vfs_counter counter)
{
    static constexpr std::array<const char *, VFS_COUNTERS> names = {
        "nr_dentry",          "nr_dentry_unused",  "nr_dentry_negative", "nr_inodes",
        "dentries_allocated", "dentries_freed",    "fs_lookups",         "lookup_waits",
        "retry_seq",          "retry_rename_lock", "retry_dir_seq",      "retry_dying",
        "retry_mismatch",     "walk_restarts",     "rcu_walks",          "rcu_unlazy",
        "rcu_restarts",       "reval_restarts",
    };
    static_assert(names.back() != nullptr, "a counter without a name");
    return counter < VFS_COUNTERS ? names[counter] : "unknown";
}

namespace
{

// Slots are summed one after the other while others count, so a sum may come out negative.
long clamped(vfs_counter counter)
{
    long sum = vfs_counter_value(counter);
    return sum < 0 ? 0 : sum;
}

} // namespace

// Linux v7.2 fs/dcache.c get_nr_dentry().
long get_nr_dentry()
{
    return clamped(NR_DENTRY);
}

// Linux v7.2 fs/dcache.c get_nr_dentry_unused().
long get_nr_dentry_unused()
{
    return clamped(NR_DENTRY_UNUSED);
}

// Linux v7.2 fs/dcache.c get_nr_dentry_negative().
long get_nr_dentry_negative()
{
    return clamped(NR_DENTRY_NEGATIVE);
}

} // namespace dcsim::inline DCSIM_BACKEND
