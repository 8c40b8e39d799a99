// SPDX-License-Identifier: GPL-2.0-only
//
// Finding scenarios by name or in files. The shipped ones are in a generated file, see
// embed_scenarios.cmake.
#include "dcsim/scenario/library.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <vector>

#include "dcsim/scenario/suggestion.h"

namespace dcsim::scenario
{

namespace
{

bool is_file_name(std::string_view text)
{
    return text.find('/') != text.npos || text.ends_with(".toml");
}

[[noreturn]] void fail(const std::string &file, const std::string &message,
                       const std::string &suggestion = "")
{
    throw scenario_error({{file, {}, message, suggestion}});
}

std::string read_file(const std::string &name)
{
    std::ifstream file(name, std::ios::binary);

    if (!file)
        fail(name, std::string("cannot be opened: ") + strerror(errno));
    std::string text;
    char buffer[4096];
    while (file.read(buffer, sizeof(buffer)) || file.gcount() > 0)
        text.append(buffer, static_cast<size_t>(file.gcount()));
    // A directory can be opened, but not read.
    if (file.bad())
        fail(name, "cannot be read");
    return text;
}

} // namespace

scenario_source find_scenario(const std::string &name_or_file)
{
    std::vector<std::string> names;

    if (is_file_name(name_or_file))
        return {name_or_file, read_file(name_or_file)};
    for (const shipped_scenario &shipped : shipped_scenarios()) {
        if (name_or_file == shipped.name)
            return {name_or_file, shipped.text};
        names.emplace_back(shipped.name);
    }
    fail(name_or_file,
         "no such scenario comes with dcsim, see dcsim list; the name of a file has a '/' in it or "
         "ends in .toml",
         nearest_name(name_or_file, names));
}

scenario load_scenario(const std::string &name_or_file, const std::string &variant_name,
                       const std::string &era)
{
    const scenario_source source = find_scenario(name_or_file);

    return parse_scenario(source.text, source.file, variant_name, era);
}

} // namespace dcsim::scenario
