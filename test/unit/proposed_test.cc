// SPDX-License-Identifier: GPL-2.0-only
//
// The proposed primitives, one task at a time: results, references, states; and what is said about
// those who use them badly. Several tasks: the scenarios and explore/proposed_test.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/vfs/proposed.h"
#include "lookup_protocol.h"
#include "threads.h"
#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

qstr unhashed_name(const char *text)
{
    return make_qstr(text, static_cast<u32>(strlen(text)));
}

/// What three of the functions have in common, under one face.
struct noblock_form {
    const char *name;
    dentry *(*call)(dentry *parent, qstr *name, dentry **blocker);
    bool hands_out;
};

const noblock_form forms[] = {
    {"d_alloc_noblock",
     [](dentry *parent, qstr *name, dentry **) { return d_alloc_noblock(parent, name); }, false},
    {"d_alloc_trylock",
     [](dentry *parent, qstr *name, dentry **) { return d_alloc_trylock(parent, name); }, false},
    {"d_alloc_noblock_return", d_alloc_noblock_return, true},
    {"d_alloc_noblock_blocker", d_alloc_noblock_blocker, true},
};

class Noblock : public vfs_fixture, public ::testing::WithParamInterface<noblock_form>
{
  protected:
    dentry_ref allocate(const char *text)
    {
        qstr name = unhashed_name(text);
        return adopt_dentry(GetParam().call(root, &name, &blocker));
    }
    int error_for(const char *text)
    {
        qstr name = unhashed_name(text);
        return static_cast<int>(PTR_ERR(GetParam().call(root, &name, &blocker)));
    }

    dentry *blocker = nullptr;
};

INSTANTIATE_TEST_SUITE_P(Forms, Noblock, ::testing::ValuesIn(forms),
                         [](const auto &form) { return std::string(form.param.name); });

TEST_P(Noblock, ANewNameIsInLookupAndTheCallers)
{
    dentry_ref fresh = allocate("name");

    EXPECT_TRUE(d_in_lookup(fresh.get()));
    EXPECT_EQ(d_count(fresh.get()), 1);
    EXPECT_EQ(parent_of(fresh.get()), root);
    EXPECT_EQ(name_of(fresh.get()), "name");
    EXPECT_EQ(d_splice_alias(file_inode(), fresh.get()), nullptr);
    EXPECT_FALSE(d_in_lookup(fresh.get()));
    EXPECT_EQ(cached(root, "name"), fresh);
}

TEST_P(Noblock, WhatIsCachedIsFound)
{
    dentry_ref file = make_file(root, "file");
    dentry_ref miss = make_negative(root, "miss");

    EXPECT_EQ(allocate("file"), file);
    EXPECT_EQ(allocate("miss"), miss);
    EXPECT_EQ(d_count(file.get()), 1);
}

TEST_P(Noblock, WhatIsCachedIsNotRevalidated)
{
    callbacks.revalidate = [](auto...) { return 0; };
    set_default_d_op(sb, callbacks.table());
    dentry_ref stale = make_file(root, "stale");

    EXPECT_EQ(allocate("stale"), stale);
}

TEST_P(Noblock, SomebodyElsesLookupIsNotWaitedFor)
{
    dentry_ref owner = allocate_parallel(root, "name");

    EXPECT_EQ(error_for("name"), -EWOULDBLOCK);
    if (GetParam().hands_out) {
        ASSERT_EQ(blocker, owner.get());
        EXPECT_EQ(d_count(owner.get()), 2);
        dput(blocker);
    }
    EXPECT_EQ(d_count(owner.get()), 1) << "no reference but the owner's is left";
    d_lookup_done(owner.get());
}

TEST_P(Noblock, TheNameIsHashedAsTheFileSystemWants)
{
    callbacks.hash = hash_by_length;
    set_default_d_op(sb, callbacks.table());
    sb->s_root->d_op = callbacks.table();
    sb->s_root->d_flags |= DCACHE_OP_HASH;
    dentry_ref fresh = allocate("four");

    EXPECT_EQ(fresh->d_name.hash(), 4u);
    d_lookup_done(fresh.get());
}

