// SPDX-License-Identifier: GPL-2.0-only
//
// The tree of things that dynfs shows.
#include "dynfs_entry.h"

#include <cstring>
#include <new>

#include "dcsim/kernel/err.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/vfs/inode.h"
#include "name_key.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// An entry with one reference and copies of its texts; nullptr without memory.
dynfs_entry *new_entry(const name_key &name, umode_t mode, const char *body)
{
    const size_t body_size = body ? strlen(body) + 1 : 0;
    void *memory = kmalloc(sizeof(dynfs_entry) + name.length + 1 + body_size);
    dynfs_entry *entry;
    char *text;

    if (!memory)
        return nullptr;
    entry = new (memory) dynfs_entry();
    text = reinterpret_cast<char *>(entry + 1);
    atomic_set(&entry->count, 1);
    entry->mode = mode;
    entry->name = text;
    entry->name_length = name.length;
    memcpy(text, name.text, name.length);
    text[name.length] = '\0';
    if (body)
        entry->body = static_cast<char *>(memcpy(text + name.length + 1, body, body_size));
    INIT_LIST_HEAD(&entry->siblings);
    INIT_LIST_HEAD(&entry->children);
    INIT_LIST_HEAD(&entry->inodes);
    INIT_LIST_HEAD(&entry->to_flush);
    return entry;
}

void free_entry(rcu_head *head)
{
    kfree(container_of(head, dynfs_entry, rcu));
}

void free_disk(rcu_head *head)
{
    auto *disk = container_of(head, dynfs_disk, rcu);

    disk->~dynfs_disk();
    kfree(disk);
}

/// The child of that name, without a reference.
dynfs_entry *find_locked([[maybe_unused]] dynfs_disk *disk, dynfs_entry *directory,
                         const name_key &name) __must_hold(&disk->lock)
{
    for (list_head *at = list_first(&directory->children); at != &directory->children;
         at = list_next(at)) {
        dynfs_entry *child = container_of(at, dynfs_entry, siblings);

        if (child->name_length == name.length && !memcmp(child->name, name.text, name.length))
            return child;
    }
    return nullptr;
}

void link_child([[maybe_unused]] dynfs_disk *disk, dynfs_entry *directory, dynfs_entry *child)
    __must_hold(&disk->lock)
{
    child->parent = directory;
    child->position = directory->next_position++;
    list_add_tail(&child->siblings, &directory->children);
    if (S_ISDIR_mode(child->mode))
        directory->subdirectories++;
}

void unlink_child([[maybe_unused]] dynfs_disk *disk, dynfs_entry *child) __must_hold(&disk->lock)
{
    list_del_init(&child->siblings);
    if (S_ISDIR_mode(child->mode))
        child->parent->subdirectories--;
    child->parent = nullptr;
}

/// The entry is no more. The tree's reference goes with it, or to those who are to be flushed.
void bury(dynfs_disk *disk, dynfs_entry *entry) __must_hold(&disk->lock)
{
    unlink_child(disk, entry);
    WRITE_ONCE(entry->dead, 1);
    disk->live--;
    if (disk->flush) {
        list_add_tail(&entry->to_flush, &disk->flushes);
        WRITE_ONCE(disk->flushes_pending, READ_LOCKED(disk->flushes_pending) + 1);
    } else {
        dynfs_put(entry);
    }
}

/// And with it what is below it, from the leaves up.
void bury_all(dynfs_disk *disk, dynfs_entry *entry) __must_hold(&disk->lock)
{
    dynfs_entry *at = entry;

    for (;;) {
        dynfs_entry *above = at->parent;

        if (!list_empty(&at->children)) {
            at = container_of(list_first(&at->children), dynfs_entry, siblings);
            continue;
        }
        bury(disk, at);
        if (at == entry)
            return;
        at = above;
    }
}

/// Puts a new entry into the tree, which takes its reference over. 0 or a negative errno.
int insert_locked(dynfs_disk *disk, dynfs_entry *directory, dynfs_entry *fresh)
    __must_hold(&disk->lock)
{
    if (!S_ISDIR_mode(directory->mode))
        return -ENOTDIR;
    if (READ_LOCKED(directory->dead))
        return -ENOENT;
    if (find_locked(disk, directory, {fresh->name, fresh->name_length}))
        return -EEXIST;
    link_child(disk, directory, fresh);
    disk->live++;
    return 0;
}

/// The directory and the last name of a path.
struct place {
    dynfs_entry *directory; ///< nullptr: not there
    name_key name;
};

