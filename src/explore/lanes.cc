// SPDX-License-Identifier: GPL-2.0-only
//
// The table of lanes: what each task did, from top to bottom, a column for each.
//
// A schedule has some hundred steps, and few of them matter. Shown are the steps on what another
// task touches as well, with somebody writing; locks, sleeping, waking and RCU; the first step of
// every turn; and the last steps of all. What is left out in between is counted.
#include <algorithm>
#include <iterator>
#include <map>
#include <set>

#include "dcsim/explore/trace.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

constexpr unsigned narrowest_column = 24;
constexpr size_t last_steps_always_shown = 4;
constexpr size_t first_rows_kept = 8;

struct row {
    std::string number;
    task_id task = no_task; ///< no_task: a line across
    std::string text;
};

/// Addresses that several tasks touch and somebody writes to.
std::set<const void *> shared_addresses(const trace &trace)
{
    std::map<const void *, task_mask> users;
    std::set<const void *> written;
    std::set<const void *> shared;

    for (const trace_step &step : trace.steps) {
        users[step.address] |= 1u << step.task;
        if (step.writes)
            written.insert(step.address);
    }
    for (const auto &[address, tasks] : users)
        if (address && (tasks & (tasks - 1)) && written.contains(address))
            shared.insert(address);
    return shared;
}

bool always_of_interest(const trace_step &step)
{
    switch (step.kind) {
    case operation::wait:
    case operation::sleep:
    case operation::wake:
    case operation::call_rcu:
    case operation::grace_period:
    case operation::free:
    case operation::synchronize:
    case operation::barrier:
    case operation::relax:
        return true;
    default:
        return step.waited;
    }
}

std::string verb_of(const trace_step &step)
{
    std::string text = operation_name(step.kind);

    if (step.kind == operation::load || step.kind == operation::store ||
        step.kind == operation::exchange)
        text = step.kind == operation::load ? "read" : "write";
    return step.waited ? "waited, then " + text : text;
}

std::string describe_step(const trace_step &step)
{
    const code_place &place = step.place();
    std::string text = place.function;

    if (!text.empty())
        text += ": ";
    text += verb_of(step);
    if (!step.object.empty())
        text += " " + step.object;
    if (step.writes && !step.after.empty() && step.before != step.after)
        text += ": " + step.before + " -> " + step.after;
    else if (!step.before.empty())
        text += " = " + step.before;
    return text;
}

class row_maker
{
  public:
    row_maker(const trace &trace, bool all_steps)
        : trace_(trace), shared_(shared_addresses(trace)), all_steps_(all_steps)
    {
    }

    std::vector<row> make()
    {
        for (size_t i = 0; i < trace_.steps.size(); i++)
            add(trace_.steps[i], i + last_steps_always_shown >= trace_.steps.size());
        count_skipped();
        return std::move(rows_);
    }

  private:
    void add(const trace_step &step, bool near_the_end)
    {
        const bool turn_begins = step.task != before_;
        const bool scenario_goes_on =
            !step.scenario_step.empty() && at_[step.task] != step.scenario_step;

        if (turn_begins || scenario_goes_on)
            count_skipped();
        if (turn_begins && step.preempted)
            rows_.push_back({"", no_task, trace_.task_names[before_] + " is preempted"});
        if (scenario_goes_on) {
            at_[step.task] = step.scenario_step;
            rows_.push_back({"", step.task, "> " + step.scenario_step});
        }
        before_ = step.task;
        if (!all_steps_ && !turn_begins && !near_the_end && !always_of_interest(step) &&
            !shared_.contains(step.address)) {
            skipped_++;
            return;
        }
        count_skipped();
        rows_.push_back({std::to_string(step.number), step.task, describe_step(step)});
    }

    void count_skipped()
    {
        if (skipped_)
            rows_.push_back({"", before_, "... " + std::to_string(skipped_) + " more"});
        skipped_ = 0;
    }

