// SPDX-License-Identifier: GPL-2.0-only
//
// The table of lanes, from traces made by hand.
#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/explore/trace.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

/// Addresses that mean nothing.
const void *const shared_field = reinterpret_cast<const void *>(0x10);
const void *const other_field = reinterpret_cast<const void *>(0x20);

class Lanes : public ::testing::Test
{
  protected:
    Lanes()
    {
        written.task_names = {"ann", "bob", "rcu"};
        options.most_rows = 0;
    }

    trace_step &add(task_id task, operation kind, const void *address = nullptr,
                    const char *object = "")
    {
        trace_step step;

        step.number = static_cast<uint32_t>(written.steps.size() + 1);
        step.task = task;
        step.kind = kind;
        step.address = address;
        step.object = object;
        step.writes = kind == operation::store || kind == operation::lock;
        written.steps.push_back(step);
        return written.steps.back();
    }

    /// So many steps that are of no interest.
    void add_private(task_id task, int steps)
    {
        for (int i = 0; i < steps; i++)
            add(task, operation::load, other_field, "private");
    }

    std::vector<std::string> lines() const
    {
        std::istringstream text(format_lanes(written, options));
        std::vector<std::string> all;

        for (std::string line; std::getline(text, line);)
            all.push_back(line);
        return all;
    }

    /// Without the heading.
    std::vector<std::string> rows() const
    {
        std::vector<std::string> all = lines();

        all.erase(all.begin(), all.begin() + std::min<ptrdiff_t>(2, std::ssize(all)));
        return all;
    }

    trace written;
    lanes_options options;
};

TEST_F(Lanes, HaveAColumnForEachTaskThatDidSomething)
{
    add(0, operation::store, shared_field, "field");
    add(1, operation::load, shared_field, "field");

    // 100 columns, 6 of them for the number.
    const std::string first(6, ' ');
    const std::string second(6 + 47, ' ');
    EXPECT_THAT(lines(),
                ElementsAre("step  ann" + std::string(44, ' ') + "bob",
                            "----- " + std::string(45, '-') + "  " + std::string(45, '-'),
                            "1     write field", "2" + std::string(52, ' ') + "read field"));
}

TEST_F(Lanes, OfRcuAppearWhenAGracePeriodEnds)
{
    add(0, operation::start);
    add(2, operation::grace_period);

    EXPECT_THAT(lines()[0], AllOf(HasSubstr("ann"), HasSubstr("rcu"), Not(HasSubstr("bob"))));
    EXPECT_THAT(rows(), Contains(HasSubstr("grace period ends")));
}

TEST_F(Lanes, AreNeverTooNarrowToRead)
{
    add(0, operation::store, shared_field, "field");
    add(1, operation::load, shared_field, "field");
    for (unsigned width : {0u, 5u, 9u, 20u, 40u}) {
        options.width = width;
        EXPECT_EQ(lines()[1], "----- " + std::string(24, '-') + "  " + std::string(24, '-'));
    }
}

TEST_F(Lanes, LongTextGoesOnInTheSameColumn)
{
    options.width = 58;
    add(0, operation::start);
    add(1, operation::store, shared_field, "field of a structure with a long name");

    const std::string column(6 + 26, ' ');
    EXPECT_THAT(rows(), ElementsAre("1     start", "2" + column.substr(1) + "write field of a",
                                    column + "structure with a long", column + "name"));
}

TEST_F(Lanes, WordWiderThanItsColumnIsCut)
{
    options.width = 58;
    add(0, operation::start);
    add(1, operation::store, shared_field, std::string(60, 'x').c_str());

    for (const std::string &line : rows())
        EXPECT_LE(line.size(), 6u + 26 + 24);
    EXPECT_EQ(rows().size(), 5u);
}

TEST_F(Lanes, ShowHowAValueChanged)
{
    trace_step &step = add(0, operation::store, shared_field, "field");
    step.before = "1";
    step.after = "2";
    trace_step &seen = add(0, operation::load, shared_field, "field");
    seen.before = "2";
    seen.after = "2";

    EXPECT_THAT(rows(), ElementsAre("1     write field: 1 -> 2", "2     read field = 2"));
}

TEST_F(Lanes, NameTheFunctionOfThePort)
{
    trace_step &step = add(0, operation::store, shared_field, "field");
    step.calls = {{"spin_lock", "spinlock.h", 1, false},
                  {"d_move", "dcache_move.cc", 2, true},
                  {"rename", "namei.cc", 3, true}};

    EXPECT_THAT(rows(), ElementsAre("1     d_move: write field"));
}

TEST_F(Lanes, NameTheInnermostFunctionWhenNoneIsThePorts)
{
    trace_step &step = add(0, operation::store, shared_field, "field");
    step.calls = {{"complete", "completion.cc", 1, false}, {"test", "a_test.cc", 2, false}};

    EXPECT_THAT(rows(), ElementsAre("1     complete: write field"));
}

