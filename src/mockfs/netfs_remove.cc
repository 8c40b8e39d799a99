// SPDX-License-Identifier: GPL-2.0-only
//
// Removing and renaming names. Source: fs/nfs/dir.c of Linux v6.12.
//
// The server does not know who has a file open here, and would take it away from under them. So a
// file that is in use is renamed to a name of its own instead of being removed, be it by unlink()
// or by a rename over it, and goes when its last user does (netfs_silly.cc). One that is not in use
// must not come into use while the server removes it: ->d_revalidate() waits meanwhile.
//
// The directories are locked for writing throughout.
#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/err.h"
#include "dcsim/vfs/libfs.h"
#include "dcsim/vfs/proposed.h"
#include "netfs_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

// Linux v6.12 fs/nfs/dir.c nfs_dentry_handle_enoent().
void nfs_dentry_handle_enoent(dentry *dentry)
{
    if (simple_positive(dentry))
        d_delete(dentry);
}

// Linux v6.12 fs/nfs/dir.c nfs_dentry_remove_handle_error().
void nfs_dentry_remove_handle_error(inode *dir, dentry *dentry, int error)
{
    if (error && error != -ENOENT)
        return;
    if (error && d_really_is_positive(dentry))
        d_delete(dentry);
    nfs_set_verifier(dentry, nfs_save_change_attribute(dir));
}

/// REMOVE or RMDIR.
int nfs_proc_remove(inode *dir, const qstr &name, bool directory_wanted)
{
    server_change_info info;
    int error = server_remove(NFS_SERVER(dir)->tree, NFS_FILEID(dir), nfs_key(name).text, name.len,
                              directory_wanted, &info);

    if (!error)
        nfs4_update_changeattr(dir, info);
    return error;
}

// Linux v6.12 fs/nfs/dir.c nfs_safe_remove(), for a dentry that is not silly-renamed:
// nfs_busy_or_blocked() has seen to that.
int nfs_safe_remove(inode *dir, dentry *dentry)
{
    inode *inode = d_inode(dentry);
    unsigned long gencount = READ_ONCE(NFS_I(inode)->attr_gencount);
    int error = nfs_proc_remove(dir, nfs_name(dentry), false);

    if (!error)
        nfs_drop_nlink(inode, gencount);
    if (error == -ENOENT)
        nfs_dentry_handle_enoent(dentry);
    return error;
}

/// Is the file in use by others than the `expected` holders of references? If not, nobody can begin
/// to use it until unblock_revalidate(). What got a removal from nfs_transfer_unlink() since the
/// VFS looked is in use: d_fsdata is not free, and nfs_sillyrename() refuses it.
bool nfs_busy_or_blocked(dentry *dentry, int expected)
{
    bool busy;

    spin_lock(&dentry->d_lockref.lock);
    busy = d_count(dentry) > expected || (READ_LOCKED(dentry->d_flags) & DCACHE_NFSFS_RENAMED);
    if (!busy)
        block_revalidate(dentry);
    spin_unlock(&dentry->d_lockref.lock);
    return busy;
}

} // namespace

// Linux v6.12 fs/nfs/dir.c nfs_rmdir(). The removed directory is locked as well.
int nfs_rmdir(inode *dir, dentry *dentry)
{
    inode *inode = d_inode(dentry);
    int error;

    down_write(&NFS_I(inode)->rmdir_sem);
    error = nfs_proc_remove(dir, nfs_name(dentry), true);
    if (!error)
        clear_nlink(inode);
    else if (error == -ENOENT)
        nfs_dentry_handle_enoent(dentry);
    up_write(&NFS_I(inode)->rmdir_sem);
    nfs_dentry_remove_handle_error(dir, dentry, error);
    return error;
}

