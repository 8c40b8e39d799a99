// SPDX-License-Identifier: GPL-2.0-only
//
// Where a port keeps its static data. Compiled into each port, so that each names its own.
#include "dcsim/prim/model/port.h"

#include "port_source_hash.h"

extern "C" {
// Made by the linker around the section that static_data.lds gathers.
extern char __start_dcsim_port_state[] __attribute__((visibility("hidden")));
extern char __stop_dcsim_port_state[] __attribute__((visibility("hidden")));
}

namespace dcsim::inline DCSIM_BACKEND
{

port_static_data port_state()
{
    return {__start_dcsim_port_state,
            static_cast<size_t>(__stop_dcsim_port_state - __start_dcsim_port_state)};
}

uint64_t port_source_hash()
{
    return port_source_hash_value;
}

} // namespace dcsim::inline DCSIM_BACKEND
