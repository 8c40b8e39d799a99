// SPDX-License-Identifier: GPL-2.0-only
//
// Walks over a subtree and what stands on them: pruning, invalidating, mountpoints, unmounting.
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
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

/// A record of who was killed.
class walk_fixture : public vfs_fixture
{
  protected:
    void SetUp() override
    {
        vfs_fixture::SetUp();
        callbacks.release = [this](dentry *dentry) { killed.push_back(name_of(dentry)); };
        set_default_d_op(sb, callbacks.table());
    }

    /// A cursor that dcache_readdir() has put among the children, as the newest.
    dentry_ref place_cursor(dentry *directory)
    {
        dentry_ref cursor = adopt_dentry(d_alloc_cursor(directory));

        spin_guard guard(&directory->d_lock);
        hlist_add_head(&cursor->d_sib, &directory->d_children);
        return cursor;
    }

    static bool move_to_list(dentry *dentry, list_head *list)
    {
        spin_guard guard(&dentry->d_lock);
        return __move_to_shrink_list(dentry, list);
    }

    std::vector<std::string> killed;
};

using ShrinkDcacheParent = walk_fixture;
using DInvalidate = walk_fixture;
using DSetMounted = walk_fixture;
using PathHasSubmounts = walk_fixture;
using DGenocide = walk_fixture;

// --- shrink_dcache_parent() ---

TEST_F(ShrinkDcacheParent, KillsUnusedDescendantsAtAnyDepth)
{
    dentry_ref top = make_directory(root, "top");
    leave_file(make_directory(make_directory(top.get(), "a").get(), "b").get(), "deep");
    leave_negative(top.get(), "absent");

    shrink_dcache_parent(top.get());
    EXPECT_THAT(killed, UnorderedElementsAre("deep", "b", "a", "absent"));
    EXPECT_TRUE(hlist_empty(&top->d_children));
    EXPECT_EQ(d_count(top.get()), 1);
}

TEST_F(ShrinkDcacheParent, AChildlessDentryIsFine)
{
    dentry_ref file = make_file(root, "file");

    shrink_dcache_parent(file.get());
    EXPECT_THAT(killed, IsEmpty());
}

TEST_F(ShrinkDcacheParent, WhatIsInUseStaysWithItsAncestors)
{
    dentry_ref top = make_directory(root, "top");
    dentry_ref used;
    {
        dentry_ref a = make_directory(top.get(), "a");
        used = make_file(a.get(), "used");
        leave_file(a.get(), "unused");
    }

    shrink_dcache_parent(top.get());
    EXPECT_THAT(killed, ElementsAre("unused"));
    EXPECT_TRUE(is_cached(top.get(), "a"));
    EXPECT_FALSE(d_unhashed(used.get()));
}

TEST_F(ShrinkDcacheParent, TheDentryItselfAndItsSiblingsStay)
{
    dentry *top = make_directory(root, "top").get();
    leave_file(root, "sibling");

    shrink_dcache_parent(top);
    EXPECT_THAT(killed, IsEmpty());
    EXPECT_TRUE(is_cached(root, "sibling"));
}

TEST_F(ShrinkDcacheParent, BeingReferencedIsNoExcuse)
{
    dentry *file = leave_file(root, "file");
    cached(root, "file").reset();
    ASSERT_TRUE(has_flag(file, DCACHE_REFERENCED));

    shrink_dcache_parent(root);
    EXPECT_THAT(killed, ElementsAre("file"));
}

TEST_F(ShrinkDcacheParent, AnUnusedOneThatIsOnNoListGoesToo)
{
    dentry *raw = make_file(root, "file").detach();

    WRITE_ONCE(raw->d_lockref.count, 0);
    shrink_dcache_parent(root);
    EXPECT_THAT(killed, ElementsAre("file"));
}

TEST_F(ShrinkDcacheParent, AWideDirectoryIsEmptied)
{
    for (int i = 0; i < 3000; i++)
        leave_negative(root, std::to_string(i));
    shrink_dcache_parent(root);
    EXPECT_EQ(killed.size(), 3000u);
    EXPECT_TRUE(hlist_empty(&root->d_children));
}

