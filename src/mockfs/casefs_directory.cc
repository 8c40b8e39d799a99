// SPDX-License-Identifier: GPL-2.0-only
//
// casefs's directories: looking up, making, removing, renaming.
//
// A missing name of a folding directory is not cached: it would be a statement about one spelling,
// and somebody may make the file under another. The exception is `negatives` together with d_hash
// and d_compare, where one negative dentry stands for all spellings and d_revalidate looks after
// those who make files.
#include <cstring>

#include "casefs.h"
#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/err.h"
#include "dcsim/kernel/slab.h"

namespace dcsim::inline DCSIM_BACKEND
{

int casefs_find(const inode *dir, const dentry *dentry, server_entry *found)
{
    server_tree *server = casefs_disk_of(dir->i_sb)->server;
    const name_key name = key_of(dentry);
    int error;

    if (IS_CASEFOLDED(dir))
        return server_lookup_nocase(server, dir->i_ino, name.text, name.length, found);
    error = server_lookup(server, dir->i_ino, name.text, name.length, &found->attributes);
    if (!error) {
        found->length = static_cast<u32>(name.length);
        memcpy(found->name, name.text, name.length);
        found->name[name.length] = 0;
    }
    return error;
}

namespace
{

/// May a missing name of this directory be cached?
bool caches_negatives(const inode *dir)
{
    const casefs_options &options = casefs_disk_of(dir->i_sb)->options;

    return !IS_CASEFOLDED(dir) || (options.compare && options.negatives);
}

bool has_spelling(const dentry *dentry, const server_entry &entry)
{
    const name_key name = key_of(dentry);

    return entry.length == name.length && memcmp(entry.name, name.text, name.length) == 0;
}

// --- Looking up ---

// As Linux v6.12 fs/xfs/xfs_iops.c xfs_vn_ci_lookup(), and where the cache folds as
// fs/ext4/namei.c ext4_lookup(): its dentry keeps the spelling of whoever asked first.
dentry *casefs_lookup(inode *dir, dentry *dentry, unsigned)
{
    casefs_disk *disk = casefs_disk_of(dir->i_sb);
    int error = disk->watcher.before_lookup(dir, dentry);
    server_entry found;
    inode *inode;
    qstr exact;

    if (error)
        return ERR_PTR(error);
    error = casefs_find(dir, dentry, &found);
    if (error == -ENOENT)
        return caches_negatives(dir) ? d_splice_alias(nullptr, dentry) : nullptr;
    if (error)
        return ERR_PTR(error);
    inode = casefs_iget(dir->i_sb, found.attributes);
    if (IS_ERR(inode))
        return ERR_CAST(inode);

    if (!disk->options.add_ci || has_spelling(dentry, found))
        return d_splice_alias(inode, dentry);
    exact = make_qstr(found.name, found.length);
    return d_add_ci(dentry, inode, &exact);
}

// --- Making. `dir` is locked for writing. ---

/// 0 when `dir` has nothing under the name of `dentry`, by its own rules. change_lock held.
int check_vacant(const inode *dir, const dentry *dentry)
{
    server_entry found;
    const int error = casefs_find(dir, dentry, &found);

    if (!error)
        return -EEXIST;
    return error == -ENOENT ? 0 : error;
}

/// Makes it on the server and in memory, all or nothing. `record` of a directory that will fold is
/// consumed when this succeeds. The inode, I_NEW, or ERR_PTR. change_lock held.
inode *make_object(inode *dir, const dentry *dentry, umode_t mode, const char *body,
                   casefs_folding *record)
{
    casefs_disk *disk = casefs_disk_of(dir->i_sb);
    const name_key name = key_of(dentry);
    server_attributes made;
    inode *inode;
    int error = check_vacant(dir, dentry);

    if (!error)
        error = server_create(disk->server, dir->i_ino, name.text, name.length, mode, body, true,
                              &made);
    if (error)
        return ERR_PTR(error);
    // Before the inode, which gets its flag from here.
    if (record)
        casefs_add_folding(disk, record, made.fileid);
    inode = casefs_iget_made(dir->i_sb, made);
    if (!IS_ERR(inode))
        return inode;
    if (record) {
        spin_lock(&disk->folding_lock);
        list_del_init(&record->list);
        spin_unlock(&disk->folding_lock);
    }
    server_remove(disk->server, dir->i_ino, name.text, name.length, S_ISDIR_mode(mode));
    return inode;
}

/// Gives a new object or a new link its dentry; consumes the reference on `inode`. As ext4_create()
/// and ext4_link(): where a missing name is not cached, `dentry` is unhashed and stays so, and the
/// next walk looks the file up. In the proposed order it is still in lookup, because that is what
/// keeps the name from others, and ends as a lookup of what is there now would end it.
void publish(dentry *dentry, inode *inode)
{
    const bool is_new = READ_ONCE(inode->i_state) & I_NEW;

    if (!d_in_lookup(dentry)) {
        if (is_new)
            d_instantiate_new(dentry, inode);
        else
            d_instantiate(dentry, inode);
        return;
    }
    // A new directory gets no other alias before: file handles wait for change_lock.
    if (is_new)
        unlock_new_inode(inode);
    WARN_ON(d_splice_alias(inode, dentry));
}

/// What create, mkdir, mknod and symlink have in common.
int casefs_make(inode *dir, dentry *dentry, umode_t mode, const char *body)
{
    casefs_disk *disk = casefs_disk_of(dir->i_sb);
    casefs_folding *record = nullptr;
    inode *inode;

    // With `casefold` every directory folds, without a record.
    if (S_ISDIR_mode(mode) && IS_CASEFOLDED(dir) && !disk->options.casefold) {
        record = casefs_new_folding();
        if (!record)
            return -ENOMEM;
    }
    mutex_lock(&disk->change_lock);
    inode = make_object(dir, dentry, mode, body, record);
    if (!IS_ERR(inode))
        publish(dentry, inode);
    mutex_unlock(&disk->change_lock);
    if (IS_ERR(inode)) {
        kfree(record);
        return static_cast<int>(PTR_ERR(inode));
    }
    casefs_refresh(dir);
    return 0;
}

int casefs_create(inode *dir, dentry *dentry, umode_t mode, bool)
{
    return casefs_make(dir, dentry, static_cast<umode_t>((mode & ~S_IFMT_MASK) | S_IFREG_TYPE),
                       nullptr);
}

int casefs_mkdir(inode *dir, dentry *dentry, umode_t mode)
{
    return casefs_make(dir, dentry, static_cast<umode_t>((mode & ~S_IFMT_MASK) | S_IFDIR_TYPE),
                       nullptr);
}

int casefs_mknod(inode *dir, dentry *dentry, umode_t mode, unsigned)
{
    return casefs_make(dir, dentry, mode, nullptr);
}

int casefs_symlink(inode *dir, dentry *dentry, const char *body)
{
    return casefs_make(dir, dentry, S_IFLNK_TYPE | 0777, body);
}

/// The file is locked as well.
int casefs_link(dentry *old_dentry, inode *dir, dentry *dentry)
{
    casefs_disk *disk = casefs_disk_of(dir->i_sb);
    const name_key name = key_of(dentry);
    inode *inode = d_inode(old_dentry);
    server_attributes linked;
    int error;

    mutex_lock(&disk->change_lock);
    error = check_vacant(dir, dentry);
    if (!error)
        error =
            server_link(disk->server, inode->i_ino, dir->i_ino, name.text, name.length, &linked);
    mutex_unlock(&disk->change_lock);
    if (error)
        return error;
    casefs_update(inode, linked);
    casefs_refresh(dir);
    ihold(inode);
    publish(dentry, inode);
    return 0;
}

// --- Removing and renaming. The directories are locked for writing, and what goes. ---

/// What the server calls a positive dentry; -ENOENT when it has something else under that name.
int find_dentry(const inode *dir, const dentry *dentry, server_entry *found)
{
    const int error = casefs_find(dir, dentry, found);

    if (error)
        return error;
    return found->attributes.fileid == d_inode(dentry)->i_ino ? 0 : -ENOENT;
}

// As Linux v6.12 fs/ext4/namei.c ext4_unlink() and ext4_rmdir(), and xfs_vn_unlink(): d_delete()
// would leave a negative dentry of this one spelling.
int remove_name(inode *dir, dentry *dentry, bool directory)
{
    casefs_disk *disk = casefs_disk_of(dir->i_sb);
    server_entry found;
    int error;

    mutex_lock(&disk->change_lock);
    error = find_dentry(dir, dentry, &found);
    if (!error)
        error = server_remove(disk->server, dir->i_ino, found.name, found.length, directory);
    mutex_unlock(&disk->change_lock);
    if (error)
        return error;
    casefs_refresh(d_inode(dentry));
    casefs_refresh(dir);
    if (!caches_negatives(dir))
        d_invalidate(dentry);
    return 0;
}

int casefs_unlink(inode *dir, dentry *dentry)
{
    return remove_name(dir, dentry, false);
}

int casefs_rmdir(inode *dir, dentry *dentry)
{
    return remove_name(dir, dentry, true);
}

/// change_lock held.
int rename_on_server(const inode *old_dir, const dentry *old_dentry, const inode *new_dir,
                     const dentry *new_dentry, unsigned flags)
{
    name_key to = key_of(new_dentry);
    server_entry from, replaced;
    int error = find_dentry(old_dir, old_dentry, &from);

    if (error)
        return error;
    if (d_is_positive(new_dentry)) {
        // What is replaced keeps its spelling, as its entry on ext4's disk does.
        error = find_dentry(new_dir, new_dentry, &replaced);
        if (!error)
            to = {replaced.name, replaced.length};
    } else {
        error = check_vacant(new_dir, new_dentry);
    }
    if (error)
        return error;
    return server_rename(casefs_disk_of(old_dir->i_sb)->server, old_dir->i_ino, from.name,
                         from.length, new_dir->i_ino, to.text, to.length, flags);
}

// As Linux v6.12 fs/ext4/namei.c ext4_rename2().
int casefs_rename(inode *old_dir, dentry *old_dentry, inode *new_dir, dentry *new_dentry,
                  unsigned flags)
{
    casefs_disk *disk = casefs_disk_of(old_dir->i_sb);
    int error;

    if (flags & ~(RENAME_NOREPLACE_FLAG | RENAME_EXCHANGE_FLAG))
        return -EINVAL;
    mutex_lock(&disk->change_lock);
    error = rename_on_server(old_dir, old_dentry, new_dir, new_dentry, flags);
    mutex_unlock(&disk->change_lock);
    if (error)
        return error;
    if (d_is_positive(new_dentry) && !(flags & RENAME_EXCHANGE_FLAG))
        casefs_refresh(d_inode(new_dentry));
    casefs_refresh(old_dir);
    if (new_dir != old_dir)
        casefs_refresh(new_dir);
    return 0;
}

} // namespace

const inode_operations casefs_dir_inode_operations = {
    .lookup = casefs_lookup,
    .create = casefs_create,
    .link = casefs_link,
    .unlink = casefs_unlink,
    .symlink = casefs_symlink,
    .mkdir = casefs_mkdir,
    .rmdir = casefs_rmdir,
    .mknod = casefs_mknod,
    .rename = casefs_rename,
};

} // namespace dcsim::inline DCSIM_BACKEND
