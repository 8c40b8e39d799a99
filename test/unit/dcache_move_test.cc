// SPDX-License-Identifier: GPL-2.0-only
//
// Changing names and parents: moves, exchanges, the moves that lookups make, and questions about
// ancestry.
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using DSpliceAlias = vfs_fixture;
using DUnalias = vfs_fixture;
using DAncestor = vfs_fixture;
using IsSubdir = vfs_fixture;
using DParentIno = vfs_fixture;

unsigned renames()
{
    return READ_ONCE(rename_lock.seqcount.sequence);
}

bool is_child_of(const dentry *dentry, struct dentry *parent)
{
    spin_guard guard(&parent->d_lock);

    for (struct dentry *child = d_first_child(parent); child; child = d_next_sibling(child))
        if (child == dentry)
            return parent_of(dentry) == parent;
    return false;
}

/// Two directories, without a relation between them.
class move_fixture : public vfs_fixture
{
  protected:
    void SetUp() override
    {
        vfs_fixture::SetUp();
        a = make_directory(root, "a");
        b = make_directory(root, "b");
    }
    void TearDown() override
    {
        a.reset();
        b.reset();
        vfs_fixture::TearDown();
    }

    void expect_nothing_locked() const
    {
        for (dentry *dentry : {root, a.get(), b.get()})
            EXPECT_FALSE(spin_is_locked(&dentry->d_lock));
        EXPECT_FALSE(spin_is_locked(&rename_lock.lock));
        EXPECT_FALSE(rcu_read_lock_held());
    }

    dentry_ref a, b;
};

using DMove = move_fixture;
using DExchange = move_fixture;

// --- d_move() ---

TEST_F(DMove, TheEntryIsFoundInItsNewPlaceOnly)
{
    dentry_ref file = make_file(a.get(), "old");
    dentry_ref target = make_negative(b.get(), "new");

    d_move(file.get(), target.get());
    EXPECT_EQ(cached(b.get(), "new"), file);
    EXPECT_FALSE(is_cached(a.get(), "old"));
    EXPECT_TRUE(is_child_of(file.get(), b.get()));
    EXPECT_EQ(file->d_name.hash(), name_below(b.get(), "new").hash);
    expect_nothing_locked();
}

TEST_F(DMove, TheTargetEndsUnhashedWithItsNameAndParent)
{
    dentry_ref file = make_file(a.get(), "old");
    dentry_ref target = make_negative(b.get(), "new");

    d_move(file.get(), target.get());
    EXPECT_TRUE(d_unhashed(target.get()));
    EXPECT_EQ(name_of(target.get()), "new");
    EXPECT_TRUE(is_child_of(target.get(), b.get()));
    EXPECT_EQ(d_count(target.get()), 1);
}

TEST_F(DMove, APositiveTargetStaysPositive)
{
    dentry_ref file = make_file(a.get(), "old");
    dentry_ref target = make_file(b.get(), "new");
    inode *inode = d_inode(target.get());

    d_move(file.get(), target.get());
    EXPECT_EQ(d_inode(target.get()), inode);
    EXPECT_TRUE(d_unhashed(target.get()));
    EXPECT_EQ(cached(b.get(), "new"), file);
}

TEST_F(DMove, AnUnhashedTargetServesAsWell)
{
    dentry_ref file = make_file(a.get(), "old");
    dentry_ref target = make_unhashed(b.get(), "new");

    d_move(file.get(), target.get());
    EXPECT_EQ(cached(b.get(), "new"), file);
}

TEST_F(DMove, AnUnhashedEntryIsHashedByTheMove)
{
    dentry_ref file = make_file(a.get(), "old");
    dentry_ref target = make_negative(b.get(), "new");

    d_drop(file.get());
    d_move(file.get(), target.get());
    EXPECT_EQ(cached(b.get(), "new"), file);
}

TEST_F(DMove, TheReferenceOnTheParentMovesAlong)
{
    dentry_ref file = make_file(a.get(), "old");
    dentry_ref target = make_negative(b.get(), "new");
    int on_a = d_count(a.get());
    int on_b = d_count(b.get());

    d_move(file.get(), target.get());
    EXPECT_EQ(d_count(a.get()), on_a - 1);
    EXPECT_EQ(d_count(b.get()), on_b + 1);
    EXPECT_EQ(d_count(file.get()), 1);
}

TEST_F(DMove, WithinADirectoryNoReferenceChanges)
{
    dentry_ref file = make_file(a.get(), "old");
    dentry_ref target = make_negative(a.get(), "new");
    int on_a = d_count(a.get());

    d_move(file.get(), target.get());
    EXPECT_EQ(d_count(a.get()), on_a);
    EXPECT_EQ(cached(a.get(), "new"), file);
    EXPECT_TRUE(is_child_of(file.get(), a.get()));
    expect_nothing_locked();
}

