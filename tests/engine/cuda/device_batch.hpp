// A batch of the whole world, the same on every rank, and this rank's part of it in device memory.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "comm/nccl/device_buffer.hpp"
#include "core/rows.hpp"
#include "klmesh/engine.hpp"
#include "klmesh/vocab_shard.hpp"

namespace klmesh::test {

using testing_support::DeviceBuffer;

inline constexpr std::int64_t kVocab = 307;  // odd, so that rows of a shard are aligned in every way
inline constexpr std::int64_t kRows = 9;
inline constexpr std::int64_t kSequences = 4;

struct WorldBatch {
  std::vector<float> policy, reference;  // (kRows, kVocab)
  std::vector<std::int64_t> targets, sequence;
  std::vector<std::uint8_t> mask;

  /// @param noises between policy and reference, row by row and over again
  explicit WorldBatch(std::vector<double> noises) {
    RowFactory<float> factory(kVocab, 5);
    for (std::int64_t row = 0; row < kRows; ++row) {
      const auto pair = factory.noisy(noises[static_cast<std::size_t>(row) % noises.size()]);
      policy.insert(policy.end(), pair.policy.begin(), pair.policy.end());
      reference.insert(reference.end(), pair.reference.begin(), pair.reference.end());
      targets.push_back((row * 397) % kVocab);
      sequence.push_back((row * 3) % kSequences);  // unsorted, and spanning batch parts
      mask.push_back(row % 7 != 3);
    }
  }
  float& policy_at(std::int64_t row, std::int64_t column) {
    return policy[static_cast<std::size_t>(row * kVocab + column)];
  }
};

/// This rank's rows (ceil(rows / B) a part) and columns, on the host.
struct HostPart {
  std::vector<float> policy, reference;
  std::vector<std::int64_t> targets, sequence;
  std::vector<std::uint8_t> mask;
  std::int64_t first_row, rows, columns;

  HostPart(const WorldBatch& batch, const VocabShard& shard, int part, int parts) : columns(shard.columns()) {
    const std::int64_t each = (kRows + parts - 1) / parts;
    first_row = std::min(kRows, each * part);
    rows = std::min(kRows, each * (part + 1)) - first_row;
    for (std::int64_t row = first_row; row < first_row + rows; ++row) {
      const auto begin = row * kVocab + shard.begin;
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

/// The same on the device.
struct DevicePart {
  DeviceBuffer<float> policy, reference;
  DeviceBuffer<std::int64_t> targets, sequence;
  DeviceBuffer<std::uint8_t> mask;
  std::int64_t rows, columns;

  explicit DevicePart(const HostPart& host)
      : policy(std::span<const float>(host.policy)),
        reference(std::span<const float>(host.reference)),
        targets(std::span<const std::int64_t>(host.targets)),
        sequence(std::span<const std::int64_t>(host.sequence)),
        mask(std::span<const std::uint8_t>(host.mask)),
        rows(host.rows),
        columns(host.columns) {}
  LogitsView policy_view() { return logits_view(policy.span().data(), rows, columns); }
  LogitsView reference_view() { return logits_view(reference.span().data(), rows, columns); }
  RowInputs inputs() { return {.targets = targets.span(), .mask = mask.span(), .sequence = sequence.span()}; }
};

}  // namespace klmesh::test
