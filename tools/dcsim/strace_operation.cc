// SPDX-License-Identifier: GPL-2.0-only
//
// A table of the system calls that take paths, and readers for their arguments.
#include "strace_operation.h"

#include <cerrno>
#include <charconv>
#include <string_view>
#include <unordered_map>

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>

namespace dcsim::cli
{

namespace
{

constexpr const char *no_path = "it has no path in it";
constexpr const char *mounts = "mounts are not replayed";
constexpr const char *system_files = "what it does with the file is not simulated";

/// Where a call has its arguments; -1: it has no such argument.
struct call_shape {
    path_operation kind;
    int descriptor = -1;
    int name = -1;
    int to_descriptor = -1;
    int to_name = -1;
    int flags = -1;
    int mode = -1;
    int size = -1;
    bool follow = true;
    unsigned fixed_flags = 0;
    const char *skipped = nullptr;
};

using shapes = std::unordered_map<std::string_view, call_shape>;

void add_lookups(shapes &map)
{
    using enum path_operation;

    map["stat"] = {.kind = stat, .name = 0};
    map["stat64"] = {.kind = stat, .name = 0};
    map["lstat"] = {.kind = stat, .name = 0, .follow = false};
    map["lstat64"] = {.kind = stat, .name = 0, .follow = false};
    map["newfstatat"] = {.kind = stat, .descriptor = 0, .name = 1, .flags = 3};
    map["fstatat64"] = {.kind = stat, .descriptor = 0, .name = 1, .flags = 3};
    map["statx"] = {.kind = stat, .descriptor = 0, .name = 1, .flags = 2};
    map["access"] = {.kind = access, .name = 0, .mode = 1};
    map["faccessat"] = {.kind = access, .descriptor = 0, .name = 1, .mode = 2};
    map["faccessat2"] = {.kind = access, .descriptor = 0, .name = 1, .flags = 3, .mode = 2};
    map["readlink"] = {.kind = readlink, .name = 0, .size = 2, .follow = false};
    map["readlinkat"] = {.kind = readlink, .descriptor = 0, .name = 1, .size = 3, .follow = false};
    map["statfs"] = {.kind = stat, .name = 0};
    map["statfs64"] = {.kind = stat, .name = 0};
    map["truncate"] = {.kind = access, .name = 0, .fixed_flags = AT_EACCESS};
    map["truncate64"] = map["truncate"];
    map["utime"] = {.kind = stat, .name = 0};
    map["utimes"] = {.kind = stat, .name = 0};
    map["futimesat"] = {.kind = stat, .descriptor = 0, .name = 1};
    map["utimensat"] = {.kind = stat, .descriptor = 0, .name = 1, .flags = 3};
    map["name_to_handle_at"] = {
        .kind = stat, .descriptor = 0, .name = 1, .flags = 4, .follow = false};
    map["inotify_add_watch"] = {.kind = stat, .name = 1};
    for (const char *name : {"getxattr", "setxattr", "listxattr", "removexattr"})
        map[name] = {.kind = stat, .name = 0};
    for (const char *name : {"lgetxattr", "lsetxattr", "llistxattr", "lremovexattr"})
        map[name] = {.kind = stat, .name = 0, .follow = false};
}

void add_changes(shapes &map)
{
    using enum path_operation;

    map["mkdir"] = {.kind = mkdir, .name = 0, .mode = 1, .follow = false};
    map["mkdirat"] = {.kind = mkdir, .descriptor = 0, .name = 1, .mode = 2, .follow = false};
    map["mknod"] = {.kind = mknod, .name = 0, .mode = 1, .follow = false};
    map["mknodat"] = {.kind = mknod, .descriptor = 0, .name = 1, .mode = 2, .follow = false};
    map["unlink"] = {.kind = unlink, .name = 0, .follow = false};
    map["unlinkat"] = {.kind = unlink, .descriptor = 0, .name = 1, .flags = 2, .follow = false};
    map["rmdir"] = {.kind = rmdir, .name = 0, .follow = false};
    map["symlink"] = {.kind = symlink, .name = 1, .to_name = 0, .follow = false};
    map["symlinkat"] = {.kind = symlink, .descriptor = 1, .name = 2, .to_name = 0, .follow = false};
    map["link"] = {.kind = link, .name = 0, .to_name = 1, .follow = false};
    map["linkat"] = {.kind = link,
                     .descriptor = 0,
                     .name = 1,
                     .to_descriptor = 2,
                     .to_name = 3,
                     .flags = 4,
                     .follow = false};
    map["rename"] = {.kind = rename, .name = 0, .to_name = 1, .follow = false};
    map["renameat"] = {.kind = rename,
                       .descriptor = 0,
                       .name = 1,
                       .to_descriptor = 2,
                       .to_name = 3,
                       .follow = false};
    map["renameat2"] = map["renameat"];
    map["renameat2"].flags = 4;
    map["chmod"] = {.kind = chmod, .name = 0, .mode = 1};
    map["fchmodat"] = {.kind = chmod, .descriptor = 0, .name = 1, .mode = 2};
    map["fchmodat2"] = {.kind = chmod, .descriptor = 0, .name = 1, .flags = 3, .mode = 2};
    map["chown"] = {.kind = chown, .name = 0, .mode = 1, .size = 2};
    map["lchown"] = {.kind = chown, .name = 0, .mode = 1, .size = 2, .follow = false};
    map["fchownat"] = {.kind = chown, .descriptor = 0, .name = 1, .flags = 4, .mode = 2, .size = 3};
}

void add_others(shapes &map)
{
    using enum path_operation;

    map["open"] = {.kind = open, .name = 0, .flags = 1, .mode = 2};
    map["openat"] = {.kind = open, .descriptor = 0, .name = 1, .flags = 2, .mode = 3};
    map["openat2"] = {.kind = open, .descriptor = 0, .name = 1, .flags = 2};
    map["creat"] = {
        .kind = open, .name = 0, .mode = 1, .fixed_flags = O_CREAT | O_WRONLY | O_TRUNC};
    map["chdir"] = {.kind = chdir, .name = 0};
    map["fchdir"] = {.kind = fchdir, .descriptor = 0};
    map["chroot"] = {.kind = chroot, .name = 0};
    map["getcwd"] = {.kind = getcwd, .size = 1};
    map["execve"] = {.kind = execute, .name = 0};
    map["execveat"] = {.kind = execute, .descriptor = 0, .name = 1, .flags = 4};
    map["getdents"] = {.kind = list, .descriptor = 0, .size = 2};
    map["getdents64"] = {.kind = list, .descriptor = 0, .size = 2};
    map["close"] = {.kind = close, .descriptor = 0};
    map["dup"] = {.kind = duplicate, .descriptor = 0};
    map["dup2"] = {.kind = duplicate, .descriptor = 0, .to_descriptor = 1};
    map["dup3"] = map["dup2"];
    map["fcntl"] = {.kind = duplicate, .descriptor = 0};
    map["fcntl64"] = map["fcntl"];
    map["umask"] = {.kind = umask, .mode = 0};
    for (const char *name : {"clone", "clone3", "fork", "vfork"})
        map[name] = {.kind = new_process};
    for (const char *name : {"mount", "umount", "umount2", "oldumount", "pivot_root", "move_mount",
                             "open_tree", "fspick", "mount_setattr", "fsconfig", "fsmount"})
        map[name] = {.kind = none, .skipped = mounts};
    for (const char *name : {"swapon", "swapoff", "acct", "uselib", "quotactl", "fanotify_mark"})
        map[name] = {.kind = none, .skipped = system_files};
}

const shapes &known_calls()
{
    static const shapes map = [] {
        shapes fresh;
        add_lookups(fresh);
        add_changes(fresh);
        add_others(fresh);
        return fresh;
    }();
    return map;
}

using words = std::unordered_map<std::string_view, unsigned>;

#define WORD(name)                                                                                 \
    {                                                                                              \
#name, static_cast < unsigned>(name)                                                       \
    }

const words &flag_words()
{
    static const words map = {
        WORD(O_RDONLY),
        WORD(O_WRONLY),
        WORD(O_RDWR),
        WORD(O_CREAT),
        WORD(O_EXCL),
        WORD(O_NOCTTY),
        WORD(O_TRUNC),
        WORD(O_APPEND),
        WORD(O_NONBLOCK),
        WORD(O_DSYNC),
        WORD(O_SYNC),
        WORD(O_DIRECT),
        WORD(O_LARGEFILE),
        WORD(O_NOATIME),
        WORD(O_CLOEXEC),
        WORD(O_DIRECTORY),
        WORD(O_NOFOLLOW),
        WORD(O_PATH),
        WORD(O_TMPFILE),
        {"O_ACCMODE", 3},
        {"FASYNC", 020000},
        WORD(AT_SYMLINK_NOFOLLOW),
        WORD(AT_SYMLINK_FOLLOW),
        WORD(AT_REMOVEDIR),
        WORD(AT_EMPTY_PATH),
        WORD(AT_NO_AUTOMOUNT),
        // At the same value as AT_REMOVEDIR, for another call.
        WORD(AT_EACCESS),
        {"AT_STATX_SYNC_AS_STAT", 0},
        {"AT_STATX_FORCE_SYNC", 0},
        {"AT_STATX_DONT_SYNC", 0},
        WORD(RENAME_NOREPLACE),
        WORD(RENAME_EXCHANGE),
        WORD(RENAME_WHITEOUT),
        WORD(R_OK),
        WORD(W_OK),
        WORD(X_OK),
        WORD(F_OK),
        {"RESOLVE_NO_XDEV", 1},
        {"RESOLVE_NO_MAGICLINKS", 2},
        {"RESOLVE_NO_SYMLINKS", 4},
        {"RESOLVE_BENEATH", 8},
        {"RESOLVE_IN_ROOT", 16},
        {"RESOLVE_CACHED", 32},
        WORD(S_IFREG),
        WORD(S_IFDIR),
        WORD(S_IFLNK),
        WORD(S_IFCHR),
        WORD(S_IFBLK),
        WORD(S_IFIFO),
        WORD(S_IFSOCK),
        WORD(S_ISUID),
        WORD(S_ISGID),
        WORD(S_ISVTX),
    };
    return map;
}

#undef WORD

bool parse_unsigned(std::string_view text, unsigned &value)
{
    uint64_t number = 0;
    int base = 10;

    if (text.starts_with("0x")) {
        base = 16;
        text.remove_prefix(2);
    } else if (text.size() > 1 && text[0] == '0') {
        base = 8;
    }
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
    value = static_cast<unsigned>(number);
    return error == std::errc() && end == text.data() + text.size();
}

/// "O_RDONLY|O_CLOEXEC|0x10". Words that are not known stand for nothing that a path walk sees.
unsigned parse_flags(std::string_view text)
{
    unsigned flags = 0;

    while (!text.empty()) {
        const size_t bar = text.find('|');
        const std::string_view word = text.substr(0, bar);
        unsigned number = 0;

        if (parse_unsigned(word, number))
            flags |= number;
        else if (const auto found = flag_words().find(word); found != flag_words().end())
            flags |= found->second;
        text = bar == std::string_view::npos ? "" : text.substr(bar + 1);
    }
    return flags;
}

/// The value of `key=` in a structure as strace writes it; empty without it.
std::string_view field(std::string_view structure, std::string_view key)
{
    const size_t place = structure.find(key);

    if (place == std::string_view::npos)
        return "";
    structure.remove_prefix(place + key.size());
    return structure.substr(0, structure.find_first_of(",} "));
}

const strace_argument &argument_at(const strace_call &call, int index)
{
    static const strace_argument absent;

    return index >= 0 && static_cast<size_t>(index) < call.arguments.size()
               ? call.arguments[static_cast<size_t>(index)]
               : absent;
}

int descriptor_number(const strace_argument &argument)
{
    if (argument.text == "AT_FDCWD")
        return at_working_directory;
    return static_cast<int>(argument.number(-1));
}

/// Up to the first NUL, if a path has any.
std::string as_kernel_sees(const std::string &path)
{
    return path.c_str();
}

traced_path read_path(const strace_call &call, int descriptor, int name)
{
    const strace_argument &written = argument_at(call, name);
    traced_path path;

    if (descriptor >= 0) {
        const strace_argument &start = argument_at(call, descriptor);
        path.descriptor = descriptor_number(start);
        if (!start.deleted)
            path.place = as_kernel_sees(start.place);
    }
    path.name = as_kernel_sees(written.string);
    path.named = written.is_string && !written.cut;
    return path;
}

bool is_file_type(unsigned type)
{
    return type == S_IFREG || type == S_IFDIR || type == S_IFLNK || type == S_IFCHR ||
           type == S_IFBLK || type == S_IFIFO || type == S_IFSOCK;
}

/// Fields of a stat or statx structure among the arguments.
void read_attributes(const strace_call &call, traced_operation &operation)
{
    for (const strace_argument &argument : call.arguments) {
        std::string_view mode = field(argument.text, "st_mode=");

        if (mode.empty())
            mode = field(argument.text, "stx_mode=");
        if (mode.empty() || argument.is_string)
            continue;
        const unsigned bits = parse_flags(mode);
        if (!is_file_type(bits & S_IFMT))
            continue;
        operation.type = bits & S_IFMT;
        operation.permissions = bits & 07777;
    }
}

unsigned flags_argument(const strace_call &call, const call_shape &shape)
{
    return shape.fixed_flags | parse_flags(argument_at(call, shape.flags).text);
}

void read_open(const strace_call &call, traced_operation &operation)
{
    if (call.name != "openat2")
        return;
    const std::string &how = argument_at(call, 2).text;

    operation.flags = parse_flags(field(how, "flags="));
    operation.mode = parse_flags(field(how, "mode="));
    operation.resolve = parse_flags(field(how, "resolve="));
}

/// fcntl() duplicates with two of its commands only.
void read_duplicate(const strace_call &call, traced_operation &operation)
{
    if (call.name.starts_with("fcntl")) {
        const strace_argument &command = argument_at(call, 1);
        const int64_t number = command.number(-1);
        if (!command.text.starts_with("F_DUPFD") && number != F_DUPFD && number != F_DUPFD_CLOEXEC)
            operation.skipped = no_path;
    } else if (call.name != "dup") {
        operation.descriptor = argument_at(call, 1).number(-1);
    }
}

void read_details(const strace_call &call, traced_operation &operation)
{
    using enum path_operation;

    switch (operation.kind) {
    case open:
        read_open(call, operation);
        operation.follow = !(operation.flags & O_NOFOLLOW);
        return;
    case unlink:
        if (operation.flags & AT_REMOVEDIR)
            operation.kind = rmdir;
        return;
    case readlink:
        operation.text = as_kernel_sees(argument_at(call, call.name == "readlink" ? 1 : 2).string);
        operation.text_cut = static_cast<int64_t>(operation.text.size()) < operation.value;
        return;
    case getcwd:
        operation.text = as_kernel_sees(argument_at(call, 0).string);
        operation.text_cut = argument_at(call, 0).cut;
        return;
    case access:
        if (call.name.starts_with("truncate"))
            operation.mode = W_OK;
        return;
    case duplicate:
        read_duplicate(call, operation);
        return;
    case new_process:
        for (const strace_argument &argument : call.arguments)
            if (const size_t place = argument.text.find("flags="); place != std::string::npos)
                operation.text = field(argument.text, "flags=");
        return;
    default:
        if (operation.flags & AT_SYMLINK_NOFOLLOW)
            operation.follow = false;
        if (operation.flags & AT_SYMLINK_FOLLOW)
            operation.follow = true;
    }
}

/// Errors that come from what is not simulated: space, devices, limits, signals, attributes.
const char *why_error_is_foreign(const traced_operation &operation)
{
    switch (operation.error) {
    case ENOSPC:
    case EDQUOT:
        return "the disk was full";
    case EIO:
    case ENXIO:
    case ENODEV:
    case ENOMEDIUM:
        return "the device gave the error";
    case EINTR:
    case 524:
        return "it was interrupted or is not supported";
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EAGAIN:
        return "a limit of the machine was reached";
    case ENOSYS:
    case EFAULT:
    case EFBIG:
    case EOVERFLOW:
        return "the call itself was refused, before any path was walked";
    case EROFS:
    case EXDEV:
    case EBUSY:
        return "the answer depends on mounts, which are not replayed";
    case ETXTBSY:
        return "the file was being executed";
    default:
        return nullptr;
    }
}

/// Extended attributes are not simulated: whether there are any, the path was found.
bool found_without_attribute(const std::string &name, int error)
{
    return (name.ends_with("xattr") || name == "name_to_handle_at") &&
           (error == ENODATA || error == EOPNOTSUPP || error == ERANGE || error == E2BIG);
}

void read_answer(const strace_call &call, traced_operation &operation)
{
    operation.value = call.value;
    operation.error = call.error;
    operation.place = as_kernel_sees(call.place);
    if (!call.answered)
        operation.skipped = "it has no result: interrupted, or the process ended in it";
    else if (call.injected)
        operation.skipped = "strace made up the answer (--inject)";
    else if (found_without_attribute(call.name, call.error) ||
             (operation.kind == path_operation::execute && call.error == ENOEXEC))
        operation.error = 0;
    else if (operation.kind == path_operation::stat && call.error == EPERM &&
             call.name.ends_with("xattr"))
        operation.skipped = system_files;
    else if (const char *reason = why_error_is_foreign(operation))
        operation.skipped = reason;
}

bool takes_a_name(const call_shape &shape)
{
    return shape.name >= 0;
}

/// Is there a name that cannot be used? A call may do without one on a descriptor.
const char *why_not_named(const strace_call &call, const call_shape &shape,
                          const traced_operation &operation)
{
    const strace_argument &name = argument_at(call, shape.name);
    const bool descriptor_alone = call.name == "utimensat" && name.text == "NULL";

    if (takes_a_name(shape) && !operation.at.named && !descriptor_alone)
        return name.cut ? "strace cut its path" : "strace could not read its path";
    if (shape.to_name >= 0 && !operation.to.named)
        return "strace cut or could not read its second path";
    return nullptr;
}

} // namespace

traced_operation interpret(const strace_call &call)
{
    const auto found = known_calls().find(call.name);
    traced_operation operation;

    if (found == known_calls().end()) {
        operation.skipped = no_path;
        return operation;
    }
    const call_shape &shape = found->second;
    operation.kind = shape.kind;
    read_answer(call, operation);
    if (shape.skipped)
        operation.skipped = shape.skipped;
    operation.at = read_path(call, shape.descriptor, shape.name);
    operation.to = read_path(call, shape.to_descriptor, shape.to_name);
    operation.flags = flags_argument(call, shape);
    operation.mode = parse_flags(argument_at(call, shape.mode).text);
    operation.size = argument_at(call, shape.size).number(0);
    operation.follow = shape.follow;
    read_details(call, operation);
    read_attributes(call, operation);
    if (shape.kind == path_operation::chown)
        operation.mode = static_cast<unsigned>(argument_at(call, shape.mode).number(-1));
    if (!operation.skipped)
        operation.skipped = why_not_named(call, shape, operation);
    return operation;
}

} // namespace dcsim::cli
