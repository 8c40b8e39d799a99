// SPDX-License-Identifier: GPL-2.0-only
//
// Making dentries: what a new one looks like, what it holds, what is left when it cannot be made.
#include <latch>
#include <thread>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using DAlloc = vfs_fixture;
using DAllocAnon = vfs_fixture;
using DAllocName = vfs_fixture;
using DAllocCursor = vfs_fixture;
using DAllocPseudo = vfs_fixture;
using DefaultOperations = vfs_fixture;
using NorcuDentry = vfs_fixture;

// --- Constants ---

TEST(DentryFlags, HaveTheBitsOfLinux72)
{
    constexpr std::pair<unsigned, int> bits[] = {
        {DCACHE_OP_HASH, 0},         {DCACHE_OP_COMPARE, 1},
        {DCACHE_OP_REVALIDATE, 2},   {DCACHE_OP_DELETE, 3},
        {DCACHE_OP_PRUNE, 4},        {DCACHE_DISCONNECTED, 5},
        {DCACHE_REFERENCED, 6},      {DCACHE_DONTCACHE, 7},
        {DCACHE_CANT_MOUNT, 8},      {DCACHE_LOOKUP_WAITERS, 9},
        {DCACHE_SHRINK_LIST, 10},    {DCACHE_OP_WEAK_REVALIDATE, 11},
        {DCACHE_NFSFS_RENAMED, 12},  {DCACHE_FSNOTIFY_PARENT_WATCHED, 13},
        {DCACHE_DENTRY_KILLED, 14},  {DCACHE_MOUNTED, 15},
        {DCACHE_NEED_AUTOMOUNT, 16}, {DCACHE_MANAGE_TRANSIT, 17},
        {DCACHE_LRU_LIST, 18},       {DCACHE_NOKEY_NAME, 22},
        {DCACHE_OP_REAL, 23},        {DCACHE_PAR_LOOKUP, 24},
        {DCACHE_DENTRY_CURSOR, 25},  {DCACHE_NORCU, 26},
        {DCACHE_PERSISTENT, 27},
    };

    for (const auto &[flag, bit] : bits)
        EXPECT_EQ(flag, BIT(bit)) << "bit " << bit;
    EXPECT_EQ(unsigned{DCACHE_ENTRY_TYPE}, BIT(19) | BIT(20) | BIT(21));
    EXPECT_EQ(unsigned{DCACHE_MANAGED_DENTRY}, BIT(15) | BIT(16) | BIT(17));
    EXPECT_EQ(DNAME_INLINE_LEN, 40u);
}

// --- d_alloc() ---

TEST_F(DAlloc, ANewDentryIsNegativeUnhashedAndHeldOnce)
{
    dentry_ref child = make_unhashed(root, "child");

    EXPECT_TRUE(d_is_negative(child.get()));
    EXPECT_TRUE(d_really_is_negative(child.get()));
    EXPECT_TRUE(d_unhashed(child.get()));
    EXPECT_TRUE(d_unlinked(child.get()));
    EXPECT_EQ(d_count(child.get()), 1);
    EXPECT_EQ(flags_of(child.get()), 0u);
    EXPECT_FALSE(is_cached(root, "child"));
}

TEST_F(DAlloc, ANewDentryIsIdleAndEmpty)
{
    dentry_ref child = make_unhashed(root, "child");

    EXPECT_EQ(child->d_sb, sb);
    EXPECT_EQ(child->d_op, nullptr);
    EXPECT_EQ(READ_ONCE(child->d_fsdata), nullptr);
    EXPECT_EQ(READ_ONCE(child->d_time), 0ul);
    EXPECT_EQ(sequence_of(child.get()), 0u);
    EXPECT_EQ(child->waiters, nullptr);
    EXPECT_TRUE(list_empty(&child->d_lru));
    EXPECT_TRUE(hlist_empty(&child->d_children));
    EXPECT_FALSE(spin_is_locked(&child->d_lock));
}

