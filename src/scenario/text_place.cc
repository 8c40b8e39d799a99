// SPDX-License-Identifier: GPL-2.0-only
//
// Reads a string literal again, counting what the parser made of it. The parser has accepted it, so
// it is well formed.
#include "text_place.h"

#include <algorithm>
#include <charconv>

namespace dcsim::scenario
{

namespace
{

bool continues_character(char byte)
{
    return (static_cast<unsigned char>(byte) & 0xC0) == 0x80;
}

size_t utf8_length(unsigned code_point)
{
    return code_point < 0x80 ? 1 : code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
}

/// A piece of a literal that becomes one piece of its value.
struct piece {
    size_t raw;
    size_t value;
};

/// What follows a backslash, with it.
piece escape(std::string_view raw)
{
    if (raw.size() < 2)
        return {raw.size(), raw.size()};
    if (raw[1] == 'u' || raw[1] == 'U') {
        const size_t digits = std::min<size_t>(raw[1] == 'u' ? 4 : 8, raw.size() - 2);
        unsigned code_point = 0;

        std::from_chars(raw.data() + 2, raw.data() + 2 + digits, code_point, 16);
        return {2 + digits, utf8_length(code_point)};
    }
    // At the end of a line it swallows the blanks up to the next word.
    const size_t word = std::min(raw.find_first_not_of(" \t\r\n", 1), raw.size());
    return raw.substr(1, word - 1).find('\n') == raw.npos ? piece{2, 1} : piece{word, 0};
}

} // namespace

file_text::file_text(std::string_view text) : text_(text), lines_({0})
{
    for (size_t end = text.find('\n'); end != text.npos; end = text.find('\n', end + 1))
        lines_.push_back(end + 1);
}

size_t file_text::offset_of(source_position place) const
{
    if (place.line == 0 || place.line > lines_.size())
        return text_.size();
    size_t offset = lines_[place.line - 1];

    if (offset == 0 && text_.starts_with("\xEF\xBB\xBF"))
        offset = 3;
    for (unsigned column = 1; column < place.column && offset < text_.size(); ++column) {
        ++offset;
        while (offset < text_.size() && continues_character(text_[offset]))
            ++offset;
    }
    return offset;
}

source_position file_text::place_in_string(source_position string, size_t offset) const
{
    const size_t begin = offset_of(string);
    if (begin >= text_.size())
        return string;
    const bool has_escapes = text_[begin] == '"';
    const std::string_view raw = text_.substr(begin);
    const bool several_lines = raw.starts_with("\"\"\"") || raw.starts_with("'''");
    size_t at = several_lines ? 3 : 1;

    if (several_lines)
        at += raw.substr(at).starts_with("\r\n") ? 2 : raw.substr(at).starts_with("\n");
    for (size_t value = 0; at < raw.size();) {
        const piece next = has_escapes && raw[at] == '\\' ? escape(raw.substr(at)) : piece{1, 1};

        // What becomes nothing is not the place of anything.
        if (value >= offset && next.value > 0)
            break;
        at += next.raw;
        value += next.value;
    }

    source_position place = string;
    for (const char byte : raw.substr(0, at)) {
        if (byte == '\n')
            place = {place.line + 1, 1};
        else
            place.column += !continues_character(byte);
    }
    return place;
}

} // namespace dcsim::scenario
