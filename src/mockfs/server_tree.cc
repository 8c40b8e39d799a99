// SPDX-License-Identifier: GPL-2.0-only
//
// The server's tree: objects by file id, and in each directory its names.
//
// Locking
//   server->lock guards   everything: objects, names, numbers. A leaf: under it nothing sleeps, is
//                         allocated or asked of anybody, so it may be taken wherever a task may
//                         sleep. One lock, because a server has one order in which things happened.
//
// A call that makes something allocates it before the section and frees what was not used after it;
// memory that falls out of the tree is freed in the section, which nobody can wait for.
//
// An object has a list of its names, the oldest first. That of a directory has one, or two after
// server_add_directory_name(), and ".." is where the oldest is.
#include "dcsim/mockfs/server_tree.h"

#include <cstring>
#include <new>

#include <strings.h>

#include <boost/intrusive/set.hpp>

#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/err.h"
#include "dcsim/kernel/list.h"
#include "dcsim/kernel/once.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/kernel/spinlock.h"
#include "dcsim/mockfs/mock_filesystem.h"
#include "dcsim/vfs/inode.h"
#include "name_key.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

namespace intrusive = boost::intrusive;

using set_hook = intrusive::set_member_hook<intrusive::link_mode<intrusive::normal_link>>;

struct server_object;

/// One name in one directory. The text, not NUL-terminated, follows the structure.
struct server_name {
    set_hook link;
    set_hook cookie_link;
    list_head object_list; ///< in object->names
    server_object *directory;
    server_object *object;
    u64 cookie; ///< of its directory the only one
    size_t length;

    char *text()
    {
        return reinterpret_cast<char *>(this + 1);
    }
    name_key key() const
    {
        return {reinterpret_cast<const char *>(this + 1), length};
    }
};

using name_set = intrusive::set<server_name, intrusive::compare<name_order<server_name>>,
                                intrusive::constant_time_size<false>,
                                intrusive::member_hook<server_name, set_hook, &server_name::link>>;

struct cookie_of_name {
    using type = u64;
    u64 operator()(const server_name &name) const
    {
        return name.cookie;
    }
};
using cookie_set =
    intrusive::set<server_name, intrusive::key_of_value<cookie_of_name>,
                   intrusive::constant_time_size<false>,
                   intrusive::member_hook<server_name, set_hook, &server_name::cookie_link>>;

/// A file, directory or link. The body of a link, NUL-terminated, follows the structure.
struct server_object {
    set_hook link; ///< in server->objects
    u64 fileid;    ///< constant
    umode_t mode;
    unsigned nlink;
    u64 change;
    int64_t size; ///< constant
    list_head names;

    // Of a directory.
    name_set entries;
    cookie_set cookies; ///< the same names
    u64 last_cookie;

    char *body()
    {
        return reinterpret_cast<char *>(this + 1);
    }
    bool is_directory() const
    {
        return S_ISDIR_mode(mode);
    }
};

struct fileid_of_object {
    using type = u64;
    u64 operator()(const server_object &object) const
    {
        return object.fileid;
    }
};
using object_set =
    intrusive::set<server_object, intrusive::key_of_value<fileid_of_object>,
                   intrusive::constant_time_size<false>,
                   intrusive::member_hook<server_object, set_hook, &server_object::link>>;

} // namespace

struct server_tree {
    spinlock_t lock;
    object_set objects __guarded_by(lock);
    long object_count __guarded_by(lock);
    u64 last_fileid __guarded_by(lock);
    u64 changes __guarded_by(lock); ///< the last number given to an object's `change`
    u64 root;                       ///< constant
    once<u64> delay;                ///< microseconds
};

namespace
{

/// One request: it arrives, which is the point where others may come first, takes its time, and is
/// carried out in one section of the server's lock.
class DCSIM_ATTRIBUTE(scoped_lockable) request
{
  public:
    explicit request(server_tree *server) __acquires(&server->lock) : server_(server)
    {
        u64 delay = READ_ONCE(server->delay);

        cond_resched();
        if (delay)
            sleep_for_microseconds(delay);
        spin_lock(&server_->lock);
    }
    ~request() __releases()
    {
        spin_unlock(&server_->lock);
    }
    request(const request &) = delete;
    request &operator=(const request &) = delete;

