// SPDX-License-Identifier: GPL-2.0-only
//
// ramfs: the operations of fs/libfs.c and what they leave open, which is making inodes.
//
// A name is a PERSISTENT dentry from the moment it is made until it is removed or moved over, or
// the file system is unmounted; shrinkers find nothing to free but what was removed while in use.
//
// Reduced: no contents. A symbolic link's body is in i_link instead of the page cache, and is freed
// after the inode's grace period, because RCU walkers read it without a reference.
#include "dcsim/mockfs/ramfs.h"

#include <cstring>

#include "dcsim/kernel/err.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/vfs/dcache.h"
#include "dcsim/vfs/file.h"
#include "dcsim/vfs/inode.h"
#include "dcsim/vfs/libfs.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

extern const inode_operations ramfs_dir_inode_operations;

constexpr inode_operations ramfs_file_inode_operations = {};
constexpr file_operations ramfs_file_operations = {};

// Linux v6.12 fs/ramfs/inode.c ramfs_get_inode().
inode *ramfs_get_inode(super_block *sb, const inode *dir, umode_t mode, unsigned device)
{
    inode *inode = new_inode(sb);

    if (!inode)
        return nullptr;
    inode->i_ino = get_next_ino();
    inode_init_owner(inode, dir, mode);
    switch (mode & S_IFMT_MASK) {
    case S_IFREG_TYPE:
        inode->i_op = &ramfs_file_inode_operations;
        inode->i_fop = &ramfs_file_operations;
        break;
    case S_IFDIR_TYPE:
        inode->i_op = &ramfs_dir_inode_operations;
        inode->i_fop = &simple_dir_operations;
        // For its ".".
        inc_nlink(inode);
        break;
    case S_IFLNK_TYPE:
        inode->i_op = &simple_symlink_inode_operations;
        break;
    default:
        init_special_inode(inode, mode, device);
        break;
    }
    return inode;
}

// Linux v7.2 fs/ramfs/inode.c ramfs_mknod().
int ramfs_mknod(inode *dir, dentry *dentry, umode_t mode, unsigned device)
{
    inode *inode = ramfs_get_inode(dir->i_sb, dir, mode, device);

    if (!inode)
        return -ENOSPC;
    d_make_persistent(dentry, inode);
    return 0;
}

// Linux v6.12 fs/ramfs/inode.c ramfs_mkdir().
int ramfs_mkdir(inode *dir, dentry *dentry, umode_t mode)
{
    int error = ramfs_mknod(dir, dentry, static_cast<umode_t>(mode | S_IFDIR_TYPE), 0);

    if (!error)
        inc_nlink(dir);
    return error;
}

// Linux v6.12 fs/ramfs/inode.c ramfs_create().
int ramfs_create(inode *dir, dentry *dentry, umode_t mode, bool)
{
    return ramfs_mknod(dir, dentry, static_cast<umode_t>(mode | S_IFREG_TYPE), 0);
}

// Linux v7.2 fs/ramfs/inode.c ramfs_symlink().
int ramfs_symlink(inode *dir, dentry *dentry, const char *body)
{
    inode *inode = ramfs_get_inode(dir->i_sb, dir, S_IFLNK_TYPE | 0777, 0);
    size_t size = strlen(body) + 1;
    char *copy;

    if (!inode)
        return -ENOSPC;
    copy = static_cast<char *>(kmalloc(size));
    if (!copy) {
        iput(inode);
        return -ENOMEM;
    }
    memcpy(copy, body, size);
    WRITE_LOCKED(inode->i_link, copy);
    WRITE_LOCKED(inode->i_size, static_cast<int64_t>(size - 1));
    d_make_persistent(dentry, inode);
    return 0;
}

// Linux v6.12 fs/ramfs/inode.c ramfs_tmpfile().
int ramfs_tmpfile(inode *dir, file *file, umode_t mode)
{
    inode *inode = ramfs_get_inode(dir->i_sb, dir, mode, 0);

    if (!inode)
        return -ENOSPC;
    d_tmpfile(file, inode);
    return finish_open_simple(file, 0);
}

const inode_operations ramfs_dir_inode_operations = {
    .lookup = simple_lookup,
    .create = ramfs_create,
    .link = simple_link,
    .unlink = simple_unlink,
    .symlink = ramfs_symlink,
    .mkdir = ramfs_mkdir,
    .rmdir = simple_rmdir,
    .mknod = ramfs_mknod,
    .rename = simple_rename,
    .tmpfile = ramfs_tmpfile,
};

// As Linux v6.12 mm/shmem.c shmem_free_in_core_inode().
void ramfs_free_inode(inode *inode)
{
    kfree(READ_LOCKED(inode->i_link));
}

constexpr super_operations ramfs_operations = {.free_inode = ramfs_free_inode};
constexpr file_system_type ramfs_type = {"ramfs"};

} // namespace

// Linux v7.2 fs/ramfs/inode.c ramfs_fill_super().
super_block *ramfs_mount(const ramfs_options &options, const char *id)
{
    super_block *sb = alloc_super(&ramfs_type, id);
    inode *root;

    if (!sb)
        return ERR_PTR(-ENOMEM);
    sb->s_op = &ramfs_operations;
    sb->s_d_flags |= DCACHE_DONTCACHE;
    root = ramfs_get_inode(sb, nullptr,
                           static_cast<umode_t>(S_IFDIR_TYPE | (options.mode & S_IALLUGO_BITS)), 0);
    if (root)
        sb->s_root = d_make_root(root);
    if (!sb->s_root) {
        generic_shutdown_super(sb);
        return ERR_PTR(-ENOMEM);
    }
    return sb;
}

// Linux v7.2 fs/super.c kill_anon_super(): the shutdown drops the pins.
long ramfs_unmount(super_block *sb)
{
    return generic_shutdown_super(sb);
}

} // namespace dcsim::inline DCSIM_BACKEND
