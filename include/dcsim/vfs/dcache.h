// SPDX-License-Identifier: GPL-2.0-only
//
// The directory entry cache: struct dentry and everything that may be done with one.
// Source: include/linux/dcache.h and fs/dcache.c of Linux v7.2. docs/fidelity.md has a row for
// every function.
//
// A dentry is one name in one directory. It is *positive* when it leads to an inode, *negative*
// when it records that the name does not exist, *in-lookup* while somebody is asking the file
// system.
//
// Locking
//   inode->i_lock guards      i_dentry of the inode, and of each alias d_inode and d_alias
//   d_lock guards             d_flags, d_name, d_lru, the count, hashed or not, d_parent,
//                             d_children, and the children's d_sib and d_parent
//   hash bucket lock guards   the chain of one bucket
//   s_roots_lock guards       s_roots and the d_sib of the roots on it
//   the LRU's lock guards     the list and its count
//   rename_lock               written by whoever changes names or parents, read by whoever must not
//                             miss such a change
//
// Order, outer to inner
//   s_umount
//     s_vfs_rename_mutex
//       directory i_rwsem, ancestors first
//         rename_lock                 either of these two, never both
//         inode->i_lock
//           d_lock of an ancestor
//             d_lock
//               LRU lock | hash bucket | in-lookup bucket | s_roots_lock | wait queue
//   Two d_locks without an ancestor relation nest only under rename_lock held for writing.
//   LRU walkers hold the LRU lock first and get a d_lock by trylock only.
//
// Lifetime
//   d_alloc*()      unhashed, negative, count 1. A child counts as one reference on its parent.
//   d_add() & co.   hashed: others find it and take references of their own.
//   dput()          the last one: kept on the LRU with count 0 when it can still be found, else
//                   killed. A count of 0 may rise again under d_lock or by lockref_get_not_dead().
//   dentry_kill()   count negative, unhashed, inode gone, off the tree, and after a grace period
//                   memory.
#pragma once

#include "dcsim/annotations.h"
#include "dcsim/kernel/completion.h"
#include "dcsim/kernel/err.h"
#include "dcsim/kernel/hash.h"
#include "dcsim/kernel/hlist_bl.h"
#include "dcsim/kernel/list.h"
#include "dcsim/kernel/list_lru.h"
#include "dcsim/kernel/lockref.h"
#include "dcsim/kernel/seqlock.h"
#include "dcsim/kernel/wait.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct dentry;
struct file;
struct inode;
struct path;
struct super_block;
struct vfsmount;
struct completion_list;

/// A name with its hash, as passed around. Owns nothing.
struct qstr {
    __extension__ union {
        __extension__ struct {
            u32 hash;
            u32 len;
        };
        u64 hash_len;
    };
    const unsigned char *name;
};

/// A qstr without a hash yet: full_name_hash() or d_hash_and_lookup() fills it in.
inline qstr make_qstr(const char *name, u32 length)
{
    qstr q;
    q.hash_len = hashlen_create(0, length);
    q.name = reinterpret_cast<const unsigned char *>(name);
    return q;
}

/// A qstr hashed for lookups below `parent`.
inline qstr make_hashed_qstr(const dentry *parent, const char *name, u32 length)
{
    qstr q = make_qstr(name, length);
    q.hash = full_name_hash(parent, name, length);
    return q;
}

extern const qstr empty_name;
extern const qstr slash_name;
extern const qstr dotdot_name;

/// The longest name of one component, as NAME_MAX.
inline constexpr unsigned NAME_MAX_LENGTH = 255;

inline constexpr unsigned DNAME_INLINE_WORDS = 5;
inline constexpr unsigned DNAME_INLINE_LEN = DNAME_INLINE_WORDS * sizeof(unsigned long);

/// Room for a name inside the dentry. Its last byte is always NUL. Words, because renames copy it
/// under readers that hold no lock.
struct shortname_store {
    once<unsigned long> words[DNAME_INLINE_WORDS];

    unsigned char *string()
    {
        return reinterpret_cast<unsigned char *>(words);
    }
    const unsigned char *string() const
    {
        return reinterpret_cast<const unsigned char *>(words);
    }
};

/// The name of a dentry: what qstr is to everybody else, with fields that renames may change under
/// a reader. Stable while d_lock is held; otherwise check d_seq.
struct dentry_name {
    once<u64> hash_len;
    once<const unsigned char *> name;

