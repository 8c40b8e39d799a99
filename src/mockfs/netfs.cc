// SPDX-License-Identifier: GPL-2.0-only
//
// netfs as a whole: mounting it, its server, its file handles. docs/filesystems/netfs.md.
#include "dcsim/mockfs/netfs.h"

#include <new>

#include "dcsim/kernel/err.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/vfs/attributes.h"
#include "mock_options.h"
#include "netfs_internal.h"
#include "server_client.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

void nfs_free_inode(inode *inode)
{
    kfree(inode->i_private);
}

void delayed_free(rcu_head *head)
{
    kfree(container_of(head, nfs_server, rcu));
}

// As Linux v6.12 fs/nfs/client.c nfs_free_server(): walks in RCU mode may still be in the file
// system, and look at the options.
void nfs_free_server(nfs_server *server)
{
    if (server->tree)
        server_tree_destroy(server->tree);
    call_rcu(&server->rcu, delayed_free);
}

void nfs_put_super(super_block *sb)
{
    nfs_free_server(NFS_SB(sb));
}

constexpr super_operations nfs_super_operations = {
    .free_inode = nfs_free_inode,
    .put_super = nfs_put_super,
};

constexpr file_system_type nfs_type = {"netfs", FS_RENAME_DOES_D_MOVE};

/// What the options say, as they are given. 0 or -EINVAL.
int read_options(nfs_server *server, std::span<const mock_option> options)
{
    int64_t version = 4, actimeo = 1, nocto = 0, readdirplus = 1, async_unlink = 1, silly_hash = 1;
    int64_t delay = 0;
    const mock_knob knobs[] = {
        {"version", 3, 4, &version},
        {"actimeo", 0, 1, &actimeo},
        {"nocto", 0, 1, &nocto},
        {"lookupcache", NFS_LOOKUPCACHE_NONE, NFS_LOOKUPCACHE_ALL, &server->lookupcache},
        {"readdirplus", 0, 1, &readdirplus},
        {"async_unlink", 0, 1, &async_unlink},
        {"silly_hash", 0, 1, &silly_hash},
        {"delay_us", 0, 1'000'000, &delay},
    };
    int error;

    server->lookupcache = NFS_LOOKUPCACHE_ALL;
    error = read_mock_options(options, knobs);
    server->v4 = version == 4;
    server->cached = actimeo;
    server->nocto = nocto;
    server->readdirplus = readdirplus;
    server->async_unlink = async_unlink;
    server->silly_hash = silly_hash;
    server_set_delay(server->tree, static_cast<u64>(delay));
    return error;
}

/// nullptr without memory.
nfs_server *new_server(ino_t first_fileid)
{
    void *memory = kmalloc(sizeof(nfs_server));
    nfs_server *server;

    if (!memory)
        return nullptr;
    server = new (memory) nfs_server();
    spin_lock_init(&server->pending_lock, "nfs_server.pending_lock");
    INIT_LIST_HEAD(&server->pending);
    server->tree = server_tree_create(first_fileid);
    if (!server->tree) {
        nfs_free_server(server);
        return nullptr;
    }
    return server;
}

/// Fills in a new super block, which owns the server once it has a root. 0 or a negative errno.
int nfs_fill_super(super_block *sb, nfs_server *server)
{
    server_attributes fattr;
    inode *root;
    int error;

    sb->s_op = &nfs_super_operations;
    sb->s_fs_info = server;
    set_default_d_op(sb, server->v4 ? &nfs4_dentry_operations : &nfs_dentry_operations);
    error = server_getattr(server->tree, server_root(server->tree), &fattr);
    if (error)
        return error;
    root = nfs_fhget(sb, fattr);
    if (IS_ERR(root))
        return PTR_ERR(root);
    sb->s_root = d_make_root(root);
    return sb->s_root ? 0 : -ENOMEM;
}

