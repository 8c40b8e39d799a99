// SPDX-License-Identifier: GPL-2.0-only
//
// casefs in its three forms: which spellings are one name, which dentry stands for them, what is
// cached of what is missing, and that nothing is left behind when memory is short.
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/kernel/slab.h"
#include "dcsim/mockfs/mock_filesystem.h"
#include "dcsim/vfs/file.h"
#include "directory_reader.h"
#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr const mock_filesystem *fs = &casefs_filesystem;

class Casefs : public ::testing::Test
{
  protected:
    void SetUp() override
    {
        ASSERT_EQ(vfs_init({.dhash_entries = 4, .ihash_entries = 4, .in_lookup_shift = 0}), 0);
    }
    void TearDown() override
    {
        kmem_fail_nth(0);
        EXPECT_EQ(fs->unmount(sb), 0);
        expect_nothing_left(vfs_exit());
    }

    /// A disk with a directory "d" that folds, in it a file "Foo" and a directory "Sub", and a
    /// directory "e" that does not fold.
    void mount(std::vector<mock_option> options)
    {
        mock_mount_options mount_options;

        mount_options.options = options;
        sb = fs->mount(mount_options, "casefs");
        ASSERT_FALSE(IS_ERR(sb));
        mock_node *d = add(fs->root_node(sb), "d", S_IFDIR_TYPE | 0755);
        add(fs->root_node(sb), "e", S_IFDIR_TYPE | 0755);
        ASSERT_EQ(fs->set_node_flag(sb, d, "casefold"), 0);
        add(d, "Foo", S_IFREG_TYPE | 0644);
        add(d, "Sub", S_IFDIR_TYPE | 0755);
    }
    mock_node *add(mock_node *directory, std::string_view name, umode_t mode,
                   const char *body = nullptr)
    {
        return fs->add_node(sb, directory, name.data(), name.size(), mode, body);
    }

    dentry_ref find(std::string_view path)
    {
        return adopt_dentry(lookup_path(sb->s_root, path.data(), path.size()));
    }
    long error_of(std::string_view path)
    {
        dentry_ref found = find(path);
        return IS_ERR(found.get()) ? PTR_ERR(found.get()) : 0;
    }
    bool exists(std::string_view path)
    {
        return error_of(path) == 0;
    }
    ino_t number_of(std::string_view path)
    {
        dentry_ref found = find(path);
        return IS_ERR(found.get()) ? 0 : d_inode(found.get())->i_ino;
    }
    /// What the server calls them.
    std::vector<std::string> names_in(std::string_view path)
    {
        return directory_reader(find(path).get()).names();
    }

    int in_directory(std::string_view path,
                     const std::function<int(dentry *, const char *, size_t)> &operation)
    {
        const size_t slash = path.rfind('/');
        dentry_ref parent = find(path.substr(0, slash));

        if (IS_ERR(parent.get()))
            return static_cast<int>(PTR_ERR(parent.get()));
        return operation(parent.get(), path.data() + slash + 1, path.size() - slash - 1);
    }
    int create(std::string_view path)
    {
        return in_directory(path, [](dentry *parent, const char *name, size_t length) {
            return create_at(parent, name, length, 0644);
        });
    }
    int mkdir(std::string_view path)
    {
        return in_directory(path, [](dentry *parent, const char *name, size_t length) {
            return mkdir_at(parent, name, length, 0755);
        });
    }
    int unlink(std::string_view path)
    {
        return in_directory(path, unlink_at);
    }
    int rmdir(std::string_view path)
    {
        return in_directory(path, rmdir_at);
    }
    int rename(std::string_view from, std::string_view to, unsigned flags = 0)
    {
        return in_directory(from, [&](dentry *old_parent, const char *name, size_t length) {
            return in_directory(to, [&](dentry *parent, const char *new_name, size_t new_length) {
                return rename_at(old_parent, name, length, parent, new_name, new_length, flags);
            });
        });
    }
    int remote(remote_change what, const char *path, const char *second = nullptr)
    {
        return fs->remote(sb, what, path, second);
    }

    super_block *sb = nullptr;
    warning_capture warnings;
};

