// SPDX-License-Identifier: GPL-2.0-only
//
// The operations that change directories: what they refuse, what they lock, what they do to the
// cache.
#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "acting_as.h"
#include "dcsim/vfs/mount.h"
#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

/// A file system that lives in the cache alone: names exist as long as nobody prunes them. Records
/// its calls, and fails where the test wants.
class directory_fixture : public vfs_fixture
{
  protected:
    directory_fixture()
    {
        operations_of_directories = &all_operations;
        operating_ = this;
    }

    void SetUp() override
    {
        vfs_fixture::SetUp();
        dir = make_directory(root, "dir");
        file = make_file(dir.get(), "file");
        calls.clear();
    }
    void TearDown() override
    {
        file.reset();
        dir.reset();
        vfs_fixture::TearDown();
        operating_ = nullptr;
    }

    /// Notes a call; a failure that is due, or 0. The directory is always locked for writing.
    int called(const char *what, inode *in, const dentry *dentry)
    {
        calls.push_back(std::string(what) + " " + name_of(dentry));
        EXPECT_TRUE(rwsem_is_write_locked(&in->i_rwsem)) << what;
        if (during)
            during();
        return failure;
    }

    static int create(inode *in, dentry *dentry, umode_t mode, bool excl)
    {
        EXPECT_TRUE(excl);
        return operating_->make("create", in, dentry, mode);
    }
    static int mkdir(inode *in, dentry *dentry, umode_t mode)
    {
        EXPECT_FALSE(mode & S_IFMT_MASK);
        return operating_->make("mkdir", in, dentry, static_cast<umode_t>(mode | S_IFDIR_TYPE));
    }
    static int mknod(inode *in, dentry *dentry, umode_t mode, unsigned device)
    {
        operating_->device = device;
        return operating_->make("mknod", in, dentry, mode);
    }
    static int symlink(inode *in, dentry *dentry, const char *body)
    {
        operating_->body = body;
        return operating_->make("symlink", in, dentry, S_IFLNK_TYPE | 0777);
    }
    static int link(dentry *old_dentry, inode *in, dentry *dentry)
    {
        int error = operating_->called("link", in, dentry);
        if (error)
            return error;
        inode *inode = d_inode(old_dentry);
        inc_nlink(inode);
        ihold(inode);
        d_instantiate(dentry, inode);
        return 0;
    }
    static int unlink(inode *in, dentry *dentry)
    {
        int error = operating_->called("unlink", in, dentry);
        if (!error)
            drop_nlink(d_inode(dentry));
        return error;
    }
    static int rmdir(inode *in, dentry *dentry)
    {
        int error = operating_->called("rmdir", in, dentry);
        if (!error)
            clear_nlink(d_inode(dentry));
        return error;
    }
    static int rename(inode *in, dentry *old_dentry, inode *, dentry *new_dentry, unsigned flags)
    {
        operating_->rename_flags = flags;
        return operating_->called(("rename " + name_of(old_dentry) + " to").c_str(), in,
                                  new_dentry);
    }

    int make(const char *what, inode *in, dentry *dentry, umode_t mode)
    {
        int error = called(what, in, dentry);
        if (!error)
            d_instantiate(dentry, make_inode(sb, mode));
        return error;
    }

    static inline const inode_operations all_operations = {.lookup = call_lookup,
                                                           .create = create,
                                                           .link = link,
                                                           .unlink = unlink,
                                                           .symlink = symlink,
                                                           .mkdir = mkdir,
                                                           .rmdir = rmdir,
                                                           .mknod = mknod,
                                                           .rename = rename};

    /// Runs an operation on a directory that it wants locked.
    template <typename Operation>
    static int locked(dentry *directory, Operation operation)
    {
        inode *inode = d_inode(directory);

        inode_lock(inode);
        int result = operation(inode);
        inode_unlock(inode);
        return result;
    }

    int create_in(dentry *directory, std::string_view name, umode_t mode = 0644)
    {
        return create_at(directory, name.data(), name.size(), mode);
    }
    int mkdir_in(dentry *directory, std::string_view name, umode_t mode = 0755)
    {
        return mkdir_at(directory, name.data(), name.size(), mode);
    }
    int unlink_in(dentry *directory, std::string_view name)
    {
        return unlink_at(directory, name.data(), name.size());
    }
    int rmdir_in(dentry *directory, std::string_view name)
    {
        return rmdir_at(directory, name.data(), name.size());
    }
    int rename_to(dentry *from, std::string_view old_name, dentry *to, std::string_view new_name,
                  unsigned flags = 0)
    {
        return rename_at(from, old_name.data(), old_name.size(), to, new_name.data(),
                         new_name.size(), flags);
    }

    static int link_to(dentry *of, dentry *directory, std::string_view name)
    {
        return link_at(of, directory, name.data(), name.size());
    }

    void expect_unlocked(std::initializer_list<dentry *> dentries) const
    {
        for (dentry *dentry : dentries) {
            if (d_inode(dentry)) {
                EXPECT_FALSE(rwsem_is_locked(&d_inode(dentry)->i_rwsem)) << name_of(dentry);
            }
        }
        EXPECT_FALSE(mutex_is_locked(&sb->s_vfs_rename_mutex));
    }

    dentry_ref dir, file;
    std::vector<std::string> calls;
    std::string body;
    unsigned device = 0;
    unsigned rename_flags = 0;
    int failure = 0;
    std::function<void()> during; ///< runs inside each callback

  private:
    static inline directory_fixture *operating_;
};

/// Something is mounted on `where` (a view of `what`, of the same kind) as long as this lives.
class mounted_on
{
  public:
    mounted_on(super_block *sb, dentry *where, dentry *what)
        : top_(vfs_create_mount(sb)), at_{&top_->mnt, where}
    {
        const path source = {&top_->mnt, what};

        set_namespace_root(top_);
        EXPECT_EQ(do_loopback(&source, &at_), 0);
    }
    ~mounted_on()
    {
        vfsmount *mounted = lookup_mnt(&at_);

        EXPECT_EQ(do_umount(real_mount(mounted), MNT_DETACH_FLAG), 0);
        mntput(mounted);
        set_namespace_root(nullptr);
        mntput(&top_->mnt);
    }
    mounted_on(const mounted_on &) = delete;
    mounted_on &operator=(const mounted_on &) = delete;

  private:
    mount *top_;
    path at_;
};

using VfsCreate = directory_fixture;
using VfsMknod = directory_fixture;
using VfsReadlink = directory_fixture;
using MayDelete = directory_fixture;
using MayCreate = directory_fixture;
using VfsMkdir = directory_fixture;
using VfsSymlink = directory_fixture;
using VfsLink = directory_fixture;
using VfsUnlink = directory_fixture;
using VfsRmdir = directory_fixture;
using CreateAt = directory_fixture;
using MkdirAt = directory_fixture;
using UnlinkAt = directory_fixture;
using RmdirAt = directory_fixture;
using LinkAt = directory_fixture;
using LockRename = directory_fixture;
using RenameAt = directory_fixture;
using WithoutOperations = directory_fixture;

