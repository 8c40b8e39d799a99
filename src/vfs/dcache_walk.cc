// SPDX-License-Identifier: GPL-2.0-only
//
// Walking the tree below a dentry, and what is built on that: pruning subtrees, unmounting,
// invalidating, mountpoints.
//
// d_walk() goes depth first without recursion and without references. It holds the d_lock of a
// parent, and while it looks at a child that child's as well; descending hands over from one to the
// other. When it comes back up it may find itself below the
// wrong parent, if something was renamed; rename_lock tells, and the second pass locks renames out.
#include "dcache_internal.h"

#include "dcsim/vfs/mount.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// What a callback wants the walk to do next.
enum d_walk_ret {
    D_WALK_CONTINUE, ///< go on, into this dentry's children
    D_WALK_QUIT,     ///< end the walk
    D_WALK_NORETRY,  ///< go on, but rather end than start over
    D_WALK_SKIP,     ///< go on, without this dentry's children
};

/// Called with the d_lock of the dentry held.
using d_walk_callback = d_walk_ret (*)(void *data, dentry *dentry);

// Linux v7.2 fs/dcache.c d_walk().
void d_walk(dentry *parent, void *data, d_walk_callback enter)
    __context_unsafe("d_locks are handed down and up the tree")
{
    dentry *this_parent, *dentry;
    unsigned seq = 0;
    d_walk_ret ret;
    bool retry = true;

again:
    read_seqbegin_or_lock(&rename_lock, &seq);
    this_parent = parent;
    spin_lock(&this_parent->d_lock);
    if (unlikely(d_flags_locked(this_parent) & DCACHE_DENTRY_CURSOR))
        goto out_unlock;

    ret = enter(data, this_parent);
    switch (ret) {
    case D_WALK_CONTINUE:
        break;
    case D_WALK_QUIT:
    case D_WALK_SKIP:
        goto out_unlock;
    case D_WALK_NORETRY:
        retry = false;
        break;
    }

repeat:
    dentry = d_first_child(this_parent);
resume:
    for (; dentry; dentry = d_next_sibling(dentry)) {
        if (unlikely(READ_ONCE(dentry->d_flags) & DCACHE_DENTRY_CURSOR))
            continue;

        spin_lock_nested(&dentry->d_lock, DENTRY_D_LOCK_NESTED);

        ret = enter(data, dentry);
        switch (ret) {
        case D_WALK_CONTINUE:
            break;
        case D_WALK_QUIT:
            spin_unlock(&dentry->d_lock);
            goto out_unlock;
        case D_WALK_NORETRY:
            retry = false;
            break;
        case D_WALK_SKIP:
            spin_unlock(&dentry->d_lock);
            continue;
        }

        if (!hlist_empty(&dentry->d_children)) {
            spin_unlock(&this_parent->d_lock);
            spin_lock_becomes_outer(&dentry->d_lock);
            this_parent = dentry;
            goto repeat;
        }
        spin_unlock(&dentry->d_lock);
    }

ascend:
    if (this_parent != parent) {
        dentry = this_parent;
        this_parent = READ_LOCKED(dentry->d_parent);

        // The child may be killed the moment it is unlocked. RCU, and then the parent's d_lock,
        // keep its memory, and its `next` still leads to a sibling (see dentry_unlist()).
        rcu_read_lock();
        spin_unlock(&dentry->d_lock);
        spin_lock(&this_parent->d_lock);
        rcu_read_unlock();

        if (need_seqretry(&rename_lock, seq))
            goto rename_retry;
        while ((dentry = d_next_sibling(dentry))) {
            if (likely(!(READ_ONCE(dentry->d_flags) & DCACHE_DENTRY_KILLED)))
                goto resume;
        }
        goto ascend;
    }
    if (need_seqretry(&rename_lock, seq))
        goto rename_retry;

out_unlock:
    spin_unlock(&this_parent->d_lock);
    done_seqretry(&rename_lock, seq);
    return;

rename_retry:
    spin_unlock(&this_parent->d_lock);
    BUG_ON(seq & 1);
    if (!retry)
        return;
    vfs_count(WALK_RESTARTS);
    seq = 1;
    goto again;
}

