// SPDX-License-Identifier: GPL-2.0-only
//
// The dcache checker: each rule is broken by hand and must be the one that is reported, and nothing
// is reported of a dcache that nobody broke, whatever its users do.
#include "dcsim/testing/dcache_checker.h"

#include <cstring>
#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcache_internal.h"
#include "dcsim/explore/search.h"
#include "dcsim/mockfs/memfs.h"
#include "dcsim/prim/model/engine.h"
#include "dcsim/prim/model/port.h"
#include "dcsim/vfs/namei.h"
#include "dcsim/vfs/vfs.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr std::string_view long_name = "a name that is too long to lie within its dentry";

constexpr vfs_config small_tables = {.dhash_entries = 4, .ihash_entries = 4, .in_lookup_shift = 1};

// --- Running something alone on the model ---

class first_enabled final : public scheduler
{
  public:
    bool begin_execution() override
    {
        return true;
    }
    task_id choose_task(const choice &choice) override
    {
        return static_cast<task_id>(__builtin_ctz(choice.enabled));
    }
    unsigned choose_value(unsigned) override
    {
        return 0;
    }
};

model_program program_with_port_state()
{
    const port_static_data state = port_state();
    model_program program;

    program.state = state.begin;
    program.state_bytes = state.bytes;
    return program;
}

/// Runs `body` where an execution's clean-up runs, and puts back everything it changed.
violation run_alone(void (*body)(void *))
{
    model_program program = program_with_port_state();
    first_enabled scheduler;
    violation broken;

    program.task_names = {"A"};
    program.setup = [](void *) {};
    program.task = [](void *, unsigned) {};
    program.finally = body;
    EXPECT_TRUE(engine_load(program, default_carrier));
    engine_run(scheduler, {}, nullptr);
    broken = last_violation();
    arena_restore();
    engine_unload();
    return broken;
}

// --- A small tree ---

qstr name_below(const dentry *parent, std::string_view text)
{
    return make_hashed_qstr(parent, text.data(), static_cast<u32>(text.size()));
}

/// Referenced; negative when there is no such name.
dentry *look_up(dentry *parent, std::string_view text)
{
    qstr name = make_qstr(text.data(), static_cast<u32>(text.size()));
    return lookup_noperm_unlocked(&name, parent);
}

/// A child that nobody has looked up: unhashed and negative.
dentry *allocate(dentry *parent, std::string_view text)
{
    const qstr name = name_below(parent, text);
    return d_alloc(parent, &name);
}

dentry *begin_lookup(dentry *parent, std::string_view text)
{
    const qstr name = name_below(parent, text);
    return d_alloc_parallel(parent, &name);
}

int rename_below(dentry *parent, std::string_view from, std::string_view to, unsigned flags = 0)
{
    return rename_at(parent, from.data(), from.size(), parent, to.data(), to.size(), flags);
}

super_block *mount_with_tree(const memfs_options &options)
{
    super_block *sb = memfs_mount(options, "checked");
    memfs_node *root = memfs_root_node(sb);
    memfs_node *directory = memfs_add_node(sb, root, "dir", 3, S_IFDIR_TYPE | 0755, nullptr);

    memfs_add_node(sb, root, "file", 4, S_IFREG_TYPE | 0644, nullptr);
    memfs_add_node(sb, root, "unused", 6, S_IFREG_TYPE | 0644, nullptr);
    memfs_add_node(sb, root, long_name.data(), long_name.size(), S_IFREG_TYPE | 0644, nullptr);
    memfs_add_node(sb, directory, "inner", 5, S_IFREG_TYPE | 0644, nullptr);
    return sb;
}

/// One of everything, referenced but for `unused`.
struct tree {
    super_block *sb;
    dentry *root;
    dentry *directory;
    dentry *file;
    dentry *inner; ///< a file in the directory
    dentry *long_named;
    dentry *negative;
    dentry *unused; ///< on the LRU

    explicit tree(const memfs_options &options = {})
    {
        vfs_init(small_tables);
        sb = mount_with_tree(options);
        root = sb->s_root;
        directory = look_up(root, "dir");
        file = look_up(root, "file");
        inner = look_up(directory, "inner");
        long_named = look_up(root, long_name);
        negative = look_up(root, "negative");
        unused = look_up(root, "unused");
        dput(unused);
    }

    void let_go() const
    {
        for (dentry *mine : {directory, file, inner, long_named, negative})
            dput(mine);
    }
};

/// The number of the rule that the dentry breaks; 0 when it breaks none.
int broken_by(const dentry *dentry)
{
    broken_invariant broken = {};
    return check_dentry(dentry, &broken) ? 0 : broken.number;
}

int broken_at_rest()
{
    broken_invariant broken = {};
    return check_dcache(&broken) ? 0 : broken.number;
}

std::string detail_at_rest()
{
    broken_invariant broken = {};
    return check_dcache(&broken) ? "" : broken.detail;
}

/// Says which rule, for messages of tests.
std::string what_is_broken(const dentry *dentry)
{
    broken_invariant broken = {};

    if (check_dentry(dentry, &broken))
        return "";
    return std::to_string(broken.number) + ": " + broken.detail;
}

void set_flags(dentry *dentry, unsigned flags)
{
    WRITE_LOCKED(dentry->d_flags, READ_LOCKED(dentry->d_flags) | flags);
}

