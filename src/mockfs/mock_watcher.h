// SPDX-License-Identifier: GPL-2.0-only
//
// Whoever mounted a file system, as far as the file system has to tell them something later on.
#pragma once

#include "dcsim/mockfs/mock_filesystem.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// What is kept of mock_mount_options: the list of options is there during mount() alone.
class mock_watcher
{
  public:
    mock_watcher() = default;
    explicit mock_watcher(const mock_mount_options &options)
        : before_lookup_(options.before_lookup), released_(options.released),
          argument_(options.argument)
    {
    }

    /// At the start of each ->lookup(), and of each ->atomic_open() of a name that is in lookup.
    /// 0, or the negative errno that it is to fail with. Sleeps.
    int before_lookup(inode *dir, dentry *dentry) const
    {
        int error = 0;

        if (before_lookup_)
            error = before_lookup_(argument_, dir, dentry);
        return error < 0 ? error : 0;
    }
    /// From ->d_release().
    void released(dentry *dentry) const
    {
        if (released_)
            released_(argument_, dentry);
    }
    /// Without, ->d_release() has nothing to do.
    bool wants_released() const
    {
        return released_;
    }

  private:
    int (*before_lookup_)(void *argument, inode *dir, dentry *dentry) = nullptr;
    void (*released_)(void *argument, dentry *dentry) = nullptr;
    void *argument_ = nullptr;
};

} // namespace dcsim::inline DCSIM_BACKEND
