// SPDX-License-Identifier: GPL-2.0-only
//
// The words of steps and expressions.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace dcsim::scenario
{

/// A string of the file cannot be understood. `offset` is where in the string.
struct syntax_problem {
    size_t offset;
    std::string message;
    std::string suggestion = {};
};

struct token {
    enum class kind { end, word, number, text, symbol };

    kind what = kind::end;
    std::string_view text; ///< of a text what is between the quotes
    size_t offset = 0;     ///< where it begins, for a text at its quote

    bool is(std::string_view symbol) const
    {
        return what == kind::symbol && text == symbol;
    }
    bool is_word(std::string_view word) const
    {
        return what == kind::word && text == word;
    }
};

/// "'put'", "the end": how a message calls a token.
std::string quoted(const token &found);

/// Takes a string apart, one token at a time. Every function that looks at the next token throws
/// syntax_problem when there is no telling what it is.
class token_stream
{
  public:
    explicit token_stream(std::string_view text) : text_(text) {}

    token peek() const;
    token take();
    /// Takes the next token if it is this symbol.
    bool accept(std::string_view symbol);
    /// Takes the next token, which must be this symbol; `after` says behind what.
    void expect(std::string_view symbol, std::string_view after);

  private:
    token text_token(size_t begin) const;
    token symbol_token(size_t begin) const;

    std::string_view text_;
    size_t offset_ = 0;
};

} // namespace dcsim::scenario
