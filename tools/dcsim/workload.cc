// SPDX-License-Identifier: GPL-2.0-only
//
// The loop of a worker, the background reclaim, and adding up.
#include "workload.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>

#include "dcsim/vfs/statistics.h"
#include "thread_team.h"

namespace dcsim::cli
{

namespace
{

using clock = thread_team::clock;

/// Keeps the number of dentries near a limit, as a machine short of memory would, while it exists.
/// How near depends on how often the machine lets it run; when it ends, it catches up.
class background_reclaim
{
  public:
    background_reclaim(shared_tree &tree, long max_dentries)
        : tree_(tree), max_dentries_(max_dentries)
    {
        if (max_dentries > 0)
            thread_ = std::jthread([this](std::stop_token stop) {
                while (!stop.stop_requested()) {
                    reclaim(excess());
                    std::this_thread::sleep_for(pause);
                }
            });
    }
    ~background_reclaim()
    {
        if (!thread_.joinable())
            return;
        thread_.request_stop();
        thread_.join();
        catch_up();
    }
    background_reclaim(const background_reclaim &) = delete;
    background_reclaim &operator=(const background_reclaim &) = delete;

  private:
    static constexpr auto pause = std::chrono::milliseconds(1);

    long excess() const
    {
        return std::max(get_nr_dentry() - max_dentries_, 0L);
    }

    void reclaim(long excess)
    {
        if (excess == 0)
            return;
        shrink_control control = {static_cast<unsigned long>(excess)};
        const long reclaimed = prune_dcache_sb(tree_.sb, &control);

        tree_.reclaimed.fetch_add(static_cast<uint64_t>(reclaimed), std::memory_order_relaxed);
    }

    /// With the threads of the run at rest. An entry that was used since the last pass is spared
    /// once, so two turns of the list take all that can be taken.
    void catch_up()
    {
        for (long turns = 2 * get_nr_dentry(), more = excess(); more > 0 && turns > 0;
             turns -= more, more = excess())
            reclaim(more);
    }

    shared_tree &tree_;
    const long max_dentries_;
    std::jthread thread_;
};

/// One thread's share of the result.
struct worker_result {
    std::array<kind_result, operation_kinds> kinds = {};
    std::map<std::pair<operation_kind, int>, uint64_t> unexpected;

    void count(operation_kind kind, int error, uint64_t nanoseconds,
               const workload_options &options)
    {
        kind_result &result = kinds[static_cast<size_t>(kind)];
        // Without renames every name is at its place.
        const bool name_away = error == -ENOENT;
        const bool may_be_away = options.mix.share(operation_kind::rename) > 0;
        const bool out_of_memory = error == -ENOMEM;

        ++result.operations;
        result.nanoseconds += nanoseconds;
        if (error == 0)
            return;
        result.misses += name_away;
        result.out_of_memory += out_of_memory;
        if ((name_away && may_be_away) || (out_of_memory && options.memory_may_end))
            return;
        ++result.unexpected;
        ++unexpected[{kind, error}];
    }
};

/// Operations for one thread out of a total: the first threads do one more when it does not divide.
uint64_t share_of(uint64_t total, unsigned threads, unsigned index)
{
    return total / threads + (index < total % threads);
}

void work(team_member &member, operations &operations, const workload_options &options,
          worker_result &result)
{
    random_stream kinds(mix_numbers(options.seed, ~static_cast<uint64_t>(member.index())));
    const uint64_t limit = options.operations
                               ? share_of(options.operations, options.threads, member.index())
                               : UINT64_MAX;
    clock::time_point before = clock::now();

    for (uint64_t done = 0; done < limit && !member.should_stop();) {
        const operation_kind kind = options.mix.pick(kinds);
        const int error = operations.perform(kind);
        const clock::time_point after = clock::now();
        const auto spent = std::chrono::nanoseconds(after - before).count();

        result.count(kind, error, static_cast<uint64_t>(spent), options);
        before = after;
        member.report(++done);
    }
}

void add(workload_result &total, const worker_result &part)
{
    for (size_t kind = 0; kind < operation_kinds; ++kind) {
        kind_result &sum = total.kinds[kind];
        const kind_result &one = part.kinds[kind];

        sum.operations += one.operations;
        sum.misses += one.misses;
        sum.out_of_memory += one.out_of_memory;
        sum.unexpected += one.unexpected;
        sum.nanoseconds += one.nanoseconds;
    }
    for (const auto &one : part.unexpected) {
        const auto [kind, error] = one.first;
        const auto same = std::ranges::find_if(total.unexpected, [&one](const auto &known) {
            return std::pair(known.kind, known.error) == one.first;
        });

        if (same == total.unexpected.end())
            total.unexpected.push_back({kind, error, one.second});
        else
            same->count += one.second;
    }
}

clock::duration duration_of(double seconds)
{
    if (seconds <= 0)
        return clock::duration::max();
    return std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(seconds));
}

} // namespace

walk_result walk_all_names(shared_tree &tree, const workload_options &options,
                           const tick_function &tick)
{
    const background_reclaim reclaim(tree, options.max_dentries);
    const size_t names = tree.names.size();
    std::mutex mutex;
    walk_result result;

    result.seconds = thread_team::run(
        options.threads, clock::duration::max(),
        [&](team_member &member) {
            operations operations(tree, member.index());
            walk_result part;

            for (size_t name = member.index(); name < names && !member.should_stop();
                 name += options.threads) {
                if (const int error = operations.look_up(tree.names.path(name))) {
                    ++part.failed;
                    part.first_error = error;
                    part.first_path = tree.names.path(name);
                } else {
                    ++part.found;
                }
                member.report(part.found + part.failed);
            }
            const std::lock_guard guard(mutex);
            result.found += part.found;
            result.failed += part.failed;
            if (part.failed) {
                result.first_error = part.first_error;
                result.first_path = part.first_path;
            }
        },
        tick);
    return result;
}

workload_result run_workload(shared_tree &tree, const workload_options &options,
                             const tick_function &tick)
{
    const background_reclaim reclaim(tree, options.max_dentries);
    std::mutex mutex;
    workload_result result;

    result.seconds = thread_team::run(
        options.threads, duration_of(options.seconds),
        [&](team_member &member) {
            operations operations(tree, member.index());
            worker_result part;

            work(member, operations, options, part);
            // An injected allocation failure comes once, so the second try is on firm ground.
            bool restored = false;
            for (int attempt = 0; attempt < 2 && !restored; ++attempt)
                restored = operations.restore() == 0;
            const std::lock_guard guard(mutex);
            add(result, part);
            result.names_not_restored += !restored;
        },
        tick);
    return result;
}

} // namespace dcsim::cli
