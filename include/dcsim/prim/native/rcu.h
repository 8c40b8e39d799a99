// SPDX-License-Identifier: GPL-2.0-only
//
// Native backend: RCU over liburcu. The library's headers are included by src/prim/native/rcu.cc
// alone, because they define macros with the kernel's names.
//
// Flavour: `memb` by default, `qsbr` with -DDCSIM_RCU_FLAVOUR=qsbr. Threads register themselves on
// their first read-side section and unregister when they exit.
#pragma once

#include <cstddef>

#include "dcsim/annotations.h"
#include "dcsim/prim/native/once.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// RCU read-side protection as a lock the static analysis can follow.
struct __context_lock("RCU") rcu_context{};
inline constinit rcu_context rcu;

/// Room for one pending callback, inside the object that will be freed. Opaque; liburcu's layout.
struct rcu_head {
    void *opaque[2];
};

using rcu_callback_t = void (*)(rcu_head *head);

/// Read-side depth of this thread; spinlocks count as well (see prim/contract.h).
struct rcu_reader_state {
    int nesting;
    bool registered;
};
extern constinit thread_local rcu_reader_state rcu_reader;

void rcu_outermost_read_lock();
void rcu_outermost_read_unlock();

inline void rcu_read_lock() __acquires_shared(rcu) __context_unsafe("implements the lock")
{
    if (rcu_reader.nesting++ == 0)
        rcu_outermost_read_lock();
}

inline void rcu_read_unlock() __releases_shared(rcu) __context_unsafe("implements the lock")
{
    if (--rcu_reader.nesting == 0)
        rcu_outermost_read_unlock();
}

inline bool rcu_read_lock_held()
{
    return rcu_reader.nesting != 0;
}

/// Runs `callback(head)` in another thread after a grace period. `head` must stay alive until then.
void call_rcu(rcu_head *head, rcu_callback_t callback);
/// Waits for a grace period. Sleeps; must not be called inside a read-side section.
void synchronize_rcu();
/// Waits until every callback queued so far has run. Sleeps.
void rcu_barrier();

/// Name of the liburcu flavour this library was built with.
const char *rcu_flavour();

template <typename T>
inline T *rcu_dereference(const once<T *> &pointer)
{
    return __atomic_load_n(pointer.word(), __ATOMIC_ACQUIRE);
}

template <typename T>
inline void rcu_assign_pointer(once<T *> &pointer, std::type_identity_t<T *> value)
{
    __atomic_store_n(pointer.word(), value, __ATOMIC_RELEASE);
}

} // namespace dcsim::inline DCSIM_BACKEND
