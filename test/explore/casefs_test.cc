// SPDX-License-Identifier: GPL-2.0-only
//
// casefs with two tasks and more, in every order: spellings that meet in ->lookup(), d_add_ci() in
// each era and what is wrong with it, a directory read while its names are looked up.
#include "dcsim/testing/explore_gtest.h"

#include <string>
#include <string_view>
#include <vector>

#include "dcsim/kernel/err.h"
#include "dcsim/mockfs/mock_filesystem.h"
#include "dcsim/testing/dcache_checker.h"
#include "dcsim/vfs/file.h"
#include "dcsim/vfs/lookup_era.h"
#include "dcsim/vfs/namei.h"
#include "dcsim/vfs/vfs.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using testing::Holds;
using testing::Violates;

constexpr const mock_filesystem *fs = &casefs_filesystem;

// What the set-up made. Constant from then on.
super_block *sb;

/// An empty disk whose root folds.
void mount_in(lookup_era era, const std::vector<mock_option> &options, bool outside = false)
{
    mock_mount_options mount_options;

    explore_check(vfs_init({.dhash_entries = 2,
                            .ihash_entries = 2,
                            .in_lookup_shift = 0,
                            .era = era,
                            .lookup_outside_rwsem = outside}) == 0,
                  "the vfs starts");
    mount_options.options = options;
    sb = fs->mount(mount_options, "test");
    explore_check(!IS_ERR(sb), "mounted");
    fs->set_node_flag(sb, fs->root_node(sb), "casefold");
}

void add_file(mock_node *directory, std::string_view name)
{
    fs->add_node(sb, directory, name.data(), name.size(), S_IFREG_TYPE | 0644, nullptr);
}

void unmount()
{
    broken_invariant broken;

    explore_check(check_dcache(&broken), "the dcache is in order");
    explore_check(fs->unmount(sb) == 0, "nothing is in use");
    explore_check(vfs_exit().none(), "nothing is left");
}

dentry *look_up(std::string_view name)
{
    return lookup_path(sb->s_root, name.data(), name.size());
}

bool is_called(const dentry *dentry, std::string_view name)
{
    const auto *text = reinterpret_cast<const char *>(READ_LOCKED(dentry->d_name.name));

    return name == text;
}

/// Looks up a name of the file "Foo" where the cache tells spellings apart.
void find_exact(std::string_view name)
{
    dentry *found = look_up(name);

    explore_check(!IS_ERR(found) && d_inode(found), "a file that exists is found");
    explore_check(is_called(found, "Foo"), "under the name that it has on the disk");
    dput(found);
}

/// Looks up a name of the file "Foo" where the cache folds.
void find_folded(std::string_view name)
{
    dentry *found = look_up(name);

    explore_check(!IS_ERR(found) && d_inode(found), "a file that exists is found");
    dput(found);
}

const std::vector<mock_option> form_of_ext4 = {};
const std::vector<mock_option> form_of_xfs = {{"compare", 0}};
const std::vector<mock_option> form_of_cifs = {{"casefold", 1}, {"revalidate", 1}, {"prime", 1}};

/// Tasks on a disk with a file "Foo" in a root that folds.
exploration program_in(lookup_era era, const std::vector<mock_option> &options,
                       std::vector<exploration_task> tasks)
{
    exploration program;

    program.name = std::string("casefs in era ") + lookup_era_name(era);
    program.setup = [era, options] {
        mount_in(era, options);
        add_file(fs->root_node(sb), "Foo");
    };
    program.tasks = std::move(tasks);
    program.after_unlock = check_after_unlock;
    program.finally = unmount;
    return program;
}

class CasefsEras : public ::testing::TestWithParam<lookup_era>
{
  protected:
    void expect(const exploration &program, std::optional<violation_kind> broken)
    {
        const exploration_report report = explore(program);

        if (broken)
            EXPECT_THAT(report, Violates(*broken));
        else
            EXPECT_THAT(report, Holds());
    }
};

// --- d_add_ci() ---

// One queue for the two dentries that d_add_ci() has in lookup: the end of the first lookup wakes
// its waiters, who leave their entries behind, and the end of the second walks over them.
std::optional<violation_kind> shared_queue(lookup_era era)
{
    if (lookup_era_has_caller_queue(era))
        return violation_kind::use_after_free;
    return std::nullopt;
}

TEST_P(CasefsEras, AnInexactAndTheExactNameAreOneDentry)
{
    expect(program_in(GetParam(), form_of_xfs,
                      {{"A", [] { find_exact("FOO"); }}, {"B", [] { find_exact("Foo"); }}}),
           shared_queue(GetParam()));
}

TEST_P(CasefsEras, TwoInexactNamesAreOneDentry)
{
    expect(program_in(GetParam(), form_of_xfs,
                      {{"A", [] { find_exact("FOO"); }}, {"B", [] { find_exact("foo"); }}}),
           shared_queue(GetParam()));
}

