// SPDX-License-Identifier: GPL-2.0-only
//
// Names of dentries: where they live, how they are compared, copied, exchanged and snapshot.
#include <memory>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using DentryName = vfs_fixture;
using DentryCmp = vfs_fixture;
using NameSnapshot = vfs_fixture;

int users_of_external_name(const dentry *dentry)
{
    return atomic_read(&external_name(dentry)->count);
}

// --- Storage ---

TEST_F(DentryName, UpTo39BytesLiveInTheDentry)
{
    for (unsigned length : {1u, 7u, 8u, 9u, 38u, 39u}) {
        std::string text(length, 'n');
        dentry_ref child = make_unhashed(root, text);
        EXPECT_FALSE(dname_external(child.get())) << length;
        EXPECT_EQ(name_of(child.get()), text);
        EXPECT_EQ(child->d_name.len(), length);
    }
}

TEST_F(DentryName, From40BytesOnTheyLiveInABlockOfTheirOwn)
{
    for (unsigned length : {40u, 41u, 47u, 48u, 255u}) {
        std::string text(length, 'n');
        long blocks = kmalloc_objects();
        dentry_ref child = make_unhashed(root, text);
        EXPECT_TRUE(dname_external(child.get())) << length;
        EXPECT_EQ(name_of(child.get()), text);
        EXPECT_EQ(child->d_name.len(), length);
        EXPECT_EQ(users_of_external_name(child.get()), 1);
        EXPECT_EQ(kmalloc_objects(), blocks + 1);
    }
}

TEST_F(DentryName, TheTextIsCopied)
{
    for (size_t length : {10u, 60u}) {
        std::string text(length, 'n');
        qstr name = name_below(root, text);
        dentry_ref child = adopt_dentry(d_alloc(root, &name));
        text.assign(length, 'x');
        EXPECT_EQ(name_of(child.get()), std::string(length, 'n'));
    }
}

TEST_F(DentryName, ABlockGoesWithItsDentry)
{
    long blocks = kmalloc_objects();

    make_unhashed(root, long_name).reset();
    rcu_barrier();
    EXPECT_EQ(kmalloc_objects(), blocks);
}

// Renames copy whole words of the inline name, so its last byte must never be anything but NUL.
TEST_F(DentryName, TheLastInlineByteIsAlwaysNul)
{
    for (size_t length : {1u, 39u, 60u}) {
        dentry_ref child = make_unhashed(root, std::string(length, 'n'));
        EXPECT_EQ(child->d_shortname.string()[DNAME_INLINE_LEN - 1], 0) << length;
    }
}

// Word-wise comparison looks at the whole word that holds the NUL.
TEST_F(DentryName, TheLastWordOfABlockIsFilledWithNuls)
{
    for (unsigned length = 40; length <= 48; length++) {
        dentry_ref child = make_unhashed(root, std::string(length, 'n'));
        const unsigned char *text = external_name(child.get())->text();
        for (unsigned i = length; i % sizeof(unsigned long) || i == length; i++)
            EXPECT_EQ(text[i], 0) << length << " byte " << i;
    }
}

TEST_F(DentryName, ConstantNamesAreWhatTheySay)
{
    EXPECT_EQ(text_of(empty_name), "");
    EXPECT_EQ(text_of(slash_name), "/");
    EXPECT_EQ(text_of(dotdot_name), "..");
}

TEST_F(DentryName, MakeQstrLeavesTheHashToOthers)
{
    qstr name = make_qstr("name", 3);

    EXPECT_EQ(text_of(name), "nam");
    EXPECT_EQ(name.hash, 0u);
}

TEST_F(DentryName, MakeHashedQstrSaltsWithTheParent)
{
    dentry_ref directory = make_directory(root, "d");

    EXPECT_EQ(make_hashed_qstr(root, "name", 4).hash, full_name_hash(root, "name", 4));
    EXPECT_EQ(make_hashed_qstr(root, "name", 4).len, 4u);
    EXPECT_NE(make_hashed_qstr(root, "name", 4).hash,
              make_hashed_qstr(directory.get(), "name", 4).hash);
}

