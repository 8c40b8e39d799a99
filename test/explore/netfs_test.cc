// SPDX-License-Identifier: GPL-2.0-only
//
// netfs in every interleaving of a few tasks, in every era: the alias that one task puts in lookup
// and another ends, removals that opens and rmdir must not come between, opens of one negative
// dentry, entries that are read and looked up at once.
//
// Counters of what was reached are the program's own and outlive an execution: a search that never
// came to what it is about fails.
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "dcsim/kernel/err.h"
#include "dcsim/mockfs/netfs.h"
#include "dcsim/testing/dcache_checker.h"
#include "dcsim/testing/explore_gtest.h"
#include "dcsim/vfs/file.h"
#include "dcsim/vfs/lookup_era.h"
#include "dcsim/vfs/namei.h"
#include "dcsim/vfs/syscalls.h"
#include "dcsim/vfs/vfs.h"
#include "sanitizers.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using testing::Holds;
using testing::Violates;

constexpr const mock_filesystem *fs = &netfs_filesystem;

/// What the set-up made and what the tasks find out.
struct shared_state {
    super_block *sb;
    file *opened;
    vfs_task *tasks[3];
    char silly[32];
    dentry *original; ///< not referenced: only compared
    int results[3];
    dentry *found[3]; ///< referenced, or ERR_PTR, or nullptr
};
shared_state *world;

std::map<std::string, long> reached;

void mount(vfs_config config, const std::vector<mock_option> &options = {})
{
    mock_mount_options with;

    config.dhash_entries = 2;
    config.ihash_entries = 2;
    config.mhash_entries = 1;
    config.mphash_entries = 1;
    config.in_lookup_shift = 0;
    with.options = options;
    with.last_used_ino = 0x10;
    explore_check(vfs_init(config) == 0, "the vfs starts");
    world = make_shared_state<shared_state>();
    world->sb = fs->mount(with, "netfs");
    explore_check(!IS_ERR(world->sb), "netfs mounts");
}

void on_server(remote_change what, const char *path, const char *second = nullptr)
{
    explore_check(fs->remote(world->sb, what, path, second) == 0, "the server does it");
}

bool is_on_server(const char *path)
{
    return server_find(netfs_server(world->sb), path, nullptr) == 0;
}

/// Brings every reply, then checks and takes down.
void unmount()
{
    broken_invariant broken;

    while (fs->run_pending(world->sb))
        ;
    for (dentry *found : world->found)
        if (!IS_ERR(found))
            dput(found);
    explore_check(check_dcache(&broken), "the dcache is in order");
    explore_check(fs->unmount(world->sb) == 0, "nothing is in use");
    explore_check(vfs_exit().none(), "nothing is left");
}

dentry *look_up(std::string_view path)
{
    return lookup_path(world->sb->s_root, path.data(), path.size());
}

void note_waits()
{
    if (vfs_counter_value(LOOKUP_WAITS))
        reached["somebody waits for a lookup"]++;
}

file *open_path(const char *name)
{
    dentry *dentry = look_up(name);
    file *file = alloc_empty_file(OPEN_RDONLY, &init_cred);
    const path path = {nullptr, dentry};

    explore_check(!IS_ERR(dentry) && vfs_open(&path, file) == 0, "the file opens");
    dput(dentry);
    return file;
}

/// unlink() or rmdir().
int remove_name(dentry *parent, std::string_view text)
{
    qstr name = make_qstr(text.data(), static_cast<u32>(text.size()));
    dentry *dentry = start_removing_noperm(parent, &name);
    int error = PTR_ERR(dentry);

    if (IS_ERR(dentry))
        return error;
    // Whoever calls vfs_unlink() keeps the inode, which it has locked, as do_unlinkat() does.
    inode *victim = d_inode(dentry);
    ihold(victim);
    error =
        d_is_dir(dentry) ? vfs_rmdir(d_inode(parent), dentry) : vfs_unlink(d_inode(parent), dentry);
    end_removing(dentry);
    iput(victim);
    return error;
}

