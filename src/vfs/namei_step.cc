// SPDX-License-Identifier: GPL-2.0-only
//
// One component of a walk.
//
// In RCU mode each step is: find the child and sample its d_seq, then check the parent's. After
// that check the child was under that name in that parent while the parent was what the walk
// thought it was; what is read of the child afterwards is believed once the child's own d_seq has
// been checked, which the next step does.
#include "namei_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

// Linux v6.12 fs/namei.c lookup_fast().
//
// A rename may hide the name from either form of the lookup. rename_lock is not consulted: a miss
// only means that the slow way is taken, which does.
dentry *lookup_fast(nameidata *nd)
{
    dentry *parent = nd->path.dentry;
    dentry *dentry;
    int status;

    if (nd->flags & LOOKUP_RCU) {
        assert_rcu_mode(nd);
        dentry = __d_lookup_rcu(parent, &nd->last, &nd->next_seq);
        if (unlikely(!dentry)) {
            if (!try_to_unlazy(nd))
                return ERR_PTR(-ECHILD);
            return nullptr;
        }
        // The parent did not change until after the child's d_seq was sampled: it was its child.
        if (read_seqcount_retry(&parent->d_seq, nd->seq))
            return ERR_PTR(-ECHILD);

        status = d_revalidate(nd->inode, &nd->last, dentry, nd->flags);
        if (likely(status > 0))
            return dentry;
        if (!try_to_unlazy_next(nd, dentry))
            return ERR_PTR(-ECHILD);
        if (status == -ECHILD)
            status = d_revalidate(nd->inode, &nd->last, dentry, nd->flags);
    } else {
        dentry = __d_lookup(parent, &nd->last);
        if (unlikely(!dentry))
            return nullptr;
        status = d_revalidate(nd->inode, &nd->last, dentry, nd->flags);
    }
    if (unlikely(status <= 0)) {
        if (!status)
            d_invalidate(dentry);
        dput(dentry);
        return ERR_PTR(status);
    }
    return dentry;
}

// Linux v6.12 fs/namei.c may_lookup().
int may_lookup(nameidata *nd)
{
    const unsigned lazy = nd->flags & LOOKUP_RCU ? unsigned{MAY_NOT_BLOCK} : 0;
    int error = inode_permission(nd->inode, lazy | MAY_EXEC);

    if (likely(!error) || !lazy)
        return error;
    // A refusal is only final if it came from where the walk really is.
    if (!try_to_unlazy(nd))
        return -ECHILD;
    if (error != -ECHILD)
        return error;
    return inode_permission(nd->inode, MAY_EXEC);
}

// Linux v6.12 fs/namei.c step_into().
const char *step_into(nameidata *nd, unsigned flags, dentry *dentry)
{
    path path;
    inode *inode;
    int error = handle_mounts(nd, dentry, &path);

    if (error < 0)
        return ERR_PTR(error);
    inode = d_inode_rcu(path.dentry);
    if (likely(!d_is_symlink(path.dentry)) ||
        ((flags & WALK_TRAILING) && !(nd->flags & LOOKUP_FOLLOW)) || (flags & WALK_NOFOLLOW)) {
        if (nd->flags & LOOKUP_RCU) {
            // Type and inode above are of one moment, and it was still the child we looked for.
            if (read_seqcount_retry(&path.dentry->d_seq, nd->next_seq))
                return ERR_PTR(-ECHILD);
            if (unlikely(!inode))
                return ERR_PTR(-ENOENT);
        } else {
            dput(nd->path.dentry);
            if (nd->path.mnt != path.mnt)
                mntput(nd->path.mnt);
        }
        nd->path = path;
        nd->inode = inode;
        nd->seq = nd->next_seq;
        return nullptr;
    }
    if (nd->flags & LOOKUP_RCU) {
        // That it is a link was read from a dentry that might be something else by now.
        if (read_seqcount_retry(&path.dentry->d_seq, nd->next_seq))
            return ERR_PTR(-ECHILD);
    } else if (path.mnt == nd->path.mnt) {
        mntget(path.mnt);
    }
    return pick_link(nd, &path, inode, flags);
}

// Linux v6.12 fs/namei.c handle_dots().
const char *handle_dots(nameidata *nd, last_component type)
{
    const char *error;
    dentry *parent;

    if (type != LAST_DOTDOT)
        return nullptr;
    if (!nd->root.mnt) {
        int failed = set_root(nd);

        if (failed)
            return ERR_PTR(failed);
    }
    if (nd->flags & LOOKUP_RCU) {
        assert_rcu_mode(nd);
        parent = follow_dotdot_rcu(nd);
    } else {
        parent = follow_dotdot(nd);
    }
    if (IS_ERR(parent))
        return ERR_CAST(parent);
    error = step_into(nd, WALK_NOFOLLOW, parent);
    if (unlikely(error))
        return error;

    if (unlikely(nd->flags & LOOKUP_IS_SCOPED)) {
        // A rename or a mount may have carried us past the root without our passing it: the caller
        // has to try again.
        if (read_seqretry(&mount_lock, nd->m_seq))
            return ERR_PTR(-EAGAIN);
        if (read_seqretry(&rename_lock, nd->r_seq))
            return ERR_PTR(-EAGAIN);
    }
    return nullptr;
}

// Linux v6.12 fs/namei.c walk_component().
const char *walk_component(nameidata *nd, unsigned flags)
{
    dentry *dentry;

    if (unlikely(nd->last_type != LAST_NORM)) {
        if (!(flags & WALK_MORE) && nd->depth)
            put_link(nd);
        return handle_dots(nd, nd->last_type);
    }
    dentry = lookup_fast(nd);
    if (IS_ERR(dentry))
        return ERR_CAST(dentry);
    if (unlikely(!dentry)) {
        dentry = lookup_slow(&nd->last, nd->path.dentry, nd->flags);
        if (IS_ERR(dentry))
            return ERR_CAST(dentry);
    }
    if (!(flags & WALK_MORE) && nd->depth)
        put_link(nd);
    return step_into(nd, flags, dentry);
}

} // namespace dcsim::inline DCSIM_BACKEND
