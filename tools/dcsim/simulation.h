// SPDX-License-Identifier: GPL-2.0-only
//
// One simulated machine with one mounted file system, from boot to the proof that nothing is left.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "dcsim/mockfs/mock_filesystem.h"
#include "dcsim/vfs/mount.h"
#include "lookup_delay.h"
#include "run_options.h"

namespace dcsim::cli
{

class simulation
{
  public:
    /// Boots and mounts. Throws usage_error for a configuration the VFS refuses, std::bad_alloc.
    explicit simulation(const run_options &options);
    /// Shuts down when an exception is on its way; complains to stderr.
    ~simulation();
    simulation(const simulation &) = delete;
    simulation &operator=(const simulation &) = delete;

    const mock_filesystem &filesystem() const
    {
        return filesystem_;
    }
    super_block *sb() const
    {
        return sb_;
    }
    /// The one mount of it.
    vfsmount *mnt() const
    {
        return mnt_;
    }
    lookup_delay &delay()
    {
        return delay_;
    }

    /// Unmounts, ends the VFS and says what was not given back: a line for each kind of thing, none
    /// when all is well. To be called once.
    std::vector<std::string> shut_down();

  private:
    lookup_delay delay_;
    const mock_filesystem &filesystem_;
    super_block *sb_ = nullptr;
    vfsmount *mnt_ = nullptr; ///< holds a reference
    long warnings_before_;
};

} // namespace dcsim::cli
