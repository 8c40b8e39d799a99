// SPDX-License-Identifier: GPL-2.0-only
//
// The proposed primitives and the proposed order among several tasks: what holds, and how each bad
// use shows.
#include "dcsim/testing/explore_gtest.h"

#include <cstring>
#include <string>
#include <string_view>

#include "dcache_internal.h"
#include "dcsim/kernel/err.h"
#include "dcsim/mockfs/memfs.h"
#include "dcsim/testing/dcache_checker.h"
#include "dcsim/vfs/file.h"
#include "dcsim/vfs/mount.h"
#include "dcsim/vfs/namei.h"
#include "dcsim/vfs/proposed.h"
#include "dcsim/vfs/vfs.h"
#include "namei_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::HasSubstr;
using testing::Holds;
using testing::Violates;

// What the set-up made. Constant from then on.
super_block *sb;

void mount(const vfs_config &with = {})
{
    vfs_config config = with;

    config.dhash_entries = 2;
    config.ihash_entries = 2;
    config.in_lookup_shift = 0;
    explore_check(vfs_init(config) == 0, "the vfs starts");
    sb = memfs_mount({}, "test");
    memfs_add_node(sb, memfs_root_node(sb), "a", 1, S_IFREG_TYPE | 0644, nullptr);
    memfs_add_node(sb, memfs_root_node(sb), "b", 1, S_IFREG_TYPE | 0644, nullptr);
}

void unmount()
{
    broken_invariant broken;

    explore_check(check_dcache(&broken), "the dcache is in order");
    explore_check(memfs_unmount(sb) == 0, "nothing is in use");
    explore_check(vfs_exit().none(), "nothing is left");
}

inode *top()
{
    return d_inode(sb->s_root);
}

qstr hashed(const char *name)
{
    return make_hashed_qstr(sb->s_root, name, 1);
}

exploration program_of(std::vector<exploration_task> tasks, vfs_config config = {})
{
    exploration program;

    program.name = "proposed";
    program.setup = [config] { mount(config); };
    program.tasks = std::move(tasks);
    program.after_unlock = check_after_unlock;
    program.finally = unmount;
    return program;
}

vfs_config outside()
{
    vfs_config config;
    config.lookup_outside_rwsem = true;
    return config;
}

void look_up_a()
{
    dentry *found = lookup_path(sb->s_root, "a", 1);

    explore_check(!IS_ERR(found), "a file that exists is found");
    dput(found);
}

// --- lookup_one_qstr() with an intent ---

/// A directory whose ->lookup() leaves the dentry to the operation that will follow, as that of NFS
/// does for an exclusive creation.
dentry *leave_to_the_operation(inode *, dentry *dentry, unsigned flags)
{
    return flags & LOOKUP_INTENT_FLAGS ? nullptr : d_splice_alias(nullptr, dentry);
}

const inode_operations leaves_open = {.lookup = leave_to_the_operation};

void mount_leaving_open()
{
    mount();
    top()->i_op = &leaves_open;
}

template <bool ends_it>
void look_up_to_create()
{
    qstr name = hashed("n");
    dentry *found;

    inode_lock_shared(top());
    found = lookup_one_qstr(&name, sb->s_root, LOOKUP_CREATE | LOOKUP_EXCL);
    explore_check(!IS_ERR(found) && d_in_lookup(found), "the name is this task's");
    if (ends_it)
        d_lookup_done(found);
    inode_unlock_shared(top());
    dput(found);
}

TEST(LookupOneIntent, TheNextOneWaitsForDLookupDone)
{
    exploration program =
        program_of({{"A", look_up_to_create<true>}, {"B", look_up_to_create<true>}});

    program.setup = mount_leaving_open;
    EXPECT_THAT(explore(program), Holds());
}

TEST(LookupOneIntent, WithoutItTheRuleAndThePlaceAreNamed)
{
    exploration program = program_of({{"A", look_up_to_create<false>}});

    program.setup = mount_leaving_open;
    exploration_report report = explore(program);
    ASSERT_THAT(report, Violates(violation_kind::warning));
    EXPECT_THAT(std::string(report.search.broken.text), HasSubstr("\"n\" dies in lookup"));
    EXPECT_THAT(std::string(report.search.broken.text),
                HasSubstr("A got it from lookup_one_qstr(): d_lookup_done() must follow"));
}

// --- Not waiting ---

