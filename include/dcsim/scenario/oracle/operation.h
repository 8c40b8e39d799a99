// SPDX-License-Identifier: GPL-2.0-only
//
// Operations on paths, cut into what happens at one moment: docs/testing.md says where
// the cuts are.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "dcsim/scenario/oracle/file_tree.h"

namespace dcsim::scenario::oracle
{

/// An operation and its arguments.
struct call {
    verb what = verb::stat;
    int process = 0;
    std::string path;
    std::string second_path; ///< or the body of a link
    unsigned flags = 0;      ///< as step::flags
    int variable = -1;       ///< that an open file comes into, or is closed by
};

/// What came of it.
struct answer {
    int64_t number = 0; ///< 0, a count or a length, or the negative errno
    int64_t inode = 0;  ///< number of the inode it found or opened; 0 when nobody asked
};

/// Is this verb one that the oracle knows, or one that changes no names and tells nothing of them?
bool is_understood(verb what);
bool is_operation(verb what);

/// A path on its way, one component after the other.
struct path_walk {
    enum class last_component { name, dot, dotdot, root };

    tree_place at;
    std::string rest;       ///< still to be walked
    int links = 0;          ///< symbolic links followed
    bool to_parent = false; ///< stop in front of the last component
    bool follow = true;     ///< a link in the last place
    bool plain = false;     ///< from the top of the first file system, blind to mounts
    bool began = false;
    bool done = false;
    std::string last; ///< with to_parent: the last component
    last_component kind = last_component::root;
    bool slash = false; ///< something like "name/"
};

/// A call that is under way.
class operation
{
  public:
    /// `call` must outlive it. `observed` is what really came of the call: of two answers that are
    /// both right it gives that one. `contended`: others ran at the same time.
    operation(const call &call, const answer &observed, bool contended);

    bool finished() const
    {
        return stage_ == stage::finished;
    }
    bool has_begun() const
    {
        return stage_ != stage::first_walk || first_.began;
    }
    /// Good when it has finished.
    const answer &result() const
    {
        return result_;
    }
    /// Node whose inode number the answer's `inode` is, or -1.
    int found() const
    {
        return found_;
    }
    /// Does the next thing that takes place at one moment. False, and nothing is done, when it
    /// cannot happen now, because of what one of the others is in the middle of.
    bool step(file_tree &tree, std::span<const operation> all);
    /// Equal for equal states.
    void append_to(std::string &text) const;

  private:
    enum class stage { first_walk, second_walk, act, second_half, finished };

    void finish(int64_t number, int node = -1);
    bool walk(file_tree &tree, path_walk &path, stage next);
    bool act(file_tree &tree, std::span<const operation> all);
    bool create(file_tree &tree);
    bool link(file_tree &tree);
    bool remove(file_tree &tree);
    bool rename(file_tree &tree);
    bool open(file_tree &tree);
    bool open_or_create(file_tree &tree);
    bool read_directory(file_tree &tree);
    bool change_directory(file_tree &tree);
    bool mount(file_tree &tree);
    bool umount(file_tree &tree, std::span<const operation> all);
    void second_half(file_tree &tree);
    int64_t rename_error(const file_tree &tree, int source, int target) const;
    bool stands_in(int mount) const;

    const call *call_;
    answer observed_;
    bool contended_;
    stage stage_ = stage::first_walk;
    path_walk first_;
    path_walk second_;
    answer result_;
    int found_ = -1;
};

} // namespace dcsim::scenario::oracle
