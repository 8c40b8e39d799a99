// SPDX-License-Identifier: GPL-2.0-only
//
// Directories of fusefs: what the VFS wants, asked of the daemon. Source: fs/fuse/dir.c.
//
// Whatever names an object in a reply is a lookup of it: the inode gets it, or a FORGET gives it
// back at once. So memory for the FORGET comes before the request.
#include <cstring>

#include "dcsim/kernel/err.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/vfs/attributes.h"
#include "dcsim/vfs/dcache.h"
#include "dcsim/vfs/file.h"
#include "dcsim/vfs/libfs.h"
#include "dcsim/vfs/namei.h"
#include "dcsim/vfs/proposed.h"
#include "fusefs_internal.h"
#include "name_key.h"
#include "server_client.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

// Linux v6.12 fs/fuse/dir.c fuse_invalidate_entry().
void fuse_invalidate_entry(dentry *entry)
{
    d_invalidate(entry);
    fuse_invalidate_entry_cache(entry);
}

// Linux v6.12 fs/fuse/dir.c fuse_dir_changed(). The counts of links are the daemon's.
void fuse_dir_changed(inode *dir)
{
    server_attributes attributes;
    server_tree *files = fuse_daemon_files(get_fuse_conn(dir)->daemon);

    if (!server_getattr(files, get_node_id(dir), &attributes))
        fuse_change_attributes(dir, &attributes);
}

/// The inode of a node that the daemon has just told of; ERR_PTR(-ENOMEM), with the lookup given
/// back. Consumes `forget`.
inode *iget_or_forget(super_block *sb, const server_attributes *attributes,
                      fuse_forget_link *forget)
{
    inode *inode = fuse_iget(sb, attributes);

    if (!inode) {
        fuse_queue_forget(get_fuse_conn_super(sb), forget, attributes->fileid, 1);
        return ERR_PTR(-ENOMEM);
    }
    kfree(forget);
    return inode;
}

// Linux v6.12 fs/fuse/dir.c fuse_lookup_name(). The inode, referenced, or ERR_PTR.
inode *fuse_lookup_name(inode *dir, const dentry *entry)
{
    fuse_conn *fc = get_fuse_conn(dir);
    const name_key name = key_of(entry);
    server_attributes attributes;
    fuse_forget_link *forget;
    int error;

    if (name.length > NAME_MAX_LENGTH)
        return ERR_PTR(-ENAMETOOLONG);
    forget = fuse_alloc_forget();
    if (!forget)
        return ERR_PTR(-ENOMEM);
    error = fuse_daemon_lookup(fc->daemon, get_node_id(dir), name.text, name.length, &attributes);
    if (error) {
        kfree(forget);
        return ERR_PTR(error);
    }
    return iget_or_forget(dir->i_sb, &attributes, forget);
}

/// In the order where names are found before the directory is locked, a name that is about to be
/// made must stay in lookup until it is. Nobody believes a negative entry of fuse: whoever looks
/// the name up meanwhile would drop it and put a second dentry there.
bool stays_in_lookup(unsigned flags)
{
    constexpr unsigned MAKING = LOOKUP_CREATE | LOOKUP_EXCL;

    return lookup_outside_rwsem && (flags & (MAKING | LOOKUP_RENAME_TARGET)) == MAKING;
}

// Linux v6.12 fs/fuse/dir.c fuse_lookup(). As nfs_lookup() it leaves a name in lookup that
// is about to be made: the daemon says then whether it is there.
dentry *fuse_lookup(inode *dir, dentry *entry, unsigned flags)
{
    const int error = get_fuse_conn(dir)->watcher.before_lookup(dir, entry);
    dentry *newent;
    inode *inode;
    bool found = true;

    if (error)
        return ERR_PTR(error);
    if (stays_in_lookup(flags))
        return nullptr;
    inode = fuse_lookup_name(dir, entry);
    if (inode == ERR_PTR(-ENOENT)) {
        // The daemon says no more than that, and in particular not for how long.
        inode = nullptr;
        found = false;
    }
    if (!IS_ERR_OR_NULL(inode) && invalid_nodeid(get_fuse_conn(dir), get_node_id(inode))) {
        iput(inode);
        return ERR_PTR(-EIO);
    }
    newent = d_splice_alias(inode, entry);
    if (IS_ERR(newent))
        return newent;
    entry = newent ? newent : entry;
    if (found)
        fuse_change_entry_timeout(entry);
    else
        fuse_invalidate_entry_cache(entry);
    return newent;
}