/// A file of the directory that is open and silly-renamed.
void open_and_remove(dentry *parent, const char *path, const char *name)
{
    world->opened = open_path(path);
    world->original = world->opened->f_path.dentry;
    snprintf(world->silly, sizeof(world->silly), ".nfs%016lx00000001",
             world->opened->f_inode->i_ino);
    explore_check(remove_name(parent, name) == 0, "the open file is removed");
}

void close_it()
{
    fput(world->opened);
}

/// The part of the thread that brings replies: one of them, whenever it is there to be brought.
void bring_a_reply()
{
    for (int i = 0; !fs->has_pending(world->sb); i++)
        retry_relax(i);
    explore_check(fs->run_pending(world->sb), "it is there to be brought");
}

exploration program_of(const char *name, std::function<void()> setup,
                       std::vector<exploration_task> tasks, std::function<void()> finally)
{
    exploration program;

    reached.clear();
    program.name = name;
    program.setup = std::move(setup);
    program.tasks = std::move(tasks);
    program.after_unlock = check_after_unlock;
    program.finally = std::move(finally);
    program.options.preemptions = 1;
    return program;
}

/// An era, and whether names are put in lookup before the directory is locked, as proposed.
struct order {
    const char *name;
    lookup_era era;
    bool outside = false;

    vfs_config config() const
    {
        vfs_config config;

        config.era = era;
        config.lookup_outside_rwsem = outside;
        return config;
    }
};

void PrintTo(const order &order, std::ostream *out)
{
    *out << order.name;
}

class NetfsEras : public ::testing::TestWithParam<order>
{
};
INSTANTIATE_TEST_SUITE_P(All, NetfsEras,
                         ::testing::Values(order{"era4_7", ERA_4_7}, order{"era4_17", ERA_4_17},
                                           order{"era6_0", ERA_6_0}, order{"v3", ERA_V3},
                                           order{"era7_2", ERA_7_2},
                                           order{"outside", ERA_7_2, true}),
                         [](const auto &info) { return info.param.name; });

/// What somebody who looked a name up came to.
enum found_what { NOT_THERE = 1, THE_ORIGINAL, ANOTHER };

int look_for(std::string_view path)
{
    dentry *found = look_up(path);
    int what;

    if (IS_ERR(found)) {
        explore_check(PTR_ERR(found) == -ENOENT, "it is there or not");
        return NOT_THERE;
    }
    what = found == world->original ? THE_ORIGINAL : ANOTHER;
    explore_check(server_getattr(netfs_server(world->sb), d_inode(found)->i_ino, nullptr) == 0,
                  "the server has a file as long as it is used here");
    // Perhaps the last reference: then a removal is sent from here.
    dput(found);
    return what;
}

void note(const char *name, int what)
{
    const char *const words[] = {"", "not there", "the original", "another"};

    reached[std::string(name) + ": " + words[what]]++;
}

void expect_reached(std::initializer_list<const char *> wanted)
{
    for (const char *what : wanted)
        EXPECT_GT(reached[what], 0) << what;
}

exploration silly_name_program(vfs_config config, std::initializer_list<mock_option> options)
{
    const std::vector<mock_option> with = options;

    return program_of(
        "silly name",
        [config, with] {
            mount(config, with);
            on_server(remote_change::create, "/f");
            open_and_remove(world->sb->s_root, "f", "f");
        },
        {{"closes", close_it}, {"looks", [] { world->results[0] = look_for(world->silly); }}},
        [] {
            note_waits();
            note("looked", world->results[0]);
            while (fs->run_pending(world->sb))
                ;
            explore_check(!is_on_server(world->silly), "the file is removed in the end");
            unmount();
        });
}

