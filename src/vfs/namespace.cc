// SPDX-License-Identifier: GPL-2.0-only
//
// Attaching and detaching mounts, as far as it concerns the dcache: which dentries are mountpoints,
// and how paths lead from one mount up into the next.
//
// Locking: namespace_sem, held for writing, makes attaching and detaching one at a time, so between
// its two ends DCACHE_MOUNTED says exactly whether the table has a mount on that dentry.
// mount_lock, written for the change itself, tells lockless walks to start over. Taking both is
// what the kernel calls namespace_lock() and lock_mount_hash().
//
// Mount against removal: whoever removes a directory holds its i_rwsem, marks it CANT_MOUNT and
// then detaches; attach_mount() takes the same i_rwsem before it looks at the mark. d_invalidate()
// takes no i_rwsem: it unhashes first and looks for mountpoints afterwards, and d_set_mounted()
// refuses below anything unhashed.
//
// Reduced: struct mountpoint is gone. Each attached mount holds its own reference on the dentry,
// and the table of attached mounts is keyed by that dentry alone.
#include "dcsim/vfs/mount.h"

#include "dcache_internal.h"
#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/err.h"
#include "dcsim/kernel/hash.h"
#include "dcsim/kernel/rwsem.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/vfs/fs_struct.h"
#include "internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

seqlock_t mount_lock;
mnt_namespace init_mnt_ns;

