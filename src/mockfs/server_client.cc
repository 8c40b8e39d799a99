// SPDX-License-Identifier: GPL-2.0-only
#include "server_client.h"

#include "dcsim/kernel/err.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/vfs/libfs.h"
#include "dcsim/vfs/namei.h"
#include "dcsim/vfs/operations.h"

namespace dcsim::inline DCSIM_BACKEND
{

// As Linux v6.12 fs/fuse/dir.c fuse_get_link() and fs/nfs/symlink.c nfs_get_link(), whose copy is a
// page.
const char *server_get_link(server_tree *server, u64 fileid, delayed_call *done)
{
    auto *body = static_cast<char *>(kmalloc(PATH_MAX_LENGTH));
    int length;

    if (!body)
        return ERR_PTR(-ENOMEM);
    length = server_readlink(server, fileid, body, PATH_MAX_LENGTH);
    if (length < 0) {
        kfree(body);
        return ERR_PTR(length);
    }
    set_delayed_call(done, kfree_link, body);
    return body;
}

} // namespace dcsim::inline DCSIM_BACKEND
