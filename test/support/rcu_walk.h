// SPDX-License-Identifier: GPL-2.0-only
//
// A walk in RCU mode into a file system that is being unmounted, for searches of both in every
// order. Like a walk from fs->root it holds nothing: where it begins can be taken away, and then
// RCU alone keeps what it looks at.
#pragma once

#include <cstring>

#include "dcsim/kernel/once.h"
#include "dcsim/kernel/rcupdate.h"
#include "dcsim/mockfs/mock_filesystem.h"
#include "dcsim/testing/explore_gtest.h"
#include "dcsim/vfs/dcache.h"
#include "dcsim/vfs/namei.h"

namespace dcsim::inline DCSIM_BACKEND
{

inline once<dentry *> *where_walks_begin;

/// In the set-up.
inline void begin_walks_at(dentry *root)
{
    where_walks_begin = make_shared_state<once<dentry *>>();
    WRITE_ONCE(*where_walks_begin, root);
}

/// One name: found, and asked whether it is good.
inline void walk_in_rcu_mode(const char *name)
{
    rcu_read_lock();
    if (dentry *root = READ_ONCE(*where_walks_begin)) {
        const qstr wanted = make_hashed_qstr(root, name, static_cast<u32>(strlen(name)));
        unsigned seq;
        dentry *found = __d_lookup_rcu(root, &wanted, &seq);

        if (found && found->d_op && found->d_op->d_revalidate)
            found->d_op->d_revalidate(nullptr, &wanted, found, LOOKUP_RCU);
    }
    rcu_read_unlock();
}

inline void unmount_beside_walks(const mock_filesystem &fs, super_block *sb)
{
    WRITE_ONCE(*where_walks_begin, nullptr);
    explore_check(fs.unmount(sb) == 0, "nothing is busy");
}

} // namespace dcsim::inline DCSIM_BACKEND
