// SPDX-License-Identifier: GPL-2.0-only
//
// What the files of ovlfs share.
//
//   ovlfs.cc          mounting and filling it, and its place among the mock file systems
//   ovlfs_util.cc     what is known about a dentry of the overlay, and about objects of the upper
//   ovlfs_inode.cc    inodes and their attributes
//   ovlfs_namei.cc    ->lookup(): one name in two layers
//   ovlfs_readdir.cc  merged directories
//   ovlfs_copy_up.cc  from the lower layer to the upper one
//   ovlfs_dir.cc      making, removing, renaming
//
// Names, layouts and orders are those of fs/overlayfs of Linux v6.12, with the locking of the upper
// layer as v6.19 has it (start_creating() and its relatives). docs/filesystems/ovlfs.md says what
// is left out.
//
// Locking, outer to inner
//   the overlay's s_vfs_rename_mutex and i_rwsems
//     ovl_inode::lock              one copy up of an object at a time; with option `shared` also
//                                  one reader of a directory at a time
//       the layers' s_vfs_rename_mutex, i_rwsems
//         ovl_fs::xattr_lock       what the upper layer's objects have beside them
#pragma once

#include <boost/intrusive/set.hpp>

#include "dcsim/kernel/list.h"
#include "dcsim/kernel/rwsem.h"
#include "dcsim/mockfs/memfs.h"
#include "dcsim/mockfs/mock_filesystem.h"
#include "dcsim/vfs/attributes.h"
#include "dcsim/vfs/dcache.h"
#include "dcsim/vfs/inode.h"
#include "dcsim/vfs/namei.h"
#include "dcsim/vfs/task.h"
#include "mock_watcher.h"
#include "name_key.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// How a reader of a merged directory gets at a child: option `readdir`.
enum ovl_readdir_form : int64_t {
    OVL_READDIR_WAIT,    ///< v6.12: lookup_one(), which waits for somebody else's lookup
    OVL_READDIR_NOBLOCK, ///< v3 09/19: a dentry of its own when somebody else looks the name up
    OVL_READDIR_RETURN,  ///< v3 10/19: and tells them, by a flag on their dentry
    OVL_READDIR_BLOCKER, ///< the same with the contract that the reviewer of 10/19 asked for
};

/// Flags of a dentry of the overlay, in d_fsdata. Changed by atomic operations.
enum ovl_entry_flag : unsigned long {
    OVL_E_OPAQUE = 1ul << 0, ///< the upper layer hides what is below; negative: by a whiteout
    OVL_E_RACED_READDIR = 1ul << 1, ///< readdir met it in lookup
};

/// ovl_inode::flags
enum ovl_inode_flag : unsigned {
    OVL_IMPURE = 1u << 0,    ///< upper directory that may have entries with an origin below
    OVL_WHITEOUTS = 1u << 1, ///< directory that may have whiteouts: it is read merged
    OVL_CONST_INO = 1u << 2, ///< the inode number is the lower one's, before and after copy up
};

/// What kind of thing a dentry of the overlay is made of.
enum : unsigned {
    __OVL_PATH_UPPER = 1u << 0,
    __OVL_PATH_MERGE = 1u << 1,
    __OVL_PATH_ORIGIN = 1u << 2,
};
inline bool OVL_TYPE_UPPER(unsigned type)
{
    return type & __OVL_PATH_UPPER;
}
inline bool OVL_TYPE_MERGE(unsigned type)
{
    return type & __OVL_PATH_MERGE;
}
inline bool OVL_TYPE_ORIGIN(unsigned type)
{
    return type & __OVL_PATH_ORIGIN;
}

struct ovl_dir_cache;

/// inode::i_private.
struct ovl_inode {
    mutex lock;                 ///< see above
    once<dentry *> upperdentry; ///< holds a reference; set once, by copy up under `lock`
    dentry *lowerdentry;        ///< constant; holds a reference. Of an upper file: its origin
    once<unsigned> flags;       ///< OVL_*; changed by atomic operations
    /// Of a directory: moves when its names do. Its i_rwsem held for writing.
    u64 version;
    /// Of a directory: its names as they were last read. Guarded as readers are kept apart: by the
    /// directory's i_rwsem held for writing, or by `lock`.
    ovl_dir_cache *cache;
};

using ovl_set_hook =
    boost::intrusive::set_member_hook<boost::intrusive::link_mode<boost::intrusive::normal_link>>;

