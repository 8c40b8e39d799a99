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
#include "dcsim/mockfs/memfs.h"

#include <cstring>
#include <new>

#include <boost/intrusive/set.hpp>

#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/err.h"
#include "dcsim/kernel/list.h"
#include "dcsim/kernel/rcupdate.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/kernel/spinlock.h"
#include "dcsim/vfs/attributes.h"
#include "dcsim/vfs/dcache.h"
#include "dcsim/vfs/file.h"
#include "dcsim/vfs/inode.h"
#include "dcsim/vfs/libfs.h"
#include "name_key.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

namespace intrusive = boost::intrusive;

/// Positions in a directory, as tmpfs has them.
constexpr int64_t DIR_OFFSET_FIRST = 2;        ///< the first name, whichever it is
constexpr int64_t DIR_OFFSET_MIN = 3;          ///< of the oldest name
constexpr int64_t DIR_OFFSET_EOD = 0x7fffffff; ///< behind the last: new names do not change that

/// What a name adds to the size of its directory.
constexpr int64_t BOGO_DIRENT_SIZE = 20;
/// The longest body of a symbolic link, with its NUL.
constexpr size_t LONGEST_BODY = 4096;

using set_hook = intrusive::set_member_hook<intrusive::link_mode<intrusive::normal_link>>;

/// One name in one directory. The text, not NUL-terminated, follows the structure.
struct memfs_name {
    set_hook link;
    set_hook offset_link;
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

using name_set = intrusive::set<
    memfs_name, intrusive::compare<name_order<memfs_name>>, intrusive::constant_time_size<false>,
    intrusive::member_hook<memfs_name, decltype(memfs_name::link), &memfs_name::link>>;

/// The position a name is at.
struct offset_of_name {
    using type = int64_t;
    int64_t operator()(const memfs_name &name) const
    {
        return name.offset;
    }
};
using offset_set =
    intrusive::set<memfs_name, intrusive::key_of_value<offset_of_name>,
                   intrusive::constant_time_size<false>,
                   intrusive::member_hook<memfs_name, set_hook, &memfs_name::offset_link>>;

/// What a symbolic link says. Read under RCU; the text, NUL-terminated, follows the structure.
struct link_body {
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

} // namespace

/// One file, directory or other object on the disk.
struct memfs_node {
    list_head disk_list; ///< in disk->nodes
    ino_t ino;           ///< constant
    umode_t type;        ///< constant: S_IF* bits
    unsigned device;     ///< constant
    link_body *body;     ///< constant: of a symbolic link, or nullptr

    // Equal to those of the inode, if there is one.
    umode_t permissions;
    kuid_t uid;
    kgid_t gid;
    unsigned nlink;
    int64_t size;

