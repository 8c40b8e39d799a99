// SPDX-License-Identifier: GPL-2.0-only
//
// [filesystem]: its type and its knobs.
#pragma once

#include "document.h"

namespace dcsim::scenario
{

/// Reads and checks the section.
void read_file_system(document &from, scenario &into);

/// "filesystem.type" and every option of every file system.
key_list settable_file_system_keys();

} // namespace dcsim::scenario
