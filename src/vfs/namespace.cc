// SPDX-License-Identifier: GPL-2.0-only
//
// Attaching and detaching mounts.
//
// Locking: namespace_sem, held for writing, makes attaching and detaching one at a time, so only
// its holder marks a dentry DCACHE_MOUNTED. The mark goes under mount_lock, which is all that the
// last mntput() of a detached mount has when it lets go of what stayed mounted in it. mount_lock,
// written for the change itself, tells lockless walks to start over. namespace_unlock() waits a
// grace period before it gives back what the namespace held: until then mntput() may take its fast
// path, and an RCU walk may stand on what was detached.
//
// Mount against removal: whoever removes a directory holds its i_rwsem, marks it CANT_MOUNT and
// then detaches; lock_mount() takes the same i_rwsem before it looks at the mark. d_invalidate()
// takes no i_rwsem: it unhashes first and looks for mountpoints afterwards, and d_set_mounted()
// refuses below anything unhashed.
#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/err.h"
#include "mount_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

rw_semaphore namespace_sem;
mnt_namespace init_mnt_ns;

namespace
{

/// What namespace_unlock() gives back: references of the namespace, and mountpoints.
hlist_head unmounted __guarded_by(&namespace_sem);
list_head ex_mountpoints __guarded_by(&namespace_sem);

// Linux v6.12 fs/namespace.c namespace_lock().
void namespace_lock() __acquires(&namespace_sem)
{
    down_write(&namespace_sem);
}

// Linux v6.12 fs/namespace.c namespace_unlock().
void namespace_unlock() __releases(&namespace_sem)
{
    hlist_head taken_out;
    list_head mountpoints;

    INIT_LIST_HEAD(&mountpoints);
    hlist_move_list(&unmounted, &taken_out);
    list_splice_init(&ex_mountpoints, &mountpoints);
    up_write(&namespace_sem);

    shrink_dentry_list(&mountpoints);
    if (likely(hlist_empty(&taken_out)))
        return;
    // Whoever saw mnt_ns set in mntput() is through with it then.
    synchronize_rcu();
    while (mount *mnt = mount_from_umount(hlist_first(&taken_out))) {
        hlist_del_init(&mnt->mnt_umount);
        mntput(&mnt->mnt);
    }
}

// Linux v6.12 fs/namespace.c put_mountpoint().
void put_mountpoint(mountpoint *mp) __must_hold(&namespace_sem, &mount_lock)
{
    __put_mountpoint(mp, &ex_mountpoints);
}

// Linux v6.12 fs/namespace.c check_mnt(), and fs/mount.h is_mounted(): there is one namespace.
bool check_mnt(const mount *mnt)
{
    return READ_ONCE(mnt->mnt_ns) == &init_mnt_ns;
}

// Linux v6.12 fs/namespace.c umount_mnt().
void umount_mnt(mount *mnt) __must_hold(&namespace_sem, &mount_lock)
{
    put_mountpoint(unhash_mnt(mnt));
}

// Linux v6.12 fs/namespace.c mnt_set_mountpoint().
void mnt_set_mountpoint(mount *mnt, mountpoint *mp, mount *child)
    __must_hold(&namespace_sem, &mount_lock)
{
    mp->m_count++;
    mnt_add_count(mnt, 1);
    WRITE_ONCE(child->mnt_mountpoint, mp->m_dentry);
    WRITE_ONCE(child->mnt_parent, mnt);
    child->mnt_mp = mp;
    hlist_add_head(&child->mnt_mp_list, &mp->m_list);
}

// Linux v6.12 fs/namespace.c __attach_mnt().
void __attach_mnt(mount *mnt, mount *parent) __must_hold(&namespace_sem, &mount_lock)
{
    hlist_add_head_rcu(&mnt->mnt_hash, m_hash(&parent->mnt, READ_LOCKED(mnt->mnt_mountpoint)));
    list_add_tail(&mnt->mnt_child, &parent->mnt_mounts);
}

// Linux v6.12 fs/namespace.c mnt_add_to_ns(). Reduced: a list, where the kernel has a tree by id.
void mnt_add_to_ns(mnt_namespace *ns, mount *mnt) __must_hold(&namespace_sem, &mount_lock)
{
    WARN_ON(!list_empty(&mnt->mnt_list));
    WRITE_ONCE(mnt->mnt_ns, ns);
    list_add_tail(&mnt->mnt_list, &ns->mounts);
    ns->nr_mounts++;
}

// Linux v6.12 fs/namespace.c commit_tree(). Reduced: one mount; nobody polls the namespace.
void commit_tree(mount *mnt) __must_hold(&namespace_sem, &mount_lock)
{
    mount *parent = READ_LOCKED(mnt->mnt_parent);

    BUG_ON(parent == mnt);
    mnt_add_to_ns(READ_LOCKED(parent->mnt_ns), mnt);
    __attach_mnt(mnt, parent);
}

// Linux v6.12 fs/namespace.c next_mnt().
//
// The mount after `p` in the tree below `root`, parents before children; nullptr after the last.
mount *next_mnt(mount *p, mount *root) __must_hold(&mount_lock)
{
    list_head *next = list_first(&p->mnt_mounts);

    while (next == &p->mnt_mounts) {
        if (p == root)
            return nullptr;
        next = list_next(&p->mnt_child);
        p = READ_LOCKED(p->mnt_parent);
    }
    return mount_from_child(next);
}

// --- Detaching ---

enum umount_tree_flags : unsigned {
    UMOUNT_LAZY = 0,
    UMOUNT_SYNC = 1,      ///< nobody uses it: walkers must not take it up again
    UMOUNT_CONNECTED = 4, ///< what is mounted below stays where it is
};

// Linux v6.12 fs/namespace.c disconnect_mount(). Reduced: children are never locked.
bool disconnect_mount(const mount *mnt, unsigned how) __must_hold(&namespace_sem, &mount_lock)
{
    if (how & UMOUNT_SYNC)
        return true;
    if (!mnt_has_parent(mnt))
        return true;
    // Connected mounts hold no reference on what is below them, so that must be going too.
    if (!(READ_LOCKED(READ_LOCKED(mnt->mnt_parent)->mnt.mnt_flags) & MNT_UMOUNT))
        return true;
    return !(how & UMOUNT_CONNECTED);
}

// Linux v6.12 fs/namespace.c umount_tree(). Reduced: no propagation.
void umount_tree(mount *mnt, unsigned how) __must_hold(&namespace_sem, &mount_lock)
{
    list_head leaving;

    INIT_LIST_HEAD(&leaving);
    for (mount *p = mnt; p; p = next_mnt(p, mnt)) {
        WARN_ON(READ_LOCKED(p->mnt.mnt_flags) & MNT_UMOUNT);
        p->mnt.mnt_flags |= MNT_UMOUNT;
        list_move_tail(&p->mnt_list, &leaving);
    }
    for (list_head *entry = list_first(&leaving); entry != &leaving; entry = list_next(entry))
        list_del_init(&mount_from_list(entry)->mnt_child);

    while (!list_empty(&leaving)) {
        mount *p = mount_from_list(list_first(&leaving));
        bool disconnect;

        list_del_init(&p->mnt_list);
        if (mnt_namespace *ns = READ_LOCKED(p->mnt_ns))
            ns->nr_mounts--;
        WRITE_ONCE(p->mnt_ns, nullptr);
        if (how & UMOUNT_SYNC)
            p->mnt.mnt_flags |= MNT_SYNC_UMOUNT;

        disconnect = disconnect_mount(p, how);
        if (mnt_has_parent(p)) {
            mount *parent = READ_LOCKED(p->mnt_parent);

            mnt_add_count(parent, -1);
            // Who stays is found again when the parent's last reference goes.
            if (!disconnect)
                list_add_tail(&p->mnt_child, &parent->mnt_mounts);
            else
                umount_mnt(p);
        }
        if (disconnect)
            hlist_add_head(&p->mnt_umount, &unmounted);
    }
}

// Linux v6.12 fs/pnode.c propagate_mount_busy(), for a mount that is propagated nowhere.
bool mount_busy(const mount *mnt, int references) __must_hold(&namespace_sem, &mount_lock)
{
    return !list_empty(&mnt->mnt_mounts) || READ_ONCE(mnt->mnt_count) > references;
}

// Linux v6.12 fs/namespace.c can_umount(), without the capability.
bool can_umount(const mount *mnt)
{
    return check_mnt(mnt) && !(READ_ONCE(mnt->mnt.mnt_flags) & MNT_LOCKED);
}

// Linux v6.12 fs/namespace.c __detach_mounts().
void __detach_mounts(dentry *dentry)
{
    mountpoint *mp;

    namespace_lock();
    lock_mount_hash();
    mp = lookup_mountpoint(dentry);
    if (mp) {
        // Unhashed while it is still covered: no walk may find what was below a mount.
        // (v6.12.114; not in v6.12.)
        d_drop(dentry);
        while (!hlist_empty(&mp->m_list)) {
            mount *mnt = container_of(hlist_first(&mp->m_list), mount, mnt_mp_list);

            if (READ_LOCKED(mnt->mnt.mnt_flags) & MNT_UMOUNT) {
                // Connected to something that was detached before; its parent's count is right.
                umount_mnt(mnt);
                hlist_add_head(&mnt->mnt_umount, &unmounted);
            } else {
                umount_tree(mnt, UMOUNT_CONNECTED);
            }
        }
        put_mountpoint(mp);
    }
    unlock_mount_hash();
    namespace_unlock();
}

} // namespace

