// SPDX-License-Identifier: GPL-2.0-only
//
// ->lookup(): asks the server for a name and publishes the answer. Source: fs/nfs/dir.c of Linux
// v6.12.
//
// Two kinds of lookup are not carried out. A name that is about to be made exclusively, or to be
// replaced by a rename, is left as it came, in lookup or unhashed: whether it exists is for the
// server to say, when it is asked to make it.
#include "dcsim/kernel/err.h"
#include "dcsim/vfs/namei.h"
#include "netfs_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

// Linux v6.12 fs/nfs/dir.c nfs_lookup().
dentry *nfs_do_lookup(inode *dir, dentry *dentry, unsigned flags)
{
    const qstr name = nfs_name(dentry);
    inode *inode = nullptr;
    unsigned long dir_verifier;
    server_attributes fattr;
    struct dentry *res;
    int error;

    if (name.len > NAME_MAX_LENGTH)
        return ERR_PTR(-ENAMETOOLONG);
    if (flags & (LOOKUP_EXCL | LOOKUP_RENAME_TARGET))
        return nullptr;

    // Before the question: what changes while it is under way makes the answer old at once.
    dir_verifier = nfs_save_change_attribute(dir);
    error =
        server_lookup(NFS_SERVER(dir)->tree, NFS_FILEID(dir), nfs_key(name).text, name.len, &fattr);
    if (error && error != -ENOENT)
        return ERR_PTR(error);
    if (!error) {
        inode = nfs_fhget(dentry->d_sb, fattr);
        if (IS_ERR(inode))
            return ERR_CAST(inode);
    }
    nfs_set_verifier(dentry, dir_verifier);
    res = nfs_splice_alias(inode, dentry);
    if (!IS_ERR_OR_NULL(res))
        nfs_set_verifier(res, dir_verifier);
    return res;
}

int nfs_before_lookup(inode *dir, dentry *dentry)
{
    return NFS_SERVER(dir)->watcher.before_lookup(dir, dentry);
}

dentry *nfs_lookup(inode *dir, dentry *dentry, unsigned flags)
{
    int error = nfs_before_lookup(dir, dentry);

    if (error < 0)
        return ERR_PTR(error);
    return nfs_do_lookup(dir, dentry, flags);
}

} // namespace dcsim::inline DCSIM_BACKEND
