// SPDX-License-Identifier: GPL-2.0-only
//
// Open files and the tables of descriptors that lead to them.
//
// A descriptor goes through two steps: get_unused_fd() marks it taken, fd_install() gives it a
// file. In between it is nobody else's and leads nowhere. Both, and closing, hold files->lock.
// Looking one up does not: the table and the entry are read under RCU, the file's count is raised
// unless it is zero, and table and entry are read again. If either changed, the file may not be
// what the descriptor meant any more, and everything begins anew.
//
// A file's memory is freed after a grace period for these readers; files that never got as far as a
// table need not wait.
//
// Reduced: the last fput() does its work at once, where the kernel leaves that to the task's way
// back to user mode. fput() must therefore be called where one may sleep. fd_install() takes the
// lock, so making a larger table needs no grace period and no flag that it is in progress; there is
// no second level of bitmap and no close-on-exec.
#include "dcsim/vfs/file.h"

#include <bit>
#include <cstring>

#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/err.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/vfs/dcache.h"
#include "dcsim/vfs/task.h"
#include "internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

files_struct init_files;
unsigned sysctl_nr_open = 1024 * 1024;

namespace
{

constexpr unsigned BITS_PER_LONG = 64;

kmem_cache *filp_cachep;
kmem_cache *files_cachep;

// --- One file ---

void file_free_rcu(rcu_head *head)
{
    kmem_cache_free(filp_cachep, container_of(head, file, f_rcu));
}

// Linux v6.12 fs/file_table.c file_free().
void file_free(file *file)
{
    // Only an opened one was ever in a table, where RCU readers find it.
    if (file->f_mode & FMODE_OPENED)
        call_rcu(&file->f_rcu, file_free_rcu);
    else
        kmem_cache_free(filp_cachep, file);
}

// Linux v6.12 fs/file_table.c __fput().
void __fput(file *file)
{
    dentry *dentry = file->f_path.dentry;
    vfsmount *mnt = file->f_path.mnt;

    might_sleep();
    if (file->f_op->release)
        file->f_op->release(file->f_inode, file);
    dput(dentry);
    mntput(mnt);
    file_free(file);
}

} // namespace

// Linux v6.12 fs/file_table.c alloc_empty_file(), with init_file().
file *alloc_empty_file(unsigned flags, const struct cred *cred)
{
    auto *file = static_cast<struct file *>(kmem_cache_alloc(filp_cachep));

    if (unlikely(!file))
        return ERR_PTR(-ENOMEM);
    memset(static_cast<void *>(file), 0, sizeof(*file));
    file->f_cred = cred;
    mutex_init(&file->f_pos_lock, "f_pos_lock");
    file->f_flags = flags;
    // Read is 0, write 1, both 2: one more makes bits of them. 3 is neither, for ioctl only.
    file->f_mode = (flags + 1) & OPEN_ACCMODE;
    WRITE_ONCE(file->f_count, 1);
    return file;
}

// Linux v6.12 include/linux/fs.h get_file().
file *get_file(file *file)
{
    WARN_ON(add_return(&file->f_count, 1) <= 1);
    return file;
}

// Linux v6.12 fs/file_table.c fput().
void fput(file *file)
{
    if (!file || add_return(&file->f_count, -1) != 0)
        return;
    if (unlikely(!(file->f_mode & FMODE_OPENED)))
        file_free(file);
    else
        __fput(file);
}

// --- Tables ---