namespace
{

constexpr unsigned MOUNT_HASH_BITS = 6;

/// Guards the shape of the namespace: what is attached where. Its holder may sleep and may take
/// mount_lock and what nests in that; it must not be holding mount_lock, nor wait for an i_rwsem,
/// because removals come here with theirs held.
rw_semaphore namespace_sem;

/// Attached mounts by mountpoint. Under mount_lock.
list_head mount_hashtable[1 << MOUNT_HASH_BITS];

list_head *mount_bucket(const dentry *mountpoint)
{
    return &mount_hashtable[hash_64(reinterpret_cast<unsigned long>(mountpoint), MOUNT_HASH_BITS)];
}

mount *mount_from_list(list_head *entry)
{
    return container_of(entry, mount, mnt_list);
}

bool mnt_has_parent(const mount *mnt)
{
    return READ_LOCKED(mnt->mnt_parent) != mnt;
}

/// Some mount on `dentry`, through whatever mount it is seen, or nullptr. namespace_sem or
/// mount_lock held.
mount *first_mount_on(const dentry *dentry)
{
    list_head *bucket = mount_bucket(dentry);

    for (list_head *entry = list_first(bucket); entry != bucket; entry = list_next(entry)) {
        mount *mnt = mount_from_list(entry);
        if (READ_LOCKED(mnt->mnt_mountpoint) == dentry)
            return mnt;
    }
    return nullptr;
}

// Linux v6.12 fs/namespace.c __lookup_mnt(). namespace_sem or mount_lock held.
mount *__lookup_mnt(const vfsmount *mnt, const dentry *dentry)
{
    list_head *bucket = mount_bucket(dentry);

    for (list_head *entry = list_first(bucket); entry != bucket; entry = list_next(entry)) {
        mount *p = mount_from_list(entry);
        if (&READ_LOCKED(p->mnt_parent)->mnt == mnt && READ_LOCKED(p->mnt_mountpoint) == dentry)
            return p;
    }
    return nullptr;
}

/// Is anything attached somewhere in this mount's tree? namespace_sem or mount_lock held.
bool has_child_mounts(const mount *mnt)
{
    for (list_head &bucket : mount_hashtable)
        for (list_head *entry = list_first(&bucket); entry != &bucket; entry = list_next(entry))
            if (READ_LOCKED(mount_from_list(entry)->mnt_parent) == mnt)
                return true;
    return false;
}

/// Is `mnt` this mount or attached somewhere below it? namespace_sem held.
bool is_in_tree_of(mount *mnt, const mount *top)
{
    while (mnt != top && mnt_has_parent(mnt))
        mnt = READ_LOCKED(mnt->mnt_parent);
    return mnt == top;
}

// Linux v6.12 fs/namespace.c get_mountpoint().
//
// Marks the dentry, unless another mount has it marked already. Only the holder of namespace_sem
// sets and clears the mark. Deviation: -EBUSY for a second mount at one place, where the kernel's
// lock_mount() steps onto the first one.
int get_mountpoint(const path *where) __must_hold(&namespace_sem)
{
    if (d_mountpoint(where->dentry)) {
        if (d_unlinked(where->dentry))
            return -ENOENT;
        return __lookup_mnt(where->mnt, where->dentry) ? -EBUSY : 0;
    }
    return d_set_mounted(where->dentry);
}

// Linux v6.12 fs/namespace.c do_lock_mount(), graft_tree() and do_move_mount(), the tests.
int may_attach(mount *mnt, const path *where) __must_hold(&namespace_sem)
{
    if (cant_mount(where->dentry))
        return -ENOENT;
    if (mnt_has_parent(mnt) || READ_LOCKED(init_mnt_ns.root) == mnt)
        return -EINVAL;
    if (is_in_tree_of(real_mount(where->mnt), mnt))
        return -ELOOP;
    if (d_is_dir(where->dentry) != d_is_dir(mnt->mnt.mnt_root))
        return -ENOTDIR;
    return 0;
}

// Linux v6.12 fs/namespace.c mnt_set_mountpoint().
void mnt_set_mountpoint(mount *mnt, const path *where) __must_hold(&namespace_sem, &mount_lock)
{
    WRITE_ONCE(mnt->mnt_mountpoint, dget(where->dentry));
    WRITE_ONCE(mnt->mnt_parent, real_mount(where->mnt));
    list_add_tail(&mnt->mnt_list, mount_bucket(where->dentry));
}

// Linux v6.12 fs/namespace.c umount_mnt(), with unhash_mnt() and __put_mountpoint().
//
// The mountpoint goes onto `list`: its last reference must not be dropped under a spinlock.
void umount_mnt(mount *mnt, list_head *list) __must_hold(&namespace_sem, &mount_lock)
{
    dentry *mountpoint = READ_LOCKED(mnt->mnt_mountpoint);

    WRITE_ONCE(mnt->mnt_parent, mnt);
    WRITE_ONCE(mnt->mnt_mountpoint, mnt->mnt.mnt_root);
    list_del_init(&mnt->mnt_list);
    if (!first_mount_on(mountpoint)) {
        spin_lock(&mountpoint->d_lock);
        mountpoint->d_flags &= ~DCACHE_MOUNTED;
        spin_unlock(&mountpoint->d_lock);
    }
    dput_to_list(mountpoint, list);
}

// Linux v6.12 fs/namespace.c __detach_mounts().
void __detach_mounts(dentry *dentry)
{
    mount *mnt;
    list_head ex_mountpoints;

    INIT_LIST_HEAD(&ex_mountpoints);
    down_write(&namespace_sem);
    write_seqlock(&mount_lock);
    mnt = first_mount_on(dentry);
    // Unhashed while it is still covered: no walk may find what was below a mount. (v6.12.114; not
    // in v6.12.)
    if (mnt)
        d_drop(dentry);
    for (; mnt; mnt = first_mount_on(dentry))
        umount_mnt(mnt, &ex_mountpoints);
    write_sequnlock(&mount_lock);
    up_write(&namespace_sem);
    shrink_dentry_list(&ex_mountpoints);
}

} // namespace

// Linux v6.12 fs/mount.h real_mount().
mount *real_mount(vfsmount *mnt)
{
    return container_of(mnt, mount, mnt);
}

