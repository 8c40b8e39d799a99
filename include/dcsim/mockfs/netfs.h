// SPDX-License-Identifier: GPL-2.0-only
//
// netfs: a client of a server that others change as well, after the Linux NFS client.
//
// docs/filesystems/netfs.md says what it shows and which options it has. Here is what it offers to
// C++ code beyond netfs_filesystem's table.
#pragma once

#include "dcsim/mockfs/mock_filesystem.h"
#include "dcsim/mockfs/server_tree.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// The server that is mounted: whoever changes it is somebody else.
server_tree *netfs_server(const super_block *sb);
/// The dentry of a file handle, which a file id is. Referenced, or ERR_PTR: -ESTALE when the server
/// has it no more, -ENOMEM. Linux v6.12 fs/nfs/export.c nfs_fh_to_dentry().
dentry *nfs_fh_to_dentry(super_block *sb, u64 fileid);
/// The directory that a directory is in, asked of the server. As above. Linux v6.12
/// fs/nfs/export.c nfs_get_parent().
dentry *nfs_get_parent(dentry *dentry);

} // namespace dcsim::inline DCSIM_BACKEND
