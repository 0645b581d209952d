# The communication layer, compiled by SimGrid's smpicxx from the sources of the layer itself; optional.
find_program(KLMESH_SMPICXX smpicxx)
find_program(KLMESH_SMPIRUN smpirun)
if(NOT KLMESH_SMPICXX OR NOT KLMESH_SMPIRUN)
  message(STATUS "bench/simulated: off, no SimGrid (libsimgrid-dev)")
  return()
endif()

get_target_property(comm_sources klmesh_comm SOURCES)
list(FILTER comm_sources INCLUDE REGEX "^[a-z_]+\\.cpp$")  # without what needs a GPU
list(TRANSFORM comm_sources PREPEND ${PROJECT_SOURCE_DIR}/src/comm/)
set(core_sources finish.cpp vocab_shard.cpp statistics.cpp quantity_sums.cpp exact_sum.cpp)
list(TRANSFORM core_sources PREPEND ${PROJECT_SOURCE_DIR}/src/core/)

set(engine_sources vocab_exchange.cpp exchange_plan.cpp)
list(TRANSFORM engine_sources PREPEND ${PROJECT_SOURCE_DIR}/src/engine/)

set(simulated_objects "")
foreach(source IN LISTS comm_sources core_sources engine_sources ITEMS ${CMAKE_CURRENT_SOURCE_DIR}/simulated.cpp)
  get_filename_component(name ${source} NAME_WE)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/simulated_${name}.o)
  add_custom_command(OUTPUT ${object}
    COMMAND ${KLMESH_SMPICXX} -std=c++20 -O2 -ffp-contract=off -DKLMESH_VERSION="${PROJECT_VERSION}"
            -I${PROJECT_SOURCE_DIR}/include -I${PROJECT_SOURCE_DIR}/src
            -include ${CMAKE_CURRENT_SOURCE_DIR}/simulated_mpi.hpp -MD -MF ${object}.d -c ${source} -o ${object}
    DEPENDS ${source} ${CMAKE_CURRENT_SOURCE_DIR}/simulated_mpi.hpp
    DEPFILE ${object}.d
    VERBATIM)
  list(APPEND simulated_objects ${object})
endforeach()
add_custom_command(OUTPUT simulated
  COMMAND ${KLMESH_SMPICXX} ${simulated_objects} -lfmt -o simulated
  DEPENDS ${simulated_objects}
  VERBATIM)
add_custom_target(bench_simulated ALL DEPENDS simulated)
