// SPDX-License-Identifier: GPL-2.0-only
//
// Model backend: BUG and WARN end the execution as violations.
#pragma once

#include "dcsim/prim/model/once.h"

namespace dcsim::inline DCSIM_BACKEND
{

using warning_handler = void (*)(const char *what, const char *file, int line,
                                 const char *function);

/// Replaces what happens on a WARN; nullptr restores the violation. Returns the old handler.
warning_handler set_warning_handler(warning_handler handler);
/// Warnings seen since the program started.
long warning_count();

void report_warning(const char *file, int line, const char *function, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
[[noreturn]] void report_bug(const char *file, int line, const char *function, const char *what);
/// Dropped: an explored execution would repeat the line a million times.
void report_log_ratelimited(const char *format, ...) __attribute__((format(printf, 1, 2)));

} // namespace dcsim::inline DCSIM_BACKEND
