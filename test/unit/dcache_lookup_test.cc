// SPDX-License-Identifier: GPL-2.0-only
//
// Finding dentries in the hash, and getting them in and out of it.
#include <vector>

#include <gtest/gtest.h>

#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using DLookup = vfs_fixture;
using DHashAndLookup = vfs_fixture;
using DDrop = vfs_fixture;
using DRehash = vfs_fixture;

// --- d_lookup(), __d_lookup() ---

TEST_F(DLookup, AHitComesWithAReference)
{
    dentry_ref file = make_file(root, "file");

    dentry_ref found = cached(root, "file");
    EXPECT_EQ(found, file);
    EXPECT_EQ(d_count(file.get()), 2);
}

TEST_F(DLookup, AMissIsNull)
{
    make_file(root, "file");
    EXPECT_EQ(cached(root, "other"), nullptr);
}

TEST_F(DLookup, AHitMayBeNegative)
{
    dentry_ref absent = make_negative(root, "absent");

    dentry_ref found = cached(root, "absent");
    EXPECT_EQ(found, absent);
    EXPECT_TRUE(d_is_negative(found.get()));
}

TEST_F(DLookup, WhatIsNotHashedIsNotFound)
{
    dentry_ref unhashed = make_unhashed(root, "name");

    EXPECT_FALSE(is_cached(root, "name"));
}

TEST_F(DLookup, TheSameNameElsewhereIsAnotherEntry)
{
    dentry_ref a = make_directory(root, "a");
    dentry_ref b = make_directory(root, "b");
    dentry_ref in_a = make_file(a.get(), "name");
    dentry_ref in_b = make_file(b.get(), "name");

    EXPECT_EQ(cached(a.get(), "name"), in_a);
    EXPECT_EQ(cached(b.get(), "name"), in_b);
    EXPECT_FALSE(is_cached(root, "name"));
}

// The test's four buckets make every chain long.
TEST_F(DLookup, EveryNameOnALongChainIsFound)
{
    std::vector<dentry_ref> files;

    for (int i = 0; i < 200; i++)
        files.push_back(make_file(root, "file" + std::to_string(i)));
    for (int i = 0; i < 200; i++)
        EXPECT_EQ(cached(root, "file" + std::to_string(i)), files[i]);
    EXPECT_FALSE(is_cached(root, "file200"));
}

TEST_F(DLookup, LongNamesAreFoundAndToldApart)
{
    std::string sibling = long_name;
    sibling.back() = 'x';
    dentry_ref file = make_file(root, long_name);

    EXPECT_EQ(cached(root, long_name), file);
    EXPECT_FALSE(is_cached(root, sibling));
    EXPECT_FALSE(is_cached(root, long_name.substr(1)));
    EXPECT_FALSE(is_cached(root, long_name + "l"));
}

TEST_F(DLookup, NamesWithOneHashAreToldApartByTheirText)
{
    callbacks.hash = hash_by_length;
    set_default_d_op(sb, callbacks.table());
    dentry_ref directory = make_directory(root, "d");
    dentry_ref one = make_file(directory.get(), "one");
    dentry_ref two = make_file(directory.get(), "two");

    ASSERT_EQ(one->d_name.hash(), two->d_name.hash());
    EXPECT_EQ(cached(directory.get(), "one"), one);
    EXPECT_EQ(cached(directory.get(), "two"), two);
    EXPECT_FALSE(is_cached(directory.get(), "six"));
}

TEST_F(DLookup, CompareDecidesWhatMatches)
{
    callbacks.hash = hash_by_length;
    callbacks.compare = compare_ignoring_case;
    set_default_d_op(sb, callbacks.table());
    dentry_ref directory = make_directory(root, "d");
    dentry_ref file = make_file(directory.get(), "Name");

    EXPECT_EQ(cached(directory.get(), "nAME"), file);
    EXPECT_FALSE(is_cached(directory.get(), "Nama"));
}

// A count of 0 is not dead: the entry waits on the LRU for its next user and stays there meanwhile.
TEST_F(DLookup, AnUnusedEntryIsRevived)
{
    dentry *file = leave_file(root, "file");
    ASSERT_EQ(d_count(file), 0);

    dentry_ref found = cached(root, "file");
    EXPECT_EQ(found.get(), file);
    EXPECT_EQ(d_count(file), 1);
    EXPECT_TRUE(has_flag(file, DCACHE_LRU_LIST));
    EXPECT_EQ(lru_length(), 1);
}

