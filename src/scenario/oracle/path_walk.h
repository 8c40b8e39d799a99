// SPDX-License-Identifier: GPL-2.0-only
//
// One component at a time.
#pragma once

#include "dcsim/scenario/oracle/operation.h"

namespace dcsim::scenario::oracle
{

/// The next component. 0 or a negative errno.
int walk_one(const file_tree &tree, const tree_directories &from, path_walk &path);
/// The last component, a symbolic link, is followed after all: the walk goes on with its body. 0 or
/// a negative errno.
int follow_link(const file_tree &tree, const tree_directories &from, path_walk &path, int link);

} // namespace dcsim::scenario::oracle
