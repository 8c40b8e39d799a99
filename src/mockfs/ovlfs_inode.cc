// SPDX-License-Identifier: GPL-2.0-only
//
// Inodes of the overlay and their attributes. After fs/overlayfs/inode.c of Linux v6.12.
//
// An inode stands for an object of the upper layer, of the lower one, or of both: then it is known
// by the lower one's number, so that the number stays when a file is copied up. The layers number
// their inodes from different ranges, as xino's upper bits would make them.
#include <new>

#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/err.h"
#include "dcsim/kernel/slab.h"
#include "ovlfs_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

extern const inode_operations ovl_file_inode_operations;
extern const inode_operations ovl_symlink_inode_operations;
extern const inode_operations ovl_special_inode_operations;
extern const file_operations ovl_file_operations;

// Linux v6.12 fs/overlayfs/inode.c ovl_verify_inode(). Is it that of a lookup that found these?
bool ovl_verify_inode(const inode *inode, const dentry *lowerdentry, const dentry *upperdentry)
{
    const dentry *upper = smp_load_acquire(&OVL_I(inode)->upperdentry);
    const dentry *lower = OVL_I(inode)->lowerdentry;

    // Of a directory both halves count: it is what they are together.
    if (inode_is_directory(inode)) {
        if (!lowerdentry && lower)
            return false;
        if (!upperdentry && upper)
            return false;
    }
    if (lowerdentry && (!lower || d_inode(lower) != d_inode(lowerdentry)))
        return false;
    // A file may have been copied up since the upper layer was looked at.
    return !upperdentry || (upper && d_inode(upper) == d_inode(upperdentry));
}

// Linux v6.12 fs/overlayfs/inode.c ovl_fill_inode().
void ovl_fill_inode(inode *inode, umode_t mode, unsigned device)
{
    switch (mode & S_IFMT_MASK) {
    case S_IFREG_TYPE:
        inode->i_op = &ovl_file_inode_operations;
        inode->i_fop = &ovl_file_operations;
        break;
    case S_IFDIR_TYPE:
        inode->i_op = &ovl_dir_inode_operations;
        inode->i_fop = &ovl_dir_operations;
        break;
    case S_IFLNK_TYPE:
        inode->i_op = &ovl_symlink_inode_operations;
        break;
    default:
        inode->i_op = &ovl_special_inode_operations;
        init_special_inode(inode, mode, device);
        break;
    }
}

// Linux v6.12 fs/overlayfs/inode.c ovl_inode_init(), and the end of ovl_get_inode(). The inode is
// I_NEW; takes the references over. False without memory.
bool ovl_inode_init(inode *inode, dentry *upperdentry, dentry *lowerdentry)
{
    const struct inode *real = d_inode(upperdentry ? upperdentry : lowerdentry);
    const umode_t mode = READ_ONCE(real->i_mode);
    const bool is_dir = S_ISDIR_mode(mode);
    void *memory = kmalloc(sizeof(ovl_inode));
    ovl_inode *oi;

    if (!memory)
        return false;
    oi = new (memory) ovl_inode();
    mutex_init(&oi->lock, "ovl_inode.lock");
    WRITE_LOCKED(oi->upperdentry, upperdentry);
    oi->lowerdentry = lowerdentry;
    inode->i_private = oi;
    ovl_fill_inode(inode, mode, real->i_rdev);
    ovl_copyattr(inode);
    set_nlink(inode, is_dir ? 1 : READ_ONCE(real->i_nlink));
    if (lowerdentry)
        ovl_set_flag(OVL_CONST_INO, inode);
    if (upperdentry && is_dir) {
        ovl_xattr_values xattr = ovl_get_xattr(OVL_FS(inode->i_sb), real->i_ino);

        if (xattr.impure)
            ovl_set_flag(OVL_IMPURE, inode);
        // Merged now, or merged once and opaque since: both may have whiteouts in them.
        if (lowerdentry || xattr.origin)
            ovl_set_flag(OVL_WHITEOUTS, inode);
        dput(xattr.origin);
    }
    return true;
}

} // namespace

