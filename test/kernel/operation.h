// SPDX-License-Identifier: GPL-2.0-only
//
// One system call of a random program, the same for both sides: descriptors are slots, tasks are
// numbers, flags have the values of the system call.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace dcsim::against_kernel
{

enum class call : uint8_t {
    openat,
    openat2,
    close,
    fstatat,
    fstat,
    faccessat2,
    readlinkat,
    mkdirat,
    mknodat,
    unlinkat,
    symlinkat,
    linkat,
    renameat2,
    getdents,      ///< one call with room for any name
    getdents_tiny, ///< from the beginning, with room for no name at all
    list,          ///< from the beginning to the end
    lseek,
    chdir,
    fchdir,
    chroot,
    getcwd,
    fchmodat,
    fchownat,
    umask,
    mount,
    bind,
    umount,
};
inline constexpr unsigned call_count = static_cast<unsigned>(call::umount) + 1;

/// What a place is relative to, when that is no slot.
enum : int {
    at_cwd = -1,
    bad_descriptor = -2,  ///< -1
    high_descriptor = -3, ///< a number nobody has open
};

inline constexpr unsigned slot_count = 6;

/// A directory descriptor and a path, the usual pair of arguments.
struct place {
    int descriptor = at_cwd; ///< slot or at_cwd and relatives
    std::string path;
};

/// Unused members stay as they are here.
struct operation {
    call what = call::getcwd;
    unsigned task = 0;
    int slot = 0; ///< where an open puts its descriptor; whose directory is read, closed, ...
    place first;  ///< the place; of link, rename and bind the old one
    place second; ///< the new one
    std::string body;
    unsigned flags = 0;
    unsigned resolve = 0;
    unsigned mode = 0;
    unsigned device = 0;
    uint32_t uid = 0;
    uint32_t gid = 0;
    int64_t offset = 0; ///< lseek, or how many entries of this pass are to be behind (seek_entry)
    int whence = 0;
    int size = 0;
};

/// operation::whence of an lseek() back to where the directory was after `offset` entries of the
/// current pass. Each side has positions of its own.
inline constexpr int seek_entry = 100;

/// Does success of this call change names, attributes or mounts?
bool changes_tree(const operation &op);

/// Does a path of the call, or the body of the link it makes, begin with '/' or contain ".."?
bool may_lead_outside(const operation &op);
/// May this open answer -EAGAIN, because something moved meanwhile, and answer differently when it
/// is tried again? On both sides, a walk that leaves RCU mode in a mount that was taken out of the
/// namespace even disturbs itself.
bool asks_again(const operation &op);
inline constexpr unsigned most_tries = 1000;

/// Name of the call.
const char *name_of(call what);
/// Name of an errno: "ENOENT", or its number.
std::string name_of_errno(int error);
/// The call as strace would show it, long paths abbreviated.
std::string text_of(const operation &op);
/// A path in quotes, its middle left out when it is long.
std::string quoted(const std::string &path);

/// What differs between sequences besides the operations.
struct plan {
    uint64_t seed = 0;
    /// "/" or a directory, on a file system of its own, that is every task's root.
    std::string start = "/";
    /// Whole trees are compared after this many changes.
    unsigned compare_every = 1;
    /// The port's unused dentries are thrown away before every n-th operation; 0: never.
    unsigned prune_every = 0;
    /// log2 of the buckets of the port's hash tables.
    unsigned hash_shift = 4;
    /// Capabilities of the one task that has some but not all.
    uint64_t capabilities = 0;
};

std::string text_of(const plan &plan);

struct program {
    against_kernel::plan plan;
    std::vector<operation> operations;
};

/// What this machine lets us do. Everything else is left out of the programs.
struct limits {
    bool whole_paths = true; ///< absolute paths and "..": the sides have the same root
    bool mounts = true;
    bool identities = true;  ///< several tasks with different rights; chroot, chown, devices
    bool chmod_flags = true; ///< fchmodat2() exists
};

/// Who a task is.
struct identity {
    const char *name;
    uint32_t uid;
    uint32_t gid;
    std::vector<uint32_t> groups;
    uint64_t capabilities;
};

/// Capabilities of a task that has all: those this process has.
uint64_t own_capabilities();
/// The tasks of a sequence. Without identities: one, who we are.
std::vector<identity> identities(const plan &plan, const limits &limits);

} // namespace dcsim::against_kernel
