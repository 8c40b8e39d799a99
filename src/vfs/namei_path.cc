// SPDX-License-Identifier: GPL-2.0-only
//
// Whole walks.
//
// Every walk is tried in RCU mode first. -ECHILD says that RCU mode did not get through: the walk
// is repeated in ref mode, from the beginning. -ESTALE says that a file system's handle is no
// longer good: once more, with LOOKUP_REVAL. What the user sees is the answer of the last try.
#include <cstring>

#include "namei_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

// Linux v6.12 fs/namei.c getname_flags(). Reduced: the caller's string is used, not copied; it has
// to stay as it is until the call returns.
int getname_flags(const char *name, unsigned flags, filename *result)
{
    const size_t length = strnlen(name, PATH_MAX_LENGTH);

    if (unlikely(!length) && !(flags & LOOKUP_EMPTY))
        return -ENOENT;
    if (unlikely(length == PATH_MAX_LENGTH))
        return -ENAMETOOLONG;
    result->name = name;
    return 0;
}

// Linux v6.12 fs/namei.c getname_kernel(). Reduced likewise.
int getname_kernel(const char *name, filename *result)
{
    return getname_flags(name, LOOKUP_EMPTY, result);
}

// Linux v6.12 fs/namei.c set_nameidata().
void set_nameidata(nameidata *nd, int dfd, const filename *name, const path *root)
{
    nameidata *outer = current_nameidata();

    nd->stack = nd->internal;
    nd->depth = 0;
    nd->dfd = dfd;
    nd->name = name;
    nd->path = {nullptr, nullptr};
    nd->total_link_count = outer ? outer->total_link_count : 0;
    nd->saved = outer;
    nd->state = 0;
    if (unlikely(root)) {
        nd->state = ND_ROOT_PRESET;
        nd->root = *root;
    }
    task_private(TASK_PRIVATE_NAMEIDATA) = nd;
}

// Linux v6.12 fs/namei.c restore_nameidata().
void restore_nameidata()
{
    nameidata *now = current_nameidata();
    nameidata *outer = now->saved;

    task_private(TASK_PRIVATE_NAMEIDATA) = outer;
    // A ->get_link() that walks itself uses up the same 40 links.
    if (outer)
        outer->total_link_count = now->total_link_count;
    if (now->stack != now->internal)
        kfree(now->stack);
}

/// path_init() with ND_ROOT_PRESET: from the root that the caller chose.
static const char *start_at_preset_root(nameidata *nd, const char *name)
{
    dentry *root = nd->root.dentry;

    if (*name && unlikely(!d_can_lookup(root)))
        return ERR_PTR(-ENOTDIR);
    nd->path = nd->root;
    nd->inode = d_inode_rcu(root);
    if (nd->flags & LOOKUP_RCU) {
        nd->seq = read_seqcount_begin(&root->d_seq);
        nd->root_seq = nd->seq;
    } else {
        path_get(&nd->path);
    }
    return name;
}

/// path_init() for a relative path without a descriptor. 0, or -ENOENT without a directory.
static int start_at_pwd(nameidata *nd)
{
    fs_struct *fs = current_vfs_task()->fs;

    if (nd->flags & LOOKUP_RCU) {
        assert_rcu_mode(nd);
        get_fs_pwd_rcu_seq(fs, &nd->path, &nd->inode, &nd->seq);
    } else {
        get_fs_pwd(fs, &nd->path);
    }
    if (WARN(!nd->path.dentry, "the task has no working directory: init_mount_tree() or "
                               "set_fs_pwd() gives it one"))
        return -ENOENT;
    if (!(nd->flags & LOOKUP_RCU))
        nd->inode = d_inode(nd->path.dentry);
    return 0;
}

/// May a walk begin at this open file? 0, -ENOENT, -ENOTDIR.
static int may_start_at(const nameidata *nd, const file *file, const char *name)
{
    // Who passes a descriptor on does not pass on the right to give its file another name.
    if ((nd->flags & LOOKUP_LINKAT_EMPTY) && file->f_cred != current_cred() &&
        !capable(CAP_DAC_READ_SEARCH))
        return -ENOENT;
    if (*name && unlikely(!d_can_lookup(file->f_path.dentry)))
        return -ENOTDIR;
    return 0;
}

/// path_init() for a path relative to a descriptor, in RCU mode: without a reference on the file,
/// whose last one must not be dropped here. 0, -EBADF, -ENOENT, -ENOTDIR or -ECHILD.
static int start_at_descriptor_rcu(nameidata *nd, const char *name) __must_hold_shared(rcu)
{
    const file *file = fget_raw_rcu(static_cast<unsigned>(nd->dfd));
    int error;

    if (!file)
        return -EBADF;
    error = may_start_at(nd, file, name);
    nd->path = file->f_path;
    nd->inode = d_inode_rcu(nd->path.dentry);
    nd->seq = read_seqcount_begin(&nd->path.dentry->d_seq);
    // Still open: then the dentry was in use when all this was read, and so it belongs together. If
    // not, even a refusal may come from what the dentry has turned into.
    smp_rmb();
    return likely(READ_ONCE(file->f_count) > 0) ? error : -ECHILD;
}

