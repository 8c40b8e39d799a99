// SPDX-License-Identifier: GPL-2.0-only
//
// What a task brings to a path walk: its root and working directory, its open files, its rights.
// Source: the fields of struct task_struct that fs/namei.c and its neighbours read. The primitives
// have a task_struct of their own, for sleeping; this one belongs to the VFS.
//
// A thread (or fiber) acts for a vfs_task while a task_scope is in force; the functions of
// syscalls.h open one themselves. Outside of any it acts for init_task. Several threads may act for
// one vfs_task at once, as the threads of one process do.
#pragma once

#include "dcsim/vfs/cred.h"
#include "dcsim/vfs/file.h"
#include "dcsim/vfs/fs_struct.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct vfs_task {
    fs_struct *fs;           ///< holds a reference
    files_struct *files;     ///< holds a reference
    const struct cred *cred; ///< not owned
};

/// The task that everybody is who is nobody else: init_fs, init_files, init_cred. Without a root
/// until set_fs_root().
extern vfs_task init_task;

/// What vfs_task_create() shares with its maker instead of copying it.
enum clone_flags : unsigned {
    CLONE_FS_FLAG = 0x200,
    CLONE_FILES_FLAG = 0x400,
};

/// A task with the root, working directory, umask, open files and credentials of `like`, copied or
/// (clone_flags) shared. nullptr when memory is short. Linux v6.12 kernel/fork.c copy_fs(),
/// copy_files(). Sleeps.
vfs_task *vfs_task_create(const vfs_task *like, unsigned flags);
/// Gives everything back: open files are closed with their last user. Linux v6.12 exit_fs(),
/// exit_files(). Sleeps.
void vfs_task_exit(vfs_task *task);

/// What task_private() of the primitives holds.
enum task_private_slot : unsigned {
    TASK_PRIVATE_VFS_TASK,  ///< whom the thread acts for; nullptr: init_task
    TASK_PRIVATE_NAMEIDATA, ///< its innermost path walk, as current->nameidata
    TASK_PRIVATE_BLOCKER,   ///< not nullptr: it was handed a blocker and may still have it
};

/// Whom the calling thread acts for. Never nullptr.
vfs_task *current_vfs_task();

/// The calling thread acts for `task` until the end of the block. Nests.
class task_scope
{
  public:
    explicit task_scope(vfs_task *task);
    ~task_scope();
    task_scope(const task_scope &) = delete;
    task_scope &operator=(const task_scope &) = delete;

  private:
    void *outer_;
};

} // namespace dcsim::inline DCSIM_BACKEND
