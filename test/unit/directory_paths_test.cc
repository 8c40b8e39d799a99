// SPDX-License-Identifier: GPL-2.0-only
//
// mkdir, mknod, symlink, link, rmdir, unlink and rename by path: which error, and which of several;
// trailing slashes; mounts in the way; second tries. The values are Linux's.
#include <string>

#include <gtest/gtest.h>

#include "acting_as.h"
#include "path_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

const std::string too_long_name(NAME_MAX_LENGTH + 1, 'n');
const std::string too_long_path(PATH_MAX_LENGTH, 'p');

class directory_paths : public path_fixture
{
  protected:
    void SetUp() override
    {
        path_fixture::SetUp();
        make_directories({"dir", "empty"});
        make_files({"file", "dir/inside"});
        make_link("link", "dir");
        make_link("dangling", "nowhere");
    }

    static int mkdir(const std::string &name, umode_t mode = 0755)
    {
        return sys_mkdirat(&init_task, AT_FDCWD_VALUE, name.c_str(), mode);
    }
    static int mknod(const std::string &name, umode_t mode = S_IFREG_TYPE | 0644)
    {
        return sys_mknodat(&init_task, AT_FDCWD_VALUE, name.c_str(), mode, 0);
    }
    static int symlink(const std::string &body, const std::string &name)
    {
        return sys_symlinkat(&init_task, body.c_str(), AT_FDCWD_VALUE, name.c_str());
    }
    static int link(const std::string &from, const std::string &to, unsigned flags = 0)
    {
        return sys_linkat(&init_task, AT_FDCWD_VALUE, from.c_str(), AT_FDCWD_VALUE, to.c_str(),
                          flags);
    }
    static int rmdir(const std::string &name)
    {
        return sys_unlinkat(&init_task, AT_FDCWD_VALUE, name.c_str(), AT_REMOVEDIR_FLAG);
    }
    static int unlink(const std::string &name)
    {
        return sys_unlinkat(&init_task, AT_FDCWD_VALUE, name.c_str(), 0);
    }
    static int rename(const std::string &from, const std::string &to, unsigned flags = 0)
    {
        return sys_renameat2(&init_task, AT_FDCWD_VALUE, from.c_str(), AT_FDCWD_VALUE, to.c_str(),
                             flags);
    }
    static kstat stat_of(const std::string &name)
    {
        kstat stat = {};

        EXPECT_EQ(sys_newfstatat(&init_task, AT_FDCWD_VALUE, name.c_str(), &stat,
                                 AT_SYMLINK_NOFOLLOW_FLAG),
                  0)
            << name;
        return stat;
    }
    bool exists(const std::string &name)
    {
        return error_of(name, 0) == 0;
    }
    ino_t number_of(const std::string &name)
    {
        return stat_of(name).ino;
    }
    /// Mounts the same file system on a directory once more.
    void bind(const char *source, const char *target)
    {
        ASSERT_EQ(sys_mount_bind(&init_task, source, target), 0);
    }
    static void unbind(const char *target)
    {
        EXPECT_EQ(sys_umount2(&init_task, target, MNT_DETACH_FLAG), 0);
    }
};

using Mkdirat = directory_paths;
using Mknodat = directory_paths;
using Symlinkat = directory_paths;
using Linkat = directory_paths;
using Rmdir = directory_paths;
using Unlinkat = directory_paths;
using Renameat = directory_paths;
using ReadOnlyMount = directory_paths;

// --- Making ---

TEST_F(Mkdirat, MakesADirectoryWithOrWithoutSlashesBehind)
{
    EXPECT_EQ(mkdir("fresh"), 0);
    EXPECT_EQ(mkdir("dir/fresh///"), 0);
    EXPECT_TRUE(exists("dir/fresh"));
    WRITE_ONCE(init_fs.umask, 077);
    EXPECT_EQ(mkdir("private", 01777), 0);
    WRITE_ONCE(init_fs.umask, 022);
    EXPECT_EQ(stat_of("private").mode, S_IFDIR_TYPE | 01700);
    EXPECT_EQ(stat_of("fresh").mode, S_IFDIR_TYPE | 0755);
}

TEST_F(Mkdirat, WhatExistsExists)
{
    for (const char *name : {"dir", "dir/", "file", "file/", "link", "dangling", "dangling/", "/",
                             ".", "..", "dir/.", "dir/..", "//"})
        EXPECT_EQ(mkdir(name), -EEXIST) << name;
}

