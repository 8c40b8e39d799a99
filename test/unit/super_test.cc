// SPDX-License-Identifier: GPL-2.0-only
//
// Super blocks: made empty, shut down with nothing left, or with an exact account of what is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "threads.h"
#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

/// A second file system, which the test shuts down itself.
class super_fixture : public vfs_fixture
{
  protected:
    void SetUp() override
    {
        vfs_fixture::SetUp();
        put_supers_ = 0;
        other = make_super_block();
        other->s_op = &operations;
    }

    /// Shut down while busy, `other` was leaked. Its users are gone now, and what they used waits
    /// on the LRU; it has no root any more, so the rest goes without further questions.
    void free_leaked()
    {
        shrink_dcache_sb(other);
        EXPECT_TRUE(list_empty(&other->s_inodes));
        EXPECT_EQ(generic_shutdown_super(other), 0);
    }

    static int put_supers()
    {
        return put_supers_;
    }

    super_block *other;

  private:
    static void call_put_super(super_block *sb)
    {
        put_supers_++;
        EXPECT_TRUE(rwsem_is_write_locked(&sb->s_umount));
        EXPECT_EQ(sb->s_root, nullptr);
        EXPECT_TRUE(list_empty(&sb->s_inodes));
        might_sleep();
    }

    static inline int put_supers_;
    static constexpr super_operations operations = {.put_super = call_put_super};
};

using AllocSuper = vfs_fixture;
using GenericShutdownSuper = super_fixture;

constexpr file_system_type some_type = {"sometype"};

TEST_F(AllocSuper, MakesAnEmptyOne)
{
    super_block *fresh = alloc_super(&some_type, "an id");

    EXPECT_EQ(fresh->s_type, &some_type);
    EXPECT_STREQ(fresh->s_id, "an id");
    EXPECT_NE(fresh->s_op, nullptr);
    EXPECT_EQ(fresh->s_root, nullptr);
    EXPECT_EQ(fresh->__s_d_op, nullptr);
    EXPECT_TRUE(list_empty(&fresh->s_inodes));
    EXPECT_TRUE(hlist_empty(&fresh->s_roots));
    EXPECT_EQ(list_lru_count(&fresh->s_dentry_lru), 0);
    EXPECT_FALSE(rwsem_is_locked(&fresh->s_umount));
    EXPECT_EQ(generic_shutdown_super(fresh), 0);
}

TEST_F(AllocSuper, ShortensALongId)
{
    super_block *fresh = alloc_super(&some_type, std::string(100, 'i').c_str());

    EXPECT_EQ(fresh->s_id, std::string(sizeof(fresh->s_id) - 1, 'i'));
    EXPECT_EQ(generic_shutdown_super(fresh), 0);
}

TEST_F(AllocSuper, ReturnsNullWithoutMemory)
{
    kmem_fail_nth(1);
    EXPECT_EQ(alloc_super(&some_type, "id"), nullptr);
}

TEST_F(GenericShutdownSuper, KillsWhatIsUnusedAndTellsTheFileSystem)
{
    {
        dentry_ref directory = make_child(other->s_root, "a", make_inode(other, S_IFDIR_TYPE));
        make_child(directory.get(), "b", make_inode(other, S_IFREG_TYPE));
        make_child(directory.get(), "absent", nullptr);
    }
    EXPECT_EQ(generic_shutdown_super(other), 0);
    EXPECT_EQ(put_supers(), 1);
}

TEST_F(GenericShutdownSuper, WithoutARootOnlyFreesTheMemory)
{
    super_block *rootless = alloc_super(&some_type, "rootless");

    rootless->s_op = other->s_op;
    EXPECT_EQ(generic_shutdown_super(rootless), 0);
    EXPECT_EQ(put_supers(), 0);
    EXPECT_EQ(generic_shutdown_super(other), 0);
}

TEST_F(GenericShutdownSuper, WaitsForWhoeverHoldsItOpen)
{
    down_read(&other->s_umount);
    {
        blocking_thread unmounting([&] { EXPECT_EQ(generic_shutdown_super(other), 0); });
        EXPECT_TRUE(unmounting.comes_to_sleep());
        EXPECT_NE(other->s_root, nullptr);
        up_read(&other->s_umount);
    }
    EXPECT_EQ(put_supers(), 1);
}

// A user of /a/b keeps a and the root as well: three dentries, each with its inode.
TEST_F(GenericShutdownSuper, CountsABusyDentryAndWhatItHolds)
{
    dentry_ref a = make_child(other->s_root, "a", make_inode(other, S_IFDIR_TYPE));
    dentry_ref b = make_child(a.get(), "b", make_inode(other, S_IFREG_TYPE));

    make_child(a.get(), "unused", make_inode(other, S_IFREG_TYPE));
    a.reset();
    EXPECT_EQ(generic_shutdown_super(other), 6);
    EXPECT_THAT(warnings.take(),
                ElementsAre(HasSubstr("name \"b\""),
                            HasSubstr("3 dentries and 3 inodes in use after unmount of test")));
    EXPECT_EQ(put_supers(), 0);
    b.reset();
    free_leaked();
}

TEST_F(GenericShutdownSuper, CountsABusyNegativeDentry)
{
    dentry_ref absent = make_child(other->s_root, "absent", nullptr);

    EXPECT_EQ(generic_shutdown_super(other), 3);
    EXPECT_THAT(warnings.take(),
                ElementsAre(HasSubstr("name \"absent\""), HasSubstr("2 dentries and 1 inodes")));
    absent.reset();
    free_leaked();
}

TEST_F(GenericShutdownSuper, CountsEveryNameOfAFile)
{
    inode *file = make_inode(other, S_IFREG_TYPE);

    ihold(file);
    dentry_ref one = make_child(other->s_root, "one", file);
    dentry_ref two = make_child(other->s_root, "two", file);
    EXPECT_EQ(generic_shutdown_super(other), 3 + 2);
    EXPECT_THAT(warnings.take(), SizeIs(3));
    one.reset();
    two.reset();
    free_leaked();
}

TEST_F(GenericShutdownSuper, CountsAnInodeThatHasNoDentry)
{
    inode *loose = make_inode(other, S_IFREG_TYPE);

    EXPECT_EQ(generic_shutdown_super(other), 1);
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("0 dentries and 1 inodes")));
    EXPECT_EQ(put_supers(), 0);
    iput(loose);
    free_leaked();
}

TEST_F(GenericShutdownSuper, OfABusyOneCanBeRepeated)
{
    inode *loose = make_inode(other, S_IFREG_TYPE);

    EXPECT_EQ(generic_shutdown_super(other), 1);
    EXPECT_EQ(generic_shutdown_super(other), 1);
    EXPECT_THAT(warnings.take(), SizeIs(2));
    iput(loose);
    free_leaked();
}

TEST_F(GenericShutdownSuper, CountsADentryThatIsInNoTree)
{
    dentry_ref handle = adopt_dentry(d_obtain_alias(make_inode(other, S_IFREG_TYPE)));

    EXPECT_EQ(generic_shutdown_super(other), 2);
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("1 dentries and 1 inodes")));
    handle.reset();
    free_leaked();
}

TEST_F(GenericShutdownSuper, KillsSecondaryRoots)
{
    {
        dentry_ref second = adopt_dentry(d_obtain_root(make_inode(other, S_IFDIR_TYPE)));
        make_child(second.get(), "below", make_inode(other, S_IFREG_TYPE));
        // As a mount of it would, until just before the file system is shut down.
    }
    EXPECT_EQ(generic_shutdown_super(other), 0);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
