// SPDX-License-Identifier: GPL-2.0-only
//
// Readers of a merged directory against lookups of its names, in every order: the forms of April
// 2026 and the locks they rest on.
//
// In the order that is proposed, a lookup puts its dentry into the in-lookup table first and locks
// the directory then. A reader, who has it locked, must not wait for that dentry.
#include "dcsim/testing/explore_gtest.h"

#include "dcsim/kernel/bug.h"
#include "dcsim/mockfs/mock_filesystem.h"
#include "dcsim/testing/dcache_checker.h"
#include "dcsim/vfs/file.h"
#include "dcsim/vfs/namei.h"
#include "dcsim/vfs/vfs.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::HasSubstr;
using testing::Holds;
using testing::Violates;

/// Where the lookup locks the directory.
enum class lookup_order { lock_first, alloc_first };

/// How the overlay is mounted.
struct form {
    int64_t readdir;
    int64_t recheck = 1;
    int64_t shared = 0;
};

constexpr form WAIT = {0};
constexpr form NOBLOCK = {1};
constexpr form NOBLOCK_RETURN = {2};
constexpr form BLOCKER = {3};

super_block *sb;

/// A file "a" below, a whiteout over "w".
void set_up(form how, lookup_order order, lookup_era era)
{
    const mock_option options[] = {
        {"readdir", how.readdir}, {"recheck", how.recheck}, {"shared", how.shared}};
    mock_node *root;

    vfs_init({.dhash_entries = 2,
              .ihash_entries = 2,
              .in_lookup_shift = 0,
              .era = era,
              .lookup_outside_rwsem = order == lookup_order::alloc_first});
    sb = ovlfs_filesystem.mount({.options = options}, "ovlfs");
    root = ovlfs_filesystem.root_node(sb);
    ovlfs_filesystem.add_node(sb, root, "a", 1, S_IFREG_TYPE | 0644, nullptr);
    ovlfs_filesystem.set_node_flag(
        sb, ovlfs_filesystem.add_node(sb, root, "w", 1, S_IFREG_TYPE | 0644, nullptr), "whiteout");
}

bool take_all(dir_context *, const char *, int, int64_t, ino_t, unsigned)
{
    return true;
}

/// getdents64(2) on the root, from beginning to end.
void read_root()
{
    const path where = {nullptr, sb->s_root};
    file *file = alloc_empty_file(OPEN_RDONLY | OPEN_DIRECTORY, &init_cred);
    dir_context context = {take_all, 0};

    explore_check(vfs_open(&where, file) == 0, "the directory opens");
    explore_check(iterate_dir(file, &context) == 0, "the directory is read");
    fput(file);
}

/// stat(2) of "a", without the path walk.
void look_up_a()
{
    qstr name = make_qstr("a", 1);
    dentry *found = lookup_noperm_unlocked(&name, sb->s_root);

    explore_check(!IS_ERR(found) && d_is_positive(found), "a is there");
    dput(found);
}

/// Is there anything of this name?
bool is_there(const char *text)
{
    qstr name = make_qstr(text, 1);
    dentry *found = lookup_noperm_unlocked(&name, sb->s_root);
    bool there;

    explore_check(!IS_ERR(found), "the name can be looked up");
    there = d_is_positive(found);
    dput(found);
    return there;
}

void finish()
{
    broken_invariant broken;

    explore_check(check_dcache(&broken), "the dcache is in order");
    explore_check(ovlfs_filesystem.unmount(sb) == 0, "nothing is busy");
    explore_check(vfs_exit().none(), "nothing is left");
}

exploration reader_and_lookup(form how, lookup_order order)
{
    exploration program;

    program.name = "ovlfs reader and lookup";
    program.setup = [=] { set_up(how, order, ERA_7_2); };
    program.tasks = {{"reader", read_root}, {"walker", look_up_a}};
    program.finally = finish;
    program.after_unlock = check_after_unlock;
    program.options.preemptions = 1;
    return program;
}

TEST(OvlfsExplored, TodaysOrderHoldsWithEveryForm)
{
    for (form how : {WAIT, NOBLOCK, NOBLOCK_RETURN, BLOCKER})
        EXPECT_THAT(explore(reader_and_lookup(how, lookup_order::lock_first)), Holds())
            << how.readdir;
}

TEST(OvlfsExplored, TheProposedOrderDeadlocksAReaderThatWaits)
{
    exploration program = reader_and_lookup(WAIT, lookup_order::alloc_first);

    EXPECT_THAT(explore(program), Violates(violation_kind::warning)) << "a rule of that order";
    program.warning_expected = [](const std::string &text) {
        return text.find("with the i_rwsem of the directory held") != std::string::npos;
    };
    EXPECT_THAT(explore(program), Violates(violation_kind::deadlock));
}

TEST(OvlfsExplored, TheProposedOrderHoldsWithTheNoblockForms)
{
    for (form how : {NOBLOCK, NOBLOCK_RETURN, BLOCKER})
        EXPECT_THAT(explore(reader_and_lookup(how, lookup_order::alloc_first)), Holds())
            << how.readdir;
}

