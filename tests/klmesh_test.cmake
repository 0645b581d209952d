# Open MPI as root and with more ranks than cores: without these, launches fail or crawl.
set(KLMESH_MPI_ENVIRONMENT
  OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
  OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_hwloc_base_binding_policy=none OPENBLAS_NUM_THREADS=1)

# klmesh_test(NAME SOURCES ... LIBRARIES ... [RANKS 1 2 3 4] [TIMEOUT seconds])
# Without RANKS: a plain GoogleTest program. With RANKS: one ctest per number of ranks, under mpirun, with the MPI
# main of tests/support that fails everywhere if one rank fails.
function(klmesh_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;LIBRARIES;RANKS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_link_libraries(${name} PRIVATE ${arg_LIBRARIES} GTest::gmock)
  klmesh_compile_options(${name})
  if(NOT arg_RANKS)
    target_link_libraries(${name} PRIVATE GTest::gtest_main)
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} ENVIRONMENT "${KLMESH_MPI_ENVIRONMENT}")
    return()
  endif()
  target_sources(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/support/mpi_main.cpp)
  target_link_libraries(${name} PRIVATE GTest::gtest MPI::MPI_CXX)
  foreach(ranks ${arg_RANKS})
    add_test(NAME ${name}.np${ranks}
             COMMAND timeout -k 5 ${arg_TIMEOUT} ${MPIEXEC_EXECUTABLE} -n ${ranks} $<TARGET_FILE:${name}>)
    math(EXPR limit "${arg_TIMEOUT} + 10")
    set_tests_properties(${name}.np${ranks} PROPERTIES TIMEOUT ${limit} PROCESSORS 2
                         ENVIRONMENT "${KLMESH_MPI_ENVIRONMENT}")
  endforeach()
endfunction()

# klmesh_gpu_test(NAME SOURCES ... LIBRARIES ... [RANKS 1 2 4] [TIMEOUT seconds])
# A test that needs one GPU per rank, under the label gpu: on GPUs, or under the command line in the environment variable
# KLMESH_GPU_RUNNER. Skipped, visibly, where there is neither. Compiled as CUDA or C++ by its files' names.
function(klmesh_gpu_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;LIBRARIES;RANKS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 600)
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_link_libraries(${name} PRIVATE ${arg_LIBRARIES} CUDA::cudart GTest::gmock)
  klmesh_compile_options(${name})
  if(arg_RANKS)
    target_sources(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/support/mpi_main.cpp)
    target_link_libraries(${name} PRIVATE GTest::gtest MPI::MPI_CXX)
  else()
    target_link_libraries(${name} PRIVATE GTest::gtest_main)
    set(arg_RANKS 0)
  endif()
  foreach(ranks IN LISTS arg_RANKS)
    set(test ${name}.np${ranks})
    if(ranks EQUAL 0)
      set(test ${name})
    endif()
    klmesh_add_gpu_test(${test} ${ranks} ${arg_TIMEOUT} $<TARGET_FILE:${name}>)
  endforeach()
endfunction()

# klmesh_add_gpu_test(TEST RANKS TIMEOUT COMMAND...): RANKS 0 is without mpirun.
function(klmesh_add_gpu_test test ranks timeout)
  add_test(NAME ${test} COMMAND ${PROJECT_SOURCE_DIR}/tests/support/on_gpus.sh ${ranks} ${timeout} ${ARGN})
  math(EXPR limit "${timeout} + 10")
  set_tests_properties(${test} PROPERTIES TIMEOUT ${limit} PROCESSORS 2 LABELS gpu SKIP_RETURN_CODE 77
                       ENVIRONMENT "${KLMESH_MPI_ENVIRONMENT};KLMESH_TEST_SECONDS=500")
endfunction()

# klmesh_fault_test(NAME RANKS PATTERN PROGRAM ARGS...): NAME.npRANKS, a program that plants a fault; see expect_fault.sh.
function(klmesh_fault_test name ranks pattern program)
  add_test(NAME ${name}.np${ranks}
           COMMAND ${PROJECT_SOURCE_DIR}/tests/comm/nccl/expect_fault.sh ${PROJECT_SOURCE_DIR}/tests/support/on_gpus.sh ${ranks} 60
                   ${pattern} $<TARGET_FILE:${program}> ${ARGN})
  set_tests_properties(${name}.np${ranks} PROPERTIES TIMEOUT 90 PROCESSORS 2 LABELS gpu SKIP_RETURN_CODE 77
                       ENVIRONMENT "${KLMESH_MPI_ENVIRONMENT}")
endfunction()