TEST_F(DentryName, HashAndLengthShareOneWord)
{
    qstr name;

    name.hash_len = hashlen_create(0x12345678, 9);
    EXPECT_EQ(name.hash, 0x12345678u);
    EXPECT_EQ(name.len, 9u);
    dentry_ref child = make_unhashed(root, "nine byte");
    EXPECT_EQ(READ_ONCE(child->d_name.hash_len), name_below(root, "nine byte").hash_len);
    EXPECT_EQ(child->d_name.hash(), name_below(root, "nine byte").hash);
}

TEST_F(DentryName, SetInlineNameKeepsTheHash)
{
    dentry_ref child = make_unhashed(root, "before and longer");
    u32 hash = child->d_name.hash();
    qstr name = make_qstr("after", 5);

    spin_lock(&child->d_lock);
    set_inline_name(child.get(), &name);
    spin_unlock(&child->d_lock);
    EXPECT_EQ(name_of(child.get()), "after");
    EXPECT_EQ(child->d_name.len(), 5u);
    EXPECT_EQ(child->d_name.hash(), hash);
}

// --- Comparison ---

/// The bytes on the heap with nothing behind them: AddressSanitizer sees who reads on.
std::unique_ptr<unsigned char[]> exact_copy(const std::string &text)
{
    std::unique_ptr<unsigned char[]> copy(new unsigned char[text.size()]);

    memcpy(copy.get(), text.data(), text.size());
    return copy;
}

TEST_F(DentryCmp, EqualTextsOfAnyLengthCompareEqual)
{
    for (unsigned length = 1; length <= 100; length++) {
        std::string text(length, 'n');
        dentry_ref child = make_unhashed(root, text);
        EXPECT_EQ(dentry_cmp(child.get(), exact_copy(text).get(), length), 0) << length;
    }
}

TEST_F(DentryCmp, OneDifferentByteAnywhereIsNoticed)
{
    for (unsigned length : {1u, 7u, 8u, 9u, 16u, 39u, 40u, 63u}) {
        std::string text(length, 'n');
        dentry_ref child = make_unhashed(root, text);
        for (unsigned at = 0; at < length; at++) {
            std::string other = text;
            other[at] = 'm';
            EXPECT_NE(dentry_cmp(child.get(), exact_copy(other).get(), length), 0)
                << "length " << length << " byte " << at;
        }
    }
}

TEST_F(DentryCmp, UnalignedTextsAreRead)
{
    std::string text = "a name that is longer than two words";
    dentry_ref child = make_unhashed(root, text);

    for (size_t offset = 0; offset < sizeof(unsigned long); offset++) {
        std::string shifted = std::string(offset, '-') + text;
        const auto *start = reinterpret_cast<const unsigned char *>(shifted.data()) + offset;
        EXPECT_EQ(dentry_cmp(child.get(), start, static_cast<unsigned>(text.size())), 0) << offset;
    }
}

// A reader in a rename may pair a name with the length of another. The NUL of the shorter one ends
// the comparison inside its storage.
TEST_F(DentryCmp, ALongerTextDoesNotMatchAShorterName)
{
    for (unsigned length : {1u, 7u, 8u, 39u, 40u, 47u}) {
        dentry_ref child = make_unhashed(root, std::string(length, 'n'));
        std::string longer(length + 1, 'n');
        EXPECT_NE(dentry_cmp(child.get(), exact_copy(longer).get(), length + 1), 0) << length;
    }
}

TEST_F(DentryCmp, SameNameNeedsTheSameLength)
{
    dentry_ref child = make_unhashed(root, "name");

    for (std::string_view text : {"nam", "names", "Name", ""}) {
        qstr name = name_below(root, text);
        EXPECT_FALSE(d_same_name(child.get(), root, &name)) << text;
    }
    qstr name = name_below(root, "name");
    EXPECT_TRUE(d_same_name(child.get(), root, &name));
}

