// SPDX-License-Identifier: GPL-2.0-only
//
// Whether what the tasks got fits an order of their operations: between the world and the oracle.
// Lives in ordinary memory and knows the histories it has judged before, because most executions
// of a search come to one of a few.
#pragma once

#include <string>
#include <unordered_set>
#include <vector>

#include "dcsim/scenario/oracle/linearize.h"
#include "dcsim/scenario/world.h"
#include "state.h"

namespace dcsim::inline DCSIM_BACKEND
{

class world_judge
{
  public:
    explicit world_judge(const scenario::scenario &scenario);

    /// The disk is filled and nothing has happened yet.
    void begin(super_block *sb);
    /// A step of [setup] ended. False when it cannot have ended like this.
    bool setup_step(const scenario::step &step, const world_operation &outcome);
    /// [setup] is over: the tasks are where it left them.
    void begin_tasks();
    /// All tasks are done. "" when all is explained, else what is not, in words.
    std::string judge(const world_state &state);

  private:
    struct known_call {
        scenario::oracle::call call;
        const scenario::step *step;
        size_t index; ///< in world_state::operations
    };

    void list_disks(const world_state &state);
    void write_key(const world_state &state);
    std::vector<scenario::oracle::event> events(const world_state &state) const;
    std::string complaint(const world_state &state) const;
    std::string cache_complaint(const world_state &state) const;

    const scenario::scenario &scenario_;
    std::vector<known_call> calls_;
    scenario::oracle::file_tree tree_;
    std::vector<scenario::oracle::disk_listing> disks_;
    std::unordered_set<std::string> explained_;
    std::string key_;
};

/// A step as the oracle's call.
scenario::oracle::call call_of(const scenario::scenario &scenario, const scenario::step &step,
                               int process);

} // namespace dcsim::inline DCSIM_BACKEND