namespace
{

// Linux v6.12 fs/file.c __free_fdtable().
void __free_fdtable(fdtable *fdt)
{
    kfree(fdt->fd);
    kfree(fdt->open_fds);
    kfree(fdt);
}

// Linux v6.12 fs/file.c free_fdtable_rcu().
void free_fdtable_rcu(rcu_head *head)
{
    __free_fdtable(container_of(head, fdtable, rcu));
}

/// The table in use. files->lock held, or nobody else left.
fdtable *files_fdtable(const files_struct *files)
{
    return READ_LOCKED(files->fdt);
}

bool fd_is_open(unsigned fd, const fdtable *fdt)
{
    return fdt->open_fds[fd / BITS_PER_LONG] >> fd % BITS_PER_LONG & 1;
}

// Linux v6.12 fs/file.c __set_open_fd().
void __set_open_fd(unsigned fd, fdtable *fdt)
{
    fdt->open_fds[fd / BITS_PER_LONG] |= 1ul << fd % BITS_PER_LONG;
}

// Linux v6.12 fs/file.c __clear_open_fd().
void __clear_open_fd(unsigned fd, fdtable *fdt)
{
    fdt->open_fds[fd / BITS_PER_LONG] &= ~(1ul << fd % BITS_PER_LONG);
}

/// Empty entries from `from` on.
void clear_fdtable(fdtable *fdt, unsigned from)
{
    for (unsigned fd = from; fd < fdt->max_fds; fd++)
        WRITE_LOCKED(fdt->fd[fd], nullptr);
    for (unsigned word = from / BITS_PER_LONG; word < fdt->max_fds / BITS_PER_LONG; word++)
        fdt->open_fds[word] = 0;
}

// Linux v6.12 fs/file.c alloc_fdtable().
//
// Room for at least `slots_wanted` (over 64) descriptors; contents undefined. nullptr without
// memory.
fdtable *alloc_fdtable(unsigned slots_wanted)
{
    unsigned nr = std::bit_ceil(slots_wanted);
    auto *fdt = static_cast<fdtable *>(kmalloc(sizeof(fdtable)));

    if (!fdt)
        return nullptr;
    if (nr > sysctl_nr_open)
        nr = sysctl_nr_open;
    fdt->max_fds = nr;
    fdt->fd = static_cast<once<file *> *>(kmalloc(nr * sizeof(*fdt->fd)));
    fdt->open_fds =
        static_cast<unsigned long *>(kmalloc(nr / BITS_PER_LONG * sizeof(*fdt->open_fds)));
    if (!fdt->fd || !fdt->open_fds) {
        __free_fdtable(fdt);
        return nullptr;
    }
    return fdt;
}

// Linux v6.12 fs/file.c copy_fdtable(). The lock of the old one's owner held.
void copy_fdtable(fdtable *to, const fdtable *from)
{
    for (unsigned fd = 0; fd < from->max_fds; fd++)
        WRITE_LOCKED(to->fd[fd], READ_LOCKED(from->fd[fd]));
    memcpy(to->open_fds, from->open_fds, from->max_fds / BITS_PER_LONG * sizeof(*to->open_fds));
    clear_fdtable(to, from->max_fds);
}

// Linux v6.12 fs/file.c expand_fdtable() and expand_files().
//
// Makes room for descriptor `nr`. 0: there is. 1: there is now, but the lock was dropped. -EMFILE,
// -ENOMEM.
int expand_files(files_struct *files, unsigned nr) __must_hold(&files->lock)
{
    fdtable *fresh, *fdt = files_fdtable(files);

    if (nr < fdt->max_fds)
        return 0;
    if (nr >= sysctl_nr_open)
        return -EMFILE;

    spin_unlock(&files->lock);
    fresh = alloc_fdtable(nr + 1);
    spin_lock(&files->lock);
    if (!fresh)
        return -ENOMEM;
    fdt = files_fdtable(files);
    if (unlikely(nr < fdt->max_fds)) {
        // Another task that shares the table was faster.
        __free_fdtable(fresh);
        return 1;
    }
    copy_fdtable(fresh, fdt);
    rcu_assign_pointer(files->fdt, fresh);
    if (fdt != &files->fdtab)
        call_rcu(&fdt->rcu, free_fdtable_rcu);
    return 1;
}

/// An empty table with one user.
void init_files_struct(files_struct *files)
{
    fdtable *fdt = &files->fdtab;

    fdt->max_fds = NR_OPEN_DEFAULT;
    fdt->fd = files->fd_array;
    fdt->open_fds = files->open_fds_init;
    clear_fdtable(fdt, 0);
    spin_lock_init(&files->lock, "files->lock");
    spin_lock(&files->lock);
    files->users = 1;
    files->next_fd = 0;
    WRITE_LOCKED(files->fdt, fdt);
    spin_unlock(&files->lock);
}

// Linux v6.12 fs/file.c sane_fdtable_size().
unsigned sane_fdtable_size(const fdtable *fdt)
{
    unsigned words = fdt->max_fds / BITS_PER_LONG;

    while (words > 1 && !fdt->open_fds[words - 1])
        words--;
    return words * BITS_PER_LONG;
}

} // namespace

