// SPDX-License-Identifier: GPL-2.0-only
//
// ovlfs: what is seen of two layers, and what becomes of them when the merged tree is changed.
#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/kernel/slab.h"
#include "dcsim/mockfs/mock_filesystem.h"
#include "dcsim/vfs/attributes.h"
#include "directory_reader.h"
#include "ovlfs_internal.h"
#include "stress_random.h"
#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

using mock_options = std::vector<mock_option>;

constexpr umode_t FILE_MODE = S_IFREG_TYPE | 0644;
constexpr umode_t DIRECTORY_MODE = S_IFDIR_TYPE | 0755;

/// A mounted overlay, or a memfs that is asked the same.
class mounted
{
  public:
    explicit mounted(const mock_filesystem &fs, const mock_options &options = {})
        : fs_(fs), sb(fs.mount({.options = options}, "test"))
    {
        if (IS_ERR(sb))
            throw std::runtime_error("mount");
    }
    ~mounted()
    {
        EXPECT_EQ(fs_.unmount(sb), 0);
    }
    mounted(const mounted &) = delete;
    mounted &operator=(const mounted &) = delete;

    dentry *root() const
    {
        return sb->s_root;
    }
    mock_node *add(std::string_view name, umode_t mode, const char *flag = nullptr,
                   mock_node *directory = nullptr)
    {
        mock_node *node = fs_.add_node(sb, directory ? directory : fs_.root_node(sb), name.data(),
                                       name.size(), mode, nullptr);

        EXPECT_FALSE(IS_ERR(node)) << name;
        if (flag) {
            EXPECT_EQ(fs_.set_node_flag(sb, node, flag), 0) << name << " " << flag;
        }
        return node;
    }
    int flag(mock_node *node, const char *flag)
    {
        return fs_.set_node_flag(sb, node, flag);
    }

  private:
    const mock_filesystem &fs_;

  public:
    super_block *const sb;
};

// --- Asking and changing by path: "d/f" ---

/// What a path names, or the error.
struct found {
    dentry_ref dentry;
    int error = 0;
};

found find(const mounted &fs, std::string_view path)
{
    dentry *dentry =
        path.empty() ? dget(fs.root()) : lookup_path(fs.root(), path.data(), path.size());

    if (IS_ERR(dentry))
        return {nullptr, PTR_ERR(dentry)};
    return {adopt_dentry(dentry), 0};
}

ino_t number_of(const mounted &fs, std::string_view path)
{
    found it = find(fs, path);
    kstat stat = {};
    const struct path where = {nullptr, it.dentry.get()};

    EXPECT_EQ(it.error, 0) << path;
    EXPECT_EQ(vfs_getattr(&where, &stat), 0);
    return stat.ino;
}

std::vector<std::string> names(const mounted &fs, std::string_view path = "")
{
    std::vector<std::string> result = directory_reader(find(fs, path).dentry.get()).names();

    std::sort(result.begin(), result.end());
    return result;
}

/// A parent and a last name.
struct place {
    found parent;
    std::string name;
};

place place_of(const mounted &fs, std::string_view path)
{
    size_t slash = path.rfind('/');

    if (slash == std::string_view::npos)
        return {find(fs, ""), std::string(path)};
    place where = {find(fs, path.substr(0, slash)), std::string(path.substr(slash + 1))};
    if (!where.parent.error && !d_is_dir(where.parent.dentry.get()))
        where.parent.error = -ENOTDIR;
    return where;
}

template <typename Operation, typename... Rest>
int at(const mounted &fs, std::string_view path, Operation operation, Rest... rest)
{
    place where = place_of(fs, path);

    if (where.parent.error)
        return where.parent.error;
    return operation(where.parent.dentry.get(), where.name.data(), where.name.size(), rest...);
}

