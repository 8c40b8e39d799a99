// SPDX-License-Identifier: GPL-2.0-only
//
// System calls by path, made by the first task or by a user without any rights of his own.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "path_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

inline constexpr int CWD = AT_FDCWD_VALUE;
inline constexpr kuid_t USER = 1000, STRANGER = 2000;
inline constexpr unsigned CREATE = OPEN_CREAT | OPEN_RDWR;
inline constexpr unsigned CREATE_NEW = CREATE | OPEN_EXCL;

/// One entry that getdents64() reported.
struct entry {
    std::string name;
    u64 ino;
    int64_t next;
    unsigned type;
};

class syscall_fixture : public path_fixture
{
  protected:
    void SetUp() override
    {
        path_fixture::SetUp();
        user = vfs_task_create(&init_task, 0);
        ASSERT_NE(user, nullptr);
        user->cred = &user_cred;
    }
    void TearDown() override
    {
        close_everything();
        sysctl_protected_regular = sysctl_protected_fifos = 0;
        sys_umask(&init_task, 022);
        path_fixture::TearDown();
    }

    /// Ends the user's task.
    void close_everything()
    {
        if (user)
            vfs_task_exit(user);
        user = nullptr;
        put_files_struct(&init_files);
    }

    int open(const std::string &name, unsigned flags, umode_t mode = 0644)
    {
        return sys_openat(actor, CWD, name.c_str(), flags, mode);
    }
    /// Opens and closes again: 0 or the error.
    int try_open(const std::string &name, unsigned flags, umode_t mode = 0644)
    {
        int fd = open(name, flags, mode);

        return fd < 0 ? fd : close(fd);
    }
    int close(int fd)
    {
        return sys_close(actor, fd);
    }
    kstat stat_of(int fd)
    {
        kstat stat = {};

        EXPECT_EQ(sys_fstat(actor, fd, &stat), 0);
        return stat;
    }
    kstat stat_at(const std::string &name)
    {
        kstat stat = {};

        EXPECT_EQ(sys_newfstatat(&init_task, CWD, name.c_str(), &stat, AT_SYMLINK_NOFOLLOW_FLAG), 0)
            << name;
        return stat;
    }
    unsigned permissions_at(const std::string &name)
    {
        return stat_at(name).mode & S_IALLUGO_BITS;
    }
    bool exists(const std::string &name)
    {
        return error_of(name, 0) == 0;
    }
    void change_mode(const std::string &name, umode_t mode)
    {
        ASSERT_EQ(sys_fchmodat(&init_task, CWD, name.c_str(), mode, 0), 0) << name;
    }
    void give_to(const std::string &name, kuid_t uid)
    {
        ASSERT_EQ(sys_fchownat(&init_task, CWD, name.c_str(), uid, uid, AT_SYMLINK_NOFOLLOW_FLAG),
                  0)
            << name;
    }

    /// What one getdents64() with so much room says; `result` is what it returned.
    std::vector<entry> read_entries(int fd, size_t room, int *result)
    {
        // At an odd address: the buffer need not be aligned.
        std::vector<char> buffer(room + 1);
        std::vector<entry> entries;

        *result = sys_getdents64(actor, fd, buffer.data() + 1, room);
        for (int at = 0; at < *result;) {
            const char *start = buffer.data() + 1 + at;
            linux_dirent64 head;

            memcpy(&head, start, offsetof(linux_dirent64, d_name));
            EXPECT_EQ(head.d_reclen % 8, 0);
            entries.push_back(
                {start + offsetof(linux_dirent64, d_name), head.d_ino, head.d_off, head.d_type});
            at += head.d_reclen;
        }
        return entries;
    }
    std::vector<std::string> names_in(const std::string &directory)
    {
        const int fd = open(directory, OPEN_RDONLY | OPEN_DIRECTORY);
        std::vector<std::string> names;
        int result;

        do {
            for (const entry &each : read_entries(fd, 4096, &result))
                names.push_back(each.name);
        } while (result > 0);
        EXPECT_EQ(result, 0);
        close(fd);
        return names;
    }
    std::string working_directory(vfs_task *task)
    {
        char buffer[PATH_MAX_LENGTH];
        int length = sys_getcwd(task, buffer, sizeof(buffer));

        if (length < 0)
            return strerrorname_np(-length);
        EXPECT_EQ(buffer[length - 1], '\0');
        return buffer;
    }

    /// No capability, no groups.
    const struct cred user_cred = {USER, USER, nullptr, 0, 0};
    vfs_task *user = nullptr;
    /// Who makes the calls.
    vfs_task *actor = &init_task;
};

} // namespace dcsim::inline DCSIM_BACKEND