bool write_locked(dentry *dentry)
{
    return rwsem_is_write_locked(&d_inode(dentry)->i_rwsem);
}

// --- vfs_create(), vfs_mkdir(), vfs_symlink() ---

TEST_F(VfsCreate, MakesARegularFile)
{
    dentry_ref fresh = make_negative(dir.get(), "fresh");

    EXPECT_EQ(locked(dir.get(), [&](inode *in) { return vfs_create(in, fresh.get(), 0107640); }),
              0);
    EXPECT_THAT(calls, ElementsAre("create fresh"));
    EXPECT_TRUE(d_is_reg(fresh.get()));
    // The type is the operation's to choose, the permissions are the caller's.
    EXPECT_EQ(READ_ONCE(d_inode(fresh.get())->i_mode), S_IFREG_TYPE | 07640);
    EXPECT_EQ(cached(dir.get(), "fresh"), fresh);
}

TEST_F(VfsCreate, OnAPositiveDentryItExists)
{
    EXPECT_EQ(locked(dir.get(), [&](inode *in) { return vfs_create(in, file.get(), 0644); }),
              -EEXIST);
    EXPECT_THAT(calls, IsEmpty());
}

TEST_F(VfsCreate, InARemovedDirectoryNothingIsMade)
{
    dentry_ref fresh = make_negative(dir.get(), "fresh");
    d_inode(dir.get())->i_flags |= S_DEAD;

    EXPECT_EQ(locked(dir.get(), [&](inode *in) { return vfs_create(in, fresh.get(), 0644); }),
              -ENOENT);
    EXPECT_EQ(locked(dir.get(), [&](inode *in) { return vfs_mkdir(in, fresh.get(), 0755); }),
              -ENOENT);
    EXPECT_EQ(locked(dir.get(), [&](inode *in) { return vfs_symlink(in, fresh.get(), "body"); }),
              -ENOENT);
    EXPECT_EQ(locked(dir.get(), [&](inode *in) { return vfs_link(file.get(), in, fresh.get()); }),
              -ENOENT);
    EXPECT_THAT(calls, IsEmpty());
}

TEST_F(VfsCreate, AFailureLeavesTheNameNegative)
{
    dentry_ref fresh = make_negative(dir.get(), "fresh");
    failure = -ENOSPC;

    EXPECT_EQ(locked(dir.get(), [&](inode *in) { return vfs_create(in, fresh.get(), 0644); }),
              -ENOSPC);
    EXPECT_TRUE(d_is_negative(fresh.get()));
    EXPECT_EQ(cached(dir.get(), "fresh"), fresh);
}

TEST_F(VfsMkdir, MakesADirectory)
{
    dentry_ref fresh = make_negative(dir.get(), "fresh");

    EXPECT_EQ(locked(dir.get(), [&](inode *in) { return vfs_mkdir(in, fresh.get(), 0170755); }), 0);
    EXPECT_TRUE(d_is_dir(fresh.get()));
    EXPECT_EQ(READ_ONCE(d_inode(fresh.get())->i_mode), S_IFDIR_TYPE | 0755);
}

TEST_F(VfsMkdir, OnAPositiveDentryItExists)
{
    EXPECT_EQ(locked(dir.get(), [&](inode *in) { return vfs_mkdir(in, file.get(), 0755); }),
              -EEXIST);
}

TEST_F(VfsSymlink, MakesASymbolicLink)
{
    dentry_ref fresh = make_negative(dir.get(), "fresh");

    EXPECT_EQ(locked(dir.get(), [&](inode *in) { return vfs_symlink(in, fresh.get(), "a/body"); }),
              0);
    EXPECT_TRUE(d_is_symlink(fresh.get()));
    EXPECT_EQ(body, "a/body");
    EXPECT_EQ(locked(dir.get(), [&](inode *in) { return vfs_symlink(in, fresh.get(), "a/body"); }),
              -EEXIST);
}

// --- vfs_mknod() ---

int mknod_in(inode *in, dentry *dentry, umode_t mode, unsigned device)
{
    return vfs_mknod(in, dentry, mode, device);
}

TEST_F(VfsMknod, MakesWhatItWasToldTo)
{
    dentry_ref fresh = make_negative(dir.get(), "fresh");

    EXPECT_EQ(locked(dir.get(),
                     [&](inode *in) { return mknod_in(in, fresh.get(), S_IFBLK_TYPE | 0666, 77); }),
              0);
    EXPECT_EQ(READ_ONCE(d_inode(fresh.get())->i_mode), S_IFBLK_TYPE | 0644) << "umask 022";
    EXPECT_EQ(device, 77u);
    EXPECT_EQ(locked(dir.get(),
                     [&](inode *in) { return mknod_in(in, fresh.get(), S_IFBLK_TYPE | 0666, 77); }),
              -EEXIST);
}

TEST_F(VfsMknod, DevicesAreForThePrivileged)
{
    dentry_ref fresh = make_negative(dir.get(), "fresh");
    WRITE_ONCE(d_inode(dir.get())->i_uid, 1000);
    const auto make = [&](umode_t type, unsigned number) {
        return locked(dir.get(),
                      [&](inode *in) { return mknod_in(in, fresh.get(), type | 0600, number); });
    };

    acting_as owner(1000, 1000);
    EXPECT_EQ(make(S_IFCHR_TYPE, 1), -EPERM);
    EXPECT_EQ(make(S_IFBLK_TYPE, 0), -EPERM);
    EXPECT_THAT(calls, IsEmpty());
    EXPECT_EQ(make(S_IFCHR_TYPE, 0), 0) << "a whiteout is no device";
    fresh = make_negative(dir.get(), "fifo");
    EXPECT_EQ(make(S_IFIFO_TYPE, 0), 0);
}

// --- Permissions, and which error comes first ---

constexpr kuid_t USER = 1000, OTHER_USER = 2000;

/// The directory belongs to USER, with these permissions.
void give(dentry *directory, umode_t permissions)
{
    WRITE_ONCE(d_inode(directory)->i_uid, USER);
    WRITE_ONCE(d_inode(directory)->i_mode, static_cast<umode_t>(S_IFDIR_TYPE | permissions));
}

TEST_F(MayCreate, NeedsToWriteAndSearchTheDirectory)
{
    dentry_ref fresh = make_negative(dir.get(), "fresh");
    acting_as user(USER, USER);

    for (umode_t permissions : {0500, 0600, 0100, 0000, 0477}) {
        give(dir.get(), permissions);
        EXPECT_EQ(create_in(dir.get(), "fresh"), -EACCES) << std::oct << permissions;
        EXPECT_EQ(mkdir_in(dir.get(), "fresh"), -EACCES);
        EXPECT_EQ(locked(dir.get(), [&](inode *in) { return vfs_symlink(in, fresh.get(), "b"); }),
                  -EACCES);
        EXPECT_EQ(locked(dir.get(), [&](inode *in) { return vfs_mknod(in, fresh.get(), 0, 0); }),
                  -EACCES);
        EXPECT_EQ(link_at(file.get(), dir.get(), "fresh", 5), -EACCES);
    }
    EXPECT_THAT(calls, IsEmpty());
    give(dir.get(), 0300);
    EXPECT_EQ(create_in(dir.get(), "fresh"), 0);
}

