// SPDX-License-Identifier: GPL-2.0-only
//
// expression: operand [comparison operand | "in" list]. No arithmetic, no "and", no parentheses:
// what needs them is better said with two expressions.
#include "expression_parser.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <optional>

#include "dcsim/scenario/suggestion.h"

namespace dcsim::scenario
{

namespace
{

enum class argument_kind {
    nothing,
    path,
    path_or_nothing,
    task_or_nothing,
    task_and_cause,
    dentry
};

struct function {
    const char *name;
    operand::kind what;
    argument_kind takes;
    bool at_end; ///< known at the end only
    const char *signature;
};

constexpr function functions[] = {
    {"lookups", operand::kind::lookups, argument_kind::path_or_nothing, false,
     "lookups('/path') or lookups()"},
    {"waits", operand::kind::waits, argument_kind::task_or_nothing, false, "waits(A) or waits()"},
    {"retries", operand::kind::retries, argument_kind::task_and_cause, false,
     "retries(A, 'seq'), retries(A) or retries()"},
    {"blocked", operand::kind::blocked, argument_kind::task_or_nothing, false,
     "blocked(A) or blocked()"},
    {"rcu_walks", operand::kind::rcu_walks, argument_kind::task_or_nothing, false,
     "rcu_walks(A) or rcu_walks()"},
    {"unlazied", operand::kind::unlazied, argument_kind::task_or_nothing, false,
     "unlazied(A) or unlazied()"},
    {"fallbacks", operand::kind::fallbacks, argument_kind::task_or_nothing, false,
     "fallbacks(A) or fallbacks()"},
    {"hashed", operand::kind::hashed, argument_kind::path, true, "hashed('/path')"},
    {"positive", operand::kind::positive, argument_kind::path, true, "positive('/path')"},
    {"dentries", operand::kind::dentries, argument_kind::nothing, true, "dentries()"},
    {"references", operand::kind::references, argument_kind::dentry, false, "references(A.d)"},
    {"failed_allocations", operand::kind::failed_allocations, argument_kind::nothing, false,
     "failed_allocations()"},
};

struct attribute {
    const char *name;
    operand::kind what;
    bool of_dentry; ///< nothing else has it
    bool of_number; ///< what is only a number has it
};

constexpr attribute attributes[] = {
    {"error", operand::kind::error, false, true},
    {"inode", operand::kind::inode, false, false},
    {"negative", operand::kind::negative, true, false},
    {"hashed", operand::kind::hashed_attribute, true, false},
};

template <typename Table>
std::vector<std::string> names_of(const Table &table)
{
    std::vector<std::string> names;

    for (const auto &row : table)
        names.emplace_back(row.name);
    return names;
}

std::vector<std::string> cause_names()
{
    std::vector<std::string> names;

    for (int cause = 0; cause < retry_causes; ++cause)
        names.emplace_back(retry_cause_name(static_cast<retry_cause>(cause)));
    return names;
}

std::optional<comparison> comparison_of(const token &found)
{
    static constexpr std::pair<std::string_view, comparison> symbols[] = {
        {"==", comparison::equal},  {"!=", comparison::not_equal},
        {"<", comparison::less},    {"<=", comparison::less_equal},
        {">", comparison::greater}, {">=", comparison::greater_equal},
    };

    for (const auto &[symbol, op] : symbols)
        if (found.is(symbol))
            return op;
    return {};
}

/// What a checked comparison needs to know of an operand.
struct parsed_operand {
    operand value;
    token first;
    std::string text;    ///< "A.d"
    bool dentry = false; ///< the dentry itself

    bool constant() const
    {
        return value.what == operand::kind::constant;
    }
};

class expression_parser
{
  public:
    expression_parser(token_stream &tokens, name_table &names, const expression_scope &scope,
                      std::vector<asked_path> &asked)
        : tokens_(tokens), names_(names), scope_(scope), asked_(asked)
    {
    }

    expression parse();

  private:
    parsed_operand parse_operand();
    parsed_operand parse_word(const token &word);
    parsed_operand parse_function(const token &word);
    parsed_operand parse_result(const token &word);
    void parse_arguments(const function &called, const token &word, operand &value);
    void parse_cause(operand &value);
    int parse_path(const function &called);
    variable_place parse_variable();
    variable_place variable_of(const token &first);
    operand::kind parse_attribute(const parsed_operand &of, value_kind kind);
    std::vector<int64_t> parse_list(const parsed_operand &left);
    [[noreturn]] void unknown_word(const token &word) const;

