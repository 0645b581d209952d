#include "loop/heldout.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <span>
#include <vector>

#include "loop/heldout_rows.hpp"

namespace klmesh::loop {
namespace {

// How often each word follows each context.
class NextWords {
 public:
  explicit NextWords(const Examples& examples) : examples_(examples) {
    for (std::int64_t i = 0; i < examples.size(); ++i) ++counts_[key(i)][examples.targets[static_cast<std::size_t>(i)]];
  }

  // Writes example i's empirical distribution as logits of one shard: log counts, -inf where nothing was seen.
  void write_logits(std::int64_t i, const VocabShard& shard, std::span<double> row) const {
    std::fill(row.begin(), row.end(), -std::numeric_limits<double>::infinity());
    for (const auto& [word, count] : counts_.at(key(i))) {
      if (shard.contains(word)) row[static_cast<std::size_t>(word - shard.begin)] = std::log(static_cast<double>(count));
    }
  }

 private:
  std::vector<std::int32_t> key(std::int64_t i) const {
    const auto context = examples_.context_of(i);
    return {context.begin(), context.end()};
  }

  const Examples& examples_;
  std::map<std::vector<std::int32_t>, std::map<std::int64_t, std::int64_t>> counts_;
};

}  // namespace

HeldoutReport evaluate_heldout(Engine& engine, const Policy& policy, const Examples& examples) {
  TensorOps& ops = policy.ops();
  const VocabShard& shard = policy.shard();
  const NextWords next_words(examples);
  const RowRange range = part_of_rows(examples.size(), kRowTile, ops.mesh().batch_part(), ops.mesh().shape().batch);
  HeldoutRows reader(policy, examples);
  // In double: logs of counts rounded to float would part cross-entropy and loss in the eighth digit. Both sides of
  // evaluate() have one type, and floats are doubles exactly.
  std::vector<double> host_logits;
  Buffer<double> policy_logits(ops, "logits", 0), data_logits(ops, "logits", 0);
  Buffer<std::int64_t> targets(ops, "rows", 0);
  Buffer<TokenStats> tokens(ops, "rows", 0);
  DeviceStepSums sums = engine.make_device_sums();
  engine.clear(sums, ops.stream());
  engine.plan(std::min(kHeldoutChunk, range.size()), {});
  for (std::int64_t first = range.begin; first < range.end; first += kHeldoutChunk) {
    const std::int64_t rows = std::min(kHeldoutChunk, range.end - first);
    reader.read(first, rows);
    policy_logits.resize(rows * policy.head_columns());
    ops.widen(reader.logits(), policy_logits.span());
    host_logits.resize(static_cast<std::size_t>(rows * shard.columns()));
    for (std::int64_t row = 0; row < rows; ++row) {
      next_words.write_logits(first + row, shard,
                              std::span(host_logits).subspan(static_cast<std::size_t>(row * shard.columns()),
                                                             static_cast<std::size_t>(shard.columns())));
    }
    data_logits.resize(rows * shard.columns());
    data_logits.upload(CopyReason::heldout, host_logits);
    targets.resize(rows);
    targets.upload(CopyReason::heldout, std::span(examples.targets).subspan(static_cast<std::size_t>(first),
                                                                            static_cast<std::size_t>(rows)));
    const RowInputs inputs{.targets = targets.span(), .mask = {}, .sequence = {}};
    tokens.resize(rows);
    engine.evaluate(logits_view(policy_logits.span().data(), rows, policy.head_columns()),
                    logits_view(data_logits.span().data(), rows, shard.columns()), inputs, tokens.span(), ops.stream());
    engine.accumulate(tokens.span(), inputs, sums, ops.stream());
  }
  const StepStatistics s = engine.reduce(sums, false, ops.stream());
  HeldoutReport report;
  report.tokens = s.tokens;
  report.loss = -s[Quantity::logp_policy].mean;
  report.perplexity = std::exp(report.loss);
  report.cross_entropy = s[Quantity::cross_entropy_reference_policy].mean;
  report.entropy_data = s[Quantity::entropy_reference].mean;
  report.kl_forward = s[Quantity::kl_forward].mean;
  return report;
}

}  // namespace klmesh::loop
