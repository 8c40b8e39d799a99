// SPDX-License-Identifier: GPL-2.0-only
//
// Attributes: who may change them, what goes with a change, and what new inodes get.
#include <gtest/gtest.h>

#include "acting_as.h"
#include "dcsim/vfs/attributes.h"
#include "namei_internal.h"
#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

constexpr kuid_t OWNER = 1000, SOMEBODY = 2000;
constexpr kgid_t GROUP = 100, OTHER_GROUP = 200;

class attributes_fixture : public vfs_fixture
{
  protected:
    void SetUp() override
    {
        vfs_fixture::SetUp();
        dentry_ = make_file(root, "file");
        file = d_inode(dentry_.get());
        WRITE_ONCE(file->i_uid, OWNER);
        WRITE_ONCE(file->i_gid, GROUP);
    }
    void TearDown() override
    {
        WRITE_ONCE(init_fs.umask, 022);
        dentry_.reset();
        vfs_fixture::TearDown();
    }

    void set_permissions(unsigned permissions)
    {
        WRITE_ONCE(file->i_mode, static_cast<umode_t>(S_IFREG_TYPE | permissions));
    }
    unsigned permissions() const
    {
        return READ_ONCE(file->i_mode) & S_IALLUGO_BITS;
    }
    int prepare(iattr change)
    {
        return setattr_prepare(dentry_.get(), &change);
    }
    int change(iattr change)
    {
        inode_lock(file);
        int error = notify_change(dentry_.get(), &change);
        inode_unlock(file);
        return error;
    }
    static iattr mode(unsigned permissions)
    {
        return {ATTR_MODE, static_cast<umode_t>(permissions), 0, 0};
    }
    static iattr owner(kuid_t uid)
    {
        return {ATTR_UID, 0, uid, 0};
    }
    static iattr group(kgid_t gid)
    {
        return {ATTR_GID, 0, 0, gid};
    }

    inode *file;
    dentry_ref dentry_;
};

using SetattrPrepare = attributes_fixture;
using SetattrCopy = attributes_fixture;
using NotifyChange = attributes_fixture;
using ShouldDrop = attributes_fixture;
using InodeInitOwner = attributes_fixture;
using PrepareMode = attributes_fixture;
using Getattr = attributes_fixture;

// --- setattr_prepare() ---

TEST_F(SetattrPrepare, OnlyThePrivilegedGiveFilesAway)
{
    {
        acting_as owning(OWNER, GROUP);
        EXPECT_EQ(prepare(owner(SOMEBODY)), -EPERM);
        EXPECT_EQ(prepare(owner(OWNER)), 0) << "no change";
    }
    {
        acting_as other(SOMEBODY, GROUP);
        EXPECT_EQ(prepare(owner(SOMEBODY)), -EPERM);
        EXPECT_EQ(prepare(owner(OWNER)), -EPERM) << "not theirs to say";
    }
    acting_as privileged(SOMEBODY, GROUP, {}, {CAP_CHOWN});
    EXPECT_EQ(prepare(owner(SOMEBODY)), 0);
}

TEST_F(SetattrPrepare, OwnersChooseAmongTheirGroups)
{
    {
        acting_as owning(OWNER, 1, {OTHER_GROUP});
        EXPECT_EQ(prepare(group(GROUP)), 0) << "no change";
        EXPECT_EQ(prepare(group(OTHER_GROUP)), 0);
        EXPECT_EQ(prepare(group(1)), 0);
        EXPECT_EQ(prepare(group(2)), -EPERM);
    }
    {
        acting_as other(SOMEBODY, OTHER_GROUP);
        EXPECT_EQ(prepare(group(OTHER_GROUP)), -EPERM);
    }
    acting_as privileged(SOMEBODY, 1, {}, {CAP_CHOWN});
    EXPECT_EQ(prepare(group(OTHER_GROUP)), 0);
}

TEST_F(SetattrPrepare, OwnersAndThePrivilegedSetTheMode)
{
    {
        acting_as owning(OWNER, OTHER_GROUP);
        EXPECT_EQ(prepare(mode(0)), 0);
    }
    {
        acting_as other(SOMEBODY, GROUP, {}, {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FSETID});
        EXPECT_EQ(prepare(mode(0)), -EPERM);
    }
    acting_as privileged(SOMEBODY, GROUP, {}, {CAP_FOWNER});
    EXPECT_EQ(prepare(mode(0)), 0);
}

