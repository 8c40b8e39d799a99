// SPDX-License-Identifier: GPL-2.0-only
//
// What does the end of a lookup cost its owner and those who wait for it, when they are woken under
// d_lock and when they are woken after it? docs/questions/wake-inside-d-lock.md.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include "dcsim/prim/prim.h"
#include "lookup_bench.h"
#include "watched_locks.h"

namespace dcsim::bench
{

namespace
{

/// Keeps this thread on the `index`-th processor it may use, counted round and round from `first`.
void stay_on_processor(unsigned index, unsigned first)
{
    static const cpu_set_t allowed = [] {
        cpu_set_t set;
        CPU_ZERO(&set);
        sched_getaffinity(0, sizeof(set), &set);
        return set;
    }();
    const unsigned processors = static_cast<unsigned>(CPU_COUNT(&allowed));
    cpu_set_t mine;

    index = processors > first ? first + index % (processors - first) : 0;
    CPU_ZERO(&mine);
    for (size_t processor = 0; processor < CPU_SETSIZE; ++processor)
        if (CPU_ISSET(processor, &allowed) && index-- == 0)
            CPU_SET(processor, &mine);
    sched_setaffinity(0, sizeof(mine), &mine);
}

uint64_t voluntary_switches()
{
    rusage usage;

    getrusage(RUSAGE_THREAD, &usage);
    return static_cast<uint64_t>(usage.ru_nvcsw);
}

/// A thread that looks a name up whenever it is told to, and finds it in lookup.
class waiter
{
  public:
    waiter(unsigned index, dentry *directory, const qstr *name)
        : directory_(directory), name_(name), thread_([this, index] { run(index); })
    {
        ready_.wait(false);
    }
    ~waiter()
    {
        ending_ = true;
        begin();
        thread_.join();
        close(state_file_);
    }
    waiter(const waiter &) = delete;
    waiter &operator=(const waiter &) = delete;

    void begin()
    {
        ++round_;
        round_.notify_one();
    }
    /// Does it wait for the owner, with the operating system's word that it is off its processor?
    bool sleeps() const
    {
        char text[128];

        if (READ_ONCE(task_->state) != TASK_UNINTERRUPTIBLE)
            return false;
        const ssize_t length = pread(state_file_, text, sizeof(text) - 1, 0);
        text[std::max<ssize_t>(length, 0)] = 0;
        const std::string_view stat = text;
        return stat.substr(std::min(stat.rfind(')'), stat.size())).starts_with(") S");
    }
    bool is_back() const
    {
        return back_.load(std::memory_order_acquire) == round_.load(std::memory_order_relaxed);
    }

    // Of the last round, when it is back.
    uint64_t returned = 0; ///< when d_alloc_parallel() did, monotonic nanoseconds
    uint64_t switches = 0; ///< times it gave its processor away in it, the wait itself included
    lock_encounters met;

  private:
    void run(unsigned index)
    {
        // The first processor is the owner's.
        stay_on_processor(index, 1);
        task_ = get_current();
        state_file_ =
            open(("/proc/self/task/" + std::to_string(gettid()) + "/stat").c_str(), O_RDONLY);
        ready_ = true;
        ready_.notify_one();
        for (unsigned round = 1;; ++round) {
            round_.wait(round - 1);
            if (ending_)
                return;
            const uint64_t switches_before = voluntary_switches();
            caller_wait_queue wq;

            encounters = {};
            dentry *dentry = d_alloc_parallel(directory_, name_, wq.head());
            returned = monotonic_nanoseconds();
            met = encounters;
            switches = voluntary_switches() - switches_before;
            dput(dentry);
            back_.store(round, std::memory_order_release);
        }
    }

    dentry *directory_;
    const qstr *name_;
    task_struct *task_ = nullptr;
    int state_file_ = -1;
    std::atomic<bool> ready_ = false;
    std::atomic<bool> ending_ = false;
    std::atomic<unsigned> round_ = 0;
    std::atomic<unsigned> back_ = 0;
    std::thread thread_;
};

/// What is measured of one lookup.
struct samples {
    std::vector<double> owner, first, mean, last, switches, hit_d_lock, d_lock_wait, hit_others;

