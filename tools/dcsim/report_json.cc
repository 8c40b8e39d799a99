// SPDX-License-Identifier: GPL-2.0-only
//
// The results as one JSON object. The schema's name changes when a key changes its meaning or goes;
// new keys may come without that.
#include "report.h"

#include <nlohmann/json.hpp>

namespace dcsim::cli
{

namespace
{

using json = nlohmann::ordered_json;

json options_json(const run_options &options, const run_result &result)
{
    const workload_options &workload = options.workload;
    json mix = json::object();

    for (size_t kind = 0; kind < operation_kinds; ++kind) {
        const auto which = static_cast<operation_kind>(kind);
        mix[operation_kind_name(which)] = workload.mix.share(which);
    }
    return {{"threads", workload.threads},
            {"seconds", workload.seconds},
            {"operations", workload.operations},
            {"mix", workload.mix.text()},
            {"mix_shares", mix},
            {"era", result.era},
            {"filesystem", result.filesystem},
            {"lookup_delay_us", options.lookup_delay_us},
            {"seed", workload.seed},
            {"max_dentries", workload.max_dentries},
            {"dhash_entries", options.dhash_entries},
            {"in_lookup_shift", options.in_lookup_shift},
            {"fail_alloc", options.fail_alloc}};
}

json tree_json(const run_result &result)
{
    const tree_description &tree = result.tree;
    json value = {{"source", tree.source}};

    if (tree.source == "import")
        value["directory"] = tree.directory;
    value["names"] = result.names;
    value["directories"] = tree.directories;
    value["files"] = tree.files;
    value["symlinks"] = tree.symlinks;
    value["others"] = tree.others;
    value["skipped"] = tree.skipped;
    value["vanished"] = tree.vanished;
    value["too_long"] = result.names_left_out;
    if (!tree.first_skipped.empty())
        value["first_skipped"] = tree.first_skipped;
    return value;
}

json kind_json(const kind_result &kind, double seconds)
{
    const auto operations = static_cast<double>(kind.operations);

    return {{"operations", kind.operations},
            {"per_second", seconds > 0 ? operations / seconds : 0},
            {"mean_ns", kind.operations ? static_cast<double>(kind.nanoseconds) / operations : 0},
            {"name_away", kind.misses},
            {"no_memory", kind.out_of_memory},
            {"unexpected", kind.unexpected}};
}

json operations_json(const workload_result &workload)
{
    json value = json::object();

    for (size_t kind = 0; kind < operation_kinds; ++kind)
        value[operation_kind_name(static_cast<operation_kind>(kind))] =
            kind_json(workload.kinds[kind], workload.seconds);
    return value;
}

json errors_json(const workload_result &workload)
{
    json value = json::array();

    for (const unexpected_error &error : workload.unexpected)
        value.push_back({{"operation", operation_kind_name(error.kind)},
                         {"errno", -error.error},
                         {"message", error_message(-error.error)},
                         {"count", error.count}});
    return value;
}

json counters_json(const run_result &result)
{
    json value;

    value["lookups"] = {{"fs_lookups", result.during_run(FS_LOOKUPS)},
                        {"waits", result.during_run(LOOKUP_WAITS)}};
    value["walks"] = {{"rcu_walks", result.during_run(RCU_WALKS)},
                      {"rcu_unlazy", result.during_run(RCU_UNLAZY)},
                      {"rcu_restarts", result.during_run(RCU_RESTARTS)}};
    value["retries"] = {{"seq", result.during_run(RETRY_SEQ)},
                        {"rename_lock", result.during_run(RETRY_RENAME_LOCK)},
                        {"dir_seq", result.during_run(RETRY_DIR_SEQ)},
                        {"dying", result.during_run(RETRY_DYING)},
                        {"mismatch", result.during_run(RETRY_MISMATCH)},
                        {"walk_restarts", result.during_run(WALK_RESTARTS)}};
    value["dentries"] = {{"cached_at_start", result.at_start[NR_DENTRY]},
                         {"cached_at_end", result.at_end[NR_DENTRY]},
                         {"unused", result.at_end[NR_DENTRY_UNUSED]},
                         {"negative", result.at_end[NR_DENTRY_NEGATIVE]},
                         {"allocated", result.during_run(DENTRIES_ALLOCATED)},
                         {"freed", result.during_run(DENTRIES_FREED)},
                         {"reclaimed", result.reclaimed},
                         {"bytes_per_dentry", result.bytes_per_dentry}};
    return value;
}

} // namespace

std::string report_json(const run_options &options, const run_result &result)
{
    json value = {
        {"schema", "dcsim.run/1"},
        {"version", DCSIM_VERSION},
        {"options", options_json(options, result)},
        {"tree", tree_json(result)},
        {"warm_up",
         {{"names", result.warm_up.found + result.warm_up.failed},
          {"seconds", result.warm_up.seconds}}},
        {"run", {{"seconds", result.workload.seconds}, {"interrupted", result.interrupted}}},
        {"operations", operations_json(result.workload)},
        {"errors", errors_json(result.workload)}};

    value.update(counters_json(result));
    if (result.failure_delivered)
        value["allocation_failure_delivered"] = *result.failure_delivered;
    value["final_check"] = {{"passed", result.problems.empty()}, {"problems", result.problems}};
    // File names are bytes; what is not UTF-8 is replaced rather than refused.
    return value.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

} // namespace dcsim::cli