TEST_F(SetattrPrepare, LendingAGroupTakesAMember)
{
    iattr attributes = mode(02755);
    {
        acting_as member(OWNER, GROUP);
        EXPECT_EQ(setattr_prepare(dentry_.get(), &attributes), 0);
        EXPECT_EQ(attributes.ia_mode, 02755);
    }
    {
        acting_as privileged(OWNER, OTHER_GROUP, {}, {CAP_FSETID});
        EXPECT_EQ(setattr_prepare(dentry_.get(), &attributes), 0);
        EXPECT_EQ(attributes.ia_mode, 02755);
    }
    acting_as outsider(OWNER, OTHER_GROUP);
    EXPECT_EQ(setattr_prepare(dentry_.get(), &attributes), 0);
    EXPECT_EQ(attributes.ia_mode, 0755);
}

TEST_F(SetattrPrepare, TheGroupThatComesWithTheModeCounts)
{
    acting_as outsider(OWNER, OTHER_GROUP);
    iattr attributes = {ATTR_MODE | ATTR_GID, 02755, 0, OTHER_GROUP};
    EXPECT_EQ(setattr_prepare(dentry_.get(), &attributes), 0);
    EXPECT_EQ(attributes.ia_mode, 02755);
}

TEST_F(SetattrPrepare, WhatTheKernelItselfWantsNeedsNoPermission)
{
    acting_as other(SOMEBODY, OTHER_GROUP);
    EXPECT_EQ(prepare({ATTR_MODE | ATTR_UID | ATTR_GID | ATTR_FORCE, 0, 1, 1}), 0);
}

// --- setattr_copy() ---

TEST_F(SetattrCopy, ChangesWhatIsAskedAndNothingElse)
{
    const iattr uid = owner(7), gid = group(8), permissions = mode(0107600);

    setattr_copy(file, &uid);
    EXPECT_EQ(READ_ONCE(file->i_uid), 7u);
    EXPECT_EQ(READ_ONCE(file->i_gid), GROUP);
    EXPECT_EQ(READ_ONCE(file->i_mode), S_IFREG_TYPE | 0644);
    setattr_copy(file, &gid);
    EXPECT_EQ(READ_ONCE(file->i_gid), 8u);
    setattr_copy(file, &permissions);
    EXPECT_EQ(READ_ONCE(file->i_mode), S_IFREG_TYPE | 07600);
    EXPECT_EQ(READ_ONCE(file->i_uid), 7u);
}

TEST_F(SetattrCopy, TheNewGroupDecidesWhetherItIsLent)
{
    const iattr attributes = {ATTR_MODE | ATTR_GID, 02755, 0, OTHER_GROUP};

    acting_as outsider(OWNER, GROUP);
    setattr_copy(file, &attributes);
    EXPECT_EQ(permissions(), 0755u);
}

// --- notify_change() ---

TEST_F(NotifyChange, SymbolicLinksHaveNoModeToSet)
{
    dentry_ref link = make_symlink(root, "link");
    iattr attributes = mode(0600), given = owner(7);

    inode_lock(d_inode(link.get()));
    EXPECT_EQ(notify_change(link.get(), &attributes), -EOPNOTSUPP);
    EXPECT_EQ(notify_change(link.get(), &given), 0);
    inode_unlock(d_inode(link.get()));
    EXPECT_EQ(READ_ONCE(d_inode(link.get())->i_uid), 7u);
}

TEST_F(NotifyChange, TakesTheSetIdBitsThatAreThere)
{
    set_permissions(06755);
    EXPECT_EQ(change({ATTR_UID | ATTR_KILL_SUID, 0, 7, 0}), 0);
    EXPECT_EQ(permissions(), 02755u);
    EXPECT_EQ(READ_ONCE(file->i_uid), 7u);
    EXPECT_EQ(change({ATTR_KILL_SUID | ATTR_KILL_SGID, 0, 0, 0}), 0);
    EXPECT_EQ(permissions(), 0755u);

    set_permissions(06755);
    EXPECT_EQ(change({ATTR_KILL_SUID | ATTR_KILL_SGID, 0, 0, 0}), 0);
    EXPECT_EQ(permissions(), 0755u);
}

TEST_F(NotifyChange, TakingASetIdBitTakesTheOwner)
{
    acting_as other(SOMEBODY, OTHER_GROUP);
    set_permissions(04755);
    EXPECT_EQ(change({ATTR_KILL_SUID, 0, 0, 0}), -EPERM);
    EXPECT_EQ(change({ATTR_KILL_SUID | ATTR_FORCE, 0, 0, 0}), 0);
    EXPECT_EQ(permissions(), 0755u);
}

