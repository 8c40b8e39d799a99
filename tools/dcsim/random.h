// SPDX-License-Identifier: GPL-2.0-only
//
// Random numbers that are the same on every machine for a given seed: splitmix64 spreads the seed,
// xoshiro256** makes the stream. The standard library's distributions promise no such thing.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace dcsim::cli
{

/// One step of splitmix64; also a good mixing function for a counter.
inline uint64_t splitmix64(uint64_t &state)
{
    uint64_t z = (state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/// A well spread number that depends on both arguments and nothing else.
inline uint64_t mix_numbers(uint64_t first, uint64_t second)
{
    uint64_t state = first;
    state = splitmix64(state) ^ second;
    return splitmix64(state);
}

class random_stream
{
  public:
    explicit random_stream(uint64_t seed)
    {
        for (uint64_t &word : state_)
            word = splitmix64(seed);
    }

    uint64_t next()
    {
        const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
        const uint64_t shifted = state_[1] << 17;

        state_[2] ^= state_[0];
        state_[3] ^= state_[1];
        state_[1] ^= state_[2];
        state_[0] ^= state_[3];
        state_[2] ^= shifted;
        state_[3] = std::rotl(state_[3], 45);
        return result;
    }

    /// A number from 0 to limit - 1; limit must be below 2^32. The bias is below limit / 2^32.
    uint64_t below(uint64_t limit)
    {
        return ((next() >> 32) * limit) >> 32;
    }

    bool one_in(uint64_t n)
    {
        return below(n) == 0;
    }

  private:
    std::array<uint64_t, 4> state_;
};

} // namespace dcsim::cli
