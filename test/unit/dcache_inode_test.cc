// SPDX-License-Identifier: GPL-2.0-only
//
// Inodes of dentries: attaching, detaching, aliases, files without a name.
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/vfs/file.h"
#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using DInstantiate = vfs_fixture;
using DInstantiateNew = vfs_fixture;
using DAdd = vfs_fixture;
using DMakeRoot = vfs_fixture;
using DMakePersistent = vfs_fixture;
using DDelete = vfs_fixture;
using DTmpfile = vfs_fixture;
using DFindAlias = vfs_fixture;
using DFindAnyAlias = vfs_fixture;
using DFindAliasRcu = vfs_fixture;
using DPruneAliases = vfs_fixture;
using DMarkDontcache = vfs_fixture;
using DObtainAlias = vfs_fixture;
using DObtainRoot = vfs_fixture;
using DgetAlias = vfs_fixture;

/// An inode reference of the test's own, so that the inode outlives its dentries.
class inode_ref
{
  public:
    explicit inode_ref(inode *inode) : inode_(inode)
    {
        ihold(inode_);
    }
    ~inode_ref()
    {
        iput(inode_);
    }
    inode_ref(const inode_ref &) = delete;
    inode_ref &operator=(const inode_ref &) = delete;
    inode *get() const
    {
        return inode_;
    }
    inode *operator->() const
    {
        return inode_;
    }

  private:
    inode *inode_;
};

bool is_alias(inode *inode, const dentry *dentry)
{
    spin_guard guard(&inode->i_lock);

    for (struct dentry *alias = d_first_alias(inode); alias; alias = d_next_alias(alias))
        if (alias == dentry)
            return true;
    return false;
}

int aliases_of(inode *inode)
{
    spin_guard guard(&inode->i_lock);
    int aliases = 0;

    for (dentry *alias = d_first_alias(inode); alias; alias = d_next_alias(alias))
        aliases++;
    return aliases;
}

// --- d_instantiate() ---

TEST_F(DInstantiate, MakesTheDentryAPositiveAlias)
{
    dentry_ref child = make_unhashed(root, "child");
    inode *inode = file_inode();

    d_instantiate(child.get(), inode);
    EXPECT_EQ(d_inode(child.get()), inode);
    EXPECT_EQ(d_inode_rcu(child.get()), inode);
    EXPECT_TRUE(d_is_positive(child.get()));
    EXPECT_TRUE(d_really_is_positive(child.get()));
    EXPECT_FALSE(d_flags_negative(flags_of(child.get())));
    EXPECT_TRUE(is_alias(inode, child.get()));
}

TEST_F(DInstantiate, ConsumesTheInodeReference)
{
    dentry_ref child = make_unhashed(root, "child");
    inode_ref inode(file_inode());
    ASSERT_EQ(references_of(inode.get()), 2);

    d_instantiate(child.get(), inode.get());
    EXPECT_EQ(references_of(inode.get()), 2);
    child.reset();
    EXPECT_EQ(references_of(inode.get()), 1);
}

TEST_F(DInstantiate, DoesNotHash)
{
    dentry_ref child = make_unhashed(root, "child");

    d_instantiate(child.get(), file_inode());
    EXPECT_TRUE(d_unhashed(child.get()));
    EXPECT_FALSE(is_cached(root, "child"));
}

TEST_F(DInstantiate, IsOneWriteSection)
{
    dentry_ref child = make_unhashed(root, "child");
    unsigned before = sequence_of(child.get());

    d_instantiate(child.get(), file_inode());
    EXPECT_EQ(sequence_of(child.get()), before + 2);
}

TEST_F(DInstantiate, WithoutAnInodeNothingHappens)
{
    dentry_ref child = make_unhashed(root, "child");

    d_instantiate(child.get(), nullptr);
    EXPECT_TRUE(d_is_negative(child.get()));
    EXPECT_EQ(sequence_of(child.get()), 0u);
}

TEST_F(DInstantiate, TypeBitsFollowTheInode)
{
    const std::pair<umode_t, unsigned> cases[] = {
        {S_IFREG_TYPE, DCACHE_REGULAR_TYPE},  {S_IFDIR_TYPE, DCACHE_DIRECTORY_TYPE},
        {S_IFLNK_TYPE, DCACHE_SYMLINK_TYPE},  {S_IFCHR_TYPE, DCACHE_SPECIAL_TYPE},
        {S_IFBLK_TYPE, DCACHE_SPECIAL_TYPE},  {S_IFIFO_TYPE, DCACHE_SPECIAL_TYPE},
        {S_IFSOCK_TYPE, DCACHE_SPECIAL_TYPE},
    };

    for (const auto &[mode, type] : cases) {
        dentry_ref child = make_unhashed(root, "child");
        d_instantiate(child.get(), make_inode(sb, mode));
        EXPECT_EQ(__d_entry_type(child.get()), type) << std::oct << mode;
        EXPECT_EQ(d_is_dir(child.get()), type == DCACHE_DIRECTORY_TYPE);
        EXPECT_EQ(d_can_lookup(child.get()), type == DCACHE_DIRECTORY_TYPE);
        EXPECT_EQ(d_is_reg(child.get()), type == DCACHE_REGULAR_TYPE);
        EXPECT_EQ(d_is_symlink(child.get()), type == DCACHE_SYMLINK_TYPE);
        EXPECT_EQ(d_is_special(child.get()), type == DCACHE_SPECIAL_TYPE);
    }
}

