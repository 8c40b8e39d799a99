// SPDX-License-Identifier: GPL-2.0-only
//
// server_tree: that it answers as a server does, that other people's changes are whole, and that
// each call does all or nothing when memory is short.
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "dcsim/kernel/slab.h"
#include "dcsim/mockfs/mock_filesystem.h"
#include "dcsim/mockfs/server_tree.h"
#include "dcsim/vfs/inode.h"
#include "threads.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

constexpr u64 ROOT = 100;
constexpr umode_t FILE_MODE = S_IFREG_TYPE | 0644;
constexpr umode_t DIRECTORY_MODE = S_IFDIR_TYPE | 0755;

class ServerTree : public ::testing::Test
{
  protected:
    void SetUp() override
    {
        objects_before_ = kmalloc_objects();
        server = server_tree_create(ROOT);
        ASSERT_NE(server, nullptr);
    }
    void TearDown() override
    {
        kmem_fail_nth(0);
        server_tree_destroy(server);
        EXPECT_EQ(kmalloc_objects(), objects_before_);
    }

    /// The file id of a new object, or a negative errno.
    int64_t make(u64 directory, std::string_view name, umode_t mode, const char *body = nullptr,
                 bool excl = true)
    {
        server_attributes made = {};
        int error =
            server_create(server, directory, name.data(), name.size(), mode, body, excl, &made);
        return error ? error : static_cast<int64_t>(made.fileid);
    }
    u64 directory(u64 where, std::string_view name)
    {
        return static_cast<u64>(make(where, name, DIRECTORY_MODE));
    }
    u64 file(u64 where, std::string_view name)
    {
        return static_cast<u64>(make(where, name, FILE_MODE));
    }
    int64_t look(u64 directory, std::string_view name)
    {
        server_attributes found = {};
        int error = server_lookup(server, directory, name.data(), name.size(), &found);
        return error ? error : static_cast<int64_t>(found.fileid);
    }
    int64_t find(const char *path)
    {
        server_attributes found = {};
        int error = server_find(server, path, &found);
        return error ? error : static_cast<int64_t>(found.fileid);
    }
    server_attributes attributes_of(u64 fileid)
    {
        server_attributes found = {};
        EXPECT_EQ(server_getattr(server, fileid, &found), 0) << fileid;
        return found;
    }
    int remove(u64 directory, std::string_view name, bool directory_wanted = false)
    {
        return server_remove(server, directory, name.data(), name.size(), directory_wanted);
    }
    int rename(u64 from, std::string_view old_name, u64 to, std::string_view new_name,
               unsigned flags = 0)
    {
        return server_rename(server, from, old_name.data(), old_name.size(), to, new_name.data(),
                             new_name.size(), flags);
    }
    int change(remote_change what, const char *path, const char *second_path = nullptr)
    {
        return server_remote_change(server, what, path, second_path);
    }
    std::vector<std::string> names_in(u64 directory)
    {
        std::vector<std::string> names;
        server_entry entry;
        u64 cookie = 0;

        while (server_readdir(server, directory, cookie, &entry) == 1) {
            names.emplace_back(entry.name, entry.length);
            cookie = entry.cookie;
        }
        return names;
    }
    using names = std::vector<std::string>;

    server_tree *server = nullptr;

  private:
    long objects_before_ = 0;
};

TEST_F(ServerTree, BeginsWithAnEmptyRoot)
{
    EXPECT_EQ(server_root(server), ROOT);
    EXPECT_EQ(attributes_of(ROOT).mode, DIRECTORY_MODE);
    EXPECT_EQ(attributes_of(ROOT).nlink, 2u);
    EXPECT_EQ(server_object_count(server), 1);
    EXPECT_EQ(names_in(ROOT), names());
    EXPECT_EQ(find("/"), static_cast<int64_t>(ROOT));
    EXPECT_EQ(look(ROOT, "absent"), -ENOENT);
    EXPECT_EQ(look(ROOT + 1, "absent"), -ESTALE);
}

