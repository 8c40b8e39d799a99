// SPDX-License-Identifier: GPL-2.0-only
//
// Rules for paths, and looking up tasks and variables.
#include "names.h"

#include <algorithm>

#include "dcsim/scenario/suggestion.h"

namespace dcsim::scenario
{

namespace
{

constexpr size_t longest_component = 255;
/// The walk takes a path with its NUL.
constexpr size_t longest_path = 4095;

path_problem check_component(std::string_view name, size_t offset)
{
    if (name.empty())
        return {"'//' in a path: names are not empty", offset};
    if (name == "." || name == "..")
        return {"'" + std::string(name) + "' is not walked: write the path without it", offset};
    if (name.size() > longest_component)
        return {"a name of " + std::to_string(name.size()) + " bytes; the limit is 255", offset};
    return {};
}

} // namespace

path_problem check_path(std::string_view path)
{
    if (!path.starts_with('/'))
        return {"a path begins with '/'", 0};
    if (const size_t nul = path.find('\0'); nul != path.npos)
        return {"NUL in a path", nul};
    if (path.size() > longest_path)
        return {"a path of " + std::to_string(path.size()) + " bytes; the limit is 4095", 0};
    if (path == "/")
        return {};
    for (size_t begin = 1; begin <= path.size();) {
        const size_t end = std::min(path.find('/', begin), path.size());

        // Of "/a/" one would say something else than of "/a//b".
        if (begin == path.size())
            return {"'/' at the end of a path", begin - 1};
        if (const auto problem = check_component(path.substr(begin, end - begin), begin);
            !problem.message.empty())
            return problem;
        if (end == path.size())
            break;
        begin = end + 1;
    }
    return {};
}

bool is_below(std::string_view path, std::string_view above)
{
    if (above == "/")
        return path != "/";
    return path.size() > above.size() && path.starts_with(above) && path[above.size()] == '/';
}

std::string_view parent_of(std::string_view path)
{
    return path.substr(0, std::max<size_t>(path.rfind('/'), 1));
}

int name_table::path(std::string_view text)
{
    const auto known = std::ranges::find(of_.paths, text);

    if (known != of_.paths.end())
        return static_cast<int>(known - of_.paths.begin());
    if (parent_of(text) != "/")
        path(parent_of(text));
    of_.paths.emplace_back(text);
    return static_cast<int>(of_.paths.size()) - 1;
}

int name_table::path(const token &quoted_path)
{
    const auto [message, offset] = check_path(quoted_path.text);

    if (!message.empty())
        throw syntax_problem{quoted_path.offset + 1 + offset, message};
    return path(quoted_path.text);
}

const task &name_table::task_at(int index) const
{
    return index == setup_task ? of_.setup : of_.tasks[static_cast<size_t>(index)];
}

const variable &name_table::variable_at(variable_place place) const
{
    return task_at(place.task).variables[static_cast<size_t>(place.slot)];
}

std::vector<std::string> name_table::task_names() const
{
    std::vector<std::string> names;

    std::ranges::transform(of_.tasks, std::back_inserter(names), &task::name);
    return names;
}

bool name_table::is_task(std::string_view name) const
{
    return name == of_.setup.name ||
           std::ranges::find(of_.tasks, name, &task::name) != of_.tasks.end();
}

int name_table::task_index(const token &name) const
{
    return name.text == of_.setup.name ? setup_task : explored_task_index(name);
}

int name_table::explored_task_index(const token &name) const
{
    const auto found = std::ranges::find(of_.tasks, name.text, &task::name);

    if (name.text == of_.setup.name)
        throw syntax_problem{name.offset, "setup runs alone, before anything is counted: name a "
                                          "task"};
    if (found == of_.tasks.end())
        throw syntax_problem{name.offset, "there is no task '" + std::string(name.text) + "'",
                             nearest_name(name.text, task_names())};
    return static_cast<int>(found - of_.tasks.begin());
}

variable_place name_table::find_variable(int task, const token &name) const
{
    const auto &variables = task_at(task).variables;
    const auto found = std::ranges::find(variables, name.text, &variable::name);

    if (found != variables.end())
        return {task, static_cast<int>(found - variables.begin())};
    std::vector<std::string> names;
    std::ranges::transform(variables, std::back_inserter(names), &variable::name);
    throw syntax_problem{name.offset,
                         task_at(task).name + " has no variable '" + std::string(name.text) + "'",
                         nearest_name(name.text, names)};
}

std::string name_table::owner_of(std::string_view name) const
{
    const auto owns = [name](const task &one) {
        return std::ranges::find(one.variables, name, &variable::name) != one.variables.end();
    };

    if (owns(of_.setup))
        return of_.setup.name + "." + std::string(name);
    const auto owner = std::ranges::find_if(of_.tasks, owns);
    return owner == of_.tasks.end() ? "" : owner->name + "." + std::string(name);
}

} // namespace dcsim::scenario
