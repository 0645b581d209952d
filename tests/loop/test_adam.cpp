#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "klmesh/error.hpp"
#include "loop/adam.hpp"
#include "loop/exact_gradient.hpp"
#include "loop/host/host_ops.hpp"

namespace klmesh::loop {
namespace {

TEST(Adam, FollowsTheFormulaInDouble) {
  const AdamConfig config{0.9, 0.99, 1e-8};
  constexpr std::size_t kSize = 19;  // no multiple of a vector
  constexpr double kRate = 0.01, kDecay = 0.1;
  Mesh self = Mesh::self();
  HostOps ops(self);
  Adam adam(ops, config, kSize);
  std::vector<float> parameters(kSize);
  std::vector<double> p(kSize), m(kSize), v(kSize);
  for (std::size_t i = 0; i < kSize; ++i) p[i] = parameters[i] = 0.1f * static_cast<float>(i) - 1;
  for (int step = 1; step <= 20; ++step) {
    ExactGradient gradient({{"p", kSize}});
    for (std::size_t i = 0; i < kSize; ++i) {
      const double g =
          std::sin(static_cast<double>(i) + 0.3 * step) * std::pow(10.0, -static_cast<double>(i % 7));
      gradient.add(0, static_cast<std::int64_t>(i), g);
      m[i] = config.beta1 * m[i] + (1 - config.beta1) * g;
      v[i] = config.beta2 * v[i] + (1 - config.beta2) * g * g;
      const double mean = m[i] / (1 - std::pow(config.beta1, step));
      const double square = v[i] / (1 - std::pow(config.beta2, step));
      p[i] -= kRate * (mean / (std::sqrt(square) + config.epsilon) + kDecay * p[i]);
    }
    adam.step(parameters, gradient.words(), kRate, kDecay);
    for (std::size_t i = 0; i < kSize; ++i) EXPECT_NEAR(parameters[i], p[i], 5e-6) << step << " " << i;
  }
  EXPECT_EQ(adam.steps(), 20);
}

TEST(Adam, RefusesWrongSizesAndRates) {
  Mesh self = Mesh::self();
  HostOps ops(self);
  Adam adam(ops, {}, 3);
  std::vector<float> parameters(3);
  EXPECT_THROW(adam.step(parameters, std::vector<std::int64_t>(2), 0.1, 0), InvalidArgument);
  EXPECT_THROW(Adam(ops, {1.0, 0.9, 1e-8}, 1), InvalidArgument);
  EXPECT_THROW(Adam(ops, {0.9, -0.1, 1e-8}, 1), InvalidArgument);
  EXPECT_THROW(Adam(ops, {0.9, 0.99, 0}, 1), InvalidArgument);
}

}  // namespace
}  // namespace klmesh::loop