    u32 hash() const
    {
        return hashlen_hash(READ_ONCE(hash_len));
    }
    u32 len() const
    {
        return hashlen_len(READ_ONCE(hash_len));
    }
};

struct dentry_operations {
    /// Is this cached entry still good? >0 yes, 0 no (it is invalidated), negative errno.
    int (*d_revalidate)(inode *dir, const qstr *name, dentry *dentry, unsigned flags);
    int (*d_weak_revalidate)(dentry *dentry, unsigned flags);
    /// May replace name->hash. 0 or a negative errno. May be called under RCU.
    int (*d_hash)(const dentry *dir, qstr *name);
    /// 0 when `name` is the name (length, text) of `dentry`. Called under d_lock, or under RCU
    /// alone; then the text may be rewritten during the call (the result is thrown away) and must
    /// be read with read_word_at_a_time().
    int (*d_compare)(const dentry *dentry, unsigned length, const char *text, const qstr *name);
    /// Non-zero: do not keep the entry after its last reference. Under d_lock.
    int (*d_delete)(const dentry *dentry);
    /// Sets up fs-private fields of a new dentry. 0 or a negative errno.
    int (*d_init)(dentry *dentry);
    /// The last thing a file system sees of a dentry. No spinlock held; may sleep.
    void (*d_release)(dentry *dentry);
    /// The dentry is about to be unhashed for good. Under d_lock.
    void (*d_prune)(dentry *dentry);
    /// Takes over the inode reference of a dentry that lost its inode. No spinlock held; may sleep.
    void (*d_iput)(dentry *dentry, inode *inode);
    /// Writes a made-up name at the end of the buffer and returns its start.
    char *(*d_dname)(dentry *dentry, char *buffer, int length);
    /// The mount that belongs on `path`, attached nowhere, with one reference; nullptr when one is
    /// there meanwhile; ERR_PTR, of which -EISDIR means that the walk stays where it is. The walk
    /// holds `path`. May sleep.
    vfsmount *(*d_automount)(path *path);
    /// May a walk pass here? 0; -EISDIR: yes, but it looks for no mount; another negative errno.
    /// In an RCU walk it must not sleep; what is neither of the two has it called again with a
    /// reference held.
    int (*d_manage)(const path *path, bool rcu_walk);
    dentry *(*d_real)(dentry *dentry, int type);
    /// Extra locking of a file system around the move of an alias by __d_unalias().
    bool (*d_unalias_trylock)(const dentry *alias);
    void (*d_unalias_unlock)(const dentry *alias);
};

