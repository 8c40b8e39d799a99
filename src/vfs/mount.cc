// SPDX-License-Identifier: GPL-2.0-only
//
// The life of a mount: making it, references, the last one; and finding what is mounted where.
//
// A reference can be taken in three ways. Who has one takes another without a lock. Who holds
// mount_lock may take one on what is attached. Who is in an RCU walk has only seen the mount, and
// asks __legitimize_mnt(), which raises the count first and then looks whether mount_lock has
// moved. Against it stand the two who draw conclusions from a count: mntput(), that it was the
// last, and do_umount(), that nobody uses the mount. Both take mount_lock first and read the count
// then. So either they see the walker's reference, or the walker sees mount_lock move.
//
// References are dropped without a lock as long as the namespace holds one as well: while mnt_ns is
// set, and for a grace period after (namespace_unlock()).
#include <new>

#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/err.h"
#include "mount_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

seqlock_t mount_lock;

namespace
{

kmem_cache *mnt_cache;

/// Attached mounts by parent and dentry; walked under RCU.
hlist_head *mount_hashtable;
unsigned m_hash_shift;
/// Mountpoints by dentry.
hlist_head *mountpoint_hashtable;
unsigned mp_hash_shift;

// Linux v6.12 fs/namespace.c mp_hash().
hlist_head *mp_hash(const dentry *dentry)
{
    unsigned long sum = reinterpret_cast<unsigned long>(dentry) / L1_CACHE_BYTES;

    sum += sum >> mp_hash_shift;
    return &mountpoint_hashtable[sum & ((1ul << mp_hash_shift) - 1)];
}

mount *mount_from_hash(hlist_node *node)
{
    return node ? container_of(node, mount, mnt_hash) : nullptr;
}

mountpoint *mountpoint_from_hash(hlist_node *node)
{
    return node ? container_of(node, mountpoint, m_hash) : nullptr;
}

// Linux v6.12 fs/namespace.c alloc_vfsmnt().
//
// Also what vfs_create_mount() and clone_mnt() have in common.
mount *alloc_vfsmnt(super_block *sb, dentry *root)
{
    void *memory = kmem_cache_alloc(mnt_cache);

    if (!memory)
        return nullptr;
    auto *mnt = new (memory) mount();

    WRITE_LOCKED(mnt->mnt_count, 1);
    INIT_LIST_HEAD(&mnt->mnt_mounts);
    INIT_LIST_HEAD(&mnt->mnt_child);
    INIT_LIST_HEAD(&mnt->mnt_list);
    mnt->mnt.mnt_sb = sb;
    mnt->mnt.mnt_root = dget(root);
    WRITE_LOCKED(mnt->mnt_mountpoint, root);
    WRITE_LOCKED(mnt->mnt_parent, mnt);
    return mnt;
}

} // namespace

// Linux v6.12 fs/namespace.c m_hash().
hlist_head *m_hash(const vfsmount *mnt, const dentry *dentry)
{
    unsigned long sum = reinterpret_cast<unsigned long>(mnt) / L1_CACHE_BYTES +
                        reinterpret_cast<unsigned long>(dentry) / L1_CACHE_BYTES;

    sum += sum >> m_hash_shift;
    return &mount_hashtable[sum & ((1ul << m_hash_shift) - 1)];
}

// --- Making ---

// Linux v6.12 fs/namespace.c vfs_create_mount(). Reduced: the super block is neither pinned nor
// told; no ids.
mount *vfs_create_mount(super_block *sb)
{
    return alloc_vfsmnt(sb, sb->s_root);
}

// Linux v6.12 fs/namespace.c clone_mnt(). Reduced: as vfs_create_mount(); no propagation.
mount *clone_mnt(mount *old, dentry *root)
{
    mount *mnt = alloc_vfsmnt(old->mnt.mnt_sb, root);

    if (mnt)
        WRITE_LOCKED(mnt->mnt.mnt_flags, READ_ONCE(old->mnt.mnt_flags) & ~MNT_UMOUNT);
    return mnt;
}

// --- References ---

// Linux v6.12 fs/namespace.c __legitimize_mnt().
int __legitimize_mnt(vfsmount *bastard, unsigned seq)
{
    mount *mnt;

    if (read_seqretry(&mount_lock, seq))
        return 1;
    if (!bastard)
        return 0;
    mnt = real_mount(bastard);
    mnt_add_count(mnt, 1);
    smp_mb(); // pairs with those in mnt_drop_ref() and do_umount()
    if (likely(!read_seqretry(&mount_lock, seq)))
        return 0;
    lock_mount_hash();
    // Somebody has counted without us and acts on it: this reference is to leave no trace.
    if (unlikely(READ_LOCKED(bastard->mnt_flags) & (MNT_SYNC_UMOUNT | MNT_DOOMED))) {
        mnt_add_count(mnt, -1);
        unlock_mount_hash();
        return 1;
    }
    unlock_mount_hash();
    return -1;
}

