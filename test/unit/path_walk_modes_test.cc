// SPDX-License-Identifier: GPL-2.0-only
//
// The two modes of a walk and the way from one to the other: what is asked of a file system in
// each, what makes a walk leave RCU mode or start over, and that it holds nothing before and
// everything after.
#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/vfs/super.h"
#include "dcsim/vfs/syscalls.h"
#include "namei_internal.h"
#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// A file system with every callback a walk may call, at the top of the namespace.
class walk_modes_fixture : public vfs_fixture
{
  protected:
    walk_modes_fixture()
    {
        operations_of_directories = &directory_table;
    }

    void SetUp() override
    {
        vfs_fixture::SetUp();
        current_ = this;
        WRITE_ONCE(d_inode(root)->i_mode, S_IFDIR_TYPE | 0755);
        ASSERT_EQ(init_mount_tree(sb), 0);
        mnt = &READ_ONCE(init_mnt_ns.root)->mnt;
    }

    void TearDown() override
    {
        exit_mount_tree();
        on_permission = nullptr;
        vfs_fixture::TearDown();
        current_ = nullptr;
    }

    dentry_ref make_link(dentry *parent, std::string_view name)
    {
        inode *inode = make_inode(sb, S_IFLNK_TYPE | 0777);

        inode->i_op = &link_table;
        return make_child(parent, name, inode);
    }

    /// One pass of a walk, then its references are given back. What it led to, or the error.
    std::pair<int, dentry *> walk(const char *name, unsigned flags)
    {
        const filename filename = {name};
        path end = {nullptr, nullptr};
        nameidata nd;
        int error;

        set_nameidata(&nd, AT_FDCWD_VALUE, &filename, nullptr);
        error = path_lookupat(&nd, flags, &end);
        restore_nameidata();
        dentry *found = end.dentry;
        path_put(&end);
        return {error, found};
    }
    /// All passes.
    std::pair<int, dentry *> walk_by_ladder(const char *name, unsigned flags = LOOKUP_FOLLOW)
    {
        path end = {nullptr, nullptr};
        int error = kern_path(name, flags, &end);
        dentry *found = end.dentry;

        path_put(&end);
        return {error, found};
    }

    static int call_permission(inode *inode, unsigned mask)
    {
        return current_->on_permission ? current_->on_permission(inode, mask)
                                       : generic_permission(inode, mask);
    }
    static const char *call_get_link(dentry *dentry, inode *inode, delayed_call *done)
    {
        return current_->on_get_link(dentry, inode, done);
    }

    static inline const inode_operations directory_table = {
        .lookup = call_lookup,
        .permission = call_permission,
    };
    static inline const inode_operations link_table = {.get_link = call_get_link};

    std::function<int(inode *, unsigned)> on_permission;
    std::function<const char *(dentry *, inode *, delayed_call *)> on_get_link;
    vfsmount *mnt = nullptr;

  private:
    static inline walk_modes_fixture *current_;
};

using RcuWalk = walk_modes_fixture;
using WalkRevalidate = walk_modes_fixture;
using WalkPermission = walk_modes_fixture;
using WalkLinks = walk_modes_fixture;
using WalkLadder = walk_modes_fixture;
using WalkCached = walk_modes_fixture;
using WalkManaged = walk_modes_fixture;

// --- RCU mode ---

TEST_F(RcuWalk, ACachedPathIsWalkedToItsEnd)
{
    dentry_ref a = make_directory(root, "a");
    dentry_ref f = make_file(a.get(), "f");
    counter_change completed(RCU_WALKS), left(RCU_UNLAZY), restarted(RCU_RESTARTS);

    EXPECT_EQ(walk_by_ladder("/a/f"), std::pair(0, f.get()));
    EXPECT_EQ(completed.value(), 1);
    EXPECT_EQ(left.value(), 0);
    EXPECT_EQ(restarted.value(), 0);
}