  private:
    server_tree *server_;
};

// --- Memory. No lock is needed: what these make or free is in no tree. ---

server_name *new_name(const name_key &key)
{
    void *memory = kmalloc(sizeof(server_name) + key.length);
    server_name *name;

    if (!memory)
        return nullptr;
    name = new (memory) server_name();
    name->length = key.length;
    memcpy(name->text(), key.text, key.length);
    return name;
}

void free_name(server_name *name)
{
    if (!name)
        return;
    name->~server_name();
    kfree(name);
}

server_object *new_object(umode_t mode, const char *body)
{
    size_t length = body ? strlen(body) : 0;
    void *memory = kmalloc(sizeof(server_object) + length + 1);
    server_object *object;

    if (!memory)
        return nullptr;
    object = new (memory) server_object();
    object->mode = mode;
    object->size = static_cast<int64_t>(length);
    object->nlink = S_ISDIR_mode(mode) ? 2 : 0;
    INIT_LIST_HEAD(&object->names);
    memcpy(object->body(), body ? body : "", length + 1);
    return object;
}

void free_object(server_object *object)
{
    if (!object)
        return;
    object->~server_object();
    kfree(object);
}

// --- The tree ---

/// nullptr when there is none.
server_object *find_object(server_tree *server, u64 fileid) __must_hold(&server->lock)
{
    auto found = server->objects.find(fileid);

    return found == server->objects.end() ? nullptr : &*found;
}

/// The directory of this id: 0 or a negative errno.
int find_directory(server_tree *server, u64 fileid, server_object **directory)
    __must_hold(&server->lock)
{
    *directory = find_object(server, fileid);
    if (!*directory)
        return -ESTALE;
    return (*directory)->is_directory() ? 0 : -ENOTDIR;
}

/// nullptr when the directory has none of that name.
server_name *find_name(server_object *directory, const name_key &key)
{
    auto found = directory->entries.find(key, name_order<server_name>());

    return found == directory->entries.end() ? nullptr : &*found;
}

void changed(server_tree *server, server_object *object) __must_hold(&server->lock)
{
    object->change = ++server->changes;
}

/// Into the set of objects, with a new file id.
void add_object(server_tree *server, server_object *object) __must_hold(&server->lock)
{
    object->fileid = ++server->last_fileid;
    changed(server, object);
    server->object_count++;
    WARN_ON(!server->objects.insert(*object).second);
}

/// A name of `object` came to `directory` or went: the object's link, or the one that the ".." of a
/// directory is.
void count_link(server_object *directory, server_object *object, int change)
{
    unsigned *nlink = object->is_directory() ? &directory->nlink : &object->nlink;

    *nlink += static_cast<unsigned>(change);
}

/// Puts `name` into `directory`, which must not have it.
void attach_name(server_tree *server, server_object *directory, server_name *name,
                 server_object *object) __must_hold(&server->lock)
{
    name->directory = directory;
    name->object = object;
    name->cookie = ++directory->last_cookie;
    WARN_ON(!directory->entries.insert(*name).second);
    WARN_ON(!directory->cookies.insert(*name).second);
    list_add_tail(&name->object_list, &object->names);
    count_link(directory, object, 1);
    changed(server, directory);
    changed(server, object);
}

/// Takes a name away and frees it.
void detach_name(server_tree *server, server_name *name) __must_hold(&server->lock)
{
    server_object *directory = name->directory;

    directory->entries.erase(directory->entries.iterator_to(*name));
    directory->cookies.erase(directory->cookies.iterator_to(*name));
    list_del_init(&name->object_list);
    count_link(directory, name->object, -1);
    changed(server, directory);
    changed(server, name->object);
    free_name(name);
}

/// The object goes when it has no name left.
void drop_unnamed(server_tree *server, server_object *object) __must_hold(&server->lock)
{
    if (!list_empty(&object->names))
        return;
    server->objects.erase(server->objects.iterator_to(*object));
    server->object_count--;
    free_object(object);
}

/// Where ".." leads; the root is in itself.
server_object *parent_of(server_object *directory)
{
    if (list_empty(&directory->names))
        return directory;
    return container_of(list_first(&directory->names), server_name, object_list)->directory;
}

/// Is `directory` in or below `ancestor`? Second names can make a circle of the ways up.
bool is_below(server_tree *server, server_object *directory, const server_object *ancestor)
    __must_hold(&server->lock)
{
    for (long steps = server->object_count; steps > 0; steps--) {
        if (directory == ancestor)
            return true;
        directory = parent_of(directory);
    }
    return false;
}

void fill_attributes(const server_object *object, server_attributes *out)
{
    if (out)
        *out = {object->fileid, object->mode, object->nlink, object->change, object->size};
}

void fill_entry(server_name *name, server_entry *out)
{
    fill_attributes(name->object, &out->attributes);
    out->cookie = name->cookie;
    out->length = static_cast<u32>(name->length);
    memcpy(out->name, name->text(), name->length);
    out->name[name->length] = 0;
}

/// The change number of a directory that may have gone; 0 then.
u64 change_of(server_tree *server, u64 directory) __must_hold(&server->lock)
{
    server_object *object = find_object(server, directory);

    return object ? object->change : 0;
}

/// Can anything be called so? 0 or a negative errno.
int check_new_name(const name_key &key)
{
    if (key.length > NAME_MAX_LENGTH)
        return -ENAMETOOLONG;
    return is_no_name(key) ? -EINVAL : 0;
}

} // namespace

