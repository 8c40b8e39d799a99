// SPDX-License-Identifier: GPL-2.0-only
//
// memfs: what the operations do to the disk, to link counts and to the cache, and that each of them
// does all or nothing when memory is short.
#include <atomic>
#include <functional>
#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "acting_as.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/mockfs/memfs.h"
#include "dcsim/refs.h"
#include "dcsim/vfs/attributes.h"
#include "dcsim/vfs/file.h"
#include "dcsim/vfs/namei.h"
#include "dcsim/vfs/vfs.h"
#include "directory_reader.h"
#include "threads.h"
#include "warnings.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

const std::string long_name(200, 'l');
const std::string longest_name(NAME_MAX_LENGTH, 'm');
const std::string too_long_name(NAME_MAX_LENGTH + 1, 'n');

class Memfs : public ::testing::Test
{
  protected:
    void SetUp() override
    {
        vfs_config config;
        config.dhash_entries = 64;
        config.ihash_entries = 64;
        ASSERT_EQ(vfs_init(config), 0);
        mount({});
    }

    void TearDown() override
    {
        kmem_fail_nth(0);
        EXPECT_EQ(memfs_unmount(sb), 0);
        EXPECT_TRUE(vfs_exit().none());
    }

    void mount(const memfs_options &options)
    {
        sb = memfs_mount(options, "test");
        ASSERT_FALSE(IS_ERR(sb));
        root = sb->s_root;
    }
    void remount(const memfs_options &options)
    {
        ASSERT_EQ(memfs_unmount(sb), 0);
        mount(options);
    }

    // --- By path ---

    /// The dentry, or an error pointer.
    dentry_ref find(std::string_view path)
    {
        return adopt_dentry(lookup_path(root, path.data(), path.size()));
    }
    bool exists(std::string_view path)
    {
        dentry_ref found = find(path);
        EXPECT_TRUE(!IS_ERR(found.get()) || PTR_ERR(found.get()) == -ENOENT) << path;
        return !IS_ERR(found.get());
    }
    ino_t number_of(std::string_view path)
    {
        return d_inode(find(path).get())->i_ino;
    }
    unsigned links_of(std::string_view path)
    {
        return READ_ONCE(d_inode(find(path).get())->i_nlink);
    }
    umode_t mode_of(std::string_view path)
    {
        return READ_ONCE(d_inode(find(path).get())->i_mode);
    }

    /// Runs operation(parent, name), or returns why there is no parent.
    template <typename Operation>
    int at(std::string_view path, Operation operation)
    {
        size_t slash = path.rfind('/');
        bool below_root = slash == std::string_view::npos;
        dentry_ref parent = below_root ? dentry_ref(root) : find(path.substr(0, slash));

        if (IS_ERR(parent.get()))
            return PTR_ERR(parent.get());
        return operation(parent.get(), below_root ? path : path.substr(slash + 1));
    }

    int create(std::string_view path, umode_t mode = 0644)
    {
        return at(path, [mode](dentry *parent, std::string_view name) {
            return create_at(parent, name.data(), name.size(), mode);
        });
    }
    int mkdir(std::string_view path)
    {
        return at(path, [](dentry *parent, std::string_view name) {
            return mkdir_at(parent, name.data(), name.size(), 0755);
        });
    }
    int unlink(std::string_view path)
    {
        return at(path, [](dentry *parent, std::string_view name) {
            return unlink_at(parent, name.data(), name.size());
        });
    }
    int rmdir(std::string_view path)
    {
        return at(path, [](dentry *parent, std::string_view name) {
            return rmdir_at(parent, name.data(), name.size());
        });
    }
    int rename(std::string_view from, std::string_view to, unsigned flags = 0)
    {
        return at(from, [&](dentry *old_parent, std::string_view old_name) {
            return at(to, [&](dentry *new_parent, std::string_view new_name) {
                return rename_at(old_parent, old_name.data(), old_name.size(), new_parent,
                                 new_name.data(), new_name.size(), flags);
            });
        });
    }

    /// Locks the parent, looks the name up and runs operation(directory, dentry).
    template <typename Operation>
    int at_locked_name(std::string_view path, Operation operation)
    {
        return at(path, [&](dentry *parent, std::string_view name) {
            return with_locked_name(parent, name, operation);
        });
    }
    template <typename Operation>
    int with_locked_name(dentry *parent, std::string_view text, Operation operation)
    {
        inode *dir = d_inode(parent);
        qstr name = make_qstr(text.data(), static_cast<u32>(text.size()));
        int error = lookup_noperm_common(&name, parent);

        if (error)
            return error;
        inode_lock(dir);
        dentry_ref dentry = adopt_dentry(lookup_one_qstr_excl(&name, parent, LOOKUP_CREATE));
        error = IS_ERR(dentry.get()) ? PTR_ERR(dentry.get()) : operation(dir, dentry.get());
        inode_unlock(dir);
        return error;
    }
    int symlink(std::string_view path, const char *body)
    {
        return at_locked_name(
            path, [&](inode *dir, dentry *dentry) { return vfs_symlink(dir, dentry, body); });
    }
    int link(std::string_view existing, std::string_view path)
    {
        dentry_ref old_dentry = find(existing);
        if (IS_ERR(old_dentry.get()))
            return PTR_ERR(old_dentry.get());
        return at_locked_name(path, [&](inode *dir, dentry *dentry) {
            return vfs_link(old_dentry.get(), dir, dentry);
        });
    }

    long nodes()
    {
        return memfs_node_count(sb);
    }
    /// Forgets everything that is not in use.
    void drop_cache()
    {
        shrink_dcache_sb(sb);
    }
    memfs_node *add(memfs_node *directory, std::string_view name, umode_t mode,
                    const char *body = nullptr)
    {
        return memfs_add_node(sb, directory, name.data(), name.size(), mode, body);
    }

    /// Repeats an operation with its first allocation failing, then its second, and so on, until
    /// it succeeds without meeting the failure. After each failure nothing may have changed.
    void expect_all_or_nothing(std::function<int()> operation, std::function<std::string()> state)
    {
        const std::string before = state();
        const long nodes_before = nodes();
        int error;
        long n = 0;

        do {
            ASSERT_LT(++n, 100);
            drop_cache();
            kmem_fail_nth(n);
            error = operation();
            bool failed = kmem_failure_delivered();
            kmem_fail_nth(0);
            if (!failed)
                break;
            ASSERT_EQ(error, -ENOMEM) << n;
            ASSERT_EQ(state(), before) << n;
            ASSERT_EQ(nodes(), nodes_before) << n;
        } while (true);
        EXPECT_EQ(error, 0);
        EXPECT_GT(n, 1);
    }

