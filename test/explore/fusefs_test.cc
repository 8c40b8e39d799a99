// SPDX-License-Identifier: GPL-2.0-only
//
// What tasks do to each other in fusefs, in every order: reading a directory against lookups of the
// same names, answers that are out of date, entries that are killed while somebody revives them.
// Whatever happens, every lookup is given back to the daemon in the end.
#include "dcsim/testing/explore_gtest.h"

#include "dcache_internal.h"
#include "dcsim/mockfs/fusefs.h"
#include "dcsim/mockfs/mock_filesystem.h"
#include "dcsim/testing/dcache_checker.h"
#include "dcsim/vfs/attributes.h"
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

struct scene {
    std::vector<mock_option> options;
    lookup_era era = ERA_7_2;
    bool outside = false; ///< names are put in lookup before the directory is locked
};

void set_up(const scene &scene)
{
    vfs_config config = {.dhash_entries = 2, .ihash_entries = 2, .in_lookup_shift = 0};
    mock_mount_options mount_options;

    config.era = scene.era;
    config.lookup_outside_rwsem = scene.outside;
    explore_check(vfs_init(config) == 0, "the vfs starts");
    mount_options.options = scene.options;
    sb = fusefs_filesystem.mount(mount_options, "fuse");
    fusefs_filesystem.add_node(sb, fusefs_filesystem.root_node(sb), "f", 1, S_IFREG_TYPE | 0644,
                               nullptr);
}

void finish()
{
    explore_check(fusefs_filesystem.unmount(sb) == 0, "every lookup is given back");
    explore_check(vfs_exit().none(), "nothing is left");
}

bool take_any(dir_context *, const char *, int, int64_t, ino_t, unsigned)
{
    return true;
}

void read_directory(dentry *directory)
{
    dir_context context = {.actor = take_any};
    inode *inode = d_inode(directory);
    file file = {};

    file.f_path.dentry = directory;
    file.f_inode = inode;
    inode_lock_shared(inode);
    explore_check(inode->i_fop->iterate_shared(&file, &context) == 0, "the directory is read");
    inode_unlock_shared(inode);
}

void read_root()
{
    read_directory(sb->s_root);
}

dentry *find_f()
{
    return lookup_path(sb->s_root, "f", 1);
}

/// Somebody looks the file up, and it is there.
void look_up()
{
    dentry *found = find_f();

    explore_check(!IS_ERR(found), "the file is there");
    dput(found);
}

/// Somebody looks the file up, while the daemon may remove it.
void look_up_maybe()
{
    dentry *found = find_f();

    if (!IS_ERR(found))
        dput(found);
    else
        explore_check(found == ERR_PTR(-ENOENT), "it is there or it is not");
}

void replace_and_tell()
{
    qstr name = make_qstr("f", 1);

    fusefs_filesystem.remote(sb, remote_change::replace, "/f", nullptr);
    fuse_reverse_inval_entry(sb, d_inode(sb->s_root)->i_ino, 0, &name, 0);
}

void run_pending()
{
    fusefs_filesystem.run_pending(sb);
}

void kill_expired()
{
    fuse_dentry_tree_work(sb);
}

exploration two_tasks(const scene &scene, void (*first)(), void (*second)())
{
    exploration program;

    program.setup = [scene] { set_up(scene); };
    program.tasks = {{"A", first}, {"B", second}};
    program.finally = finish;
    program.options.preemptions = 2;
    return program;
}

constexpr lookup_era ALL_ERAS[] = {ERA_4_7, ERA_4_17, ERA_6_0, ERA_V3, ERA_7_2};

TEST(FusefsExplored, ReadingAndALookupMakeOneDentry)
{
    for (const lookup_era era : ALL_ERAS) {
        exploration program = two_tasks({{}, era}, read_root, look_up);

        program.options.preemptions = 1;
        EXPECT_THAT(explore(program), Holds()) << lookup_era_name(era);
    }
}

