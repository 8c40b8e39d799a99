// SPDX-License-Identifier: GPL-2.0-only
//
// The arena: heaps that only grow, a shadow that knows what is alive, and the snapshot.
#include "dcsim/prim/model/arena.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <sys/mman.h>

#include "dcsim/prim/model/execution.h"
#include "internal.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#endif
#endif
#ifndef ASAN_POISON_MEMORY_REGION
#define ASAN_POISON_MEMORY_REGION(address, bytes) ((void)(address), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes) ((void)(address), (void)(bytes))
#endif

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

constexpr uint8_t fresh_pattern = 0x5a;
constexpr uint8_t freed_pattern = 0x6b;
constexpr size_t page = 4096;

/// In front of every object: which allocation it is. One granule.
struct alignas(shadow_granule) object_header {
    uint64_t magic;
    uint32_t number; ///< index into the heap's allocations
    uint32_t heap;
};
constexpr uint64_t header_magic = 0x64637369'6d6f626a;

/// A task's heap. `next` is where the next header goes.
struct heap {
    uintptr_t next;
    std::vector<allocation> allocations;
};

constexpr uintptr_t heap_begin(unsigned task)
{
    return task_slot(task) + task_stack_bytes;
}
constexpr uintptr_t heap_end(unsigned task)
{
    return task_slot(task) + task_slot_bytes;
}

/// A piece of memory and what it looked like.
struct saved_memory {
    uint8_t *begin = nullptr;
    std::vector<uint8_t> contents;
};

struct arena_state {
    bool mapped = false;
    heap heaps[max_tasks];
    saved_memory setup_heap;
    saved_memory setup_shadow;
    saved_memory port_state;
    std::vector<allocation> setup_allocations;
    std::vector<saved_memory> initial_data; ///< of every port that was ever loaded
    std::vector<std::pair<uintptr_t, uintptr_t>> not_hashed;
};
arena_state arena;

/// Copies without the checks that a sanitizer puts around memcpy(): red zones are copied as well.
__attribute__((no_sanitize("address"))) void copy_bytes(uint8_t *to, const uint8_t *from,
                                                        size_t bytes)
{
#if defined(__SANITIZE_ADDRESS__)
    for (size_t i = 0; i < bytes; i++)
        reinterpret_cast<volatile uint8_t *>(to)[i] = from[i];
#else
    memcpy(to, from, bytes);
#endif
}

void save(saved_memory &saved, void *begin, size_t bytes)
{
    saved.begin = static_cast<uint8_t *>(begin);
    saved.contents.resize(bytes);
    copy_bytes(saved.contents.data(), saved.begin, bytes);
}

void restore(const saved_memory &saved)
{
    copy_bytes(saved.begin, saved.contents.data(), saved.contents.size());
}

void *map_at(uintptr_t address, size_t bytes)
{
    void *memory = mmap(reinterpret_cast<void *>(address), bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

    if (memory != reinterpret_cast<void *>(address)) {
        fprintf(stderr,
                "dcsim: the model backend needs %zu MiB of address space at %#zx: not available "
                "(limit on virtual memory, or another tool occupies it)\n",
                bytes >> 20, static_cast<size_t>(address));
        exit(70);
    }
    return memory;
}

heap &heap_of(unsigned task)
{
    return arena.heaps[task];
}

object_header *header_of(void *object)
{
    return static_cast<object_header *>(object) - 1;
}

void forget_task_heap(unsigned task)
{
    heap &heap = heap_of(task);

    if (heap.next == heap_begin(task))
        return;
    const size_t used = heap.next - heap_begin(task);
    memset(shadow_of(reinterpret_cast<void *>(heap_begin(task))), 0, used / shadow_granule + 1);
    ASAN_UNPOISON_MEMORY_REGION(reinterpret_cast<void *>(heap_begin(task)), used);
    heap.next = heap_begin(task);
    heap.allocations.clear();
}

} // namespace

void arena_map()
{
    if (!arena.mapped) {
        map_at(arena_address, arena_bytes);
        map_at(shadow_address, arena_bytes / shadow_granule);
        for (unsigned task = 0; task < max_tasks; task++) {
            mprotect(reinterpret_cast<void *>(task_slot(task)), page, PROT_NONE);
            heap_of(task).next = heap_begin(task);
        }
        arena.mapped = true;
    }
    for (unsigned task = 0; task < max_tasks; task++)
        forget_task_heap(task);
    arena.not_hashed.clear();
}

