// SPDX-License-Identifier: GPL-2.0-only
//
// A scenario file as a whole: its sections, and compiling it once for itself and once for each of
// its variants.
#include <algorithm>
#include <bit>
#include <cstdlib>
#include <iterator>

#include "dcsim/scenario/oracle/linearize.h"
#include "dcsim/scenario/scenario.h"
#include "dcsim/scenario/suggestion.h"
#include "document.h"
#include "file_system_reader.h"
#include "names.h"
#include "task_reader.h"
#include "tree_reader.h"
#include "variant_reader.h"

namespace dcsim::scenario
{

namespace
{

constexpr int64_t known_format = 1;

const key_list sections = {"format", "title",      "teaches", "seeds", "source", "notes",
                           "dcache", "filesystem", "tree",    "setup", "task",   "faults",
                           "check",  "explore",    "variant", "note"};

/// A section with fixed keys.
struct section_keys {
    const char *name;
    key_list keys;
    const char *example;
};

const section_keys fixed_sections[] = {
    {"dcache",
     {"hash_buckets", "in_lookup_bits", "era", "splice_hashed", "lookup_outside_rwsem"},
     "[dcache]"},
    {"setup", {"do"}, "[setup]"},
    {"faults", {"allocations", "allow_warnings"}, "[faults]"},
    {"check", {"always", "never", "sometimes", "linearizable", "because"}, "[check]"},
    {"explore", {"preemptions", "starvation"}, "[explore]"},
};

struct compiled_file {
    scenario compiled;
    std::vector<read_variant> variants;
    std::vector<finding> findings;
    bool known_format = true;
};

class file_compiler
{
  public:
    file_compiler(const file_text &text, const toml::table &root, const document::changes &changes)
        : from_(text, root, changes), names_(into_.compiled)
    {
    }

    compiled_file compile();

  private:
    bool check_format();
    void check_sections();
    void read_description();
    void read_seeds(const toml::node &value);
    void read_limits();
    void read_era();
    void read_warnings();
    void read_linearizable();
    void read_notes();
    void read_note(const toml::table &table);
    bool read_place(const located_text &at, note &into);
    bool is_task_of_file(const token &name) const;

