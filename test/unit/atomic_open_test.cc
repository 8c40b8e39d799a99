// SPDX-License-Identifier: GPL-2.0-only
//
// What passes between open(2) and a file system of the test's own that looks up, makes and opens in
// one step, or one after the other.
#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "syscall_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using namespace ::testing;

/// A file system at /m with an empty root directory, whose operations belong to the test. Files
/// count how often they were opened and released.
class mock_fixture : public syscall_fixture
{
  protected:
    void SetUp() override
    {
        syscall_fixture::SetUp();
        opened = released = 0;
        mock = alloc_super(&type_, "mock");
        mock->s_root = d_make_root(make_inode(S_IFDIR_TYPE | 0777));
        make_directories({"/m"});
        ASSERT_EQ(sys_mount(&init_task, mock, "/m", 0), 0);
        top = walk("/m").at();
        dir = d_inode(top);
    }
    void TearDown() override
    {
        on_open = nullptr;
        on_lookup = nullptr;
        callbacks.forget();
        close_everything();
        ASSERT_EQ(sys_umount2(&init_task, "/m", 0), 0);
        rcu_barrier();
        EXPECT_EQ(generic_shutdown_super(mock), 0);
        EXPECT_EQ(opened, released);
        on_atomic_open = nullptr;
        syscall_fixture::TearDown();
    }

    inode *make_inode(umode_t mode)
    {
        inode *inode = new_inode(mock);

        inode->i_ino = ++last_ino_;
        WRITE_ONCE(inode->i_mode, mode);
        inode->i_op = S_ISDIR_mode(mode) ? &three_steps : &file_operations_;
        inode->i_fop = &open_files;
        return inode;
    }
    inode *make_file(umode_t mode = 0644)
    {
        return make_inode(S_IFREG_TYPE | mode);
    }
    /// The directory looks up, makes and opens in one step.
    void open_in_one_step()
    {
        dir->i_op = &one_step;
    }
    /// A cached child of the directory.
    void cache(const char *name, inode *inode)
    {
        qstr q = name_below(top, name);
        dentry *dentry = d_alloc(top, &q);

        d_add(dentry, inode);
        dput(dentry);
    }
    dentry *dentry_of(int fd)
    {
        task_scope scope(actor);
        file *file = fget_raw(static_cast<unsigned>(fd));
        dentry *dentry = file->f_path.dentry;

        fput(file);
        return dentry;
    }

    /// A file system that allocates a name under its directory's lock, as nfs_atomic_open() of v7.2
    /// does, breaks a rule of the order where names are found before that lock is taken.
    void expect_no_allocation_under_the_lock()
    {
        if (lookup_outside_rwsem_under_test) {
            EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("d_alloc_parallel()")));
        }
    }

    static dentry *call_lookup(inode *dir, dentry *dentry, unsigned flags)
    {
        if (on_lookup)
            return on_lookup(dir, dentry, flags);
        return d_splice_alias(nullptr, dentry);
    }
    static int call_atomic_open(inode *dir, dentry *dentry, file *file, unsigned flags,
                                umode_t mode)
    {
        return on_atomic_open(dir, dentry, file, flags, mode);
    }
    static int call_open(inode *inode, file *file)
    {
        const int error = on_open ? on_open(inode, file) : 0;

        opened += !error;
        return error;
    }
    static int call_release(inode *, file *)
    {
        released++;
        return 0;
    }

    static int64_t call_llseek(file *, int64_t offset, int whence)
    {
        return offset + whence;
    }

    static inline std::function<dentry *(inode *, dentry *, unsigned)> on_lookup;
    static inline std::function<int(inode *, dentry *, file *, unsigned, umode_t)> on_atomic_open;
    static inline std::function<int(inode *, file *)> on_open;
    static inline int opened, released;

    static inline const inode_operations three_steps = {.lookup = call_lookup};
    static inline const inode_operations one_step = {.lookup = call_lookup,
                                                     .atomic_open = call_atomic_open};
    static inline const inode_operations file_operations_ = {};
    static inline const file_operations open_files = {
        .open = call_open, .release = call_release, .llseek = call_llseek};

    dentry_callbacks callbacks;
    super_block *mock = nullptr;
    dentry *top = nullptr;
    inode *dir = nullptr;

  private:
    static inline const file_system_type type_ = {"mockfs"};
    ino_t last_ino_ = 0;
};