const std::vector<mock_option> form_of_ext4 = {};
const std::vector<mock_option> form_of_xfs = {{"compare", 0}};
const std::vector<mock_option> form_of_cifs = {{"casefold", 1}, {"revalidate", 1}, {"prime", 1}};

// --- Which names are one ---

class CasefsForms : public Casefs,
                    public ::testing::WithParamInterface<const std::vector<mock_option> *>
{
  protected:
    void SetUp() override
    {
        Casefs::SetUp();
        mount(*GetParam());
    }
    bool folds_everywhere() const
    {
        return GetParam() == &form_of_cifs;
    }
};

TEST_P(CasefsForms, OneDentryStandsForAllSpellings)
{
    dentry_ref upper = find("d/FOO");
    dentry_ref lower = find("d/foo");
    dentry_ref exact = find("d/Foo");

    ASSERT_TRUE(d_is_reg(upper.get()));
    EXPECT_EQ(lower.get(), upper.get());
    EXPECT_EQ(exact.get(), upper.get());
    EXPECT_FALSE(exists("d/Foo2"));
    EXPECT_FALSE(exists("d/Fo"));
    EXPECT_TRUE(exists("D/foo") == folds_everywhere());
}

TEST_P(CasefsForms, OtherDirectoriesTellSpellingsApart)
{
    ASSERT_EQ(create("e/a"), 0);
    if (folds_everywhere()) {
        EXPECT_EQ(create("e/A"), -EEXIST);
    } else {
        EXPECT_EQ(create("e/A"), 0);
        EXPECT_NE(number_of("e/a"), number_of("e/A"));
    }
}

TEST_P(CasefsForms, ADirectoryInAFoldingOneFolds)
{
    ASSERT_EQ(mkdir("d/sub2"), 0);
    for (std::string_view path : {"d/Sub", "d/sub2"}) {
        ASSERT_EQ(create(std::string(path) + "/X"), 0);
        EXPECT_TRUE(exists(std::string(path) + "/x"));
        EXPECT_EQ(create(std::string(path) + "/x"), -EEXIST);
        shrink_dcache_sb(sb);
        EXPECT_TRUE(exists(std::string(path) + "/x"));
    }
}

TEST_P(CasefsForms, WhatIsMadeHasTheSpellingOfItsMaker)
{
    EXPECT_FALSE(exists("d/bar"));
    ASSERT_EQ(create("d/BaR"), 0);
    EXPECT_EQ(create("d/bar"), -EEXIST);
    EXPECT_EQ(mkdir("d/BAR"), -EEXIST);
    EXPECT_THAT(names_in("d"), UnorderedElementsAre("Foo", "Sub", "BaR"));
    EXPECT_EQ(number_of("d/bar"), number_of("d/BaR"));
}

TEST_P(CasefsForms, AnySpellingRemoves)
{
    ASSERT_EQ(unlink("d/fOO"), 0);
    EXPECT_EQ(unlink("d/Foo"), -ENOENT);
    EXPECT_EQ(rmdir("d/SUB"), 0);
    EXPECT_THAT(names_in("d"), IsEmpty());
    ASSERT_EQ(create("d/foo"), 0);
    EXPECT_THAT(names_in("d"), ElementsAre("foo"));
    EXPECT_TRUE(exists("d/FOO"));
}

TEST_P(CasefsForms, RenamesByAnySpelling)
{
    const ino_t number = number_of("d/Foo");

    ASSERT_EQ(rename("d/foo", "d/Bar"), 0);
    EXPECT_FALSE(exists("d/Foo"));
    EXPECT_EQ(number_of("d/BAR"), number);
    EXPECT_THAT(names_in("d"), UnorderedElementsAre("Bar", "Sub"));

    // Source and target are one file: nothing to do, says the VFS, and the spelling stays.
    EXPECT_EQ(rename("d/Bar", "d/BAR"), 0);
    EXPECT_THAT(names_in("d"), UnorderedElementsAre("Bar", "Sub"));
}