TEST_P(Noblock, WhatIsNoNameIsRefused)
{
    EXPECT_EQ(error_for(""), -EACCES);
    EXPECT_EQ(error_for("."), -EACCES);
    EXPECT_EQ(error_for("a/b"), -EACCES);
}

TEST_P(Noblock, WithoutMemoryItFails)
{
    kmem_fail_nth(1);
    EXPECT_EQ(error_for("name"), -ENOMEM);
}

using NoblockContract = vfs_fixture;

TEST_F(NoblockContract, AsPostedTheBlockerIsWrittenForOneErrorOnly)
{
    dentry *const untouched = ERR_PTR(-1);
    dentry *posted = untouched, *reviewed = untouched;
    dentry_ref file = make_file(root, "file");
    qstr name = unhashed_name("file");

    dput(d_alloc_noblock_return(root, &name, &posted));
    EXPECT_EQ(posted, untouched);
    dput(d_alloc_noblock_blocker(root, &name, &reviewed));
    EXPECT_EQ(reviewed, nullptr);
}

// --- Bad use is answered ---

class BadUse : public vfs_fixture
{
  protected:
    /// What unmounting does first, which complains of the one dentry that somebody still uses.
    void expect_one_in_use(super_block *mount)
    {
        down_write(&mount->s_umount);
        EXPECT_EQ(shrink_dcache_for_umount(mount), 1);
        up_write(&mount->s_umount);
    }
    /// Drops that dentry and ends the mount.
    void drop_and_shut_down(super_block *mount, dentry *kept)
    {
        dput(kept);
        mount->s_root = d_make_root(make_inode(mount, S_IFDIR_TYPE));
        EXPECT_EQ(generic_shutdown_super(mount), 0);
    }
};

TEST_F(BadUse, ADentryThatDiesInLookupIsReportedWithItsOrigin)
{
    qstr name = name_below(root, "forgotten");

    on_lookup = [](auto...) -> dentry * { return nullptr; };
    inode_lock(d_inode(root));
    dput(lookup_one_qstr(&name, root, LOOKUP_CREATE | LOOKUP_EXCL));
    inode_unlock(d_inode(root));
    EXPECT_THAT(
        warnings.take(),
        ElementsAre(AllOf(HasSubstr("\"forgotten\" dies in lookup"), HasSubstr("d_lookup_done()"),
                          HasSubstr("lookup_one_qstr()"), HasSubstr("thread "))));
    // And the table is whole: the name can be looked up.
    dentry_ref again = allocate_parallel(root, "forgotten");
    EXPECT_TRUE(d_in_lookup(again.get()));
    d_lookup_done(again.get());
}

TEST_F(BadUse, SoIsOneFromDAllocParallelWithoutItsOrigin)
{
    allocate_parallel(root, "forgotten").reset();
    EXPECT_THAT(warnings.take(), ElementsAre(AllOf(HasSubstr("\"forgotten\" dies in lookup"),
                                                   Not(HasSubstr("got it from")))));
}

// There the room of d_lru had a pointer to the caller's queue in it.
TEST_F(BadUse, WithACallersQueueTheRoomOfTheLruLinksIsInOrderAgain)
{
    bool linked = true;

    callbacks.release = [&](dentry *dentry) { linked = !list_empty(&dentry->d_lru); };
    set_default_d_op(sb, callbacks.table());
    dentry_ref dir = make_directory(root, "dir");
    qstr name = name_below(dir.get(), "forgotten");

    ASSERT_EQ(set_lookup_era(ERA_6_0), 0);
    {
        caller_wait_queue wq;
        dput(d_alloc_parallel(dir.get(), &name, wq.head()));
    }
    ASSERT_EQ(set_lookup_era(ERA_7_2), 0);
    EXPECT_FALSE(linked);
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("\"forgotten\" dies in lookup")));
}

