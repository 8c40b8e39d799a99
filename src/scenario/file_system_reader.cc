// SPDX-License-Identifier: GPL-2.0-only
//
// Which options there are is up to the type. When a variant changes the type, the options of the
// file are those of another file system and are left where they are.
#include "file_system_reader.h"

#include <algorithm>
#include <iterator>

#include "dcsim/scenario/suggestion.h"

namespace dcsim::scenario
{

namespace
{

constexpr const char *section = "filesystem";

class file_system_reader
{
  public:
    file_system_reader(document &from, scenario &into) : from_(from), into_(into) {}

    void read();

  private:
    const file_system_description *read_type();
    std::vector<entry> options() const;
    void read_option(const file_system_description &type, const entry &named);
    std::optional<int64_t> value_of(const file_system_option &option, const toml::node &value);

    document &from_;
    scenario &into_;
};

/// nullptr when nothing can be said about options.
const file_system_description *file_system_reader::read_type()
{
    const toml::node *value = from_.find(section, "type");
    const auto name = value ? from_.as_text(*value, "type") : std::nullopt;
    key_list names;

    if (value && !name)
        return nullptr;
    if (name)
        into_.file_system = name->text;
    const file_system_description *found = find_file_system(into_.file_system);
    if (found)
        return found;
    std::ranges::transform(file_systems(), std::back_inserter(names),
                           &file_system_description::name);
    from_.report(name->where, "there is no file system '" + name->text + "'" + all_valid(names),
                 nearest_name(name->text, names));
    return nullptr;
}

std::vector<entry> file_system_reader::options() const
{
    const bool same_type = from_.in_file(section, "type") == from_.find(section, "type");
    std::vector<entry> found = from_.changed(section);

    if (same_type)
        for (const entry &one : from_.section(section))
            if (std::ranges::find(found, one.key, &entry::key) == found.end())
                found.push_back(one);
    std::erase_if(found, [](const entry &one) { return one.key == "type"; });
    return found;
}

std::optional<int64_t> file_system_reader::value_of(const file_system_option &option,
                                                    const toml::node &value)
{
    if (option.smallest == 0 && option.largest == 1 && value.is_boolean())
        return from_.as_flag(value, option.name);
    return from_.as_number(value, option.name, option.smallest, option.largest);
}

void file_system_reader::read_option(const file_system_description &type, const entry &named)
{
    const file_system_option *option = type.find_option(named.key);

    if (!option) {
        key_list names;
        std::ranges::transform(type.options, std::back_inserter(names), &file_system_option::name);
        const std::string all = all_valid(names);
        // So is `type`, which somebody may have meant.
        names.emplace_back("type");
        return from_.report(named.where,
                            std::string(type.name) + " has no option '" + named.key + "'" + all,
                            nearest_name(named.key, names));
    }
    if (const auto value = value_of(*option, *named.value))
        into_.settings.push_back({option, *value});
}

void file_system_reader::read()
{
    const file_system_description *type = read_type();

    if (!type)
        return;
    for (const entry &one : options())
        read_option(*type, one);
    std::ranges::sort(into_.settings, {}, &scenario::setting::option);
}

} // namespace

void read_file_system(document &from, scenario &into)
{
    if (const toml::node *table = from.root().get(section))
        if (!from.as_table(*table, "[filesystem]", "[filesystem]"))
            return;
    file_system_reader(from, into).read();
}

key_list settable_file_system_keys()
{
    key_list keys = {"filesystem.type"};

    for (const file_system_description &type : file_systems())
        for (const file_system_option &option : type.options)
            keys.push_back(std::string("filesystem.") + option.name);
    return keys;
}

} // namespace dcsim::scenario