TEST_F(DAlloc, AChildHoldsItsParent)
{
    int before = d_count(root);
    dentry_ref child = make_unhashed(root, "child");

    EXPECT_EQ(parent_of(child.get()), root);
    EXPECT_FALSE(IS_ROOT(child.get()));
    EXPECT_EQ(d_count(root), before + 1);
    child.reset();
    EXPECT_EQ(d_count(root), before);
}

TEST_F(DAlloc, TheNewestChildComesFirst)
{
    dentry_ref first = make_unhashed(root, "first");
    dentry_ref second = make_unhashed(root, "second");

    EXPECT_EQ(d_first_child(root), second.get());
    EXPECT_EQ(d_next_sibling(second.get()), first.get());
    EXPECT_EQ(d_next_sibling(first.get()), nullptr);
}

TEST_F(DAlloc, IsNotInLookup)
{
    dentry_ref child = make_unhashed(root, "child");

    EXPECT_FALSE(d_in_lookup(child.get()));
}

TEST_F(DAlloc, IsCounted)
{
    counter_change existing(NR_DENTRY), allocated(DENTRIES_ALLOCATED), freed(DENTRIES_FREED);

    dentry_ref child = make_unhashed(root, "child");
    EXPECT_EQ(existing.value(), 1);
    EXPECT_EQ(allocated.value(), 1);
    child.reset();
    EXPECT_EQ(existing.value(), 0);
    EXPECT_EQ(allocated.value(), 1);
    EXPECT_EQ(freed.value(), 1);
}

TEST_F(DAlloc, WithoutMemoryNothingHappens)
{
    qstr name = name_below(root, "child");
    counter_change existing(NR_DENTRY);
    int before = d_count(root);

    kmem_fail_nth(1);
    EXPECT_EQ(d_alloc(root, &name), nullptr);
    EXPECT_TRUE(kmem_failure_delivered());
    EXPECT_EQ(d_count(root), before);
    EXPECT_EQ(existing.value(), 0);
    EXPECT_TRUE(hlist_empty(&root->d_children));
}

TEST_F(DAlloc, WithoutMemoryForALongNameTheDentryGoesToo)
{
    qstr name = name_below(root, long_name);
    counter_change existing(NR_DENTRY);
    int before = d_count(root);

    kmem_fail_nth(2);
    EXPECT_EQ(d_alloc(root, &name), nullptr);
    EXPECT_TRUE(kmem_failure_delivered());
    EXPECT_EQ(d_count(root), before);
    EXPECT_EQ(existing.value(), 0);
}

TEST_F(DAlloc, AShortNameIsOneAllocationALongOneTwo)
{
    qstr short_one = name_below(root, "short");
    qstr long_one = name_below(root, long_name);

    kmem_fail_nth(2);
    adopt_dentry(d_alloc(root, &short_one));
    EXPECT_FALSE(kmem_failure_delivered());
    kmem_fail_nth(3);
    adopt_dentry(d_alloc(root, &long_one));
    EXPECT_FALSE(kmem_failure_delivered());
}

// --- d_init ---

TEST_F(DAlloc, InitSeesACompleteDentryWithoutAParent)
{
    std::string seen;

    callbacks.init = [&](dentry *dentry) {
        seen = name_of(dentry);
        EXPECT_EQ(dentry->d_sb, sb);
        EXPECT_TRUE(IS_ROOT(dentry));
        EXPECT_EQ(d_count(dentry), 1);
        WRITE_ONCE(dentry->d_fsdata, sb);
        return 0;
    };
    set_default_d_op(sb, callbacks.table());
    dentry_ref child = make_unhashed(root, "child");
    EXPECT_EQ(seen, "child");
    EXPECT_EQ(READ_ONCE(child->d_fsdata), sb);
}

