// SPDX-License-Identifier: GPL-2.0-only
//
// The system calls that make, remove and move names, by path.
//
// The walk goes to the parent; the last component is looked up with the parent locked for writing,
// so that what was checked is what is changed. Each begins again with LOOKUP_REVAL when a file
// system found something stale on the way.
//
// Trailing slashes: whether a name is followed by one decides some errors and is visible behind the
// last component, which points into the path.
#include "dcsim/vfs/syscalls.h"
#include "namei_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

bool has_trailing_slash(const qstr *last)
{
    return last->name[last->len] != '\0';
}

} // namespace

// --- Making ---

// Linux v6.19 fs/namei.c filename_create().
dentry *filename_create(int dfd, const filename *name, path *path, unsigned lookup_flags)
    __context_unsafe("returns with the parent locked")
{
    bool want_dir = lookup_flags & LOOKUP_DIRECTORY;
    unsigned reval_flag = lookup_flags & LOOKUP_REVAL;
    unsigned create_flags = LOOKUP_CREATE | LOOKUP_EXCL;
    dentry *dentry = ERR_PTR(-EEXIST);
    last_component type;
    qstr last;
    int error;

    error = filename_parentat(dfd, name, reval_flag, path, &last, &type);
    if (error)
        return ERR_PTR(error);
    // "/", ".", "..": they exist.
    if (unlikely(type != LAST_NORM))
        goto out;

    // Reported last: that the name exists is the better answer.
    error = mnt_want_write(path->mnt);
    // Only a directory can be made with a slash behind its name.
    if (has_trailing_slash(&last) && !want_dir)
        create_flags &= ~unsigned{LOOKUP_CREATE};
    dentry = start_dirop(path->dentry, &last, reval_flag | create_flags);
    if (IS_ERR(dentry))
        goto out;
    if (likely(!error))
        return dentry;
    end_dirop(dentry);
    dentry = ERR_PTR(error);
out:
    path_put(path);
    return dentry;
}

// Linux v6.19 fs/namei.c end_creating_path().
void done_path_create(path *path, dentry *dentry)
    __context_unsafe("unlocks what filename_create() locked")
{
    end_creating(dentry);
    path_put(path);
}

namespace
{

/// Makes something at `name` by `make(dir, dentry)`.
template <typename Make>
int make_at(int dfd, const char *name, unsigned lookup_flags, Make make)
{
    filename new_name;
    dentry *dentry;
    path path;
    int error = getname_flags(name, 0, &new_name);

    if (error)
        return error;
retry:
    dentry = filename_create(dfd, &new_name, &path, lookup_flags);
    if (IS_ERR(dentry))
        return PTR_ERR(dentry);
    error = make(d_inode(path.dentry), dentry);
    done_path_create(&path, dentry);
    if (retry_estale(error, lookup_flags)) {
        lookup_flags |= LOOKUP_REVAL;
        goto retry;
    }
    return error;
}

// Linux v6.12 fs/namei.c may_mknod().
int may_mknod(umode_t mode)
{
    switch (mode & S_IFMT_MASK) {
    case S_IFREG_TYPE:
    case S_IFCHR_TYPE:
    case S_IFBLK_TYPE:
    case S_IFIFO_TYPE:
    case S_IFSOCK_TYPE:
    case 0: // a regular file
        return 0;
    case S_IFDIR_TYPE:
        return -EPERM;
    default:
        return -EINVAL;
    }
}

} // namespace

// Linux v6.12 fs/namei.c do_mknodat().
int do_mknodat(int dfd, const char *name, umode_t mode, unsigned device)
{
    int error = may_mknod(mode);

    if (error)
        return error;
    return make_at(dfd, name, 0, [mode, device](inode *dir, dentry *dentry) {
        switch (mode & S_IFMT_MASK) {
        case S_IFCHR_TYPE:
        case S_IFBLK_TYPE:
            return vfs_mknod(dir, dentry, mode, device);
        case S_IFIFO_TYPE:
        case S_IFSOCK_TYPE:
            return vfs_mknod(dir, dentry, mode, 0);
        default:
            return vfs_create(dir, dentry, mode);
        }
    });
}

// Linux v6.12 fs/namei.c do_mkdirat().
int do_mkdirat(int dfd, const char *name, umode_t mode)
{
    return make_at(dfd, name, LOOKUP_DIRECTORY,
                   [mode](inode *dir, dentry *dentry) { return vfs_mkdir(dir, dentry, mode); });
}