TEST_F(RcuWalk, HoldsNothingUntilItsEnd)
{
    dentry_ref a = make_directory(root, "a");
    dentry_ref b = make_directory(a.get(), "b");
    dentry_ref f = make_file(b.get(), "f");
    const int before[] = {d_count(root), d_count(a.get()), d_count(b.get()), d_count(f.get())};
    int looked = 0;

    on_permission = [&](inode *, unsigned mask) {
        EXPECT_TRUE(mask & MAY_NOT_BLOCK);
        EXPECT_TRUE(rcu_read_lock_held());
        EXPECT_THAT(
            (std::vector<int>{d_count(root), d_count(a.get()), d_count(b.get()), d_count(f.get())}),
            ::testing::ElementsAreArray(before));
        looked++;
        return 0;
    };
    EXPECT_EQ(walk_by_ladder("/a/b/f").first, 0);
    EXPECT_EQ(looked, 3);
    EXPECT_FALSE(rcu_read_lock_held());
    EXPECT_THAT(
        (std::vector<int>{d_count(root), d_count(a.get()), d_count(b.get()), d_count(f.get())}),
        ::testing::ElementsAreArray(before));
}

TEST_F(RcuWalk, EndsWithOneReferenceOnItsEnd)
{
    dentry_ref a = make_directory(root, "a");
    dentry_ref f = make_file(a.get(), "f");
    path end;

    ASSERT_EQ(kern_path("/a/f", 0, &end), 0);
    EXPECT_EQ(d_count(f.get()), 2);
    // f's, and the test's.
    EXPECT_EQ(d_count(a.get()), 2);
    EXPECT_EQ(end.mnt, mnt);
    path_put(&end);
}

TEST_F(RcuWalk, AMissIsAskedForWithReferences)
{
    dentry_ref a = make_directory(root, "a");
    counter_change completed(RCU_WALKS), left(RCU_UNLAZY), restarted(RCU_RESTARTS);
    unsigned seen = 0;

    on_lookup = [&](inode *, dentry *dentry, unsigned flags) {
        EXPECT_FALSE(rcu_read_lock_held());
        seen = flags;
        return d_splice_alias(file_inode(), dentry);
    };
    EXPECT_EQ(walk_by_ladder("/a/f", 0).first, 0);
    EXPECT_FALSE(seen & LOOKUP_RCU);
    EXPECT_EQ(left.value(), 1);
    EXPECT_EQ(restarted.value(), 0);
    EXPECT_EQ(completed.value(), 0);
}

TEST_F(RcuWalk, ANegativeEntryIsAnAnswer)
{
    dentry_ref x = make_negative(root, "x");
    counter_change left(RCU_UNLAZY);

    EXPECT_EQ(walk("/x", LOOKUP_RCU).first, -ENOENT);
    EXPECT_EQ(left.value(), 0);
}

TEST_F(RcuWalk, SeesThatAnEntryWasDroppedWhileItLooked)
{
    dentry_ref a = make_directory(root, "a");
    dentry_ref f = make_file(a.get(), "f");

    // Between the lookup of "a" and the step behind it.
    on_permission = [&](inode *inode, unsigned) {
        if (inode == d_inode(a.get()) && !d_unhashed(a.get()))
            d_drop(a.get());
        return 0;
    };
    EXPECT_EQ(walk("/a/f", LOOKUP_RCU).first, -ECHILD);
}

TEST_F(RcuWalk, SeesThatTheParentChangedUnderALookup)
{
    dentry *to_move = nullptr;
    dentry_ref target;

    callbacks.compare = [&](const dentry *, unsigned length, const char *text, const qstr *name) {
        if (to_move)
            d_move(std::exchange(to_move, nullptr), target.get());
        return length != name->len || memcmp(text, name->name, length) != 0;
    };
    set_default_d_op(sb, callbacks.table());
    dentry_ref a = make_directory(root, "a");
    dentry_ref f = make_file(a.get(), "f");
    const path a_path = {mnt, a.get()};
    const path root_path = {mnt, root};

    target = make_negative(root, "z");
    set_fs_pwd(&init_fs, &a_path);
    EXPECT_EQ(walk("f", LOOKUP_RCU).first, 0);
    // The child is found, and its own d_seq is what it was: only the parent's tells.
    to_move = a.get();
    EXPECT_EQ(walk("f", LOOKUP_RCU).first, -ECHILD);
    EXPECT_EQ(name_of(a.get()), "z");
    EXPECT_EQ(walk("f", 0), std::pair(0, f.get()));
    set_fs_pwd(&init_fs, &root_path);
}

