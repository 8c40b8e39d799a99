// SPDX-License-Identifier: GPL-2.0-only
//
// list_head and hlist, and hlist under RCU.
#include <array>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/kernel/rculist.h"
#include "threads.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class List : public ::testing::Test
{
  protected:
    List()
    {
        INIT_LIST_HEAD(&head);
        for (list_head &entry : entries)
            INIT_LIST_HEAD(&entry);
    }

    std::vector<long> forwards() const
    {
        std::vector<long> found;
        for (auto *at = list_first(&head); at != &head; at = list_next(at))
            found.push_back(at - entries.data());
        return found;
    }

    list_head head;
    std::array<list_head, 4> entries;
};

TEST_F(List, AddPutsInFrontAndAddTailAtTheEnd)
{
    EXPECT_TRUE(list_empty(&head));
    list_add(&entries[0], &head);
    list_add(&entries[1], &head);
    list_add_tail(&entries[2], &head);
    EXPECT_FALSE(list_empty(&head));
    EXPECT_THAT(forwards(), ElementsAre(1, 0, 2));
    EXPECT_EQ(list_first(&head), &entries[1]);
    EXPECT_EQ(list_last(&head), &entries[2]);
}

TEST_F(List, DelInitLeavesAnEntryThatIsOnNoList)
{
    for (list_head &entry : entries)
        list_add_tail(&entry, &head);
    list_del_init(&entries[1]);
    EXPECT_TRUE(list_empty(&entries[1]));
    EXPECT_THAT(forwards(), ElementsAre(0, 2, 3));
    list_del_init(&entries[1]);
    EXPECT_THAT(forwards(), ElementsAre(0, 2, 3));
}

TEST_F(List, SpliceInitPutsAWholeListInFront)
{
    list_head source;

    INIT_LIST_HEAD(&source);
    list_add_tail(&entries[0], &head);
    list_splice_init(&source, &head);
    EXPECT_THAT(forwards(), ElementsAre(0));
    list_add_tail(&entries[1], &source);
    list_add_tail(&entries[2], &source);
    list_splice_init(&source, &head);
    EXPECT_THAT(forwards(), ElementsAre(1, 2, 0));
    EXPECT_EQ(list_last(&head), &entries[0]);
    EXPECT_TRUE(list_empty(&source));
    list_del_init(&entries[2]);
    EXPECT_THAT(forwards(), ElementsAre(1, 0));
}

TEST_F(List, MoveTakesFromAnyList)
{
    list_head other;

    INIT_LIST_HEAD(&other);
    list_add_tail(&entries[0], &head);
    list_add_tail(&entries[1], &head);
    list_add_tail(&entries[2], &other);
    list_move(&entries[2], &head);
    list_move_tail(&entries[0], &head);
    EXPECT_THAT(forwards(), ElementsAre(2, 1, 0));
    EXPECT_TRUE(list_empty(&other));
}

class Hlist : public ::testing::Test
{
  protected:
    Hlist()
    {
        INIT_HLIST_HEAD(&head);
        for (hlist_node &node : nodes) {
            INIT_HLIST_NODE(&node);
            hlist_add_head(&node, &head);
        }
    }

    std::vector<long> forwards() const
    {
        std::vector<long> found;
        for (auto *at = hlist_first(&head); at; at = hlist_next(at))
            found.push_back(at - nodes.data());
        return found;
    }

    hlist_head head;
    std::array<hlist_node, 4> nodes;
};

TEST_F(Hlist, NewestComesFirst)
{
    EXPECT_THAT(forwards(), ElementsAre(3, 2, 1, 0));
    EXPECT_FALSE(hlist_empty(&head));
}

// d_walk() resumes from a child that was taken off its parent's list.
TEST_F(Hlist, RemovedNodeStillLeadsOn)
{
    __hlist_del(&nodes[2]);
    EXPECT_EQ(hlist_next(&nodes[2]), &nodes[1]);
    EXPECT_FALSE(hlist_unhashed(&nodes[2]));
    EXPECT_THAT(forwards(), ElementsAre(3, 1, 0));
}

TEST_F(Hlist, DelInitWorksOnceAndThenDoesNothing)
{
    hlist_del_init(&nodes[3]);
    hlist_del_init(&nodes[0]);
    EXPECT_TRUE(hlist_unhashed(&nodes[3]));
    hlist_del_init(&nodes[3]);
    EXPECT_THAT(forwards(), ElementsAre(2, 1));
    hlist_del_init(&nodes[1]);
    hlist_del_init(&nodes[2]);
    EXPECT_THAT(forwards(), IsEmpty());
    EXPECT_TRUE(hlist_empty(&head));
}

TEST_F(Hlist, MoveListTakesTheWholeChain)
{
    hlist_head target;

    hlist_move_list(&head, &target);
    EXPECT_TRUE(hlist_empty(&head));
    EXPECT_EQ(hlist_first(&target), &nodes[3]);
    EXPECT_EQ(hlist_next(&nodes[3]), &nodes[2]);
    // The back link leads to the new head.
    hlist_del_init(&nodes[3]);
    EXPECT_EQ(hlist_first(&target), &nodes[2]);
    hlist_move_list(&head, &target);
    EXPECT_TRUE(hlist_empty(&target));
}

TEST_F(Hlist, RcuVariantsBuildAndTakeApartTheSameChain)
{
    hlist_del_init_rcu(&nodes[3]);
    hlist_del_init_rcu(&nodes[1]);
    EXPECT_TRUE(hlist_unhashed_lockless(&nodes[1]));
    EXPECT_FALSE(hlist_unhashed_lockless(&nodes[2]));
    EXPECT_EQ(hlist_next_rcu(&nodes[1]), &nodes[0]);
    hlist_del_init_rcu(&nodes[1]);
    hlist_add_head_rcu(&nodes[1], &head);
    EXPECT_EQ(hlist_first_rcu(&head), &nodes[1]);
    EXPECT_THAT(forwards(), ElementsAre(1, 2, 0));
    hlist_del_init_rcu(&nodes[2]);
    EXPECT_THAT(forwards(), ElementsAre(1, 0));
}

// The oldest node stays; the others come and go under a reader, who must always arrive there.
TEST_F(Hlist, RcuReaderNeverFallsOffTheChain)
{
    run_side_by_side(5000, [&](int who, int) {
        for (int i = 1; who == 0 && i < 4; i++) {
            hlist_del_init_rcu(&nodes[i]);
            hlist_add_head_rcu(&nodes[i], &head);
        }
        for (int walk = 0; who == 1 && walk < 10; walk++) {
            rcu_read_lock();
            hlist_node *node = hlist_first_rcu(&head);
            while (node && node != &nodes[0])
                node = hlist_next_rcu(node);
            rcu_read_unlock();
            EXPECT_EQ(node, &nodes[0]);
        }
    });
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
