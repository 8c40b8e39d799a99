// SPDX-License-Identifier: GPL-2.0-only
//
// Who waits for whom, once nobody can go on.
#include <cstdarg>
#include <cstdio>

#include "internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

bool stuck(const task_control &task)
{
    return !task.finished && (execution().guarded >> task.id & 1);
}

bool waits_for_lock(const task_control &task)
{
    return task.pending == operation::lock || task.pending == operation::lock_shared;
}

/// A task that holds the lock this one waits for; nullptr when it waits for something else.
const task_control *holder_of(const task_control &waiter)
{
    const execution_state &x = execution();

    if (!waits_for_lock(waiter))
        return nullptr;
    for (unsigned i = 0; i <= x.tasks; i++)
        for (uint32_t k = 0; k < x.task[i].held_locks; k++)
            if (x.task[i].held[k].lock == waiter.pending_address)
                return &x.task[i];
    return nullptr;
}

struct text_writer {
    char *at;
    size_t left;

    __attribute__((format(printf, 2, 3))) void add(const char *format, ...)
    {
        va_list arguments;
        va_start(arguments, format);
        const int written = vsnprintf(at, left, format, arguments);
        va_end(arguments);
        const size_t used = written < 0 ? 0 : static_cast<size_t>(written);
        const size_t taken = used < left ? used : left - 1;
        at += taken;
        left -= taken;
    }
};

void describe_sleep(text_writer &text, const task_control &task)
{
    const model_program &program = loaded_program();
    char why[300];

    text.add("%s sleeps until somebody wakes it", task.name);
    if (program.describe_sleep && program.describe_sleep(program.argument, task, why, sizeof(why)))
        text.add(": %s", why);
    text.add("\n");
}

void describe_wait(text_writer &text, const task_control &task)
{
    const task_control *holder = holder_of(task);

    switch (task.pending) {
    case operation::sleep:
        describe_sleep(text, task);
        return;
    case operation::synchronize:
    case operation::barrier:
        text.add("%s waits for RCU: %s\n", task.name, operation_name(task.pending));
        return;
    case operation::wait:
        text.add("%s waits for %s to change\n", task.name, address_text(task.pending_address));
        return;
    default:
        text.add("%s waits for the lock %s, held by %s\n", task.name,
                 address_text(task.pending_address),
                 holder ? holder->name : "nobody who still runs");
    }
}

/// The tasks of a cycle of lock waits that this task is part of, or 0.
task_mask cycle_through(const task_control &start)
{
    task_mask seen = 0;

    for (const task_control *at = &start; at; at = holder_of(*at)) {
        if (seen >> at->id & 1)
            return at == &start ? seen : 0;
        seen |= 1u << at->id;
    }
    return 0;
}

} // namespace

void describe_deadlock(char *buffer, size_t bytes)
{
    const execution_state &x = execution();
    text_writer text = {buffer, bytes};

    *buffer = 0;
    for (unsigned i = 0; i <= x.tasks; i++)
        if (stuck(x.task[i]))
            if (task_mask cycle = cycle_through(x.task[i])) {
                text.add("a cycle: ");
                const task_control *at = &x.task[i];
                do {
                    text.add("%s waits for %s, ", at->name, holder_of(*at)->name);
                    at = holder_of(*at);
                } while (at != &x.task[i]);
                text.add("round and round\n");
                (void)cycle;
                break;
            }
    for (unsigned i = 0; i <= x.tasks; i++)
        if (stuck(x.task[i]))
            describe_wait(text, x.task[i]);
}

task_control *deadlock_sleeper(task_mask tested)
{
    execution_state &x = execution();

    for (unsigned i = 0; i < x.tasks; i++)
        if (!(tested >> i & 1) && stuck(x.task[i]) && x.task[i].pending == operation::sleep)
            return &x.task[i];
    return nullptr;
}

} // namespace dcsim::inline DCSIM_BACKEND