/// No reference: valid as long as the lock is held.
place find_place(dynfs_disk *disk, const char *path) __must_hold(&disk->lock)
{
    dynfs_entry *directory = disk->root;

    for (;;) {
        const char *end;

        while (*path == '/')
            path++;
        end = strchrnul(path, '/');
        const name_key name = {path, static_cast<size_t>(end - path)};
        if (*end == '\0' || !directory)
            return {directory, name};
        directory = find_locked(disk, directory, name);
        path = end;
    }
}

/// What is there, without a reference, or nullptr.
dynfs_entry *find_at(dynfs_disk *disk, const place &where) __must_hold(&disk->lock)
{
    if (!where.directory || where.name.length == 0)
        return where.directory;
    return find_locked(disk, where.directory, where.name);
}

/// Is it that, or somewhere in that?
bool is_below([[maybe_unused]] dynfs_disk *disk, const dynfs_entry *entry, const dynfs_entry *above)
    __must_hold(&disk->lock)
{
    while (entry && entry != above)
        entry = entry->parent;
    return entry;
}

/// A new entry for the last name of a path, with one reference; ERR_PTR.
dynfs_entry *new_entry_for(const char *path, umode_t mode, const char *body)
{
    const char *last = strrchr(path, '/') + 1;
    const name_key name = {last, strlen(last)};
    int error = check_name(name);
    dynfs_entry *entry;

    if (error)
        return ERR_PTR(error);
    entry = new_entry(name, mode, body);
    return entry ? entry : ERR_PTR(-ENOMEM);
}

int create_at(dynfs_disk *disk, const char *path, umode_t mode)
{
    dynfs_entry *fresh = new_entry_for(path, mode, nullptr);
    int error = -ENOENT;

    if (IS_ERR(fresh))
        return static_cast<int>(PTR_ERR(fresh));
    spin_lock(&disk->lock);
    const place where = find_place(disk, path);
    if (where.directory)
        error = insert_locked(disk, where.directory, fresh);
    spin_unlock(&disk->lock);
    if (error)
        dynfs_put(fresh);
    return error;
}

int remove_at(dynfs_disk *disk, const char *path)
{
    dynfs_entry *entry;
    int error = 0;

    spin_lock(&disk->lock);
    entry = find_at(disk, find_place(disk, path));
    if (!entry)
        error = -ENOENT;
    else if (entry == disk->root)
        error = -EBUSY;
    else
        bury_all(disk, entry);
    spin_unlock(&disk->lock);
    return error;
}

int replace_locked(dynfs_disk *disk, dynfs_entry *old, dynfs_entry *fresh) __must_hold(&disk->lock)
{
    dynfs_entry *directory = old->parent;

    if (READ_LOCKED(old->dead))
        return -ENOENT;
    bury_all(disk, old);
    return insert_locked(disk, directory, fresh);
}

/// An object has one name for life, so what gets another is another object, and the first is dead.
/// What is in it stays.
int rename_locked(dynfs_disk *disk, dynfs_entry *old, const place &to, dynfs_entry *fresh)
    __must_hold(&disk->lock)
{
    dynfs_entry *there = find_at(disk, to);

    if (READ_LOCKED(old->dead) || !to.directory)
        return -ENOENT;
    if (!S_ISDIR_mode(to.directory->mode))
        return -ENOTDIR;
    if (there == old)
        return 0;
    if (is_below(disk, to.directory, old))
        return -EINVAL;
    if (is_below(disk, old, there))
        return -ENOTEMPTY;
    while (!list_empty(&old->children)) {
        dynfs_entry *child = container_of(list_first(&old->children), dynfs_entry, siblings);

        unlink_child(disk, child);
        link_child(disk, fresh, child);
    }
    if (there)
        bury_all(disk, there);
    bury(disk, old);
    return insert_locked(disk, to.directory, fresh);
}

/// replace and rename: a new object of the old one's kind at `target`.
int supersede(dynfs_disk *disk, remote_change what, const char *path, const char *target)
{
    dynfs_entry *old = dynfs_find_path(disk, path);
    dynfs_entry *fresh;
    int error;

    if (!old)
        return -ENOENT;
    if (old == disk->root) {
        dynfs_put(old);
        return -EBUSY;
    }
    fresh = new_entry_for(target, old->mode, old->body);
    if (IS_ERR(fresh)) {
        dynfs_put(old);
        return static_cast<int>(PTR_ERR(fresh));
    }
    spin_lock(&disk->lock);
    if (what == remote_change::replace)
        error = replace_locked(disk, old, fresh);
    else
        error = rename_locked(disk, old, find_place(disk, target), fresh);
    const bool unused = !fresh->parent;
    spin_unlock(&disk->lock);
    if (unused)
        dynfs_put(fresh);
    dynfs_put(old);
    return error;
}

} // namespace

