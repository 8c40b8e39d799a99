// SPDX-License-Identifier: GPL-2.0-only
//
// Making names. Source: fs/nfs/dir.c of Linux v6.12.
//
// The request comes first, and what the server answers is then published as a lookup would publish
// it: by d_splice_alias(), because for a directory somebody with its file handle may have come
// before. A dentry whose request failed is dropped: perhaps it was carried out and only the reply
// was bad.
//
// `dir` is locked for writing throughout.
#include <cstring>

#include "dcsim/kernel/err.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/vfs/file.h"
#include "dcsim/vfs/namei.h"
#include "dcsim/vfs/proposed.h"
#include "netfs_internal.h"
#include "server_client.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

// Linux v6.12 fs/nfs/dir.c nfs_instantiate(), nfs_add_or_obtain().
int nfs_instantiate(inode *dir, dentry *dentry, const server_attributes &fattr)
{
    struct dentry *d;

    nfs_drop_before_splice(dentry);
    nfs_set_verifier(dentry, nfs_save_change_attribute(dir));
    d = nfs_splice_alias(nfs_fhget(dentry->d_sb, fattr), dentry);
    if (IS_ERR(d))
        return PTR_ERR(d);
    dput(d);
    return 0;
}

/// Makes an object of this mode and publishes it.
int nfs_make(inode *dir, dentry *dentry, umode_t mode, const char *body, bool excl)
{
    const qstr name = nfs_name(dentry);
    server_attributes fattr;
    server_change_info info;
    int error = server_create(NFS_SERVER(dir)->tree, NFS_FILEID(dir), nfs_key(name).text, name.len,
                              mode, body, excl, &fattr, &info);

    if (!error) {
        nfs4_update_changeattr(dir, info);
        error = nfs_instantiate(dir, dentry, fattr);
    }
    if (error)
        d_drop(dentry);
    return error;
}

} // namespace

void nfs_drop_before_splice(dentry *dentry)
{
    if (!splice_hashed)
        d_drop(dentry);
}

// Deviation: NFS calls d_splice_alias() for these as well. In v7.2 that ends in __d_add(), which is
// for dentries that were never on the LRU, and leaves nr_dentry_negative one too high.
dentry *nfs_splice_alias(inode *inode, dentry *dentry)
{
    struct dentry *fresh, *alias;
    qstr name;

    // Nobody puts a dentry on the LRU that somebody has a reference on.
    if (IS_ERR_OR_NULL(inode) || !(READ_ONCE(dentry->d_flags) & DCACHE_LRU_LIST) || splice_hashed)
        return d_splice_alias(inode, dentry);
    if (!inode_is_directory(inode)) {
        d_instantiate(dentry, inode);
        d_rehash(dentry);
        return nullptr;
    }
    name = nfs_name(dentry);
    fresh = d_alloc(READ_ONCE(dentry->d_parent), &name);
    if (!fresh) {
        iput(inode);
        return ERR_PTR(-ENOMEM);
    }
    alias = d_splice_alias(inode, fresh);
    if (!alias)
        return fresh;
    dput(fresh);
    return alias;
}

// Linux v6.12 fs/nfs/dir.c nfs_do_create().
int nfs_do_create(inode *dir, dentry *dentry, umode_t mode, unsigned open_flags)
{
    int error = nfs_make(dir, dentry, static_cast<umode_t>((mode & S_IALLUGO_BITS) | S_IFREG_TYPE),
                         nullptr, open_flags & OPEN_EXCL);

    // CREATE, which is no OPEN, does not tell what is there.
    return error == -EISDIR || error == -ELOOP ? -EEXIST : error;
}

// Linux v6.12 fs/nfs/dir.c nfs_create().
int nfs_create(inode *dir, dentry *dentry, umode_t mode, bool excl)
{
    return nfs_do_create(dir, dentry, mode, excl ? unsigned{OPEN_EXCL} : 0);
}

// Linux v6.12 fs/nfs/dir.c nfs_mknod(). The server does not keep device numbers.
int nfs_mknod(inode *dir, dentry *dentry, umode_t mode, unsigned)
{
    return nfs_make(dir, dentry, mode, nullptr, true);
}

// Linux v6.12 fs/nfs/dir.c nfs_mkdir().
int nfs_mkdir(inode *dir, dentry *dentry, umode_t mode)
{
    return nfs_make(dir, dentry, static_cast<umode_t>((mode & S_IALLUGO_BITS) | S_IFDIR_TYPE),
                    nullptr, true);
}

// Linux v6.12 fs/nfs/dir.c nfs_symlink().
int nfs_symlink(inode *dir, dentry *dentry, const char *body)
{
    if (strlen(body) >= PATH_MAX_LENGTH)
        return -ENAMETOOLONG;
    return nfs_make(dir, dentry, S_IFLNK_TYPE | 0777, body, true);
}

// Linux v6.12 fs/nfs/dir.c nfs_link(). The file is locked as well.
int nfs_link(dentry *old_dentry, inode *dir, dentry *dentry)
{
    inode *inode = d_inode(old_dentry);
    const qstr name = nfs_name(dentry);
    server_attributes fattr;
    server_change_info info;
    int error;

    nfs_drop_before_splice(dentry);
    error = server_link(NFS_SERVER(dir)->tree, NFS_FILEID(inode), NFS_FILEID(dir),
                        nfs_key(name).text, name.len, &fattr, &info);
    if (error) {
        // v3 14/19: nobody knows what the name is now. Before that, it was dropped above.
        d_drop(dentry);
        return error;
    }
    nfs4_update_changeattr(dir, info);
    nfs_refresh_inode(inode, fattr);
    nfs_set_verifier(dentry, nfs_save_change_attribute(dir));
    ihold(inode);
    // A file: never an alias, never an error.
    nfs_splice_alias(inode, dentry);
    return 0;
}

// As Linux v6.12 fs/nfs/symlink.c nfs_get_link(), where the copy is a page that is kept.
const char *nfs_get_link(dentry *dentry, inode *inode, delayed_call *done)
{
    if (!dentry)
        return ERR_PTR(-ECHILD);
    return server_get_link(NFS_SERVER(inode)->tree, NFS_FILEID(inode), done);
}

} // namespace dcsim::inline DCSIM_BACKEND