int make_file(const mounted &fs, std::string_view path)
{
    return at(fs, path, create_at, umode_t{0644});
}
int make_directory(const mounted &fs, std::string_view path)
{
    return at(fs, path, mkdir_at, umode_t{0755});
}
int remove_file(const mounted &fs, std::string_view path)
{
    return at(fs, path, unlink_at);
}
int remove_directory(const mounted &fs, std::string_view path)
{
    return at(fs, path, rmdir_at);
}
int move(const mounted &fs, std::string_view from, std::string_view to, unsigned flags = 0)
{
    place target = place_of(fs, to);

    if (target.parent.error)
        return target.parent.error;
    return at(fs, from, [&](dentry *parent, const char *name, size_t length) {
        return rename_at(parent, name, length, target.parent.dentry.get(), target.name.data(),
                         target.name.size(), flags);
    });
}
int change_mode(const mounted &fs, std::string_view path, umode_t mode)
{
    found it = find(fs, path);
    iattr change = {};
    int error;

    if (it.error)
        return it.error;
    change.ia_valid = ATTR_MODE;
    change.ia_mode = mode;
    inode_lock(d_inode(it.dentry.get()));
    error = notify_change(it.dentry.get(), &change);
    inode_unlock(d_inode(it.dentry.get()));
    return error;
}

class Ovlfs : public ::testing::Test
{
  protected:
    void SetUp() override
    {
        vfs_config config;

        config.dhash_entries = 16;
        config.ihash_entries = 16;
        ASSERT_EQ(vfs_init(config), 0);
    }
    void TearDown() override
    {
        kmem_fail_nth(0);
        expect_nothing_left(vfs_exit());
    }
    warning_capture warnings;
};

/// What the upper layer has under a name of its root; nullptr: nothing.
dentry_ref in_upper(const mounted &fs, std::string_view text)
{
    qstr name = make_qstr(text.data(), static_cast<u32>(text.size()));
    dentry *found = lookup_noperm_unlocked(&name, OVL_FS(fs.sb)->upperdir);

    EXPECT_FALSE(IS_ERR(found)) << text;
    if (IS_ERR(found))
        return nullptr;
    dentry_ref result = adopt_dentry(found);
    return d_is_negative(found) ? nullptr : std::move(result);
}

/// The upper layer refuses to rename over this dentry, or to remove it.
void make_unremovable(dentry *dentry, bool unremovable)
{
    spin_lock(&dentry->d_lockref.lock);
    dentry->d_flags &= ~DCACHE_NFSFS_RENAMED;
    if (unremovable)
        dentry->d_flags |= DCACHE_NFSFS_RENAMED;
    spin_unlock(&dentry->d_lockref.lock);
}

// --- What is seen ---

TEST_F(Ovlfs, ShowsEachNameOfTheTwoLayersOnce)
{
    mounted fs(ovlfs_filesystem);

    fs.add("below", FILE_MODE);
    fs.add("above", FILE_MODE, "upper");
    mock_node *both = fs.add("both", DIRECTORY_MODE, "merged");
    fs.add("x", FILE_MODE, nullptr, both);
    fs.add("y", FILE_MODE, "upper", both);
    EXPECT_THAT(names(fs), ElementsAre("above", "below", "both"));
    EXPECT_THAT(names(fs, "both"), ElementsAre("x", "y"));
    EXPECT_EQ(find(fs, "both/x").error, 0);
    EXPECT_EQ(find(fs, "both/y").error, 0);
    EXPECT_EQ(find(fs, "both/z").error, -ENOENT);
}

TEST_F(Ovlfs, AWhiteoutHidesWhatIsBelow)
{
    mounted fs(ovlfs_filesystem);

    fs.add("f", FILE_MODE, "whiteout");
    fs.add("d", DIRECTORY_MODE, "whiteout");
    fs.add("g", FILE_MODE);
    EXPECT_EQ(find(fs, "f").error, -ENOENT);
    EXPECT_EQ(find(fs, "d").error, -ENOENT);
    EXPECT_THAT(names(fs), ElementsAre("g"));
}

TEST_F(Ovlfs, AnOpaqueDirectoryHidesWhatIsBelow)
{
    mounted fs(ovlfs_filesystem);
    mock_node *opaque = fs.add("d", DIRECTORY_MODE, "opaque");

    fs.add("hidden", FILE_MODE, nullptr, opaque);
    fs.add("seen", FILE_MODE, "upper", opaque);
    EXPECT_THAT(names(fs, "d"), ElementsAre("seen"));
    EXPECT_EQ(find(fs, "d/hidden").error, -ENOENT);
}

