// SPDX-License-Identifier: GPL-2.0-only
//
// RCU walks against umount, in every interleaving: what __legitimize_mnt() answers, what umount
// concludes from a count, and when mntput() may believe that its reference is not the last. And
// lockless readers against moves: what they put together is of one moment.
#include <cstring>
#include <set>

#include "dcsim/mockfs/memfs.h"
#include "dcsim/testing/explore_gtest.h"
#include "dcsim/vfs/dcache.h"
#include "dcsim/vfs/fs_struct.h"
#include "dcsim/vfs/namei.h"
#include "dcsim/vfs/vfs.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using testing::Holds;
using testing::Violates;

enum answer : int { NOT_FOUND = 100 };

/// A file system at the top of the namespace and another mounted on its directory.
struct two_mounts {
    super_block *sb, *other_sb;
    mount *top;
    mount *other;       ///< the namespace's reference only, unless a test says otherwise
    dentry *where;      ///< a reference
    once<mount *> seen; ///< `other`, for a walker to find in another way than by the table
    int answer;         ///< of the walker's __legitimize_mnt()
    int umount_error;
};
two_mounts *world;

path place()
{
    return {&world->top->mnt, world->where};
}

void set_up_two_mounts()
{
    vfs_init({.dhash_entries = 2,
              .ihash_entries = 2,
              .mhash_entries = 1,
              .mphash_entries = 1,
              .in_lookup_shift = 0});
    world = make_shared_state<two_mounts>();
    world->sb = memfs_mount({}, "top");
    world->other_sb = memfs_mount({}, "other");
    memfs_add_node(world->sb, memfs_root_node(world->sb), "d", 1, S_IFDIR_TYPE | 0755, nullptr);
    world->top = vfs_create_mount(world->sb);
    set_namespace_root(world->top);
    mntput(&world->top->mnt);
    world->where = lookup_path(world->sb->s_root, "/d", 2);
    world->other = vfs_create_mount(world->other_sb);
    path at = place();
    explore_check(!do_add_mount(world->other, &at), "mounted");
}

/// Everything goes, and nothing is left. `mounts`: how many there should be still.
void expect_mounts_and_take_down(long mounts)
{
    rcu_barrier();
    explore_check(mount_count() == mounts, "no mount too many, none too few");
    set_namespace_root(nullptr);
    dput(world->where);
    explore_check(!memfs_unmount(world->other_sb), "nothing is busy in the upper file system");
    explore_check(!memfs_unmount(world->sb), "nothing is busy in the lower file system");
    explore_check(vfs_exit().none(), "nothing is left");
}

/// What a path walk does at a mountpoint at the end of its RCU mode. Returns what
/// __legitimize_mnt() says; the reference that it took, if any, is given back.
int cross_and_legitimize()
{
    path at = place();
    mount *found;
    unsigned seq;
    int res;

    rcu_read_lock();
    seq = read_seqbegin(&mount_lock);
    found = __lookup_mnt(at.mnt, at.dentry);
    if (!found) {
        rcu_read_unlock();
        return NOT_FOUND;
    }
    res = __legitimize_mnt(&found->mnt, seq);
    rcu_read_unlock();
    if (res > 0)
        return res;
    explore_check(!(READ_ONCE(found->mnt.mnt_flags) & MNT_DOOMED), "a referenced mount is alive");
    explore_check(READ_ONCE(found->mnt_count) > 0, "a referenced mount has a count");
    // The root is pinned by the mount, so it is there as well.
    explore_check(d_count(found->mnt.mnt_root) > 0, "the root of a referenced mount is alive");
    mntput(&found->mnt);
    return res;
}

/// Umounts what is mounted there, as umount(2) does: by a path, hence with a reference.
int umount_it(unsigned flags)
{
    path at = place();
    vfsmount *found = lookup_mnt(&at);
    int error;

    explore_check(found, "it is mounted");
    error = do_umount(real_mount(found), flags);
    mntput(found);
    return error;
}