TEST_F(NotifyChange, WithNothingToTakeThereIsNothingToDo)
{
    acting_as other(SOMEBODY, OTHER_GROUP);
    set_permissions(0755);
    EXPECT_EQ(change({ATTR_KILL_SUID | ATTR_KILL_SGID, 0, 0, 0}), 0);
}

int setattr_calls;

int failing_setattr(dentry *, iattr *)
{
    setattr_calls++;
    return -EDQUOT;
}

TEST_F(NotifyChange, TheFileSystemDoesItIfItWantsTo)
{
    static constexpr inode_operations operations = {.setattr = failing_setattr};

    file->i_op = &operations;
    setattr_calls = 0;
    EXPECT_EQ(change(mode(0600)), -EDQUOT);
    EXPECT_EQ(change({ATTR_KILL_SUID, 0, 0, 0}), 0) << "nothing to do";
    EXPECT_EQ(setattr_calls, 1);
    EXPECT_EQ(permissions(), 0644u);
}

TEST_F(NotifyChange, WarnsAboutAnInodeThatIsNotLocked)
{
    iattr attributes = mode(0600);

    EXPECT_EQ(notify_change(dentry_.get(), &attributes), 0);
    EXPECT_EQ(warnings.take().size(), 1u);
}

// --- setattr_should_drop_*() ---

TEST_F(ShouldDrop, ChangingTheOwnerTakesAGroupThatMayExecute)
{
    set_permissions(02755);
    EXPECT_EQ(setattr_should_drop_sgid(file), ATTR_KILL_SGID) << "whoever does it";
    set_permissions(0755);
    EXPECT_EQ(setattr_should_drop_sgid(file), 0u);
    set_permissions(02745);
    EXPECT_EQ(setattr_should_drop_sgid(file), 0u) << "no right is lent";
    acting_as outsider(OWNER, OTHER_GROUP);
    EXPECT_EQ(setattr_should_drop_sgid(file), ATTR_KILL_SGID);
}

TEST_F(ShouldDrop, ChangingTheContentsTakesBothUnlessPrivileged)
{
    set_permissions(06755);
    EXPECT_EQ(setattr_should_drop_suidgid(file), 0u) << "init_task may set them again";
    acting_as member(SOMEBODY, GROUP);
    EXPECT_EQ(setattr_should_drop_suidgid(file), ATTR_KILL_SUID | ATTR_KILL_SGID);
    set_permissions(04755);
    EXPECT_EQ(setattr_should_drop_suidgid(file), unsigned{ATTR_KILL_SUID});
    set_permissions(0755);
    EXPECT_EQ(setattr_should_drop_suidgid(file), 0u);
}

TEST_F(ShouldDrop, ConcernsRegularFiles)
{
    acting_as member(SOMEBODY, GROUP);
    WRITE_ONCE(file->i_mode, static_cast<umode_t>(S_IFDIR_TYPE | 06755));
    EXPECT_EQ(setattr_should_drop_suidgid(file), 0u);
}

// --- inode_init_owner(), vfs_prepare_mode() ---

TEST_F(InodeInitOwner, NewInodesBelongToWhoMakesThem)
{
    acting_as somebody(SOMEBODY, OTHER_GROUP);
    inode_init_owner(file, d_inode(root), S_IFREG_TYPE | 0600);
    EXPECT_EQ(READ_ONCE(file->i_uid), SOMEBODY);
    EXPECT_EQ(READ_ONCE(file->i_gid), OTHER_GROUP);
    EXPECT_EQ(READ_ONCE(file->i_mode), S_IFREG_TYPE | 0600);
    inode_init_owner(file, nullptr, S_IFREG_TYPE | 0600);
    EXPECT_EQ(READ_ONCE(file->i_gid), OTHER_GROUP);
}

