// SPDX-License-Identifier: GPL-2.0-only
//
// Paths of dentries, and the root they are told from.
#include <atomic>
#include <cstring>

#include <gtest/gtest.h>

#include "dcsim/vfs/fs_struct.h"
#include "dcsim/vfs/mount.h"
#include "threads.h"
#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// What a path function returned: its text, or its error in brackets.
std::string told(const char *path)
{
    if (!path)
        return "[null]";
    if (IS_ERR(path))
        return "[" + std::to_string(PTR_ERR(path)) + "]";
    return path;
}

/// A buffer of exactly the size a test wants, with nothing behind it.
class path_buffer
{
  public:
    explicit path_buffer(int size) : text_(new char[static_cast<size_t>(size)]), size_(size) {}
    ~path_buffer()
    {
        delete[] text_;
    }
    path_buffer(const path_buffer &) = delete;
    path_buffer &operator=(const path_buffer &) = delete;
    char *text()
    {
        return text_;
    }
    int size() const
    {
        return size_;
    }

  private:
    char *text_;
    int size_;
};

std::string raw_path(const dentry *dentry, int size = 4096)
{
    path_buffer buffer(size);
    return told(dentry_path_raw(dentry, buffer.text(), buffer.size()));
}

/// d_path().
std::string seen(mount *mnt, dentry *dentry, int size = 4096)
{
    path_buffer buffer(size);
    path path = {&mnt->mnt, dentry};
    return told(d_path(&path, buffer.text(), buffer.size()));
}

std::string path_within(const dentry *dentry, int size = 4096)
{
    path_buffer buffer(size);
    return told(dentry_path(dentry, buffer.text(), buffer.size()));
}

using DentryPath = vfs_fixture;

TEST_F(DentryPath, OfTheRootIsASlash)
{
    EXPECT_EQ(raw_path(root), "/");
    EXPECT_EQ(path_within(root), "/");
}

TEST_F(DentryPath, NamesEveryDirectoryOnTheWay)
{
    dentry_ref a = make_directory(root, "a");
    dentry_ref eight = make_directory(a.get(), "12345678");
    dentry_ref b = make_file(eight.get(), "seven77");

    EXPECT_EQ(raw_path(a.get()), "/a");
    EXPECT_EQ(raw_path(b.get()), "/a/12345678/seven77");
    EXPECT_EQ(path_within(b.get()), "/a/12345678/seven77");
}

TEST_F(DentryPath, TakesNamesOfEveryLength)
{
    for (size_t length = 1; length <= NAME_MAX_LENGTH; length++) {
        std::string name(length, static_cast<char>('a' + length % 26));
        dentry_ref directory = make_directory(root, name);
        dentry_ref file = make_file(directory.get(), "f");

        ASSERT_EQ(raw_path(file.get()), "/" + name + "/f");
        d_drop(file.get());
        d_drop(directory.get());
    }
}

TEST_F(DentryPath, FitsExactly)
{
    dentry_ref a = make_directory(root, "abc");
    dentry_ref b = make_file(a.get(), long_name);
    std::string path = "/abc/" + long_name;
    int needed = static_cast<int>(path.size()) + 1;

    EXPECT_EQ(raw_path(b.get(), needed), path);
    EXPECT_EQ(raw_path(root, 2), "/");
}

TEST_F(DentryPath, FailsInEveryBufferThatIsTooSmall)
{
    dentry_ref a = make_directory(root, "abc");
    dentry_ref b = make_file(a.get(), long_name);
    int needed = static_cast<int>(long_name.size()) + 6;

    for (int size = 1; size < needed; size++)
        ASSERT_EQ(raw_path(b.get(), size), told(ERR_PTR(-ENAMETOOLONG))) << size;
    EXPECT_EQ(raw_path(root, 1), told(ERR_PTR(-ENAMETOOLONG)));
}

TEST_F(DentryPath, SaysWhenTheDentryIsUnlinked)
{
    dentry_ref a = make_directory(root, "a");
    dentry_ref b = make_file(a.get(), "b");

    d_drop(b.get());
    EXPECT_EQ(path_within(b.get()), "/a/b//deleted");
    EXPECT_EQ(raw_path(b.get()), "/a/b");
    EXPECT_EQ(path_within(b.get(), 14), "/a/b//deleted");
    EXPECT_EQ(path_within(b.get(), 13), told(ERR_PTR(-ENAMETOOLONG)));
    EXPECT_EQ(path_within(b.get(), 3), told(ERR_PTR(-ENAMETOOLONG)));
}

