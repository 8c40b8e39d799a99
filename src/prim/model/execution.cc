// SPDX-License-Identifier: GPL-2.0-only
//
// Schedule points, and the loop that carries out one execution.
//
// There is no scheduler task: whoever reaches a schedule point asks the search who is next and
// switches there directly, or simply goes on when it is itself.
#include "dcsim/prim/model/execution.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <unordered_map>
#include <vector>

#include "dcsim/prim/model/lock_order.h"
#include "dcsim/prim/model/rcu.h"
#include "internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// Turns of retry loops in one execution after which states are compared.
constexpr uint32_t retries_before_suspicion = 40;
/// Operations within which a task that was woken without need goes back to sleep.
constexpr uint32_t steps_of_a_wait_loop = 16;
/// Footprint of one step; the longest in the port is a list splice.
constexpr size_t footprint_entries = 256;

/// What the search knows of the running execution. Outside the arena: no task depends on it.
struct search_side {
    model_program program;
    scheduler *deciding = nullptr;
    step_observer *observer = nullptr;
    task_control *to_settle = nullptr;
    schedule_record record;
    violation broken = {};
    execution_end end = execution_end::finished;
    bool loaded = false;

    /// Promises to stay with a task hold up to this step: 0 when somebody wants to see every step.
    uint32_t promises_end = 0;

    footprint_entry footprint[footprint_entries];
    size_t footprint_size = 0;

    /// Testing whether a sleeping task's condition holds by now: see conclude_deadlock().
    task_control *experiment = nullptr;
    uint32_t experiment_end = 0;
    task_mask experiments; ///< tasks tested so far

    /// States seen when some task gave way, once an execution has become suspiciously long, with
    /// the number of the turn; and the turn in which each task gave way last.
    std::unordered_map<uint64_t, size_t> states;
    size_t gave_way[max_tasks];

    /// Shadow of objects whose frames have returned: the next execution knows nothing of them.
    std::vector<uint8_t *> dead_stack;
};
search_side search;

execution_state &x = *reinterpret_cast<execution_state *>(arena_address);

task_mask bit(const task_control &task)
{
    return 1u << task.id;
}

// --- Ending an execution ---

[[noreturn]] void end_execution(execution_end end)
{
    search.end = end;
    carrier_leave(x.current, nullptr);
}

void format_violation(violation_kind kind, const char *format, va_list arguments)
{
    search.broken.kind = kind;
    search.broken.task = x.current->id;
    search.broken.step = x.step;
    search.broken.freed_at = 0;
    if (search.observer)
        search.observer->breaking(*x.current);
    vsnprintf(search.broken.text, sizeof(search.broken.text), format, arguments);
}

/// The steps since the last change of task go into the record.
void record_turn(task_id task)
{
    if (x.step != x.turn_began)
        search.record.segments.push_back({task, x.step - x.turn_began});
    x.turn_began = x.step;
}

/// The execution ends with what was found before it was carried on as an experiment.
[[noreturn]] void end_experiment()
{
    x.step = search.broken.step;
    end_execution(execution_end::violated);
}

/// The next sleeping task to be tested: would it go on, had somebody woken it? Ends the execution
/// when all have been.
task_control *next_experiment()
{
    task_control *sleeper = deadlock_sleeper(search.experiments);

    if (!sleeper)
        end_experiment();
    search.experiments |= bit(*sleeper);
    search.experiment = sleeper;
    search.experiment_end = x.step + steps_of_a_wait_loop;
    sleeper->state = TASK_RUNNING;
    return sleeper;
}

/// Nobody can go on. Returns the task whose condition is to be tested before judgement.
task_control *conclude_deadlock()
{
    search.broken.kind = violation_kind::deadlock;
    search.broken.task = x.current->id;
    search.broken.step = x.step;
    describe_deadlock(search.broken.text, sizeof(search.broken.text));
    record_turn(x.current->id);
    search.observer = nullptr;
    search.experiments = 0;
    x.stay_until = 0;
    search.promises_end = 0;
    return next_experiment();
}

