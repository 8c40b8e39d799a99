// SPDX-License-Identifier: GPL-2.0-only
//
// Object caches, kmalloc and injected failures.
#include <cstring>
#include <memory>
#include <set>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/kernel/slab.h"
#include "dcsim/prim/prim.h"
#include "sanitizers.h"
#include "threads.h"
#include "warnings.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Slab : public ::testing::Test
{
  protected:
    ~Slab() override
    {
        kmem_fail_nth(0);
        if (cache) {
            EXPECT_EQ(kmem_cache_destroy(cache), 0);
        }
    }

    warning_capture warnings;
    kmem_cache *cache = kmem_cache_create("test", 192, 64);
};

TEST_F(Slab, ObjectsAreAlignedAndDoNotOverlap)
{
    std::vector<unsigned char *> objects;

    for (int i = 0; i < 3000; i++) {
        objects.push_back(static_cast<unsigned char *>(kmem_cache_alloc(cache)));
        ASSERT_NE(objects.back(), nullptr);
        EXPECT_EQ(reinterpret_cast<uintptr_t>(objects.back()) % 64, 0u);
        memset(objects.back(), i % 251, 192);
    }
    for (int i = 0; i < 3000; i++) {
        EXPECT_EQ(objects[i][0], i % 251);
        EXPECT_EQ(objects[i][191], i % 251);
        kmem_cache_free(cache, objects[i]);
    }
}

TEST_F(Slab, EverySizeAndAlignmentWorks)
{
    for (size_t align : {1, 8, 16, 64})
        for (size_t size : {1, 8, 17, 100, 192, 1000, 32768}) {
            kmem_cache *other = kmem_cache_create("other", size, align);
            ASSERT_NE(other, nullptr);
            EXPECT_GE(kmem_cache_bytes_per_object(other), size);
            std::vector<void *> objects;
            for (int i = 0; i < 200; i++) {
                objects.push_back(kmem_cache_alloc(other));
                ASSERT_NE(objects.back(), nullptr);
                EXPECT_EQ(reinterpret_cast<uintptr_t>(objects.back()) % align, 0u);
                memset(objects.back(), 0x5a, size);
            }
            for (void *object : objects)
                kmem_cache_free(other, object);
            EXPECT_EQ(kmem_cache_destroy(other), 0);
        }
}

TEST_F(Slab, ObjectsThatFillAChunkAreRefused)
{
    EXPECT_EQ(kmem_cache_create("huge", 32769, 64), nullptr);
}

TEST_F(Slab, ObjectsInUseAreCounted)
{
    void *first = kmem_cache_alloc(cache);
    void *second = kmem_cache_alloc(cache);

    EXPECT_EQ(kmem_cache_objects(cache), 2);
    kmem_cache_free(cache, first);
    EXPECT_EQ(kmem_cache_objects(cache), 1);
    kmem_cache_free(cache, second);
    EXPECT_EQ(kmem_cache_objects(cache), 0);
}

TEST_F(Slab, LeakIsReturnedAndReported)
{
    void *leaked[2];

    for (void *&object : leaked)
        object = kmem_cache_alloc(cache);
    EXPECT_EQ(kmem_cache_destroy(cache), 2);
    cache = nullptr;
    EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("2 objects of cache test")));
    // In a sanitizer build each object is malloc()ed; in the others the pool took them along.
    for (void *object : leaked)
        if (sanitized_malloc)
            free(object);
}

TEST_F(Slab, CacheWithoutLeaksGoesQuietly)
{
    kmem_cache_free(cache, kmem_cache_alloc(cache));
    EXPECT_EQ(kmem_cache_destroy(cache), 0);
    cache = nullptr;
}

// RCU frees dentries in another thread than the one that allocates them.
TEST_F(Slab, FreeingInAnotherThreadDoesNotGrowTheCache)
{
    constexpr int objects = 50000;
    constexpr int in_flight = 16;
    once<void *> mailbox[in_flight] = {};
    std::set<void *> addresses;

    if (sanitized_malloc)
        GTEST_SKIP() << "a sanitizer keeps freed memory from being used again";
    run_together(2, [&](int me) {
        for (int i = 0; i < objects; i++) {
            once<void *> *slot = &mailbox[i % in_flight];
            if (me == 0) {
                void *object = kmem_cache_alloc(cache);
                addresses.insert(object);
                smp_cond_load_acquire(slot, [](void *seen) { return !seen; });
                smp_store_release(slot, object);
            } else {
                smp_cond_load_acquire(slot, [](void *seen) { return seen != nullptr; });
                kmem_cache_free(cache, xchg(slot, nullptr));
            }
        }
    });
    EXPECT_EQ(kmem_cache_objects(cache), 0);
    // What is in flight, and a few batches on either thread's shelf and in the depot between them.
    EXPECT_LT(addresses.size(), 1000u);
}

