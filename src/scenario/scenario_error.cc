// SPDX-License-Identifier: GPL-2.0-only
//
// What is wrong, in words.
#include "dcsim/scenario/scenario.h"

namespace dcsim::scenario
{

namespace
{

std::string lines_of(const std::vector<finding> &findings)
{
    std::string lines;

    for (const finding &one : findings)
        lines += (lines.empty() ? "" : "\n") + one.text();
    return lines;
}

} // namespace

std::string finding::text() const
{
    std::string text = file;

    if (where.line)
        text += ":" + std::to_string(where.line) + ":" + std::to_string(where.column);
    text += ": " + message;
    return suggestion.empty() ? text : text + " (did you mean '" + suggestion + "'?)";
}

scenario_error::scenario_error(std::vector<finding> findings)
    : std::runtime_error(lines_of(findings)), findings_(std::move(findings))
{
}

} // namespace dcsim::scenario
