// This rank's part of a small batch of the whole world, in device memory.
#pragma once

#include <cstdint>
#include <span>

#include "comm/nccl/device_buffer.hpp"
#include "engine/world_batch.hpp"
#include "klmesh/engine.hpp"

namespace klmesh::test {

using testing_support::DeviceBuffer;

inline constexpr std::int64_t kVocab = 307;  // odd, so that rows of a shard are aligned in every way
inline constexpr std::int64_t kRows = 9;
inline constexpr std::int64_t kSequences = 4;

inline WorldBatch world_batch(const std::vector<double>& noises) { return {kRows, kVocab, kSequences, noises}; }

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
