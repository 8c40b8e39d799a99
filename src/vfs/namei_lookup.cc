// SPDX-License-Identifier: GPL-2.0-only
//
// One name in one directory, with references.
//
// A name is first looked for in the cache. A miss takes the directory's i_rwsem shared and goes
// through d_alloc_parallel(): whoever gets a new in-lookup dentry asks the file system, everybody
// else who wants the name waits for that answer.
#include <cstring>

#include "namei_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

// Linux v6.14 fs/namei.c d_revalidate().
int d_revalidate(inode *dir, const qstr *name, dentry *dentry, unsigned flags)
{
    if (unlikely(READ_ONCE(dentry->d_flags) & DCACHE_OP_REVALIDATE))
        return dentry->d_op->d_revalidate(dir, name, dentry, flags);
    return 1;
}

// Linux v6.12 fs/namei.c lookup_dcache().
dentry *lookup_dcache(const qstr *name, dentry *dir, unsigned flags)
{
    dentry *dentry = d_lookup(dir, name);

    if (dentry) {
        int error = d_revalidate(d_inode(dir), name, dentry, flags);
        if (unlikely(error <= 0)) {
            if (!error)
                d_invalidate(dentry);
            dput(dentry);
            return ERR_PTR(error);
        }
    }
    return dentry;
}

// Linux v6.16 fs/namei.c lookup_one_qstr_excl().
dentry *lookup_one_qstr_excl(const qstr *name, dentry *base, unsigned flags)
{
    dentry *dentry = lookup_dcache(name, base, flags);
    struct dentry *old;
    inode *dir = d_inode(base);

    WARN(lookup_outside_rwsem,
         "lookup_one_qstr_excl() for \"%.*s\": where names are found outside the lock, it does not "
         "keep others from looking them up; start_dirop() does",
         static_cast<int>(name->len), reinterpret_cast<const char *>(name->name));
    if (dentry)
        goto found;

    if (unlikely(IS_DEADDIR(dir)))
        return ERR_PTR(-ENOENT);

    // i_rwsem is held for writing, so nobody else looks anything up in here.
    dentry = d_alloc(base, name);
    if (unlikely(!dentry))
        return ERR_PTR(-ENOMEM);

    vfs_count(FS_LOOKUPS);
    old = dir->i_op->lookup(dir, dentry, flags);
    if (unlikely(old)) {
        dput(dentry);
        dentry = old;
    }
found:
    if (IS_ERR(dentry))
        return dentry;
    if (d_is_negative(dentry) && !(flags & LOOKUP_CREATE)) {
        dput(dentry);
        return ERR_PTR(-ENOENT);
    }
    if (d_is_positive(dentry) && (flags & LOOKUP_EXCL)) {
        dput(dentry);
        return ERR_PTR(-EEXIST);
    }
    return dentry;
}

// Linux v6.12 fs/namei.c __lookup_slow(), with every era's d_alloc_parallel().
dentry *__lookup_slow(const qstr *name, dentry *dir, unsigned flags)
{
    dentry *dentry;
    struct dentry *old;
    inode *inode = d_inode(dir);
    caller_wait_queue wq;

    if (unlikely(IS_DEADDIR(inode)))
        return ERR_PTR(-ENOENT);
again:
    dentry = d_alloc_parallel(dir, name, wq.head());
    if (IS_ERR(dentry))
        return dentry;
    if (unlikely(!d_in_lookup(dentry))) {
        int error = d_revalidate(inode, name, dentry, flags);
        if (unlikely(error <= 0)) {
            if (!error) {
                d_invalidate(dentry);
                dput(dentry);
                goto again;
            }
            dput(dentry);
            dentry = ERR_PTR(error);
        }
    } else {
        vfs_count(FS_LOOKUPS);
        old = inode->i_op->lookup(inode, dentry, flags | LOOKUP_SHARED);
        d_lookup_done(dentry);
        if (unlikely(old)) {
            dput(dentry);
            dentry = old;
        }
    }
    return dentry;
}

// Linux v6.12 fs/namei.c lookup_slow().
dentry *lookup_slow(const qstr *name, dentry *dir, unsigned flags)
{
    inode *inode = d_inode(dir);
    dentry *res;

    if (unlikely(lookup_outside_rwsem))
        return lookup_slow_outside(name, dir, flags);
    inode_lock_shared(inode);
    res = __lookup_slow(name, dir, flags);
    inode_unlock_shared(inode);
    return res;
}

// Linux v6.16 fs/namei.c lookup_noperm_common().
int lookup_noperm_common(qstr *name, dentry *base)
{
    const char *text = reinterpret_cast<const char *>(name->name);
    u32 length = name->len;

    name->hash = full_name_hash(base, text, length);
    if (!length || (text[0] == '.' && (length == 1 || (length == 2 && text[1] == '.'))))
        return -EACCES;
    if (memchr(text, '/', length) || memchr(text, 0, length))
        return -EACCES;

    if (READ_ONCE(base->d_flags) & DCACHE_OP_HASH) {
        int err = base->d_op->d_hash(base, name);
        if (err < 0)
            return err;
    }
    return 0;
}

// Linux v6.17 fs/namei.c try_lookup_noperm().
dentry *try_lookup_noperm(qstr *name, dentry *base)
{
    int err = lookup_noperm_common(name, base);

    return err ? ERR_PTR(err) : d_lookup(base, name);
}

// Linux v6.16 fs/namei.c lookup_noperm_unlocked().
dentry *lookup_noperm_unlocked(qstr *name, dentry *base)
{
    int err = lookup_noperm_common(name, base);
    dentry *ret;

    if (err)
        return ERR_PTR(err);
    ret = lookup_dcache(name, base, 0);
    if (!ret)
        ret = lookup_slow(name, base, 0);
    return ret;
}

} // namespace dcsim::inline DCSIM_BACKEND
