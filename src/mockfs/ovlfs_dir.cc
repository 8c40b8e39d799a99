// SPDX-License-Identifier: GPL-2.0-only
//
// Making, removing and renaming. After fs/overlayfs/dir.c of Linux v6.12; the upper layer is locked
// as in v6.19.
//
// Everything happens in the upper layer. Where the lower one has the name, removing it leaves a
// whiteout, and making it again puts something in the place of the whiteout. Things that need
// several steps are put together in workdir and get to their place by one rename.
#include <cstdio>

#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/err.h"
#include "ovlfs_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

// Linux v6.12 fs/overlayfs/dir.c ovl_cleanup(). What is known beside the object goes with it.
int ovl_cleanup(ovl_fs *ofs, inode *dir, dentry *real)
{
    inode *inode = d_inode(real);
    bool last = d_is_dir(real) || READ_ONCE(inode->i_nlink) == 1;
    int error;

    ihold(inode);
    error = d_is_dir(real) ? vfs_rmdir(dir, real) : vfs_unlink(dir, real);
    if (!error && last)
        ovl_forget_xattr(ofs, inode->i_ino);
    iput(inode);
    return error;
}

void ovl_cleanup_temp(ovl_fs *ofs, dentry *temp)
{
    dentry *locked = start_removing_dentry(ofs->workdir, temp);

    if (!IS_ERR(locked)) {
        ovl_cleanup(ofs, d_inode(ofs->workdir), locked);
        end_removing(locked);
    }
    dput(temp);
}

