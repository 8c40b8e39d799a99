// SPDX-License-Identifier: GPL-2.0-only
//
// The course of a run.
#include "run.h"

#include <chrono>

#include <fmt/format.h>
#include <sys/prctl.h>

#include "dcsim/kernel/slab.h"
#include "dcsim/mockfs/memfs.h"
#include "dcsim/vfs/lookup_era.h"
#include "interruption.h"
#include "progress.h"
#include "report.h"
#include "simulation.h"

namespace dcsim::cli
{

namespace
{

using clock = std::chrono::steady_clock;

/// From this number of names on a run is about a large cache, so that it should stay large.
constexpr size_t large_tree = 100000;

/// Keeps the progress line of one phase up to date.
class phase_progress
{
  public:
    phase_progress(progress_line &line, std::string phase, double limit_seconds,
                   uint64_t limit_operations)
        : line_(line), phase_(std::move(phase)), limit_seconds_(limit_seconds),
          limit_operations_(limit_operations)
    {
    }

    void show(uint64_t operations)
    {
        if (!line_.visible())
            return;
        const double seconds = std::chrono::duration<double>(clock::now() - begin_).count();
        const std::string limit =
            limit_seconds_ > 0 ? fmt::format(" of {:.1f}", limit_seconds_) : "";
        const std::string total =
            limit_operations_ ? fmt::format(" of {}", grouped(limit_operations_)) : "";

        line_.show(fmt::format("{}: {:.1f}{} s, {}{} operations ({}/s), {} dentries, {} lookups, "
                               "{} waits",
                               phase_, seconds, limit, grouped(operations), total,
                               grouped(static_cast<uint64_t>(operations / std::max(seconds, 0.01))),
                               grouped(static_cast<uint64_t>(get_nr_dentry())),
                               grouped(static_cast<uint64_t>(vfs_counter_value(FS_LOOKUPS))),
                               grouped(static_cast<uint64_t>(vfs_counter_value(LOOKUP_WAITS)))));
    }

  private:
    progress_line &line_;
    std::string phase_;
    double limit_seconds_;
    uint64_t limit_operations_;
    clock::time_point begin_ = clock::now();
};

tree_description fill(const run_options &options, const simulation &simulation,
                      name_catalogue &names, progress_line &line)
{
    super_block *sb = simulation.sb();

    if (!options.import_directory.empty()) {
        line.show(fmt::format("importing {} ...", printable(options.import_directory)));
        return import_tree(sb, options.import_directory, names);
    }
    line.show(fmt::format("making up a tree of {} names ...", grouped(options.files)));
    return generate_tree(simulation.filesystem(), sb, options.files, options.workload.seed, names);
}

void warm_up(const run_options &options, shared_tree &tree, progress_line &line, run_result &result)
{
    phase_progress progress(line, "warm-up", 0, tree.names.size());

    result.warm_up = walk_all_names(tree, options.workload, [&](uint64_t operations) {
        progress.show(operations);
        return !interrupted();
    });
}

void run_measured(const run_options &options, shared_tree &tree, lookup_delay &delay,
                  progress_line &line, run_result &result)
{
    phase_progress progress(line, "run", options.workload.seconds, options.workload.operations);

    result.at_start = read_counters();
    tree.reclaimed = 0;
    delay.set_microseconds(options.lookup_delay_us);
    if (options.fail_alloc)
        kmem_fail_nth(options.fail_alloc);
    if (!interrupted())
        result.workload = run_workload(tree, options.workload, [&](uint64_t operations) {
            progress.show(operations);
            return !interrupted();
        });
    if (options.fail_alloc)
        result.failure_delivered = kmem_failure_delivered();
    kmem_fail_nth(0);
    delay.set_microseconds(0);
    result.at_end = read_counters();
    result.reclaimed = tree.reclaimed;
    result.interrupted = interrupted();
}

void complain_about_walk(const walk_result &walk, const char *when, run_result &result)
{
    if (walk.failed)
        result.problems.push_back(fmt::format(
            "{} names could not be looked up {} (one is '{}': {})", grouped(walk.failed), when,
            printable(walk.first_path), error_message(-walk.first_error)));
}

/// Only memfs can be asked how many nodes it has; 0 of any other.
long nodes_on_disk(const run_options &options, super_block *sb)
{
    return options.filesystem == memfs_filesystem.name ? memfs_node_count(sb) : 0;
}

/// Everything was moved back, so every name must lead somewhere and the disk must hold as many
/// nodes as before.
void verify_tree(const run_options &options, shared_tree &tree, long nodes_before,
                 progress_line &line, run_result &result)
{
    phase_progress progress(line, "verifying", 0, tree.names.size());
    const walk_result walk = walk_all_names(tree, options.workload, [&](uint64_t operations) {
        progress.show(operations);
        return true;
    });
    const long nodes = nodes_on_disk(options, tree.sb);
    uint64_t unexpected = 0;

    complain_about_walk(result.warm_up, "during the warm-up", result);
    complain_about_walk(walk, "after the run", result);
    if (nodes != nodes_before)
        result.problems.push_back(
            fmt::format("the disk holds {} nodes; it held {} before", nodes, nodes_before));
    if (result.workload.names_not_restored)
        result.problems.push_back(fmt::format("{} renamed names could not be moved back",
                                              result.workload.names_not_restored));
    for (const kind_result &kind : result.workload.kinds)
        unexpected += kind.unexpected;
    if (unexpected)
        result.problems.push_back(fmt::format(
            "{} operations ended with an error they must not end with", grouped(unexpected)));
}

} // namespace

counter_values read_counters()
{
    counter_values counters;

    for (unsigned counter = 0; counter < VFS_COUNTERS; ++counter)
        counters.values[counter] = vfs_counter_value(static_cast<vfs_counter>(counter));
    return counters;
}

run_result perform_run(const run_options &options)
{
    progress_line line;
    name_catalogue names;
    run_result result;

    // Sleep as long as --lookup-delay says: by default timers may be 50 microseconds late, on top.
    prctl(PR_SET_TIMERSLACK, 1UL);
    line.show("booting ...");
    simulation simulation(options);
    result.era = lookup_era_name(current_lookup_era());
    result.filesystem = simulation.filesystem().name;
    result.tree = fill(options, simulation, names, line);
    result.names = names.size();
    result.names_left_out = names.left_out();
    result.bytes_per_dentry = dentry_bytes();

    shared_tree tree = {.sb = simulation.sb(),
                        .mnt = simulation.mnt(),
                        .names = names,
                        .seed = options.workload.seed,
                        .whole_cache_shrinks =
                            options.workload.max_dentries == 0 && names.size() < large_tree};
    const long nodes = nodes_on_disk(options, tree.sb);
    warm_up(options, tree, line, result);
    run_measured(options, tree, simulation.delay(), line, result);
    verify_tree(options, tree, nodes, line, result);
    line.show("unmounting ...");
    for (std::string &problem : simulation.shut_down())
        result.problems.push_back(std::move(problem));
    return result;
}

} // namespace dcsim::cli
