// SPDX-License-Identifier: GPL-2.0-only
//
// Primitives that have been proposed for the dcache and are in no release yet: those queued for
// v7.4, and those of the series they come from. docs/proposed.md tells their story.
//
// All of them need an era without a caller's wait queue (v3, 7.2); in the others they return
// ERR_PTR(-EOPNOTSUPP) with a warning.
#pragma once

#include <cstddef>

#include "dcsim/vfs/dcache.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// d_alloc_parallel() that does not wait for somebody else's lookup: ERR_PTR(-EWOULDBLOCK) instead.
/// Looks into the cache first, without ->d_revalidate(). `name` needs no hash: it is computed, by
/// ->d_hash() too. Returns a referenced dentry: in lookup, and then the caller's to look up and to
/// finish as after d_alloc_parallel(), or one that was looked up before, negative or positive. Or
/// ERR_PTR: -ENOMEM, -EWOULDBLOCK, -EACCES for what is no name, and what ->d_hash() returns. The
/// parent's i_rwsem is held at least shared; with vfs_config::lookup_outside_rwsem it need not be,
/// and may be: nobody is waited for. It may still sleep for memory and for a dput(). v3 05/19;
/// v7.4's queue has it as d_alloc_trylock().
dentry *d_alloc_noblock(dentry *parent, qstr *name);
/// The name under which v7.4's queue has it.
dentry *d_alloc_trylock(dentry *parent, qstr *name);
/// d_alloc_noblock() that hands out the dentry it would have waited for. The contract as posted
/// (v3 10/19): *blocker is written with -EWOULDBLOCK and only then, referenced; with any other
/// result it must not be looked at. The blocker is somebody else's: waiting for it, flags of the
/// file system's own and dput() are all that is allowed.
dentry *d_alloc_noblock_return(dentry *parent, qstr *name, dentry **blocker);
/// The same with the contract that its reviewer asked for: *blocker is always written, nullptr when
/// there is none; whoever finds a dentry there drops it, whatever the function returned.
dentry *d_alloc_noblock_blocker(dentry *parent, qstr *name, dentry **blocker);

/// A twin of a hashed positive dentry: in lookup, of the same parent and name, in the in-lookup
/// table while the original stays hashed, so that nobody can come to it by name until the original
/// has moved away. Referenced and the caller's to finish, or ERR_PTR(-ENOMEM). The caller holds the
/// parent's i_rwsem for writing from before the call until the original has moved (or was dropped)
/// and the twin is finished. v3 06/19.
dentry *d_duplicate(dentry *dentry);

/// lookup_one_qstr_excl() on top of d_alloc_parallel(), as posted in February 2025: `base` is
/// locked at least shared, name->hash set. Waits for somebody else's lookup of the name.
/// Referenced, or ERR_PTR as lookup_one_qstr_excl(). With any of LOOKUP_INTENT_FLAGS the result may
/// be in lookup, when ->lookup() left it so: the caller calls d_lookup_done() once the operation is
/// done or given up, before its dput(). Without them the result is never in lookup.
dentry *lookup_one_qstr(const qstr *name, dentry *base, unsigned flags);

/// After the directory was locked: is `dentry`, which the caller found or allocated before, still
/// what `name` in `parent` means? In lookup (the caller's own, which nobody else moves or drops),
/// or hashed with this parent and name. False means: drop it and start over. Whether the directory
/// was removed meanwhile is a question of its own, IS_DEADDIR(). For the order d_alloc_parallel()
/// before i_rwsem (vfs_config::lookup_outside_rwsem).
bool dentry_still_valid(dentry *dentry, const struct dentry *parent, const qstr *name);

/// For reports of tasks that wait for ever: what callers of the functions above owe at this moment,
/// as a list of "; "name": thread 5 got it from lookup_one_qstr(): d_lookup_done() must follow".
/// "" when nobody owes anything that is known.
void describe_open_obligations(char *text, size_t bytes);

/// What vfs_config says of these two, for file systems that behave accordingly. Constant while the
/// VFS runs.
extern bool splice_hashed;
extern bool lookup_outside_rwsem;

} // namespace dcsim::inline DCSIM_BACKEND
