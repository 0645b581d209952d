// AdamW on a flat array of parameters, from a gradient in fixed point.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "loop/train_config.hpp"

namespace klmesh::loop {

/// Adam with decoupled weight decay. Element-wise, so equal gradients give equal bits on any mesh.
/// Source: Kingma and Ba, arXiv:1412.6980; Loshchilov and Hutter, arXiv:1711.05101.
class Adam {
 public:
  /// @throws InvalidArgument unless 0 <= beta < 1 and epsilon > 0
  Adam(const AdamConfig& config, std::int64_t size);

  /// parameters -= learning_rate * (m / (sqrt(v) + epsilon) + weight_decay * parameters), m and v
  /// bias-corrected.
  /// @param parameters (size) updated in place
  /// @param gradient   (size) multiples of 2^-50, see ExactGradient::words(); check() it first
  /// @throws InvalidArgument if a size differs
  /// Cost: one pass over parameters, gradient and two moments; about 1 ns an element in memory.
  void step(std::span<float> parameters, std::span<const std::int64_t> gradient, double learning_rate,
            double weight_decay);

  /// State, for checkpoints: with these three and the parameters a run continues with the same bits.
  std::int64_t steps() const noexcept { return steps_; }
  void set_steps(std::int64_t steps) noexcept { steps_ = steps; }
  std::span<float> first_moment() noexcept { return first_moment_; }
  std::span<float> second_moment() noexcept { return second_moment_; }
  std::span<const float> first_moment() const noexcept { return first_moment_; }
  std::span<const float> second_moment() const noexcept { return second_moment_; }

 private:
  AdamConfig config_;
  std::int64_t steps_ = 0;
  std::vector<float> first_moment_;
  std::vector<float> second_moment_;
};

}  // namespace klmesh::loop
