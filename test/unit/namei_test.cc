// SPDX-License-Identifier: GPL-2.0-only
//
// From names to dentries: checking and hashing a component, asking the cache, asking the file
// system, walking a path.
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::ElementsAre;
using ::testing::IsEmpty;

using LookupNopermCommon = vfs_fixture;

dentry *error_dentry(int error)
{
    return ERR_PTR(error);
}

/// A file system whose root has the names that the test puts into `disk`.
class disk_fixture : public vfs_fixture
{
  protected:
    void SetUp() override
    {
        vfs_fixture::SetUp();
        on_lookup = [this](inode *dir, dentry *dentry, unsigned flags) {
            return look_on_disk(dir, dentry, flags);
        };
    }

    dentry *look_on_disk(inode *, dentry *dentry, unsigned)
    {
        std::string name = name_of(dentry);

        asked.push_back(name);
        if (name.size() > NAME_MAX_LENGTH)
            return ERR_PTR(-ENAMETOOLONG);
        return d_splice_alias(disk.count(name) ? disk[name]() : nullptr, dentry);
    }

    void put_file(const std::string &name)
    {
        disk[name] = [this] { return file_inode(); };
    }

    dentry_ref slow(dentry *dir, std::string_view text, unsigned flags = 0)
    {
        qstr name = name_below(dir, text);
        return adopt_dentry(lookup_slow(&name, dir, flags));
    }

    dentry_ref unlocked(dentry *dir, std::string_view text)
    {
        qstr name = make_qstr(text.data(), static_cast<u32>(text.size()));
        return adopt_dentry(lookup_noperm_unlocked(&name, dir));
    }

    dentry_ref exclusive(dentry *dir, std::string_view text, unsigned flags = 0)
    {
        qstr name = name_below(dir, text);

        inode_lock(d_inode(dir));
        dentry_ref found = adopt_dentry(lookup_one_qstr_excl(&name, dir, flags));
        inode_unlock(d_inode(dir));
        return found;
    }

    static int error_of(const dentry_ref &found)
    {
        return IS_ERR(found.get()) ? PTR_ERR(found.get()) : 0;
    }

    std::map<std::string, std::function<inode *()>> disk;
    std::vector<std::string> asked;
};

using LookupSlow = disk_fixture;
using LookupNopermUnlocked = disk_fixture;
using LookupOneQstrExcl = disk_fixture;
using Revalidate = disk_fixture;

// --- lookup_noperm_common() ---

TEST_F(LookupNopermCommon, HashesAnOrdinaryName)
{
    for (std::string_view text : {std::string_view("name"), std::string_view("..."),
                                  std::string_view(".hidden"), std::string_view(long_name)}) {
        qstr name = make_qstr(text.data(), static_cast<u32>(text.size()));
        EXPECT_EQ(lookup_noperm_common(&name, root), 0) << text;
        EXPECT_EQ(name.hash, name_below(root, text).hash);
    }
}

TEST_F(LookupNopermCommon, RefusesWhatIsNotANameOfAnEntry)
{
    for (std::string_view text :
         {std::string_view(""), std::string_view("."), std::string_view(".."),
          std::string_view("a/b"), std::string_view("/"), std::string_view("a\0b", 3)}) {
        qstr name = make_qstr(text.data(), static_cast<u32>(text.size()));
        EXPECT_EQ(lookup_noperm_common(&name, root), -EACCES) << text;
    }
}

TEST_F(LookupNopermCommon, TheFileSystemHashesWhereItWants)
{
    callbacks.hash = hash_by_length;
    set_default_d_op(sb, callbacks.table());
    dentry_ref directory = make_directory(root, "d");
    qstr name = make_qstr("name", 4);

    EXPECT_EQ(lookup_noperm_common(&name, directory.get()), 0);
    EXPECT_EQ(name.hash, 4u);
}

