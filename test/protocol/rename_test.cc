// SPDX-License-Identifier: GPL-2.0-only
//
// Readers against renames that never stop: whatever a reader gets must have been true at some
// moment.
//
// One thread renames a bounded number of times, others read until it is done. Each property below
// holds before, between and after the renames, so a single answer to the contrary is wrong.
#include <atomic>
#include <latch>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "gate.h"
#include "threads.h"
#include "vfs_fixture.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

void take(spinlock_t *lock) __context_unsafe("released by a later step of the test")
{
    spin_lock(lock);
}
void give_back(spinlock_t *lock) __context_unsafe("taken by an earlier step of the test")
{
    spin_unlock(lock);
}

/// Renames go on in one thread while the others read.
class rename_fixture : public vfs_fixture
{
  protected:
    static constexpr int renames = DCSIM_TSAN ? 10000 : 100000;
    static constexpr int readers = 2;

    /// Runs rename_once() `times` times in one thread, and read() in others meanwhile. With a
    /// counter, goes on until that has moved, so that the case in question has happened; but not
    /// for ever.
    template <typename Rename, typename Read>
    void race(Rename rename_once, Read read, int times = renames,
              const counter_change *reached = nullptr)
    {
        std::atomic<bool> done{false};
        std::latch reading(readers);

        run_together(readers + 1, [&](int thread) {
            if (thread) {
                read();
                reading.count_down();
                while (!done)
                    read();
                return;
            }
            reading.wait();
            for (int i = 0; i < times; i++)
                rename_once();
            for (int i = 0; reached && !reached->value() && i < 100 * times; i++)
                rename_once();
            done = true;
        });
        if (reached) {
            EXPECT_GT(reached->value(), 0) << "readers and renames never met";
        }
    }

    /// Two directories with enough other names in them to make every chain a walk.
    void SetUp() override
    {
        vfs_fixture::SetUp();
        a = make_directory(root, "a");
        b = make_directory(root, "b");
        for (int i = 0; i < 20; i++) {
            others.push_back(make_file(a.get(), "other" + std::to_string(i)));
            others.push_back(make_file(b.get(), "other" + std::to_string(i)));
        }
    }
    void TearDown() override
    {
        others.clear();
        a.reset();
        b.reset();
        vfs_fixture::TearDown();
    }

    dentry_ref a, b;
    std::vector<dentry_ref> others;
};

// --- Locks that only a neighbour would miss ---

class SecondaryRoots : public vfs_fixture
{
};

// Its neighbours on the list may be rewriting the links of this one.
TEST_F(SecondaryRoots, OneIsMovedIntoTheTreeUnderTheLockOfTheList)
{
    inode *directory = directory_inode();
    dentry_ref neighbour = adopt_dentry(d_obtain_root(directory_inode()));
    dentry_ref secondary = adopt_dentry(d_obtain_root(directory));
    dentry_ref target = make_unhashed(root, "name");
    dentry_ref moved;

    take(&sb->s_roots_lock);
    blocking_thread mover([&] {
        ihold(directory);
        moved = adopt_dentry(d_splice_alias(directory, target.get()));
    });
    EXPECT_TRUE(mover.comes_to_sleep());
    EXPECT_EQ(hlist_first(&sb->s_roots), &secondary->d_sib);
    give_back(&sb->s_roots_lock);
    mover.join();
    EXPECT_EQ(moved, secondary);
    EXPECT_EQ(hlist_first(&sb->s_roots), &neighbour->d_sib);
}

using SetMounted = vfs_fixture;

// Otherwise it could climb past an ancestor that was dropped, on a path that was never there.
TEST_F(SetMounted, ClimbsWithRenamesLockedOut)
{
    dentry_ref directory = make_directory(root, "directory");
    int error = 1;

    take(&rename_lock.lock);
    blocking_thread marker([&] { error = d_set_mounted(directory.get()); });
    EXPECT_TRUE(marker.comes_to_sleep());
    EXPECT_FALSE(d_mountpoint(directory.get()));
    give_back(&rename_lock.lock);
    marker.join();
    EXPECT_EQ(error, 0);
}