TEST_F(Ovlfs, ADirectoryOfTheUpperLayerTakesWhatIsInItAlong)
{
    mounted fs(ovlfs_filesystem);
    mock_node *directory = fs.add("d", DIRECTORY_MODE);

    fs.add("a", FILE_MODE, nullptr, directory);
    EXPECT_EQ(fs.flag(directory, "upper"), 0);
    fs.add("b", FILE_MODE, nullptr, directory);
    EXPECT_THAT(names(fs, "d"), ElementsAre("a", "b"));
    EXPECT_EQ(remove_file(fs, "d/a"), 0);
    EXPECT_EQ(remove_file(fs, "d/b"), 0);
    EXPECT_EQ(remove_directory(fs, "d"), 0);
    EXPECT_THAT(names(fs), IsEmpty());
}

TEST_F(Ovlfs, RefusesFlagsThatMeanNothing)
{
    mounted fs(ovlfs_filesystem);
    mock_node *file = fs.add("f", FILE_MODE);
    mock_node *above = fs.add("u", FILE_MODE, "upper");

    EXPECT_EQ(fs.flag(file, "casefold"), -EINVAL);
    EXPECT_EQ(fs.flag(file, "merged"), -EINVAL);
    EXPECT_EQ(fs.flag(file, "opaque"), -EINVAL);
    EXPECT_EQ(fs.flag(above, "whiteout"), -EINVAL);
    EXPECT_EQ(fs.flag(ovlfs_filesystem.root_node(fs.sb), "upper"), -EINVAL);
}

TEST_F(Ovlfs, TheNoblockFormsAreNotForErasWithACallersQueue)
{
    const mock_option option[] = {{"readdir", 1}};

    ASSERT_EQ(set_lookup_era(ERA_6_0), 0);
    EXPECT_EQ(ovlfs_filesystem.mount({.options = option}, "test"), ERR_PTR(-EINVAL));
    ASSERT_EQ(set_lookup_era(ERA_7_2), 0);
}

// --- What becomes of a change ---

TEST_F(Ovlfs, RemovingWhatIsBelowLeavesAWhiteout)
{
    mounted fs(ovlfs_filesystem);

    fs.add("f", FILE_MODE);
    EXPECT_EQ(remove_file(fs, "f"), 0);
    EXPECT_EQ(find(fs, "f").error, -ENOENT);
    shrink_dcache_sb(fs.sb);
    EXPECT_EQ(find(fs, "f").error, -ENOENT) << "the layers still say so";
    EXPECT_THAT(names(fs), IsEmpty());
    EXPECT_EQ(make_file(fs, "f"), 0);
    EXPECT_THAT(names(fs), ElementsAre("f"));
    EXPECT_EQ(remove_file(fs, "f"), 0);
    shrink_dcache_sb(fs.sb);
    EXPECT_EQ(find(fs, "f").error, -ENOENT);
}

TEST_F(Ovlfs, ADirectoryInThePlaceOfAWhiteoutShowsNothingOfTheOldOne)
{
    mounted fs(ovlfs_filesystem);
    mock_node *directory = fs.add("d", DIRECTORY_MODE);

    fs.add("old", FILE_MODE, nullptr, directory);
    EXPECT_EQ(remove_directory(fs, "d"), -ENOTEMPTY);
    EXPECT_EQ(remove_file(fs, "d/old"), 0);
    EXPECT_EQ(remove_directory(fs, "d"), 0);
    EXPECT_EQ(make_directory(fs, "d"), 0);
    shrink_dcache_sb(fs.sb);
    EXPECT_THAT(names(fs, "d"), IsEmpty());
    EXPECT_EQ(find(fs, "d/old").error, -ENOENT);
}

