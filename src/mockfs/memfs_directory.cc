// SPDX-License-Identifier: GPL-2.0-only
//
// memfs's directories: looking up, making, removing, renaming.
#include <cstring>

#include "dcsim/kernel/err.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/vfs/attributes.h"
#include "dcsim/vfs/dcache.h"
#include "dcsim/vfs/file.h"
#include "dcsim/vfs/namei.h"
#include "dcsim/vfs/proposed.h"
#include "memfs_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

// --- Link counts, on the disk and in the inode. The inode's i_rwsem held for writing, or the inode
// still I_NEW. ---

void add_link(inode *inode)
{
    memfs_node_of(inode)->nlink++;
    inc_nlink(inode);
}

void drop_link(inode *inode)
{
    memfs_node_of(inode)->nlink--;
    drop_nlink(inode);
}

/// The last name is gone: for a directory "." goes with it.
void drop_name_links(inode *inode)
{
    if (inode_is_directory(inode)) {
        memfs_node_of(inode)->nlink = 0;
        clear_nlink(inode);
    } else {
        drop_link(inode);
    }
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
    const memfs_options &options = memfs_disk_of(dir->i_sb)->options;
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
    name = memfs_find_name(memfs_node_of(dir), key_of(dentry));
    if (name)
        inode = memfs_iget(dir->i_sb, name->node);
    return d_splice_alias(inode, dentry);
}

/// A name for `dentry`, not yet in `dir`: ERR_PTR(-ENAMETOOLONG), ERR_PTR(-EEXIST) when the disk
/// has one, ERR_PTR(-ENOMEM).
memfs_name *new_name_for(inode *dir, const dentry *dentry)
{
    memfs_name *name;

    if (dentry->d_name.len() > NAME_MAX_LENGTH)
        return ERR_PTR(-ENAMETOOLONG);
    if (memfs_find_name(memfs_node_of(dir), key_of(dentry)))
        return ERR_PTR(-EEXIST);
    name = memfs_new_name(key_of(dentry));
    return name ? name : ERR_PTR(-ENOMEM);
}

/// What mknod, create, mkdir and symlink have in common.
int memfs_make(inode *dir, dentry *dentry, umode_t mode, unsigned device, const char *body)
{
    memfs_name *name = new_name_for(dir, dentry);
    inode *inode;

    if (IS_ERR(name))
        return PTR_ERR(name);
    inode = memfs_new_inode(dir->i_sb, dir, mode, device, body);
    if (!inode) {
        memfs_free_name(name);
        return -ENOMEM;
    }

    memfs_add_name(memfs_node_of(dir), name, memfs_node_of(inode));
    memfs_update_size(dir);
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
    if (strlen(body) >= PATH_MAX_LENGTH)
        return -ENAMETOOLONG;
    return memfs_make(dir, dentry, S_IFLNK_TYPE | 0777, 0, body);
}

// As Linux v6.12 fs/ext2/namei.c ext2_link(). The file is locked as well.
int memfs_link(dentry *old_dentry, inode *dir, dentry *dentry)
{
    inode *inode = d_inode(old_dentry);
    memfs_name *name = new_name_for(dir, dentry);

    if (IS_ERR(name))
        return PTR_ERR(name);

    add_link(inode);
    ihold(inode);
    memfs_add_name(memfs_node_of(dir), name, memfs_node_of(inode));
    memfs_update_size(dir);
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
    memfs_name *name = memfs_find_name(memfs_node_of(dir), key_of(dentry));

    return name && name->node == memfs_node_of(d_inode(dentry)) ? name : nullptr;
}

