// SPDX-License-Identifier: GPL-2.0-only
//
// A reader and a reclaimer that meet in a fixed order which ThreadSanitizer cannot see: they signal
// each other by relaxed accesses, so only RCU can order the reader's plain read before whatever is
// done to the object afterwards. (once<> would order them: under the sanitizer its accesses are
// acquire and release.)
#pragma once

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <thread>

#include <sched.h>

#include "dcsim/kernel/rcupdate.h"
#include "dcsim/kernel/spinlock.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct object {
    long payload;
    rcu_head head;
};

/// Set by one thread and awaited by the other, without ordering anything else.
class unordered_signal
{
  public:
    void set()
    {
        is_set_.store(true, std::memory_order_relaxed);
    }
    void wait() const
    {
        while (!is_set_.load(std::memory_order_relaxed))
            sched_yield();
    }

  private:
    std::atomic<bool> is_set_{false};
};

inline object *make_object()
{
    auto *fresh = static_cast<object *>(kmalloc(sizeof(object)));

    if (!fresh)
        abort();
    fresh->payload = 42;
    return fresh;
}

/// Set by the reader once it has read.
inline unordered_signal was_read;

inline void use(const object *object)
{
    if (object->payload != 42)
        abort();
    was_read.set();
}

struct way_to_reclaim {
    const char *name;
    void (*read)(const object *shared);
    void (*reclaim)(object *shared);
};

/// Runs the way that the command line names.
inline int run(int argc, char **argv, std::span<const way_to_reclaim> ways)
{
    for (const way_to_reclaim &way : ways) {
        if (argc != 2 || strcmp(argv[1], way.name) != 0)
            continue;
        object *shared = make_object();
        std::thread reader(way.read, shared);
        was_read.wait();
        way.reclaim(shared);
        reader.join();
        return 0;
    }
    fprintf(stderr, "no such way to reclaim\n");
    return 2;
}

} // namespace dcsim::inline DCSIM_BACKEND
