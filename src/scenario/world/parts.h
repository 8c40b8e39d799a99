// SPDX-License-Identifier: GPL-2.0-only
//
// A path of a scenario, taken apart once.
#pragma once

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "dcsim/scenario/world.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// Is this its name? Not a schedule point: guards and reports ask as well.
inline bool has_name(const dentry *dentry, const std::string &name)
{
    return hashlen_len(READ_LOCKED(dentry->d_name.hash_len)) == name.size() &&
           !memcmp(READ_LOCKED(dentry->d_name.name), name.data(), name.size());
}

/// As long as it exists, the memory of a freed dentry stays.
class scenario_world::look
{
  public:
    explicit look(const scenario_world &world) : reports_(world.reports_)
    {
        if (reports_.begin_look)
            reports_.begin_look();
    }
    ~look()
    {
        if (reports_.end_look)
            reports_.end_look();
    }
    look(const look &) = delete;
    look &operator=(const look &) = delete;

  private:
    const world_reports &reports_;
};

struct scenario_world::path_parts {
    explicit path_parts(const std::string &whole) : path(whole)
    {
        const size_t slash = path.find_last_of('/');

        parent = slash ? path.substr(0, slash) : "/";
        name = path.substr(slash + 1);
    }

    std::string path;
    std::string parent; ///< as in the scenario's list of paths
    std::string name;   ///< last component; empty for "/"
};

} // namespace dcsim::inline DCSIM_BACKEND
