/* The C interface from C11, on every mesh that the ranks allow. */
#include "test_capi.h"

#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "klmesh/klmesh.h"

int failures = 0;

static void fail(const char* file, int line, const char* text) {
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  ++failures;
  fprintf(stderr, "[rank %d] %s:%d: %s", rank, file, line, text);
}

void check_true(int condition, const char* text, const char* file, int line) {
  if (condition) return;
  fail(file, line, text);
  fprintf(stderr, " is false\n");
}

void check_near(double actual, long double expected, double tolerance, double floor, const char* text, const char* file,
                int line) {
  const long double scale = fabsl(expected) > floor ? fabsl(expected) : floor;
  if (fabsl(actual - expected) <= tolerance * scale) return;
  fail(file, line, text);
  fprintf(stderr, " is %.17g, expected %.17Lg\n", actual, expected);
}

void check_status(int actual, int expected, const char* part, const char* text, const char* file, int line) {
  const int good = actual == expected && (expected == KLMESH_OK || strstr(klmesh_last_error(), part) != NULL);
  if (good) return;
  fail(file, line, text);
  fprintf(stderr, "\n  gives %s: \"%s\", expected %s with \"%s\"\n", klmesh_status_name(actual), klmesh_last_error(),
          klmesh_status_name(expected), part);
}

int main(int argc, char** argv) {
  int ranks = 0, all = 0;
  if (MPI_Init(&argc, &argv) != MPI_SUCCESS) return 1;
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  test_library();
  test_null_arguments();
  for (int vocab = 1; vocab <= ranks; ++vocab) {
    if (ranks % vocab != 0) continue;
    test_values(ranks / vocab, vocab);
    test_gradient(ranks / vocab, vocab);
    test_statistics(ranks / vocab, vocab);
    test_errors(ranks / vocab, vocab);
    test_meshes(ranks / vocab, vocab);
  }
  MPI_Allreduce(&failures, &all, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
  MPI_Finalize();
  return all == 0 ? 0 : 1;
}
