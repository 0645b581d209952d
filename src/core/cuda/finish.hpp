// From the partials of all vocabulary parts to the rows' statistics, on a GPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/fold.hpp"
#include "klmesh/divergence.hpp"
#include "klmesh/logits.hpp"
#include "klmesh/stream.hpp"

namespace klmesh::cuda {

/// Partials as an all-gather or an all-to-all leaves them in device memory, (parts, block): part by part, the rows in
/// order. Core and extended partials lie in arrays of their own, or packed together.
struct GatheredPartials {
  const std::byte* core = nullptr;      ///< the first row's RowPartial of part 0
  const std::byte* extended = nullptr;  ///< its ExtendedPartial; null: core quantities alone
  std::size_t core_stride = sizeof(RowPartial);          ///< bytes from one row to the next
  std::size_t extended_stride = sizeof(ExtendedPartial);
  std::int64_t block = 0;  ///< rows of a part, >= the rows that are finished
  std::size_t part_stride = 0;  ///< bytes from one part to the next, of both arrays; 0: block rows of each
  int parts = 1;           ///< at most kVocabSlices
  bool extended_quantities = true;  ///< false: what is extended travels for a Renyi divergence alone

  /// Row i of `part`, in bytes behind the first.
  KLMESH_HD std::size_t core_at(int part, std::int64_t i) const { return at(part, i, core_stride); }
  KLMESH_HD std::size_t extended_at(int part, std::int64_t i) const { return at(part, i, extended_stride); }

 private:
  KLMESH_HD std::size_t at(int part, std::int64_t i, std::size_t stride) const {
    const auto rows_before = static_cast<std::size_t>(part_stride == 0 ? part * block + i : i);
    return static_cast<std::size_t>(part) * part_stride + rows_before * stride;
  }
};

/// Folds each row's partials over the parts, along the top of the slice tree, and reads the statistics off:
/// finish(), and finish_extended() and finish_renyi() where they are asked for. Masked rows get an empty TokenStats.
///
/// Bits are those of any GPU of the same kind on any number of parts that are whole subtrees; they differ from the CPU's
/// in the last places of logarithms and exponentials.
/// @param gathered    row `first_row` comes first in each part
/// @param inputs      of all rows; targets empty: target quantities are NaN
/// @param renyi_alpha NaN: not asked for. Other orders than 1 need extended partials.
/// @param tokens      (rows), all of the batch; [first_row, last_row) are written
/// @throws InvalidArgument for a host stream
/// @throws CudaError
void finish(const GatheredPartials& gathered, const RowInputs& inputs, std::int64_t first_row, std::int64_t last_row,
            double renyi_alpha, std::span<TokenStats> tokens, StreamRef stream);

/// Folds the second stage's partials and adds what they say to tokens that finish() wrote; masked and invalid rows are
/// left alone.
/// @param gathered (parts, block)
void finish_second_stage(std::span<const SecondStagePartial> gathered, int parts, const RowInputs& inputs,
                         std::int64_t first_row, std::int64_t last_row, std::span<TokenStats> tokens, StreamRef stream);

}  // namespace klmesh::cuda
