// SPDX-License-Identifier: GPL-2.0-only
//
// The commands that drive the model backend.
#include "explore_command.h"

#include <cmath>
#include <cstdlib>
#include <limits>

#include <sys/ioctl.h>
#include <unistd.h>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "choices.h"
#include "dcsim/explore/search.h"
#include "dcsim/explore/token.h"
#include "dcsim/explore/trace.h"
#include "dcsim/scenario/library.h"
#include "dcsim/scenario/program.h"
#include "exit_code.h"
#include "explore_report.h"
#include "interruption.h"
#include "output.h"
#include "progress.h"
#include "text.h"
#include "usage_error.h"

namespace dcsim::cli
{

namespace
{

constexpr unsigned most_preemptions = 20;

strategy wanted_strategy(const std::string &name)
{
    strategy which;

    if (!strategy_by_name(name, &which))
        refuse_word("--strategy", name, {"bounded", "dfs", "pct", "uniform", "round-robin"});
    return which;
}

carrier_kind wanted_carrier(const std::string &name)
{
    if (name.empty())
        return default_carrier;
    for (const std::string &usable : usable_carriers())
        if (name == usable)
            return name == "fibers" ? carrier_kind::fibers : carrier_kind::threads;
    refuse_word("--carrier", name, usable_carriers());
}

std::unique_ptr<scenario_program> make_program(const explore_options &options,
                                               const scenario::scenario &scenario)
{
    if (options.port.empty())
        return make_scenario_program(scenario);
    try {
        return load_port(options.port)(scenario);
    } catch (const std::runtime_error &error) {
        throw usage_error(fmt::format("--port {}: {}", printable(options.port), error.what()));
    }
}

scenario::scenario load(const explore_options &options)
{
    refuse_unknown_era(options.era);
    return scenario::load_scenario(options.scenario, options.variant, options.era);
}

/// Ties a token to what it counts steps of.
uint32_t token_hash(const scenario::scenario &scenario, const scenario_program &program)
{
    const uint64_t both = scenario.hash * 0x9e3779b97f4a7c15 + program.port_hash();

    return static_cast<uint32_t>(both ^ both >> 32);
}

search_options search_options_of(const explore_options &options, const scenario::scenario &scenario)
{
    search_options search;

    search.how = wanted_strategy(options.strategy);
    search.preemptions =
        options.preemptions < 0 ? scenario.preemptions : static_cast<unsigned>(options.preemptions);
    search.executions = options.executions;
    search.seconds = options.seconds;
    search.seed = options.seed;
    search.pct_depth = options.pct_depth;
    search.shrink = options.shrink;
    search.carrier = wanted_carrier(options.carrier);
    search.limits.steps = options.step_limit;
    // Sampling never ends by itself.
    if ((search.how == strategy::uniform || search.how == strategy::pct) && !search.executions &&
        search.seconds <= 0)
        search.seconds = 10;
    return search;
}

std::vector<sometimes_result> sometimes_of(const scenario::scenario &scenario,
                                           const scenario_program &program)
{
    std::vector<sometimes_result> results;

    for (size_t i = 0; i < scenario.sometimes.size(); i++)
        results.push_back({scenario.sometimes[i].text, program.times_reached(i)});
    return results;
}

unsigned terminal_width()
{
    winsize size = {};

    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 60 ? size.ws_col : 120;
}

std::string lanes_of(const trace &trace, const explore_options &options)
{
    lanes_options lanes;

    lanes.all_steps = options.full;
    lanes.most_rows = options.full ? 0 : 70;
    lanes.width = terminal_width();
    return format_lanes(trace, lanes);
}

std::string replay_arguments(const explore_options &options, const std::string &token)
{
    std::string text = "dcsim replay " + options.scenario;

    if (!options.variant.empty())
        text += " --variant " + options.variant;
    if (!options.era.empty())
        text += " --era " + options.era;
    if (!options.port.empty())
        text += " --port " + options.port;
    return text + " " + token;
}

/// CLI11 itself takes -1 for the largest of all unsigned numbers.
CLI::Validator whole_number(int64_t smallest)
{
    return CLI::Range(smallest, std::numeric_limits<int64_t>::max(), "UINT");
}

void add_common_options(CLI::App *command, explore_options &options)
{
    command
        ->add_option("scenario", options.scenario,
                     "a name from `dcsim list`, or a file (its name has a '/' or ends in .toml)")
        ->required();
    add_text(command, "--variant", options.variant, "NAME", "a variant of the scenario");
    add_text(command, "--era", options.era, "ERA",
             fmt::format("the kernel whose lookups wait by its protocol, in place of the "
                         "scenario's: {}",
                         fmt::join(era_names(), ", ")));
    add_text(command, "--port", options.port, "FILE",
             "a module with a patched port instead of the built-in");
    add_text(command, "--carrier", options.carrier, "KIND",
             "what carries the tasks: fibers, or threads for debuggers and sanitizers");
    command->add_option("--steps", options.step_limit, "longest execution; default 100000")
        ->check(CLI::Range(100u, 100000000u));
    command->add_flag("--full", options.full, "show every step");
    command->add_flag("--json", options.json, "print the results as JSON");
}

} // namespace

std::vector<std::string> usable_carriers()
{
    if (default_carrier == carrier_kind::fibers)
        return {"fibers", "threads"};
    return {"threads"};
}

CLI::App *add_explore_command(CLI::App &parser, explore_options &options)
{
    CLI::App *command = parser.add_subcommand("explore", "Search the interleavings of a scenario");

    add_common_options(command, options);
    command
        ->add_option("--strategy", options.strategy,
                     "bounded (default), dfs, pct, uniform, round-robin")
        ->type_name("NAME");
    command
        ->add_option("--preemptions", options.preemptions,
                     "largest bound of the bounded strategy; default: the scenario's")
        ->type_name("N")
        ->check(CLI::Range(0u, most_preemptions));
    command->add_option("--executions", options.executions, "stop after so many")
        ->type_name("N")
        ->check(whole_number(1));
    command
        ->add_option("--seconds", options.seconds,
                     "stop after so long; uniform and pct: default 10")
        ->type_name("S")
        ->check(CLI::Range(0.0, 1e6))
        ->check([](const std::string &text) {
            return std::isnan(std::strtod(text.c_str(), nullptr)) ? "not a number" : "";
        });
    command->add_option("--seed", options.seed, "of uniform and pct; default 1")
        ->type_name("N")
        ->check(whole_number(0));
    command
        ->add_option("--pct-depth", options.pct_depth,
                     "ordering constraints pct aims at; default: 1 to 4, drawn anew each time")
        ->type_name("D")
        ->check(CLI::Range(1u, 8u));
    command->add_flag("!--no-shrink", options.shrink, "keep the failing schedule as it was found");
    command->add_flag("--expected", options.expected,
                      "success is what the scenario expects of itself or of the variant");
    command->footer(
        "Strategies:\n"
        "  bounded      everything with 0 preemptions, then with 1, up to --preemptions\n"
        "  dfs          everything, up to the order of independent steps (sleep sets)\n"
        "  pct          random priorities with few random changes\n"
        "  uniform      a random task at every step\n"
        "  round-robin  everybody in turn, with longer and longer turns\n"
        "Exit codes:\n"
        "  0 the rules hold, and the search was complete within its bound\n"
        "  1 a rule is broken, or a `sometimes` was never reached; with --expected, the\n"
        "    scenario expects something else\n"
        "  2 usage or scenario error   3 inconclusive: a limit ended the search\n"
        "  70 internal error           130 interrupted\n"
        "Examples:\n"
        "  dcsim explore parallel-lookup\n"
        "  dcsim explore parallel-lookup --strategy pct --executions 1000000\n");
    return command;
}

CLI::App *add_replay_command(CLI::App &parser, explore_options &options)
{
    CLI::App *command =
        parser.add_subcommand("replay", "Carry out one schedule again, step for step");

    add_common_options(command, options);
    command->add_option("token", options.token, "what explore printed behind `replay:`")
        ->required();
    command->footer("Exit codes:\n"
                    "  0 the schedule breaks no rule   1 it breaks one\n"
                    "  2 usage or scenario error       4 it cannot be followed: another scenario\n"
                    "                                    or another build\n");
    return command;
}

int explore_command(const explore_options &options)
{
    const scenario::scenario scenario = load(options);
    const auto program = make_program(options, scenario);
    search_options search = search_options_of(options, scenario);
    explore_outcome outcome;

    {
        progress_line line;
        catch_interruption();
        search.progress = [&line](uint64_t executions, double seconds, int bound) {
            if (line.visible())
                line.show(fmt::format("{} executions, {:.0f} s{}", grouped(executions), seconds,
                                      bound < 0 ? "" : fmt::format(", bound {}", bound)));
            return !interrupted();
        };
        outcome.search = search_program(program->program(), search);
    }
    outcome.sometimes = sometimes_of(scenario, *program);
    const auto tasks = static_cast<unsigned>(scenario.tasks.size());
    if (outcome.search.outcome == verdict::violated && !outcome.search.in_setup) {
        outcome.token =
            format_token({token_hash(scenario, *program), outcome.search.schedule}, tasks);
        outcome.replay = replay_arguments(options, outcome.token);
        replay_result followed;
        outcome.trace = record_trace(program->program(), outcome.search.schedule, search.carrier,
                                     search.limits, scenario_program::scenario_step_of, &followed);
        if (outcome.trace.violated)
            outcome.search.broken = outcome.trace.broken;
        outcome.lanes = lanes_of(outcome.trace, options);
    }
    if (!write_output(options.json ? explore_json(options, scenario, search, outcome)
                                   : explore_text(options, scenario, search, outcome)))
        return exit_internal;
    if (interrupted())
        return exit_interrupted;
    if (options.expected && outcome.search.outcome != verdict::inconclusive)
        return is_as_expected(scenario, outcome) ? exit_passed : exit_check_failed;
    return exit_code_of(outcome);
}

int replay_command(const explore_options &options)
{
    const scenario::scenario scenario = load(options);
    const auto program = make_program(options, scenario);
    const auto tasks = static_cast<unsigned>(scenario.tasks.size());
    schedule_token token;
    replay_result followed;
    run_limits limits;

    if (const std::string problem = parse_token(options.token, tasks, &token); !problem.empty())
        throw usage_error(fmt::format("token '{}': {}", printable(options.token), problem));
    if (token.hash != token_hash(scenario, *program)) {
        fmt::print(stderr,
                   "dcsim replay: this token was made for another scenario, variant, era or build "
                   "of the port ({:08x}, here {:08x}): its steps mean something else here\n",
                   token.hash, token_hash(scenario, *program));
        return exit_diverged;
    }
    limits.steps = options.step_limit;
    const trace trace =
        record_trace(program->program(), token.schedule, wanted_carrier(options.carrier), limits,
                     scenario_program::scenario_step_of, &followed);
    if (!write_output(options.json ? replay_json(scenario, followed, trace)
                                   : replay_text(followed, trace, lanes_of(trace, options))))
        return exit_internal;
    if (followed.diverged) {
        fmt::print(stderr, "dcsim replay: the schedule could not be followed beyond step {}\n",
                   followed.diverged_at);
        return exit_diverged;
    }
    return trace.violated ? exit_check_failed : exit_passed;
}

} // namespace dcsim::cli
