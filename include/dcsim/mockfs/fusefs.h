// SPDX-License-Identifier: GPL-2.0-only
//
// fusefs: a file system whose files are a daemon's. The kernel's side asks the daemon for every
// name, believes an answer for as long as the answer says, counts what it was told and gives it
// back with FORGET, and is told by the daemon when a name it believes in has changed.
//
// Time is a clock that nobody but fusefs_advance_clock() moves, so that what has expired does not
// depend on how fast a machine is. Its unit is that of the option entry_timeout.
#pragma once

#include "dcsim/vfs/dcache.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// fuse_reverse_inval_entry(): the name is not believed any more, but stays in the cache.
inline constexpr unsigned FUSE_EXPIRE_ONLY = 1u << 0;

/// Entries whose time is over by then are not believed any more.
void fusefs_advance_clock(super_block *sb, u64 ticks);
/// The daemon says that a name in a directory is not what it was: it is invalidated. With the node
/// of a child, that this very child is gone from it: it is d_delete()d as if this kernel had
/// removed it. 0; -ENOENT when nothing of that is cached or the name is another node's; -ENOTDIR,
/// -EBUSY, -ENOTEMPTY. The caller holds no i_rwsem. Sleeps. Linux v6.12 fs/fuse/dir.c.
int fuse_reverse_inval_entry(super_block *sb, u64 parent_nodeid, u64 child_nodeid, qstr *name,
                             unsigned flags);
/// Kills the unused entries whose time is over; those in use go with their last user. Only entries
/// of a mount with the option `inval_wq`. Sleeps. Linux v7.2 fs/fuse/dir.c.
void fuse_dentry_tree_work(super_block *sb);

// For tests: what is counted.

/// Lookups that the daemon has not been given back, those of FORGETs on their way among them.
u64 fusefs_lookups(super_block *sb);
/// FORGETs on their way.
long fusefs_forgets_pending(const super_block *sb);

} // namespace dcsim::inline DCSIM_BACKEND