super_block *netfs_mount(const mock_mount_options &options, const char *id)
{
    nfs_server *server = new_server(options.last_used_ino + 1);
    super_block *sb;
    int error;

    if (!server)
        return ERR_PTR(-ENOMEM);
    server->watcher = mock_watcher(options);
    error = read_options(server, options.options);
    if (error) {
        nfs_free_server(server);
        return ERR_PTR(error);
    }
    sb = alloc_super(&nfs_type, id);
    if (!sb) {
        nfs_free_server(server);
        return ERR_PTR(-ENOMEM);
    }
    error = nfs_fill_super(sb, server);
    if (error) {
        generic_shutdown_super(sb);
        nfs_free_server(server);
        return ERR_PTR(error);
    }
    return sb;
}

bool netfs_has_pending(const super_block *sb)
{
    return READ_LOCKED(NFS_SB(sb)->pending_count) != 0;
}

/// The kernel's requests keep the super block mounted until they are answered.
long netfs_unmount(super_block *sb)
{
    while (nfs_unlink_reply(sb))
        ;
    return generic_shutdown_super(sb);
}

// --- Filling the server ---

mock_node *netfs_root_node(super_block *sb)
{
    return node_of(server_root(netfs_server(sb)));
}

/// The root's inode is in memory from the beginning and must not take the filling of the server for
/// somebody else's change.
void refresh_if_cached(super_block *sb, u64 fileid)
{
    inode *inode = ilookup(sb, fileid);

    if (inode)
        __nfs_revalidate_inode(inode);
    iput(inode);
}

mock_node *netfs_add_node(super_block *sb, mock_node *directory, const char *name, size_t length,
                          umode_t mode, const char *body)
{
    server_attributes made;
    int error;

    if (S_ISLNK_mode(mode) != (body != nullptr))
        return ERR_PTR(-EINVAL);
    error = server_create(netfs_server(sb), fileid_of(directory), name, length, mode, body, true,
                          &made);
    if (error)
        return ERR_PTR(error);
    refresh_if_cached(sb, fileid_of(directory));
    return node_of(made.fileid);
}

int netfs_add_directory_name(super_block *sb, mock_node *directory, const char *name, size_t length,
                             mock_node *node)
{
    int error = server_add_directory_name(netfs_server(sb), fileid_of(node), fileid_of(directory),
                                          name, length);

    if (!error)
        refresh_if_cached(sb, fileid_of(directory));
    return error;
}

int netfs_remote(super_block *sb, remote_change what, const char *path, const char *second_path)
{
    return server_remote_change(netfs_server(sb), what, path, second_path);
}

inode *netfs_inode_by_path(super_block *sb, const char *path)
{
    server_attributes fattr;
    int error = server_find(netfs_server(sb), path, &fattr);

    if (error)
        return ERR_PTR(error);
    return nfs_fhget(sb, fattr);
}

} // namespace

server_tree *netfs_server(const super_block *sb)
{
    return NFS_SB(sb)->tree;
}

// Linux v6.12 fs/nfs/export.c nfs_fh_to_dentry().
dentry *nfs_fh_to_dentry(super_block *sb, u64 fileid)
{
    inode *inode = ilookup(sb, fileid);
    server_attributes fattr;

    if (!inode) {
        int error = server_getattr(netfs_server(sb), fileid, &fattr);
        if (error)
            return ERR_PTR(error);
        inode = nfs_fhget(sb, fattr);
    }
    return d_obtain_alias(inode);
}

// Linux v6.12 fs/nfs/export.c nfs_get_parent().
dentry *nfs_get_parent(dentry *dentry)
{
    super_block *sb = dentry->d_sb;
    server_attributes fattr;
    u64 parent;
    int error = server_parent(netfs_server(sb), NFS_FILEID(d_inode(dentry)), &parent);

    if (!error)
        error = server_getattr(netfs_server(sb), parent, &fattr);
    if (error)
        return ERR_PTR(error);
    return d_obtain_alias(nfs_fhget(sb, fattr));
}

constinit const mock_filesystem netfs_filesystem = {
    .name = "netfs",
    .mount = netfs_mount,
    .unmount = netfs_unmount,
    .root_node = netfs_root_node,
    .add_node = netfs_add_node,
    .add_directory_name = netfs_add_directory_name,
    .remote = netfs_remote,
    .inode_by_path = netfs_inode_by_path,
    .run_pending = nfs_unlink_reply,
    .has_pending = netfs_has_pending,
};

} // namespace dcsim::inline DCSIM_BACKEND
