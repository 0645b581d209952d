#include "scaling_case.hpp"

#include <chrono>
#include <cmath>

#include "comm/mpi_check.hpp"
#include "engine/exchange_plan.hpp"
#include "klmesh/standard_columns.hpp"
#include "klmesh/statistics_log.hpp"
#include "scaling_baseline.hpp"
#include "synthetic_logits.hpp"

namespace klmesh::bench {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Targets of a batch part's rows, the same on every mesh.
std::vector<std::int64_t> targets_of(RowRange rows, std::int64_t vocab_size) {
  std::vector<std::int64_t> targets;
  for (std::int64_t row = rows.begin; row < rows.end; ++row) {
    const std::uint64_t bits = mixed(static_cast<std::uint64_t>(row) + (std::uint64_t{1} << 62));
    targets.push_back(static_cast<std::int64_t>(bits % static_cast<std::uint64_t>(vocab_size)));
  }
  return targets;
}

/// The flow of a training step: evaluate, accumulate, reduce, record.
class KlmeshStep {
 public:
  KlmeshStep(ScalingMesh& mesh, const ScalingCase& shape, const SyntheticLogits& logits,
             std::span<const std::int64_t> targets, std::filesystem::path record)
      : mesh_(mesh),
        engine_(mesh.mesh(), shape.vocab_size),
        logits_(logits),
        inputs_{.targets = targets, .mask = {}, .sequence = {}},
        options_{.schedule = shape.schedule},
        tokens_(targets.size()),
        record_(std::move(record)),
        log_({.config_toml = "",
              .mesh = to_string(mesh.mesh().shape()),
              .created_utc = "",
              .library_version = ""},
             io::standard_columns(), {}) {
    engine_.plan(logits.policy().rows, options_);
  }

  Parts run() {
    comm::check(MPI_Barrier(mesh_.world()), "MPI_Barrier");
    const CommunicationTimes before = mesh_.vocab_times();
    const double begin = now();
    engine_.evaluate(logits_.policy(), logits_.reference(), inputs_, options_, tokens_, host_stream);
    StepSums sums;
    engine_.accumulate(tokens_, inputs_, sums);
    const double evaluated = now();
    statistics_ = engine_.reduce(sums);
    const double reduced = now();
    if (mesh_.mesh().world().rank() == 0) write_record();
    const double end = now();
    const double exchange = mesh_.vocab_times().seconds - before.seconds;
    received_bytes_ = mesh_.vocab_times().received_bytes - before.received_bytes;
    return over_ranks(mesh_.world(), {.compute = evaluated - begin - exchange,
                                      .exchange = exchange,
                                      .reduction = reduced - evaluated,
                                      .record = end - reduced,
                                      .total = end - begin});
  }

  const StepStatistics& statistics() const { return statistics_; }
  std::int64_t received_bytes() const { return received_bytes_; }
  bool reproducible() const { return engine_.reproducible(); }

 private:
  void write_record() {
    const io::NamedValue values[] = {{"kl_reverse_mean", statistics_[Quantity::kl_reverse].mean},
                                     {"k1_mean", statistics_[Quantity::k1].mean}};
    log_.append(3, static_cast<std::int64_t>(log_.rows()) + 1, values);
    log_.commit(record_);
  }

  ScalingMesh& mesh_;
  Engine engine_;
  const SyntheticLogits& logits_;
  RowInputs inputs_;
  EvaluateOptions options_;
  std::vector<TokenStats> tokens_;
  std::filesystem::path record_;
  io::StatisticsLog log_;
  StepStatistics statistics_;
  std::int64_t received_bytes_ = 0;
};

Parts median_of(const std::vector<Parts>& rounds) {
  const auto median = [&](double Parts::*part) {
    std::vector<double> values;
    for (const Parts& parts : rounds) values.push_back(parts.*part);
    return spread(std::move(values)).median;
  };
  return {.compute = median(&Parts::compute),
          .exchange = median(&Parts::exchange),
          .reduction = median(&Parts::reduction),
          .record = median(&Parts::record),
          .total = median(&Parts::total)};
}

/// Means that differ by more than the textbook's fp32 sums explain.
int disagreements(const StepStatistics& statistics, const BaselineStep& baseline) {
  int count = 0;
  for (std::size_t i = 0; i < kBaselineQuantities.size(); ++i) {
    const double exact = statistics[kBaselineQuantities[i]].mean;
    count += !(std::fabs(baseline.means()[i] - exact) <= 2e-4 * std::max(1.0, std::fabs(exact)));
  }
  return count;
}

}  // namespace

ScalingResult run_case(ScalingMesh& mesh, const ScalingCase& shape, int rounds,
                       const std::filesystem::path& record) {
  Mesh& ranks = mesh.mesh();
  const VocabShard shard = vocab_shard(shape.vocab_size, ranks.vocab_part(), ranks.shape().vocab);
  const RowRange rows = block_of_rows(shape.rows, ranks.batch_part(), ranks.shape().batch);
  const SyntheticLogits logits(shape.dtype, shape.noise, rows.begin, rows.size(), shard.begin,
                               shard.columns());
  const std::vector<std::int64_t> targets = targets_of(rows, shape.vocab_size);
  KlmeshStep klmesh(mesh, shape, logits, targets, record);
  BaselineStep baseline(mesh, logits, targets, shape.rows, shard.begin);
  static_cast<void>(klmesh.run());  // first touches
  static_cast<void>(baseline.run());

  std::vector<Parts> klmesh_rounds, baseline_rounds;
  std::vector<double> ratios;
  for (int round = 0; round < rounds; ++round) {
    klmesh_rounds.push_back(klmesh.run());
    baseline_rounds.push_back(baseline.run());
    ratios.push_back(baseline_rounds.back().total /
                     (klmesh_rounds.back().total - klmesh_rounds.back().record));
  }
  return {.shape = shape,
          .mesh = ranks.shape(),
          .klmesh = median_of(klmesh_rounds),
          .baseline = median_of(baseline_rounds),
          .ratio = spread(ratios),
          .received_bytes_per_row =
              static_cast<double>(klmesh.received_bytes()) / static_cast<double>(rows.size()),
          .kl_reverse_mean = klmesh.statistics()[Quantity::kl_reverse].mean,
          .reproducible = klmesh.reproducible(),
          .errors = disagreements(klmesh.statistics(), baseline)};
}

}  // namespace klmesh::bench
