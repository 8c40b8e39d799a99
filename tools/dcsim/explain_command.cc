// SPDX-License-Identifier: GPL-2.0-only
//
// A scenario as a text for people and as JSON for programs.
#include "explain_command.h"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "choices.h"
#include "dcsim/scenario/library.h"
#include "exit_code.h"
#include "output.h"
#include "progress.h"
#include "text.h"
#include "usage_error.h"

namespace dcsim::cli
{

namespace
{

using nlohmann::ordered_json;
using scenario::expression;
using scenario::step;
using scenario::task;
using scenario::tree_entry;

constexpr size_t page_width = 100;

// --- What both forms say ----------------------------------------------------------------------

const std::string &path_of(const scenario::scenario &of, const tree_entry &entry)
{
    return of.paths[static_cast<size_t>(entry.path)];
}

const char *kind_words(scenario::file_kind kind)
{
    switch (kind) {
    case scenario::file_kind::file:
        return "file";
    case scenario::file_kind::directory:
        return "directory";
    case scenario::file_kind::symlink:
        break;
    }
    return "symlink";
}

std::string task_name(const scenario::scenario &of, int task)
{
    return task == scenario::all_tasks ? "" : of.tasks[static_cast<size_t>(task)].name;
}

// --- For people -------------------------------------------------------------------------------

/// Columns a text takes on a terminal: one for each character.
size_t width_of(std::string_view text)
{
    return static_cast<size_t>(std::ranges::count_if(
        text, [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; }));
}

std::string padded(const std::string &text, size_t width)
{
    return text + std::string(width - std::min(width, width_of(text)), ' ');
}

class explanation
{
  public:
    explanation(const scenario::scenario &of, bool colour) : of_(of), colour_(colour) {}

    std::string text()
    {
        add_description();
        add_tree();
        add_setup();
        add_tasks();
        add_faults();
        add_checks();
        add_variants();
        add_notes();
        return std::move(text_);
    }

  private:
    void line(const std::string &text = "")
    {
        // No blanks at the end, whatever was padded.
        text_.append(text, 0, text.find_last_not_of(' ') + 1);
        text_ += '\n';
    }
    void heading(const std::string &text)
    {
        line();
        line(colour_ ? "\033[1m" + text + "\033[0m" : text);
    }
    /// Text of the file, which may have several lines.
    void paragraph(std::string_view text, const char *indent)
    {
        while (!text.empty()) {
            const size_t end = std::min(text.find('\n'), text.size());

            line(indent + printable(text.substr(0, end)));
            text.remove_prefix(std::min(end + 1, text.size()));
        }
    }

    void add_description();
    void add_file_system();
    void add_origin();
    void add_tree();
    std::string lookup_words(const tree_entry &entry) const;
    void add_setup();
    void add_tasks();
    void add_task_group(size_t first, size_t last);
    size_t column_width(size_t task) const;
    void add_faults();
    void add_checks();
    void add_expressions(const char *heading, const std::vector<expression> &expressions);
    void add_variants();
    void add_notes();

