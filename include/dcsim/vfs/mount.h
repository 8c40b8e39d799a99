// SPDX-License-Identifier: GPL-2.0-only
//
// Mounts, as far as mountpoints concern the dcache. Source: fs/mount.h, fs/namespace.c. Reduced:
// one namespace, no propagation, no flags, no reference counts: a mount belongs to whoever made it.
//
// Locking
//   namespace_sem (private)   held for writing while anything is attached or detached
//   mount_lock guards         where each mount is attached, and the table of attached mounts
//
// Order, outer to inner: a mountpoint's i_rwsem, namespace_sem, mount_lock, rename_lock, d_lock.
#pragma once

#include "dcsim/annotations.h"
#include "dcsim/kernel/list.h"
#include "dcsim/kernel/once.h"
#include "dcsim/kernel/rcupdate.h"
#include "dcsim/kernel/seqlock.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct dentry;
struct super_block;

/// One visible tree. Part of struct mount.
struct vfsmount {
    dentry *mnt_root; ///< constant; holds a reference
    super_block *mnt_sb;
};

/// A place: a dentry as seen through a mount. References are the holder's business.
struct path {
    vfsmount *mnt;
    struct dentry *dentry;
};

struct mount {
    // Walks upwards read these two under RCU and check mount_lock.
    once<mount *> mnt_parent;      ///< itself when not attached
    once<dentry *> mnt_mountpoint; ///< holds a reference while attached; else mnt_root, without
    vfsmount mnt;
    list_head mnt_list; ///< in the table of attached mounts, under mount_lock
    rcu_head mnt_rcu;
};

/// The mounts that paths are made of.
struct mnt_namespace {
    once<mount *> root; ///< the mount at the top; nullptr until there is one
};

/// Guards the tree of mounts: where each is attached. Readers that walk upwards use it as a
/// sequence lock. Outside rename_lock and every d_lock; its holder must not sleep.
extern seqlock_t mount_lock;
/// The only namespace.
extern mnt_namespace init_mnt_ns;

/// The mount a vfsmount is part of.
mount *real_mount(vfsmount *mnt);

/// A mount of `sb` that is attached nowhere: the top of a tree. Takes a reference on its root.
/// nullptr when memory is short.
mount *vfs_create_mount(super_block *sb);
/// Makes an unattached mount the top of the namespace; nullptr leaves it empty.
void set_namespace_root(mount *mnt);
/// Attaches `mnt` at `where`. 0, or
///   -ENOENT   nothing may be mounted there any more: removed, dropped, or below a dropped one
///   -EBUSY    something is mounted at exactly this place (mount on top of its root instead)
///   -EINVAL   `mnt` is attached already
///   -ELOOP    `where` is in the tree of mounts below `mnt`
///   -ENOTDIR  a directory on a file, or a file on a directory
/// Takes a reference on the mountpoint. The caller has a reference on `where` and keeps both mounts
/// alive. Sleeps.
int attach_mount(mount *mnt, const path *where);
/// Detaches a mount from its mountpoint, if it is attached. What is mounted below stays attached to
/// it. Sleeps.
void detach_mount(mount *mnt);
/// Detaches everything mounted on `dentry`, seen through whatever mount, and unhashes it before
/// that if there is anything. Sleeps.
void detach_mounts(dentry *dentry);
/// Frees a detached mount, below which nothing is mounted, and its reference on the root. Sleeps.
void free_mount(mount *mnt);
/// Is something mounted at exactly this place? mount_lock held.
bool __path_is_mountpoint(const path *path);

} // namespace dcsim::inline DCSIM_BACKEND
