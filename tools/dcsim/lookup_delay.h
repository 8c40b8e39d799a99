// SPDX-License-Identifier: GPL-2.0-only
//
// A slow disk that can be switched on and off: each ->lookup() sleeps for the set time before it
// answers. Off while the cache is warmed up and while the tree is verified.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <ctime>

#include "dcsim/mockfs/mock_filesystem.h"

namespace dcsim::cli
{

class lookup_delay
{
  public:
    void set_microseconds(uint64_t microseconds)
    {
        microseconds_.store(microseconds, std::memory_order_relaxed);
    }

    /// For mock_mount_options::before_lookup; the argument is the lookup_delay.
    static int before_lookup(void *argument, inode *, dentry *)
    {
        const uint64_t delay =
            static_cast<lookup_delay *>(argument)->microseconds_.load(std::memory_order_relaxed);

        if (delay != 0) {
            timespec left = {static_cast<time_t>(delay / 1000000),
                             static_cast<long>(delay % 1000000 * 1000)};
            while (nanosleep(&left, &left) != 0 && errno == EINTR)
                ;
        }
        return 0;
    }

  private:
    std::atomic<uint64_t> microseconds_ = 0;
};

} // namespace dcsim::cli
