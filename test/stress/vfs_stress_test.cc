// SPDX-License-Identifier: GPL-2.0-only
//
// Everything at once, on real threads, over one memfs.
//
// Each thread owns some file names and knows at any moment which of them exist and where. It checks
// that after every operation of its own, while all the others create, rename and remove around it,
// move whole directories, drop and invalidate entries, and take memory away. So the property is not
// only "no crash": a name that its owner created is found, with its inode number, until its owner
// removes it, whatever the cache does in between.
//
// At the end the file system is unmounted, every object must be gone, and no WARN may have come.
// DCSIM_STRESS_SECONDS sets how long each test runs, in all eras together (2); sanitizer runs do
// less in that time.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "dcsim/mockfs/memfs.h"
#include "dcsim/vfs/namei.h"
#include "dcsim/vfs/vfs.h"
#include "lookup_eras.h"
#include "lookup_order.h"
#include "stress_random.h"
#include "threads.h"
#include "warnings.h"

using namespace dcsim;

namespace
{

constexpr int shared_directories = 4;
constexpr int moving_directories = 4;
constexpr int names_per_thread = 12;

/// A reference that a test holds for the length of a block.
class held_dentry
{
  public:
    explicit held_dentry(dentry *dentry) : dentry_(dentry) {}
    held_dentry(const held_dentry &) = delete;
    held_dentry &operator=(const held_dentry &) = delete;
    ~held_dentry()
    {
        if (!IS_ERR(dentry_))
            dput(dentry_);
    }
    dentry *get() const
    {
        return dentry_;
    }
    int error() const
    {
        return IS_ERR(dentry_) ? PTR_ERR(dentry_) : 0;
    }

  private:
    dentry *dentry_;
};

class VfsStress : public testing::TestWithParam<lookup_era>
{
  protected:
    void SetUp() override
    {
        vfs_config config;
        config.dhash_entries = 64; // long chains: walkers and renames meet
        config.ihash_entries = 64;
        config.in_lookup_shift = 2;
        config.era = GetParam();
        config.lookup_outside_rwsem = lookup_outside_rwsem_under_test;
        ASSERT_EQ(vfs_init(config), 0);
    }

    void mount(const memfs_options &options)
    {
        sb_ = memfs_mount(options, "stress");
        ASSERT_FALSE(IS_ERR(sb_));
        for (int i = 0; i < shared_directories; i++)
            ASSERT_EQ(make(sb_->s_root, directory_name(i)), 0);
        for (int i = 0; i < moving_directories; i++) {
            held_dentry parent(find(directory_name(i % shared_directories)));
            ASSERT_EQ(make(parent.get(), moving_name(i)), 0);
        }
    }

    void TearDown() override
    {
        EXPECT_EQ(memfs_unmount(sb_), 0);
        vfs_leaks leaks = vfs_exit();
        EXPECT_EQ(leaks.dentries, 0);
        EXPECT_EQ(leaks.inodes, 0);
        EXPECT_EQ(leaks.kmalloc_objects, 0);
        EXPECT_EQ(leaks.counters, 0);
        EXPECT_EQ(leaks.hash_entries, 0);
    }

    static std::string directory_name(int i)
    {
        return "shared" + std::to_string(i);
    }
    static std::string moving_name(int i)
    {
        return "moving" + std::to_string(i);
    }
    static int make(dentry *parent, const std::string &name)
    {
        return mkdir_at(parent, name.data(), name.size(), 0755);
    }
    dentry *find(const std::string &path) const
    {
        return lookup_path(sb_->s_root, path.data(), path.size());
    }

    /// Runs body(random, thread) in each thread over and over until the time is up.
    template <typename Body>
    void run_until_time_is_up(int threads, Body body)
    {
        auto end = std::chrono::steady_clock::now() +
                   std::chrono::duration<double>(stress_seconds_of_an_era());
        run_together(threads, [&](int thread) {
            stress_random random(static_cast<uint64_t>(thread) + 1);
            while (std::chrono::steady_clock::now() < end)
                for (int i = 0; i < 16; i++)
                    body(random, thread);
        });
    }

