// SPDX-License-Identifier: GPL-2.0-only
//
// start_creating() and its family: what they lock, find and refuse, and that their ends put
// everything back.
#include <string_view>

#include <gtest/gtest.h>

#include "acting_as.h"
#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

class names_fixture : public vfs_fixture
{
  protected:
    void SetUp() override
    {
        vfs_fixture::SetUp();
        dir = make_directory(root, "dir");
        other = make_directory(root, "other");
        file = make_file(dir.get(), "file");
    }
    void TearDown() override
    {
        file.reset();
        other.reset();
        dir.reset();
        vfs_fixture::TearDown();
    }

    static bool locked(const dentry_ref &directory)
    {
        return rwsem_is_write_locked(&d_inode(directory.get())->i_rwsem);
    }
    void expect_unlocked() const
    {
        EXPECT_FALSE(locked(dir));
        EXPECT_FALSE(locked(other));
        EXPECT_FALSE(mutex_is_locked(&sb->s_vfs_rename_mutex));
    }

    /// The error of a start; one that succeeded is ended.
    static int error_of(dentry *started)
    {
        int error = IS_ERR(started) ? PTR_ERR(started) : 0;
        end_dirop(started);
        return error;
    }
    /// start(parent, name) by text.
    template <typename Start>
    static dentry *start_at(Start start, const dentry_ref &parent, std::string_view text)
    {
        qstr name = make_qstr(text.data(), static_cast<u32>(text.size()));
        return start(parent.get(), &name);
    }
    int renaming(renamedata *rd, std::string_view old_name, std::string_view new_name)
    {
        qstr old_last = make_qstr(old_name.data(), static_cast<u32>(old_name.size()));
        qstr new_last = make_qstr(new_name.data(), static_cast<u32>(new_name.size()));
        return start_renaming(rd, 0, &old_last, &new_last);
    }
    int renaming_dentry(renamedata *rd, dentry *old_dentry, std::string_view new_name)
    {
        qstr new_last = make_qstr(new_name.data(), static_cast<u32>(new_name.size()));
        return start_renaming_dentry(rd, 0, old_dentry, &new_last);
    }

    dentry_ref dir, other, file;
};

using StartCreating = names_fixture;
using StartRemoving = names_fixture;
using StartDentry = names_fixture;
using StartRenaming = names_fixture;

TEST_F(StartCreating, FindsANegativeAndKeepsTheParentLocked)
{
    dentry *fresh = start_at(start_creating, dir, "fresh");

    ASSERT_FALSE(IS_ERR(fresh));
    EXPECT_TRUE(d_is_negative(fresh));
    EXPECT_EQ(parent_of(fresh), dir.get());
    EXPECT_TRUE(locked(dir));
    end_creating(fresh);
    expect_unlocked();
}

TEST_F(StartCreating, APositiveIsForTheCallerToJudge)
{
    const int references = d_count(file.get());
    dentry *found = start_at(start_creating, dir, "file");

    EXPECT_EQ(found, file.get());
    end_creating(found);
    EXPECT_EQ(d_count(file.get()), references);
    expect_unlocked();
}

TEST_F(StartCreating, TheReferenceCanBeKept)
{
    dentry_ref kept = adopt_dentry(end_creating_keep(start_at(start_creating, dir, "fresh")));

    expect_unlocked();
    EXPECT_EQ(d_count(kept.get()), 1);
    EXPECT_EQ(end_creating_keep(ERR_PTR(-EIO)), ERR_PTR(-EIO));
}

TEST_F(StartCreating, RefusesNamesThatCannotBe)
{
    for (std::string_view name : {"", ".", "..", "a/b"}) {
        EXPECT_EQ(error_of(start_at(start_creating, dir, name)), -EACCES) << name;
        EXPECT_EQ(error_of(start_at(start_creating_noperm, dir, name)), -EACCES) << name;
        EXPECT_EQ(error_of(start_at(start_removing, dir, name)), -EACCES) << name;
        EXPECT_EQ(error_of(start_at(start_removing_noperm, dir, name)), -EACCES) << name;
    }
    expect_unlocked();
}

