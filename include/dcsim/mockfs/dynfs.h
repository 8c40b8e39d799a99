// SPDX-License-Identifier: GPL-2.0-only
//
// dynfs: a file system of things that come and go by themselves, as the processes in /proc and the
// tables in /proc/sys do. Nobody makes or removes its names through the VFS, but
// mock_filesystem::remote does. An object that is gone leaves its dentry behind, which is found out
// by asking whether the object is still alive: when the name is walked, when the last user goes, or
// (option `flush`) soon after by somebody who clears it away.
#pragma once

#include "dcsim/kernel/types.h"
#include "dcsim/vfs/cred.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct super_block;

/// The object at `path`, which begins with "/", is somebody else's from now on, as a process is
/// after setuid(2). Cached inodes learn of it when their name is walked. 0 or -ENOENT.
int dynfs_set_owner(super_block *sb, const char *path, kuid_t uid, kgid_t gid);
/// Objects that are alive, the root included.
long dynfs_live_objects(super_block *sb);

} // namespace dcsim::inline DCSIM_BACKEND