TEST_F(DInstantiate, ADirectoryWithoutLookupIsAnAutodir)
{
    dentry_ref child = make_unhashed(root, "child");
    inode *inode = directory_inode();

    inode->i_op = &file_operations;
    d_instantiate(child.get(), inode);
    EXPECT_TRUE(d_is_autodir(child.get()));
    EXPECT_TRUE(d_is_dir(child.get()));
    EXPECT_FALSE(d_can_lookup(child.get()));
}

TEST_F(DInstantiate, AnAutomountInodeMarksItsDentry)
{
    dentry_ref child = make_unhashed(root, "child");
    inode *inode = directory_inode();

    inode->i_flags |= S_AUTOMOUNT;
    d_instantiate(child.get(), inode);
    EXPECT_TRUE(has_flag(child.get(), DCACHE_NEED_AUTOMOUNT));
    EXPECT_TRUE(d_managed(child.get()));
    EXPECT_FALSE(d_mountpoint(child.get()));
}

TEST_F(DInstantiate, WhatTheOperationsSaidIsRememberedInTheInode)
{
    dentry_ref directory = make_directory(root, "directory");
    dentry_ref file = make_file(root, "file");
    dentry_ref symlink = make_symlink(root, "symlink");

    EXPECT_EQ(READ_ONCE(d_inode(directory.get())->i_opflags), unsigned{IOP_LOOKUP});
    EXPECT_EQ(READ_ONCE(d_inode(file.get())->i_opflags), unsigned{IOP_NOFOLLOW});
    EXPECT_EQ(READ_ONCE(d_inode(symlink.get())->i_opflags), 0u);
}

TEST_F(DInstantiate, OtherFlagsOfTheDentryStay)
{
    dentry_ref child = make_negative(root, "child");

    dont_mount(child.get());
    d_instantiate(child.get(), file_inode());
    EXPECT_TRUE(has_flag(child.get(), DCACHE_CANT_MOUNT));
}

TEST_F(DInstantiate, ANegativeOnTheLruStopsBeingCountedAsNegative)
{
    leave_negative(root, "child");
    dentry_ref child = cached(root, "child");
    ASSERT_TRUE(has_flag(child.get(), DCACHE_LRU_LIST));
    counter_change negative(NR_DENTRY_NEGATIVE), unused(NR_DENTRY_UNUSED);

    d_instantiate(child.get(), file_inode());
    EXPECT_EQ(negative.value(), -1);
    EXPECT_EQ(unused.value(), 0);
}

TEST_F(DInstantiate, ANegativeOffTheLruWasNotCounted)
{
    dentry_ref child = make_negative(root, "child");
    counter_change negative(NR_DENTRY_NEGATIVE);

    d_instantiate(child.get(), file_inode());
    EXPECT_EQ(negative.value(), 0);
}

TEST_F(DInstantiate, AFileMayHaveManyAliases)
{
    inode *inode = file_inode();
    dentry_ref one = make_child(root, "one", inode);
    ihold(inode);
    dentry_ref two = make_child(root, "two", inode);

    EXPECT_EQ(aliases_of(inode), 2);
    EXPECT_EQ(references_of(inode), 2);
    one.reset();
    prune_everything();
    EXPECT_EQ(aliases_of(inode), 1);
    EXPECT_TRUE(is_alias(inode, two.get()));
}

TEST_F(DInstantiate, AnInLookupDentryIsComplainedAbout)
{
    dentry_ref child = allocate_parallel(root, "child");
    ASSERT_TRUE(d_in_lookup(child.get()));
    dentry_ref extra = child;

    // What d_instantiate() links in is the room of the in-lookup chain, so take the dentry out
    // first and only pretend.
    d_lookup_done(child.get());
    child->d_flags |= DCACHE_PAR_LOOKUP;
    d_instantiate(child.get(), file_inode());
    child->d_flags &= ~DCACHE_PAR_LOOKUP;
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("d_in_lookup")));
}

TEST_F(DInstantiate, APositiveDentryIsABug)
{
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    dentry_ref child = make_file(root, "child");
    inode_ref inode(d_inode(child.get()));

    EXPECT_DEATH(d_instantiate(child.get(), inode.get()), "BUG.*positive");
}

// --- d_instantiate_new() ---