TEST_F(LookupNopermCommon, TheFileSystemMayRefuseAName)
{
    callbacks.hash = [](const dentry *, qstr *name) { return name->len > 5 ? -EILSEQ : 0; };
    set_default_d_op(sb, callbacks.table());
    dentry_ref directory = make_directory(root, "d");
    qstr name = make_qstr("too long", 8);

    EXPECT_EQ(lookup_noperm_common(&name, directory.get()), -EILSEQ);
}

// --- lookup_slow(), __lookup_slow() ---

TEST_F(LookupSlow, AsksTheFileSystemAndCachesTheAnswer)
{
    put_file("file");
    counter_change lookups(FS_LOOKUPS);

    dentry_ref found = slow(root, "file");
    EXPECT_TRUE(d_is_reg(found.get()));
    EXPECT_EQ(d_count(found.get()), 1);
    EXPECT_EQ(cached(root, "file"), found);
    EXPECT_EQ(lookups.value(), 1);
}

TEST_F(LookupSlow, AMissIsANegativeDentry)
{
    dentry_ref found = slow(root, "absent");

    EXPECT_TRUE(d_is_negative(found.get()));
    EXPECT_EQ(cached(root, "absent"), found);
}

TEST_F(LookupSlow, TheFileSystemGetsAnInLookupDentryUnderTheSharedLock)
{
    unsigned seen_flags = 0;
    on_lookup = [&](inode *dir, dentry *dentry, unsigned flags) {
        seen_flags = flags;
        EXPECT_EQ(dir, d_inode(root));
        EXPECT_TRUE(d_in_lookup(dentry));
        EXPECT_EQ(parent_of(dentry), root);
        EXPECT_TRUE(rwsem_is_locked(&dir->i_rwsem));
        EXPECT_FALSE(rwsem_is_write_locked(&dir->i_rwsem));
        return d_splice_alias(nullptr, dentry);
    };

    slow(root, "name", LOOKUP_DIRECTORY | LOOKUP_FOLLOW);
    EXPECT_EQ(seen_flags, unsigned{LOOKUP_DIRECTORY | LOOKUP_FOLLOW | LOOKUP_SHARED});
    EXPECT_FALSE(rwsem_is_locked(&d_inode(root)->i_rwsem));
}

TEST_F(LookupSlow, WhatIsCachedByNowIsNotAskedForAgain)
{
    dentry_ref file = make_file(root, "file");

    EXPECT_EQ(slow(root, "file"), file);
    EXPECT_THAT(asked, IsEmpty());
}

TEST_F(LookupSlow, InARemovedDirectoryThereIsNothing)
{
    d_inode(root)->i_flags |= S_DEAD;
    EXPECT_EQ(error_of(slow(root, "name")), -ENOENT);
    EXPECT_THAT(asked, IsEmpty());
    EXPECT_FALSE(rwsem_is_locked(&d_inode(root)->i_rwsem));
}

TEST_F(LookupSlow, AFailureLeavesNothingInTheCache)
{
    counter_change existing(NR_DENTRY);
    on_lookup = [](inode *, dentry *, unsigned) { return error_dentry(-EIO); };

    EXPECT_EQ(error_of(slow(root, "name")), -EIO);
    EXPECT_EQ(existing.value(), 0);
    EXPECT_FALSE(is_cached(root, "name"));
    EXPECT_FALSE(rwsem_is_locked(&d_inode(root)->i_rwsem));
}

TEST_F(LookupSlow, AfterAFailureTheNextCallerAsksAgain)
{
    put_file("file");
    auto good = on_lookup;
    on_lookup = [](inode *, dentry *, unsigned) { return error_dentry(-EIO); };
    EXPECT_EQ(error_of(slow(root, "file")), -EIO);

    on_lookup = good;
    EXPECT_TRUE(d_is_reg(slow(root, "file").get()));
}

TEST_F(LookupSlow, AnotherDentryFromTheFileSystemReplacesTheOneAskedWith)
{
    inode *inode = directory_inode();
    dentry_ref alias = adopt_dentry(d_obtain_alias(inode));
    counter_change existing(NR_DENTRY);
    disk["d"] = [&] {
        ihold(inode);
        return inode;
    };

    dentry_ref found = slow(root, "d");
    EXPECT_EQ(found, alias);
    EXPECT_EQ(d_count(alias.get()), 2);
    EXPECT_EQ(cached(root, "d"), alias);
    EXPECT_EQ(existing.value(), 0);
}