// Linux v6.12 fs/namei.c do_symlinkat().
int do_symlinkat(const char *body, int dfd, const char *name)
{
    filename from;
    int error = getname_flags(body, 0, &from);

    if (error)
        return error;
    return make_at(dfd, name, 0, [&from](inode *dir, dentry *dentry) {
        return vfs_symlink(dir, dentry, from.name);
    });
}

// Linux v6.12 fs/namei.c do_linkat().
int do_linkat(int old_dfd, const char *old_name, int new_dfd, const char *new_name, unsigned flags)
{
    filename from, to;
    path old_path, new_path;
    dentry *dentry;
    unsigned how = 0;
    int error;

    if (flags & ~(AT_SYMLINK_FOLLOW_FLAG | AT_EMPTY_PATH_FLAG))
        return -EINVAL;
    if (flags & AT_EMPTY_PATH_FLAG)
        how |= LOOKUP_LINKAT_EMPTY;
    if (flags & AT_SYMLINK_FOLLOW_FLAG)
        how |= LOOKUP_FOLLOW;
    error = getname_flags(old_name, flags & AT_EMPTY_PATH_FLAG ? unsigned{LOOKUP_EMPTY} : 0, &from);
    if (error)
        return error;
retry:
    error = filename_lookup(old_dfd, &from, how, &old_path, nullptr);
    if (error)
        return error;
    // The new name's own errors come after those of the walk to the old one.
    error = getname_flags(new_name, 0, &to);
    if (error)
        goto put_old;
    dentry = filename_create(new_dfd, &to, &new_path, how & LOOKUP_REVAL);
    error = PTR_ERR(dentry);
    if (IS_ERR(dentry))
        goto put_old;
    error = -EXDEV;
    if (old_path.mnt == new_path.mnt)
        error = may_linkat(&old_path);
    if (!error)
        error = vfs_link(old_path.dentry, d_inode(new_path.dentry), dentry);
    done_path_create(&new_path, dentry);
    if (retry_estale(error, how)) {
        path_put(&old_path);
        how |= LOOKUP_REVAL;
        goto retry;
    }
put_old:
    path_put(&old_path);
    return error;
}

// --- Removing ---

namespace
{

/// rmdir() of something that is no name.
int cannot_rmdir(last_component type)
{
    switch (type) {
    case LAST_DOTDOT:
        return -ENOTEMPTY;
    case LAST_DOT:
        return -EINVAL;
    default:
        return -EBUSY;
    }
}

/// do_rmdir() in the parent that was found.
int rmdir_in(const path *parent, const qstr *last, unsigned lookup_flags)
{
    dentry *dentry;
    int error = mnt_want_write(parent->mnt);

    if (error)
        return error;
    dentry = start_dirop(parent->dentry, last, lookup_flags);
    if (IS_ERR(dentry))
        return PTR_ERR(dentry);
    error = vfs_rmdir(d_inode(parent->dentry), dentry);
    end_dirop(dentry);
    return error;
}

/// do_unlinkat() in the parent that was found.
int unlink_in(const path *parent, const qstr *last, unsigned lookup_flags)
{
    inode *victim = nullptr;
    dentry *dentry;
    int error = mnt_want_write(parent->mnt);

    if (error)
        return error;
    dentry = start_dirop(parent->dentry, last, lookup_flags);
    if (IS_ERR(dentry))
        return PTR_ERR(dentry);
    if (has_trailing_slash(last)) {
        error = d_is_dir(dentry) ? -EISDIR : -ENOTDIR;
    } else {
        victim = d_inode(dentry);
        ihold(victim);
        error = vfs_unlink(d_inode(parent->dentry), dentry);
    }
    end_dirop(dentry);
    // After the directory is unlocked: freeing a file may take long.
    iput(victim);
    return error;
}

/// Walks to the parent of `name` and removes it there by `remove(parent, last, lookup_flags)`. The
/// error for what is no name is `not_a_name(type)`.
template <typename Remove, typename NotAName>
int remove_at(int dfd, const char *name, Remove remove, NotAName not_a_name)
{
    unsigned lookup_flags = 0;
    last_component type;
    filename filename;
    path parent;
    qstr last;
    int error = getname_flags(name, 0, &filename);

    if (error)
        return error;
retry:
    error = filename_parentat(dfd, &filename, lookup_flags, &parent, &last, &type);
    if (error)
        return error;
    error = type == LAST_NORM ? remove(&parent, &last, lookup_flags) : not_a_name(type);
    path_put(&parent);
    if (retry_estale(error, lookup_flags)) {
        lookup_flags |= LOOKUP_REVAL;
        goto retry;
    }
    return error;
}

} // namespace