TEST_F(MayCreate, WhatExistsExistsAndWhatIsGoneIsGoneForEverybody)
{
    dentry_ref fresh = make_negative(dir.get(), "fresh");
    acting_as user(OTHER_USER, OTHER_USER);

    give(dir.get(), 0);
    EXPECT_EQ(locked(dir.get(), [&](inode *in) { return vfs_create(in, file.get(), 0600); }),
              -EEXIST);
    d_inode(dir.get())->i_flags |= S_DEAD;
    EXPECT_EQ(locked(dir.get(), [&](inode *in) { return vfs_create(in, fresh.get(), 0600); }),
              -ENOENT);
}

TEST_F(MayDelete, NeedsToWriteAndSearchTheDirectory)
{
    dentry_ref inside = make_directory(dir.get(), "inside");
    acting_as user(USER, USER);

    give(dir.get(), 0500);
    EXPECT_EQ(unlink_in(dir.get(), "file"), -EACCES);
    EXPECT_EQ(rmdir_in(dir.get(), "inside"), -EACCES);
    EXPECT_EQ(rename_to(dir.get(), "file", dir.get(), "fresh"), -EACCES);
    // Before the type of the victim is looked at.
    EXPECT_EQ(rmdir_in(dir.get(), "file"), -EACCES);
    EXPECT_EQ(unlink_in(dir.get(), "inside"), -EACCES);
    EXPECT_THAT(calls, IsEmpty());
    give(dir.get(), 0300);
    EXPECT_EQ(unlink_in(dir.get(), "file"), 0);
}

TEST_F(MayDelete, InAStickyDirectoryEverybodyRemovesHisOwn)
{
    dentry_ref inside = make_directory(dir.get(), "inside");
    dentry_ref own = make_file(dir.get(), "own");

    give(dir.get(), 01777);
    WRITE_ONCE(d_inode(own.get())->i_uid, OTHER_USER);
    acting_as other(OTHER_USER, OTHER_USER);
    EXPECT_EQ(unlink_in(dir.get(), "file"), -EPERM);
    EXPECT_EQ(rename_to(dir.get(), "file", dir.get(), "fresh"), -EPERM);
    EXPECT_EQ(rename_to(dir.get(), "own", dir.get(), "file"), -EPERM) << "it would go";
    // Before the type of the victim is looked at.
    EXPECT_EQ(unlink_in(dir.get(), "inside"), -EPERM);
    EXPECT_EQ(rmdir_in(dir.get(), "file"), -EPERM);
    EXPECT_THAT(calls, IsEmpty());
    EXPECT_EQ(unlink_in(dir.get(), "own"), 0);
}

TEST_F(MayDelete, TheTypeComesBeforeTheRemovedDirectory)
{
    d_inode(dir.get())->i_flags |= S_DEAD;
    EXPECT_EQ(locked(dir.get(), [&](inode *in) { return vfs_rmdir(in, file.get()); }), -ENOTDIR);
    EXPECT_EQ(locked(dir.get(), [&](inode *in) { return vfs_unlink(in, file.get()); }), -ENOENT);
}

TEST_F(RenameAt, ADirectoryThatGetsAnotherParentMustBeWritable)
{
    dentry_ref moved = make_directory(dir.get(), "moved");
    dentry_ref swapped = make_directory(root, "swapped");

    give(dir.get(), 0777);
    give(root, 0777);
    give(moved.get(), 0555);
    give(swapped.get(), 0777);
    acting_as user(OTHER_USER, OTHER_USER);
    EXPECT_EQ(rename_to(dir.get(), "moved", root, "elsewhere"), -EACCES);
    EXPECT_EQ(rename_to(root, "swapped", dir.get(), "moved", RENAME_EXCHANGE_FLAG), -EACCES);
    EXPECT_THAT(calls, IsEmpty());
    EXPECT_EQ(rename_to(dir.get(), "moved", dir.get(), "beside"), 0) << "its \"..\" stays";
    EXPECT_EQ(rename_to(dir.get(), "file", root, "file"), 0) << "files have none";
}

// --- vfs_readlink() ---

int released_links;

const char *counted_link(dentry *, inode *, delayed_call *done)
{
    set_delayed_call(
        done, [](void *) { released_links++; }, nullptr);
    return "counted";
}

const char *failing_link(dentry *, inode *, delayed_call *)
{
    return ERR_PTR(-EIO);
}

TEST_F(VfsReadlink, CopiesAsMuchAsFitsWithoutANul)
{
    dentry_ref link = make_symlink(dir.get(), "link");
    char buffer[] = "##########";

    EXPECT_EQ(vfs_readlink(link.get(), buffer, 10), 6);
    EXPECT_STREQ(buffer, "target####");
    EXPECT_EQ(vfs_readlink(link.get(), buffer, 3), 3);
    WRITE_ONCE(d_inode(link.get())->i_link, "in the inode");
    EXPECT_EQ(vfs_readlink(link.get(), buffer, 10), 10);
    EXPECT_STREQ(buffer, "in the ino");
    WRITE_ONCE(d_inode(link.get())->i_link, nullptr);
}

TEST_F(VfsReadlink, WhatIsNoLinkSaysNothing)
{
    char buffer[10];

    EXPECT_EQ(vfs_readlink(file.get(), buffer, 10), -EINVAL);
    EXPECT_EQ(vfs_readlink(dir.get(), buffer, 10), -EINVAL);
}

TEST_F(VfsReadlink, GivesTheBodyBack)
{
    static constexpr inode_operations counted = {.get_link = counted_link};
    static constexpr inode_operations failing = {.get_link = failing_link};
    dentry_ref link = make_symlink(dir.get(), "link");
    char buffer[10];

    released_links = 0;
    d_inode(link.get())->i_op = &counted;
    EXPECT_EQ(vfs_readlink(link.get(), buffer, 10), 7);
    EXPECT_EQ(released_links, 1);
    d_inode(link.get())->i_op = &failing;
    EXPECT_EQ(vfs_readlink(link.get(), buffer, 10), -EIO);
    d_inode(link.get())->i_op = &symlink_operations;
}

// --- vfs_link() ---

TEST_F(VfsLink, GivesAFileAnotherName)
{
    dentry_ref fresh = make_negative(root, "fresh");
    inode *inode = d_inode(file.get());
    during = [&] { EXPECT_TRUE(write_locked(file.get())); };

    EXPECT_EQ(locked(root, [&](auto *in) { return vfs_link(file.get(), in, fresh.get()); }), 0);
    EXPECT_EQ(d_inode(fresh.get()), inode);
    EXPECT_EQ(READ_ONCE(inode->i_nlink), 2u);
    expect_unlocked({file.get()});
}

