// SPDX-License-Identifier: GPL-2.0-only
//
// What the files of netfs share. Names are those of fs/nfs in Linux v6.12.
//
// Locking
//   inode->i_lock guards      cache_validity, cache_change_attribute, change_attr, attr_gencount
//                             and what the server said of the inode last. All may be read without,
//                             for a guess that the server's word replaces.
//   nfs_inode::rmdir_sem      of a directory: held for reading from before a silly-renamed file of
//                             it is looked up for its removal until the reply; for writing around
//                             the directory's own removal. Inside every i_rwsem. The reader may be
//                             released by another task. So no dentry is in lookup in a directory
//                             while it is removed: i_rwsem keeps the others away.
//   d_lock guards             DCACHE_NFSFS_RENAMED and, together with it, d_fsdata
//   server->pending_lock      the replies that have not come; a leaf
//
// d_fsdata of a dentry is nullptr, NFS_FSDATA_BLOCKED while its file is being removed on the
// server, or with DCACHE_NFSFS_RENAMED its nfs_unlinkdata.
#pragma once

#include "dcsim/kernel/list.h"
#include "dcsim/kernel/once.h"
#include "dcsim/kernel/rcupdate.h"
#include "dcsim/kernel/rwsem.h"
#include "dcsim/kernel/spinlock.h"
#include "dcsim/mockfs/netfs.h"
#include "dcsim/vfs/dcache.h"
#include "dcsim/vfs/inode.h"
#include "dcsim/vfs/operations.h"
#include "dcsim/vfs/super.h"
#include "mock_watcher.h"
#include "name_key.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// The option `lookupcache`, as the mount option of that name.
enum nfs_lookupcache : int64_t {
    NFS_LOOKUPCACHE_NONE, ///< no entry is trusted
    NFS_LOOKUPCACHE_POS,  ///< no negative entry is
    NFS_LOOKUPCACHE_ALL,
};

/// One mounted server: sb->s_fs_info. Constant up to `lookupcache`.
struct nfs_server {
    mock_watcher watcher;
    server_tree *tree;
    bool v4;             ///< with OPEN in the protocol
    bool cached;         ///< attributes are trusted until somebody doubts them
    bool nocto;          ///< an open does not make sure of the attributes
    bool readdirplus;    ///< reading a directory fills the dcache
    bool async_unlink;   ///< nobody waits for the removal of a silly-renamed file
    bool silly_hash;     ///< the name in an unlink's request is hashed
    int64_t lookupcache; ///< nfs_lookupcache

    once<unsigned> sillycounter;
    spinlock_t pending_lock;
    list_head pending; ///< nfs_unlinkdata whose reply has not come
    once<unsigned> pending_count;
    rcu_head rcu;
};

/// nfs_inode::flags
enum nfs_inode_flags : unsigned {
    NFS_INO_STALE = 1u << 0, ///< the server does not know it any more
};

/// nfs_inode::cache_validity
enum nfs_cache_validity : unsigned {
    NFS_INO_INVALID_CHANGE = 1u << 0, ///< its change attribute must be asked for
    NFS_INO_INVALID_OTHER = 1u << 1,  ///< what else is known of it, for stat(2)
};

/// What a client knows of an inode: inode->i_private. Freed with the inode, a grace period after
/// its end.
struct nfs_inode {
    u64 fileid; ///< constant; it is the file handle as well
    once<unsigned> flags;
    once<unsigned> cache_validity;
    once<u64> change_attr; ///< the server's, as last heard
    /// The client's own number of what it knows of a directory: moves when somebody else is seen to
    /// have changed it. Dentries were found good at one of these (d_time). Even; 0 is none.
    once<unsigned long> cache_change_attribute;
    once<unsigned long> attr_gencount; ///< moves with everything that is learnt of it
    rw_semaphore rmdir_sem;
};

inline nfs_server *NFS_SB(const super_block *sb)
{
    return static_cast<nfs_server *>(sb->s_fs_info);
}
inline nfs_server *NFS_SERVER(const inode *inode)
{
    return NFS_SB(inode->i_sb);
}
inline nfs_inode *NFS_I(const inode *inode)
{
    return static_cast<nfs_inode *>(inode->i_private);
}
inline u64 NFS_FILEID(const inode *inode)
{
    return NFS_I(inode)->fileid;
}
inline bool NFS_STALE(const inode *inode)
{
    return READ_ONCE(NFS_I(inode)->flags) & NFS_INO_STALE;
}

/// A dentry's name. Stable: it is negative, or its directory is locked.
inline qstr nfs_name(const dentry *dentry)
{
    qstr name;

    name.hash_len = READ_ONCE(dentry->d_name.hash_len);
    name.name = READ_ONCE(dentry->d_name.name);
    return name;
}
inline name_key nfs_key(const qstr &name)
{
    return {reinterpret_cast<const char *>(name.name), name.len};
}

/// Something in d_fsdata that is no pointer: see nfs_unlink().
inline void *const NFS_FSDATA_BLOCKED = reinterpret_cast<void *>(1);