TEST(OvlfsExplored, WithoutTheRecheckTheNameGetsTwoDentries)
{
    for (int64_t readdir : {1, 2, 3}) {
        const exploration_report report =
            explore(reader_and_lookup({readdir, 0}, lookup_order::alloc_first));

        EXPECT_THAT(report, Violates(violation_kind::invariant)) << readdir;
        EXPECT_THAT(std::string(report.search.broken.text), HasSubstr("invariant 12")) << readdir;
    }
}

/// Two tasks on an overlay, with up to one preemption.
exploration two_tasks(lookup_era era, form how, void (*first)(), void (*second)(),
                      void (*afterwards)())
{
    exploration program;

    program.name = "ovlfs two tasks";
    program.setup = [=] { set_up(how, lookup_order::lock_first, era); };
    program.tasks = {{"first", first}, {"second", second}};
    program.finally = [=] {
        afterwards();
        finish();
    };
    program.after_unlock = check_after_unlock;
    program.options.preemptions = 1;
    return program;
}

constexpr lookup_era ALL_ERAS[] = {ERA_4_7, ERA_4_17, ERA_6_0, ERA_V3, ERA_7_2};

void create_w()
{
    explore_check(create_at(sb->s_root, "w", 1, 0644) == 0, "w is made");
}

void look_for_w()
{
    is_there("w");
}

TEST(OvlfsExplored, ALookupMeetsTheMakingOfWhatAWhiteoutHid)
{
    for (lookup_era era : ALL_ERAS)
        EXPECT_THAT(
            explore(two_tasks(era, WAIT, look_for_w, create_w,
                              [] { explore_check(is_there("w"), "what was made is there"); })),
            Holds())
            << lookup_era_name(era);
}

void rename_a_to_w()
{
    explore_check(rename_at(sb->s_root, "a", 1, sb->s_root, "w", 1, 0) == 0, "a is moved");
}

void look_for_both()
{
    // Looked for in the order in which it moves, it is met at least once.
    bool a = is_there("a");

    explore_check(a || is_there("w"), "what moves is met");
}

TEST(OvlfsExplored, ALookupMeetsARenameThatTradesWhiteouts)
{
    for (lookup_era era : {ERA_4_7, ERA_7_2})
        EXPECT_THAT(explore(two_tasks(era, WAIT, look_for_both, rename_a_to_w,
                                      [] {
                                          explore_check(!is_there("a"), "a is gone");
                                          explore_check(is_there("w"), "w is there");
                                      })),
                    Holds())
            << lookup_era_name(era);
}

void unlink_a()
{
    explore_check(unlink_at(sb->s_root, "a", 1) == 0, "a is removed");
}

TEST(OvlfsExplored, AReaderMeetsTheRemovalOfWhatItReads)
{
    for (form how : {WAIT, NOBLOCK, form{0, 1, 1}})
        EXPECT_THAT(explore(two_tasks(ERA_7_2, how, read_root, unlink_a,
                                      [] { explore_check(!is_there("a"), "a is gone"); })),
                    Holds())
            << how.readdir;
}

TEST(OvlfsExplored, TwoReadersShareWhatTheyRead)
{
    for (form how : {WAIT, form{0, 1, 1}})
        EXPECT_THAT(explore(two_tasks(ERA_7_2, how, read_root, read_root, [] {})), Holds())
            << how.shared;
}

/// What readdir does beside somebody else's lookup, without saying so.
void go_beside_unmarked()
{
    inode *dir = d_inode(sb->s_root);
    dentry *fresh = d_alloc_name(sb->s_root, "a");
    dentry *old;

    inode_lock(dir);
    old = dir->i_op->lookup(dir, fresh, 0);
    inode_unlock(dir);
    dput(old);
    dput(fresh);
}

TEST(OvlfsExplored, GoingBesideALookupIsAnExceptionThatHasToBeMarked)
{
    exploration program = reader_and_lookup(NOBLOCK, lookup_order::alloc_first);

    program.tasks[0] = {"beside", go_beside_unmarked};
    const exploration_report report = explore(program);
    EXPECT_THAT(report, Violates(violation_kind::invariant));
    EXPECT_THAT(std::string(report.search.broken.text), HasSubstr("invariant 4:"));
}

TEST(OvlfsExplored, UnderASharedLockTheReaderMayWaitAndMayNotGoBeside)
{
    // The lookup has looked for what a reader hashed, and then the reader hashes it.
    EXPECT_THAT(explore(reader_and_lookup({0, 1, 1}, lookup_order::lock_first)), Holds());
    for (int64_t readdir : {1, 2, 3}) {
        const exploration_report report =
            explore(reader_and_lookup({readdir, 1, 1}, lookup_order::lock_first));

        EXPECT_THAT(report, Violates(violation_kind::invariant)) << readdir;
        EXPECT_THAT(std::string(report.search.broken.text), HasSubstr("invariant 12")) << readdir;
    }
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
