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
//   an inode's i_rwsem guards      its node's link count, for writing. A node without an inode in
//                                  memory is at rest; reading it in happens under I_NEW.
//   disk->nodes_lock guards        the list of all nodes and the numbering; a leaf
//
// Lifetime of a node: link count above zero, or an inode in memory. The one who takes away the last
// name leaves the node to evict_inode(), because the file may still be open.
//
// Link counts are those of ext2 and tmpfs: a directory has two (its name and its ".") and one more
// for the ".." of each subdirectory.
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
#include "dcsim/kernel/slab.h"
#include "dcsim/kernel/spinlock.h"
#include "dcsim/vfs/dcache.h"
#include "dcsim/vfs/file.h"
#include "dcsim/vfs/inode.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

namespace intrusive = boost::intrusive;

/// What a name is looked up by.
struct name_key {
    const char *text;
    size_t length;
};

/// One name in one directory. The text, not NUL-terminated, follows the structure.
struct memfs_name {
    intrusive::set_member_hook<intrusive::link_mode<intrusive::normal_link>> link;
    memfs_node *node;
    size_t length; ///< constant

    char *text()
    {
        return reinterpret_cast<char *>(this + 1);
    }
    name_key key() const
    {
        return {reinterpret_cast<const char *>(this + 1), length};
    }
};

/// Bytewise, a prefix first.
struct name_order {
    bool operator()(const name_key &a, const name_key &b) const
    {
        int order = memcmp(a.text, b.text, a.length < b.length ? a.length : b.length);
        return order ? order < 0 : a.length < b.length;
    }
    bool operator()(const memfs_name &a, const memfs_name &b) const
    {
        return (*this)(a.key(), b.key());
    }
    bool operator()(const name_key &a, const memfs_name &b) const
    {
        return (*this)(a, b.key());
    }
    bool operator()(const memfs_name &a, const name_key &b) const
    {
        return (*this)(a.key(), b);
    }
};

using name_set = intrusive::set<
    memfs_name, intrusive::compare<name_order>, intrusive::constant_time_size<false>,
    intrusive::member_hook<memfs_name, decltype(memfs_name::link), &memfs_name::link>>;

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
    umode_t mode;        ///< constant
    unsigned nlink;      ///< equal to i_nlink of the inode, if there is one
    char *body;          ///< constant: what a symbolic link says, or nullptr
    name_set names;      ///< of a directory
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
    auto found = directory->names.find(key, name_order());

    return found == directory->names.end() ? nullptr : &*found;
}

/// Puts a new name into `directory`, which must not have it. Its i_rwsem held for writing.
void add_name(memfs_node *directory, memfs_name *name, memfs_node *node)
{
    name->node = node;
    WARN_ON(!directory->names.insert(*name).second);
}

/// Takes a name away and frees it. The directory's i_rwsem held for writing.
void remove_name(memfs_node *directory, memfs_name *name)
{
    directory->names.erase(directory->names.iterator_to(*name));
    free_name(name);
}

