// SPDX-License-Identifier: GPL-2.0-only
//
// memfs's inodes: a node's attributes while it is in memory.
#include <cstring>

#include "dcsim/kernel/err.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/vfs/attributes.h"
#include "dcsim/vfs/dcache.h"
#include "dcsim/vfs/file.h"
#include "dcsim/vfs/libfs.h"
#include "memfs_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

constexpr file_operations memfs_file_operations = {};

// As Linux v6.12 mm/shmem.c shmem_get_link(), where the copy is a page.
const char *memfs_get_link(dentry *dentry, inode *inode, delayed_call *done)
{
    const char *body;
    size_t size;
    char *copy;

    // Before the node is looked at: in RCU mode it may be freed meanwhile.
    if (!dentry)
        return ERR_PTR(-ECHILD);
    body = memfs_node_of(inode)->body->text();
    size = strlen(body) + 1;
    copy = static_cast<char *>(kmalloc(size));
    if (!copy)
        return ERR_PTR(-ENOMEM);
    memcpy(copy, body, size);
    set_delayed_call(done, kfree_link, copy);
    return copy;
}

constexpr inode_operations memfs_fast_symlink_inode_operations = {
    .get_link = simple_get_link,
    .setattr = memfs_setattr,
};

constexpr inode_operations memfs_symlink_inode_operations = {
    .get_link = memfs_get_link,
    .setattr = memfs_setattr,
};

constexpr inode_operations memfs_file_inode_operations = {
    .setattr = memfs_setattr,
};

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
        if (memfs_disk_of(inode->i_sb)->options.links_in_inode) {
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

// As Linux v6.12 fs/ext2/inode.c ext2_evict_inode().
void memfs_evict_inode(inode *inode)
{
    memfs_node *node = memfs_node_of(inode);

    // An inode that was never filled in has no node.
    if (node && node->nlink == 0)
        memfs_free_node(memfs_disk_of(inode->i_sb), node);
}

void memfs_put_super(super_block *sb)
{
    memfs_free_disk(memfs_disk_of(sb));
    sb->s_fs_info = nullptr;
}

} // namespace

void memfs_save_attributes(memfs_node *node, const inode *inode)
{
    node->permissions = READ_ONCE(inode->i_mode) & S_IALLUGO_BITS;
    node->uid = READ_ONCE(inode->i_uid);
    node->gid = READ_ONCE(inode->i_gid);
}

void memfs_load_attributes(inode *inode, const memfs_node *node)
{
    WRITE_ONCE(inode->i_mode, static_cast<umode_t>(node->type | node->permissions));
    WRITE_ONCE(inode->i_uid, node->uid);
    WRITE_ONCE(inode->i_gid, node->gid);
}

void memfs_update_size(inode *dir)
{
    WRITE_ONCE(dir->i_size, memfs_node_of(dir)->size);
}

// As Linux v6.12 fs/ext2/inode.c ext2_iget().
inode *memfs_iget(super_block *sb, memfs_node *node)
{
    inode *inode = iget_locked(sb, node->ino);

    if (!inode)
        return ERR_PTR(-ENOMEM);
    if (!(READ_ONCE(inode->i_state) & I_NEW))
        return inode;
    memfs_load_attributes(inode, node);
    fill_inode(inode, node);
    unlock_new_inode(inode);
    return inode;
}

// As Linux v6.12 fs/ext2/ialloc.c ext2_new_inode().
inode *memfs_new_inode(super_block *sb, const inode *dir, umode_t mode, unsigned device,
                       const char *body)
{
    memfs_node *node = memfs_new_node(memfs_disk_of(sb), mode, device, body);
    inode *inode;

    if (!node)
        return nullptr;
    inode = iget_locked(sb, node->ino);
    if (!inode) {
        memfs_free_node(memfs_disk_of(sb), node);
        return nullptr;
    }
    inode_init_owner(inode, dir, mode);
    memfs_save_attributes(node, inode);
    fill_inode(inode, node);
    return inode;
}

// As Linux v6.12 fs/ext2/inode.c ext2_setattr().
int memfs_setattr(dentry *dentry, iattr *attributes)
{
    int error = simple_setattr(dentry, attributes);

    if (!error)
        memfs_save_attributes(memfs_node_of(d_inode(dentry)), d_inode(dentry));
    return error;
}

const super_operations memfs_super_operations = {
    .evict_inode = memfs_evict_inode,
    .put_super = memfs_put_super,
};

} // namespace dcsim::inline DCSIM_BACKEND