TEST_F(DMove, IsOneWriteSectionOfBoth)
{
    dentry_ref file = make_file(a.get(), "old");
    dentry_ref target = make_negative(b.get(), "new");
    unsigned of_file = sequence_of(file.get());
    unsigned of_target = sequence_of(target.get());

    d_move(file.get(), target.get());
    EXPECT_EQ(sequence_of(file.get()), of_file + 2);
    EXPECT_EQ(sequence_of(target.get()), of_target + 2);
}

TEST_F(DMove, IsARenameToWholeTheSystem)
{
    dentry_ref file = make_file(a.get(), "old");
    dentry_ref target = make_negative(b.get(), "new");
    unsigned before = renames();

    d_move(file.get(), target.get());
    EXPECT_EQ(renames(), before + 2);
}

TEST_F(DMove, ChildrenComeAlong)
{
    dentry_ref directory = make_directory(a.get(), "old");
    dentry_ref child = make_file(directory.get(), "child");
    dentry_ref target = make_unhashed(b.get(), "new");

    d_move(directory.get(), target.get());
    EXPECT_EQ(cached(directory.get(), "child"), child);
    EXPECT_TRUE(is_subdir(child.get(), b.get()));
}

TEST_F(DMove, IntoADescendantOfTheOldParent)
{
    dentry_ref deep = make_directory(make_directory(a.get(), "deep").get(), "deeper");
    dentry_ref file = make_file(a.get(), "old");
    dentry_ref target = make_unhashed(deep.get(), "new");

    d_move(file.get(), target.get());
    EXPECT_EQ(cached(deep.get(), "new"), file);
    EXPECT_FALSE(spin_is_locked(&deep->d_lock));
    expect_nothing_locked();
}

TEST_F(DMove, IntoAnAncestorOfTheOldParent)
{
    dentry_ref deep = make_directory(make_directory(a.get(), "deep").get(), "deeper");
    dentry_ref file = make_file(deep.get(), "old");
    dentry_ref target = make_unhashed(a.get(), "new");

    d_move(file.get(), target.get());
    EXPECT_EQ(cached(a.get(), "new"), file);
    EXPECT_FALSE(spin_is_locked(&deep->d_lock));
    expect_nothing_locked();
}

TEST_F(DMove, ARootGetsAParent)
{
    dentry_ref alias = adopt_dentry(d_obtain_alias(directory_inode()));
    dentry_ref target = make_unhashed(b.get(), "new");
    int on_b = d_count(b.get());

    d_move(alias.get(), target.get());
    EXPECT_FALSE(IS_ROOT(alias.get()));
    EXPECT_TRUE(is_child_of(alias.get(), b.get()));
    EXPECT_EQ(d_count(b.get()), on_b + 1);
    EXPECT_EQ(d_count(alias.get()), 1);
    EXPECT_EQ(cached(b.get(), "new"), alias);
    expect_nothing_locked();
}

TEST_F(DMove, ADentryOntoItselfIsComplainedAboutAndLeft)
{
    dentry_ref file = make_file(a.get(), "old");

    d_move(file.get(), file.get());
    EXPECT_EQ(warnings.take().size(), 1u);
    EXPECT_EQ(cached(a.get(), "old"), file);
    expect_nothing_locked();
}

TEST_F(DMove, ANegativeDentryIsComplainedAbout)
{
    dentry_ref absent = make_negative(a.get(), "old");
    dentry_ref target = make_unhashed(b.get(), "new");

    d_move(absent.get(), target.get());
    EXPECT_EQ(warnings.take().size(), 1u);
}

TEST_F(DMove, BelowItselfIsABug)
{
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    dentry_ref below = make_unhashed(a.get(), "below");

    EXPECT_DEATH(d_move(a.get(), below.get()), "BUG.*dentry");
}

TEST_F(DMove, OntoAnAncestorIsABug)
{
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    dentry_ref below = make_file(a.get(), "below");

    EXPECT_DEATH(d_move(below.get(), a.get()), "BUG.*d_ancestor");
}

TEST_F(DMove, AnUnusedEntryStaysOnTheLru)
{
    leave_file(a.get(), "old");
    dentry_ref file = cached(a.get(), "old");
    dentry_ref target = make_unhashed(b.get(), "new");

    d_move(file.get(), target.get());
    EXPECT_TRUE(has_flag(file.get(), DCACHE_LRU_LIST));
    EXPECT_EQ(lru_length(), 1);
}

// --- d_exchange() ---

TEST_F(DExchange, TheTwoChangePlaces)
{
    dentry_ref one = make_file(a.get(), "one");
    dentry_ref two = make_file(b.get(), "two");

    d_exchange(one.get(), two.get());
    EXPECT_EQ(cached(a.get(), "one"), two);
    EXPECT_EQ(cached(b.get(), "two"), one);
    EXPECT_TRUE(is_child_of(one.get(), b.get()));
    EXPECT_TRUE(is_child_of(two.get(), a.get()));
    EXPECT_FALSE(is_child_of(one.get(), a.get()));
    expect_nothing_locked();
}

