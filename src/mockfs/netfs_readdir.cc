// SPDX-License-Identifier: GPL-2.0-only
//
// Reading a directory, which with READDIRPLUS fills the dcache on the way. Source: fs/nfs/dir.c of
// Linux v6.12.
//
// The server answers with names and with what they stand for, so every entry can become a dentry
// before anybody asks for it by name. Those who do ask meanwhile are met in the in-lookup table:
// the reader waits for their ->lookup(), or they for it.
//
// Reduced: no pages of entries are kept, so each entry is one question to the server; no guessing
// when READDIRPLUS is worth its while (option readdirplus).
#include <cstring>

#include "dcsim/kernel/err.h"
#include "mock_readdir.h"
#include "netfs_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

// Linux v6.12 fs/nfs/dir.c nfs_same_file().
bool nfs_same_file(const dentry *dentry, const server_attributes &fattr)
{
    const inode *inode = d_inode(dentry);

    return inode && !NFS_STALE(inode) && fattr.fileid == NFS_FILEID(inode);
}

// Linux v6.12 fs/nfs/dir.c nfs_prime_dcache().
//
// Best effort: what cannot be had now is left to a lookup. The directory's i_rwsem is held shared.
void nfs_prime_dcache(dentry *parent, const server_entry *entry, unsigned long dir_verifier)
{
    const server_attributes &fattr = entry->attributes;
    qstr filename = make_hashed_qstr(parent, entry->name, entry->length);
    caller_wait_queue wq;
    dentry *dentry, *alias;

    if (is_no_name({entry->name, entry->length}))
        return;
    dentry = d_lookup(parent, &filename);
again:
    if (!dentry) {
        dentry = alloc_entry(parent, &filename, wq.head());
        if (IS_ERR(dentry))
            return;
    }
    if (!d_in_lookup(dentry)) {
        if (nfs_same_file(dentry, fattr)) {
            nfs_set_verifier(dentry, dir_verifier);
            nfs_refresh_inode(d_inode(dentry), fattr);
            goto out;
        }
        d_invalidate(dentry);
        dput(dentry);
        dentry = nullptr;
        goto again;
    }

    nfs_set_verifier(dentry, dir_verifier);
    alias = d_splice_alias(nfs_fhget(dentry->d_sb, fattr), dentry);
    d_lookup_done(dentry);
    if (alias) {
        if (IS_ERR(alias))
            goto out;
        nfs_set_verifier(alias, dir_verifier);
        dput(dentry);
        dentry = alias;
    }
out:
    dput(dentry);
}

// As Linux v6.12 fs/nfs/dir.c nfs_readdir(), nfs_readdir_folio_filler(), nfs_do_filldir().
int nfs_readdir(file *file, dir_context *context)
{
    inode *dir = file->f_inode;
    const nfs_server *server = NFS_SERVER(dir);

    return read_by_cookie(file, context, [=](u64 cookie, server_entry *entry) {
        const unsigned long dir_verifier = nfs_save_change_attribute(dir);
        const int found = server_readdir(server->tree, NFS_FILEID(dir), cookie, entry);

        if (found > 0 && server->readdirplus)
            nfs_prime_dcache(file->f_path.dentry, entry, dir_verifier);
        return found;
    });
}

} // namespace

constinit const file_operations nfs_dir_operations = {
    .iterate_shared = nfs_readdir,
    .llseek = offset_dir_llseek,
};

} // namespace dcsim::inline DCSIM_BACKEND
