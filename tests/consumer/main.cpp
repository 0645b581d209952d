// A host of klmesh in small: it lends its MPI communicators, evaluates its own logits, takes gradients and statistics,
// and survives its mistakes. Prints a table; exits with 0 if all of it is right.
#include <klmesh/klmesh.hpp>
#include <klmesh/mpi.hpp>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <exception>

#include "batch.hpp"
#include "groups.hpp"
#include "scenarios.hpp"

namespace {

using consumer::Checks;

// Estimators from stored log-probabilities alone: no logits, no mesh.
void estimators(Checks& checks) {
  const double log_ratio = std::log(0.2) - std::log(0.25);  // ref(y) = 0.2, pi(y) = 0.25
  const klmesh::Estimators e = klmesh::estimators(log_ratio);
  const double k1 = std::log(1.25);
  checks.within("k1 from log-probabilities", e.k1, std::fabs(e.k1 - k1), 1e-15);
  checks.within("k2 from log-probabilities", e.k2, std::fabs(e.k2 - 0.5 * k1 * k1), 1e-15);
  checks.within("k3 from log-probabilities", e.k3, std::fabs(e.k3 - (0.8 - 1 + k1)), 1e-15);
}

// What was borrowed is as it was: the library sets the error handler of its duplicates alone.
void untouched(MPI_Comm world, Checks& checks) {
  MPI_Errhandler handler = MPI_ERRHANDLER_NULL;
  consumer::check(MPI_Comm_get_errhandler(world, &handler), "MPI_Comm_get_errhandler");
  checks.equal("the world's error handler is untouched", handler == MPI_ERRORS_ARE_FATAL ? 1 : 0, 1);
  consumer::check(MPI_Errhandler_free(&handler), "MPI_Errhandler_free");
}

bool run(MPI_Comm world) {
  Checks checks(world);
  const int ranks = consumer::size_of(world);
  const int vocab_parts = ranks % 2 == 0 ? 2 : 1;
  {
    klmesh::Mesh mesh = klmesh::borrow_mesh(world, {.batch = ranks / vocab_parts, .vocab = vocab_parts});
    consumer::exact(mesh, "world", checks);
  }
  const consumer::Groups groups(world, vocab_parts);
  klmesh::Mesh mesh = klmesh::borrow_mesh(groups.vocab(), groups.batch(), {.deadline = std::chrono::seconds(60)});
  consumer::exact(mesh, "groups", checks);
  consumer::gradients(mesh, checks);
  consumer::errors(mesh, world, checks);
  estimators(checks);
  untouched(world, checks);
  return checks.passed();
}

}  // namespace

int main(int argc, char** argv) {
  if (MPI_Init(&argc, &argv) != MPI_SUCCESS) return 1;
  bool passed = false;
  try {
    passed = run(MPI_COMM_WORLD);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "consumer: %s\n", error.what());
    MPI_Abort(MPI_COMM_WORLD, 1);
  }
  return MPI_Finalize() == MPI_SUCCESS && passed ? 0 : 1;
}
