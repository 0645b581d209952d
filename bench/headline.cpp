// The batch that is called too expensive for the exact KL, computed in full: V = 50,000, sequence 2,048,
// batch 32, 3.28e9 pairs of probabilities. Beside it what is done instead: sampled estimators, which need
// both normalisers and so read the same logits. Runs alone or under mpirun; the rows are split over the
// ranks.
#include <fmt/core.h>
#include <mpi.h>

#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <cmath>

#include "comm/mpi_check.hpp"
#include "engine/exchange_plan.hpp"
#include "headline_batch.hpp"
#include "interleaved.hpp"
#include "json_output.hpp"
#include "mpi_run.hpp"
#include "klmesh/mpi.hpp"
#include "log_normalizers.hpp"

namespace klmesh::bench {
namespace {

struct Options {
  HeadlineShape shape;
  std::vector<double> noises = {0.1};
  std::string dtype = "bf16";
  int repeats = 3;
  bool quick = false;
  std::string json;
};

/// Sums over tokens, as a trainer that logs estimators keeps them.
struct EstimatorSums {
  std::array<double, 3> k{};  // k1, k2, k3

  void add(double log_ratio) {
    k[0] += -log_ratio;
    k[1] += 0.5 * log_ratio * log_ratio;
    k[2] += std::expm1(log_ratio) - log_ratio;
  }
};

struct Measurement {
  double noise = 0;
  std::vector<double> exact_seconds, sampled_seconds;  // of the whole batch, one entry a repeat
  Spread ratio;                                        // exact / sampled, over the laps of the ring
  StepStatistics statistics;
  std::array<double, 3> sampled{};  // means of k1, k2, k3 by the second loop
  int errors = 0;
};

/// The seconds until the last rank is through, from a common start.
double timed(const std::function<void()>& work) {
  comm::check(MPI_Barrier(MPI_COMM_WORLD), "MPI_Barrier");
  const auto begin = std::chrono::steady_clock::now();
  work();
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  comm::check(MPI_Allreduce(MPI_IN_PLACE, &seconds, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD), "MPI_Allreduce");
  return seconds;
}

/// Both ways through one batch, lap by lap in turn, so that what disturbs the machine disturbs both.
class Headline {
 public:
  Headline(Mesh& mesh, const HeadlineShape& shape)
      : shape_(shape),
        engine_(mesh, shape.vocab_size),
        batch_(shape, block_of_rows(shape.rows(), mesh.batch_part(), mesh.shape().batch), mesh.batch_part()),
        tokens_(static_cast<std::size_t>(shape.chunk_rows)) {
    engine_.plan(shape.chunk_rows, kOptions);
  }

  void measure(Measurement& result, int repeats) {
    std::vector<double> ratios;
    for (int repeat = 0; repeat < repeats; ++repeat) {
      StepSums exact(shape_.batch);
      EstimatorSums sampled;
      double exact_seconds = 0, sampled_seconds = 0;
      for (std::int64_t begin = 0; begin < laps_end(); begin += shape_.ring) {
        const double a = timed([&] { add_exact(begin, exact); });
        const double b = timed([&] { add_sampled(begin, sampled); });
        ratios.push_back(a / b);
        exact_seconds += a;
        sampled_seconds += b;
      }
      exact_seconds += timed([&] { result.statistics = engine_.reduce(exact); });
      sampled_seconds += timed([&] { result.sampled = means_of(sampled); });
      result.exact_seconds.push_back(exact_seconds);
      result.sampled_seconds.push_back(sampled_seconds);
    }
    result.ratio = spread(ratios);
  }

 private:
  static constexpr EvaluateOptions kOptions{.gradient_follows = false};

  /// The same on all ranks, though the last ones may have fewer chunks.
  std::int64_t laps_end() const {
    std::int64_t chunks = batch_.chunks();
    comm::check(MPI_Allreduce(MPI_IN_PLACE, &chunks, 1, MPI_INT64_T, MPI_MAX, MPI_COMM_WORLD),
                "MPI_Allreduce");
    return chunks;
  }

  void add_exact(std::int64_t begin, StepSums& sums) {
    for (std::int64_t c = begin; c < std::min(begin + shape_.ring, batch_.chunks()); ++c) {
      const std::span tokens = std::span(tokens_).first(static_cast<std::size_t>(batch_.rows_of(c)));
      engine_.evaluate(batch_.policy(c), batch_.reference(c), batch_.inputs(c), kOptions, tokens,
                       host_stream);
      engine_.accumulate(tokens, batch_.inputs(c), sums);
    }
  }

