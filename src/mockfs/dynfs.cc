// SPDX-License-Identifier: GPL-2.0-only
//
// dynfs: dentries and inodes for things that come and go by themselves. In one of two manners:
// those of /proc/<pid> (fs/proc/base.c), and with the option `sysctl` those of /proc/sys
// (fs/proc/proc_sysctl.c), which differ in
//
//                    /proc/<pid>                      /proc/sys
//   ->d_revalidate   in RCU mode as well              not in RCU mode
//   ->d_compare      none: a name is a name           what is gone does not match, so that what
//                                                     takes its place is found beside it
//   a name of        without number and type when     not at all, and the reading ends
//   getdents64       memory is short
//   ->getattr        of root when dead                -ENOENT when dead
//
// Inode numbers are made up when an inode is, so reading a directory puts each name into the cache:
// what getdents64(2) says must be what stat(2) says.
//
// Lifetime: an inode has a reference on its entry until it is evicted; the entry lives a grace
// period longer, because ->d_compare and ->d_revalidate ask it without holding anything.
#include "dcsim/mockfs/dynfs.h"

#include <cstring>
#include <new>

#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/err.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/vfs/attributes.h"
#include "dcsim/vfs/dcache.h"
#include "dcsim/vfs/file.h"
#include "dcsim/vfs/inode.h"
#include "dcsim/vfs/libfs.h"
#include "dcsim/vfs/namei.h"
#include "dynfs_entry.h"
#include "mock_options.h"
#include "mock_readdir.h"
#include "name_key.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// inode::i_private. Freed with the inode, a grace period after its end.
struct dynfs_inode {
    once<dynfs_entry *> entry; ///< nullptr once the inode is evicted
    list_head siblings;        ///< in entry->inodes, under disk->lock
    inode *vfs_inode;          ///< constant
};

extern const inode_operations dynfs_dir_inode_operations;
extern const inode_operations dynfs_file_inode_operations;
extern const inode_operations dynfs_symlink_inode_operations;
extern const file_operations dynfs_dir_operations;

constexpr file_operations dynfs_file_operations = {};

dynfs_disk *disk_of(const super_block *sb)
{
    return static_cast<dynfs_disk *>(sb->s_fs_info);
}

dynfs_inode *dynfs_i(const inode *inode)
{
    return static_cast<dynfs_inode *>(inode->i_private);
}

/// Of an inode that somebody holds.
dynfs_entry *entry_of(const inode *inode)
{
    return READ_LOCKED(dynfs_i(inode)->entry);
}

/// Is the object behind it gone? In RCU, or with the inode held.
bool is_dead(const inode *inode)
{
    const dynfs_entry *entry = READ_ONCE(dynfs_i(inode)->entry);

    return !entry || READ_ONCE(entry->dead);
}

// --- Inodes ---

void fill_inode(inode *inode, dynfs_entry *entry)
{
    WRITE_ONCE(inode->i_mode, entry->mode);
    WRITE_ONCE(inode->i_uid, READ_ONCE(entry->uid));
    WRITE_ONCE(inode->i_gid, READ_ONCE(entry->gid));
    switch (entry->mode & S_IFMT_MASK) {
    case S_IFDIR_TYPE:
        inode->i_op = &dynfs_dir_inode_operations;
        inode->i_fop = &dynfs_dir_operations;
        break;
    case S_IFLNK_TYPE:
        inode->i_op = &dynfs_symlink_inode_operations;
        WRITE_LOCKED(inode->i_link, entry->body);
        WRITE_LOCKED(inode->i_size, static_cast<int64_t>(strlen(entry->body)));
        break;
    case S_IFREG_TYPE:
        inode->i_op = &dynfs_file_inode_operations;
        inode->i_fop = &dynfs_file_operations;
        break;
    default:
        inode->i_op = &dynfs_file_inode_operations;
        init_special_inode(inode, entry->mode, 0);
        break;
    }
}