TEST_F(DInstantiateNew, EndsTheConstructionOfTheInode)
{
    dentry_ref child = make_unhashed(root, "child");
    inode *inode = iget_locked(sb, 1000);
    ASSERT_TRUE(READ_ONCE(inode->i_state) & I_NEW);
    WRITE_ONCE(inode->i_mode, S_IFREG_TYPE);
    inode->i_state |= I_CREATING;

    d_instantiate_new(child.get(), inode);
    EXPECT_EQ(READ_ONCE(inode->i_state) & (I_NEW | I_CREATING), 0u);
    EXPECT_EQ(d_inode(child.get()), inode);
    EXPECT_TRUE(is_alias(inode, child.get()));
    EXPECT_TRUE(d_unhashed(child.get()));
    EXPECT_FALSE(spin_is_locked(&inode->i_lock));
}

TEST_F(DInstantiateNew, AFinishedInodeIsComplainedAbout)
{
    dentry_ref child = make_unhashed(root, "child");

    d_instantiate_new(child.get(), file_inode());
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("I_NEW")));
}

// --- d_add() on a dentry that is not in-lookup ---

TEST_F(DAdd, AttachesAndHashes)
{
    dentry_ref child = make_unhashed(root, "child");
    inode_ref inode(file_inode());

    d_add(child.get(), inode.get());
    EXPECT_EQ(cached(root, "child"), child);
    EXPECT_TRUE(is_alias(inode.get(), child.get()));
    EXPECT_TRUE(d_is_reg(child.get()));
    EXPECT_EQ(references_of(inode.get()), 2);
    EXPECT_FALSE(spin_is_locked(&inode->i_lock));
    EXPECT_FALSE(spin_is_locked(&child->d_lock));
}

TEST_F(DAdd, WithoutAnInodeRecordsAMiss)
{
    dentry_ref child = make_unhashed(root, "child");
    unsigned before = sequence_of(child.get());

    d_add(child.get(), nullptr);
    EXPECT_EQ(cached(root, "child"), child);
    EXPECT_TRUE(d_is_negative(child.get()));
    EXPECT_EQ(sequence_of(child.get()), before);
}

TEST_F(DAdd, AttachingIsOneWriteSectionAndHashingNone)
{
    dentry_ref child = make_unhashed(root, "child");
    unsigned before = sequence_of(child.get());

    d_add(child.get(), file_inode());
    EXPECT_EQ(sequence_of(child.get()), before + 2);
}

TEST_F(DAdd, LeavesTheDirectorySequenceAlone)
{
    unsigned before = directory_sequence(root);

    make_file(root, "child");
    make_negative(root, "absent");
    EXPECT_EQ(directory_sequence(root), before);
}

// --- d_make_root() ---

TEST_F(DMakeRoot, IsAnUnhashedPositiveRoot)
{
    EXPECT_TRUE(IS_ROOT(root));
    EXPECT_TRUE(d_unhashed(root));
    EXPECT_FALSE(d_unlinked(root));
    EXPECT_TRUE(d_is_dir(root));
    EXPECT_EQ(name_of(root), "/");
    EXPECT_EQ(d_count(root), 1);
    EXPECT_TRUE(hlist_empty(&sb->s_roots));
    EXPECT_FALSE(has_flag(root, DCACHE_DISCONNECTED));
}

TEST_F(DMakeRoot, ConsumesTheReferenceEvenWithoutMemory)
{
    inode_ref inode(directory_inode());

    kmem_fail_nth(1);
    EXPECT_EQ(d_make_root(inode.get()), nullptr);
    EXPECT_EQ(references_of(inode.get()), 1);
}

TEST_F(DMakeRoot, NoInodeNoRoot)
{
    EXPECT_EQ(d_make_root(nullptr), nullptr);
}

// --- d_make_persistent(), d_make_discardable() ---

TEST_F(DMakePersistent, InstantiatesHashesAndPins)
{
    dentry_ref child = make_unhashed(root, "child");
    inode_ref inode(file_inode());

    EXPECT_EQ(d_make_persistent(child.get(), inode.get()), child.get());
    EXPECT_TRUE(has_flag(child.get(), DCACHE_PERSISTENT));
    EXPECT_EQ(d_inode(child.get()), inode.get());
    EXPECT_EQ(d_count(child.get()), 2);
    EXPECT_TRUE(is_cached(root, "child"));
    EXPECT_EQ(references_of(inode.get()), 2);
    EXPECT_EQ(sequence_of(child.get()), 2u);
}

TEST_F(DMakePersistent, AHashedDentryIsNotHashedTwice)
{
    dentry_ref child = make_negative(root, "child");

    d_make_persistent(child.get(), file_inode());
    d_drop(child.get());
    EXPECT_FALSE(is_cached(root, "child"));
    d_rehash(child.get());
}

TEST_F(DMakePersistent, ThePinOutlivesUsersAndShrinkers)
{
    dentry_ref child = make_unhashed(root, "child");
    d_make_persistent(child.get(), file_inode());
    dentry *raw = child.get();
    child.reset();

    EXPECT_EQ(d_count(raw), 1);
    EXPECT_FALSE(has_flag(raw, DCACHE_LRU_LIST));
    shrink_dcache_parent(root);
    prune_everything();
    EXPECT_EQ(cached(root, "child").get(), raw);
}

