// SPDX-License-Identifier: GPL-2.0-only
//
// One component at a time.
#pragma once

#include "dcsim/scenario/oracle/operation.h"

namespace dcsim::scenario::oracle
{

/// What a system call says of a path, or of the body of a new link, before it does anything with
/// it: 0, -ENOENT when it is empty, -ENAMETOOLONG.
int text_error(const std::string &text);
/// Why the directory cannot have the name, whether or not somebody wants to make it: 0, -ENOENT
/// when the directory is removed, -ENAMETOOLONG.
int name_error(const file_tree &tree, int directory, const std::string &name);
/// Why a name that is not in the directory is not found: the same, or -ENOENT.
int absent_error(const file_tree &tree, int directory, const std::string &name);
/// The next component. 0 or a negative errno.
int walk_one(const file_tree &tree, const tree_directories &from, path_walk &path);
/// The last component, a symbolic link, is followed after all: the walk goes on with its body. 0 or
/// a negative errno.
int follow_link(const file_tree &tree, const tree_directories &from, path_walk &path, int link);

} // namespace dcsim::scenario::oracle
