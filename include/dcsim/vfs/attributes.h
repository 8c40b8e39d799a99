// SPDX-License-Identifier: GPL-2.0-only
//
// Attributes of inodes, read, changed and chosen. Source: fs/stat.c, fs/attr.c and fs/inode.c of
// Linux v6.12. Reduced: no times, no blocks, no sizes of contents, no ACLs.
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

/// iattr::ia_valid. Values are the kernel's.
enum attribute_mask : unsigned {
    ATTR_MODE = 1u << 0,
    ATTR_UID = 1u << 1,
    ATTR_GID = 1u << 2,
    ATTR_FORCE = 1u << 9,      ///< not a change that the caller asked for: no permission needed
    ATTR_KILL_SUID = 1u << 11, ///< S_ISUID goes if it is set; not together with ATTR_MODE
    ATTR_KILL_SGID = 1u << 12, ///< S_ISGID goes if it is set; not together with ATTR_MODE
};

/// A change of attributes.
struct iattr {
    unsigned ia_valid;
    umode_t ia_mode; ///< permission bits; those of the type are ignored
    kuid_t ia_uid;
    kgid_t ia_gid;
};

// --- Reading ---

/// What the inode itself knows. Linux v6.12 fs/stat.c.
void generic_fillattr(const inode *inode, kstat *stat);
/// ->getattr() or generic_fillattr(). The caller pins the path. 0 or a negative errno. Sleeps.
int vfs_getattr(const path *path, kstat *stat);

// --- Changing ---

/// Is the calling task in `group`, or may it set S_ISGID all the same (CAP_FSETID)?
bool in_group_or_capable(kgid_t group);
/// ATTR_KILL_SGID if a change of owner must take S_ISGID from the inode, else 0. For chown(2) of
/// what is no directory, next to ATTR_KILL_SUID. Linux v6.12 fs/attr.c.
unsigned setattr_should_drop_sgid(const inode *inode);
/// ATTR_KILL_SUID and ATTR_KILL_SGID as far as a change of the contents must take these bits: 0 for
/// a task with CAP_FSETID and for anything but a regular file. Linux v6.12 fs/attr.c.
unsigned setattr_should_drop_suidgid(const inode *inode);
/// May the calling task make this change? 0 or -EPERM; takes S_ISGID out of a mode that it may not
/// set. For ->setattr() to begin with. Linux v6.12 fs/attr.c.
int setattr_prepare(dentry *dentry, iattr *attributes);
/// Makes the change. i_rwsem held for writing. Linux v6.12 fs/attr.c.
void setattr_copy(inode *inode, const iattr *attributes);
/// Checks and makes the change, through ->setattr() if there is one. The inode's i_rwsem is held
/// for writing. 0; -EPERM; -EOPNOTSUPP for the mode of a symbolic link; what ->setattr() says.
/// Sleeps. Linux v6.12 fs/attr.c.
int notify_change(dentry *dentry, iattr *attributes);

// --- Choosing those of a new inode. inode_init_owner() is in inode.h. ---

/// `mode` without S_ISGID, if it is for an executable file in a set-group-id directory whose group
/// the calling task is not in. Linux v6.12 fs/inode.c.
umode_t mode_strip_sgid(const inode *dir, umode_t mode);

} // namespace dcsim::inline DCSIM_BACKEND
