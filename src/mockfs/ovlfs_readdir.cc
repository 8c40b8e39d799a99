// SPDX-License-Identifier: GPL-2.0-only
//
// Reading merged directories. After fs/overlayfs/readdir.c of Linux v6.12, with the proposals of
// April 2026 for its lookups.
//
// The names of both layers are read into a list, each name once, and kept until the directory
// changes (ovl_dir_cache). What getdents64(2) shall report as inode number is the overlay's, and
// that takes a lookup of the child in the overlay while its directory is being read:
// ovl_cache_update().
//
// Readers of one directory are kept apart. v6.12 has WRAP_DIR_ITER(): the shared i_rwsem that
// ->iterate_shared() comes with is given up for one held for writing. With option `shared` it is
// ovl_inode::lock instead, as posted in March 2024, and i_rwsem stays shared.
#include <cstring>
#include <new>

#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/err.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/vfs/libfs.h"
#include "dcsim/vfs/proposed.h"
#include "ovlfs_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

constexpr unsigned DT_CHR_TYPE = S_IFCHR_TYPE >> 12;

/// One name of a merged directory. The text, NUL-terminated, follows the structure.
struct ovl_cache_entry {
    ovl_set_hook link;
    list_head l_node;
    ovl_cache_entry *next_maybe_whiteout;
    size_t length;
    unsigned type; ///< DT_*
    ino_t real_ino;
    ino_t ino; ///< 0: not known yet
    bool is_upper;
    bool is_whiteout; ///< or not there any more

    char *name()
    {
        return reinterpret_cast<char *>(this + 1);
    }
    name_key key() const
    {
        return {reinterpret_cast<const char *>(this + 1), length};
    }
    bool is(const char *text) const
    {
        return length == strlen(text) && !memcmp(key().text, text, length);
    }
};
using entry_order = name_order<ovl_cache_entry>;
using entry_set = boost::intrusive::set<
    ovl_cache_entry, boost::intrusive::compare<entry_order>,
    boost::intrusive::constant_time_size<false>,
    boost::intrusive::member_hook<ovl_cache_entry, ovl_set_hook, &ovl_cache_entry::link>>;

ovl_cache_entry *entry_of(list_head *node)
{
    return container_of(node, ovl_cache_entry, l_node);
}

/// A reading of one layer's directory.
struct ovl_readdir_data {
    dir_context ctx;
    struct dentry *dentry; ///< the overlay's directory; nullptr: no numbers wanted
    list_head *list;
    entry_set *root;
    list_head middle; ///< the lowest layer's names, before the upper ones
    ovl_cache_entry *first_maybe_whiteout;
    int count;
    int err;
    bool is_lowest;
    bool is_upper;
};

// --- The list ---

ovl_cache_entry *ovl_cache_entry_find(entry_set *root, const name_key &key)
{
    auto found = root->find(key, entry_order());

    return found == root->end() ? nullptr : &*found;
}

// Linux v6.12 fs/overlayfs/readdir.c ovl_calc_d_ino(). Has the number to be found out later?
bool ovl_calc_d_ino(const ovl_readdir_data *rdd, const ovl_cache_entry *p)
{
    if (!rdd->dentry)
        return false;
    if (OVL_FS(rdd->dentry->d_sb)->xino || p->is(".."))
        return true;
    // Nothing but what is in the upper layer may have another number in the overlay.
    if (!rdd->is_upper)
        return false;
    return p->is(".") || ovl_test_flag(OVL_IMPURE, d_inode(rdd->dentry));
}

ovl_cache_entry *ovl_cache_entry_new(ovl_readdir_data *rdd, const name_key &key, ino_t ino,
                                     unsigned type)
{
    void *memory = kmalloc(sizeof(ovl_cache_entry) + key.length + 1);
    ovl_cache_entry *p;

    if (!memory)
        return nullptr;
    p = new (memory) ovl_cache_entry();
    memcpy(p->name(), key.text, key.length);
    p->name()[key.length] = '\0';
    p->length = key.length;
    p->type = type;
    p->real_ino = ino;
    p->ino = ovl_calc_d_ino(rdd, p) ? 0 : ino;
    p->is_upper = rdd->is_upper;
    if (type == DT_CHR_TYPE) {
        p->next_maybe_whiteout = rdd->first_maybe_whiteout;
        rdd->first_maybe_whiteout = p;
    }
    return p;
}

