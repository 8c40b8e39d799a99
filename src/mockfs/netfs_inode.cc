// SPDX-License-Identifier: GPL-2.0-only
//
// What the client knows of an inode, and how it comes to doubt it.
//
// The server numbers the states of an object (its change attribute). A reply with another number
// than the one known says that somebody else was there, unless it answers a change of our own: then
// it says which number the directory had before, and if that is the one we knew, nothing is lost.
// For a directory, being out of date moves cache_change_attribute, and with that every dentry in it
// has to be asked for again.
//
// Reduced: no clock. Attributes are trusted until a reason comes up not to (option actimeo = 1), or
// never (actimeo = 0). No delegations, no access cache, no contents.
#include <new>

#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/err.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/vfs/attributes.h"
#include "dcsim/vfs/file.h"
#include "dcsim/vfs/libfs.h"
#include "netfs_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

constexpr file_operations nfs_file_operations = {};

template <auto AtomicOpen>
constexpr inode_operations dir_operations = {
    .lookup = nfs_lookup,
    .create = nfs_create,
    .link = nfs_link,
    .unlink = nfs_unlink,
    .symlink = nfs_symlink,
    .mkdir = nfs_mkdir,
    .rmdir = nfs_rmdir,
    .mknod = nfs_mknod,
    .rename = nfs_rename,
    .setattr = nfs_setattr,
    .getattr = nfs_getattr,
    .atomic_open = AtomicOpen,
};

constexpr inode_operations nfs_symlink_inode_operations = {
    .get_link = nfs_get_link,
    .setattr = nfs_setattr,
    .getattr = nfs_getattr,
};

constexpr inode_operations nfs_file_inode_operations = {
    .setattr = nfs_setattr,
    .getattr = nfs_getattr,
};

nfs_inode *new_nfs_inode(const server_attributes &fattr)
{
    void *memory = kmalloc(sizeof(nfs_inode));
    nfs_inode *nfsi;

    if (!memory)
        return nullptr;
    nfsi = new (memory) nfs_inode();
    nfsi->fileid = fattr.fileid;
    // Nobody else has it yet. 2 and not 0: a dentry that was never found good has 0.
    WRITE_LOCKED(nfsi->change_attr, fattr.change);
    WRITE_LOCKED(nfsi->cache_change_attribute, 2ul);
    init_rwsem(&nfsi->rmdir_sem, "nfs_inode.rmdir_sem");
    return nfsi;
}

void fill_inode(inode *inode, nfs_inode *nfsi, const server_attributes &fattr)
{
    const bool v4 = NFS_SERVER(inode)->v4;

    inode->i_private = nfsi;
    WRITE_ONCE(inode->i_mode, fattr.mode);
    WRITE_LOCKED(inode->i_size, fattr.size);
    set_nlink(inode, fattr.nlink);
    inode->i_op = &nfs_file_inode_operations;
    switch (fattr.mode & S_IFMT_MASK) {
    case S_IFDIR_TYPE:
        inode->i_op = v4 ? &dir_operations<nfs_atomic_open> : &dir_operations<nfs_atomic_open_v23>;
        inode->i_fop = &nfs_dir_operations;
        break;
    case S_IFLNK_TYPE:
        inode->i_op = &nfs_symlink_inode_operations;
        break;
    case S_IFREG_TYPE:
        inode->i_fop = v4 ? &nfs4_file_operations : &nfs_file_operations;
        break;
    default:
        init_special_inode(inode, fattr.mode, 0);
        break;
    }
}

} // namespace

// As Linux v6.12 fs/nfs/inode.c nfs_fhget().
inode *nfs_fhget(super_block *sb, const server_attributes &fattr)
{
    inode *inode = iget_locked(sb, fattr.fileid);
    nfs_inode *nfsi;

    if (!inode)
        return ERR_PTR(-ENOMEM);
    if (!(READ_ONCE(inode->i_state) & I_NEW)) {
        nfs_refresh_inode(inode, fattr);
        return inode;
    }
    nfsi = new_nfs_inode(fattr);
    if (!nfsi) {
        iget_failed(inode);
        return ERR_PTR(-ENOMEM);
    }
    fill_inode(inode, nfsi, fattr);
    unlock_new_inode(inode);
    return inode;
}

// Linux v6.12 fs/nfs/dir.c nfs_force_lookup_revalidate().
void nfs_force_lookup_revalidate(inode *dir)
{
    // In steps of 2: the kernel has a mark for delegations in bit 0.
    NFS_I(dir)->cache_change_attribute += 2ul;
}

// As Linux v6.12 fs/nfs/inode.c nfs_refresh_inode(), nfs_update_inode(): the change attribute of
// this server only grows, so it alone tells old news from new.
void nfs_refresh_inode(inode *inode, const server_attributes &fattr)
{
    nfs_inode *nfsi = NFS_I(inode);
    u64 known;

    spin_lock(&inode->i_lock);
    known = READ_LOCKED(nfsi->change_attr);
    if (fattr.change >= known) {
        if (fattr.change != known) {
            WRITE_ONCE(nfsi->change_attr, fattr.change);
            if (S_ISDIR_mode(fattr.mode))
                nfs_force_lookup_revalidate(inode);
        }
        ++nfsi->attr_gencount;
        WRITE_ONCE(nfsi->cache_validity, 0u);
        WRITE_ONCE(inode->i_mode, fattr.mode);
        WRITE_ONCE(inode->i_size, fattr.size);
        set_nlink(inode, fattr.nlink);
    }
    spin_unlock(&inode->i_lock);
}

