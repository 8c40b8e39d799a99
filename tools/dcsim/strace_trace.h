// SPDX-License-Identifier: GPL-2.0-only
//
// A whole recorded trace: what happened, in order, and to which processes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "strace_operation.h"

namespace dcsim::cli
{

enum class trace_event_kind : unsigned char {
    start, ///< a process appears, as a copy of `parent`
    call,  ///< operations[operation]
    end,   ///< a process is gone
};

struct trace_event {
    trace_event_kind kind;
    bool share_directories = false; ///< of a start: root and working directory, as threads do
    bool share_files = false;       ///< of a start: the descriptors
    unsigned process = 0;
    unsigned parent = 0;    ///< of a start; the process itself when it is the first
    unsigned operation = 0; ///< of a call
};

/// What the lines of the file were.
struct strace_line_counts {
    uint64_t lines = 0;
    uint64_t calls = 0;
    uint64_t signals = 0;
    uint64_t exits = 0;
    uint64_t messages = 0;
    uint64_t stack = 0;
    uint64_t halves = 0;     ///< first halves of calls
    uint64_t fragments = 0;  ///< second halves without a first one
    uint64_t unfinished = 0; ///< first halves without a second one
    uint64_t blank = 0;
    uint64_t unknown = 0;
};

struct numbered_line {
    uint64_t number;
    std::string text;
};

struct strace_trace {
    std::vector<std::string> names; ///< of system calls, in order of appearance
    std::vector<traced_operation> operations;
    std::vector<trace_event> events;
    strace_line_counts counts;
    std::vector<numbered_line> unknown; ///< the first of them
    unsigned processes = 0;
    unsigned orphans = 0; ///< processes whose beginning is not in the trace
    int64_t uid = -1;     ///< of the traced programs, as signals told; -1: no signal did
};

/// Reads all lines of `text`. Keeps the first `unknown_kept` of those that are no strace output.
/// Throws std::bad_alloc.
strace_trace read_strace(std::string_view text, size_t unknown_kept);

} // namespace dcsim::cli
