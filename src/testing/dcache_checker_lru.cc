// SPDX-License-Identifier: GPL-2.0-only
//
// Rules about the LRU, private shrink lists, and the counters.
//
// Links on these lists change under the LRU's lock or by the owner of a private list, the flags
// under d_lock. No schedule point lies inside a change of links, so the links are whole.
#include "dcache_checker_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// What the flags say: on the LRU itself, on no private list.
bool is_on_lru(unsigned flags)
{
    return (flags & (DCACHE_LRU_LIST | DCACHE_SHRINK_LIST)) == DCACHE_LRU_LIST;
}

bool links_whole(const list_head *item)
{
    return glance(glance(item->next)->prev) == item && glance(glance(item->prev)->next) == item;
}

/// Counts the LRU of a super block, and looks for one that does not belong there.
long walk_lru(const super_block *sb, const dentry **stray)
{
    const list_head *head = &sb->s_dentry_lru.node.list;
    long length = 0;

    for (list_head *at = glance(head->next); at != head && !*stray && length < endless;
         at = glance(at->next)) {
        const auto *dentry = container_of(at, struct dentry, d_lru);
        length++;
        if (dentry->d_sb != sb || !is_on_lru(glance(dentry->d_flags)))
            *stray = dentry;
    }
    return length;
}

bool check_lru_of(const dentry_facts &root, rest_totals *totals, broken_invariant *broken)
{
    const super_block *sb = root.dentry->d_sb;
    const dentry *stray = nullptr;
    const long length = walk_lru(sb, &stray);

    if (stray)
        return fails(broken, root, "%p with flags %#x is on the LRU of this super block",
                     static_cast<const void *>(stray), glance(stray->d_flags));
    if (length != glance(sb->s_dentry_lru.node.nr_items))
        return fails(broken, root, "%ld on the LRU of this super block, counted as %ld", length,
                     glance(sb->s_dentry_lru.node.nr_items));
    totals->met_on_lru += length;
    return true;
}

bool counter_is(vfs_counter counter, long found, broken_invariant *broken)
{
    if (vfs_counter_value(counter) == found)
        return true;
    return fails(broken, static_cast<const inode *>(nullptr), "%s is %ld, and there are %ld",
                 vfs_counter_name(counter), vfs_counter_value(counter), found);
}

} // namespace

bool lru_flags_agree(const dentry_facts &dentry, broken_invariant *broken)
{
    const list_head *item = &dentry.dentry->d_lru;

    // The room is d_wait's.
    if (lends_queue(dentry))
        return true;
    const bool linked = READ_LOCKED(item->next) != item;
    if (linked != dentry.has(DCACHE_LRU_LIST))
        return fails(broken, dentry, "d_lru is %s, flags %#x", linked ? "linked" : "not linked",
                     dentry.flags);
    if (linked && !links_whole(item))
        return fails(broken, dentry, "its neighbours on the list do not point at it");
    if (dentry.has(DCACHE_SHRINK_LIST) && !linked)
        return fails(broken, dentry, "SHRINK_LIST without LRU_LIST");
    if (dentry.dead() && is_on_lru(dentry.flags))
        return fails(broken, dentry, "dead and on the LRU");
    return true;
}

bool lru_flags_agree_at_rest(const dentry_facts &dentry, rest_totals *, broken_invariant *broken)
{
    if (!dentry.has(DCACHE_SHRINK_LIST))
        return true;
    return fails(broken, dentry, "on a private list whose owner is gone");
}

bool unused_counted(const dentry_facts &dentry, rest_totals *totals, broken_invariant *broken)
{
    totals->dentries += !dentry.dead();
    totals->unused += dentry.has(DCACHE_LRU_LIST);
    totals->negative_unused += is_on_lru(dentry.flags) && dentry.negative();
    if (dentry.dead())
        return true;
    totals->on_lru += is_on_lru(dentry.flags) && dentry.dentry->d_sb->s_root;
    return dentry.dentry->d_sb->s_root != dentry.dentry || check_lru_of(dentry, totals, broken);
}

bool counters_agree(const rest_totals &totals, broken_invariant *broken)
{
    if (totals.on_lru != totals.met_on_lru)
        return fails(broken, static_cast<const inode *>(nullptr),
                     "%ld have LRU_LIST, %ld are on an LRU", totals.on_lru, totals.met_on_lru);
    return counter_is(NR_DENTRY, totals.dentries, broken) &&
           counter_is(NR_DENTRY_UNUSED, totals.unused, broken) &&
           counter_is(NR_DENTRY_NEGATIVE, totals.negative_unused, broken);
}

} // namespace dcsim::inline DCSIM_BACKEND
