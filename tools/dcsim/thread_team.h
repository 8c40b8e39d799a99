// SPDX-License-Identifier: GPL-2.0-only
//
// Threads that begin together, are watched from the thread that started them, and end together.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace dcsim::cli
{

/// What one thread of a team sees of the others.
class team_member
{
  public:
    team_member(unsigned index, const std::atomic<bool> &stop) : index_(index), stop_(stop) {}

    unsigned index() const
    {
        return index_;
    }
    bool should_stop() const
    {
        return stop_.load(std::memory_order_relaxed);
    }
    /// Tells the watcher that so many operations are done by this thread.
    void report(uint64_t operations)
    {
        operations_.store(operations, std::memory_order_relaxed);
    }
    uint64_t reported() const
    {
        return operations_.load(std::memory_order_relaxed);
    }

  private:
    const unsigned index_;
    const std::atomic<bool> &stop_;
    alignas(64) std::atomic<uint64_t> operations_ = 0;
};

class thread_team
{
  public:
    using clock = std::chrono::steady_clock;

    /// Runs `work` in `threads` threads at once and returns when all have ended. Meanwhile `watch`
    /// is called with the operations done, at once and then at every tick; when it returns false,
    /// or `limit` is over, the members are told to stop. Returns the seconds from the common start
    /// to the last end. Throws std::runtime_error when threads cannot be had, and what a member's
    /// work throws.
    static double run(unsigned threads, clock::duration limit,
                      const std::function<void(team_member &)> &work,
                      const std::function<bool(uint64_t)> &watch);

  private:
    thread_team(unsigned threads, const std::function<void(team_member &)> &work);

    void start();
    void member_main(team_member &member);
    void watch_until_end(clock::time_point deadline, const std::function<bool(uint64_t)> &watch);
    uint64_t operations_done() const;

    const std::function<void(team_member &)> &work_;
    std::vector<std::unique_ptr<team_member>> members_;
    std::atomic<bool> started_ = false;
    std::atomic<bool> stop_ = false;

    std::mutex mutex_; ///< guards the three below
    std::condition_variable ended_;
    unsigned running_ = 0;
    std::exception_ptr failure_;

    /// Last, so that the threads are joined before anything they use goes away.
    std::vector<std::jthread> threads_;
};

} // namespace dcsim::cli
