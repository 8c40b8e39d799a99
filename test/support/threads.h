// SPDX-License-Identifier: GPL-2.0-only
//
// Threads for tests: many that start together, and one that can be watched while it blocks.
#pragma once

#include <algorithm>
#include <atomic>
#include <barrier>
#include <csignal>
#include <fstream>
#include <latch>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <sched.h>
#include <unistd.h>

#include "dcsim/prim/prim.h"

namespace dcsim::inline DCSIM_BACKEND
{

inline int more_threads_than_processors()
{
    return std::max(8, static_cast<int>(std::thread::hardware_concurrency()) + 4);
}

/// Runs body(0) to body(threads - 1), each in a thread of its own that starts when all are there.
/// They wait for each other awake, so that as many as there are processors start at once.
template <typename Body>
void run_together(int threads, Body body)
{
    std::atomic<int> missing{threads};
    std::vector<std::jthread> running;

    for (int i = 0; i < threads; i++)
        running.emplace_back([&missing, &body, i] {
            for (missing--; missing > 0;)
                sched_yield();
            body(i);
        });
}

/// Keeps this thread on the `index`-th processor it may use.
inline void stay_on_processor(int index)
{
    cpu_set_t allowed;
    cpu_set_t mine;

    CPU_ZERO(&mine);
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
        return;
    index %= CPU_COUNT(&allowed);
    for (int processor = 0; processor < CPU_SETSIZE; processor++)
        if (CPU_ISSET(processor, &allowed) && index-- == 0)
            CPU_SET(processor, &mine);
    sched_setaffinity(0, sizeof(mine), &mine);
}

/// Runs body(me, turn) for every turn in two threads on two processors that meet before each turn,
/// so that both are at the same turn within a hundred nanoseconds.
template <typename Body>
void run_side_by_side(int turns, Body body)
{
    struct alignas(64) place {
        std::atomic<int> turn{-1};
    };
    place places[2];

    run_together(2, [&](int me) {
        stay_on_processor(me);
        for (int turn = 0; turn < turns; turn++) {
            places[me].turn.store(turn, std::memory_order_release);
            for (int i = 0; places[1 - me].turn.load(std::memory_order_acquire) < turn; i++)
                retry_relax(i);
            body(me, turn);
        }
    });
}

/// A read and a write with room for everybody else in between: without a lock around it, updates
/// get lost.
inline void increment_slowly(long *counter)
{
    long value = *counter;
    sched_yield();
    *counter = value + 1;
}

/// A thread whose body should block, and a way to know that it does without waiting for time to
/// pass. The thread stays alive, its body over or not, until it is joined.
class blocking_thread
{
  public:
    template <typename Body>
    explicit blocking_thread(Body body) : thread_([this, body] { run(body); })
    {
        ready_.wait();
    }

    ~blocking_thread()
    {
        join();
    }

    blocking_thread(const blocking_thread &) = delete;
    blocking_thread &operator=(const blocking_thread &) = delete;

    /// Waits until the thread has declared itself asleep, as a task does just before schedule().
    /// False when the body ended instead.
    bool comes_to_wait()
    {
        while (!finished_) {
            if (READ_ONCE(task_->state) == TASK_UNINTERRUPTIBLE)
                return true;
            sched_yield();
        }
        return false;
    }

    /// Waits until the operating system has taken the thread off its processor. False when the body
    /// ended instead.
    bool comes_to_sleep()
    {
        while (!finished_) {
            if (operating_system_state() == 'S')
                return !finished_;
            sched_yield();
        }
        return false;
    }

    task_struct *task() const
    {
        return task_;
    }

    void send(int signal)
    {
        tgkill(getpid(), thread_id_, signal);
    }

    bool finished() const
    {
        return finished_;
    }

    void join()
    {
        if (!thread_.joinable())
            return;
        may_exit_.count_down();
        thread_.join();
    }

  private:
    template <typename Body>
    void run(Body &body)
    {
        // Registers the thread with RCU now, so that it does not block there later.
        rcu_read_lock();
        rcu_read_unlock();
        task_ = get_current();
        thread_id_ = gettid();
        ready_.count_down();
        body();
        finished_ = true;
        may_exit_.wait();
    }

    /// The letter after the program's name in /proc/self/task/<id>/stat.
    char operating_system_state() const
    {
        std::ifstream file("/proc/self/task/" + std::to_string(thread_id_) + "/stat");
        std::ostringstream text;

        text << file.rdbuf();
        size_t name_end = text.str().rfind(')');
        return name_end == std::string::npos ? '?' : text.str().at(name_end + 2);
    }

    task_struct *task_ = nullptr;
    pid_t thread_id_ = 0;
    std::latch ready_{1};
    std::latch may_exit_{1};
    std::atomic<bool> finished_{false};
    std::thread thread_;
};

} // namespace dcsim::inline DCSIM_BACKEND
