# SPDX-License-Identifier: GPL-2.0-only
#
# A port for the model backend: its objects, linked into one relocatable object whose static data
# lies in one section (static_data.lds), so that it can be restored for every execution.
#
# dcsim_gather_port(<name> <hashed files> <object>...)
#   does that with objects that are there already. <hashed files> is a list: the sources that decide
#   where the steps of an execution are.
# dcsim_add_model_port(<name> <source>...)
#   compiles sources first, as the object library <name>_objects.
#
# Both set the variable <name> to the path of the object, to be listed among the sources of a
# library or module. The second sets <name>_hashed to the list of hashed files as well.


function(dcsim_gather_port name hashed)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.o)
  set(script ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/static_data.lds)
  set(header ${CMAKE_CURRENT_BINARY_DIR}/${name}_hash/port_source_hash.h)
  set(list ${CMAKE_CURRENT_BINARY_DIR}/${name}_sources.txt)

  list(JOIN hashed "\n" lines)
  file(CONFIGURE OUTPUT ${list} CONTENT "${lines}\n")
  add_custom_command(OUTPUT ${header}
    COMMAND ${CMAKE_COMMAND} -DOUT=${header} -DLIST=${list}
            -P ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/source_hash.cmake
    DEPENDS ${hashed} ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/source_hash.cmake
    VERBATIM)
  add_library(${name}_state OBJECT ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/static_data.cc ${header})
  target_include_directories(${name}_state PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/${name}_hash)
  target_link_libraries(${name}_state PRIVATE dcsim_model_options dcsim_warnings)
  set_target_properties(${name}_state PROPERTIES POSITION_INDEPENDENT_CODE ON)

  set(objects $<TARGET_OBJECTS:${name}_state> ${ARGN})
  add_custom_command(OUTPUT ${object}
    COMMAND ${CMAKE_CXX_COMPILER} -r -nostdlib -fuse-ld=bfd
            -Wl,-T,${script} -Wl,--force-group-allocation -o ${object} ${objects}
    DEPENDS ${objects} ${script}
    COMMAND_EXPAND_LISTS VERBATIM
    COMMENT "Gathering the static data of ${name}")
  set_source_files_properties(${object} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
  set(${name} ${object} PARENT_SCOPE)
endfunction()

function(dcsim_add_model_port name)
  file(GLOB_RECURSE headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/dcsim/*.h)
  file(GLOB engine CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/prim/model/*.cc
                                     ${PROJECT_SOURCE_DIR}/src/scenario/world/*.cc)
  set(hashed ${ARGN} ${headers} ${engine})
  list(SORT hashed)

  add_library(${name}_objects OBJECT ${ARGN})
  target_link_libraries(${name}_objects PRIVATE
    dcsim_model_options dcsim_traceable dcsim_warnings)
  # Position independent for modules, but nobody replaces single functions of a port.
  target_compile_options(${name}_objects PRIVATE -fno-semantic-interposition)
  set_target_properties(${name}_objects PROPERTIES POSITION_INDEPENDENT_CODE ON)
  dcsim_gather_port(${name} "${hashed}" $<TARGET_OBJECTS:${name}_objects>)
  set(${name} ${${name}} PARENT_SCOPE)
  set(${name}_hashed ${hashed} PARENT_SCOPE)
endfunction()
