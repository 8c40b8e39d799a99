// SPDX-License-Identifier: GPL-2.0-only
//
// [setup], [task.*] and [check]: everything with steps and expressions in it.
#pragma once

#include "document.h"
#include "names.h"

namespace dcsim::scenario
{

/// Reads and checks the sections; fills in setup, tasks and the expressions. After read_tree().
void read_tasks(document &from, name_table &names, scenario &into);

} // namespace dcsim::scenario
