// SPDX-License-Identifier: GPL-2.0-only
//
// Attributes of inodes: told, changed, and chosen for new ones.
//
// They change with the inode's i_rwsem held for writing and are read without any lock, one by one.
//
// Set-user-id and set-group-id are rights that a file lends. The rules below take them away from
// whoever changes the owner or the contents, and keep tasks from lending a group that they are not
// in. On a file that its group may not execute S_ISGID is no such right (it once meant mandatory
// locking), hence the tests for S_IXGRP.
#include "dcsim/vfs/attributes.h"

#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/err.h"
#include "dcsim/vfs/libfs.h"
#include "namei_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

constexpr umode_t S_IXGRP_BIT = 0010;

// Linux v6.12 fs/attr.c chown_ok().
bool chown_ok(const inode *inode, kuid_t uid)
{
    kuid_t owner = READ_ONCE(inode->i_uid);

    if (owner == current_fsuid() && uid == owner)
        return true;
    return capable(CAP_CHOWN);
}

// Linux v6.12 fs/attr.c chgrp_ok().
bool chgrp_ok(const inode *inode, kgid_t gid)
{
    if (READ_ONCE(inode->i_uid) == current_fsuid()) {
        if (gid == READ_ONCE(inode->i_gid))
            return true;
        if (in_group_p(gid))
            return true;
    }
    return capable(CAP_CHOWN);
}

} // namespace

// --- Reading ---

// Linux v6.12 fs/stat.c generic_fillattr().
void generic_fillattr(const inode *inode, kstat *stat)
{
    stat->ino = inode->i_ino;
    stat->mode = READ_ONCE(inode->i_mode);
    stat->nlink = READ_ONCE(inode->i_nlink);
    stat->uid = READ_ONCE(inode->i_uid);
    stat->gid = READ_ONCE(inode->i_gid);
    stat->rdev = inode->i_rdev;
    stat->size = READ_ONCE(inode->i_size);
}

// Linux v6.12 fs/stat.c vfs_getattr(), vfs_getattr_nosec().
int vfs_getattr(const path *path, kstat *stat)
{
    inode *inode = d_inode(path->dentry);

    if (inode->i_op->getattr)
        return inode->i_op->getattr(path, stat);
    generic_fillattr(inode, stat);
    return 0;
}

// --- Changing ---

// Linux v6.12 fs/inode.c in_group_or_capable().
bool in_group_or_capable(kgid_t group)
{
    return in_group_p(group) || capable(CAP_FSETID);
}

// Linux v6.12 fs/attr.c setattr_should_drop_sgid().
unsigned setattr_should_drop_sgid(const inode *inode)
{
    umode_t mode = READ_ONCE(inode->i_mode);

    if (!(mode & S_ISGID_BIT))
        return 0;
    if (mode & S_IXGRP_BIT)
        return ATTR_KILL_SGID;
    return in_group_or_capable(READ_ONCE(inode->i_gid)) ? 0 : unsigned{ATTR_KILL_SGID};
}

// Linux v6.12 fs/attr.c setattr_should_drop_suidgid().
unsigned setattr_should_drop_suidgid(const inode *inode)
{
    umode_t mode = READ_ONCE(inode->i_mode);
    unsigned kill = mode & S_ISUID_BIT ? unsigned{ATTR_KILL_SUID} : 0;

    kill |= setattr_should_drop_sgid(inode);
    return kill && S_ISREG_mode(mode) && !capable(CAP_FSETID) ? kill : 0;
}

// Linux v6.12 fs/attr.c setattr_prepare().
int setattr_prepare(dentry *dentry, iattr *attributes)
{
    inode *inode = d_inode(dentry);
    unsigned ia_valid = attributes->ia_valid;

    if (ia_valid & ATTR_FORCE)
        return 0;
    if ((ia_valid & ATTR_UID) && !chown_ok(inode, attributes->ia_uid))
        return -EPERM;
    if ((ia_valid & ATTR_GID) && !chgrp_ok(inode, attributes->ia_gid))
        return -EPERM;

    if (ia_valid & ATTR_MODE) {
        kgid_t gid = ia_valid & ATTR_GID ? attributes->ia_gid : READ_ONCE(inode->i_gid);

        if (!inode_owner_or_capable(inode))
            return -EPERM;
        if (!in_group_or_capable(gid))
            attributes->ia_mode &= static_cast<umode_t>(~S_ISGID_BIT);
    }
    return 0;
}