/// The same in ref mode.
static int start_at_descriptor(nameidata *nd, const char *name)
{
    file *file = fget_raw(static_cast<unsigned>(nd->dfd));
    int error;

    if (!file)
        return -EBADF;
    error = may_start_at(nd, file, name);
    if (!error) {
        nd->path = file->f_path;
        path_get(&nd->path);
        nd->inode = d_inode(nd->path.dentry);
    }
    fput(file);
    return error;
}

/// path_init() for BENEATH and IN_ROOT: the start is the root.
static void make_start_the_root(nameidata *nd)
{
    nd->root = nd->path;
    if (nd->flags & LOOKUP_RCU) {
        nd->root_seq = nd->seq;
    } else {
        path_get(&nd->root);
        nd->state |= ND_ROOT_GRABBED;
    }
}

// Linux v6.12 fs/namei.c path_init().
const char *path_init(nameidata *nd, unsigned flags)
    __context_unsafe("begins the RCU section that leave_rcu() ends, in RCU mode")
{
    const char *name = nd->name->name;
    int error;

    // Only a walk in RCU mode never blocks.
    if ((flags & (LOOKUP_RCU | LOOKUP_CACHED)) == LOOKUP_CACHED)
        return ERR_PTR(-EAGAIN);
    if (!*name)
        flags &= ~LOOKUP_RCU;
    if (flags & LOOKUP_RCU)
        rcu_read_lock();
    else
        nd->seq = nd->next_seq = 0;
    nd->flags = flags;
    nd->state |= ND_JUMPED;

    // Before anything is looked at: what is found later is compared with this moment.
    nd->m_seq = read_seqbegin(&mount_lock);
    nd->r_seq = read_seqbegin(&rename_lock);

    if (nd->state & ND_ROOT_PRESET)
        return start_at_preset_root(nd, name);
    nd->root.mnt = nullptr;

    if (*name == '/' && !(flags & LOOKUP_IN_ROOT)) {
        error = nd_jump_root(nd);
        return unlikely(error) ? ERR_PTR(error) : name;
    }
    if (nd->dfd == AT_FDCWD_VALUE)
        error = start_at_pwd(nd);
    else if (flags & LOOKUP_RCU)
        error = start_at_descriptor_rcu(nd, name);
    else
        error = start_at_descriptor(nd, name);
    if (unlikely(error))
        return ERR_PTR(error);
    if (flags & LOOKUP_IS_SCOPED)
        make_start_the_root(nd);
    return name;
}

/// Takes the component at `name` into nd->last and says what it is. Returns what follows it, or
/// ERR_PTR from ->d_hash.
static const char *next_component(nameidata *nd, const char *name, const char *end)
{
    dentry *parent = nd->path.dentry;

    nd->last.name = reinterpret_cast<const unsigned char *>(name);
    nd->last.hash_len = hash_name(parent, name, end);
    if (unlikely(name[0] == '.') && nd->last.len == 1) {
        nd->last_type = LAST_DOT;
    } else if (unlikely(name[0] == '.') && nd->last.len == 2 && name[1] == '.') {
        nd->last_type = LAST_DOTDOT;
        nd->state |= ND_JUMPED;
    } else {
        nd->last_type = LAST_NORM;
        nd->state &= ~ND_JUMPED;
        if (unlikely(READ_ONCE(parent->d_flags) & DCACHE_OP_HASH)) {
            int error = parent->d_op->d_hash(parent, &nd->last);

            if (error < 0)
                return ERR_PTR(error);
        }
    }
    return name + nd->last.len;
}

// Linux v6.12 fs/namei.c link_path_walk().
int link_path_walk(const char *name, nameidata *nd)
{
    unsigned depth = 0; // never above nd->depth
    const char *end;
    int error;

    nd->last_type = LAST_ROOT;
    nd->flags |= LOOKUP_PARENT;
    if (IS_ERR(name))
        return PTR_ERR(name);
    while (*name == '/')
        name++;
    if (!*name) {
        nd->dir_mode = 0;
        return 0;
    }
    end = name + strlen(name);

    for (;;) {
        const char *link;

        error = may_lookup(nd);
        if (error)
            return error;
        name = next_component(nd, name, end);
        if (IS_ERR(name))
            return PTR_ERR(name);
        while (*name == '/')
            name++;

        if (!*name) {
            if (!depth) {
                nd->dir_uid = READ_ONCE(nd->inode->i_uid);
                nd->dir_mode = READ_ONCE(nd->inode->i_mode);
                nd->flags &= ~LOOKUP_PARENT;
                return 0;
            }
            // The last component of a link; then its rest.
            name = nd->stack[--depth].name;
            end = name + strlen(name);
            link = walk_component(nd, 0);
        } else {
            link = walk_component(nd, WALK_MORE);
        }
        if (unlikely(link)) {
            if (IS_ERR(link))
                return PTR_ERR(link);
            nd->stack[depth++].name = name;
            name = link;
            end = name + strlen(name);
            continue;
        }
        if (unlikely(!d_can_lookup(nd->path.dentry))) {
            if ((nd->flags & LOOKUP_RCU) && !try_to_unlazy(nd))
                return -ECHILD;
            return -ENOTDIR;
        }
    }
}