TEST_F(DLookup, TheRacyFormFindsTheSameWhenNothingMoves)
{
    dentry_ref file = make_file(root, "file");
    qstr name = name_below(root, "file");
    qstr missing = name_below(root, "missing");

    dentry_ref found = adopt_dentry(__d_lookup(root, &name));
    EXPECT_EQ(found, file);
    EXPECT_EQ(d_count(file.get()), 2);
    EXPECT_EQ(__d_lookup(root, &missing), nullptr);
}

TEST_F(DLookup, LeavesNoLockBehind)
{
    dentry_ref file = make_file(root, "file");

    is_cached(root, "file");
    is_cached(root, "missing");
    EXPECT_FALSE(spin_is_locked(&file->d_lock));
    EXPECT_FALSE(rcu_read_lock_held());
}

// --- __d_lookup_rcu() ---

class DLookupRcu : public vfs_fixture
{
  protected:
    struct hit {
        dentry *found;
        unsigned seq;
    };

    /// The dentry is only good for questions to its memory: RCU is over on return. The tests hold
    /// references of their own.
    static hit look(dentry *parent, std::string_view text)
    {
        qstr name = name_below(parent, text);
        hit result = {nullptr, 0};

        rcu_read_guard guard;
        result.found = __d_lookup_rcu(parent, &name, &result.seq);
        return result;
    }

    static bool is_stale(const hit &hit)
    {
        return read_seqcount_retry(&hit.found->d_seq, hit.seq);
    }
};

TEST_F(DLookupRcu, AHitHasASequenceAndNoReference)
{
    dentry_ref file = make_file(root, "file");

    hit result = look(root, "file");
    EXPECT_EQ(result.found, file.get());
    EXPECT_EQ(result.seq, sequence_of(file.get()));
    EXPECT_EQ(d_count(file.get()), 1);
    EXPECT_FALSE(is_stale(result));
}

TEST_F(DLookupRcu, AMissIsNull)
{
    dentry_ref unhashed = make_unhashed(root, "unhashed");

    EXPECT_EQ(look(root, "missing").found, nullptr);
    EXPECT_EQ(look(root, "unhashed").found, nullptr);
}

TEST_F(DLookupRcu, FindsEveryNameOnALongChain)
{
    std::vector<dentry_ref> files;

    for (int i = 0; i < 100; i++)
        files.push_back(make_file(root, "file" + std::to_string(i)));
    for (int i = 0; i < 100; i++)
        EXPECT_EQ(look(root, "file" + std::to_string(i)).found, files[i].get());
}

TEST_F(DLookupRcu, TellsNamesAndParentsApart)
{
    dentry_ref a = make_directory(root, "a");
    dentry_ref in_a = make_file(a.get(), long_name);

    EXPECT_EQ(look(a.get(), long_name).found, in_a.get());
    EXPECT_EQ(look(root, long_name).found, nullptr);
    EXPECT_EQ(look(a.get(), long_name.substr(1)).found, nullptr);
}

// Names are hashed with their parent as a salt, unless the file system hashes them itself.
TEST_F(DLookupRcu, TellsParentsApartThatGiveAnEqualHash)
{
    callbacks.hash = hash_by_length;
    set_default_d_op(sb, callbacks.table());
    dentry_ref a = make_directory(root, "a");
    dentry_ref b = make_directory(root, "b");
    dentry_ref in_a = make_file(a.get(), "name");
    dentry_ref in_b = make_file(b.get(), "name");

    EXPECT_EQ(look(a.get(), "name").found, in_a.get());
    EXPECT_EQ(look(b.get(), "name").found, in_b.get());
    EXPECT_EQ(cached(a.get(), "name"), in_a);
    EXPECT_EQ(cached(b.get(), "name"), in_b);
}

