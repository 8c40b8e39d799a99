// SPDX-License-Identifier: GPL-2.0-only
//
// Mounts: which tree is seen where, and how paths lead from one tree into the next. Source:
// fs/mount.h, include/linux/mount.h and fs/namespace.c of Linux v6.12. Reduced: one namespace, no
// propagation, no expiry, no idmaps; a mount does not hold its super block, and its count is one
// word, not one per CPU.
//
// Locking
//   namespace_sem (private)   held for writing while anything is attached or detached
//   mount_lock guards         where each mount is attached, the two hash tables, the internal bits
//                             of mnt_flags, the last decrement of mnt_count
//
// Order, outer to inner: a mountpoint's i_rwsem, namespace_sem, mount_lock, rename_lock, d_lock.
//
// Lifetime: a mount is made with one reference. In the namespace, the namespace holds one, each
// mount attached to it holds one, and every path holds one. umount_tree() takes it out; after a
// grace period the namespace's reference goes. The last mntput() marks the mount MNT_DOOMED under
// mount_lock, and an RCU walker that comes too late finds that in __legitimize_mnt(). A mount that
// was in the namespace once does not come back.
#pragma once

#include <cstddef>

#include "dcsim/annotations.h"
#include "dcsim/kernel/list.h"
#include "dcsim/kernel/once.h"
#include "dcsim/kernel/rcupdate.h"
#include "dcsim/kernel/seqlock.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct dentry;
struct mnt_namespace;
struct mountpoint;
struct super_block;

/// vfsmount::mnt_flags. Values are v6.12's.
enum mount_flags : unsigned {
    MNT_READONLY = 0x40,
    MNT_NOSYMFOLLOW = 0x80,
    MNT_LOCKED = 0x800000,       ///< not to be umounted: the top of the namespace
    MNT_DOOMED = 0x1000000,      ///< the last reference is gone
    MNT_SYNC_UMOUNT = 0x2000000, ///< umounted and waited for: no walker may take it up again
    MNT_UMOUNT = 0x8000000,      ///< was taken out of the namespace
};

/// umount flags. Values are the system call's.
enum umount_flags : unsigned {
    MNT_FORCE_FLAG = 1,
    MNT_DETACH_FLAG = 2, ///< lazy: out of sight now, gone with its last user
    UMOUNT_NOFOLLOW_FLAG = 8,
};

/// One visible tree. Part of struct mount.
struct vfsmount {
    dentry *mnt_root; ///< constant; holds a reference
    super_block *mnt_sb;
    once<unsigned> mnt_flags;
};

/// A place: a dentry as seen through a mount. References are the holder's business.
struct path {
    vfsmount *mnt;
    struct dentry *dentry;
};

inline bool path_equal(const path *a, const path *b)
{
    return a->mnt == b->mnt && a->dentry == b->dentry;
}

/// The first cache line is what a walk reads.
struct alignas(L1_CACHE_BYTES) mount {
    hlist_node mnt_hash; ///< in the table of attached mounts; walked under RCU, changed under
                         ///< mount_lock
    // Walks upwards read these two under RCU and check mount_lock.
    once<mount *> mnt_parent; ///< itself when not attached; holds a reference unless MNT_UMOUNT
    once<dentry *> mnt_mountpoint; ///< mnt_mp's dentry; mnt_root when not attached
    vfsmount mnt;
    once<mnt_namespace *> mnt_ns; ///< nullptr: not in the namespace. Under mount_lock

    once<int> mnt_count;    ///< references; to zero only under mount_lock
    mountpoint *mnt_mp;     ///< where it is attached, with one of its counts. Under mount_lock
    hlist_node mnt_mp_list; ///< with the others on the same dentry. Under mount_lock
    list_head mnt_mounts;   ///< children, by mnt_child. Under mount_lock
    list_head mnt_child;    ///< in the parent's mnt_mounts
    list_head mnt_list;     ///< in the namespace's list. Under namespace_sem and mount_lock
    hlist_node mnt_umount;  ///< private to whoever will drop the namespace's reference
    hlist_head mnt_stuck_children; ///< children that stayed connected to the end, by mnt_umount
    rcu_head mnt_rcu;
};
static_assert(offsetof(mount, mnt_count) == L1_CACHE_BYTES);

/// The mounts that paths are made of.
struct mnt_namespace {
    once<mount *> root; ///< the mount at the top; nullptr until there is one
    list_head mounts;   ///< all of them, by mnt_list. Under namespace_sem
    unsigned nr_mounts; ///< how many. Under namespace_sem
};

/// The sysctl fs.mount-max: mounts that the namespace may hold.
inline constexpr unsigned sysctl_mount_max = 100000;

/// Guards the tree of mounts: where each is attached. Readers that walk it use it as a sequence
/// lock. Outside rename_lock and every d_lock; its holder must not sleep.
extern seqlock_t mount_lock;
/// The only namespace.
extern mnt_namespace init_mnt_ns;

/// The mount a vfsmount is part of.
inline mount *real_mount(vfsmount *mnt)
{
    return container_of(mnt, mount, mnt);
}
/// Is it attached somewhere?
inline bool mnt_has_parent(const mount *mnt)
{
    return READ_ONCE(mnt->mnt_parent) != mnt;
}

// --- References ---

