// SPDX-License-Identifier: GPL-2.0-only
//
// Comparing what the two sides have.
#pragma once

#include <map>
#include <string>

#include "backend.h"

namespace dcsim::against_kernel
{

/// Which inode of the first side is which of the second. The numbers differ; what must agree is
/// that equal inodes are equal on both sides, over the whole sequence.
class inode_pairs
{
  public:
    /// Notes the pair. False when one of them has been paired with another one.
    bool match(const inode_key &first, const inode_key &second);

  private:
    std::map<inode_key, inode_key> forward_;
    std::map<inode_key, inode_key> backward_;
    /// Inode numbers of the second side, for answers without its device.
    std::map<inode_key, uint64_t> numbers_;
};

/// The first difference, or "". `first` and `second` name the sides.
std::string difference_of(const tree &a, const tree &b, inode_pairs &pairs, const char *first,
                          const char *second);
std::string difference_of(const file_status &a, const file_status &b, inode_pairs &pairs);

/// "directory 0755 0:0, 3 links".
std::string text_of(const file_status &status);
/// The tree, a line for each name.
std::string text_of(const tree &tree);

} // namespace dcsim::against_kernel
