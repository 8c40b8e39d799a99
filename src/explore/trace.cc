// SPDX-License-Identifier: GPL-2.0-only
//
// Recording a trace.
#include "dcsim/explore/trace.h"

#include <cstdio>
#include <cstring>

#include "symbols.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

class recorder final : public step_observer
{
  public:
    recorder(const model_program &program, trace &trace,
             std::string (*scenario_step)(void *argument, task_id task))
        : program_(program), trace_(trace), scenario_step_(scenario_step)
    {
    }

    void step(const task_control &task, uint32_t number) override
    {
        trace_step step;

        step.number = number;
        step.task = task.id;
        step.kind = task.pending;
        step.address = task.pending_address;
        step.writes = task.pending_writes;
        step.waited = waiting_ >> task.id & 1;
        step.preempted = !trace_.steps.empty() && trace_.steps.back().task != task.id &&
                         could_go_on(trace_.steps.back().task);
        if (task.pending_address && !of_rcu_itself(task.pending)) {
            step.object = name_of(task.pending_address);
            step.before = value_at(task.pending_address);
        }
        // What called a task's first function is the carrier's business.
        if (task.pending != operation::start)
            step.calls = current_calls();
        if (scenario_step_ && task.id + 1u < trace_.task_names.size())
            step.scenario_step = scenario_step_(program_.argument, task.id);
        waiting_ &= ~(1u << task.id);
        trace_.steps.push_back(std::move(step));
    }

    void blocked(const task_control &task) override
    {
        waiting_ |= 1u << task.id;
    }

    void settled(const task_control &) override
    {
        trace_step &last = trace_.steps.back();
        if (last.address)
            last.after = value_at(last.address);
    }

    void breaking(const task_control &) override
    {
        breaking_ = current_calls();
    }

    const std::vector<code_place> &calls_of_violation() const
    {
        return breaking_;
    }

  private:
    bool could_go_on(task_id task) const
    {
        const execution_state &x = execution();
        const task_control &last = x.task[task];

        if (last.finished || last.pending == operation::relax)
            return false;
        return (x.runnable >> task & 1) || ((x.guarded >> task & 1) && last.guard(last));
    }

    /// The address stands for all of RCU.
    static bool of_rcu_itself(operation kind)
    {
        return kind == operation::grace_period || kind == operation::synchronize ||
               kind == operation::barrier;
    }

    std::string name_of(const void *address) const
    {
        if (in_arena(address))
            return describe_address(address);
        std::string name = describe_address(address);
        if (name.starts_with("0x"))
            if (std::string variable = variable_at(address); !variable.empty())
                return variable;
        return name;
    }

    std::string value_at(const void *address) const
    {
        char text[160];

        if (in_arena(address) && *shadow_of(address))
            return "";
        if (program_.describe_value &&
            program_.describe_value(program_.argument, address, text, sizeof(text)))
            return text;
        return "";
    }

    const model_program &program_;
    trace &trace_;
    std::string (*scenario_step_)(void *argument, task_id task);
    task_mask waiting_ = 0;
    std::vector<code_place> breaking_;
};

} // namespace

namespace
{

const code_place &innermost_of_port(const std::vector<code_place> &calls)
{
    static const code_place nowhere;

    for (const code_place &call : calls)
        if (call.port)
            return call;
    return calls.empty() ? nowhere : calls.front();
}

} // namespace

const code_place &trace_step::place() const
{
    return innermost_of_port(calls);
}

namespace
{

std::string text_of(const code_place &place)
{
    return place.function + "(), " + place.file + ":" + std::to_string(place.line);
}

/// Adds to a report about freed memory in which functions it was freed and used: who reads the
/// report has a step's number, but the step may not be among those that are shown.
void say_where(trace &trace, const code_place &used_at)
{
    const size_t used = strlen(trace.broken.text);
    std::string places;

    for (const trace_step &step : trace.steps)
        if (step.number == trace.broken.freed_at && !step.place().function.empty())
            places = "freed in " + text_of(step.place());
    if (places.empty())
        return;
    if (!used_at.function.empty())
        places += "; used in " + text_of(used_at);
    snprintf(trace.broken.text + used, sizeof(trace.broken.text) - used, "\n%s", places.c_str());
}

} // namespace

trace record_trace(const model_program &program, const schedule_record &schedule,
                   carrier_kind carrier, const run_limits &limits,
                   std::string (*scenario_step)(void *argument, task_id task),
                   replay_result *replay)
{
    trace trace;
    recorder recorder(program, trace, scenario_step);

    trace.task_names = program.task_names;
    trace.task_names.push_back("rcu");
    if (!engine_load(program, carrier)) {
        trace.violated = true;
        trace.broken = last_violation();
        replay->end = execution_end::violated;
        replay->broken = trace.broken;
    } else {
        *replay = replay_schedule(schedule, true, limits, &recorder);
        trace.violated = replay->end == execution_end::violated;
        trace.broken = replay->broken;
        if (trace.violated && trace.broken.freed_at)
            say_where(trace, innermost_of_port(recorder.calls_of_violation()));
        replay->broken = trace.broken;
    }
    engine_unload();
    return trace;
}

} // namespace dcsim::inline DCSIM_BACKEND