/// The task that was woken for an experiment has reached its next point. Returns who goes on.
task_control *continue_experiment(task_control &task)
{
    // Asleep again: its condition is false. Waiting for anything else: nobody can tell.
    if (!task.finished && task.guard && !task.guard(task))
        return next_experiment();
    if (!task.finished && ++x.step < search.experiment_end)
        return &task;
    search.broken.kind = violation_kind::lost_wake_up;
    search.broken.task = task.id;
    char waits[sizeof(search.broken.text)];
    memcpy(waits, search.broken.text, sizeof(waits));
    snprintf(search.broken.text, sizeof(search.broken.text),
             "%s sleeps although what it waits for is true, and nobody is left to wake it\n%.1200s",
             task.name, waits);
    end_experiment();
}

// --- Choosing ---

bool waits_in_freed_memory(const task_control &task)
{
    return in_arena(task.pending_address) && *shadow_of(task.pending_address);
}

/// Those of the waiting tasks whose condition holds.
task_mask ready_among(task_mask waiting)
{
    task_mask ready = 0;

    for (task_mask left = waiting; left; left &= left - 1) {
        const task_control &task = x.task[__builtin_ctz(left)];
        if (!waits_in_freed_memory(task) && task.guard(task))
            ready |= left & -left;
    }
    return ready;
}

/// Tasks whose announced operation can be carried out, those that gave way included.
inline task_mask ready_tasks()
{
    return x.runnable | x.rcu_ready | (x.guarded ? ready_among(x.guarded) : 0);
}

/// Tasks that wait for something in memory that is not there any more: it will never come true, and
/// they are to go on so that this is reported.
task_mask waiting_in_freed_memory()
{
    task_mask found = 0;

    for (task_mask left = x.guarded; left; left &= left - 1) {
        const task_control &task = x.task[__builtin_ctz(left)];
        if (waits_in_freed_memory(task))
            found |= bit(task);
    }
    return found;
}

/// Leaves out who gave way to others that could have run and have not, as long as there is somebody
/// else. So two tasks that retry cannot keep a third one, whom they wait for, from running: the
/// fairness of CHESS.
task_mask without_relaxed(task_mask ready)
{
    task_mask patient = 0;

    for (task_mask left = x.relaxed & ready; left; left &= left - 1) {
        const task_control &task = x.task[__builtin_ctz(left)];
        if (task.gives_way_to & ready)
            patient |= bit(task);
    }
    return ready & ~patient ? ready & ~patient : ready;
}

/// The task takes a step: who gave way to it has done so.
void no_way_given_to(task_id task)
{
    for (task_mask left = x.relaxed; left; left &= left - 1)
        x.task[__builtin_ctz(left)].gives_way_to &= ~(1u << task);
}

[[noreturn]] void too_many_steps()
{
    violate(violation_kind::no_progress,
            "%u steps, and the tasks are still not done (no state was seen twice, so it is not "
            "certain that they never will be)",
            x.step);
}

/// Whether everybody who ran after this turn has given way since. Who has not may be getting on by
/// what is on its stack, which is no part of the state.
bool only_retries_since(size_t turn)
{
    const auto &segments = search.record.segments;

    for (size_t i = turn + 1; i < segments.size(); i++)
        if (search.gave_way[segments[i].task] <= turn)
            return false;
    return true;
}

/// Called when a task gives way in an execution with suspiciously many retries. The same state a
/// second time, with nothing but retries in between: that can happen for ever.
void look_for_cycle(const task_control &task)
{
    const size_t turn = search.record.segments.size();
    uint64_t state = arena_hash() + task.id;

    for (unsigned i = 0; i <= x.tasks; i++)
        state = (state ^ reinterpret_cast<uintptr_t>(x.task[i].pending_code)) * 0x9e3779b97f4a7c15;
    search.gave_way[task.id] = turn;
    const auto [known, first_time] = search.states.try_emplace(state, turn);
    if (first_time)
        return;
    if (!only_retries_since(known->second)) {
        known->second = turn;
        return;
    }
    violate(violation_kind::livelock,
            "%s goes round and round: the shared state and the place of every task are what they "
            "were before",
            task.name);
}

/// The tasks of the program are done, and RCU's is not in the middle of a callback.
bool program_finished()
{
    return !((x.runnable | x.guarded) & ((1u << x.tasks) - 1)) &&
           x.task[x.tasks].pending == operation::grace_period;
}

