// SPDX-License-Identifier: GPL-2.0-only
//
// Native backend: object memory and per-thread counters.
//
// A cache hands out objects of one size from 64 KiB chunks. Each thread works on its own shelf and
// trades batches of free objects with a common depot: RCU frees dentries in another thread than the
// one that allocates them, so shelves alone would grow without bound. Sanitizer builds take every
// object from malloc instead, to see each misuse.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "dcsim/prim/native/once.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct object_pool;

/// Creates a pool of `size`-byte objects, at most 32 KiB, aligned to `align`; nullptr when memory
/// is short or the size too large. `name` is for reports and outlives the pool.
object_pool *object_pool_create(const char *name, size_t size, size_t align);
/// Gives all memory back. Objects still in use become invalid; the caller has counted them.
void object_pool_destroy(object_pool *pool);
void *object_pool_alloc(object_pool *pool);
void object_pool_free(object_pool *pool, void *object);
/// Bytes of memory taken from the system for one object, slack included.
size_t object_pool_bytes_per_object(const object_pool *pool);

/// Memory of any size, aligned for every type; nullptr when there is none.
void *memory_alloc(size_t size);
void memory_free(void *memory);
/// Zeroed memory for tables; nullptr when there is none. Freed with memory_free().
void *memory_alloc_zeroed(size_t count, size_t size, size_t align = alignof(max_align_t));

/// The object is on the caller's stack, and others may come to it while its function runs. Nothing
/// to do here: AddressSanitizer looks after stacks.
inline void stack_object(const void *) {}

/// Bytes of memory in the machine, for sizing hash tables as the kernel does at boot.
uint64_t total_memory_bytes();

inline constexpr unsigned counter_slots = 64;
/// Slot of this thread, given out round robin.
unsigned this_counter_slot();

/// Counters that many threads bump and few read: one cache-line-aligned set per slot.
template <size_t Count>
struct per_cpu_counters {
    struct alignas(64) slot {
        std::array<once<long>, Count> values;
    };
    std::array<slot, counter_slots> slots;
};

template <size_t Count>
inline void this_cpu_add(per_cpu_counters<Count> &counters, size_t which, long step)
{
    // Threads may share a slot, so the addition is atomic; the line is almost always our own.
    __atomic_fetch_add(counters.slots[this_counter_slot()].values[which].word(), step,
                       __ATOMIC_RELAXED);
}

/// Sum over all slots. A snapshot only when nobody counts.
template <size_t Count>
inline long per_cpu_sum(const per_cpu_counters<Count> &counters, size_t which)
{
    long sum = 0;
    for (const auto &slot : counters.slots)
        sum += READ_ONCE(slot.values[which]);
    return sum;
}

template <size_t Count>
inline void per_cpu_reset(per_cpu_counters<Count> &counters)
{
    for (auto &slot : counters.slots)
        for (auto &value : slot.values)
            WRITE_ONCE(value, 0);
}

} // namespace dcsim::inline DCSIM_BACKEND
