// SPDX-License-Identifier: GPL-2.0-only
//
// Exploring from C++, as a test or an experiment does it.
#include "dcsim/testing/explore_gtest.h"

#include <algorithm>
#include <cstring>

#include "dcsim/explore/token.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/kernel/spinlock.h"
#include "dcsim/mockfs/memfs.h"
#include "dcsim/vfs/namei.h"
#include "dcsim/vfs/vfs.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using testing::HasReferences;
using ::testing::HasSubstr;
using testing::Holds;
using testing::IsHashed;
using testing::IsInLookup;
using testing::IsNegativeDentry;
using ::testing::Not;
using testing::Violates;

struct counter {
    spinlock_t lock;
    once<int> value;
};
counter *shared;

void set_up_counter()
{
    shared = make_shared_state<counter>();
    spin_lock_init(&shared->lock, "counter");
}

/// Two tasks that count, with or without the lock.
void count_twice(exploration &program, bool locked)
{
    const auto count = [locked]() __context_unsafe("locks or does not") {
        if (locked)
            spin_lock(&shared->lock);
        ++shared->value;
        if (locked)
            spin_unlock(&shared->lock);
    };

    program.setup = set_up_counter;
    program.tasks = {{"A", count}, {"B", count}};
    program.finally = [] { explore_check(READ_ONCE(shared->value) == 2, "an increment is lost"); };
}

EXPLORE(ExploreMacro, LockedCounterLosesNothing)
{
    count_twice(program, true);
}

EXPLORE(ExploreMacro, ExpectedViolationIsASuccess)
{
    count_twice(program, false);
    program.expected = violation_kind::expectation;
}

TEST(Explore, LostIncrementNeedsOnePreemption)
{
    exploration program;

    count_twice(program, false);
    const exploration_report report = explore(program);

    EXPECT_THAT(report, Violates(violation_kind::expectation));
    EXPECT_EQ(report.search.preemptions, 1u);
    EXPECT_STREQ(report.search.broken.text, "an increment is lost");
}

TEST(Explore, CompleteSearchHolds)
{
    exploration program;

    count_twice(program, true);
    EXPECT_THAT(explore(program), Holds());
}

TEST(Explore, UnexpectedViolationIsNotAsExpected)
{
    exploration program;

    count_twice(program, false);
    EXPECT_THAT(explore(program), Not(testing::IsAsExpected()));
    program.expected = violation_kind::deadlock;
    EXPECT_THAT(explore(program), Not(testing::IsAsExpected()));
}

TEST(Explore, MissingViolationIsNotAsExpected)
{
    exploration program;

    count_twice(program, true);
    program.expected = violation_kind::expectation;
    EXPECT_THAT(explore(program), Not(testing::IsAsExpected()));
}

TEST(Explore, FailurePrintsRuleLanesAndToken)
{
    exploration program;

    count_twice(program, false);
    const exploration_report report = explore(program);
    const std::string text = ::testing::PrintToString(report);

    EXPECT_THAT(text, HasSubstr("an increment is lost"));
    EXPECT_THAT(text, HasSubstr(report.token));
    EXPECT_THAT(text, HasSubstr("step  A"));
    EXPECT_THAT(text, HasSubstr("A is preempted"));
}

TEST(Explore, TokenReplays)
{
    exploration program;

    count_twice(program, false);
    const std::string token = explore(program).token;
    for (carrier_kind carrier : {default_carrier, carrier_kind::threads}) {
        program.options.carrier = carrier;
        const replay_report again = replay(program, token);
        EXPECT_EQ(again.problem, "");
        EXPECT_FALSE(again.replay.diverged);
        EXPECT_STREQ(again.trace.broken.text, "an increment is lost");
    }
}

TEST(Explore, TokenOfAnotherProgramIsRefused)
{
    exploration program;

    count_twice(program, false);
    const std::string token = explore(program).token;
    program.name = "another";
    EXPECT_THAT(replay(program, token).problem, HasSubstr("another program"));
    EXPECT_THAT(replay(program, "v2").problem, HasSubstr("begins with v1-"));
}

TEST(Explore, InvariantIsLookedAtBeforeEveryStep)
{
    exploration program;

    count_twice(program, true);
    program.invariant = [] { explore_check(READ_ONCE(shared->value) < 2, "two is too many"); };
    const exploration_report report = explore(program);
    EXPECT_THAT(report, Violates(violation_kind::expectation));
    EXPECT_STREQ(report.search.broken.text, "two is too many");
}

TEST(Explore, ForgottenAllocationIsALeak)
{
    exploration program;

    program.tasks = {{"A", [] { kmalloc(100); }}};
    const exploration_report report = explore(program);
    EXPECT_THAT(report, Violates(violation_kind::leak));
    EXPECT_THAT(report.search.broken.text, HasSubstr("allocated by A"));
    program.check_leaks = false;
    EXPECT_THAT(explore(program), Holds());
}

TEST(Explore, NeedReschedIsAChoiceAsOftenAsAllowed)
{
    exploration program;
    int most = 0;

    program.tasks = {{"A", [&] {
                          int yes = 0;
                          for (int i = 0; i < 4; i++)
                              yes += need_resched();
                          most = std::max(most, yes);
                      }}};
    EXPECT_THAT(explore(program), Holds());
    EXPECT_EQ(most, 0);
    program.reschedules = 2;
    EXPECT_THAT(explore(program), Holds());
    EXPECT_EQ(most, 2);
}

TEST(Explore, EveryExecutionStartsFromTheSetup)
{
    exploration program;

    program.setup = set_up_counter;
    program.tasks = {{"A", [] { ++shared->value; }}, {"B", [] { READ_ONCE(shared->value); }}};
    program.finally = [] { explore_check(READ_ONCE(shared->value) == 1, "not fresh"); };
    EXPECT_THAT(explore(program), Holds());
}