// As NFS does for exclusive creation: the name is left open.
TEST_F(LookupSlow, TheFileSystemMayLeaveTheDentryUnhashed)
{
    on_lookup = [](inode *, dentry *, unsigned) { return static_cast<dentry *>(nullptr); };

    dentry_ref found = slow(root, "name");
    EXPECT_TRUE(d_unhashed(found.get()));
    EXPECT_FALSE(d_in_lookup(found.get()));
    EXPECT_TRUE(d_is_negative(found.get()));
}

TEST_F(LookupSlow, WithoutMemoryItFails)
{
    qstr name = name_below(root, "name");

    kmem_fail_nth(1);
    EXPECT_EQ(PTR_ERR(lookup_slow(&name, root, 0)), -ENOMEM);
    EXPECT_THAT(asked, IsEmpty());
}

TEST_F(LookupSlow, TheInnerFormLeavesTheLockToItsCaller)
{
    put_file("file");
    qstr name = name_below(root, "file");

    inode_lock(d_inode(root));
    dentry_ref found = adopt_dentry(__lookup_slow(&name, root, 0));
    EXPECT_TRUE(rwsem_is_write_locked(&d_inode(root)->i_rwsem));
    inode_unlock(d_inode(root));
    EXPECT_TRUE(d_is_reg(found.get()));
}

// --- lookup_noperm_unlocked() ---

TEST_F(LookupNopermUnlocked, ACachedNameIsNotAskedFor)
{
    dentry_ref file = make_file(root, "file");
    dentry_ref absent = make_negative(root, "absent");
    counter_change allocated(DENTRIES_ALLOCATED);

    EXPECT_EQ(unlocked(root, "file"), file);
    EXPECT_EQ(unlocked(root, "absent"), absent);
    EXPECT_THAT(asked, IsEmpty());
    EXPECT_EQ(allocated.value(), 0);
}

TEST_F(LookupNopermUnlocked, AnUnknownNameIs)
{
    put_file("file");

    EXPECT_TRUE(d_is_reg(unlocked(root, "file").get()));
    EXPECT_TRUE(d_is_negative(unlocked(root, "absent").get()));
    unlocked(root, "file");
    unlocked(root, "absent");
    EXPECT_THAT(asked, ElementsAre("file", "absent"));
}

TEST_F(LookupNopermUnlocked, BadNamesAreRefusedBeforehand)
{
    EXPECT_EQ(error_of(unlocked(root, "..")), -EACCES);
    EXPECT_EQ(error_of(unlocked(root, "a/b")), -EACCES);
    EXPECT_THAT(asked, IsEmpty());
}

TEST_F(LookupNopermUnlocked, TooLongANameIsForTheFileSystemToRefuse)
{
    EXPECT_EQ(error_of(unlocked(root, std::string(256, 'n'))), -ENAMETOOLONG);
    EXPECT_EQ(asked.size(), 1u);
}

// --- Revalidation of cached entries ---

TEST_F(Revalidate, GetsTheDirectoryTheNameAndTheFlags)
{
    std::string seen;
    unsigned seen_flags = 0;
    callbacks.revalidate = [&](inode *dir, const qstr *name, dentry *dentry, unsigned flags) {
        EXPECT_EQ(dir, d_inode(root));
        EXPECT_EQ(name_of(dentry), text_of(*name));
        seen = text_of(*name);
        seen_flags = flags;
        return 1;
    };
    set_default_d_op(sb, callbacks.table());
    dentry_ref file = make_file(root, "file");

    EXPECT_EQ(exclusive(root, "file", LOOKUP_CREATE), file);
    EXPECT_EQ(seen, "file");
    EXPECT_EQ(seen_flags, unsigned{LOOKUP_CREATE});
}

