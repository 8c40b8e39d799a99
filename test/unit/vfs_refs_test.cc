// SPDX-License-Identifier: GPL-2.0-only
//
// References and locks as objects: refs.h.
#include "dcsim/refs.h"

#include <utility>

#include <gtest/gtest.h>

#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using DentryRef = vfs_fixture;
using SpinGuard = vfs_fixture;

TEST_F(DentryRef, HoldsAReferenceOfItsOwn)
{
    int before = d_count(root);
    {
        dentry_ref one(root);
        EXPECT_EQ(d_count(root), before + 1);
        dentry_ref two = one;
        EXPECT_EQ(d_count(root), before + 2);
        dentry_ref three = std::move(two);
        EXPECT_EQ(d_count(root), before + 2);
    }
    EXPECT_EQ(d_count(root), before);
}

TEST_F(DentryRef, AdoptsTheCallersReference)
{
    int before = d_count(root);
    {
        dentry_ref adopted = adopt_dentry(dget(root));
        EXPECT_EQ(d_count(root), before + 1);
    }
    EXPECT_EQ(d_count(root), before);
}

TEST_F(DentryRef, GivesItsReferenceAway)
{
    dentry_ref file = make_file(root, "file");
    dentry *raw = file.detach();

    EXPECT_EQ(d_count(raw), 1);
    dput(raw);
    EXPECT_EQ(lru_length(), 1);
}

TEST_F(DentryRef, AnErrorOrNullIsNoReference)
{
    dentry_ref error = adopt_dentry(ERR_PTR(-ENOENT));
    dentry_ref copy = error;
    dentry_ref null = adopt_dentry(nullptr);

    EXPECT_TRUE(IS_ERR(copy.get()));
    EXPECT_EQ(null, nullptr);
}

TEST_F(SpinGuard, HoldsTheLockForABlock)
{
    spinlock_t lock;
    spin_lock_init(&lock, "test");
    {
        spin_guard guard(&lock);
        EXPECT_TRUE(spin_is_locked(&lock));
    }
    EXPECT_FALSE(spin_is_locked(&lock));
}

void enter_and_leave_rcu()
{
    rcu_read_guard guard;

    EXPECT_TRUE(rcu_read_lock_held());
}

TEST(RcuReadGuard, IsAReadSideSectionForABlock)
{
    {
        rcu_read_guard outer;
        EXPECT_TRUE(rcu_read_lock_held());
        enter_and_leave_rcu();
        EXPECT_TRUE(rcu_read_lock_held());
    }
    EXPECT_FALSE(rcu_read_lock_held());
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
