// SPDX-License-Identifier: GPL-2.0-only
//
// casefs as one of the mock file systems: mounting, filling the disk, and what others do to it.
#include "casefs.h"

#include <cstring>
#include <new>

#include "dcsim/kernel/err.h"
#include "dcsim/kernel/slab.h"
#include "mock_options.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

constexpr file_system_type casefs_type = {"casefs"};

// --- Mounting ---

/// 0, or -EINVAL for options that do not go together.
int read_options(std::span<const mock_option> given, casefs_options *options)
{
    const mock_knob knobs[] = {
        {"casefold", 0, 1, &options->casefold},     {"compare", 0, 1, &options->compare},
        {"add_ci", 0, 1, &options->add_ci},         {"negatives", 0, 1, &options->negatives},
        {"revalidate", 0, 1, &options->revalidate}, {"prime", 0, 1, &options->prime},
    };
    const int error = read_mock_options(given, knobs);

    if (error)
        return error;
    // A cache that tells spellings apart must be given one only.
    if (!options->compare)
        options->add_ci = 1;
    // One spelling is missing, and the file may be made under another.
    return options->negatives && !options->compare ? -EINVAL : 0;
}

casefs_disk *new_disk(const mock_mount_options &mounted_with, const casefs_options &options)
{
    void *memory = kmalloc(sizeof(casefs_disk));
    server_tree *server = server_tree_create(mounted_with.last_used_ino + 1);
    casefs_disk *disk;

    if (!memory || !server) {
        kfree(memory);
        if (server)
            server_tree_destroy(server);
        return nullptr;
    }
    disk = new (memory) casefs_disk();
    disk->watcher = mock_watcher(mounted_with);
    disk->options = options;
    disk->server = server;
    mutex_init(&disk->change_lock, "casefs.change_lock");
    spin_lock_init(&disk->folding_lock, "casefs.folding_lock");
    INIT_LIST_HEAD(&disk->folding);
    return disk;
}

/// Fills in a new super block. False without memory, and then with nothing left on it.
bool fill_super(super_block *sb, const mock_mount_options &mounted_with,
                const casefs_options &options)
{
    casefs_disk *disk = new_disk(mounted_with, options);
    server_attributes attributes;
    inode *root;

    if (!disk)
        return false;
    sb->s_op = &casefs_super_operations;
    sb->s_fs_info = disk;
    set_default_d_op(sb, casefs_dentry_operations(disk->options));
    server_getattr(disk->server, server_root(disk->server), &attributes);
    root = casefs_iget(sb, attributes);
    if (!IS_ERR(root))
        sb->s_root = d_make_root(root);
    if (!sb->s_root)
        casefs_free_disk(disk);
    return sb->s_root != nullptr;
}

super_block *casefs_mount(const mock_mount_options &mounted_with, const char *id)
{
    casefs_options options;
    const int error = read_options(mounted_with.options, &options);
    super_block *sb;

    if (error)
        return ERR_PTR(error);
    sb = alloc_super(&casefs_type, id);
    if (!sb)
        return ERR_PTR(-ENOMEM);
    if (!fill_super(sb, mounted_with, options)) {
        generic_shutdown_super(sb);
        return ERR_PTR(-ENOMEM);
    }
    return sb;
}

long casefs_unmount(super_block *sb)
{
    return generic_shutdown_super(sb);
}

// --- Filling the disk ---

/// Is there a name in this directory, on the server, that is one with this one? Fills in `found`,
/// which may be the very name. 0 or a negative errno.
int find_by_id(casefs_disk *disk, u64 directory, const char *name, size_t length,
               server_entry *found)
{
    if (casefs_folds(disk, directory))
        return server_lookup_nocase(disk->server, directory, name, length, found);
    return server_lookup(disk->server, directory, name, length, &found->attributes);
}

/// An inode that is in memory while its object is changed, as the root's always is.
void refresh_cached_inode(super_block *sb, u64 fileid)
{
    inode *inode = ilookup(sb, fileid);

    if (inode) {
        casefs_refresh(inode);
        iput(inode);
    }
}

mock_node *casefs_root_node(super_block *sb)
{
    return node_of(server_root(casefs_disk_of(sb)->server));
}

mock_node *casefs_add_node(super_block *sb, mock_node *directory, const char *name, size_t length,
                           umode_t mode, const char *body)
{
    casefs_disk *disk = casefs_disk_of(sb);
    const u64 dir = fileid_of(directory);
    const bool inherits = S_ISDIR_mode(mode) && !disk->options.casefold && casefs_folds(disk, dir);
    casefs_folding *record = nullptr;
    server_attributes made;
    server_entry same;
    int error;

    if (S_ISLNK_mode(mode) != (body != nullptr))
        return ERR_PTR(-EINVAL);
    error = find_by_id(disk, dir, name, length, &same);
    if (error != -ENOENT)
        return ERR_PTR(error ? error : -EEXIST);
    if (inherits) {
        record = casefs_new_folding();
        if (!record)
            return ERR_PTR(-ENOMEM);
    }
    error = server_create(disk->server, dir, name, length, mode, body, true, &made);
    if (error) {
        kfree(record);
        return ERR_PTR(error);
    }
    if (record)
        casefs_add_folding(disk, record, made.fileid);
    refresh_cached_inode(sb, dir);
    return node_of(made.fileid);
}

int casefs_add_directory_name(super_block *sb, mock_node *directory, const char *name,
                              size_t length, mock_node *node)
{
    casefs_disk *disk = casefs_disk_of(sb);
    server_entry same;
    const int error = find_by_id(disk, fileid_of(directory), name, length, &same);

    if (error != -ENOENT)
        return error ? error : -EEXIST;
    return server_add_directory_name(disk->server, fileid_of(node), fileid_of(directory), name,
                                     length);
}

