// SPDX-License-Identifier: GPL-2.0-only
//
// One name in two layers. After fs/overlayfs/namei.c of Linux v6.12.
//
// The upper layer is asked first. A whiteout there, a file, or an opaque directory hides what is
// below; two directories are merged. The layers are ordinary file systems: their names are looked
// up through their own dcaches, with their own i_rwsems, inside a ->lookup() of the overlay.
#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/err.h"
#include "ovlfs_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// What is known so far about a name that is being looked up.
struct ovl_lookup_data {
    ovl_fs *ofs;
    const struct dentry *dentry; ///< has the name
    bool is_upper;               ///< the layer in question
    bool is_dir;                 ///< a directory was found in a layer above, or here
    bool opaque;                 ///< the upper layer says that nothing below counts
    bool stop;                   ///< nothing below is to be asked
    bool last;                   ///< there is no layer below
};

/// An unused negative dentry of a layer is of no use: the overlay has one of its own.
void drop_negative(dentry *dentry)
{
    if (READ_ONCE(dentry->d_lockref.count) != 1)
        return;
    spin_lock(&dentry->d_lockref.lock);
    if (d_is_negative(dentry) && READ_LOCKED(dentry->d_lockref.count) == 1)
        __d_drop(dentry);
    spin_unlock(&dentry->d_lockref.lock);
}

// Linux v6.12 fs/overlayfs/namei.c ovl_lookup_positive_unlocked().
dentry *ovl_lookup_positive_unlocked(const ovl_lookup_data *d, dentry *base)
{
    qstr name = ovl_name_of(d->dentry);
    dentry *found = lookup_noperm_unlocked(&name, base);

    if (!IS_ERR(found) && d_is_negative(found)) {
        if (d->is_upper)
            drop_negative(found);
        dput(found);
        return ERR_PTR(-ENOENT);
    }
    return found;
}

// Linux v6.12 fs/overlayfs/namei.c ovl_lookup_layer() and ovl_lookup_single(). 0 and *result, which
// is nullptr or referenced; or a negative errno.
int ovl_lookup_layer(dentry *base, ovl_lookup_data *d, dentry **result)
{
    dentry *found = ovl_lookup_positive_unlocked(d, base);

    *result = nullptr;
    if (IS_ERR(found)) {
        int error = PTR_ERR(found);

        return error == -ENOENT || error == -ENAMETOOLONG ? 0 : error;
    }
    if (ovl_is_whiteout(found)) {
        d->stop = true;
        d->opaque = d->is_upper;
        goto hidden;
    }
    if (!d_can_lookup(found)) {
        // No file is merged with anything.
        d->stop = true;
        if (d->is_dir)
            goto hidden;
    } else {
        d->is_dir = true;
        if (!d->last && d->is_upper) {
            ovl_xattr_values xattr = ovl_get_xattr(d->ofs, d_inode(found)->i_ino);

            dput(xattr.origin);
            if (xattr.opaque)
                d->stop = d->opaque = true;
        }
    }
    *result = found;
    return 0;

hidden:
    dput(found);
    return 0;
}

/// Both layers of a name that `dir` has or has not. 0 and two references or nullptrs; or a negative
/// errno.
int ovl_lookup_layers(ovl_lookup_data *d, const dentry *parent, dentry **upper, dentry **lower)
{
    dentry *upperdir = ovl_dentry_upper(parent);
    dentry *lowerdir = ovl_dentry_lower(parent);
    int error = 0;

    *upper = *lower = nullptr;
    d->last = !lowerdir;
    if (upperdir) {
        d->is_upper = true;
        error = ovl_lookup_layer(upperdir, d, upper);
        if (error)
            return error;
        // ovl_check_origin(): a file that was copied up keeps the number of what it was.
        if (*upper && !d->is_dir)
            *lower = ovl_get_xattr(d->ofs, d_inode(*upper)->i_ino).origin;
    }
    if (!d->stop && lowerdir) {
        d->is_upper = false;
        d->last = true;
        error = ovl_lookup_layer(lowerdir, d, lower);
        if (error)
            dput(*upper);
    }
    return error;
}

/// v3 09/19: while this dentry was in lookup, readdir may have looked the name up with a dentry of
/// its own and hashed that. Then it is the answer; nullptr: there is none.
dentry *ovl_find_readdir_alias(ovl_fs *ofs, dentry *dentry)
{
    struct dentry *alias;
    qstr name;

    if (ofs->readdir_form == OVL_READDIR_WAIT || !ofs->recheck)
        return nullptr;
    if (ofs->readdir_form != OVL_READDIR_NOBLOCK) {
        // v3 10/19: only where readdir has said so.
        if (!ovl_dentry_test_flag(OVL_E_RACED_READDIR, dentry))
            return nullptr;
        ovl_dentry_clear_flag(OVL_E_RACED_READDIR, dentry);
    }
    name = ovl_name_of(dentry);
    alias = try_lookup_noperm(&name, READ_ONCE(dentry->d_parent));
    return IS_ERR(alias) ? nullptr : alias;
}

} // namespace

// Linux v6.12 fs/overlayfs/namei.c ovl_lookup().
dentry *ovl_lookup(inode *dir, dentry *dentry, unsigned flags)
{
    ovl_fs *ofs = OVL_FS(dir->i_sb);
    ovl_lookup_data d = {ofs, dentry, false, false, false, false, false};
    struct dentry *alias, *upper, *lower;
    inode *inode = nullptr;
    int error = ofs->watcher.before_lookup(dir, dentry);

    (void)flags;
    if (error)
        return ERR_PTR(error);
    if (dentry->d_name.len() > NAME_MAX_LENGTH)
        return ERR_PTR(-ENAMETOOLONG);
    alias = ovl_find_readdir_alias(ofs, dentry);
    if (alias)
        return alias;

    {
        ovl_creds mounter;

        error = ovl_lookup_layers(&d, READ_ONCE(dentry->d_parent), &upper, &lower);
        if (error)
            return ERR_PTR(error);
        if (d.opaque)
            ovl_dentry_set_flag(OVL_E_OPAQUE, dentry);
        if (upper || lower) {
            inode = ovl_get_inode(dir->i_sb, upper, lower);
            if (IS_ERR(inode))
                return ERR_CAST(inode);
        }
    }
    return d_splice_alias(inode, dentry);
}

// Linux v6.12 fs/overlayfs/namei.c ovl_lower_positive().
bool ovl_lower_positive(dentry *dentry)
{
    struct dentry *lowerdir = ovl_dentry_lower(READ_ONCE(dentry->d_parent));
    ovl_lookup_data d = {OVL_FS(dentry->d_sb), dentry, false, false, false, false, true};
    struct dentry *lower;

    if (!d_inode(dentry))
        return ovl_dentry_is_opaque(dentry);
    if (!ovl_dentry_upper(dentry))
        return true;
    if (!lowerdir)
        return false;

    ovl_creds mounter;
    // What cannot be found out may be there.
    if (ovl_lookup_layer(lowerdir, &d, &lower))
        return true;
    dput(lower);
    return lower != nullptr;
}

} // namespace dcsim::inline DCSIM_BACKEND
