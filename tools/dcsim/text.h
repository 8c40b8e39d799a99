// SPDX-License-Identifier: GPL-2.0-only
//
// Numbers and foreign text for people.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace dcsim::cli
{

/// "1,234,567"
std::string grouped(uint64_t number);
/// A file name or path as it may be shown on a terminal: control characters replaced.
std::string printable(std::string_view text);
/// What the system says about an errno (positive). For any thread, unlike strerror().
std::string error_message(int error);

} // namespace dcsim::cli