// The exact name is cached: no second lookup, no second user of the queue.
TEST_P(CasefsEras, AnExactNameThatIsCachedNeedsNoQueue)
{
    exploration program =
        program_in(GetParam(), form_of_xfs,
                   {{"A", [] { find_exact("FOO"); }}, {"B", [] { find_exact("FOO"); }}});

    program.setup = [era = GetParam()] {
        mount_in(era, form_of_xfs);
        add_file(fs->root_node(sb), "Foo");
        dput(look_up("Foo"));
    };
    expect(program, std::nullopt);
}

// Somebody else has made a directory the child of its own child, under a name that needs
// d_add_ci(). The dentry of the exact name is not published, and is freed.
void make_loop(lookup_era era)
{
    mount_in(era, form_of_xfs);
    mock_node *d = fs->add_node(sb, fs->root_node(sb), "d", 1, S_IFDIR_TYPE | 0755, nullptr);
    fs->add_node(sb, d, "e", 1, S_IFDIR_TYPE | 0755, nullptr);
    dput(look_up("d/e"));
    fs->remote(sb, remote_change::rename, "/d/e", "/e");
    fs->remote(sb, remote_change::rename, "/d", "/e/Foo");
}

TEST_P(CasefsEras, ASpliceThatFailsLeavesNothingInLookup)
{
    exploration program = program_in(
        GetParam(), form_of_xfs,
        {{"A", [] { explore_check(look_up("d/e/foo") == ERR_PTR(-ELOOP), "a loop is noticed"); }}});

    program.setup = [era = GetParam()] { make_loop(era); };
    if (GetParam() <= ERA_4_17)
        expect(program, violation_kind::warning);
    else
        expect(program, std::nullopt);
}

// The dentry that is looked up, compared without regard to case, is the one with the exact name.
TEST_P(CasefsEras, WithAFoldingCompareItWaitsForItself)
{
    expect(program_in(GetParam(), {{"add_ci", 1}}, {{"A", [] { look_up("FOO"); }}}),
           violation_kind::deadlock);
}

// --- d_hash and d_compare ---

TEST_P(CasefsEras, SpellingsWaitForEachOther)
{
    expect(program_in(GetParam(), form_of_ext4,
                      {{"A", [] { find_folded("FOO"); }}, {"B", [] { find_folded("foo"); }}}),
           std::nullopt);
}

INSTANTIATE_TEST_SUITE_P(All, CasefsEras,
                         ::testing::Values(ERA_4_7, ERA_4_17, ERA_6_0, ERA_V3, ERA_7_2),
                         [](const auto &info) {
                             std::string name = lookup_era_name(info.param);
                             for (char &c : name)
                                 c = c == '.' ? '_' : c;
                             return "v" + name;
                         });

// --- What else the shared queue can do ---

struct meeting {
    once<dentry *> first; ///< A's in-lookup dentry of the inexact name
    once<bool> done;      ///< B's lookup has returned
};
meeting *shared;

/// d_add_ci() from an in-lookup dentry as ->lookup() calls it. It does not return before C has
/// found that dentry in the in-lookup table.
void add_exact_name()
{
    caller_wait_queue wq;
    qstr inexact = make_hashed_qstr(sb->s_root, "FOO", 3), exact = make_qstr("Foo", 3);
    dentry *first, *found;

    inode_lock_shared(d_inode(sb->s_root));
    first = d_alloc_parallel(sb->s_root, &inexact, wq.head());
    WRITE_ONCE(shared->first, first);
    found = d_add_ci(first, fs->inode_by_path(sb, "/Foo"), &exact);
    smp_cond_load_acquire(&first->d_lockref.count, [](int count) { return count > 1; });
    d_lookup_done(first);
    dput(first);
    inode_unlock_shared(d_inode(sb->s_root));
    dput(found);
}

// A waiter for the inexact name who comes between the two wake-ups links itself in front of the
// dead entry: that is a store into the frame of a function that has returned.
TEST(CasefsSharedQueue, AThirdTaskWritesIntoTheDeadFrame)
{
    for (const lookup_era era : {ERA_6_0, ERA_7_2}) {
        exploration program = program_in(
            era, form_of_xfs,
            {{"A", add_exact_name},
             {"B",
              [] {
                  smp_cond_load_acquire(&shared->first, [](dentry *first) { return first; });
                  find_exact("Foo");
                  WRITE_ONCE(shared->done, true);
              }},
             {"C", [] {
                  smp_cond_load_acquire(&shared->done, [](bool done) { return done; });
                  find_exact("FOO");
              }}});
        program.setup = [era] {
            mount_in(era, form_of_xfs);
            add_file(fs->root_node(sb), "Foo");
            shared = make_shared_state<meeting>();
        };
        program.options.preemptions = 1;
        const exploration_report report = explore(program);
        if (era == ERA_7_2) {
            EXPECT_THAT(report, Holds());
            continue;
        }
        ASSERT_THAT(report, Violates(violation_kind::use_after_free));
        EXPECT_THAT(report.search.broken.text,
                    ::testing::HasSubstr("C uses an object on the stack of B"));
    }
}

// --- Creating, and reading a directory ---

