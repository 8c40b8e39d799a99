// SPDX-License-Identifier: GPL-2.0-only
//
// Crossing mounts: from a mountpoint down to the root of what is mounted on it, and from such a
// root up again.
//
// In RCU mode mount_lock's count is checked after every step across: had the mount been moved or
// taken away, no walk with references could have come this way.
#include "namei_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

// Linux v6.12 fs/namei.c path_connected().
//
// A rename can carry a directory out of the part of a tree that a bind mount shows. Whoever stands
// there must not climb: he would see what was never mounted.
bool path_connected(vfsmount *mnt, dentry *dentry)
{
    if (mnt->mnt_root == mnt->mnt_sb->s_root)
        return true;
    return is_subdir(dentry, mnt->mnt_root);
}

// Linux v6.12 fs/namei.c follow_up().
int follow_up(path *path)
{
    mount *mnt = real_mount(path->mnt);
    mount *parent;
    dentry *mountpoint;

    read_seqlock_excl(&mount_lock);
    parent = READ_LOCKED(mnt->mnt_parent);
    if (parent == mnt) {
        read_sequnlock_excl(&mount_lock);
        return 0;
    }
    mntget(&parent->mnt);
    mountpoint = dget(READ_LOCKED(mnt->mnt_mountpoint));
    read_sequnlock_excl(&mount_lock);
    dput(path->dentry);
    path->dentry = mountpoint;
    mntput(path->mnt);
    path->mnt = &parent->mnt;
    return 1;
}

// Linux v6.12 fs/namei.c choose_mountpoint_rcu().
//
// From the root of `m` up to the first mountpoint that is no root itself: a place with a parent.
// False when the walk's root or the top comes first.
static bool choose_mountpoint_rcu(mount *m, const path *root, path *path, unsigned *seqp)
    __must_hold_shared(rcu)
{
    while (mnt_has_parent(m)) {
        dentry *mountpoint = READ_ONCE(m->mnt_mountpoint);

        m = READ_ONCE(m->mnt_parent);
        if (unlikely(root->dentry == mountpoint && root->mnt == &m->mnt))
            break;
        if (mountpoint != m->mnt.mnt_root) {
            path->mnt = &m->mnt;
            path->dentry = mountpoint;
            *seqp = read_seqcount_begin(&mountpoint->d_seq);
            return true;
        }
    }
    return false;
}

// Linux v6.12 fs/namei.c choose_mountpoint().
static bool choose_mountpoint(mount *m, const path *root, path *path)
{
    bool found;

    rcu_read_lock();
    for (;;) {
        unsigned seq, mseq = read_seqbegin(&mount_lock);

        found = choose_mountpoint_rcu(m, root, path, &seq);
        if (unlikely(!found)) {
            if (!read_seqretry(&mount_lock, mseq))
                break;
        } else {
            if (likely(__legitimize_path(path, seq, mseq)))
                break;
            // Moved under our hands. What was taken is given back outside RCU.
            rcu_read_unlock();
            path_put(path);
            rcu_read_lock();
        }
    }
    rcu_read_unlock();
    return found;
}

// Linux v6.12 fs/namei.c follow_automount().
//
// 0: try again at the same place, which is covered now. -EISDIR: stop here, without an error.
static int follow_automount(path *path, int *count, unsigned lookup_flags)
{
    dentry *dentry = path->dentry;

    // A mere look at the directory does not set anything in motion.
    if (!(lookup_flags &
          (LOOKUP_PARENT | LOOKUP_DIRECTORY | LOOKUP_OPEN | LOOKUP_CREATE | LOOKUP_AUTOMOUNT)) &&
        d_inode(dentry))
        return -EISDIR;
    if (lookup_flags & LOOKUP_NO_XDEV)
        return -EXDEV;
    if (count && (*count)++ >= MAXSYMLINKS)
        return -ELOOP;

    return finish_automount(dentry->d_op->d_automount(path), path);
}