TEST_F(ShrinkDcacheParent, ADeepPathIsEmptiedWithoutRecursion)
{
    constexpr size_t depth = 20000;
    dentry_ref at = make_directory(root, "d");

    for (size_t i = 1; i < depth; i++)
        at = make_directory(at.get(), "d");
    at.reset();
    shrink_dcache_parent(root);
    EXPECT_EQ(killed.size(), depth);
}

TEST_F(ShrinkDcacheParent, CursorsAreNotNames)
{
    leave_file(root, "one");
    dentry_ref cursor = place_cursor(root);
    leave_file(root, "two");

    shrink_dcache_parent(root);
    EXPECT_THAT(killed, UnorderedElementsAre("one", "two"));
    EXPECT_EQ(d_first_child(root), cursor.get());
    EXPECT_EQ(d_count(cursor.get()), 1);
}

TEST_F(ShrinkDcacheParent, OfACursorThereIsNothingToPrune)
{
    leave_file(root, "file");
    dentry_ref cursor = adopt_dentry(d_alloc_cursor(root));

    shrink_dcache_parent(cursor.get());
    EXPECT_THAT(killed, IsEmpty());
    EXPECT_FALSE(spin_is_locked(&cursor->d_lock));
}

// A walk that comes back from a dentry killed under it goes on at the `next` left behind. Cursors
// wander, so it must not lead to one.
TEST_F(ShrinkDcacheParent, AKilledDentryPointsPastTheCursorsBehindIt)
{
    list_head list;
    INIT_LIST_HEAD(&list);
    dentry_ref last = make_file(root, "last");
    dentry_ref cursor = place_cursor(root);
    dentry_ref another = place_cursor(root);
    dentry *victim = leave_file(root, "victim");
    ASSERT_EQ(d_next_sibling(victim), another.get());

    // On a private list its memory outlives it.
    ASSERT_TRUE(move_to_list(victim, &list));
    shrink_dcache_parent(root);
    ASSERT_TRUE(has_flag(victim, DCACHE_DENTRY_KILLED));
    EXPECT_EQ(d_next_sibling(victim), last.get());
    shrink_dentry_list(&list);
}

TEST_F(ShrinkDcacheParent, WhatOthersHaveOnTheirListsIsKilledButNotFreed)
{
    list_head list;
    INIT_LIST_HEAD(&list);
    dentry_ref top = make_directory(root, "top");
    dentry *file = leave_file(top.get(), "file");
    ASSERT_TRUE(move_to_list(file, &list));
    counter_change freed(DENTRIES_FREED);

    shrink_dcache_parent(top.get());
    EXPECT_THAT(killed, ElementsAre("file"));
    EXPECT_TRUE(hlist_empty(&top->d_children));
    EXPECT_EQ(freed.value(), 0);
    shrink_dentry_list(&list);
    EXPECT_EQ(freed.value(), 1);
}

// --- d_invalidate() ---

TEST_F(DInvalidate, UnhashesAndPrunesBelow)
{
    dentry_ref top = make_directory(root, "top");
    dentry_ref used = make_file(top.get(), "used");
    leave_file(top.get(), "unused");

    d_invalidate(top.get());
    EXPECT_TRUE(d_unhashed(top.get()));
    EXPECT_TRUE(d_is_positive(top.get()));
    EXPECT_THAT(killed, ElementsAre("unused"));
    EXPECT_FALSE(d_unhashed(used.get()));
    EXPECT_EQ(parent_of(used.get()), top.get());
}

TEST_F(DInvalidate, TheCallersReferenceStays)
{
    dentry_ref file = make_file(root, "file");

    d_invalidate(file.get());
    EXPECT_EQ(d_count(file.get()), 1);
    EXPECT_THAT(killed, IsEmpty());
}

