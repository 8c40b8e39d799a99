// SPDX-License-Identifier: GPL-2.0-only
//
// Model backend: the memory that an execution can change.
//
// One region at a fixed address holds the control block of the execution, the heap of the set-up
// phase, and for each task a stack and a heap of its own. Addresses therefore repeat from one
// execution to the next and from one process to the next, and so does everything computed from
// them: hash buckets, locks taken in address order. A task's allocations do not depend on what the
// other tasks allocated before, because they come from its own heap.
//
// Nothing is reused within an execution. A freed object is filled with poison and stays in
// quarantine, so an access to it is an access to that object and to no other; the shadow, one byte
// for every 16 bytes of the arena, is what accesses are checked against.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dcsim/config.h"

// On functions that look at an address only, not at what is there: without being told, g++ warns of
// accesses to fields that are not initialised yet.
#if defined(__clang__)
#define DCSIM_ADDRESS_ONLY(argument)
#else
#define DCSIM_ADDRESS_ONLY(argument) __attribute__((access(none, argument)))
#endif

namespace dcsim::inline DCSIM_BACKEND
{

/// Tasks of one execution: those of the program, RCU's, and the main task that runs set-up and
/// clean-up alone.
inline constexpr unsigned max_tasks = 16;

// Outside of what the kernel hands out by itself and of what AddressSanitizer claims.
inline constexpr uintptr_t arena_address = 0x200000000000;
inline constexpr uintptr_t shadow_address = 0x210000000000;
inline constexpr size_t shadow_granule = 16;

inline constexpr size_t control_bytes = size_t{16} << 20;
inline constexpr size_t task_stack_bytes = size_t{1} << 20;
inline constexpr size_t task_slot_bytes = size_t{128} << 20;
inline constexpr size_t arena_bytes = control_bytes + max_tasks * task_slot_bytes;

/// What a shadow byte says about its 16 bytes.
enum shadow_state : uint8_t {
    shadow_accessible = 0,
    shadow_header = 1,     ///< in front of an object
    shadow_freed = 2,      ///< object in quarantine
    shadow_dead_stack = 3, ///< the frame that this object lived in has returned
};

constexpr uintptr_t task_slot(unsigned task)
{
    return arena_address + control_bytes + task * task_slot_bytes;
}
constexpr uintptr_t task_stack_top(unsigned task)
{
    return task_slot(task) + task_stack_bytes;
}

DCSIM_ADDRESS_ONLY(1)
inline bool in_arena(const void *address)
{
    return reinterpret_cast<uintptr_t>(address) - arena_address < arena_bytes;
}

DCSIM_ADDRESS_ONLY(1)
inline uint8_t *shadow_of(const void *address)
{
    return reinterpret_cast<uint8_t *>(
        shadow_address + (reinterpret_cast<uintptr_t>(address) - arena_address) / shadow_granule);
}

/// Task whose stack or heap the address belongs to. The main task's heap is that of the set-up.
inline unsigned arena_owner(const void *address)
{
    return static_cast<unsigned>((reinterpret_cast<uintptr_t>(address) - task_slot(0)) /
                                 task_slot_bytes);
}

inline bool in_stack_of(unsigned task, const void *address)
{
    return reinterpret_cast<uintptr_t>(address) - task_slot(task) < task_stack_bytes;
}

/// One allocation, live or in quarantine. Lives outside the arena.
struct allocation {
    const char *pool; ///< name of the object's cache, or "kmalloc" and the like
    void *object;
    uint32_t bytes;
    uint8_t allocated_by;
    uint8_t freed_by;
    bool freed;
    uint32_t allocated_at; ///< step
    uint32_t freed_at;
};

/// Maps the arena, once in a process. Ends the program with a message when the addresses are taken.
void arena_map();
/// Memory of the current task's heap, 16-byte aligned at least; nullptr when the heap is full. Its
/// contents are a fixed pattern.
void *arena_alloc(const char *pool, size_t bytes, size_t align);
/// Into quarantine. Reports a double free, and a pointer that no allocation begins at.
void arena_free(void *object);
/// The allocation that an address lies in; nullptr when there is none.
const allocation *arena_find(const void *address) DCSIM_ADDRESS_ONLY(1);
/// Calls visit(argument, allocation) for every live allocation of this pool, oldest first per task.
void arena_for_each_live(const char *pool, void (*visit)(void *argument, const allocation &),
                         void *argument);
/// The same for every pool.
void arena_for_each_live_object(void (*visit)(void *argument, const allocation &), void *argument);

/// Brings static data back to what it was when this was first called for it: before a set-up.
void arena_reset_static_data(void *data, size_t bytes);
/// Remembers the arena and `extra` (the port's static data) as they are now, the start of every
/// execution.
void arena_snapshot(void *extra, size_t extra_bytes);
/// Brings back what arena_snapshot() remembered, and forgets everything the tasks allocated.
void arena_restore();
/// Complains about freed objects that were written to since.
void arena_check_quarantine();
/// A number that is the same for two equal states of the arena's heaps and the port's static data,
/// statistics left out.
uint64_t arena_hash();
/// Statistics may differ between states that count as equal.
void arena_exclude_from_hash(const void *begin, size_t bytes);
/// Bytes the snapshot copies for each execution.
size_t arena_snapshot_bytes();

} // namespace dcsim::inline DCSIM_BACKEND
