// SPDX-License-Identifier: GPL-2.0-only
//
// Options whose value is one of a few words, and texts that must not be empty: the same answer to
// a wrong one from every command.
#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace dcsim::cli
{

/// Throws a usage_error that names the option, the word, and all that would be right.
[[noreturn]] void refuse_word(const std::string &option, const std::string &word,
                              const std::vector<std::string> &valid);

/// What --era takes, in the order of the kernels.
std::vector<std::string> era_names();
/// Throws as refuse_word() does. "" is the era that a scenario or the library has by itself.
void refuse_unknown_era(const std::string &era);

/// An option with a text. Not an empty one: that is a variable somebody's script forgot to set, and
/// running without the option instead would do something else.
void add_text(CLI::App *command, const char *option, std::string &target, const char *type,
              const std::string &help);

} // namespace dcsim::cli
