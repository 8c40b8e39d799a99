// SPDX-License-Identifier: GPL-2.0-only
//
// Entries of fusefs and the time until which they are believed.
//
// With the option inval_wq every entry that has a time is in a tree, sorted by it, and a worker
// kills those whose time is over. It finds dentries in the tree without a reference: what keeps one
// in memory is that ->d_release() has to take it out of the tree, under the lock that the worker
// holds until the dentry is on a shrink list of its own or known to be in use. Before v7.0 it
// let go of that lock one step too early.
#include "dcsim/kernel/err.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/vfs/dcache.h"
#include "dcsim/vfs/namei.h"
#include "fusefs_internal.h"

#include <new>

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// For who waits until there is something to kill.
void note_first_expiry(fuse_conn *fc) __must_hold(&fc->dentry_tree_lock)
{
    WRITE_ONCE(fc->first_expiry,
               fc->dentry_tree.empty() ? NEVER : fc->dentry_tree.begin()->tree_time);
}

// Linux v6.18 fs/fuse/dir.c __fuse_dentry_tree_del_node().
void __fuse_dentry_tree_del_node(fuse_conn *fc, fuse_dentry *fd) __must_hold(&fc->dentry_tree_lock)
{
    if (fd->node.is_linked())
        fc->dentry_tree.erase(fc->dentry_tree.iterator_to(*fd));
}

// Linux v6.18 fs/fuse/dir.c fuse_dentry_tree_del_node().
void fuse_dentry_tree_del_node(dentry *entry)
{
    fuse_conn *fc = get_fuse_conn_super(entry->d_sb);

    spin_lock(&fc->dentry_tree_lock);
    __fuse_dentry_tree_del_node(fc, get_fuse_dentry(entry));
    note_first_expiry(fc);
    spin_unlock(&fc->dentry_tree_lock);
}

// Linux v6.18 fs/fuse/dir.c fuse_dentry_tree_add_node().
void fuse_dentry_tree_add_node(dentry *entry)
{
    fuse_conn *fc = get_fuse_conn_super(entry->d_sb);
    fuse_dentry *fd = get_fuse_dentry(entry);

    if (!fc->settings.inval_wq)
        return;
    spin_lock(&fc->dentry_tree_lock);
    __fuse_dentry_tree_del_node(fc, fd);
    fd->tree_time = READ_ONCE(fd->time);
    fc->dentry_tree.insert(*fd);
    note_first_expiry(fc);
    spin_unlock(&fc->dentry_tree_lock);
}

// Linux v6.18 fs/fuse/dir.c fuse_dentry_init().
int fuse_dentry_init(dentry *entry)
{
    void *memory = kmalloc(sizeof(fuse_dentry));
    fuse_dentry *fd;

    if (!memory)
        return -ENOMEM;
    fd = new (memory) fuse_dentry();
    fd->dentry = entry;
    WRITE_LOCKED(entry->d_fsdata, fd);
    return 0;
}

void free_fuse_dentry(rcu_head *head)
{
    auto *fd = container_of(head, fuse_dentry, rcu);

    fd->~fuse_dentry();
    kfree(fd);
}

// Linux v7.0 fs/fuse/dir.c fuse_dentry_release(). Not ->d_prune(), which runs under d_lock: the
// tree's lock is outside that.
void fuse_dentry_release(dentry *entry)
{
    fuse_dentry *fd = get_fuse_dentry(entry);

    get_fuse_conn_super(entry->d_sb)->watcher.released(entry);
    fuse_dentry_tree_del_node(entry);
    // Walks in RCU mode look at its time.
    call_rcu(&fd->rcu, free_fuse_dentry);
}

// Linux v6.12 fs/fuse/dir.c fuse_dentry_delete(). Asked only while DCACHE_OP_DELETE is set:
// fuse_dentry_settime().
int fuse_dentry_delete(const dentry *entry)
{
    return fuse_entry_expired(entry);
}

/// Asks the daemon whether the entry is what it was, and if so, counts the lookup and refreshes the
/// inode. As d_revalidate.
int ask_again(inode *dir, const qstr *name, inode *inode)
{
    fuse_conn *fc = get_fuse_conn(dir);
    fuse_inode *fi = get_fuse_inode(inode);
    fuse_forget_link *forget = fuse_alloc_forget();
    server_attributes attributes;
    int error;

    if (!forget)
        return -ENOMEM;
    error = fuse_daemon_lookup(fc->daemon, get_node_id(dir),
                               reinterpret_cast<const char *>(name->name), name->len, &attributes);
    if (!error && attributes.fileid != fi->nodeid) {
        fuse_queue_forget(fc, forget, attributes.fileid, 1);
        return 0;
    }
    if (!error) {
        spin_lock(&fi->lock);
        fi->nlookup++;
        spin_unlock(&fi->lock);
    }
    kfree(forget);
    if (error == -ENOMEM)
        return error;
    if (error)
        return 0;
    fuse_change_attributes(inode, &attributes);
    return 1;
}

