// SPDX-License-Identifier: GPL-2.0-only
//
// Is there an order of what happened that explains what came of it?
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dcsim/scenario/oracle/file_tree.h"
#include "dcsim/scenario/oracle/operation.h"

namespace dcsim::scenario::oracle
{

/// A call that ended. `begin` and `end` are moments on one clock.
struct event {
    const call *what = nullptr;
    answer result;
    uint64_t begin = 0;
    uint64_t end = 0;
};

/// Is there an interleaving of the operations' moments, starting from `tree`, that gives every call
/// its answer and ends with what is on `disks`? A call that ended before another began comes before
/// it. `disks` may be nullptr: then any end will do.
bool is_explained(const file_tree &tree, const std::vector<event> &events,
                  const std::vector<disk_listing> *disks);

/// Carries one call out alone. False when its answer is not `observed`.
bool carry_out(file_tree &tree, const call &what, const answer &observed);

/// What makes a scenario one that the oracle cannot judge, in words; "" when it can.
std::string beyond_the_oracle(const scenario &of);

} // namespace dcsim::scenario::oracle
