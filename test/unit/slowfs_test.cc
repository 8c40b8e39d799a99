// SPDX-License-Identifier: GPL-2.0-only
//
// slowfs: gates hold exactly the lookups they should, errors and delays are those of the object.
#include <chrono>
#include <string_view>

#include <gtest/gtest.h>

#include "dcsim/kernel/slab.h"
#include "dcsim/mockfs/mock_filesystem.h"
#include "dcsim/mockfs/slowfs.h"
#include "gate.h"
#include "threads.h"
#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

class Slowfs : public ::testing::Test
{
  protected:
    void SetUp() override
    {
        vfs_config config;

        config.dhash_entries = 16;
        ASSERT_EQ(vfs_init(config), 0);
        mount({});
    }
    void TearDown() override
    {
        kmem_fail_nth(0);
        if (sb) {
            EXPECT_EQ(slowfs_filesystem.unmount(sb), 0);
        }
        expect_nothing_left(vfs_exit());
    }

    void mount(std::vector<mock_option> wanted)
    {
        mock_mount_options options;

        if (sb) {
            EXPECT_EQ(slowfs_filesystem.unmount(sb), 0);
        }
        options.options = wanted;
        sb = slowfs_filesystem.mount(options, "slow");
        ASSERT_FALSE(IS_ERR(sb));
    }
    /// Files have the numbers 2, 3, … in the order in which they were added.
    mock_node *add(std::string_view name)
    {
        return slowfs_filesystem.add_node(sb, slowfs_filesystem.root_node(sb), name.data(),
                                          name.size(), S_IFREG_TYPE | 0644, nullptr);
    }
    int flag(mock_node *node, const char *flag)
    {
        return slowfs_filesystem.set_node_flag(sb, node, flag);
    }
    dentry *look_up(std::string_view name)
    {
        return lookup_path(sb->s_root, name.data(), name.size());
    }

    super_block *sb = nullptr;
    warning_capture warnings;
};

constexpr ino_t FIRST_FILE = 2;

TEST_F(Slowfs, GateHoldsALookupUntilItIsOpened)
{
    ASSERT_EQ(flag(add("f"), "gate"), 0);
    add("g");
    EXPECT_FALSE(slowfs_filesystem.has_pending(sb));

    dentry *found = nullptr;
    blocking_thread waiter([&] { found = look_up("f"); });
    wait_until([&] { return slowfs_filesystem.has_pending(sb); });
    EXPECT_EQ(slowfs_waiting_at(sb, FIRST_FILE), 1);
    EXPECT_EQ(found, nullptr);
    dput(look_up("g"));

    EXPECT_TRUE(slowfs_filesystem.run_pending(sb));
    waiter.join();
    EXPECT_TRUE(d_is_reg(found));
    dput(found);
    EXPECT_FALSE(slowfs_filesystem.has_pending(sb));
    EXPECT_FALSE(slowfs_filesystem.run_pending(sb)) << "nobody waits";
}

TEST_F(Slowfs, TheSecondLookupOfANameWaitsForTheFirstNotAtTheGate)
{
    ASSERT_EQ(flag(add("f"), "gate"), 0);

    dentry *found[2] = {};
    blocking_thread first([&] { found[0] = look_up("f"); });
    wait_until([&] { return slowfs_waiting_at(sb, FIRST_FILE) == 1; });
    blocking_thread second([&] { found[1] = look_up("f"); });
    wait_until([&] { return vfs_counter_value(LOOKUP_WAITS) > 0; });
    EXPECT_EQ(slowfs_waiting_at(sb, FIRST_FILE), 1);

    EXPECT_EQ(slowfs_open_gate(sb, FIRST_FILE), 0);
    first.join();
    second.join();
    EXPECT_EQ(found[0], found[1]);
    dput(found[0]);
    dput(found[1]);
}

TEST_F(Slowfs, AGateClosedAgainHoldsNobodyWhoWasLetThrough)
{
    mock_node *file = add("f");

    ASSERT_EQ(flag(file, "gate"), 0);
    dentry *found = nullptr;
    blocking_thread waiter([&] { found = look_up("f"); });
    wait_until([&] { return slowfs_waiting_at(sb, FIRST_FILE) == 1; });
    EXPECT_EQ(slowfs_open_gate(sb, FIRST_FILE), 0);
    EXPECT_EQ(flag(file, "gate"), 0);
    waiter.join();
    dput(found);
    EXPECT_EQ(slowfs_open_gate(sb, FIRST_FILE), 0);
}

TEST_F(Slowfs, ErrorsAreTheObjectsAndTheMounts)
{
    ASSERT_EQ(flag(add("f"), "error"), 0);
    dput(look_up((add("g"), "g")));
    EXPECT_EQ(look_up("f"), ERR_PTR(-EIO));
    EXPECT_EQ(look_up("f"), ERR_PTR(-EIO)) << "an error is not cached";

    ASSERT_EQ(slowfs_set_manners(sb, FIRST_FILE, {}), 0);
    dput(look_up("f"));

    mount({{"error", ENXIO}});
    ASSERT_EQ(flag(add("f"), "error"), 0);
    EXPECT_EQ(look_up("f"), ERR_PTR(-ENXIO));
}

TEST_F(Slowfs, DelaysAddUp)
{
    mount({{"delay_us", 2000}, {"slow_us", 3000}});
    ASSERT_EQ(flag(add("f"), "slow"), 0);
    add("g");

    const auto lasts = [&](std::string_view name) {
        const auto begin = std::chrono::steady_clock::now();
        dentry *found = look_up(name);
        const auto end = std::chrono::steady_clock::now();

        if (!IS_ERR(found))
            dput(found);
        return std::chrono::duration_cast<std::chrono::microseconds>(end - begin).count();
    };
    EXPECT_GE(lasts("g"), 2000);
    EXPECT_GE(lasts("f"), 5000);
    EXPECT_GE(lasts("none"), 2000);
    EXPECT_LT(lasts("f"), 2000) << "cached";
}

TEST_F(Slowfs, FlagsOptionsAndObjectsThatAreNotThere)
{
    EXPECT_EQ(flag(add("f"), "casefold"), -EINVAL);
    EXPECT_EQ(slowfs_open_gate(sb, 77), -ENOENT);
    EXPECT_EQ(slowfs_waiting_at(sb, 77), 0);

    mock_mount_options options;
    const mock_option wrong[] = {{"error", 0}};
    options.options = wrong;
    EXPECT_EQ(slowfs_filesystem.mount(options, "slow"), ERR_PTR(-EINVAL));
}

TEST_F(Slowfs, MannersNeedMemory)
{
    mock_node *file = add("f");

    kmem_fail_nth(1);
    EXPECT_EQ(flag(file, "gate"), -ENOMEM);
    dput(look_up("f"));
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