TEST_F(DExchange, NoReferenceChanges)
{
    dentry_ref one = make_file(a.get(), "one");
    dentry_ref two = make_file(b.get(), "two");
    int on_a = d_count(a.get());
    int on_b = d_count(b.get());

    d_exchange(one.get(), two.get());
    EXPECT_EQ(d_count(a.get()), on_a);
    EXPECT_EQ(d_count(b.get()), on_b);
    EXPECT_EQ(d_count(one.get()), 1);
    EXPECT_EQ(d_count(two.get()), 1);
}

TEST_F(DExchange, IsOneWriteSectionOfBothAndOneRename)
{
    dentry_ref one = make_file(a.get(), "one");
    dentry_ref two = make_file(b.get(), "two");
    unsigned of_one = sequence_of(one.get());
    unsigned of_two = sequence_of(two.get());
    unsigned before = renames();

    d_exchange(one.get(), two.get());
    EXPECT_EQ(sequence_of(one.get()), of_one + 2);
    EXPECT_EQ(sequence_of(two.get()), of_two + 2);
    EXPECT_EQ(renames(), before + 2);
}

TEST_F(DExchange, WithinOneDirectory)
{
    dentry_ref one = make_file(a.get(), "one");
    dentry_ref two = make_file(a.get(), "two");

    d_exchange(one.get(), two.get());
    EXPECT_EQ(cached(a.get(), "one"), two);
    EXPECT_EQ(cached(a.get(), "two"), one);
    expect_nothing_locked();
}

TEST_F(DExchange, ADirectoryWithAFileOfADeeperOne)
{
    dentry_ref one = make_directory(a.get(), "one");
    dentry_ref child = make_file(one.get(), "child");
    dentry_ref deep = make_directory(b.get(), "deep");
    dentry_ref two = make_file(deep.get(), "two");

    d_exchange(one.get(), two.get());
    EXPECT_EQ(cached(deep.get(), "two"), one);
    EXPECT_EQ(cached(a.get(), "one"), two);
    EXPECT_EQ(cached(one.get(), "child"), child);
}

TEST_F(DExchange, TwiceRestoresBoth)
{
    dentry_ref one = make_file(a.get(), "one");
    dentry_ref two = make_file(b.get(), "two");

    d_exchange(one.get(), two.get());
    d_exchange(one.get(), two.get());
    EXPECT_EQ(cached(a.get(), "one"), one);
    EXPECT_EQ(cached(b.get(), "two"), two);
}

TEST_F(DExchange, ANegativeIsComplainedAbout)
{
    dentry_ref one = make_file(a.get(), "one");
    dentry_ref absent = make_negative(b.get(), "absent");

    d_exchange(one.get(), absent.get());
    EXPECT_EQ(warnings.take().size(), 1u);
}

// --- Both, for all four pairs of inline and external names ---

class MoveNames : public move_fixture, public ::testing::WithParamInterface<std::tuple<bool, bool>>
{
  protected:
    std::string first_text() const
    {
        return std::get<0>(GetParam()) ? long_name : "short";
    }
    std::string second_text() const
    {
        return std::get<1>(GetParam()) ? other_long_name : "other";
    }
};

TEST_P(MoveNames, AMoveGivesTheTargetsName)
{
    dentry_ref file = make_file(a.get(), first_text());
    dentry_ref target = make_negative(b.get(), second_text());

    d_move(file.get(), target.get());
    EXPECT_EQ(name_of(file.get()), second_text());
    EXPECT_EQ(cached(b.get(), second_text()), file);
    EXPECT_FALSE(is_cached(a.get(), first_text()));
    target.reset();
    rcu_barrier();
    EXPECT_EQ(name_of(file.get()), second_text());
    EXPECT_EQ(cached(b.get(), second_text()), file);
}

TEST_P(MoveNames, AMoveKeepsNoNameTooMany)
{
    dentry_ref file = make_file(a.get(), first_text());
    dentry_ref target = make_unhashed(b.get(), second_text());
    bool external = dname_external(target.get());
    long blocks = kmalloc_objects() - dname_external(file.get()) - external;

    d_move(file.get(), target.get());
    target.reset();
    rcu_barrier();
    EXPECT_EQ(kmalloc_objects(), blocks + external);
}

TEST_P(MoveNames, AnExchangeSwapsTheNames)
{
    dentry_ref one = make_file(a.get(), first_text());
    dentry_ref two = make_file(b.get(), second_text());
    long blocks = kmalloc_objects();

    d_exchange(one.get(), two.get());
    EXPECT_EQ(cached(b.get(), second_text()), one);
    EXPECT_EQ(cached(a.get(), first_text()), two);
    EXPECT_EQ(name_of(one.get()), second_text());
    EXPECT_EQ(name_of(two.get()), first_text());
    rcu_barrier();
    EXPECT_EQ(kmalloc_objects(), blocks);
}