  void add_sampled(std::int64_t begin, EstimatorSums& sums) {
    const std::size_t row_bytes = static_cast<std::size_t>(shape_.vocab_size) * dtype_bytes(shape_.dtype);
    for (std::int64_t c = begin; c < std::min(begin + shape_.ring, batch_.chunks()); ++c) {
      const auto* policy = static_cast<const std::byte*>(batch_.policy(c).data);
      const auto* reference = static_cast<const std::byte*>(batch_.reference(c).data);
      for (std::int64_t row = 0; row < batch_.rows_of(c); ++row) {
        const std::size_t offset = static_cast<std::size_t>(row) * row_bytes;
        const LogNormalizers lse =
            log_normalizers(shape_.dtype, policy + offset, reference + offset, shape_.vocab_size);
        sums.add((batch_.reference_target(c, row) - batch_.policy_target(c, row)) -
                 (lse.reference - lse.policy));
      }
    }
  }

  std::array<double, 3> means_of(EstimatorSums sums) const {
    comm::check(MPI_Allreduce(MPI_IN_PLACE, sums.k.data(), 3, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD),
                "MPI_Allreduce");
    for (double& k : sums.k) k /= static_cast<double>(shape_.rows());
    return sums.k;
  }

  HeadlineShape shape_;
  Engine engine_;
  HeadlineBatch batch_;
  std::vector<TokenStats> tokens_;
};

constexpr std::array kEstimators = {Quantity::k1, Quantity::k2, Quantity::k3};
constexpr std::array kBiases = {Quantity::k1_bias, Quantity::k2_bias, Quantity::k3_bias};

/// Quantities in which the two loops differ by more than the second one's fp32 normalisers explain.
int disagreements(const Measurement& result) {
  int count = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    const double exact = result.statistics[kEstimators[i]].mean;
    count += !(std::fabs(exact - result.sampled[i]) <= 2e-6 + 1e-4 * std::fabs(exact));
  }
  return count;
}

void print_head(std::FILE* out, const HeadlineShape& shape, int ranks) {
  fmt::print(out,
             "# klmesh headline: {} tokens (batch {} x sequence {}) x {} words = {:.3g} pairs, {}, {:.2f} "
             "GB; {} ranks\n"
             "# logits: a ring of {} distinct chunks of {} rows a rank; targets: drawn from the policy, "
             "every token its own\n"
             "# error: of the estimate, against the exact mean over the same tokens\n",
             shape.rows(), shape.batch, shape.sequence, shape.vocab_size, shape.pairs(),
             shape.dtype == DType::f32 ? "f32" : "bf16", shape.bytes() * 1e-9, ranks, shape.ring,
             shape.chunk_rows);
  fmt::print(out, "#{:>7} {:>18} {:>9} {:>9} {:>8} {:>12} {:>12} {:>12} {:>9} {:>7}\n", "noise",
             "KL[pi||ref]", "time", "time", "read", "mean", "error", "stderr", "stderr/KL", "differs");
  fmt::print(out, "#{:>7} {:>18} {:>9} {:>9} {:>8} {:>12} {:>12} {:>12} {:>9} {:>7}\n", "", "", "(s)",
             "(ns/pair)", "(GB/s)", "(nats)", "(nats)", "(nats)", "(%)", "");
}

void print_row(std::FILE* out, const HeadlineShape& shape, double noise, const char* what, double seconds,
               double mean, double error, double deviation, double exact, int errors) {
  fmt::print(out, " {:>7g} {:>18} {:>9.3f} {:>9.3f} {:>8.2f} {:>12.5e} {:>12.2e} {:>12.2e} {:>9.2f} {:>7}\n",
             noise, what, seconds, seconds * 1e9 / shape.pairs(), shape.bytes() * 1e-9 / seconds, mean, error,
             deviation, 100 * deviation / exact, errors);
}

void print(std::FILE* out, const HeadlineShape& shape, const Measurement& result) {
  const double exact = result.statistics[Quantity::kl_reverse].mean;
  print_row(out, shape, result.noise, "exact", spread(result.exact_seconds).median, exact, 0, 0, exact,
            result.errors);
  const double seconds = spread(result.sampled_seconds).median;
  for (std::size_t i = 0; i < 3; ++i) {
    const QuantityStatistics& bias = result.statistics[kBiases[i]];
    const char* const names[] = {"k1 alone", "k2 alone", "k3 alone"};
    print_row(out, shape, result.noise, names[i], seconds, result.sampled[i], bias.mean, bias.standard_error,
              exact, result.errors);
  }
  fmt::print(out, "# exact / estimators alone: median {:.3f}, min {:.3f}, max {:.3f} over the laps\n",
             result.ratio.median, result.ratio.min, result.ratio.max);
}

nlohmann::ordered_json json_of(const HeadlineShape& shape, const Measurement& result) {
  const double exact = result.statistics[Quantity::kl_reverse].mean;
  nlohmann::ordered_json estimators;
  for (std::size_t i = 0; i < 3; ++i) {
    const QuantityStatistics& bias = result.statistics[kBiases[i]];
    estimators[std::string(name(kEstimators[i]))] = {
        {"mean", result.sampled[i]}, {"error", bias.mean}, {"stderr", bias.standard_error}};
  }
  return {{"noise", result.noise},
          {"exact_seconds", result.exact_seconds},
          {"estimators_seconds", result.sampled_seconds},
          {"exact_ns_per_pair", spread(result.exact_seconds).median * 1e9 / shape.pairs()},
          {"exact_over_estimators",
           {{"median", result.ratio.median}, {"min", result.ratio.min}, {"max", result.ratio.max}}},
          {"kl_reverse_mean", exact},
          {"estimators", estimators},
          {"errors", result.errors}};
}

/// @return the number of errors, the same on every rank
int run(const Options& options) {
  int rank = 0, ranks = 1;
  comm::check(MPI_Comm_rank(MPI_COMM_WORLD, &rank), "MPI_Comm_rank");
  comm::check(MPI_Comm_size(MPI_COMM_WORLD, &ranks), "MPI_Comm_size");
  Mesh mesh = borrow_mesh(MPI_COMM_WORLD, {.batch = ranks, .vocab = 1});
  std::FILE* const table = table_file(options.json);
  if (rank == 0) print_head(table, options.shape, ranks);
  int errors = 0;
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  for (const double noise : options.noises) {
    HeadlineShape shape = options.shape;
    shape.noise = noise;
    Measurement result;
    result.noise = noise;
    Headline(mesh, shape).measure(result, options.repeats);
    errors += result.errors = disagreements(result);
    if (rank == 0) print(table, shape, result);
    results.push_back(json_of(shape, result));
  }
  if (rank != 0) return errors;
  fmt::print(table, "# errors: {} {}\n", errors, errors == 0 ? "OK" : "FAILED");
  const HeadlineShape& shape = options.shape;
  write_json(options.json, {{"schema", "klmesh.headline/1"},
                            {"ranks", ranks},
                            {"tokens", shape.rows()},
                            {"vocab_size", shape.vocab_size},
                            {"pairs", shape.pairs()},
                            {"bytes", shape.bytes()},
                            {"dtype", options.dtype},
                            {"results", results}});
  return errors;
}

int run(int argc, char** argv) {
  Options options;
  CLI::App app(
      "The exact KL of the batch that is called too expensive, and the estimators that are used instead");
  app.add_flag("--quick", options.quick, "Small and short: shows that it runs, not how fast");
  app.add_option("--noise", options.noises,
                 "Standard deviation of reference - policy logits; several: a block each");
  app.add_option("--dtype", options.dtype, "Of the logits")->check(CLI::IsMember({"f32", "bf16"}));
  app.add_option("--repeats", options.repeats, "Executions of the whole batch; the median counts")
      ->check(CLI::PositiveNumber);
  app.add_option("--vocab", options.shape.vocab_size, "Vocabulary")->check(CLI::PositiveNumber);
  app.add_option("--batch", options.shape.batch, "Sequences")->check(CLI::PositiveNumber);
  app.add_option("--sequence", options.shape.sequence, "Tokens of a sequence")->check(CLI::PositiveNumber);
  app.add_option("--chunk", options.shape.chunk_rows, "Rows of a chunk")->check(CLI::PositiveNumber);
  app.add_option("--ring", options.shape.ring, "Distinct chunks of a rank")->check(CLI::PositiveNumber);
  app.add_option("--json", options.json,
                 "Write the results to a file; - is standard output, without the table");
  CLI11_PARSE(app, argc, argv);
  if (options.quick) {
    options.repeats = 1;
    options.shape = {.vocab_size = 3001, .batch = 4, .sequence = 75, .chunk_rows = 32, .ring = 3};
  }
  options.shape.dtype = dtype_of(options.dtype.c_str());
  return run(options) == 0 ? 0 : 1;
}

}  // namespace
}  // namespace klmesh::bench

int main(int argc, char** argv) { return klmesh::bench::run_under_mpi("headline", klmesh::bench::run, argc, argv); }
