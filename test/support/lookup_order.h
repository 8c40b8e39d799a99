// SPDX-License-Identifier: GPL-2.0-only
//
// Which order the fixtures ask for: some test programs are built twice, the second time for names
// that are found before their directory is locked (test/CMakeLists.txt).
#pragma once

namespace dcsim
{

#if defined(DCSIM_TEST_LOOKUP_OUTSIDE_RWSEM)
inline constexpr bool lookup_outside_rwsem_under_test = true;
#else
inline constexpr bool lookup_outside_rwsem_under_test = false;
#endif

} // namespace dcsim