// Linux v6.12 fs/namespace.c do_umount(). Reduced: no expiry, no ->umount_begin(); the root of the
// caller is busy like any other, where the kernel makes its super block read-only.
int do_umount(mount *mnt, unsigned flags)
{
    int retval = -EINVAL;

    if (!can_umount(mnt))
        return retval;
    namespace_lock();
    lock_mount_hash();
    if (READ_LOCKED(mnt->mnt.mnt_flags) & MNT_LOCKED)
        goto out;
    if (flags & MNT_DETACH_FLAG) {
        if (!list_empty(&mnt->mnt_list))
            umount_tree(mnt, UMOUNT_LAZY);
        retval = 0;
    } else {
        smp_mb(); // pairs with the one in __legitimize_mnt()
        retval = -EBUSY;
        // The namespace's reference and the caller's.
        if (!mount_busy(mnt, 2)) {
            if (!list_empty(&mnt->mnt_list))
                umount_tree(mnt, UMOUNT_SYNC);
            retval = 0;
        }
    }
out:
    unlock_mount_hash();
    namespace_unlock();
    return retval;
}

// Linux v6.12 fs/mount.h detach_mounts().
void detach_mounts(dentry *dentry)
{
    if (!d_mountpoint(dentry))
        return;
    __detach_mounts(dentry);
}

