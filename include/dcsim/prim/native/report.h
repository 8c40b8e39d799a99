// SPDX-License-Identifier: GPL-2.0-only
//
// Native backend: where BUG, WARN and the kernel log go.
#pragma once

#include "dcsim/prim/native/once.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// A broken invariant. `what` is one line without a newline; `file`, `line` and `function` tell
/// where it was noticed.
using warning_handler = void (*)(const char *what, const char *file, int line,
                                 const char *function);

/// Replaces what happens on a WARN; nullptr restores printing to stderr. Returns the old handler.
warning_handler set_warning_handler(warning_handler handler);
/// Warnings seen since the program started, printed or not.
long warning_count();

void report_warning(const char *file, int line, const char *function, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
[[noreturn]] void report_bug(const char *file, int line, const char *function, const char *what);
/// One line of the kernel log, to stderr. Ratelimited callers may be dropped after ten lines.
void report_log_ratelimited(const char *format, ...) __attribute__((format(printf, 1, 2)));

} // namespace dcsim::inline DCSIM_BACKEND
