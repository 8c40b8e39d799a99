// SPDX-License-Identifier: GPL-2.0-only
//
// What does a lookup cost that nobody else waits for, in each era? docs/questions/waiter-flag.md.
#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "lookup_bench.h"

namespace dcsim::bench
{

namespace
{

/// Time of one lookup: the median of batches, so that those in which the machine did something else
/// do not count.
void no_waiters(benchmark::State &state, const protocol_choice &choice, lookup_end end)
{
    const lookup_directory directory;
    lookup_batch batch(directory);
    std::vector<double> nanoseconds;

    use_protocol(choice);
    for (auto _ : state) {
        const auto begin = std::chrono::steady_clock::now();

        batch.perform(end);
        const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin;

        state.SetIterationTime(spent.count());
        nanoseconds.push_back(spent.count() * 1e9 / lookup_batch::size);
        batch.clean_up();
    }
    std::ranges::nth_element(nanoseconds,
                             nanoseconds.begin() + static_cast<long>(nanoseconds.size() / 2));
    state.counters["ns_per_lookup"] = nanoseconds[nanoseconds.size() / 2];
}

[[maybe_unused]] const bool registered = [] {
    for (const protocol_choice &choice : protocol_choices())
        for (const lookup_end end : {lookup_end::published, lookup_end::dropped}) {
            const std::string name = std::string("no_waiters/") +
                                     (end == lookup_end::published ? "published/" : "dropped/") +
                                     choice.name;

            benchmark::RegisterBenchmark(name.c_str(), no_waiters, choice, end)
                ->UseManualTime()
                ->Unit(benchmark::kMicrosecond);
        }
    return true;
}();

} // namespace

} // namespace dcsim::bench