// Unmounting takes the pins away by itself; the fixture would complain about a busy dentry.
TEST_F(DMakePersistent, UnmountingUnpinsWholeTrees)
{
    dentry_ref directory = make_unhashed(root, "d");
    d_make_persistent(directory.get(), directory_inode());
    dentry_ref child = make_unhashed(directory.get(), "child");
    d_make_persistent(child.get(), file_inode());
}

TEST_F(DMakePersistent, DiscardingTheLastReferenceKills)
{
    dentry_ref child = make_unhashed(root, "child");
    d_make_persistent(child.get(), file_inode());
    dentry *raw = child.get();
    child.reset();
    counter_change existing(NR_DENTRY), unused(NR_DENTRY_UNUSED);

    // Not even hashed entries are retained: the pin was what kept it.
    d_make_discardable(raw);
    EXPECT_EQ(existing.value(), -1);
    EXPECT_EQ(unused.value(), 0);
    EXPECT_FALSE(is_cached(root, "child"));
}

TEST_F(DMakePersistent, DiscardingLeavesOtherReferences)
{
    dentry_ref child = make_unhashed(root, "child");
    d_make_persistent(child.get(), file_inode());

    d_make_discardable(child.get());
    EXPECT_FALSE(has_flag(child.get(), DCACHE_PERSISTENT));
    EXPECT_EQ(d_count(child.get()), 1);
    EXPECT_TRUE(is_cached(root, "child"));
    EXPECT_FALSE(spin_is_locked(&child->d_lock));
}

TEST_F(DMakePersistent, DiscardingWhatWasNotPinnedIsComplainedAbout)
{
    dentry_ref child = make_file(root, "child");

    // The reference that the call drops without having had it.
    dget(child.get());
    d_make_discardable(child.get());
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("PERSISTENT")));
    EXPECT_EQ(d_count(child.get()), 1);
}

// --- d_delete() ---

TEST_F(DDelete, TheSoleUsersDentryStaysHashedAndTurnsNegative)
{
    dentry_ref child = make_file(root, "child");
    inode_ref inode(d_inode(child.get()));
    unsigned before = sequence_of(child.get());

    d_delete(child.get());
    EXPECT_TRUE(d_is_negative(child.get()));
    EXPECT_TRUE(d_really_is_negative(child.get()));
    EXPECT_EQ(cached(root, "child"), child);
    EXPECT_EQ(d_count(child.get()), 1);
    EXPECT_EQ(references_of(inode.get()), 1);
    EXPECT_FALSE(is_alias(inode.get(), child.get()));
    EXPECT_EQ(sequence_of(child.get()), before + 2);
    EXPECT_EQ(child->waiters, nullptr);
}

TEST_F(DDelete, WithOtherUsersItIsUnhashedAndStaysPositive)
{
    dentry_ref child = make_file(root, "child");
    dentry_ref other = child;
    inode *inode = d_inode(child.get());
    unsigned before = sequence_of(child.get());

    d_delete(child.get());
    EXPECT_TRUE(d_unhashed(child.get()));
    EXPECT_EQ(d_inode(child.get()), inode);
    EXPECT_TRUE(is_alias(inode, child.get()));
    EXPECT_EQ(sequence_of(child.get()), before + 2);
    EXPECT_FALSE(spin_is_locked(&inode->i_lock));
    EXPECT_FALSE(spin_is_locked(&child->d_lock));
}

TEST_F(DDelete, TheSoleUserLiftsTheBanOnMounting)
{
    dentry_ref child = make_file(root, "child");

    dont_mount(child.get());
    d_delete(child.get());
    EXPECT_FALSE(cant_mount(child.get()));
}

TEST_F(DDelete, OtherUsersKeepTheBanOnMounting)
{
    dentry_ref child = make_file(root, "child");
    dentry_ref other = child;

    dont_mount(child.get());
    d_delete(child.get());
    EXPECT_TRUE(cant_mount(child.get()));
}

TEST_F(DDelete, OnTheLruItCountsAsNegativeFromThen)
{
    leave_file(root, "child");
    dentry_ref child = cached(root, "child");
    counter_change negative(NR_DENTRY_NEGATIVE), unused(NR_DENTRY_UNUSED);

    d_delete(child.get());
    EXPECT_EQ(negative.value(), 1);
    EXPECT_EQ(unused.value(), 0);
}

TEST_F(DDelete, TheInodeGoesToIputOfTheFileSystem)
{
    dentry *given = nullptr;
    bool locked = true;
    callbacks.iput = [&](dentry *dentry, inode *inode) {
        given = dentry;
        locked = spin_is_locked(&dentry->d_lock) || spin_is_locked(&inode->i_lock) ||
                 rcu_read_lock_held();
        EXPECT_TRUE(d_really_is_negative(dentry));
        iput(inode);
    };
    set_default_d_op(sb, callbacks.table());
    dentry_ref child = make_file(root, "child");
    counter_change inodes(NR_INODES);

    d_delete(child.get());
    EXPECT_EQ(given, child.get());
    EXPECT_FALSE(locked);
    EXPECT_EQ(inodes.value(), -1);
}

