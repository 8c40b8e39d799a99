// SPDX-License-Identifier: GPL-2.0-only
//
// One name, made safe to change: which lock that takes is known here and to lock_rename() alone.
//
// start_*() locks the parent and finds or checks the name, end_*() unlocks and drops it. The parent
// stays locked between the two, so a child that was there at the start still is at the end, and its
// d_parent says what to unlock.
//
// With vfs_config::lookup_outside_rwsem the name is found first (namei_outside.cc) and may be in
// lookup all the way to end_*(), which ends that; in v6.19's order there is nothing to end.
#include "dcsim/kernel/bug.h"
#include "namei_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

// Linux v6.16 fs/namei.c lookup_one_common().
int lookup_one_common(qstr *name, dentry *base)
{
    int error = lookup_noperm_common(name, base);

    return error ? error : inode_permission(d_inode(base), MAY_EXEC);
}

/// Is `child` still in the directory that was locked for it?
bool still_there(const dentry *parent, const dentry *child)
{
    return !IS_DEADDIR(d_inode(parent)) && READ_ONCE(child->d_parent) == parent &&
           !d_unhashed(child);
}

/// Locks the parent of a child that was found before, and checks it: start_creating_dentry() and
/// start_removing_dentry() but for what kind of child they want.
dentry *start_dentry(dentry *parent, dentry *child, bool positive, int otherwise)
    __context_unsafe("returns with the parent locked")
{
    int error = 0;

    inode_lock_nested(d_inode(parent), I_MUTEX_PARENT);
    if (unlikely(!still_there(parent, child)))
        error = -EINVAL;
    else if (d_is_positive(child) != positive)
        error = otherwise;
    if (!error)
        return dget(child);
    inode_unlock(d_inode(parent));
    return ERR_PTR(error);
}

} // namespace

// Linux v6.19 fs/namei.c __start_dirop().
dentry *__start_dirop(dentry *parent, const qstr *name, unsigned flags, const char *function)
    __context_unsafe("returns with the parent locked")
{
    inode *dir = d_inode(parent);
    dentry *dentry;

    if (unlikely(lookup_outside_rwsem))
        return start_dirop_outside(parent, name, flags, function);
    inode_lock_nested(dir, I_MUTEX_PARENT);
    dentry = lookup_one_qstr_excl(name, parent, flags);
    if (IS_ERR(dentry))
        inode_unlock(dir);
    return dentry;
}

// Linux v6.19 fs/namei.c start_dirop().
dentry *start_dirop(dentry *parent, const qstr *name, unsigned flags)
{
    return __start_dirop(parent, name, flags, __func__);
}

// Linux v6.19 fs/namei.c end_dirop().
void end_dirop(dentry *dentry) __context_unsafe("unlocks what start_dirop() locked")
{
    if (!dentry || IS_ERR(dentry))
        return;
    d_lookup_done(dentry);
    inode_unlock(d_inode(READ_ONCE(dentry->d_parent)));
    dput(dentry);
}

// Linux v6.19 fs/namei.c start_creating().
dentry *start_creating(dentry *parent, qstr *name)
{
    int error = lookup_one_common(name, parent);

    return error ? ERR_PTR(error) : __start_dirop(parent, name, LOOKUP_CREATE, __func__);
}

// Linux v6.19 fs/namei.c start_creating_noperm().
dentry *start_creating_noperm(dentry *parent, qstr *name)
{
    int error = lookup_noperm_common(name, parent);

    return error ? ERR_PTR(error) : __start_dirop(parent, name, LOOKUP_CREATE, __func__);
}

// Linux v6.19 fs/namei.c start_removing().
dentry *start_removing(dentry *parent, qstr *name)
{
    int error = lookup_one_common(name, parent);

    return error ? ERR_PTR(error) : __start_dirop(parent, name, 0, __func__);
}

// Linux v6.19 fs/namei.c start_removing_noperm().
dentry *start_removing_noperm(dentry *parent, qstr *name)
{
    int error = lookup_noperm_common(name, parent);

    return error ? ERR_PTR(error) : __start_dirop(parent, name, 0, __func__);
}

// Linux v6.19 fs/namei.c start_creating_dentry().
dentry *start_creating_dentry(dentry *parent, dentry *child)
{
    return start_dentry(parent, child, false, -EEXIST);
}

// Linux v6.19 fs/namei.c start_removing_dentry().
dentry *start_removing_dentry(dentry *parent, dentry *child)
{
    return start_dentry(parent, child, true, -ENOENT);
}

// Linux v6.19 include/linux/namei.h end_creating().
void end_creating(dentry *child)
{
    end_dirop(child);
}

// Linux v6.19 include/linux/namei.h end_creating_keep().
dentry *end_creating_keep(dentry *child)
{
    if (!IS_ERR(child))
        dget(child);
    end_dirop(child);
    return child;
}

