// SPDX-License-Identifier: GPL-2.0-only
//
// A running VFS with one mounted file system whose ->lookup() and dentry callbacks belong to the
// test.
//
// Whatever a test leaves in the cache goes when the fixture unmounts; a reference that was not
// given back, an object that was not freed and a WARN that nobody took are failures of the test.
#pragma once

#include <atomic>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "dcache_internal.h"
#include "dcsim/refs.h"
#include "dcsim/vfs/namei.h"
#include "dcsim/vfs/vfs.h"
#include "lookup_order.h"
#include "warnings.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// How far a counter has moved since this object was made.
class counter_change
{
  public:
    explicit counter_change(vfs_counter counter)
        : counter_(counter), start_(vfs_counter_value(counter))
    {
    }
    long value() const
    {
        return vfs_counter_value(counter_) - start_;
    }

  private:
    vfs_counter counter_;
    long start_;
};

/// What the dentry operations of a test do. Set the members wanted, then hand table() to
/// set_default_d_op(): it has exactly those callbacks. One object at a time.
class dentry_callbacks
{
  public:
    dentry_callbacks()
    {
        current_ = this;
    }
    ~dentry_callbacks()
    {
        current_ = nullptr;
    }
    dentry_callbacks(const dentry_callbacks &) = delete;
    dentry_callbacks &operator=(const dentry_callbacks &) = delete;

    std::function<int(inode *, const qstr *, dentry *, unsigned)> revalidate;
    std::function<int(const dentry *, qstr *)> hash;
    std::function<int(const dentry *, unsigned, const char *, const qstr *)> compare;
    std::function<int(const dentry *)> on_delete;
    std::function<int(dentry *)> init;
    std::function<void(dentry *)> release;
    std::function<void(dentry *)> prune;
    std::function<void(dentry *, inode *)> iput;
    std::function<bool(const dentry *)> unalias_trylock;
    std::function<void(const dentry *)> unalias_unlock;

    const dentry_operations *table()
    {
        if (revalidate)
            table_.d_revalidate = call_revalidate;
        if (hash)
            table_.d_hash = call_hash;
        if (compare)
            table_.d_compare = call_compare;
        if (on_delete)
            table_.d_delete = call_delete;
        if (init)
            table_.d_init = call_init;
        if (release)
            table_.d_release = call_release;
        if (prune)
            table_.d_prune = call_prune;
        if (iput)
            table_.d_iput = call_iput;
        if (unalias_trylock)
            table_.d_unalias_trylock = call_unalias_trylock;
        if (unalias_unlock)
            table_.d_unalias_unlock = call_unalias_unlock;
        return &table_;
    }

    /// The test is over: what is left is killed without it.
    void forget()
    {
        revalidate = nullptr;
        hash = nullptr;
        on_delete = nullptr;
        init = nullptr;
        release = nullptr;
        prune = nullptr;
        iput = nullptr;
        unalias_trylock = nullptr;
        unalias_unlock = nullptr;
    }

  private:
    static int call_revalidate(inode *dir, const qstr *name, dentry *dentry, unsigned flags)
    {
        return current_->revalidate ? current_->revalidate(dir, name, dentry, flags) : 1;
    }
    static int call_hash(const dentry *dir, qstr *name)
    {
        return current_->hash ? current_->hash(dir, name) : 0;
    }
    static int call_compare(const dentry *dentry, unsigned length, const char *text,
                            const qstr *name)
    {
        return current_->compare(dentry, length, text, name);
    }
    static int call_delete(const dentry *dentry)
    {
        return current_->on_delete ? current_->on_delete(dentry) : 0;
    }
    static int call_init(dentry *dentry)
    {
        return current_->init ? current_->init(dentry) : 0;
    }
    static void call_release(dentry *dentry)
    {
        if (current_->release)
            current_->release(dentry);
    }
    static void call_prune(dentry *dentry)
    {
        if (current_->prune)
            current_->prune(dentry);
    }
    static void call_iput(dentry *dentry, inode *inode)
    {
        if (current_->iput)
            current_->iput(dentry, inode);
        else
            dcsim::iput(inode);
    }
    static bool call_unalias_trylock(const dentry *alias)
    {
        return !current_->unalias_trylock || current_->unalias_trylock(alias);
    }
    static void call_unalias_unlock(const dentry *alias)
    {
        if (current_->unalias_unlock)
            current_->unalias_unlock(alias);
    }