    // Of a directory.
    name_set names;
    offset_set offsets; ///< the same names
    int64_t next_offset;
};

namespace
{

memfs_disk *disk_of(const super_block *sb)
{
    return static_cast<memfs_disk *>(sb->s_fs_info);
}

memfs_node *node_of(const inode *inode)
{
    return static_cast<memfs_node *>(inode->i_private);
}

/// The dentry's name. Stable: only positive dentries are renamed, and the directory's i_rwsem keeps
/// those in place.
name_key key_of(const dentry *dentry)
{
    return {reinterpret_cast<const char *>(READ_ONCE(dentry->d_name.name)), dentry->d_name.len()};
}

// --- The disk ---

memfs_name *new_name(const name_key &key)
{
    void *memory = kmalloc(sizeof(memfs_name) + key.length);
    memfs_name *name;

    if (!memory)
        return nullptr;
    name = new (memory) memfs_name();
    name->length = key.length;
    memcpy(name->text(), key.text, key.length);
    return name;
}

void free_name(memfs_name *name)
{
    name->~memfs_name();
    kfree(name);
}

/// A name of `directory`, or nullptr. Its i_rwsem held at least shared.
memfs_name *find_name(memfs_node *directory, const name_key &key)
{
    auto found = directory->names.find(key, name_order<memfs_name>());

    return found == directory->names.end() ? nullptr : &*found;
}

/// Puts a new name into `directory`, which must not have it. Its i_rwsem held for writing.
void add_name(memfs_node *directory, memfs_name *name, memfs_node *node)
{
    name->node = node;
    name->offset = directory->next_offset++;
    directory->size += BOGO_DIRENT_SIZE;
    WARN_ON(!directory->names.insert(*name).second);
    WARN_ON(!directory->offsets.insert(*name).second);
}

/// Takes a name away and frees it. The directory's i_rwsem held for writing.
void remove_name(memfs_node *directory, memfs_name *name)
{
    directory->size -= BOGO_DIRENT_SIZE;
    directory->names.erase(directory->names.iterator_to(*name));
    directory->offsets.erase(directory->offsets.iterator_to(*name));
    free_name(name);
}

/// A copy of what a symbolic link says; nullptr without memory.
link_body *new_body(const char *text)
{
    size_t size = strlen(text) + 1;
    auto *body = static_cast<link_body *>(kmalloc(sizeof(link_body) + size));

    if (body)
        memcpy(body->text(), text, size);
    return body;
}

void free_body_rcu(rcu_head *head)
{
    kfree(container_of(head, link_body, rcu));
}

/// A node of this type, with a copy of `text` as its body, without permissions, links and names.
/// nullptr without memory.
memfs_node *new_node(memfs_disk *disk, umode_t type, unsigned device, const char *text)
{
    void *memory = kmalloc(sizeof(memfs_node));
    link_body *body = nullptr;
    memfs_node *node;

    if (!memory)
        return nullptr;
    if (text) {
        body = new_body(text);
        if (!body) {
            kfree(memory);
            return nullptr;
        }
    }
    node = new (memory) memfs_node();
    node->type = type & S_IFMT_MASK;
    node->nlink = S_ISDIR_mode(type) ? 2 : 1;
    node->device = device;
    node->body = body;
    node->next_offset = DIR_OFFSET_MIN;
    if (S_ISDIR_mode(type))
        node->size = 2 * BOGO_DIRENT_SIZE;
    else if (text)
        node->size = static_cast<int64_t>(strlen(text));

    spin_lock(&disk->nodes_lock);
    node->ino = ++disk->last_ino;
    list_add_tail(&node->disk_list, &disk->nodes);
    disk->node_count++;
    spin_unlock(&disk->nodes_lock);
    return node;
}

/// Frees a node that nobody can reach any more, and the names in it.
void free_node(memfs_disk *disk, memfs_node *node)
{
    spin_lock(&disk->nodes_lock);
    list_del_init(&node->disk_list);
    disk->node_count--;
    spin_unlock(&disk->nodes_lock);

    node->offsets.clear();
    node->names.clear_and_dispose(free_name);
    if (node->body)
        call_rcu(&node->body->rcu, free_body_rcu);
    node->~memfs_node();
    kfree(node);
}

memfs_disk *new_disk(const memfs_options &options)
{
    void *memory = kmalloc(sizeof(memfs_disk));
    memfs_disk *disk;

    if (!memory)
        return nullptr;
    disk = new (memory) memfs_disk();
    disk->options = options;
    disk->last_ino = options.last_used_ino;
    spin_lock_init(&disk->nodes_lock, "memfs.nodes_lock");
    INIT_LIST_HEAD(&disk->nodes);
    return disk;
}

/// Frees everything. Nobody uses the file system any more.
void free_disk(memfs_disk *disk)
{
    while (!list_empty(&disk->nodes))
        free_node(disk, container_of(list_first(&disk->nodes), memfs_node, disk_list));
    disk->~memfs_disk();
    kfree(disk);
}

// --- Link counts, on the disk and in the inode. The inode's i_rwsem held for writing, or the inode
// still I_NEW. ---

void add_link(inode *inode)
{
    node_of(inode)->nlink++;
    inc_nlink(inode);
}

void drop_link(inode *inode)
{
    node_of(inode)->nlink--;
    drop_nlink(inode);
}

/// A directory's size after its names have changed.
void update_size(inode *dir)
{
    WRITE_ONCE(dir->i_size, node_of(dir)->size);
}

/// The last name is gone: for a directory "." goes with it.
void drop_name_links(inode *inode)
{
    if (inode_is_directory(inode)) {
        node_of(inode)->nlink = 0;
        clear_nlink(inode);
    } else {
        drop_link(inode);
    }
}

// --- Inodes ---

extern const inode_operations memfs_dir_inode_operations;
extern const inode_operations memfs_symlink_inode_operations;
extern const inode_operations memfs_fast_symlink_inode_operations;
extern const inode_operations memfs_file_inode_operations;
extern const file_operations memfs_dir_operations;

constexpr file_operations memfs_file_operations = {};

/// What the node keeps of the attributes. The inode's i_rwsem held for writing, or I_NEW.
void save_attributes(memfs_node *node, const inode *inode)
{
    node->permissions = READ_ONCE(inode->i_mode) & S_IALLUGO_BITS;
    node->uid = READ_ONCE(inode->i_uid);
    node->gid = READ_ONCE(inode->i_gid);
}

/// The other way.
void load_attributes(inode *inode, const memfs_node *node)
{
    WRITE_ONCE(inode->i_mode, static_cast<umode_t>(node->type | node->permissions));
    WRITE_ONCE(inode->i_uid, node->uid);
    WRITE_ONCE(inode->i_gid, node->gid);
}

/// Fills in an I_NEW inode that has its mode and owner.
void fill_inode(inode *inode, memfs_node *node)
{
    set_nlink(inode, node->nlink);
    // Nobody looks at these before the inode is published.
    WRITE_LOCKED(inode->i_size, node->size);
    inode->i_private = node;
    inode->i_op = &memfs_file_inode_operations;
    switch (node->type) {
    case S_IFDIR_TYPE:
        inode->i_op = &memfs_dir_inode_operations;
        inode->i_fop = &memfs_dir_operations;
        break;
    case S_IFLNK_TYPE:
        inode->i_op = &memfs_symlink_inode_operations;
        if (disk_of(inode->i_sb)->options.links_in_inode) {
            inode->i_op = &memfs_fast_symlink_inode_operations;
            WRITE_LOCKED(inode->i_link, node->body->text());
        }
        break;
    case S_IFREG_TYPE:
        inode->i_fop = &memfs_file_operations;
        break;
    default:
        init_special_inode(inode, READ_ONCE(inode->i_mode), node->device);
        break;
    }
}

// As Linux v6.12 fs/ext2/inode.c ext2_iget(). The inode of a node that has a name, referenced, or
// ERR_PTR(-ENOMEM). The i_rwsem of a directory that has the name is held.
inode *memfs_iget(super_block *sb, memfs_node *node)
{
    inode *inode = iget_locked(sb, node->ino);

    if (!inode)
        return ERR_PTR(-ENOMEM);
    if (!(READ_ONCE(inode->i_state) & I_NEW))
        return inode;
    load_attributes(inode, node);
    fill_inode(inode, node);
    unlock_new_inode(inode);
    return inode;
}

// As Linux v6.12 fs/ext2/ialloc.c ext2_new_inode(). A new node and its inode, I_NEW, referenced,
// for a name in `dir` (nullptr: none); nullptr without memory.
inode *memfs_new_inode(super_block *sb, const inode *dir, umode_t mode, unsigned device,
                       const char *body)
{
    memfs_node *node = new_node(disk_of(sb), mode, device, body);
    inode *inode;

    if (!node)
        return nullptr;
    inode = iget_locked(sb, node->ino);
    if (!inode) {
        free_node(disk_of(sb), node);
        return nullptr;
    }
    inode_init_owner(inode, dir, mode);
    save_attributes(node, inode);
    fill_inode(inode, node);
    return inode;
}

/// Gives a new inode to its dentry and ends I_NEW, in this order: were the inode for everybody
/// before it has an alias, somebody with a file handle could make another alias for a directory.
void memfs_publish_new(dentry *dentry, inode *inode)
{
    const bool dropped = d_unhashed(dentry);

    d_instantiate_new(dentry, inode);
    // The negative dentry that the lookup left was dropped since. Not d_add(), which is for
    // dentries that were never on the LRU and would leave nr_dentry_negative one too high. Nobody
    // else hashes the name: the directory is locked for writing.
    if (unlikely(dropped))
        d_rehash(dentry);
}

// --- Directory operations. `dir` is locked for writing; for lookup shared is enough. ---

// As Linux v6.12 fs/ext2/namei.c ext2_lookup().
dentry *memfs_lookup(inode *dir, dentry *dentry, unsigned)
{
    const memfs_options &options = disk_of(dir->i_sb)->options;
    inode *inode = nullptr;
    memfs_name *name;

    if (options.before_lookup) {
        int error = options.before_lookup(options.before_lookup_argument, dir, dentry);
        if (error < 0)
            return ERR_PTR(error);
    }
    if (options.lookup_delay_us)
        sleep_for_microseconds(options.lookup_delay_us);

    if (dentry->d_name.len() > NAME_MAX_LENGTH)
        return ERR_PTR(-ENAMETOOLONG);
    name = find_name(node_of(dir), key_of(dentry));
    if (name)
        inode = memfs_iget(dir->i_sb, name->node);
    return d_splice_alias(inode, dentry);
}

/// What mknod, create, mkdir and symlink have in common.
int memfs_make(inode *dir, dentry *dentry, umode_t mode, unsigned device, const char *body)
{
    memfs_name *name;
    inode *inode;

    if (dentry->d_name.len() > NAME_MAX_LENGTH)
        return -ENAMETOOLONG;
    if (find_name(node_of(dir), key_of(dentry)))
        return -EEXIST;
    name = new_name(key_of(dentry));
    if (!name)
        return -ENOMEM;
    inode = memfs_new_inode(dir->i_sb, dir, mode, device, body);
    if (!inode) {
        free_name(name);
        return -ENOMEM;
    }

    add_name(node_of(dir), name, node_of(inode));
    update_size(dir);
    if (S_ISDIR_mode(mode))
        add_link(dir);
    memfs_publish_new(dentry, inode);
    return 0;
}

// As Linux v6.12 fs/ramfs/inode.c ramfs_mknod().
int memfs_mknod(inode *dir, dentry *dentry, umode_t mode, unsigned device)
{
    return memfs_make(dir, dentry, mode, device, nullptr);
}

int memfs_create(inode *dir, dentry *dentry, umode_t mode, bool)
{
    return memfs_make(dir, dentry, static_cast<umode_t>((mode & ~S_IFMT_MASK) | S_IFREG_TYPE), 0,
                      nullptr);
}

int memfs_mkdir(inode *dir, dentry *dentry, umode_t mode)
{
    return memfs_make(dir, dentry, static_cast<umode_t>((mode & ~S_IFMT_MASK) | S_IFDIR_TYPE), 0,
                      nullptr);
}

int memfs_symlink(inode *dir, dentry *dentry, const char *body)
{
    if (strlen(body) >= LONGEST_BODY)
        return -ENAMETOOLONG;
    return memfs_make(dir, dentry, S_IFLNK_TYPE | 0777, 0, body);
}

// As Linux v6.12 fs/ext2/namei.c ext2_link(). The file is locked as well.
int memfs_link(dentry *old_dentry, inode *dir, dentry *dentry)
{
    inode *inode = d_inode(old_dentry);
    memfs_name *name;

    if (dentry->d_name.len() > NAME_MAX_LENGTH)
        return -ENAMETOOLONG;
    if (find_name(node_of(dir), key_of(dentry)))
        return -EEXIST;
    name = new_name(key_of(dentry));
    if (!name)
        return -ENOMEM;

    add_link(inode);
    ihold(inode);
    add_name(node_of(dir), name, node_of(inode));
    update_size(dir);
    const bool dropped = d_unhashed(dentry);
    d_instantiate(dentry, inode);
    // As in memfs_publish_new().
    if (unlikely(dropped))
        d_rehash(dentry);
    return 0;
}

/// The name of a positive dentry on the disk, or nullptr if the disk has something else there.
memfs_name *find_dentry(const inode *dir, const dentry *dentry)
{
    memfs_name *name = find_name(node_of(dir), key_of(dentry));

    return name && name->node == node_of(d_inode(dentry)) ? name : nullptr;
}

// As Linux v6.12 fs/ext2/namei.c ext2_unlink(). The file is locked as well.
int memfs_unlink(inode *dir, dentry *dentry)
{
    memfs_name *name = find_dentry(dir, dentry);

    if (!name)
        return -ENOENT;
    remove_name(node_of(dir), name);
    update_size(dir);
    drop_link(d_inode(dentry));
    return 0;
}

// As Linux v6.12 fs/ext2/namei.c ext2_rmdir(). The removed directory is locked as well.
int memfs_rmdir(inode *dir, dentry *dentry)
{
    inode *inode = d_inode(dentry);
    memfs_name *name = find_dentry(dir, dentry);

    if (!name)
        return -ENOENT;
    if (!node_of(inode)->names.empty())
        return -ENOTEMPTY;
    remove_name(node_of(dir), name);
    update_size(dir);
    drop_name_links(inode);
    drop_link(dir);
    return 0;
}

/// A subdirectory went from one directory to another, and its ".." with it.
void move_dotdot(inode *old_dir, inode *new_dir)
{
    if (old_dir == new_dir)
        return;
    drop_link(old_dir);
    add_link(new_dir);
}

// As Linux v6.12 fs/libfs.c simple_rename_exchange().
int memfs_exchange(inode *old_dir, dentry *old_dentry, inode *new_dir, dentry *new_dentry)
{
    memfs_name *old_name = find_dentry(old_dir, old_dentry);
    memfs_name *new_name = find_dentry(new_dir, new_dentry);
    bool old_is_dir = d_is_dir(old_dentry);
    bool new_is_dir = d_is_dir(new_dentry);
    memfs_node *node;

    if (!old_name || !new_name)
        return -ENOENT;
    node = old_name->node;
    old_name->node = new_name->node;
    new_name->node = node;
    if (old_is_dir && !new_is_dir)
        move_dotdot(old_dir, new_dir);
    if (new_is_dir && !old_is_dir)
        move_dotdot(new_dir, old_dir);
    return 0;
}

/// What stood under a name has moved away: the name goes, or stands for a whiteout.
void vacate_name(inode *dir, memfs_name *name, memfs_node *whiteout)
{
    if (whiteout) {
        name->node = whiteout;
    } else {
        remove_name(node_of(dir), name);
        update_size(dir);
    }
}

/// Moves a name over an existing one. Nothing has to be allocated: the target's name stays and
/// stands for the source.
int memfs_rename_over(inode *old_dir, memfs_name *old_name, bool is_dir, inode *new_dir,
                      dentry *new_dentry, memfs_node *whiteout)
{
    memfs_name *target_name = find_dentry(new_dir, new_dentry);
    inode *target = d_inode(new_dentry);

    if (!target_name)
        return -ENOENT;
    if (!node_of(target)->names.empty())
        return -ENOTEMPTY;
    target_name->node = old_name->node;
    vacate_name(old_dir, old_name, whiteout);
    drop_name_links(target);
    // One subdirectory came to new_dir, one went from it.
    if (is_dir)
        drop_link(old_dir);
    return 0;
}

/// Moves a name to where there is none, or over what is there. `whiteout` is left behind, if not
/// nullptr.
int memfs_move(inode *old_dir, dentry *old_dentry, inode *new_dir, dentry *new_dentry,
               unsigned flags, memfs_node *whiteout)
{
    memfs_name *old_name = find_dentry(old_dir, old_dentry);
    bool is_dir = d_is_dir(old_dentry);
    memfs_name *fresh;

    if (!old_name)
        return -ENOENT;
    if (d_is_positive(new_dentry)) {
        if (flags & RENAME_NOREPLACE_FLAG)
            return -EEXIST;
        return memfs_rename_over(old_dir, old_name, is_dir, new_dir, new_dentry, whiteout);
    }

    if (new_dentry->d_name.len() > NAME_MAX_LENGTH)
        return -ENAMETOOLONG;
    if (find_name(node_of(new_dir), key_of(new_dentry)))
        return -EEXIST;
    fresh = new_name(key_of(new_dentry));
    if (!fresh)
        return -ENOMEM;
    add_name(node_of(new_dir), fresh, old_name->node);
    update_size(new_dir);
    vacate_name(old_dir, old_name, whiteout);
    if (is_dir)
        move_dotdot(old_dir, new_dir);
    return 0;
}

// As Linux v6.12 fs/ext2/namei.c ext2_rename(). Both directories are locked, a victim as well, and
// a directory that gets another parent. The whiteout is made as in fs/ext4/namei.c, on the disk
// alone: the old name is in the cache until the VFS moves its dentry, and is looked up after that.
int memfs_rename(inode *old_dir, dentry *old_dentry, inode *new_dir, dentry *new_dentry,
                 unsigned flags)
{
    memfs_disk *disk = disk_of(old_dir->i_sb);
    memfs_node *whiteout = nullptr;
    int error;

    if (flags & ~(RENAME_NOREPLACE_FLAG | RENAME_EXCHANGE_FLAG | RENAME_WHITEOUT_FLAG))
        return -EINVAL;
    if (flags & RENAME_EXCHANGE_FLAG)
        return memfs_exchange(old_dir, old_dentry, new_dir, new_dentry);

    if (flags & RENAME_WHITEOUT_FLAG) {
        whiteout = new_node(disk, S_IFCHR_TYPE, 0, nullptr);
        if (!whiteout)
            return -ENOMEM;
    }
    error = memfs_move(old_dir, old_dentry, new_dir, new_dentry, flags, whiteout);
    if (error && whiteout)
        free_node(disk, whiteout);
    return error;
}

// As Linux v6.12 fs/ext2/namei.c ext2_tmpfile().
int memfs_tmpfile(inode *dir, file *file, umode_t mode)
{
    inode *inode = memfs_new_inode(
        dir->i_sb, dir, static_cast<umode_t>((mode & ~S_IFMT_MASK) | S_IFREG_TYPE), 0, nullptr);

    if (!inode)
        return -ENOMEM;
    // d_tmpfile() takes the inode's link away; the node must not keep one either.
    node_of(inode)->nlink = 0;
    d_tmpfile(file, inode);
    unlock_new_inode(inode);
    return finish_open_simple(file, 0);
}

// As Linux v6.12 fs/ext2/inode.c ext2_setattr().
int memfs_setattr(dentry *dentry, iattr *attributes)
{
    int error = simple_setattr(dentry, attributes);

    if (!error)
        save_attributes(node_of(d_inode(dentry)), d_inode(dentry));
    return error;
}

void free_link(void *text)
{
    kfree(text);
}

// As Linux v6.12 mm/shmem.c shmem_get_link(), where the copy is a page.
const char *memfs_get_link(dentry *dentry, inode *inode, delayed_call *done)
{
    const char *body = node_of(inode)->body->text();
    size_t size = strlen(body) + 1;
    char *copy;

    if (!dentry)
        return ERR_PTR(-ECHILD);
    copy = static_cast<char *>(kmalloc(size));
    if (!copy)
        return ERR_PTR(-ENOMEM);
    memcpy(copy, body, size);
    set_delayed_call(done, free_link, copy);
    return copy;
}

// --- Reading a directory ---

// As Linux v6.12 fs/libfs.c offset_readdir(), by position where the kernel goes by siblings.
int memfs_readdir(file *file, dir_context *context)
{
    offset_set &offsets = node_of(file->f_inode)->offsets;
    offset_set::iterator next;

    if (!dir_emit_dots(file, context))
        return 0;
    if (context->pos == DIR_OFFSET_EOD)
        return 0;

    next = context->pos == DIR_OFFSET_FIRST ? offsets.end() : offsets.upper_bound(context->pos);
    while (next != offsets.begin()) {
        --next;
        context->pos = next->offset;
        if (!dir_emit(context, next->text(), static_cast<int>(next->length), next->node->ino,
                      fs_umode_to_dtype(next->node->type)))
            return 0;
    }
    context->pos = DIR_OFFSET_EOD;
    return 0;
}

const file_operations memfs_dir_operations = {
    .iterate_shared = memfs_readdir,
    .llseek = offset_dir_llseek,
};

const inode_operations memfs_dir_inode_operations = {
    .lookup = memfs_lookup,
    .create = memfs_create,
    .link = memfs_link,
    .unlink = memfs_unlink,
    .symlink = memfs_symlink,
    .mkdir = memfs_mkdir,
    .rmdir = memfs_rmdir,
    .mknod = memfs_mknod,
    .rename = memfs_rename,
    .setattr = memfs_setattr,
    .tmpfile = memfs_tmpfile,
};

const inode_operations memfs_fast_symlink_inode_operations = {
    .get_link = simple_get_link,
    .setattr = memfs_setattr,
};

const inode_operations memfs_symlink_inode_operations = {
    .get_link = memfs_get_link,
    .setattr = memfs_setattr,
};

const inode_operations memfs_file_inode_operations = {
    .setattr = memfs_setattr,
};

// --- The super block ---

// As Linux v6.12 fs/ext2/inode.c ext2_evict_inode().
void memfs_evict_inode(inode *inode)
{
    memfs_node *node = node_of(inode);

    // An inode that was never filled in has no node.
    if (node && node->nlink == 0)
        free_node(disk_of(inode->i_sb), node);
}

void memfs_put_super(super_block *sb)
{
    free_disk(disk_of(sb));
    sb->s_fs_info = nullptr;
}

constexpr super_operations memfs_super_operations = {
    .evict_inode = memfs_evict_inode,
    .put_super = memfs_put_super,
};

constexpr file_system_type memfs_type = {"memfs"};

/// Fills in a new super block. False without memory, and then with nothing left on it.
bool memfs_fill_super(super_block *sb, const memfs_options &options)
{
    memfs_disk *disk = new_disk(options);
    inode *root;

    if (!disk)
        return false;
    sb->s_op = &memfs_super_operations;
    sb->s_fs_info = disk;
    set_default_d_op(sb, options.default_dentry_operations);
    root = memfs_new_inode(sb, nullptr, S_IFDIR_TYPE, 0, nullptr);
    if (root) {
        disk->root = node_of(root);
        disk->root->permissions = options.root_mode & S_IALLUGO_BITS;
        disk->root->uid = options.root_uid;
        disk->root->gid = options.root_gid;
        load_attributes(root, disk->root);
        unlock_new_inode(root);
        sb->s_root = d_make_root(root);
    }
    if (!sb->s_root)
        free_disk(disk);
    return sb->s_root != nullptr;
}

/// What memfs_add_node() can say about its arguments alone. 0 or a negative errno.
int check_new_name(const memfs_node *directory, const name_key &key, umode_t mode, const char *body)
{
    if (!S_ISDIR_mode(directory->type))
        return -ENOTDIR;
    if (key.length > NAME_MAX_LENGTH)
        return -ENAMETOOLONG;
    if (is_no_name(key))
        return -EINVAL;
    switch (mode & S_IFMT_MASK) {
    case S_IFLNK_TYPE:
        return body ? 0 : -EINVAL;
    case S_IFSOCK_TYPE:
    case S_IFREG_TYPE:
    case S_IFBLK_TYPE:
    case S_IFDIR_TYPE:
    case S_IFCHR_TYPE:
    case S_IFIFO_TYPE:
        return body ? -EINVAL : 0;
    default:
        return -EINVAL;
    }
}

/// A node that is changed while its inode is in memory, as the root's always is.
void update_cached_inode(super_block *sb, const memfs_node *node)
{
    inode *inode = ilookup(sb, node->ino);

    if (inode) {
        load_attributes(inode, node);
        set_nlink(inode, node->nlink);
        update_size(inode);
        iput(inode);
    }
}

} // namespace

super_block *memfs_mount(const memfs_options &options, const char *id)
{
    super_block *sb = alloc_super(&memfs_type, id);

    if (!sb)
        return ERR_PTR(-ENOMEM);
    if (!memfs_fill_super(sb, options)) {
        generic_shutdown_super(sb);
        return ERR_PTR(-ENOMEM);
    }
    return sb;
}

long memfs_unmount(super_block *sb)
{
    return generic_shutdown_super(sb);
}

const memfs_options &memfs_mounted_with(const super_block *sb)
{
    return disk_of(sb)->options;
}

memfs_node *memfs_root_node(super_block *sb)
{
    return disk_of(sb)->root;
}

memfs_node *memfs_add_node(super_block *sb, memfs_node *directory, const char *name, size_t length,
                           umode_t mode, const char *body)
{
    const name_key key = {name, length};
    int error = check_new_name(directory, key, mode, body);
    memfs_name *entry;
    memfs_node *node;

    if (error)
        return ERR_PTR(error);
    if (find_name(directory, key))
        return ERR_PTR(-EEXIST);
    entry = new_name(key);
    if (!entry)
        return ERR_PTR(-ENOMEM);
    node = new_node(disk_of(sb), mode, 0, body);
    if (!node) {
        free_name(entry);
        return ERR_PTR(-ENOMEM);
    }
    node->permissions = mode & S_IALLUGO_BITS;
    add_name(directory, entry, node);
    if (S_ISDIR_mode(mode))
        directory->nlink++;
    update_cached_inode(sb, directory);
    return node;
}

int memfs_remove_node(super_block *sb, memfs_node *directory, const char *name, size_t length)
{
    memfs_name *entry = find_name(directory, {name, length});
    memfs_node *node;

    if (!entry)
        return -ENOENT;
    node = entry->node;
    if (!node->names.empty())
        return -ENOTEMPTY;
    remove_name(directory, entry);
    if (S_ISDIR_mode(node->type))
        directory->nlink--;
    free_node(disk_of(sb), node);
    update_cached_inode(sb, directory);
    return 0;
}

void memfs_set_attributes(super_block *sb, memfs_node *node, umode_t permissions, kuid_t uid,
                          kgid_t gid)
{
    node->permissions = permissions & S_IALLUGO_BITS;
    node->uid = uid;
    node->gid = gid;
    update_cached_inode(sb, node);
}

void memfs_set_device(memfs_node *node, unsigned device)
{
    if (node->type == S_IFCHR_TYPE || node->type == S_IFBLK_TYPE)
        node->device = device;
}

int memfs_add_directory_name(super_block *sb, memfs_node *directory, const char *name,
                             size_t length, memfs_node *node)
{
    const name_key key = {name, length};
    int error = check_new_name(directory, key, node->type, nullptr);
    memfs_name *entry;

    if (error)
        return error;
    if (!S_ISDIR_mode(node->type))
        return -ENOTDIR;
    if (find_name(directory, key))
        return -EEXIST;
    entry = new_name(key);
    if (!entry)
        return -ENOMEM;
    add_name(directory, entry, node);
    update_cached_inode(sb, directory);
    return 0;
}

void memfs_for_each_entry(super_block *sb, void (*visit)(void *argument, const memfs_entry &),
                          void *argument)
{
    list_head *nodes = &disk_of(sb)->nodes;

    for (list_head *at = list_first(nodes); at != nodes; at = list_next(at)) {
        const memfs_node *directory = container_of(at, memfs_node, disk_list);

        for (const memfs_name &name : directory->names) {
            const name_key key = name.key();
            const memfs_node *node = name.node;

            visit(argument, {.directory = directory->ino,
                             .name = key.text,
                             .length = key.length,
                             .ino = node->ino,
                             .type = node->type,
                             .nlink = node->nlink,
                             .body = node->body ? node->body->text() : nullptr});
        }
    }
}

ino_t memfs_node_ino(const memfs_node *node)
{
    return node->ino;
}

ino_t memfs_ino_of_name(inode *dir, const dentry *dentry)
{
    const memfs_name *name = find_name(node_of(dir), key_of(dentry));

    return name ? name->node->ino : 0;
}

ino_t memfs_root_ino(super_block *sb)
{
    return disk_of(sb)->root->ino;
}

long memfs_node_count(super_block *sb)
{
    memfs_disk *disk = disk_of(sb);
    long count;

    spin_lock(&disk->nodes_lock);
    count = disk->node_count;
    spin_unlock(&disk->nodes_lock);
    return count;
}

} // namespace dcsim::inline DCSIM_BACKEND
