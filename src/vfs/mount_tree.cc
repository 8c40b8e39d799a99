// SPDX-License-Identifier: GPL-2.0-only
//
// The first mount, and the first task at its root: where every path begins until somebody changes
// that.
#include "dcsim/kernel/err.h"
#include "dcsim/vfs/mount.h"
#include "dcsim/vfs/super.h"
#include "dcsim/vfs/task.h"

namespace dcsim::inline DCSIM_BACKEND
{

// Linux v6.12 fs/namespace.c init_mount_tree().
int init_mount_tree(super_block *sb)
{
    mount *mnt = vfs_create_mount(sb);

    if (!mnt)
        return -ENOMEM;
    const path root = {&mnt->mnt, sb->s_root};
    set_namespace_root(mnt);
    set_fs_pwd(init_task.fs, &root);
    set_fs_root(init_task.fs, &root);
    mntput(&mnt->mnt);
    return 0;
}

void exit_mount_tree()
{
    const path nowhere = {nullptr, nullptr};

    set_fs_root(init_task.fs, &nowhere);
    set_fs_pwd(init_task.fs, &nowhere);
    set_namespace_root(nullptr);
}

} // namespace dcsim::inline DCSIM_BACKEND
