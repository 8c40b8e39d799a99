// SPDX-License-Identifier: GPL-2.0-only
//
// Depth first, over the states of the tree and of the operations on their way. A state from which
// there was no way to the end is remembered.
#include "dcsim/scenario/oracle/linearize.h"

#include <algorithm>
#include <unordered_set>

namespace dcsim::scenario::oracle
{

namespace
{

class search
{
  public:
    search(const std::vector<event> &events, const std::vector<disk_listing> *disks)
        : events_(events), disks_(disks)
    {
    }

    bool explains(const file_tree &tree, const std::vector<operation> &operations);

  private:
    bool may_begin(size_t index, const std::vector<operation> &operations) const;
    bool agrees(file_tree &tree, const operation &finished, size_t index) const;
    bool is_new(const file_tree &tree, const std::vector<operation> &operations);

    const std::vector<event> &events_;
    const std::vector<disk_listing> *disks_;
    std::unordered_set<std::string> hopeless_;
};

bool search::may_begin(size_t index, const std::vector<operation> &operations) const
{
    for (size_t other = 0; other < events_.size(); other++)
        if (events_[other].end < events_[index].begin && !operations[other].finished())
            return false;
    return true;
}

bool search::agrees(file_tree &tree, const operation &finished, size_t index) const
{
    const answer &expected = events_[index].result;

    if (finished.result().number != expected.number)
        return false;
    return finished.found() < 0 || !expected.inode ||
           tree.identify(finished.found(), expected.inode);
}

bool search::is_new(const file_tree &tree, const std::vector<operation> &operations)
{
    std::string state;

    tree.append_to(state);
    for (const operation &one : operations)
        one.append_to(state);
    return hopeless_.insert(std::move(state)).second;
}

bool search::explains(const file_tree &tree, const std::vector<operation> &operations)
{
    bool all_finished = true;

    if (!is_new(tree, operations))
        return false;
    for (size_t index = 0; index < operations.size(); index++) {
        if (operations[index].finished())
            continue;
        all_finished = false;
        if (!operations[index].has_begun() && !may_begin(index, operations))
            continue;
        file_tree next_tree = tree;
        std::vector<operation> next = operations;
        if (!next[index].step(next_tree, operations))
            continue;
        if (next[index].finished() && !agrees(next_tree, next[index], index))
            continue;
        if (explains(next_tree, next))
            return true;
    }
    if (!all_finished)
        return false;
    file_tree end = tree;
    return !disks_ || end.matches(*disks_);
}

bool overlap(const event &one, const event &other)
{
    return one.begin < other.end && other.begin < one.end;
}

} // namespace

bool is_explained(const file_tree &tree, const std::vector<event> &events,
                  const std::vector<disk_listing> *disks)
{
    std::vector<operation> operations;

    for (const event &one : events) {
        const bool contended = std::ranges::any_of(
            events, [&one](const event &other) { return &one != &other && overlap(one, other); });

        operations.emplace_back(*one.what, one.result, contended);
    }
    return search(events, disks).explains(tree, operations);
}

bool carry_out(file_tree &tree, const call &what, const answer &observed)
{
    const std::vector<operation> nobody;
    operation running(what, observed, false);

    while (!running.finished())
        if (!running.step(tree, nobody))
            return false;
    return running.result().number == observed.number &&
           (running.found() < 0 || !observed.inode ||
            tree.identify(running.found(), observed.inode));
}

// --- What it is for ---------------------------------------------------------------------------

namespace
{

constexpr unsigned o_path = 010000000;
constexpr unsigned o_tmpfile_bit = 020000000;

std::string beyond(const scenario &of, const task &doing)
{
    for (const step &one : doing.steps) {
        if (!is_understood(one.what))
            return "'" + one.text + "' is beyond it";
        if (one.what == verb::open && one.flags & (o_path | o_tmpfile_bit))
            return "'" + one.text + "' is beyond it: O_PATH and O_TMPFILE are";
        if (one.what == verb::chroot &&
            (doing.shares >= 0 || std::ranges::any_of(of.tasks, [&](const task &other) {
                 return other.shares >= 0 && &of.tasks[static_cast<size_t>(other.shares)] == &doing;
             })))
            return "'" + one.text + "' is beyond it: others share that root";
    }
    return "";
}

} // namespace

std::string beyond_the_oracle(const scenario &of)
{
    std::string found = beyond(of, of.setup);

    for (const task &one : of.tasks)
        if (found.empty())
            found = beyond(of, one);
    if (!found.empty())
        return found;
    if (of.file_system != "memfs")
        return "it knows what memfs does, not " + of.file_system;
    for (const tree_entry &one : of.tree) {
        if (one.same_as >= 0)
            return "a directory has two names on the disk";
        if (one.lookup_error)
            return "->lookup() of '" + of.paths[static_cast<size_t>(one.path)] + "' fails";
    }
    return of.failing_allocations ? "allocations fail" : "";
}

} // namespace dcsim::scenario::oracle