std::string pair_name(const ::testing::TestParamInfo<std::tuple<bool, bool>> &info)
{
    static const char *const kinds[] = {"Inline", "External"};

    return std::string(kinds[std::get<0>(info.param)]) + kinds[std::get<1>(info.param)];
}

INSTANTIATE_TEST_SUITE_P(Names, MoveNames, ::testing::Combine(::testing::Bool(), ::testing::Bool()),
                         pair_name);

// --- d_splice_alias() ---

TEST_F(DSpliceAlias, AFileIsAdded)
{
    dentry_ref child = make_unhashed(root, "child");
    inode *inode = file_inode();

    EXPECT_EQ(d_splice_alias(inode, child.get()), nullptr);
    EXPECT_EQ(cached(root, "child"), child);
    EXPECT_EQ(d_inode(child.get()), inode);
    EXPECT_EQ(references_of(inode), 1);
}

TEST_F(DSpliceAlias, NoInodeIsAMiss)
{
    dentry_ref child = make_unhashed(root, "child");

    EXPECT_EQ(d_splice_alias(nullptr, child.get()), nullptr);
    EXPECT_EQ(cached(root, "child"), child);
    EXPECT_TRUE(d_is_negative(child.get()));
}

TEST_F(DSpliceAlias, AnErrorIsReturnedAndNothingPublished)
{
    dentry_ref child = make_unhashed(root, "child");

    EXPECT_EQ(PTR_ERR(d_splice_alias(ERR_PTR(-EIO), child.get())), -EIO);
    EXPECT_TRUE(d_unhashed(child.get()));
}

TEST_F(DSpliceAlias, ADirectoryWithoutAnAliasIsAdded)
{
    dentry_ref child = make_unhashed(root, "child");

    EXPECT_EQ(d_splice_alias(directory_inode(), child.get()), nullptr);
    EXPECT_EQ(cached(root, "child"), child);
    EXPECT_TRUE(d_is_dir(child.get()));
}

TEST_F(DSpliceAlias, ASecondAliasOfAFileIsAdded)
{
    dentry_ref first = make_file(root, "first");
    dentry_ref second = make_unhashed(root, "second");

    ihold(d_inode(first.get()));
    EXPECT_EQ(d_splice_alias(d_inode(first.get()), second.get()), nullptr);
    EXPECT_EQ(d_inode(second.get()), d_inode(first.get()));
    EXPECT_EQ(cached(root, "first"), first);
    EXPECT_EQ(cached(root, "second"), second);
}

TEST_F(DSpliceAlias, ADisconnectedDirectoryIsMovedIntoPlace)
{
    inode *inode = directory_inode();
    dentry_ref alias = adopt_dentry(d_obtain_alias(inode));
    dentry_ref child = make_unhashed(root, "child");
    int references = references_of(inode);

    ihold(inode);
    dentry_ref found = adopt_dentry(d_splice_alias(inode, child.get()));
    EXPECT_EQ(found, alias);
    EXPECT_EQ(d_count(alias.get()), 2);
    EXPECT_EQ(cached(root, "child"), alias);
    EXPECT_FALSE(IS_ROOT(alias.get()));
    EXPECT_TRUE(d_unhashed(child.get()));
    EXPECT_TRUE(d_is_negative(child.get()));
    EXPECT_EQ(references_of(inode), references);
    EXPECT_FALSE(spin_is_locked(&inode->i_lock));
}

// Whether it is connected now is for the file handle code to find out, from ancestor to ancestor.
TEST_F(DSpliceAlias, MovingIntoPlaceKeepsTheDisconnectedMark)
{
    inode *inode = directory_inode();
    dentry_ref alias = adopt_dentry(d_obtain_alias(inode));
    dentry_ref child = make_unhashed(root, "child");

    ihold(inode);
    adopt_dentry(d_splice_alias(inode, child.get()));
    EXPECT_TRUE(has_flag(alias.get(), DCACHE_DISCONNECTED));
}

TEST_F(DSpliceAlias, ASecondaryRootLeavesTheListOfRoots)
{
    inode *inode = directory_inode();
    dentry_ref second = adopt_dentry(d_obtain_root(inode));
    dentry_ref child = make_unhashed(root, "child");
    ASSERT_FALSE(hlist_empty(&sb->s_roots));

    ihold(inode);
    EXPECT_EQ(adopt_dentry(d_splice_alias(inode, child.get())), second);
    EXPECT_TRUE(hlist_empty(&sb->s_roots));
    EXPECT_TRUE(is_child_of(second.get(), root));
    EXPECT_EQ(cached(root, "child"), second);
}

