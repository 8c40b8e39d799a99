// SPDX-License-Identifier: GPL-2.0-only
//
// Silly rename: a file that is removed while it is open is renamed to .nfs<file id><number> and
// removed when its dentry dies. Source: fs/nfs/unlink.c of Linux v6.12; the synchronous form is
// that of fs/afs/dir_silly.c.
//
// The removal is sent from ->d_iput(), with the dentry already dead and unhashed and no i_rwsem
// held. Until the server has removed the name nobody may look it up, or they would get a dentry for
// a file that is about to go. So the name is put in lookup first: by an *alias* from
// d_alloc_parallel(), which nobody looks up at all. It is kept until the reply comes, and
// then ended by whoever brings the reply: another task than the one that began it.
//
// rmdir_sem, held over the same time, keeps the directory itself from being removed with the alias
// in it.
//
// Reduced: the request is carried out by the server when the reply is fetched (nfs_unlink_reply());
// the rename is synchronous, so there is no reply that a signal leaves behind.
#include <cstdio>
#include <cstring>
#include <new>

#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/err.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/vfs/lookup_era.h"
#include "dcsim/vfs/namei.h"
#include "dcsim/vfs/proposed.h"
#include "netfs_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// ".nfs", sixteen digits of the file id, eight of the counter.
constexpr size_t SILLYNAME_LEN = 4 + 16 + 8;

/// A removal, from the silly rename until the reply: include/linux/nfs_xdr.h.
struct nfs_unlinkdata {
    list_head pending; ///< in server->pending
    dentry *alias;     ///< once the request is sent; holds a reference
    u32 hash;
    u32 length;
    char name[SILLYNAME_LEN + 1];
    /// Waiters for the alias may come long after the task that made it is gone.
    caller_wait_queue wq;

    qstr key() const
    {
        qstr key = make_qstr(name, length);
        key.hash = hash;
        return key;
    }
};

// Linux v6.12 fs/nfs/unlink.c nfs_free_unlinkdata().
void nfs_free_unlinkdata(nfs_unlinkdata *data)
{
    data->~nfs_unlinkdata();
    kfree(data);
}

// Linux v6.12 fs/nfs/unlink.c nfs_async_unlink().
//
// Everything that the removal will need is allocated now: ->d_iput() cannot fail.
int nfs_async_unlink(dentry *dentry, const qstr &name)
{
    void *memory = kmalloc(sizeof(nfs_unlinkdata));
    nfs_unlinkdata *data;

    if (!memory)
        return -ENOMEM;
    data = new (memory) nfs_unlinkdata();
    INIT_LIST_HEAD(&data->pending);
    memcpy(data->name, name.name, name.len);
    data->length = name.len;
    // v6.12 leaves the hash 0, and so does every release since v4.7 that was looked at: the alias
    // is then in lookup where nobody looks for the name.
    data->hash = NFS_SB(dentry->d_sb)->silly_hash ? name.hash : 0;

    spin_lock(&dentry->d_lockref.lock);
    if (READ_ONCE(dentry->d_flags) & DCACHE_NFSFS_RENAMED) {
        spin_unlock(&dentry->d_lockref.lock);
        nfs_free_unlinkdata(data);
        return -EBUSY;
    }
    dentry->d_flags |= DCACHE_NFSFS_RENAMED;
    WRITE_ONCE(dentry->d_fsdata, static_cast<void *>(data));
    spin_unlock(&dentry->d_lockref.lock);
    return 0;
}

/// Takes the removal off a silly-renamed dentry. nullptr when it has none.
nfs_unlinkdata *nfs_take_unlinkdata(dentry *dentry)
{
    nfs_unlinkdata *data = nullptr;

    spin_lock(&dentry->d_lockref.lock);
    if (READ_ONCE(dentry->d_flags) & DCACHE_NFSFS_RENAMED) {
        dentry->d_flags &= ~DCACHE_NFSFS_RENAMED;
        data = static_cast<nfs_unlinkdata *>(READ_ONCE(dentry->d_fsdata));
        WRITE_ONCE(dentry->d_fsdata, static_cast<void *>(nullptr));
    }
    spin_unlock(&dentry->d_lockref.lock);
    return data;
}