TEST_F(Mkdirat, TheWayMustBeThere)
{
    EXPECT_EQ(mkdir(""), -ENOENT);
    EXPECT_EQ(mkdir("nowhere/fresh"), -ENOENT);
    EXPECT_EQ(mkdir("dangling/fresh"), -ENOENT);
    EXPECT_EQ(mkdir("file/fresh"), -ENOTDIR);
    EXPECT_EQ(mkdir(too_long_name), -ENAMETOOLONG);
    EXPECT_EQ(mkdir(too_long_path), -ENAMETOOLONG);
}

TEST_F(Mknodat, MakesEverythingButDirectoriesAndLinks)
{
    EXPECT_EQ(mknod("plain", 0600), 0) << "no type: a regular file";
    EXPECT_EQ(stat_of("plain").mode, S_IFREG_TYPE | 0600);
    EXPECT_EQ(mknod("fifo", S_IFIFO_TYPE | 0600), 0);
    EXPECT_EQ(mknod("socket", S_IFSOCK_TYPE | 0600), 0);
    EXPECT_EQ(sys_mknodat(&init_task, AT_FDCWD_VALUE, "device", S_IFCHR_TYPE | 0600, 0x103), 0);
    EXPECT_EQ(stat_of("device").rdev, 0x103u);
    EXPECT_EQ(mknod("fresh", S_IFDIR_TYPE | 0755), -EPERM);
    EXPECT_EQ(mknod("fresh", S_IFLNK_TYPE | 0777), -EINVAL);
    EXPECT_EQ(mknod("fresh", S_IFMT_MASK), -EINVAL);
    EXPECT_EQ(mknod("", S_IFDIR_TYPE), -EPERM) << "before the name";
}

TEST_F(Mknodat, OnlyDirectoriesHaveASlashBehindTheirName)
{
    EXPECT_EQ(mknod("fresh/"), -ENOENT);
    EXPECT_EQ(mknod("file/"), -EEXIST);
    EXPECT_EQ(mknod("dir/"), -EEXIST);
    EXPECT_EQ(mknod("."), -EEXIST);
    EXPECT_FALSE(exists("fresh"));
}

TEST_F(Symlinkat, TheBodyIsAnyTextButNone)
{
    EXPECT_EQ(symlink("../any//where", "fresh"), 0);
    EXPECT_EQ(stat_of("fresh").size, 13);
    EXPECT_EQ(symlink("", "other"), -ENOENT);
    EXPECT_EQ(symlink(too_long_path, "other"), -ENAMETOOLONG);
    EXPECT_EQ(symlink("body", "file"), -EEXIST);
    EXPECT_EQ(symlink("body", "other/"), -ENOENT);
    EXPECT_EQ(symlink("", ""), -ENOENT);
}

// --- link ---

TEST_F(Linkat, LinksTheLinkUnlessToldToFollow)
{
    EXPECT_EQ(link("dangling", "another"), 0);
    EXPECT_EQ(number_of("another"), number_of("dangling"));
    EXPECT_EQ(link("dangling", "third", AT_SYMLINK_FOLLOW_FLAG), -ENOENT);
    make_link("to-file", "file");
    EXPECT_EQ(link("to-file", "third", AT_SYMLINK_FOLLOW_FLAG), 0);
    EXPECT_EQ(number_of("third"), number_of("file"));
    EXPECT_EQ(stat_of("file").nlink, 2u);
}

TEST_F(Linkat, DirectoriesHaveOneName)
{
    EXPECT_EQ(link("dir", "another"), -EPERM);
    EXPECT_EQ(link("link", "another", AT_SYMLINK_FOLLOW_FLAG), -EPERM);
}

TEST_F(Linkat, TheNewNameIsMade)
{
    EXPECT_EQ(link("file", "file"), -EEXIST);
    EXPECT_EQ(link("file", "dangling"), -EEXIST);
    EXPECT_EQ(link("file", "fresh/"), -ENOENT);
    EXPECT_EQ(link("file", "dir/."), -EEXIST);
    EXPECT_EQ(link("file", "fresh", 0x1), -EINVAL);
}

TEST_F(Linkat, TheOldNameIsWalkedBeforeTheNewOneIsRead)
{
    EXPECT_EQ(link("nowhere", too_long_path), -ENOENT);
    EXPECT_EQ(link("file", too_long_path), -ENAMETOOLONG);
    EXPECT_EQ(link("file/", "fresh"), -ENOTDIR);
    EXPECT_EQ(link("", "fresh"), -ENOENT);
}