void *arena_alloc(const char *pool, size_t bytes, size_t align)
{
    const task_control &me = current_task();
    heap &heap = heap_of(me.id);

    if (align < shadow_granule)
        align = shadow_granule;
    bytes = (bytes + shadow_granule - 1) / shadow_granule * shadow_granule;
    if (bytes > task_slot_bytes || align > page)
        return nullptr;
    const uintptr_t address = (heap.next + sizeof(object_header) + align - 1) / align * align;
    if (address + bytes > heap_end(me.id))
        return nullptr;

    auto *object = reinterpret_cast<void *>(address);
    *header_of(object) = {header_magic, static_cast<uint32_t>(heap.allocations.size()), me.id};
    *shadow_of(header_of(object)) = shadow_header;
    heap.next = address + bytes;
    memset(object, fresh_pattern, bytes);
    heap.allocations.push_back({.pool = pool,
                                .object = object,
                                .bytes = static_cast<uint32_t>(bytes),
                                .allocated_by = me.id,
                                .freed_by = 0,
                                .freed = false,
                                .allocated_at = execution().step,
                                .freed_at = 0});
    return object;
}

void arena_free(void *object)
{
    const object_header *header = header_of(object);

    if (!in_arena(header) || reinterpret_cast<uintptr_t>(object) % shadow_granule ||
        *shadow_of(header) != shadow_header || header->magic != header_magic ||
        header->number >= heap_of(header->heap).allocations.size())
        violate(violation_kind::double_free, "%p is freed, and no allocation begins there", object);
    allocation &found = heap_of(header->heap).allocations[header->number];
    if (found.freed)
        violate_freed(violation_kind::double_free, found.freed_at,
                      "%s, freed by %s at step %u, is freed again by %s", address_text(object),
                      task_name(found.freed_by), found.freed_at, current_task().name);
    if (execution().observing)
        note_access(object, true, found.bytes);
    found.freed = true;
    found.freed_by = current_task().id;
    found.freed_at = execution().step;
    memset(object, freed_pattern, found.bytes);
    memset(shadow_of(object), shadow_freed, found.bytes / shadow_granule);
    ASAN_POISON_MEMORY_REGION(object, found.bytes);
}

const allocation *arena_find(const void *address)
{
    const auto at = reinterpret_cast<uintptr_t>(address);

    if (at < task_slot(0))
        return nullptr;
    const auto &all = heap_of(arena_owner(address)).allocations;
    size_t low = 0;
    size_t high = all.size();
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (reinterpret_cast<uintptr_t>(all[middle].object) <= at)
            low = middle + 1;
        else
            high = middle;
    }
    if (!low || reinterpret_cast<uintptr_t>(all[low - 1].object) + all[low - 1].bytes <= at)
        return nullptr;
    return &all[low - 1];
}

void arena_for_each_live(const char *pool, void (*visit)(void *argument, const allocation &),
                         void *argument)
{
    const char *another = nullptr; // texts are compared once, then the pointers

    for (const heap &heap : arena.heaps)
        for (const allocation &one : heap.allocations) {
            if (one.freed || one.pool == another)
                continue;
            if (one.pool == pool || !strcmp(one.pool, pool))
                visit(argument, one);
            else
                another = one.pool;
        }
}

void arena_for_each_live_object(void (*visit)(void *argument, const allocation &), void *argument)
{
    for (const heap &heap : arena.heaps)
        for (const allocation &one : heap.allocations)
            if (!one.freed)
                visit(argument, one);
}

void report_bad_access(const void *address)
{
    const task_control &me = current_task();
    const uint8_t state = *shadow_of(address);

    if (state == shadow_dead_stack) {
        // Its own frames come and go: the memory serves something else now.
        if (in_stack_of(me.id, address)) {
            *shadow_of(address) = shadow_accessible;
            return;
        }
        violate(violation_kind::use_after_free,
                "%s uses an object on the stack of %s whose function has returned", me.name,
                task_name(static_cast<task_id>(arena_owner(address))));
    }
    const allocation *found = arena_find(address);
    if (state == shadow_header || !found)
        violate(violation_kind::use_after_free, "%s uses memory at %p outside of any object",
                me.name, address);
    violate_freed(violation_kind::use_after_free, found->freed_at,
                  "%s uses %s, allocated by %s at step %u and freed by %s at step %u", me.name,
                  address_text(address), task_name(found->allocated_by), found->allocated_at,
                  task_name(found->freed_by), found->freed_at);
}

