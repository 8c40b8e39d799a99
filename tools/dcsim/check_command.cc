// SPDX-License-Identifier: GPL-2.0-only
//
// All findings of all files, each with its place; and a summary.
#include "check_command.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "dcsim/scenario/library.h"
#include "exit_code.h"
#include "output.h"
#include "text.h"

namespace dcsim::cli
{

namespace
{

using nlohmann::ordered_json;

struct checked_file {
    std::string file;
    std::vector<scenario::finding> findings;
};

checked_file check_one(const std::string &name)
{
    try {
        scenario::load_scenario(name);
    } catch (const scenario::scenario_error &error) {
        return {name, error.findings()};
    }
    return {name, {}};
}

std::string check_json(const std::vector<checked_file> &files)
{
    ordered_json list = ordered_json::array();

    for (const checked_file &one : files) {
        ordered_json findings = ordered_json::array();

        for (const scenario::finding &found : one.findings)
            findings.push_back({{"line", found.where.line},
                                {"column", found.where.column},
                                {"message", found.message},
                                {"suggestion", found.suggestion}});
        list.push_back({{"file", one.file}, {"findings", findings}});
    }
    // A file may have any bytes in it, and some turn up in messages.
    return ordered_json({{"schema", "dcsim.check/1"}, {"files", list}})
               .dump(2, ' ', false, ordered_json::error_handler_t::replace) +
           "\n";
}

std::string check_text(const std::vector<checked_file> &files)
{
    std::string text;

    for (const checked_file &one : files)
        for (const scenario::finding &found : one.findings)
            text += printable(found.text()) + "\n";
    return text;
}

} // namespace

CLI::App *add_check_command(CLI::App &parser, check_options &options)
{
    CLI::App *command = parser.add_subcommand("check", "Is a scenario as it should be?");

    command
        ->add_option("scenario", options.scenarios,
                     "names of `dcsim list`, or files: with a '/' in it, or ending in .toml")
        ->required()
        ->type_name("NAME|FILE");
    command->add_flag("--json", options.json, "print the findings as JSON");
    command->footer("Prints what is wrong as file:line:column: message.\n"
                    "Exit codes:\n"
                    "  0 nothing is wrong  2 something is, or usage error  70 internal error\n");
    return command;
}

int check_command(const check_options &options)
{
    std::vector<checked_file> files;
    size_t findings = 0;

    for (const std::string &name : options.scenarios) {
        files.push_back(check_one(name));
        findings += files.back().findings.size();
    }
    if (!write_output(options.json ? check_json(files) : check_text(files)))
        return exit_internal;
    fmt::print(stderr, "dcsim check: {} scenario{}, {} finding{}\n", files.size(),
               files.size() == 1 ? "" : "s", findings, findings == 1 ? "" : "s");
    return findings ? exit_usage : exit_passed;
}

} // namespace dcsim::cli
