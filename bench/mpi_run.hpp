// The main of benchmarks that run under mpirun.
#pragma once

#include <fmt/format.h>
#include <mpi.h>

#include <cstdio>
#include <cstdlib>
#include <exception>

namespace klmesh::bench {

/// Runs `run(argc, argv)` between MPI_Init and MPI_Finalize and returns its code; what it throws is said and aborts the job.
inline int run_under_mpi(const char* name, int (*run)(int, char**), int argc, char** argv) {
  if (MPI_Init(&argc, &argv) != MPI_SUCCESS) return EXIT_FAILURE;
  int code = EXIT_FAILURE;
  try {
    code = run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}: {}\n", name, error.what());
    MPI_Abort(MPI_COMM_WORLD, EXIT_FAILURE);
  }
  return MPI_Finalize() == MPI_SUCCESS ? code : EXIT_FAILURE;
}

}  // namespace klmesh::bench
