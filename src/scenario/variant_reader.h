// SPDX-License-Identifier: GPL-2.0-only
//
// [variant.*]: the same scenario with some keys changed.
#pragma once

#include <vector>

#include "document.h"

namespace dcsim::scenario
{

/// A variant, and what it has instead of the file's values.
struct read_variant {
    variant described;
    document::changes changes;
};

/// Reads and checks the section.
std::vector<read_variant> read_variants(document &from);

/// "holds", "violated" or "violated: words"; reports anything else.
expectation read_expectation(document &from, const located_text &text);

} // namespace dcsim::scenario
