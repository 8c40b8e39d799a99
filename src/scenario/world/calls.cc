// SPDX-License-Identifier: GPL-2.0-only
//
// The steps that are system calls, and the tasks that make them: each with its own root, working
// directory and descriptors.
#include "dcsim/kernel/err.h"
#include "dcsim/mockfs/mock_filesystem.h"
#include "dcsim/vfs/syscalls.h"
#include "parts.h"
#include "state.h"

namespace dcsim::inline DCSIM_BACKEND
{

using scenario::verb;

namespace
{

/// Inode numbers of the n-th file system that is mounted begin behind n times this.
constexpr ino_t numbers_of_a_disk = 1000;

int count_entries(vfs_task *task, int fd)
{
    alignas(linux_dirent64) char buffer[1024];
    int count = 0;
    int bytes;

    while ((bytes = sys_getdents64(task, fd, buffer, sizeof(buffer))) > 0)
        for (int at = 0; at < bytes;) {
            const auto *entry = reinterpret_cast<const linux_dirent64 *>(buffer + at);
            const char *name = entry->d_name;

            count += strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
            at += entry->d_reclen;
        }
    return bytes < 0 ? bytes : count;
}

int read_directory(vfs_task *task, const char *name)
{
    const int fd = sys_openat(task, AT_FDCWD_VALUE, name, OPEN_DIRECTORY, 0);
    int count;

    if (fd < 0)
        return fd;
    count = count_entries(task, fd);
    sys_close(task, fd);
    return count;
}

int read_link(vfs_task *task, const char *name)
{
    char buffer[PATH_MAX_LENGTH];

    return sys_readlinkat(task, AT_FDCWD_VALUE, name, buffer, sizeof(buffer));
}

} // namespace

/// Does some step need a task, a root and a mount?
bool scenario_world::makes_system_calls() const
{
    const auto makes = [](const scenario::task &one) {
        for (const scenario::step &step : one.steps)
            if (scenario::is_system_call(step.what))
                return true;
        return false;
    };

    for (const scenario::task &one : scenario_.tasks)
        if (makes(one))
            return true;
    return makes(scenario_.setup);
}

vfs_task *scenario_world::acting(int owner) const
{
    return owner == scenario::setup_task ? state_->setup_task
                                         : state_->tasks[static_cast<size_t>(owner)].acting;
}

void scenario_world::mount_root()
{
    init_mount_tree(mounted());
    state_->setup_task = vfs_task_create(&init_task, 0);
}

/// The tasks begin where [setup] ended, with no file open.
void scenario_world::create_tasks()
{
    vfs_task *setup = state_->setup_task;
    path root, pwd;

    if (!setup)
        return;
    get_fs_root(setup->fs, &root);
    get_fs_pwd(setup->fs, &pwd);
    for (size_t i = 0; i < scenario_.tasks.size(); i++) {
        if (scenario_.tasks[i].shares >= 0)
            continue;
        vfs_task *made = vfs_task_create(&init_task, 0);
        set_fs_root(made->fs, &root);
        set_fs_pwd(made->fs, &pwd);
        state_->tasks[i].acting = made;
    }
    for (size_t i = 0; i < scenario_.tasks.size(); i++)
        if (const int owner = scenario_.tasks[i].shares; owner >= 0)
            state_->tasks[i].acting = vfs_task_create(acting(owner), CLONE_FS_FLAG);
    path_put(&root);
    path_put(&pwd);
    vfs_task_exit(setup);
    state_->setup_task = nullptr;
}

/// Everybody leaves, and nothing is mounted any more.
void scenario_world::leave_namespace()
{
    for (world_task &one : state_->tasks)
        if (one.acting) {
            vfs_task_exit(one.acting);
            one.acting = nullptr;
        }
    if (state_->setup_task)
        vfs_task_exit(state_->setup_task);
    state_->setup_task = nullptr;
    exit_mount_tree();
}

int64_t scenario_world::mount_another(int owner, const char *name, int64_t *inode)
{
    const int number = __atomic_fetch_add(&state_->mounts_made, 1, __ATOMIC_RELAXED);
    mock_mount_options options;
    super_block *sb;
    int error;

    options.last_used_ino = numbers_of_a_disk * static_cast<ino_t>(number + 1);
    sb = mount_file_system(options, "mounted");
    if (IS_ERR(sb))
        return PTR_ERR(sb);
    error = sys_mount(acting(owner), sb, name, 0);
    if (error) {
        file_system_->unmount(sb);
        return error;
    }
    *inode = static_cast<int64_t>(READ_ONCE(sb->s_root->d_inode)->i_ino);
    WRITE_LOCKED(state_->mounted[static_cast<size_t>(number)], sb);
    return 0;
}

/// The result of the call, and the number of the inode that it found or opened.
int64_t scenario_world::find_by_call(int owner, const scenario::step &step, int64_t *inode) const
{
    const char *name = step.pathname.c_str();
    vfs_task *task = acting(owner);
    kstat found;
    int64_t number;

    if (step.what == verb::open) {
        number = sys_openat(task, AT_FDCWD_VALUE, name, step.flags, 0644);
        if (number >= 0 && !sys_fstat(task, static_cast<int>(number), &found))
            *inode = static_cast<int64_t>(found.ino);
        return number;
    }
    number = sys_newfstatat(task, AT_FDCWD_VALUE, name, &found,
                            step.what == verb::lstat ? AT_SYMLINK_NOFOLLOW_FLAG : 0u);
    if (!number)
        *inode = static_cast<int64_t>(found.ino);
    return number;
}

int64_t scenario_world::change_names(int owner, const scenario::step &step) const
{
    const char *name = step.pathname.c_str();
    const char *second = step.second_pathname.c_str();
    constexpr int cwd = AT_FDCWD_VALUE;
    vfs_task *task = acting(owner);

    switch (step.what) {
    case verb::create:
        return sys_mknodat(task, cwd, name, S_IFREG_TYPE | 0644, 0);
    case verb::mkdir:
        return sys_mkdirat(task, cwd, name, 0755);
    case verb::unlink:
        return sys_unlinkat(task, cwd, name, 0);
    case verb::rmdir:
        return sys_unlinkat(task, cwd, name, AT_REMOVEDIR_FLAG);
    case verb::rename:
        return sys_renameat2(task, cwd, name, cwd, second, 0);
    case verb::exchange:
        return sys_renameat2(task, cwd, name, cwd, second, RENAME_EXCHANGE_FLAG);
    case verb::whiteout:
        return sys_renameat2(task, cwd, name, cwd, second, RENAME_WHITEOUT_FLAG);
    case verb::link:
        return sys_linkat(task, cwd, name, cwd, second, 0);
    default:
        return sys_symlinkat(task, second, cwd, name);
    }
}

int64_t scenario_world::system_call(int owner, const scenario::step &step, int64_t *inode)
{
    const char *name = step.pathname.c_str();
    vfs_task *task = acting(owner);

    switch (step.what) {
    case verb::stat:
    case verb::lstat:
    case verb::open:
        return find_by_call(owner, step, inode);
    case verb::access:
        return sys_faccessat2(task, AT_FDCWD_VALUE, name, MAY_READ, 0);
    case verb::readlink:
        return read_link(task, name);
    case verb::close: {
        const int64_t fd = variable(step.variable_task, step.variable_slot).number;
        // The open may have failed.
        return fd < 0 ? 0 : sys_close(task, static_cast<int>(fd));
    }
    case verb::readdir:
        return read_directory(task, name);
    case verb::chdir:
        return sys_chdir(task, name);
    case verb::chroot:
        return sys_chroot(task, name);
    case verb::mount:
        return mount_another(owner, name, inode);
    case verb::bind:
        return sys_mount_bind(task, name, step.second_pathname.c_str());
    case verb::umount_path:
        return sys_umount2(task, name, step.flags & scenario::detach_flag ? MNT_DETACH_FLAG : 0u);
    default:
        return change_names(owner, step);
    }
}

} // namespace dcsim::inline DCSIM_BACKEND
