// SPDX-License-Identifier: GPL-2.0-only
//
// The order that is proposed for all this: a name is found or allocated first, and the directory's
// i_rwsem is taken after, around the file system's own work alone. vfs_config::lookup_outside_rwsem
// chooses it. Source: the rules of March 2026's series (51/53 to 53/53), for which there is no
// merged text; docs/proposed.md.
//
// An in-lookup dentry is then what locks a name. Its owner may sleep for the directory, so whoever
// holds the directory must not sleep for such a dentry:
//
//   1. d_alloc_parallel() comes before i_rwsem and never under it, not even shared.
//   2. What was found before may have moved or gone once the directory is locked: recheck, and when
//      it is not the same any more drop it and start over.
//   3. A lookup takes i_rwsem shared, around ->lookup() alone; an open with O_CREAT takes it for
//      writing, around ->create() or ->atomic_open().
//   4. A rename finds both names, then locks, then rechecks both.
//   5. Nobody drops a dentry before the operation on it is over, or the name could be looked up a
//      second time meanwhile.
//
// And one that follows from them: a task owns one in-lookup dentry at most while it waits for
// another one, or two renames in opposite directions would wait for each other. So a rename's
// source, which must exist, is looked up to the end before its target is allocated.
#include "dcsim/vfs/file.h"
#include "namei_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// Ends what the caller of find_or_allocate() got: done with it, used or not.
void give_up(dentry *dentry)
{
    d_lookup_done(dentry);
    dput(dentry);
}

/// `name` in `dir`, with nothing locked: in lookup and then the caller's, or cached and valid,
/// maybe negative. Begins with `cached`, whose reference it consumes, or nullptr.
dentry *find_or_allocate(const qstr *name, dentry *dir, unsigned flags, dentry *cached)
{
    dentry *dentry = cached;
    int error;

    for (;;) {
        if (!dentry)
            dentry = d_alloc_parallel(dir, name, nullptr);
        if (IS_ERR(dentry) || d_in_lookup(dentry))
            return dentry;
        error = d_revalidate(d_inode(dir), name, dentry, flags);
        if (likely(error > 0))
            return dentry;
        if (!error)
            d_invalidate(dentry);
        dput(dentry);
        if (error)
            return ERR_PTR(error);
        dentry = nullptr;
    }
}

/// Once `parent` is locked for writing and `dentry` rechecked: lookup_one_qstr_excl()'s result.
dentry *look_up_locked(dentry *parent, dentry *dentry, unsigned flags, const char *function)
{
    inode *dir = d_inode(parent);

    if (d_in_lookup(dentry) && unlikely(IS_DEADDIR(dir))) {
        give_up(dentry);
        return ERR_PTR(-ENOENT);
    }
    return lookup_one_found(dir, dentry, flags, function);
}

} // namespace

dentry *lookup_slow_outside(const qstr *name, dentry *dir, unsigned flags)
{
    inode *inode = d_inode(dir);
    dentry *dentry = find_or_allocate(name, dir, flags, nullptr);
    struct dentry *old;

    if (IS_ERR(dentry) || !d_in_lookup(dentry))
        return dentry;
    // Nobody but its owner changes an in-lookup dentry: the recheck is whether the directory is
    // still one.
    inode_lock_shared(inode);
    if (unlikely(IS_DEADDIR(inode))) {
        old = ERR_PTR(-ENOENT);
    } else {
        vfs_count(FS_LOOKUPS);
        old = inode->i_op->lookup(inode, dentry, flags | LOOKUP_SHARED);
    }
    d_lookup_done(dentry);
    inode_unlock_shared(inode);
    if (unlikely(old)) {
        dput(dentry);
        dentry = old;
    }
    return dentry;
}

dentry *lookup_open_outside(nameidata *nd, file *file, const open_flags *op, bool got_write)
    __context_unsafe("for writing or shared, as O_CREAT says")
{
    dentry *dir = nd->path.dentry;
    inode *dir_inode = d_inode(dir);
    bool create = op->open_flag & OPEN_CREAT;
    dentry *dentry;

    file->f_mode &= ~FMODE_CREATED;
again:
    dentry = find_or_allocate(&nd->last, dir, nd->flags, d_lookup(dir, &nd->last));
    // Not d_inode(): it is there before the type is, and the rest of the walk goes by the type. In
    // between may be, here, who creates the name, and under the shared lock who splices an inode
    // onto its hashed negative dentry (splice_hashed).
    if (IS_ERR(dentry) || d_is_positive(dentry))
        return dentry;

    if (create)
        inode_lock(dir_inode);
    else
        inode_lock_shared(dir_inode);
    if (unlikely(IS_DEADDIR(dir_inode))) {
        give_up(dentry);
        dentry = ERR_PTR(-ENOENT);
    } else if (unlikely(!dentry_still_valid(dentry, dir, &nd->last))) {
        dput(dentry);
        dentry = nullptr;
    } else if (likely(d_is_negative(dentry))) {
        dentry = lookup_or_create(nd, dentry, file, op, got_write);
    }
    if (create)
        inode_unlock(dir_inode);
    else
        inode_unlock_shared(dir_inode);
    if (!dentry)
        goto again;
    return dentry;
}

