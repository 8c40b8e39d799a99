// SPDX-License-Identifier: GPL-2.0-only
//
// What a patched port in a module of its own shows to the program that loads it.
#include "dcsim/scenario/program.h"

extern "C" __attribute__((visibility("default"))) dcsim::scenario_program_factory
dcsim_port_module_factory();

extern "C" dcsim::scenario_program_factory dcsim_port_module_factory()
{
    return dcsim::make_scenario_program;
}
