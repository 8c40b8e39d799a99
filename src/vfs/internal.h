// SPDX-License-Identifier: GPL-2.0-only
//
// What the files of vfs/ share with each other and with nobody else.
#pragma once

#include "dcsim/kernel/slab.h"
#include "dcsim/prim/prim.h"
#include "dcsim/vfs/vfs.h"

namespace dcsim::inline DCSIM_BACKEND
{

extern per_cpu_counters<VFS_COUNTERS> vfs_counters;

inline void vfs_count(vfs_counter counter, long step = 1)
{
    this_cpu_add(vfs_counters, counter, step);
}

/// A zeroed table of hash buckets: `entries` rounded up to a power of two, or one bucket for every
/// 2^scale bytes of memory when that is 0. Stores log2 of the size. nullptr when memory is short.
void *alloc_large_system_hash(size_t bucket_size, unsigned long entries, unsigned scale,
                              unsigned *shift);

// Each part of the VFS sets itself up and takes itself down again; vfs_init() and vfs_exit() call
// these in order. An _exit() function runs after rcu_barrier() and adds what it finds to `leaks`.

int dcache_init(const vfs_config &config);
void dcache_exit(vfs_leaks *leaks);
int inode_init(const vfs_config &config);
void inode_exit(vfs_leaks *leaks);
int files_init();
void files_exit(vfs_leaks *leaks);
int mount_init(const vfs_config &config);
void mount_exit(vfs_leaks *leaks);
/// The namespace without mounts; called by mount_init().
void namespace_init();
/// init_fs without paths.
void fs_init();

/// Ends the construction of an inode: clears I_NEW and I_CREATING and wakes who waits for that.
void inode_finish_new_locked(inode *inode) __must_hold(&inode->i_lock);

} // namespace dcsim::inline DCSIM_BACKEND
