// SPDX-License-Identifier: GPL-2.0-only
//
// Object caches: counting and failure injection in front of the backend's memory.
#include "dcsim/kernel/slab.h"

#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/once.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct kmem_cache {
    const char *name;
    object_pool *pool;
    per_cpu_counters<1> objects;
};

namespace
{

constinit per_cpu_counters<1> kmalloced = {};
constinit once<long> allocations_until_failure(0);
constinit once<bool> failure_delivered(false);

/// Decides whether this allocation is the armed one. The countdown is touched only while armed.
bool injected_failure()
{
    // A test's hook, not the kernel's: no schedule point.
    if (likely(READ_LOCKED(allocations_until_failure) <= 0))
        return false;
    if (add_return(&allocations_until_failure, -1) != 0)
        return false;
    WRITE_ONCE(failure_delivered, true);
    return true;
}

} // namespace

void kmem_fail_nth(long n)
{
    WRITE_ONCE(failure_delivered, false);
    WRITE_ONCE(allocations_until_failure, n);
}

bool kmem_failure_delivered()
{
    return READ_ONCE(failure_delivered);
}

kmem_cache *kmem_cache_create(const char *name, size_t size, size_t align)
{
    auto *cache =
        static_cast<kmem_cache *>(memory_alloc_zeroed(1, sizeof(kmem_cache), alignof(kmem_cache)));

    if (!cache)
        return nullptr;
    cache->name = name;
    cache->pool = object_pool_create(name, size, align);
    if (!cache->pool) {
        memory_free(cache);
        return nullptr;
    }
    return cache;
}

long kmem_cache_destroy(kmem_cache *cache)
{
    long left = kmem_cache_objects(cache);

    WARN(left != 0, "%ld objects of cache %s were never freed", left, cache->name);
    object_pool_destroy(cache->pool);
    memory_free(cache);
    return left;
}

void *kmem_cache_alloc(kmem_cache *cache)
{
    might_sleep();
    if (injected_failure())
        return nullptr;
    void *object = object_pool_alloc(cache->pool);
    if (likely(object))
        this_cpu_add(cache->objects, 0, 1);
    return object;
}

void kmem_cache_free(kmem_cache *cache, void *object)
{
    this_cpu_add(cache->objects, 0, -1);
    object_pool_free(cache->pool, object);
}

long kmem_cache_objects(const kmem_cache *cache)
{
    return per_cpu_sum(cache->objects, 0);
}

size_t kmem_cache_bytes_per_object(const kmem_cache *cache)
{
    return object_pool_bytes_per_object(cache->pool);
}

void *kmalloc(size_t size)
{
    might_sleep();
    return kmalloc_atomic(size);
}

void *kmalloc_atomic(size_t size)
{
    if (injected_failure())
        return nullptr;
    void *memory = memory_alloc(size);
    if (likely(memory))
        this_cpu_add(kmalloced, 0, 1);
    return memory;
}

void kfree(const void *memory)
{
    if (!memory)
        return;
    this_cpu_add(kmalloced, 0, -1);
    memory_free(const_cast<void *>(memory));
}

long kmalloc_objects()
{
    return per_cpu_sum(kmalloced, 0);
}

} // namespace dcsim::inline DCSIM_BACKEND