// The upper layer refuses the last of the steps. What was made for it in workdir goes again, and
// the whiteout stays.
TEST_F(Ovlfs, WhatCannotTakeThePlaceOfAWhiteoutLeavesNothing)
{
    const auto link_to_above = [](const mounted &fs) {
        found above = find(fs, "above");
        return link_at(above.dentry.get(), fs.root(), "f", 1);
    };
    const std::function<int(const mounted &)> makers[] = {
        [](const mounted &fs) { return make_file(fs, "f"); },
        [](const mounted &fs) { return make_directory(fs, "f"); }, link_to_above};

    for (const auto &make : makers) {
        mounted fs(ovlfs_filesystem);

        fs.add("f", FILE_MODE, "whiteout");
        fs.add("above", FILE_MODE, "upper");
        dentry_ref whiteout = in_upper(fs, "f");
        ASSERT_TRUE(whiteout);
        make_unremovable(whiteout.get(), true);
        EXPECT_EQ(make(fs), -EBUSY);
        EXPECT_THAT(directory_reader(OVL_FS(fs.sb)->workdir).names(), IsEmpty());
        EXPECT_EQ(find(fs, "f").error, -ENOENT);
        make_unremovable(whiteout.get(), false);
        shrink_dcache_sb(fs.sb);
        EXPECT_THAT(names(fs), ElementsAre("above"));
        EXPECT_EQ(make(fs), 0);
        EXPECT_THAT(names(fs), ElementsAre("above", "f"));
        EXPECT_THAT(directory_reader(OVL_FS(fs.sb)->workdir).names(), IsEmpty());
    }
}

// Likewise the whiteout that a removal would leave. Whoever asks next is told by the layers.
TEST_F(Ovlfs, WhatCannotBecomeAWhiteoutStays)
{
    mounted fs(ovlfs_filesystem);

    fs.add("f", FILE_MODE);
    ASSERT_EQ(change_mode(fs, "f", 0600), 0);
    dentry_ref upper = in_upper(fs, "f");
    make_unremovable(upper.get(), true);
    const found held = find(fs, "f");
    EXPECT_EQ(remove_file(fs, "f"), -EBUSY);
    EXPECT_TRUE(d_unhashed(held.dentry.get()));
    EXPECT_THAT(directory_reader(OVL_FS(fs.sb)->workdir).names(), IsEmpty());
    EXPECT_THAT(names(fs), ElementsAre("f"));
    make_unremovable(upper.get(), false);
    EXPECT_EQ(remove_file(fs, "f"), 0);
    EXPECT_THAT(names(fs), IsEmpty());
}

// And the empty opaque directory that takes the place of one with whiteouts in it, before that.
TEST_F(Ovlfs, WhatCannotBeClearedStays)
{
    mounted fs(ovlfs_filesystem);
    mock_node *directory = fs.add("d", DIRECTORY_MODE, "merged");

    fs.add("f", FILE_MODE, nullptr, directory);
    ASSERT_EQ(change_mode(fs, "d/f", 0600), 0);
    ASSERT_EQ(remove_file(fs, "d/f"), 0);
    dentry_ref upper = in_upper(fs, "d");
    make_unremovable(upper.get(), true);
    EXPECT_EQ(remove_directory(fs, "d"), -EBUSY);
    EXPECT_THAT(directory_reader(OVL_FS(fs.sb)->workdir).names(), IsEmpty());
    make_unremovable(upper.get(), false);
    EXPECT_EQ(remove_directory(fs, "d"), 0);
    EXPECT_THAT(names(fs), IsEmpty());
}

TEST_F(Ovlfs, CopyUpKeepsTheNumber)
{
    mounted fs(ovlfs_filesystem);
    mock_node *directory = fs.add("d", DIRECTORY_MODE);

    fs.add("f", FILE_MODE, nullptr, directory);
    const ino_t file = number_of(fs, "d/f"), parent = number_of(fs, "d");
    EXPECT_EQ(change_mode(fs, "d/f", 0600), 0);
    EXPECT_EQ(number_of(fs, "d/f"), file);
    EXPECT_EQ(number_of(fs, "d"), parent);
    shrink_dcache_sb(fs.sb);
    EXPECT_EQ(number_of(fs, "d/f"), file);
    EXPECT_EQ(number_of(fs, "d"), parent);
    EXPECT_EQ(READ_ONCE(d_inode(find(fs, "d/f").dentry.get())->i_mode), S_IFREG_TYPE | 0600);
}

