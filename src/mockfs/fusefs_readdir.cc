// SPDX-License-Identifier: GPL-2.0-only
//
// Reading a directory of fusefs. With the option readdirplus the daemon tells of each object as
// well, and every entry is put into the cache. Source: fs/fuse/readdir.c.
//
// A position is that of the daemon's cookie of the entry before.
#include "dcsim/kernel/err.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/vfs/dcache.h"
#include "fusefs_internal.h"
#include "mock_readdir.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// Entries that the daemon answers at once: what fits into a page of the kernel's.
constexpr int ENTRIES_PER_REPLY = 4;

/// The entry is in the cache. Counts the lookup and refreshes the inode; false when that is another
/// node's or there is none, and then it is not in the cache any more.
bool refresh_cached(dentry *dentry, const server_attributes *attributes)
{
    inode *inode = d_inode(dentry);
    fuse_inode *fi;

    if (!inode || get_node_id(inode) != attributes->fileid) {
        d_invalidate(dentry);
        return false;
    }
    fi = get_fuse_inode(inode);
    spin_lock(&fi->lock);
    fi->nlookup++;
    spin_unlock(&fi->lock);
    fuse_change_attributes(inode, attributes);
    return true;
}

// The second half of Linux v6.12 fs/fuse/readdir.c fuse_direntplus_link(). Consumes the in-lookup
// dentry; what takes its place, referenced, or ERR_PTR with the lookup not counted.
dentry *link_new(dentry *dentry, const server_attributes *attributes)
{
    inode *inode = fuse_iget(dentry->d_sb, attributes);
    struct dentry *alias;

    if (!inode)
        inode = ERR_PTR(-ENOMEM);
    else
        ihold(inode); // d_splice_alias() consumes the other reference, and nlookup is in it
    alias = d_splice_alias(inode, dentry);
    d_lookup_done(dentry);
    if (alias) {
        dput(dentry);
        dentry = alias;
    }
    if (IS_ERR(dentry) && !IS_ERR(inode)) {
        fuse_inode *fi = get_fuse_inode(inode);

        spin_lock(&fi->lock);
        fi->nlookup--;
        spin_unlock(&fi->lock);
    }
    if (!IS_ERR(inode))
        iput(inode);
    return dentry;
}

// Linux v6.12 fs/fuse/readdir.c fuse_direntplus_link(). With an error the lookup that the entry is
// has not been counted; one is that somebody else is looking the name up (alloc_entry()).
int fuse_direntplus_link(file *file, const server_entry *entry)
{
    dentry *parent = file->f_path.dentry;
    qstr name = make_hashed_qstr(parent, entry->name, entry->length);
    caller_wait_queue wq;
    dentry *dentry;

    if (invalid_nodeid(get_fuse_conn(file->f_inode), entry->attributes.fileid))
        return -EIO;
    dentry = d_lookup(parent, &name);
    for (;;) {
        if (!dentry) {
            dentry = alloc_entry(parent, &name, wq.head());
            if (IS_ERR(dentry))
                return static_cast<int>(PTR_ERR(dentry));
        }
        if (d_in_lookup(dentry)) {
            dentry = link_new(dentry, &entry->attributes);
            if (IS_ERR(dentry))
                return static_cast<int>(PTR_ERR(dentry));
            break;
        }
        if (refresh_cached(dentry, &entry->attributes))
            break;
        dput(dentry);
        dentry = nullptr;
    }
    fuse_change_entry_timeout(dentry);
    dput(dentry);
    return 0;
}

/// One reply of the daemon's, from `cookie` on: how many entries, or a negative errno when there is
/// not even one. With readdirplus each is a lookup.
int ask_for_entries(file *file, u64 cookie, server_entry *entries)
{
    const fuse_conn *fc = get_fuse_conn(file->f_inode);
    const u64 nodeid = get_node_id(file->f_inode);
    int count = 0;

    while (count < ENTRIES_PER_REPLY) {
        server_entry *entry = &entries[count];
        int result = fc->settings.readdirplus
                         ? fuse_daemon_readdirplus(fc->daemon, nodeid, cookie, entry)
                         : server_readdir(fuse_daemon_files(fc->daemon), nodeid, cookie, entry);

        if (result < 0 && count == 0)
            return result;
        if (result != 1)
            break;
        cookie = entry->cookie;
        count++;
    }
    return count;
}

// Linux v6.12 fs/fuse/readdir.c parse_dirfile() and parse_dirplusfile(). Returns whether there was
// room for all. Those that there is no room for are linked as well: they have been counted.
bool report_entries(file *file, dir_context *context, const server_entry *entries, int count)
{
    const fuse_conn *fc = get_fuse_conn(file->f_inode);
    bool over = false;

    for (const server_entry *entry = entries; entry < entries + count; entry++) {
        if (!over)
            over = !emit_server_entry(context, *entry);
        if (fc->settings.readdirplus && fuse_direntplus_link(file, entry))
            fuse_daemon_forget(fc->daemon, entry->attributes.fileid, 1);
    }
    return !over;
}

// Linux v6.12 fs/fuse/readdir.c fuse_readdir_uncached(), until there is no room any more.
int fuse_readdir(file *file, dir_context *context)
{
    server_entry *entries;
    int count;

    if (!dir_emit_dots(file, context))
        return 0;
    entries = static_cast<server_entry *>(kmalloc(ENTRIES_PER_REPLY * sizeof(server_entry)));
    if (!entries)
        return -ENOMEM;
    do {
        count = ask_for_entries(file, cookie_of_position(context->pos), entries);
    } while (count > 0 && report_entries(file, context, entries, count));
    kfree(entries);
    return count < 0 ? count : 0;
}

} // namespace

constexpr file_operations fuse_dir_operations = {
    .iterate_shared = fuse_readdir,
    .llseek = offset_dir_llseek,
};

} // namespace dcsim::inline DCSIM_BACKEND
