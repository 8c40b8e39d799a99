// SPDX-License-Identifier: GPL-2.0-only
//
// The signal handler sets a flag; whoever runs for long looks at it.
#include "interruption.h"

#include <atomic>
#include <csignal>

namespace dcsim::cli
{

namespace
{

constinit std::atomic<bool> asked = false;
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may not wait for a lock");

void ask(int)
{
    asked.store(true, std::memory_order_relaxed);
}

} // namespace

void catch_interruption()
{
    struct sigaction action = {};

    // Started in the background by a shell or under nohup: whoever did that wants no interruption.
    if (sigaction(SIGINT, nullptr, &action) == 0 && action.sa_handler == SIG_IGN)
        return;
    action.sa_handler = ask;
    // A run that does not end must not take the user's only way out.
    action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, nullptr);
}

bool interrupted()
{
    return asked.load(std::memory_order_relaxed);
}

} // namespace dcsim::cli
