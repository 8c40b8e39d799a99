// SPDX-License-Identifier: GPL-2.0-only
//
// A mock file system, mounted with the options of a test at /m of a memfs, so that system calls
// walk into it as they would from anywhere.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "dcsim/kernel/slab.h"
#include "dcsim/mockfs/mock_filesystem.h"
#include "syscall_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

class mock_mounted_fixture : public syscall_fixture
{
  protected:
    explicit mock_mounted_fixture(const mock_filesystem *which) : fs(which) {}

    void SetUp() override
    {
        syscall_fixture::SetUp();
        make_directories({"/m"});
        mount({});
    }
    void TearDown() override
    {
        kmem_fail_nth(0);
        close_everything();
        unmount();
        syscall_fixture::TearDown();
    }

    /// In place of the one that is mounted.
    void mount(const std::vector<mock_option> &wanted)
    {
        mock_mount_options mount_options;

        unmount();
        mount_options.options = wanted;
        mock = fs->mount(mount_options, "mock");
        ASSERT_FALSE(IS_ERR(mock));
        ASSERT_EQ(sys_mount(&init_task, mock, "/m", 0), 0);
        top = mock->s_root;
    }
    void unmount()
    {
        if (!mock)
            return;
        ASSERT_EQ(sys_umount2(&init_task, "/m", 0), 0);
        rcu_barrier();
        EXPECT_EQ(fs->unmount(mock), 0);
        mock = nullptr;
    }

    /// A node at a path of the file system's own, such as "/d/f"; its directories must be there.
    mock_node *add(const std::string &path, umode_t mode = S_IFREG_TYPE | 0644,
                   const char *body = nullptr)
    {
        const size_t slash = path.rfind('/');
        const std::string name = path.substr(slash + 1);
        mock_node *parent = slash ? nodes_.at(path.substr(0, slash)) : fs->root_node(mock);
        mock_node *node = fs->add_node(mock, parent, name.data(), name.size(), mode, body);

        EXPECT_FALSE(IS_ERR(node)) << path;
        return nodes_[path] = node;
    }
    mock_node *add_directory(const std::string &path)
    {
        return add(path, S_IFDIR_TYPE | 0755);
    }
    /// Somebody else's change.
    int remote(remote_change what, const char *path, const char *second_path = nullptr)
    {
        return fs->remote(mock, what, path, second_path);
    }
    /// The cached child of the root directory, referenced, maybe nullptr.
    dentry_ref cached(const std::string &text)
    {
        qstr name = make_qstr(text.data(), static_cast<u32>(text.size()));

        return adopt_dentry(d_hash_and_lookup(top, &name));
    }
    /// What getdents64() says of one name in /m; a test failure when it does not say anything.
    entry entry_of(const std::string &name)
    {
        const int fd = open("/m", OPEN_RDONLY | OPEN_DIRECTORY);
        int result;
        entry found = {};

        for (const entry &each : read_entries(fd, 4096, &result)) {
            if (each.name == name)
                found = each;
        }
        close(fd);
        EXPECT_EQ(found.name, name);
        return found;
    }
    void run_everything_pending()
    {
        while (fs->run_pending(mock)) {
        }
    }

    /// Runs `work` with the first, the second, ... allocation failing until none fails any more.
    /// Returns how many failed.
    template <typename Work>
    long with_every_allocation_failing(Work work)
    {
        for (long nth = 1;; nth++) {
            kmem_fail_nth(nth);
            work();
            const bool failed = kmem_failure_delivered();
            kmem_fail_nth(0);
            if (!failed)
                return nth - 1;
        }
    }

    const mock_filesystem *const fs;
    super_block *mock = nullptr;
    dentry *top = nullptr;

  private:
    std::map<std::string, mock_node *> nodes_;
};

} // namespace dcsim::inline DCSIM_BACKEND
