// Strong and weak scaling of a step over BxV meshes, against what trainers do today, and the exchange alone.
//
// Under mpirun: meshes of 1, 2, 4 ... ranks are measured in one run, while the other ranks sleep. All logits
// are a function of the row and column of the whole batch, so the mean KL must have the same bits on every
// mesh.
#include <fmt/core.h>
#include <mpi.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <bit>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <thread>

#include "comm/mpi_check.hpp"
#include "json_output.hpp"
#include "mpi_run.hpp"
#include "klmesh/error.hpp"
#include "scaling_report.hpp"
#include "synthetic_logits.hpp"

namespace klmesh::bench {
namespace {

struct Options {
  std::int64_t vocab_size = 50257;
  std::int64_t rows = 512;  // of the whole batch (strong), of every rank (weak)
  std::vector<std::string> modes = {"strong", "weak"};
  std::vector<std::int64_t> exchange_rows = {1, 16, 256, 4096, 65536};
  std::vector<std::string> meshes;  // all if empty
  std::string dtype = "bf16";
  int rounds = 9;
  int iterations = 20;
  bool quick = false;
  std::string directory;
  std::string json;
};

/// All meshes of `ranks` with up to 64 vocabulary parts.
std::vector<MeshShape> meshes_of(int ranks) {
  std::vector<MeshShape> meshes;
  for (int vocab = 1; vocab <= std::min(ranks, kVocabSlices); ++vocab)
    if (ranks % vocab == 0) meshes.push_back({.batch = ranks / vocab, .vocab = vocab});
  return meshes;
}

std::vector<MeshShape> all_meshes(int ranks, const Options& options) {
  std::vector<MeshShape> meshes;
  for (const std::string& text : options.meshes) {
    meshes.push_back(parse_mesh_shape(text));
    if (meshes.back().ranks() > ranks)
      throw InvalidArgument(fmt::format("mesh {} has more than the {} ranks of this run", text, ranks));
  }
  if (!meshes.empty()) return meshes;
  for (int n = 1; n < ranks; n *= 2)
    for (const MeshShape shape : meshes_of(n)) meshes.push_back(shape);
  for (const MeshShape shape : meshes_of(ranks)) meshes.push_back(shape);
  return meshes;
}

/// A barrier that leaves the cores to others.
void sleep_until_all(MPI_Comm comm) {
  MPI_Request request = MPI_REQUEST_NULL;
  comm::check(MPI_Ibarrier(comm, &request), "MPI_Ibarrier");
  for (int done = 0;;) {
    comm::check(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Test");
    if (done != 0) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

/// Measures mesh after mesh, prints, and keeps what later results are compared with.
class Scaling {
 public:
  explicit Scaling(const Options& options) : options_(options), table_(table_file(options.json)) {
    comm::check(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "MPI_Comm_rank");
    comm::check(MPI_Comm_size(MPI_COMM_WORLD, &ranks_), "MPI_Comm_size");
    meshes_ = all_meshes(ranks_, options);
    const std::filesystem::path parent = options.directory.empty() ? std::filesystem::temp_directory_path()
                                                                   : std::filesystem::path(options.directory);
    record_ = parent / fmt::format("klmesh-scaling-{}.h5", ::getpid());
  }
  ~Scaling() {
    std::error_code ignored;
    if (rank_ == 0) std::filesystem::remove(record_, ignored);
  }

  /// @return the number of errors, on rank 0
  int run() {
    print_head();
    for (const std::string& mode : options_.modes)
      for (const MeshShape shape : meshes_) on_mesh(shape, [&](ScalingMesh& mesh) { measure(mesh, mode); });
    if (rank_ == 0) print_exchange_head(table_);
    for (const MeshShape shape : meshes_)
      if (shape.ranks() == ranks_ && shape.vocab > 1)
        on_mesh(shape, [&](ScalingMesh& mesh) { measure_exchange(mesh); });
    if (rank_ != 0) return 0;
    fmt::print(table_, "#\n# errors: {} {}\n", errors_, errors_ == 0 ? "OK" : "FAILED");
    write_json(options_.json, {{"schema", "klmesh.scaling/1"},
                               {"ranks", ranks_},
                               {"cores", std::thread::hardware_concurrency()},
                               {"dtype", options_.dtype},
                               {"vocab_size", options_.vocab_size},
                               {"results", results_},
                               {"exchange", exchanges_},
                               {"errors", errors_}});
    return errors_;
  }

 private:
  template <typename Work>
  void on_mesh(MeshShape shape, Work&& work) {
    MPI_Comm part = MPI_COMM_NULL;
    const int color = rank_ < shape.ranks() ? 0 : MPI_UNDEFINED;
    comm::check(MPI_Comm_split(MPI_COMM_WORLD, color, rank_, &part), "MPI_Comm_split");
    if (part != MPI_COMM_NULL) {
      {
        ScalingMesh mesh(part, shape);
        work(mesh);
      }
      comm::check(MPI_Comm_free(&part), "MPI_Comm_free");
    }
    sleep_until_all(MPI_COMM_WORLD);
  }

  void measure(ScalingMesh& mesh, const std::string& mode) {
    const MeshShape shape = mesh.mesh().shape();
    ScalingCase c{.mode = mode,
                  .rows = options_.rows * (mode == "weak" ? shape.ranks() : 1),
                  .vocab_size = options_.vocab_size};
    c.dtype = dtype_of(options_.dtype.c_str());
    for (const Schedule schedule : {Schedule::gather, Schedule::by_rows}) {
      if (shape.vocab == 1 && schedule != Schedule::gather) continue;  // nothing is exchanged
      c.schedule = schedule;
      ScalingResult result = run_case(mesh, c, options_.rounds, record_);
      if (rank_ == 0) add(result);
    }
  }

  void add(ScalingResult& result) {
    const auto [first, is_first] =
        bits_.try_emplace(result.shape.rows, std::bit_cast<std::uint64_t>(result.kl_reverse_mean));
    if (result.reproducible)
      result.errors += first->second != std::bit_cast<std::uint64_t>(result.kl_reverse_mean);
    const double seconds = result.klmesh.total - result.klmesh.record;
    if (result.mesh.ranks() == 1) alone_[result.shape.mode] = seconds;
    double efficiency = std::numeric_limits<double>::quiet_NaN();
    if (const auto alone = alone_.find(result.shape.mode); alone != alone_.end())
      efficiency = alone->second / seconds / (result.shape.mode == "weak" ? 1 : result.mesh.ranks());
    print(table_, result, efficiency);
    results_.push_back(json_of(result, efficiency));
    errors_ += result.errors;
  }

  void measure_exchange(ScalingMesh& mesh) {
    for (const std::int64_t rows : options_.exchange_rows) {
      for (const Schedule schedule : {Schedule::gather, Schedule::by_rows}) {
        const ExchangeResult result =
            run_exchange(mesh, rows, schedule, options_.rounds, options_.iterations);
        if (rank_ != 0) continue;
        print(table_, result);
        exchanges_.push_back(json_of(result));
        errors_ += result.errors;
      }
    }
  }

  void print_head() const {
    if (rank_ != 0) return;
    fmt::print(
        table_,
        "# klmesh scaling: {} words, {}, {} ranks on {} cores, one thread a rank; medians of {} rounds\n",
        options_.vocab_size, options_.dtype, ranks_, std::thread::hardware_concurrency(), options_.rounds);
    print_scaling_head(table_);
  }

  const Options& options_;
  std::FILE* table_;
  int rank_ = 0, ranks_ = 1, errors_ = 0;
  std::vector<MeshShape> meshes_;
  std::filesystem::path record_;
  std::map<std::int64_t, std::uint64_t> bits_;  // of the mean KL, by rows of the batch
  std::map<std::string, double> alone_;         // seconds on one rank without the record, by mode
  nlohmann::ordered_json results_ = nlohmann::ordered_json::array(),
                         exchanges_ = nlohmann::ordered_json::array();
};

int run(int argc, char** argv) {
  Options options;
  CLI::App app(
      "Strong and weak scaling over meshes of ranks, against separate all-reduces; run it under mpirun");
  app.add_flag("--quick", options.quick, "Small and short: shows that it runs, not how fast");
  app.add_option("--mesh", options.meshes, "BxV, several: these alone");
  app.add_option("--mode", options.modes, "strong, weak or both")->check(CLI::IsMember({"strong", "weak"}));
  app.add_option("--vocab", options.vocab_size, "Vocabulary")->check(CLI::PositiveNumber);
  app.add_option("--rows", options.rows, "Rows of the batch (strong), of every rank (weak)")
      ->check(CLI::PositiveNumber);
  app.add_option("--exchange-rows", options.exchange_rows, "Rows of the exchange alone")
      ->check(CLI::PositiveNumber);
  app.add_option("--dtype", options.dtype, "Of the logits")->check(CLI::IsMember({"f32", "bf16"}));
  app.add_option("--rounds", options.rounds, "Rounds of klmesh and the baseline in turn")
      ->check(CLI::PositiveNumber);
  app.add_option("--iterations", options.iterations, "Exchanges of a round")->check(CLI::PositiveNumber);
  app.add_option("--record", options.directory, "Directory in which every step writes its record")
      ->check(CLI::ExistingDirectory);
  app.add_option("--json", options.json,
                 "Write the results to a file; - is standard output, without the table");
  CLI11_PARSE(app, argc, argv);
  if (options.quick) {
    options.vocab_size = 1003;
    options.rows = 24;
    options.rounds = options.iterations = 2;
    options.exchange_rows = {1, 33};
  }
  return Scaling(options).run() == 0 ? 0 : 1;
}

}  // namespace
}  // namespace klmesh::bench

int main(int argc, char** argv) { return klmesh::bench::run_under_mpi("scaling", klmesh::bench::run, argc, argv); }