TEST_F(BadUse, TheSpareOfDAllocParallelDiesInLookupByRight)
{
    dentry_ref file = make_file(root, "file");

    EXPECT_EQ(allocate_parallel(root, "file"), file);
    EXPECT_THAT(warnings.take(), IsEmpty());
}

TEST_F(BadUse, ABlockerThatIsNeverDroppedIsReportedAtUnmount)
{
    super_block *mount = make_super_block();
    dentry_ref owner = allocate_parallel(mount->s_root, "held");
    qstr name = unhashed_name("held");
    dentry *blocker;

    ASSERT_EQ(PTR_ERR(d_alloc_noblock_return(mount->s_root, &name, &blocker)), -EWOULDBLOCK);
    d_lookup_done(owner.get());
    // Somebody else's reference, which ends nothing of this thread's.
    run_together(1, [&](int) { owner.reset(); });
    shrink_dcache_parent(mount->s_root);
    expect_one_in_use(mount);
    EXPECT_THAT(warnings.take(), ElementsAre(AllOf(HasSubstr("\"held\""), HasSubstr("still in use"),
                                                   HasSubstr("d_alloc_noblock_return()"),
                                                   HasSubstr("dput()"), HasSubstr("thread "))));
    drop_and_shut_down(mount, blocker);
}

TEST_F(BadUse, WhoDroppedItsBlockerIsNotNamedForSomebodyElsesLeak)
{
    super_block *mount = make_super_block();
    dentry_ref owner = allocate_parallel(mount->s_root, "held");
    qstr name = unhashed_name("held");
    dentry *blocker, *leak;

    ASSERT_EQ(PTR_ERR(d_alloc_noblock_return(mount->s_root, &name, &blocker)), -EWOULDBLOCK);
    leak = dget(owner.get());
    dput(blocker);
    d_lookup_done(owner.get());
    owner.reset();
    expect_one_in_use(mount);
    EXPECT_THAT(warnings.take(), ElementsAre(AllOf(HasSubstr("\"held\""), HasSubstr("still in use"),
                                                   Not(HasSubstr("d_alloc_noblock_return()")))));
    drop_and_shut_down(mount, leak);
}

TEST_F(BadUse, WhoGotTwoBlockersAndDroppedOneIsNamedForTheOther)
{
    super_block *mount = make_super_block();
    dentry_ref owner = allocate_parallel(mount->s_root, "held");
    qstr name = unhashed_name("held");
    dentry *first, *second;

    ASSERT_EQ(PTR_ERR(d_alloc_noblock_return(mount->s_root, &name, &first)), -EWOULDBLOCK);
    ASSERT_EQ(PTR_ERR(d_alloc_noblock_blocker(mount->s_root, &name, &second)), -EWOULDBLOCK);
    dput(first);
    d_lookup_done(owner.get());
    run_together(1, [&](int) { owner.reset(); });
    expect_one_in_use(mount);
    EXPECT_THAT(warnings.take(),
                ElementsAre(AllOf(HasSubstr("\"held\""), HasSubstr("d_alloc_noblock_blocker()"))));
    drop_and_shut_down(mount, second);
}

TEST_F(BadUse, WhatIsOwedIsSaidWhenSomebodyWaitsForEver)
{
    qstr name = unhashed_name("name");
    dentry_ref owner = adopt_dentry(d_alloc_noblock(root, &name));
    dentry *blocker;
    char owed[400];

    ASSERT_EQ(PTR_ERR(d_alloc_noblock_return(root, &name, &blocker)), -EWOULDBLOCK);
    describe_open_obligations(owed, sizeof(owed));
    EXPECT_THAT(owed, AllOf(HasSubstr("\"name\": thread "),
                            HasSubstr("from d_alloc_noblock(): d_lookup_done() must follow"),
                            HasSubstr("by d_alloc_noblock_return(): whoever gets a blocker")));
    d_lookup_done(owner.get());
    dput(blocker);
    describe_open_obligations(owed, sizeof(owed));
    EXPECT_STREQ(owed, "");
}

