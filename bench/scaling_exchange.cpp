#include "scaling_exchange.hpp"

#include <chrono>
#include <vector>

#include "comm/mpi_check.hpp"
#include "exchange_pattern.hpp"
#include "scaling_baseline.hpp"

namespace klmesh::bench {
namespace {

int total(MPI_Comm world, std::int64_t errors) {
  auto sum = static_cast<int>(errors);
  comm::check(MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_INT, MPI_SUM, world), "MPI_Allreduce");
  return sum;
}

/// Microseconds of one iteration on the slowest rank.
template <typename Work>
double slowest(MPI_Comm world, int iterations, Work&& work) {
  comm::check(MPI_Barrier(world), "MPI_Barrier");
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < iterations; ++i) work();
  const std::chrono::duration<double, std::micro> elapsed = std::chrono::steady_clock::now() - begin;
  double each = elapsed.count() / iterations;
  comm::check(MPI_Allreduce(MPI_IN_PLACE, &each, 1, MPI_DOUBLE, MPI_MAX, world), "MPI_Allreduce");
  return each;
}

}  // namespace

ExchangeResult run_exchange(ScalingMesh& mesh, std::int64_t rows, Schedule schedule, int rounds,
                            int iterations) {
  ExchangePattern exchange(mesh.mesh().vocab(), rows, schedule);
  std::vector<float> values(static_cast<std::size_t>(rows), 1.0f);
  const auto all_reduces = [&] {
    for (int i = 0; i < BaselineStep::kCollectives; ++i)
      comm::check(MPI_Allreduce(MPI_IN_PLACE, values.data(), static_cast<int>(rows), MPI_FLOAT,
                                i < 2 ? MPI_MAX : MPI_SUM, mesh.vocab()),
                  "MPI_Allreduce");
  };

  ExchangeResult result;
  result.mesh = mesh.mesh().shape();
  result.rows = rows;
  result.by_rows = exchange.by_rows();
  const std::int64_t before = mesh.vocab_times().received_bytes;
  exchange.send();
  const int wrong_rows = total(mesh.world(), exchange.wrong_rows());
  exchange.share();
  result.received_bytes = mesh.vocab_times().received_bytes - before;
  std::vector<double> klmesh, baseline;
  for (int round = 0; round < rounds; ++round) {
    klmesh.push_back(slowest(mesh.world(), iterations, [&] { exchange.send(), exchange.share(); }));
    baseline.push_back(slowest(mesh.world(), iterations, all_reduces));
  }
  result.errors = wrong_rows + total(mesh.world(), exchange.wrong_shares());
  result.microseconds = spread(klmesh);
  result.baseline_microseconds = spread(baseline);
  return result;
}

}  // namespace klmesh::bench
