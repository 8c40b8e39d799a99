// SPDX-License-Identifier: GPL-2.0-only
//
// From addresses to names, by the program's debug information (libbacktrace).
#pragma once

#include <string>
#include <vector>

#include "dcsim/explore/trace.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// The call chain of the caller, innermost first: inlined functions as well, the model's own left
/// out.
std::vector<code_place> current_calls();

/// Name of the variable at an address, e.g. "rename_lock+4"; "" when there is none.
std::string variable_at(const void *address);

} // namespace dcsim::inline DCSIM_BACKEND