// Linux v6.12 fs/proc/base.c proc_pid_make_base_inode(), fs/proc/proc_sysctl.c
// proc_sys_make_inode(). A new inode for an entry that the caller holds, referenced; ERR_PTR
// (-ENOMEM), and of /proc/sys -ENOENT when it is gone. A process that has died meanwhile gets one
// all the same.
inode *make_inode(super_block *sb, dynfs_entry *entry)
{
    dynfs_disk *disk = disk_of(sb);
    void *memory = kmalloc(sizeof(dynfs_inode));
    inode *inode = memory ? new_inode(sb) : nullptr;
    dynfs_inode *di;
    bool gone;

    if (!inode) {
        kfree(memory);
        return ERR_PTR(-ENOMEM);
    }
    di = new (memory) dynfs_inode();
    di->vfs_inode = inode;
    INIT_LIST_HEAD(&di->siblings);
    WRITE_LOCKED(di->entry, dynfs_get(entry));
    inode->i_private = di;
    inode->i_ino = add_return(&disk->last_ino, u64{1});
    fill_inode(inode, entry);

    spin_lock(&disk->lock);
    gone = disk->sysctl && READ_LOCKED(entry->dead);
    if (!gone)
        list_add_tail(&di->siblings, &entry->inodes);
    set_nlink(inode, S_ISDIR_mode(entry->mode) ? 2 + entry->subdirectories : 1);
    spin_unlock(&disk->lock);
    if (gone) {
        iput(inode);
        return ERR_PTR(-ENOENT);
    }
    return inode;
}

// Linux v6.12 fs/proc/inode.c proc_evict_inode(), fs/proc/proc_sysctl.c proc_sys_evict_inode().
void dynfs_evict_inode(inode *inode)
{
    dynfs_disk *disk = disk_of(inode->i_sb);
    dynfs_inode *di = dynfs_i(inode);
    dynfs_entry *entry = READ_LOCKED(di->entry);

    spin_lock(&disk->lock);
    list_del_init(&di->siblings);
    spin_unlock(&disk->lock);
    WRITE_ONCE(di->entry, nullptr);
    dynfs_put(entry);
}

// Linux v6.12 fs/proc/inode.c proc_free_inode().
void dynfs_free_inode(inode *inode)
{
    kfree(inode->i_private);
}

constexpr super_operations dynfs_super_operations = {
    .evict_inode = dynfs_evict_inode,
    .free_inode = dynfs_free_inode,
};

// --- Dentries ---

void dynfs_d_release(dentry *dentry)
{
    disk_of(dentry->d_sb)->watcher.released(dentry);
}

// Linux v6.12 fs/proc/base.c pid_revalidate(), pid_update_inode(), with the arguments of v6.14.
// In RCU mode as well: the entry stays readable, alive or not.
int pid_revalidate(inode *, const qstr *, dentry *dentry, unsigned)
{
    const dynfs_entry *entry = nullptr;
    inode *inode;
    int valid = 0;

    rcu_read_lock();
    inode = d_inode_rcu(dentry);
    if (inode)
        entry = READ_ONCE(dynfs_i(inode)->entry);
    if (entry && !READ_ONCE(entry->dead)) {
        WRITE_ONCE(inode->i_uid, READ_ONCE(entry->uid));
        WRITE_ONCE(inode->i_gid, READ_ONCE(entry->gid));
        valid = 1;
    }
    rcu_read_unlock();
    return valid;
}

// Linux v6.12 fs/proc/base.c pid_delete_dentry(), fs/proc/proc_sysctl.c proc_sys_delete().
int dynfs_d_delete(const dentry *dentry)
{
    return is_dead(d_inode(dentry));
}

// Linux v6.12 fs/proc/proc_sysctl.c proc_sys_revalidate(), with the arguments of v6.14.
int proc_sys_revalidate(inode *, const qstr *, dentry *dentry, unsigned flags)
{
    if (flags & LOOKUP_RCU)
        return -ECHILD;
    return !is_dead(d_inode(dentry));
}

// Linux v6.12 fs/proc/proc_sysctl.c sysctl_is_seen().
bool sysctl_is_seen(dynfs_disk *disk, const dynfs_entry *entry)
{
    bool seen;

    spin_lock(&disk->lock);
    seen = !READ_LOCKED(entry->dead);
    spin_unlock(&disk->lock);
    return seen;
}