    static double median(std::vector<double> &values)
    {
        auto middle = values.begin() + static_cast<long>(values.size() / 2);

        std::ranges::nth_element(values, middle);
        return values.empty() ? 0 : *middle;
    }
    static double average(const std::vector<double> &values)
    {
        double sum = 0;

        for (const double value : values)
            sum += value;
        return values.empty() ? 0 : sum / static_cast<double>(values.size());
    }
};

class waking
{
  public:
    explicit waking(unsigned waiters)
        : text_("name"), name_(make_hashed_qstr(directory_.root(), text_.data(), 4))
    {
        stay_on_processor(0, 0);
        for (unsigned i = 0; i < waiters; ++i)
            waiters_.push_back(std::make_unique<waiter>(i, directory_.root(), &name_));
    }

    /// One lookup with everybody asleep when it ends. Returns the nanoseconds of its end.
    uint64_t round(samples &into)
    {
        caller_wait_queue wq;
        dentry *dentry = d_alloc_parallel(directory_.root(), &name_, wq.head());

        for (const auto &waiter : waiters_)
            waiter->begin();
        for (const auto &waiter : waiters_)
            while (!waiter->sleeps())
                sched_yield();
        watch_lock(&dentry->d_lockref.lock);
        const uint64_t begin = monotonic_nanoseconds();
        d_add(dentry, nullptr);
        const uint64_t end = monotonic_nanoseconds();
        for (const auto &waiter : waiters_)
            while (!waiter->is_back())
                sched_yield();
        watch_lock(nullptr);
        note(begin, end, into);
        d_drop(dentry);
        dput(dentry);
        return end - begin;
    }

  private:
    void note(uint64_t begin, uint64_t end, samples &into) const
    {
        std::vector<double> latencies;
        double switches = 0;
        lock_encounters met;

        into.owner.push_back(static_cast<double>(end - begin));
        if (waiters_.empty())
            return;
        for (const auto &waiter : waiters_) {
            latencies.push_back(static_cast<double>(waiter->returned - begin));
            switches += static_cast<double>(waiter->switches);
            met.watched += waiter->met.watched;
            met.watched_nanoseconds += waiter->met.watched_nanoseconds;
            met.others += waiter->met.others;
        }
        const auto count = static_cast<double>(waiters_.size());
        into.first.push_back(*std::ranges::min_element(latencies));
        into.mean.push_back(samples::average(latencies));
        into.last.push_back(*std::ranges::max_element(latencies));
        into.switches.push_back(switches / count);
        into.hit_d_lock.push_back(static_cast<double>(met.watched) / count);
        into.d_lock_wait.push_back(static_cast<double>(met.watched_nanoseconds) / count);
        into.hit_others.push_back(static_cast<double>(met.others) / count);
    }

    const lookup_directory directory_;
    std::string text_;
    qstr name_;
    std::vector<std::unique_ptr<waiter>> waiters_;
};

void wake(benchmark::State &state, const protocol_choice &choice, bool kernels_finish_wait)
{
    waking waking(static_cast<unsigned>(state.range(0)));
    samples samples;

    use_protocol(choice);
    finish_wait_as_the_kernel(kernels_finish_wait);
    for (auto _ : state)
        state.SetIterationTime(static_cast<double>(waking.round(samples)) * 1e-9);
    state.counters["owner_ns"] = samples::median(samples.owner);
    if (state.range(0) == 0)
        return;
    state.counters["first_ns"] = samples::median(samples.first);
    state.counters["mean_ns"] = samples::median(samples.mean);
    state.counters["last_ns"] = samples::median(samples.last);
    state.counters["switches"] = samples::average(samples.switches);
    state.counters["hit_d_lock"] = samples::average(samples.hit_d_lock);
    state.counters["d_lock_wait_ns"] = samples::average(samples.d_lock_wait);
    state.counters["hit_others"] = samples::average(samples.hit_others);
}

[[maybe_unused]] const bool registered = [] {
    for (const char *name : {"7.2", "7.2-wake-after-d_lock"})
        for (const bool kernels_finish_wait : {false, true}) {
            const std::string full_name = std::string("waking/") + name +
                                          (kernels_finish_wait ? "/kernel's-finish_wait" : "");

            benchmark::RegisterBenchmark(full_name.c_str(), wake, find_protocol_choice(name),
                                         kernels_finish_wait)
                ->Arg(0)
                ->Arg(1)
                ->Arg(4)
                ->Arg(16)
                ->ArgName("waiters")
                ->UseManualTime();
        }
    return true;
}();

} // namespace

} // namespace dcsim::bench

BENCHMARK_MAIN();
