// AdamW on a flat array of parameters, from a gradient in fixed point.
#pragma once

#include <cstdint>
#include <span>

#include "loop/buffer.hpp"
#include "loop/train_config.hpp"

namespace klmesh::loop {

/// Adam with decoupled weight decay, in the memory of a back end. Element-wise, so equal gradients give equal bits on any
/// mesh. Source: see adam_update().
class Adam {
 public:
  /// @param ops must outlive this
  /// @throws InvalidArgument unless 0 <= beta < 1 and epsilon > 0
  Adam(TensorOps& ops, const AdamConfig& config, std::int64_t size);

  /// parameters -= learning_rate * (m / (sqrt(v) + epsilon) + weight_decay * parameters), m and v
  /// bias-corrected.
  /// @param parameters (size) updated in place
  /// @param gradient   (size) words of fixed_point.hpp, of a gradient whose check() passes, then or later
  /// @throws InvalidArgument if a size differs
  /// Cost: one pass over parameters, gradient and two moments; about 1 ns an element in the host's memory.
  void step(std::span<float> parameters, std::span<const std::int64_t> gradient, double learning_rate,
            double weight_decay);

  /// State, for checkpoints: with these three and the parameters a run continues with the same bits.
  std::int64_t steps() const noexcept { return steps_; }
  void set_steps(std::int64_t steps) noexcept { steps_ = steps; }
  std::span<float> first_moment() noexcept { return first_moment_.span(); }
  std::span<float> second_moment() noexcept { return second_moment_.span(); }
  std::span<const float> first_moment() const noexcept { return first_moment_.span(); }
  std::span<const float> second_moment() const noexcept { return second_moment_.span(); }

 private:
  TensorOps* ops_;
  AdamConfig config_;
  std::int64_t steps_ = 0;
  Buffer<float> first_moment_, second_moment_;
};

}  // namespace klmesh::loop
