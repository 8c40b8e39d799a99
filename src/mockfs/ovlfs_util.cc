// SPDX-License-Identifier: GPL-2.0-only
//
// What is known about a dentry of the overlay and about the objects it stands for. After
// fs/overlayfs/util.c of Linux v6.12.
#include <new>

#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/err.h"
#include "dcsim/kernel/slab.h"
#include "ovlfs_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

// --- Flags ---

namespace
{

unsigned long entry_flags(const dentry *dentry)
{
    return reinterpret_cast<unsigned long>(READ_ONCE(dentry->d_fsdata));
}

/// Atomic: readdir marks dentries that belong to others.
void change_entry_flags(dentry *dentry, unsigned long set, unsigned long clear)
{
    void *old = READ_ONCE(dentry->d_fsdata);
    void *flags;

    do {
        flags = reinterpret_cast<void *>((reinterpret_cast<unsigned long>(old) & ~clear) | set);
    } while (!try_cmpxchg(&dentry->d_fsdata, &old, flags));
}

void change_inode_flags(inode *inode, unsigned set, unsigned clear)
{
    once<unsigned> *flags = &OVL_I(inode)->flags;
    unsigned old = READ_ONCE(*flags);

    while (!try_cmpxchg(flags, &old, (old & ~clear) | set)) {
    }
}

} // namespace

// Linux v6.12 fs/overlayfs/util.c ovl_dentry_test_flag().
bool ovl_dentry_test_flag(unsigned long flag, const dentry *dentry)
{
    return entry_flags(dentry) & flag;
}

// Linux v6.12 fs/overlayfs/util.c ovl_dentry_set_flag().
void ovl_dentry_set_flag(unsigned long flag, dentry *dentry)
{
    change_entry_flags(dentry, flag, 0);
}

// Linux v6.12 fs/overlayfs/util.c ovl_dentry_clear_flag().
void ovl_dentry_clear_flag(unsigned long flag, dentry *dentry)
{
    change_entry_flags(dentry, 0, flag);
}

// Linux v6.12 fs/overlayfs/util.c ovl_test_flag().
bool ovl_test_flag(unsigned flag, const inode *inode)
{
    return READ_ONCE(OVL_I(inode)->flags) & flag;
}

// Linux v6.12 fs/overlayfs/util.c ovl_set_flag().
void ovl_set_flag(unsigned flag, inode *inode)
{
    change_inode_flags(inode, flag, 0);
}

// Linux v6.12 fs/overlayfs/util.c ovl_clear_flag().
void ovl_clear_flag(unsigned flag, inode *inode)
{
    change_inode_flags(inode, 0, flag);
}

// --- What a dentry is made of ---

// Linux v6.12 fs/overlayfs/util.c ovl_dentry_upper().
dentry *ovl_dentry_upper(const dentry *dentry)
{
    const inode *inode = d_inode(dentry);

    // Pairs with the release in ovl_inode_update().
    return inode ? smp_load_acquire(&OVL_I(inode)->upperdentry) : nullptr;
}

// Linux v6.12 fs/overlayfs/util.c ovl_dentry_lower().
dentry *ovl_dentry_lower(const dentry *dentry)
{
    const inode *inode = d_inode(dentry);

    return inode ? OVL_I(inode)->lowerdentry : nullptr;
}

// Linux v6.12 fs/overlayfs/util.c ovl_dentry_real().
dentry *ovl_dentry_real(const dentry *dentry)
{
    struct dentry *upper = ovl_dentry_upper(dentry);

    return upper ? upper : ovl_dentry_lower(dentry);
}

// Linux v6.12 fs/overlayfs/util.c ovl_path_type(), for one lower layer.
unsigned ovl_path_type(const dentry *dentry)
{
    unsigned type = 0;

    if (ovl_dentry_upper(dentry)) {
        type = __OVL_PATH_UPPER;
        if (ovl_dentry_lower(dentry)) {
            if (ovl_test_flag(OVL_CONST_INO, d_inode(dentry)))
                type |= __OVL_PATH_ORIGIN;
            if (d_is_dir(dentry))
                type |= __OVL_PATH_MERGE;
        }
    }
    return type;
}

// Linux v6.12 fs/overlayfs/dir.c ovl_type_merge().
bool ovl_type_merge(const dentry *dentry)
{
    return OVL_TYPE_MERGE(ovl_path_type(dentry));
}

// Linux v6.12 fs/overlayfs/dir.c ovl_type_origin().
bool ovl_type_origin(const dentry *dentry)
{
    return OVL_TYPE_ORIGIN(ovl_path_type(dentry));
}

// Linux v6.12 fs/overlayfs/overlayfs.h ovl_dir_is_real(). An impure directory is read like a merged
// one; the kernel reads the upper one and keeps a list of the entries with other numbers.
bool ovl_dir_is_real(const inode *dir)
{
    return !ovl_test_flag(OVL_WHITEOUTS | OVL_IMPURE, dir);
}

// Linux v6.12 fs/overlayfs/dir.c ovl_pure_upper().
bool ovl_pure_upper(const dentry *dentry)
{
    return !ovl_dentry_lower(dentry) && !ovl_test_flag(OVL_WHITEOUTS, d_inode(dentry));
}

// Linux v6.12 fs/overlayfs/util.c ovl_dentry_is_opaque().
bool ovl_dentry_is_opaque(const dentry *dentry)
{
    return ovl_dentry_test_flag(OVL_E_OPAQUE, dentry);
}