TEST_P(CasefsForms, WhatIsReplacedKeepsItsSpelling)
{
    ASSERT_EQ(create("e/new"), 0);
    const ino_t number = number_of("e/new");
    dentry_ref replaced = find("d/Foo");

    ASSERT_EQ(rename("e/new", "d/FOO"), 0);
    EXPECT_EQ(number_of("d/foo"), number);
    EXPECT_EQ(READ_ONCE(d_inode(replaced.get())->i_nlink), 0u);
    EXPECT_THAT(names_in("d"), UnorderedElementsAre("Foo", "Sub"));
    EXPECT_THAT(names_in("e"), IsEmpty());
}

TEST_P(CasefsForms, ExchangesAcrossDirectories)
{
    ASSERT_EQ(mkdir("e/x"), 0);
    const ino_t file = number_of("d/Foo"), directory = number_of("e/x");

    ASSERT_EQ(rename("d/foo", "e/x", RENAME_EXCHANGE_FLAG), 0);
    EXPECT_EQ(number_of("d/FOO"), directory);
    EXPECT_EQ(number_of("e/x"), file);
    EXPECT_EQ(rename("e/x", "d/foO", RENAME_NOREPLACE_FLAG), -EEXIST);
    EXPECT_EQ(READ_ONCE(d_inode(find("d").get())->i_nlink), 4u);
    EXPECT_EQ(READ_ONCE(d_inode(find("e").get())->i_nlink), 2u);
}

TEST_P(CasefsForms, LinksAndSymbolicLinks)
{
    dentry_ref file = find("d/foo");
    EXPECT_EQ(in_directory("d/hard",
                           [&](dentry *parent, const char *name, size_t length) {
                               return link_at(file.get(), parent, name, length);
                           }),
              0);
    EXPECT_EQ(in_directory("d/HARD",
                           [&](dentry *parent, const char *name, size_t length) {
                               return link_at(file.get(), parent, name, length);
                           }),
              -EEXIST);
    EXPECT_EQ(number_of("d/Hard"), number_of("d/Foo"));
    EXPECT_EQ(READ_ONCE(d_inode(file.get())->i_nlink), 2u);

    add(fs->root_node(sb), "l", S_IFLNK_TYPE | 0777, "d/foo");
    char body[20] = {};
    EXPECT_EQ(vfs_readlink(find("l").get(), body, sizeof(body)), 5);
    EXPECT_STREQ(body, "d/foo");
}

TEST_P(CasefsForms, FileHandlesFindTheNamesOfTheServer)
{
    inode *inode = fs->inode_by_path(sb, "/d/Foo");

    ASSERT_FALSE(IS_ERR(inode));
    EXPECT_EQ(inode->i_ino, number_of("d/foo"));
    iput(inode);
    EXPECT_EQ(fs->inode_by_path(sb, "/d/foo"), ERR_PTR(-ENOENT));
}

TEST_P(CasefsForms, OthersCannotMakeTwinsEither)
{
    EXPECT_EQ(remote(remote_change::create, "/d/FOO"), -EEXIST);
    EXPECT_EQ(remote(remote_change::mkdir, "/d/FOO"), -EEXIST);
    EXPECT_EQ(remote(remote_change::create, "/d/Sub/a"), 0);
    EXPECT_EQ(remote(remote_change::rename, "/d/Sub/a", "/d/foo"), -EEXIST);
    EXPECT_EQ(remote(remote_change::rename, "/d/Foo", "/d/FOO"), 0);
    EXPECT_THAT(names_in("d"), UnorderedElementsAre("FOO", "Sub"));
    EXPECT_EQ(remote(remote_change::mkdir, "/d/more"), 0);
    ASSERT_EQ(create("d/more/x"), 0);
    EXPECT_EQ(create("d/more/X"), -EEXIST);
}

TEST_P(CasefsForms, MemoryThatRunsOutChangesNothing)
{
    const std::function<int()> operations[] = {
        [&] { return create("d/new"); },
        [&] { return mkdir("d/newdir"); },
        [&] { return rename("d/foo", "e/Moved"); },
        [&] { return remote(remote_change::mkdir, "/d/remote"); },
        [&] { return unlink("d/new"); },
    };

    for (const std::function<int()> &operation : operations) {
        const auto before = names_in("d"), before_e = names_in("e");
        long n = 0;
        int error;

        do {
            ASSERT_LT(++n, 100);
            shrink_dcache_sb(sb);
            kmem_fail_nth(n);
            error = operation();
            const bool failed = kmem_failure_delivered();
            kmem_fail_nth(0);
            // A failure may also come too late to matter.
            if (!failed || !error)
                break;
            ASSERT_EQ(error, -ENOMEM) << n;
            ASSERT_EQ(names_in("d"), before) << n;
            ASSERT_EQ(names_in("e"), before_e) << n;
        } while (true);
        EXPECT_EQ(error, 0);
        EXPECT_GT(n, 1);
    }
}