/// Answers that came up in some execution; outside of what executions share on purpose.
std::set<int> answers;

TEST(LegitimizeMnt, AgainstALazyUmountAnswersInThreeWays)
{
    exploration program;

    answers.clear();
    program.setup = set_up_two_mounts;
    program.tasks = {{"walker", [] { world->answer = cross_and_legitimize(); }},
                     {"umount", [] { world->umount_error = umount_it(MNT_DETACH_FLAG); }}};
    program.options.preemptions = 3;
    program.finally = [] {
        answers.insert(world->answer);
        explore_check(!world->umount_error, "a lazy umount is never busy");
        expect_mounts_and_take_down(1);
    };
    EXPECT_THAT(explore(program), Holds());
    EXPECT_EQ(answers, (std::set<int>{-1, 0, 1, NOT_FOUND}));
}

// The umount may take the walker's reference for a user and say that the mount is busy. But when it
// says that nobody uses it, then nobody gets it any more.
TEST(LegitimizeMnt, TakesNoReferenceOnceUmountFoundNone)
{
    exploration program;

    answers.clear();
    program.setup = set_up_two_mounts;
    program.tasks = {{"walker", [] { world->answer = cross_and_legitimize(); }},
                     {"umount", [] { world->umount_error = umount_it(0); }}};
    program.options.preemptions = 3;
    program.finally = [] {
        answers.insert(world->umount_error ? world->umount_error : world->answer);
        if (world->umount_error) {
            explore_check(world->umount_error == -EBUSY, "busy, or umounted");
            explore_check(world->answer != NOT_FOUND, "only the walker can have been using it");
            expect_mounts_and_take_down(2);
        } else {
            explore_check(world->answer != -1, "not even for a moment");
            expect_mounts_and_take_down(1);
        }
    };
    EXPECT_THAT(explore(program), Holds());
    EXPECT_TRUE(answers.contains(-EBUSY));
    EXPECT_TRUE(answers.contains(1));
}

/// The last reference goes while a walker that has seen the mount asks for one, as when its user
/// changes to another root. The mount is out of the namespace, so only mount_lock stands between
/// the two.
TEST(LegitimizeMnt, AgainstTheLastMntput)
{
    exploration program;

    answers.clear();
    program.setup = [] {
        set_up_two_mounts();
        mntget(&world->other->mnt);
        explore_check(!do_umount(world->other, MNT_DETACH_FLAG), "umounted");
        WRITE_ONCE(world->seen, world->other);
    };
    program.tasks = {{"walker",
                      [] {
                          rcu_read_lock();
                          unsigned seq = read_seqbegin(&mount_lock);
                          mount *seen = READ_ONCE(world->seen);
                          world->answer = seen ? __legitimize_mnt(&seen->mnt, seq) : NOT_FOUND;
                          rcu_read_unlock();
                          if (world->answer > 0)
                              return;
                          explore_check(!(READ_ONCE(seen->mnt.mnt_flags) & MNT_DOOMED), "alive");
                          mntput(&seen->mnt);
                      }},
                     {"last user", [] {
                          WRITE_ONCE(world->seen, nullptr);
                          mntput(&world->other->mnt);
                      }}};
    program.options.preemptions = 3;
    program.finally = [] {
        answers.insert(world->answer);
        expect_mounts_and_take_down(1);
    };
    EXPECT_THAT(explore(program), Holds());
    EXPECT_EQ(answers, (std::set<int>{-1, 0, 1, NOT_FOUND}));
}

