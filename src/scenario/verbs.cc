// SPDX-License-Identifier: GPL-2.0-only
//
// The table of verbs: what a step can do, what it takes and what it returns.
#include <array>

#include "dcsim/scenario/scenario.h"

namespace dcsim::scenario
{

namespace
{

constexpr auto none = parameter_kind::none;
constexpr auto path = parameter_kind::path;
constexpr auto name = parameter_kind::name;
constexpr auto pathname = parameter_kind::pathname;
constexpr auto entry_name = parameter_kind::entry;
constexpr auto body = parameter_kind::body;
constexpr auto variable = parameter_kind::variable;
constexpr auto descriptor = parameter_kind::descriptor;
constexpr auto optional_flags = parameter_kind::optional_flags;
constexpr auto optional_detach = parameter_kind::optional_detach;
constexpr auto optional_locked = parameter_kind::optional_locked;
constexpr auto optional_forget = parameter_kind::optional_forget;
constexpr auto optional_intent = parameter_kind::optional_intent;
constexpr auto optional_count = parameter_kind::optional_count;
constexpr auto expression = parameter_kind::expression;

constexpr value_kind nothing = value_kind::none;
constexpr value_kind a_dentry = value_kind::dentry;
constexpr value_kind a_number = value_kind::number;
constexpr value_kind a_status = value_kind::status;
constexpr value_kind a_descriptor = value_kind::descriptor;

constexpr auto table = std::to_array<verb_description>({
    {verb::walk,
     "walk",
     a_dentry,
     {path, none},
     "d = walk(path)",
     "look a path up, asking the file system for what is not cached; takes a reference"},
    {verb::lookup,
     "lookup",
     a_dentry,
     {name, none},
     "d = lookup(path)",
     "look a path up in the cache only, without ->lookup(); takes a reference"},
    {verb::create,
     "create",
     a_number,
     {entry_name, none},
     "r = create(path)",
     "make a regular file"},
    {verb::mkdir, "mkdir", a_number, {entry_name, none}, "r = mkdir(path)", "make a directory"},
    {verb::unlink,
     "unlink",
     a_number,
     {entry_name, none},
     "r = unlink(path)",
     "remove the name of a file"},
    {verb::rmdir,
     "rmdir",
     a_number,
     {entry_name, none},
     "r = rmdir(path)",
     "remove an empty directory"},
    {verb::rename,
     "rename",
     a_number,
     {entry_name, entry_name},
     "r = rename(path, path)",
     "move a name; what had the new name is gone"},
    {verb::exchange,
     "exchange",
     a_number,
     {entry_name, entry_name},
     "r = exchange(path, path)",
     "let two names trade places"},
    {verb::whiteout,
     "whiteout",
     a_number,
     {entry_name, entry_name},
     "r = whiteout(path, path)",
     "move a name and leave a whiteout under the old one"},
    {verb::link,
     "link",
     a_number,
     {entry_name, entry_name},
     "r = link(path, path)",
     "give a file a second name"},
    {verb::symlink,
     "symlink",
     a_number,
     {body, entry_name},
     "r = symlink(body, path)",
     "make a symbolic link that says `body`"},
    {verb::stat,
     "stat",
     a_status,
     {pathname, none},
     "r = stat(path)",
     "find out what a path leads to, following symbolic links"},
    {verb::lstat,
     "lstat",
     a_status,
     {pathname, none},
     "r = lstat(path)",
     "the same, without following a link in the last place"},
    {verb::access,
     "access",
     a_number,
     {pathname, none},
     "r = access(path)",
     "may the task read what a path leads to?"},
    {verb::readlink,
     "readlink",
     a_number,
     {pathname, none},
     "n = readlink(path)",
     "the length of a symbolic link's body"},
    {verb::open,
     "open",
     a_descriptor,
     {pathname, optional_flags},
     "fd = open(path), open(path, 'O_CREAT|O_EXCL')",
     "open a file, for reading unless the flags say otherwise"},
    {verb::close, "close", nothing, {descriptor, none}, "close(fd)", "close an open file"},
    {verb::readdir,
     "readdir",
     a_number,
     {pathname, none},
     "n = readdir(path)",
     "open a directory, read it to the end, close it; how many names it has"},
    {verb::chdir,
     "chdir",
     a_number,
     {pathname, none},
     "r = chdir(path)",
     "change the working directory of the task, and of those that share it"},
    {verb::chroot,
     "chroot",
     a_number,
     {pathname, none},
     "r = chroot(path)",
     "change the root directory of the task, and of those that share it"},
    {verb::mount,
     "mount",
     a_number,
     {pathname, none},
     "r = mount(path)",
     "mount a new, empty file system at a directory"},
    {verb::bind,
     "bind",
     a_number,
     {pathname, pathname},
     "r = bind(path, path)",
     "what is at the first path is also at the second"},
    {verb::umount_path,
     "umount",
     a_number,
     {pathname, optional_detach},
     "r = umount(path), umount(path, 'detach')",
     "unmount what is mounted at a path; with 'detach' even while somebody uses it"},
    {verb::shrink,
     "shrink",
     a_number,
     {optional_count, none},
     "n = shrink(), shrink(count)",
     "reclaim unused dentries, least recently used first: all, or so many at most"},
    {verb::shrink_tree,
     "shrink_tree",
     a_number,
     {path, none},
     "r = shrink_tree(path)",
     "reclaim the unused dentries below a directory"},
    {verb::umount,
     "umount",
     a_number,
     {none, none},
     "r = umount()",
     "unmount the file system; for its last user"},
    {verb::put, "put", nothing, {variable, none}, "put(d)", "give the reference back (dput)"},
    {verb::drop,
     "drop",
     nothing,
     {variable, none},
     "drop(d)",
     "unhash the dentry (d_drop): the next walk asks the file system again"},
    {verb::invalidate,
     "invalidate",
     nothing,
     {variable, none},
     "invalidate(d)",
     "unhash the dentry and get rid of what is below it (d_invalidate)"},
    {verb::warm,
     "warm",
     nothing,
     {path, none},
     "warm(path)",
     "walk and give the reference back: from now on it is cached"},
    {verb::rcu_inode,
     "rcu_inode",
     a_number,
     {variable, none},
     "i = rcu_inode(d)",
     "read d's inode as an RCU walk does at its start: d_seq and d_inode while d is held, then "
     "d_inode once more and d_seq, without a reference of its own; its number, 0 when d_seq did "
     "not change but the inode did, ECHILD when d_seq changed, ENOENT when d was put"},
    {verb::sync_rcu,
     "sync_rcu",
     nothing,
     {none, none},
     "sync_rcu()",
     "wait for every RCU reader of this moment (synchronize_rcu)"},
    {verb::server_create,
     "server_create",
     a_number,
     {name, none},
     "r = server_create(path)",
     "somebody else makes a regular file on the server"},
    {verb::server_mkdir,
     "server_mkdir",
     a_number,
     {name, none},
     "r = server_mkdir(path)",
     "somebody else makes a directory on the server"},
    {verb::server_remove,
     "server_remove",
     a_number,
     {name, none},
     "r = server_remove(path)",
     "somebody else removes a file or an empty directory on the server"},
    {verb::server_replace,
     "server_replace",
     a_number,
     {name, none},
     "r = server_replace(path)",
     "somebody else puts a new file in place of one on the server"},
    {verb::server_rename,
     "server_rename",
     a_number,
     {name, name},
     "r = server_rename(path, path)",
     "somebody else moves a name on the server, over whatever is there"},
    {verb::reply,
     "reply",
     a_number,
     {none, none},
     "r = reply()",
     "wait until the file system has work that was put off, and carry out one piece of it"},
    {verb::obtain,
     "obtain",
     a_dentry,
     {path, none},
     "d = obtain(path)",
     "a dentry for an inode of the server's, as a file handle gives it (d_obtain_alias)"},
    {verb::alloc,
     "alloc",
     a_dentry,
     {name, optional_locked},
     "d = alloc(path), alloc(path, 'locked')",
     "d_alloc_parallel() and no ->lookup(); with 'locked', the directory is locked for writing"},
    {verb::lookup_done,
     "lookup_done",
     nothing,
     {variable, none},
     "lookup_done(d)",
     "end the dentry's lookup (d_lookup_done), if it is in one"},
    {verb::noblock,
     "noblock",
     a_dentry,
     {name, none},
     "d = noblock(path)",
     "look a name up unless somebody else does (d_alloc_noblock): EAGAIN then"},
    {verb::noblock_return,
     "noblock_return",
     a_number,
     {name, optional_forget},
     "r = noblock_return(path), noblock_return(path, 'forget')",
     "the same with d_alloc_noblock_return(), giving the dentry that was in the way back; with "
     "'forget' not"},
    {verb::lookup_one,
     "lookup_one",
     a_dentry,
     {name, optional_intent},
     "d = lookup_one(path), lookup_one(path, 'LOOKUP_CREATE|LOOKUP_EXCL')",
     "lookup_one_qstr(): with an intent, the dentry may be in lookup until lookup_done()"},
    {verb::duplicate,
     "duplicate",
     a_dentry,
     {name, none},
     "d = duplicate(path)",
     "a twin in lookup of a cached name (d_duplicate); the directory is locked until "
     "lookup_done()"},
    {verb::await,
     "await",
     nothing,
     {expression, none},
     "await(expression)",
     "wait until the expression holds"},
});

static_assert(table[static_cast<size_t>(verb::await)].what == verb::await);

} // namespace

std::span<const verb_description> verbs()
{
    return table;
}

const verb_description &describe(verb what)
{
    return table[static_cast<size_t>(what)];
}

bool is_server_change(verb what)
{
    return what >= verb::server_create && what <= verb::server_rename;
}

bool is_system_call(verb what)
{
    return what >= verb::create && what <= verb::umount_path;
}

} // namespace dcsim::scenario
