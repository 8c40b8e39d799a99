// SPDX-License-Identifier: GPL-2.0-only
//
// Inodes, as far as the dcache needs them: aliases, locks, link count, the inode hash.
// Source: include/linux/fs.h and fs/inode.c of Linux v6.12. Reduced: no page cache, no write-back,
// no inode LRU (an inode lives as long as it has references), no memory cgroups.
//
// Lifetime: iget_locked() makes an inode in state I_NEW that others wait for; unlock_new_inode() or
// d_instantiate_new() ends that; iput() of the last reference lets the file system evict it, takes
// it out of the hash, and frees it after a grace period. Who asks for its number meanwhile waits.
#pragma once

#include "dcsim/annotations.h"
#include "dcsim/kernel/list.h"
#include "dcsim/kernel/once.h"
#include "dcsim/kernel/rcupdate.h"
#include "dcsim/kernel/rwsem.h"
#include "dcsim/kernel/spinlock.h"
#include "dcsim/vfs/cred.h"
#include "dcsim/vfs/dcache.h"
#include "dcsim/vfs/operations.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// File types in i_mode, as in <sys/stat.h>.
enum : umode_t {
    S_IFMT_MASK = 0170000,
    S_IFSOCK_TYPE = 0140000,
    S_IFLNK_TYPE = 0120000,
    S_IFREG_TYPE = 0100000,
    S_IFBLK_TYPE = 0060000,
    S_IFDIR_TYPE = 0040000,
    S_IFCHR_TYPE = 0020000,
    S_IFIFO_TYPE = 0010000,
};

/// Permission bits in i_mode beyond those of <sys/stat.h>'s owner, group and others.
enum : umode_t {
    S_ISUID_BIT = 04000,
    S_ISGID_BIT = 02000,
    S_ISVTX_BIT = 01000, ///< sticky: only owners remove names
    S_IALLUGO_BITS = 07777,
};

/// i_flags
enum inode_flags : unsigned {
    S_DEAD = 1u << 4,       ///< removed directory: nothing may be created or looked up in it
    S_AUTOMOUNT = 1u << 11, ///< a mount is made here on demand
    S_CASEFOLD = 1u << 15,  ///< directory in which names that differ in case are one; constant
};

/// i_opflags: what d_flags_for_inode() found out about i_op once and for all.
enum inode_opflags : unsigned {
    IOP_FASTPERM = 1u << 0, ///< no ->permission(); noted by the first walk in ref mode
    IOP_LOOKUP = 1u << 1,
    IOP_NOFOLLOW = 1u << 2,
};

/// i_state
enum inode_state : unsigned {
    I_NEW = 1u << 0,       ///< being filled in by the one who made it; others wait
    I_FREEING = 1u << 5,   ///< the last reference is gone
    I_CLEAR = 1u << 6,     ///< and the file system is done with it
    I_LINKABLE = 1u << 10, ///< O_TMPFILE: may get a first name though it has no link
    I_CREATING = 1u << 15, ///< being created on disk: not to be had, not to be waited for
    I_DONTCACHE = 1u << 16,
};

/// Order of locking several i_rwsems, for the lock-order checker.
enum inode_i_mutex_lock_class {
    I_MUTEX_NORMAL,
    I_MUTEX_PARENT,
    I_MUTEX_CHILD,
    I_MUTEX_XATTR,
    I_MUTEX_NONDIR2,
    I_MUTEX_PARENT2,
};

struct inode {
    // A path walk touches these. Mode and owner change with i_rwsem held for writing.
    once<umode_t> i_mode;
    once<unsigned> i_opflags;
    once<kuid_t> i_uid;
    once<kgid_t> i_gid;
    once<unsigned> i_flags; ///< S_DEAD is set with i_rwsem held for writing
    const inode_operations *i_op;
    super_block *i_sb; ///< constant
    /// The body of a symbolic link that stays as it is, so that nobody has to be asked; or nullptr.
    /// Constant after I_NEW; freed with the inode, after a grace period.
    once<const char *> i_link;

    ino_t i_ino; ///< constant
    union {
        const file_operations *i_fop;     ///< of files opened on it; never null
        void (*free_inode)(inode *inode); ///< once it is being freed: super_operations' own
    };
    once<int64_t> i_size;   ///< written with i_rwsem held for writing
    unsigned i_rdev;        ///< of a device file, constant after I_NEW
    once<unsigned> i_nlink; ///< written with i_rwsem held for writing
    atomic_t i_count;
    void *i_private; ///< for the file system, constant after I_NEW

    /// Guards i_state, i_dentry, and d_alias and d_inode of the dentries on it. Taken outside their
    /// d_locks; its holder must not sleep.
    spinlock_t i_lock;
    once<unsigned> i_state;
    hlist_head i_dentry; ///< aliases; a directory has at most one

    /// A directory's contents: held shared by lookups, for writing by whoever changes them. Taken
    /// before rename_lock and every spinlock, ancestors before descendants.
    rw_semaphore i_rwsem;
    /// Odd while a dentry of this directory moves from the in-lookup table into the hash. Changed
    /// by start_dir_add() and end_dir_add() under a child's d_lock.
    once<unsigned> i_dir_seq;

    hlist_node i_hash;   ///< under the inode hash lock
    list_head i_sb_list; ///< under s_inode_list_lock
    rcu_head i_rcu;
};