    super_block *sb = nullptr;
    dentry *root = nullptr;
    warning_capture warnings;
};

// --- Mounting ---

TEST_F(Memfs, IsEmptyAtFirst)
{
    EXPECT_EQ(nodes(), 1);
    EXPECT_TRUE(d_is_dir(root));
    EXPECT_TRUE(IS_ROOT(root));
    EXPECT_EQ(READ_ONCE(d_inode(root)->i_nlink), 2u);
    EXPECT_STREQ(sb->s_type->name, "memfs");
    EXPECT_FALSE(exists("a"));
}

TEST_F(Memfs, TellsWhatIsOnTheDisk)
{
    memfs_node *directory = add(memfs_root_node(sb), "d", S_IFDIR_TYPE | 0755);
    std::vector<std::string> seen;

    add(directory, "b", S_IFREG_TYPE | 0644);
    add(directory, "a", S_IFLNK_TYPE | 0777, "b");
    memfs_for_each_entry(
        sb,
        [](void *argument, const memfs_entry &entry) {
            static_cast<std::vector<std::string> *>(argument)->push_back(
                std::to_string(entry.directory) + ":" + std::string(entry.name, entry.length) +
                "=" + std::to_string(entry.ino) + "x" + std::to_string(entry.nlink) +
                (entry.body ? std::string("->") + entry.body : ""));
        },
        &seen);
    EXPECT_EQ(memfs_root_ino(sb), 1u);
    EXPECT_EQ(seen, (std::vector<std::string>{"1:d=2x2", "2:a=4x1->b", "2:b=3x1"}));
}

TEST_F(Memfs, NumbersInodesFromWhereItIsTold)
{
    memfs_options options;
    super_block *other;

    options.last_used_ino = 1000;
    other = memfs_mount(options, "other");
    EXPECT_EQ(memfs_root_ino(other), 1001u);
    EXPECT_EQ(memfs_unmount(other), 0);
}

TEST_F(Memfs, MountsOrLeavesNothing)
{
    for (long n = 1;; n++) {
        kmem_fail_nth(n);
        super_block *fresh = memfs_mount({}, "fresh");
        bool failed = kmem_failure_delivered();
        kmem_fail_nth(0);
        ASSERT_EQ(IS_ERR(fresh), failed) << n;
        if (!failed) {
            EXPECT_GT(n, 4);
            EXPECT_EQ(memfs_unmount(fresh), 0);
            break;
        }
        ASSERT_EQ(PTR_ERR(fresh), -ENOMEM);
    }
}

TEST_F(Memfs, GivesItsDentriesTheOperationsAskedFor)
{
    static int deletes;
    static constexpr dentry_operations operations = {
        .d_delete = [](const dentry *) { return ++deletes; },
    };
    memfs_options options;

    options.default_dentry_operations = &operations;
    remount(options);
    deletes = 0;
    EXPECT_EQ(create("a"), 0);
    EXPECT_GT(deletes, 0);
    EXPECT_EQ(find("a")->d_op, &operations);
    EXPECT_EQ(root->d_op, &operations);
}

TEST_F(Memfs, ReportsABusyDentryAtUnmount)
{
    ASSERT_EQ(create("a"), 0);
    dentry_ref busy = find("a");
    super_block *leaked = sb;

    EXPECT_EQ(memfs_unmount(sb), 4);
    EXPECT_THAT(warnings.take(), ::testing::SizeIs(2));
    // The disk is still there for those who use it.
    EXPECT_EQ(memfs_node_count(leaked), 2);
    busy.reset();
    shrink_dcache_sb(leaked);
    leaked->s_op->put_super(leaked);
    EXPECT_EQ(memfs_unmount(leaked), 0);
    mount({});
}

// --- Creating and looking up ---

TEST_F(Memfs, FindsWhatWasCreatedAfterTheCacheForgotIt)
{
    ASSERT_EQ(mkdir("d"), 0);
    ASSERT_EQ(create("d/f", 0640), 0);
    ino_t number = number_of("d/f");

    drop_cache();
    EXPECT_EQ(number_of("d/f"), number);
    EXPECT_EQ(mode_of("d/f"), S_IFREG_TYPE | 0640);
    EXPECT_EQ(mode_of("d"), S_IFDIR_TYPE | 0755);
    EXPECT_EQ(nodes(), 3);
}

TEST_F(Memfs, CachesThatANameIsAbsent)
{
    long before = vfs_counter_value(FS_LOOKUPS);

    EXPECT_FALSE(exists("absent"));
    EXPECT_FALSE(exists("absent"));
    EXPECT_EQ(vfs_counter_value(FS_LOOKUPS), before + 1);
    ASSERT_EQ(create("absent"), 0);
    EXPECT_TRUE(exists("absent"));
}

TEST_F(Memfs, TellsNamesApartByTheirBytes)
{
    const std::string_view names[] = {"a",        "aa",        "ab",      "b",
                                      "A",        "a ",        "\1",      "\xff",
                                      "12345678", "123456789", long_name, longest_name};

    for (std::string_view name : names)
        ASSERT_EQ(create(name), 0) << name;
    drop_cache();
    for (std::string_view name : names)
        EXPECT_TRUE(exists(name)) << name;
    EXPECT_FALSE(exists("1234567"));
    EXPECT_FALSE(exists(std::string(199, 'l')));
    EXPECT_FALSE(exists(std::string(201, 'l')));
    EXPECT_EQ(nodes(), 1 + static_cast<long>(std::size(names)));
}

