// SPDX-License-Identifier: GPL-2.0-only
//
// A place in one thread's way where a test holds it.
//
// The thread calls pass() somewhere inside a callback; the test learns that it is there, looks
// around with everything standing still, and lets it go on. Nothing depends on how long anything
// takes.
#pragma once

#include <atomic>
#include <semaphore>

#include <sched.h>

#include "dcsim/config.h"

namespace dcsim::inline DCSIM_BACKEND
{

class gate
{
  public:
    /// For the held thread: tells that it has come, and waits until it may go on.
    void pass()
    {
        if (open_)
            return;
        arrived_.release();
        permits_.acquire();
    }

    /// For the test: waits until somebody is at the gate whom nobody has waited for yet.
    void wait_for_arrival()
    {
        arrived_.acquire();
    }
    /// Lets one thread through.
    void let_one_pass()
    {
        permits_.release();
    }
    /// Lets everybody through, now and later. `held` threads are at the gate or on the way to it.
    void open(int held = 0)
    {
        open_ = true;
        permits_.release(held);
    }

  private:
    std::atomic<bool> open_{false};
    std::counting_semaphore<> arrived_{0};
    std::counting_semaphore<> permits_{0};
};

/// Waits for something that another thread is bound to do.
template <typename Condition>
void wait_until(Condition condition)
{
    while (!condition())
        sched_yield();
}

} // namespace dcsim::inline DCSIM_BACKEND
