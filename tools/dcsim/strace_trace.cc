// SPDX-License-Identifier: GPL-2.0-only
//
// Two passes: the first reads the lines; the second puts processes to them. A process often acts
// before the call that made it has returned, so its parent can only be known from further down.
#include "strace_trace.h"

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <unordered_map>

namespace dcsim::cli
{

namespace
{

/// What the first pass keeps of a line.
struct entry {
    enum class what { begins_call, call, end };

    int64_t pid;
    what kind;
    unsigned operation; ///< of a call
};

class trace_reader
{
  public:
    explicit trace_reader(size_t unknown_kept) : unknown_kept_(unknown_kept) {}

    void read(std::string_view text)
    {
        while (!text.empty()) {
            const size_t end = std::min(text.find('\n'), text.size());
            const std::string_view line = text.substr(0, end);

            text.remove_prefix(std::min(end + 1, text.size()));
            trace_.counts.lines++;
            take(parser_.parse(line), line);
        }
        trace_.counts.unfinished = parser_.unfinished();
    }
    strace_trace take_trace()
    {
        return std::move(trace_);
    }
    const std::vector<entry> &entries() const
    {
        return entries_;
    }
    const std::set<int64_t> &attached() const
    {
        return attached_;
    }

  private:
    void take(const strace_line &line, std::string_view text)
    {
        strace_line_counts &counts = trace_.counts;

        if (line.attached)
            attached_.insert(line.attached);
        switch (line.kind) {
        case strace_line_kind::call:
            counts.calls++;
            add_call(line);
            return;
        case strace_line_kind::unfinished:
            counts.halves++;
            entries_.push_back({line.pid, entry::what::begins_call, 0});
            return;
        case strace_line_kind::fragment:
            counts.fragments++;
            return;
        case strace_line_kind::signal:
            counts.signals++;
            if (line.uid >= 0)
                trace_.uid = line.uid;
            return;
        case strace_line_kind::exit:
            counts.exits++;
            entries_.push_back({line.pid, entry::what::end, 0});
            return;
        case strace_line_kind::message:
            counts.messages++;
            return;
        case strace_line_kind::stack:
            counts.stack++;
            return;
        case strace_line_kind::blank:
            counts.blank++;
            return;
        case strace_line_kind::unknown:
            if (counts.unknown++ < unknown_kept_)
                trace_.unknown.push_back({counts.lines, std::string(text)});
        }
    }

    void add_call(const strace_line &line)
    {
        traced_operation operation = interpret(line.call);
        const auto [name, fresh] =
            names_.emplace(line.call.name, static_cast<unsigned>(names_.size()));

        if (fresh)
            trace_.names.push_back(line.call.name);
        operation.call = name->second;
        operation.line = trace_.counts.lines;
        operation.begun = line.begun ? line.begun : operation.line;
        entries_.push_back(
            {line.pid, entry::what::call, static_cast<unsigned>(trace_.operations.size())});
        trace_.operations.push_back(std::move(operation));
    }

    size_t unknown_kept_;
    strace_parser parser_;
    strace_trace trace_;
    std::vector<entry> entries_;
    std::set<int64_t> attached_;
    std::unordered_map<std::string, unsigned> names_;
};

/// A call that made a process.
struct birth {
    int64_t parent;
    unsigned operation;
};

class process_tracker
{
  public:
    process_tracker(strace_trace &trace, const std::vector<entry> &entries,
                    const std::set<int64_t> &attached)
        : trace_(trace), entries_(entries), children_(attached)
    {
    }

    void run()
    {
        find_births();
        for (const entry &one : entries_) {
            const unsigned process = process_of(one.pid);
            last_ = process;
            if (one.kind == entry::what::begins_call)
                continue;
            if (one.kind == entry::what::end) {
                trace_.events.push_back({.kind = trace_event_kind::end, .process = process});
                forget(process);
                continue;
            }
            traced_operation &operation = trace_.operations[one.operation];
            operation.process = process;
            trace_.events.push_back(
                {.kind = trace_event_kind::call, .process = process, .operation = one.operation});
            // A child that has not shown itself yet is a copy of what its parent is now.
            if (operation.kind == path_operation::new_process && operation.value > 0 &&
                !live_.contains(operation.value) && has_birth(operation.value))
                process_of(operation.value);
        }
    }

  private:
    void find_births()
    {
        for (const entry &one : entries_) {
            if (one.kind != entry::what::call)
                continue;
            const traced_operation &operation = trace_.operations[one.operation];
            if (operation.kind != path_operation::new_process || operation.value <= 0)
                continue;
            births_[operation.value].push_back({one.pid, one.operation});
            children_.insert(operation.value);
        }
    }

    bool has_birth(int64_t pid) const
    {
        const auto found = births_.find(pid);

        return found != births_.end() && !found->second.empty();
    }

    /// The process that a line is about; a new one when it was not heard of yet.
    unsigned process_of(int64_t pid)
    {
        if (pid == 0)
            return process_without_name();
        if (const auto found = live_.find(pid); found != live_.end())
            return found->second;
        // Without -o, the first process has no name while it is alone.
        if (const auto first = live_.find(0); first != live_.end() && !children_.contains(pid)) {
            const unsigned process = first->second;
            live_.erase(first);
            live_[pid] = process;
            return process;
        }
        return start(pid);
    }

    unsigned process_without_name()
    {
        if (live_.empty())
            return start(0);
        return oldest();
    }

    unsigned oldest() const
    {
        return std::min_element(live_.begin(), live_.end(),
                                [](const auto &a, const auto &b) { return a.second < b.second; })
            ->second;
    }

    bool is_live(unsigned process) const
    {
        return std::any_of(live_.begin(), live_.end(),
                           [process](const auto &one) { return one.second == process; });
    }

    unsigned start(int64_t pid)
    {
        trace_event event = {.kind = trace_event_kind::start, .process = trace_.processes++};

        event.parent = event.process;
        if (has_birth(pid)) {
            const birth born = births_[pid].front();
            const std::string &flags = trace_.operations[born.operation].text;
            births_[pid].pop_front();
            event.parent = process_of(born.parent);
            event.share_directories = flags.find("CLONE_FS") != std::string::npos;
            event.share_files = flags.find("CLONE_FILES") != std::string::npos;
        } else if (event.process > 0) {
            trace_.orphans++;
            if (!live_.empty())
                event.parent = is_live(last_) ? last_ : oldest();
        }
        live_[pid] = event.process;
        trace_.events.push_back(event);
        return event.process;
    }

    void forget(unsigned process)
    {
        std::erase_if(live_, [process](const auto &one) { return one.second == process; });
    }

    strace_trace &trace_;
    const std::vector<entry> &entries_;
    std::set<int64_t> children_; ///< processes that are known to be some other's child
    std::unordered_map<int64_t, std::deque<birth>> births_;
    std::map<int64_t, unsigned> live_; ///< by process id; 0 while the first one's is not known
    unsigned last_ = 0;
};

} // namespace

strace_trace read_strace(std::string_view text, size_t unknown_kept)
{
    trace_reader reader(unknown_kept);

    reader.read(text);
    strace_trace trace = reader.take_trace();
    process_tracker(trace, reader.entries(), reader.attached()).run();
    return trace;
}

} // namespace dcsim::cli
