// Speed on a machine that has GPUs: the kernels that read logits beside a device copy of the same run, then the headline
// batch on all ranks' GPUs. Runs alone or under mpirun, a GPU a rank. Results are checked against the CPU's.
#include <fmt/core.h>
#include <mpi.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <utility>

#include "comm/mpi_check.hpp"
#include "gpu_headline.hpp"
#include "gpu_kernels.hpp"
#include "json_output.hpp"
#include "klmesh/device.hpp"
#include "klmesh/error.hpp"
#include "klmesh/mpi.hpp"
#include "klmesh/nccl.hpp"
#include "mpi_run.hpp"

namespace klmesh::bench {
namespace {

constexpr int kNoGpu = 69;  // as the program's exit code for a back end that is not there

struct Options {
  std::vector<std::string> dtypes = {"bf16", "f32"};
  std::vector<std::int64_t> vocabularies = {32000, 50257, 128256, 151936};
  std::vector<std::int64_t> rows = {1, 8, 100, 513, 4096, 65536};
  HeadlineShape headline;
  double noise = 0.05;
  int rounds = 20, repeats = 5;
  bool quick = false;
  std::string json;
};

struct Output {
  std::FILE* table;  // null on all ranks but one
  nlohmann::ordered_json kernels = nlohmann::ordered_json::array();
  int errors = 0;

