// SPDX-License-Identifier: GPL-2.0-only
//
// Two file systems, one at the top of the namespace and one to be mounted.
#pragma once

#include <vector>

#include "dcsim/vfs/mount.h"
#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// The fixture's file system at the top of the namespace, with a directory to mount on, and a
/// second file system mounted nowhere yet. The test has a reference on each of the two mounts.
class mount_fixture : public vfs_fixture
{
  protected:
    /// One chain for all mounts, and one for all mountpoints.
    vfs_config config() const override
    {
        vfs_config config = vfs_fixture::config();
        config.mhash_entries = 1;
        config.mphash_entries = 1;
        return config;
    }

    void SetUp() override
    {
        vfs_fixture::SetUp();
        top = vfs_create_mount(sb);
        set_namespace_root(top);
        other_sb = make_super_block();
        other = vfs_create_mount(other_sb);
        directory = make_directory(root, "directory");
        file = make_file(root, "file");
    }

    void TearDown() override
    {
        directory.reset();
        file.reset();
        set_namespace_root(nullptr);
        mntput(&other->mnt);
        mntput(&top->mnt);
        rcu_barrier();
        EXPECT_EQ(mount_count(), 0);
        EXPECT_EQ(generic_shutdown_super(other_sb), 0);
        vfs_fixture::TearDown();
    }

    static path at(mount *mnt, dentry *dentry)
    {
        return {&mnt->mnt, dentry};
    }

    /// do_add_mount() after which the caller still has its reference.
    static int attach(mount *mnt, mount *where, dentry *dentry)
    {
        path path = at(where, dentry);
        int error;

        mntget(&mnt->mnt);
        error = do_add_mount(mnt, &path);
        if (error)
            mntput(&mnt->mnt);
        return error;
    }

    /// What is mounted there; the caller has a reference.
    static mount *found(mount *mnt, dentry *dentry)
    {
        path path = at(mnt, dentry);
        vfsmount *mounted = lookup_mnt(&path);
        return mounted ? real_mount(mounted) : nullptr;
    }

    /// do_loopback() of the whole file system of `old`; the new mount, with a reference.
    static mount *bind(mount *old, dentry *from, mount *where, dentry *dentry)
    {
        path source = at(old, from), target = at(where, dentry);
        EXPECT_EQ(do_loopback(&source, &target), 0);
        return found(where, dentry);
    }

    static bool is_mountpoint(mount *mnt, dentry *dentry)
    {
        path path = at(mnt, dentry);

        read_seqlock_excl(&mount_lock);
        bool mounted = __path_is_mountpoint(&path);
        read_sequnlock_excl(&mount_lock);
        return mounted;
    }

    static bool is_attached(const mount *mnt)
    {
        return mnt_has_parent(mnt);
    }

    static bool in_namespace(const mount *mnt)
    {
        return READ_ONCE(mnt->mnt_ns) == &init_mnt_ns;
    }

    static int references(const mount *mnt)
    {
        return READ_ONCE(mnt->mnt_count);
    }

    static unsigned mount_flags_of(const mount *mnt)
    {
        return READ_ONCE(mnt->mnt.mnt_flags);
    }

    /// Mounts that exist, once those that wait for RCU are gone.
    static long mounts()
    {
        rcu_barrier();
        return mount_count();
    }

    dentry_ref inside_other(const char *name)
    {
        return make_child(other_sb->s_root, name, make_inode(other_sb, S_IFDIR_TYPE));
    }

    mount *top;
    super_block *other_sb;
    mount *other;
    dentry_ref directory;
    dentry_ref file;
};

} // namespace dcsim::inline DCSIM_BACKEND