TEST_F(DInvalidate, ANegativeIsOnlyUnhashed)
{
    dentry_ref absent = make_negative(root, "absent");
    unsigned before = sequence_of(absent.get());

    d_invalidate(absent.get());
    EXPECT_TRUE(d_unhashed(absent.get()));
    EXPECT_EQ(sequence_of(absent.get()), before + 2);
}

TEST_F(DInvalidate, AnUnhashedOneIsLeftAlone)
{
    dentry_ref top = make_directory(root, "top");
    leave_file(top.get(), "unused");
    d_drop(top.get());
    unsigned before = sequence_of(top.get());

    d_invalidate(top.get());
    EXPECT_THAT(killed, IsEmpty());
    EXPECT_EQ(sequence_of(top.get()), before);
    EXPECT_FALSE(spin_is_locked(&top->d_lock));
}

// --- Mountpoints ---

/// Two file systems, one to be mounted in the other.
class mount_fixture : public walk_fixture
{
  protected:
    void SetUp() override
    {
        walk_fixture::SetUp();
        other = make_super_block();
        top_mount = vfs_create_mount(sb);
        set_namespace_root(top_mount);
        other_mount = vfs_create_mount(other);
    }
    void TearDown() override
    {
        set_namespace_root(nullptr);
        mntput(&other_mount->mnt);
        mntput(&top_mount->mnt);
        EXPECT_EQ(generic_shutdown_super(other), 0);
        walk_fixture::TearDown();
    }

    path at(dentry *dentry) const
    {
        return {&top_mount->mnt, dentry};
    }
    int mount_on(dentry *dentry) const
    {
        path where = at(dentry);
        mntget(&other_mount->mnt); // for the namespace
        return do_add_mount(other_mount, &where);
    }
    bool has_submounts(dentry *dentry) const
    {
        path where = at(dentry);
        return path_has_submounts(&where);
    }
    bool is_mounted() const
    {
        return READ_ONCE(other_mount->mnt_parent) == top_mount;
    }

    super_block *other = nullptr;
    mount *top_mount = nullptr;
    mount *other_mount = nullptr;
};

using DInvalidateMounted = mount_fixture;
using Submounts = mount_fixture;

TEST_F(DSetMounted, MarksTheDentry)
{
    dentry_ref top = make_directory(root, "top");

    EXPECT_EQ(d_set_mounted(top.get()), 0);
    EXPECT_TRUE(d_mountpoint(top.get()));
    EXPECT_TRUE(d_managed(top.get()));
    EXPECT_EQ(d_count(top.get()), 1);
}

TEST_F(DSetMounted, TwiceIsBusy)
{
    dentry_ref top = make_directory(root, "top");

    EXPECT_EQ(d_set_mounted(top.get()), 0);
    EXPECT_EQ(d_set_mounted(top.get()), -EBUSY);
}

TEST_F(DSetMounted, ARootMayBeMountedOn)
{
    EXPECT_EQ(d_set_mounted(root), 0);
    EXPECT_TRUE(d_mountpoint(root));
}

TEST_F(DSetMounted, ADroppedDentryIsGone)
{
    dentry_ref top = make_directory(root, "top");

    d_drop(top.get());
    EXPECT_EQ(d_set_mounted(top.get()), -ENOENT);
    EXPECT_FALSE(d_mountpoint(top.get()));
}

TEST_F(DSetMounted, BelowADroppedDentryAllIsGone)
{
    dentry_ref a = make_directory(root, "a");
    dentry_ref b = make_directory(a.get(), "b");
    dentry_ref c = make_directory(b.get(), "c");

    d_drop(a.get());
    EXPECT_EQ(d_set_mounted(c.get()), -ENOENT);
    EXPECT_EQ(d_set_mounted(b.get()), -ENOENT);
    EXPECT_FALSE(d_mountpoint(c.get()));
    EXPECT_FALSE(spin_is_locked(&rename_lock.lock));
}

