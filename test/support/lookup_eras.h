// SPDX-License-Identifier: GPL-2.0-only
//
// Tests that are made once for each era of the wait protocol.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "dcsim/vfs/lookup_era.h"
#include "lookup_order.h"
#include "stress_random.h"

namespace dcsim::inline DCSIM_BACKEND
{

inline std::vector<lookup_era> all_lookup_eras()
{
    std::vector<lookup_era> eras;

    for (int i = 0; i < LOOKUP_ERAS; i++) {
        const auto era = static_cast<lookup_era>(i);
        // The proposed order is for eras without a caller's queue.
        if (!lookup_outside_rwsem_under_test || !lookup_era_has_caller_queue(era))
            eras.push_back(era);
    }
    return eras;
}

/// How long a stress test runs in one era, when it runs in all.
inline double stress_seconds_of_an_era()
{
    return stress_seconds() / static_cast<double>(LOOKUP_ERAS);
}

/// Of an era, for the name of a test: "v4_7".
inline std::string era_test_name(lookup_era era)
{
    std::string name = lookup_era_name(era);

    std::replace(name.begin(), name.end(), '.', '_');
    return name.front() == 'v' ? name : "v" + name;
}

inline std::string name_of_era_test(const ::testing::TestParamInfo<lookup_era> &info)
{
    return era_test_name(info.param);
}

} // namespace dcsim::inline DCSIM_BACKEND
