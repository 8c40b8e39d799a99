// SPDX-License-Identifier: GPL-2.0-only
//
// Credentials of the calling task.
#include "dcsim/vfs/cred.h"

#include <algorithm>

#include "dcsim/vfs/task.h"

namespace dcsim::inline DCSIM_BACKEND
{

constinit const cred init_cred = {
    .fsuid = 0, .fsgid = 0, .groups = nullptr, .group_count = 0, .cap_effective = CAP_FULL_SET};

// Linux v6.12 include/linux/cred.h current_cred().
const cred *current_cred()
{
    return current_vfs_task()->cred;
}

// Linux v6.12 kernel/groups.c in_group_p(), groups_search(). Reduced: the groups come in any order.
bool in_group_p(kgid_t group)
{
    const cred *cred = current_cred();

    if (group == cred->fsgid)
        return true;
    const kgid_t *end = cred->groups + cred->group_count;
    return std::find(cred->groups, end, group) != end;
}

// Linux v6.12 kernel/capability.c capable(). Reduced: no security modules, nothing noted.
bool capable(capability wanted)
{
    return current_cred()->cap_effective >> wanted & 1;
}

} // namespace dcsim::inline DCSIM_BACKEND