// Linux v6.12 fs/fuse/dir.c fuse_dentry_revalidate(), with the arguments of v6.14.
int fuse_dentry_revalidate(inode *dir, const qstr *name, dentry *entry, unsigned flags)
{
    inode *inode = d_inode_rcu(entry);
    int valid;

    if (!fuse_entry_expired(entry) &&
        !(flags & (LOOKUP_EXCL | LOOKUP_REVAL | LOOKUP_RENAME_TARGET)))
        return 1;
    // That there is nothing is not asked again; a new lookup costs the same.
    if (!inode)
        return 0;
    if (flags & LOOKUP_RCU)
        return -ECHILD;
    valid = ask_again(dir, name, inode);
    if (valid > 0)
        fuse_change_entry_timeout(entry);
    return valid;
}

} // namespace

// Linux v6.12 fs/fuse/dir.c fuse_time_to_jiffies().
u64 fuse_entry_expiry(const fuse_conn *fc)
{
    if (!fc->settings.entry_timeout)
        return 0;
    return READ_ONCE(fc->clock) + static_cast<u64>(fc->settings.entry_timeout);
}

bool fuse_entry_expired(const dentry *entry)
{
    return READ_ONCE(get_fuse_dentry(entry)->time) <
           READ_ONCE(get_fuse_conn_super(entry->d_sb)->clock);
}

// Linux v6.18 fs/fuse/dir.c fuse_dentry_settime().
void fuse_dentry_settime(dentry *entry, u64 time)
{
    const fuse_conn *fc = get_fuse_conn_super(entry->d_sb);
    const bool want_delete = !time && fc->settings.delete_stale;

    // Without the flag the last dput() does not have to ask. The look without d_lock may be wrong:
    // then an entry stays too long or is looked up again.
    if (want_delete != !!(READ_ONCE(entry->d_flags) & DCACHE_OP_DELETE)) {
        spin_lock(&entry->d_lockref.lock);
        WRITE_ONCE(entry->d_flags, want_delete ? READ_LOCKED(entry->d_flags) | DCACHE_OP_DELETE
                                               : READ_LOCKED(entry->d_flags) & ~DCACHE_OP_DELETE);
        spin_unlock(&entry->d_lockref.lock);
    }
    WRITE_ONCE(get_fuse_dentry(entry)->time, time);
    fuse_dentry_tree_add_node(entry);
}

// Linux v6.12 fs/fuse/dir.c fuse_invalidate_entry_cache().
void fuse_invalidate_entry_cache(dentry *entry)
{
    fuse_dentry_settime(entry, 0);
}

// Linux v6.12 fs/fuse/dir.c fuse_change_entry_timeout().
void fuse_change_entry_timeout(dentry *entry)
{
    fuse_dentry_settime(entry, fuse_entry_expiry(get_fuse_conn_super(entry->d_sb)));
}

void fusefs_advance_clock(super_block *sb, u64 ticks)
{
    add_return(&get_fuse_conn_super(sb)->clock, ticks);
}

// Linux v7.2 fs/fuse/dir.c fuse_dentry_tree_work(), of one file system.
void fuse_dentry_tree_work(super_block *sb)
{
    fuse_conn *fc = get_fuse_conn_super(sb);
    list_head dispose;

    INIT_LIST_HEAD(&dispose);
    spin_lock(&fc->dentry_tree_lock);
    while (!fc->dentry_tree.empty()) {
        fuse_dentry *fd = &*fc->dentry_tree.begin();
        dentry *entry = fd->dentry;

        if (fd->tree_time >= READ_ONCE(fc->clock))
            break;
        __fuse_dentry_tree_del_node(fc, fd);
        spin_lock(&entry->d_lockref.lock);
        // If somebody uses it, his dput() is to take it away.
        WRITE_ONCE(entry->d_flags, READ_LOCKED(entry->d_flags) | DCACHE_OP_DELETE);
        __move_to_shrink_list(entry, &dispose);
        spin_unlock(&entry->d_lockref.lock);
    }
    note_first_expiry(fc);
    spin_unlock(&fc->dentry_tree_lock);
    shrink_dentry_list(&dispose);
}

constexpr dentry_operations fuse_dentry_operations = {
    .d_revalidate = fuse_dentry_revalidate,
    .d_delete = fuse_dentry_delete,
    .d_init = fuse_dentry_init,
    .d_release = fuse_dentry_release,
};

} // namespace dcsim::inline DCSIM_BACKEND