INSTANTIATE_TEST_SUITE_P(All, CasefsForms,
                         ::testing::Values(&form_of_ext4, &form_of_xfs, &form_of_cifs),
                         [](const auto &info) {
                             return info.param == &form_of_ext4  ? "ext4"
                                    : info.param == &form_of_xfs ? "xfs"
                                                                 : "cifs";
                         });

// --- Names in the cache ---

TEST_F(Casefs, WithDCompareTheDentryHasTheSpellingOfTheFirst)
{
    mount({});
    EXPECT_EQ(name_of(find("d/fOO").get()), "fOO");
    EXPECT_EQ(name_of(find("d/Foo").get()), "fOO");
}

TEST_F(Casefs, WithDAddCiTheDentryHasTheSpellingOfTheDisk)
{
    mount(form_of_xfs);
    const long lookups = vfs_counter_value(FS_LOOKUPS);
    dentry_ref found = find("d/fOO");

    EXPECT_EQ(name_of(found.get()), "Foo");
    EXPECT_FALSE(d_unhashed(found.get()));
    // The asker's own spelling is not cached: every time it is a new lookup.
    const long dentries = vfs_counter_value(NR_DENTRY);
    EXPECT_EQ(find("d/fOO").get(), found.get());
    EXPECT_EQ(vfs_counter_value(NR_DENTRY), dentries);
    EXPECT_EQ(vfs_counter_value(FS_LOOKUPS), lookups + 3) << "one of them for d";
    EXPECT_EQ(find("d/Foo").get(), found.get());
    EXPECT_EQ(vfs_counter_value(FS_LOOKUPS), lookups + 3);
}

TEST_F(Casefs, NamesAreComparedByTheFlagOfTheirDirectory)
{
    mount({});
    ASSERT_EQ(create("e/Foo"), 0);
    for (std::string_view directory : {"d", "e"}) {
        dentry_ref parent = find(directory);
        dentry_ref file = find(std::string(directory) + "/Foo");
        qstr upper = make_qstr("FOO", 3), exact = make_qstr("Foo", 3),
             longer = make_qstr("Fooo", 4);

        EXPECT_EQ(d_same_name(file.get(), parent.get(), &upper), directory == "d");
        EXPECT_TRUE(d_same_name(file.get(), parent.get(), &exact));
        EXPECT_FALSE(d_same_name(file.get(), parent.get(), &longer));
    }
}

TEST_F(Casefs, LongNamesFoldAsWell)
{
    const std::string mixed = "d/" + std::string(100, 'X') + std::string(100, 'y');
    const std::string lower = "d/" + std::string(100, 'x') + std::string(100, 'y');

    mount({});
    ASSERT_EQ(create(mixed), 0);
    EXPECT_EQ(number_of(lower), number_of(mixed));
    EXPECT_FALSE(exists("d/" + std::string(100, 'x') + std::string(100, 'z')));
    EXPECT_EQ(error_of("d/" + std::string(256, 'x')), -ENAMETOOLONG);
}

TEST_F(Casefs, WhatHasJustBeenMadeIsNotInTheCacheOfAFoldingDirectory)
{
    mount({});
    dentry_ref parent = find("d");
    dentry *made = nullptr;

    qstr name = name_below(parent.get(), "made");
    inode_lock(d_inode(parent.get()));
    made = lookup_one_qstr_excl(&name, parent.get(), LOOKUP_CREATE);
    const int error = IS_ERR(made) ? static_cast<int>(PTR_ERR(made))
                                   : vfs_create(d_inode(parent.get()), made, 0644);
    inode_unlock(d_inode(parent.get()));
    ASSERT_EQ(error, 0);
    EXPECT_TRUE(d_unhashed(made)) << "as on ext4";
    dentry_ref found = find("d/MADE");
    EXPECT_NE(found.get(), made);
    EXPECT_EQ(d_inode(found.get()), d_inode(made));
    dput(made);
}

