// SPDX-License-Identifier: GPL-2.0-only
//
// Modelled RCU: who is inside, and what waits for whom to leave.
#include "dcsim/prim/model/rcu.h"

#include "internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// Queued callbacks, in order; a ring over the counters rcu_queued and rcu_done. Outside the arena:
/// what the port sees of it is only that its callbacks run.
rcu_callback callbacks[max_rcu_callbacks];

/// Stands for all of RCU in footprints: entering and leaving commute with each other, and with
/// nothing that queues or ends a grace period.
const char rcu_address = 0;

rcu_callback &callback_number(uint64_t number)
{
    return callbacks[number % max_rcu_callbacks];
}

task_mask bit_of_current()
{
    return 1u << current_task().id;
}

/// Whether RCU's task has something to do, when it is idle.
void update_readiness()
{
    execution_state &x = execution();
    const bool idle = x.task[x.tasks].pending == operation::grace_period;

    x.rcu_ready = !x.solo && idle && rcu_callback_ready() ? 1u << x.tasks : 0;
}

/// The outermost section of the current task ended: who waits only for others now?
void reader_left(task_mask reader)
{
    execution_state &x = execution();

    x.readers &= ~reader;
    if (x.rcu_done != x.rcu_queued) {
        for (uint64_t i = x.rcu_done; i < x.rcu_queued; i++)
            callback_number(i).readers &= ~reader;
        update_readiness();
    }
    for (unsigned i = 0; i < x.tasks; i++)
        x.task[i].grace &= ~reader;
}

void run_oldest_callback()
{
    execution_state &x = execution();
    const rcu_callback oldest = callback_number(x.rcu_done);

    oldest.function(oldest.head);
    x.rcu_done++;
}

bool grace_over(const task_control &task)
{
    return !task.grace;
}

bool barrier_passed(const task_control &task)
{
    return execution().rcu_done >= task.barrier;
}

void must_not_be_reader(const char *what)
{
    if (current_task().atomic_depth)
        violate(violation_kind::sleeping_in_atomic,
                "%s calls %s inside an RCU read-side section or under a spinlock: it would wait "
                "for itself",
                current_task().name, what);
}

} // namespace

void rcu_enter()
{
    task_control &me = current_task();

    if (me.atomic_depth++ == 0) {
        execution().readers |= bit_of_current();
        if (execution().observing)
            note_access(&rcu_address, false);
    }
}

void rcu_leave()
{
    task_control &me = current_task();

    if (me.atomic_depth <= 0)
        violate(violation_kind::unbalanced_lock, "%s leaves an RCU section it is not in", me.name);
    if (--me.atomic_depth == 0) {
        if (execution().observing)
            note_access(&rcu_address, false);
        reader_left(bit_of_current());
    }
}

void rcu_read_lock()
{
    if (!current_task().atomic_depth)
        schedule_point(operation::rcu_lock, nullptr, false);
    rcu_enter();
}

void rcu_read_unlock()
{
    if (current_task().atomic_depth == 1)
        schedule_point(operation::rcu_unlock, nullptr, false);
    rcu_leave();
}

void call_rcu(rcu_head *head, rcu_callback_t callback)
{
    execution_state &x = execution();

    schedule_point(operation::call_rcu, head, true);
    if (x.observing)
        note_access(&rcu_address, true);
    if (x.rcu_queued - x.rcu_done == max_rcu_callbacks)
        violate(violation_kind::internal, "more than %u callbacks wait for RCU", max_rcu_callbacks);
    callback_number(x.rcu_queued++) = {head, callback, x.readers};
    update_readiness();
}

void synchronize_rcu()
{
    execution_state &x = execution();

    must_not_be_reader("synchronize_rcu()");
    // Beginning is a step of its own: who is inside then decides, and waiting comes after it.
    schedule_point(operation::synchronize, &rcu_address, true);
    current_task().grace = x.solo ? 0 : x.readers;
    if (current_task().grace)
        schedule_point_guarded(operation::synchronize, &rcu_address, true, grace_over);
}

void rcu_barrier()
{
    execution_state &x = execution();

    must_not_be_reader("rcu_barrier()");
    if (x.solo) {
        while (x.rcu_done < x.rcu_queued)
            run_oldest_callback();
        return;
    }
    schedule_point(operation::barrier, &rcu_address, true);
    current_task().barrier = x.rcu_queued;
    if (x.rcu_done < x.rcu_queued)
        schedule_point_guarded(operation::barrier, &rcu_address, true, barrier_passed);
}

const char *rcu_flavour()
{
    return "modelled";
}

bool rcu_callback_ready()
{
    const execution_state &x = execution();

    return x.rcu_done < x.rcu_queued && !callback_number(x.rcu_done).readers;
}

void rcu_task_body()
{
    // The first operation, a grace period that ends, was announced for it.
    for (;;) {
        if (execution().observing)
            note_access(&rcu_address, true);
        run_oldest_callback();
        rcu_task_idles(&rcu_address);
    }
}

void rcu_reset()
{
    execution().rcu_queued = 0;
    execution().rcu_done = 0;
}

} // namespace dcsim::inline DCSIM_BACKEND