// Linux v6.12 fs/namei.c lookup_last().
static const char *lookup_last(nameidata *nd)
{
    // "name/" asks for a directory, and for the one that a link leads to.
    if (nd->last_type == LAST_NORM && nd->last.name[nd->last.len])
        nd->flags |= LOOKUP_FOLLOW | LOOKUP_DIRECTORY;
    return walk_component(nd, WALK_TRAILING);
}

// Linux v6.12 fs/namei.c handle_lookup_down().
static int handle_lookup_down(nameidata *nd)
{
    if (!(nd->flags & LOOKUP_RCU))
        dget(nd->path.dentry);
    nd->next_seq = nd->seq;
    return PTR_ERR(step_into(nd, WALK_NOFOLLOW, nd->path.dentry));
}

/// Hands the walk's place and its references over.
static void take_path(nameidata *nd, path *result)
{
    *result = nd->path;
    nd->path = {nullptr, nullptr};
}

// Linux v6.12 fs/namei.c path_lookupat().
int path_lookupat(nameidata *nd, unsigned flags, path *path)
{
    const char *name = path_init(nd, flags);
    int error;

    if (unlikely(flags & LOOKUP_DOWN) && !IS_ERR(name)) {
        error = handle_lookup_down(nd);
        if (unlikely(error < 0))
            name = ERR_PTR(error);
    }
    while (!(error = link_path_walk(name, nd)) && (name = lookup_last(nd)) != nullptr)
        ;
    if (!error && unlikely(nd->flags & LOOKUP_MOUNTPOINT)) {
        error = handle_lookup_down(nd);
        nd->state &= ~ND_JUMPED;
    }
    if (!error)
        error = complete_walk(nd);
    if (!error && (nd->flags & LOOKUP_DIRECTORY) && !d_can_lookup(nd->path.dentry))
        error = -ENOTDIR;
    if (!error)
        take_path(nd, path);
    terminate_walk(nd);
    return error;
}

// Linux v6.12 fs/namei.c path_parentat().
static int path_parentat(nameidata *nd, unsigned flags, path *parent)
{
    const char *name = path_init(nd, flags);
    int error = link_path_walk(name, nd);

    if (!error)
        error = complete_walk(nd);
    if (!error)
        take_path(nd, parent);
    terminate_walk(nd);
    return error;
}

/// The three tries of a walk. Linux v6.12 has this loop in each of its callers.
template <typename Walk>
static int walk_by_ladder(nameidata *nd, unsigned flags, path *result, Walk walk)
{
    int error = walk(nd, flags | LOOKUP_RCU, result);

    if (unlikely(error == -ECHILD)) {
        vfs_count(RCU_RESTARTS);
        error = walk(nd, flags, result);
    }
    if (unlikely(error == -ESTALE)) {
        vfs_count(REVAL_RESTARTS);
        error = walk(nd, flags | LOOKUP_REVAL, result);
    }
    return error;
}

// Linux v6.12 fs/namei.c filename_lookup().
int filename_lookup(int dfd, const filename *name, unsigned flags, path *result, const path *root)
{
    nameidata nd;
    int error;

    set_nameidata(&nd, dfd, name, root);
    error = walk_by_ladder(&nd, flags, result, path_lookupat);
    restore_nameidata();
    return error;
}

// Linux v6.12 fs/namei.c filename_parentat().
int filename_parentat(int dfd, const filename *name, unsigned flags, path *parent, qstr *last,
                      last_component *type)
{
    nameidata nd;
    int error;

    set_nameidata(&nd, dfd, name, nullptr);
    error = walk_by_ladder(&nd, flags, parent, path_parentat);
    if (likely(!error)) {
        *last = nd.last;
        *type = nd.last_type;
    }
    restore_nameidata();
    return error;
}

// Linux v6.12 fs/namei.c user_path_at().
int user_path_at(int dfd, const char *name, unsigned flags, path *result)
{
    filename filename;
    int error = getname_flags(name, flags, &filename);

    return error ? error : filename_lookup(dfd, &filename, flags, result, nullptr);
}

// Linux v6.12 fs/namei.c kern_path().
int kern_path(const char *name, unsigned flags, path *result)
{
    filename filename;
    int error = getname_kernel(name, &filename);

    return error ? error : filename_lookup(AT_FDCWD_VALUE, &filename, flags, result, nullptr);
}

// Linux v6.12 fs/namei.c vfs_path_lookup().
int vfs_path_lookup(dentry *dentry, vfsmount *mnt, const char *name, unsigned flags, path *result)
{
    const path root = {mnt, dentry};
    filename filename;
    int error = getname_kernel(name, &filename);

    return error ? error : filename_lookup(AT_FDCWD_VALUE, &filename, flags, result, &root);
}

} // namespace dcsim::inline DCSIM_BACKEND