// Linux v6.12 fs/fuse/dir.c fuse_create_open().
int fuse_create_open(inode *dir, dentry *entry, file *file, unsigned flags, umode_t mode)
{
    fuse_conn *fc = get_fuse_conn(dir);
    const name_key name = key_of(entry);
    fuse_forget_link *forget = fuse_alloc_forget();
    server_attributes attributes;
    inode *inode;
    int error;

    if (!forget)
        return -ENOMEM;
    error = fuse_daemon_make(fc->daemon, get_node_id(dir), name.text, name.length,
                             static_cast<umode_t>((mode & ~S_IFMT_MASK) | S_IFREG_TYPE), nullptr,
                             flags & OPEN_EXCL, &attributes);
    if (error) {
        kfree(forget);
        return error;
    }
    inode = iget_or_forget(dir->i_sb, &attributes, forget);
    if (IS_ERR(inode))
        return static_cast<int>(PTR_ERR(inode));
    d_instantiate(entry, inode);
    fuse_change_entry_timeout(entry);
    fuse_dir_changed(dir);
    return finish_open(file, entry, nullptr);
}

/// What mknod, mkdir, symlink and link have in common. `make` asks the daemon.
// Linux v6.12 fs/fuse/dir.c create_new_entry().
template <typename Make>
int create_new_entry(inode *dir, dentry *entry, umode_t type, Make make)
{
    fuse_forget_link *forget = fuse_alloc_forget();
    server_attributes attributes;
    dentry *alias;
    inode *inode;
    int error;

    if (!forget)
        return -ENOMEM;
    error = make(get_fuse_conn(dir)->daemon, &attributes);
    if (!error && (attributes.mode & S_IFMT_MASK) != type) {
        fuse_queue_forget(get_fuse_conn(dir), forget, attributes.fileid, 1);
        return -EIO;
    }
    if (error) {
        if (error == -EEXIST)
            fuse_invalidate_entry(entry);
        kfree(forget);
        return error;
    }
    inode = iget_or_forget(dir->i_sb, &attributes, forget);
    if (IS_ERR(inode))
        return static_cast<int>(PTR_ERR(inode));
    d_drop(entry);
    alias = d_splice_alias(inode, entry);
    if (IS_ERR(alias))
        return static_cast<int>(PTR_ERR(alias));
    fuse_change_entry_timeout(alias ? alias : entry);
    if (alias)
        dput(alias);
    fuse_dir_changed(dir);
    return 0;
}

int make_entry(inode *dir, dentry *entry, umode_t mode, const char *body)
{
    const name_key name = key_of(entry);

    if (name.length > NAME_MAX_LENGTH)
        return -ENAMETOOLONG;
    return create_new_entry(dir, entry, mode & S_IFMT_MASK,
                            [=](fuse_daemon *daemon, server_attributes *out) {
                                return fuse_daemon_make(daemon, get_node_id(dir), name.text,
                                                        name.length, mode, body, true, out);
                            });
}

// Linux v6.12 fs/fuse/dir.c fuse_mknod(). The daemon has no devices' numbers.
int fuse_mknod(inode *dir, dentry *entry, umode_t mode, unsigned)
{
    return make_entry(dir, entry, mode, nullptr);
}

// Linux v6.12 fs/fuse/dir.c fuse_create().
int fuse_create(inode *dir, dentry *entry, umode_t mode, bool)
{
    return fuse_mknod(dir, entry, static_cast<umode_t>((mode & ~S_IFMT_MASK) | S_IFREG_TYPE), 0);
}

// Linux v6.12 fs/fuse/dir.c fuse_mkdir().
int fuse_mkdir(inode *dir, dentry *entry, umode_t mode)
{
    return make_entry(dir, entry, static_cast<umode_t>((mode & ~S_IFMT_MASK) | S_IFDIR_TYPE),
                      nullptr);
}

// Linux v6.12 fs/fuse/dir.c fuse_symlink().
int fuse_symlink(inode *dir, dentry *entry, const char *body)
{
    if (strlen(body) >= PATH_MAX_LENGTH)
        return -ENAMETOOLONG;
    return make_entry(dir, entry, S_IFLNK_TYPE | 0777, body);
}

// Linux v6.12 fs/fuse/dir.c fuse_link().
int fuse_link(dentry *old_dentry, inode *dir, dentry *entry)
{
    const name_key name = key_of(entry);
    inode *inode = d_inode(old_dentry);

    if (name.length > NAME_MAX_LENGTH)
        return -ENAMETOOLONG;
    return create_new_entry(dir, entry, READ_ONCE(inode->i_mode) & S_IFMT_MASK,
                            [=](fuse_daemon *daemon, server_attributes *out) {
                                return fuse_daemon_link(daemon, get_node_id(inode),
                                                        get_node_id(dir), name.text, name.length,
                                                        out);
                            });
}