// --- Attaching ---

namespace
{

// Linux v6.12 fs/namespace.c attach_mnt(). Reduced: never beneath.
void attach_mnt(mount *mnt, mount *parent, mountpoint *mp) __must_hold(&namespace_sem, &mount_lock)
{
    mnt_set_mountpoint(parent, mp, mnt);
    __attach_mnt(mnt, parent);
}

// Linux v6.12 fs/namespace.c attach_recursive_mnt(), count_mounts(). Reduced: a new mount is one,
// not a tree; no propagation.
//
// When `moving`, the count of the mountpoint that it leaves is the caller's afterwards.
int attach_recursive_mnt(mount *source, mount *dest, mountpoint *dest_mp, bool moving)
    __must_hold(&namespace_sem)
{
    // The kernel takes this to slip mounts below others, and finds out here that the root was
    // removed.
    mountpoint *source_mp = get_mountpoint(source->mnt.mnt_root);
    int error = 0;

    if (IS_ERR(source_mp))
        return PTR_ERR(source_mp);
    if (!moving && READ_LOCKED(dest->mnt_ns)->nr_mounts >= sysctl_mount_max)
        error = -ENOSPC;

    lock_mount_hash();
    if (!error) {
        if (moving) {
            unhash_mnt(source);
            attach_mnt(source, dest, dest_mp);
        } else {
            mnt_set_mountpoint(dest, dest_mp, source);
            commit_tree(source);
        }
    }
    put_mountpoint(source_mp);
    unlock_mount_hash();
    return error;
}

// Linux v6.12 fs/namespace.c graft_tree().
int graft_tree(mount *mnt, mount *parent, mountpoint *mp) __must_hold(&namespace_sem)
{
    if (d_is_dir(mp->m_dentry) != d_is_dir(mnt->mnt.mnt_root))
        return -ENOTDIR;
    return attach_recursive_mnt(mnt, parent, mp, false);
}

// Linux v6.12 fs/namespace.c do_lock_mount(). Reduced: never beneath.
//
// Moves `path` up to the top of what is mounted there. On success its dentry's i_rwsem and
// namespace_sem are held for writing until unlock_mount(); with ERR_PTR nothing is.
mountpoint *lock_mount(path *path) __context_unsafe("what is held depends on the result")
{
    mountpoint *mp = ERR_PTR(-ENOENT);
    inode *inode;

    for (;;) {
        vfsmount *mnt;

        // The reference on the dentry keeps it positive, and so its inode in place.
        inode = d_inode(path->dentry);
        if (!inode)
            return mp;
        inode_lock(inode);
        namespace_lock();
        if (unlikely(cant_mount(path->dentry) || !check_mnt(real_mount(path->mnt))))
            break;
        mnt = lookup_mnt(path);
        if (likely(!mnt)) {
            mp = get_mountpoint(path->dentry);
            if (IS_ERR(mp))
                break;
            return mp;
        }
        namespace_unlock();
        inode_unlock(inode);
        path_put(path);
        path->mnt = mnt;
        path->dentry = dget(mnt->mnt_root);
    }
    namespace_unlock();
    inode_unlock(inode);
    return mp;
}

// Linux v6.12 fs/namespace.c unlock_mount().
void unlock_mount(mountpoint *where) __context_unsafe("the other half of lock_mount()")
{
    inode_unlock(d_inode(where->m_dentry));
    read_seqlock_excl(&mount_lock);
    put_mountpoint(where);
    read_sequnlock_excl(&mount_lock);
    namespace_unlock();
}

// Linux v6.12 fs/namespace.c do_add_mount(), the tests.
int add_new_mount(mount *mnt, const path *where, mountpoint *mp) __must_hold(&namespace_sem)
{
    if (check_mnt(mnt) || READ_ONCE(mnt->mnt.mnt_flags) & MNT_UMOUNT)
        return -EINVAL;
    if (where->mnt->mnt_sb == mnt->mnt.mnt_sb && where->dentry == where->mnt->mnt_root)
        return -EBUSY;
    if (d_is_symlink(mnt->mnt.mnt_root))
        return -EINVAL;
    return graft_tree(mnt, real_mount(where->mnt), mp);
}

// Linux v6.12 fs/namespace.c do_loopback(), __do_loopback().
int add_bind_mount(const path *old, const path *where, mountpoint *mp) __must_hold(&namespace_sem)
{
    mount *mnt;
    int error;

    if (!check_mnt(real_mount(old->mnt)))
        return -EINVAL;
    mnt = clone_mnt(real_mount(old->mnt), old->dentry);
    if (!mnt)
        return -ENOMEM;
    mnt->mnt.mnt_flags &= ~MNT_LOCKED;

    error = graft_tree(mnt, real_mount(where->mnt), mp);
    if (error) {
        lock_mount_hash();
        umount_tree(mnt, UMOUNT_SYNC);
        unlock_mount_hash();
    }
    return error;
}

// Linux v6.12 fs/namespace.c do_move_mount(), the tests and the move.
int move_mount_to(const path *old, const path *where, mountpoint *mp) __must_hold(&namespace_sem)
{
    mount *mnt = real_mount(old->mnt);
    mountpoint *old_mp = mnt->mnt_mp;
    int error;

    if (!check_mnt(mnt) || !mnt_has_parent(mnt) || READ_ONCE(mnt->mnt.mnt_flags) & MNT_LOCKED)
        return -EINVAL;
    if (old->dentry != old->mnt->mnt_root || d_is_dir(where->dentry) != d_is_dir(old->dentry))
        return -EINVAL;
    for (mount *p = real_mount(where->mnt); mnt_has_parent(p); p = READ_ONCE(p->mnt_parent))
        if (p == mnt)
            return -ELOOP;

    error = attach_recursive_mnt(mnt, real_mount(where->mnt), mp, true);
    if (error)
        return error;
    read_seqlock_excl(&mount_lock);
    put_mountpoint(old_mp);
    read_sequnlock_excl(&mount_lock);
    return 0;
}

// Linux v6.12 fs/namespace.c path_overmounted().
bool path_overmounted(const path *where) __must_hold(&namespace_sem)
{
    bool covered;

    // The table does not change while namespace_sem is held for writing.
    rcu_read_lock();
    covered = __lookup_mnt(where->mnt, where->dentry) != nullptr;
    rcu_read_unlock();
    return covered;
}

/// Runs `add` with the place locked that is now on top at `where`.
template <typename Add>
int add_at(const path *where, Add add) __context_unsafe("lock_mount() locks or not")
{
    path place = *where;
    mountpoint *mp;
    int error;

    path_get(&place);
    mp = lock_mount(&place);
    if (IS_ERR(mp)) {
        error = PTR_ERR(mp);
    } else {
        error = add(&place, mp);
        unlock_mount(mp);
    }
    path_put(&place);
    return error;
}

} // namespace