/// Is a file of this mode a directory?
inline bool S_ISDIR_mode(umode_t mode)
{
    return (mode & S_IFMT_MASK) == S_IFDIR_TYPE;
}

inline bool S_ISLNK_mode(umode_t mode)
{
    return (mode & S_IFMT_MASK) == S_IFLNK_TYPE;
}

inline bool S_ISREG_mode(umode_t mode)
{
    return (mode & S_IFMT_MASK) == S_IFREG_TYPE;
}

/// A type never changes, so no lock is needed once the inode is filled in.
inline bool inode_is_directory(const inode *inode)
{
    return S_ISDIR_mode(READ_ONCE(inode->i_mode));
}

/// A directory that was removed.
inline bool IS_DEADDIR(const inode *inode)
{
    return READ_ONCE(inode->i_flags) & S_DEAD;
}

/// A directory in which names that differ in case are one.
inline bool IS_CASEFOLDED(const inode *inode)
{
    return READ_ONCE(inode->i_flags) & S_CASEFOLD;
}

/// The inode (sb, ino), referenced: found, or new with I_NEW set, which the caller fills in and
/// ends with unlock_new_inode() or iget_failed(). nullptr without memory. Sleeps while somebody
/// else is filling it in or freeing it.
inode *iget_locked(super_block *sb, ino_t ino);
/// The inode (sb, ino) if it is in memory and whole, referenced, or nullptr.
inode *ilookup(super_block *sb, ino_t ino);
/// A new inode that is not in the hash, referenced, without I_NEW. nullptr without memory.
inode *new_inode(super_block *sb);
/// A number for an inode of a file system that has none of its own: 1, 2, … since vfs_init().
ino_t get_next_ino();
/// Mode, device number and i_fop of an inode that is no regular file, directory or link. What is
/// behind devices is not modelled: they open, and so do FIFOs, which never wait. Sockets do not
/// (-ENXIO), nor does a FIFO for writing without waiting.
void init_special_inode(inode *inode, umode_t mode, unsigned device);
/// What files of an inode do whose file system says nothing: opening one gives -ENXIO.
extern const file_operations no_open_fops;
/// The new inode is complete: wakes who waits for it.
void unlock_new_inode(inode *inode);
/// The new inode could not be filled in: waiters get a fresh try. Consumes the reference.
void iget_failed(inode *inode);
/// One more reference; the caller has one.
void ihold(inode *inode);
/// One more reference unless the inode is being freed: returns it, or nullptr.
inode *igrab(inode *inode);
/// Drops a reference; nullptr is fine. The last one frees the inode. Sleeps.
void iput(inode *inode);

/// May the calling task do what `mask` (MAY_*) says with the inode? 0, -EACCES, what ->permission()
/// says, or -ECHILD under MAY_NOT_BLOCK. With MAY_NOT_BLOCK it neither sleeps nor takes locks nor
/// stores anything: RCU is enough. Linux v6.12 fs/namei.c.
int inode_permission(inode *inode, unsigned mask);
/// The check by mode bits, owner, groups and capabilities; 0 or -EACCES. Linux v6.12 fs/namei.c.
int generic_permission(inode *inode, unsigned mask);
/// Does the calling task own the inode, or has it CAP_FOWNER? Linux v6.12 fs/inode.c.
bool inode_owner_or_capable(const inode *inode);
/// Owner, group and mode of a new inode in `dir` (nullptr: none): the group and S_ISGID of a
/// set-group-id directory are passed on. Linux v6.12 fs/inode.c.
void inode_init_owner(inode *inode, const struct inode *dir, umode_t mode);

// Link counts: fs/inode.c. The inode's i_rwsem is held for writing, or nobody else knows it yet.

/// Sets the count, to 0 as well.
void set_nlink(inode *inode, unsigned links);
/// One name more. WARN when the last one is gone already: such an inode does not come back.
void inc_nlink(inode *inode);
/// One name less. WARN when there is none.
void drop_nlink(inode *inode);
/// No name any more, however many there were.
void clear_nlink(inode *inode);

// i_rwsem, as include/linux/fs.h names its operations. All but the trylock sleep.

/// For whoever changes the directory.
inline void inode_lock(inode *inode) __acquires(&inode->i_rwsem)
{
    down_write(&inode->i_rwsem);
}
/// With the place in the order of several: see inode_i_mutex_lock_class.
inline void inode_lock_nested(inode *inode, int subclass) __acquires(&inode->i_rwsem)
{
    down_write_nested(&inode->i_rwsem, subclass);
}
inline void inode_unlock(inode *inode) __releases(&inode->i_rwsem)
{
    up_write(&inode->i_rwsem);
}
/// For lookups.
inline void inode_lock_shared(inode *inode) __acquires_shared(&inode->i_rwsem)
{
    down_read(&inode->i_rwsem);
}
/// The same without waiting: false, and nothing held, while somebody has it for writing or queues.
inline bool inode_trylock_shared(inode *inode) __cond_acquires_shared(true, &inode->i_rwsem)
{
    return down_read_trylock(&inode->i_rwsem);
}
inline void inode_unlock_shared(inode *inode) __releases_shared(&inode->i_rwsem)
{
    up_read(&inode->i_rwsem);
}

} // namespace dcsim::inline DCSIM_BACKEND