// The last close puts the silly name in lookup; who looks it up waits for the reply, which a third
// task brings, or was there before and takes the removal over.
TEST_P(NetfsEras, ASillyNameIsInLookupUntilTheReply)
{
    exploration program = silly_name_program(GetParam().config(), {});

    program.tasks.push_back({"replies", bring_a_reply});
    EXPECT_THAT(explore(program), Holds());
    expect_reached({"somebody waits for a lookup", "looked: not there", "looked: the original",
                    "looked: another"});
}

// The same in the form of AFS, where the one who closes waits for the server.
TEST_P(NetfsEras, ASillyNameIsInLookupUntilItIsRemoved)
{
    EXPECT_THAT(explore(silly_name_program(GetParam().config(), {{"async_unlink", 0}})), Holds());
    expect_reached({"somebody waits for a lookup", "looked: not there", "looked: the original",
                    "looked: another"});
}

// In v6.12 the request's name has no hash. Its alias keeps nobody from looking the name up, and
// whoever does has the file removed under them.
TEST(Netfs, ASillyNameWithoutAHashHoldsNobodyOff)
{
    exploration program = silly_name_program({}, {{"silly_hash", 0}});

    program.tasks.push_back({"replies", bring_a_reply});
    program.after_unlock = nullptr; // one of its rules is that a name has its hash
    EXPECT_THAT(explore(program), Violates(violation_kind::expectation));
    EXPECT_EQ(reached["somebody waits for a lookup"], 0);
}

// Somebody removes the file by its silly name as well, when the dentry of that name is dead and the
// alias is not there yet. They have a dentry of their own then, and its d_fsdata is wanted by two:
// for the mark of their removal and for what the other one is to do. Whoever comes second goes
// without. The museum's M53 and M54 are what comes of it when they do not.
TEST_P(NetfsEras, ARemovalOfASillyNameMeetsTheSilentOne)
{
    exploration program = program_of(
        "silly name removed",
        [config = GetParam().config()] {
            mount(config, {{"async_unlink", 0}});
            on_server(remote_change::create, "/f");
            open_and_remove(world->sb->s_root, "f", "f");
        },
        {{"closes", close_it},
         {"removes", [] { world->results[0] = remove_name(world->sb->s_root, world->silly); }}},
        [] {
            const int error = world->results[0];
            explore_check(!error || error == -ENOENT || error == -EBUSY, "removed or refused");
            reached[!error ? "removed" : error == -EBUSY ? "in use" : "gone"]++;
            explore_check(!is_on_server(("/" + std::string(world->silly)).c_str()),
                          "in the end it is removed");
            unmount();
        });

    // Today who removes a name holds the directory and does not look into the in-lookup table: they
    // may hash the name that the alias has in lookup, which is what rule 4 says must not be.
    if (!GetParam().outside)
        program.after_unlock = nullptr;
    // Who removes a file by its silly name may be the last to have its dentry, with the directory
    // locked: the alias is allocated there.
    program.warning_expected = [](const std::string &text) {
        return text.find("with the i_rwsem of the directory held") != std::string::npos;
    };
    program.options.preemptions = sanitized_malloc ? 1 : 2;
    EXPECT_THAT(explore(program), Holds());
    expect_reached({"removed", "in use", "gone"});
}

// rmdir must not come between a removal and its reply: the server would refuse, because the file is
// still there.
TEST_P(NetfsEras, ADirectoryIsNotRemovedBeforeTheReply)
{
    exploration program = program_of(
        "rmdir before the reply",
        [config = GetParam().config()] {
            mount(config);
            on_server(remote_change::mkdir, "/d");
            on_server(remote_change::create, "/d/f");
            dentry *d = look_up("d");
            open_and_remove(d, "d/f", "f");
            close_it();
            world->found[0] = d;
        },
        {{"rmdir", [] { world->results[0] = remove_name(world->sb->s_root, "d"); }},
         {"replies", bring_a_reply}},
        [] {
            explore_check(world->results[0] == 0, "the directory is empty and goes");
            explore_check(!is_on_server("/d"), "and is gone");
            unmount();
        });

    EXPECT_THAT(explore(program), Holds());
}

