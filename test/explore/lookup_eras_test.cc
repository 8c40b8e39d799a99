// SPDX-License-Identifier: GPL-2.0-only
//
// The wait protocols of all eras: what holds in each of them, and the bug that each of them has.
#include "dcsim/testing/explore_gtest.h"

#include <string>
#include <string_view>

#include "dcache_internal.h"
#include "dcsim/kernel/err.h"
#include "dcsim/mockfs/memfs.h"
#include "dcsim/scenario/program.h"
#include "dcsim/testing/dcache_checker.h"
#include "dcsim/vfs/namei.h"
#include "dcsim/vfs/vfs.h"
#include "lookup_eras.h"
#include "sanitizers.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using testing::Holds;
using testing::Violates;

// What the set-up made. Constant from then on.
super_block *sb;
dentry *directory; ///< referenced, where a test needs it

void mount_in(lookup_era era)
{
    explore_check(
        vfs_init({.dhash_entries = 2, .ihash_entries = 2, .in_lookup_shift = 0, .era = era}) == 0,
        "the vfs starts");
    sb = memfs_mount({}, "test");
    memfs_add_node(sb, memfs_root_node(sb), "file", 4, S_IFREG_TYPE | 0644, nullptr);
    memfs_add_node(sb, memfs_root_node(sb), "dir", 3, S_IFDIR_TYPE | 0755, nullptr);
}

void unmount()
{
    broken_invariant broken;

    explore_check(check_dcache(&broken), "the dcache is in order");
    explore_check(memfs_unmount(sb) == 0, "nothing is in use");
    explore_check(vfs_exit().none(), "nothing is left");
}

dentry *look_up(std::string_view name)
{
    return lookup_path(sb->s_root, name.data(), name.size());
}

void look_up_file()
{
    dentry *found = look_up("file");

    explore_check(!IS_ERR(found) && d_inode(found), "a file that exists is found");
    dput(found);
}

void look_up_nothing()
{
    dentry *found = look_up("none");

    explore_check(IS_ERR(found), "a file that does not exist is not found");
}

/// d_alloc_parallel() of a name that nobody publishes.
void look_up_in_vain()
{
    caller_wait_queue wq;
    qstr q = make_hashed_qstr(sb->s_root, "file", 4);
    dentry *fresh = d_alloc_parallel(sb->s_root, &q, wq.head());

    d_lookup_done(fresh);
    dput(fresh);
}

exploration program_in(lookup_era era, std::vector<exploration_task> tasks)
{
    exploration program;

    program.name = std::string("lookups in era ") + lookup_era_name(era);
    program.setup = [era] { mount_in(era); };
    program.tasks = std::move(tasks);
    program.after_unlock = check_after_unlock;
    program.finally = unmount;
    // Tasks that are threads, as a sanitizer needs them, take turns slowly.
    if (sanitized_malloc)
        program.options.preemptions = 1;
    return program;
}

class LookupEras : public ::testing::TestWithParam<lookup_era>
{
};

TEST_P(LookupEras, TwoLookupsOfAFileShareOneDentry)
{
    EXPECT_THAT(explore(program_in(GetParam(), {{"A", look_up_file}, {"B", look_up_file}})),
                Holds());
}

TEST_P(LookupEras, TwoLookupsOfNothingShareOneDentry)
{
    EXPECT_THAT(explore(program_in(GetParam(), {{"A", look_up_nothing}, {"B", look_up_nothing}})),
                Holds());
}

TEST_P(LookupEras, TheNextOneTakesOverALookupThatWasGivenUp)
{
    EXPECT_THAT(explore(program_in(GetParam(), {{"A", look_up_in_vain}, {"B", look_up_in_vain}})),
                Holds());
}

// The publisher waits for the bucket lock with i_dir_seq odd; the other one takes that lock, finds
// the count changed, and starts over.
TEST_P(LookupEras, OnlyTheFirstLivelocksOverTheBucketLock)
{
    exploration program = program_in(GetParam(), {{"A", look_up_file}, {"B", look_up_nothing}});

    program.starvation = true;
    program.options.preemptions = 1;
    if (GetParam() == ERA_4_7)
        EXPECT_THAT(explore(program), Violates(violation_kind::livelock));
    else
        EXPECT_THAT(explore(program), Holds());
}

