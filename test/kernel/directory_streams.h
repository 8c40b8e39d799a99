// SPDX-License-Identifier: GPL-2.0-only
//
// What reading a directory piece by piece must give while it changes: a name that was there all the
// time is reported exactly once, one that came or went may be reported, no other name is. In which
// order, and how many at a time, is up to the file system, so the two sides are not compared but
// each is held to this rule.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "backend.h"

namespace dcsim::against_kernel
{

/// The reading positions of one side's slots.
class directory_streams
{
  public:
    /// Not `steady`: a position means nothing any more once the directory has changed.
    directory_streams(size_t slots, bool steady) : streams_(slots), steady_(steady) {}

    /// A descriptor was opened, closed or set to its beginning.
    void rewind(int slot)
    {
        streams_[static_cast<size_t>(slot)] = {};
    }
    /// It was set to somewhere that nothing is known about.
    void lose(int slot)
    {
        streams_[static_cast<size_t>(slot)] = {.state = lost};
    }

    /// Where this side's descriptor was behind `entries` entries of this pass; -1 when nobody can
    /// tell any more.
    int64_t position(int slot, int64_t entries) const;
    void went_back(int slot, int64_t entries);

    /// getdents64() reported `entries`, of the directory that `now` shows. What broke the rule, or
    /// "".
    std::string read(int slot, const std::vector<directory_entry> &entries, const tree &now);
    /// The tree may have changed.
    void tree_changed(const tree &now);

  private:
    enum condition { fresh, reading, lost };
    struct stream {
        condition state = fresh;
        inode_key directory;
        bool changed = false;                    ///< since the pass began
        std::map<std::string, inode_key> steady; ///< there all the time
        std::set<std::string> seen;              ///< there at some time
        std::vector<directory_entry> reported;
    };

    static void start(stream &stream, int slot, const tree &now);
    static bool children(const tree &tree, const inode_key &directory,
                         std::map<std::string, inode_key> &names);
    static std::string report(stream &stream, const directory_entry &entry);

    std::vector<stream> streams_;
    bool steady_;
};

} // namespace dcsim::against_kernel
