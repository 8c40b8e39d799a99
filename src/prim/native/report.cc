// SPDX-License-Identifier: GPL-2.0-only
//
// WARN, BUG and the kernel log on native threads.
#include "dcsim/prim/native/report.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

constexpr int warnings_printed = 20;
constexpr int ratelimited_lines = 10;

void print_warning(const char *what, const char *file, int line, const char *function)
{
    fprintf(stderr, "WARNING: %s at %s:%d in %s()\n", what, file, line, function);
}

constinit once<long> warnings(0);
constinit once<int> log_lines(0);
constinit once<warning_handler> handler(nullptr);

} // namespace

warning_handler set_warning_handler(warning_handler replacement)
{
    return xchg(&handler, replacement);
}

long warning_count()
{
    return READ_ONCE(warnings);
}

void report_warning(const char *file, int line, const char *function, const char *format, ...)
{
    char what[600];
    va_list arguments;
    long seen = add_return(&warnings, 1);

    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);

    if (warning_handler replacement = READ_ONCE(handler)) {
        replacement(what, file, line, function);
        return;
    }
    if (seen <= warnings_printed)
        print_warning(what, file, line, function);
    if (seen == warnings_printed)
        fprintf(stderr, "WARNING: further warnings are counted, not printed\n");
}

void report_bug(const char *file, int line, const char *function, const char *what)
{
    fprintf(stderr, "BUG: %s at %s:%d in %s()\n", what, file, line, function);
    abort();
}

void report_log_ratelimited(const char *format, ...)
{
    va_list arguments;

    if (add_return(&log_lines, 1) > ratelimited_lines)
        return;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
}

} // namespace dcsim::inline DCSIM_BACKEND