namespace
{

// --- Making something in the upper layer ---

/// A name in workdir that nobody has. The counter may wrap: what is there is short-lived.
unsigned ovl_next_temp_id(ovl_fs *ofs)
{
    unsigned id = READ_ONCE(ofs->temp_id);

    while (!try_cmpxchg(&ofs->temp_id, &id, id + 1)) {
    }
    return id + 1;
}

// Linux v6.12 fs/overlayfs/dir.c ovl_create_real(). `dir` is locked, `newdentry` negative. 0 or a
// negative errno.
int ovl_create_real(inode *dir, dentry *newdentry, const ovl_cattr *attr)
{
    if (d_is_positive(newdentry))
        return -ESTALE;
    if (attr->hardlink)
        return vfs_link(attr->hardlink, dir, newdentry);
    switch (attr->mode & S_IFMT_MASK) {
    case S_IFREG_TYPE:
        return vfs_create(dir, newdentry, attr->mode);
    case S_IFDIR_TYPE:
        return vfs_mkdir(dir, newdentry, attr->mode);
    case S_IFLNK_TYPE:
        return vfs_symlink(dir, newdentry, attr->link);
    default:
        return vfs_mknod(dir, newdentry, attr->mode, attr->rdev);
    }
}

// Linux v6.12 fs/overlayfs/dir.c ovl_set_opaque().
int ovl_set_opaque(dentry *dentry, const struct dentry *upper)
{
    int error = ovl_set_opaque_xattr(OVL_FS(dentry->d_sb), d_inode(upper)->i_ino);

    if (!error)
        ovl_dentry_set_flag(OVL_E_OPAQUE, dentry);
    return error;
}

/// Publishes what was made at a negative dentry whose directory is locked for writing.
void ovl_publish(dentry *dentry, inode *inode)
{
    const bool dropped = d_unhashed(dentry);

    d_instantiate(dentry, inode);
    // The negative dentry was dropped since it was looked up.
    if (unlikely(dropped))
        d_rehash(dentry);
}

// Linux v6.12 fs/overlayfs/dir.c ovl_instantiate(). Takes a reference of its own on `newdentry`.
int ovl_instantiate(dentry *dentry, struct dentry *newdentry, inode *hardlink)
{
    inode *inode = hardlink;

    if (hardlink) {
        ihold(inode);
        inc_nlink(inode);
        ovl_publish(dentry, inode);
        // A new name is looked up again, so that it finds its lower half.
        d_drop(dentry);
        return 0;
    }
    inode = ovl_get_inode(dentry->d_sb, dget(newdentry), nullptr);
    if (IS_ERR(inode))
        return PTR_ERR(inode);
    ovl_publish(dentry, inode);
    return 0;
}

// Linux v6.12 fs/overlayfs/dir.c ovl_create_upper().
int ovl_create_upper(dentry *dentry, const ovl_cattr *attr, inode *hardlink)
{
    ovl_fs *ofs = OVL_FS(dentry->d_sb);
    struct dentry *parent = READ_ONCE(dentry->d_parent);
    struct dentry *upperdir = ovl_dentry_upper(parent);
    qstr name = ovl_name_of(dentry);
    struct dentry *newdentry = start_creating_noperm(upperdir, &name);
    int error;

    if (IS_ERR(newdentry))
        return PTR_ERR(newdentry);
    error = ovl_create_real(d_inode(upperdir), newdentry, attr);
    if (!error) {
        // Saves later lookups the question below. May fail.
        if (ovl_type_merge(parent) && d_is_dir(newdentry))
            ovl_set_opaque(dentry, newdentry);
        ovl_dir_modified(parent);
        error = ovl_instantiate(dentry, newdentry, hardlink);
        if (error)
            ovl_cleanup(ofs, d_inode(upperdir), newdentry);
    }
    end_creating(newdentry);
    return error;
}

/// A rename in the upper layer from workdir into the place of `dentry`, found and locked.
int ovl_start_from_workdir(renamedata *rd, dentry *temp, const dentry *dentry, unsigned flags)
{
    qstr name = ovl_name_of(dentry);

    *rd = {};
    rd->old_parent = OVL_FS(dentry->d_sb)->workdir;
    rd->new_parent = ovl_dentry_upper(READ_ONCE(dentry->d_parent));
    rd->flags = flags;
    return start_renaming_dentry(rd, 0, temp, &name);
}

int ovl_do_rename(const renamedata *rd)
{
    return vfs_rename(d_inode(rd->old_parent), rd->old_dentry, d_inode(rd->new_parent),
                      rd->new_dentry, rd->flags);
}

/// What was made in workdir gets the mode it was to have: there it was made without the directory
/// that it is for.
int ovl_set_mode(dentry *newdentry, const ovl_cattr *attr)
{
    inode *inode = d_inode(newdentry);
    iattr change = {};
    int error;

    if (S_ISLNK_mode(attr->mode) || READ_ONCE(inode->i_mode) == attr->mode)
        return 0;
    change.ia_valid = ATTR_MODE;
    change.ia_mode = attr->mode;
    inode_lock(inode);
    error = notify_change(newdentry, &change);
    inode_unlock(inode);
    return error;
}

// Linux v6.12 fs/overlayfs/dir.c ovl_create_over_whiteout().
int ovl_create_over_whiteout(dentry *dentry, const ovl_cattr *attr, inode *hardlink)
{
    ovl_fs *ofs = OVL_FS(dentry->d_sb);
    bool is_dir = !hardlink && S_ISDIR_mode(attr->mode);
    struct dentry *newdentry = ovl_create_temp(ofs, attr);
    struct dentry *whiteout = nullptr;
    renamedata rd;
    int error;

    if (IS_ERR(newdentry))
        return PTR_ERR(newdentry);
    error = hardlink ? 0 : ovl_set_mode(newdentry, attr);
    if (!error && is_dir)
        error = ovl_set_opaque(dentry, newdentry);
    if (!error)
        // A directory does not go over a file: they change places.
        error = ovl_start_from_workdir(&rd, newdentry, dentry, is_dir ? RENAME_EXCHANGE_FLAG : 0u);
    if (error) {
        ovl_cleanup_temp(ofs, newdentry);
        return error;
    }
    error = -ESTALE;
    if (ovl_is_whiteout(rd.new_dentry))
        error = ovl_do_rename(&rd);
    if (!error && is_dir)
        whiteout = dget(rd.new_dentry);
    if (!error) {
        ovl_dir_modified(READ_ONCE(dentry->d_parent));
        error = ovl_instantiate(dentry, newdentry, hardlink);
        if (error)
            ovl_cleanup(ofs, d_inode(rd.new_parent), newdentry);
        end_renaming(&rd);
        dput(newdentry);
    } else {
        end_renaming(&rd);
        ovl_cleanup_temp(ofs, newdentry);
    }
    if (whiteout)
        ovl_cleanup_temp(ofs, whiteout);
    return error;
}

// Linux v6.12 fs/overlayfs/dir.c ovl_create_or_link().
int ovl_create_or_link(dentry *dentry, const ovl_cattr *attr, inode *hardlink)
{
    ovl_creds maker(attr->uid, attr->gid);

    return ovl_dentry_is_whiteout(dentry) ? ovl_create_over_whiteout(dentry, attr, hardlink)
                                          : ovl_create_upper(dentry, attr, hardlink);
}

// Linux v6.12 fs/overlayfs/dir.c ovl_create_object(), with fs/inode.c inode_init_owner().
int ovl_create_object(inode *dir, dentry *dentry, umode_t mode, unsigned rdev, const char *link)
{
    ovl_cattr attr = {};
    int error;

    if (dentry->d_name.len() > NAME_MAX_LENGTH)
        return -ENAMETOOLONG;
    error = ovl_copy_up(READ_ONCE(dentry->d_parent));
    if (error)
        return error;
    attr.mode = mode;
    attr.rdev = rdev;
    attr.link = link;
    attr.uid = current_fsuid();
    attr.gid = current_fsgid();
    if (READ_ONCE(dir->i_mode) & S_ISGID_BIT) {
        attr.gid = READ_ONCE(dir->i_gid);
        if (S_ISDIR_mode(mode))
            attr.mode |= S_ISGID_BIT;
    }
    return ovl_create_or_link(dentry, &attr, nullptr);
}

// --- The operations that make ---

int ovl_create(inode *dir, dentry *dentry, umode_t mode, bool)
{
    return ovl_create_object(dir, dentry, static_cast<umode_t>((mode & 07777) | S_IFREG_TYPE), 0,
                             nullptr);
}

int ovl_mkdir(inode *dir, dentry *dentry, umode_t mode)
{
    return ovl_create_object(dir, dentry, static_cast<umode_t>((mode & 07777) | S_IFDIR_TYPE), 0,
                             nullptr);
}

// Linux v6.12 fs/overlayfs/dir.c ovl_mknod().
int ovl_mknod(inode *dir, dentry *dentry, umode_t mode, unsigned device)
{
    if ((mode & S_IFMT_MASK) == S_IFCHR_TYPE && device == 0)
        return -EPERM;
    return ovl_create_object(dir, dentry, mode, device, nullptr);
}

int ovl_symlink(inode *dir, dentry *dentry, const char *body)
{
    return ovl_create_object(dir, dentry, S_IFLNK_TYPE | 0777, 0, body);
}

// Linux v6.12 fs/overlayfs/dir.c ovl_link().
int ovl_link(dentry *old, inode *, dentry *dentry)
{
    struct dentry *parent = READ_ONCE(dentry->d_parent);
    ovl_cattr attr = {};
    int error;

    if (dentry->d_name.len() > NAME_MAX_LENGTH)
        return -ENAMETOOLONG;
    error = ovl_copy_up(old);
    if (!error)
        error = ovl_copy_up(parent);
    if (!error && ovl_type_origin(old))
        error = ovl_set_impure(parent);
    if (error)
        return error;
    attr.hardlink = ovl_dentry_upper(old);
    return ovl_create_or_link(dentry, &attr, d_inode(old));
}

// --- Removing ---

bool ovl_matches_upper(const dentry *dentry, const struct dentry *upper)
{
    const struct dentry *known = ovl_dentry_upper(dentry);

    return (known ? d_inode(known) : nullptr) == d_inode(upper);
}

// Linux v6.12 fs/overlayfs/dir.c ovl_whiteout(), each with an inode of its own.
dentry *ovl_whiteout(ovl_fs *ofs)
{
    ovl_cattr attr = {};

    attr.mode = S_IFCHR_TYPE;
    return ovl_create_temp(ofs, &attr);
}

// Linux v6.12 fs/overlayfs/dir.c ovl_clear_empty(). The directory has nothing in it but whiteouts:
// an opaque one takes its place in the upper layer, so that removing them shows nothing of the
// lower one. Referenced, or ERR_PTR.
dentry *ovl_clear_empty(dentry *dentry, list_head *list)
{
    ovl_fs *ofs = OVL_FS(dentry->d_sb);
    struct dentry *upper = ovl_dentry_upper(dentry);
    ovl_cattr attr = {};
    struct dentry *opaquedir;
    renamedata rd;
    int error;

    attr.mode = READ_ONCE(d_inode(upper)->i_mode);
    opaquedir = ovl_create_temp(ofs, &attr);
    if (IS_ERR(opaquedir))
        return opaquedir;
    error = ovl_set_opaque(dentry, opaquedir);
    if (!error)
        error = ovl_set_attr(opaquedir, d_inode(upper));
    if (!error)
        error = ovl_start_from_workdir(&rd, opaquedir, dentry, RENAME_EXCHANGE_FLAG);
    if (!error) {
        error = ovl_matches_upper(dentry, rd.new_dentry) ? ovl_do_rename(&rd) : -ESTALE;
        end_renaming(&rd);
    }
    if (error) {
        ovl_cleanup_temp(ofs, opaquedir);
        return ERR_PTR(error);
    }
    ovl_cleanup_whiteouts(ofs, upper, list);
    ovl_cleanup_temp(ofs, dget(upper));
    // Its upper dentry is not the one at that place any more.
    d_drop(dentry);
    return opaquedir;
}

/// Is `upper`, found in the upper layer, what is to be removed?
bool ovl_is_victim(const dentry *dentry, const struct dentry *upper, const struct dentry *opaquedir)
{
    return opaquedir ? upper == opaquedir : ovl_matches_upper(dentry, upper);
}

// Linux v6.12 fs/overlayfs/dir.c ovl_remove_and_whiteout(), with ovl_cleanup_and_whiteout().
int ovl_remove_and_whiteout(dentry *dentry, const struct dentry *opaquedir)
{
    ovl_fs *ofs = OVL_FS(dentry->d_sb);
    struct dentry *whiteout = ovl_whiteout(ofs);
    struct dentry *victim = nullptr;
    struct dentry *upper = ovl_dentry_upper(dentry);
    bool swap = upper && d_is_dir(upper);
    renamedata rd;
    int error;

    if (IS_ERR(whiteout)) {
        d_drop(dentry);
        return PTR_ERR(whiteout);
    }
    error = ovl_start_from_workdir(&rd, whiteout, dentry, swap ? RENAME_EXCHANGE_FLAG : 0u);
    if (error) {
        ovl_cleanup_temp(ofs, whiteout);
        return error;
    }
    error = -ESTALE;
    if (ovl_is_victim(dentry, rd.new_dentry, opaquedir)) {
        inode *inode = d_inode(rd.new_dentry);
        bool last = inode && READ_ONCE(inode->i_nlink) == 1;

        if (inode)
            ihold(inode);
        error = ovl_do_rename(&rd);
        if (!error && swap)
            victim = dget(rd.new_dentry);
        else if (!error && last)
            ovl_forget_xattr(ofs, inode->i_ino);
        iput(inode);
        if (!error)
            ovl_dir_modified(READ_ONCE(dentry->d_parent));
        d_drop(dentry); // after a failure as well
    }
    end_renaming(&rd);
    if (error)
        ovl_cleanup_temp(ofs, whiteout);
    else
        dput(whiteout);
    if (victim)
        ovl_cleanup_temp(ofs, victim);
    return error;
}

// Linux v6.12 fs/overlayfs/dir.c ovl_remove_upper().
int ovl_remove_upper(dentry *dentry, const struct dentry *opaquedir)
{
    ovl_fs *ofs = OVL_FS(dentry->d_sb);
    struct dentry *parent = READ_ONCE(dentry->d_parent);
    struct dentry *upperdir = ovl_dentry_upper(parent);
    qstr name = ovl_name_of(dentry);
    struct dentry *upper = start_removing_noperm(upperdir, &name);
    int error = -ESTALE;

    if (IS_ERR(upper))
        return PTR_ERR(upper);
    if (ovl_is_victim(dentry, upper, opaquedir)) {
        error = ovl_cleanup(ofs, d_inode(upperdir), upper);
        ovl_dir_modified(parent);
        // Hashed it would have to become negative, and for that give up its upper dentry, which
        // others may be using.
        if (!error)
            d_drop(dentry);
    }
    end_removing(upper);
    return error;
}

// Linux v6.12 fs/overlayfs/dir.c ovl_drop_nlink(). The file loses one name.
void ovl_drop_nlink(dentry *dentry)
{
    inode *inode = d_inode(dentry);
    bool other = false;

    spin_lock(&inode->i_lock);
    for (hlist_node *at = hlist_first(&inode->i_dentry); at; at = hlist_next(at)) {
        const struct dentry *alias = container_of(at, struct dentry, d_alias);

        other |= alias != dentry && !d_unhashed(alias);
    }
    spin_unlock(&inode->i_lock);
    // Whatever happened to the layers, a name that is there counts.
    if (READ_ONCE(inode->i_nlink) > (other ? 1u : 0u))
        drop_nlink(inode);
}

// Linux v6.12 fs/overlayfs/dir.c ovl_do_remove().
int ovl_do_remove(dentry *dentry, bool is_dir)
{
    bool lower_positive = ovl_lower_positive(dentry);
    struct dentry *opaquedir = nullptr;
    list_head list;
    int error = 0;

    INIT_LIST_HEAD(&list);
    // What is in a directory of the upper layer alone is found out by its own rmdir.
    if (is_dir && (lower_positive || !ovl_pure_upper(dentry)))
        error = ovl_check_empty_dir(dentry, &list);
    if (!error)
        error = ovl_copy_up(READ_ONCE(dentry->d_parent));
    if (error)
        goto out;
    {
        ovl_creds mounter;

        if (!list_empty(&list)) {
            opaquedir = ovl_clear_empty(dentry, &list);
            if (IS_ERR(opaquedir)) {
                error = PTR_ERR(opaquedir);
                goto out;
            }
        }
        error = lower_positive ? ovl_remove_and_whiteout(dentry, opaquedir)
                               : ovl_remove_upper(dentry, opaquedir);
        dput(opaquedir);
    }
    if (error)
        goto out;
    if (is_dir)
        clear_nlink(d_inode(dentry));
    else
        ovl_drop_nlink(dentry);
out:
    ovl_cache_free(&list);
    return error;
}

int ovl_unlink(inode *, dentry *dentry)
{
    return ovl_do_remove(dentry, false);
}

int ovl_rmdir(inode *, dentry *dentry)
{
    return ovl_do_remove(dentry, true);
}

// --- Renaming ---

/// A directory with something of the lower layer in it cannot move: its new name would not lead
/// there. Without redirect_dir, as is the default.
bool ovl_can_move(const dentry *dentry)
{
    return !d_is_dir(dentry) || (ovl_dentry_upper(dentry) && !ovl_type_merge(dentry));
}

/// What ovl_rename() found out about its two names.
struct ovl_renaming {
    dentry *old_dentry, *new_dentry;
    unsigned flags;        ///< for the upper layer
    bool overwrite;        ///< no exchange
    bool cleanup_whiteout; ///< the exchange brought the target's whiteout to the old name
    dentry *opaquedir;     ///< of ovl_clear_empty() for the target
};

/// Which kind of rename the upper layer needs.
void ovl_choose_flags(ovl_renaming *r)
{
    if (!r->overwrite)
        return;
    if (ovl_lower_positive(r->old_dentry)) {
        // The old name needs a whiteout, and the new one may have one to give.
        r->flags |=
            ovl_dentry_is_whiteout(r->new_dentry) ? RENAME_EXCHANGE_FLAG : RENAME_WHITEOUT_FLAG;
    } else if (d_is_dir(r->old_dentry) && ovl_dentry_is_whiteout(r->new_dentry)) {
        r->flags |= RENAME_EXCHANGE_FLAG;
        r->cleanup_whiteout = true;
    }
}

/// Copies up what the rename needs in the upper layer.
int ovl_prepare_rename(const ovl_renaming &r)
{
    struct dentry *old_parent = READ_ONCE(r.old_dentry->d_parent);
    struct dentry *new_parent = READ_ONCE(r.new_dentry->d_parent);
    int error = ovl_copy_up(r.old_dentry);

    if (!error)
        error = ovl_copy_up(new_parent);
    if (!error && !r.overwrite)
        error = ovl_copy_up(r.new_dentry);
    if (old_parent == new_parent)
        return error;
    if (!error && ovl_type_origin(r.old_dentry))
        error = ovl_set_impure(new_parent);
    if (!error && !r.overwrite && ovl_type_origin(r.new_dentry))
        error = ovl_set_impure(old_parent);
    return error;
}

/// Are the two names in the upper layer what the overlay thinks they are?
bool ovl_rename_matches(const ovl_renaming &r, const renamedata &rd)
{
    if (!ovl_matches_upper(r.old_dentry, rd.old_dentry))
        return false;
    if (d_inode(rd.old_dentry) == d_inode(rd.new_dentry))
        return false;
    if (d_inode(r.new_dentry) && ovl_dentry_upper(r.new_dentry))
        return ovl_is_victim(r.new_dentry, rd.new_dentry, r.opaquedir);
    if (d_is_negative(rd.new_dentry))
        return !(r.flags & RENAME_EXCHANGE_FLAG);
    return ovl_dentry_is_opaque(r.new_dentry) && ovl_is_whiteout(rd.new_dentry);
}

/// A directory that gets into a merged one must not be merged there.
int ovl_make_opaque(dentry *dentry, const struct dentry *upper, const struct dentry *new_parent)
{
    if (!d_is_dir(dentry) || ovl_dentry_is_opaque(dentry) || !ovl_type_merge(new_parent))
        return 0;
    return ovl_set_opaque(dentry, upper);
}

/// The rename in the upper layer.
int ovl_rename_upper(ovl_renaming *r)
{
    ovl_fs *ofs = OVL_FS(r->old_dentry->d_sb);
    struct dentry *old_parent = READ_ONCE(r->old_dentry->d_parent);
    struct dentry *new_parent = READ_ONCE(r->new_dentry->d_parent);
    qstr old_name = ovl_name_of(r->old_dentry);
    qstr new_name = ovl_name_of(r->new_dentry);
    renamedata rd = {};
    int error;

    rd.old_parent = ovl_dentry_upper(old_parent);
    rd.new_parent = ovl_dentry_upper(new_parent);
    rd.flags = r->flags;
    error = start_renaming(&rd, 0, &old_name, &new_name);
    if (error)
        return error;
    error = ovl_rename_matches(*r, rd) ? 0 : -ESTALE;
    if (!error)
        error = ovl_make_opaque(r->old_dentry, rd.old_dentry, new_parent);
    if (!error && !r->overwrite)
        error = ovl_make_opaque(r->new_dentry, rd.new_dentry, old_parent);
    if (!error) {
        inode *target = r->overwrite ? d_inode(rd.new_dentry) : nullptr;
        bool gone = target && !(r->flags & RENAME_EXCHANGE_FLAG) &&
                    (inode_is_directory(target) || READ_ONCE(target->i_nlink) == 1);

        if (gone)
            ihold(target);
        error = ovl_do_rename(&rd);
        if (gone) {
            if (!error)
                ovl_forget_xattr(ofs, target->i_ino);
            iput(target);
        }
    }
    // After an exchange the target's dentry has the old name.
    if (!error && r->cleanup_whiteout)
        ovl_cleanup(ofs, d_inode(rd.old_parent), rd.new_dentry);
    end_renaming(&rd);
    return error;
}

// Linux v6.12 fs/overlayfs/dir.c ovl_rename().
int ovl_rename(inode *, dentry *old, inode *, dentry *dentry, unsigned flags)
{
    ovl_renaming r = {
        old,   dentry, flags & ~unsigned{RENAME_NOREPLACE_FLAG}, !(flags & RENAME_EXCHANGE_FLAG),
        false, nullptr};
    inode *target = r.overwrite ? d_inode(dentry) : nullptr;
    list_head list;
    int error;

    if (flags & ~(RENAME_EXCHANGE_FLAG | RENAME_NOREPLACE_FLAG))
        return -EINVAL;
    if (dentry->d_name.len() > NAME_MAX_LENGTH)
        return -ENAMETOOLONG;
    if ((flags & RENAME_NOREPLACE_FLAG) && target)
        return -EEXIST;
    // Trees are not copied up.
    if (!ovl_can_move(old) || (!r.overwrite && !ovl_can_move(dentry)))
        return -EXDEV;

    INIT_LIST_HEAD(&list);
    if (target && d_is_dir(dentry) && !ovl_pure_upper(dentry)) {
        error = ovl_check_empty_dir(dentry, &list);
        if (error)
            goto out;
    }
    ovl_choose_flags(&r);
    error = ovl_prepare_rename(r);
    if (error)
        goto out;
    {
        ovl_creds mounter;

        if (!list_empty(&list)) {
            r.opaquedir = ovl_clear_empty(dentry, &list);
            if (IS_ERR(r.opaquedir)) {
                error = PTR_ERR(r.opaquedir);
                goto out;
            }
        }
        error = ovl_rename_upper(&r);
        dput(r.opaquedir);
    }
    if (error)
        goto out;
    if (target) {
        if (inode_is_directory(target))
            clear_nlink(target);
        else
            ovl_drop_nlink(dentry);
    }
    ovl_dir_modified(READ_ONCE(old->d_parent));
    ovl_dir_modified(READ_ONCE(dentry->d_parent));
out:
    ovl_cache_free(&list);
    return error;
}

} // namespace

// Linux v6.19 fs/overlayfs/dir.c ovl_create_temp(), with ovl_start_creating_temp().
dentry *ovl_create_temp(ovl_fs *ofs, const ovl_cattr *attr)
{
    char text[20];
    int length = snprintf(text, sizeof(text), "#%x", ovl_next_temp_id(ofs));
    qstr name = make_qstr(text, static_cast<u32>(length));
    dentry *temp = start_creating_noperm(ofs->workdir, &name);
    int error;

    if (IS_ERR(temp))
        return temp;
    error = ovl_create_real(d_inode(ofs->workdir), temp, attr);
    if (error) {
        end_creating(temp);
        return ERR_PTR(error);
    }
    return end_creating_keep(temp);
}

const inode_operations ovl_dir_inode_operations = {
    .lookup = ovl_lookup,
    .create = ovl_create,
    .link = ovl_link,
    .unlink = ovl_unlink,
    .symlink = ovl_symlink,
    .mkdir = ovl_mkdir,
    .rmdir = ovl_rmdir,
    .mknod = ovl_mknod,
    .rename = ovl_rename,
    .setattr = ovl_setattr,
    .getattr = ovl_getattr,
};

} // namespace dcsim::inline DCSIM_BACKEND