TEST_F(DDelete, WithoutIputTheReferenceIsDropped)
{
    dentry_ref child = make_file(root, "child");
    counter_change inodes(NR_INODES);

    d_delete(child.get());
    EXPECT_EQ(inodes.value(), -1);
}

class DDeleteWithoutNegatives : public vfs_fixture
{
  protected:
    vfs_config config() const override
    {
        vfs_config config = vfs_fixture::config();
        config.dentry_negative_policy = true;
        return config;
    }
};

TEST_F(DDeleteWithoutNegatives, TheSoleUsersDentryIsUnhashedToo)
{
    dentry_ref child = make_file(root, "child");

    d_delete(child.get());
    EXPECT_TRUE(d_is_negative(child.get()));
    EXPECT_TRUE(d_unhashed(child.get()));
    EXPECT_FALSE(is_cached(root, "child"));
}

// --- Files without a name ---

TEST_F(DTmpfile, GetsTheInodeAndLosesALink)
{
    dentry_ref child = make_unhashed(root, "/");
    file file = {};
    file.f_path = {nullptr, child.get()};
    inode_ref inode(file_inode());
    inode->i_ino = 4711;

    d_tmpfile(&file, inode.get());
    EXPECT_EQ(d_inode(child.get()), inode.get());
    EXPECT_EQ(READ_ONCE(inode->i_nlink), 0u);
    EXPECT_EQ(references_of(inode.get()), 2);
    EXPECT_EQ(name_of(child.get()), "#4711");
    EXPECT_TRUE(d_unlinked(child.get()));
}

TEST_F(DTmpfile, MarkingOnlyRenames)
{
    dentry_ref child = make_unhashed(root, "a longer name than the new one");
    file file = {};
    file.f_path = {nullptr, child.get()};
    u32 hash = child->d_name.hash();
    inode *inode = file_inode();
    inode->i_ino = 18446744073709551615ull;

    d_mark_tmpfile(&file, inode);
    EXPECT_EQ(name_of(child.get()), "#18446744073709551615");
    EXPECT_EQ(child->d_name.len(), 21u);
    EXPECT_EQ(child->d_name.hash(), hash);
    EXPECT_EQ(sequence_of(child.get()), 0u);
    EXPECT_TRUE(d_is_negative(child.get()));
    iput(inode);
}

TEST_F(DTmpfile, ANameOfTheFileSystemsChoiceMustFitInline)
{
    dentry_ref child = make_unhashed(root, "/");
    file file = {};
    file.f_path = {nullptr, child.get()};
    std::string fits(39, 'f'), too_long(40, 't');
    qstr good = make_qstr(fits.data(), 39);
    qstr bad = make_qstr(too_long.data(), 40);

    EXPECT_EQ(d_mark_tmpfile_name(&file, &bad), -ENAMETOOLONG);
    EXPECT_EQ(name_of(child.get()), "/");
    EXPECT_EQ(d_mark_tmpfile_name(&file, &good), 0);
    EXPECT_EQ(name_of(child.get()), fits);
    EXPECT_EQ(child->d_name.len(), 39u);
    EXPECT_EQ(child->d_shortname.string()[DNAME_INLINE_LEN - 1], 0);
}

TEST_F(DTmpfile, OnlyNamelessDentriesAreRenamed)
{
    qstr name = make_qstr("name", 4);
    dentry_ref positive = make_file(root, "positive");
    d_drop(positive.get());
    dentry_ref hashed = make_negative(root, "hashed");
    dentry_ref external = make_unhashed(root, long_name);
    dentry_ref anonymous = adopt_dentry(d_alloc_anon(sb));

    for (dentry *dentry : {positive.get(), hashed.get(), external.get(), anonymous.get()}) {
        std::string before = name_of(dentry);
        file file = {};
        file.f_path = {nullptr, dentry};
        EXPECT_EQ(d_mark_tmpfile_name(&file, &name), -EINVAL) << before;
        EXPECT_EQ(name_of(dentry), before);
    }
}

// --- Finding aliases ---

TEST_F(DFindAlias, AHashedAliasComesWithAReference)
{
    dentry_ref child = make_file(root, "child");

    EXPECT_EQ(adopt_dentry(d_find_alias(d_inode(child.get()))), child);
    dentry_ref found = adopt_dentry(d_find_alias(d_inode(child.get())));
    EXPECT_EQ(d_count(child.get()), 2);
}

TEST_F(DFindAlias, UnhashedAliasesOfAFileArePassedBy)
{
    inode *inode = file_inode();
    dentry_ref hashed = make_child(root, "hashed", inode);
    ihold(inode);
    dentry_ref dropped = make_child(root, "dropped", inode);
    d_drop(dropped.get());

    EXPECT_EQ(adopt_dentry(d_find_alias(inode)), hashed);
    d_drop(hashed.get());
    EXPECT_EQ(d_find_alias(inode), nullptr);
}

