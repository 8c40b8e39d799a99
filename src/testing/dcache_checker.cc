// SPDX-License-Identifier: GPL-2.0-only
//
// The list of rules, and the occasions on which they are tested.
#include "dcsim/testing/dcache_checker.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "dcache_checker_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

constexpr invariant invariants[] = {
    {1, "one lookup per name",
     "only dentries in lookup are in the in-lookup table, and no two with one parent and name",
     one_lookup_per_name, nullptr, nullptr, nullptr},
    {2, "lookup can be found",
     "a dentry in lookup is in its bucket of the in-lookup table, or only its maker uses it",
     lookup_can_be_found, lookup_can_be_found_at_rest, nullptr, nullptr},
    {3, "lookup is blank",
     "a dentry in lookup is unhashed and negative; in the table also referenced and on no LRU",
     lookup_is_blank, nullptr, nullptr, nullptr},
    {4, "known or in lookup", "no name is hashed and in lookup at the same time",
     known_or_in_lookup, nullptr, nullptr, nullptr},
    {6, "lookup waiters woken",
     "only dentries in lookup have waiters for that, and nobody sleeps for a lookup that is over",
     lookup_waiters_woken, nullptr, nullptr, nullptr},
    {8, "no lookup left", "at rest the in-lookup table is empty", nullptr, no_lookup_at_rest,
     nullptr, nullptr},
    {10, "i_dir_seq odd under d_lock",
     "i_dir_seq is odd only while a task holds the d_lock of a child it is publishing",
     dir_seq_odd_under_lock, nullptr, dir_seq_even_at_rest, nullptr},
    {11, "hashed can be found",
     "a hashed dentry is exactly once on the chain of its hash value, any other is not on it",
     hashed_can_be_found, nullptr, nullptr, nullptr},
    {12, "one dentry per name", "no two hashed dentries have one parent and name",
     one_dentry_per_name, one_dentry_per_spelling, nullptr, nullptr},
    {13, "name in order",
     "a name ends in NUL, is outside the dentry exactly when it is too long for it, has the hash "
     "value of its text, and is counted once for each user",
     name_in_order, name_in_order_at_rest, nullptr, nullptr},
    {14, "d_seq even", "d_seq is odd only while d_lock is held", sequence_even, nullptr, nullptr,
     nullptr},
    {15, "children linked",
     "the children of a dentry are on its list until they are killed, and nobody else is",
     children_linked, children_counted, nullptr, children_all_met},
    {16, "children hold parent",
     "a dentry has a reference for each child, for being pinned, for being s_root",
     children_hold_parent, nullptr, nullptr, nullptr},
    {17, "one tree", "parents lead to a root of the same super block", one_super_block,
     no_circle_of_parents, nullptr, nullptr},
    {18, "dead is gone", "a dead dentry is unhashed and negative, a killed one is dead",
     dead_is_gone, nullptr, nullptr, nullptr},
    {19, "parent outlives child", "until it is killed a dentry keeps its parent alive",
     parent_outlives_child, nullptr, nullptr, nullptr},
    {20, "dead stays dead", "nobody takes or drops references on a dead dentry", dead_stays_dead,
     nullptr, nullptr, nullptr},
    {22, "inode and type agree",
     "a dentry with an inode has a type and is once on the inode's alias list; one without has "
     "none and is on no such list",
     inode_and_type_agree, nullptr, aliases_agree, nullptr},
    {23, "aliases have links",
     "a directory has at most one alias, a removed one no links, a file no more hashed aliases "
     "than links",
     directory_has_one_alias, nullptr, names_have_links, nullptr},
    {25, "aliases hold inode", "an inode has a reference for each alias", aliases_hold_inode,
     nullptr, nullptr, nullptr},
    {26, "LRU flags agree",
     "LRU_LIST is set exactly when d_lru is linked, SHRINK_LIST only with it and while somebody "
     "owns the list; a dead dentry is not on the LRU",
     lru_flags_agree, lru_flags_agree_at_rest, nullptr, nullptr},
    {27, "counters agree", "at rest the counters are the sums they stand for", nullptr,
     unused_counted, nullptr, counters_agree},
    {28, "dead was killed", "at rest a dead dentry is off the tree", nullptr, dead_was_killed, nullptr, nullptr},
    {29, "unused is kept",
     "at rest a dentry without references is on the LRU, hashed and connected", nullptr,
     unused_is_kept, nullptr, nullptr},
    {30, "waiters for death", "only a dying dentry has tasks that wait for its death",
     waiters_for_death, nullptr, nullptr, nullptr},
};

bool broken_by(const invariant &rule, broken_invariant *broken)
{
    broken->number = rule.number;
    broken->rule = rule.rule;
    return false;
}

/// The name of a dentry, as far as it may be followed and fits.
void name_in_detail(const dentry_facts &dentry, char *text, size_t bytes)
{
    constexpr u32 longest = 40;
    u32 length = dentry.name_length();

    if (dentry.killed()) {
        snprintf(text, bytes, "dentry %p", static_cast<const void *>(dentry.dentry));
        return;
    }
    if (length > longest)
        length = longest;
    snprintf(text, bytes, "dentry \"%.*s\"", static_cast<int>(length),
             reinterpret_cast<const char *>(dentry.name));
}

