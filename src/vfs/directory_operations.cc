// SPDX-License-Identifier: GPL-2.0-only
//
// Operations that change directories, and the locks they need.
//
// Order of i_rwsems: s_vfs_rename_mutex first when two directories are involved; then directories,
// an ancestor before its descendant; then the objects themselves, directories before others, two
// non-directories by address. The topology of the tree changes only under s_vfs_rename_mutex.
//
// Reduced: no security hooks, no notification, no delegations, no quota, no link limits, no
// append-only, immutable or swap files.
#include <cstring>
#include <functional>
#include <utility>

#include "dcsim/kernel/bug.h"
#include "dcsim/vfs/attributes.h"
#include "namei_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

// Linux v6.12 fs/namei.c may_delete().
//
// The order decides which error somebody gets who may not do it for two reasons.
int may_delete(inode *dir, dentry *victim, bool isdir)
{
    inode *inode = d_inode(victim);
    int error;

    if (d_is_negative(victim))
        return -ENOENT;
    BUG_ON(!inode);
    BUG_ON(d_inode(READ_ONCE(victim->d_parent)) != dir);

    error = inode_permission(dir, MAY_WRITE | MAY_EXEC);
    if (error)
        return error;
    if (check_sticky(dir, inode))
        return -EPERM;
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

// Linux v6.12 fs/namei.c may_create().
int may_create(inode *dir, dentry *child)
{
    if (d_is_positive(child))
        return -EEXIST;
    if (IS_DEADDIR(dir))
        return -ENOENT;
    return inode_permission(dir, MAY_WRITE | MAY_EXEC);
}

} // namespace

// --- Making ---

// Linux v6.12 fs/namei.c vfs_create().
int vfs_create(inode *dir, dentry *dentry, umode_t mode)
{
    int error = may_create(dir, dentry);

    if (error)
        return error;
    if (!dir->i_op->create)
        return -EACCES;
    mode = vfs_prepare_mode(dir, mode, S_IALLUGO_BITS, S_IFREG_TYPE);
    return dir->i_op->create(dir, dentry, mode, true);
}

// Linux v6.12 fs/namei.c vfs_mknod().
int vfs_mknod(inode *dir, dentry *dentry, umode_t mode, unsigned device)
{
    umode_t type = mode & S_IFMT_MASK;
    bool is_whiteout = type == S_IFCHR_TYPE && device == 0;
    int error = may_create(dir, dentry);

    if (error)
        return error;
    // A device gives access to what is behind it; a whiteout to nothing.
    if ((type == S_IFCHR_TYPE || type == S_IFBLK_TYPE) && !is_whiteout && !capable(CAP_MKNOD))
        return -EPERM;
    if (!dir->i_op->mknod)
        return -EPERM;
    return dir->i_op->mknod(dir, dentry, vfs_prepare_mode(dir, mode, mode, mode), device);
}

// Linux v6.12 fs/namei.c vfs_mkdir().
int vfs_mkdir(inode *dir, dentry *dentry, umode_t mode)
{
    constexpr umode_t ALLOWED = 0777 | S_ISVTX_BIT;
    int error = may_create(dir, dentry);

    if (error)
        return error;
    if (!dir->i_op->mkdir)
        return -EPERM;
    return dir->i_op->mkdir(dir, dentry, vfs_prepare_mode(dir, mode, ALLOWED, 0));
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
    // A file whose last name is gone must not come back; one that never had a name may get it.
    if (READ_ONCE(inode->i_nlink) == 0 && !(READ_ONCE(inode->i_state) & I_LINKABLE))
        error = -ENOENT;
    else
        error = dir->i_op->link(old_dentry, dir, new_dentry);
    if (!error && (READ_ONCE(inode->i_state) & I_LINKABLE)) {
        spin_lock(&inode->i_lock);
        inode->i_state &= ~unsigned{I_LINKABLE};
        spin_unlock(&inode->i_lock);
    }
    inode_unlock(inode);
    return error;
}

// --- Removing ---

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

