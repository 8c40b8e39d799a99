// SPDX-License-Identifier: GPL-2.0-only
//
// Start and end of the simulated VFS. Its state is process-wide, as in a kernel.
#pragma once

#include "dcsim/vfs/dcache.h"
#include "dcsim/vfs/inode.h"
#include "dcsim/vfs/lookup_era.h"
#include "dcsim/vfs/mount.h"
#include "dcsim/vfs/statistics.h"
#include "dcsim/vfs/super.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct vfs_config {
    /// Buckets of the dentry hash, rounded up to a power of two, at least 2; 0 sizes the table like
    /// a booting kernel: one bucket for every 8 KiB of memory. Small tables make collisions
    /// visible.
    unsigned long dhash_entries = 0;
    /// Buckets of the inode hash; 0 for one bucket for every 16 KiB of memory.
    unsigned long ihash_entries = 0;
    /// Buckets of the tables of mounts and of mountpoints; 0 for one for every 512 KiB of memory.
    unsigned long mhash_entries = 0;
    unsigned long mphash_entries = 0;
    /// log2 of the buckets of the in-lookup table, 0 to 20; the kernel has 1024 buckets.
    unsigned in_lookup_shift = 10;
    /// The sysctl fs.dentry-negative: d_delete() also unhashes what it turns negative.
    bool dentry_negative_policy = false;
    /// Whose protocol lookups wait by.
    lookup_era era = ERA_7_2;
    /// Proposed for v7.4: d_splice_alias() and d_add() take hashed negative dentries as well.
    /// Always so in ERA_V3.
    bool splice_hashed = false;
    /// Proposed: d_alloc_parallel() before the directory's i_rwsem is taken, never under it, and a
    /// recheck after (docs/proposed.md). For eras without a caller's queue; else -EINVAL.
    bool lookup_outside_rwsem = false;
};

/// Sets everything up. 0, -ENOMEM, -EINVAL for a configuration out of range, -EBUSY when it is
/// running already. One thread only.
int vfs_init(const vfs_config &config = {});

/// What vfs_exit() found still in existence. All zero when everything was given back.
struct vfs_leaks {
    long dentries;        ///< allocated, never freed
    long inodes;          ///< likewise
    long files;           ///< likewise: open, or opened once and never given back
    long kmalloc_objects; ///< long names, super blocks, a file system's own memory
    long counters;        ///< statistics that should be back at zero and are not
    long hash_entries;    ///< left in the dentry, in-lookup or inode hash
    long mounts;          ///< with references left, or still attached

    bool none() const
    {
        return !dentries && !inodes && !files && !kmalloc_objects && !counters && !hash_entries &&
               !mounts;
    }
};

/// Waits for RCU, proves that nothing is left, gives the tables back. Every super block must be
/// shut down, every mount freed. One thread only.
vfs_leaks vfs_exit();

} // namespace dcsim::inline DCSIM_BACKEND
