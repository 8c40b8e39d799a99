// SPDX-License-Identifier: GPL-2.0-only
//
// Linux v6.12 mm/list_lru.c.
#include "dcsim/kernel/list_lru.h"

namespace dcsim::inline DCSIM_BACKEND
{

void list_lru_init(list_lru *lru, const char *lock_class)
{
    spin_lock_init(&lru->node.lock, lock_class);
    INIT_LIST_HEAD(&lru->node.list);
    WRITE_ONCE(lru->node.nr_items, 0);
}

bool list_lru_add_obj(list_lru *lru, list_head *item)
{
    list_lru_one *one = &lru->node;
    bool added = false;

    spin_lock(&one->lock);
    if (list_empty(item)) {
        list_add_tail(item, &one->list);
        ++one->nr_items;
        added = true;
    }
    spin_unlock(&one->lock);
    return added;
}

bool list_lru_del_obj(list_lru *lru, list_head *item)
{
    list_lru_one *one = &lru->node;
    bool removed = false;

    spin_lock(&one->lock);
    if (!list_empty(item)) {
        list_del_init(item);
        --one->nr_items;
        removed = true;
    }
    spin_unlock(&one->lock);
    return removed;
}

void list_lru_isolate(list_lru_one *lru, list_head *item)
{
    list_del_init(item);
    --lru->nr_items;
}

void list_lru_isolate_move(list_lru_one *lru, list_head *item, list_head *head)
{
    list_move(item, head);
    --lru->nr_items;
}

long list_lru_count(const list_lru *lru)
{
    long count = READ_ONCE(lru->node.nr_items);
    return count > 0 ? count : 0;
}

unsigned long list_lru_walk(list_lru *lru, list_lru_walk_cb isolate, void *arg,
                            unsigned long nr_to_walk)
{
    list_lru_one *one = &lru->node;
    unsigned long isolated = 0;

    spin_lock(&one->lock);
restart:
    for (list_head *item = list_first(&one->list); item != &one->list && nr_to_walk;) {
        list_head *next = list_next(item);

        nr_to_walk--;
        switch (isolate(item, one, arg)) {
        case LRU_REMOVED_RETRY:
            // The callback dropped the lock and took it again: `next` may be gone.
            isolated++;
            goto restart;
        case LRU_REMOVED:
            isolated++;
            break;
        case LRU_ROTATE:
            list_move_tail(item, &one->list);
            break;
        case LRU_SKIP:
            break;
        case LRU_RETRY:
            goto restart;
        case LRU_STOP:
            nr_to_walk = 0;
            break;
        }
        item = next;
    }
    spin_unlock(&one->lock);
    return isolated;
}

unsigned long list_lru_shrink_walk(list_lru *lru, shrink_control *sc, list_lru_walk_cb isolate,
                                   void *arg)
{
    return list_lru_walk(lru, isolate, arg, sc->nr_to_scan);
}

} // namespace dcsim::inline DCSIM_BACKEND
