// SPDX-License-Identifier: GPL-2.0-only
//
// slowfs: what it takes to make memfs's ->lookup() slow, and nothing else.
//
// Objects that the disk treats in a way of their own have an entry in disk->specials, by inode
// number. Entries are only added, so one that was found stays.
//
// Locking: disk->lock guards the list, and of each entry its manners and who waits at its gate. A
// leaf but for the wait queues; released while waiting.
#include "dcsim/mockfs/slowfs.h"

#include <cstring>
#include <new>

#include "dcsim/annotations.h"
#include "dcsim/kernel/err.h"
#include "dcsim/kernel/list.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/kernel/spinlock.h"
#include "dcsim/kernel/wait_bit.h"
#include "dcsim/mockfs/memfs.h"
#include "dcsim/vfs/dcache.h"
#include "dcsim/vfs/inode.h"
#include "mock_options.h"
#include "mock_watcher.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// One object that is not like the others.
struct slowfs_special {
    list_head link;
    ino_t ino; ///< constant
    slowfs_manners manners;
    long waiting; ///< lookups at the gate
    u64 openings; ///< of the gate: who came before the last one may go
};

/// The mount options.
struct slowfs_settings {
    int64_t delay_us; ///< of every lookup
    int64_t slow_us;  ///< what the flag "slow" adds
    int64_t error;    ///< errno of failing objects
};

/// What memfs_options::before_lookup_argument points to.
struct slowfs_disk {
    mock_watcher watcher;
    slowfs_settings settings;

    spinlock_t lock;
    list_head specials;
    once<long> waiting; ///< at all gates. Written under the lock, read as a hint without
};

slowfs_disk *disk_of(const super_block *sb)
{
    return static_cast<slowfs_disk *>(memfs_mounted_with(sb).before_lookup_argument);
}

/// nullptr for an object that is like the others.
slowfs_special *find_special(slowfs_disk *disk, ino_t ino) __must_hold(&disk->lock)
{
    for (list_head *at = list_first(&disk->specials); at != &disk->specials; at = list_next(at)) {
        slowfs_special *special = container_of(at, slowfs_special, link);

        if (special->ino == ino)
            return special;
    }
    return nullptr;
}

/// From now on nobody waits for this object.
void open_gate(slowfs_disk *disk, slowfs_special *special) __must_hold(&disk->lock)
{
    WRITE_ONCE(disk->waiting, READ_LOCKED(disk->waiting) - special->waiting);
    special->waiting = 0;
    special->openings++;
    special->manners.gated = false;
    wake_up_var_locked(special, &disk->lock);
}

/// Sleeps with disk->lock released. The gate may be closed again before this task has run: it was
/// let through all the same.
void wait_at_gate(slowfs_disk *disk, slowfs_special *special) __must_hold(&disk->lock)
{
    const u64 openings = special->openings;

    if (!special->manners.gated)
        return;
    special->waiting++;
    WRITE_ONCE(disk->waiting, READ_LOCKED(disk->waiting) + 1);
    wait_var_event_spinlock(
        special, [=] { return special->openings != openings; }, &disk->lock);
}

/// The directory's i_rwsem is held, so the name stands for this object until the lookup is over.
int slowfs_before_lookup(void *argument, inode *dir, dentry *dentry)
{
    auto *disk = static_cast<slowfs_disk *>(argument);
    auto delay = static_cast<u64>(disk->settings.delay_us);
    const int error = disk->watcher.before_lookup(dir, dentry);
    slowfs_special *special;
    bool failing = false;

    if (error)
        return error;
    spin_lock(&disk->lock);
    special = find_special(disk, memfs_ino_of_name(dir, dentry));
    if (special) {
        wait_at_gate(disk, special);
        delay += special->manners.delay_us;
        failing = special->manners.failing;
    }
    spin_unlock(&disk->lock);
    if (delay)
        sleep_for_microseconds(delay);
    return failing ? -static_cast<int>(disk->settings.error) : 0;
}

void slowfs_d_release(dentry *dentry)
{
    disk_of(dentry->d_sb)->watcher.released(dentry);
}

constexpr dentry_operations slowfs_watched_dentry_operations = {.d_release = slowfs_d_release};

void free_disk(slowfs_disk *disk)
{
    while (!list_empty(&disk->specials)) {
        slowfs_special *special = container_of(list_first(&disk->specials), slowfs_special, link);

        list_del_init(&special->link);
        kfree(special);
    }
    disk->~slowfs_disk();
    kfree(disk);
}

constexpr int64_t LONGEST_DELAY_US = 60'000'000;
constexpr int64_t LAST_ERRNO = 4095;