    const trace &trace_;
    std::set<const void *> shared_;
    bool all_steps_;
    std::vector<row> rows_;
    std::map<task_id, std::string> at_; ///< step of the scenario that each task is at
    size_t skipped_ = 0;                ///< steps of the task before_, left out so far
    task_id before_ = no_task;
};

/// Breaks a text into lines of at most `width`, at blanks where there are some.
std::vector<std::string> wrap(const std::string &text, size_t width)
{
    std::vector<std::string> lines;
    size_t begin = 0;

    while (text.size() - begin > width) {
        size_t end = text.rfind(' ', begin + width);
        if (end == std::string::npos || end <= begin)
            end = begin + width;
        lines.push_back(text.substr(begin, end - begin));
        begin = end + (end < text.size() && text[end] == ' ');
    }
    lines.push_back(text.substr(begin));
    return lines;
}

std::string padded(const std::string &text, size_t width)
{
    return text.size() < width ? text + std::string(width - text.size(), ' ') : text;
}

class table
{
  public:
    table(const trace &trace, const lanes_options &options) : options_(options)
    {
        const size_t tasks = trace.task_names.size();
        used_.resize(tasks);
        for (const trace_step &step : trace.steps)
            used_[step.task] = true;
        const auto columns = static_cast<unsigned>(std::count(used_.begin(), used_.end(), true));
        const unsigned room = options.width > number_width ? options.width - number_width : 0;
        const unsigned share = columns ? room / columns : 0;
        width_ = std::max(narrowest_column, share > 2 ? share - 2 : 0);
        heading(trace);
    }

    void add(const row &row)
    {
        if (row.task == no_task) {
            text_ += padded("", number_width) + "-- " + row.text + " --\n";
            return;
        }
        std::string number = row.number;
        for (const std::string &line : wrap(row.text, width_)) {
            std::string out = padded(number, number_width);
            for (size_t task = 0; task < used_.size(); task++)
                if (used_[task])
                    out += padded(task == row.task ? line : "", width_ + 2);
            out.erase(out.find_last_not_of(' ') + 1);
            text_ += out + "\n";
            number.clear();
        }
    }

    std::string take()
    {
        return std::move(text_);
    }

  private:
    static constexpr unsigned number_width = 6;

    void heading(const trace &trace)
    {
        std::string names = padded("step", number_width);
        std::string line = std::string(number_width - 1, '-') + " ";

        for (size_t task = 0; task < used_.size(); task++)
            if (used_[task]) {
                names += padded(trace.task_names[task], width_ + 2);
                line += std::string(width_, '-') + "  ";
            }
        names.erase(names.find_last_not_of(' ') + 1);
        line.erase(line.find_last_not_of(' ') + 1);
        text_ = names + "\n" + line + "\n";
    }

    lanes_options options_;
    std::vector<bool> used_;
    unsigned width_ = 0;
    std::string text_;
};

/// Takes rows out of the middle until about `most` are left. Who was preempted there is still told:
/// that is what a schedule is about.
void leave_out_middle(std::vector<row> &rows, unsigned most)
{
    const size_t left_out = rows.size() - most;
    const auto from =
        rows.begin() + static_cast<ptrdiff_t>(std::min<size_t>(first_rows_kept, most / 2));
    const auto to = from + static_cast<ptrdiff_t>(left_out);
    std::vector<row> instead = {
        {"", no_task, std::to_string(left_out) + " rows left out, --full shows them"}};

    std::copy_if(from, to, std::back_inserter(instead),
                 [](const row &one) { return one.task == no_task; });
    rows.insert(rows.erase(from, to), instead.begin(), instead.end());
}

} // namespace

std::string format_lanes(const trace &trace, const lanes_options &options)
{
    std::vector<row> rows = row_maker(trace, options.all_steps).make();
    table table(trace, options);

    if (options.most_rows && rows.size() > options.most_rows)
        leave_out_middle(rows, options.most_rows);
    for (const row &row : rows)
        table.add(row);
    return table.take();
}

} // namespace dcsim::inline DCSIM_BACKEND