TEST_F(Slab, ManyThreadsShareACache)
{
    run_together(more_threads_than_processors(), [&](int me) {
        std::vector<unsigned char *> mine;
        for (int i = 0; i < 2000; i++) {
            mine.push_back(static_cast<unsigned char *>(kmem_cache_alloc(cache)));
            memset(mine.back(), me, 192);
            if (mine.size() == 150)
                while (mine.size() > 10) {
                    EXPECT_EQ(mine.back()[100], me);
                    kmem_cache_free(cache, mine.back());
                    mine.pop_back();
                }
        }
        for (unsigned char *object : mine)
            kmem_cache_free(cache, object);
    });
    EXPECT_EQ(kmem_cache_objects(cache), 0);
}

TEST_F(Slab, NthAllocationFailsAndNoOther)
{
    void *objects[4];

    kmem_fail_nth(3);
    for (void *&object : objects) {
        EXPECT_EQ(kmem_failure_delivered(), &object == &objects[3]);
        object = kmem_cache_alloc(cache);
    }
    EXPECT_NE(objects[0], nullptr);
    EXPECT_NE(objects[1], nullptr);
    EXPECT_EQ(objects[2], nullptr);
    EXPECT_NE(objects[3], nullptr);
    EXPECT_EQ(kmem_cache_objects(cache), 3);
    for (void *object : {objects[0], objects[1], objects[3]})
        kmem_cache_free(cache, object);
}

TEST_F(Slab, FailureCountsObjectsAndKmallocTogether)
{
    kmem_fail_nth(2);
    void *object = kmem_cache_alloc(cache);
    EXPECT_NE(object, nullptr);
    EXPECT_EQ(kmalloc(10), nullptr);
    EXPECT_TRUE(kmem_failure_delivered());
    kmem_cache_free(cache, object);
}

TEST_F(Slab, DisarmedFailureIsNotDelivered)
{
    kmem_fail_nth(1);
    kmem_fail_nth(0);
    void *memory = kmalloc(10);
    EXPECT_NE(memory, nullptr);
    EXPECT_FALSE(kmem_failure_delivered());
    kfree(memory);
}

TEST_F(Slab, ArmingAgainForgetsTheLastDelivery)
{
    kmem_fail_nth(1);
    EXPECT_EQ(kmalloc(10), nullptr);
    EXPECT_TRUE(kmem_failure_delivered());
    kmem_fail_nth(5);
    EXPECT_FALSE(kmem_failure_delivered());
}

TEST_F(Slab, OneFailureIsDeliveredToOneOfManyThreads)
{
    once<int> failures(0);

    kmem_fail_nth(1000);
    run_together(4, [&](int) {
        for (int i = 0; i < 1000; i++) {
            void *memory = kmalloc(8);
            if (!memory)
                add_return(&failures, 1);
            kfree(memory);
        }
    });
    EXPECT_EQ(READ_ONCE(failures), 1);
}

TEST_F(Slab, AllocatingInsideRcuIsReported)
{
    rcu_read_lock();
    kfree(kmalloc(10));
    kmem_cache_free(cache, kmem_cache_alloc(cache));
    rcu_read_unlock();
    EXPECT_THAT(warnings.take(),
                ElementsAre(HasSubstr("sleeping function"), HasSubstr("sleeping function")));
}

TEST_F(Slab, KmallocCountsItsPieces)
{
    const long before = kmalloc_objects();
    void *small = kmalloc(1);
    void *large = kmalloc(100000);

    EXPECT_EQ(reinterpret_cast<uintptr_t>(small) % alignof(max_align_t), 0u);
    EXPECT_EQ(kmalloc_objects(), before + 2);
    kfree(small);
    kfree(large);
    kfree(nullptr);
    EXPECT_EQ(kmalloc_objects(), before);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
