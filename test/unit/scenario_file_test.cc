// SPDX-License-Identifier: GPL-2.0-only
//
// Scenario files: what a good one becomes, and what is said about bad ones, with line and column.
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/scenario/scenario.h"

namespace dcsim::scenario
{

namespace
{

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string data_file(const std::string &name)
{
    std::ifstream file(DCSIM_TEST_DATA "/scenario/" + name, std::ios::binary);

    EXPECT_TRUE(file) << name;
    return std::string(std::istreambuf_iterator<char>(file), {});
}

/// What is wrong with a file called "f", without that name: "line:column: message".
std::vector<std::string> findings(const std::string &text, const std::string &variant = "",
                                  const std::string &era = "")
{
    std::vector<std::string> lines;

    try {
        parse_scenario(text, "f", variant, era);
    } catch (const scenario_error &error) {
        for (const finding &one : error.findings())
            lines.push_back(one.text().substr(2));
    }
    return lines;
}

/// A good file up to its task, to which `more` is added from line 6 on.
std::string file_with(const std::string &more)
{
    return "format = 1\n"
           "title = 'a title'\n"
           "[task.A]\n"
           "do = ['''d = walk('/a')''']\n"
           "\n" +
           more;
}

std::vector<std::string> findings_with(const std::string &more)
{
    return findings(file_with(more));
}

/// A file where task A has these steps, one per line from line 1 on, each beginning in column 1;
/// [setup] walks to x, and task B walks to b and shrinks into n.
std::vector<std::string> step_findings(const std::vector<std::string> &steps)
{
    std::string text = "format = 1\n"
                       "title = 'a title'\n"
                       "[task.A]\n"
                       "do = [\n";

    for (const std::string &step : steps)
        text += "\"" + step + "\",\n";
    text += "]\n"
            "[setup]\n"
            "do = [\"x = walk('/x')\", \"gone = walk('/x')\", \"put(gone)\"]\n"
            "[task.B]\n"
            "do = [\"b = walk('/a')\", 'n = shrink()']\n";
    std::vector<std::string> lines;
    try {
        parse_scenario(text, "f");
    } catch (const scenario_error &error) {
        for (finding one : error.findings()) {
            one.where = {one.where.line - 4, one.where.column - 1};
            lines.push_back(one.text().substr(2));
        }
    }
    return lines;
}

/// A file that has this expression under `always`; column 1 is its first character.
std::vector<std::string> expression_findings(const std::string &expression)
{
    const std::string text = "format = 1\n"
                             "title = 'a title'\n"
                             "[setup]\n"
                             "do = [\"x = walk('/x')\"]\n"
                             "[task.A]\n"
                             "do = [\"d = walk('/a')\", \"n = shrink()\"]\n"
                             "[task.Bee]\n"
                             "do = [\"d = walk('/dir')\"]\n"
                             "[check]\n"
                             "always = [\n"
                             "\"" +
                             expression + "\"]\n";
    std::vector<std::string> lines;
    try {
        parse_scenario(text, "f");
    } catch (const scenario_error &error) {
        for (const finding &one : error.findings()) {
            EXPECT_EQ(one.where.line, 11u);
            finding shifted = one;
            shifted.where = {1, one.where.column - 1};
            lines.push_back(shifted.text().substr(4));
        }
    }
    return lines;
}

// --- A good file ------------------------------------------------------------------------------

class RichScenario : public ::testing::Test
{
  protected:
    const scenario rich = parse_scenario(data_file("rich.toml"), "rich.toml");

