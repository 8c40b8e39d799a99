// SPDX-License-Identifier: GPL-2.0-only
//
// casefs's inodes, and which directories fold.
#include <new>

#include "casefs.h"
#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/err.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/vfs/attributes.h"
#include "dcsim/vfs/file.h"
#include "dcsim/vfs/libfs.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// casefs_inode::change of what the server has no more: no answer is younger than that.
constexpr u64 LAST_CHANGE = ~u64{0};

/// The record of a directory that folds, or nullptr.
casefs_folding *find_folding(casefs_disk *disk, u64 fileid) __must_hold(&disk->folding_lock)
{
    for (list_head *at = list_first(&disk->folding); at != &disk->folding; at = list_next(at)) {
        auto *record = container_of(at, casefs_folding, list);

        if (record->fileid == fileid)
            return record;
    }
    return nullptr;
}

} // namespace

bool casefs_folds(casefs_disk *disk, u64 fileid)
{
    bool folds = disk->options.casefold != 0;

    if (folds)
        return true;
    spin_lock(&disk->folding_lock);
    folds = find_folding(disk, fileid) != nullptr;
    spin_unlock(&disk->folding_lock);
    return folds;
}

casefs_folding *casefs_new_folding()
{
    void *memory = kmalloc(sizeof(casefs_folding));

    return memory ? new (memory) casefs_folding() : nullptr;
}

void casefs_add_folding(casefs_disk *disk, casefs_folding *record, u64 fileid)
{
    record->fileid = fileid;
    spin_lock(&disk->folding_lock);
    list_add_tail(&record->list, &disk->folding);
    spin_unlock(&disk->folding_lock);
}

namespace
{

/// i_lock held, or I_NEW.
void set_attributes(inode *inode, const server_attributes &attributes)
{
    static_cast<casefs_inode *>(inode->i_private)->change = attributes.change;
    WRITE_ONCE(inode->i_size, attributes.size);
    set_nlink(inode, attributes.nlink);
}

} // namespace

void casefs_update(inode *inode, const server_attributes &attributes)
{
    spin_lock(&inode->i_lock);
    if (attributes.change >= static_cast<casefs_inode *>(inode->i_private)->change)
        set_attributes(inode, attributes);
    spin_unlock(&inode->i_lock);
}

void casefs_refresh(inode *inode)
{
    server_attributes attributes = {};

    if (server_getattr(casefs_disk_of(inode->i_sb)->server, inode->i_ino, &attributes)) {
        attributes.change = LAST_CHANGE;
        attributes.size = READ_ONCE(inode->i_size);
    }
    casefs_update(inode, attributes);
}

namespace
{

// As Linux v6.12 fs/nfs/symlink.c nfs_get_link(), without a page to keep the text in.
const char *casefs_get_link(dentry *dentry, inode *inode, delayed_call *done)
{
    if (!dentry)
        return ERR_PTR(-ECHILD);
    return server_get_link(casefs_disk_of(inode->i_sb)->server, inode->i_ino, done);
}

/// Permissions go to the server; owners stay in the inode.
int casefs_setattr(dentry *dentry, iattr *attributes)
{
    inode *inode = d_inode(dentry);
    int error = simple_setattr(dentry, attributes);

    if (error)
        return error;
    return server_setattr(casefs_disk_of(inode->i_sb)->server, inode->i_ino,
                          READ_ONCE(inode->i_mode) & S_IALLUGO_BITS, nullptr);
}

constexpr inode_operations casefs_file_inode_operations = {.setattr = casefs_setattr};
constexpr inode_operations casefs_symlink_inode_operations = {.get_link = casefs_get_link,
                                                              .setattr = casefs_setattr};
constexpr file_operations casefs_file_operations = {};

/// Fills in an I_NEW inode. False without memory.
bool fill_inode(inode *inode, const server_attributes &attributes)
{
    void *memory = kmalloc(sizeof(casefs_inode));

    if (!memory)
        return false;
    inode->i_private = new (memory) casefs_inode();
    WRITE_ONCE(inode->i_mode, attributes.mode);
    set_attributes(inode, attributes);
    inode->i_op = &casefs_file_inode_operations;
    switch (attributes.mode & S_IFMT_MASK) {
    case S_IFDIR_TYPE:
        inode->i_op = &casefs_dir_inode_operations;
        inode->i_fop = &casefs_dir_operations;
        if (casefs_folds(casefs_disk_of(inode->i_sb), attributes.fileid))
            WRITE_ONCE(inode->i_flags, READ_ONCE(inode->i_flags) | S_CASEFOLD);
        break;
    case S_IFLNK_TYPE:
        inode->i_op = &casefs_symlink_inode_operations;
        break;
    case S_IFREG_TYPE:
        inode->i_fop = &casefs_file_operations;
        break;
    default:
        init_special_inode(inode, attributes.mode, 0);
        break;
    }
    return true;
}

/// fill_inode(), or the end of the inode.
inode *fill_or_fail(inode *inode, const server_attributes &attributes)
{
    if (fill_inode(inode, attributes))
        return inode;
    iget_failed(inode);
    return ERR_PTR(-ENOMEM);
}

} // namespace

// As Linux v6.12 fs/ext4/inode.c ext4_iget().
inode *casefs_iget(super_block *sb, const server_attributes &attributes)
{
    inode *inode = iget_locked(sb, attributes.fileid);

    if (!inode)
        return ERR_PTR(-ENOMEM);
    if (READ_ONCE(inode->i_state) & I_NEW) {
        inode = fill_or_fail(inode, attributes);
        if (!IS_ERR(inode))
            unlock_new_inode(inode);
    }
    return inode;
}

inode *casefs_iget_made(super_block *sb, const server_attributes &attributes)
{
    inode *inode = iget_locked(sb, attributes.fileid);

    if (!inode)
        return ERR_PTR(-ENOMEM);
    // Nobody else has heard of it: its directory is locked for writing, and file handles are looked
    // up under change_lock.
    WARN_ON(!(READ_ONCE(inode->i_state) & I_NEW));
    return fill_or_fail(inode, attributes);
}

namespace
{

/// A directory that is gone needs no record any more: ids are never used again.
void casefs_evict_inode(inode *inode)
{
    casefs_disk *disk = casefs_disk_of(inode->i_sb);
    casefs_folding *record;

    if (READ_ONCE(inode->i_nlink) || !IS_CASEFOLDED(inode))
        return;
    spin_lock(&disk->folding_lock);
    record = find_folding(disk, inode->i_ino);
    if (record)
        list_del_init(&record->list);
    spin_unlock(&disk->folding_lock);
    kfree(record);
}

void casefs_free_inode(inode *inode)
{
    kfree(inode->i_private);
}

void casefs_put_super(super_block *sb)
{
    casefs_free_disk(casefs_disk_of(sb));
    sb->s_fs_info = nullptr;
}

} // namespace

void casefs_free_disk(casefs_disk *disk)
{
    while (!list_empty(&disk->folding)) {
        auto *record = container_of(list_first(&disk->folding), casefs_folding, list);

        list_del_init(&record->list);
        kfree(record);
    }
    server_tree_destroy(disk->server);
    disk->~casefs_disk();
    kfree(disk);
}

constexpr super_operations casefs_super_operations = {
    .evict_inode = casefs_evict_inode,
    .free_inode = casefs_free_inode,
    .put_super = casefs_put_super,
};

} // namespace dcsim::inline DCSIM_BACKEND