/// Two spellings are names of one file, or of none.
void names_are_one(std::string_view name, std::string_view other)
{
    dentry *found = look_up(name), *same = look_up(other);

    explore_check(found == same, "two spellings are one name");
    if (!IS_ERR(found)) {
        dput(found);
        dput(same);
    }
}

void create_or_find(std::string_view name)
{
    const int error = create_at(sb->s_root, name.data(), name.size(), 0644);

    explore_check(error == 0 || error == -EEXIST, "it is made or is there");
}

TEST(CasefsExplored, OneOfTwoSpellingsIsCreatedWhileAThirdIsLookedUp)
{
    for (const std::vector<mock_option> &options :
         {form_of_ext4, form_of_xfs, std::vector<mock_option>{{"negatives", 1}}}) {
        exploration program = program_in(
            ERA_7_2, options,
            {{"A", [] { create_or_find("BAR"); }},
             {"B", [] {
                  dentry *found = look_up("bar");
                  explore_check(!IS_ERR(found) || found == ERR_PTR(-ENOENT), "it is there or not");
                  if (!IS_ERR(found))
                      dput(found);
                  create_or_find("bar");
              }}});
        program.finally = [] {
            names_are_one("BAR", "bar");
            unmount();
        };
        program.options.preemptions = 1;
        EXPECT_THAT(explore(program), Holds());
        program.setup = [options] {
            mount_in(ERA_7_2, options, true);
            add_file(fs->root_node(sb), "Foo");
        };
        EXPECT_THAT(explore(program), Holds()) << "in the proposed order";
    }
}

bool ignore_entry(dir_context *, const char *, int, int64_t, ino_t, unsigned)
{
    return true;
}

void read_root()
{
    const path path = {nullptr, sb->s_root};
    file *file = alloc_empty_file(OPEN_RDONLY | OPEN_DIRECTORY, &init_cred);
    dir_context context = {ignore_entry, 0};

    explore_check(vfs_open(&path, file) == 0, "opened");
    inode_lock_shared(file->f_inode);
    explore_check(file->f_op->iterate_shared(file, &context) == 0, "read");
    inode_unlock_shared(file->f_inode);
    fput(file);
}

TEST_P(CasefsEras, ReadingADirectoryMeetsALookup)
{
    expect(program_in(GetParam(), form_of_cifs,
                      {{"reader", read_root}, {"walker", [] { find_folded("FOO"); }}}),
           std::nullopt);
}

dentry *held;

void remove_foo()
{
    explore_check(unlink_at(sb->s_root, "Foo", 3) == 0, "it is there, and goes");
}

// What the server said of the links before the last one went may arrive after it.
TEST(CasefsExplored, ALateAnswerDoesNotBringALinkBack)
{
    exploration program = program_in(ERA_7_2, form_of_cifs,
                                     {{"asks",
                                       [] {
                                           dentry *found = look_up("foo");
                                           if (!IS_ERR(found))
                                               dput(found);
                                       }},
                                      {"removes", remove_foo}});

    program.setup = [] {
        mount_in(ERA_7_2, form_of_cifs);
        add_file(fs->root_node(sb), "Foo");
        held = look_up("Foo");
        explore_check(!IS_ERR(held), "the file is there");
    };
    program.finally = [] {
        explore_check(READ_ONCE(d_inode(held)->i_nlink) == 0, "what was removed has no links");
        dput(held);
        unmount();
    };
    program.options.preemptions = 1;
    EXPECT_THAT(explore(program), Holds());
}

// Where names are put in lookup before the directory is locked, the reader does without a dentry
// for a name that somebody is looking up.
TEST(CasefsExplored, AReaderDoesNotWaitForALookupThatWaitsForItsLock)
{
    for (const lookup_era era : {ERA_V3, ERA_7_2}) {
        static bool asked, unasked;
        exploration program = program_in(
            era, form_of_cifs, {{"reader", read_root}, {"walker", [] { find_folded("FOO"); }}});

        asked = unasked = false;
        program.setup = [era] {
            mount_in(era, form_of_cifs, true);
            add_file(fs->root_node(sb), "Foo");
        };
        program.finally = [] {
            (vfs_counter_value(FS_LOOKUPS) ? asked : unasked) = true;
            names_are_one("Foo", "foo");
            unmount();
        };
        program.options.preemptions = 1;
        EXPECT_THAT(explore(program), Holds()) << lookup_era_name(era);
        EXPECT_TRUE(asked && unasked) << lookup_era_name(era);
    }
}

TEST(CasefsExplored, ReadingADirectoryReplacesWhatTheServerReplaced)
{
    exploration program =
        program_in(ERA_7_2, form_of_cifs,
                   {{"reader", read_root},
                    {"server", [] { fs->remote(sb, remote_change::replace, "/Foo", nullptr); }},
                    {"walker", [] { find_folded("FOO"); }}});

    program.setup = [] {
        mount_in(ERA_7_2, form_of_cifs);
        add_file(fs->root_node(sb), "Foo");
        dput(look_up("foo"));
    };
    program.options.preemptions = 1;
    EXPECT_THAT(explore(program), Holds());
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