/// The extended attributes that overlayfs gives an object of the upper layer. memfs has none, so
/// they are kept here, by inode number.
struct ovl_xattr {
    ovl_set_hook link;
    ino_t ino;
    bool opaque;    ///< overlay.opaque
    bool impure;    ///< overlay.impure
    dentry *origin; ///< overlay.origin: what it was copied from, with a reference; or nullptr
};
struct ino_of_xattr {
    using type = ino_t;
    ino_t operator()(const ovl_xattr &xattr) const
    {
        return xattr.ino;
    }
};
using ovl_xattr_set =
    boost::intrusive::set<ovl_xattr, boost::intrusive::key_of_value<ino_of_xattr>,
                          boost::intrusive::constant_time_size<false>,
                          boost::intrusive::member_hook<ovl_xattr, ovl_set_hook, &ovl_xattr::link>>;

/// An object as it was added while the file system was filled: where it is in the layers.
struct ovl_node {
    ovl_node *parent; ///< nullptr: the root
    list_head siblings;
    list_head children;
    memfs_node *upper;
    memfs_node *lower;
    umode_t mode;
    const char *body; ///< of a symbolic link; own copy
    size_t length;

    char *name()
    {
        return reinterpret_cast<char *>(this + 1);
    }
};

/// sb->s_fs_info.
struct ovl_fs {
    mock_watcher watcher;
    ino_t last_used_ino;
    int64_t readdir_form; ///< ovl_readdir_form
    int64_t recheck;      ///< ->lookup() looks for what readdir may have hashed
    int64_t shared;       ///< readdir under the directory's shared lock
    int64_t xino;         ///< readdir looks up every name

    super_block *upper_sb;
    super_block *lower_sb;
    dentry *upperdir; ///< holds a reference
    dentry
        *workdir; ///< holds a reference: where things are made before they are moved to their place
    ovl_node *root;

    once<unsigned> temp_id; ///< of the last name in workdir
    mutex xattr_lock;
    ovl_xattr_set xattrs __guarded_by(xattr_lock);
};

inline ovl_fs *OVL_FS(const super_block *sb)
{
    return static_cast<ovl_fs *>(sb->s_fs_info);
}
inline ovl_inode *OVL_I(const inode *inode)
{
    return static_cast<ovl_inode *>(inode->i_private);
}

/// The calling task works on the layers with the rights of who mounted the overlay, until the end
/// of the block; what it makes belongs to the given user and group. ovl_override_creds().
class ovl_creds
{
  public:
    ovl_creds() : ovl_creds(init_cred.fsuid, init_cred.fsgid) {}
    ovl_creds(kuid_t uid, kgid_t gid)
        : cred_{uid, gid, nullptr, 0, CAP_FULL_SET}, acting_(*current_vfs_task()),
          scope_((acting_.cred = &cred_, &acting_))
    {
    }
    ovl_creds(const ovl_creds &) = delete;
    ovl_creds &operator=(const ovl_creds &) = delete;

  private:
    cred cred_;
    vfs_task acting_;
    task_scope scope_;
};

/// What something is to be made from.
struct ovl_cattr {
    umode_t mode;
    unsigned rdev;
    const char *link; ///< body of a symbolic link
    dentry *hardlink; ///< the upper file that gets another name; the others mean nothing then
    kuid_t uid;
    kgid_t gid;
};

// --- ovlfs_util.cc ---

bool ovl_dentry_test_flag(unsigned long flag, const dentry *dentry);
void ovl_dentry_set_flag(unsigned long flag, dentry *dentry);
void ovl_dentry_clear_flag(unsigned long flag, dentry *dentry);
bool ovl_test_flag(unsigned flag, const inode *inode);
void ovl_set_flag(unsigned flag, inode *inode);
void ovl_clear_flag(unsigned flag, inode *inode);

