// SPDX-License-Identifier: GPL-2.0-only
//
// What the files of the dcache checker share.
//
//   dcache_checker.cc            the list of rules, the three occasions
//   dcache_checker_in_lookup.cc  in-lookup dentries, their table, i_dir_seq, waiters
//   dcache_checker_hash.cc       hash chains and names
//   dcache_checker_tree.cc       parents, children, references, death
//   dcache_checker_inode.cc      aliases
//   dcache_checker_lru.cc        LRU, shrink lists, counters
//
// A check looks at the dentry once and writes down what is there, struct dentry_facts. The rules
// are statements about that.
//
// What may be believed while the dentry's d_lock is free and others' are not. Its own flags, name,
// parent, hash link and inode are at rest. Links that others own (chains, siblings, aliases) may be
// in the middle of a change by them, but every chain is changed in an order that keeps it whole for
// a walk from its head, and keeps the pointer that a node's `pprev` names pointing at the node.
//
// Once KILLED a dentry has given its parent back: from then on its parent, its name and its inode
// must not be followed.
#pragma once

#include "dcache_internal.h"
#include "dcsim/testing/dcache_checker.h"
#include "dcsim/vfs/lookup_era.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// Where a walk along a chain met a dentry.
struct chain_position {
    unsigned length;           ///< of the chain
    unsigned times;            ///< that the dentry is on it
    const struct dentry *twin; ///< another one on it, with the same parent and name
};

/// What is below a dentry.
struct child_facts {
    unsigned seen;              ///< on the list of children, as far as it was walked
    unsigned cursors;           ///< of them
    const struct dentry *stray; ///< one that does not belong there
};

/// The alias list of a dentry's inode.
struct alias_facts {
    unsigned seen;
    unsigned times; ///< that the dentry is on it
};

struct dentry_facts {
    const struct dentry *dentry;
    unsigned flags;
    int count;
    unsigned sequence;
    bool hashed;
    const struct dentry *parent;
    const struct inode *inode;
    u64 hash_len;
    const unsigned char *name;

    chain_position hash;            ///< on the chain of its hash value
    chain_position in_lookup_table; ///< in the bucket of its parent and hash value
    child_facts children;
    alias_facts aliases;

    bool has(unsigned bits) const
    {
        return flags & bits;
    }
    bool negative() const
    {
        return !inode;
    }
    bool dead() const
    {
        return count < 0;
    }
    bool killed() const
    {
        return flags & DCACHE_DENTRY_KILLED;
    }
    bool is_root() const
    {
        return parent == dentry;
    }
    /// On its parent's list of children, if all is well.
    bool is_child() const
    {
        return !is_root() && !killed() && !has(DCACHE_DENTRY_CURSOR);
    }
    u32 name_hash() const
    {
        return hashlen_hash(hash_len);
    }
    u32 name_length() const
    {
        return hashlen_len(hash_len);
    }
};

/// Sums over all dentries, to be compared with the counters.
struct rest_totals {
    long dentries;        ///< not dead
    long unused;          ///< LRU_LIST
    long negative_unused; ///< negative on an LRU
    long on_lru;          ///< by their flags on the LRU of a mounted file system
    long met_on_lru;      ///< met on the LRUs of the mounted file systems
    long children;        ///< by their parent pointers
    long met_as_children; ///< met on lists of children
};

/// A field that belongs to somebody else. It counts for no footprint: were what its neighbours do
/// part of what every release of a d_lock depends on, a search would find hardly any two steps that
/// commute. Nothing is lost by it, because whoever changes such a field releases a d_lock after
/// that, and looks from the other side.
template <typename T>
inline T glance(const once<T> &field)
{
    check_access(field.word());
    return *field.word();
}

/// In lookup, in an era with a caller's queue: where d_lru is at other times there is d_wait.
inline bool lends_queue(const dentry_facts &dentry)
{
    return dentry.has(DCACHE_PAR_LOOKUP) && lookup_era_has_caller_queue(current_lookup_era());
}

/// Fills in the detail, in the form of printf and headed by the dentry's name, and returns false.
bool fails(broken_invariant *broken, const dentry_facts &dentry, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/// The same of what is not a dentry's.
bool fails(broken_invariant *broken, const inode *inode, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/// Longer than any list that is not a circle.
inline constexpr unsigned endless = 1u << 20;
/// Enough of the children to notice what is wrong with those that changed last.
inline constexpr unsigned children_looked_at = 16;

void look_at_hash_chain(dentry_facts *dentry);
void look_at_in_lookup_table(dentry_facts *dentry);
void look_at_children(dentry_facts *dentry, unsigned limit);
void look_at_aliases(dentry_facts *dentry);
/// Everything about a dentry.
dentry_facts look_at(const dentry *dentry, unsigned child_limit);

/// Walks a chain for the dentry and for others like it; `offset` is that of the chain's node in a
/// dentry.
chain_position walk_chain(const hlist_bl_head *head, size_t offset, const dentry_facts &dentry);

// --- The rules ---

using rule_of_dentry = bool(const dentry_facts &dentry, broken_invariant *broken);
using rule_at_rest = bool(const dentry_facts &dentry, rest_totals *totals,
                          broken_invariant *broken);
using rule_of_inode = bool(const inode *inode, broken_invariant *broken);
using rule_of_totals = bool(const rest_totals &totals, broken_invariant *broken);

rule_of_dentry one_lookup_per_name; // 1
rule_of_dentry lookup_can_be_found; // 2
rule_at_rest lookup_can_be_found_at_rest;
rule_of_dentry lookup_is_blank;        // 3
rule_of_dentry known_or_in_lookup;     // 4
rule_of_dentry lookup_waiters_woken;   // 6
rule_at_rest no_lookup_at_rest;        // 8
rule_of_dentry lent_queue_lives;       // 9
rule_of_dentry dir_seq_odd_under_lock; // 10
rule_of_inode dir_seq_even_at_rest;

rule_of_dentry hashed_can_be_found; // 11
rule_of_dentry one_dentry_per_name; // 12
rule_at_rest one_dentry_per_spelling;
rule_of_dentry name_in_order; // 13
rule_at_rest name_in_order_at_rest;
rule_of_dentry sequence_even; // 14

rule_of_dentry children_linked; // 15
rule_at_rest children_counted;
rule_of_totals children_all_met;
rule_of_dentry children_hold_parent; // 16
rule_of_dentry one_super_block;      // 17
rule_at_rest no_circle_of_parents;
rule_of_dentry dead_is_gone;          // 18
rule_of_dentry parent_outlives_child; // 19
rule_of_dentry dead_stays_dead;       // 20
rule_at_rest dead_was_killed;         // 28
rule_at_rest unused_is_kept;          // 29
rule_of_dentry waiters_for_death;     // 30

rule_of_dentry inode_and_type_agree; // 22
rule_of_inode aliases_agree;
rule_of_dentry directory_has_one_alias; // 23
rule_of_inode names_have_links;
rule_of_dentry aliases_hold_inode; // 25

rule_of_dentry lru_flags_agree; // 26
rule_at_rest lru_flags_agree_at_rest;
rule_at_rest unused_counted; // 27
rule_of_totals counters_agree;

} // namespace dcsim::inline DCSIM_BACKEND