// Linux v6.12 fs/nfs/dir.c nfs_unlink(). The file is locked as well.
int nfs_unlink(inode *dir, dentry *dentry)
{
    int error;

    if (WARN_ON(READ_ONCE(dentry->d_fsdata) == NFS_FSDATA_BLOCKED))
        return -ETXTBSY;
    if (nfs_busy_or_blocked(dentry, 1))
        return nfs_sillyrename(dir, dentry);
    error = nfs_safe_remove(dir, dentry);
    nfs_dentry_remove_handle_error(dir, dentry, error);
    unblock_revalidate(dentry);
    return error;
}

// As Linux v6.12 fs/nfs/unlink.c nfs_async_rename() with its wait for the reply.
int nfs_proc_rename(inode *old_dir, const qstr &old_name, inode *new_dir, const qstr &new_name)
{
    server_change_info old_info, new_info;
    int error = server_rename(NFS_SERVER(old_dir)->tree, NFS_FILEID(old_dir),
                              nfs_key(old_name).text, old_name.len, NFS_FILEID(new_dir),
                              nfs_key(new_name).text, new_name.len, 0, &old_info, &new_info);

    if (!error) {
        nfs4_update_changeattr(old_dir, old_info);
        nfs4_update_changeattr(new_dir, new_info);
    }
    return error;
}

namespace
{

/// Another dentry of the name, which the target of a rename is silly-renamed away from. Referenced
/// or ERR_PTR; nfs_end_copy() ends it.
dentry *nfs_copy_of_target(dentry *target)
{
    const qstr name = nfs_name(target);
    dentry *copy;

    if (!lookup_outside_rwsem) {
        copy = d_alloc(READ_ONCE(target->d_parent), &name);
        return copy ? copy : ERR_PTR(-ENOMEM);
    }
    // v3 19/19: in lookup, so that nobody else has the name meanwhile.
    return d_duplicate(target);
}

void nfs_end_copy(dentry *copy)
{
    if (IS_ERR(copy))
        return;
    d_lookup_done(copy);
    dput(copy);
}

} // namespace

// Linux v6.12 fs/nfs/dir.c nfs_rename(). What is replaced is locked as well.
int nfs_rename(inode *old_dir, dentry *old_dentry, inode *new_dir, dentry *new_dentry,
               unsigned flags)
{
    inode *old_inode = d_inode(old_dentry);
    inode *new_inode = d_inode(new_dentry);
    unsigned long new_gencount = 0;
    dentry *copy = nullptr;
    bool must_unblock = false;
    int error;

    if (flags)
        return -EINVAL;
    if (new_inode && !inode_is_directory(new_inode)) {
        if (WARN_ON(READ_ONCE(new_dentry->d_fsdata) == NFS_FSDATA_BLOCKED))
            return -ETXTBSY;
        // The caller's reference and vfs_rename()'s own.
        if (nfs_busy_or_blocked(new_dentry, 2)) {
            copy = nfs_copy_of_target(new_dentry);
            error = -ETXTBSY; // whatever the reason
            if (IS_ERR(copy) || nfs_sillyrename(new_dir, new_dentry))
                goto out;
            new_dentry = copy;
            new_inode = nullptr;
        } else {
            must_unblock = true;
            new_gencount = READ_ONCE(NFS_I(new_inode)->attr_gencount);
        }
    }

    error = nfs_proc_rename(old_dir, nfs_name(old_dentry), new_dir, nfs_name(new_dentry));
    if (must_unblock)
        unblock_revalidate(new_dentry);
    if (!error) {
        nfs_mark_renamed(old_inode);
        if (new_inode)
            nfs_drop_nlink(new_inode, new_gencount);
        // Here and not by the VFS: the target may be the copy.
        d_move(old_dentry, new_dentry);
        nfs_set_verifier(old_dentry, nfs_save_change_attribute(new_dir));
    } else if (error == -ENOENT) {
        nfs_dentry_handle_enoent(old_dentry);
    }
out:
    if (copy)
        nfs_end_copy(copy);
    return error;
}

} // namespace dcsim::inline DCSIM_BACKEND