// Linux v6.12 fs/fuse/dir.c fuse_atomic_open().
int fuse_atomic_open(inode *dir, dentry *entry, file *file, unsigned flags, umode_t mode)
{
    dentry *res = nullptr;
    int error;

    if (d_in_lookup(entry)) {
        res = fuse_lookup(dir, entry, 0);
        if (IS_ERR(res))
            return static_cast<int>(PTR_ERR(res));
        if (res)
            entry = res;
    }
    if (!(flags & OPEN_CREAT) || d_is_positive(entry))
        return finish_no_open(file, res);

    file->f_mode |= FMODE_CREATED;
    if (get_fuse_conn(dir)->settings.atomic_create) {
        error = fuse_create_open(dir, entry, file, flags, mode);
        if (error == -EEXIST)
            fuse_invalidate_entry(entry);
    } else {
        error = fuse_create(dir, entry, mode, true);
        if (!error)
            return finish_no_open(file, res);
    }
    dput(res);
    return error;
}

// Linux v6.12 fs/fuse/dir.c fuse_entry_unlinked(). The inode is locked for writing. `lost` has the
// number of the change: an answer from before that comes late must not bring the link back, and one
// from after it has taken the link away already. When the daemon took the name from another object
// or from none, because somebody else had been there first, that number says nothing about this
// inode: the next answer puts its links right.
void fuse_entry_unlinked(dentry *entry, const server_loss &lost)
{
    inode *inode = d_inode(entry);
    fuse_inode *fi = get_fuse_inode(inode);
    bool numbered = lost.fileid == get_node_id(inode), known;

    spin_lock(&fi->lock);
    known = numbered && fi->change >= lost.change;
    if (numbered && !known)
        fi->change = lost.change;
    if (inode_is_directory(inode))
        clear_nlink(inode);
    else if (!known && READ_ONCE(inode->i_nlink) > 0)
        drop_nlink(inode);
    spin_unlock(&fi->lock);
    fuse_invalidate_entry_cache(entry);
}

/// unlink and rmdir.
int remove_entry(inode *dir, dentry *entry, bool directory)
{
    server_tree *files = fuse_daemon_files(get_fuse_conn(dir)->daemon);
    const name_key name = key_of(entry);
    server_change_info info;
    int error = server_remove(files, get_node_id(dir), name.text, name.length, directory, &info);

    if (!error) {
        fuse_dir_changed(dir);
        fuse_entry_unlinked(entry, info.lost);
    } else if (error == -ENOENT) {
        fuse_invalidate_entry(entry);
    }
    return error;
}

// Linux v6.12 fs/fuse/dir.c fuse_unlink().
int fuse_unlink(inode *dir, dentry *entry)
{
    return remove_entry(dir, entry, false);
}

// Linux v6.12 fs/fuse/dir.c fuse_rmdir().
int fuse_rmdir(inode *dir, dentry *entry)
{
    return remove_entry(dir, entry, true);
}

// Linux v6.12 fs/fuse/dir.c fuse_rename2() and fuse_rename_common().
int fuse_rename(inode *olddir, dentry *oldent, inode *newdir, dentry *newent, unsigned flags)
{
    server_tree *files = fuse_daemon_files(get_fuse_conn(olddir)->daemon);
    const name_key from = key_of(oldent), to = key_of(newent);
    server_change_info info;
    int error;

    if (flags & ~(RENAME_NOREPLACE_FLAG | RENAME_EXCHANGE_FLAG))
        return -EINVAL;
    if (to.length > NAME_MAX_LENGTH)
        return -ENAMETOOLONG;
    error = server_rename(files, get_node_id(olddir), from.text, from.length, get_node_id(newdir),
                          to.text, to.length, flags, nullptr, &info);
    if (!error) {
        fuse_dir_changed(olddir);
        if (olddir != newdir)
            fuse_dir_changed(newdir);
        // The target ends up negative.
        if (!(flags & RENAME_EXCHANGE_FLAG) && d_is_positive(newent))
            fuse_entry_unlinked(newent, info.lost);
    } else if (error == -ENOENT) {
        // Either of the two is not what was thought.
        fuse_invalidate_entry(oldent);
        if (d_is_positive(newent))
            fuse_invalidate_entry(newent);
    }
    return error;
}

