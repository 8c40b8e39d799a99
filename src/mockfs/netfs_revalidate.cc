// SPDX-License-Identifier: GPL-2.0-only
//
// Is a cached name still what the server has? Source: fs/nfs/dir.c of Linux v6.12, with v6.14's
// arguments of ->d_revalidate().
//
// A dentry remembers in d_time what was known of its directory when the server last confirmed it.
// As long as the directory is at the same number, the dentry is good; an RCU walk can tell that
// without asking anybody and gives up with -ECHILD as soon as it is not so. When the directory has
// moved on, the name is looked up again on the server and compared.
//
// Reduced: no delegations, no case-insensitive servers, no bad inodes, no timeouts of the server.
#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/err.h"
#include "dcsim/kernel/wait_bit.h"
#include "dcsim/vfs/namei.h"
#include "dcsim/vfs/proposed.h"
#include "netfs_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

// Linux v6.12 fs/nfs/dir.c nfs_verify_change_attribute().
bool nfs_verify_change_attribute(const inode *dir, unsigned long verf)
{
    return verf == nfs_save_change_attribute(dir);
}

// Linux v6.12 fs/nfs/dir.c nfs_dentry_verify_change().
bool nfs_dentry_verify_change(const inode *dir, const dentry *dentry)
{
    return nfs_verify_change_attribute(dir, READ_ONCE(dentry->d_time));
}

// Linux v6.12 fs/nfs/dir.c nfs_check_verifier().
//
// False may also mean that an RCU walk cannot find out.
bool nfs_check_verifier(inode *dir, const dentry *dentry, bool rcu_walk)
{
    if (IS_ROOT(dentry))
        return true;
    if (NFS_SERVER(dir)->lookupcache == NFS_LOOKUPCACHE_NONE)
        return false;
    if (!nfs_dentry_verify_change(dir, dentry))
        return false;
    // Equal, but is the number that it equals up to date?
    if (nfs_mapping_need_revalidate_inode(dir)) {
        if (rcu_walk)
            return false;
        if (__nfs_revalidate_inode(dir) < 0)
            return false;
    }
    return nfs_dentry_verify_change(dir, dentry);
}

// Linux v6.12 fs/nfs/dir.c nfs_lookup_verify_inode().
//
// 0, -ECHILD, -ESTALE for an inode whose last name is gone, and what the server says.
int nfs_lookup_verify_inode(inode *inode, unsigned flags)
{
    const nfs_server *server = NFS_SERVER(inode);
    const umode_t mode = READ_ONCE(inode->i_mode);
    bool force = flags & LOOKUP_REVAL;

    if ((flags & LOOKUP_OPEN) && S_ISREG_mode(mode) && server->v4)
        force = false; // the OPEN that follows asks
    else if ((flags & LOOKUP_OPEN) && (S_ISREG_mode(mode) || S_ISDIR_mode(mode)))
        force |= !server->nocto; // what was closed elsewhere before is seen from here on
    if (force) {
        int error;
        if (flags & LOOKUP_RCU)
            return -ECHILD;
        error = __nfs_revalidate_inode(inode);
        if (error)
            return error;
    }
    return READ_ONCE(inode->i_nlink) > 0 ? 0 : -ESTALE;
}

// Linux v6.12 fs/nfs/dir.c nfs_mark_dir_for_revalidate().
void nfs_mark_dir_for_revalidate(inode *dir)
{
    nfs_set_cache_invalid(dir, NFS_INO_INVALID_CHANGE);
}

// Linux v6.12 fs/nfs/dir.c nfs_neg_need_reval().
//
// Whoever is about to make the name, or to rename over it, hears from the server whether it is
// there.
bool nfs_neg_need_reval(inode *dir, const dentry *dentry, unsigned flags)
{
    if (flags & (LOOKUP_CREATE | LOOKUP_RENAME_TARGET))
        return false;
    // v3 13/19: nfs_atomic_open() must not replace a hashed negative dentry, so an open without
    // O_CREAT never gets one. The patch as posted answers no here, which lets all opens share it.
    if (lookup_outside_rwsem && (flags & LOOKUP_OPEN))
        return true;
    if (NFS_SERVER(dir)->lookupcache != NFS_LOOKUPCACHE_ALL)
        return true;
    return !nfs_check_verifier(dir, dentry, flags & LOOKUP_RCU);
}

