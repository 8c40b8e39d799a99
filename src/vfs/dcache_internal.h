// SPDX-License-Identifier: GPL-2.0-only
//
// What the dcache's files share: the functions that are static in the kernel's one fs/dcache.c.
//
//   dcache_names.cc       names inside and outside the dentry, snapshots
//   dcache_alloc.cc       allocation, memory, default operations
//   dcache_hash.cc        the hash table, lookup, dropping, rehashing
//   dcache_in_lookup.cc   the in-lookup table and the choice of an era
//   in_lookup_*.cc        d_alloc_parallel() and the wait protocol, an era each
//                         (lookup_protocol.h)
//   dcache_inode.cc       attaching and detaching inodes, aliases
//   dcache_lru.cc         LRU and shrink lists, the shrinkers
//   dcache_kill.cc        references and death
//   dcache_walk.cc        d_walk() and what stands on it
//   dcache_move.cc        moving, ancestry
//   dcache_splice.cc      ends of lookups: aliases elsewhere
//   proposed.cc           primitives that are in no release yet
//   obligations.cc        what their callers forget, and who it was
//   statistics.cc, d_path.cc
#pragma once

#include "dcsim/kernel/rculist.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/kernel/wait_bit.h"
#include "dcsim/vfs/dcache.h"
#include "dcsim/vfs/inode.h"
#include "dcsim/vfs/proposed.h"
#include "dcsim/vfs/super.h"
#include "internal.h"

/// The kernel's spelling. Only here: a macro in a public header would hit every user's d_lock.
#define d_lock d_lockref.lock

namespace dcsim::inline DCSIM_BACKEND
{

// What the layout plan promises: a hash probe stays on the first line, references on the third.
static_assert(sizeof(dentry) == 192);
static_assert(offsetof(dentry, d_flags) == 0 && offsetof(dentry, d_seq) == 4);
static_assert(offsetof(dentry, d_hash) == 8 && offsetof(dentry, d_parent) == 24);
static_assert(offsetof(dentry, d_name) == 32 && offsetof(dentry, d_inode) == 48);
static_assert(offsetof(dentry, d_shortname) == 56 && offsetof(dentry, d_op) == 96);
static_assert(offsetof(dentry, d_sb) == 104 && offsetof(dentry, d_fsdata) == 120);
static_assert(offsetof(dentry, d_lockref) == 128 && offsetof(dentry, d_lru) == 136);
static_assert(offsetof(dentry, d_sib) == 152 && offsetof(dentry, d_children) == 168);
static_assert(offsetof(dentry, d_alias) == 176);

// --- dcache_names.cc ---

/// A name too long for the dentry. Immutable from the moment a dentry points at it; shared by
/// dentries and snapshots, freed a grace period after its last user. `count` and `head` do not
/// overlap: a lockless snapshot may look at the count of a name that is already queued for RCU.
struct external_name {
    atomic_t count;
    rcu_head head;