TEST_F(BadUse, ALookupThatIsOverIsNotHeldAgainstItsDentry)
{
    super_block *mount = make_super_block();
    qstr name = unhashed_name("held");
    dentry *busy = d_alloc_noblock(mount->s_root, &name);

    d_add(busy, nullptr);
    expect_one_in_use(mount);
    EXPECT_THAT(warnings.take(),
                ElementsAre(AllOf(HasSubstr("still in use"), Not(HasSubstr("d_lookup_done")))));
    d_drop(busy);
    drop_and_shut_down(mount, busy);
}

class BadOrder : public vfs_fixture
{
  protected:
    vfs_config config() const override
    {
        vfs_config config = vfs_fixture::config();
        config.lookup_outside_rwsem = true;
        return config;
    }
    /// Drops what start_creating() or one of its family gave out, without its end_ function. What
    /// is said to that.
    auto forget(dentry *child) __context_unsafe("start_creating() has locked it")
    {
        inode_unlock(d_inode(root));
        dput(child);
        return warnings.take();
    }
};

TEST_F(BadOrder, DAllocParallelUnderTheDirectorysLockIsReported)
{
    inode_lock(d_inode(root));
    dentry_ref fresh = allocate_parallel(root, "name");
    inode_unlock(d_inode(root));
    d_lookup_done(fresh.get());
    EXPECT_THAT(warnings.take(),
                ElementsAre(AllOf(HasSubstr("thread "), HasSubstr("d_alloc_parallel()"),
                                  HasSubstr("\"name\""), HasSubstr("i_rwsem"))));
}

TEST_F(BadOrder, AnotherDirectorysLockIsNobodysBusiness)
{
    dentry_ref other = make_directory(root, "other");

    inode_lock(d_inode(other.get()));
    dentry_ref fresh = allocate_parallel(root, "name");
    inode_unlock(d_inode(other.get()));
    d_lookup_done(fresh.get());
}

TEST_F(BadOrder, NoblockMayBeCalledUnderIt)
{
    qstr name = unhashed_name("name");

    inode_lock(d_inode(root));
    dentry_ref fresh = adopt_dentry(d_alloc_noblock(root, &name));
    inode_unlock(d_inode(root));
    d_lookup_done(fresh.get());
}

TEST_F(BadOrder, AForgottenLookupIsReportedByTheFunctionThatWasCalled)
{
    dentry_ref file = make_file(root, "file");
    renamedata rd = {root, nullptr, root, nullptr, 0};
    const auto names = [](const char *function) {
        return ElementsAre(AllOf(HasSubstr("dies in lookup"), HasSubstr(function)));
    };
    qstr name = unhashed_name("name"), again = unhashed_name("name");
    qstr old_name = name_below(root, "file");

    on_lookup = [](auto...) -> dentry * { return nullptr; };
    EXPECT_THAT(forget(start_creating(root, &name)), names("from start_creating()"));
    EXPECT_THAT(forget(start_creating_noperm(root, &name)), names("from start_creating_noperm()"));
    EXPECT_THAT(forget(start_dirop(root, &name, LOOKUP_CREATE)), names("from start_dirop()"));
    ASSERT_EQ(start_renaming(&rd, 0, &old_name, &name), 0);
    dput(rd.old_dentry);
    dput(rd.old_parent);
    EXPECT_THAT(forget(rd.new_dentry), names("from start_renaming()"));
    ASSERT_EQ(start_renaming_dentry(&rd, 0, file.get(), &again), 0);
    dput(rd.old_dentry);
    dput(rd.old_parent);
    EXPECT_THAT(forget(rd.new_dentry), names("from start_renaming_dentry()"));
}

