// SPDX-License-Identifier: GPL-2.0-only
//
// fusefs: inodes and their lookups, the FORGETs and notifications on their way, mounting. Source:
// fs/fuse/inode.c and dev.c.
//
// What the kernel hands to the daemon through a device file is here a call, but for what neither
// side waits for: FORGETs and notifications are in queues until run_pending() carries one out.
#include <cstring>
#include <new>

#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/err.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/vfs/dcache.h"
#include "dcsim/vfs/file.h"
#include "fusefs_internal.h"
#include "mock_options.h"
#include "server_client.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

constexpr file_operations fuse_file_operations = {};
constexpr file_system_type fuse_type = {"fusefs"};

/// What the daemon has to tell of one name. The text follows the structure.
struct fuse_notification {
    list_head link;
    u64 parent;
    u64 child; ///< that is gone, or 0
    u32 length;

    char *text()
    {
        return reinterpret_cast<char *>(this + 1);
    }
};

// Linux v6.12 fs/fuse/inode.c fuse_alloc_inode(). nullptr without memory.
fuse_inode *new_fuse_inode(u64 nodeid)
{
    void *memory = kmalloc(sizeof(fuse_inode));
    fuse_inode *fi;

    if (!memory)
        return nullptr;
    fi = new (memory) fuse_inode();
    fi->nodeid = nodeid;
    fi->forget = fuse_alloc_forget();
    if (!fi->forget) {
        kfree(memory);
        return nullptr;
    }
    spin_lock_init(&fi->lock, "fuse_inode.lock");
    return fi;
}

void free_fuse_inode(fuse_inode *fi)
{
    kfree(fi->forget);
    kfree(fi);
}

// Linux v6.12 fs/fuse/inode.c fuse_init_inode().
void fuse_init_inode(inode *inode, fuse_inode *fi, umode_t mode)
{
    inode->i_private = fi;
    WRITE_ONCE(inode->i_mode, mode);
    switch (mode & S_IFMT_MASK) {
    case S_IFDIR_TYPE:
        inode->i_op = &fuse_dir_inode_operations;
        inode->i_fop = &fuse_dir_operations;
        break;
    case S_IFLNK_TYPE:
        inode->i_op = &fuse_symlink_inode_operations;
        break;
    case S_IFREG_TYPE:
        inode->i_op = &fuse_file_inode_operations;
        inode->i_fop = &fuse_file_operations;
        break;
    default:
        inode->i_op = &fuse_file_inode_operations;
        init_special_inode(inode, mode, 0);
        break;
    }
}

// Linux v6.12 fs/fuse/inode.c fuse_evict_inode().
void fuse_evict_inode(inode *inode)
{
    fuse_inode *fi = get_fuse_inode(inode);

    if (!fi || !fi->nlookup)
        return;
    fuse_queue_forget(get_fuse_conn(inode), fi->forget, fi->nodeid, fi->nlookup);
    fi->forget = nullptr;
}

// Linux v6.12 fs/fuse/inode.c fuse_free_inode().
void fuse_free_inode(inode *inode)
{
    if (inode->i_private)
        free_fuse_inode(get_fuse_inode(inode));
}

constexpr super_operations fuse_super_operations = {
    .evict_inode = fuse_evict_inode,
    .free_inode = fuse_free_inode,
};

/// Takes the first of a queue, or nullptr.
list_head *take_first(fuse_conn *fc, list_head *queue, once<long> *pending)
{
    list_head *first = nullptr;

    spin_lock(&fc->lock);
    if (!list_empty(queue)) {
        first = list_first(queue);
        list_del_init(first);
        WRITE_ONCE(*pending, READ_LOCKED(*pending) - 1);
    }
    spin_unlock(&fc->lock);
    return first;
}

void put_last(fuse_conn *fc, list_head *entry, list_head *queue, once<long> *pending)
{
    spin_lock(&fc->lock);
    list_add_tail(entry, queue);
    WRITE_ONCE(*pending, READ_LOCKED(*pending) + 1);
    spin_unlock(&fc->lock);
}