void clear_flags(dentry *dentry, unsigned flags)
{
    WRITE_LOCKED(dentry->d_flags, READ_LOCKED(dentry->d_flags) & ~flags);
}

void set_count(dentry *dentry, int count)
{
    WRITE_LOCKED(dentry->d_lockref.count, count);
}

hlist_bl_head *in_lookup_bucket(const dentry *dentry)
{
    return in_lookup_hash(READ_LOCKED(dentry->d_parent), dentry->d_name.hash());
}

/// As d_alloc_parallel() does it at its end.
void put_in_lookup(dentry *dentry)
{
    hlist_bl_head *bucket = in_lookup_bucket(dentry);

    set_flags(dentry, DCACHE_PAR_LOOKUP);
    hlist_bl_lock(bucket);
    hlist_bl_add_head(&dentry->d_in_lookup_hash, bucket);
    hlist_bl_unlock(bucket);
}

void take_off_in_lookup_table(dentry *dentry)
{
    hlist_bl_head *bucket = in_lookup_bucket(dentry);

    hlist_bl_lock(bucket);
    __hlist_bl_del(&dentry->d_in_lookup_hash);
    hlist_bl_unlock(bucket);
}

/// What a killer leaves of a dentry that has no inode, between marking it and taking it off.
void make_dead(dentry *dentry)
{
    d_drop(dentry);
    set_count(dentry, LOCKREF_DEAD);
}