TEST_F(DFindAlias, ADirectorysOnlyAliasIsTheAnswerEvenUnhashed)
{
    dentry_ref directory = make_directory(root, "d");

    d_drop(directory.get());
    EXPECT_EQ(adopt_dentry(d_find_alias(d_inode(directory.get()))), directory);
    EXPECT_EQ(adopt_dentry(d_find_alias(d_inode(root))).get(), root);
}

TEST_F(DFindAlias, AnUnusedAliasIsRevived)
{
    dentry *file = leave_file(root, "file");
    dentry *directory = make_directory(root, "d").get();

    EXPECT_EQ(d_count(adopt_dentry(d_find_alias(d_inode(file))).get()), 1);
    EXPECT_EQ(d_count(adopt_dentry(d_find_alias(d_inode(directory))).get()), 1);
}

TEST_F(DFindAlias, NoneIsNull)
{
    inode *file = file_inode();
    inode *directory = directory_inode();

    EXPECT_EQ(d_find_alias(file), nullptr);
    EXPECT_EQ(d_find_alias(directory), nullptr);
    iput(file);
    iput(directory);
}

TEST_F(DFindAnyAlias, TakesUnhashedOnesAsWell)
{
    dentry_ref child = make_file(root, "child");
    inode *inode = d_inode(child.get());

    d_drop(child.get());
    dentry_ref found = adopt_dentry(d_find_any_alias(inode));
    EXPECT_EQ(found, child);
    EXPECT_EQ(d_count(child.get()), 2);
    EXPECT_FALSE(spin_is_locked(&inode->i_lock));
}

TEST_F(DFindAnyAlias, NoneIsNull)
{
    inode *inode = file_inode();

    EXPECT_EQ(d_find_any_alias(inode), nullptr);
    iput(inode);
}

TEST_F(DFindAliasRcu, GivesNoReference)
{
    dentry_ref child = make_file(root, "child");

    rcu_read_guard guard;
    EXPECT_EQ(d_find_alias_rcu(d_inode(child.get())), child.get());
    EXPECT_EQ(d_count(child.get()), 1);
}

TEST_F(DFindAliasRcu, UnhashedAliasesOfAFileArePassedBy)
{
    inode *inode = file_inode();
    dentry_ref hashed = make_child(root, "hashed", inode);
    ihold(inode);
    dentry_ref dropped = make_child(root, "dropped", inode);
    d_drop(dropped.get());

    {
        rcu_read_guard guard;
        EXPECT_EQ(d_find_alias_rcu(inode), hashed.get());
    }
    d_drop(hashed.get());
    rcu_read_guard guard;
    EXPECT_EQ(d_find_alias_rcu(inode), nullptr);
}

TEST_F(DFindAliasRcu, ADirectorysOnlyAliasIsTheAnswerEvenUnhashed)
{
    dentry_ref directory = make_directory(root, "d");
    d_drop(directory.get());

    rcu_read_guard guard;
    EXPECT_EQ(d_find_alias_rcu(d_inode(directory.get())), directory.get());
}

TEST_F(DFindAliasRcu, AnInodeOnItsWayOutHasNone)
{
    dentry_ref child = make_file(root, "child");
    inode *inode = d_inode(child.get());

    {
        rcu_read_guard guard;
        spin_guard lock(&inode->i_lock);
        inode->i_state |= I_FREEING;
    }
    {
        rcu_read_guard guard;
        EXPECT_EQ(d_find_alias_rcu(inode), nullptr);
    }
    spin_guard lock(&inode->i_lock);
    inode->i_state &= ~I_FREEING;
}

TEST_F(DgetAlias, RevivesAnUnusedAlias)
{
    dentry *file = leave_file(root, "file");
    inode *inode = d_inode(file);

    spin_lock(&inode->i_lock);
    EXPECT_TRUE(dget_alias_ilocked(file));
    spin_unlock(&inode->i_lock);
    EXPECT_EQ(d_count(file), 1);
    dput(file);
}

TEST_F(DgetAlias, AUsedNorcuAliasGivesAReference)
{
    qstr name = make_qstr("pipe", 4);
    dentry_ref pseudo = adopt_dentry(d_alloc_pseudo(sb, &name));
    inode *inode = file_inode();
    d_instantiate(pseudo.get(), inode);

    EXPECT_EQ(adopt_dentry(d_find_any_alias(inode)), pseudo);
    EXPECT_EQ(d_count(pseudo.get()), 1);
}

// The count of a NORCU dentry never leaves 0 again. Between its last dput() and its death i_lock is
// free, so somebody may meet it there; dput_test.cc in protocol/ does it with threads.
TEST_F(DgetAlias, AnUnusedNorcuAliasIsBeyondRevival)
{
    qstr name = make_qstr("pipe", 4);
    dentry_ref pseudo = adopt_dentry(d_alloc_pseudo(sb, &name));
    inode *inode = file_inode();
    d_instantiate(pseudo.get(), inode);

    WRITE_ONCE(pseudo->d_lockref.count, 0);
    EXPECT_EQ(d_find_any_alias(inode), nullptr);
    EXPECT_EQ(d_count(pseudo.get()), 0);
    EXPECT_FALSE(spin_is_locked(&pseudo->d_lock));
    WRITE_ONCE(pseudo->d_lockref.count, 1);
}