TEST_F(StartCreating, WhoMayNotSearchTheParentFindsNothing)
{
    acting_as user(1000, 1000);
    WRITE_ONCE(d_inode(dir.get())->i_mode, static_cast<umode_t>(S_IFDIR_TYPE | 0666));

    EXPECT_EQ(error_of(start_at(start_creating, dir, "fresh")), -EACCES);
    EXPECT_EQ(error_of(start_at(start_removing, dir, "file")), -EACCES);
    expect_unlocked();
    end_creating(start_at(start_creating_noperm, dir, "fresh"));
    end_removing(start_at(start_removing_noperm, dir, "file"));
    expect_unlocked();
}

TEST_F(StartCreating, NothingIsMadeInARemovedDirectory)
{
    d_inode(dir.get())->i_flags |= S_DEAD;
    EXPECT_EQ(error_of(start_at(start_creating, dir, "fresh")), -ENOENT);
    expect_unlocked();
}

TEST_F(StartRemoving, FindsWhatIsThere)
{
    dentry *found = start_at(start_removing, dir, "file");

    EXPECT_EQ(found, file.get());
    EXPECT_TRUE(locked(dir));
    end_removing(found);
    expect_unlocked();
    EXPECT_EQ(error_of(start_at(start_removing, dir, "absent")), -ENOENT);
    expect_unlocked();
}

TEST_F(StartRemoving, AnErrorOrNothingEndsAsWell)
{
    end_removing(ERR_PTR(-ENOENT));
    end_creating(ERR_PTR(-EIO));
    end_dirop(nullptr);
}

TEST_F(StartDentry, TakesAReferenceOnWhatTheCallerHas)
{
    dentry_ref absent = make_negative(dir.get(), "absent");
    const int references = d_count(file.get());

    EXPECT_EQ(start_removing_dentry(dir.get(), file.get()), file.get());
    EXPECT_TRUE(locked(dir));
    EXPECT_EQ(d_count(file.get()), references + 1);
    end_removing(file.get());
    EXPECT_EQ(d_count(file.get()), references);
    EXPECT_EQ(start_creating_dentry(dir.get(), absent.get()), absent.get());
    end_creating(absent.get());
    expect_unlocked();
}

TEST_F(StartDentry, TellsWhetherItIsStillWhatItWas)
{
    dentry_ref absent = make_negative(dir.get(), "absent");

    EXPECT_EQ(error_of(start_creating_dentry(dir.get(), file.get())), -EEXIST);
    EXPECT_EQ(error_of(start_removing_dentry(dir.get(), absent.get())), -ENOENT);
    EXPECT_EQ(error_of(start_removing_dentry(other.get(), file.get())), -EINVAL) << "moved";
    d_drop(file.get());
    d_drop(absent.get());
    EXPECT_EQ(error_of(start_removing_dentry(dir.get(), file.get())), -EINVAL) << "dropped";
    EXPECT_EQ(error_of(start_creating_dentry(dir.get(), absent.get())), -EINVAL);
    expect_unlocked();
}

TEST_F(StartDentry, NothingIsStartedInARemovedDirectory)
{
    d_inode(dir.get())->i_flags |= S_DEAD;
    EXPECT_EQ(error_of(start_removing_dentry(dir.get(), file.get())), -EINVAL);
    expect_unlocked();
}

// --- Renames ---

TEST_F(StartRenaming, FindsBothNamesAndLocksBothParents)
{
    renamedata rd = {dir.get(), nullptr, other.get(), nullptr, 0};

    ASSERT_EQ(renaming(&rd, "file", "fresh"), 0);
    EXPECT_EQ(rd.old_dentry, file.get());
    EXPECT_TRUE(d_is_negative(rd.new_dentry));
    EXPECT_TRUE(locked(dir));
    EXPECT_TRUE(locked(other));
    EXPECT_TRUE(mutex_is_locked(&sb->s_vfs_rename_mutex));
    end_renaming(&rd);
    expect_unlocked();
}

TEST_F(StartRenaming, WithinOneDirectoryThereIsOneLock)
{
    renamedata rd = {dir.get(), nullptr, dir.get(), nullptr, 0};

    ASSERT_EQ(renaming(&rd, "file", "fresh"), 0);
    EXPECT_TRUE(locked(dir));
    EXPECT_FALSE(mutex_is_locked(&sb->s_vfs_rename_mutex));
    end_renaming(&rd);
    expect_unlocked();
}

