// SPDX-License-Identifier: GPL-2.0-only
//
// ovlfs: one tree made of two, as overlayfs makes it. Each layer is a memfs of its own, with its
// own super block, dentries and locks; the overlay has dentries and inodes that stand for those of
// the layers. docs/filesystems/ovlfs.md.
//
// The upper layer's root has two directories in it: `upper`, which is merged with the root of the
// lower layer, and `work`.
#include <cstring>
#include <new>

#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/err.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/vfs/lookup_era.h"
#include "mock_options.h"
#include "ovlfs_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// The upper layer's inode numbers begin so much later than the lower one's.
constexpr ino_t UPPER_RANGE = ino_t{1} << 32;

constexpr file_system_type ovl_fs_type = {
    .name = "ovlfs",
    .i_rwsem_class = "overlay i_rwsem",
    .s_vfs_rename_class = "overlay s_vfs_rename_mutex",
};

void ovl_d_release(dentry *dentry)
{
    OVL_FS(dentry->d_sb)->watcher.released(dentry);
}

constexpr dentry_operations ovl_dentry_operations = {.d_release = ovl_d_release};

// --- The tree as it is filled ---

mock_node *mock_of(ovl_node *node)
{
    return reinterpret_cast<mock_node *>(node);
}
ovl_node *node_of(mock_node *node)
{
    return reinterpret_cast<ovl_node *>(node);
}

/// nullptr without memory.
ovl_node *new_ovl_node(ovl_node *parent, const name_key &key, umode_t mode, const char *body)
{
    size_t body_size = body ? strlen(body) + 1 : 0;
    void *memory = kmalloc(sizeof(ovl_node) + key.length + 1 + body_size);
    ovl_node *node;

    if (!memory)
        return nullptr;
    node = new (memory) ovl_node();
    node->parent = parent;
    node->mode = mode;
    node->length = key.length;
    memcpy(node->name(), key.text, key.length);
    node->name()[key.length] = '\0';
    if (body) {
        char *copy = node->name() + key.length + 1;

        memcpy(copy, body, body_size);
        node->body = copy;
    }
    INIT_LIST_HEAD(&node->children);
    INIT_LIST_HEAD(&node->siblings);
    if (parent)
        list_add_tail(&node->siblings, &parent->children);
    return node;
}

ovl_node *child_of(list_head *link)
{
    return container_of(link, ovl_node, siblings);
}

void free_ovl_node(ovl_node *node)
{
    list_del_init(&node->siblings);
    kfree(node);
}

/// Frees the record of a tree, not the tree.
void free_ovl_nodes(ovl_node *root)
{
    ovl_node *node = root;

    while (node) {
        ovl_node *parent = node->parent;

        if (!list_empty(&node->children)) {
            node = child_of(list_first(&node->children));
            continue;
        }
        free_ovl_node(node);
        node = parent;
    }
}

ovl_node *find_ovl_node(ovl_node *directory, const name_key &key)
{
    list_head *children = &directory->children;

    for (list_head *at = list_first(children); at != children; at = list_next(at)) {
        ovl_node *node = child_of(at);

        if (node->length == key.length && !memcmp(node->name(), key.text, key.length))
            return node;
    }
    return nullptr;
}

int add_to_upper(super_block *sb, ovl_node *node)
{
    node->upper = memfs_add_node(OVL_FS(sb)->upper_sb, node->parent->upper, node->name(),
                                 node->length, node->mode, node->body);
    if (!IS_ERR(node->upper))
        return 0;
    int error = PTR_ERR(node->upper);
    node->upper = nullptr;
    return error;
}

/// Sees to it that a directory is in the upper layer too. 0 or a negative errno.
int make_upper_directory(super_block *sb, ovl_node *node)
{
    int error;

    if (node->upper)
        return 0;
    error = make_upper_directory(sb, node->parent);
    if (!error)
        error = ovl_set_impure_xattr(OVL_FS(sb), memfs_node_ino(node->parent->upper));
    if (error)
        return error;
    if (node->parent == OVL_FS(sb)->root)
        ovl_set_flag(OVL_IMPURE, d_inode(sb->s_root));
    return add_to_upper(sb, node);
}

/// Moves an object, and what is below it, from the lower layer to the upper one.
int move_to_upper(super_block *sb, ovl_node *node)
{
    list_head *children = &node->children;
    int error = node->upper ? 0 : add_to_upper(sb, node);

    for (list_head *at = list_first(children); !error && at != children; at = list_next(at))
        error = move_to_upper(sb, child_of(at));
    if (!error && node->lower) {
        error = memfs_remove_node(OVL_FS(sb)->lower_sb, node->parent->lower, node->name(),
                                  node->length);
        if (!error)
            node->lower = nullptr;
    }
    return error;
}

