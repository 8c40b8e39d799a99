// SPDX-License-Identifier: GPL-2.0-only
//
// What the eras have in common: the functions of fs/dcache.c that differ between them.
#pragma once

#include "dcache_internal.h"
#include "dcsim/vfs/lookup_era.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// What __d_move() keeps between the beginning and the end of its d_lock section when its target is
/// in lookup.
struct dir_add {
    inode *dir;                ///< nullptr: the target was not in lookup
    unsigned n;                ///< of start_dir_add()
    bool do_wake;              ///< v3: somebody waits
    wait_queue_head_t *d_wait; ///< 6.0: the queue to wake, in the frame of the lookup's owner
};

/// What d_alloc_parallel() does when somebody else is looking the name up.
enum alloc_para { ALLOC_PARA_WAIT, ALLOC_PARA_FAIL };

struct lookup_protocol {
    const char *name;
    /// d_alloc_parallel() takes a wait queue of its caller's.
    bool caller_queue;
    /// `wq` is nullptr unless caller_queue. With ALLOC_PARA_FAIL it returns ERR_PTR(-EWOULDBLOCK)
    /// in place of waiting, and *blocker, if given, is the dentry it would have waited for,
    /// referenced; the eras with a caller's queue do not know that.
    dentry *(*alloc_parallel)(dentry *parent, const qstr *name, wait_queue_head_t *wq,
                              alloc_para how, dentry **blocker);
    /// The slow half of d_lookup_done(): of a dentry in lookup, by its owner, who has a reference.
    /// Takes d_lock.
    void (*lookup_done)(dentry *dentry);
    /// __d_add(). Takes d_lock. i_lock is held when there is an inode, and released on return; the
    /// inode's reference becomes the dentry's. `ops` may be nullptr.
    void (*add)(dentry *dentry, inode *inode, const dentry_operations *ops);
    /// The lines of __d_move() about an in-lookup target: before names and parents change, and
    /// after. rename_lock is written and the four d_locks are held; `add` is the move's own.
    void (*move_begins)(dentry *target, dir_add *add);
    void (*move_ends)(dentry *target, dir_add *add);
    /// d_add_ci().
    dentry *(*add_ci)(dentry *dentry, inode *inode, qstr *name);
};

// The steps of v7.2, one by one, for tests that stop between them.
namespace era_7_2
{

/// Announces that a dentry of `dir` is about to move from the in-lookup table to the hash, and
/// returns the count for end_dir_add(). A child's d_lock held.
unsigned start_dir_add(inode *dir);
/// The move is over: whoever reads the new count finds the dentry in the hash.
void end_dir_add(inode *dir, unsigned n);
/// From in-lookup to busy negative. __d_wake_in_lookup_waiters() must follow before d_lock is
/// released.
void __d_lookup_unhash(dentry *dentry) __must_hold(&dentry->d_lock);
/// Wakes who waits for a dentry that is not in-lookup any more.
void __d_wake_in_lookup_waiters(dentry *dentry) __must_hold(&dentry->d_lock);

} // namespace era_7_2

extern const lookup_protocol lookup_protocol_4_7;
extern const lookup_protocol lookup_protocol_4_17;
extern const lookup_protocol lookup_protocol_6_0;
extern const lookup_protocol lookup_protocol_v3;
extern const lookup_protocol lookup_protocol_7_2;

/// The one in use. Changed by set_lookup_era() alone.
extern const lookup_protocol *lookup_protocol_in_use;

/// Counts a retry of d_alloc_parallel() and, from the second on, lets others run first.
void retry_because(vfs_counter cause, int *attempts);

} // namespace dcsim::inline DCSIM_BACKEND
