// SPDX-License-Identifier: GPL-2.0-only
//
// Which mock file systems there are, and how they read their options.
#include "dcsim/mockfs/mock_filesystem.h"

#include <cstring>

#include "dcsim/kernel/err.h"
#include "mock_options.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

constexpr const mock_filesystem *const all_filesystems[] = {
    &memfs_filesystem, &slowfs_filesystem, &netfs_filesystem,  &casefs_filesystem,
    &ovlfs_filesystem, &dynfs_filesystem,  &fusefs_filesystem,
};

} // namespace

const mock_filesystem *find_mock_filesystem(const char *name)
{
    for (const mock_filesystem *fs : all_filesystems) {
        if (strcmp(fs->name, name) == 0)
            return fs;
    }
    return nullptr;
}

std::span<const mock_filesystem *const> mock_filesystems()
{
    return all_filesystems;
}

int read_mock_options(std::span<const mock_option> options, std::span<const mock_knob> knobs)
{
    for (const mock_option &option : options) {
        const mock_knob *found = nullptr;

        for (const mock_knob &knob : knobs) {
            if (strcmp(knob.name, option.name) == 0)
                found = &knob;
        }
        if (!found || option.value < found->least || option.value > found->most)
            return -EINVAL;
        *found->value = option.value;
    }
    return 0;
}

} // namespace dcsim::inline DCSIM_BACKEND