bool deliver_notification(super_block *sb)
{
    fuse_conn *fc = get_fuse_conn_super(sb);
    list_head *first = take_first(fc, &fc->notifications, &fc->notifications_pending);

    if (!first)
        return false;
    auto *notification = container_of(first, fuse_notification, link);
    qstr name = make_qstr(notification->text(), notification->length);
    // What the kernel answers the daemon has no use for.
    fuse_reverse_inval_entry(sb, notification->parent, notification->child, &name, 0);
    kfree(notification);
    return true;
}

bool deliver_forget(fuse_conn *fc)
{
    list_head *first = take_first(fc, &fc->forgets, &fc->forgets_pending);

    if (!first)
        return false;
    auto *forget = container_of(first, fuse_forget_link, link);
    fuse_daemon_forget(fc->daemon, forget->nodeid, forget->nlookup);
    kfree(forget);
    return true;
}

// --- Mounting ---

void delayed_release(rcu_head *head)
{
    auto *fc = container_of(head, fuse_conn, rcu);

    fc->~fuse_conn();
    kfree(fc);
}

// As Linux v6.12 fs/fuse/inode.c fuse_conn_put(): walks in RCU mode may still be in the file
// system, and ask whether an entry has expired. They do not get as far as the daemon.
void fuse_conn_put(fuse_conn *fc)
{
    if (fc->daemon)
        fuse_daemon_destroy(fc->daemon);
    call_rcu(&fc->rcu, delayed_release);
}

fuse_conn *new_conn(const mock_mount_options &options, const fuse_settings &settings)
{
    void *memory = kmalloc(sizeof(fuse_conn));
    fuse_conn *fc;

    if (!memory)
        return nullptr;
    fc = new (memory) fuse_conn();
    fc->watcher = mock_watcher(options);
    fc->settings = settings;
    WRITE_LOCKED(fc->clock, u64{1});
    WRITE_LOCKED(fc->first_expiry, NEVER);
    spin_lock_init(&fc->lock, "fuse_conn.lock");
    spin_lock_init(&fc->dentry_tree_lock, "fuse_conn.dentry_tree_lock");
    INIT_LIST_HEAD(&fc->forgets);
    INIT_LIST_HEAD(&fc->notifications);
    fc->daemon = fuse_daemon_create(options.last_used_ino + 1);
    if (!fc->daemon) {
        fuse_conn_put(fc);
        return nullptr;
    }
    server_set_delay(fuse_daemon_files(fc->daemon), static_cast<u64>(settings.delay_us));
    return fc;
}

/// Linux v6.12 fs/fuse/inode.c fuse_fill_super_common(). False without memory.
bool fuse_fill_super(super_block *sb, fuse_conn *fc)
{
    server_tree *files = fuse_daemon_files(fc->daemon);
    server_attributes attributes;
    inode *root;

    sb->s_op = &fuse_super_operations;
    sb->s_fs_info = fc;
    set_default_d_op(sb, &fuse_dentry_operations);
    if (server_getattr(files, server_root(files), &attributes))
        return false;
    root = fuse_iget(sb, &attributes);
    if (!root)
        return false;
    sb->s_root = d_make_root(root);
    return sb->s_root != nullptr;
}