TEST_F(Revalidate, AStaleEntryIsInvalidatedAndTheFileSystemAsked)
{
    callbacks.revalidate = [](inode *, const qstr *, dentry *, unsigned) { return 0; };
    set_default_d_op(sb, callbacks.table());
    put_file("file");
    dentry_ref stale = make_file(root, "file");

    dentry_ref found = unlocked(root, "file");
    EXPECT_NE(found, stale);
    EXPECT_TRUE(d_unhashed(stale.get()));
    EXPECT_EQ(d_count(stale.get()), 1);
    EXPECT_THAT(asked, ElementsAre("file"));
}

TEST_F(Revalidate, AStaleDirectoryLosesItsUnusedChildren)
{
    callbacks.revalidate = [](inode *, const qstr *, dentry *, unsigned) { return 0; };
    set_default_d_op(sb, callbacks.table());
    dentry_ref stale = make_directory(root, "d");
    leave_file(stale.get(), "child");

    unlocked(root, "d");
    EXPECT_TRUE(hlist_empty(&stale->d_children));
}

TEST_F(Revalidate, AnErrorIsTheAnswerAndTheEntryStays)
{
    callbacks.revalidate = [](inode *, const qstr *, dentry *, unsigned) { return -EIO; };
    set_default_d_op(sb, callbacks.table());
    dentry_ref file = make_file(root, "file");

    EXPECT_EQ(error_of(unlocked(root, "file")), -EIO);
    EXPECT_EQ(error_of(slow(root, "file")), -EIO);
    EXPECT_EQ(error_of(exclusive(root, "file")), -EIO);
    EXPECT_FALSE(d_unhashed(file.get()));
    EXPECT_EQ(d_count(file.get()), 1);
    EXPECT_THAT(asked, IsEmpty());
}

// Between the search of the cache and d_alloc_parallel() somebody may have added a stale entry.
TEST_F(Revalidate, UnderTheLockAStaleEntryMeansOnceMore)
{
    int asked_about = 0;
    callbacks.revalidate = [&](inode *, const qstr *, dentry *, unsigned) {
        asked_about++;
        return 0;
    };
    set_default_d_op(sb, callbacks.table());
    put_file("file");
    dentry_ref stale = make_file(root, "file");

    dentry_ref found = slow(root, "file");
    EXPECT_NE(found, stale);
    EXPECT_TRUE(d_unhashed(stale.get()));
    EXPECT_EQ(cached(root, "file"), found);
    EXPECT_EQ(asked_about, 1);
}

TEST_F(Revalidate, WhatTheFileSystemJustAnsweredIsNotRevalidated)
{
    int asked_about = 0;
    callbacks.revalidate = [&](inode *, const qstr *, dentry *, unsigned) {
        asked_about++;
        return 1;
    };
    set_default_d_op(sb, callbacks.table());
    put_file("file");

    slow(root, "file");
    EXPECT_EQ(asked_about, 0);
}

// --- lookup_one_qstr_excl() ---

TEST_F(LookupOneQstrExcl, ACachedNameIsNotAskedFor)
{
    dentry_ref file = make_file(root, "file");

    EXPECT_EQ(exclusive(root, "file"), file);
    EXPECT_THAT(asked, IsEmpty());
}

// Nobody else can be looking anything up in here, so a plain dentry is enough.
TEST_F(LookupOneQstrExcl, AnUnknownNameIsAskedForWithAPlainDentry)
{
    counter_change lookups(FS_LOOKUPS);
    unsigned before = directory_sequence(root);
    on_lookup = [&](inode *dir, dentry *dentry, unsigned flags) {
        EXPECT_FALSE(d_in_lookup(dentry));
        EXPECT_TRUE(d_unhashed(dentry));
        EXPECT_TRUE(rwsem_is_write_locked(&dir->i_rwsem));
        EXPECT_EQ(flags, unsigned{LOOKUP_CREATE | LOOKUP_EXCL});
        return d_splice_alias(nullptr, dentry);
    };

    dentry_ref found = exclusive(root, "absent", LOOKUP_CREATE | LOOKUP_EXCL);
    EXPECT_TRUE(d_is_negative(found.get()));
    EXPECT_EQ(cached(root, "absent"), found);
    EXPECT_EQ(lookups.value(), 1);
    EXPECT_EQ(directory_sequence(root), before);
}

