// SPDX-License-Identifier: GPL-2.0-only
//
// What the files of fusefs share.
#pragma once

#include <boost/intrusive/set.hpp>

#include "dcsim/annotations.h"
#include "dcsim/kernel/list.h"
#include "dcsim/kernel/once.h"
#include "dcsim/kernel/rcupdate.h"
#include "dcsim/kernel/spinlock.h"
#include "dcsim/mockfs/fusefs.h"
#include "dcsim/mockfs/mock_filesystem.h"
#include "dcsim/vfs/inode.h"
#include "fusefs_daemon.h"
#include "mock_watcher.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// A FORGET. Allocated before the lookup that it may have to take back.
struct fuse_forget_link {
    list_head link;
    u64 nodeid;
    u64 nlookup;
};

/// inode::i_private. Freed a grace period after the inode.
struct fuse_inode {
    u64 nodeid;               ///< constant
    fuse_forget_link *forget; ///< for the inode's end
    spinlock_t lock;          ///< guards the two below; leaf
    u64 nlookup;              ///< lookups that the daemon will be given back
    u64 change;               ///< of the youngest attributes that are known
};

/// dentry::d_fsdata, which is constant. Freed a grace period after the dentry's end.
struct fuse_dentry {
    once<u64> time; ///< until when the entry is believed; written by whoever has a reference
    u64 tree_time;  ///< what it is sorted by, while in the tree
    boost::intrusive::set_member_hook<boost::intrusive::link_mode<boost::intrusive::safe_link>>
        node;
    struct dentry *dentry; ///< constant
    rcu_head rcu;
};

struct expiry_of_dentry {
    using type = u64;
    u64 operator()(const fuse_dentry &fd) const
    {
        return fd.tree_time;
    }
};

using fuse_dentry_tree = boost::intrusive::multiset<
    fuse_dentry, boost::intrusive::key_of_value<expiry_of_dentry>,
    boost::intrusive::constant_time_size<false>,
    boost::intrusive::member_hook<fuse_dentry, decltype(fuse_dentry::node), &fuse_dentry::node>>;

/// The mount options.
struct fuse_settings {
    int64_t entry_timeout;
    int64_t readdirplus;
    int64_t atomic_create;
    int64_t delete_stale;
    int64_t inval_wq;
    int64_t notify;
    int64_t delay_us;
};

/// sb->s_fs_info. Freed a grace period after the unmount: walks in RCU mode look at the clock.
///
/// Locking
///   lock               guards the two queues; leaf
///   dentry_tree_lock   guards the tree, and node and tree_time of what is in it; outside d_lock.
///                      ->d_release() takes it, so a dentry that is in the tree stays as long as it
///                      is held.
struct fuse_conn {
    mock_watcher watcher;
    fuse_settings settings;
    fuse_daemon *daemon;
    once<u64> clock;

    spinlock_t lock;
    list_head forgets;
    list_head notifications;
    once<long> forgets_pending; ///< written under the lock, read as a hint without
    once<long> notifications_pending;

    spinlock_t dentry_tree_lock;
    fuse_dentry_tree dentry_tree;
    once<u64> first_expiry; ///< of the first in the tree, or NEVER; a hint without the lock

    rcu_head rcu;
};

inline constexpr u64 NEVER = ~u64{0};

inline fuse_conn *get_fuse_conn_super(const super_block *sb)
{
    return static_cast<fuse_conn *>(sb->s_fs_info);
}

inline fuse_conn *get_fuse_conn(const inode *inode)
{
    return get_fuse_conn_super(inode->i_sb);
}

inline fuse_inode *get_fuse_inode(const inode *inode)
{
    return static_cast<fuse_inode *>(inode->i_private);
}

inline u64 get_node_id(const inode *inode)
{
    return get_fuse_inode(inode)->nodeid;
}

/// No name stands for the root. Linux v6.12 fs/fuse/fuse_i.h.
inline bool invalid_nodeid(const fuse_conn *fc, u64 nodeid)
{
    return nodeid == server_root(fuse_daemon_files(fc->daemon));
}

inline fuse_dentry *get_fuse_dentry(const dentry *dentry)
{
    return static_cast<fuse_dentry *>(READ_LOCKED(dentry->d_fsdata));
}

// --- Inodes and what the daemon gets back (fusefs.cc) ---

fuse_forget_link *fuse_alloc_forget();
/// Sends it off. Consumes `forget`. Does not sleep.
void fuse_queue_forget(fuse_conn *fc, fuse_forget_link *forget, u64 nodeid, u64 nlookup);
/// The inode of a node that the daemon has just told of, with that lookup counted; referenced.
/// nullptr without memory, and then the lookup is the caller's to give back.
inode *fuse_iget(super_block *sb, const server_attributes *attributes);
/// What the daemon says of the inode, unless something younger is known.
void fuse_change_attributes(inode *inode, const server_attributes *attributes);

// --- Entries and their time (fusefs_expiry.cc) ---

/// Until when an entry is believed that the daemon has just told of.
u64 fuse_entry_expiry(const fuse_conn *fc);
bool fuse_entry_expired(const dentry *entry);
/// The caller has a reference.
void fuse_dentry_settime(dentry *entry, u64 time);
/// The entry is not believed any more: the next walk asks the daemon.
void fuse_invalidate_entry_cache(dentry *entry);
void fuse_change_entry_timeout(dentry *entry);

extern const dentry_operations fuse_dentry_operations;

// --- Directories (fusefs_dir.cc, fusefs_readdir.cc) ---

extern const inode_operations fuse_dir_inode_operations;
extern const inode_operations fuse_file_inode_operations;
extern const inode_operations fuse_symlink_inode_operations;
extern const file_operations fuse_dir_operations;

} // namespace dcsim::inline DCSIM_BACKEND