TEST_F(ServerTree, MakesAndFindsObjects)
{
    u64 d = directory(ROOT, "d");
    u64 f = file(d, "f");
    int64_t link = make(d, "l", S_IFLNK_TYPE | 0777, "../target");
    char body[16];

    EXPECT_EQ(look(ROOT, "d"), static_cast<int64_t>(d));
    EXPECT_EQ(look(d, "f"), static_cast<int64_t>(f));
    EXPECT_EQ(find("/d//f"), static_cast<int64_t>(f));
    EXPECT_EQ(find("/d/f/x"), -ENOTDIR);
    EXPECT_EQ(find("/x/f"), -ENOENT);
    EXPECT_EQ(look(f, "x"), -ENOTDIR);
    EXPECT_EQ(attributes_of(ROOT).nlink, 3u);
    EXPECT_EQ(attributes_of(d).nlink, 2u);
    EXPECT_EQ(attributes_of(f).nlink, 1u);
    EXPECT_EQ(attributes_of(f).mode, FILE_MODE);
    EXPECT_EQ(server_readlink(server, static_cast<u64>(link), body, sizeof(body)), 9);
    EXPECT_STREQ(body, "../target");
    EXPECT_EQ(server_readlink(server, static_cast<u64>(link), body, 9), -ENAMETOOLONG);
    EXPECT_EQ(server_readlink(server, f, body, sizeof(body)), -EINVAL);
    EXPECT_EQ(names_in(d), (names{"f", "l"}));
}

TEST_F(ServerTree, RefusesNamesThatCannotBe)
{
    const std::string longest(255, 'n');
    const std::string too_long(256, 'n');

    EXPECT_GT(make(ROOT, longest, FILE_MODE), 0);
    EXPECT_EQ(make(ROOT, too_long, FILE_MODE), -ENAMETOOLONG);
    EXPECT_EQ(look(ROOT, too_long), -ENAMETOOLONG);
    EXPECT_EQ(make(ROOT, "", FILE_MODE), -EINVAL);
    EXPECT_EQ(make(ROOT, "..", FILE_MODE), -EINVAL);
    EXPECT_EQ(make(ROOT, "a/b", FILE_MODE), -EINVAL);
}

TEST_F(ServerTree, AnExistingFileIsTheResultUnlessItMustBeNew)
{
    u64 f = file(ROOT, "f");

    directory(ROOT, "d");
    EXPECT_EQ(make(ROOT, "f", FILE_MODE, nullptr, true), -EEXIST);
    EXPECT_EQ(make(ROOT, "f", FILE_MODE, nullptr, false), static_cast<int64_t>(f));
    EXPECT_EQ(make(ROOT, "f", DIRECTORY_MODE, nullptr, false), -EEXIST);
    EXPECT_EQ(make(ROOT, "d", FILE_MODE, nullptr, false), -EISDIR);
    make(ROOT, "l", S_IFLNK_TYPE | 0777, "f");
    make(ROOT, "p", S_IFIFO_TYPE | 0644);
    EXPECT_EQ(make(ROOT, "l", FILE_MODE, nullptr, false), -ELOOP);
    EXPECT_EQ(make(ROOT, "p", FILE_MODE, nullptr, false), -EEXIST);
    EXPECT_EQ(server_object_count(server), 5);
}

TEST_F(ServerTree, AnObjectGoesWithItsLastName)
{
    u64 f = file(ROOT, "f");

    ASSERT_EQ(server_link(server, f, ROOT, "g", 1, nullptr), 0);
    EXPECT_EQ(attributes_of(f).nlink, 2u);
    EXPECT_EQ(remove(ROOT, "f"), 0);
    EXPECT_EQ(attributes_of(f).nlink, 1u);
    EXPECT_EQ(remove(ROOT, "g"), 0);
    EXPECT_EQ(server_getattr(server, f, nullptr), -ESTALE);
    EXPECT_EQ(server_link(server, f, ROOT, "g", 1, nullptr), -ESTALE);
    EXPECT_NE(file(ROOT, "f"), f);
}

TEST_F(ServerTree, RemovesWhatItIsAskedToRemove)
{
    u64 d = directory(ROOT, "d");

    file(d, "f");
    EXPECT_EQ(remove(ROOT, "d", false), -EISDIR);
    EXPECT_EQ(remove(d, "f", true), -ENOTDIR);
    EXPECT_EQ(remove(ROOT, "d", true), -ENOTEMPTY);
    EXPECT_EQ(remove(d, "f", false), 0);
    EXPECT_EQ(remove(ROOT, "d", true), 0);
    EXPECT_EQ(remove(ROOT, "d", true), -ENOENT);
    EXPECT_EQ(server_lookup(server, d, "f", 1, nullptr), -ESTALE);
    EXPECT_EQ(attributes_of(ROOT).nlink, 2u);
}

