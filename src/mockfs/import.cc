// SPDX-License-Identifier: GPL-2.0-only
//
// Reads a real directory tree into a memfs.
//
// One directory after the other, depth first, with one descriptor open for each directory on the
// way down: a tree deeper than the limit on open files loses its lower part, which is counted.
// Names are sorted, so that equal trees give equal node numbers whatever order the host lists them
// in.
//
// The tree may change meanwhile. What was listed and is gone or something else a moment later
// counts as vanished. Each entry is counted exactly once, in one of the classes of import_result.
#include <algorithm>
#include <cerrno>
#include <climits>
#include <deque>
#include <memory>
#include <new>
#include <system_error>
#include <utility>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dcsim/kernel/err.h"
#include "dcsim/mockfs/import.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

struct close_directory {
    void operator()(DIR *directory) const
    {
        closedir(directory);
    }
};
using directory_handle = std::unique_ptr<DIR, close_directory>;

/// A directory on the way down.
struct level {
    directory_handle handle;
    struct stat status;
    std::vector<std::string> names;
    size_t next_name;
    memfs_node *node;
    size_t path_length; ///< of its path relative to the top
};

std::string error_text(int error)
{
    return std::generic_category().message(error);
}

/// What the user can do about an error at the top directory.
const char *remedy(int error)
{
    switch (error) {
    case ENOENT:
        return "check the path";
    case ENOTDIR:
        return "name a directory";
    case EACCES:
    case EPERM:
        return "name a directory that this user may read and search";
    case ELOOP:
        return "its symbolic links lead in a circle: name the directory itself";
    case ENAMETOOLONG:
        return "go closer to the directory and use a relative path";
    case EMFILE:
    case ENFILE:
        return "raise the limit on open files (ulimit -n)";
    case ENOMEM:
        return "import a smaller directory, or limit the number of entries";
    default:
        return "see whether its file system can be read";
    }
}

std::string explain(const char *directory, int error)
{
    return std::string("cannot import '") + directory + "': " + error_text(error) + "; " +
           remedy(error);
}

/// Opens `name` below the open directory `at`. 0 or an errno.
int open_directory(int at, const char *name, int flags, level *opened)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);

    if (fd < 0)
        return errno;
    opened->handle.reset(fdopendir(fd));
    if (!opened->handle) {
        int error = errno;
        close(fd);
        return error;
    }
    return fstat(fd, &opened->status) ? errno : 0;
}

/// Reads all names of the open directory. 0 or an errno.
int read_names(level *directory)
{
    for (;;) {
        errno = 0;
        // Safe: nobody else has this stream.
        const dirent *entry = readdir(directory->handle.get()); // NOLINT(concurrency-mt-unsafe)
        if (!entry)
            break;
        std::string_view name = entry->d_name;
        if (name != "." && name != "..")
            directory->names.emplace_back(name);
    }
    int error = errno;
    std::sort(directory->names.begin(), directory->names.end());
    return error;
}

/// The body of a symbolic link. 0 or an errno.
int read_link(int at, const char *name, std::string *body)
{
    char buffer[PATH_MAX];
    ssize_t length = readlinkat(at, name, buffer, sizeof(buffer));

    if (length < 0)
        return errno;
    body->assign(buffer, static_cast<size_t>(length));
    return 0;
}

bool went_away(int error)
{
    // The last three: it is there, but no longer what it was.
    return error == ENOENT || error == ENOTDIR || error == ELOOP || error == EINVAL;
}

class importer
{
  public:
    importer(super_block *sb, const char *directory, const import_options &options)
        : sb_(sb), directory_(directory), options_(options),
          out_of_memory_(explain(directory, ENOMEM))
    {
    }

    import_result run()
    {
        level top = {};
        int error = open_directory(AT_FDCWD, directory_, 0, &top);

        if (!error)
            error = read_names(&top);
        if (error) {
            result_.error = explain(directory_, error);
            return std::move(result_);
        }
        top.node = memfs_root_node(sb_);
        set_attributes(top.node, top.status);
        result_.directories++;
        levels_.push_back(std::move(top));
        while (!levels_.empty() && result_.error.empty() && !limit_reached()) {
            level &lowest = levels_.back();
            if (lowest.next_name == lowest.names.size())
                levels_.pop_back();
            else
                import_entry(lowest, lowest.names[lowest.next_name++]);
        }
        return std::move(result_);
    }