// Linux v6.12 fs/nfs/unlink.c nfs_cancel_async_unlink().
void nfs_cancel_async_unlink(dentry *dentry)
{
    nfs_unlinkdata *data = nfs_take_unlinkdata(dentry);

    if (data)
        nfs_free_unlinkdata(data);
}

/// Carries the request out on the server. Whether it worked, nobody is left to tell.
void nfs_unlink_rpc(nfs_unlinkdata *data)
{
    inode *dir = d_inode(READ_ONCE(data->alias->d_parent));
    server_change_info info;

    if (server_remove(NFS_SERVER(dir)->tree, NFS_FILEID(dir), data->name, data->length, false,
                      &info) == 0)
        nfs4_update_changeattr(dir, info);
}

// Linux v6.12 fs/nfs/unlink.c nfs_async_unlink_release().
void nfs_async_unlink_release(nfs_unlinkdata *data)
{
    dentry *dentry = data->alias;

    up_read_non_owner(&NFS_I(d_inode(READ_ONCE(dentry->d_parent)))->rmdir_sem);
    // Before the wait queue goes, on which eras with a caller's queue have their waiters.
    d_lookup_done(dentry);
    nfs_free_unlinkdata(data);
    dput(dentry);
}

// Linux v6.12 fs/nfs/unlink.c nfs_do_call_unlink(): sent, and not waited for.
void nfs_do_call_unlink(nfs_server *server, nfs_unlinkdata *data)
{
    spin_lock(&server->pending_lock);
    list_add_tail(&data->pending, &server->pending);
    ++server->pending_count;
    spin_unlock(&server->pending_lock);
}

/// Somebody looked the name up before the removal could be sent. If it is the same file, the
/// removal goes over to their dentry. Returns whether it did: not to one that somebody is removing
/// by this name, whose d_fsdata says so.
bool nfs_transfer_unlink(dentry *alias, const inode *inode, nfs_unlinkdata *data)
{
    bool transferred = false;

    spin_lock(&alias->d_lockref.lock);
    if (d_really_is_positive(alias) && NFS_FILEID(d_inode(alias)) == NFS_FILEID(inode) &&
        !(READ_ONCE(alias->d_flags) & DCACHE_NFSFS_RENAMED) && !READ_ONCE(alias->d_fsdata)) {
        WRITE_ONCE(alias->d_fsdata, static_cast<void *>(data));
        alias->d_flags |= DCACHE_NFSFS_RENAMED;
        transferred = true;
    }
    spin_unlock(&alias->d_lockref.lock);
    return transferred;
}

// Linux v6.12 fs/nfs/unlink.c nfs_call_unlink(), and with async_unlink = 0 fs/afs/dir_silly.c
// afs_silly_iput(). Returns whether `data` was taken over.
bool nfs_call_unlink(dentry *dentry, inode *inode, nfs_unlinkdata *data)
{
    struct dentry *parent = READ_ONCE(dentry->d_parent);
    struct inode *dir = d_inode(parent);
    nfs_server *server = NFS_SERVER(dir);
    const qstr name = data->key();
    struct dentry *alias;

    down_read_non_owner(&NFS_I(dir)->rmdir_sem);
    alias = d_alloc_parallel(parent, &name, data->wq.head());
    if (IS_ERR(alias)) {
        up_read_non_owner(&NFS_I(dir)->rmdir_sem);
        return false;
    }
    if (!d_in_lookup(alias)) {
        bool transferred = nfs_transfer_unlink(alias, inode, data);

        dput(alias);
        up_read_non_owner(&NFS_I(dir)->rmdir_sem);
        return transferred;
    }
    data->alias = alias;
    if (server->async_unlink) {
        nfs_do_call_unlink(server, data);
    } else {
        nfs_unlink_rpc(data);
        nfs_async_unlink_release(data);
    }
    return true;
}