using AtomicOpen = mock_fixture;
using LookupOpen = mock_fixture;
using OpenStale = mock_fixture;

TEST_F(AtomicOpen, MakesAndOpensInOneStep)
{
    open_in_one_step();
    on_atomic_open = [this](inode *where, dentry *dentry, file *file, unsigned flags,
                            umode_t mode) {
        EXPECT_EQ(where, dir);
        EXPECT_TRUE(rwsem_is_write_locked(&dir->i_rwsem));
        EXPECT_TRUE(d_in_lookup(dentry));
        EXPECT_EQ(flags, CREATE);
        EXPECT_EQ(mode, S_IFREG_TYPE | 0200) << "the umask is off";
        d_add(dentry, make_file(0));
        file->f_mode |= FMODE_CREATED;
        return finish_open(file, dentry, nullptr);
    };
    actor = user;

    const int fd = open("/m/f", CREATE, 0222);
    ASSERT_GE(fd, 0) << "whoever made it needs no permission";
    EXPECT_EQ(opened, 1);
    EXPECT_EQ(d_count(dentry_of(fd)), 1);
}

TEST_F(AtomicOpen, WithoutCreationTheDirectoryIsLockedShared)
{
    open_in_one_step();
    on_atomic_open = [this](inode *, dentry *dentry, file *file, unsigned flags, umode_t) {
        EXPECT_TRUE(rwsem_is_locked(&dir->i_rwsem));
        EXPECT_FALSE(rwsem_is_write_locked(&dir->i_rwsem));
        EXPECT_EQ(flags, OPEN_RDONLY | OPEN_DIR_SHARED);
        d_add(dentry, make_file());
        return finish_open(file, dentry, nullptr);
    };
    EXPECT_GE(open("/m/f", OPEN_RDONLY), 0);
}

TEST_F(AtomicOpen, IsNotAskedAboutACachedFile)
{
    open_in_one_step();
    on_atomic_open = [](auto...) { return -EIO; };
    cache("f", make_file());

    EXPECT_GE(open("/m/f", OPEN_RDONLY), 0);
    EXPECT_GE(open("/m/f", CREATE), 0);
    EXPECT_EQ(open("/m/f", CREATE_NEW), -EEXIST);
    EXPECT_EQ(opened, 2);
}

/// As NFS does with a hashed negative dentry: it needs one that nobody else sees.
TEST_F(AtomicOpen, MayDropTheDentryAndGoOnWithANewOne)
{
    const dentry *old = nullptr, *fresh = nullptr;

    open_in_one_step();
    cache("f", nullptr);
    on_atomic_open = [&](inode *, dentry *dentry, file *file, unsigned, umode_t) {
        struct dentry *parallel;
        qstr name = name_below(top, "f");
        int error;

        EXPECT_FALSE(d_in_lookup(dentry));
        d_drop(dentry);
        parallel = d_alloc_parallel(top, &name);
        EXPECT_TRUE(d_in_lookup(parallel));
        EXPECT_EQ(d_splice_alias(make_file(), parallel), nullptr);
        file->f_mode |= FMODE_CREATED;
        error = finish_open(file, parallel, nullptr);
        old = dentry;
        fresh = parallel;
        dput(parallel);
        return error;
    };

    const int fd = open("/m/f", CREATE);
    ASSERT_GE(fd, 0);
    EXPECT_EQ(dentry_of(fd), fresh);
    EXPECT_NE(fresh, old);
    EXPECT_EQ(d_count(fresh), 1);
    EXPECT_FALSE(d_unhashed(fresh));
    expect_no_allocation_under_the_lock();
}

