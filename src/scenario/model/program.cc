// SPDX-License-Identifier: GPL-2.0-only
//
// From a scenario to a model_program.
#include "dcsim/scenario/program.h"

#include <cstdio>
#include <cstring>
#include <string_view>

#include "dcsim/prim/model/port.h"
#include "dcsim/testing/dcache_checker.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

class world_program final : public scenario_program
{
  public:
    explicit world_program(const scenario::scenario &scenario);

    const model_program &program() const override
    {
        return program_;
    }
    uint64_t times_reached(size_t n) const override
    {
        return world_.times_reached(n);
    }
    const std::string &final_state() const override
    {
        return world_.final_state();
    }
    void record_final_states(bool wanted) override
    {
        world_.record_final_states(wanted);
    }
    std::string scenario_step(task_id task) const override
    {
        const scenario::step *step = world_.current_step(task);
        return step ? step->text : "";
    }
    uint64_t port_hash() const override
    {
        return port_source_hash();
    }

  private:
    void set_hooks();

    const scenario::scenario &scenario_;
    scenario_world world_;
    model_program program_;
};

world_program &program_of(void *argument)
{
    // The base class first: scenario_step_of() is handed the same pointer.
    return *static_cast<world_program *>(static_cast<scenario_program *>(argument));
}

void check_at_rest(void *)
{
    broken_invariant broken;

    arena_check_quarantine();
    if (!check_dcache(&broken))
        violate(violation_kind::invariant, "invariant %d: %s\n%s", broken.number, broken.rule,
                broken.detail);
}

void report_broken(void *, const char *text)
{
    constexpr std::string_view not_linearizable = "not linearizable: ";
    const std::string_view said = text;

    if (said.starts_with(not_linearizable))
        violate(violation_kind::not_linearizable, "%s", text + not_linearizable.size());
    violate(said.starts_with("left at the end") ? violation_kind::leak
                                                : violation_kind::expectation,
            "%s", text);
}

world_reports reports_to_search()
{
    world_reports reports;

    reports.broken = report_broken;
    reports.at_rest = check_at_rest;
    reports.blocked = [] { return static_cast<int64_t>(current_task().blocked); };
    reports.failed_allocations = [] { return static_cast<int64_t>(execution().faults_injected); };
    return reports;
}

world_program::world_program(const scenario::scenario &scenario)
    : scenario_(scenario), world_(scenario, reports_to_search())
{
    const port_static_data state = port_state();

    for (const scenario::task &task : scenario.tasks)
        program_.task_names.push_back(task.name);
    program_.argument = static_cast<scenario_program *>(this);
    program_.state = state.begin;
    program_.state_bytes = state.bytes;
    program_.faults = scenario.failing_allocations;
    program_.starvation = scenario.starvation;
    set_hooks();
}

void world_program::set_hooks()
{
    program_.setup = [](void *argument) { program_of(argument).world_.set_up(); };
    program_.task = [](void *argument, unsigned task) {
        program_of(argument).world_.run_task(task);
    };
    program_.finally = [](void *argument) { program_of(argument).world_.finish(); };
    program_.after_unlock = [](void *, const void *lock, const char *lock_class) {
        check_after_unlock(lock, lock_class);
    };
    program_.warning_expected = [](void *argument, const char *text) {
        for (const std::string &expected : program_of(argument).scenario_.allowed_warnings)
            if (strstr(text, expected.c_str()))
                return true;
        return false;
    };
    program_.describe = [](void *argument, const void *address, char *text, size_t bytes) {
        const scenario_world &world = program_of(argument).world_;

        if (!world.is_waiting_place(address))
            return describe_port_address(world.mounted(), address, text, bytes);
        snprintf(text, bytes, "what its await() or reply() looks at");
        return true;
    };
    program_.describe_value = [](void *argument, const void *address, char *text, size_t bytes) {
        return describe_port_value(program_of(argument).world_.mounted(), address, text, bytes);
    };
    program_.describe_sleep = [](void *argument, const task_control &task, char *text,
                                 size_t bytes) {
        return describe_port_sleep(program_of(argument).world_.mounted(), task, text, bytes);
    };
}

} // namespace

std::unique_ptr<scenario_program> make_scenario_program(const scenario::scenario &scenario)
{
    return std::make_unique<world_program>(scenario);
}

} // namespace dcsim::inline DCSIM_BACKEND
