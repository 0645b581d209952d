# The package from outside: install, move, find it with CMake and with pkg-config, build a host, run it on 4 ranks.
cmake_minimum_required(VERSION 3.25)

set(prefix "${work}/moved")
set(run_hosts timeout -k 5 60 ${mpiexec} -n 4)

function(run)
  execute_process(COMMAND ${ARGV} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# To another place than it stays in: whatever remembers the first will fail.
function(install_and_move)
  file(REMOVE_RECURSE ${work})
  file(MAKE_DIRECTORY ${work})
  run(${CMAKE_COMMAND} --install ${klmesh_build} --prefix ${work}/installed)
  file(RENAME ${work}/installed ${prefix})
  run(${prefix}/bin/klmesh --version)
  if(NOT EXISTS ${prefix}/share/klmesh/rlhf.toml)
    message(FATAL_ERROR "no configurations in share/klmesh")
  endif()
endfunction()

# Debug information may name sources; nothing else may.
function(no_source_paths)
  file(GLOB_RECURSE files ${prefix}/*)
  foreach(file IN LISTS files)
    if(file MATCHES "/bin/|\\.a$|\\.so")
      run(strip --strip-debug ${file})
    endif()
    file(STRINGS ${file} lines REGEX "${klmesh_source}/")
    if(lines)
      message(FATAL_ERROR "${file} names the source tree: ${lines}")
    endif()
  endforeach()
endfunction()

function(build_with_cmake host target)
  run(${CMAKE_COMMAND} -S ${klmesh_source}/tests/${host} -B ${work}/${host} -D CMAKE_PREFIX_PATH=${prefix}
      -D CMAKE_BUILD_TYPE=${build_type} -D CMAKE_CXX_FLAGS=${cxx_flags} -D CMAKE_C_FLAGS=${c_flags}
      -D CMAKE_CXX_COMPILER=${cxx_compiler} -D CMAKE_CXX_COMPILER_LAUNCHER=${launcher} --no-warn-unused-cli)
  run(${CMAKE_COMMAND} --build ${work}/${host} --parallel 2 --target ${target})
endfunction()

function(build_with_pkg_config program)
  set(ENV{PKG_CONFIG_PATH} ${prefix}/${libdir}/pkgconfig)
  execute_process(COMMAND pkg-config --cflags --libs klmesh OUTPUT_VARIABLE flags OUTPUT_STRIP_TRAILING_WHITESPACE
                  COMMAND_ERROR_IS_FATAL ANY)
  separate_arguments(all_flags UNIX_COMMAND "${cxx_flags} ${flags}")
  if(shared)
    list(APPEND all_flags -Wl,-rpath,${prefix}/${libdir})
  endif()
  file(GLOB sources ${klmesh_source}/tests/consumer/*.cpp)
  run(${mpi_compiler} -std=c++20 ${sources} ${all_flags} -o ${program})
endfunction()

install_and_move()
no_source_paths()
build_with_cmake(consumer_core consumer_core)
run(${work}/consumer_core/consumer_core)
if(NOT shared)  # else the C library brings the others, which need C++ and MPI
  build_with_cmake(consumer_c consumer_c)
  run(${work}/consumer_c/consumer_c)
endif()
build_with_cmake(consumer_record consumer_record)
run(${work}/consumer_record/consumer_record ${work})
run(timeout -k 5 60 ${prefix}/bin/klmesh eval ${work}/logits.h5)
if(cuda)
  build_with_cmake(consumer_cuda consumer_cuda)
  run(timeout -k 5 60 ${mpiexec} -n 1 ${work}/consumer_cuda/consumer_cuda)
endif()
build_with_cmake(consumer consumer)
run(${run_hosts} ${work}/consumer/consumer)
build_with_pkg_config(${work}/consumer_pkg_config)
run(${run_hosts} ${work}/consumer_pkg_config)