// While a file that nobody has open is removed, nobody opens it: whoever asks for it waits in
// ->d_revalidate().
TEST_P(NetfsEras, AnOpenFileIsNeverRemovedUnderItsUser)
{
    exploration program = program_of(
        "unlink against a lookup",
        [config = GetParam().config()] {
            mount(config);
            on_server(remote_change::create, "/f");
            world->original = look_up("f");
            dput(world->original);
        },
        {{"unlinks", [] { world->results[0] = remove_name(world->sb->s_root, "f"); }},
         {"uses",
          [] {
              dentry *found = look_up("f");
              world->results[1] = NOT_THERE;
              if (IS_ERR(found))
                  return;
              world->results[1] = THE_ORIGINAL;
              server_attributes attributes;
              explore_check(
                  server_getattr(netfs_server(world->sb), d_inode(found)->i_ino, &attributes) == 0,
                  "the server has a file as long as it is used here");
              dput(found);
          }}},
        [] {
            explore_check(world->results[0] == 0, "it is removed");
            explore_check(!is_on_server("/f"), "or renamed");
            note("used", world->results[1]);
            unmount();
        });

    EXPECT_THAT(explore(program), Holds());
    expect_reached({"used: not there", "used: the original"});
}

/// A name that is cached as missing and not believed is made, and looked up. Rule 4 is not asked.
exploration made_and_refused(bool outside)
{
    exploration program = program_of(
        "made and refused",
        [outside] {
            mount(order{"", ERA_7_2, outside}.config(), {{"actimeo", 0}});
            look_up("g");
        },
        {{"makes",
          [] {
              qstr name = make_qstr("g", 1);
              dentry *g = start_creating_noperm(world->sb->s_root, &name);
              explore_check(!IS_ERR(g), "it can be made");
              explore_check(vfs_create(d_inode(world->sb->s_root), g, 0644) == 0, "and is");
              end_creating(g);
          }},
         {"looks", [] { world->found[0] = look_up("g"); }}},
        [] {
            broken_invariant broken;

            if (!check_dcache(&broken))
                reached["rule " + std::to_string(broken.number)]++;
            unmount();
        });

    program.after_unlock = nullptr;
    return program;
}

// In the proposed order a lookup may drop the dentry that another task is about to instantiate, and
// put the name in lookup: d_invalidate() asks nobody. Both are hashed in the end.
TEST(Netfs, ANameThatIsRefusedWhileItIsMadeHasTwoDentriesInTheProposedOrder)
{
    EXPECT_THAT(explore(made_and_refused(false)), Holds());
    EXPECT_THAT(explore(made_and_refused(true)), Violates(violation_kind::expectation));
    expect_reached({"rule 12"});
}

bool take_entry(dir_context *, const char *, int, int64_t, ino_t, unsigned)
{
    return true;
}

// Reading the directory makes the dentry, or meets the lookup that makes it.
TEST_P(NetfsEras, AnEntryThatIsReadAndLookedUpHasOneDentry)
{
    exploration program = program_of(
        "readdirplus against a lookup",
        [config = GetParam().config()] {
            mount(config);
            on_server(remote_change::create, "/f");
        },
        {{"reads",
          [] {
              inode *dir = d_inode(world->sb->s_root);
              file *file = alloc_empty_file(OPEN_RDONLY | OPEN_DIRECTORY, &init_cred);
              const path path = {nullptr, world->sb->s_root};
              dir_context context = {take_entry, 0};
              explore_check(vfs_open(&path, file) == 0, "the directory opens");
              inode_lock_shared(dir);
              file->f_op->iterate_shared(file, &context);
              inode_unlock_shared(dir);
              fput(file);
              world->found[0] = look_up("f");
          }},
         {"looks", [] { world->found[1] = look_up("f"); }}},
        [] {
            explore_check(!IS_ERR(world->found[0]) && world->found[0] == world->found[1],
                          "both find one dentry");
            note_waits();
            if (!vfs_counter_value(FS_LOOKUPS))
                reached["nobody had to look anything up"]++;
            unmount();
        });

    EXPECT_THAT(explore(program), Holds());
    expect_reached({"somebody waits for a lookup", "nobody had to look anything up"});
}