// --- Mountpoints ---

struct check_mount {
    vfsmount *mnt;
    bool mounted;
};

// Linux v7.2 fs/dcache.c path_check_mount().
d_walk_ret path_check_mount(void *data, dentry *dentry)
{
    auto *info = static_cast<check_mount *>(data);
    struct path path = {info->mnt, dentry};

    if (likely(!d_mountpoint(dentry)))
        return D_WALK_CONTINUE;
    if (__path_is_mountpoint(&path)) {
        info->mounted = true;
        return D_WALK_QUIT;
    }
    return D_WALK_CONTINUE;
}

} // namespace

// Linux v7.2 fs/dcache.c path_has_submounts().
bool path_has_submounts(const path *parent)
{
    check_mount data = {parent->mnt, false};

    read_seqlock_excl(&mount_lock);
    d_walk(parent->dentry, &data, path_check_mount);
    read_sequnlock_excl(&mount_lock);
    return data.mounted;
}

// Linux v7.2 fs/dcache.c d_set_mounted().
//
// d_invalidate() unhashes first and looks for mountpoints afterwards; this looks at the hash first
// and marks afterwards. For `dentry` itself one d_lock decides: whichever comes second sees the
// other. For an ancestor it does not in v7.2: rename_lock is held, but its count does not move, so
// the search for mountpoints neither waits nor starts over, and may pass before the mark is there
// (docs/races/mount-below-invalidated.md).
int d_set_mounted(dentry *dentry) __context_unsafe("ancestors are named by lockless fields")
{
    struct dentry *p;
    int ret = -ENOENT;

    read_seqlock_excl(&rename_lock);
    for (p = READ_ONCE(dentry->d_parent); !IS_ROOT(p); p = READ_ONCE(p->d_parent)) {
        spin_lock(&p->d_lock);
        if (unlikely(d_unhashed(p))) {
            spin_unlock(&p->d_lock);
            goto out;
        }
        spin_unlock(&p->d_lock);
    }
    spin_lock(&dentry->d_lock);
    if (!d_unlinked(dentry)) {
        ret = -EBUSY;
        if (!d_mountpoint(dentry)) {
            dentry->d_flags |= DCACHE_MOUNTED;
            ret = 0;
        }
    }
    spin_unlock(&dentry->d_lock);
out:
    read_sequnlock_excl(&rename_lock);
    return ret;
}

// Linux v7.2 include/linux/dcache.h dont_mount().
void dont_mount(dentry *dentry)
{
    spin_lock(&dentry->d_lock);
    dentry->d_flags |= DCACHE_CANT_MOUNT;
    spin_unlock(&dentry->d_lock);
}

// --- Pruning a subtree ---

