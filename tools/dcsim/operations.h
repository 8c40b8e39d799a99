// SPDX-License-Identifier: GPL-2.0-only
//
// What one thread of a run does to the dcache: the five kinds of operation.
//
// Each returns 0, -ENOENT when the name was away at that moment because another thread has moved it
// or a directory above it, -ENOMEM, or an errno that no such operation may end with.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "dcsim/refs.h"
#include "dcsim/vfs/mount.h"
#include "dcsim/vfs/super.h"
#include "mix.h"
#include "name_catalogue.h"
#include "random.h"

namespace dcsim::cli
{

/// What the threads share.
struct shared_tree {
    super_block *sb;
    vfsmount *mnt; ///< what the threads see it through
    const name_catalogue &names;
    uint64_t seed;
    /// May an operation drop everything unused at once? Not when the run is about a large cache.
    bool whole_cache_shrinks;
    /// Cold lookups so far: moves the window they aim at.
    std::atomic<uint64_t> cold_lookups = 0;
    /// Dentries reclaimed by operations and by the background reclaim.
    std::atomic<uint64_t> reclaimed = 0;
};

class operations
{
  public:
    operations(shared_tree &tree, unsigned thread);

    int perform(operation_kind kind);
    /// Moves back what this thread has moved away. 0, or an errno: then a name is lost.
    int restore();
    /// Looks a path up once. 0 or a negative errno.
    int look_up(std::string_view path);

  private:
    /// A file or directory that is under another name for the time being. The references keep both
    /// directories, wherever they are moved meanwhile.
    struct moved_name {
        dentry_ref home;
        dentry_ref away;
        std::string_view name;
    };

    int cold();
    int hot();
    int negative();
    int rename();
    int pressure();

    int move_away();
    int move_back();
    int exchange();
    void make_uncached(dentry *parent, std::string_view name, bool keep_children);
    int find(std::string_view path, dentry_ref &found);
    size_t random_file();
    std::string_view random_directory();

    shared_tree &tree_;
    random_stream random_;
    std::string away_name_;
    std::string absent_path_;
    std::string path_; ///< of the walk in progress
    moved_name moved_;
};

} // namespace dcsim::cli
