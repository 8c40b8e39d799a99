// SPDX-License-Identifier: GPL-2.0-only
//
// From a place in the value of a TOML string back to the place in the file: quotes and escapes make
// the difference.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "dcsim/scenario/expression.h"

namespace dcsim::scenario
{

class file_text
{
  public:
    explicit file_text(std::string_view text);

    /// Where byte `offset` of the value of the string that begins at `string` (its opening quote)
    /// stands.
    source_position place_in_string(source_position string, size_t offset) const;

  private:
    size_t offset_of(source_position place) const;

    std::string_view text_;
    std::vector<size_t> lines_;
};

} // namespace dcsim::scenario