TEST_F(Memfs, RefusesTooLongNames)
{
    EXPECT_EQ(create(longest_name), 0);
    EXPECT_EQ(create(too_long_name), -ENAMETOOLONG);
    EXPECT_EQ(PTR_ERR(find(too_long_name).get()), -ENAMETOOLONG);

    // And by itself, for callers that do not check.
    qstr name = make_hashed_qstr(root, too_long_name.data(), NAME_MAX_LENGTH + 1);
    dentry_ref fresh = adopt_dentry(d_alloc(root, &name));
    inode *dir = d_inode(root);
    inode_lock(dir);
    EXPECT_EQ(PTR_ERR(dir->i_op->lookup(dir, fresh.get(), 0)), -ENAMETOOLONG);
    EXPECT_EQ(dir->i_op->create(dir, fresh.get(), 0644, true), -ENAMETOOLONG);
    EXPECT_EQ(dir->i_op->link(fresh.get(), dir, fresh.get()), -ENAMETOOLONG);
    inode_unlock(dir);
    EXPECT_EQ(nodes(), 2);
}

TEST_F(Memfs, RefusesANameThatExists)
{
    ASSERT_EQ(create("a"), 0);
    EXPECT_EQ(create("a"), -EEXIST);
    EXPECT_EQ(mkdir("a"), -EEXIST);
    EXPECT_EQ(nodes(), 2);
}

TEST_F(Memfs, CreatesAtADentryThatWasDroppedMeanwhile)
{
    auto drop_then = [&](std::string_view path, auto operation) {
        return at_locked_name(path, [&](inode *dir, dentry *dentry) {
            d_drop(dentry);
            int error = operation(dir, dentry);
            EXPECT_FALSE(d_unhashed(dentry));
            EXPECT_FALSE(READ_ONCE(d_inode(dentry)->i_state) & I_NEW);
            return error;
        });
    };

    EXPECT_EQ(
        drop_then("d", [](inode *dir, dentry *dentry) { return vfs_mkdir(dir, dentry, 0755); }), 0);
    EXPECT_EQ(
        drop_then("f", [](inode *dir, dentry *dentry) { return vfs_create(dir, dentry, 0644); }),
        0);
    dentry_ref f = find("f");
    EXPECT_EQ(
        drop_then("l", [&](inode *dir, dentry *dentry) { return vfs_link(f.get(), dir, dentry); }),
        0);
    EXPECT_EQ(number_of("l"), number_of("f"));
}

TEST_F(Memfs, KeepsWhatASymlinkSays)
{
    ASSERT_EQ(symlink("s", "to/some/where"), 0);
    drop_cache();
    dentry_ref link = find("s");

    EXPECT_TRUE(d_is_symlink(link.get()));
    inode *inode = d_inode(link.get());
    EXPECT_STREQ(inode->i_op->get_link(link.get(), inode, nullptr), "to/some/where");
    EXPECT_EQ(READ_ONCE(inode->i_mode), S_IFLNK_TYPE | 0777);
}

// --- Link counts ---

TEST_F(Memfs, CountsTheNamesOfAFile)
{
    ASSERT_EQ(mkdir("d"), 0);
    ASSERT_EQ(create("a"), 0);
    ASSERT_EQ(link("a", "d/b"), 0);
    EXPECT_EQ(number_of("a"), number_of("d/b"));
    EXPECT_EQ(links_of("a"), 2u);
    EXPECT_EQ(nodes(), 3);

    ASSERT_EQ(unlink("a"), 0);
    drop_cache();
    EXPECT_EQ(links_of("d/b"), 1u);
    ASSERT_EQ(unlink("d/b"), 0);
    EXPECT_EQ(nodes(), 2);
}

TEST_F(Memfs, CountsASubdirectoryForItsDotDot)
{
    ASSERT_EQ(mkdir("d"), 0);
    EXPECT_EQ(links_of("d"), 2u);
    ASSERT_EQ(mkdir("d/one"), 0);
    ASSERT_EQ(mkdir("d/two"), 0);
    ASSERT_EQ(create("d/file"), 0);
    EXPECT_EQ(links_of("d"), 4u);
    drop_cache();
    EXPECT_EQ(links_of("d"), 4u);
    ASSERT_EQ(rmdir("d/one"), 0);
    EXPECT_EQ(links_of("d"), 3u);
    EXPECT_EQ(READ_ONCE(d_inode(root)->i_nlink), 3u);
}

// --- Removing ---

TEST_F(Memfs, RemovesAFileWithItsLastUser)
{
    ASSERT_EQ(create("a"), 0);
    dentry_ref open = find("a");

    ASSERT_EQ(unlink("a"), 0);
    EXPECT_FALSE(exists("a"));
    EXPECT_EQ(READ_ONCE(d_inode(open.get())->i_nlink), 0u);
    EXPECT_EQ(nodes(), 2);
    open.reset();
    EXPECT_EQ(nodes(), 1);
}

TEST_F(Memfs, RemovesOnlyEmptyDirectories)
{
    ASSERT_EQ(mkdir("d"), 0);
    ASSERT_EQ(create("d/f"), 0);
    EXPECT_EQ(rmdir("d"), -ENOTEMPTY);
    drop_cache();
    EXPECT_EQ(rmdir("d"), -ENOTEMPTY);
    ASSERT_EQ(unlink("d/f"), 0);
    EXPECT_EQ(rmdir("d"), 0);
    EXPECT_FALSE(exists("d"));
    EXPECT_EQ(nodes(), 1);
}

TEST_F(Memfs, DoesNotConfuseTheTypesWhenRemoving)
{
    ASSERT_EQ(mkdir("d"), 0);
    ASSERT_EQ(create("f"), 0);
    EXPECT_EQ(unlink("d"), -EISDIR);
    EXPECT_EQ(rmdir("f"), -ENOTDIR);
    EXPECT_EQ(unlink("absent"), -ENOENT);
    EXPECT_EQ(nodes(), 3);
}

// The disk is asked what it has; a dentry that the disk does not know is not removed from it.
TEST_F(Memfs, DoesNotRemoveWhatIsNotOnTheDisk)
{
    ASSERT_EQ(mkdir("d"), 0);
    ASSERT_EQ(create("a"), 0);
    dentry_ref a = find("a");
    inode *elsewhere = d_inode(find("d").get());

    inode_lock(elsewhere);
    EXPECT_EQ(elsewhere->i_op->unlink(elsewhere, a.get()), -ENOENT);
    EXPECT_EQ(elsewhere->i_op->rmdir(elsewhere, a.get()), -ENOENT);
    EXPECT_EQ(elsewhere->i_op->rename(elsewhere, a.get(), elsewhere, a.get(), 0), -ENOENT);
    EXPECT_EQ(elsewhere->i_op->rename(elsewhere, a.get(), elsewhere, a.get(), RENAME_EXCHANGE_FLAG),
              -ENOENT);
    inode_unlock(elsewhere);
    EXPECT_EQ(links_of("a"), 1u);
}

