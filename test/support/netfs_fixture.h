// SPDX-License-Identifier: GPL-2.0-only
//
// A netfs at the top of the namespace, its server in the test's hands.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "dcsim/mockfs/netfs.h"
#include "dcsim/vfs/syscalls.h"
#include "gate.h"
#include "namei_internal.h"
#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

class netfs_fixture : public ::testing::Test
{
  protected:
    static constexpr int CWD = AT_FDCWD_VALUE;
    static constexpr const mock_filesystem *fs = &netfs_filesystem;

    virtual vfs_config config() const
    {
        vfs_config config;

        config.dhash_entries = 16;
        config.ihash_entries = 16;
        config.in_lookup_shift = 1;
        return config;
    }

    void SetUp() override
    {
        ASSERT_EQ(vfs_init(config()), 0);
    }
    void TearDown() override
    {
        kmem_fail_nth(0);
        unmount();
        expect_nothing_left(vfs_exit());
    }

    void mount(std::initializer_list<mock_option> options = {})
    {
        mock_mount_options with = {
            .before_lookup =
                [](void *argument, inode *, dentry *dentry) {
                    auto *self = static_cast<netfs_fixture *>(argument);
                    return self->before_lookup ? self->before_lookup(name_of(dentry)) : 0;
                },
            .argument = this,
            .options = std::span<const mock_option>(options.begin(), options.size()),
        };

        sb = fs->mount(with, "netfs");
        ASSERT_FALSE(IS_ERR(sb)) << PTR_ERR(sb);
        ASSERT_EQ(init_mount_tree(sb), 0);
    }
    void unmount()
    {
        if (!sb)
            return;
        before_lookup = nullptr;
        put_files_struct(&init_files);
        exit_mount_tree();
        EXPECT_EQ(fs->unmount(sb), 0);
        sb = nullptr;
    }

    // --- Somebody else, on the server ---

    void remotely(remote_change what, const char *path, const char *second_path = nullptr)
    {
        EXPECT_EQ(fs->remote(sb, what, path, second_path), 0) << path;
    }
    /// The file id of a path on the server, or a negative errno.
    int64_t on_server(const char *path)
    {
        server_attributes found = {};
        int error = server_find(netfs_server(sb), path, &found);

        return error ? error : static_cast<int64_t>(found.fileid);
    }
    std::vector<std::string> names_on_server(const char *path)
    {
        std::vector<std::string> names;
        server_entry entry = {};

        while (server_readdir(netfs_server(sb), static_cast<u64>(on_server(path)), entry.cookie,
                              &entry) == 1)
            names.emplace_back(entry.name);
        return names;
    }
    /// The reply to one removal; false when none is awaited.
    bool reply()
    {
        return fs->run_pending(sb);
    }

    // --- This client ---

    /// One walk: its error, or 0.
    int walk(const std::string &name, unsigned flags = 0)
    {
        path result = {nullptr, nullptr};
        int error = kern_path(name.c_str(), flags, &result);

        path_put(&result);
        return error;
    }
    /// What ->d_revalidate() tells a walk in RCU mode of a name of the root that is cached.
    int rcu_check(std::string_view text, unsigned flags = 0)
    {
        dentry_ref dentry = cached(sb->s_root, text);
        qstr name = name_below(sb->s_root, text);
        rcu_read_guard guard;

        return dentry->d_op->d_revalidate(d_inode(sb->s_root), &name, dentry.get(),
                                          flags | LOOKUP_RCU);
    }
    dentry_ref find(const std::string &name)
    {
        path result = {nullptr, nullptr};
        int error = kern_path(name.c_str(), 0, &result);
        dentry_ref found;

        EXPECT_EQ(error, 0) << name;
        if (!error)
            found = dentry_ref(result.dentry);
        path_put(&result);
        return found;
    }
    /// What is cached for the last name, without asking anybody.
    dentry_ref cached(dentry *parent, std::string_view name)
    {
        qstr q = make_hashed_qstr(parent, name.data(), static_cast<u32>(name.size()));

        return adopt_dentry(d_lookup(parent, &q));
    }
    int open(const std::string &name, unsigned flags = OPEN_RDONLY, umode_t mode = 0644)
    {
        return sys_openat(&init_task, CWD, name.c_str(), flags, mode);
    }
    /// Opens and closes: 0 or the error.
    int try_open(const std::string &name, unsigned flags = OPEN_RDONLY)
    {
        int fd = open(name, flags);

        return fd < 0 ? fd : close(fd);
    }
    int close(int fd)
    {
        return sys_close(&init_task, fd);
    }
    int unlink(const std::string &name)
    {
        return sys_unlinkat(&init_task, CWD, name.c_str(), 0);
    }
    int rmdir(const std::string &name)
    {
        return sys_unlinkat(&init_task, CWD, name.c_str(), AT_REMOVEDIR_FLAG);
    }
    int mkdir(const std::string &name)
    {
        return sys_mkdirat(&init_task, CWD, name.c_str(), 0755);
    }
    int rename(const std::string &from, const std::string &to, unsigned flags = 0)
    {
        return sys_renameat2(&init_task, CWD, from.c_str(), CWD, to.c_str(), flags);
    }
    u64 inode_of(int fd)
    {
        kstat stat = {};

        EXPECT_EQ(sys_fstat(&init_task, fd, &stat), 0);
        return stat.ino;
    }
    kstat stat_of(const std::string &name)
    {
        kstat stat = {};

        EXPECT_EQ(sys_newfstatat(&init_task, CWD, name.c_str(), &stat, AT_SYMLINK_NOFOLLOW_FLAG), 0)
            << name;
        return stat;
    }

    std::function<int(const std::string &name)> before_lookup;
    super_block *sb = nullptr;
    warning_capture warnings;
};

} // namespace dcsim::inline DCSIM_BACKEND