    /// The text, aligned for word-wise comparison, NUL-terminated, its last word filled with NULs.
    unsigned char *text()
    {
        return reinterpret_cast<unsigned char *>(this + 1);
    }
};
static_assert(sizeof(external_name) % sizeof(unsigned long) == 0);

/// The block around a dentry's external name.
struct external_name *external_name(const dentry *dentry);
bool dname_external(const dentry *dentry);
/// Rewrites the inline name, keeping the hash. Dentry unhashed, name short enough.
void set_inline_name(dentry *dentry, const qstr *name) __must_hold(&dentry->d_lock);
/// 0 when the dentry's name begins with these `tcount` bytes. Lockless callers check d_seq.
int dentry_cmp(const dentry *dentry, const unsigned char *ct, unsigned tcount);
/// `dentry` takes the name of `target`, which keeps it. Both d_locks and d_seq write sections.
void copy_name(dentry *dentry, struct dentry *target) __must_hold(&dentry->d_lock, &target->d_lock);
/// The two exchange names. Both d_locks and d_seq write sections.
void swap_names(dentry *dentry, struct dentry *target)
    __must_hold(&dentry->d_lock, &target->d_lock);

// --- dcache_alloc.cc ---

/// A dentry that is its own parent: unhashed, negative, count 1, the name copied ("/" for nullptr).
/// nullptr when memory is short or the file system's d_init refuses. Sleeps.
dentry *__d_alloc(super_block *sb, const qstr *name);
/// The end: dead, negative, on no list. Memory goes after a grace period, at once for NORCU.
void dentry_free(dentry *dentry);
int dentry_cache_init();
/// Objects that were never freed.
long dentry_cache_exit();
/// Gives a dentry operations of its own, once. d_lock held or dentry unpublished.
void d_set_d_op(dentry *dentry, const dentry_operations *ops);

// --- dcache_hash.cc ---

int dentry_hash_init(unsigned long entries);
/// The chain for a hash value.
hlist_bl_head *d_hash(u32 hash);
/// Buckets that are not empty.
long dentry_hash_exit();
/// Off its chain, without becoming "unhashed": pprev is stale.
void ___d_drop(dentry *dentry) __must_hold(&dentry->d_lock);
/// On the chain of its name.
void __d_rehash(dentry *dentry) __must_hold(&dentry->d_lock);

// --- dcache_in_lookup.cc ---

int in_lookup_init(unsigned shift);
/// Buckets that are not empty.
long in_lookup_exit();
/// The bucket of the in-lookup table for a name below `parent`.
hlist_bl_head *in_lookup_hash(const dentry *parent, u32 hash);

// --- dcache_inode.cc ---

/// The sysctl fs.dentry-negative. Set by dcache_init(), constant after.
extern bool dentry_negative_policy;

/// Type bits of d_flags for an inode; also notes in i_opflags what it found out.
unsigned d_flags_for_inode(inode *inode);
/// d_inode and the type bits of a negative dentry. i_lock and d_lock held, d_seq write section
/// unless nobody else can see the dentry.
void __d_set_inode_and_type(dentry *dentry, inode *inode, unsigned type_flags)
    __must_hold(&inode->i_lock, &dentry->d_lock);
/// Attaches an inode whole: alias list, d_inode, type, d_seq, LRU count. Dentry negative.
void __d_instantiate(dentry *dentry, inode *inode) __must_hold(&inode->i_lock, &dentry->d_lock);
/// Makes a positive dentry negative and gives the inode back. i_lock and d_lock held on entry,
/// neither on return.
void dentry_unlink_inode(dentry *dentry) __releases(&dentry->d_lock);
/// A directory's alias, referenced, or nullptr. i_lock held.
dentry *__d_find_dir_alias(inode *inode) __must_hold(&inode->i_lock);

// --- dcache_lru.cc: the only ways on and off a list by d_lru ---

void d_lru_add(dentry *dentry) __must_hold(&dentry->d_lock);
void d_lru_del(dentry *dentry) __must_hold(&dentry->d_lock);
void d_shrink_add(dentry *dentry, list_head *list) __must_hold(&dentry->d_lock);
void d_shrink_del(dentry *dentry) __must_hold(&dentry->d_lock);
/// Complains unless exactly these of LRU_LIST and SHRINK_LIST are set.
void d_flag_verify(const dentry *dentry, unsigned flags);

// --- dcache_kill.cc ---

/// Evicts an unused dentry. Entered with d_lock held and no reference of the caller's; the lock is
/// gone on return, and so may be the memory. Returns the parent, locked and with count 0, when this
/// was its last reference; else nullptr.
dentry *dentry_kill(dentry *dentry) __releases(&dentry->d_lock);
/// dentry_kill() and then its ancestors, as far as they become unused.
void shrink_kill(dentry *victim) __releases(&victim->d_lock);
/// Off the list of secondary roots.
void unlink_secondary_root(dentry *dentry) __must_hold(&dentry->d_lock);

/// A task that waits until a dying dentry is off the tree. On the waiter's stack; linked into
/// dentry->waiters under d_lock, unlinked by the killer before the completion.
struct completion_list {
    completion_list *next;
    struct completion completion;
};
/// Registers the caller's completion. False when the dentry is off the tree already.
bool d_add_waiter(dentry *dentry, completion_list *waiter) __must_hold(&dentry->d_lock);

// --- dcache_move.cc ---

/// Shared by d_move(), d_exchange() and d_splice_alias(). rename_lock written by the caller.
void __d_move(dentry *dentry, struct dentry *target, bool exchange) __must_hold(&rename_lock);

// --- dcache_splice.cc ---

/// __d_add() of the era in use, which also takes hashed negative dentries where those are allowed
/// (vfs_config::splice_hashed). i_lock held when there is an inode, released on return.
void publish_dentry(dentry *dentry, inode *inode, const dentry_operations *ops);

// --- obligations.cc: mistakes with in-lookup dentries, reported with their place ---

/// What a caller that got a dentry has taken on.
enum obligation {
    OWES_LOOKUP_DONE, ///< the dentry is in lookup and the caller's to finish
    OWES_DPUT,        ///< it is somebody else's, and only the reference is the caller's
};

void obligations_init();
/// The calling task got `dentry`, which it holds, from `function` and owes that. Sleeps not; takes
/// d_lock.
void note_obligation(dentry *dentry, obligation what, const char *function);
/// The calling task drops a reference on `dentry`: if it got that dentry as a blocker, it owes
/// nothing for it any more. For tasks with TASK_PRIVATE_BLOCKER set. Takes no d_lock.
void blocker_is_dropped(const dentry *dentry);
/// What is owed for `dentry`, to be appended to a sentence; "" when nothing is known. d_lock held.
void describe_obligations(const dentry *dentry, char *text, size_t bytes)
    __must_hold(&dentry->d_lock);
/// The same of a dentry in lookup and of what is owed to its lookup, without a lock: for reports of
/// the model backend, made while every task stands still.
void describe_owed_lookup(const dentry *dentry, char *text, size_t bytes);
/// The dentry dies, with PAR_LOOKUP or OBLIGATION set: complains, and repairs the table, if nobody
/// ended its lookup; what was owed is forgotten. Its count is negative.
void settle_obligations(dentry *dentry) __must_hold(&dentry->d_lock);
/// With vfs_config::lookup_outside_rwsem: complains if the calling task holds the i_rwsem of
/// `parent`, where it is about to allocate `name`.
void check_nothing_locked(const dentry *parent, const qstr *name);

// --- small things ---

inline dentry *dentry_from_alias(hlist_node *node)
{
    return node ? container_of(node, dentry, d_alias) : nullptr;
}

inline dentry *dentry_from_sib(hlist_node *node)
{
    return node ? container_of(node, dentry, d_sib) : nullptr;
}

/// The next dentry on an inode's alias list. i_lock held.
inline dentry *d_next_alias(dentry *alias)
{
    return dentry_from_alias(hlist_next(&alias->d_alias));
}

inline dentry *d_first_alias(inode *inode)
{
    return dentry_from_alias(hlist_first(&inode->i_dentry));
}

inline dentry *d_first_child(const dentry *dentry)
{
    return dentry_from_sib(hlist_first(&dentry->d_children));
}

inline dentry *d_next_sibling(const dentry *dentry)
{
    return dentry_from_sib(hlist_next(&dentry->d_sib));
}

/// The flags, read under d_lock.
inline unsigned d_flags_locked(const dentry *dentry)
{
    return READ_LOCKED(dentry->d_flags);
}

/// The count, read under d_lock.
inline int d_count_locked(const dentry *dentry)
{
    return READ_LOCKED(dentry->d_lockref.count);
}

} // namespace dcsim::inline DCSIM_BACKEND
