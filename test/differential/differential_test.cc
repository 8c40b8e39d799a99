// SPDX-License-Identifier: GPL-2.0-only
//
// Do native threads and the model agree on what can come of a scenario? Also the proof that one
// program can have both backends in it.
#include "differential.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "dcsim/scenario/library.h"

namespace dcsim::differential
{

namespace
{

struct test_case {
    std::string scenario; ///< name or file
    std::string variant;
    /// The same race as in another case, in another era, or one on another file system than memfs.
    bool brief;
};

/// Names the case for a ctest.
std::string name_of(const ::testing::TestParamInfo<test_case> &info)
{
    std::string name = std::filesystem::path(info.param.scenario).stem();

    if (!info.param.variant.empty())
        name += "_" + info.param.variant;
    std::replace_if(
        name.begin(), name.end(), [](unsigned char c) { return !isalnum(c); }, '_');
    return name;
}

/// Rounds on native threads. In brief cases it is enough that threads end as they can in the model:
/// the same race in another era ends in the same ways, and file systems other than memfs have so
/// many cases that all of them at full length take longer than the rest of the test suite.
constexpr uint64_t usual_rounds = 20000;
constexpr uint64_t rounds_in_brief = 3000;

/// The file itself and its variants, on whatever file system and in whatever era, but for those
/// that are expected to break a rule: they are about a patched port, or about a bug of their era
/// that would end the native run, in a deadlock say, and not show in how it ends. Brief variants
/// only with DCSIM_DIFFERENTIAL_ALL in the environment: they are a hundred.
void add_cases(const std::string &name, std::vector<test_case> &cases)
{
    const scenario::scenario file = scenario::load_scenario(name);

    cases.push_back({name, "", file.file_system != "memfs"});
    for (const scenario::variant &variant : file.variants) {
        const bool brief = variant.era != file.era || variant.file_system != "memfs";

        if (!variant.expect.violated && (!brief || getenv("DCSIM_DIFFERENTIAL_ALL")))
            cases.push_back({name, variant.name, brief});
    }
}

void add_files(const char *directory, std::vector<test_case> &cases)
{
    std::vector<std::string> files;

    for (const auto &entry : std::filesystem::directory_iterator(directory))
        if (entry.path().extension() == ".toml")
            files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    for (const std::string &file : files)
        add_cases(file, cases);
}

/// What comes with dcsim, the exhibits without their bugs, and some that can end in many ways.
std::vector<test_case> all_cases()
{
    std::vector<test_case> cases;

    for (const scenario::shipped_scenario &shipped : scenario::shipped_scenarios())
        add_cases(shipped.name, cases);
    add_files(DCSIM_MUSEUM, cases);
    add_files(DCSIM_MANY_ENDS, cases);
    return cases;
}

/// Can native threads be expected to come to every final state that needs no preemption?
///
/// Such a state comes from tasks that run one after the other, and switch where one has to wait.
/// The random delays of `run_rounds` make some tasks begin when others are done, in every order, so
/// each order of two or three tasks is there many times in thousands of rounds. With more tasks,
/// orders become rare; and of several failing allocations natively only one ever fails. States that
/// need a preemption are not expected: the window may be two instructions wide.
bool reliably_reached(const scenario::scenario &scenario)
{
    const auto with_steps =
        std::count_if(scenario.tasks.begin(), scenario.tasks.end(),
                      [](const scenario::task &task) { return !task.steps.empty(); });

    return with_steps <= 3 && !scenario.failing_allocations;
}

void print(const model_outcomes &model, const native_outcomes &native)
{
    printf("%llu rounds, %llu executions%s; final states:\n",
           static_cast<unsigned long long>(native.rounds),
           static_cast<unsigned long long>(model.executions),
           model.complete ? "" : " (the search was cut short)");
    for (const std::string &state : model.states) {
        const auto seen = native.states.find(state);
        const bool plain = model.without_preemption.contains(state);

        printf("  %9llu natively  %s%s\n",
               static_cast<unsigned long long>(seen == native.states.end() ? 0 : seen->second),
               state.c_str(), plain ? "" : "  (needs a preemption)");
    }
}

class Differential : public ::testing::TestWithParam<test_case>
{
};

TEST_P(Differential, FinalStates)
{
    const scenario::scenario scenario =
        scenario::load_scenario(GetParam().scenario, GetParam().variant);
    const model_outcomes model = explore_model(scenario, GetParam().brief);
    const native_outcomes native =
        run_natively(scenario, GetParam().brief ? rounds_in_brief : usual_rounds);

    print(model, native);
    EXPECT_EQ(model.broken, "");
    for (const std::string &text : native.broken)
        ADD_FAILURE() << "natively: " << text;
    for (const auto &[state, times] : native.states) {
        if (model.states.contains(state))
            continue;
        // A search that was cut short says nothing about what it has not seen.
        EXPECT_FALSE(model.complete) << "native threads came " << times
                                     << " times to a state that is not in the model: " << state;
        printf("  %9llu natively  %s  (NOT in the model)\n", static_cast<unsigned long long>(times),
               state.c_str());
    }
    for (const std::string &state : model.without_preemption) {
        EXPECT_TRUE(native.states.contains(state) || GetParam().brief ||
                    !reliably_reached(scenario))
            << "native threads never came to a state that needs no preemption: " << state;
    }
}

INSTANTIATE_TEST_SUITE_P(Scenario, Differential, ::testing::ValuesIn(all_cases()), name_of);

} // namespace

} // namespace dcsim::differential