// The fast path sees mnt_ns set and concludes that the namespace holds a reference as well.
TEST(Mntput, ByTheFastPathIsNeverTheLast)
{
    exploration program;

    program.setup = [] {
        set_up_two_mounts();
        mntget(&world->other->mnt);
    };
    program.tasks = {{"user", [] { mntput(&world->other->mnt); }},
                     {"umount", [] { world->umount_error = umount_it(MNT_DETACH_FLAG); }}};
    program.options.preemptions = 3;
    program.finally = [] { expect_mounts_and_take_down(1); };
    EXPECT_THAT(explore(program), Holds());
}

// Neither of the two waits for the other, and the mount is in one of its two places all the time.
TEST(LookupMnt, FindsAMovingMountOnceAtMost)
{
    exploration program;

    program.setup = [] {
        set_up_two_mounts();
        memfs_add_node(world->sb, memfs_root_node(world->sb), "e", 1, S_IFDIR_TYPE | 0755, nullptr);
    };
    program.tasks = {
        {"mover",
         [] {
             dentry *target = lookup_path(world->sb->s_root, "/e", 2);
             path from = {&world->other->mnt, world->other_sb->s_root};
             path to = {&world->top->mnt, target};

             explore_check(!do_move_mount(&from, &to), "it may move");
             dput(target);
         }},
        {"walker", [] {
             path at = place();

             rcu_read_lock();
             unsigned seq = read_seqbegin(&mount_lock);
             bool here = __lookup_mnt(at.mnt, at.dentry);
             bool parent_here = READ_ONCE(world->other->mnt_parent) == world->top &&
                                READ_ONCE(world->other->mnt_mountpoint) == world->where;
             if (!read_seqretry(&mount_lock, seq))
                 explore_check(here == parent_here, "the table and the mount say the same");
             rcu_read_unlock();
         }}};
    program.options.preemptions = 2;
    program.finally = [] { expect_mounts_and_take_down(2); };
    EXPECT_THAT(explore(program), Holds());
}

/// `other` is mounted on /m/b0 and moves to /m/b1, where /m is a mount of its own that moves from
/// /t0 to /t1 after that. From the bottom to the top a path may have got there too late for the
/// first move, but then it must not see the second.
TEST(DPath, IsOfOneMomentWhileMountsMove)
{
    static super_block *middle_sb;
    static mount *middle;
    exploration program;
    const auto add_directory = [](super_block *sb, const char *name) {
        memfs_add_node(sb, memfs_root_node(sb), name, 2, S_IFDIR_TYPE | 0755, nullptr);
    };

    program.setup = [add_directory] {
        set_up_two_mounts();
        explore_check(!do_umount(world->other, MNT_DETACH_FLAG), "umounted");
        add_directory(world->sb, "t0");
        add_directory(world->sb, "t1");
        middle_sb = memfs_mount({}, "middle");
        add_directory(middle_sb, "b0");
        add_directory(middle_sb, "b1");
        middle = vfs_create_mount(middle_sb);
        world->other = vfs_create_mount(world->other_sb);
        path top = {&world->top->mnt, lookup_path(world->sb->s_root, "/t0", 3)};
        explore_check(!do_add_mount(middle, &top), "the one in the middle");
        dput(top.dentry);
        path bottom = {&middle->mnt, lookup_path(middle_sb->s_root, "/b0", 3)};
        explore_check(!do_add_mount(world->other, &bottom), "the one at the bottom");
        dput(bottom.dentry);
    };
    program.tasks = {{"mover",
                      [] {
                          path from = {&world->other->mnt, world->other_sb->s_root};
                          path to = {&middle->mnt, lookup_path(middle_sb->s_root, "/b1", 3)};
                          explore_check(!do_move_mount(&from, &to), "the bottom moves");
                          dput(to.dentry);
                          from = {&middle->mnt, middle_sb->s_root};
                          to = {&world->top->mnt, lookup_path(world->sb->s_root, "/t1", 3)};
                          explore_check(!do_move_mount(&from, &to), "the middle moves");
                          dput(to.dentry);
                      }},
                     {"reader", [] {
                          char buffer[32];
                          path path = {&world->other->mnt, world->other_sb->s_root};
                          const char *told = d_absolute_path(&path, buffer, sizeof(buffer));

                          explore_check(!IS_ERR(told), "it is in the namespace");
                          explore_check(!strcmp(told, "/t0/b0") || !strcmp(told, "/t0/b1") ||
                                            !strcmp(told, "/t1/b1"),
                                        "the path is of one moment");
                      }}};
    program.options.preemptions = 2;
    program.finally = [] {
        rcu_barrier();
        set_namespace_root(nullptr);
        dput(world->where);
        explore_check(!memfs_unmount(world->other_sb), "nothing is busy at the bottom");
        explore_check(!memfs_unmount(middle_sb), "nothing is busy in the middle");
        explore_check(!memfs_unmount(world->sb), "nothing is busy at the top");
        explore_check(vfs_exit().none(), "nothing is left");
    };
    EXPECT_THAT(explore(program), Holds());
}

