// SPDX-License-Identifier: GPL-2.0-only
//
// What can be changed on a server, by whoever has the file ids.
#include "dcsim/kernel/bug.h"
#include "server_tree_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// An open of something that is there: 0 or a negative errno.
int open_object(const server_object *object, server_attributes *out)
{
    if (object->is_directory())
        return -EISDIR;
    if (S_ISLNK_mode(object->mode))
        return -ELOOP;
    if (!S_ISREG_mode(object->mode))
        return -EEXIST;
    server_fill_attributes(object, out);
    return 0;
}

} // namespace

int server_create_locked(server_tree *server, u64 directory, server_name *name,
                         server_object *object, bool excl, server_attributes *out, bool *made)
    __must_hold(&server->lock)
{
    server_object *dir;
    server_name *found;
    int error = server_find_directory(server, directory, &dir);

    *made = false;
    if (error)
        return error;
    found = server_find_name(dir, name->key());
    if (found) {
        if (excl || !S_ISREG_mode(object->mode))
            return -EEXIST;
        return open_object(found->object, out);
    }
    server_add_object(server, object);
    server_attach_name(server, dir, name, object);
    server_fill_attributes(object, out);
    *made = true;
    return 0;
}

int server_create(server_tree *server, u64 directory, const char *name, size_t length, umode_t mode,
                  const char *body, bool excl, server_attributes *out, server_change_info *info)
{
    const name_key key = {name, length};
    int error = check_name(key);
    bool made = false;
    server_name *fresh;
    server_object *object;

    if (error)
        return error;
    fresh = server_new_name(key);
    object = server_new_object(mode, body);
    error = -ENOMEM;
    if (fresh && object) {
        server_request request(server);
        u64 before = server_change_of(server, directory);
        error = server_create_locked(server, directory, fresh, object, excl, out, &made);
        if (!error && info)
            *info = {before, server_change_of(server, directory)};
    }
    if (!made) {
        server_free_name(fresh);
        server_free_object(object);
    }
    return error;
}

namespace
{

/// One more name for an object. Takes `name` over when it succeeds.
int link_locked(server_tree *server, u64 fileid, u64 directory, server_name *name,
                bool directory_wanted, server_attributes *out) __must_hold(&server->lock)
{
    server_object *dir, *object;
    int error = server_find_directory(server, directory, &dir);

    if (error)
        return error;
    object = server_find_object(server, fileid);
    if (!object)
        return -ESTALE;
    if (object->is_directory() != directory_wanted)
        return directory_wanted ? -ENOTDIR : -EPERM;
    if (server_find_name(dir, name->key()))
        return -EEXIST;
    server_attach_name(server, dir, name, object);
    server_fill_attributes(object, out);
    return 0;
}

int add_link(server_tree *server, u64 fileid, u64 directory, const name_key &key,
             bool directory_wanted, server_attributes *out, server_change_info *info)
{
    int error = check_name(key);
    server_name *fresh;

    if (error)
        return error;
    fresh = server_new_name(key);
    if (!fresh)
        return -ENOMEM;
    {
        server_request request(server);
        u64 before = server_change_of(server, directory);
        error = link_locked(server, fileid, directory, fresh, directory_wanted, out);
        if (!error && info)
            *info = {before, server_change_of(server, directory)};
    }
    if (error)
        server_free_name(fresh);
    return error;
}

} // namespace

int server_link(server_tree *server, u64 fileid, u64 directory, const char *name, size_t length,
                server_attributes *out, server_change_info *info)
{
    return add_link(server, fileid, directory, {name, length}, false, out, info);
}

int server_add_directory_name(server_tree *server, u64 fileid, u64 directory, const char *name,
                              size_t length)
{
    return add_link(server, fileid, directory, {name, length}, true, nullptr, nullptr);
}

int server_remove_locked(server_tree *server, u64 directory, const name_key &key,
                         bool directory_wanted, server_loss *lost) __must_hold(&server->lock)
{
    server_object *dir, *object;
    server_name *name;
    int error = server_find_directory(server, directory, &dir);

    if (error)
        return error;
    name = server_find_name(dir, key);
    if (!name)
        return -ENOENT;
    object = name->object;
    if (object->is_directory() != directory_wanted)
        return directory_wanted ? -ENOTDIR : -EISDIR;
    if (!object->entries.empty())
        return -ENOTEMPTY;
    server_detach_name(server, name);
    *lost = server_note_loss(server, object);
    return 0;
}