TEST_F(ServerTree, EveryChangeMovesTheChangeNumber)
{
    u64 d = directory(ROOT, "d");
    u64 before = attributes_of(d).change;
    u64 f = file(d, "f");
    u64 with_file = attributes_of(d).change;
    u64 file_before = attributes_of(f).change;

    EXPECT_GT(with_file, before);
    ASSERT_EQ(server_setattr(server, f, 0600, nullptr), 0);
    EXPECT_EQ(attributes_of(f).mode, S_IFREG_TYPE | 0600);
    EXPECT_GT(attributes_of(f).change, file_before);
    EXPECT_EQ(attributes_of(d).change, with_file);
    ASSERT_EQ(rename(d, "f", ROOT, "f"), 0);
    EXPECT_GT(attributes_of(d).change, with_file);
}

TEST_F(ServerTree, TellsWhatAChangeDidToTheDirectory)
{
    u64 d = directory(ROOT, "d");
    server_change_info info, other;
    u64 change = attributes_of(d).change;

    ASSERT_EQ(server_create(server, d, "f", 1, FILE_MODE, nullptr, false, nullptr, &info), 0);
    EXPECT_EQ(info.before, change);
    EXPECT_EQ(info.after, change = attributes_of(d).change);
    ASSERT_EQ(server_create(server, d, "f", 1, FILE_MODE, nullptr, false, nullptr, &info), 0);
    EXPECT_EQ(info.before, change);
    EXPECT_EQ(info.after, change);
    ASSERT_EQ(server_link(server, static_cast<u64>(look(d, "f")), d, "g", 1, nullptr, &info), 0);
    EXPECT_EQ(info.before, change);
    EXPECT_EQ(info.after, change = attributes_of(d).change);
    EXPECT_EQ(info.lost.fileid, 0u);
    ASSERT_EQ(server_remove(server, d, "f", 1, false, &info), 0);
    EXPECT_EQ(info.before, change);
    EXPECT_EQ(info.after, change = attributes_of(d).change);
    EXPECT_EQ(info.lost.fileid, static_cast<u64>(look(d, "g")));
    EXPECT_EQ(info.lost.change, attributes_of(info.lost.fileid).change);
    u64 root_change = attributes_of(ROOT).change;
    ASSERT_EQ(server_rename(server, d, "g", 1, ROOT, "g", 1, 0, &info, &other), 0);
    EXPECT_EQ(info.before, change);
    EXPECT_EQ(info.after, attributes_of(d).change);
    EXPECT_EQ(other.before, root_change);
    EXPECT_EQ(other.after, attributes_of(ROOT).change);
    EXPECT_EQ(other.lost.fileid, 0u) << "the removal of before is another request's";
}

TEST_F(ServerTree, TellsWhichObjectARenameTookANameFrom)
{
    u64 f = file(ROOT, "f");
    u64 g = file(ROOT, "g");
    server_change_info info, other;

    ASSERT_EQ(server_link(server, g, ROOT, "h", 1, nullptr), 0);
    ASSERT_EQ(server_rename(server, ROOT, "f", 1, ROOT, "g", 1, 0, &info, &other), 0);
    EXPECT_EQ(info.lost.fileid, 0u);
    EXPECT_EQ(other.lost.fileid, g);
    EXPECT_EQ(other.lost.change, attributes_of(g).change);
    ASSERT_EQ(
        server_rename(server, ROOT, "g", 1, ROOT, "h", 1, RENAME_EXCHANGE_FLAG, &info, &other), 0);
    EXPECT_EQ(other.lost.fileid, 0u);
    ASSERT_EQ(server_link(server, f, ROOT, "i", 1, nullptr), 0);
    ASSERT_EQ(server_rename(server, ROOT, "h", 1, ROOT, "i", 1, 0, &info, &other), 0);
    EXPECT_EQ(other.lost.fileid, 0u) << "both are the same file's";
}

