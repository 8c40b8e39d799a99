// SPDX-License-Identifier: GPL-2.0-only
//
// Following a schedule that was recorded, exactly or as far as it goes.
#include "dcsim/explore/search.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

class replay_scheduler final : public scheduler
{
  public:
    replay_scheduler(const schedule_record &schedule, bool strict)
        : schedule_(schedule), strict_(strict)
    {
    }

    bool begin_execution() override
    {
        return true;
    }

    task_id choose_task(const choice &choice) override
    {
        const task_id next = wanted(choice);

        if (next == no_task) {
            diverged_ = true;
            diverged_at_ = choice.step;
            return no_task;
        }
        if (choice.current_may_stay && next != choice.current)
            preemptions_++;
        return next;
    }

    unsigned choose_value(unsigned count) override
    {
        const unsigned value = values_ < schedule_.values.size() ? schedule_.values[values_] : 0;

        values_++;
        return value < count ? value : 0;
    }

    // Its steps are counted, so every one must be seen.
    bool observes_steps() const override
    {
        return true;
    }

    bool diverged() const
    {
        return diverged_;
    }
    uint32_t diverged_at() const
    {
        return diverged_at_;
    }
    unsigned preemptions() const
    {
        return preemptions_;
    }

  private:
    /// The task the schedule names; where it cannot run, that is the end of a strict replay, and
    /// otherwise the end of its segment. Behind the end of the schedule: whoever may stay.
    task_id wanted(const choice &choice)
    {
        while (segment_ < schedule_.segments.size()) {
            const schedule_segment &here = schedule_.segments[segment_];

            if (taken_ < here.steps && (choice.enabled >> here.task & 1)) {
                taken_++;
                return here.task;
            }
            if (taken_ < here.steps && strict_)
                return no_task;
            segment_++;
            taken_ = 0;
        }
        if (choice.current_may_stay)
            return choice.current;
        const task_mask ours = choice.enabled & ~choice.daemons;
        return static_cast<task_id>(__builtin_ctz(ours ? ours : choice.enabled));
    }

    const schedule_record &schedule_;
    bool strict_;
    size_t segment_ = 0;
    uint32_t taken_ = 0;
    size_t values_ = 0;
    bool diverged_ = false;
    uint32_t diverged_at_ = 0;
    unsigned preemptions_ = 0;
};

} // namespace

namespace
{

/// The answers up to the last that is not 0: more zeros mean the same.
std::vector<uint8_t> without_zeros(std::vector<uint8_t> values)
{
    while (!values.empty() && !values.back())
        values.pop_back();
    return values;
}

} // namespace

replay_result replay_schedule(const schedule_record &schedule, bool strict,
                              const run_limits &limits, step_observer *observer)
{
    const schedule_record wanted = schedule;
    replay_scheduler scheduler(wanted, strict);
    replay_result result;

    result.end = engine_run(scheduler, limits, observer);
    result.diverged = scheduler.diverged();
    result.diverged_at = scheduler.diverged_at();
    result.preemptions = scheduler.preemptions();
    result.steps = execution().step;
    result.schedule = last_schedule();
    if (result.end == execution_end::violated)
        result.broken = last_violation();
    // It ended sooner than the schedule, went on after it, or asked for fewer values.
    if (strict && !result.diverged &&
        (result.schedule.segments != wanted.segments ||
         without_zeros(result.schedule.values) != without_zeros(wanted.values))) {
        result.diverged = true;
        result.diverged_at = result.steps;
    }
    return result;
}

unsigned count_preemptions(const schedule_record &schedule, const run_limits &limits)
{
    return replay_schedule(schedule, true, limits, nullptr).preemptions;
}

} // namespace dcsim::inline DCSIM_BACKEND
