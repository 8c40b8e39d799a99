// SPDX-License-Identifier: GPL-2.0-only
//
// WARN and BUG of the model.
#include "dcsim/prim/model/report.h"

#include <cstdarg>
#include <cstdio>

#include "dcsim/prim/model/lockref_word.h"
#include "internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

warning_handler handler;
long warnings;

const char *base_name(const char *path)
{
    const char *name = path;

    for (const char *at = path; *at; at++)
        if (*at == '/')
            name = at + 1;
    return name;
}

} // namespace

warning_handler set_warning_handler(warning_handler replacement)
{
    warning_handler before = handler;

    handler = replacement;
    return before;
}

long warning_count()
{
    return warnings;
}

void report_warning(const char *file, int line, const char *function, const char *format, ...)
{
    const model_program &program = loaded_program();
    char what[600];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    warnings++;
    if (handler) {
        handler(what, file, line, function);
        return;
    }
    if (program.warning_expected && program.warning_expected(program.argument, what))
        return;
    violate(violation_kind::warning, "%s at %s:%d in %s()", what, base_name(file), line, function);
}

void report_bug(const char *file, int line, const char *function, const char *what)
{
    violate(violation_kind::bug, "%s at %s:%d in %s()", what, base_name(file), line, function);
}

void report_bad_count(const lockref *ref, int before, int after)
{
    const char *what = "is taken so often that the count will overflow";

    if (before < 0)
        what = "is dead, and somebody takes or gives up a reference";
    else if (after < 0)
        what = "is given up by more than have taken it";
    violate(violation_kind::reference_count, "%s %s: from %d to %d", address_text(&ref->count),
            what, before, after);
}

void report_log_ratelimited(const char *, ...) {}

} // namespace dcsim::inline DCSIM_BACKEND