// The file is replaced on the server. Whoever comes finds the old dentry stale; the new one is made
// once.
TEST_P(NetfsEras, AStaleEntryIsReplacedOnce)
{
    exploration program = program_of(
        "revalidate against a lookup",
        [config = GetParam().config()] {
            mount(config, {{"actimeo", 0}});
            on_server(remote_change::create, "/f");
            world->original = look_up("f");
            dput(world->original);
            on_server(remote_change::replace, "/f");
        },
        {{"A", [] { world->found[0] = look_up("f"); }},
         {"B", [] { world->found[1] = look_up("f"); }}},
        [] {
            explore_check(!IS_ERR(world->found[0]) && world->found[0] == world->found[1],
                          "both find one dentry");
            explore_check(world->found[0] != world->original, "not the stale one");
            note_waits();
            unmount();
        });

    EXPECT_THAT(explore(program), Holds());
    expect_reached({"somebody waits for a lookup"});
}

// Opens without O_CREAT of a name that is not there. Those who waited for the first one's answer
// all get its negative dentry, drop it, and open the name anew, one after the other.
TEST_P(NetfsEras, OpensOfOneNegativeDentry)
{
    exploration program = program_of(
        "atomic open",
        [config = GetParam().config()] {
            mount(config);
            explore_check(init_mount_tree(world->sb) == 0, "there is a namespace");
            for (vfs_task *&task : world->tasks)
                task = vfs_task_create(&init_task, 0);
        },
        {},
        [] {
            note_waits();
            for (vfs_task *task : world->tasks)
                vfs_task_exit(task);
            exit_mount_tree();
            bool one = false, none = false;
            for (int result : world->results) {
                one |= result >= 0;
                none |= result == -ENOENT;
                explore_check(result >= 0 || result == -ENOENT, "it is there or not");
            }
            if (one && none)
                reached["some find it and some do not"]++;
            unmount();
        });

    for (int i = 0; i < 3; i++) {
        program.tasks.push_back({std::string(1, static_cast<char>('A' + i)), [i] {
                                     world->results[i] = sys_openat(world->tasks[i], AT_FDCWD_VALUE,
                                                                    "/f", OPEN_RDONLY, 0);
                                 }});
    }
    program.tasks.push_back({"server", [] { on_server(remote_change::create, "/f"); }});
    EXPECT_THAT(explore(program), Holds());
    expect_reached({"somebody waits for a lookup", "some find it and some do not"});
}

// OPEN with O_CREAT makes regular files; of a FIFO that is there and not in the cache the server
// says that it exists. That must not be the answer of an open() without O_EXCL.
TEST_P(NetfsEras, AFifoThatIsNotCachedIsOpenedWithOCreat)
{
    exploration program = program_of(
        "O_CREAT of a FIFO",
        [config = GetParam().config()] {
            mount(config);
            explore_check(init_mount_tree(world->sb) == 0, "there is a namespace");
            for (vfs_task *&task : world->tasks)
                task = vfs_task_create(&init_task, 0);
            explore_check(
                sys_mknodat(world->tasks[0], AT_FDCWD_VALUE, "/p", S_IFIFO_TYPE | 0644, 0) == 0,
                "the FIFO is made");
            shrink_dcache_sb(world->sb);
            qstr name = make_hashed_qstr(world->sb->s_root, "p", 1);
            explore_check(!d_lookup(world->sb->s_root, &name), "and not cached");
        },
        {{"opens",
          [] {
              world->results[0] =
                  sys_openat(world->tasks[0], AT_FDCWD_VALUE, "/p", OPEN_CREAT | OPEN_RDWR, 0644);
          }},
         {"opens exclusively",
          [] {
              world->results[1] = sys_openat(world->tasks[1], AT_FDCWD_VALUE, "/p",
                                             OPEN_CREAT | OPEN_EXCL | OPEN_RDWR, 0644);
          }},
         {"looks", [] { world->found[0] = look_up("p"); }}},
        [] {
            for (vfs_task *task : world->tasks)
                vfs_task_exit(task);
            exit_mount_tree();
            explore_check(world->results[0] >= 0, "it is opened");
            explore_check(world->results[1] == -EEXIST, "and not made");
            explore_check(!IS_ERR(world->found[0]), "it is there");
            unmount();
        });

    EXPECT_THAT(explore(program), Holds());
}