enum dentry_flags : unsigned {
    DCACHE_OP_HASH = 1u << 0,
    DCACHE_OP_COMPARE = 1u << 1,
    DCACHE_OP_REVALIDATE = 1u << 2,
    DCACHE_OP_DELETE = 1u << 3,
    DCACHE_OP_PRUNE = 1u << 4,
    DCACHE_DISCONNECTED = 1u << 5,   ///< maybe not connected to the tree yet (file handles)
    DCACHE_REFERENCED = 1u << 6,     ///< used since it was put on the LRU: one more round
    DCACHE_DONTCACHE = 1u << 7,      ///< not to be kept after the last reference
    DCACHE_CANT_MOUNT = 1u << 8,     ///< removed: nobody may mount here any more
    DCACHE_LOOKUP_WAITERS = 1u << 9, ///< somebody sleeps until PAR_LOOKUP is cleared
    DCACHE_SHRINK_LIST = 1u << 10,   ///< d_lru is on a list private to one task
    DCACHE_OP_WEAK_REVALIDATE = 1u << 11,
    DCACHE_NFSFS_RENAMED = 1u << 12, ///< silly-renamed: to be removed with the last reference
    DCACHE_FSNOTIFY_PARENT_WATCHED = 1u << 13,
    DCACHE_DENTRY_KILLED = 1u << 14, ///< off the tree; only its memory is left
    DCACHE_MOUNTED = 1u << 15,       ///< something is mounted here
    DCACHE_NEED_AUTOMOUNT = 1u << 16,
    DCACHE_MANAGE_TRANSIT = 1u << 17,
    DCACHE_LRU_LIST = 1u << 18, ///< d_lru is in use, on the LRU or on a private list
    DCACHE_ENTRY_TYPE = 7u << 19,
    DCACHE_MISS_TYPE = 0u << 19, ///< negative
    DCACHE_WHITEOUT_TYPE = 1u << 19,
    DCACHE_DIRECTORY_TYPE = 2u << 19,
    DCACHE_AUTODIR_TYPE = 3u << 19, ///< directory without ->lookup()
    DCACHE_REGULAR_TYPE = 4u << 19,
    DCACHE_SPECIAL_TYPE = 5u << 19,
    DCACHE_SYMLINK_TYPE = 6u << 19,
    DCACHE_NOKEY_NAME = 1u << 22,
    DCACHE_OP_REAL = 1u << 23,
    DCACHE_PAR_LOOKUP = 1u << 24,    ///< its owner is asking the file system about the name
    DCACHE_DENTRY_CURSOR = 1u << 25, ///< a reading position in a directory, not a name
    DCACHE_NORCU = 1u << 26,         ///< freed without a grace period; count never leaves 0 again
    DCACHE_PERSISTENT = 1u << 27,    ///< pinned by one reference until umount or d_make_discardable
    /// Own, for the checker: hashed on purpose while its name is in lookup (readdir of ovlfs), or
    /// in lookup on purpose while its name is hashed (d_duplicate()).
    DCACHE_BESIDE_LOOKUP = 1u << 29,
    DCACHE_GENOCIDE = 1u << 30,   ///< v6.12: d_genocide() has dropped its reference already
    DCACHE_OBLIGATION = 1u << 31, ///< own: src/vfs/obligations.cc has a note about it

    DCACHE_MANAGED_DENTRY = DCACHE_MOUNTED | DCACHE_NEED_AUTOMOUNT | DCACHE_MANAGE_TRANSIT,
    DCACHE_OP_FLAGS = DCACHE_OP_HASH | DCACHE_OP_COMPARE | DCACHE_OP_REVALIDATE |
                      DCACHE_OP_WEAK_REVALIDATE | DCACHE_OP_DELETE | DCACHE_OP_PRUNE |
                      DCACHE_OP_REAL,
};

/// One name in one directory.
///
/// Layout is v7.2's: the first cache line holds all that a lockless hash probe touches, the third
/// what references and tree changes write, so that readers and writers do not share a line.
struct alignas(64) dentry {
    // RCU lookup touches these. Written under d_lock; names, parent and inode inside a d_seq
    // section.
    once<unsigned> d_flags;
    seqcount_t d_seq; ///< writers hold d_lock
    hlist_bl_node d_hash;
    once<dentry *> d_parent; ///< itself for a root
    dentry_name d_name;
    once<inode *> d_inode; ///< nullptr: negative
    shortname_store d_shortname;

    // A lookup that takes a reference touches these as well.
    const dentry_operations *d_op; ///< set before the dentry can be found
    super_block *d_sb;             ///< constant
    once<unsigned long> d_time;    ///< for the file system's d_revalidate
    once<void *> d_fsdata;         ///< for the file system

    // Under d_lock, except d_sib: under the parent's.
    struct lockref d_lockref;
    union {
        list_head d_lru;
        /// Eras with a caller's queue, in-lookup only: where waiters sleep.
        wait_queue_head_t *d_wait;
    };
    hlist_node d_sib;      ///< in the parent's d_children, or in s_roots
    hlist_head d_children; ///< newest first
    union {
        hlist_node d_alias;             ///< positive: in inode->i_dentry, under i_lock
        hlist_bl_node d_in_lookup_hash; ///< in-lookup: chain in the in-lookup table
        rcu_head d_rcu;                 ///< killed: waiting for its grace period
        /// Negative and not in-lookup: tasks in shrink_dcache_parent() that wait for its death.
        completion_list *waiters;
    };
};

/// Nesting of d_locks, for the lock-order checker.
enum dentry_d_lock_class { DENTRY_D_LOCK_NORMAL, DENTRY_D_LOCK_NESTED };

/// Changes of names and parents. Written by d_move(), d_exchange() and d_splice_alias() alone;
/// taken outside every d_lock. Its holder must not sleep.
extern seqlock_t rename_lock;

// --- Questions about a dentry. No locks; the answer may be stale unless d_lock is held. ---

