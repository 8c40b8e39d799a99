// SPDX-License-Identifier: GPL-2.0-only
//
// Start, watch and end of a team of threads.
#include "thread_team.h"

#include <memory>
#include <stdexcept>
#include <system_error>

#include <fmt/format.h>

namespace dcsim::cli
{

namespace
{

/// Ten times a second: fast enough for a progress line and for Ctrl-C.
constexpr auto tick = std::chrono::milliseconds(100);

} // namespace

thread_team::thread_team(unsigned threads, const std::function<void(team_member &)> &work)
    : work_(work)
{
    for (unsigned index = 0; index < threads; ++index)
        members_.push_back(std::make_unique<team_member>(index, stop_));
    threads_.reserve(threads);
}

void thread_team::member_main(team_member &member)
{
    started_.wait(false);
    try {
        work_(member);
    } catch (...) {
        const std::lock_guard guard(mutex_);
        failure_ = std::current_exception();
        stop_ = true;
    }
    // Notified with the mutex held: the watcher may destroy the team as soon as it gets it.
    const std::lock_guard guard(mutex_);
    if (--running_ == 0)
        ended_.notify_one();
}

/// Starts all threads or none: those that exist already find `stop_` set.
void thread_team::start()
{
    running_ = static_cast<unsigned>(members_.size());
    try {
        for (const auto &member : members_)
            threads_.emplace_back([this, &member] { member_main(*member); });
    } catch (const std::system_error &error) {
        stop_ = true;
        started_ = true;
        started_.notify_all();
        throw std::runtime_error(fmt::format("only {} of {} threads could be started: {}",
                                             threads_.size(), members_.size(),
                                             error.code().message()));
    }
    started_ = true;
    started_.notify_all();
}

uint64_t thread_team::operations_done() const
{
    uint64_t sum = 0;
    for (const auto &member : members_)
        sum += member->reported();
    return sum;
}

void thread_team::watch_until_end(clock::time_point deadline,
                                  const std::function<bool(uint64_t)> &watch)
{
    std::unique_lock guard(mutex_);
    const auto all_ended = [this] { return running_ == 0; };

    // Looked at before the first wait as well: on a busy machine that may be the only time.
    while (!all_ended()) {
        guard.unlock();
        const bool go_on = watch(operations_done());
        guard.lock();
        const clock::time_point now = clock::now();

        if (!go_on || now >= deadline)
            break;
        ended_.wait_until(guard, std::min(now + tick, deadline), all_ended);
    }
    stop_ = true;
    ended_.wait(guard, all_ended);
}

double thread_team::run(unsigned threads, clock::duration limit,
                        const std::function<void(team_member &)> &work,
                        const std::function<bool(uint64_t)> &watch)
{
    thread_team team(threads, work);

    team.start();
    const clock::time_point begin = clock::now();
    team.watch_until_end(limit == clock::duration::max() ? clock::time_point::max() : begin + limit,
                         watch);
    const std::chrono::duration<double> elapsed = clock::now() - begin;
    if (team.failure_)
        std::rethrow_exception(team.failure_);
    return elapsed.count();
}

} // namespace dcsim::cli
