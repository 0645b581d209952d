// The exchange over the vocabulary group, in either schedule: rows' partials in, merged partials out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "core/fold.hpp"
#include "klmesh/communicator.hpp"
#include "klmesh/engine.hpp"

namespace klmesh {

/// Core and extended partial of a row: they travel together.
struct FullPartial {
  RowPartial core;
  ExtendedPartial extended;
};

inline FullPartial merge(const FullPartial& left, const FullPartial& right) {
  return {klmesh::merge(left.core, right.core), klmesh::merge(left.extended, right.extended)};
}

/// Block `part` of `parts` equal blocks of ceil(rows / parts) rows; the last ones may be short or empty.
RowRange block_of_rows(std::int64_t rows, int part, int parts) noexcept;

/// Carries partials of every row to the ranks that finish it: to all (gather), or to the row's owner (by_rows).
class VocabExchange {
 public:
  /// Fixes the schedule of a batch. @return the rows that this rank finishes
  RowRange start(Communicator& vocab, std::int64_t rows, const EvaluateOptions& options);
  bool by_rows() const noexcept { return by_rows_; }

  /// Sizes the buffers for the batch that was started.
  void reserve(const EvaluateOptions& options);
  std::size_t bytes() const noexcept { return send_.capacity() + received_.capacity(); }

  /// One exchange. Partial: RowPartial, FullPartial, SecondStagePartial.
  template <typename Partial>
  void send(Communicator& vocab, std::span<const Partial> partials) {
    exchange(vocab, std::as_bytes(partials), sizeof(Partial));
  }

  /// Folds one finished row's partials over the vocabulary parts, the top of the slice tree.
  template <typename Partial>
  Partial merged(std::int64_t row) const {
    Partial parts[kVocabSlices];
    for (std::size_t part = 0; part < static_cast<std::size_t>(parts_); ++part) {
      const std::size_t at = part * static_cast<std::size_t>(block_) + static_cast<std::size_t>(row - range_.begin);
      std::memcpy(&parts[part], received_.data() + at * sizeof(Partial), sizeof(Partial));
    }
    return fold_tree(std::span<const Partial>(parts, static_cast<std::size_t>(parts_)));
  }

  /// by_rows: gives every rank the four doubles a row that a second pass needs; rows that are not this rank's get
  /// these and NaN. Invalid rows stay invalid.
  void share_normalizers(Communicator& vocab, const RowInputs& inputs, RowRange rows, std::span<TokenStats> tokens);

 private:
  void exchange(Communicator& vocab, std::span<const std::byte> partials, std::size_t size);

  bool by_rows_ = false;
  int parts_ = 1;
  std::int64_t block_ = 0;  // rows that arrive from each part
  RowRange range_;
  std::vector<std::byte> send_, received_;
};

}  // namespace klmesh