TEST_F(RcuWalk, SeesThatAMountCameBetween)
{
    dentry_ref a = make_directory(root, "a");
    dentry_ref b = make_directory(a.get(), "b");
    bool touch = true;

    on_permission = [&](inode *, unsigned) {
        if (touch) {
            touch = false;
            write_seqlock(&mount_lock);
            write_sequnlock(&mount_lock);
        }
        return 0;
    };
    EXPECT_EQ(walk("/a/b", LOOKUP_RCU).first, -ECHILD);
    EXPECT_EQ(walk("/a/b", LOOKUP_RCU).first, 0);
}

// --- ->d_revalidate() and ->d_weak_revalidate() ---

TEST_F(WalkRevalidate, IsAskedInRcuModeAndSaysSo)
{
    std::vector<unsigned> seen;

    callbacks.revalidate = [&](inode *dir, const qstr *name, dentry *, unsigned flags) {
        EXPECT_EQ(dir, d_inode(root));
        EXPECT_EQ(text_of(*name), "f");
        seen.push_back(flags & LOOKUP_RCU);
        return flags & LOOKUP_RCU ? -ECHILD : 1;
    };
    set_default_d_op(sb, callbacks.table());
    dentry_ref f = make_file(root, "f");
    counter_change left(RCU_UNLAZY), restarted(RCU_RESTARTS);

    EXPECT_EQ(walk_by_ladder("/f").first, 0);
    // Asked again where it stood: no second walk.
    EXPECT_THAT(seen, ElementsAre(unsigned{LOOKUP_RCU}, 0u));
    EXPECT_EQ(left.value(), 1);
    EXPECT_EQ(restarted.value(), 0);
}

TEST_F(WalkRevalidate, AStaleEntryIsInvalidatedAndAskedFor)
{
    bool stale = true;

    callbacks.revalidate = [&](inode *, const qstr *, dentry *, unsigned) { return stale ? 0 : 1; };
    set_default_d_op(sb, callbacks.table());
    dentry_ref f = make_file(root, "f");
    counter_change asked(FS_LOOKUPS);
    on_lookup = [&](inode *, dentry *dentry, unsigned) {
        stale = false;
        return d_splice_alias(file_inode(), dentry);
    };

    const auto [error, found] = walk_by_ladder("/f");
    EXPECT_EQ(error, 0);
    EXPECT_NE(found, f.get());
    EXPECT_TRUE(d_unhashed(f.get()));
    EXPECT_EQ(asked.value(), 1);
}

TEST_F(WalkRevalidate, AnErrorIsTheAnswer)
{
    callbacks.revalidate = [](inode *, const qstr *, dentry *, unsigned) { return -EIO; };
    set_default_d_op(sb, callbacks.table());
    dentry_ref f = make_file(root, "f");

    EXPECT_EQ(walk_by_ladder("/f").first, -EIO);
    EXPECT_FALSE(d_unhashed(f.get()));
}

// --- ->permission() ---

TEST_F(WalkPermission, ItMayAskForReferences)
{
    dentry_ref a = make_directory(root, "a");
    dentry_ref f = make_file(a.get(), "f");
    counter_change left(RCU_UNLAZY), restarted(RCU_RESTARTS);
    std::vector<unsigned> seen;

    on_permission = [&](inode *inode, unsigned mask) {
        if (inode != d_inode(a.get()))
            return 0;
        seen.push_back(mask & MAY_NOT_BLOCK);
        return mask & MAY_NOT_BLOCK ? -ECHILD : 0;
    };
    EXPECT_EQ(walk_by_ladder("/a/f"), std::pair(0, f.get()));
    EXPECT_THAT(seen, ElementsAre(unsigned{MAY_NOT_BLOCK}, 0u));
    EXPECT_EQ(left.value(), 1);
    EXPECT_EQ(restarted.value(), 0);
}

