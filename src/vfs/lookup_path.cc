// SPDX-License-Identifier: GPL-2.0-only
//
// Walking a tree of dentries without everything around it: no tasks, mounts, links or permissions.
// What the kernel's own users do with lookup_noperm_unlocked(), one component after the other.
#include <cstring>

#include "dcsim/vfs/namei.h"
#include "dcsim/vfs/super.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// One step down (or up, for ".."). Consumes the reference on `directory`.
dentry *walk_one(dentry *directory, const char *name, u32 length)
{
    dentry *next;

    if (!d_can_lookup(directory)) {
        dput(directory);
        return ERR_PTR(-ENOTDIR);
    }
    if (length == 1 && name[0] == '.')
        return directory;
    if (length == 2 && name[0] == '.' && name[1] == '.') {
        next = dget_parent(directory);
    } else {
        qstr q = make_qstr(name, length);
        next = lookup_noperm_unlocked(&q, directory);
    }
    dput(directory);
    if (IS_ERR(next))
        return next;
    if (d_is_negative(next)) {
        dput(next);
        return ERR_PTR(-ENOENT);
    }
    return next;
}

} // namespace

dentry *lookup_path(dentry *start, const char *path, size_t length)
{
    const char *end = path + length;
    dentry *at;

    if (!length)
        return ERR_PTR(-ENOENT);
    if (length >= PATH_MAX_LENGTH)
        return ERR_PTR(-ENAMETOOLONG);
    if (memchr(path, 0, length))
        return ERR_PTR(-EINVAL);

    at = dget(*path == '/' ? start->d_sb->s_root : start);
    while (path < end) {
        u32 component;

        if (*path == '/') {
            path++;
            continue;
        }
        component = hashlen_len(hash_name(at, path, end));
        at = walk_one(at, path, component);
        if (IS_ERR(at))
            return at;
        path += component;
    }
    // "name/" asks for a directory.
    if (end[-1] == '/' && !d_can_lookup(at)) {
        dput(at);
        return ERR_PTR(-ENOTDIR);
    }
    return at;
}

} // namespace dcsim::inline DCSIM_BACKEND