TEST_F(StartRenaming, TheFlagsSayWhatTheTargetMustBe)
{
    renamedata rd = {dir.get(), nullptr, other.get(), nullptr, 0};
    dentry_ref target = make_file(other.get(), "target");

    EXPECT_EQ(renaming(&rd, "absent", "fresh"), -ENOENT);
    rd.flags = RENAME_NOREPLACE_FLAG;
    EXPECT_EQ(renaming(&rd, "file", "target"), -EEXIST);
    rd.flags = RENAME_EXCHANGE_FLAG;
    EXPECT_EQ(renaming(&rd, "file", "fresh"), -ENOENT);
    EXPECT_EQ(renaming(&rd, "file", "."), -EACCES);
    expect_unlocked();
    ASSERT_EQ(renaming(&rd, "file", "target"), 0);
    EXPECT_EQ(rd.new_dentry, target.get());
    end_renaming(&rd);
}

TEST_F(StartRenaming, ADirectoryDoesNotBecomeItsOwnAncestor)
{
    dentry_ref below = make_directory(dir.get(), "below");
    renamedata down = {root, nullptr, below.get(), nullptr, 0};
    renamedata up = {below.get(), nullptr, root, nullptr, 0};
    dentry_ref inside = make_file(below.get(), "inside");

    EXPECT_EQ(renaming(&down, "dir", "loop"), -EINVAL);
    EXPECT_EQ(renaming(&up, "inside", "dir"), -ENOTEMPTY);
    up.flags = RENAME_EXCHANGE_FLAG;
    EXPECT_EQ(renaming(&up, "inside", "dir"), -EINVAL);
    EXPECT_EQ(renaming_dentry(&down, dir.get(), "loop"), -EINVAL);
    EXPECT_EQ(start_renaming_two_dentries(&up, inside.get(), dir.get()), -EINVAL);
    expect_unlocked();
    EXPECT_EQ(d_count(inside.get()), 1) << "ours";
}

TEST_F(StartRenaming, AKnownDentryIsTakenWhereverItIs)
{
    renamedata rd = {nullptr, nullptr, other.get(), nullptr, 0};

    ASSERT_EQ(renaming_dentry(&rd, file.get(), "fresh"), 0);
    EXPECT_EQ(rd.old_parent, dir.get());
    EXPECT_EQ(rd.old_dentry, file.get());
    EXPECT_TRUE(locked(dir));
    end_renaming(&rd);

    rd = {other.get(), nullptr, other.get(), nullptr, 0};
    EXPECT_EQ(renaming_dentry(&rd, file.get(), "fresh"), -EINVAL) << "not there";
    d_drop(file.get());
    rd = {nullptr, nullptr, other.get(), nullptr, 0};
    EXPECT_EQ(renaming_dentry(&rd, file.get(), "fresh"), -EINVAL) << "dropped";
    expect_unlocked();
}

TEST_F(StartRenaming, TwoKnownDentriesAreCheckedUnderTheLocks)
{
    dentry_ref target = make_file(other.get(), "target");
    renamedata rd = {dir.get(), nullptr, other.get(), nullptr, 0};
    const int references = d_count(file.get());

    ASSERT_EQ(start_renaming_two_dentries(&rd, file.get(), target.get()), 0);
    EXPECT_EQ(d_count(file.get()), references + 1);
    end_renaming(&rd);
    EXPECT_EQ(d_count(file.get()), references);

    rd.flags = RENAME_NOREPLACE_FLAG;
    EXPECT_EQ(start_renaming_two_dentries(&rd, file.get(), target.get()), -EEXIST);
    rd = {dir.get(), nullptr, dir.get(), nullptr, 0};
    EXPECT_EQ(start_renaming_two_dentries(&rd, file.get(), target.get()), -EINVAL);
    rd = {nullptr, nullptr, other.get(), nullptr, 0};
    d_drop(target.get());
    EXPECT_EQ(start_renaming_two_dentries(&rd, file.get(), target.get()), -EINVAL);
    expect_unlocked();
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
