// SPDX-License-Identifier: GPL-2.0-only
//
// The list of rules, and the occasions on which they are tested.
#include "dcsim/testing/dcache_checker.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <utility>

#include "dcache_checker_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

constexpr invariant invariants[] = {
    {.number = 1,
     .name = "one lookup per name",
     .rule =
         "only dentries in lookup are in the in-lookup table, and no two with one parent and name",
     .of_dentry = one_lookup_per_name},
    {.number = 2,
     .name = "lookup can be found",
     .rule =
         "a dentry in lookup is in its bucket of the in-lookup table, or only its maker uses it",
     .of_dentry = lookup_can_be_found,
     .of_dentry_at_rest = lookup_can_be_found_at_rest},
    {.number = 3,
     .name = "lookup is blank",
     .rule =
         "a dentry in lookup is unhashed and negative; in the table also referenced and on no LRU",
     .of_dentry = lookup_is_blank},
    {.number = 4,
     .name = "known or in lookup",
     .rule = "no name is hashed and in lookup at the same time, unless one of the two is marked as "
             "meant to be",
     .of_dentry = known_or_in_lookup},
    {.number = 6,
     .name = "lookup waiters woken",
     .rule = "only dentries in lookup have waiters for that, and nobody sleeps for a lookup that "
             "is over",
     .of_dentry = lookup_waiters_woken},
    {.number = 8,
     .name = "no lookup left",
     .rule = "at rest the in-lookup table is empty",
     .of_dentry_at_rest = no_lookup_at_rest},
    {.number = 9,
     .name = "lent queue lives",
     .rule = "in eras with a caller's queue d_wait leads from a dentry in the in-lookup table to a "
             "queue whose owner is still there",
     .of_dentry = lent_queue_lives},
    {.number = 10,
     .name = "i_dir_seq odd under d_lock",
     .rule = "i_dir_seq is odd only while a task holds the d_lock of a child it is publishing",
     .of_dentry = dir_seq_odd_under_lock,
     .of_inode_at_rest = dir_seq_even_at_rest},
    {.number = 11,
     .name = "hashed can be found",
     .rule =
         "a hashed dentry is exactly once on the chain of its hash value, any other is not on it",
     .of_dentry = hashed_can_be_found},
    {.number = 12,
     .name = "one dentry per name",
     .rule = "no two hashed dentries have one parent and name",
     .of_dentry = one_dentry_per_name,
     .of_dentry_at_rest = one_dentry_per_spelling},
    {.number = 13,
     .name = "name in order",
     .rule = "a name ends in NUL, is outside the dentry exactly when it is too long for it, has "
             "the hash "
             "value of its text, and is counted once for each user",
     .of_dentry = name_in_order,
     .of_dentry_at_rest = name_in_order_at_rest},
    {.number = 14,
     .name = "d_seq even",
     .rule = "d_seq is odd only while d_lock is held",
     .of_dentry = sequence_even},
    {.number = 15,
     .name = "children linked",
     .rule = "the children of a dentry are on its list until they are killed, and nobody else is",
     .of_dentry = children_linked,
     .of_dentry_at_rest = children_counted,
     .of_totals = children_all_met},
    {.number = 16,
     .name = "children hold parent",
     .rule = "a dentry has a reference for each child, for being pinned, for being s_root",
     .of_dentry = children_hold_parent},
    {.number = 17,
     .name = "one tree",
     .rule = "parents lead to a root of the same super block",
     .of_dentry = one_super_block,
     .of_dentry_at_rest = no_circle_of_parents},
    {.number = 18,
     .name = "dead is gone",
     .rule = "a dead dentry is unhashed and negative, a killed one is dead",
     .of_dentry = dead_is_gone},
    {.number = 19,
     .name = "parent outlives child",
     .rule = "until it is killed a dentry keeps its parent alive",
     .of_dentry = parent_outlives_child},
    {.number = 20,
     .name = "dead stays dead",
     .rule = "nobody takes or drops references on a dead dentry",
     .of_dentry = dead_stays_dead},
    {.number = 22,
     .name = "inode and type agree",
     .rule =
         "a dentry with an inode has a type and is once on the inode's alias list; one without has "
         "none and is on no such list",
     .of_dentry = inode_and_type_agree,
     .of_inode_at_rest = aliases_agree},
    {.number = 23,
     .name = "aliases have links",
     .rule =
         "a directory has at most one alias, a removed one no links, a file no more hashed aliases "
         "than links",
     .of_dentry = directory_has_one_alias,
     .of_inode_at_rest = names_have_links},
    {.number = 25,
     .name = "aliases hold inode",
     .rule = "an inode has a reference for each alias",
     .of_dentry = aliases_hold_inode},
    {.number = 26,
     .name = "LRU flags agree",
     .rule = "LRU_LIST is set exactly when d_lru is linked, SHRINK_LIST only with it and while "
             "somebody "
             "owns the list; a dead dentry is not on the LRU",
     .of_dentry = lru_flags_agree,
     .of_dentry_at_rest = lru_flags_agree_at_rest},
    {.number = 27,
     .name = "counters agree",
     .rule = "at rest the counters are the sums they stand for",
     .of_dentry_at_rest = unused_counted,
     .of_totals = counters_agree},
    {.number = 28,
     .name = "dead was killed",
     .rule = "at rest a dead dentry is off the tree",
     .of_dentry_at_rest = dead_was_killed},
    {.number = 29,
     .name = "unused is kept",
     .rule = "at rest a dentry without references is on the LRU, hashed and connected",
     .of_dentry_at_rest = unused_is_kept},
    {.number = 30,
     .name = "waiters for death",
     .rule = "only a dying dentry has tasks that wait for its death",
     .of_dentry = waiters_for_death},
};

bool broken_by(const invariant &rule, broken_invariant *broken)
{
    broken->number = rule.number;
    broken->rule = rule.rule;
    return false;
}

/// One rule of one dentry, called directly. Through the table a check takes half as long again, and
/// there are some in every execution.
template <size_t Index>
bool holds(const dentry_facts &facts, broken_invariant *broken)
{
    rule_of_dentry *test = invariants[Index].of_dentry;

    return !test || test(facts, broken) || broken_by(invariants[Index], broken);
}

template <size_t... Index>
bool all_hold(const dentry_facts &facts, broken_invariant *broken, std::index_sequence<Index...>)
{
    return (holds<Index>(facts, broken) && ...);
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

void describe(broken_invariant *broken, const char *subject, const char *format, va_list arguments)
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
        if (rule.of_dentry_at_rest && !rule.of_dentry_at_rest(facts, &check->totals, check->broken))
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
        check->holds = check_inode_at_rest(static_cast<const inode *>(found.object), check->broken);
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
    return all_hold(look_at(dentry, children_looked_at), broken,
                    std::make_index_sequence<std::size(invariants)>());
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
    // One pointer for each class; comparing the texts once will do.
    static const char *class_of_dentries;
    broken_invariant broken;

    if (lock_class != class_of_dentries) {
        if (strcmp(lock_class, "d_lock") != 0)
            return;
        class_of_dentries = lock_class;
    }
    const auto *dentry = reinterpret_cast<const struct dentry *>(static_cast<const char *>(lock) -
                                                                 offsetof(struct dentry, d_lock));
    if (*shadow_of(dentry) == shadow_accessible && !check_dentry(dentry, &broken))
        violate(violation_kind::invariant, "invariant %d: %s\n%s", broken.number, broken.rule,
                broken.detail);
}

} // namespace dcsim::inline DCSIM_BACKEND