// A racing rename can pair a length with a shorter text. The walk must not read beyond the text,
// nor put anything into the buffer that came from there; the sanitizers watch the first.
TEST_F(DentryPath, StopsAtTheEndOfANameThatIsShorterThanItsLength)
{
    for (size_t length : {1, 7, 8, 9, 39, 40, 47, 48, 63}) {
        std::string name(length, 'n');
        dentry_ref file = make_file(root, name);
        u64 hash_len = READ_ONCE(file->d_name.hash_len);
        std::string path;

        for (u32 wrong : {length + 1, length + 8, length + 200}) {
            WRITE_ONCE(file->d_name.hash_len, hashlen_create(hashlen_hash(hash_len), wrong));
            // No rename_lock moved, so the result is not thrown away.
            path = raw_path(file.get());
            EXPECT_EQ(path, std::string(wrong, 'x'));
            path = raw_path(file.get(), static_cast<int>(wrong) - 1);
            EXPECT_EQ(path, told(ERR_PTR(-ENAMETOOLONG)));
        }
        WRITE_ONCE(file->d_name.hash_len, hash_len);
        d_drop(file.get());
    }
}

// --- Made-up names ---

using SimpleDname = vfs_fixture;
using DynamicDname = vfs_fixture;

TEST_F(SimpleDname, IsTheNameOfAnObjectWithoutAPlace)
{
    qstr name = make_qstr("pipe", 4);
    dentry_ref pseudo = adopt_dentry(d_alloc_pseudo(sb, &name));
    path_buffer enough(16), scarce(15);

    EXPECT_EQ(told(simple_dname(pseudo.get(), enough.text(), enough.size())), "/pipe (deleted)");
    EXPECT_EQ(told(simple_dname(pseudo.get(), scarce.text(), scarce.size())),
              told(ERR_PTR(-ENAMETOOLONG)));
}

TEST_F(DynamicDname, PrintsIntoTheEndOfTheBuffer)
{
    path_buffer buffer(32);
    char *text = dynamic_dname(buffer.text(), buffer.size(), "socket:[%d]", 42);

    EXPECT_EQ(told(text), "socket:[42]");
    EXPECT_EQ(text + strlen(text) + 1, buffer.text() + buffer.size());
}

TEST_F(DynamicDname, FailsWhenItDoesNotFit)
{
    path_buffer exact(5), scarce(4), large(200);

    EXPECT_EQ(told(dynamic_dname(exact.text(), exact.size(), "%s", "four")), "four");
    EXPECT_EQ(told(dynamic_dname(scarce.text(), scarce.size(), "%s", "four")),
              told(ERR_PTR(-ENAMETOOLONG)));
    EXPECT_EQ(told(dynamic_dname(large.text(), large.size(), "%63d", 1)),
              std::string(62, ' ') + "1");
    EXPECT_EQ(told(dynamic_dname(large.text(), large.size(), "%64d", 1)),
              told(ERR_PTR(-ENAMETOOLONG)));
}

// --- Across mounts ---

/// /directory of the first file system has the second one mounted on it.
class d_path_fixture : public vfs_fixture
{
  protected:
    void SetUp() override
    {
        vfs_fixture::SetUp();
        top = vfs_create_mount(sb);
        set_namespace_root(top);
        other_sb = make_super_block();
        other = vfs_create_mount(other_sb);
        directory = make_directory(root, "directory");
        attach(other, top, directory.get());
        inside = make_child(other_sb->s_root, "inside", make_inode(other_sb, S_IFDIR_TYPE));
        file = make_child(inside.get(), "file", make_inode(other_sb, S_IFREG_TYPE));
    }

    void TearDown() override
    {
        set_root(nullptr, nullptr);
        file.reset();
        inside.reset();
        directory.reset();
        set_namespace_root(nullptr);
        mntput(&other->mnt);
        mntput(&top->mnt);
        EXPECT_EQ(generic_shutdown_super(other_sb), 0);
        vfs_fixture::TearDown();
    }

