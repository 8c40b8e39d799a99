# SPDX-License-Identifier: GPL-2.0-only
#
# Writes a C++ file with the shipped scenarios in it:
#
#   cmake -DOUTPUT=<file.cc> -DDIRECTORY=<scenarios> -P embed_scenarios.cmake

file(GLOB files ${DIRECTORY}/*.toml)
set(scenarios)
foreach(file ${files})
  cmake_path(GET file STEM LAST_ONLY name)
  list(APPEND scenarios ${name})
endforeach()
list(SORT scenarios)
list(LENGTH scenarios count)

file(WRITE ${OUTPUT} "// SPDX-License-Identifier: GPL-2.0-only
//
// Made from the files of src/scenario/library/ when dcsim was built.
#include <array>

#include \"dcsim/scenario/library.h\"

namespace dcsim::scenario
{

std::span<const shipped_scenario> shipped_scenarios()
{
    static constexpr std::array<shipped_scenario, ${count}> shipped = {{
")
foreach(name ${scenarios})
  file(READ ${DIRECTORY}/${name}.toml text)
  if(text MATCHES "\\)toml\"")
    message(FATAL_ERROR "${name}.toml: the characters )toml\" would end the literal it is put into")
  endif()
  file(APPEND ${OUTPUT} "        {\"${name}\", R\"toml(${text})toml\"},\n")
endforeach()
file(APPEND ${OUTPUT} "    }};

    return shipped;
}

} // namespace dcsim::scenario
")