// Only one of the two may succeed; here is the order in which d_invalidate() wins.
TEST_F(DSetMounted, AfterAnInvalidationItFails)
{
    dentry_ref top = make_directory(root, "top");
    dentry_ref below = make_directory(top.get(), "below");

    d_invalidate(top.get());
    EXPECT_EQ(d_set_mounted(below.get()), -ENOENT);
}

TEST_F(DSetMounted, DoesNotCountAsARename)
{
    dentry_ref top = make_directory(root, "top");
    unsigned before = READ_ONCE(rename_lock.seqcount.sequence);

    d_set_mounted(top.get());
    EXPECT_EQ(READ_ONCE(rename_lock.seqcount.sequence), before);
}

TEST_F(DSetMounted, DontMountOnlySetsItsMark)
{
    dentry_ref top = make_directory(root, "top");

    EXPECT_FALSE(cant_mount(top.get()));
    dont_mount(top.get());
    EXPECT_TRUE(cant_mount(top.get()));
    EXPECT_FALSE(d_managed(top.get()));
    EXPECT_FALSE(spin_is_locked(&top->d_lock));
}

TEST_F(DInvalidateMounted, DetachesWhatIsMountedBelow)
{
    dentry_ref top = make_directory(root, "top");
    dentry_ref below = make_directory(top.get(), "below");
    ASSERT_EQ(mount_on(below.get()), 0);

    d_invalidate(top.get());
    EXPECT_FALSE(is_mounted());
    EXPECT_FALSE(d_mountpoint(below.get()));
}

TEST_F(DInvalidateMounted, DetachesWhatIsMountedOnIt)
{
    dentry_ref top = make_directory(root, "top");
    ASSERT_EQ(mount_on(top.get()), 0);

    d_invalidate(top.get());
    EXPECT_FALSE(is_mounted());
    EXPECT_EQ(d_count(top.get()), 1);
}

TEST_F(DInvalidateMounted, FormerMountpointsArePrunedInTheEnd)
{
    dentry_ref top = make_directory(root, "top");
    {
        dentry_ref below = make_directory(top.get(), "below");
        ASSERT_EQ(mount_on(below.get()), 0);
    }
    ASSERT_THAT(killed, IsEmpty());

    d_invalidate(top.get());
    EXPECT_THAT(killed, ElementsAre("below"));
    EXPECT_TRUE(hlist_empty(&top->d_children));
}

// They go with their mount. What is hashed above them was in use when the rest was pruned.
TEST_F(DInvalidateMounted, SoAreTheDirectoriesThatLedToThem)
{
    dentry_ref top = make_directory(root, "top");
    {
        dentry_ref middle = make_directory(top.get(), "middle");
        dentry_ref below = make_directory(middle.get(), "below");
        ASSERT_EQ(mount_on(below.get()), 0);
    }

    d_invalidate(top.get());
    EXPECT_THAT(killed, ElementsAre("below", "middle"));
    EXPECT_TRUE(hlist_empty(&top->d_children));
}

TEST_F(DInvalidateMounted, MountsElsewhereStay)
{
    dentry_ref top = make_directory(root, "top");
    dentry_ref sibling = make_directory(root, "sibling");
    ASSERT_EQ(mount_on(sibling.get()), 0);

    d_invalidate(top.get());
    EXPECT_TRUE(is_mounted());
}

TEST_F(Submounts, NoneIsFound)
{
    dentry_ref top = make_directory(root, "top");

    EXPECT_FALSE(has_submounts(top.get()));
    EXPECT_FALSE(has_submounts(root));
}

TEST_F(Submounts, OneOnTheDentryItselfCounts)
{
    dentry_ref top = make_directory(root, "top");

    ASSERT_EQ(mount_on(top.get()), 0);
    EXPECT_TRUE(has_submounts(top.get()));
}

TEST_F(Submounts, OneAnywhereBelowCounts)
{
    dentry_ref a = make_directory(root, "a");
    dentry_ref b = make_directory(a.get(), "b");
    dentry_ref c = make_directory(b.get(), "c");

    ASSERT_EQ(mount_on(c.get()), 0);
    EXPECT_TRUE(has_submounts(a.get()));
    EXPECT_TRUE(has_submounts(root));
}