// Linux v6.19 include/linux/namei.h end_removing().
void end_removing(dentry *child)
{
    end_dirop(child);
}

// --- Two names ---

unsigned rename_target_flags(unsigned flags)
{
    unsigned target_flags = LOOKUP_RENAME_TARGET | LOOKUP_CREATE;

    if (flags & RENAME_EXCHANGE_FLAG)
        target_flags = 0;
    if (flags & RENAME_NOREPLACE_FLAG)
        target_flags |= LOOKUP_EXCL;
    return target_flags;
}

int check_trap(const dentry *trap, const dentry *source, const dentry *target, unsigned flags)
{
    if (source == trap)
        return -EINVAL;
    if (target == trap)
        return flags & RENAME_EXCHANGE_FLAG ? -EINVAL : -ENOTEMPTY;
    return 0;
}

int lock_for_renaming(renamedata *rd, unsigned lookup_flags, const qstr *old_last,
                      const qstr *new_last, dentry **trap, const char *function)
    __context_unsafe("returns with both parents locked")
{
    dentry *source, *target;

    if (unlikely(lookup_outside_rwsem))
        return lock_for_renaming_outside(rd, lookup_flags, old_last, new_last, trap, function);
    *trap = lock_rename(rd->old_parent, rd->new_parent);
    if (IS_ERR(*trap))
        return PTR_ERR(*trap);
    source = lookup_one_qstr_excl(old_last, rd->old_parent, lookup_flags);
    if (IS_ERR(source)) {
        unlock_rename(rd->old_parent, rd->new_parent);
        return PTR_ERR(source);
    }
    target = lookup_one_qstr_excl(new_last, rd->new_parent,
                                  lookup_flags | rename_target_flags(rd->flags));
    if (IS_ERR(target)) {
        unlock_rename(rd->old_parent, rd->new_parent);
        dput(source);
        return PTR_ERR(target);
    }
    rd->old_dentry = source;
    rd->new_dentry = target;
    return 0;
}

namespace
{

// Linux v6.19 fs/namei.c __start_renaming(). Both names hashed, permissions checked.
int __start_renaming(renamedata *rd, unsigned lookup_flags, const qstr *old_last,
                     const qstr *new_last, const char *function)
{
    dentry *trap;
    int error = lock_for_renaming(rd, lookup_flags, old_last, new_last, &trap, function);

    if (error)
        return error;
    dget(rd->old_parent);
    error = check_trap(trap, rd->old_dentry, rd->new_dentry, rd->flags);
    if (error)
        end_renaming(rd);
    return error;
}

} // namespace

// Linux v6.19 fs/namei.c start_renaming().
int start_renaming(renamedata *rd, unsigned lookup_flags, qstr *old_last, qstr *new_last)
{
    int error = lookup_one_common(old_last, rd->old_parent);

    if (!error)
        error = lookup_one_common(new_last, rd->new_parent);
    return error ? error : __start_renaming(rd, lookup_flags, old_last, new_last, __func__);
}

bool is_where_it_was(const renamedata *rd, const dentry *old_dentry)
{
    return !d_unhashed(old_dentry) &&
           (!rd->old_parent || rd->old_parent == READ_ONCE(old_dentry->d_parent));
}

// Linux v6.19 fs/namei.c start_renaming_dentry(), __start_renaming_dentry().
int start_renaming_dentry(renamedata *rd, unsigned lookup_flags, dentry *old_dentry, qstr *new_last)
{
    dentry *trap, *target;
    int error = lookup_one_common(new_last, rd->new_parent);

    if (error)
        return error;
    if (unlikely(lookup_outside_rwsem))
        return start_renaming_dentry_outside(rd, lookup_flags, old_dentry, new_last);
    // Its parent may be another one by now: that is the one to lock.
    trap = lock_rename_child(old_dentry, rd->new_parent);
    if (IS_ERR(trap))
        return PTR_ERR(trap);
    error = -EINVAL;
    if (!is_where_it_was(rd, old_dentry))
        goto unlock;
    target = lookup_one_qstr_excl(new_last, rd->new_parent,
                                  lookup_flags | rename_target_flags(rd->flags));
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
    dput(target);
unlock:
    unlock_rename(READ_ONCE(old_dentry->d_parent), rd->new_parent);
    return error;
}