    compiled_file into_;
    document from_;
    name_table names_;
};

// --- The outside ------------------------------------------------------------------------------

/// False when nothing can be said about the rest.
bool file_compiler::check_format()
{
    const auto entries = document::entries(from_.root());
    const auto format = std::ranges::find(entries, "format", &entry::key);

    if (format == entries.end()) {
        from_.report({1, 1}, "the first line must be: format = 1");
        return true;
    }
    const auto *number = format->value->as_integer();
    if (!number || number->get() != known_format) {
        from_.report(place_of(*format->value), "this is not format 1, the only one known here");
        return false;
    }
    if (format != entries.begin())
        from_.report(format->where, "format must be the first key of the file");
    return true;
}

void file_compiler::check_sections()
{
    from_.check_keys(from_.root(), sections, "at the top of the file");
    for (const section_keys &section : fixed_sections) {
        const toml::node *value = from_.root().get(section.name);
        const std::string title = "[" + std::string(section.name) + "]";
        const toml::table *table = value ? from_.as_table(*value, title, section.example) : nullptr;

        if (table)
            from_.check_keys(*table, section.keys, "in " + title);
    }
    if (const toml::node *tasks = from_.root().get("task"))
        from_.as_table(*tasks, "task", "[task.A]");
    if (const toml::node *variants = from_.root().get("variant"))
        from_.as_table(*variants, "variant", "[variant.slow]");
}

void file_compiler::read_description()
{
    const toml::table &root = from_.root();

    if (const toml::node *title = root.get("title")) {
        if (const auto line = from_.as_line(*title, "title"))
            into_.compiled.title = line->text;
    } else {
        from_.report({1, 1}, "a title is missing: title = \"...\"");
    }
    if (const toml::node *teaches = root.get("teaches"))
        for (const located_text &topic : from_.as_texts(*teaches, "teaches"))
            into_.compiled.teaches.push_back(topic.text);
    if (const toml::node *seeds = root.get("seeds"))
        read_seeds(*seeds);
    if (const toml::node *source = root.get("source"))
        if (const auto line = from_.as_line(*source, "source"))
            into_.compiled.source = line->text;
    if (const toml::node *notes = root.get("notes"))
        if (const auto text = from_.as_text(*notes, "notes"))
            into_.compiled.notes = text->text;
}

void file_compiler::read_seeds(const toml::node &value)
{
    key_list numbers;

    std::ranges::transform(seed_documents(), std::back_inserter(numbers),
                           &seed_description::number);
    for (const located_text &number : from_.as_texts(value, "seeds")) {
        if (std::ranges::find(numbers, number.text) == numbers.end())
            from_.report(number.where,
                         "there is no document '" + number.text + "': they are " + numbers.front() +
                             " to " + numbers.back(),
                         nearest_name(number.text, numbers));
        else
            into_.compiled.seeds.push_back(number.text);
    }
}

/// The era whose name TOML reads as this number when it has no quotes; "" when none is.
std::string era_in_quotes(double number)
{
    for (const era_description &era : eras()) {
        char *end;

        if (strtod(era.name, &end) == number && !*end)
            return std::string("\"") + era.name + '"';
    }
    return "";
}

void file_compiler::read_era()
{
    const toml::node *value = from_.find("dcache", "era");
    scenario &into = into_.compiled;
    key_list names;
    std::optional<located_text> name;

    std::ranges::transform(eras(), std::back_inserter(names), &era_description::name);
    if (value && value->is_number())
        from_.report(place_of(*value), "an era is a text, with quotes around it" + all_valid(names),
                     era_in_quotes(*value->value<double>()));
    else if (value)
        name = from_.as_text(*value, "era");
    if (name && !find_era(name->text))
        from_.report(name->where, "there is no era '" + name->text + "'" + all_valid(names),
                     nearest_name(name->text, names));
    else if (name)
        into.era = name->text;
    from_.read_flag("dcache", "splice_hashed", into.splice_hashed);
    from_.read_flag("dcache", "lookup_outside_rwsem", into.lookup_outside_rwsem);
    if (into.lookup_outside_rwsem && find_era(into.era)->caller_queue)
        from_.report(place_of(*from_.find("dcache", "lookup_outside_rwsem")),
                     "lookup_outside_rwsem is proposed for v3 and later, not for era " + into.era);
}

void file_compiler::read_limits()
{
    scenario &into = into_.compiled;

    from_.read_number("dcache", "hash_buckets", 2, 65536, into.hash_buckets);
    if (!std::has_single_bit(into.hash_buckets))
        from_.report(place_of(*from_.find("dcache", "hash_buckets")),
                     "hash_buckets must be a power of two",
                     std::to_string(std::bit_floor(into.hash_buckets)));
    from_.read_number("dcache", "in_lookup_bits", 0, 10, into.in_lookup_bits);
    from_.read_number("faults", "allocations", 0, 3, into.failing_allocations);
    from_.read_number("explore", "preemptions", 0, 10, into.preemptions);
    from_.read_flag("explore", "starvation", into.starvation);
}

void file_compiler::read_warnings()
{
    for (const located_text &text : from_.texts("faults", "allow_warnings"))
        into_.compiled.allowed_warnings.push_back(text.text);
}

void file_compiler::read_linearizable()
{
    const toml::node *wanted = from_.find("check", "linearizable");
    const toml::node *because = from_.find("check", "because");
    const std::string beyond = oracle::beyond_the_oracle(into_.compiled);

    into_.compiled.not_linearizable = beyond;
    if (because && !(wanted && wanted->is_boolean() && !*wanted->value<bool>()))
        from_.report(place_of(*because), "because says why linearizable = false");
    if (!wanted)
        return;
    if (!wanted->is_boolean())
        return from_.report(place_of(*wanted), "linearizable is true or false");
    if (*wanted->value<bool>()) {
        if (!beyond.empty())
            from_.report(place_of(*wanted), "linearizability cannot be checked here: " + beyond);
        return;
    }
    const auto reason = because ? from_.as_line(*because, "because") : std::nullopt;
    if (reason)
        into_.compiled.not_linearizable = reason->text;
    else if (!because)
        from_.report(place_of(*wanted), "linearizable = false needs a reason: because = \"...\"");
}

// --- Notes ------------------------------------------------------------------------------------

bool file_compiler::is_task_of_file(const token &name) const
{
    const auto tasks = from_.section("task");

    return std::ranges::find(tasks, name.text, &entry::key) != tasks.end();
}

/// False when the note is about a task that does not take part.
bool file_compiler::read_place(const located_text &at, note &into)
{
    token_stream tokens(at.text);
    token word = tokens.take();

    if (word.what == token::kind::word && tokens.peek().what == token::kind::word) {
        const bool takes_part = names_.is_task(word.text);

        if (!takes_part && is_task_of_file(word))
            return false;
        into.task = names_.explored_task_index(word);
        word = tokens.take();
    }
    if (word.what != token::kind::word || tokens.peek().what != token::kind::end)
        throw syntax_problem{word.offset, "at is a function, or a task and a function: \"B "
                                          "d_wait_lookup\""};
    into.function = word.text;
    return true;
}

void file_compiler::read_note(const toml::table &table)
{
    const toml::node *at = table.get("at");
    const toml::node *text = table.get("text");
    note read;

    from_.check_keys(table, {"at", "text"}, "in [[note]]");
    if (!at || !text)
        return from_.report(place_of(table), at ? "a note needs a text" : "a note needs an at");
    const auto place = from_.as_line(*at, "at");
    const auto words = from_.as_text(*text, "text");
    if (!place || !words)
        return;
    read.text = words->text;
    read.where = place->where;
    try {
        if (read_place(*place, read))
            into_.compiled.narration.push_back(read);
    } catch (const syntax_problem &problem) {
        from_.report(*place, problem);
    }
}

void file_compiler::read_notes()
{
    const toml::node *notes = from_.root().get("note");

    if (notes && !notes->is_array_of_tables())
        return from_.report(place_of(*notes), "notes begin with [[note]], in double brackets");
    if (!notes)
        return;
    for (const toml::node &one : *notes->as_array())
        read_note(*one.as_table());
}

compiled_file file_compiler::compile()
{
    into_.known_format = check_format();
    if (into_.known_format) {
        check_sections();
        read_description();
        read_limits();
        read_era();
        read_file_system(from_, into_.compiled);
        read_warnings();
        read_tree(from_, names_, into_.compiled);
        read_tasks(from_, names_, into_.compiled);
        read_linearizable();
        read_notes();
        if (from_.unchanged())
            into_.variants = read_variants(from_);
    }
    into_.findings = from_.take_findings();
    return std::move(into_);
}

// --- All variants -----------------------------------------------------------------------------

bool same_finding(const finding &one, const finding &other)
{
    return one.where == other.where && one.message == other.message;
}

/// What is wrong with a variant, or in an era, and not with the file itself.
void add_findings(std::vector<finding> &all, const std::vector<finding> &of_file,
                  const std::vector<finding> &of_variant, const std::string &name)
{
    for (finding one : of_variant) {
        const bool known = std::ranges::any_of(
            of_file, [&one](const finding &other) { return same_finding(one, other); });

        if (known)
            continue;
        one.message = name + ": " + one.message;
        all.push_back(std::move(one));
    }
}

toml::table parse_toml(std::string_view text, const std::string &file_name)
{
    try {
        return toml::parse(text);
    } catch (const toml::parse_error &error) {
        const auto at = error.source().begin;

        throw scenario_error(
            {{file_name, {at.line, at.column}, std::string(error.description()), ""}});
    }
}

[[noreturn]] void unknown_variant(const std::string &file_name, const std::string &name,
                                  const std::vector<read_variant> &variants)
{
    std::vector<std::string> names;
    std::string list = variants.empty() ? "; it has none" : "";

    for (const read_variant &one : variants) {
        names.push_back(one.described.name);
        list += (list.empty() ? "; it has " : ", ") + one.described.name;
    }
    throw scenario_error(
        {{file_name, {}, "there is no variant '" + name + "'" + list, nearest_name(name, names)}});
}

void throw_any(std::vector<finding> findings, const std::string &file_name)
{
    std::ranges::stable_sort(findings, {}, &finding::where);
    for (finding &one : findings)
        one.file = file_name;
    if (!findings.empty())
        throw scenario_error(std::move(findings));
}

/// All there is in a file.
struct read_file {
    toml::table root;
    file_text text;
    compiled_file base;
    std::vector<scenario> variants; ///< in the order of base.variants