/// As a file system's readdir would: finds the name, or looks it up, or leaves it to somebody else.
template <auto allocate, int blockers_dropped>
void look_up_without_waiting()
{
    qstr name = make_qstr("a", 1);
    dentry *blocker = nullptr;
    dentry *found, *old;

    inode_lock_shared(top());
    found = allocate(sb->s_root, &name, &blocker);
    if (found == ERR_PTR(-EWOULDBLOCK)) {
        inode_unlock_shared(top());
        for (int i = 0; i < blockers_dropped; i++)
            dput(blocker);
        return;
    }
    explore_check(!IS_ERR(found), "it is found or had");
    if (d_in_lookup(found)) {
        old = top()->i_op->lookup(top(), found, LOOKUP_SHARED);
        d_lookup_done(found);
        if (old) {
            dput(found);
            found = old;
        }
    }
    inode_unlock_shared(top());
    explore_check(d_is_positive(found), "and it is there");
    dput(found);
}

dentry *without_blocker(dentry *parent, qstr *name, dentry **)
{
    return d_alloc_noblock(parent, name);
}

TEST(Noblock, TwoThatDoNotWaitAndOneThatDoes)
{
    void (*const one)() = look_up_without_waiting<without_blocker, 0>;

    exploration program = program_of({{"A", one}, {"B", one}, {"C", look_up_a}});
    program.options.preemptions = 1;
    EXPECT_THAT(explore(program), Holds());
}

TEST(Noblock, WouldBlockHappens)
{
    exploration program =
        program_of({{"A", look_up_a}, {"B", [] {
                                           qstr name = make_qstr("a", 1);
                                           dentry *found = d_alloc_noblock(sb->s_root, &name);

                                           explore_check(found != ERR_PTR(-EWOULDBLOCK), "never");
                                           d_lookup_done(found);
                                           dput(found);
                                       }}});
    EXPECT_THAT(explore(program), Violates(violation_kind::expectation));
}

TEST(NoblockReturn, WhoDropsTheBlockerLeavesNothing)
{
    EXPECT_THAT(explore(program_of(
                    {{"A", look_up_a}, {"B", look_up_without_waiting<d_alloc_noblock_return, 1>}})),
                Holds());
    EXPECT_THAT(explore(program_of({{"A", look_up_a},
                                    {"B", look_up_without_waiting<d_alloc_noblock_blocker, 1>}})),
                Holds());
}

TEST(NoblockReturn, WhoForgetsItIsNamed)
{
    exploration program =
        program_of({{"A", look_up_a}, {"B", look_up_without_waiting<d_alloc_noblock_return, 0>}});

    // Nothing is wrong with the tree while the task still could drop it: ask at the unmount.
    program.finally = [] { memfs_unmount(sb); };
    exploration_report report = explore(program);
    ASSERT_THAT(report, Violates(violation_kind::warning));
    EXPECT_THAT(std::string(report.search.broken.text),
                HasSubstr("handed to B by d_alloc_noblock_return()"));
}

/// What a report would say of the task that got "a" as a blocker, if somebody kept that.
void nobody_is_named()
{
    qstr name = hashed("a");
    dentry *a = d_lookup(sb->s_root, &name);
    char owed[200];

    explore_check(a, "it is cached");
    spin_lock(&a->d_lock);
    describe_obligations(a, owed, sizeof(owed));
    spin_unlock(&a->d_lock);
    explore_check(!owed[0], "who has dropped a blocker owes nothing");
    dput(a);
    unmount();
}

TEST(NoblockReturn, WhoDropsItIsNotNamedForWhatSomebodyElseKeeps)
{
    exploration program =
        program_of({{"A", look_up_a}, {"B", look_up_without_waiting<d_alloc_noblock_return, 1>}});

    program.finally = nobody_is_named;
    EXPECT_THAT(explore(program), Holds());
}

TEST(NoblockReturn, WhoDropsItTwiceTakesSomebodyElsesReference)
{
    exploration_report report = explore(
        program_of({{"A", look_up_a}, {"B", look_up_without_waiting<d_alloc_noblock_return, 2>}}));

    EXPECT_EQ(report.search.outcome, verdict::violated);
}

// --- d_duplicate() ---