void free_entry(ovl_cache_entry *p)
{
    p->~ovl_cache_entry();
    kfree(p);
}

// Linux v6.12 fs/overlayfs/readdir.c ovl_fill_merge(), with ovl_cache_entry_add_rb() and
// ovl_fill_lowest().
bool ovl_fill_merge(dir_context *ctx, const char *name, int length, int64_t, ino_t ino,
                    unsigned type)
{
    auto *rdd = container_of(ctx, ovl_readdir_data, ctx);
    const name_key key = {name, static_cast<size_t>(length)};
    ovl_cache_entry *p = ovl_cache_entry_find(rdd->root, key);

    rdd->count++;
    if (p) {
        // Names that the lowest layer has keep its order, so that positions mean about the same
        // whatever the upper layer gets.
        if (rdd->is_lowest)
            list_move_tail(&p->l_node, &rdd->middle);
        return true;
    }
    p = ovl_cache_entry_new(rdd, key, ino, type);
    if (!p) {
        rdd->err = -ENOMEM;
        return false;
    }
    list_add_tail(&p->l_node, rdd->is_lowest ? &rdd->middle : rdd->list);
    rdd->root->insert(*p);
    return true;
}

// Linux v6.17 fs/overlayfs/readdir.c ovl_check_whiteouts(). Devices need a closer look.
int ovl_check_whiteouts(dentry *dir, ovl_readdir_data *rdd)
{
    while (rdd->first_maybe_whiteout) {
        ovl_cache_entry *p = rdd->first_maybe_whiteout;
        qstr name = make_qstr(p->name(), static_cast<u32>(p->length));
        dentry *real = lookup_noperm_unlocked(&name, dir);

        rdd->first_maybe_whiteout = p->next_maybe_whiteout;
        if (IS_ERR(real))
            return PTR_ERR(real);
        p->is_whiteout = ovl_is_whiteout(real);
        dput(real);
    }
    return 0;
}

/// Opens a directory of a layer. ERR_PTR(-ENOMEM).
file *open_layer(dentry *real)
{
    file *file = alloc_empty_file(OPEN_RDONLY | OPEN_DIRECTORY, &init_cred);
    const path path = {nullptr, real};
    int error;

    if (IS_ERR(file))
        return file;
    error = vfs_open(&path, file);
    if (error) {
        fput(file);
        return ERR_PTR(error);
    }
    return file;
}

// Linux v6.12 fs/overlayfs/readdir.c ovl_dir_read(). Reads one layer's directory into the list.
int ovl_dir_read(dentry *real, ovl_readdir_data *rdd)
{
    file *realfile = open_layer(real);
    int err;

    if (IS_ERR(realfile))
        return PTR_ERR(realfile);
    rdd->first_maybe_whiteout = nullptr;
    do {
        rdd->count = 0;
        rdd->err = 0;
        err = iterate_dir(realfile, &rdd->ctx);
        if (err >= 0)
            err = rdd->err;
    } while (!err && rdd->count);
    if (!err && rdd->dentry)
        err = ovl_check_whiteouts(real, rdd);
    fput(realfile);
    return err;
}

// Linux v6.12 fs/overlayfs/readdir.c ovl_dir_read_merged().
int ovl_dir_read_merged(dentry *dentry, list_head *list, entry_set *root)
{
    struct dentry *upper = ovl_dentry_upper(dentry);
    struct dentry *lower = ovl_dentry_lower(dentry);
    ovl_readdir_data rdd = {};
    int err = 0;

    rdd.ctx.actor = ovl_fill_merge;
    rdd.dentry = dentry;
    rdd.list = list;
    rdd.root = root;
    if (upper) {
        rdd.is_upper = true;
        err = ovl_dir_read(upper, &rdd);
    }
    if (!err && lower) {
        rdd.is_upper = false;
        rdd.is_lowest = true;
        INIT_LIST_HEAD(&rdd.middle);
        err = ovl_dir_read(lower, &rdd);
        // What the lowest layer has comes first.
        list_splice_init(&rdd.middle, list);
    }
    return err;
}

} // namespace

