// SPDX-License-Identifier: GPL-2.0-only
//
// What the user asked for cannot be done as asked: the message says where and what would be right.
// The command prints it and exits with 2.
#pragma once

#include <stdexcept>
#include <string>

namespace dcsim::cli
{

class usage_error : public std::runtime_error
{
  public:
    explicit usage_error(const std::string &message) : std::runtime_error(message) {}
};

} // namespace dcsim::cli
