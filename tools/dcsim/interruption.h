// SPDX-License-Identifier: GPL-2.0-only
//
// Ctrl-C ends a run in good order: the first one asks it to stop, a second one kills.
#pragma once

namespace dcsim::cli
{

/// From now on SIGINT asks for an end.
void catch_interruption();
/// Has somebody asked?
bool interrupted();

} // namespace dcsim::cli
