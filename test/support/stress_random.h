// SPDX-License-Identifier: GPL-2.0-only
//
// Numbers and time limits of stress tests.
#pragma once

#include <cstdint>
#include <cstdlib>

/// How long a stress test runs: DCSIM_STRESS_SECONDS, or 2.
inline double stress_seconds()
{
    const char *text = getenv("DCSIM_STRESS_SECONDS");
    return text ? strtod(text, nullptr) : 2;
}

class stress_random
{
  public:
    explicit stress_random(uint64_t seed) : state_(seed) {}

    /// Uniform below `bound` (splitmix64).
    unsigned below(unsigned bound)
    {
        uint64_t z = (state_ += 0x9e3779b97f4a7c15ull);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
        return static_cast<unsigned>((z ^ (z >> 31)) % bound);
    }

  private:
    uint64_t state_;
};