super_block *fuse_mount(const mock_mount_options &options, const char *id)
{
    fuse_settings settings = {.entry_timeout = 1, .readdirplus = 1, .atomic_create = 1};
    const mock_knob knobs[] = {{"entry_timeout", 0, 1'000'000'000, &settings.entry_timeout},
                               {"readdirplus", 0, 1, &settings.readdirplus},
                               {"atomic_create", 0, 1, &settings.atomic_create},
                               {"delete_stale", 0, 1, &settings.delete_stale},
                               {"inval_wq", 0, 1, &settings.inval_wq},
                               {"notify", 0, 2, &settings.notify},
                               {"delay_us", 0, 60'000'000, &settings.delay_us}};
    int error = read_mock_options(options.options, knobs);
    fuse_conn *fc;
    super_block *sb;

    if (error)
        return ERR_PTR(error);
    fc = new_conn(options, settings);
    if (!fc)
        return ERR_PTR(-ENOMEM);
    sb = alloc_super(&fuse_type, id);
    if (!sb) {
        fuse_conn_put(fc);
        return ERR_PTR(-ENOMEM);
    }
    if (!fuse_fill_super(sb, fc)) {
        generic_shutdown_super(sb);
        while (deliver_forget(fc)) {
        }
        fuse_conn_put(fc);
        return ERR_PTR(-ENOMEM);
    }
    return sb;
}

bool fuse_run_pending(super_block *sb);

/// Lookups that the daemon was not given back, or too often, count as something that is left.
long fuse_unmount(super_block *sb)
{
    fuse_conn *fc = get_fuse_conn_super(sb);
    long left;

    while (fuse_run_pending(sb)) {
    }
    left = generic_shutdown_super(sb);
    // What cannot be unmounted is leaked, and with it what its dentries still point to.
    if (left)
        return left;
    while (deliver_forget(fc)) {
    }
    left = static_cast<long>(fuse_daemon_lookups(fc->daemon));
    WARN(left, "%ld lookups were not given back to the daemon", left);
    fuse_conn_put(fc);
    return left;
}

// --- The daemon's side ---

mock_node *fuse_root_node(super_block *sb)
{
    return node_of(server_root(fuse_daemon_files(get_fuse_conn_super(sb)->daemon)));
}

mock_node *fuse_add_node(super_block *sb, mock_node *directory, const char *name, size_t length,
                         umode_t mode, const char *body)
{
    server_tree *files = fuse_daemon_files(get_fuse_conn_super(sb)->daemon);
    server_attributes attributes;
    int error;

    if (S_ISLNK_mode(mode) != (body != nullptr))
        return ERR_PTR(-EINVAL);
    error = server_create(files, fileid_of(directory), name, length, mode, body, true, &attributes);
    return error ? static_cast<mock_node *>(ERR_PTR(error)) : node_of(attributes.fileid);
}

int fuse_add_directory_name(super_block *sb, mock_node *directory, const char *name, size_t length,
                            mock_node *node)
{
    server_tree *files = fuse_daemon_files(get_fuse_conn_super(sb)->daemon);

    return server_add_directory_name(files, fileid_of(node), fileid_of(directory), name, length);
}

/// What the daemon will have to say about the last name of `path`. ERR_PTR(-ENOMEM), or what the
/// server says of its directory when that is not there.
fuse_notification *new_notification(fuse_conn *fc, const char *path)
{
    server_tree *files = fuse_daemon_files(fc->daemon);
    const char *name = strrchr(path, '/') + 1;
    const size_t above = static_cast<size_t>(name - path);
    const size_t length = strlen(name);
    void *memory = kmalloc(sizeof(fuse_notification) + (length > above ? length : above) + 1);
    server_attributes attributes;
    fuse_notification *notification;
    int error;

    if (!memory)
        return ERR_PTR(-ENOMEM);
    notification = new (memory) fuse_notification();
    // The directory's path is needed for a moment only.
    memcpy(notification->text(), path, above);
    notification->text()[above > 1 ? above - 1 : 1] = '\0';
    error = server_find(files, notification->text(), &attributes);
    if (error) {
        kfree(memory);
        return ERR_PTR(error);
    }
    notification->parent = attributes.fileid;
    if (fc->settings.notify == 2 && !server_find(files, path, &attributes))
        notification->child = attributes.fileid;
    notification->length = static_cast<u32>(length);
    memcpy(notification->text(), name, length + 1);
    return notification;
}

void send_or_drop(fuse_conn *fc, fuse_notification *notification, bool send)
{
    if (notification && send)
        put_last(fc, &notification->link, &fc->notifications, &fc->notifications_pending);
    else
        kfree(notification);
}

int fuse_remote(super_block *sb, remote_change what, const char *path, const char *second_path)
{
    fuse_conn *fc = get_fuse_conn_super(sb);
    fuse_notification *first = nullptr, *second = nullptr;
    int error;

    if (fc->settings.notify) {
        first = new_notification(fc, path);
        if (IS_ERR(first))
            return PTR_ERR(first);
        if (second_path)
            second = new_notification(fc, second_path);
        if (IS_ERR(second)) {
            kfree(first);
            return PTR_ERR(second);
        }
    }
    error = server_remote_change(fuse_daemon_files(fc->daemon), what, path, second_path);
    send_or_drop(fc, first, !error);
    send_or_drop(fc, second, !error);
    return error;
}

/// First what the daemon has to say, then what it is told, then entries whose time is over.
bool fuse_run_pending(super_block *sb)
{
    fuse_conn *fc = get_fuse_conn_super(sb);

    if (deliver_notification(sb) || deliver_forget(fc))
        return true;
    if (READ_ONCE(fc->first_expiry) >= READ_ONCE(fc->clock))
        return false;
    fuse_dentry_tree_work(sb);
    return true;
}

bool fuse_has_pending(const super_block *sb)
{
    const fuse_conn *fc = get_fuse_conn_super(sb);

    return READ_LOCKED(fc->notifications_pending) || READ_LOCKED(fc->forgets_pending) ||
           READ_LOCKED(fc->first_expiry) < READ_LOCKED(fc->clock);
}

} // namespace

