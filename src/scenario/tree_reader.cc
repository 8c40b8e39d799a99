// SPDX-License-Identifier: GPL-2.0-only
//
// Reads the entries one by one, then checks what they are to each other.
#include "tree_reader.h"

#include <algorithm>
#include <set>

#include "dcsim/scenario/suggestion.h"

namespace dcsim::scenario
{

namespace
{

constexpr const char *entry_example = "{ type = \"file\" }";
constexpr int64_t most_points = 100;
constexpr int64_t most_failures = 1000;

const key_list kind_names = {"file", "directory", "symlink"};

/// An entry, with the names that are resolved when all have been read.
struct raw_entry {
    std::string path;
    source_position where;
    tree_entry entry;
    bool typed = false; ///< `kind` is known
    std::string same_as;
    source_position same_as_where;

    bool is_alias() const
    {
        return !same_as.empty();
    }
};

class tree_reader
{
  public:
    tree_reader(document &from, name_table &names, const scenario &of)
        : from_(from), names_(names), file_system_(find_file_system(of.file_system))
    {
    }

    void read(scenario &into);

  private:
    void read_entry(const entry &from);
    void read_kind(const toml::table &table, raw_entry &into);
    void read_same_as(const toml::node &value, raw_entry &into);
    void read_lookup(const toml::node &value, raw_entry &into);
    void read_flags(const toml::node &value, raw_entry &into);
    void read_failures(const toml::table &table, raw_entry &into);
    void check_parent(const raw_entry &child);
    void check_same_as(const raw_entry &alias);
    bool leads_to(std::string_view directory, std::string_view path, std::set<std::string> &seen);
    const raw_entry *find(std::string_view path) const;
    std::vector<std::string> directories() const;

