// SPDX-License-Identifier: GPL-2.0-only
//
// hlist chains under RCU readers.
#include <vector>

#include <gtest/gtest.h>

#include "dcsim/kernel/rculist.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

struct RcuList : ::testing::Test {
    void SetUp() override
    {
        INIT_HLIST_HEAD(&head);
        for (hlist_node &node : nodes) {
            INIT_HLIST_NODE(&node);
            hlist_add_head_rcu(&node, &head);
        }
    }

    std::vector<const hlist_node *> chain() const
    {
        std::vector<const hlist_node *> found;

        rcu_read_lock();
        for (hlist_node *node = hlist_first_rcu(&head); node; node = hlist_next_rcu(node))
            found.push_back(node);
        rcu_read_unlock();
        return found;
    }

    using expected = std::vector<const hlist_node *>;

    hlist_head head;
    hlist_node nodes[3];
};

TEST_F(RcuList, ReadersFindTheNewestFirst)
{
    EXPECT_EQ(chain(), (expected{&nodes[2], &nodes[1], &nodes[0]}));
    EXPECT_FALSE(hlist_unhashed_lockless(&nodes[1]));
}

TEST_F(RcuList, ARemovedNodeStillLeadsOn)
{
    hlist_del_init_rcu(&nodes[1]);
    EXPECT_EQ(chain(), (expected{&nodes[2], &nodes[0]}));
    EXPECT_EQ(hlist_next_rcu(&nodes[1]), &nodes[0]);
    EXPECT_TRUE(hlist_unhashed_lockless(&nodes[1]));
}

TEST_F(RcuList, RemovingTwiceIsHarmless)
{
    hlist_del_init_rcu(&nodes[1]);
    hlist_del_init_rcu(&nodes[1]);
    EXPECT_EQ(chain(), (expected{&nodes[2], &nodes[0]}));
}

TEST_F(RcuList, TheFirstAndTheLastCanGo)
{
    hlist_del_init_rcu(&nodes[2]);
    hlist_del_init_rcu(&nodes[0]);
    EXPECT_EQ(chain(), expected{&nodes[1]});
    hlist_del_init_rcu(&nodes[1]);
    EXPECT_TRUE(hlist_empty(&head));
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