server_tree *server_tree_create(u64 first_fileid)
{
    void *memory = kmalloc(sizeof(server_tree));
    server_object *root = new_object(S_IFDIR_TYPE | 0755, nullptr);
    server_tree *server;

    if (!memory || !root) {
        kfree(memory);
        free_object(root);
        return nullptr;
    }
    server = new (memory) server_tree();
    spin_lock_init(&server->lock, "server_tree.lock");
    server->root = first_fileid;
    spin_lock(&server->lock);
    server->last_fileid = first_fileid - 1;
    add_object(server, root);
    spin_unlock(&server->lock);
    return server;
}

void server_tree_destroy(server_tree *server) __context_unsafe("nobody uses it any more")
{
    // Names first: they are in sets of objects.
    for (server_object &object : server->objects)
        object.cookies.clear();
    for (server_object &object : server->objects)
        object.entries.clear_and_dispose(free_name);
    server->objects.clear_and_dispose(free_object);
    server->~server_tree();
    kfree(server);
}

void server_set_delay(server_tree *server, u64 microseconds)
{
    WRITE_ONCE(server->delay, microseconds);
}

u64 server_root(const server_tree *server)
{
    return server->root;
}

long server_object_count(server_tree *server)
{
    long count;

    spin_lock(&server->lock);
    count = server->object_count;
    spin_unlock(&server->lock);
    return count;
}

// --- Questions ---

int server_lookup(server_tree *server, u64 directory, const char *name, size_t length,
                  server_attributes *out)
{
    server_object *dir;
    server_name *found;
    int error;

    if (length > NAME_MAX_LENGTH)
        return -ENAMETOOLONG;

    request request(server);
    error = find_directory(server, directory, &dir);
    if (error)
        return error;
    found = find_name(dir, {name, length});
    if (!found)
        return -ENOENT;
    fill_attributes(found->object, out);
    return 0;
}

int server_lookup_nocase(server_tree *server, u64 directory, const char *name, size_t length,
                         server_entry *out)
{
    server_object *dir;
    int error;

    if (length > NAME_MAX_LENGTH)
        return -ENAMETOOLONG;

    request request(server);
    error = find_directory(server, directory, &dir);
    if (error)
        return error;
    for (server_name &candidate : dir->cookies)
        if (candidate.length == length && strncasecmp(candidate.text(), name, length) == 0) {
            fill_entry(&candidate, out);
            return 0;
        }
    return -ENOENT;
}