// Linux v6.12 fs/overlayfs/inode.c ovl_get_inode(), for one lower layer without hard links.
inode *ovl_get_inode(super_block *sb, dentry *upperdentry, dentry *lowerdentry)
{
    const dentry *key = lowerdentry ? lowerdentry : upperdentry;
    inode *inode = iget_locked(sb, d_inode(key)->i_ino);
    int error = -ENOMEM;

    if (!inode)
        goto out_put;
    if (!(READ_ONCE(inode->i_state) & I_NEW)) {
        if (ovl_verify_inode(inode, lowerdentry, upperdentry)) {
            dput(upperdentry);
            dput(lowerdentry);
            return inode;
        }
        iput(inode);
        error = -ESTALE;
        goto out_put;
    }
    if (!ovl_inode_init(inode, upperdentry, lowerdentry)) {
        iget_failed(inode);
        goto out_put;
    }
    unlock_new_inode(inode);
    return inode;

out_put:
    dput(upperdentry);
    dput(lowerdentry);
    return ERR_PTR(error);
}

// Linux v6.12 fs/overlayfs/util.c ovl_inode_update().
void ovl_inode_update(inode *inode, dentry *upperdentry)
{
    WARN_ON(READ_ONCE(OVL_I(inode)->upperdentry));
    // Whoever sees the pointer sees a dentry that is complete.
    smp_store_release(&OVL_I(inode)->upperdentry, upperdentry);
}

// --- Attributes ---

// Linux v6.12 fs/overlayfs/inode.c ovl_setattr().
int ovl_setattr(dentry *dentry, iattr *attributes)
{
    struct dentry *upper;
    iattr change;
    int error = setattr_prepare(dentry, attributes);

    if (!error)
        error = ovl_copy_up(dentry);
    if (error)
        return error;

    upper = ovl_dentry_upper(dentry);
    change = *attributes;
    if (change.ia_valid & (ATTR_KILL_SUID | ATTR_KILL_SGID))
        change.ia_valid &= ~unsigned{ATTR_MODE};
    {
        ovl_creds mounter;

        inode_lock(d_inode(upper));
        error = notify_change(upper, &change);
        if (!error)
            ovl_copyattr(d_inode(dentry));
        inode_unlock(d_inode(upper));
    }
    return error;
}

// Linux v6.12 fs/overlayfs/inode.c ovl_getattr(). The number is the overlay inode's, which is that
// of the origin for whatever has one.
int ovl_getattr(const path *path, kstat *stat)
{
    dentry *dentry = path->dentry;
    const struct path real = {nullptr, ovl_dentry_real(dentry)};
    ovl_creds mounter;
    int error = vfs_getattr(&real, stat);

    if (error)
        return error;
    stat->ino = d_inode(dentry)->i_ino;
    if (ovl_type_merge(dentry))
        stat->nlink = 1;
    return 0;
}

namespace
{

// Linux v6.12 fs/overlayfs/inode.c ovl_get_link().
const char *ovl_get_link(dentry *dentry, inode *inode, delayed_call *done)
{
    struct dentry *real;

    (void)inode;
    if (!dentry)
        return ERR_PTR(-ECHILD);
    ovl_creds mounter;
    real = ovl_dentry_real(dentry);
    return d_inode(real)->i_op->get_link(real, d_inode(real), done);
}

// Linux v6.12 fs/overlayfs/file.c ovl_open(), without the real file: there are no contents.
int ovl_open(inode *inode, file *file)
{
    (void)inode;
    if (!(file->f_mode & FMODE_WRITE))
        return 0;
    return ovl_copy_up(file->f_path.dentry);
}

const inode_operations ovl_file_inode_operations = {
    .setattr = ovl_setattr,
    .getattr = ovl_getattr,
};
const inode_operations ovl_special_inode_operations = {
    .setattr = ovl_setattr,
    .getattr = ovl_getattr,
};
const inode_operations ovl_symlink_inode_operations = {
    .get_link = ovl_get_link,
    .setattr = ovl_setattr,
    .getattr = ovl_getattr,
};
const file_operations ovl_file_operations = {.open = ovl_open};

// --- The end of an inode ---

// Linux v6.12 fs/overlayfs/super.c ovl_destroy_inode().
void ovl_evict_inode(inode *inode)
{
    ovl_inode *oi = OVL_I(inode);

    // An inode that was never filled in has nothing.
    if (!oi)
        return;
    dput(READ_ONCE(oi->upperdentry));
    dput(oi->lowerdentry);
    ovl_dir_cache_free(inode);
}

// Linux v6.12 fs/overlayfs/super.c ovl_free_inode().
void ovl_free_inode(inode *inode)
{
    kfree(OVL_I(inode));
}

} // namespace

const super_operations ovl_super_operations = {
    .evict_inode = ovl_evict_inode,
    .free_inode = ovl_free_inode,
};

} // namespace dcsim::inline DCSIM_BACKEND