    static inline dentry_callbacks *current_;
    dentry_operations table_ = {};
};

/// Compares names without regard to the case of ASCII letters, for d_compare.
inline int compare_ignoring_case(const dentry *, unsigned length, const char *text,
                                 const qstr *name)
{
    return length != name->len ||
           strncasecmp(text, reinterpret_cast<const char *>(name->name), length) != 0;
}

/// Gives all names of one length one hash, for d_hash: collisions at will.
inline int hash_by_length(const dentry *, qstr *name)
{
    name->hash = name->len;
    return 0;
}

inline unsigned flags_of(const dentry *dentry)
{
    return READ_ONCE(dentry->d_flags);
}

inline bool has_flag(const dentry *dentry, unsigned flag)
{
    return flags_of(dentry) & flag;
}

inline unsigned sequence_of(const dentry *dentry)
{
    return READ_ONCE(dentry->d_seq.sequence);
}

inline dentry *parent_of(const dentry *dentry)
{
    return READ_ONCE(dentry->d_parent);
}

inline std::string name_of(const dentry *dentry)
{
    return reinterpret_cast<const char *>(READ_ONCE(dentry->d_name.name));
}

inline std::string text_of(const qstr &name)
{
    return {reinterpret_cast<const char *>(name.name), name.len};
}

inline int references_of(const inode *inode)
{
    return atomic_read(&inode->i_count);
}

inline unsigned directory_sequence(const dentry *directory)
{
    return READ_ONCE(d_inode(directory)->i_dir_seq);
}

/// The name, hashed for lookups below `parent` and asking its d_hash. `text` must outlive it.
inline qstr name_below(dentry *parent, std::string_view text)
{
    qstr name = make_hashed_qstr(parent, text.data(), static_cast<u32>(text.size()));

    if (has_flag(parent, DCACHE_OP_HASH)) {
        EXPECT_EQ(parent->d_op->d_hash(parent, &name), 0);
    }
    return name;
}

inline void expect_nothing_left(const vfs_leaks &leaks)
{
    EXPECT_EQ(leaks.dentries, 0);
    EXPECT_EQ(leaks.inodes, 0);
    EXPECT_EQ(leaks.kmalloc_objects, 0);
    EXPECT_EQ(leaks.counters, 0);
    EXPECT_EQ(leaks.hash_entries, 0);
    EXPECT_EQ(leaks.files, 0);
    EXPECT_EQ(leaks.mounts, 0);
}

class vfs_fixture : public ::testing::Test
{
  protected:
    /// Few buckets, so that chains are long.
    virtual vfs_config config() const
    {
        vfs_config config;
        config.dhash_entries = 4;
        config.ihash_entries = 4;
        config.in_lookup_shift = 1;
        config.lookup_outside_rwsem = lookup_outside_rwsem_under_test;
        return config;
    }

    void SetUp() override
    {
        current_ = this;
        ASSERT_EQ(vfs_init(config()), 0);
        sb = make_super_block();
        root = sb->s_root;
    }

    void TearDown() override
    {
        kmem_fail_nth(0);
        on_lookup = nullptr;
        callbacks.forget();
        EXPECT_EQ(generic_shutdown_super(sb), 0);
        expect_nothing_left(vfs_exit());
        current_ = nullptr;
    }

    /// A file system with an empty root directory.
    super_block *make_super_block()
    {
        super_block *fresh = alloc_super(&type_, "test");

        fresh->s_root = d_make_root(make_inode(fresh, S_IFDIR_TYPE));
        return fresh;
    }

    // --- Inodes, with one reference that belongs to the caller ---

