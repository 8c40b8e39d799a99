// SPDX-License-Identifier: GPL-2.0-only
//
// The last component of an open. Looking it up, making it and opening it are one step for file
// systems that want it so (->atomic_open()), and otherwise one after the other under the
// directory's i_rwsem.
//
// Whether O_CREAT may make the file is checked before it is known whether that will be necessary,
// because looking first would not be atomic. An objection is therefore kept, O_CREAT is taken away,
// and the objection becomes the result only if the name turns out not to exist. The same holds for
// a mount that may not be written to.
//
// What the three stages leave to each other is in file->f_mode: FMODE_OPENED says that the file
// system has opened the file already, FMODE_CREATED that it is new. With either, nd->path.dentry is
// set without step_into(): a file that was just made has nothing mounted on it.
//
// Reduced: no contents, so nothing is truncated.
#include "dcsim/kernel/bug.h"
#include "dcsim/vfs/attributes.h"
#include "dcsim/vfs/file.h"
#include "namei_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

int sysctl_protected_regular;
int sysctl_protected_fifos;

namespace
{

// --- Permissions ---

// Linux v6.12 fs/namei.c may_open().
int may_open(const path *path, unsigned acc_mode, unsigned flag)
{
    inode *inode = d_inode(path->dentry);
    int error;

    if (!inode)
        return -ENOENT;
    switch (READ_ONCE(inode->i_mode) & S_IFMT_MASK) {
    case S_IFLNK_TYPE:
        return -ELOOP;
    case S_IFDIR_TYPE:
        if (acc_mode & MAY_WRITE)
            return -EISDIR;
        if (acc_mode & MAY_EXEC)
            return -EACCES;
        break;
    case S_IFBLK_TYPE:
    case S_IFCHR_TYPE:
    case S_IFIFO_TYPE:
    case S_IFSOCK_TYPE:
        if (acc_mode & MAY_EXEC)
            return -EACCES;
        break;
    }
    error = inode_permission(inode, MAY_OPEN | acc_mode);
    if (error)
        return error;
    if ((flag & OPEN_NOATIME) && !inode_owner_or_capable(inode))
        return -EPERM;
    return 0;
}

// Linux v6.12 fs/namei.c may_o_create().
int may_o_create(const path *dir)
{
    return inode_permission(d_inode(dir->dentry), MAY_WRITE | MAY_EXEC);
}

// Linux v6.12 fs/namei.c may_create_in_sticky().
//
// Whoever opens with O_CREAT in /tmp expects a file of his own, not one that was laid out for him.
int may_create_in_sticky(const nameidata *nd, const inode *inode)
{
    umode_t mode = READ_ONCE(inode->i_mode);
    kuid_t owner = READ_ONCE(inode->i_uid);
    int protection = 0;

    if (likely(!(nd->dir_mode & S_ISVTX_BIT)))
        return 0;
    if (S_ISREG_mode(mode) && !sysctl_protected_regular)
        return 0;
    if ((mode & S_IFMT_MASK) == S_IFIFO_TYPE && !sysctl_protected_fifos)
        return 0;
    if (owner == nd->dir_uid || owner == current_fsuid())
        return 0;
    if (nd->dir_mode & 0002)
        return -EACCES;
    if (S_ISREG_mode(mode))
        protection = sysctl_protected_regular;
    else if ((mode & S_IFMT_MASK) == S_IFIFO_TYPE)
        protection = sysctl_protected_fifos;
    return (nd->dir_mode & 0020) && protection >= 2 ? -EACCES : 0;
}

// Linux v6.12 fs/namei.c handle_truncate(), with do_truncate().
int handle_truncate(const file *file)
{
    dentry *dentry = file->f_path.dentry;
    iattr attributes = {};
    int error;

    // Whoever has changed the contents must not go on with the rights of the owner.
    attributes.ia_valid = setattr_should_drop_suidgid(d_inode(dentry));
    if (!attributes.ia_valid)
        return 0;
    attributes.ia_valid |= ATTR_FORCE;
    inode_lock(d_inode(dentry));
    error = notify_change(dentry, &attributes);
    inode_unlock(d_inode(dentry));
    return error;
}

// --- Looking up and making ---

// Linux v6.12 fs/namei.c open_to_namei_flags(). 3, for ioctl only, is what file systems see as 2.
unsigned open_to_namei_flags(unsigned flag)
{
    return (flag & OPEN_ACCMODE) == 3 ? flag - 1 : flag;
}

// Linux v6.12 fs/namei.c atomic_open().
//
// Looks up, makes if need be, and opens, all by the file system. Consumes the reference on
// `dentry`, in-lookup or a hashed negative. The dentry to go on with, referenced: opened if
// FMODE_OPENED is set, else positive. ERR_PTR otherwise.
dentry *atomic_open(nameidata *nd, dentry *dentry, file *file, unsigned open_flag, umode_t mode)
{
    struct dentry *const not_set = ERR_PTR(-1);
    inode *dir = d_inode(nd->path.dentry);
    int error;

    if (nd->flags & LOOKUP_DIRECTORY)
        open_flag |= OPEN_DIRECTORY;

    file->f_path = {nd->path.mnt, not_set};
    error = dir->i_op->atomic_open(dir, dentry, file, open_to_namei_flags(open_flag), mode);
    d_lookup_done(dentry);
    if (!error) {
        if (file->f_mode & FMODE_OPENED) {
            if (unlikely(dentry != file->f_path.dentry)) {
                dput(dentry);
                dentry = dget(file->f_path.dentry);
            }
        } else if (WARN_ON(file->f_path.dentry == not_set)) {
            error = -EIO;
        } else {
            if (file->f_path.dentry) {
                dput(dentry);
                dentry = file->f_path.dentry;
            }
            if (unlikely(d_is_negative(dentry)))
                error = -ENOENT;
        }
    }
    if (error) {
        dput(dentry);
        dentry = ERR_PTR(error);
    }
    return dentry;
}

} // namespace

