// SPDX-License-Identifier: GPL-2.0-only
//
// The named mixes, and the parser of explicit weights.
#include "mix.h"

#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "dcsim/scenario/suggestion.h"
#include "usage_error.h"

namespace dcsim::cli
{

namespace
{

constexpr std::array<const char *, operation_kinds> kind_names = {"cold", "hot", "negative",
                                                                  "rename", "pressure"};
constexpr double scale = 4294967296.0;
/// Larger weights say nothing that smaller ones could not, and their sum stays finite.
constexpr double largest_weight = 1e9;

std::vector<std::string> valid_kinds()
{
    return {kind_names.begin(), kind_names.end()};
}

std::vector<std::string> valid_mixes()
{
    std::vector<std::string> names;
    for (const named_mix &mix : named_mixes())
        names.emplace_back(mix.name);
    return names;
}

size_t parse_kind(std::string_view name, std::string_view text)
{
    for (size_t kind = 0; kind < operation_kinds; ++kind)
        if (name == kind_names[kind])
            return kind;
    throw usage_error(fmt::format("--mix '{}': unknown kind '{}'; kinds are {}.{}", text, name,
                                  fmt::join(kind_names, ", "),
                                  scenario::did_you_mean(name, valid_kinds())));
}

double parse_weight(std::string_view number, std::string_view kind, std::string_view text)
{
    double weight = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), weight);

    if (error != std::errc() || end != number.data() + number.size() || !std::isfinite(weight))
        throw usage_error(
            fmt::format("--mix '{}': the weight of {} is '{}', not a number", text, kind, number));
    if (weight < 0 || weight > largest_weight)
        throw usage_error(fmt::format("--mix '{}': the weight of {} is {}; it must be from 0 to {}",
                                      text, kind, number, largest_weight));
    return weight;
}

std::array<double, operation_kinds> parse_weights(std::string_view text)
{
    std::array<double, operation_kinds> weights = {};
    std::array<bool, operation_kinds> seen = {};
    double sum = 0;

    for (std::string_view rest = text; !rest.empty();) {
        const size_t comma = rest.find(',');
        const std::string_view item = rest.substr(0, comma);
        const size_t equals = item.find('=');

        rest = comma == rest.npos ? std::string_view() : rest.substr(comma + 1);
        if (equals == item.npos)
            throw usage_error(fmt::format(
                "--mix '{}': '{}' is not kind=weight; e.g. cold=30,hot=70", text, item));
        const size_t kind = parse_kind(item.substr(0, equals), text);
        if (seen[kind])
            throw usage_error(fmt::format("--mix '{}': {} is given twice", text, kind_names[kind]));
        seen[kind] = true;
        weights[kind] = parse_weight(item.substr(equals + 1), kind_names[kind], text);
        sum += weights[kind];
    }
    if (sum <= 0)
        throw usage_error(fmt::format("--mix '{}': all weights are zero", text));
    return weights;
}

} // namespace

const char *operation_kind_name(operation_kind kind)
{
    return kind_names[static_cast<size_t>(kind)];
}

const std::vector<named_mix> &named_mixes()
{
    static const std::vector<named_mix> mixes = {
        {"balanced", "cold=25,hot=60,negative=10,rename=4.9,pressure=0.1", "a bit of everything"},
        {"hot", "cold=1,hot=95,negative=4", "a warm cache: how fast is a hit?"},
        {"cold", "cold=90,hot=10", "threads collide in ->lookup() and wait for each other"},
        {"negative", "cold=5,hot=20,negative=75", "names that do not exist, as in a search path"},
        {"rename", "cold=10,hot=50,negative=5,rename=35", "names that change under the walkers"},
        {"pressure", "cold=25,hot=54.5,negative=15,rename=5,pressure=0.5", "short of memory"},
    };
    return mixes;
}

operation_mix::operation_mix(std::string_view text,
                             const std::array<double, operation_kinds> &weights)
    : text_(text)
{
    double sum = 0;
    double reached = 0;
    size_t last = 0;

    for (double weight : weights)
        sum += weight;
    for (size_t kind = 0; kind < operation_kinds; ++kind) {
        reached += weights[kind];
        shares_[kind] = weights[kind] / sum;
        limits_[kind] = static_cast<uint64_t>(reached / sum * scale);
        if (weights[kind] > 0)
            last = kind;
    }
    // Rounding must not leave the last kind short of the end of the scale, nor give the end of the
    // scale to a kind nobody asked for.
    for (size_t kind = last; kind < operation_kinds; ++kind)
        limits_[kind] = static_cast<uint64_t>(scale);
}

operation_mix operation_mix::parse(std::string_view text)
{
    for (const named_mix &mix : named_mixes())
        if (text == mix.name)
            return operation_mix(text, parse_weights(mix.weights));
    if (text.find('=') == text.npos)
        throw usage_error(fmt::format(
            "--mix '{}': unknown mix; mixes are {}, or give weights like cold=30,hot=70.{}", text,
            fmt::join(valid_mixes(), ", "), scenario::did_you_mean(text, valid_mixes())));
    return operation_mix(text, parse_weights(text));
}

} // namespace dcsim::cli