/// What a walker sees who already stood on the node when the dentry was dropped, and samples the
/// sequence count after that: no longer hashed, and no change of the count to come.
class standing_on_dropped
{
  public:
    explicit standing_on_dropped(dentry *dentry)
        : dentry_(dentry), pprev_(READ_ONCE(dentry->d_hash.pprev))
    {
        WRITE_ONCE(dentry->d_hash.pprev, nullptr);
        write_seqcount_invalidate(&dentry->d_seq);
    }
    ~standing_on_dropped()
    {
        WRITE_ONCE(dentry_->d_hash.pprev, pprev_);
    }
    standing_on_dropped(const standing_on_dropped &) = delete;
    standing_on_dropped &operator=(const standing_on_dropped &) = delete;

  private:
    dentry *dentry_;
    once<hlist_bl_node *> *pprev_;
};

TEST_F(DLookupRcu, WhatWasDroppedUnderTheWalkerIsNoHit)
{
    dentry_ref older = make_file(root, "file");
    dentry_ref file = make_file(root, "file");

    ASSERT_EQ(look(root, "file").found, file.get());
    standing_on_dropped dropped(file.get());
    EXPECT_EQ(look(root, "file").found, older.get());
    EXPECT_EQ(cached(root, "file"), older);
}

TEST_F(DLookupRcu, NorIsItWhereTheFileSystemCompares)
{
    callbacks.compare = compare_ignoring_case;
    set_default_d_op(sb, callbacks.table());
    dentry_ref directory = make_directory(root, "d");
    dentry_ref file = make_file(directory.get(), "file");

    ASSERT_EQ(look(directory.get(), "file").found, file.get());
    standing_on_dropped dropped(file.get());
    EXPECT_EQ(look(directory.get(), "file").found, nullptr);
}

TEST_F(DLookupRcu, ADropSpoilsTheHit)
{
    dentry_ref file = make_file(root, "file");

    hit result = look(root, "file");
    d_drop(file.get());
    EXPECT_TRUE(is_stale(result));
}

TEST_F(DLookupRcu, AMoveSpoilsTheHit)
{
    dentry_ref file = make_file(root, "file");
    dentry_ref target = make_unhashed(root, "target");

    hit result = look(root, "file");
    d_move(file.get(), target.get());
    EXPECT_TRUE(is_stale(result));
    EXPECT_EQ(look(root, "target").found, file.get());
}

TEST_F(DLookupRcu, TurningNegativeSpoilsTheHit)
{
    dentry_ref file = make_file(root, "file");

    hit result = look(root, "file");
    d_delete(file.get());
    EXPECT_TRUE(is_stale(result));
}

TEST_F(DLookupRcu, TurningPositiveSpoilsTheHit)
{
    dentry_ref file = make_negative(root, "file");

    hit result = look(root, "file");
    d_instantiate(file.get(), file_inode());
    EXPECT_TRUE(is_stale(result));
}

// What a walker was promised is parent, name, inode and not having been dropped; no more than that.
TEST_F(DLookupRcu, ReferencesDoNotSpoilTheHit)
{
    dentry_ref file = make_file(root, "file");

    hit result = look(root, "file");
    dentry_ref second = cached(root, "file");
    second.reset();
    EXPECT_FALSE(is_stale(result));
}

// It must not wait for a rename, so it may return a dentry caught in one; the check then fails.
TEST_F(DLookupRcu, ADentryInsideAWriteSectionIsCertainToFailTheCheck)
{
    dentry_ref file = make_file(root, "file");
    dentry *raw = file.get();

    spin_lock(&raw->d_lock);
    write_seqcount_begin(&raw->d_seq);
    hit result = look(root, "file");
    EXPECT_EQ(result.found, raw);
    EXPECT_EQ(result.seq & 1, 0u);
    EXPECT_TRUE(is_stale(result));
    write_seqcount_end(&raw->d_seq);
    spin_unlock(&raw->d_lock);
    EXPECT_TRUE(is_stale(result));
}

TEST_F(DLookupRcu, CompareDecidesWhatMatches)
{
    std::string seen;
    callbacks.hash = hash_by_length;
    callbacks.compare = [&](const dentry *dentry, unsigned length, const char *text,
                            const qstr *name) {
        seen.assign(text, length);
        return compare_ignoring_case(dentry, length, text, name);
    };
    set_default_d_op(sb, callbacks.table());
    dentry_ref directory = make_directory(root, "d");
    dentry_ref file = make_file(directory.get(), "Name");
    dentry_ref dropped = make_unhashed(directory.get(), "Gone");

    hit result = look(directory.get(), "nAME");
    EXPECT_EQ(result.found, file.get());
    EXPECT_EQ(result.seq, sequence_of(file.get()));
    EXPECT_EQ(seen, "Name");
    EXPECT_EQ(look(directory.get(), "other").found, nullptr);
    EXPECT_EQ(look(directory.get(), "gone").found, nullptr);
}