namespace
{

struct select_data {
    dentry *start;
    long found;        ///< first pass: unused or dying descendants seen
    dentry *victim;    ///< second pass: one that somebody else is about to kill
    list_head dispose; ///< what this task will kill
};

// Linux v7.2 fs/dcache.c select_collect().
d_walk_ret select_collect(void *argument, dentry *dentry)
    __context_unsafe("runs as a callback of d_walk(), which holds d_lock")
{
    auto *data = static_cast<select_data *>(argument);

    if (data->start == dentry)
        return D_WALK_CONTINUE;

    if (d_count_locked(dentry) <= 0) {
        __move_to_shrink_list(dentry, &data->dispose);
        data->found++;
    }
    // With something to kill in hand the walk need not be complete: the caller comes back.
    if (!list_empty(&data->dispose))
        return need_resched() ? D_WALK_QUIT : D_WALK_NORETRY;
    return D_WALK_CONTINUE;
}

// Linux v7.2 fs/dcache.c select_collect_umount().
d_walk_ret select_collect_umount(void *data, dentry *dentry)
{
    if (d_flags_locked(dentry) & DCACHE_PERSISTENT) {
        dentry->d_flags &= ~DCACHE_PERSISTENT;
        --dentry->d_lockref.count;
    }
    return select_collect(data, dentry);
}

// Linux v7.2 fs/dcache.c select_collect2().
//
// Returns a victim with RCU held: the caller goes from there to the victim's d_lock.
d_walk_ret select_collect2(void *argument, dentry *dentry)
    __context_unsafe("runs as a callback of d_walk(); leaves RCU to the caller with a victim")
{
    auto *data = static_cast<select_data *>(argument);

    if (data->start == dentry)
        return D_WALK_CONTINUE;

    if (d_count_locked(dentry) <= 0) {
        if (!__move_to_shrink_list(dentry, &data->dispose)) {
            // Ended by shrink_dcache_tree() once it holds the victim's d_lock.
            rcu_read_lock();
            data->victim = dentry;
            return D_WALK_QUIT;
        }
    }
    if (!list_empty(&data->dispose))
        return need_resched() ? D_WALK_QUIT : D_WALK_NORETRY;
    return D_WALK_CONTINUE;
}

// Linux v7.2 fs/dcache.c shrink_dcache_tree().
void shrink_dcache_tree(dentry *parent, bool for_umount)
    __context_unsafe("a victim comes back from the walk with RCU held")
{
    for (;;) {
        completion_list wait;
        bool need_wait = false;
        select_data data = {.start = parent, .found = 0, .victim = nullptr, .dispose = {}};

        INIT_LIST_HEAD(&data.dispose);
        d_walk(parent, &data, for_umount ? select_collect_umount : select_collect);

        if (!list_empty(&data.dispose)) {
            shrink_dentry_list(&data.dispose);
            continue;
        }

        cond_resched();
        if (!data.found)
            break;
        // Unused dentries are left, but others are on to them: they hang on a foreign shrink list
        // or are dying already. Kill the former here, wait for the latter.
        d_walk(parent, &data, select_collect2);
        if (data.victim) {
            dentry *v = data.victim;

            spin_lock(&v->d_lock);
            rcu_read_unlock(); // begun by select_collect2()
            if (unlikely(d_count_locked(v) < 0)) {
                need_wait = d_add_waiter(v, &wait);
                spin_unlock(&v->d_lock);
            } else {
                shrink_kill(v);
            }
        }
        shrink_dentry_list(&data.dispose);
        if (unlikely(need_wait))
            wait_for_completion(&wait.completion);
    }
}

} // namespace

// Linux v7.2 fs/dcache.c shrink_dcache_parent().
void shrink_dcache_parent(dentry *parent)
{
    shrink_dcache_tree(parent, false);
}

// --- Unmounting ---

namespace
{

struct umount_data {
    dentry *root;
    long busy;
};

// Linux v7.2 fs/dcache.c umount_check().
d_walk_ret umount_check(void *argument, dentry *dentry)
    __context_unsafe("d_walk() holds d_lock for its callbacks")
{
    auto *data = static_cast<umount_data *>(argument);
    char owed[400];
    inode *inode;

    // Busy descendants hold it; they get the complaint.
    if (!hlist_empty(&dentry->d_children))
        return D_WALK_CONTINUE;
    if (dentry == data->root && d_count_locked(dentry) == 1)
        return D_WALK_CONTINUE;

    inode = d_inode(dentry);
    data->busy++;
    describe_obligations(dentry, owed, sizeof(owed));
    WARN(true, "dentry %p {ino %llu, name \"%s\"} still in use (count %d) at unmount of %s %s%s",
         static_cast<void *>(dentry), inode ? static_cast<unsigned long long>(inode->i_ino) : 0ull,
         reinterpret_cast<const char *>(READ_ONCE(dentry->d_name.name)), d_count_locked(dentry),
         dentry->d_sb->s_type->name, dentry->d_sb->s_id, owed);
    return D_WALK_CONTINUE;
}

// Linux v7.2 fs/dcache.c do_one_tree(). Consumes a reference on the root.
long do_one_tree(dentry *dentry)
{
    umount_data data = {dentry, 0};

    shrink_dcache_tree(dentry, true);
    d_walk(dentry, &data, umount_check);
    d_drop(dentry);
    dput(dentry);
    return data.busy;
}

} // namespace

