// SPDX-License-Identifier: GPL-2.0-only
//
// Random programs, the same for a seed as long as the kernel answers the same. It knows what the
// tree looks like, so that most paths lead near something; few names, so that they collide.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "backend.h"
#include "random.h"

namespace dcsim::against_kernel
{

/// Writes paths.
class path_writer
{
  public:
    path_writer(cli::random_stream &random, const limits &limits) : random_(random), limits_(limits)
    {
    }

    /// Somewhere in the tree or near it, from the top of the task that begins at `start`.
    std::string any(const tree &now, const std::string &start);
    /// A name that may well not exist yet, in an existing directory.
    std::string fresh(const tree &now, const std::string &start);
    /// The path as seen from `base`, when that is known and helps; maybe absolute.
    std::string relative(const std::string &path, const std::string &base, bool absolute);
    /// Dots, slashes, and detours that change little.
    std::string decorate(std::string path);
    /// Empty, ".", too long, and the like.
    std::string special();
    std::string name();

  private:
    std::string below_start(const std::string &path, const std::string &start);
    std::string detour(const std::string &path);
    std::string stretched(const std::string &path);

    cli::random_stream &random_;
    const limits &limits_;
};

class generator
{
  public:
    generator(uint64_t seed, const limits &limits);

    const against_kernel::plan &plan() const
    {
        return plan_;
    }
    /// The next operation, made for this tree.
    operation next(const tree &now);
    /// What became of it.
    void answered(const operation &op, const answer &result);

  private:
    struct weight {
        call what;
        unsigned when_small; ///< while the tree has few names
        unsigned when_big;
    };
    static const weight weights[];

    call choose(const tree &now);
    void fill(operation &op, const tree &now);
    void fill_open(operation &op, const tree &now);
    void fill_change(operation &op, const tree &now);
    void fill_attributes(operation &op, const tree &now);
    void fill_directory_reading(operation &op);
    void fill_mounts(operation &op, const tree &now);
    place any_place(const tree &now, bool fresh);
    void aim_at(place &where, const tree &now, bool (*is_right)(uint32_t mode));
    std::string path_for(const tree &now, const std::string &base, bool fresh);
    int any_descriptor();
    int any_slot();
    int any_open_slot();
    unsigned any_mode();
    unsigned any_at_flags(unsigned useful);
    unsigned any_open_flags();
    uint32_t any_id(bool group);
    void link_chain();
    void story(const tree &now);
    void doomed_directory(const tree &now);
    void escaping_directory(const tree &now);
    void detached_mount(const tree &now);
    void mounted_file(const tree &now);
    void queue(call what, unsigned task, const std::string &first, const std::string &second = "",
               unsigned flags = 0);
    void queue_looks(unsigned task, int slot);
    void queue_open(unsigned task, int slot, const std::string &path, unsigned flags);

    bool one_in(uint64_t n)
    {
        return random_.one_in(n);
    }
    template <typename T, size_t N>
    T pick(const T (&values)[N])
    {
        return values[random_.below(N)];
    }

    static constexpr size_t most_mounts = 6;

    cli::random_stream random_;
    limits limits_;
    path_writer paths_;
    against_kernel::plan plan_;
    std::deque<operation> queue_; ///< already decided
    unsigned task_ = 0;
    unsigned task_count_;
    unsigned mount_weight_ = 1;
    std::vector<std::string> mount_points_; ///< paths by which mounts were made
    /// What we believe: working directories of tasks and paths of slots; "" for no idea.
    std::vector<std::string> directories_;
    std::vector<std::string> slots_;
    std::vector<bool> open_;
};

} // namespace dcsim::against_kernel