// Linux v6.16 fs/proc/proc_sysctl.c proc_sys_compare(). The text is not rewritten: dynfs moves no
// dentries.
int proc_sys_compare(const dentry *dentry, unsigned length, const char *text, const qstr *name)
{
    const dynfs_entry *entry;
    inode *inode;

    if (name->len != length || memcmp(name->name, text, length) != 0)
        return 1;
    // It has no inode to be looked at yet. Who takes it waits, and compares once more then.
    if (d_in_lookup(dentry))
        return 0;
    inode = d_inode_rcu(dentry);
    // On its way out.
    if (!inode)
        return 1;
    entry = READ_ONCE(dynfs_i(inode)->entry);
    return !entry || !sysctl_is_seen(disk_of(dentry->d_sb), entry);
}

constexpr dentry_operations pid_dentry_operations = {
    .d_revalidate = pid_revalidate,
    .d_delete = dynfs_d_delete,
    .d_release = dynfs_d_release,
};

constexpr dentry_operations proc_sys_dentry_operations = {
    .d_revalidate = proc_sys_revalidate,
    .d_compare = proc_sys_compare,
    .d_delete = dynfs_d_delete,
    .d_release = dynfs_d_release,
};

// --- Lookup ---

/// Gives an in-lookup dentry the inode of an entry that the caller holds. As d_splice_alias().
// Linux v6.12 fs/proc/base.c proc_pid_instantiate().
dentry *instantiate(dentry *dentry, dynfs_entry *entry)
{
    return d_splice_alias(make_inode(dentry->d_sb, entry), dentry);
}

// Linux v6.12 fs/proc/base.c proc_pid_lookup(), fs/proc/proc_sysctl.c proc_sys_lookup(). Negative
// dentries are not made: nobody would tell them when there is something.
dentry *dynfs_lookup(inode *dir, dentry *dentry, unsigned)
{
    dynfs_disk *disk = disk_of(dir->i_sb);
    const int error = disk->watcher.before_lookup(dir, dentry);
    const name_key name = key_of(dentry);
    struct dentry *result;
    dynfs_entry *entry;

    if (error)
        return ERR_PTR(error);
    if (name.length > NAME_MAX_LENGTH)
        return ERR_PTR(-ENAMETOOLONG);
    entry = dynfs_find_child(disk, entry_of(dir), name.text, name.length);
    if (!entry)
        return ERR_PTR(-ENOENT);
    result = instantiate(dentry, entry);
    dynfs_put(entry);
    return result;
}

// --- Reading a directory ---

/// The dentry of an entry that the caller holds, looked up if need be; referenced, or ERR_PTR,
/// which can be -EWOULDBLOCK (alloc_entry()).
dentry *find_or_instantiate(dentry *dir, qstr *name, dynfs_entry *entry)
{
    dentry *child = d_hash_and_lookup(dir, name);
    struct dentry *result;
    caller_wait_queue wq;

    if (child)
        return child;
    child = alloc_entry(dir, name, wq.head());
    if (IS_ERR(child) || !d_in_lookup(child))
        return child;
    result = instantiate(child, entry);
    d_lookup_done(child);
    if (unlikely(result)) {
        dput(child);
        return result;
    }
    return child;
}

// Linux v6.12 fs/proc/base.c proc_fill_cache(), fs/proc/proc_sysctl.c proc_sys_fill_cache(). While
// somebody else is looking the name up and must not be waited for, there is no inode to take the
// number of, and it is told as proc tells it without memory; /proc/sys as well, which would end the
// directory here and hide what comes after.
bool fill_cache(file *file, dir_context *context, dynfs_entry *entry)
{
    dentry *dir = file->f_path.dentry;
    qstr name = make_qstr(entry->name, static_cast<u32>(entry->name_length));
    dentry *child = find_or_instantiate(dir, &name, entry);
    ino_t ino = 1;
    unsigned type = 0; // DT_UNKNOWN

    if (!IS_ERR(child)) {
        ino = d_inode(child)->i_ino;
        type = fs_umode_to_dtype(READ_ONCE(d_inode(child)->i_mode));
        dput(child);
    } else if (disk_of(dir->d_sb)->sysctl && child != ERR_PTR(-EWOULDBLOCK)) {
        return false;
    }
    return dir_emit(context, entry->name, static_cast<int>(entry->name_length), ino, type);
}