TEST_F(AtomicOpen, MayOnlyLookUpAndLeaveOpeningToTheVfs)
{
    open_in_one_step();
    on_atomic_open = [this](inode *, dentry *dentry, file *file, unsigned, umode_t) {
        d_add(dentry, make_file(0600));
        return finish_no_open(file, nullptr);
    };

    EXPECT_GE(open("/m/f", OPEN_RDONLY), 0);
    EXPECT_EQ(opened, 1);
    actor = user;
    EXPECT_EQ(open("/m/g", OPEN_RDONLY), -EACCES);
    EXPECT_EQ(opened, 1);
}

TEST_F(AtomicOpen, MayFindAnotherDentryAndHandItOver)
{
    dentry *found = nullptr;

    open_in_one_step();
    cache("f", nullptr);
    on_atomic_open = [&](inode *, dentry *dentry, file *file, unsigned, umode_t) {
        qstr name = name_below(top, "f");

        d_drop(dentry);
        found = d_alloc_parallel(top, &name);
        d_add(found, make_file());
        return finish_no_open(file, found);
    };

    const int fd = open("/m/f", OPEN_CREAT | OPEN_RDONLY);
    ASSERT_GE(fd, 0);
    EXPECT_EQ(dentry_of(fd), found);
    EXPECT_EQ(d_count(found), 1);
    expect_no_allocation_under_the_lock();
}

TEST_F(AtomicOpen, AnErrorInsteadOfADentryIsTheResult)
{
    open_in_one_step();
    on_atomic_open = [](inode *, dentry *, file *file, unsigned, umode_t) {
        return finish_no_open(file, ERR_PTR(-EREMOTEIO));
    };
    EXPECT_EQ(open("/m/f", OPEN_RDONLY), -EREMOTEIO);
}

TEST_F(AtomicOpen, ANegativeAnswerIsNoFile)
{
    open_in_one_step();
    on_atomic_open = [](inode *, dentry *dentry, file *file, unsigned, umode_t) {
        d_add(dentry, nullptr);
        return finish_no_open(file, nullptr);
    };
    EXPECT_EQ(open("/m/f", OPEN_RDONLY), -ENOENT);
    EXPECT_EQ(error_of("/m/f"), -ENOENT);
}

/// The next one who wants the name would wait for ever.
TEST_F(AtomicOpen, AnInLookupDentryThatItLeavesIsFinishedByTheVfs)
{
    int asked = 0;

    open_in_one_step();
    on_atomic_open = [&](inode *, dentry *dentry, file *, unsigned, umode_t) {
        asked++;
        EXPECT_TRUE(d_in_lookup(dentry));
        return -EIO;
    };
    EXPECT_EQ(open("/m/f", CREATE), -EIO);
    EXPECT_EQ(open("/m/f", OPEN_RDONLY), -EIO);
    EXPECT_EQ(error_of("/m/f"), -ENOENT);
    EXPECT_EQ(asked, 2);
}

TEST_F(AtomicOpen, ThatFinishesNothingIsABug)
{
    open_in_one_step();
    on_atomic_open = [](auto...) { return 0; };
    EXPECT_EQ(open("/m/f", OPEN_RDONLY), -EIO);
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("not_set")));
}

