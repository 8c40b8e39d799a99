// SPDX-License-Identifier: GPL-2.0-only
#include "session.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>

#include "known_differences.h"

namespace dcsim::against_kernel
{

namespace
{

/// Trees are compared after so many steps even if nothing should have changed them.
constexpr unsigned idle_limit = 16;

bool is_open(const operation &op)
{
    return op.what == call::openat || op.what == call::openat2;
}

/// Is the result a position in a directory, which each side counts as it likes?
bool answers_position(const operation &op)
{
    return op.what == call::lseek && (op.whence != SEEK_SET || op.offset != 0);
}

std::string value_text(long value)
{
    return value < 0 ? "-" + name_of_errno(static_cast<int>(-value)) : std::to_string(value);
}

} // namespace

session::session(backend &first, backend &second, const plan &plan)
    : first_(first), second_(second),
      plan_(plan), streams_{directory_streams(slot_count, first.keeps_positions()),
                            directory_streams(slot_count, second.keeps_positions())}
{
    first_.begin(plan);
    second_.begin(plan);
    at_first_ = compare_trees();
}

std::string session::compare_lists(const answer &a, const answer &b)
{
    const auto sorted = [](std::vector<directory_entry> entries) {
        std::sort(entries.begin(), entries.end(),
                  [](const auto &x, const auto &y) { return x.name < y.name; });
        return entries;
    };
    const std::vector<directory_entry> first = sorted(a.entries);
    const std::vector<directory_entry> second = sorted(b.entries);

    for (size_t i = 0; i < std::max(first.size(), second.size()); i++) {
        if (i >= first.size() || i >= second.size() || first[i].name != second[i].name)
            return "they list different names, first of all " +
                   quoted(i < first.size() ? first[i].name : second[i].name);
        if (first[i].type != second[i].type)
            return "they list " + quoted(first[i].name) + " with the types " +
                   std::to_string(first[i].type) + " and " + std::to_string(second[i].type);
    }
    return "";
}

std::string session::compare(const operation &op, const answer &a, const answer &b)
{
    const bool positions = answers_position(op) && a.value >= 0 && b.value >= 0;

    if (a.value != b.value && !positions)
        return "they answer " + value_text(a.value) + " and " + value_text(b.value);
    if (a.text != b.text)
        return "they say " + quoted(a.text) + " and " + quoted(b.text);
    if (a.status.has_value() != b.status.has_value())
        return "only one says what it is";
    if (a.status) {
        std::string text = difference_of(*a.status, *b.status, pairs_);
        if (!text.empty())
            return "they say " + text;
    }
    if (op.what == call::list)
        return compare_lists(a, b);
    return "";
}

/// Keeps the account of positions in directories, after a call that both answered alike.
std::string session::follow_streams(const operation &op, const answer &a, const answer &b)
{
    const std::array<const answer *, 2> answers = {&a, &b};
    const std::array<const char *, 2> names = {first_.name(), second_.name()};
    const bool in_slot = op.slot >= 0;

    for (size_t side = 0; side < 2 && in_slot; side++) {
        directory_streams &streams = streams_[side];
        const tree &now = side ? second_tree_ : first_tree_;
        if ((is_open(op) || op.what == call::close) && a.value == 0) {
            streams.rewind(op.slot);
        } else if (op.what == call::list || op.what == call::getdents_tiny) {
            streams.lose(op.slot);
        } else if (op.what == call::lseek && a.value >= 0) {
            if (op.whence == seek_entry)
                streams.went_back(op.slot, op.offset);
            else if (op.whence == SEEK_SET && op.offset == 0)
                streams.rewind(op.slot);
            else if (op.whence != SEEK_CUR || op.offset != 0)
                streams.lose(op.slot);
        } else if (op.what == call::getdents && a.value == 0) {
            if (plan_.compare_every != 1)
                streams.lose(op.slot);
            std::string text = streams.read(op.slot, answers[side]->entries, now);
            if (!text.empty())
                return std::string(names[side]) + " " + text;
        }
    }
    return "";
}

std::string session::compare_trees()
{
    idle_ = 0;
    first_tree_ = first_.snapshot();
    second_tree_ = second_.snapshot();
    streams_[0].tree_changed(first_tree_);
    streams_[1].tree_changed(second_tree_);
    return difference_of(first_tree_, second_tree_, pairs_, first_.name(), second_.name());
}

/// A known difference is no difference; the sides are brought together again.
bool session::explain(const operation &op, const answer &a, const answer &b)
{
    for (const known_difference &known : known_differences()) {
        if (!known.explains(op, a, b))
            continue;
        explained_[known.what]++;
        if (is_open(op)) {
            operation close;
            close.what = call::close;
            close.slot = op.slot;
            first_.execute(close, 0);
            second_.execute(close, 0);
            streams_[0].rewind(op.slot);
            streams_[1].rewind(op.slot);
        }
        return true;
    }
    return false;
}

void session::count(const operation &op, const answer &a)
{
    coverage_[{op.what, a.value < 0 ? static_cast<int>(-a.value) : 0}]++;
}

std::optional<difference> session::step(const operation &op)
{
    const size_t index = steps_++;
    std::array<int64_t, 2> offsets = {};

    if (!at_first_.empty())
        return difference{index, {}, {}, "the trees differ from the beginning: " + at_first_};
    if (op.what == call::lseek && op.whence == seek_entry)
        for (size_t side = 0; side < 2; side++) {
            offsets[side] = op.slot < 0 ? -1 : streams_[side].position(op.slot, op.offset);
            if (offsets[side] < 0)
                return std::nullopt;
        }
    answer a = first_.execute(op, offsets[0]);
    last_ = a;
    if (a.left_out)
        return std::nullopt;
    answer b = second_.execute(op, offsets[1]);
    count(op, a);
    std::string what = compare(op, a, b);
    if (!what.empty() && explain(op, a, b))
        what.clear();
    else if (what.empty())
        what = follow_streams(op, a, b);
    if (what.empty()) {
        const bool changed = changes_tree(op) && a.value == 0;
        changes_ += changed;
        if ((changed && changes_ % plan_.compare_every == 0) || ++idle_ >= idle_limit) {
            what = compare_trees();
            if (!what.empty())
                what = "the trees differ: " + what;
        } else if (plan_.compare_every == 1 && (is_open(op) || op.what == call::close)) {
            // Readers of directories look here for what a slot has open.
            first_tree_.slots = first_.open_slots();
            second_tree_.slots = second_.open_slots();
        }
    }
    if (what.empty())
        return std::nullopt;
    return difference{index, std::move(a), std::move(b), what};
}

std::optional<difference> session::finish()
{
    std::string what = compare_trees();

    for (backend *side : {&first_, &second_})
        for (const std::string &complaint : side->end())
            if (what.empty())
                what = std::string(side->name()) + ": " + complaint;
    if (what.empty())
        return std::nullopt;
    return difference{steps_, {}, {}, "at the end: " + what};
}

std::optional<difference> run(const program &program, backend &first, backend &second)
{
    session session(first, second, program.plan);

    for (const operation &op : program.operations)
        if (std::optional<difference> found = session.step(op)) {
            first.end();
            second.end();
            return found;
        }
    return session.finish();
}

} // namespace dcsim::against_kernel