    document &from_;
    name_table &names_;
    const file_system_description *file_system_; ///< nullptr: unknown, as has been said
    std::vector<raw_entry> entries_;
    std::set<std::string> broken_; ///< paths whose own entry is wrong: nothing follows from them
};

// --- One entry --------------------------------------------------------------------------------

void tree_reader::read_kind(const toml::table &table, raw_entry &into)
{
    const toml::node *type = table.get("type");
    const toml::node *target = table.get("target");
    const auto name = type ? from_.as_text(*type, "type") : std::nullopt;

    if (!name)
        return;
    const auto kind = std::ranges::find(kind_names, name->text);
    if (kind == kind_names.end())
        return from_.report(name->where,
                            "type is file, directory or symlink, not '" + name->text + "'",
                            nearest_name(name->text, kind_names));
    into.entry.kind = static_cast<file_kind>(kind - kind_names.begin());
    into.typed = true;

    const bool is_symlink = into.entry.kind == file_kind::symlink;
    if (is_symlink && !target)
        return from_.report(into.where, "a symlink needs a target = \"...\"");
    if (!target)
        return;
    if (!is_symlink)
        return from_.report(place_of(*target), "only a symlink has a target");
    if (const auto body = from_.as_line(*target, "target"))
        into.entry.target = body->text;
}

void tree_reader::read_same_as(const toml::node &value, raw_entry &into)
{
    if (const auto path = from_.as_line(value, "same_as")) {
        into.same_as = path->text;
        into.same_as_where = path->where;
        into.entry.kind = file_kind::directory;
    }
}

void tree_reader::read_failures(const toml::table &table, raw_entry &into)
{
    const toml::node *error = table.get("error");
    const toml::node *times = table.get("times");

    if (times && !error)
        from_.report(place_of(*times), "times says how often ->lookup() fails: with which error?");
    if (!error)
        return;
    const auto name = from_.as_text(*error, "error");
    if (!name)
        return;
    into.entry.lookup_error = errno_value(name->text);
    into.entry.lookup_failures = every_time;
    if (into.entry.lookup_error == 0)
        from_.report(name->where, "there is no errno '" + name->text + "'",
                     nearest_name(name->text, errno_names()));
    if (!times)
        return;
    if (const auto number = from_.as_number(*times, "times", 1, most_failures))
        into.entry.lookup_failures = static_cast<int>(*number);
}

void tree_reader::read_lookup(const toml::node &value, raw_entry &into)
{
    const toml::table *table = from_.as_table(value, "lookup", "{ points = 1 }");

    if (!table)
        return;
    from_.check_keys(*table, {"error", "times", "points"}, "in lookup");
    read_failures(*table, into);
    if (const toml::node *points = table->get("points"))
        if (const auto number = from_.as_number(*points, "points", 0, most_points))
            into.entry.lookup_points = static_cast<int>(*number);
}

void tree_reader::read_flags(const toml::node &value, raw_entry &into)
{
    if (!file_system_)
        return;
    const key_list known(file_system_->flags.begin(), file_system_->flags.end());
    for (const located_text &flag : from_.as_texts(value, "flags")) {
        if (std::ranges::find(known, flag.text) == known.end())
            from_.report(flag.where,
                         std::string(file_system_->name) + " has no flag '" + flag.text + "'" +
                             all_valid(known),
                         nearest_name(flag.text, known));
        else
            into.entry.flags.push_back(flag.text);
    }
}

void tree_reader::read_entry(const entry &from)
{
    raw_entry read{from.key, from.where, {}, false, "", {}};
    const auto problem = check_path(from.key);

    broken_.insert(from.key);
    if (!problem.message.empty())
        return from_.report(from.where, problem.message);
    if (from.key == "/")
        return from_.report(from.where, "'/' is always there: leave it out");
    const toml::table *table = from_.as_table(*from.value, "'" + from.key + "'", entry_example);
    if (!table)
        return;
    from_.check_keys(*table, {"type", "target", "same_as", "lookup", "flags"},
                     "in '" + from.key + "'");
    const toml::node *same_as = table->get("same_as");
    if (same_as && (table->get("type") || table->get("target") || table->get("flags")))
        return from_.report(place_of(*same_as),
                            "same_as says all: leave out type, target and flags");
    if (!same_as && !table->get("type"))
        return from_.report(from.where, "'" + from.key + "' needs a type, as in " + entry_example);
    if (same_as)
        read_same_as(*same_as, read);
    read_kind(*table, read);
    if (const toml::node *lookup = table->get("lookup"))
        read_lookup(*lookup, read);
    if (const toml::node *flags = table->get("flags"))
        read_flags(*flags, read);
    read.entry.where = from.where;
    if (read.typed || read.is_alias()) {
        broken_.erase(from.key);
        entries_.push_back(read);
    }
}

// --- The entries among themselves -------------------------------------------------------------

const raw_entry *tree_reader::find(std::string_view path) const
{
    const auto found = std::ranges::find(entries_, path, &raw_entry::path);

    return found == entries_.end() ? nullptr : &*found;
}

std::vector<std::string> tree_reader::directories() const
{
    std::vector<std::string> found;

    for (const raw_entry &one : entries_)
        if (one.entry.kind == file_kind::directory && !one.is_alias())
            found.push_back(one.path);
    return found;
}

void tree_reader::check_parent(const raw_entry &child)
{
    const std::string parent(parent_of(child.path));
    const raw_entry *found = find(parent);

    if (parent == "/" || broken_.contains(parent))
        return;
    if (!found)
        from_.report(child.where, "'" + parent + "' is not in [tree]: list it as a directory",
                     nearest_name(parent, directories()));
    else if (found->is_alias())
        from_.report(child.where,
                     "'" + parent + "' is the same directory as '" + found->same_as +
                         "': list what is in it there",
                     found->same_as + child.path.substr(parent.size()));
    else if (found->entry.kind != file_kind::directory)
        from_.report(child.where, "'" + parent + "' is no directory: nothing can be in it");
}

/// Does one get from a directory down to `path`, through second names as well?
bool tree_reader::leads_to(std::string_view directory, std::string_view path,
                           std::set<std::string> &seen)
{
    if (is_below(path, directory))
        return true;
    for (const raw_entry &alias : entries_)
        if (alias.is_alias() && is_below(alias.path, directory) && seen.insert(alias.path).second &&
            leads_to(alias.same_as, path, seen))
            return true;
    return false;
}

void tree_reader::check_same_as(const raw_entry &alias)
{
    const raw_entry *original = find(alias.same_as);
    std::set<std::string> seen;

    if (broken_.contains(alias.same_as))
        return;
    if (file_system_ && !file_system_->second_names)
        return from_.report(alias.same_as_where,
                            std::string(file_system_->name) + " has no directories with two names");
    if (!original)
        from_.report(alias.same_as_where, "'" + alias.same_as + "' is not in [tree]",
                     nearest_name(alias.same_as, directories()));
    else if (original->is_alias())
        from_.report(alias.same_as_where, "'" + alias.same_as + "' is a second name itself",
                     original->same_as);
    else if (original->entry.kind != file_kind::directory)
        from_.report(alias.same_as_where,
                     "same_as is for directories, '" + alias.same_as + "' is none");
    else if (leads_to(alias.same_as, alias.path, seen))
        from_.report(alias.same_as_where, "'" + alias.same_as + "' would be inside itself");
}

void tree_reader::read(scenario &into)
{
    for (const entry &one : from_.tree())
        read_entry(one);
    for (const raw_entry &one : entries_)
        check_parent(one);
    for (const raw_entry &one : entries_)
        if (one.is_alias())
            check_same_as(one);

    std::ranges::sort(entries_, {},
                      [](const raw_entry &one) { return std::pair(one.is_alias(), one.path); });
    for (raw_entry &one : entries_) {
        one.entry.path = names_.path(one.path);
        const auto original = std::ranges::find(entries_, one.same_as, &raw_entry::path);
        if (original != entries_.end())
            one.entry.same_as = static_cast<int>(original - entries_.begin());
        into.tree.push_back(one.entry);
    }
}

} // namespace

void read_tree(document &from, name_table &names, scenario &into)
{
    if (const toml::node *section = from.root().get("tree"))
        from.as_table(*section, "[tree]", "\"/a\" = { type = \"file\" }");
    tree_reader(from, names, into).read(into);
}

} // namespace dcsim::scenario
