#include "loop/adam.hpp"

#include <cmath>

#include "klmesh/error.hpp"
#include "loop/vector_clones.hpp"

namespace klmesh::loop {
namespace {

struct Coefficients {
  float mix1, mix2;            ///< 1 - beta
  float correction2;           ///< 1 / (1 - beta2^step)
  float epsilon, rate, decay;  ///< rate includes the correction of the first moment
};

KLMESH_VECTOR_CLONES void update(float* parameters, const std::int64_t* gradient, float* first, float* second,
                                 std::size_t count, const Coefficients& k) {
  for (std::size_t i = 0; i < count; ++i) {
    const auto g = static_cast<float>(static_cast<double>(gradient[i]) * 0x1p-50);
    const float m = first[i] + k.mix1 * (g - first[i]);
    const float v = second[i] + k.mix2 * (g * g - second[i]);
    first[i] = m;
    second[i] = v;
    const float p = parameters[i];
    parameters[i] = (p - k.decay * p) - k.rate * m / (__builtin_sqrtf(v * k.correction2) + k.epsilon);
  }
}

}  // namespace

Adam::Adam(const AdamConfig& config, std::int64_t size)
    : config_(config),
      first_moment_(static_cast<std::size_t>(size)),
      second_moment_(static_cast<std::size_t>(size)) {
  const auto is_rate = [](double beta) { return beta >= 0.0 && beta < 1.0; };
  if (!is_rate(config.beta1) || !is_rate(config.beta2) || !(config.epsilon > 0.0)) {
    throw InvalidArgument("Adam: beta1 and beta2 must be in [0, 1), epsilon must be positive");
  }
}

void Adam::step(std::span<float> parameters, std::span<const std::int64_t> gradient, double learning_rate,
                double weight_decay) {
  if (parameters.size() != first_moment_.size() || gradient.size() != first_moment_.size()) {
    throw InvalidArgument("Adam: parameters, gradient and moments must have the same size");
  }
  ++steps_;
  const double correction1 = 1.0 - std::pow(config_.beta1, static_cast<double>(steps_));
  const double correction2 = 1.0 - std::pow(config_.beta2, static_cast<double>(steps_));
  const Coefficients k{
      static_cast<float>(1.0 - config_.beta1),         static_cast<float>(1.0 - config_.beta2),
      static_cast<float>(1.0 / correction2),           static_cast<float>(config_.epsilon),
      static_cast<float>(learning_rate / correction1), static_cast<float>(learning_rate * weight_decay)};
  update(parameters.data(), gradient.data(), first_moment_.data(), second_moment_.data(), parameters.size(),
         k);
}

}  // namespace klmesh::loop