// Linux v6.12 fs/fuse/dev.c fuse_alloc_forget(). nullptr without memory.
fuse_forget_link *fuse_alloc_forget()
{
    void *memory = kmalloc(sizeof(fuse_forget_link));

    return memory ? new (memory) fuse_forget_link() : nullptr;
}

// Linux v6.12 fs/fuse/dev.c fuse_queue_forget().
void fuse_queue_forget(fuse_conn *fc, fuse_forget_link *forget, u64 nodeid, u64 nlookup)
{
    forget->nodeid = nodeid;
    forget->nlookup = nlookup;
    put_last(fc, &forget->link, &fc->forgets, &fc->forgets_pending);
}

// Linux v6.12 fs/fuse/inode.c fuse_change_attributes().
void fuse_change_attributes(inode *inode, const server_attributes *attributes)
{
    fuse_inode *fi = get_fuse_inode(inode);

    spin_lock(&fi->lock);
    if (attributes->change >= fi->change) {
        fi->change = attributes->change;
        WRITE_ONCE(inode->i_mode, attributes->mode);
        WRITE_ONCE(inode->i_nlink, attributes->nlink);
        WRITE_ONCE(inode->i_size, attributes->size);
    }
    spin_unlock(&fi->lock);
}

// Linux v6.12 fs/fuse/inode.c fuse_iget().
inode *fuse_iget(super_block *sb, const server_attributes *attributes)
{
    fuse_inode *fi = new_fuse_inode(attributes->fileid);
    inode *inode;

    if (!fi)
        return nullptr;
    inode = iget_locked(sb, attributes->fileid);
    if (inode && (READ_ONCE(inode->i_state) & I_NEW)) {
        fuse_init_inode(inode, fi, attributes->mode);
        unlock_new_inode(inode);
    } else {
        free_fuse_inode(fi);
    }
    if (!inode)
        return nullptr;
    fi = get_fuse_inode(inode);
    spin_lock(&fi->lock);
    fi->nlookup++;
    spin_unlock(&fi->lock);
    fuse_change_attributes(inode, attributes);
    return inode;
}

u64 fusefs_lookups(super_block *sb)
{
    return fuse_daemon_lookups(get_fuse_conn_super(sb)->daemon);
}

long fusefs_forgets_pending(const super_block *sb)
{
    return READ_ONCE(get_fuse_conn_super(sb)->forgets_pending);
}

constexpr mock_filesystem fusefs_filesystem = {
    .name = "fusefs",
    .mount = fuse_mount,
    .unmount = fuse_unmount,
    .root_node = fuse_root_node,
    .add_node = fuse_add_node,
    .add_directory_name = fuse_add_directory_name,
    .remote = fuse_remote,
    .run_pending = fuse_run_pending,
    .has_pending = fuse_has_pending,
};

} // namespace dcsim::inline DCSIM_BACKEND