inline bool IS_ROOT(const dentry *dentry)
{
    return READ_ONCE(dentry->d_parent) == dentry;
}

inline bool d_unhashed(const dentry *dentry)
{
    return hlist_bl_unhashed(&dentry->d_hash);
}

/// Cannot be found by name any more, removed or dropped. False for a root, which never could.
inline bool d_unlinked(const dentry *dentry)
{
    return d_unhashed(dentry) && !IS_ROOT(dentry);
}

inline unsigned __d_entry_type(const dentry *dentry)
{
    return READ_ONCE(dentry->d_flags) & DCACHE_ENTRY_TYPE;
}

/// Acquire: a task that sees a type also sees the inode that was attached before it.
inline bool d_is_negative(const dentry *dentry)
{
    return (smp_load_acquire(&dentry->d_flags) & DCACHE_ENTRY_TYPE) == DCACHE_MISS_TYPE;
}

inline bool d_is_positive(const dentry *dentry)
{
    return !d_is_negative(dentry);
}

inline bool d_flags_negative(unsigned flags)
{
    return (flags & DCACHE_ENTRY_TYPE) == DCACHE_MISS_TYPE;
}

inline bool d_really_is_negative(const dentry *dentry)
{
    return !READ_ONCE(dentry->d_inode);
}

inline bool d_really_is_positive(const dentry *dentry)
{
    return READ_ONCE(dentry->d_inode) != nullptr;
}

inline bool d_can_lookup(const dentry *dentry)
{
    return __d_entry_type(dentry) == DCACHE_DIRECTORY_TYPE;
}

inline bool d_is_autodir(const dentry *dentry)
{
    return __d_entry_type(dentry) == DCACHE_AUTODIR_TYPE;
}

inline bool d_is_dir(const dentry *dentry)
{
    return d_can_lookup(dentry) || d_is_autodir(dentry);
}

inline bool d_is_symlink(const dentry *dentry)
{
    return __d_entry_type(dentry) == DCACHE_SYMLINK_TYPE;
}

inline bool d_is_reg(const dentry *dentry)
{
    return __d_entry_type(dentry) == DCACHE_REGULAR_TYPE;
}

inline bool d_is_special(const dentry *dentry)
{
    return __d_entry_type(dentry) == DCACHE_SPECIAL_TYPE;
}

inline bool d_in_lookup(const dentry *dentry)
{
    return READ_ONCE(dentry->d_flags) & DCACHE_PAR_LOOKUP;
}

inline bool d_mountpoint(const dentry *dentry)
{
    return READ_ONCE(dentry->d_flags) & DCACHE_MOUNTED;
}

inline bool d_managed(const dentry *dentry)
{
    return READ_ONCE(dentry->d_flags) & DCACHE_MANAGED_DENTRY;
}

inline bool cant_mount(const dentry *dentry)
{
    return READ_ONCE(dentry->d_flags) & DCACHE_CANT_MOUNT;
}

/// References held at some moment; negative when dead.
inline int d_count(const dentry *dentry)
{
    return READ_ONCE(dentry->d_lockref.count);
}

/// The inode of a dentry whose lock or a reference plus the parent's i_rwsem keeps it in place.
inline inode *d_inode(const dentry *dentry)
{
    return READ_ONCE(dentry->d_inode);
}

/// The inode as an RCU walker sees it; check d_seq before believing it.
inline inode *d_inode_rcu(const dentry *dentry)
{
    return READ_ONCE(dentry->d_inode);
}

// --- References ---

/// One more reference; d_lock held, and the dentry alive (hashed, positive, somebody's parent, or
/// count not negative). Returns its argument.
dentry *dget_dlock(dentry *dentry) __must_hold(&dentry->d_lockref.lock);
/// One more reference; the caller has one. nullptr is passed through. Never under this d_lock or a
/// descendant's. Returns its argument.
dentry *dget(dentry *dentry);
/// Takes a reference on an alias under its inode's i_lock. False for a NORCU dentry without
/// references: that one is beyond revival.
bool dget_alias_ilocked(dentry *dentry);
/// The current parent, referenced; the dentry itself for a root. The caller has a reference on
/// `dentry`. May sleep (a rename at the wrong moment makes it drop a reference).
dentry *dget_parent(dentry *dentry);
/// Drops a reference; nullptr is fine. The last one may kill the dentry and then its ancestors.
/// Sleeps: no spinlock and no RCU held.
void dput(dentry *dentry);
/// Drops a reference, but puts a dentry that should die on `list` for shrink_dentry_list(); one
/// that is on somebody else's list is left to them. Not for nullptr. Does not sleep.
void dput_to_list(dentry *dentry, list_head *list);

