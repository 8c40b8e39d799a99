// SPDX-License-Identifier: GPL-2.0-only
//
// Operations that change directories, and the locks they need.
//
// Order of i_rwsems: s_vfs_rename_mutex first when two directories are involved; then directories,
// an ancestor before its descendant; then the objects themselves, directories before others, two
// non-directories by address. The topology of the tree changes only under s_vfs_rename_mutex.
//
// Reduced: no permissions, no security hooks, no notification, no delegations, no quota.
#include <functional>

#include "dcsim/kernel/bug.h"
#include "dcsim/vfs/namei.h"
#include "internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

// Linux v6.12 fs/namei.c may_delete(), without permissions.
int may_delete(inode *dir, dentry *victim, bool isdir)
{
    if (d_is_negative(victim))
        return -ENOENT;
    BUG_ON(!d_inode(victim));
    BUG_ON(d_inode(READ_ONCE(victim->d_parent)) != dir);
    if (isdir) {
        if (!d_is_dir(victim))
            return -ENOTDIR;
        if (IS_ROOT(victim))
            return -EBUSY;
    } else if (d_is_dir(victim)) {
        return -EISDIR;
    }
    if (IS_DEADDIR(dir))
        return -ENOENT;
    // Removed already, and only kept until its last user is gone.
    return READ_ONCE(victim->d_flags) & DCACHE_NFSFS_RENAMED ? -EBUSY : 0;
}

// Linux v6.12 fs/namei.c may_create(), without permissions.
int may_create(inode *dir, dentry *child)
{
    if (d_is_positive(child))
        return -EEXIST;
    return IS_DEADDIR(dir) ? -ENOENT : 0;
}

/// Something is mounted here, in the only namespace there is.
bool is_local_mountpoint(dentry *dentry)
{
    return d_mountpoint(dentry);
}

} // namespace

// Linux v6.12 fs/namei.c vfs_create().
int vfs_create(inode *dir, dentry *dentry, umode_t mode)
{
    int error = may_create(dir, dentry);

    if (error)
        return error;
    if (!dir->i_op->create)
        return -EACCES;
    return dir->i_op->create(dir, dentry, static_cast<umode_t>((mode & 07777) | S_IFREG_TYPE),
                             true);
}

// Linux v6.12 fs/namei.c vfs_mkdir().
int vfs_mkdir(inode *dir, dentry *dentry, umode_t mode)
{
    int error = may_create(dir, dentry);

    if (error)
        return error;
    if (!dir->i_op->mkdir)
        return -EPERM;
    return dir->i_op->mkdir(dir, dentry, mode & 07777);
}

// Linux v6.12 fs/namei.c vfs_symlink().
int vfs_symlink(inode *dir, dentry *dentry, const char *body)
{
    int error = may_create(dir, dentry);

    if (error)
        return error;
    if (!dir->i_op->symlink)
        return -EPERM;
    return dir->i_op->symlink(dir, dentry, body);
}

// Linux v6.12 fs/namei.c vfs_link().
int vfs_link(dentry *old_dentry, inode *dir, dentry *new_dentry)
{
    inode *inode = d_inode(old_dentry);
    int error;

    if (!inode)
        return -ENOENT;
    error = may_create(dir, new_dentry);
    if (error)
        return error;
    if (dir->i_sb != inode->i_sb)
        return -EXDEV;
    if (!dir->i_op->link)
        return -EPERM;
    if (inode_is_directory(inode))
        return -EPERM;

    inode_lock(inode);
    // A file whose last name is gone must not come back.
    if (READ_ONCE(inode->i_nlink) == 0)
        error = -ENOENT;
    else
        error = dir->i_op->link(old_dentry, dir, new_dentry);
    inode_unlock(inode);
    return error;
}

// Linux v6.12 fs/namei.c vfs_unlink().
int vfs_unlink(inode *dir, dentry *dentry)
{
    inode *target = d_inode(dentry);
    int error = may_delete(dir, dentry, false);

    if (error)
        return error;
    if (!dir->i_op->unlink)
        return -EPERM;

    inode_lock(target);
    if (is_local_mountpoint(dentry)) {
        error = -EBUSY;
    } else {
        error = dir->i_op->unlink(dir, dentry);
        if (!error) {
            dont_mount(dentry);
            detach_mounts(dentry);
        }
    }
    inode_unlock(target);

    // After the unlock: this may be the inode's last reference.
    if (!error && !(READ_ONCE(dentry->d_flags) & DCACHE_NFSFS_RENAMED))
        d_delete(dentry);
    return error;
}

// Linux v6.12 fs/namei.c vfs_rmdir().
int vfs_rmdir(inode *dir, dentry *dentry)
{
    inode *victim = d_inode(dentry);
    int error = may_delete(dir, dentry, true);

    if (error)
        return error;
    if (!dir->i_op->rmdir)
        return -EPERM;

    dget(dentry);
    inode_lock(victim);
    error = -EBUSY;
    if (is_local_mountpoint(dentry))
        goto out;
    error = dir->i_op->rmdir(dir, dentry);
    if (error)
        goto out;
    shrink_dcache_parent(dentry);
    victim->i_flags |= S_DEAD;
    dont_mount(dentry);
    detach_mounts(dentry);
out:
    inode_unlock(victim);
    dput(dentry);
    if (!error)
        d_delete(dentry);
    return error;
}

