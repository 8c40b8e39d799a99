// SPDX-License-Identifier: GPL-2.0-only
//
// Where the port answers differently from the kernel on purpose. docs/fidelity.md has them as well.
#pragma once

#include <string>
#include <vector>

#include "backend.h"

namespace dcsim::against_kernel
{

struct known_difference {
    const char *what;
    const char *why;
    /// Does it explain these two answers?
    bool (*explains)(const operation &op, const answer &first, const answer &second);
};

const std::vector<known_difference> &known_differences();

/// Would the kernel take this umount2() for a wish to make the root file system read-only? True for
/// the mount that the calling task's root is on, without MNT_DETACH. Such a call is made on neither
/// side: the port has no file system that turns read-only.
bool umounts_own_root(const operation &op);

} // namespace dcsim::against_kernel