    /// The caller still has a reference on the mount after that.
    static void attach(mount *mnt, mount *where, dentry *dentry)
    {
        path path = {&where->mnt, dentry};
        mntget(&mnt->mnt);
        EXPECT_EQ(do_add_mount(mnt, &path), 0);
    }

    static void set_root(mount *mnt, dentry *dentry)
    {
        path path = {mnt ? &mnt->mnt : nullptr, dentry};
        set_fs_root(&init_fs, &path);
    }

    static std::string absolute(mount *mnt, dentry *dentry)
    {
        path_buffer buffer(4096);
        path path = {&mnt->mnt, dentry};
        return told(d_absolute_path(&path, buffer.text(), buffer.size()));
    }

    static std::string below(mount *mnt, dentry *dentry, mount *root_mnt,
                             struct dentry *root_dentry)
    {
        path_buffer buffer(4096);
        path path = {&mnt->mnt, dentry}, root = {&root_mnt->mnt, root_dentry};
        return told(__d_path(&path, &root, buffer.text(), buffer.size()));
    }

    mount *top;
    super_block *other_sb;
    mount *other;
    dentry_ref directory;
    dentry_ref inside;
    dentry_ref file;
};

using DPath = d_path_fixture;
using DAbsolutePath = d_path_fixture;
using DPathFromRoot = d_path_fixture;
using FsStruct = d_path_fixture;

TEST_F(DPath, LeadsFromMountToMount)
{
    EXPECT_EQ(seen(other, file.get()), "/directory/inside/file");
    EXPECT_EQ(seen(other, other_sb->s_root), "/directory");
    EXPECT_EQ(seen(top, directory.get()), "/directory");
    EXPECT_EQ(seen(top, root), "/");
}

TEST_F(DPath, StartsAtTheRootOfTheProcess)
{
    set_root(top, root);
    EXPECT_EQ(seen(other, file.get()), "/directory/inside/file");
    set_root(other, other_sb->s_root);
    EXPECT_EQ(seen(other, file.get()), "/inside/file");
    EXPECT_EQ(seen(other, other_sb->s_root), "/");
    set_root(other, inside.get());
    EXPECT_EQ(seen(other, file.get()), "/file");
    // Not below the root: told from the top.
    EXPECT_EQ(seen(top, directory.get()), "/directory");
}

TEST_F(DPath, SaysWhenTheDentryIsUnlinked)
{
    d_drop(file.get());
    EXPECT_EQ(seen(other, file.get()), "/directory/inside/file (deleted)");
    EXPECT_EQ(seen(other, file.get(), 33), "/directory/inside/file (deleted)");
    EXPECT_EQ(seen(other, file.get(), 32), told(ERR_PTR(-ENAMETOOLONG)));
}

TEST_F(DPath, OfADetachedMountStartsThere)
{
    ASSERT_EQ(do_umount(other, MNT_DETACH_FLAG), 0);
    EXPECT_EQ(seen(other, file.get()), "/inside/file");
}

TEST_F(DPath, AsksObjectsThatMakeTheirNamesUp)
{
    qstr name = make_qstr("pipe", 4);
    dentry_ref pseudo = adopt_dentry(d_alloc_pseudo(sb, &name));

    EXPECT_EQ(seen(top, pseudo.get()), "/pipe (deleted)");
}

TEST_F(DAbsolutePath, IsToldFromTheTopOfTheNamespace)
{
    set_root(other, inside.get());
    EXPECT_EQ(absolute(other, file.get()), "/directory/inside/file");
}

TEST_F(DAbsolutePath, FailsForAMountThatIsNotAttached)
{
    ASSERT_EQ(do_umount(other, MNT_DETACH_FLAG), 0);
    EXPECT_EQ(absolute(other, file.get()), told(ERR_PTR(-EINVAL)));
    set_namespace_root(nullptr);
    EXPECT_EQ(absolute(top, directory.get()), told(ERR_PTR(-EINVAL)));
}

