// SPDX-License-Identifier: GPL-2.0-only
//
// The model's side: a program that notes the final state of every execution, searched in several
// ways.
#include "differential.h"

#include "dcsim/explore/search.h"
#include "dcsim/scenario/program.h"

namespace dcsim::differential
{

namespace
{

/// Executions of the bounded search and of each sampling strategy.
struct effort {
    uint64_t bounded;
    uint64_t sampled;
};
constexpr effort usual = {1000000, 20000};
/// For searches that are made whole elsewhere, as explore.library.
constexpr effort brief_effort = {100000, 4000};

/// The hooks of a program have one argument, which is the program's own.
scenario_program *recorded;
void (*finally_of_recorded)(void *argument);
std::set<std::string> *states_seen;

void finish_and_record(void *argument)
{
    finally_of_recorded(argument);
    states_seen->insert(recorded->final_state());
}

/// A scenario's program that notes its final states.
class recording_program
{
  public:
    explicit recording_program(const scenario::scenario &scenario)
        : original_(make_scenario_program(scenario)), program_(original_->program())
    {
        original_->record_final_states(true);
        recorded = original_.get();
        finally_of_recorded = program_.finally;
        program_.finally = finish_and_record;
    }

    search_result search(search_options options, std::set<std::string> *states) const
    {
        options.shrink = false;
        states_seen = states;
        return search_program(program_, options);
    }

  private:
    std::unique_ptr<scenario_program> original_;
    model_program program_;
};

void add(const search_result &result, model_outcomes &outcomes)
{
    outcomes.executions += result.executions;
    if (result.outcome == verdict::violated && outcomes.broken.empty())
        outcomes.broken = result.broken.text;
}

} // namespace

model_outcomes explore_model(const scenario::scenario &scenario, bool brief)
{
    const effort most = brief ? brief_effort : usual;
    const recording_program program(scenario);
    model_outcomes outcomes;
    search_options bounded;
    search_options sampled;

    bounded.preemptions = 0;
    bounded.executions = most.bounded;
    add(program.search(bounded, &outcomes.without_preemption), outcomes);
    outcomes.states = outcomes.without_preemption;
    bounded.preemptions = scenario.preemptions;
    const search_result searched = program.search(bounded, &outcomes.states);
    outcomes.complete = searched.outcome == verdict::holds;
    add(searched, outcomes);
    // The machine interrupts more often than the bound allows; so do these.
    sampled.executions = most.sampled;
    for (const strategy how : {strategy::uniform, strategy::pct}) {
        sampled.how = how;
        add(program.search(sampled, &outcomes.states), outcomes);
    }
    return outcomes;
}

} // namespace dcsim::differential