// Linux v6.12 fs/proc/generic.c proc_readdir_de(). A position is 2 and the number of an entry.
int dynfs_readdir(file *file, dir_context *context)
{
    dynfs_disk *disk = disk_of(file->f_inode->i_sb);
    dynfs_entry *directory = entry_of(file->f_inode);
    dynfs_entry *entry;

    if (!dir_emit_dots(file, context))
        return 0;
    while ((entry = dynfs_next_child(disk, directory, static_cast<u64>(context->pos - 2)))) {
        context->pos = static_cast<int64_t>(entry->position) + 2;
        const bool room = fill_cache(file, context, entry);
        dynfs_put(entry);
        if (!room)
            break;
        context->pos++;
    }
    return 0;
}

// --- Attributes ---

// Linux v6.12 fs/proc/base.c pid_getattr(), fs/proc/proc_sysctl.c proc_sys_getattr().
int dynfs_getattr(const path *path, kstat *stat)
{
    inode *inode = d_inode(path->dentry);
    dynfs_disk *disk = disk_of(inode->i_sb);
    const dynfs_entry *entry = entry_of(inode);
    bool dead;

    generic_fillattr(inode, stat);
    spin_lock(&disk->lock);
    dead = READ_LOCKED(entry->dead);
    stat->uid = dead ? 0 : READ_LOCKED(entry->uid);
    stat->gid = dead ? 0 : READ_LOCKED(entry->gid);
    if (S_ISDIR_mode(entry->mode))
        stat->nlink = 2 + entry->subdirectories;
    spin_unlock(&disk->lock);
    return dead && disk->sysctl ? -ENOENT : 0;
}

// Linux v6.12 fs/proc/base.c proc_setattr(), fs/proc/proc_sysctl.c proc_sys_setattr().
int dynfs_setattr(dentry *, iattr *attributes)
{
    return attributes->ia_valid & (ATTR_MODE | ATTR_UID | ATTR_GID) ? -EPERM : 0;
}

constexpr inode_operations dynfs_dir_inode_operations = {
    .lookup = dynfs_lookup,
    .setattr = dynfs_setattr,
    .getattr = dynfs_getattr,
};

constexpr inode_operations dynfs_file_inode_operations = {
    .setattr = dynfs_setattr,
    .getattr = dynfs_getattr,
};

constexpr inode_operations dynfs_symlink_inode_operations = {
    .get_link = simple_get_link,
    .setattr = dynfs_setattr,
    .getattr = dynfs_getattr,
};

constexpr file_operations dynfs_dir_operations = {
    .iterate_shared = dynfs_readdir,
    .llseek = offset_dir_llseek,
};

// --- Clearing away ---

/// An inode that stands for the entry, referenced and off its list; nullptr when none is left.
inode *take_inode(dynfs_disk *disk, dynfs_entry *entry)
{
    inode *inode = nullptr;
    bool found;

    rcu_read_lock();
    do {
        dynfs_inode *di = nullptr;

        spin_lock(&disk->lock);
        found = !list_empty(&entry->inodes);
        if (found) {
            di = container_of(list_first(&entry->inodes), dynfs_inode, siblings);
            list_del_init(&di->siblings);
        }
        spin_unlock(&disk->lock);
        // Its last reference may be gone; its memory is not.
        if (found)
            inode = igrab(di->vfs_inode);
    } while (found && !inode);
    rcu_read_unlock();
    return inode;
}

// Linux v6.12 fs/proc/inode.c proc_invalidate_siblings_dcache().
void invalidate_siblings_dcache(dynfs_disk *disk, dynfs_entry *entry)
{
    inode *inode;

    while ((inode = take_inode(disk, entry))) {
        dentry *alias;

        if (inode_is_directory(inode)) {
            alias = d_find_any_alias(inode);
            if (alias) {
                d_invalidate(alias);
                dput(alias);
            }
        } else {
            while ((alias = d_find_alias(inode))) {
                d_invalidate(alias);
                dput(alias);
            }
        }
        iput(inode);
    }
}

/// The dead are reaped: Linux v6.12 fs/proc/base.c proc_flush_pid().
bool dynfs_run_pending(super_block *sb)
{
    dynfs_disk *disk = disk_of(sb);
    dynfs_entry *entry = nullptr;

    spin_lock(&disk->lock);
    if (!list_empty(&disk->flushes)) {
        entry = container_of(list_first(&disk->flushes), dynfs_entry, to_flush);
        list_del_init(&entry->to_flush);
        WRITE_ONCE(disk->flushes_pending, READ_LOCKED(disk->flushes_pending) - 1);
    }
    spin_unlock(&disk->lock);
    if (!entry)
        return false;
    invalidate_siblings_dcache(disk, entry);
    dynfs_put(entry);
    return true;
}