// --- Getting rid of aliases ---

TEST_F(DPruneAliases, KillsTheUnusedAndKeepsTheUsed)
{
    inode *inode = file_inode();
    dentry_ref used = make_child(root, "used", inode);
    ihold(inode);
    make_child(root, "unused", inode);
    ihold(inode);
    make_child(root, "unused too", inode);
    counter_change existing(NR_DENTRY), unused(NR_DENTRY_UNUSED);

    d_prune_aliases(inode);
    EXPECT_EQ(existing.value(), -2);
    EXPECT_EQ(unused.value(), -2);
    EXPECT_EQ(aliases_of(inode), 1);
    EXPECT_TRUE(is_cached(root, "used"));
    EXPECT_FALSE(is_cached(root, "unused"));
}

TEST_F(DPruneAliases, ParentsThatItLeavesUnusedGoToo)
{
    inode_ref inode(file_inode());
    {
        dentry_ref directory = make_directory(root, "d");
        make_child(directory.get(), "child", inode.get());
    }
    counter_change existing(NR_DENTRY);

    d_prune_aliases(inode.get());
    EXPECT_EQ(existing.value(), -2);
    EXPECT_EQ(references_of(inode.get()), 1);
}

TEST_F(DPruneAliases, NorcuAliasesAreLeftToTheirLastPut)
{
    qstr name = make_qstr("pipe", 4);
    dentry_ref pseudo = adopt_dentry(d_alloc_pseudo(sb, &name));
    inode *inode = file_inode();
    d_instantiate(pseudo.get(), inode);

    WRITE_ONCE(pseudo->d_lockref.count, 0);
    d_prune_aliases(inode);
    EXPECT_FALSE(has_flag(pseudo.get(), DCACHE_SHRINK_LIST));
    EXPECT_EQ(d_count(pseudo.get()), 0);
    WRITE_ONCE(pseudo->d_lockref.count, 1);
}

TEST_F(DMarkDontcache, MarksTheInodeAndItsAliases)
{
    inode *inode = file_inode();
    dentry_ref one = make_child(root, "one", inode);
    ihold(inode);
    dentry_ref two = make_child(root, "two", inode);

    d_mark_dontcache(inode);
    EXPECT_TRUE(has_flag(one.get(), DCACHE_DONTCACHE));
    EXPECT_TRUE(has_flag(two.get(), DCACHE_DONTCACHE));
    EXPECT_TRUE(READ_ONCE(inode->i_state) & I_DONTCACHE);
}

TEST_F(DMarkDontcache, AMarkedAliasDiesWithItsLastReference)
{
    dentry_ref child = make_file(root, "child");
    counter_change existing(NR_DENTRY), inodes(NR_INODES);

    d_mark_dontcache(d_inode(child.get()));
    EXPECT_TRUE(is_cached(root, "child"));
    child.reset();
    EXPECT_EQ(existing.value(), -1);
    EXPECT_EQ(inodes.value(), -1);
}

// As in v7.2: I_DONTCACHE is the inode cache's business, nothing passes it on to new dentries.
TEST_F(DMarkDontcache, AnAliasMadeLaterIsNotMarked)
{
    inode *inode = file_inode();
    dentry_ref before = make_child(root, "before", inode);

    d_mark_dontcache(inode);
    ihold(inode);
    dentry_ref after = make_child(root, "after", inode);
    EXPECT_FALSE(has_flag(after.get(), DCACHE_DONTCACHE));
}

// --- d_obtain_alias() ---

TEST_F(DObtainAlias, NoInodeIsStale)
{
    EXPECT_EQ(PTR_ERR(d_obtain_alias(nullptr)), -ESTALE);
    EXPECT_EQ(PTR_ERR(d_obtain_root(nullptr)), -ESTALE);
}

TEST_F(DObtainAlias, AnErrorIsPassedOn)
{
    EXPECT_EQ(PTR_ERR(d_obtain_alias(ERR_PTR(-EIO))), -EIO);
    EXPECT_EQ(PTR_ERR(d_obtain_root(ERR_PTR(-EIO))), -EIO);
}

TEST_F(DObtainAlias, AnExistingAliasIsUsed)
{
    dentry_ref child = make_file(root, "child");
    inode_ref inode(d_inode(child.get()));
    counter_change existing(NR_DENTRY);

    ihold(inode.get());
    dentry_ref found = adopt_dentry(d_obtain_alias(inode.get()));
    EXPECT_EQ(found, child);
    EXPECT_EQ(d_count(child.get()), 2);
    EXPECT_EQ(references_of(inode.get()), 2);
    EXPECT_EQ(existing.value(), 0);
}

