// SPDX-License-Identifier: GPL-2.0-only
//
// Carries the precompiled headers that all test programs share; see test/CMakeLists.txt.