// Linux v6.12 fs/file.c dup_fd().
files_struct *copy_files_struct(files_struct *old)
{
    auto *fresh = static_cast<files_struct *>(kmem_cache_alloc(files_cachep));
    fdtable *old_fdt, *new_fdt;
    unsigned open_files;

    if (!fresh)
        return nullptr;
    memset(static_cast<void *>(fresh), 0, sizeof(*fresh));
    init_files_struct(fresh);
    new_fdt = &fresh->fdtab;

    spin_lock(&old->lock);
    old_fdt = files_fdtable(old);
    open_files = sane_fdtable_size(old_fdt);
    while (unlikely(open_files > new_fdt->max_fds)) {
        spin_unlock(&old->lock);
        if (new_fdt != &fresh->fdtab)
            __free_fdtable(new_fdt);
        new_fdt = alloc_fdtable(open_files);
        if (!new_fdt) {
            kmem_cache_free(files_cachep, fresh);
            return nullptr;
        }
        // The old table may have grown meanwhile.
        spin_lock(&old->lock);
        old_fdt = files_fdtable(old);
        open_files = sane_fdtable_size(old_fdt);
    }
    clear_fdtable(new_fdt, 0);
    for (unsigned fd = 0; fd < open_files; fd++) {
        file *file = READ_LOCKED(old_fdt->fd[fd]);
        // A descriptor that is taken and has no file yet belongs to an open in progress: the copy
        // does not get it.
        if (!file)
            continue;
        WRITE_LOCKED(new_fdt->fd[fd], get_file(file));
        __set_open_fd(fd, new_fdt);
    }
    spin_unlock(&old->lock);
    WRITE_LOCKED(fresh->fdt, new_fdt);
    return fresh;
}

namespace
{

// Linux v6.12 fs/file.c close_files(). Nobody uses the table any more.
void close_files(files_struct *files)
{
    fdtable *fdt = files_fdtable(files);

    for (unsigned fd = 0; fd < fdt->max_fds; fd++) {
        if (!fd_is_open(fd, fdt))
            continue;
        fput(xchg(&fdt->fd[fd], nullptr));
        cond_resched();
    }
    if (fdt != &files->fdtab)
        __free_fdtable(fdt);
}

} // namespace

// Linux v6.12 fs/file.c put_files_struct().
void put_files_struct(files_struct *files)
{
    int left;

    spin_lock(&files->lock);
    left = --files->users;
    spin_unlock(&files->lock);
    if (left)
        return;
    close_files(files);
    if (files == &init_files)
        init_files_struct(files);
    else
        kmem_cache_free(files_cachep, files);
}

// --- Descriptors ---

namespace
{

// Linux v6.12 fs/file.c find_next_fd().
unsigned find_next_fd(const fdtable *fdt, unsigned start)
{
    unsigned word = start / BITS_PER_LONG;
    unsigned long taken;

    if (start >= fdt->max_fds)
        return start;
    taken = fdt->open_fds[word] | ((1ul << start % BITS_PER_LONG) - 1);
    while (taken == ~0ul) {
        if (++word == fdt->max_fds / BITS_PER_LONG)
            return fdt->max_fds;
        taken = fdt->open_fds[word];
    }
    return word * BITS_PER_LONG + static_cast<unsigned>(std::countr_one(taken));
}

// Linux v6.12 fs/file.c __put_unused_fd().
void __put_unused_fd(files_struct *files, unsigned fd) __must_hold(&files->lock)
{
    __clear_open_fd(fd, files_fdtable(files));
    if (fd < files->next_fd)
        files->next_fd = fd;
}

// Linux v6.12 fs/file.c file_close_fd_locked().
//
// Takes the descriptor away: its file, whose reference is the caller's now, or nullptr.
file *file_close_fd_locked(files_struct *files, unsigned fd) __must_hold(&files->lock)
{
    fdtable *fdt = files_fdtable(files);
    file *file;

    if (fd >= fdt->max_fds)
        return nullptr;
    file = READ_LOCKED(fdt->fd[fd]);
    if (file) {
        rcu_assign_pointer(fdt->fd[fd], nullptr);
        __put_unused_fd(files, fd);
    }
    return file;
}

/// The entry of a descriptor in a table that a reader has found, or nullptr.
once<file *> *fd_entry(fdtable *fdt, unsigned fd)
{
    return fd < fdt->max_fds ? &fdt->fd[fd] : nullptr;
}

bool file_get_unless_zero(file *file)
{
    long count = READ_ONCE(file->f_count);

    do {
        if (!count)
            return false;
    } while (!try_cmpxchg(&file->f_count, &count, count + 1));
    return true;
}

// Linux v6.12 fs/file.c __fget_files_rcu().
//
// A file without a reference comes back through `stale`, for the caller to drop outside RCU: the
// table or the entry changed while it was being taken.
file *__fget_files_rcu(files_struct *files, unsigned fd, fmode_t refused, file **stale)
    __must_hold_shared(rcu)
{
    fdtable *fdt = rcu_dereference(files->fdt);
    once<file *> *entry = fd_entry(fdt, fd);
    file *file = entry ? rcu_dereference(*entry) : nullptr;

    *stale = nullptr;
    if (!file)
        return nullptr;
    // Zero: closed for good after the entry was read. The next look finds the entry empty or
    // somebody else's.
    if (unlikely(!file_get_unless_zero(file)))
        return ERR_PTR(-EAGAIN);
    // A larger table takes the entries over, and then it is the one where descriptors are closed.
    if (unlikely(file != rcu_dereference(*entry)) || unlikely(fdt != rcu_dereference(files->fdt))) {
        *stale = file;
        return ERR_PTR(-EAGAIN);
    }
    if (unlikely(file->f_mode & refused)) {
        *stale = file;
        return nullptr;
    }
    return file;
}

// Linux v6.12 fs/file.c __fget_files().
file *__fget_files(files_struct *files, unsigned fd, fmode_t refused)
{
    file *file, *stale;

    do {
        rcu_read_lock();
        file = __fget_files_rcu(files, fd, refused, &stale);
        rcu_read_unlock();
        fput(stale);
    } while (IS_ERR(file));
    return file;
}

} // namespace

