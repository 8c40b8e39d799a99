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

#include "dcsim/explore/strategies.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using footprint = std::vector<footprint_entry>;

bool overlap(const footprint_entry &one, const footprint_entry &other)
{
    const auto begin = reinterpret_cast<uintptr_t>(one.address);
    const auto other_begin = reinterpret_cast<uintptr_t>(other.address);

    return begin < other_begin + other.bytes && other_begin < begin + one.bytes;
}

bool conflict(const footprint &one, const footprint &other)
{
    for (const footprint_entry &mine : one)
        for (const footprint_entry &theirs : other)
            if ((mine.writes || theirs.writes) && overlap(mine, theirs))
                return true;
    return false;
}

void add_missing(footprint &known, const footprint &more)
{
    for (const footprint_entry &one : more)
        if (std::find(known.begin(), known.end(), one) == known.end())
            known.push_back(one);
}

/// A task and what its next step is known to touch.
struct sleeper {
    task_id task;
    footprint step;
};

/// One schedule point of the execution under way.
struct node {
    task_mask enabled = 0;
    task_mask done = 0; ///< chosen here before
    task_id chosen = no_task;
    bool value = false;
    unsigned count = 0;            ///< of possible values
    std::vector<sleeper> sleeping; ///< on arrival, and then those that were done here
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
        const footprint last(choice.last_step.begin(), choice.last_step.end());

        finish_step(last);
        if (at_ == nodes_.size() && !arrive(choice, last))
            return no_task;
        last_node_ = at_;
        pending_step_ = true;
        return nodes_[at_++].chosen;
    }

    unsigned choose_value(unsigned count) override
    {
        if (at_ == nodes_.size()) {
            nodes_.emplace_back();
            nodes_.back().value = true;
            nodes_.back().count = count;
            nodes_.back().chosen = 0;
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
    static task_mask asleep(const node &here)
    {
        task_mask mask = 0;
        for (const sleeper &one : here.sleeping)
            mask |= 1u << one.task;
        return mask;
    }

    /// The step chosen last has been carried out: remember what it touched.
    void finish_step(const footprint &step)
    {
        if (!pending_step_)
            return;
        pending_step_ = false;
        node &from = nodes_[last_node_];
        if (!(from.done >> from.chosen & 1)) {
            from.done |= 1u << from.chosen;
            from.sleeping.push_back({from.chosen, step});
        } else if (at_ > last_node_ + 1) {
            // Another answer to a choice in it: it may have touched something else.
            for (sleeper &known : from.sleeping)
                if (known.task == from.chosen)
                    add_missing(known.step, step);
        }
    }

    /// A schedule point that this branch has not seen. False when every enabled task sleeps.
    bool arrive(const choice &choice, const footprint &last)
    {
        node fresh;

        fresh.enabled = choice.enabled;
        if (!nodes_.empty())
            inherit(fresh, last);
        const task_mask open = fresh.enabled & ~asleep(fresh);
        if (!open)
            return false;
        fresh.done = asleep(fresh);
        fresh.chosen = (choice.current_may_stay && (open >> choice.current & 1))
                           ? choice.current
                           : static_cast<task_id>(__builtin_ctz(open));
        nodes_.push_back(std::move(fresh));
        return true;
    }

    /// Who slept at the point before sleeps on, unless the step in between concerns it.
    void inherit(node &fresh, const footprint &last)
    {
        const node &before = nodes_[last_node_];

        for (const sleeper &one : before.sleeping)
            if (one.task != before.chosen && !conflict(one.step, last))
                fresh.sleeping.push_back(one);
    }

    bool next_branch()
    {
        while (!nodes_.empty()) {
            node &last = nodes_.back();
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
            nodes_.pop_back();
        }
        return false;
    }

    bool started_ = false;
    std::vector<node> nodes_;
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
