// SPDX-License-Identifier: GPL-2.0-only
//
// Model backend: RCU. A callback may run once every reader that was inside when it was queued has
// left; when it does is the scheduler's choice, because a task of the system's own runs it. A grace
// period can thus end at the first moment that is legal, or as late as the search likes.
#pragma once

#include "dcsim/annotations.h"
#include "dcsim/prim/model/once.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct __context_lock("RCU") rcu_context{};
inline constinit rcu_context rcu;

/// Room for one pending callback, as large as the native backend's.
struct rcu_head {
    void *opaque[2];
};

using rcu_callback_t = void (*)(rcu_head *head);

/// Enter and leave a read-side section without a schedule point: a lock's own one comes first.
void rcu_enter();
void rcu_leave();

void rcu_read_lock() __acquires_shared(rcu) __context_unsafe("implements the lock");
void rcu_read_unlock() __releases_shared(rcu) __context_unsafe("implements the lock");

inline bool rcu_read_lock_held()
{
    return current_task().atomic_depth != 0;
}

void call_rcu(rcu_head *head, rcu_callback_t callback);
void synchronize_rcu();
void rcu_barrier();
const char *rcu_flavour();

/// Body of the task that ends grace periods.
void rcu_task_body();
/// Forgets all callbacks: a new execution begins.
void rcu_reset();
/// Whether some callback may run now.
bool rcu_callback_ready();

template <typename T>
inline T *rcu_dereference(const once<T *> &pointer)
{
    return READ_ONCE(pointer);
}

template <typename T>
inline void rcu_assign_pointer(once<T *> &pointer, std::type_identity_t<T *> value)
{
    WRITE_ONCE(pointer, value);
}

} // namespace dcsim::inline DCSIM_BACKEND
