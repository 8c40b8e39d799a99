// SPDX-License-Identifier: GPL-2.0-only
//
// Lookup and open in one request. Source: fs/nfs/dir.c, nfs4proc.c, nfs4file.c of Linux v6.12.
//
// NFSv4 has OPEN, by name; so an open need not look the name up first. The VFS hands out the dentry
// in lookup, or a hashed negative one. The latter, without O_CREAT, has a catch: the directory is
// locked shared, so several tasks may open the one dentry at a time, and each would give it an
// inode. They all drop it and go through d_alloc_parallel() again, where one gets the new dentry
// and the others wait for it.
//
// Reduced: no state of the open on the server, no delegations, no umask of the client's.
#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/err.h"
#include "dcsim/vfs/file.h"
#include "dcsim/vfs/lookup_era.h"
#include "dcsim/vfs/namei.h"
#include "dcsim/vfs/proposed.h"
#include "netfs_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

// As Linux v6.12 fs/nfs/nfs4proc.c _nfs4_proc_open(). The answer of the server to OPEN.
int nfs4_proc_open(inode *dir, const qstr &name, unsigned open_flags, umode_t mode,
                   server_attributes *fattr, bool *created)
{
    const nfs_server *server = NFS_SERVER(dir);
    const name_key key = nfs_key(name);
    server_change_info info;
    int error;

    *created = false;
    if (open_flags & OPEN_CREAT) {
        error = server_create(server->tree, NFS_FILEID(dir), key.text, key.length,
                              static_cast<umode_t>((mode & S_IALLUGO_BITS) | S_IFREG_TYPE), nullptr,
                              open_flags & OPEN_EXCL, fattr, &info);
        // A device or FIFO is there: nothing that OPEN opens, and no reason for the VFS not to.
        if (error == -EEXIST && !(open_flags & OPEN_EXCL))
            return -EISDIR;
        if (error)
            return error;
        *created = info.before != info.after;
        nfs4_update_changeattr(dir, info);
        return 0;
    }
    error = server_lookup(server->tree, NFS_FILEID(dir), key.text, key.length, fattr);
    if (error || S_ISREG_mode(fattr->mode))
        return error;
    return S_ISLNK_mode(fattr->mode) ? -ELOOP : -EISDIR;
}

// As Linux v6.12 fs/nfs/nfs4proc.c nfs4_atomic_open(), _nfs4_open_and_get_state(): the inode that
// was opened, referenced, or ERR_PTR. A negative dentry becomes a name of it.
inode *nfs4_open_context(inode *dir, dentry *dentry, unsigned open_flags, umode_t mode,
                         bool *created)
{
    unsigned long dir_verifier = nfs_save_change_attribute(dir);
    server_attributes fattr;
    inode *inode;
    int error = nfs4_proc_open(dir, nfs_name(dentry), open_flags, mode, &fattr, created);

    if (error)
        return ERR_PTR(error);
    inode = nfs_fhget(dir->i_sb, fattr);
    if (IS_ERR(inode))
        return inode;
    nfs_set_verifier(dentry, dir_verifier);
    if (d_really_is_negative(dentry)) {
        nfs_drop_before_splice(dentry);
        ihold(inode);
        // A file: never an alias, never an error.
        WARN_ON(nfs_splice_alias(inode, dentry) != nullptr);
    }
    return inode;
}

// Linux v6.12 fs/nfs/dir.c nfs_finish_open().
int nfs_finish_open(dentry *dentry, file *file)
{
    int err = finish_open(file, dentry, [](inode *, struct file *) { return 0; });

    if (!err && !S_ISREG_mode(READ_ONCE(file->f_inode->i_mode)))
        err = -EOPENSTALE;
    return err;
}

/// What was looked up instead of being opened: is it what the open can go on with? Consumes the
/// reference on an alias when it is not.
dentry *nfs_check_no_open(dentry *dentry, struct dentry *alias, unsigned lookup_flags)
{
    const inode *inode = d_inode(alias ? alias : dentry);
    int error = 0;

    if (!inode)
        return alias;
    if ((lookup_flags & LOOKUP_DIRECTORY) && !inode_is_directory(inode) &&
        !S_ISLNK_mode(READ_ONCE(inode->i_mode)))
        error = -ENOTDIR;
    else if (S_ISREG_mode(READ_ONCE(inode->i_mode)))
        error = -EOPENSTALE; // it became one after OPEN had said that it was none
    if (!error)
        return alias;
    dput(alias);
    return ERR_PTR(error);
}

// Linux v6.12 fs/nfs/dir.c nfs_atomic_open(), from its label no_open on. `switched`: the dentry is
// not the one of the VFS.
int nfs_no_open(inode *dir, dentry *dentry, file *file, unsigned lookup_flags, bool switched)
{
    struct dentry *res = nfs_do_lookup(dir, dentry, lookup_flags);

    if (!IS_ERR(res))
        res = nfs_check_no_open(dentry, res, lookup_flags);
    if (switched) {
        d_lookup_done(dentry);
        if (!res)
            res = dentry;
        else
            dput(dentry);
    }
    return finish_no_open(file, res);
}

