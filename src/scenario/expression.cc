// SPDX-License-Identifier: GPL-2.0-only
//
// Evaluating expressions, errno names, and saying an expression in words.
#include "dcsim/scenario/expression.h"

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "dcsim/scenario/scenario.h"

namespace dcsim::scenario
{

namespace
{

struct named_errno {
    const char *name;
    int value;
};

constexpr named_errno errnos[] = {
    {"EPERM", EPERM},           {"ENOENT", ENOENT},
    {"EINTR", EINTR},           {"EIO", EIO},
    {"ENXIO", ENXIO},           {"EAGAIN", EAGAIN},
    {"ECHILD", ECHILD},         {"ENOMEM", ENOMEM},
    {"EACCES", EACCES},         {"EBUSY", EBUSY},
    {"EEXIST", EEXIST},         {"EXDEV", EXDEV},
    {"ENODEV", ENODEV},         {"ENOTDIR", ENOTDIR},
    {"EISDIR", EISDIR},         {"EINVAL", EINVAL},
    {"ENFILE", ENFILE},         {"EMFILE", EMFILE},
    {"ENOSPC", ENOSPC},         {"EROFS", EROFS},
    {"EMLINK", EMLINK},         {"EDEADLK", EDEADLK},
    {"ELOOP", ELOOP},           {"ENAMETOOLONG", ENAMETOOLONG},
    {"ESTALE", ESTALE},         {"EDQUOT", EDQUOT},
    {"ENOTEMPTY", ENOTEMPTY},   {"ENOTCONN", ENOTCONN},
    {"EOPNOTSUPP", EOPNOTSUPP}, {"ETIMEDOUT", ETIMEDOUT},
    {"ECANCELED", ECANCELED},   {"EREMOTEIO", EREMOTEIO},
};

int64_t value_of(const operand &wanted, const fact_source &facts)
{
    return wanted.what == operand::kind::constant ? wanted.constant : facts.fact(wanted);
}

bool compares(int64_t left, comparison op, int64_t right)
{
    switch (op) {
    case comparison::equal:
        return left == right;
    case comparison::not_equal:
        return left != right;
    case comparison::less:
        return left < right;
    case comparison::less_equal:
        return left <= right;
    case comparison::greater:
        return left > right;
    case comparison::greater_equal:
        return left >= right;
    case comparison::truth:
    case comparison::in:
        break;
    }
    return false;
}

// --- In words ---------------------------------------------------------------------------------

bool is_truth(const operand &what)
{
    return what.what == operand::kind::negative || what.what == operand::kind::hashed_attribute;
}

std::string comparison_words(comparison op)
{
    switch (op) {
    case comparison::equal:
        return " is ";
    case comparison::not_equal:
        return " is not ";
    case comparison::less:
        return " is less than ";
    case comparison::less_equal:
        return " is at most ";
    case comparison::greater:
        return " is more than ";
    case comparison::greater_equal:
        return " is at least ";
    case comparison::truth:
    case comparison::in:
        break;
    }
    return " is one of ";
}

std::string constant_words(int64_t value)
{
    const std::string name = errno_name(value);

    return name.empty() ? std::to_string(value) : name;
}

/// Says the operands of one scenario.
class operand_words
{
  public:
    explicit operand_words(const scenario &of) : of_(of) {}

    std::string of(const operand &what) const
    {
        using enum operand::kind;
        switch (what.what) {
        case constant:
            return constant_words(what.constant);
        case result:
            return variable_of(what).kind == value_kind::dentry ? "the dentry " + name(what)
                                                                : "the result " + name(what);
        case error:
            return "the error of " + name(what);
        case inode:
            return "the inode of " + name(what);
        case negative:
            return "whether " + name(what) + " was negative";
        case hashed_attribute:
            return "whether " + name(what) + " was hashed";
        case references:
            return "the reference count of " + name(what);
        default:
            return "the number of " + counted(what);
        }
    }

    /// "A.d was negative": what is only true or false, as a statement.
    std::string statement(const operand &what, bool truth) const
    {
        return name(what) + (truth ? " was " : " was not ") +
               (what.what == operand::kind::negative ? "negative" : "hashed");
    }