/// A count of another dentry would let a walk go on from a place that has moved since.
TEST(FsStruct, StartOfAnRcuWalkIsOfOneMoment)
{
    exploration program;

    program.setup = [] {
        set_up_two_mounts();
        path at = place();
        set_fs_root(&init_fs, &at);
        set_fs_pwd(&init_fs, &at);
        // So that the two places have different counts.
        d_drop(world->where);
    };
    program.tasks = {{"changes directory",
                      [] {
                          path to = {&world->other->mnt, world->other_sb->s_root};
                          set_fs_root(&init_fs, &to);
                          set_fs_pwd(&init_fs, &to);
                      }},
                     {"walker", [] {
                          const path one = place();
                          const path two = {&world->other->mnt, world->other_sb->s_root};
                          const auto together = [&](const path &found, unsigned seq) {
                              return (path_equal(&found, &one) || path_equal(&found, &two)) &&
                                     seq == READ_LOCKED(found.dentry->d_seq.sequence);
                          };
                          path found;
                          inode *inode;
                          unsigned seq;

                          rcu_read_lock();
                          get_fs_root_rcu_seq(&init_fs, &found, &seq);
                          explore_check(together(found, seq), "the root and its count");
                          get_fs_pwd_rcu_seq(&init_fs, &found, &inode, &seq);
                          explore_check(together(found, seq), "the directory and its count");
                          explore_check(inode == d_inode_rcu(found.dentry), "and its inode");
                          rcu_read_unlock();
                      }}};
    program.options.preemptions = 3;
    program.finally = [] {
        const path nowhere = {nullptr, nullptr};
        set_fs_root(&init_fs, &nowhere);
        set_fs_pwd(&init_fs, &nowhere);
        expect_mounts_and_take_down(2);
    };
    EXPECT_THAT(explore(program), Holds());
}

// d_invalidate() unhashes and then looks for mountpoints; do_add_mount() looks at the hash and then
// marks.
TEST(DoAddMount, LeavesNoMountOnAnInvalidatedDirectory)
{
    exploration program;

    program.setup = [] {
        set_up_two_mounts();
        explore_check(!do_umount(world->other, MNT_DETACH_FLAG), "umounted");
        world->other = vfs_create_mount(world->other_sb);
    };
    program.tasks = {{"mount",
                      [] {
                          path at = place();

                          world->umount_error = do_add_mount(world->other, &at);
                          if (world->umount_error)
                              mntput(&world->other->mnt);
                      }},
                     {"invalidate", [] { d_invalidate(world->where); }}};
    program.options.preemptions = 2;
    program.finally = [] {
        explore_check(!world->umount_error || world->umount_error == -ENOENT, "done or refused");
        explore_check(!d_mountpoint(world->where), "nothing is mounted there");
        expect_mounts_and_take_down(1);
    };
    EXPECT_THAT(explore(program), Holds());
}