/// A whiteout over what the lower layer has.
int add_whiteout(super_block *sb, ovl_node *node)
{
    memfs_node *whiteout;
    int error;

    if (node->upper)
        return -EEXIST;
    error = make_upper_directory(sb, node->parent);
    if (error)
        return error;
    whiteout = memfs_add_node(OVL_FS(sb)->upper_sb, node->parent->upper, node->name(), node->length,
                              S_IFCHR_TYPE, nullptr);
    return IS_ERR(whiteout) ? PTR_ERR(whiteout) : 0;
}

int make_opaque(super_block *sb, ovl_node *node)
{
    int error = make_upper_directory(sb, node);

    return error ? error : ovl_set_opaque_xattr(OVL_FS(sb), memfs_node_ino(node->upper));
}

// --- Mounting ---

/// The two layers, the upper one with its two directories. 0 or -ENOMEM; what is there is for
/// ovl_free_fs().
int ovl_get_layers(ovl_fs *ofs, const char *id)
{
    memfs_options lower = {};
    memfs_options upper = {};
    memfs_node *node;

    lower.last_used_ino = ofs->last_used_ino;
    upper.last_used_ino = ofs->last_used_ino + UPPER_RANGE;
    ofs->upper_sb = memfs_mount(upper, id);
    if (IS_ERR(ofs->upper_sb)) {
        ofs->upper_sb = nullptr;
        return -ENOMEM;
    }
    ofs->lower_sb = memfs_mount(lower, id);
    if (IS_ERR(ofs->lower_sb)) {
        ofs->lower_sb = nullptr;
        return -ENOMEM;
    }
    node = memfs_root_node(ofs->upper_sb);
    if (IS_ERR(memfs_add_node(ofs->upper_sb, node, "work", 4, S_IFDIR_TYPE | 0755, nullptr)))
        return -ENOMEM;
    ofs->root = new_ovl_node(nullptr, {"", 0}, S_IFDIR_TYPE | 0755, nullptr);
    if (!ofs->root)
        return -ENOMEM;
    ofs->root->lower = memfs_root_node(ofs->lower_sb);
    ofs->root->upper =
        memfs_add_node(ofs->upper_sb, node, "upper", 5, S_IFDIR_TYPE | 0755, nullptr);
    return IS_ERR(ofs->root->upper) ? -ENOMEM : 0;
}

/// Finds the directories of the upper layer. 0 or -ENOMEM.
int ovl_get_workdir(ovl_fs *ofs)
{
    dentry *found = lookup_path(ofs->upper_sb->s_root, "upper", 5);

    if (IS_ERR(found))
        return PTR_ERR(found);
    ofs->upperdir = found;
    found = lookup_path(ofs->upper_sb->s_root, "work", 4);
    if (IS_ERR(found))
        return PTR_ERR(found);
    ofs->workdir = found;
    return 0;
}

// Linux v6.12 fs/overlayfs/super.c ovl_get_root(). The root is merged always, and known by the
// upper one's number.
dentry *ovl_get_root(super_block *sb)
{
    ovl_fs *ofs = OVL_FS(sb);
    inode *inode = ovl_get_inode(sb, dget(ofs->upperdir), nullptr);

    if (IS_ERR(inode))
        return nullptr;
    // Nobody else knows it yet.
    OVL_I(inode)->lowerdentry = dget(ofs->lower_sb->s_root);
    ovl_set_flag(OVL_WHITEOUTS, inode);
    return d_make_root(inode);
}

// Linux v6.12 fs/overlayfs/super.c ovl_free_fs(). Returns what could not be unmounted.
long ovl_free_fs(ovl_fs *ofs)
{
    long left = 0;

    ovl_free_xattrs(ofs);
    dput(ofs->workdir);
    dput(ofs->upperdir);
    free_ovl_nodes(ofs->root);
    if (ofs->lower_sb)
        left += memfs_unmount(ofs->lower_sb);
    if (ofs->upper_sb)
        left += memfs_unmount(ofs->upper_sb);
    ofs->~ovl_fs();
    kfree(ofs);
    return left;
}

// Linux v6.12 fs/overlayfs/super.c ovl_fill_super().
int ovl_fill_super(super_block *sb, ovl_fs *ofs)
{
    int error = ovl_get_layers(ofs, sb->s_id);

    if (!error)
        error = ovl_get_workdir(ofs);
    if (error)
        return error;
    sb->s_op = &ovl_super_operations;
    sb->s_fs_info = ofs;
    set_default_d_op(sb, &ovl_dentry_operations);
    sb->s_root = ovl_get_root(sb);
    return sb->s_root ? 0 : -ENOMEM;
}

