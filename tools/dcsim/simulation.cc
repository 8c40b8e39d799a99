// SPDX-License-Identifier: GPL-2.0-only
//
// Boot, mount, unmount, and the final check of the library's books.
#include "simulation.h"

#include <cerrno>
#include <cstdio>
#include <new>

#include <fmt/format.h>

#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/err.h"
#include "dcsim/vfs/vfs.h"
#include "usage_error.h"

namespace dcsim::cli
{

namespace
{

void boot(const run_options &options)
{
    vfs_config config;

    config.dhash_entries = options.dhash_entries;
    // The kernel's proportion; 0 stays 0 and sizes both by the memory of the machine.
    config.ihash_entries = options.dhash_entries / 2;
    config.in_lookup_shift = options.in_lookup_shift;
    if (!options.era.empty())
        config.era = find_lookup_era(options.era.c_str());
    const int error = vfs_init(config);
    if (error == -ENOMEM)
        throw std::bad_alloc();
    if (error)
        throw usage_error(fmt::format("the VFS refuses this configuration (errno {})", -error));
}

void complain(std::vector<std::string> &problems, long count, const char *what)
{
    if (count)
        problems.push_back(fmt::format("{} {}", count, what));
}

} // namespace

simulation::simulation(const run_options &options)
    : filesystem_(*find_mock_filesystem(options.filesystem.c_str())),
      warnings_before_(warning_count())
{
    mock_mount_options mounting;

    boot(options);
    mounting.before_lookup = lookup_delay::before_lookup;
    mounting.argument = &delay_;
    super_block *sb = filesystem_.mount(mounting, "run");
    mount *mount = IS_ERR(sb) ? nullptr : vfs_create_mount(sb);
    if (!mount) {
        if (!IS_ERR(sb))
            filesystem_.unmount(sb);
        vfs_exit();
        throw std::bad_alloc();
    }
    sb_ = sb;
    mnt_ = &mount->mnt;
    // Part of the namespace: references on it come and go without a lock.
    set_namespace_root(mount);
}

simulation::~simulation()
{
    if (!sb_)
        return;
    for (const std::string &problem : shut_down())
        fmt::print(stderr, "dcsim: final check: FAILED: {}\n", problem);
}

std::vector<std::string> simulation::shut_down()
{
    std::vector<std::string> problems;

    set_namespace_root(nullptr);
    mntput(mnt_);
    complain(problems, filesystem_.unmount(sb_), "dentries and inodes were still in use at umount");
    sb_ = nullptr;
    const vfs_leaks leaks = vfs_exit();
    complain(problems, leaks.dentries, "dentries were never freed");
    complain(problems, leaks.inodes, "inodes were never freed");
    complain(problems, leaks.mounts, "mounts were never freed");
    complain(problems, leaks.kmalloc_objects, "pieces of kmalloc() memory were never freed");
    complain(problems, leaks.counters, "counters are not back at zero");
    complain(problems, leaks.hash_entries, "entries were left in a hash table");
    complain(problems, warning_count() - warnings_before_, "warnings (WARN) were reported");
    return problems;
}

} // namespace dcsim::cli