// Linux v6.19 fs/namei.c start_renaming_two_dentries().
int start_renaming_two_dentries(renamedata *rd, dentry *old_dentry, dentry *new_dentry)
{
    dentry *trap = lock_rename_child(old_dentry, rd->new_parent);
    int error = -EINVAL;

    if (IS_ERR(trap))
        return PTR_ERR(trap);
    if (!is_where_it_was(rd, old_dentry))
        goto unlock;
    if (d_unhashed(new_dentry) || rd->new_parent != READ_ONCE(new_dentry->d_parent))
        goto unlock;
    error = check_trap(trap, old_dentry, new_dentry, rd->flags);
    if (error)
        goto unlock;
    error = -EEXIST;
    if (d_is_positive(new_dentry) && (rd->flags & RENAME_NOREPLACE_FLAG))
        goto unlock;

    rd->old_dentry = dget(old_dentry);
    rd->new_dentry = dget(new_dentry);
    rd->old_parent = dget(READ_ONCE(old_dentry->d_parent));
    return 0;

unlock:
    unlock_rename(READ_ONCE(old_dentry->d_parent), rd->new_parent);
    return error;
}

// Linux v6.19 fs/namei.c end_renaming().
void end_renaming(renamedata *rd)
{
    d_lookup_done(rd->new_dentry);
    unlock_rename(rd->old_parent, rd->new_parent);
    dput(rd->old_dentry);
    dput(rd->new_dentry);
    dput(rd->old_parent);
}

// --- By parent and name ---

namespace
{

/// Checks and hashes a name for `parent`, without permissions.
int name_in(dentry *parent, const char *name, size_t length, qstr *result)
{
    if (length > NAME_MAX_LENGTH)
        return -ENAMETOOLONG;
    *result = make_qstr(name, static_cast<u32>(length));
    return lookup_noperm_common(result, parent);
}

/// Locks `parent`, looks the name up, runs `operation(dir, dentry)`, and puts everything back.
template <typename Operation>
int with_locked_name(dentry *parent, const char *name, size_t length, unsigned flags,
                     Operation operation)
{
    dentry *dentry;
    qstr q;
    int error = name_in(parent, name, length, &q);

    if (error)
        return error;
    dentry = start_dirop(parent, &q, flags);
    if (IS_ERR(dentry))
        return PTR_ERR(dentry);
    error = operation(d_inode(parent), dentry);
    end_dirop(dentry);
    return error;
}

} // namespace

int create_at(dentry *parent, const char *name, size_t length, umode_t mode)
{
    return with_locked_name(
        parent, name, length, LOOKUP_CREATE | LOOKUP_EXCL,
        [mode](inode *dir, dentry *dentry) { return vfs_create(dir, dentry, mode); });
}

int mkdir_at(dentry *parent, const char *name, size_t length, umode_t mode)
{
    return with_locked_name(
        parent, name, length, LOOKUP_CREATE | LOOKUP_EXCL | LOOKUP_DIRECTORY,
        [mode](inode *dir, dentry *dentry) { return vfs_mkdir(dir, dentry, mode); });
}

int unlink_at(dentry *parent, const char *name, size_t length)
{
    inode *removed = nullptr;
    int error = with_locked_name(parent, name, length, 0, [&removed](inode *dir, dentry *dentry) {
        removed = d_inode(dentry);
        if (removed)
            ihold(removed);
        return vfs_unlink(dir, dentry);
    });

    // After the directory is unlocked: freeing a file may take long.
    iput(removed);
    return error;
}

int rmdir_at(dentry *parent, const char *name, size_t length)
{
    return with_locked_name(parent, name, length, LOOKUP_DIRECTORY, vfs_rmdir);
}

int link_at(dentry *old_dentry, dentry *parent, const char *name, size_t length)
{
    if (old_dentry->d_sb != parent->d_sb)
        return -EXDEV;
    return with_locked_name(
        parent, name, length, LOOKUP_CREATE | LOOKUP_EXCL,
        [old_dentry](inode *dir, dentry *dentry) { return vfs_link(old_dentry, dir, dentry); });
}

int rename_at(dentry *old_parent, const char *old_name, size_t old_length, dentry *new_parent,
              const char *new_name, size_t new_length, unsigned flags)
{
    renamedata rd = {old_parent, nullptr, new_parent, nullptr, flags};
    qstr old_last, new_last;
    int error;

    if (flags & ~(RENAME_NOREPLACE_FLAG | RENAME_EXCHANGE_FLAG))
        return -EINVAL;
    if ((flags & RENAME_NOREPLACE_FLAG) && (flags & RENAME_EXCHANGE_FLAG))
        return -EINVAL;
    if (old_parent->d_sb != new_parent->d_sb)
        return -EXDEV;
    error = name_in(old_parent, old_name, old_length, &old_last);
    if (!error)
        error = name_in(new_parent, new_name, new_length, &new_last);
    if (!error)
        error = __start_renaming(&rd, 0, &old_last, &new_last, __func__);
    if (error)
        return error;
    error =
        vfs_rename(d_inode(old_parent), rd.old_dentry, d_inode(new_parent), rd.new_dentry, flags);
    end_renaming(&rd);
    return error;
}

} // namespace dcsim::inline DCSIM_BACKEND