// A reader who must not wait does without a dentry, and gives the lookup back that the entry was.
TEST(FusefsExplored, AReaderDoesNotWaitForALookupThatWaitsForItsLock)
{
    for (const lookup_era era : {ERA_V3, ERA_7_2}) {
        static bool asked, unasked;
        exploration program = two_tasks({{}, era, true}, read_root, look_up);

        asked = unasked = false;
        program.options.preemptions = 1;
        program.finally = [] {
            (vfs_counter_value(FS_LOOKUPS) ? asked : unasked) = true;
            finish();
        };
        EXPECT_THAT(explore(program), Holds()) << lookup_era_name(era);
        EXPECT_TRUE(asked && unasked) << lookup_era_name(era);
    }
}

void make_g()
{
    explore_check(create_at(sb->s_root, "g", 1, 0644) == 0, "it can be made");
}

void look_up_g()
{
    dentry *found = lookup_path(sb->s_root, "g", 1);

    if (!IS_ERR(found))
        dput(found);
    else
        explore_check(found == ERR_PTR(-ENOENT), "it is there or it is not");
}

// fuse drops the negative dentry of a name before it publishes what was made, and drops one that
// somebody finds as well. The directory's lock keeps the two apart, or in the proposed order the
// name itself.
TEST(FusefsExplored, ANameThatIsMadeIsHashedOnce)
{
    for (const bool outside : {false, true}) {
        exploration program = two_tasks({{}, ERA_7_2, outside}, make_g, look_up_g);

        program.options.preemptions = 1;
        program.after_unlock = check_after_unlock;
        program.setup = [outside] {
            set_up({{}, ERA_7_2, outside});
            look_up_g();
        };
        EXPECT_THAT(explore(program), Holds()) << outside;
    }
}

TEST(FusefsExplored, TwoReadersMakeOneDentry)
{
    EXPECT_THAT(explore(two_tasks({}, read_root, read_root)), Holds());
}

TEST(FusefsExplored, ReadingWhileTheDaemonReplaces)
{
    exploration program = two_tasks({}, read_root, replace_and_tell);

    program.options.preemptions = 1;
    EXPECT_THAT(explore(program), Holds());
}

TEST(FusefsExplored, WhoAsksAgainAndWhoIsTold)
{
    const scene scene = {{{"entry_timeout", 0}}};
    exploration program = two_tasks(scene, look_up, replace_and_tell);

    program.setup = [scene] {
        set_up(scene);
        look_up();
    };
    program.options.preemptions = 1;
    EXPECT_THAT(explore(program), Holds());
}

TEST(FusefsExplored, WhoLooksUpWhatTheDaemonRemoves)
{
    const scene scene = {{{"notify", 2}}};
    exploration program = two_tasks(scene, look_up_maybe, [] {
        fusefs_filesystem.remote(sb, remote_change::remove, "/f", nullptr);
        run_pending();
    });

    program.setup = [scene] {
        set_up(scene);
        look_up();
    };
    program.options.preemptions = 1;
    EXPECT_THAT(explore(program), Holds());
}

// --- Late answers ---

dentry *held;

void ask_for_attributes()
{
    const path path = {nullptr, held};
    kstat stat;
    // -ESTALE once the daemon has removed it and this kernel has yet to notice.
    const int error = d_inode(held)->i_op->getattr(&path, &stat);
    explore_check(error == 0 || error == -ESTALE, "it has attributes, or is going");
}

void remove_f()
{
    explore_check(unlink_at(sb->s_root, "f", 1) == 0, "it is there, and goes");
}

// What the daemon said of the links before the last one went may arrive after it.
TEST(FusefsExplored, ALateAnswerDoesNotBringALinkBack)
{
    exploration program = two_tasks({}, ask_for_attributes, remove_f);

    program.options.preemptions = 1;
    program.setup = [] {
        set_up({});
        held = find_f();
        explore_check(!IS_ERR(held), "the file is there");
    };
    program.finally = [] {
        explore_check(READ_ONCE(d_inode(held)->i_nlink) == 0, "what was removed has no links");
        dput(held);
        finish();
    };
    EXPECT_THAT(explore(program), Holds());
}

// --- Unmounting ---

// The walk may be asking whether an entry has expired when everything is taken down.
TEST(FusefsExplored, AWalkInRcuModeBesideTheUnmount)
{
    exploration program = two_tasks(
        {}, [] { walk_in_rcu_mode("f"); }, [] { unmount_beside_walks(fusefs_filesystem, sb); });

    program.setup = [] {
        set_up({});
        look_up();
        begin_walks_at(sb->s_root);
    };
    program.options.preemptions = 1;
    program.finally = [] { explore_check(vfs_exit().none(), "nothing is left"); };
    EXPECT_THAT(explore(program), Holds());
}

