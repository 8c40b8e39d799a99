# SPDX-License-Identifier: GPL-2.0-only
#
# dcsim_add_patched_port(<name> <patch>): a module with the port as <patch> changes it, for
# `dcsim explore --port`. The patch is applied to a copy of the port's sources; the files it names
# are compiled anew, and everything else is taken from the model library.
#
# The port's own objects come first in the module, so it uses its own; the modelled primitives are
# those of the program that loads it.

find_program(DCSIM_PATCH patch REQUIRED)

function(dcsim_add_patched_port name patch)
  cmake_path(ABSOLUTE_PATH patch)
  set(copy ${CMAKE_CURRENT_BINARY_DIR}/${name})

  # Which files it changes is read while configuring.
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${patch})
  file(STRINGS ${patch} changed REGEX "^\\+\\+\\+ b/src/")
  list(TRANSFORM changed REPLACE "^\\+\\+\\+ b/(src/[^\t ]+).*$" "\\1")
  set(originals ${changed})
  list(TRANSFORM originals PREPEND ${PROJECT_SOURCE_DIR}/)
  set(patched ${changed})
  list(TRANSFORM patched PREPEND ${copy}/)

  add_custom_command(OUTPUT ${patched}
    COMMAND ${CMAKE_COMMAND} -E rm -rf ${copy}/src
    COMMAND ${CMAKE_COMMAND} -E copy_directory ${PROJECT_SOURCE_DIR}/src/vfs ${copy}/src/vfs
    COMMAND ${CMAKE_COMMAND} -E copy_directory ${PROJECT_SOURCE_DIR}/src/kernel ${copy}/src/kernel
    COMMAND ${CMAKE_COMMAND} -E copy_directory ${PROJECT_SOURCE_DIR}/src/mockfs ${copy}/src/mockfs
    COMMAND ${DCSIM_PATCH} --quiet --forward --strip=1 --directory=${copy} --input=${patch}
    DEPENDS ${patch} ${originals}
    COMMENT "Applying ${name}"
    VERBATIM)

  # Objects of the same files, without the patch, stay out.
  set(same_files ${changed})
  list(TRANSFORM same_files REPLACE "^src/(.*)$" "\\1")
  list(JOIN same_files "|" same_files)
  string(REPLACE "." "\\." same_files "${same_files}")
  add_library(${name}_patched OBJECT ${patched})
  target_link_libraries(${name}_patched PRIVATE
    dcsim_model_options dcsim_traceable dcsim_warnings)
  target_compile_options(${name}_patched PRIVATE -fno-semantic-interposition)
  set_target_properties(${name}_patched PROPERTIES POSITION_INDEPENDENT_CODE ON)
  set(unchanged
    "$<FILTER:$<TARGET_OBJECTS:dcsim_model_port_objects>,EXCLUDE,(${same_files})\\.o$>")

  get_property(hashed GLOBAL PROPERTY DCSIM_PORT_HASHED_FILES)
  dcsim_gather_port(${name}_port "${hashed};${patch}"
    $<TARGET_OBJECTS:${name}_patched> ${unchanged})
  add_library(${name} MODULE ${${name}_port} $<TARGET_OBJECTS:dcsim_world_model>
    ${PROJECT_SOURCE_DIR}/src/scenario/model/port_module.cc)
  target_link_libraries(${name} PRIVATE dcsim_model_options dcsim_warnings)
  target_link_options(${name} PRIVATE -Wl,-Bsymbolic)
  set_target_properties(${name} PROPERTIES PREFIX "" LINKER_LANGUAGE CXX)
endfunction()
