// SPDX-License-Identifier: GPL-2.0-only
//
// One time through a trace on a plain tree: what each answer tells about the tree that was there at
// first. Part of rebuilding that tree.
//
// A trace shows calls in the order of their ends. Of calls that overlapped, a later one may have
// had its effect first: when two processes unlink one name, the loser's ENOENT may well be shown
// before the winner's success. Where the plain tree cannot give an answer, and an overlapping call
// of another process makes it possible, that one is put before.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "strace_plain_tree.h"
#include "strace_trace.h"

namespace dcsim::cli
{

using path_set = std::set<std::string, std::less<>>;

/// What is known before a round begins.
struct round_knowledge {
    known_links links; ///< grows with every round
    path_set no_links; ///< paths where there is no symbolic link
    path_set existed;  ///< what an open with O_CREAT did not create
    std::string working_directory;
    bool as_user = false; ///< the program was refused things: it was not root
};

class trace_round
{
  public:
    trace_round(const strace_trace &trace, const tree_request &request, round_knowledge &knowledge);

    /// Carries everything out. True when links were learned that should have been known before.
    bool run();

    const plain_tree &tree() const
    {
        return tree_;
    }
    std::vector<trace_event> take_events()
    {
        return std::move(events_);
    }
    uint64_t reordered() const
    {
        return reordered_;
    }
    /// For each operation why it cannot be replayed, or nullptr.
    std::vector<const char *> take_skipped()
    {
        return std::move(skipped_);
    }

  private:
    /// What a process's paths begin with.
    struct directories {
        plain_node *root;
        plain_node *working;
    };
    using descriptors = std::unordered_map<int64_t, plain_node *>;
    struct process {
        std::shared_ptr<directories> at;
        std::shared_ptr<descriptors> files;
    };

    /// A name, and whether it is to be there.
    struct condition {
        plain_node *parent = nullptr; ///< nullptr: no condition
        std::string name;
        bool present = false;
    };
    condition condition_of(const traced_operation &operation);
    bool brings(const traced_operation &operation, const condition &wanted);
    bool holds(const condition &wanted);
    bool pull_forward(size_t index);

    void begin(const trace_event &event);
    void carry_out(const traced_operation &operation, const char *&skipped);
    void succeeded(const traced_operation &operation);
    void failed(const traced_operation &operation);

    void opened(const traced_operation &operation);
    plain_node *opened_or_created(const traced_operation &operation);
    void looked_up(const traced_operation &operation);
    void link_was_read(const traced_operation &operation);
    void made(const traced_path &path, unsigned type, const std::string &body);
    void linked(const traced_operation &operation);
    void removed(const traced_operation &operation, unsigned type);
    void renamed(const traced_operation &operation);
    void listed(const traced_operation &operation);
    void told_working_directory(const traced_operation &operation);
    void duplicated(const traced_operation &operation);

    void existed(const traced_operation &operation);
    void was_not_found(const traced_operation &operation);
    void was_no_directory(const traced_operation &operation);
    void was_not_empty(const traced_operation &operation);
    void led_in_a_circle(const traced_operation &operation);
    void refused(const traced_operation &operation);
    void refused_to_search(const plain_walk &walk);

    plain_node *ensure(std::string_view path);
    plain_node *start_of(const traced_path &path, const char **reason);
    plain_walk walk(const traced_path &path, bool follow, bool make);
    plain_node *need(const traced_path &path, bool follow, unsigned type);
    const char *why_outside(const traced_operation &operation, const traced_path &path);
    plain_node *arrived(plain_node *node, const std::string &place);
    void learn_no_link(const plain_node *node);
    void learn_link(const std::string &path, const std::string &body, bool certain);

    const strace_trace &trace_;
    const bool rebuilding_; ///< the tree is not read from the machine
    round_knowledge &knowledge_;
    plain_tree tree_;
    plain_node outside_; ///< what descriptors lead to that lead out of the tree
    std::unordered_map<unsigned, process> processes_;
    process *actor_ = nullptr; ///< of the operation at hand
    std::vector<trace_event> events_;
    uint64_t reordered_ = 0;
    std::vector<const char *> skipped_;
    bool learned_ = false;
};

} // namespace dcsim::cli
