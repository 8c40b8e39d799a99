// SPDX-License-Identifier: GPL-2.0-only
//
// Following symbolic links.
//
// A link met on the way is put on nd->stack with what is left of the path it was met in; the walk
// goes on with the link's body and comes back to the rest when the body is done. Two levels of
// nesting fit into nameidata, more need memory. What ends a loop is the total of links followed,
// not the nesting.
//
// Reduced: access times of links are not kept, so no walk leaves RCU mode to write one.
#include "namei_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

constinit once<int> sysctl_protected_symlinks(1);

// Linux v6.12 fs/namei.c set_root().
int set_root(nameidata *nd)
{
    fs_struct *fs = current_vfs_task()->fs;

    // It would lead out of the directory that the caller asked to stay in.
    if (WARN_ON(nd->flags & LOOKUP_IS_SCOPED))
        return -ENOTRECOVERABLE;

    if (nd->flags & LOOKUP_RCU) {
        assert_rcu_mode(nd);
        get_fs_root_rcu_seq(fs, &nd->root, &nd->root_seq);
    } else {
        get_fs_root(fs, &nd->root);
        nd->state |= ND_ROOT_GRABBED;
    }
    return 0;
}

// Linux v6.12 fs/namei.c nd_jump_root().
int nd_jump_root(nameidata *nd)
{
    if (unlikely(nd->flags & LOOKUP_BENEATH))
        return -EXDEV;
    // The start of a walk (nd->path unset) may be anywhere.
    if (unlikely(nd->flags & LOOKUP_NO_XDEV) && nd->path.mnt && nd->path.mnt != nd->root.mnt)
        return -EXDEV;
    if (!nd->root.mnt) {
        int error = set_root(nd);

        if (error)
            return error;
    }
    if (WARN(!nd->root.dentry, "the task has no root: init_mount_tree() or set_fs_root() gives it "
                               "one"))
        return -ENOENT;
    if (nd->flags & LOOKUP_RCU) {
        const dentry *dentry = nd->root.dentry;

        nd->path = nd->root;
        nd->inode = d_inode_rcu(dentry);
        nd->seq = nd->root_seq;
        if (read_seqcount_retry(&dentry->d_seq, nd->seq))
            return -ECHILD;
    } else {
        path_put(&nd->path);
        nd->path = nd->root;
        path_get(&nd->path);
        nd->inode = d_inode(nd->path.dentry);
    }
    nd->state |= ND_JUMPED;
    return 0;
}

// Linux v6.12 fs/namei.c nd_jump_link().
int nd_jump_link(const path *path)
{
    nameidata *nd = current_nameidata();
    int error = -ELOOP;

    if (unlikely(nd->flags & LOOKUP_NO_MAGICLINKS))
        goto refuse;
    error = -EXDEV;
    if (unlikely(nd->flags & LOOKUP_NO_XDEV) && nd->path.mnt != path->mnt)
        goto refuse;
    if (unlikely(nd->flags & LOOKUP_IS_SCOPED))
        goto refuse;

    path_put(&nd->path);
    nd->path = *path;
    nd->inode = d_inode(nd->path.dentry);
    nd->state |= ND_JUMPED;
    return 0;

refuse:
    path_put(path);
    return error;
}

// Linux v6.12 fs/namei.c put_link().
void put_link(nameidata *nd)
{
    saved_link *last = nd->stack + --nd->depth;

    do_delayed_call(&last->done);
    if (!(nd->flags & LOOKUP_RCU))
        path_put(&last->link);
}

// Linux v6.12 fs/namei.c may_follow_link().
//
// In a directory like /tmp anybody can plant a link for somebody else to follow.
static int may_follow_link(const nameidata *nd, const inode *inode)
{
    constexpr umode_t everybodys = S_ISVTX_BIT | 0002;
    const kuid_t owner = READ_ONCE(inode->i_uid);

    if (!READ_ONCE(sysctl_protected_symlinks))
        return 0;
    if (owner == current_fsuid())
        return 0;
    if ((nd->dir_mode & everybodys) != everybodys)
        return 0;
    if (nd->dir_uid == owner)
        return 0;
    // Maybe the link or the directory is changing hands: look again with both held.
    return nd->flags & LOOKUP_RCU ? -ECHILD : -EACCES;
}

// Linux v6.12 fs/namei.c reserve_stack().
static int reserve_stack(nameidata *nd, path *link)
{
    if (unlikely(nd->total_link_count++ >= MAXSYMLINKS))
        return -ELOOP;
    if (likely(nd->depth != EMBEDDED_LEVELS))
        return 0;
    if (likely(nd->stack != nd->internal))
        return 0;
    if (likely(nd_alloc_stack(nd)))
        return 0;

    if (nd->flags & LOOKUP_RCU) {
        bool grabbed_link;

        // The link is not on the stack yet, so try_to_unlazy() would not take it along; and ref
        // mode is entered even if the link is lost, because the caller gives back its references.
        assert_rcu_mode(nd);
        grabbed_link = legitimize_path(nd, link, nd->next_seq);
        if (!try_to_unlazy(nd) || !grabbed_link)
            return -ECHILD;
        if (nd_alloc_stack(nd))
            return 0;
    }
    return -ENOMEM;
}

/// The body of a link that was put on the stack; nullptr when its ->get_link() jumped.
static const char *body_of_link(nameidata *nd, const path *link, inode *inode, saved_link *last)
{
    const char *body = READ_ONCE(inode->i_link);
    const char *(*get_link)(dentry *, struct inode *, delayed_call *);

    if (body)
        return body;
    get_link = inode->i_op->get_link;
    if (!(nd->flags & LOOKUP_RCU))
        return get_link(link->dentry, inode, &last->done);
    body = get_link(nullptr, inode, &last->done);
    if (body == ERR_PTR(-ECHILD) && try_to_unlazy(nd))
        body = get_link(link->dentry, inode, &last->done);
    return body;
}

// Linux v6.12 fs/namei.c pick_link().
const char *pick_link(nameidata *nd, path *link, inode *inode, unsigned flags)
{
    saved_link *last;
    const char *body;
    int error = reserve_stack(nd, link);

    if (unlikely(error)) {
        if (!(nd->flags & LOOKUP_RCU))
            path_put(link);
        return ERR_PTR(error);
    }
    last = nd->stack + nd->depth++;
    last->link = *link;
    clear_delayed_call(&last->done);
    last->seq = nd->next_seq;

    if (flags & WALK_TRAILING) {
        error = may_follow_link(nd, inode);
        if (unlikely(error))
            return ERR_PTR(error);
    }
    if (unlikely(nd->flags & LOOKUP_NO_SYMLINKS) ||
        unlikely(READ_ONCE(link->mnt->mnt_flags) & MNT_NOSYMFOLLOW))
        return ERR_PTR(-ELOOP);
    if (!(nd->flags & LOOKUP_RCU))
        cond_resched();

    body = body_of_link(nd, link, inode, last);
    if (!body)
        goto all_done;
    if (IS_ERR(body))
        return body;
    if (*body == '/') {
        error = nd_jump_root(nd);
        if (unlikely(error))
            return ERR_PTR(error);
        while (unlikely(*++body == '/'))
            ;
    }
    if (*body)
        return body;
all_done:
    put_link(nd);
    return nullptr;
}

} // namespace dcsim::inline DCSIM_BACKEND
