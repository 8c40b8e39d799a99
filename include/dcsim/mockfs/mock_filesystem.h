// SPDX-License-Identifier: GPL-2.0-only
//
// What all mock file systems offer to those who set one up without knowing which: scenarios, the
// stress tests, `dcsim run`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dcsim/kernel/types.h"
#include "dcsim/vfs/super.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// What a file system calls an object on its disk or server.
struct mock_node;

/// A knob of one file system, by its name in docs/: "entry_timeout", 1.
struct mock_option {
    const char *name;
    int64_t value;
};

struct mock_mount_options {
    /// Called at the start of each ->lookup(), and of each ->atomic_open() of a name that is in
    /// lookup, with the name in `dentry`; may sleep. A negative errno makes it fail with that, 0
    /// lets it go on. nullptr: nothing.
    int (*before_lookup)(void *argument, inode *dir, dentry *dentry) = nullptr;
    /// Called for every dentry of the file system that is about to be freed, from ->d_release().
    /// nullptr: nothing.
    void (*released)(void *argument, dentry *dentry) = nullptr;
    void *argument = nullptr;
    /// Inode numbers begin after this one.
    ino_t last_used_ino = 0;
    std::span<const mock_option> options;
};

/// What somebody else does to the disk or the server, where this kernel's dcache does not notice.
enum class remote_change {
    create,  ///< a regular file
    mkdir,   ///< a directory
    remove,  ///< a file or an empty directory
    replace, ///< a file by a new one of that name
    rename,  ///< a name to another, over whatever is there
};

struct mock_filesystem {
    const char *name;
    /// A new, empty file system with an instantiated s_root; ERR_PTR(-ENOMEM), or -EINVAL for an
    /// option it does not have.
    super_block *(*mount)(const mock_mount_options &options, const char *id);
    /// Unmounts it and frees the disk. What generic_shutdown_super() returns.
    long (*unmount)(super_block *sb);

    // Filling it, before anybody walks.
    mock_node *(*root_node)(super_block *sb);
    /// As memfs_add_node().
    mock_node *(*add_node)(super_block *sb, mock_node *directory, const char *name, size_t length,
                           umode_t mode, const char *body);
    /// As memfs_add_directory_name(); nullptr: it cannot have such a thing.
    int (*add_directory_name)(super_block *sb, mock_node *directory, const char *name,
                              size_t length, mock_node *node);
    /// A flag of one object, such as "casefold" of a directory; -EINVAL for one it does not know.
    /// nullptr: it has none.
    int (*set_node_flag)(super_block *sb, mock_node *node, const char *flag);

    /// `path` and `second_path` (of rename, else nullptr) begin with "/" and are the server's. 0 or
    /// a negative errno. Takes no lock of the VFS. nullptr: there is nobody else.
    int (*remote)(super_block *sb, remote_change what, const char *path, const char *second_path);
    /// The inode of that path of the server's, referenced, as a file handle finds it; ERR_PTR.
    /// nullptr: it has no file handles.
    inode *(*inode_by_path)(super_block *sb, const char *path);
    /// Carries out one piece of work that was put off, such as the answer to a request that nobody
    /// waits for: a kernel thread's part, played by whoever calls. Returns whether there was any.
    /// Sleeps. unmount() carries out what is left. nullptr: nothing is ever put off.
    bool (*run_pending)(super_block *sb);
    /// Is there any? Looks without locks, for those who wait, and is no schedule point: it is asked
    /// by whoever decides whether they may go on.
    bool (*has_pending)(const super_block *sb);
};

/// nullptr when there is none of that name.
const mock_filesystem *find_mock_filesystem(const char *name);
/// All: memfs, slowfs, netfs, casefs, ovlfs, dynfs, fusefs.
std::span<const mock_filesystem *const> mock_filesystems();

extern const mock_filesystem memfs_filesystem;
extern const mock_filesystem slowfs_filesystem;
extern const mock_filesystem netfs_filesystem;
extern const mock_filesystem casefs_filesystem;
extern const mock_filesystem ovlfs_filesystem;
extern const mock_filesystem dynfs_filesystem;
extern const mock_filesystem fusefs_filesystem;

} // namespace dcsim::inline DCSIM_BACKEND