TEST_F(BadOrder, LookupOneQstrExclDoesNotProtectItsName)
{
    qstr name = name_below(root, "name");

    inode_lock(d_inode(root));
    dput(lookup_one_qstr_excl(&name, root, LOOKUP_CREATE));
    inode_unlock(d_inode(root));
    EXPECT_THAT(warnings.take(),
                ElementsAre(AllOf(HasSubstr("lookup_one_qstr_excl()"), HasSubstr("\"name\""))));
}

// --- Eras with a caller's queue have none of it ---

TEST_F(BadUse, ErasWithACallersQueueHaveNoneOfThem)
{
    dentry_ref file = make_file(root, "file");
    qstr name = name_below(root, "name");
    dentry *blocker;

    ASSERT_EQ(set_lookup_era(ERA_6_0), 0);
    for (const noblock_form &form : forms)
        EXPECT_EQ(PTR_ERR(form.call(root, &name, &blocker)), -EOPNOTSUPP) << form.name;
    EXPECT_EQ(PTR_ERR(d_duplicate(file.get())), -EOPNOTSUPP);
    EXPECT_EQ(PTR_ERR(lookup_one_qstr(&name, root, 0)), -EOPNOTSUPP);
    EXPECT_EQ(warnings.take().size(), 6u);
    ASSERT_EQ(set_lookup_era(ERA_7_2), 0);
}

// --- d_duplicate() ---

using Duplicate = vfs_fixture;

TEST_F(Duplicate, TheTwinIsInLookupAndTheOriginalIsWhatIsFound)
{
    dentry_ref file = make_file(root, "file");
    inode_lock(d_inode(root));
    dentry_ref twin = adopt_dentry(d_duplicate(file.get()));

    EXPECT_NE(twin, file);
    EXPECT_TRUE(d_in_lookup(twin.get()));
    EXPECT_EQ(d_count(twin.get()), 1);
    EXPECT_EQ(name_of(twin.get()), "file");
    EXPECT_EQ(parent_of(twin.get()), root);
    EXPECT_EQ(cached(root, "file"), file);
    EXPECT_EQ(allocate_parallel(root, "file"), file) << "the hash comes before the table";
    d_lookup_done(twin.get());
    inode_unlock(d_inode(root));
    EXPECT_EQ(cached(root, "file"), file);
}

TEST_F(Duplicate, WhenTheOriginalHasMovedTheTwinTakesTheName)
{
    dentry_ref file = make_file(root, long_name);
    dentry_ref aside = make_negative(root, "aside");

    inode_lock(d_inode(root));
    dentry_ref twin = adopt_dentry(d_duplicate(file.get()));
    d_move(file.get(), aside.get());
    EXPECT_EQ(d_splice_alias(file_inode(), twin.get()), nullptr);
    inode_unlock(d_inode(root));
    EXPECT_EQ(cached(root, "aside"), file);
    EXPECT_EQ(cached(root, long_name), twin);
}

TEST_F(Duplicate, WantsAHashedPositiveOriginal)
{
    dentry_ref miss = make_negative(root, "miss");

    inode_lock(d_inode(root));
    dentry_ref twin = adopt_dentry(d_duplicate(miss.get()));
    inode_unlock(d_inode(root));
    d_lookup_done(twin.get());
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("d_is_negative")));
}

TEST_F(Duplicate, WithoutMemoryItFails)
{
    dentry_ref file = make_file(root, "file");

    kmem_fail_nth(1);
    EXPECT_EQ(PTR_ERR(d_duplicate(file.get())), -ENOMEM);
}

// --- lookup_one_qstr() ---

class LookupOneQstr : public vfs_fixture
{
  protected:
    dentry *look_up(const char *text, unsigned flags)
    {
        qstr name = name_below(root, text);
        dentry *found;

        inode_lock_shared(d_inode(root));
        found = lookup_one_qstr(&name, root, flags);
        inode_unlock_shared(d_inode(root));
        return found;
    }
};

