// SPDX-License-Identifier: GPL-2.0-only
//
// How the mock file systems read a directory: by positions that are somebody else's cookies, and
// with a dentry for each name on the way.
#pragma once

#include "dcsim/mockfs/server_tree.h"
#include "dcsim/vfs/file.h"
#include "dcsim/vfs/libfs.h"
#include "dcsim/vfs/lookup_era.h"
#include "dcsim/vfs/proposed.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// The dentry of a name that has just been read, as d_alloc_parallel() gives it: in lookup and then
/// the caller's to finish, or looked up by somebody. `name` has its hash. With
/// vfs_config::lookup_outside_rwsem nobody is waited for, because the directory is locked and
/// whoever has the name in lookup may be waiting for that: ERR_PTR(-EWOULDBLOCK), and the caller
/// does without a dentry (v3 17/19 does so in NFS). The directory's i_rwsem is held shared.
inline dentry *alloc_entry(dentry *parent, qstr *name, wait_queue_head_t *wq)
{
    if (lookup_outside_rwsem)
        return d_alloc_noblock(parent, name);
    return d_alloc_parallel(parent, name, wq);
}

// --- Positions: "." and "..", then the server's cookies ---

inline constexpr int64_t FIRST_COOKIE_POSITION = 2;

inline u64 cookie_of_position(int64_t position)
{
    return static_cast<u64>(position - FIRST_COOKIE_POSITION);
}

inline int64_t position_of_cookie(u64 cookie)
{
    return static_cast<int64_t>(cookie) + FIRST_COOKIE_POSITION;
}

/// Tells what the server says of an entry. False when there is no room; else the position is behind
/// the entry.
inline bool emit_server_entry(dir_context *context, const server_entry &entry)
{
    if (!dir_emit(context, entry.name, static_cast<int>(entry.length), entry.attributes.fileid,
                  fs_umode_to_dtype(entry.attributes.mode)))
        return false;
    context->pos = position_of_cookie(entry.cookie);
    return true;
}

/// ->iterate_shared() of a directory whose entries are asked for one by one. `next` is called with
/// a cookie and fills in the entry behind it, as server_readdir(); what is to be done with the
/// entry before it is told, it does as well. 0 or a negative errno.
template <typename Next>
int read_by_cookie(file *file, dir_context *context, Next next)
{
    server_entry entry;

    if (!dir_emit_dots(file, context))
        return 0;
    for (;;) {
        const int found = next(cookie_of_position(context->pos), &entry);

        if (found <= 0)
            return found;
        if (!emit_server_entry(context, entry))
            return 0;
    }
}

} // namespace dcsim::inline DCSIM_BACKEND
