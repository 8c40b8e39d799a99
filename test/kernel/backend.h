// SPDX-License-Identifier: GPL-2.0-only
//
// A side of the comparison: something that carries out operations and shows the tree they leave.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "operation.h"

namespace dcsim::against_kernel
{

/// What tells one inode from another on one side.
struct inode_key {
    uint64_t device = 0; ///< 0: not known
    uint64_t number = 0;

    auto operator<=>(const inode_key &) const = default;
};

/// What stat() says, without times and blocks.
struct file_status {
    uint32_t mode = 0;
    uint32_t links = 0;
    uint32_t uid = 0;
    uint32_t gid = 0;
    uint32_t device = 0; ///< of a device file
    int64_t size = 0;    ///< of a regular file or symbolic link
    inode_key key;
};

struct directory_entry {
    std::string name;
    unsigned type = 0;
    uint64_t number = 0;
    int64_t next = 0; ///< position behind it; each side has its own
};

/// What a call answered. A descriptor is 0: its number is the side's own.
struct answer {
    long value = 0; ///< or -errno
    std::optional<file_status> status;
    std::string text; ///< readlink, getcwd
    std::vector<directory_entry> entries;
    /// The call cannot be carried out on this side; see known_differences.h.
    bool left_out = false;
};

/// One name of the tree.
struct tree_node {
    std::string path;
    std::string name;
    int parent = -1; ///< index in the tree
    file_status status;
    std::string body;
    unsigned entry_type = 0; ///< as its directory says
    /// 0, or why it cannot be looked at; of a directory, why its names cannot be read, as when it
    /// is removed.
    long listing = 0;
};

/// Every name that can be reached from the top, each directory before what is in it and names in
/// order; and what the slots have open (no status: nothing).
struct tree {
    std::vector<tree_node> nodes;
    std::vector<std::optional<file_status>> slots;
};

class backend
{
  public:
    virtual ~backend() = default;
    virtual const char *name() const = 0;
    /// Does a position in a directory stay where it is when names come and go? That of v6.18's
    /// tmpfs goes back to the beginning when the oldest name, on which it stands, is removed.
    virtual bool keeps_positions() const = 0;
    /// An empty file system and fresh tasks.
    virtual void begin(const plan &plan) = 0;
    /// `offset` is what seek_entry stands for on this side.
    virtual answer execute(const operation &op, int64_t offset) = 0;
    virtual tree snapshot() = 0;
    /// tree::slots alone.
    virtual std::vector<std::optional<file_status>> open_slots() = 0;
    /// The end of the sequence: what went wrong in the side's own housekeeping.
    virtual std::vector<std::string> end() = 0;
};

/// The kernel this program runs on, on a tmpfs.
std::unique_ptr<backend> make_kernel_backend();
/// What it can do here, and why not more (one sentence each).
limits kernel_limits(std::vector<std::string> &reasons);
/// Why there can be no comparison at all on this machine; empty if there can.
std::string kernel_unusable();

/// memfs under the port's path walk. One at a time.
std::unique_ptr<backend> make_memfs_backend(const limits &limits);

} // namespace dcsim::against_kernel
