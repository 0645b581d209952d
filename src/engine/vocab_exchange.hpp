// The exchange over the vocabulary group on the host, in either schedule: rows' partials in, merged partials out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "core/fold.hpp"
#include "engine/exchange_plan.hpp"
#include "klmesh/communicator.hpp"

namespace klmesh {

/// Core and extended partial of a row: they travel together.
struct FullPartial {
  RowPartial core;
  ExtendedPartial extended;
};

inline FullPartial merge(const FullPartial& left, const FullPartial& right) {
  return {klmesh::merge(left.core, right.core), klmesh::merge(left.extended, right.extended)};
}

/// Carries partials of every row to the ranks that finish it: to all (gather), or to the row's owner (by_rows).
class VocabExchange {
 public:
  /// @param vocab must outlive the exchange
  explicit VocabExchange(Communicator& vocab) noexcept : vocab_(&vocab) {}

  void reserve(const ExchangePlan& plan);
  std::size_t bytes() const noexcept { return send_.capacity() + received_.capacity(); }

  /// One exchange. Partial: RowPartial, FullPartial, SecondStagePartial.
  template <typename Partial>
  void send(std::span<const Partial> partials, const ExchangePlan& plan) {
    exchange(std::as_bytes(partials), sizeof(Partial), plan);
  }

  /// Folds one finished row's partials over the vocabulary parts, the top of the slice tree.
  template <typename Partial>
  Partial merged(std::int64_t row, const ExchangePlan& plan) const {
    Partial parts[kVocabSlices];
    for (std::size_t part = 0; part < static_cast<std::size_t>(plan.parts); ++part) {
      const std::size_t at =
          part * static_cast<std::size_t>(plan.block) + static_cast<std::size_t>(row - plan.finished.begin);
      std::memcpy(&parts[part], received_.data() + at * sizeof(Partial), sizeof(Partial));
    }
    return fold_tree(std::span<const Partial>(parts, static_cast<std::size_t>(plan.parts)));
  }

  /// by_rows: one Value of every row, from the rank that finished it to all. give(row) is this rank's; take(row, value)
  /// is told those of the others.
  template <typename Value, typename Give, typename Take>
  void share(const ExchangePlan& plan, Give&& give, Take&& take) {
    send_.resize(static_cast<std::size_t>(plan.block) * sizeof(Value));
    received_.resize(send_.size() * static_cast<std::size_t>(plan.parts));
    for (std::int64_t row = plan.finished.begin; row < plan.finished.end; ++row) {
      const Value value = give(static_cast<std::size_t>(row));
      std::memcpy(send_.data() + static_cast<std::size_t>(row - plan.finished.begin) * sizeof(Value), &value,
                  sizeof(Value));
    }
    vocab_->all_gather(send_, received_);
    for (std::int64_t row = 0; row < plan.rows; ++row) {
      if (row >= plan.finished.begin && row < plan.finished.end) continue;
      Value value;
      std::memcpy(&value, received_.data() + static_cast<std::size_t>(row) * sizeof(Value), sizeof(Value));
      take(static_cast<std::size_t>(row), value);
    }
  }

 private:
  void exchange(std::span<const std::byte> partials, std::size_t size, const ExchangePlan& plan);

  Communicator* vocab_;
  std::vector<std::byte> send_, received_;
};

}  // namespace klmesh
