// SPDX-License-Identifier: GPL-2.0-only
//
// Filling a memfs from a real directory tree.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/kernel/slab.h"
#include "dcsim/mockfs/import.h"
#include "dcsim/refs.h"
#include "dcsim/vfs/namei.h"
#include "dcsim/vfs/vfs.h"
#include "warnings.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::StartsWith;

namespace fs = std::filesystem;

class Import : public ::testing::Test
{
  protected:
    void SetUp() override
    {
        char pattern[] = "/tmp/dcsim-import-XXXXXX";

        ASSERT_NE(mkdtemp(pattern), nullptr);
        host = pattern;
        vfs_config config;
        config.dhash_entries = 64;
        config.ihash_entries = 64;
        ASSERT_EQ(vfs_init(config), 0);
        sb = memfs_mount({}, "import");
        ASSERT_FALSE(IS_ERR(sb));
    }

    void TearDown() override
    {
        kmem_fail_nth(0);
        EXPECT_EQ(memfs_unmount(sb), 0);
        EXPECT_TRUE(vfs_exit().none());
        fs::remove_all(host);
    }

    void make_directory(const std::string &path)
    {
        fs::create_directories(host / path);
    }
    void make_file(const std::string &path, mode_t mode = 0644)
    {
        std::ofstream(host / path) << "contents";
        ASSERT_EQ(chmod((host / path).c_str(), mode), 0);
    }
    void make_symlink(const std::string &path, const std::string &body)
    {
        fs::create_symlink(body, host / path);
    }

    import_result import(const import_options &options = {})
    {
        return memfs_import(sb, host.c_str(), options);
    }
    dentry_ref find(const std::string &path)
    {
        return adopt_dentry(lookup_path(sb->s_root, path.data(), path.size()));
    }
    umode_t mode_of(const std::string &path)
    {
        dentry_ref found = find(path);
        return IS_ERR(found.get()) ? 0 : READ_ONCE(d_inode(found.get())->i_mode);
    }

    static long entries(const import_result &result)
    {
        return result.directories + result.files + result.symlinks + result.others;
    }

    fs::path host;
    super_block *sb = nullptr;
    warning_capture warnings;
};

TEST_F(Import, CopiesNamesTypesPermissionsAndLinkBodies)
{
    make_directory("d/inner");
    make_file("d/file", 0640);
    make_file("d/inner/executable", 0755);
    make_symlink("d/link", "file");
    make_symlink("dangling", "nowhere/at/all");
    ASSERT_EQ(mkfifo((host / "pipe").c_str(), 0600), 0);
    ASSERT_EQ(chmod((host / "d").c_str(), 0711), 0);

    import_result result = import();
    EXPECT_EQ(result.error, "");
    EXPECT_EQ(result.directories, 3);
    EXPECT_EQ(result.files, 2);
    EXPECT_EQ(result.symlinks, 2);
    EXPECT_EQ(result.others, 1);
    EXPECT_EQ(result.skipped, 0);
    EXPECT_EQ(result.vanished, 0);
    EXPECT_EQ(result.first_skipped, "");
    EXPECT_EQ(memfs_node_count(sb), entries(result));

    EXPECT_EQ(mode_of("d"), S_IFDIR_TYPE | 0711);
    EXPECT_EQ(mode_of("d/file"), S_IFREG_TYPE | 0640);
    EXPECT_EQ(mode_of("d/inner/executable"), S_IFREG_TYPE | 0755);
    EXPECT_EQ(mode_of("pipe"), S_IFIFO_TYPE | 0600);
    dentry_ref link = find("dangling");
    inode *inode = d_inode(link.get());
    EXPECT_STREQ(inode->i_op->get_link(link.get(), inode, nullptr), "nowhere/at/all");
}

TEST_F(Import, DoesNotFollowSymbolicLinks)
{
    make_directory("d");
    make_symlink("d/up", "..");

    import_result result = import();
    EXPECT_EQ(result.error, "");
    EXPECT_EQ(memfs_node_count(sb), 3);
    EXPECT_TRUE(d_is_symlink(find("d/up").get()));
}

TEST_F(Import, FollowsALinkToTheTopItself)
{
    make_directory("d");
    make_file("d/f");
    make_symlink("link", "d");

    import_result result = memfs_import(sb, (host / "link").c_str());
    EXPECT_EQ(result.error, "");
    EXPECT_EQ(result.files, 1);
}

TEST_F(Import, OfAnEmptyDirectoryIsOneDirectory)
{
    import_result result = import();

    EXPECT_EQ(result.error, "");
    EXPECT_EQ(entries(result), 1);
    EXPECT_EQ(memfs_node_count(sb), 1);
}

