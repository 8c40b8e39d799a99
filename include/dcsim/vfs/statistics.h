// SPDX-License-Identifier: GPL-2.0-only
//
// Counters of the dcache. The kernel has the first three (/proc/sys/fs/dentry-state); the others
// tell a measurement which way the slow paths went.
#pragma once

#include <array>

#include "dcsim/kernel/types.h"

namespace dcsim::inline DCSIM_BACKEND
{

enum vfs_counter : unsigned {
    NR_DENTRY,          ///< allocated and not yet killed
    NR_DENTRY_UNUSED,   ///< on an LRU or a private shrink list
    NR_DENTRY_NEGATIVE, ///< negative and on an LRU
    NR_INODES,          ///< allocated and not yet evicted
    DENTRIES_ALLOCATED,
    DENTRIES_FREED,    ///< handed to RCU or freed at once
    FS_LOOKUPS,        ///< ->lookup() calls
    LOOKUP_WAITS,      ///< times a task waited for somebody else's ->lookup()
    RETRY_SEQ,         ///< d_alloc_parallel(): the hit was renamed or dropped under it
    RETRY_RENAME_LOCK, ///< d_lookup() or d_alloc_parallel(): a rename made the miss doubtful
    RETRY_DIR_SEQ,     ///< d_alloc_parallel(): an entry of the directory was being published
    RETRY_DYING,       ///< d_alloc_parallel(): the hit was dying
    RETRY_MISMATCH,    ///< d_alloc_parallel(): what it waited for ended unhashed or elsewhere
    WALK_RESTARTS,     ///< d_walk(): restarted with rename_lock held
    RCU_WALKS,         ///< path walks that stayed in RCU mode until complete_walk()
    RCU_UNLAZY,        ///< path walks that went on in ref mode before their end
    RCU_RESTARTS,      ///< path walks that began again in ref mode: the RCU pass gave -ECHILD
    REVAL_RESTARTS,    ///< path walks that began again with LOOKUP_REVAL: -ESTALE
    VFS_COUNTERS,
};

/// Value of one counter. A snapshot only when nobody changes anything.
long vfs_counter_value(vfs_counter counter);
/// What the calling task has added to a counter since vfs_init(), as long as there are not more
/// threads than counter slots. Not a schedule point.
long vfs_counter_of_this_task(vfs_counter counter);
/// Short name for tables and JSON, e.g. "retry_dir_seq".
const char *vfs_counter_name(vfs_counter counter);

/// Bytes of system memory behind one dentry, names that do not fit into it excluded. 0 before
/// vfs_init().
size_t dentry_bytes();

/// The kernel's three, never below zero.
long get_nr_dentry();
long get_nr_dentry_unused();
long get_nr_dentry_negative();

} // namespace dcsim::inline DCSIM_BACKEND