TEST_F(WalkPermission, ARefusalInRcuModeIsFinalOnceThePlaceIsCertain)
{
    dentry_ref a = make_directory(root, "a");
    dentry_ref f = make_file(a.get(), "f");
    int asked = 0;

    on_permission = [&](inode *inode, unsigned) {
        if (inode != d_inode(a.get()))
            return 0;
        asked++;
        return -EACCES;
    };
    EXPECT_EQ(walk_by_ladder("/a/f").first, -EACCES);
    EXPECT_EQ(asked, 1);
}

TEST_F(WalkPermission, ARefusalAtAPlaceThatMovedIsNot)
{
    dentry_ref a = make_directory(root, "a");
    dentry_ref f = make_file(a.get(), "f");

    on_permission = [&](inode *inode, unsigned mask) {
        if (inode != d_inode(a.get()) || !(mask & MAY_NOT_BLOCK))
            return 0;
        d_drop(a.get());
        d_rehash(a.get());
        return -EACCES;
    };
    counter_change restarted(RCU_RESTARTS);
    EXPECT_EQ(walk_by_ladder("/a/f"), std::pair(0, f.get()));
    EXPECT_EQ(restarted.value(), 1);
}

// --- Links ---

TEST_F(WalkLinks, InRcuModeTheFileSystemGetsNoDentry)
{
    dentry_ref a = make_directory(root, "a");
    dentry_ref l = make_link(root, "l");
    std::vector<dentry *> seen;

    on_get_link = [&](dentry *dentry, inode *, delayed_call *) {
        seen.push_back(dentry);
        return "a";
    };
    EXPECT_EQ(walk_by_ladder("/l"), std::pair(0, a.get()));
    EXPECT_THAT(seen, ElementsAre(nullptr));
}

TEST_F(WalkLinks, AndMayAskForOne)
{
    dentry_ref a = make_directory(root, "a");
    dentry_ref l = make_link(root, "l");
    std::vector<dentry *> seen;
    counter_change left(RCU_UNLAZY), restarted(RCU_RESTARTS);

    on_get_link = [&](dentry *dentry, inode *, delayed_call *) -> const char * {
        seen.push_back(dentry);
        return dentry ? "a" : static_cast<const char *>(ERR_PTR(-ECHILD));
    };
    EXPECT_EQ(walk_by_ladder("/l"), std::pair(0, a.get()));
    EXPECT_THAT(seen, ElementsAre(nullptr, l.get()));
    EXPECT_EQ(left.value(), 1);
    EXPECT_EQ(restarted.value(), 0);
    EXPECT_EQ(d_count(l.get()), 1);
}

TEST_F(WalkLinks, TheBodyIsGivenBackOnceHoweverTheWalkEnds)
{
    dentry_ref a = make_directory(root, "a");
    dentry_ref l = make_link(root, "l");
    int given_back = 0;

    on_get_link = [&](dentry *, inode *, delayed_call *done) {
        set_delayed_call(
            done, [](void *count) { ++*static_cast<int *>(count); }, &given_back);
        return "a";
    };
    EXPECT_EQ(walk("/l", LOOKUP_RCU | LOOKUP_FOLLOW).first, 0);
    EXPECT_EQ(given_back, 1);
    EXPECT_EQ(walk("/l/missing", LOOKUP_FOLLOW).first, -ENOENT);
    EXPECT_EQ(given_back, 2);
    // A miss in the middle of the body: the link goes to ref mode with the walk.
    on_get_link = [&](dentry *, inode *, delayed_call *done) {
        set_delayed_call(
            done, [](void *count) { ++*static_cast<int *>(count); }, &given_back);
        return "missing/too";
    };
    EXPECT_EQ(walk_by_ladder("/l/x").first, -ENOENT);
    EXPECT_EQ(given_back, 3);
    EXPECT_EQ(d_count(l.get()), 1);
}

