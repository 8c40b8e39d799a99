// SPDX-License-Identifier: GPL-2.0-only
//
// Model backend: the static data of the port, which an execution changes like the arena.
#pragma once

#include <cstddef>

#include "dcsim/config.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct port_static_data {
    void *begin;
    size_t bytes;
};

/// Everything static that the port this is linked into may change. For model_program::state.
port_static_data port_state();

} // namespace dcsim::inline DCSIM_BACKEND