/// The names of a directory as they were at one version of it. Never changed but for numbers that
/// were found out and names that turned out to be gone.
struct ovl_dir_cache {
    long refcount; ///< files that read it
    u64 version;
    list_head entries;
    entry_set root;
};

namespace
{

/// What keeps the readers of a directory apart: ovl_inode::lock or i_rwsem.
void lock_readers(const ovl_fs *ofs, inode *inode) __context_unsafe("one lock or the other")
{
    if (ofs->shared)
        mutex_lock(&OVL_I(inode)->lock);
    else
        inode_lock(inode);
}

void unlock_readers(const ovl_fs *ofs, inode *inode) __context_unsafe("one lock or the other")
{
    if (ofs->shared)
        mutex_unlock(&OVL_I(inode)->lock);
    else
        inode_unlock(inode);
}

/// file::private_data of an open directory.
struct ovl_dir_file {
    bool is_real; ///< read from one layer alone: realfile
    ovl_dir_cache *cache;
    list_head *cursor; ///< in the cache
    file *realfile;
};

ovl_dir_file *dir_file_of(const file *file)
{
    return static_cast<ovl_dir_file *>(file->private_data);
}

ovl_dir_cache *new_cache()
{
    void *memory = kmalloc(sizeof(ovl_dir_cache));
    ovl_dir_cache *cache;

    if (!memory)
        return nullptr;
    cache = new (memory) ovl_dir_cache();
    INIT_LIST_HEAD(&cache->entries);
    return cache;
}

void free_cache(ovl_dir_cache *cache)
{
    cache->root.clear();
    ovl_cache_free(&cache->entries);
    cache->~ovl_dir_cache();
    kfree(cache);
}

// Linux v6.12 fs/overlayfs/readdir.c ovl_cache_put().
void ovl_cache_put(ovl_dir_file *od, inode *inode)
{
    ovl_dir_cache *cache = od->cache;

    if (--cache->refcount)
        return;
    if (OVL_I(inode)->cache == cache)
        OVL_I(inode)->cache = nullptr;
    free_cache(cache);
}

// Linux v6.12 fs/overlayfs/readdir.c ovl_cache_get(). ERR_PTR.
ovl_dir_cache *ovl_cache_get(dentry *dentry)
{
    ovl_inode *oi = OVL_I(d_inode(dentry));
    ovl_dir_cache *cache = oi->cache;
    int error;

    if (cache && cache->version == oi->version) {
        cache->refcount++;
        return cache;
    }
    // An old one stays with those who read it.
    oi->cache = nullptr;
    cache = new_cache();
    if (!cache)
        return ERR_PTR(-ENOMEM);
    error = ovl_dir_read_merged(dentry, &cache->entries, &cache->root);
    if (error) {
        free_cache(cache);
        return ERR_PTR(error);
    }
    cache->refcount = 1;
    cache->version = oi->version;
    oi->cache = cache;
    return cache;
}

// Linux v6.12 fs/overlayfs/readdir.c ovl_dir_reset(). Reading begins anew: has the directory
// changed?
void ovl_dir_reset(ovl_dir_file *od, inode *inode)
{
    if (od->cache && OVL_I(inode)->version != od->cache->version) {
        ovl_cache_put(od, inode);
        od->cache = nullptr;
        od->cursor = nullptr;
    }
    // A directory that was copied up since is not read from one layer any more.
    if (!ovl_dir_is_real(inode))
        od->is_real = false;
}

// Linux v6.12 fs/overlayfs/readdir.c ovl_seek_cursor().
void ovl_seek_cursor(ovl_dir_file *od, int64_t pos)
{
    list_head *p = list_first(&od->cache->entries);

    for (int64_t off = 0; p != &od->cache->entries && off < pos; off++)
        p = list_next(p);
    od->cursor = p;
}

// --- The number of a child ---

/// v3 09/19 and 10/19: the contended name gets a second dentry, which is hashed when it has been
/// looked up. The other task's lookup, when it gets the directory, finds and returns that one.
dentry *ovl_alloc_beside(dentry *dir, const char *name)
{
    dentry *fresh = d_alloc_name(dir, name);

    if (!fresh)
        return ERR_PTR(-ENOMEM);
    // For the checker, which knows no other reason for a name to be hashed and in lookup at once.
    spin_lock(&fresh->d_lockref.lock);
    fresh->d_flags |= DCACHE_BESIDE_LOOKUP;
    spin_unlock(&fresh->d_lockref.lock);
    return fresh;
}

/// Somebody else is looking the name up, with `in_lookup`. Tells them that readdir was here.
void ovl_raced_readdir(dentry *in_lookup)
{
    ovl_dentry_set_flag(OVL_E_RACED_READDIR, in_lookup);
    dput(in_lookup);
}

/// A dentry for a child without waiting for anybody: one that is known, or one to be looked up by
/// the caller (*mine), in lookup or beside somebody else's that is. Or ERR_PTR.
dentry *ovl_alloc_noblock(const ovl_fs *ofs, dentry *dir, ovl_cache_entry *p, bool *mine)
{
    qstr name = make_qstr(p->name(), static_cast<u32>(p->length));
    dentry *child, *in_lookup;

    switch (ofs->readdir_form) {
    case OVL_READDIR_NOBLOCK:
        child = d_alloc_noblock(dir, &name);
        break;
    case OVL_READDIR_RETURN:
        // Written with this one error only: with any other result it must not be looked at.
        child = d_alloc_noblock_return(dir, &name, &in_lookup);
        if (IS_ERR(child) && PTR_ERR(child) == -EWOULDBLOCK)
            ovl_raced_readdir(in_lookup);
        break;
    default:
        child = d_alloc_noblock_blocker(dir, &name, &in_lookup);
        if (in_lookup)
            ovl_raced_readdir(in_lookup);
        break;
    }
    if (IS_ERR(child) && PTR_ERR(child) == -EWOULDBLOCK) {
        child = ovl_alloc_beside(dir, p->name());
        *mine = !IS_ERR(child);
    } else {
        *mine = !IS_ERR(child) && d_in_lookup(child);
    }
    return child;
}

// v3 09/19 fs/overlayfs/readdir.c, what it puts in the place of lookup_one(). Referenced, maybe
// negative, or ERR_PTR.
dentry *ovl_lookup_noblock(ovl_fs *ofs, dentry *dir, ovl_cache_entry *p)
{
    bool mine;
    dentry *child = ovl_alloc_noblock(ofs, dir, p, &mine);
    struct dentry *alias;

    // d_unhashed() would not do: a known one may be dropped between there and here, and looking it
    // up would attach an inode that it has already.
    if (IS_ERR(child) || !mine)
        return child;
    alias = ovl_lookup(d_inode(dir), child, 0);
    d_lookup_done(child);
    if (!alias)
        return child;
    dput(child);
    return alias;
}

/// The child in the overlay, referenced, maybe negative, or ERR_PTR.
dentry *ovl_lookup_child(ovl_fs *ofs, dentry *dir, ovl_cache_entry *p)
{
    qstr name = make_qstr(p->name(), static_cast<u32>(p->length));
    dentry *child;
    int error;

    if (ofs->readdir_form != OVL_READDIR_WAIT)
        return ovl_lookup_noblock(ofs, dir, p);
    // Linux v6.12 fs/namei.c lookup_one().
    error = lookup_noperm_common(&name, dir);
    if (error)
        return ERR_PTR(error);
    child = lookup_dcache(&name, dir, 0);
    return child ? child : __lookup_slow(&name, dir, 0);
}

// Linux v6.12 fs/overlayfs/readdir.c ovl_cache_update().
int ovl_cache_update(dentry *dir, ovl_cache_entry *p)
{
    ovl_fs *ofs = OVL_FS(dir->d_sb);
    dentry *child;

    p->ino = p->real_ino;
    if (p->is("."))
        child = dget(dir);
    else if (p->is(".."))
        child = dget_parent(dir);
    else
        child = ovl_lookup_child(ofs, dir, p);
    if (IS_ERR(child) || d_is_negative(child)) {
        // The layers say that it is there, the overlay says no: a stale entry.
        p->is_whiteout = true;
        if (IS_ERR(child))
            return PTR_ERR(child);
        dput(child);
        return 0;
    }
    if (ovl_type_origin(child))
        p->ino = d_inode(child)->i_ino;
    dput(child);
    return 0;
}

// --- The operations ---

/// Reports a directory of one layer; `..` may be merged and have another number there.
struct ovl_readdir_translate {
    dir_context ctx;
    dir_context *orig_ctx;
    ino_t parent_ino;
};

// Linux v6.12 fs/overlayfs/readdir.c ovl_fill_real().
bool ovl_fill_real(dir_context *ctx, const char *name, int length, int64_t offset, ino_t ino,
                   unsigned type)
{
    auto *rdt = container_of(ctx, ovl_readdir_translate, ctx);

    if (length == 2 && !memcmp(name, "..", 2))
        ino = rdt->parent_ino;
    return rdt->orig_ctx->actor(rdt->orig_ctx, name, length, offset, ino, type);
}

// Linux v6.12 fs/overlayfs/readdir.c ovl_iterate_real().
int ovl_iterate_real(file *file, dir_context *ctx)
{
    ovl_dir_file *od = dir_file_of(file);
    dentry *parent = dget_parent(file->f_path.dentry);
    ovl_readdir_translate rdt = {{ovl_fill_real, 0}, ctx, d_inode(parent)->i_ino};
    int error;

    dput(parent);
    error = iterate_dir(od->realfile, &rdt.ctx);
    ctx->pos = rdt.ctx.pos;
    return error;
}

// Linux v6.12 fs/overlayfs/readdir.c ovl_iterate(). Readers are kept apart.
int ovl_iterate(file *file, dir_context *ctx)
{
    ovl_dir_file *od = dir_file_of(file);
    dentry *dentry = file->f_path.dentry;
    int error;

    ovl_creds mounter;
    if (!ctx->pos)
        ovl_dir_reset(od, d_inode(dentry));
    if (od->is_real)
        return ovl_iterate_real(file, ctx);

    if (!od->cache) {
        ovl_dir_cache *cache = ovl_cache_get(dentry);

        if (IS_ERR(cache))
            return PTR_ERR(cache);
        od->cache = cache;
        ovl_seek_cursor(od, ctx->pos);
    }
    while (od->cursor != &od->cache->entries) {
        ovl_cache_entry *p = entry_of(od->cursor);

        if (!p->is_whiteout && !p->ino) {
            error = ovl_cache_update(dentry, p);
            if (error)
                return error;
        }
        if (!p->is_whiteout &&
            !dir_emit(ctx, p->name(), static_cast<int>(p->length), p->ino, p->type))
            break;
        od->cursor = list_next(od->cursor);
        ctx->pos++;
    }
    return 0;
}

// Linux v6.12 fs/readdir.c wrap_directory_iterator().
int ovl_iterate_shared(file *file, dir_context *ctx)
    __context_unsafe("gives the caller's lock up for another")
{
    inode *inode = file->f_inode;
    const ovl_fs *ofs = OVL_FS(inode->i_sb);
    int error = -ENOENT;

    if (ofs->shared) {
        lock_readers(ofs, inode);
        error = ovl_iterate(file, ctx);
        unlock_readers(ofs, inode);
        return error;
    }
    inode_unlock_shared(inode);
    inode_lock(inode);
    // It may have been removed in between.
    if (!IS_DEADDIR(inode))
        error = ovl_iterate(file, ctx);
    downgrade_write(&inode->i_rwsem);
    return error;
}

// Linux v6.12 fs/overlayfs/readdir.c ovl_dir_llseek().
int64_t ovl_dir_llseek(file *file, int64_t offset, int whence)
{
    inode *inode = file->f_inode;
    const ovl_fs *ofs = OVL_FS(inode->i_sb);
    ovl_dir_file *od = dir_file_of(file);
    int64_t result = -EINVAL;

    lock_readers(ofs, inode);
    if (!file->f_pos)
        ovl_dir_reset(od, inode);
    if (od->is_real) {
        result = od->realfile->f_op->llseek(od->realfile, offset, whence);
        file->f_pos = od->realfile->f_pos;
    } else if (whence == 0 || whence == 1) {
        if (whence == 1)
            offset += file->f_pos;
        if (offset >= 0) {
            if (offset != file->f_pos && od->cache)
                ovl_seek_cursor(od, offset);
            file->f_pos = offset;
            result = offset;
        }
    }
    unlock_readers(ofs, inode);
    return result;
}

// Linux v6.12 fs/overlayfs/readdir.c ovl_dir_open().
int ovl_dir_open(inode *inode, file *file)
{
    void *memory = kmalloc(sizeof(ovl_dir_file));
    ovl_dir_file *od;
    struct file *realfile;

    if (!memory)
        return -ENOMEM;
    od = new (memory) ovl_dir_file();
    {
        ovl_creds mounter;
        realfile = open_layer(ovl_dentry_real(file->f_path.dentry));
    }
    if (IS_ERR(realfile)) {
        kfree(memory);
        return PTR_ERR(realfile);
    }
    od->realfile = realfile;
    od->is_real = ovl_dir_is_real(inode);
    file->private_data = od;
    return 0;
}

// Linux v6.12 fs/overlayfs/readdir.c ovl_dir_release().
int ovl_dir_release(inode *inode, file *file)
{
    ovl_dir_file *od = dir_file_of(file);

    if (od->cache) {
        lock_readers(OVL_FS(inode->i_sb), inode);
        ovl_cache_put(od, inode);
        unlock_readers(OVL_FS(inode->i_sb), inode);
    }
    fput(od->realfile);
    kfree(od);
    return 0;
}

} // namespace