// Linux v6.12 fs/overlayfs/util.c ovl_dentry_is_whiteout().
bool ovl_dentry_is_whiteout(const dentry *dentry)
{
    return !d_inode(dentry) && ovl_dentry_is_opaque(dentry);
}

// Linux v6.12 fs/overlayfs/util.c ovl_is_whiteout().
bool ovl_is_whiteout(const dentry *real)
{
    const inode *inode = d_inode(real);

    return inode && (READ_ONCE(inode->i_mode) & S_IFMT_MASK) == S_IFCHR_TYPE && inode->i_rdev == 0;
}

// Linux v6.12 fs/overlayfs/util.c ovl_copyattr().
void ovl_copyattr(inode *inode)
{
    const dentry *upper = smp_load_acquire(&OVL_I(inode)->upperdentry);
    const struct inode *real = d_inode(upper ? upper : OVL_I(inode)->lowerdentry);

    spin_lock(&inode->i_lock);
    WRITE_ONCE(inode->i_uid, READ_ONCE(real->i_uid));
    WRITE_ONCE(inode->i_gid, READ_ONCE(real->i_gid));
    WRITE_ONCE(inode->i_mode, READ_ONCE(real->i_mode));
    WRITE_ONCE(inode->i_size, READ_ONCE(real->i_size));
    spin_unlock(&inode->i_lock);
}

// Linux v6.12 fs/overlayfs/util.c ovl_dir_modified(), with ovl_dir_version_inc().
void ovl_dir_modified(dentry *dentry)
{
    inode *inode = d_inode(dentry);

    ovl_copyattr(inode);
    WARN_ON(!rwsem_is_write_locked(&inode->i_rwsem));
    OVL_I(inode)->version++;
}

// --- Attributes that the upper layer has no place for ---

namespace
{

/// The record of an object, made if there is none; nullptr without memory.
ovl_xattr *xattr_for(ovl_fs *ofs, ino_t upper) __must_hold(&ofs->xattr_lock)
{
    auto found = ofs->xattrs.find(upper);
    ovl_xattr *xattr;
    void *memory;

    if (found != ofs->xattrs.end())
        return &*found;
    memory = kmalloc(sizeof(ovl_xattr));
    if (!memory)
        return nullptr;
    xattr = new (memory) ovl_xattr();
    xattr->ino = upper;
    ofs->xattrs.insert(*xattr);
    return xattr;
}

void free_xattr(ovl_xattr *xattr)
{
    dput(xattr->origin);
    xattr->~ovl_xattr();
    kfree(xattr);
}

} // namespace

// Linux v6.12 fs/overlayfs/util.c ovl_path_getxattr().
ovl_xattr_values ovl_get_xattr(ovl_fs *ofs, ino_t upper)
{
    ovl_xattr_values values = {};

    mutex_lock(&ofs->xattr_lock);
    auto found = ofs->xattrs.find(upper);
    if (found != ofs->xattrs.end())
        values = {found->opaque, found->impure, dget(found->origin)};
    mutex_unlock(&ofs->xattr_lock);
    return values;
}

// Linux v6.12 fs/overlayfs/dir.c ovl_set_opaque(), the half on the disk.
int ovl_set_opaque_xattr(ovl_fs *ofs, ino_t upper)
{
    ovl_xattr *xattr;

    mutex_lock(&ofs->xattr_lock);
    xattr = xattr_for(ofs, upper);
    if (xattr)
        xattr->opaque = true;
    mutex_unlock(&ofs->xattr_lock);
    return xattr ? 0 : -ENOMEM;
}

// Linux v6.12 fs/overlayfs/util.c ovl_set_impure(), the half on the disk.
int ovl_set_impure_xattr(ovl_fs *ofs, ino_t upper)
{
    ovl_xattr *xattr;

    mutex_lock(&ofs->xattr_lock);
    xattr = xattr_for(ofs, upper);
    if (xattr)
        xattr->impure = true;
    mutex_unlock(&ofs->xattr_lock);
    return xattr ? 0 : -ENOMEM;
}

// Linux v6.12 fs/overlayfs/copy_up.c ovl_set_origin_fh().
int ovl_set_origin_xattr(ovl_fs *ofs, ino_t upper, dentry *lower)
{
    ovl_xattr *xattr;

    mutex_lock(&ofs->xattr_lock);
    xattr = xattr_for(ofs, upper);
    if (xattr && !xattr->origin)
        xattr->origin = dget(lower);
    mutex_unlock(&ofs->xattr_lock);
    return xattr ? 0 : -ENOMEM;
}

void ovl_forget_xattr(ovl_fs *ofs, ino_t upper)
{
    ovl_xattr *xattr = nullptr;

    mutex_lock(&ofs->xattr_lock);
    auto found = ofs->xattrs.find(upper);
    if (found != ofs->xattrs.end()) {
        xattr = &*found;
        ofs->xattrs.erase(found);
    }
    mutex_unlock(&ofs->xattr_lock);
    if (xattr)
        free_xattr(xattr);
}

void ovl_free_xattrs(ovl_fs *ofs)
{
    mutex_lock(&ofs->xattr_lock);
    ofs->xattrs.clear_and_dispose(free_xattr);
    mutex_unlock(&ofs->xattr_lock);
}

} // namespace dcsim::inline DCSIM_BACKEND