    inode *make_inode(super_block *where, umode_t mode)
    {
        inode *inode = new_inode(where);

        inode->i_ino = ++last_ino_;
        WRITE_ONCE(inode->i_mode, mode);
        if (S_ISDIR_mode(mode))
            inode->i_op = operations_of_directories;
        else if ((mode & S_IFMT_MASK) == S_IFLNK_TYPE)
            inode->i_op = &symlink_operations;
        else
            inode->i_op = &file_operations;
        return inode;
    }
    inode *directory_inode()
    {
        return make_inode(sb, S_IFDIR_TYPE | 0755);
    }
    inode *file_inode()
    {
        return make_inode(sb, S_IFREG_TYPE | 0644);
    }
    inode *symlink_inode()
    {
        return make_inode(sb, S_IFLNK_TYPE | 0777);
    }

    // --- Dentries; references go with the returned object ---

    /// d_alloc(): unhashed, negative.
    dentry_ref make_unhashed(dentry *parent, std::string_view text)
    {
        qstr name = name_below(parent, text);
        return adopt_dentry(d_alloc(parent, &name));
    }
    /// Hashed, with this inode, whose reference it consumes; negative with nullptr.
    dentry_ref make_child(dentry *parent, std::string_view text, inode *inode)
    {
        dentry_ref child = make_unhashed(parent, text);
        d_add(child.get(), inode);
        return child;
    }
    dentry_ref make_directory(dentry *parent, std::string_view text)
    {
        return make_child(parent, text, directory_inode());
    }
    dentry_ref make_file(dentry *parent, std::string_view text)
    {
        return make_child(parent, text, file_inode());
    }
    dentry_ref make_symlink(dentry *parent, std::string_view text)
    {
        return make_child(parent, text, symlink_inode());
    }
    dentry_ref make_negative(dentry *parent, std::string_view text)
    {
        return make_child(parent, text, nullptr);
    }
    /// The same without users: it stays on the LRU. Valid as long as nobody prunes it.
    dentry *leave_file(dentry *parent, std::string_view text)
    {
        return make_file(parent, text).get();
    }
    dentry *leave_negative(dentry *parent, std::string_view text)
    {
        return make_negative(parent, text).get();
    }
    /// d_lookup().
    dentry_ref cached(dentry *parent, std::string_view text)
    {
        qstr name = name_below(parent, text);
        return adopt_dentry(d_lookup(parent, &name));
    }
    bool is_cached(dentry *parent, std::string_view text)
    {
        return cached(parent, text) != nullptr;
    }
    /// d_alloc_parallel(), as ->lookup()'s callers do it, without the i_rwsem.
    dentry_ref allocate_parallel(dentry *parent, std::string_view text)
    {
        qstr name = name_below(parent, text);
        return adopt_dentry(d_alloc_parallel(parent, &name));
    }

    long lru_length() const
    {
        return list_lru_count(&sb->s_dentry_lru);
    }
    void prune_everything()
    {
        shrink_dcache_sb(sb);
    }

    static dentry *call_lookup(inode *dir, dentry *dentry, unsigned flags)
    {
        if (current_ && current_->on_lookup)
            return current_->on_lookup(dir, dentry, flags);
        return d_splice_alias(nullptr, dentry);
    }
    static const char *call_get_link(dentry *, inode *, delayed_call *)
    {
        return "target";
    }

    static inline const inode_operations directory_operations = {.lookup = call_lookup};
    static inline const inode_operations symlink_operations = {.get_link = call_get_link};
    static inline const inode_operations file_operations = {};

    /// A fixture with more callbacks sets another table in its constructor.
    const inode_operations *operations_of_directories = &directory_operations;
    /// ->lookup() of every directory; a miss where it is not set.
    std::function<dentry *(inode *dir, dentry *dentry, unsigned flags)> on_lookup;
    dentry_callbacks callbacks;
    super_block *sb = nullptr;
    dentry *root = nullptr; ///< sb's; the reference is sb's too
    warning_capture warnings;

  private:
    static inline vfs_fixture *current_;
    static inline const file_system_type type_ = {"testfs"};
    std::atomic<ino_t> last_ino_{0};
};

/// Too long for the dentry: 40 bytes and more live in a block of their own.
inline const std::string long_name = std::string(60, 'l');
inline const std::string other_long_name = std::string(200, 'o');

} // namespace dcsim::inline DCSIM_BACKEND