/// Asks the search, and notes for how long its answer stands.
task_id ask(task_mask enabled, bool current_may_stay)
{
    const task_id current = x.current->id;
    const choice situation = {
        .enabled = enabled,
        .current = current,
        .current_may_stay = current_may_stay && (enabled >> current & 1),
        .step = x.step,
        .daemons = 1u << x.tasks,
        .last_step = {search.footprint, search.footprint_size},
    };
    const task_id next = search.deciding->choose_task(situation);

    if (next == no_task)
        end_execution(execution_end::given_up);
    search.footprint_size = 0;
    x.stay_until = std::min(search.deciding->stay_until, search.promises_end);
    x.stay_unless = search.deciding->stay_unless;
    return next;
}

/// Who carries out its announced operation next, while the program goes on.
task_control *choose_enabled(bool current_may_stay)
{
    task_mask enabled = ready_tasks();
    task_id next;

    if (x.relaxed)
        enabled = without_relaxed(enabled);
    if (__builtin_expect(!enabled, false) && !(enabled = waiting_in_freed_memory()))
        return conclude_deadlock();
    if (__builtin_expect(x.step >= x.step_limit, false))
        too_many_steps();
    if (!(enabled & (enabled - 1)) && !x.observing) {
        // There is nothing to ask about before somebody else can run.
        next = static_cast<task_id>(__builtin_ctz(enabled));
        x.stay_until = search.promises_end;
        x.stay_unless = ~enabled;
    } else {
        next = ask(enabled, current_may_stay);
    }
    if (next != x.current->id)
        record_turn(x.current->id);
    x.step++;
    if (x.relaxed)
        no_way_given_to(next);
    return &x.task[next];
}

/// The same, or nullptr when the tasks of the program are done.
task_control *choose_next(bool current_may_stay)
{
    if (__builtin_expect(search.experiment != nullptr, false))
        return continue_experiment(*search.experiment);
    return program_finished() ? nullptr : choose_enabled(current_may_stay);
}

/// Whether the current task goes on without a question: the search has said so, and none of those
/// it made an exception for can run.
inline bool stays()
{
    if (x.step >= x.stay_until || (x.stay_unless & (x.rcu_ready | x.relaxed)))
        return false;
    const task_mask waiting = x.stay_unless & x.guarded;
    return !waiting || !ready_among(waiting);
}

/// While somebody looks on who is no part of the execution: nothing is a schedule point.
struct aside {
    aside()
    {
        x.solo = true;
    }
    ~aside()
    {
        x.solo = false;
    }
};

/// The task was chosen: its operation is about to be carried out.
inline void begin_step(task_control &task)
{
    if (__builtin_expect(x.observing, false))
        note_access(task.pending_address, task.pending_writes);
    if (__builtin_expect(search.observer != nullptr, false)) {
        const aside aside;
        search.observer->step(task, x.step);
        search.to_settle = &task;
    }
}

void settle_last_step()
{
    const aside aside;

    if (search.to_settle)
        search.observer->settled(*search.to_settle);
    search.to_settle = nullptr;
}

/// Freeing looks for itself what it is given.
DCSIM_ADDRESS_ONLY(2)
inline void check_operation(operation kind, const void *address)
{
    if (in_arena(address) && *shadow_of(address) && kind != operation::free)
        report_bad_access(address);
}

/// Hands over to whoever is next; returns when this task's operation is to be carried out.
void take_turns(task_control &me)
{
    if (__builtin_expect(search.program.invariant != nullptr, false)) {
        const aside aside;
        search.program.invariant(search.program.argument);
    }
    // RCU's task is in the middle of nothing when it waits for the end of a grace period; while
    // any other announces something, the program is not done.
    const bool idle = me.pending == operation::grace_period;
    task_control *next = idle || __builtin_expect(search.experiment != nullptr, false)
                             ? choose_next(false)
                             : choose_enabled(me.pending != operation::relax);

    if (next != &me) {
        carrier_switch(&me, next);
        x.current = &me;
        // It was there when the operation was announced.
        check_operation(me.pending, me.pending_address);
    }
}

/// Objects in frames that have returned are not for others any more.
void retire_stack_objects(task_control &me, uintptr_t stack_pointer)
{
    while (me.stack_objects && me.stack_object[me.stack_objects - 1] < stack_pointer) {
        auto *object = reinterpret_cast<void *>(me.stack_object[--me.stack_objects]);
        *shadow_of(object) = shadow_dead_stack;
        search.dead_stack.push_back(shadow_of(object));
        if (x.observing)
            note_access(object, true, shadow_granule);
    }
}

} // namespace

