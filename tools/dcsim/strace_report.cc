// SPDX-License-Identifier: GPL-2.0-only
//
// The report: tables, and one JSON object. The schema's name changes when a key changes its meaning
// or goes; new keys may come without that.
#include "strace_report.h"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "text.h"

namespace dcsim::cli
{

namespace
{

using json = nlohmann::ordered_json;

const char *source_name(tree_source source)
{
    switch (source) {
    case tree_source::trace:
        return "trace";
    case tree_source::machine:
        return "machine";
    default:
        return "import";
    }
}

call_counts total(const replay_result &result)
{
    return std::accumulate(result.calls.begin(), result.calls.end(), call_counts(),
                           [](call_counts sum, const call_counts &one) {
                               return call_counts{sum.equal + one.equal,
                                                  sum.different + one.different,
                                                  sum.skipped + one.skipped};
                           });
}

uint64_t sum_of(const call_counts &counts)
{
    return counts.equal + counts.different + counts.skipped;
}

/// Indices of the system calls, most frequent first.
std::vector<size_t> by_frequency(const replay_result &result)
{
    std::vector<size_t> order(result.calls.size());

    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
        return sum_of(result.calls[a]) > sum_of(result.calls[b]);
    });
    return order;
}

uint64_t counter(const replay_pass &pass, vfs_counter which)
{
    return static_cast<uint64_t>(std::max(pass.counters[which], 0L));
}

// --- Text -------------------------------------------------------------------------------------

class report_text
{
  public:
    template <typename... Arguments>
    void line(fmt::format_string<Arguments...> format, Arguments &&...arguments)
    {
        fmt::format_to(std::back_inserter(text_), format, std::forward<Arguments>(arguments)...);
        text_ += '\n';
    }
    void quantity(std::string_view name, uint64_t value, std::string_view meaning)
    {
        line("  {:<24}{:>12}  {}", name, grouped(value), meaning);
    }
    std::string take()
    {
        return std::move(text_);
    }

  private:
    std::string text_;
};

void add_setting(report_text &text, const strace_report &report)
{
    const strace_line_counts &counts = report.trace.counts;
    const first_tree &tree = report.tree;

    text.line("dcsim replay-strace: {}", report.file == "-" ? "stdin" : printable(report.file));
    text.line("  {} lines: {} calls of {} processes, {} signals, {} exits, {} messages",
              grouped(counts.lines), grouped(counts.calls), grouped(report.trace.processes),
              grouped(counts.signals), grouped(counts.exits), grouped(counts.messages));
    if (counts.fragments + counts.unfinished)
        text.line("  {} calls without an end, {} without a beginning", grouped(counts.unfinished),
                  grouped(counts.fragments));
    switch (report.request.source) {
    case tree_source::trace:
        text.line("  tree: rebuilt from the trace in {} round{}, {} names, {} links concluded",
                  tree.rounds, tree.rounds == 1 ? "" : "s", grouped(tree.nodes.size() - 1),
                  grouped(tree.links_made_up));
        break;
    case tree_source::machine:
        text.line("  tree: {} names of this machine that the trace touches",
                  grouped(tree.nodes.size() - 1));
        break;
    default:
        text.line("  tree: {} names imported", grouped(tree.nodes.size() - 1));
    }
    text.line("  as user {}, from {}{}", tree.uid, printable(tree.working_directory),
              tree.working_directory_known ? "" : " (the trace does not tell: --cwd)");
    if (tree.reordered)
        text.line("  {} calls took effect before others that ended first", grouped(tree.reordered));
    if (report.trace.orphans)
        text.line("  {} processes began unseen; each was taken for a copy of the one that acted "
                  "last",
                  grouped(report.trace.orphans));
}

void add_calls(report_text &text, const strace_report &report)
{
    const replay_result &result = report.result;
    const auto row = [&text](std::string_view name, const call_counts &counts) {
        text.line("  {:<24}{:>12}{:>12}{:>12}", name, grouped(counts.equal),
                  grouped(counts.different), grouped(counts.skipped));
    };

    text.line("\n{:<26}{:>12}{:>12}{:>12}", "calls", "as recorded", "different", "skipped");
    for (const size_t index : by_frequency(result))
        row(report.trace.names[index], result.calls[index]);
    row("all", total(result));
}

