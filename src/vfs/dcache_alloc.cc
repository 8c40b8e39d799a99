// SPDX-License-Identifier: GPL-2.0-only
//
// Making dentries and giving their memory back.
//
// A new dentry belongs to its maker alone until it is linked below a parent; from then on tree
// walks meet it. It can be looked up only once it is hashed.
#include "dcache_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

kmem_cache *dentry_cache;

struct external_name *alloc_external_name(unsigned length)
{
    size_t room = (length + sizeof(unsigned long)) & ~(sizeof(unsigned long) - 1);
    auto *name = static_cast<struct external_name *>(kmalloc(sizeof(struct external_name) + room));

    if (!name)
        return nullptr;
    atomic_set(&name->count, 1);
    // Word-wise comparison looks at the whole last word.
    memset(name->text() + room - sizeof(unsigned long), 0, sizeof(unsigned long));
    return name;
}

} // namespace

int dentry_cache_init()
{
    dentry_cache = kmem_cache_create("dentry", sizeof(dentry), alignof(dentry));
    return dentry_cache ? 0 : -ENOMEM;
}

long dentry_cache_exit()
{
    long left = kmem_cache_destroy(dentry_cache);

    dentry_cache = nullptr;
    return left;
}

size_t dentry_bytes()
{
    return dentry_cache ? kmem_cache_bytes_per_object(dentry_cache) : 0;
}

// Linux v7.2 fs/dcache.c __d_alloc().
//
// Returns an unhashed negative root with count 1, or nullptr. Sleeping allocation.
dentry *__d_alloc(super_block *sb, const qstr *name)
{
    auto *dentry = static_cast<struct dentry *>(kmem_cache_alloc(dentry_cache));
    unsigned char *dname;

    if (!dentry)
        return nullptr;

    // The last byte stays NUL for ever: renames copy whole words of names that may end early.
    for (auto &word : dentry->d_shortname.words)
        WRITE_LOCKED(word, 0);
    dname = dentry->d_shortname.string();
    if (unlikely(!name)) {
        name = &slash_name;
    } else if (name->len > DNAME_INLINE_LEN - 1) {
        struct external_name *external = alloc_external_name(name->len);
        if (!external) {
            kmem_cache_free(dentry_cache, dentry);
            return nullptr;
        }
        dname = external->text();
    }
    memcpy(dname, name->name, name->len);
    dname[name->len] = 0;
    WRITE_ONCE(dentry->d_name.hash_len, name->hash_len);
    // A lockless comparison that sees the pointer sees the text and its NUL.
    smp_store_release(&dentry->d_name.name, dname);

    WRITE_ONCE(dentry->d_flags, sb->s_d_flags);
    lockref_init(&dentry->d_lockref, "d_lock");
    seqcount_init(&dentry->d_seq);
    WRITE_ONCE(dentry->d_inode, nullptr);
    WRITE_ONCE(dentry->d_parent, dentry);
    dentry->d_sb = sb;
    dentry->d_op = sb->__s_d_op;
    WRITE_ONCE(dentry->d_time, 0);
    WRITE_ONCE(dentry->d_fsdata, nullptr);
    INIT_HLIST_BL_NODE(&dentry->d_hash);
    INIT_LIST_HEAD(&dentry->d_lru);
    INIT_HLIST_HEAD(&dentry->d_children);
    INIT_HLIST_NODE(&dentry->d_sib);
    dentry->waiters = nullptr;
    // The rest of that union: in lookup, a back link says that the dentry is in the table.
    INIT_HLIST_BL_NODE(&dentry->d_in_lookup_hash);

    if (dentry->d_op && dentry->d_op->d_init && dentry->d_op->d_init(dentry)) {
        if (dname_external(dentry))
            kfree(external_name(dentry));
        kmem_cache_free(dentry_cache, dentry);
        return nullptr;
    }
    vfs_count(NR_DENTRY);
    vfs_count(DENTRIES_ALLOCATED);
    return dentry;
}

// Linux v7.2 fs/dcache.c d_alloc().
dentry *d_alloc(dentry *parent, const qstr *name)
{
    dentry *dentry = __d_alloc(parent->d_sb, name);

    if (!dentry)
        return nullptr;
    spin_lock(&parent->d_lock);
    // Nobody knows the child yet, so its own lock is not needed.
    WRITE_ONCE(dentry->d_parent, dget_dlock(parent));
    hlist_add_head(&dentry->d_sib, &parent->d_children);
    spin_unlock(&parent->d_lock);
    return dentry;
}