    super_block *sb_ = nullptr;
    warning_capture warnings_;
};

/// The names of one thread, and where its owner believes them to be.
class owned_names
{
  public:
    owned_names(super_block *sb, int thread) : sb_(sb)
    {
        for (int i = 0; i < names_per_thread; i++) {
            // Both kinds of storage, and names that share a prefix longer than a word.
            std::string stem = "file-of-thread-" + std::to_string(thread) + "-" + std::to_string(i);
            names_[i].name = i % 2 ? stem + std::string(40, 'x') : stem;
        }
    }

    void create(stress_random &random)
    {
        entry &e = pick(random);
        int directory = static_cast<int>(random.below(shared_directories));
        held_dentry parent(find_directory(directory));

        ASSERT_EQ(parent.error(), 0);
        int error = create_at(parent.get(), e.name.data(), e.name.size(), 0644);
        if (e.directory == directory) {
            EXPECT_EQ(error, -EEXIST);
        } else if (e.directory < 0) {
            EXPECT_EQ(error, 0);
            e.directory = directory;
            e.ino = inode_number(e);
        } else {
            EXPECT_EQ(error, 0);
            EXPECT_EQ(unlink_at(parent.get(), e.name.data(), e.name.size()), 0);
        }
    }

    void unlink(stress_random &random)
    {
        entry &e = pick(random);

        if (e.directory < 0)
            return;
        held_dentry parent(find_directory(e.directory));
        ASSERT_EQ(parent.error(), 0);
        EXPECT_EQ(unlink_at(parent.get(), e.name.data(), e.name.size()), 0);
        e.directory = -1;
        check(e);
    }

    void rename(stress_random &random)
    {
        entry &e = pick(random);
        int directory = static_cast<int>(random.below(shared_directories));

        if (e.directory < 0)
            return;
        held_dentry from(find_directory(e.directory));
        held_dentry to(find_directory(directory));
        EXPECT_EQ(rename_at(from.get(), e.name.data(), e.name.size(), to.get(), e.name.data(),
                            e.name.size(), 0),
                  0);
        e.directory = directory;
        check(e);
    }

    /// Two of this thread's names change places.
    void exchange(stress_random &random)
    {
        entry &a = pick(random);
        entry &b = pick(random);

        if (&a == &b || a.directory < 0 || b.directory < 0)
            return;
        held_dentry from(find_directory(a.directory));
        held_dentry to(find_directory(b.directory));
        EXPECT_EQ(rename_at(from.get(), a.name.data(), a.name.size(), to.get(), b.name.data(),
                            b.name.size(), RENAME_EXCHANGE_FLAG),
                  0);
        std::swap(a.ino, b.ino);
        check(a);
        check(b);
    }

    void look_up(stress_random &random)
    {
        check(pick(random));
    }

    /// What another thread may do with these names at any time: look, and believe nothing.
    void read_by_a_stranger(stress_random &random) const
    {
        const entry &e = names_[random.below(names_per_thread)];
        held_dentry found(find(e, static_cast<int>(random.below(shared_directories))));

        if (found.error())
            return;
        name_snapshot snapshot;
        take_dentry_name_snapshot(&snapshot, found.get());
        EXPECT_EQ(strlen(reinterpret_cast<const char *>(snapshot.name.name)), snapshot.name.len);
        release_dentry_name_snapshot(&snapshot);
        dput(dget_parent(found.get()));
    }

    void remove_all()
    {
        for (entry &e : names_) {
            if (e.directory < 0)
                continue;
            held_dentry parent(find_directory(e.directory));
            EXPECT_EQ(unlink_at(parent.get(), e.name.data(), e.name.size()), 0);
            e.directory = -1;
        }
    }

  private:
    struct entry {
        std::string name;
        int directory = -1; ///< where it is; -1: nowhere
        ino_t ino = 0;
    };

    entry &pick(stress_random &random)
    {
        return names_[random.below(names_per_thread)];
    }