TEST_F(DAlloc, AnInitThatRefusesLeavesNothing)
{
    callbacks.init = [](dentry *) { return -EIO; };
    set_default_d_op(sb, callbacks.table());
    long blocks = kmalloc_objects();
    int before = d_count(root);
    counter_change existing(NR_DENTRY), allocated(DENTRIES_ALLOCATED);

    for (std::string_view text : {std::string_view("short"), std::string_view(long_name)}) {
        qstr name = name_below(root, text);
        EXPECT_EQ(d_alloc(root, &name), nullptr);
    }
    EXPECT_EQ(d_count(root), before);
    EXPECT_EQ(existing.value(), 0);
    EXPECT_EQ(allocated.value(), 0);
    EXPECT_EQ(kmalloc_objects(), blocks);
}

// ->d_release() undoes what ->d_init() did, so it is not owed for a dentry that never was.
TEST_F(DAlloc, AnInitThatRefusesIsNotFollowedByARelease)
{
    int releases = 0;

    callbacks.init = [](dentry *) { return -EIO; };
    callbacks.release = [&](dentry *) { releases++; };
    set_default_d_op(sb, callbacks.table());
    qstr name = name_below(root, "child");
    EXPECT_EQ(d_alloc(root, &name), nullptr);
    EXPECT_EQ(releases, 0);
}

// --- d_alloc_anon() ---

TEST_F(DAllocAnon, IsARootCalledSlash)
{
    dentry_ref anon = adopt_dentry(d_alloc_anon(sb));

    EXPECT_TRUE(IS_ROOT(anon.get()));
    EXPECT_EQ(name_of(anon.get()), "/");
    EXPECT_EQ(anon->d_name.len(), 1u);
    EXPECT_EQ(d_count(anon.get()), 1);
    EXPECT_TRUE(d_unhashed(anon.get()));
    EXPECT_FALSE(d_unlinked(anon.get()));
    EXPECT_TRUE(hlist_unhashed(&anon->d_sib));
}

TEST_F(DAllocAnon, HoldsNobody)
{
    int before = d_count(root);
    dentry_ref anon = adopt_dentry(d_alloc_anon(sb));

    EXPECT_EQ(d_count(root), before);
}

TEST_F(DAllocAnon, FailsWithoutMemory)
{
    counter_change existing(NR_DENTRY);

    kmem_fail_nth(1);
    EXPECT_EQ(d_alloc_anon(sb), nullptr);
    EXPECT_EQ(existing.value(), 0);
}

// --- d_alloc_name() ---

TEST_F(DAllocName, IsHashedForItsParent)
{
    dentry_ref child = adopt_dentry(d_alloc_name(root, "child"));

    EXPECT_EQ(name_of(child.get()), "child");
    EXPECT_EQ(READ_ONCE(child->d_name.hash_len), name_below(root, "child").hash_len);
    EXPECT_EQ(parent_of(child.get()), root);
    EXPECT_TRUE(d_unhashed(child.get()));
    d_add(child.get(), nullptr);
    EXPECT_TRUE(is_cached(root, "child"));
}

// v7.2; v3 patch 3 of the directory-locking series would change it.
TEST_F(DAllocName, DoesNotAskTheFileSystemForTheHash)
{
    callbacks.hash = hash_by_length;
    set_default_d_op(sb, callbacks.table());
    dentry_ref directory = make_directory(root, "d");
    dentry_ref child = adopt_dentry(d_alloc_name(directory.get(), "child"));

    EXPECT_EQ(child->d_name.hash(), full_name_hash(directory.get(), "child", 5));
    EXPECT_NE(child->d_name.hash(), 5u);
}

TEST_F(DAllocName, FailsWithoutMemory)
{
    int before = d_count(root);

    kmem_fail_nth(1);
    EXPECT_EQ(d_alloc_name(root, "child"), nullptr);
    EXPECT_EQ(d_count(root), before);
}

// --- d_alloc_cursor() ---

TEST_F(DAllocCursor, HoldsTheDirectoryAndIsOnNoList)
{
    int before = d_count(root);
    dentry_ref cursor = adopt_dentry(d_alloc_cursor(root));

    EXPECT_TRUE(has_flag(cursor.get(), DCACHE_DENTRY_CURSOR));
    EXPECT_TRUE(has_flag(cursor.get(), DCACHE_NORCU));
    EXPECT_EQ(parent_of(cursor.get()), root);
    EXPECT_EQ(d_count(root), before + 1);
    EXPECT_TRUE(hlist_unhashed(&cursor->d_sib));
    EXPECT_TRUE(hlist_empty(&root->d_children));
}