// --- Rename ---

static dentry *top_of(dentry *dentry)
{
    while (!IS_ROOT(dentry))
        dentry = READ_ONCE(dentry->d_parent);
    return dentry;
}

// Linux v6.12 fs/namei.c lock_two_directories().
static dentry *lock_two_directories(dentry *p1, dentry *p2)
    __context_unsafe("which one is the outer depends on the tree")
{
    dentry *trap;

    // s_vfs_rename_mutex keeps the topology still, so each relation found here lasts.
    trap = d_ancestor(p2, p1);
    if (trap) {
        inode_lock_nested(d_inode(p2), I_MUTEX_PARENT);
        inode_lock_nested(d_inode(p1), I_MUTEX_PARENT2);
        return trap;
    }
    trap = d_ancestor(p1, p2);
    if (!trap && top_of(p1) != top_of(p2)) {
        // Two trees (one hangs on a disconnected root): no order between their directories exists.
        mutex_unlock(&p1->d_sb->s_vfs_rename_mutex);
        return ERR_PTR(-EXDEV);
    }
    inode_lock_nested(d_inode(p1), I_MUTEX_PARENT);
    inode_lock_nested(d_inode(p2), I_MUTEX_PARENT2);
    return trap;
}

// Linux v6.12 fs/namei.c lock_rename().
dentry *lock_rename(dentry *p1, dentry *p2) __context_unsafe("locks one directory or two")
{
    if (p1 == p2) {
        inode_lock_nested(d_inode(p1), I_MUTEX_PARENT);
        return nullptr;
    }
    mutex_lock(&p1->d_sb->s_vfs_rename_mutex);
    return lock_two_directories(p1, p2);
}

// Linux v6.12 fs/namei.c unlock_rename().
void unlock_rename(dentry *p1, dentry *p2) __context_unsafe("unlocks one directory or two")
{
    inode_unlock(d_inode(p1));
    if (p1 != p2) {
        inode_unlock(d_inode(p2));
        mutex_unlock(&p1->d_sb->s_vfs_rename_mutex);
    }
}

namespace
{

/// The i_rwsems of what is renamed, inside those of the two parents. Which of them, and in which
/// order, follows from what the two objects are (vfs_rename() in fs/namei.c).
struct rename_locks {
    inode *first;
    inode *second;

    void add(inode *inode)
    {
        (first ? second : first) = inode;
    }
};

rename_locks choose_rename_locks(inode *source, inode *target, bool cross_directory, unsigned flags)
{
    bool is_dir = inode_is_directory(source);
    bool new_is_dir = target && inode_is_directory(target);
    bool lock_target_dir = cross_directory || !(flags & RENAME_EXCHANGE_FLAG);
    rename_locks locks = {nullptr, nullptr};

    if (is_dir) {
        // A directory's ".." changes only when it gets another parent.
        if (cross_directory)
            locks.add(source);
        if (target && (!new_is_dir || lock_target_dir))
            locks.add(target);
    } else if (new_is_dir) {
        if (lock_target_dir)
            locks.add(target);
        locks.add(source);
    } else {
        if (target && std::less<inode *>()(target, source))
            locks.add(target);
        locks.add(source);
        if (target && locks.first != target)
            locks.add(target);
    }
    return locks;
}

void lock_for_rename(const rename_locks &locks) __context_unsafe("a set chosen at run time")
{
    if (locks.first)
        inode_lock_nested(locks.first, I_MUTEX_CHILD);
    if (locks.second)
        inode_lock_nested(locks.second, I_MUTEX_NONDIR2);
}

void unlock_for_rename(const rename_locks &locks) __context_unsafe("a set chosen at run time")
{
    if (locks.second)
        inode_unlock(locks.second);
    if (locks.first)
        inode_unlock(locks.first);
}

int may_rename(inode *old_dir, dentry *old_dentry, inode *new_dir, dentry *new_dentry,
               unsigned flags)
{
    bool is_dir = d_is_dir(old_dentry);
    int error = may_delete(old_dir, old_dentry, is_dir);

    if (error)
        return error;
    if (d_is_negative(new_dentry))
        error = may_create(new_dir, new_dentry);
    else if (!(flags & RENAME_EXCHANGE_FLAG))
        error = may_delete(new_dir, new_dentry, is_dir);
    else
        error = may_delete(new_dir, new_dentry, d_is_dir(new_dentry));
    if (error)
        return error;
    return old_dir->i_op->rename ? 0 : -EPERM;
}

} // namespace