dynfs_disk *dynfs_new_disk()
{
    void *memory = kmalloc(sizeof(dynfs_disk));
    dynfs_disk *disk;

    if (!memory)
        return nullptr;
    disk = new (memory) dynfs_disk();
    spin_lock_init(&disk->lock, "dynfs.lock");
    INIT_LIST_HEAD(&disk->flushes);
    disk->live = 1;
    disk->root = new_entry({"", 0}, S_IFDIR_TYPE | 0555, nullptr);
    if (!disk->root) {
        kfree(memory);
        return nullptr;
    }
    return disk;
}

// The disk itself as Linux v6.12 fs/proc/root.c proc_kill_sb() frees its fs_info: a walk in RCU
// mode that began before the unmount may be comparing a name.
void dynfs_free_disk(dynfs_disk *disk)
{
    spin_lock(&disk->lock);
    while (!list_empty(&disk->root->children))
        bury_all(disk, container_of(list_first(&disk->root->children), dynfs_entry, siblings));
    while (!list_empty(&disk->flushes)) {
        dynfs_entry *entry = container_of(list_first(&disk->flushes), dynfs_entry, to_flush);

        list_del_init(&entry->to_flush);
        dynfs_put(entry);
    }
    spin_unlock(&disk->lock);
    dynfs_put(disk->root);
    call_rcu(&disk->rcu, free_disk);
}

dynfs_entry *dynfs_get(dynfs_entry *entry)
{
    atomic_inc(&entry->count);
    return entry;
}

void dynfs_put(dynfs_entry *entry)
{
    if (atomic_dec_and_test(&entry->count))
        call_rcu(&entry->rcu, free_entry);
}

dynfs_entry *dynfs_find_child(dynfs_disk *disk, dynfs_entry *directory, const char *name,
                              size_t length)
{
    dynfs_entry *child;

    spin_lock(&disk->lock);
    child = find_locked(disk, directory, {name, length});
    if (child)
        dynfs_get(child);
    spin_unlock(&disk->lock);
    return child;
}

dynfs_entry *dynfs_next_child(dynfs_disk *disk, dynfs_entry *directory, u64 position)
{
    dynfs_entry *found = nullptr;

    spin_lock(&disk->lock);
    for (list_head *at = list_first(&directory->children); !found && at != &directory->children;
         at = list_next(at)) {
        dynfs_entry *child = container_of(at, dynfs_entry, siblings);

        if (child->position >= position)
            found = dynfs_get(child);
    }
    spin_unlock(&disk->lock);
    return found;
}

dynfs_entry *dynfs_find_path(dynfs_disk *disk, const char *path)
{
    dynfs_entry *entry;

    spin_lock(&disk->lock);
    entry = find_at(disk, find_place(disk, path));
    if (entry)
        dynfs_get(entry);
    spin_unlock(&disk->lock);
    return entry;
}

dynfs_entry *dynfs_add(dynfs_disk *disk, dynfs_entry *directory, const char *name, size_t length,
                       umode_t mode, const char *body)
{
    int error = check_name({name, length});
    dynfs_entry *fresh;

    if (error)
        return ERR_PTR(error);
    if (S_ISLNK_mode(mode) != (body != nullptr))
        return ERR_PTR(-EINVAL);
    fresh = new_entry({name, length}, mode, body);
    if (!fresh)
        return ERR_PTR(-ENOMEM);
    spin_lock(&disk->lock);
    error = insert_locked(disk, directory, fresh);
    spin_unlock(&disk->lock);
    if (!error)
        return fresh;
    dynfs_put(fresh);
    return ERR_PTR(error);
}

int dynfs_change(dynfs_disk *disk, remote_change what, const char *path, const char *second_path)
{
    switch (what) {
    case remote_change::create:
        return create_at(disk, path, S_IFREG_TYPE | 0444);
    case remote_change::mkdir:
        return create_at(disk, path, S_IFDIR_TYPE | 0555);
    case remote_change::remove:
        return remove_at(disk, path);
    case remote_change::replace:
        return supersede(disk, what, path, path);
    case remote_change::rename:
        return supersede(disk, what, path, second_path);
    }
    return -EINVAL;
}

} // namespace dcsim::inline DCSIM_BACKEND