TEST(Explore, ARunThatATaskBrokeOffLeavesNothingBehind)
{
    exploration program;

    program.setup = set_up_counter;
    program.tasks = {{"A", [] { explore_check(READ_ONCE(shared->value) != 0, "broken off"); }}};
    EXPECT_THAT(explore(program), Violates(violation_kind::expectation));
    program.tasks = {{"A", [] { READ_ONCE(shared->value); }}};
    EXPECT_THAT(explore(program), Holds());
}

TEST(Explore, ViolationInSetupIsReported)
{
    exploration program;

    program.setup = [] { explore_check(false, "set-up went wrong"); };
    program.tasks = {{"A", [] {}}};
    const exploration_report report = explore(program);
    EXPECT_TRUE(report.search.in_setup);
    EXPECT_THAT(report, Violates(violation_kind::expectation));
}

/// What was on the stack below its caller is gone.
__attribute__((noinline)) void overwrite_stack()
{
    char bytes[1 << 16];

    memset(bytes, 0xff, sizeof(bytes));
    asm volatile("" : : "r"(bytes) : "memory");
}

TEST(Explore, ComesAfterOneThatWasBrokenOff)
{
    exploration broken;
    exploration whole;

    broken.tasks = {{"A", [] { explore_check(false, "in the middle of a step"); }}};
    count_twice(whole, true);
    EXPECT_THAT(explore(broken), Violates(violation_kind::expectation));
    overwrite_stack();
    EXPECT_THAT(explore(whole), Holds());
}

TEST(Explore, LostWakeUpIsForgottenInTheNextSetup)
{
    exploration stuck;
    exploration wrong;

    stuck.tasks = {{"A", [] {
                        set_current_state(TASK_UNINTERRUPTIBLE);
                        schedule();
                    }}};
    wrong.setup = [] { explore_check(false, "set-up went wrong"); };
    wrong.tasks = {{"A", [] {}}};
    EXPECT_THAT(explore(stuck), Violates(violation_kind::lost_wake_up));
    EXPECT_THAT(explore(wrong), Violates(violation_kind::expectation));
}

super_block *sb;
dentry *file;

/// The last reference goes, and somebody else reads on.
TEST(Explore, UseAfterFreeSaysInWhichFunctions)
{
    exploration program;

    program.setup = [] {
        vfs_init({.dhash_entries = 2, .ihash_entries = 2, .in_lookup_shift = 0});
        sb = memfs_mount({}, "test");
        memfs_add_node(sb, memfs_root_node(sb), "a", 1, S_IFREG_TYPE | 0644, nullptr);
        file = lookup_path(sb->s_root, "/a", 2);
        d_drop(file);
    };
    program.tasks = {{"A", [] { dput(file); }}, {"B", [] { (void)d_is_negative(file); }}};
    const exploration_report report = explore(program);
    EXPECT_THAT(report, Violates(violation_kind::use_after_free));
    EXPECT_THAT(report.search.broken.text, HasSubstr("freed by rcu at step"));
    EXPECT_THAT(report.search.broken.text, HasSubstr("\nfreed in __d_free(), dcache_alloc.cc:"));
    EXPECT_THAT(report.search.broken.text, HasSubstr("; used in d_is_negative(), dcache.h:"));
    EXPECT_STREQ(replay(program, report.token).trace.broken.text, report.search.broken.text);
}

/// The kernel's own WARN in fast_dput() tells of a reference that nobody had.
TEST(Explore, ReferencePutTwiceIsNoticed)
{
    exploration program;

    program.setup = [] {
        vfs_init({.dhash_entries = 2, .ihash_entries = 2, .in_lookup_shift = 0});
        sb = memfs_mount({}, "test");
        memfs_add_node(sb, memfs_root_node(sb), "a", 1, S_IFREG_TYPE | 0644, nullptr);
        file = lookup_path(sb->s_root, "/a", 2);
    };
    program.tasks = {{"A", [] { dput(file); }}, {"B", [] { dput(file); }}};
    const exploration_report report = explore(program);
    EXPECT_THAT(report, Violates(violation_kind::warning));
    EXPECT_THAT(report.search.broken.text, HasSubstr("in fast_dput()"));
}

TEST(Explore, PortIsExploredWithItsStaticData)
{
    exploration program;

    program.setup = [] {
        vfs_init({.dhash_entries = 2, .ihash_entries = 2, .in_lookup_shift = 0});
        sb = memfs_mount({}, "test");
        memfs_add_node(sb, memfs_root_node(sb), "a", 1, S_IFREG_TYPE | 0644, nullptr);
    };
    const auto walk = [] { dput(lookup_path(sb->s_root, "/a", 2)); };
    program.tasks = {{"A", walk}, {"B", walk}};
    program.options.preemptions = 1;
    program.finally = [] {
        dentry *found = lookup_path(sb->s_root, "/a", 2);

        explore_check(::testing::Matches(IsHashed())(found), "cached");
        explore_check(!::testing::Matches(IsNegativeDentry())(found), "positive");
        explore_check(!::testing::Matches(IsInLookup())(found), "not in lookup");
        explore_check(::testing::Matches(HasReferences(1))(found), "one reference");
        explore_check(vfs_counter_value(FS_LOOKUPS) == 1, "one ->lookup()");
        dput(found);
        explore_check(!memfs_unmount(sb), "nothing is busy");
        explore_check(vfs_exit().none(), "nothing is left");
    };
    const exploration_report report = explore(program);
    EXPECT_THAT(report, Holds());
    EXPECT_GT(report.search.executions, 100u);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
