// SPDX-License-Identifier: GPL-2.0-only
//
// Object memory of the model: every allocation is a schedule point, and may fail when the search
// has failures left to hand out.
#include "dcsim/prim/model/memory.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct object_pool {
    const char *name;
    size_t size;
    size_t align;
};

namespace
{

constexpr uint64_t modelled_memory_bytes = uint64_t{1} << 30;
constexpr size_t largest_pooled_object = 32 * 1024;

bool allocation_fails()
{
    execution_state &x = execution();

    if (x.solo || !x.faults_left || !choose_value(2))
        return false;
    x.faults_left--;
    x.faults_injected++;
    return true;
}

void *allocate(const char *pool, size_t bytes, size_t align)
{
    schedule_point(operation::allocate, nullptr, false);
    return allocation_fails() ? nullptr : arena_alloc(pool, bytes, align);
}

} // namespace

void stack_object(const void *object)
{
    task_control &me = current_task();
    const auto address = reinterpret_cast<uintptr_t>(object);
    uintptr_t *end = me.stack_object + me.stack_objects;

    if (!in_arena(object) || !in_stack_of(me.id, object) || me.id == main_task)
        return;
    *shadow_of(object) = shadow_accessible;
    // Once is enough for an object that is set up again and again in one frame.
    if (std::find(me.stack_object, end, address) == end &&
        me.stack_objects < std::size(me.stack_object))
        me.stack_object[me.stack_objects++] = address;
}

object_pool *object_pool_create(const char *name, size_t size, size_t align)
{
    if (size > largest_pooled_object)
        return nullptr;
    auto *pool = static_cast<object_pool *>(
        arena_alloc("object_pool", sizeof(object_pool), alignof(object_pool)));
    if (pool)
        *pool = {name, size, align};
    return pool;
}

void object_pool_destroy(object_pool *pool)
{
    arena_free(pool);
}

void *object_pool_alloc(object_pool *pool)
{
    return allocate(pool->name, pool->size, pool->align);
}

void object_pool_free(object_pool *pool, void *object)
{
    (void)pool;
    schedule_point(operation::free, object, true);
    arena_free(object);
}

size_t object_pool_bytes_per_object(const object_pool *pool)
{
    return pool->size;
}

void *memory_alloc(size_t size)
{
    return allocate("kmalloc", size, alignof(max_align_t));
}

void memory_free(void *memory)
{
    if (!memory)
        return;
    schedule_point(operation::free, memory, true);
    arena_free(memory);
}

void *memory_alloc_zeroed(size_t count, size_t size, size_t align)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes))
        return nullptr;
    void *memory = arena_alloc("table", bytes, align);
    return memory ? memset(memory, 0, bytes) : nullptr;
}

uint64_t total_memory_bytes()
{
    return modelled_memory_bytes;
}

} // namespace dcsim::inline DCSIM_BACKEND