    const std::string &path(int index) const
    {
        return rich.paths.at(static_cast<size_t>(index));
    }
};

TEST_F(RichScenario, DescriptionIsKept)
{
    EXPECT_EQ(rich.file, "rich.toml");
    EXPECT_EQ(rich.title, "Two walkers and a directory with two names");
    EXPECT_THAT(rich.teaches, ElementsAre("d_alloc_parallel", "d_splice_alias"));
    EXPECT_EQ(rich.notes, "First line.\nSecond line.");
}

TEST_F(RichScenario, LimitsAreRead)
{
    EXPECT_EQ(rich.hash_buckets, 4u);
    EXPECT_EQ(rich.in_lookup_bits, 1u);
    EXPECT_EQ(rich.failing_allocations, 1u);
    EXPECT_THAT(rich.allowed_warnings, ElementsAre("still in use"));
    EXPECT_EQ(rich.preemptions, 3u);
}

TEST_F(RichScenario, TreeHasParentsFirstAndSecondNamesLast)
{
    std::vector<std::string> names;

    for (const tree_entry &one : rich.tree)
        names.push_back(path(one.path));
    EXPECT_THAT(names, ElementsAre("/a", "/d", "/d/f", "/s", "/e"));
    EXPECT_EQ(rich.tree[4].same_as, 1);
    EXPECT_EQ(rich.tree[4].kind, file_kind::directory);
    EXPECT_EQ(rich.tree[1].same_as, -1);
    EXPECT_EQ(rich.tree[1].kind, file_kind::directory);
    EXPECT_EQ(rich.tree[3].kind, file_kind::symlink);
    EXPECT_EQ(rich.tree[3].target, "../somewhere");
    EXPECT_EQ(rich.tree[2].where, (source_position{15, 1}));
}

TEST_F(RichScenario, FailingLookupsHaveErrnoAndTimes)
{
    EXPECT_EQ(rich.tree[2].lookup_error, -EIO);
    EXPECT_EQ(rich.tree[2].lookup_failures, 2);
    EXPECT_EQ(rich.tree[2].lookup_points, 3);
    EXPECT_EQ(rich.tree[0].lookup_error, -ENOMEM);
    EXPECT_EQ(rich.tree[0].lookup_failures, every_time);
    EXPECT_EQ(rich.tree[1].lookup_error, 0);
    EXPECT_EQ(rich.tree[1].lookup_failures, 0);
}

TEST_F(RichScenario, TasksAreInTheOrderOfTheFileWithoutIdleOnes)
{
    EXPECT_THAT(rich.tasks,
                ElementsAre(Field(&task::name, "Walker"), Field(&task::name, "Second")));
    EXPECT_EQ(rich.setup.name, "setup");
    EXPECT_THAT(rich.setup.steps,
                ElementsAre(Field(&step::what, verb::walk), Field(&step::what, verb::warm)));
}

TEST_F(RichScenario, StepsAreCompiled)
{
    const task &second = rich.tasks[1];

    ASSERT_EQ(second.steps.size(), 7u);
    EXPECT_EQ(second.steps[0].what, verb::lookup);
    EXPECT_EQ(path(second.steps[0].path), "/d/f");
    EXPECT_EQ(second.steps[0].result_slot, 0);
    EXPECT_EQ(second.steps[0].text, "e = lookup(\"/d/f\")");
    EXPECT_EQ(second.steps[0].where, (source_position{28, 10}));
    EXPECT_EQ(second.steps[1].count, 3);
    EXPECT_EQ(second.steps[2].count, everything);
    EXPECT_EQ(path(second.steps[3].path), "/a");
    EXPECT_EQ(path(second.steps[3].second_path), "/b");
    EXPECT_EQ(second.steps[3].result_slot, 3);
    EXPECT_EQ(second.steps[4].result_slot, -1);
    EXPECT_EQ(second.steps[4].variable_task, setup_task);
    EXPECT_EQ(second.steps[4].variable_slot, 0);
    EXPECT_EQ(second.steps[6].what, verb::sync_rcu);
    EXPECT_EQ(second.steps[6].expression, -1);
    EXPECT_EQ(rich.tasks[0].steps[2].variable_task, 0);
    EXPECT_EQ(rich.tasks[0].steps[2].variable_slot, 0);
}

TEST_F(RichScenario, VariablesKnowWhatTheyHold)
{
    const auto &variables = rich.tasks[1].variables;

    ASSERT_EQ(variables.size(), 4u);
    EXPECT_EQ(variables[0].name, "e");
    EXPECT_EQ(variables[0].kind, value_kind::dentry);
    EXPECT_EQ(variables[1].name, "n");
    EXPECT_EQ(variables[1].kind, value_kind::number);
}

TEST_F(RichScenario, AwaitedExpressionsAreCompiled)
{
    ASSERT_EQ(rich.awaited.size(), 2u);
    EXPECT_EQ(rich.tasks[0].steps[1].expression, 0);
    EXPECT_EQ(rich.awaited[0].text, "waits(Second) > 0");
    EXPECT_EQ(rich.awaited[0].left.what, operand::kind::waits);
    EXPECT_EQ(rich.awaited[0].left.task, 1);
    EXPECT_EQ(rich.awaited[0].where, (source_position{24, 32}));
    EXPECT_EQ(rich.tasks[1].steps[5].expression, 1);
    EXPECT_EQ(rich.awaited[1].left.what, operand::kind::error);
    EXPECT_EQ(rich.awaited[1].left.task, 1);
    EXPECT_EQ(rich.awaited[1].left.variable, 0);
    EXPECT_THAT(rich.awaited[1].set, ElementsAre(0, -ENOENT));
}

TEST_F(RichScenario, ChecksAreKeptApart)
{
    EXPECT_THAT(rich.always, ElementsAre(Field(&expression::text, "Walker.d == setup.x"),
                                         Field(&expression::text, "lookups('/d/f') <= 1")));
    EXPECT_THAT(rich.never, ElementsAre(Field(&expression::text, "Second.r == EXDEV")));
    EXPECT_EQ(rich.sometimes.size(), 3u);
    EXPECT_EQ(rich.always[0].where, (source_position{45, 15}));
}

TEST_F(RichScenario, NotesHaveTaskAndFunction)
{
    ASSERT_EQ(rich.narration.size(), 2u);
    EXPECT_EQ(rich.narration[0].task, 0);
    EXPECT_EQ(rich.narration[0].function, "d_wait_lookup");
    EXPECT_EQ(rich.narration[0].text, "Somebody else asks already.");
    EXPECT_EQ(rich.narration[1].task, all_tasks);
    EXPECT_EQ(rich.narration[1].function, "d_splice_alias");
}

TEST_F(RichScenario, VariantsAreDescribed)
{
    ASSERT_EQ(rich.variants.size(), 2u);
    EXPECT_EQ(rich.variants[0].name, "slow");
    EXPECT_EQ(rich.variants[0].title, "a slow disk");
    EXPECT_TRUE(rich.variants[0].expect.violated);
    EXPECT_EQ(rich.variants[0].expect.words, "two dentries");
    EXPECT_EQ(rich.variants[1].title, "third-task");
    EXPECT_FALSE(rich.variants[1].expect.violated);
    ASSERT_EQ(rich.variants[0].changes.size(), 2u);
    EXPECT_EQ(rich.variants[0].changes[1].key, "dcache.in_lookup_bits");
    EXPECT_EQ(rich.variants[0].changes[1].text, "0");
    EXPECT_FALSE(rich.expect.violated);
    EXPECT_EQ(rich.variant_name, "");
}

TEST(ScenarioDefaults, LeftOutSectionsHaveDefaults)
{
    const scenario plain = parse_scenario(file_with(""), "f");

    EXPECT_EQ(plain.hash_buckets, 2u);
    EXPECT_EQ(plain.in_lookup_bits, 0u);
    EXPECT_EQ(plain.era, "7.2");
    EXPECT_FALSE(plain.splice_hashed);
    EXPECT_FALSE(plain.lookup_outside_rwsem);
    EXPECT_THAT(plain.seeds, IsEmpty());
    EXPECT_EQ(plain.source, "");
    EXPECT_EQ(plain.failing_allocations, 0u);
    EXPECT_EQ(plain.preemptions, 2u);
    EXPECT_THAT(plain.tree, IsEmpty());
    EXPECT_THAT(plain.setup.steps, IsEmpty());
    EXPECT_THAT(plain.paths, ElementsAre("/a"));
}

// --- Variants ---------------------------------------------------------------------------------

TEST(ScenarioVariant, ChangesValuesAndTreeEntries)
{
    const scenario slow = parse_scenario(data_file("rich.toml"), "rich.toml", "slow");

    EXPECT_EQ(slow.variant_name, "slow");
    EXPECT_EQ(slow.in_lookup_bits, 0u);
    EXPECT_EQ(slow.hash_buckets, 4u);
    EXPECT_EQ(slow.tree[0].lookup_points, 9);
    EXPECT_EQ(slow.tree[0].lookup_error, 0);
    EXPECT_TRUE(slow.expect.violated);
    EXPECT_EQ(slow.expect.words, "two dentries");
    EXPECT_EQ(slow.variants.size(), 2u);
}

TEST(ScenarioVariant, BringsTasksAndTreeEntriesIn)
{
    const scenario third = parse_scenario(data_file("rich.toml"), "rich.toml", "third-task");

    ASSERT_EQ(third.tasks.size(), 3u);
    EXPECT_EQ(third.tasks[2].name, "Third");
    EXPECT_EQ(third.tree.size(), 6u);
    EXPECT_THAT(third.always, ElementsAre(Field(&expression::text, "Third.u == 0")));
    EXPECT_FALSE(third.expect.violated);
}

TEST(ScenarioVariant, TakesTasksOutWithTheirNotes)
{
    const std::string text = file_with("[task.B]\n"
                                       "do = ['''walk('/a')''']\n"
                                       "[[note]]\n"
                                       "at = 'A dput'\n"
                                       "text = 'x'\n"
                                       "[variant.alone]\n"
                                       "set = { 'task.A.do' = [] }\n");
    const scenario alone = parse_scenario(text, "f", "alone");

    EXPECT_THAT(alone.tasks, ElementsAre(Field(&task::name, "B")));
    EXPECT_THAT(alone.narration, IsEmpty());
    EXPECT_EQ(parse_scenario(text, "f").narration.size(), 1u);
}

TEST(ScenarioVariant, WhatIsWrongOnlyThereIsSaidWithItsNameAtItsPlace)
{
    EXPECT_THAT(
        findings_with("[variant.v]\n"
                      "set = { 'task.A.do' = ['''put(d)'''], 'dcache.hash_buckets' = 5 }\n"),
        ElementsAre("7:31: variant v: A has no variable 'd'",
                    "7:63: variant v: hash_buckets must be a power of two (did you mean "
                    "'4'?)"));
}

TEST(ScenarioVariant, AnyVariantIsCheckedWhicheverIsChosen)
{
    const std::string text = file_with("[variant.good]\n"
                                       "set = { 'explore.preemptions' = 1 }\n"
                                       "[variant.bad]\n"
                                       "set = { 'explore.preemptions' = 11 }\n");

    EXPECT_THAT(findings(text, "good"),
                ElementsAre("9:33: variant bad: preemptions must be a whole number from 0 to 10, "
                            "not 11"));
}

TEST(ScenarioVariant, UnknownOneIsRefusedWithThoseThereAre)
{
    EXPECT_THAT(findings(data_file("rich.toml"), "slwo"),
                ElementsAre(" there is no variant 'slwo'; it has slow, third-task (did you mean "
                            "'slow'?)"));
    EXPECT_THAT(findings(file_with(""), "x"), ElementsAre(" there is no variant 'x'; it has none"));
}

TEST(ScenarioVariant, KeysThatCannotBeSetAreRefused)
{
    EXPECT_THAT(findings_with("[variant.v]\n"
                              "[variant.v.set]\n"
                              "'task.B.do' = []\n"
                              "'check.allways' = []\n"
                              "title = 'x'\n"
                              "'tree./a//b' = 1\n"
                              "task.A.do = []\n"),
                ElementsAre("8:1: a variant cannot set 'task.B.do' (did you mean 'task.A.do'?)",
                            "9:1: a variant cannot set 'check.allways' (did you mean "
                            "'check.always'?)",
                            "10:1: a variant cannot set 'title'",
                            "11:1: a variant cannot set 'tree./a//b'",
                            "12:1: a variant cannot set 'task': dotted keys are quoted here, as in "
                            "\"task.A.do\" (did you mean 'task.A.do'?)"));
}

TEST(ScenarioVariant, NameIsInSmallLetters)
{
    EXPECT_THAT(findings_with("[variant.Slow]\n"
                              "set = { 'explore.preemptions' = 1 }\n"),
                ElementsAre("6:10: 'Slow' is no name for a variant: small letters, digits, '_', "
                            "'-' and '.', a letter first"));
}

TEST(ScenarioVariant, NameWithADotIsQuoted)
{
    const std::string quoted = file_with("[variant.\"era-4.7\"]\n"
                                         "set = { 'dcache.era' = '4.7' }\n");

    EXPECT_EQ(parse_scenario(quoted, "f", "era-4.7").era, "4.7");
    EXPECT_THAT(
        findings_with("[variant.era-4.7]\n"
                      "set = { 'dcache.era' = '4.7' }\n"
                      "[variant.era-4.17]\n"
                      "set = { 'dcache.era' = '4.17' }\n"),
        ElementsAre("6:16: a name with a dot in it is quoted here: [variant.\"era-4.7\"]",
                    "8:16: a name with a dot in it is quoted here: [variant.\"era-4.17\"]"));
}

TEST(ScenarioVariant, ChangesSomething)
{
    EXPECT_THAT(
        findings_with("[variant.v]\n"
                      "[variant.w]\n"
                      "set = {}\n"
                      "[variant.u]\n"
                      "set = 1\n"),
        ElementsAre(
            "6:10: variant v changes nothing: it needs a set or, for a patched port, an expect",
            "8:7: set is empty: a variant changes something",
            "10:7: set must be a table, as in { \"task.A.do\" = [...] }; this is a "
            "whole number"));
}

TEST(ScenarioVariant, MayJustExpectSomethingElse)
{
    const std::string text = file_with("[variant.patched]\nexpect = 'violated: two'\n");
    const scenario patched = parse_scenario(text, "f", "patched");

    EXPECT_TRUE(patched.expect.violated);
    EXPECT_EQ(patched.expect.words, "two");
    EXPECT_EQ(patched.variants.size(), 1u);
    EXPECT_EQ(patched.tasks.size(), 1u);
    EXPECT_FALSE(parse_scenario(text, "f").expect.violated);
}

TEST(ScenarioVariant, ExpectationIsOneOfThree)
{
    const std::string change = "\nset = { 'explore.preemptions' = 1 }\n";

    EXPECT_THAT(findings_with("[variant.a]\nexpect = 'hold'" + change +
                              "[variant.b]\nexpect = 'violates: x'" + change +
                              "[variant.c]\nexpect = 'violated:'" + change +
                              "[variant.d]\nexpect = 'violated'" + change +
                              "[variant.e]\nexpect = 'holds'" + change),
                ElementsAre("7:10: expect is \"holds\", \"violated\" or \"violated: words of the "
                            "report\", not \"hold\" (did you mean 'holds'?)",
                            "10:10: expect is \"holds\", \"violated\" or \"violated: words of the "
                            "report\", not \"violates: x\" (did you mean 'violated'?)",
                            "13:10: expect is \"holds\", \"violated\" or \"violated: words of the "
                            "report\", not \"violated:\" (did you mean 'violated'?)"));
}

// --- The hash ---------------------------------------------------------------------------------

TEST(ScenarioHash, IsFnv1aOfTextAndVariant)
{
    // Of the single byte NUL, which stands between text and variant.
    EXPECT_EQ(hash_text(scenario_hash("", "")), "af63bd4c8601b7df");
    EXPECT_EQ(hash_text(1), "0000000000000001");
    EXPECT_NE(scenario_hash("a", "b"), scenario_hash("ab", ""));
    EXPECT_NE(scenario_hash("a", ""), scenario_hash("b", ""));
}

TEST(ScenarioHash, IsPartOfTheScenario)
{
    const std::string text = data_file("rich.toml");

    EXPECT_EQ(parse_scenario(text, "x").hash, scenario_hash(text, ""));
    EXPECT_EQ(parse_scenario(text, "y", "slow").hash, scenario_hash(text, "slow"));
}

TEST(ScenarioHash, KnowsOfAnotherEraThanTheFileSays)
{
    const std::string text = file_with("[variant.old]\nset = { 'dcache.era' = '4.7' }\n");
    const auto hash = [&](const char *variant, const char *era) {
        return parse_scenario(text, "f", variant, era).hash;
    };

    EXPECT_EQ(hash("", "7.2"), hash("", ""));
    EXPECT_EQ(hash("old", "4.7"), hash("old", ""));
    EXPECT_EQ(hash("", "4.7"), scenario_hash(text, "", "4.7"));
    EXPECT_NE(hash("", "4.7"), hash("", ""));
    EXPECT_NE(hash("", "4.7"), hash("", "v3"));
    EXPECT_NE(hash("", "4.7"), hash("old", ""));
}

// --- Eras and documents -----------------------------------------------------------------------

TEST(ScenarioEra, IsTheFilesOrTheVariantsOrTheCallers)
{
    const std::string text = file_with("[dcache]\n"
                                       "era = '6.0'\n"
                                       "splice_hashed = true\n"
                                       "[variant.new]\n"
                                       "expect = 'violated'\n"
                                       "[variant.new.set]\n"
                                       "'dcache.era' = 'v3'\n"
                                       "'dcache.splice_hashed' = false\n"
                                       "'dcache.lookup_outside_rwsem' = true\n");
    const scenario as_it_is = parse_scenario(text, "f");
    const scenario varied = parse_scenario(text, "f", "new");
    const scenario other = parse_scenario(text, "f", "new", "7.2");

    EXPECT_EQ(as_it_is.era, "6.0");
    EXPECT_TRUE(as_it_is.splice_hashed);
    EXPECT_FALSE(as_it_is.lookup_outside_rwsem);
    EXPECT_EQ(as_it_is.variants[0].era, "v3");
    EXPECT_EQ(varied.era, "v3");
    EXPECT_FALSE(varied.splice_hashed);
    EXPECT_TRUE(varied.lookup_outside_rwsem);
    EXPECT_EQ(other.era, "7.2");
    EXPECT_TRUE(other.lookup_outside_rwsem);
    EXPECT_TRUE(other.expect.violated);
    EXPECT_EQ(other.variants[0].era, "v3");
}

TEST(ScenarioEra, IsOneThereIs)
{
    EXPECT_THAT(
        findings_with("[dcache]\n"
                      "era = '4.71'\n"
                      "splice_hashed = 1\n"),
        ElementsAre("7:7: there is no era '4.71': valid are 4.7, 4.17, 6.0, v3, 7.2 (did you "
                    "mean '4.7'?)",
                    "8:17: splice_hashed is true or false, not a whole number"));
    EXPECT_THAT(
        findings_with("[dcache]\nera = 7.2\n"),
        ElementsAre("7:7: an era is a text, with quotes around it: valid are 4.7, 4.17, 6.0, "
                    "v3, 7.2 (did you mean '\"7.2\"'?)"));
    EXPECT_THAT(
        findings_with("[dcache]\nera = 0\n"),
        ElementsAre("7:7: an era is a text, with quotes around it: valid are 4.7, 4.17, 6.0, "
                    "v3, 7.2"));
    EXPECT_THAT(findings(file_with(""), "", "7.3"),
                ElementsAre(" era 7.3: there is no era '7.3': valid are 4.7, 4.17, 6.0, v3, 7.2 "
                            "(did you mean '7.2'?)"));
}

TEST(ScenarioEra, WithACallersQueueHasNoLookupsOutsideTheLock)
{
    const std::string more = "[dcache]\nlookup_outside_rwsem = true\n";

    EXPECT_THAT(findings_with(more), IsEmpty());
    EXPECT_THAT(findings_with(more + "era = '6.0'\n"),
                ElementsAre("7:24: lookup_outside_rwsem is proposed for v3 and later, not for era "
                            "6.0"));
    EXPECT_THAT(findings(file_with(more), "", "4.17"),
                ElementsAre("7:24: era 4.17: lookup_outside_rwsem is proposed for v3 and later, "
                            "not for era 4.17"));
}

// --- File systems -----------------------------------------------------------------------------

TEST(ScenarioFileSystem, IsMemfsUnlessTheFileSaysOtherwise)
{
    const scenario plain = parse_scenario(file_with(""), "f");
    const scenario folding = parse_scenario(file_with("[filesystem]\n"
                                                      "type = 'casefs'\n"
                                                      "add_ci = true\n"
                                                      "compare = 0\n"
                                                      "[tree]\n"
                                                      "'/d' = { type = 'directory', "
                                                      "flags = ['casefold'] }\n"),
                                            "f");

    EXPECT_EQ(plain.file_system, "memfs");
    EXPECT_THAT(plain.settings, IsEmpty());
    EXPECT_EQ(plain.not_linearizable, "");
    EXPECT_EQ(folding.file_system, "casefs");
    ASSERT_EQ(folding.settings.size(), 2u);
    EXPECT_STREQ(folding.settings[0].option->name, "compare");
    EXPECT_EQ(folding.settings[0].value, 0);
    EXPECT_STREQ(folding.settings[1].option->name, "add_ci");
    EXPECT_EQ(folding.settings[1].value, 1);
    EXPECT_THAT(folding.tree[0].flags, ElementsAre("casefold"));
    EXPECT_EQ(folding.not_linearizable, "it knows what memfs does, not casefs");
}

TEST(ScenarioFileSystem, AndItsOptionsAndFlagsAreThoseThereAre)
{
    EXPECT_THAT(
        findings_with("[filesystem]\ntype = 'cassefs'\nanything = 1\n"),
        ElementsAre("7:8: there is no file system 'cassefs': valid are memfs, slowfs, netfs, "
                    "casefs, ovlfs, dynfs, fusefs (did you mean 'casefs'?)"));
    EXPECT_THAT(findings_with("[filesystem]\ntype = 1\n"),
                ElementsAre("7:8: type must be a text, not a whole number"));
    EXPECT_THAT(findings("format = 1\ntitle = 'x'\nfilesystem = 1\n"
                         "[task.A]\ndo = [\"warm('/a')\"]\n"),
                ElementsAre("3:14: [filesystem] must be a table, as in [filesystem]; this is a "
                            "whole number"));
    EXPECT_THAT(findings_with("[filesystem]\n"
                              "type = 'fusefs'\n"
                              "readdir_plus = true\n"
                              "readdirplus = 2\n"
                              "entry_timeout = true\n"
                              "[tree]\n"
                              "'/d' = { type = 'directory', flags = ['casefold'] }\n"),
                ElementsAre("8:1: fusefs has no option 'readdir_plus': valid are entry_timeout, "
                            "readdirplus, atomic_create, delete_stale, inval_wq, notify, delay_us "
                            "(did you mean 'readdirplus'?)",
                            "9:15: readdirplus must be a whole number from 0 to 1, not 2",
                            "10:17: entry_timeout must be a whole number from 0 to 1000000000, "
                            "not true or false",
                            "12:39: fusefs has no flag 'casefold': there are none"));
    EXPECT_THAT(
        findings_with("[filesystem]\n"
                      "type = 'casefs'\n"
                      "[tree]\n"
                      "'/d' = { type = 'directory', flags = ['casefolds'] }\n"
                      "'/e' = { same_as = '/d', flags = ['casefold'] }\n"),
        ElementsAre("9:39: casefs has no flag 'casefolds': valid are casefold (did you mean "
                    "'casefold'?)",
                    "10:20: same_as says all: leave out type, target and flags"));
}

TEST(ScenarioFileSystem, OptionsStayWithTheTypeTheyAreFor)
{
    const std::string text = file_with("[filesystem]\n"
                                       "type = 'fusefs'\n"
                                       "entry_timeout = 5\n"
                                       "[variant.same]\n"
                                       "set = { 'filesystem.notify' = 2 }\n"
                                       "[variant.other]\n"
                                       "set = { 'filesystem.type' = 'casefs', "
                                       "'filesystem.prime' = true }\n");
    const scenario same = parse_scenario(text, "f", "same");
    const scenario other = parse_scenario(text, "f", "other");

    ASSERT_EQ(same.settings.size(), 2u);
    EXPECT_EQ(same.settings[0].value, 5);
    EXPECT_EQ(same.settings[1].value, 2);
    EXPECT_EQ(same.variants[1].file_system, "casefs");
    ASSERT_EQ(other.settings.size(), 1u);
    EXPECT_STREQ(other.settings[0].option->name, "prime");
    EXPECT_THAT(findings(text + "[variant.wrong]\nset = { 'filesystem.prime' = true }\n"),
                ElementsAre("14:9: variant wrong: fusefs has no option 'prime': valid are "
                            "entry_timeout, readdirplus, atomic_create, delete_stale, inval_wq, "
                            "notify, delay_us"));
    EXPECT_THAT(findings(text + "[variant.wrong]\nset = { 'filesystem.primes' = true }\n"),
                ElementsAre("14:9: a variant cannot set 'filesystem.primes' (did you mean "
                            "'filesystem.prime'?)"));
}

TEST(ScenarioSeeds, AreNumbersOfDocuments)
{
    const std::string top = "format = 1\ntitle = 'x'\nseeds = ['000', '003']\n"
                            "[task.A]\ndo = [\"warm('/a')\"]\n";

    EXPECT_THAT(parse_scenario(top, "f").seeds, ElementsAre("000", "003"));
    EXPECT_THAT(findings("format = 1\ntitle = 'x'\nseeds = ['002', '0003', 4]\n"
                         "[task.A]\ndo = [\"warm('/a')\"]\n"),
                ElementsAre("3:17: there is no document '0003': they are 000 to 004 (did you mean "
                            "'000'?)",
                            "3:25: a member of seeds must be a text, not a whole number"));
}

TEST(ScenarioSource, IsALine)
{
    const auto with_source = [](const std::string &source) {
        return "format = 1\ntitle = 'x'\nsource = " + source +
               "\n[task.A]\ndo = [\"warm('/a')\"]\n";
    };

    EXPECT_EQ(parse_scenario(with_source("'fs/namei.c'"), "f").source, "fs/namei.c");
    EXPECT_THAT(findings(with_source("''")), ElementsAre("3:10: source must not be empty"));
    EXPECT_THAT(findings(with_source("['fs/namei.c']")),
                ElementsAre("3:10: source must be a text, not a list"));
}

// --- The file as a whole ----------------------------------------------------------------------

TEST(ScenarioFile, BrokenTomlIsOneFinding)
{
    EXPECT_THAT(findings(data_file("bad_syntax.toml")),
                ElementsAre(HasSubstr("7:1: Error while parsing array: expected comma or closing "
                                      "']'")));
}

TEST(ScenarioFile, EverythingWrongIsSaidAtOnce)
{
    EXPECT_THAT(
        findings(data_file("bad_many.toml")),
        ElementsAreArray({
            "1:1: variant gone: there is no task with a step: add [task.A] with do = [...]",
            "2:1: format must be the first key of the file",
            "3:1: unknown key 'teachs' at the top of the file (did you mean 'teaches'?)",
            "6:16: hash_buckets must be a power of two (did you mean '2'?)",
            "7:18: in_lookup_bits must be a whole number from 0 to 10, not a text",
            "10:19: type is file, directory or symlink, not 'flie' (did you mean 'file'?)",
            "11:22: '/nowhere' is not in [tree]",
            "14:12: there is no verb 'wolk' (did you mean 'walk'?)",
            "14:40: 'x' is used after put(): its reference is gone",
            "16:7: 'a' is no name for a task: a capital letter, then up to 15 letters and digits",
            "21:19: too many arguments: d = walk(path)",
            "22:8: unexpected character 'é'",
            "23:20: 'd' is used after put(): its reference is gone",
            "27:12: variant gone: there is no task 'B'",
            "27:14: B has no variable 'e'",
            "27:26: variant gone: there is no task 'B'",
            "27:30: results have .error, .inode, .negative and .hashed, not 'inod' (did you mean "
            "'inode'?)",
            "28:10: never must be a list of texts, not a text",
            "30:10: 'Slow' is no name for a variant: small letters, digits, '_', '-' and '.', a "
            "letter first",
            "37:7: there is no task 'C'",
        }));
}

TEST(ScenarioFile, ErrorHasALineForEachFinding)
{
    try {
        parse_scenario("format = 1\ntitle = 'x'\nnots = 1\n[task.A]\ndo = ['put']\n", "the file");
        FAIL();
    } catch (const scenario_error &error) {
        EXPECT_STREQ(error.what(),
                     "the file:3:1: unknown key 'nots' at the top of the file (did you mean "
                     "'notes'?)\n"
                     "the file:5:11: expected '(' after 'put', found the end");
        EXPECT_EQ(error.findings().front().suggestion, "notes");
    }
}

TEST(ScenarioFile, FormatIsRequiredAndFirst)
{
    const std::string task = "[task.A]\ndo = ['shrink()']\n";

    EXPECT_THAT(findings("title = 'x'\n" + task),
                ElementsAre("1:1: the first line must be: format = 1"));
    EXPECT_THAT(findings("title = 'x'\nformat = 1\n" + task),
                ElementsAre("2:1: format must be the first key of the file"));
}

TEST(ScenarioFile, OfAnotherFormatNothingElseIsSaid)
{
    EXPECT_THAT(findings("format = 2\nunknown = 1\n"),
                ElementsAre("1:10: this is not format 1, the only one known here"));
    EXPECT_THAT(findings("format = '1'\n"),
                ElementsAre("1:10: this is not format 1, the only one known here"));
}

TEST(ScenarioFile, TitleIsRequiredAndOneLine)
{
    const std::string task = "[task.A]\ndo = ['shrink()']\n";

    EXPECT_THAT(findings("format = 1\n" + task),
                ElementsAre("1:1: a title is missing: title = \"...\""));
    EXPECT_THAT(findings("format = 1\ntitle = ' '\n" + task),
                ElementsAre("2:9: title must not be empty"));
    EXPECT_THAT(findings("format = 1\ntitle = \"a\\nb\"\n" + task),
                ElementsAre("2:9: title must be a single line of plain text"));
    EXPECT_THAT(findings("format = 1\ntitle = 1.5\n" + task),
                ElementsAre("2:9: title must be a text, not a number with a fraction"));
    EXPECT_THAT(findings("format = 1\ntitle = {}\n" + task),
                ElementsAre("2:9: title must be a text, not a table"));
}

TEST(ScenarioFile, UnknownKeysAreRefusedEverywhere)
{
    EXPECT_THAT(findings_with("[dcache]\n"
                              "hash_bits = 1\n"
                              "[setup]\n"
                              "dO = []\n"
                              "[task.B]\n"
                              "do = []\n"
                              "steps = []\n"
                              "[faults]\n"
                              "allocation = 1\n"
                              "[check]\n"
                              "allways = []\n"
                              "[explore]\n"
                              "max = 1\n"
                              "[tree]\n"
                              "'/f' = { type = 'file', tipe = 1, lookup = { point = 1 } }\n"
                              "[variant.v]\n"
                              "sets = 1\n"
                              "set = { 'explore.preemptions' = 1 }\n"
                              "[[note]]\n"
                              "at = 'dput'\n"
                              "text = 'x'\n"
                              "where = 'x'\n"
                              "[checks]\n"),
                ElementsAre("7:1: unknown key 'hash_bits' in [dcache]",
                            "9:1: unknown key 'dO' in [setup] (did you mean 'do'?)",
                            "12:1: unknown key 'steps' in [task.B]",
                            "14:1: unknown key 'allocation' in [faults] (did you mean "
                            "'allocations'?)",
                            "16:1: unknown key 'allways' in [check] (did you mean 'always'?)",
                            "18:1: unknown key 'max' in [explore]",
                            "20:25: unknown key 'tipe' in '/f' (did you mean 'type'?)",
                            "20:46: unknown key 'point' in lookup (did you mean 'points'?)",
                            "22:1: unknown key 'sets' in [variant.v] (did you mean 'set'?)",
                            "27:1: unknown key 'where' in [[note]]",
                            "28:2: unknown key 'checks' at the top of the file (did you mean "
                            "'check'?)"));
}

TEST(ScenarioFile, SectionsAreTables)
{
    EXPECT_THAT(findings("format = 1\n"
                         "title = 'x'\n"
                         "dcache = 1\n"
                         "setup = true\n"
                         "check = []\n"
                         "tree = 'x'\n"
                         "task = 1.5\n"
                         "variant = 2020-01-01\n"
                         "note = {}\n"),
                ElementsAre("1:1: there is no task with a step: add [task.A] with do = [...]",
                            "3:10: [dcache] must be a table, as in [dcache]; this is a whole "
                            "number",
                            "4:9: [setup] must be a table, as in [setup]; this is true or false",
                            "5:9: [check] must be a table, as in [check]; this is a list",
                            "6:8: [tree] must be a table, as in \"/a\" = { type = \"file\" }; this "
                            "is a text",
                            "7:8: task must be a table, as in [task.A]; this is a number with a "
                            "fraction",
                            "8:11: variant must be a table, as in [variant.slow]; this is a date "
                            "or time",
                            "9:8: notes begin with [[note]], in double brackets"));
}

TEST(ScenarioFile, NumbersHaveLimits)
{
    EXPECT_THAT(findings_with("[dcache]\n"
                              "hash_buckets = 131072\n"
                              "in_lookup_bits = 11\n"
                              "[faults]\n"
                              "allocations = 4\n"
                              "[explore]\n"
                              "preemptions = -1\n"),
                ElementsAre("7:16: hash_buckets must be a whole number from 2 to 65536, not 131072",
                            "8:18: in_lookup_bits must be a whole number from 0 to 10, not 11",
                            "10:15: allocations must be a whole number from 0 to 3, not 4",
                            "12:15: preemptions must be a whole number from 0 to 10, not -1"));
}

TEST(ScenarioFile, HashBucketsAreAPowerOfTwo)
{
    EXPECT_THAT(findings_with("[dcache]\nhash_buckets = 12\n"),
                ElementsAre("7:16: hash_buckets must be a power of two (did you mean '8'?)"));
}

TEST(ScenarioFile, ListsHaveTextsThatSaySomething)
{
    EXPECT_THAT(findings_with("[faults]\n"
                              "allow_warnings = ['', 1, 'in use']\n"
                              "[check]\n"
                              "always = 'true'\n"),
                ElementsAre("7:19: a member of allow_warnings must not be empty",
                            "7:23: a member of allow_warnings must be a text, not a whole number",
                            "9:10: always must be a list of texts, not a text"));
}

TEST(ScenarioFile, NotesSayWhereAndWhat)
{
    EXPECT_THAT(findings_with("[[note]]\n"
                              "text = 'x'\n"
                              "[[note]]\n"
                              "at = 'dput'\n"
                              "[[note]]\n"
                              "at = 'A dput now'\n"
                              "text = 'x'\n"
                              "[[note]]\n"
                              "at = 'a  dput'\n"
                              "text = 'x'\n"
                              "[[note]]\n"
                              "at = 'setup dput'\n"
                              "text = 'x'\n"
                              "[[note]]\n"
                              "at = '12'\n"
                              "text = 1\n"
                              "[[note]]\n"
                              "at = '12'\n"
                              "text = 'x'\n"),
                ElementsAre("6:1: a note needs an at", "8:1: a note needs a text",
                            "11:9: at is a function, or a task and a function: \"B "
                            "d_wait_lookup\"",
                            "14:7: there is no task 'a'",
                            "17:7: setup runs alone, before anything is counted: name a task",
                            "21:8: text must be a text, not a whole number",
                            "23:7: at is a function, or a task and a function: \"B "
                            "d_wait_lookup\""));
}

TEST(ScenarioFile, ColumnsCountCharactersAndSeeThroughEscapes)
{
    EXPECT_THAT(findings("format = 1\n"
                         "title = 'x'\n"
                         "[task.A]\n"
                         "do = [\"walk('/é', 1)\", \"a = wálk('/a')\", \"walk(\\u0027/a\\\") x\",\n"
                         "'''\n"
                         "d = lokup('/a')''', \"\"\"x = \\\n"
                         "   wolk('/x')\"\"\"]\n"),
                ElementsAre("4:17: too many arguments: d = walk(path)",
                            "4:29: there is no verb 'wálk' (did you mean 'walk'?)",
                            "4:48: this quote is never closed",
                            "6:5: there is no verb 'lokup' (did you mean 'lookup'?)",
                            "7:4: there is no verb 'wolk' (did you mean 'walk'?)"));
}

TEST(ScenarioFile, PathsComeWithTheDirectoriesAboveThem)
{
    const scenario some = parse_scenario(file_with("[task.B]\n"
                                                   "do = ['''walk('/x/y/z')''', '''walk('/')''']\n"
                                                   "[check]\n"
                                                   "always = ['''lookups('/x/y') >= 0''']\n"),
                                         "f");

    EXPECT_THAT(some.paths, ElementsAre("/a", "/x", "/x/y", "/x/y/z", "/"));
    EXPECT_EQ(some.always[0].left.path, 2);
}

TEST(ScenarioFile, PathsAndVariablesAreLimited)
{
    const auto with_steps = [](size_t count) {
        std::string more = "[task.B]\ndo = [\n";

        for (size_t i = 0; i < count; ++i)
            more += "\"v" + std::to_string(i) + " = walk('/p" + std::to_string(i / 2) + "')\",\n";
        return findings_with(more + "]\n");
    };

    // The file has one of each already.
    EXPECT_THAT(with_steps(95), IsEmpty());
    EXPECT_THAT(with_steps(96), ElementsAre("1:1: 97 variables; the limit is 96"));
    EXPECT_THAT(with_steps(127),
                ElementsAre("1:1: 128 variables; the limit is 96",
                            "1:1: 65 paths, with the directories above them; the limit is 64"));
}

TEST(ScenarioFile, ByteOrderMarkTakesNoColumn)
{
    const std::string mark = "\xEF\xBB\xBF";

    EXPECT_THAT(
        findings(mark + "task.A.do = [\"\\u0061 = wlak('/a')\"]\nformat = 1\ntitle = 'x'\n"),
        ElementsAre("1:24: there is no verb 'wlak' (did you mean 'walk'?)",
                    "2:1: format must be the first key of the file"));
}

// --- The tree ---------------------------------------------------------------------------------

TEST(ScenarioTree, PathsAreAbsoluteAndPlain)
{
    const std::string long_name(256, 'n');
    const std::string good_name(255, 'n');
    std::string long_path;

    for (int component = 0; component < 17; ++component)
        long_path += "/" + good_name;
    EXPECT_THAT(findings_with("[tree]\n"
                              "'a' = { type = 'file' }\n"
                              "'/' = { type = 'directory' }\n"
                              "'/a/' = { type = 'directory' }\n"
                              "'//a' = { type = 'file' }\n"
                              "'/.' = { type = 'file' }\n"
                              "'/..' = { type = 'file' }\n"
                              "\"/x\\u0000\" = { type = 'file' }\n"
                              "'/" +
                              long_name +
                              "' = { type = 'file' }\n"
                              "'/" +
                              good_name +
                              "' = { type = 'file' }\n"
                              "'" +
                              long_path +
                              "' = { type = 'file' }\n"
                              "'' = { type = 'file' }\n"),
                ElementsAre("7:1: a path begins with '/'", "8:1: '/' is always there: leave it out",
                            "9:1: '/' at the end of a path",
                            "10:1: '//' in a path: names are not empty",
                            "11:1: '.' is not walked: write the path without it",
                            "12:1: '..' is not walked: write the path without it",
                            "13:1: NUL in a path", "14:1: a name of 256 bytes; the limit is 255",
                            "16:1: a path of 4352 bytes; the limit is 4095",
                            "17:1: a path begins with '/'"));
}

TEST(ScenarioTree, EntriesAreTablesWithATypeOrAnotherName)
{
    EXPECT_THAT(findings_with("[tree]\n"
                              "'/a' = 'file'\n"
                              "'/b' = {}\n"
                              "'/c' = { type = 1 }\n"
                              "'/d' = { type = 'Directory' }\n"
                              "'/e' = { type = 'directory', same_as = '/b' }\n"
                              "'/f' = { same_as = 1 }\n"),
                ElementsAre("7:8: '/a' must be a table, as in { type = \"file\" }; this is a text",
                            "8:1: '/b' needs a type, as in { type = \"file\" }",
                            "9:17: type must be a text, not a whole number",
                            "10:17: type is file, directory or symlink, not 'Directory' (did you "
                            "mean 'directory'?)",
                            "11:40: same_as says all: leave out type, target and flags",
                            "12:20: same_as must be a text, not a whole number"));
}

TEST(ScenarioTree, OnlySymlinksHaveATarget)
{
    EXPECT_THAT(findings_with("[tree]\n"
                              "'/a' = { type = 'symlink' }\n"
                              "'/b' = { type = 'file', target = '/a' }\n"
                              "'/c' = { type = 'symlink', target = '' }\n"),
                ElementsAre("7:1: a symlink needs a target = \"...\"",
                            "8:34: only a symlink has a target", "9:37: target must not be empty"));
}

TEST(ScenarioTree, ParentsAreListedDirectories)
{
    EXPECT_THAT(findings_with("[tree]\n"
                              "'/dri/f' = { type = 'file' }\n"
                              "'/dir' = { type = 'directory' }\n"
                              "'/file' = { type = 'file' }\n"
                              "'/file/f' = { type = 'file' }\n"
                              "'/same' = { same_as = '/dir' }\n"
                              "'/same/f' = { type = 'file' }\n"),
                ElementsAre("7:1: '/dri' is not in [tree]: list it as a directory (did you mean "
                            "'/dir'?)",
                            "10:1: '/file' is no directory: nothing can be in it",
                            "12:1: '/same' is the same directory as '/dir': list what is in it "
                            "there (did you mean '/dir/f'?)"));
}

TEST(ScenarioTree, NothingIsSaidAboutChildrenOfABrokenEntry)
{
    EXPECT_THAT(findings_with("[tree]\n"
                              "'/d' = { type = 'dir' }\n"
                              "'/d/f' = { type = 'file' }\n"
                              "'/e' = { same_as = '/d' }\n"),
                ElementsAre("7:17: type is file, directory or symlink, not 'dir' (did you mean "
                            "'directory'?)"));
}

TEST(ScenarioTree, SecondNamesAreOfListedDirectories)
{
    EXPECT_THAT(findings_with("[tree]\n"
                              "'/dir' = { type = 'directory' }\n"
                              "'/file' = { type = 'file' }\n"
                              "'/a' = { same_as = '/dri' }\n"
                              "'/b' = { same_as = '/file' }\n"
                              "'/c' = { same_as = '/dir' }\n"
                              "'/d' = { same_as = '/c' }\n"),
                ElementsAre("9:20: '/dri' is not in [tree] (did you mean '/dir'?)",
                            "10:20: same_as is for directories, '/file' is none",
                            "12:20: '/c' is a second name itself (did you mean '/dir'?)"));
}

TEST(ScenarioTree, NoDirectoryIsInsideItself)
{
    EXPECT_THAT(findings_with("[tree]\n"
                              "'/d' = { type = 'directory' }\n"
                              "'/d/e' = { type = 'directory' }\n"
                              "'/d/e/f' = { same_as = '/d' }\n"),
                ElementsAre("9:24: '/d' would be inside itself"));
    // Each contains the other.
    EXPECT_THAT(
        findings_with("[tree]\n"
                      "'/d' = { type = 'directory' }\n"
                      "'/e' = { type = 'directory' }\n"
                      "'/d/e' = { same_as = '/e' }\n"
                      "'/e/d' = { same_as = '/d' }\n"),
        ElementsAre("9:22: '/e' would be inside itself", "10:22: '/d' would be inside itself"));
}

TEST(ScenarioTree, FailingLookupsNameAnErrno)
{
    EXPECT_THAT(findings_with("[tree]\n"
                              "'/a' = { type = 'file', lookup = { error = 'ENOEMM' } }\n"
                              "'/b' = { type = 'file', lookup = { times = 1 } }\n"
                              "'/c' = { type = 'file', lookup = { error = 'EIO', times = 0 } }\n"
                              "'/d' = { type = 'file', lookup = { points = 101 } }\n"
                              "'/e' = { type = 'file', lookup = 3 }\n"
                              "'/f' = { type = 'file', lookup = { error = 5 } }\n"),
                ElementsAre("7:44: there is no errno 'ENOEMM' (did you mean 'ENOMEM'?)",
                            "8:44: times says how often ->lookup() fails: with which error?",
                            "9:59: times must be a whole number from 1 to 1000, not 0",
                            "10:45: points must be a whole number from 0 to 100, not 101",
                            "11:34: lookup must be a table, as in { points = 1 }; this is a whole "
                            "number",
                            "12:44: error must be a text, not a whole number"));
}

TEST(ScenarioTree, OtherDirectoriesInsideThemselvesDoNotConfuse)
{
    EXPECT_THAT(
        findings_with("[tree]\n"
                      "'/d' = { type = 'directory' }\n"
                      "'/e' = { type = 'directory' }\n"
                      "'/d/e' = { same_as = '/e' }\n"
                      "'/e/d' = { same_as = '/d' }\n"
                      "'/x' = { same_as = '/d' }\n"),
        ElementsAre("9:22: '/e' would be inside itself", "10:22: '/d' would be inside itself"));
}

// --- Tasks ------------------------------------------------------------------------------------

TEST(ScenarioTask, NameIsACapitalAndUpTo15More)
{
    EXPECT_THAT(findings_with("[task.b]\n"
                              "do = []\n"
                              "[task.A234567890123456]\n"
                              "do = []\n"
                              "[task.A2345678901234567]\n"
                              "do = []\n"
                              "[task.A_b]\n"
                              "do = []\n"),
                ElementsAre("6:7: 'b' is no name for a task: a capital letter, then up to 15 "
                            "letters and digits",
                            "10:7: 'A2345678901234567' is no name for a task: a capital letter, "
                            "then up to 15 letters and digits",
                            "12:7: 'A_b' is no name for a task: a capital letter, then up to 15 "
                            "letters and digits"));
}

TEST(ScenarioTask, HasAListOfSteps)
{
    EXPECT_THAT(findings_with("[task.B]\n"
                              "[task.C]\n"
                              "do = 'shrink()'\n"
                              "[task]\n"
                              "D = 1\n"),
                ElementsAre("6:7: task B needs a list of steps: do = [...]",
                            "8:6: do must be a list of texts, not a text",
                            "10:5: task.D must be a table, as in [task.A]; this is a whole "
                            "number"));
}

TEST(ScenarioTask, ThereIsAtLeastOneWithAStep)
{
    EXPECT_THAT(findings("format = 1\ntitle = 'x'\n[task.A]\ndo = []\n"),
                ElementsAre("1:1: there is no task with a step: add [task.A] with do = [...]"));
}

TEST(ScenarioTask, ThereAreAtMostEight)
{
    std::string more;

    for (const char name : std::string("BCDEFGHI"))
        more += std::string("[task.") + name + "]\ndo = ['shrink()']\n";
    EXPECT_THAT(findings_with(more), ElementsAre("20:7: too many tasks: the limit is 8"));
}

// --- Steps ------------------------------------------------------------------------------------

TEST(ScenarioStep, EveryVerbIsUnderstood)
{
    EXPECT_THAT(step_findings({"a = walk('/x')",
                               "b = lookup('/x')",
                               "c = create('/x')",
                               "d = mkdir('/x')",
                               "e = unlink('/x')",
                               "f = rmdir('/x')",
                               "g = rename('/x', '/y')",
                               "h = exchange('/x', '/y')",
                               "i = link('/x', '/y')",
                               "j = shrink()",
                               "k = shrink(12)",
                               "l = shrink_tree('/')",
                               "drop(a)",
                               "invalidate(a)",
                               "put(a)",
                               "put(setup.x)",
                               "warm('/')",
                               "sync_rcu()",
                               "await(references(b) == 1)",
                               "m = umount()"}),
                IsEmpty());
}

/// What is said of steps of task A, one in each line from 9 on, on a file system in an era.
std::vector<std::string> ground_findings(const std::string &type, const std::string &era,
                                         const std::vector<std::string> &steps)
{
    std::string text = "format = 1\ntitle = 'x'\n[dcache]\nera = '" + era +
                       "'\n[filesystem]\ntype = '" + type + "'\n[task.A]\ndo = [\n";

    for (const std::string &step : steps)
        text += " \"" + step + "\",\n";
    return findings(text + "]\n");
}

TEST(ScenarioStep, OfTheServerAndOfTheDcacheAloneAreUnderstood)
{
    EXPECT_THAT(ground_findings(
                    "netfs", "7.2",
                    {"a = server_create('/x')", "server_mkdir('/x')", "server_remove('/x')",
                     "b = server_replace('/x')", "server_rename('/x', '/y')", "c = reply()",
                     "d = obtain('/')", "e = alloc('/x')", "f = alloc('/x', 'locked')",
                     "lookup_done(e)", "put(e)", "g = noblock('/x')", "h = noblock_return('/x')",
                     "i = noblock_return('/x', 'forget')", "j = lookup_one('/x')",
                     "k = lookup_one('/x', 'LOOKUP_CREATE|LOOKUP_EXCL')", "l = duplicate('/x')"}),
                IsEmpty());
    EXPECT_THAT(ground_findings("memfs", "4.7", {"a = alloc('/x')", "lookup_done(a)"}), IsEmpty());
}

TEST(ScenarioStep, IsSomethingTheFileSystemCanDo)
{
    EXPECT_THAT(
        ground_findings("memfs", "7.2",
                        {"server_create('/x')", "d = obtain('/')", "reply()", "noblock('/x')"}),
        ElementsAre("9:3: server_create(): memfs has no server that somebody else could change",
                    "10:7: obtain(): memfs has no file handles",
                    "11:3: reply() would never return: memfs puts nothing off"));
    EXPECT_THAT(ground_findings("dynfs", "7.2", {"d = obtain('/')", "server_create('/x')"}),
                ElementsAre("9:7: obtain(): dynfs has no file handles"));
    EXPECT_THAT(findings(file_with("[filesystem]\n"
                                   "type = 'netfs'\n"
                                   "[task.B]\n"
                                   "do = ['reply()']\n"
                                   "[variant.v]\n"
                                   "set = { 'filesystem.type' = 'memfs' }\n")),
                ElementsAre("9:8: variant v: reply() would never return: memfs puts nothing off"));
}

TEST(ScenarioStep, IsSomethingTheEraHas)
{
    const std::vector<std::string> steps = {"noblock('/x')", "noblock_return('/x')",
                                            "a = lookup_one('/x')", "b = duplicate('/x')"};
    const std::string file = file_with("[task.B]\ndo = [\"noblock('/x')\"]\n");

    EXPECT_THAT(ground_findings("memfs", "v3", steps), IsEmpty());
    EXPECT_THAT(ground_findings("memfs", "4.7", steps),
                ElementsAre("9:3: noblock() is proposed for v3 and later: era 4.7 has none",
                            "10:3: noblock_return() is proposed for v3 and later: era 4.7 has none",
                            "11:7: lookup_one() is proposed for v3 and later: era 4.7 has none",
                            "12:7: duplicate() is proposed for v3 and later: era 4.7 has none"));
    EXPECT_THAT(findings(file, "", "6.0"),
                ElementsAre("7:8: era 6.0: noblock() is proposed for v3 and later: era 6.0 has "
                            "none"));
}

TEST(ScenarioStep, KeepsWhatMayBeInLookup)
{
    EXPECT_THAT(
        ground_findings("memfs", "7.2", {"alloc('/x')", "lookup_one('/x')", "duplicate('/x')"}),
        ElementsAre("9:3: alloc() may return a dentry in lookup, which somebody has to "
                    "finish: keep it",
                    "10:3: lookup_one() may return a dentry in lookup, which somebody has "
                    "to finish: keep it",
                    "11:3: duplicate() may return a dentry in lookup, which somebody has "
                    "to finish: keep it"));
}

TEST(ScenarioStep, IntentsAndOtherFlagsAreThoseThereAre)
{
    EXPECT_THAT(
        ground_findings("memfs", "7.2",
                        {"a = lookup_one('/x', 'LOOKUP_CREATE|LOOKUP_EXLC')",
                         "b = alloc('/x', 'lockd')", "noblock_return('/x', 'forgot')",
                         "c = lookup_one('/x', 7)"}),
        ElementsAre("9:39: there is no flag 'LOOKUP_EXLC' for lookup_one(): valid are "
                    "LOOKUP_OPEN, LOOKUP_CREATE, LOOKUP_EXCL, LOOKUP_RENAME_TARGET (did you "
                    "mean 'LOOKUP_EXCL'?)",
                    "10:19: the only flag of alloc() is 'locked' (did you mean 'locked'?)",
                    "11:24: the only flag of noblock_return() is 'forget' (did you mean "
                    "'forget'?)",
                    "12:24: lookup_one() takes quoted flags here, found '7': d = "
                    "lookup_one(path), lookup_one(path, 'LOOKUP_CREATE|LOOKUP_EXCL')"));
}

TEST(ScenarioStep, IsOneCall)
{
    EXPECT_THAT(step_findings({"walk", "= walk('/a')", "d =", "walk('/a') walk('/b')", "walk '/a'",
                               "'walk'", "e = e2 = walk('/a')", "12('/a')", "walk('/a'", "walk(",
                               "walk('/a)", "walk('/a');"}),
                ElementsAre("1:5: expected '(' after 'walk', found the end",
                            "2:1: expected a verb, found '='",
                            "3:4: expected a verb after '=', found the end",
                            "4:12: a step is one call: 'walk' is too much; write a step of its own",
                            "5:6: expected '(' after 'walk', found a quoted text",
                            "6:1: expected a verb, found a quoted text",
                            "7:5: there is no verb 'e2'", "8:1: expected a verb, found '12'",
                            "9:10: expected ')', found the end: d = walk(path)",
                            "10:6: walk() takes a quoted path here, found the end: d = walk(path)",
                            "11:6: this quote is never closed", "12:11: unexpected character ';'"));
}

TEST(ScenarioStep, VerbIsKnown)
{
    EXPECT_THAT(step_findings({"looukp('/a')", "frobnicate()"}),
                ElementsAre("1:1: there is no verb 'looukp' (did you mean 'lookup'?)",
                            "2:1: there is no verb 'frobnicate'"));
}

TEST(ScenarioStep, ArgumentsAreAsManyAsTheVerbTakes)
{
    EXPECT_THAT(step_findings({"walk()", "rename('/a')", "rename('/a' '/b')", "sync_rcu(1)",
                               "shrink(1, 2)", "walk('/a', '/b')", "put()", "await()"}),
                ElementsAre("1:6: an argument is missing: d = walk(path)",
                            "2:12: an argument is missing: r = rename(path, path)",
                            "3:13: expected ',', found a quoted text: r = rename(path, path)",
                            "4:10: expected ')', found '1': sync_rcu()",
                            "5:9: too many arguments: n = shrink(), shrink(count)",
                            "6:10: too many arguments: d = walk(path)",
                            "7:5: an argument is missing: put(d)",
                            "8:7: an argument is missing: await(expression)"));
}

TEST(ScenarioStep, ArgumentsAreOfTheKindTheVerbTakes)
{
    EXPECT_THAT(
        step_findings({"walk(d)", "walk(1)", "put('/a')", "shrink('/a')", "shrink(0)", "shrink(-1)",
                       "shrink(1x)", "shrink(99999999999999999999)"}),
        ElementsAre(
            "1:6: walk() takes a quoted path here, found 'd': d = walk(path)",
            "2:6: walk() takes a quoted path here, found '1': d = walk(path)",
            "3:5: put() takes a variable here, found a quoted text: put(d)",
            "4:8: shrink() takes a number here, found a quoted text: n = shrink(), shrink(count)",
            "5:8: '0' is no count: a whole number from 1",
            "6:8: '-1' is no count: a whole number from 1",
            "7:8: '1x' is no count: a whole number from 1",
            "8:8: '99999999999999999999' is no count: a whole number from 1"));
}

TEST(ScenarioStep, PathsAreAbsoluteAndPlain)
{
    EXPECT_THAT(step_findings({"walk('a')", "walk('')", "walk('/a/')", "walk('/a//b')",
                               "walk('/b/../c')", "walk('/a/" + std::string(256, 'n') + "')"}),
                ElementsAre("1:7: a path begins with '/'", "2:7: a path begins with '/'",
                            "3:9: '/' at the end of a path",
                            "4:10: '//' in a path: names are not empty",
                            "5:10: '..' is not walked: write the path without it",
                            "6:10: a name of 256 bytes; the limit is 255"));
}

TEST(ScenarioStep, SystemCallsTakeWhatSystemCallsTake)
{
    const scenario parsed = parse_scenario("format = 1\ntitle = 'x'\n[task.A]\ndo = ["
                                           "\"r = stat('../f/')\", \"l = lstat('')\","
                                           "\"rename('a//b', '/c')\", \"symlink('a b', '/s')\","
                                           "\"fd = open('/f', 'O_CREAT|O_EXCL')\", 'close(fd)',"
                                           "\"umount('/m', 'detach')\", \"umount('/m')\"]\n",
                                           "f");
    const std::vector<step> &steps = parsed.tasks[0].steps;

    EXPECT_EQ(steps[0].pathname, "../f/");
    EXPECT_EQ(steps[0].path, -1);
    EXPECT_EQ(steps[1].pathname, "");
    EXPECT_EQ(steps[2].pathname, "a//b");
    EXPECT_EQ(steps[2].second_pathname, "/c");
    EXPECT_EQ(parsed.paths[static_cast<size_t>(steps[2].second_path)], "/c");
    EXPECT_EQ(steps[3].pathname, "/s");
    EXPECT_EQ(steps[3].second_pathname, "a b");
    EXPECT_EQ(steps[4].flags, 0300u);
    EXPECT_EQ(parsed.tasks[0].variables[2].kind, value_kind::descriptor);
    EXPECT_EQ(steps[5].variable_slot, 2);
    EXPECT_EQ(steps[6].what, verb::umount_path);
    EXPECT_EQ(steps[6].flags, detach_flag);
    EXPECT_EQ(steps[7].what, verb::umount_path);
    EXPECT_EQ(steps[7].flags, 0u);
}

TEST(ScenarioStep, FlagsAreThoseThereAre)
{
    EXPECT_THAT(
        step_findings({"open('/f', 'O_CREATE')", "open('/f', 'O_CREAT|')", "open('/f', 1)",
                       "umount('/m', 'lazy')", "close(d)", "fd = open('/f')", "close(fd)",
                       "close(fd)", "put(e)"}),
        ElementsAre(
            "1:13: there is no flag 'O_CREATE' for open(): valid are O_RDONLY, O_WRONLY, O_RDWR, "
            "O_CREAT, O_EXCL, O_TRUNC, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_TMPFILE (did you mean "
            "'O_CREAT'?)",
            "2:21: there is no flag '' for open(): valid are O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, "
            "O_EXCL, O_TRUNC, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_TMPFILE",
            "3:12: open() takes quoted flags here, found '1': fd = open(path), "
            "open(path, 'O_CREAT|O_EXCL')",
            "4:14: the only flag of umount() is 'detach' (did you mean 'detach'?)",
            "5:7: A has no variable 'd' (did you mean 'fd'?)", "8:7: 'fd' is used after close()",
            "9:5: A has no variable 'e'"));
}

TEST(ScenarioStep, DescriptorsAreNoDentries)
{
    EXPECT_THAT(step_findings({"d = walk('/f')", "fd = open('/f')", "close(d)", "put(fd)"}),
                ElementsAre("3:7: 'd' is a dentry, close() takes what open() returned",
                            "4:5: 'fd' is a descriptor, put() takes a dentry"));
}

TEST(ScenarioTask, SharesTheDirectoriesOfAnother)
{
    const std::string a = "[task.A]\ndo = [\"chdir('/')\"]\n";
    const std::string b = "[task.B]\ndo = [\"stat('f')\"]\nshares = ";

    EXPECT_EQ(parse_scenario("format = 1\ntitle = 'x'\n" + a + b + "'A'\n", "f").tasks[1].shares,
              0);
    EXPECT_THAT(findings_with(b + "'B'\n"),
                ElementsAre("8:10: shares names a task that has a root and working directory of "
                            "its own"));
}

TEST(ScenarioCheck, LinearizableIsOnUnlessTheOracleCannotJudge)
{
    const std::string head = "format = 1\ntitle = 'x'\n";
    const std::string task = "[task.A]\ndo = [\"stat('/a')\"]\n";
    const std::string beyond = "[task.A]\ndo = [\"bind('/a', '/b')\"]\n";
    const auto reason = [](const std::string &text) {
        return parse_scenario(text, "f").not_linearizable;
    };

    EXPECT_EQ(reason(head + task), "");
    EXPECT_EQ(reason(head + beyond), "'bind('/a', '/b')' is beyond it");
    EXPECT_EQ(reason(head + task + "[check]\nlinearizable = false\nbecause = 'a good one'\n"),
              "a good one");
    EXPECT_THAT(findings_with("[check]\nlinearizable = false\n"),
                ElementsAre("7:16: linearizable = false needs a reason: because = \"...\""));
    EXPECT_THAT(findings_with("[check]\nbecause = 'x'\n"),
                ElementsAre("7:11: because says why linearizable = false"));
    EXPECT_THAT(findings_with("[check]\nlinearizable = 1\n"),
                ElementsAre("7:16: linearizable is true or false"));
}

TEST(ScenarioStep, TheRootHasNoNameInADirectory)
{
    EXPECT_THAT(step_findings({"create('/')", "mkdir('/')", "unlink('/')", "rmdir('/')",
                               "rename('/a', '/')", "exchange('/', '/a')", "link('/', '/a')",
                               "lookup('/')"}),
                ElementsAre("1:8: create() needs a name in a directory: '/' has none",
                            "2:7: mkdir() needs a name in a directory: '/' has none",
                            "3:8: unlink() needs a name in a directory: '/' has none",
                            "4:7: rmdir() needs a name in a directory: '/' has none",
                            "5:14: rename() needs a name in a directory: '/' has none",
                            "6:10: exchange() needs a name in a directory: '/' has none",
                            "7:6: link() needs a name in a directory: '/' has none",
                            "8:8: lookup() needs a name in a directory: '/' has none"));
}

TEST(ScenarioStep, VariableNamesAreInSmallLetters)
{
    EXPECT_THAT(
        step_findings({"D = walk('/a')", "_d = walk('/a')", "d_2 = walk('/a')", "in = walk('/a')",
                       "setup = walk('/a')", "é2 = walk('/a')", "dé = walk('/a')",
                       "true = walk('/a')", "false = walk('/a')"}),
        ElementsAre(
            "1:1: 'D' is no name for a variable: small letters, digits and '_', a letter first",
            "2:1: '_d' is no name for a variable: small letters, digits and '_', a letter first",
            "4:1: 'in' cannot be the name of a variable",
            "5:1: 'setup' cannot be the name of a variable", "6:1: unexpected character 'é'",
            "7:1: 'dé' is no name for a variable: small letters, digits and '_', a letter first",
            "8:1: 'true' cannot be the name of a variable",
            "9:1: 'false' cannot be the name of a variable"));
}

TEST(ScenarioStep, VariablesAreAssignedOnce)
{
    EXPECT_THAT(step_findings({"d = walk('/a')", "d = walk('/b')", "put(d)"}),
                ElementsAre("2:1: 'd' is assigned twice: use another name"));
}

TEST(ScenarioStep, OnlyVerbsThatReturnSomethingAreAssigned)
{
    EXPECT_THAT(step_findings({"d = warm('/a')", "put(d)"}),
                ElementsAre("1:1: warm() returns nothing that could be assigned"));
}

TEST(ScenarioStep, VariablesAreAssignedBeforeTheyAreUsed)
{
    EXPECT_THAT(
        step_findings({"put(d)", "d = walk('/a')", "put(dd)", "put(x)", "put(setup.y)",
                       "put(setup.)", "put(B.b)", "put(Z.b)"}),
        ElementsAre(
            "1:5: 'd' is assigned by a later step only",
            "3:5: A has no variable 'dd' (did you mean 'd'?)",
            "4:5: A has no variable 'x' (did you mean 'setup.x'?)",
            "5:11: setup has no variable 'y'", "6:11: expected a variable, found ')'",
            "7:5: the variables of another task are its own; only those of setup are shared",
            "8:5: there is no task 'Z'"));
}

TEST(ScenarioStep, NumbersHaveNoReferences)
{
    EXPECT_THAT(step_findings({"n = shrink()", "put(n)"}),
                ElementsAre("2:5: 'n' is a number, put() takes a dentry"));
}

TEST(ScenarioStep, NothingIsUsedAfterPut)
{
    EXPECT_THAT(step_findings({"d = walk('/a')", "put(d)", "drop(d)", "put(d)", "put(setup.x)",
                               "invalidate(setup.x)"}),
                ElementsAre("3:6: 'd' is used after put(): its reference is gone",
                            "4:5: 'd' is used after put(): its reference is gone",
                            "6:12: 'x' is used after put(): its reference is gone"));
}

TEST(ScenarioStep, WhatAWrongStepAssignsCanBeUsed)
{
    EXPECT_THAT(step_findings({"d = wlak('/a')", "put(d)", "e = walk(3)", "put(e)"}),
                ElementsAre("1:5: there is no verb 'wlak' (did you mean 'walk'?)",
                            "3:10: walk() takes a quoted path here, found '3': d = walk(path)"));
}

TEST(ScenarioStep, WhatSetupHasPutIsGoneForAll)
{
    EXPECT_THAT(
        step_findings({"drop(setup.gone)", "drop(setup.x)"}),
        ElementsAre("1:6: its reference is put by setup: nobody else may use it as an argument"));
}

TEST(ScenarioStep, WhatOneTaskPutsNobodyElseUses)
{
    const std::string setup = "[setup]\ndo = ['''x = walk('/a')''', '''y = walk('/a')''']\n";

    EXPECT_THAT(
        findings_with(setup + "[task.B]\n"
                              "do = ['drop(setup.x)', 'drop(setup.y)', 'put(setup.y)']\n"
                              "[task.C]\n"
                              "do = ['put(setup.x)', 'put(setup.y)']\n"),
        ElementsAre("9:13: its reference is put by C: nobody else may use it as an argument",
                    "9:30: its reference is put by C: nobody else may use it as an argument",
                    "11:28: its reference is put by B: nobody else may use it as an argument"));
}

TEST(ScenarioStep, ForbiddenUseIsSaidOnce)
{
    EXPECT_THAT(findings_with("[setup]\n"
                              "do = [\"x = walk('/a')\"]\n"
                              "[task.B]\n"
                              "do = ['drop(setup.x)', 'sync_rcu()']\n"
                              "[task.C]\n"
                              "do = ['put(setup.x)', 'sync_rcu()']\n"),
                ElementsAre("9:13: its reference is put by C: nobody else may use it as an "
                            "argument"));
}

TEST(ScenarioStep, NothingNeedsTheFileSystemAfterUmount)
{
    EXPECT_THAT(step_findings({"d = walk('/a')", "umount()", "walk('/a')", "shrink()", "put(d)",
                               "create('/a')", "sync_rcu()"}),
                ElementsAre("3:1: walk() after umount(): there is no file system any more",
                            "4:1: shrink() after umount(): there is no file system any more",
                            "6:1: create() after umount(): there is no file system any more"));
}

TEST(ScenarioStep, ThereIsOneUmount)
{
    EXPECT_THAT(findings_with("[task.B]\ndo = ['umount()']\n[task.C]\ndo = [ 'r = umount()']\n"),
                ElementsAre("9:13: a second umount(): there is one file system"));
}

TEST(ScenarioStep, SetupNeitherWaitsNorUnmounts)
{
    EXPECT_THAT(findings_with("[setup]\ndo = ['await(lookups() > 0)', 'umount()']\n"),
                ElementsAre("7:8: setup runs alone: what await() waits for would never come",
                            "7:32: umount() in [setup] leaves the tasks without a file system"));
}

TEST(ScenarioStep, AwaitUsesOwnVariablesByTheirNames)
{
    EXPECT_THAT(step_findings({"d = walk('/a')", "n = shrink()", "await(d.error == 0)",
                               "await(references(d) > 1)", "await(n > 0)", "await(A.d.negative)",
                               "await(setup.x.hashed)", "await(B.b == d)",
                               "await(references(setup.x) == 1)"}),
                IsEmpty());
}

TEST(ScenarioStep, AwaitDoesNotWaitForItself)
{
    EXPECT_THAT(step_findings({"await(d.error == 0)", "await(A.d.error == 0)",
                               "await(references(A.d) == 0)", "d = walk('/a')"}),
                ElementsAre("1:7: 'd' is assigned by a later step only: this would wait forever",
                            "2:9: 'd' is assigned by a later step only: this would wait forever",
                            "3:20: 'd' is assigned by a later step only: this would wait forever"));
}

TEST(ScenarioStep, AwaitCannotAskWhatIsKnownAtTheEndOnly)
{
    EXPECT_THAT(step_findings({"await(hashed('/x') == 1)", "await(dentries() > 1)",
                               "await(positive('/x') > 0)"}),
                ElementsAre("1:7: hashed() is known at the end only, await() cannot ask it",
                            "2:7: dentries() is known at the end only, await() cannot ask it",
                            "3:7: positive() is known at the end only, await() cannot ask it"));
}

TEST(ScenarioStep, AwaitedExpressionsAreChecked)
{
    EXPECT_THAT(
        step_findings({"await(lookups('/x') > )", "await(lookups('/q') > 0)", "await(e == 0)",
                       "await(waits(B) > 0", "await(waits(B) > 0, 1)", "await(waits(C) > 0)"}),
        ElementsAre("1:23: expected a value, found ')'",
                    "2:16: nothing happens to '/q': it is in no step and not in [tree] (did you "
                    "mean '/x'?)",
                    "3:7: A has no variable 'e'",
                    "4:19: expected ')', found the end: await(expression)",
                    "5:19: too many arguments: await(expression)", "6:13: there is no task 'C'"));
}

// --- Expressions ------------------------------------------------------------------------------

TEST(ScenarioExpressionSyntax, EveryFormIsUnderstood)
{
    for (const char *text : {"A.d == Bee.d",
                             "A.d != setup.x",
                             "A.d == ENOENT",
                             "A.d in [ENOENT, EIO]",
                             "A.n == 0",
                             "A.n in [0, 1, -2]",
                             "A.d.error == 0",
                             "A.n.error == 0",
                             "A.d.inode == Bee.d.inode",
                             "A.d.negative",
                             "A.d.hashed == true",
                             "A.d.negative != false",
                             "lookups('/a') == 1",
                             "lookups() <= 2",
                             "waits(A) > 0",
                             "waits() < 3",
                             "retries(A) >= 0",
                             "retries() == 0",
                             "retries(A, 'seq') > 0",
                             "retries(A, 'rename_lock') > 0",
                             "retries(A, 'dir_seq') > 0",
                             "retries(A, 'dying') > 0",
                             "retries(A, 'mismatch') > 0",
                             "blocked(A)",
                             "blocked() == 0",
                             "hashed('/a') == 1",
                             "positive('/a') == 0",
                             "dentries() > 2",
                             "references(A.d) == 1",
                             "failed_allocations() == 0",
                             "0 < A.n",
                             "hashed('/dir/below') == 0",
                             "A.d==Bee.d"})
        EXPECT_THAT(expression_findings(text), IsEmpty()) << text;
}

struct wrong_expression {
    const char *text;
    const char *finding;
};

class WrongExpression : public ::testing::TestWithParam<wrong_expression>
{
};

TEST_P(WrongExpression, IsRefused)
{
    EXPECT_THAT(expression_findings(GetParam().text), ElementsAre(GetParam().finding));
}

constexpr wrong_expression wrong_expressions[] = {
    {"A.d ==", "7: a value is missing here"},
    {"== 3", "1: expected a value, found '=='"},
    {"A.d = Bee.d", "5: '=' assigns, and only in a step (did you mean '=='?)"},
    {"A.d == Bee.d and A.n == 0",
     "14: an expression is one comparison: 'and' is too much; write two expressions"},
    {"A.d == Bee.d && A.n == 0", "14: there is no 'and' or 'or': write two expressions"},
    {"A.d ~ 3", "5: unexpected character '~'"},
    {"d == 3", "1: 'd' means nothing here (did you mean 'A.d'?)"},
    {"dd == 3", "1: 'dd' means nothing here"},
    {"E == 1", "1: 'E' means nothing here (did you mean 'EIO'?)"},
    {"A.d == ENOEMT", "8: 'ENOEMT' means nothing here (did you mean 'ENOENT'?)"},
    {"A.d == -ENOENT", "8: errno names stand for the negative value already: leave out the '-'"},
    {"A.d == - 3", "8: expected a value, found '-'"},
    {"A.n == 12ab", "8: '12ab' is not a whole number"},
    {"A.n == 99999999999999999999", "8: the number is too large"},
    {"A.n == -9223372036854775808", "8: the number is too large"},
    {"A.n == '/a'", "8: a quoted text is a path, for a function: lookups('/a')"},
    {"A.", "3: expected a variable, found the end"},
    {"A.e == 1", "3: A has no variable 'e'"},
    {"C.d == 1", "1: there is no task 'C'"},
    {"Be.d == 1", "1: there is no task 'Be' (did you mean 'Bee'?)"},
    {"setup.y == 1", "7: setup has no variable 'y'"},
    {"A.d.ino == 1",
     "5: results have .error, .inode, .negative and .hashed, not 'ino' (did you mean 'inode'?)"},
    {"A.d.3 == 1", "5: results have .error, .inode, .negative and .hashed, not '3'"},
    {"A.n.inode == 1", "5: A.n is a number and no dentry: it has no .inode"},
    {"A.d", "1: A.d is a dentry, neither true nor false: compare it, or ask for .error, .inode, "
            ".negative or .hashed"},
    {"A.d < Bee.d", "1: A.d is a dentry, there is no more or less: whether it failed is A.d.error"},
    {"A.d == 3", "8: A.d is a dentry: it can be equal to another dentry or to an errno"},
    {"A.d == 0", "8: A.d is a dentry: it can be equal to another dentry or to an errno"},
    {"A.d == A.n", "8: A.d is a dentry: it can be equal to another dentry or to an errno"},
    {"0 == A.d", "1: A.d is a dentry: it can be equal to another dentry or to an errno"},
    {"A.d == A.n.error", "8: A.d is a dentry: it can be equal to another dentry or to an errno"},
    {"A.d in [3]", "9: A.d is a dentry: it can be equal to another dentry or to an errno"},
    {"1 == 1", "1: two constants: this is always the same"},
    {"true", "1: a constant: this is always the same"},
    {"ENOENT", "1: a constant: this is always the same"},
    {"3 in [3]", "1: a constant: this is always the same"},
    {"A.n in 3", "8: expected '[' after 'in', found '3'"},
    {"A.n in []", "9: expected a value, found ']'"},
    {"A.n in [A.d]", "9: the list after 'in' has constants only"},
    {"A.n in [1", "10: expected ']' after the list, found the end"},
    {"A.n in [1 2]", "11: expected ']' after the list, found '2'"},
    {"lookps() == 1", "1: there is no function 'lookps' (did you mean 'lookups'?)"},
    {"lookups(A) == 1", "9: lookups() takes a quoted path: lookups('/path') or lookups()"},
    {"lookups('a') == 1", "10: a path begins with '/'"},
    {"lookups('/') == 1", "9: '/' has no name: it is never looked up, nor hashed"},
    {"lookups('/aa') == 1",
     "10: nothing happens to '/aa': it is in no step and not in [tree] (did you mean '/a'?)"},
    {"lookups('/a' == 1", "14: expected ')', found '==': lookups('/path') or lookups()"},
    {"lookups('/a', '/b') == 1", "13: expected ')', found ',': lookups('/path') or lookups()"},
    {"waits('/a') > 0", "7: waits() takes a task: waits(A) or waits()"},
    {"waits(C) > 0", "7: there is no task 'C'"},
    {"waits(setup) > 0", "7: setup runs alone, before anything is counted: name a task"},
    {"retries(A, 'sequence') > 0",
     "12: a cause is 'seq', 'rename_lock', 'dir_seq', 'dying' or 'mismatch'"},
    {"retries(A, seq) > 0",
     "12: a cause is 'seq', 'rename_lock', 'dir_seq', 'dying' or 'mismatch' (did you mean 'seq'?)"},
    {"retries('seq') > 0", "9: retries() takes a task: retries(A, 'seq'), retries(A) or retries()"},
    {"hashed() == 1", "8: hashed() takes a quoted path: hashed('/path')"},
    {"hashed(A.d) == 1", "8: hashed() takes a quoted path: hashed('/path')"},
    {"dentries(A) == 1", "10: expected ')', found 'A': dentries()"},
    {"references() == 1", "12: expected a variable, found ')'"},
    {"references(A.n) == 1", "12: a number has no references"},
    {"references(d) == 1", "12: 'd' means nothing here (did you mean 'A.d'?)"},
    {"references('/a') == 1", "12: expected a variable, found a quoted text"},
    {"failed_allocations(1) == 1", "20: expected ')', found '1': failed_allocations()"},
    {"(A.n == 1)", "1: expected a value, found '('"},
    {"A.n == 1)", "9: an expression is one comparison: ')' is too much; write two expressions"},
    {"A.d == 'unclosed", "8: this quote is never closed"},
};

INSTANTIATE_TEST_SUITE_P(Scenario, WrongExpression, ::testing::ValuesIn(wrong_expressions),
                         [](const auto &instance) { return std::to_string(instance.index); });

} // namespace

} // namespace dcsim::scenario
