// SPDX-License-Identifier: GPL-2.0-only
//
// Rules about dentries in lookup, their table, i_dir_seq and those who wait.
//
// In lookup and not in the table is the dentry that a running d_alloc_parallel() has made but not
// yet handed out, or is throwing away again because another one turned up. Tree walks can see it as
// a child, and a pruning one may put it on its list while it is thrown away.
#include <cstring>

#include "dcache_checker_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// A task that sleeps until the lookup of a dentry is over, or nullptr.
const task_control *sleeper_for_lookup(const dentry *dentry)
{
    const wait_queue_head *queue = __var_waitqueue(&dentry->d_flags);

    for (list_head *at = glance(queue->head.next); at != &queue->head; at = glance(at->next)) {
        const auto *waiter = container_of(at, wait_var_entry, wait.entry);
        if (waiter->var != &dentry->d_flags)
            continue;
        const auto *task = reinterpret_cast<const task_control *>(waiter->wait.task);
        if (task->state != TASK_RUNNING)
            return task;
    }
    return nullptr;
}

/// Freed, or on a stack that has gone.
bool gone(const void *object)
{
    return in_arena(object) && *shadow_of(object);
}

/// Whether `task` is on the queue; of a hashed one, under `var`. What is dead is passed over: a
/// deadlock is to be reported, and nothing else.
bool is_on(const wait_queue_head *queue, const void *var, const task_control &task)
{
    if (gone(queue))
        return false;
    for (list_head *at = glance(queue->head.next); at != &queue->head && !gone(at);
         at = glance(at->next)) {
        auto *entry = container_of(at, wait_queue_entry, entry);
        if (reinterpret_cast<const task_control *>(entry->task) == &task &&
            (!var || container_of(entry, wait_var_entry, wait)->var == var))
            return true;
    }
    return false;
}

struct waited_for {
    const task_control *task;
    const dentry *found;
};

void visit_waited_for(void *argument, const allocation &live)
{
    auto *search = static_cast<waited_for *>(argument);
    const auto *in_lookup = static_cast<const dentry *>(live.object);

    if (!(glance(in_lookup->d_flags) & DCACHE_PAR_LOOKUP) ||
        !glance(in_lookup->d_in_lookup_hash.pprev))
        return;
    if (lookup_era_has_caller_queue(current_lookup_era())
            ? is_on(in_lookup->d_wait, nullptr, *search->task)
            : is_on(__var_waitqueue(&in_lookup->d_flags), &in_lookup->d_flags, *search->task))
        search->found = in_lookup;
}

/// Whether a lock is the d_lock of a child of `directory`.
bool locks_child_of(const held_lock &held, const inode *directory)
{
    if (strcmp(lock_class_name(held.lock_class), "d_lock") != 0)
        return false;
    const auto *child = reinterpret_cast<const dentry *>(static_cast<const char *>(held.lock) -
                                                         offsetof(dentry, d_lock));
    const dentry *parent = glance(child->d_parent);
    return parent != child && glance(parent->d_inode) == directory;
}

bool some_task_publishes_in(const inode *directory)
{
    const execution_state &x = execution();

    for (unsigned i = 0; i < x.tasks; i++)
        for (unsigned k = 0; k < x.task[i].held_locks; k++)
            if (locks_child_of(x.task[i].held[k], directory))
                return true;
    return false;
}

/// Whether a hashed dentry and one in lookup have the same name on purpose: a file system said that
/// it hashes the one while somebody else looks the name up, or the other is a d_duplicate() of it.
bool beside_lookup(const struct dentry *hashed, const struct dentry *in_lookup)
{
    return (glance(hashed->d_flags) | glance(in_lookup->d_flags)) & DCACHE_BESIDE_LOOKUP;
}

} // namespace

const dentry *lookup_waited_for(const task_control &task)
{
    waited_for search = {&task, nullptr};

    arena_for_each_live("dentry", visit_waited_for, &search);
    return search.found;
}

void look_at_in_lookup_table(dentry_facts *dentry)
{
    dentry->in_lookup_table = walk_chain(in_lookup_hash(dentry->parent, dentry->name_hash()),
                                         offsetof(struct dentry, d_in_lookup_hash), *dentry);
}

bool one_lookup_per_name(const dentry_facts &dentry, broken_invariant *broken)
{
    const chain_position &table = dentry.in_lookup_table;

    if (table.times > 1)
        return fails(broken, dentry, "%u times in the in-lookup table", table.times);
    if (table.times && !dentry.has(DCACHE_PAR_LOOKUP))
        return fails(broken, dentry, "in the in-lookup table without PAR_LOOKUP");
    if (table.times && table.twin)
        return fails(broken, dentry, "%p is in lookup for the same name",
                     static_cast<const void *>(table.twin));
    return true;
}

