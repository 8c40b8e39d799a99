// SPDX-License-Identifier: GPL-2.0-only
//
// The tables that scenarios are checked by know what the port and the file systems know.
#include <gtest/gtest.h>

#include <cerrno>

#include "dcsim/kernel/err.h"
#include "dcsim/mockfs/mock_filesystem.h"
#include "dcsim/scenario/scenario.h"
#include "dcsim/vfs/namei.h"
#include "dcsim/vfs/vfs.h"

namespace dcsim
{

namespace
{

using scenario::file_system_description;
using scenario::file_system_option;

TEST(ScenarioTables, ErasAreThePorts)
{
    ASSERT_EQ(scenario::eras().size(), static_cast<size_t>(LOOKUP_ERAS));
    for (size_t index = 0; index < scenario::eras().size(); index++) {
        const scenario::era_description &described = scenario::eras()[index];
        const auto era = static_cast<lookup_era>(index);

        EXPECT_STREQ(described.name, lookup_era_name(era));
        EXPECT_EQ(described.caller_queue, lookup_era_has_caller_queue(era)) << described.name;
        EXPECT_EQ(find_lookup_era(described.name), era);
    }
}

TEST(ScenarioTables, IntentsAreThePorts)
{
    const auto flags = [](const std::string &words) {
        return scenario::parse_scenario("format = 1\ntitle = 'x'\n[task.A]\n"
                                        "do = [\"d = lookup_one('/a', '" +
                                            words + "')\"]\n",
                                        "f")
            .tasks[0]
            .steps[0]
            .flags;
    };

    EXPECT_EQ(flags("LOOKUP_OPEN"), static_cast<unsigned>(LOOKUP_OPEN));
    EXPECT_EQ(flags("LOOKUP_CREATE"), static_cast<unsigned>(LOOKUP_CREATE));
    EXPECT_EQ(flags("LOOKUP_EXCL"), static_cast<unsigned>(LOOKUP_EXCL));
    EXPECT_EQ(flags("LOOKUP_RENAME_TARGET"), static_cast<unsigned>(LOOKUP_RENAME_TARGET));
    EXPECT_EQ(flags("LOOKUP_OPEN|LOOKUP_CREATE|LOOKUP_EXCL|LOOKUP_RENAME_TARGET"),
              static_cast<unsigned>(LOOKUP_INTENT_FLAGS));
}

class ScenarioFileSystems : public ::testing::Test
{
  protected:
    ScenarioFileSystems()
    {
        vfs_init({.dhash_entries = 2, .ihash_entries = 2, .mhash_entries = 2, .mphash_entries = 2});
    }
    ~ScenarioFileSystems() override
    {
        EXPECT_TRUE(vfs_exit().none());
    }
    /// What mounting with one option comes to.
    static long mount(const mock_filesystem &fs, const char *option, int64_t value)
    {
        const mock_option given[] = {{option, value}};
        mock_mount_options options;

        options.options = given;
        super_block *sb = fs.mount(options, "test");
        if (IS_ERR(sb))
            return PTR_ERR(sb);
        return fs.unmount(sb);
    }
    static int set_flag(const mock_filesystem &fs, const char *flag)
    {
        super_block *sb = fs.mount({}, "test");
        mock_node *directory =
            fs.add_node(sb, fs.root_node(sb), "d", 1, S_IFDIR_TYPE | 0755, nullptr);
        const int error = fs.set_node_flag(sb, directory, flag);

        EXPECT_EQ(fs.unmount(sb), 0);
        return error;
    }
};

TEST_F(ScenarioFileSystems, AreThoseThereAre)
{
    for (const mock_filesystem *fs : mock_filesystems())
        EXPECT_NE(scenario::find_file_system(fs->name), nullptr) << fs->name;
    for (const file_system_description &described : scenario::file_systems())
        EXPECT_NE(find_mock_filesystem(described.name), nullptr) << described.name;
}

TEST_F(ScenarioFileSystems, HaveTheseOptionsWithTheseLimits)
{
    for (const file_system_description &described : scenario::file_systems()) {
        const mock_filesystem &fs = *find_mock_filesystem(described.name);

        EXPECT_EQ(mount(fs, "no_such_option", 0), -EINVAL) << fs.name;
        for (const file_system_option &one : described.options) {
            SCOPED_TRACE(std::string(fs.name) + " " + one.name);
            EXPECT_EQ(mount(fs, one.name, one.smallest - 1), -EINVAL);
            EXPECT_EQ(mount(fs, one.name, one.smallest), 0);
            // Mounting asks the server, which then takes as long as it is told to.
            if (!std::string(one.name).ends_with("_us")) {
                EXPECT_EQ(mount(fs, one.name, one.largest), 0);
            }
            EXPECT_EQ(mount(fs, one.name, one.largest + 1), -EINVAL);
        }
    }
}

TEST_F(ScenarioFileSystems, CanDoThis)
{
    for (const file_system_description &described : scenario::file_systems()) {
        const mock_filesystem &fs = *find_mock_filesystem(described.name);

        SCOPED_TRACE(fs.name);
        EXPECT_EQ(described.second_names, fs.add_directory_name != nullptr);
        EXPECT_EQ(described.server, fs.remote != nullptr);
        EXPECT_EQ(described.handles, fs.inode_by_path != nullptr);
        EXPECT_EQ(described.pending, fs.run_pending != nullptr);
        EXPECT_EQ(described.pending, fs.has_pending != nullptr);
        EXPECT_EQ(described.flags.empty(), fs.set_node_flag == nullptr);
        if (!fs.set_node_flag)
            continue;
        EXPECT_EQ(set_flag(fs, "no_such_flag"), -EINVAL);
        for (const char *flag : described.flags)
            EXPECT_EQ(set_flag(fs, flag), 0) << flag;
    }
}

} // namespace

} // namespace dcsim
