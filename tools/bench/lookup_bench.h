// SPDX-License-Identifier: GPL-2.0-only
//
// What the measurements of parallel lookups share: a directory to look names up in, and the
// protocols that are compared.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "dcsim/vfs/vfs.h"

namespace dcsim::inline DCSIM_BACKEND
{
struct lookup_protocol;
}

namespace dcsim::bench
{

/// A way to wait for a lookup: an era of the port, or the port with a patch from this directory.
struct protocol_choice {
    const char *name;
    lookup_era era;                 ///< of a patched one, the era it is a patch against
    const lookup_protocol *patched; ///< nullptr: the era as it is
};

/// All eras and all patches.
std::span<const protocol_choice> protocol_choices();
/// The one of that name; ends the program when there is none.
const protocol_choice &find_protocol_choice(const std::string &name);
/// From now on lookups wait like this. Nothing may be in lookup.
void use_protocol(const protocol_choice &choice);

/// A booted VFS with one empty directory, until the end of the object.
class lookup_directory
{
  public:
    lookup_directory();
    ~lookup_directory();
    lookup_directory(const lookup_directory &) = delete;
    lookup_directory &operator=(const lookup_directory &) = delete;

    dentry *root() const
    {
        return sb_->s_root;
    }

  private:
    super_block *sb_;
};

/// How an owner ends its lookup.
enum class lookup_end {
    published, ///< d_add() of a negative dentry
    dropped,   ///< d_lookup_done() alone, as when ->lookup() failed
};

/// Many different names that are looked up one after the other, by one thread, with nobody else
/// there to wait: what every cache miss pays beside ->lookup().
class lookup_batch
{
  public:
    static constexpr int size = 512;

    explicit lookup_batch(const lookup_directory &directory);
    /// Looks all of them up.
    void perform(lookup_end end);
    /// Throws away what perform() has left, and waits until the memory is free again.
    void clean_up();

  private:
    dentry *root_;
    std::vector<std::string> texts_;
    std::vector<qstr> names_;
    std::vector<dentry *> found_;
};

} // namespace dcsim::bench
