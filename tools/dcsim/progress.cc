// SPDX-License-Identifier: GPL-2.0-only
//
// Terminal detection and the rewriting of one line.
#include "progress.h"

#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace dcsim::cli
{

namespace
{

bool dumb_terminal()
{
    const char *term = getenv("TERM");
    return !term || !*term || std::string_view(term) == "dumb";
}

size_t terminal_columns()
{
    winsize size = {};

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return 80;
    return size.ws_col;
}

} // namespace

bool colour_wanted(int file_descriptor)
{
    const char *no_colour = getenv("NO_COLOR");

    return isatty(file_descriptor) && !dumb_terminal() && !(no_colour && *no_colour);
}

progress_line::progress_line()
    : visible_(isatty(STDERR_FILENO) && !dumb_terminal()), colour_(colour_wanted(STDERR_FILENO))
{
}

progress_line::~progress_line()
{
    clear();
}

void progress_line::show(std::string_view text)
{
    if (!visible_)
        return;
    // A line that wraps could not be taken back.
    text = text.substr(0, terminal_columns() - 1);
    fmt::print(stderr, "\r{}{}{}\033[K", colour_ ? "\033[2m" : "", text, colour_ ? "\033[0m" : "");
    fflush(stderr);
    drawn_ = true;
}

void progress_line::clear()
{
    if (!drawn_)
        return;
    fmt::print(stderr, "\r\033[K");
    fflush(stderr);
    drawn_ = false;
}

} // namespace dcsim::cli