TEST_F(Import, TakesNamesAsTheyAre)
{
    const std::string longest(255, 'n');
    const std::string odd = "\xff new\nline \xc3\xa4";

    make_file(longest);
    make_file(odd);
    make_file("...");
    EXPECT_EQ(import().files, 3);
    EXPECT_NE(mode_of(longest), 0);
    EXPECT_NE(mode_of(odd), 0);
    EXPECT_NE(mode_of("..."), 0);
}

TEST_F(Import, TellsWhatItImportsInAFixedOrder)
{
    make_directory("b/y");
    make_directory("a");
    make_file("b/x");
    make_file("b/y/z");
    make_file("c", 0600);
    std::vector<std::pair<std::string, umode_t>> told;
    import_options options;

    options.on_entry = [&](std::string_view path, umode_t mode) { told.emplace_back(path, mode); };
    EXPECT_EQ(import(options).error, "");
    std::vector<std::string> paths;
    for (const auto &entry : told)
        paths.push_back(entry.first);
    EXPECT_THAT(paths, ElementsAre("a", "b", "b/x", "b/y", "b/y/z", "c"));
    EXPECT_THAT(told.back(), Pair("c", S_IFREG_TYPE | 0600));
}

TEST_F(Import, StopsAtTheLimit)
{
    for (int i = 0; i < 10; i++)
        make_file("file" + std::to_string(i));
    import_options options;

    options.max_entries = 4;
    import_result result = import(options);
    EXPECT_EQ(result.error, "");
    EXPECT_EQ(result.files, 4);
    EXPECT_EQ(memfs_node_count(sb), 5);
}

TEST_F(Import, GoesDeep)
{
    std::string path = "d";

    for (int depth = 0; depth < 200; depth++)
        path += "/d";
    make_directory(path);
    import_result result = import();
    EXPECT_EQ(result.error, "");
    EXPECT_EQ(result.directories, 202);
    EXPECT_EQ(result.skipped, 0);
    EXPECT_NE(mode_of(path), 0);
}

// --- What cannot be read ---

/// Becomes a user without privileges for a while, if the test runs with them.
class unprivileged
{
  public:
    unprivileged() : user_(geteuid())
    {
        if (user_ == 0) {
            EXPECT_EQ(seteuid(65534), 0);
        }
    }
    ~unprivileged()
    {
        EXPECT_EQ(seteuid(user_), 0);
    }
    unprivileged(const unprivileged &) = delete;
    unprivileged &operator=(const unprivileged &) = delete;

  private:
    uid_t user_;
};

/// Lets the process open only so many more files.
class few_descriptors
{
  public:
    explicit few_descriptors(rlim_t more)
    {
        int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
        close(next);
        getrlimit(RLIMIT_NOFILE, &before_);
        rlimit fewer = before_;
        fewer.rlim_cur = static_cast<rlim_t>(next) + more;
        EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &fewer), 0);
    }
    ~few_descriptors()
    {
        setrlimit(RLIMIT_NOFILE, &before_);
    }
    few_descriptors(const few_descriptors &) = delete;
    few_descriptors &operator=(const few_descriptors &) = delete;

  private:
    rlimit before_;
};

TEST_F(Import, SkipsASubtreeThatItMayNotRead)
{
    make_directory("closed/below");
    make_directory("open");
    make_file("open/file");
    ASSERT_EQ(chmod(host.c_str(), 0755), 0);
    ASSERT_EQ(chmod((host / "closed").c_str(), 0), 0);
    import_result result;
    {
        unprivileged user;
        result = import();
    }
    ASSERT_EQ(chmod((host / "closed").c_str(), 0755), 0);
    EXPECT_EQ(result.error, "");
    EXPECT_EQ(result.skipped, 1);
    EXPECT_EQ(result.first_skipped, host.string() + "/closed: Permission denied");
    EXPECT_EQ(result.directories, 2);
    EXPECT_EQ(result.files, 1);
    EXPECT_EQ(mode_of("closed"), 0);
    EXPECT_EQ(memfs_node_count(sb), entries(result));
}

TEST_F(Import, SkipsWhatIsTooDeepForTheLimitOnOpenFiles)
{
    make_directory("1/2/3/4/5/6");
    make_directory("other");
    import_result result;
    {
        few_descriptors limit(4);
        result = import();
    }
    EXPECT_EQ(result.error, "");
    EXPECT_EQ(result.skipped, 1);
    EXPECT_EQ(result.first_skipped, host.string() + "/1/2/3/4: Too many open files");
    EXPECT_EQ(result.directories, 5);
    EXPECT_NE(mode_of("1/2/3"), 0);
    EXPECT_NE(mode_of("other"), 0);
}

TEST_F(Import, SkipsNamesThatAreThereAlready)
{
    make_file("a");
    make_file("b");
    ASSERT_FALSE(
        IS_ERR(memfs_add_node(sb, memfs_root_node(sb), "a", 1, S_IFDIR_TYPE | 0755, nullptr)));
    import_result result = import();
    EXPECT_EQ(result.error, "");
    EXPECT_EQ(result.files, 1);
    EXPECT_EQ(result.skipped, 1);
    EXPECT_EQ(result.first_skipped, host.string() + "/a: File exists");
    EXPECT_TRUE(d_is_dir(find("a").get()));
}