// --- What stat(2) tells, as tmpfs tells it ---

TEST_F(Memfs, KeepsAttributesOnTheDisk)
{
    ASSERT_EQ(create("f"), 0);
    iattr change = {ATTR_MODE | ATTR_UID | ATTR_GID, 04711, 1000, 100};
    {
        dentry_ref f = find("f");
        inode_lock(d_inode(f.get()));
        EXPECT_EQ(notify_change(f.get(), &change), 0);
        inode_unlock(d_inode(f.get()));
    }
    shrink_dcache_sb(sb);
    dentry_ref again = find("f");
    const path where = {nullptr, again.get()};
    kstat stat;
    EXPECT_EQ(vfs_getattr(&where, &stat), 0);
    EXPECT_EQ(stat.mode, S_IFREG_TYPE | 04711);
    EXPECT_EQ(stat.uid, 1000u);
    EXPECT_EQ(stat.gid, 100u);
}

TEST_F(Memfs, RefusesAChangeThatIsNotAllowed)
{
    ASSERT_EQ(create("f", 0600), 0);
    dentry_ref f = find("f");
    iattr change = {ATTR_MODE, 0777, 0, 0};

    acting_as user(1000, 100);
    inode_lock(d_inode(f.get()));
    EXPECT_EQ(notify_change(f.get(), &change), -EPERM);
    inode_unlock(d_inode(f.get()));
    EXPECT_EQ(mode_of("f"), S_IFREG_TYPE | 0600);
}

TEST_F(Memfs, GivesNewFilesToWhoMakesThem)
{
    remount({.root_mode = 02777, .root_uid = 7, .root_gid = 50});
    EXPECT_EQ(mode_of("."), S_IFDIR_TYPE | 02777);
    EXPECT_EQ(READ_ONCE(d_inode(root)->i_uid), 7u);
    acting_as user(1000, 100);

    ASSERT_EQ(create("f", 0666), 0);
    ASSERT_EQ(mkdir("d"), 0);
    shrink_dcache_sb(sb);
    for (const char *name : {"f", "d"}) {
        EXPECT_EQ(READ_ONCE(d_inode(find(name).get())->i_uid), 1000u) << name;
        EXPECT_EQ(READ_ONCE(d_inode(find(name).get())->i_gid), 50u) << name;
    }
    EXPECT_EQ(mode_of("f"), S_IFREG_TYPE | 0644) << "umask 022";
    EXPECT_EQ(mode_of("d"), S_IFDIR_TYPE | 02755);
}

int64_t size_of(const dentry_ref &dentry)
{
    return READ_ONCE(d_inode(dentry.get())->i_size);
}

TEST_F(Memfs, DirectoriesAreAsLargeAsTheirNames)
{
    ASSERT_EQ(mkdir("d"), 0);
    ASSERT_EQ(mkdir("e"), 0);
    EXPECT_EQ(size_of(find("d")), 40);
    ASSERT_EQ(create("d/f"), 0);
    ASSERT_EQ(create("d/g"), 0);
    ASSERT_EQ(mkdir("d/sub"), 0);
    EXPECT_EQ(size_of(find("d")), 100);
    ASSERT_EQ(rename("d/f", "e/f"), 0);
    EXPECT_EQ(size_of(find("d")), 80);
    EXPECT_EQ(size_of(find("e")), 60);
    ASSERT_EQ(rename("d/g", "e/f"), 0) << "over another";
    EXPECT_EQ(size_of(find("d")), 60);
    EXPECT_EQ(size_of(find("e")), 60);
    ASSERT_EQ(rename("d/sub", "e/f", RENAME_EXCHANGE_FLAG), 0);
    EXPECT_EQ(size_of(find("e")), 60);
    ASSERT_EQ(unlink("d/sub"), 0);
    ASSERT_EQ(rmdir("e/f"), 0);
    EXPECT_EQ(size_of(find("d")), 40);
    EXPECT_EQ(size_of(find("e")), 40);
    EXPECT_EQ(size_of(root), 80);
    shrink_dcache_sb(sb);
    EXPECT_EQ(size_of(find("e")), 40);
}

int make_symlink(dentry *parent, const char *text, const char *body)
{
    qstr name = make_qstr(text, static_cast<u32>(strlen(text)));
    dentry *link = start_creating(parent, &name);
    int error = vfs_symlink(d_inode(parent), link, body);

    end_creating(link);
    return error;
}

TEST_F(Memfs, LinksAreAsLargeAsTheirBodies)
{
    const std::string longest(4095, 'b'), too_long(4096, 'b');

    ASSERT_EQ(make_symlink(root, "l", "to/there"), 0);
    ASSERT_EQ(make_symlink(root, "m", longest.c_str()), 0);
    EXPECT_EQ(make_symlink(root, "n", too_long.c_str()), -ENAMETOOLONG);
    EXPECT_EQ(size_of(find("l")), 8);
    shrink_dcache_sb(sb);
    EXPECT_EQ(size_of(find("m")), 4095);
    EXPECT_EQ(mode_of("l"), S_IFLNK_TYPE | 0777) << "no umask";
    EXPECT_STREQ(READ_ONCE(d_inode(find("l").get())->i_link), "to/there");
}

TEST_F(Memfs, LinksCanBeSlow)
{
    remount({.links_in_inode = false});
    ASSERT_EQ(make_symlink(root, "l", "to/there"), 0);
    dentry_ref link = find("l");
    inode *inode = d_inode(link.get());
    delayed_call done = {};
    char buffer[20] = {};

    EXPECT_EQ(READ_ONCE(inode->i_link), nullptr);
    EXPECT_EQ(inode->i_op->get_link(nullptr, inode, &done), ERR_PTR(-ECHILD)) << "in an RCU walk";
    EXPECT_EQ(vfs_readlink(link.get(), buffer, 20), 8);
    EXPECT_STREQ(buffer, "to/there");
    kmem_fail_nth(1);
    EXPECT_EQ(vfs_readlink(link.get(), buffer, 20), -ENOMEM);
}