TEST_F(ServerTree, RenamesOverWhatIsThere)
{
    u64 d = directory(ROOT, "d");
    u64 e = directory(ROOT, "e");
    u64 f = file(ROOT, "f");
    u64 g = file(d, "g");

    EXPECT_EQ(rename(ROOT, "f", d, "g", RENAME_NOREPLACE_FLAG), -EEXIST);
    EXPECT_EQ(rename(ROOT, "f", d, "g"), 0);
    EXPECT_EQ(server_getattr(server, g, nullptr), -ESTALE);
    EXPECT_EQ(find("/d/g"), static_cast<int64_t>(f));
    EXPECT_EQ(find("/f"), -ENOENT);

    EXPECT_EQ(rename(ROOT, "e", ROOT, "d"), -ENOTEMPTY);
    EXPECT_EQ(rename(ROOT, "e", d, "g"), -ENOTDIR);
    EXPECT_EQ(rename(d, "g", ROOT, "e"), -EISDIR);
    EXPECT_EQ(rename(ROOT, "d", e, "inside"), 0);
    EXPECT_EQ(attributes_of(ROOT).nlink, 3u);
    EXPECT_EQ(attributes_of(e).nlink, 3u);
    EXPECT_EQ(rename(ROOT, "e", d, "circle"), -EINVAL);
    EXPECT_EQ(rename(ROOT, "absent", d, "x"), -ENOENT);
    EXPECT_EQ(rename(d, "g", d, "g"), 0);
}

TEST_F(ServerTree, ExchangesTwoNames)
{
    u64 d = directory(ROOT, "d");
    u64 in = directory(d, "in");
    u64 f = file(ROOT, "f");
    u64 parent = 0;

    EXPECT_EQ(rename(ROOT, "f", d, "absent", RENAME_EXCHANGE_FLAG), -ENOENT);
    EXPECT_EQ(rename(ROOT, "d", d, "in", RENAME_EXCHANGE_FLAG), -EINVAL);
    EXPECT_EQ(rename(d, "in", ROOT, "d", RENAME_EXCHANGE_FLAG), -EINVAL);
    EXPECT_EQ(rename(ROOT, "f", d, "in", RENAME_EXCHANGE_FLAG), 0);
    EXPECT_EQ(find("/f"), static_cast<int64_t>(in));
    EXPECT_EQ(find("/d/in"), static_cast<int64_t>(f));
    EXPECT_EQ(attributes_of(ROOT).nlink, 4u);
    EXPECT_EQ(attributes_of(d).nlink, 2u);
    EXPECT_EQ(attributes_of(f).nlink, 1u);
    ASSERT_EQ(server_parent(server, in, &parent), 0);
    EXPECT_EQ(parent, ROOT);
}

TEST_F(ServerTree, ADirectoryMayHaveTwoNames)
{
    u64 d = directory(ROOT, "d");
    u64 below = directory(d, "below");
    u64 parent = 0;

    ASSERT_EQ(server_add_directory_name(server, d, below, "up", 2), 0);
    EXPECT_EQ(find("/d/below/up/below"), static_cast<int64_t>(below));
    ASSERT_EQ(server_parent(server, d, &parent), 0);
    EXPECT_EQ(parent, ROOT);
    ASSERT_EQ(server_parent(server, ROOT, &parent), 0);
    EXPECT_EQ(parent, ROOT);
    EXPECT_EQ(server_add_directory_name(server, d, below, "up", 2), -EEXIST);
    EXPECT_EQ(server_add_directory_name(server, file(ROOT, "f"), ROOT, "g", 1), -ENOTDIR);
    EXPECT_EQ(server_link(server, d, ROOT, "g", 1, nullptr), -EPERM);

    // Now the only way up from d leads to itself; this must end.
    EXPECT_EQ(rename(ROOT, "d", ROOT, "d2"), 0);
    EXPECT_EQ(rename(ROOT, "f", below, "f"), 0);
}

TEST_F(ServerTree, ReadsADirectoryInTheOrderOfCreation)
{
    server_entry entry;

    file(ROOT, "c");
    u64 a = file(ROOT, "a");
    file(ROOT, "b");
    ASSERT_EQ(server_readdir(server, ROOT, 0, &entry), 1);
    EXPECT_STREQ(entry.name, "c");
    u64 cookie = entry.cookie;

    // A name that goes and one that comes disturb nobody who is on the way.
    ASSERT_EQ(remove(ROOT, "c"), 0);
    ASSERT_EQ(server_readdir(server, ROOT, cookie, &entry), 1);
    EXPECT_STREQ(entry.name, "a");
    EXPECT_EQ(entry.attributes.fileid, a);
    ASSERT_EQ(rename(ROOT, "a", ROOT, "d"), 0);
    EXPECT_EQ(names_in(ROOT), (names{"b", "d"}));
}

