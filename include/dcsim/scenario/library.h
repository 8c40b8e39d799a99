// SPDX-License-Identifier: GPL-2.0-only
//
// The scenarios that come with dcsim, embedded when it is built, and loading one by name or from a
// file.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "dcsim/scenario/scenario.h"

namespace dcsim::scenario
{

struct shipped_scenario {
    const char *name;
    const char *text;
};

/// The files of src/scenario/library/, by name.
std::span<const shipped_scenario> shipped_scenarios();

/// A scenario's text, and the name that messages about it begin with.
struct scenario_source {
    std::string file;
    std::string text;
};

/// Finds a shipped scenario by its name, or reads a file: what contains '/' or ends in ".toml".
/// Throws scenario_error.
scenario_source find_scenario(const std::string &name_or_file);

/// Likewise, parsed.
scenario load_scenario(const std::string &name_or_file, const std::string &variant_name = "",
                       const std::string &era = "");

} // namespace dcsim::scenario