// --- Names ---

/// The two names that a dentry has in turn, each inline or external.
class RenamedNames : public rename_fixture,
                     public ::testing::WithParamInterface<std::tuple<bool, bool>>
{
  protected:
    void SetUp() override
    {
        rename_fixture::SetUp();
        first_text = std::get<0>(GetParam()) ? long_name : "first";
        second_text = std::get<1>(GetParam()) ? other_long_name : "the second";
        one = make_file(a.get(), first_text);
        two = make_file(b.get(), second_text);
    }
    void TearDown() override
    {
        one.reset();
        two.reset();
        rename_fixture::TearDown();
    }

    /// One of the two, with its own hash: never a mixture.
    void expect_one_of_both(const qstr &name) const
    {
        std::string text = text_of(name);
        EXPECT_EQ(strlen(reinterpret_cast<const char *>(name.name)), name.len);
        if (text == first_text)
            EXPECT_EQ(name.hash, full_name_hash(a.get(), text.data(), name.len));
        else if (text == second_text)
            EXPECT_EQ(name.hash, full_name_hash(b.get(), text.data(), name.len));
        else
            ADD_FAILURE() << "a name that it never had: " << text;
    }

    std::string first_text, second_text;
    dentry_ref one, two;
};

TEST_P(RenamedNames, ASnapshotIsOneNameOrTheOther)
{
    race([&] { d_exchange(one.get(), two.get()); },
         [&] {
             name_snapshot snapshot;
             take_dentry_name_snapshot(&snapshot, one.get());
             expect_one_of_both(snapshot.name);
             release_dentry_name_snapshot(&snapshot);
         });
}

// d_move() also frees the names that it replaces, under the readers.
TEST_P(RenamedNames, ASnapshotOfAMovedDentryIsOneNameOrTheOther)
{
    bool in_a = true;
    dentry_ref moved = make_file(a.get(), first_text + "x");
    auto move = [&] {
        dentry_ref target =
            make_unhashed(in_a ? b.get() : a.get(), in_a ? second_text : first_text);
        d_move(moved.get(), target.get());
        in_a = !in_a;
    };

    one.reset();
    two.reset();
    prune_everything();
    move();
    move();
    race(
        move,
        [&] {
            name_snapshot snapshot;
            take_dentry_name_snapshot(&snapshot, moved.get());
            expect_one_of_both(snapshot.name);
            release_dentry_name_snapshot(&snapshot);
        },
        renames / 10);
}

TEST_P(RenamedNames, ANameThatAlwaysExistsIsAlwaysFound)
{
    counter_change retries(RETRY_RENAME_LOCK);

    race([&] { d_exchange(one.get(), two.get()); },
         [&] {
             for (dentry *dir : {a.get(), b.get()}) {
                 dentry_ref found = cached(dir, dir == a.get() ? first_text : second_text);
                 ASSERT_NE(found, nullptr);
                 EXPECT_TRUE(found == one || found == two);
             }
         },
         renames, &retries);
}

TEST_P(RenamedNames, ANameThatAlwaysExistsIsNeverLookedUpAnew)
{
    race([&] { d_exchange(one.get(), two.get()); },
         [&] {
             dentry_ref found = allocate_parallel(a.get(), first_text);
             EXPECT_TRUE(found == one || found == two);
             if (d_in_lookup(found.get()))
                 d_lookup_done(found.get());
         });
}

TEST_P(RenamedNames, ANameThatNeverExistsIsNeverFound)
{
    std::string never = first_text + "y";

    race([&] { d_exchange(one.get(), two.get()); },
         [&] {
             EXPECT_FALSE(is_cached(a.get(), never));
             EXPECT_FALSE(is_cached(b.get(), first_text));
             EXPECT_FALSE(is_cached(a.get(), second_text));
         });
}