// Linux v6.12 fs/namespace.c do_new_mount_fc(), do_add_mount().
int do_add_mount(mount *mnt, const path *where)
{
    return add_at(where, [mnt](const path *place, mountpoint *mp)
                             __must_hold(&namespace_sem) { return add_new_mount(mnt, place, mp); });
}

// Linux v6.12 fs/namespace.c finish_automount(). Reduced: nothing expires.
//
// Not by lock_mount(): something on top means that somebody was faster, not that this goes on top.
int finish_automount(vfsmount *m, const path *where)
    __context_unsafe("unlock_mount() ends what inode_lock() and namespace_lock() began")
{
    inode *inode = d_inode(where->dentry);
    int error = -ELOOP;
    mountpoint *mp;

    if (!m)
        return 0;
    if (IS_ERR(m))
        return PTR_ERR(m);
    if (m->mnt_sb == where->mnt->mnt_sb && m->mnt_root == where->dentry)
        goto discard;
    error = -ENOENT;
    if (unlikely(!inode))
        goto discard;

    inode_lock(inode);
    namespace_lock();
    if (unlikely(cant_mount(where->dentry)))
        goto discard_locked;
    error = 0;
    if (path_overmounted(where))
        goto discard_locked;
    mp = get_mountpoint(where->dentry);
    if (IS_ERR(mp)) {
        error = PTR_ERR(mp);
        goto discard_locked;
    }
    error = -EINVAL;
    if (check_mnt(real_mount(where->mnt))) {
        m->mnt_flags |= READ_ONCE(where->mnt->mnt_flags) & (MNT_READONLY | MNT_NOSYMFOLLOW);
        error = add_new_mount(real_mount(m), where, mp);
    }
    unlock_mount(mp);
    if (unlikely(error))
        goto discard;
    return 0;

discard_locked:
    namespace_unlock();
    inode_unlock(inode);
discard:
    mntput(m);
    return error;
}