TEST_F(LookupOneQstr, AsksTheFileSystemWithAnInLookupDentry)
{
    on_lookup = [this](inode *, dentry *dentry, unsigned flags) {
        EXPECT_TRUE(d_in_lookup(dentry));
        EXPECT_EQ(flags, unsigned{LOOKUP_REVAL});
        return d_splice_alias(file_inode(), dentry);
    };
    dentry_ref found = adopt_dentry(look_up("file", LOOKUP_REVAL));
    EXPECT_EQ(cached(root, "file"), found);
    EXPECT_EQ(look_up("file", LOOKUP_REVAL), found.get());
    dput(found.get());
}

TEST_F(LookupOneQstr, WithoutIntentTheLookupIsOver)
{
    on_lookup = [](auto...) -> dentry * { return nullptr; };
    EXPECT_EQ(PTR_ERR(look_up("left open", 0)), -ENOENT);
}

TEST_F(LookupOneQstr, WithAnIntentItMayBeTheCallersToEnd)
{
    on_lookup = [](auto...) -> dentry * { return nullptr; };
    for (unsigned intent : {unsigned{LOOKUP_CREATE}, LOOKUP_CREATE | LOOKUP_EXCL,
                            LOOKUP_CREATE | LOOKUP_RENAME_TARGET, LOOKUP_OPEN | LOOKUP_CREATE}) {
        dentry_ref found = adopt_dentry(look_up("left open", intent));
        EXPECT_TRUE(d_in_lookup(found.get())) << intent;
        d_lookup_done(found.get());
        d_lookup_done(found.get());
        EXPECT_FALSE(d_in_lookup(found.get()));
    }
}

TEST_F(LookupOneQstr, AnIntentThatMustFindSomethingEndsWithItsError)
{
    on_lookup = [](auto...) -> dentry * { return nullptr; };
    EXPECT_EQ(PTR_ERR(look_up("left open", LOOKUP_OPEN)), -ENOENT);
}

TEST_F(LookupOneQstr, TheFlagsDecideWhatIsAnError)
{
    make_file(root, "file").reset();
    make_negative(root, "miss").reset();

    EXPECT_EQ(PTR_ERR(look_up("miss", 0)), -ENOENT);
    EXPECT_EQ(PTR_ERR(look_up("file", LOOKUP_CREATE | LOOKUP_EXCL)), -EEXIST);
    dput(look_up("miss", LOOKUP_CREATE));
    dput(look_up("file", LOOKUP_CREATE));
}

TEST_F(LookupOneQstr, AFailureLeavesNothing)
{
    on_lookup = [](auto...) -> dentry * { return ERR_PTR(-EIO); };
    EXPECT_EQ(PTR_ERR(look_up("name", LOOKUP_CREATE)), -EIO);
    EXPECT_FALSE(is_cached(root, "name"));
}

TEST_F(LookupOneQstr, AnotherDentryReplacesTheOneAskedWith)
{
    dentry_ref other = make_file(root, "other");

    on_lookup = [&](auto...) { return dget(other.get()); };
    dentry_ref found = adopt_dentry(look_up("name", LOOKUP_CREATE));
    EXPECT_EQ(found, other);
}

TEST_F(LookupOneQstr, InARemovedDirectoryThereIsNothing)
{
    d_inode(root)->i_flags |= S_DEAD;
    EXPECT_EQ(PTR_ERR(look_up("name", LOOKUP_CREATE)), -ENOENT);
}

// --- dentry_still_valid() ---

using StillValid = vfs_fixture;

TEST_F(StillValid, ALookupOfOnesOwnIs)
{
    dentry_ref fresh = allocate_parallel(root, "name");
    qstr name = name_below(root, "name");

    EXPECT_TRUE(dentry_still_valid(fresh.get(), root, &name));
    d_lookup_done(fresh.get());
    EXPECT_FALSE(dentry_still_valid(fresh.get(), root, &name)) << "given up, and unhashed";
}

