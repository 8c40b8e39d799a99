// SPDX-License-Identifier: GPL-2.0-only
//
// Iterative preemption bounding: all executions without a preemption, then all with at most one,
// and so on. Depth first by re-execution: the choices of the last execution are kept, the last of
// them that has an untried alternative is changed, and everything after it starts afresh.
#include "dcsim/explore/strategies.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// One choice of the execution under way.
struct decision {
    task_mask untried; ///< answers that are still to be tried here
    uint8_t chosen;    ///< task, or value
    uint8_t before;    ///< preemptions before this choice
    bool preemptible;  ///< any other answer than the first would be a preemption
    bool value;
};

class preemption_bounding final : public search_scheduler
{
  public:
    explicit preemption_bounding(unsigned largest_bound) : largest_bound_(largest_bound) {}

    bool begin_execution() override
    {
        if (started_ && !next_branch()) {
            completed_ = static_cast<int>(bound_);
            if (bound_ == largest_bound_ || !bound_was_reached_) {
                exhausted_ = true;
                everything_ = !bound_was_reached_;
                return false;
            }
            bound_++;
            bound_was_reached_ = false;
            decisions_.clear();
        }
        started_ = true;
        at_ = 0;
        preemptions_ = 0;
        return true;
    }

    task_id choose_task(const choice &choice) override
    {
        if (at_ == decisions_.size())
            decisions_.push_back(new_decision(choice));
        const decision &here = decisions_[at_++];
        if (choice.current_may_stay && here.chosen != choice.current)
            preemptions_++;
        // No more preemptions to spend: there is no choice until the task has to wait.
        stay_until = preemptions_ >= bound_ ? UINT32_MAX : 0;
        bound_was_reached_ |= preemptions_ >= bound_;
        return here.chosen;
    }

    unsigned choose_value(unsigned count) override
    {
        if (at_ == decisions_.size())
            decisions_.push_back({((1u << count) - 1) & ~1u, 0, preemptions_, false, true});
        return decisions_[at_++].chosen;
    }

    std::string covered() const override
    {
        if (everything_)
            return "every interleaving";
        if (completed_ < 0)
            return "";
        return "every interleaving with up to " + std::to_string(completed_) +
               (completed_ == 1 ? " preemption" : " preemptions");
    }

    int bound() const override
    {
        return static_cast<int>(bound_);
    }

  private:
    decision new_decision(const choice &choice)
    {
        // Staying first; else the first of the program's tasks, and RCU's last.
        const task_mask ours = choice.enabled & ~choice.daemons;
        const auto first = static_cast<uint8_t>(
            choice.current_may_stay ? choice.current : __builtin_ctz(ours ? ours : choice.enabled));
        task_mask others = choice.enabled & ~(1u << first);

        if (choice.current_may_stay && preemptions_ >= bound_) {
            bound_was_reached_ |= others != 0;
            others = 0;
        }
        return {others, first, preemptions_, choice.current_may_stay, false};
    }

    bool next_branch()
    {
        while (!decisions_.empty() && !decisions_.back().untried)
            decisions_.pop_back();
        if (decisions_.empty())
            return false;
        decision &last = decisions_.back();
        last.chosen = static_cast<uint8_t>(__builtin_ctz(last.untried));
        last.untried &= last.untried - 1;
        return true;
    }

    unsigned largest_bound_;
    unsigned bound_ = 0;
    int completed_ = -1;
    bool everything_ = false;
    bool bound_was_reached_ = false; ///< with a larger bound there would be more to try
    bool started_ = false;
    std::vector<decision> decisions_;
    size_t at_ = 0;
    uint8_t preemptions_ = 0;
};

} // namespace

std::unique_ptr<search_scheduler> make_preemption_bounding(unsigned largest_bound)
{
    return std::make_unique<preemption_bounding>(largest_bound);
}

} // namespace dcsim::inline DCSIM_BACKEND