TEST_F(VfsLink, DirectoriesHaveOneName)
{
    dentry_ref fresh = make_negative(root, "fresh");

    EXPECT_EQ(locked(root, [&](inode *in) { return vfs_link(dir.get(), in, fresh.get()); }),
              -EPERM);
    EXPECT_THAT(calls, IsEmpty());
}

TEST_F(VfsLink, AFileWithoutALinkDoesNotComeBack)
{
    dentry_ref fresh = make_negative(root, "fresh");
    clear_nlink(d_inode(file.get()));

    EXPECT_EQ(locked(root, [&](inode *in) { return vfs_link(file.get(), in, fresh.get()); }),
              -ENOENT);
    EXPECT_THAT(calls, IsEmpty());
    expect_unlocked({file.get()});
}

TEST_F(VfsLink, AFileThatNeverHadANameGetsItsFirstOnce)
{
    dentry_ref fresh = make_negative(root, "fresh");
    inode *inode = d_inode(file.get());
    clear_nlink(inode);
    inode->i_state |= I_LINKABLE;

    EXPECT_EQ(locked(root, [&](auto *in) { return vfs_link(file.get(), in, fresh.get()); }), 0);
    EXPECT_EQ(READ_ONCE(inode->i_nlink), 1u);
    EXPECT_FALSE(READ_ONCE(inode->i_state) & I_LINKABLE);
}

TEST_F(VfsLink, AFailureLeavesItLinkable)
{
    dentry_ref fresh = make_negative(root, "fresh");
    clear_nlink(d_inode(file.get()));
    d_inode(file.get())->i_state |= I_LINKABLE;
    failure = -ENOSPC;

    EXPECT_EQ(locked(root, [&](auto *in) { return vfs_link(file.get(), in, fresh.get()); }),
              -ENOSPC);
    EXPECT_TRUE(READ_ONCE(d_inode(file.get())->i_state) & I_LINKABLE);
}

TEST_F(VfsLink, ANameInUseExists)
{
    dentry_ref other = make_file(root, "other");

    EXPECT_EQ(locked(root, [&](inode *in) { return vfs_link(file.get(), in, other.get()); }),
              -EEXIST);
}

TEST_F(VfsLink, ANegativeHasNothingToLink)
{
    dentry_ref absent = make_negative(root, "absent");
    dentry_ref fresh = make_negative(root, "fresh");

    EXPECT_EQ(locked(root, [&](inode *in) { return vfs_link(absent.get(), in, fresh.get()); }),
              -ENOENT);
}

TEST_F(VfsLink, NamesDoNotCrossFileSystems)
{
    super_block *other = make_super_block();
    dentry_ref fresh = make_negative(other->s_root, "fresh");

    EXPECT_EQ(
        locked(other->s_root, [&](inode *in) { return vfs_link(file.get(), in, fresh.get()); }),
        -EXDEV);
    fresh.reset();
    EXPECT_EQ(generic_shutdown_super(other), 0);
}

// --- vfs_unlink() ---

TEST_F(VfsUnlink, TheSoleUsersDentryTurnsNegative)
{
    during = [&] { EXPECT_TRUE(write_locked(file.get())); };
    inode *inode = d_inode(file.get());
    ihold(inode);

    EXPECT_EQ(locked(dir.get(), [&](auto *in) { return vfs_unlink(in, file.get()); }), 0);
    EXPECT_TRUE(d_is_negative(file.get()));
    EXPECT_EQ(cached(dir.get(), "file"), file);
    EXPECT_FALSE(rwsem_is_locked(&inode->i_rwsem));
    EXPECT_EQ(READ_ONCE(inode->i_nlink), 0u);
    EXPECT_EQ(references_of(inode), 1);
    iput(inode);
}

TEST_F(VfsUnlink, WithOtherUsersTheNameIsUnhashedAndNoMountpointAnyMore)
{
    dentry_ref other = file;

    EXPECT_EQ(locked(dir.get(), [&](inode *in) { return vfs_unlink(in, file.get()); }), 0);
    EXPECT_TRUE(d_is_positive(file.get()));
    EXPECT_TRUE(d_unhashed(file.get()));
    EXPECT_TRUE(cant_mount(file.get()));
}

TEST_F(VfsUnlink, DirectoriesGoAnotherWay)
{
    EXPECT_EQ(locked(root, [&](inode *in) { return vfs_unlink(in, dir.get()); }), -EISDIR);
    EXPECT_THAT(calls, IsEmpty());
}

TEST_F(VfsUnlink, ANegativeIsNotThere)
{
    dentry_ref absent = make_negative(root, "absent");

    EXPECT_EQ(locked(root, [&](inode *in) { return vfs_unlink(in, absent.get()); }), -ENOENT);
}

TEST_F(VfsUnlink, ARemovedDirectoryIsNotChanged)
{
    d_inode(dir.get())->i_flags |= S_DEAD;
    EXPECT_EQ(locked(dir.get(), [&](inode *in) { return vfs_unlink(in, file.get()); }), -ENOENT);
}

TEST_F(VfsUnlink, AMountpointIsBusy)
{
    dentry_ref other = make_file(root, "other");
    mounted_on mounted(sb, file.get(), other.get());

    EXPECT_EQ(locked(dir.get(), [&](inode *in) { return vfs_unlink(in, file.get()); }), -EBUSY);
    EXPECT_THAT(calls, IsEmpty());
    expect_unlocked({file.get()});
}

TEST_F(VfsUnlink, AFailureLeavesTheName)
{
    failure = -EIO;

    EXPECT_EQ(locked(dir.get(), [&](inode *in) { return vfs_unlink(in, file.get()); }), -EIO);
    EXPECT_TRUE(d_is_positive(file.get()));
    EXPECT_FALSE(cant_mount(file.get()));
    EXPECT_EQ(cached(dir.get(), "file"), file);
    expect_unlocked({file.get()});
}

// The file system renamed it instead (->unlink() of an open file on NFS): the dentry stays what it
// is.
TEST_F(VfsUnlink, ASillyRenamedNameStays)
{
    during = [&] { file->d_flags |= DCACHE_NFSFS_RENAMED; };

    EXPECT_EQ(locked(dir.get(), [&](inode *in) { return vfs_unlink(in, file.get()); }), 0);
    EXPECT_TRUE(d_is_positive(file.get()));
    EXPECT_FALSE(d_unhashed(file.get()));
}

TEST_F(VfsUnlink, ASillyNameIsBusy)
{
    file->d_flags |= DCACHE_NFSFS_RENAMED;

    EXPECT_EQ(locked(dir.get(), [&](inode *in) { return vfs_unlink(in, file.get()); }), -EBUSY);
    EXPECT_THAT(calls, IsEmpty());
}

// --- vfs_rmdir() ---

TEST_F(VfsRmdir, TheDirectoryIsDeadAndItsNameNegative)
{
    dentry_ref victim = make_directory(root, "victim");
    inode *inode = d_inode(victim.get());
    ihold(inode);
    during = [&] { EXPECT_TRUE(write_locked(victim.get())); };

    EXPECT_EQ(locked(root, [&](auto *in) { return vfs_rmdir(in, victim.get()); }), 0);
    EXPECT_TRUE(d_is_negative(victim.get()));
    EXPECT_EQ(cached(root, "victim"), victim);
    EXPECT_EQ(d_count(victim.get()), 1);
    EXPECT_TRUE(IS_DEADDIR(inode));
    EXPECT_FALSE(rwsem_is_locked(&inode->i_rwsem));
    iput(inode);
}