bool dynfs_has_pending(const super_block *sb)
{
    return READ_LOCKED(disk_of(sb)->flushes_pending) != 0;
}

// --- Mounting ---

constexpr file_system_type dynfs_type = {"dynfs"};

/// False without memory.
bool fill_super(super_block *sb, dynfs_disk *disk)
{
    inode *root;

    sb->s_op = &dynfs_super_operations;
    sb->s_fs_info = disk;
    // Of every dentry, and so of directories as well: those of /proc/sys compare by them.
    set_default_d_op(sb, disk->sysctl ? &proc_sys_dentry_operations : &pid_dentry_operations);
    root = make_inode(sb, disk->root);
    if (IS_ERR(root))
        return false;
    sb->s_root = d_make_root(root);
    return sb->s_root != nullptr;
}

super_block *dynfs_mount(const mock_mount_options &options, const char *id)
{
    int64_t sysctl = 0, flush = 0;
    const mock_knob knobs[] = {{"sysctl", 0, 1, &sysctl}, {"flush", 0, 1, &flush}};
    int error = read_mock_options(options.options, knobs);
    dynfs_disk *disk;
    super_block *sb;

    if (error)
        return ERR_PTR(error);
    disk = dynfs_new_disk();
    if (!disk)
        return ERR_PTR(-ENOMEM);
    disk->watcher = mock_watcher(options);
    disk->sysctl = sysctl;
    disk->flush = flush;
    WRITE_LOCKED(disk->last_ino, options.last_used_ino);
    sb = alloc_super(&dynfs_type, id);
    if (!sb) {
        dynfs_free_disk(disk);
        return ERR_PTR(-ENOMEM);
    }
    if (!fill_super(sb, disk)) {
        generic_shutdown_super(sb);
        dynfs_free_disk(disk);
        return ERR_PTR(-ENOMEM);
    }
    return sb;
}

/// What cannot be unmounted is leaked, and with it what its dentries still point to.
long dynfs_unmount(super_block *sb)
{
    dynfs_disk *disk = disk_of(sb);
    long left;

    while (dynfs_run_pending(sb)) {
    }
    left = generic_shutdown_super(sb);
    if (!left)
        dynfs_free_disk(disk);
    return left;
}

mock_node *dynfs_root_node(super_block *sb)
{
    return reinterpret_cast<mock_node *>(disk_of(sb)->root);
}

mock_node *dynfs_add_node(super_block *sb, mock_node *directory, const char *name, size_t length,
                          umode_t mode, const char *body)
{
    auto *parent = reinterpret_cast<dynfs_entry *>(directory);

    return reinterpret_cast<mock_node *>(dynfs_add(disk_of(sb), parent, name, length, mode, body));
}

int dynfs_remote(super_block *sb, remote_change what, const char *path, const char *second_path)
{
    return dynfs_change(disk_of(sb), what, path, second_path);
}

} // namespace

int dynfs_set_owner(super_block *sb, const char *path, kuid_t uid, kgid_t gid)
{
    dynfs_entry *entry = dynfs_find_path(disk_of(sb), path);

    if (!entry)
        return -ENOENT;
    WRITE_ONCE(entry->uid, uid);
    WRITE_ONCE(entry->gid, gid);
    dynfs_put(entry);
    return 0;
}

long dynfs_live_objects(super_block *sb)
{
    dynfs_disk *disk = disk_of(sb);
    long live;

    spin_lock(&disk->lock);
    live = disk->live;
    spin_unlock(&disk->lock);
    return live;
}

constexpr mock_filesystem dynfs_filesystem = {
    .name = "dynfs",
    .mount = dynfs_mount,
    .unmount = dynfs_unmount,
    .root_node = dynfs_root_node,
    .add_node = dynfs_add_node,
    .remote = dynfs_remote,
    .run_pending = dynfs_run_pending,
    .has_pending = dynfs_has_pending,
};

} // namespace dcsim::inline DCSIM_BACKEND
