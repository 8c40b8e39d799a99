// SPDX-License-Identifier: GPL-2.0-only
//
// The other side of a network file system or of a daemon: a tree of files that knows nothing of
// dentries and inodes, is asked one question at a time, and may be changed by others between two.
//
// Objects have a file id, which is never used again. An object without names is gone at once,
// whoever has it open elsewhere: that is what makes a client's handle stale.
//
// Every call is atomic: it happens in one section of the server's lock. Each begins with a schedule
// point and the server's delay, and what it needs is allocated before the section. Calls may be
// made with any i_rwsem held, and sleep.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dcsim/kernel/types.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct server_tree;
enum class remote_change;

struct server_attributes {
    u64 fileid;
    umode_t mode; ///< type and permissions
    unsigned nlink;
    u64 change;   ///< grows with every change of the object; of a directory, of its names
    int64_t size; ///< of a link the length of its body; else 0
};

/// An entry of a directory with its attributes, as READDIRPLUS answers.
struct server_entry {
    server_attributes attributes;
    u64 cookie; ///< where the next call goes on
    u32 length;
    char name[256]; ///< NUL-terminated
};

/// A name that a request took away from an object. `fileid` 0: it took none away.
struct server_loss {
    u64 fileid = 0; ///< whose name it was
    u64 change = 0; ///< that object's server_attributes::change then: lower ones are from before
};

/// server_attributes::change of a directory just before and just after a request that changed it,
/// so that a client can tell its own change from other people's. Equal when nothing was changed.
struct server_change_info {
    u64 before;
    u64 after;
    /// By server_remove(), or by server_rename() over an object (in `new_info`); nothing when that
    /// found no object to go over, or exchanged two.
    server_loss lost = {};
};

/// An empty tree whose root has the file id `first_fileid`; nullptr without memory.
server_tree *server_tree_create(u64 first_fileid);
/// Frees everything. Nobody uses it any more.
void server_tree_destroy(server_tree *server);
/// Every call takes so long, in microseconds, before it is carried out. Default 0.
void server_set_delay(server_tree *server, u64 microseconds);
/// The root's file id.
u64 server_root(const server_tree *server);
/// Objects there are, the root included.
long server_object_count(server_tree *server);

// Results are 0 or a negative errno: -ESTALE when an id is not there any more, -ENOTDIR when
// `directory` is none, and what the system call of that name returns. `out` may be nullptr; it is
// written with 0 (or 1) alone, and all calls but server_lookup_nocase() and server_readdir() take
// it so. `info` of a change is written with 0 alone as well, and may be nullptr.

int server_lookup(server_tree *server, u64 directory, const char *name, size_t length,
                  server_attributes *out);
/// The first name of the directory that equals `name` when case does not count (ASCII); its
/// spelling goes to `out`.
int server_lookup_nocase(server_tree *server, u64 directory, const char *name, size_t length,
                         server_entry *out);
int server_getattr(server_tree *server, u64 fileid, server_attributes *out);
/// Copies the body of a link, NUL-terminated, and returns its length.
int server_readlink(server_tree *server, u64 fileid, char *buffer, size_t size);
/// A new object. `body` of a symbolic link, else nullptr. -EEXIST when the name is there. A regular
/// file with `excl` false is opened rather than made: what is there is the result if it is a
/// regular file, else -EISDIR for a directory, -ELOOP for a link, -EEXIST for the rest.
int server_create(server_tree *server, u64 directory, const char *name, size_t length, umode_t mode,
                  const char *body, bool excl, server_attributes *out,
                  server_change_info *info = nullptr);
int server_link(server_tree *server, u64 fileid, u64 directory, const char *name, size_t length,
                server_attributes *out, server_change_info *info = nullptr);
/// A second name for a directory, as a server shows it while somebody moves the directory; it may
/// even be below that directory. ".." leads to where it was.
int server_add_directory_name(server_tree *server, u64 fileid, u64 directory, const char *name,
                              size_t length);
/// Removes a name, and the object with its last one; `directory_wanted` tells rmdir from unlink.
int server_remove(server_tree *server, u64 directory, const char *name, size_t length,
                  bool directory_wanted, server_change_info *info = nullptr);
/// `flags`: RENAME_NOREPLACE_FLAG, RENAME_EXCHANGE_FLAG. The new name gets a new cookie.
int server_rename(server_tree *server, u64 old_directory, const char *old_name, size_t old_length,
                  u64 new_directory, const char *new_name, size_t new_length, unsigned flags,
                  server_change_info *old_info = nullptr, server_change_info *new_info = nullptr);
int server_setattr(server_tree *server, u64 fileid, umode_t permissions, server_attributes *out);
/// The first entry behind `cookie` (0: the first of all), in the order of creation: 1 with *out
/// filled in, 0 at the end.
int server_readdir(server_tree *server, u64 directory, u64 cookie, server_entry *out);
/// The directory that a directory is in; the root is in itself.
int server_parent(server_tree *server, u64 directory, u64 *parent);
/// The object at a path that begins with "/", without following links.
int server_find(server_tree *server, const char *path, server_attributes *out);
/// Somebody else's change, by paths: see remote_change.
int server_remote_change(server_tree *server, remote_change what, const char *path,
                         const char *second_path);

} // namespace dcsim::inline DCSIM_BACKEND
