// SPDX-License-Identifier: GPL-2.0-only
//
// Strategies that sample: round robin, uniform, PCT.
#include <algorithm>
#include <array>

#include "dcsim/explore/strategies.h"
#include "dcsim/prim/model/arena.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// Set bits of a mask, few. Processors count them in one instruction, but not all of this kind.
uint32_t count_of(task_mask mask)
{
    uint32_t count = 0;

    for (; mask; mask &= mask - 1)
        count++;
    return count;
}

/// The n-th set bit of a mask, from 0.
task_id nth_task(task_mask mask, uint32_t n)
{
    while (n--)
        mask &= mask - 1;
    return static_cast<task_id>(__builtin_ctz(mask));
}

class round_robin final : public search_scheduler
{
  public:
    explicit round_robin(uint64_t executions) : left_(executions) {}

    bool begin_execution() override
    {
        exhausted_ = !left_;
        if (!left_)
            return false;
        left_--;
        turn_++;
        taken_ = 0;
        return true;
    }

    task_id choose_task(const choice &choice) override
    {
        if (choice.current_may_stay && ++taken_ < turn_)
            return choice.current;
        taken_ = 0;
        const task_mask later = choice.current < 31
                                    ? choice.enabled >> (choice.current + 1) << (choice.current + 1)
                                    : 0;
        return static_cast<task_id>(__builtin_ctz(later ? later : choice.enabled));
    }

    unsigned choose_value(unsigned) override
    {
        return 0;
    }

  private:
    uint64_t left_;
    uint32_t turn_ = 0;
    uint32_t taken_ = 0;
};

/// Between two tasks a coin is thrown at every step. It is thrown in advance, until it says to
/// change over, so that the steps before need no question. Throws are independent: when somebody
/// else comes to life before that, the rest of them is forgotten and nothing was preferred.
class uniform final : public search_scheduler
{
  public:
    explicit uniform(uint64_t seed) : random_(seed) {}

    bool begin_execution() override
    {
        thrown_for_ = no_task;
        return true;
    }

    task_id choose_task(const choice &choice) override
    {
        const task_mask two = choice.enabled & (choice.enabled - 1);
        const bool pair = two && !(two & (two - 1));
        task_id next;

        if (pair && choice.current == thrown_for_ && choice.enabled == pair_ &&
            choice.current_may_stay && choice.step <= stay_until) {
            if (choice.step < stay_until)
                return choice.current;
            next = static_cast<task_id>(__builtin_ctz(pair_ & ~(1u << choice.current)));
        } else {
            next = nth_task(choice.enabled, random_.below(count_of(choice.enabled)));
        }
        thrown_for_ = pair ? next : no_task;
        pair_ = choice.enabled;
        stay_until = pair ? choice.step + 1 + throws_before_change() : 0;
        stay_unless = ~pair_;
        return next;
    }

    // A fault at every eighth place that could have one: most executions are to get past the first.
    unsigned choose_value(unsigned count) override
    {
        return random_.below(8) ? 0 : random_.below(count);
    }

  private:
    /// How often a coin says to stay before it says to change over.
    uint32_t throws_before_change()
    {
        return static_cast<uint32_t>(__builtin_clzll(random_.next() | 1));
    }

    xorshift random_;
    task_id thrown_for_ = no_task; ///< it stays until step `stay_until`, and then not
    task_mask pair_ = 0;           ///< while these two can run
};

class pct final : public search_scheduler
{
  public:
    pct(uint64_t seed, unsigned depth) : random_(seed), fixed_depth_(depth) {}

    bool begin_execution() override
    {
        // Distinct random priorities; lower ones are left free for the changes.
        for (unsigned i = 0; i < max_tasks; i++)
            priority_[i] = highest_depth + i;
        for (unsigned i = max_tasks - 1; i > 0; i--)
            std::swap(priority_[i], priority_[random_.below(i + 1)]);
        depth_ = fixed_depth_ ? fixed_depth_ : 1 + random_.below(4);
        for (unsigned i = 0; i + 1 < depth_; i++)
            change_at_[i] = 1 + random_.below(longest_);
        std::sort(change_at_.begin(), change_at_.begin() + depth_ - 1);
        changes_ = 0;
        lowest_ = highest_depth;
        return true;
    }

    task_id choose_task(const choice &choice) override
    {
        while (changes_ + 1 < depth_ && choice.step >= change_at_[changes_]) {
            changes_++;
            if (choice.current < max_tasks)
                priority_[choice.current] = --lowest_;
        }
        // Who gives way or waits has had its turn.
        if (!choice.current_may_stay && choice.current < max_tasks && lowest_ > 1 &&
            (choice.enabled >> choice.current & 1))
            priority_[choice.current] = --lowest_;
        task_id best = no_task;
        for (task_mask left = choice.enabled; left; left &= left - 1) {
            const auto task = static_cast<task_id>(__builtin_ctz(left));
            if (best == no_task || priority_[task] > priority_[best])
                best = task;
        }
        stay_until = next_change();
        stay_unless = above(best, 2 * choice.daemons - 1);
        return best;
    }

    unsigned choose_value(unsigned count) override
    {
        return random_.below(8) ? 0 : random_.below(count);
    }

    void execution_ended(uint32_t steps) override
    {
        longest_ = std::max(longest_, steps);
    }

  private:
    static constexpr unsigned highest_depth = 1000;

    /// Those of the tasks that would take its turn away if they could run.
    task_mask above(task_id best, task_mask tasks) const
    {
        task_mask mask = 0;

        for (task_mask left = tasks; left; left &= left - 1)
            if (priority_[static_cast<unsigned>(__builtin_ctz(left))] > priority_[best])
                mask |= left & -left;
        return mask;
    }

    uint32_t next_change() const
    {
        return changes_ + 1 < depth_ ? change_at_[changes_] : UINT32_MAX;
    }

    xorshift random_;
    unsigned fixed_depth_;
    unsigned depth_ = 1;
    uint32_t longest_ = 20;
    unsigned changes_ = 0;
    unsigned lowest_ = highest_depth;
    std::array<uint32_t, 8> change_at_ = {};
    std::array<unsigned, max_tasks> priority_ = {};
};

constexpr const char *names[] = {"round-robin", "uniform", "pct", "bounded", "dfs"};

} // namespace

const char *strategy_name(strategy which)
{
    return names[static_cast<unsigned>(which)];
}

bool strategy_by_name(std::string_view name, strategy *which)
{
    for (unsigned i = 0; i < std::size(names); i++)
        if (name == names[i]) {
            *which = static_cast<strategy>(i);
            return true;
        }
    return false;
}

std::unique_ptr<search_scheduler> make_round_robin(uint64_t executions)
{
    return std::make_unique<round_robin>(executions);
}

std::unique_ptr<search_scheduler> make_uniform(uint64_t seed)
{
    return std::make_unique<uniform>(seed);
}

std::unique_ptr<search_scheduler> make_pct(uint64_t seed, unsigned depth)
{
    return std::make_unique<pct>(seed, depth);
}

} // namespace dcsim::inline DCSIM_BACKEND
