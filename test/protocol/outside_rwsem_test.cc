// SPDX-License-Identifier: GPL-2.0-only
//
// The proposed order on real threads: names are found or allocated before their directory is
// locked (docs/proposed.md). What a task has found may be something else by the time it has the
// lock, and it has to notice.
//
// A lookup that is held inside ->lookup() keeps a directory locked shared. Those who want to write
// queue up for it, each known to sleep before the next one starts; the queue is first come, first
// served. So the order in which they get the directory is the order in which they were started.
#include <functional>
#include <string>

#include <gtest/gtest.h>

#include "gate.h"
#include "lookup_eras.h"
#include "syscall_fixture.h"
#include "threads.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// A system call made by a thread of its own.
class call
{
  public:
    explicit call(std::function<int()> body) : thread_([this, body] { result_ = body(); }) {}

    /// Waits until the thread waits. False when the call returned instead.
    bool waits()
    {
        return thread_.comes_to_wait();
    }
    /// Waits for the end.
    int result()
    {
        thread_.join();
        return result_;
    }

  private:
    int result_ = 1; // what no call returns
    blocking_thread thread_;
};

/// In the eras that know the order.
class OutsideRwsem : public syscall_fixture, public ::testing::WithParamInterface<lookup_era>
{
  protected:
    OutsideRwsem()
    {
        options.before_lookup_argument = &at_lookup;
        options.before_lookup = [](void *at_lookup, inode *, dentry *dentry) {
            if (name_of(dentry) == "slow")
                static_cast<gate *>(at_lookup)->pass();
            return 0;
        };
    }
    vfs_config config() const override
    {
        vfs_config config = syscall_fixture::config();

        config.era = GetParam();
        config.lookup_outside_rwsem = true;
        return config;
    }
    void SetUp() override
    {
        syscall_fixture::SetUp();
        make_directories({"/dir", "/other"});
        make_files({"/dir/file", "/other/moved"});
    }

    static int look(const std::string &name)
    {
        kstat stat;

        return sys_newfstatat(&init_task, CWD, name.c_str(), &stat, 0);
    }
    static int rename(const char *from, const char *to)
    {
        return sys_renameat2(&init_task, CWD, from, CWD, to, 0);
    }
    /// Opens and closes: 0, or the error.
    static int create(const char *name, unsigned flags)
    {
        int fd = sys_openat(&init_task, CWD, name, flags, 0644);

        return fd < 0 ? fd : sys_close(&init_task, fd);
    }
    ino_t number_of(const std::string &name)
    {
        return stat_at(name).ino;
    }

    gate at_lookup;
};

/// Keeps a directory locked shared, by a lookup of a name that does not exist.
class held_directory
{
  public:
    held_directory(gate &at_lookup, std::function<int()> lookup)
        : at_lookup_(at_lookup), lookup_(std::move(lookup))
    {
        at_lookup_.wait_for_arrival();
    }
    void release()
    {
        at_lookup_.open(1);
        EXPECT_EQ(lookup_.result(), -ENOENT);
    }

  private:
    gate &at_lookup_;
    call lookup_;
};

// Today the second one would be in the queue for the directory as well.
TEST_P(OutsideRwsem, WhoWaitsForANameWaitsForNoDirectory)
{
    drop_caches();
    const place dir = walk("/dir");
    counter_change asked(FS_LOOKUPS), waits(LOOKUP_WAITS);

    inode_lock(d_inode(dir.at()));
    call owner([] { return look("/dir/file"); });
    EXPECT_TRUE(owner.waits());
    EXPECT_EQ(waits.value(), 0) << "it is the directory that it waits for";
    call second([] { return look("/dir/file"); });
    EXPECT_TRUE(second.waits());
    EXPECT_EQ(waits.value(), 1);
    EXPECT_EQ(asked.value(), 0);
    inode_unlock(d_inode(dir.at()));

    EXPECT_EQ(owner.result(), 0);
    EXPECT_EQ(second.result(), 0);
    EXPECT_EQ(asked.value(), 1);
}