bool lookup_can_be_found(const dentry_facts &dentry, broken_invariant *broken)
{
    if (!dentry.has(DCACHE_PAR_LOOKUP) || dentry.in_lookup_table.times)
        return true;
    if (dentry.count > 1)
        return fails(broken, dentry, "in lookup with count %d, and not in the table", dentry.count);
    if (dentry.has(DCACHE_LOOKUP_WAITERS))
        return fails(broken, dentry, "in lookup with waiters, and not in the table");
    return true;
}

bool lookup_can_be_found_at_rest(const dentry_facts &dentry, rest_totals *,
                                 broken_invariant *broken)
{
    // Nobody is between making it and putting it into the table; a spare one dies with its bit.
    if (!dentry.has(DCACHE_PAR_LOOKUP) || dentry.in_lookup_table.times || dentry.dead())
        return true;
    return fails(broken, dentry, "in lookup with count %d, and not in the table", dentry.count);
}

bool lookup_is_blank(const dentry_facts &dentry, broken_invariant *broken)
{
    if (!dentry.has(DCACHE_PAR_LOOKUP))
        return true;
    if (dentry.hashed)
        return fails(broken, dentry, "in lookup and hashed");
    if (!dentry.negative() || !d_flags_negative(dentry.flags))
        return fails(broken, dentry, "in lookup with inode %p and flags %#x",
                     static_cast<const void *>(dentry.inode), dentry.flags);
    if (!dentry.in_lookup_table.times)
        return true;
    if (dentry.count <= 0)
        return fails(broken, dentry, "in lookup with count %d", dentry.count);
    if (dentry.has(DCACHE_LRU_LIST | DCACHE_SHRINK_LIST))
        return fails(broken, dentry, "in lookup and on an LRU, flags %#x", dentry.flags);
    return true;
}

// i_dir_seq is what makes this hold: it keeps a task that saw neither from adding a lookup.
bool known_or_in_lookup(const dentry_facts &dentry, broken_invariant *broken)
{
    const struct dentry *hashed = dentry.hash.twin;
    const struct dentry *in_lookup = dentry.in_lookup_table.twin;

    if (dentry.in_lookup_table.times && hashed && glance(hashed->d_lockref.count) >= 0 &&
        !beside_lookup(hashed, dentry.dentry))
        return fails(broken, dentry, "in lookup while %p is hashed under that name",
                     static_cast<const void *>(hashed));
    if (dentry.hash.times && !dentry.dead() && in_lookup &&
        !beside_lookup(dentry.dentry, in_lookup))
        return fails(broken, dentry, "hashed while %p is in lookup for that name",
                     static_cast<const void *>(in_lookup));
    return true;
}

bool lookup_waiters_woken(const dentry_facts &dentry, broken_invariant *broken)
{
    if (dentry.has(DCACHE_PAR_LOOKUP))
        return true;
    if (dentry.has(DCACHE_LOOKUP_WAITERS))
        return fails(broken, dentry, "LOOKUP_WAITERS without PAR_LOOKUP");
    if (const task_control *task = sleeper_for_lookup(dentry.dentry))
        return fails(broken, dentry, "%s still sleeps until it has been looked up", task->name);
    return true;
}

bool no_lookup_at_rest(const dentry_facts &dentry, rest_totals *, broken_invariant *broken)
{
    char owed[120];

    if (!dentry.in_lookup_table.times)
        return true;
    describe_owed_lookup(dentry.dentry, owed, sizeof(owed));
    return fails(broken, dentry, "still in the in-lookup table%s", owed);
}

// Outside of the table there is nothing to say: before, its maker is between two stores; after, the
// room is d_lru again, and rule 26 finds it if it is not in order.
bool lent_queue_lives(const dentry_facts &dentry, broken_invariant *broken)
{
    const wait_queue_head_t *queue = dentry.dentry->d_wait;

    if (!lends_queue(dentry) || !dentry.in_lookup_table.times)
        return true;
    if (!in_arena(queue))
        return fails(broken, dentry, "in lookup with d_wait %p", static_cast<const void *>(queue));
    if (*shadow_of(&queue->lock))
        return fails(broken, dentry, "in lookup, and the wait queue of its owner is gone");
    return true;
}

bool dir_seq_odd_under_lock(const dentry_facts &dentry, broken_invariant *broken)
{
    const inode *directory;

    if (dentry.is_root() || dentry.killed())
        return true;
    directory = glance(dentry.parent->d_inode);
    if (!directory || !(glance(directory->i_dir_seq) & 1) || some_task_publishes_in(directory))
        return true;
    return fails(broken, dentry, "i_dir_seq of its directory is %u, and nobody publishes there",
                 glance(directory->i_dir_seq));
}

bool dir_seq_even_at_rest(const inode *inode, broken_invariant *broken)
{
    if (!(glance(inode->i_dir_seq) & 1))
        return true;
    return fails(broken, inode, "i_dir_seq is %u", glance(inode->i_dir_seq));
}

} // namespace dcsim::inline DCSIM_BACKEND
