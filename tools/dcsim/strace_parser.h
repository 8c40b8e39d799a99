// SPDX-License-Identifier: GPL-2.0-only
//
// The lines that strace(1) writes, one by one: which call, by whom, with which arguments, and what
// the kernel answered. Knows the columns of -f, -t, -tt, -ttt, -r, -T, -n, -i, -k, -y, -Y, -x and
// -X; strings of any -s; and calls that are shown in two halves because another process came in
// between. Knows nothing of what a call means.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace dcsim::cli
{

struct strace_argument {
    std::string text;       ///< as written, without what -y adds
    std::string string;     ///< of a string in quotes: its bytes
    std::string place;      ///< what -y tells of a descriptor: a path, or e.g. "pipe:[123]"
    bool is_string = false; ///< in quotes
    bool cut = false;       ///< the string was longer than strace showed ("...")
    bool deleted = false;   ///< -y: the file had no name any more

    /// Decimal, octal or hexadecimal, as it is written; `otherwise` for what is no number.
    int64_t number(int64_t otherwise) const;
};

struct strace_call {
    std::string name;
    std::vector<strace_argument> arguments;
    bool answered = false; ///< there is a result: not "?"
    bool injected = false; ///< the answer is strace's own (--inject), not the kernel's
    int64_t value = -1;    ///< what was returned
    int error = 0;         ///< the errno, or 0
    std::string place;     ///< what -y tells of the descriptor that was returned
};

enum class strace_line_kind {
    call,       ///< a whole call, maybe joined from two lines
    unfinished, ///< the first half of a call
    fragment,   ///< the second half of a call that began before the trace did
    signal,
    exit,    ///< the end of a process
    message, ///< strace about itself
    stack,   ///< of -k
    blank,
    unknown,
};

struct strace_line {
    strace_line_kind kind = strace_line_kind::unknown;
    int64_t pid = 0;      ///< 0: the line names no process
    strace_call call;     ///< of a call
    uint64_t begun = 0;   ///< of a call in two halves: which line, from 1, had the first; else 0
    int64_t attached = 0; ///< the process that strace began to trace, if it says so in this line
    int64_t uid = -1;     ///< of a signal: who sent it
};

class strace_parser
{
  public:
    /// Parses the next line, given without its newline. Lines must come in their order, because a
    /// call may be spread over two.
    strace_line parse(std::string_view line);
    /// Calls that were begun and have not ended.
    size_t unfinished() const
    {
        return begun_.size();
    }

  private:
    struct half {
        std::string text;
        uint64_t line;
    };
    using halves = std::unordered_map<int64_t, half>;

    strace_line parse_whole(std::string_view text);
    strace_line parse_call(int64_t pid, std::string_view text);
    strace_line parse_resumed(int64_t pid, std::string_view text);
    halves::iterator find_begun(int64_t pid, const std::string &name);

    halves begun_;       ///< by process: the first half of its call
    std::string torn_;   ///< a line up to the message that strace wrote into it
    uint64_t lines_ = 0; ///< parsed
};

/// The number behind a name like "ENOENT", or 0.
int errno_by_name(std::string_view name);

} // namespace dcsim::cli
