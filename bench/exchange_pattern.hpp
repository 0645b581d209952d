// The engine's exchange of a batch over the vocabulary group, on partials of known sums instead of logits.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "engine/exchange_plan.hpp"
#include "engine/vocab_exchange.hpp"

namespace klmesh::bench {

/// What a rank sends, what comes back, and whether that is right.
class ExchangePattern {
 public:
  /// @param vocab borrowed @param rows of a batch part
  ExchangePattern(Communicator& vocab, std::int64_t rows, Schedule schedule)
      : plan_(exchange_plan(rows, vocab_shard(1 << 16, vocab.rank(), vocab.size()), {.schedule = schedule})),
        exchange_(vocab),
        partials_(static_cast<std::size_t>(rows)) {
    for (std::int64_t row = 0; row < rows; ++row)
      partials_[static_cast<std::size_t>(row)] = partial_of(vocab.rank(), row);
    exchange_.reserve(plan_);
  }

  bool by_rows() const { return plan_.by_rows; }
  /// Partials to the ranks that finish them. Collective, like share().
  void send() { exchange_.send(std::span<const RowPartial>(partials_), plan_); }
  /// by_rows: what a gradient needs of every row, back to all.
  void share() {
    if (!plan_.by_rows) return;
    exchange_.share<Normalizers>(
        plan_, [](std::size_t row) { return Normalizers{static_cast<double>(row)}; },
        [&](std::size_t row, const Normalizers& value) {
          wrong_shares_ += value[0] != static_cast<double>(row);
        });
  }
  /// Of this rank, after send() and before share(): rows whose merged sum is not the known one.
  std::int64_t wrong_rows() const {
    std::int64_t wrong = 0;
    for (std::int64_t row = plan_.finished.begin; row < plan_.finished.end; ++row) {
      double expected = 0;
      for (int part = 0; part < plan_.parts; ++part) expected += partial_of(part, row).S;
      wrong += exchange_.merged<RowPartial>(row, plan_).S != expected;
    }
    return wrong;
  }
  /// Of this rank, in all calls of share(): values that are not their row's.
  std::int64_t wrong_shares() const { return wrong_shares_; }

 private:
  using Normalizers = std::array<double, 4>;

  // Merging the parts adds integers, exactly.
  static RowPartial partial_of(int part, std::int64_t row) {
    RowPartial partial;
    partial.S = static_cast<double>(part + 1 + row % 7);
    partial.flags = kPolicyHasMass | kReferenceHasMass;
    return partial;
  }

  ExchangePlan plan_;
  VocabExchange exchange_;
  std::vector<RowPartial> partials_;
  std::int64_t wrong_shares_ = 0;
};

}  // namespace klmesh::bench