TEST_F(StillValid, AHashedOneIsUntilItMovesOrGoes)
{
    dentry_ref dir = make_directory(root, "dir");
    dentry_ref file = make_file(root, "file");
    dentry_ref there = make_negative(dir.get(), "file");
    dentry_ref elsewhere = make_negative(root, "elsewhere");
    qstr name = name_below(root, "file");
    qstr in_dir = name_below(dir.get(), "file");
    qstr new_name = name_below(root, "elsewhere");

    EXPECT_TRUE(dentry_still_valid(file.get(), root, &name));
    d_move(file.get(), there.get());
    EXPECT_FALSE(dentry_still_valid(file.get(), root, &name));
    EXPECT_TRUE(dentry_still_valid(file.get(), dir.get(), &in_dir));
    d_move(file.get(), elsewhere.get());
    EXPECT_FALSE(dentry_still_valid(file.get(), dir.get(), &in_dir));
    EXPECT_FALSE(dentry_still_valid(file.get(), root, &name));
    EXPECT_TRUE(dentry_still_valid(file.get(), root, &new_name));
    d_drop(file.get());
    EXPECT_FALSE(dentry_still_valid(file.get(), root, &new_name));
}

// --- Hashed negatives at the end of a lookup ---

class SpliceHashed : public vfs_fixture
{
  protected:
    vfs_config config() const override
    {
        vfs_config config = vfs_fixture::config();
        config.splice_hashed = true;
        return config;
    }
};

TEST_F(SpliceHashed, AHashedNegativeGetsItsInode)
{
    dentry_ref miss = make_negative(root, "name");

    EXPECT_EQ(d_splice_alias(file_inode(), miss.get()), nullptr);
    EXPECT_TRUE(d_is_positive(miss.get()));
    EXPECT_EQ(cached(root, "name"), miss);
    d_drop(miss.get());
    EXPECT_FALSE(is_cached(root, "name")) << "it was in the hash once";
}

TEST_F(SpliceHashed, AndDAddDoesTheSame)
{
    dentry_ref miss = make_negative(root, "name");

    d_add(miss.get(), nullptr);
    d_add(miss.get(), file_inode());
    EXPECT_TRUE(d_is_positive(miss.get()));
    d_drop(miss.get());
    EXPECT_FALSE(is_cached(root, "name"));
}

TEST_F(SpliceHashed, TheCountOfUnusedNegativesFollows)
{
    dentry *miss = leave_negative(root, "name");
    counter_change negatives(NR_DENTRY_NEGATIVE);
    dentry_ref used = cached(root, "name");

    ASSERT_EQ(used.get(), miss);
    ASSERT_TRUE(has_flag(miss, DCACHE_LRU_LIST));
    EXPECT_EQ(d_splice_alias(file_inode(), miss), nullptr);
    EXPECT_EQ(negatives.value(), -1);
}

TEST_F(SpliceHashed, ADirectoryKnownElsewhereMovesOntoIt)
{
    inode *inode = directory_inode();
    dentry_ref old_place = make_child(root, "old", inode);
    dentry_ref miss = make_negative(root, "new");

    ihold(inode);
    dentry_ref moved = adopt_dentry(d_splice_alias(inode, miss.get()));
    EXPECT_EQ(moved, old_place);
    EXPECT_EQ(cached(root, "new"), old_place);
    EXPECT_TRUE(d_unhashed(miss.get()));
}

using SpliceHashedV3 = vfs_fixture;

TEST_F(SpliceHashedV3, TheDraftTakesThemWithoutBeingAsked)
{
    dentry_ref miss = make_negative(root, "name");

    ASSERT_EQ(set_lookup_era(ERA_V3), 0);
    EXPECT_EQ(d_splice_alias(file_inode(), miss.get()), nullptr);
    EXPECT_TRUE(d_is_positive(miss.get()));
    ASSERT_EQ(set_lookup_era(ERA_7_2), 0);
}

using SpliceHashedDeathTest = SpliceHashed;

TEST_F(SpliceHashedDeathTest, AHashedPositiveIsStillABug)
{
    dentry_ref file = make_file(root, "file");

    EXPECT_DEATH(d_splice_alias(nullptr, file.get()), "d_unhashed");
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
