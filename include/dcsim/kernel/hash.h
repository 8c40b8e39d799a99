// SPDX-License-Identifier: GPL-2.0-only
//
// Integer and name hashing, bit for bit what x86-64 computes with CONFIG_DCACHE_WORD_ACCESS.
// Source: include/linux/hash.h, stringhash.h, fs/namei.c.
#pragma once

#include <bit>
#include <cstring>

#include "dcsim/kernel/types.h"

namespace dcsim::inline DCSIM_BACKEND
{

static_assert(std::endian::native == std::endian::little && sizeof(long) == 8,
              "name hashes and qstr.hash_len are those of 64-bit little-endian kernels");

inline constexpr u32 GOLDEN_RATIO_32 = 0x61C88647;
inline constexpr u64 GOLDEN_RATIO_64 = 0x61C8864680B583EBull;

inline constexpr u32 hash_32(u32 value, unsigned bits)
{
    return (value * GOLDEN_RATIO_32) >> (32 - bits);
}

inline constexpr u32 hash_64(u64 value, unsigned bits)
{
    return static_cast<u32>(value * GOLDEN_RATIO_64 >> (64 - bits));
}

/// A name's hash in the low half and its length in the high half.
inline constexpr u64 hashlen_create(u32 hash, u32 length)
{
    return static_cast<u64>(length) << 32 | hash;
}

inline constexpr u32 hashlen_hash(u64 hashlen)
{
    return static_cast<u32>(hashlen);
}

inline constexpr u32 hashlen_len(u64 hashlen)
{
    return static_cast<u32>(hashlen >> 32);
}

/// The first `count` bytes, at most seven, as a little-endian word. Reads nothing beyond them: the
/// overlapping halves carry the same bytes where they meet.
inline u64 load_partial_word(const void *from, size_t count)
{
    const auto *bytes = static_cast<const unsigned char *>(from);

    if (count >= 4) {
        u32 low;
        u32 high;
        memcpy(&low, bytes, 4);
        memcpy(&high, bytes + count - 4, 4);
        return low | static_cast<u64>(high) << ((count - 4) * 8);
    }
    if (count >= 2) {
        uint16_t low;
        uint16_t high;
        memcpy(&low, bytes, 2);
        memcpy(&high, bytes + count - 2, 2);
        return low | static_cast<u64>(high) << ((count - 2) * 8);
    }
    return count ? *bytes : 0;
}

/// Eight bytes as a little-endian word.
inline u64 load_word(const void *from)
{
    u64 word;
    memcpy(&word, from, sizeof(word));
    return word;
}

/// Hash of `length` bytes; `salt` is the address of the parent dentry. Allows NUL and '/' in it.
u32 full_name_hash(const void *salt, const char *name, unsigned length);
/// hash_len of a NUL-terminated string.
u64 hashlen_string(const void *salt, const char *name);
/// hash_len of the path component that starts at `name` and ends before the first '/', NUL or
/// `end`. The kernel reads ahead in whole words and lets a fault handler supply zeroes; user memory
/// has an end, so it is passed in.
u64 hash_name(const void *salt, const char *name, const char *end);

} // namespace dcsim::inline DCSIM_BACKEND
