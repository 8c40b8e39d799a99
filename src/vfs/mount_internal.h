// SPDX-License-Identifier: GPL-2.0-only
//
// What mount.cc (a mount's life, finding it) and namespace.cc (attaching and detaching) share.
#pragma once

#include "dcache_internal.h"
#include "dcsim/kernel/rculist.h"
#include "dcsim/kernel/rwsem.h"
#include "dcsim/vfs/mount.h"
#include "internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// Guards the shape of the namespace: what is attached where. Its holder may sleep and may take
/// mount_lock and what nests in that; it must not be holding mount_lock, nor wait for an i_rwsem,
/// because removals come here with theirs held.
extern rw_semaphore namespace_sem;

/// A dentry that mounts are attached to. Everything in it is under mount_lock.
struct mountpoint {
    hlist_node m_hash;
    dentry *m_dentry;  ///< holds a reference, and DCACHE_MOUNTED
    hlist_head m_list; ///< the mounts, by mnt_mp_list
    int m_count;       ///< the mounts on it, and who is about to add one
};

// Linux v6.12 fs/namespace.c lock_mount_hash().
inline void lock_mount_hash() __acquires(&mount_lock)
{
    write_seqlock(&mount_lock);
}

// Linux v6.12 fs/namespace.c unlock_mount_hash().
inline void unlock_mount_hash() __releases(&mount_lock)
{
    write_sequnlock(&mount_lock);
}

/// Changes mnt_count and returns the new value. Full barrier.
inline int mnt_add_count(mount *mnt, int step)
{
    return add_return(&mnt->mnt_count, step);
}

inline mount *mount_from_child(list_head *entry)
{
    return container_of(entry, mount, mnt_child);
}

inline mount *mount_from_list(list_head *entry)
{
    return container_of(entry, mount, mnt_list);
}

inline mount *mount_from_umount(hlist_node *node)
{
    return node ? container_of(node, mount, mnt_umount) : nullptr;
}

/// The chain for what is attached at (mnt, dentry).
hlist_head *m_hash(const vfsmount *mnt, const dentry *dentry);

/// The mountpoint of `dentry` with one more count, or nullptr.
mountpoint *lookup_mountpoint(const dentry *dentry) __must_hold(&mount_lock);
/// The same, made when there is none. ERR_PTR: -ENOENT when nothing may be mounted on it, -ENOMEM.
mountpoint *get_mountpoint(dentry *dentry) __must_hold(&namespace_sem);
/// Drops a count. With the last one the dentry is no mountpoint any more, and goes onto `list` if
/// nobody else uses it: its last reference must not be dropped under a spinlock.
void __put_mountpoint(mountpoint *mp, list_head *list) __must_hold(&mount_lock);
/// Takes a mount off its parent and its mountpoint, whose count the caller has now.
mountpoint *unhash_mnt(mount *mnt) __must_hold(&mount_lock);

} // namespace dcsim::inline DCSIM_BACKEND
