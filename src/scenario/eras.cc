// SPDX-License-Identifier: GPL-2.0-only
//
// Names that scenarios may use for what the port offers. The port is not asked, because there is
// one for each backend and none here; a test holds the two together.
#include <algorithm>
#include <array>

#include "dcsim/scenario/scenario.h"

namespace dcsim::scenario
{

namespace
{

constexpr auto era_table = std::to_array<era_description>({
    {"4.7", true, "the first parallel lookups: woken under the lock of the in-lookup bucket"},
    {"4.17", true, "an odd i_dir_seq is waited for outside the bucket lock: no livelock"},
    {"6.0", true, "the wake-up comes after i_dir_seq is even again"},
    {"v3", false, "wait_var_event() as posted in April 2026: hashed before the inode is attached"},
    {"7.2", false, "wait_var_event() as merged: the default"},
});

constexpr auto seed_table = std::to_array<seed_description>({
    {"000", "d_alloc_parallel() of v4.7"},
    {"001", "parallel lookups, part 4: commit d9171b934526"},
    {"002", "wait_var_event() for in-lookup dentries: v3 04/19"},
    {"003", "lookup_one_qstr() and intent flags: February 2025"},
    {"004", "d_alloc_noblock_return() and its review: v3 10/19"},
});

} // namespace

std::span<const era_description> eras()
{
    return era_table;
}

const era_description *find_era(std::string_view name)
{
    const auto found = std::ranges::find(era_table, name, &era_description::name);

    return found == era_table.end() ? nullptr : &*found;
}

std::span<const seed_description> seed_documents()
{
    return seed_table;
}

} // namespace dcsim::scenario