// --- netfs_inode.cc ---

/// The inode of what the server told of, referenced, or ERR_PTR(-ENOMEM). Sleeps.
inode *nfs_fhget(super_block *sb, const server_attributes &fattr);
/// The server's word on the inode; older news than what is known is ignored.
void nfs_refresh_inode(inode *inode, const server_attributes &fattr);
/// Asks the server for the attributes. 0 or a negative errno; -ESTALE marks a file stale.
int __nfs_revalidate_inode(inode *inode);
/// __nfs_revalidate_inode() if what is known of a directory's contents must not be trusted.
bool nfs_mapping_need_revalidate_inode(const inode *inode);
/// The names of a directory may be others than those cached. i_lock held.
void nfs_force_lookup_revalidate(inode *dir) __must_hold(&dir->i_lock);
/// A change of this client's own was carried out in `dir`.
void nfs4_update_changeattr(inode *dir, const server_change_info &info);
void nfs_set_cache_invalid(inode *inode, unsigned flags);
/// The server has given the inode another name.
void nfs_mark_renamed(inode *inode);
/// A name of the inode is gone; `gencount` is attr_gencount of before that.
void nfs_drop_nlink(inode *inode, unsigned long gencount);
int nfs_getattr(const path *path, kstat *stat);
int nfs_setattr(dentry *dentry, iattr *attributes);

/// For verifiers: what is known of a directory now.
inline unsigned long nfs_save_change_attribute(const inode *dir)
{
    return READ_ONCE(NFS_I(dir)->cache_change_attribute);
}

// --- netfs_revalidate.cc ---

extern const dentry_operations nfs_dentry_operations;
extern const dentry_operations nfs4_dentry_operations;
/// The dentry is good as of this verifier, unless that is out of date already.
void nfs_set_verifier(dentry *dentry, unsigned long verf);
/// Until unblock_revalidate(), ->d_revalidate() waits. d_lock held.
void block_revalidate(dentry *dentry) __must_hold(&dentry->d_lockref.lock);
void unblock_revalidate(dentry *dentry);

// --- netfs_lookup.cc ---

/// ->lookup() without the test's part in it.
dentry *nfs_do_lookup(inode *dir, dentry *dentry, unsigned flags);
dentry *nfs_lookup(inode *dir, dentry *dentry, unsigned flags);
/// What the mount's before_lookup says of a name that is in lookup: 0 or a negative errno.
int nfs_before_lookup(inode *dir, dentry *dentry);

// --- netfs_readdir.cc ---

extern const file_operations nfs_dir_operations;

// --- netfs_open.cc ---

int nfs_atomic_open(inode *dir, dentry *dentry, file *file, unsigned open_flags, umode_t mode);
int nfs_atomic_open_v23(inode *dir, dentry *dentry, file *file, unsigned open_flags, umode_t mode);
extern const file_operations nfs4_file_operations;

// --- netfs_directory.cc ---

/// d_drop() of a dentry that nfs_splice_alias() is about to publish, where that wants it unhashed.
void nfs_drop_before_splice(dentry *dentry);
/// d_splice_alias(), also for a negative dentry that was in the cache and may be on the LRU.
dentry *nfs_splice_alias(inode *inode, dentry *dentry);
/// Makes a regular file. `open_flags`: OPEN_EXCL. 0 or a negative errno, with the dentry dropped.
int nfs_do_create(inode *dir, dentry *dentry, umode_t mode, unsigned open_flags);
int nfs_create(inode *dir, dentry *dentry, umode_t mode, bool excl);
int nfs_mknod(inode *dir, dentry *dentry, umode_t mode, unsigned device);
int nfs_mkdir(inode *dir, dentry *dentry, umode_t mode);
int nfs_symlink(inode *dir, dentry *dentry, const char *body);
int nfs_link(dentry *old_dentry, inode *dir, dentry *dentry);
const char *nfs_get_link(dentry *dentry, inode *inode, delayed_call *done);

// --- netfs_remove.cc ---

int nfs_unlink(inode *dir, dentry *dentry);
int nfs_rmdir(inode *dir, dentry *dentry);
int nfs_rename(inode *old_dir, dentry *old_dentry, inode *new_dir, dentry *new_dentry,
               unsigned flags);
/// RENAME, and what it changed in the two directories.
int nfs_proc_rename(inode *old_dir, const qstr &old_name, inode *new_dir, const qstr &new_name);

// --- netfs_silly.cc ---

/// Gives an open file that is to be removed a name of its own. `dir` is locked for writing. 0 or a
/// negative errno.
int nfs_sillyrename(inode *dir, dentry *dentry);
/// ->d_iput() of a silly-renamed dentry: sends the removal. Sleeps.
void nfs_complete_unlink(dentry *dentry, inode *inode);
/// The reply to the oldest removal comes: false when there is none to come. Sleeps.
bool nfs_unlink_reply(super_block *sb);

} // namespace dcsim::inline DCSIM_BACKEND
