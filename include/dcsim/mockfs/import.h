// SPDX-License-Identifier: GPL-2.0-only
//
// Fills a memfs from a real directory tree: names, types, permissions, owners, device numbers and
// symlink bodies, no file contents. Symbolic links are copied, not followed; other file systems
// mounted below are entered.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "dcsim/mockfs/memfs.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct import_result {
    long directories = 0; ///< the top one included
    long files = 0;
    long symlinks = 0;
    long others = 0;           ///< devices, sockets, pipes
    long skipped = 0;          ///< entries that could not be read or would form a loop
    long vanished = 0;         ///< entries removed while the tree was read
    std::string first_skipped; ///< "path: reason" of the first of them
    /// Why the import failed as a whole; empty on success.
    std::string error;
};

struct import_options {
    /// Called for everything imported but the top, with its path relative to that.
    std::function<void(std::string_view path, umode_t mode)> on_entry;
    /// Stop after so many entries; 0 for no limit.
    long max_entries = 0;
};

/// Reads `directory` into the root of `sb`, which nobody has walked yet. A subtree that cannot be
/// read is skipped and counted, its top included; an unreadable or missing `directory`, or memory
/// running out, is an error, with what was read until then left in place. A symbolic link is
/// followed for `directory` itself.
import_result memfs_import(super_block *sb, const char *directory,
                           const import_options &options = {});

} // namespace dcsim::inline DCSIM_BACKEND