// Linux v7.2 fs/dcache.c shrink_dcache_for_umount().
long shrink_dcache_for_umount(super_block *sb)
    __context_unsafe("steps from s_roots_lock to the d_lock of what it found there")
{
    dentry *dentry;
    long busy;

    WARN_ON(!rwsem_is_write_locked(&sb->s_umount));

    dentry = sb->s_root;
    sb->s_root = nullptr;
    busy = do_one_tree(dentry);

    for (;;) {
        spin_lock(&sb->s_roots_lock);
        dentry = dentry_from_sib(hlist_first(&sb->s_roots));
        if (!dentry) {
            spin_unlock(&sb->s_roots_lock);
            break;
        }
        rcu_read_lock();
        spin_unlock(&sb->s_roots_lock);
        spin_lock(&dentry->d_lock);
        rcu_read_unlock();
        if (unlikely(d_count_locked(dentry) < 0)) {
            completion_list wait;
            bool need_wait = d_add_waiter(dentry, &wait);

            spin_unlock(&dentry->d_lock);
            if (need_wait)
                wait_for_completion(&wait.completion);
        } else {
            dget_dlock(dentry);
            spin_unlock(&dentry->d_lock);
            busy += do_one_tree(dentry);
        }
    }
    return busy;
}

// --- Invalidating ---

namespace
{

// Linux v7.2 fs/dcache.c find_submount().
d_walk_ret find_submount(void *argument, dentry *dentry)
    __context_unsafe("runs as a callback of d_walk(), which holds d_lock")
{
    auto **victim = static_cast<struct dentry **>(argument);

    if (d_mountpoint(dentry)) {
        *victim = dget_dlock(dentry);
        return D_WALK_QUIT;
    }
    return D_WALK_CONTINUE;
}

} // namespace

// Linux v7.2 fs/dcache.c d_invalidate().
void d_invalidate(dentry *dentry)
{
    bool had_submounts = false;

    spin_lock(&dentry->d_lock);
    if (d_unhashed(dentry)) {
        spin_unlock(&dentry->d_lock);
        return;
    }
    __d_drop(dentry);
    spin_unlock(&dentry->d_lock);

    if (!d_inode(dentry))
        return; // a negative dentry has nothing below it

    shrink_dcache_parent(dentry);
    for (;;) {
        struct dentry *victim = nullptr;

        d_walk(dentry, &victim, find_submount);
        if (!victim) {
            if (had_submounts)
                shrink_dcache_parent(dentry);
            return;
        }
        had_submounts = true;
        detach_mounts(victim);
        dput(victim);
    }
}

namespace
{

// Linux v6.12 fs/dcache.c d_genocide_kill().
d_walk_ret d_genocide_kill(void *root, dentry *dentry)
{
    if (dentry == root)
        return D_WALK_CONTINUE;
    if (d_unhashed(dentry) || !d_inode(dentry))
        return D_WALK_SKIP;
    // The flag makes a restarted walk drop nothing twice.
    if (!(d_flags_locked(dentry) & DCACHE_GENOCIDE)) {
        dentry->d_flags |= DCACHE_GENOCIDE;
        --dentry->d_lockref.count;
    }
    return D_WALK_CONTINUE;
}

} // namespace

// Linux v6.12 fs/dcache.c d_genocide().
void d_genocide(dentry *parent)
{
    d_walk(parent, parent, d_genocide_kill);
}

} // namespace dcsim::inline DCSIM_BACKEND
