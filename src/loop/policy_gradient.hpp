// The gradient of a policy, in the memory of a back end.
#pragma once

#include <cstdint>
#include <span>

#include "loop/buffer.hpp"
#include "loop/fixed_point.hpp"
#include "loop/policy_parameters.hpp"

namespace klmesh::loop {

/// Sums of gradients in fixed point, in the layout of PolicyParameters. Integer addition is associative, so any order and
/// any mesh gives the same bits.
///
/// Nothing wraps silently: behind the words lies a bound for each tensor. Nothing throws for bad values, so that one rank's
/// can't keep it from an exchange; check() does, once the step's results are read.
class PolicyGradient {
 public:
  static constexpr int kBounds = kPolicyTensors + 1;

  /// Sums of nothing. @param ops must outlive this
  PolicyGradient(TensorOps& ops, const PolicyLayout& layout);

  /// Sets all sums to 0.
  void clear() { words_.clear(); }

  FixedPointTensor tensor(PolicyTensor tensor) noexcept;
  /// No words, and a bound: whether the gradient of the hidden layer's outputs, which is summed over vocab on the way, was
  /// valid.
  FixedPointTensor hidden_activations() noexcept { return {nullptr, 0, &bounds()[kPolicyTensors]}; }

  /// Sums over the ranks of the batch group, and lets those of vocab know of each other's invalid tensors. Collective over
  /// the world: one exchange of 8 bytes a parameter, and a small one.
  void reduce();

  /// Reads the bounds. Blocks. The same on every rank after reduce().
  /// @throws InvalidData on every rank, naming the tensor: NaN, or a magnitude that the fixed point can't hold
  void check() const;

  /// All words, laid out as the parameters are; and those of one tensor, with its padding.
  std::span<const std::int64_t> words() const noexcept {
    return words_.span().first(static_cast<std::size_t>(layout_.size()));
  }
  std::span<const std::int64_t> words(PolicyTensor tensor) const noexcept;

 private:
  std::span<std::int64_t> bounds() noexcept { return words_.span().last(kBounds); }

  TensorOps* ops_;
  PolicyLayout layout_;
  Buffer<std::int64_t> words_;      // sums of all tensors, then the bounds: one exchange carries both
};

}  // namespace klmesh::loop
