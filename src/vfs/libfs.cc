// SPDX-License-Identifier: GPL-2.0-only
//
// File systems whose directories are their cached names.
//
// Readers of a directory
//   The directory's i_rwsem, held shared, keeps names from coming and going during one call. Other
//   readers, and lookups that leave negative dentries, still change d_children: the parent's d_lock
//   guards it, and each entry that is reported is referenced, because its name is read without.
//   Between two calls anything may happen. The cursor marks the place, as one more child: names are
//   removed from around it and added in front of all, so what it stands before stays the next.
//   Walks of the tree skip cursors; a walk that rests on a removed child relies on that its next
//   sibling is no cursor, because those move backwards too (dentry_unlist()).
#include "dcsim/vfs/libfs.h"

#include "dcache_internal.h"
#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/vfs/attributes.h"
#include "dcsim/vfs/dcache.h"

namespace dcsim::inline DCSIM_BACKEND
{

// Linux v6.12 include/linux/dcache.h simple_positive().
bool simple_positive(const dentry *dentry)
{
    return d_really_is_positive(dentry) && !d_unhashed(dentry);
}

// --- Directories ---

// Linux v7.2 fs/libfs.c simple_lookup().
dentry *simple_lookup(inode *, dentry *dentry, unsigned)
{
    if (dentry->d_name.len() > NAME_MAX_LENGTH)
        return ERR_PTR(-ENAMETOOLONG);
    // A miss costs nothing here, so there is no use in remembering it.
    if (!dentry->d_op && !(READ_ONCE(dentry->d_flags) & DCACHE_DONTCACHE)) {
        spin_lock(&dentry->d_lock);
        dentry->d_flags |= DCACHE_DONTCACHE;
        spin_unlock(&dentry->d_lock);
    }
    d_add(dentry, nullptr);
    return nullptr;
}

// Linux v6.12 fs/libfs.c simple_empty().
bool simple_empty(dentry *dentry)
{
    bool empty = true;

    spin_lock(&dentry->d_lock);
    for (struct dentry *child = d_first_child(dentry); child && empty;
         child = d_next_sibling(child)) {
        spin_lock_nested(&child->d_lock, DENTRY_D_LOCK_NESTED);
        empty = !simple_positive(child);
        spin_unlock(&child->d_lock);
    }
    spin_unlock(&dentry->d_lock);
    return empty;
}

// Linux v7.2 fs/libfs.c simple_link().
int simple_link(dentry *old_dentry, inode *, dentry *dentry)
{
    inode *inode = d_inode(old_dentry);

    inc_nlink(inode);
    ihold(inode);
    d_make_persistent(dentry, inode);
    return 0;
}

// Linux v7.2 fs/libfs.c simple_unlink().
int simple_unlink(inode *, dentry *dentry)
{
    drop_nlink(d_inode(dentry));
    d_make_discardable(dentry);
    return 0;
}

// Linux v7.2 fs/libfs.c simple_rmdir().
int simple_rmdir(inode *dir, dentry *dentry)
{
    if (!simple_empty(dentry))
        return -ENOTEMPTY;

    drop_nlink(d_inode(dentry));
    simple_unlink(dir, dentry);
    drop_nlink(dir);
    return 0;
}

// Linux v6.12 fs/libfs.c simple_rename_exchange().
int simple_rename_exchange(inode *old_dir, dentry *old_dentry, inode *new_dir, dentry *new_dentry)
{
    bool old_is_dir = d_is_dir(old_dentry);
    bool new_is_dir = d_is_dir(new_dentry);

    if (old_dir != new_dir && old_is_dir != new_is_dir) {
        drop_nlink(old_is_dir ? old_dir : new_dir);
        inc_nlink(old_is_dir ? new_dir : old_dir);
    }
    return 0;
}

// Linux v7.2 fs/libfs.c simple_rename().
int simple_rename(inode *old_dir, dentry *old_dentry, inode *new_dir, dentry *new_dentry,
                  unsigned flags)
{
    bool they_are_dirs = d_is_dir(old_dentry);

    if (flags & ~(RENAME_NOREPLACE_FLAG | RENAME_EXCHANGE_FLAG))
        return -EINVAL;
    if (flags & RENAME_EXCHANGE_FLAG)
        return simple_rename_exchange(old_dir, old_dentry, new_dir, new_dentry);
    if (!simple_empty(new_dentry))
        return -ENOTEMPTY;

    if (d_really_is_positive(new_dentry)) {
        simple_unlink(new_dir, new_dentry);
        if (they_are_dirs) {
            drop_nlink(d_inode(new_dentry));
            drop_nlink(old_dir);
        }
    } else if (they_are_dirs) {
        drop_nlink(old_dir);
        inc_nlink(new_dir);
    }
    return 0;
}

// --- Inodes ---

// Linux v6.12 fs/libfs.c simple_setattr().
int simple_setattr(dentry *dentry, iattr *attributes)
{
    int error = setattr_prepare(dentry, attributes);

    if (!error)
        setattr_copy(d_inode(dentry), attributes);
    return error;
}

// Linux v6.12 fs/libfs.c simple_get_link().
const char *simple_get_link(dentry *, inode *inode, delayed_call *)
{
    return READ_ONCE(inode->i_link);
}

// Linux v6.12 fs/libfs.c kfree_link().
void kfree_link(void *text)
{
    kfree(text);
}

const inode_operations simple_symlink_inode_operations = {.get_link = simple_get_link};

// --- Reading ---

// Linux v6.12 include/linux/fs.h dir_emit().
bool dir_emit(dir_context *context, const char *name, int length, ino_t ino, unsigned type)
{
    return context->actor(context, name, length, context->pos, ino, type);
}

// Linux v6.12 include/linux/fs.h dir_emit_dots(), dir_emit_dot(), dir_emit_dotdot().
bool dir_emit_dots(const file *file, dir_context *context)
{
    constexpr unsigned DIRECTORY = S_IFDIR_TYPE >> 12;
    dentry *dentry = file->f_path.dentry;

    if (context->pos == 0) {
        if (!dir_emit(context, ".", 1, d_inode(dentry)->i_ino, DIRECTORY))
            return false;
        context->pos = 1;
    }
    if (context->pos == 1) {
        if (!dir_emit(context, "..", 2, d_parent_ino(dentry), DIRECTORY))
            return false;
        context->pos = 2;
    }
    return true;
}

// Linux v6.12 fs/libfs.c dcache_dir_open().
int dcache_dir_open(inode *, file *file)
{
    file->private_data = d_alloc_cursor(file->f_path.dentry);
    return file->private_data ? 0 : -ENOMEM;
}

// Linux v6.12 fs/libfs.c dcache_dir_close().
int dcache_dir_close(inode *, file *file)
{
    dput(static_cast<dentry *>(file->private_data));
    return 0;
}

// Linux v6.12 fs/libfs.c scan_positives().
//
// The count-th name from `p` on, referenced, or nullptr. `p` is a link of the directory's list of
// children: its head, or that of a child whose place the caller knows. Drops the reference on
// `last`, but not before the walk has left it. The directory is locked at least shared.
static dentry *scan_positives(dentry *cursor, once<hlist_node *> *p, int64_t count, dentry *last)
{
    dentry *parent = READ_ONCE(cursor->d_parent);
    dentry *found = nullptr;

    spin_lock(&parent->d_lock);
    while (hlist_node *node = READ_LOCKED(*p)) {
        dentry *d = dentry_from_sib(node);

        p = &d->d_sib.next;
        // Not even as a place to rest: two readers would push each other's cursors on for ever.
        if (READ_ONCE(d->d_flags) & DCACHE_DENTRY_CURSOR)
            continue;
        if (simple_positive(d) && !--count) {
            spin_lock_nested(&d->d_lock, DENTRY_D_LOCK_NESTED);
            if (simple_positive(d))
                found = dget_dlock(d);
            spin_unlock(&d->d_lock);
            if (likely(found != nullptr))
                break;
            count = 1;
        }
        if (need_resched()) {
            // The cursor keeps the place while the lock is given up.
            if (!hlist_unhashed(&cursor->d_sib))
                __hlist_del(&cursor->d_sib);
            hlist_add_behind(&cursor->d_sib, &d->d_sib);
            p = &cursor->d_sib.next;
            spin_unlock(&parent->d_lock);
            cond_resched();
            spin_lock(&parent->d_lock);
        }
    }
    spin_unlock(&parent->d_lock);
    dput(last);
    return found;
}

// Linux v6.12 fs/libfs.c dcache_dir_lseek(). f_pos_lock held.
int64_t dcache_dir_lseek(file *file, int64_t offset, int whence)
{
    dentry *dentry = file->f_path.dentry;

    if (whence == 1)
        offset += file->f_pos;
    else if (whence != 0)
        return -EINVAL;
    if (offset < 0)
        return -EINVAL;
    if (offset != file->f_pos) {
        auto *cursor = static_cast<struct dentry *>(file->private_data);
        struct dentry *to = nullptr;

        inode_lock_shared(d_inode(dentry));
        if (offset > 2)
            to = scan_positives(cursor, &dentry->d_children.first, offset - 2, nullptr);
        spin_lock(&dentry->d_lock);
        hlist_del_init(&cursor->d_sib);
        if (to)
            hlist_add_behind(&cursor->d_sib, &to->d_sib);
        spin_unlock(&dentry->d_lock);
        dput(to);
        file->f_pos = offset;
        inode_unlock_shared(d_inode(dentry));
    }
    return offset;
}

// Linux v6.12 fs/libfs.c dcache_readdir().
int dcache_readdir(file *file, dir_context *context)
{
    dentry *dentry = file->f_path.dentry;
    auto *cursor = static_cast<struct dentry *>(file->private_data);
    struct dentry *next = nullptr;
    once<hlist_node *> *p;

    if (!dir_emit_dots(file, context))
        return 0;

    p = context->pos == 2 ? &dentry->d_children.first : &cursor->d_sib.next;
    while ((next = scan_positives(cursor, p, 1, next))) {
        // Stable: the directory is locked against renames.
        const auto *name = reinterpret_cast<const char *>(READ_ONCE(next->d_name.name));
        const inode *inode = d_inode(next);

        if (!dir_emit(context, name, static_cast<int>(next->d_name.len()), inode->i_ino,
                      fs_umode_to_dtype(READ_ONCE(inode->i_mode))))
            break;
        context->pos++;
        p = &next->d_sib.next;
    }
    spin_lock(&dentry->d_lock);
    hlist_del_init(&cursor->d_sib);
    if (next)
        hlist_add_before(&cursor->d_sib, &next->d_sib);
    spin_unlock(&dentry->d_lock);
    dput(next);
    return 0;
}

// Linux v6.12 fs/libfs.c offset_dir_llseek().
int64_t offset_dir_llseek(file *file, int64_t offset, int whence)
{
    if (whence == 1)
        offset += file->f_pos;
    else if (whence != 0)
        return -EINVAL;
    if (offset < 0)
        return -EINVAL;
    file->f_pos = offset;
    return offset;
}

const file_operations simple_dir_operations = {
    .open = dcache_dir_open,
    .release = dcache_dir_close,
    .iterate_shared = dcache_readdir,
    .llseek = dcache_dir_lseek,
};

} // namespace dcsim::inline DCSIM_BACKEND
