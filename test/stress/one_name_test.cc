// SPDX-License-Identifier: GPL-2.0-only
//
// Many threads at one name at the same moment: the narrow races of the protocol, provoked by
// starting everybody together, over and over. Each round has an answer that does not depend on who
// was first.
//
// DCSIM_STRESS_SECONDS sets how long each test runs, in all eras together (2).
#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string>

#include <gtest/gtest.h>

#include "dcsim/mockfs/memfs.h"
#include "dcsim/vfs/namei.h"
#include "dcsim/vfs/vfs.h"
#include "lookup_eras.h"
#include "lookup_order.h"
#include "stress_random.h"
#include "threads.h"
#include "warnings.h"

using namespace dcsim;

namespace
{

constexpr int threads = 3;

std::chrono::steady_clock::time_point end_of_test()
{
    const std::chrono::duration<double> seconds(stress_seconds_of_an_era());

    return std::chrono::steady_clock::now() +
           std::chrono::duration_cast<std::chrono::nanoseconds>(seconds);
}

/// A barrier that lets everybody go within nanoseconds, where std::barrier wakes one after the
/// other.
class starting_gun
{
  public:
    void meet()
    {
        unsigned round = round_.load();

        if (arrived_.fetch_add(1) + 1 == threads) {
            arrived_.store(0);
            round_.store(round + 1);
            return;
        }
        for (int turns = 0; round_.load() == round; turns++)
            retry_relax(turns);
    }

  private:
    std::atomic<unsigned> round_{0};
    std::atomic<int> arrived_{0};
};

class OneName : public testing::TestWithParam<lookup_era>
{
  protected:
    void SetUp() override
    {
        vfs_config config;
        config.dhash_entries = 16;
        config.ihash_entries = 16;
        config.in_lookup_shift = 0;
        config.era = GetParam();
        config.lookup_outside_rwsem = lookup_outside_rwsem_under_test;
        ASSERT_EQ(vfs_init(config), 0);
        sb_ = memfs_mount({}, "one name");
        ASSERT_FALSE(IS_ERR(sb_));
    }

    void TearDown() override
    {
        EXPECT_EQ(memfs_unmount(sb_), 0);
        EXPECT_TRUE(vfs_exit().none());
    }

    void create(const std::string &name)
    {
        ASSERT_EQ(create_at(sb_->s_root, name.data(), name.size(), 0644), 0);
    }

    dentry *look_up(const std::string &name) const
    {
        qstr q = make_qstr(name.data(), static_cast<u32>(name.size()));
        return lookup_noperm_unlocked(&q, sb_->s_root);
    }

    int rename(const std::string &from, const std::string &to)
    {
        return rename_at(sb_->s_root, from.data(), from.size(), sb_->s_root, to.data(), to.size(),
                         0);
    }

    /// Runs round(thread) in all threads until the time is up, and a hundred times however long
    /// that takes on a busy machine; they meet before each, and after it thread 0 runs check()
    /// alone.
    template <typename Round, typename Check>
    void run_rounds(Round round, Check check)
    {
        auto end = end_of_test();
        std::atomic<bool> more{true};
        starting_gun gun;
        int rounds = 0;

        run_together(threads, [&](int thread) {
            for (;;) {
                gun.meet();
                if (!more.load())
                    return;
                round(thread);
                gun.meet();
                if (thread == 0) {
                    check();
                    more.store((++rounds < 100 || std::chrono::steady_clock::now() < end) &&
                               !HasFailure());
                }
            }
        });
    }

    super_block *sb_ = nullptr;
    warning_capture warnings_;
};

// The question: can a caller of d_alloc_parallel() miss an answer that is just being published, and
// make a second dentry of the same name?
TEST_P(OneName, AllCallersGetTheSameDentry)
{
    const std::string name = "contended";
    std::array<dentry *, threads> found;
    long rounds = 0;

    create(name);
    shrink_dcache_sb(sb_);
    run_rounds([&](int thread) { found[static_cast<size_t>(thread)] = look_up(name); },
               [&] {
                   for (dentry *dentry : found) {
                       ASSERT_FALSE(IS_ERR(dentry));
                       EXPECT_EQ(dentry, found[0]) << "two dentries of one name, round " << rounds;
                   }
                   d_drop(found[0]);
                   for (dentry *dentry : found)
                       dput(dentry);
                   rounds++;
               });
    EXPECT_GE(rounds, 100);
}

// The question: does a lookup ever answer that neither the old nor the new name of a file exists,
// or hand out a name that was never one of the two?
TEST_P(OneName, AFileHasOneOfItsTwoNamesAtAnyTime)
{
    const std::string names[2] = {std::string(60, 'a'), std::string(67, 'b')};
    std::atomic<int> current{0};

    create(names[0]);
    run_rounds(
        [&](int thread) {
            if (thread == 0) {
                ASSERT_EQ(rename(names[current], names[!current]), 0);
                return;
            }
            dentry *dentry = look_up(names[thread % 2]);
            ASSERT_FALSE(IS_ERR(dentry));
            for (int i = 0; i < 3; i++) {
                name_snapshot snapshot;
                take_dentry_name_snapshot(&snapshot, dentry);
                std::string text(reinterpret_cast<const char *>(snapshot.name.name),
                                 snapshot.name.len);
                EXPECT_TRUE(text == names[0] || text == names[1]) << text;
                release_dentry_name_snapshot(&snapshot);

                char buffer[256];
                char *path = dentry_path(dentry, buffer, sizeof(buffer));
                ASSERT_FALSE(IS_ERR(path));
                text = path;
                EXPECT_TRUE(text.substr(0, 60) == "/" + names[0].substr(0, 59) ||
                            text.substr(0, 60) == "/" + names[1].substr(0, 59))
                    << text;
            }
            dput(dentry);
        },
        [&] {
            current = !current;
            dentry *dentry = look_up(names[current]);
            ASSERT_FALSE(IS_ERR(dentry));
            EXPECT_TRUE(d_is_positive(dentry));
            dput(dentry);
        });
}

// The question: when the last reference is dropped just as somebody looks the name up, do the two
// agree on whether the dentry lives?
TEST_P(OneName, TheLastDputAndALookupAgree)
{
    const std::string name = "revived";

    create(name);
    run_rounds(
        [&](int thread) {
            dentry *dentry = look_up(name);
            ASSERT_FALSE(IS_ERR(dentry));
            EXPECT_TRUE(d_is_positive(dentry));
            EXPECT_GT(d_count(dentry), 0);
            if (thread == 0)
                d_drop(dentry);
            dput(dentry);
        },
        [&] { EXPECT_LE(get_nr_dentry(), 2) << "a dropped dentry stayed"; });
}

// The question: do several shrinkers and a lookup that needs the same dentry ever free it twice or
// under its user?
TEST_P(OneName, ShrinkersAndALookupAgree)
{
    const std::string name = "wanted";

    create(name);
    run_rounds(
        [&](int thread) {
            if (thread == 0) {
                shrink_dcache_parent(sb_->s_root);
            } else if (thread == 1) {
                shrink_control sc = {10};
                prune_dcache_sb(sb_, &sc);
            } else {
                dentry *dentry = look_up(name);
                ASSERT_FALSE(IS_ERR(dentry));
                EXPECT_GT(d_count(dentry), 0);
                dput(dentry);
            }
        },
        [] {});
}

INSTANTIATE_TEST_SUITE_P(Eras, OneName, testing::ValuesIn(all_lookup_eras()), name_of_era_test);

} // namespace
