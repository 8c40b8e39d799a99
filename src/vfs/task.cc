// SPDX-License-Identifier: GPL-2.0-only
//
// Tasks as the VFS sees them: making one like another, and acting for one.
#include "dcsim/vfs/task.h"

#include <new>

#include "internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

constinit vfs_task init_task = {.fs = &init_fs, .files = &init_files, .cred = &init_cred};

namespace
{

// Linux v6.12 kernel/fork.c copy_fs().
fs_struct *copy_fs(fs_struct *fs, unsigned flags)
{
    if (!(flags & CLONE_FS_FLAG))
        return copy_fs_struct(fs);
    spin_lock(&fs->lock);
    fs->users++;
    spin_unlock(&fs->lock);
    return fs;
}

// Linux v6.12 kernel/fork.c copy_files().
files_struct *copy_files(files_struct *files, unsigned flags)
{
    if (!(flags & CLONE_FILES_FLAG))
        return copy_files_struct(files);
    spin_lock(&files->lock);
    files->users++;
    spin_unlock(&files->lock);
    return files;
}

} // namespace

// Linux v6.12 kernel/fork.c copy_process(), the part about files.
vfs_task *vfs_task_create(const vfs_task *like, unsigned flags)
{
    void *memory = kmalloc(sizeof(vfs_task));
    files_struct *files;
    fs_struct *fs;

    if (!memory)
        return nullptr;
    files = copy_files(like->files, flags);
    if (!files)
        goto no_files;
    fs = copy_fs(like->fs, flags);
    if (!fs)
        goto no_fs;
    return new (memory) vfs_task{.fs = fs, .files = files, .cred = like->cred};

no_fs:
    put_files_struct(files);
no_files:
    kfree(memory);
    return nullptr;
}

// Linux v6.12 kernel/exit.c do_exit(): exit_files(), exit_fs().
void vfs_task_exit(vfs_task *task)
{
    put_files_struct(task->files);
    put_fs_struct(task->fs);
    kfree(task);
}

vfs_task *current_vfs_task()
{
    auto *task = static_cast<vfs_task *>(task_private(TASK_PRIVATE_VFS_TASK));

    return task ? task : &init_task;
}

task_scope::task_scope(vfs_task *task) : outer_(task_private(TASK_PRIVATE_VFS_TASK))
{
    task_private(TASK_PRIVATE_VFS_TASK) = task;
}

task_scope::~task_scope()
{
    task_private(TASK_PRIVATE_VFS_TASK) = outer_;
}

} // namespace dcsim::inline DCSIM_BACKEND
