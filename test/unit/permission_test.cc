// SPDX-License-Identifier: GPL-2.0-only
//
// Who may do what: mode bits, groups, capabilities, sticky directories, sources of hard links; and
// that an RCU walk that asks changes nothing.
#include <gtest/gtest.h>

#include "acting_as.h"
#include "namei_internal.h"
#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

constexpr kuid_t OWNER = 1000, SOMEBODY = 2000;
constexpr kgid_t GROUP = 100, OTHER_GROUP = 200;
constexpr unsigned RWX = MAY_READ | MAY_WRITE | MAY_EXEC;

class permission_fixture : public vfs_fixture
{
  protected:
    void SetUp() override
    {
        vfs_fixture::SetUp();
        file_ = make_file(root, "file");
        directory_ = make_directory(root, "directory");
        file = owned(file_, 0);
        directory = owned(directory_, 0);
    }
    void TearDown() override
    {
        file_.reset();
        directory_.reset();
        vfs_fixture::TearDown();
    }

    static inode *owned(const dentry_ref &dentry, unsigned permissions)
    {
        inode *inode = d_inode(dentry.get());

        WRITE_ONCE(inode->i_uid, OWNER);
        WRITE_ONCE(inode->i_gid, GROUP);
        set_permissions(inode, permissions);
        return inode;
    }
    static void set_permissions(inode *inode, unsigned permissions)
    {
        unsigned type = READ_ONCE(inode->i_mode) & S_IFMT_MASK;
        WRITE_ONCE(inode->i_mode, static_cast<umode_t>(type | permissions));
    }
    path path_of(const dentry_ref &dentry) const
    {
        return {nullptr, dentry.get()};
    }

    inode *file, *directory;
    dentry_ref file_, directory_;
};

using GenericPermission = permission_fixture;
using InodePermission = permission_fixture;
using CheckSticky = permission_fixture;
using MayLinkat = permission_fixture;

// --- generic_permission() ---

/// Every mode and every request, against the three digits of the mode.
void expect_digit(inode *inode, unsigned shift)
{
    const unsigned type = READ_ONCE(inode->i_mode) & S_IFMT_MASK;

    for (unsigned permissions = 0; permissions <= 0777; permissions++) {
        WRITE_ONCE(inode->i_mode, static_cast<umode_t>(type | permissions));
        for (unsigned mask = 0; mask <= RWX; mask++) {
            const bool granted = ((permissions >> shift) & mask) == mask;
            ASSERT_EQ(generic_permission(inode, mask), granted ? 0 : -EACCES)
                << std::oct << permissions << " " << mask;
        }
    }
}

TEST_F(GenericPermission, TheOwnerHasTheFirstDigitAndNoOther)
{
    acting_as owner(OWNER, GROUP);
    expect_digit(file, 6);
    expect_digit(directory, 6);
}

TEST_F(GenericPermission, TheGroupHasTheSecondDigitAndNoOther)
{
    acting_as member(SOMEBODY, GROUP);
    expect_digit(file, 3);
    expect_digit(directory, 3);
}

TEST_F(GenericPermission, SupplementaryGroupsCount)
{
    acting_as member(SOMEBODY, OTHER_GROUP, {1, 2, GROUP});
    expect_digit(file, 3);
}

TEST_F(GenericPermission, OthersHaveTheThirdDigit)
{
    acting_as other(SOMEBODY, OTHER_GROUP, {1, 2});
    expect_digit(file, 0);
    expect_digit(directory, 0);
}

TEST_F(GenericPermission, RequestsBeyondTheThreeRightsNeedNone)
{
    acting_as other(SOMEBODY, OTHER_GROUP);
    set_permissions(file, 0004);
    EXPECT_EQ(generic_permission(file, MAY_READ | MAY_OPEN | MAY_ACCESS | MAY_NOT_BLOCK), 0);
    EXPECT_EQ(generic_permission(file, MAY_OPEN), 0);
}

TEST_F(GenericPermission, WhoMaySearchReadsEverythingAndEntersDirectories)
{
    acting_as searcher(SOMEBODY, OTHER_GROUP, {}, {CAP_DAC_READ_SEARCH});
    EXPECT_EQ(generic_permission(file, MAY_READ), 0);
    EXPECT_EQ(generic_permission(file, MAY_EXEC), -EACCES);
    EXPECT_EQ(generic_permission(file, MAY_READ | MAY_WRITE), -EACCES);
    EXPECT_EQ(generic_permission(directory, MAY_READ | MAY_EXEC), 0);
    EXPECT_EQ(generic_permission(directory, MAY_WRITE), -EACCES);
}

TEST_F(GenericPermission, WhoMayOverrideNeedsSomebodysPermissionToExecute)
{
    acting_as overrider(SOMEBODY, OTHER_GROUP, {}, {CAP_DAC_OVERRIDE});
    EXPECT_EQ(generic_permission(file, MAY_READ | MAY_WRITE), 0);
    EXPECT_EQ(generic_permission(file, MAY_EXEC), -EACCES);
    EXPECT_EQ(generic_permission(directory, RWX), 0);
    for (unsigned execute : {0100u, 0010u, 0001u}) {
        set_permissions(file, execute);
        EXPECT_EQ(generic_permission(file, RWX), 0) << execute;
    }
}