TEST_F(DentryCmp, SameNameAsksTheParentsCompare)
{
    callbacks.compare = compare_ignoring_case;
    set_default_d_op(sb, callbacks.table());
    dentry_ref directory = make_directory(root, "d");
    dentry_ref child = make_unhashed(directory.get(), "name");

    qstr name = make_qstr("NAME", 4);
    EXPECT_TRUE(d_same_name(child.get(), directory.get(), &name));
    // The root is older than the operations: by its rules the two differ.
    EXPECT_FALSE(d_same_name(child.get(), root, &name));
}

TEST_F(DentryCmp, TheCompareCallbackGetsLengthAndTextOfTheDentry)
{
    std::string seen;
    const dentry *asked = nullptr;

    callbacks.compare = [&](const dentry *dentry, unsigned length, const char *text, const qstr *) {
        asked = dentry;
        seen.assign(text, length);
        return 1;
    };
    set_default_d_op(sb, callbacks.table());
    dentry_ref directory = make_directory(root, "d");
    dentry_ref child = make_unhashed(directory.get(), "name");
    qstr name = make_qstr("name", 4);
    EXPECT_FALSE(d_same_name(child.get(), directory.get(), &name));
    EXPECT_EQ(asked, child.get());
    EXPECT_EQ(seen, "name");
}

// --- Copying and exchanging, for all four pairs of inline and external names ---

class NamePair : public vfs_fixture, public ::testing::WithParamInterface<std::tuple<bool, bool>>
{
  protected:
    std::string first_text() const
    {
        return std::get<0>(GetParam()) ? long_name : "short";
    }
    std::string second_text() const
    {
        return std::get<1>(GetParam()) ? other_long_name : "other";
    }

    void SetUp() override
    {
        vfs_fixture::SetUp();
        first = make_file(root, first_text());
        second = make_file(root, second_text());
    }
    void TearDown() override
    {
        first.reset();
        second.reset();
        vfs_fixture::TearDown();
    }

    /// Runs a change of both names under the locks and in the write sections it needs.
    void change(void (*operation)(dentry *, dentry *))
    {
        dentry *a = first.get();
        dentry *b = second.get();

        // Their hash chains would be wrong afterwards.
        d_drop(a);
        d_drop(b);
        write_seqlock(&rename_lock);
        spin_lock(&a->d_lock);
        spin_lock_nested(&b->d_lock, DENTRY_D_LOCK_NESTED);
        write_seqcount_begin(&a->d_seq);
        write_seqcount_begin(&b->d_seq);
        operation(a, b);
        write_seqcount_end(&b->d_seq);
        write_seqcount_end(&a->d_seq);
        spin_unlock(&b->d_lock);
        spin_unlock(&a->d_lock);
        write_sequnlock(&rename_lock);
    }

    static void expect_name(const dentry *dentry, const std::string &text, u32 hash)
    {
        EXPECT_EQ(name_of(dentry), text);
        EXPECT_EQ(dentry->d_name.len(), text.size());
        EXPECT_EQ(dentry->d_name.hash(), hash);
        EXPECT_EQ(dname_external(dentry), text.size() >= DNAME_INLINE_LEN);
    }

    dentry_ref first, second;
};

TEST_P(NamePair, CopyGivesTheFirstTheNameOfTheSecond)
{
    u32 hash = second->d_name.hash();

    change(copy_name);
    expect_name(first.get(), second_text(), hash);
    expect_name(second.get(), second_text(), hash);
}

TEST_P(NamePair, ACopiedLongNameIsSharedNotDuplicated)
{
    change(copy_name);
    if (dname_external(second.get())) {
        EXPECT_EQ(external_name(first.get()), external_name(second.get()));
        EXPECT_EQ(users_of_external_name(second.get()), 2);
    } else {
        EXPECT_NE(READ_ONCE(first->d_name.name), READ_ONCE(second->d_name.name));
    }
}

TEST_P(NamePair, TheNameThatACopyReplacesIsFreed)
{
    long blocks = kmalloc_objects();
    bool was_external = dname_external(first.get());

    change(copy_name);
    rcu_barrier();
    EXPECT_EQ(kmalloc_objects(), blocks - was_external);
}