// Linux v6.12 fs/namespace.c do_loopback().
int do_loopback(const path *old, const path *where)
{
    return add_at(where, [old](const path *place, mountpoint *mp) __must_hold(&namespace_sem) {
        return add_bind_mount(old, place, mp);
    });
}

// Linux v6.12 fs/namespace.c do_move_mount().
int do_move_mount(const path *old, const path *where)
{
    mount *parent = nullptr;
    int error;

    error = add_at(where, [&](const path *place, mountpoint *mp) __must_hold(&namespace_sem) {
        parent = READ_ONCE(real_mount(old->mnt)->mnt_parent);
        return move_mount_to(old, place, mp);
    });
    // The reference that the mount had on it.
    if (!error)
        mntput(&parent->mnt);
    return error;
}

// Linux v6.12 fs/namespace.c init_mount_tree(), put_mnt_ns(): the parts that concern the mounts.
void set_namespace_root(mount *mnt)
{
    namespace_lock();
    lock_mount_hash();
    if (mount *old = READ_LOCKED(init_mnt_ns.root))
        umount_tree(old, UMOUNT_LAZY);
    WRITE_ONCE(init_mnt_ns.root, nullptr);
    if (mnt && !WARN_ON(check_mnt(mnt) || READ_LOCKED(mnt->mnt.mnt_flags) & MNT_UMOUNT)) {
        mntget(&mnt->mnt);
        mnt->mnt.mnt_flags |= MNT_LOCKED;
        mnt_add_to_ns(&init_mnt_ns, mnt);
        WRITE_ONCE(init_mnt_ns.root, mnt);
    }
    unlock_mount_hash();
    namespace_unlock();
}