TEST_F(Memfs, KeepsDeviceNumbers)
{
    const auto mknod = [](umode_t mode, unsigned device) {
        return [=](inode *dir, dentry *dentry) { return vfs_mknod(dir, dentry, mode, device); };
    };
    ASSERT_EQ(at_locked_name("c", mknod(S_IFCHR_TYPE | 0600, 0x501)), 0);
    ASSERT_EQ(at_locked_name("b", mknod(S_IFBLK_TYPE | 0600, 0x802)), 0);
    ASSERT_EQ(at_locked_name("p", mknod(S_IFIFO_TYPE | 0600, 0)), 0);
    ASSERT_EQ(at_locked_name("s", mknod(S_IFSOCK_TYPE | 0600, 0)), 0);
    shrink_dcache_sb(sb);
    EXPECT_EQ(d_inode(find("c").get())->i_rdev, 0x501u);
    EXPECT_EQ(d_inode(find("b").get())->i_rdev, 0x802u);
    EXPECT_EQ(mode_of("b"), S_IFBLK_TYPE | 0600);
    EXPECT_EQ(mode_of("p"), S_IFIFO_TYPE | 0600);
    EXPECT_EQ(d_inode(find("s").get())->i_fop, &no_open_fops);
}

// --- Reading directories ---

TEST_F(Memfs, ReportsTheNewestNameFirst)
{
    ASSERT_EQ(create("b"), 0);
    ASSERT_EQ(create("a"), 0);
    ASSERT_EQ(mkdir("c"), 0);
    shrink_dcache_sb(sb);
    directory_reader reader(root);
    const auto entries = reader.read();

    ASSERT_EQ(entries.size(), 5u);
    EXPECT_EQ(entries[0].name, ".");
    EXPECT_EQ(entries[1].name, "..");
    EXPECT_EQ(entries[2].name, "c");
    EXPECT_EQ(entries[2].ino, number_of("c"));
    EXPECT_EQ(entries[2].type, unsigned{S_IFDIR_TYPE >> 12});
    EXPECT_EQ(entries[3].name, "a");
    EXPECT_EQ(entries[4].name, "b");
    EXPECT_TRUE(reader.read().empty());
}

/// Reads the root with `change` after `before` entries: `staying` must be met once, nothing twice.
void expect_no_skip_no_repeat(dentry *directory, size_t before, std::string_view staying,
                              const std::function<void()> &change)
{
    directory_reader reader(directory);
    std::string met;

    for (const std::string &name : reader.names(before))
        met += name;
    change();
    for (auto entries = reader.read(1); !entries.empty(); entries = reader.read(1)) {
        if (entries[0].name[0] != '.')
            met += entries[0].name;
    }
    for (char name : staying)
        EXPECT_NE(met.find(name), std::string::npos) << name << " after " << before;
    for (char name : met)
        EXPECT_EQ(met.find(name), met.rfind(name)) << name << " after " << before;
}

TEST_F(Memfs, ReadersNeitherSkipNorRepeatWhateverChanges)
{
    const std::vector<std::function<int()>> changes = {
        [&] { return unlink("a"); },      [&] { return unlink("c") | unlink("e"); },
        [&] { return create("x"); },      [&] { return rename("c", "x"); },
        [&] { return rename("e", "a"); },
    };

    for (size_t before = 0; before <= 7; before++) {
        for (const auto &change : changes) {
            for (const char *name : {"a", "b", "c", "d", "e"})
                ASSERT_EQ(create(name), 0);
            expect_no_skip_no_repeat(root, before, "bd", [&] { ASSERT_EQ(change(), 0); });
            remount({});
        }
    }
}

TEST_F(Memfs, ReadingWhileMovingEverythingEnds)
{
    for (const char *name : {"a", "b", "c"})
        ASSERT_EQ(create(name), 0);
    directory_reader reader(root);
    size_t moved = 0;

    reader.read(2);
    for (auto names = reader.names(1); !names.empty(); names = reader.names(1))
        ASSERT_EQ(rename(names[0], "moved-" + std::to_string(moved++)), 0);
    EXPECT_EQ(moved, 3u);
}

TEST_F(Memfs, PositionsCanBeReturnedTo)
{
    for (const char *name : {"a", "b", "c", "d"})
        ASSERT_EQ(create(name), 0);
    directory_reader reader(root);
    const auto entries = reader.read();
    const int64_t end = reader.position();

    ASSERT_EQ(unlink("b"), 0);
    for (const auto &entry : entries) {
        EXPECT_EQ(reader.seek(entry.offset), entry.offset);
        EXPECT_EQ(reader.read(1)[0].name, entry.name == "b" ? "a" : entry.name);
    }
    EXPECT_EQ(reader.seek(end), end);
    EXPECT_TRUE(reader.read().empty());
    EXPECT_EQ(reader.seek(0), 0);
    EXPECT_EQ(reader.read().size(), 5u);
    EXPECT_EQ(reader.seek(-1), -EINVAL);
    EXPECT_EQ(reader.seek(0, 2), -EINVAL);
    EXPECT_EQ(reader.seek(-1, 1), end - 1);
}

// --- Files without a name ---

/// A file to be opened at a dentry, as vfs_tmpfile() hands it over: without references on its path.
file *nameless_file(dentry *dentry)
{
    file *file = alloc_empty_file(OPEN_RDONLY, &init_cred);

    file->f_path.dentry = dentry;
    return file;
}

TEST_F(Memfs, MakesAFileThatGoesWithItsLastUser)
{
    dentry_ref nameless = adopt_dentry(d_alloc_name(root, "placeholder"));
    file *file = nameless_file(nameless.get());
    inode *dir = d_inode(root);

    ASSERT_EQ(dir->i_op->tmpfile(dir, file, 0600), 0);
    EXPECT_TRUE(file->f_mode & FMODE_OPENED);
    inode *inode = d_inode(nameless.get());
    EXPECT_EQ(READ_ONCE(inode->i_nlink), 0u);
    EXPECT_EQ(READ_ONCE(inode->i_mode), S_IFREG_TYPE | 0600);
    EXPECT_FALSE(READ_ONCE(inode->i_state) & I_NEW);
    EXPECT_EQ(nodes(), 2);
    nameless.reset();
    EXPECT_EQ(nodes(), 2) << "it is open";
    fput(file);
    EXPECT_EQ(nodes(), 1);
}