// --- Allocation ---

/// A child of `parent`: unhashed, negative, count 1, the name copied. nullptr when memory is short
/// or the file system's d_init refuses. Takes a reference on the parent. Sleeps.
dentry *d_alloc(dentry *parent, const qstr *name);
/// A root without a parent, named "/". As d_alloc() otherwise.
dentry *d_alloc_anon(super_block *sb);
/// d_alloc() of a NUL-terminated name, hashed by the standard function (->d_hash is not asked).
dentry *d_alloc_name(dentry *parent, const char *name);
/// A reading position for a directory, referenced, or nullptr. NORCU; holds a reference on `parent`
/// and is not among its children.
dentry *d_alloc_cursor(dentry *parent);
/// A root for objects without a place in any tree (pipes, sockets), referenced, or nullptr. NORCU,
/// never looked up.
dentry *d_alloc_pseudo(super_block *sb, const qstr *name);
/// Default operations of all dentries allocated for `sb` from now on.
void set_default_d_op(super_block *sb, const dentry_operations *ops);

// --- Lookup ---

/// The cached child of `parent` called `name`, referenced, or nullptr. A hit may be negative. The
/// caller pins `parent`; name->hash is set. A miss is no false miss caused by a rename.
dentry *d_lookup(const dentry *parent, const qstr *name);
/// d_lookup() that may miss an entry while something is renamed.
dentry *__d_lookup(const dentry *parent, const qstr *name);
/// Lockless: returns a dentry without a reference and its d_seq, or nullptr. Nothing about it may
/// be believed before read_seqcount_retry(&dentry->d_seq, *seqp) has said no. May miss.
dentry *__d_lookup_rcu(const dentry *parent, const qstr *name, unsigned *seqp)
    __must_hold_shared(rcu);
/// Hashes the name for `dir`, asking ->d_hash, and looks it up: referenced, nullptr, or the error
/// of ->d_hash as ERR_PTR.
dentry *d_hash_and_lookup(dentry *dir, qstr *name);
/// Is this dentry called `name`, by the rules of `parent`? d_lock held, or check d_seq after.
bool d_same_name(const dentry *dentry, const struct dentry *parent, const qstr *name);

// --- Hash membership ---

/// Takes a dentry out of the hash: it will not be found any more. Its users keep it.
void d_drop(dentry *dentry);
/// d_drop() with d_lock held.
void __d_drop(dentry *dentry) __must_hold(&dentry->d_lockref.lock);
/// Puts a dentry into the hash under its name. It must be unhashed, and no other of that name
/// hashed.
void d_rehash(dentry *dentry);

// --- Inodes ---