TEST_F(DObtainAlias, AnUnhashedAliasIsUsedAsWell)
{
    dentry_ref child = make_file(root, "child");

    d_drop(child.get());
    ihold(d_inode(child.get()));
    EXPECT_EQ(adopt_dentry(d_obtain_alias(d_inode(child.get()))), child);
}

TEST_F(DObtainAlias, ANewOneIsADisconnectedRoot)
{
    inode_ref inode(directory_inode());

    dentry_ref alias = adopt_dentry(d_obtain_alias(inode.get()));
    EXPECT_EQ(d_inode(alias.get()), inode.get());
    EXPECT_TRUE(is_alias(inode.get(), alias.get()));
    EXPECT_EQ(flags_of(alias.get()), unsigned{DCACHE_DISCONNECTED | DCACHE_DIRECTORY_TYPE});
    EXPECT_TRUE(IS_ROOT(alias.get()));
    EXPECT_TRUE(d_unhashed(alias.get()));
    EXPECT_EQ(d_count(alias.get()), 1);
    EXPECT_EQ(references_of(inode.get()), 2);
    EXPECT_TRUE(hlist_empty(&sb->s_roots));
}

// Nobody can have sampled the sequence of a dentry that was never visible.
TEST_F(DObtainAlias, AttachingNeedsNoWriteSection)
{
    dentry_ref alias = adopt_dentry(d_obtain_alias(file_inode()));

    EXPECT_EQ(sequence_of(alias.get()), 0u);
}

TEST_F(DObtainAlias, IsNotKeptAfterTheLastReference)
{
    counter_change existing(NR_DENTRY), inodes(NR_INODES);

    adopt_dentry(d_obtain_alias(file_inode())).reset();
    EXPECT_EQ(existing.value(), 0);
    EXPECT_EQ(inodes.value(), 0);
}

TEST_F(DObtainAlias, ConsumesTheReferenceEvenWithoutMemory)
{
    inode_ref inode(file_inode());

    kmem_fail_nth(1);
    EXPECT_EQ(PTR_ERR(d_obtain_alias(inode.get())), -ENOMEM);
    EXPECT_TRUE(kmem_failure_delivered());
    EXPECT_EQ(references_of(inode.get()), 1);
}

// d_init runs inside the allocation: the test's chance to be the other task.
TEST_F(DObtainAlias, AnAliasThatAppearsWhileItAllocatesWins)
{
    inode_ref inode(directory_inode());
    dentry_ref winner;
    bool raced = false;
    callbacks.init = [&](dentry *) {
        if (std::exchange(raced, true))
            return 0;
        ihold(inode.get());
        winner = make_child(root, "winner", inode.get());
        return 0;
    };
    set_default_d_op(sb, callbacks.table());
    counter_change existing(NR_DENTRY);

    dentry_ref found = adopt_dentry(d_obtain_alias(inode.get()));
    EXPECT_EQ(found, winner);
    EXPECT_EQ(d_count(winner.get()), 2);
    EXPECT_EQ(existing.value(), 1);
    EXPECT_EQ(references_of(inode.get()), 2);
}

// --- d_obtain_root() ---

TEST_F(DObtainRoot, ANewOneIsListedAndConnected)
{
    inode_ref inode(directory_inode());

    dentry_ref second = adopt_dentry(d_obtain_root(inode.get()));
    EXPECT_EQ(flags_of(second.get()), unsigned{DCACHE_DIRECTORY_TYPE});
    EXPECT_TRUE(IS_ROOT(second.get()));
    EXPECT_TRUE(d_unhashed(second.get()));
    EXPECT_EQ(hlist_first(&sb->s_roots), &second->d_sib);
    EXPECT_EQ(references_of(inode.get()), 2);
}

TEST_F(DObtainRoot, AnExistingAliasIsUsedWhereItIs)
{
    dentry_ref directory = make_directory(root, "d");

    ihold(d_inode(directory.get()));
    EXPECT_EQ(adopt_dentry(d_obtain_root(d_inode(directory.get()))), directory);
    EXPECT_TRUE(hlist_empty(&sb->s_roots));
}

TEST_F(DObtainRoot, LeavesTheListWhenItDies)
{
    dentry_ref first = adopt_dentry(d_obtain_root(directory_inode()));
    dentry_ref second = adopt_dentry(d_obtain_root(directory_inode()));

    first.reset();
    EXPECT_EQ(hlist_first(&sb->s_roots), &second->d_sib);
    second.reset();
    EXPECT_TRUE(hlist_empty(&sb->s_roots));
}

TEST_F(DObtainRoot, ConsumesTheReferenceEvenWithoutMemory)
{
    inode_ref inode(directory_inode());

    kmem_fail_nth(1);
    EXPECT_EQ(PTR_ERR(d_obtain_root(inode.get())), -ENOMEM);
    EXPECT_EQ(references_of(inode.get()), 1);
    EXPECT_TRUE(hlist_empty(&sb->s_roots));
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
