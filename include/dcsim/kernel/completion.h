// SPDX-License-Identifier: GPL-2.0-only
//
// Completions: wait until somebody says "done". Source: kernel/sched/completion.c.
#pragma once

#include "dcsim/kernel/wait.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// May live on the waiter's stack: complete() touches it only under wait.lock, which the waiter
/// takes before it returns.
struct completion {
    unsigned done; ///< under wait.lock: completions not yet waited for
    wait_queue_head wait;
};

void init_completion(completion *x);
/// Lets one waiter, present or future, go on.
void complete(completion *x);
/// Sleeps until complete() was called once for this waiter.
void wait_for_completion(completion *x);

} // namespace dcsim::inline DCSIM_BACKEND