TEST_F(Lanes, SayWhoIsPreempted)
{
    add(0, operation::store, shared_field, "field");
    add(1, operation::store, shared_field, "field").preempted = true;
    add(0, operation::store, shared_field, "field");

    EXPECT_THAT(rows(), ElementsAre("1     write field", "      -- ann is preempted --",
                                    HasSubstr("write field"), "3     write field"));
}

TEST_F(Lanes, SayThatATaskHadToWait)
{
    add(0, operation::start);
    add(1, operation::lock, shared_field, "the lock").waited = true;

    EXPECT_THAT(rows(), Contains(HasSubstr("waited, then lock the lock")));
}

TEST_F(Lanes, ShowStepsOfTheScenarioWhenTheyBegin)
{
    add(0, operation::store, shared_field, "field").scenario_step = "a = create /x";
    add(0, operation::store, shared_field, "field").scenario_step = "a = create /x";
    add(0, operation::store, shared_field, "field").scenario_step = "unlink /x";

    EXPECT_THAT(rows(), ElementsAre("      > a = create /x", "1     write field",
                                    "2     write field", "      > unlink /x", "3     write field"));
}

// --- What is left out ---

TEST_F(Lanes, StepsThatConcernNobodyElseAreCounted)
{
    add(0, operation::store, shared_field, "field");
    add_private(0, 7);
    add(0, operation::store, shared_field, "field");
    for (int i = 0; i < 4; i++)
        add(1, operation::load, shared_field, "field");

    const std::vector<std::string> shown = rows();
    EXPECT_EQ(shown[0], "1     write field");
    EXPECT_EQ(shown[1], "      ... 7 more");
    EXPECT_EQ(shown[2], "9     write field");
}

TEST_F(Lanes, StepsLeftOutAtTheEndOfATurnBelongToItsTask)
{
    add(0, operation::store, shared_field, "field");
    add_private(0, 3);
    add(1, operation::load, shared_field, "field").preempted = true;
    for (int i = 0; i < 4; i++)
        add(1, operation::load, shared_field, "field");

    const std::vector<std::string> shown = rows();
    EXPECT_EQ(shown[1], "      ... 3 more");
    EXPECT_EQ(shown[2], "      -- ann is preempted --");
    EXPECT_THAT(shown[3], HasSubstr("read field"));
}

TEST_F(Lanes, StepsLeftOutComeBeforeTheNextStepOfTheScenario)
{
    add(0, operation::store, shared_field, "field").scenario_step = "one";
    add_private(0, 2);
    add(0, operation::store, shared_field, "field").scenario_step = "two";
    for (int i = 0; i < 4; i++)
        add(1, operation::load, shared_field, "field");

    const std::vector<std::string> shown = rows();
    EXPECT_EQ(shown[2], "      ... 2 more");
    EXPECT_EQ(shown[3], "      > two");
}

TEST_F(Lanes, AllStepsAreShownOnRequest)
{
    add(0, operation::store, shared_field, "field");
    add_private(0, 7);
    add(1, operation::load, shared_field, "field");
    options.all_steps = true;

    EXPECT_EQ(rows().size(), 9u);
}

TEST_F(Lanes, FieldThatIsOnlyReadIsNoMeetingPoint)
{
    add(0, operation::load, shared_field, "field");
    add(0, operation::load, shared_field, "field");
    for (int i = 0; i < 6; i++)
        add(1, operation::load, shared_field, "field");

    // The first of each turn, and the last four.
    EXPECT_EQ(rows().size(), 2u + 2 + 4);
    EXPECT_THAT(rows(), Contains("      ... 1 more"));
}

TEST_F(Lanes, FirstAndLastRowsOfManyAreKept)
{
    for (int i = 0; i < 100; i++)
        add(0, operation::sleep);
    options.most_rows = 20;

    const std::vector<std::string> shown = rows();
    EXPECT_EQ(shown.size(), 21u);
    EXPECT_EQ(shown[7], "8     sleep");
    EXPECT_EQ(shown[8], "      -- 80 rows left out, --full shows them --");
    EXPECT_EQ(shown[9], "89    sleep");
    EXPECT_EQ(shown[20], "100   sleep");
}

TEST_F(Lanes, FewRowsMayBeAskedFor)
{
    for (int i = 0; i < 10; i++)
        add(0, operation::sleep);
    options.most_rows = 4;

    const std::vector<std::string> shown = rows();
    EXPECT_EQ(shown.size(), 5u);
    EXPECT_THAT(shown, Contains(HasSubstr("6 rows left out")));
    EXPECT_EQ(shown.back(), "10    sleep");
}

TEST_F(Lanes, TraceWithoutStepsIsAHeading)
{
    EXPECT_THAT(rows(), IsEmpty());
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