TEST_F(Import, SkipsADirectoryThatContainsItself)
{
    make_directory("d/loop");
    make_file("d/file");
    const std::string loop = host / "d/loop";
    if (::mount((host / "d").c_str(), loop.c_str(), nullptr, MS_BIND, nullptr))
        GTEST_SKIP() << "may not make a bind mount: " << strerror(errno);
    import_result result = import();
    EXPECT_EQ(umount2(loop.c_str(), MNT_DETACH), 0);
    EXPECT_EQ(result.error, "");
    EXPECT_EQ(result.skipped, 1);
    EXPECT_THAT(result.first_skipped, HasSubstr("contains itself"));
    EXPECT_EQ(result.directories, 2);
    EXPECT_EQ(result.files, 1);
}

// The directory has been listed when the callback runs.
TEST_F(Import, CountsWhatVanishesMeanwhile)
{
    make_file("a");
    make_file("file-that-goes");
    make_directory("directory-that-goes");
    make_directory("directory-that-changes");
    make_symlink("link-that-goes", "a");
    make_file("z");
    import_options options;

    options.on_entry = [&](std::string_view path, umode_t) {
        if (path != "a")
            return;
        fs::remove(host / "file-that-goes");
        fs::remove(host / "directory-that-goes");
        fs::remove(host / "link-that-goes");
    };
    import_result result = import(options);
    EXPECT_EQ(result.error, "");
    EXPECT_EQ(result.vanished, 3);
    EXPECT_EQ(result.skipped, 0);
    EXPECT_EQ(result.files, 2);
    EXPECT_EQ(memfs_node_count(sb), entries(result));
}

// --- What cannot be imported at all ---

TEST_F(Import, SaysThatTheTopIsMissing)
{
    import_result result = memfs_import(sb, "/no/such/directory");

    EXPECT_THAT(result.error,
                AllOf(HasSubstr("'/no/such/directory'"), HasSubstr("No such file or directory"),
                      HasSubstr("check the path")));
    EXPECT_EQ(entries(result), 0);
    EXPECT_EQ(memfs_node_count(sb), 1);
}

TEST_F(Import, SaysThatTheTopIsNoDirectory)
{
    make_file("file");
    import_result result = memfs_import(sb, (host / "file").c_str());

    EXPECT_EQ(result.error,
              "cannot import '" + host.string() + "/file': Not a directory; name a directory");
}

TEST_F(Import, SaysThatTheTopLeadsInACircle)
{
    make_symlink("one", "two");
    make_symlink("two", "one");
    import_result result = memfs_import(sb, (host / "one").c_str());

    EXPECT_THAT(result.error, AllOf(HasSubstr("/one'"), HasSubstr("symbolic links"),
                                    HasSubstr("name the directory itself")));
}

TEST_F(Import, SaysThatTheTopMayNotBeRead)
{
    make_directory("closed");
    ASSERT_EQ(chmod(host.c_str(), 0755), 0);
    ASSERT_EQ(chmod((host / "closed").c_str(), 0), 0);
    import_result result;
    {
        unprivileged user;
        result = memfs_import(sb, (host / "closed").c_str());
    }
    ASSERT_EQ(chmod((host / "closed").c_str(), 0755), 0);
    EXPECT_THAT(result.error, AllOf(HasSubstr("/closed'"), HasSubstr("Permission denied"),
                                    HasSubstr("this user may read")));
}

TEST_F(Import, SaysThatThePathIsTooLongOrTheFilesAreTooMany)
{
    std::string path;

    for (int i = 0; i < 1000; i++)
        path += "/long";
    EXPECT_THAT(memfs_import(sb, path.c_str()).error, HasSubstr("relative path"));
    few_descriptors limit(0);
    EXPECT_THAT(import().error, HasSubstr("ulimit -n"));
}

// Each allocation of the file system fails once.
TEST_F(Import, SaysThatMemoryRanOut)
{
    make_directory("d");
    make_file("d/f");
    make_symlink("s", "body");
    for (long n = 1;; n++) {
        kmem_fail_nth(n);
        import_result result = import();
        bool failed = kmem_failure_delivered();
        kmem_fail_nth(0);
        if (!failed) {
            EXPECT_EQ(result.error, "");
            EXPECT_EQ(n, 8);
            break;
        }
        EXPECT_THAT(result.error,
                    AllOf(StartsWith("cannot import '" + host.string() + "'"),
                          HasSubstr("Cannot allocate memory"), HasSubstr("smaller directory")))
            << n;
        EXPECT_EQ(memfs_node_count(sb), entries(result)) << n;
        ASSERT_EQ(memfs_unmount(sb), 0);
        sb = memfs_mount({}, "import");
    }
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
