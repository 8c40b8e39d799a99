// SPDX-License-Identifier: GPL-2.0-only
//
// Inodes: one object in memory for each (super block, inode number), found through a hash table and
// freed with its last reference.
//
// Locking
//   inode_hash_lock guards         the chains of the hash table, as far as they are changed
//   inode->i_lock guards           i_state, the last drop of i_count, i_hash together with the
//   above sb->s_inode_list_lock guards   s_inodes and i_sb_list
//
// Order, outer to inner
//   inode_hash_lock
//     s_inode_list_lock
//       i_lock
//
// Lifetime
//   iget_locked()        I_NEW, hashed: others find it and wait
//   unlock_new_inode()   whole: others use it
//   iput(), the last     I_FREEING, still hashed while the file system evicts it: whoever wants the
//                        same number waits, and makes a new inode when this one is gone
//   evict()              unhashed, waiters woken, memory after a grace period
//
// Waiters sleep on the address of i_state. Those for I_NEW hold a reference and test again; those
// for I_FREEING hold nothing, so after the wake-up they touch the inode no more and search again.
//
// Reduced: no page cache and write-back, hence no dirty states; no LRU of unused inodes, so the
// last iput() always evicts.
#include "dcsim/vfs/inode.h"

#include "dcsim/kernel/atomic_lock.h"
#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/err.h"
#include "dcsim/kernel/rculist.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/kernel/wait_bit.h"
#include "dcsim/vfs/file.h"
#include "dcsim/vfs/super.h"
#include "internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

kmem_cache *inode_cache;
hlist_head *inode_hashtable;
unsigned i_hash_shift; ///< log2 of the buckets

/// Guards the chains: whoever holds it may add and remove inodes. Lookups walk them under RCU and
/// take the i_lock of what they find. Taken outside s_inode_list_lock and i_lock; not to be held
/// while allocating or sleeping.
spinlock_t inode_hash_lock;

once<ino_t> last_ino; ///< what get_next_ino() gave out last

// Linux v6.12 fs/inode.c hash().
hlist_head *inode_bucket(const super_block *sb, ino_t ino)
{
    unsigned long mixed =
        (ino * reinterpret_cast<unsigned long>(sb)) ^ ((GOLDEN_RATIO_64 + ino) / L1_CACHE_BYTES);

    mixed ^= (mixed ^ GOLDEN_RATIO_64) >> i_hash_shift;
    return inode_hashtable + (mixed & ((1ul << i_hash_shift) - 1));
}

bool inode_unhashed(const inode *inode)
{
    return hlist_unhashed_lockless(&inode->i_hash);
}

// Linux v6.12 fs/inode.c __iget(). i_lock held, or the caller has a reference.
void __iget(inode *inode)
{
    atomic_inc(&inode->i_count);
}

// --- Memory ---

// Linux v6.12 fs/inode.c alloc_inode(), with inode_init_always() and inode_init_once() in it.
inode *alloc_inode(super_block *sb)
{
    static constexpr inode_operations empty_iops = {};
    auto *inode = static_cast<struct inode *>(kmem_cache_alloc(inode_cache));

    if (!inode)
        return nullptr;
    WRITE_ONCE(inode->i_mode, 0);
    WRITE_ONCE(inode->i_opflags, 0);
    WRITE_ONCE(inode->i_flags, 0);
    inode->i_ino = 0;
    inode->i_sb = sb;
    inode->i_op = &empty_iops;
    inode->i_fop = &no_open_fops;
    WRITE_LOCKED(inode->i_uid, 0);
    WRITE_LOCKED(inode->i_gid, 0);
    WRITE_LOCKED(inode->i_link, nullptr);
    WRITE_LOCKED(inode->i_size, 0);
    inode->i_rdev = 0;
    WRITE_ONCE(inode->i_nlink, 1);
    atomic_set(&inode->i_count, 1);
    inode->i_private = nullptr;
    spin_lock_init(&inode->i_lock, "i_lock");
    WRITE_ONCE(inode->i_state, 0);
    INIT_HLIST_HEAD(&inode->i_dentry);
    init_rwsem(&inode->i_rwsem, sb->s_type->i_rwsem_class);
    WRITE_ONCE(inode->i_dir_seq, 0);
    INIT_HLIST_NODE(&inode->i_hash);
    INIT_LIST_HEAD(&inode->i_sb_list);
    vfs_count(NR_INODES);
    return inode;
}