TEST_F(Linkat, NamesDoNotCrossMountsNotEvenOfOneFileSystem)
{
    bind("dir", "empty");
    EXPECT_EQ(link("file", "empty/fresh"), -EXDEV);
    EXPECT_EQ(link("empty/inside", "fresh"), -EXDEV);
    EXPECT_EQ(link("empty/inside", "empty/fresh"), 0);
    unbind("empty");
}

TEST_F(Linkat, OthersFilesAreLinkedWithTheirConsent)
{
    acting_as user(1000, 1000, {}, {CAP_DAC_OVERRIDE});
    // CAP_DAC_OVERRIDE reads and writes everything, so that is safe; but not what runs as root.
    EXPECT_EQ(do_linkat(AT_FDCWD_VALUE, "file", AT_FDCWD_VALUE, "mine", 0), 0);
    EXPECT_EQ(do_linkat(AT_FDCWD_VALUE, "dangling", AT_FDCWD_VALUE, "other", 0), -EPERM);
}

TEST_F(Linkat, ANamelessFileGetsItsFirstName)
{
    const int fd = sys_openat(&init_task, AT_FDCWD_VALUE, "dir", OPEN_TMPFILE | OPEN_RDWR, 0600);
    kstat stat;

    ASSERT_GE(fd, 0);
    ASSERT_EQ(sys_fstat(&init_task, fd, &stat), 0);
    EXPECT_EQ(stat.nlink, 0u);
    EXPECT_EQ(sys_linkat(&init_task, fd, "", AT_FDCWD_VALUE, "named", AT_EMPTY_PATH_FLAG), 0);
    EXPECT_EQ(number_of("named"), stat.ino);
    EXPECT_EQ(stat_of("named").nlink, 1u);
    EXPECT_EQ(sys_close(&init_task, fd), 0);
    drop_caches();
    EXPECT_EQ(number_of("named"), stat.ino) << "the disk has it";
}

TEST_F(Linkat, ANamelessFileMayBeForbiddenToGetOne)
{
    const int fd =
        sys_openat(&init_task, AT_FDCWD_VALUE, "dir", OPEN_TMPFILE | OPEN_RDWR | OPEN_EXCL, 0600);

    ASSERT_GE(fd, 0);
    EXPECT_EQ(sys_linkat(&init_task, fd, "", AT_FDCWD_VALUE, "named", AT_EMPTY_PATH_FLAG), -ENOENT);
    EXPECT_EQ(sys_close(&init_task, fd), 0);
}

// --- Removing ---

TEST_F(Rmdir, RemovesEmptyDirectoriesAlone)
{
    EXPECT_EQ(rmdir("dir"), -ENOTEMPTY);
    EXPECT_EQ(rmdir("file"), -ENOTDIR);
    EXPECT_EQ(rmdir("file/"), -ENOTDIR);
    EXPECT_EQ(rmdir("link"), -ENOTDIR);
    EXPECT_EQ(rmdir("link/"), -ENOTDIR);
    EXPECT_EQ(rmdir("nowhere"), -ENOENT);
    EXPECT_EQ(rmdir("empty/"), 0);
    EXPECT_FALSE(exists("empty"));
}

TEST_F(Rmdir, NamesThatAreNoneCannotBeRemoved)
{
    EXPECT_EQ(rmdir("empty/."), -EINVAL);
    EXPECT_EQ(rmdir("empty/.."), -ENOTEMPTY);
    EXPECT_EQ(rmdir("."), -EINVAL);
    EXPECT_EQ(rmdir("/"), -EBUSY);
    EXPECT_EQ(rmdir(""), -ENOENT);
    EXPECT_EQ(rmdir("nowhere/.."), -ENOENT) << "the way first";
}

TEST_F(Rmdir, AMountpointIsBusyThroughEveryMount)
{
    make_directories({"view"});
    bind("/", "view");
    bind("dir", "empty");
    EXPECT_EQ(rmdir("empty"), -EBUSY);
    EXPECT_EQ(rmdir("view/empty"), -EBUSY);
    unbind("empty");
    EXPECT_EQ(rmdir("view/empty"), 0);
    EXPECT_FALSE(exists("empty"));
    unbind("view");
}

TEST_F(Unlinkat, RemovesEverythingButDirectories)
{
    EXPECT_EQ(unlink("dir"), -EISDIR);
    EXPECT_EQ(unlink("link"), 0) << "the link itself";
    EXPECT_EQ(unlink("file"), 0);
    EXPECT_EQ(unlink("file"), -ENOENT);
    EXPECT_TRUE(exists("dir"));
}