TEST_F(DSpliceAlias, OtherSecondaryRootsStayListed)
{
    inode *inode = directory_inode();
    dentry_ref first = adopt_dentry(d_obtain_root(directory_inode()));
    dentry_ref second = adopt_dentry(d_obtain_root(inode));
    dentry_ref third = adopt_dentry(d_obtain_root(directory_inode()));
    dentry_ref child = make_unhashed(root, "child");

    ihold(inode);
    adopt_dentry(d_splice_alias(inode, child.get()));
    EXPECT_EQ(hlist_first(&sb->s_roots), &third->d_sib);
    EXPECT_EQ(d_next_sibling(third.get()), first.get());
}

TEST_F(DSpliceAlias, AnUnusedAliasIsMovedAndReferenced)
{
    dentry *alias = make_directory(root, "old").get();
    inode *inode = d_inode(alias);
    dentry_ref child = make_unhashed(root, "new");
    ASSERT_EQ(d_count(alias), 0);

    ihold(inode);
    dentry_ref found = adopt_dentry(d_splice_alias(inode, child.get()));
    EXPECT_EQ(found.get(), alias);
    EXPECT_EQ(d_count(alias), 1);
}

TEST_F(DSpliceAlias, AnAncestorBelowItselfIsALoop)
{
    dentry_ref directory = make_directory(root, "d");
    dentry_ref child = make_unhashed(make_directory(directory.get(), "e").get(), "child");
    inode *inode = d_inode(directory.get());
    int references = references_of(inode);
    int count = d_count(directory.get());
    unsigned before = renames();

    ihold(inode);
    EXPECT_EQ(PTR_ERR(d_splice_alias(inode, child.get())), -ELOOP);
    EXPECT_EQ(references_of(inode), references);
    EXPECT_EQ(d_count(directory.get()), count);
    EXPECT_TRUE(d_unhashed(child.get()));
    EXPECT_EQ(cached(root, "d"), directory);
    EXPECT_EQ(renames(), before + 2); // the lock was taken, and is free again
    EXPECT_FALSE(spin_is_locked(&rename_lock.lock));
}

TEST_F(DSpliceAlias, TheParentItselfIsALoopAsWell)
{
    dentry_ref child = make_unhashed(root, "child");

    ihold(d_inode(root));
    EXPECT_EQ(PTR_ERR(d_splice_alias(d_inode(root), child.get())), -ELOOP);
}

TEST_F(DSpliceAlias, AnInLookupDentryIsFinishedByTheMove)
{
    inode *inode = directory_inode();
    dentry_ref alias = adopt_dentry(d_obtain_alias(inode));
    dentry_ref child = allocate_parallel(root, "child");

    ihold(inode);
    EXPECT_EQ(adopt_dentry(d_splice_alias(inode, child.get())), alias);
    EXPECT_FALSE(d_in_lookup(child.get()));
    EXPECT_TRUE(d_unhashed(child.get()));
    EXPECT_EQ(cached(root, "child"), alias);
}

TEST_F(DSpliceAlias, WithAnErrorAnInLookupDentryStaysInLookup)
{
    dentry_ref child = allocate_parallel(root, "child");

    ihold(d_inode(root));
    EXPECT_EQ(PTR_ERR(d_splice_alias(d_inode(root), child.get())), -ELOOP);
    EXPECT_EQ(PTR_ERR(d_splice_alias(ERR_PTR(-EIO), child.get())), -EIO);
    EXPECT_TRUE(d_in_lookup(child.get()));
    d_lookup_done(child.get());
}

TEST_F(DSpliceAlias, MayGiveTheDentryOperationsOfItsOwn)
{
    callbacks.on_delete = [](const dentry *) { return 0; };
    dentry_ref child = make_unhashed(root, "child");

    EXPECT_EQ(d_splice_alias_ops(file_inode(), child.get(), callbacks.table()), nullptr);
    EXPECT_EQ(child->d_op, callbacks.table());
    EXPECT_TRUE(has_flag(child.get(), DCACHE_OP_DELETE));
    EXPECT_EQ(make_unhashed(root, "other")->d_op, nullptr);
}

TEST_F(DSpliceAlias, AHashedDentryIsABug)
{
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    dentry_ref child = make_negative(root, "child");

    EXPECT_DEATH(d_splice_alias(nullptr, child.get()), "BUG.*d_unhashed");
}

// --- The alias is somewhere else: __d_unalias() ---