void describe(broken_invariant *broken, const char *subject, const char *format,
              va_list arguments)
{
    int used = snprintf(broken->detail, sizeof(broken->detail), "%s: ", subject);

    vsnprintf(broken->detail + used, sizeof(broken->detail) - static_cast<size_t>(used), format,
              arguments);
}

// --- At rest ---

struct rest_check {
    broken_invariant *broken;
    rest_totals totals;
    bool holds;
};

bool check_dentry_at_rest(const dentry_facts &facts, rest_check *check)
{
    for (const invariant &rule : invariants) {
        if (rule.of_dentry && !rule.of_dentry(facts, check->broken))
            return broken_by(rule, check->broken);
        if (rule.of_dentry_at_rest &&
            !rule.of_dentry_at_rest(facts, &check->totals, check->broken))
            return broken_by(rule, check->broken);
    }
    return true;
}

bool check_inode_at_rest(const inode *inode, broken_invariant *broken)
{
    for (const invariant &rule : invariants)
        if (rule.of_inode_at_rest && !rule.of_inode_at_rest(inode, broken))
            return broken_by(rule, broken);
    return true;
}

bool check_totals(const rest_totals &totals, broken_invariant *broken)
{
    for (const invariant &rule : invariants)
        if (rule.of_totals && !rule.of_totals(totals, broken))
            return broken_by(rule, broken);
    return true;
}

void visit_dentry(void *argument, const allocation &found)
{
    auto *check = static_cast<rest_check *>(argument);

    if (check->holds)
        check->holds = check_dentry_at_rest(
            look_at(static_cast<const dentry *>(found.object), endless), check);
}

void visit_inode(void *argument, const allocation &found)
{
    auto *check = static_cast<rest_check *>(argument);

    if (check->holds)
        check->holds =
            check_inode_at_rest(static_cast<const inode *>(found.object), check->broken);
}

} // namespace

bool fails(broken_invariant *broken, const dentry_facts &dentry, const char *format, ...)
{
    char name[60];
    va_list arguments;

    broken->dentry = dentry.dentry;
    broken->inode = dentry.inode;
    name_in_detail(dentry, name, sizeof(name));
    va_start(arguments, format);
    describe(broken, name, format, arguments);
    va_end(arguments);
    return false;
}

bool fails(broken_invariant *broken, const inode *inode, const char *format, ...)
{
    char name[40] = "all dentries";
    va_list arguments;

    broken->dentry = nullptr;
    broken->inode = inode;
    if (inode)
        snprintf(name, sizeof(name), "inode %llu", static_cast<unsigned long long>(inode->i_ino));
    va_start(arguments, format);
    describe(broken, name, format, arguments);
    va_end(arguments);
    return false;
}

dentry_facts look_at(const dentry *dentry, unsigned child_limit)
{
    dentry_facts facts = {
        .dentry = dentry,
        .flags = READ_LOCKED(dentry->d_flags),
        .count = READ_LOCKED(dentry->d_lockref.count),
        .sequence = READ_LOCKED(dentry->d_seq.sequence),
        .hashed = READ_LOCKED(dentry->d_hash.pprev) != nullptr,
        .parent = READ_LOCKED(dentry->d_parent),
        .inode = READ_LOCKED(dentry->d_inode),
        .hash_len = READ_LOCKED(dentry->d_name.hash_len),
        .name = READ_LOCKED(dentry->d_name.name),
        .hash = {},
        .in_lookup_table = {},
        .children = {},
        .aliases = {},
    };

    look_at_hash_chain(&facts);
    look_at_in_lookup_table(&facts);
    look_at_children(&facts, child_limit);
    look_at_aliases(&facts);
    return facts;
}

std::span<const invariant> dcache_invariants()
{
    return invariants;
}

bool check_dentry(const dentry *dentry, broken_invariant *broken)
{
    const dentry_facts facts = look_at(dentry, children_looked_at);

    for (const invariant &rule : invariants)
        if (rule.of_dentry && !rule.of_dentry(facts, broken))
            return broken_by(rule, broken);
    return true;
}

bool check_dcache(broken_invariant *broken)
{
    rest_check check = {broken, {}, true};

    arena_for_each_live("dentry", visit_dentry, &check);
    arena_for_each_live("inode_cache", visit_inode, &check);
    return check.holds && check_totals(check.totals, broken);
}

void check_after_unlock(const void *lock, const char *lock_class)
{
    broken_invariant broken;

    if (strcmp(lock_class, "d_lock") != 0)
        return;
    const auto *dentry = reinterpret_cast<const struct dentry *>(
        static_cast<const char *>(lock) - offsetof(struct dentry, d_lock));
    if (*shadow_of(dentry) == shadow_accessible && !check_dentry(dentry, &broken))
        violate(violation_kind::invariant, "invariant %d: %s\n%s", broken.number, broken.rule,
                broken.detail);
}

} // namespace dcsim::inline DCSIM_BACKEND