// Linux v6.12 fs/attr.c setattr_copy().
// Deviation: the type in i_mode stays, so that ia_mode need not carry it.
void setattr_copy(inode *inode, const iattr *attributes)
{
    unsigned ia_valid = attributes->ia_valid;

    if (ia_valid & ATTR_UID)
        WRITE_ONCE(inode->i_uid, attributes->ia_uid);
    if (ia_valid & ATTR_GID)
        WRITE_ONCE(inode->i_gid, attributes->ia_gid);
    if (ia_valid & ATTR_MODE) {
        unsigned mode = attributes->ia_mode & S_IALLUGO_BITS;

        // The group may be another one than setattr_prepare() looked at.
        if (!in_group_or_capable(READ_ONCE(inode->i_gid)))
            mode &= ~unsigned{S_ISGID_BIT};
        mode |= READ_ONCE(inode->i_mode) & S_IFMT_MASK;
        WRITE_ONCE(inode->i_mode, static_cast<umode_t>(mode));
    }
}

// Linux v6.12 fs/attr.c notify_change().
int notify_change(dentry *dentry, iattr *attributes)
{
    inode *inode = d_inode(dentry);
    umode_t mode = READ_ONCE(inode->i_mode);
    unsigned ia_valid = attributes->ia_valid;

    WARN_ON(!rwsem_is_write_locked(&inode->i_rwsem));

    // Nobody asks for the mode of a link, so nobody may set it.
    if ((ia_valid & ATTR_MODE) && S_ISLNK_mode(mode))
        return -EOPNOTSUPP;

    BUG_ON((ia_valid & (ATTR_KILL_SUID | ATTR_KILL_SGID)) && (ia_valid & ATTR_MODE));
    if ((ia_valid & ATTR_KILL_SUID) && (mode & S_ISUID_BIT)) {
        attributes->ia_valid |= ATTR_MODE;
        attributes->ia_mode = static_cast<umode_t>(mode & ~S_ISUID_BIT);
    }
    if ((ia_valid & ATTR_KILL_SGID) && (mode & S_ISGID_BIT)) {
        if (!(attributes->ia_valid & ATTR_MODE)) {
            attributes->ia_valid |= ATTR_MODE;
            attributes->ia_mode = mode;
        }
        attributes->ia_mode &= static_cast<umode_t>(~S_ISGID_BIT);
    }
    if (!(attributes->ia_valid & ~(ATTR_KILL_SUID | ATTR_KILL_SGID)))
        return 0;

    if (inode->i_op->setattr)
        return inode->i_op->setattr(dentry, attributes);
    return simple_setattr(dentry, attributes);
}

// --- Choosing ---

// Linux v6.12 fs/inode.c inode_init_owner().
void inode_init_owner(inode *inode, const struct inode *dir, umode_t mode)
{
    // Nobody else looks at a new inode yet: no need for WRITE_ONCE().
    WRITE_LOCKED(inode->i_uid, current_fsuid());
    if (dir && (READ_ONCE(dir->i_mode) & S_ISGID_BIT)) {
        WRITE_LOCKED(inode->i_gid, READ_ONCE(dir->i_gid));
        // The whole tree below belongs to the group.
        if (S_ISDIR_mode(mode))
            mode |= S_ISGID_BIT;
    } else {
        WRITE_LOCKED(inode->i_gid, current_fsgid());
    }
    WRITE_LOCKED(inode->i_mode, mode);
}

// Linux v6.12 fs/inode.c mode_strip_sgid().
umode_t mode_strip_sgid(const inode *dir, umode_t mode)
{
    constexpr umode_t SETGID_EXEC = S_ISGID_BIT | S_IXGRP_BIT;

    if ((mode & SETGID_EXEC) != SETGID_EXEC)
        return mode;
    if (S_ISDIR_mode(mode) || !(READ_ONCE(dir->i_mode) & S_ISGID_BIT))
        return mode;
    if (in_group_or_capable(READ_ONCE(dir->i_gid)))
        return mode;
    return static_cast<umode_t>(mode & ~S_ISGID_BIT);
}

// Linux v6.12 fs/namei.c vfs_prepare_mode() and include/linux/fs.h mode_strip_umask().
umode_t vfs_prepare_mode(const inode *dir, umode_t mode, umode_t mask_perms, umode_t type)
{
    unsigned prepared = mode_strip_sgid(dir, mode);

    prepared &= ~unsigned{READ_ONCE(current_vfs_task()->fs->umask)};
    prepared &= mask_perms & ~unsigned{S_IFMT_MASK};
    prepared |= type & unsigned{S_IFMT_MASK};
    return static_cast<umode_t>(prepared);
}

} // namespace dcsim::inline DCSIM_BACKEND
