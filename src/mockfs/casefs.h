// SPDX-License-Identifier: GPL-2.0-only
//
// casefs: a file system for which "Foo" and "foo" are one name. Which kernel's file system it is
// depends on how it is mounted:
//
//     as it comes          ext4, f2fs: d_hash and d_compare fold, in directories that have the flag
//     compare = 0          xfs-ci, the old ntfs: the cache tells spellings apart and the disk does
//                          not; ->lookup() ends in d_add_ci()
//     casefold, revalidate,
//     prime = 1            cifs with "nocase": every directory folds, the server is asked again,
//                          and reading a directory fills the cache
//
// Case is that of ASCII letters.
//
// The disk is a server_tree, which keeps names as they were written; casefs adds which of its
// directories fold.
//
// Locking
//   a directory's i_rwsem     its names, against this kernel: shared to look, for writing to change
//   disk->change_lock         a question to the server and the change that relies on its answer,
//                             against other such pairs and against those who change the server
//                             behind the kernel's back. Taken under i_rwsem, outside every
//                             spinlock; its holder sleeps
//   disk->folding_lock        which directories fold; a leaf
//   an inode's i_lock         its links and size, and how young the answer is that they are from
#pragma once

#include "dcsim/kernel/list.h"
#include "dcsim/kernel/rwsem.h"
#include "dcsim/kernel/spinlock.h"
#include "dcsim/mockfs/mock_filesystem.h"
#include "dcsim/mockfs/server_tree.h"
#include "dcsim/vfs/dcache.h"
#include "dcsim/vfs/inode.h"
#include "mock_watcher.h"
#include "name_key.h"
#include "server_client.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// How it is mounted. docs/filesystems/casefs.md says what each does.
struct casefs_options {
    int64_t casefold = 0;
    int64_t compare = 1;
    int64_t add_ci = 0;
    int64_t negatives = 0;
    int64_t revalidate = 0;
    int64_t prime = 0;
};

/// inode::i_private. Freed with the inode, a grace period after its end.
struct casefs_inode {
    u64 change; ///< of the youngest attributes that are known; under i_lock
};

/// One directory that folds.
struct casefs_folding {
    list_head list; ///< in disk->folding
    u64 fileid;     ///< constant
};

/// sb->s_fs_info.
struct casefs_disk {
    mock_watcher watcher;
    casefs_options options;
    server_tree *server;
    mutex change_lock;       ///< see above
    spinlock_t folding_lock; ///< guards `folding`
    list_head folding;
};

inline casefs_disk *casefs_disk_of(const super_block *sb)
{
    return static_cast<casefs_disk *>(sb->s_fs_info);
}

// --- casefs_names.cc ---

/// The operations of dentries that go with these options.
const dentry_operations *casefs_dentry_operations(const casefs_options &options);

// --- casefs_inode.cc ---

/// Does a directory of this id fold? Takes folding_lock.
bool casefs_folds(casefs_disk *disk, u64 fileid);
/// Room to note that a directory folds; nullptr without memory.
casefs_folding *casefs_new_folding();
/// Notes it. `record` is the disk's from now on.
void casefs_add_folding(casefs_disk *disk, casefs_folding *record, u64 fileid);
/// The inode of what the server has described, referenced, or ERR_PTR(-ENOMEM).
inode *casefs_iget(super_block *sb, const server_attributes &attributes);
/// The same for what has just been made, still I_NEW, for d_instantiate_new(). change_lock held
/// since it was made.
inode *casefs_iget_made(super_block *sb, const server_attributes &attributes);
/// What the server says of an inode, unless something younger is known: who asks again on every
/// walk (`revalidate`) or reads a directory (`prime`) holds nothing that would keep others from
/// changing the object and telling the inode before.
void casefs_update(inode *inode, const server_attributes &attributes);
/// Asks the server and does that; what is not there any more has no links, and never will.
void casefs_refresh(inode *inode);
/// Frees the disk and what is on it. Nobody uses it any more.
void casefs_free_disk(casefs_disk *disk);
extern const super_operations casefs_super_operations;

// --- casefs_directory.cc, casefs_readdir.cc ---

/// What the server has under the name of `dentry` in `dir`, by the rules of `dir`, with its own
/// spelling. 0, -ENOENT, -ENAMETOOLONG, -ESTALE.
int casefs_find(const inode *dir, const dentry *dentry, server_entry *found);
extern const inode_operations casefs_dir_inode_operations;
extern const file_operations casefs_dir_operations;

} // namespace dcsim::inline DCSIM_BACKEND
