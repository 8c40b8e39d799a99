// SPDX-License-Identifier: GPL-2.0-only
//
// LRU lists and what each answer of a walker's callback does.
#include <array>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/kernel/list_lru.h"
#include "threads.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct ListLru : public ::testing::Test {
    ListLru()
    {
        list_lru_init(&lru, "test");
        INIT_LIST_HEAD(&disposed);
        for (list_head &item : items)
            INIT_LIST_HEAD(&item);
    }

    void add_all()
    {
        for (list_head &item : items)
            EXPECT_TRUE(list_lru_add_obj(&lru, &item));
    }

    std::vector<long> indices(const list_head &list) const
    {
        std::vector<long> found;
        for (auto *at = list_first(&list); at != &list; at = list_next(at))
            found.push_back(at - items.data());
        return found;
    }

    /// Items on the LRU, oldest first; checks the count by the way.
    std::vector<long> remaining() const
    {
        std::vector<long> found = indices(lru.node.list);
        EXPECT_EQ(list_lru_count(&lru), static_cast<long>(found.size()));
        return found;
    }

    /// Walks, answering the i-th call by `answer`, and notes who was offered.
    unsigned long walk(unsigned long nr_to_walk, lru_status (*answer)(ListLru *, list_head *))
    {
        decide = answer;
        offered.clear();
        return list_lru_walk(&lru, callback, this, nr_to_walk);
    }

    /// What a callback does that cannot go on under the lock, and another task meanwhile.
    void drop_the_lock_and_lose_item_1() __context_unsafe("called by a walk, which holds the lock")
    {
        spin_unlock(&lru.node.lock);
        list_lru_del_obj(&lru, &items[1]);
        spin_lock(&lru.node.lock);
    }

    static lru_status callback(list_head *item, list_lru_one *one, void *arg)
        __must_hold(&one->lock)
    {
        auto *test = static_cast<ListLru *>(arg);

        EXPECT_TRUE(spin_is_locked(&one->lock));
        test->offered.push_back(item - test->items.data());
        lru_status status = test->decide(test, item);
        if (status == LRU_REMOVED || status == LRU_REMOVED_RETRY)
            list_lru_isolate_move(one, item, &test->disposed);
        return status;
    }

    list_lru lru;
    list_head disposed;
    std::array<list_head, 4> items;
    std::vector<long> offered;
    lru_status (*decide)(ListLru *, list_head *);
};

TEST_F(ListLru, NewItemsGoToTheYoungEnd)
{
    EXPECT_EQ(list_lru_count(&lru), 0);
    add_all();
    EXPECT_THAT(remaining(), ElementsAre(0, 1, 2, 3));
}

TEST_F(ListLru, ItemIsAddedAndTakenOffOnce)
{
    EXPECT_TRUE(list_lru_add_obj(&lru, &items[0]));
    EXPECT_FALSE(list_lru_add_obj(&lru, &items[0]));
    EXPECT_THAT(remaining(), ElementsAre(0));
    EXPECT_TRUE(list_lru_del_obj(&lru, &items[0]));
    EXPECT_FALSE(list_lru_del_obj(&lru, &items[0]));
    EXPECT_THAT(remaining(), IsEmpty());
}

TEST_F(ListLru, RemovedItemsAreCountedAndTheWalkGoesOn)
{
    add_all();
    EXPECT_EQ(walk(4, [](ListLru *, list_head *) { return LRU_REMOVED; }), 4u);
    EXPECT_THAT(offered, ElementsAre(0, 1, 2, 3));
    EXPECT_THAT(indices(disposed), ElementsAre(3, 2, 1, 0));
    EXPECT_THAT(remaining(), IsEmpty());
}

TEST_F(ListLru, IsolateTakesAnItemOffForGood)
{
    add_all();
    spin_lock(&lru.node.lock);
    list_lru_isolate(&lru.node, &items[1]);
    spin_unlock(&lru.node.lock);
    EXPECT_TRUE(list_empty(&items[1]));
    EXPECT_THAT(remaining(), ElementsAre(0, 2, 3));
}