// What a lockless hit promises after its check: this parent, this name.
TEST_P(RenamedNames, ALocklessHitThatPassesItsCheckIsWhatWasAskedFor)
{
    qstr name = name_below(a.get(), first_text);
    auto look = [&] {
        rcu_read_guard guard;
        unsigned seq;
        dentry *found = __d_lookup_rcu(a.get(), &name, &seq);
        if (!found)
            return;
        bool right =
            parent_of(found) == a.get() && READ_ONCE(found->d_name.hash_len) == name.hash_len;
        if (!read_seqcount_retry(&found->d_seq, seq)) {
            EXPECT_TRUE(right);
        }
    };

    race([&] { d_exchange(one.get(), two.get()); }, look);
}

std::string pair_name(const ::testing::TestParamInfo<std::tuple<bool, bool>> &info)
{
    static const char *const kinds[] = {"Inline", "External"};

    return std::string(kinds[std::get<0>(info.param)]) + kinds[std::get<1>(info.param)];
}

INSTANTIATE_TEST_SUITE_P(Names, RenamedNames,
                         ::testing::Combine(::testing::Bool(), ::testing::Bool()), pair_name);

// --- Parents and ancestors ---

/// A path a/moving/deep/file whose "moving" changes places with b/still.
class RenamedPath : public rename_fixture
{
  protected:
    void SetUp() override
    {
        rename_fixture::SetUp();
        moving = make_directory(a.get(), "moving");
        still = make_directory(b.get(), "still");
        deep = make_directory(moving.get(), "deep");
        file = make_file(deep.get(), "file");
        elsewhere = make_directory(root, "elsewhere");
    }
    void TearDown() override
    {
        for (dentry_ref *ref : {&file, &deep, &moving, &still, &elsewhere})
            ref->reset();
        rename_fixture::TearDown();
    }

    void exchange() const
    {
        d_exchange(moving.get(), still.get());
    }

    dentry_ref moving, still, deep, file, elsewhere;
};

TEST_F(RenamedPath, AnAncestorThatStaysIsAlwaysFound)
{
    race([&] { exchange(); },
         [&] {
             EXPECT_TRUE(is_subdir(file.get(), root));
             EXPECT_TRUE(is_subdir(file.get(), moving.get()));
             EXPECT_FALSE(is_subdir(file.get(), elsewhere.get()));
             EXPECT_FALSE(is_subdir(file.get(), still.get()));
         });
}

/// The file is below directory a at every moment, though not on one path: "leaf" hangs at the end
/// of a long chain while that is in a, and directly in a while the chain is in b.
class RewovenPath : public rename_fixture
{
  protected:
    static constexpr int chain_length = 200;

    void SetUp() override
    {
        rename_fixture::SetUp();
        chain = make_directory(a.get(), "chain");
        outside_twin = make_directory(b.get(), "twin of the chain");
        dentry_ref end = chain;
        for (int i = 0; i < chain_length; i++)
            end = make_directory(end.get(), "link");
        leaf = make_directory(end.get(), "leaf");
        leaf_twin = make_directory(a.get(), "twin of the leaf");
        file = make_file(leaf.get(), "file");
    }
    void TearDown() override
    {
        for (dentry_ref *ref : {&file, &leaf, &leaf_twin, &chain, &outside_twin})
            ref->reset();
        rename_fixture::TearDown();
    }

    void reweave() const
    {
        d_exchange(leaf.get(), leaf_twin.get());
        d_exchange(chain.get(), outside_twin.get());
        d_exchange(chain.get(), outside_twin.get());
        d_exchange(leaf.get(), leaf_twin.get());
    }

    dentry_ref chain, outside_twin, leaf, leaf_twin, file;
};