TEST_F(WalkLinks, AnErrorIsTheAnswer)
{
    dentry_ref l = make_link(root, "l");

    on_get_link = [&](dentry *, inode *, delayed_call *) -> const char * { return ERR_PTR(-EIO); };
    EXPECT_EQ(walk_by_ladder("/l").first, -EIO);
    EXPECT_EQ(d_count(l.get()), 1);
}

TEST_F(WalkLinks, AFileSystemMayJumpToAPlace)
{
    dentry_ref a = make_directory(root, "a");
    dentry_ref f = make_file(a.get(), "f");
    dentry_ref l = make_link(root, "l");

    on_get_link = [&](dentry *dentry, inode *, delayed_call *) -> const char * {
        const path where = {mnt, a.get()};
        if (!dentry)
            return ERR_PTR(-ECHILD);
        path_get(&where);
        return ERR_PTR(nd_jump_link(&where));
    };
    EXPECT_EQ(walk_by_ladder("/l"), std::pair(0, a.get()));
    EXPECT_EQ(walk_by_ladder("/l/f"), std::pair(0, f.get()));
    EXPECT_EQ(walk_by_ladder("/l", LOOKUP_FOLLOW | LOOKUP_NO_MAGICLINKS).first, -ELOOP);
    EXPECT_EQ(walk_by_ladder("l", LOOKUP_FOLLOW | LOOKUP_BENEATH).first, -EXDEV);
    EXPECT_EQ(d_count(a.get()), 2);
}

TEST_F(WalkLinks, AJumpedToPlaceIsWeaklyRevalidated)
{
    int answer = 1;
    static int *answer_of;

    answer_of = &answer;
    static constexpr dentry_operations operations = {
        .d_weak_revalidate = [](dentry *, unsigned) { return *answer_of; }};
    set_default_d_op(sb, &operations);
    dentry_ref a = make_directory(root, "a");
    dentry_ref l = make_link(root, "l");
    on_get_link = [&](dentry *dentry, inode *, delayed_call *) -> const char * {
        const path where = {mnt, a.get()};
        if (!dentry)
            return ERR_PTR(-ECHILD);
        path_get(&where);
        return ERR_PTR(nd_jump_link(&where));
    };

    EXPECT_EQ(walk("/l", LOOKUP_FOLLOW).first, 0);
    answer = 0;
    EXPECT_EQ(walk("/l", LOOKUP_FOLLOW).first, -ESTALE);
    answer = -EIO;
    EXPECT_EQ(walk("/l", LOOKUP_FOLLOW).first, -EIO);
    // Found by its name it was not jumped to.
    EXPECT_EQ(walk("/a", LOOKUP_FOLLOW).first, 0);
}

TEST_F(WalkLinks, WithoutMemoryForTheThirdLevelRcuModeIsLeft)
{
    dentry_ref a = make_directory(root, "a");
    dentry_ref links[3] = {make_link(root, "l0"), make_link(root, "l1"), make_link(root, "l2")};
    counter_change left(RCU_UNLAZY);

    on_get_link = [&](dentry *, inode *inode, delayed_call *) {
        return inode == d_inode(links[2].get())   ? "l1/."
               : inode == d_inode(links[1].get()) ? "l0/."
                                                  : "a/.";
    };
    EXPECT_EQ(walk("/l2/.", LOOKUP_RCU).first, 0);
    EXPECT_EQ(left.value(), 0);
    kmem_fail_nth(1);
    EXPECT_EQ(walk("/l2/.", LOOKUP_RCU).first, 0);
    EXPECT_TRUE(kmem_failure_delivered());
    EXPECT_EQ(left.value(), 1);
    kmem_fail_nth(1);
    EXPECT_EQ(walk("/l2/.", 0).first, -ENOMEM);
    for (const dentry_ref &link : links)
        EXPECT_EQ(d_count(link.get()), 1);
}