// A rename over an open file takes two steps on the server; here the name is never without a file.
TEST_P(NetfsEras, ARenameOverAnOpenFileNeverLosesTheName)
{
    exploration program = program_of(
        "rename over an open file",
        [config = GetParam().config()] {
            mount(config);
            on_server(remote_change::create, "/f");
            on_server(remote_change::create, "/g");
            world->opened = open_path("f");
            world->original = world->opened->f_path.dentry;
        },
        {{"renames",
          [] {
              qstr from = make_qstr("g", 1), to = make_qstr("f", 1);
              renamedata rd = {};
              rd.old_parent = rd.new_parent = world->sb->s_root;
              world->results[0] = start_renaming(&rd, 0, &from, &to);
              if (world->results[0])
                  return;
              inode *dir = d_inode(world->sb->s_root);
              world->results[0] = vfs_rename(dir, rd.old_dentry, dir, rd.new_dentry, 0);
              end_renaming(&rd);
          }},
         {"looks", [] { world->results[1] = look_for("f"); }}},
        [] {
            explore_check(world->results[0] == 0, "it is renamed");
            explore_check(world->results[1] != NOT_THERE, "the name is always there");
            explore_check(d_count(world->original) > 0, "the open file's dentry is alive");
            note("looked", world->results[1]);
            fput(world->opened);
            unmount();
        });

    EXPECT_THAT(explore(program), Holds());
    expect_reached({"looked: the original", "looked: another"});
}

// A dentry is as good as the directory was when the question was asked, not when the answer came.
TEST_P(NetfsEras, AnAnswerIsAsOldAsItsQuestion)
{
    exploration program = program_of(
        "lookup against a change that is noticed",
        [config = GetParam().config()] {
            mount(config, {{"actimeo", 0}});
            on_server(remote_change::create, "/f");
            on_server(remote_change::create, "/g");
            world->found[1] = look_up("g");
        },
        {{"looks", [] { world->found[0] = look_up("f"); }},
         {"notices",
          [] {
              on_server(remote_change::replace, "/f");
              world->found[2] = look_up("g");
          }}},
        [] {
            dentry *found = look_up("f");
            server_attributes attributes;
            explore_check(server_find(netfs_server(world->sb), "/f", &attributes) == 0, "it is");
            explore_check(d_inode(found)->i_ino == attributes.fileid,
                          "what was noticed is not forgotten");
            dput(found);
            unmount();
        });

    EXPECT_THAT(explore(program), Holds());
}

/// What the VFS does with ->atomic_open(), without a walk.
void open_dentry(dentry *dentry, struct dentry **result)
{
    inode *dir = d_inode(world->sb->s_root);
    file *file = alloc_empty_file(OPEN_RDONLY, &init_cred);
    int error;

    file->f_path = {nullptr, dentry};
    inode_lock_shared(dir);
    error = dir->i_op->atomic_open(dir, dentry, file, OPEN_RDONLY, 0);
    d_lookup_done(dentry);
    inode_unlock_shared(dir);
    explore_check(error == 0, "the file is there");
    *result = file->f_path.dentry;
    if (file->f_mode & FMODE_OPENED)
        dget(*result);
    fput(file);
}

