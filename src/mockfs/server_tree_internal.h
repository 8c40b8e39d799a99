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
#pragma once

#include <boost/intrusive/set.hpp>

#include "dcsim/annotations.h"
#include "dcsim/kernel/list.h"
#include "dcsim/kernel/once.h"
#include "dcsim/kernel/spinlock.h"
#include "dcsim/mockfs/server_tree.h"
#include "dcsim/vfs/inode.h"
#include "name_key.h"

namespace dcsim::inline DCSIM_BACKEND
{

using server_hook =
    boost::intrusive::set_member_hook<boost::intrusive::link_mode<boost::intrusive::normal_link>>;

struct server_object;

/// One name in one directory. The text, not NUL-terminated, follows the structure.
struct server_name {
    server_hook link;
    server_hook cookie_link;
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

using server_name_set = boost::intrusive::set<
    server_name, boost::intrusive::compare<name_order<server_name>>,
    boost::intrusive::constant_time_size<false>,
    boost::intrusive::member_hook<server_name, server_hook, &server_name::link>>;

struct server_cookie_of_name {
    using type = u64;
    u64 operator()(const server_name &name) const
    {
        return name.cookie;
    }
};

using server_cookie_set = boost::intrusive::set<
    server_name, boost::intrusive::key_of_value<server_cookie_of_name>,
    boost::intrusive::constant_time_size<false>,
    boost::intrusive::member_hook<server_name, server_hook, &server_name::cookie_link>>;

/// A file, directory or link. The body of a link, NUL-terminated, follows the structure.
struct server_object {
    server_hook link; ///< in server->objects
    u64 fileid;       ///< constant
    umode_t mode;
    unsigned nlink;
    u64 change;
    int64_t size; ///< constant
    list_head names;

    // Of a directory.
    server_name_set entries;
    server_cookie_set cookies; ///< the same names
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

struct server_fileid_of_object {
    using type = u64;
    u64 operator()(const server_object &object) const
    {
        return object.fileid;
    }
};

using server_object_set = boost::intrusive::set<
    server_object, boost::intrusive::key_of_value<server_fileid_of_object>,
    boost::intrusive::constant_time_size<false>,
    boost::intrusive::member_hook<server_object, server_hook, &server_object::link>>;

struct server_tree {
    spinlock_t lock;
    server_object_set objects __guarded_by(lock);
    long object_count __guarded_by(lock);
    u64 last_fileid __guarded_by(lock);
    u64 changes __guarded_by(lock); ///< the last number given to an object's `change`
    u64 root;                       ///< constant
    once<u64> delay;                ///< microseconds
};

/// One request: it arrives, which is the point where others may come first, takes its time, and is
/// carried out in one section of the server's lock.
class DCSIM_ATTRIBUTE(scoped_lockable) server_request
{
  public:
    explicit server_request(server_tree *server) __acquires(&server->lock) : server_(server)
    {
        u64 delay = READ_ONCE(server->delay);

        cond_resched();
        if (delay)
            sleep_for_microseconds(delay);
        spin_lock(&server_->lock);
    }
    ~server_request() __releases()
    {
        spin_unlock(&server_->lock);
    }
    server_request(const server_request &) = delete;
    server_request &operator=(const server_request &) = delete;

  private:
    server_tree *server_;
};

// --- Memory (server_tree_nodes.cc). No lock is needed: what these make or free is in no tree. ---

/// nullptr without memory.
server_name *server_new_name(const name_key &key);
void server_free_name(server_name *name);
/// With a copy of `body`. nullptr without memory.
server_object *server_new_object(umode_t mode, const char *body);
void server_free_object(server_object *object);

// --- The tree (server_tree_nodes.cc) ---

/// nullptr when there is none.
server_object *server_find_object(server_tree *server, u64 fileid) __must_hold(&server->lock);
/// The directory of this id: 0 or a negative errno.
int server_find_directory(server_tree *server, u64 fileid, server_object **directory)
    __must_hold(&server->lock);
/// nullptr when the directory has none of that name. server->lock held.
server_name *server_find_name(server_object *directory, const name_key &key);
/// The object has another state now, and that gets the next number.
void server_changed(server_tree *server, server_object *object) __must_hold(&server->lock);
/// Into the set of objects, with a new file id.
void server_add_object(server_tree *server, server_object *object) __must_hold(&server->lock);
/// A name of `object` came to `directory` or went: the object's link, or the one that the ".." of a
/// directory is. server->lock held.
void server_count_link(server_object *directory, server_object *object, int change);
/// Puts `name` into `directory`, which must not have it.
void server_attach_name(server_tree *server, server_object *directory, server_name *name,
                        server_object *object) __must_hold(&server->lock);
/// Takes a name away and frees it.
void server_detach_name(server_tree *server, server_name *name) __must_hold(&server->lock);
/// The object has lost a name, and goes when it has none left.
server_loss server_note_loss(server_tree *server, server_object *object) __must_hold(&server->lock);
/// Where ".." leads; the root is in itself. server->lock held.
server_object *server_parent_of(server_object *directory);
/// Is `directory` in or below `ancestor`? Second names can make a circle of the ways up.
bool server_is_below(server_tree *server, server_object *directory, const server_object *ancestor)
    __must_hold(&server->lock);
/// server->lock held. `out` may be nullptr.
void server_fill_attributes(const server_object *object, server_attributes *out);
/// The change number of a directory that may have gone; 0 then.
u64 server_change_of(server_tree *server, u64 directory) __must_hold(&server->lock);

// --- Paths (server_tree.cc) ---

/// The last component of a path, and the directory that it is in.
struct server_place {
    u64 directory;
    name_key name; ///< length 0: the path is "/"
};

/// Where `path` leads, without looking whether its last component is there. 0 or a negative errno.
int server_find_place(server_tree *server, const char *path, server_place *result)
    __must_hold(&server->lock);

// --- Changes (server_tree_changes.cc) ---

/// server_create() with what it needs. Takes the two over when it succeeds and *made is then true.
int server_create_locked(server_tree *server, u64 directory, server_name *name,
                         server_object *object, bool excl, server_attributes *out, bool *made)
    __must_hold(&server->lock);
/// server_remove(). *lost is what it took away, when it succeeds.
int server_remove_locked(server_tree *server, u64 directory, const name_key &key,
                         bool directory_wanted, server_loss *lost) __must_hold(&server->lock);
/// server_rename(); `fresh` has the new name and is taken over when *used is then true. *lost is
/// what it took away from an object that it went over; its file id is 0 when no object lost a name.
int server_rename_locked(server_tree *server, u64 old_directory, const name_key &old_key,
                         u64 new_directory, server_name *fresh, unsigned flags, bool *used,
                         server_loss *lost) __must_hold(&server->lock);

} // namespace dcsim::inline DCSIM_BACKEND