    dentry *find_directory(int i) const
    {
        std::string path = "shared" + std::to_string(i);
        return lookup_path(sb_->s_root, path.data(), path.size());
    }

    dentry *find(const entry &e, int directory) const
    {
        std::string path = "shared" + std::to_string(directory) + "/" + e.name;
        return lookup_path(sb_->s_root, path.data(), path.size());
    }

    ino_t inode_number(const entry &e) const
    {
        held_dentry found(find(e, e.directory));
        return found.error() ? 0 : d_inode(found.get())->i_ino;
    }

    /// The name is where its owner put it, and nowhere else.
    void check(const entry &e) const
    {
        for (int directory = 0; directory < shared_directories; directory++) {
            held_dentry found(find(e, directory));
            if (directory != e.directory) {
                EXPECT_EQ(found.error(), -ENOENT) << e.name << " in " << directory;
            } else {
                ASSERT_EQ(found.error(), 0) << e.name << " in " << directory;
                EXPECT_EQ(d_inode(found.get())->i_ino, e.ino);
            }
        }
    }

    super_block *sb_;
    std::array<entry, names_per_thread> names_;
};

/// What the cache does to everybody: entries dropped, invalidated, pruned.
class disturbance
{
  public:
    explicit disturbance(super_block *sb) : sb_(sb) {}

    void drop_something(stress_random &random) const
    {
        held_dentry found(some_directory(random));
        if (!found.error())
            d_drop(found.get());
    }

    void invalidate_something(stress_random &random) const
    {
        held_dentry found(some_directory(random));
        if (!found.error())
            d_invalidate(found.get());
    }

    void shrink_something(stress_random &random) const
    {
        held_dentry found(some_directory(random));
        if (!found.error())
            shrink_dcache_parent(found.get());
    }

    void prune(stress_random &random) const
    {
        shrink_control sc = {random.below(64) + 1};
        prune_dcache_sb(sb_, &sc);
    }

    void shrink_all(stress_random &) const
    {
        shrink_dcache_sb(sb_);
    }

    void prune_aliases(stress_random &random) const
    {
        held_dentry found(some_directory(random));
        if (!found.error())
            d_prune_aliases(d_inode(found.get()));
    }

    /// Moves a whole directory below another shared one; two threads may pick the same.
    void move_directory(stress_random &random) const
    {
        std::string name = "moving" + std::to_string(random.below(moving_directories));
        held_dentry from(some_directory(random));
        held_dentry to(some_directory(random));
        if (from.error() || to.error())
            return;
        int error = rename_at(from.get(), name.data(), name.size(), to.get(), name.data(),
                              name.size(), random.below(4) ? 0u : RENAME_EXCHANGE_FLAG);
        EXPECT_TRUE(error == 0 || error == -ENOENT || error == -EINVAL || error == -ENOTEMPTY)
            << error;
    }

    /// Directories that come and go, below whatever is there.
    void make_or_remove_directory(stress_random &random) const
    {
        std::string name = "temporary" + std::to_string(random.below(3));
        held_dentry parent(some_directory(random));
        if (parent.error())
            return;
        int error = random.below(2) ? mkdir_at(parent.get(), name.data(), name.size(), 0755)
                                    : rmdir_at(parent.get(), name.data(), name.size());
        EXPECT_TRUE(error == 0 || error == -EEXIST || error == -ENOENT || error == -ENOTEMPTY)
            << error;
    }

    void read_names(stress_random &random) const
    {
        held_dentry found(some_directory(random));
        if (found.error())
            return;
        name_snapshot snapshot;
        take_dentry_name_snapshot(&snapshot, found.get());
        EXPECT_EQ(strlen(reinterpret_cast<const char *>(snapshot.name.name)), snapshot.name.len);
        release_dentry_name_snapshot(&snapshot);

        char buffer[4096];
        EXPECT_FALSE(IS_ERR(dentry_path(found.get(), buffer, sizeof(buffer))));
        EXPECT_TRUE(is_subdir(found.get(), sb_->s_root) || d_unlinked(found.get()));
    }

