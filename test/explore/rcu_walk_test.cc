// SPDX-License-Identifier: GPL-2.0-only
//
// What an RCU walk does not do (invariant 34): until it takes its references at the end, or on its
// way into ref mode, it stores nothing, locks nothing, allocates nothing, in any interleaving. And
// what is left of a walk (invariant 35): no reference, and no body of a link.
#include <cstring>

#include "dcsim/kernel/err.h"
#include "dcsim/mockfs/memfs.h"
#include "dcsim/scenario/library.h"
#include "dcsim/scenario/program.h"
#include "dcsim/vfs/syscalls.h"
#include "dcsim/vfs/vfs.h"
#include "model_program.h"
#include "namei_internal.h"
#include "symbols.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

// --- Invariant 34 -----------------------------------------------------------------------------

uint64_t steps_in_rcu_mode;
uint64_t references_at_the_end;

bool only_looks(operation kind)
{
    switch (kind) {
    case operation::load:
    case operation::wait:
    case operation::relax:
    case operation::rcu_lock:
    case operation::rcu_unlock:
    case operation::step:
        return true;
    default:
        return false;
    }
}

/// Is the task taking its references, with RCU mode as good as over?
bool is_legitimizing()
{
    for (const code_place &call : current_calls())
        if (call.function == "legitimize_walk" || call.function == "try_to_unlazy_next")
            return true;
    return false;
}

/// For model_program::invariant: the calling task has announced what it will do next.
void check_rcu_walk(void *)
{
    const task_control &me = current_task();
    const auto *nd = static_cast<const nameidata *>(me.private_data[TASK_PRIVATE_NAMEIDATA]);

    // Before path_init() the flags are not those of a walk.
    if (!nd || !(execution().readers >> me.id & 1) || !(nd->flags & LOOKUP_RCU))
        return;
    steps_in_rcu_mode++;
    if (only_looks(me.pending))
        return;
    if (is_legitimizing()) {
        references_at_the_end++;
        return;
    }
    violate(violation_kind::invariant, "invariant 34: an RCU walk does not change anything\n%s: %s",
            operation_name(me.pending), address_text(me.pending_address));
}

/// A scenario, watched.
search_result watch(const char *name, const char *variant = "")
{
    const scenario::scenario scenario = scenario::load_scenario(name, variant);
    const auto original = make_scenario_program(scenario);
    model_program program = original->program();
    search_options options;

    program.invariant = check_rcu_walk;
    options.preemptions = 1;
    steps_in_rcu_mode = references_at_the_end = 0;
    return search_program(program, options);
}

class RcuWalk : public ::testing::TestWithParam<const char *>
{
};

TEST_P(RcuWalk, ChangesNothing)
{
    EXPECT_THAT(watch(GetParam()), Holds());
    EXPECT_GT(steps_in_rcu_mode, 10000u);
    EXPECT_GT(references_at_the_end, 100u);
}

INSTANTIATE_TEST_SUITE_P(Scenario, RcuWalk,
                         ::testing::Values("rename-vs-rcu-walk", "dotdot-vs-rename",
                                           "rmdir-vs-walk", "unlink-vs-open", "symlink-vs-walk",
                                           "exchange-vs-walk", "create-race", "mount-vs-rmdir",
                                           "umount-vs-walk"));

// --- A file system that is walked through -----------------------------------------------------

struct walked {
    super_block *sb;
    int open_bodies; ///< bodies of links that somebody was given and has not given back
    int error;
};
walked *the_walked;

void mount_and_fill(walked &state, const dentry_operations *operations)
{
    memfs_options options;

    the_walked = &state;
    vfs_init({.dhash_entries = 2, .ihash_entries = 2, .in_lookup_shift = 0});
    options.default_dentry_operations = operations;
    state.sb = memfs_mount(options, "walked");
    memfs_node *root = memfs_root_node(state.sb);
    memfs_node *directory = memfs_add_node(state.sb, root, "d", 1, S_IFDIR_TYPE | 0755, nullptr);
    memfs_add_node(state.sb, directory, "f", 1, S_IFREG_TYPE | 0644, nullptr);
    memfs_add_node(state.sb, root, "s", 1, S_IFLNK_TYPE | 0777, "d");

    init_mount_tree(state.sb);
}

void unmount(walked &state)
{
    exit_mount_tree();
    require(!memfs_unmount(state.sb), "somebody kept a reference");
    require(vfs_exit().none(), "something is left");
}

int stat_of(const char *name)
{
    kstat stat;

    return sys_newfstatat(&init_task, AT_FDCWD_VALUE, name, &stat, 0);
}

/// As a careless file system does it: right, but for the reference in RCU mode.
int revalidate_with_a_reference(inode *, const qstr *, dentry *dentry, unsigned)
{
    dget(dentry);
    dput(dentry);
    return 1;
}

