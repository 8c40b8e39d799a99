// SPDX-License-Identifier: GPL-2.0-only
//
// Expressions from text to compiled form.
#pragma once

#include <vector>

#include "dcsim/scenario/expression.h"
#include "lexer.h"
#include "names.h"

namespace dcsim::scenario
{

/// What an expression may look at, depending on where it stands.
struct expression_scope {
    static constexpr int nobody = -2;

    /// The task of the await(); its variables need no "A." in front.
    int task = nobody;
    /// How many of that task's variables have been assigned before.
    int assigned = 0;
};

/// A path that an expression asks about, for a later check that something happens there.
struct asked_path {
    int path;
    size_t offset;
};

/// Takes an expression from the stream and compiles it; `text` and `where` are the caller's to fill
/// in. Throws syntax_problem.
expression parse_expression(token_stream &tokens, name_table &names, const expression_scope &scope,
                            std::vector<asked_path> &asked);

} // namespace dcsim::scenario
