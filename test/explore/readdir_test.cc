// SPDX-License-Identifier: GPL-2.0-only
//
// Readers of a directory among everybody who changes it, in every order: what stays in the
// directory is met exactly once, what comes or goes at most once.
#include "dcsim/testing/explore_gtest.h"

#include "dcache_internal.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/mockfs/memfs.h"
#include "dcsim/mockfs/ramfs.h"
#include "dcsim/vfs/file.h"
#include "dcsim/vfs/libfs.h"
#include "dcsim/vfs/namei.h"
#include "dcsim/vfs/vfs.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using testing::Holds;
using testing::Violates;

constexpr vfs_config FEW_BUCKETS = {.dhash_entries = 2, .ihash_entries = 2, .in_lookup_shift = 0};

super_block *sb;

/// How often each one-letter name was met in one reading.
struct sightings : dir_context {
    unsigned room; ///< entries that still fit into this call
    unsigned char count[26];
};

bool note_name(dir_context *context, const char *name, int, int64_t, ino_t, unsigned)
{
    auto *seen = static_cast<sightings *>(context);

    if (seen->room == 0)
        return false;
    seen->room--;
    if (*name != '.')
        seen->count[*name - 'a']++;
    return true;
}

/// Reads the root from beginning to end, one entry with each call.
void read_directory(const file_operations *operations, sightings *seen)
{
    dentry *root = sb->s_root;
    inode *inode = d_inode(root);
    file file = {};
    int64_t before;

    file.f_path.dentry = root;
    file.f_inode = inode;
    if (operations->open)
        explore_check(operations->open(inode, &file) == 0, "the directory opens");
    seen->actor = note_name;
    do {
        seen->room = 1;
        seen->pos = file.f_pos;
        before = file.f_pos;
        inode_lock_shared(inode);
        explore_check(operations->iterate_shared(&file, seen) == 0, "the directory is read");
        inode_unlock_shared(inode);
        file.f_pos = seen->pos;
    } while (seen->room == 0 && file.f_pos != before);
    if (operations->release)
        operations->release(inode, &file);
}

/// Each of the names `staying` was met, no name twice, and of one file's two names `moving` no more
/// than one.
void expect_no_skip_no_repeat(const sightings &seen, const char *staying, const char *moving)
{
    unsigned total = 0;

    for (; *staying; staying++)
        explore_check(seen.count[*staying - 'a'] != 0, "a name that stays is skipped");
    for (unsigned char count : seen.count)
        explore_check(count < 2, "a name is repeated");
    for (; *moving; moving++)
        total += seen.count[*moving - 'a'];
    explore_check(total <= 1, "a file that moves is met under both names");
}

/// The position of a reader that has no cursor: the number of names before. Wrong, because names
/// before it go away.
int readdir_by_counting(file *file, dir_context *context)
{
    auto *cursor = static_cast<dentry *>(file->private_data);
    dentry *directory = file->f_path.dentry;
    int64_t skip = context->pos - 2;

    spin_lock(&directory->d_lock);
    hlist_del_init(&cursor->d_sib);
    for (dentry *child = d_first_child(directory); child && skip > 0;
         child = d_next_sibling(child)) {
        if (simple_positive(child) && --skip == 0)
            hlist_add_behind(&cursor->d_sib, &child->d_sib);
    }
    spin_unlock(&directory->d_lock);
    return dcache_readdir(file, context);
}

constexpr file_operations counting_dir_operations = {
    .open = dcache_dir_open, .release = dcache_dir_close, .iterate_shared = readdir_by_counting};

void set_up_ramfs()
{
    vfs_init(FEW_BUCKETS);
    sb = ramfs_mount({}, "ramfs");
    for (const char *name : {"a", "b", "c"})
        create_at(sb->s_root, name, 1, 0644);
}

void finish()
{
    explore_check(generic_shutdown_super(sb) == 0, "nothing is busy");
    explore_check(vfs_exit().none(), "nothing is left");
}

/// A reader, and somebody who changes the directory once.
exploration reader_and_writer(const file_operations *operations, const char *staying,
                              const char *moving, void (*change)())
{
    exploration program;

    program.setup = set_up_ramfs;
    program.tasks = {{"reader",
                      [=] {
                          sightings seen = {};

                          read_directory(operations, &seen);
                          expect_no_skip_no_repeat(seen, staying, moving);
                      }},
                     {"writer", change}};
    program.finally = finish;
    program.options.preemptions = 2;
    return program;
}

void unlink_c()
{
    explore_check(unlink_at(sb->s_root, "c", 1) == 0, "c is removed");
}

void create_d()
{
    explore_check(create_at(sb->s_root, "d", 1, 0644) == 0, "d is made");
}

void rename_b_to_x()
{
    explore_check(rename_at(sb->s_root, "b", 1, sb->s_root, "x", 1, 0) == 0, "b is moved");
}

void rename_a_over_c()
{
    explore_check(rename_at(sb->s_root, "a", 1, sb->s_root, "c", 1, 0) == 0, "a is moved");
}

TEST(ReaddirExplored, NamesRemovedMeanwhileHideNoOthers)
{
    EXPECT_THAT(explore(reader_and_writer(&simple_dir_operations, "ab", "", unlink_c)), Holds());
}

