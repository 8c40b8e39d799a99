// SPDX-License-Identifier: GPL-2.0-only
//
// Results of searches and replays, for people and as JSON.
#include "explore_report.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "exit_code.h"
#include "text.h"

namespace dcsim::cli
{

namespace
{

using json = nlohmann::ordered_json;

bool all_reached(const explore_outcome &outcome)
{
    for (const sometimes_result &one : outcome.sometimes)
        if (!one.reached)
            return false;
    return true;
}

const char *verdict_name(const explore_outcome &outcome)
{
    switch (outcome.search.outcome) {
    case verdict::violated:
        return "violated";
    case verdict::holds:
        return all_reached(outcome) ? "holds" : "never reached";
    case verdict::inconclusive:
        break;
    }
    return "inconclusive";
}

std::string indented(const std::string &text, const char *indent)
{
    std::string out;
    size_t begin = 0;

    while (begin < text.size()) {
        size_t end = text.find('\n', begin);
        if (end == std::string::npos)
            end = text.size();
        out += indent + text.substr(begin, end - begin) + "\n";
        begin = end + 1;
    }
    return out;
}

std::string preemptions_text(unsigned count)
{
    return fmt::format("{} preemption{}", count, count == 1 ? "" : "s");
}

/// What is not the usual.
std::string ground_text(const scenario::scenario &scenario)
{
    const scenario::scenario usual;
    std::string text;

    if (scenario.era != usual.era)
        text += fmt::format("  lookups wait as in era {}\n", scenario.era);
    if (scenario.file_system != usual.file_system)
        text += fmt::format("  on {}\n", scenario.file_system);
    return text;
}

std::string expectation_text(const scenario::scenario &scenario, const explore_outcome &outcome)
{
    const bool expected = is_as_expected(scenario, outcome);

    if (outcome.search.outcome == verdict::inconclusive || (expected && !scenario.expect.violated))
        return "";
    return fmt::format("  {}\n", expected ? "This is what the scenario expects."
                                          : "The scenario expects otherwise: " +
                                                scenario::in_words(scenario.expect));
}

std::string speed_text(const search_result &search)
{
    return fmt::format("  {} execution{}, {} steps (longest {}), {:.2f} s, {} executions/s\n",
                       grouped(search.executions), search.executions == 1 ? "" : "s",
                       grouped(search.steps), search.longest, search.seconds,
                       grouped(static_cast<uint64_t>(search.executions_per_second())));
}

std::string verdict_text(const search_options &options, const explore_outcome &outcome)
{
    const search_result &search = outcome.search;

    switch (search.outcome) {
    case verdict::violated:
        if (search.in_setup)
            return fmt::format("Result: violated, during the set-up ({})\n",
                               violation_name(search.broken.kind));
        return fmt::format("Result: violated ({}), with {}{}\n", violation_name(search.broken.kind),
                           preemptions_text(search.preemptions),
                           search.fewest_preemptions ? "; it does not happen with fewer" : "");
    case verdict::holds:
        return fmt::format("Result: {}: no rule is broken in {} ({} memory)\n",
                           verdict_name(outcome), search.covered, memory_model_name);
    case verdict::inconclusive:
        break;
    }
    return fmt::format("Result: inconclusive: no rule was broken in {} executions of the {} "
                       "strategy{} ({} memory)\n",
                       grouped(search.executions), strategy_name(options.how),
                       search.covered.empty() ? "" : ", which covered " + search.covered,
                       memory_model_name);
}

std::string sometimes_text(const explore_outcome &outcome)
{
    // A search that ended early may have been about to.
    const char *missing =
        outcome.search.outcome == verdict::holds ? "NEVER reached" : "not reached so far";
    std::string text;

    for (const sometimes_result &one : outcome.sometimes)
        text += fmt::format("  sometimes {}: {}\n", one.text,
                            one.reached ? fmt::format("in {} executions", grouped(one.reached))
                                        : missing);
    return text;
}

json violation_json(const violation &broken)
{
    return {{"kind", violation_name(broken.kind)},
            {"text", broken.text},
            {"step", broken.step},
            {"task", broken.task}};
}

json trace_json(const trace &trace)
{
    json steps = json::array();

    for (const trace_step &step : trace.steps) {
        json calls = json::array();
        for (const code_place &call : step.calls)
            calls.push_back(
                {{"function", call.function}, {"file", call.file}, {"line", call.line}});
        steps.push_back({{"step", step.number},
                         {"task", trace.task_names[step.task]},
                         {"operation", operation_name(step.kind)},
                         {"object", step.object},
                         {"writes", step.writes},
                         {"before", step.before},
                         {"after", step.after},
                         {"waited", step.waited},
                         {"preempted", step.preempted},
                         {"scenario_step", step.scenario_step},
                         {"calls", std::move(calls)}});
    }
    return steps;
}

} // namespace

int exit_code_of(const explore_outcome &outcome)
{
    switch (outcome.search.outcome) {
    case verdict::violated:
        return exit_check_failed;
    case verdict::holds:
        return all_reached(outcome) ? exit_passed : exit_check_failed;
    case verdict::inconclusive:
        break;
    }
    return exit_inconclusive;
}

bool is_as_expected(const scenario::scenario &scenario, const explore_outcome &outcome)
{
    const violation &broken = outcome.search.broken;

    if (!scenario.expect.violated)
        return outcome.search.outcome == verdict::holds && all_reached(outcome);
    return outcome.search.outcome == verdict::violated &&
           fmt::format("{}: {}", violation_name(broken.kind), broken.text)
                   .find(scenario.expect.words) != std::string::npos;
}

std::string explore_text(const explore_options &options, const scenario::scenario &scenario,
                         const search_options &search, const explore_outcome &outcome)
{
    std::string text =
        fmt::format("{}{}: {}\n", options.scenario,
                    options.variant.empty() ? "" : " (" + options.variant + ")", scenario.title);

    text += ground_text(scenario);
    text += verdict_text(search, outcome);
    if (outcome.search.outcome == verdict::violated)
        text += indented(outcome.search.broken.text, "  ");
    text += expectation_text(scenario, outcome);
    text += speed_text(outcome.search);
    text += sometimes_text(outcome);
    if (!outcome.lanes.empty()) {
        if (outcome.search.found_preemptions != outcome.search.preemptions)
            text += fmt::format("  shrunk from {} in {} executions\n",
                                preemptions_text(outcome.search.found_preemptions),
                                grouped(outcome.search.shrink_executions));
        text += "\n" + outcome.lanes + "\n";
        text += fmt::format("{}: {}\n", violation_name(outcome.search.broken.kind),
                            outcome.search.broken.text);
        text += "replay: " + outcome.replay + "\n";
    }
    return text;
}

std::string explore_json(const explore_options &options, const scenario::scenario &scenario,
                         const search_options &search, const explore_outcome &outcome)
{
    const search_result &result = outcome.search;
    json sometimes = json::array();
    json out = {{"schema", "dcsim.explore/1"},
                {"scenario", options.scenario},
                {"variant", options.variant},
                {"title", scenario.title},
                {"era", scenario.era},
                {"filesystem", scenario.file_system},
                {"port", options.port},
                {"result", verdict_name(outcome)},
                {"expected", scenario::in_words(scenario.expect)},
                {"as_expected", is_as_expected(scenario, outcome)},
                {"strategy", strategy_name(search.how)},
                {"covered", result.covered},
                {"memory_model", memory_model_name},
                {"seed", search.seed},
                {"executions", result.executions},
                {"steps", result.steps},
                {"longest_execution", result.longest},
                {"given_up", result.given_up},
                {"seconds", result.seconds},
                {"executions_per_second", result.executions_per_second()},
                {"steps_per_second", result.steps_per_second()},
                {"peak_memory_bytes", result.peak_memory_bytes}};

    for (const sometimes_result &one : outcome.sometimes)
        sometimes.push_back({{"text", one.text}, {"reached", one.reached}});
    out["sometimes"] = std::move(sometimes);
    if (result.outcome == verdict::violated) {
        out["violation"] = violation_json(result.broken);
        out["violation"]["preemptions"] = result.preemptions;
        out["violation"]["fewest_preemptions"] = result.fewest_preemptions;
        out["violation"]["preemptions_when_found"] = result.found_preemptions;
        out["violation"]["shrink_executions"] = result.shrink_executions;
        out["token"] = outcome.token;
        out["replay"] = outcome.replay;
        out["trace"] = trace_json(outcome.trace);
    }
    return out.dump(2) + "\n";
}

std::string replay_text(const replay_result &followed, const trace &trace, const std::string &lanes)
{
    std::string text = lanes + "\n";

    if (followed.diverged)
        return text + fmt::format("Result: diverged at step {}\n", followed.diverged_at);
    if (trace.violated)
        return text + fmt::format("Result: violated ({}), with {}, in {} steps\n{}",
                                  violation_name(trace.broken.kind),
                                  preemptions_text(followed.preemptions), followed.steps,
                                  indented(trace.broken.text, "  "));
    return text + fmt::format("Result: no rule is broken, in {} steps\n", followed.steps);
}

std::string replay_json(const scenario::scenario &scenario, const replay_result &followed,
                        const trace &trace)
{
    json out = {{"schema", "dcsim.replay/1"},
                {"title", scenario.title},
                {"era", scenario.era},
                {"filesystem", scenario.file_system},
                {"result", followed.diverged ? "diverged"
                           : trace.violated  ? "violated"
                                             : "holds"},
                {"steps", followed.steps},
                {"preemptions", followed.preemptions}};

    if (trace.violated)
        out["violation"] = violation_json(trace.broken);
    if (followed.diverged)
        out["diverged_at"] = followed.diverged_at;
    out["trace"] = trace_json(trace);
    return out.dump(2) + "\n";
}

} // namespace dcsim::cli
