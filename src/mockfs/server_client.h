// SPDX-License-Identifier: GPL-2.0-only
//
// What the file systems that have a server_tree behind them do alike.
#pragma once

#include "dcsim/mockfs/mock_filesystem.h"
#include "dcsim/mockfs/server_tree.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct delayed_call;

// A node is its file id.

inline mock_node *node_of(u64 fileid)
{
    return reinterpret_cast<mock_node *>(fileid);
}

inline u64 fileid_of(const mock_node *node)
{
    return reinterpret_cast<u64>(node);
}

/// ->get_link() outside of RCU mode: a copy of what the link says, which `done` frees; ERR_PTR:
/// -ENOMEM, and what the server says. Sleeps.
const char *server_get_link(server_tree *server, u64 fileid, delayed_call *done);

} // namespace dcsim::inline DCSIM_BACKEND