// As Linux v6.12 fs/nfs/nfs4proc.c nfs4_update_changeattr().
void nfs4_update_changeattr(inode *dir, const server_change_info &info)
{
    nfs_inode *nfsi = NFS_I(dir);
    u64 known;

    if (info.before == info.after)
        return;
    spin_lock(&dir->i_lock);
    known = READ_LOCKED(nfsi->change_attr);
    if (info.after > known) {
        WRITE_ONCE(nfsi->change_attr, info.after);
        // Somebody else's change came between the last news and this one.
        if (info.before != known)
            nfs_force_lookup_revalidate(dir);
        ++nfsi->attr_gencount;
        nfsi->cache_validity &= ~unsigned{NFS_INO_INVALID_CHANGE};
    }
    nfsi->cache_validity |= NFS_INO_INVALID_OTHER;
    spin_unlock(&dir->i_lock);
}

// Linux v6.12 fs/nfs/inode.c nfs_set_cache_invalid(), with the lock that its callers take.
void nfs_set_cache_invalid(inode *inode, unsigned flags)
{
    spin_lock(&inode->i_lock);
    NFS_I(inode)->cache_validity |= flags;
    spin_unlock(&inode->i_lock);
}

// What Linux v6.12 fs/nfs/dir.c nfs_rename() and unlink.c nfs_sillyrename() do to the inode.
void nfs_mark_renamed(inode *inode)
{
    nfs_inode *nfsi = NFS_I(inode);

    spin_lock(&inode->i_lock);
    ++nfsi->attr_gencount;
    nfsi->cache_validity |= NFS_INO_INVALID_CHANGE | NFS_INO_INVALID_OTHER;
    spin_unlock(&inode->i_lock);
}

// Linux v6.12 fs/nfs/dir.c nfs_drop_nlink().
void nfs_drop_nlink(inode *inode, unsigned long gencount)
{
    nfs_inode *nfsi = NFS_I(inode);

    spin_lock(&inode->i_lock);
    // Unless a reply told the new count meanwhile.
    if (READ_ONCE(inode->i_nlink) > 0 && gencount == READ_LOCKED(nfsi->attr_gencount))
        drop_nlink(inode);
    ++nfsi->attr_gencount;
    nfsi->cache_validity |= NFS_INO_INVALID_CHANGE | NFS_INO_INVALID_OTHER;
    spin_unlock(&inode->i_lock);
}

// As Linux v6.12 fs/nfs/inode.c nfs_mapping_need_revalidate_inode(), nfs_attribute_cache_expired().
bool nfs_mapping_need_revalidate_inode(const inode *inode)
{
    return !NFS_SERVER(inode)->cached ||
           (READ_ONCE(NFS_I(inode)->cache_validity) & NFS_INO_INVALID_CHANGE);
}

// As Linux v6.12 fs/nfs/inode.c __nfs_revalidate_inode().
int __nfs_revalidate_inode(inode *inode)
{
    server_attributes fattr;
    int status;

    if (NFS_STALE(inode))
        return -ESTALE;
    status = server_getattr(NFS_SERVER(inode)->tree, NFS_FILEID(inode), &fattr);
    if (!status) {
        nfs_refresh_inode(inode, fattr);
        return 0;
    }
    if (status == -ESTALE) {
        spin_lock(&inode->i_lock);
        // A directory may come back, as far as the client knows.
        if (inode_is_directory(inode))
            nfs_force_lookup_revalidate(inode);
        else
            NFS_I(inode)->flags |= NFS_INO_STALE;
        spin_unlock(&inode->i_lock);
    }
    return status;
}

// As Linux v6.12 fs/nfs/inode.c nfs_getattr().
int nfs_getattr(const path *path, kstat *stat)
{
    inode *inode = d_inode(path->dentry);
    int error = 0;

    if (!NFS_SERVER(inode)->cached || READ_ONCE(NFS_I(inode)->cache_validity))
        error = __nfs_revalidate_inode(inode);
    if (!error)
        generic_fillattr(inode, stat);
    return error;
}

// As Linux v6.12 fs/nfs/inode.c nfs_setattr(): the server keeps permissions; owners live and die
// with the inode.
int nfs_setattr(dentry *dentry, iattr *attributes)
{
    inode *inode = d_inode(dentry);
    server_attributes fattr;
    int error = simple_setattr(dentry, attributes);

    if (error || !(attributes->ia_valid & ATTR_MODE))
        return error;
    error = server_setattr(NFS_SERVER(inode)->tree, NFS_FILEID(inode), READ_ONCE(inode->i_mode),
                           &fattr);
    if (!error)
        nfs_refresh_inode(inode, fattr);
    return error;
}

} // namespace dcsim::inline DCSIM_BACKEND
