// SPDX-License-Identifier: GPL-2.0-only
//
// Tasks: what they share, copy and give back, whose rights count, and where their paths begin.
#include <thread>

#include <gtest/gtest.h>

#include "dcsim/vfs/task.h"
#include "mount_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

class task_fixture : public mount_fixture
{
  protected:
    void SetUp() override
    {
        mount_fixture::SetUp();
        path whole = at(top, root), part = at(top, directory.get());
        set_fs_root(&init_fs, &whole);
        set_fs_pwd(&init_fs, &part);
    }
    void TearDown() override
    {
        path nowhere = {nullptr, nullptr};
        set_fs_root(&init_fs, &nowhere);
        set_fs_pwd(&init_fs, &nowhere);
        mount_fixture::TearDown();
    }

    static dentry *pwd_of(fs_struct *fs)
    {
        return READ_ONCE(fs->pwd.dentry);
    }
};

using VfsTaskCreate = task_fixture;
using TaskScope = task_fixture;
using Credentials = task_fixture;
using FsStruct = task_fixture;

int users_of_init_fs()
{
    const spin_guard guard(&init_fs.lock);

    return init_fs.users;
}

TEST_F(VfsTaskCreate, CopiesWhatItDoesNotShare)
{
    int of_directory = d_count(directory.get()), of_top = references(top);
    WRITE_ONCE(init_fs.umask, umode_t{027});
    vfs_task *task = vfs_task_create(&init_task, 0);

    EXPECT_NE(task->fs, &init_fs);
    EXPECT_NE(task->files, &init_files);
    EXPECT_EQ(task->cred, &init_cred);
    EXPECT_EQ(pwd_of(task->fs), directory.get());
    EXPECT_EQ(READ_ONCE(task->fs->root.dentry), root);
    EXPECT_EQ(READ_ONCE(task->fs->umask), 027);
    EXPECT_EQ(d_count(directory.get()), of_directory + 1);
    EXPECT_EQ(references(top), of_top + 2);

    path elsewhere = at(top, root);
    set_fs_pwd(task->fs, &elsewhere);
    EXPECT_EQ(pwd_of(&init_fs), directory.get());
    vfs_task_exit(task);
    EXPECT_EQ(d_count(directory.get()), of_directory);
    EXPECT_EQ(references(top), of_top);
}

TEST_F(VfsTaskCreate, SharesWhatItIsToldTo)
{
    int of_directory = d_count(directory.get());
    vfs_task *first = vfs_task_create(&init_task, 0);
    vfs_task *second = vfs_task_create(first, CLONE_FS_FLAG | CLONE_FILES_FLAG);

    EXPECT_EQ(second->fs, first->fs);
    EXPECT_EQ(second->files, first->files);
    EXPECT_EQ(d_count(directory.get()), of_directory + 1);
    path elsewhere = at(top, root);
    set_fs_pwd(first->fs, &elsewhere);
    EXPECT_EQ(pwd_of(second->fs), root);
    // What is shared goes with its last user.
    vfs_task_exit(first);
    EXPECT_EQ(pwd_of(second->fs), root);
    vfs_task_exit(second);
}

TEST_F(VfsTaskCreate, SharesTheFirstTasksToo)
{
    vfs_task *task = vfs_task_create(&init_task, CLONE_FS_FLAG | CLONE_FILES_FLAG);

    EXPECT_EQ(task->fs, &init_fs);
    EXPECT_EQ(task->files, &init_files);
    vfs_task_exit(task);
    EXPECT_EQ(pwd_of(&init_fs), directory.get());
    EXPECT_EQ(users_of_init_fs(), 1);
}

TEST_F(VfsTaskCreate, LeavesNothingBehindWithoutMemory)
{
    int of_directory = d_count(directory.get()), of_top = references(top);
    long before = kmalloc_objects();
    vfs_task *task = nullptr;
    int attempts = 0;

    do {
        kmem_fail_nth(++attempts);
        task = vfs_task_create(&init_task, 0);
        if (!task) {
            EXPECT_EQ(kmalloc_objects(), before);
            EXPECT_EQ(d_count(directory.get()), of_directory);
            EXPECT_EQ(references(top), of_top);
            EXPECT_EQ(users_of_init_fs(), 1);
        }
    } while (!task && attempts < 10);
    kmem_fail_nth(0);
    EXPECT_GE(attempts, 4); // the task, its files, its fs_struct
    ASSERT_NE(task, nullptr);
    vfs_task_exit(task);
}

TEST_F(TaskScope, IsWhomTheThreadActsFor)
{
    vfs_task one = init_task, two = init_task;

    EXPECT_EQ(current_vfs_task(), &init_task);
    {
        task_scope outer(&one);
        EXPECT_EQ(current_vfs_task(), &one);
        {
            task_scope inner(&two);
            EXPECT_EQ(current_vfs_task(), &two);
            std::jthread other_thread([] { EXPECT_EQ(current_vfs_task(), &init_task); });
        }
        EXPECT_EQ(current_vfs_task(), &one);
    }
    EXPECT_EQ(current_vfs_task(), &init_task);
}

TEST_F(Credentials, AreThoseOfTheCallingTask)
{
    constexpr kgid_t groups[] = {7, 3, 50};
    cred user = {.fsuid = 1000,
                 .fsgid = 100,
                 .groups = groups,
                 .group_count = 3,
                 .cap_effective = u64{1} << CAP_FOWNER | u64{1} << CAP_MKNOD};
    vfs_task task = init_task;
    task.cred = &user;

    EXPECT_EQ(current_fsuid(), 0u);
    EXPECT_TRUE(capable(CAP_DAC_OVERRIDE));
    EXPECT_FALSE(in_group_p(50));
    task_scope scope(&task);
    EXPECT_EQ(current_fsuid(), 1000u);
    EXPECT_EQ(current_fsgid(), 100u);
    EXPECT_FALSE(capable(CAP_DAC_OVERRIDE));
    EXPECT_TRUE(capable(CAP_FOWNER));
    EXPECT_TRUE(capable(CAP_MKNOD));
    for (kgid_t group : {100, 7, 3, 50})
        EXPECT_TRUE(in_group_p(group)) << group;
    EXPECT_FALSE(in_group_p(0));
    EXPECT_FALSE(in_group_p(51));
}

TEST_F(FsStruct, IsEmptiedWhenTheFirstTaskLeavesIt)
{
    int of_directory = d_count(directory.get());

    put_fs_struct(&init_fs);
    EXPECT_EQ(pwd_of(&init_fs), nullptr);
    EXPECT_EQ(READ_ONCE(init_fs.root.mnt), nullptr);
    EXPECT_EQ(users_of_init_fs(), 1);
    EXPECT_EQ(d_count(directory.get()), of_directory - 1);
}

TEST_F(FsStruct, UnsetPathsHaveNoCount)
{
    path nowhere = {nullptr, nullptr}, found;
    inode *inode = d_inode(root);
    unsigned seq = 1;

    set_fs_root(&init_fs, &nowhere);
    set_fs_pwd(&init_fs, &nowhere);
    rcu_read_lock();
    get_fs_root_rcu_seq(&init_fs, &found, &seq);
    EXPECT_EQ(found.dentry, nullptr);
    EXPECT_EQ(seq, 0u);
    seq = 1;
    get_fs_pwd_rcu_seq(&init_fs, &found, &inode, &seq);
    EXPECT_EQ(found.mnt, nullptr);
    EXPECT_EQ(inode, nullptr);
    EXPECT_EQ(seq, 0u);
    rcu_read_unlock();
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
