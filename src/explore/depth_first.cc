// SPDX-License-Identifier: GPL-2.0-only
//
// Depth-first search with sleep sets: of executions that differ only in the order of independent
// steps, one is carried out to its end.
//
// When a task's step has been tried at some point and another task goes first instead, the tried
// task "sleeps": there is no use in running it before somebody has done a step that conflicts with
// the one that was tried. A step's footprint is what it touched when it was carried out. An
// independent step of somebody else cannot change it, so it stays valid for as long as it is kept.
//
// Footprints hold the shared fields. Plain fields are not in them: two steps that touch the same
// plain field hold the lock that guards it, and then they conflict on the lock. A port with a
// missing lock breaks that assumption; preemption bounding does not depend on it.
#include <algorithm>
#include <array>

#include "dcsim/explore/strategies.h"
#include "dcsim/prim/model/arena.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using footprint = std::span<const footprint_entry>;

bool overlap(const footprint_entry &one, const footprint_entry &other)
{
    const auto begin = reinterpret_cast<uintptr_t>(one.address);
    const auto other_begin = reinterpret_cast<uintptr_t>(other.address);

    return begin < other_begin + other.bytes && other_begin < begin + one.bytes;
}

bool conflict(footprint one, footprint other)
{
    for (const footprint_entry &mine : one)
        for (const footprint_entry &theirs : other)
            if ((mine.writes || theirs.writes) && overlap(mine, theirs))
                return true;
    return false;
}

void add_missing(std::vector<footprint_entry> &known, footprint more)
{
    for (const footprint_entry &one : more)
        if (std::find(known.begin(), known.end(), one) == known.end())
            known.push_back(one);
}

/// Room for what a step touches; more is rare.
constexpr size_t usual_footprint = 24;

/// A task and what its next step is known to touch.
struct sleeper {
    task_id task;
    std::vector<footprint_entry> step;
};

/// One schedule point of the execution under way. Nodes are used again for other points: what they
/// hold is overwritten and keeps its memory, so a search soon allocates nothing any more.
struct node {
    task_mask enabled;
    task_mask done; ///< chosen here before
    task_id chosen;
    bool value;
    unsigned count; ///< of possible values
    /// On arrival, and then those that were done here.
    std::array<sleeper, max_tasks> sleeping;
    unsigned sleepers;

    void add_sleeper(task_id task, footprint step)
    {
        sleeper &one = sleeping[sleepers++];
        one.task = task;
        one.step.reserve(usual_footprint);
        one.step.assign(step.begin(), step.end());
    }
    std::span<sleeper> asleep()
    {
        return {sleeping.data(), sleepers};
    }
};

class depth_first final : public search_scheduler
{
  public:
    bool begin_execution() override
    {
        if (started_ && !next_branch()) {
            exhausted_ = true;
            return false;
        }
        started_ = true;
        at_ = 0;
        pending_step_ = false;
        return true;
    }

    task_id choose_task(const choice &choice) override
    {
        finish_step(choice.last_step);
        if (at_ == depth_ && !arrive(choice))
            return no_task;
        last_node_ = at_;
        pending_step_ = true;
        return nodes_[at_++].chosen;
    }

    unsigned choose_value(unsigned count) override
    {
        if (at_ == depth_) {
            node &fresh = new_node();
            fresh.value = true;
            fresh.count = count;
            fresh.chosen = 0;
        }
        return nodes_[at_++].chosen;
    }

    void execution_ended(uint32_t) override
    {
        pending_step_ = false;
    }

    std::string covered() const override
    {
        return exhausted_ ? "every interleaving, up to the order of independent steps" : "";
    }

    bool observes_steps() const override
    {
        return true;
    }

  private:
    node &new_node()
    {
        if (depth_ == nodes_.size())
            nodes_.emplace_back();
        node &fresh = nodes_[depth_++];
        fresh.enabled = 0;
        fresh.done = 0;
        fresh.chosen = no_task;
        fresh.value = false;
        fresh.sleepers = 0;
        return fresh;
    }

    /// The step chosen last has been carried out: remember what it touched.
    void finish_step(footprint step)
    {
        if (!pending_step_)
            return;
        pending_step_ = false;
        node &from = nodes_[last_node_];
        if (!(from.done >> from.chosen & 1)) {
            from.done |= 1u << from.chosen;
            from.add_sleeper(from.chosen, step);
        } else if (at_ > last_node_ + 1) {
            // Another answer to a choice in it: it may have touched something else.
            for (sleeper &known : from.asleep())
                if (known.task == from.chosen)
                    add_missing(known.step, step);
        }
    }

    /// A schedule point that this branch has not seen. False when every enabled task sleeps.
    bool arrive(const choice &choice)
    {
        const bool first = !depth_;
        node &fresh = new_node();

        fresh.enabled = choice.enabled;
        if (!first)
            inherit(nodes_[last_node_], fresh, choice.last_step);
        for (const sleeper &one : fresh.asleep())
            fresh.done |= 1u << one.task;
        const task_mask open = fresh.enabled & ~fresh.done;
        if (!open) {
            depth_--;
            return false;
        }
        fresh.chosen = (choice.current_may_stay && (open >> choice.current & 1))
                           ? choice.current
                           : static_cast<task_id>(__builtin_ctz(open));
        return true;
    }

    /// Who slept at the point before sleeps on, unless the step in between concerns it.
    static void inherit(node &before, node &fresh, footprint last)
    {
        for (const sleeper &one : before.asleep())
            if (one.task != before.chosen && !conflict(one.step, last))
                fresh.add_sleeper(one.task, one.step);
    }

    bool next_branch()
    {
        for (; depth_; depth_--) {
            node &last = nodes_[depth_ - 1];
            if (last.value) {
                if (last.chosen + 1u < last.count) {
                    last.chosen++;
                    return true;
                }
            } else if (task_mask open = last.enabled & ~last.done & ~(1u << last.chosen)) {
                // The step that was tried may never have come to its end: then it does not sleep.
                last.done |= 1u << last.chosen;
                last.chosen = static_cast<task_id>(__builtin_ctz(open));
                return true;
            }
        }
        return false;
    }

    bool started_ = false;
    std::vector<node> nodes_;
    size_t depth_ = 0; ///< nodes in use
    size_t at_ = 0;
    size_t last_node_ = 0;
    bool pending_step_ = false;
};

} // namespace

std::unique_ptr<search_scheduler> make_depth_first()
{
    return std::make_unique<depth_first>();
}

} // namespace dcsim::inline DCSIM_BACKEND