    const scenario::scenario &of_;
    bool colour_;
    std::string text_;
};

void explanation::add_description()
{
    const std::string title =
        of_.variant_name.empty() ? of_.title : of_.title + ", variant " + of_.variant_name;

    line(colour_ ? "\033[1m" + printable(title) + "\033[0m" : printable(title));
    if (!of_.teaches.empty())
        line("  about: " + printable(fmt::format("{}", fmt::join(of_.teaches, ", "))));
    line(fmt::format("  cache: {} hash buckets, {} in-lookup bucket{}", of_.hash_buckets,
                     1u << of_.in_lookup_bits, of_.in_lookup_bits ? "s" : ""));
    line("  waiting for lookups: era " + of_.era + ", " + scenario::find_era(of_.era)->purpose);
    if (of_.splice_hashed)
        line("  d_splice_alias() and d_add() take hashed negative dentries");
    if (of_.lookup_outside_rwsem)
        line("  d_alloc_parallel() comes before the directory's i_rwsem");
    add_file_system();
    add_origin();
    if (!of_.notes.empty())
        line();
    paragraph(of_.notes, "  ");
}

void explanation::add_file_system()
{
    line("  file system: " + of_.file_system + ", " +
         scenario::find_file_system(of_.file_system)->purpose);
    for (const auto &[option, value] : of_.settings)
        line(fmt::format("      {} = {}: {}", option->name, value, option->purpose));
}

void explanation::add_origin()
{
    for (const scenario::seed_description &one : scenario::seed_documents())
        if (std::ranges::find(of_.seeds, one.number) != of_.seeds.end())
            line(fmt::format("  from document {}: {}", one.number, one.title));
    if (!of_.source.empty())
        line("  from " + printable(of_.source));
}

std::string explanation::lookup_words(const tree_entry &entry) const
{
    std::string words;

    if (entry.lookup_failures == scenario::every_time)
        words = fmt::format("; ->lookup() fails with {}", scenario::errno_name(entry.lookup_error));
    else if (entry.lookup_failures)
        words = fmt::format("; the first {} ->lookup() calls fail with {}", entry.lookup_failures,
                            scenario::errno_name(entry.lookup_error));
    if (entry.lookup_points)
        words += fmt::format("; ->lookup() can be interrupted at {} more point{}",
                             entry.lookup_points, entry.lookup_points == 1 ? "" : "s");
    return words;
}

void explanation::add_tree()
{
    size_t width = 0;

    if (of_.tree.empty())
        return;
    for (const tree_entry &entry : of_.tree)
        width = std::max(width, width_of(path_of(of_, entry)));
    heading("On the disk");
    for (const tree_entry &entry : of_.tree) {
        std::string what = kind_words(entry.kind);

        if (entry.same_as >= 0)
            what = "the same directory as " +
                   path_of(of_, of_.tree[static_cast<size_t>(entry.same_as)]);
        if (!entry.target.empty())
            what += " to " + entry.target;
        for (const std::string &flag : entry.flags)
            what += ", " + flag;
        line("  " + padded(printable(path_of(of_, entry)), width) + "  " +
             printable(what + lookup_words(entry)));
    }
}

void explanation::add_setup()
{
    if (of_.setup.steps.empty())
        return;
    heading("First, alone");
    for (const step &one : of_.setup.steps)
        line("  " + printable(one.text));
}

size_t explanation::column_width(size_t task) const
{
    size_t width = width_of(of_.tasks[task].name);

    for (const step &one : of_.tasks[task].steps)
        width = std::max(width, width_of(one.text));
    return width + 2;
}

void explanation::add_task_group(size_t first, size_t last)
{
    size_t steps = 0;
    std::string row = "  ";

    for (size_t task = first; task < last; ++task) {
        row += padded(of_.tasks[task].name, column_width(task));
        steps = std::max(steps, of_.tasks[task].steps.size());
    }
    line(row);
    for (size_t index = 0; index < steps; ++index) {
        row = "  ";
        for (size_t task = first; task < last; ++task) {
            const auto &own = of_.tasks[task].steps;

            row += padded(index < own.size() ? printable(own[index].text) : "", column_width(task));
        }
        line(row);
    }
}

/// As many tasks side by side as fit on the page.
void explanation::add_tasks()
{
    heading("Then, in every order the search tries");
    for (size_t first = 0; first < of_.tasks.size();) {
        size_t last = first;
        size_t width = 2;

        do
            width += column_width(last++);
        while (last < of_.tasks.size() && width + column_width(last) <= page_width);
        if (first > 0)
            line();
        add_task_group(first, last);
        first = last;
    }
    for (const scenario::task &one : of_.tasks)
        if (one.shares >= 0)
            line(fmt::format("  {} has the root and working directory of {}.", one.name,
                             of_.tasks[static_cast<size_t>(one.shares)].name));
    line(fmt::format("  The search interrupts tasks up to {} time{}.", of_.preemptions,
                     of_.preemptions == 1 ? "" : "s"));
}

void explanation::add_faults()
{
    if (of_.failing_allocations)
        line(fmt::format("  Up to {} allocation{} may fail, wherever the search chooses.",
                         of_.failing_allocations, of_.failing_allocations == 1 ? "" : "s"));
    for (const std::string &warning : of_.allowed_warnings)
        line(fmt::format("  A warning with \"{}\" is expected.", printable(warning)));
}

void explanation::add_expressions(const char *name, const std::vector<expression> &expressions)
{
    if (expressions.empty())
        return;
    heading(name);
    for (const expression &one : expressions) {
        line("  " + printable(one.text));
        line("      " + printable(scenario::in_words(one, of_)));
    }
}

void explanation::add_checks()
{
    add_expressions("True at the end of every run", of_.always);
    add_expressions("True at the end of no run", of_.never);
    add_expressions("True at the end of at least one run", of_.sometimes);
    heading("In every run, some order of the operations explains their results");
    line(of_.not_linearizable.empty() ? "  checked"
                                      : "  not checked: " + printable(of_.not_linearizable));
}

void explanation::add_variants()
{
    if (of_.variants.empty())
        return;
    heading("Variants");
    for (const scenario::variant &one : of_.variants) {
        line(fmt::format("  {}: {}", one.name, printable(one.title)));
        for (const auto &change : one.changes)
            line(fmt::format("      {} = {}", printable(change.key), printable(change.text)));
        line(fmt::format("      expected: {}", printable(scenario::in_words(one.expect))));
    }
}

void explanation::add_notes()
{
    if (of_.narration.empty())
        return;
    heading("On the way");
    for (const scenario::note &one : of_.narration) {
        const std::string task = task_name(of_, one.task);

        line(fmt::format("  {}{}{}()", task, task.empty() ? "" : " in ", one.function));
        paragraph(one.text, "      ");
    }
}

std::string verbs_text()
{
    size_t width = 0;
    std::string text;

    for (const scenario::verb_description &one : scenario::verbs())
        width = std::max(width, std::string_view(one.signature).size());
    for (const scenario::verb_description &one : scenario::verbs())
        fmt::format_to(std::back_inserter(text), "{:<{}}  {}\n", one.signature, width, one.purpose);
    return text;
}

// --- For programs -----------------------------------------------------------------------------

ordered_json tree_json(const scenario::scenario &of)
{
    ordered_json tree = ordered_json::array();

    for (const tree_entry &entry : of.tree) {
        ordered_json one = {{"path", path_of(of, entry)}, {"type", kind_words(entry.kind)}};

        if (entry.same_as >= 0)
            one["same_as"] = path_of(of, of.tree[static_cast<size_t>(entry.same_as)]);
        if (!entry.target.empty())
            one["target"] = entry.target;
        if (!entry.flags.empty())
            one["flags"] = entry.flags;
        if (entry.lookup_failures)
            one["lookup_error"] = scenario::errno_name(entry.lookup_error);
        if (entry.lookup_failures > 0)
            one["lookup_failures"] = entry.lookup_failures;
        if (entry.lookup_points)
            one["lookup_points"] = entry.lookup_points;
        tree.push_back(one);
    }
    return tree;
}

ordered_json settings_json(const scenario::scenario &of)
{
    ordered_json settings = ordered_json::object();

    for (const auto &[option, value] : of.settings)
        settings[option->name] = value;
    return settings;
}

ordered_json steps_json(const task &of)
{
    ordered_json steps = ordered_json::array();

    for (const step &one : of.steps)
        steps.push_back(one.text);
    return steps;
}

ordered_json tasks_json(const scenario::scenario &of)
{
    ordered_json tasks = ordered_json::array();

    for (const task &one : of.tasks)
        tasks.push_back({{"name", one.name}, {"steps", steps_json(one)}});
    return tasks;
}

ordered_json expressions_json(const scenario::scenario &of,
                              const std::vector<expression> &expressions)
{
    ordered_json list = ordered_json::array();

    for (const expression &one : expressions)
        list.push_back({{"expression", one.text}, {"words", scenario::in_words(one, of)}});
    return list;
}

ordered_json variants_json(const scenario::scenario &of)
{
    ordered_json variants = ordered_json::array();

    for (const scenario::variant &one : of.variants) {
        ordered_json changes = ordered_json::object();

        for (const auto &change : one.changes)
            changes[change.key] = change.text;
        variants.push_back({{"name", one.name},
                            {"title", one.title},
                            {"era", one.era},
                            {"filesystem", one.file_system},
                            {"set", changes},
                            {"expect", scenario::in_words(one.expect)}});
    }
    return variants;
}

ordered_json notes_json(const scenario::scenario &of)
{
    ordered_json notes = ordered_json::array();

    for (const scenario::note &one : of.narration)
        notes.push_back(
            {{"task", task_name(of, one.task)}, {"function", one.function}, {"text", one.text}});
    return notes;
}

std::string scenario_json(const scenario::scenario &of)
{
    return ordered_json({{"schema", "dcsim.explain/1"},
                         {"scenario", of.file},
                         {"variant", of.variant_name},
                         {"hash", scenario::hash_text(of.hash)},
                         {"title", of.title},
                         {"teaches", of.teaches},
                         {"seeds", of.seeds},
                         {"source", of.source},
                         {"notes", of.notes},
                         {"era", of.era},
                         {"splice_hashed", of.splice_hashed},
                         {"lookup_outside_rwsem", of.lookup_outside_rwsem},
                         {"hash_buckets", of.hash_buckets},
                         {"in_lookup_bits", of.in_lookup_bits},
                         {"filesystem", of.file_system},
                         {"filesystem_options", settings_json(of)},
                         {"tree", tree_json(of)},
                         {"setup", steps_json(of.setup)},
                         {"tasks", tasks_json(of)},
                         {"allocations", of.failing_allocations},
                         {"allow_warnings", of.allowed_warnings},
                         {"always", expressions_json(of, of.always)},
                         {"never", expressions_json(of, of.never)},
                         {"sometimes", expressions_json(of, of.sometimes)},
                         {"linearizable", of.not_linearizable.empty()},
                         {"not_linearizable_because", of.not_linearizable},
                         {"preemptions", of.preemptions},
                         {"expect", scenario::in_words(of.expect)},
                         {"variants", variants_json(of)},
                         {"on_the_way", notes_json(of)}})
               .dump(2) +
           "\n";
}

std::string verbs_json()
{
    ordered_json list = ordered_json::array();

    for (const scenario::verb_description &one : scenario::verbs())
        list.push_back(
            {{"name", one.name}, {"signature", one.signature}, {"purpose", one.purpose}});
    return ordered_json({{"schema", "dcsim.verbs/1"}, {"verbs", list}}).dump(2) + "\n";
}

std::string file_systems_text()
{
    std::string text;

    for (const scenario::file_system_description &one : scenario::file_systems()) {
        fmt::format_to(std::back_inserter(text), "{:<16}{}\n", one.name, one.purpose);
        for (const scenario::file_system_option &option : one.options)
            fmt::format_to(std::back_inserter(text), "  {:<16}{}..{}: {}\n", option.name,
                           option.smallest, option.largest, option.purpose);
        if (!one.flags.empty())
            fmt::format_to(std::back_inserter(text), "  flags of an object: {}\n",
                           fmt::join(one.flags, ", "));
    }
    return text;
}

std::string file_systems_json()
{
    ordered_json list = ordered_json::array();

    for (const scenario::file_system_description &one : scenario::file_systems()) {
        ordered_json options = ordered_json::array();

        for (const scenario::file_system_option &option : one.options)
            options.push_back({{"name", option.name},
                               {"smallest", option.smallest},
                               {"largest", option.largest},
                               {"purpose", option.purpose}});
        list.push_back({{"name", one.name},
                        {"purpose", one.purpose},
                        {"options", options},
                        {"flags", std::vector<std::string>(one.flags.begin(), one.flags.end())},
                        {"second_names", one.second_names},
                        {"server", one.server},
                        {"handles", one.handles},
                        {"pending", one.pending}});
    }
    return ordered_json({{"schema", "dcsim.filesystems/1"}, {"filesystems", list}}).dump(2) + "\n";
}

std::string explain(const explain_options &options)
{
    if (options.verbs)
        return options.json ? verbs_json() : verbs_text();
    if (options.file_systems)
        return options.json ? file_systems_json() : file_systems_text();
    const scenario::scenario loaded = scenario::load_scenario(options.scenario, options.variant);
    return options.json ? scenario_json(loaded) : explanation(loaded, colour_wanted(1)).text();
}

} // namespace

CLI::App *add_explain_command(CLI::App &parser, explain_options &options)
{
    CLI::App *command = parser.add_subcommand("explain", "What a scenario is about, in words");

    CLI::Option *name = command->add_option("scenario", options.scenario,
                                            "a name of `dcsim list`, or a file: with a '/' in it, "
                                            "or ending in .toml");
    name->type_name("NAME|FILE");
    add_text(command, "--variant", options.variant, "NAME", "with the changes of this variant");
    command->add_flag("--verbs", options.verbs, "instead, what the steps of scenarios can do")
        ->excludes(name);
    command
        ->add_flag("--filesystems", options.file_systems,
                   "instead, the file systems of scenarios and their options")
        ->excludes(name);
    command->add_flag("--json", options.json, "print it as JSON");
    return command;
}

int explain_command(const explain_options &options)
{
    if (options.scenario.empty() && !options.verbs && !options.file_systems)
        throw usage_error("which scenario? See dcsim list");
    return write_output(explain(options)) ? exit_passed : exit_internal;
}

} // namespace dcsim::cli