int server_getattr(server_tree *server, u64 fileid, server_attributes *out)
{
    server_object *object;

    request request(server);
    object = find_object(server, fileid);
    if (!object)
        return -ESTALE;
    fill_attributes(object, out);
    return 0;
}

int server_readlink(server_tree *server, u64 fileid, char *buffer, size_t size)
{
    server_object *object;

    request request(server);
    object = find_object(server, fileid);
    if (!object)
        return -ESTALE;
    if (!S_ISLNK_mode(object->mode))
        return -EINVAL;
    if (static_cast<size_t>(object->size) >= size)
        return -ENAMETOOLONG;
    memcpy(buffer, object->body(), static_cast<size_t>(object->size) + 1);
    return static_cast<int>(object->size);
}

int server_readdir(server_tree *server, u64 directory, u64 cookie, server_entry *out)
{
    server_object *dir;
    int error;

    request request(server);
    error = find_directory(server, directory, &dir);
    if (error)
        return error;
    auto next = dir->cookies.upper_bound(cookie);
    if (next == dir->cookies.end())
        return 0;
    fill_entry(&*next, out);
    return 1;
}

int server_parent(server_tree *server, u64 directory, u64 *parent)
{
    server_object *dir;
    int error;

    request request(server);
    error = find_directory(server, directory, &dir);
    if (!error)
        *parent = parent_of(dir)->fileid;
    return error;
}

namespace
{

/// The last component of a path, and the directory that it is in.
struct place {
    u64 directory;
    name_key name; ///< length 0: the path is "/"
};

/// Where `path` leads, without looking whether its last component is there. 0 or a negative errno.
int find_place(server_tree *server, const char *path, place *result) __must_hold(&server->lock)
{
    server_object *object = find_object(server, server->root);
    name_key name = {path, 0};

    for (;;) {
        const char *end;

        while (*path == '/')
            path++;
        if (!*path)
            break;
        if (name.length) {
            server_name *found = find_name(object, name);
            if (!found)
                return -ENOENT;
            object = found->object;
        }
        if (!object->is_directory())
            return -ENOTDIR;
        end = strchrnul(path, '/');
        name = {path, static_cast<size_t>(end - path)};
        if (name.length > NAME_MAX_LENGTH)
            return -ENAMETOOLONG;
        path = end;
    }
    *result = {object->fileid, name};
    return 0;
}

} // namespace

int server_find(server_tree *server, const char *path, server_attributes *out)
{
    server_object *object;
    place place;
    int error;

    request request(server);
    error = find_place(server, path, &place);
    if (error)
        return error;
    object = find_object(server, place.directory);
    if (place.name.length) {
        server_name *found = find_name(object, place.name);
        if (!found)
            return -ENOENT;
        object = found->object;
    }
    fill_attributes(object, out);
    return 0;
}

// --- Changes ---

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
    fill_attributes(object, out);
    return 0;
}

/// server_create() with what it needs. Takes the two over when it succeeds and *made is then true.
int create_locked(server_tree *server, u64 directory, server_name *name, server_object *object,
                  bool excl, server_attributes *out, bool *made) __must_hold(&server->lock)
{
    server_object *dir;
    server_name *found;
    int error = find_directory(server, directory, &dir);

    *made = false;
    if (error)
        return error;
    found = find_name(dir, name->key());
    if (found) {
        if (excl || !S_ISREG_mode(object->mode))
            return -EEXIST;
        return open_object(found->object, out);
    }
    add_object(server, object);
    attach_name(server, dir, name, object);
    fill_attributes(object, out);
    *made = true;
    return 0;
}

} // namespace