/// A node with `links` links, a copy of `body`, and no name yet. nullptr without memory.
memfs_node *new_node(memfs_disk *disk, umode_t mode, unsigned links, const char *body)
{
    void *memory = kmalloc(sizeof(memfs_node));
    char *copy = nullptr;
    memfs_node *node;

    if (!memory)
        return nullptr;
    if (body) {
        size_t size = strlen(body) + 1;
        copy = static_cast<char *>(kmalloc(size));
        if (!copy) {
            kfree(memory);
            return nullptr;
        }
        memcpy(copy, body, size);
    }
    node = new (memory) memfs_node();
    node->mode = mode;
    node->nlink = links;
    node->body = copy;

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

    node->names.clear_and_dispose(free_name);
    kfree(node->body);
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
extern const inode_operations memfs_file_inode_operations;

/// Fills in an I_NEW inode.
void fill_inode(inode *inode, memfs_node *node)
{
    WRITE_ONCE(inode->i_mode, node->mode);
    set_nlink(inode, node->nlink);
    inode->i_private = node;
    switch (node->mode & S_IFMT_MASK) {
    case S_IFDIR_TYPE:
        inode->i_op = &memfs_dir_inode_operations;
        break;
    case S_IFLNK_TYPE:
        inode->i_op = &memfs_symlink_inode_operations;
        break;
    default:
        inode->i_op = &memfs_file_inode_operations;
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
    fill_inode(inode, node);
    unlock_new_inode(inode);
    return inode;
}

// As Linux v6.12 fs/ext2/ialloc.c ext2_new_inode(). A new node and its inode, I_NEW, referenced;
// nullptr without memory.
inode *memfs_new_inode(super_block *sb, umode_t mode, unsigned links, const char *body)
{
    memfs_node *node = new_node(disk_of(sb), mode, links, body);
    inode *inode;

    if (!node)
        return nullptr;
    inode = iget_locked(sb, node->ino);
    if (!inode) {
        free_node(disk_of(sb), node);
        return nullptr;
    }
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

// As Linux v6.12 fs/ramfs/inode.c ramfs_mknod(): what create, mkdir and symlink have in common.
int memfs_mknod(inode *dir, dentry *dentry, umode_t mode, const char *body)
{
    bool is_dir = S_ISDIR_mode(mode);
    memfs_name *name;
    inode *inode;

    if (dentry->d_name.len() > NAME_MAX_LENGTH)
        return -ENAMETOOLONG;
    if (find_name(node_of(dir), key_of(dentry)))
        return -EEXIST;
    name = new_name(key_of(dentry));
    if (!name)
        return -ENOMEM;
    inode = memfs_new_inode(dir->i_sb, mode, is_dir ? 2 : 1, body);
    if (!inode) {
        free_name(name);
        return -ENOMEM;
    }

    add_name(node_of(dir), name, node_of(inode));
    if (is_dir)
        add_link(dir);
    memfs_publish_new(dentry, inode);
    return 0;
}

int memfs_create(inode *dir, dentry *dentry, umode_t mode, bool)
{
    return memfs_mknod(dir, dentry, static_cast<umode_t>((mode & ~S_IFMT_MASK) | S_IFREG_TYPE),
                       nullptr);
}

int memfs_mkdir(inode *dir, dentry *dentry, umode_t mode)
{
    return memfs_mknod(dir, dentry, static_cast<umode_t>((mode & ~S_IFMT_MASK) | S_IFDIR_TYPE),
                       nullptr);
}

int memfs_symlink(inode *dir, dentry *dentry, const char *body)
{
    return memfs_mknod(dir, dentry, S_IFLNK_TYPE | 0777, body);
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

/// Moves a name over an existing one. Nothing has to be allocated: the target's name stays and
/// stands for the source.
int memfs_rename_over(inode *old_dir, memfs_name *old_name, bool is_dir, inode *new_dir,
                      dentry *new_dentry)
{
    memfs_name *target_name = find_dentry(new_dir, new_dentry);
    inode *target = d_inode(new_dentry);

    if (!target_name)
        return -ENOENT;
    if (!node_of(target)->names.empty())
        return -ENOTEMPTY;
    target_name->node = old_name->node;
    remove_name(node_of(old_dir), old_name);
    drop_name_links(target);
    // One subdirectory came to new_dir, one went from it.
    if (is_dir)
        drop_link(old_dir);
    return 0;
}

// As Linux v6.12 fs/ext2/namei.c ext2_rename(). Both directories are locked, a victim as well, and
// a directory that gets another parent.
int memfs_rename(inode *old_dir, dentry *old_dentry, inode *new_dir, dentry *new_dentry,
                 unsigned flags)
{
    memfs_name *old_name, *fresh;
    bool is_dir = d_is_dir(old_dentry);

    if (flags & ~(RENAME_NOREPLACE_FLAG | RENAME_EXCHANGE_FLAG))
        return -EINVAL;
    if (flags & RENAME_EXCHANGE_FLAG)
        return memfs_exchange(old_dir, old_dentry, new_dir, new_dentry);

    old_name = find_dentry(old_dir, old_dentry);
    if (!old_name)
        return -ENOENT;
    if (d_is_positive(new_dentry)) {
        if (flags & RENAME_NOREPLACE_FLAG)
            return -EEXIST;
        return memfs_rename_over(old_dir, old_name, is_dir, new_dir, new_dentry);
    }

    if (new_dentry->d_name.len() > NAME_MAX_LENGTH)
        return -ENAMETOOLONG;
    if (find_name(node_of(new_dir), key_of(new_dentry)))
        return -EEXIST;
    fresh = new_name(key_of(new_dentry));
    if (!fresh)
        return -ENOMEM;
    add_name(node_of(new_dir), fresh, old_name->node);
    remove_name(node_of(old_dir), old_name);
    if (is_dir)
        move_dotdot(old_dir, new_dir);
    return 0;
}

// As Linux v6.12 fs/ext2/namei.c ext2_tmpfile().
int memfs_tmpfile(inode *dir, file *file, umode_t mode)
{
    inode *inode = memfs_new_inode(
        dir->i_sb, static_cast<umode_t>((mode & ~S_IFMT_MASK) | S_IFREG_TYPE), 1, nullptr);

    if (!inode)
        return -ENOMEM;
    // d_tmpfile() takes the inode's link away; the node must not keep one either.
    node_of(inode)->nlink = 0;
    d_tmpfile(file, inode);
    unlock_new_inode(inode);
    return 0;
}

// As Linux v6.12 fs/libfs.c simple_get_link().
const char *memfs_get_link(dentry *, inode *inode, delayed_call *)
{
    return node_of(inode)->body;
}

const inode_operations memfs_dir_inode_operations = {
    .lookup = memfs_lookup,
    .create = memfs_create,
    .link = memfs_link,
    .unlink = memfs_unlink,
    .symlink = memfs_symlink,
    .mkdir = memfs_mkdir,
    .rmdir = memfs_rmdir,
    .rename = memfs_rename,
    .tmpfile = memfs_tmpfile,
};

const inode_operations memfs_symlink_inode_operations = {
    .get_link = memfs_get_link,
};

const inode_operations memfs_file_inode_operations = {};

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
    root = memfs_new_inode(sb, S_IFDIR_TYPE | 0755, 2, nullptr);
    if (root) {
        disk->root = node_of(root);
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
    if (!S_ISDIR_mode(directory->mode))
        return -ENOTDIR;
    if (key.length > NAME_MAX_LENGTH)
        return -ENAMETOOLONG;
    if (key.length == 0 || memchr(key.text, '/', key.length) || memchr(key.text, '\0', key.length))
        return -EINVAL;
    if (key.text[0] == '.' && (key.length == 1 || (key.length == 2 && key.text[1] == '.')))
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

/// A directory that is filled while its inode is in memory, as the root's always is.
void update_cached_nlink(super_block *sb, const memfs_node *node)
{
    inode *inode = ilookup(sb, node->ino);

    if (inode) {
        set_nlink(inode, node->nlink);
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
    node = new_node(disk_of(sb), mode, S_ISDIR_mode(mode) ? 2 : 1, body);
    if (!node) {
        free_name(entry);
        return ERR_PTR(-ENOMEM);
    }
    add_name(directory, entry, node);
    if (S_ISDIR_mode(mode)) {
        directory->nlink++;
        update_cached_nlink(sb, directory);
    }
    return node;
}

int memfs_add_directory_name(super_block *, memfs_node *directory, const char *name, size_t length,
                             memfs_node *node)
{
    const name_key key = {name, length};
    int error = check_new_name(directory, key, node->mode, nullptr);
    memfs_name *entry;

    if (error)
        return error;
    if (!S_ISDIR_mode(node->mode))
        return -ENOTDIR;
    if (find_name(directory, key))
        return -EEXIST;
    entry = new_name(key);
    if (!entry)
        return -ENOMEM;
    add_name(directory, entry, node);
    return 0;
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
