// SPDX-License-Identifier: GPL-2.0-only
//
// Model backend: one execution. Tasks take turns; before each operation that others could notice a
// task announces it and asks the scheduler who goes on. Between two such schedule points it runs
// alone.
//
// An operation that has to wait carries a guard, a test of shared state without side effects: the
// task is enabled while the guard holds. So nobody spins, and "no task is enabled" is a deadlock.
#pragma once

#include <cstdint>

#include "dcsim/config.h"
#include "dcsim/prim/model/arena.h"
#include "dcsim/prim/model/scheduler.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// What a task is about to do.
enum class operation : uint8_t {
    start,
    load,
    store,
    exchange, ///< an atomic read-modify-write
    wait,     ///< until a field has some value
    relax,    ///< one turn of a retry loop: others go first
    lock,
    trylock,
    unlock,
    lock_shared,
    trylock_shared,
    unlock_shared,
    sleep, ///< until woken
    wake,
    rcu_lock,
    rcu_unlock,
    call_rcu,
    grace_period, ///< ends, and its callback runs
    synchronize,  ///< until a grace period has passed
    barrier,      ///< until the callbacks queued so far have run
    allocate,
    free,
    reschedule,
    step, ///< between two steps of a scenario
};
const char *operation_name(operation kind);

struct task_control;
/// Whether the task's announced operation can be carried out.
using guard_function = bool (*)(const task_control &task);

enum task_state : uint32_t { TASK_RUNNING = 0, TASK_UNINTERRUPTIBLE = 2 };

enum class violation_kind : uint8_t {
    none,
    deadlock,
    lost_wake_up,
    livelock,
    no_progress,
    use_after_free,
    double_free,
    reference_count,
    leak,
    lock_order,
    sleeping_in_atomic,
    unbalanced_lock,
    lock_held_at_exit,
    warning,
    bug,
    invariant,
    expectation,
    not_linearizable,
    internal,
};
/// A few words, e.g. "use after free".
const char *violation_name(violation_kind kind);

/// The rule that an execution broke.
struct violation {
    violation_kind kind;
    task_id task;
    uint32_t step;
    uint32_t freed_at; ///< step that freed the memory it is about; 0 when it is about none
    char text[1400];   ///< in words; may have several lines
};

/// Ends the execution on the spot: the task never runs again. Printf form.
[[noreturn]] void violate(violation_kind kind, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/// The same about memory that was freed at some step.
[[noreturn]] void violate_freed(violation_kind kind, uint32_t freed_at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

inline constexpr unsigned max_held_locks = 24;

struct held_lock {
    const void *lock;
    uint8_t lock_class; ///< with its subclass: see lock_order.h
    bool shared;
    bool spinning; ///< a spinlock or a bit lock: no sleeping
};

/// The port's view of a task: prim/model/task.h.
struct task_struct;

inline constexpr unsigned task_private_slots = 3;

/// All that is known about a task. Lives in the arena.
struct task_control {
    uint32_t state; ///< a task_state; the port's task_struct
    task_id id;
    bool finished;
    bool shared_wait; ///< which kind of hold on a rw_semaphore it wants
    operation pending;
    bool pending_writes;
    const void *pending_address;
    const void *pending_code; ///< return address of the call
    guard_function guard;     ///< nullptr: always enabled
    const void *guard_context;
    void *context; ///< where the fiber was left
    const char *name;
    void *private_data[task_private_slots]; ///< task_private()

    int atomic_depth;       ///< RCU read-side sections plus spinlocks and bit locks held
    uint32_t held_locks;    ///< of `held`
    uint32_t stack_objects; ///< of `stack_object`
    task_mask gives_way_to; ///< after operation::relax: who should run before it
    task_mask outran;       ///< since then: who waited for a bit lock while it held it
    uint32_t blocked;       ///< times its operation was not enabled when it came to it
    uint32_t ticket;        ///< order of arrival at a rw_semaphore
    task_mask grace;        ///< synchronize_rcu(): readers it still waits for
    uint64_t barrier;       ///< rcu_barrier(): callbacks that must have run
    held_lock held[max_held_locks];
    uintptr_t stack_object[16]; ///< addresses of objects on its stack that others may reach
};

/// One callback queued on RCU.
struct rcu_callback {
    struct rcu_head *head;
    void (*function)(struct rcu_head *head);
    task_mask readers; ///< in a read-side section since before it was queued
};
inline constexpr unsigned max_rcu_callbacks = 1u << 16;

/// What the next operation of each task depends on, and who runs. At the start of the arena.
struct execution_state {
    task_control *current;
    bool solo; ///< the main task runs alone: no schedule points
    bool tracing;
    bool observing;      ///< the scheduler wants footprints
    uint8_t tasks;       ///< of the program; RCU's task has this number
    task_mask runnable;  ///< no guard, not finished
    task_mask guarded;   ///< waiting for a guard
    task_mask relaxed;   ///< gave way to the others
    task_mask rcu_ready; ///< RCU's task, while it is idle and a grace period may end
    task_mask readers;   ///< in an RCU read-side section
    uint32_t step;
    uint32_t step_limit;
    uint32_t stay_until;   ///< up to this step the current task goes on without being asked about
    task_mask stay_unless; ///< one of these can run
    uint32_t turn_began;   ///< step at which the current task's turn began
    uint32_t retries;      ///< turns of retry loops in this execution
    uint32_t values;       ///< answers of choose_value() so far
    uint32_t faults_left;  ///< allocations that may still fail
    uint32_t faults_injected;
    uint32_t reschedules_left; ///< times need_resched() may still be true
    uint32_t next_ticket;
    uint64_t rcu_queued;
    uint64_t rcu_done;
    task_control task[max_tasks];
};

inline execution_state &execution()
{
    return *reinterpret_cast<execution_state *>(arena_address);
}

/// Task number of the main task, which runs set-up and clean-up alone.
inline constexpr task_id main_task = max_tasks - 1;

inline task_control &current_task()
{
    return *execution().current;
}

/// Reports an access to memory that is not there any more.
void report_bad_access(const void *address) DCSIM_ADDRESS_ONLY(1);

/// Checks an access that is not a schedule point.
inline void check_access(const void *address)
{
    if (in_arena(address) && *shadow_of(address))
        report_bad_access(address);
}

/// Notes an access for the search, when it asked for footprints.
void note_access(const void *address, bool writes, uint32_t bytes = 1) DCSIM_ADDRESS_ONLY(1);

/// Announces an operation on `address` and waits for this task's turn. Returns when the operation
/// is to be carried out.
void schedule_point(operation kind, const void *address, bool writes) DCSIM_ADDRESS_ONLY(2);
/// The same for an operation that needs guard(task) to hold; it holds on return.
void schedule_point_guarded(operation kind, const void *address, bool writes, guard_function guard,
                            const void *context = nullptr) DCSIM_ADDRESS_ONLY(2);

/// A number below `count` of the scheduler's choice; 0 outside of the explored part.
unsigned choose_value(unsigned count);

/// An access without a schedule point: the lock that its caller holds already was one.
inline void locked_access(const void *address, bool writes)
{
    check_access(address);
    if (__builtin_expect(execution().observing, false))
        note_access(address, writes);
}

} // namespace dcsim::inline DCSIM_BACKEND
