// SPDX-License-Identifier: GPL-2.0-only
//
// Reading a casefs directory, which may fill the cache on the way.
//
// The server sends attributes with every entry, so who reads a directory knows as much about each
// name as a ->lookup() would find out: `prime` puts it into the cache.
#include "casefs.h"
#include "dcsim/kernel/err.h"
#include "mock_readdir.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// Is the cached dentry the entry that was read? Then its inode learns what the server says.
bool update_in_place(const dentry *dentry, const server_attributes &attributes)
{
    inode *inode = d_inode(dentry);

    if (!inode || inode->i_ino != attributes.fileid)
        return false;
    if ((READ_ONCE(inode->i_mode) ^ attributes.mode) & S_IFMT_MASK)
        return false;
    casefs_update(inode, attributes);
    return true;
}

// As Linux v6.12 fs/smb/client/readdir.c cifs_prime_dcache(). The directory's i_rwsem is held
// shared: lookups of the same name run at the same time, and d_alloc_parallel() decides who is
// first. Best effort: what cannot be had now is left to a lookup.
void casefs_prime_dcache(dentry *parent, qstr *name, const server_attributes &attributes)
{
    caller_wait_queue wq;
    dentry *dentry, *alias;

    dentry = d_hash_and_lookup(parent, name);
    if (!dentry) {
retry:
        dentry = alloc_entry(parent, name, wq.head());
    }
    if (IS_ERR(dentry))
        return;
    if (!d_in_lookup(dentry)) {
        // What is mounted on stays, whatever the server says.
        if (d_mountpoint(dentry) || update_in_place(dentry, attributes)) {
            dput(dentry);
            return;
        }
        d_invalidate(dentry);
        dput(dentry);
        goto retry;
    }
    alias = d_splice_alias(casefs_iget(parent->d_sb, attributes), dentry);
    d_lookup_done(dentry);
    if (alias && !IS_ERR(alias))
        dput(alias);
    dput(dentry);
}

int casefs_readdir(file *file, dir_context *context)
{
    const casefs_disk *disk = casefs_disk_of(file->f_inode->i_sb);

    return read_by_cookie(file, context, [=](u64 cookie, server_entry *entry) {
        const int found = server_readdir(disk->server, file->f_inode->i_ino, cookie, entry);

        if (found > 0 && disk->options.prime) {
            qstr name = make_qstr(entry->name, entry->length);

            casefs_prime_dcache(file->f_path.dentry, &name, entry->attributes);
        }
        return found;
    });
}

} // namespace

const file_operations casefs_dir_operations = {
    .iterate_shared = casefs_readdir,
    .llseek = offset_dir_llseek,
};

} // namespace dcsim::inline DCSIM_BACKEND
