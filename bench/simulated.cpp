// The communication layer alone, on a simulated cluster: klmesh's own sources, compiled by SimGrid's smpicxx.
//
// Computing is free here, so MPI_Wtime() tells what communication costs on the simulated network, contention
// and topology included. One JSON object per line on stdout; simulated.py runs this and makes tables. Not for
// real MPI: a rank of a real job would need a host of its own to mean anything.
#include <mpi.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <string>
#include <vector>

#include "comm/agreement.hpp"
#include "comm/mpi_check.hpp"
#include "exchange_pattern.hpp"
#include "klmesh/mpi.hpp"
#include "klmesh/statistics.hpp"

namespace {

using klmesh::comm::check;

// What trainers do: a maximum and a sum for the normaliser of each side, then a sum for each of eight
// quantities.
constexpr int kBaselineMaxima = 2;
constexpr int kBaselineSums = 10;

/// Simulated microseconds until the last rank is through `work`, from a common start.
double slowest_us(const std::function<void()>& work) {
  check(MPI_Barrier(MPI_COMM_WORLD), "MPI_Barrier");
  const double begin = MPI_Wtime();
  work();
  double elapsed = MPI_Wtime() - begin;
  check(MPI_Allreduce(MPI_IN_PLACE, &elapsed, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD), "MPI_Allreduce");
  return elapsed * 1e6;
}

/// Sum over the ranks.
long long total(long long errors) {
  check(MPI_Allreduce(MPI_IN_PLACE, &errors, 1, MPI_LONG_LONG, MPI_SUM, MPI_COMM_WORLD), "MPI_Allreduce");
  return errors;
}

/// Half a round trip of `bytes` between rank 0 and `peer`, simulated microseconds; of no meaning on all other
/// ranks.
double half_round_trip_us(int rank, int peer, int bytes) {
  std::vector<char> data(static_cast<std::size_t>(bytes));
  const double begin = MPI_Wtime();
  if (rank == 0) {
    check(MPI_Send(data.data(), bytes, MPI_BYTE, peer, 0, MPI_COMM_WORLD), "MPI_Send");
    check(MPI_Recv(data.data(), bytes, MPI_BYTE, peer, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE), "MPI_Recv");
  } else if (rank == peer) {
    check(MPI_Recv(data.data(), bytes, MPI_BYTE, 0, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE), "MPI_Recv");
    check(MPI_Send(data.data(), bytes, MPI_BYTE, 0, 0, MPI_COMM_WORLD), "MPI_Send");
  }
  return (MPI_Wtime() - begin) * 0.5e6;
}

/// alpha and beta of the model: from two ping-pongs, not fitted to what the model is compared with.
void report_ping_pong(int rank, int ranks) {
  constexpr int kLarge = 1 << 20;
  for (const int peer : {1, ranks - 1}) {
    static_cast<void>(half_round_trip_us(rank, peer, 1));  // the peer may come late
    const double small = half_round_trip_us(rank, peer, 1);
    const double large = half_round_trip_us(rank, peer, kLarge);
    if (rank == 0)
      std::printf("{\"case\": \"ping_pong\", \"peer\": %d, \"alpha_us\": %.6f, \"beta_us_per_byte\": %.9g}\n",
                  peer, small, (large - small) / (kLarge - 1));
  }
}

/// The exchange of a batch of rows as the engine makes it, agreement and normalisers included.
void report_exchange(klmesh::Mesh& mesh, std::int64_t rows, klmesh::Schedule schedule) {
  klmesh::bench::ExchangePattern exchange(mesh.vocab(), rows, schedule);
  const double agree_us = slowest_us([&] { klmesh::agree(mesh.vocab(), "evaluate", 1); });
  const double send_us = slowest_us([&] { exchange.send(); });
  const long long wrong_rows = total(exchange.wrong_rows());
  const double share_us = slowest_us([&] { exchange.share(); });
  const long long errors = wrong_rows + total(exchange.wrong_shares());
  if (mesh.world().rank() == 0)
    std::printf(
        "{\"case\": \"exchange\", \"batch\": %d, \"vocab\": %d, \"rows\": %lld, \"schedule\": \"%s\", "
        "\"agree_us\": %.6f, \"send_us\": %.6f, \"share_us\": %.6f, \"errors\": %lld}\n",
        mesh.shape().batch, mesh.shape().vocab, static_cast<long long>(rows),
        exchange.by_rows() ? "by_rows" : "gather", agree_us, send_us, share_us, errors);
}

/// The same rows as trainers exchange them today.
void report_baseline(klmesh::Mesh& mesh, MPI_Comm vocab, std::int64_t rows) {
  std::vector<float> values(static_cast<std::size_t>(rows), 1.0f);
  const double us = slowest_us([&] {
    for (int i = 0; i < kBaselineMaxima + kBaselineSums; ++i)
      check(MPI_Allreduce(MPI_IN_PLACE, values.data(), static_cast<int>(rows), MPI_FLOAT,
                          i < kBaselineMaxima ? MPI_MAX : MPI_SUM, vocab),
            "MPI_Allreduce");
  });
  if (mesh.world().rank() == 0)
    std::printf(
        "{\"case\": \"baseline\", \"batch\": %d, \"vocab\": %d, \"rows\": %lld, \"collectives\": %d, "
        "\"us\": %.6f}\n",
        mesh.shape().batch, mesh.shape().vocab, static_cast<long long>(rows), kBaselineMaxima + kBaselineSums,
        us);
}

/// The statistics of a step, over the world.
void report_reduction(klmesh::Mesh& mesh) {
  klmesh::StepSums sums;
  sums.add(klmesh::TokenStats{}, -1);
  std::vector<std::int64_t> words = sums.sum_words();
  std::vector<std::uint64_t> maxima = sums.max_words();
  const double us = slowest_us([&] {
    klmesh::agree(mesh.world(), "reduce", 1);
    mesh.world().all_reduce(words, maxima);
  });
  sums.set_words(words, maxima);
  const long long errors = total(sums.tokens() != mesh.world().size());
  if (mesh.world().rank() == 0)
    std::printf(
        "{\"case\": \"reduction\", \"batch\": %d, \"vocab\": %d, \"bytes\": %zu, \"us\": %.6f, "
        "\"errors\": %lld}\n",
        mesh.shape().batch, mesh.shape().vocab, (words.size() + maxima.size()) * sizeof(std::int64_t), us,
        errors);
}

void run_mesh(klmesh::MeshShape shape, const std::vector<std::int64_t>& rows) {
  klmesh::Mesh mesh = klmesh::borrow_mesh(MPI_COMM_WORLD, shape);
  report_reduction(mesh);
  if (shape.vocab == 1) return;
  MPI_Comm vocab = MPI_COMM_NULL;
  check(MPI_Comm_split(MPI_COMM_WORLD, mesh.batch_part(), mesh.vocab_part(), &vocab), "MPI_Comm_split");
  for (const std::int64_t count : rows) {
    for (const auto schedule : {klmesh::Schedule::gather, klmesh::Schedule::by_rows})
      report_exchange(mesh, count, schedule);
    report_baseline(mesh, vocab, count);
  }
  check(MPI_Comm_free(&vocab), "MPI_Comm_free");
}

/// Arguments: MESH:ROWS,ROWS,... for each mesh of the simulated ranks, rows being those of one batch part.
void run(int argc, char** argv) {
  int rank = 0;
  int ranks = 0;
  check(MPI_Comm_rank(MPI_COMM_WORLD, &rank), "MPI_Comm_rank");
  check(MPI_Comm_size(MPI_COMM_WORLD, &ranks), "MPI_Comm_size");
  if (ranks > 1) report_ping_pong(rank, ranks);
  for (int i = 1; i < argc; ++i) {
    const std::string text = argv[i];
    const std::size_t colon = text.find(':');
    std::vector<std::int64_t> rows;
    for (std::size_t at = colon; at != std::string::npos; at = text.find(',', at + 1))
      rows.push_back(std::stoll(text.substr(at + 1)));
    run_mesh(klmesh::parse_mesh_shape(text.substr(0, colon)), rows);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (MPI_Init(&argc, &argv) != MPI_SUCCESS) return EXIT_FAILURE;
  try {
    run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "simulated: %s\n", error.what());
    MPI_Abort(MPI_COMM_WORLD, EXIT_FAILURE);
  }
  return MPI_Finalize() == MPI_SUCCESS ? EXIT_SUCCESS : EXIT_FAILURE;
}
