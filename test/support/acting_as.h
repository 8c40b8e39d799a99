// SPDX-License-Identifier: GPL-2.0-only
//
// Rights other than those of the first task, for the length of a block.
#pragma once

#include <initializer_list>
#include <vector>

#include "dcsim/vfs/cred.h"
#include "dcsim/vfs/task.h"

namespace dcsim::inline DCSIM_BACKEND
{

inline u64 capability_bit(capability wanted)
{
    return u64{1} << wanted;
}

/// The calling thread acts as this user, with the root, directory and files of the first task, and
/// with no capability but those given.
class acting_as
{
  public:
    explicit acting_as(kuid_t uid, kgid_t gid, std::initializer_list<kgid_t> groups = {},
                       std::initializer_list<capability> capabilities = {})
        : groups_(groups), cred_{uid, gid, groups_.data(), static_cast<unsigned>(groups_.size()),
                                 0},
          task_{&init_fs, &init_files, &cred_}, scope_(&task_)
    {
        for (capability each : capabilities)
            cred_.cap_effective |= capability_bit(each);
    }
    acting_as(const acting_as &) = delete;
    acting_as &operator=(const acting_as &) = delete;

  private:
    std::vector<kgid_t> groups_;
    cred cred_;
    vfs_task task_;
    task_scope scope_;
};

} // namespace dcsim::inline DCSIM_BACKEND
