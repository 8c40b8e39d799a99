// SPDX-License-Identifier: GPL-2.0-only
//
// step: [name "="] verb "(" arguments ")".
#include "step_parser.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <span>

#include "dcsim/scenario/suggestion.h"

namespace dcsim::scenario
{

namespace
{

constexpr std::string_view reserved_words[] = {"true", "false", "in", "setup"};

void check_variable_name(const token &name)
{
    const auto is_letter = [](char letter) { return letter >= 'a' && letter <= 'z'; };
    const bool plain = std::ranges::all_of(name.text, [&](char letter) {
        return is_letter(letter) || letter == '_' || (letter >= '0' && letter <= '9');
    });

    if (!plain || !is_letter(name.text.front()))
        throw syntax_problem{name.offset, quoted(name) + " is no name for a variable: small "
                                                         "letters, digits and '_', a letter first"};
    if (std::ranges::find(reserved_words, name.text) != std::end(reserved_words))
        throw syntax_problem{name.offset, quoted(name) + " cannot be the name of a variable"};
}

const verb_description *find_verb(const token &word)
{
    const auto found = std::ranges::find(verbs(), word.text, &verb_description::name);

    if (found != verbs().end())
        return &*found;
    std::vector<std::string> names;
    std::ranges::transform(verbs(), std::back_inserter(names), &verb_description::name);
    throw syntax_problem{word.offset, "there is no verb " + quoted(word),
                         nearest_name(word.text, names)};
}

token expect_word(token_stream &tokens, const char *what)
{
    const token found = tokens.take();

    if (found.what != token::kind::word)
        throw syntax_problem{found.offset,
                             std::string("expected ") + what + ", found " + quoted(found)};
    return found;
}

/// A variable of another kind than the verb takes.
void check_kind(const token &used, const variable &found, const step_head &head)
{
    const bool takes_dentry = head.verb->parameters[0] == parameter_kind::variable;
    static constexpr const char *kinds[] = {"nothing", "a dentry", "a number", "a number",
                                            "a descriptor"};

    if (found.kind == value_kind::none ||
        found.kind == (takes_dentry ? value_kind::dentry : value_kind::descriptor))
        return;
    throw syntax_problem{used.offset, "'" + found.name + "' is " +
                                          kinds[static_cast<size_t>(found.kind)] + ", " +
                                          head.verb->name + "() takes " +
                                          (takes_dentry ? "a dentry" : "what open() returned")};
}

std::string signature(const step_head &head)
{
    return std::string(": ") + head.verb->signature;
}

/// An argument of another kind than the verb takes.
[[noreturn]] void wrong_argument(const step_head &head, const token &found, const char *wanted)
{
    throw syntax_problem{found.offset, std::string(head.verb->name) + "() takes " + wanted +
                                           " here, found " + quoted(found) + signature(head)};
}

int64_t count(const step_head &head, const token &found)
{
    int64_t value = 0;
    const char *end = found.text.data() + found.text.size();

    if (found.what != token::kind::number)
        wrong_argument(head, found, "a number");
    if (const auto [stop, error] = std::from_chars(found.text.data(), end, value);
        error != std::errc() || stop != end || value < 1)
        throw syntax_problem{found.offset, quoted(found) + " is no count: a whole number from 1"};
    return value;
}

/// Does it need the file system, and not just a dentry that somebody still has?
bool needs_mount(const verb_description &what)
{
    return what.what == verb::shrink || what.what == verb::umount || what.what == verb::reply ||
           what.parameters[0] == parameter_kind::path ||
           what.parameters[0] == parameter_kind::name ||
           what.parameters[0] == parameter_kind::pathname ||
           what.parameters[0] == parameter_kind::entry ||
           what.parameters[0] == parameter_kind::body;
}

bool is_flags(parameter_kind kind)
{
    return kind >= parameter_kind::optional_flags && kind <= parameter_kind::optional_intent;
}

bool is_optional(parameter_kind kind)
{
    return kind == parameter_kind::optional_count || is_flags(kind);
}

struct named_flag {
    const char *name;
    unsigned value;
};

/// Those of enum in vfs/namei.h, which are the kernel's.
constexpr named_flag intent_flags[] = {
    {"LOOKUP_OPEN", 0x0100},
    {"LOOKUP_CREATE", 0x0200},
    {"LOOKUP_EXCL", 0x0400},
    {"LOOKUP_RENAME_TARGET", 0x0800},
};
constexpr named_flag umount_flags[] = {{"detach", detach_flag}};
constexpr named_flag alloc_flags[] = {{"locked", locked_flag}};
constexpr named_flag noblock_return_flags[] = {{"forget", forget_flag}};

/// By x86-64's values, whatever machine this runs on: those of enum open_flag (vfs/file.h).
constexpr named_flag open_flags[] = {
    {"O_RDONLY", 0},          {"O_WRONLY", 1},         {"O_RDWR", 2},
    {"O_CREAT", 0100},        {"O_EXCL", 0200},        {"O_TRUNC", 01000},
    {"O_DIRECTORY", 0200000}, {"O_NOFOLLOW", 0400000}, {"O_PATH", 010000000},
    {"O_TMPFILE", 020200000},
};

std::span<const named_flag> flags_of(parameter_kind kind)
{
    switch (kind) {
    case parameter_kind::optional_detach:
        return umount_flags;
    case parameter_kind::optional_locked:
        return alloc_flags;
    case parameter_kind::optional_forget:
        return noblock_return_flags;
    case parameter_kind::optional_intent:
        return intent_flags;
    default:
        return open_flags;
    }
}

/// "O_CREAT|O_EXCL"
unsigned parse_flag_words(const token &found, const step_head &head,
                          std::span<const named_flag> known_flags)
{
    unsigned flags = 0;

    for (size_t begin = 0; begin <= found.text.size();) {
        const size_t end = std::min(found.text.find('|', begin), found.text.size());
        const std::string word(found.text.substr(begin, end - begin));
        const auto known = std::ranges::find(known_flags, word, &named_flag::name);

        if (known == known_flags.end()) {
            std::vector<std::string> names;
            std::ranges::transform(known_flags, std::back_inserter(names), &named_flag::name);
            throw syntax_problem{found.offset + 1 + begin,
                                 "there is no flag '" + word + "' for " + head.verb->name + "()" +
                                     all_valid(names),
                                 nearest_name(word, names)};
        }
        flags |= known->value;
        begin = end + 1;
    }
    return flags;
}

/// Whatever a system call may be given, as far as it fits into a line of a file.
void check_pathname(const token &found, const step_head &head, parameter_kind kind)
{
    if (const size_t nul = found.text.find('\0'); nul != found.text.npos)
        throw syntax_problem{found.offset + 1 + nul, "NUL in a path"};
    if (kind == parameter_kind::entry && !found.text.empty() &&
        found.text.find_first_not_of('/') == found.text.npos)
        throw syntax_problem{found.offset, std::string(head.verb->name) +
                                               "() needs a name in a directory: '/' has none"};
}

} // namespace

void parse_head(token_stream &tokens, step_head &head)
{
    token word = expect_word(tokens, "a verb");

    if (tokens.accept("=")) {
        check_variable_name(word);
        head.target = word;
        word = expect_word(tokens, "a verb after '='");
    }
    const verb_description *verb = find_verb(word);
    if (head.target && verb->value == value_kind::none)
        throw syntax_problem{head.target->offset,
                             std::string(verb->name) + "() returns nothing that could be assigned"};
    tokens.expect("(", std::string("'") + verb->name + "'");
    head.verb_word = word;
    head.verb = verb;
}

variable_place task_progress::find_variable(token_stream &tokens, const token &first) const
{
    if (tokens.peek().is(".")) {
        const int task = names_.task_index(first);

        if (task != setup_task && task != task_)
            throw syntax_problem{first.offset, "the variables of another task are its own; only "
                                               "those of setup are shared"};
        tokens.take();
        return names_.find_variable(task, expect_word(tokens, "a variable"));
    }
    try {
        return names_.find_variable(task_, first);
    } catch (syntax_problem &problem) {
        const std::string owner = names_.owner_of(first.text);

        if (owner.starts_with("setup."))
            problem.suggestion = owner;
        throw;
    }
}

void task_progress::parse_variable(token_stream &tokens, const step_head &head, step &parsed)
{
    const token first = tokens.take();
    if (first.what != token::kind::word)
        wrong_argument(head, first, "a variable");
    const variable_place place = find_variable(tokens, first);
    const std::string name = names_.variable_at(place).name;
    const auto same = [place](const variable_place &other) {
        return other.task == place.task && other.slot == place.slot;
    };

    if (place.task == task_ && place.slot >= assigned_)
        throw syntax_problem{first.offset, "'" + name + "' is assigned by a later step only"};
    check_kind(first, names_.variable_at(place), head);
    if (std::ranges::any_of(put_, same))
        throw syntax_problem{
            first.offset,
            "'" + name + "' is used after " +
                (head.verb->what == verb::close ? "close()" : "put(): its reference is gone")};
    const bool put = head.verb->what == verb::put || head.verb->what == verb::close;
    if (put)
        put_.push_back(place);
    if (head.verb->what == verb::close && place.task != task_)
        throw syntax_problem{first.offset, "descriptors of setup are its own: no task has them"};
    // rcu_inode() brings its own protection: that the reference may go meanwhile is what it is for.
    if (place.task == setup_task && head.verb->what != verb::rcu_inode)
        last_shared_use_ = {place.slot, first.offset, put};
    parsed.variable_task = place.task;
    parsed.variable_slot = place.slot;
}

void task_progress::parse_pathname(const token &found, const step_head &head, int index,
                                   step &parsed)
{
    const bool second = index > 0 && head.verb->parameters[0] != parameter_kind::body;

    check_pathname(found, head, head.verb->parameters[index]);
    (second ? parsed.second_pathname : parsed.pathname) = found.text;
    // Only what is a path from the top can be asked about in expressions.
    if (check_path(found.text).message.empty())
        (second ? parsed.second_path : parsed.path) = names_.path(found);
}

void task_progress::parse_flags(const token &found, const step_head &head, parameter_kind kind,
                                step &parsed)
{
    const auto known = flags_of(kind);

    if (known.size() == 1) {
        const std::string only = "'" + std::string(known[0].name) + "'";

        if (found.what != token::kind::text)
            wrong_argument(head, found, only.c_str());
        if (found.text != known[0].name)
            throw syntax_problem{
                found.offset, "the only flag of " + std::string(head.verb->name) + "() is " + only,
                known[0].name};
    }
    if (found.what != token::kind::text)
        wrong_argument(head, found, "quoted flags");
    parsed.flags = parse_flag_words(found, head, known);
}

void task_progress::parse_argument(token_stream &tokens, const step_head &head, int index,
                                   step &parsed, std::vector<expression> &awaited,
                                   std::vector<asked_path> &asked)
{
    const parameter_kind kind = head.verb->parameters[index];

    if (kind == parameter_kind::variable || kind == parameter_kind::descriptor)
        return parse_variable(tokens, head, parsed);
    if (kind == parameter_kind::expression) {
        awaited.push_back(parse_expression(tokens, names_, {task_, assigned_}, asked));
        parsed.expression = static_cast<int>(awaited.size()) - 1;
        return;
    }
    const token found = tokens.take();
    if (kind == parameter_kind::optional_count) {
        parsed.count = count(head, found);
        return;
    }
    if (is_flags(kind))
        return parse_flags(found, head, kind, parsed);
    if (found.what != token::kind::text)
        wrong_argument(head, found,
                       kind == parameter_kind::body ? "a quoted text" : "a quoted path");
    if (kind == parameter_kind::body) {
        parsed.second_pathname = found.text;
        return;
    }
    if (kind == parameter_kind::pathname || kind == parameter_kind::entry)
        return parse_pathname(found, head, index, parsed);
    if (kind == parameter_kind::name && found.text == "/")
        throw syntax_problem{found.offset, std::string(head.verb->name) +
                                               "() needs a name in a directory: '/' has none"};
    (parsed.path < 0 ? parsed.path : parsed.second_path) = names_.path(found);
}

void task_progress::check_order(const step_head &head) const
{
    if (unmounted_ && needs_mount(*head.verb))
        throw syntax_problem{head.verb_word.offset, std::string(head.verb->name) +
                                                        "() after umount(): there is no file "
                                                        "system any more"};
    if (task_ != setup_task)
        return;
    if (head.verb->what == verb::await)
        throw syntax_problem{head.verb_word.offset, "setup runs alone: what await() waits for "
                                                    "would never come"};
    if (head.verb->what == verb::umount)
        throw syntax_problem{head.verb_word.offset, "umount() in [setup] leaves the tasks without "
                                                    "a file system"};
}

/// Can the file system and the era do this?
void task_progress::check_ground(const step_head &head) const
{
    const scenario &of = names_.of();
    const file_system_description *on = find_file_system(of.file_system);
    const verb what = head.verb->what;
    const std::string name = std::string(head.verb->name) + "()";
    const bool proposed = what == verb::noblock || what == verb::noblock_return ||
                          what == verb::lookup_one || what == verb::duplicate;
    const bool maybe_in_lookup =
        what == verb::alloc || what == verb::lookup_one || what == verb::duplicate;
    std::string problem;

    if (on && !on->server && is_server_change(what))
        problem = ": " + of.file_system + " has no server that somebody else could change";
    else if (on && !on->handles && what == verb::obtain)
        problem = ": " + of.file_system + " has no file handles";
    else if (on && !on->pending && what == verb::reply)
        problem = " would never return: " + of.file_system + " puts nothing off";
    else if (proposed && find_era(of.era)->caller_queue)
        problem = " is proposed for v3 and later: era " + of.era + " has none";
    else if (maybe_in_lookup && !head.target)
        problem = " may return a dentry in lookup, which somebody has to finish: keep it";
    if (!problem.empty())
        throw syntax_problem{head.verb_word.offset, name + problem};
}

step task_progress::parse_arguments(token_stream &tokens, step_head head,
                                    std::vector<expression> &awaited,
                                    std::vector<asked_path> &asked)
{
    step parsed;

    // Two verbs with one name: one ends the file system, the other unmounts at a path.
    if (head.verb->what == verb::umount_path && tokens.peek().is(")"))
        head.verb = &describe(verb::umount);

    last_shared_use_.reset();
    parsed.what = head.verb->what;
    check_order(head);
    check_ground(head);
    unmounted_ |= head.verb->what == verb::umount;
    for (int index = 0; index < 2; ++index) {
        const parameter_kind kind = head.verb->parameters[index];
        const bool missing = tokens.peek().is(")");

        if (kind == parameter_kind::none || (missing && is_optional(kind)))
            break;
        if (missing)
            throw syntax_problem{tokens.peek().offset, "an argument is missing" + signature(head)};
        if (index > 0 && !tokens.accept(","))
            throw syntax_problem{tokens.peek().offset,
                                 "expected ',', found " + quoted(tokens.peek()) + signature(head)};
        parse_argument(tokens, head, index, parsed, awaited, asked);
    }
    const token closing = tokens.take();
    if (closing.is(","))
        throw syntax_problem{closing.offset, "too many arguments" + signature(head)};
    if (!closing.is(")"))
        throw syntax_problem{closing.offset,
                             "expected ')', found " + quoted(closing) + signature(head)};
    if (const token rest = tokens.peek(); rest.what != token::kind::end)
        throw syntax_problem{rest.offset, "a step is one call: " + quoted(rest) +
                                              " is too much; write a step of its own"};
    return parsed;
}

} // namespace dcsim::scenario
