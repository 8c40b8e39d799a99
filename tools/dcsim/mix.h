// SPDX-License-Identifier: GPL-2.0-only
//
// The kinds of operation a run is made of, and their shares.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "random.h"

namespace dcsim::cli
{

enum class operation_kind : unsigned {
    cold,     ///< a name is made uncached and looked up again: ->lookup() has to answer
    hot,      ///< a name that is most likely cached is looked up
    negative, ///< a name that does not exist is looked up
    rename,   ///< a name is moved away, moved back, or exchanged with another
    pressure, ///< unused dentries are reclaimed
};
inline constexpr size_t operation_kinds = 5;

/// Name for messages, tables and JSON.
const char *operation_kind_name(operation_kind kind);

/// Shares of the kinds.
class operation_mix
{
  public:
    /// From the name of a mix or from "kind=weight,..."; throws usage_error that says what is
    /// wrong.
    static operation_mix parse(std::string_view text);

    /// The text it was made from.
    const std::string &text() const
    {
        return text_;
    }
    /// Share of a kind, 0 to 1.
    double share(operation_kind kind) const
    {
        return shares_[static_cast<size_t>(kind)];
    }
    /// The kind of the next operation.
    operation_kind pick(random_stream &random) const
    {
        const uint64_t point = random.next() >> 32;
        size_t kind = 0;

        while (point >= limits_[kind])
            ++kind;
        return static_cast<operation_kind>(kind);
    }

  private:
    operation_mix(std::string_view text, const std::array<double, operation_kinds> &weights);

    std::string text_;
    std::array<double, operation_kinds> shares_;
    /// Upper ends of the kinds on a scale of 2^32.
    std::array<uint64_t, operation_kinds> limits_;
};

/// A mix that has a name.
struct named_mix {
    const char *name;
    const char *weights;
    const char *purpose;
};
const std::vector<named_mix> &named_mixes();

} // namespace dcsim::cli
