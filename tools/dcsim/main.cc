// SPDX-License-Identifier: GPL-2.0-only
//
// The command `dcsim`: subcommands, and errors turned into messages and exit codes. What was asked
// for goes to stdout, everything said about it to stderr.
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "check_command.h"
#include "dcsim/kernel/rcupdate.h"
#include "dcsim/scenario/scenario.h"
#include "dcsim/scenario/suggestion.h"
#include "exit_code.h"
#include "explain_command.h"
#include "explore_command.h"
#include "interruption.h"
#include "list_command.h"
#include "output.h"
#include "progress.h"
#include "replay_strace_command.h"
#include "report.h"
#include "run.h"
#include "run_command.h"
#include "text.h"
#include "usage_error.h"

namespace dcsim::cli
{

namespace
{

constexpr const char *kernel_release = "7.2";

int run_command(const run_options &options)
{
    if (options.tree_by_default)
        fmt::print(stderr, "dcsim run: neither --import nor --files: a tree of {} made-up names\n",
                   grouped(options.files));
    catch_interruption();
    const run_result result = perform_run(options);
    const std::string report = options.json ? report_json(options, result)
                                            : report_table(options, result, colour_wanted(1));

    if (!write_output(report))
        return exit_internal;
    if (!result.problems.empty())
        return exit_check_failed;
    return result.interrupted ? exit_interrupted : exit_passed;
}

std::string version_text(bool json)
{
    if (json)
        return nlohmann::ordered_json({{"schema", "dcsim.version/1"},
                                       {"version", DCSIM_VERSION},
                                       {"kernel", kernel_release},
                                       {"backends", {"native", "model"}},
                                       {"rcu", rcu_flavour()},
                                       {"carriers", usable_carriers()}})
                   .dump(2) +
               "\n";
    return fmt::format("dcsim {}\nthe dcache of Linux v{}: native threads with liburcu {}, and the "
                       "model backend\n",
                       DCSIM_VERSION, kernel_release, rcu_flavour());
}

/// Every word the user may have meant at this place of the command line.
std::vector<std::string> valid_words(const CLI::App &place)
{
    std::vector<std::string> words;

    for (const CLI::Option *option : place.get_options())
        for (const std::string &name : option->get_lnames())
            words.push_back("--" + name);
    for (const CLI::App *command : place.get_subcommands([](const CLI::App *) { return true; }))
        words.push_back(command->get_name());
    return words;
}

/// What to say about a command line that cannot be understood.
std::string describe(const CLI::App &parser, const CLI::ParseError &error)
{
    const auto chosen = parser.get_subcommands();
    const CLI::App &place = chosen.empty() ? parser : *chosen.front();
    const std::string name = chosen.empty() ? "dcsim" : "dcsim " + place.get_name();
    const std::vector<std::string> unknown = place.remaining();

    if (unknown.empty())
        return fmt::format("{}: {} (see {} --help)", name, error.what(), name);
    const std::string word = unknown.front().substr(0, unknown.front().find('='));
    const char *what = word.starts_with("-") ? "option" : chosen.empty() ? "command" : "argument";
    return fmt::format("{}: unknown {} '{}'.{} (see {} --help)", name, what, printable(word),
                       scenario::did_you_mean(word, valid_words(place)), name);
}

int main_command(int argc, char **argv)
{
    CLI::App parser("A userspace simulator of the Linux VFS dcache", "dcsim");
    run_options run;
    list_options list;
    check_options check;
    explain_options explain;
    explore_options explore;
    explore_options replay;
    replay_strace_options replay_strace;
    bool version_json = false;

    parser.set_version_flag("--version", version_text(false));
    parser.require_subcommand(1);
    const CLI::App *run_parser = add_run_command(parser, run);
    const CLI::App *list_parser = add_list_command(parser, list);
    const CLI::App *check_parser = add_check_command(parser, check);
    const CLI::App *explain_parser = add_explain_command(parser, explain);
    const CLI::App *explore_parser = add_explore_command(parser, explore);
    const CLI::App *replay_parser = add_replay_command(parser, replay);
    const CLI::App *replay_strace_parser = add_replay_strace_command(parser, replay_strace);
    CLI::App *version = parser.add_subcommand("version", "Print the version");
    version->add_flag("--json", version_json, "print it as JSON");
    try {
        parser.parse(argc, argv);
        if (*run_parser) {
            if (!run.scenario.empty())
                return scenario_run_command(complete_scenario_run_options(*run_parser, run));
            complete_run_options(run);
            return run_command(run);
        }
        if (*list_parser)
            return list_command(list);
        if (*check_parser)
            return check_command(check);
        if (*explain_parser)
            return explain_command(explain);
        if (*explore_parser)
            return explore_command(explore);
        if (*replay_parser)
            return replay_command(replay);
        if (*replay_strace_parser)
            return replay_strace_command(replay_strace);
    } catch (const CLI::Success &request) {
        return parser.exit(request);
    } catch (const CLI::ParseError &error) {
        fmt::print(stderr, "{}\n", describe(parser, error));
        return exit_usage;
    } catch (const usage_error &error) {
        fmt::print(stderr, "dcsim {}: {}\n", parser.get_subcommands().front()->get_name(),
                   error.what());
        return exit_usage;
    } catch (const scenario::scenario_error &error) {
        for (const scenario::finding &one : error.findings())
            fmt::print(stderr, "{}\n", printable(one.text()));
        return exit_usage;
    }
    return write_output(version_text(version_json)) ? exit_passed : exit_internal;
}

} // namespace

} // namespace dcsim::cli

int main(int argc, char **argv)
{
    using namespace dcsim::cli;

    try {
        return main_command(argc, argv);
    } catch (const std::bad_alloc &) {
        fmt::print(stderr, "dcsim: out of memory\n");
    } catch (const std::exception &error) {
        fmt::print(stderr, "dcsim: {}\n", error.what());
    }
    return exit_internal;
}