// What a bind mount shows may be renamed out of the directory that it shows.
TEST_F(DAbsolutePath, FailsOutsideThePartThatIsMounted)
{
    dentry_ref shown = make_directory(root, "shown");
    dentry_ref outside = make_file(root, "outside");
    mount *bind = clone_mnt(top, shown.get());

    EXPECT_EQ(absolute(bind, outside.get()), told(ERR_PTR(-EINVAL)));
    EXPECT_EQ(seen(bind, outside.get()), "/");
    mntput(&bind->mnt);
}

TEST_F(DPathFromRoot, IsToldFromTheGivenRoot)
{
    EXPECT_EQ(below(other, file.get(), top, root), "/directory/inside/file");
    EXPECT_EQ(below(other, file.get(), other, inside.get()), "/file");
    EXPECT_EQ(below(other, file.get(), other, file.get()), "/");
}

TEST_F(DPathFromRoot, IsNullForWhatIsNotBelowIt)
{
    EXPECT_EQ(below(top, directory.get(), other, inside.get()), "[null]");
    EXPECT_EQ(below(top, root, top, directory.get()), "[null]");
}

// --- The root and the working directory ---

TEST_F(FsStruct, HoldsItsPaths)
{
    int before = d_count(inside.get()), mount_before = READ_ONCE(other->mnt_count);
    path where = {&other->mnt, inside.get()}, nowhere = {nullptr, nullptr}, found;

    set_fs_root(&init_fs, &where);
    set_fs_pwd(&init_fs, &where);
    EXPECT_EQ(d_count(inside.get()), before + 2);

    get_fs_root(&init_fs, &found);
    EXPECT_EQ(found.dentry, inside.get());
    EXPECT_EQ(found.mnt, &other->mnt);
    EXPECT_EQ(d_count(inside.get()), before + 3);
    EXPECT_EQ(READ_ONCE(other->mnt_count), mount_before + 3);
    path_put(&found);
    get_fs_pwd(&init_fs, &found);
    EXPECT_EQ(found.dentry, inside.get());
    path_put(&found);

    set_fs_pwd(&init_fs, &nowhere);
    get_fs_pwd(&init_fs, &found);
    EXPECT_EQ(found.dentry, nullptr);
    set_fs_root(&init_fs, &nowhere);
    EXPECT_EQ(d_count(inside.get()), before);
    EXPECT_EQ(READ_ONCE(other->mnt_count), mount_before);
}

// A reader of the root must get a mount and a dentry that belong together.
TEST_F(FsStruct, RootIsReadAsAPair)
{
    constexpr int rounds = DCSIM_TSAN ? 2000 : 20000;
    std::atomic<bool> done(false);
    std::atomic<int> mixtures(0), reads(0);

    set_root(top, root);
    run_together(3, [&](int thread) {
        if (thread == 0) {
            for (int round = 0; round < rounds || reads < 100; round++)
                round % 2 ? set_root(top, root) : set_root(other, inside.get());
            done = true;
            return;
        }
        while (!done) {
            path found;

            rcu_read_lock();
            get_fs_root_rcu(&init_fs, &found);
            rcu_read_unlock();
            reads++;
            mixtures += (found.mnt == &top->mnt) != (found.dentry == root);
        }
    });
    EXPECT_EQ(mixtures, 0);
}

// --- While names and places change ---
//
// Something near the bottom of a long path and something near its top change in turn, each from its
// first place to its second, third, and first again:
//
//     (bottom, top):  (1,1) (2,1) (2,2) (3,2) (3,3) (1,3) (1,1) ...
//
// The bottom is never one behind the top. A walk that reads the bottom, is slow, and believes what
// it then finds at the top would see that.

constexpr int places = 3;
constexpr int levels_between = 400;
constexpr int looks_wanted = DCSIM_TSAN ? 2000 : 20000;

bool one_behind(int bottom, int top)
{
    return bottom == (top + places - 1) % places;
}

/// Runs move_bottom(place) and move_top(place) in turn while other threads look(), until that has
/// returned often enough that it saw both.
template <typename MoveBottom, typename MoveTop, typename Look>
void move_while_looking(MoveBottom move_bottom, MoveTop move_top, Look look)
{
    std::atomic<int> looks(0);

    run_together(3, [&](int thread) {
        if (thread == 0) {
            for (int turn = 1; looks < looks_wanted; turn++) {
                move_bottom(turn % places);
                move_top(turn % places);
            }
            return;
        }
        while (looks < looks_wanted)
            looks += look();
    });
}

