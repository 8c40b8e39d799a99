// SPDX-License-Identifier: GPL-2.0-only
//
// The threads of the tasks live as long as the session. In each round they sleep until the world is
// set up, meet awake, and start within some hundred nanoseconds of each other.
#include "scenario_rounds.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>

#include <fmt/format.h>
#include <sched.h>

#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/rcupdate.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/scenario/world.h"
#include "dcsim/vfs/proposed.h"
#include "random.h"
#include "usage_error.h"

namespace dcsim::cli
{

namespace
{

using clock = std::chrono::steady_clock;
using operand_kind = scenario::operand::kind;

/// Ten times a second: fast enough for a progress line and for Ctrl-C.
constexpr auto tick = std::chrono::milliseconds(100);
/// A round takes milliseconds. Longer than any machine is busy, shorter than anybody waits: ten and
/// two seconds. Counted in ticks that the watcher was there to see, so that the time for which the
/// whole machine stands still is nobody's fault.
constexpr int patience = 100;
constexpr int patience_when_interrupted = 20;

/// The longest random delay is 2 to the power of this, minus one, turns of a waiting loop: about as
/// long as a task with a few steps takes.
constexpr uint64_t delay_magnitudes = 12;
constexpr uint64_t most_yields = 3;
/// Rounds before the tasks change processors, so that others of them share one.
constexpr uint64_t rounds_on_a_processor = 64;
/// An allocation after this many is not made to fail; tasks of scenarios have fewer.
constexpr uint64_t most_allocations = 12;

bool asks_for_blocked(const scenario::expression &one)
{
    return one.left.what == operand_kind::blocked || one.right.what == operand_kind::blocked;
}

/// Native threads do not count how often they had to wait for a lock.
void leave_out_unknown(std::vector<scenario::expression> &checks, const char *rule,
                       std::vector<unknown_check> &unknown)
{
    for (const scenario::expression &one : checks)
        if (asks_for_blocked(one))
            unknown.push_back({rule, one.text});
    std::erase_if(checks, asks_for_blocked);
}

void refuse_unknown_waits(const scenario::scenario &scenario)
{
    for (const scenario::expression &one : scenario.awaited)
        if (asks_for_blocked(one))
            throw usage_error(fmt::format("{}:{}:{}: await({}) would not end: native threads do "
                                          "not know how often they were blocked",
                                          scenario.file, one.where.line, one.where.column,
                                          one.text));
}

/// So that what is said of one place in many rounds is one text.
std::string without_addresses(std::string_view text)
{
    std::string result;

    for (size_t begin = text.find("0x"); begin != text.npos; begin = text.find("0x")) {
        result.append(text.substr(0, begin)).append("0x...");
        text.remove_prefix(begin + 2);
        text.remove_prefix(std::min(text.find_first_not_of("0123456789abcdef"), text.size()));
    }
    return result.append(text);
}

void begin_look() __acquires_shared(rcu)
{
    rcu_read_lock();
}

void end_look() __releases_shared(rcu)
{
    rcu_read_unlock();
}

/// Keeps this thread on the `index`-th of the processors it may use, counted round and round. Left
/// alone, threads that wake each other all the time end up on one of them, one after the other.
void stay_on_processor(const cpu_set_t &allowed, uint64_t index)
{
    cpu_set_t mine;

    CPU_ZERO(&mine);
    index %= static_cast<uint64_t>(std::max(CPU_COUNT(&allowed), 1));
    for (size_t processor = 0; processor < CPU_SETSIZE; ++processor)
        if (CPU_ISSET(processor, &allowed) && index-- == 0)
            CPU_SET(processor, &mine);
    sched_setaffinity(0, sizeof(mine), &mine);
}

/// Lets the tasks meet at another place in every round. Most delays are short; after some of them
/// the others are done.
void wait_a_little(random_stream &random)
{
    const uint64_t turns = random.below(uint64_t{1} << random.below(delay_magnitudes + 1));

    for (uint64_t turn = 0; turn < turns; ++turn)
        cpu_relax();
    if (random.one_in(2))
        return;
    for (uint64_t yields = random.below(most_yields + 1); yields > 0; --yields)
        sched_yield();
}

class session
{
  public:
    session(const scenario::scenario &scenario, const rounds_options &options);
    ~session();
    session(const session &) = delete;
    session &operator=(const session &) = delete;