const file_operations ovl_dir_operations = {
    .open = ovl_dir_open,
    .release = ovl_dir_release,
    .iterate_shared = ovl_iterate_shared,
    .llseek = ovl_dir_llseek,
};

// Linux v6.12 fs/overlayfs/readdir.c ovl_dir_cache_free().
void ovl_dir_cache_free(inode *inode)
{
    // Who reads it holds the inode.
    WARN_ON(OVL_I(inode)->cache);
}

// Linux v6.12 fs/overlayfs/readdir.c ovl_cache_free().
void ovl_cache_free(list_head *list)
{
    while (!list_empty(list)) {
        ovl_cache_entry *p = entry_of(list_first(list));

        list_del_init(&p->l_node);
        free_entry(p);
    }
}

// Linux v6.12 fs/overlayfs/readdir.c ovl_check_empty_dir().
int ovl_check_empty_dir(dentry *dentry, list_head *list)
{
    entry_set root;
    int err;

    {
        ovl_creds mounter;
        err = ovl_dir_read_merged(dentry, list, &root);
    }
    root.clear();
    for (list_head *at = list_first(list), *next; !err && at != list; at = next) {
        ovl_cache_entry *p = entry_of(at);

        next = list_next(at);
        if (p->is_whiteout && p->is_upper)
            continue;
        if (!p->is_whiteout && !p->is(".") && !p->is("..")) {
            err = -ENOTEMPTY;
            break;
        }
        list_del_init(&p->l_node);
        free_entry(p);
    }
    return err;
}

// Linux v6.12 fs/overlayfs/readdir.c ovl_cleanup_whiteouts(), one lock for each name as in v6.17.
void ovl_cleanup_whiteouts(ovl_fs *ofs, dentry *upper, list_head *list)
{
    for (list_head *at = list_first(list); at != list; at = list_next(at)) {
        ovl_cache_entry *p = entry_of(at);
        qstr name = make_qstr(p->name(), static_cast<u32>(p->length));
        dentry *real = start_removing_noperm(upper, &name);

        if (IS_ERR(real))
            continue;
        ovl_cleanup(ofs, d_inode(upper), real);
        end_removing(real);
    }
}

} // namespace dcsim::inline DCSIM_BACKEND
