// SPDX-License-Identifier: GPL-2.0-only
//
// RCU, from the backend, and kfree_rcu().
#pragma once

#include "dcsim/annotations.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/kernel/types.h"
#include "dcsim/prim/prim.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// Frees a kmalloc()ed object after a grace period. T has an rcu_head member called `head`.
template <typename T>
inline void kfree_rcu(T *object)
{
    call_rcu(&object->head, [](rcu_head *head) { kfree(container_of(head, T, head)); });
}

} // namespace dcsim::inline DCSIM_BACKEND