TEST_F(DUnalias, InTheSameDirectoryItIsRenamedWithoutMoreLocks)
{
    dentry_ref alias = make_directory(root, "old");
    dentry_ref child = make_unhashed(root, "new");

    // Neither lock is wanted: both are taken here.
    mutex_lock(&sb->s_vfs_rename_mutex);
    inode_lock(d_inode(root));
    ihold(d_inode(alias.get()));
    EXPECT_EQ(adopt_dentry(d_splice_alias(d_inode(alias.get()), child.get())), alias);
    inode_unlock(d_inode(root));
    mutex_unlock(&sb->s_vfs_rename_mutex);
    EXPECT_EQ(cached(root, "new"), alias);
    EXPECT_FALSE(is_cached(root, "old"));
}

class DUnaliasAcross : public move_fixture
{
  protected:
    void SetUp() override
    {
        move_fixture::SetUp();
        alias = make_directory(a.get(), "old");
        child = make_unhashed(b.get(), "new");
        moved = d_inode(alias.get());
    }
    void TearDown() override
    {
        alias.reset();
        child.reset();
        move_fixture::TearDown();
    }

    dentry *splice() const
    {
        ihold(moved);
        return d_splice_alias(moved, child.get());
    }

    void expect_refused()
    {
        int references = references_of(moved);
        int on_a = d_count(a.get());

        EXPECT_EQ(PTR_ERR(splice()), -ESTALE);
        EXPECT_EQ(references_of(moved), references);
        EXPECT_EQ(d_count(alias.get()), 1);
        EXPECT_EQ(d_count(a.get()), on_a);
        EXPECT_EQ(cached(a.get(), "old"), alias);
        EXPECT_TRUE(d_unhashed(child.get()));
        expect_nothing_locked();
    }

    dentry_ref alias, child;
    inode *moved = nullptr;
};

TEST_F(DUnaliasAcross, ItIsMovedToWhereTheLookupFoundIt)
{
    int on_a = d_count(a.get());

    EXPECT_EQ(adopt_dentry(splice()), alias);
    EXPECT_EQ(cached(b.get(), "new"), alias);
    EXPECT_FALSE(is_cached(a.get(), "old"));
    EXPECT_EQ(d_count(a.get()), on_a - 1);
    EXPECT_FALSE(mutex_is_locked(&sb->s_vfs_rename_mutex));
    EXPECT_FALSE(rwsem_is_locked(&d_inode(a.get())->i_rwsem));
}

TEST_F(DUnaliasAcross, WhileSomebodyRenamesItIsRefused)
{
    mutex_lock(&sb->s_vfs_rename_mutex);
    expect_refused();
    mutex_unlock(&sb->s_vfs_rename_mutex);
    EXPECT_FALSE(rwsem_is_locked(&d_inode(a.get())->i_rwsem));
}

TEST_F(DUnaliasAcross, WhileItsDirectoryIsBeingChangedItIsRefused)
{
    inode_lock(d_inode(a.get()));
    expect_refused();
    inode_unlock(d_inode(a.get()));
    EXPECT_FALSE(mutex_is_locked(&sb->s_vfs_rename_mutex));
}

// The lock it wants is the shared one: lookups in the old directory do not hinder it.
TEST_F(DUnaliasAcross, LookupsInItsDirectoryDoNotMatter)
{
    inode_lock_shared(d_inode(a.get()));
    EXPECT_EQ(adopt_dentry(splice()), alias);
    inode_unlock_shared(d_inode(a.get()));
}

// The last reference on the old directory may be the one that the alias held.
TEST_F(DUnaliasAcross, ADirectoryThatOnlyTheAliasKeptGoesCleanly)
{
    dentry_ref parent = make_directory(root, "only");
    dentry_ref inner = make_directory(parent.get(), "inner");
    dentry_ref place = make_unhashed(b.get(), "place");
    d_drop(parent.get());
    parent.reset();
    counter_change existing(NR_DENTRY);

    ihold(d_inode(inner.get()));
    EXPECT_EQ(adopt_dentry(d_splice_alias(d_inode(inner.get()), place.get())), inner);
    EXPECT_EQ(existing.value(), -1);
}

class DUnaliasWithCallbacks : public DUnaliasAcross
{
  protected:
    void SetUp() override
    {
        vfs_fixture::SetUp();
        callbacks.unalias_trylock = [this](const dentry *dentry) {
            asked = dentry;
            EXPECT_TRUE(spin_is_locked(&rename_lock.lock));
            return answer;
        };
        callbacks.unalias_unlock = [this](const dentry *dentry) {
            EXPECT_EQ(dentry, asked);
            EXPECT_EQ(name_of(dentry), "new");
            unlocks++;
        };
        set_default_d_op(sb, callbacks.table());
        a = make_directory(root, "a");
        b = make_directory(root, "b");
        alias = make_directory(a.get(), "old");
        child = make_unhashed(b.get(), "new");
        moved = d_inode(alias.get());
    }

    const dentry *asked = nullptr;
    bool answer = true;
    int unlocks = 0;
};

