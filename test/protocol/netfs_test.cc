// SPDX-License-Identifier: GPL-2.0-only
//
// netfs's threads that meet: who waits for a reply, for a lookup, for a reader of the directory.
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "directory_reader.h"
#include "netfs_fixture.h"
#include "threads.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// With every wait protocol.
class NetfsProtocol : public netfs_fixture, public ::testing::WithParamInterface<lookup_era>
{
  protected:
    vfs_config config() const override
    {
        vfs_config config = netfs_fixture::config();

        config.era = GetParam();
        return config;
    }

    /// Makes a file, opens it, removes it and closes it: the reply is awaited. Its silly name.
    std::string make_pending(const std::string &directory)
    {
        const std::string name = directory + "/f";
        int fd = open(name, OPEN_CREAT | OPEN_RDWR);
        char silly[32];

        EXPECT_GE(fd, 0);
        snprintf(silly, sizeof(silly), ".nfs%016lx00000001", inode_of(fd));
        EXPECT_EQ(unlink(name), 0);
        EXPECT_EQ(close(fd), 0);
        EXPECT_TRUE(fs->has_pending(sb));
        return directory + "/" + silly;
    }
    int look(const std::string &path)
    {
        dentry *found = lookup_path(sb->s_root, path.data(), path.size());
        int error = IS_ERR(found) ? PTR_ERR(found) : 0;

        if (!error)
            dput(found);
        return error;
    }
};
INSTANTIATE_TEST_SUITE_P(Eras, NetfsProtocol,
                         ::testing::Values(ERA_4_7, ERA_4_17, ERA_6_0, ERA_V3, ERA_7_2),
                         [](const auto &info) {
                             std::string name = lookup_era_name(info.param);
                             for (char &c : name)
                                 c = c == '.' ? '_' : c;
                             return "v" + name;
                         });

TEST_P(NetfsProtocol, LookupsOfASillyNameWaitForTheReply)
{
    mount();
    const std::string silly = make_pending("");
    int first = 1, second = 1;
    blocking_thread one([&] { first = look(silly); });
    ASSERT_TRUE(one.comes_to_wait());
    blocking_thread two([&] { second = look(silly); });
    ASSERT_TRUE(two.comes_to_wait());

    // This thread is not the one that put the name in lookup, as far as the protocol knows.
    EXPECT_TRUE(reply());
    one.join();
    two.join();
    EXPECT_EQ(first, -ENOENT);
    EXPECT_EQ(second, -ENOENT);
}

TEST_P(NetfsProtocol, RmdirWaitsForTheReply)
{
    mount();
    ASSERT_EQ(mkdir("/d"), 0);
    make_pending("/d");
    int result = 1;
    blocking_thread remover([&] { result = rmdir("/d"); });
    ASSERT_TRUE(remover.comes_to_wait());

    EXPECT_TRUE(reply());
    remover.join();
    EXPECT_EQ(result, 0);
    EXPECT_EQ(on_server("/d"), -ENOENT);
}

TEST_P(NetfsProtocol, AReaderOfTheDirectoryWaitsForALookup)
{
    mount();
    remotely(remote_change::create, "/f");
    gate in_lookup;
    before_lookup = [&](const std::string &) {
        in_lookup.pass();
        return 0;
    };
    int result = 1;
    blocking_thread looker([&] { result = look("f"); });
    in_lookup.wait_for_arrival();
    blocking_thread reader(
        [&] { EXPECT_EQ(directory_reader(sb->s_root).names(), std::vector<std::string>{"f"}); });
    ASSERT_TRUE(reader.comes_to_wait());

    in_lookup.open(1);
    looker.join();
    reader.join();
    EXPECT_EQ(result, 0);
    EXPECT_EQ(vfs_counter_value(LOOKUP_WAITS), 1);
}

TEST_P(NetfsProtocol, ASecondOpenWaitsForTheFirst)
{
    mount();
    gate in_open;
    std::atomic<int> asked{0};
    before_lookup = [&](const std::string &) {
        asked++;
        in_open.pass();
        return 0;
    };
    int first = 1, second = 1;
    blocking_thread one([&] { first = try_open("/f"); });
    in_open.wait_for_arrival();
    blocking_thread two([&] { second = try_open("/f"); });
    ASSERT_TRUE(two.comes_to_wait());
    // While the first one's answer is on its way.
    remotely(remote_change::create, "/f");
    in_open.open(1);
    one.join();
    two.join();
    EXPECT_EQ(first, 0);
    EXPECT_EQ(second, 0);
    EXPECT_EQ(asked, 1);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
