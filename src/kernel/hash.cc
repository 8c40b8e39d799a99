// SPDX-License-Identifier: GPL-2.0-only
//
// Linux v6.12 fs/namei.c: the word-at-a-time name hash.
//
// Two 64-bit halves are mixed once per 8 bytes; the tail is folded in without a mixing round. A
// name whose length is a multiple of eight therefore hashes the same whether its empty tail is
// processed or not, which lets full_name_hash() and hash_name() agree.
#include "dcsim/kernel/hash.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

struct hash_state {
    u64 x;
    u64 y;

    void mix(u64 word)
    {
        x ^= word;
        y ^= x;
        x = std::rotl(x, 12);
        x += y;
        y = std::rotl(y, 45);
        y *= 9;
    }

    u32 fold(u64 tail)
    {
        x ^= tail;
        y ^= x * GOLDEN_RATIO_64;
        y *= GOLDEN_RATIO_64;
        return static_cast<u32>(y >> 32);
    }
};

constexpr u64 every_byte(u8 value)
{
    return 0x0101010101010101ull * value;
}

/// The top bit of each byte that is zero; exact up to and including the first such byte.
constexpr u64 zero_bytes(u64 word)
{
    return (word - every_byte(0x01)) & ~word & every_byte(0x80);
}

} // namespace

u32 full_name_hash(const void *salt, const char *name, unsigned length)
{
    hash_state state = {0, reinterpret_cast<u64>(salt)};

    for (; length >= sizeof(u64); length -= sizeof(u64), name += sizeof(u64))
        state.mix(load_word(name));
    return state.fold(load_partial_word(name, length));
}

u64 hashlen_string(const void *salt, const char *name)
{
    auto length = static_cast<u32>(strlen(name));
    return hashlen_create(full_name_hash(salt, name, length), length);
}

u64 hash_name(const void *salt, const char *name, const char *end)
{
    hash_state state = {0, reinterpret_cast<u64>(salt)};
    u32 length = 0;

    for (;;) {
        size_t readable = static_cast<size_t>(end - name) - length;
        u64 word = readable < sizeof(u64) ? load_partial_word(name + length, readable)
                                          : load_word(name + length);
        // Bytes past the end were loaded as NUL, so they end the component like a real one.
        u64 stops = zero_bytes(word) | zero_bytes(word ^ every_byte('/'));
        if (stops) {
            unsigned bytes = static_cast<unsigned>(std::countr_zero(stops)) / 8;
            u64 mask = (u64{1} << (bytes * 8)) - 1;
            length += bytes;
            return hashlen_create(state.fold(word & mask), length);
        }
        state.mix(word);
        length += sizeof(u64);
    }
}

} // namespace dcsim::inline DCSIM_BACKEND
