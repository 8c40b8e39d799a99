// SPDX-License-Identifier: GPL-2.0-only
//
// How the mock file systems read the options they are mounted with.
#pragma once

#include "dcsim/mockfs/mock_filesystem.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// An option that a file system has.
struct mock_knob {
    const char *name;
    int64_t least; ///< values it may have, from...
    int64_t most;  ///< ...to
    int64_t *value;
};

/// Stores each option where its knob says. 0, or -EINVAL for one that there is no knob for or whose
/// value is out of range; those before it have been stored then.
int read_mock_options(std::span<const mock_option> options, std::span<const mock_knob> knobs);

} // namespace dcsim::inline DCSIM_BACKEND
