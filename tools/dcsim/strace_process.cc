// SPDX-License-Identifier: GPL-2.0-only
//
// System calls of the trace as system calls of the port.
#include "strace_process.h"

#include <algorithm>
#include <cerrno>
#include <new>

#include "dcsim/kernel/err.h"

namespace dcsim::cli
{

namespace
{

constexpr size_t largest_buffer = 64 * 1024;
/// Never a descriptor of the port.
constexpr int not_open = -1;

bool is_absolute(const std::string &path)
{
    return path.starts_with('/');
}

vfs_task *checked(vfs_task *task)
{
    if (!task)
        throw std::bad_alloc();
    return task;
}

size_t buffer_size(const traced_operation &operation)
{
    return static_cast<size_t>(
        std::clamp<int64_t>(operation.size, 0, static_cast<int64_t>(largest_buffer)));
}

unsigned follow_flag(const traced_operation &operation)
{
    return operation.follow ? 0u : unsigned{AT_SYMLINK_NOFOLLOW_FLAG};
}

} // namespace

replayed_process::replayed_process(const vfs_task *like, const cred *cred, place_counts &counts)
    : task_(checked(vfs_task_create(like, 0))), counts_(counts),
      files_(std::make_shared<descriptors>())
{
    task_->cred = cred;
}

replayed_process::replayed_process(const replayed_process &parent, bool share_directories,
                                   bool share_files)
    : task_(checked(
          vfs_task_create(parent.task_, (share_directories ? unsigned{CLONE_FS_FLAG} : 0u) |
                                            (share_files ? unsigned{CLONE_FILES_FLAG} : 0u)))),
      counts_(parent.counts_),
      files_(share_files ? parent.files_ : std::make_shared<descriptors>(*parent.files_)),
      told_(parent.told_)
{
}

replayed_process::~replayed_process()
{
    vfs_task_exit(task_);
}

replay_outcome replayed_process::perform(const traced_operation &operation, bool only_look)
{
    using enum path_operation;
    const char *name = operation.at.name.c_str();
    replay_outcome outcome;

    switch (operation.kind) {
    case path_operation::open:
        outcome.value = this->open(operation, only_look);
        break;
    case path_operation::stat:
        outcome.value = this->stat(operation, outcome);
        break;
    case access:
        outcome.value =
            sys_faccessat2(task_, start_of(operation.at), name, operation.mode,
                           follow_flag(operation) | (operation.flags & AT_EACCESS_FLAG));
        break;
    case readlink:
        outcome.value = read_link(operation, outcome);
        break;
    case chdir:
        outcome.value = sys_chdir(task_, name);
        told_.clear();
        break;
    case fchdir:
        outcome.value = sys_fchdir(task_, descriptor_of(operation.at));
        told_.clear();
        break;
    case chroot:
        outcome.value = sys_chroot(task_, name);
        break;
    case getcwd:
        outcome.value = working_directory(operation, outcome);
        break;
    case path_operation::execute:
        outcome.value = this->execute(operation);
        break;
    case path_operation::list:
        outcome.value = this->list(operation);
        break;
    case close:
        forget(operation.at.descriptor);
        break;
    case path_operation::duplicate:
        outcome.value = this->duplicate(operation);
        break;
    case umask:
        outcome.value = sys_umask(task_, static_cast<umode_t>(operation.mode));
        break;
    default:
        outcome.value = change_name(operation);
    }
    return outcome;
}

int64_t replayed_process::change_name(const traced_operation &operation)
{
    using enum path_operation;
    const int at = start_of(operation.at);
    const char *name = operation.at.name.c_str();
    const char *to = operation.to.name.c_str();
    const auto mode = static_cast<umode_t>(operation.mode);

    switch (operation.kind) {
    case mkdir:
        return sys_mkdirat(task_, at, name, mode);
    case mknod:
        return sys_mknodat(task_, at, name, mode, 0);
    case unlink:
        return sys_unlinkat(task_, at, name, 0);
    case rmdir:
        return sys_unlinkat(task_, at, name, AT_REMOVEDIR_FLAG);
    case symlink:
        return sys_symlinkat(task_, to, at, name);
    case link:
        return sys_linkat(task_, at, name, start_of(operation.to), to, operation.flags);
    case rename:
        return sys_renameat2(task_, at, name, start_of(operation.to), to, operation.flags);
    case chmod:
        return sys_fchmodat(task_, at, name, mode, operation.flags);
    case chown:
        return sys_fchownat(task_, at, name, operation.mode, static_cast<kgid_t>(operation.size),
                            follow_flag(operation) | (operation.flags & AT_EMPTY_PATH_FLAG));
    default:
        return 0;
    }
}

int64_t replayed_process::open(const traced_operation &operation, bool only_look)
{
    const char *name = operation.at.name.c_str();
    const int at = start_of(operation.at);
    unsigned flags = operation.flags;

    if (only_look)
        flags &= ~unsigned{OPEN_CREAT | OPEN_EXCL | OPEN_TRUNC};
    const auto mode =
        static_cast<umode_t>(flags & (OPEN_CREAT | OPEN_TMPFILE_BIT) ? operation.mode : 0);
    const int number = operation.resolve
                           ? sys_openat2(task_, at, name, flags, mode, operation.resolve)
                           : sys_openat(task_, at, name, flags, mode);
    if (operation.succeeded())
        forget(operation.value);
    if (number < 0)
        return number;
    if (operation.succeeded())
        remember(operation.value, number, operation.place);
    else
        sys_close(task_, number);
    return number;
}

int64_t replayed_process::stat(const traced_operation &operation, replay_outcome &outcome)
{
    const int at = start_of(operation.at);
    kstat status = {};
    // A descriptor without a name is as good as AT_EMPTY_PATH.
    const unsigned empty =
        operation.at.named ? operation.flags & AT_EMPTY_PATH_FLAG : unsigned{AT_EMPTY_PATH_FLAG};
    const int error = sys_newfstatat(task_, at, operation.at.name.c_str(), &status,
                                     follow_flag(operation) | empty);

    outcome.type = status.mode & S_IFMT_MASK;
    return error;
}

int64_t replayed_process::read_link(const traced_operation &operation, replay_outcome &outcome)
{
    std::string buffer(buffer_size(operation), '\0');
    const int length =
        sys_readlinkat(task_, start_of(operation.at), operation.at.name.c_str(), buffer.data(),
                       static_cast<int>(operation.size < 0 ? -1 : buffer.size()));

    buffer.resize(static_cast<size_t>(std::max(length, 0)));
    outcome.text = std::move(buffer);
    return length;
}

int64_t replayed_process::working_directory(const traced_operation &operation,
                                            replay_outcome &outcome)
{
    std::string buffer(buffer_size(operation), '\0');
    const int length = sys_getcwd(task_, buffer.data(), buffer.size());

    if (length > 0)
        outcome.text.assign(buffer, 0, static_cast<size_t>(length) - 1);
    return length;
}

/// As far as paths go, a program is started if it is a regular file that may be executed. Linux
/// v6.12 fs/exec.c do_open_execat().
int64_t replayed_process::execute(const traced_operation &operation)
{
    const int at = start_of(operation.at);
    const char *name = operation.at.name.c_str();
    const unsigned flags = follow_flag(operation) | (operation.flags & AT_EMPTY_PATH_FLAG);
    kstat status = {};
    int error = sys_newfstatat(task_, at, name, &status, flags);

    if (error)
        return error;
    if (!S_ISREG_mode(status.mode))
        return S_ISLNK_mode(status.mode) ? -ELOOP : -EACCES;
    constexpr unsigned may_execute = 1;
    return sys_faccessat2(task_, at, name, may_execute, flags | AT_EACCESS_FLAG);
}

int64_t replayed_process::list(const traced_operation &operation)
{
    std::string buffer(buffer_size(operation), '\0');

    return sys_getdents64(task_, descriptor_of(operation.at), buffer.data(), buffer.size());
}

int64_t replayed_process::duplicate(const traced_operation &operation)
{
    const auto found = files_->find(operation.at.descriptor);

    if (found == files_->end()) {
        forget(operation.value);
        return operation.value;
    }
    if (operation.at.descriptor == operation.value)
        return operation.value;
    const descriptor original = found->second;
    forget(operation.value);
    task_scope scope(task_);
    file *file = fget_raw(static_cast<unsigned>(original.number));
    if (!file)
        return -EBADF;
    const int number = get_unused_fd();
    if (number < 0) {
        fput(file);
        return number;
    }
    fd_install(static_cast<unsigned>(number), file);
    (*files_)[operation.value] = {number, original.place};
    return number;
}

// --- Where paths begin ------------------------------------------------------------------------

/// The descriptor of the port that stands for the recorded one.
int replayed_process::start_of(const traced_path &path)
{
    if (is_absolute(path.name))
        return AT_FDCWD_VALUE;
    if (path.descriptor != at_working_directory)
        return descriptor_of(path);
    if (is_absolute(path.place) && path.place != told_)
        go_to(path.place);
    return AT_FDCWD_VALUE;
}

int replayed_process::descriptor_of(const traced_path &path)
{
    const auto found = files_->find(path.descriptor);
    const bool known = found != files_->end();

    if (!is_absolute(path.place) || (known && found->second.place == path.place))
        return known ? found->second.number : not_open;
    if (known && place_of(found->second.number) == path.place) {
        found->second.place = path.place;
        return found->second.number;
    }
    // A directory may be listed later, and that needs more than O_PATH gives.
    int number = sys_openat(task_, AT_FDCWD_VALUE, path.place.c_str(), OPEN_DIRECTORY, 0);
    if (number < 0)
        number = sys_openat(task_, AT_FDCWD_VALUE, path.place.c_str(), OPEN_PATH, 0);
    if (number < 0)
        return known ? found->second.number : not_open;
    forget(path.descriptor);
    remember(path.descriptor, number, path.place);
    counts_.descriptors++;
    return number;
}

/// -y tells where the process is. Normally it is there.
void replayed_process::go_to(const std::string &place)
{
    char buffer[PATH_MAX_LENGTH];
    const int length = sys_getcwd(task_, buffer, sizeof(buffer));

    told_ = place;
    if (length > 0 && place == buffer)
        return;
    if (sys_chdir(task_, place.c_str()) == 0)
        counts_.directories++;
}

/// The path of an open file; empty when it has none.
std::string replayed_process::place_of(int number)
{
    task_scope scope(task_);
    file *file = fget_raw(static_cast<unsigned>(number));
    char buffer[PATH_MAX_LENGTH];

    if (!file)
        return "";
    const char *text = d_path(&file->f_path, buffer, sizeof(buffer));
    const std::string place = IS_ERR(text) ? "" : text;
    fput(file);
    return place;
}

void replayed_process::remember(int64_t recorded, int number, const std::string &place)
{
    (*files_)[recorded] = {number, place};
}

void replayed_process::forget(int64_t recorded)
{
    const auto found = files_->find(recorded);

    if (found == files_->end())
        return;
    sys_close(task_, found->second.number);
    files_->erase(found);
}

} // namespace dcsim::cli
