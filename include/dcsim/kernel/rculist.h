// SPDX-License-Identifier: GPL-2.0-only
//
// hlist chains that RCU readers walk while a lock holder changes them. Source:
// include/linux/rculist.h.
#pragma once

#include "dcsim/annotations.h"
#include "dcsim/kernel/list.h"
#include "dcsim/kernel/rcupdate.h"

namespace dcsim::inline DCSIM_BACKEND
{

inline hlist_node *hlist_first_rcu(const hlist_head *head)
{
    return rcu_dereference(head->first);
}

inline hlist_node *hlist_next_rcu(const hlist_node *node)
{
    return rcu_dereference(node->next);
}

/// hlist_unhashed() without the lock of the chain.
inline bool hlist_unhashed_lockless(const hlist_node *node)
{
    return !READ_ONCE(node->pprev);
}

/// Adds under the lock of the chain: a reader that finds the node finds it complete.
inline void hlist_add_head_rcu(hlist_node *node, hlist_head *head)
{
    hlist_node *first = READ_LOCKED(head->first);

    WRITE_ONCE(node->next, first);
    WRITE_ONCE(node->pprev, &head->first);
    rcu_assign_pointer(head->first, node);
    if (first)
        WRITE_ONCE(first->pprev, &node->next);
}

/// Removes under the lock of the chain. `next` stays, for the reader who stands on the node.
inline void hlist_del_init_rcu(hlist_node *node)
{
    if (hlist_unhashed(node))
        return;
    __hlist_del(node);
    WRITE_ONCE(node->pprev, nullptr);
}

} // namespace dcsim::inline DCSIM_BACKEND
