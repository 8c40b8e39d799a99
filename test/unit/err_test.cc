// SPDX-License-Identifier: GPL-2.0-only
//
// Error numbers in pointers.
#include <gtest/gtest.h>

#include "dcsim/kernel/err.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

TEST(Err, ErrorSurvivesThePointer)
{
    for (int error : {1, ENOENT, ECHILD, ESTALE, 4095}) {
        int *pointer = ERR_PTR(-error);
        EXPECT_TRUE(IS_ERR(pointer));
        EXPECT_EQ(PTR_ERR(pointer), -error);
    }
}

TEST(Err, OnlyTheLast4095AddressesAreErrors)
{
    int object = 0;

    EXPECT_FALSE(IS_ERR(&object));
    EXPECT_FALSE(IS_ERR(nullptr));
    EXPECT_FALSE(IS_ERR(reinterpret_cast<void *>(-4096L)));
    EXPECT_TRUE(IS_ERR(reinterpret_cast<void *>(-4095L)));
    EXPECT_TRUE(IS_ERR(reinterpret_cast<void *>(-1L)));
}

TEST(Err, NullCountsOnlyWhereItIsAskedFor)
{
    int object;

    EXPECT_TRUE(IS_ERR_OR_NULL(nullptr));
    EXPECT_TRUE(IS_ERR_OR_NULL(reinterpret_cast<void *>(-1L)));
    EXPECT_FALSE(IS_ERR_OR_NULL(&object));
}

TEST(Err, CastChangesTheTypeAndKeepsTheError)
{
    int *from = ERR_PTR(-ENOMEM);
    char *to = ERR_CAST(from);

    EXPECT_EQ(PTR_ERR(to), -ENOMEM);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