    rounds_result run(const std::function<bool(uint64_t)> &go_on);

  private:
    world_reports reports();
    void add_broken(const std::string &text);
    static void take_warning(const char *what, const char *file, int line, const char *function);
    static int64_t failed_allocations();

    void task_main(unsigned task);
    bool run_round();
    bool wait_for_tasks();
    void let_an_allocation_fail();
    bool limit_reached(clock::time_point begin) const;
    std::string what_tasks_are_at() const;
    void finish_result(rounds_result &result) const;

    /// WARNs have no argument; one session at a time.
    static inline std::atomic<session *> current_ = nullptr;

    scenario::scenario scenario_;
    const rounds_options options_;
    std::vector<unknown_check> unknown_;
    std::unique_ptr<scenario_world> world_;
    warning_handler earlier_handler_;
    const std::function<bool(uint64_t)> *go_on_ = nullptr;
    uint64_t rounds_ = 0; ///< completed
    bool interrupted_ = false;
    std::map<std::string, uint64_t> final_states_;

    std::atomic<uint64_t> begun_ = 0;   ///< the round whose tasks may start
    std::atomic<unsigned> missing_ = 0; ///< tasks that are not yet there
    std::atomic<bool> ending_ = false;
    std::atomic<bool> allocation_failed_ = false;

    std::mutex mutex_; ///< guards the three below
    std::condition_variable all_ended_;
    unsigned running_ = 0;
    std::map<std::string, uint64_t> broken_;

