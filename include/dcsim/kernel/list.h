// SPDX-License-Identifier: GPL-2.0-only
//
// The kernel's two lists for lock-protected chains: list_head, a ring with its head in it, and
// hlist, a chain with a one-word head.
//
// The ring's pointer surgery is Boost.Intrusive's circular list algorithm. The chain is ours:
// dcache depends on two properties that ready-made hooks do not have, removal without the head, and
// a removed node that keeps its `next` (d_walk() resumes from it).
#pragma once

#include <boost/intrusive/circular_list_algorithms.hpp>

#include "dcsim/kernel/once.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// `next` may be read without the lock by list_empty(). `prev` may not, and is plain, so that a
/// sanitizer sees whoever changes a list without its lock.
struct list_head {
    once<list_head *> next;
    once<list_head *> prev;
};

/// How Boost's algorithms reach the links. Every change happens under the lock of the list.
struct list_node_traits {
    using node = list_head;
    using node_ptr = list_head *;
    using const_node_ptr = const list_head *;

    static node_ptr get_next(const_node_ptr node)
    {
        return READ_LOCKED(node->next);
    }
    static void set_next(node_ptr node, node_ptr next)
    {
        WRITE_LOCKED(node->next, next);
    }
    static node_ptr get_previous(const_node_ptr node)
    {
        return READ_LOCKED(node->prev);
    }
    static void set_previous(node_ptr node, node_ptr previous)
    {
        WRITE_LOCKED(node->prev, previous);
    }
};
using list_algorithms = boost::intrusive::circular_list_algorithms<list_node_traits>;

inline void INIT_LIST_HEAD(list_head *list)
{
    list_algorithms::init_header(list);
}

/// May be asked without the lock; the answer is then only a hint.
inline bool list_empty(const list_head *list)
{
    return READ_ONCE(list->next) == list;
}

inline void list_add(list_head *entry, list_head *head)
{
    list_algorithms::link_after(head, entry);
}

inline void list_add_tail(list_head *entry, list_head *head)
{
    list_algorithms::link_before(head, entry);
}

inline void list_del_init(list_head *entry)
{
    list_algorithms::unlink(entry);
    INIT_LIST_HEAD(entry);
}

inline void list_move(list_head *entry, list_head *head)
{
    list_algorithms::unlink(entry);
    list_add(entry, head);
}

inline void list_move_tail(list_head *entry, list_head *head)
{
    list_algorithms::unlink(entry);
    list_add_tail(entry, head);
}

/// Everything on `list` to the front of `head`; `list` is empty then.
inline void list_splice_init(list_head *list, list_head *head)
{
    if (list_empty(list))
        return;
    list_algorithms::transfer(READ_LOCKED(head->next), READ_LOCKED(list->next), list);
}

inline list_head *list_first(const list_head *head)
{
    return READ_LOCKED(head->next);
}

inline list_head *list_last(const list_head *head)
{
    return READ_LOCKED(head->prev);
}

inline list_head *list_next(const list_head *entry)
{
    return READ_LOCKED(entry->next);
}

struct hlist_node {
    once<hlist_node *> next;
    once<once<hlist_node *> *> pprev;
};

struct hlist_head {
    once<hlist_node *> first;
};

inline void INIT_HLIST_HEAD(hlist_head *head)
{
    WRITE_LOCKED(head->first, nullptr);
}

inline void INIT_HLIST_NODE(hlist_node *node)
{
    WRITE_LOCKED(node->next, nullptr);
    WRITE_LOCKED(node->pprev, nullptr);
}

inline bool hlist_unhashed(const hlist_node *node)
{
    return !READ_LOCKED(node->pprev);
}

/// May be asked without the lock; the answer is then only a hint.
inline bool hlist_empty(const hlist_head *head)
{
    return !READ_ONCE(head->first);
}

inline void hlist_add_head(hlist_node *node, hlist_head *head)
{
    hlist_node *first = READ_LOCKED(head->first);

    WRITE_LOCKED(node->next, first);
    if (first)
        WRITE_LOCKED(first->pprev, &node->next);
    WRITE_ONCE(head->first, node);
    WRITE_LOCKED(node->pprev, &head->first);
}

/// `prev` must be on a list.
inline void hlist_add_behind(hlist_node *node, hlist_node *prev)
{
    hlist_node *next = READ_LOCKED(prev->next);

    WRITE_LOCKED(node->next, next);
    WRITE_ONCE(prev->next, node);
    WRITE_LOCKED(node->pprev, &prev->next);
    if (next)
        WRITE_LOCKED(next->pprev, &node->next);
}

/// `next` must be on a list.
inline void hlist_add_before(hlist_node *node, hlist_node *next)
{
    once<hlist_node *> *pprev = READ_LOCKED(next->pprev);

    WRITE_LOCKED(node->pprev, pprev);
    WRITE_LOCKED(node->next, next);
    WRITE_LOCKED(next->pprev, &node->next);
    WRITE_ONCE(*pprev, node);
}

/// Unlinks without touching the node: its `next` still leads on, its `pprev` is stale.
inline void __hlist_del(hlist_node *node)
{
    hlist_node *next = READ_LOCKED(node->next);
    once<hlist_node *> *pprev = READ_LOCKED(node->pprev);

    WRITE_ONCE(*pprev, next);
    if (next)
        WRITE_LOCKED(next->pprev, pprev);
}

inline void hlist_del_init(hlist_node *node)
{
    if (hlist_unhashed(node))
        return;
    __hlist_del(node);
    INIT_HLIST_NODE(node);
}

/// Everything on `from` to `to`, which need not be initialised; `from` is empty then.
inline void hlist_move_list(hlist_head *from, hlist_head *to)
{
    hlist_node *first = READ_LOCKED(from->first);

    WRITE_LOCKED(to->first, first);
    if (first)
        WRITE_LOCKED(first->pprev, &to->first);
    WRITE_LOCKED(from->first, nullptr);
}

inline hlist_node *hlist_first(const hlist_head *head)
{
    return READ_LOCKED(head->first);
}

inline hlist_node *hlist_next(const hlist_node *node)
{
    return READ_LOCKED(node->next);
}

} // namespace dcsim::inline DCSIM_BACKEND
