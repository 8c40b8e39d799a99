// SPDX-License-Identifier: GPL-2.0-only
//
// Who may do what with an inode.
//
// All of it runs in RCU walks as well. There the mode, the owner and the group are three loads
// from an inode that somebody may be changing: the answer is one that some moment justified for
// each of the three, which is all that the kernel promises.
//
// Reduced: no ACLs, no security modules, no immutable or append-only inodes, one user namespace,
// no read-only super blocks (a mount can be read-only, see mnt_want_write()).
#include "dcsim/kernel/err.h"
#include "dcsim/vfs/cred.h"
#include "dcsim/vfs/inode.h"
#include "namei_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

constexpr unsigned RIGHTS = MAY_READ | MAY_WRITE | MAY_EXEC;
constexpr umode_t ANY_EXEC = 0111;

int missing(unsigned mask, unsigned mode)
{
    return mask & ~mode ? -EACCES : 0;
}

// Linux v6.12 fs/namei.c acl_permission_check().
int acl_permission_check(const inode *inode, unsigned mask)
{
    unsigned mode = READ_ONCE(inode->i_mode);

    mask &= RIGHTS;
    if (likely(READ_ONCE(inode->i_uid) == current_fsuid()))
        return missing(mask, mode >> 6);

    // Searching the groups may take long and is for nothing when they have what others have.
    if (mask & (mode ^ (mode >> 3))) {
        if (in_group_p(READ_ONCE(inode->i_gid)))
            mode >>= 3;
    }
    return missing(mask, mode);
}

// Linux v6.12 fs/namei.c do_inode_permission().
//
// Deviation: an RCU walk leaves IOP_FASTPERM to whoever comes in ref mode, because it stores
// nothing anywhere.
int do_inode_permission(inode *inode, unsigned mask)
{
    if (unlikely(!(READ_ONCE(inode->i_opflags) & IOP_FASTPERM))) {
        if (likely(inode->i_op->permission))
            return inode->i_op->permission(inode, mask);

        // Once in the life of an inode: its operations do not change.
        if (!(mask & MAY_NOT_BLOCK)) {
            spin_lock(&inode->i_lock);
            inode->i_opflags |= IOP_FASTPERM;
            spin_unlock(&inode->i_lock);
        }
    }
    return generic_permission(inode, mask);
}

// Linux v6.12 fs/namei.c safe_hardlink_source().
//
// What nobody can abuse by keeping a second name of it: a regular file, without rights of its own,
// that the task may read and write anyway.
bool safe_hardlink_source(inode *inode)
{
    constexpr umode_t SETGID_EXEC = S_ISGID_BIT | 0010;
    umode_t mode = READ_ONCE(inode->i_mode);

    if (!S_ISREG_mode(mode))
        return false;
    if (mode & S_ISUID_BIT)
        return false;
    if ((mode & SETGID_EXEC) == SETGID_EXEC)
        return false;
    return inode_permission(inode, MAY_READ | MAY_WRITE) == 0;
}

} // namespace

// Linux v6.12 fs/namei.c generic_permission().
int generic_permission(inode *inode, unsigned mask)
{
    int error = acl_permission_check(inode, mask);

    if (error != -EACCES)
        return error;

    if (inode_is_directory(inode)) {
        if (!(mask & MAY_WRITE) && capable(CAP_DAC_READ_SEARCH))
            return 0;
        return capable(CAP_DAC_OVERRIDE) ? 0 : -EACCES;
    }

    mask &= RIGHTS;
    if (mask == MAY_READ && capable(CAP_DAC_READ_SEARCH))
        return 0;
    // Execution needs somebody's permission, even for those who may do everything.
    if (!(mask & MAY_EXEC) || (READ_ONCE(inode->i_mode) & ANY_EXEC))
        return capable(CAP_DAC_OVERRIDE) ? 0 : -EACCES;
    return -EACCES;
}

// Linux v6.12 fs/namei.c inode_permission(), without sb_permission(): see the top of this file.
int inode_permission(inode *inode, unsigned mask)
{
    return do_inode_permission(inode, mask);
}

// Linux v6.12 fs/namei.c __check_sticky() and include/linux/fs.h check_sticky().
bool check_sticky(const inode *dir, const inode *inode)
{
    kuid_t fsuid = current_fsuid();

    if (!(READ_ONCE(dir->i_mode) & S_ISVTX_BIT))
        return false;
    if (READ_ONCE(inode->i_uid) == fsuid)
        return false;
    if (READ_ONCE(dir->i_uid) == fsuid)
        return false;
    return !capable(CAP_FOWNER);
}

constinit once<int> sysctl_protected_hardlinks(1);

// Linux v6.12 fs/namei.c may_linkat().
int may_linkat(const path *link)
{
    inode *inode = d_inode(link->dentry);

    if (!READ_ONCE(sysctl_protected_hardlinks))
        return 0;
    if (safe_hardlink_source(inode) || inode_owner_or_capable(inode))
        return 0;
    return -EPERM;
}

// Linux v6.12 fs/inode.c inode_owner_or_capable().
bool inode_owner_or_capable(const inode *inode)
{
    return READ_ONCE(inode->i_uid) == current_fsuid() || capable(CAP_FOWNER);
}

} // namespace dcsim::inline DCSIM_BACKEND
