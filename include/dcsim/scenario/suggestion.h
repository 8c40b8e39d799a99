// SPDX-License-Identifier: GPL-2.0-only
//
// "Did you mean ...?" for mistyped names, and all that are right.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dcsim::scenario
{

/// The valid name closest to `typed`, or "" when none is close enough to be a likely slip.
std::string nearest_name(std::string_view typed, const std::vector<std::string> &valid);

/// " Did you mean 'x'?" or "", to be put behind a message.
std::string did_you_mean(std::string_view typed, const std::vector<std::string> &valid);

/// ": valid are a, b, c", or ": there are none", to be put behind a message.
std::string all_valid(const std::vector<std::string> &valid);

} // namespace dcsim::scenario
