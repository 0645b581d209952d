#include "engine/vocab_exchange.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace klmesh {
namespace {

// Partials (rows x parts) beyond which every rank finishing every row costs more than the all-to-all's latency.
constexpr std::int64_t kGatherLimit = 16384;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// What another rank finished: enough for a second pass, and nothing that could be taken for a statistic.
TokenStats token_of(const RowNormalizer& normalizer) {
  RowPartial unknown;
  if (std::isnan(normalizer.lse_policy)) {
    unknown.flags = kInvalidPolicy;
    return finish(unknown, false);
  }
  TokenStats token = finish(unknown, false);
  token.flags = kPolicyHasMass | kReferenceHasMass;
  token.normalizer = normalizer;
  return token;
}

}  // namespace

RowRange block_of_rows(std::int64_t rows, int part, int parts) noexcept {
  const std::int64_t block = (rows + parts - 1) / parts;
  return {std::min(rows, block * part), std::min(rows, block * (part + 1))};
}

RowRange VocabExchange::start(Communicator& vocab, std::int64_t rows, const EvaluateOptions& options) {
  parts_ = vocab.size();
  by_rows_ = parts_ > 1 && (options.schedule == Schedule::by_rows ||
                            (options.schedule == Schedule::automatic && rows * parts_ > kGatherLimit));
  block_ = by_rows_ ? (rows + parts_ - 1) / parts_ : rows;
  range_ = by_rows_ ? block_of_rows(rows, vocab.rank(), parts_) : RowRange{0, rows};
  return range_;
}

void VocabExchange::reserve(const EvaluateOptions& options) {
  const std::size_t size = options.quantities == QuantitySet::all ? sizeof(FullPartial) : sizeof(RowPartial);
  const std::size_t bytes = static_cast<std::size_t>(block_ * parts_) * size;
  received_.reserve(bytes);
  if (by_rows_) send_.reserve(bytes);
}

void VocabExchange::exchange(Communicator& vocab, std::span<const std::byte> partials, std::size_t size) {
  const std::size_t bytes = static_cast<std::size_t>(block_ * parts_) * size;
  received_.resize(bytes);
  if (!by_rows_) {
    vocab.all_gather(partials, received_);
    return;
  }
  send_.assign(partials.begin(), partials.end());
  send_.resize(bytes);  // the blocks are equal; the last ones are padded
  vocab.all_to_all(send_, received_);
}

void VocabExchange::share_normalizers(Communicator& vocab, const RowInputs& inputs, RowRange rows,
                                      std::span<TokenStats> tokens) {
  std::vector<RowNormalizer> mine(static_cast<std::size_t>(block_));
  std::vector<RowNormalizer> all(static_cast<std::size_t>(block_ * parts_));
  for (std::int64_t row = rows.begin; row < rows.end; ++row) {
    const TokenStats& token = tokens[static_cast<std::size_t>(row)];
    RowNormalizer& normalizer = mine[static_cast<std::size_t>(row - rows.begin)];
    normalizer = token.normalizer;
    if (token.invalid_logits() || token.invalid_target()) normalizer.lse_policy = kNan;
  }
  vocab.all_gather(std::as_bytes(std::span(mine)), std::as_writable_bytes(std::span(all)));
  for (std::size_t row = 0; row < tokens.size(); ++row) {
    const auto global = static_cast<std::int64_t>(row);
    if (global >= rows.begin && global < rows.end) continue;
    tokens[row] = inputs.counts(global) ? token_of(all[row]) : TokenStats{};
  }
}

}  // namespace klmesh
