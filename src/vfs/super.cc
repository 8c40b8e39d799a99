// SPDX-License-Identifier: GPL-2.0-only
//
// Super blocks: making them and shutting them down.
//
// Locking: s_umount is held for writing through a shutdown. s_inode_list_lock is taken outside
// i_lock and d_lock here, as by the kernel's evict_inodes().
//
// Reduced: a super block belongs to whoever made it. There is no list of all of them, no counting
// of mounts, no sharing, no freezing; s_umount comes unlocked from alloc_super(); inodes without
// references do not exist, so none have to be evicted.
#include "dcsim/vfs/super.h"

#include <cstdio>
#include <new>

#include "dcache_internal.h"
#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/slab.h"
#include "internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// What of a super block is still there after everything unused was killed.
struct super_remains {
    long dentries;
    long inodes;
};

void destroy_super_rcu(rcu_head *head)
{
    kfree(container_of(head, super_block, rcu));
}

/// Positive dentries are aliases of an inode, negative ones are children of a positive one, so the
/// list of inodes leads to all of them. Out of sight are only negative dentries without a parent;
/// vfs_exit() counts those.
super_remains count_remains(super_block *sb)
{
    super_remains remains = {0, 0};

    spin_lock(&sb->s_inode_list_lock);
    for (list_head *node = list_first(&sb->s_inodes); node != &sb->s_inodes;
         node = list_next(node)) {
        inode *inode = container_of(node, struct inode, i_sb_list);

        remains.inodes++;
        spin_lock(&inode->i_lock);
        for (dentry *alias = d_first_alias(inode); alias; alias = d_next_alias(alias)) {
            remains.dentries++;
            spin_lock(&alias->d_lock);
            for (dentry *child = d_first_child(alias); child; child = d_next_sibling(child))
                remains.dentries += d_really_is_negative(child);
            spin_unlock(&alias->d_lock);
        }
        spin_unlock(&inode->i_lock);
    }
    spin_unlock(&sb->s_inode_list_lock);
    return remains;
}

} // namespace

// Linux v6.12 fs/super.c alloc_super(). Deviation: s_umount is not held on return.
super_block *alloc_super(const file_system_type *type, const char *id)
{
    static constexpr super_operations default_op = {};
    void *memory = kmalloc(sizeof(super_block));
    super_block *s;

    if (!memory)
        return nullptr;
    s = new (memory) super_block();
    s->s_type = type;
    s->s_op = &default_op;
    snprintf(s->s_id, sizeof(s->s_id), "%s", id);
    init_rwsem(&s->s_umount, "s_umount");
    mutex_init(&s->s_vfs_rename_mutex, type->s_vfs_rename_class);
    list_lru_init(&s->s_dentry_lru, "s_dentry_lru");
    spin_lock_init(&s->s_roots_lock, "s_roots_lock");
    INIT_HLIST_HEAD(&s->s_roots);
    spin_lock_init(&s->s_inode_list_lock, "s_inode_list_lock");
    INIT_LIST_HEAD(&s->s_inodes);
    return s;
}

// Linux v6.12 fs/super.c generic_shutdown_super().
// Deviation: a busy super block keeps its file system's data as well (no ->put_super()); the kernel
// poisons the inodes instead, because it cannot refuse.
long generic_shutdown_super(super_block *sb)
{
    bool had_root = sb->s_root;
    super_remains remains;
    long busy = 0;

    down_write(&sb->s_umount);
    if (had_root)
        busy = shrink_dcache_for_umount(sb);
    remains = count_remains(sb);
    // A user who let go between the complaint and the count may still be on the way out.
    if (remains.dentries < busy)
        remains.dentries = busy;
    if (remains.dentries || remains.inodes)
        WARN(true, "VFS: %ld dentries and %ld inodes in use after unmount of %s (%s)",
             remains.dentries, remains.inodes, sb->s_id, sb->s_type->name);
    else if (had_root && sb->s_op->put_super)
        sb->s_op->put_super(sb);
    up_write(&sb->s_umount);

    // Lockless walks may still look from a dead dentry at its super block.
    if (!remains.dentries && !remains.inodes)
        call_rcu(&sb->rcu, destroy_super_rcu);
    return remains.dentries + remains.inodes;
}

} // namespace dcsim::inline DCSIM_BACKEND
