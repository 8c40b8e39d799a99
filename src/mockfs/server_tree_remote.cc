// SPDX-License-Identifier: GPL-2.0-only
//
// What others change on a server, by paths.
#include <cstring>

#include "dcsim/mockfs/mock_filesystem.h"
#include "server_tree_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// A new regular file in place of what `place` is, which must be no directory. Takes both over when
/// it succeeds and *made is then true.
int replace_locked(server_tree *server, const server_place &place, server_name *name,
                   server_object *object, bool *made) __must_hold(&server->lock)
{
    server_name *old = server_find_name(server_find_object(server, place.directory), place.name);
    server_object *dir, *replaced;

    if (!old)
        return -ENOENT;
    if (old->object->is_directory())
        return -EISDIR;
    dir = old->directory;
    replaced = old->object;
    server_detach_name(server, old);
    server_note_loss(server, replaced);
    server_add_object(server, object);
    server_attach_name(server, dir, name, object);
    *made = true;
    return 0;
}

/// unlink() or rmdir(), whichever it takes.
int remove_any_locked(server_tree *server, const server_place &place) __must_hold(&server->lock)
{
    server_loss lost;
    int error = server_remove_locked(server, place.directory, place.name, false, &lost);

    return error == -EISDIR ? server_remove_locked(server, place.directory, place.name, true, &lost)
                            : error;
}

/// What a change may need: allocated before the lock is taken, freed after it if it was not used.
struct change_parts {
    server_name *name;
    server_object *object;
    bool name_used;
    bool object_used;
};

int change_locked(server_tree *server, remote_change what, const char *path,
                  const char *second_path, change_parts *parts) __must_hold(&server->lock)
{
    server_place from, to;
    server_loss lost;
    int error = server_find_place(server, path, &from);

    if (error)
        return error;
    switch (what) {
    case remote_change::create:
    case remote_change::mkdir:
        error = server_create_locked(server, from.directory, parts->name, parts->object, true,
                                     nullptr, &parts->object_used);
        parts->name_used = parts->object_used;
        return error;
    case remote_change::replace:
        error = replace_locked(server, from, parts->name, parts->object, &parts->object_used);
        parts->name_used = parts->object_used;
        return error;
    case remote_change::remove:
        return remove_any_locked(server, from);
    case remote_change::rename:
        error = server_find_place(server, second_path, &to);
        if (error)
            return error;
        return server_rename_locked(server, from.directory, from.name, to.directory, parts->name, 0,
                                    &parts->name_used, &lost);
    }
    return -EINVAL;
}

/// The last component of a path, empty when there is none.
name_key last_component(const char *path)
{
    const char *end = path + strlen(path);
    const char *begin;

    while (end > path && end[-1] == '/')
        end--;
    for (begin = end; begin > path && begin[-1] != '/';)
        begin--;
    return {begin, static_cast<size_t>(end - begin)};
}

} // namespace

int server_remote_change(server_tree *server, remote_change what, const char *path,
                         const char *second_path)
{
    const name_key key = last_component(second_path ? second_path : path);
    const umode_t mode = what == remote_change::mkdir ? S_IFDIR_TYPE | 0755 : S_IFREG_TYPE | 0644;
    int error = check_name(key);
    change_parts parts = {};

    if (error)
        return error;
    parts.name = server_new_name(key);
    parts.object = server_new_object(mode, nullptr);
    error = -ENOMEM;
    if (parts.name && parts.object) {
        server_request request(server);
        error = change_locked(server, what, path, second_path, &parts);
    }
    if (!parts.name_used)
        server_free_name(parts.name);
    if (!parts.object_used)
        server_free_object(parts.object);
    return error;
}

} // namespace dcsim::inline DCSIM_BACKEND