/// 0, -EINVAL, -ENOMEM.
int new_ovl_fs(const mock_mount_options &options, ovl_fs **result)
{
    int64_t readdir_form = OVL_READDIR_WAIT, recheck = 1, shared = 0, xino = 1;
    const mock_knob knobs[] = {
        {"readdir", OVL_READDIR_WAIT, OVL_READDIR_BLOCKER, &readdir_form},
        {"recheck", 0, 1, &recheck},
        {"shared", 0, 1, &shared},
        {"xino", 0, 1, &xino},
    };
    int error = read_mock_options(options.options, knobs);
    void *memory;
    ovl_fs *ofs;

    if (error)
        return error;
    // d_alloc_noblock() is not in the eras before the wait queue was the dentry's own.
    if (readdir_form != OVL_READDIR_WAIT && lookup_era_has_caller_queue(current_lookup_era()))
        return -EINVAL;
    memory = kmalloc(sizeof(ovl_fs));
    if (!memory)
        return -ENOMEM;
    ofs = new (memory) ovl_fs();
    ofs->watcher = mock_watcher(options);
    ofs->last_used_ino = options.last_used_ino;
    ofs->readdir_form = readdir_form;
    ofs->recheck = recheck;
    ofs->shared = shared;
    ofs->xino = xino;
    mutex_init(&ofs->xattr_lock, "ovl_fs.xattr_lock");
    *result = ofs;
    return 0;
}

super_block *ovl_mount(const mock_mount_options &options, const char *id)
{
    ovl_fs *ofs;
    int error = new_ovl_fs(options, &ofs);
    super_block *sb;

    if (error)
        return ERR_PTR(error);
    sb = alloc_super(&ovl_fs_type, id);
    error = sb ? ovl_fill_super(sb, ofs) : -ENOMEM;
    if (error) {
        if (sb)
            generic_shutdown_super(sb);
        ovl_free_fs(ofs);
        return ERR_PTR(error);
    }
    return sb;
}

/// What cannot be unmounted is leaked, and the layers with it.
long ovl_unmount(super_block *sb)
{
    ovl_fs *ofs = OVL_FS(sb);
    long left = generic_shutdown_super(sb);

    return left ? left : ovl_free_fs(ofs);
}

// --- Filling ---

mock_node *ovl_root_node(super_block *sb)
{
    return mock_of(OVL_FS(sb)->root);
}

/// Into the lower layer, unless the directory is in the upper one alone.
mock_node *ovl_add_node(super_block *sb, mock_node *directory, const char *name, size_t length,
                        umode_t mode, const char *body)
{
    ovl_fs *ofs = OVL_FS(sb);
    ovl_node *parent = node_of(directory);
    const bool below = parent->lower != nullptr;
    const name_key key = {name, length};
    ovl_node *node;
    memfs_node *real;

    if (find_ovl_node(parent, key))
        return ERR_PTR(-EEXIST);
    node = new_ovl_node(parent, key, mode, body);
    if (!node)
        return ERR_PTR(-ENOMEM);
    real = memfs_add_node(below ? ofs->lower_sb : ofs->upper_sb,
                          below ? parent->lower : parent->upper, name, length, mode, body);
    if (IS_ERR(real)) {
        free_ovl_node(node);
        return ERR_CAST(real);
    }
    (below ? node->lower : node->upper) = real;
    return mock_of(node);
}

int ovl_set_node_flag(super_block *sb, mock_node *mock, const char *flag)
{
    ovl_node *node = node_of(mock);
    const bool is_dir = S_ISDIR_mode(node->mode);
    int error;

    if (node == OVL_FS(sb)->root)
        return -EINVAL;
    if (!strcmp(flag, "upper")) {
        error = make_upper_directory(sb, node->parent);
        return error ? error : move_to_upper(sb, node);
    }
    if (!node->lower)
        return -EINVAL;
    if (!strcmp(flag, "whiteout"))
        return add_whiteout(sb, node);
    if (!strcmp(flag, "merged") && is_dir)
        return make_upper_directory(sb, node);
    if (!strcmp(flag, "opaque") && is_dir)
        return make_opaque(sb, node);
    return -EINVAL;
}

} // namespace

constexpr mock_filesystem ovlfs_filesystem = {
    .name = "ovlfs",
    .mount = ovl_mount,
    .unmount = ovl_unmount,
    .root_node = ovl_root_node,
    .add_node = ovl_add_node,
    .set_node_flag = ovl_set_node_flag,
};

} // namespace dcsim::inline DCSIM_BACKEND