TEST_F(DUnaliasWithCallbacks, TheFileSystemLocksAroundTheMove)
{
    EXPECT_EQ(adopt_dentry(splice()), alias);
    EXPECT_EQ(asked, alias.get());
    EXPECT_EQ(unlocks, 1);
}

TEST_F(DUnaliasWithCallbacks, TheFileSystemMayRefuse)
{
    answer = false;
    expect_refused();
    EXPECT_EQ(unlocks, 0);
    EXPECT_FALSE(mutex_is_locked(&sb->s_vfs_rename_mutex));
    EXPECT_FALSE(rwsem_is_locked(&d_inode(a.get())->i_rwsem));
}

// --- d_add_ci() ---

/// One dentry as ->lookup() of a case-folding file system gets it.
class DAddCi : public vfs_fixture
{
  protected:
    dentry_ref add(dentry *asked, inode *inode, std::string_view exact)
    {
        qstr name = make_qstr(exact.data(), static_cast<u32>(exact.size()));
        return adopt_dentry(d_add_ci(asked, inode, &name));
    }
};

TEST_F(DAddCi, TheExactNameIsMadeAndPublished)
{
    dentry_ref asked = allocate_parallel(root, "FOO");
    inode *inode = file_inode();

    dentry_ref exact = add(asked.get(), inode, "Foo");
    EXPECT_EQ(cached(root, "Foo"), exact);
    EXPECT_EQ(d_inode(exact.get()), inode);
    EXPECT_FALSE(d_in_lookup(exact.get()));
    EXPECT_FALSE(is_cached(root, "FOO"));
    d_lookup_done(asked.get());
}

TEST_F(DAddCi, WhatWasAskedForStaysInLookup)
{
    dentry_ref asked = allocate_parallel(root, "FOO");

    add(asked.get(), file_inode(), "Foo");
    EXPECT_TRUE(d_in_lookup(asked.get()));
    EXPECT_EQ(d_count(asked.get()), 1);
    d_lookup_done(asked.get());
}

TEST_F(DAddCi, ACachedExactNameIsUsed)
{
    dentry_ref cached_one = make_file(root, "Foo");
    dentry_ref asked = allocate_parallel(root, "FOO");
    inode *inode = d_inode(cached_one.get());
    int references = references_of(inode);

    ihold(inode);
    EXPECT_EQ(add(asked.get(), inode, "Foo"), cached_one);
    EXPECT_EQ(references_of(inode), references);
    d_lookup_done(asked.get());
}

TEST_F(DAddCi, ACachedMissOfTheExactNameIsTheAnswerAsWell)
{
    dentry_ref absent = make_negative(root, "Foo");
    dentry_ref asked = allocate_parallel(root, "FOO");
    counter_change inodes(NR_INODES);

    EXPECT_EQ(add(asked.get(), file_inode(), "Foo"), absent);
    EXPECT_EQ(inodes.value(), 0);
    d_lookup_done(asked.get());
}

TEST_F(DAddCi, TheErrorOfTheHashCallbackIsTheAnswer)
{
    bool refuse = false;
    callbacks.hash = [&](const dentry *, qstr *) { return refuse ? -EINVAL : 0; };
    set_default_d_op(sb, callbacks.table());
    dentry_ref directory = make_directory(root, "d");
    dentry_ref asked = allocate_parallel(directory.get(), "FOO");
    counter_change inodes(NR_INODES);

    refuse = true;
    EXPECT_EQ(PTR_ERR(add(asked.get(), file_inode(), "Foo").get()), -EINVAL);
    EXPECT_EQ(inodes.value(), 0);
    d_lookup_done(asked.get());
}

TEST_F(DAddCi, OutsideALookupAPlainDentryIsMade)
{
    dentry_ref asked = make_unhashed(root, "FOO");
    unsigned before = directory_sequence(root);

    dentry_ref exact = add(asked.get(), file_inode(), "Foo");
    EXPECT_EQ(cached(root, "Foo"), exact);
    EXPECT_EQ(d_count(exact.get()), 1);
    EXPECT_EQ(directory_sequence(root), before);
}

TEST_F(DAddCi, WithoutMemoryTheInodeReferenceIsConsumed)
{
    dentry_ref in_lookup = allocate_parallel(root, "FOO");
    dentry_ref plain = make_unhashed(root, "fOO");
    counter_change inodes(NR_INODES);

    for (dentry *asked : {in_lookup.get(), plain.get()}) {
        inode *inode = file_inode();
        kmem_fail_nth(1);
        EXPECT_EQ(PTR_ERR(add(asked, inode, "Foo").get()), -ENOMEM);
        EXPECT_TRUE(kmem_failure_delivered());
    }
    EXPECT_EQ(inodes.value(), 0);
    d_lookup_done(in_lookup.get());
}