// --- The ladder ---

TEST_F(WalkLadder, AStaleHandleIsTriedOnceMoreWithReval)
{
    dentry_ref a = make_directory(root, "a");
    std::vector<unsigned> seen;
    counter_change revalidated(REVAL_RESTARTS);

    on_lookup = [&](inode *, dentry * dentry, unsigned flags) -> struct dentry *
    {
        seen.push_back(flags & LOOKUP_REVAL);
        return flags & LOOKUP_REVAL ? d_splice_alias(file_inode(), dentry)
                                    : static_cast<struct dentry *>(ERR_PTR(-ESTALE));
    };
    EXPECT_EQ(walk_by_ladder("/a/f").first, 0);
    EXPECT_THAT(seen, ElementsAre(0u, unsigned{LOOKUP_REVAL}));
    EXPECT_EQ(revalidated.value(), 1);
}

TEST_F(WalkLadder, StaleTwiceIsTheAnswer)
{
    int asked = 0;

    on_lookup = [&](inode *, dentry *, unsigned) -> dentry * {
        asked++;
        return ERR_PTR(-ESTALE);
    };
    EXPECT_EQ(walk_by_ladder("/f").first, -ESTALE);
    EXPECT_EQ(asked, 2);
}

// --- LOOKUP_CACHED ---

TEST_F(WalkCached, NeedsEverythingInTheCache)
{
    dentry_ref a = make_directory(root, "a");
    dentry_ref f = make_file(a.get(), "f");
    int asked = 0;

    on_lookup = [&](inode *, dentry *dentry, unsigned) {
        asked++;
        return d_splice_alias(nullptr, dentry);
    };
    EXPECT_EQ(walk_by_ladder("/a/f", LOOKUP_CACHED), std::pair(0, f.get()));
    EXPECT_EQ(walk_by_ladder("/a/x", LOOKUP_CACHED).first, -EAGAIN);
    EXPECT_EQ(asked, 0);
}

// --- Tasks without a place ---

TEST_F(WalkLadder, ATaskWithoutAPlaceIsTold)
{
    exit_mount_tree();
    EXPECT_EQ(walk_by_ladder("/").first, -ENOENT);
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("no root")));
    EXPECT_EQ(walk_by_ladder("a").first, -ENOENT);
    EXPECT_EQ(walk_by_ladder("").first, -ENOENT);
    EXPECT_THAT(warnings.take(),
                ElementsAre(HasSubstr("no working directory"), HasSubstr("no working directory")));
    ASSERT_EQ(init_mount_tree(sb), 0);
}

// --- ->d_manage() and ->d_automount() ---

TEST_F(WalkManaged, AFileSystemMayManageTransitInEitherMode)
{
    static std::vector<bool> seen;
    static int answer;
    static constexpr dentry_operations operations = {.d_manage = [](const path *, bool rcu_walk) {
        seen.push_back(rcu_walk);
        return rcu_walk ? -ECHILD : answer;
    }};

    seen.clear();
    answer = 0;
    set_default_d_op(sb, &operations);
    dentry_ref a = make_directory(root, "a");
    spin_lock(&a->d_lockref.lock);
    a->d_flags |= DCACHE_MANAGE_TRANSIT;
    spin_unlock(&a->d_lockref.lock);

    EXPECT_EQ(walk_by_ladder("/a"), std::pair(0, a.get()));
    EXPECT_THAT(seen, ElementsAre(true, false));
    answer = -EACCES;
    EXPECT_EQ(walk_by_ladder("/a").first, -EACCES);
    EXPECT_EQ(d_count(a.get()), 1);
}