// Linux v6.12 fs/fuse/dir.c fuse_get_link(): a copy for each reader, and not in RCU mode.
const char *fuse_get_link(dentry *entry, inode *inode, delayed_call *done)
{
    if (!entry)
        return ERR_PTR(-ECHILD);
    return server_get_link(fuse_daemon_files(get_fuse_conn(inode)->daemon), get_node_id(inode),
                           done);
}

// Linux v6.12 fs/fuse/dir.c fuse_getattr(), with attributes that are never believed.
int fuse_getattr(const path *path, kstat *stat)
{
    inode *inode = d_inode(path->dentry);
    server_tree *files = fuse_daemon_files(get_fuse_conn(inode)->daemon);
    server_attributes attributes;
    int error = server_getattr(files, get_node_id(inode), &attributes);

    if (!error)
        fuse_change_attributes(inode, &attributes);
    else if (error != -ESTALE || READ_ONCE(inode->i_nlink) != 0)
        return error;
    // What has lost its last name is known from here alone.
    generic_fillattr(inode, stat);
    return 0;
}

// Linux v6.12 fs/fuse/dir.c fuse_setattr(). The daemon has no owners.
int fuse_setattr(dentry *entry, iattr *attributes)
{
    inode *inode = d_inode(entry);
    server_tree *files = fuse_daemon_files(get_fuse_conn(inode)->daemon);
    server_attributes answer;
    int error = setattr_prepare(entry, attributes);

    if (error)
        return error;
    if (attributes->ia_valid & (ATTR_UID | ATTR_GID))
        return -EPERM;
    if (!(attributes->ia_valid & ATTR_MODE))
        return 0;
    error = server_setattr(files, get_node_id(inode), attributes->ia_mode, &answer);
    if (!error)
        fuse_change_attributes(inode, &answer);
    return error;
}

} // namespace

int fuse_reverse_inval_entry(super_block *sb, u64 parent_nodeid, u64 child_nodeid, qstr *name,
                             unsigned flags)
{
    inode *parent = ilookup(sb, parent_nodeid);
    dentry *dir, *entry = nullptr;
    int error = 0;

    if (!parent)
        return -ENOENT;
    inode_lock_nested(parent, I_MUTEX_PARENT);
    if (!inode_is_directory(parent)) {
        error = -ENOTDIR;
        goto unlock;
    }
    error = -ENOENT;
    dir = d_find_alias(parent);
    if (!dir)
        goto unlock;
    name->hash = full_name_hash(dir, reinterpret_cast<const char *>(name->name), name->len);
    entry = d_lookup(dir, name);
    dput(dir);
    if (!entry)
        goto unlock;

    fuse_dir_changed(parent);
    if (!(flags & FUSE_EXPIRE_ONLY))
        d_invalidate(entry);
    fuse_invalidate_entry_cache(entry);
    error = 0;
    if (child_nodeid != 0 && d_is_positive(entry)) {
        inode *inode = d_inode(entry);

        inode_lock(inode);
        if (get_node_id(inode) != child_nodeid) {
            error = -ENOENT;
        } else if (d_mountpoint(entry)) {
            error = -EBUSY;
        } else {
            if (d_is_dir(entry)) {
                shrink_dcache_parent(entry);
                if (!simple_empty(entry))
                    error = -ENOTEMPTY;
                else
                    WRITE_ONCE(inode->i_flags, READ_ONCE(inode->i_flags) | S_DEAD);
            }
            if (!error) {
                dont_mount(entry);
                clear_nlink(inode);
            }
        }
        inode_unlock(inode);
        if (!error)
            d_delete(entry);
    }
    dput(entry);

unlock:
    inode_unlock(parent);
    iput(parent);
    return error;
}

constexpr inode_operations fuse_dir_inode_operations = {
    .lookup = fuse_lookup,
    .create = fuse_create,
    .link = fuse_link,
    .unlink = fuse_unlink,
    .symlink = fuse_symlink,
    .mkdir = fuse_mkdir,
    .rmdir = fuse_rmdir,
    .mknod = fuse_mknod,
    .rename = fuse_rename,
    .setattr = fuse_setattr,
    .getattr = fuse_getattr,
    .atomic_open = fuse_atomic_open,
};

constexpr inode_operations fuse_file_inode_operations = {
    .setattr = fuse_setattr,
    .getattr = fuse_getattr,
};

constexpr inode_operations fuse_symlink_inode_operations = {
    .get_link = fuse_get_link,
    .setattr = fuse_setattr,
    .getattr = fuse_getattr,
};

} // namespace dcsim::inline DCSIM_BACKEND