void add_skipped(report_text &text, const replay_result &result)
{
    if (result.skipped.empty())
        return;
    text.line("\nskipped, because");
    for (const auto &[reason, names] : result.skipped) {
        std::string list;
        for (const auto &[name, count] : names)
            list += fmt::format("{}{} {}", list.empty() ? "" : ", ", grouped(count), name);
        text.line("  {}: {}", reason, list);
    }
}

void add_differences(report_text &text, const replay_result &result, size_t limit)
{
    if (result.differences.empty())
        return;
    text.line("\ndifferent from what the kernel answered");
    for (size_t index = 0; index < std::min(limit, result.differences.size()); ++index) {
        const replay_difference &one = result.differences[index];
        text.line("  line {}: {}: recorded {}, got {}", one.line, printable(one.call),
                  printable(one.expected), printable(one.got));
    }
    if (result.differences.size() > limit)
        text.line("  and {} more: --limit, or --json for all",
                  grouped(result.differences.size() - limit));
}

void add_unknown(report_text &text, const strace_trace &trace, size_t limit)
{
    constexpr size_t shown_characters = 160;
    const size_t shown = std::min(limit, trace.unknown.size());

    if (!trace.counts.unknown)
        return;
    text.line("\nlines that are no strace output: {}", grouped(trace.counts.unknown));
    for (size_t index = 0; index < shown; ++index)
        text.line("  line {}: {}", trace.unknown[index].number,
                  printable(trace.unknown[index].text.substr(0, shown_characters)));
    if (trace.counts.unknown > shown)
        text.line("  and {} more: --limit, or --json for all",
                  grouped(trace.counts.unknown - shown));
}

void add_pass(report_text &text, const replay_pass &pass, size_t number)
{
    text.line("\n{}", number == 0
                          ? "the replay, from an empty cache"
                          : fmt::format("pass {}: what changes nothing, once more", number + 1));
    text.line("  {:<24}{:>12}  in {:.3f} s, {} per second", "calls", grouped(pass.calls),
              pass.seconds,
              grouped(static_cast<uint64_t>(static_cast<double>(pass.calls) /
                                            std::max(pass.seconds, 1e-6))));
    text.quantity("hits", pass.cached, "calls answered without asking the file system; of these");
    text.quantity("  negative hits", pass.negative, "that a name does not exist");
    text.quantity("misses", pass.calls - pass.cached, "calls that had to ask the file system");
    text.quantity("->lookup() calls", counter(pass, FS_LOOKUPS), "names it was asked for");
    text.quantity("RCU walks", counter(pass, RCU_WALKS),
                  "path walks that arrived without leaving RCU mode");
    text.quantity("left RCU mode", counter(pass, RCU_UNLAZY),
                  "path walks that went on holding references");
    text.quantity("restarts", counter(pass, RCU_RESTARTS), "walks begun anew with references");
    text.quantity("stale", counter(pass, REVAL_RESTARTS), "walks begun anew with LOOKUP_REVAL");
}

void add_verdict(report_text &text, const strace_report &report)
{
    const call_counts all = total(report.result);

    text.line("");
    if (all.different)
        text.line("Result: {} of {} calls were answered differently from what the kernel answered",
                  grouped(all.different), grouped(all.equal + all.different));
    else
        text.line("Result: all {} calls were answered as the kernel answered them",
                  grouped(all.equal));
    for (const std::string &problem : report.result.problems)
        text.line("final check: FAILED: {}", problem);
}

// --- JSON -------------------------------------------------------------------------------------

