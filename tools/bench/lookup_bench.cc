// SPDX-License-Identifier: GPL-2.0-only
//
// Eras and patches, a directory, a batch of names.
#include "lookup_bench.h"

#include <cstdio>
#include <cstdlib>

#include "dcsim/kernel/err.h"
#include "dcsim/mockfs/memfs.h"
#include "lookup_protocol.h"

namespace dcsim::inline DCSIM_BACKEND
{
// Built from the patches of the same names, see CMakeLists.txt.
extern const lookup_protocol lookup_protocol_wake_after_d_lock;
extern const lookup_protocol lookup_protocol_no_waiter_flag;
} // namespace dcsim::inline DCSIM_BACKEND

namespace dcsim::bench
{

namespace
{

const protocol_choice choices[] = {
    {"4.7", ERA_4_7, nullptr},
    {"4.17", ERA_4_17, nullptr},
    {"6.0", ERA_6_0, nullptr},
    {"v3", ERA_V3, nullptr},
    {"7.2", ERA_7_2, nullptr},
    {"7.2-wake-after-d_lock", ERA_7_2, &lookup_protocol_wake_after_d_lock},
    {"7.2-no-waiter-flag", ERA_7_2, &lookup_protocol_no_waiter_flag},
};

[[noreturn]] void give_up(const char *what)
{
    fprintf(stderr, "dcsim_bench: %s\n", what);
    exit(1);
}

} // namespace

std::span<const protocol_choice> protocol_choices()
{
    return choices;
}

const protocol_choice &find_protocol_choice(const std::string &name)
{
    for (const protocol_choice &choice : choices)
        if (choice.name == name)
            return choice;
    give_up(("there is no protocol '" + name + "'").c_str());
}

void use_protocol(const protocol_choice &choice)
{
    if (set_lookup_era(choice.era))
        give_up("something is in lookup");
    if (choice.patched)
        lookup_protocol_in_use = choice.patched;
}

lookup_directory::lookup_directory()
{
    vfs_config config;

    // Large enough that chains are short, and the same on every machine.
    config.dhash_entries = 1 << 16;
    config.ihash_entries = 1 << 10;
    if (vfs_init(config))
        give_up("the VFS does not start");
    sb_ = memfs_mount({}, "bench");
    if (IS_ERR(sb_))
        give_up("no memory");
}

lookup_directory::~lookup_directory()
{
    if (memfs_unmount(sb_) || !vfs_exit().none())
        give_up("something is left at the end");
}

lookup_batch::lookup_batch(const lookup_directory &directory)
    : root_(directory.root()), found_(size)
{
    for (int i = 0; i < size; i++)
        texts_.push_back("name-" + std::to_string(i));
    for (const std::string &text : texts_)
        names_.push_back(make_hashed_qstr(root_, text.data(), static_cast<u32>(text.size())));
}

void lookup_batch::perform(lookup_end end)
{
    for (size_t i = 0; i < names_.size(); i++) {
        // Part of what a lookup costs in the eras that have it.
        caller_wait_queue wq;
        dentry *dentry = d_alloc_parallel(root_, &names_[i], wq.head());

        if (end == lookup_end::published)
            d_add(dentry, nullptr);
        else
            d_lookup_done(dentry);
        found_[i] = dentry;
    }
}

void lookup_batch::clean_up()
{
    for (dentry *dentry : found_) {
        d_drop(dentry);
        dput(dentry);
    }
    rcu_barrier();
}

} // namespace dcsim::bench
