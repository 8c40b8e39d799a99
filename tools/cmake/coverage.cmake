# SPDX-License-Identifier: GPL-2.0-only
set(CMAKE_BUILD_TYPE Debug CACHE STRING "")
set(CMAKE_CXX_FLAGS "--coverage -O0" CACHE STRING "")