TEST_F(Ovlfs, OpeningForWritingCopiesUp)
{
    mounted fs(ovlfs_filesystem);

    fs.add("f", FILE_MODE);
    found it = find(fs, "f");
    const path where = {nullptr, it.dentry.get()};
    file *file = alloc_empty_file(OPEN_RDWR, &init_cred);
    // The root's upper directory gets bigger by a name.
    kstat before = {}, after = {};
    const path root = {nullptr, fs.root()};
    EXPECT_EQ(vfs_getattr(&root, &before), 0);
    file->f_mode &= ~FMODE_READ;
    file->f_path = where;
    EXPECT_EQ(d_inode(it.dentry.get())->i_fop->open(d_inode(it.dentry.get()), file), 0);
    file->f_path = {nullptr, nullptr};
    EXPECT_EQ(vfs_getattr(&root, &after), 0);
    EXPECT_GT(after.size, before.size);
    fput(file);
}

TEST_F(Ovlfs, AHardLinkOfACopyIsTheSameFile)
{
    mounted fs(ovlfs_filesystem);

    fs.add("f", FILE_MODE);
    {
        found it = find(fs, "f");
        EXPECT_EQ(link_at(it.dentry.get(), fs.root(), "g", 1), 0);
    }
    EXPECT_EQ(number_of(fs, "f"), number_of(fs, "g"));
    shrink_dcache_sb(fs.sb);
    EXPECT_EQ(number_of(fs, "f"), number_of(fs, "g"));
    EXPECT_EQ(remove_file(fs, "f"), 0);
    EXPECT_EQ(find(fs, "g").error, 0);
}

TEST_F(Ovlfs, RenamingWhatIsBelowLeavesAWhiteoutBehind)
{
    mounted fs(ovlfs_filesystem);

    fs.add("f", FILE_MODE);
    fs.add("w", FILE_MODE, "whiteout");
    const ino_t number = number_of(fs, "f");
    EXPECT_EQ(move(fs, "f", "g"), 0);
    shrink_dcache_sb(fs.sb);
    EXPECT_THAT(names(fs), ElementsAre("g"));
    EXPECT_EQ(number_of(fs, "g"), number);
    EXPECT_EQ(find(fs, "f").error, -ENOENT);
    EXPECT_EQ(move(fs, "g", "w"), 0) << "onto a whiteout";
    EXPECT_EQ(move(fs, "w", "f"), 0) << "back, onto its own";
    shrink_dcache_sb(fs.sb);
    EXPECT_THAT(names(fs), ElementsAre("f"));
}

TEST_F(Ovlfs, DirectoriesThatReachBelowDoNotMove)
{
    mounted fs(ovlfs_filesystem);

    fs.add("below", DIRECTORY_MODE);
    fs.add("merged", DIRECTORY_MODE, "merged");
    fs.add("above", DIRECTORY_MODE, "upper");
    fs.add("gone", DIRECTORY_MODE, "whiteout");
    EXPECT_EQ(move(fs, "below", "x"), -EXDEV);
    EXPECT_EQ(move(fs, "merged", "x"), -EXDEV);
    EXPECT_EQ(move(fs, "above", "x"), 0);
    EXPECT_EQ(make_file(fs, "x/f"), 0);
    EXPECT_EQ(move(fs, "x", "gone"), 0) << "onto a whiteout";
    shrink_dcache_sb(fs.sb);
    EXPECT_THAT(names(fs), ElementsAre("below", "gone", "merged"));
    EXPECT_THAT(names(fs, "gone"), ElementsAre("f"));
}