// Linux v6.12 fs/namei.c __traverse_mounts().
//
// The dentry is pinned, not locked, and a negative one may turn positive at any time: its flags are
// loaded with acquire, so that a type seen in them comes with its inode.
static int __traverse_mounts(path *path, unsigned flags, bool *jumped, int *count,
                             unsigned lookup_flags)
{
    vfsmount *mnt = path->mnt;
    bool need_mntput = false;
    int ret = 0;

    while (flags & DCACHE_MANAGED_DENTRY) {
        if (flags & DCACHE_MANAGE_TRANSIT) {
            if (lookup_flags & LOOKUP_NO_XDEV) {
                ret = -EXDEV;
                break;
            }
            ret = path->dentry->d_op->d_manage(path, false);
            flags = smp_load_acquire(&path->dentry->d_flags);
            if (ret < 0)
                break;
        }
        if (flags & DCACHE_MOUNTED) {
            vfsmount *mounted = lookup_mnt(path);

            // Maybe it is mounted there through another mount only.
            if (mounted) {
                dput(path->dentry);
                if (need_mntput)
                    mntput(path->mnt);
                path->mnt = mounted;
                path->dentry = dget(mounted->mnt_root);
                flags = READ_ONCE(path->dentry->d_flags);
                need_mntput = true;
                continue;
            }
        }
        if (!(flags & DCACHE_NEED_AUTOMOUNT))
            break;
        ret = follow_automount(path, count, lookup_flags);
        flags = smp_load_acquire(&path->dentry->d_flags);
        if (ret < 0)
            break;
    }

    if (ret == -EISDIR)
        ret = 0;
    // Mounts may have been moved so that the way down led back to where it began.
    if (need_mntput && path->mnt == mnt)
        mntput(path->mnt);
    if (!ret && unlikely(d_flags_negative(flags)))
        ret = -ENOENT;
    *jumped = need_mntput;
    return ret;
}

// Linux v6.12 fs/namei.c traverse_mounts().
int traverse_mounts(path *path, bool *jumped, int *count, unsigned lookup_flags)
{
    unsigned flags = smp_load_acquire(&path->dentry->d_flags);

    if (likely(!(flags & DCACHE_MANAGED_DENTRY))) {
        *jumped = false;
        return unlikely(d_flags_negative(flags)) ? -ENOENT : 0;
    }
    return __traverse_mounts(path, flags, jumped, count, lookup_flags);
}

// Linux v6.12 fs/namei.c follow_down_one().
int follow_down_one(path *path)
{
    vfsmount *mounted = lookup_mnt(path);

    if (!mounted)
        return 0;
    dput(path->dentry);
    mntput(path->mnt);
    path->mnt = mounted;
    path->dentry = dget(mounted->mnt_root);
    return 1;
}

// Linux v6.12 fs/namei.c follow_down().
int follow_down(path *path, unsigned flags)
{
    vfsmount *mnt = path->mnt;
    bool jumped;
    int ret = traverse_mounts(path, &jumped, nullptr, flags);

    if (path->mnt != mnt)
        mntput(mnt);
    return ret;
}

// Linux v6.12 fs/namei.c __follow_mount_rcu().
//
// False: it has to block, or mount_lock moved. Then `path` and nd->next_seq may be anything.
static bool __follow_mount_rcu(nameidata *nd, path *path) __must_hold_shared(rcu)
{
    dentry *dentry = path->dentry;
    unsigned flags = READ_ONCE(dentry->d_flags);

    if (likely(!(flags & DCACHE_MANAGED_DENTRY)))
        return true;
    if (unlikely(nd->flags & LOOKUP_NO_XDEV))
        return false;

    for (;;) {
        if (unlikely(flags & DCACHE_MANAGE_TRANSIT)) {
            int res = dentry->d_op->d_manage(path, true);

            if (res)
                return res == -EISDIR;
            flags = READ_ONCE(dentry->d_flags);
        }
        if (flags & DCACHE_MOUNTED) {
            mount *mounted = __lookup_mnt(path->mnt, dentry);

            if (mounted) {
                path->mnt = &mounted->mnt;
                dentry = path->dentry = mounted->mnt.mnt_root;
                nd->state |= ND_JUMPED;
                nd->next_seq = read_seqcount_begin(&dentry->d_seq);
                flags = READ_ONCE(dentry->d_flags);
                if (read_seqretry(&mount_lock, nd->m_seq))
                    return false;
                continue;
            }
            // Not found is believed only if nothing was attached meanwhile.
            if (read_seqretry(&mount_lock, nd->m_seq))
                return false;
        }
        return !(flags & DCACHE_NEED_AUTOMOUNT);
    }
}