super_block *slowfs_mount(const mock_mount_options &options, const char *id)
{
    slowfs_settings settings = {.slow_us = 1000, .error = EIO};
    const mock_knob knobs[] = {{"delay_us", 0, LONGEST_DELAY_US, &settings.delay_us},
                               {"slow_us", 0, LONGEST_DELAY_US, &settings.slow_us},
                               {"error", 1, LAST_ERRNO, &settings.error}};
    int error = read_mock_options(options.options, knobs);
    memfs_options memfs = {};
    slowfs_disk *disk;
    super_block *sb;
    void *memory;

    if (error)
        return ERR_PTR(error);
    memory = kmalloc(sizeof(slowfs_disk));
    if (!memory)
        return ERR_PTR(-ENOMEM);
    disk = new (memory) slowfs_disk();
    disk->watcher = mock_watcher(options);
    disk->settings = settings;
    spin_lock_init(&disk->lock, "slowfs.lock");
    INIT_LIST_HEAD(&disk->specials);

    memfs.before_lookup = slowfs_before_lookup;
    memfs.before_lookup_argument = disk;
    memfs.last_used_ino = options.last_used_ino;
    if (disk->watcher.wants_released())
        memfs.default_dentry_operations = &slowfs_watched_dentry_operations;
    sb = memfs_mount(memfs, id);
    if (IS_ERR(sb))
        free_disk(disk);
    return sb;
}

/// What cannot be unmounted is leaked, and with it what its dentries still point to.
long slowfs_unmount(super_block *sb)
{
    slowfs_disk *disk = disk_of(sb);
    long left = memfs_unmount(sb);

    if (!left)
        free_disk(disk);
    return left;
}

mock_node *slowfs_root_node(super_block *sb)
{
    return memfs_filesystem.root_node(sb);
}

mock_node *slowfs_add_node(super_block *sb, mock_node *directory, const char *name, size_t length,
                           umode_t mode, const char *body)
{
    return memfs_filesystem.add_node(sb, directory, name, length, mode, body);
}

int slowfs_add_directory_name(super_block *sb, mock_node *directory, const char *name,
                              size_t length, mock_node *node)
{
    return memfs_filesystem.add_directory_name(sb, directory, name, length, node);
}

int slowfs_set_node_flag(super_block *sb, mock_node *node, const char *flag)
{
    slowfs_disk *disk = disk_of(sb);
    slowfs_manners manners = {};
    const ino_t ino = memfs_node_ino(reinterpret_cast<memfs_node *>(node));
    slowfs_special *special;

    spin_lock(&disk->lock);
    special = find_special(disk, ino);
    if (special)
        manners = special->manners;
    spin_unlock(&disk->lock);

    if (strcmp(flag, "gate") == 0)
        manners.gated = true;
    else if (strcmp(flag, "slow") == 0)
        manners.delay_us = static_cast<u64>(disk->settings.slow_us);
    else if (strcmp(flag, "error") == 0)
        manners.failing = true;
    else
        return -EINVAL;
    return slowfs_set_manners(sb, ino, manners);
}

/// Opens the first gate that somebody waits at: the disk answers.
bool slowfs_run_pending(super_block *sb)
{
    slowfs_disk *disk = disk_of(sb);
    bool opened = false;

    spin_lock(&disk->lock);
    for (list_head *at = list_first(&disk->specials); at != &disk->specials && !opened;
         at = list_next(at)) {
        slowfs_special *special = container_of(at, slowfs_special, link);

        if (special->manners.gated && special->waiting) {
            open_gate(disk, special);
            opened = true;
        }
    }
    spin_unlock(&disk->lock);
    return opened;
}

bool slowfs_has_pending(const super_block *sb)
{
    return READ_LOCKED(disk_of(sb)->waiting) != 0;
}

} // namespace

int slowfs_set_manners(super_block *sb, ino_t ino, const slowfs_manners &manners)
{
    slowfs_disk *disk = disk_of(sb);
    void *memory = kmalloc(sizeof(slowfs_special));
    slowfs_special *special, *fresh;

    if (!memory)
        return -ENOMEM;
    fresh = new (memory) slowfs_special();
    fresh->ino = ino;
    spin_lock(&disk->lock);
    special = find_special(disk, ino);
    if (!special) {
        special = fresh;
        fresh = nullptr;
        list_add_tail(&special->link, &disk->specials);
    }
    special->manners = manners;
    if (!manners.gated)
        open_gate(disk, special);
    spin_unlock(&disk->lock);
    kfree(fresh);
    return 0;
}

int slowfs_open_gate(super_block *sb, ino_t ino)
{
    slowfs_disk *disk = disk_of(sb);
    slowfs_special *special;

    spin_lock(&disk->lock);
    special = find_special(disk, ino);
    if (special)
        open_gate(disk, special);
    spin_unlock(&disk->lock);
    return special ? 0 : -ENOENT;
}

long slowfs_waiting_at(super_block *sb, ino_t ino)
{
    slowfs_disk *disk = disk_of(sb);
    slowfs_special *special;
    long waiting = 0;

    spin_lock(&disk->lock);
    special = find_special(disk, ino);
    if (special)
        waiting = special->waiting;
    spin_unlock(&disk->lock);
    return waiting;
}

constexpr mock_filesystem slowfs_filesystem = {
    .name = "slowfs",
    .mount = slowfs_mount,
    .unmount = slowfs_unmount,
    .root_node = slowfs_root_node,
    .add_node = slowfs_add_node,
    .add_directory_name = slowfs_add_directory_name,
    .set_node_flag = slowfs_set_node_flag,
    .run_pending = slowfs_run_pending,
    .has_pending = slowfs_has_pending,
};

} // namespace dcsim::inline DCSIM_BACKEND