// Linux v6.12 fs/inode.c i_callback().
void i_callback(rcu_head *head)
{
    inode *inode = container_of(head, struct inode, i_rcu);

    if (inode->free_inode)
        inode->free_inode(inode);
    kmem_cache_free(inode_cache, inode);
}

// Linux v6.12 fs/inode.c destroy_inode().
void destroy_inode(inode *inode)
{
    vfs_count(NR_INODES, -1);
    // Noted now: the super block may not live as long.
    inode->free_inode = inode->i_sb->s_op->free_inode;
    // Lookups in the hash may be standing on it.
    call_rcu(&inode->i_rcu, i_callback);
}

// --- Lists ---

// Linux v6.12 fs/inode.c inode_sb_list_add().
void inode_sb_list_add(inode *inode)
{
    spin_lock(&inode->i_sb->s_inode_list_lock);
    list_add(&inode->i_sb_list, &inode->i_sb->s_inodes);
    spin_unlock(&inode->i_sb->s_inode_list_lock);
}

// Linux v6.12 fs/inode.c inode_sb_list_del().
void inode_sb_list_del(inode *inode)
{
    // Nobody but this task puts it on or takes it off, so the answer is good without the lock. An
    // inode that lost the race in iget_locked() never was on the list.
    if (list_empty(&inode->i_sb_list))
        return;
    spin_lock(&inode->i_sb->s_inode_list_lock);
    list_del_init(&inode->i_sb_list);
    spin_unlock(&inode->i_sb->s_inode_list_lock);
}

// Linux v6.12 fs/inode.c __remove_inode_hash().
//
// i_lock as well: __wait_on_freeing_inode() decides under it whether a wake-up is still to come.
void remove_inode_hash(inode *inode)
{
    spin_lock(&inode_hash_lock);
    spin_lock(&inode->i_lock);
    hlist_del_init_rcu(&inode->i_hash);
    spin_unlock(&inode->i_lock);
    spin_unlock(&inode_hash_lock);
}

// --- Finding ---

// Linux v6.12 fs/inode.c __wait_on_freeing_inode().
//
// Sleeps until evict() is through with an inode that is being freed, or a little less: the caller
// searches again in any case. Entered with i_lock, RCU and perhaps inode_hash_lock held; i_lock is
// dropped, the others are held again on return.
void __wait_on_freeing_inode(inode *inode, bool hash_locked)
    __context_unsafe("drops i_lock for good and the caller's other locks while asleep")
{
    wait_queue_head *wq = __var_waitqueue(&inode->i_state);
    wait_var_entry entry;

    // The lockless walk found it before evict() took it off the chain. The wake-up may have been
    // sent already, so sleeping is not safe; nor is it needed.
    if (unlikely(inode_unhashed(inode))) {
        WARN_ON(hash_locked);
        spin_unlock(&inode->i_lock);
        return;
    }

    // Hashed under i_lock: evict() has yet to pass through remove_inode_hash(), and wakes after it.
    init_wait_var_entry(&entry, &inode->i_state);
    prepare_to_wait(wq, &entry.wait);
    spin_unlock(&inode->i_lock);
    rcu_read_unlock();
    if (hash_locked)
        spin_unlock(&inode_hash_lock);
    schedule();
    // Nothing keeps the inode in memory any more; only the queue is ours.
    finish_wait(wq, &entry.wait);
    if (hash_locked)
        spin_lock(&inode_hash_lock);
    rcu_read_lock();
}

