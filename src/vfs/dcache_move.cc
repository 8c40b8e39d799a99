// SPDX-License-Identifier: GPL-2.0-only
//
// Changing names and parents, and asking who is above whom.
//
// Only positive dentries are moved. The writer side of rename_lock surrounds each move, so that
// readers who follow parents or hash chains notice; d_seq of both dentries is odd during it, so
// that lockless walkers that hold one of them notice.
#include "lookup_protocol.h"

namespace dcsim::inline DCSIM_BACKEND
{

// Linux v7.2 fs/dcache.c __d_move().
//
// Locks the two parents and then the two dentries, an ancestor before its descendant. With O the
// old parent and N the new one (the parent of target):
//
//     dentry is a root         N                 it has no parent to lock
//     N is not below O         N, then O         no relation: in order only thanks to rename_lock,
//                                                or N is above O
//     N is below O             O, then N
//     N is O                   O
void __d_move(dentry *dentry, struct dentry *target, bool exchange)
    __context_unsafe("which parents are locked depends on how they are related")
{
    struct dentry *old_parent, *new_parent, *p;
    dir_add add = {};

    WARN_ON(!d_inode(dentry));
    if (WARN_ON(dentry == target))
        return;

    BUG_ON(d_ancestor(target, dentry));
    old_parent = READ_ONCE(dentry->d_parent);
    new_parent = READ_ONCE(target->d_parent);
    p = d_ancestor(old_parent, target);
    if (IS_ROOT(dentry)) {
        BUG_ON(p);
        spin_lock(&new_parent->d_lock);
    } else if (!p) {
        spin_lock(&new_parent->d_lock);
        spin_lock_nested(&old_parent->d_lock, DENTRY_D_LOCK_NESTED);
    } else {
        BUG_ON(p == dentry);
        spin_lock(&old_parent->d_lock);
        if (p != target)
            spin_lock_nested(&new_parent->d_lock, DENTRY_D_LOCK_NESTED);
    }
    spin_lock_nested(&dentry->d_lock, 2);
    spin_lock_nested(&target->d_lock, 3);

    // A lookup of the new name is waiting for its answer: this is it.
    if (unlikely(d_flags_locked(target) & DCACHE_PAR_LOOKUP))
        lookup_protocol_in_use->move_begins(target, &add);

    write_seqcount_begin(&dentry->d_seq);
    write_seqcount_begin(&target->d_seq);

    // Between here and the rehash neither name can be found by a lockless walk.
    if (!d_unhashed(dentry))
        ___d_drop(dentry);
    if (!d_unhashed(target))
        ___d_drop(target);

    WRITE_ONCE(dentry->d_parent, new_parent);
    if (!exchange) {
        copy_name(dentry, target);
        WRITE_ONCE(target->d_hash.pprev, nullptr);
        ++new_parent->d_lockref.count;
        if (dentry != old_parent)
            WARN_ON(!--old_parent->d_lockref.count);
    } else {
        WRITE_ONCE(target->d_parent, old_parent);
        swap_names(dentry, target);
        if (!hlist_unhashed(&target->d_sib))
            __hlist_del(&target->d_sib);
        hlist_add_head(&target->d_sib, &old_parent->d_children);
        __d_rehash(target);
    }
    if (!hlist_unhashed(&dentry->d_sib))
        __hlist_del(&dentry->d_sib);
    hlist_add_head(&dentry->d_sib, &new_parent->d_children);
    __d_rehash(dentry);

    write_seqcount_end(&target->d_seq);
    write_seqcount_end(&dentry->d_seq);

    // The waiters sleep on target, whose PAR_LOOKUP was cleared; they will find it unhashed.
    if (add.dir)
        lookup_protocol_in_use->move_ends(target, &add);

    if (new_parent != old_parent)
        spin_unlock(&new_parent->d_lock);
    if (dentry != old_parent)
        spin_unlock(&old_parent->d_lock);
    spin_unlock(&target->d_lock);
    spin_unlock(&dentry->d_lock);
}

// Linux v7.2 fs/dcache.c d_move().
void d_move(dentry *dentry, struct dentry *target)
{
    write_seqlock(&rename_lock);
    __d_move(dentry, target, false);
    write_sequnlock(&rename_lock);
}

// Linux v7.2 fs/dcache.c d_exchange().
void d_exchange(dentry *dentry1, dentry *dentry2)
{
    write_seqlock(&rename_lock);

    WARN_ON(!d_inode(dentry1));
    WARN_ON(!d_inode(dentry2));
    WARN_ON(IS_ROOT(dentry1));
    WARN_ON(IS_ROOT(dentry2));

    __d_move(dentry1, dentry2, true);

    write_sequnlock(&rename_lock);
}

// Linux v7.2 fs/dcache.c d_ancestor().
dentry *d_ancestor(dentry *ancestor, dentry *descendant)
{
    for (dentry *p = descendant;;) {
        struct dentry *parent = READ_ONCE(p->d_parent);

        if (parent == p)
            return nullptr;
        if (parent == ancestor)
            return p;
        p = parent;
    }
}

// Linux v7.2 fs/dcache.c is_subdir().
bool is_subdir(dentry *dentry, struct dentry *ancestor)
{
    bool subdir;
    unsigned seq;

    if (dentry == ancestor)
        return true;

    // d_move() may take a parent away under the walk; RCU keeps what it has been to.
    rcu_read_lock();
    seq = read_seqbegin(&rename_lock);
    subdir = d_ancestor(ancestor, dentry);
    if (read_seqretry(&rename_lock, seq)) {
        // Once is enough: on a long chain optimism could fail for ever.
        read_seqlock_excl(&rename_lock);
        subdir = d_ancestor(ancestor, dentry);
        read_sequnlock_excl(&rename_lock);
    }
    rcu_read_unlock();
    return subdir;
}

} // namespace dcsim::inline DCSIM_BACKEND
