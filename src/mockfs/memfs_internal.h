// SPDX-License-Identifier: GPL-2.0-only
//
// memfs: directories kept in memory, behind the operations table that any disk file system has.
// What the operations do to dentries and inodes, and in which order, is ext2's and tmpfs's way.
//
// The disk is a set of nodes. A directory's node has its names in a balanced tree; a name points to
// the node it stands for, so hard links are names that share one.
//
// Locking
//   a directory's i_rwsem guards   its names: shared to look, for writing to change
//   an inode's i_rwsem guards      its node's attributes, for writing. A node without an inode in
//                                  memory is at rest; reading it in happens under I_NEW.
//   disk->nodes_lock guards        the list of all nodes and the numbering; a leaf
//
// Lifetime of a node: link count above zero, or an inode in memory. The one who takes away the last
// name leaves the node to evict_inode(), because the file may still be open. The body of a symbolic
// link lives one grace period longer: RCU walkers read it through i_link without a reference.
//
// Link counts are those of ext2 and tmpfs: a directory has two (its name and its ".") and one more
// for the ".." of each subdirectory. Sizes are tmpfs's: 20 bytes for each name of a directory, "."
// and ".." among them.
//
// Every operation allocates first and changes the disk afterwards, so when memory is short it fails
// with nothing changed.
#pragma once

#include <boost/intrusive/set.hpp>

#include "dcsim/kernel/list.h"
#include "dcsim/kernel/once.h"
#include "dcsim/kernel/rcupdate.h"
#include "dcsim/kernel/spinlock.h"
#include "dcsim/mockfs/memfs.h"
#include "dcsim/vfs/inode.h"
#include "name_key.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// What a name adds to the size of its directory.
inline constexpr int64_t BOGO_DIRENT_SIZE = 20;

using memfs_hook =
    boost::intrusive::set_member_hook<boost::intrusive::link_mode<boost::intrusive::normal_link>>;

/// One name in one directory. The text, not NUL-terminated, follows the structure.
struct memfs_name {
    memfs_hook link;
    memfs_hook offset_link;
    memfs_node *node;
    int64_t offset; ///< constant: its position in the directory, where it is the only one
    size_t length;  ///< constant

    char *text()
    {
        return reinterpret_cast<char *>(this + 1);
    }
    name_key key() const
    {
        return {reinterpret_cast<const char *>(this + 1), length};
    }
};

using memfs_name_set = boost::intrusive::set<
    memfs_name, boost::intrusive::compare<name_order<memfs_name>>,
    boost::intrusive::constant_time_size<false>,
    boost::intrusive::member_hook<memfs_name, decltype(memfs_name::link), &memfs_name::link>>;

/// The position a name is at.
struct memfs_offset_of_name {
    using type = int64_t;
    int64_t operator()(const memfs_name &name) const
    {
        return name.offset;
    }
};
using memfs_offset_set = boost::intrusive::set<
    memfs_name, boost::intrusive::key_of_value<memfs_offset_of_name>,
    boost::intrusive::constant_time_size<false>,
    boost::intrusive::member_hook<memfs_name, memfs_hook, &memfs_name::offset_link>>;

/// What a symbolic link says. Read under RCU; the text, NUL-terminated, follows the structure.
struct memfs_link_body {
    rcu_head rcu;

    char *text()
    {
        return reinterpret_cast<char *>(this + 1);
    }
};

/// sb->s_fs_info.
struct memfs_disk {
    memfs_options options;
    memfs_node *root;

    spinlock_t nodes_lock; ///< guards the three below; leaf
    list_head nodes;
    ino_t last_ino;
    long node_count;
};

/// One file, directory or other object on the disk.
struct memfs_node {
    list_head disk_list;   ///< in disk->nodes
    ino_t ino;             ///< constant
    umode_t type;          ///< constant: S_IF* bits
    unsigned device;       ///< constant
    memfs_link_body *body; ///< constant: of a symbolic link, or nullptr

    // Equal to those of the inode, if there is one.
    umode_t permissions;
    kuid_t uid;
    kgid_t gid;
    unsigned nlink;
    int64_t size;

    // Of a directory.
    memfs_name_set names;
    memfs_offset_set offsets; ///< the same names
    int64_t next_offset;
};

inline memfs_disk *memfs_disk_of(const super_block *sb)
{
    return static_cast<memfs_disk *>(sb->s_fs_info);
}

inline memfs_node *memfs_node_of(const inode *inode)
{
    return static_cast<memfs_node *>(inode->i_private);
}

// --- The disk (memfs_nodes.cc) ---

/// nullptr without memory.
memfs_name *memfs_new_name(const name_key &key);
void memfs_free_name(memfs_name *name);
/// A name of `directory`, or nullptr. Its i_rwsem held at least shared.
memfs_name *memfs_find_name(memfs_node *directory, const name_key &key);
/// Puts a new name into `directory`, which must not have it. Its i_rwsem held for writing.
void memfs_add_name(memfs_node *directory, memfs_name *name, memfs_node *node);
/// Takes a name away and frees it. The directory's i_rwsem held for writing.
void memfs_remove_name(memfs_node *directory, memfs_name *name);
/// A node of this type, with a copy of `text` as its body, without permissions, links and names.
/// nullptr without memory.
memfs_node *memfs_new_node(memfs_disk *disk, umode_t type, unsigned device, const char *text);
/// Frees a node that nobody can reach any more, and the names in it.
void memfs_free_node(memfs_disk *disk, memfs_node *node);
/// nullptr without memory.
memfs_disk *memfs_new_disk(const memfs_options &options);
/// Frees everything. Nobody uses the file system any more.
void memfs_free_disk(memfs_disk *disk);

// --- Inodes (memfs_inode.cc) ---

/// What the node keeps of the attributes. The inode's i_rwsem held for writing, or I_NEW.
void memfs_save_attributes(memfs_node *node, const inode *inode);
/// The other way.
void memfs_load_attributes(inode *inode, const memfs_node *node);
/// A directory's size after its names have changed.
void memfs_update_size(inode *dir);
/// The inode of a node that has a name, referenced, or ERR_PTR(-ENOMEM). The i_rwsem of a directory
/// that has the name is held.
inode *memfs_iget(super_block *sb, memfs_node *node);
/// A new node and its inode, I_NEW, referenced, for a name in `dir` (nullptr: none); nullptr
/// without memory.
inode *memfs_new_inode(super_block *sb, const inode *dir, umode_t mode, unsigned device,
                       const char *body);
int memfs_setattr(dentry *dentry, iattr *attributes);
extern const super_operations memfs_super_operations;

// --- Directories (memfs_directory.cc, memfs_readdir.cc) ---

extern const inode_operations memfs_dir_inode_operations;
extern const file_operations memfs_dir_operations;

} // namespace dcsim::inline DCSIM_BACKEND