TEST_F(VfsRmdir, NegativeChildrenAreForgotten)
{
    dentry_ref victim = make_directory(root, "victim");
    leave_negative(victim.get(), "absent");

    EXPECT_EQ(locked(root, [&](inode *in) { return vfs_rmdir(in, victim.get()); }), 0);
    EXPECT_TRUE(hlist_empty(&victim->d_children));
    EXPECT_TRUE(d_is_negative(victim.get()));
}

TEST_F(VfsRmdir, FilesGoAnotherWay)
{
    EXPECT_EQ(locked(dir.get(), [&](inode *in) { return vfs_rmdir(in, file.get()); }), -ENOTDIR);
    EXPECT_THAT(calls, IsEmpty());
}

TEST_F(VfsRmdir, ANegativeIsNotThere)
{
    dentry_ref absent = make_negative(root, "absent");

    EXPECT_EQ(locked(root, [&](inode *in) { return vfs_rmdir(in, absent.get()); }), -ENOENT);
}

TEST_F(VfsRmdir, ARootIsBusy)
{
    EXPECT_EQ(locked(root, [&](inode *in) { return vfs_rmdir(in, root); }), -EBUSY);
}

TEST_F(VfsRmdir, AMountpointIsBusy)
{
    dentry_ref other = make_directory(root, "other");
    mounted_on mounted(sb, dir.get(), other.get());

    EXPECT_EQ(locked(root, [&](inode *in) { return vfs_rmdir(in, dir.get()); }), -EBUSY);
    EXPECT_THAT(calls, IsEmpty());
    EXPECT_FALSE(IS_DEADDIR(d_inode(dir.get())));
    expect_unlocked({dir.get()});
}

TEST_F(VfsRmdir, AFailureLeavesTheDirectory)
{
    failure = -ENOTEMPTY;
    leave_negative(dir.get(), "absent");
    int count = d_count(dir.get());

    EXPECT_EQ(locked(root, [&](inode *in) { return vfs_rmdir(in, dir.get()); }), -ENOTEMPTY);
    EXPECT_FALSE(IS_DEADDIR(d_inode(dir.get())));
    EXPECT_FALSE(cant_mount(dir.get()));
    EXPECT_TRUE(is_cached(dir.get(), "absent"));
    EXPECT_EQ(d_count(dir.get()), count);
    expect_unlocked({dir.get()});
}

// --- A file system that cannot ---

TEST_F(WithoutOperations, EachHasItsError)
{
    dentry_ref fresh = make_negative(dir.get(), "fresh");
    dentry_ref inner = make_directory(dir.get(), "inner");
    d_inode(dir.get())->i_op = &directory_operations;

    locked(dir.get(), [&](inode *in) {
        EXPECT_EQ(vfs_create(in, fresh.get(), 0644), -EACCES);
        EXPECT_EQ(vfs_mkdir(in, fresh.get(), 0755), -EPERM);
        EXPECT_EQ(vfs_symlink(in, fresh.get(), "body"), -EPERM);
        EXPECT_EQ(vfs_link(file.get(), in, fresh.get()), -EPERM);
        EXPECT_EQ(vfs_unlink(in, file.get()), -EPERM);
        EXPECT_EQ(vfs_rmdir(in, inner.get()), -EPERM);
        EXPECT_EQ(vfs_rename(in, file.get(), in, fresh.get(), 0), -EPERM);
        return 0;
    });
    EXPECT_THAT(calls, IsEmpty());
}

// --- create_at(), mkdir_at() ---

TEST_F(CreateAt, LooksTheNameUpAndCreates)
{
    EXPECT_EQ(create_in(dir.get(), "fresh", 0600), 0);
    dentry_ref fresh = cached(dir.get(), "fresh");
    EXPECT_TRUE(d_is_reg(fresh.get()));
    EXPECT_EQ(READ_ONCE(d_inode(fresh.get())->i_mode), S_IFREG_TYPE | 0600);
    EXPECT_EQ(d_count(fresh.get()), 1);
    expect_unlocked({dir.get()});
}

TEST_F(CreateAt, AskingTheFileSystemItSaysWhatFor)
{
    unsigned seen = 0;
    on_lookup = [&](inode *, dentry *dentry, unsigned flags) {
        seen = flags;
        return d_splice_alias(nullptr, dentry);
    };
    EXPECT_EQ(create_in(dir.get(), "fresh"), 0);
    EXPECT_EQ(seen, unsigned{LOOKUP_CREATE | LOOKUP_EXCL});
    EXPECT_EQ(unlink_in(dir.get(), "other"), -ENOENT);
    EXPECT_EQ(seen, 0u);
}

TEST_F(CreateAt, AnExistingNameExists)
{
    EXPECT_EQ(create_in(dir.get(), "file"), -EEXIST);
    EXPECT_EQ(create_in(root, "dir"), -EEXIST);
    expect_unlocked({dir.get(), root});
}

TEST_F(CreateAt, NamesAreChecked)
{
    EXPECT_EQ(create_in(dir.get(), ""), -EACCES);
    EXPECT_EQ(create_in(dir.get(), "."), -EACCES);
    EXPECT_EQ(create_in(dir.get(), ".."), -EACCES);
    EXPECT_EQ(create_in(dir.get(), "a/b"), -EACCES);
    EXPECT_EQ(create_in(dir.get(), std::string(256, 'n')), -ENAMETOOLONG);
    EXPECT_EQ(create_in(dir.get(), std::string(255, 'n')), 0);
    EXPECT_EQ(calls.size(), 1u);
    expect_unlocked({dir.get()});
}

TEST_F(CreateAt, AnErrorOfTheLookupIsTheAnswer)
{
    on_lookup = [](inode *, dentry *, unsigned) { return static_cast<dentry *>(ERR_PTR(-EIO)); };
    EXPECT_EQ(create_in(dir.get(), "fresh"), -EIO);
    EXPECT_THAT(calls, IsEmpty());
    expect_unlocked({dir.get()});
}

TEST_F(CreateAt, InARemovedDirectoryThereIsNothingToLookUp)
{
    d_inode(dir.get())->i_flags |= S_DEAD;
    EXPECT_EQ(create_in(dir.get(), "fresh"), -ENOENT);
}

TEST_F(MkdirAt, LooksTheNameUpAndCreates)
{
    unsigned seen = 0;
    on_lookup = [&](inode *, dentry *dentry, unsigned flags) {
        seen = flags;
        return d_splice_alias(nullptr, dentry);
    };
    EXPECT_EQ(mkdir_in(dir.get(), "fresh", 0700), 0);
    EXPECT_TRUE(d_is_dir(cached(dir.get(), "fresh").get()));
    EXPECT_EQ(seen, unsigned{LOOKUP_CREATE | LOOKUP_EXCL | LOOKUP_DIRECTORY});
    EXPECT_EQ(mkdir_in(dir.get(), "fresh"), -EEXIST);
    expect_unlocked({dir.get()});
}