// Linux v6.12 fs/namei.c vfs_rename().
int vfs_rename(inode *old_dir, dentry *old_dentry, inode *new_dir, dentry *new_dentry,
               unsigned flags)
{
    inode *source = d_inode(old_dentry);
    inode *target = d_inode(new_dentry);
    bool new_is_dir = target && inode_is_directory(target);
    rename_locks locks;
    int error;

    if (source == target)
        return 0;
    error = may_rename(old_dir, old_dentry, new_dir, new_dentry, flags);
    if (error)
        return error;

    dget(new_dentry);
    locks = choose_rename_locks(source, target, old_dir != new_dir, flags);
    lock_for_rename(locks);

    error = -EBUSY;
    if (is_local_mountpoint(old_dentry) || is_local_mountpoint(new_dentry))
        goto out;
    error = old_dir->i_op->rename(old_dir, old_dentry, new_dir, new_dentry, flags);
    if (error)
        goto out;

    if (!(flags & RENAME_EXCHANGE_FLAG) && target) {
        if (new_is_dir) {
            shrink_dcache_parent(new_dentry);
            target->i_flags |= S_DEAD;
        }
        dont_mount(new_dentry);
        detach_mounts(new_dentry);
    }
    if (!(flags & RENAME_EXCHANGE_FLAG))
        d_move(old_dentry, new_dentry);
    else
        d_exchange(old_dentry, new_dentry);
out:
    unlock_for_rename(locks);
    dput(new_dentry);
    return error;
}

// --- By parent and name ---

namespace
{

/// Looks a name up in a directory that is locked for writing.
dentry *lookup_locked(dentry *parent, const char *name, size_t length, unsigned flags)
{
    qstr q;
    int error;

    if (length > NAME_MAX_LENGTH)
        return ERR_PTR(-ENAMETOOLONG);
    q = make_qstr(name, static_cast<u32>(length));
    error = lookup_noperm_common(&q, parent);
    return error ? ERR_PTR(error) : lookup_one_qstr_excl(&q, parent, flags);
}

/// Locks `parent`, looks the name up, runs `operation(dir, dentry)`, and puts everything back.
template <typename Operation>
int with_locked_name(dentry *parent, const char *name, size_t length, unsigned flags,
                     Operation operation)
{
    inode *dir = d_inode(parent);
    dentry *dentry;
    int error;

    inode_lock_nested(dir, I_MUTEX_PARENT);
    dentry = lookup_locked(parent, name, length, flags);
    if (IS_ERR(dentry)) {
        error = PTR_ERR(dentry);
    } else {
        error = operation(dir, dentry);
        dput(dentry);
    }
    inode_unlock(dir);
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

namespace
{

/// do_renameat2() between lock_rename() and unlock_rename(), once the source is known.
int rename_locked(dentry *old_parent, dentry *old_dentry, dentry *new_parent, dentry *new_dentry,
                  dentry *trap, unsigned flags)
{
    if ((flags & RENAME_NOREPLACE_FLAG) && d_is_positive(new_dentry))
        return -EEXIST;
    if ((flags & RENAME_EXCHANGE_FLAG) && d_is_negative(new_dentry))
        return -ENOENT;
    // A directory must not become its own descendant, nor replace an ancestor of its own.
    if (old_dentry == trap)
        return -EINVAL;
    if (new_dentry == trap)
        return flags & RENAME_EXCHANGE_FLAG ? -EINVAL : -ENOTEMPTY;
    return vfs_rename(d_inode(old_parent), old_dentry, d_inode(new_parent), new_dentry, flags);
}

/// What ->lookup() may assume about the target. Not for an exchange: there the target must be
/// known.
unsigned rename_target_flags(unsigned flags)
{
    if (flags & RENAME_EXCHANGE_FLAG)
        return 0;
    return LOOKUP_CREATE | LOOKUP_RENAME_TARGET |
           (flags & RENAME_NOREPLACE_FLAG ? unsigned{LOOKUP_EXCL} : 0);
}

} // namespace

int rename_at(dentry *old_parent, const char *old_name, size_t old_length, dentry *new_parent,
              const char *new_name, size_t new_length, unsigned flags)
{
    dentry *old_dentry, *new_dentry, *trap;
    int error;

    if (flags & ~(RENAME_NOREPLACE_FLAG | RENAME_EXCHANGE_FLAG))
        return -EINVAL;
    if ((flags & RENAME_NOREPLACE_FLAG) && (flags & RENAME_EXCHANGE_FLAG))
        return -EINVAL;
    if (old_parent->d_sb != new_parent->d_sb)
        return -EXDEV;

    trap = lock_rename(new_parent, old_parent);
    if (IS_ERR(trap))
        return PTR_ERR(trap);
    old_dentry = lookup_locked(old_parent, old_name, old_length, 0);
    error = PTR_ERR(old_dentry);
    if (IS_ERR(old_dentry))
        goto unlock;
    error = -ENOENT;
    if (d_is_negative(old_dentry))
        goto put_old;
    new_dentry = lookup_locked(new_parent, new_name, new_length, rename_target_flags(flags));
    error = PTR_ERR(new_dentry);
    if (IS_ERR(new_dentry))
        goto put_old;
    error = rename_locked(old_parent, old_dentry, new_parent, new_dentry, trap, flags);
    dput(new_dentry);
put_old:
    dput(old_dentry);
unlock:
    unlock_rename(new_parent, old_parent);
    return error;
}

} // namespace dcsim::inline DCSIM_BACKEND