TEST_F(WalkManaged, AnAutomountIsMadeForWhoGoesThrough)
{
    static super_block *mounted;
    static int made;
    static constexpr dentry_operations operations = {.d_automount = [](path *) {
        made++;
        return &vfs_create_mount(mounted)->mnt;
    }};

    made = 0;
    mounted = make_super_block();
    WRITE_ONCE(d_inode(mounted->s_root)->i_mode, S_IFDIR_TYPE | 0755);
    set_default_d_op(sb, &operations);
    inode *inode = directory_inode();
    inode->i_flags |= S_AUTOMOUNT;
    dentry_ref a = make_child(root, "a", inode);

    EXPECT_EQ(walk_by_ladder("/a", 0), std::pair(0, a.get()));
    EXPECT_EQ(made, 0);
    EXPECT_EQ(walk_by_ladder("/a", LOOKUP_NO_XDEV | LOOKUP_DIRECTORY).first, -EXDEV);
    EXPECT_EQ(walk_by_ladder("/a/", 0), std::pair(0, mounted->s_root));
    EXPECT_EQ(walk_by_ladder("/a", 0), std::pair(0, mounted->s_root));
    EXPECT_EQ(made, 1);

    ASSERT_EQ(sys_umount2(&init_task, "/a", 0), 0);
    EXPECT_EQ(generic_shutdown_super(mounted), 0);
}

TEST_F(WalkManaged, AnAutomountThatComesSecondIsThrownAway)
{
    static super_block *first, *second;
    static constexpr dentry_operations operations = {.d_automount = [](path *where) {
        // Another walk, while this one was busy with its own.
        EXPECT_EQ(do_add_mount(vfs_create_mount(first), where), 0);
        return &vfs_create_mount(second)->mnt;
    }};

    first = make_super_block();
    second = make_super_block();
    set_default_d_op(sb, &operations);
    inode *inode = directory_inode();
    inode->i_flags |= S_AUTOMOUNT;
    dentry_ref a = make_child(root, "a", inode);

    EXPECT_EQ(walk_by_ladder("/a", LOOKUP_DIRECTORY), std::pair(0, first->s_root));
    rcu_barrier();
    EXPECT_EQ(mount_count(), 2);

    ASSERT_EQ(sys_umount2(&init_task, "/a", 0), 0);
    EXPECT_EQ(generic_shutdown_super(second), 0);
    EXPECT_EQ(generic_shutdown_super(first), 0);
}

TEST_F(WalkManaged, AnAutomountOfTheDirectoryOnItselfIsALoop)
{
    static int made;
    static constexpr dentry_operations operations = {.d_automount = [](path *where) {
        made++;
        return &clone_mnt(real_mount(where->mnt), where->dentry)->mnt;
    }};

    made = 0;
    set_default_d_op(sb, &operations);
    inode *inode = directory_inode();
    inode->i_flags |= S_AUTOMOUNT;
    dentry_ref a = make_child(root, "a", inode);

    EXPECT_EQ(walk_by_ladder("/a", LOOKUP_DIRECTORY).first, -ELOOP);
    EXPECT_EQ(made, 1);
    rcu_barrier();
    EXPECT_EQ(mount_count(), 1);
}

TEST_F(WalkManaged, AnAutomountMayDoNoMoreThanTheMountItIsIn)
{
    static super_block *mounted;
    static constexpr dentry_operations operations = {
        .d_automount = [](path *) { return &vfs_create_mount(mounted)->mnt; }};
    path end;

    mounted = make_super_block();
    set_default_d_op(sb, &operations);
    inode *inode = directory_inode();
    inode->i_flags |= S_AUTOMOUNT;
    dentry_ref a = make_child(root, "a", inode);
    mnt->mnt_flags |= MNT_READONLY;

    ASSERT_EQ(kern_path("/a", LOOKUP_DIRECTORY, &end), 0);
    EXPECT_EQ(end.dentry, mounted->s_root);
    EXPECT_EQ(READ_ONCE(end.mnt->mnt_flags), unsigned{MNT_READONLY});
    path_put(&end);

    ASSERT_EQ(sys_umount2(&init_task, "/a", 0), 0);
    EXPECT_EQ(generic_shutdown_super(mounted), 0);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