// Linux v6.12 fs/nfs/dir.c nfs_lookup_revalidate_done().
int nfs_lookup_revalidate_done(const dentry *dentry, const inode *inode, int error)
{
    if (error == 1)
        return 1;
    // Dropping the root of a disconnected tree would help nobody.
    if (inode && IS_ROOT(dentry))
        return 1;
    return error == -ESTALE || error == -ENOENT ? 0 : error;
}

// Linux v6.12 fs/nfs/dir.c nfs_lookup_revalidate_negative().
int nfs_lookup_revalidate_negative(inode *dir, const dentry *dentry, unsigned flags)
{
    if (!nfs_neg_need_reval(dir, dentry, flags))
        return 1;
    return flags & LOOKUP_RCU ? -ECHILD : 0;
}

// Linux v6.12 fs/nfs/dir.c nfs_lookup_revalidate_dentry().
//
// Asks the server for the name and compares.
int nfs_lookup_revalidate_dentry(inode *dir, const qstr *name, dentry *dentry, inode *inode)
{
    unsigned long dir_verifier = nfs_save_change_attribute(dir);
    server_attributes fattr;
    int ret = server_lookup(NFS_SERVER(dir)->tree, NFS_FILEID(dir), nfs_key(*name).text, name->len,
                            &fattr);

    if (!ret && fattr.fileid == NFS_FILEID(inode)) {
        nfs_refresh_inode(inode, fattr);
        nfs_set_verifier(dentry, dir_verifier);
        ret = 1;
    }
    // The number said that nothing had changed, and it had: nobody should trust it further.
    if (!ret && nfs_dentry_verify_change(dir, dentry))
        nfs_mark_dir_for_revalidate(dir);
    return nfs_lookup_revalidate_done(dentry, inode, ret);
}

// Linux v6.12 fs/nfs/dir.c nfs_do_lookup_revalidate().
int nfs_do_lookup_revalidate(inode *dir, const qstr *name, dentry *dentry, unsigned flags)
{
    inode *inode = d_inode_rcu(dentry);

    if (!inode)
        return nfs_lookup_revalidate_negative(dir, dentry, flags);

    // Asked for anew only when the directory has changed.
    if (!(flags & (LOOKUP_EXCL | LOOKUP_REVAL)) &&
        nfs_check_verifier(dir, dentry, flags & LOOKUP_RCU)) {
        int error = nfs_lookup_verify_inode(inode, flags);
        if (!error)
            return 1;
        if (error == -ESTALE)
            nfs_mark_dir_for_revalidate(dir);
        if (flags & LOOKUP_RCU)
            return -ECHILD;
        return nfs_lookup_revalidate_done(dentry, inode, error);
    }
    if (flags & LOOKUP_RCU)
        return -ECHILD;
    if (NFS_STALE(inode))
        return nfs_lookup_revalidate_done(dentry, inode, 0);
    return nfs_lookup_revalidate_dentry(dir, name, dentry, inode);
}

// Linux v6.12 fs/nfs/dir.c nfs4_do_lookup_revalidate().
int nfs4_do_lookup_revalidate(inode *dir, const qstr *name, dentry *dentry, unsigned flags)
{
    inode *inode;

    if (!(flags & LOOKUP_OPEN) || (flags & LOOKUP_DIRECTORY) || d_mountpoint(dentry))
        return nfs_do_lookup_revalidate(dir, name, dentry, flags);
    inode = d_inode_rcu(dentry);
    if (!inode || !S_ISREG_mode(READ_ONCE(inode->i_mode)))
        return nfs_do_lookup_revalidate(dir, name, dentry, flags);
    // ->open() opens, and says so if it is another file by then.
    if (!(flags & (LOOKUP_EXCL | LOOKUP_REVAL)) &&
        nfs_check_verifier(dir, dentry, flags & LOOKUP_RCU))
        return 1;
    if (flags & LOOKUP_RCU)
        return -ECHILD;
    return nfs_lookup_revalidate_dentry(dir, name, dentry, inode);
}

