// SPDX-License-Identifier: GPL-2.0-only
//
// Options of `dcsim run`: their types, ranges and texts.
#include "run_command.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "choices.h"
#include "dcsim/mockfs/mock_filesystem.h"
#include "dcsim/vfs/vfs.h"
#include "usage_error.h"

namespace dcsim::cli
{

namespace
{

constexpr uint64_t default_files = 10000;
constexpr double default_seconds = 5;
constexpr double longest_seconds = 1e6;
constexpr uint64_t default_rounds = 10000;

template <typename Number>
Number parse_number(const std::string &text, const std::string &option)
{
    Number value = {};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);

    if (error == std::errc::result_out_of_range)
        throw usage_error(fmt::format("{} {}: the number is too large", option, text));
    if (error != std::errc() || end != text.data() + text.size())
        throw usage_error(fmt::format("{} '{}': not a {}number", option, text,
                                      std::is_integral_v<Number> ? "whole " : ""));
    return value;
}

/// An option with a whole number from `smallest` to `largest`.
template <typename Number>
void add_number(CLI::App *command, const char *option, Number &target, int64_t smallest,
                int64_t largest, const char *type, const std::string &help)
{
    command
        ->add_option_function<std::string>(
            option,
            [=, &target](const std::string &text) {
                const auto value = parse_number<int64_t>(text, option);

                if (value < smallest || value > largest)
                    throw usage_error(fmt::format("{} {}: must be from {} to {}", option, value,
                                                  smallest, largest));
                target = static_cast<Number>(value);
            },
            help)
        ->type_name(type);
}

void add_seconds(CLI::App *command, double &target)
{
    command
        ->add_option_function<std::string>(
            "--seconds",
            [&target](const std::string &text) {
                target = parse_number<double>(text, "--seconds");
                // Written so that a NaN is refused as well.
                if (!(target > 0 && target <= longest_seconds))
                    throw usage_error(fmt::format(
                        "--seconds {}: must be above 0 and at most {:.0f}", text, longest_seconds));
            },
            fmt::format("run for so long; default {}", default_seconds))
        ->type_name("S");
}

std::string run_footer()
{
    std::string text = "Mixes:\n";

    for (const named_mix &mix : named_mixes())
        text += fmt::format("  {:<10}{}\n            {}\n", mix.name, mix.weights, mix.purpose);
    text +=
        "Kinds of operation:\n"
        "  cold      make a name uncached and look it up again\n"
        "  hot       look up a name that is most likely cached\n"
        "  negative  look up a name that does not exist\n"
        "  rename    move a name away, back, or exchange two\n"
        "  pressure  reclaim some hundred unused dentries\n"
        "With a scenario (see `dcsim list`), each task is a thread, round after round, and the\n"
        "options are --variant, --era, --ops (rounds; default 10000), --seconds, --seed and\n"
        "--json.\n"
        "Exit codes:\n"
        "  0 final check passed  1 it failed  2 usage error  70 internal error\n"
        "  130 interrupted (Ctrl-C: the run stops, reports and is checked; again: at once)\n"
        "Examples:\n"
        "  dcsim run --import /usr/include --threads 4 --lookup-delay 50\n"
        "  dcsim run --files 1000000 --max-dentries 800000 --threads 4 --seconds 10\n"
        "  dcsim run parallel-lookup --ops 100000\n"
        "  dcsim run --mix cold=30,rename=70 --ops 100000 --threads 1 --seed 7 --json\n";
    return text;
}

void add_tree_options(CLI::App *command, run_options &options)
{
    add_text(command, "--import", options.import_directory, "DIR",
             "fill the file system with the names of this directory tree");
    add_number(command, "--files", options.files, 1, 20000000, "N",
               fmt::format("fill it with N made-up names instead; default {}", default_files));
    add_number(command, "--lookup-delay", options.lookup_delay_us, 0, 10000000, "US",
               "each ->lookup() of the run takes so many microseconds; default 0");
}

void add_scenario_options(CLI::App *command, run_options &options)
{
    add_text(command, "scenario", options.scenario, "NAME|FILE",
             "a scenario instead: a name from `dcsim list`, or a file (with a '/' or ending in "
             ".toml)");
    add_text(command, "--variant", options.variant, "NAME", "a variant of the scenario");
}

void refuse_both_limits(const workload_options &workload)
{
    if (workload.seconds > 0 && workload.operations)
        throw usage_error("--seconds and --ops: give one of them, it says when the run ends");
}

std::vector<std::string> filesystem_names()
{
    std::vector<std::string> names;

    for (const mock_filesystem *filesystem : mock_filesystems())
        names.emplace_back(filesystem->name);
    return names;
}

void choose_era(run_options &options)
{
    if (options.era.empty())
        options.era = lookup_era_name(vfs_config().era);
    refuse_unknown_era(options.era);
}

/// The renames of the workload move directories, exchange names and insist on a free target. netfs
/// refuses all flags, as NFS does; ovlfs leaves directories of the lower layer where they are; in
/// dynfs names come and go by themselves.
bool renames_anything(const std::string &filesystem)
{
    return filesystem != "netfs" && filesystem != "ovlfs" && filesystem != "dynfs";
}

void refuse_other_filesystem(const run_options &options)
{
    if (!find_mock_filesystem(options.filesystem.c_str()))
        refuse_word("--filesystem", options.filesystem, filesystem_names());
    if (!options.import_directory.empty() && options.filesystem != memfs_filesystem.name)
        throw usage_error(fmt::format("--import and --filesystem {}: only memfs can be filled with "
                                      "a directory",
                                      options.filesystem));
    if (options.workload.mix.share(operation_kind::rename) > 0 &&
        !renames_anything(options.filesystem))
        throw usage_error(fmt::format("--filesystem {}: it does not rename as the mix {} does; "
                                      "choose one without renames, such as --mix cold",
                                      options.filesystem, options.workload.mix.text()));
}

void add_library_options(CLI::App *command, run_options &options)
{
    add_text(command, "--era", options.era, "ERA",
             fmt::format("the kernel whose lookups wait by its protocol: {}; default {}",
                         fmt::join(era_names(), ", "), lookup_era_name(vfs_config().era)));
    add_text(command, "--filesystem", options.filesystem, "NAME",
             fmt::format("what is mounted: {}; default {}", fmt::join(filesystem_names(), ", "),
                         options.filesystem));
    add_number(command, "--max-dentries", options.workload.max_dentries, 1, INT64_MAX, "N",
               "reclaim unused dentries in the background when there are more than N");
    add_number(command, "--dhash-entries", options.dhash_entries, 2, int64_t{1} << 28, "N",
               "buckets of the dentry hash, half as many for inodes; default: by memory size");
    add_number(command, "--in-lookup-shift", options.in_lookup_shift, 0, 20, "K",
               "2^K buckets of the in-lookup hash; default 10");
    add_number(command, "--fail-alloc", options.fail_alloc, 1, INT64_MAX, "N",
               "let the N-th allocation of the run fail");
}

} // namespace

