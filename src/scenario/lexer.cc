// SPDX-License-Identifier: GPL-2.0-only
//
// Words, numbers, quoted texts and a handful of symbols; blanks separate.
#include "lexer.h"

namespace dcsim::scenario
{

namespace
{

bool is_digit(char character)
{
    return character >= '0' && character <= '9';
}

bool begins_word(char character)
{
    return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
           character == '_';
}

bool continues_word(char character)
{
    // Letters beyond ASCII are in no valid word, but in many a mistyped one.
    return begins_word(character) || is_digit(character) ||
           static_cast<unsigned char>(character) >= 0x80;
}

/// The whole character at `begin`, however many bytes it has.
std::string_view character_at(std::string_view text, size_t begin)
{
    size_t end = begin + 1;

    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80)
        ++end;
    return text.substr(begin, end - begin);
}

} // namespace

std::string quoted(const token &found)
{
    if (found.what == token::kind::end)
        return "the end";
    if (found.what == token::kind::text)
        return "a quoted text";
    return "'" + std::string(found.text) + "'";
}

token token_stream::text_token(size_t begin) const
{
    const size_t end = text_.find(text_[begin], begin + 1);

    if (end == text_.npos)
        throw syntax_problem{begin, "this quote is never closed"};
    return {token::kind::text, text_.substr(begin + 1, end - begin - 1), begin};
}

token token_stream::symbol_token(size_t begin) const
{
    static constexpr std::string_view symbols[] = {"==", "!=", "<=", ">=", "<", ">", "=",
                                                   "(",  ")",  "[",  "]",  ",", ".", "-"};

    for (const std::string_view symbol : symbols)
        if (text_.substr(begin).starts_with(symbol))
            return {token::kind::symbol, text_.substr(begin, symbol.size()), begin};
    const std::string_view character = character_at(text_, begin);
    if (character == "&" || character == "|")
        throw syntax_problem{begin, "there is no 'and' or 'or': write two expressions"};
    throw syntax_problem{begin, "unexpected character '" + std::string(character) + "'"};
}

token token_stream::peek() const
{
    size_t begin = offset_;

    while (begin < text_.size() && text_[begin] == ' ')
        ++begin;
    if (begin == text_.size())
        return {token::kind::end, {}, begin};
    if (text_[begin] == '\'' || text_[begin] == '"')
        return text_token(begin);

    size_t end = begin;
    if (begins_word(text_[begin])) {
        while (end < text_.size() && continues_word(text_[end]))
            ++end;
        return {token::kind::word, text_.substr(begin, end - begin), begin};
    }
    const bool negative = text_[begin] == '-' && begin + 1 < text_.size();
    if (is_digit(text_[begin + negative])) {
        end = begin + negative;
        while (end < text_.size() && continues_word(text_[end]))
            ++end;
        return {token::kind::number, text_.substr(begin, end - begin), begin};
    }
    return symbol_token(begin);
}

token token_stream::take()
{
    const token found = peek();
    const size_t quotes = found.what == token::kind::text ? 2 : 0;

    offset_ = found.offset + found.text.size() + quotes;
    return found;
}

bool token_stream::accept(std::string_view symbol)
{
    if (!peek().is(symbol))
        return false;
    take();
    return true;
}

void token_stream::expect(std::string_view symbol, std::string_view after)
{
    const token found = peek();

    if (!found.is(symbol))
        throw syntax_problem{found.offset, "expected '" + std::string(symbol) + "' after " +
                                               std::string(after) + ", found " + quoted(found)};
    take();
}

} // namespace dcsim::scenario