/// Are two names of this directory one when case does not count?
bool has_twins(server_tree *server, u64 directory)
{
    server_entry entry = {};
    server_entry first;

    while (server_readdir(server, directory, entry.cookie, &entry) > 0) {
        server_lookup_nocase(server, directory, entry.name, entry.length, &first);
        if (first.cookie != entry.cookie)
            return true;
    }
    return false;
}

/// "casefold": the names of this directory fold, and directories made in it do the same from the
/// start. -ENOTDIR; -EEXIST when two of its names would be one.
int casefs_set_node_flag(super_block *sb, mock_node *node, const char *flag)
{
    casefs_disk *disk = casefs_disk_of(sb);
    const u64 fileid = fileid_of(node);
    server_attributes attributes;
    casefs_folding *record;
    inode *inode;

    if (strcmp(flag, "casefold") != 0)
        return -EINVAL;
    if (server_getattr(disk->server, fileid, &attributes) || !S_ISDIR_mode(attributes.mode))
        return -ENOTDIR;
    if (casefs_folds(disk, fileid))
        return 0;
    if (has_twins(disk->server, fileid))
        return -EEXIST;
    record = casefs_new_folding();
    if (!record)
        return -ENOMEM;
    casefs_add_folding(disk, record, fileid);
    inode = ilookup(sb, fileid);
    if (inode) {
        WRITE_ONCE(inode->i_flags, READ_ONCE(inode->i_flags) | S_CASEFOLD);
        iput(inode);
    }
    return 0;
}

// --- Others who change it ---

/// The directory that a path's last component is in, on the server, and that component. 0 or a
/// negative errno.
int find_parent(casefs_disk *disk, const char *path, server_attributes *parent, const char **name)
{
    int error = server_getattr(disk->server, server_root(disk->server), parent);

    *name = path + 1;
    while (const char *slash = error ? nullptr : strchr(*name, '/')) {
        error = server_lookup(disk->server, parent->fileid, *name,
                              static_cast<size_t>(slash - *name), parent);
        *name = slash + 1;
    }
    return error;
}

/// May somebody put a name there? Not when the directory folds and has that name in another
/// spelling, unless it is `moved` that is to be spelled otherwise. change_lock held. *folds: of the
/// directory.
int check_remote_name(casefs_disk *disk, const char *path, u64 moved, bool *folds)
{
    server_attributes parent;
    server_entry same;
    const char *name;
    int error = find_parent(disk, path, &parent, &name);

    if (error)
        return error;
    *folds = casefs_folds(disk, parent.fileid);
    if (!*folds)
        return 0;
    error = server_lookup_nocase(disk->server, parent.fileid, name, strlen(name), &same);
    if (error)
        return error == -ENOENT ? 0 : error;
    return strcmp(same.name, name) == 0 || same.attributes.fileid == moved ? 0 : -EEXIST;
}

/// Somebody else makes a directory, which inherits its flag.
int remote_mkdir(casefs_disk *disk, const char *path)
{
    casefs_folding *record = nullptr;
    server_attributes made;
    bool folds;
    int error = check_remote_name(disk, path, 0, &folds);

    if (!error && folds && !disk->options.casefold) {
        record = casefs_new_folding();
        error = record ? 0 : -ENOMEM;
    }
    if (!error)
        error = server_remote_change(disk->server, remote_change::mkdir, path, nullptr);
    if (!error && record) {
        server_find(disk->server, path, &made);
        casefs_add_folding(disk, record, made.fileid);
        return 0;
    }
    kfree(record);
    return error;
}

int change_remotely(casefs_disk *disk, remote_change what, const char *path,
                    const char *second_path)
{
    server_attributes moved = {};
    bool folds;
    int error = 0;

    switch (what) {
    case remote_change::mkdir:
        return remote_mkdir(disk, path);
    case remote_change::create:
        error = check_remote_name(disk, path, 0, &folds);
        break;
    case remote_change::rename:
        error = server_find(disk->server, path, &moved);
        if (!error)
            error = check_remote_name(disk, second_path, moved.fileid, &folds);
        break;
    case remote_change::remove:
    case remote_change::replace:
        break;
    }
    return error ? error : server_remote_change(disk->server, what, path, second_path);
}

int casefs_remote(super_block *sb, remote_change what, const char *path, const char *second_path)
{
    casefs_disk *disk = casefs_disk_of(sb);
    int error;

    mutex_lock(&disk->change_lock);
    error = change_remotely(disk, what, path, second_path);
    mutex_unlock(&disk->change_lock);
    return error;
}

inode *casefs_inode_by_path(super_block *sb, const char *path)
{
    casefs_disk *disk = casefs_disk_of(sb);
    server_attributes attributes;
    inode *inode;
    int error;

    mutex_lock(&disk->change_lock);
    error = server_find(disk->server, path, &attributes);
    inode = error ? ERR_PTR(error) : casefs_iget(sb, attributes);
    mutex_unlock(&disk->change_lock);
    return inode;
}

} // namespace

constexpr mock_filesystem casefs_filesystem = {
    .name = "casefs",
    .mount = casefs_mount,
    .unmount = casefs_unmount,
    .root_node = casefs_root_node,
    .add_node = casefs_add_node,
    .add_directory_name = casefs_add_directory_name,
    .set_node_flag = casefs_set_node_flag,
    .remote = casefs_remote,
    .inode_by_path = casefs_inode_by_path,
};

} // namespace dcsim::inline DCSIM_BACKEND
