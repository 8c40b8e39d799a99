// SPDX-License-Identifier: GPL-2.0-only
//
// ramfs: a file system that is nothing but its cached names and inodes. Every name that exists is
// pinned; a miss needs no asking, because what is not cached does not exist.
#pragma once

#include "dcsim/vfs/super.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct ramfs_options {
    umode_t mode = 0755; ///< permissions of the root; it belongs to the task that mounts
};

/// A new, empty ramfs; ERR_PTR(-ENOMEM).
super_block *ramfs_mount(const ramfs_options &options, const char *id);
/// Unmounts: unpins and frees everything. Returns what generic_shutdown_super() returns.
long ramfs_unmount(super_block *sb);

} // namespace dcsim::inline DCSIM_BACKEND