TEST_F(LookupOneQstrExcl, InARemovedDirectoryOnlyTheCacheAnswers)
{
    dentry_ref file = make_file(root, "file");
    d_inode(root)->i_flags |= S_DEAD;

    EXPECT_EQ(exclusive(root, "file"), file);
    EXPECT_EQ(error_of(exclusive(root, "other")), -ENOENT);
    EXPECT_THAT(asked, IsEmpty());
}

TEST_F(LookupOneQstrExcl, AFailureLeavesNothing)
{
    counter_change existing(NR_DENTRY);
    on_lookup = [](inode *, dentry *, unsigned) { return error_dentry(-EIO); };

    EXPECT_EQ(error_of(exclusive(root, "name")), -EIO);
    EXPECT_EQ(existing.value(), 0);
}

TEST_F(LookupOneQstrExcl, AnotherDentryReplacesTheOneAskedWith)
{
    inode *inode = directory_inode();
    dentry_ref alias = adopt_dentry(d_obtain_alias(inode));
    counter_change existing(NR_DENTRY);
    disk["d"] = [&] {
        ihold(inode);
        return inode;
    };

    EXPECT_EQ(exclusive(root, "d"), alias);
    EXPECT_EQ(existing.value(), 0);
}

TEST_F(LookupOneQstrExcl, WithoutMemoryItFails)
{
    qstr name = name_below(root, "name");

    inode_lock(d_inode(root));
    kmem_fail_nth(1);
    EXPECT_EQ(PTR_ERR(lookup_one_qstr_excl(&name, root, 0)), -ENOMEM);
    inode_unlock(d_inode(root));
    EXPECT_THAT(asked, IsEmpty());
}

// --- lookup_path() ---

class LookupPath : public disk_fixture
{
  protected:
    void SetUp() override
    {
        disk_fixture::SetUp();
        a = make_directory(root, "a");
        b = make_directory(a.get(), "b");
        file = make_file(b.get(), "file");
    }
    void TearDown() override
    {
        a.reset();
        b.reset();
        file.reset();
        disk_fixture::TearDown();
    }

    static dentry_ref walk(dentry *start, std::string_view path)
    {
        return adopt_dentry(lookup_path(start, path.data(), path.size()));
    }

    dentry_ref a, b, file;
};

TEST_F(LookupPath, GoesFromComponentToComponent)
{
    EXPECT_EQ(walk(root, "a"), a);
    EXPECT_EQ(walk(root, "a/b"), b);
    EXPECT_EQ(walk(root, "a/b/file"), file);
    EXPECT_EQ(walk(a.get(), "b/file"), file);
}

TEST_F(LookupPath, AnAbsolutePathStartsAtTheRootOfTheFileSystem)
{
    EXPECT_EQ(walk(b.get(), "/a"), a);
    EXPECT_EQ(walk(b.get(), "/").get(), root);
    EXPECT_EQ(walk(b.get(), "///a//b"), b);
}

TEST_F(LookupPath, SlashesMayBeRepeated)
{
    EXPECT_EQ(walk(root, "a///b//file"), file);
    EXPECT_EQ(walk(root, "a/b//"), b);
}

TEST_F(LookupPath, DotStaysAndDotDotGoesUp)
{
    EXPECT_EQ(walk(root, "."), root);
    EXPECT_EQ(walk(root, "./a/./b/."), b);
    EXPECT_EQ(walk(b.get(), ".."), a);
    EXPECT_EQ(walk(root, "a/b/../b/file"), file);
    EXPECT_EQ(walk(root, "../../a"), a);
}

TEST_F(LookupPath, AnUnknownComponentIsAskedFor)
{
    put_file("found");

    EXPECT_TRUE(d_is_reg(walk(root, "a/found").get()));
    EXPECT_THAT(asked, ElementsAre("found"));
}