// --- link_at() ---

TEST_F(LinkAt, GivesAFileAnotherName)
{
    during = [this] { EXPECT_TRUE(write_locked(dir.get()) && write_locked(file.get())); };
    EXPECT_EQ(link_to(file.get(), dir.get(), "second"), 0);
    EXPECT_EQ(d_inode(cached(dir.get(), "second").get()), d_inode(file.get()));
    EXPECT_EQ(link_to(file.get(), dir.get(), "second"), -EEXIST);
    expect_unlocked({dir.get(), file.get()});
}

TEST_F(LinkAt, WhatCannotHaveTheNameIsRefused)
{
    super_block *elsewhere = make_super_block();

    EXPECT_EQ(link_to(dir.get(), root, "directory"), -EPERM);
    EXPECT_EQ(link_to(file.get(), dir.get(), std::string(256, 'n')), -ENAMETOOLONG);
    EXPECT_EQ(link_to(file.get(), elsewhere->s_root, "elsewhere"), -EXDEV);
    expect_unlocked({root, dir.get(), file.get()});
    EXPECT_EQ(generic_shutdown_super(elsewhere), 0);
}

// --- unlink_at(), rmdir_at() ---

TEST_F(UnlinkAt, RemovesTheName)
{
    EXPECT_EQ(create_in(dir.get(), "victim"), 0);
    EXPECT_EQ(unlink_in(dir.get(), "victim"), 0);
    EXPECT_TRUE(d_is_negative(cached(dir.get(), "victim").get()));
    EXPECT_EQ(unlink_in(dir.get(), "victim"), -ENOENT);
    expect_unlocked({dir.get()});
}

TEST_F(UnlinkAt, ADirectoryIsRefused)
{
    EXPECT_EQ(unlink_in(root, "dir"), -EISDIR);
    EXPECT_EQ(unlink_in(root, std::string(256, 'n')), -ENAMETOOLONG);
    expect_unlocked({root});
}

// Freeing a file may take long; nobody should wait for it in the directory.
TEST_F(UnlinkAt, TheInodeGoesAfterTheDirectoryIsUnlocked)
{
    static int evicted;
    static bool directory_locked;
    static inode *directory;
    static constexpr super_operations operations = {.evict_inode = [](inode *) {
        evicted++;
        directory_locked |= rwsem_is_locked(&directory->i_rwsem);
    }};
    evicted = 0;
    directory_locked = false;
    directory = d_inode(dir.get());
    EXPECT_EQ(create_in(dir.get(), "victim"), 0);

    sb->s_op = &operations;
    EXPECT_EQ(unlink_in(dir.get(), "victim"), 0);
    EXPECT_EQ(evicted, 1);
    EXPECT_FALSE(directory_locked);
}

TEST_F(RmdirAt, RemovesTheDirectory)
{
    EXPECT_EQ(mkdir_in(dir.get(), "victim"), 0);
    EXPECT_EQ(rmdir_in(dir.get(), "victim"), 0);
    EXPECT_TRUE(d_is_negative(cached(dir.get(), "victim").get()));
    EXPECT_EQ(rmdir_in(dir.get(), "victim"), -ENOENT);
    EXPECT_EQ(rmdir_in(dir.get(), "file"), -ENOTDIR);
    EXPECT_EQ(rmdir_in(dir.get(), ".."), -EACCES);
    expect_unlocked({dir.get()});
}

TEST_F(RmdirAt, LookupsThatComeLaterFindADeadDirectory)
{
    EXPECT_EQ(mkdir_in(dir.get(), "victim"), 0);
    dentry_ref victim = cached(dir.get(), "victim");
    qstr name = name_below(victim.get(), "name");

    EXPECT_EQ(rmdir_in(dir.get(), "victim"), 0);
    EXPECT_TRUE(d_is_positive(victim.get()));
    EXPECT_EQ(PTR_ERR(lookup_slow(&name, victim.get(), 0)), -ENOENT);
    EXPECT_EQ(create_in(victim.get(), "name"), -ENOENT);
}

// --- lock_rename() ---

TEST_F(LockRename, OneDirectoryIsLockedOnce)
{
    EXPECT_EQ(lock_rename(dir.get(), dir.get()), nullptr);
    EXPECT_TRUE(write_locked(dir.get()));
    EXPECT_FALSE(mutex_is_locked(&sb->s_vfs_rename_mutex));
    unlock_rename(dir.get(), dir.get());
    expect_unlocked({dir.get()});
}

TEST_F(LockRename, TwoDirectoriesAreLockedUnderTheMutex)
{
    dentry_ref other = make_directory(root, "other");

    EXPECT_EQ(lock_rename(dir.get(), other.get()), nullptr);
    EXPECT_TRUE(write_locked(dir.get()));
    EXPECT_TRUE(write_locked(other.get()));
    EXPECT_TRUE(mutex_is_locked(&sb->s_vfs_rename_mutex));
    unlock_rename(dir.get(), other.get());
    expect_unlocked({dir.get(), other.get()});
}

TEST_F(LockRename, OfRelatedOnesItReturnsTheChildOnTheWay)
{
    dentry_ref inner = make_directory(dir.get(), "inner");
    dentry_ref innermost = make_directory(inner.get(), "innermost");

    EXPECT_EQ(lock_rename(dir.get(), innermost.get()), inner.get());
    EXPECT_TRUE(write_locked(dir.get()));
    EXPECT_TRUE(write_locked(innermost.get()));
    unlock_rename(dir.get(), innermost.get());
    EXPECT_EQ(lock_rename(innermost.get(), dir.get()), inner.get());
    unlock_rename(innermost.get(), dir.get());
    EXPECT_EQ(lock_rename(inner.get(), dir.get()), inner.get());
    unlock_rename(inner.get(), dir.get());
    expect_unlocked({dir.get(), inner.get(), innermost.get()});
}

TEST_F(LockRename, OfTwoTreesNothingIsLocked)
{
    dentry_ref alias = adopt_dentry(d_obtain_alias(directory_inode()));

    EXPECT_EQ(PTR_ERR(lock_rename(dir.get(), alias.get())), -EXDEV);
    EXPECT_EQ(PTR_ERR(lock_rename(alias.get(), dir.get())), -EXDEV);
    expect_unlocked({dir.get(), alias.get()});
}

// --- vfs_rename(): what is locked while the file system renames ---

/// Objects of both kinds in two directories.
class RenameLocks : public directory_fixture
{
  protected:
    void SetUp() override
    {
        directory_fixture::SetUp();
        other = make_directory(root, "other");
        for (const char *name : {"d1", "d2"})
            objects.push_back(make_directory(dir.get(), name));
        for (const char *name : {"f1", "f2"})
            objects.push_back(make_file(dir.get(), name));
        objects.push_back(make_directory(other.get(), "od"));
        objects.push_back(make_file(other.get(), "of"));
        during = [this] {
            for (const dentry_ref &object : objects)
                if (write_locked(object.get()))
                    held.push_back(name_of(object.get()));
        };
    }
    void TearDown() override
    {
        objects.clear();
        other.reset();
        directory_fixture::TearDown();
    }