TEST_F(Memfs, FailsToMakeANamelessFileWithoutMemory)
{
    dentry_ref nameless = adopt_dentry(d_alloc_name(root, "placeholder"));
    file *file = nameless_file(nameless.get());
    inode *dir = d_inode(root);

    for (long n = 1; n <= 2; n++) {
        kmem_fail_nth(n);
        EXPECT_EQ(dir->i_op->tmpfile(dir, file, 0600), -ENOMEM) << n;
        EXPECT_TRUE(kmem_failure_delivered());
        EXPECT_EQ(nodes(), 1);
    }
    EXPECT_TRUE(d_is_negative(nameless.get()));
    fput(file);
}

// --- Renaming ---

TEST_F(Memfs, RenamesWithinADirectoryAndAcross)
{
    ASSERT_EQ(mkdir("d"), 0);
    ASSERT_EQ(create("a"), 0);
    ino_t number = number_of("a");

    ASSERT_EQ(rename("a", long_name), 0);
    EXPECT_FALSE(exists("a"));
    EXPECT_EQ(number_of(long_name), number);
    ASSERT_EQ(rename(long_name, "d/b"), 0);
    drop_cache();
    EXPECT_EQ(number_of("d/b"), number);
    EXPECT_FALSE(exists(long_name));
    EXPECT_EQ(nodes(), 3);
}

TEST_F(Memfs, MovesADotDotWithItsDirectory)
{
    ASSERT_EQ(mkdir("from"), 0);
    ASSERT_EQ(mkdir("to"), 0);
    ASSERT_EQ(mkdir("from/moving"), 0);
    ASSERT_EQ(create("from/moving/file"), 0);

    ASSERT_EQ(rename("from/moving", "to/moved"), 0);
    EXPECT_EQ(links_of("from"), 2u);
    EXPECT_EQ(links_of("to"), 3u);
    EXPECT_TRUE(exists("to/moved/file"));
    ASSERT_EQ(rename("to/moved", "to/again"), 0);
    EXPECT_EQ(links_of("to"), 3u);
    drop_cache();
    EXPECT_EQ(links_of("to"), 3u);
    EXPECT_TRUE(exists("to/again/file"));
}

TEST_F(Memfs, ReplacesAFile)
{
    ASSERT_EQ(create("a"), 0);
    ASSERT_EQ(create("b"), 0);
    ASSERT_EQ(link("b", "other-name-of-b"), 0);
    ino_t number = number_of("a");

    ASSERT_EQ(rename("a", "b"), 0);
    EXPECT_EQ(number_of("b"), number);
    EXPECT_FALSE(exists("a"));
    EXPECT_EQ(links_of("other-name-of-b"), 1u);
    EXPECT_EQ(nodes(), 3);
    ASSERT_EQ(rename("b", "other-name-of-b"), 0);
    EXPECT_EQ(nodes(), 2);
}

TEST_F(Memfs, ReplacesAnEmptyDirectory)
{
    ASSERT_EQ(mkdir("p"), 0);
    ASSERT_EQ(mkdir("q"), 0);
    ASSERT_EQ(mkdir("p/source"), 0);
    ASSERT_EQ(mkdir("q/target"), 0);
    ASSERT_EQ(create("q/target/file"), 0);

    EXPECT_EQ(rename("p/source", "q/target"), -ENOTEMPTY);
    EXPECT_EQ(links_of("p"), 3u);
    ASSERT_EQ(unlink("q/target/file"), 0);
    ASSERT_EQ(rename("p/source", "q/target"), 0);
    EXPECT_EQ(links_of("p"), 2u);
    EXPECT_EQ(links_of("q"), 3u);
    EXPECT_EQ(nodes(), 4);

    ASSERT_EQ(mkdir("q/second"), 0);
    EXPECT_EQ(links_of("q"), 4u);
    ASSERT_EQ(rename("q/second", "q/target"), 0);
    EXPECT_EQ(links_of("q"), 3u);
    drop_cache();
    EXPECT_EQ(links_of("q"), 3u);
}

TEST_F(Memfs, DoesNotReplaceWhenAskedNotTo)
{
    ASSERT_EQ(create("a"), 0);
    ASSERT_EQ(create("b"), 0);
    EXPECT_EQ(rename("a", "b", RENAME_NOREPLACE_FLAG), -EEXIST);
    EXPECT_EQ(rename("a", "c", RENAME_NOREPLACE_FLAG), 0);

    // And by itself, for callers that do not check.
    inode *dir = d_inode(root);
    dentry_ref b = find("b"), c = find("c");
    inode_lock(dir);
    EXPECT_EQ(dir->i_op->rename(dir, c.get(), dir, b.get(), RENAME_NOREPLACE_FLAG), -EEXIST);
    EXPECT_EQ(dir->i_op->rename(dir, c.get(), dir, b.get(), 1u << 5), -EINVAL);
    inode_unlock(dir);
    EXPECT_NE(number_of("b"), number_of("c"));
}

TEST_F(Memfs, ExchangesTwoNames)
{
    ASSERT_EQ(mkdir("p"), 0);
    ASSERT_EQ(mkdir("q"), 0);
    ASSERT_EQ(mkdir("p/x"), 0);
    ASSERT_EQ(create("p/x/inner"), 0);
    ASSERT_EQ(create("q/y"), 0);
    ino_t x = number_of("p/x"), y = number_of("q/y");

    ASSERT_EQ(rename("p/x", "q/y", RENAME_EXCHANGE_FLAG), 0);
    EXPECT_EQ(number_of("p/x"), y);
    EXPECT_EQ(number_of("q/y"), x);
    EXPECT_TRUE(exists("q/y/inner"));
    EXPECT_EQ(links_of("p"), 2u);
    EXPECT_EQ(links_of("q"), 3u);
    drop_cache();
    EXPECT_EQ(number_of("p/x"), y);
    EXPECT_TRUE(exists("q/y/inner"));
    // Back, with the directory on the other side.
    ASSERT_EQ(rename("p/x", "q/y", RENAME_EXCHANGE_FLAG), 0);
    EXPECT_EQ(links_of("p"), 3u);
    EXPECT_EQ(links_of("q"), 2u);
    EXPECT_EQ(rename("p/x", "q/absent", RENAME_EXCHANGE_FLAG), -ENOENT);
    EXPECT_EQ(nodes(), 6);
}

