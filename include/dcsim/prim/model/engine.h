// SPDX-License-Identifier: GPL-2.0-only
//
// Model backend: running a program, one execution after the other. What a search is built on.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "dcsim/prim/model/execution.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// What is explored. Everything that the functions change must lie in the arena or in `state`.
struct model_program {
    void *argument = nullptr;
    std::vector<std::string> task_names; ///< 1 to 13 tasks
    /// Runs once, alone, before anything is explored.
    void (*setup)(void *argument) = nullptr;
    /// The work of one task.
    void (*task)(void *argument, unsigned index) = nullptr;
    /// Runs alone after the tasks have ended: checks what came out, and cleans up.
    void (*finally)(void *argument) = nullptr;
    /// Looked at before every step. Not a schedule point; must not change anything.
    void (*invariant)(void *argument) = nullptr;
    /// A spinlock was released: what it guards is at rest. Not a schedule point.
    void (*after_unlock)(void *argument, const void *lock, const char *lock_class) = nullptr;
    /// Whether this WARN is part of what is to be shown, and no violation.
    bool (*warning_expected)(void *argument, const char *text) = nullptr;
    /// Names an address for reports, e.g. "dentry /a: d_flags"; false when it has no name.
    bool (*describe)(void *argument, const void *address, char *text, size_t bytes) = nullptr;
    /// What is stored at an address, for traces; false when that says nothing.
    bool (*describe_value)(void *argument, const void *address, char *text, size_t bytes) = nullptr;
    /// Why a task sleeps, behind "until somebody wakes it:" in the report of a deadlock; false when
    /// nothing is known. Not a schedule point.
    bool (*describe_sleep)(void *argument, const task_control &task, char *text,
                           size_t bytes) = nullptr;
    /// Static data that the functions change.
    void *state = nullptr;
    size_t state_bytes = 0;
    /// How many allocations of the tasks the search may let fail.
    unsigned faults = 0;
    /// How many times the search may let need_resched() say yes.
    unsigned reschedules = 0;
    /// Bit locks promise nobody anything: who retries and takes one again in each round may be
    /// chosen for ever over a task that waits for it.
    bool starvation = false;
};

/// What carries the tasks.
enum class carrier_kind : uint8_t {
    fibers,  ///< fast
    threads, ///< one OS thread a task, one running at a time: for sanitizers and debuggers
};

/// AddressSanitizer does not follow fibers.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr carrier_kind default_carrier = carrier_kind::threads;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
inline constexpr carrier_kind default_carrier = carrier_kind::threads;
#else
inline constexpr carrier_kind default_carrier = carrier_kind::fibers;
#endif
#else
inline constexpr carrier_kind default_carrier = carrier_kind::fibers;
#endif

/// How an execution ended.
enum class execution_end : uint8_t {
    finished, ///< all tasks ended, and nothing was wrong
    violated,
    given_up, ///< the scheduler said that what follows has been covered
};

/// A stretch of steps of one task.
struct schedule_segment {
    task_id task;
    uint32_t steps;

    bool operator==(const schedule_segment &) const = default;
};

/// Every answer the scheduler gave in one execution.
struct schedule_record {
    std::vector<schedule_segment> segments;
    std::vector<uint8_t> values;

    bool operator==(const schedule_record &) const = default;
};

/// Sees every step of an execution, for traces.
class step_observer
{
  public:
    virtual ~step_observer() = default;

    /// The task is about to carry out the operation it announced. `waited`: others ran since.
    virtual void step(const task_control &task, uint32_t number) = 0;
    /// The operation that the task announced is not enabled.
    virtual void blocked(const task_control &task) = 0;
    /// The task is at its next point: what it did before is done.
    virtual void settled(const task_control &task) = 0;
    /// The task is about to break a rule: its call chain says where.
    virtual void breaking(const task_control &task) = 0;
};

/// Loads a program: maps the arena, runs the set-up, takes the snapshot. Returns false when the
/// set-up itself broke a rule; see last_violation(). One program at a time in a process.
bool engine_load(const model_program &program, carrier_kind carrier);
/// Ends the carrier's threads. The program must not be run any more.
void engine_unload();

struct run_limits {
    uint32_t steps = 100000;
};

/// One execution from the snapshot. `observer` may be nullptr.
execution_end engine_run(scheduler &scheduler, const run_limits &limits, step_observer *observer);

/// Of the execution that ended last.
const schedule_record &last_schedule();
const violation &last_violation();

/// Name of a task of the loaded program; "rcu" and "main" for the system's.
const char *task_name(task_id task);
/// describe_address() without allocating: an execution that ends in a violation destroys nothing.
/// The text is good for three more calls.
const char *address_text(const void *address);
/// Names an address as the program does, or by its allocation, or as a number.
std::string describe_address(const void *address);

} // namespace dcsim::inline DCSIM_BACKEND
