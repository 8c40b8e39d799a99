// SPDX-License-Identifier: GPL-2.0-only
//
// Numbers and foreign text for people.
#include "text.h"

#include <system_error>

#include <fmt/format.h>

namespace dcsim::cli
{

std::string grouped(uint64_t number)
{
    const std::string digits = fmt::format("{}", number);
    std::string text;

    for (size_t position = 0; position < digits.size(); ++position) {
        if (position > 0 && (digits.size() - position) % 3 == 0)
            text += ',';
        text += digits[position];
    }
    return text;
}

std::string printable(std::string_view text)
{
    std::string clean(text);

    for (char &character : clean)
        if (static_cast<unsigned char>(character) < 0x20 || character == 0x7f)
            character = '?';
    return clean;
}

std::string error_message(int error)
{
    return std::generic_category().message(error);
}

} // namespace dcsim::cli