TEST_F(Memfs, ExchangesTwoDirectoriesWithoutChangingCounts)
{
    ASSERT_EQ(mkdir("p"), 0);
    ASSERT_EQ(mkdir("q"), 0);
    ASSERT_EQ(mkdir("p/x"), 0);
    ASSERT_EQ(mkdir("q/y"), 0);
    ASSERT_EQ(rename("p/x", "q/y", RENAME_EXCHANGE_FLAG), 0);
    EXPECT_EQ(links_of("p"), 3u);
    EXPECT_EQ(links_of("q"), 3u);
}

// --- All or nothing ---

TEST_F(Memfs, CreatesOrChangesNothing)
{
    ASSERT_EQ(mkdir("d"), 0);
    auto state = [&] {
        return std::to_string(exists("d/" + long_name)) + std::to_string(links_of("d"));
    };

    expect_all_or_nothing([&] { return create("d/" + long_name); }, state);
    EXPECT_TRUE(exists("d/" + long_name));
}

TEST_F(Memfs, MakesADirectoryOrChangesNothing)
{
    ASSERT_EQ(mkdir("d"), 0);
    auto state = [&] { return std::to_string(exists("d/new")) + std::to_string(links_of("d")); };

    expect_all_or_nothing([&] { return mkdir("d/new"); }, state);
    EXPECT_EQ(links_of("d"), 3u);
}

TEST_F(Memfs, MakesASymlinkOrChangesNothing)
{
    expect_all_or_nothing([&] { return symlink("s", "body"); },
                          [&] { return std::to_string(exists("s")); });
}

TEST_F(Memfs, LinksOrChangesNothing)
{
    ASSERT_EQ(create("a"), 0);
    expect_all_or_nothing(
        [&] { return link("a", "b"); },
        [&] { return std::to_string(exists("b")) + std::to_string(links_of("a")); });
    EXPECT_EQ(links_of("a"), 2u);
}

TEST_F(Memfs, RenamesOrChangesNothing)
{
    ASSERT_EQ(mkdir("from"), 0);
    ASSERT_EQ(mkdir("to"), 0);
    ASSERT_EQ(mkdir("from/moving"), 0);
    auto state = [&] {
        return std::to_string(exists("from/moving")) + std::to_string(exists("to/moved")) +
               std::to_string(links_of("from")) + std::to_string(links_of("to"));
    };

    expect_all_or_nothing([&] { return rename("from/moving", "to/moved"); }, state);
    EXPECT_EQ(state(), "0123");
}

TEST_F(Memfs, LooksUpOrSaysSo)
{
    ASSERT_EQ(mkdir("d"), 0);
    ASSERT_EQ(create("d/f"), 0);
    expect_all_or_nothing(
        [&] {
            dentry_ref found = find("d/f");
            return IS_ERR(found.get()) ? PTR_ERR(found.get()) : 0;
        },
        [&] { return std::to_string(exists("d/f")); });
}

// --- Delays and faults in lookups ---

struct lookup_record {
    std::vector<std::string> names;
    int answer = 0;

    static int record(void *argument, inode *dir, dentry *dentry)
    {
        auto *self = static_cast<lookup_record *>(argument);
        EXPECT_TRUE(rwsem_is_locked(&dir->i_rwsem));
        EXPECT_TRUE(d_is_negative(dentry));
        self->names.emplace_back(reinterpret_cast<const char *>(READ_ONCE(dentry->d_name.name)));
        return self->answer;
    }
};

TEST_F(Memfs, TellsTheHookAboutEachLookup)
{
    lookup_record record;
    memfs_options options;

    options.before_lookup = lookup_record::record;
    options.before_lookup_argument = &record;
    remount(options);
    EXPECT_FALSE(exists("one"));
    EXPECT_FALSE(exists("one"));
    EXPECT_FALSE(exists("two"));
    EXPECT_THAT(record.names, ::testing::ElementsAre("one", "two"));
}

TEST_F(Memfs, FailsALookupWithTheErrorOfTheHook)
{
    lookup_record record;
    memfs_options options;

    options.before_lookup = lookup_record::record;
    options.before_lookup_argument = &record;
    remount(options);
    record.answer = -EIO;
    EXPECT_EQ(PTR_ERR(find("a").get()), -EIO);
    record.answer = 0;
    // Nothing was cached: the disk is asked again.
    EXPECT_FALSE(exists("a"));
    EXPECT_THAT(record.names, ::testing::SizeIs(2));
}

TEST_F(Memfs, TakesTheTimeItWasToldToTake)
{
    memfs_options options;

    options.lookup_delay_us = 20000;
    remount(options);
    u64 start = monotonic_nanoseconds();
    EXPECT_FALSE(exists("a"));
    EXPECT_GE(monotonic_nanoseconds() - start, 20000000u);
}

// --- Filling the disk ---

TEST_F(Memfs, IsFilledBeforeAnybodyWalksIt)
{
    memfs_node *top = memfs_root_node(sb);
    memfs_node *directory = add(top, "d", S_IFDIR_TYPE | 0700);

    ASSERT_FALSE(IS_ERR(directory));
    ASSERT_FALSE(IS_ERR(add(directory, "f", S_IFREG_TYPE | 0600)));
    ASSERT_FALSE(IS_ERR(add(directory, "s", S_IFLNK_TYPE | 0777, "f")));
    ASSERT_FALSE(IS_ERR(add(directory, "p", S_IFIFO_TYPE | 0600)));
    ASSERT_FALSE(IS_ERR(add(directory, "sub", S_IFDIR_TYPE | 0755)));
    EXPECT_EQ(nodes(), 6);
    EXPECT_EQ(mode_of("d"), S_IFDIR_TYPE | 0700);
    EXPECT_EQ(links_of("d"), 3u);
    EXPECT_EQ(READ_ONCE(d_inode(root)->i_nlink), 3u);
    EXPECT_TRUE(d_is_reg(find("d/f").get()));
    EXPECT_TRUE(d_is_symlink(find("d/s").get()));
    EXPECT_TRUE(d_is_special(find("d/p").get()));
    EXPECT_TRUE(d_is_dir(find("d/sub").get()));
}

