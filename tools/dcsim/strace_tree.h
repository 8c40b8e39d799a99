// SPDX-License-Identifier: GPL-2.0-only
//
// The tree that a traced program found when it began, rebuilt from the answers it got, or read from
// the machine as far as the program looked at it.
//
// The trace is carried out on a plain tree of our own, without any cache. Every answer tells
// something about what was there at first: a name that was opened without anybody having made it
// must have been there; a name that was not found need not be remembered, because what nobody needs
// does not exist. Symbolic links come out late, when somebody reads one or -y tells that a path led
// somewhere else; then everything is carried out anew, with that knowledge from the start.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "strace_trace.h"

namespace dcsim::cli
{

enum class tree_source {
    trace,    ///< from what the calls were answered
    machine,  ///< what is on this machine at the paths that the trace touches
    imported, ///< directories of this machine, as a whole, and nothing else
};

struct tree_request {
    tree_source source = tree_source::trace;
    std::vector<std::string> directories; ///< of an imported tree: absolute and without links
    /// Where the first process begins, if the trace does not tell; empty: anywhere.
    std::string working_directory;
};

/// A name of the first tree. Parents come before their children.
struct first_node {
    size_t parent; ///< index; of the root: itself
    std::string name;
    unsigned mode;    ///< type and permissions
    std::string body; ///< of a symbolic link
    uint32_t uid;
    uint32_t gid;
};

struct first_tree {
    std::vector<first_node> nodes;        ///< the root first
    std::string working_directory;        ///< of the first process
    bool working_directory_known = false; ///< or made up
    uint32_t uid = 0;                     ///< as whom the program ran
    uint32_t gid = 0;
    /// Links whose body the trace does not show in full.
    uint64_t links_made_up = 0;
    unsigned rounds = 0; ///< how often everything was carried out
    /// The trace's events in the order in which they can have happened, see strace_round.h.
    std::vector<trace_event> events;
    uint64_t reordered = 0; ///< how many of them are not where the trace has them
    /// For each operation why it cannot be replayed on this tree; nullptr: it can.
    std::vector<const char *> skipped;
};

/// Throws std::bad_alloc.
first_tree rebuild_tree(const strace_trace &trace, const tree_request &request);

} // namespace dcsim::cli