TEST_F(DAllocCursor, ItsLastPutReleasesTheDirectory)
{
    int before = d_count(root);
    counter_change existing(NR_DENTRY);

    adopt_dentry(d_alloc_cursor(root)).reset();
    EXPECT_EQ(d_count(root), before);
    EXPECT_EQ(existing.value(), 0);
}

TEST_F(DAllocCursor, WithoutMemoryTheDirectoryIsLeftAlone)
{
    int before = d_count(root);

    kmem_fail_nth(1);
    EXPECT_EQ(d_alloc_cursor(root), nullptr);
    EXPECT_EQ(d_count(root), before);
}

// --- d_alloc_pseudo() ---

TEST_F(DAllocPseudo, IsANorcuRootWithTheGivenName)
{
    qstr name = make_qstr("pipe", 4);
    dentry_ref pseudo = adopt_dentry(d_alloc_pseudo(sb, &name));

    EXPECT_TRUE(has_flag(pseudo.get(), DCACHE_NORCU));
    EXPECT_TRUE(IS_ROOT(pseudo.get()));
    EXPECT_EQ(name_of(pseudo.get()), "pipe");
    EXPECT_TRUE(d_unhashed(pseudo.get()));
    EXPECT_EQ(d_count(pseudo.get()), 1);
}

TEST_F(DAllocPseudo, GetsAMadeUpPathUnlessTheFileSystemHasOperations)
{
    qstr name = make_qstr("pipe", 4);
    dentry_ref without = adopt_dentry(d_alloc_pseudo(sb, &name));
    ASSERT_NE(without->d_op, nullptr);
    EXPECT_EQ(without->d_op->d_dname, simple_dname);

    callbacks.release = [](dentry *) {};
    set_default_d_op(sb, callbacks.table());
    dentry_ref with = adopt_dentry(d_alloc_pseudo(sb, &name));
    EXPECT_EQ(with->d_op, callbacks.table());
}

TEST_F(DAllocPseudo, IsKilledByTheLastPut)
{
    qstr name = make_qstr("pipe", 4);
    counter_change existing(NR_DENTRY), freed(DENTRIES_FREED);

    adopt_dentry(d_alloc_pseudo(sb, &name)).reset();
    EXPECT_EQ(existing.value(), 0);
    EXPECT_EQ(freed.value(), 1);
}

TEST_F(DAllocPseudo, FailsWithoutMemory)
{
    qstr name = make_qstr("pipe", 4);

    kmem_fail_nth(1);
    EXPECT_EQ(d_alloc_pseudo(sb, &name), nullptr);
}

/// Keeps every grace period from ending.
class long_reader
{
  public:
    long_reader() : thread_([this] { read(); })
    {
        reading_.wait();
    }
    ~long_reader()
    {
        over_.count_down();
    }

  private:
    void read()
    {
        rcu_read_guard guard;
        reading_.count_down();
        over_.wait();
    }
    std::latch reading_{1};
    std::latch over_{1};
    std::jthread thread_;
};

/// True where freed objects come back at once. Sanitizer builds allocate one by one and delay
/// reuse.
bool memory_is_reused()
{
#if defined(__SANITIZE_ADDRESS__) || DCSIM_TSAN
    return false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
    return false;
#endif
#endif
    return true;
}

TEST_F(NorcuDentry, IsFreedWithoutAGracePeriod)
{
    if (!memory_is_reused())
        GTEST_SKIP() << "freed memory is not reused in this build";
    rcu_barrier();
    long_reader reader;

    void *first = d_alloc_cursor(root);
    dput(static_cast<dentry *>(first));
    dentry_ref second = adopt_dentry(d_alloc_cursor(root));
    EXPECT_EQ(second.get(), first);
}