TEST_P(NamePair, ExchangeSwapsTextLengthAndHash)
{
    u32 first_hash = first->d_name.hash();
    u32 second_hash = second->d_name.hash();

    change(swap_names);
    expect_name(first.get(), second_text(), second_hash);
    expect_name(second.get(), first_text(), first_hash);
}

TEST_P(NamePair, ExchangeAllocatesAndFreesNothing)
{
    long blocks = kmalloc_objects();

    change(swap_names);
    rcu_barrier();
    EXPECT_EQ(kmalloc_objects(), blocks);
    for (dentry *dentry : {first.get(), second.get()}) {
        if (dname_external(dentry)) {
            EXPECT_EQ(users_of_external_name(dentry), 1);
        }
    }
}

TEST_P(NamePair, ExchangingTwiceRestoresBoth)
{
    u32 first_hash = first->d_name.hash();
    u32 second_hash = second->d_name.hash();

    change(swap_names);
    change(swap_names);
    expect_name(first.get(), first_text(), first_hash);
    expect_name(second.get(), second_text(), second_hash);
}

// A snapshot of a name keeps it whatever happens to its dentry.
TEST_P(NamePair, ASnapshotOutlivesTheRename)
{
    name_snapshot snapshot;

    take_dentry_name_snapshot(&snapshot, first.get());
    change(copy_name);
    rcu_barrier();
    EXPECT_EQ(text_of(snapshot.name), first_text());
    release_dentry_name_snapshot(&snapshot);
}

std::string pair_name(const ::testing::TestParamInfo<std::tuple<bool, bool>> &info)
{
    static const char *const kinds[] = {"Inline", "External"};

    return std::string(kinds[std::get<0>(info.param)]) + kinds[std::get<1>(info.param)];
}

INSTANTIATE_TEST_SUITE_P(Names, NamePair, ::testing::Combine(::testing::Bool(), ::testing::Bool()),
                         pair_name);

// --- Snapshots ---

TEST_F(NameSnapshot, AShortNameIsCopied)
{
    dentry_ref child = make_unhashed(root, "short");
    name_snapshot snapshot;

    take_dentry_name_snapshot(&snapshot, child.get());
    EXPECT_EQ(text_of(snapshot.name), "short");
    EXPECT_EQ(snapshot.name.name, snapshot.inline_name.string());
    EXPECT_EQ(snapshot.name.hash_len, READ_ONCE(child->d_name.hash_len));
    release_dentry_name_snapshot(&snapshot);
}

TEST_F(NameSnapshot, ALongNameIsSharedByCount)
{
    dentry_ref child = make_unhashed(root, long_name);
    name_snapshot snapshot;

    take_dentry_name_snapshot(&snapshot, child.get());
    EXPECT_EQ(text_of(snapshot.name), long_name);
    EXPECT_EQ(snapshot.name.name, READ_ONCE(child->d_name.name));
    EXPECT_EQ(snapshot.name.hash_len, READ_ONCE(child->d_name.hash_len));
    EXPECT_EQ(users_of_external_name(child.get()), 2);
    release_dentry_name_snapshot(&snapshot);
    EXPECT_EQ(users_of_external_name(child.get()), 1);
}

TEST_F(NameSnapshot, ALongNameOutlivesItsDentry)
{
    dentry_ref child = make_unhashed(root, long_name);
    long blocks = kmalloc_objects();
    name_snapshot snapshot;

    take_dentry_name_snapshot(&snapshot, child.get());
    child.reset();
    rcu_barrier();
    EXPECT_EQ(kmalloc_objects(), blocks);
    EXPECT_EQ(text_of(snapshot.name), long_name);
    release_dentry_name_snapshot(&snapshot);
    rcu_barrier();
    EXPECT_EQ(kmalloc_objects(), blocks - 1);
}

TEST_F(NameSnapshot, TakesNoReferenceOnTheDentry)
{
    dentry_ref child = make_unhashed(root, "short");
    name_snapshot snapshot;

    take_dentry_name_snapshot(&snapshot, child.get());
    EXPECT_EQ(d_count(child.get()), 1);
    release_dentry_name_snapshot(&snapshot);
    EXPECT_EQ(d_count(child.get()), 1);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
