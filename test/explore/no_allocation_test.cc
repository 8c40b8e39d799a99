// SPDX-License-Identifier: GPL-2.0-only
//
// Searching takes nothing from the C++ heap once its own tables have grown: everything that an
// execution needs is in the arena. Counted where the memory comes from, at malloc().
#include <cstdlib>
#include <memory>

#include <gtest/gtest.h>

#include "dcsim/explore/strategies.h"
#include "dcsim/prim/model/engine.h"
#include "dcsim/scenario/library.h"
#include "dcsim/scenario/program.h"
#include "sanitizers.h"

namespace
{

uint64_t calls;

} // namespace

// A sanitizer has a heap of its own.
#if !DCSIM_ASAN && defined(__GLIBC__)
extern "C" {
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

void *malloc(size_t size)
{
    calls++;
    return __libc_malloc(size);
}
void *calloc(size_t count, size_t size)
{
    calls++;
    return __libc_calloc(count, size);
}
void *realloc(void *memory, size_t size)
{
    calls++;
    return __libc_realloc(memory, size);
}
}
#endif

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

constexpr int executions = 2000;

void run_some(search_scheduler &scheduler)
{
    for (int i = 0; i < executions && scheduler.begin_execution(); i++) {
        engine_run(scheduler, {}, nullptr);
        scheduler.execution_ended(execution().step);
    }
}

/// Calls of malloc() in the second half of a search.
uint64_t calls_of_search(const model_program &program, search_scheduler &scheduler)
{
    EXPECT_TRUE(engine_load(program, carrier_kind::fibers));
    run_some(scheduler);
    const uint64_t before = calls;
    run_some(scheduler);
    const uint64_t during = calls - before;
    engine_unload();
    return during;
}

class Exploring : public ::testing::TestWithParam<const char *>
{
  protected:
    void SetUp() override
    {
        const uint64_t before = calls;
        std::make_unique<int[]>(100);
        if (calls == before)
            GTEST_SKIP() << "calls of malloc() cannot be counted in this build";
    }
};

TEST_P(Exploring, TakesNothingFromTheHeap)
{
    const scenario::scenario scenario = scenario::load_scenario(GetParam());
    const auto program = make_scenario_program(scenario);

    EXPECT_LE(calls_of_search(program->program(), *make_round_robin(2 * executions)), 2u);
    EXPECT_LE(calls_of_search(program->program(), *make_uniform(1)), 2u);
    EXPECT_LE(calls_of_search(program->program(), *make_pct(1, 0)), 2u);
    EXPECT_LE(calls_of_search(program->program(), *make_preemption_bounding(2)), 2u);
    // What its nodes keep of a step grows with the longest step so far.
    EXPECT_LT(calls_of_search(program->program(), *make_depth_first()), executions / 20u);
}

// Those with a sleeper, with failing calls, with memory that is freed under readers.
INSTANTIATE_TEST_SUITE_P(Scenarios, Exploring,
                         ::testing::Values("parallel-lookup", "failing-lookup", "lookup-vs-shrink",
                                           "lookup-vs-rename"),
                         [](const auto &info) {
                             std::string name = info.param;
                             std::erase(name, '-');
                             return name;
                         });

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
