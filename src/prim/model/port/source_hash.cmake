# SPDX-License-Identifier: GPL-2.0-only
#
# cmake -DOUT=<header> -DLIST=<file with one source a line> -P source_hash.cmake
#
# Writes a header with a hash over the contents of all sources, and leaves it alone when nothing
# changed. A replay token carries it: steps counted in one port mean nothing in another.

file(STRINGS ${LIST} sources)
set(all "")
foreach(source ${sources})
  file(SHA256 ${source} one)
  string(APPEND all ${one})
endforeach()
string(SHA256 hash "${all}")
string(SUBSTRING ${hash} 0 16 hash)
file(CONFIGURE OUTPUT ${OUT} CONTENT [[
// SPDX-License-Identifier: GPL-2.0-only
// Made from the sources of this port by source_hash.cmake.
#pragma once
inline constexpr unsigned long long port_source_hash_value = 0x@hash@;
]] @ONLY)