const model_program &loaded_program()
{
    return search.program;
}

void violate(violation_kind kind, const char *format, ...)
{
    va_list arguments;

    // Nobody woke the task that this happened to: it says nothing about the program.
    if (search.experiment)
        end_experiment();
    va_start(arguments, format);
    format_violation(kind, format, arguments);
    va_end(arguments);
    end_execution(execution_end::violated);
}

void violate_freed(violation_kind kind, uint32_t freed_at, const char *format, ...)
{
    va_list arguments;

    if (search.experiment)
        end_experiment();
    va_start(arguments, format);
    format_violation(kind, format, arguments);
    va_end(arguments);
    search.broken.freed_at = freed_at;
    end_execution(execution_end::violated);
}

void note_access(const void *address, bool writes, uint32_t bytes)
{
    footprint_entry entry = {address, writes, bytes};
    footprint_entry *end = search.footprint + search.footprint_size;

    if (x.solo || std::find(search.footprint, end, entry) != end)
        return;
    if (search.footprint_size == footprint_entries)
        violate(violation_kind::internal, "one step touched more than %zu shared fields",
                footprint_entries);
    search.footprint[search.footprint_size++] = entry;
}

__attribute__((noinline)) void schedule_point(operation kind, const void *address, bool writes)
{
    task_control &me = *x.current;

    check_operation(kind, address);
    if (x.solo)
        return;
    if (__builtin_expect(search.to_settle != nullptr, false))
        settle_last_step();
    if (me.stack_objects)
        retire_stack_objects(me, reinterpret_cast<uintptr_t>(__builtin_frame_address(0)));
    me.pending = kind;
    me.pending_writes = writes;
    me.pending_address = address;
    me.pending_code = __builtin_return_address(0);
    if (kind != operation::relax && stays()) {
        x.step++;
        return;
    }
    take_turns(me);
    if (kind == operation::relax)
        x.relaxed &= ~bit(me);
    begin_step(me);
}

__attribute__((noinline)) void schedule_point_guarded(operation kind, const void *address,
                                                      bool writes, guard_function guard,
                                                      const void *context)
{
    task_control &me = *x.current;

    check_operation(kind, address);
    me.pending = kind;
    me.pending_writes = writes;
    me.pending_address = address;
    me.pending_code = __builtin_return_address(0);
    me.guard_context = context;
    if (x.solo) {
        if (!guard(me))
            violate(violation_kind::deadlock, "%s waits for %s %s, and nobody else is there",
                    me.name, operation_name(kind), address_text(address));
        return;
    }
    if (__builtin_expect(search.to_settle != nullptr, false))
        settle_last_step();
    if (me.stack_objects)
        retire_stack_objects(me, reinterpret_cast<uintptr_t>(__builtin_frame_address(0)));
    const bool enabled = guard(me);
    if (enabled && stays()) {
        x.step++;
        return;
    }
    me.guard = guard;
    x.runnable &= ~bit(me);
    x.guarded |= bit(me);
    if (!enabled) {
        me.blocked++;
        if (search.observer) {
            const aside aside;
            search.observer->blocked(me);
        }
    }
    take_turns(me);
    me.guard = nullptr;
    x.runnable |= bit(me);
    x.guarded &= ~bit(me);
    begin_step(me);
}

void cpu_relax()
{
    task_control &me = *x.current;

    if (x.solo)
        return;
    if (++x.retries > retries_before_suspicion)
        look_for_cycle(me);
    // A task whose attempts may all have fallen into the time when this one held the lock has had
    // no chance that it could claim.
    me.gives_way_to = ready_tasks() & ~bit(me) & ~(me.outran & x.guarded);
    me.outran = 0;
    x.relaxed |= bit(me);
    schedule_point(operation::relax, nullptr, false);
}

namespace
{

void rcu_task_begins(const task_control &rcu)
{
    x.runnable |= bit(rcu);
    x.rcu_ready = 0;
}

} // namespace