// As Linux v6.12 fs/ext2/namei.c ext2_unlink(). The file is locked as well.
int memfs_unlink(inode *dir, dentry *dentry)
{
    memfs_name *name = find_dentry(dir, dentry);

    if (!name)
        return -ENOENT;
    memfs_remove_name(memfs_node_of(dir), name);
    memfs_update_size(dir);
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
    if (!memfs_node_of(inode)->names.empty())
        return -ENOTEMPTY;
    memfs_remove_name(memfs_node_of(dir), name);
    memfs_update_size(dir);
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
        memfs_remove_name(memfs_node_of(dir), name);
        memfs_update_size(dir);
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
    if (!memfs_node_of(target)->names.empty())
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

    fresh = new_name_for(new_dir, new_dentry);
    if (IS_ERR(fresh))
        return PTR_ERR(fresh);
    memfs_add_name(memfs_node_of(new_dir), fresh, old_name->node);
    memfs_update_size(new_dir);
    vacate_name(old_dir, old_name, whiteout);
    if (is_dir)
        move_dotdot(old_dir, new_dir);
    return 0;
}

/// Ends `twin`, a d_duplicate(): it becomes the dentry of the whiteout that `old_dentry` has left
/// behind on the disk. nullptr: none. Consumes the reference on the twin.
///
/// A d_duplicate() is safe while its original is hashed. shmem leaves the original hashed beside
/// the whiteout until the VFS moves it, and whoever looks gets either. Here it is dropped before
/// the twin is published: whoever looks in between finds the twin in lookup, and waits.
void memfs_end_whiteout(dentry *old_dentry, dentry *twin, memfs_node *whiteout)
{
    inode *inode = whiteout ? memfs_iget(old_dentry->d_sb, whiteout) : nullptr;

    // Without memory the name is looked up when it is asked for.
    if (!IS_ERR_OR_NULL(inode)) {
        d_drop(old_dentry);
        d_splice_alias(inode, twin);
    }
    d_lookup_done(twin);
    spin_lock(&twin->d_lockref.lock);
    twin->d_flags &= ~DCACHE_BESIDE_LOOKUP;
    spin_unlock(&twin->d_lockref.lock);
    dput(twin);
}

// As Linux v6.12 fs/ext2/namei.c ext2_rename(). Both directories are locked, a victim as well, and
// a directory that gets another parent. The whiteout is made as in fs/ext4/namei.c, on the disk
// alone: the old name is in the cache until the VFS moves its dentry, and is looked up after that.
// In the proposed order it has a dentry from the beginning, as mm/shmem.c makes it in v3 12/19.
int memfs_rename(inode *old_dir, dentry *old_dentry, inode *new_dir, dentry *new_dentry,
                 unsigned flags)
{
    memfs_disk *disk = memfs_disk_of(old_dir->i_sb);
    memfs_node *whiteout = nullptr;
    dentry *twin = nullptr;
    int error;

    if (flags & ~(RENAME_NOREPLACE_FLAG | RENAME_EXCHANGE_FLAG | RENAME_WHITEOUT_FLAG))
        return -EINVAL;
    if (flags & RENAME_EXCHANGE_FLAG)
        return memfs_exchange(old_dir, old_dentry, new_dir, new_dentry);

    if (flags & RENAME_WHITEOUT_FLAG) {
        whiteout = memfs_new_node(disk, S_IFCHR_TYPE, 0, nullptr);
        if (!whiteout)
            return -ENOMEM;
        if (lookup_outside_rwsem)
            twin = d_duplicate(old_dentry);
        if (IS_ERR(twin)) {
            memfs_free_node(disk, whiteout);
            return PTR_ERR(twin);
        }
    }
    error = memfs_move(old_dir, old_dentry, new_dir, new_dentry, flags, whiteout);
    if (error && whiteout)
        memfs_free_node(disk, whiteout);
    if (twin)
        memfs_end_whiteout(old_dentry, twin, error ? nullptr : whiteout);
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
    memfs_node_of(inode)->nlink = 0;
    d_tmpfile(file, inode);
    unlock_new_inode(inode);
    return finish_open_simple(file, 0);
}

} // namespace

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

} // namespace dcsim::inline DCSIM_BACKEND