  private:
    std::string counted(const operand &what) const
    {
        using enum operand::kind;
        switch (what.what) {
        case lookups:
            return "->lookup() calls" + (what.path == all_paths ? "" : " for " + path(what));
        case waits:
            return "waits" + by_task(what) + " for another task's ->lookup()";
        case retries:
            return "restarted lookups" + by_task(what) + because(what);
        case blocked:
            return what.task == all_tasks ? "times a task was blocked"
                                          : "times " + task_of(what).name + " was blocked";
        case rcu_walks:
            return "path walks" + by_task(what) + " that stayed in RCU mode";
        case unlazied:
            return "path walks" + by_task(what) + " that went on from RCU in ref mode";
        case fallbacks:
            return "path walks" + by_task(what) + " that left RCU mode and began again";
        case failed_allocations:
            return "allocations that failed";
        case hashed:
            return "hashed dentries named " + path(what);
        case positive:
            return "hashed positive dentries named " + path(what);
        default:
            return "dentries";
        }
    }
    std::string by_task(const operand &what) const
    {
        return what.task == all_tasks ? "" : " of " + task_of(what).name;
    }
    std::string because(const operand &what) const
    {
        if (what.cause == all_causes)
            return "";
        return std::string(" because of ") + retry_cause_name(static_cast<retry_cause>(what.cause));
    }

    const task &task_of(const operand &what) const
    {
        return what.task == setup_task ? of_.setup : of_.tasks[static_cast<size_t>(what.task)];
    }
    const variable &variable_of(const operand &what) const
    {
        return task_of(what).variables[static_cast<size_t>(what.variable)];
    }
    std::string name(const operand &what) const
    {
        return task_of(what).name + "." + variable_of(what).name;
    }
    const std::string &path(const operand &what) const
    {
        return of_.paths[static_cast<size_t>(what.path)];
    }

    const scenario &of_;
};

std::string list_words(const std::vector<int64_t> &values)
{
    std::string text;

    for (const int64_t value : values)
        text += (text.empty() ? "" : ", ") + constant_words(value);
    return text;
}

/// For `x`, `x == true`, `x != 1` and so on, where x is only true or false: which of them it says.
bool says_truth(const expression &stated, bool &truth)
{
    const bool truth_value = stated.right.constant == 1;

    if (!is_truth(stated.left))
        return false;
    truth = true;
    if (stated.op == comparison::truth)
        return true;
    if (stated.right.what != operand::kind::constant || (!truth_value && stated.right.constant))
        return false;
    truth = truth_value == (stated.op == comparison::equal);
    return stated.op == comparison::equal || stated.op == comparison::not_equal;
}

} // namespace

const char *retry_cause_name(retry_cause cause)
{
    static constexpr const char *names[] = {"seq", "rename_lock", "dir_seq", "dying", "mismatch"};

    static_assert(std::size(names) == retry_causes);
    return names[static_cast<size_t>(cause)];
}

bool holds(const expression &stated, const fact_source &facts)
{
    const int64_t left = value_of(stated.left, facts);

    if (left == no_fact)
        return false;
    if (stated.op == comparison::truth)
        return left != 0;
    if (stated.op == comparison::in)
        return std::ranges::find(stated.set, left) != stated.set.end();
    const int64_t right = value_of(stated.right, facts);
    return right != no_fact && compares(left, stated.op, right);
}

int errno_value(const std::string &name)
{
    const auto found = std::ranges::find(errnos, name, &named_errno::name);

    return found == std::end(errnos) ? 0 : -found->value;
}

std::string errno_name(int64_t negative_value)
{
    for (const named_errno &known : errnos)
        if (-known.value == negative_value)
            return known.name;
    return "";
}

const std::vector<std::string> &errno_names()
{
    static const std::vector<std::string> names = [] {
        std::vector<std::string> all;

        std::ranges::transform(errnos, std::back_inserter(all), &named_errno::name);
        return all;
    }();
    return names;
}

std::string in_words(const expression &stated, const scenario &of)
{
    const operand_words words(of);
    bool truth = false;

    if (says_truth(stated, truth))
        return words.statement(stated.left, truth);
    if (stated.op == comparison::truth)
        return words.of(stated.left) + " is not 0";
    const std::string right =
        stated.op == comparison::in ? list_words(stated.set) : words.of(stated.right);
    return words.of(stated.left) + comparison_words(stated.op) + right;
}

} // namespace dcsim::scenario