// --- What is missing ---

TEST_F(Casefs, AMissIsNotCachedInAFoldingDirectory)
{
    for (const auto &form : {form_of_ext4, form_of_xfs}) {
        mount(form);
        EXPECT_FALSE(exists("d/none"));
        EXPECT_FALSE(exists("e/none"));
        const long lookups = vfs_counter_value(FS_LOOKUPS);
        EXPECT_FALSE(exists("d/none"));
        EXPECT_EQ(vfs_counter_value(FS_LOOKUPS), lookups + 1);
        EXPECT_FALSE(exists("e/none"));
        EXPECT_EQ(vfs_counter_value(FS_LOOKUPS), lookups + 1);
        ASSERT_EQ(unlink("d/foo"), 0);
        EXPECT_FALSE(exists("d/foo"));
        EXPECT_EQ(vfs_counter_value(FS_LOOKUPS), lookups + 3) << "nor is what was removed";
        EXPECT_EQ(fs->unmount(sb), 0);
    }
    mount({});
}

TEST_F(Casefs, WithNegativesAMissIsCachedForAllSpellings)
{
    mount({{"negatives", 1}});
    // Without flags, as lookup_path() has none, a missing name is asked for again.
    dentry_ref parent = find("d");
    qstr lower = name_below(parent.get(), "none"), upper = name_below(parent.get(), "NONE");
    dentry *absent = lookup_dcache(&lower, parent.get(), LOOKUP_FOLLOW);
    EXPECT_EQ(absent, nullptr);
    EXPECT_FALSE(exists("d/none"));
    absent = lookup_dcache(&upper, parent.get(), LOOKUP_FOLLOW);
    ASSERT_NE(absent, nullptr);
    EXPECT_TRUE(d_is_negative(absent));
    dput(absent);
    EXPECT_EQ(lookup_dcache(&upper, parent.get(), LOOKUP_CREATE), nullptr)
        << "not good enough for one that is to be made in another spelling";
    EXPECT_FALSE(exists("d/none"));
    absent = lookup_dcache(&lower, parent.get(), LOOKUP_CREATE);
    EXPECT_NE(absent, nullptr) << "but in this one";
    dput(absent);
    EXPECT_EQ(lookup_dcache(&lower, parent.get(), 0), nullptr);
}

TEST_F(Casefs, NegativesNeedACacheThatFolds)
{
    const mock_option options[] = {{"negatives", 1}, {"compare", 0}};
    mock_mount_options mount_options;

    mount({});
    mount_options.options = options;
    EXPECT_EQ(fs->mount(mount_options, "casefs"), ERR_PTR(-EINVAL));
}

// --- A server that others change ---

TEST_F(Casefs, RevalidationFindsWhatTheServerDid)
{
    mount(form_of_cifs);
    const ino_t first = number_of("d/foo");

    EXPECT_EQ(remote(remote_change::replace, "/d/Foo"), 0);
    const ino_t second = number_of("d/foo");
    EXPECT_NE(second, first);
    EXPECT_EQ(remote(remote_change::remove, "/d/Foo"), 0);
    EXPECT_FALSE(exists("d/foo"));
    EXPECT_EQ(remote(remote_change::create, "/d/FOo"), 0);
    EXPECT_TRUE(exists("d/foo")) << "a miss is not believed";
}

TEST_F(Casefs, WithoutRevalidationTheCacheStays)
{
    mount({});
    const ino_t first = number_of("d/foo");

    EXPECT_EQ(remote(remote_change::replace, "/d/Foo"), 0);
    EXPECT_EQ(number_of("d/foo"), first);
}

TEST_F(Casefs, ReadingADirectoryFillsTheCache)
{
    mount(form_of_cifs);
    EXPECT_THAT(names_in("d"), UnorderedElementsAre("Foo", "Sub"));
    const long lookups = vfs_counter_value(FS_LOOKUPS);
    dentry_ref found = find("d/fOO");

    EXPECT_EQ(name_of(found.get()), "Foo");
    EXPECT_TRUE(d_is_dir(find("d/sub").get()));
    EXPECT_EQ(vfs_counter_value(FS_LOOKUPS), lookups);
}