// Linux v6.12 fs/namei.c lock_rename_child().
dentry *lock_rename_child(dentry *child, dentry *p2)
    __context_unsafe("locks one directory or two, and gives up one that turned out wrong")
{
    inode *dir = d_inode(p2);

    if (READ_ONCE(child->d_parent) == p2) {
        // With luck the mutex is not needed.
        inode_lock_nested(dir, I_MUTEX_PARENT);
        // Nothing leaves or enters a locked directory, so this answer lasts.
        if (likely(READ_ONCE(child->d_parent) == p2))
            return nullptr;
        inode_unlock(dir);
    }

    mutex_lock(&child->d_sb->s_vfs_rename_mutex);
    // Nothing changes its directory on this file system now.
    if (likely(READ_ONCE(child->d_parent) != p2))
        return lock_two_directories(READ_ONCE(child->d_parent), p2);

    // It came to p2 meanwhile. The lock first: without one of the two it could leave again.
    inode_lock_nested(dir, I_MUTEX_PARENT);
    mutex_unlock(&child->d_sb->s_vfs_rename_mutex);
    return nullptr;
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
    struct {
        inode *of;
        inode_i_mutex_lock_class place;
    } locks[2];
    unsigned count;

    void add(inode *inode, inode_i_mutex_lock_class place)
    {
        locks[count++] = {inode, place};
    }
};

// Linux v6.12 fs/inode.c lock_two_nondirectories(), the choice. `target` may be nullptr.
void add_two_nondirectories(rename_locks *chosen, inode *source, inode *target)
{
    if (std::less<inode *>()(source, target))
        std::swap(source, target);
    if (target)
        chosen->add(target, I_MUTEX_NORMAL);
    chosen->add(source, I_MUTEX_NONDIR2);
}

rename_locks choose_rename_locks(inode *source, inode *target, bool cross_directory, unsigned flags)
{
    bool is_dir = inode_is_directory(source);
    bool new_is_dir = target && inode_is_directory(target);
    bool lock_target_dir = cross_directory || !(flags & RENAME_EXCHANGE_FLAG);
    rename_locks chosen = {};

    if (is_dir) {
        // A directory's ".." changes only when it gets another parent.
        if (cross_directory)
            chosen.add(source, I_MUTEX_CHILD);
        if (target && (!new_is_dir || lock_target_dir))
            chosen.add(target, I_MUTEX_NORMAL);
    } else if (new_is_dir) {
        if (lock_target_dir)
            chosen.add(target, I_MUTEX_CHILD);
        chosen.add(source, I_MUTEX_NORMAL);
    } else {
        add_two_nondirectories(&chosen, source, target);
    }
    return chosen;
}

void lock_for_rename(const rename_locks &chosen) __context_unsafe("a set chosen at run time")
{
    for (unsigned i = 0; i < chosen.count; i++)
        inode_lock_nested(chosen.locks[i].of, chosen.locks[i].place);
}

void unlock_for_rename(const rename_locks &chosen) __context_unsafe("a set chosen at run time")
{
    for (unsigned i = chosen.count; i > 0; i--)
        inode_unlock(chosen.locks[i - 1].of);
}

/// The checks of vfs_rename(), in its order.
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
    if (!old_dir->i_op->rename)
        return -EPERM;

    // A directory that gets another parent is changed itself: its "..".
    if (old_dir != new_dir && is_dir)
        error = inode_permission(d_inode(old_dentry), MAY_WRITE);
    if (!error && old_dir != new_dir && (flags & RENAME_EXCHANGE_FLAG) && d_is_dir(new_dentry))
        error = inode_permission(d_inode(new_dentry), MAY_WRITE);
    return error;
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
    if (!(old_dir->i_sb->s_type->fs_flags & FS_RENAME_DOES_D_MOVE)) {
        if (!(flags & RENAME_EXCHANGE_FLAG))
            d_move(old_dentry, new_dentry);
        else
            d_exchange(old_dentry, new_dentry);
    }
out:
    unlock_for_rename(locks);
    dput(new_dentry);
    return error;
}

// --- Reading a link ---

// Linux v6.12 fs/namei.c vfs_readlink(), readlink_copy().
// Reduced: no ->readlink(), hence no IOP_DEFAULT_READLINK.
int vfs_readlink(dentry *dentry, char *buffer, int size)
{
    inode *inode = d_inode(dentry);
    delayed_call done = {};
    const char *body;
    size_t length;

    if (!d_is_symlink(dentry))
        return -EINVAL;
    body = READ_ONCE(inode->i_link);
    if (!body) {
        body = inode->i_op->get_link(dentry, inode, &done);
        if (IS_ERR(body))
            return PTR_ERR(body);
    }
    length = strlen(body);
    if (length > static_cast<size_t>(size))
        length = static_cast<size_t>(size);
    memcpy(buffer, body, length);
    do_delayed_call(&done);
    return static_cast<int>(length);
}

} // namespace dcsim::inline DCSIM_BACKEND