TEST_F(DAddCi, ADirectoryAliasIsMovedToTheExactName)
{
    inode *inode = directory_inode();
    dentry_ref alias = adopt_dentry(d_obtain_alias(inode));
    dentry_ref asked = allocate_parallel(root, "FOO");
    counter_change existing(NR_DENTRY);

    ihold(inode);
    EXPECT_EQ(add(asked.get(), inode, "Foo"), alias);
    EXPECT_EQ(cached(root, "Foo"), alias);
    EXPECT_EQ(existing.value(), 0);
    EXPECT_TRUE(d_in_lookup(asked.get()));
    d_lookup_done(asked.get());
}

// The helper dentry must leave the in-lookup table before its last reference goes.
TEST_F(DAddCi, AFailedSpliceLeavesNothingInLookup)
{
    dentry_ref asked = allocate_parallel(root, "FOO");
    counter_change existing(NR_DENTRY);

    ihold(d_inode(root));
    EXPECT_EQ(PTR_ERR(add(asked.get(), d_inode(root), "Foo").get()), -ELOOP);
    EXPECT_EQ(existing.value(), 0);
    dentry_ref next = allocate_parallel(root, "Foo");
    EXPECT_TRUE(d_in_lookup(next.get()));
    d_lookup_done(next.get());
    d_lookup_done(asked.get());
}

// --- Ancestry ---

TEST_F(DAncestor, IsTheChildOfTheAncestorOnTheWay)
{
    dentry_ref a = make_directory(root, "a");
    dentry_ref b = make_directory(a.get(), "b");
    dentry_ref c = make_directory(b.get(), "c");

    EXPECT_EQ(d_ancestor(root, c.get()), a.get());
    EXPECT_EQ(d_ancestor(a.get(), c.get()), b.get());
    EXPECT_EQ(d_ancestor(b.get(), c.get()), c.get());
    EXPECT_EQ(d_count(b.get()), 2);
}

TEST_F(DAncestor, IsNullForOthers)
{
    dentry_ref a = make_directory(root, "a");
    dentry_ref b = make_directory(root, "b");
    dentry_ref alias = adopt_dentry(d_obtain_alias(directory_inode()));

    EXPECT_EQ(d_ancestor(a.get(), b.get()), nullptr);
    EXPECT_EQ(d_ancestor(a.get(), a.get()), nullptr);
    EXPECT_EQ(d_ancestor(a.get(), root), nullptr);
    EXPECT_EQ(d_ancestor(root, root), nullptr);
    EXPECT_EQ(d_ancestor(root, alias.get()), nullptr);
}

TEST_F(IsSubdir, HoldsForItselfAndWhatIsBelow)
{
    dentry_ref a = make_directory(root, "a");
    dentry_ref b = make_directory(a.get(), "b");

    EXPECT_TRUE(is_subdir(a.get(), a.get()));
    EXPECT_TRUE(is_subdir(b.get(), a.get()));
    EXPECT_TRUE(is_subdir(b.get(), root));
    EXPECT_TRUE(is_subdir(root, root));
}

TEST_F(IsSubdir, DoesNotHoldForAncestorsSiblingsAndOtherTrees)
{
    dentry_ref a = make_directory(root, "a");
    dentry_ref b = make_directory(root, "b");
    dentry_ref alias = adopt_dentry(d_obtain_alias(directory_inode()));

    EXPECT_FALSE(is_subdir(root, a.get()));
    EXPECT_FALSE(is_subdir(a.get(), b.get()));
    EXPECT_FALSE(is_subdir(alias.get(), root));
    EXPECT_FALSE(rcu_read_lock_held());
}

TEST_F(DParentIno, IsTheNumberOfTheParent)
{
    dentry_ref a = make_directory(root, "a");
    dentry_ref b = make_directory(a.get(), "b");

    EXPECT_EQ(d_parent_ino(b.get()), d_inode(a.get())->i_ino);
    EXPECT_EQ(d_parent_ino(a.get()), d_inode(root)->i_ino);
    EXPECT_EQ(d_parent_ino(root), d_inode(root)->i_ino);
}

TEST_F(DParentIno, FollowsAMove)
{
    dentry_ref a = make_directory(root, "a");
    dentry_ref file = make_file(root, "file");
    dentry_ref target = make_unhashed(a.get(), "file");

    d_move(file.get(), target.get());
    EXPECT_EQ(d_parent_ino(file.get()), d_inode(a.get())->i_ino);
}

// With d_seq odd the lockless reading cannot succeed: the answer comes from under d_lock.
TEST_F(DParentIno, AfterASpoiltReadingItAsksUnderTheLock)
{
    dentry_ref a = make_directory(root, "a");
    dentry_ref file = make_file(a.get(), "file");

    write_seqcount_begin(&file->d_seq);
    EXPECT_EQ(d_parent_ino(file.get()), d_inode(a.get())->i_ino);
    write_seqcount_end(&file->d_seq);
    EXPECT_FALSE(spin_is_locked(&file->d_lock));
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