TEST_F(Submounts, OneElsewhereDoesNot)
{
    dentry_ref a = make_directory(root, "a");
    dentry_ref b = make_directory(root, "b");

    ASSERT_EQ(mount_on(a.get()), 0);
    EXPECT_FALSE(has_submounts(b.get()));
}

// DCACHE_MOUNTED says that there is a mount in some place that looks at this dentry.
TEST_F(Submounts, OneSeenThroughAnotherMountDoesNot)
{
    dentry_ref top = make_directory(root, "top");
    dentry_ref place = make_directory(root, "place");
    dentry_ref view = make_directory(place.get(), "view");
    path whole = at(root), on_view = at(view.get());

    ASSERT_EQ(do_loopback(&whole, &on_view), 0);
    vfsmount *second = lookup_mnt(&on_view);
    path elsewhere = {second, top.get()};
    mntget(&other_mount->mnt);
    ASSERT_EQ(do_add_mount(other_mount, &elsewhere), 0);
    ASSERT_TRUE(d_mountpoint(top.get()));
    EXPECT_FALSE(has_submounts(top.get()));
    EXPECT_TRUE(has_submounts(place.get()));
    mntput(second);
}

// --- d_genocide() ---

TEST_F(DGenocide, DropsOneReferenceOfEveryHashedPositiveDescendant)
{
    dentry_ref a = make_directory(root, "a");
    dentry_ref b = make_file(a.get(), "b");
    int of_root = d_count(root);
    int of_a = d_count(a.get());
    dget(a.get());
    dget(b.get());

    d_genocide(root);
    EXPECT_EQ(d_count(root), of_root);
    EXPECT_EQ(d_count(a.get()), of_a);
    EXPECT_EQ(d_count(b.get()), 1);
    EXPECT_TRUE(has_flag(b.get(), DCACHE_GENOCIDE));
}

TEST_F(DGenocide, DropsItOnlyOnce)
{
    dentry_ref file = make_file(root, "file");
    dget(file.get());

    d_genocide(root);
    d_genocide(root);
    EXPECT_EQ(d_count(file.get()), 1);
}

TEST_F(DGenocide, PassesByNegativesAndWhatIsUnhashedWithAllBelow)
{
    dentry_ref absent = make_negative(root, "absent");
    dentry_ref dropped = make_directory(root, "dropped");
    dentry_ref below = make_file(dropped.get(), "below");
    d_drop(dropped.get());

    d_genocide(root);
    EXPECT_EQ(d_count(absent.get()), 1);
    EXPECT_EQ(d_count(dropped.get()), 2);
    EXPECT_EQ(d_count(below.get()), 1);
}

TEST_F(DGenocide, LeavesTheKillingToOthers)
{
    dentry *raw = make_file(root, "file").detach();

    d_genocide(root);
    EXPECT_EQ(d_count(raw), 0);
    EXPECT_THAT(killed, IsEmpty());
    shrink_dcache_parent(root);
    EXPECT_THAT(killed, ElementsAre("file"));
}

// --- shrink_dcache_for_umount() ---

class umount_fixture : public walk_fixture
{
  protected:
    void SetUp() override
    {
        walk_fixture::SetUp();
        other = make_super_block();
        set_default_d_op(other, callbacks.table());
    }

    long shrink_for_umount()
    {
        down_write(&other->s_umount);
        long busy = shrink_dcache_for_umount(other);
        up_write(&other->s_umount);
        return busy;
    }

    /// After a test that left something: gives the super block back all the same.
    void finish()
    {
        shrink_dcache_sb(other);
        EXPECT_EQ(generic_shutdown_super(other), 0);
    }

    dentry_ref make_other(std::string_view text, umode_t mode)
    {
        return make_child(other->s_root, text, make_inode(other, mode));
    }

    super_block *other = nullptr;
};

using ShrinkDcacheForUmount = umount_fixture;