void rcu_task_idles(const void *rcu_address)
{
    task_control &me = *x.current;

    if (search.to_settle)
        settle_last_step();
    me.pending = operation::grace_period;
    me.pending_writes = true;
    me.pending_address = rcu_address;
    me.pending_code = __builtin_return_address(0);
    x.runnable &= ~bit(me);
    x.rcu_ready = rcu_callback_ready() ? bit(me) : 0;
    take_turns(me);
    rcu_task_begins(me);
    begin_step(me);
}

unsigned choose_value(unsigned count)
{
    if (x.solo || count < 2)
        return 0;
    unsigned value = search.deciding->choose_value(count);
    x.values++;
    search.record.values.push_back(static_cast<uint8_t>(value));
    return value;
}

// --- The life of a task ---

void task_ends()
{
    task_control &me = *x.current;

    if (search.to_settle)
        settle_last_step();
    if (me.held_locks)
        violate(violation_kind::lock_held_at_exit, "%s ends and still holds %s (%s)", me.name,
                address_text(me.held[me.held_locks - 1].lock),
                lock_class_name(me.held[me.held_locks - 1].lock_class));
    if (me.atomic_depth)
        violate(violation_kind::unbalanced_lock, "%s ends inside an RCU read-side section",
                me.name);
    if (x.solo)
        carrier_leave(&me, nullptr);
    retire_stack_objects(me, task_stack_top(me.id));
    me.finished = true;
    x.runnable &= ~bit(me);
    me.guard = nullptr;
    carrier_leave(&me, choose_next(false));
}

namespace
{

void set_up()
{
    search.program.setup(search.program.argument);
    // Every execution starts with nothing queued. What the set-up forgot to give up is reported
    // when it ends.
    if (!x.current->atomic_depth)
        rcu_barrier();
}

} // namespace

void task_main(task_control &task)
{
    x.current = &task;
    if (task.id == x.tasks)
        rcu_task_begins(task);
    if (!x.solo)
        begin_step(task);
    if (task.id == x.tasks)
        rcu_task_body();
    else if (task.id == main_task && task.pending == operation::start)
        set_up();
    else if (task.id == main_task)
        search.program.finally(search.program.argument);
    else
        search.program.task(search.program.argument, task.id);
    task_ends();
}

namespace
{

void prepare_task(task_id number, const char *name)
{
    task_control &task = x.task[number];

    task.state = TASK_RUNNING;
    task.id = number;
    task.name = name;
    task.finished = false;
    task.pending = operation::start;
    task.pending_writes = false;
    task.pending_address = nullptr;
    task.pending_code = nullptr;
    task.guard = nullptr;
    task.atomic_depth = 0;
    task.gives_way_to = 0;
    task.outran = 0;
    task.blocked = 0;
    task.held_locks = 0;
    task.stack_objects = 0;
    carrier_prepare(task);
}

/// Runs set-up or clean-up, alone, to its end.
void run_main_task(operation which)
{
    prepare_task(main_task, "main");
    x.solo = true;
    x.task[main_task].pending = which;
    x.current = &x.task[main_task];
    carrier_switch(nullptr, &x.task[main_task]);
}

void prepare_tasks()
{
    const auto tasks = static_cast<task_id>(search.program.task_names.size());

    for (task_id i = 0; i < tasks; i++)
        prepare_task(i, search.program.task_names[i].c_str());
    prepare_task(tasks, "rcu");
    // It never ends: it waits for something to do, from the first moment on, see rcu_ready.
    x.task[tasks].pending = operation::grace_period;
    x.tasks = tasks;
    x.runnable = (1u << tasks) - 1;
    x.guarded = 0;
    x.rcu_ready = 0;
    x.relaxed = 0;
    x.retries = 0;
    x.readers = 0;
    x.step = 0;
    x.turn_began = 0;
    x.stay_until = 0;
    x.values = 0;
    x.faults_left = search.program.faults;
    x.faults_injected = 0;
    x.reschedules_left = search.program.reschedules;
    x.next_ticket = 0;
    x.solo = false;
    rcu_reset();
}

} // namespace

