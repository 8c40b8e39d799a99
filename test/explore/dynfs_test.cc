// SPDX-License-Identifier: GPL-2.0-only
//
// What tasks do to each other in dynfs, in every order: objects that go while their names are
// looked up or read, and names that are compared by what stands behind them.
#include "dcsim/testing/explore_gtest.h"

#include "dcache_internal.h"
#include "dcsim/mockfs/dynfs.h"
#include "dcsim/mockfs/mock_filesystem.h"
#include "dcsim/vfs/file.h"
#include "dcsim/vfs/namei.h"
#include "dcsim/vfs/vfs.h"
#include "rcu_walk.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using testing::Holds;
using testing::Violates;

super_block *sb;

/// What the tasks of an execution found, for what is checked after them.
struct findings {
    once<u64> read;      ///< the number that reading the directory told
    once<unsigned> type; ///< and the type, with that
    once<u64> names;     ///< how many names it told
    once<u64> looked;    ///< the number that the lookup found
} * found;

void set_up(bool sysctl, lookup_era era, bool outside = false)
{
    const mock_option options[] = {{"sysctl", sysctl}, {"flush", 1}};
    vfs_config config = {.dhash_entries = 2, .ihash_entries = 2, .in_lookup_shift = 0};
    mock_mount_options mount_options;

    config.era = era;
    config.lookup_outside_rwsem = outside;
    explore_check(vfs_init(config) == 0, "the vfs starts");
    mount_options.options = options;
    sb = dynfs_filesystem.mount(mount_options, "dyn");
    dynfs_filesystem.add_node(sb, dynfs_filesystem.root_node(sb), "1", 1, S_IFREG_TYPE | 0444,
                              nullptr);
    found = make_shared_state<findings>();
}

void finish()
{
    explore_check(dynfs_filesystem.unmount(sb) == 0, "nothing is busy");
    explore_check(vfs_exit().none(), "nothing is left");
}

bool note_number(dir_context *, const char *name, int, int64_t, ino_t ino, unsigned type)
{
    WRITE_ONCE(found->names, READ_ONCE(found->names) + 1);
    if (*name == '1') {
        WRITE_ONCE(found->read, ino);
        WRITE_ONCE(found->type, type);
    }
    return true;
}

void read_root()
{
    dir_context context = {.actor = note_number};
    inode *inode = d_inode(sb->s_root);
    file file = {};

    file.f_path.dentry = sb->s_root;
    file.f_inode = inode;
    inode_lock_shared(inode);
    explore_check(inode->i_fop->iterate_shared(&file, &context) == 0, "the directory is read");
    inode_unlock_shared(inode);
}

/// 0 when it is not there.
u64 look_up()
{
    dentry *dentry = lookup_path(sb->s_root, "1", 1);
    u64 number;

    if (IS_ERR(dentry)) {
        explore_check(dentry == ERR_PTR(-ENOENT), "it is there or it is not");
        return 0;
    }
    number = d_inode(dentry)->i_ino;
    dput(dentry);
    return number;
}

void look_up_and_note()
{
    WRITE_ONCE(found->looked, look_up());
}

void change(remote_change what)
{
    explore_check(dynfs_filesystem.remote(sb, what, "/1", nullptr) == 0, "the change is made");
    dynfs_filesystem.run_pending(sb);
}

void exit_process()
{
    change(remote_change::remove);
}

void exec_process()
{
    change(remote_change::replace);
}

exploration two_tasks(bool sysctl, lookup_era era, void (*first)(), void (*second)())
{
    exploration program;

    program.setup = [=] { set_up(sysctl, era); };
    program.tasks = {{"A", first}, {"B", second}};
    program.finally = finish;
    program.options.preemptions = 2;
    return program;
}

constexpr lookup_era ALL_ERAS[] = {ERA_4_7, ERA_4_17, ERA_6_0, ERA_V3, ERA_7_2};

TEST(DynfsExplored, ReadingAndALookupAgreeOnTheNumber)
{
    for (const bool sysctl : {false, true}) {
        for (const lookup_era era : ALL_ERAS) {
            exploration program = two_tasks(sysctl, era, read_root, look_up_and_note);

            program.options.preemptions = 1;
            program.finally = [] {
                explore_check(READ_ONCE(found->read) != 0, "the name is read");
                explore_check(READ_ONCE(found->read) == READ_ONCE(found->looked),
                              "both say one number");
                finish();
            };
            EXPECT_THAT(explore(program), Holds()) << lookup_era_name(era) << sysctl;
        }
    }
}

