// SPDX-License-Identifier: GPL-2.0-only
//
// fusefs's daemon. The files are a server_tree; here the lookups are counted.
//
// Locking: daemon->lock guards the counts. A leaf. The tree has a lock of its own, taken before and
// not together with it: between an answer and its being counted somebody may forget the object,
// which is why counts of objects that are not there any more are kept as well.
#include "fusefs_daemon.h"

#include <new>

#include <boost/intrusive/set.hpp>

#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/err.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/kernel/spinlock.h"
#include "dcsim/vfs/inode.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

namespace intrusive = boost::intrusive;

/// An object that the kernel knows of.
struct fuse_known_node {
    intrusive::set_member_hook<intrusive::link_mode<intrusive::normal_link>> link;
    u64 node;
    u64 lookups; ///< more than 0
};

struct node_of_known {
    using type = u64;
    u64 operator()(const fuse_known_node &known) const
    {
        return known.node;
    }
};

using known_set =
    intrusive::set<fuse_known_node, intrusive::key_of_value<node_of_known>,
                   intrusive::constant_time_size<false>,
                   intrusive::member_hook<fuse_known_node, decltype(fuse_known_node::link),
                                          &fuse_known_node::link>>;

/// Memory for the first lookup of an object.
fuse_known_node *new_known_node()
{
    void *memory = kmalloc(sizeof(fuse_known_node));

    return memory ? new (memory) fuse_known_node() : nullptr;
}

void free_known_node(fuse_known_node *known)
{
    kfree(known);
}

} // namespace

struct fuse_daemon {
    server_tree *files;
    spinlock_t lock;
    known_set known;
};

namespace
{

/// One lookup more. Consumes `fresh`.
void count_lookup(fuse_daemon *daemon, u64 node, fuse_known_node *fresh)
{
    fuse_known_node *unused = fresh;

    spin_lock(&daemon->lock);
    auto known = daemon->known.find(node);
    if (known == daemon->known.end()) {
        fresh->node = node;
        known = daemon->known.insert(*fresh).first;
        unused = nullptr;
    }
    known->lookups++;
    spin_unlock(&daemon->lock);
    if (unused)
        free_known_node(unused);
}

/// Carries a request out and counts the lookup that its success is. `request` returns 0, or 1 for
/// an entry of a directory, when there is an object in *about.
template <typename Request>
int answer(fuse_daemon *daemon, const server_attributes *about, bool success, Request request)
{
    // Before anything happens to the files: an answer cannot be taken back.
    fuse_known_node *fresh = new_known_node();
    int result;

    if (!fresh)
        return -ENOMEM;
    result = request();
    if (result == success)
        count_lookup(daemon, about->fileid, fresh);
    else
        free_known_node(fresh);
    return result;
}

} // namespace

fuse_daemon *fuse_daemon_create(u64 root)
{
    fuse_known_node *known_root = new_known_node();
    void *memory = kmalloc(sizeof(fuse_daemon));
    fuse_daemon *daemon = nullptr;

    if (memory) {
        daemon = new (memory) fuse_daemon();
        spin_lock_init(&daemon->lock, "fuse_daemon.lock");
        daemon->files = server_tree_create(root);
    }
    if (known_root && daemon && daemon->files) {
        count_lookup(daemon, root, known_root);
        return daemon;
    }
    if (known_root)
        free_known_node(known_root);
    if (daemon)
        fuse_daemon_destroy(daemon);
    return nullptr;
}

void fuse_daemon_destroy(fuse_daemon *daemon)
{
    if (daemon->files)
        server_tree_destroy(daemon->files);
    daemon->known.clear_and_dispose(free_known_node);
    daemon->~fuse_daemon();
    kfree(daemon);
}

server_tree *fuse_daemon_files(fuse_daemon *daemon)
{
    return daemon->files;
}

u64 fuse_daemon_lookups(fuse_daemon *daemon)
{
    u64 lookups = 0;

    spin_lock(&daemon->lock);
    for (const fuse_known_node &known : daemon->known)
        lookups += known.lookups;
    spin_unlock(&daemon->lock);
    return lookups;
}

int fuse_daemon_lookup(fuse_daemon *daemon, u64 directory, const char *name, size_t length,
                       server_attributes *out)
{
    return answer(daemon, out, 0,
                  [&] { return server_lookup(daemon->files, directory, name, length, out); });
}

int fuse_daemon_make(fuse_daemon *daemon, u64 directory, const char *name, size_t length,
                     umode_t mode, const char *body, bool excl, server_attributes *out)
{
    return answer(daemon, out, 0, [&] {
        return server_create(daemon->files, directory, name, length, mode, body, excl, out);
    });
}

int fuse_daemon_link(fuse_daemon *daemon, u64 node, u64 directory, const char *name, size_t length,
                     server_attributes *out)
{
    return answer(daemon, out, 0,
                  [&] { return server_link(daemon->files, node, directory, name, length, out); });
}

int fuse_daemon_readdirplus(fuse_daemon *daemon, u64 directory, u64 cookie, server_entry *out)
{
    return answer(daemon, &out->attributes, 1,
                  [&] { return server_readdir(daemon->files, directory, cookie, out); });
}

void fuse_daemon_forget(fuse_daemon *daemon, u64 node, u64 lookups)
{
    fuse_known_node *gone = nullptr;
    bool too_many;

    spin_lock(&daemon->lock);
    auto known = daemon->known.find(node);
    too_many = known == daemon->known.end() || known->lookups < lookups;
    if (!too_many) {
        known->lookups -= lookups;
        if (known->lookups == 0) {
            gone = &*known;
            daemon->known.erase(known);
        }
    }
    spin_unlock(&daemon->lock);
    WARN(too_many, "FORGET of more lookups of node %llu than there were",
         static_cast<unsigned long long>(node));
    if (gone)
        free_known_node(gone);
}

} // namespace dcsim::inline DCSIM_BACKEND