// --- inode_permission() ---

int asked_mask;
int own_answer;

int own_permission(inode *, unsigned mask)
{
    asked_mask = static_cast<int>(mask);
    return own_answer;
}

constexpr inode_operations with_permission = {.permission = own_permission};

TEST_F(InodePermission, AsksTheFileSystemThatHasAnOpinion)
{
    acting_as other(SOMEBODY, OTHER_GROUP);
    file->i_op = &with_permission;
    own_answer = 0;
    EXPECT_EQ(inode_permission(file, MAY_WRITE | MAY_NOT_BLOCK), 0);
    EXPECT_EQ(asked_mask, MAY_WRITE | MAY_NOT_BLOCK);
    own_answer = -ECHILD;
    EXPECT_EQ(inode_permission(file, MAY_READ | MAY_NOT_BLOCK), -ECHILD);
    EXPECT_FALSE(READ_ONCE(file->i_opflags) & IOP_FASTPERM);
}

TEST_F(InodePermission, NotesOnceThatThereIsNothingToAsk)
{
    acting_as owner(OWNER, GROUP);
    set_permissions(file, 0400);
    EXPECT_EQ(inode_permission(file, MAY_READ), 0);
    EXPECT_TRUE(READ_ONCE(file->i_opflags) & IOP_FASTPERM);
    EXPECT_EQ(inode_permission(file, MAY_READ), 0);
    EXPECT_EQ(inode_permission(file, MAY_WRITE), -EACCES);
}

TEST_F(InodePermission, AnRcuWalkAsksWithoutStoringAnything)
{
    acting_as owner(OWNER, GROUP);
    const unsigned flags = READ_ONCE(directory->i_opflags);
    set_permissions(directory, 0100);

    EXPECT_EQ(inode_permission(directory, MAY_EXEC | MAY_NOT_BLOCK), 0);
    EXPECT_EQ(inode_permission(directory, MAY_WRITE | MAY_NOT_BLOCK), -EACCES);
    EXPECT_EQ(READ_ONCE(directory->i_opflags), flags);
}

// --- check_sticky() ---

TEST_F(CheckSticky, ConcernsStickyDirectoriesAlone)
{
    acting_as other(SOMEBODY, OTHER_GROUP);
    set_permissions(directory, 0777);
    EXPECT_FALSE(check_sticky(directory, file));
    set_permissions(directory, 01777);
    EXPECT_TRUE(check_sticky(directory, file));
}

TEST_F(CheckSticky, LetsOwnersAndThePrivilegedThrough)
{
    set_permissions(directory, 01777);
    {
        acting_as owner(OWNER, OTHER_GROUP);
        EXPECT_FALSE(check_sticky(directory, file));
        WRITE_ONCE(directory->i_uid, SOMEBODY);
        EXPECT_FALSE(check_sticky(directory, file)) << "the file is its owner's";
        WRITE_ONCE(directory->i_uid, OWNER);
        WRITE_ONCE(file->i_uid, SOMEBODY);
        EXPECT_FALSE(check_sticky(directory, file)) << "the directory is its owner's";
    }
    acting_as privileged(3000, OTHER_GROUP, {}, {CAP_FOWNER});
    EXPECT_FALSE(check_sticky(directory, file));
}

// --- may_linkat() ---

TEST_F(MayLinkat, OwnersLinkAnythingOfTheirs)
{
    acting_as owner(OWNER, GROUP);
    const path link = path_of(file_);
    set_permissions(file, 06777);
    EXPECT_EQ(may_linkat(&link), 0);
    set_permissions(file, 0);
    EXPECT_EQ(may_linkat(&link), 0);
}

TEST_F(MayLinkat, OthersLinkWhatTheyMayReadAndWrite)
{
    acting_as other(SOMEBODY, OTHER_GROUP);
    const path link = path_of(file_);
    for (unsigned permissions : {0666u, 0777u, 02666u, 0006u}) {
        set_permissions(file, permissions);
        EXPECT_EQ(may_linkat(&link), 0) << std::oct << permissions;
    }
    for (unsigned permissions : {0664u, 0662u, 04666u, 02676u}) {
        set_permissions(file, permissions);
        EXPECT_EQ(may_linkat(&link), -EPERM) << std::oct << permissions;
    }
}

TEST_F(MayLinkat, OthersDoNotLinkWhatIsNoRegularFile)
{
    dentry_ref link = make_symlink(root, "link");
    const path source = path_of(link);
    {
        acting_as other(SOMEBODY, OTHER_GROUP);
        EXPECT_EQ(may_linkat(&source), -EPERM);
    }
    acting_as privileged(SOMEBODY, OTHER_GROUP, {}, {CAP_FOWNER});
    EXPECT_EQ(may_linkat(&source), 0);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
