// SPDX-License-Identifier: GPL-2.0-only
//
// An open file, as far as the dcache knows one. Source: include/linux/fs.h, reduced.
#pragma once

#include "dcsim/vfs/mount.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct file {
    path f_path; ///< holds a reference on the dentry
};

} // namespace dcsim::inline DCSIM_BACKEND
