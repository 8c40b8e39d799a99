// SPDX-License-Identifier: GPL-2.0-only
//
// The end of a lookup that is more than d_add(): a directory that turns up under a second name.
// (Another spelling than was asked for is d_add_ci()'s business, in the files of the eras.)
//
// A directory has one dentry. When ->lookup() finds one whose dentry is elsewhere, that dentry
// moves to where it was found now: out of the crowd of DISCONNECTED roots, off s_roots, or away
// from the place where it used to be before somebody renamed it behind our back.
#include "lookup_protocol.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// Do d_add() and d_splice_alias() take hashed negative dentries? (v3 02/19, f1ac607f786f)
static bool takes_hashed_dentries()
{
    return splice_hashed || current_lookup_era() == ERA_V3;
}

// Linux v7.2 fs/dcache.c __d_add(); for hashed dentries v3 02/19.
//
// A hashed dentry may be on the LRU already, among the negatives, so it gets its inode in the way
// that keeps count of those. That it was hashed a moment ago proves nothing: only under d_lock is
// it known whether it still is. The era v3 does all of this in its own order.
void publish_dentry(dentry *dentry, inode *inode, const dentry_operations *ops)
    __context_unsafe("i_lock is held only when there is an inode")
{
    if (likely(d_unhashed(dentry)) || !splice_hashed || current_lookup_era() == ERA_V3) {
        lookup_protocol_in_use->add(dentry, inode, ops);
        return;
    }
    spin_lock(&dentry->d_lock);
    if (unlikely(ops))
        d_set_d_op(dentry, ops);
    if (inode)
        __d_instantiate(dentry, inode);
    if (unlikely(d_unhashed(dentry)))
        __d_rehash(dentry);
    spin_unlock(&dentry->d_lock);
    if (inode)
        spin_unlock(&inode->i_lock);
}

// Linux v7.2 fs/dcache.c __d_unalias().
//
// A directory was found under another name than the one it has in the cache (moved on the server):
// moves the alias to where the lookup found it. rename_lock is held, so the sleeping locks that a
// rename across directories needs can only be tried. 0 or -ESTALE.
static int __d_unalias(dentry *dentry, struct dentry *alias)
    __context_unsafe("locks only when the parents differ")
{
    mutex *m1 = nullptr;
    rw_semaphore *m2 = nullptr;
    inode *alias_dir;
    int ret = -ESTALE;

    if (READ_ONCE(alias->d_parent) == READ_ONCE(dentry->d_parent))
        goto out_unalias;

    if (!mutex_trylock(&dentry->d_sb->s_vfs_rename_mutex))
        goto out_err;
    m1 = &dentry->d_sb->s_vfs_rename_mutex;
    alias_dir = d_inode(READ_ONCE(alias->d_parent));
    if (!inode_trylock_shared(alias_dir))
        goto out_err;
    m2 = &alias_dir->i_rwsem;
out_unalias:
    if (alias->d_op && alias->d_op->d_unalias_trylock && !alias->d_op->d_unalias_trylock(alias))
        goto out_err;
    __d_move(alias, dentry, false);
    if (alias->d_op && alias->d_op->d_unalias_unlock)
        alias->d_op->d_unalias_unlock(alias);
    ret = 0;
out_err:
    if (m2)
        up_read(m2);
    if (m1)
        mutex_unlock(m1);
    return ret;
}

// Linux v7.2 fs/dcache.c d_splice_alias_ops().
dentry *d_splice_alias_ops(inode *inode, dentry *dentry, const dentry_operations *ops)
    __context_unsafe("publish_dentry() releases the i_lock taken here")
{
    if (IS_ERR(inode))
        return ERR_CAST(inode);

    BUG_ON(!d_unhashed(dentry) && (!takes_hashed_dentries() || d_really_is_positive(dentry)));

    if (!inode)
        goto out;

    spin_lock(&inode->i_lock);
    if (inode_is_directory(inode)) {
        struct dentry *alias = __d_find_dir_alias(inode);

        if (unlikely(alias)) {
            // The reference keeps it an alias. i_lock and rename_lock never nest.
            spin_unlock(&inode->i_lock);
            write_seqlock(&rename_lock);
            if (unlikely(d_ancestor(alias, dentry))) {
                write_sequnlock(&rename_lock);
                dput(alias);
                alias = ERR_PTR(-ELOOP);
                report_log_ratelimited(
                    "VFS: '%s' in %s %s is an ancestor of the directory it was looked up in\n",
                    reinterpret_cast<const char *>(READ_ONCE(dentry->d_name.name)),
                    inode->i_sb->s_type->name, inode->i_sb->s_id);
            } else if (!IS_ROOT(alias)) {
                struct dentry *old_parent = dget(READ_ONCE(alias->d_parent));
                int err = __d_unalias(dentry, alias);

                write_sequnlock(&rename_lock);
                if (err) {
                    dput(alias);
                    alias = ERR_PTR(err);
                }
                dput(old_parent);
            } else {
                // A neighbour on s_roots may rewrite the link meanwhile, but not take it off.
                if (unlikely(!hlist_unhashed_lockless(&alias->d_sib))) {
                    spin_lock(&alias->d_lock);
                    unlink_secondary_root(alias);
                    spin_unlock(&alias->d_lock);
                }
                __d_move(alias, dentry, false);
                write_sequnlock(&rename_lock);
            }
            iput(inode);
            return alias;
        }
    }
out:
    publish_dentry(dentry, inode, ops);
    return nullptr;
}

// Linux v7.2 fs/dcache.c d_splice_alias().
dentry *d_splice_alias(inode *inode, dentry *dentry)
{
    return d_splice_alias_ops(inode, dentry, nullptr);
}

} // namespace dcsim::inline DCSIM_BACKEND
