// SPDX-License-Identifier: GPL-2.0-only
//
// The bit spinlock and the hash chains that carry it in their head.
#include <array>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/kernel/hlist_bl.h"
#include "threads.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(BitSpinlock, IsBitZeroAndLeavesThePointerAlone)
{
    alignas(8) int object = 0;
    once<int *> word(&object);

    bit_spin_lock(&word);
    EXPECT_TRUE(bit_spin_is_locked(&word));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(*word.word()), reinterpret_cast<uintptr_t>(&object) | 1);
    bit_spin_unlock(&word);
    EXPECT_FALSE(bit_spin_is_locked(&word));
    EXPECT_EQ(*word.word(), &object);
}

TEST(BitSpinlock, UnlockKeepsAPointerStoredUnderTheLock)
{
    alignas(8) int before = 0;
    alignas(8) int after = 0;
    once<int *> word(&before);

    bit_spin_lock(&word);
    WRITE_ONCE(word, reinterpret_cast<int *>(reinterpret_cast<uintptr_t>(&after) | 1));
    bit_spin_unlock(&word);
    EXPECT_EQ(*word.word(), &after);
}

TEST(BitSpinlock, HolderIsAnRcuReader)
{
    once<int *> word(nullptr);

    bit_spin_lock(&word);
    EXPECT_TRUE(rcu_read_lock_held());
    bit_spin_unlock(&word);
    EXPECT_FALSE(rcu_read_lock_held());
}

TEST(BitSpinlock, ExcludesMoreThreadsThanProcessors)
{
    once<int *> word(nullptr);
    long counter = 0;
    constexpr int rounds = 200;
    const int threads = more_threads_than_processors();

    run_together(threads, [&](int) {
        for (int i = 0; i < rounds; i++) {
            bit_spin_lock(&word);
            increment_slowly(&counter);
            bit_spin_unlock(&word);
        }
    });
    EXPECT_EQ(counter, long{threads} * rounds);
}

class HlistBl : public ::testing::Test
{
  protected:
    HlistBl()
    {
        INIT_HLIST_BL_HEAD(&head);
        for (hlist_bl_node &node : nodes)
            INIT_HLIST_BL_NODE(&node);
    }

    void add(int index)
    {
        hlist_bl_lock(&head);
        hlist_bl_add_head(&nodes[index], &head);
        hlist_bl_unlock(&head);
    }

    void add_rcu(int index)
    {
        hlist_bl_lock(&head);
        hlist_bl_add_head_rcu(&nodes[index], &head);
        hlist_bl_unlock(&head);
    }

    void remove(int index)
    {
        hlist_bl_lock(&head);
        __hlist_bl_del(&nodes[index]);
        hlist_bl_unlock(&head);
    }

    /// Indices on the chain, first to last.
    std::vector<int> chain()
    {
        std::vector<int> found;
        hlist_bl_lock(&head);
        for (auto *node = hlist_bl_first(&head); node; node = hlist_bl_next(node))
            found.push_back(index_of(node));
        hlist_bl_unlock(&head);
        return found;
    }

    int index_of(const hlist_bl_node *node) const
    {
        return static_cast<int>(node - nodes.data());
    }

    hlist_bl_head head;
    std::array<hlist_bl_node, 8> nodes;
};

TEST_F(HlistBl, NewestComesFirst)
{
    EXPECT_TRUE(hlist_bl_empty(&head));
    add(0);
    add_rcu(1);
    add(2);
    EXPECT_THAT(chain(), ElementsAre(2, 1, 0));
    EXPECT_FALSE(hlist_bl_empty(&head));
}

TEST_F(HlistBl, FirstMiddleAndLastCanBeRemovedWithoutTheHead)
{
    for (int i = 0; i < 5; i++)
        add(i);
    remove(4);
    remove(2);
    remove(0);
    EXPECT_THAT(chain(), ElementsAre(3, 1));
    remove(1);
    remove(3);
    EXPECT_THAT(chain(), IsEmpty());
    EXPECT_TRUE(hlist_bl_empty(&head));
}

TEST_F(HlistBl, LockBitSurvivesEveryChange)
{
    hlist_bl_lock(&head);
    hlist_bl_add_head(&nodes[0], &head);
    EXPECT_TRUE(hlist_bl_is_locked(&head));
    hlist_bl_add_head_rcu(&nodes[1], &head);
    EXPECT_TRUE(hlist_bl_is_locked(&head));
    __hlist_bl_del(&nodes[1]);
    EXPECT_TRUE(hlist_bl_is_locked(&head));
    __hlist_bl_del(&nodes[0]);
    EXPECT_TRUE(hlist_bl_is_locked(&head));
    hlist_bl_unlock(&head);
    EXPECT_FALSE(hlist_bl_is_locked(&head));
}

// ___d_drop() of an unhashed root goes through a head whose lock nobody took.
TEST_F(HlistBl, RemovalSetsNoLockBitThatWasClear)
{
    add(0);
    add(1);
    __hlist_bl_del(&nodes[1]);
    EXPECT_FALSE(hlist_bl_is_locked(&head));
    EXPECT_EQ(*head.first.word(), &nodes[0]);
}

TEST_F(HlistBl, HoldingTheLockMakesAnEmptyChainNotLookFilled)
{
    hlist_bl_lock(&head);
    EXPECT_TRUE(hlist_bl_empty(&head));
    EXPECT_EQ(hlist_bl_first(&head), nullptr);
    EXPECT_EQ(hlist_bl_first_rcu(&head), nullptr);
    hlist_bl_unlock(&head);
}

TEST_F(HlistBl, RemovedNodeStillLeadsOn)
{
    for (int i = 0; i < 3; i++)
        add_rcu(i);
    remove(1);
    EXPECT_EQ(hlist_bl_next_rcu(&nodes[1]), &nodes[0]);
    remove(2);
    EXPECT_EQ(hlist_bl_next_rcu(&nodes[2]), &nodes[0]);
}

TEST_F(HlistBl, NullPprevIsTheDefinitionOfUnhashed)
{
    EXPECT_TRUE(hlist_bl_unhashed(&nodes[0]));
    add(0);
    EXPECT_FALSE(hlist_bl_unhashed(&nodes[0]));
    // Removal alone leaves pprev stale; whoever removed it decides when it counts as unhashed.
    remove(0);
    EXPECT_FALSE(hlist_bl_unhashed(&nodes[0]));
    WRITE_ONCE(nodes[0].pprev, nullptr);
    EXPECT_TRUE(hlist_bl_unhashed(&nodes[0]));
}

TEST_F(HlistBl, ConcurrentChangesLoseNoNode)
{
    run_together(static_cast<int>(nodes.size()), [&](int me) {
        for (int i = 0; i < 2000; i++) {
            add_rcu(me);
            remove(me);
        }
        add_rcu(me);
    });
    EXPECT_THAT(chain(), ::testing::UnorderedElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
}

// The last node stays; the others come and go. A reader that stands on one that goes must still
// arrive at the end.
TEST_F(HlistBl, RcuReaderNeverFallsOffTheChain)
{
    add_rcu(0);
    run_side_by_side(5000, [&](int who, int) {
        for (int i = 1; who == 0 && i < 8; i++)
            add_rcu(i);
        for (int i = 1; who == 0 && i < 8; i++)
            remove(i);
        for (int walk = 0; who == 1 && walk < 10; walk++) {
            rcu_read_lock();
            auto *node = hlist_bl_first_rcu(&head);
            while (node && node != &nodes[0])
                node = hlist_bl_next_rcu(node);
            rcu_read_unlock();
            EXPECT_EQ(node, &nodes[0]);
        }
    });
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