/// ->lookup() of a folding file system: "DIR" is stored as "dir", and the directory that is found
/// there is the root itself, so that the splice fails.
void look_up_a_loop_by_another_spelling()
{
    caller_wait_queue wq;
    qstr asked = make_hashed_qstr(directory, "LOOP", 4);
    qstr stored = make_hashed_qstr(directory, "loop", 4);
    inode *above = d_inode(sb->s_root);

    inode_lock_shared(d_inode(directory));
    dentry *fresh = d_alloc_parallel(directory, &asked, wq.head());
    ihold(above);
    explore_check(d_add_ci(fresh, above, &stored) == ERR_PTR(-ELOOP), "a loop is refused");
    d_lookup_done(fresh);
    dput(fresh);
    inode_unlock_shared(d_inode(directory));
}

// The dentry of the stored spelling must leave the in-lookup table before it is freed.
TEST_P(LookupEras, FailedSpliceOfAnotherSpellingLeavesNothingInTheTable)
{
    exploration program = program_in(GetParam(), {{"A", look_up_a_loop_by_another_spelling}});

    program.setup = [era = GetParam()] {
        mount_in(era);
        directory = look_up("dir");
    };
    program.finally = [] {
        dput(directory);
        unmount();
    };
    const exploration_report report = explore(program);
    if (GetParam() <= ERA_4_17)
        EXPECT_THAT(report, Violates(violation_kind::warning)); // "dies in lookup"
    else
        EXPECT_THAT(report, Holds());
}

/// Sets a flag on the newest child of the root, as flags may be set: under its d_lock.
dentry *flag_newest_child()
{
    dentry *root = sb->s_root;

    spin_lock(&root->d_lock);
    dentry *child = d_first_child(root);
    if (child) {
        spin_lock_nested(&child->d_lock, DENTRY_D_LOCK_NESTED);
        child->d_flags |= DCACHE_DONTCACHE;
        spin_unlock(&child->d_lock);
    }
    spin_unlock(&root->d_lock);
    return child;
}

/// While the parent's lock is held no child is taken off its list.
void expect_flag_if_there(const dentry *child)
{
    dentry *root = sb->s_root;

    spin_lock(&root->d_lock);
    if (d_first_child(root) == child)
        explore_check(READ_ONCE(child->d_flags) & DCACHE_DONTCACHE,
                      "a flag that was set under d_lock stays");
    spin_unlock(&root->d_lock);
}

// DCACHE_PAR_LOOKUP is set after the dentry has become a child: by a load and a store without
// d_lock, between which the walker's bit is lost, or in which its bit takes PAR_LOOKUP away.
TEST_P(LookupEras, FlagOfANewChildIsLostWhereItIsSetLate)
{
    exploration program =
        program_in(GetParam(), {{"A", look_up_file}, {"B", [] {
                                                          if (dentry *child = flag_newest_child())
                                                              expect_flag_if_there(child);
                                                      }}});

    if (GetParam() <= ERA_6_0)
        program.options.preemptions = 2; // as many as it takes
    const exploration_report report = explore(program);
    if (GetParam() <= ERA_6_0)
        EXPECT_THAT(report, Violates(violation_kind::expectation));
    else
        EXPECT_THAT(report, Holds());
}

/// Names of what a dentry in lookup has in its unions, and of the queue that its owner lends.
void name_what_is_lent()
{
    caller_wait_queue wq;
    qstr q = make_hashed_qstr(sb->s_root, "file", 4);
    dentry *fresh = d_alloc_parallel(sb->s_root, &q, wq.head());
    const auto is_called = [](const void *address, const char *name) {
        char text[200] = "";

        describe_port_address(sb, address, text, sizeof(text));
        return std::string_view(text).ends_with(name);
    };

    explore_check(is_called(&fresh->d_wait, wq.head() ? " d_wait" : " d_lru"), "d_wait or d_lru");
    explore_check(is_called(&fresh->d_in_lookup_hash, " d_in_lookup_hash"), "d_in_lookup_hash");
    if (wq.head())
        explore_check(is_called(wq.head(), "d_wait queue on A's stack"), "the queue");
    d_lookup_done(fresh);
    explore_check(is_called(&fresh->d_lru, " d_lru"), "d_lru when it is over");
    dput(fresh);
}

TEST_P(LookupEras, TracesCallTheRoomOfAUnionByWhatIsInIt)
{
    EXPECT_THAT(explore(program_in(GetParam(), {{"A", name_what_is_lent}})), Holds());
}

INSTANTIATE_TEST_SUITE_P(All, LookupEras, ::testing::ValuesIn(all_lookup_eras()), name_of_era_test);

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