    /// Who is locked during a rename, by the names from before it.
    std::vector<std::string> during_rename(std::string_view from, std::string_view to,
                                           unsigned flags = 0)
    {
        dentry *new_parent = to[0] == 'o' ? other.get() : dir.get();

        held.clear();
        EXPECT_EQ(rename_to(dir.get(), from, new_parent, to, flags), 0);
        for (const dentry_ref &object : objects)
            EXPECT_FALSE(rwsem_is_locked(&d_inode(object.get())->i_rwsem));
        expect_unlocked({dir.get(), other.get()});
        return held;
    }

    dentry_ref other;
    std::vector<dentry_ref> objects;
    std::vector<std::string> held;
};

TEST_F(RenameLocks, AFileIsAlwaysLocked)
{
    EXPECT_THAT(during_rename("f1", "new"), ElementsAre("f1"));
}

TEST_F(RenameLocks, AFileInAnotherDirectoryIsLockedToo)
{
    EXPECT_THAT(during_rename("f1", "onew"), ElementsAre("f1"));
}

TEST_F(RenameLocks, SoIsTheFileItReplaces)
{
    EXPECT_THAT(during_rename("f1", "f2"), UnorderedElementsAre("f1", "f2"));
}

TEST_F(RenameLocks, ADirectoryThatKeepsItsParentIsNotLocked)
{
    EXPECT_THAT(during_rename("d1", "new"), IsEmpty());
}

TEST_F(RenameLocks, TheDirectoryItReplacesIs)
{
    EXPECT_THAT(during_rename("d1", "d2"), ElementsAre("d2"));
}

TEST_F(RenameLocks, ADirectoryThatChangesItsParentIsLocked)
{
    EXPECT_THAT(during_rename("d1", "onew"), ElementsAre("d1"));
}

TEST_F(RenameLocks, WithTheOneItReplaces)
{
    EXPECT_THAT(during_rename("d1", "od"), UnorderedElementsAre("d1", "od"));
}

TEST_F(RenameLocks, ExchangedDirectoriesOfOneParentAreNot)
{
    EXPECT_THAT(during_rename("d1", "d2", RENAME_EXCHANGE_FLAG), IsEmpty());
}

TEST_F(RenameLocks, ExchangedDirectoriesOfTwoParentsAre)
{
    EXPECT_THAT(during_rename("d1", "od", RENAME_EXCHANGE_FLAG), UnorderedElementsAre("d1", "od"));
}

TEST_F(RenameLocks, OfADirectoryAndAFileExchangedInOneParentOnlyTheFileIs)
{
    EXPECT_THAT(during_rename("d1", "f1", RENAME_EXCHANGE_FLAG), ElementsAre("f1"));
    EXPECT_THAT(during_rename("d1", "f1", RENAME_EXCHANGE_FLAG), ElementsAre("d1"))
        << "names have changed places";
}

TEST_F(RenameLocks, OfADirectoryAndAFileExchangedAcrossBothAre)
{
    EXPECT_THAT(during_rename("d1", "of", RENAME_EXCHANGE_FLAG), UnorderedElementsAre("d1", "of"));
    EXPECT_THAT(during_rename("f1", "od", RENAME_EXCHANGE_FLAG), UnorderedElementsAre("f1", "od"));
}

// --- rename_at() ---

TEST_F(RenameAt, MovesTheEntry)
{
    EXPECT_EQ(rename_to(dir.get(), "file", root, "new"), 0);
    EXPECT_THAT(calls, ElementsAre("rename file to new"));
    EXPECT_EQ(cached(root, "new"), file);
    EXPECT_FALSE(is_cached(dir.get(), "file"));
    EXPECT_EQ(d_count(file.get()), 1);
    expect_unlocked({dir.get(), root, file.get()});
}

TEST_F(RenameAt, AReplacedFileIsUnhashedAndNoMountpointAnyMore)
{
    dentry_ref target = make_file(dir.get(), "target");

    EXPECT_EQ(rename_to(dir.get(), "file", dir.get(), "target"), 0);
    EXPECT_EQ(cached(dir.get(), "target"), file);
    EXPECT_TRUE(d_unhashed(target.get()));
    EXPECT_TRUE(cant_mount(target.get()));
    EXPECT_FALSE(IS_DEADDIR(d_inode(target.get())));
}

TEST_F(RenameAt, AReplacedDirectoryIsDeadAndEmpty)
{
    dentry_ref source = make_directory(root, "source");
    dentry_ref target = make_directory(dir.get(), "target");
    leave_negative(target.get(), "absent");

    EXPECT_EQ(rename_to(root, "source", dir.get(), "target"), 0);
    EXPECT_EQ(cached(dir.get(), "target"), source);
    EXPECT_TRUE(IS_DEADDIR(d_inode(target.get())));
    EXPECT_TRUE(hlist_empty(&target->d_children));
    EXPECT_TRUE(cant_mount(target.get()));
}

TEST_F(RenameAt, AnExchangeSwapsTheEntries)
{
    dentry_ref other = make_directory(root, "other");

    EXPECT_EQ(rename_to(dir.get(), "file", root, "other", RENAME_EXCHANGE_FLAG), 0);
    EXPECT_EQ(rename_flags, unsigned{RENAME_EXCHANGE_FLAG});
    EXPECT_EQ(cached(root, "other"), file);
    EXPECT_EQ(cached(dir.get(), "file"), other);
    EXPECT_FALSE(IS_DEADDIR(d_inode(other.get())));
    EXPECT_FALSE(cant_mount(other.get()));
}

TEST_F(RenameAt, FlagsAreChecked)
{
    EXPECT_EQ(rename_to(dir.get(), "file", root, "new", 1u << 7), -EINVAL);
    EXPECT_EQ(
        rename_to(dir.get(), "file", root, "new", RENAME_EXCHANGE_FLAG | RENAME_NOREPLACE_FLAG),
        -EINVAL);
    EXPECT_THAT(calls, IsEmpty());
}

TEST_F(RenameAt, NoreplaceWantsAFreeName)
{
    make_file(root, "taken");

    EXPECT_EQ(rename_to(dir.get(), "file", root, "taken", RENAME_NOREPLACE_FLAG), -EEXIST);
    EXPECT_EQ(rename_to(dir.get(), "file", root, "free", RENAME_NOREPLACE_FLAG), 0);
    EXPECT_EQ(rename_flags, unsigned{RENAME_NOREPLACE_FLAG});
}

TEST_F(RenameAt, ExchangeWantsTwoEntries)
{
    EXPECT_EQ(rename_to(dir.get(), "file", root, "absent", RENAME_EXCHANGE_FLAG), -ENOENT);
    EXPECT_EQ(rename_to(root, "absent", dir.get(), "file", RENAME_EXCHANGE_FLAG), -ENOENT);
    expect_unlocked({dir.get(), root});
}

