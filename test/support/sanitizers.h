// SPDX-License-Identifier: GPL-2.0-only
//
// What the sanitizer of this build changes about memory.
#pragma once

#include "dcsim/prim/prim.h"

#if defined(__SANITIZE_ADDRESS__)
#define DCSIM_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define DCSIM_ASAN 1
#endif
#endif
#ifndef DCSIM_ASAN
#define DCSIM_ASAN 0
#endif
// The native backend has its own; the model is not built with ThreadSanitizer.
#ifndef DCSIM_TSAN
#define DCSIM_TSAN 0
#endif

namespace dcsim::inline DCSIM_BACKEND
{

/// malloc() is the sanitizer's: every object comes from it, freed memory is kept back for a while,
/// and an impossible size ends the program.
inline constexpr bool sanitized_malloc = DCSIM_ASAN || DCSIM_TSAN;

} // namespace dcsim::inline DCSIM_BACKEND