// Linux v7.2 fs/dcache.c d_alloc_anon().
dentry *d_alloc_anon(super_block *sb)
{
    return __d_alloc(sb, nullptr);
}

// Linux v7.2 fs/dcache.c d_alloc_cursor().
dentry *d_alloc_cursor(dentry *parent)
{
    dentry *dentry = d_alloc_anon(parent->d_sb);

    if (dentry) {
        dentry->d_flags |= DCACHE_DENTRY_CURSOR | DCACHE_NORCU;
        WRITE_ONCE(dentry->d_parent, dget(parent));
    }
    return dentry;
}

// Linux v7.2 fs/dcache.c d_alloc_pseudo().
dentry *d_alloc_pseudo(super_block *sb, const qstr *name)
{
    static constexpr dentry_operations anon_ops = {.d_dname = simple_dname};
    dentry *dentry = __d_alloc(sb, name);

    if (likely(dentry)) {
        dentry->d_flags |= DCACHE_NORCU;
        // d_dname alone has no flag, so d_flags needs no update.
        if (!dentry->d_op)
            dentry->d_op = &anon_ops;
    }
    return dentry;
}

// Linux v7.2 fs/dcache.c d_alloc_name().
dentry *d_alloc_name(dentry *parent, const char *name)
{
    qstr q;

    q.name = reinterpret_cast<const unsigned char *>(name);
    q.hash_len = hashlen_string(parent, name);
    return d_alloc(parent, &q);
}

// Linux v7.2 fs/dcache.c d_op_flags().
static unsigned d_op_flags(const dentry_operations *op)
{
    unsigned flags = 0;

    if (!op)
        return 0;
    if (op->d_hash)
        flags |= DCACHE_OP_HASH;
    if (op->d_compare)
        flags |= DCACHE_OP_COMPARE;
    if (op->d_revalidate)
        flags |= DCACHE_OP_REVALIDATE;
    if (op->d_weak_revalidate)
        flags |= DCACHE_OP_WEAK_REVALIDATE;
    if (op->d_delete)
        flags |= DCACHE_OP_DELETE;
    if (op->d_prune)
        flags |= DCACHE_OP_PRUNE;
    if (op->d_real)
        flags |= DCACHE_OP_REAL;
    return flags;
}

// Linux v7.2 fs/dcache.c d_set_d_op().
void d_set_d_op(dentry *dentry, const dentry_operations *ops)
{
    WARN_ON(dentry->d_op);
    WARN_ON(d_flags_locked(dentry) & DCACHE_OP_FLAGS);
    dentry->d_op = ops;
    if (unsigned flags = d_op_flags(ops))
        dentry->d_flags |= flags;
}

// Linux v7.2 fs/dcache.c set_default_d_op().
void set_default_d_op(super_block *sb, const dentry_operations *ops)
{
    sb->__s_d_op = ops;
    sb->s_d_flags = (sb->s_d_flags & ~DCACHE_OP_FLAGS) | d_op_flags(ops);
}

// Linux v7.2 fs/dcache.c __d_free().
static void __d_free(rcu_head *head)
{
    kmem_cache_free(dentry_cache, container_of(head, dentry, d_rcu));
}

// Linux v7.2 fs/dcache.c __d_free_external().
static void __d_free_external(rcu_head *head)
{
    dentry *dentry = container_of(head, struct dentry, d_rcu);

    kfree(external_name(dentry));
    kmem_cache_free(dentry_cache, dentry);
}

// Linux v7.2 fs/dcache.c dentry_free().
void dentry_free(dentry *dentry)
{
    WARN_ON(d_really_is_positive(dentry));
    WARN_ON(d_count(dentry) >= 0);
    d_flag_verify(dentry, 0);
    vfs_count(DENTRIES_FREED);
    if (unlikely(dname_external(dentry))) {
        struct external_name *name = external_name(dentry);
        if (likely(atomic_dec_and_test(&name->count))) {
            call_rcu(&dentry->d_rcu, __d_free_external);
            return;
        }
    }
    // NORCU: no lockless walker ever saw it, and its count cannot have risen since it was zero.
    if (READ_ONCE(dentry->d_flags) & DCACHE_NORCU)
        __d_free(&dentry->d_rcu);
    else
        call_rcu(&dentry->d_rcu, __d_free);
}

} // namespace dcsim::inline DCSIM_BACKEND