// Linux v6.12 fs/namespace.c mntget().
vfsmount *mntget(vfsmount *mnt)
{
    if (mnt)
        mnt_add_count(real_mount(mnt), 1);
    return mnt;
}

namespace
{

// Linux v6.12 fs/namespace.c legitimize_mnt().
bool legitimize_mnt(vfsmount *bastard, unsigned seq)
    __context_unsafe("leaves RCU for the mntput() and comes back")
{
    int res = __legitimize_mnt(bastard, seq);

    if (likely(!res))
        return true;
    if (unlikely(res < 0)) {
        rcu_read_unlock();
        mntput(bastard);
        rcu_read_lock();
    }
    return false;
}

// Linux v6.12 fs/namespace.c mntput_no_expire(), the decision.
//
// Drops a reference. True when it was the last: the mount is doomed and the caller's to clean up.
bool mnt_drop_ref(mount *mnt) __context_unsafe("leaves RCU in the middle")
{
    list_head ex_mountpoints;
    int count;

    rcu_read_lock();
    // Set means that the namespace's reference is there until this section ends at least, so ours
    // is not the last.
    if (likely(READ_ONCE(mnt->mnt_ns))) {
        mnt_add_count(mnt, -1);
        rcu_read_unlock();
        return false;
    }
    lock_mount_hash();
    // Pairs with the one in __legitimize_mnt(): who does not see that we have mount_lock has raised
    // the count by now.
    smp_mb();
    count = mnt_add_count(mnt, -1);
    if (count || unlikely(READ_LOCKED(mnt->mnt.mnt_flags) & MNT_DOOMED)) {
        WARN_ON(count < 0);
        rcu_read_unlock();
        unlock_mount_hash();
        return false;
    }
    mnt->mnt.mnt_flags |= MNT_DOOMED;
    rcu_read_unlock();

    INIT_LIST_HEAD(&ex_mountpoints);
    while (!list_empty(&mnt->mnt_mounts)) {
        mount *child = mount_from_child(list_first(&mnt->mnt_mounts));

        __put_mountpoint(unhash_mnt(child), &ex_mountpoints);
        hlist_add_head(&child->mnt_umount, &mnt->mnt_stuck_children);
    }
    unlock_mount_hash();
    shrink_dentry_list(&ex_mountpoints);
    return true;
}

// Linux v6.12 fs/namespace.c delayed_free_vfsmnt(), free_vfsmnt().
void delayed_free_vfsmnt(rcu_head *head)
{
    kmem_cache_free(mnt_cache, container_of(head, mount, mnt_rcu));
}

// Linux v6.12 fs/namespace.c cleanup_mnt().
//
// Children whose last reference goes with this go onto `doomed`.
void cleanup_mnt(mount *mnt, hlist_head *doomed)
{
    while (mount *child = mount_from_umount(hlist_first(&mnt->mnt_stuck_children))) {
        hlist_del_init(&child->mnt_umount);
        if (mnt_drop_ref(child))
            hlist_add_head(&child->mnt_umount, doomed);
    }
    dput(mnt->mnt.mnt_root);
    // RCU walks may stand on it still.
    call_rcu(&mnt->mnt_rcu, delayed_free_vfsmnt);
}

} // namespace

// Linux v6.12 fs/namespace.c mntput(), mntput_no_expire().
//
// A list instead of recursion, for mounts that stayed connected in long chains; the kernel's task
// work serves that purpose as well. Deviation: cleaned up here and now, not on the way back to user
// mode.
void mntput(vfsmount *mnt)
{
    hlist_head doomed;

    if (!mnt || !mnt_drop_ref(real_mount(mnt)))
        return;
    INIT_HLIST_HEAD(&doomed);
    hlist_add_head(&real_mount(mnt)->mnt_umount, &doomed);
    while (mount *victim = mount_from_umount(hlist_first(&doomed))) {
        hlist_del_init(&victim->mnt_umount);
        cleanup_mnt(victim, &doomed);
    }
}

// Linux v6.12 fs/namei.c path_get().
void path_get(const path *path)
{
    mntget(path->mnt);
    dget(path->dentry);
}

// Linux v6.12 fs/namei.c path_put().
void path_put(const path *path)
{
    dput(path->dentry);
    mntput(path->mnt);
}

// Linux v6.12 fs/namespace.c mnt_want_write(). Reduced, see the header.
int mnt_want_write(const vfsmount *mnt)
{
    return READ_ONCE(mnt->mnt_flags) & MNT_READONLY ? -EROFS : 0;
}

long mount_count()
{
    return kmem_cache_objects(mnt_cache);
}

// --- Finding ---

// Linux v6.12 fs/namespace.c __lookup_mnt().
mount *__lookup_mnt(vfsmount *mnt, const dentry *dentry)
{
    for (mount *p = mount_from_hash(hlist_first_rcu(m_hash(mnt, dentry))); p;
         p = mount_from_hash(hlist_next_rcu(&p->mnt_hash)))
        if (&READ_ONCE(p->mnt_parent)->mnt == mnt && READ_ONCE(p->mnt_mountpoint) == dentry)
            return p;
    return nullptr;
}