/// The digit behind `word` in a path, or -1.
int digit_behind(const std::string &path, const std::string &word)
{
    size_t at = path.find(word);
    return at == std::string::npos ? -1 : path[at + word.size()] - '0';
}

/// A chain of directories below `top`; returns the last.
template <typename MakeDirectory>
dentry_ref make_chain(dentry *top, MakeDirectory make_directory)
{
    dentry_ref last(top);

    for (int level = 0; level < levels_between; level++)
        last = make_directory(last.get(), "level");
    return last;
}

// The bottom has long names, the top short ones, so both ways of storing a name take part.
TEST_F(DentryPath, IsNeverAMixtureOfTwoMoments)
{
    dentry_ref top = make_directory(root, "top0");
    dentry_ref chain = make_chain(top.get(), [this](dentry *parent, const char *name) {
        return make_directory(parent, name);
    });
    dentry_ref bottom = make_directory(chain.get(), long_name + "bottom0");
    dentry_ref file = make_file(bottom.get(), "file");
    mount *mnt = vfs_create_mount(sb);
    std::atomic<int> mixtures(0), nonsense(0);
    auto examine = [&](const std::string &path) {
        int bottom_place = digit_behind(path, "bottom"), top_place = digit_behind(path, "/top");
        nonsense += bottom_place < 0 || top_place < 0 || path.find('x') != std::string::npos;
        mixtures += one_behind(bottom_place, top_place);
    };

    auto rename = [this](const dentry_ref &moving, const std::string &name) {
        dentry_ref target = make_unhashed(parent_of(moving.get()), name);
        d_move(moving.get(), target.get());
    };
    move_while_looking(
        [&](int place) { rename(bottom, long_name + "bottom" + std::to_string(place)); },
        [&](int place) { rename(top, "top" + std::to_string(place)); },
        [&] {
            examine(raw_path(file.get()));
            examine(seen(mnt, file.get()));
            return true;
        });
    EXPECT_EQ(mixtures, 0);
    EXPECT_EQ(nonsense, 0);
    mntput(&mnt->mnt);
}

// Mounts instead of names: `other` moves between three places deep inside `middle`, and `middle`
// between three places at the top.
TEST_F(DPath, IsNeverAMixtureOfTwoMoments)
{
    super_block *middle_sb = make_super_block();
    mount *middle = vfs_create_mount(middle_sb);
    auto make_inside = [&](dentry *parent, const std::string &name) {
        return make_child(parent, name, make_inode(parent->d_sb, S_IFDIR_TYPE));
    };
    dentry_ref chain = make_chain(middle_sb->s_root, make_inside);
    dentry_ref bottoms[places], tops[places];
    std::atomic<int> mixtures(0), nonsense(0);

    for (int place = 0; place < places; place++) {
        bottoms[place] = make_inside(chain.get(), "bottom" + std::to_string(place));
        tops[place] = make_inside(root, "top" + std::to_string(place));
    }
    auto move = [](mount *moving, mount *where, const dentry_ref &place) {
        path from = {&moving->mnt, moving->mnt.mnt_root}, to = {&where->mnt, place.get()};
        EXPECT_EQ(do_move_mount(&from, &to), 0);
    };
    attach(middle, top, tops[0].get());
    move(other, middle, bottoms[0]);
    move_while_looking([&](int place) { move(other, middle, bottoms[place]); },
                       [&](int place) { move(middle, top, tops[place]); },
                       [&] {
                           std::string path = seen(other, file.get());
                           int bottom_place = digit_behind(path, "bottom");
                           int top_place = digit_behind(path, "/top");
                           nonsense += bottom_place < 0 || top_place < 0;
                           mixtures += one_behind(bottom_place, top_place);
                           return true;
                       });
    EXPECT_EQ(mixtures, 0);
    EXPECT_EQ(nonsense, 0);

    ASSERT_EQ(do_umount(middle, MNT_DETACH_FLAG), 0);
    mntput(&middle->mnt);
    chain.reset();
    for (dentry_ref &bottom : bottoms)
        bottom.reset();
    EXPECT_EQ(generic_shutdown_super(middle_sb), 0);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