TEST_F(Casefs, ReadingADirectoryKeepsWhatIsRightAndReplacesWhatIsWrong)
{
    mount(form_of_cifs);
    dentry_ref file = find("d/FOO");
    dentry_ref directory = find("d/SUB");

    EXPECT_EQ(remote(remote_change::replace, "/d/Foo"), 0);
    EXPECT_EQ(remote(remote_change::mkdir, "/d/Sub/inside"), 0);
    names_in("d");
    EXPECT_TRUE(d_unhashed(file.get()));
    EXPECT_FALSE(d_unhashed(directory.get()));
    EXPECT_EQ(READ_ONCE(d_inode(directory.get())->i_nlink), 3u) << "updated in place";
    const long lookups = vfs_counter_value(FS_LOOKUPS);
    EXPECT_NE(find("d/foo").get(), file.get());
    EXPECT_EQ(vfs_counter_value(FS_LOOKUPS), lookups);
}

TEST_F(Casefs, ReadingADirectoryLeavesMountpointsAlone)
{
    mount(form_of_cifs);
    dentry_ref directory = find("d/Sub");

    ASSERT_EQ(d_set_mounted(directory.get()), 0);
    EXPECT_EQ(remote(remote_change::remove, "/d/Sub"), 0);
    EXPECT_EQ(remote(remote_change::mkdir, "/d/Sub"), 0);
    names_in("d");
    EXPECT_FALSE(d_unhashed(directory.get()));
    spin_lock(&directory->d_lock);
    directory->d_flags &= ~DCACHE_MOUNTED;
    spin_unlock(&directory->d_lock);
}

TEST_F(Casefs, ReadsADirectoryInPieces)
{
    mount({});
    ASSERT_EQ(create("d/third"), 0);
    directory_reader reader(find("d").get());

    EXPECT_THAT(reader.names(3), ElementsAre("Foo"));
    EXPECT_THAT(reader.names(1), ElementsAre("Sub"));
    ASSERT_EQ(unlink("d/sub"), -EISDIR);
    ASSERT_EQ(rmdir("d/sub"), 0);
    EXPECT_THAT(reader.names(), ElementsAre("third"));
    EXPECT_EQ(reader.seek(0), 0);
    EXPECT_THAT(reader.names(), ElementsAre("Foo", "third"));
    EXPECT_EQ(reader.seek(-1), -EINVAL);
}

// --- Flags and filling ---

TEST_F(Casefs, TheFlagIsForDirectoriesWithoutTwins)
{
    mount({});
    mock_node *twins = add(fs->root_node(sb), "twins", S_IFDIR_TYPE | 0755);
    mock_node *file = add(twins, "a", S_IFREG_TYPE | 0644);

    EXPECT_EQ(fs->set_node_flag(sb, file, "casefold"), -ENOTDIR);
    EXPECT_EQ(fs->set_node_flag(sb, twins, "no such flag"), -EINVAL);
    add(twins, "A", S_IFREG_TYPE | 0644);
    EXPECT_EQ(fs->set_node_flag(sb, twins, "casefold"), -EEXIST);
    EXPECT_NE(number_of("twins/a"), number_of("twins/A"));
    EXPECT_EQ(fs->set_node_flag(sb, fs->root_node(sb), "casefold"), 0);
    EXPECT_TRUE(exists("D/foo"));
    EXPECT_EQ(add(fs->root_node(sb), "E", S_IFDIR_TYPE | 0755), ERR_PTR(-EEXIST));
}

TEST_F(Casefs, ADirectoryMayHaveASecondName)
{
    mount({});
    mock_node *node = add(fs->root_node(sb), "f", S_IFDIR_TYPE | 0755);

    EXPECT_EQ(fs->add_directory_name(sb, fs->root_node(sb), "d", 1, node), -EEXIST);
    EXPECT_EQ(fs->add_directory_name(sb, fs->root_node(sb), "g", 1, node), 0);
    EXPECT_EQ(number_of("g"), number_of("f"));
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