// Linux v6.12 fs/namei.c lookup_open(), from the point where the name is found.
dentry *lookup_or_create(nameidata *nd, dentry *dentry, file *file, const open_flags *op,
                         bool got_write)
{
    inode *dir_inode = d_inode(nd->path.dentry);
    unsigned open_flag = op->open_flag;
    unsigned lookup_flags = nd->flags;
    umode_t mode = op->mode;
    int error, create_error = 0;
    struct dentry *res;

    // What the lock depends on; O_CREAT may be taken away below.
    if (!(open_flag & OPEN_CREAT)) {
        lookup_flags |= LOOKUP_SHARED;
        open_flag |= OPEN_DIR_SHARED;
    }
    if (unlikely(!got_write))
        open_flag &= ~OPEN_TRUNC;
    if (open_flag & OPEN_CREAT) {
        if (open_flag & OPEN_EXCL)
            open_flag &= ~OPEN_TRUNC;
        mode = vfs_prepare_mode(dir_inode, mode, mode, mode);
        create_error = likely(got_write) ? may_o_create(&nd->path) : -EROFS;
    }
    if (create_error)
        open_flag &= ~OPEN_CREAT;

    if (dir_inode->i_op->atomic_open) {
        dentry = atomic_open(nd, dentry, file, open_flag, mode);
        if (unlikely(create_error) && IS_ERR(dentry) && PTR_ERR(dentry) == -ENOENT)
            dentry = ERR_PTR(create_error);
        return dentry;
    }

    if (d_in_lookup(dentry)) {
        vfs_count(FS_LOOKUPS);
        res = dir_inode->i_op->lookup(dir_inode, dentry, lookup_flags);
        d_lookup_done(dentry);
        if (unlikely(res)) {
            error = PTR_ERR(res);
            if (IS_ERR(res))
                goto out_dput;
            dput(dentry);
            dentry = res;
        }
    }

    if (!d_inode(dentry) && (open_flag & OPEN_CREAT)) {
        file->f_mode |= FMODE_CREATED;
        error = -EACCES;
        if (!dir_inode->i_op->create)
            goto out_dput;
        error = dir_inode->i_op->create(dir_inode, dentry, mode, open_flag & OPEN_EXCL);
        if (error)
            goto out_dput;
    }
    error = create_error;
    if (unlikely(create_error) && !d_inode(dentry))
        goto out_dput;
    return dentry;

out_dput:
    dput(dentry);
    return ERR_PTR(error);
}

