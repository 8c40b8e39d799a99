// SPDX-License-Identifier: GPL-2.0-only
//
// One sequence on two sides, compared after every call.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "backend.h"
#include "directory_streams.h"
#include "tree.h"

namespace dcsim::against_kernel
{

/// How often each call gave each result (0 or an errno) on the first side.
using coverage = std::map<std::pair<call, int>, unsigned long>;

/// How often each known difference was one, by its name.
using explanations = std::map<std::string, unsigned long>;

/// Where the sides parted.
struct difference {
    size_t step = 0; ///< index of the operation; their number for what showed at the end
    answer first;
    answer second;
    std::string what;
};

class session
{
  public:
    session(backend &first, backend &second, const plan &plan);

    /// Carries out the next operation on both. The first difference ends the session.
    std::optional<difference> step(const operation &op);
    /// Compares the trees once more and ends both sides.
    std::optional<difference> finish();

    /// The first side's tree as it was last looked at.
    const tree &current() const
    {
        return first_tree_;
    }
    /// What the last operation answered on the first side.
    const answer &last() const
    {
        return last_;
    }
    const against_kernel::coverage &coverage() const
    {
        return coverage_;
    }
    const explanations &explained() const
    {
        return explained_;
    }

  private:
    std::string compare(const operation &op, const answer &a, const answer &b);
    std::string compare_lists(const answer &a, const answer &b);
    std::string follow_streams(const operation &op, const answer &a, const answer &b);
    std::string compare_trees();
    bool explain(const operation &op, const answer &a, const answer &b);
    void count(const operation &op, const answer &a);

    backend &first_;
    backend &second_;
    plan plan_;
    size_t steps_ = 0;
    unsigned changes_ = 0;
    unsigned idle_ = 0;    ///< steps since the trees were compared
    std::string at_first_; ///< what differed before anything was done
    inode_pairs pairs_;
    tree first_tree_;
    tree second_tree_;
    std::array<directory_streams, 2> streams_;
    answer last_;
    against_kernel::coverage coverage_;
    explanations explained_;
};

/// Runs a whole program from scratch.
std::optional<difference> run(const program &program, backend &first, backend &second);

} // namespace dcsim::against_kernel
