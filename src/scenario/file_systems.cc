// SPDX-License-Identifier: GPL-2.0-only
//
// The mock file systems, for those who read scenarios; see eras.cc for why the port is not asked.
#include <algorithm>
#include <array>

#include "dcsim/scenario/scenario.h"

namespace dcsim::scenario
{

namespace
{

constexpr int64_t a_minute = 60'000'000; ///< in microseconds

constexpr auto memfs_options = std::to_array<file_system_option>({
    {"links_in_inode", 0, 1, "bodies of symbolic links are in the inode; default true"},
});

constexpr auto slowfs_options = std::to_array<file_system_option>({
    {"delay_us", 0, a_minute, "every ->lookup() takes so many microseconds; default 0"},
    {"slow_us", 0, a_minute, "so much more for objects with the flag slow; default 1000"},
    {"error", 1, 4095, "the errno that objects with the flag error give; default 5, EIO"},
});
constexpr auto slowfs_flags = std::to_array<const char *>({"gate", "slow", "error"});

constexpr auto netfs_options = std::to_array<file_system_option>({
    {"version", 3, 4, "of the protocol: 4 opens and creates in one request; default 4"},
    {"actimeo", 0, 1, "attributes are believed for a while; default true"},
    {"nocto", 0, 1, "opening a file does not ask the server about it; default false"},
    {"lookupcache", 0, 2, "entries that are trusted: 0 none, 1 positive, 2 all; default 2"},
    {"readdirplus", 0, 1, "reading a directory fills the cache; default true"},
    {"async_unlink", 0, 1, "nobody waits for a silly-renamed file to be removed; default true"},
    {"silly_hash", 0, 1, "the name in an unlink's request is hashed; default true"},
    {"delay_us", 0, 1'000'000, "every request takes so many microseconds; default 0"},
});

constexpr auto casefs_options = std::to_array<file_system_option>({
    {"casefold", 0, 1, "all directories fold case; default false: those with the flag"},
    {"compare", 0, 1, "d_hash and d_compare fold case, too; default true"},
    {"add_ci", 0, 1, "->lookup() ends in d_add_ci() when the spelling differs; default false"},
    {"negatives", 0, 1, "directories that fold have negative dentries; default false"},
    {"revalidate", 0, 1, "the server is asked about what is cached; default false"},
    {"prime", 0, 1, "reading a directory fills the cache; default false"},
});
constexpr auto casefs_flags = std::to_array<const char *>({"casefold"});

constexpr auto ovlfs_options = std::to_array<file_system_option>({
    {"readdir", 0, 3,
     "how a merged readdir meets somebody else's lookup: 0 waits, 1 noblock, 2 noblock_return, "
     "3 the reviewer's contract; default 0"},
    {"recheck", 0, 1, "->lookup() looks for what readdir may have hashed; default true"},
    {"shared", 0, 1, "readdir under the directory's shared lock; default false"},
    {"xino", 0, 1, "readdir looks up every name for its number; default true"},
});
constexpr auto ovlfs_flags = std::to_array<const char *>({"upper", "merged", "opaque", "whiteout"});

constexpr auto dynfs_options = std::to_array<file_system_option>({
    {"sysctl", 0, 1, "in the manner of /proc/sys, not of /proc/<pid>; default false"},
    {"flush", 0, 1, "what goes takes its dentries along, when told to; default false"},
});

constexpr auto fusefs_options = std::to_array<file_system_option>({
    {"entry_timeout", 0, 1'000'000'000, "how long entries are believed, in ticks; default 1"},
    {"readdirplus", 0, 1, "reading a directory fills the cache; default true"},
    {"atomic_create", 0, 1, "the daemon creates and opens in one request; default true"},
    {"delete_stale", 0, 1, "entries that turn out wrong are deleted; default false"},
    {"inval_wq", 0, 1, "unused entries whose time is over are reclaimed; default false"},
    {"notify", 0, 2, "the daemon tells of changes: 0 not, 1 entry, 2 delete; default 0"},
    {"delay_us", 0, a_minute, "every request takes so many microseconds; default 0"},
});

constexpr auto table = std::to_array<file_system_description>({
    {.name = "memfs",
     .purpose = "a disk in memory, as ramfs and tmpfs are used here",
     .options = memfs_options,
     .flags = {},
     .second_names = true,
     .server = false,
     .handles = false,
     .pending = false},
    {.name = "slowfs",
     .purpose = "memfs on a disk that takes its time: gates, delays, errors",
     .options = slowfs_options,
     .flags = slowfs_flags,
     .second_names = true,
     .server = false,
     .handles = false,
     .pending = true},
    {.name = "netfs",
     .purpose = "a client of a server that others change, as with nfs",
     .options = netfs_options,
     .flags = {},
     .second_names = true,
     .server = true,
     .handles = true,
     .pending = true},
    {.name = "casefs",
     .purpose = "names whose case does not matter, as with ext4, xfs-ci, cifs",
     .options = casefs_options,
     .flags = casefs_flags,
     .second_names = true,
     .server = true,
     .handles = true,
     .pending = false},
    {.name = "ovlfs",
     .purpose = "two directories merged into one, as with overlayfs",
     .options = ovlfs_options,
     .flags = ovlfs_flags,
     .second_names = false,
     .server = false,
     .handles = false,
     .pending = false},
    {.name = "dynfs",
     .purpose = "things that come and go by themselves, as in proc",
     .options = dynfs_options,
     .flags = {},
     .second_names = false,
     .server = true,
     .handles = false,
     .pending = true},
    {.name = "fusefs",
     .purpose = "the files of a daemon, as with fuse",
     .options = fusefs_options,
     .flags = {},
     .second_names = true,
     .server = true,
     .handles = false,
     .pending = true},
});

} // namespace

std::span<const file_system_description> file_systems()
{
    return table;
}

const file_system_description *find_file_system(std::string_view name)
{
    const auto found = std::ranges::find(table, name, &file_system_description::name);

    return found == table.end() ? nullptr : &*found;
}

const file_system_option *file_system_description::find_option(std::string_view option) const
{
    const auto found = std::ranges::find(options, option, &file_system_option::name);

    return found == options.end() ? nullptr : &*found;
}

} // namespace dcsim::scenario