#define ALONE(suite, name)                                                                         \
    void suite##_##name(void *);                                                                   \
    TEST(suite, name)                                                                              \
    {                                                                                              \
        EXPECT_EQ(run_alone(suite##_##name).kind, violation_kind::none) << last_violation().text;  \
    }                                                                                              \
    void suite##_##name(void *)

// --- The list ---

TEST(DcacheInvariants, AreListedByNumberWithWords)
{
    int previous = 0;

    for (const invariant &rule : dcache_invariants()) {
        EXPECT_GT(rule.number, previous);
        EXPECT_STRNE(rule.name, "");
        EXPECT_STRNE(rule.rule, "");
        EXPECT_TRUE(rule.of_dentry || rule.of_dentry_at_rest || rule.of_inode_at_rest ||
                    rule.of_totals)
            << rule.name;
        previous = rule.number;
    }
}

// --- In lookup ---

ALONE(InLookupRules, TwoLookupsOfOneName)
{
    tree t;
    dentry *first = begin_lookup(t.root, "new");
    dentry *second = allocate(t.root, "new");

    ASSERT_EQ(broken_by(first), 0);
    put_in_lookup(second);
    EXPECT_EQ(broken_by(first), 1);
    EXPECT_EQ(broken_by(second), 1);
}

ALONE(InLookupRules, LookupsOfDifferentNamesAndDirectories)
{
    tree t;
    dentry *here = begin_lookup(t.root, "new");
    dentry *there = begin_lookup(t.directory, "new");
    dentry *other = begin_lookup(t.root, "newer");

    for (dentry *one : {here, there, other}) {
        EXPECT_EQ(what_is_broken(one), "");
        EXPECT_EQ(what_is_broken(READ_LOCKED(one->d_parent)), "");
    }
}

ALONE(InLookupRules, InTheTableWithoutTheBit)
{
    tree t;
    dentry *fresh = begin_lookup(t.root, "new");

    clear_flags(fresh, DCACHE_PAR_LOOKUP);
    EXPECT_EQ(broken_by(fresh), 1);
}

ALONE(InLookupRules, UsedByOthersBeforeItIsInTheTable)
{
    tree t;
    dentry *fresh = begin_lookup(t.root, "new");

    take_off_in_lookup_table(fresh);
    EXPECT_EQ(broken_by(fresh), 0) << "as in d_alloc_parallel(), before it is put there";
    EXPECT_EQ(broken_at_rest(), 2);
    set_count(fresh, 2);
    EXPECT_EQ(broken_by(fresh), 2);
    set_count(fresh, 1);
    set_flags(fresh, DCACHE_LOOKUP_WAITERS);
    EXPECT_EQ(broken_by(fresh), 2);
}

/// The queue that whoever begins a lookup lends it before v7.2.
wait_queue_head_t *make_queue()
{
    auto *queue = static_cast<wait_queue_head_t *>(kmalloc(sizeof(wait_queue_head_t)));

    init_waitqueue_head(queue, "in-lookup wait queue");
    return queue;
}

ALONE(InLookupRules, LookupWithTheQueueOfACallerWhoIsGone)
{
    tree t;
    wait_queue_head_t *queue = make_queue();
    const qstr name = name_below(t.root, "new");

    ASSERT_EQ(set_lookup_era(ERA_6_0), 0);
    dentry *fresh = d_alloc_parallel(t.root, &name, queue);
    EXPECT_EQ(what_is_broken(fresh), "") << "d_wait has the room of d_lru";
    fresh->d_wait = nullptr;
    EXPECT_EQ(broken_by(fresh), 9);
    fresh->d_wait = queue;
    EXPECT_EQ(broken_by(fresh), 0);
    kfree(queue);
    EXPECT_EQ(broken_by(fresh), 9);
}

ALONE(InLookupRules, AnEndedLookupHasItsRoomForTheLruBack)
{
    tree t;
    wait_queue_head_t *queue = make_queue();
    const qstr name = name_below(t.root, "new");

    for (lookup_era era : {ERA_4_7, ERA_4_17, ERA_6_0}) {
        ASSERT_EQ(set_lookup_era(era), 0);
        dentry *fresh = d_alloc_parallel(t.root, &name, queue);
        d_lookup_done(fresh);
        EXPECT_EQ(what_is_broken(fresh), "");
        fresh->d_wait = queue;
        EXPECT_EQ(broken_by(fresh), 26);
        INIT_LIST_HEAD(&fresh->d_lru);
        dput(fresh);
    }
}

ALONE(InLookupRules, HashedWhileInLookup)
{
    tree t;
    dentry *fresh = begin_lookup(t.root, "new");

    d_rehash(fresh);
    EXPECT_EQ(broken_by(fresh), 3);
}

ALONE(InLookupRules, PositiveWhileInLookup)
{
    tree t;
    dentry *fresh = begin_lookup(t.root, "new");

    set_flags(fresh, DCACHE_REGULAR_TYPE);
    EXPECT_EQ(broken_by(fresh), 3);
    clear_flags(fresh, DCACHE_ENTRY_TYPE);
    WRITE_LOCKED(fresh->d_inode, d_inode(t.file));
    EXPECT_EQ(broken_by(fresh), 3);
}

ALONE(InLookupRules, LookupWithoutReferenceOrOnAList)
{
    tree t;
    dentry *fresh = begin_lookup(t.root, "new");

    set_count(fresh, 0);
    EXPECT_EQ(broken_by(fresh), 3);
    set_count(fresh, 1);
    set_flags(fresh, DCACHE_LRU_LIST);
    EXPECT_EQ(broken_by(fresh), 3);
}

ALONE(InLookupRules, NameIsKnownAlready)
{
    tree t;
    dentry *again = allocate(t.root, "file");

    put_in_lookup(again);
    EXPECT_EQ(broken_by(again), 4);
    EXPECT_EQ(broken_by(t.file), 4);
}

ALONE(InLookupRules, WaitersWithoutLookup)
{
    tree t;

    set_flags(t.file, DCACHE_LOOKUP_WAITERS);
    EXPECT_EQ(broken_by(t.file), 6);
}

ALONE(InLookupRules, SleeperOfALookupThatIsOver)
{
    tree t;
    wait_queue_head *queue = __var_waitqueue(&t.file->d_flags);
    wait_var_entry sleeper, other;

    init_wait_var_entry(&other, t.file);
    list_add(&other.wait.entry, &queue->head);
    init_wait_var_entry(&sleeper, &t.file->d_flags);
    prepare_to_wait(queue, &sleeper.wait);
    EXPECT_EQ(broken_by(t.file), 6);
    set_running();
    EXPECT_EQ(broken_by(t.file), 0) << "on the queue still, but awake";
}

ALONE(InLookupRules, LookupThatNobodyEnded)
{
    tree t;
    dentry *fresh = begin_lookup(t.root, "new");

    EXPECT_EQ(broken_at_rest(), 8);
    d_lookup_done(fresh);
    EXPECT_EQ(broken_at_rest(), 0) << detail_at_rest();
}

// Of two dentries in one bucket only one is in lookup.
ALONE(InLookupRules, WhoEndedALookupIsNotNamedForItsNeighbour)
{
    tree t;
    dentry *done = begin_lookup(t.root, "done");
    std::string name = "left";

    const auto bucket_of = [&t](const std::string &name) {
        return in_lookup_hash(
            t.root, make_hashed_qstr(t.root, name.data(), static_cast<u32>(name.size())).hash);
    };
    while (bucket_of(name) != bucket_of("done"))
        name += "t";
    note_obligation(done, OWES_LOOKUP_DONE, "one that ended it");
    d_lookup_done(done);
    dentry *left = begin_lookup(t.root, name.c_str());
    note_obligation(left, OWES_LOOKUP_DONE, "one that did not");
    EXPECT_EQ(broken_at_rest(), 8);
    EXPECT_THAT(detail_at_rest(), AllOf(HasSubstr("one that did not"), HasSubstr("\"left")));
    d_lookup_done(left);
    EXPECT_EQ(broken_at_rest(), 0) << detail_at_rest();
}

ALONE(InLookupRules, DirectorySequenceLeftOdd)
{
    tree t;

    WRITE_LOCKED(d_inode(t.directory)->i_dir_seq, 7);
    EXPECT_EQ(broken_by(t.inner), 10);
    EXPECT_EQ(broken_by(t.file), 0);
    WRITE_LOCKED(d_inode(t.directory)->i_dir_seq, 8);
    WRITE_LOCKED(d_inode(t.file)->i_dir_seq, 9);
    EXPECT_EQ(broken_at_rest(), 10);
}

// --- Hash and names ---

ALONE(HashRules, HashedButNotOnItsChain)
{
    tree t;

    spin_lock(&t.file->d_lock);
    ___d_drop(t.file);
    spin_unlock(&t.file->d_lock);
    EXPECT_EQ(broken_by(t.file), 11);
}

ALONE(HashRules, OnAChainButUnhashed)
{
    tree t;

    WRITE_LOCKED(t.file->d_hash.pprev, nullptr);
    EXPECT_EQ(broken_by(t.file), 11);
}

ALONE(HashRules, ChainWithoutEnd)
{
    tree t;

    WRITE_LOCKED(t.file->d_hash.next, &t.file->d_hash);
    EXPECT_EQ(broken_by(t.file), 11);
}

ALONE(HashRules, HashedTwice)
{
    tree t;
    dentry *again = allocate(t.root, "file");

    d_rehash(again);
    EXPECT_EQ(broken_by(again), 12);
    EXPECT_EQ(broken_by(t.file), 12);
}

ALONE(HashRules, LongNameHashedTwice)
{
    tree t;

    d_rehash(allocate(t.root, long_name));
    EXPECT_EQ(broken_by(t.long_named), 12);
}

int same_hash(const dentry *, qstr *name)
{
    name->hash = 77;
    return 0;
}

int compare_without_case(const dentry *, unsigned length, const char *text, const qstr *name)
{
    return length != name->len ||
           strncasecmp(text, reinterpret_cast<const char *>(name->name), length) != 0;
}

constexpr dentry_operations without_case = {.d_hash = same_hash, .d_compare = compare_without_case};

ALONE(HashRules, HashedInTwoSpellings)
{
    tree t({.default_dentry_operations = &without_case});
    qstr name = name_below(t.directory, "InNer");
    dentry *again;

    ASSERT_EQ(broken_at_rest(), 0) << detail_at_rest();
    same_hash(t.directory, &name);
    again = d_alloc(t.directory, &name);
    d_rehash(again);
    EXPECT_EQ(broken_by(again), 0) << "->d_compare() is not asked before all is at rest";
    EXPECT_EQ(broken_at_rest(), 12);
}

ALONE(HashRules, HashOfAnotherName)
{
    tree t;
    const u64 hash_len = READ_LOCKED(t.file->d_name.hash_len);

    WRITE_LOCKED(t.file->d_name.hash_len, hash_len ^ 1); // the chain stays the same
    EXPECT_EQ(broken_by(t.file), 13);
    EXPECT_EQ(broken_at_rest(), 13);
}

ALONE(HashRules, HashThatTheFileSystemWouldNotGive)
{
    tree t({.default_dentry_operations = &without_case});
    const u64 hash_len = READ_LOCKED(t.file->d_name.hash_len);

    WRITE_LOCKED(t.file->d_name.hash_len, hash_len ^ 1);
    EXPECT_EQ(broken_by(t.file), 0);
    EXPECT_EQ(broken_at_rest(), 13);
}

ALONE(HashRules, NameWithoutNul)
{
    tree t;

    t.file->d_shortname.string()[4] = 'x';
    EXPECT_EQ(broken_by(t.file), 13);
    t.file->d_shortname.string()[4] = 0;
    t.file->d_shortname.string()[DNAME_INLINE_LEN - 1] = 'x';
    EXPECT_EQ(broken_by(t.file), 13);
}

ALONE(HashRules, NameInTheWrongPlace)
{
    tree t;
    const u64 hash_len = READ_LOCKED(t.long_named->d_name.hash_len);

    WRITE_LOCKED(t.long_named->d_name.hash_len, hashlen_create(hashlen_hash(hash_len), 4));
    EXPECT_EQ(broken_by(t.long_named), 13);
}

ALONE(HashRules, LongNameWithTheWrongCount)
{
    tree t;

    WRITE_LOCKED(external_name(t.long_named)->count, 2);
    EXPECT_EQ(broken_by(t.long_named), 0) << "a snapshot may have it";
    EXPECT_EQ(broken_at_rest(), 13);
    WRITE_LOCKED(external_name(t.long_named)->count, 0);
    EXPECT_EQ(broken_by(t.long_named), 13);
}

ALONE(HashRules, SequenceLeftOdd)
{
    tree t;

    WRITE_LOCKED(t.file->d_seq.sequence, 3);
    EXPECT_EQ(broken_by(t.file), 14);
}

// --- Tree and references ---

ALONE(TreeRules, NotOnTheListOfItsParent)
{
    tree t;

    hlist_del_init(&t.file->d_sib);
    EXPECT_EQ(broken_by(t.file), 15);
}

ALONE(TreeRules, OnTheListOfAnother)
{
    tree t;

    hlist_del_init(&t.file->d_sib);
    hlist_add_head(&t.file->d_sib, &t.directory->d_children);
    EXPECT_EQ(broken_by(t.directory), 15);
}

ALONE(TreeRules, KilledAndStillAChild)
{
    tree t;

    set_flags(t.negative, DCACHE_DENTRY_KILLED);
    EXPECT_EQ(broken_by(t.root), 15);
}

ALONE(TreeRules, OnAListThatIsNobodys)
{
    tree t;
    hlist_head nobodys;

    INIT_HLIST_HEAD(&nobodys);
    hlist_del_init(&t.file->d_sib);
    hlist_add_head(&t.file->d_sib, &nobodys);
    EXPECT_EQ(broken_by(t.file), 0);
    EXPECT_EQ(broken_at_rest(), 15);
}

ALONE(TreeRules, FewerReferencesThanChildren)
{
    tree t;

    set_count(t.root, 5);
    EXPECT_EQ(broken_by(t.root), 16) << "five children, and s_root";
    set_count(t.root, 6);
    EXPECT_EQ(broken_by(t.root), 0) << what_is_broken(t.root);
    set_flags(t.unused, DCACHE_PERSISTENT);
    EXPECT_EQ(broken_by(t.unused), 16);
}

ALONE(TreeRules, ChildOfAnotherFileSystem)
{
    tree t;

    t.file->d_sb = memfs_mount({}, "other");
    EXPECT_EQ(broken_by(t.file), 17);
}

/// By hand, as no rename would.
void move_below(dentry *dentry, struct dentry *parent)
{
    hlist_del_init(&dentry->d_sib);
    hlist_add_head(&dentry->d_sib, &parent->d_children);
    WRITE_LOCKED(dentry->d_parent, parent);
}

ALONE(TreeRules, CircleOfParents)
{
    tree t;
    dentry *other;

    ASSERT_EQ(mkdir_at(t.root, "other", 5, 0755), 0);
    other = look_up(t.root, "other");
    d_drop(other);
    d_drop(t.directory);
    move_below(other, t.directory);
    move_below(t.directory, other);
    set_count(t.directory, 3);
    set_count(other, 2);
    EXPECT_EQ(broken_by(other), 0) << what_is_broken(other);
    EXPECT_EQ(broken_at_rest(), 17);
}

ALONE(TreeRules, DeadButNotGone)
{
    tree t;

    set_flags(t.file, DCACHE_DENTRY_KILLED);
    EXPECT_EQ(broken_by(t.file), 18) << "killed, with a reference";
    clear_flags(t.file, DCACHE_DENTRY_KILLED);
    set_count(t.file, LOCKREF_DEAD);
    EXPECT_EQ(broken_by(t.file), 18) << "hashed";
    d_drop(t.file);
    EXPECT_EQ(broken_by(t.file), 18) << "positive";
    make_dead(t.negative);
    EXPECT_EQ(broken_by(t.negative), 0) << what_is_broken(t.negative);
}

ALONE(TreeRules, ChildrenOfTheDead)
{
    tree t;
    dentry *child = allocate(t.negative, "child");

    make_dead(t.negative);
    EXPECT_EQ(broken_by(t.negative), 19);
    EXPECT_EQ(broken_by(child), 19);
}

ALONE(TreeRules, ParentWithoutReference)
{
    tree t;

    set_count(t.directory, 0);
    EXPECT_EQ(broken_by(t.inner), 19);
}

ALONE(TreeRules, ReferenceOnTheDead)
{
    tree t;

    make_dead(t.negative);
    // As dget_dlock() would; without d_lock the reference count itself is watched.
    set_count(t.negative, LOCKREF_DEAD + 1);
    EXPECT_EQ(broken_by(t.negative), 20);
}

ALONE(TreeRules, DeadAndForgotten)
{
    tree t;

    make_dead(t.negative);
    EXPECT_EQ(broken_at_rest(), 28);
}

ALONE(TreeRules, UnusedAndForgotten)
{
    tree t;

    set_count(t.file, 0);
    EXPECT_EQ(broken_by(t.file), 0) << "somebody may be in the middle of dput()";
    EXPECT_EQ(broken_at_rest(), 29);
    set_count(t.file, 1);
    EXPECT_EQ(broken_at_rest(), 0) << detail_at_rest();
    d_drop(t.unused);
    EXPECT_EQ(broken_at_rest(), 29);
}

ALONE(TreeRules, WaitingForTheDeathOfTheLiving)
{
    tree t;
    completion_list waiter = {};

    spin_lock(&t.negative->d_lock);
    d_add_waiter(t.negative, &waiter);
    spin_unlock(&t.negative->d_lock);
    EXPECT_EQ(broken_by(t.negative), 30);
    make_dead(t.negative);
    EXPECT_EQ(broken_by(t.negative), 0) << what_is_broken(t.negative);
    set_flags(t.negative, DCACHE_DENTRY_KILLED);
    EXPECT_EQ(broken_by(t.negative), 30);
}

// --- Inodes ---

ALONE(InodeRules, InodeWithoutType)
{
    tree t;

    clear_flags(t.file, DCACHE_ENTRY_TYPE);
    EXPECT_EQ(broken_by(t.file), 22);
}

ALONE(InodeRules, TypeWithoutInode)
{
    tree t;

    set_flags(t.negative, DCACHE_REGULAR_TYPE);
    EXPECT_EQ(broken_by(t.negative), 22);
}

ALONE(InodeRules, NotOnTheAliasList)
{
    tree t;

    hlist_del_init(&t.file->d_alias);
    EXPECT_EQ(broken_by(t.file), 22);
}

ALONE(InodeRules, NegativeOnAnAliasList)
{
    tree t;

    clear_flags(t.file, DCACHE_ENTRY_TYPE);
    WRITE_LOCKED(t.file->d_inode, nullptr);
    EXPECT_EQ(broken_at_rest(), 22);
}

ALONE(InodeRules, TwoAliasesOfADirectory)
{
    tree t;
    dentry *again = allocate(t.root, "again");

    ihold(d_inode(t.directory));
    d_instantiate(again, d_inode(t.directory));
    EXPECT_EQ(broken_by(again), 23);
    EXPECT_EQ(broken_by(t.directory), 23);
}

ALONE(InodeRules, RemovedDirectoryWithLinks)
{
    tree t;

    d_inode(t.directory)->i_flags |= S_DEAD;
    EXPECT_EQ(broken_by(t.directory), 23);
}

ALONE(InodeRules, MoreNamesThanLinks)
{
    tree t;

    set_nlink(d_inode(t.file), 0);
    EXPECT_EQ(broken_by(t.file), 0) << "as in vfs_unlink(), before d_delete()";
    EXPECT_EQ(broken_at_rest(), 23);
}

ALONE(InodeRules, FewerReferencesThanAliases)
{
    tree t;

    WRITE_LOCKED(d_inode(t.file)->i_count, 0);
    EXPECT_EQ(broken_by(t.file), 25);
}

// --- LRU ---

ALONE(LruRules, FlagWithoutLinks)
{
    tree t;

    set_flags(t.file, DCACHE_LRU_LIST);
    EXPECT_EQ(broken_by(t.file), 26);
    clear_flags(t.file, DCACHE_LRU_LIST);
    set_flags(t.file, DCACHE_SHRINK_LIST);
    EXPECT_EQ(broken_by(t.file), 26);
}

ALONE(LruRules, LinksWithoutFlag)
{
    tree t;

    clear_flags(t.unused, DCACHE_LRU_LIST);
    EXPECT_EQ(broken_by(t.unused), 26);
}

ALONE(LruRules, NeighboursThatPointElsewhere)
{
    tree t;

    WRITE_LOCKED(t.sb->s_dentry_lru.node.list.prev, &t.sb->s_dentry_lru.node.list);
    EXPECT_EQ(broken_by(t.unused), 26);
}

ALONE(LruRules, DeadOnTheLru)
{
    tree t;

    dput(t.negative);
    ASSERT_EQ(broken_by(t.negative), 0) << what_is_broken(t.negative);
    make_dead(t.negative);
    EXPECT_EQ(broken_by(t.negative), 26);
}

ALONE(LruRules, PrivateListWithoutOwner)
{
    tree t;
    list_head list;

    INIT_LIST_HEAD(&list);
    spin_lock(&t.unused->d_lock);
    __move_to_shrink_list(t.unused, &list);
    spin_unlock(&t.unused->d_lock);
    EXPECT_EQ(broken_by(t.unused), 0) << what_is_broken(t.unused);
    EXPECT_EQ(broken_at_rest(), 26);
    shrink_dentry_list(&list);
    EXPECT_EQ(broken_at_rest(), 0) << detail_at_rest();
}

ALONE(LruRules, CountersThatLie)
{
    tree t;

    for (vfs_counter counter : {NR_DENTRY, NR_DENTRY_UNUSED, NR_DENTRY_NEGATIVE}) {
        vfs_count(counter);
        EXPECT_EQ(broken_at_rest(), 27) << vfs_counter_name(counter);
        EXPECT_THAT(detail_at_rest(), HasSubstr(vfs_counter_name(counter)));
        vfs_count(counter, -1);
    }
    ++t.sb->s_dentry_lru.node.nr_items;
    EXPECT_EQ(broken_at_rest(), 27);
}

ALONE(LruRules, OnAnLruThatIsNobodys)
{
    tree t;
    list_head nobodys;

    INIT_LIST_HEAD(&nobodys);
    list_move(&t.unused->d_lru, &nobodys);
    --t.sb->s_dentry_lru.node.nr_items;
    EXPECT_EQ(broken_by(t.unused), 0) << what_is_broken(t.unused);
    EXPECT_EQ(broken_at_rest(), 27);
}

ALONE(LruRules, OnTheLruOfAnotherFileSystem)
{
    tree t;
    super_block *other = memfs_mount({}, "other");

    list_move(&t.unused->d_lru, &other->s_dentry_lru.node.list);
    --t.sb->s_dentry_lru.node.nr_items;
    ++other->s_dentry_lru.node.nr_items;
    EXPECT_EQ(broken_by(t.unused), 0) << what_is_broken(t.unused);
    EXPECT_EQ(broken_at_rest(), 27);
}

// --- What nobody broke ---

#define EXPECT_HEALTHY() EXPECT_EQ(detail_at_rest(), "")

void unmount(const tree &t)
{
    EXPECT_EQ(memfs_unmount(t.sb), 0);
    EXPECT_TRUE(vfs_exit().none());
}

ALONE(HealthyDcache, AfterEveryOperation)
{
    tree t;

    EXPECT_HEALTHY();
    EXPECT_EQ(create_at(t.root, "created", 7, 0644), 0);
    EXPECT_EQ(create_at(t.root, "negative", 8, 0644), 0);
    EXPECT_EQ(mkdir_at(t.root, "new dir", 7, 0755), 0);
    EXPECT_HEALTHY();
    EXPECT_EQ(link_at(t.file, t.directory, "link", 4), 0);
    EXPECT_HEALTHY();
    EXPECT_EQ(rename_below(t.root, "file", long_name), 0);
    EXPECT_EQ(rename_below(t.root, "created", "new dir", RENAME_EXCHANGE_FLAG), 0);
    EXPECT_HEALTHY();
    EXPECT_EQ(unlink_at(t.directory, "inner", 5), 0) << "it is open";
    EXPECT_EQ(unlink_at(t.root, "unused", 6), 0);
    EXPECT_HEALTHY();
    EXPECT_EQ(rmdir_at(t.root, "created", 7), 0) << "exchanged, it is the directory";
    EXPECT_HEALTHY();
    for (dentry *any : {t.root, t.directory, t.file, t.inner, t.long_named, t.negative})
        EXPECT_EQ(what_is_broken(any), "");
    t.let_go();
    EXPECT_HEALTHY();
    unmount(t);
}

ALONE(HealthyDcache, SharedLongNames)
{
    tree t;
    dentry *target;

    // A rename over an existing long name: two dentries with one block.
    EXPECT_EQ(rename_below(t.root, "file", long_name), 0);
    EXPECT_EQ(dname_external(t.file) && dname_external(t.long_named), true);
    EXPECT_HEALTHY();
    EXPECT_EQ(create_at(t.root, "short", 5, 0644), 0);
    target = look_up(t.root, "short");
    EXPECT_EQ(rename_below(t.root, "short", long_name, RENAME_EXCHANGE_FLAG), 0);
    EXPECT_HEALTHY();
    dput(target);
    t.let_go();
    EXPECT_HEALTHY();
    unmount(t);
}

ALONE(HealthyDcache, InLookupUntilItIsAnswered)
{
    tree t;
    dentry *positive = begin_lookup(t.root, "one");
    dentry *failing = begin_lookup(t.root, "two");

    EXPECT_EQ(what_is_broken(positive), "");
    EXPECT_EQ(what_is_broken(failing), "");
    d_add(positive, nullptr);
    d_lookup_done(failing);
    EXPECT_EQ(what_is_broken(positive), "");
    EXPECT_EQ(what_is_broken(failing), "");
    EXPECT_HEALTHY();
    dput(positive);
    dput(failing);
    t.let_go();
    unmount(t);
}

ALONE(HealthyDcache, AliasesWithoutAPath)
{
    tree t;
    memfs_node *stored =
        memfs_add_node(t.sb, memfs_root_node(t.sb), "stored", 6, S_IFDIR_TYPE | 0755, nullptr);
    inode *inode;
    dentry *alias, *root;

    ASSERT_FALSE(IS_ERR(stored));
    // As a file handle does it: the inode is in memory, its dentry is not any more.
    dput(look_up(t.root, "stored"));
    inode = igrab(d_inode(t.file));
    root = d_obtain_root(new_inode(t.sb));
    alias = d_obtain_alias(new_inode(t.sb));
    EXPECT_EQ(what_is_broken(alias), "");
    EXPECT_EQ(what_is_broken(root), "");
    EXPECT_HEALTHY();
    dput(d_obtain_alias(inode));
    EXPECT_HEALTHY();
    dput(alias);
    dput(root);
    EXPECT_HEALTHY();
    t.let_go();
    unmount(t);
}

ALONE(HealthyDcache, CursorsPseudoFilesAndPins)
{
    tree t;
    const qstr name = name_below(t.root, "pseudo");
    dentry *cursor = d_alloc_cursor(t.directory);
    dentry *pseudo = d_alloc_pseudo(t.sb, &name);
    dentry *pinned = allocate(t.root, "pinned");

    d_make_persistent(pinned, new_inode(t.sb));
    for (dentry *one : {cursor, pseudo, pinned, t.directory, t.root})
        EXPECT_EQ(what_is_broken(one), "");
    EXPECT_HEALTHY();
    d_make_discardable(pinned);
    for (dentry *one : {cursor, pseudo, pinned})
        dput(one);
    EXPECT_HEALTHY();
    t.let_go();
    unmount(t);
}

ALONE(HealthyDcache, AfterPruning)
{
    tree t;

    t.let_go();
    EXPECT_HEALTHY();
    d_mark_dontcache(d_inode(t.unused));
    EXPECT_HEALTHY();
    d_invalidate(t.unused);
    shrink_dcache_sb(t.sb);
    EXPECT_HEALTHY();
    rcu_barrier();
    EXPECT_HEALTHY();
    unmount(t);
}

// --- The hook ---

TEST(CheckAfterUnlock, EndsTheExecutionWithTheRule)
{
    const violation broken = run_alone([](void *) {
        tree t;
        WRITE_LOCKED(t.file->d_seq.sequence, 3);
        check_after_unlock(&t.file->d_lock, "i_lock");
        check_after_unlock(&t.directory->d_lock, "d_lock");
        check_after_unlock(&t.file->d_lock, "d_lock");
        ADD_FAILURE() << "not reached";
    });

    EXPECT_EQ(broken.kind, violation_kind::invariant);
    EXPECT_THAT(broken.text, AllOf(HasSubstr("invariant 14: "), HasSubstr("dentry \"file\": ")));
}

TEST(CheckAfterUnlock, PassesOverFreedDentries)
{
    const violation broken = run_alone([](void *) {
        tree t;
        d_drop(t.file);
        dput(t.file);
        rcu_barrier();
        check_after_unlock(&t.file->d_lock, "d_lock");
    });

    EXPECT_EQ(broken.kind, violation_kind::none) << broken.text;
}

// --- In searches ---

/// Where the tasks of a searched program work. Set by the set-up, constant after it.
tree *searched;

void drop(dentry *parent, std::string_view name)
{
    dentry *found = look_up(parent, name);

    if (IS_ERR(found))
        return;
    d_drop(found);
    dput(found);
}

void invalidate(dentry *parent, std::string_view name)
{
    dentry *found = look_up(parent, name);

    if (IS_ERR(found))
        return;
    d_invalidate(found);
    dput(found);
}

void look_up_and_put(dentry *parent, std::string_view name)
{
    dentry *found = look_up(parent, name);

    if (!IS_ERR(found))
        dput(found);
}

void prune_some()
{
    shrink_control control = {.nr_to_scan = 3};
    prune_dcache_sb(searched->sb, &control);
}

using task_body = void (*)();

/// What is searched: three tasks on the small tree, whose dentries nobody but them uses.
struct searched_case {
    const char *name;
    task_body tasks[3];
};

const searched_case searched_cases[] = {
    {"OneColdName",
     {[] { look_up_and_put(searched->root, "cold"); },
      [] { look_up_and_put(searched->root, "cold"); },
      [] { look_up_and_put(searched->root, "cold"); }}},
    {"SpareDentryAndShrink",
     {[] { look_up_and_put(searched->root, "cold"); },
      [] { look_up_and_put(searched->root, "cold"); },
      [] { shrink_dcache_parent(searched->root); }}},
    {"LookupDropPrune",
     {[] { look_up_and_put(searched->root, "file"); }, [] { drop(searched->root, "file"); },
      [] { shrink_dcache_sb(searched->sb); }}},
    {"CreateUnlinkLookup",
     {[] { create_at(searched->root, "new", 3, 0644); },
      [] { unlink_at(searched->root, "new", 3); }, [] { look_up_and_put(searched->root, "new"); }}},
    {"RenameAndLookups",
     {[] { rename_below(searched->root, "file", "unused"); },
      [] { look_up_and_put(searched->root, "file"); },
      [] { look_up_and_put(searched->root, "unused"); }}},
    {"ExchangeLongAndShort",
     {[] { rename_below(searched->root, "file", long_name, RENAME_EXCHANGE_FLAG); },
      [] { look_up_and_put(searched->root, long_name); }, [] { drop(searched->root, "file"); }}},
    {"RemoveDirectory",
     {[] {
          unlink_at(searched->directory, "inner", 5);
          rmdir_at(searched->root, "dir", 3);
      },
      [] { look_up_and_put(searched->directory, "inner"); }, [] { prune_some(); }}},
    {"InvalidateDirectory",
     {[] { invalidate(searched->root, "dir"); },
      [] { look_up_and_put(searched->directory, "inner"); },
      [] { shrink_dcache_parent(searched->root); }}},
    {"MoveIntoDirectory",
     {[] { rename_at(searched->root, "file", 4, searched->directory, "inner", 5, 0); },
      [] { look_up_and_put(searched->directory, "inner"); },
      [] { unlink_at(searched->root, "file", 4); }}},
    {"LinkAndUnlink",
     {[] {
          dentry *file = look_up(searched->root, "file");
          if (d_is_positive(file))
              link_at(file, searched->directory, "link", 4);
          dput(file);
      },
      [] { unlink_at(searched->root, "file", 4); },
      [] { look_up_and_put(searched->directory, "link"); }}},
    // The cached negative dentry may be dropped between the lookup and the instantiation.
    {"MakeDirectoryOverDropped",
     {[] { mkdir_at(searched->root, "negative", 8, 0755); },
      [] { drop(searched->root, "negative"); }, [] { rmdir_at(searched->root, "negative", 8); }}},
};

model_program searched_program(const searched_case &which)
{
    model_program program = program_with_port_state();

    program.argument = const_cast<searched_case *>(&which);
    program.task_names = {"A", "B", "C"};
    program.setup = [](void *) {
        searched = new (memory_alloc(sizeof(tree))) tree();
        // The directory stays: its users are tasks.
        for (dentry *one :
             {searched->file, searched->inner, searched->long_named, searched->negative})
            dput(one);
    };
    program.task = [](void *argument, unsigned task) {
        static_cast<searched_case *>(argument)->tasks[task]();
    };
    program.after_unlock = [](void *, const void *lock, const char *lock_class) {
        check_after_unlock(lock, lock_class);
    };
    program.finally = [](void *) {
        broken_invariant broken = {};
        if (!check_dcache(&broken))
            violate(violation_kind::invariant, "invariant %d at rest: %s\n%s", broken.number,
                    broken.rule, broken.detail);
        dput(searched->directory);
        if (!check_dcache(&broken))
            violate(violation_kind::invariant, "invariant %d after dput(): %s\n%s", broken.number,
                    broken.rule, broken.detail);
        if (memfs_unmount(searched->sb) || !vfs_exit().none())
            violate(violation_kind::leak, "something is left");
    };
    return program;
}

void expect_nothing_broken(const searched_case &which, const search_options &options)
{
    const search_result result = search_program(searched_program(which), options);

    EXPECT_NE(result.outcome, verdict::violated)
        << violation_name(result.broken.kind) << ": " << result.broken.text;
    EXPECT_GT(result.executions, 100u);
}

search_options random_executions(uint64_t executions)
{
    search_options options;

    options.how = strategy::uniform;
    options.executions = executions;
    return options;
}

class SearchedDcache : public ::testing::TestWithParam<searched_case>
{
};

TEST_P(SearchedDcache, HoldsWithOnePreemption)
{
    search_options options;

    options.preemptions = 1;
    expect_nothing_broken(GetParam(), options);
}

TEST_P(SearchedDcache, HoldsInRandomExecutions)
{
    expect_nothing_broken(GetParam(), random_executions(20000));
}

std::string name_of_case(const ::testing::TestParamInfo<searched_case> &info)
{
    return info.param.name;
}

INSTANTIATE_TEST_SUITE_P(Programs, SearchedDcache, ::testing::ValuesIn(searched_cases),
                         name_of_case);

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