// Linux v6.12 fs/namespace.c lookup_mnt().
vfsmount *lookup_mnt(const path *where)
{
    mount *child;
    vfsmount *m;
    unsigned seq;

    rcu_read_lock();
    do {
        seq = read_seqbegin(&mount_lock);
        child = __lookup_mnt(where->mnt, where->dentry);
        m = child ? &child->mnt : nullptr;
    } while (!legitimize_mnt(m, seq));
    rcu_read_unlock();
    return m;
}

// Linux v6.12 fs/mount.h __path_is_mountpoint().
bool __path_is_mountpoint(const path *path)
{
    mount *m = __lookup_mnt(path->mnt, path->dentry);

    return m && likely(!(READ_ONCE(m->mnt.mnt_flags) & MNT_SYNC_UMOUNT));
}

// --- Mountpoints ---

// Linux v6.12 fs/namespace.c lookup_mountpoint().
mountpoint *lookup_mountpoint(const dentry *dentry)
{
    for (mountpoint *mp = mountpoint_from_hash(hlist_first(mp_hash(dentry))); mp;
         mp = mountpoint_from_hash(hlist_next(&mp->m_hash)))
        if (mp->m_dentry == dentry) {
            mp->m_count++;
            return mp;
        }
    return nullptr;
}

// Linux v6.12 fs/namespace.c get_mountpoint(). Reduced: the holder of namespace_sem is the only one
// who marks dentries, so -EBUSY, that somebody else was faster, does not happen.
mountpoint *get_mountpoint(dentry *dentry)
{
    mountpoint *mp;
    int ret;

    if (d_mountpoint(dentry)) {
        if (d_unlinked(dentry))
            return ERR_PTR(-ENOENT);
        read_seqlock_excl(&mount_lock);
        mp = lookup_mountpoint(dentry);
        read_sequnlock_excl(&mount_lock);
        // Without namespace_sem only the last mntput() of a mount unmarks what is mounted in it.
        if (mp)
            return mp;
    }

    void *memory = kmalloc(sizeof(mountpoint));
    if (!memory)
        return ERR_PTR(-ENOMEM);
    ret = d_set_mounted(dentry);
    if (ret) {
        kfree(memory);
        return ERR_PTR(ret);
    }

    mp = new (memory) mountpoint();
    mp->m_dentry = dget(dentry);
    mp->m_count = 1;
    read_seqlock_excl(&mount_lock);
    hlist_add_head(&mp->m_hash, mp_hash(dentry));
    read_sequnlock_excl(&mount_lock);
    return mp;
}

// Linux v6.12 fs/namespace.c __put_mountpoint().
void __put_mountpoint(mountpoint *mp, list_head *list)
{
    dentry *dentry = mp->m_dentry;

    if (--mp->m_count)
        return;
    BUG_ON(!hlist_empty(&mp->m_list));
    spin_lock(&dentry->d_lock);
    dentry->d_flags &= ~DCACHE_MOUNTED;
    spin_unlock(&dentry->d_lock);
    dput_to_list(dentry, list);
    hlist_del_init(&mp->m_hash);
    kfree(mp);
}

// Linux v6.12 fs/namespace.c unhash_mnt().
mountpoint *unhash_mnt(mount *mnt)
{
    mountpoint *mp = mnt->mnt_mp;

    WRITE_ONCE(mnt->mnt_parent, mnt);
    WRITE_ONCE(mnt->mnt_mountpoint, mnt->mnt.mnt_root);
    list_del_init(&mnt->mnt_child);
    hlist_del_init_rcu(&mnt->mnt_hash);
    hlist_del_init(&mnt->mnt_mp_list);
    mnt->mnt_mp = nullptr;
    return mp;
}

// --- Start and end ---

// Linux v6.12 fs/namespace.c mnt_init(), the tables and the cache.
int mount_init(const vfs_config &config)
{
    constexpr unsigned scale = 19;

    seqlock_init(&mount_lock, "mount_lock");
    namespace_init();
    mnt_cache = kmem_cache_create("mnt_cache", sizeof(mount), alignof(mount));
    if (!mnt_cache)
        return -ENOMEM;
    mount_hashtable = static_cast<hlist_head *>(
        alloc_large_system_hash(sizeof(hlist_head), config.mhash_entries, scale, &m_hash_shift));
    mountpoint_hashtable = static_cast<hlist_head *>(
        alloc_large_system_hash(sizeof(hlist_head), config.mphash_entries, scale, &mp_hash_shift));
    if (mount_hashtable && mountpoint_hashtable)
        return 0;

    vfs_leaks unused = {};
    mount_exit(&unused);
    return -ENOMEM;
}

void mount_exit(vfs_leaks *leaks)
{
    memory_free(mount_hashtable);
    mount_hashtable = nullptr;
    memory_free(mountpoint_hashtable);
    mountpoint_hashtable = nullptr;
    leaks->mounts += kmem_cache_destroy(mnt_cache);
    mnt_cache = nullptr;
}

} // namespace dcsim::inline DCSIM_BACKEND
