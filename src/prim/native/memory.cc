// SPDX-License-Identifier: GPL-2.0-only
//
// Object pools and counters of the native backend.
#include "dcsim/prim/native/memory.h"

#include <cstdlib>
#include <cstring>
#include <new>

#include <unistd.h>

#include "dcsim/annotations.h"
#include "dcsim/prim/native/spinlock.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

constexpr size_t chunk_bytes = size_t{64} * 1024;
constexpr size_t batch_objects = 64;
constexpr unsigned shelf_count = counter_slots;

#if defined(__SANITIZE_ADDRESS__)
#define DCSIM_MALLOC_OBJECTS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define DCSIM_MALLOC_OBJECTS 1
#endif
#endif
#if defined(DCSIM_MALLOC_OBJECTS) || DCSIM_TSAN
constexpr bool one_allocation_per_object = true;
#else
constexpr bool one_allocation_per_object = false;
#endif

/// A free object: it links to the next of its batch, and the first of a batch to the next batch.
struct free_object {
    free_object *next;
    free_object *next_batch;
};

struct chunk {
    chunk *next;
};

} // namespace

struct object_pool {
    /// A thread's own free objects: at most two batches, so that it trades with the depot only once
    /// in a batch whichever way its traffic goes. The lock is contended only when more threads run
    /// than there are shelves; innermost but for the depot's.
    struct alignas(64) shelf {
        spinlock_t lock;
        free_object *loaded __guarded_by(&lock);
        size_t loaded_objects __guarded_by(&lock);
        free_object *spare __guarded_by(&lock); ///< a full batch or nothing
    };

    size_t object_bytes;
    size_t align;
    shelf shelves[shelf_count];
    spinlock_t depot_lock; ///< guards the depot and the chunk list; taken under a shelf's lock
    free_object *depot __guarded_by(&depot_lock);
    chunk *chunks __guarded_by(&depot_lock);
    char *carve_next __guarded_by(&depot_lock);
    char *carve_end __guarded_by(&depot_lock);
};

object_pool *object_pool_create([[maybe_unused]] const char *name, size_t size, size_t align)
{
    if (size < sizeof(free_object))
        size = sizeof(free_object);
    if (align < alignof(free_object))
        align = alignof(free_object);
    // A chunk holds its header and at least one object.
    size_t object_bytes = (size + align - 1) / align * align;
    if (object_bytes > chunk_bytes / 2)
        return nullptr;

    auto *pool = new (std::nothrow) object_pool();
    if (!pool)
        return nullptr;
    pool->object_bytes = object_bytes;
    pool->align = align;
    for (auto &shelf : pool->shelves)
        spin_lock_init(&shelf.lock, "object_pool.shelf");
    spin_lock_init(&pool->depot_lock, "object_pool.depot");
    return pool;
}

void object_pool_destroy(object_pool *pool) __context_unsafe("nobody else uses the pool any more")
{
    while (chunk *first = pool->chunks) {
        pool->chunks = first->next;
        free(first);
    }
    delete pool;
}

namespace
{

/// Takes a new chunk from the system. The chunk header fills the space of one object.
bool grow(object_pool *pool) __must_hold(&pool->depot_lock)
{
    size_t alignment = pool->align < 64 ? 64 : pool->align;
    auto *memory = static_cast<char *>(aligned_alloc(alignment, chunk_bytes));

    if (!memory)
        return false;
    auto *fresh = reinterpret_cast<chunk *>(memory);
    fresh->next = pool->chunks;
    pool->chunks = fresh;
    pool->carve_next = memory + pool->object_bytes;
    pool->carve_end = memory + chunk_bytes;
    return true;
}

/// A batch of free objects, from the depot or freshly carved; nullptr when memory is short.
free_object *take_batch(object_pool *pool, size_t *objects) __must_not_hold(&pool->depot_lock)
{
    free_object *batch = nullptr;

    *objects = 0;
    spin_lock(&pool->depot_lock);
    if (pool->depot) {
        batch = pool->depot;
        pool->depot = batch->next_batch;
        *objects = batch_objects;
    }
    while (*objects < batch_objects) {
        if (static_cast<size_t>(pool->carve_end - pool->carve_next) < pool->object_bytes &&
            (*objects || !grow(pool)))
            break;
        auto *object = reinterpret_cast<free_object *>(pool->carve_next);
        pool->carve_next += pool->object_bytes;
        object->next = batch;
        batch = object;
        ++*objects;
    }
    spin_unlock(&pool->depot_lock);
    return batch;
}

void give_batch(object_pool *pool, free_object *batch) __must_not_hold(&pool->depot_lock)
{
    spin_lock(&pool->depot_lock);
    batch->next_batch = pool->depot;
    pool->depot = batch;
    spin_unlock(&pool->depot_lock);
}

} // namespace

void *object_pool_alloc(object_pool *pool)
{
    if constexpr (one_allocation_per_object)
        return aligned_alloc(pool->align, pool->object_bytes);

    object_pool::shelf *shelf = &pool->shelves[this_counter_slot()];

    spin_lock(&shelf->lock);
    if (!shelf->loaded) {
        if (shelf->spare) {
            shelf->loaded = shelf->spare;
            shelf->loaded_objects = batch_objects;
            shelf->spare = nullptr;
        } else {
            shelf->loaded = take_batch(pool, &shelf->loaded_objects);
        }
    }
    free_object *object = shelf->loaded;
    if (object) {
        shelf->loaded = object->next;
        shelf->loaded_objects--;
    }
    spin_unlock(&shelf->lock);
    return object;
}

void object_pool_free(object_pool *pool, void *memory)
{
    if constexpr (one_allocation_per_object) {
        free(memory);
        return;
    }

    object_pool::shelf *shelf = &pool->shelves[this_counter_slot()];
    auto *object = static_cast<free_object *>(memory);

    spin_lock(&shelf->lock);
    if (shelf->loaded_objects == batch_objects) {
        if (shelf->spare)
            give_batch(pool, shelf->spare);
        shelf->spare = shelf->loaded;
        shelf->loaded = nullptr;
        shelf->loaded_objects = 0;
    }
    object->next = shelf->loaded;
    shelf->loaded = object;
    shelf->loaded_objects++;
    spin_unlock(&shelf->lock);
}

size_t object_pool_bytes_per_object(const object_pool *pool)
{
    return chunk_bytes / (chunk_bytes / pool->object_bytes - 1);
}

void *memory_alloc(size_t size)
{
    return malloc(size);
}

void memory_free(void *memory)
{
    free(memory);
}

void *memory_alloc_zeroed(size_t count, size_t size, size_t align)
{
    size_t bytes;

    if (align <= alignof(max_align_t))
        return calloc(count, size);
    if (__builtin_mul_overflow(count, size, &bytes))
        return nullptr;
    void *memory = aligned_alloc(align, (bytes + align - 1) / align * align);
    return memory ? memset(memory, 0, bytes) : nullptr;
}

uint64_t total_memory_bytes()
{
    return static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) *
           static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

unsigned this_counter_slot()
{
    static constinit once<unsigned> next_slot(0);
    static thread_local unsigned slot = add_return(&next_slot, 1u) % counter_slots;
    return slot;
}

} // namespace dcsim::inline DCSIM_BACKEND