// rmdir() does not keep names of its directory from being in lookup any more.
TEST_P(OutsideRwsem, TheOwnerOfANameLearnsUnderTheLockThatTheDirectoryIsGone)
{
    make_directories({"/gone"});
    counter_change asked(FS_LOOKUPS), waits(LOOKUP_WAITS), mismatch(RETRY_MISMATCH);
    held_directory held(at_lookup, [] { return look("/gone/slow"); });
    call remover([] { return sys_unlinkat(&init_task, CWD, "/gone", AT_REMOVEDIR_FLAG); });
    EXPECT_TRUE(remover.waits());
    call owner([] { return look("/gone/name"); });
    EXPECT_TRUE(owner.waits());
    call second([] { return look("/gone/name"); });
    EXPECT_TRUE(second.waits());
    EXPECT_EQ(waits.value(), 1);
    held.release();

    EXPECT_EQ(remover.result(), 0);
    EXPECT_EQ(owner.result(), -ENOENT);
    EXPECT_EQ(second.result(), -ENOENT);
    EXPECT_EQ(mismatch.value(), 1) << "the second one took the name over";
    EXPECT_EQ(asked.value(), 1) << "nobody asks a removed directory";
}

TEST_P(OutsideRwsem, WhatHasMovedToAnotherDirectoryIsNotRemoved)
{
    held_directory held(at_lookup, [] { return look("/dir/slow"); });
    call mover([] { return rename("/dir/file", "/other/file"); });
    EXPECT_TRUE(mover.waits());
    call remover([] { return sys_unlinkat(&init_task, CWD, "/dir/file", 0); });
    EXPECT_TRUE(remover.waits());
    held.release();

    EXPECT_EQ(mover.result(), 0);
    EXPECT_EQ(remover.result(), -ENOENT);
    EXPECT_TRUE(exists("/other/file"));
}

TEST_P(OutsideRwsem, WhatHasMovedAwayFromTheTargetsNameIsNotReplaced)
{
    const ino_t first = number_of("/dir/file"), second = number_of("/other/moved");
    held_directory held(at_lookup, [] { return look("/dir/slow"); });
    call mover([] { return rename("/dir/file", "/dir/renamed"); });
    EXPECT_TRUE(mover.waits());
    call replacer([] { return rename("/other/moved", "/dir/file"); });
    EXPECT_TRUE(replacer.waits());
    held.release();

    EXPECT_EQ(mover.result(), 0);
    EXPECT_EQ(replacer.result(), 0);
    EXPECT_EQ(number_of("/dir/renamed"), first);
    EXPECT_EQ(number_of("/dir/file"), second);
}

// The miss that it found in the cache is nobody's name any more.
TEST_P(OutsideRwsem, ACreatorOpensWhatWasMovedToItsNameMeanwhile)
{
    const ino_t moved = number_of("/other/moved");
    ASSERT_FALSE(exists("/dir/absent"));
    held_directory held(at_lookup, [] { return look("/dir/slow"); });
    call mover([] { return rename("/other/moved", "/dir/absent"); });
    EXPECT_TRUE(mover.waits());
    call creator([] { return create("/dir/absent", CREATE); });
    EXPECT_TRUE(creator.waits());
    held.release();

    EXPECT_EQ(mover.result(), 0);
    EXPECT_EQ(creator.result(), 0);
    EXPECT_EQ(number_of("/dir/absent"), moved);
}

// The name in lookup is what two creators meet at, not the directory.
TEST_P(OutsideRwsem, OneOfTwoCreatorsOfANewNameMakesIt)
{
    counter_change waits(LOOKUP_WAITS);
    held_directory held(at_lookup, [] { return look("/dir/slow"); });
    call first([] { return create("/dir/new", CREATE_NEW); });
    EXPECT_TRUE(first.waits());
    EXPECT_EQ(waits.value(), 0);
    call second([] { return create("/dir/new", CREATE_NEW); });
    EXPECT_TRUE(second.waits());
    EXPECT_EQ(waits.value(), 1);
    held.release();

    EXPECT_EQ(first.result(), 0);
    EXPECT_EQ(second.result(), -EEXIST);
}

INSTANTIATE_TEST_SUITE_P(Eras, OutsideRwsem, ::testing::Values(ERA_V3, ERA_7_2), name_of_era_test);

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
