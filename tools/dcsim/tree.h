// SPDX-License-Identifier: GPL-2.0-only
//
// Where the tree of a run comes from: a real directory, or a generator.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "dcsim/mockfs/mock_filesystem.h"
#include "name_catalogue.h"

namespace dcsim::cli
{

/// What was put on the disk of the mock file system.
struct tree_description {
    std::string source;    ///< "import" or "generated"
    std::string directory; ///< the imported one, as typed
    long directories = 0;  ///< the root included
    long files = 0;
    long symlinks = 0;
    long others = 0;
    long skipped = 0;
    long vanished = 0;
    std::string first_skipped;
};

/// Reads a real directory into `sb`, which is a memfs. Throws usage_error when it cannot be read or
/// is empty.
tree_description import_tree(super_block *sb, const std::string &directory,
                             name_catalogue &catalogue);

/// Makes up a tree of `names` names: about 100 in a directory, ten of them directories themselves.
/// The seed decides the spelling. Throws std::bad_alloc.
tree_description generate_tree(const mock_filesystem &filesystem, super_block *sb, uint64_t names,
                               uint64_t seed, name_catalogue &catalogue);

} // namespace dcsim::cli
