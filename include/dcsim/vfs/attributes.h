// SPDX-License-Identifier: GPL-2.0-only
//
// Attributes of inodes, read and changed. Source: fs/stat.c and fs/attr.c of Linux v6.12. Reduced:
// no times, no blocks, no sizes of contents.
#pragma once

#include "dcsim/vfs/inode.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// What stat(2) tells.
struct kstat {
    ino_t ino;
    umode_t mode;
    unsigned nlink;
    kuid_t uid;
    kgid_t gid;
    unsigned rdev;
    int64_t size; ///< of a symbolic link: bytes of its body
};

/// iattr::ia_valid
enum attribute_mask : unsigned {
    ATTR_MODE = 1u << 0,
    ATTR_UID = 1u << 1,
    ATTR_GID = 1u << 2,
    ATTR_FORCE = 1u << 9,      ///< the change has been allowed already
    ATTR_KILL_SUID = 1u << 11, ///< take S_ISUID away as well
    ATTR_KILL_SGID = 1u << 12, ///< take S_ISGID away as well
};

/// A change of attributes.
struct iattr {
    unsigned ia_valid;
    umode_t ia_mode; ///< permission bits
    kuid_t ia_uid;
    kgid_t ia_gid;
};

/// What the inode itself knows. Linux v6.12 fs/stat.c.
void generic_fillattr(const inode *inode, kstat *stat);
/// ->getattr() or generic_fillattr(). The caller pins the path. 0 or a negative errno. Sleeps.
int vfs_getattr(const path *path, kstat *stat);

/// ATTR_KILL_SGID when a change of owner or contents by the calling task must take S_ISGID away,
/// else 0. Linux v6.12 fs/attr.c.
unsigned setattr_should_drop_sgid(const inode *inode);
/// ATTR_KILL_* that go with a change of contents by the calling task: 0 for whoever has CAP_FSETID.
/// Linux v6.12 fs/attr.c.
unsigned setattr_should_drop_suidgid(const inode *inode);
/// May the calling task make this change? 0 or -EPERM; takes S_ISGID out of a mode that it may not
/// set. Linux v6.12 fs/attr.c.
int setattr_prepare(dentry *dentry, iattr *attributes);
/// Makes the change. i_rwsem held for writing. Linux v6.12 fs/attr.c.
void setattr_copy(inode *inode, const iattr *attributes);
/// Checks and makes the change, through ->setattr() if there is one. The inode's i_rwsem is held
/// for writing. 0 or a negative errno. Sleeps. Linux v6.12 fs/attr.c.
int notify_change(dentry *dentry, iattr *attributes);

} // namespace dcsim::inline DCSIM_BACKEND