// Linux v6.12 fs/inode.c find_inode_fast().
//
// The inode (sb, ino), referenced; it may still be I_NEW. nullptr when there is none, and then with
// inode_hash_lock held there will be none until it is dropped. ERR_PTR(-ESTALE) for one whose maker
// wants to be alone with it. Sleeps, dropping inode_hash_lock, while the inode is being freed.
inode *find_inode_fast(super_block *sb, hlist_head *head, ino_t ino, bool hash_locked)
    __context_unsafe("hands i_lock over to __wait_on_freeing_inode()")
{
    hlist_node *node;

    if (hash_locked)
        lockdep_assert_held(&inode_hash_lock);

    rcu_read_lock();
repeat:
    for (node = hlist_first_rcu(head); node; node = hlist_next_rcu(node)) {
        inode *inode = container_of(node, struct inode, i_hash);

        if (inode->i_ino != ino)
            continue;
        if (inode->i_sb != sb)
            continue;
        spin_lock(&inode->i_lock);
        // I_FREEING is set by the same hold of i_lock that drops the last reference, so an inode
        // without it has one, and may be given another.
        if (READ_LOCKED(inode->i_state) & I_FREEING) {
            __wait_on_freeing_inode(inode, hash_locked);
            goto repeat;
        }
        if (unlikely(READ_LOCKED(inode->i_state) & I_CREATING)) {
            spin_unlock(&inode->i_lock);
            rcu_read_unlock();
            return ERR_PTR(-ESTALE);
        }
        __iget(inode);
        spin_unlock(&inode->i_lock);
        rcu_read_unlock();
        return inode;
    }
    rcu_read_unlock();
    return nullptr;
}

// Linux v6.12 include/linux/writeback.h wait_on_inode(). The caller has a reference.
void wait_on_inode(inode *inode)
{
    // Pairs with the release in inode_finish_new_locked(): not new means filled in.
    if (likely(!(smp_load_acquire(&inode->i_state) & I_NEW)))
        return;
    spin_lock(&inode->i_lock);
    wait_var_event_spinlock(
        &inode->i_state, [inode] { return !(READ_LOCKED(inode->i_state) & I_NEW); },
        &inode->i_lock);
    spin_unlock(&inode->i_lock);
}

} // namespace

// Linux v6.12 fs/inode.c iget_locked().
inode *iget_locked(super_block *sb, ino_t ino)
{
    hlist_head *head = inode_bucket(sb, ino);
    inode *inode, *old;

    might_sleep();
again:
    inode = find_inode_fast(sb, head, ino, false);
    if (inode) {
        if (IS_ERR(inode))
            return nullptr;
        wait_on_inode(inode);
        // Its maker gave up (iget_failed()); this task may be luckier.
        if (unlikely(inode_unhashed(inode))) {
            iput(inode);
            goto again;
        }
        return inode;
    }

    inode = alloc_inode(sb);
    if (!inode)
        return nullptr;

    spin_lock(&inode_hash_lock);
    // Somebody else may have added it since the search without the lock.
    old = find_inode_fast(sb, head, ino, true);
    if (!old) {
        inode->i_ino = ino;
        spin_lock(&inode->i_lock);
        WRITE_ONCE(inode->i_state, I_NEW);
        hlist_add_head_rcu(&inode->i_hash, head);
        spin_unlock(&inode->i_lock);
        inode_sb_list_add(inode);
        spin_unlock(&inode_hash_lock);
        return inode;
    }

    spin_unlock(&inode_hash_lock);
    destroy_inode(inode);
    if (IS_ERR(old))
        return nullptr;
    inode = old;
    wait_on_inode(inode);
    if (unlikely(inode_unhashed(inode))) {
        iput(inode);
        goto again;
    }
    return inode;
}

// Linux v6.12 fs/inode.c ilookup().
inode *ilookup(super_block *sb, ino_t ino)
{
    hlist_head *head = inode_bucket(sb, ino);
    inode *inode;

    might_sleep();
again:
    inode = find_inode_fast(sb, head, ino, false);
    if (inode) {
        if (IS_ERR(inode))
            return nullptr;
        wait_on_inode(inode);
        if (unlikely(inode_unhashed(inode))) {
            iput(inode);
            goto again;
        }
    }
    return inode;
}