/// One more reference; the caller has one, or mount_lock and knowledge that it is attached. nullptr
/// is passed through. Returns its argument.
vfsmount *mntget(vfsmount *mnt);
/// Drops a reference; nullptr is fine. The last one frees the mount after a grace period and drops
/// its root at once. Sleeps.
void mntput(vfsmount *mnt);
/// One more reference on both halves. Linux v6.12 fs/namei.c.
void path_get(const path *path);
/// Drops the references of both halves; halves that are nullptr are fine. Sleeps.
void path_put(const path *path);
/// For an RCU walker that wants to keep `mnt` (nullptr is fine), seen when mount_lock had `seq`.
/// 0: referenced, and still attached as then. >0: not referenced. <0: referenced, but mount_lock
/// moved: mntput() it once RCU is left.
int __legitimize_mnt(vfsmount *mnt, unsigned seq) __must_hold_shared(rcu);

// --- Finding ---

/// The mount attached at (mnt, dentry), or nullptr. Without a reference: mount_lock held, or RCU
/// and a look at mount_lock afterwards.
mount *__lookup_mnt(vfsmount *mnt, const dentry *dentry);
/// The mount attached at `where`, referenced, or nullptr.
vfsmount *lookup_mnt(const path *where);
/// Is something mounted at exactly this place? mount_lock held, or RCU.
bool __path_is_mountpoint(const path *path);
/// Is something in the namespace mounted on `dentry`, through whatever mount it is seen?
bool is_local_mountpoint(const dentry *dentry);
/// Is `path` at or below `root`, across mounts? The caller pins both.
bool path_is_under(const path *path, const struct path *root);

// --- Making, attaching, detaching ---

/// A mount of `sb` that is attached nowhere, with one reference for the caller. Takes a reference
/// on its root dentry. nullptr when memory is short. The super block must outlive it.
mount *vfs_create_mount(super_block *sb);
/// The same for the part of a tree that begins at `root`, with the flags of `old`.
mount *clone_mnt(mount *old, dentry *root);
/// Makes a new mount the top of the namespace, which takes a reference of its own. What was there
/// is detached first, with everything mounted on it; nullptr: and nothing takes its place. Sleeps.
void set_namespace_root(mount *mnt);
/// Mounts `sb` at the top of the namespace and makes it root and working directory of init_task:
/// what a program does before its first path. 0 or -ENOMEM. Sleeps. Linux v6.12.
int init_mount_tree(super_block *sb);
/// The reverse: init_task has no root any more, and nothing is mounted. The other tasks, and open
/// files, have gone before. Sleeps.
void exit_mount_tree();
/// Attaches `mnt` at `where`, or on top of what is mounted there. On success the caller's reference
/// is the namespace's. 0, or
///   -ENOENT   nothing may be mounted there any more: removed, dropped, below a dropped one, or
///             in a mount that is not in the namespace. Also when the root of `mnt` is unlinked
///   -EBUSY    the same file system is mounted there already, and on top
///   -EINVAL   `mnt` is or was attached somewhere, or its root is a symbolic link
///   -ENOTDIR  a directory on a file, or a file on a directory
///   -ENOSPC   there are sysctl_mount_max mounts already
///   -ENOMEM
/// The caller has references on `where`. Sleeps.
int do_add_mount(mount *mnt, const path *where);
/// Attaches what ->d_automount() returned at `where`, with the MNT_READONLY and MNT_NOSYMFOLLOW of
/// the mount it is in. Consumes the reference on `m`. 0: it is there, or somebody else's is, or `m`
/// is nullptr; the error that `m` is; -ELOOP when it would mount a directory on itself; -EINVAL in
/// a mount that is not in the namespace; -ENOENT, -ENOTDIR, -ENOSPC and -ENOMEM as do_add_mount().
/// The caller has references on `where`. Sleeps. Linux v6.12.
int finish_automount(vfsmount *m, const path *where);
/// Mounts the tree at `old` at `where` as well (MS_BIND, without what is mounted in it). 0, the
/// errors of do_add_mount(), -EINVAL when `old` is in no mount of the namespace. Sleeps.
int do_loopback(const path *old, const path *where);
/// Moves a mount, with what is mounted on it, to `where` (MS_MOVE). `old` is its root. 0; -EINVAL
/// when it is not, when it is attached nowhere, or for a directory on a file or a file on a
/// directory; -ELOOP when `where` is in what would move; -ENOENT and -ENOMEM as do_add_mount().
/// Sleeps.
int do_move_mount(const path *old, const path *where);
/// Detaches a mount: with MNT_DETACH_FLAG, whatever uses it, and with it each mount below it.
/// Without: -EBUSY while there is a reference besides the caller's and the namespace's, or
/// something is mounted on it. -EINVAL: not in the namespace, or its top. The caller has a
/// reference, which stays. Sleeps.
int do_umount(mount *mnt, unsigned flags);
/// Detaches everything mounted on `dentry`, seen through whatever mount, and unhashes it before
/// that if there is anything. What is mounted below stays connected to what was detached, until
/// that is gone. Sleeps.
void detach_mounts(dentry *dentry);
/// Mounts that exist, attached or not, freed ones until the end of their grace period. Exact only
/// at rest.
long mount_count();

/// May the mount be written to? 0 or -EROFS; nothing to give back (reduced: a mount does not turn
/// read-only while it is used).
int mnt_want_write(const vfsmount *mnt);

} // namespace dcsim::inline DCSIM_BACKEND