// --- The worker that kills expired entries ---

exploration dispose_against(void (*other)())
{
    const scene scene = {{{"entry_timeout", 0}, {"inval_wq", 1}}};
    exploration program = two_tasks(scene, kill_expired, other);

    program.setup = [scene] {
        set_up(scene);
        look_up();
    };
    return program;
}

TEST(FusefsExplored, AnExpiredEntryIsKilledOrRevived)
{
    EXPECT_THAT(explore(dispose_against(look_up)), Holds());
}

TEST(FusefsExplored, AnExpiredEntryIsKilledOnce)
{
    EXPECT_THAT(explore(dispose_against(kill_expired)), Holds());
    EXPECT_THAT(explore(dispose_against([] { shrink_dcache_sb(sb); })), Holds());
}

/// The same search finds the way in which it was done at first: without holding what keeps the
/// dentry where it is.
void kill_expired_unpinned()
{
    qstr name = make_hashed_qstr(sb->s_root, "f", 1);
    list_head dispose;
    dentry *entry = nullptr;
    unsigned seq;

    INIT_LIST_HEAD(&dispose);
    rcu_read_lock();
    entry = __d_lookup_rcu(sb->s_root, &name, &seq);
    rcu_read_unlock();
    if (!entry)
        return;
    spin_lock(&entry->d_lock);
    __move_to_shrink_list(entry, &dispose);
    spin_unlock(&entry->d_lock);
    shrink_dentry_list(&dispose);
}

TEST(FusefsExplored, AnEntryThatIsNotPinnedIsUsedAfterItsEnd)
{
    exploration program = dispose_against([] { shrink_dcache_sb(sb); });

    program.tasks[0].body = kill_expired_unpinned;
    EXPECT_THAT(explore(program), Violates(violation_kind::use_after_free));
}

// --- An entry that cannot be linked ---

dentry *q;

/// /d is known; /q/e is a second name of it. Reading /q moves the dentry, unless somebody has the
/// root locked: then the lookup has to be given back.
void set_up_second_name()
{
    set_up({});
    mock_node *root = fusefs_filesystem.root_node(sb);
    mock_node *d = fusefs_filesystem.add_node(sb, root, "d", 1, S_IFDIR_TYPE | 0755, nullptr);
    mock_node *node = fusefs_filesystem.add_node(sb, root, "q", 1, S_IFDIR_TYPE | 0755, nullptr);
    fusefs_filesystem.add_directory_name(sb, node, "e", 1, d);
    dput(lookup_path(sb->s_root, "d", 1));
    q = lookup_path(sb->s_root, "q", 1);
}

void read_q()
{
    read_directory(q);
}

/// Somebody has the root locked, as who makes a name in it does, and needs memory.
void prune_with_root_locked()
{
    inode_lock(d_inode(sb->s_root));
    shrink_dcache_sb(sb);
    inode_unlock(d_inode(sb->s_root));
}

TEST(FusefsExplored, AnEntryThatCannotBeLinkedIsGivenBack)
{
    exploration program = two_tasks({}, read_q, prune_with_root_locked);

    program.setup = set_up_second_name;
    program.finally = [] {
        dput(q);
        finish();
    };
    EXPECT_THAT(explore(program), Holds());
}

TEST(FusefsExplored, MemoryThatRunsOutKeepsTheCount)
{
    exploration program = two_tasks({}, read_root, look_up_maybe);

    program.tasks[0].body = [] {
        dir_context context = {.actor = take_any};
        inode *inode = d_inode(sb->s_root);
        file file = {};

        file.f_path.dentry = sb->s_root;
        file.f_inode = inode;
        inode_lock_shared(inode);
        inode->i_fop->iterate_shared(&file, &context);
        inode_unlock_shared(inode);
    };
    program.tasks[1].body = [] {
        dentry *found = find_f();
        if (!IS_ERR(found))
            dput(found);
    };
    program.failing_allocations = 1;
    program.options.preemptions = 0;
    EXPECT_THAT(explore(program), Holds());
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
