// Gradients summed in fixed point: integer addition is associative, so any order and any mesh gives the same
// bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "klmesh/communicator.hpp"
#include "loop/fixed_point.hpp"

namespace klmesh::loop {

/// A named run of elements inside an ExactGradient.
struct TensorSize {
  std::string name;
  std::int64_t size = 0;
};

/// @throws InvalidData naming the tensor: NaN, or a magnitude outside the limits of fixed_point.hpp
[[noreturn]] void throw_invalid_gradient(std::string_view tensor);

/// Sums of floats in the host's memory, as words of fixed_point.hpp. Each added value is rounded once.
///
/// Nothing wraps silently: beside the words of each tensor travels a bound, the sum over all additions of the
/// largest magnitude added. add() never throws, so that one rank's bad value can't keep it from an exchange;
/// check() does.
class ExactGradient {
 public:
  explicit ExactGradient(std::vector<TensorSize> tensors);

  /// Sets all sums to 0.
  void clear() noexcept;

  /// Adds `values` to the elements from `offset` on.
  void add(int tensor, std::int64_t offset, std::span<const float> values);
  void add(int tensor, std::int64_t offset, double value);

  /// Makes check() fail for this tensor, here and wherever the sums are exchanged.
  void invalidate(int tensor) noexcept;
  bool valid(int tensor) const noexcept;

  /// Sums over the ranks of a group, in place: one exchange.
  void all_reduce(Communicator& group);

  /// @throws InvalidData naming the first tensor that met NaN or a magnitude outside the limits
  void check() const;

  int tensors() const noexcept { return static_cast<int>(tensors_.size()); }
  std::span<const std::int64_t> words(int tensor) const;

  /// All tensors, one after the other.
  std::span<const std::int64_t> words() const noexcept {
    return std::span(words_).first(words_.size() - tensors_.size());
  }

  /// Reads sums back, rounded to nearest. values.size() must be the tensor's size.
  void read(int tensor, std::span<float> values) const;
  double read(int tensor, std::int64_t offset) const;

 private:
  std::int64_t& bound(int tensor) noexcept { return words_[words_.size() - tensors_.size() + tensor]; }
  std::int64_t bound(int tensor) const noexcept { return words_[words_.size() - tensors_.size() + tensor]; }
  FixedPointTensor view(int tensor) noexcept;

  std::vector<TensorSize> tensors_;
  std::vector<std::int64_t> offsets_;
  std::vector<std::int64_t>
      words_;  ///< sums of all tensors, then one bound per tensor: one exchange carries both
};

}  // namespace klmesh::loop