    /// Allocates nothing.
    import_result fail_without_memory()
    {
        result_.error = std::move(out_of_memory_);
        return std::move(result_);
    }

  private:
    bool limit_reached() const
    {
        return options_.max_entries > 0 && imported_ >= options_.max_entries;
    }

    void import_entry(const level &parent, const std::string &name)
    {
        struct stat status;

        path_.resize(parent.path_length);
        if (!path_.empty())
            path_ += '/';
        path_ += name;

        if (fstatat(dirfd(parent.handle.get()), name.c_str(), &status, AT_SYMLINK_NOFOLLOW))
            skip(errno);
        else if (S_ISDIR(status.st_mode))
            import_directory(parent, name);
        else if (S_ISLNK(status.st_mode))
            import_symlink(parent, name, status);
        else if (add(parent, name, status, nullptr))
            ++(S_ISREG(status.st_mode) ? result_.files : result_.others);
    }

    void import_symlink(const level &parent, const std::string &name, const struct stat &status)
    {
        std::string body;
        int error = read_link(dirfd(parent.handle.get()), name.c_str(), &body);

        if (error)
            skip(error);
        else if (add(parent, name, status, body.c_str()))
            result_.symlinks++;
    }

    /// Reads the names before the directory is added: one that cannot be read is not added either.
    void import_directory(const level &parent, const std::string &name)
    {
        level fresh = {};
        int error = open_directory(dirfd(parent.handle.get()), name.c_str(), O_NOFOLLOW, &fresh);

        if (!error && is_open(fresh.status)) {
            skip_because("a directory that contains itself");
            return;
        }
        if (!error)
            error = read_names(&fresh);
        if (error) {
            skip(error);
            return;
        }
        fresh.node = add(parent, name, fresh.status, nullptr);
        if (!fresh.node)
            return;
        result_.directories++;
        fresh.path_length = path_.size();
        levels_.push_back(std::move(fresh));
    }

    /// Is this directory on the way down already?
    bool is_open(const struct stat &status) const
    {
        return std::any_of(levels_.begin(), levels_.end(), [&status](const level &open) {
            return open.status.st_dev == status.st_dev && open.status.st_ino == status.st_ino;
        });
    }

    /// Adds the entry at path_ to the disk. nullptr when that failed, which is then accounted for.
    memfs_node *add(const level &parent, const std::string &name, const struct stat &status,
                    const char *body)
    {
        const umode_t memfs_mode = static_cast<umode_t>(status.st_mode & (S_IFMT | 07777));
        memfs_node *node =
            memfs_add_node(sb_, parent.node, name.data(), name.size(), memfs_mode, body);

        if (IS_ERR(node)) {
            if (PTR_ERR(node) == -ENOMEM)
                result_.error = out_of_memory_;
            else
                skip_because(error_text(-PTR_ERR(node)));
            return nullptr;
        }
        set_attributes(node, status);
        memfs_set_device(node, static_cast<unsigned>(status.st_rdev));
        imported_++;
        if (options_.on_entry)
            options_.on_entry(path_, memfs_mode);
        return node;
    }

    void set_attributes(memfs_node *node, const struct stat &status)
    {
        memfs_set_attributes(sb_, node, static_cast<umode_t>(status.st_mode & 07777), status.st_uid,
                             status.st_gid);
    }

    void skip(int error)
    {
        if (went_away(error))
            result_.vanished++;
        else
            skip_because(error_text(error));
    }

    void skip_because(const std::string &reason)
    {
        if (result_.skipped++ == 0)
            result_.first_skipped = std::string(directory_) + '/' + path_ + ": " + reason;
    }

    super_block *sb_;
    const char *directory_;
    const import_options &options_;
    import_result result_;
    std::string out_of_memory_; ///< made in time
    std::deque<level> levels_;  ///< from the top down; a deque, because references to one must last
    std::string path_;          ///< of the entry at hand, relative to the top
    long imported_ = 0;
};

} // namespace

import_result memfs_import(super_block *sb, const char *directory, const import_options &options)
{
    importer importer(sb, directory, options);

    try {
        return importer.run();
    } catch (const std::bad_alloc &) {
        return importer.fail_without_memory();
    }
}

} // namespace dcsim::inline DCSIM_BACKEND
