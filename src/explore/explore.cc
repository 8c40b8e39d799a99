// SPDX-License-Identifier: GPL-2.0-only
//
// From an exploration to a model_program, and back with a report.
#include "dcsim/explore/explore.h"

#include "dcsim/explore/token.h"
#include "dcsim/prim/model/port.h"
#include "dcsim/prim/model/rcu.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

const exploration &exploration_of(void *argument)
{
    return *static_cast<const exploration *>(argument);
}

void visit_leak(void *argument, const allocation &memory)
{
    auto *first = static_cast<const allocation **>(argument);

    if (memory.allocated_by != main_task && !*first)
        *first = &memory;
}

/// The tasks are done and cleaned up after: nothing of theirs may be left.
void check_for_leaks()
{
    const allocation *left = nullptr;

    arena_for_each_live_object(visit_leak, &left);
    if (left)
        violate(violation_kind::leak, "%s, %u bytes, allocated by %s at step %u, was never freed",
                left->pool, left->bytes, task_name(left->allocated_by), left->allocated_at);
}

void run_finally(void *argument)
{
    const exploration &program = exploration_of(argument);

    if (program.finally)
        program.finally();
    rcu_barrier();
    arena_check_quarantine();
    if (program.check_leaks)
        check_for_leaks();
}

model_program make_program(const exploration &program)
{
    const port_static_data state = port_state();
    model_program made;

    made.argument = const_cast<exploration *>(&program);
    for (const exploration_task &task : program.tasks)
        made.task_names.push_back(task.name);
    made.setup = [](void *argument) {
        if (exploration_of(argument).setup)
            exploration_of(argument).setup();
    };
    made.task = [](void *argument, unsigned task) { exploration_of(argument).tasks[task].body(); };
    made.finally = run_finally;
    if (program.invariant)
        made.invariant = [](void *argument) { exploration_of(argument).invariant(); };
    if (program.after_unlock)
        made.after_unlock = [](void *argument, const void *lock, const char *lock_class) {
            exploration_of(argument).after_unlock(lock, lock_class);
        };
    if (program.warning_expected)
        made.warning_expected = [](void *argument, const char *text) {
            return exploration_of(argument).warning_expected(text);
        };
    made.state = state.begin;
    made.state_bytes = state.bytes;
    made.faults = program.failing_allocations;
    made.reschedules = program.reschedules;
    made.starvation = program.starvation;
    return made;
}

uint32_t program_hash(const exploration &program)
{
    uint64_t hash = port_source_hash();

    for (const char character : program.name)
        hash = (hash ^ static_cast<unsigned char>(character)) * 0x100000001b3;
    return static_cast<uint32_t>(hash ^ hash >> 32);
}

bool matches(const exploration &program, const search_result &search)
{
    if (program.expected)
        return search.outcome == verdict::violated && search.broken.kind == *program.expected;
    return search.outcome != verdict::violated;
}

} // namespace

exploration_report explore(const exploration &program)
{
    const model_program made = make_program(program);
    exploration_report report;

    report.search = search_program(made, program.options);
    report.as_expected = matches(program, report.search);
    report.expectation =
        program.expected ? violation_name(*program.expected) : "that no rule is broken";
    if (report.search.outcome == verdict::violated && !report.search.in_setup) {
        replay_result followed;

        report.token = format_token({program_hash(program), report.search.schedule},
                                    static_cast<unsigned>(program.tasks.size()));
        const trace shown = record_trace(made, report.search.schedule, program.options.carrier,
                                         program.options.limits, nullptr, &followed);
        if (shown.violated)
            report.search.broken = shown.broken;
        report.lanes = format_lanes(shown, {});
    }
    return report;
}

replay_report replay(const exploration &program, const std::string &text)
{
    schedule_token token;
    replay_report report;

    report.problem = parse_token(text, static_cast<unsigned>(program.tasks.size()), &token);
    if (report.problem.empty() && token.hash != program_hash(program))
        report.problem = "it was made for another program, or for another build of the port";
    if (report.problem.empty())
        report.trace = record_trace(make_program(program), token.schedule, program.options.carrier,
                                    program.options.limits, nullptr, &report.replay);
    return report;
}

} // namespace dcsim::inline DCSIM_BACKEND
