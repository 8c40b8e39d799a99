// SPDX-License-Identifier: GPL-2.0-only
//
// Two threads and two spellings, held inside ->lookup(): who waits for whom, and which dentry they
// end with. In every era.
#include <list>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "dcsim/mockfs/mock_filesystem.h"
#include "directory_reader.h"
#include "gate.h"
#include "threads.h"
#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

constexpr const mock_filesystem *fs = &casefs_filesystem;

/// A thread that looks a name up in the root.
class looker
{
  public:
    looker(dentry *root, std::string_view name)
        : thread_([this, root, text = std::string(name)] {
              found_ = adopt_dentry(lookup_path(root, text.data(), text.size()));
          })
    {
    }
    /// Waits until the thread waits. False when it finished instead.
    bool waits()
    {
        return thread_.comes_to_wait();
    }
    dentry *result()
    {
        thread_.join();
        return found_.get();
    }

  private:
    dentry_ref found_;
    blocking_thread thread_;
};

class CasefsThreads : public ::testing::TestWithParam<lookup_era>
{
  protected:
    void SetUp() override
    {
        ASSERT_EQ(
            vfs_init(
                {.dhash_entries = 4, .ihash_entries = 4, .in_lookup_shift = 0, .era = GetParam()}),
            0);
    }
    void TearDown() override
    {
        lookers.clear();
        EXPECT_EQ(fs->unmount(sb), 0);
        expect_nothing_left(vfs_exit());
    }

    /// A root that folds, with a file "Foo". Every ->lookup() is held at a gate of its spelling.
    void mount(std::vector<mock_option> options)
    {
        mock_mount_options mount_options;

        options.push_back({"casefold", 1});
        mount_options.options = options;
        mount_options.argument = this;
        mount_options.before_lookup = [](void *argument, inode *, dentry *dentry) {
            static_cast<CasefsThreads *>(argument)->gate_of(name_of(dentry)).pass();
            return 0;
        };
        sb = fs->mount(mount_options, "casefs");
        fs->add_node(sb, fs->root_node(sb), "Foo", 3, S_IFREG_TYPE | 0644, nullptr);
    }
    gate &gate_of(const std::string &name)
    {
        return name == "FOO" ? upper : name == "foo" ? lower : exact;
    }
    /// Starts a lookup and waits until it is inside ->lookup().
    looker &start(std::string_view name)
    {
        looker &one = lookers.emplace_back(sb->s_root, name);

        gate_of(std::string(name)).wait_for_arrival();
        return one;
    }
    looker &start_waiter(std::string_view name)
    {
        looker &one = lookers.emplace_back(sb->s_root, name);

        EXPECT_TRUE(one.waits());
        return one;
    }
    void expect_all_get(dentry *wanted)
    {
        for (looker &one : lookers)
            EXPECT_EQ(one.result(), wanted);
    }

    super_block *sb = nullptr;
    gate upper, lower, exact;
    std::list<looker> lookers;
    warning_capture warnings;
};

TEST_P(CasefsThreads, WithDAddCiAnInexactNameWaitsForTheExactOne)
{
    mount({{"compare", 0}});
    looker &owner = start("Foo");
    looker &other = start("FOO");

    upper.let_one_pass();
    EXPECT_TRUE(other.waits()) << "in d_add_ci(), for the exact name";
    exact.let_one_pass();
    expect_all_get(owner.result());
    EXPECT_EQ(name_of(owner.result()), "Foo");
    EXPECT_FALSE(d_unhashed(owner.result()));
}

TEST_P(CasefsThreads, WithDAddCiTheFirstInexactNameMakesTheExactOne)
{
    mount({{"compare", 0}});
    looker &first = start("FOO");

    start("foo");
    upper.let_one_pass();
    dentry *made = first.result();
    EXPECT_EQ(name_of(made), "Foo");
    lower.let_one_pass();
    expect_all_get(made);
}

TEST_P(CasefsThreads, WithDCompareSpellingsShareOneLookup)
{
    mount({});
    const long lookups = vfs_counter_value(FS_LOOKUPS);
    looker &owner = start("FOO");

    start_waiter("foo");
    start_waiter("Foo");
    upper.let_one_pass();
    expect_all_get(owner.result());
    EXPECT_EQ(name_of(owner.result()), "FOO");
    EXPECT_EQ(vfs_counter_value(FS_LOOKUPS), lookups + 1);
}

TEST_P(CasefsThreads, AMissWakesTheNextSpelling)
{
    mount({});
    fs->remote(sb, remote_change::remove, "/Foo", nullptr);
    looker &first = start("FOO");
    looker &second = start_waiter("foo");

    upper.let_one_pass();
    EXPECT_EQ(PTR_ERR(first.result()), -ENOENT);
    lower.wait_for_arrival();
    fs->remote(sb, remote_change::create, "/fOO", nullptr);
    lower.let_one_pass();
    EXPECT_TRUE(d_is_reg(second.result())) << "the miss was not cached";
}

TEST_P(CasefsThreads, ReadingADirectoryWaitsForALookupOfAnotherSpelling)
{
    mount({{"revalidate", 1}, {"prime", 1}});
    looker &owner = start("FOO");
    std::vector<std::string> names;
    {
        blocking_thread reader([&] { names = directory_reader(sb->s_root).names(); });
        EXPECT_TRUE(reader.comes_to_wait());
        upper.let_one_pass();
    }
    EXPECT_EQ(names, std::vector<std::string>{"Foo"});
    EXPECT_FALSE(d_unhashed(owner.result())) << "it was updated, not replaced";
}

class CasefsCreation : public CasefsThreads
{
  protected:
    void meet(int64_t compare)
    {
        int error = 1;

        mount({{"compare", compare}});
        looker &walker = start("bar");
        {
            blocking_thread creator([&] { error = create_at(sb->s_root, "BAR", 3, 0644); });
            EXPECT_TRUE(creator.comes_to_wait()) << "for the directory";
            exact.open(1);
        }
        EXPECT_EQ(error, 0);
        EXPECT_EQ(PTR_ERR(walker.result()), -ENOENT);
        EXPECT_TRUE(d_is_reg(adopt_dentry(lookup_path(sb->s_root, "bar", 3)).get()));
    }
};

TEST_P(CasefsCreation, WaitsForALookupAndIsNotHiddenByItsMissWithDAddCi)
{
    meet(0);
}

TEST_P(CasefsCreation, WaitsForALookupAndIsNotHiddenByItsMissWithDCompare)
{
    meet(1);
}

std::string name_of_era(const ::testing::TestParamInfo<lookup_era> &info)
{
    std::string name = lookup_era_name(info.param);

    for (char &c : name)
        c = c == '.' ? '_' : c;
    return "v" + name;
}

const auto all_eras = ::testing::Values(ERA_4_7, ERA_4_17, ERA_6_0, ERA_V3, ERA_7_2);

INSTANTIATE_TEST_SUITE_P(All, CasefsThreads, all_eras, name_of_era);
INSTANTIATE_TEST_SUITE_P(All, CasefsCreation, all_eras, name_of_era);

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