int server_remove(server_tree *server, u64 directory, const char *name, size_t length,
                  bool directory_wanted, server_change_info *info)
{
    server_request request(server);
    u64 before = server_change_of(server, directory);
    server_loss lost;
    int error = server_remove_locked(server, directory, {name, length}, directory_wanted, &lost);

    if (!error && info)
        *info = {before, server_change_of(server, directory), lost};
    return error;
}

namespace
{

/// May `object` take the place of what `target` stands for? 0 or a negative errno.
int check_replacement(const server_object *object, const server_object *target)
{
    if (object->is_directory() && !target->is_directory())
        return -ENOTDIR;
    if (!object->is_directory() && target->is_directory())
        return -EISDIR;
    return target->entries.empty() ? 0 : -ENOTEMPTY;
}

/// `name` stands for `object` from now on.
void point_name(server_tree *server, server_name *name, server_object *object)
    __must_hold(&server->lock)
{
    server_count_link(name->directory, name->object, -1);
    name->object = object;
    server_count_link(name->directory, object, 1);
    list_del_init(&name->object_list);
    list_add_tail(&name->object_list, &object->names);
    server_changed(server, name->directory);
    server_changed(server, object);
}

} // namespace

int server_rename_locked(server_tree *server, u64 old_directory, const name_key &old_key,
                         u64 new_directory, server_name *fresh, unsigned flags, bool *used,
                         server_loss *lost) __must_hold(&server->lock)
{
    server_object *old_dir, *new_dir, *object;
    server_name *name, *target_name;
    int error = server_find_directory(server, old_directory, &old_dir);

    *used = false;
    *lost = {};
    if (!error)
        error = server_find_directory(server, new_directory, &new_dir);
    if (error)
        return error;
    name = server_find_name(old_dir, old_key);
    target_name = server_find_name(new_dir, fresh->key());
    if (!name || ((flags & RENAME_EXCHANGE_FLAG) && !target_name))
        return -ENOENT;
    object = name->object;
    if (target_name && (flags & RENAME_NOREPLACE_FLAG))
        return -EEXIST;
    if (target_name && target_name->object == object)
        return 0;
    if (server_is_below(server, new_dir, object))
        return -EINVAL;

    if (flags & RENAME_EXCHANGE_FLAG) {
        server_object *other = target_name->object;
        if (server_is_below(server, old_dir, other))
            return -EINVAL;
        point_name(server, target_name, object);
        point_name(server, name, other);
        return 0;
    }
    if (target_name) {
        server_object *target = target_name->object;
        error = check_replacement(object, target);
        if (error)
            return error;
        server_detach_name(server, target_name);
        *lost = server_note_loss(server, target);
    }
    server_attach_name(server, new_dir, fresh, object);
    server_detach_name(server, name);
    *used = true;
    return 0;
}

int server_rename(server_tree *server, u64 old_directory, const char *old_name, size_t old_length,
                  u64 new_directory, const char *new_name, size_t new_length, unsigned flags,
                  server_change_info *old_info, server_change_info *new_info)
{
    const name_key new_key = {new_name, new_length};
    int error = check_name(new_key);
    bool used;
    server_name *fresh;

    if (error)
        return error;
    if (flags & ~(RENAME_NOREPLACE_FLAG | RENAME_EXCHANGE_FLAG))
        return -EINVAL;
    fresh = server_new_name(new_key);
    if (!fresh)
        return -ENOMEM;
    {
        server_request request(server);
        u64 old_before = server_change_of(server, old_directory);
        u64 new_before = server_change_of(server, new_directory);
        server_loss lost;
        error = server_rename_locked(server, old_directory, {old_name, old_length}, new_directory,
                                     fresh, flags, &used, &lost);
        if (!error && old_info)
            *old_info = {old_before, server_change_of(server, old_directory)};
        if (!error && new_info)
            *new_info = {new_before, server_change_of(server, new_directory), lost};
    }
    if (!used)
        server_free_name(fresh);
    return error;
}

int server_setattr(server_tree *server, u64 fileid, umode_t permissions, server_attributes *out)
{
    server_object *object;

    server_request request(server);
    object = server_find_object(server, fileid);
    if (!object)
        return -ESTALE;
    object->mode =
        static_cast<umode_t>((object->mode & S_IFMT_MASK) | (permissions & S_IALLUGO_BITS));
    server_changed(server, object);
    server_fill_attributes(object, out);
    return 0;
}

} // namespace dcsim::inline DCSIM_BACKEND