// Linux v6.12 fs/namei.c handle_mounts().
int handle_mounts(nameidata *nd, dentry *dentry, path *path)
{
    bool jumped;
    int ret;

    path->mnt = nd->path.mnt;
    path->dentry = dentry;
    if (nd->flags & LOOKUP_RCU) {
        unsigned seq = nd->next_seq;

        assert_rcu_mode(nd);
        if (likely(__follow_mount_rcu(nd, path)))
            return 0;
        path->mnt = nd->path.mnt;
        path->dentry = dentry;
        nd->next_seq = seq;
        if (!try_to_unlazy_next(nd, dentry))
            return -ECHILD;
    }
    ret = traverse_mounts(path, &jumped, &nd->total_link_count, nd->flags);
    if (jumped) {
        if (unlikely(nd->flags & LOOKUP_NO_XDEV))
            ret = -EXDEV;
        else
            nd->state |= ND_JUMPED;
    }
    if (unlikely(ret)) {
        dput(path->dentry);
        if (path->mnt != nd->path.mnt)
            mntput(path->mnt);
    }
    return ret;
}

// Linux v6.12 fs/namei.c follow_dotdot_rcu().
dentry *follow_dotdot_rcu(nameidata *nd)
{
    dentry *parent, *old;

    if (path_equal(&nd->path, &nd->root))
        goto in_root;
    if (unlikely(nd->path.dentry == nd->path.mnt->mnt_root)) {
        path path;
        unsigned seq;

        if (!choose_mountpoint_rcu(real_mount(nd->path.mnt), &nd->root, &path, &seq))
            goto in_root;
        if (unlikely(nd->flags & LOOKUP_NO_XDEV))
            return ERR_PTR(-ECHILD);
        nd->path = path;
        nd->inode = d_inode_rcu(path.dentry);
        nd->seq = seq;
        if (read_seqretry(&mount_lock, nd->m_seq))
            return ERR_PTR(-ECHILD);
        // The mount did not move, so it pinned its mountpoint: inode and seq belong together.
    }
    old = nd->path.dentry;
    parent = READ_ONCE(old->d_parent);
    nd->next_seq = read_seqcount_begin(&parent->d_seq);
    // A rename between the two loads: `parent` may never have been above what we stand on.
    if (read_seqcount_retry(&old->d_seq, nd->seq))
        return ERR_PTR(-ECHILD);
    if (unlikely(!path_connected(nd->path.mnt, parent)))
        return ERR_PTR(-ECHILD);
    return parent;

in_root:
    if (read_seqretry(&mount_lock, nd->m_seq))
        return ERR_PTR(-ECHILD);
    if (unlikely(nd->flags & LOOKUP_BENEATH))
        return ERR_PTR(-ECHILD);
    nd->next_seq = nd->seq;
    return nd->path.dentry;
}

// Linux v6.12 fs/namei.c follow_dotdot().
dentry *follow_dotdot(nameidata *nd)
{
    dentry *parent;

    if (path_equal(&nd->path, &nd->root))
        goto in_root;
    if (unlikely(nd->path.dentry == nd->path.mnt->mnt_root)) {
        path path;

        if (!choose_mountpoint(real_mount(nd->path.mnt), &nd->root, &path))
            goto in_root;
        path_put(&nd->path);
        nd->path = path;
        nd->inode = d_inode(path.dentry);
        if (unlikely(nd->flags & LOOKUP_NO_XDEV))
            return ERR_PTR(-EXDEV);
    }
    parent = dget_parent(nd->path.dentry);
    if (unlikely(!path_connected(nd->path.mnt, parent))) {
        dput(parent);
        return ERR_PTR(-ENOENT);
    }
    return parent;

in_root:
    if (unlikely(nd->flags & LOOKUP_BENEATH))
        return ERR_PTR(-EXDEV);
    return dget(nd->path.dentry);
}

} // namespace dcsim::inline DCSIM_BACKEND
