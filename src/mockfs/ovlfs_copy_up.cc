// SPDX-License-Identifier: GPL-2.0-only
//
// From the lower layer to the upper one, before something is changed. After fs/overlayfs/copy_up.c
// of Linux v6.12. There are no contents; names, types, links and attributes are copied.
//
// The copy is made in workdir, where nobody sees it, and moved to its place when it is complete.
// From then on the inode has an upper dentry as well; its number stays that of the lower one.
#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/err.h"
#include "ovlfs_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// The copy of `lower` in workdir, referenced, or ERR_PTR.
dentry *ovl_copy_to_workdir(ovl_fs *ofs, dentry *lower)
{
    inode *real = d_inode(lower);
    const umode_t mode = READ_ONCE(real->i_mode);
    ovl_cattr attr = {};
    delayed_call done = {};
    dentry *temp;

    attr.mode = mode;
    attr.rdev = real->i_rdev;
    if (S_ISLNK_mode(mode)) {
        attr.link = real->i_op->get_link(lower, real, &done);
        if (IS_ERR(attr.link))
            return ERR_CAST(attr.link);
    }
    temp = ovl_create_temp(ofs, &attr);
    do_delayed_call(&done);
    return temp;
}

// Linux v6.12 fs/overlayfs/copy_up.c ovl_copy_up_metadata().
int ovl_copy_up_metadata(ovl_fs *ofs, dentry *lower, dentry *temp)
{
    int error = ovl_set_attr(temp, d_inode(lower));

    return error ? error : ovl_set_origin_xattr(ofs, d_inode(temp)->i_ino, lower);
}

/// Moves the copy to the place that it has in the upper layer.
int ovl_move_copy(ovl_fs *ofs, dentry *parent, dentry *dentry, struct dentry *temp)
{
    qstr name = ovl_name_of(dentry);
    renamedata rd = {};
    int error;

    rd.old_parent = ofs->workdir;
    rd.new_parent = ovl_dentry_upper(parent);
    error = start_renaming_dentry(&rd, 0, temp, &name);
    if (error)
        return error;
    // Whatever took the name since it was looked up is not to be replaced.
    error = -EEXIST;
    if (d_is_negative(rd.new_dentry))
        error = vfs_rename(d_inode(rd.old_parent), rd.old_dentry, d_inode(rd.new_parent),
                           rd.new_dentry, 0);
    end_renaming(&rd);
    return error;
}

// Linux v6.12 fs/overlayfs/copy_up.c ovl_copy_up_workdir(). ovl_inode::lock held.
int ovl_copy_up_workdir(dentry *parent, dentry *dentry)
{
    ovl_fs *ofs = OVL_FS(dentry->d_sb);
    struct dentry *lower = ovl_dentry_lower(dentry);
    struct dentry *temp;
    int error = ovl_set_impure(parent);

    if (error)
        return error;
    temp = ovl_copy_to_workdir(ofs, lower);
    if (IS_ERR(temp))
        return PTR_ERR(temp);
    error = ovl_copy_up_metadata(ofs, lower, temp);
    if (!error)
        error = ovl_move_copy(ofs, parent, dentry, temp);
    if (error) {
        ovl_cleanup_temp(ofs, temp);
        return error;
    }
    if (d_is_dir(dentry))
        ovl_set_flag(OVL_WHITEOUTS, d_inode(dentry));
    ovl_inode_update(d_inode(dentry), temp);
    return 0;
}

// Linux v6.12 fs/overlayfs/copy_up.c ovl_copy_up_one(), with ovl_copy_up_start() and _end(). The
// name cannot change meanwhile: what is renamed was copied up before, and nobody else is at it.
int ovl_copy_up_one(dentry *parent, dentry *dentry)
{
    ovl_inode *oi = OVL_I(d_inode(dentry));
    int error = 0;

    ovl_creds mounter;
    mutex_lock(&oi->lock);
    if (!ovl_dentry_upper(dentry))
        error = ovl_copy_up_workdir(parent, dentry);
    mutex_unlock(&oi->lock);
    return error;
}

} // namespace

// Linux v6.12 fs/overlayfs/copy_up.c ovl_set_attr().
int ovl_set_attr(dentry *temp, const inode *like)
{
    iattr attr = {};
    int error;

    attr.ia_valid = ATTR_UID | ATTR_GID | ATTR_FORCE;
    attr.ia_mode = READ_ONCE(like->i_mode);
    attr.ia_uid = READ_ONCE(like->i_uid);
    attr.ia_gid = READ_ONCE(like->i_gid);
    if (!S_ISLNK_mode(attr.ia_mode))
        attr.ia_valid |= ATTR_MODE;
    inode_lock(d_inode(temp));
    error = notify_change(temp, &attr);
    inode_unlock(d_inode(temp));
    return error;
}

// Linux v6.12 fs/overlayfs/copy_up.c ovl_copy_up(). The root always is in the upper layer.
int ovl_copy_up(dentry *dentry)
{
    int error = 0;

    while (!error && !ovl_dentry_upper(dentry)) {
        struct dentry *next = dget(dentry);
        struct dentry *parent;

        // The topmost directory that is not there yet.
        for (;;) {
            parent = dget_parent(next);
            if (ovl_dentry_upper(parent))
                break;
            dput(next);
            next = parent;
        }
        error = ovl_copy_up_one(parent, next);
        dput(parent);
        dput(next);
    }
    return error;
}

// Linux v6.12 fs/overlayfs/util.c ovl_set_impure().
int ovl_set_impure(dentry *dentry)
{
    ovl_fs *ofs = OVL_FS(dentry->d_sb);
    int error;

    if (ovl_test_flag(OVL_IMPURE, d_inode(dentry)))
        return 0;
    error = ovl_set_impure_xattr(ofs, d_inode(ovl_dentry_upper(dentry))->i_ino);
    if (!error)
        ovl_set_flag(OVL_IMPURE, d_inode(dentry));
    return error;
}

} // namespace dcsim::inline DCSIM_BACKEND