// Where names are put in lookup before the directory is locked, the reader holds what the lookup
// needs and must not wait for it. It tells the name without a number rather than a wrong one, and
// goes on.
TEST(DynfsExplored, AReaderDoesNotWaitForALookupThatWaitsForItsLock)
{
    for (const bool sysctl : {false, true}) {
        for (const lookup_era era : {ERA_V3, ERA_7_2}) {
            static bool told, untold;
            exploration program = two_tasks(sysctl, era, read_root, look_up_and_note);

            told = untold = false;
            program.options.preemptions = 1;
            program.setup = [=] {
                set_up(sysctl, era, true);
                dynfs_filesystem.add_node(sb, dynfs_filesystem.root_node(sb), "2", 1,
                                          S_IFREG_TYPE | 0444, nullptr);
            };
            program.finally = [] {
                const bool has_number = READ_ONCE(found->read) == READ_ONCE(found->looked);

                (has_number ? told : untold) = true;
                explore_check(READ_ONCE(found->names) == 4, "., .. and both names are told");
                explore_check(has_number || READ_ONCE(found->read) == 1, "its number, or none");
                explore_check(has_number == (READ_ONCE(found->type) != 0), "with a type, or none");
                read_root();
                explore_check(READ_ONCE(found->read) == READ_ONCE(found->looked),
                              "afterwards both say one number");
                finish();
            };
            EXPECT_THAT(explore(program), Holds()) << lookup_era_name(era) << sysctl;
            EXPECT_TRUE(told && untold) << lookup_era_name(era) << sysctl;
        }
    }
}

TEST(DynfsExplored, AProcessExitsWhileItIsLookedUp)
{
    for (const bool sysctl : {false, true}) {
        exploration program = two_tasks(sysctl, ERA_7_2, look_up_and_note, exit_process);

        EXPECT_THAT(explore(program), Holds()) << sysctl;
        program.setup = [=] {
            set_up(sysctl, ERA_7_2);
            look_up();
        };
        EXPECT_THAT(explore(program), Holds()) << sysctl << ", known before";
    }
}

TEST(DynfsExplored, AProcessExitsWhileTheDirectoryIsRead)
{
    for (const bool sysctl : {false, true})
        EXPECT_THAT(explore(two_tasks(sysctl, ERA_7_2, read_root, exit_process)), Holds())
            << sysctl;
}

/// A table that was unregistered after it was found gets no inode, whatever has come in its place.
bool may_miss()
{
    return READ_ONCE(sb->s_root->d_flags) & DCACHE_OP_COMPARE;
}

TEST(DynfsExplored, WhatTookItsPlaceIsFoundAfterwards)
{
    for (const bool sysctl : {false, true}) {
        exploration program = two_tasks(sysctl, ERA_7_2, look_up_and_note, exec_process);

        program.finally = [] {
            // Numbers grow: whoever comes after the change finds the new one.
            const u64 before = READ_ONCE(found->looked);
            const u64 after = look_up();
            explore_check(after != 0 && after >= before, "the new one is there");
            explore_check(before != 0 || may_miss(), "a process is missed");
            finish();
        };
        EXPECT_THAT(explore(program), Holds()) << sysctl;
    }
}

TEST(DynfsExplored, TwoLookupsOfOneTableMakeOneDentry)
{
    for (const lookup_era era : ALL_ERAS) {
        exploration program =
            two_tasks(true, era, look_up_and_note, [] { WRITE_ONCE(found->read, look_up()); });

        program.options.preemptions = 1;
        program.finally = [] {
            explore_check(READ_ONCE(found->read) == READ_ONCE(found->looked), "one dentry");
            finish();
        };
        EXPECT_THAT(explore(program), Holds()) << lookup_era_name(era);
    }
}

// --- Unmounting ---

// The walk may be comparing a name, or asking whether it is good, when everything is taken down.
TEST(DynfsExplored, AWalkInRcuModeBesideTheUnmount)
{
    for (const bool sysctl : {false, true}) {
        exploration program = two_tasks(
            sysctl, ERA_7_2, [] { walk_in_rcu_mode("1"); },
            [] { unmount_beside_walks(dynfs_filesystem, sb); });

        program.setup = [=] {
            set_up(sysctl, ERA_7_2);
            look_up();
            begin_walks_at(sb->s_root);
        };
        program.options.preemptions = 1;
        program.finally = [] { explore_check(vfs_exit().none(), "nothing is left"); };
        EXPECT_THAT(explore(program), Holds()) << sysctl;
    }
}

// --- The bug that b969f9614885 fixed: a dentry that has no inode yet does not match ---

const dentry_operations *real_operations;
dentry_operations blind_operations;

int compare_by_inode_alone(const dentry *dentry, unsigned length, const char *text,
                           const qstr *name)
{
    if (!d_inode_rcu(dentry))
        return 1;
    return real_operations->d_compare(dentry, length, text, name);
}

TEST(DynfsExplored, ADentryInLookupThatDoesNotMatchIsMadeTwice)
{
    exploration program =
        two_tasks(true, ERA_7_2, look_up_and_note, [] { WRITE_ONCE(found->read, look_up()); });

    program.setup = [] {
        set_up(true, ERA_7_2);
        real_operations = sb->__s_d_op;
        blind_operations = *real_operations;
        blind_operations.d_compare = compare_by_inode_alone;
        sb->__s_d_op = &blind_operations;
        sb->s_root->d_op = &blind_operations;
    };
    program.finally = [] {
        explore_check(READ_ONCE(found->read) == READ_ONCE(found->looked), "one dentry");
        finish();
    };
    EXPECT_THAT(explore(program), Violates(violation_kind::expectation));
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