TEST_F(RenameAt, AMissingSourceIsNoEntry)
{
    EXPECT_EQ(rename_to(dir.get(), "absent", root, "new"), -ENOENT);
    EXPECT_THAT(calls, IsEmpty());
    expect_unlocked({dir.get(), root});
}

// do_renameat2() does not look at the new name before it knows that there is something to rename.
TEST_F(RenameAt, OfAMissingSourceTheNewNameIsNotLookedUp)
{
    std::vector<std::string> asked;
    on_lookup = [&](inode *, dentry *dentry, unsigned) {
        asked.push_back(name_of(dentry));
        return d_splice_alias(nullptr, dentry);
    };

    EXPECT_EQ(rename_to(dir.get(), "absent", root, "new"), -ENOENT);
    EXPECT_THAT(asked, ElementsAre("absent"));
}

TEST_F(RenameAt, OntoItselfNothingIsDone)
{
    EXPECT_EQ(rename_to(dir.get(), "file", dir.get(), "file"), 0);
    EXPECT_THAT(calls, IsEmpty());
    EXPECT_EQ(cached(dir.get(), "file"), file);
}

TEST_F(RenameAt, OntoAnotherNameOfTheSameFileNothingIsDone)
{
    ihold(d_inode(file.get()));
    dentry_ref link = make_child(root, "link", d_inode(file.get()));

    EXPECT_EQ(rename_to(dir.get(), "file", root, "link"), 0);
    EXPECT_THAT(calls, IsEmpty());
    EXPECT_EQ(cached(dir.get(), "file"), file);
    EXPECT_EQ(cached(root, "link"), link);
}

TEST_F(RenameAt, ADirectoryDoesNotGoBelowItself)
{
    dentry_ref inner = make_directory(dir.get(), "inner");

    EXPECT_EQ(rename_to(root, "dir", inner.get(), "new"), -EINVAL);
    EXPECT_EQ(rename_to(root, "dir", dir.get(), "new"), -EINVAL);
    EXPECT_THAT(calls, IsEmpty());
    expect_unlocked({root, dir.get(), inner.get()});
}

TEST_F(RenameAt, NothingReplacesItsOwnAncestor)
{
    dentry_ref inner = make_directory(dir.get(), "inner");
    dentry_ref innermost = make_directory(inner.get(), "innermost");

    EXPECT_EQ(rename_to(inner.get(), "innermost", root, "dir"), -ENOTEMPTY);
    EXPECT_EQ(rename_to(inner.get(), "innermost", root, "dir", RENAME_EXCHANGE_FLAG), -EINVAL);
    EXPECT_THAT(calls, IsEmpty());
}

TEST_F(RenameAt, DirectoriesAndFilesDoNotReplaceEachOther)
{
    make_directory(root, "d");

    EXPECT_EQ(rename_to(dir.get(), "file", root, "d"), -EISDIR);
    EXPECT_EQ(rename_to(root, "d", dir.get(), "file"), -ENOTDIR);
    EXPECT_THAT(calls, IsEmpty());
    expect_unlocked({root, dir.get()});
}

TEST_F(RenameAt, MountpointsAreBusy)
{
    dentry_ref target = make_directory(root, "target");
    mounted_on mounted(sb, target.get(), dir.get());
    make_directory(root, "source");

    EXPECT_EQ(rename_to(root, "source", root, "target"), -EBUSY);
    EXPECT_EQ(rename_to(root, "target", root, "new"), -EBUSY);
    EXPECT_THAT(calls, IsEmpty());
    expect_unlocked({root, target.get()});
}

TEST_F(RenameAt, ARemovedDirectoryIsNotChanged)
{
    dentry_ref dead = make_directory(root, "dead");
    dentry_ref inside = make_file(dead.get(), "inside");
    dentry_ref absent = make_negative(dead.get(), "absent");
    d_inode(dead.get())->i_flags |= S_DEAD;

    EXPECT_EQ(rename_to(dead.get(), "inside", root, "new"), -ENOENT);
    EXPECT_EQ(rename_to(dir.get(), "file", dead.get(), "absent"), -ENOENT);
    EXPECT_THAT(calls, IsEmpty());
}

TEST_F(RenameAt, ASillyNameIsBusy)
{
    file->d_flags |= DCACHE_NFSFS_RENAMED;

    EXPECT_EQ(rename_to(dir.get(), "file", root, "new"), -EBUSY);
    EXPECT_THAT(calls, IsEmpty());
}

TEST_F(RenameAt, OtherFileSystemsAreElsewhere)
{
    super_block *other = make_super_block();

    EXPECT_EQ(rename_to(dir.get(), "file", other->s_root, "new"), -EXDEV);
    EXPECT_EQ(generic_shutdown_super(other), 0);
}

TEST_F(RenameAt, AFailureLeavesBothNames)
{
    dentry_ref target = make_directory(root, "target");
    dentry_ref source = make_directory(dir.get(), "source");
    leave_negative(target.get(), "absent");
    failure = -EIO;

    EXPECT_EQ(rename_to(dir.get(), "source", root, "target"), -EIO);
    EXPECT_EQ(cached(dir.get(), "source"), source);
    EXPECT_EQ(cached(root, "target"), target);
    EXPECT_FALSE(IS_DEADDIR(d_inode(target.get())));
    EXPECT_FALSE(cant_mount(target.get()));
    EXPECT_TRUE(is_cached(target.get(), "absent"));
    expect_unlocked({root, dir.get(), source.get(), target.get()});
}

TEST_F(RenameAt, TheFileSystemIsToldWhatTheLookupsAreFor)
{
    std::vector<unsigned> seen;
    on_lookup = [&](inode *, dentry *dentry, unsigned flags) {
        seen.push_back(flags);
        return d_splice_alias(nullptr, dentry);
    };

    rename_to(dir.get(), "file", root, "one");
    rename_to(root, "one", root, "two", RENAME_NOREPLACE_FLAG);
    rename_to(root, "two", root, "three", RENAME_EXCHANGE_FLAG);
    // The target of an exchange must be known, so there is nothing the file system may put off.
    EXPECT_THAT(seen,
                ElementsAre(unsigned{LOOKUP_RENAME_TARGET | LOOKUP_CREATE},
                            unsigned{LOOKUP_RENAME_TARGET | LOOKUP_CREATE | LOOKUP_EXCL}, 0u));
}

TEST_F(RenameAt, NamesAreChecked)
{
    EXPECT_EQ(rename_to(dir.get(), "file", root, ".."), -EACCES);
    EXPECT_EQ(rename_to(dir.get(), ".", root, "new"), -EACCES);
    EXPECT_EQ(rename_to(dir.get(), "file", root, std::string(256, 'n')), -ENAMETOOLONG);
    EXPECT_EQ(rename_to(dir.get(), std::string(256, 'n'), root, "new"), -ENAMETOOLONG);
    EXPECT_THAT(calls, IsEmpty());
    expect_unlocked({root, dir.get()});
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