    token_stream &tokens_;
    name_table &names_;
    const expression_scope &scope_;
    std::vector<asked_path> &asked_;
};

// --- Operands ---------------------------------------------------------------------------------

parsed_operand constant(const token &first, int64_t value)
{
    parsed_operand parsed{{}, first, std::string(first.text)};

    parsed.value.constant = value;
    return parsed;
}

int64_t number(const token &found)
{
    int64_t value = 0;
    const char *end = found.text.data() + found.text.size();
    const auto [stop, error] = std::from_chars(found.text.data(), end, value);

    if (error == std::errc::result_out_of_range || value == no_fact)
        throw syntax_problem{found.offset, "the number is too large"};
    if (stop != end)
        throw syntax_problem{found.offset, quoted(found) + " is not a whole number"};
    return value;
}

parsed_operand expression_parser::parse_operand()
{
    const token found = tokens_.take();

    switch (found.what) {
    case token::kind::word:
        return parse_word(found);
    case token::kind::number:
        return constant(found, number(found));
    case token::kind::text:
        throw syntax_problem{found.offset,
                             "a quoted text is a path, for a function: lookups('/a')"};
    case token::kind::end:
        throw syntax_problem{found.offset, "a value is missing here"};
    case token::kind::symbol:
        break;
    }
    if (found.is("-") && tokens_.peek().what == token::kind::word)
        throw syntax_problem{found.offset, "errno names stand for the negative value already: "
                                           "leave out the '-'"};
    throw syntax_problem{found.offset, "expected a value, found " + quoted(found)};
}

parsed_operand expression_parser::parse_word(const token &word)
{
    if (tokens_.peek().is("("))
        return parse_function(word);
    if (word.text == "true" || word.text == "false")
        return constant(word, word.text == "true");
    if (const int value = errno_value(std::string(word.text)))
        return constant(word, value);
    if (tokens_.peek().is(".") || scope_.task != expression_scope::nobody)
        return parse_result(word);
    unknown_word(word);
}

void expression_parser::unknown_word(const token &word) const
{
    const std::string message = "'" + std::string(word.text) + "' means nothing here";
    std::string meant = names_.owner_of(word.text);

    if (meant.empty())
        meant = nearest_name(word.text, errno_names());
    throw syntax_problem{word.offset, message, meant};
}

variable_place expression_parser::variable_of(const token &first)
{
    const bool own = scope_.task != expression_scope::nobody && !names_.is_task(first.text);
    const int task = own ? scope_.task : names_.task_index(first);
    token name = first;

    if (!own) {
        tokens_.expect(".", "the name of the task");
        name = tokens_.take();
    }
    if (name.what != token::kind::word)
        throw syntax_problem{name.offset, "expected a variable, found " + quoted(name)};
    const variable_place place = names_.find_variable(task, name);
    if (task == scope_.task && place.slot >= scope_.assigned)
        throw syntax_problem{name.offset, "'" + std::string(name.text) +
                                              "' is assigned by a later step only: this would "
                                              "wait forever"};
    return place;
}

variable_place expression_parser::parse_variable()
{
    const token first = tokens_.take();

    if (first.what == token::kind::word && scope_.task == expression_scope::nobody &&
        !tokens_.peek().is("."))
        unknown_word(first);
    if (first.what != token::kind::word)
        throw syntax_problem{first.offset, "expected a variable, found " + quoted(first)};
    return variable_of(first);
}

operand::kind expression_parser::parse_attribute(const parsed_operand &of, value_kind kind)
{
    const token name = tokens_.take();
    const auto found = std::ranges::find(attributes, name.text, &attribute::name);

    if (name.what != token::kind::word || found == std::end(attributes))
        throw syntax_problem{
            name.offset, "results have .error, .inode, .negative and .hashed, not " + quoted(name),
            nearest_name(name.text, names_of(attributes))};
    if ((!found->of_number && kind == value_kind::number) ||
        (found->of_dentry && kind != value_kind::dentry && kind != value_kind::none))
        throw syntax_problem{name.offset, of.text + " is a number and no dentry: it has no ." +
                                              std::string(name.text)};
    return found->what;
}

parsed_operand expression_parser::parse_result(const token &word)
{
    const variable_place place = variable_of(word);
    const variable &meant = names_.variable_at(place);
    parsed_operand parsed{{}, word, names_.task_at(place.task).name + "." + meant.name};

    parsed.value.what = operand::kind::result;
    parsed.value.task = place.task;
    parsed.value.variable = place.slot;
    if (tokens_.accept("."))
        parsed.value.what = parse_attribute(parsed, meant.kind);
    else
        parsed.dentry = meant.kind == value_kind::dentry;
    return parsed;
}

// --- Functions --------------------------------------------------------------------------------

int expression_parser::parse_path(const function &called)
{
    const token found = tokens_.take();

    if (found.what != token::kind::text)
        throw syntax_problem{found.offset, std::string(called.name) +
                                               "() takes a quoted path: " + called.signature};
    if (found.text == "/")
        throw syntax_problem{found.offset, "'/' has no name: it is never looked up, nor hashed"};
    const int path = names_.path(found);
    asked_.push_back({path, found.offset + 1});
    return path;
}

void expression_parser::parse_cause(operand &value)
{
    const token found = tokens_.take();
    const std::vector<std::string> causes = cause_names();
    const auto cause = std::ranges::find(causes, found.text);

    if (found.what != token::kind::text || cause == causes.end())
        throw syntax_problem{found.offset,
                             "a cause is 'seq', 'rename_lock', 'dir_seq', 'dying' or 'mismatch'",
                             nearest_name(found.text, causes)};
    value.cause = static_cast<int>(cause - causes.begin());
}

void expression_parser::parse_arguments(const function &called, const token &word, operand &value)
{
    const bool none_given = tokens_.peek().is(")");

    switch (called.takes) {
    case argument_kind::nothing:
        return;
    case argument_kind::path_or_nothing:
        if (none_given)
            return;
        [[fallthrough]];
    case argument_kind::path:
        value.path = parse_path(called);
        return;
    case argument_kind::task_or_nothing:
    case argument_kind::task_and_cause: {
        if (none_given)
            return;
        const token task = tokens_.take();

        if (task.what != token::kind::word)
            throw syntax_problem{task.offset,
                                 std::string(word.text) + "() takes a task: " + called.signature};
        value.task = names_.explored_task_index(task);
        if (called.takes == argument_kind::task_and_cause && tokens_.accept(","))
            parse_cause(value);
        return;
    }
    case argument_kind::dentry: {
        const token first = tokens_.peek();
        const variable_place place = parse_variable();

        const value_kind kind = names_.variable_at(place).kind;
        if (kind != value_kind::dentry && kind != value_kind::none)
            throw syntax_problem{first.offset, "a number has no references"};
        value.task = place.task;
        value.variable = place.slot;
    }
    }
}

parsed_operand expression_parser::parse_function(const token &word)
{
    const auto called = std::ranges::find(functions, word.text, &function::name);
    parsed_operand parsed{{}, word, std::string(word.text) + "()"};

    if (called == std::end(functions))
        throw syntax_problem{word.offset, "there is no function '" + std::string(word.text) + "'",
                             nearest_name(word.text, names_of(functions))};
    if (called->at_end && scope_.task != expression_scope::nobody)
        throw syntax_problem{word.offset, std::string(word.text) +
                                              "() is known at the end only, await() cannot ask it"};
    tokens_.take();
    parsed.value.what = called->what;
    parse_arguments(*called, word, parsed.value);
    if (!tokens_.peek().is(")"))
        throw syntax_problem{tokens_.peek().offset, "expected ')', found " +
                                                        quoted(tokens_.peek()) + ": " +
                                                        called->signature};
    tokens_.take();
    return parsed;
}

// --- Comparisons ------------------------------------------------------------------------------

/// A dentry is itself or an errno: anything else it is compared with is a mistake.
void check_dentry(const parsed_operand &dentry, comparison op, const parsed_operand &other)
{
    if (op != comparison::equal && op != comparison::not_equal)
        throw syntax_problem{dentry.first.offset,
                             dentry.text +
                                 " is a dentry, there is no more or less: whether it failed is " +
                                 dentry.text + ".error"};
    if (!other.dentry && (!other.constant() || other.value.constant >= 0))
        throw syntax_problem{other.first.offset, dentry.text + " is a dentry: it can be equal to "
                                                               "another dentry or to an errno"};
}

void check_comparison(const parsed_operand &left, comparison op, const parsed_operand &right)
{
    if (left.dentry)
        check_dentry(left, op, right);
    else if (right.dentry)
        check_dentry(right, op, left);
    if (left.constant() && right.constant())
        throw syntax_problem{left.first.offset, "two constants: this is always the same"};
}

std::vector<int64_t> expression_parser::parse_list(const parsed_operand &left)
{
    std::vector<int64_t> values;

    if (left.constant())
        throw syntax_problem{left.first.offset, "a constant: this is always the same"};
    tokens_.expect("[", "'in'");
    do {
        const parsed_operand member = parse_operand();

        if (!member.constant())
            throw syntax_problem{member.first.offset, "the list after 'in' has constants only"};
        if (left.dentry)
            check_dentry(left, comparison::equal, member);
        values.push_back(member.value.constant);
    } while (tokens_.accept(","));
    tokens_.expect("]", "the list");
    return values;
}

expression expression_parser::parse()
{
    expression parsed;
    const parsed_operand left = parse_operand();
    const token next = tokens_.peek();

    parsed.left = left.value;
    if (next.is_word("in")) {
        tokens_.take();
        parsed.op = comparison::in;
        parsed.set = parse_list(left);
    } else if (const auto op = comparison_of(next)) {
        tokens_.take();
        const parsed_operand right = parse_operand();

        check_comparison(left, *op, right);
        parsed.op = *op;
        parsed.right = right.value;
    } else if (next.is("=")) {
        throw syntax_problem{next.offset, "'=' assigns, and only in a step", "=="};
    } else if (left.constant()) {
        throw syntax_problem{left.first.offset, "a constant: this is always the same"};
    } else if (left.dentry) {
        throw syntax_problem{left.first.offset,
                             left.text + " is a dentry, neither true nor false: compare it, or "
                                         "ask for .error, .inode, .negative or .hashed"};
    }
    return parsed;
}

} // namespace

expression parse_expression(token_stream &tokens, name_table &names, const expression_scope &scope,
                            std::vector<asked_path> &asked)
{
    return expression_parser(tokens, names, scope, asked).parse();
}

} // namespace dcsim::scenario
