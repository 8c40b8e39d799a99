// SPDX-License-Identifier: GPL-2.0-only
//
// Integer names and small helpers of the kernel.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dcsim/config.h"

namespace dcsim::inline DCSIM_BACKEND
{

using u8 = uint8_t;
using u32 = uint32_t;
using u64 = uint64_t;
using umode_t = unsigned short;
using ino_t = uint64_t;

/// Bytes of a cache line. The in-lookup hash divides a parent's address by it.
inline constexpr unsigned long L1_CACHE_BYTES = 64;

constexpr unsigned BIT(int bit)
{
    return 1u << bit;
}

inline bool likely(bool condition)
{
    return __builtin_expect(condition, true);
}

inline bool unlikely(bool condition)
{
    return __builtin_expect(condition, false);
}

/// The object of type T whose member `member` is at `pointer`.
#define container_of(pointer, T, member)                                                           \
    reinterpret_cast<T *>(reinterpret_cast<char *>(pointer) - offsetof(T, member))

} // namespace dcsim::inline DCSIM_BACKEND
