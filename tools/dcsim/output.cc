// SPDX-License-Identifier: GPL-2.0-only
//
// Writing to stdout, to the end.
#include "output.h"

#include <cstdio>

#include <fmt/format.h>

namespace dcsim::cli
{

bool write_output(const std::string &text)
{
    const bool written = fwrite(text.data(), 1, text.size(), stdout) == text.size();

    if (written && fflush(stdout) == 0)
        return true;
    fmt::print(stderr, "dcsim: the output could not be written\n");
    return false;
}

} // namespace dcsim::cli
