// SPDX-License-Identifier: GPL-2.0-only
//
// [tree]: what is on the disk.
#pragma once

#include "document.h"
#include "names.h"

namespace dcsim::scenario
{

/// Reads and checks the section; fills in scenario::tree.
void read_tree(document &from, name_table &names, scenario &into);

} // namespace dcsim::scenario
