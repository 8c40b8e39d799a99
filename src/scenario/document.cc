// SPDX-License-Identifier: GPL-2.0-only
//
// Typed access to TOML, with messages.
#include "document.h"

#include <algorithm>

#include "dcsim/scenario/suggestion.h"

namespace dcsim::scenario
{

namespace
{

const char *type_words(const toml::node &value)
{
    switch (value.type()) {
    case toml::node_type::table:
        return "a table";
    case toml::node_type::array:
        return "a list";
    case toml::node_type::string:
        return "a text";
    case toml::node_type::integer:
        return "a whole number";
    case toml::node_type::floating_point:
        return "a number with a fraction";
    case toml::node_type::boolean:
        return "true or false";
    default:
        return "a date or time";
    }
}

bool has_control_character(std::string_view text)
{
    return std::ranges::any_of(text, [](char character) {
        return static_cast<unsigned char>(character) < 0x20 || character == 0x7f;
    });
}

source_position place_of(const toml::source_region &region)
{
    return {region.begin.line, region.begin.column};
}

} // namespace

source_position place_of(const toml::node &node)
{
    return place_of(node.source());
}

source_position place_of(const toml::key &key)
{
    return place_of(key.source());
}

void document::report(source_position where, const std::string &message,
                      const std::string &suggestion)
{
    findings_.push_back({"", where, message, suggestion});
}

void document::report(const located_text &in, const syntax_problem &problem)
{
    report(place(in, problem.offset), problem.message, problem.suggestion);
}

source_position document::place(const located_text &in, size_t offset) const
{
    return text_.place_in_string(in.where, offset);
}

const toml::node *document::find(const std::string &section, const std::string &key) const
{
    if (const auto changed = changed_.find(section + "." + key); changed != changed_.end())
        return changed->second.value;
    return in_file(section, key);
}

const toml::node *document::in_file(const std::string &section, const std::string &key) const
{
    const toml::table *table = root_[section].as_table();
    return table ? table->get(key) : nullptr;
}

std::vector<entry> document::entries(const toml::table &table)
{
    std::vector<entry> found;

    for (auto &&[key, value] : table)
        found.push_back({std::string(key.str()), place_of(key), &value});
    std::ranges::sort(found, {}, &entry::where);
    return found;
}

std::vector<entry> document::section(const std::string &name) const
{
    const toml::table *table = root_[name].as_table();

    return table ? entries(*table) : std::vector<entry>();
}

std::vector<entry> document::changed(const std::string &section) const
{
    const std::string prefix = section + ".";
    std::vector<entry> found;

    for (const auto &[key, change] : changed_)
        if (key.starts_with(prefix))
            found.push_back({key.substr(prefix.size()), change.where, change.value});
    return found;
}

std::vector<entry> document::tree() const
{
    std::vector<entry> found = section("tree");

    for (const entry &changed : changed("tree")) {
        const auto same = std::ranges::find(found, changed.key, &entry::key);

        if (same != found.end())
            *same = changed;
        else
            found.push_back(changed);
    }
    return found;
}

void document::check_keys(const toml::table &table, const key_list &valid, const std::string &place)
{
    for (const entry &one : entries(table))
        if (std::ranges::find(valid, one.key) == valid.end())
            report(one.where, "unknown key '" + one.key + "' " + place,
                   nearest_name(one.key, valid));
}

const toml::table *document::as_table(const toml::node &value, const std::string &name,
                                      const char *example)
{
    if (!value.is_table())
        report(place_of(value),
               name + " must be a table, as in " + example + "; this is " + type_words(value));
    return value.as_table();
}

std::optional<int64_t> document::as_number(const toml::node &value, const std::string &name,
                                           int64_t smallest, int64_t largest)
{
    const auto *number = value.as_integer();
    const std::string range = " must be a whole number from " + std::to_string(smallest) + " to " +
                              std::to_string(largest);

    if (number && number->get() >= smallest && number->get() <= largest)
        return number->get();
    report(place_of(value),
           name + range + ", not " + (number ? std::to_string(number->get()) : type_words(value)));
    return {};
}

std::optional<bool> document::as_flag(const toml::node &value, const std::string &name)
{
    if (const auto *flag = value.as_boolean())
        return flag->get();
    report(place_of(value), name + " is true or false, not " + type_words(value));
    return {};
}

std::optional<located_text> document::as_text(const toml::node &value, const std::string &name)
{
    if (const auto *text = value.as_string())
        return located_text{text->get(), place_of(value)};
    report(place_of(value), name + " must be a text, not " + type_words(value));
    return {};
}

std::optional<located_text> document::as_line(const toml::node &value, const std::string &name)
{
    auto text = as_text(value, name);

    if (!text)
        return {};
    const bool blank = text->text.find_first_not_of(' ') == std::string::npos;
    if (!blank && !has_control_character(text->text))
        return text;
    report(text->where,
           name + (blank ? " must not be empty" : " must be a single line of plain text"));
    return {};
}

std::vector<located_text> document::as_texts(const toml::node &value, const std::string &name)
{
    std::vector<located_text> texts;

    if (!value.is_array()) {
        report(place_of(value), name + " must be a list of texts, not " + type_words(value));
        return texts;
    }
    for (const toml::node &member : *value.as_array())
        if (auto text = as_line(member, "a member of " + name))
            texts.push_back(*std::move(text));
    return texts;
}

void document::read_number(const std::string &section, const std::string &key, int64_t smallest,
                           int64_t largest, unsigned &target)
{
    if (const toml::node *value = find(section, key))
        if (const auto number = as_number(*value, key, smallest, largest))
            target = static_cast<unsigned>(*number);
}

void document::read_flag(const std::string &section, const std::string &key, bool &target)
{
    if (const toml::node *value = find(section, key))
        if (const auto flag = as_flag(*value, key))
            target = *flag;
}

std::vector<located_text> document::texts(const std::string &section, const std::string &key)
{
    const toml::node *value = find(section, key);

    return value ? as_texts(*value, key) : std::vector<located_text>();
}

} // namespace dcsim::scenario
