// SPDX-License-Identifier: GPL-2.0-only
//
// Rules about aliases.
//
// An inode on an alias list is held by the alias, so it can be looked at. Others may be joining or
// leaving the list: they do that with i_lock and their own d_lock held.
#include "dcache_checker_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// Links mean something only where all changes go through this cache.
bool links_are_exact(unsigned flags)
{
    return !(flags & (DCACHE_OP_REVALIDATE | DCACHE_NFSFS_RENAMED));
}

bool is_directory(const inode *inode)
{
    return S_ISDIR_mode(glance(inode->i_mode));
}

const dentry *first_alias(const inode *inode)
{
    return dentry_from_alias(glance(inode->i_dentry.first));
}

const dentry *next_alias(const dentry *alias)
{
    return dentry_from_alias(glance(alias->d_alias.next));
}

} // namespace

void look_at_aliases(dentry_facts *dentry)
{
    if (dentry->negative() || dentry->killed())
        return;
    for (const struct dentry *alias = first_alias(dentry->inode);
         alias && dentry->aliases.seen < endless; alias = next_alias(alias)) {
        dentry->aliases.seen++;
        dentry->aliases.times += alias == dentry->dentry;
    }
}

bool inode_and_type_agree(const dentry_facts &dentry, broken_invariant *broken)
{
    if (d_flags_negative(dentry.flags) != dentry.negative())
        return fails(broken, dentry, "inode %p with flags %#x",
                     static_cast<const void *>(dentry.inode), dentry.flags);
    if (!dentry.negative() && dentry.aliases.times != 1)
        return fails(broken, dentry, "%u times on the alias list of its inode",
                     dentry.aliases.times);
    return true;
}

bool aliases_agree(const inode *inode, broken_invariant *broken)
{
    for (const dentry *alias = first_alias(inode); alias; alias = next_alias(alias))
        if (glance(alias->d_inode) != inode)
            return fails(broken, inode, "%p on its alias list has inode %p",
                         static_cast<const void *>(alias),
                         static_cast<const void *>(glance(alias->d_inode)));
    return true;
}

bool directory_has_one_alias(const dentry_facts &dentry, broken_invariant *broken)
{
    if (dentry.negative() || !is_directory(dentry.inode))
        return true;
    if (dentry.aliases.seen > 1)
        return fails(broken, dentry, "a directory with %u aliases", dentry.aliases.seen);
    if (glance(dentry.inode->i_flags) & S_DEAD && glance(dentry.inode->i_nlink) &&
        links_are_exact(dentry.flags))
        return fails(broken, dentry, "a removed directory with %u links",
                     glance(dentry.inode->i_nlink));
    return true;
}

// Only at rest: a file loses its link before its dentry becomes negative or unhashed.
bool names_have_links(const inode *inode, broken_invariant *broken)
{
    unsigned names = 0;

    for (const dentry *alias = first_alias(inode); alias; alias = next_alias(alias))
        names += glance(alias->d_hash.pprev) && links_are_exact(glance(alias->d_flags));
    if (names <= glance(inode->i_nlink))
        return true;
    return fails(broken, inode, "%u hashed aliases and %u links", names, glance(inode->i_nlink));
}

bool aliases_hold_inode(const dentry_facts &dentry, broken_invariant *broken)
{
    if (dentry.negative() || glance(dentry.inode->i_count) >= static_cast<int>(dentry.aliases.seen))
        return true;
    return fails(broken, dentry, "its inode has %u aliases and count %d", dentry.aliases.seen,
                 glance(dentry.inode->i_count));
}

} // namespace dcsim::inline DCSIM_BACKEND
