// SPDX-License-Identifier: GPL-2.0-only
//
// Held locks and the order of classes.
//
// A class together with a subclass is a node. Taking b while a is held adds the edge a -> b; an
// edge that closes a cycle is a pair of orders that can deadlock. The graph starts anew with every
// execution, so that a report can be replayed from that execution alone.
#include "dcsim/prim/model/lock_order.h"

#include <cstdio>
#include <cstring>

#include "internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

constexpr unsigned max_nodes = 64;
constexpr unsigned max_classes = 40;
constexpr unsigned max_subclasses = 8;

using node_mask = uint64_t;

struct node_name {
    uint8_t lock_class;
    uint8_t subclass;
};

const char *class_names[max_classes] = {"(no class)"};
unsigned classes = 1;
node_name nodes[max_nodes];
unsigned node_count;
uint8_t numbers[max_classes][max_subclasses];
node_mask class_nodes[max_classes]; ///< of all subclasses

struct order_graph {
    node_mask after[max_nodes];  ///< taken at some time while this one was held
    node_mask before[max_nodes]; ///< the same, seen from the inner one
    bool changed;
};
order_graph now;
order_graph at_start;

/// Who took the two in this order first. Means something where `after` has the order.
struct order_origin {
    task_id task;
    uint32_t step;
};
order_origin origins[max_nodes][max_nodes];

uint8_t node_number(uint8_t lock_class, int subclass)
{
    const auto which = static_cast<unsigned>(subclass) % max_subclasses;
    uint8_t &known = numbers[lock_class][which];

    // 0 stands for "none yet": numbers are kept plus one.
    if (known)
        return static_cast<uint8_t>(known - 1);
    if (node_count == max_nodes)
        violate(violation_kind::internal, "more than %u classes of locks", max_nodes);
    nodes[node_count] = {lock_class, static_cast<uint8_t>(which)};
    class_nodes[lock_class] |= node_mask{1} << node_count;
    known = static_cast<uint8_t>(++node_count);
    return static_cast<uint8_t>(known - 1);
}

const char *node_text(uint8_t node)
{
    return class_names[nodes[node].lock_class];
}

/// Whether a chain of orders leads from one node to another.
bool comes_before(uint8_t from, uint8_t to)
{
    node_mask reached = now.after[from];
    node_mask examined = 0;

    while (node_mask open = reached & ~examined) {
        const auto node = static_cast<unsigned>(__builtin_ctzll(open));
        examined |= node_mask{1} << node;
        reached |= now.after[node];
    }
    return reached >> to & 1;
}

void add_order(const held_lock &outer, uint8_t inner, const void *lock)
{
    const uint8_t from = outer.lock_class;

    if (now.after[from] >> inner & 1)
        return;
    if (from == inner)
        violate(violation_kind::lock_order,
                "%s takes %s while it holds %s, of the same class %s, and nothing says in which "
                "order the two are taken",
                current_task().name, address_text(lock), address_text(outer.lock),
                node_text(inner));
    if (comes_before(inner, from)) {
        char other[100] = "over other classes the order is the other way round";
        const order_origin &first = origins[inner][from];
        if (now.after[inner] >> from & 1)
            snprintf(other, sizeof(other), "%s has taken them the other way round after step %u",
                     task_name(first.task), first.step);
        violate(violation_kind::lock_order, "%s takes %s (%s) while it holds %s (%s); %s",
                current_task().name, address_text(lock), node_text(inner), address_text(outer.lock),
                node_text(from), other);
    }
    origins[from][inner] = {current_task().id, execution().step};
    now.after[from] |= node_mask{1} << inner;
    now.before[inner] |= node_mask{1} << from;
    now.changed = true;
}

/// The nodes of the locks that a task holds.
node_mask held_nodes(const task_control &task)
{
    node_mask mask = 0;

    for (uint32_t i = 0; i < task.held_locks; i++)
        mask |= node_mask{1} << task.held[i].lock_class;
    return mask;
}

} // namespace

uint8_t lock_class_number(const char *name)
{
    for (unsigned i = 1; i < classes; i++)
        if (class_names[i] == name)
            return static_cast<uint8_t>(i);
    // The same text from another file, or from a module.
    for (unsigned i = 1; i < classes; i++)
        if (!strcmp(class_names[i], name))
            return static_cast<uint8_t>(i);
    if (classes == max_classes)
        violate(violation_kind::internal, "more than %u classes of locks", max_classes);
    class_names[classes] = name;
    return static_cast<uint8_t>(classes++);
}

const char *lock_class_name(uint8_t node)
{
    return node_text(node);
}

void lock_check_order(const void *lock, uint8_t lock_class, int subclass, bool shared)
{
    task_control &me = current_task();

    if (__builtin_expect(lock_class >= classes, false)) {
        check_access(lock);
        violate(violation_kind::bug, "%s takes %s, which was never initialised", me.name,
                address_text(lock));
    }
    if (!me.held_locks)
        return;
    const uint8_t node = node_number(lock_class, subclass);
    // Nearly always the order is known already, and no lock of this class is held.
    const node_mask held = held_nodes(me);
    if (!(held & ~now.before[node]) && !(held & class_nodes[lock_class]))
        return;
    for (uint32_t i = 0; i < me.held_locks; i++) {
        if (me.held[i].lock == lock && !(shared && me.held[i].shared))
            violate(violation_kind::deadlock, "%s takes %s (%s), which it holds already", me.name,
                    address_text(lock), node_text(node));
        add_order(me.held[i], node, lock);
    }
}

void lock_taken(const void *lock, uint8_t lock_class, int subclass, bool shared, bool spinning)
{
    task_control &me = current_task();

    if (me.held_locks == max_held_locks)
        violate(violation_kind::internal, "%s holds %u locks", me.name, max_held_locks);
    me.held[me.held_locks++] = {lock, node_number(lock_class, subclass), shared, spinning};
}

uint8_t lock_released(const void *lock, const char *what, bool shared)
{
    task_control &me = current_task();

    for (uint32_t i = me.held_locks; i-- > 0;)
        if (me.held[i].lock == lock && me.held[i].shared == shared) {
            const uint8_t node = me.held[i].lock_class;
            for (me.held_locks--; i < me.held_locks; i++)
                me.held[i] = me.held[i + 1];
            return node;
        }
    violate(violation_kind::unbalanced_lock, "%s unlocks the %s %s, which it does not hold",
            me.name, what, address_text(lock));
}

void lock_becomes_outer(const void *lock)
{
    task_control &me = current_task();

    for (uint32_t i = 0; i < me.held_locks; i++)
        if (me.held[i].lock == lock)
            me.held[i].lock_class = node_number(nodes[me.held[i].lock_class].lock_class, 0);
}

bool lock_held_by_me(const void *lock)
{
    const task_control &me = current_task();

    for (uint32_t i = 0; i < me.held_locks; i++)
        if (me.held[i].lock == lock)
            return true;
    return false;
}

void lock_order_snapshot()
{
    now.changed = false;
    at_start = now;
}

void lock_order_restore()
{
    if (now.changed)
        now = at_start;
}

void lock_order_reset()
{
    now = {};
}

} // namespace dcsim::inline DCSIM_BACKEND