TEST_F(ShrinkDcacheForUmount, KillsTheWholeTree)
{
    leave_file(make_other("d", S_IFDIR_TYPE).get(), "file");
    leave_negative(other->s_root, "absent");
    counter_change existing(NR_DENTRY);

    EXPECT_EQ(shrink_for_umount(), 0);
    EXPECT_EQ(other->s_root, nullptr);
    EXPECT_EQ(existing.value(), -4);
    finish();
}

TEST_F(ShrinkDcacheForUmount, WhatIsInUseIsNamedAndCounted)
{
    dentry_ref used = make_other("used", S_IFREG_TYPE);
    dentry_ref also = make_other("also", S_IFREG_TYPE);

    EXPECT_EQ(shrink_for_umount(), 2);
    EXPECT_THAT(warnings.take(),
                UnorderedElementsAre(HasSubstr("name \"used\"} still in use (count 1)"),
                                     HasSubstr("name \"also\"} still in use (count 1)")));
    used.reset();
    also.reset();
    finish();
}

TEST_F(ShrinkDcacheForUmount, OfAPathInUseOnlyTheEndIsNamed)
{
    dentry_ref used;
    {
        dentry_ref directory = make_other("d", S_IFDIR_TYPE);
        used = make_file(directory.get(), "used");
    }

    EXPECT_EQ(shrink_for_umount(), 1);
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("\"used\"")));
    used.reset();
    finish();
}

TEST_F(ShrinkDcacheForUmount, ARootWithASecondUserIsInUse)
{
    dentry_ref extra = other->s_root;

    EXPECT_EQ(shrink_for_umount(), 1);
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("(count 2)")));
    extra.reset();
    finish();
}

TEST_F(ShrinkDcacheForUmount, PersistentDentriesAreUnpinned)
{
    {
        dentry_ref directory = make_unhashed(other->s_root, "d");
        d_make_persistent(directory.get(), make_inode(other, S_IFDIR_TYPE));
        dentry_ref file = make_unhashed(directory.get(), "file");
        d_make_persistent(file.get(), make_inode(other, S_IFREG_TYPE));
    }

    EXPECT_EQ(shrink_for_umount(), 0);
    EXPECT_THAT(killed, ElementsAre("file", "d"));
    finish();
}

TEST_F(ShrinkDcacheForUmount, APersistentDentryInUseIsStillInUse)
{
    dentry_ref file = make_unhashed(other->s_root, "file");
    d_make_persistent(file.get(), make_inode(other, S_IFREG_TYPE));

    EXPECT_EQ(shrink_for_umount(), 1);
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("(count 1)")));
    EXPECT_FALSE(has_flag(file.get(), DCACHE_PERSISTENT));
    file.reset();
    finish();
}

TEST_F(ShrinkDcacheForUmount, TreesBelowSecondaryRootsGoToo)
{
    {
        dentry_ref second = adopt_dentry(d_obtain_root(make_inode(other, S_IFDIR_TYPE)));
        leave_file(second.get(), "below");
    }
    ASSERT_FALSE(hlist_empty(&other->s_roots));

    EXPECT_EQ(shrink_for_umount(), 0);
    EXPECT_THAT(killed, ElementsAre("below", "/"));
    EXPECT_TRUE(hlist_empty(&other->s_roots));
    finish();
}

TEST_F(ShrinkDcacheForUmount, BelowASecondaryRootPersistentDentriesAreUnpinnedAsWell)
{
    {
        dentry_ref second = adopt_dentry(d_obtain_root(make_inode(other, S_IFDIR_TYPE)));
        dentry_ref file = make_unhashed(second.get(), "file");
        d_make_persistent(file.get(), make_inode(other, S_IFREG_TYPE));
    }

    EXPECT_EQ(shrink_for_umount(), 0);
    EXPECT_THAT(killed, ElementsAre("file", "/"));
    finish();
}

TEST_F(ShrinkDcacheForUmount, WantsTheUmountLock)
{
    EXPECT_EQ(shrink_dcache_for_umount(other), 0);
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("s_umount")));
    finish();
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