TEST_F(Memfs, RefusesToBeFilledWithNonsense)
{
    memfs_node *top = memfs_root_node(sb);
    memfs_node *file = add(top, "file", S_IFREG_TYPE | 0644);
    const umode_t regular = S_IFREG_TYPE | 0644;

    EXPECT_EQ(PTR_ERR(add(top, "file", regular)), -EEXIST);
    EXPECT_EQ(PTR_ERR(add(file, "below", regular)), -ENOTDIR);
    EXPECT_EQ(PTR_ERR(add(top, "", regular)), -EINVAL);
    EXPECT_EQ(PTR_ERR(add(top, ".", regular)), -EINVAL);
    EXPECT_EQ(PTR_ERR(add(top, "..", regular)), -EINVAL);
    EXPECT_EQ(PTR_ERR(add(top, "a/b", regular)), -EINVAL);
    EXPECT_EQ(PTR_ERR(add(top, std::string_view("a\0b", 3), regular)), -EINVAL);
    EXPECT_EQ(PTR_ERR(add(top, too_long_name, regular)), -ENAMETOOLONG);
    EXPECT_EQ(PTR_ERR(add(top, "link", S_IFLNK_TYPE | 0777)), -EINVAL);
    EXPECT_EQ(PTR_ERR(add(top, "body", regular, "text")), -EINVAL);
    EXPECT_EQ(PTR_ERR(add(top, "typeless", 0644)), -EINVAL);
    EXPECT_EQ(nodes(), 2);
    EXPECT_FALSE(IS_ERR(add(top, "...", regular)));
    EXPECT_FALSE(IS_ERR(add(top, ".a", regular)));
    EXPECT_FALSE(IS_ERR(add(top, "..a", regular)));
    EXPECT_FALSE(IS_ERR(add(top, longest_name, regular)));
}

TEST_F(Memfs, IsFilledOrChangesNothing)
{
    memfs_node *top = memfs_root_node(sb);

    for (long n = 1; n <= 3; n++) {
        kmem_fail_nth(n);
        EXPECT_EQ(PTR_ERR(add(top, "link", S_IFLNK_TYPE | 0777, "body")), -ENOMEM) << n;
        EXPECT_TRUE(kmem_failure_delivered());
        EXPECT_EQ(nodes(), 1);
    }
    kmem_fail_nth(0);
    EXPECT_FALSE(IS_ERR(add(top, "link", S_IFLNK_TYPE | 0777, "body")));
}

// --- Everybody at once ---

// Threads make, link, move and remove the same few names, while the cache is emptied under them. In
// the end the disk must be as large as what can be found on it.
TEST_F(Memfs, CountsItsNodesRightWhateverHappensAtTheSameTime)
{
    constexpr int rounds = DCSIM_TSAN ? 200 : 1500;
    const char *const names[] = {"a", "b", "p/a", "p/b", "q/a", "q/b"};
    constexpr int count = static_cast<int>(std::size(names));

    ASSERT_EQ(mkdir("p"), 0);
    ASSERT_EQ(mkdir("q"), 0);
    run_together(more_threads_than_processors(), [&](int thread) {
        unsigned random = static_cast<unsigned>(thread) * 2654435761u + 1;
        auto pick = [&random] {
            random = random * 1664525u + 1013904223u;
            return static_cast<int>(random >> 16);
        };
        for (int round = 0; round < rounds; round++) {
            const char *one = names[pick() % count], *two = names[pick() % count];
            switch (pick() % 8) {
            case 0:
            case 1:
                create(one);
                break;
            case 2:
                mkdir(one);
                break;
            case 3:
                unlink(one);
                break;
            case 4:
                rmdir(one);
                break;
            case 5:
                rename(one, two);
                break;
            case 6:
                rename(one, two, RENAME_EXCHANGE_FLAG);
                break;
            case 7:
                drop_cache();
                break;
            }
        }
    });
    drop_cache();
    long found = 3;
    unsigned below_root = 2, below_p = 0, below_q = 0;
    for (const char *name : names) {
        dentry_ref dentry = find(name);
        if (IS_ERR(dentry.get()))
            continue;
        found++;
        if (d_is_dir(dentry.get()))
            ++(name[1] == '\0' ? below_root : name[0] == 'p' ? below_p : below_q);
        EXPECT_EQ(links_of(name), d_is_dir(dentry.get()) ? 2u : 1u) << name;
    }
    EXPECT_EQ(nodes(), found);
    EXPECT_EQ(READ_ONCE(d_inode(root)->i_nlink), 2 + below_root);
    EXPECT_EQ(links_of("p"), 2 + below_p);
    EXPECT_EQ(links_of("q"), 2 + below_q);
}

// --- A directory that somebody else is moving ---

TEST_F(Memfs, ADirectoryShownTwiceIsOneInodeWithOneDentry)
{
    memfs_node *top = memfs_root_node(sb);
    memfs_node *directory = add(top, "old", S_IFDIR_TYPE | 0755);
    ASSERT_FALSE(IS_ERR(add(directory, "inside", S_IFREG_TYPE | 0644)));
    long count = nodes();

    EXPECT_EQ(memfs_add_directory_name(sb, top, "new", 3, directory), 0);
    EXPECT_EQ(memfs_add_directory_name(sb, top, "new", 3, directory), -EEXIST);
    EXPECT_EQ(nodes(), count);

    dentry_ref found = find("old/inside");
    EXPECT_EQ(find("new/inside"), found);
    EXPECT_EQ(links_of("new"), 2u);
    EXPECT_EQ(links_of("old"), 2u) << "and back";
}

TEST_F(Memfs, OnlyADirectoryIsShownTwiceAndOnlyUnderAGoodName)
{
    memfs_node *top = memfs_root_node(sb);
    memfs_node *directory = add(top, "directory", S_IFDIR_TYPE | 0755);
    memfs_node *file = add(top, "file", S_IFREG_TYPE | 0644);

    EXPECT_EQ(memfs_add_directory_name(sb, top, "x", 1, file), -ENOTDIR);
    EXPECT_EQ(memfs_add_directory_name(sb, file, "x", 1, directory), -ENOTDIR);
    EXPECT_EQ(memfs_add_directory_name(sb, top, "a/b", 3, directory), -EINVAL);
    EXPECT_EQ(
        memfs_add_directory_name(sb, top, too_long_name.data(), too_long_name.size(), directory),
        -ENAMETOOLONG);
    kmem_fail_nth(1);
    EXPECT_EQ(memfs_add_directory_name(sb, top, "x", 1, directory), -ENOMEM);
    kmem_fail_nth(0);
    EXPECT_FALSE(exists("x"));
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