// Linux v6.19 fs/namei.c do_rmdir().
int do_rmdir(int dfd, const char *name)
{
    return remove_at(dfd, name, rmdir_in, cannot_rmdir);
}

// Linux v6.19 fs/namei.c do_unlinkat().
int do_unlinkat(int dfd, const char *name)
{
    return remove_at(dfd, name, unlink_in, [](last_component) { return -EISDIR; });
}

// --- Moving ---

namespace
{

/// What a rename was asked for, and where it goes.
struct rename_request {
    path old_parent, new_parent;
    qstr old_last, new_last;
    unsigned flags;
    unsigned lookup_flags;
};

/// do_renameat2() once both dentries are known: what forbids this pair. In v6.12's order.
int may_rename_pair(const rename_request &request, const dentry *source, const dentry *target,
                    const dentry *trap)
{
    bool exchange = request.flags & RENAME_EXCHANGE_FLAG;

    if (exchange && !d_is_dir(target) && has_trailing_slash(&request.new_last))
        return -ENOTDIR;
    if (!d_is_dir(source)) {
        if (has_trailing_slash(&request.old_last))
            return -ENOTDIR;
        if (!exchange && has_trailing_slash(&request.new_last))
            return -ENOTDIR;
    }
    return check_trap(trap, source, target, request.flags);
}

/// do_renameat2() between the walks and the end.
int rename_in(const rename_request &request)
{
    dentry *old_parent = request.old_parent.dentry;
    dentry *new_parent = request.new_parent.dentry;
    renamedata rd = {old_parent, nullptr, new_parent, nullptr, request.flags};
    dentry *trap;
    int error = mnt_want_write(request.old_parent.mnt);

    if (error)
        return error;
    error = lock_for_renaming(&rd, request.lookup_flags, &request.old_last, &request.new_last,
                              &trap, "do_renameat2");
    if (error)
        return error;
    dget(old_parent);
    error = may_rename_pair(request, rd.old_dentry, rd.new_dentry, trap);
    if (!error)
        error = vfs_rename(d_inode(old_parent), rd.old_dentry, d_inode(new_parent), rd.new_dentry,
                           request.flags);
    end_renaming(&rd);
    return error;
}

/// What can be told from the two walks alone.
int may_rename_paths(const rename_request &request, last_component old_type,
                     last_component new_type)
{
    if (request.old_parent.mnt != request.new_parent.mnt)
        return -EXDEV;
    if (old_type != LAST_NORM)
        return -EBUSY;
    if (new_type != LAST_NORM)
        return request.flags & RENAME_NOREPLACE_FLAG ? -EEXIST : -EBUSY;
    return 0;
}

} // namespace

// Linux v6.19 fs/namei.c do_renameat2().
int do_renameat2(int old_dfd, const char *old_name, int new_dfd, const char *new_name,
                 unsigned flags)
{
    rename_request request = {};
    last_component old_type, new_type;
    filename from, to;
    bool should_retry;
    int error;

    if (flags & ~(RENAME_NOREPLACE_FLAG | RENAME_EXCHANGE_FLAG | RENAME_WHITEOUT_FLAG))
        return -EINVAL;
    if ((flags & (RENAME_NOREPLACE_FLAG | RENAME_WHITEOUT_FLAG)) && (flags & RENAME_EXCHANGE_FLAG))
        return -EINVAL;
    request.flags = flags;
    error = getname_flags(old_name, 0, &from);
    if (error)
        return error;
retry:
    error = filename_parentat(old_dfd, &from, request.lookup_flags, &request.old_parent,
                              &request.old_last, &old_type);
    if (error)
        return error;
    should_retry = false;
    // The new name's own errors come after those of the walk to the old one.
    error = getname_flags(new_name, 0, &to);
    if (!error)
        error = filename_parentat(new_dfd, &to, request.lookup_flags, &request.new_parent,
                                  &request.new_last, &new_type);
    if (error)
        goto put_old;
    error = may_rename_paths(request, old_type, new_type);
    if (!error)
        error = rename_in(request);
    should_retry = retry_estale(error, request.lookup_flags);
    path_put(&request.new_parent);
put_old:
    path_put(&request.old_parent);
    if (should_retry) {
        request.lookup_flags |= LOOKUP_REVAL;
        goto retry;
    }
    return error;
}

} // namespace dcsim::inline DCSIM_BACKEND