dentry *start_dirop_outside(dentry *parent, const qstr *name, unsigned flags, const char *function)
    __context_unsafe("returns with the parent locked")
{
    inode *dir = d_inode(parent);
    dentry *dentry;

again:
    dentry = find_or_allocate(name, parent, flags, d_lookup(parent, name));
    if (IS_ERR(dentry))
        return dentry;
    inode_lock_nested(dir, I_MUTEX_PARENT);
    if (unlikely(!dentry_still_valid(dentry, parent, name))) {
        inode_unlock(dir);
        dput(dentry);
        goto again;
    }
    dentry = look_up_locked(parent, dentry, flags, function);
    if (IS_ERR(dentry))
        inode_unlock(dir);
    return dentry;
}

int lock_for_renaming_outside(renamedata *rd, unsigned lookup_flags, const qstr *old_last,
                              const qstr *new_last, dentry **trap, const char *function)
    __context_unsafe("returns with both parents locked")
{
    unsigned target_flags = lookup_flags | rename_target_flags(rd->flags);
    dentry *source, *target;

again:
    source = lookup_dcache(old_last, rd->old_parent, lookup_flags);
    if (!source)
        source = lookup_slow_outside(old_last, rd->old_parent, lookup_flags);
    if (IS_ERR(source))
        return PTR_ERR(source);
    if (d_is_negative(source)) {
        dput(source);
        return -ENOENT;
    }
    target = find_or_allocate(new_last, rd->new_parent, target_flags,
                              d_lookup(rd->new_parent, new_last));
    if (IS_ERR(target)) {
        dput(source);
        return PTR_ERR(target);
    }
    *trap = lock_rename(rd->old_parent, rd->new_parent);
    if (IS_ERR(*trap)) {
        give_up(target);
        dput(source);
        return PTR_ERR(*trap);
    }
    if (unlikely(!dentry_still_valid(source, rd->old_parent, old_last) ||
                 !dentry_still_valid(target, rd->new_parent, new_last))) {
        unlock_rename(rd->old_parent, rd->new_parent);
        give_up(target);
        dput(source);
        goto again;
    }
    target = look_up_locked(rd->new_parent, target, target_flags, function);
    if (IS_ERR(target)) {
        unlock_rename(rd->old_parent, rd->new_parent);
        dput(source);
        return PTR_ERR(target);
    }
    rd->old_dentry = source;
    rd->new_dentry = target;
    return 0;
}

int start_renaming_dentry_outside(renamedata *rd, unsigned lookup_flags, dentry *old_dentry,
                                  const qstr *new_last)
    __context_unsafe("returns with both parents locked")
{
    unsigned target_flags = lookup_flags | rename_target_flags(rd->flags);
    dentry *trap, *target;
    int error;

again:
    target = find_or_allocate(new_last, rd->new_parent, target_flags,
                              d_lookup(rd->new_parent, new_last));
    if (IS_ERR(target))
        return PTR_ERR(target);
    trap = lock_rename_child(old_dentry, rd->new_parent);
    if (IS_ERR(trap)) {
        give_up(target);
        return PTR_ERR(trap);
    }
    error = -EINVAL;
    if (!is_where_it_was(rd, old_dentry))
        goto put_target;
    if (unlikely(!dentry_still_valid(target, rd->new_parent, new_last))) {
        unlock_rename(READ_ONCE(old_dentry->d_parent), rd->new_parent);
        dput(target);
        goto again;
    }
    target = look_up_locked(rd->new_parent, target, target_flags, "start_renaming_dentry");
    error = PTR_ERR(target);
    if (IS_ERR(target))
        goto unlock;
    error = check_trap(trap, old_dentry, target, rd->flags);
    if (error)
        goto put_target;

    rd->old_dentry = dget(old_dentry);
    rd->new_dentry = target;
    rd->old_parent = dget(READ_ONCE(old_dentry->d_parent));
    return 0;

put_target:
    give_up(target);
unlock:
    unlock_rename(READ_ONCE(old_dentry->d_parent), rd->new_parent);
    return error;
}

} // namespace dcsim::inline DCSIM_BACKEND
