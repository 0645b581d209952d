#include "loop/adam.hpp"

#include <cmath>

#include "klmesh/error.hpp"

namespace klmesh::loop {

Adam::Adam(TensorOps& ops, const AdamConfig& config, std::int64_t size)
    : ops_(&ops), config_(config), first_moment_(ops, "moments", size), second_moment_(ops, "moments", size) {
  const auto is_rate = [](double beta) { return beta >= 0.0 && beta < 1.0; };
  if (!is_rate(config.beta1) || !is_rate(config.beta2) || !(config.epsilon > 0.0)) {
    throw InvalidArgument("Adam: beta1 and beta2 must be in [0, 1), epsilon must be positive");
  }
}

void Adam::step(std::span<float> parameters, std::span<const std::int64_t> gradient, double learning_rate,
                double weight_decay) {
  const auto size = static_cast<std::size_t>(first_moment_.size());
  if (parameters.size() != size || gradient.size() != size) {
    throw InvalidArgument("Adam: parameters, gradient and moments must have the same size");
  }
  ++steps_;
  const double correction1 = 1.0 - std::pow(config_.beta1, static_cast<double>(steps_));
  const double correction2 = 1.0 - std::pow(config_.beta2, static_cast<double>(steps_));
  ops_->adam_step(parameters, gradient, first_moment(), second_moment(),
                  {.mix1 = static_cast<float>(1.0 - config_.beta1),
                   .mix2 = static_cast<float>(1.0 - config_.beta2),
                   .correction2 = static_cast<float>(1.0 / correction2),
                   .epsilon = static_cast<float>(config_.epsilon),
                   .rate = static_cast<float>(learning_rate / correction1),
                   .decay = static_cast<float>(learning_rate * weight_decay)});
}

}  // namespace klmesh::loop
