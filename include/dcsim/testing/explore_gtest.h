// SPDX-License-Identifier: GPL-2.0-only
//
// Explorations as GoogleTest tests, and matchers. A failure prints the rule that broke, the token
// that replays it, and what each task did.
//
//     EXPLORE(MessagePassing, ReaderSeesAllOrNothing)
//     {
//         program.setup = ...;
//         program.tasks = ...;
//         program.expected = dcsim::violation_kind::expectation; // or nothing
//     }
#pragma once

#include <ostream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/explore/explore.h"
#include "dcsim/vfs/dcache.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// How GoogleTest shows a report.
inline void PrintTo(const exploration_report &report, std::ostream *out)
{
    const search_result &search = report.search;

    if (search.outcome == verdict::violated) {
        *out << "violated (" << violation_name(search.broken.kind) << ") with "
             << search.preemptions << " preemption(s): " << search.broken.text << "\n\n"
             << report.lanes << "\ntoken: " << report.token << "\n";
        return;
    }
    *out << (search.outcome == verdict::holds ? "no rule is broken in " + search.covered
                                              : std::string("inconclusive"))
         << ", " << memory_model_name << " memory, " << search.executions << " executions";
}

namespace testing
{

/// The report says what its exploration expected.
MATCHER(IsAsExpected, "is as its author expected")
{
    *result_listener << "expected " << arg.expectation;
    return arg.as_expected;
}

/// No rule is broken, and the search was complete within its bound.
MATCHER(Holds, "breaks no rule")
{
    return arg.search.outcome == verdict::holds;
}

/// This kind of rule is broken.
MATCHER_P(Violates, kind, std::string("violates: ") + violation_name(kind))
{
    return arg.search.outcome == verdict::violated && arg.search.broken.kind == kind;
}

// Dentries at rest. Raw reads: no schedule points.

MATCHER(IsHashed, "is hashed")
{
    return READ_LOCKED(arg->d_hash.pprev) != nullptr;
}

MATCHER(IsNegativeDentry, "has no inode")
{
    return READ_LOCKED(arg->d_inode) == nullptr;
}

MATCHER(IsInLookup, "is in lookup")
{
    return (READ_LOCKED(arg->d_flags) & DCACHE_PAR_LOOKUP) != 0;
}

MATCHER_P(HasReferences, count, "has " + std::to_string(count) + " references")
{
    *result_listener << "which has " << READ_LOCKED(arg->d_lockref.count);
    return READ_LOCKED(arg->d_lockref.count) == count;
}

} // namespace testing

} // namespace dcsim::inline DCSIM_BACKEND

/// A test that explores: the body fills in `program`.
#define EXPLORE(suite, name_of_test)                                                               \
    static void suite##_##name_of_test##_program(::dcsim::exploration &program);                   \
    TEST(suite, name_of_test)                                                                      \
    {                                                                                              \
        ::dcsim::exploration program;                                                              \
        program.name = #suite "." #name_of_test;                                                   \
        suite##_##name_of_test##_program(program);                                                 \
        EXPECT_THAT(::dcsim::explore(program), ::dcsim::testing::IsAsExpected());                  \
    }                                                                                              \
    static void suite##_##name_of_test##_program(::dcsim::exploration &program)