TEST_F(DLookupRcu, CompareIsAskedOnlyAboutChildrenOfTheParentWithTheHash)
{
    int asked = 0;
    callbacks.hash = hash_by_length;
    callbacks.compare = [&](const dentry *, unsigned, const char *, const qstr *) {
        asked++;
        return 1;
    };
    set_default_d_op(sb, callbacks.table());
    dentry_ref a = make_directory(root, "a");
    dentry_ref b = make_directory(root, "b");
    dentry_ref in_a = make_file(a.get(), "name");
    dentry_ref longer = make_file(b.get(), "longer");

    EXPECT_EQ(look(b.get(), "name").found, nullptr);
    EXPECT_EQ(asked, 0);
}

// --- d_hash_and_lookup() ---

TEST_F(DHashAndLookup, HashesTheNameItself)
{
    dentry_ref file = make_file(root, "file");
    qstr name = make_qstr("file", 4);

    dentry_ref found = adopt_dentry(d_hash_and_lookup(root, &name));
    EXPECT_EQ(found, file);
    EXPECT_EQ(name.hash, full_name_hash(root, "file", 4));
    EXPECT_EQ(d_count(file.get()), 2);
}

TEST_F(DHashAndLookup, AMissIsNull)
{
    qstr name = make_qstr("missing", 7);

    EXPECT_EQ(d_hash_and_lookup(root, &name), nullptr);
}

TEST_F(DHashAndLookup, AsksTheFileSystemWithTheStandardHashFilledIn)
{
    u32 standard = 0;
    callbacks.hash = [&](const dentry *dir, qstr *name) {
        standard = name->hash;
        return hash_by_length(dir, name);
    };
    set_default_d_op(sb, callbacks.table());
    dentry_ref directory = make_directory(root, "d");
    dentry_ref file = make_file(directory.get(), "file");
    qstr name = make_qstr("file", 4);

    EXPECT_EQ(adopt_dentry(d_hash_and_lookup(directory.get(), &name)), file);
    EXPECT_EQ(standard, full_name_hash(directory.get(), "file", 4));
    EXPECT_EQ(name.hash, 4u);
}

TEST_F(DHashAndLookup, AnErrorOfTheHashCallbackIsTheAnswer)
{
    callbacks.hash = [](const dentry *, qstr *) { return -ENAMETOOLONG; };
    set_default_d_op(sb, callbacks.table());
    dentry_ref directory = adopt_dentry(d_alloc_name(root, "d"));
    d_add(directory.get(), directory_inode());
    qstr name = make_qstr("file", 4);

    dentry *found = d_hash_and_lookup(directory.get(), &name);
    ASSERT_TRUE(IS_ERR(found));
    EXPECT_EQ(PTR_ERR(found), -ENAMETOOLONG);
}

// --- d_drop() ---

TEST_F(DDrop, ADroppedEntryIsNotFoundAgain)
{
    dentry_ref file = make_file(root, "file");

    d_drop(file.get());
    EXPECT_TRUE(d_unhashed(file.get()));
    EXPECT_TRUE(d_unlinked(file.get()));
    EXPECT_FALSE(is_cached(root, "file"));
}

TEST_F(DDrop, ItsUsersKeepIt)
{
    dentry_ref directory = make_directory(root, "d");
    dentry_ref child = make_file(directory.get(), "child");
    inode *inode = d_inode(directory.get());

    d_drop(directory.get());
    EXPECT_EQ(d_inode(directory.get()), inode);
    EXPECT_EQ(parent_of(directory.get()), root);
    EXPECT_EQ(d_count(directory.get()), 2);
    EXPECT_FALSE(d_unhashed(child.get()));
    EXPECT_EQ(cached(directory.get(), "child"), child);
}

TEST_F(DDrop, ChangesTheSequenceWithoutAnOddPhase)
{
    dentry_ref file = make_file(root, "file");
    unsigned before = sequence_of(file.get());

    d_drop(file.get());
    EXPECT_EQ(sequence_of(file.get()), before + 2);
    EXPECT_EQ(sequence_of(file.get()) & 1, 0u);
}