TEST_F(Ovlfs, ADirectoryThatMovesIntoAMergedOneIsNotMergedThere)
{
    mounted fs(ovlfs_filesystem);
    mock_node *merged = fs.add("m", DIRECTORY_MODE, "merged");
    mock_node *victim = fs.add("d", DIRECTORY_MODE, nullptr, merged);

    fs.add("u", DIRECTORY_MODE, "upper");
    EXPECT_EQ(move(fs, "u", "m/d"), 0) << "over an empty directory of the lower layer";
    (void)victim;
    EXPECT_EQ(make_file(fs, "m/d/f"), 0);
    shrink_dcache_sb(fs.sb);
    EXPECT_THAT(names(fs, "m/d"), ElementsAre("f"));
    EXPECT_EQ(remove_file(fs, "m/d/f"), 0);
    EXPECT_EQ(remove_directory(fs, "m/d"), 0);
}

TEST_F(Ovlfs, TwoFilesTradePlaces)
{
    mounted fs(ovlfs_filesystem);

    fs.add("a", FILE_MODE);
    fs.add("b", FILE_MODE, "upper");
    const ino_t a = number_of(fs, "a"), b = number_of(fs, "b");
    EXPECT_EQ(move(fs, "a", "b", RENAME_EXCHANGE_FLAG), 0);
    shrink_dcache_sb(fs.sb);
    EXPECT_EQ(number_of(fs, "a"), b);
    EXPECT_EQ(number_of(fs, "b"), a);
}

TEST_F(Ovlfs, NobodyMakesAWhiteout)
{
    mounted fs(ovlfs_filesystem);
    qstr name = make_qstr("w", 1);
    dentry *fresh = start_creating_noperm(fs.root(), &name);

    EXPECT_EQ(vfs_mknod(d_inode(fs.root()), fresh, S_IFCHR_TYPE | 0600, 0), -EPERM);
    end_creating(fresh);
}

// --- Reading directories ---

struct readdir_case {
    const char *name;
    mock_options options;
};

void PrintTo(const readdir_case &form, std::ostream *out)
{
    *out << form.name;
}

class OvlfsReaddir : public Ovlfs, public ::testing::WithParamInterface<readdir_case>
{
};

/// Every entry has the number that stat(2) tells. But for the root's `..`, which nobody is asked
/// about: it is what is above it in the upper layer, as in the kernel.
void expect_numbers_agree(const mounted &fs, const std::string &path)
{
    for (const auto &entry : directory_reader(find(fs, path).dentry.get()).read()) {
        if (entry.name == ".") {
            EXPECT_EQ(entry.ino, number_of(fs, path));
        } else if (entry.name != "..") {
            EXPECT_EQ(entry.ino, number_of(fs, path + "/" + entry.name)) << path << entry.name;
        } else if (!path.empty()) {
            const size_t slash = path.rfind('/');
            const std::string above = slash == std::string::npos ? "" : path.substr(0, slash);
            EXPECT_EQ(entry.ino, number_of(fs, above)) << path;
        }
    }
}

TEST_P(OvlfsReaddir, TellsTheNumbersThatStatTells)
{
    mounted fs(ovlfs_filesystem, GetParam().options);
    mock_node *merged = fs.add("m", DIRECTORY_MODE, "merged");
    mock_node *below = fs.add("b", DIRECTORY_MODE);
    mock_node *above = fs.add("u", DIRECTORY_MODE, "upper");

    fs.add("x", FILE_MODE, nullptr, merged);
    fs.add("y", FILE_MODE, "upper", merged);
    fs.add("s", DIRECTORY_MODE, "merged", merged);
    fs.add("f", FILE_MODE, nullptr, below);
    fs.add("g", FILE_MODE, nullptr, above);
    for (const char *path : {"", "m", "b", "u", "m/s"})
        expect_numbers_agree(fs, path);
    // Copies keep their numbers, wherever they go.
    EXPECT_EQ(change_mode(fs, "m/x", 0600), 0);
    EXPECT_EQ(change_mode(fs, "b/f", 0600), 0);
    EXPECT_EQ(move(fs, "m/x", "u/x"), 0);
    shrink_dcache_sb(fs.sb);
    for (const char *path : {"", "m", "b", "u", "m/s"})
        expect_numbers_agree(fs, path);
    EXPECT_THAT(names(fs, "u"), ElementsAre("g", "x"));
}