/// Attaches `inode` to a negative dentry and consumes the caller's inode reference; nullptr leaves
/// it negative. Does not hash. BUG for a positive dentry, WARN for one that is in-lookup.
void d_instantiate(dentry *dentry, inode *inode);
/// d_instantiate() for an inode under construction: also ends I_NEW and wakes who waits for that.
void d_instantiate_new(dentry *dentry, inode *inode);
/// Attaches `inode` (or records a miss when nullptr) to a negative, unhashed dentry and hashes it;
/// ends its in-lookup state and wakes the waiters. Consumes the inode reference. With
/// vfs_config::splice_hashed it may be hashed already.
void d_add(dentry *dentry, inode *inode);
/// The root of a new file system, referenced. nullptr without memory; the inode reference is
/// consumed in either case.
dentry *d_make_root(inode *root_inode);
/// Instantiates, hashes and pins a dentry: it stays until umount or d_make_discardable(). Consumes
/// the inode reference; returns its argument with no reference added for the caller.
dentry *d_make_persistent(dentry *dentry, inode *inode);
/// Drops the pin of d_make_persistent(); a reference of the caller's own stays. Sleeps: the pin may
/// have been the last reference.
void d_make_discardable(dentry *dentry);
/// The name was removed from the file system: the sole user turns the dentry negative, others make
/// it unhashed. The caller has a reference on this positive dentry and keeps it. Sleeps: the inode
/// reference may be the last.
void d_delete(dentry *dentry);
/// Attaches an inode without a name to the unlinked dentry of `file` (O_TMPFILE). Consumes the
/// inode reference and one link.
void d_tmpfile(file *file, inode *inode);
/// Gives the dentry of an O_TMPFILE file the name "#inode-number".
void d_mark_tmpfile(file *file, inode *inode);
/// Gives it a short name of the file system's choice. 0, -EINVAL for a dentry that is not a
/// nameless one, -ENAMETOOLONG when it does not fit inline.
int d_mark_tmpfile_name(file *file, const qstr *name);
/// A hashed alias of `inode`, referenced, or nullptr. For a directory its only alias, hashed or
/// not.
dentry *d_find_alias(inode *inode);
/// Any alias, referenced, or nullptr.
dentry *d_find_any_alias(inode *inode);
/// An alias without a reference. The caller is in RCU and the inode cannot go away meanwhile.
dentry *d_find_alias_rcu(inode *inode) __must_hold_shared(rcu);
/// Kills every alias nobody uses, except NORCU ones. The caller has a reference on the inode.
/// Sleeps.
void d_prune_aliases(inode *inode);
/// None of the aliases that this inode has now is kept after its last reference. The inode is
/// marked as well, for file systems that look.
void d_mark_dontcache(inode *inode);
/// A dentry for an inode that came without a path (file handle): an alias, or a new DISCONNECTED
/// root. Referenced, or ERR_PTR: -ESTALE for nullptr, the error passed in, -ENOMEM. Consumes the
/// inode reference in every case.
dentry *d_obtain_alias(inode *inode);
/// The same for a second root of a file system: linked into s_roots, not DISCONNECTED.
dentry *d_obtain_root(inode *inode);
/// Publishes the result of a lookup, at the end of ->lookup(): `dentry` gets `inode`, unless that
/// is a directory with an alias already, which is then moved into its place. Returns nullptr
/// (dentry was used), the alias with a reference, or ERR_PTR (-ELOOP, -ESTALE, the error passed as
/// inode). Consumes the inode reference. The parent's i_rwsem is held at least shared. BUG for a
/// hashed dentry, unless vfs_config::splice_hashed allows those that are negative. With an alias
/// returned, `dentry` ends unhashed, negative and not in-lookup; with an error it is as it was.
/// Sleeps.
dentry *d_splice_alias(inode *inode, dentry *dentry);
/// d_splice_alias() that gives the dentry operations of its own.
dentry *d_splice_alias_ops(inode *inode, dentry *dentry, const dentry_operations *ops);
/// For case-insensitive file systems, from ->lookup(): the dentry with the exact `name`, found or
/// made. Referenced, or ERR_PTR. Consumes the inode reference. `dentry` stays in-lookup.
dentry *d_add_ci(dentry *dentry, inode *inode, qstr *name);

// --- In-lookup ---

/// The dentry for (parent, name) when one exists or somebody else's lookup brings one; else a new
/// one in the in-lookup state: d_in_lookup() tells. In that case the caller owns the lookup and
/// ends it with d_add(), d_splice_alias() or d_lookup_done(). Referenced, or ERR_PTR(-ENOMEM).
/// Sleeps while somebody else's lookup runs. The parent's i_rwsem is held at least shared,
/// name->hash set. For the eras without a caller's queue; BUG in the others.
dentry *d_alloc_parallel(dentry *parent, const qstr *name);
/// The same for every era. Waiters for a lookup that the caller comes to own sleep on `wq`, which
/// must live until the lookup is done: see caller_wait_queue. nullptr in eras that need none.
dentry *d_alloc_parallel(dentry *parent, const qstr *name, wait_queue_head_t *wq);
/// Slow half of d_lookup_done().
void __d_lookup_unhash_wake(dentry *dentry);

/// Ends the in-lookup state and wakes the waiters. Harmless on any dentry that is not in-lookup.
/// Owner only, with a reference.
inline void d_lookup_done(dentry *dentry)
{
    if (unlikely(d_in_lookup(dentry)))
        __d_lookup_unhash_wake(dentry);
}

