// SPDX-License-Identifier: GPL-2.0-only
//
// Rules about parents and children, references, and the way to the grave.
//
// A dying dentry stays its parent's child, with its reference on it, until KILLED is set. That, the
// removal from the list and the return of the reference happen in one hold of the parent's d_lock.
#include "dcache_checker_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// Whether somebody's `next` leads to the dentry as a child.
bool is_linked_as_child(const dentry *dentry)
{
    const auto *pprev = glance(dentry->d_sib.pprev);

    return pprev && glance(*pprev) == &dentry->d_sib;
}

bool belongs_below(const dentry_facts &dentry, const struct dentry *child)
{
    return child != dentry.dentry && glance(child->d_parent) == dentry.dentry &&
           !(glance(child->d_flags) & DCACHE_DENTRY_KILLED);
}

/// References that a dentry has besides those of its users.
int references_within(const dentry_facts &dentry)
{
    int count = static_cast<int>(dentry.children.seen);

    if (dentry.has(DCACHE_PERSISTENT))
        count++;
    if (dentry.is_root() && dentry.dentry->d_sb->s_root == dentry.dentry)
        count++;
    return count;
}

} // namespace

void look_at_children(dentry_facts *dentry, unsigned limit)
{
    child_facts &children = dentry->children;
    const hlist_node *node = READ_LOCKED(dentry->dentry->d_children.first);

    for (; node && children.seen < limit && !children.stray; node = glance(node->next)) {
        const auto *child = dentry_from_sib(const_cast<hlist_node *>(node));
        children.seen++;
        if (glance(child->d_flags) & DCACHE_DENTRY_CURSOR)
            children.cursors++;
        else if (!belongs_below(*dentry, child))
            children.stray = child;
    }
}

bool children_linked(const dentry_facts &dentry, broken_invariant *broken)
{
    if (const struct dentry *stray = dentry.children.stray)
        return fails(broken, dentry, "%p is among its children, with parent %p and flags %#x",
                     static_cast<const void *>(stray),
                     static_cast<const void *>(glance(stray->d_parent)), glance(stray->d_flags));
    if (dentry.is_child() && !is_linked_as_child(dentry.dentry))
        return fails(broken, dentry, "not among the children of its parent");
    return true;
}

bool children_counted(const dentry_facts &dentry, rest_totals *totals, broken_invariant *)
{
    totals->children += dentry.is_child();
    totals->met_as_children += dentry.children.seen - dentry.children.cursors;
    return true;
}

bool children_all_met(const rest_totals &totals, broken_invariant *broken)
{
    if (totals.children == totals.met_as_children)
        return true;
    return fails(broken, static_cast<const inode *>(nullptr),
                 "%ld have a parent, %ld are on the lists of children", totals.children,
                 totals.met_as_children);
}

bool children_hold_parent(const dentry_facts &dentry, broken_invariant *broken)
{
    const int needed = dentry.dead() ? 0 : references_within(dentry);

    // d_genocide() takes the pins of a tree away before it is pruned.
    if (dentry.dead() || dentry.count >= needed || dentry.has(DCACHE_GENOCIDE))
        return true;
    return fails(broken, dentry, "count %d, with %u children and %d pins", dentry.count,
                 dentry.children.seen, needed - static_cast<int>(dentry.children.seen));
}

bool one_super_block(const dentry_facts &dentry, broken_invariant *broken)
{
    if (dentry.killed() || dentry.parent->d_sb == dentry.dentry->d_sb)
        return true;
    return fails(broken, dentry, "on another super block than its parent");
}

bool no_circle_of_parents(const dentry_facts &dentry, rest_totals *, broken_invariant *broken)
{
    const struct dentry *at = dentry.parent;
    unsigned ancestors = 0;

    if (dentry.killed())
        return true;
    while (glance(at->d_parent) != at && ancestors++ < endless)
        at = glance(at->d_parent);
    if (ancestors < endless)
        return true;
    return fails(broken, dentry, "its ancestors lead to no root");
}

bool dead_is_gone(const dentry_facts &dentry, broken_invariant *broken)
{
    if (dentry.killed() && !dentry.dead())
        return fails(broken, dentry, "KILLED with count %d", dentry.count);
    if (dentry.dead() && dentry.hashed)
        return fails(broken, dentry, "dead and hashed");
    if (dentry.dead() && !dentry.negative())
        return fails(broken, dentry, "dead and positive");
    return true;
}

bool parent_outlives_child(const dentry_facts &dentry, broken_invariant *broken)
{
    if (dentry.dead() && dentry.children.seen)
        return fails(broken, dentry, "dead, with %u children", dentry.children.seen);
    if (dentry.is_root() || dentry.killed())
        return true;
    if (glance(dentry.parent->d_lockref.count) <= 0 ||
        glance(dentry.parent->d_flags) & DCACHE_DENTRY_KILLED)
        return fails(broken, dentry, "its parent has count %d and flags %#x",
                     glance(dentry.parent->d_lockref.count), glance(dentry.parent->d_flags));
    return true;
}

bool dead_stays_dead(const dentry_facts &dentry, broken_invariant *broken)
{
    if (!dentry.dead() || dentry.count == LOCKREF_DEAD)
        return true;
    return fails(broken, dentry, "dead with count %d instead of %d", dentry.count, LOCKREF_DEAD);
}

// Whoever marked it dead is done. That it hangs on no list is rule 26.
bool dead_was_killed(const dentry_facts &dentry, rest_totals *, broken_invariant *broken)
{
    if (!dentry.dead() || dentry.killed())
        return true;
    return fails(broken, dentry, "dead, and nobody took it off the tree");
}

bool unused_is_kept(const dentry_facts &dentry, rest_totals *, broken_invariant *broken)
{
    // d_genocide() leaves dentries without references behind for umount.
    if (dentry.count != 0 || dentry.has(DCACHE_GENOCIDE))
        return true;
    if (!dentry.hashed || dentry.has(DCACHE_DISCONNECTED) || !dentry.has(DCACHE_LRU_LIST))
        return fails(broken, dentry, "count 0, %s, flags %#x",
                     dentry.hashed ? "hashed" : "unhashed", dentry.flags);
    return true;
}

bool waiters_for_death(const dentry_facts &dentry, broken_invariant *broken)
{
    // Otherwise the room belongs to the alias list or to the in-lookup table.
    if (!dentry.negative() || dentry.in_lookup_table.times || !dentry.dentry->waiters)
        return true;
    if (dentry.has(DCACHE_PAR_LOOKUP) && !dentry.dead())
        return true;
    if (dentry.killed())
        return fails(broken, dentry, "KILLED, and somebody still waits for that");
    if (!dentry.dead())
        return fails(broken, dentry, "count %d, and somebody waits for its death", dentry.count);
    return true;
}

} // namespace dcsim::inline DCSIM_BACKEND
