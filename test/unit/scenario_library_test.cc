// SPDX-License-Identifier: GPL-2.0-only
//
// The scenarios that come with dcsim, and finding one by name or in a file.
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/scenario/library.h"
#include "dcsim/scenario/suggestion.h"

namespace dcsim::scenario
{

namespace
{

using ::testing::IsEmpty;
using ::testing::Not;

constexpr const char *good_file = DCSIM_TEST_DATA "/scenario/rich.toml";

/// What loading one fails with; "" when it does not.
std::string failure(const std::string &name_or_file, const std::string &variant = "")
{
    try {
        load_scenario(name_or_file, variant);
    } catch (const scenario_error &error) {
        return error.what();
    }
    return "";
}

TEST(ScenarioLibrary, ShippedScenariosAreGood)
{
    EXPECT_THAT(shipped_scenarios(), Not(IsEmpty()));
    for (const shipped_scenario &shipped : shipped_scenarios())
        EXPECT_EQ(failure(shipped.name), "");
}

TEST(ScenarioLibrary, ShippedScenariosAreInOrder)
{
    std::string_view before;

    for (const shipped_scenario &shipped : shipped_scenarios()) {
        EXPECT_LT(before, shipped.name);
        before = shipped.name;
    }
}

TEST(ScenarioLibrary, NameFindsTheShippedText)
{
    const shipped_scenario &first = shipped_scenarios().front();
    const scenario_source found = find_scenario(first.name);

    EXPECT_EQ(found.file, first.name);
    EXPECT_EQ(found.text, first.text);
    EXPECT_EQ(load_scenario(first.name).hash, scenario_hash(first.text, ""));
}

TEST(ScenarioLibrary, MistypedNameGetsASuggestion)
{
    const std::string name = shipped_scenarios().front().name;

    EXPECT_EQ(failure(name + "x"), name +
                                       "x: no such scenario comes with dcsim, see dcsim list; the "
                                       "name of a file has a '/' in it or ends in .toml (did you "
                                       "mean '" +
                                       name + "'?)");
    EXPECT_EQ(failure("@"), "@: no such scenario comes with dcsim, see dcsim list; the name of a "
                            "file has a '/' in it or ends in .toml");
}

TEST(ScenarioLibrary, FileIsReadWhole)
{
    std::ifstream file(good_file, std::ios::binary);
    const std::string text(std::istreambuf_iterator<char>(file), {});

    EXPECT_EQ(find_scenario(good_file).text, text);
    EXPECT_EQ(load_scenario(good_file).file, good_file);
    EXPECT_EQ(load_scenario(good_file, "slow").variant_name, "slow");
}

TEST(ScenarioLibrary, FileThatCannotBeReadIsNamed)
{
    EXPECT_EQ(failure("nowhere.toml"), "nowhere.toml: cannot be opened: No such file or directory");
    EXPECT_EQ(failure(DCSIM_TEST_DATA "/"), DCSIM_TEST_DATA "/: cannot be read");
}

TEST(ScenarioLibrary, EmptyFileHasNoFormat)
{
    EXPECT_EQ(failure("/dev/null"),
              "/dev/null:1:1: the first line must be: format = 1\n"
              "/dev/null:1:1: a title is missing: title = \"...\"\n"
              "/dev/null:1:1: there is no task with a step: add [task.A] with do = [...]");
}

TEST(Suggestion, IsTheNearestName)
{
    const std::vector<std::string> valid = {"threads", "seconds", "seed"};

    EXPECT_EQ(nearest_name("thraeds", valid), "threads");
    EXPECT_EQ(nearest_name("sed", valid), "seed");
    EXPECT_EQ(nearest_name("sec", valid), "seconds");
    EXPECT_EQ(nearest_name("x", valid), "");
    EXPECT_EQ(nearest_name("somethingelse", valid), "");
    EXPECT_EQ(did_you_mean("thread", valid), " Did you mean 'threads'?");
    EXPECT_EQ(did_you_mean("x", valid), "");
}

} // namespace

} // namespace dcsim::scenario
