// A batch of the whole world, the same on every rank, and the part of it that a rank has.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/rows.hpp"
#include "klmesh/logits.hpp"
#include "klmesh/vocab_shard.hpp"

namespace klmesh::test {

struct WorldBatch {
  std::int64_t rows, columns;
  std::vector<float> policy, reference;  // (rows, columns)
  std::vector<std::int64_t> targets, sequence;
  std::vector<std::uint8_t> mask;

  /// @param noises between policy and reference, row by row and over again
  WorldBatch(std::int64_t rows_, std::int64_t columns_, std::int64_t sequences, const std::vector<double>& noises)
      : rows(rows_), columns(columns_) {
    RowFactory<float> factory(columns, 5);
    for (std::int64_t row = 0; row < rows; ++row) {
      const auto pair = factory.noisy(noises[static_cast<std::size_t>(row) % noises.size()]);
      policy.insert(policy.end(), pair.policy.begin(), pair.policy.end());
      reference.insert(reference.end(), pair.reference.begin(), pair.reference.end());
      targets.push_back((row * 997) % columns);
      sequence.push_back((row * 3) % sequences);  // unsorted, and spanning batch parts
      mask.push_back(row % 7 != 3);
    }
  }
  float& policy_at(std::int64_t row, std::int64_t column) {
    return policy[static_cast<std::size_t>(row * columns + column)];
  }
};

/// Rows of batch part `part` of `parts` (ceil(rows / parts) a part) and columns of a shard, on the host.
struct HostPart {
  std::vector<float> policy, reference;
  std::vector<std::int64_t> targets, sequence;
  std::vector<std::uint8_t> mask;
  std::int64_t first_row, rows, columns;

  HostPart(const WorldBatch& batch, const VocabShard& shard, int part, int parts) : columns(shard.columns()) {
    const std::int64_t each = (batch.rows + parts - 1) / parts;
    first_row = std::min(batch.rows, each * part);
    rows = std::min(batch.rows, each * (part + 1)) - first_row;
    for (std::int64_t row = first_row; row < first_row + rows; ++row) {
      const auto begin = row * batch.columns + shard.begin;
      policy.insert(policy.end(), batch.policy.begin() + begin, batch.policy.begin() + begin + columns);
      reference.insert(reference.end(), batch.reference.begin() + begin, batch.reference.begin() + begin + columns);
      const auto i = static_cast<std::size_t>(row);
      targets.push_back(batch.targets[i]);
      sequence.push_back(batch.sequence[i]);
      mask.push_back(batch.mask[i]);
    }
  }
  LogitsView policy_view() const { return logits_view(policy.data(), rows, columns); }
  LogitsView reference_view() const { return logits_view(reference.data(), rows, columns); }
  RowInputs inputs() const { return {.targets = targets, .mask = mask, .sequence = sequence}; }
};

}  // namespace klmesh::test