// Linux v6.12 fs/inode.c new_inode().
inode *new_inode(super_block *sb)
{
    inode *inode = alloc_inode(sb);

    if (inode)
        inode_sb_list_add(inode);
    return inode;
}

// Linux v6.12 fs/inode.c unlock_new_inode(), the part that d_instantiate_new() shares.
// Deviation: waiters test i_state under i_lock, so the lock does what the kernel's barrier does.
void inode_finish_new_locked(inode *inode)
{
    // Release, for those who find I_NEW gone without taking the lock.
    smp_store_release(&inode->i_state, READ_LOCKED(inode->i_state) & ~(I_NEW | I_CREATING));
    wake_up_var_locked(&inode->i_state, &inode->i_lock);
}

// Linux v6.12 fs/inode.c unlock_new_inode().
void unlock_new_inode(inode *inode)
{
    spin_lock(&inode->i_lock);
    WARN_ON(!(READ_LOCKED(inode->i_state) & I_NEW));
    inode_finish_new_locked(inode);
    spin_unlock(&inode->i_lock);
}

// Linux v6.12 fs/bad_inode.c iget_failed().
// Deviation: no bad_inode operations, because waiters that find the inode unhashed do not use it.
void iget_failed(inode *inode)
{
    // Unhash first: a waiter that is woken must not find the failed inode again.
    remove_inode_hash(inode);
    unlock_new_inode(inode);
    iput(inode);
}

// Linux v6.12 fs/inode.c ihold().
void ihold(inode *inode)
{
    WARN_ON(add_return(&inode->i_count, 1) < 2);
}

// Linux v6.12 fs/inode.c igrab().
inode *igrab(inode *inode)
{
    spin_lock(&inode->i_lock);
    if (!(READ_LOCKED(inode->i_state) & I_FREEING)) {
        __iget(inode);
        spin_unlock(&inode->i_lock);
        return inode;
    }
    spin_unlock(&inode->i_lock);
    return nullptr;
}

// --- The end ---

namespace
{

// Linux v6.12 fs/inode.c evict().
//
// The inode stays hashed while the file system works on it. Otherwise a lookup of the same number
// could read from disk what is just being deleted there.
void evict(inode *inode)
{
    const super_operations *op = inode->i_sb->s_op;

    BUG_ON(!(READ_ONCE(inode->i_state) & I_FREEING));
    WARN_ON(!hlist_empty(&inode->i_dentry));

    inode_sb_list_del(inode);
    if (op->evict_inode)
        op->evict_inode(inode);
    // Nobody else changes the state of an inode that is being freed.
    WRITE_ONCE(inode->i_state, I_FREEING | I_CLEAR);
    if (!inode_unhashed(inode))
        remove_inode_hash(inode);

    // A lookup that saw it hashed queued itself under i_lock before the removal, so it is woken;
    // one that comes later sees it unhashed and does not sleep.
    spin_lock(&inode->i_lock);
    wake_up_var_locked(&inode->i_state, &inode->i_lock);
    spin_unlock(&inode->i_lock);

    destroy_inode(inode);
}

// Linux v6.12 fs/inode.c iput_final(). Reduced: always evicts.
void iput_final(inode *inode) __releases(&inode->i_lock)
{
    WARN_ON(READ_LOCKED(inode->i_state) & I_NEW);
    inode->i_state |= I_FREEING;
    spin_unlock(&inode->i_lock);
    evict(inode);
}

} // namespace

// Linux v6.12 fs/inode.c iput().
void iput(inode *inode)
{
    if (!inode)
        return;
    BUG_ON(READ_ONCE(inode->i_state) & I_CLEAR);
    if (atomic_dec_and_lock(&inode->i_count, &inode->i_lock))
        iput_final(inode);
}