  private:
    /// A shared directory, or a moving one wherever it is at the moment.
    dentry *some_directory(stress_random &random) const
    {
        std::string path = "shared" + std::to_string(random.below(shared_directories));
        if (random.below(2))
            path += "/moving" + std::to_string(random.below(moving_directories));
        return lookup_path(sb_->s_root, path.data(), path.size());
    }

    super_block *sb_;
};

// The question: does the cache ever lie to the owner of a name?
TEST_P(VfsStress, ANameStaysWhereItsOwnerPutIt)
{
    constexpr int threads = 4;
    std::vector<owned_names> owned;

    mount({});
    for (int i = 0; i < threads; i++)
        owned.emplace_back(sb_, i);
    disturbance disturb(sb_);
    run_until_time_is_up(threads, [&](stress_random &random, int thread) {
        owned_names &mine = owned[static_cast<size_t>(thread)];
        switch (random.below(20)) {
        case 0:
        case 1:
            return mine.create(random);
        case 2:
            return mine.unlink(random);
        case 3:
        case 4:
            return mine.rename(random);
        case 5:
            return mine.exchange(random);
        case 6:
            return disturb.drop_something(random);
        case 7:
            return disturb.invalidate_something(random);
        case 8:
            return disturb.shrink_something(random);
        case 9:
            return disturb.prune(random);
        case 10:
            return random.below(8) ? disturb.prune(random) : disturb.shrink_all(random);
        case 11:
            return disturb.move_directory(random);
        case 12:
            return disturb.make_or_remove_directory(random);
        case 13:
            return disturb.read_names(random);
        case 14:
            return disturb.prune_aliases(random);
        case 15:
            return mine.look_up(random);
        default:
            return owned[random.below(threads)].read_by_a_stranger(random);
        }
    });
    for (owned_names &mine : owned)
        mine.remove_all();
    // The test must have reached what it is about.
    EXPECT_GT(vfs_counter_value(FS_LOOKUPS), 0);
    EXPECT_GT(vfs_counter_value(DENTRIES_FREED), 0);
}

// The question: with slow lookups and entries dropped all the time, does everybody who waits for
// somebody else's lookup wake up with the right answer?
TEST_P(VfsStress, WaitersOfOneLookupAllGetItsAnswer)
{
    memfs_options options;
    options.lookup_delay_us = 50;
    mount(options);
    disturbance disturb(sb_);

    run_until_time_is_up(6, [&](stress_random &random, int) {
        std::string path = directory_name(static_cast<int>(random.below(shared_directories)));
        held_dentry found(find(path));
        ASSERT_EQ(found.error(), 0);
        EXPECT_TRUE(d_is_dir(found.get()));
        held_dentry missing(find(path + "/nothing-of-this-name"));
        EXPECT_EQ(missing.error(), -ENOENT);
        switch (random.below(3)) {
        case 0:
            return disturb.drop_something(random);
        case 1:
            return disturb.shrink_all(random);
        default:
            return;
        }
    });
    EXPECT_GT(vfs_counter_value(LOOKUP_WAITS), 0) << "nobody ever waited";
}

// The question: do several tasks that prune the same subtree at once agree on who frees what?
TEST_P(VfsStress, ShrinkersOfOneSubtreeDoNotFreeTwice)
{
    mount({});
    disturbance disturb(sb_);

    run_until_time_is_up(4, [&](stress_random &random, int thread) {
        held_dentry parent(find(directory_name(0)));
        if (thread % 2 == 0) {
            for (int i = 0; i < 20; i++) {
                std::string name = "absent" + std::to_string(random.below(200));
                held_dentry missing(find(directory_name(0) + "/" + name));
                EXPECT_EQ(missing.error(), -ENOENT);
            }
        } else if (random.below(2)) {
            shrink_dcache_parent(sb_->s_root);
        } else {
            disturb.prune(random);
        }
    });
}

INSTANTIATE_TEST_SUITE_P(Eras, VfsStress, testing::ValuesIn(all_lookup_eras()), name_of_era_test);

} // namespace
