// SPDX-License-Identifier: GPL-2.0-only
//
// From RCU mode to ref mode, and the end of a walk.
//
// An RCU walk holds nothing; it knows the d_seq of what it stands on, and mount_lock's count from
// its start. To keep what it found it takes references first and then looks whether the counts
// still are what they were: if so, the references are on what the walk saw. If not, what was taken
// is given back, and the walk starts over in ref mode.
//
// The order is: links on the stack, where the walk stands, the root. A failure in the middle leaves
// nd in a state that only terminate_walk() understands: a half that has no reference is nullptr.
#include "namei_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

// Linux v6.12 fs/namei.c nd_alloc_stack().
bool nd_alloc_stack(nameidata *nd)
{
    constexpr size_t bytes = MAXSYMLINKS * sizeof(saved_link);
    auto *stack =
        static_cast<saved_link *>(nd->flags & LOOKUP_RCU ? kmalloc_atomic(bytes) : kmalloc(bytes));

    if (unlikely(!stack))
        return false;
    for (unsigned i = 0; i < EMBEDDED_LEVELS; i++)
        stack[i] = nd->internal[i];
    nd->stack = stack;
    return true;
}

// Linux v6.12 fs/namei.c drop_links().
static void drop_links(nameidata *nd)
{
    unsigned i = nd->depth;

    while (i--) {
        saved_link *last = nd->stack + i;

        do_delayed_call(&last->done);
        clear_delayed_call(&last->done);
    }
}

// Linux v6.12 fs/namei.c leave_rcu().
static void leave_rcu(nameidata *nd) __context_unsafe("ends the section that path_init() began")
{
    nd->flags &= ~LOOKUP_RCU;
    nd->seq = nd->next_seq = 0;
    rcu_read_unlock();
}

// Linux v6.12 fs/namei.c terminate_walk().
void terminate_walk(nameidata *nd)
{
    drop_links(nd);
    if (nd->flags & LOOKUP_RCU) {
        leave_rcu(nd);
    } else {
        path_put(&nd->path);
        for (unsigned i = 0; i < nd->depth; i++)
            path_put(&nd->stack[i].link);
        if (nd->state & ND_ROOT_GRABBED) {
            path_put(&nd->root);
            nd->state &= ~ND_ROOT_GRABBED;
        }
    }
    nd->depth = 0;
    nd->path = {nullptr, nullptr};
}

// Linux v6.12 fs/namei.c __legitimize_path().
bool __legitimize_path(path *path, unsigned seq, unsigned mseq)
{
    int res = __legitimize_mnt(path->mnt, mseq);

    if (unlikely(res)) {
        if (res > 0)
            path->mnt = nullptr;
        path->dentry = nullptr;
        return false;
    }
    if (unlikely(!lockref_get_not_dead(&path->dentry->d_lockref))) {
        path->dentry = nullptr;
        return false;
    }
    // Renamed, dropped or turned negative since: referenced, but not what the walk stood on.
    return !read_seqcount_retry(&path->dentry->d_seq, seq);
}

// Linux v6.12 fs/namei.c legitimize_path().
bool legitimize_path(nameidata *nd, path *path, unsigned seq)
{
    return __legitimize_path(path, seq, nd->m_seq);
}

// Linux v6.12 fs/namei.c legitimize_links().
static bool legitimize_links(nameidata *nd) __must_hold_shared(rcu)
{
    if (unlikely(nd->flags & LOOKUP_CACHED)) {
        drop_links(nd);
        nd->depth = 0;
        return false;
    }
    for (unsigned i = 0; i < nd->depth; i++) {
        saved_link *last = nd->stack + i;

        if (unlikely(!legitimize_path(nd, &last->link, last->seq))) {
            drop_links(nd);
            // This one may hold something; those after it do not.
            nd->depth = i + 1;
            return false;
        }
    }
    return true;
}

