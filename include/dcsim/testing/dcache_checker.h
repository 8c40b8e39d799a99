// SPDX-License-Identifier: GPL-2.0-only
//
// The dcache checker: the rules that hold in every dcache whose d_locks are free, tested on the
// model backend while a search goes on. docs/testing.md has the list.
//
// The checker only reads. It takes no lock, allocates nothing and has no schedule points, so a
// search with it sees the executions that it would see without.
//
// Occasions
//   a d_lock is free         what is said about its dentry alone, other d_locks may be held:
//                            check_dentry(), by check_after_unlock() in model_program::after_unlock
//   an execution is at rest  nobody is in the middle of anything; all the rest: check_dcache()
#pragma once

#include <span>

#include "dcsim/vfs/dcache.h"
#include "dcsim/vfs/inode.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// A rule that does not hold.
struct broken_invariant {
    int number;                  ///< in the list
    const char *rule;            ///< in words
    const struct dentry *dentry; ///< whose rule it is; nullptr when it is not a dentry's
    const struct inode *inode;   ///< whose rule it is, or the dentry's; may be nullptr
    char detail[200];            ///< what was found, beginning with the name
};

struct dentry_facts;
struct rest_totals;

/// One rule. A test returns whether the rule holds, and fills in what was found when it does not; a
/// rule without a test for some occasion has nothing to say there.
struct invariant {
    int number;
    const char *name; ///< in short
    const char *rule; ///< in words
    /// A dentry whose d_lock is free.
    bool (*of_dentry)(const dentry_facts &dentry, broken_invariant *broken);
    /// A dentry at rest; adds to the totals.
    bool (*of_dentry_at_rest)(const dentry_facts &dentry, rest_totals *totals,
                              broken_invariant *broken);
    bool (*of_inode_at_rest)(const inode *inode, broken_invariant *broken);
    /// The sums over all dentries.
    bool (*of_totals)(const rest_totals &totals, broken_invariant *broken);
};

/// All rules, by number.
std::span<const invariant> dcache_invariants();

/// Everything that can be said about one dentry when its d_lock is free, or about to be released by
/// the caller. False and *broken filled in at the first rule that does not hold.
bool check_dentry(const dentry *dentry, broken_invariant *broken);
/// All dentries, inodes, chains and counters. To be called alone, from set-up or clean-up, when all
/// tasks are done and the file systems are mounted. False as above.
bool check_dcache(broken_invariant *broken);
/// For model_program::after_unlock: checks the dentry whose d_lock was released, and ends the
/// execution when a rule does not hold. Does nothing about other locks.
void check_after_unlock(const void *lock, const char *lock_class);

/// The dentry in lookup that a sleeping task waits for, or nullptr. For reports of deadlocks.
const dentry *lookup_waited_for(const task_control &task);

} // namespace dcsim::inline DCSIM_BACKEND