namespace
{

// Linux v6.12 fs/namei.c lookup_open(), with every era's d_alloc_parallel().
//
// The directory is locked: for writing with O_CREAT, else shared. The dentry to go on with,
// referenced, or ERR_PTR. Negative only without O_CREAT. FMODE_OPENED: the file is open.
dentry *lookup_open(nameidata *nd, file *file, const open_flags *op, bool got_write)
{
    dentry *dir = nd->path.dentry;
    inode *dir_inode = d_inode(dir);
    dentry *dentry;
    int error;
    caller_wait_queue wq;

    if (unlikely(IS_DEADDIR(dir_inode)))
        return ERR_PTR(-ENOENT);

    file->f_mode &= ~FMODE_CREATED;
    dentry = d_lookup(dir, &nd->last);
    for (;;) {
        if (!dentry) {
            dentry = d_alloc_parallel(dir, &nd->last, wq.head());
            if (IS_ERR(dentry))
                return dentry;
        }
        if (d_in_lookup(dentry))
            break;
        error = d_revalidate(dir_inode, &nd->last, dentry, nd->flags);
        if (likely(error > 0))
            break;
        if (error)
            goto out_dput;
        d_invalidate(dentry);
        dput(dentry);
        dentry = nullptr;
    }
    if (d_inode(dentry))
        return dentry;

    return lookup_or_create(nd, dentry, file, op, got_write);

out_dput:
    dput(dentry);
    return ERR_PTR(error);
}

/// lookup_open() with the directory's i_rwsem held as O_CREAT needs it.
dentry *lookup_open_locked(nameidata *nd, file *file, const open_flags *op, bool got_write)
{
    inode *dir = d_inode(nd->path.dentry);
    dentry *dentry;

    if (unlikely(lookup_outside_rwsem))
        return lookup_open_outside(nd, file, op, got_write);
    if (op->open_flag & OPEN_CREAT) {
        inode_lock(dir);
        dentry = lookup_open(nd, file, op, got_write);
        inode_unlock(dir);
    } else {
        inode_lock_shared(dir);
        dentry = lookup_open(nd, file, op, got_write);
        inode_unlock_shared(dir);
    }
    return dentry;
}

// Linux v6.12 fs/namei.c trailing_slashes().
bool trailing_slashes(const nameidata *nd)
{
    return nd->last.name[nd->last.len] != 0;
}

// Linux v6.12 fs/namei.c lookup_fast_for_open().
//
// As lookup_fast(), but nullptr does not mean that RCU mode was left: with O_CREAT the cache may
// know something that does not help.
dentry *lookup_fast_for_open(nameidata *nd, unsigned open_flag)
{
    dentry *dentry;

    if (open_flag & OPEN_CREAT) {
        if (trailing_slashes(nd))
            return ERR_PTR(-EISDIR);
        // A file that must not exist is not looked for.
        if (open_flag & OPEN_EXCL)
            return nullptr;
    }
    if (trailing_slashes(nd))
        nd->flags |= LOOKUP_FOLLOW | LOOKUP_DIRECTORY;

    dentry = lookup_fast(nd);
    if (IS_ERR_OR_NULL(dentry))
        return dentry;
    if ((open_flag & OPEN_CREAT) && d_is_negative(dentry)) {
        if (!(nd->flags & LOOKUP_RCU))
            dput(dentry);
        dentry = nullptr;
    }
    return dentry;
}

// --- The stages of an open ---

// Linux v6.12 fs/namei.c open_last_lookups().
//
// nullptr: nd->path is what is to be opened (or open already). The body of a symbolic link to walk
// first, or ERR_PTR.
const char *open_last_lookups(nameidata *nd, file *file, const open_flags *op)
{
    unsigned open_flag = op->open_flag;
    bool got_write = false;
    dentry *dentry;
    const char *res;

    nd->flags |= op->intent;

    if (nd->last_type != LAST_NORM) {
        if (nd->depth)
            put_link(nd);
        return handle_dots(nd, nd->last_type);
    }

    dentry = lookup_fast_for_open(nd, open_flag);
    if (IS_ERR(dentry))
        return ERR_CAST(dentry);
    if (likely(dentry))
        goto finish_lookup;

    if (!(open_flag & OPEN_CREAT)) {
        if (WARN_ON(nd->flags & LOOKUP_RCU))
            return ERR_PTR(-ECHILD);
    } else if (nd->flags & LOOKUP_RCU) {
        if (!try_to_unlazy(nd))
            return ERR_PTR(-ECHILD);
    }

    // A refusal is not yet an error: perhaps nothing has to be written, or there is a better one.
    if (open_flag & (OPEN_CREAT | OPEN_TRUNC | OPEN_WRONLY | OPEN_RDWR))
        got_write = !mnt_want_write(nd->path.mnt);
    dentry = lookup_open_locked(nd, file, op, got_write);
    if (IS_ERR(dentry))
        return ERR_CAST(dentry);

    if (file->f_mode & (FMODE_OPENED | FMODE_CREATED)) {
        dput(nd->path.dentry);
        nd->path.dentry = dentry;
        return nullptr;
    }

finish_lookup:
    if (nd->depth)
        put_link(nd);
    res = step_into(nd, WALK_TRAILING, dentry);
    if (unlikely(res))
        nd->flags &= ~(LOOKUP_OPEN | LOOKUP_CREATE | LOOKUP_EXCL);
    return res;
}

// Linux v6.12 fs/namei.c do_open().
int do_open(nameidata *nd, file *file, const open_flags *op)
{
    unsigned open_flag = op->open_flag;
    unsigned acc_mode = op->acc_mode;
    bool do_truncate = false;
    int error;

    if (!(file->f_mode & (FMODE_OPENED | FMODE_CREATED))) {
        error = complete_walk(nd);
        if (error)
            return error;
    }
    if (open_flag & OPEN_CREAT) {
        if ((open_flag & OPEN_EXCL) && !(file->f_mode & FMODE_CREATED))
            return -EEXIST;
        if (d_is_dir(nd->path.dentry))
            return -EISDIR;
        error = may_create_in_sticky(nd, d_inode(nd->path.dentry));
        if (unlikely(error))
            return error;
    }
    if ((nd->flags & LOOKUP_DIRECTORY) && !d_can_lookup(nd->path.dentry))
        return -ENOTDIR;

    if (file->f_mode & FMODE_CREATED) {
        // Its mode need not allow what its maker does with it.
        open_flag &= ~OPEN_TRUNC;
        acc_mode = 0;
    } else if (d_is_reg(nd->path.dentry) && (open_flag & OPEN_TRUNC)) {
        error = mnt_want_write(nd->path.mnt);
        if (error)
            return error;
        do_truncate = true;
    }
    error = may_open(&nd->path, acc_mode, open_flag);
    if (!error && !(file->f_mode & FMODE_OPENED))
        error = vfs_open(&nd->path, file);
    if (!error && do_truncate)
        error = handle_truncate(file);
    if (WARN_ON(error > 0))
        error = -EINVAL;
    return error;
}

// Linux v6.12 fs/namei.c vfs_tmpfile().
int vfs_tmpfile(const path *parent, file *file, umode_t mode)
{
    inode *dir = d_inode(parent->dentry);
    unsigned open_flag = file->f_flags;
    dentry *child;
    inode *inode;
    int error;

    error = inode_permission(dir, MAY_WRITE | MAY_EXEC);
    if (error)
        return error;
    if (!dir->i_op->tmpfile)
        return -EOPNOTSUPP;
    child = d_alloc(parent->dentry, &slash_name);
    if (unlikely(!child))
        return -ENOMEM;
    file->f_path = {parent->mnt, child};
    mode = vfs_prepare_mode(dir, mode, mode, mode);
    error = dir->i_op->tmpfile(dir, file, mode);
    dput(child);
    if (error)
        return error;
    error = may_open(&file->f_path, 0, file->f_flags);
    if (error)
        return error;
    inode = file->f_inode;
    if (!(open_flag & OPEN_EXCL)) {
        spin_lock(&inode->i_lock);
        inode->i_state |= I_LINKABLE;
        spin_unlock(&inode->i_lock);
    }
    return 0;
}

// Linux v6.12 fs/namei.c do_tmpfile().
int do_tmpfile(nameidata *nd, unsigned flags, const open_flags *op, file *file)
{
    path path;
    int error = path_lookupat(nd, flags | LOOKUP_DIRECTORY, &path);

    if (unlikely(error))
        return error;
    error = mnt_want_write(path.mnt);
    if (likely(!error))
        error = vfs_tmpfile(&path, file, op->mode);
    path_put(&path);
    return error;
}

// Linux v6.12 fs/namei.c do_o_path().
int do_o_path(nameidata *nd, unsigned flags, file *file)
{
    path path;
    int error = path_lookupat(nd, flags, &path);

    if (!error) {
        error = vfs_open(&path, file);
        path_put(&path);
    }
    return error;
}

// Linux v6.12 fs/namei.c path_openat().
//
// One pass, in the mode that `flags` say. A file with one reference or ERR_PTR.
file *path_openat(nameidata *nd, const open_flags *op, unsigned flags)
{
    file *file = alloc_empty_file(op->open_flag, current_cred());
    int error;

    if (IS_ERR(file))
        return file;

    if (unlikely(file->f_flags & OPEN_TMPFILE_BIT)) {
        error = do_tmpfile(nd, flags, op, file);
    } else if (unlikely(file->f_flags & OPEN_PATH)) {
        error = do_o_path(nd, flags, file);
    } else {
        const char *s = path_init(nd, flags);

        while (!(error = link_path_walk(s, nd)) && (s = open_last_lookups(nd, file, op)) != nullptr)
            ;
        if (!error)
            error = do_open(nd, file, op);
        terminate_walk(nd);
    }
    if (likely(!error)) {
        if (!WARN_ON(!(file->f_mode & FMODE_OPENED)))
            return file;
        error = -EINVAL;
    }
    fput(file);
    if (error == -EOPENSTALE)
        error = flags & LOOKUP_RCU ? -ECHILD : -ESTALE;
    return ERR_PTR(error);
}

bool failed_with(const file *file, int error)
{
    return IS_ERR(file) && PTR_ERR(file) == error;
}

} // namespace

// Linux v6.12 fs/namei.c do_filp_open().
file *do_filp_open(int dfd, const filename *name, const open_flags *op)
{
    unsigned flags = op->lookup_flags;
    nameidata nd;
    file *filp;

    set_nameidata(&nd, dfd, name, nullptr);
    filp = path_openat(&nd, op, flags | LOOKUP_RCU);
    if (unlikely(failed_with(filp, -ECHILD))) {
        vfs_count(RCU_RESTARTS);
        filp = path_openat(&nd, op, flags);
    }
    if (unlikely(failed_with(filp, -ESTALE))) {
        vfs_count(REVAL_RESTARTS);
        filp = path_openat(&nd, op, flags | LOOKUP_REVAL);
    }
    restore_nameidata();
    return filp;
}

} // namespace dcsim::inline DCSIM_BACKEND
