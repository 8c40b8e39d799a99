// SPDX-License-Identifier: GPL-2.0-only
//
// Schedules as text: there and back, and what is said of a text that is none.
#include "dcsim/explore/token.h"

#include <string>
#include <tuple>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr unsigned tasks = 3;
constexpr task_id rcu = tasks;

std::string problem_with(const std::string &text, unsigned number_of_tasks = tasks)
{
    schedule_token token;

    return parse_token(text, number_of_tasks, &token);
}

void expect_round_trip(const schedule_token &token, const std::string &text)
{
    schedule_token read;

    EXPECT_EQ(format_token(token, tasks), text);
    EXPECT_EQ(parse_token(text, tasks, &read), "");
    EXPECT_EQ(read.hash, token.hash);
    EXPECT_EQ(read.schedule.segments, token.schedule.segments);
    EXPECT_EQ(format_token(read, tasks), text);
}

TEST(Token, GoesThereAndBack)
{
    expect_round_trip({0x1f0c93ab, {{{0, 57}, {1, 130}, {0, 22}}, {}}}, "v1-1f0c93ab:A57B130A22");
}

TEST(Token, HashKeepsItsLeadingZeros)
{
    expect_round_trip({0xab, {{{2, 1}}, {}}}, "v1-000000ab:C1");
}

TEST(Token, TaskOfRcuHasALetterOfItsOwn)
{
    expect_round_trip({1, {{{0, 3}, {rcu, 1}, {0, 2}}, {}}}, "v1-00000001:A3r1A2");
}

TEST(Token, OnlyAnswersThatAreNotZeroAreWritten)
{
    expect_round_trip({1, {{{0, 3}}, {0, 0, 1, 0, 7}}}, "v1-00000001:A3!3=1,5=7");
}

TEST(Token, AnswersComeBackAtTheirPlaces)
{
    schedule_token token;

    ASSERT_EQ(parse_token("v1-00000001:A3!3=1,5=7", tasks, &token), "");
    EXPECT_EQ(token.schedule.values, (std::vector<uint8_t>{0, 0, 1, 0, 7}));
}

TEST(Token, LettersGoAsFarAsThereAreTasks)
{
    EXPECT_THAT(problem_with("v1-00000001:M1", 13), IsEmpty());
    EXPECT_THAT(problem_with("v1-00000001:C1", 2), HasSubstr("'C' is no task"));
    EXPECT_THAT(problem_with("v1-00000001:C1", 2), HasSubstr("A to B and r"));
}

TEST(Token, ReadingForgetsWhatWasThereBefore)
{
    schedule_token token = {7, {{{0, 1}, {1, 1}}, {1, 2, 3}}};

    ASSERT_EQ(parse_token("v1-00000001:A3", tasks, &token), "");
    EXPECT_EQ(token.hash, 1u);
    EXPECT_EQ(token.schedule.segments.size(), 1u);
    EXPECT_THAT(token.schedule.values, IsEmpty());
}

/// A text, and words of what is said about it.
using mistake = std::tuple<const char *, const char *>;

class BadToken : public ::testing::TestWithParam<mistake>
{
};

TEST_P(BadToken, IsExplained)
{
    const auto [text, words] = GetParam();

    EXPECT_THAT(problem_with(text), HasSubstr(words));
}

INSTANTIATE_TEST_SUITE_P(
    Token, BadToken,
    ::testing::Values(
        mistake{"", "begins with v1-"}, mistake{"v2-00000001:A1", "begins with v1-"},
        mistake{"v1-", "8 hexadecimal digits"}, mistake{"v1-0000001:A1", "8 hexadecimal digits"},
        mistake{"v1-0000000g:A1", "8 hexadecimal digits"},
        mistake{"v1--0000001:A1", "8 hexadecimal digits"}, mistake{"v1-00000001", "a colon"},
        mistake{"v1-000000012:A1", "a colon"}, mistake{"v1-00000001:", "a schedule"},
        mistake{"v1-00000001:!1=1", "a schedule"},
        mistake{"v1-00000001:D1", "'D' is no task; this scenario has A to C and r"},
        mistake{"v1-00000001:a1", "'a' is no task"}, mistake{"v1-00000001:A1 B1", "' ' is no task"},
        mistake{"v1-00000001:A", "number of steps behind 'A'"},
        mistake{"v1-00000001:AB1", "number of steps behind 'A'"},
        mistake{"v1-00000001:A0", "number of steps behind 'A'"},
        mistake{"v1-00000001:A-1", "number of steps behind 'A'"},
        mistake{"v1-00000001:A99999999999", "number of steps behind 'A'"},
        mistake{"v1-00000001:A1!", "place=value"}, mistake{"v1-00000001:A1!x=1", "place=value"},
        mistake{"v1-00000001:A1!0=1", "place=value"}, mistake{"v1-00000001:A1!1", "place=value"},
        mistake{"v1-00000001:A1!9999999=1", "place=value"},
        mistake{"v1-00000001:A1!1=1;2=1", "place=value"},
        mistake{"v1-00000001:A1!1=", "small number"},
        mistake{"v1-00000001:A1!1=256", "small number"}));

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