// --- Asking ---

namespace
{

// Linux v6.12 fs/namespace.c __is_local_mountpoint().
bool __is_local_mountpoint(const dentry *dentry)
{
    list_head *mounts = &init_mnt_ns.mounts;
    bool is_covered = false;

    down_read(&namespace_sem);
    for (list_head *entry = list_first(mounts); entry != mounts && !is_covered;
         entry = list_next(entry))
        is_covered = READ_ONCE(mount_from_list(entry)->mnt_mountpoint) == dentry;
    up_read(&namespace_sem);
    return is_covered;
}

// Linux v6.12 fs/namespace.c is_path_reachable().
bool is_path_reachable(mount *mnt, dentry *dentry, const path *root) __must_hold(&mount_lock)
{
    while (&mnt->mnt != root->mnt && mnt_has_parent(mnt)) {
        dentry = READ_LOCKED(mnt->mnt_mountpoint);
        mnt = READ_LOCKED(mnt->mnt_parent);
    }
    return &mnt->mnt == root->mnt && is_subdir(dentry, root->dentry);
}

} // namespace

// Linux v6.12 fs/mount.h is_local_mountpoint().
bool is_local_mountpoint(const dentry *dentry)
{
    if (!d_mountpoint(dentry))
        return false;
    return __is_local_mountpoint(dentry);
}

// Linux v6.12 fs/namespace.c path_is_under().
bool path_is_under(const path *path, const struct path *root)
{
    bool res;

    read_seqlock_excl(&mount_lock);
    res = is_path_reachable(real_mount(path->mnt), path->dentry, root);
    read_sequnlock_excl(&mount_lock);
    return res;
}

// Linux v6.12 fs/namespace.c mnt_init(), alloc_mnt_ns().
void namespace_init() __context_unsafe("nobody else is there yet")
{
    init_rwsem(&namespace_sem, "namespace_sem");
    INIT_HLIST_HEAD(&unmounted);
    INIT_LIST_HEAD(&ex_mountpoints);
    WRITE_ONCE(init_mnt_ns.root, nullptr);
    INIT_LIST_HEAD(&init_mnt_ns.mounts);
    init_mnt_ns.nr_mounts = 0;
}

} // namespace dcsim::inline DCSIM_BACKEND
