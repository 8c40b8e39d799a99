// SPDX-License-Identifier: GPL-2.0-only
//
// slowfs: memfs on a disk that takes its time. ->lookup() of any name can be made slow, can be held
// at a gate until somebody opens it, and can fail. What is slow is the object, by whichever of its
// names it is asked for; a name that is not there is as slow as the whole disk.
//
// Gates are for experiments that need a lookup to be under way while something else happens: no
// guess how long that takes, no sleep.
#pragma once

#include "dcsim/kernel/types.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct super_block;

/// How the disk answers to a lookup of one object.
struct slowfs_manners {
    bool gated;   ///< not before the gate is opened
    bool failing; ///< with the error of the mount option `error`
    u64 delay_us; ///< after so many microseconds, on top of the disk's own
};

// Objects are named by inode number. Any of these may be called while lookups are under way, with
// any lock held but spinlocks, and outside RCU.

/// From the next lookup on. 0, or -ENOMEM. Sleeps.
int slowfs_set_manners(super_block *sb, ino_t ino, const slowfs_manners &manners);
/// Lets through who waits at the gate of this object and who will come; 0, or -ENOENT when the
/// object has none. It stays open until slowfs_set_manners() makes a new one.
int slowfs_open_gate(super_block *sb, ino_t ino);
/// Lookups that wait at the gate of this object now.
long slowfs_waiting_at(super_block *sb, ino_t ino);

} // namespace dcsim::inline DCSIM_BACKEND
