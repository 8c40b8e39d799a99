// SPDX-License-Identifier: GPL-2.0-only
//
// Schedules as text: `v1-1f0c93ab:A57B130A22`. Task A for 57 steps, then B for 130, then A again;
// `r` is RCU's task. Behind a `!`, the answers other than 0 that value choices got: `!3=1`. In
// front, a hash of the scenario and of the source the port was built from, so that a token of
// something else is told apart from a bug that has gone.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "dcsim/prim/model/engine.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct schedule_token {
    uint32_t hash;
    schedule_record schedule;
};

std::string format_token(const schedule_token &token, unsigned tasks);

/// Reads a token for a program of `tasks` tasks. Returns "" or what is wrong with it.
std::string parse_token(std::string_view text, unsigned tasks, schedule_token *token);

} // namespace dcsim::inline DCSIM_BACKEND