    read_file(std::string_view toml, const std::string &file_name)
        : root(parse_toml(toml, file_name)), text(toml), base(compile({}))
    {
        std::vector<finding> findings = base.findings;

        for (read_variant &one : base.variants) {
            compiled_file varied = compile(one.changes);

            add_findings(findings, base.findings, varied.findings, "variant " + one.described.name);
            varied.compiled.expect = one.described.expect;
            one.described.era = varied.compiled.era;
            one.described.file_system = varied.compiled.file_system;
            variants.push_back(std::move(varied.compiled));
        }
        throw_any(std::move(findings), file_name);
    }
    compiled_file compile(const document::changes &changes) const
    {
        return file_compiler(text, root, changes).compile();
    }
};

/// The same in another era.
scenario in_other_era(const read_file &file, document::changes changes, const std::string &era,
                      const std::string &file_name)
{
    const toml::value<std::string> name(era);

    changes["dcache.era"] = {"dcache.era", {}, &name};
    compiled_file compiled = file.compile(changes);
    std::vector<finding> findings;
    add_findings(findings, {}, compiled.findings, "era " + era);
    throw_any(std::move(findings), file_name);
    return std::move(compiled.compiled);
}

} // namespace

scenario parse_scenario(std::string_view toml, const std::string &file_name,
                        const std::string &variant_name, const std::string &era)
{
    const read_file file(toml, file_name);
    const auto &variants = file.base.variants;
    scenario chosen = file.base.compiled;
    document::changes changes;
    std::string other_era;

    if (!variant_name.empty()) {
        const auto wanted = std::ranges::find(
            variants, variant_name, [](const read_variant &one) { return one.described.name; });

        if (wanted == variants.end())
            unknown_variant(file_name, variant_name, variants);
        chosen = file.variants[static_cast<size_t>(wanted - variants.begin())];
        changes = wanted->changes;
    }
    if (!era.empty() && era != chosen.era) {
        const expectation expected = chosen.expect;

        chosen = in_other_era(file, changes, era, file_name);
        chosen.expect = expected;
        other_era = era;
    }
    for (const read_variant &one : variants)
        chosen.variants.push_back(one.described);
    chosen.file = file_name;
    chosen.variant_name = variant_name;
    chosen.hash = scenario_hash(toml, variant_name, other_era);
    return chosen;
}

uint64_t scenario_hash(std::string_view toml, std::string_view variant_name,
                       std::string_view other_era)
{
    uint64_t hash = 0xcbf29ce484222325u;
    const auto add = [&hash](std::string_view bytes) {
        for (const char byte : bytes)
            hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3u;
    };

    add(toml);
    add(std::string_view("\0", 1));
    add(variant_name);
    if (!other_era.empty()) {
        add(std::string_view("\0", 1));
        add(other_era);
    }
    return hash;
}

std::string hash_text(uint64_t hash)
{
    static constexpr char digits[] = "0123456789abcdef";
    std::string text(16, '0');

    for (size_t position = text.size(); position-- > 0; hash >>= 4)
        text[position] = digits[hash & 15];
    return text;
}

} // namespace dcsim::scenario
