// SPDX-License-Identifier: GPL-2.0-only
//
// Least-recently-used lists with a walker that lets a callback decide about each item. Source:
// mm/list_lru.c, one memory node and no memory cgroups.
#pragma once

#include "dcsim/annotations.h"
#include "dcsim/kernel/list.h"
#include "dcsim/kernel/spinlock.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// What a walker's callback did with an item, or wants done.
enum lru_status {
    LRU_REMOVED,       ///< item taken off the list
    LRU_REMOVED_RETRY, ///< item taken off and the lock was dropped: start over
    LRU_ROTATE,        ///< item was used: move it to the young end
    LRU_SKIP,          ///< item could not be handled now
    LRU_RETRY,         ///< nothing happened but the lock was dropped: start over
    LRU_STOP,          ///< end the walk
};

/// `lock` guards the list and the count. It nests inside d_lock; a walk's callback runs with it
/// held and may therefore take a d_lock by trylock only.
struct list_lru_one {
    spinlock_t lock;
    list_head list; ///< oldest first
    once<long> nr_items;
};

struct list_lru {
    list_lru_one node;
};

/// How much a shrinker is asked to look at.
struct shrink_control {
    unsigned long nr_to_scan;
};

/// Runs under lru->lock.
using list_lru_walk_cb = lru_status (*)(list_head *item, list_lru_one *lru, void *arg);

void list_lru_init(list_lru *lru, const char *lock_class);
/// Adds an item at the young end. False when it is on a list already.
bool list_lru_add_obj(list_lru *lru, list_head *item);
/// Takes an item off. False when it is on no list.
bool list_lru_del_obj(list_lru *lru, list_head *item);
/// For callbacks: takes the item off the list it is being walked on.
void list_lru_isolate(list_lru_one *lru, list_head *item) __must_hold(&lru->lock);
/// For callbacks: takes the item off and puts it on a private list.
void list_lru_isolate_move(list_lru_one *lru, list_head *item, list_head *head)
    __must_hold(&lru->lock);
/// Items on the list at some moment.
long list_lru_count(const list_lru *lru);
/// Offers at most `nr_to_walk` items, oldest first, to the callback. Returns how many it removed.
unsigned long list_lru_walk(list_lru *lru, list_lru_walk_cb isolate, void *arg,
                            unsigned long nr_to_walk);
/// list_lru_walk() over sc->nr_to_scan items.
unsigned long list_lru_shrink_walk(list_lru *lru, shrink_control *sc, list_lru_walk_cb isolate,
                                   void *arg);

} // namespace dcsim::inline DCSIM_BACKEND