/// A name that is not on the server: negative and referenced, or ERR_PTR; nullptr if this one will
/// not do.
dentry *nfs_try_sillyname(inode *dir, dentry *parent, qstr *name)
{
    dentry *dentry;
    int error = lookup_noperm_common(name, parent);

    if (error)
        return ERR_PTR(error);
    if (lookup_outside_rwsem) {
        // v3 18/19: the directory is locked, so nobody is waited for.
        dentry = d_alloc_noblock(parent, name);
        if (IS_ERR(dentry) && PTR_ERR(dentry) == -EWOULDBLOCK)
            return nullptr;
        // A name cached as missing is asked for again, if ->lookup() may be given a hashed dentry.
        // Else the cache is believed.
        if (!IS_ERR(dentry) &&
            (d_in_lookup(dentry) || (splice_hashed && d_really_is_negative(dentry)))) {
            struct dentry *res = nfs_do_lookup(dir, dentry, 0);
            d_lookup_done(dentry);
            if (res) {
                dput(dentry);
                dentry = res;
            }
        }
    } else {
        dentry = lookup_dcache(name, parent, 0);
        if (!dentry)
            dentry = __lookup_slow(name, parent, 0);
    }
    if (!IS_ERR(dentry) && d_really_is_positive(dentry)) {
        dput(dentry);
        return nullptr;
    }
    return dentry;
}

/// The first name of the file's own that nobody has.
dentry *nfs_find_sillyname(inode *dir, dentry *dentry)
{
    nfs_server *server = NFS_SERVER(dir);
    struct dentry *parent = READ_ONCE(dentry->d_parent);
    unsigned long long fileid = NFS_FILEID(d_inode(dentry));
    char silly[SILLYNAME_LEN + 1];
    struct dentry *sdentry;

    do {
        qstr name;
        snprintf(silly, sizeof(silly), ".nfs%016llx%08x", fileid,
                 add_return(&server->sillycounter, 1u));
        name = make_qstr(silly, SILLYNAME_LEN);
        sdentry = nfs_try_sillyname(dir, parent, &name);
    } while (!sdentry);
    return sdentry;
}

} // namespace

// Linux v6.12 fs/nfs/unlink.c nfs_sillyrename().
int nfs_sillyrename(inode *dir, dentry *dentry)
{
    struct dentry *sdentry;
    qstr silly;
    int error;

    // Not a second time: it is going already.
    if (READ_ONCE(dentry->d_flags) & DCACHE_NFSFS_RENAMED)
        return -EBUSY;
    sdentry = nfs_find_sillyname(dir, dentry);
    if (IS_ERR(sdentry))
        return -EBUSY;
    silly = nfs_name(sdentry);
    error = nfs_async_unlink(dentry, silly);
    if (error)
        goto out_dput;
    error = nfs_proc_rename(dir, nfs_name(dentry), dir, silly);
    if (error) {
        nfs_cancel_async_unlink(dentry);
        goto out_dput;
    }
    nfs_set_verifier(dentry, nfs_save_change_attribute(dir));
    nfs_mark_renamed(d_inode(dentry));
    d_move(dentry, sdentry);
out_dput:
    dput(sdentry);
    return error;
}

// Linux v6.12 fs/nfs/unlink.c nfs_complete_unlink().
void nfs_complete_unlink(dentry *dentry, inode *inode)
{
    nfs_unlinkdata *data = nfs_take_unlinkdata(dentry);

    BUG_ON(!data); // the flag says that there is one
    if (NFS_STALE(inode) || !nfs_call_unlink(dentry, inode, data))
        nfs_free_unlinkdata(data);
}

bool nfs_unlink_reply(super_block *sb)
{
    nfs_server *server = NFS_SB(sb);
    nfs_unlinkdata *data = nullptr;

    spin_lock(&server->pending_lock);
    if (!list_empty(&server->pending)) {
        data = container_of(list_first(&server->pending), nfs_unlinkdata, pending);
        list_del_init(&data->pending);
        --server->pending_count;
    }
    spin_unlock(&server->pending_lock);
    if (!data)
        return false;
    nfs_unlink_rpc(data);
    nfs_async_unlink_release(data);
    return true;
}

} // namespace dcsim::inline DCSIM_BACKEND
