// SPDX-License-Identifier: GPL-2.0-only
//
// What the words of steps and expressions stand for: tasks, variables, paths.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "dcsim/scenario/scenario.h"
#include "lexer.h"

namespace dcsim::scenario
{

/// What is wrong with a path, and at which byte of it; "" when it is fine.
struct path_problem {
    std::string message;
    size_t offset = 0;
};
path_problem check_path(std::string_view path);

/// Is `path` below the directory `above`? Nothing is below itself.
bool is_below(std::string_view path, std::string_view above);
/// "/a" for "/a/b", "/" for "/a".
std::string_view parent_of(std::string_view path);

/// A variable of a task.
struct variable_place {
    int task = setup_task;
    int slot = -1;
};

/// Looks words up in a scenario that is being compiled. What it cannot find it reports as a
/// syntax_problem, with what may have been meant.
class name_table
{
  public:
    explicit name_table(scenario &of) : of_(of) {}

    /// As far as it has been compiled: everything but steps and expressions.
    const scenario &of() const
    {
        return of_;
    }

    /// The index of a path, which is added when it is new, with the directories above it.
    int path(std::string_view text);
    /// Index of a quoted path; must be well formed.
    int path(const token &quoted_path);

    const task &task_at(int index) const;
    const variable &variable_at(variable_place place) const;

    bool is_task(std::string_view name) const;
    /// Index of a task, or setup_task.
    int task_index(const token &name) const;
    /// Index of a task that is explored: not [setup].
    int explored_task_index(const token &name) const;
    /// A variable of a task; there is one, or this throws.
    variable_place find_variable(int task, const token &name) const;
    /// The task that has a variable of this name, as "A.d"; "" when none has.
    std::string owner_of(std::string_view name) const;

  private:
    std::vector<std::string> task_names() const;

    scenario &of_;
};

} // namespace dcsim::scenario