TEST_P(OvlfsReaddir, ReadsInPiecesWhileTheDirectoryChanges)
{
    mounted fs(ovlfs_filesystem, GetParam().options);

    for (const char *name : {"a", "b", "c"})
        fs.add(name, FILE_MODE);
    directory_reader reader(fs.root());
    std::vector<std::string> seen = reader.names(3);
    EXPECT_EQ(make_file(fs, "d"), 0);
    EXPECT_EQ(remove_file(fs, "a"), 0);
    for (;;) {
        auto more = reader.read(1);
        if (more.empty())
            break;
        seen.push_back(more[0].name);
    }
    EXPECT_THAT(seen, ::testing::IsSupersetOf({"b", "c"}));
    EXPECT_EQ(std::count(seen.begin(), seen.end(), "b"), 1);
    EXPECT_EQ(reader.seek(0), 0);
    EXPECT_THAT(reader.names(), UnorderedElementsAre("b", "c", "d")) << "from the beginning";
}

TEST_P(OvlfsReaddir, SeeksToWhereAReaderWas)
{
    mounted fs(ovlfs_filesystem, GetParam().options);

    for (const char *name : {"a", "b", "c", "d"})
        fs.add(name, FILE_MODE);
    directory_reader reader(fs.root());
    reader.read(3);
    const int64_t middle = reader.position();
    const std::vector<std::string> rest = reader.names();
    EXPECT_EQ(reader.seek(middle), middle);
    EXPECT_EQ(reader.names(), rest);
    EXPECT_EQ(reader.seek(-1), -EINVAL);
    EXPECT_EQ(reader.seek(0, 2), -EINVAL);
}

TEST_P(OvlfsReaddir, ADirectoryThatWasCopiedUpIsReadMerged)
{
    mounted fs(ovlfs_filesystem, GetParam().options);
    mock_node *below = fs.add("d", DIRECTORY_MODE);

    fs.add("a", FILE_MODE, nullptr, below);
    directory_reader reader(find(fs, "d").dentry.get());
    EXPECT_THAT(reader.names(), ElementsAre("a"));
    EXPECT_EQ(make_file(fs, "d/b"), 0);
    EXPECT_EQ(remove_file(fs, "d/a"), 0);
    EXPECT_EQ(reader.seek(0), 0);
    EXPECT_THAT(reader.names(), ElementsAre("b"));
}

INSTANTIATE_TEST_SUITE_P(Forms, OvlfsReaddir,
                         ::testing::Values(readdir_case{"wait", {}},
                                           readdir_case{"noblock", {{"readdir", 1}}},
                                           readdir_case{"noblock_return", {{"readdir", 2}}},
                                           readdir_case{"blocker", {{"readdir", 3}}},
                                           readdir_case{"shared", {{"shared", 1}}},
                                           readdir_case{"one_number_space", {{"xino", 0}}}),
                         [](const auto &info) { return std::string(info.param.name); });

// --- As memfs ---

/// All names below the root, with what they are.
void list_tree(const mounted &fs, const std::string &path, std::map<std::string, unsigned> *tree)
{
    for (const auto &entry : directory_reader(find(fs, path).dentry.get()).read()) {
        if (entry.name == "." || entry.name == "..")
            continue;
        const std::string below = path.empty() ? entry.name : path + "/" + entry.name;
        (*tree)[below] = entry.type;
        if (entry.type == S_IFDIR_TYPE >> 12)
            list_tree(fs, below, tree);
    }
}

std::map<std::string, unsigned> tree_of(const mounted &fs)
{
    std::map<std::string, unsigned> tree;

    list_tree(fs, "", &tree);
    return tree;
}

/// One random change, to be made on several file systems.
struct change {
    unsigned kind;
    std::string first, second;

