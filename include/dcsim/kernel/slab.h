// SPDX-License-Identifier: GPL-2.0-only
//
// Object caches and kmalloc, with the allocation-failure hook that tests and searches use.
#pragma once

#include "dcsim/kernel/types.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct kmem_cache;

/// Creates a cache of `size`-byte objects, at most 32 KiB. nullptr when memory is short or the size
/// too large. Not subject to the failure hook.
kmem_cache *kmem_cache_create(const char *name, size_t size, size_t align);
/// Destroys the cache and returns how many of its objects were never freed (with a WARN when that
/// is not zero). Callbacks pending on RCU must have run: call rcu_barrier() first.
long kmem_cache_destroy(kmem_cache *cache);
/// An object with undefined contents, or nullptr. May sleep, as GFP_KERNEL may.
void *kmem_cache_alloc(kmem_cache *cache);
void kmem_cache_free(kmem_cache *cache, void *object);
/// Objects handed out and not yet freed. Exact only when nobody allocates.
long kmem_cache_objects(const kmem_cache *cache);
/// Bytes of system memory behind one object.
size_t kmem_cache_bytes_per_object(const kmem_cache *cache);

/// Memory of any size, aligned for every type, contents undefined; nullptr when there is none. May
/// sleep, as GFP_KERNEL may.
void *kmalloc(size_t size);
/// The same where sleeping is forbidden, as with GFP_ATOMIC: in RCU, under a spinlock.
void *kmalloc_atomic(size_t size);
/// Frees what kmalloc() returned; nullptr is allowed.
void kfree(const void *memory);
/// kmalloc()ed pieces not yet freed. Exact only when nobody allocates.
long kmalloc_objects();

/// Makes the n-th allocation from now on fail, counted over all threads from 1; 0 disarms. Only
/// that one allocation fails. Covers kmalloc() and kmem_cache_alloc().
void kmem_fail_nth(long n);
/// True when an armed failure has been delivered since kmem_fail_nth().
bool kmem_failure_delivered();

} // namespace dcsim::inline DCSIM_BACKEND
