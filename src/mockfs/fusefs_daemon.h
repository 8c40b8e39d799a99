// SPDX-License-Identifier: GPL-2.0-only
//
// fusefs's daemon: a tree of files, and for every object that it has told the kernel of, how often.
//
// Each reply that names an object is a *lookup* of it, which the kernel gives back with FORGET.
// What the kernel was told and has not given back, the daemon has to keep; when the file system
// goes, all must have been given back.
#pragma once

#include "dcsim/mockfs/server_tree.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct fuse_daemon;

/// A daemon with an empty root directory, of which the kernel has one lookup from the start;
/// nullptr without memory.
fuse_daemon *fuse_daemon_create(u64 root);
/// Frees it and its files. Nobody uses it any more.
void fuse_daemon_destroy(fuse_daemon *daemon);
/// For what is no lookup of anything.
server_tree *fuse_daemon_files(fuse_daemon *daemon);
/// Lookups that were not given back.
u64 fuse_daemon_lookups(fuse_daemon *daemon);

// Requests: results as those of server_tree.h, or -ENOMEM with nothing done. Each that succeeds is
// a lookup of what *out is about. They sleep.

int fuse_daemon_lookup(fuse_daemon *daemon, u64 directory, const char *name, size_t length,
                       server_attributes *out);
/// FUSE_MKNOD, FUSE_MKDIR, FUSE_SYMLINK, and FUSE_CREATE, by type and `excl`.
int fuse_daemon_make(fuse_daemon *daemon, u64 directory, const char *name, size_t length,
                     umode_t mode, const char *body, bool excl, server_attributes *out);
int fuse_daemon_link(fuse_daemon *daemon, u64 node, u64 directory, const char *name, size_t length,
                     server_attributes *out);
/// One entry of FUSE_READDIRPLUS: 1, or 0 at the end.
int fuse_daemon_readdirplus(fuse_daemon *daemon, u64 directory, u64 cookie, server_entry *out);
/// FUSE_FORGET. Takes no memory and does not sleep.
void fuse_daemon_forget(fuse_daemon *daemon, u64 node, u64 lookups);

} // namespace dcsim::inline DCSIM_BACKEND
