// SPDX-License-Identifier: GPL-2.0-only
//
// Model backend: object memory, from the arena.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "dcsim/prim/model/once.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct object_pool;

object_pool *object_pool_create(const char *name, size_t size, size_t align);
void object_pool_destroy(object_pool *pool);
void *object_pool_alloc(object_pool *pool);
void object_pool_free(object_pool *pool, void *object);
size_t object_pool_bytes_per_object(const object_pool *pool);

void *memory_alloc(size_t size);
void memory_free(void *memory);
void *memory_alloc_zeroed(size_t count, size_t size, size_t align = alignof(max_align_t));

/// The object is on the caller's stack, and others may come to it while its function runs: whoever
/// does later is reported. What is not on the caller's stack is left alone.
void stack_object(const void *object);

/// The same on every machine.
uint64_t total_memory_bytes();

/// One slot a task, so that a task's share can be told apart.
inline constexpr unsigned counter_slots = max_tasks;
inline unsigned this_counter_slot()
{
    return current_task().id;
}

template <size_t Count>
struct per_cpu_counters {
    struct slot {
        std::array<once<long>, Count> values;
    };
    std::array<slot, counter_slots> slots;
};

template <size_t Count>
inline void this_cpu_add(per_cpu_counters<Count> &counters, size_t which, long step)
{
    *counters.slots[this_counter_slot()].values[which].word() += step;
}

template <size_t Count>
inline long per_cpu_sum(const per_cpu_counters<Count> &counters, size_t which)
{
    long sum = 0;
    for (const auto &slot : counters.slots)
        sum += *slot.values[which].word();
    return sum;
}

template <size_t Count>
inline void per_cpu_reset(per_cpu_counters<Count> &counters)
{
    arena_exclude_from_hash(&counters, sizeof(counters));
    for (auto &slot : counters.slots)
        for (auto &value : slot.values)
            *value.word() = 0;
}

} // namespace dcsim::inline DCSIM_BACKEND
