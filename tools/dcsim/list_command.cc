// SPDX-License-Identifier: GPL-2.0-only
//
// Names, titles and variants, for people and as JSON.
#include "list_command.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "dcsim/scenario/library.h"
#include "exit_code.h"
#include "output.h"

namespace dcsim::cli
{

namespace
{

using nlohmann::ordered_json;

std::string list_json(const std::vector<scenario::scenario> &scenarios)
{
    ordered_json list = ordered_json::array();

    for (const scenario::scenario &one : scenarios) {
        ordered_json variants = ordered_json::array();

        for (const scenario::variant &variant : one.variants)
            variants.push_back({{"name", variant.name},
                                {"title", variant.title},
                                {"era", variant.era},
                                {"filesystem", variant.file_system},
                                {"expect", scenario::in_words(variant.expect)}});
        list.push_back({{"name", one.file},
                        {"title", one.title},
                        {"teaches", one.teaches},
                        {"seeds", one.seeds},
                        {"source", one.source},
                        {"era", one.era},
                        {"filesystem", one.file_system},
                        {"variants", variants}});
    }
    return ordered_json({{"schema", "dcsim.list/1"}, {"scenarios", list}}).dump(2) + "\n";
}

/// A line of the table; of a variant, only what differs from its scenario.
struct row {
    std::string name;
    std::string origin;
    std::string era;
    std::string file_system;
    std::string title;
};

std::string origin_of(const scenario::scenario &one)
{
    return one.seeds.empty() ? one.source : fmt::format("{}", fmt::join(one.seeds, ","));
}

std::vector<row> rows_of(const std::vector<scenario::scenario> &scenarios)
{
    std::vector<row> rows = {{"NAME", "SEED OR SOURCE", "ERA", "ON", "TITLE"}};

    for (const scenario::scenario &one : scenarios) {
        rows.push_back({one.file, origin_of(one), one.era, one.file_system, one.title});
        for (const scenario::variant &variant : one.variants)
            rows.push_back({"  --variant " + variant.name, "",
                            variant.era == one.era ? "" : variant.era,
                            variant.file_system == one.file_system ? "" : variant.file_system,
                            "  " + variant.title + (variant.expect.violated ? " (violated)" : "")});
    }
    return rows;
}

std::string list_text(const std::vector<scenario::scenario> &scenarios)
{
    const std::vector<row> rows = rows_of(scenarios);
    row width;
    std::string text;

    for (const row &one : rows)
        for (const auto column : {&row::name, &row::origin, &row::era, &row::file_system})
            if ((one.*column).size() > (width.*column).size())
                width.*column = one.*column;
    for (const row &one : rows) {
        for (const auto column : {&row::name, &row::origin, &row::era, &row::file_system})
            fmt::format_to(std::back_inserter(text), "{:<{}}  ", one.*column,
                           (width.*column).size());
        text += one.title + "\n";
    }
    return text;
}

} // namespace

CLI::App *add_list_command(CLI::App &parser, list_options &options)
{
    CLI::App *command = parser.add_subcommand("list", "The scenarios that come with dcsim");

    command->add_flag("--json", options.json, "print the list as JSON");
    command->footer("SEED OR SOURCE: numbers of the documents that a scenario comes from\n"
                    "(docs/seeds.md), or else the kernel's file, or the patch, that it is about.\n"
                    "ERA and ON of a variant: if they are not the scenario's.\n"
                    "(violated): a rule is expected to break.\n");
    return command;
}

int list_command(const list_options &options)
{
    std::vector<scenario::scenario> scenarios;

    for (const scenario::shipped_scenario &shipped : scenario::shipped_scenarios())
        scenarios.push_back(scenario::load_scenario(shipped.name));
    const std::string text = options.json ? list_json(scenarios) : list_text(scenarios);
    return write_output(text) ? exit_passed : exit_internal;
}

} // namespace dcsim::cli
