// SPDX-License-Identifier: GPL-2.0-only
//
// One line on the terminal that shows what is going on and is gone afterwards. Nothing at all when
// stderr is no terminal, or one that cannot rewrite a line.
#pragma once

#include <string>
#include <string_view>

namespace dcsim::cli
{

/// May this stream (1 or 2) show colours: a terminal, TERM not "dumb", NO_COLOR not set?
bool colour_wanted(int file_descriptor);

class progress_line
{
  public:
    progress_line();
    ~progress_line();
    progress_line(const progress_line &) = delete;
    progress_line &operator=(const progress_line &) = delete;

    bool visible() const
    {
        return visible_;
    }
    /// Replaces the line.
    void show(std::string_view text);
    /// Removes it, so that something else can be printed.
    void clear();

  private:
    bool visible_;
    bool colour_;
    bool drawn_ = false;
};

} // namespace dcsim::cli