/// The dentry in the upper layer, in the lower one, or nullptr. No reference: the overlay's inode
/// holds them, and the caller the overlay's dentry.
dentry *ovl_dentry_upper(const dentry *dentry);
struct dentry *ovl_dentry_lower(const struct dentry *dentry);
/// The upper one if there is one, else the lower.
dentry *ovl_dentry_real(const dentry *dentry);
unsigned ovl_path_type(const dentry *dentry);
bool ovl_type_merge(const dentry *dentry);
bool ovl_type_origin(const dentry *dentry);
/// A directory that is read from one layer alone.
bool ovl_dir_is_real(const inode *dir);
/// Is there nothing of a lower layer in it?
bool ovl_pure_upper(const dentry *dentry);
bool ovl_dentry_is_opaque(const dentry *dentry);
/// Negative because the upper layer says so.
bool ovl_dentry_is_whiteout(const dentry *dentry);
bool ovl_is_whiteout(const dentry *real);
/// Takes the attributes over from the real inode.
void ovl_copyattr(inode *inode);
/// Names of the directory have changed in the upper layer. Its i_rwsem held for writing.
void ovl_dir_modified(dentry *dentry);

/// What is known beside an object of the upper layer, by its number. `origin` is referenced.
struct ovl_xattr_values {
    bool opaque;
    bool impure;
    dentry *origin;
};
ovl_xattr_values ovl_get_xattr(ovl_fs *ofs, ino_t upper);
/// 0 or -ENOMEM.
int ovl_set_opaque_xattr(ovl_fs *ofs, ino_t upper);
int ovl_set_impure_xattr(ovl_fs *ofs, ino_t upper);
/// Takes a reference on `lower`.
int ovl_set_origin_xattr(ovl_fs *ofs, ino_t upper, dentry *lower);
/// The object is gone from the disk.
void ovl_forget_xattr(ovl_fs *ofs, ino_t upper);
/// Unmount.
void ovl_free_xattrs(ovl_fs *ofs);

// --- ovlfs_inode.cc ---

/// The overlay's inode for objects of the layers, either of which may be nullptr, referenced.
/// Consumes the references on both, in every case. ERR_PTR: -ENOMEM, -ESTALE when it is known with
/// others.
inode *ovl_get_inode(super_block *sb, dentry *upperdentry, dentry *lowerdentry);
/// The file was copied up: `upperdentry` is its upper dentry from now on; consumes the reference.
/// ovl_inode::lock held.
void ovl_inode_update(inode *inode, dentry *upperdentry);
extern const super_operations ovl_super_operations;
extern const inode_operations ovl_dir_inode_operations;
int ovl_setattr(dentry *dentry, iattr *attributes);
int ovl_getattr(const path *path, kstat *stat);

// --- ovlfs_namei.cc ---

dentry *ovl_lookup(inode *dir, dentry *dentry, unsigned flags);
/// Would the name be there if the upper layer had nothing?
bool ovl_lower_positive(dentry *dentry);

// --- ovlfs_readdir.cc ---

extern const file_operations ovl_dir_operations;
/// Frees what readers of a directory have left. Nobody reads it any more.
void ovl_dir_cache_free(inode *inode);
/// Is the merged directory empty? 0, and then `list` has the whiteouts that its upper directory has
/// nevertheless, to be given to ovl_cache_free(); -ENOTEMPTY; -ENOMEM.
int ovl_check_empty_dir(dentry *dentry, list_head *list);
void ovl_cache_free(list_head *list);
/// Removes from the directory `upper` the whiteouts on the list.
void ovl_cleanup_whiteouts(ovl_fs *ofs, dentry *upper, list_head *list);

// --- ovlfs_copy_up.cc ---

/// Sees to it that the object and the directories above it are in the upper layer. 0 or a negative
/// errno.
int ovl_copy_up(dentry *dentry);
/// The directory `dentry` is about to get an entry that has an origin below. 0 or -ENOMEM.
int ovl_set_impure(dentry *dentry);
/// Gives something in workdir mode and owner of an object that it is to take the place of.
int ovl_set_attr(dentry *temp, const inode *like);

// --- ovlfs_dir.cc ---

/// Makes something in workdir, under a name of its own: positive, referenced, or ERR_PTR.
dentry *ovl_create_temp(ovl_fs *ofs, const ovl_cattr *attr);
/// Removes something from workdir that is not needed.
void ovl_cleanup_temp(ovl_fs *ofs, dentry *temp);
/// Removes a name of the upper layer, whose directory is locked. 0 or a negative errno.
int ovl_cleanup(ovl_fs *ofs, inode *dir, dentry *real);

/// The name of a dentry that cannot be renamed meanwhile.
inline qstr ovl_name_of(const dentry *dentry)
{
    const auto *text = reinterpret_cast<const char *>(READ_ONCE(dentry->d_name.name));

    return make_qstr(text, dentry->d_name.len());
}

} // namespace dcsim::inline DCSIM_BACKEND