    std::vector<std::thread> threads_;
};

session::session(const scenario::scenario &scenario, const rounds_options &options)
    : scenario_(scenario), options_(options)
{
    refuse_unknown_waits(scenario_);
    leave_out_unknown(scenario_.always, "always", unknown_);
    leave_out_unknown(scenario_.never, "never", unknown_);
    leave_out_unknown(scenario_.sometimes, "sometimes", unknown_);
    world_ = std::make_unique<scenario_world>(scenario_, reports());
    world_->record_final_states(true);
    current_ = this;
    earlier_handler_ = set_warning_handler(take_warning);
    for (unsigned task = 0; task < scenario_.tasks.size(); ++task)
        threads_.emplace_back([this, task] { task_main(task); });
}

session::~session()
{
    ending_ = true;
    ++begun_;
    begun_.notify_all();
    for (std::thread &thread : threads_)
        thread.join();
    set_warning_handler(earlier_handler_);
    current_ = nullptr;
}

world_reports session::reports()
{
    world_reports reports;

    reports.argument = this;
    reports.broken = [](void *argument, const char *text) {
        static_cast<session *>(argument)->add_broken(text);
    };
    reports.failed_allocations = failed_allocations;
    reports.begin_look = begin_look;
    reports.end_look = end_look;
    return reports;
}

void session::add_broken(const std::string &text)
{
    const std::lock_guard guard(mutex_);
    ++broken_[text];
}

void session::take_warning(const char *what, const char *file, int line, const char *function)
{
    session *self = current_;

    for (const std::string &allowed : self->scenario_.allowed_warnings)
        if (strstr(what, allowed.c_str()))
            return;
    const char *slash = strrchr(file, '/');
    self->add_broken(fmt::format("WARN: {} at {}:{} in {}()", without_addresses(what),
                                 slash ? slash + 1 : file, line, function));
}

int64_t session::failed_allocations()
{
    const session *self = current_;
    return self->allocation_failed_ || kmem_failure_delivered();
}

void session::task_main(unsigned task)
{
    cpu_set_t allowed;

    CPU_ZERO(&allowed);
    sched_getaffinity(0, sizeof(allowed), &allowed);
    for (uint64_t round = 1;; ++round) {
        if (round % rounds_on_a_processor == 1)
            stay_on_processor(allowed, task + round / rounds_on_a_processor);
        random_stream random(mix_numbers(mix_numbers(options_.seed, round), task));

        begun_.wait(round - 1);
        if (ending_)
            return;
        --missing_;
        for (int turn = 0; missing_ > 0; ++turn)
            retry_relax(turn);
        wait_a_little(random);
        world_->run_task(task);
        const std::lock_guard guard(mutex_);
        if (--running_ == 0)
            all_ended_.notify_one();
    }
}

/// In every second round, if the scenario has failing allocations at all.
void session::let_an_allocation_fail()
{
    random_stream random(mix_numbers(options_.seed, rounds_));

    allocation_failed_ = false;
    if (scenario_.failing_allocations && random.one_in(2))
        kmem_fail_nth(static_cast<long>(1 + random.below(most_allocations)));
}

/// False when the tasks do not come to an end.
bool session::wait_for_tasks()
{
    std::unique_lock guard(mutex_);
    int ticks_left = patience;

    while (!all_ended_.wait_for(guard, tick, [this] { return running_ == 0; })) {
        guard.unlock();
        if (!interrupted_ && !(*go_on_)(rounds_)) {
            interrupted_ = true;
            ticks_left = std::min(ticks_left, patience_when_interrupted);
        }
        if (--ticks_left == 0)
            return false;
        guard.lock();
    }
    return true;
}

bool session::run_round()
{
    world_->set_up();
    missing_ = running_ = static_cast<unsigned>(scenario_.tasks.size());
    let_an_allocation_fail();
    ++begun_;
    begun_.notify_all();
    if (!wait_for_tasks())
        return false;
    allocation_failed_ = kmem_failure_delivered();
    kmem_fail_nth(0);
    world_->finish_round();
    ++final_states_[world_->final_state()];
    ++rounds_;
    return true;
}

bool session::limit_reached(clock::time_point begin) const
{
    return (options_.rounds && rounds_ >= options_.rounds) ||
           (options_.seconds > 0 &&
            clock::now() - begin >= std::chrono::duration<double>(options_.seconds));
}

std::string session::what_tasks_are_at() const
{
    std::string text;

    for (unsigned task = 0; task < scenario_.tasks.size(); ++task) {
        const scenario::step *step = world_->current_step(task);

        if (step)
            text += fmt::format("{}{} at '{}'", text.empty() ? "" : ", ",
                                scenario_.tasks[task].name, step->text);
    }
    // Who waits for a lookup that nobody ends can be told whose it is.
    char owed[1000];
    describe_open_obligations(owed, sizeof(owed));
    return text + owed;
}

void session::finish_result(rounds_result &result) const
{
    result.rounds = rounds_;
    result.interrupted = interrupted_;
    result.broken = broken_;
    result.final_states = final_states_;
    result.unknown = unknown_;
    for (size_t i = 0; i < scenario_.sometimes.size(); ++i)
        result.sometimes.emplace_back(scenario_.sometimes[i].text, world_->times_reached(i));
}

/// What the rounds leave is looked for now and then only, because shutting the VFS down takes
/// longer than a hundred rounds.
rounds_result session::run(const std::function<bool(uint64_t)> &go_on)
{
    const clock::time_point begin = clock::now();
    clock::time_point next_tick = begin;
    rounds_result result;

    go_on_ = &go_on;
    while (!interrupted_ && !limit_reached(begin)) {
        if (!run_round()) {
            result.stuck = what_tasks_are_at();
            break;
        }
        if (clock::now() < next_tick)
            continue;
        next_tick = clock::now() + tick;
        interrupted_ = interrupted_ || !go_on(rounds_);
        world_->shut_down();
    }
    if (result.stuck.empty())
        world_->shut_down();
    result.seconds = std::chrono::duration<double>(clock::now() - begin).count();
    finish_result(result);
    return result;
}

} // namespace

rounds_result run_rounds(const scenario::scenario &scenario, const rounds_options &options,
                         const std::function<bool(uint64_t)> &go_on)
{
    auto running = std::make_unique<session>(scenario, options);
    rounds_result result = running->run(go_on);

    // Its threads go on for as long as the process does, and use it.
    if (!result.stuck.empty())
        (void)running.release();
    return result;
}

} // namespace dcsim::cli
