// SPDX-License-Identifier: GPL-2.0-only
//
// Root and working directory of the process.
//
// Writers serialise on fs->lock and bump fs->seq; d_path() reads both halves of the root without
// the lock and repeats when seq moved. The old dentry is put outside the lock, because that may
// sleep, and stays readable for a grace period.
#include "dcsim/vfs/fs_struct.h"

#include "dcsim/vfs/dcache.h"

namespace dcsim::inline DCSIM_BACKEND
{

constinit fs_struct init_fs = {};

namespace
{

path read_path(const fs_path *from)
{
    return {READ_ONCE(from->mnt), READ_ONCE(from->dentry)};
}

/// Puts `path` into one of the two places of `fs`.
void replace_path(fs_struct *fs, fs_path *place, const path *path)
{
    struct path old;

    dget(path->dentry);
    spin_lock(&fs->lock);
    write_seqcount_begin(&fs->seq);
    old = read_path(place);
    WRITE_ONCE(place->mnt, path->mnt);
    WRITE_ONCE(place->dentry, path->dentry);
    write_seqcount_end(&fs->seq);
    spin_unlock(&fs->lock);
    dput(old.dentry);
}

/// The reference is taken under the lock: a writer drops the old one only after it.
path grab_path(fs_struct *fs, const fs_path *place)
{
    path path;

    spin_lock(&fs->lock);
    path = read_path(place);
    dget(path.dentry);
    spin_unlock(&fs->lock);
    return path;
}

} // namespace

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

} // namespace dcsim::inline DCSIM_BACKEND
