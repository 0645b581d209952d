#include "loop/heldout.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <span>
#include <vector>

#include "loop/partition.hpp"

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

HeldoutReport evaluate_heldout(Mesh& mesh, Engine& engine, const Policy& policy, const Examples& examples) {
  constexpr std::int64_t kChunk = 2 * kRowTile;  // bounds the memory; any multiple of the tile gives the same bits
  const VocabShard& shard = policy.shard();
  const NextWords next_words(examples);
  const RowRange range = part_of_rows(examples.size(), kRowTile, mesh.batch_part(), mesh.shape().batch);
  Activations activations;
  std::vector<float> logits;
  // In double: logs of counts rounded to float would part cross-entropy and loss in the eighth digit. Both sides of
  // evaluate() have one type, and floats are doubles exactly.
  std::vector<double> policy_logits, data_logits;
  std::vector<TokenStats> tokens;
  StepSums sums;
  for (std::int64_t first = range.begin; first < range.end; first += kChunk) {
    const std::int64_t rows = std::min(kChunk, range.end - first);
    const auto context = static_cast<std::size_t>(examples.context);
    logits.resize(static_cast<std::size_t>(rows * policy.head_columns()));
    data_logits.resize(static_cast<std::size_t>(rows * shard.columns()));
    policy.forward(std::span(examples.contexts).subspan(static_cast<std::size_t>(first) * context,
                                                        static_cast<std::size_t>(rows) * context),
                   first, activations, logits);
    policy_logits.assign(logits.begin(), logits.end());
    for (std::int64_t row = 0; row < rows; ++row) {
      next_words.write_logits(first + row, shard,
                              std::span(data_logits).subspan(static_cast<std::size_t>(row * shard.columns()),
                                                             static_cast<std::size_t>(shard.columns())));
    }
    const RowInputs inputs{
        .targets = std::span(examples.targets).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(rows)),
        .mask = {},
        .sequence = {}};
    tokens.resize(static_cast<std::size_t>(rows));
    engine.evaluate(logits_view(policy_logits.data(), rows, policy.head_columns()),
                    logits_view(data_logits.data(), rows, shard.columns()), inputs, tokens, host_stream);
    engine.accumulate(tokens, inputs, sums);
  }
  const StepStatistics s = engine.reduce(sums);
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
