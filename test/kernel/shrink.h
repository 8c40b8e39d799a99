// SPDX-License-Identifier: GPL-2.0-only
//
// From a program on which the sides differ to a small one, and to words.
#pragma once

#include "session.h"

namespace dcsim::against_kernel
{

struct shrunk {
    program smallest;
    difference why;          ///< the difference that it shows
    unsigned executions = 0; ///< programs tried
};

/// Leaves out operations by delta debugging, then makes what is left simpler, while the sides still
/// differ. Every try starts from scratch on both sides. At most `limit` tries.
shrunk shrink(program found, difference why, backend &first, backend &second,
              unsigned limit = 4000);

/// The program with both sides' answers, and what differs.
std::string report(const shrunk &result, size_t original_size, backend &first, backend &second);

} // namespace dcsim::against_kernel