// A walker on its way up the chain arrives outside, if nobody tells it that the path changed.
TEST_F(RewovenPath, AnAncestorIsNotMissedByClimbingAnOldPath)
{
    race([&] { reweave(); },
         [&] {
             EXPECT_TRUE(is_subdir(file.get(), a.get()));
             EXPECT_FALSE(is_subdir(file.get(), b.get()));
         });
}

TEST_F(RenamedPath, TheParentIsOneOfTheTwo)
{
    race([&] { exchange(); },
         [&] {
             dentry_ref parent = adopt_dentry(dget_parent(moving.get()));
             EXPECT_TRUE(parent == a || parent == b);
         });
    EXPECT_EQ(d_count(a.get()), 1 + 20 + 1);
    EXPECT_EQ(d_count(b.get()), 1 + 20 + 1);
}

/// Has a thread that wanted the lock gone to sleep?
bool has_sleeper(const spinlock_t *lock)
{
    return __atomic_load_n(&lock->word, __ATOMIC_RELAXED) == 2;
}

/// What a reader of d_parent sees of a move.
void change_parent(dentry *child, dentry *parent)
{
    write_seqcount_begin(&child->d_seq);
    WRITE_ONCE(child->d_parent, parent);
    write_seqcount_end(&child->d_seq);
}

// The child is moved on each time the other thread has made up its mind which parent to lock.
TEST_F(RenamedPath, TheParentIsLookedAtAgainUnderItsLock)
{
    dentry *child = moving.get();
    dentry_ref parent;

    take(&a->d_lock);
    take(&b->d_lock);
    blocking_thread searcher([&] { parent = adopt_dentry(dget_parent(child)); });
    // Without a lock of its own it takes a reference on what was the parent then ...
    wait_until([&] { return has_sleeper(&a->d_lock); });
    change_parent(child, b.get());
    give_back(&a->d_lock);
    // ... and the second time it locks what is.
    wait_until([&] { return has_sleeper(&b->d_lock); });
    change_parent(child, elsewhere.get());
    give_back(&b->d_lock);
    searcher.join();
    EXPECT_EQ(parent, elsewhere);
    EXPECT_EQ(d_count(a.get()), 1 + 20 + 1);
    EXPECT_EQ(d_count(b.get()), 1 + 20 + 1);
    change_parent(child, a.get());
}

TEST_F(RenamedPath, SoIsItsInodeNumber)
{
    ino_t in_a = d_inode(a.get())->i_ino;
    ino_t in_b = d_inode(b.get())->i_ino;

    race([&] { exchange(); },
         [&] {
             ino_t ino = d_parent_ino(moving.get());
             EXPECT_TRUE(ino == in_a || ino == in_b) << ino;
         });
}

// The walk may come up under the wrong parent and would miss what moved behind it.
TEST_F(RenamedPath, AWalkMissesNothing)
{
    super_block *other = make_super_block();
    mount *top = vfs_create_mount(sb);
    mount *mounted = vfs_create_mount(other);
    path where = {&top->mnt, deep.get()};
    path everything = {&top->mnt, root};
    counter_change restarts(WALK_RESTARTS);
    set_namespace_root(top);
    ASSERT_EQ(do_add_mount(mounted, &where), 0);

    race([&] { exchange(); }, [&] { EXPECT_TRUE(path_has_submounts(&everything)); }, renames,
         &restarts);
    set_namespace_root(nullptr);
    mntput(&top->mnt);
    EXPECT_EQ(generic_shutdown_super(other), 0);
}

TEST_F(RenamedPath, PruningLeavesWhatIsInUse)
{
    race(
        [&] {
            leave_negative(deep.get(), "absent");
            exchange();
        },
        [&] { shrink_dcache_parent(root); }, renames / 10);
    shrink_dcache_parent(root);
    EXPECT_EQ(d_first_child(deep.get()), file.get());
    EXPECT_EQ(d_next_sibling(file.get()), nullptr);
    EXPECT_EQ(cached(deep.get(), "file"), file);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