// A finding about v7.2, not a wish: d_set_mounted() looks at the ancestors with rename_lock held
// but its count unmoved, so the search of d_invalidate() may pass below before the mark is there.
// With v6.12's write_seqlock() this search finds nothing.
TEST(DoAddMount, MayLeaveAMountBelowAnInvalidatedDirectory)
{
    static dentry *below;
    exploration program;

    program.setup = [] {
        set_up_two_mounts();
        explore_check(!do_umount(world->other, MNT_DETACH_FLAG), "umounted");
        world->other = vfs_create_mount(world->other_sb);
        explore_check(!mkdir_at(world->where, "c", 1, 0755), "made");
        below = lookup_path(world->sb->s_root, "/d/c", 4);
        explore_check(!IS_ERR(below), "it is there");
    };
    program.tasks = {{"mount",
                      [] {
                          path at = {&world->top->mnt, below};

                          world->umount_error = do_add_mount(world->other, &at);
                          if (world->umount_error)
                              mntput(&world->other->mnt);
                      }},
                     {"invalidate", [] { d_invalidate(world->where); }}};
    program.options.preemptions = 2;
    program.finally = [] {
        explore_check(!world->umount_error || world->umount_error == -ENOENT, "done or refused");
        explore_check(!d_mountpoint(below), "nothing is mounted there");
        dput(below);
        expect_mounts_and_take_down(1);
    };

    const exploration_report report = explore(program);
    EXPECT_THAT(report, Violates(violation_kind::expectation));
    EXPECT_EQ(report.search.preemptions, 1u);
}

// The last mntput() of a detached mount unmarks what stayed mounted in it, without namespace_sem:
// whoever mounts on the same dentry of another mount may find the mark and then nothing behind it.
TEST(DoAddMount, AgainstTheEndOfAMountOnTheSameDentry)
{
    static mount *bind, *fresh;
    static super_block *third_sb;
    static dentry *shared;
    exploration program;

    program.setup = [] {
        set_up_two_mounts();
        memfs_add_node(world->other_sb, memfs_root_node(world->other_sb), "x", 1,
                       S_IFDIR_TYPE | 0755, nullptr);
        memfs_add_node(world->sb, memfs_root_node(world->sb), "e", 1, S_IFDIR_TYPE | 0755, nullptr);
        third_sb = memfs_mount({}, "third");
        shared = lookup_path(world->other_sb->s_root, "/x", 2);
        bind = vfs_create_mount(world->other_sb);
        path elsewhere = {&world->top->mnt, lookup_path(world->sb->s_root, "/e", 2)};
        explore_check(!do_add_mount(bind, &elsewhere), "a second view");
        dput(elsewhere.dentry);
        path below = {&world->other->mnt, shared};
        explore_check(!do_add_mount(vfs_create_mount(third_sb), &below), "mounted below");
        mntget(&world->other->mnt);
        detach_mounts(world->where);
        explore_check(d_mountpoint(shared), "what was mounted below stayed");
        fresh = vfs_create_mount(third_sb);
    };
    program.tasks = {{"last user", [] { mntput(&world->other->mnt); }},
                     {"mount", [] {
                          path at = {&bind->mnt, shared};

                          explore_check(!do_add_mount(fresh, &at), "mounted");
                      }}};
    program.options.preemptions = 2;
    program.finally = [] {
        path at = {&bind->mnt, shared};

        rcu_barrier();
        explore_check(d_mountpoint(shared) && __lookup_mnt(at.mnt, at.dentry) == fresh,
                      "it is there, and the dentry is marked");
        explore_check(mount_count() == 3, "the detached ones are gone");
        set_namespace_root(nullptr);
        dput(shared);
        dput(world->where);
        for (super_block *sb : {third_sb, world->other_sb, world->sb})
            explore_check(!memfs_unmount(sb), "nothing is busy");
        explore_check(vfs_exit().none(), "nothing is left");
    };
    EXPECT_THAT(explore(program), Holds());
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
