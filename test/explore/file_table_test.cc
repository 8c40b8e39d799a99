// SPDX-License-Identifier: GPL-2.0-only
//
// Looking a descriptor up without a lock, against whoever closes it, reuses it and makes the table
// larger: in every interleaving the reader gets a file that stays, or none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/vfs/file.h"
#include "dcsim/vfs/task.h"
#include "dcsim/vfs/vfs.h"
#include "model_program.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

struct descriptors {
    file *first, *second;
    once<int> closed; ///< descriptor 0 has been taken away
};

constexpr unsigned FIRST = 0x1000, SECOND = 0x2000;

file *opened_file(unsigned mark)
{
    static constexpr file_operations nothing = {};
    file *file = alloc_empty_file(mark, &init_cred);

    file->f_mode = FMODE_READ | FMODE_OPENED;
    file->f_op = &nothing;
    return file;
}

/// Descriptor 0 leads to `first`; `taken` descriptors in all are reserved.
toy<descriptors> program(int taken)
{
    toy<descriptors> program;

    program.setup([taken](descriptors &d) {
        require(!vfs_init({.dhash_entries = 2, .ihash_entries = 1, .in_lookup_shift = 0}), "init");
        d.first = opened_file(FIRST);
        d.second = opened_file(SECOND);
        for (int fd = 0; fd < taken; fd++)
            require(get_unused_fd() == fd, "the lowest one");
        fd_install(0, d.first);
    });
    program.finally([](descriptors &) {
        put_files_struct(&init_files);
        require(vfs_exit().none(), "something is left");
    });
    return program;
}

void look_up(descriptors &d)
{
    const bool gone = READ_ONCE(d.closed);
    file *file = fget(0);

    if (!file)
        return;
    require(READ_ONCE(file->f_count) > 0, "a reference");
    require(file->f_flags == FIRST || file->f_flags == SECOND, "one of the two");
    require(!gone || file->f_flags == SECOND, "not what was closed before");
    fput(file);
}

void close_and_reuse(descriptors &d)
{
    require(!close_fd(0), "it is open");
    WRITE_ONCE(d.closed, 1);
    require(get_unused_fd() == 0, "the lowest one");
    fd_install(0, d.second);
}

TEST(FgetAgainstClose, AFileStaysOrIsNotFound)
{
    toy<descriptors> files = program(1);

    files.task("reader", look_up);
    files.task("writer", close_and_reuse);
    const search_result result = files.search(3);
    EXPECT_THAT(result, Holds());
    EXPECT_GT(result.executions, 100u);
}

TEST(FgetAgainstClose, AWriterThatDropsOneReferenceTooManyIsFound)
{
    toy<descriptors> files = program(1);

    files.task("reader", look_up);
    files.task("writer", [](descriptors &d) {
        file *file = d.first;

        close_and_reuse(d);
        fput(file);
    });
    EXPECT_THAT(files.search(3), ::testing::Not(Holds()));
}

/// As many as the second table has: only that one is freed when it is replaced.
constexpr int SECOND_TABLE = 2 * NR_OPEN_DEFAULT;

TEST(FgetAgainstGrowth, TheFileIsFoundInEitherTable)
{
    toy<descriptors> files = program(SECOND_TABLE);

    files.task("reader", [](descriptors &) {
        file *file = fget(0);

        require(file && file->f_flags == FIRST, "nobody closed it");
        fput(file);
    });
    files.task("writer", [](descriptors &d) {
        require(get_unused_fd() == SECOND_TABLE, "the lowest one");
        fd_install(SECOND_TABLE, d.second);
    });
    EXPECT_THAT(files.search(2), Holds());
}

TEST(FgetAgainstGrowth, WhoIsSecondUsesTheTableOfTheFirst)
{
    toy<descriptors> files = program(NR_OPEN_DEFAULT);
    const auto reserve = [](descriptors &d) {
        const int fd = get_unused_fd();

        require(fd == NR_OPEN_DEFAULT || fd == NR_OPEN_DEFAULT + 1, "one of the next two");
        require(xchg(&d.closed, fd) != fd, "each its own");
    };

    files.task("one", reserve);
    files.task("other", reserve);
    files.setup([](descriptors &d) {
        require(!vfs_init({.dhash_entries = 2, .ihash_entries = 1, .in_lookup_shift = 0}), "init");
        for (unsigned fd = 0; fd < NR_OPEN_DEFAULT; fd++)
            get_unused_fd();
        WRITE_ONCE(d.closed, -1);
    });
    EXPECT_THAT(files.search(2), Holds());
}

void borrow(bool for_too_long) __context_unsafe("leaves RCU at one of two places")
{
    file *file;

    rcu_read_lock();
    file = fget_raw_rcu(0);
    if (for_too_long)
        rcu_read_unlock();
    if (file)
        require(READ_ONCE(file->f_count) >= 0 && file->f_mode & FMODE_OPENED, "readable");
    if (!for_too_long)
        rcu_read_unlock();
}

TEST(FgetRawRcu, IsReadableUntilTheEndOfTheSection)
{
    for (bool for_too_long : {false, true}) {
        toy<descriptors> files = program(1);

        files.task("reader", [for_too_long](descriptors &) { borrow(for_too_long); });
        files.task("writer", close_and_reuse);
        if (for_too_long) {
            EXPECT_THAT(files.search(3), Breaks(violation_kind::use_after_free));
        } else {
            EXPECT_THAT(files.search(3), Holds());
        }
    }
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
