// SPDX-License-Identifier: GPL-2.0-only
//
// Primitives of the series that takes ->lookup() out of the directory's lock: what its April 2026
// draft (v3) and its v7.4 queue add to fs/dcache.c and fs/namei.c. docs/proposed.md.
//
// They stand on the eras' d_alloc_parallel(), told not to wait; where a caller lends its wait queue
// they do not work, because the one who looks up may be gone before the lookup is over.
#include "dcsim/kernel/bug.h"
#include "lookup_protocol.h"
#include "namei_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

bool era_cannot(const char *function)
{
    return WARN(lookup_protocol_in_use->caller_queue,
                "%s() in era %s, whose waiters sleep on a queue of their caller's", function,
                lookup_protocol_in_use->name);
}

dentry *alloc_noblock(dentry *parent, qstr *name, dentry **blocker, const char *function)
{
    dentry *dentry;

    if (era_cannot(function))
        return ERR_PTR(-EOPNOTSUPP);
    dentry = try_lookup_noperm(name, parent);
    if (dentry)
        return dentry;
    dentry =
        lookup_protocol_in_use->alloc_parallel(parent, name, nullptr, ALLOC_PARA_FAIL, blocker);
    if (blocker && dentry == ERR_PTR(-EWOULDBLOCK))
        note_obligation(*blocker, OWES_DPUT, function);
    else if (!IS_ERR(dentry) && d_in_lookup(dentry))
        note_obligation(dentry, OWES_LOOKUP_DONE, function);
    return dentry;
}

} // namespace

// v3 05/19 fs/dcache.c d_alloc_noblock().
dentry *d_alloc_noblock(dentry *parent, qstr *name)
{
    return alloc_noblock(parent, name, nullptr, __func__);
}

// Linux v7.4 queue fs/dcache.c d_alloc_trylock().
dentry *d_alloc_trylock(dentry *parent, qstr *name)
{
    return alloc_noblock(parent, name, nullptr, __func__);
}

// v3 10/19 fs/dcache.c d_alloc_noblock_return().
dentry *d_alloc_noblock_return(dentry *parent, qstr *name, dentry **blocker)
{
    return alloc_noblock(parent, name, blocker, __func__);
}

dentry *d_alloc_noblock_blocker(dentry *parent, qstr *name, dentry **blocker)
{
    *blocker = nullptr;
    return alloc_noblock(parent, name, blocker, __func__);
}

// v3 06/19 fs/dcache.c d_duplicate().
dentry *d_duplicate(dentry *dentry)
{
    // Stable: the parent is locked for writing, and so nobody renames here.
    struct dentry *parent = READ_ONCE(dentry->d_parent);
    struct dentry *twin;
    hlist_bl_head *b;
    qstr name;

    if (era_cannot(__func__))
        return ERR_PTR(-EOPNOTSUPP);
    WARN_ON(d_unhashed(dentry) || d_is_negative(dentry));
    name.hash_len = READ_ONCE(dentry->d_name.hash_len);
    name.name = READ_ONCE(dentry->d_name.name);
    twin = __d_alloc(parent->d_sb, &name);
    if (unlikely(!twin))
        return ERR_PTR(-ENOMEM);

    // Before the child list makes it visible, as in d_alloc_parallel().
    twin->d_flags |= DCACHE_PAR_LOOKUP | DCACHE_BESIDE_LOOKUP;
    spin_lock(&parent->d_lock);
    WRITE_ONCE(twin->d_parent, dget_dlock(parent));
    hlist_add_head(&twin->d_sib, &parent->d_children);
    if (d_flags_locked(parent) & DCACHE_DISCONNECTED)
        twin->d_flags |= DCACHE_DISCONNECTED;
    spin_unlock(&parent->d_lock);

    // Nothing to look for in the bucket: as long as the original is hashed, whoever wants the name
    // stops at the hash and never comes here.
    b = in_lookup_hash(parent, name.hash);
    hlist_bl_lock(b);
    hlist_bl_add_head(&twin->d_in_lookup_hash, b);
    hlist_bl_unlock(b);
    note_obligation(twin, OWES_LOOKUP_DONE, __func__);
    return twin;
}

// The second half of lookup_one_qstr(), February 2025 03/19 fs/namei.c.
dentry *lookup_one_found(inode *dir, dentry *dentry, unsigned flags, const char *function)
{
    struct dentry *old;

    // Somebody else may have looked it up.
    if (d_in_lookup(dentry)) {
        vfs_count(FS_LOOKUPS);
        old = dir->i_op->lookup(dir, dentry, flags);
        if (unlikely(old)) {
            d_lookup_done(dentry);
            dput(dentry);
            if (IS_ERR(old))
                return old;
            dentry = old;
        } else if (!(flags & LOOKUP_INTENT_FLAGS)) {
            // The answer is final, whatever ->lookup() published.
            d_lookup_done(dentry);
        } else if (d_in_lookup(dentry)) {
            note_obligation(dentry, OWES_LOOKUP_DONE, function);
        }
    }
    if (d_is_negative(dentry) && !(flags & LOOKUP_CREATE)) {
        d_lookup_done(dentry);
        dput(dentry);
        return ERR_PTR(-ENOENT);
    }
    if (d_is_positive(dentry) && (flags & LOOKUP_EXCL)) {
        dput(dentry);
        return ERR_PTR(-EEXIST);
    }
    return dentry;
}

// lookup_one_qstr() of 7 Feb 2025, 03/19, with the error checks of 05/19 (Linux v6.16
// lookup_one_qstr_excl()).
dentry *lookup_one_qstr(const qstr *name, dentry *base, unsigned flags)
{
    inode *dir = d_inode(base);
    dentry *dentry;

    if (era_cannot(__func__))
        return ERR_PTR(-EOPNOTSUPP);
    dentry = lookup_dcache(name, base, flags);
    if (dentry)
        goto found;

    if (unlikely(IS_DEADDIR(dir)))
        return ERR_PTR(-ENOENT);
    dentry = d_alloc_parallel(base, name);
found:
    return IS_ERR(dentry) ? dentry : lookup_one_found(dir, dentry, flags, __func__);
}

bool dentry_still_valid(dentry *dentry, const struct dentry *parent, const qstr *name)
{
    bool valid;

    spin_lock(&dentry->d_lock);
    if (d_flags_locked(dentry) & DCACHE_PAR_LOOKUP)
        valid = true;
    else
        valid = !d_unhashed(dentry) && READ_LOCKED(dentry->d_parent) == parent &&
                dentry->d_name.hash() == name->hash && d_same_name(dentry, parent, name);
    spin_unlock(&dentry->d_lock);
    return valid;
}

} // namespace dcsim::inline DCSIM_BACKEND