namespace
{

/// The first byte of a freed object that is not as arena_free() left it; its size when all are.
__attribute__((no_sanitize("address"))) uint32_t first_change(const allocation &freed)
{
    constexpr uint64_t eight = freed_pattern * 0x0101010101010101ull;
    auto *words = static_cast<const volatile uint64_t *>(freed.object);
    auto *bytes = static_cast<const volatile uint8_t *>(freed.object);
    uint32_t at = 0;

    while (at < freed.bytes && words[at / sizeof(eight)] == eight)
        at += sizeof(eight);
    while (at < freed.bytes && bytes[at] == freed_pattern)
        at++;
    return at;
}

} // namespace

void arena_check_quarantine()
{
    for (const heap &heap : arena.heaps)
        for (const allocation &one : heap.allocations) {
            const uint32_t at = one.freed ? first_change(one) : one.bytes;

            if (at < one.bytes)
                violate_freed(violation_kind::use_after_free, one.freed_at,
                              "%s+%u, freed by %s at step %u, was written to after that", one.pool,
                              at, task_name(one.freed_by), one.freed_at);
        }
}

void arena_forget_frames(unsigned task)
{
    ASAN_UNPOISON_MEMORY_REGION(reinterpret_cast<void *>(task_slot(task) + page),
                                task_stack_bytes - page);
}

// --- Snapshot ---

void arena_reset_static_data(void *data, size_t bytes)
{
    for (const saved_memory &known : arena.initial_data)
        if (known.begin == data) {
            restore(known);
            return;
        }
    arena.initial_data.emplace_back();
    save(arena.initial_data.back(), data, bytes);
}

void arena_snapshot(void *extra, size_t extra_bytes)
{
    auto *begin = reinterpret_cast<void *>(heap_begin(main_task));
    const size_t used = heap_of(main_task).next - heap_begin(main_task);

    save(arena.setup_heap, begin, used);
    save(arena.setup_shadow, shadow_of(begin), used / shadow_granule + 1);
    save(arena.port_state, extra, extra_bytes);
    arena.setup_allocations = heap_of(main_task).allocations;
}

void arena_restore()
{
    heap &setup = heap_of(main_task);
    const uintptr_t setup_end = heap_begin(main_task) + arena.setup_heap.contents.size();

    for (unsigned task = 0; task < main_task; task++)
        forget_task_heap(task);
    // What the clean-up allocated goes, what it freed comes back.
    if (setup.next > setup_end)
        memset(shadow_of(reinterpret_cast<void *>(setup_end)), 0,
               (setup.next - setup_end) / shadow_granule + 1);
    ASAN_UNPOISON_MEMORY_REGION(reinterpret_cast<void *>(heap_begin(main_task)),
                                setup.next - heap_begin(main_task));
    setup.next = setup_end;
    setup.allocations = arena.setup_allocations;
    restore(arena.setup_heap);
    restore(arena.setup_shadow);
    restore(arena.port_state);
}

size_t arena_snapshot_bytes()
{
    return arena.setup_heap.contents.size() + arena.setup_shadow.contents.size() +
           arena.port_state.contents.size();
}

// --- Hash ---

namespace
{

bool hashed(uintptr_t address)
{
    for (auto [begin, end] : arena.not_hashed)
        if (address >= begin && address < end)
            return false;
    return true;
}

uint64_t mix(uint64_t hash, uint64_t value)
{
    hash ^= value;
    hash *= 0x9e3779b97f4a7c15;
    return hash ^ hash >> 29;
}

__attribute__((no_sanitize("address"))) uint64_t hash_words(uint64_t hash, uintptr_t begin,
                                                            size_t bytes)
{
    for (uintptr_t at = begin; at + sizeof(uint64_t) <= begin + bytes; at += sizeof(uint64_t))
        if (hashed(at))
            hash = mix(hash, *reinterpret_cast<const volatile uint64_t *>(at));
    return hash;
}

} // namespace

uint64_t arena_hash()
{
    uint64_t hash = 0;

    for (unsigned task = 0; task < max_tasks; task++)
        hash = hash_words(hash, heap_begin(task), heap_of(task).next - heap_begin(task));
    return hash_words(hash, reinterpret_cast<uintptr_t>(arena.port_state.begin) & ~uintptr_t{7},
                      arena.port_state.contents.size());
}

void arena_exclude_from_hash(const void *begin, size_t bytes)
{
    const auto address = reinterpret_cast<uintptr_t>(begin);

    for (auto [known, end] : arena.not_hashed)
        if (known == address)
            return;
    arena.not_hashed.emplace_back(address, address + bytes);
}

} // namespace dcsim::inline DCSIM_BACKEND
