// SPDX-License-Identifier: GPL-2.0-only
//
// Lock annotations in the kernel's spelling, checked by clang's thread-safety analysis (an error in
// the clang build) and empty under g++.
//
// The words follow the kernel's context analysis: __guarded_by on a field, __must_hold on a
// function that needs a lock, __acquires and __releases on one that changes it. __context_unsafe()
// switches the analysis off for one function and makes the author say why; the lint counts these.
#pragma once

#if defined(__clang__)
#define DCSIM_ATTRIBUTE(x) __attribute__((x))
#else
#define DCSIM_ATTRIBUTE(x)
#endif

#define __context_lock(name) DCSIM_ATTRIBUTE(capability(name))
#define __guarded_by(x) DCSIM_ATTRIBUTE(guarded_by(x))
#define __must_hold(...) DCSIM_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define __must_hold_shared(...) DCSIM_ATTRIBUTE(requires_shared_capability(__VA_ARGS__))
#define __must_not_hold(...) DCSIM_ATTRIBUTE(locks_excluded(__VA_ARGS__))
#define __acquires(...) DCSIM_ATTRIBUTE(acquire_capability(__VA_ARGS__))
#define __acquires_shared(...) DCSIM_ATTRIBUTE(acquire_shared_capability(__VA_ARGS__))
#define __releases(...) DCSIM_ATTRIBUTE(release_capability(__VA_ARGS__))
#define __releases_shared(...) DCSIM_ATTRIBUTE(release_shared_capability(__VA_ARGS__))
#define __cond_acquires(result, ...) DCSIM_ATTRIBUTE(try_acquire_capability(result, __VA_ARGS__))
#define __cond_acquires_shared(result, ...)                                                        \
    DCSIM_ATTRIBUTE(try_acquire_shared_capability(result, __VA_ARGS__))
#define __assumes_held(...) DCSIM_ATTRIBUTE(assert_capability(__VA_ARGS__))
#define __assumes_held_shared(...) DCSIM_ATTRIBUTE(assert_shared_capability(__VA_ARGS__))
#define __context_unsafe(reason) DCSIM_ATTRIBUTE(no_thread_safety_analysis)