// Two opens without O_CREAT of a hashed negative dentry whose file was made on the server since:
// only one of them may give it an inode.
TEST_P(NetfsEras, TwoOpensOfAStaleNegativeDentry)
{
    if (GetParam().outside)
        GTEST_SKIP() << "in this order an open is never given a hashed negative dentry";
    exploration program = program_of(
        "two atomic opens",
        [config = GetParam().config()] {
            mount(config);
            look_up("f");
            qstr name = make_hashed_qstr(world->sb->s_root, "f", 1);
            world->found[2] = d_lookup(world->sb->s_root, &name);
            explore_check(world->found[2] != nullptr, "it is cached");
            on_server(remote_change::create, "/f");
        },
        {{"A", [] { open_dentry(world->found[2], &world->found[0]); }},
         {"B", [] { open_dentry(world->found[2], &world->found[1]); }}},
        [] {
            explore_check(world->found[0] == world->found[1], "both open one dentry");
            explore_check(world->found[0] != world->found[2], "not the negative one");
            note_waits();
            unmount();
        });

    EXPECT_THAT(explore(program), Holds());
    expect_reached({"somebody waits for a lookup"});
}

// The server has a directory at two places. Who finds it at the second must move its dentry, and
// may only try for the first one's lock.
TEST_P(NetfsEras, AMovedDirectoryIsFoundOrStale)
{
    exploration program = program_of(
        "splice against mkdir",
        [config = GetParam().config()] {
            mount(config);
            on_server(remote_change::mkdir, "/p");
            on_server(remote_change::mkdir, "/q");
            server_attributes p, q;
            server_find(netfs_server(world->sb), "/p", &p);
            server_find(netfs_server(world->sb), "/q", &q);
            server_add_directory_name(netfs_server(world->sb), p.fileid, q.fileid, "r", 1);
            world->found[0] = look_up("p");
            world->found[1] = look_up("q");
        },
        {{"looks", [] { world->found[2] = look_up("q/r"); }},
         {"makes",
          [] {
              qstr name = make_qstr("d", 1);
              dentry *d = start_creating_noperm(world->sb->s_root, &name);
              explore_check(!IS_ERR(d), "d can be made");
              explore_check(vfs_mkdir(d_inode(world->sb->s_root), d, 0755) == 0, "and is");
              end_creating(d);
          }}},
        [] {
            dentry *found = world->found[2];
            bool stale = IS_ERR(found) && PTR_ERR(found) == -ESTALE;
            explore_check(stale || found == world->found[0], "one dentry, or no answer now");
            reached[stale ? "stale" : "moved"]++;
            unmount();
        });

    EXPECT_THAT(explore(program), Holds());
    expect_reached({"stale", "moved"});
}

// A directory that came by its handle has a dentry without a place; a lookup of its name gives it
// one, and others wait for that lookup.
TEST_P(NetfsEras, AHandleAndTwoLookupsShareOneDentry)
{
    exploration program = program_of(
        "reconnect",
        [config = GetParam().config()] {
            mount(config);
            on_server(remote_change::mkdir, "/d");
        },
        {{"handle",
          [] {
              server_attributes d = {};
              server_find(netfs_server(world->sb), "/d", &d);
              world->found[0] = nfs_fh_to_dentry(world->sb, d.fileid);
              explore_check(!IS_ERR(world->found[0]), "the handle is good");
              if (IS_ROOT(world->found[0]))
                  world->results[0] = 1;
          }},
         {"A", [] { world->found[1] = look_up("d"); }},
         {"B", [] { world->found[2] = look_up("d"); }}},
        [] {
            explore_check(world->found[0] == world->found[1] && world->found[1] == world->found[2],
                          "a directory has one dentry");
            explore_check(!IS_ROOT(world->found[0]), "which is connected");
            if (world->results[0])
                reached["the handle came first"]++;
            note_waits();
            unmount();
        });

    EXPECT_THAT(explore(program), Holds());
    expect_reached({"somebody waits for a lookup", "the handle came first"});
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