/// Renames "a" to "c" and puts a new file in its place, so that the name is never free.
void replace_a()
{
    qstr name = hashed("a"), aside = hashed("c");
    dentry *original, *target, *twin;

    inode_lock(top());
    original = lookup_one_qstr_excl(&name, sb->s_root, 0);
    explore_check(!IS_ERR(original), "the original is there");
    target = lookup_one_qstr_excl(&aside, sb->s_root, LOOKUP_CREATE);
    explore_check(!IS_ERR(target), "so is where it goes");
    twin = d_duplicate(original);
    explore_check(!IS_ERR(twin), "and the twin");
    explore_check(vfs_rename(top(), original, top(), target, 0) == 0, "it moves");
    d_lookup_done(twin);
    dput(twin);
    dput(target);
    dput(original);
    inode_unlock(top());
}

TEST(Duplicate, TheTwinIsReachedOnlyWhenTheOriginalIsAway)
{
    void (*const look)() = [] {
        dentry *found = lookup_path(sb->s_root, "a", 1);
        if (!IS_ERR(found))
            dput(found);
    };
    EXPECT_THAT(explore(program_of({{"A", replace_a}, {"B", look}})), Holds());
}

// --- Names are found before their directory is locked ---

void create_n()
{
    const int error = create_at(sb->s_root, "n", 1, 0644);

    explore_check(error == 0 || error == -EEXIST, "it is made, or was there");
}

template <char name>
void unlink_it()
{
    const char text[] = {name, '\0'};
    const int error = unlink_at(sb->s_root, text, 1);

    explore_check(error == 0 || error == -ENOENT, "it goes, or was gone");
}

template <char from, char to>
void rename_it()
{
    const char old_name[] = {from, '\0'}, new_name[] = {to, '\0'};
    const int error = rename_at(sb->s_root, old_name, 1, sb->s_root, new_name, 1, 0);

    explore_check(error == 0 || error == -ENOENT, "it moves, or was gone");
}

struct pair_of_tasks {
    const char *name;
    void (*first)();
    void (*second)();
};

class Outside : public ::testing::TestWithParam<pair_of_tasks>
{
};

TEST_P(Outside, BothComeToAnEnd)
{
    exploration program =
        program_of({{"A", GetParam().first}, {"B", GetParam().second}}, outside());

    program.options.preemptions = 2;
    EXPECT_THAT(explore(program), Holds());
}

INSTANTIATE_TEST_SUITE_P(
    Pairs, Outside,
    ::testing::Values(pair_of_tasks{"CreateCreate", create_n, create_n},
                      pair_of_tasks{"UnlinkUnlink", unlink_it<'a'>, unlink_it<'a'>},
                      pair_of_tasks{"UnlinkRename", unlink_it<'a'>, rename_it<'a', 'n'>},
                      pair_of_tasks{"RenamesOfOneName", rename_it<'a', 'n'>, rename_it<'a', 'm'>},
                      pair_of_tasks{"RenamesOntoOneName", rename_it<'a', 'n'>, rename_it<'b', 'n'>},
                      pair_of_tasks{"RenamesInOppositeDirections", rename_it<'a', 'b'>,
                                    rename_it<'b', 'a'>},
                      pair_of_tasks{"CreateRename", create_n, rename_it<'a', 'n'>}),
    [](const auto &pair) { return std::string(pair.param.name); });

/// What the order forbids.
void allocate_under_the_lock()
{
    qstr name = hashed("n");
    dentry *found;

    inode_lock_shared(top());
    found = d_alloc_parallel(sb->s_root, &name);
    d_lookup_done(found);
    inode_unlock_shared(top());
    dput(found);
}

TEST(OutsideRwsem, AllocationUnderTheLockIsReportedEvenIfNobodyIsInTheWay)
{
    exploration_report report = explore(program_of({{"A", allocate_under_the_lock}}, outside()));

    ASSERT_THAT(report, Violates(violation_kind::warning));
    EXPECT_THAT(std::string(report.search.broken.text),
                HasSubstr("A calls d_alloc_parallel() for \"n\" with the i_rwsem"));
}

TEST(OutsideRwsem, AndThisIsWhatItWouldComeTo)
{
    exploration program = program_of({{"A", allocate_under_the_lock}, {"B", create_n}}, outside());

    program.warning_expected = [](const std::string &text) {
        return text.find("d_alloc_parallel()") != std::string::npos;
    };
    EXPECT_THAT(explore(program), Violates(violation_kind::deadlock));
}

TEST(OutsideRwsem, InTheOtherOrderItIsTheRule)
{
    EXPECT_THAT(explore(program_of({{"A", allocate_under_the_lock}, {"B", create_n}})), Holds());
}

