// SPDX-License-Identifier: GPL-2.0-only
//
// Writing the data a command was asked for.
#pragma once

#include <string>

namespace dcsim::cli
{

/// Writes to stdout. False, with a message on stderr, when it could not be written: a full disk or
/// a closed pipe must not look like success.
bool write_output(const std::string &text);

} // namespace dcsim::cli
