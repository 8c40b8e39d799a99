// SPDX-License-Identifier: GPL-2.0-only
//
// Root and working directory of a task.
//
// Writers serialise on fs->lock and bump fs->seq; path walks and d_path() read both halves of a
// path without the lock and repeat when seq moved. The old path is put outside the lock, because
// that may sleep, and stays readable for a grace period.
#include "dcsim/vfs/fs_struct.h"

#include <new>

#include "dcsim/kernel/bug.h"
#include "dcsim/vfs/dcache.h"
#include "internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

constinit fs_struct init_fs = {};

namespace
{

constexpr umode_t initial_umask = 022;
constexpr path nowhere = {nullptr, nullptr};

path read_path(const fs_path *from)
{
    return {READ_ONCE(from->mnt), READ_ONCE(from->dentry)};
}

void write_path(fs_path *to, const path *path)
{
    WRITE_ONCE(to->mnt, path->mnt);
    WRITE_ONCE(to->dentry, path->dentry);
}

/// Puts `path` into one of the two places of `fs`.
void replace_path(fs_struct *fs, fs_path *place, const path *path)
{
    struct path old;

    path_get(path);
    spin_lock(&fs->lock);
    write_seqcount_begin(&fs->seq);
    old = read_path(place);
    write_path(place, path);
    write_seqcount_end(&fs->seq);
    spin_unlock(&fs->lock);
    path_put(&old);
}

/// The references are taken under the lock: a writer drops the old ones only after it.
path grab_path(fs_struct *fs, const fs_path *place)
{
    path path;

    spin_lock(&fs->lock);
    path = read_path(place);
    path_get(&path);
    spin_unlock(&fs->lock);
    return path;
}

/// One user, and nobody else who knows it yet.
void init_fs_struct(fs_struct *fs)
{
    spin_lock_init(&fs->lock, "fs_struct.lock");
    seqcount_init(&fs->seq);
    spin_lock(&fs->lock);
    fs->users = 1;
    spin_unlock(&fs->lock);
}

} // namespace

void fs_init()
{
    init_fs_struct(&init_fs);
    WRITE_ONCE(init_fs.umask, initial_umask);
    write_path(&init_fs.root, &nowhere);
    write_path(&init_fs.pwd, &nowhere);
}

// Linux v6.12 fs/fs_struct.c copy_fs_struct().
fs_struct *copy_fs_struct(fs_struct *old)
{
    void *memory = kmalloc(sizeof(fs_struct));

    if (!memory)
        return nullptr;
    auto *fs = new (memory) fs_struct();

    init_fs_struct(fs);
    WRITE_LOCKED(fs->umask, READ_ONCE(old->umask));

    spin_lock(&old->lock);
    path root = read_path(&old->root);
    path_get(&root);
    path pwd = read_path(&old->pwd);
    path_get(&pwd);
    spin_unlock(&old->lock);
    write_path(&fs->root, &root);
    write_path(&fs->pwd, &pwd);
    return fs;
}

// Linux v6.12 fs/fs_struct.c exit_fs(), free_fs_struct().
void put_fs_struct(fs_struct *fs)
{
    spin_lock(&fs->lock);
    bool kill = !--fs->users;
    spin_unlock(&fs->lock);
    if (!kill)
        return;

    path root = read_path(&fs->root), pwd = read_path(&fs->pwd);
    path_put(&root);
    path_put(&pwd);
    if (fs == &init_fs)
        fs_init();
    else
        kfree(fs);
}

// Linux v6.12 fs/fs_struct.c set_fs_root().
void set_fs_root(fs_struct *fs, const path *path)
{
    replace_path(fs, &fs->root, path);
}

// Linux v6.12 fs/fs_struct.c set_fs_pwd().
void set_fs_pwd(fs_struct *fs, const path *path)
{
    replace_path(fs, &fs->pwd, path);
}

// Linux v6.12 include/linux/fs_struct.h get_fs_root().
void get_fs_root(fs_struct *fs, path *root)
{
    *root = grab_path(fs, &fs->root);
}

// Linux v6.12 include/linux/fs_struct.h get_fs_pwd().
void get_fs_pwd(fs_struct *fs, path *pwd)
{
    *pwd = grab_path(fs, &fs->pwd);
}

// Linux v6.12 fs/d_path.c get_fs_root_rcu().
void get_fs_root_rcu(fs_struct *fs, path *root)
{
    unsigned seq;

    do {
        seq = read_seqcount_begin(&fs->seq);
        *root = read_path(&fs->root);
    } while (read_seqcount_retry(&fs->seq, seq));
}

// Linux v6.12 fs/namei.c set_root(), the part for RCU mode.
void get_fs_root_rcu_seq(fs_struct *fs, path *root, unsigned *d_seq)
{
    unsigned seq;

    do {
        seq = read_seqcount_begin(&fs->seq);
        *root = read_path(&fs->root);
        *d_seq = root->dentry ? read_seqcount_begin(&root->dentry->d_seq) : 0;
    } while (read_seqcount_retry(&fs->seq, seq));
}

// Linux v6.12 fs/namei.c path_init(), the part for the working directory in RCU mode.
void get_fs_pwd_rcu_seq(fs_struct *fs, path *pwd, inode **inode, unsigned *d_seq)
{
    unsigned seq;

    do {
        seq = read_seqcount_begin(&fs->seq);
        *pwd = read_path(&fs->pwd);
        *inode = pwd->dentry ? d_inode_rcu(pwd->dentry) : nullptr;
        *d_seq = pwd->dentry ? read_seqcount_begin(&pwd->dentry->d_seq) : 0;
    } while (read_seqcount_retry(&fs->seq, seq));
}

} // namespace dcsim::inline DCSIM_BACKEND