int revalidate_by_looking(inode *, const qstr *, dentry *dentry, unsigned)
{
    return !d_unhashed(dentry);
}

search_result walk_with(int (*revalidate)(inode *, const qstr *, dentry *, unsigned))
{
    static dentry_operations operations;
    toy<walked> program;

    operations = {.d_revalidate = revalidate};
    program.setup([](walked &state) {
        mount_and_fill(state, &operations);
        stat_of("/d/f");
    });
    program.task("A", [](walked &state) { state.error = stat_of("/d/f"); });
    program.task("B", [](walked &) { stat_of("/d"); });
    program.finally([](walked &state) {
        require(!state.error, "A finds the file");
        unmount(state);
    });
    program.program.invariant = check_rcu_walk;
    return program.search(0);
}

TEST(RcuWalkRule, SeesAReferenceThatIsTakenOnTheWay)
{
    EXPECT_THAT(walk_with(revalidate_with_a_reference),
                BreaksSaying(violation_kind::invariant, "invariant 34"));
    EXPECT_THAT(walk_with(revalidate_by_looking), Holds());
}

// --- Invariant 35 -----------------------------------------------------------------------------

void give_body_back(void *)
{
    the_walked->open_bodies--;
}

const char *get_body(dentry *, inode *, delayed_call *done)
{
    the_walked->open_bodies++;
    set_delayed_call(done, give_body_back, nullptr);
    return "d";
}

const char *get_body_and_forget_it(dentry *, inode *, delayed_call *)
{
    the_walked->open_bodies++;
    return "d";
}

/// Gives the link /s a ->get_link() of the test's.
void replace_get_link(walked &state, const char *(*get_link)(dentry *, inode *, delayed_call *))
{
    static inode_operations operations;
    dentry *link = lookup_path(state.sb->s_root, "/s", 2);
    inode *inode = d_inode(link);

    operations = *inode->i_op;
    operations.get_link = get_link;
    inode->i_op = &operations;
    WRITE_LOCKED(inode->i_link, nullptr);
    // The link stays in the cache for as long as its operations are to be these.
    dput(link);
}

search_result walk_through_link(const char *(*get_link)(dentry *, inode *, delayed_call *))
{
    static const char *(*wanted)(dentry *, inode *, delayed_call *);
    toy<walked> program;

    wanted = get_link;
    program.setup([](walked &state) {
        mount_and_fill(state, nullptr);
        replace_get_link(state, wanted);
        stat_of("/s/f");
        state.open_bodies = 0;
    });
    program.task("W", [](walked &state) { state.error = stat_of("/s/f"); });
    program.task("R", [](walked &) {
        sys_renameat2(&init_task, AT_FDCWD_VALUE, "/d/f", AT_FDCWD_VALUE, "/d/g", 0);
        sys_renameat2(&init_task, AT_FDCWD_VALUE, "/d", AT_FDCWD_VALUE, "/e", 0);
    });
    program.finally([](walked &state) {
        require(!state.error || state.error == -ENOENT, "W finds the file or nothing");
        require(!state.open_bodies, "the body of a link was not given back");
        unmount(state);
    });
    return program.search(1);
}

TEST(RcuWalkRule, GivesBackTheBodiesOfLinksHoweverItEnds)
{
    EXPECT_THAT(walk_through_link(get_body), Holds());
    EXPECT_THAT(walk_through_link(get_body_and_forget_it),
                BreaksSaying(violation_kind::expectation, "not given back"));
}

// --- Walks from a descriptor ------------------------------------------------------------------

/// Descriptor 0 leads to a directory that has no name any more: closing it frees the dentry.
void open_and_remove(walked &state)
{
    mount_and_fill(state, nullptr);
    require(!sys_unlinkat(&init_task, AT_FDCWD_VALUE, "/d/f", 0), "unlink");
    require(!sys_openat(&init_task, AT_FDCWD_VALUE, "/d", OPEN_RDONLY, 0), "the lowest one");
    require(!sys_unlinkat(&init_task, AT_FDCWD_VALUE, "/d", AT_REMOVEDIR_FLAG), "rmdir");
}

TEST(WalkFromADescriptor, ThatIsClosedMeanwhileSaysSo)
{
    toy<walked> program;

    program.setup(open_and_remove);
    program.task("W", [](walked &state) {
        kstat stat;

        state.error = sys_newfstatat(&init_task, 0, "f", &stat, 0);
    });
    program.task("C", [](walked &) { require(!sys_close(&init_task, 0), "it is open"); });
    program.finally([](walked &state) {
        require(state.error == -ENOENT || state.error == -EBADF, "open and empty, or closed");
        unmount(state);
    });
    EXPECT_THAT(program.search(2), Holds());
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