/// The name does not exist: so says the cache from now on.
void nfs_open_is_negative(inode *dir, dentry *dentry)
{
    nfs_set_verifier(dentry, nfs_save_change_attribute(dir));
    d_splice_alias(nullptr, dentry);
}

} // namespace

// Linux v6.12 fs/nfs/dir.c nfs_atomic_open().
int nfs_atomic_open(inode *dir, dentry *dentry, file *file, unsigned open_flags, umode_t mode)
{
    caller_wait_queue wq;
    bool switched = false, created = false;
    inode *inode;
    int err;

    BUG_ON(d_inode(dentry));
    if (d_in_lookup(dentry)) {
        err = nfs_before_lookup(dir, dentry);
        if (err < 0)
            return err;
    }
    // OPEN is for regular files.
    if (open_flags & OPEN_DIRECTORY) {
        if (!d_in_lookup(dentry))
            return -ENOENT; // hashed, and found good a moment ago
        return nfs_no_open(dir, dentry, file, LOOKUP_OPEN | LOOKUP_DIRECTORY, false);
    }
    if (dentry->d_name.len() > NAME_MAX_LENGTH)
        return -ENAMETOOLONG;

    // Not in the order of v3, where nfs_neg_need_reval() keeps such dentries away from here, except
    // that an open with O_CREAT, by somebody who may not create, is revalidated as one that makes
    // the name and loses O_CREAT after that. It holds the directory for writing, so it has the
    // dentry to itself.
    if (!(open_flags & OPEN_CREAT) && !d_in_lookup(dentry) && !lookup_outside_rwsem) {
        const qstr name = nfs_name(dentry);
        d_drop(dentry);
        switched = true;
        dentry = d_alloc_parallel(READ_ONCE(dentry->d_parent), &name, wq.head());
        if (IS_ERR(dentry))
            return PTR_ERR(dentry);
        if (unlikely(!d_in_lookup(dentry)))
            return finish_no_open(file, dentry);
    }

    inode = nfs4_open_context(dir, dentry, open_flags, mode, &created);
    if (created)
        file->f_mode |= FMODE_CREATED;
    if (IS_ERR(inode)) {
        err = PTR_ERR(inode);
        nfs_drop_before_splice(dentry);
        if (err == -EISDIR || err == -ENOTDIR || (err == -ELOOP && !(open_flags & OPEN_NOFOLLOW)))
            return nfs_no_open(dir, dentry, file, 0, switched);
        if (err == -ENOENT)
            nfs_open_is_negative(dir, dentry);
        else
            d_drop(dentry); // v3 16/19: nobody knows what the name is now
    } else {
        err = nfs_finish_open(dentry, file);
        iput(inode);
    }
    if (unlikely(switched)) {
        d_lookup_done(dentry);
        dput(dentry);
    }
    return err;
}

// Linux v6.12 fs/nfs/dir.c nfs_atomic_open_v23().
int nfs_atomic_open_v23(inode *dir, dentry *dentry, file *file, unsigned open_flags, umode_t mode)
{
    struct dentry *res = nullptr;

    if (dentry->d_name.len() > NAME_MAX_LENGTH)
        return -ENAMETOOLONG;
    if (open_flags & OPEN_CREAT) {
        int error = nfs_do_create(dir, dentry, mode, open_flags & OPEN_EXCL);
        if (!error) {
            file->f_mode |= FMODE_CREATED;
            return finish_open(file, dentry, nullptr);
        }
        if (error != -EEXIST || (open_flags & OPEN_EXCL))
            return error;
    }
    if (d_in_lookup(dentry))
        res = nfs_lookup(dir, dentry, 0);
    return finish_no_open(file, res);
}

namespace
{

// Linux v6.12 fs/nfs/nfs4file.c nfs4_file_open().
//
// Only for a cached positive dentry, which nfs4_lookup_revalidate() let pass unasked.
int nfs4_file_open(inode *inode, file *file)
{
    dentry *dentry = file->f_path.dentry;
    struct dentry *parent = dget_parent(dentry);
    bool created, same;
    struct inode *opened = nfs4_open_context(
        d_inode(parent), dentry, file->f_flags & ~unsigned{OPEN_CREAT | OPEN_EXCL}, 0, &created);
    int err = 0;

    dput(parent);
    if (IS_ERR(opened)) {
        err = PTR_ERR(opened);
        if (err != -ENOENT && err != -ESTALE && err != -EISDIR && err != -ENOTDIR && err != -ELOOP)
            return err;
        same = false;
    } else {
        same = opened == inode;
        iput(opened);
    }
    if (same)
        return 0;
    // Another file has the name now, or none: the open is done again.
    d_drop(dentry);
    return -EOPENSTALE;
}

} // namespace

constinit const file_operations nfs4_file_operations = {
    .open = nfs4_file_open,
};

} // namespace dcsim::inline DCSIM_BACKEND
