// SPDX-License-Identifier: GPL-2.0-only
//
// Hash chains with a lock in bit 0 of the head word. Source: include/linux/list_bl.h and
// rculist_bl.h.
//
// Two properties that the dcache leans on: a removed node keeps its `next`, so a reader standing on
// it walks on; and `pprev == nullptr` is the definition of "not on a chain".
#pragma once

#include "dcsim/annotations.h"
#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/once.h"
#include "dcsim/kernel/rcupdate.h"
#include "dcsim/kernel/spinlock.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct hlist_bl_node {
    once<hlist_bl_node *> next;
    once<once<hlist_bl_node *> *> pprev;
};

/// Bit 0 of `first` guards the chain: whoever holds it may add and remove nodes. It is a leaf: no
/// other lock may be taken under it.
struct __context_lock("hlist_bl") hlist_bl_head
{
    once<hlist_bl_node *> first;
};

/// `first` without the lock bit.
inline hlist_bl_node *hlist_bl_pointer(hlist_bl_node *first)
{
    return reinterpret_cast<hlist_bl_node *>(reinterpret_cast<uintptr_t>(first) & ~uintptr_t{1});
}

inline hlist_bl_node *hlist_bl_with_lock_bit(hlist_bl_node *first)
{
    return reinterpret_cast<hlist_bl_node *>(reinterpret_cast<uintptr_t>(first) | 1);
}

inline void INIT_HLIST_BL_HEAD(hlist_bl_head *head)
{
    WRITE_LOCKED(head->first, nullptr);
}

inline void INIT_HLIST_BL_NODE(hlist_bl_node *node)
{
    WRITE_LOCKED(node->next, nullptr);
    WRITE_LOCKED(node->pprev, nullptr);
}

/// Lockless: RCU walkers ask this about candidates.
inline bool hlist_bl_unhashed(const hlist_bl_node *node)
{
    return !READ_ONCE(node->pprev);
}

inline bool hlist_bl_empty(const hlist_bl_head *head)
{
    return !hlist_bl_pointer(READ_ONCE(head->first));
}

inline void hlist_bl_lock(hlist_bl_head *head) __acquires(head)
    __context_unsafe("implements the lock")
{
    bit_spin_lock(&head->first);
}

inline void hlist_bl_unlock(hlist_bl_head *head) __releases(head)
    __context_unsafe("implements the lock")
{
    bit_spin_unlock(&head->first);
}

inline bool hlist_bl_is_locked(const hlist_bl_head *head)
{
    return bit_spin_is_locked(&head->first);
}

/// First node, for a walk under the lock.
inline hlist_bl_node *hlist_bl_first(const hlist_bl_head *head)
{
    return hlist_bl_pointer(READ_LOCKED(head->first));
}

/// First node, for a walk under RCU. Pairs with the release in hlist_bl_add_head_rcu().
inline hlist_bl_node *hlist_bl_first_rcu(const hlist_bl_head *head)
{
    return hlist_bl_pointer(rcu_dereference(head->first));
}

inline hlist_bl_node *hlist_bl_next(const hlist_bl_node *node)
{
    return READ_LOCKED(node->next);
}

inline hlist_bl_node *hlist_bl_next_rcu(const hlist_bl_node *node)
{
    return rcu_dereference(node->next);
}

/// Adds under the lock to a chain that is only ever walked under the lock.
inline void hlist_bl_add_head(hlist_bl_node *node, hlist_bl_head *head) __must_hold(head)
{
    hlist_bl_node *first = hlist_bl_first(head);

    WRITE_LOCKED(node->next, first);
    if (first)
        WRITE_LOCKED(first->pprev, &node->next);
    WRITE_LOCKED(node->pprev, &head->first);
    WRITE_LOCKED(head->first, hlist_bl_with_lock_bit(node));
}

/// Adds under the lock to a chain that RCU readers walk: a reader that finds the node finds it
/// complete.
inline void hlist_bl_add_head_rcu(hlist_bl_node *node, hlist_bl_head *head) __must_hold(head)
{
    hlist_bl_node *first = hlist_bl_first(head);

    WRITE_ONCE(node->next, first);
    if (first)
        WRITE_ONCE(first->pprev, &node->next);
    WRITE_ONCE(node->pprev, &head->first);
    rcu_assign_pointer(head->first, hlist_bl_with_lock_bit(node));
}

/// Unlinks under the lock of the chain. The node's `next` still leads on, its `pprev` is stale.
inline void __hlist_bl_del(hlist_bl_node *node)
{
    hlist_bl_node *next = READ_LOCKED(node->next);
    once<hlist_bl_node *> *pprev = READ_LOCKED(node->pprev);
    bool held = reinterpret_cast<uintptr_t>(READ_LOCKED(*pprev)) & 1;

    // Only the head carries the lock bit, and it must survive.
    WRITE_ONCE(*pprev, held ? hlist_bl_with_lock_bit(next) : next);
    if (next)
        WRITE_ONCE(next->pprev, pprev);
}

} // namespace dcsim::inline DCSIM_BACKEND