TEST_F(Unlinkat, ASlashBehindTheNameNeverRemoves)
{
    EXPECT_EQ(unlink("dir/"), -EISDIR);
    EXPECT_EQ(unlink("file/"), -ENOTDIR);
    EXPECT_EQ(unlink("link/"), -ENOTDIR);
    EXPECT_EQ(unlink("nowhere/"), -ENOENT);
    EXPECT_EQ(unlink("."), -EISDIR);
    EXPECT_EQ(unlink(".."), -EISDIR);
    EXPECT_EQ(unlink("/"), -EISDIR);
}

// --- rename ---

TEST_F(Renameat, MovesWithinADirectoryAndAcross)
{
    const ino_t file = number_of("file"), inside = number_of("dir/inside");

    EXPECT_EQ(rename("file", "moved"), 0);
    EXPECT_EQ(number_of("moved"), file);
    EXPECT_EQ(rename("moved", "dir/inside"), 0) << "over another";
    EXPECT_EQ(number_of("dir/inside"), file);
    EXPECT_NE(file, inside);
    EXPECT_EQ(rename("dir", "empty"), 0) << "over an empty directory";
    EXPECT_EQ(number_of("empty/inside"), file);
    EXPECT_FALSE(exists("dir"));
}

TEST_F(Renameat, TheTwoMustBeOfOneKind)
{
    EXPECT_EQ(rename("file", "empty"), -EISDIR);
    EXPECT_EQ(rename("empty", "file"), -ENOTDIR);
    EXPECT_EQ(rename("empty", "dir"), -ENOTEMPTY);
    EXPECT_EQ(rename("file", "link"), 0) << "the link itself";
}

TEST_F(Renameat, NamesThatAreNoneAreBusy)
{
    for (const char *name : {".", "..", "/", "dir/.", "dir/.."}) {
        EXPECT_EQ(rename(name, "fresh"), -EBUSY) << name;
        EXPECT_EQ(rename("file", name), -EBUSY) << name;
        EXPECT_EQ(rename("file", name, RENAME_NOREPLACE_FLAG), -EEXIST) << name;
        EXPECT_EQ(rename(name, name, RENAME_NOREPLACE_FLAG), -EBUSY) << name;
    }
}

TEST_F(Renameat, OnlyDirectoriesHaveASlashBehindTheirName)
{
    EXPECT_EQ(rename("file/", "fresh"), -ENOTDIR);
    EXPECT_EQ(rename("file", "fresh/"), -ENOTDIR);
    EXPECT_EQ(rename("link/", "fresh"), -ENOTDIR);
    EXPECT_EQ(rename("nowhere/", "fresh"), -ENOENT);
    EXPECT_EQ(rename("empty/", "fresh/"), 0);
    EXPECT_EQ(rename("fresh", "file/", RENAME_EXCHANGE_FLAG), -ENOTDIR);
    EXPECT_EQ(rename("file", "fresh/", RENAME_EXCHANGE_FLAG), 0) << "a directory is there";
    EXPECT_EQ(rename("fresh", "file", RENAME_EXCHANGE_FLAG), 0);
}

TEST_F(Renameat, TheOldNameIsWalkedBeforeTheNewOneIsRead)
{
    EXPECT_EQ(rename("nowhere/file", too_long_path), -ENOENT);
    EXPECT_EQ(rename("file", too_long_path), -ENAMETOOLONG);
    EXPECT_EQ(rename("", "fresh"), -ENOENT);
    EXPECT_EQ(rename("file", ""), -ENOENT);
    EXPECT_EQ(rename("file", "nowhere/fresh"), -ENOENT);
    EXPECT_EQ(rename("file", too_long_name), -ENAMETOOLONG);
}

TEST_F(Renameat, FlagsThatContradictEachOtherAreRefused)
{
    EXPECT_EQ(rename("", "", RENAME_NOREPLACE_FLAG | RENAME_EXCHANGE_FLAG), -EINVAL);
    EXPECT_EQ(rename("", "", 0x80), -EINVAL);
}

TEST_F(Renameat, ReplacesOnlyIfItMayAndExchangesOnlyWhatIsThere)
{
    EXPECT_EQ(rename("file", "dir", RENAME_NOREPLACE_FLAG), -EEXIST);
    EXPECT_EQ(rename("file", "fresh", RENAME_NOREPLACE_FLAG), 0);
    EXPECT_EQ(rename("fresh", "file", RENAME_EXCHANGE_FLAG), -ENOENT);
    EXPECT_EQ(rename("nowhere", "fresh", RENAME_EXCHANGE_FLAG), -ENOENT);
    EXPECT_EQ(rename("fresh", "dir", RENAME_EXCHANGE_FLAG), 0);
    EXPECT_TRUE(exists("fresh/inside"));
}