  template <typename... T>
  void print(fmt::format_string<T...> format, T&&... values) const {
    if (table != nullptr) fmt::print(table, format, std::forward<T>(values)...);
  }
};

void print_kernels(Output& out, const std::string& dtype, std::int64_t vocab, const GpuKernelTimes& times) {
  const double elements = static_cast<double>(times.rows) * static_cast<double>(vocab);
  const auto bytes = static_cast<double>(dtype_bytes(dtype_of(dtype.c_str())));
  const auto rate = [&](std::size_t i, double seconds) { return 1e-9 * elements * bytes * kElementsMoved[i] / seconds; };
  for (std::size_t i = 0; i < kGpuPieces.size(); ++i) {
    const Spread& s = times.seconds[i];
    const double of_copy = rate(i, s.median) / rate(0, times.seconds[0].median);
    out.print(" {:>6} {:>7} {:>7} {:>24} {:>10.2f} {:>9.1f} {:>9.1f} {:>9.1f} {:>8.2f} {:>7}\n", dtype, vocab,
               times.rows, kGpuPieces[i], 1e6 * s.median, rate(i, s.median), rate(i, s.max), rate(i, s.min), of_copy,
               times.errors);
    out.kernels.push_back({{"dtype", dtype}, {"vocab_size", vocab}, {"rows", times.rows}, {"piece", kGpuPieces[i]},
                           {"seconds", {{"median", s.median}, {"min", s.min}, {"max", s.max}}},
                           {"bytes", elements * bytes * kElementsMoved[i]}, {"of_copy", of_copy},
                           {"errors", times.errors}});
  }
  out.errors += times.errors;
}

// On this rank's GPU alone.
void run_kernels(const Options& options, Output& out) {
  out.print("#{:>6} {:>7} {:>7} {:>24} {:>10} {:>9} {:>9} {:>9} {:>8} {:>7}\n", "type", "V", "rows", "piece",
             "time", "rate", "least", "most", "of copy", "errors");
  out.print("#{:>6} {:>7} {:>7} {:>24} {:>10} {:>9} {:>9} {:>9} {:>8} {:>7}\n", "", "", "", "", "(us)", "(GB/s)",
             "(GB/s)", "(GB/s)", "", "");
  for (const std::string& dtype : options.dtypes) {
    for (const std::int64_t vocab : options.vocabularies) {
      for (const std::int64_t rows : options.rows) {
        try {
          GpuPool pool(dtype_of(dtype.c_str()), options.noise, vocab, rows);
          print_kernels(out, dtype, vocab, time_gpu_kernels(pool, rows, options.rounds));
        } catch (const CudaError& error) {
          // Too many rows for this device's memory. Whatever else it is, the next case meets it as well.
          static_cast<void>(cudaGetLastError());
          out.print("# {}, V = {}, {} rows: {}\n", dtype, vocab, rows, error.what());
        }
      }
    }
  }
}

// Twice the bars of NUMERICS: two results are compared, and each may be off by one.
bool agrees(const StepStatistics& gpu, const StepStatistics& host) {
  const auto close = [&](Quantity q, double bar) {
    return std::fabs(gpu[q].mean - host[q].mean) <= bar * std::fabs(host[q].mean) + 1e-12;
  };
  return gpu.tokens == host.tokens && close(Quantity::kl_reverse, 4e-6) && close(Quantity::kl_forward, 4e-6) &&
         close(Quantity::entropy_policy, 1e-6) && close(Quantity::logp_policy, 1e-6);
}

nlohmann::ordered_json run_headline(const Options& options, Mesh& mesh, DeviceMesh& devices, Output& out) {
  const HeadlineShape& shape = options.headline;
  const GpuHeadline result = run_gpu_headline(mesh, devices, shape, options.repeats);
  const Spread seconds = spread(result.seconds);
  const bool wrong = options.quick && !agrees(result.statistics, host_headline(mesh, shape));
  out.errors += wrong ? 1 : 0;
  const double mean = result.statistics[Quantity::kl_reverse].mean;
  out.print("# headline: {} tokens x {} words = {:.3g} pairs in chunks of {} rows, {} GPUs\n"
            "# median {:.3f} ms, least {:.3f}, most {:.3f}: {:.1f} GB/s a GPU; mean kl_reverse {:.6e}{}\n",
             shape.rows(), shape.vocab_size, shape.pairs(), shape.chunk_rows, mesh.shape().batch, 1e3 * seconds.median,
             1e3 * seconds.min, 1e3 * seconds.max, 1e-9 * shape.bytes() / seconds.median / mesh.shape().batch, mean,
             wrong ? " IS NOT THE CPU'S" : "");
  return {{"gpus", mesh.shape().batch}, {"tokens", shape.rows()}, {"vocab_size", shape.vocab_size},
          {"chunk_rows", shape.chunk_rows}, {"bytes", shape.bytes()}, {"seconds", result.seconds},
          {"kl_reverse_mean", mean}, {"checked", options.quick}};
}

int run(const Options& options) {
  int rank = 0, ranks = 1;
  comm::check(MPI_Comm_rank(MPI_COMM_WORLD, &rank), "MPI_Comm_rank");
  comm::check(MPI_Comm_size(MPI_COMM_WORLD, &ranks), "MPI_Comm_size");
  Output out{.table = rank == 0 ? table_file(options.json) : nullptr};
  if (devices().empty()) {
    if (rank == 0) fmt::print(stderr, "gpu_bench: no GPU answers on this machine\n");
    return kNoGpu;
  }
  Mesh mesh = borrow_mesh(MPI_COMM_WORLD, {.batch = ranks, .vocab = 1});
  const int device = bind_device(mesh.world(), launcher_placement().value_or(NodePlacement{rank, ranks}));
  DeviceMesh devices_of_mesh = make_nccl_mesh(mesh, device);
  out.print("# klmesh gpu_bench: {}, {} ranks; noise {}\n", devices()[static_cast<std::size_t>(device)].name,
             ranks, options.noise);
  if (rank == 0) run_kernels(options, out);
  nlohmann::ordered_json headline = run_headline(options, mesh, devices_of_mesh, out);
  comm::check(MPI_Allreduce(MPI_IN_PLACE, &out.errors, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD), "MPI_Allreduce");
  out.print("# errors: {} {}\n", out.errors, out.errors == 0 ? "OK" : "FAILED");
  if (rank == 0) {
    write_json(options.json, {{"schema", "klmesh.gpu_bench/1"}, {"device", devices()[static_cast<std::size_t>(device)].name},
                              {"noise", options.noise}, {"kernels", out.kernels}, {"headline", headline},
                              {"errors", out.errors}});
  }
  return out.errors == 0 ? 0 : 1;
}

int run(int argc, char** argv) {
  Options options;
  CLI::App app("The kernels on a GPU beside a device copy, and the headline batch on all GPUs");
  app.add_flag("--quick", options.quick, "Tiny: shows that it runs, and checks everything against the CPU");
  app.add_option("--dtype", options.dtypes, "Of the logits")->check(CLI::IsMember({"f32", "bf16"}));
  app.add_option("--vocab", options.vocabularies, "Vocabularies of the kernels")->check(CLI::PositiveNumber);
  app.add_option("--rows", options.rows, "Rows of the kernels")->check(CLI::PositiveNumber);
  app.add_option("--noise", options.noise, "Standard deviation of reference - policy logits");
  app.add_option("--rounds", options.rounds, "Timings of each kernel")->check(CLI::PositiveNumber);
  app.add_option("--repeats", options.repeats, "Executions of the headline batch")->check(CLI::PositiveNumber);
  app.add_option("--json", options.json, "Write the results to a file; - is standard output, without the table");
  CLI11_PARSE(app, argc, argv);
  options.headline.chunk_rows = 2048;
  options.headline.ring = 2;
  if (options.quick) {
    options.vocabularies = {1041};
    options.rows = {1, 5};
    options.rounds = options.repeats = 1;
    options.headline = {.vocab_size = 700, .batch = 3, .sequence = 7, .chunk_rows = 4, .ring = 2};
  }
  options.headline.noise = options.noise;
  return run(options);
}

}  // namespace
}  // namespace klmesh::bench

int main(int argc, char** argv) { return klmesh::bench::run_under_mpi("gpu_bench", klmesh::bench::run, argc, argv); }
