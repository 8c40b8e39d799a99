// SPDX-License-Identifier: GPL-2.0-only
//
// A whole scenario, repeated with its first allocation failing, then its second, and so on until
// none is left to fail. After each round the file system must hold exactly what the operations that
// reported success made of it, and after unmounting nothing may be left.
#include <cstring>
#include <functional>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "dcsim/kernel/slab.h"
#include "dcsim/mockfs/memfs.h"
#include "dcsim/vfs/namei.h"
#include "dcsim/vfs/vfs.h"
#include "warnings.h"

using namespace dcsim;

namespace
{

const std::string long_name(100, 'l');
const std::string other_long_name(120, 'o');

/// The file system and what it should contain.
class scenario
{
  public:
    /// False when mounting itself met the failure.
    bool mount()
    {
        sb_ = memfs_mount({}, "failing");
        if (!IS_ERR(sb_))
            return true;
        EXPECT_EQ(PTR_ERR(sb_), -ENOMEM);
        return false;
    }

    void run()
    {
        make_directory("a");
        make_directory("b");
        make_directory("a/inner");
        create("a/file");
        create("a/" + long_name);
        rename("a/file", "b/" + other_long_name, 0);
        rename("b/" + other_long_name, "a/file", 0);
        rename("a/" + long_name, "a/file", RENAME_EXCHANGE_FLAG);
        rename("a/inner", "b/inner", 0);
        drop_cache();
        look_up("a/missing");
        create("b/replaced");
        create("b/replacing");
        rename("b/replacing", "b/replaced", 0);
        remove("a/file");
        drop_cache();
        obtain_alias("b/inner");
        remove_directory("b/inner");
    }

    /// With no failure armed any more: the contents are what the successful operations made.
    void check() const
    {
        static const char *const directories[] = {"", "a/", "b/"};

        for (const char *directory : directories)
            for (const std::string &name :
                 {std::string("a"), std::string("b"), std::string("file"), std::string("inner"),
                  std::string("replaced"), std::string("replacing"), std::string("missing"),
                  long_name, other_long_name}) {
                std::string path = directory + name;
                dentry *found = find(path);
                EXPECT_EQ(!IS_ERR(found), expected_.count(path) == 1) << path;
                if (!IS_ERR(found))
                    dput(found);
            }
    }

    void unmount()
    {
        EXPECT_EQ(memfs_unmount(sb_), 0);
    }

  private:
    dentry *find(const std::string &path) const
    {
        return lookup_path(sb_->s_root, path.data(), path.size());
    }

    /// Calls operation(parent, name) unless the parent cannot be had.
    template <typename Operation>
    int at(const std::string &path, Operation operation) const
    {
        size_t slash = path.rfind('/');
        std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
        dentry *parent =
            slash == std::string::npos ? dget(sb_->s_root) : find(path.substr(0, slash));

        if (IS_ERR(parent))
            return PTR_ERR(parent);
        int error = operation(parent, name);
        dput(parent);
        return error;
    }

    /// A failed allocation, or the consequence of an earlier one.
    static void expect_success_or_failure_by_injection(int error, const std::string &path)
    {
        EXPECT_TRUE(error == 0 || error == -ENOMEM || error == -ENOENT) << path << ": " << error;
    }

    void make_directory(const std::string &path)
    {
        int error = at(path, [](dentry *parent, const std::string &name) {
            return mkdir_at(parent, name.data(), name.size(), 0755);
        });
        expect_success_or_failure_by_injection(error, path);
        if (!error)
            expected_.insert(path);
    }

    void create(const std::string &path)
    {
        int error = at(path, [](dentry *parent, const std::string &name) {
            return create_at(parent, name.data(), name.size(), 0644);
        });
        expect_success_or_failure_by_injection(error, path);
        if (!error)
            expected_.insert(path);
    }

    void remove(const std::string &path)
    {
        int error = at(path, [](dentry *parent, const std::string &name) {
            return unlink_at(parent, name.data(), name.size());
        });
        expect_success_or_failure_by_injection(error, path);
        if (!error)
            expected_.erase(path);
    }

    void remove_directory(const std::string &path)
    {
        int error = at(path, [](dentry *parent, const std::string &name) {
            return rmdir_at(parent, name.data(), name.size());
        });
        expect_success_or_failure_by_injection(error, path);
        if (!error)
            expected_.erase(path);
    }

    void rename(const std::string &from, const std::string &to, unsigned flags)
    {
        int error = at(from, [&](dentry *old_parent, const std::string &old_name) {
            return at(to, [&](dentry *new_parent, const std::string &new_name) {
                return rename_at(old_parent, old_name.data(), old_name.size(), new_parent,
                                 new_name.data(), new_name.size(), flags);
            });
        });
        expect_success_or_failure_by_injection(error, from + " to " + to);
        if (!error && !(flags & RENAME_EXCHANGE_FLAG)) {
            expected_.erase(from);
            expected_.insert(to);
        }
    }

    void look_up(const std::string &path)
    {
        dentry *found = find(path);

        if (IS_ERR(found))
            return expect_success_or_failure_by_injection(PTR_ERR(found), path);
        dput(found);
    }

    void obtain_alias(const std::string &path)
    {
        dentry *found = find(path);

        if (IS_ERR(found))
            return;
        inode *inode = d_inode(found);
        ihold(inode);
        dput(found);
        drop_cache();
        dentry *alias = d_obtain_alias(inode);
        if (IS_ERR(alias))
            EXPECT_EQ(PTR_ERR(alias), -ENOMEM);
        else
            dput(alias);
    }

    void drop_cache()
    {
        shrink_dcache_parent(sb_->s_root);
    }

    super_block *sb_ = nullptr;
    std::set<std::string> expected_;
};

/// One round with allocation `n` failing. Returns whether there was such an allocation.
bool run_with_failure(long n)
{
    vfs_config config;
    config.dhash_entries = 16;
    config.ihash_entries = 16;
    EXPECT_EQ(vfs_init(config), 0);

    scenario scenario;
    kmem_fail_nth(n);
    bool mounted = scenario.mount();
    if (mounted)
        scenario.run();
    bool delivered = kmem_failure_delivered();
    kmem_fail_nth(0);
    if (mounted) {
        scenario.check();
        scenario.unmount();
    }
    EXPECT_TRUE(vfs_exit().none());
    return delivered;
}

TEST(AllocationFailure, EveryOneLeavesTheTreeAsTheSuccessfulOperationsMadeIt)
{
    warning_capture warnings;
    long rounds = 1;

    while (run_with_failure(rounds)) {
        ASSERT_FALSE(HasFailure()) << "with allocation " << rounds << " failing";
        ASSERT_LT(rounds++, 10000) << "the scenario does not end";
    }
    EXPECT_GT(rounds, 30) << "the scenario hardly allocates: it tests nothing";
}

} // namespace