TEST_F(Renameat, ADirectoryDoesNotBecomeItsOwnAncestor)
{
    make_directories({"dir/sub"});
    EXPECT_EQ(rename("dir", "dir/sub/loop"), -EINVAL);
    EXPECT_EQ(rename("dir", "dir/loop"), -EINVAL);
    EXPECT_EQ(rename("dir/sub", "dir"), -ENOTEMPTY);
    EXPECT_EQ(rename("dir/inside", "dir"), -ENOTEMPTY);
    EXPECT_EQ(rename("dir/sub", "dir", RENAME_EXCHANGE_FLAG), -EINVAL);
    EXPECT_EQ(rename("dir", "dir/sub", RENAME_EXCHANGE_FLAG), -EINVAL);
}

TEST_F(Renameat, TwoNamesOfOneFileStay)
{
    ASSERT_EQ(link("file", "dir/second"), 0);
    EXPECT_EQ(rename("file", "dir/second"), 0);
    EXPECT_TRUE(exists("file"));
    EXPECT_TRUE(exists("dir/second"));
    EXPECT_EQ(rename("file", "file"), 0);
}

TEST_F(Renameat, NamesDoNotCrossMountsNorMoveMountpoints)
{
    bind("dir", "empty");
    EXPECT_EQ(rename("file", "empty/fresh"), -EXDEV);
    EXPECT_EQ(rename(".", "empty/fresh"), -EXDEV) << "before the kind of name";
    EXPECT_EQ(rename("empty", "fresh"), -EBUSY);
    EXPECT_EQ(rename("dir", "empty"), -EBUSY);
    EXPECT_EQ(rename("file", "empty", RENAME_EXCHANGE_FLAG), -EBUSY);
    unbind("empty");
}

// --- Mounts that may not be written to ---

TEST_F(ReadOnlyMount, NothingChangesButOtherErrorsComeFirst)
{
    WRITE_ONCE(root_mnt->mnt_flags, READ_ONCE(root_mnt->mnt_flags) | MNT_READONLY);
    EXPECT_EQ(mkdir("fresh"), -EROFS);
    EXPECT_EQ(mkdir("dir"), -EEXIST);
    EXPECT_EQ(mknod("fresh/"), -ENOENT);
    EXPECT_EQ(symlink("body", "fresh"), -EROFS);
    EXPECT_EQ(link("file", "fresh"), -EROFS);
    EXPECT_EQ(rmdir("empty"), -EROFS);
    EXPECT_EQ(rmdir("nowhere"), -EROFS) << "before the name is looked up";
    EXPECT_EQ(rmdir("/"), -EBUSY);
    EXPECT_EQ(unlink("file"), -EROFS);
    EXPECT_EQ(unlink("."), -EISDIR);
    EXPECT_EQ(rename("file", "fresh"), -EROFS);
    EXPECT_EQ(rename(".", "fresh"), -EBUSY);
    EXPECT_FALSE(exists("fresh"));
}

// --- Second tries ---

class StaleOnce : public directory_paths
{
  protected:
    StaleOnce()
    {
        options.before_lookup = answer;
        options.before_lookup_argument = this;
    }
    static int answer(void *argument, inode *, dentry *)
    {
        auto *self = static_cast<StaleOnce *>(argument);

        return self->stale_answers > 0 && self->stale_answers-- ? -ESTALE : 0;
    }

    int stale_answers = 0;
};

TEST_F(StaleOnce, TheWholeOperationBeginsAgain)
{
    drop_caches();
    stale_answers = 1;
    EXPECT_EQ(unlink("file"), 0);
    stale_answers = 1;
    EXPECT_EQ(rmdir("empty"), 0);
    drop_caches();
    stale_answers = 1;
    EXPECT_EQ(rename("link", "moved"), 0);
    EXPECT_EQ(stale_answers, 0);
}

TEST_F(StaleOnce, ButNotForEver)
{
    drop_caches();
    stale_answers = 2;
    EXPECT_EQ(unlink("file"), -ESTALE);
    EXPECT_EQ(stale_answers, 0);
    stale_answers = 2;
    EXPECT_EQ(rename("file", "moved"), -ESTALE);
    EXPECT_EQ(stale_answers, 0);
    EXPECT_EQ(unlink("file"), 0);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
