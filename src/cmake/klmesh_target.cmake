# klmesh_layer(NAME SOURCES ... PUBLIC ... PRIVATE ...): a static library klmesh_NAME, alias klmesh::NAME.
# Public headers are seen by every layer; private ones only by the layer itself, as "NAME/file.hpp".
function(klmesh_layer name)
  cmake_parse_arguments(arg "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(klmesh_${name} STATIC ${arg_SOURCES})
  add_library(klmesh::${name} ALIAS klmesh_${name})
  target_include_directories(klmesh_${name}
    PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:include>
           $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>)
  target_link_libraries(klmesh_${name} PUBLIC ${arg_PUBLIC} PRIVATE ${arg_PRIVATE})
  klmesh_compile_options(klmesh_${name})
endfunction()

# No contraction of a*b+c: the error-free transformations and the reproducibility of bits depend on it.
function(klmesh_compile_options target)
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
                                           -ffp-contract=off $<$<BOOL:${KLMESH_WERROR}>:-Werror>)
endfunction()