TEST_F(NorcuDentry, OthersWaitForTheGracePeriod)
{
    if (!memory_is_reused())
        GTEST_SKIP() << "freed memory is not reused in this build";
    rcu_barrier();
    long_reader reader;

    void *first = d_alloc_anon(sb);
    dput(static_cast<dentry *>(first));
    dentry_ref second = adopt_dentry(d_alloc_anon(sb));
    EXPECT_NE(second.get(), first);
}

// --- Operations ---

TEST_F(DefaultOperations, AreWhatNewDentriesGet)
{
    dentry_ref before = make_unhashed(root, "before");
    callbacks.on_delete = [](const dentry *) { return 0; };
    set_default_d_op(sb, callbacks.table());
    dentry_ref after = make_unhashed(root, "after");

    EXPECT_EQ(before->d_op, nullptr);
    EXPECT_FALSE(has_flag(before.get(), DCACHE_OP_DELETE));
    EXPECT_EQ(after->d_op, callbacks.table());
    EXPECT_TRUE(has_flag(after.get(), DCACHE_OP_DELETE));
}

TEST_F(DefaultOperations, EachCallbackThatPathsAskForHasItsFlag)
{
    const std::pair<dentry_operations, unsigned> cases[] = {
        {{.d_revalidate = [](inode *, const qstr *, dentry *, unsigned) { return 1; }},
         DCACHE_OP_REVALIDATE},
        {{.d_weak_revalidate = [](dentry *, unsigned) { return 1; }}, DCACHE_OP_WEAK_REVALIDATE},
        {{.d_hash = hash_by_length}, DCACHE_OP_HASH},
        {{.d_compare = compare_ignoring_case}, DCACHE_OP_COMPARE},
        {{.d_delete = [](const dentry *) { return 0; }}, DCACHE_OP_DELETE},
        {{.d_prune = [](dentry *) {}}, DCACHE_OP_PRUNE},
        {{.d_real = [](dentry *dentry, int) { return dentry; }}, DCACHE_OP_REAL},
        {{.d_init = [](dentry *) { return 0; }}, 0},
        {{.d_release = [](dentry *) {}}, 0},
        {{.d_iput = [](dentry *, inode *inode) { iput(inode); }}, 0},
        {{.d_dname = simple_dname}, 0},
        {{}, 0},
    };

    for (const auto &[operations, flag] : cases) {
        set_default_d_op(sb, &operations);
        dentry_ref child = make_unhashed(root, "child");
        EXPECT_EQ(flags_of(child.get()), flag);
    }
    set_default_d_op(sb, nullptr);
    EXPECT_EQ(flags_of(make_unhashed(root, "child").get()), 0u);
}

TEST_F(DefaultOperations, OtherDefaultFlagsStay)
{
    sb->s_d_flags |= DCACHE_DONTCACHE;
    callbacks.on_delete = [](const dentry *) { return 0; };
    set_default_d_op(sb, callbacks.table());
    EXPECT_EQ(flags_of(make_unhashed(root, "child").get()),
              unsigned{DCACHE_DONTCACHE | DCACHE_OP_DELETE});
}

TEST_F(DefaultOperations, ADentryMayGetItsOwnOnce)
{
    dentry_ref child = make_unhashed(root, "child");
    callbacks.on_delete = [](const dentry *) { return 0; };

    d_set_d_op(child.get(), callbacks.table());
    EXPECT_EQ(child->d_op, callbacks.table());
    EXPECT_EQ(flags_of(child.get()), unsigned{DCACHE_OP_DELETE});
}

TEST_F(DefaultOperations, ASecondTableForADentryIsComplainedAbout)
{
    dentry_ref child = make_unhashed(root, "child");
    callbacks.on_delete = [](const dentry *) { return 0; };

    d_set_d_op(child.get(), callbacks.table());
    d_set_d_op(child.get(), callbacks.table());
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("d_op"), HasSubstr("DCACHE_OP_FLAGS")));
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