// Linux v6.12 fs/file.c get_unused_fd_flags(), with alloc_fd().
int get_unused_fd()
{
    files_struct *files = current_vfs_task()->files;
    unsigned fd;
    int error;

    spin_lock(&files->lock);
    do {
        fd = find_next_fd(files_fdtable(files), files->next_fd);
        error = fd >= sysctl_nr_open ? -EMFILE : expand_files(files, fd);
        // After the lock was dropped a lower one may be free.
    } while (error > 0);
    if (!error) {
        files->next_fd = fd + 1;
        __set_open_fd(fd, files_fdtable(files));
        WARN_ON(READ_LOCKED(files_fdtable(files)->fd[fd]));
        error = static_cast<int>(fd);
    }
    spin_unlock(&files->lock);
    return error;
}

// Linux v6.12 fs/file.c put_unused_fd().
void put_unused_fd(unsigned fd)
{
    files_struct *files = current_vfs_task()->files;

    spin_lock(&files->lock);
    __put_unused_fd(files, fd);
    spin_unlock(&files->lock);
}

// Linux v6.12 fs/file.c fd_install(), its form for a table that is being enlarged.
void fd_install(unsigned fd, file *file)
{
    files_struct *files = current_vfs_task()->files;
    fdtable *fdt;

    spin_lock(&files->lock);
    fdt = files_fdtable(files);
    BUG_ON(READ_LOCKED(fdt->fd[fd]) != nullptr);
    // Whoever finds the file in the table sees it opened.
    rcu_assign_pointer(fdt->fd[fd], file);
    spin_unlock(&files->lock);
}

// Linux v6.12 fs/file.c fget().
file *fget(unsigned fd)
{
    return __fget_files(current_vfs_task()->files, fd, FMODE_PATH);
}

// Linux v6.12 fs/file.c fget_raw().
file *fget_raw(unsigned fd)
{
    return __fget_files(current_vfs_task()->files, fd, 0);
}

// Linux v6.12 fs/file.c files_lookup_fd_raw(), which __fget_light() uses where nobody shares the
// table.
file *fget_raw_rcu(unsigned fd)
{
    once<file *> *entry = fd_entry(rcu_dereference(current_vfs_task()->files->fdt), fd);

    return entry ? rcu_dereference(*entry) : nullptr;
}

// Linux v6.12 fs/file.c close_fd(), with filp_close().
int close_fd(unsigned fd)
{
    files_struct *files = current_vfs_task()->files;
    file *file;

    spin_lock(&files->lock);
    file = file_close_fd_locked(files, fd);
    spin_unlock(&files->lock);
    if (!file)
        return -EBADF;
    fput(file);
    return 0;
}

// --- Start and end ---

// Linux v6.12 fs/file_table.c files_init(), with the cache of fs/fork.c proc_caches_init().
int files_init()
{
    filp_cachep = kmem_cache_create("filp", sizeof(file), L1_CACHE_BYTES);
    if (!filp_cachep)
        return -ENOMEM;
    files_cachep = kmem_cache_create("files_cache", sizeof(files_struct), L1_CACHE_BYTES);
    if (!files_cachep) {
        kmem_cache_destroy(filp_cachep);
        return -ENOMEM;
    }
    init_files_struct(&init_files);
    return 0;
}

void files_exit(vfs_leaks *leaks)
{
    // A table that grew is kept until here, open files in it or not.
    if (files_fdtable(&init_files) != &init_files.fdtab)
        __free_fdtable(files_fdtable(&init_files));
    leaks->files += kmem_cache_destroy(filp_cachep);
    leaks->files += kmem_cache_destroy(files_cachep);
}

} // namespace dcsim::inline DCSIM_BACKEND