// Linux v6.12 fs/namespace.c vfs_create_mount(). Reduced: the super block is not pinned.
mount *vfs_create_mount(super_block *sb)
{
    auto *mnt = static_cast<mount *>(kmalloc(sizeof(mount)));

    if (!mnt)
        return nullptr;
    mnt->mnt.mnt_sb = sb;
    mnt->mnt.mnt_root = dget(sb->s_root);
    WRITE_ONCE(mnt->mnt_mountpoint, mnt->mnt.mnt_root);
    WRITE_ONCE(mnt->mnt_parent, mnt);
    INIT_LIST_HEAD(&mnt->mnt_list);
    return mnt;
}

// Linux v6.12 fs/namespace.c init_mount_tree(), the part that concerns the namespace.
void set_namespace_root(mount *mnt)
{
    down_write(&namespace_sem);
    WARN_ON(mnt && mnt_has_parent(mnt));
    write_seqlock(&mount_lock);
    WRITE_ONCE(init_mnt_ns.root, mnt);
    write_sequnlock(&mount_lock);
    up_write(&namespace_sem);
}

// Linux v6.12 fs/namespace.c do_add_mount() and attach_recursive_mnt(), for one mount.
int attach_mount(mount *mnt, const path *where)
{
    inode *inode = d_inode(where->dentry);
    int error;

    if (!inode)
        return -ENOENT;
    // The caller's reference keeps the dentry positive, and so this inode in place.
    inode_lock(inode);
    down_write(&namespace_sem);
    error = may_attach(mnt, where);
    if (!error)
        error = get_mountpoint(where);
    if (!error) {
        write_seqlock(&mount_lock);
        mnt_set_mountpoint(mnt, where);
        write_sequnlock(&mount_lock);
    }
    up_write(&namespace_sem);
    inode_unlock(inode);
    return error;
}

// Linux v6.12 fs/namespace.c do_umount() with MNT_DETACH, for one mount.
void detach_mount(mount *mnt)
{
    list_head ex_mountpoints;

    INIT_LIST_HEAD(&ex_mountpoints);
    down_write(&namespace_sem);
    write_seqlock(&mount_lock);
    if (mnt_has_parent(mnt))
        umount_mnt(mnt, &ex_mountpoints);
    write_sequnlock(&mount_lock);
    up_write(&namespace_sem);
    shrink_dentry_list(&ex_mountpoints);
}

// Linux v6.12 fs/mount.h detach_mounts().
void detach_mounts(dentry *dentry)
{
    if (!d_mountpoint(dentry))
        return;
    __detach_mounts(dentry);
}

// Linux v6.12 fs/namespace.c cleanup_mnt().
void free_mount(mount *mnt)
{
    if (WARN_ON(READ_ONCE(mnt->mnt_parent) != mnt))
        detach_mount(mnt);
    if (READ_ONCE(init_mnt_ns.root) == mnt)
        set_namespace_root(nullptr);
    read_seqlock_excl(&mount_lock);
    WARN_ON(has_child_mounts(mnt));
    read_sequnlock_excl(&mount_lock);
    dput(mnt->mnt.mnt_root);
    // d_path() may be on its way through it.
    call_rcu(&mnt->mnt_rcu, [](rcu_head *head) { kfree(container_of(head, mount, mnt_rcu)); });
}

// Linux v6.12 fs/mount.h __path_is_mountpoint().
bool __path_is_mountpoint(const path *path)
{
    return __lookup_mnt(path->mnt, path->dentry) != nullptr;
}

// Linux v6.12 fs/namespace.c mnt_init().
void mount_init()
{
    seqlock_init(&mount_lock, "mount_lock");
    init_rwsem(&namespace_sem, "namespace_sem");
    for (list_head &bucket : mount_hashtable)
        INIT_LIST_HEAD(&bucket);
    WRITE_ONCE(init_mnt_ns.root, nullptr);
    spin_lock_init(&init_fs.lock, "fs_struct.lock");
    seqcount_init(&init_fs.seq);
}

} // namespace dcsim::inline DCSIM_BACKEND
