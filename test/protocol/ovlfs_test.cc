// SPDX-License-Identifier: GPL-2.0-only
//
// A walker held inside ->lookup() of a merged directory, and a reader of that directory: who waits
// for whom, and which dentry the name ends with.
#include <atomic>
#include <string>
#include <vector>

#include <gmock/gmock.h>
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

using ::testing::UnorderedElementsAre;

/// readdir, shared
struct how_to_read {
    int64_t form;
    int64_t shared;
};

class OvlfsThreads : public ::testing::TestWithParam<how_to_read>
{
  protected:
    void SetUp() override
    {
        const mock_option options[] = {{"readdir", GetParam().form}, {"shared", GetParam().shared}};
        mock_mount_options mount_options;
        mock_node *root;

        ASSERT_EQ(vfs_init({.dhash_entries = 4, .ihash_entries = 4, .in_lookup_shift = 0}), 0);
        mount_options.options = options;
        mount_options.argument = this;
        mount_options.before_lookup = [](void *argument, inode *, dentry *) {
            auto *self = static_cast<OvlfsThreads *>(argument);

            // The walker is the first; a reader that asks as well is not held.
            if (!self->lookups++)
                self->in_lookup.pass();
            return 0;
        };
        sb = ovlfs_filesystem.mount(mount_options, "ovlfs");
        root = ovlfs_filesystem.root_node(sb);
        ovlfs_filesystem.add_node(sb, root, "a", 1, S_IFREG_TYPE | 0644, nullptr);
    }
    void TearDown() override
    {
        found.reset();
        EXPECT_EQ(ovlfs_filesystem.unmount(sb), 0);
        expect_nothing_left(vfs_exit());
    }
    void walk()
    {
        found = adopt_dentry(lookup_path(sb->s_root, "a", 1));
    }
    void read()
    {
        EXPECT_THAT(directory_reader(sb->s_root).names(), UnorderedElementsAre("a"));
    }
    /// What the cache has under the name.
    dentry_ref cached()
    {
        qstr name = name_below(sb->s_root, "a");

        return adopt_dentry(d_lookup(sb->s_root, &name));
    }

    super_block *sb = nullptr;
    std::atomic<int> lookups{0};
    gate in_lookup;
    dentry_ref found; ///< the walker's
    warning_capture warnings;
};

/// Readers that stay away from what is in lookup: by waiting for the directory or for the name.
class OvlfsReaderWaits : public OvlfsThreads
{
};

TEST_P(OvlfsReaderWaits, UntilTheLookupIsOver)
{
    blocking_thread walker([this] { walk(); });
    in_lookup.wait_for_arrival();
    {
        blocking_thread reader([this] { read(); });

        EXPECT_TRUE(reader.comes_to_wait());
        in_lookup.let_one_pass();
    }
    walker.join();
    EXPECT_EQ(lookups, 1) << "one answer for both";
    EXPECT_EQ(found, cached());
}

INSTANTIATE_TEST_SUITE_P(Forms, OvlfsReaderWaits,
                         ::testing::Values(how_to_read{0, 0}, how_to_read{1, 0}, how_to_read{2, 0},
                                           how_to_read{3, 0}, how_to_read{0, 1}),
                         [](const auto &info) {
                             return std::to_string(info.param.form) +
                                    (info.param.shared ? "_shared" : "");
                         });

/// A reader that may run beside the lookup, and a lookup that has not searched the cache yet.
class OvlfsReaderGoesBeside : public OvlfsThreads
{
};

TEST_P(OvlfsReaderGoesBeside, AndTheLookupReturnsWhatItHashed)
{
    blocking_thread walker([this] { walk(); });
    in_lookup.wait_for_arrival();
    read();
    dentry_ref readers = cached();
    ASSERT_NE(readers, nullptr);
    EXPECT_TRUE(has_flag(readers.get(), DCACHE_BESIDE_LOOKUP));
    in_lookup.let_one_pass();
    walker.join();
    EXPECT_EQ(found, readers);
    EXPECT_EQ(cached(), readers);
}

INSTANTIATE_TEST_SUITE_P(Forms, OvlfsReaderGoesBeside,
                         ::testing::Values(how_to_read{1, 1}, how_to_read{2, 1}, how_to_read{3, 1}),
                         [](const auto &info) { return std::to_string(info.param.form); });

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
