// SPDX-License-Identifier: GPL-2.0-only
//
// Which kernel's wait protocol the in-lookup dentries follow.
//
// Five ways to wait for another task's ->lookup(), four of them of releases from v4.7 to v7.2 and
// one of a draft; most had a bug of their own. Each is a file, src/vfs/in_lookup_*.cc, that can be
// read from top to bottom and compared with its neighbour; everything else of the dcache is v7.2's
// in every era.
#pragma once

#include "dcsim/config.h"
#include "dcsim/kernel/wait.h"

namespace dcsim::inline DCSIM_BACKEND
{

enum lookup_era {
    ERA_4_7,  ///< the first parallel lookups: the caller's wait queue, woken under the bucket lock
    ERA_4_17, ///< whoever reads an odd i_dir_seq starts over without taking the bucket lock
    ERA_6_0,  ///< the wake-up comes after i_dir_seq is even again
    ERA_V3,   ///< wait_var_event() as posted in April 2026: hashed before the inode is attached
    ERA_7_2,  ///< wait_var_event() as merged
    LOOKUP_ERAS
};

/// "4.7", "4.17", "6.0", "v3", "7.2".
const char *lookup_era_name(lookup_era era);
/// The era of that name, or LOOKUP_ERAS.
lookup_era find_lookup_era(const char *name);
/// The one in use.
lookup_era current_lookup_era();
/// Changes it: 0, -EINVAL for what is no era or, with vfs_config::lookup_outside_rwsem, is one with
/// a caller's queue, -EBUSY while anything is in lookup. Nobody else may use the dcache meanwhile.
/// vfs_init() sets that of its configuration.
int set_lookup_era(lookup_era era);
/// Does d_alloc_parallel() take a wait queue of its caller's in this era?
bool lookup_era_has_caller_queue(lookup_era era);

/// Lock class of those queues.
inline constexpr const char *in_lookup_wait_queue_class = "in-lookup wait queue";

/// The wait queue that a caller of d_alloc_parallel() provided before v7.2: waiters for its lookup
/// sleep on it, so it must live until d_lookup_done(). In other eras it is nothing, and
/// d_alloc_parallel() gets nullptr.
///
/// v4.7 to v7.1 have DECLARE_WAIT_QUEUE_HEAD_ONSTACK() in its place.
class caller_wait_queue
{
  public:
    caller_wait_queue()
    {
        if (unlikely(lookup_era_has_caller_queue(current_lookup_era()))) {
            init_waitqueue_head(&queue_, in_lookup_wait_queue_class);
            head_ = &queue_;
        }
    }
    caller_wait_queue(const caller_wait_queue &) = delete;
    caller_wait_queue &operator=(const caller_wait_queue &) = delete;

    wait_queue_head_t *head()
    {
        return head_;
    }

  private:
    wait_queue_head_t queue_;
    wait_queue_head_t *head_ = nullptr;
};

} // namespace dcsim::inline DCSIM_BACKEND
