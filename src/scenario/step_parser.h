// SPDX-License-Identifier: GPL-2.0-only
//
// Steps from text to compiled form, in two passes: the first finds the variables of all tasks, so
// that the second can resolve them in any order.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dcsim/scenario/scenario.h"
#include "expression_parser.h"
#include "lexer.h"
#include "names.h"

namespace dcsim::scenario
{

/// The part of a step before its arguments.
struct step_head {
    std::optional<token> target; ///< the variable it assigns
    token verb_word;
    const verb_description *verb = nullptr; ///< null: the step cannot be understood
};

/// First pass. Takes "name = verb(" from the stream. A target stays in `head` when the rest turns
/// out to be wrong and this throws syntax_problem: then later steps can use it without complaint.
void parse_head(token_stream &tokens, step_head &head);

/// What the steps of one task have done so far, for the second pass.
class task_progress
{
  public:
    task_progress(name_table &names, int task) : names_(names), task_(task) {}

    /// Second pass. Takes the arguments and the closing parenthesis; fills in what the verb takes.
    /// Throws syntax_problem.
    step parse_arguments(token_stream &tokens, step_head head, std::vector<expression> &awaited,
                         std::vector<asked_path> &asked);
    /// The next slot is assigned from now on.
    void assigned()
    {
        ++assigned_;
    }

    /// A use of a variable of [setup] as an argument.
    struct shared_use {
        int slot;
        size_t offset;
        bool put;
    };
    /// That of the last step, if it had one.
    const std::optional<shared_use> &last_shared_use() const
    {
        return last_shared_use_;
    }

  private:
    void parse_argument(token_stream &tokens, const step_head &head, int index, step &parsed,
                        std::vector<expression> &awaited, std::vector<asked_path> &asked);
    void parse_pathname(const token &found, const step_head &head, int index, step &parsed);
    void parse_flags(const token &found, const step_head &head, parameter_kind kind, step &parsed);
    void parse_variable(token_stream &tokens, const step_head &head, step &parsed);
    variable_place find_variable(token_stream &tokens, const token &first) const;
    void check_order(const step_head &head) const;
    void check_ground(const step_head &head) const;

    name_table &names_;
    int task_;
    int assigned_ = 0;
    bool unmounted_ = false;
    std::vector<variable_place> put_;
    std::optional<shared_use> last_shared_use_;
};

} // namespace dcsim::scenario
