// SPDX-License-Identifier: GPL-2.0-only
//
// Progress, report and exit code of a scenario on native threads. docs/run.md explains the output.
#include "scenario_run.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "dcsim/scenario/library.h"
#include "exit_code.h"
#include "interruption.h"
#include "output.h"
#include "progress.h"
#include "scenario_rounds.h"
#include "text.h"

namespace dcsim::cli
{

namespace
{

using json = nlohmann::ordered_json;
using counted_text = std::pair<std::string, uint64_t>;

/// Of a table; what matters comes first.
constexpr size_t most_rows = 40;

bool failed(const rounds_result &result)
{
    return !result.broken.empty() || !result.stuck.empty();
}

double rounds_per_second(const rounds_result &result)
{
    return result.seconds > 0 ? static_cast<double>(result.rounds) / result.seconds : 0;
}

/// Most frequent first.
std::vector<counted_text> by_frequency(const std::map<std::string, uint64_t> &counts)
{
    std::vector<counted_text> sorted(counts.begin(), counts.end());

    std::stable_sort(
        sorted.begin(), sorted.end(),
        [](const counted_text &a, const counted_text &b) { return a.second > b.second; });
    return sorted;
}

std::string rounds_text(uint64_t count)
{
    return fmt::format("{} round{}", grouped(count), count == 1 ? "" : "s");
}

std::string verdict_text(const rounds_result &result)
{
    const std::string rounds =
        rounds_text(result.rounds) + (result.interrupted ? " (interrupted)" : "");

    if (!result.stuck.empty())
        return fmt::format("Result: failed: after {} the tasks did not end: {}\n", rounds,
                           result.stuck);
    return fmt::format("Result: {} in {}\n",
                       failed(result) ? "failed: a check did not hold" : "passed: every check held",
                       rounds);
}

std::string sometimes_text(const rounds_result &result)
{
    std::string text;

    for (const auto &[expression, reached] : result.sometimes)
        text += fmt::format("  sometimes {}: {}\n", expression,
                            reached ? "in " + rounds_text(reached) : "in no round");
    for (const unknown_check &one : result.unknown)
        text += fmt::format("  {} {}: not known on native threads\n", one.rule, one.text);
    return text;
}

std::string table_text(const char *title, const std::map<std::string, uint64_t> &counts)
{
    std::string text = fmt::format("{}:\n", title);

    const std::vector<counted_text> sorted = by_frequency(counts);

    for (size_t i = 0; i < std::min(sorted.size(), most_rows); ++i)
        fmt::format_to(std::back_inserter(text), "  {:>9}  {}\n", grouped(sorted[i].second),
                       sorted[i].first);
    if (sorted.size() > most_rows)
        text += fmt::format("  and {} others, see --json\n", sorted.size() - most_rows);
    return text;
}

std::string report_text(const scenario_run_options &options, const scenario::scenario &scenario,
                        const rounds_result &result)
{
    std::string text =
        fmt::format("{}{}: {}\n", options.scenario,
                    options.variant.empty() ? "" : " (" + options.variant + ")", scenario.title);

    text += verdict_text(result);
    text += fmt::format("  {} native threads, {:.2f} s, {} rounds/s, seed {}\n",
                        scenario.tasks.size(), result.seconds,
                        grouped(static_cast<uint64_t>(rounds_per_second(result))), options.seed);
    text += sometimes_text(result);
    if (!result.broken.empty())
        text += table_text("Failed checks", result.broken);
    if (!result.final_states.empty())
        text += table_text("Final states", result.final_states);
    return text;
}

json counts_json(const std::vector<counted_text> &counts, const char *name)
{
    json list = json::array();

    for (const auto &[text, count] : counts)
        list.push_back({{"text", text}, {name, count}});
    return list;
}

std::string report_json(const scenario_run_options &options, const scenario::scenario &scenario,
                        const rounds_result &result)
{
    json unknown = json::array();

    for (const unknown_check &one : result.unknown)
        unknown.push_back({{"rule", one.rule}, {"text", one.text}});
    return json({{"schema", "dcsim.scenario-run/1"},
                 {"scenario", options.scenario},
                 {"variant", options.variant},
                 {"title", scenario.title},
                 {"era", scenario.era},
                 {"filesystem", scenario.file_system},
                 {"result", failed(result) ? "failed" : "passed"},
                 {"interrupted", result.interrupted},
                 {"seed", options.seed},
                 {"threads", scenario.tasks.size()},
                 {"rounds", result.rounds},
                 {"seconds", result.seconds},
                 {"rounds_per_second", rounds_per_second(result)},
                 {"stuck", result.stuck},
                 {"broken", counts_json(by_frequency(result.broken), "times")},
                 {"sometimes", counts_json(result.sometimes, "reached")},
                 {"unknown", std::move(unknown)},
                 {"final_states", counts_json(by_frequency(result.final_states), "rounds")}})
               .dump(2, ' ', false, json::error_handler_t::replace) +
           "\n";
}

rounds_result run(const scenario_run_options &options, const scenario::scenario &scenario)
{
    progress_line line;

    catch_interruption();
    return run_rounds(scenario, {options.rounds, options.seconds, options.seed},
                      [&line](uint64_t rounds) {
                          if (line.visible())
                              line.show(fmt::format("{}", rounds_text(rounds)));
                          return !interrupted();
                      });
}

} // namespace

int scenario_run_command(const scenario_run_options &options)
{
    const scenario::scenario scenario =
        scenario::load_scenario(options.scenario, options.variant, options.era);
    const rounds_result result = run(options, scenario);
    int code = failed(result) ? exit_check_failed : exit_passed;

    if (!write_output(options.json ? report_json(options, scenario, result)
                                   : report_text(options, scenario, result)))
        code = exit_internal;
    if (!result.stuck.empty())
        _Exit(code);
    return code == exit_passed && result.interrupted ? exit_interrupted : code;
}

} // namespace dcsim::cli