TEST_F(ServerTree, FindsNamesWithoutRegardToCase)
{
    server_entry entry;
    u64 f = file(ROOT, "ReadMe");

    ASSERT_EQ(server_lookup_nocase(server, ROOT, "README", 6, &entry), 0);
    EXPECT_STREQ(entry.name, "ReadMe");
    EXPECT_EQ(entry.attributes.fileid, f);
    EXPECT_EQ(server_lookup_nocase(server, ROOT, "READM", 5, &entry), -ENOENT);
}

TEST_F(ServerTree, OtherPeoplesChangesGoByPath)
{
    EXPECT_EQ(change(remote_change::mkdir, "/d"), 0);
    EXPECT_EQ(change(remote_change::create, "/d/f"), 0);
    EXPECT_EQ(change(remote_change::create, "/d/f"), -EEXIST);
    int64_t f = find("/d/f");
    EXPECT_EQ(change(remote_change::replace, "/d/f"), 0);
    EXPECT_NE(find("/d/f"), f);
    EXPECT_EQ(server_getattr(server, static_cast<u64>(f), nullptr), -ESTALE);
    EXPECT_EQ(change(remote_change::replace, "/d"), -EISDIR);
    EXPECT_EQ(change(remote_change::replace, "/d/g"), -ENOENT);
    EXPECT_EQ(change(remote_change::rename, "/d/f", "/g"), 0);
    EXPECT_GT(find("/g"), 0);
    EXPECT_EQ(change(remote_change::rename, "/g", "/absent/g"), -ENOENT);
    EXPECT_EQ(change(remote_change::remove, "/g"), 0);
    EXPECT_EQ(change(remote_change::remove, "/d"), 0);
    EXPECT_EQ(change(remote_change::remove, "/"), -EINVAL);
    EXPECT_EQ(server_object_count(server), 1);
}

TEST_F(ServerTree, DoesAllOrNothingWhenMemoryIsShort)
{
    directory(ROOT, "d");
    u64 f = file(ROOT, "f");
    auto fails_cleanly = [&](auto call) {
        for (long n = 1;; n++) {
            long before = kmalloc_objects();
            kmem_fail_nth(n);
            int error = call();
            bool failed = kmem_failure_delivered();
            kmem_fail_nth(0);
            if (!failed) {
                EXPECT_EQ(error, 0);
                EXPECT_GT(n, 1) << "nothing was allocated";
                return;
            }
            EXPECT_EQ(error, -ENOMEM);
            EXPECT_EQ(kmalloc_objects(), before);
        }
    };

    fails_cleanly(
        [&] { return server_create(server, ROOT, "x", 1, FILE_MODE, nullptr, true, nullptr); });
    fails_cleanly([&] { return server_link(server, f, ROOT, "y", 1, nullptr); });
    fails_cleanly([&] { return rename(ROOT, "y", ROOT, "z"); });
    fails_cleanly([&] { return change(remote_change::replace, "/f"); });
    EXPECT_EQ(names_in(ROOT), (names{"d", "x", "z", "f"}));

    kmem_fail_nth(1);
    EXPECT_EQ(server_tree_create(1), nullptr);
    kmem_fail_nth(2);
    EXPECT_EQ(server_tree_create(1), nullptr);
}

TEST_F(ServerTree, ManyClientsAtOnceGetDifferentFileIds)
{
    constexpr int EACH = 200;
    const int threads = more_threads_than_processors();
    std::vector<std::vector<int64_t>> made(static_cast<size_t>(threads));
    std::set<int64_t> all;

    run_together(threads, [&](int me) {
        for (int i = 0; i < EACH; i++) {
            std::string name = "f" + std::to_string(i);
            // Somebody else's name half of the time.
            make(ROOT, name, FILE_MODE, nullptr, false);
            made[static_cast<size_t>(me)].push_back(
                make(ROOT, name + "-" + std::to_string(me), FILE_MODE));
            rename(ROOT, name, ROOT, "moved");
        }
    });
    for (const auto &ids : made)
        all.insert(ids.begin(), ids.end());
    EXPECT_EQ(all.size(), static_cast<size_t>(threads * EACH));
    EXPECT_GT(*all.begin(), 0);
    EXPECT_EQ(server_object_count(server), static_cast<long>(names_in(ROOT).size()) + 1);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