TEST_F(InodeInitOwner, ASetGroupIdDirectoryPassesItsGroupOn)
{
    inode *dir = d_inode(root);
    WRITE_ONCE(dir->i_gid, GROUP);
    WRITE_ONCE(dir->i_mode, static_cast<umode_t>(S_IFDIR_TYPE | 02755));

    acting_as somebody(SOMEBODY, OTHER_GROUP);
    inode_init_owner(file, dir, S_IFREG_TYPE | 0644);
    EXPECT_EQ(READ_ONCE(file->i_gid), GROUP);
    EXPECT_EQ(READ_ONCE(file->i_mode), S_IFREG_TYPE | 0644);
    inode_init_owner(file, dir, S_IFDIR_TYPE | 0755);
    EXPECT_EQ(READ_ONCE(file->i_mode), S_IFDIR_TYPE | 02755) << "and so on below";
    WRITE_ONCE(file->i_mode, static_cast<umode_t>(S_IFREG_TYPE | 0644));
}

TEST_F(PrepareMode, TheUmaskOfTheTaskIsTakenOff)
{
    WRITE_ONCE(init_fs.umask, 027);
    EXPECT_EQ(vfs_prepare_mode(d_inode(root), 0777, S_IALLUGO_BITS, S_IFREG_TYPE),
              S_IFREG_TYPE | 0750);
    WRITE_ONCE(init_fs.umask, 0);
    EXPECT_EQ(vfs_prepare_mode(d_inode(root), 0777, S_IALLUGO_BITS, S_IFREG_TYPE),
              S_IFREG_TYPE | 0777);
}

TEST_F(PrepareMode, OnlyWhatIsAllowedIsLeft)
{
    EXPECT_EQ(vfs_prepare_mode(d_inode(root), 0107755, 01777, 0), 01755);
}

TEST_F(PrepareMode, OutsidersMakeNoFilesThatLendTheDirectorysGroup)
{
    inode *dir = d_inode(root);
    WRITE_ONCE(dir->i_gid, GROUP);
    WRITE_ONCE(dir->i_mode, static_cast<umode_t>(S_IFDIR_TYPE | 02777));
    {
        acting_as outsider(SOMEBODY, OTHER_GROUP);
        EXPECT_EQ(mode_strip_sgid(dir, S_IFREG_TYPE | 02755), S_IFREG_TYPE | 0755);
        EXPECT_EQ(mode_strip_sgid(dir, S_IFREG_TYPE | 02745), S_IFREG_TYPE | 02745)
            << "nothing is lent";
        EXPECT_EQ(mode_strip_sgid(dir, S_IFDIR_TYPE | 02755), S_IFDIR_TYPE | 02755);
        WRITE_ONCE(dir->i_mode, static_cast<umode_t>(S_IFDIR_TYPE | 0777));
        EXPECT_EQ(mode_strip_sgid(dir, S_IFREG_TYPE | 02755), S_IFREG_TYPE | 02755)
            << "the group is the maker's own";
        WRITE_ONCE(dir->i_mode, static_cast<umode_t>(S_IFDIR_TYPE | 02777));
    }
    {
        acting_as member(SOMEBODY, OTHER_GROUP, {GROUP});
        EXPECT_EQ(mode_strip_sgid(dir, S_IFREG_TYPE | 02755), S_IFREG_TYPE | 02755);
    }
    acting_as privileged(SOMEBODY, OTHER_GROUP, {}, {CAP_FSETID});
    EXPECT_EQ(mode_strip_sgid(dir, S_IFREG_TYPE | 02755), S_IFREG_TYPE | 02755);
}

// --- Reading ---

TEST_F(Getattr, TellsWhatTheInodeKnows)
{
    const path where = {nullptr, dentry_.get()};
    kstat stat = {};

    set_nlink(file, 3);
    WRITE_ONCE(file->i_size, 17);
    file->i_rdev = 5;
    EXPECT_EQ(vfs_getattr(&where, &stat), 0);
    EXPECT_EQ(stat.ino, file->i_ino);
    EXPECT_EQ(stat.mode, S_IFREG_TYPE | 0644);
    EXPECT_EQ(stat.nlink, 3u);
    EXPECT_EQ(stat.uid, OWNER);
    EXPECT_EQ(stat.gid, GROUP);
    EXPECT_EQ(stat.rdev, 5u);
    EXPECT_EQ(stat.size, 17);
}

int own_getattr(const path *, kstat *stat)
{
    stat->size = 99;
    return -EIO;
}

TEST_F(Getattr, AsksTheFileSystemThatKnowsBetter)
{
    static constexpr inode_operations operations = {.getattr = own_getattr};
    const path where = {nullptr, dentry_.get()};
    kstat stat = {};

    file->i_op = &operations;
    EXPECT_EQ(vfs_getattr(&where, &stat), -EIO);
    EXPECT_EQ(stat.size, 99);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
