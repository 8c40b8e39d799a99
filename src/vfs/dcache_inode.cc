// SPDX-License-Identifier: GPL-2.0-only
//
// Attaching inodes to dentries and taking them off again; aliases.
//
// Locking: d_inode, the type bits and d_alias change with i_lock and d_lock held, inside a d_seq
// write section when anybody else can see the dentry. An alias found under i_lock is alive: killing
// a positive dentry takes i_lock before it marks the dentry dead.
#include "dcache_internal.h"

#include <cstdio>

#include "dcsim/vfs/file.h"

namespace dcsim::inline DCSIM_BACKEND
{

// Linux v7.2 fs/dcache.c __d_set_inode_and_type().
void __d_set_inode_and_type(dentry *dentry, inode *inode, unsigned type_flags)
{
    unsigned flags;

    WRITE_ONCE(dentry->d_inode, inode);
    flags = READ_ONCE(dentry->d_flags);
    flags &= ~DCACHE_ENTRY_TYPE;
    flags |= type_flags;
    // Pairs with the acquire in d_is_negative(): a type other than "miss" comes with an inode.
    smp_store_release(&dentry->d_flags, flags);
}

// Linux v7.2 fs/dcache.c __d_clear_type_and_inode().
//
// The reverse order on purpose: a lockless reader may find "negative" with an inode still there,
// never "positive" without one.
static void __d_clear_type_and_inode(dentry *dentry) __must_hold(&dentry->d_lock)
{
    unsigned flags = READ_ONCE(dentry->d_flags);

    flags &= ~DCACHE_ENTRY_TYPE;
    WRITE_ONCE(dentry->d_flags, flags);
    WRITE_ONCE(dentry->d_inode, nullptr);
    // Only negatives on the LRU proper are counted.
    if ((flags & (DCACHE_LRU_LIST | DCACHE_SHRINK_LIST)) == DCACHE_LRU_LIST)
        vfs_count(NR_DENTRY_NEGATIVE);
}

// Linux v7.2 fs/dcache.c dentry_unlink_inode().
void dentry_unlink_inode(dentry *dentry)
    __context_unsafe("releases the i_lock of an inode that the dentry has lost by then")
{
    inode *inode = READ_LOCKED(dentry->d_inode);

    write_seqcount_begin(&dentry->d_seq);
    __d_clear_type_and_inode(dentry);
    __hlist_del(&dentry->d_alias);
    // Negative now: the room of d_alias belongs to `waiters`.
    dentry->waiters = nullptr;
    write_seqcount_end(&dentry->d_seq);
    spin_unlock(&dentry->d_lock);
    spin_unlock(&inode->i_lock);
    if (dentry->d_op && dentry->d_op->d_iput)
        dentry->d_op->d_iput(dentry, inode);
    else
        iput(inode);
}

// Linux v7.2 fs/dcache.c d_flags_for_inode().
unsigned d_flags_for_inode(inode *inode)
{
    unsigned add_flags = DCACHE_REGULAR_TYPE;
    umode_t mode;

    if (!inode)
        return DCACHE_MISS_TYPE;

    mode = READ_ONCE(inode->i_mode);
    if (S_ISDIR_mode(mode)) {
        add_flags = DCACHE_DIRECTORY_TYPE;
        if (unlikely(!(READ_ONCE(inode->i_opflags) & IOP_LOOKUP))) {
            if (unlikely(!inode->i_op->lookup))
                add_flags = DCACHE_AUTODIR_TYPE;
            else
                inode->i_opflags |= IOP_LOOKUP;
        }
        goto type_determined;
    }

    if (unlikely(!(READ_ONCE(inode->i_opflags) & IOP_NOFOLLOW))) {
        if (unlikely(inode->i_op->get_link)) {
            add_flags = DCACHE_SYMLINK_TYPE;
            goto type_determined;
        }
        inode->i_opflags |= IOP_NOFOLLOW;
    }

    if (unlikely((mode & S_IFMT_MASK) != S_IFREG_TYPE))
        add_flags = DCACHE_SPECIAL_TYPE;

type_determined:
    if (unlikely(READ_ONCE(inode->i_flags) & S_AUTOMOUNT))
        add_flags |= DCACHE_NEED_AUTOMOUNT;
    return add_flags;
}

// Linux v7.2 fs/dcache.c __d_instantiate().
void __d_instantiate(dentry *dentry, inode *inode)
{
    unsigned add_flags = d_flags_for_inode(inode);

    WARN_ON(d_in_lookup(dentry));
    if ((d_flags_locked(dentry) & (DCACHE_LRU_LIST | DCACHE_SHRINK_LIST)) == DCACHE_LRU_LIST)
        vfs_count(NR_DENTRY_NEGATIVE, -1);
    hlist_add_head(&dentry->d_alias, &inode->i_dentry);
    write_seqcount_begin(&dentry->d_seq);
    __d_set_inode_and_type(dentry, inode, add_flags);
    write_seqcount_end(&dentry->d_seq);
}

// Linux v7.2 fs/dcache.c d_instantiate().
void d_instantiate(dentry *dentry, inode *inode)
{
    BUG_ON(d_really_is_positive(dentry));
    if (!inode)
        return;
    spin_lock(&inode->i_lock);
    spin_lock(&dentry->d_lock);
    __d_instantiate(dentry, inode);
    spin_unlock(&dentry->d_lock);
    spin_unlock(&inode->i_lock);
}

// Linux v7.2 fs/dcache.c d_instantiate_new().
void d_instantiate_new(dentry *dentry, inode *inode)
{
    BUG_ON(d_really_is_positive(dentry));
    BUG_ON(!inode);
    spin_lock(&inode->i_lock);
    spin_lock(&dentry->d_lock);
    __d_instantiate(dentry, inode);
    spin_unlock(&dentry->d_lock);
    WARN_ON(!(READ_LOCKED(inode->i_state) & I_NEW));
    inode_finish_new_locked(inode);
    spin_unlock(&inode->i_lock);
}

// Linux v7.2 fs/dcache.c d_make_root().
dentry *d_make_root(inode *root_inode)
{
    dentry *res = nullptr;

    if (root_inode) {
        res = d_alloc_anon(root_inode->i_sb);
        if (res)
            d_instantiate(res, root_inode);
        else
            iput(root_inode);
    }
    return res;
}

// Linux v7.2 fs/dcache.c d_make_persistent().
dentry *d_make_persistent(dentry *dentry, inode *inode)
{
    WARN_ON(d_really_is_positive(dentry));
    WARN_ON(!inode);
    spin_lock(&inode->i_lock);
    spin_lock(&dentry->d_lock);
    __d_instantiate(dentry, inode);
    dentry->d_flags |= DCACHE_PERSISTENT;
    dget_dlock(dentry);
    if (d_unhashed(dentry))
        __d_rehash(dentry);
    spin_unlock(&dentry->d_lock);
    spin_unlock(&inode->i_lock);
    return dentry;
}

// Linux v7.2 fs/dcache.c d_add().
void d_add(dentry *dentry, inode *inode) __context_unsafe("publish_dentry() releases i_lock")
{
    if (inode)
        spin_lock(&inode->i_lock);
    publish_dentry(dentry, inode, nullptr);
}

// Linux v7.2 fs/dcache.c d_delete().
void d_delete(dentry *dentry) __context_unsafe("dentry_unlink_inode() releases both locks")
{
    inode *inode = d_inode(dentry);

    spin_lock(&inode->i_lock);
    spin_lock(&dentry->d_lock);
    if (d_count_locked(dentry) == 1) {
        // Sole user: the name's absence is worth remembering.
        if (dentry_negative_policy)
            __d_drop(dentry);
        dentry->d_flags &= ~DCACHE_CANT_MOUNT;
        dentry_unlink_inode(dentry);
    } else {
        __d_drop(dentry);
        spin_unlock(&dentry->d_lock);
        spin_unlock(&inode->i_lock);
    }
}

// --- Aliases ---

// Linux v7.2 fs/dcache.c __d_find_dir_alias().
dentry *__d_find_dir_alias(inode *inode)
{
    dentry *alias = d_first_alias(inode);

    if (alias)
        lockref_get(&alias->d_lockref);
    return alias;
}

// Linux v7.2 fs/dcache.c __d_find_any_alias().
static dentry *__d_find_any_alias(inode *inode) __must_hold(&inode->i_lock)
{
    for (dentry *alias = d_first_alias(inode); alias; alias = d_next_alias(alias))
        if (dget_alias_ilocked(alias))
            return alias;
    return nullptr;
}

// Linux v7.2 fs/dcache.c d_find_any_alias().
dentry *d_find_any_alias(inode *inode)
{
    dentry *dentry;

    spin_lock(&inode->i_lock);
    dentry = __d_find_any_alias(inode);
    spin_unlock(&inode->i_lock);
    return dentry;
}

// Linux v7.2 fs/dcache.c __d_find_alias().
static dentry *__d_find_alias(inode *inode) __must_hold(&inode->i_lock)
{
    if (inode_is_directory(inode))
        return __d_find_dir_alias(inode);

    for (dentry *alias = d_first_alias(inode); alias; alias = d_next_alias(alias)) {
        spin_lock(&alias->d_lock);
        if (!d_unhashed(alias)) {
            dget_dlock(alias);
            spin_unlock(&alias->d_lock);
            return alias;
        }
        spin_unlock(&alias->d_lock);
    }
    return nullptr;
}

// Linux v7.2 fs/dcache.c d_find_alias().
dentry *d_find_alias(inode *inode)
{
    dentry *dentry = nullptr;

    if (!hlist_empty(&inode->i_dentry)) {
        spin_lock(&inode->i_lock);
        dentry = __d_find_alias(inode);
        spin_unlock(&inode->i_lock);
    }
    return dentry;
}

// Linux v7.2 fs/dcache.c d_find_alias_rcu().
dentry *d_find_alias_rcu(inode *inode)
{
    dentry *dentry = nullptr;

    spin_lock(&inode->i_lock);
    if (likely(!(READ_LOCKED(inode->i_state) & I_FREEING) && !hlist_empty(&inode->i_dentry))) {
        dentry = d_first_alias(inode);
        if (!inode_is_directory(inode))
            while (dentry && d_unhashed(dentry))
                dentry = d_next_alias(dentry);
    }
    spin_unlock(&inode->i_lock);
    return dentry;
}

// Linux v7.2 fs/dcache.c d_prune_aliases().
void d_prune_aliases(inode *inode)
{
    list_head dispose;

    INIT_LIST_HEAD(&dispose);
    spin_lock(&inode->i_lock);
    for (dentry *alias = d_first_alias(inode); alias; alias = d_next_alias(alias)) {
        spin_lock(&alias->d_lock);
        if (likely(!(d_flags_locked(alias) & DCACHE_NORCU)))
            __move_to_shrink_list(alias, &dispose);
        spin_unlock(&alias->d_lock);
    }
    spin_unlock(&inode->i_lock);
    shrink_dentry_list(&dispose);
}

// Linux v7.2 fs/dcache.c d_mark_dontcache().
void d_mark_dontcache(inode *inode)
{
    spin_lock(&inode->i_lock);
    for (dentry *alias = d_first_alias(inode); alias; alias = d_next_alias(alias)) {
        spin_lock(&alias->d_lock);
        alias->d_flags |= DCACHE_DONTCACHE;
        spin_unlock(&alias->d_lock);
    }
    inode->i_state |= I_DONTCACHE;
    spin_unlock(&inode->i_lock);
}

// Linux v7.2 fs/dcache.c __d_obtain_alias().
static dentry *__d_obtain_alias(inode *inode, bool disconnected)
{
    super_block *sb;
    dentry *fresh, *res;

    if (!inode)
        return ERR_PTR(-ESTALE);
    if (IS_ERR(inode))
        return ERR_CAST(inode);

    sb = inode->i_sb;
    res = d_find_any_alias(inode);
    if (res)
        goto out;

    fresh = d_alloc_anon(sb);
    if (!fresh) {
        res = ERR_PTR(-ENOMEM);
        goto out;
    }

    spin_lock(&inode->i_lock);
    // Somebody may have attached one while this task allocated.
    res = __d_find_any_alias(inode);
    if (likely(!res)) {
        unsigned add_flags = d_flags_for_inode(inode);

        if (disconnected)
            add_flags |= DCACHE_DISCONNECTED;

        // No d_seq section: nobody can have sampled a dentry that was never visible.
        spin_lock(&fresh->d_lock);
        __d_set_inode_and_type(fresh, inode, add_flags);
        hlist_add_head(&fresh->d_alias, &inode->i_dentry);
        if (!disconnected) {
            spin_lock(&sb->s_roots_lock);
            hlist_add_head(&fresh->d_sib, &sb->s_roots);
            spin_unlock(&sb->s_roots_lock);
        }
        spin_unlock(&fresh->d_lock);
        spin_unlock(&inode->i_lock);
        inode = nullptr; // its reference is the new dentry's
        res = fresh;
    } else {
        spin_unlock(&inode->i_lock);
        dput(fresh);
    }
out:
    iput(inode);
    return res;
}

// Linux v7.2 fs/dcache.c d_obtain_alias().
dentry *d_obtain_alias(inode *inode)
{
    return __d_obtain_alias(inode, true);
}

// Linux v7.2 fs/dcache.c d_obtain_root().
dentry *d_obtain_root(inode *inode)
{
    return __d_obtain_alias(inode, false);
}

// Linux v7.2 fs/dcache.c d_parent_ino().
ino_t d_parent_ino(dentry *dentry)
{
    inode *iparent;
    unsigned seq;
    ino_t ret;

    rcu_read_lock();
    seq = raw_seqcount_begin(&dentry->d_seq);
    iparent = d_inode_rcu(READ_ONCE(dentry->d_parent));
    if (likely(iparent)) {
        ret = iparent->i_ino;
        if (!read_seqcount_retry(&dentry->d_seq, seq)) {
            rcu_read_unlock();
            return ret;
        }
    }
    rcu_read_unlock();

    spin_lock(&dentry->d_lock);
    ret = d_inode(READ_LOCKED(dentry->d_parent))->i_ino;
    spin_unlock(&dentry->d_lock);
    return ret;
}

// --- Files without a name ---

// Linux v7.2 fs/dcache.c d_mark_tmpfile().
//
// The name is rewritten in place and without a d_seq section: an unhashed dentry has no lockless
// readers of its name.
void d_mark_tmpfile(file *file, inode *inode)
    __context_unsafe("the parent is named by a lockless field")
{
    dentry *dentry = file->f_path.dentry;
    struct dentry *parent = READ_ONCE(dentry->d_parent);
    char text[DNAME_INLINE_LEN];
    qstr name;

    BUG_ON(dname_external(dentry) || d_really_is_positive(dentry) || !d_unlinked(dentry));
    name =
        make_qstr(text, static_cast<u32>(snprintf(text, sizeof(text), "#%llu",
                                                  static_cast<unsigned long long>(inode->i_ino))));
    spin_lock(&parent->d_lock);
    spin_lock_nested(&dentry->d_lock, DENTRY_D_LOCK_NESTED);
    set_inline_name(dentry, &name);
    spin_unlock(&dentry->d_lock);
    spin_unlock(&parent->d_lock);
}

// Linux v7.2 fs/dcache.c d_mark_tmpfile_name().
int d_mark_tmpfile_name(file *file, const qstr *name)
    __context_unsafe("the parent is named by a lockless field")
{
    dentry *dentry = file->f_path.dentry;
    struct dentry *parent = READ_ONCE(dentry->d_parent);

    if (unlikely(dname_external(dentry) || d_really_is_positive(dentry) || !d_unlinked(dentry)))
        return -EINVAL;
    if (unlikely(name->len > DNAME_INLINE_LEN - 1))
        return -ENAMETOOLONG;

    spin_lock(&parent->d_lock);
    spin_lock_nested(&dentry->d_lock, DENTRY_D_LOCK_NESTED);
    set_inline_name(dentry, name);
    spin_unlock(&dentry->d_lock);
    spin_unlock(&parent->d_lock);
    return 0;
}

// Linux v7.2 fs/dcache.c d_tmpfile().
void d_tmpfile(file *file, inode *inode)
{
    drop_nlink(inode);
    d_mark_tmpfile(file, inode);
    d_instantiate(file->f_path.dentry, inode);
}

} // namespace dcsim::inline DCSIM_BACKEND