json trace_json(const strace_trace &trace)
{
    const strace_line_counts &counts = trace.counts;
    json unknown = json::array();

    for (const numbered_line &line : trace.unknown)
        unknown.push_back({{"line", line.number}, {"text", line.text}});
    return {{"lines", counts.lines},
            {"calls", counts.calls},
            {"processes", trace.processes},
            {"orphans", trace.orphans},
            {"signals", counts.signals},
            {"exits", counts.exits},
            {"messages", counts.messages},
            {"stack_lines", counts.stack},
            {"blank", counts.blank},
            {"first_halves", counts.halves},
            {"without_end", counts.unfinished},
            {"without_beginning", counts.fragments},
            {"unknown", counts.unknown},
            {"unknown_lines", unknown}};
}

json tree_json(const strace_report &report)
{
    const first_tree &tree = report.tree;

    return {{"source", source_name(report.request.source)},
            {"directories", report.request.directories},
            {"names", tree.nodes.size() - 1},
            {"rounds", tree.rounds},
            {"links_concluded", tree.links_made_up},
            {"reordered", tree.reordered},
            {"working_directory", tree.working_directory},
            {"working_directory_known", tree.working_directory_known},
            {"uid", tree.uid},
            {"descriptors_from_places", report.result.descriptors_from_places},
            {"directories_from_places", report.result.directories_from_places}};
}

json counts_json(const call_counts &counts)
{
    return {{"as_recorded", counts.equal},
            {"different", counts.different},
            {"skipped", counts.skipped}};
}

json calls_json(const strace_report &report)
{
    json value = json::object();

    for (const size_t index : by_frequency(report.result))
        value[report.trace.names[index]] = counts_json(report.result.calls[index]);
    return value;
}

json skipped_json(const replay_result &result)
{
    json value = json::array();

    for (const auto &[reason, names] : result.skipped)
        value.push_back({{"reason", reason}, {"calls", names}});
    return value;
}

json differences_json(const replay_result &result)
{
    json value = json::array();

    for (const replay_difference &one : result.differences)
        value.push_back(
            {{"line", one.line}, {"call", one.call}, {"recorded", one.expected}, {"got", one.got}});
    return value;
}

json passes_json(const replay_result &result)
{
    json value = json::array();

    for (const replay_pass &pass : result.passes)
        value.push_back({{"calls", pass.calls},
                         {"seconds", pass.seconds},
                         {"hits", pass.cached},
                         {"negative_hits", pass.negative},
                         {"misses", pass.calls - pass.cached},
                         {"fs_lookups", counter(pass, FS_LOOKUPS)},
                         {"rcu_walks", counter(pass, RCU_WALKS)},
                         {"left_rcu", counter(pass, RCU_UNLAZY)},
                         {"rcu_restarts", counter(pass, RCU_RESTARTS)},
                         {"reval_restarts", counter(pass, REVAL_RESTARTS)}});
    return value;
}

} // namespace

std::string strace_report_text(const strace_report &report, size_t limit)
{
    report_text text;

    add_setting(text, report);
    add_calls(text, report);
    add_skipped(text, report.result);
    add_unknown(text, report.trace, limit);
    for (size_t number = 0; number < report.result.passes.size(); ++number)
        add_pass(text, report.result.passes[number], number);
    add_differences(text, report.result, limit);
    add_verdict(text, report);
    return text.take();
}

std::string strace_report_json(const strace_report &report)
{
    const replay_result &result = report.result;
    const json value = {
        {"schema", "dcsim.replay-strace/1"},
        {"version", DCSIM_VERSION},
        {"file", report.file},
        {"result", total(result).different ? "different" : "as recorded"},
        {"trace", trace_json(report.trace)},
        {"tree", tree_json(report)},
        {"total", counts_json(total(result))},
        {"calls", calls_json(report)},
        {"skipped", skipped_json(result)},
        {"differences", differences_json(result)},
        {"passes", passes_json(result)},
        {"dentries", result.dentries},
        {"seconds",
         {{"reading", report.seconds_reading}, {"rebuilding", report.seconds_rebuilding}}},
        {"final_check", {{"passed", result.problems.empty()}, {"problems", result.problems}}}};

    // File names are bytes; what is not UTF-8 is replaced rather than refused.
    return value.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

} // namespace dcsim::cli
