// SPDX-License-Identifier: GPL-2.0-only
//
// Delta debugging over the changes of task (Zeller and Hildebrandt 2002): take out pieces of the
// schedule, let what is left run as far as it goes, and keep the result when the same kind of
// violation comes out with fewer preemptions, or with as many and fewer changes of task.
#include <algorithm>

#include "dcsim/explore/search.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// A bound on the work for one failing schedule; uniform sampling leaves hundreds of segments.
constexpr uint64_t most_executions = 20000;
constexpr uint64_t most_bounded_executions = 20000;

class shrinker
{
  public:
    shrinker(const schedule_record &schedule, violation_kind kind, const run_limits &limits)
        : best_(schedule), kind_(kind), limits_(limits)
    {
        best_preemptions_ = count_preemptions(schedule, limits);
        executions_ = 1;
    }

    void run()
    {
        drop_values();
        bool improved = true;
        while (improved && executions_ < most_executions) {
            improved = drop_pieces();
            improved |= postpone_switches();
        }
        search_for_fewer();
    }

    /// No schedule with fewer preemptions gives this kind of violation.
    bool fewest() const
    {
        return fewest_;
    }

    const schedule_record &best() const
    {
        return best_;
    }
    uint64_t executions() const
    {
        return executions_;
    }

  private:
    /// Whether the candidate still fails, and more simply.
    bool accept(const schedule_record &candidate)
    {
        if (executions_ >= most_executions)
            return false;
        executions_++;
        const replay_result outcome = replay_schedule(candidate, false, limits_, nullptr);
        if (outcome.end != execution_end::violated || outcome.broken.kind != kind_)
            return false;
        const bool better = outcome.preemptions < best_preemptions_ ||
                            (outcome.preemptions == best_preemptions_ &&
                             outcome.schedule.segments.size() < best_.segments.size()) ||
                            faults(outcome.schedule) < faults(best_);
        if (!better || outcome.preemptions > best_preemptions_)
            return false;
        best_ = outcome.schedule;
        best_preemptions_ = outcome.preemptions;
        return true;
    }

    static size_t faults(const schedule_record &schedule)
    {
        return schedule.values.size() -
               static_cast<size_t>(std::count(schedule.values.begin(), schedule.values.end(), 0));
    }

    void drop_values()
    {
        for (size_t i = 0; i < best_.values.size(); i++)
            if (best_.values[i]) {
                schedule_record candidate = best_;
                candidate.values[i] = 0;
                accept(candidate);
            }
    }

    bool drop_pieces()
    {
        bool improved = false;

        for (size_t piece = std::max<size_t>(best_.segments.size() / 2, 1); piece; piece /= 2)
            for (size_t begin = 0; begin < best_.segments.size();) {
                if (accept(without(begin, piece)))
                    improved = true;
                else
                    begin += piece;
            }
        return improved;
    }

    schedule_record without(size_t begin, size_t count) const
    {
        schedule_record shorter = best_;
        const auto from = shorter.segments.begin() + static_cast<ptrdiff_t>(begin);
        const auto left = static_cast<size_t>(shorter.segments.end() - from);

        shorter.segments.erase(from, from + static_cast<ptrdiff_t>(std::min(count, left)));
        return shorter;
    }

    /// Lets each segment run on until its task has to wait: when that still fails, the change of
    /// task is no preemption any more.
    bool postpone_switches()
    {
        bool improved = false;

        for (size_t i = 0; i < best_.segments.size(); i++) {
            schedule_record candidate = best_;
            candidate.segments[i].steps = limits_.steps;
            improved |= accept(candidate);
        }
        return improved;
    }

    /// What taking pieces out cannot find: another way with fewer preemptions. The bounded search
    /// finds it, or proves that there is none, when that does not take too long.
    void search_for_fewer()
    {
        fewest_ = best_preemptions_ == 0;
        if (fewest_)
            return;
        const auto scheduler = make_preemption_bounding(best_preemptions_ - 1);
        for (uint64_t i = 0; i < most_bounded_executions; i++) {
            if (!scheduler->begin_execution()) {
                fewest_ = true;
                return;
            }
            executions_++;
            if (engine_run(*scheduler, limits_, nullptr) != execution_end::violated ||
                last_violation().kind != kind_)
                continue;
            best_ = last_schedule();
            best_preemptions_ = count_preemptions(best_, limits_);
            fewest_ = true;
            return;
        }
    }

    schedule_record best_;
    violation_kind kind_;
    run_limits limits_;
    unsigned best_preemptions_ = 0;
    uint64_t executions_ = 0;
    bool fewest_ = false;
};

} // namespace

uint64_t shrink_schedule(schedule_record *schedule, violation_kind kind, const run_limits &limits,
                         bool *fewest)
{
    shrinker shrinker(*schedule, kind, limits);

    shrinker.run();
    *schedule = shrinker.best();
    if (fewest)
        *fewest = shrinker.fewest();
    return shrinker.executions();
}

} // namespace dcsim::inline DCSIM_BACKEND
