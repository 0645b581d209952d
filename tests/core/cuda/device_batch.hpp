// A batch of logits on the host, in any type, and its copy on the device: odd offsets, strides and row lists included.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "core/cpu/decode.hpp"
#include "core/cuda/device_array.hpp"
#include "core/fold.hpp"
#include "core/kernels.hpp"
#include "core/rows.hpp"
#include "klmesh/divergence.hpp"

namespace klmesh::test {

/// One side's rows, as bytes of `dtype`.
struct HostRows {
  DType dtype;
  std::int64_t rows, columns, row_stride;
  double scale = 1.0;
  std::vector<std::byte> bytes;

  LogitsView view(const void* at) const { return {at, dtype, rows, columns, row_stride, {}, scale}; }
  LogitsView view() const { return view(bytes.data()); }
  std::int64_t element() const { return static_cast<std::int64_t>(dtype_bytes(dtype)); }

  /// Row `row` as the numbers it holds.
  std::vector<double> numbers(std::int64_t row) const {
    std::vector<double> x(static_cast<std::size_t>(columns));
    cpu::decode(bytes.data() + row * row_stride * element(), dtype, columns, x.data());
    return x;
  }
};

/// Rounds rows to `dtype`. @param rows T: float or double; all of one length
template <typename T>
HostRows host_rows(const std::vector<std::vector<T>>& rows, DType dtype, std::int64_t padding = 0) {
  const auto columns = static_cast<std::int64_t>(rows.front().size());
  HostRows host{dtype, static_cast<std::int64_t>(rows.size()), columns, columns + padding, 1.0, {}};
  host.bytes.resize(static_cast<std::size_t>(host.rows * host.row_stride * host.element()), std::byte{0xff});
  for (std::size_t row = 0; row < rows.size(); ++row) {
    std::byte* at = host.bytes.data() + static_cast<std::int64_t>(row) * host.row_stride * host.element();
    if (dtype == DType::f64) {
      const std::vector<double> x(rows[row].begin(), rows[row].end());
      std::memcpy(at, x.data(), x.size() * sizeof(double));
    } else {
      const std::vector<float> x(rows[row].begin(), rows[row].end());
      cpu::encode(x.data(), columns, dtype, at);
    }
  }
  return host;
}

/// The rows' copy on the device, `offset` elements behind an aligned address.
class DeviceRows {
 public:
  explicit DeviceRows(const HostRows& host, std::int64_t offset = 0)
      : host_(host), bytes_(host.bytes, static_cast<std::size_t>(offset * host.element())) {}

  LogitsView view() const { return host_.view(bytes_.data()); }
  std::byte* data() const { return bytes_.data(); }
  std::vector<std::byte> bytes() const { return bytes_.host(); }

 private:
  HostRows host_;
  DeviceArray<std::byte> bytes_;
};

/// The same view without its first `columns` columns.
inline LogitsView from_column(LogitsView view, std::int64_t columns) {
  view.data = static_cast<const std::byte*>(view.data) + columns * static_cast<std::int64_t>(dtype_bytes(view.dtype));
  view.columns -= columns;
  return view;
}

/// What the CPU finds in these rows, both stages; no target where `targets` is empty.
inline std::vector<TokenStats> cpu_tokens(const HostRows& policy, const HostRows& reference, const RowInputs& inputs) {
  const auto rows = static_cast<std::size_t>(policy.rows);
  const VocabShard shard = vocab_shard(policy.columns, 0, 1);
  std::vector<RowPartial> core(rows);
  std::vector<ExtendedPartial> extended(rows);
  std::vector<SecondStagePartial> second(rows);
  std::vector<TokenStats> tokens(rows);
  cpu::row_partials(policy.view(), reference.view(), shard, inputs, core, extended);
  for (std::size_t i = 0; i < rows; ++i) {
    tokens[i] = finish(core[i], !inputs.targets.empty());
    finish_extended(extended[i], tokens[i]);
  }
  cpu::second_stage(policy.view(), reference.view(), shard, inputs, tokens, second);
  for (std::size_t i = 0; i < rows; ++i) {
    tokens[i].jensen_shannon = second[i].jensen_shannon;
    tokens[i].total_variation = second[i].total_variation;
    tokens[i].normalizer.kl_policy_mixture = second[i].kl_policy_mixture;
  }
  return tokens;
}

/// Both sides of rows as vectors of rows.
template <typename T>
struct RowLists {
  std::vector<std::vector<T>> policy, reference;

  explicit RowLists(const std::vector<RowPair<T>>& pairs) {
    for (const RowPair<T>& pair : pairs) {
      policy.push_back(pair.policy);
      reference.push_back(pair.reference);
    }
  }
};

}  // namespace klmesh::test