// Linux v6.12 fs/namei.c legitimize_root().
static bool legitimize_root(nameidata *nd) __must_hold_shared(rcu)
{
    // Nobody needed the root so far, or its references are the caller's.
    if (!nd->root.mnt || (nd->state & ND_ROOT_PRESET))
        return true;
    nd->state |= ND_ROOT_GRABBED;
    return legitimize_path(nd, &nd->root, nd->root_seq);
}

/// try_to_unlazy() without counting.
static bool legitimize_walk(nameidata *nd)
{
    dentry *parent = nd->path.dentry;

    assert_rcu_mode(nd);
    if (unlikely(!legitimize_links(nd)))
        goto out_path;
    if (unlikely(!legitimize_path(nd, &nd->path, nd->seq)))
        goto out;
    if (unlikely(!legitimize_root(nd)))
        goto out;
    leave_rcu(nd);
    // d_seq stood still until the reference was there, and a dentry that is used keeps its inode.
    BUG_ON(nd->inode != d_inode(parent));
    return true;

out_path:
    nd->path = {nullptr, nullptr};
out:
    leave_rcu(nd);
    return false;
}

// Linux v6.12 fs/namei.c try_to_unlazy().
bool try_to_unlazy(nameidata *nd)
{
    if (!legitimize_walk(nd))
        return false;
    vfs_count(RCU_UNLAZY);
    return true;
}

// Linux v6.12 fs/namei.c try_to_unlazy_next().
//
// The parent gets a reference without a look at its d_seq: it was checked after the child's had
// been sampled, so a child that did not change has the parent it was found under.
bool try_to_unlazy_next(nameidata *nd, dentry *dentry)
{
    int res;

    assert_rcu_mode(nd);
    if (unlikely(!legitimize_links(nd)))
        goto out_mnt;
    res = __legitimize_mnt(nd->path.mnt, nd->m_seq);
    if (unlikely(res)) {
        if (res > 0)
            goto out_mnt;
        goto out_dentry;
    }
    if (unlikely(!lockref_get_not_dead(&nd->path.dentry->d_lockref)))
        goto out_dentry;
    if (unlikely(!lockref_get_not_dead(&dentry->d_lockref)))
        goto out;
    if (read_seqcount_retry(&dentry->d_seq, nd->next_seq))
        goto out_dput;
    if (unlikely(!legitimize_root(nd)))
        goto out_dput;
    leave_rcu(nd);
    vfs_count(RCU_UNLAZY);
    return true;

out_mnt:
    nd->path.mnt = nullptr;
out_dentry:
    nd->path.dentry = nullptr;
out:
    leave_rcu(nd);
    return false;
out_dput:
    // Not in RCU: this may be the last reference.
    leave_rcu(nd);
    dput(dentry);
    return false;
}

// Linux v6.12 fs/namei.c complete_walk().
int complete_walk(nameidata *nd)
{
    dentry *dentry = nd->path.dentry;
    int status;

    if (nd->flags & LOOKUP_RCU) {
        // Nobody asks for the root any more, except those who own it and the check below.
        if (!(nd->state & ND_ROOT_PRESET) && !(nd->flags & LOOKUP_IS_SCOPED))
            nd->root.mnt = nullptr;
        nd->flags &= ~LOOKUP_CACHED;
        if (!legitimize_walk(nd))
            return -ECHILD;
        vfs_count(RCU_WALKS);
    }

    // Whatever happened on the way: nobody gets a place outside of the root he asked to stay in.
    if (unlikely(nd->flags & LOOKUP_IS_SCOPED) && !path_is_under(&nd->path, &nd->root))
        return -EXDEV;

    // What an ordinary lookup found was revalidated there.
    if (likely(!(nd->state & ND_JUMPED)))
        return 0;
    if (likely(!(READ_ONCE(dentry->d_flags) & DCACHE_OP_WEAK_REVALIDATE)))
        return 0;
    status = dentry->d_op->d_weak_revalidate(dentry, nd->flags);
    if (status > 0)
        return 0;
    return status ? status : -ESTALE;
}

} // namespace dcsim::inline DCSIM_BACKEND
