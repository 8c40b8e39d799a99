// SPDX-License-Identifier: GPL-2.0-only
//
// A memfs at the top of the namespace, and a task whose root and working directory it is. The test
// walks paths in a mode of its choice.
#pragma once

#include <initializer_list>
#include <string>
#include <utility>

#include "dcsim/mockfs/memfs.h"
#include "dcsim/vfs/super.h"
#include "dcsim/vfs/syscalls.h"
#include "namei_internal.h"
#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// Where a walk ended: both references, or an error.
class place
{
  public:
    explicit place(int error) : error_(error) {}
    explicit place(const path &path) : path_(path) {}
    place(place &&other) noexcept
        : path_(std::exchange(other.path_, {nullptr, nullptr})), error_(other.error_)
    {
    }
    place &operator=(place &&) = delete;
    ~place()
    {
        path_put(&path_);
    }

    int error() const
    {
        return error_;
    }
    dentry *at() const
    {
        return path_.dentry;
    }
    vfsmount *through() const
    {
        return path_.mnt;
    }
    const path &both() const
    {
        return path_;
    }

  private:
    path path_ = {nullptr, nullptr};
    int error_ = 0;
};

/// How to walk.
enum class walk_mode {
    rcu,    ///< one pass in RCU mode: -ECHILD when it does not get through
    ref,    ///< one pass with references
    ladder, ///< as the system calls do
};

class path_fixture : public ::testing::Test
{
  protected:
    /// Few buckets, so that chains are long.
    virtual vfs_config config() const
    {
        vfs_config config;

        config.dhash_entries = 4;
        config.ihash_entries = 4;
        config.in_lookup_shift = 1;
        config.lookup_outside_rwsem = lookup_outside_rwsem_under_test;
        return config;
    }

    void SetUp() override
    {
        ASSERT_EQ(vfs_init(config()), 0);
        sb = memfs_mount(options, "memfs");
        ASSERT_FALSE(IS_ERR(sb));
        ASSERT_EQ(init_mount_tree(sb), 0);
        root_mnt = &READ_ONCE(init_mnt_ns.root)->mnt;
    }

    void TearDown() override
    {
        kmem_fail_nth(0);
        WRITE_ONCE(sysctl_protected_symlinks, 1);
        exit_mount_tree();
        EXPECT_EQ(memfs_unmount(sb), 0);
        expect_nothing_left(vfs_exit());
    }

    // --- The tree ---

    void make_directories(std::initializer_list<const char *> names, umode_t mode = 0755)
    {
        for (const char *name : names)
            ASSERT_EQ(sys_mkdirat(&init_task, AT_FDCWD_VALUE, name, mode), 0) << name;
    }
    void make_files(std::initializer_list<const char *> names)
    {
        for (const char *name : names)
            ASSERT_EQ(sys_mknodat(&init_task, AT_FDCWD_VALUE, name, S_IFREG_TYPE | 0644, 0), 0)
                << name;
    }
    void make_link(const std::string &name, const std::string &body)
    {
        ASSERT_EQ(sys_symlinkat(&init_task, body.c_str(), AT_FDCWD_VALUE, name.c_str()), 0) << name;
    }
    void drop_caches()
    {
        shrink_dcache_sb(sb);
    }

    // --- Walking ---

    place walk(const std::string &name, unsigned flags = LOOKUP_FOLLOW,
               walk_mode mode = walk_mode::ladder, int dfd = AT_FDCWD_VALUE)
    {
        path result = {nullptr, nullptr};
        filename filename;
        int error = getname_flags(name.c_str(), flags, &filename);

        if (error)
            return place(error);
        if (mode == walk_mode::ladder) {
            error = filename_lookup(dfd, &filename, flags, &result, nullptr);
        } else {
            nameidata nd;

            set_nameidata(&nd, dfd, &filename, nullptr);
            error = path_lookupat(&nd, flags | (mode == walk_mode::rcu ? LOOKUP_RCU : 0u), &result);
            restore_nameidata();
        }
        return error ? place(error) : place(result);
    }
    int error_of(const std::string &name, unsigned flags = LOOKUP_FOLLOW,
                 walk_mode mode = walk_mode::ladder)
    {
        return walk(name, flags, mode).error();
    }
    /// The path that the walk ended at, from the root; or the error in words.
    std::string end_of(const std::string &name, unsigned flags = LOOKUP_FOLLOW,
                       walk_mode mode = walk_mode::ladder)
    {
        const place end = walk(name, flags, mode);
        char buffer[PATH_MAX_LENGTH];

        if (end.error())
            return strerrorname_np(-end.error());
        return d_path(&end.both(), buffer, sizeof(buffer));
    }

    memfs_options options;
    super_block *sb = nullptr;
    vfsmount *root_mnt = nullptr; ///< the namespace's
    warning_capture warnings;
};

} // namespace dcsim::inline DCSIM_BACKEND