TEST_F(AtomicOpen, WhoMayNotCreateDoesNotAskForIt)
{
    bool there = false;

    open_in_one_step();
    WRITE_ONCE(dir->i_mode, S_IFDIR_TYPE | 0755);
    on_atomic_open = [&](inode *, dentry *dentry, file *file, unsigned flags, umode_t) {
        EXPECT_FALSE(flags & OPEN_CREAT);
        EXPECT_EQ(flags & OPEN_DIR_SHARED,
                  rwsem_is_write_locked(&dir->i_rwsem) ? 0u : unsigned{OPEN_DIR_SHARED});
        if (!there)
            return -ENOENT;
        d_add(dentry, make_file(0666));
        return finish_open(file, dentry, nullptr);
    };
    actor = user;

    EXPECT_EQ(open("/m/f", CREATE), -EACCES);
    EXPECT_EQ(open("/m/f", OPEN_RDONLY), -ENOENT);
    there = true;
    EXPECT_GE(open("/m/f", CREATE), 0);

    // A lookup that found nothing is the same refusal.
    on_atomic_open = [](inode *, dentry *dentry, file *file, unsigned, umode_t) {
        d_add(dentry, nullptr);
        return finish_no_open(file, nullptr);
    };
    EXPECT_EQ(open("/m/g", CREATE), -EACCES);
}

TEST_F(AtomicOpen, SeesTheFlagsThatMeanSomethingToIt)
{
    std::vector<unsigned> seen;

    open_in_one_step();
    on_atomic_open = [&](inode *, dentry *, file *, unsigned flags, umode_t) {
        seen.push_back(flags);
        return -EIO;
    };
    open("/m/f", OPEN_CREAT | OPEN_EXCL | OPEN_TRUNC | OPEN_WRONLY);
    open("/m/f", OPEN_CREAT | OPEN_TRUNC | OPEN_WRONLY);
    open("/m/f", OPEN_ACCMODE);
    open("/m/f/", OPEN_RDONLY);
    EXPECT_THAT(seen, ElementsAre(OPEN_CREAT | OPEN_EXCL | OPEN_WRONLY,
                                  OPEN_CREAT | OPEN_TRUNC | OPEN_WRONLY,
                                  OPEN_RDWR | OPEN_DIR_SHARED, OPEN_DIRECTORY | OPEN_DIR_SHARED));
}

TEST_F(AtomicOpen, WhatItOpenedIsReleasedWhenTheVfsRefusesIt)
{
    open_in_one_step();
    on_atomic_open = [this](inode *, dentry *dentry, file *file, unsigned, umode_t) {
        d_add(dentry, make_file(0));
        return finish_open(file, dentry, nullptr);
    };
    actor = user;
    EXPECT_EQ(open("/m/f", OPEN_RDONLY), -EACCES);
    EXPECT_EQ(open("/m/g", CREATE_NEW), -EEXIST);
    EXPECT_EQ(opened, 2);
    EXPECT_EQ(released, 2);
}

TEST_F(AtomicOpen, MayOpenInItsOwnWay)
{
    open_in_one_step();
    on_atomic_open = [this](inode *, dentry *dentry, file *file, unsigned, umode_t) {
        d_add(dentry, make_file());
        return finish_open(file, dentry, [](inode *, struct file *) { return -ENOLINK; });
    };
    EXPECT_EQ(open("/m/f", OPEN_RDONLY), -ENOLINK);
    EXPECT_EQ(opened, 0);
    EXPECT_EQ(released, 0);
}

// --- lookup, create, open ---

TEST_F(LookupOpen, AFileSystemThatCannotCreateRefuses)
{
    EXPECT_EQ(open("/m/f", CREATE), -EACCES);
    EXPECT_EQ(open("/m/f", OPEN_RDONLY), -ENOENT);
    EXPECT_EQ(open("/m", OPEN_TMPFILE | OPEN_RDWR), -EOPNOTSUPP);
}

TEST_F(LookupOpen, AnErrorOfTheLookupIsTheResult)
{
    on_lookup = [](auto...) -> dentry * { return ERR_PTR(-EREMOTEIO); };
    EXPECT_EQ(open("/m/f", CREATE), -EREMOTEIO);
    EXPECT_EQ(open("/m/f", OPEN_RDONLY), -EREMOTEIO);
}

