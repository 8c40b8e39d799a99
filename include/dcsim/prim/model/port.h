// SPDX-License-Identifier: GPL-2.0-only
//
// Model backend: the static data of the port, which an execution changes like the arena.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dcsim/config.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct port_static_data {
    void *begin;
    size_t bytes;
};

/// Everything static that the port this is linked into may change. For model_program::state.
port_static_data port_state();

/// A hash of the sources that this port, and the primitives under it, were built from.
uint64_t port_source_hash();

} // namespace dcsim::inline DCSIM_BACKEND