// --- Link counts. i_rwsem held for writing; no reader acts on a count that is changing. ---

// Linux v6.12 fs/inode.c drop_nlink().
void drop_nlink(inode *inode)
{
    WARN_ON(READ_ONCE(inode->i_nlink) == 0);
    --inode->i_nlink;
}

// Linux v6.12 fs/inode.c clear_nlink().
void clear_nlink(inode *inode)
{
    WRITE_ONCE(inode->i_nlink, 0);
}

// Linux v6.12 fs/inode.c set_nlink().
void set_nlink(inode *inode, unsigned links)
{
    WRITE_ONCE(inode->i_nlink, links);
}

// Linux v6.12 fs/inode.c inc_nlink().
void inc_nlink(inode *inode)
{
    // What has lost its last name does not get another one; what never had one may.
    if (unlikely(READ_ONCE(inode->i_nlink) == 0))
        WARN_ON(!(READ_ONCE(inode->i_state) & I_LINKABLE));
    ++inode->i_nlink;
}

// --- Inodes without a file system's own knowledge ---

// Linux v6.12 fs/inode.c get_next_ino(). Reduced: one counter for all processors.
ino_t get_next_ino()
{
    return add_return(&last_ino, ino_t{1});
}

namespace
{

// Linux v6.12 fs/inode.c no_open().
int no_open(inode *, file *)
{
    return -ENXIO;
}

// Linux v6.12 fs/pipe.c fifo_open(). Reduced: no pipe behind it, so nobody to wait for
// and nobody there yet.
int fifo_open(inode *, file *file)
{
    constexpr unsigned WRITE_AT_ONCE = OPEN_WRONLY | OPEN_NONBLOCK;

    if (!(file->f_mode & (FMODE_READ | FMODE_WRITE)))
        return -EINVAL;
    return (file->f_flags & (OPEN_ACCMODE | OPEN_NONBLOCK)) == WRITE_AT_ONCE ? -ENXIO : 0;
}

constexpr file_operations device_fops = {};
constexpr file_operations pipefifo_fops = {.open = fifo_open};

} // namespace

const file_operations no_open_fops = {.open = no_open};

// Linux v6.12 fs/inode.c init_special_inode(). Reduced: every device exists and opens.
void init_special_inode(inode *inode, umode_t mode, unsigned device)
{
    WRITE_ONCE(inode->i_mode, mode);
    switch (mode & S_IFMT_MASK) {
    case S_IFCHR_TYPE:
    case S_IFBLK_TYPE:
        inode->i_fop = &device_fops;
        inode->i_rdev = device;
        break;
    case S_IFIFO_TYPE:
        inode->i_fop = &pipefifo_fops;
        break;
    case S_IFSOCK_TYPE:
        break;
    default:
        WARN_ON(true);
        break;
    }
}

// --- Start and end of the VFS ---

// Linux v6.12 fs/inode.c inode_init().
int inode_init(const vfs_config &config)
{
    spin_lock_init(&inode_hash_lock, "inode_hash_lock");
    WRITE_ONCE(last_ino, 0);
    inode_cache = kmem_cache_create("inode_cache", sizeof(inode), alignof(inode));
    if (!inode_cache)
        return -ENOMEM;
    inode_hashtable = static_cast<hlist_head *>(
        alloc_large_system_hash(sizeof(hlist_head), config.ihash_entries, 14, &i_hash_shift));
    if (!inode_hashtable) {
        kmem_cache_destroy(inode_cache);
        return -ENOMEM;
    }
    return 0;
}

void inode_exit(vfs_leaks *leaks)
{
    for (unsigned long i = 0; i < 1ul << i_hash_shift; i++)
        leaks->hash_entries += !hlist_empty(&inode_hashtable[i]);
    memory_free(inode_hashtable);
    inode_hashtable = nullptr;
    leaks->inodes += kmem_cache_destroy(inode_cache);
    inode_cache = nullptr;
}

} // namespace dcsim::inline DCSIM_BACKEND