TEST(ReaddirExplored, AReaderThatCountsSkipsNames)
{
    const exploration_report report =
        explore(reader_and_writer(&counting_dir_operations, "ab", "", unlink_c));

    EXPECT_THAT(report, Violates(violation_kind::expectation));
    EXPECT_STREQ(report.search.broken.text, "a name that stays is skipped");
}

TEST(ReaddirExplored, NamesAddedMeanwhileRepeatNoOthers)
{
    EXPECT_THAT(explore(reader_and_writer(&simple_dir_operations, "abc", "", create_d)), Holds());
}

TEST(ReaddirExplored, AReaderThatCountsRepeatsNames)
{
    const exploration_report report =
        explore(reader_and_writer(&counting_dir_operations, "abc", "", create_d));

    EXPECT_THAT(report, Violates(violation_kind::expectation));
    EXPECT_STREQ(report.search.broken.text, "a name is repeated");
}

TEST(ReaddirExplored, NamesMovedMeanwhileNeitherHideNorRepeatOthers)
{
    EXPECT_THAT(explore(reader_and_writer(&simple_dir_operations, "ac", "bx", rename_b_to_x)),
                Holds());
    EXPECT_THAT(explore(reader_and_writer(&simple_dir_operations, "b", "", rename_a_over_c)),
                Holds());
}

// --- Within one call: the directory is locked shared, so only what needs no more than that ---

/// Leaves a negative dentry and takes it away again: simple_lookup() marks it DONTCACHE.
void look_up_nothing()
{
    explore_check(IS_ERR(lookup_path(sb->s_root, "z", 1)), "z is not there");
}

/// A long scan gives its lock up and goes on from its cursor, among dentries that come and go.
TEST(ReaddirExplored, ScansThatRestSkipNothing)
{
    exploration program = reader_and_writer(&simple_dir_operations, "abc", "", look_up_nothing);

    program.reschedules = 2;
    EXPECT_THAT(explore(program), Holds());
}

TEST(ReaddirExplored, ReadersThatRestDoNotDisturbEachOther)
{
    exploration program = reader_and_writer(&simple_dir_operations, "abc", "", nullptr);

    program.tasks[0].name = "first";
    program.tasks[1] = program.tasks[0];
    program.tasks[1].name = "second";
    program.reschedules = 1;
    program.options.preemptions = 1;
    EXPECT_THAT(explore(program), Holds());
}

// --- memfs: positions are numbers of names ---

void set_up_memfs()
{
    vfs_init(FEW_BUCKETS);
    sb = memfs_mount({}, "memfs");
    for (const char *name : {"a", "b", "c"})
        create_at(sb->s_root, name, 1, 0644);
}

exploration memfs_reader_and_writer(const char *staying, const char *moving, void (*change)())
{
    exploration program = reader_and_writer(nullptr, staying, moving, change);

    program.setup = set_up_memfs;
    program.tasks[0].body = [=] {
        sightings seen = {};

        read_directory(d_inode(sb->s_root)->i_fop, &seen);
        expect_no_skip_no_repeat(seen, staying, moving);
    };
    return program;
}

TEST(ReaddirExplored, NumberedNamesAreMetOnceAsWell)
{
    EXPECT_THAT(explore(memfs_reader_and_writer("ab", "", unlink_c)), Holds());
    EXPECT_THAT(explore(memfs_reader_and_writer("abc", "", create_d)), Holds());
    EXPECT_THAT(explore(memfs_reader_and_writer("ac", "bx", rename_b_to_x)), Holds());
    EXPECT_THAT(explore(memfs_reader_and_writer("b", "", rename_a_over_c)), Holds());
}

// --- Bodies of links, as RCU walkers read them ---

/// Reads what the link says without a reference on anything.
void read_link_under_rcu()
{
    rcu_read_lock();
    qstr name = make_hashed_qstr(sb->s_root, "l", 1);
    unsigned seq;
    dentry *link = __d_lookup_rcu(sb->s_root, &name, &seq);
    if (link) {
        inode *inode = d_inode_rcu(link);
        if (inode && !read_seqcount_retry(&link->d_seq, seq)) {
            const char *body = READ_ONCE(inode->i_link);
            explore_check(body && read_word_at_a_time(body) != 0, "the link says something");
        }
    }
    rcu_read_unlock();
}

void unlink_link()
{
    explore_check(unlink_at(sb->s_root, "l", 1) == 0, "the link is removed");
}

template <super_block *(*mount)()>
exploration link_reader_and_remover()
{
    exploration program;

    program.setup = [] {
        vfs_init(FEW_BUCKETS);
        sb = mount();
        qstr name = make_qstr("l", 1);
        dentry *link = start_creating(sb->s_root, &name);
        vfs_symlink(d_inode(sb->s_root), link, "body of it");
        end_creating(link);
    };
    program.tasks = {{"reader", read_link_under_rcu}, {"remover", unlink_link}};
    program.finally = finish;
    program.options.preemptions = 2;
    return program;
}

super_block *mount_memfs()
{
    return memfs_mount({}, "memfs");
}

super_block *mount_ramfs()
{
    return ramfs_mount({}, "ramfs");
}

TEST(LinkBodyExplored, OutlivesItsReaders)
{
    EXPECT_THAT(explore(link_reader_and_remover<mount_memfs>()), Holds());
    EXPECT_THAT(explore(link_reader_and_remover<mount_ramfs>()), Holds());
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