namespace
{

/// Whatever broke the last execution off, perhaps that of another program, is over.
void forget_last_execution()
{
    search.observer = nullptr;
    search.to_settle = nullptr;
    search.experiment = nullptr;
    search.footprint_size = 0;
    search.record.segments.clear();
    search.record.values.clear();
    search.broken.kind = violation_kind::none;
    search.end = execution_end::finished;
    if (!search.states.empty()) {
        search.states.clear();
        std::fill(std::begin(search.gave_way), std::end(search.gave_way), 0);
    }
    for (uint8_t *shadow : search.dead_stack)
        *shadow = shadow_accessible;
    search.dead_stack.clear();
}

} // namespace

bool engine_load(const model_program &program, carrier_kind carrier)
{
    arena_map();
    arena_reset_static_data(program.state, program.state_bytes);
    forget_last_execution();
    search.program = program;
    search.broken = {};
    memset(&x, 0, sizeof(x));
    x.tasks = static_cast<uint8_t>(program.task_names.size());
    lock_order_reset();
    rcu_reset();
    carrier_start(carrier);
    run_main_task(operation::start);
    search.loaded = search.end == execution_end::finished;
    arena_snapshot(program.state, program.state_bytes);
    lock_order_snapshot();
    return search.loaded;
}

void engine_unload()
{
    carrier_stop();
    search.loaded = false;
}

execution_end engine_run(scheduler &scheduler, const run_limits &limits, step_observer *observer)
{
    forget_last_execution();
    search.deciding = &scheduler;
    search.observer = observer;

    carrier_reset();
    arena_restore();
    lock_order_restore();
    prepare_tasks();
    x.step_limit = limits.steps;
    x.observing = scheduler.observes_steps();
    search.promises_end = observer || search.program.invariant || x.observing ? 0 : limits.steps;
    x.current = &x.task[main_task];
    carrier_switch(nullptr, choose_next(false));
    if (!search.experiment)
        record_turn(x.current->id);
    if (search.end == execution_end::finished) {
        search.observer = nullptr;
        run_main_task(operation::step);
    }
    x.solo = true;
    // A run that was broken off leaves its last step unsettled, and the observer goes now.
    search.observer = nullptr;
    search.to_settle = nullptr;
    return search.end;
}

const schedule_record &last_schedule()
{
    return search.record;
}

const violation &last_violation()
{
    return search.broken;
}

const char *task_name(task_id task)
{
    if (task == main_task)
        return "main";
    const auto &names = search.program.task_names;
    return task < names.size() ? names[task].c_str() : "rcu";
}

const char *address_text(const void *address)
{
    // For as many addresses as one message names.
    static char texts[4][200];
    static unsigned next;
    char *text = texts[next++ % std::size(texts)];
    const size_t bytes = sizeof(texts[0]);

    if (!address) {
        snprintf(text, bytes, "-");
        return text;
    }
    if (search.program.describe &&
        search.program.describe(search.program.argument, address, text, bytes))
        return text;
    if (const allocation *found = in_arena(address) ? arena_find(address) : nullptr)
        snprintf(text, bytes, "%s of %s+%td", found->pool, task_name(found->allocated_by),
                 static_cast<const char *>(address) - static_cast<const char *>(found->object));
    else
        snprintf(text, bytes, "%p", address);
    return text;
}

std::string describe_address(const void *address)
{
    return address_text(address);
}

const char *operation_name(operation kind)
{
    static constexpr const char *names[] = {
        "start",
        "load",
        "store",
        "exchange",
        "wait",
        "retry",
        "lock",
        "trylock",
        "unlock",
        "lock shared",
        "trylock shared",
        "unlock shared",
        "sleep",
        "wake",
        "rcu_read_lock",
        "rcu_read_unlock",
        "call_rcu",
        "grace period ends",
        "synchronize_rcu",
        "rcu_barrier",
        "allocate",
        "free",
        "resched",
        "step",
    };
    return names[static_cast<unsigned>(kind)];
}

const char *violation_name(violation_kind kind)
{
    static constexpr const char *names[] = {
        "nothing",
        "deadlock",
        "lost wake-up",
        "livelock",
        "no progress",
        "use after free",
        "double free",
        "reference count",
        "leak",
        "lock order",
        "sleeping in atomic context",
        "unbalanced lock",
        "lock held at exit",
        "warning",
        "bug",
        "broken invariant",
        "expectation",
        "not linearizable",
        "internal error",
    };
    return names[static_cast<unsigned>(kind)];
}

} // namespace dcsim::inline DCSIM_BACKEND
