# SPDX-License-Identifier: GPL-2.0-only
#
# dcsim_add_model_port(<name> <source>...): the port compiled for the model backend and linked into
# one relocatable object whose static data lies in one section (static_data.lds). The variable
# <name> holds its path, to be listed among the sources of a library or module.

set(DCSIM_MODEL_PORT_FOLDER ${CMAKE_CURRENT_LIST_DIR})

function(dcsim_add_model_port name)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.o)
  set(script ${DCSIM_MODEL_PORT_FOLDER}/static_data.lds)

  # What decides where the steps of an execution are.
  file(GLOB_RECURSE headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/dcsim/*.h)
  file(GLOB engine CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/prim/model/*.cc
                                     ${PROJECT_SOURCE_DIR}/src/scenario/world/*.cc)
  set(hashed ${ARGN} ${headers} ${engine})
  list(TRANSFORM hashed REPLACE "^([^/].*)$" "${CMAKE_CURRENT_SOURCE_DIR}/\\1")
  list(SORT hashed)
  list(JOIN hashed "\n" lines)
  file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${name}_sources.txt CONTENT "${lines}\n")
  set(hash_header ${CMAKE_CURRENT_BINARY_DIR}/${name}_hash/port_source_hash.h)
  add_custom_command(OUTPUT ${hash_header}
    COMMAND ${CMAKE_COMMAND} -DOUT=${hash_header}
            -DLIST=${CMAKE_CURRENT_BINARY_DIR}/${name}_sources.txt
            -P ${DCSIM_MODEL_PORT_FOLDER}/source_hash.cmake
    DEPENDS ${hashed} ${DCSIM_MODEL_PORT_FOLDER}/source_hash.cmake
    VERBATIM)

  add_library(${name}_objects OBJECT ${ARGN} ${DCSIM_MODEL_PORT_FOLDER}/static_data.cc
                                     ${hash_header})
  target_include_directories(${name}_objects PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/${name}_hash)
  target_link_libraries(${name}_objects PRIVATE dcsim_model_options dcsim_warnings)
  target_compile_options(${name}_objects PRIVATE -g1)
  set_target_properties(${name}_objects PROPERTIES POSITION_INDEPENDENT_CODE ON)
  add_custom_command(OUTPUT ${object}
    COMMAND ${CMAKE_CXX_COMPILER} -r -nostdlib -fuse-ld=bfd
            -Wl,-T,${script} -Wl,--force-group-allocation
            -o ${object} $<TARGET_OBJECTS:${name}_objects>
    DEPENDS ${name}_objects $<TARGET_OBJECTS:${name}_objects> ${script}
    COMMAND_EXPAND_LISTS VERBATIM
    COMMENT "Gathering the static data of ${name}")
  set_source_files_properties(${object} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
  set(${name} ${object} PARENT_SCOPE)
endfunction()