    int on(const mounted &fs) const
    {
        switch (kind) {
        case 0:
            return make_file(fs, first);
        case 1:
            return make_directory(fs, first);
        case 2:
            return remove_file(fs, first);
        case 3:
            return remove_directory(fs, first);
        case 4:
            return move(fs, first, second);
        case 5:
            return move(fs, first, second, RENAME_EXCHANGE_FLAG);
        case 6:
            return move(fs, first, second, RENAME_NOREPLACE_FLAG);
        case 7:
            return change_mode(fs, first, 0640);
        default:
            shrink_dcache_sb(fs.sb);
            return 0;
        }
    }
};

change random_change(stress_random *random)
{
    static const std::array<std::string, 8> paths = {"a",   "b",   "d",     "d/a",
                                                     "d/b", "d/e", "d/e/a", "d/e/b"};

    return {random->below(9), paths[random->below(paths.size())],
            paths[random->below(paths.size())]};
}

/// The same tree in both; in the overlay spread over its layers.
void fill(mounted *fs, bool overlay)
{
    auto flag = [&](const char *name) { return overlay ? name : nullptr; };

    fs->add("a", FILE_MODE);
    mock_node *d = fs->add("d", DIRECTORY_MODE, flag("merged"));
    fs->add("a", FILE_MODE, nullptr, d);
    fs->add("b", FILE_MODE, flag("upper"), d);
    mock_node *e = fs->add("e", DIRECTORY_MODE, nullptr, d);
    fs->add("a", FILE_MODE, nullptr, e);
    if (overlay)
        fs->add("b", FILE_MODE, "whiteout");
}

TEST_F(Ovlfs, AnswersAndLooksAsMemfsDoes)
{
    long refused = 0, done = 0;

    for (unsigned seed = 1; seed <= 300; seed++) {
        mounted overlay(ovlfs_filesystem, {{"readdir", seed % 4}, {"xino", seed / 4 % 2}});
        mounted model(memfs_filesystem);
        stress_random random(seed);

        fill(&overlay, true);
        fill(&model, false);
        for (int step = 0; step < 40; step++) {
            const change next = random_change(&random);
            const auto before = tree_of(model);
            const int answer = next.on(overlay);

            // What the overlay alone refuses: moving a directory that reaches below.
            if (answer == -EXDEV) {
                refused++;
                ASSERT_EQ(tree_of(overlay), before);
                continue;
            }
            ASSERT_EQ(answer, next.on(model))
                << "seed " << seed << " step " << step << " kind " << next.kind << " " << next.first
                << " " << next.second;
            ASSERT_EQ(tree_of(overlay), tree_of(model))
                << "seed " << seed << " step " << step << " kind " << next.kind << " " << next.first
                << " " << next.second;
            done += answer == 0;
        }
    }
    EXPECT_GT(refused, 0);
    EXPECT_GT(done, 3000);
}

TEST_F(Ovlfs, ShortOfMemoryItChangesEverythingOrNothing)
{
    long failures = 0;

    for (unsigned seed = 1; seed <= 60; seed++) {
        stress_random random(seed);
        std::vector<change> story(6);

        std::generate(story.begin(), story.end(), [&] { return random_change(&random); });
        for (long nth = 1;; nth++) {
            mounted overlay(ovlfs_filesystem, {{"readdir", seed % 4}});

            fill(&overlay, true);
            const auto before = tree_of(overlay);
            shrink_dcache_sb(overlay.sb);
            int answer = 0;
            // The changes before the one that runs out of memory succeed or fail as they do.
            kmem_fail_nth(nth);
            size_t at = 0;
            auto last = before;
            while (at < story.size() && !kmem_failure_delivered()) {
                answer = story[at++].on(overlay);
                if (!kmem_failure_delivered()) {
                    kmem_fail_nth(0);
                    last = tree_of(overlay);
                    kmem_fail_nth(nth);
                }
            }
            const bool delivered = kmem_failure_delivered();
            kmem_fail_nth(0);
            if (delivered && answer != 0) {
                ASSERT_EQ(tree_of(overlay), last)
                    << "seed " << seed << " nth " << nth << " kind " << story[at - 1].kind << " "
                    << story[at - 1].first << " " << story[at - 1].second << ": " << answer;
            }
            failures += delivered;
            if (!delivered)
                break;
        }
    }
    EXPECT_GT(failures, 500);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