// --- Hashed negatives at the end of a lookup ---

void publish_on_the_negative()
{
    qstr name = hashed("n");
    dentry *miss;

    inode_lock(top());
    miss = d_lookup(sb->s_root, &name);
    explore_check(miss && d_is_negative(miss), "the miss is cached");
    explore_check(!d_splice_alias(new_inode(sb), miss), "it takes the inode");
    inode_unlock(top());
    d_drop(miss);
    dput(miss);
}

TEST(SpliceHashed, ReadersSeeTheMissOrTheFile)
{
    vfs_config config;
    config.splice_hashed = true;
    exploration program = program_of({{"A", publish_on_the_negative},
                                      {"B",
                                       [] {
                                           dentry *found = lookup_path(sb->s_root, "n", 1);
                                           if (!IS_ERR(found)) {
                                               explore_check(d_inode(found), "a file has an inode");
                                               dput(found);
                                           }
                                       }}},
                                     config);
    program.setup = [config] {
        mount(config);
        dentry *miss = lookup_path(sb->s_root, "n", 1);
        explore_check(IS_ERR(miss), "it is not there");
    };
    EXPECT_THAT(explore(program), Holds());
}

// An open without O_CREAT believes the cache, and goes on when the cache has nothing. That it has
// something after all, a hashed negative, happens to who looked before the miss was hashed or while
// something was renamed; here RCU walks find nothing ever.

int unseen_by_rcu_walks(const dentry *, unsigned length, const char *text, const qstr *name)
{
    const nameidata *nd = current_nameidata();

    if (nd && (nd->flags & LOOKUP_RCU))
        return 1;
    return length != name->len || memcmp(text, name->name, length) != 0;
}

constexpr dentry_operations hidden = {.d_compare = unseen_by_rcu_walks};

/// The one file there is, which has the name "n" as well; only the server knows.
inode *file_of_n;

int open_by_the_server(inode *, dentry *dentry, file *file, unsigned, umode_t)
{
    inode_lock_nested(file_of_n, I_MUTEX_CHILD);
    if (d_is_negative(dentry)) {
        ihold(file_of_n);
        d_splice_alias(file_of_n, dentry);
    }
    inode_unlock(file_of_n);
    return finish_no_open(file, nullptr);
}

inode_operations with_atomic_open;

template <unsigned flags>
void open_n()
{
    file *opened = filp_open("/n", flags, 0644);

    explore_check(!IS_ERR(opened), "who gets past the cache hears of the file");
    fput(opened);
}

exploration two_open_what_one_publishes(void (*second)(), vfs_config config)
{
    config.splice_hashed = true;
    exploration program = program_of({{"A", open_n<OPEN_RDONLY>}, {"B", second}}, config);

    program.setup = [config] {
        mount(config);
        init_mount_tree(sb);
        dentry *a = lookup_path(sb->s_root, "a", 1);
        file_of_n = d_inode(a);
        inc_nlink(file_of_n);
        dput(a);
        explore_check(IS_ERR(lookup_path(sb->s_root, "n", 1)), "the miss is cached");
        with_atomic_open = *top()->i_op;
        with_atomic_open.atomic_open = open_by_the_server;
        top()->i_op = &with_atomic_open;
        sb->s_root->d_op = &hidden;
        sb->s_root->d_flags |= DCACHE_OP_COMPARE;
    };
    program.finally = [] {
        exit_mount_tree();
        unmount();
    };
    program.options.preemptions = 2;
    return program;
}

TEST(SpliceHashed, AnOpenGoesByTheTypeOfANegativeThatIsJustGivenItsInode)
{
    EXPECT_THAT(explore(two_open_what_one_publishes(open_n<OPEN_RDONLY>, outside())), Holds());
}

TEST(SpliceHashed, AndSoDoesOneThatCreates)
{
    void (*const create)() = open_n<OPEN_CREAT | OPEN_WRONLY>;

    EXPECT_THAT(explore(two_open_what_one_publishes(create, outside())), Holds());
}

// lookup_open() is v6.12's and goes by d_inode.
TEST(SpliceHashed, InTodaysOrderItGoesByTheInodeAndFindsNothing)
{
    EXPECT_THAT(explore(two_open_what_one_publishes(open_n<OPEN_RDONLY>, {})),
                Violates(violation_kind::expectation));
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
