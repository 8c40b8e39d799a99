// SPDX-License-Identifier: GPL-2.0-only
//
// Whose rights an operation uses. Source: include/linux/cred.h and uapi/linux/capability.h,
// reduced: one user namespace, the numbers that file systems compare, and the capabilities that the
// path walk and the directory operations ask for.
#pragma once

#include "dcsim/kernel/types.h"

namespace dcsim::inline DCSIM_BACKEND
{

using kuid_t = u32;
using kgid_t = u32;

/// Bits of cred::cap_effective, by the kernel's numbers.
enum capability : unsigned {
    CAP_CHOWN = 0,
    CAP_DAC_OVERRIDE = 1,
    CAP_DAC_READ_SEARCH = 2,
    CAP_FOWNER = 3,
    CAP_FSETID = 4,
    CAP_SYS_CHROOT = 18,
    CAP_SYS_ADMIN = 21,
    CAP_MKNOD = 27,
};
inline constexpr u64 CAP_FULL_SET = ~u64{0};

/// Constant while anybody uses it; belongs to whoever made it, and so do the groups.
struct cred {
    kuid_t fsuid;
    kgid_t fsgid;
    const kgid_t *groups; ///< supplementary groups
    unsigned group_count;
    u64 cap_effective; ///< bit n: capability n
};

/// What the first task has: uid and gid 0, every capability.
extern const cred init_cred;

/// The credentials of the calling task, see vfs_task.
const cred *current_cred();
inline kuid_t current_fsuid()
{
    return current_cred()->fsuid;
}
inline kgid_t current_fsgid()
{
    return current_cred()->fsgid;
}
/// Is the calling task in this group, by its fsgid or a supplementary one?
bool in_group_p(kgid_t group);
/// Has the calling task this capability?
bool capable(capability wanted);

} // namespace dcsim::inline DCSIM_BACKEND