// --- Moving ---

/// Gives a positive `dentry` the parent and name of `target`, which ends unhashed. Both parents'
/// i_rwsem held, s_vfs_rename_mutex as well when they differ; references stay with their owners.
void d_move(dentry *dentry, struct dentry *target);
/// Exchanges parents and names of two positive dentries. Locking as d_move().
void d_exchange(dentry *dentry1, dentry *dentry2);
/// The child of `ancestor` on the way up from `descendant`, or nullptr when it is not above it.
/// No reference. The caller keeps the tree still (rename_lock or s_vfs_rename_mutex) or rechecks.
dentry *d_ancestor(dentry *ancestor, dentry *descendant);
/// Is `dentry` at or below `ancestor`? The caller pins `dentry`.
bool is_subdir(dentry *dentry, struct dentry *ancestor);

// --- Getting rid of dentries ---

/// Unhashes `dentry`, kills its unused descendants, detaches what is mounted below. The caller's
/// reference stays. Sleeps.
void d_invalidate(dentry *dentry);
/// Kills all unused descendants: when it returns there was a moment without any. Sleeps.
void shrink_dcache_parent(dentry *parent);
/// Kills the unused dentries of a file system until its LRU is empty. The caller keeps the super
/// block mounted. Sleeps.
void shrink_dcache_sb(super_block *sb);
/// Looks at sc->nr_to_scan of the least recently used dentries and kills those not used since.
/// Returns how many left the LRU. The caller keeps the super block mounted. Sleeps.
long prune_dcache_sb(super_block *sb, shrink_control *sc);
/// Kills every dentry of a file system that is being unmounted. Complains about those still in use
/// and returns their number. s_umount held for writing. Sleeps.
long shrink_dcache_for_umount(super_block *sb);
/// Kills what is on a private list, and ancestors that it held. Sleeps.
void shrink_dentry_list(list_head *list);
/// Puts an unused dentry on a private list. d_lock held. Returns whether it did.
bool __move_to_shrink_list(dentry *dentry, list_head *list) __must_hold(&dentry->d_lockref.lock);
/// Drops one reference of every hashed positive descendant, once (file systems that pin their whole
/// tree). Linux v6.12; v7.2 has PERSISTENT instead.
void d_genocide(dentry *parent);

// --- Mountpoints ---

/// Marks a dentry as a mountpoint. 0, -ENOENT when it or an ancestor was dropped, -EBUSY when it is
/// one already. Excludes d_invalidate(): only one of the two succeeds.
int d_set_mounted(dentry *dentry);
/// Is anything mounted at or below `parent`?
bool path_has_submounts(const path *parent);
/// Nothing may be mounted here any more.
void dont_mount(dentry *dentry);

// --- Names and paths. Results point into the caller's buffer; ERR_PTR(-ENAMETOOLONG) if short. ---

/// A name that stays while its dentry is renamed. Not copyable: a short name lies in the snapshot.
struct name_snapshot {
    qstr name;
    shortname_store inline_name;
};

/// Copies or references the current name, without locks. Release it with the function below. The
/// caller pins the dentry.
void take_dentry_name_snapshot(name_snapshot *snapshot, dentry *dentry);
void release_dentry_name_snapshot(name_snapshot *snapshot);

/// Path inside the file system.
char *dentry_path_raw(const dentry *dentry, char *buffer, int length);
/// The same, with "//deleted" after an unlinked one.
char *dentry_path(const dentry *dentry, char *buffer, int length);
/// Path as the process sees it from its root, with " (deleted)" after an unlinked one.
char *d_path(const path *path, char *buffer, int length);
/// Path from `root`; nullptr when it is not below it.
char *__d_path(const path *path, const struct path *root, char *buffer, int length);
/// Path from the top of the mount tree; ERR_PTR(-EINVAL) when not attached to it.
char *d_absolute_path(const path *path, char *buffer, int length);
/// For d_dname: "/name (deleted)".
char *simple_dname(dentry *dentry, char *buffer, int length);
/// For d_dname: printf into the end of the buffer, at most 64 bytes.
char *dynamic_dname(char *buffer, int length, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/// Inode number of the current parent. The caller pins the dentry.
ino_t d_parent_ino(dentry *dentry);

} // namespace dcsim::inline DCSIM_BACKEND
