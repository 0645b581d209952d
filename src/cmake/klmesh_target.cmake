# klmesh_layer(NAME [EXPORT package_name [COMPONENT component]] SOURCES ... PUBLIC ... PRIVATE ...): a library klmesh_NAME, alias klmesh::NAME.
# Public headers are seen by every layer; private ones only by the layer itself, as "NAME/file.hpp".
# EXPORT: a host links it, as klmesh::package_name: it is installed, and follows BUILD_SHARED_LIBS. The others are static
# parts of the program.
function(klmesh_layer name)
  cmake_parse_arguments(arg "" "EXPORT;COMPONENT" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  set(kind STATIC)
  if(arg_EXPORT AND BUILD_SHARED_LIBS)
    set(kind SHARED)
  endif()
  add_library(klmesh_${name} ${kind} ${arg_SOURCES})
  add_library(klmesh::${name} ALIAS klmesh_${name})
  target_include_directories(klmesh_${name}
    PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
           $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>)
  target_link_libraries(klmesh_${name} PUBLIC ${arg_PUBLIC} PRIVATE ${arg_PRIVATE})
  klmesh_compile_options(klmesh_${name})
  if(arg_EXPORT)
    # Before version 1, every minor version may change what is linked.
    set_target_properties(klmesh_${name} PROPERTIES
      OUTPUT_NAME klmesh_${arg_EXPORT} DEFINE_SYMBOL ""
      VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
    klmesh_export(klmesh_${name} ${arg_EXPORT} COMPONENT ${arg_COMPONENT})
  endif()
endfunction()

# No contraction of a*b+c, on the device neither: the error-free transformations and the reproducibility of bits depend on
# it. Kernels say fma where they mean it.
# Source paths in messages are relative: nothing installed names the tree it was built from.
function(klmesh_compile_options target)
  target_compile_features(${target} PUBLIC cxx_std_20)
  set(warnings -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion)
  list(JOIN warnings "," host_warnings)
  set(host_options -ffp-contract=off -fmacro-prefix-map=${PROJECT_SOURCE_DIR}/=)
  list(JOIN host_options "," cuda_host_options)
  target_compile_options(${target} PRIVATE
    "$<$<COMPILE_LANGUAGE:C,CXX>:${warnings};-Wpedantic;${host_options}>"
    "$<$<COMPILE_LANGUAGE:CUDA>:-fmad=false;-Xcompiler=${host_warnings};-Xcompiler=${cuda_host_options}>")
  if(KLMESH_WERROR)
    target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:C,CXX>:-Werror>"
                                             "$<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings>")
  endif()
endfunction()
