// SPDX-License-Identifier: GPL-2.0-only
//
// Thin wrappers over the futex system call, private to the native backend.
#pragma once

#include <cstdint>

namespace dcsim::futex
{

/// Sleeps while *word == expected. Returns on a wake-up, on a changed value, or spuriously.
void wait(const uint32_t *word, uint32_t expected);
/// Wakes up to `count` sleepers. `word` may already be freed: only its address is used.
void wake(const uint32_t *word, int count);

} // namespace dcsim::futex