TEST_F(ListLru, SkippedItemsStayWhereTheyAre)
{
    add_all();
    EXPECT_EQ(walk(4, [](ListLru *, list_head *) { return LRU_SKIP; }), 0u);
    EXPECT_THAT(offered, ElementsAre(0, 1, 2, 3));
    EXPECT_THAT(remaining(), ElementsAre(0, 1, 2, 3));
}

TEST_F(ListLru, RotatedItemsGoToTheYoungEnd)
{
    add_all();
    EXPECT_EQ(walk(2, [](ListLru *, list_head *) { return LRU_ROTATE; }), 0u);
    EXPECT_THAT(offered, ElementsAre(0, 1));
    EXPECT_THAT(remaining(), ElementsAre(2, 3, 0, 1));
}

TEST_F(ListLru, StopEndsTheWalk)
{
    add_all();
    EXPECT_EQ(
        walk(4, [](ListLru *test,
                   list_head *) { return test->offered.size() == 1 ? LRU_REMOVED : LRU_STOP; }),
        1u);
    EXPECT_THAT(offered, ElementsAre(0, 1));
    EXPECT_THAT(remaining(), ElementsAre(1, 2, 3));
}

TEST_F(ListLru, WalkOffersNoMoreThanItWasAskedTo)
{
    add_all();
    shrink_control sc = {3};

    EXPECT_EQ(walk(2, [](ListLru *, list_head *) { return LRU_SKIP; }), 0u);
    EXPECT_THAT(offered, ElementsAre(0, 1));
    EXPECT_EQ(walk(0, [](ListLru *, list_head *) { return LRU_SKIP; }), 0u);
    EXPECT_THAT(offered, IsEmpty());
    decide = [](ListLru *, list_head *) { return LRU_REMOVED; };
    EXPECT_EQ(list_lru_shrink_walk(&lru, &sc, callback, this), 3u);
    EXPECT_THAT(remaining(), ElementsAre(3));
}

// The callback dropped the lock, and meanwhile somebody took the next item off and freed it. A walk
// that went on to the item it had in mind would leave the list.
TEST_F(ListLru, RetryStartsOverBecauseTheListMayHaveChanged)
{
    add_all();
    EXPECT_EQ(walk(10,
                   [](ListLru *test, list_head *) {
                       if (test->offered.size() > 1)
                           return LRU_SKIP;
                       test->drop_the_lock_and_lose_item_1();
                       return LRU_RETRY;
                   }),
              0u);
    EXPECT_THAT(offered, ElementsAre(0, 0, 2, 3));
}

TEST_F(ListLru, RemovedRetryCountsAndStartsOver)
{
    add_all();
    EXPECT_EQ(walk(10,
                   [](ListLru *test, list_head *) {
                       if (test->offered.size() > 1)
                           return LRU_SKIP;
                       test->drop_the_lock_and_lose_item_1();
                       return LRU_REMOVED_RETRY;
                   }),
              1u);
    EXPECT_THAT(offered, ElementsAre(0, 2, 3));
    EXPECT_THAT(remaining(), ElementsAre(2, 3));
}

TEST_F(ListLru, EndlessRetriesEndWithTheBudget)
{
    add_all();
    EXPECT_EQ(walk(100, [](ListLru *, list_head *) { return LRU_RETRY; }), 0u);
    EXPECT_EQ(offered.size(), 100u);
}

TEST_F(ListLru, CountIsExactAfterConcurrentChanges)
{
    std::array<list_head, 64> many;
    once<long> present(0);

    for (list_head &item : many)
        INIT_LIST_HEAD(&item);
    run_together(4, [&](int me) {
        for (int i = 0; i < 4000; i++) {
            list_head *item = &many[(i * 7 + me * 13) % many.size()];
            if (i % 2)
                add_return(&present, list_lru_add_obj(&lru, item) ? 1 : 0);
            else
                add_return(&present, list_lru_del_obj(&lru, item) ? -1 : 0);
        }
    });
    long listed = 0;
    for (auto *at = list_first(&lru.node.list); at != &lru.node.list; at = list_next(at))
        listed++;
    EXPECT_EQ(listed, READ_ONCE(present));
    EXPECT_EQ(list_lru_count(&lru), listed);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