TEST_F(DDrop, DroppingTwiceChangesNothing)
{
    dentry_ref file = make_file(root, "file");

    d_drop(file.get());
    unsigned before = sequence_of(file.get());
    d_drop(file.get());
    EXPECT_EQ(sequence_of(file.get()), before);
}

TEST_F(DDrop, OthersOnTheChainStay)
{
    std::vector<dentry_ref> files;

    for (int i = 0; i < 50; i++)
        files.push_back(make_file(root, "file" + std::to_string(i)));
    for (int i = 0; i < 50; i += 2)
        d_drop(files[i].get());
    for (int i = 0; i < 50; i++)
        EXPECT_EQ(is_cached(root, "file" + std::to_string(i)), i % 2 == 1) << i;
}

TEST_F(DDrop, TheUnlockedFormIsForHoldersOfTheLock)
{
    dentry_ref file = make_file(root, "file");
    dentry *raw = file.get();

    spin_lock(&raw->d_lock);
    __d_drop(raw);
    EXPECT_TRUE(spin_is_locked(&raw->d_lock));
    spin_unlock(&raw->d_lock);
    EXPECT_TRUE(d_unhashed(raw));
}

// ___d_drop() is half of a move: off the chain, but not "unhashed" in between.
TEST_F(DDrop, TheHalfUsedByMovesDoesNotUnhash)
{
    dentry_ref file = make_file(root, "file");
    dentry *raw = file.get();
    unsigned before = sequence_of(raw);

    spin_lock(&raw->d_lock);
    ___d_drop(raw);
    EXPECT_FALSE(d_unhashed(raw));
    EXPECT_EQ(sequence_of(raw), before);
    __d_rehash(raw);
    spin_unlock(&raw->d_lock);
    EXPECT_TRUE(is_cached(root, "file"));
}

// --- d_rehash() ---

TEST_F(DRehash, MakesAnEntryFindableAgain)
{
    dentry_ref file = make_file(root, "file");

    d_drop(file.get());
    d_rehash(file.get());
    EXPECT_FALSE(d_unhashed(file.get()));
    EXPECT_EQ(cached(root, "file"), file);
}

TEST_F(DRehash, DoesNotTouchTheSequence)
{
    dentry_ref file = make_unhashed(root, "file");
    unsigned before = sequence_of(file.get());

    d_rehash(file.get());
    EXPECT_EQ(sequence_of(file.get()), before);
}

TEST_F(DRehash, TakesNoReferenceAndNoInode)
{
    dentry_ref file = make_unhashed(root, "file");

    d_rehash(file.get());
    EXPECT_EQ(d_count(file.get()), 1);
    EXPECT_TRUE(d_is_negative(file.get()));
}

// It does not look for an equal entry; keeping names unique is the caller's business.
TEST_F(DRehash, TheNewestOfTwoEqualEntriesIsFound)
{
    dentry_ref older = make_file(root, "name");
    dentry_ref newer = make_unhashed(root, "name");

    d_rehash(newer.get());
    EXPECT_EQ(cached(root, "name"), newer);
    d_drop(newer.get());
    EXPECT_EQ(cached(root, "name"), older);
}

// --- Buckets ---

class DentryHash : public vfs_fixture, public ::testing::WithParamInterface<unsigned long>
{
  protected:
    vfs_config config() const override
    {
        vfs_config config = vfs_fixture::config();
        config.dhash_entries = GetParam();
        return config;
    }
};

TEST_P(DentryHash, EveryEntryIsFoundWhateverTheNumberOfBuckets)
{
    std::vector<dentry_ref> files;

    for (int i = 0; i < 64; i++)
        files.push_back(make_file(root, std::to_string(i)));
    for (int i = 0; i < 64; i++)
        EXPECT_EQ(cached(root, std::to_string(i)), files[i]);
    for (int i = 0; i < 64; i++)
        d_drop(files[i].get());
    for (int i = 0; i < 64; i++)
        EXPECT_FALSE(is_cached(root, std::to_string(i)));
}

INSTANTIATE_TEST_SUITE_P(Sizes, DentryHash, ::testing::Values(2ul, 3ul, 4ul, 1000ul, 65536ul));

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
