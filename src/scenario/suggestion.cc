// SPDX-License-Identifier: GPL-2.0-only
//
// Edit distance with transpositions ("thraeds" is one slip away from "threads"), and the choice.
#include "dcsim/scenario/suggestion.h"

#include <algorithm>
#include <cstddef>

namespace dcsim::scenario
{

namespace
{

size_t edit_distance(std::string_view from, std::string_view to)
{
    std::vector<size_t> before_previous(to.size() + 1);
    std::vector<size_t> previous(to.size() + 1);
    std::vector<size_t> current(to.size() + 1);

    for (size_t column = 0; column <= to.size(); ++column)
        previous[column] = column;
    for (size_t row = 1; row <= from.size(); ++row) {
        current[0] = row;
        for (size_t column = 1; column <= to.size(); ++column) {
            const bool same = from[row - 1] == to[column - 1];

            current[column] = std::min(
                {previous[column] + 1, current[column - 1] + 1, previous[column - 1] + !same});
            if (row > 1 && column > 1 && from[row - 1] == to[column - 2] &&
                from[row - 2] == to[column - 1])
                current[column] = std::min(current[column], before_previous[column - 2] + 1);
        }
        std::swap(before_previous, previous);
        std::swap(previous, current);
    }
    return previous[to.size()];
}

} // namespace

std::string nearest_name(std::string_view typed, const std::vector<std::string> &valid)
{
    std::string best;
    size_t best_distance = std::max<size_t>(2, typed.size() / 3) + 1;

    for (const std::string &name : valid) {
        const bool completes = typed.size() >= 2 && name.starts_with(typed);
        const size_t distance = completes ? 1 : edit_distance(typed, name);

        // Replacing every letter is no slip.
        if (distance < best_distance && distance < std::max(typed.size(), name.size())) {
            best = name;
            best_distance = distance;
        }
    }
    return best;
}

std::string did_you_mean(std::string_view typed, const std::vector<std::string> &valid)
{
    const std::string best = nearest_name(typed, valid);

    return best.empty() ? "" : " Did you mean '" + best + "'?";
}

std::string all_valid(const std::vector<std::string> &valid)
{
    std::string list;

    for (const std::string &name : valid)
        list += (list.empty() ? ": valid are " : ", ") + name;
    return list.empty() ? ": there are none" : list;
}

} // namespace dcsim::scenario
