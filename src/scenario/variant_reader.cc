// SPDX-License-Identifier: GPL-2.0-only
//
// Variants: their names, the keys they set, and what is expected of them. Whether the values are
// good is found out when the scenario is compiled with them.
#include "variant_reader.h"

#include <algorithm>
#include <sstream>

#include "dcsim/scenario/suggestion.h"
#include "file_system_reader.h"
#include "names.h"

namespace dcsim::scenario
{

namespace
{

const key_list settable_keys = {
    "dcache.hash_buckets",
    "dcache.in_lookup_bits",
    "dcache.era",
    "dcache.splice_hashed",
    "dcache.lookup_outside_rwsem",
    "setup.do",
    "faults.allocations",
    "faults.allow_warnings",
    "check.always",
    "check.never",
    "check.sometimes",
    "check.linearizable",
    "check.because",
    "explore.preemptions",
    "explore.starvation",
};

bool is_digit(char letter)
{
    return letter >= '0' && letter <= '9';
}

bool is_variant_name(std::string_view name)
{
    const auto is_letter = [](char letter) { return letter >= 'a' && letter <= 'z'; };
    const auto is_other = [](char letter) {
        return is_digit(letter) || letter == '_' || letter == '-' || letter == '.';
    };

    return !name.empty() && is_letter(name.front()) && std::ranges::all_of(name, [&](char letter) {
        return is_letter(letter) || is_other(letter);
    });
}

/// Every key that a variant of this file may set, but for names it may add to the tree.
key_list keys_of(const document &from)
{
    key_list keys = settable_keys;

    for (const std::string &key : settable_file_system_keys())
        keys.push_back(key);
    for (const entry &one : from.section("tree"))
        keys.push_back("tree." + one.key);
    for (const entry &one : from.section("task"))
        keys.push_back("task." + one.key + ".do");
    return keys;
}

std::string text_of(const toml::node &value)
{
    std::ostringstream text;

    value.visit([&text](const auto &typed) { text << typed; });
    return text.str();
}

void read_changes(document &from, const toml::node &value, read_variant &into)
{
    const key_list keys = keys_of(from);
    const toml::table *set = from.as_table(value, "set", "{ \"task.A.do\" = [...] }");

    if (!set)
        return;
    for (const entry &one : document::entries(*set)) {
        const bool new_name =
            one.key.starts_with("tree./") && check_path(one.key.substr(5)).message.empty();

        if (!new_name && std::ranges::find(keys, one.key) == keys.end()) {
            const char *hint = one.value->is_table() && one.key.find('.') == one.key.npos
                                   ? ": dotted keys are quoted here, as in \"task.A.do\""
                                   : "";
            from.report(one.where, "a variant cannot set '" + one.key + "'" + hint,
                        nearest_name(one.key, keys));
            continue;
        }
        into.changes[one.key] = one;
        into.described.changes.push_back({one.key, text_of(*one.value)});
    }
    if (set->empty())
        from.report(place_of(value), "set is empty: a variant changes something");
}

read_variant read_one(document &from, const entry &named, const toml::table &table)
{
    read_variant read;
    variant &described = read.described;

    described.name = described.title = named.key;
    described.where = named.where;
    from.check_keys(table, {"title", "set", "expect"}, "in [variant." + named.key + "]");
    if (const toml::node *title = table.get("title"))
        if (const auto line = from.as_line(*title, "title"))
            described.title = line->text;
    if (const toml::node *expect = table.get("expect"))
        if (const auto line = from.as_line(*expect, "expect"))
            described.expect = read_expectation(from, *line);
    if (const toml::node *set = table.get("set"))
        read_changes(from, *set, read);
    else if (!table.get("expect"))
        from.report(named.where, "variant " + named.key +
                                     " changes nothing: it needs a set or, for "
                                     "a patched port, an expect");
    return read;
}

/// To TOML, [variant.era-4.7] is a table 7 in a table era-4. True when there is such a one.
bool refuse_unquoted_dot(document &from, const entry &named, const toml::table &table)
{
    bool refused = false;

    for (const entry &inner : document::entries(table)) {
        if (!inner.value->is_table() || !is_digit(inner.key[0]))
            continue;
        const std::string name = named.key + "." + inner.key;
        from.report(inner.where,
                    "a name with a dot in it is quoted here: [variant.\"" + name + "\"]");
        refused = true;
    }
    return refused;
}

} // namespace

expectation read_expectation(document &from, const located_text &text)
{
    constexpr std::string_view with_words = "violated:";
    const std::string_view value = text.text;

    if (value == "holds")
        return {};
    if (value == "violated")
        return {true, ""};
    const size_t word = value.starts_with(with_words)
                            ? value.find_first_not_of(' ', with_words.size())
                            : value.npos;
    if (word != value.npos)
        return {true, text.text.substr(word)};
    from.report(text.where,
                "expect is \"holds\", \"violated\" or \"violated: words of the "
                "report\", not \"" +
                    text.text + "\"",
                nearest_name(value.substr(0, value.find(':')), {"holds", "violated"}));
    return {};
}

std::string in_words(const expectation &expected)
{
    if (!expected.violated)
        return "holds";
    return expected.words.empty() ? "violated" : "violated: " + expected.words;
}

std::vector<read_variant> read_variants(document &from)
{
    std::vector<read_variant> variants;

    for (const entry &named : from.section("variant")) {
        const toml::table *table =
            from.as_table(*named.value, "variant." + named.key, "[variant.slow]");

        if (!is_variant_name(named.key))
            from.report(named.where, "'" + named.key +
                                         "' is no name for a variant: small letters, "
                                         "digits, '_', '-' and '.', a letter first");
        else if (table && !refuse_unquoted_dot(from, named, *table))
            variants.push_back(read_one(from, named, *table));
    }
    return variants;
}

} // namespace dcsim::scenario