int server_create(server_tree *server, u64 directory, const char *name, size_t length, umode_t mode,
                  const char *body, bool excl, server_attributes *out, server_change_info *info)
{
    const name_key key = {name, length};
    int error = check_new_name(key);
    bool made = false;
    server_name *fresh;
    server_object *object;

    if (error)
        return error;
    fresh = new_name(key);
    object = new_object(mode, body);
    error = -ENOMEM;
    if (fresh && object) {
        request request(server);
        u64 before = change_of(server, directory);
        error = create_locked(server, directory, fresh, object, excl, out, &made);
        if (!error && info)
            *info = {before, change_of(server, directory)};
    }
    if (!made) {
        free_name(fresh);
        free_object(object);
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
    int error = find_directory(server, directory, &dir);

    if (error)
        return error;
    object = find_object(server, fileid);
    if (!object)
        return -ESTALE;
    if (object->is_directory() != directory_wanted)
        return directory_wanted ? -ENOTDIR : -EPERM;
    if (find_name(dir, name->key()))
        return -EEXIST;
    attach_name(server, dir, name, object);
    fill_attributes(object, out);
    return 0;
}

int add_link(server_tree *server, u64 fileid, u64 directory, const name_key &key,
             bool directory_wanted, server_attributes *out, server_change_info *info)
{
    int error = check_new_name(key);
    server_name *fresh;

    if (error)
        return error;
    fresh = new_name(key);
    if (!fresh)
        return -ENOMEM;
    {
        request request(server);
        u64 before = change_of(server, directory);
        error = link_locked(server, fileid, directory, fresh, directory_wanted, out);
        if (!error && info)
            *info = {before, change_of(server, directory)};
    }
    if (error)
        free_name(fresh);
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

namespace
{

int remove_locked(server_tree *server, u64 directory, const name_key &key, bool directory_wanted)
    __must_hold(&server->lock)
{
    server_object *dir, *object;
    server_name *name;
    int error = find_directory(server, directory, &dir);

    if (error)
        return error;
    name = find_name(dir, key);
    if (!name)
        return -ENOENT;
    object = name->object;
    if (object->is_directory() != directory_wanted)
        return directory_wanted ? -ENOTDIR : -EISDIR;
    if (!object->entries.empty())
        return -ENOTEMPTY;
    detach_name(server, name);
    drop_unnamed(server, object);
    return 0;
}

} // namespace

int server_remove(server_tree *server, u64 directory, const char *name, size_t length,
                  bool directory_wanted, server_change_info *info)
{
    request request(server);
    u64 before = change_of(server, directory);
    int error = remove_locked(server, directory, {name, length}, directory_wanted);

    if (!error && info)
        *info = {before, change_of(server, directory)};
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
    count_link(name->directory, name->object, -1);
    name->object = object;
    count_link(name->directory, object, 1);
    list_del_init(&name->object_list);
    list_add_tail(&name->object_list, &object->names);
    changed(server, name->directory);
    changed(server, object);
}

/// server_rename(); `fresh` has the new name and is taken over when *used is then true.
int rename_locked(server_tree *server, u64 old_directory, const name_key &old_key,
                  u64 new_directory, server_name *fresh, unsigned flags, bool *used)
    __must_hold(&server->lock)
{
    server_object *old_dir, *new_dir, *object;
    server_name *name, *target_name;
    int error = find_directory(server, old_directory, &old_dir);

    *used = false;
    if (!error)
        error = find_directory(server, new_directory, &new_dir);
    if (error)
        return error;
    name = find_name(old_dir, old_key);
    target_name = find_name(new_dir, fresh->key());
    if (!name || ((flags & RENAME_EXCHANGE_FLAG) && !target_name))
        return -ENOENT;
    object = name->object;
    if (target_name && (flags & RENAME_NOREPLACE_FLAG))
        return -EEXIST;
    if (target_name && target_name->object == object)
        return 0;
    if (is_below(server, new_dir, object))
        return -EINVAL;

    if (flags & RENAME_EXCHANGE_FLAG) {
        server_object *other = target_name->object;
        if (is_below(server, old_dir, other))
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
        detach_name(server, target_name);
        drop_unnamed(server, target);
    }
    attach_name(server, new_dir, fresh, object);
    detach_name(server, name);
    *used = true;
    return 0;
}

} // namespace

int server_rename(server_tree *server, u64 old_directory, const char *old_name, size_t old_length,
                  u64 new_directory, const char *new_name, size_t new_length, unsigned flags,
                  server_change_info *old_info, server_change_info *new_info)
{
    const name_key new_key = {new_name, new_length};
    int error = check_new_name(new_key);
    bool used;
    server_name *fresh;

    if (error)
        return error;
    if (flags & ~(RENAME_NOREPLACE_FLAG | RENAME_EXCHANGE_FLAG))
        return -EINVAL;
    fresh = dcsim::new_name(new_key);
    if (!fresh)
        return -ENOMEM;
    {
        request request(server);
        u64 old_before = change_of(server, old_directory);
        u64 new_before = change_of(server, new_directory);
        error = rename_locked(server, old_directory, {old_name, old_length}, new_directory, fresh,
                              flags, &used);
        if (!error && old_info)
            *old_info = {old_before, change_of(server, old_directory)};
        if (!error && new_info)
            *new_info = {new_before, change_of(server, new_directory)};
    }
    if (!used)
        free_name(fresh);
    return error;
}

int server_setattr(server_tree *server, u64 fileid, umode_t permissions, server_attributes *out)
{
    server_object *object;

    request request(server);
    object = find_object(server, fileid);
    if (!object)
        return -ESTALE;
    object->mode =
        static_cast<umode_t>((object->mode & S_IFMT_MASK) | (permissions & S_IALLUGO_BITS));
    changed(server, object);
    fill_attributes(object, out);
    return 0;
}

namespace
{

/// A new regular file in place of what `place` is, which must be no directory. Takes both over when
/// it succeeds and *made is then true.
int replace_locked(server_tree *server, const place &place, server_name *name,
                   server_object *object, bool *made) __must_hold(&server->lock)
{
    server_name *old = find_name(find_object(server, place.directory), place.name);
    server_object *dir, *replaced;

    if (!old)
        return -ENOENT;
    if (old->object->is_directory())
        return -EISDIR;
    dir = old->directory;
    replaced = old->object;
    detach_name(server, old);
    drop_unnamed(server, replaced);
    add_object(server, object);
    attach_name(server, dir, name, object);
    *made = true;
    return 0;
}

/// unlink() or rmdir(), whichever it takes.
int remove_any_locked(server_tree *server, const place &place) __must_hold(&server->lock)
{
    int error = remove_locked(server, place.directory, place.name, false);

    return error == -EISDIR ? remove_locked(server, place.directory, place.name, true) : error;
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
    place from, to;
    int error = find_place(server, path, &from);

    if (error)
        return error;
    switch (what) {
    case remote_change::create:
    case remote_change::mkdir:
        error = create_locked(server, from.directory, parts->name, parts->object, true, nullptr,
                              &parts->object_used);
        parts->name_used = parts->object_used;
        return error;
    case remote_change::replace:
        error = replace_locked(server, from, parts->name, parts->object, &parts->object_used);
        parts->name_used = parts->object_used;
        return error;
    case remote_change::remove:
        return remove_any_locked(server, from);
    case remote_change::rename:
        error = find_place(server, second_path, &to);
        if (error)
            return error;
        return rename_locked(server, from.directory, from.name, to.directory, parts->name, 0,
                             &parts->name_used);
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
    int error = check_new_name(key);
    change_parts parts = {};

    if (error)
        return error;
    parts.name = new_name(key);
    parts.object = new_object(mode, nullptr);
    error = -ENOMEM;
    if (parts.name && parts.object) {
        request request(server);
        error = change_locked(server, what, path, second_path, &parts);
    }
    if (!parts.name_used)
        free_name(parts.name);
    if (!parts.object_used)
        free_object(parts.object);
    return error;
}

} // namespace dcsim::inline DCSIM_BACKEND