TEST_F(LookupOpen, TellsTheFileSystemWhatItIsFor)
{
    std::vector<unsigned> seen;

    on_lookup = [&](inode *, dentry *, unsigned flags) -> dentry * {
        seen.push_back(flags & (LOOKUP_OPEN | LOOKUP_CREATE | LOOKUP_EXCL | LOOKUP_SHARED));
        EXPECT_EQ(flags & LOOKUP_SHARED,
                  rwsem_is_write_locked(&dir->i_rwsem) ? 0u : unsigned{LOOKUP_SHARED});
        return ERR_PTR(-EIO);
    };
    open("/m/f", OPEN_RDONLY);
    open("/m/f", CREATE);
    open("/m/f", CREATE_NEW);
    EXPECT_THAT(seen, ElementsAre(LOOKUP_OPEN | LOOKUP_SHARED, LOOKUP_OPEN | LOOKUP_CREATE,
                                  LOOKUP_OPEN | LOOKUP_CREATE | LOOKUP_EXCL));
}

TEST_F(LookupOpen, AStaleEntryIsLookedUpAgain)
{
    int looked_up = 0;

    callbacks.revalidate = [](auto...) { return 0; };
    set_default_d_op(mock, callbacks.table());
    cache("f", make_file());
    on_lookup = [&](inode *, dentry *dentry, unsigned) {
        looked_up++;
        return d_splice_alias(nullptr, dentry);
    };
    // Not -EEXIST: it is gone, and could be made again but for the missing ->create().
    EXPECT_EQ(open("/m/f", CREATE_NEW), -EACCES);
    EXPECT_EQ(looked_up, 1);
}

TEST_F(LookupOpen, AnErrorOfTheRevalidationIsTheResult)
{
    callbacks.revalidate = [](auto...) { return -EREMOTEIO; };
    set_default_d_op(mock, callbacks.table());
    cache("f", nullptr);
    EXPECT_EQ(open("/m/f", CREATE_NEW), -EREMOTEIO);
    EXPECT_EQ(open("/m/f", OPEN_RDONLY), -EREMOTEIO);
}

TEST_F(LookupOpen, SeekingIsTheFileSystemsBusinessAsFarAsTheWordsGo)
{
    cache("f", make_file());
    const int fd = open("/m/f", OPEN_RDONLY);

    for (int whence = 0; whence <= 4; whence++)
        EXPECT_EQ(sys_lseek(actor, fd, 100, whence), 100 + whence);
    EXPECT_EQ(sys_lseek(actor, fd, 100, 5), -EINVAL);
    EXPECT_EQ(sys_lseek(actor, fd, 100, -1), -EINVAL);
}

// --- Stale while opening ---

TEST_F(OpenStale, IsTriedAgainWithReferencesAndThenWithDistrust)
{
    std::vector<std::string> stale;

    cache("f", make_file());
    on_open = [&](inode *, file *) {
        stale.push_back("stale");
        return -EOPENSTALE;
    };
    EXPECT_EQ(open("/m/f", OPEN_RDONLY), -ESTALE);
    EXPECT_THAT(stale, SizeIs(3)); // RCU, references, LOOKUP_REVAL
}

TEST_F(OpenStale, OnceIsForgotten)
{
    int tries = 0;

    cache("f", make_file());
    on_open = [&](inode *, file *) { return ++tries == 1 ? -EOPENSTALE : 0; };
    EXPECT_GE(open("/m/f", OPEN_RDONLY), 0);
    EXPECT_EQ(tries, 2);
    EXPECT_EQ(opened, 1);
}

TEST_F(OpenStale, AStaleHandleIsLookedUpAfresh)
{
    unsigned flags_of_last_lookup = 0;

    on_lookup = [&](inode *, dentry * dentry, unsigned flags) -> struct dentry *
    {
        flags_of_last_lookup = flags;
        if (!(flags & LOOKUP_REVAL))
            return ERR_PTR(-ESTALE);
        return d_splice_alias(make_file(), dentry);
    };
    EXPECT_GE(open("/m/f", OPEN_RDONLY), 0);
    EXPECT_TRUE(flags_of_last_lookup & LOOKUP_REVAL);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