TEST_F(LookupPath, AMissAnywhereIsNoEntry)
{
    EXPECT_EQ(error_of(walk(root, "absent")), -ENOENT);
    EXPECT_EQ(error_of(walk(root, "absent/b/file")), -ENOENT);
    EXPECT_EQ(error_of(walk(root, "a/absent/..")), -ENOENT);
    EXPECT_TRUE(is_cached(root, "absent"));
}

TEST_F(LookupPath, AnEmptyPathIsNoEntry)
{
    EXPECT_EQ(error_of(walk(root, "")), -ENOENT);
}

TEST_F(LookupPath, WhatIsNoDirectoryHasNothingBelow)
{
    dentry_ref symlink = make_symlink(root, "symlink");

    EXPECT_EQ(error_of(walk(root, "a/b/file/x")), -ENOTDIR);
    EXPECT_EQ(error_of(walk(root, "a/b/file/..")), -ENOTDIR);
    EXPECT_EQ(error_of(walk(root, "a/b/file/.")), -ENOTDIR);
    EXPECT_EQ(error_of(walk(file.get(), "x")), -ENOTDIR);
    EXPECT_EQ(error_of(walk(root, "symlink/x")), -ENOTDIR);
    EXPECT_EQ(walk(root, "symlink"), symlink);
}

TEST_F(LookupPath, ATrailingSlashAsksForADirectory)
{
    EXPECT_EQ(walk(root, "a/b/"), b);
    EXPECT_EQ(error_of(walk(root, "a/b/file/")), -ENOTDIR);
    EXPECT_EQ(error_of(walk(root, "a/b/absent/")), -ENOENT);
}

TEST_F(LookupPath, PathsHaveALongestLength)
{
    std::string longest = "/" + std::string(4091, '/') + "a/b";
    ASSERT_EQ(longest.size(), 4095u);

    EXPECT_EQ(walk(root, longest), b);
    EXPECT_EQ(error_of(walk(root, longest + "/")), -ENAMETOOLONG);
}

TEST_F(LookupPath, AComponentTooLongIsRefused)
{
    EXPECT_EQ(error_of(walk(root, "a/" + std::string(255, 'n'))), -ENOENT);
    EXPECT_EQ(error_of(walk(root, "a/" + std::string(256, 'n'))), -ENAMETOOLONG);
}

TEST_F(LookupPath, ANulInThePathIsInvalid)
{
    EXPECT_EQ(error_of(walk(root, std::string_view("a\0b", 3))), -EINVAL);
}

TEST_F(LookupPath, AnErrorOfTheFileSystemIsTheAnswer)
{
    on_lookup = [](inode *, dentry *, unsigned) { return error_dentry(-EIO); };
    EXPECT_EQ(error_of(walk(root, "a/b/c/d")), -EIO);
}

TEST_F(LookupPath, OnlyTheLastComponentIsReferenced)
{
    int on_root = d_count(root), on_a = d_count(a.get()), on_b = d_count(b.get());

    dentry_ref found = walk(root, "a/b/file");
    EXPECT_EQ(d_count(root), on_root);
    EXPECT_EQ(d_count(a.get()), on_a);
    EXPECT_EQ(d_count(b.get()), on_b);
    EXPECT_EQ(d_count(file.get()), 2);
}

TEST_F(LookupPath, AFailureLeavesNoReference)
{
    int on_root = d_count(root), on_a = d_count(a.get()), on_b = d_count(b.get());

    for (const char *path : {"a/b/file/x", "a/b/file/", "a/../absent", "a/b/../../absent"})
        EXPECT_NE(error_of(walk(root, path)), 0) << path;
    prune_everything();
    EXPECT_EQ(d_count(root), on_root);
    EXPECT_EQ(d_count(a.get()), on_a);
    EXPECT_EQ(d_count(b.get()), on_b);
    EXPECT_EQ(d_count(file.get()), 1);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
