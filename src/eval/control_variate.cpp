#include "eval/control_variate.hpp"

#include <cmath>
#include <vector>

#include "core/exact_sum.hpp"

namespace klmesh::eval {
namespace {

// Exact sums of k1, r - 1, (r - 1)^2 and k1 (r - 1), with their number, in one block of words to exchange.
class CrossSums {
 public:
  CrossSums() : words_(2 + 2 * kValueLimbs + 2 * kProductLimbs, 0) {}

  void add(double k1, double excess) {
    if (!std::isfinite(k1) || !std::isfinite(excess)) {
      ++words_[kInfinite];
      return;
    }
    ++words_[kCount];
    add_value(sum_k1(), k1);
    add_value(sum_excess(), excess);
    add_product(squares(), excess, excess);
    add_product(products(), k1, excess);
  }
  void all_reduce(Communicator& world) {
    for (const auto limbs : {sum_k1(), sum_excess(), squares(), products()}) normalize(limbs);
    world.all_reduce(words_, {});
  }
  std::int64_t count() const noexcept { return words_[kCount]; }
  bool all_finite() const noexcept { return words_[kInfinite] == 0; }

  std::span<std::int64_t> sum_k1() { return limbs(2, kValueLimbs); }
  std::span<std::int64_t> sum_excess() { return limbs(2 + kValueLimbs, kValueLimbs); }
  std::span<std::int64_t> squares() { return limbs(2 + 2 * kValueLimbs, kProductLimbs); }
  std::span<std::int64_t> products() { return limbs(2 + 2 * kValueLimbs + kProductLimbs, kProductLimbs); }

 private:
  enum Word : std::size_t { kCount, kInfinite };
  std::span<std::int64_t> limbs(std::size_t begin, std::size_t count) { return std::span(words_).subspan(begin, count); }

  std::vector<std::int64_t> words_;
};

}  // namespace

std::optional<double> fit_lambda(const TokenTable& table, Communicator& world) {
  CrossSums sums;
  const std::vector<double>& k1 = table[Quantity::k1];
  const std::vector<double>& excess = table[Quantity::ratio_excess];
  for (std::size_t i = 0; i < k1.size(); ++i) sums.add(k1[i], excess[i]);
  sums.all_reduce(world);
  if (sums.count() < 3 || !sums.all_finite()) return std::nullopt;
  const double deviation = scaled_deviation(sums.count(), sums.sum_excess(), sums.squares());
  if (!(deviation > 0.0) || !std::isfinite(deviation)) return std::nullopt;
  const double covariance =
      scaled_covariance(sums.count(), sums.sum_k1(), sums.sum_excess(), sums.products());
  const double lambda = -(covariance / deviation) / deviation;
  return std::isfinite(lambda) ? std::optional(lambda) : std::nullopt;
}

void apply_lambda(TokenTable& table, double lambda) {
  const std::vector<double>& k1 = table[Quantity::k1];
  const std::vector<double>& excess = table[Quantity::ratio_excess];
  table.k_lambda.resize(k1.size());
  for (std::size_t i = 0; i < k1.size(); ++i) table.k_lambda[i] = std::fma(lambda, excess[i], k1[i]);
}

}  // namespace klmesh::eval