// Linux v6.14 fs/nfs/dir.c __nfs_lookup_revalidate().
//
// Waits until a removal that is under way is over. False: the RCU walk cannot wait.
bool nfs_wait_unblocked(dentry *dentry, unsigned flags)
{
    if (flags & LOOKUP_RCU)
        return READ_ONCE(dentry->d_fsdata) != NFS_FSDATA_BLOCKED;
    wait_var_event(&dentry->d_fsdata,
                   [dentry] { return smp_load_acquire(&dentry->d_fsdata) != NFS_FSDATA_BLOCKED; });
    return true;
}

// Linux v6.14 fs/nfs/dir.c nfs_lookup_revalidate().
int nfs_lookup_revalidate(inode *dir, const qstr *name, dentry *dentry, unsigned flags)
{
    if (!nfs_wait_unblocked(dentry, flags))
        return -ECHILD;
    return nfs_do_lookup_revalidate(dir, name, dentry, flags);
}

// Linux v6.14 fs/nfs/dir.c nfs4_lookup_revalidate().
int nfs4_lookup_revalidate(inode *dir, const qstr *name, dentry *dentry, unsigned flags)
{
    if (!nfs_wait_unblocked(dentry, flags))
        return -ECHILD;
    return nfs4_do_lookup_revalidate(dir, name, dentry, flags);
}

// Linux v6.12 fs/nfs/dir.c nfs_weak_revalidate().
int nfs_weak_revalidate(dentry *dentry, unsigned flags)
{
    inode *inode = d_inode(dentry);

    return !inode || nfs_lookup_verify_inode(inode, flags) == 0;
}

// Linux v6.12 fs/nfs/dir.c nfs_dentry_delete().
//
// What is stale is not kept; and a silly-renamed file must come to ->d_iput().
int nfs_dentry_delete(const dentry *dentry)
{
    const inode *inode = d_inode(dentry);

    if (inode && NFS_STALE(inode))
        return 1;
    return READ_ONCE(dentry->d_flags) & DCACHE_NFSFS_RENAMED ? 1 : 0;
}

// Linux v6.12 fs/nfs/dir.c nfs_dentry_iput().
void nfs_dentry_iput(dentry *dentry, inode *inode)
{
    if (READ_ONCE(dentry->d_flags) & DCACHE_NFSFS_RENAMED) {
        unsigned long gencount = READ_ONCE(NFS_I(inode)->attr_gencount);
        nfs_complete_unlink(dentry, inode);
        nfs_drop_nlink(inode, gencount);
    }
    iput(inode);
}

// Linux v6.12 fs/nfs/dir.c nfs_d_release().
void nfs_d_release(dentry *dentry)
{
    WARN_ON(READ_ONCE(dentry->d_fsdata) != nullptr);
    NFS_SB(dentry->d_sb)->watcher.released(dentry);
}

} // namespace

// Linux v6.12 fs/nfs/dir.c nfs_set_verifier().
void nfs_set_verifier(dentry *dentry, unsigned long verf)
{
    inode *dir;

    spin_lock(&dentry->d_lockref.lock);
    dir = d_inode_rcu(READ_LOCKED(dentry->d_parent));
    if (dir && nfs_verify_change_attribute(dir, verf))
        WRITE_ONCE(dentry->d_time, verf);
    spin_unlock(&dentry->d_lockref.lock);
}

// Linux v6.12 fs/nfs/dir.c block_revalidate().
void block_revalidate(dentry *dentry)
{
    // Whoever takes a new reference that could lead to an open takes d_lock for it, and so sees
    // this.
    WRITE_ONCE(dentry->d_fsdata, NFS_FSDATA_BLOCKED);
}

// Linux v6.12 fs/nfs/dir.c unblock_revalidate().
void unblock_revalidate(dentry *dentry)
{
    store_release_wake_up(&dentry->d_fsdata, static_cast<void *>(nullptr));
}

constinit const dentry_operations nfs_dentry_operations = {
    .d_revalidate = nfs_lookup_revalidate,
    .d_weak_revalidate = nfs_weak_revalidate,
    .d_delete = nfs_dentry_delete,
    .d_release = nfs_d_release,
    .d_iput = nfs_dentry_iput,
};

constinit const dentry_operations nfs4_dentry_operations = {
    .d_revalidate = nfs4_lookup_revalidate,
    .d_weak_revalidate = nfs_weak_revalidate,
    .d_delete = nfs_dentry_delete,
    .d_release = nfs_d_release,
    .d_iput = nfs_dentry_iput,
};

} // namespace dcsim::inline DCSIM_BACKEND