CLI::App *add_run_command(CLI::App &parser, run_options &options)
{
    CLI::App *command =
        parser.add_subcommand("run", "Many threads on one dcache, measured and checked");

    add_scenario_options(command, options);
    // One thread alone never waits for another's lookup.
    options.workload.threads = std::max(2u, std::thread::hardware_concurrency());
    add_tree_options(command, options);
    add_number(command, "--threads", options.workload.threads, 1, 1024, "N",
               fmt::format("threads; default {}", options.workload.threads));
    add_seconds(command, options.workload.seconds);
    add_number(command, "--ops", options.workload.operations, 1, INT64_MAX, "N",
               "run until so many operations are done, over all threads");
    command
        ->add_option_function<std::string>(
            "--mix",
            [&options](const std::string &text) {
                options.workload.mix = operation_mix::parse(text);
            },
            "a named mix or kind=weight,...; default balanced")
        ->type_name("MIX");
    add_number(command, "--seed", options.workload.seed, 0, INT64_MAX, "N",
               "decides which operations each thread does; default 1");
    add_library_options(command, options);
    command->add_flag("--json", options.json, "print the results as JSON");
    command->footer(run_footer());
    return command;
}

void complete_run_options(run_options &options)
{
    workload_options &workload = options.workload;

    if (!options.import_directory.empty() && options.files)
        throw usage_error("--import and --files: a tree is either imported or made up, not both");
    if (!options.variant.empty())
        throw usage_error("--variant: there is no scenario that it could be a variant of");
    refuse_both_limits(workload);
    choose_era(options);
    refuse_other_filesystem(options);
    if (workload.seconds <= 0 && !workload.operations)
        workload.seconds = default_seconds;
    if (options.import_directory.empty() && !options.files) {
        options.files = default_files;
        options.tree_by_default = true;
    }
    workload.memory_may_end = options.fail_alloc != 0;
}

scenario_run_options complete_scenario_run_options(const CLI::App &command,
                                                   const run_options &options)
{
    static const std::set<std::string> known = {"scenario",  "--variant", "--era", "--ops",
                                                "--seconds", "--seed",    "--json"};
    const workload_options &workload = options.workload;
    std::string others;

    for (const CLI::Option *option : command.get_options())
        if (option->count() && !known.contains(option->get_name()))
            others += (others.empty() ? "" : ", ") + option->get_name();
    if (!others.empty())
        throw usage_error(fmt::format("{}: not for a scenario", others));
    refuse_both_limits(workload);
    refuse_unknown_era(options.era);
    return {options.scenario,
            options.variant,
            options.era,
            workload.seconds > 0 || workload.operations ? workload.operations : default_rounds,
            workload.seconds,
            workload.seed,
            options.json};
}

} // namespace dcsim::cli
